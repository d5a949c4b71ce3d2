"""What a picture is made of before it has coordinates: boxes that nest, and wires between them."""

from __future__ import annotations

from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.core.sizes import Shape


class Box(Record):
    """One box: a step with what follows it, a join, a closed block, a frame with boxes inside, an end of the net.

    `kind` is `step`, `join`, `block`, `module` (a closed round of several values), `frame`, `end` (of the net: an input
    or a result) or `point` (where wires of a frame or panel begin and end). `count` equal ones in a row are one box.
    """

    kind: str
    text: str = ""
    more: str = ""  # in lighter letters: beside the text of a step, below that of a block
    count: int = 1
    path: str = ""  # of the first module
    paths: tuple[str, ...] = ()  # of all modules
    figure: float = 0  # of all that it stands for, in one place
    letter: str = ""  # of the panel that shows its inside
    inside: Graph | None = None
    level: int = 0  # how often its map has been halved
    called: str = ""  # a block with its arguments: `bottleneck(planes=64)`
    mark: str = ""  # in a comparison: `added`, `removed`, `changed`


class Wire(Record):
    """A value on its way from one box to another, by their numbers.

    `label` is its `shape` at the default size, where that is new.
    A frame has several places where wires end, one for each value that it is given or returns.
    """

    source: int
    target: int
    label: str = ""
    shape: Shape = ()
    source_port: int = 0
    target_port: int = 0


class Graph(Record):
    """Boxes and wires of one frame, panel or net."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    inputs: tuple[int, ...] = ()  # the boxes at which its values come in
    outputs: tuple[int, ...] = ()
    by_scale: bool = False  # rows are sizes of maps, which meet again


def beside(graph: Graph) -> frozenset[int]:
    """Return the boxes that do not lead to the main result of a graph, the first: those of the heads of training."""
    if not graph.outputs:
        return frozenset()
    leading = {graph.outputs[0]}
    for wire in sorted(graph.wires, key=lambda wire: -wire.target):
        if wire.target in leading:
            leading.add(wire.source)
    return frozenset(range(len(graph.boxes))) - leading


class Panel(Record):
    """The inside of a block, drawn once: with the sizes that it has in one place."""

    letter: str
    title: str
    note: str
    graph: Graph


class Picture(Record):
    """A network as boxes: the net itself, and blocks that stand in it."""

    title: str
    facts: str
    graph: Graph
    panels: tuple[Panel, ...]
    unit: str  # what the figures count, in words
    say: Callable[[float], str]  # how a figure is printed
    most: float  # the largest figure of a box
