"""How a text is laid out: `archdsl fmt`.

    net a:                                            net a:
      input i : [N,3,H = 8,W=8] # RGB        ->           input i: [N, 3, H=8, W=8]  # RGB
      conv( 4,3 )->relu                                   conv(4, 3) -> relu

Words are moved and never changed, so the tree stays the same, and with it every number and comment as it was spelled.
Lines end where their author has ended them, if that is a place for it, since rows of a table and steps of a block are
shown by that; a line that is too long is ended at the loosest place in it. What continues a line starts below the
first thing in the bracket around it, or an indentation further in where that bracket ended its line; `->` stands two
columns in from what it goes on with.
"""

from __future__ import annotations

from itertools import pairwise
from textwrap import dedent

from archdsl.core.record import Record
from archdsl.syntax import spacing, trivia
from archdsl.syntax.lexer import CLOSING, OPENING
from archdsl.syntax.parser import parse
from archdsl.syntax.printer import ARROW, INDENT, WIDTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.core.source import Source
    from archdsl.syntax.spacing import Roles
    from archdsl.syntax.trivia import Comment, Line, Word

FAMILIES = {"FROM": "import", "DEFAULT": "setting", "INIT": "setting", "FN": "fn", "NET": "alias"}
ASIDE = 2  # the least distance of a comment from the code before it


def formatted(source: Source) -> str:
    """Return a text in the common form; raises `CompileError` where it does not parse."""
    roles = spacing.roles(parse(source))
    text = trivia.read(source)
    out: list[str] = []
    columns: list[int] = []  # how far the bodies around a line are indented by their author
    before: Line | None = None
    for line in text.lines:
        _before(out, line.words[0].comments, line.words[0].blank, _Place(before, line, columns))
        columns[line.level :] = [line.column]
        out += _Layout(line, roles).lines()
        before = line
    _before(out, text.comments, False, _Place(before, None, columns))
    end = "\r\n" if source.text.partition("\n")[0].endswith("\r") else "\n"
    return "".join(line + end for line in out)


# -------------------------------------------------------------------------------------------------- between statements
class _Place:
    """A place between two lines."""

    def __init__(self, before: Line | None, after: Line | None, columns: list[int]) -> None:
        self.columns = columns
        self.low = after.level if after is not None else 0
        self.high = max(self.low, before.level if before is not None else 0)
        self.opens = before is None or self.low > before.level
        self.separates = before is not None and after is not None and self.low == 0 and _are_apart(before, after)

    def indent(self, comment: Comment) -> int:
        """Return where a comment goes: to the innermost body that its author has put it in.

        One that allows advice is left at the margin, where it speaks of the file, and is never put there.
        """
        if comment.allows and not comment.column:
            return 0
        fitting = [n for n in range(self.low + 1, self.high + 1) if self.columns[n] <= comment.column]
        level = max(fitting, default=self.low)
        return INDENT * (max(level, 1) if comment.allows else level)


def _are_apart(before: Line, after: Line) -> bool:
    """Say whether an empty line has to stand between two items of a file: unless both are short, and of one family."""
    family = _family(after)
    return before.level > 0 or family is None or family != _family(before)


def _family(line: Line) -> str | None:
    return None if line.words[-1].text == ":" else FAMILIES.get(line.words[0].kind)


def _before(out: list[str], comments: Sequence[Comment], blank: bool, place: _Place) -> None:
    """Add the comments and the empty lines before a line."""
    indents = [place.indent(comment) for comment in comments]
    outer = [n for n, indent in enumerate(indents) if not indent]
    blanks = [comment.blank for comment in comments] + [blank]
    first = outer[0] if outer else len(comments)
    if place.separates and not any(blanks[first:]):
        blanks[first] = True
    if place.opens:
        blanks[0] = False
    for comment, indent, empty in zip(comments, indents, blanks):
        out += [""] * empty + [" " * indent + comment.text]
    out += [""] * blanks[-1]


# -------------------------------------------------------------------------------------------------- one statement
class _Open(Record):
    """A bracket that is open."""

    text: str
    content: int  # where a line inside it starts
    element: int  # where the item starts that is being written
    closing: int  # where the other bracket stands if it starts a line


