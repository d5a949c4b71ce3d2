"""Reads on after the syntax errors of a text: a token is left out or put in where that lets the parser go on furthest.

What comes of it is a guess at what was meant. It shows further mistakes of the text, in the statement that has one too,
and names that do not exist; nothing is built from it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from archdsl.core.record import Record
from archdsl.diagnostics import CompileError
from archdsl.syntax.lexer import SPACE
from archdsl.syntax.parser import SOFT_WORDS, otherwise, parser, unexpected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from archdsl.core.source import Source
    from archdsl.diagnostics import Diagnostic
    from archdsl.syntax import tree
    from archdsl.syntax.lexer import Token
    from archdsl.syntax.parser import Parser

MOST = 20  # repairs of one text
MOST_TEXT = 100_000  # characters of it
AHEAD = 12  # tokens that tell one repair from another
SETTLED = 3  # tokens after a repair before an error is another one
BRACKETS = ("LPAR", "RPAR", "LSQB", "RSQB", "LBRACE", "RBRACE")
PUT_IN = ("COMMA", "NAME", "COLON", "RPAR", "RSQB", "EQUAL", "LPAR", "LSQB", "__ANON_0")


class Repaired(Record):
    """The tree of a repaired text, its mistakes, and the words that were left out of it."""

    tree: tree.Module
    mistakes: tuple[Diagnostic, ...]
    lost: frozenset[str]
    balanced: bool  # no bracket was left out or put in


def repaired(source: Source) -> Repaired | None:
    """Return what a text becomes after its syntax errors; None where they are too many, or of its lines."""
    mistakes: list[Diagnostic] = []
    tokens = _tokens(source, mistakes) if len(source.text) <= MOST_TEXT else None
    if tokens is None:
        return None
    repair = Repair(source, tokens, mistakes)
    if not repair.run():
        return None
    try:
        tree = parser().run(source, "start", repair.tokens)
    except CompileError:  # of a number, or of how deep it is
        return None
    return Repaired(tree, tuple(mistakes), frozenset(repair.lost), repair.balanced)


def _tokens(source: Source, mistakes: list[Diagnostic]) -> list[Token] | None:
    """Return the tokens of a text without characters that have no meaning; brackets that are never closed, too."""
    text = source.text
    for _ in range(MOST):
        try:
            found = list(parser().lexer.tokens(source.replace(text=text)))
            return [*found, ("$END", "", len(text), len(text))]
        except CompileError as mistake:
            diagnostic = mistake.diagnostic
            place = diagnostic.primary.span
            if "unclosed" in diagnostic.traits:
                place = place.replace(end=place.start + 1)
            elif "character" not in diagnostic.traits or '"' in place.text:
                return None
            mistakes.append(diagnostic)
            text = text[: place.start] + " " + text[place.start + 1 :]
    return None


def impossible(source: Source, gone: Collection[tuple[int, int]]) -> Iterator[Diagnostic]:
    """Yield the mistakes of tokens that nothing lets follow the one before: `(,` is wrong whatever stands around it.

    Looked at are the pieces of a text that were taken out of it, by where they start and end.
    """
    for before, token in pairwise(_words(source)):
        if not any(start <= token[2] <= end for start, end in gone):
            continue
        if source.text[before[3] : token[2]].strip(" \t"):
            continue  # a line ends between them, or what has no meaning stands there
        states = [state for kind in _kinds(before) for state in _behind(kind)]
        rows = [parser().rows[state] for state in states]
        if not any(kind in row for kind in _kinds(token) for row in rows):
            mistake = unexpected(source, token, {}).diagnostic
            if "token" in mistake.traits:
                yield mistake


def _words(source: Source) -> Iterator[Token]:
    """Yield the tokens of a text without its lines; what is none is passed over."""
    lexer, text, at = parser().lexer, source.text, 0
    while at < min(len(text), MOST_TEXT):
        found = lexer.match(text, at)
        if found is None:
            at = max(at + 1, SPACE.match(text, at).end())  # type: ignore[union-attr]
            continue
        kind, word = found.lastgroup or "", found.group()
        yield lexer.literals.get(word, kind) if kind in ("NAME", "_") else kind, word, *found.span()
        at = found.end()


def _kinds(token: Token) -> tuple[str, ...]:
    """Return what a token may be: some words are names, too, and a minus stands for two signs."""
    kind, word = token[:2]
    if kind in SOFT_WORDS:
        return kind, "NAME"
    return (kind, "MINUS") if word == "-" else (kind,)


@lru_cache(None)
def _behind(kind: str) -> tuple[int, ...]:
    """Return the states that a kind of token leads to."""
    states = range(len(parser().tables.states))
    return tuple({action for state in states if (action := parser().rows[state].get(kind, -1)) >= 0})


class Repair:
    """Runs the states of the parser over tokens, and changes the tokens where they do not fit."""

    def __init__(self, source: Source, tokens: list[Token], mistakes: list[Diagnostic]) -> None:
        self.source, self.tokens, self.mistakes = source, tokens, mistakes
        self.parser: Parser = parser()
        self.lost: set[str] = set()
        self.balanced = not mistakes

    def run(self) -> bool:
        """Repair all tokens; says whether that could be done."""
        states, at, changes, since = [self.parser.tables.starts["start"]], 0, 0, SETTLED
        while at < len(self.tokens):
            before = list(states)
            if self._take(states, self.tokens[at]):
                at, since = at + 1, since + 1
                continue
            states = before
            changes += 1
            if changes > MOST:
                return False
            if since >= SETTLED and not self.tokens[at][0].startswith("_"):
                self._note(states, at)
            if not self._mend(states, at):
                return False
            since = 0
        return True

    def _note(self, states: list[int], at: int) -> None:
        """Keep the mistake at a token."""
        states = list(states)
        self._take(states, self.tokens[at])  # to the state in which it does not fit
        self.mistakes.append(unexpected(self.source, self.tokens[at], self.parser.rows[states[-1]]).diagnostic)

    def _mend(self, states: list[int], at: int) -> bool:
        """Change the tokens at a place so that the most of those after it fit."""
        token = self.tokens[at]
        kind, word, start, _ = token
        if kind == "$END":
            return False
        choices = [[], [("NAME", "_", *token[2:])]]
        choices += [[(one, "_" if one == "NAME" else "", start, start), token] for one in PUT_IN]
        reach = [self._reach(states, [*new, *self.tokens[at + 1 : at + AHEAD]]) - len(new) for new in choices]
        best = choices[max(range(len(choices)), key=reach.__getitem__)]
        if kind == "_INDENT" and token not in best:
            self._drop_dedent(at)
        changed = [one for one in (token, *best) if (one == token) is not (one in best)]
        self.balanced = self.balanced and not any(one[0] in BRACKETS for one in changed)
        if token not in best:
            self.lost.update(re.findall(r"[A-Za-z_]\w*", word))
        self.tokens[at : at + 1] = best
        return True

    def _drop_dedent(self, at: int) -> None:
        """Leave out the end of a body whose start is left out."""
        depth = 0
        for place in range(at, len(self.tokens)):
            depth += (self.tokens[place][0] == "_INDENT") - (self.tokens[place][0] == "_DEDENT")
            if depth == 0:
                del self.tokens[place]
                return

    def _reach(self, states: list[int], tokens: list[Token]) -> int:
        """Count the tokens that fit from a state on."""
        states = list(states)
        return next((number for number, token in enumerate(tokens) if not self._take(states, token)), len(tokens))

    def _take(self, states: list[int], token: Token) -> bool:
        """Move to the state after a token; says whether it fits."""
        kind, word = token[:2]
        while True:
            row = self.parser.rows[states[-1]]
            action = row.get(kind)
            if action is None:
                kind = otherwise(kind, word, row)
                action = row.get(kind)
            if action is None:
                return False
            if action >= 0:
                states.append(action)
                return True
            rule = self.parser.rules[~action][0]
            if rule.length:
                del states[-rule.length :]
            states.append(self.parser.rows[states[-1]][rule.origin])
            if kind == "$END" and states[-1] == self.parser.tables.ends["start"]:
                return True
