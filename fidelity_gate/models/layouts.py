"""Where the weights are in what a training program saved: wrappers, averaged copies, name prefixes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fidelity_gate.errors import ModelRefused

Named: TypeAlias = Mapping[str, Any]  # tensor name -> tensor, unchecked so far

EMA_KEYS = ("ema_state_dict", "ema_model_state_dict", "ema", "model_ema", "ema_model", "state_dict_ema")
PLAIN_KEYS = ("model_state_dict", "model", "state_dict", "net", "weights", "module")
EMA_INNER_KEYS = ("shadow", "state_dict", "module")
EMA_PREFIXES = ("ema_model.", "model_ema.", "ema.")
# What wrappers put before a name: torch.compile, DataParallel and averaging, the loss head, the ACT wrapper.
PREFIXES = ("_orig_mod.", "module.", "model.", "inner.", "online_model.", *EMA_PREFIXES)
EMA_BOOKKEEPING = frozenset({"n_averaged", "initted", "step", "decay", "num_updates"})


@dataclass(frozen=True, slots=True)
class Found:
    """The weights of a file, names as saved, and how they were found."""

    tensors: Named
    notes: tuple[str, ...] = ()


def find_weights(loaded: object, chosen: str = "") -> Found:
    """Return the weights in a loaded checkpoint, the averaged (EMA) ones where both are there.

    Args:
        loaded: what the file holds. Only its outer mappings are looked at, three levels deep at most.
        chosen: a dotted path of keys that says where they are, when the owner of the gate has said so.

    Raises:
        ModelRefused: there are none, or nobody can tell which they are.
    """
    if not isinstance(loaded, Mapping):
        what = f"holds a {type(loaded).__name__}, not named tensors"
        raise ModelRefused(what, hint="save a state dict: torch.save(model.state_dict(), PATH)")
    if chosen:
        return Found(_named(_at(loaded, chosen), chosen), (f"took the weights under '{chosen}', as asked",))
    plain_key, plain = _first_mapping(loaded, PLAIN_KEYS)
    ema_key, ema = _averaged(loaded)
    if ema is not None:
        return _prefer(ema, ema_key, plain)
    return _split(_named(loaded if plain is None else plain, plain_key))


def strip_prefix(names: tuple[str, ...]) -> str:
    """Return the longest wrapper prefix that all names share ("_orig_mod.model.inner."); often ""."""
    shared = ""
    while True:
        longer = next((p for p in PREFIXES if names and all(name.startswith(shared + p) for name in names)), None)
        if longer is None:
            return shared
        shared += longer


def stripped(tensors: Named) -> dict[str, Any]:
    """Return the tensors under their official keys, sorted."""
    cut = len(strip_prefix(tuple(tensors)))
    return {name[cut:]: tensors[name] for name in sorted(tensors)}


def _first_mapping(loaded: Mapping[Any, Any], keys: tuple[str, ...]) -> tuple[str, Mapping[Any, Any] | None]:
    for key in keys:
        if isinstance(loaded.get(key), Mapping) and loaded[key]:
            return key, loaded[key]
    return "", None


def _averaged(loaded: Mapping[Any, Any]) -> tuple[str, Named | None]:
    for key in EMA_KEYS:
        value = loaded.get(key)
        if value is None or (isinstance(value, Mapping) and not value):
            continue  # training ran without averaging and kept the key
        if not isinstance(value, Mapping):
            raise _unusable(key)
        _, inner = _first_mapping(value, EMA_INNER_KEYS)
        if inner is None and "shadow_params" in value:  # a list without names
            raise _unusable(key)
        return key, _named(value if inner is None else inner, key)
    return "", None


def _unusable(key: str) -> ModelRefused:
    return ModelRefused(
        "holds averaged (EMA) weights without their names, so it cannot be told which weights to judge",
        field=key,
        hint="name the weights to take: model: {weights: model}",
    )


def _prefer(ema: Named, ema_key: str, plain: Mapping[Any, Any] | None) -> Found:
    """Return the averaged weights, and from the plain ones what averaging left out (buffers have no average)."""
    averaged = {name: value for name, value in ema.items() if name not in EMA_BOOKKEEPING}
    note = f"took the EMA weights ('{ema_key}')"
    if plain is None:
        return Found(averaged, (note,))
    base = _named(plain, "")
    raw_of = {name[len(strip_prefix(tuple(base))) :]: name for name in base}
    official = stripped(averaged)
    strangers = sorted(set(official) - set(raw_of))
    if strangers:
        raise ModelRefused("is among the EMA weights only, not among the plain ones", field=strangers[0])
    merged = {raw: official.get(name, base[raw]) for name, raw in raw_of.items()}
    rest = sorted(set(raw_of) - set(official))
    if rest:
        note += f"; not averaged, so from the plain ones: {', '.join(rest)}"
    return Found(merged, (note,))


def _split(tensors: Named) -> Found:
    """Tell averaged from plain weights where one flat mapping holds both (Lightning modules with an EMA copy)."""
    averaged = {name: value for name, value in tensors.items() if name.startswith(EMA_PREFIXES)}
    plain = {name: value for name, value in tensors.items() if name not in averaged and name not in EMA_BOOKKEEPING}
    if not averaged or not plain:
        return Found(tensors)
    return _prefer(averaged, next(iter(averaged)).partition(".")[0] + ".*", plain)


def _at(loaded: Mapping[Any, Any], path: str) -> object:
    value: object = loaded
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            keys = ", ".join(sorted(str(key) for key in loaded)[:8])
            raise ModelRefused(f"has no entry '{path}'", field="weights", hint=f"its keys: {keys}")
        value = value[part]
    return value


def _named(value: object, key: str) -> Named:
    """Return `value` if it is a flat mapping of names; what the names stand for is checked by whoever knows tensors."""
    if not isinstance(value, Mapping):
        raise ModelRefused(f"is a {type(value).__name__}, not named tensors", field=key)
    if not value:
        raise ModelRefused("holds no tensors", field=key)
    for name, entry in value.items():
        if not isinstance(name, str):
            raise ModelRefused(f"a key is a {type(name).__name__}, not a tensor's name", field=key)
        if isinstance(entry, Mapping | list | tuple | str | int | float | None):
            hint = f"known wrappers: {', '.join(PLAIN_KEYS[:3])}; or say where: model: {{weights: KEY}}"
            raise ModelRefused(f"is a {type(entry).__name__}, not a tensor", field=name, hint=hint)
    return value
