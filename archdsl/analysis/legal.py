"""Which input sizes a network accepts: exactly, for each of its symbols, from what its steps need.

A step needs a result of at least one row and column, and some need sizes to be equal (a `cat` of two branches) or one
to reach another (a `crop`). Each is a condition on a quasi-linear function of one input size, so from some size on it
repeats with its period: what is legal is a finite list and a pattern that repeats (`Legal`). Where a condition joins
two input sizes, as after `flatten`, the other one stands at its default.

A condition is a polynomial on each residue: linear, but where one size is an area, `H*H`. So it is known from which
multiple of the period on it keeps its answer, and sizes are looked at up to there only, a byte each.
"""

from __future__ import annotations

from math import gcd, isqrt, lcm

from archdsl.core.record import Record
from archdsl.core.sizes import Area, Size, SizeFault, symbols
from archdsl.diagnostics import errors
from archdsl.ir.liveness import needed
from archdsl.ir.network import Requirement, Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.core.sizes import Dim, Symbol
    from archdsl.diagnostics import CompileError
    from archdsl.ir.network import Network, Node

MOST_RANGES = 4  # printed; a longer list ends in an ellipsis
MAX_PIECES = 1 << 16  # ranges, and residues, of one answer; those of published networks have one
MAX_LOOKS = 1 << 25  # at sizes, for all conditions of a network: 0.2 s; published networks need under 1,000
LOOKS = 64  # what one residue of a condition takes, in looks at a size


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
        found = [candidate for low, high in self.ranges for candidate in (min(max(n, low), high),)]
        from_here = max(n, self.start)
        for residue in self.residues:
            above = from_here + (residue - from_here) % self.period
            found += [above, above - self.period] if above - self.period >= self.start else [above]
        return min(found, key=lambda size: (abs(size - n), -size), default=None)

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
        first = sorted(self.start + (residue - self.start) % self.period for residue in self.residues)
        blocks = runs([n + shift for shift in (0, self.period, 2 * self.period) for n in first])
        if len(blocks) <= 4:  # one block a period, perhaps cut in two by the end of the window
            return f"{_listed(blocks[:2])}, ..."
        kept = ", ".join(map(str, self.residues[:8])) + (", ..." if len(self.residues) > 8 else "")
        more = f" and ≥ {self.start}" if self.start > 1 else ""
        return f"{kept} modulo {self.period}{more}"

    def __str__(self) -> str:
        rule = self.rule()
        return f"{self.name} {rule}" if rule[0] in "≥d" else f"{self.name}: {rule.removeprefix('fixed: ')}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def because(self) -> str:
        """Return what limits the sizes: `: `maxpool` on line 17`, or nothing."""
        causes = [c for c in (self.pattern, self.least) if c is not None]
        return f", because of {' and '.join(map(str, dict.fromkeys(causes)))}" if causes else ""

    def to_dict(self) -> dict[str, object]:
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

    @property
    def symbols(self) -> set[Symbol]:
        """The input sizes that it is about."""
        return {*symbols(self.left), *symbols(self.right)}

    def of(self, symbol: Symbol) -> Condition:
        """Return the condition on one symbol, the others at their defaults."""
        left, right = alone(self.left, symbol), alone(self.right, symbol)
        try:
            return Condition(left - right, 0, self.at_least)
        except SizeFault:  # an area, or periods that have no common one within the limit of sizes
            return Condition(left, right, self.at_least)

    @property
    def smallest(self) -> int | None:
        """From which size on it holds, where it is that simple; None where it is not."""
        gap = self.left
        if self.right != 0 or not self.at_least or not isinstance(gap, Size) or gap.slope <= 0:
            return None
        reached = [n for n in gap.reaches(0) if n is not None]  # in each residue
        first = max(reached) - gap.period + 1
        return max(first, 1) if all(n >= first for n in reached) else None

    @property
    def period(self) -> int:
        """The period with which it repeats once it has settled."""
        period = 1
        for dim in (self.left, self.right):
            for size in factors(dim):
                period = period * size.period // gcd(period, size.period)
        return period

    @property
    def effort(self) -> int:
        """How many looks its course takes: at each residue, and where it is no line at the rounds until it settles."""
        gap = self.gap(0, self.period)
        return LOOKS * self.period * (bound(gap) if len(gap) > 2 else 1)

    def gap(self, residue: int, period: int) -> list[int]:
        """Return left - right on one residue as a polynomial."""
        left, right = polynomial(self.left, residue, period), polynomial(self.right, residue, period)
        length = max(len(left), len(right))
        gap = [a - b for a, b in zip(left + [0] * (length - len(left)), right + [0] * (length - len(right)))]
        while len(gap) > 1 and gap[-1] == 0:
            gap.pop()
        return gap

    def course(self) -> Course:
        """Return the sizes that meet the condition, residue by residue."""
        period = self.period
        table, odd = bytearray(), []
        for residue in range(period):
            later, different = _answers(self.gap(residue, period), self.at_least)
            table.append(later)
            odd += [(residue, run) for run in different if run]
        return Course(period, bytes(table), tuple(odd))


