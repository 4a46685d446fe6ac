"""Figures of an expectation -> the measurements that a run with such figures would have made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fidelity_gate import __version__
from fidelity_gate.errors import PolicyError
from fidelity_gate.matching import key_of
from fidelity_gate.policy.expecting import NOT_MEASURED, scalar_or_parts
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.policy.resolution import looked_at, right_or_wrong
from fidelity_gate.records import (
    Direction,
    Measurement,
    MeasurementSet,
    MeasureStatus,
    ModelFacts,
    ModelRecord,
    ModelSpec,
    NoiseFloor,
    Provenance,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.expecting import Expectations
    from fidelity_gate.policy.problems import Path
    from fidelity_gate.records import Depth, Policy

_SAID = "as the expectation says"


def completed(policy: Policy, expectations: Expectations) -> Policy:
    """Return the policy with the expectation's candidates, where it names none.

    Raises:
        PolicyError: neither names any, or both do.
    """
    given = expectations.block.candidates
    if given and policy.candidates:
        hint = f"remove the key; it has {', '.join(spec.name for spec in policy.candidates)}"
        where = str(expectations.places.place(("candidates",), key=True))
        raise PolicyError("the policy names its candidates itself", where=where, field="candidates", hint=hint)
    if not given and not policy.candidates:
        where = str(expectations.places.place(("policy",)))
        raise PolicyError("the policy names no candidates", where=where, hint="candidates: [int8]")
    return replace(policy, candidates=policy.candidates or tuple(ModelSpec(name, name) for name in given or ()))


def measurements_of(expectations: Expectations, case: str, side: Side, policy: Policy) -> MeasurementSet:
    """Return the measurements of one case.

    Args:
        expectations: the file.
        case: its name.
        side: the policy with its metrics.
        policy: the same, with candidates.

    Raises:
        PolicyError: a figure that no check looks at, that its metric cannot have, or that contradicts another one.
    """
    block = expectations.block.cases[case]
    probes = block.probes or expectations.block.probes or policy.minimum_probes
    source = _Source(expectations, case, side.checks, probes)
    source.refuse_unknown([spec.name for spec in policy.candidates])
    found: dict[object, Measurement] = {}
    for spec in policy.candidates:
        for measurement in source.measured(spec.name):
            found[key_of(measurement.metric, measurement.options, measurement.candidate)] = measurement
    floor = policy.noise_floor
    kept = (1.0 if block.noise_floor is None else block.noise_floor,) * probes
    return MeasurementSet(
        tool_version=__version__,
        provenance=Provenance(policy.name, policy.digest, _SAID, _SAID, probes, policy.run, (), ()),
        reference=_record("reference", policy.recursion, _SAID),
        candidates=tuple(_candidate(spec, policy, block.digests) for spec in policy.candidates),
        measurements=tuple(found.values()),
        noise_floor=NoiseFloor(floor.perturbation, floor.limit, kept, bf16_values=kept if floor.bf16 else ()),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Looks up the figures of one case, the most special first."""

    expectations: Expectations
    case: str
    checks: Sequence[Resolved]
    probes: int

    def refuse_unknown(self, candidates: list[str]) -> None:
        """Refuse figures of candidates, checks and metrics that the policy does not have."""
        block = self.expectations.block.cases[self.case]
        for key, names in (("figures_of", block.figures_of), ("digests", block.digests)):
            for name in names:
                if name not in candidates:
                    hint = near_or_known(name, candidates)
                    raise self._error(("cases", self.case, key, name), f"'{name}' is not a candidate", hint)
        known = list(dict.fromkeys(name for one in self.checks for name in (one.check.id, one.check.metric)))
        for path, figures in self._all(candidates):
            for name in figures:
                if name not in known:
                    what = f"'{name}' is no check and no metric of the policy"
                    raise self._error((*path, name), what, near_or_known(name, known))

    def measured(self, candidate: str) -> Iterator[Measurement]:
        """Yield the measurement behind every check for one candidate."""
        told: dict[object, tuple[str, Any]] = {}
        for one in self.checks:
            path, figure = self._figure(one, candidate)
            key = key_of(one.check.metric, one.check.options, candidate)
            other = told.setdefault(key, (one.check.id, figure))
            if other[1] != figure:
                what = f"'{one.check.id}' and '{other[0]}' look at the same values of {one.check.metric}"
                raise self._error(path, what, f"give one figure, under the metric's name: {one.check.metric}")
            yield self._measurement(one, candidate, path, figure)

    def _all(self, candidates: Sequence[str]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        block = self.expectations.block
        case = block.cases[self.case]
        for name in candidates:
            yield ("cases", self.case, "figures_of", name), case.figures_of.get(name, {})
        yield ("cases", self.case, "figures"), case.figures
        yield ("figures",), block.figures

    def _figure(self, one: Resolved, candidate: str) -> tuple[Path, Any]:
        for path, figures in self._all([candidate]):
            for name in (one.check.id, one.check.metric):
                if name in figures:
                    return (*path, name), figures[name]
        return ("cases", self.case), None

    def _measurement(self, one: Resolved, candidate: str, path: Path, figure: Any) -> Measurement:  # noqa: ANN401
        plug = one.plug
        made = Measurement(
            metric=one.check.metric,
            options=one.check.options,
            candidate=candidate,
            unit=plug.unit,
            direction=plug.direction,
            per_probe=plug.per_probe,
            floored=plug.floored,
            status=MeasureStatus.NOT_MEASURED,
            reason=_SAID if figure == NOT_MEASURED else "the expectation gives no figure",
        )
        if figure is None or figure == NOT_MEASURED:
            return made
        values = self._values(one, path, figure)
        floor = (_perfect(plug),) * len(values) if plug.floored else ()
        rows = tuple(range(len(values))) if plug.per_probe and len(values) < self.probes else ()
        return replace(made, status=MeasureStatus.MEASURED, values=values, rows=rows, floor_values=floor, reason="")

    def _values(self, one: Resolved, path: Path, figure: Any) -> tuple[float, ...]:  # noqa: ANN401
        """Return one value a probe, or the one value."""
        parts = [(self._number(one, path, value), count) for value, count in scalar_or_parts(figure)]
        if not one.plug.per_probe:
            if len(parts) != 1 or parts[0][1] is not None:
                raise self._error(path, f"{one.check.metric} is one number, not one a probe", "write it alone")
            return (parts[0][0],)
        number, count = parts[0]
        if count is None:
            return self._spread(one, path, number)
        total, wanted = sum(count or 0 for _, count in parts), looked_at(one, self.probes)
        if total != wanted:
            hint = f"make them {wanted}, or set probes: {total}"
            raise self._error(path, f"its parts have {total} probes, and the case has {wanted}", hint)
        return tuple(number for number, count in parts for _ in range(count or 0))

    def _spread(self, one: Resolved, path: Path, number: float) -> tuple[float, ...]:
        """Return a figure for every probe; of what is right or wrong it is the share of probes that are 1."""
        count = looked_at(one, self.probes)
        if not right_or_wrong(one) or number in (0, 1):
            return (number,) * count
        ones = round(abs(number) * count)
        if abs(ones - abs(number) * count) > 1e-6:
            what = f"of {count} probes that share is not a whole number of them"
            raise self._error(path, what, f"a probe is right or wrong for {one.check.metric}: {ones / count:g}")
        return (1.0 if number > 0 else -1.0,) * ones + (0.0,) * (count - ones)

    def _number(self, one: Resolved, path: Path, value: Any) -> float:  # noqa: ANN401
        try:
            number = parse_quantity(value, one.plug.unit)
        except QuantityError as error:
            raise self._error(path, error.what, error.hint) from None
        lowest, highest = getattr(one.plug, "limits", (None, None))
        if (lowest is not None and number < lowest) or (highest is not None and number > highest):
            raise self._error(path, f"{one.check.metric} cannot be {value}", "a value that can be measured")
        return number

    def _error(self, path: Path, what: str, hint: str) -> PolicyError:
        where = str(self.expectations.places.place(path))
        return PolicyError(what, where=where, field=".".join(map(str, path)), hint=hint)


def _perfect(plug: Any) -> float:  # noqa: ANN401  (a metric)
    """Return what the reference has against itself."""
    return 0.0 if plug.direction is Direction.LOWER else 1.0


def _candidate(spec: ModelSpec, policy: Policy, digests: Mapping[str, str]) -> ModelRecord:
    """Return a candidate as the file that the case says, or as the one that the policy waives something of."""
    waived = (waiver.digest for waiver in policy.waivers if waiver.candidate == spec.name)
    digest = digests.get(spec.name) or next(waived, _SAID)
    return replace(_record(spec.name, spec.recursion or policy.recursion, digest), uncompressed=spec.uncompressed)


def _record(name: str, depth: Depth, digest: str) -> ModelRecord:
    facts = ModelFacts(
        path=name,
        digest=digest,
        size_bytes=0,
        file_format=_SAID,
        family="",
        architecture=(),
        depth=depth,
        geometry=None,
        tensors=(),
    )
    return ModelRecord(name, facts, depth)
