"""Symbolic sizes: exact functions of one input size.

Every spatial size in a network is built from an input size by floor division, offsets and whole multiples, so as a
function of H it is *quasi-linear*: with a period P, `f(P*k + r) = A*k + v[r]` for every k and every residue r < P.
`Size` keeps `(P, A, v)` in lowest terms, so two sizes are the same function exactly when they are the same value;
equality, divisibility and lower bounds are decided residue by residue and need no solver.

A `Dim` is an int or a `Size`; the rules of the operators are written once over both.
"""

from __future__ import annotations

from functools import cache, lru_cache, wraps
from math import gcd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar, Union

    P = ParamSpec("P")
    R = TypeVar("R")
    Dim = Union[int, "Size", "Area"]  # noqa: UP007 — the classes come later
    Shape = tuple[Dim, ...]

MAX_PERIOD = 1 << 14  # the product of strides on one path; published networks reach 64


# What is remembered between calls: many sizes of short periods, as networks have, and few of long ones, 0.5 MB each.
SHORT, MOST_SHORT, MOST_LONG = 64, 8192, 64
MOST_VALUES = 16  # of a period that are printed, where a size is nothing but a table


class SizeFault(ValueError):
    """A size that cannot be expressed: the message is a bare reason, without a place."""


def remembered(call: Callable[P, R]) -> Callable[P, R]:
    """Keep what a function of a dim has returned, in bounded memory."""
    short, long = lru_cache(MOST_SHORT)(call), lru_cache(MOST_LONG)(call)

    @wraps(call)
    def recall(*args: Any, **kwargs: Any) -> Any:
        dim = args[0]
        known = long if isinstance(dim, Size) and dim.period > SHORT else short
        return known(*args, **kwargs)

    return recall


class Symbol:
    """One input size, `H` say, and the value at which cost is evaluated by default."""

    def __init__(self, name: str, default: int) -> None:
        self.name, self.default = name, default

    def __repr__(self) -> str:
        return f"{self.name}={self.default}"


