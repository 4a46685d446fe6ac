"""Mutation testing of what decides: every small change to the judge must make one of its tests fail.

    python -m ci.mutate_judge [--only judge.py] [--list]

Each mutant is one changed node of the syntax tree of bounds.py, comparable.py, matching.py, regressions.py, waiving.py
or judge.py. It lives in a forked child that runs the judge's tests until the first failure; one that no test notices is
a survivor, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import signal
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("bounds", "comparable", "matching", "regressions", "waiving", "judge")  # what others import comes first
TESTS = tuple(
    ROOT / "tests" / f"test_{name}.py"
    for name in ("judge_subsets", "baseline_judging", "history_judging", "waiver_judging", "judge")
)
SECONDS = 300  # a mutant that runs longer hangs, and counts as noticed

# Mutants that change nothing anybody could see: (source line, change) -> the reason.
EQUIVALENT = {
    ('shown, shown_limit = format_against(kept, limit, "")', "''  [-> text]"): "every unknown unit is a plain number",
    ("last = case.policy.history.last if case.policy.history else 0", "0  [-> 1]"): "without a history no run is there",
}

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
_NAMES = {"min": "max", "max": "min", "all": "any", "any": "all", "sorted": "list", "set": "list"}


if TYPE_CHECKING:
    Change = tuple[str, Callable[[ast.AST], ast.AST | None]]


@dataclass(frozen=True)
class Mutant:
    """One changed node: `change` is applied to a copy of the module's tree."""

    module: str
    index: int  # of the node in `ast.walk`
    change: Callable[[ast.AST], ast.AST | None]
    line: int
    code: str  # the source line
    told: str

    def __str__(self) -> str:
        """Return where it is and what was changed."""
        return f"{self.module}.py:{self.line}: {self.code}\n    {self.told}"

    @property
    def equivalent(self) -> bool:
        """Return whether it is known to change nothing."""
        return (self.code, self.told) in EQUIVALENT

    def tree(self, source: ast.Module) -> ast.Module:
        """Return the module with this one change."""
        tree = copy.deepcopy(source)
        target = list(ast.walk(tree))[self.index]
        changed = self.change(target)
        if changed is not None:
            _replace(tree, target, changed)
        return ast.fix_missing_locations(tree)


