"""`fidelity-gate devices record`: save what devices said, bound to file, device and date, to be gated again."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fidelity_gate.device_records import sealing
from fidelity_gate.device_records.making import Named, from_job, from_profile
from fidelity_gate.device_records.opening import YAML
from fidelity_gate.device_records.saved import CLOCKS_APART, Origin, SavedProfile, fault, moment
from fidelity_gate.errors import NotMeasured, Refused, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.devices_given import hashed, recorded_from, run_in
from fidelity_gate.verbs.orders import refuse_overwriting
from fidelity_gate.verbs.stdout import write_stdout
from fidelity_gate.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.records import DeviceRun

EPILOG = """\b
Examples:
  fidelity-gate devices record measurements.json -o records/s24.json
  fidelity-gate devices record verdict.json -o records/s24.json
  fidelity-gate devices record jabc123 --model int8.onnx -o records/s24.json
  fidelity-gate devices record profile.json --model int8.onnx --device 'Samsung Galaxy S24' --os 14 --runtime onnx \\
      --measured 2026-05-04 -o records/s24.json
  fidelity-gate devices record perf.yaml --name resnet18 --measured 2026-02-12 -o records/resnet18.json

SOURCE is a saved run (measurements.json, or the verdict of --report json), the id of a job of the service, the file
that the service's client writes with download_profile(), or the perf.yaml that ai-hub-models publishes of a model. A
profile alone does not say what ran where: the options do, and the record is marked as bound by hand; a perf.yaml does
not say of which model and day it is. What is recorded already is not recorded twice; the file is replaced whole.
"""
JOB_ID = re.compile(r"[A-Za-z0-9]{4,40}", re.ASCII)
PROFILE_BYTES = 64 * 2**20
FETCH_SECONDS = 60.0
MOST_TOLD = 20  # records, a line each
_SUMMARY = "execution_summary"


@dataclass(frozen=True, slots=True)
class Word:
    """What whoever records says of a source that does not say it itself."""

    model: str = ""
    name: str = ""
    variant: str = ""
    precision: str = ""
    device: str = ""
    os: str = ""
    runtime: str = ""
    compute_unit: str = ""
    measured: str = ""
    options: str = ""


def word_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say which file a profile is of, and what people call it."""
    for option in (
        click.option("--precision", default="", metavar="TEXT", help="float, int8, w8a8 ...; of a file it is read."),
        click.option(
            "--variant", default="", metavar="TEXT", help="What tells it from its twins.  [default: FILE's name]"
        ),
        click.option("--name", default="", metavar="TEXT", help="The model that variants belong to."),
        click.option("--model", default="", metavar="FILE", help="The model's file: the record is of its digest."),
    ):
        command = option(command)
    return command


@click.command(epilog=EPILOG)
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file of records; added to where it is there.")
@word_options
@click.option("--device", default="", metavar="NAME", help="Of a profile alone: the device's whole name.")
@click.option("--os", "system", default="", metavar="TEXT", help="Of a profile alone: the device's OS version.")
@click.option("--runtime", default="", metavar="TEXT", help="Of a profile alone: onnx, tflite, qnn_dlc ...")
@click.option(
    "--compute-unit",
    type=click.Choice(["npu", "gpu", "cpu", "all"]),
    default="npu",
    show_default=True,
    help="Of a profile alone: what it was compiled for.",
)
@click.option(
    "--measured", default="", metavar="DAY", help="Of a profile alone, a perf.yaml: when; 2026-05-04, or with the time."
)
def record(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    source: str,
    output: str,
    model: str,
    name: str,
    variant: str,
    precision: str,
    device: str,
    system: str,
    runtime: str,
    compute_unit: str,
    measured: str,
) -> int:
    """Save what devices said in SOURCE as records that a policy can gate again."""
    word = Word(model, name, variant, precision, device, system, runtime, compute_unit, measured)
    refuse_overwriting(output, (source, model), option="--output")
    save(output, made_of(source, word))
    return 0


def made_of(source: str, word: Word) -> tuple[SavedProfile, ...]:
    """Return the records that a source makes.

    Raises:
        Refused: the source is none, or the word on it lacks something or contradicts it.
        Undecided: no device said anything in it, or the service cannot be asked.
    """
    if os.path.lexists(source) or not JOB_ID.fullmatch(source):
        return _of_file(source, word)
    from fidelity_gate.devices.qai_hub_resuming import resume

    return (of_job(resume(source, timeout=FETCH_SECONDS), word),)


def of_job(run: DeviceRun, word: Word) -> SavedProfile:
    """Return the record of a job that was fetched; raises Refused where the model's file is not what it ran."""
    file = hashed(word.model) if word.model else None
    named = _named(word, run.job.id if run.job else "job")
    found = from_job(run, named, file)
    return _with_precision(found, word)


