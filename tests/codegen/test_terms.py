"""Expressions of the text in generated code: in every instance they have the value that the text gives them."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from archdsl.codegen.terms import Function, Term, added, translate
from archdsl.core.source import Source
from archdsl.elaborate.context import Context
from archdsl.elaborate.expressions import evaluate
from archdsl.elaborate.values import Quotient
from archdsl.project import Project
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


def test_a_quotient_in_code_is_that_of_the_text_at_other_widths_too():
    """Each is translated at widths that divide; where the language has a value at others, the code has the same."""
    taken = [
        "24 if c / 4 > 8 else 16", "24 if max(8, c / 4) > 8 else 16", "max(8, c / 4)", "min(c / 4, 9)", "abs(-(c / 4))",
        "int(max(8, c / 4))", "round(c / 8 * 3)", "c / 4 if c > 20 else 1", "int(1 if c / 3 == c // 3 else 2)",
    ]  # fmt: skip
    left = ["c / 4 * 4", "max(1, c / 4) * 8", "c / 4 + c / 4", "c // (c / 4)", "(c / 4) % 3", "(c / 4)**2", "f(c / 4)",
            "g(c) * 4", "round(g(c))"]  # fmt: skip
    functions = "fn f(a) = a * 4\nfn g(a) = a / 4\n"
    file = Project().text(functions)
    fns = {f"{fn.name}()": Function(fn).named(2) for fn in file.module.items}
    names = {"c": Term("c", (24, 48), frozenset("c")), **fns}
    assert [text for text in left if translate(parse_value(Source("<test>", text)), names) is not None] == []
    for text in taken:
        term = translate(parse_value(Source("<test>", text)), names)
        whole = Project().text(f"fn value(c) = {text}\n")
        for c in range(1, 80):
            wanted = evaluate(Context(), parse_value(Source("<test>", f"value({c})")), whole.env, None)
            if not isinstance(wanted, Quotient):
                assert eval(term.text, {}, {"c": c}) == wanted, (text, term.text, c)


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
