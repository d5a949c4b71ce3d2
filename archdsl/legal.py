"""Which input sizes a network accepts: exactly, for each of its symbols, from what its steps need.

A step needs a result of at least one row and column, and some need sizes to be equal (a `cat` of two branches) or one
to reach another (a `crop`). Each is a condition on a quasi-linear function of one input size, so from some size on it
repeats with its period: what is legal is a finite list and a pattern that repeats (`Legal`). Where a condition joins
two input sizes, as after `flatten`, the other one stands at its default.
"""

from __future__ import annotations

from math import gcd

from archdsl.cost import needed
from archdsl.ir import Scope
from archdsl.record import Record
from archdsl.sizes import Area, Size, SizeFault, symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.ir import Network, Node
    from archdsl.sizes import Dim, Symbol

MOST_RANGES = 4  # printed; a longer list ends in an ellipsis


class Cause(Record):
    """A step that limits the sizes: what it is and the line it stands on."""

    step: str
    line: int

    def __str__(self) -> str:
        return f"`{self.step}` on line {self.line}"


class Legal(Record):
    """The legal values of one input size: those of `ranges`, and from `start` on those of `residues` modulo `period`.

    >>> from archdsl.compiler import compiled
    >>> for legal in legal_sizes(compiled("alexnet").network):
    ...     print(legal)
    H ≥ 63
    W ≥ 63
    >>> 62 in legal, legal.nearest(40)
    (False, 63)
    """

    name: str
    ranges: tuple[tuple[int, int], ...]
    start: int
    period: int
    residues: tuple[int, ...]
    least: Cause | None = None  # what needs the smallest size
    pattern: Cause | None = None  # what needs more than a smallest size

    unequal = ("least", "pattern")

    def __contains__(self, n: int) -> bool:
        if n >= self.start:
            return n % self.period in self.residues
        return any(low <= n <= high for low, high in self.ranges)

    def nearest(self, n: int) -> int | None:
        """Return the legal size nearest to n, the larger of two; None where no size is legal."""
        furthest = max(n, self.start) + self.period
        for distance in range(furthest + 1):
            for candidate in (n + distance, n - distance):
                if candidate >= 1 and candidate in self:
                    return candidate
        return None

    def rule(self) -> str:
        """Return what is legal in words: `≥ 63`, `divisible by 16`, `from 219 to 250`."""
        if not self.residues:
            return "fixed: " + _listed(self.ranges) if self.ranges else "no size"
        if self.ranges:
            return f"{_listed(self.ranges)}, and {self._repeated()}"
        return self._repeated()

    def _repeated(self) -> str:
        if len(self.residues) == self.period:
            return "any size" if self.start <= 1 else f"≥ {self.start}"
        if self.residues == (0,):
            more = f" and ≥ {self.start}" if self.start > self.period else ""
            return f"divisible by {self.period}{more}"
        blocks = runs([n for n in range(self.start, self.start + 3 * self.period) if n in self])
        if len(blocks) <= 4:  # one block a period, perhaps cut in two by the end of the window
            return f"{_listed(blocks[:2])}, ..."
        kept = ", ".join(map(str, self.residues[:8])) + (", ..." if len(self.residues) > 8 else "")
        more = f" and ≥ {self.start}" if self.start > 1 else ""
        return f"{kept} modulo {self.period}{more}"

    def __str__(self) -> str:
        rule = self.rule()
        return f"{self.name} {rule}" if rule[0] in "≥d" else f"{self.name}: {rule.removeprefix('fixed: ')}"

    def because(self) -> str:
        """Return what limits the sizes: `: `maxpool` on line 17`, or nothing."""
        causes = [c for c in (self.pattern, self.least) if c is not None]
        return f", because of {' and '.join(map(str, dict.fromkeys(causes)))}" if causes else ""

    def as_json(self) -> dict[str, object]:
        """Return the set as plain data."""
        causes = {"least": self.least, "pattern": self.pattern}
        return {
            "name": self.name,
            "rule": self.rule(),
            "ranges": [list(pair) for pair in self.ranges],
            "from": self.start,
            "period": self.period,
            "residues": list(self.residues),
            "because": {key: {"step": c.step, "line": c.line} for key, c in causes.items() if c is not None},
        }


def accepted(legal: tuple[Legal, ...]) -> str:
    """Return what a network accepts in a few words: `; H, W ≥ 63`, or nothing where it takes any size."""
    limited = [one for one in legal if one.rule() != "any size"]
    rules = list(dict.fromkeys(one.rule() for one in limited))
    texts = []
    for rule in rules:
        alike = [one for one in limited if one.rule() == rule]
        names = ", ".join(one.name for one in alike)
        texts.append(alike[0].replace(name=names))
    return "".join(f"; {text}" for text in texts)


class Condition(Record):
    """`left == right`, or with `at_least` `left >= right`, which a step needs."""

    left: Dim
    right: Dim
    at_least: bool

    def of(self, symbol: Symbol) -> Growth:
        """Return what must be zero, or with `at_least` not negative, as a function of one symbol."""
        left, right = alone(self.left, symbol), alone(self.right, symbol)
        return Growth(left - right, self.at_least)


