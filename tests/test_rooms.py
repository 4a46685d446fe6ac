"""What holds for every plug of every room: it is there, it is a frozen dataclass, and it is documented."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import fidelity_gate
from fidelity_gate import registry
from fidelity_gate.protocols import StepsMetric
from fidelity_gate.records import Direction, Evidence
from fidelity_gate.units import UNITS_OF

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

# Rooms whose plugs are found by name; verbs are click commands and have their own test.
ROOMS = (
    "analysis.rules",
    "compress",
    "devices",
    "inputs",
    "metrics",
    "models",
    "models.families",
    "reports",
    "reports.comparison",
    "reports.lint",
)
METHODS = {
    "analysis.rules": ("check",),
    "compress": ("compress",),
    "devices": ("describe", "run"),
    "inputs": ("probes",),
    "models": ("recognises", "open"),
    "models.families": ("derive", "tensors", "geometry", "declared_depth", "architecture", "build"),
    "reports": ("render",),
    "reports.comparison": ("render",),
    "reports.lint": ("render",),
}


def table(room):
    return importlib.import_module(f"fidelity_gate.{room}").TABLE


PLUGS = [(room, name) for room in ROOMS for name in sorted(table(room))]
METRICS = sorted(table("metrics"))


def present(room, name):
    return registry.find(room, name)


@pytest.mark.parametrize(("room", "name"), PLUGS)
def test_every_plug_is_there_and_is_a_frozen_dataclass_with_a_docstring(room, name):
    plug = present(room, name)
    assert inspect.isclass(plug)
    assert dataclasses.is_dataclass(plug)
    assert plug.__dataclass_params__.frozen
    assert (plug.__doc__ or "").strip()
    # A dataclass without one gets "Name(field: type)" as its docstring.
    assert not plug.__doc__.startswith(f"{plug.__name__}(")


def jobs_of(metric):
    """Return the methods of a metric: it watches runs here, watches runs on a device, or looks into records."""
    if metric.evidence.traced:
        return ("accumulator",)
    return ("accumulator", "measured") if hasattr(metric, "watches") else ("measure",)


@pytest.mark.parametrize(("room", "name"), PLUGS)
def test_every_plug_does_the_job_of_its_room(room, name):
    plug = present(room, name)
    jobs = METHODS.get(room) or jobs_of(plug)
    assert all(callable(getattr(plug, job, None)) for job in jobs)


@pytest.mark.parametrize(("room", "name"), PLUGS)
def test_every_option_of_a_plug_has_a_readable_type_and_is_in_the_docstring(room, name):
    plug = present(room, name)
    # What several plugs share may be told by the class they share it from.
    told = "\n".join(base.__doc__ or "" for base in plug.__mro__ if base is not object)
    missing = [option for option in registry.option_types(plug) if not re.search(rf"\b{option}\b", told)]
    assert not missing


@pytest.mark.parametrize(("room", "name"), PLUGS)
def test_a_plug_is_named_once_and_its_module_is_in_its_room(room, name):
    module, _, attribute = table(room)[name].partition(":")
    assert module.startswith(f"fidelity_gate.{room}.")
    assert attribute
    assert re.fullmatch(r"FG[1-6]\d\d" if room == "analysis.rules" else r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name)
    assert [other for other, target in table(room).items() if target == table(room)[name]] == [name]


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_is_for(room):
    assert importlib.import_module(f"fidelity_gate.{room}").__doc__


def test_every_room_with_a_table_is_tested_here():
    found = set()
    for module in pkgutil.walk_packages(fidelity_gate.__path__, "fidelity_gate."):
        if module.ispkg and hasattr(importlib.import_module(module.name), "TABLE"):
            found.add(module.name.removeprefix("fidelity_gate."))
    assert found == {*ROOMS, "verbs"}


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_a_judge_must_know(name):
    plug = registry.build("metrics", name, ())
    assert isinstance(plug.direction, Direction)
    assert isinstance(plug.evidence, Evidence)
    assert plug.unit in ("", *UNITS_OF)
    assert isinstance(plug.per_probe, bool)
    stepped = isinstance(plug, StepsMetric)
    assert plug.per_probe is (plug.evidence.traced or stepped)
    assert not (plug.floored and not plug.evidence.traced)
    if plug.evidence is Evidence.DEVICE:
        assert plug.device == ""
        assert stepped or plug.memory or plug.part or plug.needs == "profile"
        assert plug.fewest_runs >= 1
    low, high = plug.limits
    assert low is None or high is None or low < high
    if plug.evidence.traced:
        assert plug.dead is None or low <= plug.dead <= high


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_its_page(name):
    page = (DOCS / "metrics" / f"{name}.md").read_text(encoding="utf-8")
    plug = registry.find("metrics", name)
    assert page.startswith(f"# {name}\n")
    for heading in ("## Formula", "## Options", "## When it lies", "## Source"):
        assert heading in page, heading
    facts = dict(re.findall(r"^\| (\w[\w ]*?) \| (.+?) \|$", page, re.MULTILINE))
    assert facts["direction"].startswith({"higher": "higher", "lower": "lower", "both": "both"}[plug.direction.value])
    assert facts["evidence"].startswith(plug.evidence.value)
    assert facts["unit"].split()[0] == (plug.unit or "none")
    assert facts["one value"] == ("a probe" if plug.per_probe else "a candidate")
    assert facts["noise floor"].startswith("yes" if plug.floored else "no")
    options = page.partition("## Options")[2].partition("\n## ")[0]
    for option in registry.option_types(plug):
        assert f"`{option}`" in options, option


def test_there_is_no_page_of_a_metric_that_does_not_exist():
    pages = {page.stem for page in (DOCS / "metrics").glob("*.md")} - {"README"}
    assert pages == set(METRICS)


# ---------------------------------------------------------------- the other rooms' documentation


@pytest.mark.parametrize(
    ("room", "page"), [("compress", "recipes.md"), ("devices", "devices.md"), ("inputs", "inputs.md")]
)
def test_every_plug_is_on_the_page_of_its_room(room, page):
    text = (DOCS / page).read_text(encoding="utf-8")
    for name in table(room):
        assert f"`{name}`" in text, name


def test_every_option_of_a_device_is_on_its_page_and_only_options_have_units():
    text = (DOCS / "devices.md").read_text(encoding="utf-8")
    for name in table("devices"):
        plug = registry.find("devices", name)
        options = registry.option_types(plug)
        assert set(plug.units) <= set(options), name
        for option in options:
            assert f"`{option}`" in text, option


def test_every_verb_is_a_command_with_a_summary():
    verbs = importlib.import_module("fidelity_gate.verbs")
    assert sorted(verbs.TABLE) == sorted(verbs.SUMMARIES)
    click = pytest.importorskip("click")
    for name in verbs.TABLE:
        command = registry.find("verbs", name)
        assert isinstance(command, click.Command), name
        assert command.name == name
