"""From `grammars/archdsl.lark` to parse tables, through Lark.

Lark reads the grammar, proves it LALR(1) and builds the tables; importing it and building them takes 0.15 s, so the
tables are kept as plain data in `grammars/tables.py` and only rebuilt here when the grammar has changed.
`make grammar` writes them anew; a test holds them current, and another holds the parser that runs them
(`archdsl.syntax.parser`) against Lark's own on every text of the gallery.
"""

from __future__ import annotations

import os
import zlib
from importlib import import_module

from archdsl.core.record import Record
from archdsl.core.source import folder_of
from archdsl.diagnostics.extras import Needing

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
    """An LALR(1) parser as data. An action ≥ 0 goes to a state; `~rule` reduces; see `archdsl.syntax.parser`."""

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
    with Needing("a changed grammar"):
        from lark import Lark

    with open(GRAMMAR, encoding="utf-8") as file:
        return Lark(file.read(), parser="lalr", start=list(STARTS), maybe_placeholders=True, **options)


def build() -> Tables:
    """Build the tables with Lark; raises Lark's `GrammarError` where the grammar is not LALR(1)."""
    lark = lark_parser()
    table = lark.parser.parser._parse_table
    rules = sorted(lark.rules, key=repr)
    numbers = {rule: i for i, rule in enumerate(rules)}
    order = _in_order(table)

    def code(action: Any, argument: Any) -> int:
        return order[argument] if action.name == "Shift" else ~numbers[argument]

    states = []
    for number in order:
        row = sorted((str(symbol), code(*action)) for symbol, action in table.states[number].items())
        states.append((" ".join(s for s, _ in row), tuple(c for _, c in row)))
    patterns = tuple((t.name, t.pattern.value) for t in lark.terminals if type(t.pattern).__name__ == "PatternRE")
    literals = {t.pattern.value: t.name for t in lark.terminals if type(t.pattern).__name__ == "PatternStr"}
    starts = {name: order[state] for name, state in sorted(table.start_states.items())}
    ends = {name: order[state] for name, state in sorted(table.end_states.items())}
    return Tables(patterns, literals, tuple(map(_rule, rules)), tuple(states), starts, ends)


def _in_order(table: Any) -> dict[int, int]:
    """Number the states in the order in which they are reached: Lark's own numbers change from run to run."""
    queue = [state for _, state in sorted(table.start_states.items())]
    order: dict[int, int] = {}
    while queue:
        state = queue.pop(0)
        if state not in order:
            order[state] = len(order)
            actions = sorted(table.states[state].items(), key=lambda item: str(item[0]))
            queue += [argument for _, (action, argument) in actions if action.name == "Shift"]
    return order


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
