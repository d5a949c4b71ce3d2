"""What lies where on a page, in coordinates of the page, and what lies upon what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from archdsl.drawing.page import Page
from archdsl.drawing.scene import HEAD, Area, Placed, Text

SLACK = 0.6  # pixels: coordinates are rounded to a tenth


class Rect(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float
    what: str

    def overlaps(self, other: Rect) -> bool:
        return (
            self.left + SLACK < other.right
            and other.left + SLACK < self.right
            and self.top + SLACK < other.bottom
            and other.top + SLACK < self.bottom
        )

    def holds(self, other: Rect) -> bool:
        return (
            self.left - SLACK <= other.left
            and other.right <= self.right + SLACK
            and self.top - SLACK <= other.top
            and other.bottom <= self.bottom + SLACK
        )


def rect(placed: Placed, x: float, y: float) -> Rect:
    left, top = x + placed.x, y + placed.y
    return Rect(left, top, left + placed.width, top + placed.height, f"box {placed.box.text!r}")


def written(text: Text, x: float, y: float) -> Rect:
    """Return what a text covers: from its highest letter to below its base line."""
    left, right = text.extent
    return Rect(x + left, y + text.y - 0.75 * text.size, x + right, y + text.y + 0.2 * text.size, f"text {text.text!r}")


def mistakes(page: Page) -> list[str]:
    """Return what is wrong with a page: what lies upon another, or sticks out of what should hold it."""
    found = []
    whole = Rect(0, 0, page.width, page.height, "page")
    blocks = [Rect(x, y, x + area.width, y + area.height, "net") for x, y, area in page.areas]
    blocks += [rect(panel, 0, 0) for panel in page.panels]
    blocks += [written(text, 0, 0) for text in page.texts]
    found += _upon(blocks)
    found += [f"{block.what} sticks out of the page" for block in blocks if not whole.holds(block)]
    for x, y, area in page.areas:
        found += list(_of_area(area, x, y))
    for panel in page.panels:
        found += list(_of_box(panel, 0, 0))
    return found


def _upon(rects: list[Rect]) -> list[str]:
    rects = sorted(rects)
    found = []
    for at, one in enumerate(rects):
        for other in rects[at + 1 :]:
            if other.left >= one.right:
                break
            if one.overlaps(other):
                found.append(f"{one.what} lies upon {other.what}")
    return found


def _of_area(area: Area, x: float, y: float) -> Iterator[str]:
    boxes = [rect(placed, x, y) for placed in area.boxes if placed.box.kind != "point"]
    yield from _upon(boxes + [written(label, x, y) for label in area.labels])
    whole = Rect(x, y, x + area.width, y + area.height, "area")
    yield from [f"{box.what} sticks out" for box in boxes if not whole.holds(box)]
    ends = [rect(placed, x, y) for placed in area.boxes]
    for wire in area.wires:
        points = [(x + a, y + b) for a, b in wire.points]
        yield from [f"a wire hangs in the air: {end}" for end in (points[0], points[-1]) if not _meets(end, ends)]
        for (a, b), (c, d) in zip(points, points[1:]):
            line = Rect(min(a, c) - 0.5, min(b, d) - 0.5, max(a, c) + 0.5, max(b, d) + 0.5, "wire")
            if not whole.holds(Rect(min(a, c), min(b, d), max(a, c), max(b, d), "wire")):
                yield f"a wire sticks out: {(a, b)} to {(c, d)}"
            inner = [Rect(r.left + 1.5, r.top + 1.5, r.right - 1.5, r.bottom - 1.5, r.what) for r in boxes]
            yield from [f"a wire crosses {box.what}" for box in inner if box.overlaps(line)]
            if abs(a - c) > 1 and abs(b - d) > 1:
                yield f"a wire is slanted: {(a, b)} to {(c, d)}"
    for placed in area.boxes:
        yield from _of_box(placed, x, y)


def _meets(end: tuple[float, float], boxes: list[Rect]) -> bool:
    return any(box.holds(Rect(*end, *end, "end")) for box in boxes)


def _of_box(placed: Placed, x: float, y: float) -> Iterator[str]:
    box = rect(placed, x, y)
    texts = [written(text, x + placed.x, y + placed.y) for text in placed.texts]
    yield from _upon(texts)
    yield from [f"{text.what} sticks out of {box.what}" for text in texts if not box.holds(text)]
    if placed.inside is not None:
        if placed.inside.width > placed.width:
            yield f"what is in {box.what} sticks out"
        left = x + placed.x + (placed.width - placed.inside.width) / 2
        yield from _of_area(placed.inside, left, y + placed.y + HEAD)