class Size:
    """A quasi-linear function of one `Symbol`: `f(period*k + r) = slope*k + values[r]`.

    >>> H = Size.of(Symbol("H", 224))
    >>> half = (H + 1) // 2
    >>> str(half), int(half)
    ('ceil(H/2)', 112)
    >>> ((half + 1) // 2) == (H + 3) // 4
    True
    """

    __slots__ = ("_default", "_hash", "_shown", "period", "slope", "symbol", "values")

    def __init__(self, symbol: Symbol, period: int, slope: int, values: tuple[int, ...]) -> None:
        self.symbol, self.period, self.slope, self.values = symbol, period, slope, values
        self._hash = hash((id(symbol), period, slope, values))
        self._default = self.at(symbol.default)
        self._shown = ""

    @staticmethod
    def of(symbol: Symbol) -> Size:
        """Return the symbol itself as a size."""
        return Size(symbol, 1, 1, (0,))

    def at(self, n: int) -> int:
        """Return the size when the symbol is `n`."""
        k, r = divmod(n, self.period)
        return self.slope * k + self.values[r]

    def __int__(self) -> int:
        return self._default

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Size)
            and self.symbol is other.symbol
            and self.period == other.period
            and self.slope == other.slope
            and self.values == other.values
        )

    def __hash__(self) -> int:
        return self._hash

    # ------------------------------------------------------------ arithmetic
    def __add__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return _size(self.symbol, self.period, self.slope, tuple([v + other for v in self.values]))
        if not isinstance(other, Size) or other.symbol is not self.symbol:
            raise SizeFault(f"`{self}` and `{other}` depend on different input sizes and cannot be added")
        period = self.period * other.period // gcd(self.period, other.period)
        slope = self.slope * (period // self.period) + other.slope * (period // other.period)
        return _size(self.symbol, period, slope, tuple([self.at(r) + other.at(r) for r in range(_bounded(period))]))

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + (-other)

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return _size(self.symbol, self.period, self.slope * other, tuple([v * other for v in self.values]))
        return Area.of(self) * other

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Dim:
        return _floor_div(self, divisor)

    def __mod__(self, divisor: int) -> Dim:
        return self - self // divisor * divisor

    def is_multiple_of(self, divisor: int) -> bool:
        """Say whether `divisor` divides the size for every value of the symbol."""
        return self.slope % divisor == 0 and all(v % divisor == 0 for v in self.values)

    # ------------------------------------------------------------ bounds
    def reaches(self, least: int, *, start: int = 1) -> tuple[int | None, ...]:
        """Return, for each residue, the smallest n >= start with f(n) >= least; None where there is none.

        Growing sizes only: a size that shrinks as its input grows is answered at its start.
        """
        found: list[int | None] = []
        for r, v in enumerate(self.values):
            k0 = max(0, -(-(start - r) // self.period))
            if self.slope <= 0:
                found.append(r + self.period * k0 if self.slope * k0 + v >= least else None)
                continue
            k = max(k0, -(-(least - v) // self.slope))
            found.append(r + self.period * k)
        return tuple(found)

    def __str__(self) -> str:
        if not self._shown:
            self._shown = _text(self)
        return self._shown

    __repr__ = __str__


class Area:
    """A product of sizes of different symbols, such as the features that `flatten` leaves: `512*(H//32)*(W//32)`."""

    __slots__ = ("factor", "sizes")

    def __init__(self, factor: int, sizes: tuple[Size, ...]) -> None:
        self.factor, self.sizes = factor, sizes

    @staticmethod
    def of(dim: Dim) -> Area:
        """Return an int or a size as a product."""
        if isinstance(dim, Area):
            return dim
        return Area(dim, ()) if isinstance(dim, int) else _primitive(dim)

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, int):
            return Area(self.factor * other, self.sizes) if other else 0
        right = Area.of(other)
        sizes = tuple(sorted(self.sizes + right.sizes, key=_order))
        factor = self.factor * right.factor
        return Area(factor, sizes) if factor and sizes else factor

    __rmul__ = __mul__

    def __int__(self) -> int:
        return _product([self.factor, *map(int, self.sizes)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Area) and (self.factor, self.sizes) == (other.factor, other.sizes)

    def __hash__(self) -> int:
        return hash((self.factor, self.sizes))

    def _unsupported(self, *_: object) -> Dim:
        raise SizeFault(f"`{self}` is a product of sizes: it can only be multiplied")

    __add__ = __radd__ = __sub__ = __rsub__ = __floordiv__ = __mod__ = _unsupported

    def __neg__(self) -> Dim:
        return self * -1

    def __str__(self) -> str:
        texts = [str(self.factor)] if self.factor != 1 or not self.sizes else []
        return "*".join([*texts, *[_factor(str(size)) for size in self.sizes]])

    __repr__ = __str__


@remembered
def _primitive(size: Size) -> Area:
    """Return a size as a factor times one whose values have no common divisor."""
    shared = gcd(size.slope, *size.values)
    values = tuple([value // shared for value in size.values])
    return Area(shared, (Size(size.symbol, size.period, size.slope // shared, values),))


def _order(size: Size) -> tuple[str, int, int, tuple[int, ...]]:
    return size.symbol.name, size.period, size.slope, size.values


def product(dims: tuple[Dim, ...] | list[Dim]) -> Dim:
    """Multiply dims: an int where all are ints, a `Size` where one is symbolic, else an `Area`."""
    factor, sizes = 1, []
    for dim in dims:
        if isinstance(dim, int):
            factor *= dim
        else:
            sizes.append(dim)
    if not sizes:
        return factor
    total: Dim = sizes[0]
    for size in sizes[1:]:
        total = size * total
    return total * factor


@remembered
def window(dim: Dim, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1, ceil: bool = False) -> Dim:
    """Return how many windows fit along one axis, as PyTorch counts them.

    `pad` is added on both sides. With `ceil`, a last window may overhang, but must start inside the input or its
    left padding (the extra rule of ceil-mode pooling); that rule depends on a residue only, so it stays exact.
    A result below 1 means that no window fits.
    """
    reach = dilation * (kernel - 1) + 1
    room = dim + (2 * pad - reach)
    if not ceil:
        return room // stride + 1
    steps = (room + (stride - 1)) // stride
    overhang = steps * stride - room
    return steps + 1 - _indicator(overhang, reach - pad)


def padded_same(dim: Dim, kernel: int, stride: int = 1, dilation: int = 1) -> Dim:
    """Return a size with the margins that give `ceil(size / stride)` windows a place, as TensorFlow pads.

    How much is missing depends on a residue only, so it stays exact.
    """
    missing = ((dim + (stride - 1)) // stride - 1) * stride + dilation * (kernel - 1) + 1 - dim
    if isinstance(missing, Size):
        return dim + _size(missing.symbol, missing.period, 0, tuple([max(v, 0) for v in missing.values]))
    return dim + max(int(missing), 0)


NUMBER = Symbol("n", 1)  # what a law is a function of
MOST_TERMS = 4  # quotients in the code of a law


def law_between(known: Dim, wanted: Size) -> Dim | None:
    """Return what makes one size of another, as a function of `NUMBER`: None where nothing of one input size does.

    >>> H = Size.of(Symbol("H", 224))
    >>> str(law_between(H * 2, H + 1)), law_between(H // 2, H)
    ('n//2 + 1', None)
    """
    if not isinstance(known, Size) or known.symbol is not wanted.symbol or known.slope < 1:
        return None
    period = _bounded(known.period * wanted.period // gcd(known.period, wanted.period))
    step, growth = known.slope * (period // known.period), wanted.slope * (period // wanted.period)
    found: dict[int, int] = {}
    for residue in range(period):
        rounds, place = divmod(known.at(residue), _bounded(step))
        if found.setdefault(place, value := wanted.at(residue) - rounds * growth) != value:
            return None
    return _size(NUMBER, step, growth, _filled(found, step, growth))


def _filled(found: dict[int, int], period: int, growth: int) -> tuple[int, ...]:
    """Return a value for each residue: for one that never occurs, what a line from the one before it leads to."""
    values, before = [], max(found) - period
    for place in range(period):
        if place in found:
            before = place
        start = found[before] if before >= 0 else found[before + period] - growth
        values.append(start + (place - before) * growth // period)
    return tuple(values)


def followed(law: Dim, dim: Dim) -> Dim:
    """Return what a law makes of a size."""
    if isinstance(law, int) or isinstance(dim, int):
        return law if isinstance(law, int) else law.at(int(dim))  # type: ignore[union-attr]
    assert isinstance(law, Size), "a law is a function of one number"
    assert isinstance(dim, Size), "a law is of one size"
    period = _bounded(dim.period * (law.period // gcd(law.period, dim.slope)))
    rounds = dim.slope * (period // dim.period) // law.period
    return _size(dim.symbol, period, rounds * law.slope, tuple([law.at(dim.at(r)) for r in range(period)]))


def in_python(law: Dim, number: str) -> str:
    """Return a law as an expression of Python, of a number that binds tightly: `(n + 1) // 2`."""
    if isinstance(law, int):
        return str(law)
    assert isinstance(law, Size), "a law is a function of one number"
    period, steps = law.period, _steps(law)
    jumps = [jump for _, jump in steps]
    if law.slope == 0 and len(jumps) == period and len({*jumps}) == 2:
        for growth in {*jumps}:
            if jumps.count(growth) == period - 1:
                return _remainder_in_python(law, number, growth)
    if len(steps) > MOST_TERMS:
        return _share_in_python(law, number)
    terms = [(jump, _quotient_in_python(number, period - at, period)) for at, jump in sorted(steps, key=_falls)]
    text = "".join([_term_in_python(*term, first=place == 0) for place, term in enumerate(terms)])
    return _offset(text, law.values[0])


def _remainder_in_python(law: Size, number: str, growth: int) -> str:
    """Return a law that grows, or falls, by the same amount until it starts again: `n % 7`, `-n % 4`."""
    least = min(law.values)
    place = law.values.index(least)
    if growth > 0:
        turned = f"({number} + {law.period - place})" if place else number
    else:
        turned = f"({place} - {number})" if place else f"-{number}"
    text = f"{turned} % {law.period}"
    return _offset(text if abs(growth) == 1 else f"{abs(growth)} * ({text})", least)


def _share_in_python(law: Size, number: str) -> str:
    """Return a part of a remainder, which half of what a multiple lacks is: `-n % 32 // 2`."""
    period, values = law.period, law.values
    for divisor in (2, 3, 4) if law.slope == 0 and period <= SHORT else ():
        for sign, start, more in [(s, at, m) for s in (-1, 1) for at in range(period) for m in range(divisor)]:
            if all((sign * (n - start) % period + more) // divisor == value for n, value in enumerate(values)):
                rest = Size(NUMBER, period, 0, tuple([sign * (n - start) % period for n in range(period)]))
                text = _remainder_in_python(rest, number, sign)
                return f"({text} + {more}) // {divisor}" if more else f"{text} // {divisor}"
    raise SizeFault(f"`{law}` of n, a size of a tensor, is no short formula")


def _quotient_in_python(number: str, offset: int, period: int) -> str:
    if period == 1:
        return number
    return f"({number} + {offset}) // {period}" if offset else f"{number} // {period}"


def _term_in_python(factor: int, text: str, *, first: bool) -> str:
    sign = ("-" if factor < 0 else "") if first else (" - " if factor < 0 else " + ")
    body = f"({text})" if " " in text and (sign or abs(factor) > 1) else text
    return f"{sign}{body}" if abs(factor) == 1 else f"{sign}{abs(factor)} * {body}"


def symbols(dim: Dim) -> tuple[Symbol, ...]:
    """Return the input sizes that a dim depends on."""
    if isinstance(dim, Size):
        return (dim.symbol,) if dim.slope or dim.period > 1 else ()
    return tuple(s.symbol for s in dim.sizes) if isinstance(dim, Area) else ()


def _indicator(dim: Dim, least: int) -> Dim:
    """Return 1 where a periodic dim is at least `least`, else 0."""
    if isinstance(dim, int):
        return int(dim >= least)
    assert isinstance(dim, Size), "an overhang is an int or a size"
    assert dim.slope == 0, "an overhang does not grow with the input"
    return _size(dim.symbol, dim.period, 0, tuple([int(v >= least) for v in dim.values]))


@remembered
def _floor_div(size: Size, divisor: int) -> Dim:
    if divisor <= 0:
        raise SizeFault(f"`{size}` cannot be divided by {divisor}")
    grow = divisor // gcd(size.slope, divisor)
    period, slope = _bounded(size.period * grow), size.slope
    values = tuple([(slope * i + v) // divisor for i in range(grow) for v in size.values])
    return _size(size.symbol, period, slope * grow // divisor, values)


def _bounded(period: int) -> int:
    if period > MAX_PERIOD:
        raise SizeFault(f"the strides on one path multiply to {period}; the limit is {MAX_PERIOD}")
    return period


def _size(symbol: Symbol, period: int, slope: int, values: tuple[int, ...]) -> Dim:
    """Build a size in lowest terms; a constant becomes an int."""
    for p in _prime_factors(period):
        while period % p == 0 and slope % p == 0:
            short = period // p
            step = slope // p
            if any(values[r] != values[r - short] + step for r in range(short, period)):
                break
            period, slope, values = short, step, values[:short]
    if slope == 0 and period == 1:
        return values[0]
    return Size(symbol, period, slope, values)


@cache  # of periods, which are bounded
def _prime_factors(n: int) -> tuple[int, ...]:
    found, p = [], 2
    while p * p <= n:
        if n % p == 0:
            found.append(p)
            while n % p == 0:
                n //= p
        p += 1
    return (*found, n) if n > 1 else tuple(found)


def _product(values: list[int]) -> int:
    total = 1
    for value in values:
        total *= value
    return total


def _text(size: Size) -> str:
    """Print a size as a reader would write it: `H`, `2*H - 1`, `ceil(H/32)`, `2*((H + 3)//8) + 1`."""
    name, period, values = size.symbol.name, size.period, size.values
    if period == 1:
        return _linear(name, size.slope, values[0])
    steps = _steps(size)
    if len(steps) > 2:
        table = f"{_table(values)}[{name} % {period}]"
        return f"{_linear(f'{name}//{period}', size.slope, 0)} + {table}" if size.slope else table
    # f(n) = values[0] + the sum over steps of jump * ((n + period - at) // period)
    terms = [_linear(_quotient(name, period - at, period), jump, 0) for at, jump in sorted(steps, key=_falls)]
    return _offset(" + ".join(terms).replace("+ -", "- "), values[0])


def _table(values: tuple[int, ...]) -> str:
    if len(values) <= MOST_VALUES:
        return str(list(values))
    return f"[{', '.join(map(str, values[: MOST_VALUES - 1]))}, ..., {values[-1]}]"


def _steps(size: Size) -> list[tuple[int, int]]:
    """Return where in its period a size changes, from 1 on, and by how much."""
    values = [*size.values, size.slope + size.values[0]]
    return [(at, values[at] - values[at - 1]) for at in range(1, size.period + 1) if values[at] != values[at - 1]]


def _falls(step: tuple[int, int]) -> bool:
    """Say whether a step is one down: those are written last."""
    return step[1] < 0


def _quotient(name: str, offset: int, period: int) -> str:
    if offset == 0:
        return f"{name}//{period}"
    if offset == period - 1:
        return f"ceil({name}/{period})"
    return f"({name} + {offset})//{period}"


def _linear(term: str, slope: int, offset: int) -> str:
    if abs(slope) != 1:
        return _offset(f"{slope}*{_factor(term)}", offset)
    return _offset(term if slope == 1 else f"-{_factor(term)}", offset)


def _offset(text: str, offset: int) -> str:
    return text if not offset else f"{text} {'-' if offset < 0 else '+'} {abs(offset)}"


def _factor(text: str) -> str:
    """Put a text in parentheses unless it can be multiplied as it stands: `H`, `2*H`, `ceil(H/2)`."""
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth == 0 and char in "/ ":
            return f"({text})"
    return text
