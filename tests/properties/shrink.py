"""The shortest text that still differs: lines, then parts of lines, are left out as long as the difference stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archdsl.compiler import Request, compile_text
from archdsl.diagnostics import CompileError
from archdsl.diagnostics.elsewhere import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARTS = [
    re.compile(part, re.MULTILINE)
    for part in (
        r" -> [^,\n]*?(?= ->|$|\)|,|\])",
        r"\w+(?:\([^()\n]*\))? -> ",
        r"[\w{}]+: (?!\[N)",
        r" if [^\n]*? else [^,)\n]*",
        r", \w+=[^,()\n\]]*",
        r"\d+",
    )
]


def shrunk(text: str, differs: Callable[[str], bool]) -> str:
    """Return a text from which nothing can be left out: `differs` says of one whether it still has the difference."""
    found = True
    while found:
        found = False
        for tried in (*_without_lines(text), *_without_parts(text)):
            if len(tried) < len(text) and _checks(tried) and differs(tried):
                text, found = tried, True
                break
    return text


def _checks(text: str) -> bool:
    try:
        compile_text(text, Request("n"))
    except CompileError:
        return False
    return True


def _without_lines(text: str) -> Iterator[str]:
    """Yield a text without some lines in a row, many first; a body may move out of what holds it."""
    lines = text.split("\n")
    for count in (16, 8, 4, 2, 1):
        for at in range(len(lines) - count, -1, -1):
            yield "\n".join(lines[:at] + lines[at + count :])
    for at in range(len(lines) - 1):
        depth = len(lines[at]) - len(lines[at].lstrip())
        end = next((i for i in range(at + 1, len(lines)) if not lines[i].startswith(" " * (depth + 1))), len(lines))
        yield "\n".join(lines[:at] + [line[4:] for line in lines[at + 1 : end]] + lines[end:])


def _without_parts(text: str) -> Iterator[str]:
    """Yield a text without one of its parts, or with a bracket or number made simple."""
    for part in (found for one in PARTS for found in one.finditer(text)):
        yield text[: part.start()] + text[part.end() :]
        if part[0].isdigit():
            yield text[: part.start()] + "2" + text[part.end() :]
    for at, sign in enumerate(text):
        if sign in "([":
            end = _closing(text, at)
            yield text[:at] + text[end + 1 :]
            yield text[:at] + "relu" + text[end + 1 :]
            yield text[:at] + text[at + 1 : end] + text[end + 1 :]
            start = at
            while start and (text[start - 1].isalnum() or text[start - 1] in "_."):
                start -= 1
            for inner in (*parts_of(text[at + 1 : end]), "relu", "2"):
                yield text[:start] + inner + text[end + 1 :]


def _closing(text: str, at: int) -> int:
    depth = 0
    for end in range(at, len(text)):
        depth += (text[end] in "([") - (text[end] in ")]")
        if depth == 0:
            return end
    return len(text) - 1
