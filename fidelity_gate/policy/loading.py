"""A policy file -> records.Policy, or one PolicyError for everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fidelity_gate.errors import GateError, PolicyError
from fidelity_gate.files import read_file
from fidelity_gate.policy.advice import advise
from fidelity_gate.policy.advice_bases import advise_bases
from fidelity_gate.policy.baselines import baseline_spec, history_spec, known_pasts
from fidelity_gate.policy.bounding import Resolved, Setting, resolve
from fidelity_gate.policy.crossing import cross_check
from fidelity_gate.policy.devices import devices
from fidelity_gate.policy.differing import Side
from fidelity_gate.policy.energy import energy_models
from fidelity_gate.policy.extending import KEY as EXTENDS
from fidelity_gate.policy.extending import SHIPPED, read_chain
from fidelity_gate.policy.fragments import filled, is_base
from fidelity_gate.policy.linting import lint_settings
from fidelity_gate.policy.locking import check_locks, refuse_replaced
from fidelity_gate.policy.meaning import as_meant
from fidelity_gate.policy.merging import BASE
from fidelity_gate.policy.naming import Names, Overrides, missing
from fidelity_gate.policy.problems import Problems
from fidelity_gate.policy.schema import API_VERSION, PolicyBlock
from fidelity_gate.policy.schema_values import kind_of
from fidelity_gate.policy.waivers import check_never, waiver_rules, waivers
from fidelity_gate.policy.weaknesses import in_order
from fidelity_gate.policy.yaml_reader import LIMIT_BYTES
from fidelity_gate.records import InputsSpec, ModelSpec, NoiseFloorSpec, Policy, RunSpec

if TYPE_CHECKING:
    from fidelity_gate.policy.extending import Chain
    from fidelity_gate.policy.weaknesses import Advice
    from fidelity_gate.policy.yaml_reader import Node

__all__ = ["Examined", "Overrides", "examine", "load_policy", "load_policy_text"]


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of a policy file: the policy and where it is weak, or what is wrong with it, in the file's order.

    `policy` may lack a reference, candidates or inputs (an empty path, no candidates, an empty `use`), which the
    command line would give; everything else about it is whole.
    """

    policy: Policy | None
    problems: tuple[GateError, ...]  # PolicyErrors, but for a file that could not be read
    advice: tuple[Advice, ...] = ()
    side: Side | None = None  # the policy with its metrics and its places
    chain: Chain | None = None  # the files that it is made of


def load_policy(path: str, overrides: Overrides | None = None) -> Policy:
    """Return the policy in a file, ready to be measured.

    Args:
        path: the file; relative paths inside it are against its folder.
        overrides: paths of the command line.

    Raises:
        PolicyError: the first thing that is wrong, with its line, column and key.
        UsageError: an override that does not fit the policy.
        UnsafeContent: the file is too large.
    """
    file = read_file(path, limit_bytes=LIMIT_BYTES, kind=PolicyError)
    return _complete(examine(file.data, path, overrides), path)


