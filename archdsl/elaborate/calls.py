"""Calls: arguments to their parameters, and what a function returns for them."""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.core.sizes import SizeFault
from archdsl.diagnostics import CompileError, Label, errors
from archdsl.elaborate.arithmetic import checked
from archdsl.elaborate.builtins import FUNCTIONS, MAX_ITEMS, LimitFault
from archdsl.elaborate.environment import Env
from archdsl.elaborate.exact import ValueFault, plain
from archdsl.elaborate.expressions import EVALUATE, bind, evaluate, mentions_x, whole
from archdsl.elaborate.values import (
    OMITTED,
    UNIVERSAL,
    BlockValue,
    Bound,
    Builtin,
    Callee,
    Deferred,
    Function,
    InitializerName,
    Located,
    OpValue,
    Quotient,
    Results,
    Tensor,
    describe,
    is_pipeline,
    show,
)
from archdsl.ops import OPS, initializers
from archdsl.ops.base import REQUIRED
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.values import Tensor

PLAIN = (int, float, bool, str)


def _call(ctx: Context, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    target = evaluate(ctx, expr.target, env, x)
    if isinstance(target, Located):
        target = target.item
    rule = CALL.get(type(target))
    if rule is not None:
        return rule(ctx, target, expr, env, x)
    word = expr.target.plain if isinstance(expr.target, tree.Name) else None
    waits = isinstance(target, Deferred)
    raise errors.not_callable(expr.target.span, describe(target), word if word in OPS else "", waits)


def _callee(ctx: Context, target: Callee, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    found = _of_values(ctx, target, expr, env, x)
    if found is not None:
        return found
    if any(mentions_x(ctx, argument) for argument in expr.arguments):
        _given(ctx, target, expr)  # an argument too many is one before `x` is known
        return Deferred(expr, env)
    return partial(ctx, target, expr, env, x)


def partial(ctx: Context, target: Callee, expr: tree.Call, env: Env, x: Tensor | None) -> Callee:
    """Give a callee more arguments; a keyword may replace one that was given before."""
    old, given = target.bound, _given(ctx, target, expr)
    values = {name: _argument(ctx, value, env, x, real) for name, value, real in given.parts}
    order, places, written = given.order, given.places, given.written
    if old.values:
        values = dict(old.values) | values
        order = tuple(sorted(values))
        places = tuple((dict(old.places) | dict(places)).items())
        seen = old.env is None or env.within(old.env)
        written = tuple(((dict(old.written) if seen else {}) | dict(written)).items())
    bound = Bound(tuple([(name, values[name]) for name in order]), places, written, env, given.positional)
    return target.replace(bound=bound, span=expr.span)


class Given(Record):
    """The arguments of a call by parameter: each with its expression, and whether it is a real number.

    `order` are the parameters by name, and `positional` those whose arguments stand without it.
    """

    parts: tuple[tuple[str, tree.Expr, bool], ...]
    order: tuple[str, ...]
    places: tuple[tuple[str, Span], ...]
    written: tuple[tuple[str, tree.Expr], ...]
    positional: tuple[str, ...]


def _given(ctx: Context, target: Callee, expr: tree.Call) -> Given:
    """Match the arguments of a call, once for what it calls and the names of what that was given before."""
    what = target.op if isinstance(target, OpValue) else target.block
    earlier = tuple([name for name, _ in target.bound.values])
    key = (id(expr), id(what), earlier)
    known = ctx.memo.calls.get(key)
    if known is None:
        params = target.params
        free = [name for name in in_order(target) if name not in earlier]
        written = matched(target.label, params, free, lambda: signature(target), expr.arguments, target)
        named = sum([isinstance(argument, tree.Keyword) for argument in expr.arguments])
        given = Given(
            tuple([(name, value, _is_real(target, name)) for name, value in written.items()]),
            tuple(sorted(written)),
            tuple([(name, value.span) for name, value in written.items()]),
            tuple(written.items()),
            tuple(written)[: len(expr.arguments) - named],
        )
        known = ctx.memo.calls[key] = given, (expr, what)  # so that their identities stay their own
    return known[0]


def _argument(ctx: Context, expr: tree.Expr, env: Env, x: Tensor | None, real: bool = False) -> Any:
    value = evaluate(ctx, expr, env, x)
    if type(value) in PLAIN:
        return value
    if real:
        value = plain(value)
    if isinstance(value, Quotient):
        raise errors.not_whole(expr.span, show(value))
    if value is OMITTED:
        raise errors.bad_value(expr.span, "an argument cannot be left out by a condition", "give it an `else`")
    return value.item if isinstance(value, Located) else value


def _of_values(ctx: Context, target: Callee, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    """Return what a word that is a step and a function, `abs` or `max`, makes of plain values; None where it is a step.

    No step takes a number of these: without arguments, and with names of axes, it is one.
    """
    function = FUNCTIONS.get(target.label) if isinstance(target, OpValue) else None
    if function is None or not expr.arguments or isinstance(expr.arguments[0], tree.Keyword):
        return None
    values = _values(ctx, function, expr, env, x)
    if len(values) == 1 and isinstance(values[0], (Tensor, Results)) and "axes" in target.params:
        place = expr.arguments[0].span
        raise errors.bad_argument(place, target.label, "axes", "expects names of axes", describe(values[0]))
    if any(is_pipeline(value) or _names_axes(value) for value in values):
        return None
    return _result(function, values, expr)


def _names_axes(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, tuple) and any(isinstance(one, str) for one in value))


def _builtin(ctx: Context, target: Builtin, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    return _result(target, _values(ctx, target, expr, env, x), expr)


def _values(ctx: Context, target: Builtin, expr: tree.Call, env: Env, x: Tensor | None) -> list[Any]:
    values = []
    for argument in expr.arguments:
        if isinstance(argument, tree.Keyword):
            raise errors.unknown_argument(argument.place, target.name, argument.name, "...", ())
        if isinstance(argument, tree.Spread):
            raise errors.bad_value(argument.span, f"`{target.name}` takes a list as it is", "no `*` is needed")
        values.append(evaluate(ctx, argument, env, x))
    return values


def _result(target: Builtin, values: list[Any], expr: tree.Call) -> Any:
    try:
        return checked(target.call(*values), expr.span)
    except ValueFault as fault:
        got = ", ".join(describe(v) for v in values)
        raise errors.bad_value(expr.span, f"`{target.name}` {fault}", f"got {got}") from None
    except SizeFault as fault:
        raise errors.size_limits(expr.span, str(fault), ()) from None
    except LimitFault as fault:
        raise errors.limit_exceeded(expr.span, fault.what, f"{fault.count} items", MAX_ITEMS) from None
    except TypeError:
        count = f"{len(values)} argument{'s' if len(values) != 1 else ''}"
        raise errors.bad_value(expr.span, f"`{target.name}` does not take {count}") from None


def _function(ctx: Context, target: Function, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    """Return the value of a function for its arguments, which a lasting memo keeps where those are plain."""
    fn, place = target.fn, (id(expr), id(target.fn))
    if place not in ctx.memo.matched:
        params = [p.name for p in fn.params]
        written = matched(fn.name, params, params, lambda: ", ".join(params), expr.arguments)
        ctx.memo.matched[place] = written, (expr, fn)  # so that their identities stay their own
    written = ctx.memo.matched[place][0]
    given = {name: (evaluate(ctx, value, env, x), value.span) for name, value in written.items()}
    if not ctx.memo.lasting or any(type(value) not in PLAIN for value, _ in given.values()):
        return _returned(ctx, target, given, expr)
    key = (id(fn), *[(name, type(value), value) for name, (value, _) in given.items()])
    known = ctx.memo.returned.get(key)
    if known is None:
        known = ctx.memo.returned[key] = _returned(ctx, target, given, expr)
    return known


def _returned(ctx: Context, target: Function, given: dict[str, tuple[Any, Span]], expr: tree.Call) -> Any:
    fn, inner = target.fn, Env(target.env, target.env.file)
    for name, (value, place) in given.items():
        bind(name, value, inner, place)
    with ctx.deeper(fn.name, expr.span):
        for param in fn.params:
            if param.name not in inner.names:
                if param.default is None:
                    names = ", ".join(p.name for p in fn.params)
                    raise errors.missing_argument(expr.span, fn.name, param.name, names, param.span)
                bind(param.name, evaluate(ctx, param.default, inner, None), inner, param.span)
        try:
            return evaluate(ctx, fn.value, inner, None)  # `x` stands in steps; a function is given sizes
        except CompileError as mistake:
            raise _called(mistake, expr.span, {p.name: inner.names[p.name] for p in fn.params}) from None


def _initializer(ctx: Context, target: InitializerName, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    name, params = target.name, [param for param, _ in initializers.ROWS[target.name].params]
    written = matched(name, params, params, lambda: ", ".join(params), expr.arguments)
    values = {param: whole(ctx, value, env, x) for param, value in written.items()}
    try:
        return initializers.make(name, values)
    except ValueError as fault:
        param, reason = fault.args
        raise errors.bad_argument(written[param].span, name, param, reason, describe(values[param])) from None


def matched(
    callee: str,
    params: Collection[str],
    free: Sequence[str],
    shown: Callable[[], str],
    arguments: tuple[tree.Argument, ...],
    target: Callee | None = None,
) -> dict[str, tree.Expr]:
    """Give each argument of a call its parameter: by keyword, or the next of those that are `free`."""
    found: dict[str, tree.Expr] = {}
    for argument in arguments:
        if isinstance(argument, tree.Spread):
            raise errors.misplaced(argument.span, "`*`", "the items of a list can be branches of a combinator only")
        if isinstance(argument, tree.Keyword):
            name, value = argument.name, argument.value
            if name not in params:
                declared = target.declared if target is not None else None
                raise errors.unknown_argument(argument.place, callee, name, shown(), params, declared)
            if name in found:
                raise errors.bound_twice(argument.place, name, found[name].span)
        else:
            name, value = next((f for f in free if f not in found), ""), argument
            if not name:
                raise errors.too_many_arguments(argument.span, callee, shown())
        found[name] = value
    return found


def _is_real(callee: Callee, name: str) -> bool:
    """Say whether an argument of an operator is a real number, so that a fraction is one."""
    spec = callee.op.args.get(name) if isinstance(callee, OpValue) else None
    return spec is not None and spec.kind.real


def _called(mistake: CompileError, call: Span, given: dict[str, Any]) -> CompileError:
    """Return a mistake in a function with the call that led there."""
    diagnostic = mistake.diagnostic
    if call.source is not diagnostic.primary.span.source or any(label.span == call for label in diagnostic.secondary):
        return mistake
    values = ", ".join(f"{name} = {show(value)}" for name, value in given.items())
    label = Label(call, f"called here, with {values}" if 0 < len(values) < 60 else "called here")
    return CompileError(diagnostic.replace(secondary=(*diagnostic.secondary, label)))


def in_order(callee: Callee) -> list[str]:
    """Return the parameters that arguments without a name are for: of operators not those that all of them have."""
    words = UNIVERSAL if isinstance(callee, OpValue) else ()
    return [name for name in callee.params if name not in words]


def signature(callee: Callee) -> str:
    """Return the parameters of a callee as a text: `out, kernel, stride=1`."""
    texts = []
    for name in in_order(callee):
        default = callee.params[name]
        if default is REQUIRED:
            texts.append(name)
        elif isinstance(default, tree.Expr):
            texts.append(f"{name}={' '.join(default.span.text.split())}")
        else:
            texts.append(f"{name}={'...' if default is None else show(default)}")
    return ", ".join(texts)


CALL: dict[type, Callable[[Context, Any, tree.Call, Env, Tensor | None], Any]] = {
    OpValue: _callee,
    BlockValue: _callee,
    Builtin: _builtin,
    Function: _function,
    InitializerName: _initializer,
}
EVALUATE[tree.Call] = _call
