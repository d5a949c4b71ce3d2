"""Which scopes of a network share a class: all instances of a block, where their steps can stand side by side.

Instances that differ in numbers only always do. Where steps differ, they share a class if the text has a condition for
each step that only some have; a block that is empty in some instances (no projection, say) does not split the class
around it: it becomes optional there.
"""

from __future__ import annotations

from archdsl.codegen.conditions import Conditions, proven
from archdsl.codegen.kernels import BASES
from archdsl.codegen.loops import Turns
from archdsl.codegen.merge import Kinds, Unlike, side_by_side
from archdsl.codegen.names import names_of
from archdsl.codegen.terms import MISSING
from archdsl.ir.liveness import is_empty, is_sequential, module_of
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct, once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from archdsl.codegen.merge import Body
    from archdsl.codegen.terms import Function
    from archdsl.ir.network import Node


class Groups(Kinds):
    """The scopes of a network by class: `classes` are the instances of each as one body, inner classes first."""

    def __init__(self, root: Scope, functions: Sequence[Function] = ()) -> None:
        self.root, self.scopes, self.functions = root, distinct(root), functions
        self.classes: list[Body] = []
        self.known: dict[int, Hashable] = {}  # the class of a scope, by its identity
        self.buckets: dict[Hashable, list[Scope]] = {}
        for scope in self.scopes:
            if self.held(scope) or scope is root:
                self.buckets.setdefault(_origin(scope), []).append(scope)
        self.inner = {
            origin: list(dict.fromkeys(o for scope in scopes for o in self._direct(scope)))
            for origin, scopes in self.buckets.items()
        }
        self.within = {
            origin: [o for scope in scopes for o in self._direct(scope, True)]
            for origin, scopes in self.buckets.items()
        }
        self.irregular = _irregular(self.scopes)
        self.placed: set[Hashable] = set()
        for origin in self.buckets:
            self._place(origin)

    def number(self, scope: Scope) -> Hashable:
        if isinstance(scope, Turns):
            return super().number(scope)
        if is_empty(scope):
            origin = _origin(scope)
            circle = origin in self._reached(origin, self.within)  # its class would need its own number
            others = {self.number(s) for s in self.buckets.get(origin, ()) if not circle}
            return next(iter(others)) if len(others) == 1 else ("empty", scope.title)
        if not self.held(scope):
            return super().number(scope)
        # A block that stands in itself is told apart before the classes of its instances are known.
        return self.known.get(id(scope)) or (_origin(scope), self.form(scope))

    # ------------------------------------------------------------ order
    @once
    def held(self, scope: Scope) -> bool:
        """Say whether a scope becomes a class."""
        return has_class(scope)

    @once
    def _direct(self, scope: Scope, empty: bool = False) -> list[Hashable]:
        """Return the origins of the classes in a scope, those in its sequences too, and of what is `empty` in it."""
        found: dict[Hashable, None] = {}
        for node in scope.nodes:
            if isinstance(node.what, Scope):
                shown = self.held(node.what) or (empty and is_empty(node.what))
                found.update(dict.fromkeys([_origin(node.what)] if shown else self._direct(node.what, empty)))
        return list(found)

    def _place(self, origin: Hashable) -> None:
        """Put the classes of a block after the classes that its instances use."""
        if origin in self.placed:
            return
        circle = [
            o for o in self._reached(origin, self.inner) if origin in self._reached(o, self.inner)
        ]  # of blocks that use each other
        together = circle or [origin]
        self.placed.update(together)
        for inner in [inner for one in together for inner in self.inner[one]]:
            self._place(inner)
        forms: dict[Hashable, list[Scope]] = {}
        for scope in self.scopes:
            if (self.held(scope) or scope is self.root) and _origin(scope) in together:
                forms.setdefault((_origin(scope), self.form(scope)), []).append(scope)
        bodies: list[Body] = []
        for scopes in forms.values():
            if circle or not self._joined(bodies, scopes):
                bodies.append(side_by_side(scopes, self))
        for body in bodies:
            self.classes.append(body)
            self.known.update(dict.fromkeys(map(id, body.scopes), ("class", len(self.classes))))

    @staticmethod
    def _reached(origin: Hashable, within: dict[Hashable, list[Hashable]]) -> set[Hashable]:
        found: set[Hashable] = set()
        left = [*within.get(origin, ())]
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += within.get(one, ())
        return found

    # ------------------------------------------------------------ instances whose steps differ
    def _joined(self, bodies: list[Body], scopes: list[Scope]) -> bool:
        """Add instances to a class that is there already, where they are one body with it."""
        for at, body in enumerate(bodies):
            made = self._body([*body.scopes, *scopes])  # type: ignore[list-item]
            if made is not None:
                bodies[at] = made
                return True
        return False

    def _body(self, scopes: list[Scope]) -> Body | None:
        """Return instances as one body, whose branches the text has conditions for."""
        first = scopes[0]
        if any(len(s.given) != len(first.given) or s.input_names != first.input_names for s in scopes):
            return None
        try:
            body = side_by_side(scopes, self)
            conditions = Conditions(first, names_of(scopes, frozenset(), self.functions).known)
            bodies = [body, *_sequences(body, self)]
        except Unlike:
            return None
        fits = all(proven(one, conditions) for one in bodies) and self._starts(scopes)
        return body if fits else None

    def _starts(self, scopes: list[Scope]) -> bool:
        """Say whether weights that start otherwise than most of their kind have one path in all instances."""
        found = [dict(_paths(scope, "", self.irregular)) for scope in scopes]
        return all(one == found[0] for one in found)


