"""Which positions of its input one position of a map sees, along one axis.

Windows, upsampling, transposed convolutions, adaptive pooling and margins all repeat: with a period P, position
`P*k + r` sees the positions from `A*k + low[r]` to `A*k + high[r]` for every k. `Reach` keeps `(P, A, spans)` in lowest
terms, so chains compose and branches unite exactly. A span is the hull of what is seen: the cells between the taps of
a dilated window are inside it. Positions may lie outside the map, in its padding.
"""

from __future__ import annotations

from functools import cache
from math import gcd

from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Span = tuple[int, int] | None  # first and last position seen; None where nothing is seen

MAX_PERIOD = 1 << 12  # resampling to sizes without a common factor multiplies periods; beyond this a hull is enough


class Reach(Record):
    """A periodic map from positions to spans: `period*k + r` sees `spans[r]`, moved by `advance*k`.

    >>> conv = Reach.window(kernel=3, stride=2, pad=1)
    >>> both = conv.then(conv, count=56)
    >>> both.size, both.stride, both.offset
    (7, 4.0, -3)
    """

    period: int
    advance: int
    spans: tuple[Span, ...]

    @staticmethod
    def same() -> Reach:
        """Each position sees itself."""
        return SAME

    @staticmethod
    def constant(low: int, high: int) -> Reach:
        """Every position sees the same span."""
        return Reach(1, 0, ((low, high),))

    @staticmethod
    @cache
    def window(kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> Reach:
        """A window that steps over its input, with `pad` positions before the first."""
        return Reach(1, stride, ((-pad, dilation * (kernel - 1) - pad),))

    @staticmethod
    @cache
    def spread(kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1) -> Reach:
        """A transposed window: position o sees j where `o = j*stride - pad + tap*dilation` for a tap of the window."""
        spans: list[Span] = []
        for r in range(stride):
            seen = [(r + pad - t * dilation) // stride for t in range(kernel) if not (r + pad - t * dilation) % stride]
            spans.append((min(seen), max(seen)) if seen else None)
        return _reduced(stride, 1, spans)

    @staticmethod
    def grid(size: int, cells: int) -> Reach:
        """A division of `size` positions into `cells` windows, as adaptive pooling makes it."""
        if cells == 1:
            return Reach.constant(0, size - 1)
        step = gcd(size, cells)
        period, advance = cells // step, size // step
        return _reduced(period, advance, [(r * size // cells, -(-(r + 1) * size // cells) - 1) for r in range(period)])

    @staticmethod
    def nearest(size: int, cells: int) -> Reach:
        """A resampling of `size` positions to `cells`, each of which is a copy of one."""
        step = gcd(size, cells)
        period, advance = cells // step, size // step
        return _reduced(period, advance, [(r * size // cells,) * 2 for r in range(period)])

    @staticmethod
    def linear(size: int, cells: int, align_corners: bool = False) -> Reach:
        """A resampling of `size` positions to `cells`, each of which lies between two, or on one."""
        if align_corners:
            return Reach._between(size - 1, max(cells - 1, 1), 0, 1)
        return Reach._between(size, cells, size - cells, 2)

    @staticmethod
    def _between(top: int, bottom: int, shift: int, scale: int) -> Reach:
        """Position i lies at `i * top/bottom + shift / (scale * bottom)`."""
        step = gcd(top, bottom)
        places = [(scale * r * top + shift, scale * bottom) for r in range(bottom // step)]
        return _reduced(bottom // step, top // step, [(n // d, -(-n // d)) for n, d in places])

    def at(self, position: int) -> Span:
        """Return what a position sees."""
        k, r = divmod(position, self.period)
        span = self.spans[r]
        return None if span is None else (span[0] + self.advance * k, span[1] + self.advance * k)

    def hull(self, first: int, last: int) -> Span:
        """Return what the positions from `first` to `last` see together."""
        seen: list[Span]
        if last - first < 2 * self.period:
            seen = [self.at(p) for p in range(first, last + 1)]
        else:  # every residue has its least span within one period of the first position, its greatest at the last
            ends = [*range(first, first + self.period), *range(last - self.period + 1, last + 1)]
            seen = [self.at(p) for p in ends]
        return _hull(seen)

    def then(self, outer: Reach, count: int) -> Reach:
        """Return what the `count` positions of `outer` see of this one's input, where they see positions of this one.

        A period beyond the limit gives way to the hull of what all of them see.
        """
        if self == SAME or outer == SAME:
            return outer if self == SAME else self
        times = self.period // gcd(self.period, outer.advance) if outer.advance else 1
        if outer.period * times > MAX_PERIOD:
            all_seen = outer.hull(0, count - 1)
            return Reach(1, 0, (None if all_seen is None else self.hull(*all_seen),))
        spans: list[Span] = []
        for position in range(outer.period * times):
            seen = outer.at(position)
            spans.append(None if seen is None else self.hull(*seen))
        return _reduced(outer.period * times, self.advance * outer.advance * times // self.period, spans)

    def union(self, other: Reach, count: int) -> Reach:
        """Return what either sees, for a map of `count` positions.

        Two that advance at different rates (a gate over the whole map beside the map) have no common period: every
        position is then said to see what all of them see together.
        """
        if self == other:
            return self
        period = self.period * other.period // gcd(self.period, other.period)
        if self.advance * other.period != other.advance * self.period or period > MAX_PERIOD:
            return Reach(1, 0, (_hull([self.hull(0, count - 1), other.hull(0, count - 1)]),))
        spans = [_hull([self.at(r), other.at(r)]) for r in range(period)]
        return _reduced(period, self.advance * (period // self.period), spans)

    # ------------------------------------------------------------ in figures
    @property
    def size(self) -> int:
        """How many positions one position sees at most, padding included."""
        return max([high - low + 1 for span in self.spans if span is not None for low, high in [span]], default=0)

    @property
    def stride(self) -> float:
        """By how many positions the span moves from one position to the next, on average; 0 where it stays."""
        return self.advance / self.period

    @property
    def offset(self) -> int:
        """The first position that position 0 (or the first that sees anything) sees; negative in the padding."""
        return next((span[0] for span in self.spans if span is not None), 0)


SAME = Reach(1, 1, ((0, 0),))


def _hull(spans: Iterable[Span]) -> Span:
    seen = [span for span in spans if span is not None]
    return (min([low for low, _ in seen]), max([high for _, high in seen])) if seen else None


def _reduced(period: int, advance: int, spans: list[Span]) -> Reach:
    """Build a reach in lowest terms."""
    for short in range(1, period):
        if period % short or advance * short % period:
            continue
        step = advance * short // period
        if all(spans[r] == _moved(spans[r - short], step) for r in range(short, period)):
            return Reach(short, step, tuple(spans[:short]))
    return Reach(period, advance, tuple(spans))


def _moved(span: Span, by: int) -> Span:
    return None if span is None else (span[0] + by, span[1] + by)