class AnyOf(Record):
    """A choice: one of several conditions is needed."""

    conditions: tuple[Condition, ...]
    smallest = None

    @property
    def symbols(self) -> set[Symbol]:
        """The input sizes that it is about."""
        return {symbol for one in self.conditions for symbol in one.symbols}

    def of(self, symbol: Symbol) -> AnyOf:
        """Return the choice for one symbol, the others at their defaults."""
        return AnyOf(tuple([one.of(symbol) for one in self.conditions]))

    @property
    def effort(self) -> int:
        """How many looks its courses take."""
        return sum([one.effort for one in self.conditions])

    def course(self) -> Courses:
        """Return the sizes that meet one of the conditions."""
        return Courses(tuple([one.course() for one in self.conditions]))


class Courses(Record):
    """The sizes of one of several courses."""

    parts: tuple[Course, ...]

    @property
    def masks(self) -> int:
        """How many masks are made for one."""
        return len(self.parts)

    @property
    def period(self) -> int:
        """The period with which the answer repeats."""
        return lcm(*[part.period for part in self.parts])

    @property
    def settled(self) -> int:
        """From which size on the answer repeats."""
        return max(part.settled for part in self.parts)

    def mask(self, start: int, stop: int) -> bytearray:
        """Return a 1 for each size from `start` up to, not including, `stop` that is legal, else a 0."""
        found = 0
        for part in self.parts:
            found |= int.from_bytes(part.mask(start, stop), "little")
        return bytearray(found.to_bytes(stop - start, "little"))


