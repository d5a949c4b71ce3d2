"""What a tree leaves out: comments, blank lines and line ends, each beside the word that it stands before.

    relu  # of Section 3          Word("relu", aside=Comment("# of Section 3"))
                            ->
    # the head                    Word("linear", comments=(Comment("# the head", blank=True),))
    linear(10)

A text is read as logical lines, a statement or the head of one each, which may take several lines of the text.
"""

from __future__ import annotations

import re

from archdsl.core.record import Record
from archdsl.syntax.parser import parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Source

PIECE = re.compile(r"\n|\\\n|#[^\n]*")
ALLOW = re.compile(r"#\s*allow\b([^#:]*)")  # advice that is not wanted: on a line, or, at the margin, in the whole file


class Comment(Record):
    """A comment; `column` is where the author has put it, from 0, and `blank` whether an empty line is before it."""

    text: str
    column: int
    blank: bool

    @property
    def allows(self) -> bool:
        """Whether it speaks of advice, so that its place has a meaning."""
        return ALLOW.match(self.text) is not None


class Word(Record):
    """A word of the language with what stands around it."""

    kind: str
    text: str
    start: int
    comments: tuple[Comment, ...]  # on lines of their own before it
    blank: bool  # an empty line is directly before it
    broken: bool  # it starts a line
    aside: Comment | None = None  # after it on its line


class Line(Record):
    """A logical line: its words, how many bodies it is in, and how far its author has indented it."""

    level: int
    words: tuple[Word, ...]
    column: int


class Text(Record):
    """The lines of a text, and the comments after the last one."""

    lines: tuple[Line, ...]
    comments: tuple[Comment, ...]


def read(source: Source) -> Text:
    """Return a text as lines of words, with everything between them; raises `CompileError` as the lexer does."""
    lines: list[Line] = []
    words: list[Word] = []
    level = end = 0
    for kind, text, start, after in parser().lexer.tokens(source):
        if kind == "_NL":
            lines.append(Line(level, tuple(words), source.column_of(words[0].start) - 1))
            words = []
        elif kind in ("_INDENT", "_DEDENT"):
            level += 1 if kind == "_INDENT" else -1
        else:
            gap = _Gap(source, end, start)
            _put_aside(gap, lines, words)
            words.append(Word(kind, text, start, tuple(gap.own), gap.newlines > 1, gap.broken))
            end = after
    gap = _Gap(source, end, len(source.text))
    _put_aside(gap, lines, words)
    return Text(tuple(lines), tuple(gap.own))


class _Gap:
    """What stands between two words."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self.aside: Comment | None = None
        self.own: list[Comment] = []
        self.newlines = 0  # since the last comment
        self.broken = not start
        for found in PIECE.finditer(source.text, start, end):
            piece = found.group()
            if piece == "\n":
                self.newlines += 1
                self.broken = True
            elif piece.startswith("#"):
                comment = Comment(piece.rstrip(), source.column_of(found.start()) - 1, self.newlines > 1)
                if self.broken:
                    self.own.append(comment)
                else:
                    self.aside = comment
                self.newlines = 0


def _put_aside(gap: _Gap, lines: list[Line], words: list[Word]) -> None:
    """Give the last word the comment that stands after it."""
    if gap.aside is None:
        return
    if words:
        words[-1] = words[-1].replace(aside=gap.aside)
    else:
        *rest, last = lines[-1].words
        lines[-1] = lines[-1].replace(words=(*rest, last.replace(aside=gap.aside)))
