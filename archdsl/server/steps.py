"""Where in a text the steps of a network stand, and what is known of each: its shapes, its costs, what it sees.

A place of a block stands for a step in every instance of the block, and one in a loop for a step in every pass.
"""

from __future__ import annotations

from functools import cached_property

from archdsl.analysis.costs import Costs
from archdsl.analysis.field import Fields
from archdsl.analysis.rows import human
from archdsl.core.record import Record
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct
from archdsl.ops.base import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.analysis.field import Field, Seen
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node

MOST = 8  # shapes of one place that are listed


class Place(Record):
    """A piece of the text that is a step, and the steps that it is, in the order in which they are first met."""

    start: int
    end: int
    steps: tuple[tuple[Scope, Node], ...]

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of its results, each once."""
        return list(dict.fromkeys(scope.shapes[node.outputs[0]] for scope, node in self.steps))

    def brief(self) -> str:
        """Return its shape in one line: the first and the last, where they differ."""
        shapes = self.shapes
        return show(shapes[0]) if len(shapes) == 1 else f"{show(shapes[0])} … {show(shapes[-1])}"

    def listed(self) -> str:
        """Return its shapes at the default size, a line each."""
        shown = [f"{show(shape)}, at default {show(tuple(map(int, shape)))}" for shape in self.shapes]
        more = [f"and {len(shown) - MOST} more"] if len(shown) > MOST else []
        return "\n".join(shown[:MOST] + more)


class Steps:
    """The steps of a network that a file writes."""

    def __init__(self, network: Network, path: str) -> None:
        self.network, self.path = network, path
        self.costs = Costs()

    @cached_property
    def places(self) -> list[Place]:
        """The places of the file that are steps, in order."""
        found: dict[tuple[int, int], list[tuple[Scope, Node]]] = {}
        for scope in distinct(self.network.scope):
            for node in scope.nodes:
                for span in {node.span, node.use or node.span} if node.outputs else ():
                    if span.source.path == self.path:
                        found.setdefault((span.start, span.end), []).append((scope, node))
        return [Place(start, end, tuple(steps)) for (start, end), steps in sorted(found.items())]

    def ends(self, text: str) -> list[tuple[int, Place]]:
        """Return the places, each with an offset in the line at whose end it is shown; of one line the last counts."""
        ordered = sorted(self.places, key=lambda place: (place.end, -place.start))
        return [(_last(place, text), place) for place in ordered]

    def at(self, offset: int) -> Place | None:
        """Return the smallest step around an offset."""
        around = [place for place in self.places if place.start <= offset < place.end]
        return min(around, key=lambda place: place.end - place.start, default=None)

    def within(self, start: int, end: int) -> Place | None:
        """Return the outermost step between two offsets, the last of them: what a piece of the text comes to."""
        inside = [place for place in self.places if start <= place.start and place.end <= end]
        return max(inside, key=lambda place: (place.end, -place.start), default=None)

    def about(self, place: Place) -> str:
        """Return what is known of a step, of several the first: its shape, parameters, MACs, receptive field."""
        scope, node = place.steps[0]
        cost = self.costs.node(node, scope)
        figures = [f"{human(cost.params)} parameters", f"{human(cost.macs)} MACs"]
        seen = self._field(scope, node)
        if seen is not None:
            rows, columns = seen.stride
            stride = "" if seen.whole else f", stride {rows:g}" if rows == columns else f", stride {rows:g}x{columns:g}"
            figures.append(f"receptive field {seen.text()}{stride}")
        count = len(place.steps)
        many = [f"the first of {count} in `{self.network.name}`"] if count > 1 else [f"in `{self.network.name}`"]
        return "\n\n".join([place.listed().replace("\n", "  \n"), ", ".join(figures), *many])

    def _field(self, scope: Scope, node: Node) -> Field | None:
        follow = Fields(self.network)
        inputs = _inputs(follow, self.network.scope, follow.inputs, scope, set())
        return None if inputs is None else follow.main(follow.values(scope, inputs)[node.outputs[0]])


def _last(place: Place, text: str) -> int:
    """Return an offset in the line that shows the result of a step: its last one, or the head of a body."""
    head = text[place.start : place.end].partition("\n")[0].partition("#")[0].rstrip()
    return place.start if head.endswith(":") else place.end - 1


def _inputs(
    follow: Fields, scope: Scope, inputs: tuple[Seen, ...], wanted: Scope, passed: set[int]
) -> tuple[Seen, ...] | None:
    """Return what the inputs of a scope see in the first place where it stands."""
    if scope is wanted:
        return inputs
    passed.add(id(scope))
    seen = follow.values(scope, inputs)
    for node in scope.nodes:
        if isinstance(node.what, Scope) and id(node.what) not in passed:
            found = _inputs(follow, node.what, tuple([seen[v] for v in node.inputs]), wanted, passed)
            if found is not None:
                return found
    return None
