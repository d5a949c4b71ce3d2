"""Splits a text into tokens and finds its line structure.

The words of the language come from the grammar; what is done here is what a grammar cannot say: indentation, lines
that continue (inside brackets, or because the next line starts with `->`), comments and blank lines.
"""

from __future__ import annotations

import re

from archdsl.core.source import Source, Span
from archdsl.diagnostics import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from archdsl.syntax.grammar import Tables

    Token = tuple[str, str, int, int]  # terminal, text, start, end

OPENING = {"(": ")", "[": "]", "{": "}"}
CLOSING = {")": "(", "]": "[", "}": "{"}
MAX_BRACKETS = 64  # open at once
MAX_INDENTS = 100  # as `archdsl.syntax.parser.MAX_DEPTH`, which a text that goes so far always meets first
SPACE = re.compile(r"(?:[ ]|\t|\\\n|#[^\n]*)*")
LINE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*([ \t]*)(#[^\n]*)?")


def indent_of(line: str) -> int:
    """Return how far a line is indented, in characters."""
    return len(line) - len(line.lstrip())


class Lexer:
    """Turns texts into tokens, with the terminals of a grammar."""

    def __init__(self, tables: Tables) -> None:
        literals = sorted(tables.literals, key=lambda text: (-len(text), text))
        symbols = [f"(?P<_>{'|'.join(re.escape(t) for t in literals if not t.isalpha())})"]
        self.match = re.compile("|".join([f"(?P<{n}>{p})" for n, p in tables.patterns] + symbols)).match
        self.literals = tables.literals

    def tokens(self, source: Source) -> Iterator[Token]:
        """Yield the tokens of a text; raises `CompileError` for a character or an indentation that has no meaning."""
        text, at = source.text, 0
        indents: list[str] = [""]
        brackets: list[tuple[str, int]] = []
        end = len(text)
        match, literals, space = self.match, self.literals, SPACE.match
        at = yield from self._new_line(source, 0, indents, first=True)
        if at >= end:  # nothing but blank lines and comments
            return
        while True:
            at = space(text, at).end()  # type: ignore[union-attr]
            if at >= end:
                break
            if text[at] == "\n" or text.startswith("\r\n", at):
                if brackets:
                    at += 1 if text[at] == "\n" else 2
                else:
                    at = yield from self._new_line(source, at, indents)
                continue
            found = match(text, at)
            if found is None:
                raise errors.strange_character(Span(source, at, at + 1))
            kind, word, start, at = found.lastgroup, found.group(), at, found.end()
            if kind == "NAME":
                kind = literals.get(word, "NAME")
            elif kind == "_":
                kind = literals[word]
                if word in OPENING or word in CLOSING:
                    _balance(brackets, word, Span(source, start, at))
            yield kind or "", word, start, at
        if brackets:
            word, start = brackets[-1]
            raise errors.unclosed(Span(source, start, start + 1), OPENING[word])
        yield "_NL", "", end, end
        for _ in indents[1:]:
            yield "_DEDENT", "", end, end

    def _new_line(
        self, source: Source, at: int, indents: list[str], first: bool = False
    ) -> Generator[Token, None, int]:
        """Skip blank lines, then yield the end of the old line and what the new line's indentation means."""
        text = source.text
        found = LINE.match(text, at)
        assert found is not None, "the pattern matches the empty text"
        start, end = found.span(1)
        if found.group(2) is not None or end >= len(text):
            return len(text)
        if not first and text.startswith("->", end):
            return end
        if not first:
            yield "_NL", "", at, at
        indent = found.group(1)
        if indent != indents[-1]:
            yield from self._indentation(Span(source, start, end), indent, indents)
        return end

    def _indentation(self, span: Span, indent: str, indents: list[str]) -> Iterator[Token]:
        if ("\t" in indent and " " in indent) or any(("\t" in i) != ("\t" in indent) for i in indents if i and indent):
            raise errors.mixed_tabs(span)
        if len(indent) > len(indents[-1]):
            indents.append(indent)
            if len(indents) > MAX_INDENTS:
                raise errors.too_deep(span, "indented bodies", MAX_INDENTS)
            yield "_INDENT", "", span.end, span.end
            return
        while len(indent) < len(indents[-1]):
            indents.pop()
            yield "_DEDENT", "", span.end, span.end
        if indent != indents[-1]:
            raise errors.odd_dedent(span, [len(i) for i in indents])


def _balance(brackets: list[tuple[str, int]], word: str, span: Span) -> None:
    """Open a bracket, or close the one that was opened last."""
    if word in OPENING:
        brackets.append((word, span.start))
        if len(brackets) > MAX_BRACKETS:
            raise errors.too_deep(span, "brackets", MAX_BRACKETS)
    elif brackets and brackets[-1][0] == CLOSING[word]:
        brackets.pop()
    else:
        raise errors.unbalanced(span, brackets)
