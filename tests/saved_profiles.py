"""Saved profiles for tests: one that is bound to everything, to be changed by whoever looks for what breaks it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from fidelity_gate.device_records.saved import Origin, SaidDepth, SavedProfile
from fidelity_gate.records import DeviceProfile, UnitShare

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
DIGEST = "ab" * 32
GRAPH = "cd" * 32
RUNS = tuple(0.010 + 0.0001 * run for run in range(30))  # 10 to 12.9 ms
MIB = 2**20
ON_NPU = DeviceProfile(
    shares=(UnitShare("npu", 123, 0.009, (("MatMul", 18),)),),
    estimated_seconds=0.010,
    first_load_seconds=0.2,
    process_peak_bytes=160 * MIB,
    inference_peak_bytes=(2 * MIB, 40 * MIB),
)
PROFILE = SavedProfile(
    origin=Origin.RUN,
    source="verdict.json (sha256 0123456789abcdef)",
    model="sudoku",
    variant="int8",
    precision="int8",
    device="Samsung Galaxy S24",
    runtime="onnx",
    measured="2026-05-01T10:00:00Z",
    os="14",
    compute_unit="npu",
    model_digest=DIGEST,
    graph_digest=GRAPH,
    file_bytes=5 * MIB,
    depth=SaidDepth(3, 6, 16),
    runs_per_step=3,
    tokens=97,
    smallest_side=97,
    job_id="jabc123",
    job_url="https://hub.example/jobs/jabc123/",
    options="--target_runtime onnx",
    tools=(("qairt", "2.42"),),
    run_seconds=RUNS,
    profile=ON_NPU,
)
PUBLISHED = replace(
    PROFILE,
    origin=Origin.PUBLISHED,
    source="somebody's table",
    model="TRM Sudoku",
    variant="int8",
    measured="2026-04-01",
    os="",
    runtime="",
    compute_unit="",
    model_digest="",
    graph_digest="",
    depth=SaidDepth(3, None, 16),
    runs_per_step=1,
    job_id="",
    job_url="",
    run_seconds=(),
    peak_bytes=160 * MIB,
    profile=DeviceProfile(estimated_seconds=0.02723),
)


def profile(**changes) -> SavedProfile:
    """Return the profile with some of its fields changed."""
    return replace(PROFILE, **changes)


def published(**changes) -> SavedProfile:
    """Return the published row with some of its fields changed."""
    return replace(PUBLISHED, **changes)
