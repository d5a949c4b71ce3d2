"""Boxes with coordinates: how large each is, where it stands, and what is written where."""

from __future__ import annotations

from math import fsum

from archdsl.core.record import Record
from archdsl.drawing import layers, scales
from archdsl.drawing.boxes import Box, beside
from archdsl.drawing.layers import Link
from archdsl.drawing.metrics import width_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.drawing.boxes import Graph, Panel

    Points = tuple[tuple[float, float], ...]
    Say = Callable[[float], str]  # how a figure is printed

TEXT, SMALL, TINY = 12.0, 11.0, 10.0  # font sizes
STEP, BLOCK, JOIN, HEAD = 26.0, 40.0, 22.0, 24.0  # heights
PAD, INSET = 9.0, 12.0  # of a text in its box, of boxes in their frame
BADGE = 17.0  # a letter in its square
PARALLEL = 12.0  # between wires side by side
STRETCH = 1.7  # by how much a step is widened to be as wide as a frame above it
HEIGHTS = {"step": STEP, "tall": BLOCK, "block": BLOCK, "module": BLOCK, "join": JOIN, "end": JOIN, "point": 0.0}


class Text(Record):
    """A text: where it starts, or ends with `end`, or has its middle with `middle`; `style` is a class of the SVG."""

    x: float
    y: float
    text: str
    style: str
    size: float = TEXT
    anchor: str = "start"

    @property
    def extent(self) -> tuple[float, float]:
        """The first and the last x that it may cover."""
        width = width_of(self.text, self.size, self.style in BOLD)
        left = self.x - {"start": 0, "middle": width / 2, "end": width}[self.anchor]
        return left, left + width


BOLD = ("name", "times", "head")


class Wired(Record):
    """A wire: its corners, and whether it ends in an arrow."""

    points: Points
    arrow: bool = True


class Placed(Record):
    """A box where it stands, in the coordinates of what holds it, with its texts and what is inside in its own."""

    box: Box
    x: float
    y: float
    width: float
    height: float
    texts: tuple[Text, ...] = ()
    inside: Area | None = None


class Area(Record):
    """Boxes and wires where they are, in coordinates of their own."""

    width: float
    height: float
    boxes: tuple[Placed, ...]
    wires: tuple[Wired, ...]
    labels: tuple[Text, ...]
    ins: tuple[float, ...] = ()  # where wires come in at the top
    outs: tuple[float, ...] = ()


def area(graph: Graph, say: Say, least: float = 0) -> Area:
    """Return the boxes of a graph where they stand; in one file, they are at least so wide."""
    wide = _breadth(graph)
    insides = [area(box.inside, say) if box.inside else None for box in graph.boxes]
    graph = _tall(graph) if wide > 2 else graph
    widths = _widths(graph, insides, say, least)
    insides = [_widened(box, inside, width, say) for box, inside, width in zip(graph.boxes, insides, widths)]
    sizes = [_size(box, inside, width) for box, inside, width in zip(graph.boxes, insides, widths)]
    links = _links(graph, insides, widths, not graph.by_scale)
    ends = tuple([at for at in graph.outputs if graph.boxes[at].kind == "point"])
    request = layers.Request(tuple(sizes), tuple(links), graph.inputs, ends, beside(graph))
    plan = scales.placed(request, _levels(graph)) if graph.by_scale else layers.placed(request)
    boxes = []
    for box, inside, (width, height), (x, y) in zip(graph.boxes, insides, sizes, plan.boxes):
        boxes.append(Placed(box, x, y, width, height, texts(box, width, height, say), inside))
    wires = [Wired(path, graph.boxes[wire.target].kind != "point") for wire, path in zip(graph.wires, plan.paths)]
    labels = [
        Text(place[0], place[1], wire.label, "shape", TINY) for wire, place in zip(graph.wires, plan.labels) if place
    ]
    ins, outs = [tuple([boxes[at].x + boxes[at].width / 2 for at in ends]) for ends in (graph.inputs, graph.outputs)]
    return Area(plan.width, plan.height, tuple(boxes), tuple(wires), tuple(labels), ins, outs)


def _widened(box: Box, inside: Area | None, width: float, say: Say) -> Area | None:
    """Return what is in a box, placed again with boxes as wide as a frame is between the lanes beside them.

    That is done in the innermost frames, where boxes stand in one file.
    """
    graph = box.inside
    if inside is None or graph is None or any(one.inside for one in graph.boxes) or _breadth(graph) != 1:
        return inside
    rights = [one.x + one.width for one in inside.boxes] + [x for wire in inside.wires for x, _ in wire.points]
    lanes = max(rights) - max([one.width for one in inside.boxes])
    return area(graph, say, width - 2 * INSET - lanes)


