"""Offsets of a text as the protocol counts: lines, and units of an encoding in them; and offsets through an edit."""

from __future__ import annotations

import re
from bisect import bisect_right

from lsprotocol import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Span

LINE_END = re.compile(r"\r\n|\n|\r")
UNITS = {  # how long a text is in an encoding
    types.PositionEncodingKind.Utf8: lambda text: len(text.encode("utf-8", "surrogatepass")),
    types.PositionEncodingKind.Utf16: lambda text: len(text.encode("utf-16-le", "surrogatepass")) // 2,
    types.PositionEncodingKind.Utf32: len,
}


class Positions:
    """The positions of a text."""

    def __init__(self, text: str, encoding: str = "utf-16") -> None:
        self.text = text
        self.units = UNITS[types.PositionEncodingKind(encoding)]
        self.starts = [0, *[found.end() for found in LINE_END.finditer(text)]]

    def line_of(self, offset: int) -> int:
        """Return the line that holds an offset, from 0."""
        return bisect_right(self.starts, offset) - 1

    def position(self, offset: int) -> types.Position:
        """Return where an offset is."""
        line = self.line_of(offset)
        return types.Position(line, self.units(self.text[self.starts[line] : offset]))

    def offset(self, position: types.Position) -> int:
        """Return the offset of a position; one that is beyond a line or the text is at its end."""
        if position.line >= len(self.starts):
            return len(self.text)
        start = self.starts[position.line]
        end = self.end_of(position.line)
        line = self.text[start:end]
        if line.isascii():
            return min(start + position.character, end)
        count = 0
        for number, character in enumerate(line):
            if count >= position.character:
                return start + number
            count += self.units(character)
        return end

    def end_of(self, line: int) -> int:
        """Return the offset of the end of a line, before what ends it."""
        end = self.starts[line + 1] if line + 1 < len(self.starts) else len(self.text)
        return self.starts[line] + len(self.text[self.starts[line] : end].rstrip("\r\n"))

    def range(self, span: Span) -> types.Range:
        """Return the range of a place in this text."""
        return self.between(span.start, span.end)

    def between(self, start: int, end: int) -> types.Range:
        """Return the range between two offsets."""
        return types.Range(self.position(start), self.position(end))

    def everything(self) -> types.Range:
        """Return the range of the whole text."""
        return self.between(0, len(self.text))


class Edited:
    """Carries offsets from a text to a later one: what is before the edit stays, what is after it moves with it."""

    def __init__(self, before: str, after: str) -> None:
        shorter = min(len(before), len(after))
        self.same = next((n for n in range(shorter) if before[n] != after[n]), shorter)
        rest = shorter - self.same
        behind = next((n for n in range(rest) if before[-1 - n] != after[-1 - n]), rest)
        self.until = len(before) - behind
        self.shift = len(after) - len(before)

    def forward(self, offset: int) -> int | None:
        """Return where an offset of the earlier text is in the later one; None in what was edited."""
        if offset <= self.same:
            return offset
        return offset + self.shift if offset >= self.until else None

    def back(self, offset: int) -> int:
        """Return where an offset of the later text was in the earlier one, at the edit for what is new."""
        if offset <= self.same:
            return offset
        return offset - self.shift if offset - self.shift >= self.until else self.same
