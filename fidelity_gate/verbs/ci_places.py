"""Where the parts of a CI run lie: what is judged comes from the workspace, what judges it from a trusted checkout.

A pull request can change every file of its own workspace. So where a trusted checkout is given, the policy, and all
that stands in it or is given beside it, is looked for there, and only the candidates in the workspace.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import PolicyError, UsageError
from fidelity_gate.text import printable
from fidelity_gate.zoo.paths import is_zoo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import DeviceSpec, InputsSpec, Policy

OUTSIDE = "put what an earlier step fetched outside the workspace, and give its absolute path"
# Paths stand in reports and in the log: what cannot be shown as it is cannot be given.
_PATH_LIMIT = 1000
_CANDIDATE = re.compile(r"([A-Za-z0-9_-]{1,64})=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Given:
    """What a CI run is given; every path as it was written.

    Attributes:
        policy: the policy file.
        reference: the reference instead of the policy's, or "".
        inputs: the probes instead of the policy's, or "".
        candidates: `NAME=PATH`, each once.
        workspace: the folder that candidates are looked for in.
        trusted: the checkout that everything else is looked for in; None where it is the workspace.
    """

    policy: str
    reference: str
    inputs: str
    candidates: tuple[str, ...]
    workspace: Path
    trusted: Path | None


@dataclass(frozen=True, slots=True)
class Placed:
    """The same as the gate is called with: in the folder `folder`, with these paths."""

    folder: Path
    policy: str
    reference: str
    inputs: str
    candidates: tuple[tuple[str, str], ...]


def placed(given: Given) -> Placed:
    """Return where everything lies.

    Raises:
        UsageError: a path that cannot be shown, that leads out of the trusted checkout or back into the workspace, or a
            candidate that is not NAME=PATH.
        PolicyError: the policy says so of one of its own paths.
    """
    for field, text in (("policy", given.policy), ("reference", given.reference), ("inputs", given.inputs)):
        _shown(text, field)
    if not given.policy:
        raise UsageError("no policy is given", field="policy")
    named = dict(_named(text) for text in given.candidates)
    if len(named) != len(given.candidates):
        raise UsageError("a name is given twice", field="candidate", hint="each candidate once, NAME=PATH")
    if given.trusted is None:
        return Placed(given.workspace, given.policy, given.reference, given.inputs, tuple(named.items()))
    return _apart(given, given.trusted, named)


def head_of(folder: Path) -> str:
    """Return the commit that a checkout is at, "" where git does not say."""
    git = shutil.which("git")
    if git is None or not folder.is_dir():
        return ""
    # Within a hook of git, GIT_DIR and its like are those of another repository.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    found = subprocess.run(  # noqa: S603  (fixed words, and a folder that the caller chose)
        [git, "-C", str(folder), "rev-parse", "HEAD"], env=variables, capture_output=True, check=False, text=True
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def _apart(given: Given, trusted: Path, named: dict[str, str]) -> Placed:
    if not trusted.is_dir():
        raise UsageError(f"{trusted} is no folder", field="--trusted", hint="a checkout of the base branch")
    if _within(trusted, given.workspace) or _within(given.workspace, trusted):
        what = f"{trusted} and the workspace are one in the other"
        raise UsageError(what, field="--trusted", hint="a folder outside the workspace")
    if Path(given.policy).is_absolute():
        raise UsageError(f"{given.policy} is absolute", field="policy", hint="a path inside the repository")
    _refuse_escape(given.policy, trusted, "policy")
    if not (trusted / given.policy).exists() and (given.workspace / given.policy).is_file():
        hint = "a policy counts once it is merged; the action's policy-from: workspace takes the branch's own"
        raise UsageError(f"{given.policy} is not in the commit that judges, only here", field="policy", hint=hint)
    for field, text in (("reference", given.reference), ("inputs", given.inputs)):
        if text:
            _refuse_workspace(text, given, field)
    own = _own_candidates(given, trusted, set(named))
    candidates = {name: _in_workspace(path, given.workspace) for name, path in named.items()} | own
    return Placed(trusted, given.policy, given.reference, given.inputs, tuple(candidates.items()))


def _own_candidates(given: Given, trusted: Path, named: set[str]) -> dict[str, str]:
    """Return the policy's own candidates as they lie in the workspace; refusing a wrong policy is the gate's."""
    from fidelity_gate.verbs.policy_files import examined

    with contextlib.chdir(trusted):
        policy = examined(given.policy).policy
    if policy is None:
        return {}
    for field, path in _paths_of(policy):
        if _within(trusted / path, given.workspace):
            what = f"{path} lies in the workspace, which is what is judged"
            raise PolicyError(what, where=given.policy, field=field, hint="a path against the policy's folder")
    found = {}
    for spec in policy.candidates:
        if spec.name in named or not spec.path or is_zoo(spec.path) or Path(spec.path).is_absolute():
            continue
        if _leads_out(spec.path):
            what = f"{spec.path} leads out of the repository"
            hint = f"--candidate {spec.name}=PATH (the action: candidate) says where it is"
            raise PolicyError(what, where=given.policy, field=f"candidates.{spec.name}", hint=hint)
        found[spec.name] = str(given.workspace / spec.path)
    return found


def _paths_of(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield every path that a policy names beside its candidates, and every text that may be one."""
    yield "reference", policy.reference.path
    yield from (("inputs", path) for path in _texts(policy.inputs))
    if policy.calibration is not None:
        yield from (("inputs.calibration", path) for path in _texts(policy.calibration))
    for device in policy.devices:
        yield from ((f"devices.{device.name}", path) for path in _texts(device))
    if policy.baseline is not None:
        yield "baseline", policy.baseline.path
    if policy.history is not None:
        yield "history", policy.history.path


