"""What `require` demands of sizes, in a form that the legal sizes are found from.

    require x.height % 32 == 0 and x.height >= 64, "five levels, and two cells of the last"

A test on sizes that are still symbolic has no answer for all inputs, so that `if` cannot decide by it. `require` can
demand it: the network is then legal for the sizes at which it holds. Such a test is a conjunction of clauses, and a
clause a choice between equalities and lower bounds, which is how `archdsl.analysis.legal` reads what steps need.
"""

from __future__ import annotations

from itertools import chain

from archdsl.core.sizes import Area, Size, SizeFault
from archdsl.diagnostics import errors
from archdsl.elaborate.expressions import evaluate, truth
from archdsl.elaborate.values import Located, Quotient
from archdsl.ops.base import Relation
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.core.sizes import Dim
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.environment import Env
    from archdsl.elaborate.values import Tensor

    Clauses = list[tuple[Relation, ...]]  # each needs one of its relations

MAX_RELATIONS = 1000  # `(a and b) or (c and d)` multiplies them
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
TRUE: Clauses = []
FALSE: Clauses = [()]


def demanded(ctx: Context, test: tree.Expr, env: Env, x: Tensor | None, wanted: bool = True) -> Clauses:
    """Return what makes a test true, or false where that is wanted: no clause where it always is."""
    if isinstance(test, tree.Not):
        return demanded(ctx, test.value, env, x, not wanted)
    if isinstance(test, tree.Logic):
        return _joined(ctx, test, env, x, wanted)
    if isinstance(test, tree.Compare):
        found = _compared(ctx, test, env, x, wanted)
        if found is not None:
            return found
    return TRUE if truth(ctx, test, env, x) is wanted else FALSE


def _joined(ctx: Context, test: tree.Logic, env: Env, x: Tensor | None, wanted: bool) -> Clauses:
    every = (test.word == "and") is wanted
    found = TRUE if every else FALSE
    for item in test.items:
        further = demanded(ctx, item, env, x, wanted)
        if further in (TRUE, FALSE) and (further == FALSE) is every:  # the items after it are not looked at
            return further
        found = found + further if every else [one + other for one in found for other in further]
        _bounded(found, test)
    return found


def _bounded(clauses: Clauses, test: tree.Expr) -> Clauses:
    count = sum(map(len, clauses))
    if count > MAX_RELATIONS:
        raise errors.limit_exceeded(test.span, "a requirement is too large", f"{count:,} comparisons", MAX_RELATIONS)
    return clauses


def _compared(ctx: Context, test: tree.Compare, env: Env, x: Tensor | None, wanted: bool) -> Clauses | None:
    """Return what a comparison of sizes demands; None where it compares no sizes."""
    left, right = evaluate(ctx, test.left, env, x), evaluate(ctx, test.right, env, x)
    if test.sign == "in" and isinstance(right, tuple):
        items = [item.item if isinstance(item, Located) else item for item in right]
        signs, pairs = ("==" if wanted else "!="), [(left, item) for item in items]
    else:
        signs, pairs = (test.sign if wanted else OPPOSITE.get(test.sign, "")), [(left, right)]
    if not any(_is_symbolic(side) for pair in pairs for side in pair):
        return None
    try:
        found = [_clauses(signs, *pair) for pair in pairs]
    except SizeFault as fault:
        raise errors.size_limits(test.span, str(fault), ()) from None
    if any(clauses is None for clauses in found):
        return None
    every = [clause for clauses in found for clause in clauses or ()]
    return _bounded(every if len(found) == 1 or not wanted else [tuple(chain.from_iterable(every))], test)


def _clauses(sign: str, left: Any, right: Any) -> Clauses | None:
    """Return what `left sign right` demands, or None where one of them is no size and no integer."""
    if not _is_whole(left) or not _is_whole(right):
        return None
    a, b = (left.top, left.bottom) if isinstance(left, Quotient) else (left, 1)
    c, d = (right.top, right.bottom) if isinstance(right, Quotient) else (right, 1)
    left, right = a * d, c * b
    if sign == "==":
        return [(Relation(left, right, 0),)]
    ways = {">=": [(left, right, 0)], "<=": [(right, left, 0)], ">": [(left, right, 1)], "<": [(right, left, 1)]}
    ways["!="] = ways[">"] + ways["<"]
    return [tuple([_at_least(*way) for way in ways[sign]])]


def _at_least(left: Dim, right: Dim, more: int) -> Relation:
    """Return that one size is at least another and so much more, added where it can be: an area takes no number."""
    if more and isinstance(right, Area):
        return Relation(left - more, right, 0, at_least=True)
    return Relation(left, right + more if more else right, 0, at_least=True)


def _is_symbolic(value: Any) -> bool:
    return isinstance(value, (Size, Area)) or (isinstance(value, Quotient) and not isinstance(value.top, int))


def _is_whole(value: Any) -> bool:
    return type(value) is int or isinstance(value, (Size, Area, Quotient))


def open_relations(clause: tuple[Relation, ...]) -> tuple[Relation, ...]:
    """Return the relations of a clause that depend on an input size; none where another one always holds."""
    fixed = [relation for relation in clause if not relation.symbols]
    return () if any(relation.holds for relation in fixed) else tuple([r for r in clause if r.symbols])


def sizes_of(clause: tuple[Relation, ...]) -> list[str]:
    """Return the input sizes that a clause depends on, each with the value that it has: `H = 30`."""
    every = dict.fromkeys(symbol for relation in clause for symbol in relation.symbols)
    return [f"{symbol.name} = {symbol.default}" for symbol in every]
