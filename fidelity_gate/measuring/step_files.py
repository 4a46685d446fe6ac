"""A model that is a step graph -> what a device needs that runs the graph alone: its file, and its first feeds.

A device service feeds random numbers where it is given none, and random tokens are no tokens: what a look-up does with
them is another thing than what the model does. So the first run on the first probe is what is timed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import NotMeasured
from fidelity_gate.files import sha256_hex
from fidelity_gate.protocols import GraphRecursion, OpenedGraph
from fidelity_gate.records import StepFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import Depth, Probes, RunSpec


def step_file(model: OpenedModel, depth: Depth, probes: Probes, run: RunSpec) -> StepFile | None:
    """Return the step graph that a model is; None where it is none.

    Args:
        model: opened, and hashed.
        depth: how deep it runs.
        probes: at least one; the first is taken.
        run: how to load it.

    Raises:
        Refused: the graph cannot be run, or not at this depth, or not on these probes.
        Undecided: trying it out hit a limit.
    """
    graph = model.step_graph() if isinstance(model, OpenedGraph) else None
    if graph is None or not isinstance(model, OpenedGraph):
        return None
    recursion = model.load(replace(run, batch=1))
    if not isinstance(recursion, GraphRecursion):
        return None
    feeds = first_feeds(recursion, probes, depth)
    return StepFile(
        data=model.data,
        digest=sha256_hex(model.data),
        feeds={value.name: feeds[value.name] for value in graph.inputs if value.name in feeds},
        outputs=tuple(value.name for value in graph.outputs),
        runs=recursion.runs(depth),
    )


def first_feeds(recursion: GraphRecursion, probes: Probes, depth: Depth) -> Mapping[str, NDArray[Any]]:
    """Return what the graph's first run on the first probe is fed: every input, in the graph's own shapes and types."""
    probe = replace(probes, inputs=probes.inputs[:1], identifiers=probes.identifiers[:1], labels=None)
    watch = _Watch()
    try:
        next(recursion.over(watch).run(probe, depth))
    except _SeenError:
        return dict(watch.feeds)
    raise NotMeasured("the graph was never run on the first probe")


class _SeenError(Exception):
    """The first run was seen, and nothing more is wanted."""


@dataclass(slots=True)
class _Watch:
    """A session that takes down what it is fed, and runs nothing (the `GraphSession` protocol)."""

    feeds: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Keep the feeds, and end the run; which outputs were wanted says nothing of them."""
        del outputs
        self.feeds = feeds
        raise _SeenError
