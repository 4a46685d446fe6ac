"""Opens and guards what a policy compares, and runs it side by side: the candidates, the noise floor among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.analysis.footprint import footprint
from fidelity_gate.inputs.opening import open_inputs
from fidelity_gate.matching import targets_of
from fidelity_gate.measuring import guards, planning
from fidelity_gate.measuring.arenas import planned
from fidelity_gate.measuring.costing import costed
from fidelity_gate.metrics.exhibits import Showcase, most_shown
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Evidence, ModelRecord, NoiseFloor
from fidelity_gate.tracing.lockstep import Entrant, Plan, trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.measuring.planning import Wanted
    from fidelity_gate.protocols import OpenedModel, Progress
    from fidelity_gate.records import Exhibit, Measurement, ModelFacts, ModelSpec, Policy, Probes
    from fidelity_gate.tracing.lockstep import Traced

FLOOR, FLOOR_BF16 = "noise floor", "noise floor in bfloat16"


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What a policy compares, opened and guarded; nothing runs yet. Models stand in order, the reference first."""

    policy: Policy
    opened: tuple[OpenedModel, ...]
    records: tuple[ModelRecord, ...]
    probes: Probes

    @property
    def reference(self) -> ModelRecord:
        """Return the reference's record."""
        return self.records[0]

    @property
    def candidates(self) -> tuple[ModelRecord, ...]:
        """Return the candidates' records, in the policy's order."""
        return self.records[1:]

    def closed(self) -> Stage:
        """Return the stage without its opened files: once models are loaded, their bytes are only in the way."""
        return replace(self, opened=())


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """The models that are stepped side by side, loaded, and what watches them."""

    reference: Entrant
    rivals: tuple[Entrant, ...]
    showcases: Mapping[str, Showcase]  # one a candidate, by its name
    floors: tuple[Wanted, ...]  # what is measured of the noise floor too


def set_up(policy: Policy, *, allow_code: bool) -> Stage:
    """Open every model and the probes, and refuse comparisons that would say nothing.

    Raises:
        Refused: a file cannot be used, or the comparison is none.
        Undecided: a file could not be read within its limits.
    """
    specs = (policy.reference, *policy.candidates)
    opened = tuple(open_model(spec, allow_code=allow_code) for spec in specs)
    facts = tuple(model.facts for model in opened)
    guards.check_models(policy, facts[0], facts[1:])
    probes = open_inputs(policy.inputs)
    calibration = open_inputs(policy.calibration) if policy.calibration else None
    guards.check_calibration(facts[1:], calibration, probes)
    records = tuple(_record(spec, policy, one) for spec, one in zip(specs, facts, strict=True))
    return Stage(policy, opened, planned(opened, costed(policy, opened, records, probes)), probes)


def cast(stage: Stage, wants: tuple[Wanted, ...]) -> Cast | None:
    """Load every model that has to be stepped; None where nothing asks for it. Raises ModelRefused or Undecided."""
    candidates = [record for record in stage.candidates if any(w.traced and record.name in w.candidates for w in wants)]
    if not candidates:
        return None
    floors = tuple(want for want in wants if want.traced and want.plug.floored)
    reference = Entrant(stage.reference.name, stage.opened[0].load(stage.policy.run), stage.reference.depth)
    showcases = {record.name: Showcase(record.name, most_shown(stage.probes, len(candidates))) for record in candidates}
    rivals = [_candidate(stage, record, wants, showcases[record.name]) for record in candidates]
    rivals += _floors(stage, reference, floors) if floors else []
    return Cast(reference, tuple(rivals), showcases, floors)


