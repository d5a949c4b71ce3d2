"""What a piece of syntax is made of, which names it binds, and which it mentions."""

from __future__ import annotations

import re

from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from archdsl.core.source import Span


class Bound:
    """The names that a definition binds anywhere in it: more than are visible at any one place.

    A computed name, `skip{i}`, stands for every name of its form.
    """

    def __init__(self, item: tree.Node) -> None:
        self.names = {"x"}
        self.places: dict[str, Span] = {}
        self.forms = Forms()
        self._collect(item)

    def __contains__(self, name: str) -> bool:
        return name in self.names or name in self.forms

    def _collect(self, node: Any) -> None:
        for part in parts(node):
            self._collect(part)
        if isinstance(node, (tree.Param, tree.Input)):
            self.names.add(node.name)
            self.places[node.name] = node.span
        elif isinstance(node, tree.Targets):
            self.names.update(name for name in node.names if isinstance(name, str))
        elif isinstance(node, tree.Bind):
            self.places[node.name.plain or node.name.span.text] = node.name.span
            if node.name.plain is not None:
                self.names.add(node.name.plain)
            else:
                self.forms.add(node.name)
        if isinstance(node, tree.Signature):
            self._dims(node.inputs)
        elif isinstance(node, tree.Input):
            self._dims([dim for dim, _ in node.dims])

    def _dims(self, dims: Iterable[tree.Expr]) -> None:
        self.names.update(dim.plain for dim in dims if isinstance(dim, tree.Name) and dim.plain)


class Forms:
    """The names that some computed names can be."""

    def __init__(self) -> None:
        self.patterns: dict[str, set[str]] = {}  # by how they begin, since a file may have thousands

    def add(self, name: tree.Name) -> None:
        """Add the names that a computed name can be."""
        first = name.parts[0]
        self.patterns.setdefault(first if isinstance(first, str) else "", set()).add(form(name))

    def update(self, other: Forms) -> None:
        """Add those of other computed names."""
        for first, patterns in other.patterns.items():
            self.patterns.setdefault(first, set()).update(patterns)

    def __contains__(self, name: str) -> bool:
        starts = (name[:length] for length in range(len(name) + 1))
        return any(re.fullmatch(pattern, name) for start in starts for pattern in self.patterns.get(start, ()))


def form(name: tree.Name) -> str:
    """Return the pattern of the names that a computed name can be: `skip{i}` is `skip` and anything.

    What stands for a part is the shortest text that goes on as the name does: a group that is not tried again, or
    thirty parts would take years.
    """
    texts = [""]
    for part in name.parts:
        if isinstance(part, str):
            texts[-1] += re.escape(part)
        else:
            texts.append("")
    first, *middle = texts
    if not middle:
        return first
    groups = "".join(rf"(?=(\w+?{text}))\{number}" for number, text in enumerate(middle[:-1], 1))
    return rf"{first}{groups}\w+{middle[-1]}"


def parts(node: Any) -> Iterator[Any]:
    """Yield the nodes directly inside a node, those inside its tuples too."""
    values = node if isinstance(node, tuple) else [getattr(node, field) for field in node.fields if field != "span"]
    for value in values:
        if isinstance(value, tree.Node):
            yield value
        elif isinstance(value, tuple):
            yield from parts(value)
