"""Which scopes of a network share a class.

Scopes share a class when they differ in numbers only: same operators, names and wiring. A block that is empty in some
instances (no projection, say) does not split the class around it: it becomes optional there.
"""

from __future__ import annotations

from archdsl.ir.liveness import is_empty, is_sequential
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct, once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from archdsl.ir.network import Node


class Groups:
    """The scopes of a network by class: `classes` lists the members of each, inner classes first."""

    def __init__(self, root: Scope) -> None:
        self.scopes = distinct(root)
        self.empty_titles = {s.title for s in self.scopes if s.kind == "block" and is_empty(s)}
        self.numbers: dict[Hashable, int] = {}
        members: dict[int, list[Scope]] = {}
        for scope in self.scopes:
            if has_class(scope) or scope is root:
                members.setdefault(self.key(scope), []).append(scope)
        self.classes: dict[int, list[Scope]] = {}
        for key in members:
            self._place(key, members)

    def _place(self, key: int, members: dict[int, list[Scope]]) -> None:
        """Put a class after the classes that it uses in any of its instances."""
        if key in self.classes:
            return
        for scope in members[key]:
            for inner in distinct(scope)[:-1]:
                if has_class(inner):
                    self._place(self.key(inner), members)
        self.classes[key] = members[key]

    @once
    def key(self, scope: Scope) -> int:
        """Return a number for what scopes of one class have in common."""
        nodes = tuple([self._node(node, scope) for node in scope.nodes])
        outputs = tuple([(o.name, o.value, o.training) for o in scope.outputs])
        title = scope.title if scope.kind != "scope" or not is_sequential(scope) else ""
        # Numbered, since tuples inside tuples would be hashed through, once for each use of a scope.
        key = (scope.kind, title, scope.wrapper, scope.inputs, nodes, outputs)
        return self.numbers.setdefault(key, len(self.numbers))

    def _node(self, node: Node, scope: Scope) -> Hashable:
        what = node.what
        place = (node.name, node.labelled, node.reuses, node.inputs, node.outputs, node.init)
        if isinstance(what, Scope):
            if what.kind == "block" and what.title in self.empty_titles:
                others = self._nonempty(what.title)
                if len(others) == 1:
                    return (*place, "optional", what.title, next(iter(others)))
            return (*place, self.key(what))
        shapes = [scope.shapes[i] for i in node.inputs]
        calls = (what.module(shapes[0]), what.function(*shapes))
        forms = tuple((c.target, len(c.args), tuple(k for k, _ in c.kwargs)) if c else None for c in calls)
        return (*place, what.name, forms)

    def _nonempty(self, title: str) -> set[int]:
        return {self.key(s) for s in self.scopes if s.kind == "block" and s.title == title and not is_empty(s)}


def has_class(scope: Scope) -> bool:
    """Say whether a scope becomes a class: nets, blocks, and bodies that are more than a sequence."""
    return not is_empty(scope) and scope.wrapper is None and (scope.kind != "scope" or not is_sequential(scope))