def load_policy_text(text: str | bytes, name: str, overrides: Overrides | None = None) -> Policy:
    """Return the policy in a text that stands for the file `name`; raises as `load_policy`."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return _complete(examine(data, name, overrides), name)


def examine(data: bytes, name: str, overrides: Overrides | None = None, *, as_base: bool = False) -> Examined:
    """Return the policy, or everything that is wrong with it.

    Args:
        data: the file.
        name: its path.
        overrides: paths of the command line.
        as_base: take a file that is only there to be extended, too, completed by what stands for any policy. Nothing
            may be judged by what comes out.

    Raises:
        UsageError: an override that does not fit the policy.
    """
    try:
        chain = read_chain(data, name)
    except PolicyError as error:
        return Examined(None, (error,))
    asked = overrides or Overrides()
    tree = chain.tree()
    problems = Problems(filled(tree) if as_base and is_base(tree) else tree, name)
    if is_base(tree) and not as_base:
        problems.add((BASE,), "says that this file is only there to be extended", "name a policy that extends it")
        return Examined(None, problems.in_order())
    side = _side(chain.digest, asked, problems)
    if side is not None:
        cross_check(side.policy, side.checks, problems)
        check_never(side.policy.waiver_rules, side.checks, problems)
    if side is not None and not problems.found:
        check_locks(chain, side, problems, lambda tree: _base_side(tree, asked, problems))
    if side is None or problems.found:
        return Examined(None, problems.in_order())
    refuse_replaced(chain, asked)
    advice = () if is_base(tree) else advise(side.policy, side.checks, problems)
    advice += advise_bases(chain, side, _bases_side(chain, asked, problems))
    return Examined(side.policy, (), in_order(advice), side, chain)


def _bases_side(chain: Chain, overrides: Overrides, problems: Problems) -> Side | None:
    """Return what the bases of a sound policy come to without it; None where there are none, or they are not sound."""
    if len(chain.links) == 1:
        return None
    base = chain.tree(-1)
    checks = (base.entries or {}).get("checks")
    tree = as_meant(base, problems.tree, tuple((checks.entries if checks else None) or ()))
    return _side("", overrides, Problems(tree, problems.file))


def _base_side(tree: Node, overrides: Overrides, problems: Problems) -> Side | None:
    """Return what a base's locked checks come to; what is wrong with them goes to the policy's problems."""
    own = Problems(tree, problems.file)
    side = _side("", overrides, own)
    problems.found += own.found
    return side


def _side(digest: str, overrides: Overrides, problems: Problems) -> Side | None:
    """Return what a tree comes to, or None after adding what is wrong with it."""
    block = _block(problems.tree, problems)
    if block is None:
        return None
    policy, checks = _resolved(block, digest, overrides, problems)
    return None if problems.found else Side(policy, checks, problems)


def _block(tree: Node, problems: Problems) -> PolicyBlock | None:
    """Return the validated top level; the version comes first, because it says what the rest means."""
    version = tree.at(("apiVersion",))[0]
    if version is not tree and version.scalar != API_VERSION:
        hint = f"this version of fidelity-gate reads {API_VERSION}"
        problems.add(("apiVersion",), f"{kind_of(version.plain())} is not a format known here", hint)
        return None
    try:
        return PolicyBlock.model_validate(tree.plain())
    except ValidationError as error:
        problems.add_invalid(error)
        return None


def _resolved(
    block: PolicyBlock, digest: str, overrides: Overrides, problems: Problems
) -> tuple[Policy, tuple[Resolved, ...]]:
    names = Names(block, problems)
    candidates, targets = names.candidates(overrides.candidates), names.targets()
    whole = block.recursion.steps
    setting = Setting(
        targets=targets,
        candidates=tuple(spec.name for spec in candidates),
        minimum_probes=block.minimum_probes,
        steps={"": whole} | {spec.name: min(whole, spec.recursion.steps) for spec in candidates if spec.recursion},
        problems=problems,
        energy_models=energy_models(block.energy_models, problems),
        devices=devices(block.devices, problems),
        pasts=known_pasts(block),
        refused=frozenset(one.name for one in block.targets or ()) - {one.name for one in targets},
    )
    found = (check for id_, entry in block.checks.items() for check in resolve(id_, entry, setting))
    checks = tuple(_in_a_file(check, problems) for check in found)
    rules = waiver_rules(block.waiver_rules, problems)
    policy = Policy(
        name=block.name,
        path=problems.file,
        digest=digest,
        reference=names.reference(overrides.reference) or ModelSpec("reference", ""),
        candidates=candidates,
        inputs=names.inputs(overrides.inputs) or InputsSpec(""),
        recursion=names.depth(),
        checks=tuple(resolved.check for resolved in checks),
        targets=targets,
        noise_floor=NoiseFloorSpec(**block.noise_floor.model_dump(exclude={"locked"})),
        run=RunSpec(**block.run.model_dump(exclude={"locked"})),
        minimum_probes=block.minimum_probes,
        calibration=names.calibration(),
        lint=lint_settings(block.lint, problems),
        energy_models=setting.energy_models,
        devices=setting.devices,
        baseline=baseline_spec(block.baseline, problems),
        history=history_spec(block.history, problems),
        waiver_rules=rules,
        waivers=waivers(block.waivers, rules, checks, setting.candidates, problems),
    )
    return policy, checks


def _in_a_file(resolved: Resolved, problems: Problems) -> Resolved:
    """Return a check that reports can point at: one of a base that ships is where the policy's files name that base."""
    if not resolved.check.place.file.startswith(SHIPPED):
        return resolved
    return replace(resolved, check=replace(resolved.check, place=problems.place((EXTENDS,))))


def _complete(examined: Examined, name: str) -> Policy:
    """Return a policy that lacks nothing, or raise the first problem."""
    for error in examined.problems:
        raise error
    policy = examined.policy
    if policy is None:  # cannot be: no policy without a problem
        raise PolicyError("cannot be used", where=name)
    if not policy.reference.path:
        raise missing("reference", "--reference", name)
    if not policy.candidates:
        raise missing("candidates", "--candidate", name)
    if not policy.inputs.use:
        raise missing("inputs", "--inputs", name)
    return policy
