"""Exact numbers: what signs and functions make of integers and quotients is what fractions give."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from archdsl.core.source import Source
from archdsl.diagnostics import CompileError
from archdsl.elaborate.context import Context
from archdsl.elaborate.environment import File
from archdsl.elaborate.expressions import evaluate
from archdsl.elaborate.values import Quotient
from archdsl.project import Project
from archdsl.syntax.parser import parse_value
from tests.codegen.test_terms import SIGNS

EMPTY = Project().text("fn same(a) = a\n")
FUNCTIONS = {"max": max, "min": min, "abs": abs, "int": int, "floor": math.floor, "ceil": math.ceil, "round": round}


def evaluated(text: str, file: File = EMPTY) -> object:
    """Return the value of an expression, which need not be whole."""
    return evaluate(Context(), parse_value(Source("<test>", text)), file.env, None)


def meant(text: str) -> Fraction:
    """Return what the language makes of an expression, as a fraction."""
    value = evaluated(text)
    return Fraction(value.top, value.bottom) if isinstance(value, Quotient) else Fraction(value)


def drawn(rng: random.Random, depth: int) -> tuple[str, Fraction]:
    """Return arithmetic at random, and its value in fractions."""
    if not depth:
        number = rng.randint(1, 12)
        return str(number), Fraction(number)
    parts = [drawn(rng, depth - 1) for _ in range(3)]
    if rng.random() < 0.4:
        name = rng.choice(list(FUNCTIONS))
        taken = parts if name in ("max", "min") else parts[:1]
        value = FUNCTIONS[name](*[value for _, value in taken])
        return f"{name}({', '.join(text for text, _ in taken)})", Fraction(value)
    sign, (left, a), (right, b) = rng.choice(list(SIGNS)), *parts[:2]
    if sign in ("/", "//", "%") and b == 0:
        sign = "-"
    return f"({left}) {sign} ({right})", Fraction(SIGNS[sign](a, b))


@pytest.mark.parametrize("seed", range(4))
def test_signs_and_functions_are_those_of_fractions(seed):
    rng = random.Random(seed)
    for _ in range(400):
        text, wanted = drawn(rng, 3)
        assert meant(text) == wanted, text


def test_what_is_taken_at_one_width_is_taken_at_another():
    file = Project().text("fn scaled(c) = int(max(8, c / 4))\n")
    assert [evaluated(f"scaled({c})", file) for c in (10, 12, 34, 35, 36)] == [8, 8, 8, 8, 9]


def test_quotients_beside_decimals_and_sizes():
    assert evaluated("max(7 / 2, 3.25)") == Quotient(7, 2)
    assert evaluated("min(7 / 2, 3.25)") == 3.25
    assert evaluated("7.5 // (5 / 2)") == 3.0
    for text in ("1 // (0 / 2)", "7 % (0 / 3)"):
        with pytest.raises(CompileError, match="division by zero"):
            evaluated(text)
