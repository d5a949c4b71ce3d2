"""Blocks from the uses of a class: what fills the holes, and what the parameters are called.

A hole is, in this order: a constant; a parameter that is there; `x.channels`; a multiple or a part of either; a
parameter of its own, named for what it fills, whose default is the commonest value. What only some uses have stands
under a test on these, or under a parameter that says so.
"""

from __future__ import annotations

import keyword
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archdsl.importer.terms import Term, is_identity
from archdsl.importer.unify import (
    MISSING,
    Apart,
    Hole,
    Pipe,
    Which,
    aligned,
    choices,
    size,
    skeleton,
    skip,
    with_absent,
)
from archdsl.ops import OPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FACTORS = (*range(2, 17), 20, 24, 32, 48, 64)
NAMES = {"out": "channels", "p": "drop", "count": "extra"}
SIZES = ("out", "groups", "start", "stop", "count", "channels")  # fields that count channels
CHANCES = ("drop", "eps", "momentum")  # no reason for a part to be there, though they may happen to tell
MOST = 4  # choices in one block beyond which its uses are two blocks


@dataclass(frozen=True)
class Code:
    """The text of a value."""

    text: str


@dataclass(eq=False)
class Param:
    """A parameter of a block: its name, its value in each use, its kind, and its default, MISSING where it has none."""

    name: str
    values: list[Any]
    kind: str
    default: Any = MISSING


@dataclass(eq=False)
class Block:
    """A block: its name, its tensors, its parameters, its statements."""

    name: str
    tensors: tuple[str, ...]
    params: list[Param]
    body: list[Term]
    lead: list[str] = field(default_factory=list)  # lines before the others


