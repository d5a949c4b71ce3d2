"""A picture on a page: the net, in columns where it is long, and the insides of its blocks beside it."""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.drawing import columns, scene
from archdsl.drawing.scene import Area, Placed, Text, Wired

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.drawing.boxes import Picture

    Spot = tuple[float, float]
    Bounds = tuple[float, float, float, float]
    Packing = tuple[float, float, list[Spot]]

MARGIN, HEADER, GUTTER, BEND = 24.0, 66.0, 28.0, 12.0
PAPER = 1.414  # of a sheet of the A series, the long side to the short
SHORT = 450  # a column that is no longer stays one
RELUCTANCE = 1.06  # by how much a page must gain from one more column


class Page(Record):
    """Everything where it is, ready to be drawn."""

    title: str
    width: float
    height: float
    texts: tuple[Text, ...]
    areas: tuple[tuple[float, float, Area], ...]
    panels: tuple[Placed, ...]
    wires: tuple[Wired, ...]
    most: float

    def moved(self, right: float, down: float) -> Page:
        """Return the page with everything on it moved."""
        return self.replace(
            texts=tuple([text.replace(x=text.x + right, y=text.y + down) for text in self.texts]),
            areas=tuple([(x + right, y + down, area) for x, y, area in self.areas]),
            panels=tuple([panel.replace(x=panel.x + right, y=panel.y + down) for panel in self.panels]),
            wires=tuple(
                [wire.replace(points=tuple([(x + right, y + down) for x, y in wire.points])) for wire in self.wires]
            ),
        )


class Columns(Record):
    """The net in columns, with the wires from each to the next."""

    width: float
    height: float
    areas: tuple[tuple[float, float, Area], ...]
    wires: tuple[Wired, ...] = ()


def page(picture: Picture) -> Page:
    """Return a picture on the page that has to shrink least to fit a sheet of paper."""
    panels = [scene.titled(panel, picture.say) for panel in picture.panels]
    main, (width, height, spots) = _best(picture, panels)
    head = (
        Text(0, 16, picture.title, "head", 18),
        Text(0, 34, picture.facts, "more", 11),
        Text(0, 49, f"Figures in boxes, and their colour: {picture.unit}", "more", 11),
    )
    width = max(width, *[text.extent[1] for text in head]) + 2 * MARGIN
    height += HEADER + 2 * MARGIN
    placed = tuple([panel.replace(x=x, y=y) for panel, (x, y) in zip(panels, spots)])
    texts = tuple([text.replace(y=text.y - HEADER) for text in head])
    found = Page(picture.title, width, height, texts, main.areas, placed, main.wires, picture.most)
    return found.moved(MARGIN, MARGIN + HEADER)


def beside(left: Page, right: Page, title: str, notes: Sequence[str]) -> Page:
    """Return two pages as one, side by side or one below the other, under a title; colours are of one scale."""
    top = MARGIN + 20 + 15 * len(notes)
    head = [Text(MARGIN, MARGIN + 16, title, "head", 18)]
    head += [Text(MARGIN, MARGIN + 34 + 15 * at, note, "more", 11) for at, note in enumerate(notes)]
    wide = left.width + right.width, max(left.height, right.height)
    high = max(left.width, right.width), left.height + right.height
    is_wide = _shrunk(*wide) <= _shrunk(*high)
    width, height = wide if is_wide else high
    one, other = left.moved(0, top), right.moved(*((left.width, top) if is_wide else (0, top + left.height)))
    return Page(
        title,
        max(width, *[text.extent[1] + MARGIN for text in head]),
        height + top,
        (*head, *one.texts, *other.texts),
        one.areas + other.areas,
        one.panels + other.panels,
        one.wires + other.wires,
        max(left.most, right.most),
    )


def _best(picture: Picture, panels: Sequence[Placed]) -> tuple[Columns, Packing]:
    """Return the net in as many columns as serve the page, and the panels beside it."""
    best: tuple[float, Columns, Packing] | None = None
    for count, main in enumerate(_mains(picture), 1):
        packing = _packed(main, panels)
        cost = _shrunk(packing[0], packing[1]) * RELUCTANCE**count
        if best is not None and cost > best[0]:
            break
        best = cost, main, packing
    assert best is not None, "there is one column at least"
    return best[1], best[2]


