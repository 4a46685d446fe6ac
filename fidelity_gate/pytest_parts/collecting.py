"""The end of collection: no policy and no verdict gets lost, whatever was deselected, skipped or reordered."""

from __future__ import annotations

import fnmatch
import os
from typing import TYPE_CHECKING

import pytest

from fidelity_gate.pytest_parts.asking import is_selected
from fidelity_gate.pytest_parts.common import FILES_INI, POLICY_FILES, is_worker
from fidelity_gate.pytest_parts.finishing import finishing_of
from fidelity_gate.pytest_parts.judging import judging_of
from fidelity_gate.pytest_parts.nodes import GateFile, Placing
from fidelity_gate.pytest_parts.telling import policy_line

if TYPE_CHECKING:
    from pathlib import Path

YAML = (".yaml", ".yml")
_GATES = pytest.StashKey[list[GateFile]]()


def file_node(file_path: Path, parent: pytest.Collector) -> GateFile | None:
    """Return the node of a policy file, by its name or because the command line names it; None for other files."""
    chosen = file_path.suffix in YAML and parent.session.isinitpath(file_path)
    return _node(file_path, parent) if chosen or _is_policy_name(file_path.name, parent.config) else None


def note_what_is_no_file(folder: Path, parent: pytest.Collector) -> None:
    """Remember what has the name of a policy and is no file, which pytest passes over: a link to nothing, a folder."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return  # pytest says so when it collects the folder
    for path in (folder / name for name in names if _is_policy_name(name, parent.config)):
        is_file = os.path.isfile(path)  # noqa: PTH113  (Path.is_file raises where a link leads into a closed folder)
        if not is_file and not _is_ignored(path, parent):
            _node(path, parent)


def _is_ignored(path: Path, parent: pytest.Collector) -> bool:
    try:
        ignored = parent.ihook.pytest_ignore_collect(collection_path=path, config=parent.config)
    except OSError:  # pytest's own hook looks at the path
        return False
    return bool(ignored) and not parent.session.isinitpath(path)


def _is_policy_name(name: str, config: pytest.Config) -> bool:
    """Return whether a file of this name is a policy; names of the ini file are added, and take nothing away."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in (POLICY_FILES, *config.getini(FILES_INI)))


def _node(path: Path, parent: pytest.Collector) -> GateFile:
    """Return the node of a policy, and remember it."""
    gates = parent.config.stash.setdefault(_GATES, [])
    if not gates:
        parent.config.pluginmanager.register(Placing(), "fidelity-gate-placing")
    gate: GateFile = GateFile.from_parent(parent, path=path)
    gate.all = gates
    gates.append(gate)
    return gate


def keep_verdicts(session: pytest.Session) -> None:
    """Put every verdict behind the checks of its policy, tell it which of them will not be run, and remember both."""
    gates = [gate for gate in _collected(session.config) if gate.verdict is not None or gate.refused]
    for gate in gates:
        _keep_verdict(gate, session.items)
    gated = [gate.gated() for gate in gates]
    if is_worker(session.config):
        judging = judging_of(session.config)
        worker = getattr(session.config, "workerinput", {}).get("workerid", "worker")
        judging.shelf.leave(str(worker), [one.plain() for one in gated])
    else:
        finishing_of(session.config).expect(gated)


def lines(config: pytest.Config) -> list[str]:
    """Return a line for every policy that was collected."""
    if config.get_verbosity() < 0:
        return []
    judging = judging_of(config)
    found = {gate.source for gate in config.stash.get(_GATES, []) if gate.verdict is not None}
    return [policy_line(judging.policy(source)) for source in sorted(found, key=lambda source: source.policy)]


def _collected(config: pytest.Config) -> list[GateFile]:
    """Return the policies of the session, those that something skipped (`--lf`) collected now.

    pytest makes nodes for the neighbours of a file that was asked for too, and collects nothing from them.
    """
    gates = config.stash.get(_GATES, [])
    done = {gate.path for gate in gates if gate.verdict is not None or gate.refused}
    for gate in gates:
        if gate.path not in done and is_selected(config, gate.path):
            done.add(gate.path)
            try:
                gate.collect()
            except gate.CollectError:
                continue  # it is marked as refused, and blocks
    return gates


def _keep_verdict(gate: GateFile, items: list[pytest.Item]) -> None:
    if gate.verdict is None:
        return
    if gate.verdict in items:
        items.remove(gate.verdict)
    places = {item: place for place, item in enumerate(items)}
    gate.verdict.left_out = tuple(check.name for check in gate.checks if check not in places)
    last = max((places[check] for check in gate.checks if check in places), default=len(items) - 1)
    items.insert(last + 1, gate.verdict)
