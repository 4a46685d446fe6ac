"""A repository with policies and a candidate, as CI meets it: an origin, and workspaces of its commits."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from actions import git

from fidelity_gate import cli

QUICK = """\
apiVersion: fidelity-gate/v1
name: quick
reference: zoo:trm-addition
candidates: {int8: ../dist/int8.safetensors}
inputs: {use: zoo, name: trm-addition}
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
checks:
  small-enough: {metric: model_size, require: {max: 400 KiB}}
"""
AUTHOR = {
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "somebody"),
    **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "somebody@example.org"),
}


@dataclass
class Repository:
    """An origin with a branch `main`, and the folder that it was made in."""

    origin: Path
    main: str  # the commit of main
    int8: Path

    def workspace(self, folder, branch="main"):
        """Check a branch out as a job finds it, and return its commit."""
        shutil.rmtree(folder, ignore_errors=True)
        git("clone", "--quiet", "--branch", branch, str(self.origin), str(folder))
        return git("-C", str(folder), "rev-parse", "HEAD")

    def branch(self, folder, name, files):
        """Put a branch with changed files on the origin, and return its commit."""
        self.workspace(folder)
        git("-C", str(folder), "checkout", "--quiet", "-b", name)
        commit(folder, files)
        git("-C", str(folder), "push", "--quiet", "origin", f"HEAD:refs/heads/{name}")
        return git("-C", str(folder), "rev-parse", "HEAD")


def commit(folder, files):
    """Write files and commit them."""
    for name, content in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git("-C", str(folder), "add", "--all")
    git("-C", str(folder), "commit", "--quiet", "-m", "change", env={**os.environ, **AUTHOR})


def made(folder):
    """Make the repository; compressing its candidate takes a second."""
    origin, work = folder / "origin.git", folder / "seed"
    int8 = folder / "int8.safetensors"
    assert cli.answer(["compress", "zoo:trm-addition", "--recipe", "int8", "-o", str(int8)]) == 0
    git("init", "--quiet", "--bare", "--initial-branch", "main", str(origin))
    git("-C", str(origin), "config", "uploadpack.allowAnySHA1InWant", "true")
    git("clone", "--quiet", str(origin), str(work))
    files = {"policies/release.yaml": QUICK, "dist/int8.safetensors": int8.read_bytes()}
    commit(work, files)
    git("-C", str(work), "push", "--quiet", "origin", "HEAD:refs/heads/main")
    return Repository(origin, git("-C", str(work), "rev-parse", "HEAD"), int8)
