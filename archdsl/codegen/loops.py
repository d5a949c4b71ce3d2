"""Loops of the text, kept as loops: the passes of one as one step of the sequence that they stand in.

    conv1 bn1 relu conv2 bn2 relu pool     Folded.nodes:  Turns(conv{i} bn{i} relu, conv{i} bn{i} relu)  pool

Passes are scopes, so they stand side by side as instances of a block do, and each pass of each instance is one column.
Only sequences are folded: what an `nn.Sequential` holds is a list, which a loop may build.
"""

from __future__ import annotations

from archdsl.codegen.terms import plain
from archdsl.ir.liveness import in_place, is_plain_sequence, is_sequence
from archdsl.ir.network import Loop, Node, Output, Scope
from archdsl.ir.walk import distinct, with_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.ir.network import Turn

    Place = tuple[str, int, int]


class Folded(Scope):
    """A sequence with loops, or one pass of a loop in it; which steps overwrite their inputs is known from before."""

    overwriting: frozenset[int] = frozenset()
    numbered: bool = False  # whether the modules of the sequence have numbers for names


class Turns(Scope):
    """The passes of a loop, each a node."""

    loop: Loop  # type: ignore[misc]  # which is always given


def where(loop: Loop) -> Place:
    """Return where a loop is written."""
    span = loop.written.span
    return span.source.name, span.start, span.end


def overwriting(scope: Scope) -> frozenset[int]:
    """Return the steps that may overwrite their input."""
    return scope.overwriting if isinstance(scope, Folded) else in_place(scope)


def folded(root: Scope, written_out: frozenset[Place], special: frozenset[int]) -> dict[int, Scope]:
    """Return the scopes of a network with their loops folded, by the identity of what they are made of.

    Loops that are `written_out` are not, nor are those around or before `special` steps, which need names of their own.
    """
    made: dict[int, Scope] = {}
    for scope in distinct(root):
        nodes = [_holding(node, made) for node in scope.nodes]
        made[id(scope)] = with_nodes(scope, nodes)
        if scope.loops and scope.nodes and is_sequence(scope) and _counted(scope):
            made[id(scope)] = _Folding(scope, nodes, written_out, special).scope()
    return made


def _holding(node: Node, made: dict[int, Scope]) -> Node:
    inner = made.get(id(node.what))
    return node if inner is None or inner is node.what else node.replace(what=inner)


def _counted(scope: Scope) -> bool:
    """Say whether modules without a label have their places for names."""
    return scope.wrapper is None and all(node.labelled or node.name == str(i) for i, node in enumerate(scope.nodes))


class _Folding:
    def __init__(
        self, scope: Scope, nodes: Sequence[Node], written_out: frozenset[Place], special: frozenset[int]
    ) -> None:
        self.of, self.nodes, self.written_out = scope, nodes, written_out
        self.numbered, self.overwriting = is_plain_sequence(scope), in_place(scope)
        # After a loop a number is no name that is known.
        last = [i for i, node in enumerate(scope.nodes) if id(node) in special]
        self.free = 1 + max(last, default=-1)

    def scope(self) -> Scope:
        """Return the scope with its loops as steps."""
        found = list(self._items(0, len(self.nodes), self.of.loops))
        if not any(isinstance(node.what, Turns) for _, node in found):
            return with_nodes(self.of, self.nodes)
        return self._made(self.of, found)

    def _made(self, scope: Scope, found: list[tuple[int, Node]]) -> Scope:
        nodes = tuple(
            [node.replace(name=str(i)) for i, (_, node) in enumerate(found)]
            if self.numbered
            else [node for _, node in found]
        )
        over = frozenset([i for i, (number, _) in enumerate(found) if number in self.overwriting])
        state = {field: getattr(scope, field) for field in Scope.fields}
        return Folded(**(state | {"nodes": nodes}), overwriting=over, numbered=self.numbered)

    def _items(self, first: int, last: int, loops: Sequence[Loop]) -> Iterator[tuple[int, Node]]:
        """Yield steps and loops, each with the number of the step: -1 for a loop."""
        at = first
        for loop in loops:
            end = loop.turns[-1].last if loop.turns else loop.first
            yield from [(i, self.nodes[i]) for i in range(at, loop.first)]
            if loop.first >= self.free and where(loop) not in self.written_out:
                yield -1, self._loop(loop, end)
            else:
                for turn in loop.turns:
                    yield from self._items(turn.first, turn.last, turn.loops)
            at = end
        yield from [(i, self.nodes[i]) for i in range(at, last)]

    def _value(self, number: int) -> int:
        """Return the value that leaves the step before one."""
        return self.nodes[number - 1].outputs[0] if number else self.of.inputs[0]

    def _loop(self, loop: Loop, end: int) -> Node:
        start, result = self._value(loop.first), self._value(end)
        turns = tuple([self._turn(turn, number) for number, turn in enumerate(loop.turns)])
        outputs = (Output("out", result, implicit=True),)
        state = ("loop", "", (), (start,), turns, self.of.shapes, outputs, loop.written.span)
        what = Turns(*state, loop=loop)
        return Node(f"loop{loop.written.span.start}", what, (start,), (result,), loop.written.span)

    def _turn(self, turn: Turn, number: int) -> Node:
        """Return a pass, whose values are numbered from its input on."""
        start, result = self._value(turn.first), self._value(turn.last)
        found = list(self._items(turn.first, turn.last, turn.loops))
        shapes = tuple([self.of.shapes[value] for value in (start, *[node.outputs[0] for _, node in found])])
        nodes = [(at, node.replace(inputs=(i,), outputs=(i + 1,))) for i, (at, node) in enumerate(found)]
        outputs = (Output("out", len(found), implicit=True),)
        state = ("turn", "", turn.values, (0,), (), shapes, outputs, self.of.span, "", turn.bindings)
        return Node(str(number), self._made(Scope(*state), nodes), (start,), (result,), self.of.span)


def values_at(scope: Scope, number: int) -> dict[str, object]:
    """Return what loops that are written out bind around a step, each a value of Python or `UNKNOWN`."""
    found: dict[str, object] = {}
    loops = () if isinstance(scope, (Folded, Turns)) else scope.loops
    while loops:
        turns = [turn for loop in loops for turn in loop.turns if turn.first <= number < turn.last]
        found |= {name: plain(value) for turn in turns for name, value in turn.values}
        found |= {name: plain(value) for turn in turns for name, _, value in turn.bindings}
        loops = tuple([loop for turn in turns for loop in turn.loops])
    return found
