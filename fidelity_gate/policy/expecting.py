"""`*.expect.yaml`: what a policy is expected to make of some figures -> cases that can be judged and compared."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from fidelity_gate.errors import GateError, PolicyError
from fidelity_gate.policy.problems import Problems, near_or_known
from fidelity_gate.policy.schema_values import Block, Day, Digest, Id, PathText, Scalar, kind_of
from fidelity_gate.policy.yaml_reader import read_tree
from fidelity_gate.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.policy.problems import Path
    from fidelity_gate.records import Place, Policy

API_VERSION = "fidelity-gate/expect-v1"
NOT_MEASURED = Outcome.NOT_MEASURED.value


def _figure(value: object) -> object:
    """Take one value for every probe, or a list of values with the number of probes that have each."""
    parts = value if isinstance(value, list) else [{"value": value, "probes": 1}]
    for part in parts:
        whole = isinstance(part, dict) and part.keys() == {"value", "probes"}
        if not whole or isinstance(part["value"], list | dict | bool) or type(part["probes"]) is not int:
            hint = "a figure such as 0.97 or 98 %, or a list of {value: 0.97, probes: 95}"
            raise PydanticCustomError("policy", "{kind} is no figure", {"kind": kind_of(part), "hint": hint})
        if part["probes"] < 1:
            raise PydanticCustomError("policy", "has less than one probe", {"hint": "leave the part out"})
    if not parts:
        raise PydanticCustomError("policy", "is empty", {"hint": "name a figure"})
    return value


def _outcomes(value: object) -> object:
    """Take one outcome, or one for each candidate."""
    for one in value.values() if isinstance(value, dict) else [value]:
        if one not in _OUTCOMES:
            hint = near_or_known(str(one), _OUTCOMES)
            raise PydanticCustomError("policy", "{kind} is no outcome", {"kind": kind_of(one), "hint": hint})
    return value


_OUTCOMES = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.INTERNAL)

Figure = Annotated[Any, PlainValidator(_figure)]
Outcomes = Annotated[Any, PlainValidator(_outcomes)]


class ExpectBlock(Block):
    """What is expected of one case."""

    exit: Literal[0, 1, 2, 3] = Field(description="The exit code.")
    checks: dict[str, Outcomes] = Field(
        default_factory=dict, description="The outcome of a check (or check@target), or one for each candidate."
    )
    others: Literal["pass", "warn", "waived", "fail", "inconclusive", "not-measured", "refused"] | None = Field(
        default=None, description="The outcome of every check that is not named and not off."
    )


class CaseBlock(Block):
    """Some figures, and what is expected of them."""

    figures: dict[str, Figure] = Field(default_factory=dict, description="By check or metric, for every candidate.")
    figures_of: dict[Id, dict[str, Figure]] = Field(default_factory=dict, description="For one candidate.")
    probes: int | None = Field(default=None, ge=1, le=100_000, description="How many; else the file's.")
    noise_floor: float | None = Field(default=None, ge=-1, le=1, description="The reference's fidelity to itself.")
    day: Day | None = Field(default=None, description="On which it is judged; else the file's.")
    digests: dict[Id, Digest] = Field(
        default_factory=dict, description="SHA-256 of a candidate's file; else the file that waivers of it are for."
    )
    measurements: PathText | None = Field(default=None, description="A saved measurement, instead of figures.")
    expect: ExpectBlock = Field(description="What the policy makes of it.")


class ExpectationsBlock(Block):
    """A file of expectations: one policy, and cases."""

    api_version: Literal["fidelity-gate/expect-v1"] = Field(alias="apiVersion", description=API_VERSION)
    policy: PathText = Field(description="The policy, against this file's folder.")
    candidates: list[Id] | None = Field(default=None, min_length=1, description="Where the policy names none.")
    probes: int | None = Field(default=None, ge=1, le=100_000, description="How many; else the policy's minimum.")
    day: Day | None = Field(default=None, description="On which cases are judged, in UTC; where waivers are.")
    figures: dict[str, Figure] = Field(default_factory=dict, description="Of every case that says nothing else.")
    cases: dict[Id, CaseBlock] = Field(min_length=1, description="By name.")


@dataclass(frozen=True, slots=True)
class Expectations:
    """A file of expectations that was read; its policy is not looked at yet.

    Attributes:
        policy: its path, as the working folder sees it.
        block: everything it says.
        places: of everything it says.
    """

    policy: str
    block: ExpectationsBlock
    places: Problems

    @property
    def folder(self) -> str:
        """Return the folder that its paths are against."""
        return os.path.dirname(self.places.file)  # noqa: PTH120

    def place(self, case: str) -> Place:
        """Return where a case is written."""
        return self.places.place(("cases", case), key=True)


def day_of(expectations: Expectations, case: str, policy: Policy) -> str:
    """Return the day on which a case is judged; "" where nothing depends on it.

    Raises:
        PolicyError: the policy has waivers, and neither the case nor its file names a day.
    """
    day = expectations.block.cases[case].day or expectations.block.day
    if day is None and policy.waivers:
        hint = f"day: {policy.waivers[0].created} in the case or at the top of the file"
        raise _error(expectations.places, ("cases", case), "says no day, and the policy has waivers", hint)
    return day or ""


def read_expectations(data: bytes, name: str) -> Expectations:
    """Return what a file of expectations says.

    Raises:
        PolicyError: the first thing that is wrong with it, with its line, column and key.
    """
    tree = read_tree(data, name)
    problems = Problems(tree, name, root=ExpectationsBlock)
    try:
        block = ExpectationsBlock.model_validate(tree.plain())
    except ValidationError as error:
        problems.add_invalid(error)
        problems.refuse_any()
        raise PolicyError("cannot be used", where=name) from error  # cannot be: the line above raises
    folder = os.path.dirname(name)  # noqa: PTH120
    return Expectations(os.path.normpath(os.path.join(folder, block.policy)), block, problems)  # noqa: PTH118


def expected(expectations: Expectations, case: str, policy: Policy) -> dict[tuple[str, str, str], tuple[str, Path]]:
    """Return what is expected of single checks: (check, target, candidate) -> (outcome, where it is said).

    Raises:
        PolicyError: a check, target or candidate that the policy does not have.
    """
    names = [spec.name for spec in policy.candidates]
    found: dict[tuple[str, str, str], tuple[str, Path]] = {}
    for key, outcomes in expectations.block.cases[case].expect.checks.items():
        path: Path = ("cases", case, "expect", "checks", key)
        for check, target in _named(key, policy, path, expectations.places):
            of_each: Mapping[str, Any] = outcomes if isinstance(outcomes, dict) else dict.fromkeys(names, outcomes)
            for name, outcome in of_each.items():
                if name not in names:
                    hint = near_or_known(name, names)
                    raise _error(expectations.places, (*path, name), f"'{name}' is not a candidate", hint)
                found[check, target, name] = outcome, path
    return found


def _named(key: str, policy: Policy, path: Path, places: Problems) -> Iterator[tuple[str, str]]:
    """Yield the checks that a key names: of one target, or of all."""
    name, _, target = key.partition("@")
    hits = [one for one in policy.checks if one.id == name and target in ("", one.target)]
    if not hits:
        known = [f"{one.id}@{one.target}" if one.target else one.id for one in policy.checks]
        raise _error(places, path, f"'{key}' is not a check of the policy", near_or_known(key, known))
    yield from ((one.id, one.target) for one in hits)


def _error(places: Problems, path: Path, what: str, hint: str) -> GateError:
    return PolicyError(what, where=str(places.place(path, key=True)), field=".".join(map(str, path)), hint=hint)


def scalar_or_parts(figure: Any) -> list[tuple[Scalar, int | None]]:  # noqa: ANN401  (a figure)
    """Return the values of a figure with how many probes have each; None where all have."""
    if isinstance(figure, list):
        return [(part["value"], part["probes"]) for part in figure]
    return [(figure, None)]