def run(
    stage: Stage, models: Cast | None, wants: tuple[Wanted, ...], plan: Plan, progress: Progress
) -> tuple[list[Measurement], NoiseFloor | None, tuple[Exhibit, ...]]:
    """Step the models side by side and return what their accumulators came to.

    The exhibits are what a few probes of every candidate looked like; no measurement follows from them.

    Raises:
        ModelRefused: the reference is dead, or a candidate's streams, shapes or element types are not the reference's.
        Undecided: two runs of the reference differ.
    """
    if models is None:
        return [], None, ()
    traced = {one.name: one for one in trace(models.reference, models.rivals, stage.probes, plan, progress)}
    found = [
        measurement
        for name in models.showcases
        for measurement in _collected(name, wants, traced[name], models.floors, traced.get(FLOOR))
    ]
    shown = tuple(one for name, case in models.showcases.items() if not traced[name].stopped for one in case.exhibits())
    return found, _noise_floor(stage.policy, traced) if models.floors else None, shown


def _record(spec: ModelSpec, policy: Policy, facts: ModelFacts) -> ModelRecord:
    depth, whole = guards.depth_of(spec, policy), guards.depth_of(policy.reference, policy)
    alignment = "by ACT step"
    if depth.steps != whole.steps:
        shared = min(depth.steps, whole.steps)
        alignment += f" up to step {shared}, and the last of {depth.steps} against the last of {whole.steps}"
    elif depth != whole:
        alignment += f" of different cycles ({depth} against {whole})"
    return ModelRecord(
        name=spec.name,
        facts=facts,
        depth=depth,
        footprint=footprint(facts),
        alignment=alignment,
        uncompressed=spec.uncompressed,
        targets=() if spec is policy.reference else targets_of(spec, policy),
    )


def _candidate(stage: Stage, record: ModelRecord, wants: tuple[Wanted, ...], showcase: Showcase) -> Entrant:
    """Return a candidate and what watches it; its showcase comes last and is told from the metrics by that."""
    model = stage.opened[stage.records.index(record)].load(stage.policy.run)
    free, forced = (
        planning.accumulators(wants, record.name, record.depth, evidence)
        for evidence in (Evidence.FREE, Evidence.FORCED)
    )
    return Entrant(record.name, model, record.depth, (*free, showcase), forced)


def _floors(stage: Stage, reference: Entrant, floors: tuple[Wanted, ...]) -> list[Entrant]:
    """Return the reference as its own rivals; the first accumulator of each is the floor's headline."""
    headline = registry.build("metrics", "carry_fidelity", ())
    spec, depth = stage.policy.noise_floor, reference.depth
    watched = (headline, *(want.plug for want in floors))
    free = tuple(plug.accumulator(depth) for plug in watched)
    found = [Entrant(FLOOR, reference.model, depth, free, perturbation=spec.perturbation)]
    if spec.bf16:
        coarse = stage.opened[0].load(replace(stage.policy.run, dtype="bfloat16"))
        found.append(Entrant(FLOOR_BF16, coarse, depth, (headline.accumulator(depth),), any_dtype=True))
    return found


def _collected(
    name: str, wants: tuple[Wanted, ...], traced: Traced, floors: tuple[Wanted, ...], floor: Traced | None
) -> list[Measurement]:
    """Return one candidate's measurements, those that the noise floor concerns with the floor's own figures."""
    beside = dict(zip(floors, floor.free[1:], strict=True)) if floor else {}
    found = []
    for evidence, readings in ((Evidence.FREE, traced.free[:-1]), (Evidence.FORCED, traced.forced)):
        asked = [want for want in wants if want.of(name, evidence)]
        for want, reading in zip(asked, readings, strict=True):
            measurement = planning.from_trace(want, name, reading, traced)
            found.append(planning.floored(measurement, beside[want]) if want in beside else measurement)
    return found


def _noise_floor(policy: Policy, traced: dict[str, Traced]) -> NoiseFloor:
    """Return the floor; without values where the reference could not be run beside itself, which decides nothing."""
    spec = policy.noise_floor
    headline = traced[FLOOR].free[0].measured
    coarse = traced[FLOOR_BF16].free[0].measured if FLOOR_BF16 in traced else None
    return NoiseFloor(
        perturbation=spec.perturbation,
        limit=spec.limit,
        values=headline.values if headline else (),
        curve=headline.curve if headline else (),
        bf16_values=coarse.values if coarse else (),
    )
