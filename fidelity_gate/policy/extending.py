"""`extends:` -> every file of a policy, from its furthest base to itself, and the one tree that they come to.

Where bases are looked for, and what one may be:

* A base is a YAML file in the same tree as the policy, named against the folder of the file that names it. The tree is
  the repository that the policy is in (the nearest folder above it with `.git`); outside of one, the working folder
  where the policy is below it, else the policy's own folder. A link may not lead out of it.
* `fidelity-gate:NAME` is a policy that ships with the gate.
* No absolute paths and no addresses; at most `LIMIT_FILES` files with `LIMIT_TOTAL` bytes in all.

Files are in the order in which they count: each one's bases first, in the order in which it names them, then itself; a
file that is reached twice counts where it is reached first.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import GateError, PolicyError
from fidelity_gate.files import read_file, sha256_hex
from fidelity_gate.policy.merging import merged
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.policy.schema import API_VERSION
from fidelity_gate.policy.schema_values import kind_of
from fidelity_gate.policy.yaml_reader import LIMIT_BYTES, read_tree
from fidelity_gate.shipped import policy_path
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fidelity_gate.policy.yaml_reader import Node

KEY = "extends"
LIMIT_FILES = 8
LIMIT_TOTAL = 128 * 1024
SHIPPED = "fidelity-gate:"
SHIPPED_BASES = ("base-recursive",)
SUFFIXES = (".yaml", ".yml")
_REPOSITORY = ".git"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|\\\\")
_HEAD = b"fidelity-gate policy of several files\n"


@dataclass(frozen=True, slots=True)
class Link:
    """One file of a policy."""

    name: str  # as errors call it
    digest: str
    tree: Node
    reach: tuple[int, ...] = (0,)  # its bases, their bases and itself, by their places in the chain


@dataclass(frozen=True, slots=True)
class Chain:
    """Every file of a policy in the order in which they count, the policy itself last."""

    links: tuple[Link, ...]

    @property
    def digest(self) -> str:
        """Return the digest of the policy: of its bytes, or of the digests of all its files in their order."""
        if len(self.links) == 1:
            return self.links[0].digest
        return sha256_hex(_HEAD + "".join(f"{link.digest}\n" for link in self.links).encode())

    def tree_of(self, level: int) -> Node:
        """Return what one file comes to with its own bases, whatever else the policy extends before it."""
        return _merged_all([self.links[place] for place in self.links[level].reach])

    def tree(self, count: int | None = None) -> Node:
        """Return what the first `count` files come to; all of them where it is left out."""
        return _merged_all(self.links[:count])


def _merged_all(links: Sequence[Link]) -> Node:
    tree = links[0].tree
    for link in links[1:]:
        tree = merged(tree, link.tree)
    return tree


def read_chain(data: bytes, name: str) -> Chain:
    """Return the files of a policy.

    Args:
        data: the policy itself.
        name: its path; bases are against its folder.

    Raises:
        PolicyError: a file that cannot be read as a policy, a base that may not be one, too many of them, a circle.
    """
    return Chain(_Walk(name).chain(data))


@dataclass(slots=True)
class _Walk:
    """One walk from a policy to all its bases."""

    name: str
    found: dict[str, Link] = field(default_factory=dict)  # real path -> file, in the order in which they count
    open: list[tuple[str, str]] = field(default_factory=list)  # (real path, name) from the policy to where the walk is
    files: int = 0
    total: int = 0

    def chain(self, data: bytes) -> tuple[Link, ...]:
        self._enter(os.path.realpath(self.name), self.name, data)
        return tuple(self.found.values())

    def _enter(self, real: str, name: str, data: bytes) -> None:
        """Take one file: its bases, then itself."""
        tree = read_tree(data, name)
        if self.open:
            _check_version(tree, name)
        self.open.append((real, name))
        reach = {place for entry in _entries(tree) for place in self._base(entry, name).reach}
        self.open.pop()
        self.found[real] = Link(name, sha256_hex(data), tree, (*sorted(reach), len(self.found)))

    def _base(self, entry: Node, name: str) -> Link:
        """Return the base that one entry names."""
        written = str(entry.scalar)
        try:
            real, shown = self._shipped(written) if written.startswith(SHIPPED) else self._beside(written, name)
            self._refuse_circle(real, shown)
            if real in self.found:
                return self.found[real]
            data = self._read(real, shown)
        except GateError as error:
            where = str(entry.place)
            what = error.what if not error.where or error.where == where else f"{printable(error.where)}: {error.what}"
            raise PolicyError(what, where=where, field=KEY, hint=error.hint) from error
        self._enter(real, shown, data)
        return self.found[real]

    def _shipped(self, written: str) -> tuple[str, str]:
        name = written.removeprefix(SHIPPED)
        if name not in SHIPPED_BASES:
            raise PolicyError(f"no policy to extend ships as '{name}'", hint=near_or_known(name, SHIPPED_BASES))
        return os.path.realpath(policy_path(f"{name}.yaml")), written

    def _beside(self, written: str, name: str) -> tuple[str, str]:
        """Return the real path of a base, and what it is called."""
        if name.startswith(SHIPPED) or _ADDRESS.match(written) or "\\" in written or written.startswith(("/", "~")):
            hint = f"a path with / against this file's folder, or {SHIPPED}{SHIPPED_BASES[0]}"
            raise PolicyError(f"'{written}' is no relative path", hint=hint)
        if Path(written).suffix not in SUFFIXES:
            raise PolicyError(f"'{written}' is not the name of a policy", hint=f"it ends in {' or '.join(SUFFIXES)}")
        shown = os.path.normpath(os.path.join(os.path.dirname(name), written))  # noqa: PTH118, PTH120
        root, real = _root(self.name), os.path.realpath(shown)
        if not _is_below(os.path.abspath(shown), root) or not _is_below(real, os.path.realpath(root)):  # noqa: PTH100
            hint = f"bases are in the policy's own tree: below {root}"
            raise PolicyError(f"'{written}' leads out of the policy's tree", hint=hint)
        return real, shown

    def _refuse_circle(self, real: str, shown: str) -> None:
        reals = [path for path, _ in self.open]
        if real in reals:
            names = [Path(name).name for _, name in self.open[reals.index(real) :]]
            raise PolicyError(f"extends itself: {' -> '.join([*names, Path(shown).name])}", hint="remove one of them")

    def _read(self, real: str, shown: str) -> bytes:
        self.files += 1
        if self.files >= LIMIT_FILES:
            raise PolicyError(f"the policy has more than {LIMIT_FILES} files", hint="extend fewer")
        # The path is read again from the top, so that what was a file a moment ago is looked at as what it is now.
        file = read_file(real if shown.startswith(SHIPPED) else shown, limit_bytes=LIMIT_BYTES, kind=PolicyError)
        if os.path.realpath(file.resolved) != real:
            raise PolicyError("changed while it was being read", where=shown)
        self.total += file.size
        if self.total > LIMIT_TOTAL:
            raise PolicyError(f"its bases hold more than {LIMIT_TOTAL:,} bytes together", hint="extend smaller ones")
        return file.data


def _entries(tree: Node) -> Iterator[Node]:
    """Yield what a file extends; a value that is no name is refused with the rest of the policy."""
    node = (tree.entries or {}).get(KEY)
    if node is None:
        return
    seen: list[object] = []
    for entry in (node,) if node.items is None else node.items:
        if not isinstance(entry.scalar, str) or not entry.scalar.strip():
            what = f"must be the name of a policy, not {kind_of(entry.plain())}"
            raise PolicyError(what, where=str(entry.place), field=KEY, hint="extends: base.yaml, or a list of them")
        if entry.scalar in seen:
            raise PolicyError(
                f"'{entry.scalar}' is named twice", where=str(entry.place), field=KEY, hint="name it once"
            )
        seen.append(entry.scalar)
        yield entry
    if node.items == ():
        raise PolicyError("is empty", where=str(node.place), field=KEY, hint="name a policy, or remove the key")


def _check_version(tree: Node, name: str) -> None:
    """Refuse a base of another format, before anything it says is given a meaning."""
    version = (tree.entries or {}).get("apiVersion")
    if version is None or version.scalar != API_VERSION:
        what = "is missing" if version is None else f"{kind_of(version.plain())} is not a format known here"
        where = str(version.place) if version else name
        raise PolicyError(what, where=where, field="apiVersion", hint=f"a base says {API_VERSION} too")


def _root(name: str) -> str:
    """Return the folder that bases may be in."""
    folder = os.path.abspath(os.path.dirname(name))  # noqa: PTH100, PTH120
    above = [folder, *map(str, Path(folder).parents)]
    for candidate in above:
        if os.path.lexists(os.path.join(candidate, _REPOSITORY)):  # noqa: PTH118
            return candidate
    working = os.getcwd()  # noqa: PTH109
    return working if _is_below(folder, working) else folder


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