def main() -> int:
    """Run every mutant and print the survivors."""
    options = _options()
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    sources = {name: (ROOT / "fidelity_gate" / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    wanted = [name for name in MODULES if options.only in ("", f"{name}.py")]
    mutants = [mutant for name in wanted for mutant in _mutants(name, trees[name], sources[name].splitlines())]
    if options.list:
        print("\n".join(map(str, mutants)))
        return 0
    _preload()
    if _noticed(trees, None):
        print("the tests fail without any change")
        return 2
    started, survivors = time.monotonic(), []
    for count, mutant in enumerate(mutants, 1):
        if not _noticed(trees, mutant):
            survivors.append(mutant)
            print(f"{'equivalent' if mutant.equivalent else 'SURVIVED'}: {mutant}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{count}/{len(mutants)}", end="", file=sys.stderr, flush=True)
    real = [mutant for mutant in survivors if not mutant.equivalent]
    same = len(survivors) - len(real)
    print(f"{len(mutants)} mutants, {len(real)} survivors, {same} equivalent, {time.monotonic() - started:.0f} s")
    return 1 if real else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mutation testing of the judging modules.")
    parser.add_argument("--only", default="", choices=["", *(f"{name}.py" for name in MODULES)])
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    return parser.parse_args()


def _preload() -> None:
    """Import once, in the parent, what every child needs."""
    for module in ("pytest", "hypothesis", "numpy", "made", "fidelity_gate.judge"):
        importlib.import_module(module)


def _noticed(trees: dict[str, ast.Module], mutant: Mutant | None) -> bool:
    """Return whether a test fails in a child that runs the mutant."""
    child = os.fork()
    if child == 0:
        os._exit(_run(trees, mutant))
    _, status = os.waitpid(child, 0)
    return status != 0


def _run(trees: dict[str, ast.Module], mutant: Mutant | None) -> int:
    import pytest

    signal.alarm(SECONDS)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        _install(trees, mutant)
    except Exception:  # noqa: BLE001  (a mutant that cannot even be imported is noticed)
        return 1
    return int(pytest.main([*map(str, TESTS), "-x", "-q", "--assert=plain", "-p", "no:xdist"]))


def _install(trees: dict[str, ast.Module], mutant: Mutant | None) -> None:
    """Put freshly executed modules, one of them mutated, in the place of the imported ones."""
    package = importlib.import_module("fidelity_gate")
    for name in MODULES:
        full = f"fidelity_gate.{name}"
        tree = mutant.tree(trees[name]) if mutant and mutant.module == name else trees[name]
        module = types.ModuleType(full)
        sys.modules[full] = module
        setattr(package, name, module)
        exec(compile(tree, full, "exec"), module.__dict__)  # noqa: S102  (our own source, changed on purpose)


# ---------------------------------------------------------------- mutants


def _mutants(module: str, tree: ast.Module, lines: list[str]) -> Iterator[Mutant]:
    typed = _annotations(tree)
    for index, node in enumerate(ast.walk(tree)):
        if node in typed:
            continue
        for told, change in _changes(node):
            line = getattr(node, "lineno", 1)
            yield Mutant(module, index, change, line, lines[line - 1].strip(), told)


def _annotations(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes that decide nothing: annotations, imports for types, docstrings, decorators."""
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        roots += [part for field in ("annotation", "returns") if (part := getattr(node, field, None)) is not None]
        roots += getattr(node, "decorator_list", [])
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            roots.append(node)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            roots.append(node)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):  # type aliases
            roots.append(node)
    return {part for root in roots for part in ast.walk(root)}


def _changes(node: ast.AST) -> Iterator[Change]:
    """Yield every small change of one node, and what it is called."""
    text = ast.unparse(node).splitlines()[0][:90] if isinstance(node, ast.expr | ast.stmt) else ""
    match node:
        case ast.Compare():
            for at, op in enumerate(node.ops):
                for new in _COMPARE[type(op)]:
                    yield f"{text}  [{type(op).__name__} {at} -> {new.__name__}]", _set_op(at, new)
        case ast.BoolOp():
            opposite = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"{text}  [-> {type(opposite).__name__}]", _set("op", opposite)
        case ast.UnaryOp(op=ast.Not()):
            yield f"{text}  [not removed]", lambda found: found.operand  # type: ignore[attr-defined]
        case ast.BinOp() if type(node.op) in _BINARY:
            yield f"{text}  [-> {_BINARY[type(node.op)].__name__}]", _set("op", _BINARY[type(node.op)]())
        case ast.IfExp() | ast.If():
            yield f"{text}  [condition negated]", _negate
        case _:
            yield from _smaller_changes(node, text)


def _smaller_changes(node: ast.AST, text: str) -> Iterator[Change]:
    match node:
        case ast.comprehension() if node.ifs:
            yield f"if {ast.unparse(node.ifs[0])}  [filter removed]", _set("ifs", [])
        case ast.Name(id=name) if name in _NAMES:
            yield f"{name}  [-> {_NAMES[name]}]", _set("id", _NAMES[name])
        case ast.Constant(value=bool() as value):
            yield f"{value}  [-> {not value}]", _set("value", not value)
        case ast.Constant(value=int() | float() as value):
            yield f"{value}  [-> {value + 1}]", _set("value", value + 1)
        case ast.Constant(value=""):
            yield "''  [-> text]", _set("value", "mutated")
        case ast.Raise() | ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield f"{text}  [removed]", lambda _: ast.Pass()
        # None instead of no text is what the type checker tells; text instead of none is a mutant of its own.
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) not in ("''", "None"):
            yield f"{text}  [-> None]", _set("value", ast.Constant(None))


def _set(field: str, value: object) -> Callable[[ast.AST], None]:
    return lambda node: setattr(node, field, value)


def _set_op(at: int, new: type[ast.cmpop]) -> Callable[[ast.AST], None]:
    def change(node: ast.AST) -> None:
        node.ops[at] = new()  # type: ignore[attr-defined]

    return change


def _negate(node: ast.AST) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and old in value:
                value[value.index(old)] = new


if __name__ == "__main__":
    sys.exit(main())
