"""Values in generated code.

A class is generated for several instances of a block at once, so a value in it is a column: one value an instance.
A `Term` is a column together with the expression that gives it: `4 * planes`. An expression is taken from the text
only where it gives the right value in every instance; that is checked here, so a wrong guess costs beauty, never truth.
"""

from __future__ import annotations

import re
from functools import cache

from archdsl.core.record import Record
from archdsl.core.source import Source
from archdsl.syntax import tree
from archdsl.syntax.parser import parse_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Column = tuple[object, ...]

ATOM, PRODUCT, SUM = 3, 2, 1  # how tightly an expression binds


class Term(Record):
    """An expression and its value in each instance."""

    text: str
    column: Column
    names: frozenset[str] = frozenset()  # the parameters and variables that the expression mentions
    binding: int = ATOM

    @property
    def literal(self) -> bool:
        """Whether the expression mentions no name."""
        return not self.names

    def within(self, level: int) -> str:
        """Return the text, in parentheses where it binds less tightly than `level`."""
        return self.text if self.binding >= level else f"({self.text})"


def literal(value: object, count: int = 1) -> Term:
    """Return a value that is the same in all instances, as itself."""
    return Term(python(value), (value,) * count)


def python(value: object) -> str:
    """Print a value as Python: a pair of equal numbers as one number, a float without noise."""
    value = collapsed(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(python(v) for v in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e6:
        return f"{value:.1f}"
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and text[0] == "'" and '"' not in text else text


def collapsed(value: object) -> object:
    """Return `(3, 3)` as 3, anything else as it is."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        return value[0]
    return value


# -------------------------------------------------------------------------------------------------- translation
def formula(text: str, names: dict[str, Term]) -> Term | None:
    """Translate a formula of an operator, `{dilation} * ({kernel} - 1) // 2`, over the terms of its fields."""
    return translate(_parsed(text), names)


@cache  # the operators have a few
def _parsed(text: str) -> tree.Expr:
    text = text.replace("{in}", "in_channels")
    return parse_value(Source("<formula>", re.sub(r"\{(\w+)\}", r"\1", text)))


def translate(expr: tree.Expr, names: dict[str, Term]) -> Term | None:
    """Translate an expression of the text to Python over known names; None where it says more than arithmetic."""
    if isinstance(expr, tree.Literal):
        return literal(expr.value, _count(names))
    if isinstance(expr, tree.Name):
        return names.get(expr.plain or "")
    if isinstance(expr, tree.Attribute) and isinstance(expr.value, tree.Name):
        return names.get(f"{expr.value.plain}.{expr.name}")
    if isinstance(expr, tree.Arithmetic):
        return _arithmetic(expr, names)
    return None


def _count(names: dict[str, Term]) -> int:
    return len(next(iter(names.values())).column) if names else 1


def _arithmetic(expr: tree.Arithmetic, names: dict[str, Term]) -> Term | None:
    term = translate(expr.first, names)
    for sign, operand in expr.rest:
        right = translate(operand, names)
        if term is None or right is None:
            return None
        term = _apply(sign, term, right)
    return term


def _apply(sign: str, left: Term, right: Term) -> Term | None:
    columns = list(zip(left.column, right.column))
    if not all(type(a) is int and type(b) is int for a, b in columns):
        return None
    if sign in ("/", "//", "%") and any(b == 0 for _, b in columns):
        return None
    if sign == "/" and any(a % b for a, b in columns):  # type: ignore[operator]
        return None
    values = tuple(_SIGNS[sign](a, b) for a, b in columns)
    if left.literal and right.literal and len(set(values)) == 1:
        return literal(values[0], len(values))
    if sign in ("*", "/", "//") and right.text == "1":
        return left
    if sign == "*" and left.text == "1":
        return right
    if sign in "+-" and right.text == "0":
        return left
    level = SUM if sign in "+-" else PRODUCT
    shown = "//" if sign == "/" else sign
    return Term(f"{left.within(level)} {shown} {right.within(level + 1)}", values, left.names | right.names, level)


_SIGNS: dict[str, Callable[..., object]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


def added(terms: list[Term]) -> Term:
    """Return the sum of terms, equal ones counted: `2 * channels`, `in_channels + growth`."""
    unique: dict[str, tuple[Term, int]] = {}
    for term in terms:
        unique[term.text] = (term, unique.get(term.text, (term, 0))[1] + 1)
    values = tuple(sum(column) for column in zip(*(t.column for t in terms)))
    if all(t.literal for t in terms):
        return literal(values[0], len(values))
    texts = [t.text if n == 1 else f"{n} * {t.within(_factor(t))}" for t, n in unique.values()]
    names = frozenset[str]().union(*(t.names for t in terms))
    return Term(" + ".join(texts), values, names, PRODUCT if len(texts) == 1 else SUM)


def _factor(term: Term) -> int:
    """Return how tightly a term must bind after a factor: `2 * (c // 2)` is another number than `2 * c // 2`."""
    return ATOM if "//" in term.text or "%" in term.text else PRODUCT
