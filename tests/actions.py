"""A small runner of composite GitHub actions: its shell steps for real, the actions of others emulated.

What it does as the real one does: expressions, `if:`, `env:`, outputs by heredoc, the log's workflow commands, a
file of outputs and of the summary for each step, and `bash --noprofile --norc -e -o pipefail`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

TOKENS = re.compile(r"\s*('(?:[^']|'')*'|[A-Za-z_][\w.-]*|==|!=|&&|\|\||!|\(|\)|,|\S)")
COMMAND = re.compile(r"::([\w-]+)( [^:]*(?::(?!:)[^:]*)*)?::(.*)", re.DOTALL)
SUMMARY_LIMIT = 1 << 20


def read_yaml(path):
    return YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))


class Expression:
    """Evaluates the part of the expression language that these files use."""

    def __init__(self, text, contexts, *, succeeded=True):
        self.tokens, self.contexts, self.succeeded = TOKENS.findall(text), contexts, succeeded

    def value(self):
        found = self._or()
        assert not self.tokens, self.tokens
        return found

    def _or(self):
        found = self._and()
        while self._take("||"):
            other = self._and()
            found = found or other
        return found

    def _and(self):
        found = self._equal()
        while self._take("&&"):
            other = self._equal()
            found = found and other
        return found

    def _equal(self):
        found = self._one()
        for sign in ("==", "!="):
            if self._take(sign):
                other = self._one()
                same = str(found).lower() == str(other).lower()  # the runner ignores case
                return same if sign == "==" else not same
        return found

    def _one(self):
        word = self.tokens.pop(0)
        if word == "!":
            return not self._one()
        if word == "(":
            found = self._or()
            assert self._take(")")
            return found
        if word.startswith("'"):
            return word[1:-1].replace("''", "'")
        if self._take("("):
            return self._call(word)
        assert re.fullmatch(r"[A-Za-z_][\w.-]*", word), word
        return self._context(word)

    def _call(self, name):
        values = []
        while not self._take(")"):
            values.append(self._or())
            self._take(",")
        if name in ("always", "success", "cancelled"):
            return {"always": True, "success": self.succeeded, "cancelled": False}[name]
        assert name == "format", name
        return values[0].format(*values[1:])

    def _context(self, path):
        found = self.contexts
        for part in path.split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return found

    def _take(self, token):
        if self.tokens and self.tokens[0] == token:
            return self.tokens.pop(0)
        return None


def filled(text, contexts):
    """Put the values of expressions into a text."""

    def shown(match):
        return plain(Expression(match[1], contexts).value())

    return re.sub(r"\$\{\{(.*?)\}\}", shown, plain(text), flags=re.DOTALL)


def plain(value):
    """Return a value as the runner writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass
class Ran:
    """What became of an action."""

    outputs: dict
    outcomes: dict
    log: str
    commands: list  # (command, properties, message) that the runner obeyed
    summary: str
    code: int
    codes: dict = field(default_factory=dict)