def _levels(graph: Graph) -> scales.Levels:
    return scales.Levels(tuple([box.level for box in graph.boxes]), tuple([box.kind == "join" for box in graph.boxes]))


def _breadth(graph: Graph) -> int:
    """Return how many boxes stand side by side, of those that lead to the result."""
    aside = beside(graph)
    ends = [(w.source, w.target) for w in graph.wires if w.source not in aside and w.target not in aside]
    return layers.breadth(len(graph.boxes) - len(aside), _renumbered(ends))


def _renumbered(ends: list[tuple[int, int]]) -> list[tuple[int, int]]:
    numbers = {box: at for at, box in enumerate(sorted({box for end in ends for box in end}))}
    return [(numbers[source], numbers[target]) for source, target in ends]


def _tall(graph: Graph) -> Graph:
    """Return a graph whose steps are written in two lines: where many stand side by side, they have to be narrow."""
    boxes = [box.replace(kind="tall") if box.kind == "step" else box for box in graph.boxes]
    return graph.replace(boxes=tuple(boxes))


def _links(graph: Graph, insides: list[Area | None], widths: list[float], spread: bool) -> list[Link]:
    """Return the wires with the places where they start and end; several between the same boxes run side by side.

    With `spread`, the results of a box leave it side by side.
    """
    outs = _ports(graph) if spread else [{} for _ in graph.boxes]
    pairs: dict[tuple[int, int], list[int]] = {}
    for number, wire in enumerate(graph.wires):
        pairs.setdefault((wire.source, wire.target), []).append(number)
    links = []
    for number, wire in enumerate(graph.wires):
        same = pairs[wire.source, wire.target]
        apart = (same.index(number) - (len(same) - 1) / 2) * PARALLEL if len(same) > 1 else 0.0
        if outs[wire.source]:
            out = outs[wire.source][wire.source_port]
            apart = out if len(same) > 1 else 0.0
        else:
            out = 0.0 if graph.boxes[wire.source].kind == "point" else apart
        upper, lower = insides[wire.source], insides[wire.target]
        start = widths[wire.source] / 2 + (upper.outs[wire.source_port] - upper.width / 2 if upper else out)
        end = widths[wire.target] / 2 + (lower.ins[wire.target_port] - lower.width / 2 if lower else apart)
        links.append(Link(wire.source, wire.target, start, end, width_of(wire.label, TINY) if wire.label else 0))
    return links


def _ports(graph: Graph) -> list[dict[int, float]]:
    """Return how far from the middle of each box each of its results leaves it, where several have labels."""
    labels: list[dict[int, float]] = [{} for _ in graph.boxes]
    for wire in graph.wires:
        widths = labels[wire.source]
        width = width_of(wire.label, TINY) if wire.label else 0.0
        widths[wire.source_port] = max(widths.get(wire.source_port, 0.0), width + PARALLEL)
    return [_spread(widths) for widths in labels]


def _spread(labels: dict[int, float]) -> dict[int, float]:
    if sum(width > PARALLEL for width in labels.values()) < 2:
        return {}
    ordered = sorted(labels)
    found = {port: fsum([labels[each] for each in ordered[:at]]) for at, port in enumerate(ordered)}
    middle = found[ordered[-1]] / 2
    return {port: x - middle for port, x in found.items()}


def _span(ports: dict[int, float]) -> float:
    """Return how wide the places are at which several results leave a box."""
    return max(ports.values()) - min(ports.values()) + 2 * PARALLEL if ports else 0.0


def _size(box: Box, inside: Area | None, width: float) -> tuple[float, float]:
    if inside is not None:
        return width, HEAD + inside.height
    return width, HEIGHTS[box.kind]