def _texts(spec: InputsSpec | DeviceSpec) -> Iterator[str]:
    yield from (os.path.join(spec.base, value) for _, value in spec.options if isinstance(value, str))  # noqa: PTH118


def _named(text: str) -> tuple[str, str]:
    match = _CANDIDATE.fullmatch(text)
    if match is None:
        what = f"'{printable(text, 60)}' is not NAME=PATH"
        raise UsageError(what, field="candidate", hint="int8=build/int8.safetensors, one a line")
    _shown(match[2], "candidate")
    return match[1], match[2]


def _shown(text: str, field: str) -> None:
    if text and (not text.strip() or printable(text, _PATH_LIMIT) != text):
        raise UsageError(f"'{text}' is not a path that can be shown", field=field, hint="rename the file")


def _in_workspace(path: str, workspace: Path) -> str:
    return path if is_zoo(path) else str(workspace / path)


def _refuse_escape(path: str, trusted: Path, field: str) -> None:
    """Raise for a path that leads out of the trusted checkout, by its name or by a link."""
    if _leads_out(path) or not _within(trusted / path, trusted):
        raise UsageError(f"{path} leads out of the repository", field=field, hint="a path inside the repository")


def _refuse_workspace(text: str, given: Given, field: str) -> None:
    """Raise for a reference or for probes in the workspace; a source of probes may hold a path behind `=`."""
    parts = [text, *(part.partition("=")[2] for part in re.split("[:,]", text))]
    for part in (part for part in parts if part):
        if os.path.isabs(part) and _within(Path(part), given.workspace):  # noqa: PTH117  (text)
            raise UsageError(f"{text} lies in the workspace, which is what is judged", field=field, hint=OUTSIDE)
        if not os.path.isabs(part) and _leads_out(part):  # noqa: PTH117
            raise UsageError(f"{text} leads out of the repository", field=field, hint=OUTSIDE)


def _leads_out(path: str) -> bool:
    return os.path.normpath(path).split(os.sep, 1)[0] == os.pardir


def _within(path: Path, folder: Path) -> bool:
    """Return whether a path is a folder's, or the folder itself, every link followed."""
    there = os.path.realpath(folder)
    return os.path.commonpath([os.path.realpath(path), there]) == there