def _mains(picture: Picture) -> Iterator[Columns]:
    """Yield the net in one column, in two, and so on."""
    whole = scene.area(picture.graph, picture.say)
    yield Columns(whole.width, whole.height, ((0, 0, whole),))
    for count in range(2, columns.MOST + 1):
        parts = columns.parts(picture.graph, count)
        if picture.graph.by_scale or whole.height < SHORT * count or len(parts) < count:
            return
        yield _in_columns([scene.area(part, picture.say) for part in parts])


def _in_columns(areas: Sequence[Area]) -> Columns:
    """Put the parts of a net side by side, and lead the wire from the end of each to the start of the next."""
    x, placed, wires = 0.0, [], []
    for at, area in enumerate(areas):
        placed.append((x, BEND if at else 0.0, area))
        if at:
            left, _, before = placed[at - 1]
            start = left + before.outs[0], before.height + (BEND if at > 1 else 0)
            between, end = x - GUTTER / 2, x + area.ins[0]
            low = start[1] + BEND / 2
            wires.append(
                Wired((start, (start[0], low), (between, low), (between, 0.0), (end, 0.0), (end, BEND + 1)), False)
            )
        x += area.width + GUTTER
    height = max([area.height for area in areas]) + BEND * 2
    return Columns(x - GUTTER, height, tuple(placed), tuple(wires))


def _packed(main: Columns, panels: Sequence[Placed]) -> Packing:
    """Return the best of a few ways to put panels on a page: width, height, and where they stand."""
    tallest = max([main.height, *[panel.height for panel in panels]])
    ways = [_filled(main, panels)]
    ways += [_stacked(main, panels, tallest * share) for share in (1.0, 1.15, 1.3, 1.5, 1.75, 2.0)]
    return min(ways, key=lambda way: _shrunk(way[0], way[1]))


def _stacked(main: Columns, panels: Sequence[Placed], height: float) -> Packing:
    """Put panels in columns of a height."""
    x, y, widest = main.width + GUTTER, 0.0, 0.0
    width, lowest, spots = main.width, main.height, []
    for panel in panels:
        if y and y + panel.height > height:
            x, y, widest = x + widest + GUTTER, 0.0, 0.0
        spots.append((x, y))
        widest = max(widest, panel.width)
        width, lowest = max(width, x + panel.width), max(lowest, y + panel.height)
        y += panel.height + GUTTER
    return width, lowest, spots


def _filled(main: Columns, panels: Sequence[Placed]) -> Packing:
    """Put each panel where the page stays smallest."""
    width, height = main.width, main.height
    taken: list[Bounds] = [(0.0, 0.0, width, height)]
    spots = []
    for panel in panels:
        lefts = sorted({main.width + GUTTER, *[right + GUTTER for _, _, right, _ in taken]} | {t[0] for t in taken})
        tops = sorted({0.0, *[bottom + GUTTER for _, _, _, bottom in taken]})
        free = [(x, y) for x in lefts for y in tops if _is_free(taken, x, y, panel)]
        costs = {spot: _shrunk(max(width, spot[0] + panel.width), max(height, spot[1] + panel.height)) for spot in free}
        x, y = min(free, key=lambda spot: (costs[spot], spot))
        spots.append((x, y))
        taken.append((x, y, x + panel.width, y + panel.height))
        width, height = max(width, x + panel.width), max(height, y + panel.height)
    return width, height, spots


def _is_free(taken: Sequence[Bounds], x: float, y: float, panel: Placed) -> bool:
    right, bottom = x + panel.width + GUTTER, y + panel.height + GUTTER
    return all(right <= a or c + GUTTER <= x or bottom <= b or d + GUTTER <= y for a, b, c, d in taken)


def _shrunk(width: float, height: float) -> float:
    """Return how long the short side of a sheet must be for a page to fit it as it is."""
    height += HEADER
    return min(max(width / PAPER, height), max(width, height / PAPER))
