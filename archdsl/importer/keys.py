"""Rules for a `.keys` file: the names of a module's weights, and what they are in its text.

A few rules for components of names say most: `block{i}-{j} = block{i}_{j}`. Those that are proposed are tried on all
names, and where they do not give the right ones, a rule for each layer does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archdsl.run.weights import rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Pair = tuple[str, str]

NUMBER = re.compile(r"\d+")


def rules_of(names: dict[str, str]) -> list[Pair]:
    """Return rules that turn the names on the left into those on the right, all of them.

    >>> rules_of({"f.0.block.2.weight": "f.0.block.1.weight", "f.1.block.2.weight": "f.1.block.1.weight"})
    [('block.2', 'block.1')]
    """
    layers = [*dict.fromkeys(_layer(old, new) for old, new in names.items() if old != new)]
    for pairs in (_cores(layers, 0), _cores(layers, 1), layers):
        pairs = [*pairs]
        for shifting in (True, False):
            proposed = [*dict.fromkeys(_holed(old, new, shifting) for old, new in pairs)]
            if _right(proposed, names):
                return proposed
    for proposed in (layers, layers[::-1], _in_two(layers)):
        if _right(proposed, names):
            return proposed
    raise AssertionError("a rule for each layer, by way of names that nothing else has, gives its name")


def left_out(unused: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return what rules name to leave out weights that the text does not have: a component that no other has, or all.

    >>> left_out(["a.index", "b.index", "c.weight"], ["a.weight"])
    ['index', 'c.weight']
    """
    others = {part for name in names for part in name.split(".")}
    lasts = [(name, name.rpartition(".")[2]) for name in unused]
    return [*dict.fromkeys(name if last in others else last for name, last in lasts)]


def _layer(old: str, new: str) -> Pair:
    """Return what differs between two names of a weight: a last part that both have is left out.

    It stays where a layer has become one within it, of which the rule would make a rule for all of the layer.
    """
    left, right = old.rpartition("."), new.rpartition(".")
    alike = left[2] == right[2] and left[0] and right[0] and not f"{right[0]}.".startswith(f"{left[0]}.")
    return (left[0], right[0]) if alike else (old, new)


def _right(proposed: Iterable[Pair], names: dict[str, str]) -> bool:
    made = [rule(*pair) for pair in proposed]
    for old, new in names.items():
        for one in made:
            old = one(old)
        if old != new:
            return False
    return True


def _cores(layers: Iterable[Pair], around: int) -> Iterator[Pair]:
    """Go over the components that differ, with some before them: one at least before a bare number."""
    for old, new in layers:
        left, right = old.split("."), new.split(".")
        same = 0
        while same < min(len(left), len(right)) - 1 and left[same] == right[same]:
            same += 1
        first = max(0, same - max(around, left[same].isdecimal()))
        left, right = left[first:], right[first:]
        while min(len(left), len(right)) > max(1, same - first + 1) and left[-1] == right[-1]:
            left, right = left[:-1], right[:-1]
        yield ".".join(left), ".".join(right)


def _holed(old: str, new: str, shifting: bool) -> Pair:
    """Put holes in the place of numbers that both names have, and with `shifting` of those that change."""
    numbers = [*zip(NUMBER.findall(old), NUMBER.findall(new))]
    if len(NUMBER.findall(old)) != len(NUMBER.findall(new)) or len(numbers) > 8:
        return old, new
    left, right = [], []
    for name, (one, two) in zip("ijklmnop", numbers):
        shift = int(two) - int(one)
        hole = not shift or shifting
        left.append(f"{{{name}}}" if hole else one)
        right.append((f"{{{name}{shift:+d}}}" if shift else f"{{{name}}}") if hole else two)
    ends = iter(left), iter(right)
    return NUMBER.sub(lambda _: next(ends[0]), old), NUMBER.sub(lambda _: next(ends[1]), new)


def _in_two(layers: Iterable[Pair]) -> list[Pair]:
    """Propose two rules a layer, by way of a name that nothing has, so that no rule meets what another has made."""
    longest = sorted(layers, key=lambda pair: -len(pair[0]))
    ways = [(old, f"moved{place}", new) for place, (old, new) in enumerate(longest)]
    return [*((old, way) for old, way, _ in ways), *((way, new) for _, way, new in ways)]
