"""The functions of the language, on plain values: no tensors, no effects, bounded results."""

from __future__ import annotations

from functools import reduce
from math import ceil as ceil_float
from math import exp, inf, isfinite, log, sqrt
from math import floor as floor_float

from archdsl.core.sizes import Size
from archdsl.elaborate.exact import ValueFault, below, negated, real
from archdsl.elaborate.values import Builtin, Quotient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_ITEMS = 100_000  # in one list or loop


class LimitFault(Exception):
    """A list or loop that is too long: what it is, and how long."""

    def __init__(self, what: str, count: int) -> None:
        super().__init__(what)
        self.what, self.count = what, count


FUNCTIONS: dict[str, Builtin] = {}


def function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function of the language under its Python name, less a trailing underscore."""
    name = call.__name__.rstrip("_")
    FUNCTIONS[name] = Builtin(name, call)
    return call


def whole(value: Any) -> int:
    """Return an integer as it is; anything else is a fault."""
    if type(value) is not int:
        raise ValueFault("needs an integer")
    return value


def listed(value: Any) -> tuple[Any, ...]:
    """Return a list as it is; anything else is a fault."""
    if not isinstance(value, tuple):
        raise ValueFault("needs a list")
    return value


def bounded(count: int, what: str) -> int:
    """Return a count, or raise `LimitFault` where it is beyond what is expanded."""
    if count > MAX_ITEMS:
        raise LimitFault(what, count)
    return count


@function
def len_(items: Any) -> int:
    """Return the number of items of a list, or of characters of a text."""
    if not isinstance(items, (tuple, str)):
        raise ValueFault("needs a list")
    return len(items)


@function
def range_(*bounds: Any) -> tuple[int, ...]:
    """Return the integers from `start` (0) up to, not including, `stop`, by `step` (1)."""
    if not 1 <= len(bounds) <= 3:
        raise ValueFault("takes one to three integers")
    if len(bounds) == 3 and bounds[2] == 0:
        raise ValueFault("needs a step other than 0")
    values = range(*map(whole, bounds))
    low, high, step = values.start, values.stop, values.step
    bounded((high - low) // step if (high - low) * step > 0 else 0, "a range is too long")
    return tuple(values)


@function
def enumerate_(items: Any) -> tuple[tuple[int, Any], ...]:
    """Return the items of a list, each with its number from 0."""
    return tuple(enumerate(listed(items)))


@function
def reversed_(items: Any) -> tuple[Any, ...]:
    """Return the items of a list, last first."""
    return listed(items)[::-1]


@function
def zip_(*lists: Any) -> tuple[tuple[Any, ...], ...]:
    """Return the first items of several lists, then their second items, and so on; the lists are of one length."""
    lengths = {len(listed(items)) for items in lists}
    if len(lengths) > 1:
        raise ValueFault(f"needs lists of one length, got {', '.join(map(str, sorted(lengths)))}")
    return tuple(zip(*lists))


@function
def min_(*values: Any) -> Any:
    """Return the smallest of several numbers, or of a list of them."""
    return reduce(lambda least, value: value if below(value, least) else least, _numbers(values))


@function
def max_(*values: Any) -> Any:
    """Return the largest of several numbers, or of a list of them."""
    return reduce(lambda most, value: value if below(most, value) else most, _numbers(values))


@function
def sum_(values: Any) -> Any:
    """Return the sum of a list of numbers."""
    return sum(_numbers((listed(values),), allow_empty=True))  # a list holds no quotients


@function
def abs_(value: Any) -> Any:
    """Return a number without its sign."""
    number = _number(value)
    return negated(number) if below(number, 0) else number


@function
def sqrt_(value: Any) -> float:
    """Return the square root of a number, a decimal one."""
    if _real(value) < 0:
        raise ValueFault("needs a number that is not negative")
    return sqrt(_real(value))


@function
def exp_(value: Any) -> float:
    """Return e to the power of a number."""
    return exp(_real(value)) if _real(value) < 709 else inf  # which is too large for whoever asked


@function
def log_(value: Any) -> float:
    """Return the natural logarithm of a number."""
    if _real(value) <= 0:
        raise ValueFault("needs a number above 0")
    return log(_real(value))


@function
def round_(value: Any) -> Any:
    """Return the nearest integer, the even one where two are equally near, as Python does."""
    if isinstance(value, Quotient):
        top, bottom = value.top, value.bottom
        if not isinstance(top, int):
            raise ValueFault("cannot round a size; use `floor` or `ceil`")
        floor, rest = divmod(top, bottom)
        return floor + (2 * rest > bottom or (2 * rest == bottom and floor % 2))
    return _exact(value) if not isinstance(value, float) else round(_finite(value))


@function
def floor_(value: Any) -> Any:
    """Return the largest integer not above a number; of a size divided by an integer, the floor for every size."""
    if isinstance(value, Quotient):
        return value.top // value.bottom
    return _exact(value) if not isinstance(value, float) else floor_float(_finite(value))


@function
def ceil_(value: Any) -> Any:
    """Return the smallest integer not below a number; of a size divided by an integer, the ceiling for every size."""
    if isinstance(value, Quotient):
        return (value.top + (value.bottom - 1)) // value.bottom
    return _exact(value) if not isinstance(value, float) else ceil_float(_finite(value))


@function
def int_(value: Any) -> Any:
    """Return a number without its fraction."""
    if isinstance(value, Quotient) and isinstance(value.top, int):
        return value.top // value.bottom if value.top >= 0 else -(-value.top // value.bottom)
    return _exact(value) if not isinstance(value, float) else int(_finite(value))


def _exact(value: Any) -> Any:
    if type(value) is not int and not isinstance(value, Size):
        raise ValueFault("needs a number")
    return value


def _real(value: Any) -> float:
    return real(_number(value))


def _finite(value: float) -> float:
    if not isfinite(value) or abs(value) > 2**62:
        raise ValueFault("needs a number within 64 bits")
    return value


def _number(value: Any) -> Any:
    exact = isinstance(value, Quotient) and type(value.top) is int
    if type(value) not in (int, float) and not exact:
        raise ValueFault("needs numbers")
    return value


def _numbers(values: tuple[Any, ...], allow_empty: bool = False) -> list[Any]:
    items = list(listed(values[0])) if len(values) == 1 else list(values)
    if not items and not allow_empty:
        raise ValueFault("needs at least one number")
    return [_number(item) for item in items]
