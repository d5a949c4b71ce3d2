"""Several uses of one class as one piece of text: what they share, and holes where they differ.

`merged` lays terms side by side, one for each use (Plotkin, "A note on inductive generalization", 1970): equal heads
stay, values become holes, items of sequences are aligned, what only some have is an `only`, and where two have
different things stands an `either`. What fills the holes is found in `blocks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archdsl.importer.calls.reader import both
from archdsl.importer.terms import UNKNOWN, Term, chain, is_identity, links

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = object()  # of a use that does not have the place
ACTIVATIONS = frozenset(
    ("relu", "relu6", "silu", "mish", "sigmoid", "tanh", "hardswish", "hardsigmoid", "gelu", "leaky_relu", "elu")
)


@dataclass(eq=False)
class Hole:
    """A value of each use: which field it is, the label near it, and the channels that reach it."""

    field: str
    label: str
    values: tuple[Any, ...]
    x: tuple[Any, ...]


@dataclass(frozen=True)
class Pipe:
    """A pipeline as a value: the operator of a step, where uses differ in it alone."""

    op: str
    values: tuple[tuple[str, Any], ...]


@dataclass(eq=False)
class Which:
    """Of each use, which of the parts it has: 0, 1 …, or MISSING."""

    values: tuple[Any, ...]
    x: tuple[Any, ...]


class Apart(Exception):
    """Uses that are too different for one piece of text."""


def merged(column: Sequence[Term | None], near: str = "") -> Term:
    """Return the terms of all uses as one; None where a use has none. Raises `Apart`.

    `near` is the label of what is around it.
    """
    there = [term for term in column if term is not None]
    first = there[0]
    if all(term.kind == "op" and not term.parts and not term.label and term.name in ACTIVATIONS for term in there):
        if len({term.name for term in there}) > 1:
            return _activation(column)
    if not all(_head(term) == _head(first) for term in there):
        return _promoted(column, near) or _chained(column, near) or _either(column, near)
    near = first.label or near
    if first.kind in ("seq", "chain"):
        parts = tuple(aligned([None if t is None else t.parts for t in column], near))
        return Term(first.kind, "", first.label, (), parts, _x(column))
    if any(len(term.parts) != len(first.parts) for term in there):
        return _either(column, near)
    column = _padded(column)
    values = tuple((name, _hole(column, place, name, near)) for place, (name, _) in enumerate(first.values))
    parts = tuple(_part([term and term.parts[i] for term in column], near) for i in range(len(first.parts)))
    return first.but(values=values, parts=parts, x=_x(column))


def _padded(column: Sequence[Term | None]) -> Sequence[Term | None]:
    """Write all paddings out, where some uses have one of their own; at stride 1 the usual one is `"same"`, too."""
    pads = [dict(term.values).get("pad") for term in column if term is not None]
    if None not in pads or all(pad is None for pad in pads):
        return column
    return [term and term.but(values=_with_pad(dict(term.values), "same" in pads)) for term in column]


def _with_pad(values: dict[str, Any], same: bool) -> tuple[tuple[str, Any], ...]:
    kernel, stride, dilation = (both(values[name]) for name in ("kernel", "stride", "dilation"))
    if values["pad"] is None:
        pad = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation))
        usual = same and stride == (1, 1) and all(k % 2 for k in kernel)
        values["pad"] = "same" if usual else pad[0] if pad[0] == pad[1] else pad
    return tuple(values.items())


def _part(column: Sequence[Term | None], near: str) -> Term:
    """Return a branch of all uses as one, which some may not have."""
    whole = [term is not None for term in column]
    there = [None if term is None or term.kind == "absent" else term for term in column]
    return _optional(there, whole, _x(column), near)


def _optional(column: Sequence[Term | None], whole: Sequence[bool], x: Sequence[Any], near: str) -> Term:
    term = merged(column, near)
    which = tuple(int(one is not None) if there else MISSING for there, one in zip(whole, column))
    if 0 not in which:
        return term
    if term.kind == "op" and term.name in ("dropout", "dropout2d", "drop_path"):
        return _dropping(term, which)
    return Term("only", values=(("which", Which(which, tuple(x))),), parts=(term,), x=term.x)


def _head(term: Term) -> tuple[Any, ...]:
    return (term.kind, term.name, term.label, tuple(name for name, _ in term.values))


def _x(column: Sequence[Term | None]) -> tuple[Any, ...]:
    return tuple(MISSING if term is None or term.x == UNKNOWN else term.x for term in column)


def _dropping(term: Term, which: Sequence[Any]) -> Term:
    """What drops at random is left out by a rate of 0."""
    hole = term.values[0][1]
    values = tuple(0.0 if has == 0 else value for has, value in zip(which, hole.values))
    return term.but(values=(("p", Hole("p", hole.label, values, hole.x)),))


def _hole(column: Sequence[Term | None], place: int, name: str, near: str) -> Hole:
    values = tuple(MISSING if term is None else term.values[place][1] for term in column)
    return Hole(name, near, values, _x(column))


def _activation(column: Sequence[Term | None]) -> Term:
    values = tuple(MISSING if term is None else Pipe(term.name, term.values) for term in column)
    hole = Hole("act", "", values, _x(column))
    return Term("op", "", values=(("act", hole),), x=_x(column))


def _promoted(column: Sequence[Term | None], near: str) -> Term | None:
    """Take a piece for one that is repeated once, where others repeat it."""
    repeated = next((term for term in column if term is not None and term.kind == "times"), None)
    if repeated is None:
        return None
    made: list[Term | None] = []
    for term in column:
        if term is None or term.kind == "times":
            made.append(term)
        elif _head(term) == _head(repeated.parts[0]):
            made.append(Term("times", values=(("depth", 1),), parts=(term,), x=term.x))
        else:
            return None
    return merged(made, near)


def _chained(column: Sequence[Term | None], near: str) -> Term | None:
    """Take a piece for a chain of one, where others are chains that have it."""
    if not any(term is not None and term.kind == "chain" for term in column):
        return None
    keys = [{_key(link) for link in links(term)} for term in column if term is not None]
    if not set.intersection(*keys):
        return None
    return Term(
        "chain", parts=tuple(aligned([None if term is None else links(term) for term in column], near)), x=_x(column)
    )


def _either(column: Sequence[Term | None], near: str) -> Term:
    """Return a choice between the two things that uses have at a place."""
    kinds: list[Any] = []
    for term in column:
        if term is not None and skeleton(term) not in kinds:
            kinds.append(skeleton(term))
    if len(kinds) != 2:
        raise Apart
    which = tuple(MISSING if term is None else kinds.index(skeleton(term)) for term in column)
    parts = [merged([term if one == kind else None for term, one in zip(column, which)], near) for kind in (0, 1)]
    return Term("either", values=(("which", Which(which, _x(column))),), parts=tuple(parts), x=_x(column))


def skeleton(term: Term) -> Any:
    """Return a piece without its values: what two pieces share that differ in numbers alone."""
    if term.kind == "op" and term.name in ACTIVATIONS and not term.label:
        return "act"
    if term.kind == "times":
        return skeleton(term.parts[0])
    return (*_head(term), tuple(map(skeleton, term.parts)))


def aligned(columns: Sequence[Sequence[Term] | None], near: str = "") -> list[Term]:
    """Return the items of several sequences as one: each item of each stands in it, in order. Raises `Apart`."""
    slots: list[tuple[Any, list[Term | None]]] = []
    for use, items in enumerate(columns):
        keys = [_key(term) for term in items or ()]
        made: list[tuple[Any, list[Term | None]]] = []
        matcher = SequenceMatcher(None, [key for key, _ in slots], keys, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                for (key, column), term in zip(slots[i1:i2], (items or ())[j1:j2]):
                    made.append((key, [*column, term]))
                continue
            made += [(key, [*column, None]) for key, column in slots[i1:i2]]
            made += [(key, [None] * use + [term]) for key, term in zip(keys[j1:j2], (items or ())[j1:j2])]
        slots = made
    return _slots([column for _, column in slots], [items is not None for items in columns], near)


def _slots(columns: list[list[Term | None]], whole: list[bool], near: str) -> list[Term]:
    made: list[Term] = []
    x: list[Any] = [MISSING] * len(whole)
    for column in reversed(columns):
        x = [after if term is None else MISSING if term.x == UNKNOWN else term.x for term, after in zip(column, x)]
        made.append(_optional(column, whole, x, near))
    if any(_instead(one, other) for one, other in pairwise(made)):
        raise Apart
    return made[::-1]


def _instead(one: Term, other: Term) -> bool:
    """Say whether some uses have one layer and the rest another in its place: these are two blocks."""
    if not (one.kind == other.kind == "only" and one.parts[0].kind == other.parts[0].kind == "op"):
        return False
    pairs = zip(one.values[0][1].values, other.values[0][1].values)
    return all(MISSING in pair or sum(pair) == 1 for pair in pairs)


def _key(term: Term) -> Any:
    """Return what makes two items of sequences one item."""
    if term.kind in ("times", "count"):
        return _key(term.parts[0])
    if term.kind == "op" and term.name in ACTIVATIONS and not term.label:
        return "act"
    if term.kind == "join":
        return (term.kind, term.name, len(term.parts))
    return (term.kind, term.name, term.label)


def with_absent(bodies: Sequence[Sequence[Term]]) -> list[Sequence[Term]]:
    """Let a body without a skip connection have one that is absent, where others of the class have it."""
    model = next((body for body in bodies if skip(body) is not None), None)
    if model is None:
        return list(bodies)
    place = skip(model)
    assert place is not None
    join, after = model[place], len(model) - place - 1
    branch = next(part for part in join.parts if not is_identity(part))
    wanted = [_key(term) for term in links(branch)]
    made: list[Sequence[Term]] = []
    for body in bodies:
        inside = list(body[place : len(body) - after])
        alike = SequenceMatcher(None, wanted, [_key(term) for term in inside], autojunk=False).ratio()
        if skip(body) is None and inside and alike > 0.6:
            absent = Term("absent", x=inside[0].x)
            parts = tuple(absent if is_identity(part) else chain(inside, inside[0].x) for part in join.parts)
            body = [*body[:place], join.but(parts=parts, x=inside[0].x, nodes=()), *body[len(body) - after :]]
        made.append(body)
    return made


def skip(body: Sequence[Term]) -> int | None:
    """Return the place of a sum of the identity and one other branch."""
    for place, term in enumerate(body):
        if term.kind == "join" and term.name == "add" and sorted(map(is_identity, term.parts)) == [False, True]:
            return place
    return None


def size(term: Term) -> int:
    """Count the operators and blocks of a piece."""
    return (term.kind in ("op", "use", "join")) + sum(map(size, term.parts))


def choices(term: Term) -> int:
    """Count the places where uses differ in more than values."""
    return (term.kind in ("only", "either")) + sum(map(choices, term.parts))