class Course(Record):
    """The sizes that meet a condition: those of residues with a 1 in `table`, but for a number of rounds in `odd`.

    An entry of `odd` is a residue r and the rounds k in which period*k + r has the other answer.
    """

    period: int
    table: bytes
    odd: tuple[tuple[int, range], ...]
    masks = 1

    @property
    def settled(self) -> int:
        """From which size on the answer repeats."""
        return max((self.period * rounds[-1] + residue + 1 for residue, rounds in self.odd), default=1)

    def mask(self, start: int, stop: int) -> bytearray:
        """Return a 1 for each size from `start` up to, not including, `stop` that is legal, else a 0."""
        period, offset, length = self.period, start % self.period, stop - start
        found = bytearray((self.table * (length // period + 2))[offset : offset + length])
        for residue, rounds in self.odd:
            first = max(rounds.start, -(-(start - residue) // period))
            at, count = period * first + residue - start, rounds.stop - first
            if count > 0:
                found[at : at + period * (count - 1) + 1 : period] = bytes([1 - self.table[residue]]) * count
        return found


def alone(dim: Dim, symbol: Symbol) -> Dim:
    """Return a dim as a function of one symbol, the others at their defaults."""
    if isinstance(dim, Size):
        return dim if dim.symbol is symbol else int(dim)
    if isinstance(dim, int):
        return dim
    total: Dim = dim.factor
    for size in dim.sizes:
        total = alone(size, symbol) * total
    return total


def factors(dim: Dim) -> tuple[Size, ...]:
    """Return the sizes that a dim is a product of."""
    return (dim,) if isinstance(dim, Size) else dim.sizes if isinstance(dim, Area) else ()


def polynomial(dim: Dim, residue: int, period: int) -> list[int]:
    """Return the coefficients of f(period*k + residue), of k**0 first."""
    total = [dim.factor if isinstance(dim, Area) else 1 if isinstance(dim, Size) else dim]
    for size in factors(dim):
        constant, slope = size.at(residue), size.slope * (period // size.period)
        total = [low * constant + high * slope for low, high in zip([*total, 0], [0, *total])]
    return total


def _answers(gap: list[int], at_least: bool) -> tuple[bool, list[range]]:
    """Say whether a polynomial is zero, or not negative, for all large k, and give the k >= 0 where that is not so."""
    constant, top = gap[0], gap[-1]
    if len(gap) == 1:
        return (constant >= 0 if at_least else constant == 0), []
    if len(gap) == 2 and at_least:
        return top > 0, [range(max(0, -(-constant // -top) if top > 0 else constant // -top + 1))]
    if len(gap) == 2:
        root = -constant // top
        return False, [range(root, root + 1)] if root >= 0 and root * top == -constant else []
    later = at_least and top > 0
    odd = []
    for k in range(bound(gap)):
        value = sum([coefficient * k**power for power, coefficient in enumerate(gap)])
        if (value >= 0 if at_least else value == 0) != later:
            odd.append(range(k, k + 1))
    return later, odd


def bound(gap: list[int]) -> int:
    """Return a number from which on a polynomial is not zero: Fujiwara's, rounded up."""
    degree = len(gap) - 1
    ratios = [(degree - power, abs(low) // abs(gap[-1]) + 1) for power, low in enumerate(gap[:-1]) if low]
    return 2 * max((ratio if root == 1 else isqrt(ratio) + 1 for root, ratio in ratios), default=0) + 1


def legal_sizes(network: Network, *, training: bool = False) -> tuple[Legal, ...]:
    """Return the legal values of each symbol of a network's inputs but the batch, in order.

    Steps that only outputs `when training` need are asked with `training`. Raises `CompileError` where the answer is
    a pattern beyond the limits.
    """
    found: dict[Symbol, dict[Condition | AnyOf, Node | Requirement]] = {s: {} for s in network.symbols}
    for condition, source in _conditions(network.scope, set(), set(), training):
        for symbol in condition.symbols:
            found[symbol].setdefault(condition, source)
    batch = {symbol for v in network.scope.inputs for symbol in symbols(network.scope.shapes[v][0])}
    looks = Looks()
    return tuple(_legal(symbol, found[symbol], looks) for symbol in network.symbols if symbol not in batch)


class Looks:
    """How many looks at sizes one network has taken."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, count: int, symbol: Symbol, source: Node | Requirement) -> None:
        """Count looks; too many are an error at the step that needs them."""
        self.count += count
        if self.count > MAX_LOOKS:
            raise _too_long(symbol, source)


def _too_long(symbol: Symbol, source: Node | Requirement) -> CompileError:
    reason = f"the legal sizes of `{symbol.name}` have no short pattern: more than {MAX_PIECES:,} pieces"
    return errors.size_limits(source.span, reason, ())


def _conditions(
    scope: Scope, seen: set[int], sizes: set[Size], training: bool
) -> Iterator[tuple[Condition | AnyOf, Node | Requirement]]:
    """Yield what the steps and the text need, inner ones at their own place, each distinct scope and size once."""
    if id(scope) in seen:
        return
    seen.add(id(scope))
    wanted = needed(scope)
    for node in scope.nodes:
        if not training and not wanted.intersection(node.outputs):
            continue
        if isinstance(node.what, Scope):
            yield from _conditions(node.what, seen, sizes, training)
            continue
        for value in node.outputs:
            for dim in scope.shapes[value][2:]:
                if isinstance(dim, Size) and dim not in sizes:
                    sizes.add(dim)
                    yield Condition(dim, 1, True), node
    for relation, node in scope.relations:
        if training or wanted.intersection(node.outputs):
            one = Condition(relation.left, relation.right, relation.at_least)
            other = relation.otherwise
            yield one if other is None else AnyOf((one, Condition(relation.left, other, False))), node
    for requirement in scope.requirements:
        choices = tuple([Condition(r.left, r.right, r.at_least) for r in requirement.relations])
        yield choices[0] if len(choices) == 1 else AnyOf(choices), requirement


def _legal(symbol: Symbol, conditions: dict[Condition | AnyOf, Node | Requirement], looks: Looks) -> Legal:
    start, least = 1, None
    others: dict[Condition | AnyOf, Node | Requirement] = {}
    for condition, node in conditions.items():
        one = condition.of(symbol)
        smallest = one.smallest
        if smallest is None:
            others.setdefault(one, node)
        elif smallest > start:
            start, least = smallest, node
    courses = []
    settled, period = start, 1
    for one, node in others.items():
        looks.take(one.effort, symbol, node)
        course = one.course()
        courses.append((course, node))
        settled, period = max(settled, course.settled), period * course.period // gcd(period, course.period)
        if period > MAX_PIECES:
            raise _too_long(symbol, node)
        looks.take(course.masks * (settled + period - start), symbol, node)
    every = (1 << 8 * (settled + period - start)) // 255  # a 1 in each byte
    legal, pattern = every, None
    for course, node in courses:
        mask = int.from_bytes(course.mask(start, settled + period), "little")
        pattern = node if pattern is None and mask != every else pattern
        legal &= mask
    members = runs_of(legal.to_bytes(settled + period - start, "little"), start)
    if len(members) > MAX_PIECES:
        raise _too_long(symbol, pattern or courses[0][1])
    return _compact(symbol.name, members, settled, period, _cause(least), _cause(pattern))


def _cause(source: Node | Requirement | None) -> Cause | None:
    if source is None:
        return None
    if isinstance(source, Requirement):
        return Cause("require", source.span.line)
    what = source.what
    return Cause(what.title or source.name if isinstance(what, Scope) else what.name, source.span.line)


def _compact(
    name: str, members: list[tuple[int, int]], settled: int, period: int, least: Cause | None, pattern: Cause | None
) -> Legal:
    """Return ranges of sizes as ranges and a pattern, the pattern as short and as early as it can be."""
    residues = {n % period for low, high in members for n in range(max(low, settled), high + 1)}
    for short in range(1, period):
        if period % short == 0 and all(((r + short) % period) in residues for r in residues):
            period, residues = short, {r % short for r in residues}
            break
    start = _earliest(members, settled, period, residues)
    if residues:
        while start % period not in residues:  # `≥ 32`, not `≥ 17`, where the multiples of 16 are legal
            start += 1
    ranges = tuple((low, min(high, start - 1)) for low, high in members if low < start)
    return Legal(name, ranges, start, period, tuple(sorted(residues)), least, pattern)


def _earliest(members: list[tuple[int, int]], settled: int, period: int, residues: set[int]) -> int:
    """Return from which size on a pattern holds."""
    if not residues or len(residues) == period:  # all or nothing: no need to go through the sizes one by one
        whole = bool(residues)
        below = [(low, high) for low, high in members if low < settled]
        if not below:
            return settled if whole else 1
        low, high = below[-1]
        if whole:
            return low if high >= settled - 1 else settled
        return high + 1
    legal = {n for low, high in members for n in range(low, high + 1)}
    start = settled
    while start > 1 and (((start - 1) % period) in residues) == (start - 1 in legal):
        start -= 1
    return start


def runs_of(mask: bytes, start: int) -> list[tuple[int, int]]:
    """Return the sizes with a 1 as ranges, the first byte being that of size `start`."""
    found = []
    at = mask.find(1)
    while at >= 0:
        end = mask.find(0, at)
        end = len(mask) if end < 0 else end
        found.append((start + at, start + end - 1))
        at = mask.find(1, end)
    return found


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