def solved(
    name: str, bodies: Sequence[Sequence[Term]], x: Sequence[int], tensors: tuple[str, ...]
) -> list[tuple[Block, list[int]]]:
    """Return the blocks of a class, each with the places of the uses that it stands for."""
    groups: list[tuple[list[int], list[Term]]] = []
    wrapped = with_absent(bodies)

    def together(uses: Sequence[int]) -> list[Term]:
        """Lay uses side by side; a skip connection is absent only where another has it."""
        has = any(skip(bodies[use]) is not None for use in uses)
        return aligned([wrapped[use] if has else bodies[use] for use in uses])

    for uses in _alike(bodies):
        for place, (others, _) in enumerate(groups):
            try:
                both = sorted([*others, *uses])
                body = together(both)
            except Apart:
                continue
            if sum(map(choices, body)) <= min(MOST, max(1, sum(map(size, body)) // 2)):
                groups[place] = (both, body)
                break
        else:
            groups.append((uses, together(uses)))
    made = []
    for uses, body in groups:
        block = _Solver(body, [x[use] for use in uses], tensors).block(name)
        made.append((block, uses))
    return made


def _alike(bodies: Sequence[Sequence[Term]]) -> list[list[int]]:
    """Return the uses that differ in values alone together, the commonest first."""
    found: dict[Any, list[int]] = {}
    for use, body in enumerate(bodies):
        found.setdefault(tuple(map(skeleton, body)), []).append(use)
    return sorted(found.values(), key=lambda uses: (-len(uses), uses))


class _Solver:
    """Fills the holes of one block."""

    def __init__(self, body: list[Term], x: list[int], tensors: tuple[str, ...]) -> None:
        self.body, self.x, self.tensors = body, x, tensors
        self.params: list[Param] = []
        self.shortcut = False  # whether a test is looked for that tells what a skip connection does
        self.width = False  # whether the channels of the block's input have a name
        self.taken = {"x", "channels_in", *tensors, *_names(body)}

    def block(self, name: str) -> Block:
        """Return the block, its parameters without a default first."""
        body = [self._filled(term, everywhere=True) for term in self.body]  # what all uses have is named first
        body = [self._tested(self._filled(term)) for term in body]
        ordered = sorted(self.params, key=lambda param: param.default is not MISSING)
        lead = ["channels_in = x.channels"] if self.width else []
        return Block(name, self.tensors, ordered, body, lead=lead)

    # ------------------------------------------------------------------------------------------ holes
    def _filled(self, term: Term, everywhere: bool = False) -> Term:
        values = tuple(
            (
                name,
                self._value(value)
                if isinstance(value, Hole) and not (everywhere and MISSING in value.values)
                else value,
            )
            for name, value in term.values
        )
        return term.but(values=values, parts=tuple(self._filled(part, everywhere) for part in term.parts))

    def _value(self, hole: Hole) -> Any:
        there = [value for value in hole.values if value is not MISSING]
        if all(value == there[0] and type(value) is type(there[0]) for value in there):
            return there[0]
        found = self._param_equal(hole.values, _kind(hole.field))
        if found:
            return Code(found)
        if _kind(hole.field) == "channels":
            found = self._size(hole)
            if found:
                return Code(found)
        return Code(self._new(hole).name)

    def _param_equal(self, values: Sequence[Any], kind: str) -> str:
        """Return a parameter of these values; a stride is none of a number of channels that happens to be as large."""
        for param in self.params:
            if param.kind == kind and _agree(values, param.values):
                return param.name
        return ""

    def _size(self, hole: Hole) -> str:
        """Return a number of channels as an expression of what is known, or ""."""
        if _agree(hole.values, hole.x):
            return "x.channels"
        for param in self.params:
            if param.kind == "channels":
                found = _multiple(hole.values, param.values, param.name)
                if found:
                    return found
        found = _multiple(hole.values, hole.x, "x.channels")
        if found:
            return found
        if not _agree(hole.x, self.x):
            found = "channels_in" if _agree(hole.values, self.x) else _multiple(hole.values, self.x, "channels_in")
            if found:
                self.width = True
                return found
        return self._ratio(hole)

    def _ratio(self, hole: Hole) -> str:
        """Return a number of channels as a parameter times those of the input, where that takes fewer values."""
        pairs = [(v, x) for v, x in zip(hole.values, hole.x) if v is not MISSING]
        if any(x is MISSING or not x or v % x for v, x in pairs):
            return ""
        ratios = tuple(MISSING if v is MISSING else v // x for v, x in zip(hole.values, hole.x))
        few = len({v // x for v, x in pairs})
        if few * 3 > len({v for v, _ in pairs}) or few > 4:
            return ""
        found = self._param_equal(ratios, "ratio")
        name = found or self._add("expansion", ratios, "ratio").name
        return f"{name} * x.channels"

    def _new(self, hole: Hole) -> Param:
        stem = NAMES.get(hole.field, hole.field)
        label = hole.label if hole.label.isidentifier() else ""
        if stem in [param.name for param in self.params] and label:
            stem = f"{label}_{stem}"
        return self._add(stem, hole.values, _kind(hole.field))

    def _add(self, stem: str, values: Sequence[Any], kind: str) -> Param:
        name, count = stem, 1
        while name in self.taken or keyword.iskeyword(name) or name in OPS:
            count += 1
            name = f"{stem}{count}"
        self.taken.add(name)
        counted = Counter(value for value in values if value is not MISSING)
        common, often = counted.most_common(1)[0]
        needed = stem.endswith("channels") and (2 * often < sum(counted.values()) or len(counted) > 3)
        needed = needed and MISSING not in values
        param = Param(name, list(values), kind, MISSING if needed else common)
        self.params.append(param)
        return param

    # ------------------------------------------------------------------------------------------ tests
    def _tested(self, term: Term) -> Term:
        values = tuple(
            (name, self._test(which, term) if isinstance(which, Which) else which) for name, which in term.values
        )
        return term.but(values=values, parts=tuple(map(self._tested, term.parts)))

    def _test(self, which: Which, term: Term) -> Code:
        self.shortcut = any(map(is_identity, term.parts))
        wanted = [MISSING if value is MISSING else bool(value) ^ (term.kind == "either") for value in which.values]
        for text, values in self._tests(which):
            if _agree(wanted, values):
                return Code(text)
        stem = _stem(term.parts[0])
        return Code(self._add(stem, wanted, "flag").name)

    def _tests(self, which: Which) -> Iterator[tuple[str, list[Any]]]:
        """Go over tests that the block could make, the plainest first, with their answer in each use."""
        flags = [param for param in self.params if all(type(v) in (bool, type(MISSING)) for v in param.values)]
        for param in flags:
            yield param.name, param.values
            yield f"not {param.name}", [v if v is MISSING else not v for v in param.values]
        numbers = [
            p
            for p in self.params
            if p.name not in CHANCES and all(type(v) in (int, float) or v is MISSING for v in p.values)
        ]
        larger = [(f"{p.name} > 1", [v if v is MISSING else v > 1 for v in p.values]) for p in numbers]
        larger += [(f"{p.name} > 0", [v if v is MISSING else v > 0 for v in p.values]) for p in numbers]
        yield from larger
        ones = [(f"{p.name} == 1", [v if v is MISSING else v == 1 for v in p.values]) for p in numbers]
        yield from ones
        known = all(value is not MISSING for value, there in zip(which.x, which.values) if there is not MISSING)
        if known:
            differing, same = (list(self._differing(which, numbers, equal)) for equal in (False, True))
            yield from differing
            yield from same
            for text, values in larger:
                for other, answers in differing:
                    yield f"{text} or {other}", [_or(a, b) for a, b in zip(values, answers)]
            for text, values in ones:
                for other, answers in same:
                    yield f"{text} and {other}", [_not(_or(_not(a), _not(b))) for a, b in zip(values, answers)]

    def _differing(self, which: Which, numbers: list[Param], equal: bool) -> Iterator[tuple[str, list[Any]]]:
        for param in numbers:
            if param.kind != "channels":
                continue
            for factor in (1, *FACTORS[:7]) if self.shortcut else (1,):
                text = param.name if factor == 1 else f"{factor} * {param.name}"
                pairs = list(zip(which.x, param.values))
                values = [MISSING if MISSING in (x, v) else x != factor * v for x, v in pairs]
                yield (f"x.channels {'==' if equal else '!='} {text}", [_not(v) for v in values] if equal else values)


def _kind(field: str) -> str:
    """Return what a value of a field is: equal values of one kind may be one parameter."""
    return "channels" if field in SIZES or field.endswith("channels") else field.rpartition("_")[2]


def _not(value: Any) -> Any:
    return value if value is MISSING else not value


def _or(one: Any, two: Any) -> Any:
    return MISSING if one is MISSING or two is MISSING else one or two


def _stem(term: Term) -> str:
    """Return a name for a part that only some uses have."""
    if term.label.isidentifier():
        return f"with_{term.label}"
    if term.kind == "op" and not term.name:
        return "with_act"
    if term.kind == "use" and any(
        isinstance(value, Code) and value.text.endswith(" * x.channels") for _, value in term.values
    ):
        return "expand"
    if term.kind in ("op", "use", "join"):
        return f"with_{term.name}"
    return _stem(term.parts[0]) if term.parts else "shortcut"


def _agree(one: Sequence[Any], two: Sequence[Any]) -> bool:
    """Say whether two lists are equal where the first has values, of which there is one that tells."""
    return all(a is MISSING or (type(a) is type(b) and a == b) for a, b in zip(one, two))


def _multiple(values: Sequence[Any], base: Sequence[Any], name: str) -> str:
    """Return `k * name` or `name // k`, where one of them is the values."""
    pairs = [(v, b) for v, b in zip(values, base) if v is not MISSING]
    if any(b is MISSING or type(b) is not int or type(v) is not int for v, b in pairs):
        return ""
    for k in FACTORS:
        if all(v == k * b for v, b in pairs):
            return f"{k} * {name}"
    for k in FACTORS:
        if all(v * k == b for v, b in pairs):
            return f"{name} // {k}"
    return ""


def _names(body: Sequence[Term]) -> Iterator[str]:
    """Go over the names that a body uses."""
    for term in body:
        if term.kind in ("bind", "ref", "use"):
            yield term.name
        if term.label:
            yield term.label
        for _, value in term.values:
            if isinstance(value, Pipe):
                yield value.op
        yield from _names(term.parts)
