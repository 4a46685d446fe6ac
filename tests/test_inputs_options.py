"""Options of plugs: what a policy, a recipe string and a command line may write."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import pytest

from fidelity_gate import registry
from fidelity_gate.errors import InputsRefused, Internal, PolicyError
from fidelity_gate.records import Aggregate

if TYPE_CHECKING:
    from fidelity_gate.records import Evidence

ROOM = "inputs"


@dataclass(frozen=True, slots=True)
class Base:
    name: str


@dataclass(frozen=True, slots=True)
class Sample(Base):
    evidence: ClassVar[Evidence]  # never resolved: only fields are options

    count: int = 1
    share: float = 0.5
    strict: bool = False
    at: Literal["last", "worst"] | int = "last"
    limit: int | None = None
    grid: tuple[int, int] | None = None
    layers: tuple[int, ...] = ()
    aggregate: Aggregate = Aggregate.MEAN

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputsRefused("must be at least 1", field="count")
        if self.share > 1:
            raise ValueError("a share is at most 1")


@dataclass(frozen=True, slots=True)
class Unresolvable:
    what: Evidence


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__].__name__
    table = {"sample": f"{here}:Sample", "broken": f"{here}:Unresolvable"}
    monkeypatch.setattr("fidelity_gate.inputs.TABLE", table)


def built(*options: tuple[str, object], from_text: bool = False) -> Sample:
    given = options if any(key == "name" for key, _ in options) else (("name", "n"), *options)
    plug = registry.build(ROOM, "sample", given, where="p.yaml:3", field="inputs", from_text=from_text)
    assert isinstance(plug, Sample)
    return plug


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", 7, 7),
        ("share", 1, 1.0),
        ("share", 1e-6, 1e-6),
        ("strict", True, True),
        ("at", "worst", "worst"),
        ("at", 3, 3),
        ("limit", None, None),
        ("limit", 4, 4),
        ("grid", "6x9", (6, 9)),
        ("grid", [6, 9], (6, 9)),
        ("layers", "1x2x3", (1, 2, 3)),
        ("aggregate", "p05", Aggregate.P05),
        ("name", "12", "12"),
    ],
)
def test_a_value_of_the_fields_type_is_taken(key: str, value: object, expected: object) -> None:
    taken = getattr(built((key, value)), key)
    assert taken == expected
    assert type(taken) is type(expected)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("count", "7", 7),
        ("share", "1e-3", 1e-3),
        ("share", ".5", 0.5),
        ("share", "1", 1.0),
        ("strict", "true", True),
        ("at", "last", "last"),
        ("at", "16", 16),
        ("limit", "none", None),
        ("name", "none", "none"),
        ("name", "4", "4"),
        ("grid", "2x3", (2, 3)),
    ],
)
def test_text_is_parsed_where_it_was_asked_for(key: str, value: str, expected: object) -> None:
    taken = getattr(built((key, value), from_text=True), key)
    assert taken == expected
    assert type(taken) is type(expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", "7"),
        ("count", True),
        ("count", 7.0),
        ("count", 2**63),
        ("count", 10**4000),
        ("count", None),
        ("share", True),
        ("share", float("nan")),
        ("share", float("inf")),
        ("share", 10**400),
        ("share", "0.5"),
        ("strict", 1),
        ("strict", "yes"),
        ("at", "first"),
        ("at", True),
        ("at", 1.0),
        ("grid", "6x9x4"),
        ("grid", [True, 2]),
        ("grid", "6x"),
        ("grid", [10**5000, 1]),
        ("layers", []),
        ("aggregate", "minimum"),
        ("name", 4),
        ("name", None),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_allowed(key: str, value: object) -> None:
    with pytest.raises(PolicyError, match=rf"^p\.yaml:3: inputs\.{key}: .*must be ") as caught:
        built((key, value))
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", "0_9"),
        ("count", "010"),
        ("count", "1:30"),
        ("count", "٣"),
        ("count", " 1"),
        ("count", "1.0"),
        ("count", "9" * 25),
        ("share", "nan"),
        ("share", "inf"),
        ("share", "1e309"),
        ("share", "0x1p3"),
        ("share", "1_0.0"),
        ("strict", "yes"),
        ("strict", "True"),
        ("strict", "1"),
    ],
)
def test_text_that_only_looks_like_a_value_is_refused(key: str, value: str) -> None:
    with pytest.raises(PolicyError, match="must be "):
        built((key, value), from_text=True)


def test_an_unknown_option_names_the_nearest_one() -> None:
    with pytest.raises(PolicyError, match=r"sample has no option 'cuont' \(did you mean count\?\)"):
        built(("cuont", 1))


def test_an_unknown_plug_names_the_known_ones_and_raises_the_kind_asked_for() -> None:
    with pytest.raises(InputsRefused, match=r"no source of inputs is named 'sampel' \(did you mean sample\?\)"):
        registry.build(ROOM, "sampel", (), kind=InputsRefused)


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"inputs\.count: given twice"):
        built(("count", 1), ("count", 2))


def test_a_missing_option_is_named() -> None:
    with pytest.raises(PolicyError, match="sample needs name"):
        registry.build(ROOM, "sample", ())


def test_what_the_plug_itself_refuses_gets_the_place_and_the_kind() -> None:
    with pytest.raises(PolicyError, match=r"^p\.yaml:3: inputs\.count: must be at least 1$"):
        built(("count", 0))
    with pytest.raises(PolicyError, match=r"^p\.yaml:3: inputs: a share is at most 1$"):
        built(("share", 2.0))


def test_a_plug_whose_types_exist_for_the_type_checker_only_is_our_bug() -> None:
    with pytest.raises(Internal, match=r"Unresolvable\.what"):
        registry.build(ROOM, "broken", (("what", 1),))
