"""Source texts and places in them. A `Span` is two offsets; line and column are a view, computed only to be shown."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from functools import lru_cache
from importlib import import_module

from archdsl.core.record import Record


class Source(Record):
    """A text and the name it is shown under; `path` is where it lies on disk, empty for a text given directly."""

    name: str
    text: str
    path: str = ""

    def line_of(self, offset: int) -> int:
        """Return the number of the line that holds an offset, from 1."""
        return bisect_right(_starts(self.text), offset)

    def column_of(self, offset: int) -> int:
        """Return the column of an offset in its line, from 1."""
        return offset - (self.text.rfind("\n", 0, offset) + 1) + 1

    def line(self, number: int) -> str:
        """Return the text of a line, from 1, without its end."""
        starts = _starts(self.text)
        if number > len(starts):
            return ""
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")


@lru_cache(16)  # the files that are worked on
def _starts(text: str) -> list[int]:
    """Return where each line starts."""
    return [0, *[found.end() for found in re.finditer("\n", text)]]


class Span(Record):
    """A piece of a source: the characters from `start` up to, not including, `end`."""

    source: Source
    start: int
    end: int

    unequal = ("source",)

    @property
    def line(self) -> int:
        """The line on which the span starts, from 1."""
        return self.source.line_of(self.start)

    @property
    def column(self) -> int:
        """The column at which the span starts, from 1."""
        return self.source.column_of(self.start)

    @property
    def text(self) -> str:
        """The characters of the span."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """Return the span from the start of this one to the end of another."""
        return Span(self.source, self.start, other.end)

    def __str__(self) -> str:
        return f"{one_line(self.source.name)}:{self.line}:{self.column}"


def visible(text: str) -> str:
    r"""Return a text with every character that a terminal would obey or hide as its escape: `\x1b`, `\u202e`.

    Texts of a file and its name are shown in messages; a stranger's must not move the cursor or turn a line around.
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text])


def one_line(text: str) -> str:
    """Return a text as `visible` does, on one line."""
    return visible(text).replace("\n", "\\n")


def folder_of(package: str) -> str:
    """Return the folder of a package that ships data: beside the sources, or inside the installed package."""
    return os.path.abspath(import_module(package).__path__[0])