def _widths(graph: Graph, insides: list[Area | None], say: Say, least: float) -> list[float]:
    """Return how wide each box is: as its texts need, and those that stand in one file all alike."""
    needed = [
        max(_needed(box, inside, say), _span(ports) if inside is None and not graph.by_scale else 0)
        for box, inside, ports in zip(graph.boxes, insides, _ports(graph))
    ]
    narrow, aside = _breadth(graph) == 1, beside(graph)
    plain = [box.kind in ("step", "tall", "block", "module") and at not in aside for at, box in enumerate(graph.boxes)]
    widest = max([width for width, is_plain in zip(needed, plain) if is_plain], default=0.0)
    if not narrow:
        least = min(widest, 100.0)
        return [max(width, least) if box.figure and ok else width for width, ok, box in zip(needed, plain, graph.boxes)]
    framed = max([width for width, box in zip(needed, graph.boxes) if box.kind == "frame"], default=0.0)
    least = max(least, widest, framed if framed < STRETCH * widest or least else 0)
    fills = [ok or box.kind == "frame" for ok, box in zip(plain, graph.boxes)]
    return [max(width, least) if fill else width for width, fill in zip(needed, fills)]


def _needed(box: Box, inside: Area | None, say: Say) -> float:
    """Return how wide a box must be for what is written in it."""
    if box.kind == "point":
        return 1.0
    figure = _figure(box, say)
    first = width_of(box.text, TEXT, box.kind in ("block", "module", "frame"))
    more = width_of(box.more, SMALL) if box.more else 0
    times = width_of(_times(box), TEXT, True) + 8 if box.count > 1 else 0
    cost = width_of(figure, TINY) + 10 if figure else 0
    badge = BADGE + 6 if box.letter else 0
    if box.kind in ("block", "module", "tall"):
        return badge + max(first + times, more + cost) + 2 * PAD
    if box.kind == "frame":
        assert inside is not None, "a frame has an inside"
        return max(first + (more and more + 8) + times + cost + 2 * PAD, inside.width + 2 * INSET)
    return max(first + (more and more + 6) + times + cost + 2 * PAD, JOIN)


def _times(box: Box) -> str:
    return f"×{box.count}"


def _figure(box: Box, say: Say) -> str:
    return say(box.figure) if box.figure and box.kind != "end" else ""


def texts(box: Box, width: float, height: float, say: Say) -> tuple[Text, ...]:
    """Return what is written in a box, in its own coordinates."""
    figure, right = _figure(box, say), width - PAD
    if box.kind == "point":
        return ()
    if box.kind in ("block", "module", "tall"):
        left = PAD + (BADGE + 6 if box.letter else 0)
        alone = not (box.more or figure)
        found = [Text(left, 24 if alone else 17, box.text, "step" if box.kind == "tall" else "name")]
        if box.more:
            found.append(Text(left, 32, box.more, "more", SMALL))
        if box.count > 1:
            found.append(Text(right, 17, _times(box), "times", TEXT, "end"))
        if figure:
            found.append(Text(right, 32, figure, "figure", TINY, "end"))
        if box.letter:
            found.append(Text(PAD + BADGE / 2, BLOCK / 2 + 4, box.letter, "letter", SMALL, "middle"))
        return tuple(found)
    style = {"frame": "name", "join": "join", "end": "end"}.get(box.kind, "step")
    y = 16.0 if box.kind == "frame" else height / 2 + 4
    if box.kind in ("join", "end") and not (box.more or figure):
        return (Text(width / 2, y, box.text, style, TEXT, "middle"),)
    found = [Text(PAD, y, box.text, style)] if box.text else []
    if box.more:
        gap = 8 if box.kind == "frame" else 6
        found.append(Text(found[0].extent[1] + gap, y, box.more, "more", SMALL))
    if figure:
        found.append(Text(right, y, figure, "figure", TINY, "end"))
        right = found[-1].extent[0] - 8
    if box.count > 1:
        times = Text(right, y, _times(box), "times", TEXT, "end") if box.text else Text(PAD, y, _times(box), "times")
        found.append(times)
    return tuple(found)


def titled(panel: Panel, say: Say) -> Placed:
    """Return a panel as a frame with a head."""
    inside = area(panel.graph, say)
    box = Box("panel", panel.title, panel.note, letter=panel.letter, inside=panel.graph)
    first, more = width_of(panel.title, TEXT, True), width_of(panel.note, SMALL)
    width = max(first + more + BADGE + 14 + 2 * PAD, inside.width + 2 * INSET + 16)
    head = (
        Text(PAD + BADGE / 2, 16, panel.letter, "letter", SMALL, "middle"),
        Text(PAD + BADGE + 6, 16, panel.title, "name"),
        Text(PAD + BADGE + 6 + first + 8, 16, panel.note, "more", SMALL),
    )
    return Placed(box, 0, 0, width, HEAD + inside.height, head, inside)
