"""Which piece of a text holds a mistake, and what may stand in its place, so that the rest can be read.

Only lines count here, for what stands on them is no sentence of the language. Places stay what they are: what is taken
out becomes blank.
"""

from __future__ import annotations

import re

from archdsl.core.record import Record
from archdsl.syntax.lexer import CLOSING, OPENING, indent_of
from archdsl.syntax.parser import ITEM, open_brackets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Source

HEAD = re.compile(r"^(?:net|block|fn|default)\b[^(:=\n]*|\bimport\b.*")  # the words of an item that it may define
HEADLESS = re.compile(r"^ {1,3}(\w+)(?:\(.*\))?:$", re.MULTILINE)  # a definition whose first word is missing
CONTINUES = re.compile(r"\s*->")
CLOSES = re.compile(r"\s*[)\]}]")
NAME = re.compile(r"\s*(\w+)(\s*[({]?)")
BINDS = re.compile(r"\s*(?:[^\s=:(\[][^=:(\[]*=(?!=)|require\b)")  # and leaves the tensor as it is
FAILS = "_"  # a step; nothing has this name
FAILS_TO_BIND = "_=_"
WITH_BODY = {"if": "if _:", "elif": "elif _:", "else": "else:"}
ON_ONE_LINE = {"if": "if _: _", "elif": "elif _: _", "else": "else: _", "for": "_"}
BUILT_ON = {"input", "output", *ON_ONE_LINE}  # what follows them in a body may depend on them


class Hole(Record):
    """A statement to be taken out, and what stands there instead; `sure` if the rest is true after its failure."""

    start: int
    end: int
    stand_in: str
    sure: bool
    names: frozenset[str]  # that it may define; a form, `side{i}`, by its first part and a brace

    def fill(self, source: Source) -> Source:
        """Return the text with the hole in it."""
        return without(source, self.start, self.end, self.stand_in)


def without(source: Source, start: int, end: int, stand_in: str = "") -> Source:
    """Return a text with a piece of it made blank."""
    text = source.text[start:end]
    at = indent_of(text) if stand_in else 0
    blank = re.sub(r"[^\r\n]", " ", text)
    return source.replace(
        text=source.text[:start] + blank[:at] + stand_in + blank[at + len(stand_in) :] + source.text[end:]
    )


def item_around(text: str, at: int) -> tuple[int, int]:
    """Return where the item of a file around a place starts and ends."""
    starts = [0, *(found.start() for found in ITEM.finditer(text))]
    start = max(start for start in starts if start < max(at, 1))  # at its first word, the item before is to blame
    return start, min([other for other in starts if other > start], default=len(text))


def defined(text: str) -> set[str]:
    """Return the names that an item may define, and its words."""
    return {name for head in (*HEAD.findall(text), *HEADLESS.findall(text)) for name in re.findall(r"\w+", head)}


def hole_at(source: Source, at: int) -> Hole | None:
    """Return the hole that takes out the statement around a place; None if its lines do not show where it ends."""
    lines = source.text.split("\n")
    brackets = open_brackets(source, at)
    line = source.line_of(at) - 1
    first = _first(lines, source.line_of(brackets[0].start) - 1 if brackets else line)
    last = _last(lines, first)
    start, text = sum(len(above) + 1 for above in lines[:first]), "\n".join(lines[first : last + 1])
    before, behind = _next_code(lines[:first][::-1]), _next_code(lines[last + 1 :])
    lacks_body = before.endswith(":") and indent_of(before) >= indent_of(text)
    lacks_end = start == at and ITEM.match(text) is not None  # the item before
    stand_in, sure = _stand_in(text, deeper=indent_of(behind) > indent_of(text))
    if last < line or lacks_body or lacks_end or len(stand_in) > len(lines[first].strip()) or '"""' in text:
        return None
    names = frozenset(name for line in text.split("\n") for name in _names(line))
    return Hole(start, start + len(text), stand_in, sure, names)


def _first(lines: list[str], number: int) -> int:
    """Return the first line of the statement that a line belongs to: one in a body, or in no other."""
    while True:
        while number > 0 and CONTINUES.match(lines[number]):
            number -= 1
        indent = indent_of(lines[number])
        outer = (n for n in range(number - 1, -1, -1) if _code(lines[n]) and indent_of(lines[n]) < indent)
        around = next(outer, None)
        if around is None or _is_header(lines[around:number]):
            return number
        number = around


def _last(lines: list[str], first: int) -> int:
    """Return the last line of the statement that starts in a line: without its body, if it has a header of one."""
    indent, opens, last = indent_of(lines[first]), _open(lines[first]), first
    is_item = ITEM.match(lines[first]) is not None
    has_header = indent > 0 or is_item
    while last + 1 < len(lines):
        behind = lines[last + 1]
        if has_header and _code(lines[last]).endswith(":") and (last == first or opens > 0):
            break
        if indent_of(behind) > indent:
            if is_item and opens <= 0:  # a colon is missing
                break
        elif not CONTINUES.match(behind) and not (indent_of(behind) == indent and CLOSES.match(behind)):
            break
        last += 1
    return last


def _is_header(lines: list[str]) -> bool:
    """Say whether lines up to the middle of a body start with its header."""
    if _code(lines[0]).endswith(":"):
        return True
    return _open(lines[0]) > 0 and any(_code(line).endswith(":") for line in lines)


def _stand_in(text: str, deeper: bool) -> tuple[str, bool]:
    """Return what may stand instead of a statement, in front of deeper lines or not, and if it only fails."""
    if not indent_of(text):
        return "net _:" if deeper else "", False
    found = NAME.match(text)
    word = found.group(1) if found else ""
    if deeper:
        return WITH_BODY.get(word, "_:"), False
    return ON_ONE_LINE.get(word) or (FAILS_TO_BIND if BINDS.match(text) else FAILS), word not in BUILT_ON


def _names(line: str) -> list[str]:
    """Return the names that a line may define."""
    if not indent_of(line):
        return re.findall(r"\w+", re.split(r"[(:=]", line)[0])
    found = NAME.match(line)
    if found is None or found.group(2).endswith("("):
        return []
    return [found.group(1) + found.group(2).strip()]


def _open(text: str) -> int:
    return sum(map(text.count, OPENING)) - sum(map(text.count, CLOSING))


def _code(line: str) -> str:
    return line.partition("#")[0].rstrip()


def _next_code(lines: list[str]) -> str:
    return next((code for line in lines if (code := _code(line))), "")