class Growth(Record):
    """A quasi-linear function of a size that must be zero, or with `at_least` not negative."""

    gap: Dim
    at_least: bool

    def holds(self, n: int) -> bool:
        """Say whether a size meets the condition."""
        gap = self.gap.at(n) if isinstance(self.gap, Size) else int(self.gap)
        return gap >= 0 if self.at_least else gap == 0

    @property
    def period(self) -> int:
        """The period with which it repeats once it has settled."""
        return self.gap.period if isinstance(self.gap, Size) else 1

    @property
    def settled(self) -> int:
        """From which size on it repeats: in every residue, the gap has changed its sign for the last time."""
        if not isinstance(self.gap, Size) or self.gap.slope == 0:
            return 1
        rounds = max(abs(value) // abs(self.gap.slope) for value in self.gap.values) + 1
        return self.gap.period * (rounds + 1)

    @property
    def smallest(self) -> int | None:
        """From which size on it holds, where it is that simple; None where it is not."""
        gap = self.gap
        if not self.at_least or not isinstance(gap, Size) or gap.slope <= 0:
            return None
        least = max(n for n in gap.reaches(0) if n is not None)
        first = least
        while first > 1 and gap.at(first - 1) >= 0:
            first -= 1
        return first if all(gap.at(n) < 0 for n in range(1, first)) else None


def alone(dim: Dim, symbol: Symbol) -> Dim:
    """Return a dim as a function of one symbol, the others at their defaults."""
    if isinstance(dim, Size):
        return dim if dim.symbol is symbol else int(dim)
    if isinstance(dim, int):
        return dim
    total: Dim = dim.factor
    for size in dim.sizes:
        total = alone(size, symbol) * total
    if isinstance(total, Area):
        raise SizeFault(f"`{dim}` is not linear in `{symbol.name}`")
    return total


def legal_sizes(network: Network, *, training: bool = False) -> tuple[Legal, ...]:
    """Return the legal values of each symbol of a network's inputs but the batch, in order.

    Steps that only outputs `when training` need are asked with `training`.
    """
    found: dict[Symbol, dict[Condition, Cause]] = {s: {} for s in network.symbols}
    for condition, node in _conditions(network.scope, set(), training):
        for symbol in {*symbols(condition.left), *symbols(condition.right)}:
            if condition not in found[symbol]:
                what = node.what
                step = what.title or node.name if isinstance(what, Scope) else what.name
                found[symbol][condition] = Cause(step, node.span.line)
    batch = {symbol for v in network.scope.inputs for symbol in symbols(network.scope.shapes[v][0])}
    return tuple(_legal(symbol, found[symbol]) for symbol in network.symbols if symbol not in batch)


def _conditions(scope: Scope, seen: set[int], training: bool) -> Iterator[tuple[Condition, Node]]:
    """Yield what the steps need, inner ones at their own place, each distinct scope once."""
    if id(scope) in seen:
        return
    seen.add(id(scope))
    wanted = needed(scope)
    for node in scope.nodes:
        if not training and not wanted.intersection(node.outputs):
            continue
        if isinstance(node.what, Scope):
            yield from _conditions(node.what, seen, training)
            continue
        for value in node.outputs:
            for dim in scope.shapes[value][2:]:
                if isinstance(dim, Size):
                    yield Condition(dim, 1, True), node
    for relation, node in scope.relations:
        if training or wanted.intersection(node.outputs):
            yield Condition(relation.left, relation.right, relation.at_least), node


def _legal(symbol: Symbol, conditions: dict[Condition, Cause]) -> Legal:
    start, least = 1, None
    others: dict[Growth, Cause] = {}
    for condition, cause in conditions.items():
        growth = condition.of(symbol)
        smallest = growth.smallest
        if smallest is None:
            others.setdefault(growth, cause)
        elif smallest > start:
            start, least = smallest, cause
    settled, period = start, 1
    for growth in others:
        settled, period = max(settled, growth.settled), period * growth.period // gcd(period, growth.period)
    sizes = range(start, settled + period)
    members = [n for n in sizes if all(growth.holds(n) for growth in others)]
    pattern = next((cause for growth, cause in others.items() if not all(map(growth.holds, sizes))), None)
    return _compact(symbol.name, members, settled, period, least, pattern)


def _compact(
    name: str, members: list[int], settled: int, period: int, least: Cause | None, pattern: Cause | None
) -> Legal:
    """Return a list of sizes as ranges and a pattern, the pattern as short and as early as it can be."""
    residues = {n % period for n in members if n >= settled}
    for short in range(1, period):
        if period % short == 0 and all(((r + short) % period) in residues for r in residues):
            period, residues = short, {r % short for r in residues}
            break
    legal = set(members)
    start = settled
    while start > 1 and (((start - 1) % period) in residues) == (start - 1 in legal):
        start -= 1
    if residues:
        while start % period not in residues:  # `≥ 32`, not `≥ 17`, where the multiples of 16 are legal
            start += 1
    ranges = tuple(runs(sorted(n for n in legal if n < start)))
    return Legal(name, ranges, start, period, tuple(sorted(residues)), least, pattern)


def runs(sizes: list[int]) -> list[tuple[int, int]]:
    """Return ascending sizes as ranges, first and last."""
    found: list[tuple[int, int]] = []
    for n in sizes:
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found


def _listed(ranges: Sequence[tuple[int, int]]) -> str:
    texts = [str(low) if low == high else f"{low} to {high}" for low, high in ranges]
    return ", ".join(texts[:MOST_RANGES] + (["..."] if len(texts) > MOST_RANGES else []))
