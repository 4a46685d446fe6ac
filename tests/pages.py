"""Reports with something in every part of a page, and a strict look at a page's markup."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

from made import DEPTH, FIDELITY, FITS, facts, measured, measurement, policy, sram

from fidelity_gate.judge import conclude, judge
from fidelity_gate.records import (
    Aggregate,
    Bound,
    CheckResult,
    Compute,
    CurvePoint,
    Depth,
    DeviceJob,
    DeviceProfile,
    DeviceRun,
    Direction,
    Exhibit,
    Finding,
    Footprint,
    Geometry,
    Linted,
    Location,
    LocationKind,
    Memory,
    NoiseFloor,
    Outcome,
    Report,
    Role,
    Severity,
    Target,
    TensorFact,
    UnitShare,
    Verdict,
)

CREATED = "2026-01-02T03:04:05+00:00"
PROBES = 40
GRID = (1, 2, 1, 4, 1, 1, 3, 1, 1, 1, 1, 2, 3, 1, 1, 1)
RIGHT = (5, 2, 3, 4, 4, 3, 3, 5, 2, 5, 4, 2, 3, 4, 5, 2)
WRONG = (5, 2, 3, 4, 4, 3, 3, 2, 2, 5, 4, 2, 3, 4, 2, 2)
NAMES = ("int8", "int4", "int4-late")
TARGETS = (Target("soc-8mb", sram_bytes=9_000_000, flash_bytes=500), Target("mcu-4mb", sram_bytes=60_000))
VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))


def exhibit(candidate: str, probe: int = 3, **fields: object) -> Exhibit:
    """Return a 4x4 sudoku in which the candidate has two cells wrong."""
    made = Exhibit(candidate, probe, (4, 4), GRID, RIGHT, WRONG, 0, RIGHT, 0.41, tuple("_.1234"))
    return replace(made, **fields)  # type: ignore[arg-type]


def curve(lost: float, steps: int = 6) -> tuple[CurvePoint, ...]:
    """Return a fidelity that falls by so much a step."""
    return tuple(CurvePoint(s, 1 - lost * s, 1 - 2 * lost * s, 1 - 4 * lost * s) for s in range(1, steps + 1))


def record(name: str, share: float):
    """Return a model with everything that a report may say of one."""
    tensors = (
        TensorFact("blk.w", Role.BLOCK, (64, 64), "int4 per tensor", 4, int(900 * share), 10),
        TensorFact("emb", Role.EMBEDDING, (6, 16), "float32", 32, 90),
    )
    finding = Finding(
        "FG201",
        "per-tensor-low-bits",
        Severity.ERROR,
        f"{name}.safetensors",
        name,
        Location(LocationKind.TENSOR, "blk.w"),
        "one scale for all 4,096 weights at 4 bits",
        "It breaks.",
        "Use int8.",
    )
    warned = replace(finding, code="FG203", severity=Severity.WARN, rule="outlier-stretches-scale")
    job = DeviceJob("j1", "https://hub.example/j1", "Galaxy S24", "14", "onnx", "npu", "ab" * 32, CREATED, True)
    run = DeviceRun(
        device="phone",
        plug="qai-hub",
        machine=(("processor", "Hexagon"), ("threads", 1)),
        run_seconds=tuple(0.011 + 0.0002 * k for k in range(30)),
        puzzle_seconds=(0.17, 0.18, 0.21),
        memory=Memory(30_000_000, 9_000_000),
        told="two runs a step",
        job=job,
        profile=DeviceProfile((UnitShare("npu", 40), UnitShare("cpu", 2)), 0.011, 1.2, 0.1, 70_000, 9, (1, 2)),
    )
    return replace(
        measured().reference,
        name=name,
        facts=replace(
            facts(name),
            tensors=tensors,
            size_bytes=int(1100 * share),
            geometry=Geometry(16, 32, 2, 4096),
            recipe=f"{name},heads=float32",
            notes=("took the EMA weights",),
        ),
        footprint=Footprint(int(40_000 * share), int(70_000 * share), int(30_000 * share), 0.5),
        compute=Compute(1e6, 6e6, 48e6, DEPTH, "closed form"),
        linted=Linted((finding, warned), ("FG201", "FG203"), (("FG301", "no graph"),)),
        device_runs=(run, DeviceRun(device="laptop", gap="no such machine")),
    )


def rich(names: tuple[str, ...] = NAMES, **fields: object) -> Report:
    """Return a report with failures, warnings, what is inconclusive and what is not measured, and all evidence."""
    checks = (
        FIDELITY,
        replace(FIDELITY, id="tail", aggregate=Aggregate.P05, bound=Bound(minimum=0.9)),
        replace(FIDELITY, id="soft", severity=Severity.WARN, bound=Bound(minimum=0.9999)),
        replace(FIDELITY, id="quiet", severity=Severity.OFF),
        replace(FIDELITY, id="halting", metric="halt_agreement"),
        replace(FIDELITY, id="same", metric="answer_agreement", options=(("level", "puzzle"),)),
        replace(FIDELITY, id="norm", metric="carry_norm_ratio", bound=Bound(minimum=0.9, maximum=1.1)),
        replace(FITS, bound=Bound(maximum=60_000, text="max: target.sram = 60 kB"), target="mcu-4mb"),
        replace(FITS, id="known-mistakes", metric="lint", bound=Bound(maximum=0), target=""),
    )
    found = []
    for place, name in enumerate(names):
        lost = 0.0004 * 12 ** min(place, 2)
        values = tuple(max(-1.0, 1 - lost * (6 + k % 7)) for k in range(PROBES))
        floor = {"floored": True, "floor_values": (1.0,) * PROBES, "floor_curve": curve(1e-9)}
        found += [
            measurement(values, candidate=name, curve=curve(lost), detail="stream z_H", **floor),
            measurement(
                tuple(float(k % 9 > place) for k in range(PROBES)),
                candidate=name,
                metric="answer_agreement",
                options=(("level", "puzzle"),),
                unit="fraction",
                **floor,
            ),
            measurement(
                tuple(1 + 0.001 * k for k in range(PROBES)),
                candidate=name,
                metric="carry_norm_ratio",
                direction=Direction.BOTH,
                **floor,
            ),
            sram(40_000.0 + 30_000 * place, candidate=name),
            replace(sram(float(place), candidate=name), metric="lint", unit=""),
        ]
    data = measured(
        *found,
        probes=PROBES,
        candidates=names,
        reference=record("reference", 1.0),
        noise_floor=NoiseFloor(1e-6, 0.99, (0.999999,) * PROBES, curve(1e-9)),
        exhibits=tuple(exhibit(name, probe) for name in names for probe in (6, 5)),
    )
    data = replace(data, candidates=tuple(record(name, 0.5 - 0.05 * min(k, 8)) for k, name in enumerate(names)))
    made = policy(*checks, candidates=names, targets=TARGETS)
    return replace(Report(judge(made, data), made, data, CREATED), **fields)  # type: ignore[arg-type]


def every_outcome() -> Report:
    """Return a report with one check of every outcome."""
    outcomes = [outcome for outcome in Outcome if outcome is not Outcome.OFF]
    results = tuple(
        CheckResult(replace(FIDELITY, id=f"check-{outcome.value}"), "int8", outcome, "", 0.5, -0.47, 1, "because")
        for outcome in outcomes
    )
    made = policy()
    return Report(conclude(made, results), made, None, CREATED)


def stopped(code: int = 2, kind: Outcome = Outcome.REFUSED) -> Report:
    """Return the report of a run that ended before it was judged."""
    verdict = Verdict("", "", (), 0, 0, passed=False, exit_code=code, reason="ref.pt: is a folder")
    return Report(verdict, None, None, CREATED, error="ref.pt: is a folder", error_kind=kind)


def streaming() -> Report:
    """Return a report of a model without answers: no labels, no puzzles, other depths."""
    data = measured(
        measurement((0.98,) * 30, curve=curve(0.001, 400), detail="stream h"),
        probes=30,
        noise_floor=NoiseFloor(1e-6, 0.99, (1.0,) * 30),
    )
    made = policy()
    data = replace(data, candidates=(replace(data.candidates[0], depth=Depth(1, 1, 400), alignment="at the last"),))
    return Report(judge(policy(), replace(data, candidates=measured().candidates)), made, data, CREATED)


@dataclass
class Look(HTMLParser):
    """Reads a page strictly: every element closed in order, every attribute once and quoted, every id unique."""

    open: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(set(names)) != len(names):
            self.faults.append(f"<{tag}> has an attribute twice")
        values = dict(attrs)
        self.seen.append((tag, values))
        if values.get("id") in self.ids:
            self.faults.append(f"id {values['id']} twice")
        self.ids |= {values["id"]} if "id" in values else set()
        self.links += [values["href"]] if "href" in values else []
        raw = self.get_starttag_text() or ""
        unquoted = raw.count("=") and raw.count('"') < 2 * sum(value is not None for value in values.values())
        if unquoted:
            self.faults.append(f"unquoted in {raw[:80]}")
        if tag not in VOID and not raw.endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-3:]}")
            return
        self.open.pop()

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    def unknown_decl(self, data):
        self.faults.append(f"a declaration {data[:40]}")


def looked(page: str) -> Look:
    """Return what a page holds; its faults are in `faults`."""
    look = Look()
    look.feed(page)
    look.close()
    if look.open:
        look.faults.append(f"never closed: {look.open}")
    return look
