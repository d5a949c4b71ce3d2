"""A long net in several columns: cut where one value alone goes on."""

from __future__ import annotations

from archdsl.drawing.boxes import Box, Graph, Wire, beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 5  # columns


def parts(graph: Graph, count: int) -> list[Graph]:
    """Return a graph in so many parts of about the same length, or fewer where it cannot be cut."""
    graph = _reordered(graph)
    total = len(graph.boxes)
    lengths = [_length(box) for box in graph.boxes]
    cuts = _cuts(graph)
    found: list[int] = []
    for at in range(1, count):
        wanted = sum(lengths) * at / count
        free = [cut for cut in cuts if cut > (found[-1] + 1 if found else 1) and cut < total - 2]
        if free:
            found.append(min(free, key=lambda cut: abs(sum(lengths[: cut + 1]) - wanted)))
    ends = [*sorted(set(found)), total - 1]
    return [_part(graph, low + 1, high) for low, high in zip([-1, *ends], ends)]


def _length(box: Box) -> float:
    """Return about how high a box is, with the wire below it."""
    if box.inside is None:
        return 1.0
    return 1 + sum([_length(inner) for inner in box.inside.boxes if inner.kind != "point"])


def _reordered(graph: Graph) -> Graph:
    """Return a graph with what stands beside the trunk right after what it reads from."""
    aside = beside(graph)
    readers: dict[int, list[int]] = {}
    missing = dict.fromkeys(range(len(graph.boxes)), 0)  # of what a box reads, how much is not placed yet
    for wire in graph.wires:
        readers.setdefault(wire.source, []).append(wire.target)
        missing[wire.target] += 1
    places: dict[int, int] = {}
    for box in range(len(graph.boxes)):
        waiting = [box] if box not in aside or not missing[box] else []
        while waiting:
            at = waiting.pop()
            if at in places:
                continue
            places[at] = len(places)
            for reader in readers.get(at, ()):
                missing[reader] -= 1
                if not missing[reader] and reader in aside:
                    waiting.append(reader)
    order = sorted(places, key=lambda box: places[box])
    wires = [wire.replace(source=places[wire.source], target=places[wire.target]) for wire in graph.wires]
    inputs, outputs = [tuple([places[box] for box in boxes]) for boxes in (graph.inputs, graph.outputs)]
    return Graph(tuple([graph.boxes[box] for box in order]), tuple(wires), inputs, outputs)


def _cuts(graph: Graph) -> list[int]:
    """Return the boxes after which one value alone goes on."""
    crossing = [set() for _ in graph.boxes]  # type: list[set[tuple[int, int]]]
    for wire in graph.wires:
        for box in range(wire.source, wire.target):
            crossing[box].add((wire.source, wire.source_port))
    return [box for box, values in enumerate(crossing) if len(values) == 1]


def _part(graph: Graph, low: int, high: int) -> Graph:
    """Return some of the boxes, with a point for the value that comes from those before, and one for what goes on."""
    comes, goes = low > 0, high < len(graph.boxes) - 1
    shift = low - comes
    boxes = list(graph.boxes[low : high + 1])
    if comes:
        boxes.insert(0, Box("point"))
    if goes:
        boxes.append(Box("point"))
    end = len(boxes) - 1
    wires = list(_wires(graph, low, high, shift, end))
    inputs = (0,) if comes else tuple([box for box in graph.inputs if box <= high])
    outputs = tuple([box - shift for box in graph.outputs if low <= box <= high])
    return Graph(tuple(boxes), tuple(wires), inputs, (end,) if goes else outputs)


def _wires(graph: Graph, low: int, high: int, shift: int, end: int) -> Iterator[Wire]:
    gone = False
    for wire in graph.wires:
        enters, leaves = wire.source < low <= wire.target <= high, low <= wire.source <= high < wire.target
        if enters:
            yield wire.replace(source=0, source_port=0, target=wire.target - shift, label="")
        elif leaves and not gone:
            gone = True
            yield wire.replace(source=wire.source - shift, target=end, target_port=0)
        elif low <= wire.source and wire.target <= high:
            yield wire.replace(source=wire.source - shift, target=wire.target - shift)
