"""Numbers and sizes: exact where they are whole, quotients where they are not yet, bounded everywhere."""

from __future__ import annotations

import operator

from archdsl.core.sizes import Area, Size, SizeFault
from archdsl.diagnostics import errors
from archdsl.elaborate.builtins import MAX_ITEMS, LimitFault, bounded
from archdsl.elaborate.exact import NUMBERS, ValueFault, combine, divide, floor_divide, negated, plain, remainder
from archdsl.elaborate.values import Located, Quotient, RepeatValue, Tensor, describe, is_pipeline, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.diagnostics.errors import Unapplied

MAX_BITS = 63


def calculated(
    sign: str, left: Any, right: Any, span: Span, named: Callable[[], Unapplied | None] = lambda: None
) -> Any:
    """Return what `left sign right` is, of numbers, sizes, lists, texts and pipelines.

    A mistake asks where a pipeline beside the sign is `named`.
    """
    try:
        if _is_number(left) and _is_number(right):
            return checked(_ARITHMETIC[sign](left, right), span)
        if sign == "*" and type(right) is int and is_pipeline(left) and not isinstance(left, Tensor):
            return _repeated(left, right, span)
        if isinstance(left, tuple) and sign == "*" and type(right) is int:
            bounded(len(left) * max(right, 0), "a list is too long")
            return left * right
        if isinstance(left, tuple) and isinstance(right, tuple) and sign == "+":
            bounded(len(left) + len(right), "a list is too long")
            return left + right
        if isinstance(left, str) and isinstance(right, str) and sign == "+":
            bounded(len(left) + len(right), "a text is too long")
            return left + right
        tensors = any(isinstance(side, Tensor) or is_pipeline(side) for side in (left, right))
        raise errors.bad_operands(span, sign, describe(left), describe(right), tensors, named())
    except ZeroDivisionError:
        raise errors.bad_value(span, "division by zero") from None
    except OverflowError:
        raise errors.number_too_large(span) from None
    except LimitFault as fault:
        raise errors.limit_exceeded(span, fault.what, f"{fault.count} items", MAX_ITEMS) from None
    except (SizeFault, ValueFault) as fault:
        raise errors.size_limits(span, str(fault), ()) from None
    except TypeError:
        raise errors.bad_operands(span, sign, describe(left), describe(right)) from None


def _repeated(item: Any, count: int, span: Span) -> RepeatValue:
    if count < 0:
        raise errors.bad_value(span, f"cannot repeat {count} times")
    bounded(count, "too many repetitions")
    return RepeatValue(Located(item, span), count)


def power(base: Any, exponent: Any, span: Span) -> Any:
    """Return a number to the power of another: a quotient to that of an integer is exact."""
    if isinstance(base, Quotient) and type(exponent) is int:
        top, bottom = [power(side, abs(exponent), span) for side in (base.top, base.bottom)]
        return calculated("/", *((top, bottom) if exponent >= 0 else (bottom, top)), span)
    base, exponent = plain(base), plain(exponent)
    if type(base) not in (int, float) or type(exponent) not in (int, float):
        raise errors.bad_operands(span, "**", describe(base), describe(exponent))
    if type(base) is int and type(exponent) is int and exponent >= 0 and abs(base) > 1:
        if base.bit_length() * exponent > 2 * MAX_BITS:
            raise errors.number_too_large(span)
    try:
        value = base**exponent
    except (OverflowError, ZeroDivisionError):
        raise errors.number_too_large(span) from None
    if isinstance(value, complex):
        raise errors.bad_value(span, "a root of a negative number")
    return checked(value, span)


def negative(value: Any, span: Span) -> Any:
    """Return `-value`."""
    if not _is_number(value):
        raise errors.bad_operands(span, "-", "", describe(value))
    return negated(value)


def compared(sign: str, left: Any, right: Any, span: Span) -> bool:
    """Say whether `left sign right`; of sizes only where that has the same answer for all inputs."""
    if sign == "in":
        if not isinstance(right, tuple):
            raise errors.bad_operands(span, "in", describe(left), describe(right))
        return any(_same(left, item.item if isinstance(item, Located) else item) for item in right)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return bool(_ORDER[sign](left, right))
    if isinstance(left, (Size, Area)) or isinstance(right, (Size, Area)):
        if left == right:
            return sign in ("==", "<=", ">=")
        raise errors.symbolic_condition(span, f"{show(left)} {sign} {show(right)}")
    if sign in ("==", "!="):
        return _same(left, right) is (sign == "==")
    return _ordered(sign, plain(left), plain(right), span)


def _ordered(sign: str, left: Any, right: Any, span: Span) -> bool:
    numbers = type(left) in NUMBERS and type(right) in NUMBERS
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        raise errors.bad_operands(span, sign, describe(left), describe(right))
    return bool(_ORDER[sign](left, right))


def _is_number(value: Any) -> bool:
    return type(value) in NUMBERS or isinstance(value, (Size, Area, Quotient))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(plain(left) == plain(right))


def checked(value: Any, span: Span) -> Any:
    """Return a number that has not grown beyond 64 bits."""
    if type(value) is int:
        if value.bit_length() > MAX_BITS:
            raise errors.number_too_large(span)
    elif isinstance(value, Quotient):
        checked(value.bottom, span)
        checked(value.top, span)
    elif isinstance(value, Area):
        checked(value.factor, span)
    elif isinstance(value, Size):
        checked(value.slope, span)
        checked(max(value.values, key=abs), span)
    elif type(value) is float and value in (float("inf"), float("-inf")):
        raise errors.number_too_large(span)
    return value


_ORDER = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ARITHMETIC = {
    "+": combine("+", operator.add),
    "-": combine("-", operator.sub),
    "*": combine("*", operator.mul),
    "/": divide,
    "//": floor_divide,
    "%": remainder,
}
