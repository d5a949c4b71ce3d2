"""What a piece of syntax is made of, which names it binds, and which it mentions."""

from __future__ import annotations

import re

from archdsl import syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


class Bound:
    """The names that a definition binds anywhere in it: more than are visible at any one place.

    A computed name, `skip{i}`, stands for every name of its form.
    """

    def __init__(self, item: syntax.Node) -> None:
        self.names = {"x"}
        self.forms: list[str] = []
        self._collect(item)

    def __contains__(self, name: str) -> bool:
        return name in self.names or any(re.fullmatch(form, name) for form in self.forms)

    def _collect(self, node: Any) -> None:
        for part in parts(node):
            self._collect(part)
        if isinstance(node, (syntax.Param, syntax.Input)):
            self.names.add(node.name)
        elif isinstance(node, syntax.Targets):
            self.names.update(name for name in node.names if isinstance(name, str))
        elif isinstance(node, syntax.Bind):
            if node.name.plain is not None:
                self.names.add(node.name.plain)
            else:
                self.forms.append(form(node.name))
        if isinstance(node, syntax.Signature):
            self._dims(node.inputs)
        elif isinstance(node, syntax.Input):
            self._dims([dim for dim, _ in node.dims])

    def _dims(self, dims: Iterable[syntax.Expr]) -> None:
        self.names.update(dim.plain for dim in dims if isinstance(dim, syntax.Name) and dim.plain)


def form(name: syntax.Name) -> str:
    """Return the pattern of the names that a computed name can be: `skip{i}` is `skip` and anything."""
    return "".join(re.escape(part) if isinstance(part, str) else r"\w+" for part in name.parts)


def parts(node: Any) -> Iterator[Any]:
    """Yield the nodes directly inside a node, those inside its tuples too."""
    values = node if isinstance(node, tuple) else [getattr(node, field) for field in node.fields if field != "span"]
    for value in values:
        if isinstance(value, syntax.Node):
            yield value
        elif isinstance(value, tuple):
            yield from parts(value)
