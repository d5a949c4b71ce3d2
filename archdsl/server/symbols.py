"""The outline of a text: definitions with their labelled steps, bindings and inputs, and what can be folded."""

from __future__ import annotations

from lsprotocol import types

from archdsl.server.scopes import name_of
from archdsl.syntax import tree
from archdsl.syntax.names import parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.server.positions import Positions

KINDS: dict[type, types.SymbolKind] = {
    tree.Fn: types.SymbolKind.Function,
    tree.Block: types.SymbolKind.Class,
    tree.Net: types.SymbolKind.Module,
    tree.Alias: types.SymbolKind.Module,
    tree.Bind: types.SymbolKind.Variable,
    tree.Input: types.SymbolKind.Field,
    tree.Output: types.SymbolKind.Field,
    tree.Labelled: types.SymbolKind.Property,
    tree.Scope: types.SymbolKind.Namespace,
}
NESTING = (tree.Fn, tree.Block, tree.Net, tree.Alias, tree.Labelled, tree.Scope)
FOLDED = (tree.Block, tree.Net, tree.Scope, tree.If, tree.For)


def symbols(module: tree.Module, positions: Positions) -> list[types.DocumentSymbol]:
    """Return the outline of a file."""
    return [symbol for item in module.items for symbol in _symbols(item, positions)]


def _symbols(node: Any, positions: Positions) -> Iterator[types.DocumentSymbol]:
    inner = [symbol for part in parts(node) for symbol in _symbols(part, positions)]
    if type(node) not in KINDS:
        yield from inner
        return
    name = _name(node)
    symbol = types.DocumentSymbol(
        name=name.text, kind=KINDS[type(node)], range=_whole(node, positions), selection_range=positions.range(name)
    )
    if isinstance(node, NESTING):
        symbol.children = inner
        inner = []
    yield symbol
    yield from inner


def _name(node: Any) -> Span:
    if isinstance(node, (tree.Fn, tree.Block, tree.Net, tree.Alias, tree.Input)):
        return name_of(node)
    place: Span = node.name.span
    return place


def _whole(node: Any, positions: Positions) -> types.Range:
    return positions.between(node.span.start, _end(node, positions.text))


def _end(node: Any, text: str) -> int:
    """Return where a piece of a text ends, without the empty lines and comments up to the next statement."""
    last = node
    while True:
        inner = [part for part in parts(last) if part.span.end > part.span.start]
        bodies = isinstance(last, (tree.Net, tree.Block, tree.Scope, tree.If, tree.For)) and inner
        if not bodies:
            return len(text[: last.span.end].rstrip())
        last = max(inner, key=lambda part: part.span.start)


def folds(module: tree.Module, positions: Positions) -> list[types.FoldingRange]:
    """Return what can be folded: bodies, statements of several lines, docstrings and imports in a row."""
    found: dict[int, types.FoldingRange] = {}
    work: list[Any] = [module]
    while work:
        node = work.pop()
        work += parts(node)
        if not isinstance(node, (tree.Statement, *FOLDED, tree.Alias, tree.Fn)):
            continue
        first, last = positions.line_of(node.span.start), positions.line_of(_end(node, positions.text) - 1)
        if last > first:
            found.setdefault(first, types.FoldingRange(first, last))
    return [found[line] for line in sorted(found)]
