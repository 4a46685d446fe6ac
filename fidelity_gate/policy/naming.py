"""What is compared, on what: the policy's reference, candidates, inputs and targets, with the command line's paths."""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.errors import PolicyError, UsageError
from fidelity_gate.policy.plugs import built
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.policy.schema_values import ID_PATTERN, ID_WORDS, RESERVED_NAMES, ZOO
from fidelity_gate.policy.targets import LIMIT_UNITS, SHIPPED
from fidelity_gate.records import Depth, InputsSpec, ModelSpec, Target
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema import PolicyBlock
    from fidelity_gate.policy.schema_models import CandidateBlock, ReferenceBlock, SourceBlock, TargetBlock
    from fidelity_gate.records import Options

_BY_SUFFIX = {".npy": "npz", ".npz": "npz", ".safetensors": "safetensors"}


@dataclass(frozen=True, slots=True)
class Overrides:
    """Paths that the command line gives; nothing overrides a threshold, a depth or a severity.

    Attributes:
        reference: path of the reference.
        candidates: (name, path); names of the policy's candidates, or any where it names none.
        inputs: `FILE.npz`, `zoo:NAME`, or a specification made by the inputs room. It replaces the policy's path; where
            the kind of source is the same, the policy's other options stay.
    """

    reference: str | None = None
    candidates: tuple[tuple[str, str], ...] = ()
    inputs: str | InputsSpec | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Reads the blocks of one policy that name things."""

    block: PolicyBlock
    problems: Problems

    def depth(self) -> Depth:
        """Return the policy's recursion."""
        recursion = self.block.recursion
        return Depth(recursion.h_cycles, recursion.l_cycles, recursion.steps)

    def reference(self, path: str | None) -> ModelSpec | None:
        """Return the reference; None where neither the policy nor the command line names one."""
        written = self.block.reference
        if written is None:
            return ModelSpec("reference", _shown_path(path, "--reference")) if path is not None else None
        spec = self._model("reference", written, ("reference",))
        return replace(spec, path=_shown_path(path, "--reference")) if path is not None else spec

    def candidates(self, given: tuple[tuple[str, str], ...]) -> tuple[ModelSpec, ...]:
        """Return the candidates in the policy's order."""
        blocks = self.block.candidates
        paths = _paths_by_name(given, None if blocks is None else tuple(blocks))
        if blocks is None:
            return tuple(ModelSpec(name, path) for name, path in paths.items())
        specs = [self._candidate(name, block) for name, block in blocks.items()]
        return tuple(replace(spec, path=paths.get(spec.name, spec.path)) for spec in specs)

    def inputs(self, given: str | InputsSpec | None) -> InputsSpec | None:
        """Return where the probes come from; None where neither the policy nor the command line says."""
        written = None if self.block.inputs is None else self._source(self.block.inputs, ("inputs",))
        if given is None:
            return written
        spec = _from_text(given) if isinstance(given, str) else given
        return _merged(written, spec)

    def calibration(self) -> InputsSpec | None:
        """Return where the calibration rows are, where the policy says."""
        if self.block.inputs is None or self.block.inputs.calibration is None:
            return None
        return self._source(self.block.inputs.calibration, ("inputs", "calibration"))

    def targets(self) -> tuple[Target, ...]:
        """Return the policy's targets, shipped ones and its own."""
        found: dict[str, Target] = {}
        for index, block in enumerate(self.block.targets or ()):
            target = self._target(block, ("targets", index))
            if block.name in found:
                self.problems.add(("targets", index), f"the target '{block.name}' is listed twice", "list it once")
            elif target is not None:
                found[target.name] = target
        return tuple(found.values())

    def _target(self, block: TargetBlock, path: Path) -> Target | None:
        written = {word: value for word in LIMIT_UNITS if (value := getattr(block, word)) is not None}
        properties = _properties(block)
        if block.name in SHIPPED:
            if written or properties:
                hint = "choose another name, or remove the other keys"
                self.problems.add(path, f"'{block.name}' ships with the gate and cannot be changed", hint)
            return SHIPPED[block.name]
        if not written and not properties:
            hint = f"{near_or_known(block.name, SHIPPED)}; or give it sram, flash, latency or a property"
            self.problems.add(path, f"no target named '{block.name}' ships with the gate", hint)
            return None
        limits = {word: self._limit(value, LIMIT_UNITS[word], (*path, word)) for word, value in written.items()}
        sram, flash, latency = (limits.get(word) for word in ("sram", "flash", "latency"))
        for index, operator in enumerate(block.operators or ()):
            if operator in (block.operators or [])[:index]:
                self.problems.add((*path, "operators", index), f"'{operator}' is listed twice", "list it once")
        return Target(
            name=block.name,
            sram_bytes=None if sram is None else int(sram),
            flash_bytes=None if flash is None else int(flash),
            latency_s=latency,
            **properties,
        )

    def _limit(self, written: str | float, unit: str, path: Path) -> float | None:
        try:
            limit = parse_quantity(written, unit)
        except QuantityError as error:
            self.problems.add(path, error.what, error.hint)
            return None
        if limit <= 0 or (unit == "bytes" and limit != int(limit)):
            self.problems.add(path, "must be more than nothing, and whole bytes")
            return None
        return limit

    def _model(self, name: str, block: ReferenceBlock, path: Path) -> ModelSpec:
        if block.use is not None and block.use not in registry.table_of("models"):
            hint = near_or_known(block.use, registry.table_of("models"))
            self.problems.add((*path, "use"), f"no model format is named '{block.use}'", hint)
        if "use" in block.model:
            hint = f"use: {block.model['use']} beside path:, above model:"
            self.problems.add((*path, "model", "use"), "stands beside `model`, not in it", hint)
        return ModelSpec(
            name,
            _against(self.problems.folder((*path, "path")), block.path),
            options=_flattened(block.model),
            use=block.use or "",
            place=self.problems.place(path, key=True),
        )

    def _candidate(self, name: str, block: CandidateBlock) -> ModelSpec:
        path: Path = ("candidates", name)
        own = block.recursion
        whole = self.depth()
        depth = whole
        if own is not None:
            depth = Depth(own.h_cycles or whole.h_cycles, own.l_cycles or whole.l_cycles, own.steps or whole.steps)
            if depth == whole:
                self.problems.add((*path, "recursion"), "is the same as the policy's", "remove the block")
        known = [target.name for target in self.block.targets or ()]
        for index, target in enumerate(block.targets or ()):
            if target not in known or target in (block.targets or [])[:index]:
                what = f"'{target}' is not a target of this policy, or named twice"
                self.problems.add((*path, "targets", index), what, near_or_known(target, known) if known else "")
        return replace(
            self._model(name, block, path),
            recursion=None if depth == whole else depth,
            targets=tuple(block.targets or ()),
            uncompressed=block.uncompressed,
        )

    def _source(self, block: SourceBlock, path: Path) -> InputsSpec:
        options = dict(block.__pydantic_extra__ or {})
        place = self.problems.place(path)
        if block.use == "zoo":
            return InputsSpec("zoo", self._zoo_options(options, path), self._folder(path), place)
        if block.use not in registry.table_of("inputs"):
            hint = near_or_known(block.use, [*registry.table_of("inputs"), "zoo"])
            self.problems.add((*path, "use"), f"no source of probes is named '{block.use}'", hint)
            return InputsSpec(block.use, place=place)
        built("inputs", block.use, options, path, self.problems)
        return InputsSpec(block.use, tuple(sorted(options.items())), self._folder(path), place)

    def _folder(self, path: Path) -> str:
        """Return the folder that the paths of a source are against: the one of all files that say its texts."""
        node, _ = self.problems.tree.at(path)
        texts = [
            (key, one) for key, one in (node.entries or {}).items() if key != "use" and isinstance(one.scalar, str)
        ]
        folders = {os.path.dirname(one.place.file) for _, one in texts}  # noqa: PTH120
        if len(folders) > 1:
            what = "is put together of files in several folders, so that its paths could be against either"
            self.problems.add(path, what, "write the whole block in one file", key=True)
        return self.problems.folder((*path, texts[0][0] if texts else "use"))

    def _zoo_options(self, options: dict[str, object], path: Path) -> Options:
        """Return the one option that a source in the zoo has: its path, `zoo:NAME`."""
        name = options.pop("name", None)
        if not isinstance(name, str) or not re.fullmatch(ID_PATTERN, name):
            self.problems.add(
                (*path, "name"), "the zoo needs the name of a model", "`fidelity-gate zoo list` shows them"
            )
        for key in options:
            self.problems.add((*path, key), f"unknown key '{key}'", "the zoo takes a name and nothing else", key=True)
        return (("path", f"{ZOO}{name}"),)


