"""The steps of a scope, with bodies taken apart that are no boxes of their own."""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.drawing import words
from archdsl.ir.liveness import is_empty
from archdsl.ir.network import Scope
from archdsl.ir.walk import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archdsl.core.sizes import Shape
    from archdsl.drawing.alike import Alike
    from archdsl.drawing.entries import Entries
    from archdsl.ir.network import Node

    Figures = Callable[[Scope, bool], list[float]]

LARGE = 6  # different boxes of a labelled body, such as `features`, that is no part of a net but most of it
SHORT = 12  # steps of a body within a block that needs no frame
FEW = 6  # steps of a body that may fit one box


class Atom(Record):
    """A step in a graph of values whose numbers are the graph's own."""

    path: str
    node: Node
    figure: float
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    mark: str = ""  # of the step, or of a body around it that has no box
    shared: bool = False  # its weights are those of an earlier step


class Flat(Record):
    """The steps of a scope, its shapes by value, what comes in and what goes out."""

    atoms: tuple[Atom, ...]
    shapes: dict[int, Shape]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Flattener:
    """Takes scopes apart; `figures` are those of the steps of a scope, which may be a further use of its weights.

    `marks` are those of single steps, by identity.
    """

    def __init__(self, figures: Figures, alike: Alike, entries: Entries, marks: Mapping[int, str]) -> None:
        self.figures, self.alike, self.entries, self.marks = figures, alike, entries, marks

    def flat(self, scope: Scope, path: str, net: bool, again: bool = False) -> Flat:
        """Return the steps of a scope in values of their own.

        `net` says that the scope is the net itself, `again` that an earlier step has its weights.
        """
        shapes: dict[int, Shape] = {}
        atoms: list[Atom] = []

        def fresh(shape: Shape) -> int:
            shapes[len(shapes)] = shape
            return len(shapes) - 1

        def enter(inner: Scope, path: str, given: Sequence[int], mark: str = "", shared: bool = False) -> list[int]:
            values = dict(zip(inner.inputs, given))
            for node, figure in zip(inner.nodes, self.figures(inner, shared)):
                inputs = tuple([values[value] for value in node.inputs])
                own, reused = mark or self.marks.get(id(node), ""), shared or bool(node.reuses)
                if does_nothing(node):
                    outputs: Sequence[int] = inputs[:1]
                elif isinstance(node.what, Scope) and self.dissolves(node.what, net):
                    outputs = enter(node.what, f"{path}{node.name}.", inputs, own, reused)
                else:
                    outputs = tuple([fresh(inner.shapes[value]) for value in node.outputs])
                    read = tuple([values[value] for value in self.entries.values(node)])
                    atoms.append(Atom(path + node.name, node, figure, read, tuple(outputs), own, reused))
                values.update(zip(node.outputs, outputs))
            return [values[output.value] for output in inner.outputs]

        places = self.entries.of(scope)
        entries = {at: fresh(scope.shapes[scope.inputs[at]]) for at in dict.fromkeys(places)}
        outputs = enter(scope, path, [entries[at] for at in places], shared=again)
        inputs = entries if net else self.entries.read(scope)
        return Flat(tuple(atoms), shapes, tuple([entries[at] for at in inputs]), tuple(outputs))

    def dissolves(self, scope: Scope, net: bool) -> bool:
        """Say whether a scope has no box: what fits that of its step, and a body that is most of a net."""
        if scope.wrapper is not None:
            return False
        if scope.kind == "net" or self.fits_a_box(scope) or (net and len(scope.outputs) > 1):
            return True
        if scope.kind != "scope":
            return False
        return self.boxes(scope) > LARGE if net else len(scope.nodes) <= SHORT and _is_row(scope)

    @once
    def differs(self, scope: Scope) -> bool:
        """Say whether a step in a scope is marked."""
        return bool(self.marks) and any(
            id(node) in self.marks or (isinstance(node.what, Scope) and self.differs(node.what)) for node in scope.nodes
        )

    @once
    def boxes(self, scope: Scope) -> int:
        """Return about how many different boxes are in a body."""
        different = {self.alike.step(node): node.what for node in scope.nodes}
        bodies = [what for what in different.values() if isinstance(what, Scope) and what.kind == "scope"]
        inner = [self.boxes(what) - 1 for what in bodies if not self.fits_a_box(what)]
        return len(different) + sum(inner)

    @once
    def fits_a_box(self, scope: Scope) -> bool:
        """Say whether the steps of a scope are one box: a convolution with its norm and activation."""
        if len(scope.outputs) != 1 or len(scope.nodes) > FEW or scope.wrapper is not None or not _is_row(scope):
            return False
        large = 0
        for node in scope.nodes:
            if does_nothing(node):
                continue
            if isinstance(node.what, Scope):
                if not self.fits_a_box(node.what):
                    return False
                large += 1
            else:
                large += not words.is_minor(node.what)
        return large <= 1


def does_nothing(node: Node) -> bool:
    """Say whether a step returns what it is given."""
    return is_empty(node.what) if isinstance(node.what, Scope) else "identity" in node.what.traits


def _is_row(scope: Scope) -> bool:
    """Say whether each step reads what the one before it makes, and nothing else."""
    value = scope.inputs[0]
    for node in scope.nodes:
        if node.inputs != (value,) or len(node.outputs) != 1:
            return False
        value = node.outputs[0]
    return True
