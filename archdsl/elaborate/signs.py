"""Signs: arithmetic of values, and of tensors, where `a + b` is the step that `add(a, b)` is.

A sign between tensors, or between a tensor and a number, makes a tensor, computed once. A sum or a product of several
tensors in a row is one step, as `add(a, b, c)` is. Nothing here takes a number as a name: signs have no modules.
"""

from __future__ import annotations

from functools import partial

from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.elaborate.arithmetic import calculated, negative, power
from archdsl.elaborate.builder import main
from archdsl.elaborate.exact import plain
from archdsl.elaborate.expressions import EVALUATE, evaluate, text_of
from archdsl.elaborate.operators import infer, node, operator, relate
from archdsl.elaborate.unapplied import unapplied
from archdsl.elaborate.values import (
    NOTHING,
    Bound,
    Located,
    OpValue,
    RepeatValue,
    Results,
    Tensor,
    describe,
)
from archdsl.ops import OPS
from archdsl.ops.base import ArgFault
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.diagnostics.errors import Unapplied
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.environment import Env
    from archdsl.ops.base import Op

JOINED = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
IN_A_ROW = ("+", "*")  # which take any number of tensors
BEFORE_A_NUMBER = {"+": "plus", "-": "minus", "*": "times", "/": "over", "**": "power"}
TENSORS = (Tensor, Results)
AFTER_A_NUMBER = {"+": "plus", "-": "rsub", "*": "times", "/": "rdiv"}


class Side(Record):
    """What stands on one side of a sign: its value, its place, and its text where it is one expression."""

    value: Any
    span: Span
    expr: tree.Expr | None = None

    @property
    def tensor(self) -> bool:
        """Whether it is a tensor."""
        return isinstance(self.value, Tensor)


def join(ctx: Context, kind: str, tensors: list[tuple[Tensor, Span]], span: Span, options: Bound = NOTHING) -> Tensor:
    """Combine tensors, each with the place of its branch."""
    joined = joining(kind, options)
    if len(tensors) == 1 and "multiplies" not in joined.traits:
        return tensors[0][0]
    operands = [tensor for tensor, _ in tensors]
    shapes, relations = infer(ctx, joined, operands, span, {i: s for i, (_, s) in enumerate(tensors)})
    joined = joined.on(*[operand.shape for operand in operands])
    result = main(node(ctx, joined, operands, shapes, span, None, bound=options))
    relate(ctx, relations)
    return result


def joining(kind: str, options: Bound, written: str = "") -> Op:
    """Return the operator of a combinator, which a text may call otherwise, with what is said of all branches."""
    given, places = dict(options.values), dict(options.places)
    try:
        return OPS[kind].build(given)
    except ArgFault as fault:
        names = {"parts": "sizes"}
        name, got = names.get(fault.name, fault.name), describe(given[fault.name])
        raise errors.bad_argument(places[fault.name], written or kind, name, fault.reason, got) from None


# -------------------------------------------------------------------------------------------------- from their syntax
def _arithmetic(ctx: Context, expr: tree.Arithmetic, env: Env, x: Tensor | None) -> Any:
    value = evaluate(ctx, expr.first, env, x)
    for number, (sign, operand) in enumerate(expr.rest):
        right = evaluate(ctx, operand, env, x)
        if isinstance(value, TENSORS) or isinstance(right, TENSORS):
            reached = expr.reached[number - 1] if number else expr.first.span
            first = _side(value, reached, expr.first if number == 0 else None)
            second = (sign, _side(right, operand.span, operand))
            more = [(s, _side(evaluate(ctx, e, env, x), e.span, e)) for s, e in expr.rest[number + 1 :]]
            return _of_tensors(ctx, first, [second, *more], env)
        named = partial(_named, ctx, [(value, None if number else expr.first), (right, operand)], env, x)
        value = calculated(sign, value, right, expr.reached[number], named)
        if isinstance(value, RepeatValue):
            value = value.replace(times=operand)
    return value


def _power(ctx: Context, expr: tree.Power, env: Env, x: Tensor | None) -> Any:
    base, exponent = evaluate(ctx, expr.base, env, x), evaluate(ctx, expr.exponent, env, x)
    if isinstance(base, TENSORS) or isinstance(exponent, TENSORS):
        sides = _side(base, expr.base.span), _side(exponent, expr.exponent.span, expr.exponent)
        return _with_number(ctx, "**", *sides, env)
    return power(base, exponent, expr.span)


def _minus(ctx: Context, expr: tree.Minus, env: Env, x: Tensor | None) -> Any:
    value = evaluate(ctx, expr.value, env, x)
    if not isinstance(value, TENSORS):
        return negative(value, expr.span)
    return operator(ctx, OpValue(NOTHING, expr.span, OPS["neg"]), _side(value, expr.span).value, expr.span, None)


def _named(ctx: Context, sides: list[tuple[Any, tree.Expr | None]], env: Env, x: Tensor | None) -> Unapplied | None:
    """Return where the first pipeline beside a sign is bound, of those that stand there by name."""
    for value, expr in sides:
        name = text_of(ctx, expr, env, x) if isinstance(expr, tree.Name) else None
        found = unapplied(value, name, env) if name is not None else None
        if found is not None:
            return found
    return None


def _side(value: Any, span: Span, expr: tree.Expr | None = None) -> Side:
    value = value.item if isinstance(value, Located) else value
    return Side(main(value) if isinstance(value, Results) else value, span, expr)


# -------------------------------------------------------------------------------------------------- of tensors
def _of_tensors(ctx: Context, left: Side, rest: list[tuple[str, Side]], env: Env) -> Any:
    """Apply signs from left to right; equal ones between tensors in a row make one sum, or one product."""
    at = 0
    while at < len(rest):
        (sign, right), stop = rest[at], at + 1
        if not (left.tensor and right.tensor and sign in JOINED):
            value = _with_number(ctx, sign, left, right, env)
        else:
            while sign in IN_A_ROW and stop < len(rest) and rest[stop][0] == sign and rest[stop][1].tensor:
                stop += 1
            run = [left, *[side for _, side in rest[at:stop]]]
            right = run[-1]
            value = join(ctx, JOINED[sign], [(side.value, side.span) for side in run], left.span.to(right.span))
        left, at = Side(value, left.span.to(right.span)), stop
    return left.value


def _with_number(ctx: Context, sign: str, left: Side, right: Side, env: Env) -> Any:
    """Apply a sign between a tensor and a number."""
    span = left.span.to(right.span)
    (tensor, number), names = ((left, right), BEFORE_A_NUMBER) if left.tensor else ((right, left), AFTER_A_NUMBER)
    value = plain(number.value)
    if type(value) not in (int, float) or sign not in names:
        named = _named(ctx, [(left.value, left.expr), (right.value, right.expr)], env, None)
        raise errors.bad_operands(span, sign, describe(left.value), describe(right.value), True, named)
    if sign == "/" and left.tensor and value == 0:
        raise errors.bad_value(span, "division by zero")
    written = () if number.expr is None else (("value", number.expr),)
    bound = Bound((("value", value),), (("value", number.span),), written, env)
    return operator(ctx, OpValue(bound, span, OPS[names[sign]]), tensor.value, span, None)


EVALUATE[tree.Arithmetic] = _arithmetic
EVALUATE[tree.Power] = _power
EVALUATE[tree.Minus] = _minus
