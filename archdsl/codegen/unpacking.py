"""Loops of a net that are written out, over a list that is a parameter: its items by name, one for each pass.

    depth0, depth1, depth2, depth3 = depths
    self.layer1 = nn.Sequential(*[Bottleneck(64) for _ in range(depth0)])

A list of another length is an error in Python, and not a network that lacks a stage.
"""

from __future__ import annotations

from archdsl.codegen.layout import WIDTH
from archdsl.codegen.names import variable
from archdsl.codegen.terms import UNKNOWN, Term, flat, literal, matches, plain, translate
from archdsl.ops.base import Listed
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.ir.network import Loop, Scope


class Unpacking:
    """The lists of a net that loops run over, which are written out: each is taken apart once."""

    def __init__(self, fresh: Callable[[str], str], known: dict[str, Term]) -> None:
        self.fresh, self.known = fresh, known  # the latter: what local names stand for
        self.lists: dict[int, Unpacked | None] = {}  # by the identity of a loop
        self.written: dict[str, tree.Expr] = {}  # what loops bind, and as what, where no pass knows less
        self.lost: set[str] = set()  # what is a number in some pass
        self.names: set[str] = set()  # the variables of lists

    def around(self, scope: Scope, number: int, names: dict[str, Term]) -> dict[str, Term]:
        """Return what loops bind around a step: parts of lists by their names, and anything else as it is."""
        found: dict[str, Term] = {}
        loops = scope.loops
        while loops:
            inside = [(o, k) for o in loops for k, turn in enumerate(o.turns) if turn.first <= number < turn.last]
            for loop, k in inside:
                found |= self._bound(loop, k, names | found)
            loops = tuple([inner for loop, k in inside for inner in loop.turns[k].loops])
        return found

    def told(self) -> list[tuple[tree.Expr, set[str]]]:
        """Return what loops run over and bind, each with the names that stand for it in the code."""
        found: dict[int, tuple[tree.Expr, set[str]]] = {}
        for name, expr in self.written.items():
            found.setdefault(id(expr), (expr, set()))[1].add(name)
        return [(expr, names) for expr, names in found.values() if not names & self.lost]

    def statements(self, used: set[str]) -> list[str]:
        """Return the statements that take lists apart."""
        return [one.statement(used) for one in self.lists.values() if one is not None and one.names & used]

    def taken(self, used: set[str]) -> set[str]:
        """Return the lists that are taken apart."""
        return {one.values.text for one in self.lists.values() if one is not None and one.names & used}

    def _bound(self, loop: Loop, number: int, names: dict[str, Term]) -> dict[str, Term]:
        """Return what one loop binds in a pass."""
        turn = loop.turns[number]
        if id(loop) not in self.lists:
            self.lists[id(loop)] = self._unpacked(loop, names)
        parts = self.lists[id(loop)]
        found = {name: literal(value) for name, v in turn.values if (value := plain(v)) is not UNKNOWN}
        found |= parts.passes[number] if parts is not None else {}
        for name, expr, value in turn.bindings:
            term = translate(expr, names | found)
            known = term is not None and not term.stream and not term.literal and term.column == (plain(value),)
            if term is not None and known and type(value) is not bool:  # what is tested stays decided
                found[name] = term
                self.written[name] = expr
            elif plain(value) is not UNKNOWN:
                found[name] = literal(plain(value))
                self.lost.add(name)
        return found

    def _unpacked(self, loop: Loop, names: dict[str, Term]) -> Unpacked | None:
        """Return the list of a loop taken apart, where the class has a name for it."""
        if not isinstance(loop.written, tree.For) or not loop.turns:
            return None
        targets, values = items_of(loop.written)
        term = translate(values, names)
        if term is None or not term.text.isidentifier() or not isinstance(term.column[0], Listed):
            return None
        if term.text in self.known.keys() - self.names:  # it is no parameter
            return None
        words, items = {*flat(targets)}, [dict(matches(targets, item)) for item in term.column[0]]
        if len(items) != len(loop.turns) or any(item.keys() != words for item in items):
            return None
        passes = [
            {name: variable(self.fresh(_numbered(name, k)), (value,)) for name, value in item.items()}
            for k, item in enumerate(items)
        ]
        found = Unpacked(targets, passes, term)
        if len(found.statement(found.names)) > WIDTH - 8:
            return None
        self.written |= dict.fromkeys(words, loop.written.values)
        self.known |= dict.fromkeys(found.names, term)
        self.names |= found.names
        return found


class Unpacked:
    """A list that is taken apart: the names of what is in it, pass by pass, and the list itself."""

    def __init__(self, targets: tree.Targets, passes: list[dict[str, Term]], values: Term) -> None:
        self.targets, self.passes, self.values = targets, passes, values
        self.names = {term.text for one in passes for term in one.values()}

    def statement(self, used: set[str]) -> str:
        """Return the statement that takes it apart, with a blank for what nothing uses."""
        items = [_shown(self.targets, {name: term.text for name, term in one.items()}, used) for one in self.passes]
        return f"{', '.join(items)}{',' if len(items) == 1 else ''} = {self.values.text}"


def items_of(loop: tree.For | tree.Comprehension) -> tuple[tree.Targets, tree.Expr]:
    """Return the targets of a loop for the items of its list: those after the number of `enumerate`."""
    targets, values = loop.targets, loop.values
    if not isinstance(values, tree.Call) or values.target.span.text != "enumerate" or len(targets.names) != 2:
        return targets, values
    item, listed = targets.names[1], values.arguments[0]
    assert isinstance(listed, tree.Expr), "a list has no name there"
    return (targets.replace(names=(item,)) if isinstance(item, str) else item), listed


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if name[-1:].isdigit() else f"{name}{number}"


def _shown(targets: tree.Targets, names: dict[str, str], used: set[str]) -> str:
    """Return the targets of a pass, with a blank for what nothing uses."""
    if not any(names[name] in used for name in flat(targets)):
        return "_"
    parts = [
        _shown(one, names, used) if isinstance(one, tree.Targets) else names[one] if names[one] in used else "_"
        for one in targets.names
    ]
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
