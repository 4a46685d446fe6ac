"""The perf.yaml that ai-hub-models publishes beside every model -> rows of a table of published figures.

    precisions: {float: {components: {ResNet18: {performance_metrics: {Samsung Galaxy S24: {tflite:
      {job_status: Passed, inference_time_milliseconds: 0.885, estimated_peak_memory_range_mb: {min: 0, max: 159},
       primary_compute_unit: NPU, layer_counts: {total: 38, npu: 38}, tool_versions: {tflite: 2.17.0}}}}}}}}

The file names neither its model nor its day: whoever records it says both. A job that failed has no time, and one of a
language model has tokens a second instead; both are counted, and are no row.

Source: `QAIHMModelPerf` in qai_hub_models/configs/perf_yaml.py, as it is since 2025; files before that list `models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.device_records.published import Table, of_rows
from fidelity_gate.errors import NotMeasured, Refused
from fidelity_gate.json_fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.device_records.saved import SavedProfile

_PRECISIONS, _TIME, _PASSED = "precisions", "inference_time_milliseconds", "Passed"
# Of one device and runtime; all that is told, but for the job's id, which strangers cannot look at.
_IGNORED = ("job_id", "llm_metrics")


@dataclass(frozen=True, slots=True)
class Found:
    """What a perf.yaml holds."""

    profiles: tuple[SavedProfile, ...]
    timeless: int  # jobs that failed, and language models


def profiles_of(content: object, model: str, table: Table) -> Found:
    """Return the profiles of a file, in its order.

    Args:
        content: the parsed file.
        model: what it is of, as the policy will name it.
        table: the file, where it is from, and when it was published.

    Raises:
        Refused: it is no such file, or a field is missing, unknown, of the wrong type or beyond its limits.
        NotMeasured: it holds no time at all.
    """
    if not isinstance(content, dict) or _PRECISIONS not in content:
        hint = "the perf.yaml of a model of ai-hub-models, of 2025 or later"
        raise Refused("has no such key, and is no perf.yaml", where=table.where, field=_PRECISIONS, hint=hint)
    jobs = list(_jobs(Fields(content, table.where, "", Refused)))
    timed = [(path, _row(job, keys, model)) for path, keys, job in jobs if _has_time(job)]
    if not timed:
        what = f"holds no time: its {len(jobs)} jobs failed, or are of language models"
        raise NotMeasured(what, where=table.where, hint="nothing was recorded")
    return Found(of_rows(timed, table), len(jobs) - len(timed))


def _jobs(whole: Fields) -> Iterator[tuple[str, tuple[str, str, str, str], Fields]]:
    """Yield where each job stands, its precision, component, device and runtime, and what it says."""
    precisions = whole.inner(_PRECISIONS)
    for precision in precisions.names():
        components = precisions.inner(precision).inner("components")
        for component in components.names():
            inside = components.inner(component)
            if "performance_metrics" not in inside.names():  # only files, nothing was timed
                continue
            metrics = inside.inner("performance_metrics")
            for device in metrics.names():
                runtimes = metrics.inner(device)
                for runtime in runtimes.names():
                    job = runtimes.inner(runtime)
                    yield job.path, (precision, component, device, runtime), job


def _has_time(job: Fields) -> bool:
    names = job.names()
    return _TIME in names and ("job_status" not in names or job.text("job_status") == _PASSED)


def _row(job: Fields, keys: tuple[str, str, str, str], model: str) -> dict[str, object]:
    """Return a job as a row of the table that `published` reads; raises Refused for what it says beside that."""
    precision, component, device, runtime = keys
    names = job.names()
    row: dict[str, object] = {
        "model": model,
        "component": component,
        "precision": precision,
        "device": device,
        "runtime": runtime,
        "inference_time_ms": job.value(_TIME),
    }
    if "estimated_peak_memory_range_mb" in names:
        ends = job.inner("estimated_peak_memory_range_mb")
        row["peak_mb"] = [ends.value("min"), ends.value("max")]
        ends.done()
    if "primary_compute_unit" in names and job.value("primary_compute_unit") != "null":  # so it is written
        row["unit"] = job.text("primary_compute_unit")
    if "layer_counts" in names:
        row["layers"] = job.inner("layer_counts").content
    if "tool_versions" in names:
        tools = job.inner("tool_versions")
        row["tools"] = {name: str(tools.value(name)) for name in tools.names()}  # 2.17 is a number to YAML
    for name in ("job_status", *_IGNORED):
        if name in names:
            job.value(name)
    job.done()
    return row
