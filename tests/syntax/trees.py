"""Hypothesis strategies for syntax trees: everything that the parser can return, without places."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from archdsl.syntax import tree
from archdsl.syntax.parser import SOFT_WORDS
from archdsl.syntax.printer import STATEMENT_WORDS

HARD_WORDS = {"if", "elif", "else", "for", "in", "or", "and", "not", "true", "false"}
KNOWN = "x conv bn relu cat add split identity linear zeros range max len N H W".split()

words = (
    st.sampled_from(KNOWN)
    | st.sampled_from(sorted(word.lower() for word in SOFT_WORDS) + ["when", "training", "e5", "_"])
    | st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,5}", fullmatch=True).filter(lambda word: word not in HARD_WORDS)
)
starting_words = words.filter(lambda word: word not in STATEMENT_WORDS)
strings = st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=6)
literals = st.one_of(
    st.booleans(),
    st.integers(0, 9),
    st.integers(0, 10**20 - 1),
    st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    strings,
)
docs = st.just("") | st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(
    lambda text: "\n".join(line.strip() for line in text.strip().split("\n"))
).filter(lambda text: '"""' not in text)


def node(kind: type[tree.Node], *fields: Any) -> SearchStrategy[Any]:
    """Return the strategy of a node: its fields, without its place, as strategies or as plain values."""
    given = [field if isinstance(field, SearchStrategy) else st.just(field) for field in fields]
    return st.tuples(*given).map(lambda values: kind(None, *values))


def several(item: SearchStrategy[Any], least: int = 0, most: int = 3) -> SearchStrategy[Any]:
    """Return the strategy of tuples of an item."""
    return st.lists(item, min_size=least, max_size=max(least, most)).map(tuple)


# -------------------------------------------------------------------------------------------------- expressions
def names(depth: int, first: SearchStrategy[str] = words) -> SearchStrategy[tree.Name]:
    plain = node(tree.Name, st.tuples(first))
    if depth == 0:
        return plain
    inner = expressions(depth - 1)
    further = several(st.tuples(inner) | st.tuples(inner, words), 1, 2).map(lambda parts: sum(parts, ()))
    return plain | node(tree.Name, st.tuples(first, further).map(lambda pair: (pair[0], *pair[1])))


@cache
def targets(depth: int, least: int = 1) -> SearchStrategy[tree.Targets]:
    one = node(tree.Targets, st.tuples(words))
    many = node(tree.Targets, several(words if depth == 0 else words | targets(depth - 1, 2), 2))
    return many if least > 1 else one | many


def arguments(depth: int) -> SearchStrategy[Any]:
    inner = expressions(depth)
    return several(inner | node(tree.Keyword, words, inner))


@cache
def expressions(depth: int) -> SearchStrategy[Any]:
    """Return the strategy of expressions of at most a depth, every kind at every level."""
    return st.deferred(lambda: _expressions(depth))


def _expressions(depth: int) -> SearchStrategy[Any]:
    simple = names(0) | node(tree.Literal, literals)
    if depth == 0:
        return simple
    inner = expressions(depth - 1)
    return st.one_of(
        simple,
        names(depth),
        node(tree.Items, several(inner), False),
        node(tree.Items, several(inner, 1), True),
        node(tree.Comprehension, inner, targets(1), inner, st.none() | inner),
        node(tree.Chain, several(inner, 2)),
        node(tree.Labelled, names(depth - 1), inner),
        node(tree.OnlyIf, inner, inner),
        node(tree.Either, inner, inner, inner),
        node(tree.Logic, st.sampled_from(["or", "and"]), several(inner, 2)),
        node(tree.Not, inner),
        node(tree.Compare, st.sampled_from("== != <= >= < > in".split()), inner, inner),
        node(tree.Arithmetic, inner, several(st.tuples(st.sampled_from("+-"), inner), 1)),
        node(tree.Arithmetic, inner, several(st.tuples(st.sampled_from("* / // %".split()), inner), 1)),
        node(tree.Power, inner, inner),
        node(tree.Minus, inner),
        node(tree.Call, inner, arguments(depth - 1)),
        node(tree.Attribute, inner, words),
        node(tree.Index, inner, inner),
        node(tree.Slice, inner, st.none() | inner, st.none() | inner),
    )


# -------------------------------------------------------------------------------------------------- statements
@cache
def statements(depth: int, inside: int) -> SearchStrategy[Any]:
    """Return the strategy of statements; `depth` is that of the bodies inside, `inside` that of expressions."""
    value = expressions(inside)
    simple = st.one_of(
        node(tree.Step, value),
        node(tree.Bind, names(inside, starting_words), value),
        node(tree.Input, words, several(st.tuples(value, st.none() | value), 1, 4)),
        node(tree.Output, names(inside, words), value, st.booleans()),
        node(tree.Require, value, value),
    )
    if depth == 0:
        return simple
    body = several(statements(depth - 1, inside), 1)
    arms = st.tuples(several(st.tuples(value, body), 1, 2), several(st.tuples(st.none(), body), 0, 1))
    return st.one_of(
        simple,
        node(tree.Scope, names(inside, starting_words), body),
        node(tree.If, arms.map(lambda pair: pair[0] + pair[1])),
        node(tree.For, targets(1), value, body),
    )


# -------------------------------------------------------------------------------------------------- files
def parameters(depth: int) -> SearchStrategy[Any]:
    return several(node(tree.Param, words, st.none() | expressions(depth)))


def items(depth: int = 2, inside: int = 2) -> SearchStrategy[Any]:
    value = expressions(inside)
    params = parameters(inside - 1)
    dims = several(value, 1, 4)
    body = several(statements(depth, inside), 1)
    settings = several(node(tree.Setting, words, arguments(inside - 1)), 1)
    signature = node(tree.Signature, dims, dims)
    return st.one_of(
        node(tree.Import, words, several(words, 1)),
        node(tree.Default, settings),
        node(tree.Init, settings),
        node(tree.Fn, words, params, value),
        node(tree.Block, words, params, st.none() | signature, docs, body),
        node(tree.Net, words, params, docs, body),
        node(tree.Alias, words, value),
    )


modules: SearchStrategy[tree.Module] = node(tree.Module, None, docs, several(items(), 0, 4))  # whole files
