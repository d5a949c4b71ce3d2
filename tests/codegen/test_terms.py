"""Expressions of the text in generated code: in every instance they have the value that the text gives them."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from archdsl.codegen.terms import Term, added, translate
from archdsl.core.source import Source
from archdsl.syntax.parser import parse_value

NAMES = ("a", "b", "c")
SIGNS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


def variables(rng: random.Random, instances: int) -> dict[str, Term]:
    return {n: Term(n, tuple(rng.choice((1, 2, 3, 4, 6, 12)) for _ in range(instances)), frozenset([n])) for n in NAMES}


def expression(rng: random.Random, depth: int) -> str:
    """Return arithmetic at random, its parts in parentheses, also where nobody would write these."""
    if not depth or rng.random() < 0.2:
        return rng.choice((*NAMES, *NAMES, "1", "2", "0", "3"))
    left, right = [expression(rng, depth - 1) for _ in range(2)]
    return f"({left}) {rng.choice(list(SIGNS))} ({right})"


def exactly(text: str, values: dict[str, int]) -> Fraction:
    """Compute an expression in fractions: what `/` means in the language."""
    wrapped = {name: Fraction(value) for name, value in values.items()}
    for number in "0123":
        text = text.replace(f"({number})", f"(Fraction({number}))")
    return Fraction(eval(text, {"Fraction": Fraction}, wrapped))


@pytest.mark.parametrize("seed", range(4))
def test_an_expression_in_code_has_the_value_of_the_text(seed):
    rng, shown = random.Random(seed), 0
    while shown < 120:
        names = variables(rng, 3)
        text = f"({expression(rng, 3)})"
        term = translate(parse_value(Source("<test>", text)), names)
        if term is None:
            continue
        shown += bool(term.names)
        for i in range(3):
            values = {name: one.column[i] for name, one in names.items()}
            wanted = exactly(text, values)
            assert term.column[i] == wanted, (text, values)
            assert eval(term.text, {}, values) == wanted, (text, term.text, values)


def test_what_does_not_divide_in_every_instance_is_no_expression():
    names = {"a": Term("a", (4, 6, 5), frozenset("a"))}
    assert translate(parse_value(Source("<test>", "a / 2")), names) is None
    assert translate(parse_value(Source("<test>", "a // 2")), names).text == "a // 2"


def test_sums_count_equal_terms():
    rng = random.Random(0)
    for _ in range(200):
        names = variables(rng, 2)
        sums = Term("a - b", tuple(x - y for x, y in zip(names["a"].column, names["b"].column)), frozenset("ab"), 1)
        terms = [rng.choice([*names.values(), sums, Term("2", (2, 2))]) for _ in range(rng.randint(1, 5))]
        found = added(terms)
        for i in range(2):
            wanted = sum(t.column[i] for t in terms)
            assert found.column[i] == wanted == eval(found.text, {}, {n: t.column[i] for n, t in names.items()})
