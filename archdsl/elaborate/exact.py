"""Exact numbers: integers, sizes, and quotients of them that are not whole (yet); beside a decimal number, decimal."""

from __future__ import annotations

from math import gcd

from archdsl.core.sizes import Area, Size
from archdsl.elaborate.values import Quotient, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NUMBERS = (int, float)


class ValueFault(Exception):
    """A value that a function or a sign refuses: a bare reason, without a place."""


def plain(value: Any) -> Any:
    """Return a quotient of integers as a real number, and anything else as it is."""
    return value.top / value.bottom if isinstance(value, Quotient) and isinstance(value.top, int) else value


def divide(left: Any, right: Any) -> Any:
    """Divide exactly: an integer or size where it divides, else a quotient, which `floor`, `ceil`, `round` take."""
    if isinstance(left, float) or isinstance(right, float):
        return real(left) / real(right)
    if isinstance(right, Quotient):
        top, bottom = parts(left)
        return divide(top * right.bottom, bottom * right.top)
    if isinstance(left, Quotient):
        return divide(left.top, left.bottom * right)
    if type(right) is not int:
        raise ValueFault(f"`{right}` is a size, and cannot divide")
    if right == 0:
        raise ZeroDivisionError
    if right < 0:
        left, right = -left, -right
    if isinstance(left, int):
        return left // right if left % right == 0 else Quotient(left, right)
    if isinstance(left, Size) and left.is_multiple_of(right):
        return left // right
    return Quotient(left, right)


def combine(sign: str, apply: Callable[[Any, Any], Any]) -> Any:
    """Return the function that `+`, `-` or `*` is, which `apply` is of integers and sizes."""

    def calculate(left: Any, right: Any) -> Any:
        if isinstance(left, float) or isinstance(right, float):
            return apply(real(left), real(right))
        if isinstance(left, Quotient) or isinstance(right, Quotient):
            return _fractions(sign, left, right)
        return apply(left, right)

    return calculate


def _fractions(sign: str, left: Any, right: Any) -> Any:
    (a, b), (c, d) = parts(left), parts(right)
    if sign == "*":
        return reduced(a * c, b * d)
    return reduced(a * d + c * b if sign == "+" else a * d - c * b, b * d)


def parts(value: Any) -> tuple[Any, int]:
    """Return what is divided, and by what: a number that is no quotient by 1."""
    return (value.top, value.bottom) if isinstance(value, Quotient) else (value, 1)


def reduced(top: Any, bottom: int) -> Any:
    """Divide exactly, in lowest terms, so that a long sum stays within 64 bits."""
    common = gcd(top, bottom) if type(top) is int else 1
    return divide(top // common, bottom // common) if common > 1 else divide(top, bottom)


def below(left: Any, right: Any) -> bool:
    """Say whether a number is less than another: of integers and quotients exactly."""
    if isinstance(left, float) or isinstance(right, float):
        return bool(real(left) < real(right))
    (a, b), (c, d) = parts(left), parts(right)
    return bool(a * d < c * b)


def floor_divide(left: Any, right: Any) -> Any:
    """Return the largest integer, or size, not above a quotient."""
    if isinstance(left, float) or isinstance(right, float):
        return real(left) // real(right)
    (a, b), (c, d) = parts(left), parts(right)
    if type(c) is not int:
        raise TypeError
    return a * d // (b * c)


def remainder(left: Any, right: Any) -> Any:
    """Return what a division leaves: of quotients, what is left of the first without whole multiples of the second."""
    if isinstance(left, float) or isinstance(right, float):
        return real(left) % real(right)
    if type(right) is int and not isinstance(left, Quotient):
        return left % right
    (a, b), (c, d) = parts(left), parts(right)
    if type(a) is not int or type(c) is not int:
        raise TypeError
    return reduced(a * d % (c * b), b * d)


def negated(value: Any) -> Any:
    """Return `-value`."""
    return Quotient(-value.top, value.bottom) if isinstance(value, Quotient) else -value


def real(value: Any) -> float:
    """Return a number as a decimal one; a size has none."""
    if type(value) in NUMBERS:
        return float(value)
    if isinstance(value, Quotient) and isinstance(value.top, int):
        return value.top / value.bottom
    if isinstance(value, (Size, Area, Quotient)):
        raise ValueFault(f"`{show(value)}` is a size; it cannot meet a decimal number")
    return float(value)
