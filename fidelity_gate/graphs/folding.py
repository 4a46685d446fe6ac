"""If operators whose condition is known -> the branch that they take, in their place.

Detectors for several sample rates choose between networks with an If on an input that the host always gives the same.
A graph within a graph can neither be counted nor looked into; of the branch that is taken, everything can. Nothing else
of the file is changed, and either every If that would be reached is folded, or none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fidelity_gate.graphs.checking import bodies
from fidelity_gate.graphs.conditions import Known

if TYPE_CHECKING:
    from collections.abc import Mapping

_STANDARD = ("", "ai.onnx")
_ADVICE = "docs/streaming.md, on graphs with If, says how to write the file without it"


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of the graphs within a graph.

    Attributes:
        data: the file without them; empty where it is not changed.
        notes: a line for every If that was folded: which branch, and why.
        obstacle: what stands in the way of the rest; "" where nothing does.
        hint: how the user gets around it.
    """

    data: bytes = b""
    notes: tuple[str, ...] = ()
    obstacle: str = ""
    hint: str = ""


def folded(data: bytes, given: Mapping[str, float]) -> Folded:
    """Return a file whose conditions are known without its Ifs.

    Args:
        data: of an ONNX file that was read before, so that its sizes are bounded and its names are unambiguous.
        given: input -> the value that it is filled with at every run.
    """
    import onnx

    model = onnx.ModelProto.FromString(data)
    known = Known()
    constants = {item.name for item in model.graph.initializer}
    known.take_inputs((item for item in model.graph.input if item.name not in constants), given)
    for item in model.graph.initializer:
        known.take_constant(item, item.name)
    work = _Folding(known, given, _names(model.graph))
    try:
        for index, node in enumerate(model.graph.node):
            work.place(node, {}, index)
    except _Obstacle as error:
        return Folded(obstacle=error.what, hint=error.hint)
    model.graph.ClearField("node")
    model.graph.node.extend(work.nodes)
    model.graph.initializer.extend(work.initializers)
    return Folded(model.SerializeToString(deterministic=True), tuple(work.notes))


class _Obstacle(Exception):
    """Something that cannot be folded."""

    def __init__(self, what: str, hint: str = _ADVICE) -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(slots=True, eq=False)
class _Folding:
    """The nodes of the new graph, made in order.

    Attributes:
        known: what is known of the values so far.
        given: input -> its constant value.
        taken: names of values that nothing else may have.
        nodes: of the new graph.
        initializers: that came out of branches.
        notes: of what was folded.
    """

    known: Known
    given: Mapping[str, float]
    taken: set[str]
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def place(self, node: Any, renamed: Mapping[str, str], index: int) -> None:  # noqa: ANN401  (NodeProto)
        """Add a node, or the branch that it takes.

        Args:
            node: its outputs already have their new names.
            renamed: name in the branch that it stands in -> name in the new graph.
            index: of the node in its own graph, for nameless ones.
        """
        import onnx

        if any(True for _ in bodies(node)):
            self._branch(node, renamed, node.name or f"{node.op_type}_{index}")
            return
        placed = onnx.NodeProto()
        placed.CopyFrom(node)
        placed.input[:] = [renamed.get(name, name) for name in node.input]
        self.known.take_node(placed)
        self.nodes.append(placed)

    def _branch(self, node: Any, renamed: Mapping[str, str], label: str) -> None:  # noqa: ANN401
        if node.op_type != "If" or node.domain not in _STANDARD or len(node.input) != 1:
            raise _Obstacle(f"{label} is a {node.op_type}, which holds a graph of its own", "unroll it")
        condition = renamed.get(node.input[0], node.input[0])
        truth = self.known.truth(condition)
        if truth is None:
            raise self._unknown(label, condition)
        wanted = "then_branch" if truth else "else_branch"
        branch = next((item.g for item in node.attribute if item.name == wanted), None)
        if branch is None or len(branch.output) != len(node.output) or branch.input or branch.sparse_initializer:
            raise _Obstacle(f"{label} is an If whose {wanted} cannot be read")
        reached = sorted(self.known.reached.get(condition, ()))
        told = " and ".join(f"{name} is {self.given.get(name, 'of one shape')}" for name in reached)
        self.notes.append(f"{label} is an If; its {wanted} runs in its place, as " + (told or "its condition is fixed"))
        self._inline(branch, list(node.output), renamed, label)

    def _inline(self, branch: Any, outputs: list[str], around: Mapping[str, str], label: str) -> None:  # noqa: ANN401
        """Add what a branch holds; its results get the names of the If's own."""
        import onnx

        inner, finals = dict(around), _finals(branch, outputs)
        for item in branch.initializer:
            constant = onnx.TensorProto()
            constant.CopyFrom(item)
            inner[item.name] = constant.name = self._free(item.name, label)
            self.known.take_constant(constant, constant.name)
            self.initializers.append(constant)
        for index, item in enumerate(branch.node):
            named = onnx.NodeProto()
            named.CopyFrom(item)
            named.output[:] = [name and (finals.get(name) or self._free(name, label)) for name in item.output]
            self.place(named, inner, index)
            inner.update(zip(item.output, named.output, strict=True))
        for result, output in zip(branch.output, outputs, strict=True):
            if output and inner.get(result.name, result.name) != output:
                self.place(onnx.helper.make_node("Identity", [result.name], [output]), inner, 0)

    def _free(self, name: str, label: str) -> str:
        """Return a name for a value of a branch: its own, if no other value has it."""
        free = name
        while free in self.taken:
            free = f"{label}/{name}" if free == name else f"{free}_"
        self.taken.add(free)
        return free

    def _unknown(self, label: str, condition: str) -> _Obstacle:
        """Return why a condition is not known."""
        depends = sorted(self.known.reached.get(condition, frozenset()) - self.given.keys())
        what = f"{label} is an If, and its condition depends on {' and '.join(depends) or 'what is not computed here'}"
        single = [name for name in depends if self.known.shapes.get(name) in ((), (1,))]
        if depends and single == depends:
            says = ", ".join(f"{name}: VALUE" for name in depends)
            return _Obstacle(what, f"model: {{constants: {{{says}}}}} where it is always the same")
        return _Obstacle(what)


def _finals(branch: Any, outputs: list[str]) -> dict[str, str]:  # noqa: ANN401
    """Return result of a branch -> the If's own output, for results that nodes of it make and that leave it once."""
    made = {name for node in branch.node for name in node.output}
    names = [item.name for item in branch.output]
    pairs = zip(names, outputs, strict=True)
    return {name: output for name, output in pairs if output and name in made and names.count(name) == 1}


def _names(graph: Any) -> set[str]:  # noqa: ANN401
    """Return the names of all values of a graph, those of its branches left out."""
    made = {name for node in graph.node for name in node.output}
    return made | {item.name for items in (graph.initializer, graph.input) for item in items}