@dataclass
class Runner:
    """One job: a workspace, a folder for temporary files, artifacts, and the origin that is checked out."""

    folder: Path
    origin: Path | None = None
    github: dict = field(default_factory=dict)
    variables: dict = field(default_factory=dict)
    summary_before: str = ""
    summary_file: str = ""  # instead of the runner's own

    def __post_init__(self):
        self.workspace, self.temp = self.folder / "work space", self.folder / "_temp"
        self.artifacts, self.caches, self.uses = self.folder / "artifacts", self.folder / "caches", []
        for one in (self.workspace, self.temp, self.artifacts, self.caches):
            one.mkdir(parents=True, exist_ok=True)

    def run(self, action, inputs):
        """Run a composite action from its file."""
        made = read_yaml(action)
        asked = {name: str(one.get("default", "")) for name, one in made["inputs"].items()} | inputs
        self.contexts = {
            "inputs": asked,
            "github": {**self.github, "workspace": str(self.workspace)},
            "runner": {"temp": str(self.temp), "os": "Linux", "arch": "X64"},
            "steps": {},
        }
        ran = Ran({}, {}, "", [], "", 0)
        for place, step in enumerate(made["runs"]["steps"]):
            name = step.get("id", f"step-{place}")
            condition = str(step.get("if", "success()"))
            value = Expression(condition, self.contexts, succeeded=ran.code == 0).value()
            if not value or (ran.code and "always()" not in condition):
                ran.outcomes[name] = "skipped"
                continue
            code, outputs = self._step(step, place, Path(action).parent, ran)
            self.contexts["steps"][name] = {"outputs": outputs}
            ran.outcomes[name], ran.codes[name] = ("failure" if code else "success"), code
            if code and not step.get("continue-on-error"):
                ran.code = ran.code or code
        ran.outputs = {key: filled(one["value"], self.contexts) for key, one in made.get("outputs", {}).items()}
        return ran

    def _step(self, step, place, folder, ran):
        if "uses" in step:
            given = {key: filled(value, self.contexts) for key, value in step.get("with", {}).items()}
            name = step["uses"].partition("@")[0].split("/", 1)[1].replace("/", "_").replace("-", "_")
            self.uses.append((step["uses"].partition("@")[0], given))
            return getattr(self, f"_{name}")(given)
        return self._shell(step, place, folder, ran)

    def _shell(self, step, place, folder, ran):
        assert step["shell"] == "bash"
        script, output = self.folder / f"script-{place}.sh", self.folder / f"output-{place}"
        summary = Path(self.summary_file or self.folder / f"summary-{place}")
        script.write_text(step["run"], encoding="utf-8")
        output.touch()
        if not self.summary_file:
            summary.write_text(self.summary_before, encoding="utf-8")
        variables = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "GITHUB_ACTIONS": "true",
            "CI": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTION_PATH": str(folder),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_ENV": str(self.folder / "env"),
            "GITHUB_PATH": str(self.folder / "path"),
            **{name: filled(value, self.contexts) for name, value in step.get("env", {}).items()},
            **self.variables,
        }
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self.workspace,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = done.stdout.decode("utf-8")
        ran.log += said
        ran.commands += obeyed(said)
        if summary.is_file():
            told = summary.read_text(encoding="utf-8").removeprefix(self.summary_before)
            assert summary.stat().st_size <= SUMMARY_LIMIT
            ran.summary += told
        assert not (self.folder / "env").exists()
        assert not (self.folder / "path").exists()
        return done.returncode, outputs_of(output.read_text(encoding="utf-8"))

    def _setup_python(self, given):
        assert given["update-environment"] == "false"
        return 0, {"python-path": sys.executable}

    def _checkout(self, given):
        assert given["persist-credentials"] == "false"
        path = self.workspace / given["path"]
        git("init", "--quiet", str(path))
        fetched = subprocess.run(
            ["git", "-C", str(path), "fetch", "--quiet", "--depth", "1", str(self.origin), given["ref"]], check=False
        )
        if fetched.returncode == 0:
            git("-C", str(path), "checkout", "--quiet", "--detach", "FETCH_HEAD")
        return fetched.returncode, {}

    def _upload_artifact(self, given):
        folder, _, pattern = given["path"].rpartition("/")
        found = sorted(Path(folder).glob(pattern))
        target = self.artifacts / given["name"]
        if given.get("overwrite") == "true":
            shutil.rmtree(target, ignore_errors=True)
        target.mkdir()  # a name is given once in a run
        for file in found:
            shutil.copy(file, target)
        return int(not found), {}

    def _download_artifact(self, given):
        found = self.artifacts / given["name"]
        if found.is_dir():
            shutil.copytree(found, given["path"], dirs_exist_ok=True)
        return int(not found.is_dir()), {}

    def _cache_restore(self, given):
        found = self.caches / given["key"]
        if found.is_dir():
            shutil.copytree(found, given["path"], dirs_exist_ok=True)
        return 0, {"cache-hit": "true" if found.is_dir() else "", "cache-primary-key": given["key"]}

    def _cache_save(self, given):
        if not (self.caches / given["key"]).exists():  # what is saved stays as it is
            shutil.copytree(given["path"], self.caches / given["key"])
        return 0, {}


def outputs_of(text):
    """Read a file of outputs as the runner does."""
    found, lines = {}, text.split("\n")
    while lines:
        line = lines.pop(0)
        if not line:
            continue
        name, heredoc, end = line.partition("<<")
        if not heredoc or "=" in name:
            name, _, value = line.partition("=")
            found[name] = value
            continue
        value = []
        while lines[0] != end:  # an IndexError: the runner refuses it too
            value.append(lines.pop(0))
        lines.pop(0)
        found[name] = "\n".join(value)
    return found


def obeyed(log):
    """Return the workflow commands that the runner would obey in a step's log."""
    found, stopped = [], ""
    for line in re.split(r"\r\n|\r|\n", log):
        match = COMMAND.match(line.lstrip())
        if stopped:
            stopped = "" if line.strip() == f"::{stopped}::" else stopped
        elif match and match[1] == "stop-commands":
            stopped = match[3]
        elif match:
            found.append((match[1], _properties(match[2] or ""), _plain(match[3])))
        elif "##[" in line:
            found.append(("##", {}, line))
    assert not stopped
    return found


def _properties(text):
    pairs = (part.partition("=") for part in text.strip().split(",") if part)
    return {key: _plain(value).replace("%3A", ":").replace("%2C", ",") for key, _, value in pairs}


def _plain(text):
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def git(*words, **options):
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True, **options).stdout.strip()
