"""Expressions to values.

A pipeline whose text mentions `x` cannot be evaluated where it is written, because `x` is the tensor that reaches the
step in which it stands: it becomes a `Deferred` value and is evaluated where it is applied. Everything else is
evaluated at once. Evaluation always ends: there is no mutation, and steps, lists, numbers and recursion are bounded.
"""

from __future__ import annotations

from archdsl.diagnostics import errors
from archdsl.elaborate.arithmetic import compared
from archdsl.elaborate.builtins import FUNCTIONS
from archdsl.elaborate.context import MAX_CALLS, MAX_WORK
from archdsl.elaborate.environment import Env
from archdsl.elaborate.problems import LOST, Consequence
from archdsl.elaborate.values import (
    NOTHING,
    OMITTED,
    BlockValue,
    Callee,
    ChainValue,
    Combinator,
    Deferred,
    Function,
    InitializerName,
    LabelValue,
    Located,
    Made,
    OpValue,
    Quotient,
    RepeatValue,
    Results,
    Tensor,
    describe,
    is_pipeline,
    show,
)
from archdsl.elaborate.weight import HEAVY, weigh
from archdsl.ops import OPS, initializers
from archdsl.ops.wrap import WRAPPERS
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.environment import File

COMBINATORS = {
    kind: Combinator(kind) for kind in ("cat", "add", "mul", "maximum", "minimum", "split", "matmul", "attention")
}
INITIALIZERS = {name: InitializerName(name) for name in initializers.ROWS}
INNER = {name for name, op in OPS.items() if "inner" in op.traits} - COMBINATORS.keys()  # and what `split` is made of
WORDS = [*[name for name in OPS if name not in INNER], *WRAPPERS, *COMBINATORS, *FUNCTIONS, *INITIALIZERS]
RESERVED = {"x"}
EVALUATE: dict[type, Callable[[Context, Any, Env, Tensor | None], Any]] = {}


