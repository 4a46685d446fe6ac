"""The weights of a step graph: what its constants are for, what they take, and their values one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.quantization import CODE_BOOK, PACKED, dense, layout_of, quantized
from fidelity_gate.graphs.uses import weight_uses
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Granularity, Role, TensorFact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.graphs.content import Content
    from fidelity_gate.graphs.quantization import Layout
    from fidelity_gate.graphs.reading import OnnxFile
    from fidelity_gate.graphs.uses import Scheme, WeightUse
    from fidelity_gate.records import GraphConstant, QuantizedWeight, StepGraph


def roles(graph: StepGraph, uses: Mapping[str, WeightUse]) -> Mapping[str, Role]:
    """Return what the used constants are for.

    A matrix that a state output depends on is of the recursive block; every other one is a head. What rows are looked
    up in is an embedding. Where no state is known, every matrix counts as the block's: it is applied at every step.
    """
    on_path = {node.index for node in Wiring(graph).block}
    found: dict[str, Role] = {}
    for name, use in uses.items():
        if any(node.index in on_path or not graph.states for node in use.products):
            found[name] = Role.BLOCK
        elif use.lookups and len(graph.constants[name].shape) > 1:
            found[name] = Role.EMBEDDING
        elif use.products:
            found[name] = Role.HEAD
    return found


@dataclass(frozen=True, eq=False)
class GraphWeights:
    """The constants of an ONNX file (the `Weights` protocol); their bytes stay in the file until somebody asks.

    Shapes are the file's own, so which axis counts output channels depends on the operator (`WeightUse.out_axis`): it
    is the last one of MatMul's right operand. Only MatMulNBits packs its operand, and has the shape (N, K) here.
    """

    file: OnnxFile
    where: str

    @cached_property
    def uses(self) -> Mapping[str, WeightUse]:
        """Return constant -> what the graph does with it."""
        return weight_uses(self.file.graph)

    def facts(self) -> tuple[TensorFact, ...]:
        """Return every constant as it is stored, sorted by name; scales and zero points count to what they belong to.

        Raises:
            ModelRefused: a weight and its scales do not fit one another.
        """
        graph, roles_by_name = self.file.graph, roles(self.file.graph, self.uses)
        counted: set[str] = set()
        facts = []
        for name, constant in graph.constants.items():
            if name not in self._belongings:
                own = self._parts(name) - counted
                counted |= own
                overhead = sum(graph.constants[part].stored_bytes for part in own)
                facts.append(self._fact(constant, roles_by_name.get(name, Role.OTHER), overhead))
        return tuple(facts)

    def quantized(self, name: str) -> QuantizedWeight | None:
        """Return the integers and scales of a constant; None where it holds floats, or no scales are known."""
        content, stored = self._content(name), self._stored(name)
        if stored is None or not stored[1].readable or not content.element.integer:
            return None
        return self._quantized(content, *stored)

    def dense(self, name: str) -> NDArray[np.float32]:
        """Return the values of a constant in its logical shape; raises ModelRefused where they cannot be told."""
        content, stored = self._content(name), self._stored(name)
        use = self.uses.get(name)
        if stored is None and not (content.element.integer and use and (use.products or use.lookups)):
            return self._plain(content)
        if stored is None or not stored[1].readable:
            raise ModelRefused("has scales that the file does not tell", where=self.where, field=name)
        return dense(self._quantized(content, *stored), stored[1])

    # ------------------------------------------------------------ how a constant is stored

    @cached_property
    def _belongings(self) -> frozenset[str]:
        """Return the constants that are scales or zero points of others, and nothing else of interest."""
        parts = {part for name in self.uses for part in self._parts(name)}
        return frozenset(parts - {name for name, use in self.uses.items() if use.products or use.lookups})

    def _parts(self, name: str) -> set[str]:
        use = self.uses.get(name)
        return {use.scheme.scale, use.scheme.zero} - {"", name} if use and use.scheme else set()

    def _stored(self, name: str) -> tuple[Scheme, Layout] | None:
        """Return how a quantized constant is stored; None for one that is stored as what it is."""
        scheme = self.uses[name].scheme if name in self.uses else None
        if scheme is None:
            return None
        constants = self.file.graph.constants
        bits = self.file.contents[name].element.bits
        try:
            return scheme, layout_of(constants[name], bits, scheme, constants.get(scheme.scale))
        except ModelRefused as error:
            raise self._located(error) from error

    def _fact(self, constant: GraphConstant, role: Role, overhead: int) -> TensorFact:
        stored = self._stored(constant.name)
        if stored is None:
            element = self.file.contents[constant.name].element
            bits = float(element.bits) or 8 * constant.stored_bytes / max(1, constant.values)
            return TensorFact(constant.name, role, constant.shape, constant.dtype, bits, constant.stored_bytes)
        scheme, layout = stored
        symmetric = self._symmetric(constant, scheme, layout)
        return TensorFact(
            name=constant.name,
            role=role,
            shape=layout.shape,
            stored_as=_described(constant, scheme, layout, symmetric=symmetric),
            bits=float(layout.bits),
            payload_bytes=constant.stored_bytes,
            overhead_bytes=overhead,
            granularity=layout.granularity,
            symmetric=symmetric,
        )

    def _symmetric(self, constant: GraphConstant, scheme: Scheme, layout: Layout) -> bool:
        """Return whether every zero point lies in the middle of the type: as good as none."""
        element = self.file.contents[constant.name].element
        if scheme.by == PACKED or scheme.zero_computed:
            return not scheme.zero and not scheme.zero_computed
        if not element.integer:
            return True
        middle = 0 if element.limits[0] else 1 << (layout.bits - 1)
        if not scheme.zero:
            return middle == 0
        zero = self.file.contents[scheme.zero]
        return zero.data is not None and bool((zero.values() == middle).all())

    # ------------------------------------------------------------ values

    def _content(self, name: str) -> Content:
        if name not in self.file.contents:
            raise ModelRefused("there is no such constant", where=self.where, field=name)
        return self.file.contents[name]

    def _quantized(self, content: Content, scheme: Scheme, layout: Layout) -> QuantizedWeight:
        try:
            return quantized(content, scheme, layout, self.file.contents)
        except ModelRefused as error:
            raise self._located(error) from error

    def _plain(self, content: Content) -> NDArray[np.float32]:
        values = content.values(self.where)
        if values.dtype.kind == "c":
            raise ModelRefused("holds complex numbers", where=self.where, field=content.constant.name)
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(np.float32)

    def _located(self, error: ModelRefused) -> ModelRefused:
        return ModelRefused(error.what, where=self.where, field=error.field, hint=error.hint)


def _described(constant: GraphConstant, scheme: Scheme, layout: Layout, *, symmetric: bool) -> str:
    if scheme.by == CODE_BOOK:
        return f"4-bit code book in blocks of {layout.block} ({scheme.by})"
    number = f"int{layout.bits}" if scheme.by == PACKED else constant.dtype
    if layout.granularity is Granularity.NONE:
        return f"{number}, scales not in the file ({scheme.by})"
    blocked = layout.granularity is Granularity.BLOCK or scheme.by == PACKED
    shared = f"in blocks of {layout.block}" if blocked else f"per {layout.granularity}"
    return f"{number} {shared} {'symmetric' if symmetric else 'asymmetric'} ({scheme.by})"
