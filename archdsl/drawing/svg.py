"""A page as SVG."""

from __future__ import annotations

from html import escape

from archdsl.drawing import themes
from archdsl.drawing.scene import BADGE, HEAD, PAD, Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.drawing.page import Page
    from archdsl.drawing.scene import Area, Placed, Wired

    Spot = tuple[float, float]

KINDS = {"step": "b", "tall": "b", "block": "b", "module": "b", "join": "j", "end": "e", "frame": "f", "panel": "p"}
ROUND = {"step": 4, "tall": 4, "block": 5, "module": 5, "join": 11, "end": 11, "frame": 6, "panel": 8}
SHADOW = 3.0  # how far the box behind one that stands for several looks out
CORNER = 5.0  # the radius of a bend


def svg(page: Page, theme: str = "auto") -> str:
    """Return a page as the text of an SVG file."""
    size = f'width="{_n(page.width)}" height="{_n(page.height)}" viewBox="0 0 {_n(page.width)} {_n(page.height)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_escaped(page.title)}</title>",
        f"<style>{themes.style(theme)}</style>",
        f'<rect class="page" width="{_n(page.width)}" height="{_n(page.height)}"/>',
    ]
    for text in page.texts:
        parts.append(_text(text, 0, 0))
    for wire in page.wires:
        parts.extend(_wire(wire, 0, 0))
    for x, y, area in page.areas:
        parts.extend(_area(area, x, y, page.most))
    for panel in page.panels:
        parts.extend(_box(panel, 0, 0, page.most))
    return "\n".join([*parts, "</svg>\n"])


def _area(area: Area, x: float, y: float, most: float) -> Iterator[str]:
    """Yield wires first, so that boxes stand on them."""
    for wire in area.wires:
        yield from _wire(wire, x, y)
    for placed in area.boxes:
        yield from _box(placed, x, y, most)
    for label in area.labels:
        yield _text(label, x, y)


def _box(placed: Placed, x: float, y: float, most: float) -> Iterator[str]:
    box = placed.box
    if box.kind == "point":
        return
    x, y = x + placed.x, y + placed.y
    kind, size, radius = KINDS[box.kind], (placed.width, placed.height), ROUND[box.kind]
    heat = f" h{_heat(box.figure, most)}" if kind == "b" else ""
    yield "<g>"
    if box.path:
        yield f"<title>{_escaped(_told(placed))}</title>"
    if box.count > 1 and box.kind in ("block", "module"):
        yield _rect(kind, (x + SHADOW, y + SHADOW), size, radius)
    yield _rect(kind + heat + (f" {box.mark}" if box.mark else ""), (x, y), size, radius)
    if placed.inside is not None:
        yield f'<path class="d" d="{_head(x, y, placed.width, radius)}"/>'
    if box.letter:
        top = (HEAD if placed.inside is not None else placed.height) / 2 - BADGE / 2
        hue = (ord(box.letter) - ord("A")) % len(themes.LETTERS)
        yield _rect(f"l{hue}", (x + PAD, y + top), (BADGE, BADGE), 3)
    for text in placed.texts:
        yield _text(text, x, y)
    if placed.inside is not None:
        yield from _area(placed.inside, x + (placed.width - placed.inside.width) / 2, y + HEAD, most)
    yield "</g>"


def _rect(style: str, place: Spot, size: Spot, radius: float) -> str:
    (x, y), (width, height) = place, size
    shape = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"'
    return f'<rect class="{style}" {shape}/>'


def _head(x: float, y: float, width: float, radius: float) -> str:
    """Return the outline of the band in which a frame has its name."""
    left, right, r = x + 0.5, x + width - 0.5, radius - 0.5
    return (
        f"M{_n(left)} {_n(y + HEAD)}V{_n(y + 0.5 + r)}q0 {_n(-r)} {_n(r)} {_n(-r)}H{_n(right - r)}"
        f"q{_n(r)} 0 {_n(r)} {_n(r)}V{_n(y + HEAD)}z"
    )


def _told(placed: Placed) -> str:
    box = placed.box
    return " ".join([part for part in (box.path, box.text, box.more) if part])


def _heat(figure: float, most: float) -> int:
    return round(themes.HEATS * (figure / most) ** 0.5) if most else 0


def _text(text: Text, x: float, y: float) -> str:
    style = text.style + {"start": "", "middle": " tm", "end": " te"}[text.anchor]
    return f'<text class="{style}" x="{_n(x + text.x)}" y="{_n(y + text.y)}">{_escaped(text.text)}</text>'


def _wire(wire: Wired, x: float, y: float) -> Iterator[str]:
    points = [(x + a, y + b) for a, b in wire.points]
    yield f'<path class="w" d="{_bent(points)}"/>'
    if wire.arrow:
        yield f'<path class="a" d="{_arrow(points)}"/>'


def _bent(points: list[Spot]) -> str:
    """Return a line with round corners."""
    parts = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:]):
        radius = min(CORNER, _far(before, corner) / 2, _far(corner, after) / 2)
        start, end = _toward(corner, before, radius), _toward(corner, after, radius)
        parts.append(f"L{_n(start[0])} {_n(start[1])}Q{_n(corner[0])} {_n(corner[1])} {_n(end[0])} {_n(end[1])}")
    parts.append(f"L{_n(points[-1][0])} {_n(points[-1][1])}")
    return "".join(parts)


def _arrow(points: list[Spot]) -> str:
    (x, y), (a, b) = points[-2:]
    length = _far((x, y), (a, b)) or 1
    dx, dy = (a - x) / length, (b - y) / length
    wings = [(a - 6 * dx + side * 3 * dy, b - 6 * dy - side * 3 * dx) for side in (1, -1)]
    return f"M{_n(a)} {_n(b)}" + "".join([f"L{_n(c)} {_n(d)}" for c, d in wings]) + "z"


def _far(one: Spot, other: Spot) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _toward(corner: Spot, end: Spot, far: float) -> Spot:
    length = _far(corner, end) or 1
    return corner[0] + (end[0] - corner[0]) * far / length, corner[1] + (end[1] - corner[1]) * far / length


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _escaped(text: str) -> str:
    return escape(text, quote=False)
