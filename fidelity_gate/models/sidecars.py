"""What stands beside a model file about its architecture: `<file>.model.yaml`, or an official `all_config.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.json_fields import parse
from fidelity_gate.model_files import own_file
from fidelity_gate.models.flat_yaml import LIMIT_BYTES, scalars

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import ModelFile, ModelSpec, Options, Scalar

SIDECAR_SUFFIX = ".model.yaml"
OFFICIAL_CONFIG = "all_config.yaml"
OFFICIAL_DATASET = "dataset.json"
# The policy's own keys of a `model:` block, which say how to read the file and nothing of the architecture.
READING_KEYS = frozenset({"use", "weights"})

# Official names -> this project's. Where a family has no such field, the fact is not needed and passed over.
_OFFICIAL: Mapping[str, tuple[str, ...]] = {
    "H_cycles": ("h_cycles",),
    "L_cycles": ("l_cycles",),
    "H_layers": ("h_layers",),
    "L_layers": ("l_layers", "layers"),
    "halt_max_steps": ("steps",),
    "hidden_size": ("hidden_size",),
    "num_heads": ("num_heads",),
    "expansion": ("expansion",),
    "pos_encodings": ("positions",),
    "puzzle_emb_ndim": ("puzzle_emb_ndim",),
    "puzzle_emb_len": ("puzzle_emb_len",),
    "rms_norm_eps": ("rms_norm_eps",),
    "rope_theta": ("rope_theta",),
}
_OFFICIAL_MODULES: Mapping[str, str] = {"trm": "trm", "hrm": "hrm", "hrm_act_v1": "hrm"}
_ARCH = "arch."
_DATASET = ("vocab_size", "seq_len", "num_puzzle_identifiers")


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody's word on an architecture.

    Attributes:
        name: who says so: "the policy", or a file's name.
        hints: fields of a family, as they say.
        strict: every hint must be a field of the family; official configurations say much that is not.
        file: where it stands, beside the model; None for the policy.
    """

    name: str
    hints: Options
    strict: bool
    file: ModelFile | None = None


def sources_of(spec: ModelSpec) -> tuple[Source, ...]:
    """Return every source on a model's architecture, the one that counts most first.

    Raises:
        ModelRefused: a file beside the model cannot be read as what its name says.
    """
    own = tuple((key, value) for key, value in spec.options if key not in READING_KEYS)
    beside = [_sidecar(Path(spec.path + SIDECAR_SUFFIX)), *_official(Path(spec.path).parent / OFFICIAL_CONFIG)]
    return (Source("the policy", own, strict=True), *(source for source in beside if source is not None))


def sources_in(path: str) -> tuple[Source, ...]:
    """Return what a configuration says of an architecture without any weights: an official one, or a `.model.yaml`.

    Raises:
        ModelRefused: the file, or the official data set's facts beside it, cannot be read.
    """
    file = read_file(path, limit_bytes=LIMIT_BYTES, kind=ModelRefused)
    official = any(key.startswith(_ARCH) for key in scalars(file.data, where=path))
    found = _official(Path(path)) if official else [_sidecar(Path(path))]
    return tuple(source for source in found if source is not None)


def _sidecar(path: Path) -> Source | None:
    if not _is_there(path):
        return None
    file = read_file(path, limit_bytes=LIMIT_BYTES, kind=ModelRefused)
    found = scalars(file.data, where=str(path), strict=True)
    for key in sorted(READING_KEYS & set(found)):
        raise ModelRefused("may be said in the policy only", where=path, field=key)
    return Source(path.name, tuple(sorted(found.items())), strict=True, file=own_file(file))


def _official(config: Path) -> list[Source | None]:
    """Return what an official training run left beside its checkpoints; the data set's facts count only with it."""
    if not _is_there(config):
        return []
    file = read_file(config, limit_bytes=LIMIT_BYTES, kind=ModelRefused)
    told = scalars(file.data, where=str(config))
    arch = {path.removeprefix(_ARCH): value for path, value in told.items() if path.startswith(_ARCH)}
    hints = _translated(arch)
    source = Source(config.name, tuple(sorted(hints.items())), strict=False, file=own_file(file))
    return [source, _dataset(config.with_name(OFFICIAL_DATASET))]


def _translated(arch: Mapping[str, Scalar]) -> dict[str, Scalar]:
    hints: dict[str, Scalar] = {}
    for official, value in arch.items():
        if value is not None:
            hints |= dict.fromkeys(_OFFICIAL.get(official, ()), value)
    if isinstance(arch.get("mlp_t"), bool):
        hints["mixer"] = "mlp" if arch["mlp_t"] else "attention"
    if isinstance(arch.get("name"), str):
        # "recursive_reasoning.trm@TinyRecursive...": variants such as trm_singlez have the same class and tensor names
        # but another recursion, so the module counts, and one that nobody knows is refused further on.
        module = str(arch["name"]).partition("@")[0].rpartition(".")[2]
        hints["family"] = _OFFICIAL_MODULES.get(module, module)
    return hints


def _dataset(path: Path) -> Source | None:
    if not _is_there(path):
        return None
    file = read_file(path, limit_bytes=LIMIT_BYTES, kind=ModelRefused)
    told = parse(file.data, where=path, kind=ModelRefused)
    if not isinstance(told, dict):
        raise ModelRefused("must be an object", where=path)
    hints = tuple((key, told[key]) for key in sorted(_DATASET) if isinstance(told.get(key), int))
    return Source(path.name, hints, strict=False, file=own_file(file))


def _is_there(path: Path) -> bool:
    """Return whether something has this name, be it readable or not: what cannot be read is refused, not ignored."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):  # the model file itself will say what is wrong with this name
        return False
    return True
