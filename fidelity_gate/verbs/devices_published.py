"""Reads the perf.yaml of a model of ai-hub-models, for `devices record`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.device_records import perf_yaml
from fidelity_gate.device_records.published import Table
from fidelity_gate.errors import PolicyError, Refused
from fidelity_gate.files import read_file

if TYPE_CHECKING:
    from fidelity_gate.device_records.perf_yaml import Found

LIMIT_BYTES = 2 * 2**20  # the largest of ai-hub-models has about a tenth of that
LIMIT_NODES = 100_000
_DIGEST_SHOWN = 16


def of_perf_yaml(path: str, model: str, day: str) -> Found:
    """Return what a perf.yaml holds.

    Args:
        path: the file.
        model: what it is of.
        day: when it was published, ISO 8601.

    Raises:
        Refused: it is no such file, or holds what cannot be.
        NotMeasured: it holds no time.
    """
    from fidelity_gate.policy.yaml_reader import read_tree

    file = read_file(path, limit_bytes=LIMIT_BYTES)
    try:
        tree = read_tree(file.data, path, limit_bytes=LIMIT_BYTES, limit_nodes=LIMIT_NODES)
    except PolicyError as error:
        raise Refused(error.what, where=error.where, field=error.field, hint="as ai-hub-models publishes it") from error
    source = f"ai-hub-models, {Path(path).name} (sha256 {file.digest[:_DIGEST_SHOWN]})"
    return perf_yaml.profiles_of(tree.plain(), model, Table(path, source, day))