def _sequences(body: Body, kinds: Groups) -> list[Body]:
    """Return the bodies of sequences inside a body, those inside of them too."""
    found = []
    for step in body.steps():
        inner = [node.what for _, _, node in step.present if isinstance(node.what, Scope) and not is_empty(node.what)]
        if any(isinstance(what, Turns) for what in inner):
            continue  # of which the class is told in time
        if inner and not kinds.held(inner[0]):
            whats = step.column(lambda _, node: node.what)
            one = side_by_side([w if w in inner else MISSING for w in whats], kinds)  # type: ignore[misc]
            found += [one, *_sequences(one, kinds)]
    return found


def _origin(scope: Scope) -> Hashable:
    """Return what instances of one block have in common, or those of one labelled body."""
    text = scope.definition or scope.written
    if text is None:
        return (scope.kind, scope.title)
    place = text.span
    return (scope.kind, scope.title, place.source.name, place.start, place.end)


def _irregular(scopes: list[Scope]) -> set[str]:
    """Return the modules, by their class, of which a parameter does not start in one way everywhere."""
    ways: dict[tuple[str, str], set[Hashable]] = {}
    for scope in scopes:
        for node in scope.nodes:
            for key, init in _starts(node, scope):
                ways.setdefault(key, set()).add(init)
    return {target for (target, _), found in ways.items() if len(found) > 1}


def _starts(node: Node, scope: Scope) -> Iterator[tuple[tuple[str, str], Hashable]]:
    """Yield the parameters of a step, by the class of its module, with how they start."""
    if isinstance(node.what, Scope) or not node.what.stateful:
        return
    x, given = scope.shapes[node.inputs[0]], dict(node.init)
    call = module_of(node, scope)
    assert call is not None, "an operator with state has a module"
    for name in node.what.weights(x):
        yield (BASES.get(call.target, call.target), name), given.get(name)


def told_apart(root: Scope) -> frozenset[int]:
    """Return the steps, by identity, whose weights start otherwise than most of their kind, and what holds them.

    Their modules are reached by their paths, so they need names.
    """
    scopes = distinct(root)
    irregular = _irregular(scopes)
    if not irregular:
        return frozenset()
    found: set[int] = set()
    holding: set[int] = set()
    for scope in scopes:
        for node in scope.nodes:
            own = any(kind in irregular and init is not None for (kind, _), init in _starts(node, scope))
            if own or id(node.what) in holding:
                found.add(id(node))
                if not has_class(scope):
                    holding.add(id(scope))
    return frozenset(found)


def _paths(scope: Scope, path: str, irregular: set[str]) -> list[tuple[str, Hashable]]:
    """Return the paths in a scope, its sequences included, of the modules whose class is one of those."""
    found: list[tuple[str, Hashable]] = []
    for node in scope.nodes:
        if isinstance(node.what, Turns):
            continue  # nothing in it is told apart by its path
        if isinstance(node.what, Scope):
            if not has_class(node.what):
                found += _paths(node.what, f"{path}{node.name}.", irregular)
        elif node.what.stateful and node.init and not node.reuses:
            call = module_of(node, scope)
            if call is not None and BASES.get(call.target, call.target) in irregular:
                found.append((path + node.name, (call.target, node.init)))
    return found


def has_class(scope: Scope) -> bool:
    """Say whether a scope becomes a class: nets, blocks, and bodies that are more than a sequence."""
    if is_empty(scope) or scope.wrapper is not None or scope.kind in ("loop", "turn"):
        return False
    return scope.kind != "scope" or not is_sequential(scope)