def _properties(block: TargetBlock) -> dict[str, Any]:
    """Return what lint rules want to know of a target, as far as the policy says it."""
    written: dict[str, Any] = {
        "static_only": block.static_only or None,
        "tile": block.tile,
        "int8_min_tokens": block.int8_min_tokens,
        "operators": None if block.operators is None else tuple(sorted(set(block.operators))),
        "max_opset": block.max_opset,
    }
    return {key: value for key, value in written.items() if value is not None}


def _paths_by_name(given: tuple[tuple[str, str], ...], known: tuple[str, ...] | None) -> dict[str, str]:
    """Return the command line's candidates; names that the policy does not know are refused where it names any."""
    paths: dict[str, str] = {}
    for name, path in given:
        if name in paths:
            raise UsageError(f"'{name}' is given twice", field="--candidate", hint="once for each candidate")
        if known is not None and name not in known:
            what = f"'{name}' is not a candidate of this policy"
            raise UsageError(what, field="--candidate", hint=near_or_known(name, known))
        if not re.fullmatch(ID_PATTERN, name) or name.lower() in RESERVED_NAMES:
            raise UsageError(f"'{name}' cannot be the name of a candidate", field="--candidate", hint=ID_WORDS)
        paths[name] = _shown_path(path, "--candidate")
    return paths


