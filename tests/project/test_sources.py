"""What holds of the source itself: functions that fit a page, packages that say what they are for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "archdsl").rglob("*.py"))
LINES, DEPTH, PARAMETERS = 40, 4, 8
KEYWORDS = {
    "sweep",
    "search",
    "check",
    "compile",
    "draw",
    "compress",
    "export",
    "cost",
    "load",
    "loads",
    "train",
    "create",
}  # public functions, whose parameters are options
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.FunctionDef)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def depth(node: ast.AST, level: int = 0) -> int:
    """Count blocks inside one another; an `elif` is as deep as its `if`."""
    below = [level]
    for child in ast.iter_child_nodes(node):
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        below.append(depth(child, level + (isinstance(child, BLOCKS) and not chained)))
    return max(below)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_fits_a_page(path):
    for function in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = function.end_lineno - body[0].lineno + 1 if body else 0
        given = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        assert lines <= LINES, f"{function.name} has {lines} lines"
        assert depth(function) <= DEPTH, f"{function.name} is nested {depth(function)} deep"
        assert len(given) <= PARAMETERS or function.name in KEYWORDS, f"{function.name} has {len(given)} parameters"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_a_package_says_what_it_is_for(path):
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said and len(said.split("\n")[0]) <= 120
    assert (
        path.parent.name in ("archdsl", "templates")
        or f"`{path.parent.name}/`" in (ROOT / "docs" / "architecture.md").read_text()
    )
