"""Semantic tokens: what each word of a text is, as far as the text tells; a broken one up to where it can be read."""

from __future__ import annotations

from archdsl.diagnostics import CompileError
from archdsl.elaborate.expressions import WORDS
from archdsl.syntax.parser import SOFT_WORDS, parser
from archdsl.syntax.trivia import PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.core.source import Source
    from archdsl.server.positions import Positions
    from archdsl.server.scopes import Scopes

TYPES = ["comment", "keyword", "string", "number", "operator", "function", "class", "parameter", "variable", "property"]
NUMBER = {name: number for number, name in enumerate(TYPES)}
LITERALS = {"STRING": "string", "LONG_STRING": "string", "INTEGER": "number", "FLOAT": "number", "TRAINING": "keyword"}
SIGNS = ("COMPARE", "ADDITIVE", "STAR", "MULTIPLICATIVE")
BOUND = {"block": "class", "net": "class", "import": "class", "function": "function", "parameter": "parameter"}
ROLES = {"label": "property", "attribute": "property", "keyword": "parameter"}


def tokens(source: Source, scopes: Scopes | None, positions: Positions) -> list[int]:
    """Return the tokens in the form of the protocol: five numbers each, places counted from the one before."""
    found: list[int] = []
    line = column = 0
    for start, end, kind in _pieces(source, scopes):
        for first, last in _lines(source.text, start, end):
            at = positions.position(first)
            length = positions.units(source.text[first:last])
            found += [at.line - line, at.character - (column if at.line == line else 0), length, NUMBER[kind], 0]
            line, column = at.line, at.character
    return found


def _pieces(source: Source, scopes: Scopes | None) -> Iterator[tuple[int, int, str]]:
    """Yield each word and comment with what it is."""
    named = _named(scopes) if scopes is not None else {}
    at = 0
    try:
        for kind, text, start, end in parser().lexer.tokens(source):
            yield from _comments(source.text, at, start)
            what = named.get(start) or _lexical(kind, text)
            if what is not None and end > start:
                yield start, end, what
            at = end
    except CompileError:
        return
    yield from _comments(source.text, at, len(source.text))


def _comments(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    for found in PIECE.finditer(text, start, end):
        if found.group().startswith("#"):
            yield found.start(), found.start() + len(found.group().rstrip()), "comment"


def _named(scopes: Scopes) -> dict[int, str]:
    """Return what each name is by where it starts; of a computed one the first part."""
    found: dict[int, str] = {}
    for one in scopes.mentions:
        if one.role in ROLES:
            found[one.span.start] = ROLES[one.role]
        elif one.binding is not None:
            found[one.span.start] = BOUND.get(one.binding.kind, "variable")
    return found


def _lexical(kind: str, text: str) -> str | None:
    """Return what a word is by itself."""
    if kind in LITERALS:
        return LITERALS[kind]
    if kind == "NAME":
        return "function" if text in WORDS else "variable"
    if kind in SOFT_WORDS or text.isalpha():
        return "keyword"
    return "operator" if kind in SIGNS or text in ("->", "**", "=") else None


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a piece that are in one line each, since no token may span several."""
    for part in text[start:end].split("\n"):
        if part.rstrip("\r"):
            yield start, start + len(part.rstrip("\r"))
        start += len(part) + 1
