"""Where values enter a body: those that it reads, and one entry for inputs that are the same value wherever it stands.

A body that mentions by name what flows into it is given that twice, and a block may be given as an argument what it is
applied to; a reader sees one wire there.
"""

from __future__ import annotations

from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct, once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.drawing.alike import Alike
    from archdsl.ir.network import Node


class Entries:
    """The entries of the scopes of a network."""

    def __init__(self, root: Scope, alike: Alike) -> None:
        self.alike = alike
        self.same: dict[int, tuple[int, ...]] = {}  # for each input of what is drawn alike, the first that equals it
        for scope in distinct(root):
            for node in scope.nodes:
                if isinstance(node.what, Scope):
                    number = alike.loosely(node.what)
                    known = self.same.get(number, (0,) * len(node.inputs))
                    self.same[number] = _first(list(zip(known, node.inputs)))

    @once
    def of(self, scope: Scope) -> tuple[int, ...]:
        """Return for each input of a scope the one at whose entry it comes in."""
        known = self.same.get(self.alike.loosely(scope), ())
        return (*known, *range(len(known), len(scope.inputs)))  # a solver adds the time to what its step is given

    @once
    def read(self, scope: Scope) -> tuple[int, ...]:
        """Return the inputs of a scope that have an entry, the first where none is read."""
        wanted = {output.value for output in scope.outputs}.union(*map(self.values, scope.nodes))
        return tuple(sorted({at for at, value in zip(self.of(scope), scope.inputs) if value in wanted})) or (0,)

    def values(self, node: Node) -> tuple[int, ...]:
        """Return the values that a step computes with; others tell it only how many images there are, or a size."""
        what = node.what
        places: Sequence[int] = self.read(what) if isinstance(what, Scope) else what.reads(len(node.inputs))
        return tuple([node.inputs[place] for place in places if place < len(node.inputs)])


def _first(values: Sequence[object]) -> tuple[int, ...]:
    return tuple([values.index(value) for value in values])
