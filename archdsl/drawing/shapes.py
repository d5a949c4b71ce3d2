"""Which wires of a graph have their shape written on them, how often each map has been halved, and what follows."""

from __future__ import annotations

from math import log2

from archdsl.drawing.boxes import Graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.drawing.boxes import Box, Wire

CUT = 1.6  # by which a map is cut at most where convolutions have no padding: 568 to 392 in U-Net


def labelled(graph: Graph, where: str) -> Graph:
    """Return a graph whose wires have a label where the shape is new, one for each value, and whose boxes have levels.

    `where` is `net`, `panel`, `module` or `frame`: what comes into a frame, and leaves it, has its label outside.
    """
    given: dict[int, str] = {}  # the shape of the first value that a box is given
    made = {wire.source: wire.label for wire in reversed(graph.wires)}
    levels = {at: _halvings(made.get(graph.inputs[0], ""), made.get(at, "")) for at in graph.inputs}
    for wire in graph.wires:
        if wire.target not in given:
            given[wire.target] = wire.label
            levels[wire.target] = levels.get(wire.source, 0) + _halvings(wire.label, made.get(wire.target, ""))
    boxes = tuple([box.replace(level=levels.get(at, 0)) for at, box in enumerate(graph.boxes)])
    wires = _told(graph, given, where)
    scaled = where in ("net", "module") and _meet(boxes, graph.wires)
    return graph.replace(boxes=boxes, wires=tuple(_last_of_several(wires, graph.wires)), by_scale=scaled)


def _told(graph: Graph, given: dict[int, str], where: str) -> list[Wire]:
    """Return the wires with the labels that are needed."""
    told: set[tuple[int, str]] = set()
    wires = []
    for wire in graph.wires:
        value = wire.source, wire.label
        inner = where == "frame" and (wire.source in graph.inputs or wire.target in graph.outputs)
        new = value not in told and given.get(wire.source) != wire.label and not inner
        told.add(value)
        wires.append(wire if new else wire.replace(label=""))
    return wires


def _last_of_several(wires: list[Wire], whole: tuple[Wire, ...]) -> list[Wire]:
    """Move the label of wires side by side that carry the same shape to the last of them."""
    last = {(wire.source, wire.target): at for at, wire in enumerate(wires)}
    found = list(wires)
    for at, wire in enumerate(wires):
        other = last[wire.source, wire.target]
        if wire.label and other != at and whole[other].label == wire.label:
            found[at], found[other] = wire.replace(label=""), whole[other]
    return found


def _halvings(before: str, after: str) -> int:
    """Return how often a map has been halved between two shapes; negative where it was doubled."""
    sizes = [text.split("×") for text in (before, after)]
    if any(len(size) != 3 for size in sizes):
        return 0
    high, low = [max(int(size[1]), int(size[2])) for size in sizes]
    if min(high, low) <= 1 or max(high, low) < CUT * min(high, low):
        return 0  # a pooled map has no size of its own, and one that is cut or padded keeps it
    return round(log2(high / low))


def _meet(boxes: tuple[Box, ...], wires: tuple[Wire, ...]) -> bool:
    """Say whether maps of several sizes meet again: a join reads what has been smaller, and what has not."""
    if any(box.kind == "module" for box in boxes):
        return False
    deepest = [box.level for box in boxes]
    read: dict[int, set[int]] = {}
    for wire in sorted(wires, key=lambda wire: wire.target):
        deepest[wire.target] = max(deepest[wire.target], deepest[wire.source])
        read.setdefault(wire.target, set()).add(deepest[wire.source])
    return any(len(found) > 1 for target, found in read.items() if boxes[target].kind == "join")
