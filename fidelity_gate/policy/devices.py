"""The policy's `devices:` block -> records.DeviceSpec, and what checks that need a device may ask of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.policy.plugs import built, option_values
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.records import DeviceSpec, Evidence
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema_checks import DeviceBlock

KEY, ROOM = "devices", "devices"
HOST = "host-cpu"  # the kind that is whatever machine the gate runs on
_EXAMPLES = {
    "fraction": "a share, like 20 %",
    "seconds": "a time, like 600 s",
    "days": "whole days, like 90 d",
    "duration": "a time, like 30 min",
}
EXAMPLE = f"devices: {{laptop: {{use: {HOST}}}}} at the top of the policy"


def devices(blocks: Mapping[str, DeviceBlock] | None, problems: Problems) -> tuple[DeviceSpec, ...]:
    """Return the policy's devices, sorted by name; what is wrong with one goes to the problems."""
    return tuple(_device(name, block, problems) for name, block in sorted((blocks or {}).items()))


def check_device(path: Path, metric: str, plug: Any, known: tuple[DeviceSpec, ...], problems: Problems) -> None:  # noqa: ANN401  (a metric)
    """Refuse a check whose device the policy does not have, or has too few runs on for the statistic it asks for.

    Args:
        path: of the check.
        metric: its name.
        plug: the metric, with its options.
        known: the policy's devices.
        problems: what is wrong goes here.
    """
    if plug.evidence is not Evidence.DEVICE:
        return
    at, names = (*path, "options", "device"), [device.name for device in known]
    if not names:
        problems.add(path, f"{metric} is measured on a device, and the policy has none", EXAMPLE, key=True)
    elif not plug.device:
        problems.add(at, f"is missing: {metric} is measured on a device", near_or_known("", names))
    elif plug.device not in names:
        what = f"'{plug.device}' is not a device of this policy"
        problems.add(at, what, near_or_known(plug.device, names))
    else:
        device = known[names.index(plug.device)]
        _check_runs(path, plug, device, problems)
        _check_needs(path, metric, plug, device, problems)
    for option, hint in getattr(plug, "stated", {}).items():
        if not getattr(plug, option):
            problems.add((*path, "options", option), "is missing: there is no default", hint)


def _check_runs(path: Path, plug: Any, device: DeviceSpec, problems: Problems) -> None:  # noqa: ANN401
    runs = dict(device.options).get("runs")
    if isinstance(runs, int) and runs < plug.fewest_runs:
        what = f"{plug.statistic} needs at least {plug.fewest_runs} runs, and the device '{device.name}' makes {runs}"
        hint = f"runs: {plug.fewest_runs} for the device, or statistic: p50"
        problems.add((*path, "options", "statistic"), what, hint)


def _check_needs(path: Path, metric: str, plug: Any, device: DeviceSpec, problems: Problems) -> None:  # noqa: ANN401
    """Refuse a metric that this kind of device can never measure."""
    kinds, needs = registry.table_of(ROOM), getattr(plug, "needs", "")
    gives = {use: _gives(use) for use in kinds}
    found = gives.get(device.use)
    if not needs or found is None or needs in found:
        return
    others = [use for use, given in gives.items() if given is not None and needs in given]
    what = f"{metric} cannot be measured by the device '{device.name}', which is of the kind {device.use}"
    hint = f"a device of the kind {' or '.join(others)}" if others else ""
    problems.add((*path, "options", "device"), what, hint)


def _gives(use: str) -> frozenset[str] | None:
    """Return what devices of a kind measure; None where it does not say."""
    given: frozenset[str] | None = getattr(registry.find(ROOM, use), "gives", None)
    return given


def _device(name: str, block: DeviceBlock, problems: Problems) -> DeviceSpec:
    path: Path = (KEY, name)
    place, known = problems.place(path, key=True), registry.table_of(ROOM)
    if block.use not in known:
        what = f"no device of the kind '{block.use}' is known"
        problems.add((*path, "use"), what, near_or_known(block.use, known))
        return DeviceSpec(name, block.use, place=place)
    before = len(problems.found)
    options = _as_numbers(block, path, problems)
    plug = built(ROOM, block.use, options, path, problems) if len(problems.found) == before else None
    values = () if plug is None else option_values(plug, registry.option_types(type(plug)))
    return DeviceSpec(name, block.use, values, place, problems.folder((*path, "use")))


def _as_numbers(block: DeviceBlock, path: Path, problems: Problems) -> dict[str, object]:
    """Return the options with quantities (20 %, 600 s) as numbers in their base units."""
    units: Mapping[str, str] = registry.find(ROOM, block.use).units
    options: dict[str, object] = dict(block.__pydantic_extra__ or {})
    for key in sorted(options.keys() & units.keys()):
        written = options[key]
        try:
            if not isinstance(written, bool) and isinstance(written, str | int | float):
                options[key] = parse_quantity(written, units[key])
        except QuantityError as error:
            what = f"'{printable(str(written), 40)}' is no value for it"
            problems.add((*path, key), what, _EXAMPLES.get(units[key], error.hint))
    return options
