"""What stands several times in a row, written once: `unit(64) * 3`, or with numbers in the labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archdsl.importer.terms import Term, chain, ordered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NUMBERED = re.compile(r"(.*?)(\d+)$")
LONGEST = 4  # items that are repeated together


def folded(terms: Sequence[Term]) -> list[Term]:
    """Fold runs of equal terms of a body, and within its sequences and joins."""
    inner = [
        term.but(parts=tuple(folded(term.parts))) if term.kind in ("seq", "chain", "bind") else _joined(term)
        for term in terms
    ]
    made: list[Term] = []
    place = 0
    while place < len(inner):
        size, count = _repeated(inner, place)
        run = inner[place : place + size * count]
        if count > 1:
            one = chain(run[:size])
            made.append(Term("times", "", "", (("depth", count),), (one,), one.x, tuple(ordered(run))))
        elif (count := _counted(inner, place)) > 1:
            run = inner[place : place + count]
            stem, first = _number(run[0])
            values = (("depth", count), ("first", first))
            one = _renumbered(run[0], stem)
            made.append(Term("count", stem, "", values, (one,), one.x, tuple(ordered(run))))
        else:
            run = run[:1]
            made += run
        place += len(run)
    return made


def _joined(term: Term) -> Term:
    return term.but(parts=tuple(folded([part])[0] if part.kind in ("seq", "chain") else part for part in term.parts))


def _repeated(terms: Sequence[Term], place: int) -> tuple[int, int]:
    """Return how many items are repeated from a place on, and how often."""
    best = (1, 1)
    for size in range(1, LONGEST + 1):
        unit = list(terms[place : place + size])
        if len(unit) < size or not any(_heavy(term) for term in unit) or any(not _repeatable(term) for term in unit):
            break
        count = 1
        while list(terms[place + size * count : place + size * (count + 1)]) == unit:
            count += 1
        if count > 1 and size * (count - 1) > best[0] * (best[1] - 1):
            best = (size, count)
    return best


def _repeatable(term: Term) -> bool:
    return not term.label and term.kind not in ("bind", "out", "ref", "count") and all(map(_repeatable, term.parts))


def _heavy(term: Term) -> bool:
    return term.kind in ("use", "join") or bool(term.nodes) or any(map(_heavy, term.parts))


def _number(term: Term) -> tuple[str, int]:
    """Return the stem and the number of the one label with a number in a piece; "" where there is none, or several."""
    found = {label for label in _labels(term) if NUMBERED.match(label)}
    match = NUMBERED.match(found.pop()) if len(found) == 1 else None
    return (match.group(1), int(match.group(2))) if match else ("", -1)


def _labels(term: Term) -> Iterator[str]:
    """Go over the labels of a piece, but for those within modules, which are names of their own."""
    if term.label:
        yield term.label
    elif term.kind in ("chain", "join"):
        for part in term.parts:
            yield from _labels(part)


def _renumbered(term: Term, stem: str) -> Term:
    """Return a piece with a place for the number in its label."""
    if term.label:
        return term.but(label=f"{stem}{{}}") if NUMBERED.match(term.label) else term
    if term.kind in ("chain", "join"):
        return term.but(parts=tuple(_renumbered(part, stem) for part in term.parts))
    return term


def _counted(terms: Sequence[Term], place: int) -> int:
    """Return how many pieces from a place on are equal but for a number in a label."""
    stem, start = _number(terms[place])
    if not stem or terms[place].kind not in ("use", "join"):
        return 1
    first, count = _renumbered(terms[place], stem), 1
    while place + count < len(terms):
        after = terms[place + count]
        if _number(after) != (stem, start + count) or _renumbered(after, stem) != first:
            break
        count += 1
    return count