class _Layout:
    """Lays the words of a logical line out."""

    def __init__(self, line: Line, roles: Roles) -> None:
        self.words = line.words
        self.indent = INDENT * line.level
        self.roles = roles
        self.open: list[_Open] = []
        self.before: Word | None = None  # the last one that is written
        self.out: list[str] = []

    def lines(self) -> list[str]:
        """Return the lines that it takes."""
        if self.words[0].kind == "LONG_STRING":
            *lines, last = _docstring(self.words[0].text, self.indent)
            return [*lines, _with_aside(last, self.words[0].aside)]
        rows = self._rows()
        rows.reverse()
        while rows:
            row = rows.pop()
            indent = self.indent if self.before is None else self._indent(row[0])
            cut = self._cut(row, indent)
            if cut:
                rows.append(row[cut:])
                row = row[:cut]
            self._write(row, indent)
        return self.out

    def _rows(self) -> list[Sequence[Word]]:
        """Return the words, divided where the author has ended a line and a line may end."""
        rows: list[list[Word]] = [[self.words[0]]]
        inside = spacing.within("", self.words[0])
        for before, word in pairwise(self.words):
            must = word.comments or before.aside
            if must or (word.broken and spacing.breaking(before, word, inside, self.roles) is not None):
                rows.append([])
            rows[-1].append(word)
            inside = spacing.within(inside, word)
        return list(rows)

    def _indent(self, word: Word) -> int:
        """Return where a line starts that begins with a word, which is not the first."""
        if not self.open:
            return self.indent + ARROW
        around = self.open[-1]
        if word.text in CLOSING:
            return around.closing
        return around.element + ARROW if word.text == "->" else around.content

    def _cut(self, row: Sequence[Word], indent: int) -> int:
        """Return before which word a line that is too long is ended: where the fewest brackets are open, 0 for nowhere.

        Of the loosest places, it is the last up to which the line fits.
        """
        inside = spacing.within(self._inside(), row[0])
        end = indent + len(row[0].text)
        places: dict[tuple[bool, int, int], int] = {}
        for number, (before, word) in enumerate(pairwise(row), 1):
            if end > WIDTH:
                break
            loose = spacing.breaking(before, word, inside, self.roles)
            if loose is not None and loose != spacing.BEFORE_CLOSING:
                places[(loose == spacing.AFTER_OPENING, len(inside), loose)] = number
            end += len(spacing.space(before, word, inside, self.roles)) + len(word.text)
            inside = spacing.within(inside, word)
        aside = row[-1].aside
        if end <= WIDTH or not places or (aside is not None and aside.allows):
            return 0
        return places[min(places)]

    def _write(self, row: Sequence[Word], indent: int) -> None:
        """Write a row as one line, and keep account of the brackets that are open."""
        if self.before is not None:
            self._apart(row[0], indent, self.before)
        line, opened = " " * indent, len(self.open)
        for number, word in enumerate(row):
            if self.before is not None and number:
                line += spacing.space(self.before, word, self._inside(), self.roles)
            if self.open and self.before is not None and (self.before.text == "," or self.before.text in OPENING):
                self.open[-1] = self.open[-1].replace(element=len(line))
            if word.text in OPENING:
                column = len(line)
                self.open.append(_Open(word.text, column + 1, column + 1, column))
            elif word.text in CLOSING:
                self.open.pop()
                opened = min(opened, len(self.open))
            line += word.text
            self.before = word
        if row[-1].text in OPENING:
            self.open[opened:] = [one.replace(content=indent + INDENT, closing=indent) for one in self.open[opened:]]
        self.out.append(_with_aside(line, row[-1].aside))

    def _inside(self) -> str:
        return "".join([bracket.text for bracket in self.open])

    def _apart(self, word: Word, indent: int, before: Word) -> None:
        """Add what stands before a row: its comments, and an empty line that its author has set inside brackets."""
        column = self.open[-1].content if self.open and word.text in CLOSING else indent
        apart = bool(self.open) and before.text not in OPENING
        for comment in word.comments:
            self.out += [""] * (comment.blank and apart) + [" " * column + comment.text]
            apart = bool(self.open)
        self.out += [""] * (word.blank and apart and word.text not in CLOSING)


def _with_aside(line: str, comment: Comment | None) -> str:
    """Return a line with the comment after it, in the column of its author where it has room there."""
    if comment is None:
        return line
    kept = len(line) + ASIDE <= comment.column <= WIDTH - len(comment.text)
    return line.ljust(comment.column if kept else len(line) + ASIDE) + comment.text


def _docstring(text: str, indent: int) -> list[str]:
    """Return the lines of a docstring, those after the first moved together."""
    first, *rest = [line.rstrip() for line in text[3:-3].split("\n")]
    inner = dedent("\n".join(rest)).split("\n") if rest else []
    alone = bool(inner) and not inner[-1]  # the quotes at its end have a line of their own
    while inner and not inner[-1]:
        inner.pop()
    lines = [(" " * indent + line).rstrip() for line in ['"""' + first.lstrip(), *inner]]
    if alone:
        return [*lines, " " * indent + '"""']
    return [*lines[:-1], lines[-1] + (" " if lines[-1].endswith('"') and lines[-1].strip() != '"""' else "") + '"""']
