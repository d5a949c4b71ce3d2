"""A small block that one place alone uses stands there instead: what a reader would have to look up says little."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from archdsl.importer.blocks import Code
from archdsl.importer.terms import Term, every
from archdsl.importer.text import literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.importer.blocks import Block

MOST = 4  # steps of a block that stands where it is used
NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*")


def inlined(blocks: Sequence[Block], body: list[Term]) -> tuple[list[Block], list[Term]]:
    """Return blocks and the statements of the net, with small blocks of one use in its place."""
    kept = list(blocks)
    for block in blocks:
        uses = Counter(term.name for part in [*(one.body for one in kept), body] for term in every(part))
        if uses[block.name] != 1 or not _small(block):
            continue
        kept.remove(block)
        body = [_replaced(term, block) for term in body]
        for other in kept:
            other.body = [_replaced(term, block) for term in other.body]
    return kept, body


def _small(block: Block) -> bool:
    plain = not block.tensors and not block.lead and len(block.body) <= MOST
    return plain and all(term.kind in ("op", "use", "chain", "seq") for term in every(block.body))


def _replaced(term: Term, block: Block) -> Term:
    if term.kind == "use" and term.name == block.name:
        given = dict(term.values)
        return Term("seq", "", term.label, (), tuple(_filled(part, given) for part in block.body), term.x, term.nodes)
    return term.but(parts=tuple(_replaced(part, block) for part in term.parts))


def _filled(term: Term, given: dict[str, Any]) -> Term:
    """Put arguments in the place of parameters."""
    values = tuple((name, _value(value, given)) for name, value in term.values)
    return term.but(values=values, parts=tuple(_filled(part, given) for part in term.parts))


def _value(value: Any, given: dict[str, Any]) -> Any:
    if not isinstance(value, Code):
        return value
    if value.text in given:
        return given[value.text]

    def word(found: re.Match[str]) -> str:
        name = found.group()
        text = literal(given[name]) if name in given else name
        return text if re.fullmatch(r"[\w.]+", text) else f"({text})"

    return Code(NAME.sub(word, value.text))