def _shown_path(path: str, option: str) -> str:
    if not path.strip() or printable(path, 1000) != path:
        raise UsageError(f"'{path}' is not a path that can be shown", field=option, hint="rename the file")
    return path


def _from_text(text: str) -> InputsSpec:
    """Return the specification of a file or of a zoo entry; other sources are written in the inputs room's own way."""
    _shown_path(text, "--inputs")
    if text.startswith(ZOO):
        return InputsSpec("zoo", (("path", text),))
    use = _BY_SUFFIX.get(os.path.splitext(text)[1])  # noqa: PTH122
    if use is None:
        hint = f"{', '.join(sorted(_BY_SUFFIX))}, or zoo:NAME"
        raise UsageError("cannot tell from its suffix what kind of file it is", where=text, field="--inputs", hint=hint)
    return InputsSpec(use, (("path", text),))


def _merged(written: InputsSpec | None, given: InputsSpec) -> InputsSpec:
    """Return what was given; where it is the same kind of file, with the policy's description of its content."""
    path = dict(given.options).get("path")
    if written is None or written.use != given.use or given.use == "zoo" or not isinstance(path, str):
        return given
    kept = dict(written.options)
    if path.endswith(".npy") or str(kept.get("path", "")).endswith(".npy"):
        # These are files of their own beside the other one, not names inside this one.
        kept = {key: value for key, value in kept.items() if key not in ("inputs", "labels", "identifiers")}
    return replace(given, options=tuple(sorted({**kept, **dict(given.options)}.items())), place=written.place)


def _against(base: str, path: str) -> str:
    """Return a path of the policy as the working folder sees it."""
    return path if path.startswith(ZOO) else os.path.normpath(os.path.join(base, path))  # noqa: PTH118


def _flattened(model: dict[str, object]) -> Options:
    """Return the `model:` block as one level: `carry: {z_H: ...}` becomes `carry.z_H`."""
    flat: dict[str, object] = {}
    for key, value in model.items():
        below = value if isinstance(value, dict) else None
        flat.update({f"{key}.{name}": item for name, item in below.items()} if below is not None else {key: value})
    return tuple(sorted(flat.items()))  # type: ignore[arg-type]  # the schema let only scalars through


def missing(what: str, option: str, file: str) -> PolicyError:
    """Return the error for something that neither the policy nor the command line names."""
    return PolicyError(
        f"names no {what}", where=file, field=what, hint=f"write {what}: in the policy, or give {option}"
    )
