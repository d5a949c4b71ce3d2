"""Inlay hints: the shape at the end of each line of the text that has a step."""

from __future__ import annotations

from lsprotocol import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.server.documents import Document
    from archdsl.server.positions import Positions
    from archdsl.server.steps import Place


def hints(document: Document, positions: Positions, start: int, end: int) -> list[types.InlayHint]:
    """Return the hints between two offsets, from the last text with a network where the latest one has none."""
    view = document.checked
    if view is None or view.steps is None:
        return []
    edited = document.since(view)
    lines: dict[int, Place] = {}
    for last, place in view.steps.ends(view.text):
        offset = edited.forward(last)
        if offset is not None:
            lines[positions.line_of(offset)] = place
    first, last = positions.line_of(start), positions.line_of(end)
    return [_hint(place, line, positions) for line, place in sorted(lines.items()) if first <= line <= last]


def _hint(place: Place, line: int, positions: Positions) -> types.InlayHint:
    shape = place.brief()
    return types.InlayHint(
        position=positions.position(positions.end_of(line)),
        label=shape,
        kind=types.InlayHintKind.Type,
        tooltip=types.MarkupContent(types.MarkupKind.Markdown, place.listed().replace("\n", "  \n")),
        padding_left=True,
    )
