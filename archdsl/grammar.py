"""From `grammars/archdsl.lark` to parse tables, through Lark.

Lark reads the grammar, proves it LALR(1) and builds the tables; importing it and building them takes 0.15 s, so the
tables are kept as plain data in `grammars/tables.py` and only rebuilt here when the grammar has changed.
`python -m archdsl.grammar` writes them anew; a test holds them current, and another holds the parser that runs them
(`archdsl.parse`) against Lark's own on every text of the gallery.
"""

from __future__ import annotations

import os
import zlib
from importlib import import_module

from archdsl.record import Record
from archdsl.source import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GRAMMAR = os.path.join(folder_of("archdsl.grammars"), "archdsl.lark")
STARTS = ("start", "value")


class Rule(Record):
    """One production: what it is called, which children reach the tree and where an absent option leaves None."""

    origin: str
    name: str  # the alias where there is one
    length: int
    keep: tuple[bool, ...]
    absent: tuple[int, ...]  # how many Nones stand before each child and after the last
    inline: bool  # `?rule`: a single child stands for the whole


class Tables(Record):
    """An LALR(1) parser as data. An action ≥ 0 goes to a state; `~rule` reduces; see `archdsl.parse`."""

    patterns: tuple[tuple[str, str], ...]  # terminals given as regular expressions, in order of precedence
    literals: dict[str, str]  # terminals given as text: text -> name
    rules: tuple[Rule, ...]
    states: tuple[tuple[str, tuple[int, ...]], ...]  # per state: the symbols, separated by spaces, and their actions
    starts: dict[str, int]
    ends: dict[str, int]


def load() -> Tables:
    """Return the tables: the stored ones, or, where the grammar has changed since, new ones."""
    try:
        tables = import_module("archdsl.grammars.tables")
    except ImportError:
        return build()
    with open(GRAMMAR, "rb") as file:
        if zlib.crc32(file.read()) != tables.CRC:
            return build()
    rules = tuple(Rule(*row) for row in tables.RULES)
    return Tables(tables.PATTERNS, tables.LITERALS, rules, tables.STATES, tables.STARTS, tables.ENDS)


def lark_parser(**options: Any) -> Any:
    """Return Lark's own parser of the grammar, without line structure: for tests, fuzzing and `build`."""
    from lark import Lark

    with open(GRAMMAR, encoding="utf-8") as file:
        return Lark(file.read(), parser="lalr", start=list(STARTS), maybe_placeholders=True, **options)


def build() -> Tables:
    """Build the tables with Lark; raises Lark's `GrammarError` where the grammar is not LALR(1)."""
    lark = lark_parser()
    table = lark.parser.parser._parse_table
    numbers = {rule: i for i, rule in enumerate(lark.rules)}

    def code(action: Any, argument: Any) -> int:
        return argument if action.name == "Shift" else ~numbers[argument]

    states = []
    for number in range(len(table.states)):
        row = sorted((str(symbol), code(*action)) for symbol, action in table.states[number].items())
        states.append((" ".join(s for s, _ in row), tuple(c for _, c in row)))
    patterns = tuple((t.name, t.pattern.value) for t in lark.terminals if type(t.pattern).__name__ == "PatternRE")
    literals = {t.pattern.value: t.name for t in lark.terminals if type(t.pattern).__name__ == "PatternStr"}
    rules = tuple(_rule(rule) for rule in lark.rules)
    return Tables(patterns, literals, rules, tuple(states), dict(table.start_states), dict(table.end_states))


def _rule(rule: Any) -> Rule:
    origin = str(rule.origin.name)
    keep = tuple(not getattr(symbol, "filter_out", False) for symbol in rule.expansion)
    flags = "".join(str(int(flag)) for flag in rule.options.empty_indices or [False] * len(keep))
    absent = tuple(len(ones) for ones in flags.split("0"))
    return Rule(origin, str(rule.alias or origin), len(keep), keep, absent, rule.options.expand1 and not rule.alias)


def write() -> str:
    """Write `grammars/tables.py` and return its path."""
    tables = build()
    with open(GRAMMAR, "rb") as file:
        crc = zlib.crc32(file.read())
    lines = ['"""LALR(1) tables of `archdsl.lark`, written by `make grammar`. Do not edit."""', "# fmt: off", ""]
    lines += [f"CRC = {crc}", f"PATTERNS = {tables.patterns!r}", f"LITERALS = {tables.literals!r}"]
    lines += [f"STARTS = {tables.starts!r}", f"ENDS = {tables.ends!r}", "RULES = ("]
    lines += [f"    {rule.key()!r}," for rule in tables.rules] + [")", "STATES = ("]
    lines += [f"    {state!r}," for state in tables.states] + [")", ""]
    path = os.path.join(os.path.dirname(GRAMMAR), "tables.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines))
    return path


if __name__ == "__main__":
    print(f"wrote {os.path.relpath(write())}")
