"""How a checked network is walked. It is nested and shared: a scope may stand in a thousand places, and is one object.

- `distinct`, `uses` and `once` go by scope: each is looked at once, however often it is used.
- `modules` goes by place: every module with its path.
- `runs` stays in one scope, and `rewritten` makes another network of one.
"""

from __future__ import annotations

from functools import wraps

from archdsl.core.record import Record
from archdsl.ir.liveness import needed
from archdsl.ir.network import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeVar

    from archdsl.ir.network import Node

    F = TypeVar("F", bound=Callable[..., Any])

MOST = 4096  # results that `once` keeps, of the scopes of many nets perhaps


def distinct(root: Scope) -> list[Scope]:
    """Return each distinct scope once, inner ones before those that use them, `root` last."""
    found: dict[int, Scope] = {}

    def enter(scope: Scope) -> None:
        for node in scope.nodes:
            if isinstance(node.what, Scope) and id(node.what) not in found:
                enter(node.what)
        found[id(scope)] = scope

    enter(root)
    return list(found.values())


def once(method: F) -> F:
    """Let a method of a scope, and perhaps more, be worked out once for each scope object.

    What is known stands in the object that has the method, without a circle back to it, so that it goes when that goes.

    >>> from archdsl.compiler import compiled
    >>> class Sizes:
    ...     @once
    ...     def of(self, scope):
    ...         print(scope.title)
    ...         return len(scope.nodes)
    >>> sizes, net = Sizes(), compiled("lenet5").network.scope
    >>> sizes.of(net) == sizes.of(net)
    lenet5
    True
    """
    table = method.__qualname__

    @wraps(method)
    def found(self: Any, scope: Scope, *more: object) -> Any:
        known = self.__dict__.get(table)
        if known is None:
            known = self.__dict__[table] = {}
        key = (id(scope), *more)
        entry = known.get(key)
        if entry is None:
            entry = scope, method(self, scope, *more)  # holds the scope, so that its identity stays its own
            if len(known) >= MOST:
                known.clear()
            known[key] = entry
        return entry[1]

    return found  # type: ignore[return-value]


def runs(scope: Scope) -> list[tuple[Node, int]]:
    """Return the steps of a scope with how often each runs in one run of it: 0 for what only training needs."""
    alive, times = needed(scope), scope.evaluations
    return [(node, 0 if alive.isdisjoint(node.outputs) else times) for node in scope.nodes]


class Usage(Record):
    """A distinct scope in a network: in how many places it `stands`, how often it `runs`, how many modules it `owns`.

    A place inside the function of a solver counts once for each evaluation.
    """

    scope: Scope
    stands: int
    runs: int
    owns: int


def uses(root: Scope) -> list[Usage]:
    """Return how often each distinct scope is used, outer ones first."""
    counts = {id(scope): [0, 0, 0] for scope in distinct(root)}
    counts[id(root)] = [1, 1, 1]
    found = []
    for scope in reversed(distinct(root)):
        use = Usage(scope, *counts[id(scope)])
        found.append(use)
        for node, times in runs(scope):
            if isinstance(node.what, Scope):
                inner = counts[id(node.what)]
                inner[0] += use.stands * scope.evaluations
                inner[1] += use.runs * times
                inner[2] += 0 if node.reuses else use.owns
    return found


def modules(scope: Scope, path: str = "") -> Iterator[tuple[str, Node, Scope]]:
    """Yield the path of every module, its step and the scope around it, in the order of the module's own."""
    for node in scope.nodes:
        if not node.reuses:
            place = path + node.name
            yield place, node, scope
            if isinstance(node.what, Scope):
                yield from modules(node.what, f"{place}.")


def rewritten(root: Scope, change: Callable[[Node, Scope], Node]) -> Scope:
    """Return a scope with other nodes, inner scopes first; what `change` leaves as it is stays the same object."""
    made: dict[int, Scope] = {}
    for scope in distinct(root):
        nodes = [change(_holding(node, made.get(id(node.what))), scope) for node in scope.nodes]
        made[id(scope)] = with_nodes(scope, nodes)
    return made[id(root)]


def _holding(node: Node, inner: Scope | None) -> Node:
    return node if inner is None or inner is node.what else node.replace(what=inner)


def with_nodes(scope: Scope, nodes: Sequence[Node]) -> Scope:
    """Return a scope with these nodes: the scope itself where they are its own."""
    same = len(nodes) == len(scope.nodes) and all(new is old for new, old in zip(nodes, scope.nodes))
    return scope if same else scope.replace(nodes=tuple(nodes))