def save(output: str, records: tuple[SavedProfile, ...]) -> None:
    """Add records to a file, and say so.

    Raises:
        NotMeasured: one holds figures that cannot be; nothing is written.
        Refused: the file is none of records.
    """
    for one in records:
        wrong = fault(one)
        if wrong:
            raise NotMeasured(f"{printable(one.name, 60)} {wrong}", hint="nothing was recorded")
    done = sealing.add(output, records)
    count = f"{done.added} record{'' if done.added == 1 else 's'}"
    known = f", {done.known} known already" if done.known else ""
    write_stdout(f"{count} added to {printable(output)}{known}; it holds {done.total}\n")
    for one in records[:MOST_TOLD]:
        system = f", OS {one.os}" if one.os else ""
        where = f"{one.device}{system}, {one.runtime or 'runtime unstated'}, {one.compute_unit or 'unit unstated'}"
        write_stdout(printable(f"  {one.name}: {where}, {one.measured[:10]}, {one.label}", 300) + "\n")
    if len(records) > MOST_TOLD:
        write_stdout(f"  ... and {len(records) - MOST_TOLD} more: fidelity-gate devices show {printable(output)}\n")


def _of_file(source: str, word: Word) -> tuple[SavedProfile, ...]:
    from fidelity_gate import json_fields
    from fidelity_gate.device_records.opening import read_profiles
    from fidelity_gate.files import read_file

    if source.endswith(YAML):
        return _of_perf_yaml(source, word)
    run = run_in(source)
    if run is not None:
        _refuse_word(word, source, "a saved run says itself what ran where")
        return recorded_from(run)
    content = json_fields.parse(read_file(source, limit_bytes=PROFILE_BYTES).data, where=source)
    if isinstance(content, dict) and _SUMMARY in content:
        return (_of_profile(content, source, word),)
    read_profiles(source)  # raises for anything that is no record
    raise Refused(
        "holds records, or published rows, already", where=source, hint="name it as a policy's path: as it is"
    )


def _of_perf_yaml(source: str, word: Word) -> tuple[SavedProfile, ...]:
    """Return the records of a perf.yaml; the options have to say of which model it is, and of which day."""
    from fidelity_gate.verbs.devices_published import of_perf_yaml

    for option in ("name", "measured"):
        if not getattr(word, option):
            what = "is missing: a perf.yaml does not say it"
            raise UsageError(what, where=source, field=f"--{option}", hint="see devices record --help")
    _refuse_word(replace(word, name="", measured=""), source, "a perf.yaml says itself what ran where")
    _refuse_moment(word.measured)
    found = of_perf_yaml(source, word.name, word.measured)
    if found.timeless:
        told = f"{counted(found.timeless, 'job')} of {printable(source)} without a time left out"
        click.echo(told, err=True)
    return found.profiles


def _of_profile(content: dict[str, object], source: str, word: Word) -> SavedProfile:
    """Return the record of a profile alone; the options have to say all that it does not."""
    from fidelity_gate.devices.qai_hub_profile import profile_of

    for option in ("model", "device", "os", "runtime", "measured"):
        if not getattr(word, option):
            what = "is missing: a profile alone does not say it"
            raise UsageError(what, where=source, field=f"--{option}", hint="see devices record --help")
    _refuse_moment(word.measured)
    try:
        told = profile_of(content)
    except NotMeasured as error:
        raise NotMeasured(error.what, where=source, hint=error.hint) from error
    file = hashed(word.model)
    named = _named(word, "")
    bound = SavedProfile(
        origin=Origin.BY_HAND,
        source=source,
        model=named.model,
        variant=named.variant,
        precision=word.precision,
        device=word.device,
        os=word.os,
        runtime=word.runtime,
        compute_unit=word.compute_unit,
        measured=word.measured,
    )
    return from_profile(told, bound, file)


def _refuse_moment(measured: str) -> None:
    """Refuse what is no moment, or has not come: such a record would be the newest, and no policy could use any."""
    told = moment(measured)
    if told is None:
        hint = "2026-05-04, or 2026-05-04T10:00:00+00:00"
        raise UsageError(f"'{measured}' is no day, and no moment with its zone", field="--measured", hint=hint)
    if told - datetime.now(UTC) > CLOCKS_APART:
        raise UsageError(f"{measured} has not come yet, by UTC", field="--measured", hint="when it was measured")


def _named(word: Word, otherwise: str) -> Named:
    stem = os.path.basename(word.model).rpartition(".")[0]  # noqa: PTH119  (a text, no path of this machine)
    return Named(word.name or stem or otherwise, word.variant or (stem if word.name else ""))


def _with_precision(found: SavedProfile, word: Word) -> SavedProfile:
    return replace(found, precision=word.precision) if word.precision else found


def _refuse_word(word: Word, source: str, what: str) -> None:
    """Raise where options would say of a source what it says itself."""
    given = [
        name
        for name in ("model", "name", "variant", "precision", "device", "os", "runtime", "measured")
        if getattr(word, name)
    ]
    if given:
        raise UsageError(what, where=source, field=f"--{given[0]}", hint="leave it out")