# -------------------------------------------------------------------------------------------------- values
def evaluate(ctx: Context, expr: tree.Expr, env: Env, x: Tensor | None) -> Any:
    """Return the value of an expression; `x` is the tensor that has arrived, None where there is none yet."""
    ctx.work += 1
    if ctx.work > MAX_WORK:
        ctx.spend(0, expr.span)
    value = EVALUATE[type(expr)](ctx, expr, env, x)
    if type(value) in HEAVY:
        weight, _ = weigh(ctx, value, expr.span)
        if weight >= 16:
            ctx.spend(weight // 16, expr.span)
    return value


def whole(ctx: Context, expr: tree.Expr, env: Env, x: Tensor | None) -> Any:
    """Evaluate to a value that is not an open quotient."""
    value = evaluate(ctx, expr, env, x)
    if isinstance(value, Quotient):
        raise errors.not_whole(expr.span, show(value))
    return value


# -------------------------------------------------------------------------------------------------- names and literals
def _meaning(ctx: Context, expr: tree.Name, env: Env, x: Tensor | None) -> Any:
    name = expr.plain
    if name == "x":
        if x is None:
            raise errors.no_tensor(expr.span, "`x` is not known here")
        return x
    if name is None:
        name = text_of(ctx, expr, env, x)
    home = env.find(name)
    if home is None:
        return global_name(ctx, name, env.file, expr.span, env)
    value = home.names[name]
    if value is LOST:
        raise Consequence
    return value


def global_name(ctx: Context, name: str, file: File, span: Span, env: Env | None = None) -> Any:
    """Return what a name means in a file: a definition, an import, or a word of the language."""
    if name in file.definitions:
        return definition(ctx, file, name, span)
    if name in file.imports:
        return definition(ctx, file.imports[name][0], name, span)
    if name in file.operators and name not in COMBINATORS and name not in INNER:
        word = file.words.get(name)
        if word is None:
            value = OpValue(NOTHING, None, file.operators[name], file.defaults.get(name, ()), file.inits.get(name, ()))
            word = file.words[name] = value
        return word
    if name in WRAPPERS:
        return OpValue(NOTHING, None, WRAPPERS[name])
    for words in (COMBINATORS, FUNCTIONS, INITIALIZERS):
        if name in words:
            return words[name]
    if ctx.problems is not None and name in ctx.problems.lost:
        raise Consequence
    known = [*WORDS, *(file.operators.keys() - OPS.keys())]
    if env is None:
        raise errors.unknown_name(span, name, known)
    tag = ctx.builder.tags.get(name)  # a step of the body under way may have this label
    label, passed = tag[0].span if tag else None, env.home.passed.get(name)
    raise errors.unknown_name(span, name, [*env.visible(), *known], label, env.bound_at(), passed)


def definition(ctx: Context, file: File, name: str, span: Span) -> Any:
    """Return the value of a definition of a file."""
    item = file.definitions[name]
    known = file.values.get(name)
    if known is not None and known[0] is item:
        return known[1]
    value: Any
    if isinstance(item, tree.Alias):
        try:
            with ctx.deeper(name, span):
                value = evaluate(ctx, item.value, file.env, None)
        except RecursionError:  # a net among its own parameters, deeper in lists than Python goes
            raise errors.too_deep(span, "expressions and functions", MAX_CALLS) from None
    elif isinstance(item, tree.Fn):
        value = Function(item, file.env)
    else:
        value = BlockValue(NOTHING, None, item, file.env)
    file.values[name] = item, value
    return value


def text_of(ctx: Context, name: tree.Name, env: Env, x: Tensor | None) -> str:
    """Return the text of a name or label, its interpolations filled in."""
    if name.plain is not None:
        return name.plain
    texts = []
    for part in name.parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        value = whole(ctx, part, env, x)
        text = str(value)
        if type(value) not in (int, str) or not text.isascii() or not (text and f"_{text}".isidentifier()):
            raise errors.bad_value(part.span, "a name is built from integers and names", f"this is {show(value)}")
        texts.append(text)
    return "".join(texts)


def _list(ctx: Context, expr: tree.Items, env: Env, x: Tensor | None) -> tuple[Any, ...]:
    values = [_item(ctx, item, env, x) for item in expr.items]
    return tuple(value for value in values if value is not OMITTED)


def _item(ctx: Context, item: tree.Expr, env: Env, x: Tensor | None) -> Any:
    value = whole(ctx, item, env, x)
    return Located(value, item.span) if isinstance(value, Callee) else value


def _comprehension(ctx: Context, expr: tree.Comprehension, env: Env, x: Tensor | None) -> tuple[Any, ...]:
    found = []
    for number, inner in enumerate(loop(ctx, expr.targets, expr.values, env, x)):
        names = tuple(inner.names.items())
        if expr.test is None or truth(ctx, expr.test, inner, x):
            value = _item(ctx, expr.item, inner, x)
            if isinstance(value, (Located, LabelValue, ChainValue, RepeatValue, Deferred)):
                place = value.span if isinstance(value, Located) else expr.item.span
                item = value.item if isinstance(value, Located) else value
                value = Located(item, place, Made(expr, number, names))
            if value is not OMITTED:
                found.append(value)
    return tuple(found)


def loop(ctx: Context, targets: tree.Targets, values: tree.Expr, env: Env, x: Tensor | None) -> Iterator[Env]:
    """Yield an environment for each item of a list, the targets bound."""
    items = evaluate(ctx, values, env, x)
    if not isinstance(items, tuple):
        hint = f"`range({values.span.text})` is a list of so many numbers, from 0 on" if type(items) is int else ""
        raise errors.bad_value(values.span, "a loop needs a list", f"this is {describe(items)}", hint)
    home = env.home
    for item in items:
        inner = Env(env, env.file, loop=True)
        _bind_targets(targets, item.item if isinstance(item, Located) else item, inner)
        inner.index = next(iter(inner.names))
        yield inner
        if len(inner.places) > len(home.passed):
            home.passed |= {name: (place, inner.index) for name, place in inner.places.items()}


def _bind_targets(targets: tree.Targets, value: Any, env: Env) -> None:
    names = targets.names
    if len(names) == 1 and isinstance(names[0], str):
        bind(names[0], value, env, targets.span)
        return
    if not isinstance(value, tuple) or len(value) != len(names):
        parts = value if isinstance(value, tuple) else ()
        where = next((part.span for part in parts if isinstance(part, Located)), None)
        title = f"{len(names)} names for {describe(value)}"
        raise errors.bad_value(targets.span, title, "they do not match", value=where)
    for name, item in zip(names, value):
        if isinstance(name, str):
            bind(name, item.item if isinstance(item, Located) else item, env, targets.span)
        else:
            _bind_targets(name, item, env)


def bind(name: str, value: Any, env: Env, span: Span) -> None:
    """Bind a name in a scope: once in a definition, as one that hides another would have two meanings."""
    if name in RESERVED:
        raise errors.x_is_bound(span)
    home = env.find(name)
    if home is not None and home.names[name] is not LOST:
        raise errors.bound_twice(span, name, home.places.get(name), env.index_since(home))
    env.names[name] = value
    env.places[name] = span


# ------------------------------------------------------------------------------------------------ pipelines as values
def operands(expr: tree.Arithmetic | tree.Power | tree.Minus) -> tuple[tree.Expr, ...]:
    """Return what stands beside signs."""
    if isinstance(expr, tree.Arithmetic):
        return (expr.first, *[operand for _, operand in expr.rest])
    return (expr.base, expr.exponent) if isinstance(expr, tree.Power) else (expr.value,)


def _starts_at_tensor(ctx: Context, expr: tree.Expr, env: Env, x: Tensor | None) -> bool:
    """Say whether a value is a tensor, a chain that starts at one, or a sign beside one; adds no step."""
    while isinstance(expr, tree.Chain):
        expr = expr.links[0]
    if isinstance(expr, (tree.Arithmetic, tree.Power, tree.Minus)):
        return any(_starts_at_tensor(ctx, operand, env, x) for operand in operands(expr))
    if isinstance(expr, tree.Call):
        return _makes_tensor(ctx, expr, env, x)
    if isinstance(expr, tree.Name) and expr.plain == "x":
        return True
    return isinstance(expr, (tree.Name, tree.Attribute, tree.Index)) and isinstance(
        evaluate(ctx, expr, env, x), (Tensor, Results)
    )


def _makes_tensor(ctx: Context, expr: tree.Call, env: Env, x: Tensor | None) -> bool:
    """Say whether a call joins tensors, or gives one to a function; adds no step."""
    if not isinstance(expr.target, tree.Name):
        return False
    target = evaluate(ctx, expr.target, env, x)
    found = [
        _starts_at_tensor(ctx, a.value if isinstance(a, (tree.Keyword, tree.Spread)) else a, env, x)
        for a in expr.arguments
    ]
    if isinstance(target, Combinator):
        return bool(found) and all(found)
    return isinstance(target, Function) and any(found)


def _labelled(ctx: Context, expr: tree.Labelled, env: Env, x: Tensor | None) -> Any:
    value = evaluate(ctx, expr.value, env, x)
    if value is OMITTED:
        return value
    return LabelValue(text_of(ctx, expr.name, env, x), Located(value, expr.value.span), expr.name.span, expr.name)


def _only_if(ctx: Context, expr: tree.OnlyIf, env: Env, x: Tensor | None) -> Any:
    if _waits(ctx, expr, env, x):
        return Deferred(expr, env)
    return evaluate(ctx, expr.value, env, x) if truth(ctx, expr.test, env, x) else OMITTED


def _either(ctx: Context, expr: tree.Either, env: Env, x: Tensor | None) -> Any:
    if _waits(ctx, expr, env, x):
        return Deferred(expr, env)
    return evaluate(ctx, expr.value if truth(ctx, expr.test, env, x) else expr.other, env, x)


def _waits(ctx: Context, expr: tree.OnlyIf | tree.Either, env: Env, x: Tensor | None) -> bool:
    """Say whether a condition is on the tensor that a pipeline will be applied to."""
    if not mentions_x(ctx, expr.test) or _starts_at_tensor(ctx, expr.value, env, x):
        return False
    return is_pipeline(evaluate(ctx, expr.value, env, x))


def mentions_x(ctx: Context, node: Any) -> bool:
    """Say whether a piece of syntax mentions `x`."""
    return "x" in names_in(ctx, node)


def names_in(ctx: Context, node: Any) -> frozenset[str]:
    """Return the names that a piece of syntax mentions, interpolated ones aside."""
    known = ctx.memo.mentions.get(id(node))
    if known is None:
        if isinstance(node, tuple):
            return frozenset().union(*[names_in(ctx, child) for child in node])
        if not isinstance(node, tree.Node):
            return frozenset()
        if isinstance(node, tree.Name) and node.plain is not None:
            found = frozenset([node.plain])
        else:
            found = names_in(ctx, tuple([getattr(node, f) for f in node.fields if f != "span"]))
        known = ctx.memo.mentions[id(node)] = node, found
    return known[1]


# ----------------------------------------------------------------------------------------------- attributes and items
def _indexed(ctx: Context, expr: tree.Index, env: Env, x: Tensor | None) -> Any:
    items, index = evaluate(ctx, expr.value, env, x), whole(ctx, expr.index, env, x)
    if not isinstance(items, tuple):
        names = [name for name, _ in items.tensors] if isinstance(items, Results) else []
        raise errors.bad_index(expr.value.span, f"only lists have items; this is {describe(items)}", names)
    if type(index) is not int or not -len(items) <= index < len(items):
        raise errors.bad_index(expr.index.span, f"no item {show(index)} in a list of {len(items)}")
    item = items[index]
    return item.item if isinstance(item, Located) else item


def _sliced(ctx: Context, expr: tree.Slice, env: Env, x: Tensor | None) -> Any:
    items = evaluate(ctx, expr.value, env, x)
    if not isinstance(items, tuple):
        raise errors.bad_index(expr.value.span, f"only lists have slices; this is {describe(items)}")
    ends = []
    for end in (expr.first, expr.last):
        number = None if end is None else whole(ctx, end, env, x)
        if end is not None and type(number) is not int:
            raise errors.bad_index(end.span, f"a slice ends at an integer; this is {describe(number)}")
        ends.append(number)
    return items[ends[0] : ends[1]]


# -------------------------------------------------------------------------------------------------- logic
def truth(ctx: Context, expr: tree.Expr, env: Env, x: Tensor | None) -> bool:
    """Evaluate a condition."""
    value = evaluate(ctx, expr, env, x)
    if type(value) is not bool:
        raise errors.bad_value(expr.span, "a condition must be true or false", f"this is {describe(value)}")
    return value


def _logic(ctx: Context, expr: tree.Logic, env: Env, x: Tensor | None) -> bool:
    stop = expr.word == "or"
    return stop if any(truth(ctx, item, env, x) is stop for item in expr.items) else not stop


def _negation(ctx: Context, expr: tree.Not, env: Env, x: Tensor | None) -> bool:
    return not truth(ctx, expr.value, env, x)


def _comparison(ctx: Context, expr: tree.Compare, env: Env, x: Tensor | None) -> bool:
    left, right = evaluate(ctx, expr.left, env, x), evaluate(ctx, expr.right, env, x)
    return compared(expr.sign, left, right, expr.span)


# What each form of expression means. Files that know more than values add theirs: calls, operators, signs, pipelines.
EVALUATE.update(
    {
        tree.Name: _meaning,
        tree.Literal: lambda ctx, expr, env, x: expr.value,
        tree.Items: _list,
        tree.Comprehension: _comprehension,
        tree.Labelled: _labelled,
        tree.OnlyIf: _only_if,
        tree.Either: _either,
        tree.Logic: _logic,
        tree.Not: _negation,
        tree.Compare: _comparison,
        tree.Index: _indexed,
        tree.Slice: _sliced,
    }
)
