"""Pipelines applied to tensors: from their syntax, where a step may ask for the sizes of `x`, and as values."""

from __future__ import annotations

from operator import itemgetter

from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.builder import Builder, Tag, main
from archdsl.elaborate.calls import CALL, partial
from archdsl.elaborate.context import MAX_WORK
from archdsl.elaborate.expressions import EVALUATE, evaluate, names_in, text_of, truth, whole
from archdsl.elaborate.operators import build, fault, infer, node, operator, relate, tensors_of
from archdsl.elaborate.problems import Consequence
from archdsl.elaborate.signs import join, joining
from archdsl.elaborate.values import (
    NOTHING,
    OMITTED,
    BlockValue,
    Bound,
    Callee,
    ChainValue,
    Combinator,
    CombineValue,
    Deferred,
    LabelValue,
    Located,
    OpValue,
    RepeatValue,
    Results,
    Tensor,
    describe,
    is_pipeline,
)
from archdsl.ir.network import Scope, Turn
from archdsl.ops import OPS
from archdsl.ops.base import REQUIRED
from archdsl.ops.base import show as show_shape
from archdsl.ops.wrap import WRAPPERS, Wrapper
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.environment import Env
    from archdsl.ops.base import Op

# What a call may say of all its branches.
OPTIONS = {"cat": ("axis",), "split": ("sizes",), "attention": ("heads", "window", "shift")}
NO_PART = "a branch of `split` cannot be left out by a condition", "add an `else`"


# --------------------------------------------------------------------------------------- pipelines, from their syntax
def apply(
    ctx: Context, expr: tree.Expr, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None = None
) -> Tensor | Results:
    """Apply what an expression says to `current`; `x` is what the name `x` means in it."""
    rule = APPLY.get(type(expr))
    if rule is not None:
        result: Tensor | Results = rule(ctx, expr, env, current, x, tag)
        return result
    return apply_value(ctx, evaluate(ctx, expr, env, x), current, expr.span, tag)


def _apply_chain(
    ctx: Context, expr: tree.Chain, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
) -> Any:
    if tag is not None:
        return enclosed(ctx, lambda inner: _apply_chain(ctx, expr, env, inner, inner, None), current, tag, expr, env)
    start = constant(ctx, expr.links[0], env, x)
    if start is not None:
        return _follow(ctx, start, expr.links[1:], env, x)
    return _flow(ctx, current, expr.links, env)


def _flow(ctx: Context, start: Tensor | None, links: Sequence[tree.Expr], env: Env) -> Any:
    """Apply the links of a chain, in each of which `x` is what reaches it."""
    flowing: Any = start
    for link in links:
        current = main(flowing)
        flowing = apply(ctx, link, env, current, current)
    return flowing


def _follow(ctx: Context, start: Tensor, links: tuple[tree.Expr, ...], env: Env, x: Tensor | None) -> Tensor | Results:
    """Apply the rest of a chain that starts at a named tensor, in which `x` keeps its meaning."""
    value: Tensor | Results = start
    for link in links:
        value = apply(ctx, link, env, main(value), x)
    return value


def _apply_labelled(
    ctx: Context, expr: tree.Labelled, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
) -> Any:
    own = Tag(text_of(ctx, expr.name, env, x), expr.name.span, written=expr.name)
    if tag is not None:
        return enclosed(ctx, lambda inner: apply(ctx, expr.value, env, inner, inner, own), current, tag, expr, env)
    return apply(ctx, expr.value, env, current, x, own)


def _apply_only_if(
    ctx: Context, expr: tree.OnlyIf, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
) -> Any:
    if truth(ctx, expr.test, env, x):
        return apply(ctx, expr.value, env, current, x, tag)
    if current is None:
        raise errors.no_tensor(expr.span, "nothing is left of this step")
    return current


def _apply_either(
    ctx: Context, expr: tree.Either, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
) -> Any:
    return apply(ctx, expr.value if truth(ctx, expr.test, env, x) else expr.other, env, current, x, tag)


def _apply_items(
    ctx: Context, expr: tree.Items, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
) -> Any:
    if expr.tuple:
        raise errors.not_a_pipeline(expr.span, "a list of values in parentheses; a sequence is written `[a, b]`")

    def body(inner: Tensor) -> Tensor:
        for item in expr.items:
            if isinstance(item, (tree.Name, tree.Attribute, tree.Index)):
                value = evaluate(ctx, item, env, inner)
                _no_tensor_in((value,), item.span)
                inner = main(apply_value(ctx, value, inner, item.span))
            else:
                inner = main(apply(ctx, item, env, inner, inner))
        return inner

    return enclosed(ctx, body, current, tag, expr, env)


def _apply_call(
    ctx: Context, expr: tree.Call, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
) -> Any:
    target = evaluate(ctx, expr.target, env, x)
    target = target.item if isinstance(target, Located) else target
    if isinstance(target, Callee):
        return apply_value(ctx, partial(ctx, target, expr, env, x), current, expr.span, tag)
    several = len(expr.arguments) > 1 or any(isinstance(a, tree.Spread) for a in expr.arguments)
    if isinstance(target, Combinator) and several and current is not None:
        if tag is not None:
            return enclosed(ctx, lambda inner: _apply_call(ctx, expr, env, inner, inner, None), current, tag, expr, env)

        def branch(item: Any, part: Tensor) -> Tensor | None:
            if isinstance(item, Located):
                return _branch_value(ctx, item, part, expr.span)
            if left_out(ctx, item, env, part):
                return None
            return main(apply(ctx, item, env, part, part))

        known = current if target.kind != "split" else None  # of `x` in a list that `*` takes the items of
        branches: list[Any] = []
        options = _options(ctx, target, expr, env, current)
        for argument in expr.arguments:
            if isinstance(argument, tree.Spread):
                branches += _items(ctx, argument, env, known)
            elif not isinstance(argument, tree.Keyword):
                branches.append(argument)
        return combine(ctx, target.kind, branches, branch, current, expr.span, options)
    return apply_value(ctx, evaluate(ctx, expr, env, x), current, expr.span, tag)


# ----------------------------------------------------------------------------------------------- pipelines, evaluated
def _chain(ctx: Context, expr: tree.Chain, env: Env, x: Tensor | None) -> Any:
    first, *links = expr.links
    start = constant(ctx, first, env, x)
    if start is not None:
        return _follow(ctx, start, tuple(links), env, x)
    value = evaluate(ctx, first, env, x)
    if isinstance(value, Tensor):
        return _flow(ctx, value, links, env)
    return ChainValue((Located(value, first.span), *[Located(evaluate(ctx, e, env, x), e.span) for e in links]))


def constant(ctx: Context, expr: tree.Expr, env: Env, x: Tensor | None) -> Tensor | None:
    """Return the tensor that a chain starts at, or None where it starts with a pipeline."""
    if isinstance(expr, (tree.Name, tree.Attribute, tree.Index)):
        value = evaluate(ctx, expr, env, x)
    elif isinstance(expr, tree.Chain):
        start = constant(ctx, expr.links[0], env, x)
        value = None if start is None else _follow(ctx, start, expr.links[1:], env, x)
    else:
        return None
    value = value.main if isinstance(value, Results) else value
    return value if isinstance(value, Tensor) else None


def _combinator(ctx: Context, target: Combinator, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
    given = [argument for argument in expr.arguments if not isinstance(argument, tree.Keyword)]
    options = _options(ctx, target, expr, env, x)
    branches = tuple([b for argument in given for b in _given(ctx, argument, env, x)])
    if target.kind == "split" and OMITTED in branches:
        raise errors.bad_value(expr.span, *NO_PART)
    if len(given) == 1:
        _no_list(given[0], branches, target.kind)
    value = CombineValue(target.kind, tuple(b for b in branches if b is not OMITTED), options)
    if not _is_constant(value):
        return value
    tensors = [(main(branch.item), branch.span) for branch in value.branches]
    return join(ctx, value.kind, tensors, expr.span, options)


def _options(ctx: Context, target: Combinator, expr: tree.Call, env: Env, x: Tensor | None) -> Bound:
    """Return what a call says of all its branches: `axis="height"` of `cat`, `sizes=[8, 16]` of `split`."""
    values: dict[str, Any] = {}
    places: dict[str, Span] = {}
    written: dict[str, tree.Expr] = {}
    known = OPTIONS.get(target.kind, ())
    for argument in expr.arguments:
        if not isinstance(argument, tree.Keyword):
            continue
        if argument.name not in known:
            signature = ", ".join(["branch", "...", *[f"{name}=…" for name in known]])
            raise errors.unknown_argument(argument.place, target.kind, argument.name, signature, known)
        if argument.name in values:
            raise errors.bound_twice(argument.place, argument.name, places[argument.name])
        value = whole(ctx, argument.value, env, x)
        if isinstance(value, tuple):
            value = tuple([item.item if isinstance(item, Located) else item for item in value])
        values[argument.name], places[argument.name] = value, argument.value.span
        written[argument.name] = argument.value
    return Bound(tuple(values.items()), tuple(places.items()), tuple(written.items()), env) if values else NOTHING


def _given(ctx: Context, argument: tree.Argument, env: Env, x: Tensor | None) -> Iterator[Any]:
    """Yield the branches that an argument is: itself, or with a star the items of a list."""
    if isinstance(argument, tree.Spread):
        yield from _items(ctx, argument, env, x)
        return
    assert not isinstance(argument, tree.Keyword), "options are no branches"
    value = evaluate(ctx, argument, env, x)
    yield value if value is OMITTED else Located(value, argument.span)


def _items(ctx: Context, argument: tree.Spread, env: Env, x: Tensor | None) -> tuple[Any, ...]:
    """Return the items of a list that stand for branches, each with a place."""
    items = evaluate(ctx, argument.value, env, x)
    if not isinstance(items, tuple):
        raise errors.bad_value(argument.value.span, "`*` takes the items of a list", f"this is {describe(items)}")
    return tuple([item if isinstance(item, Located) else Located(item, argument.span) for item in items])


def _is_constant(value: CombineValue) -> bool:
    """Say whether every branch is a tensor, so that the result is one, too, and is computed once."""
    if value.kind == "split" or not value.branches:
        return False
    return all(isinstance(b, Located) and isinstance(b.item, (Tensor, Results)) for b in value.branches)


def _no_list(argument: tree.Argument, branches: tuple[Any, ...], combinator: str) -> None:
    """Raise an error where the one branch of a combinator is a list, whose items were meant to be its branches."""
    branch = branches[0].item if branches and isinstance(branches[0], Located) else None
    if isinstance(branch, tuple) and not isinstance(argument, tree.Spread):
        raise errors.list_of_branches(argument.span, combinator, isinstance(argument, tree.Items))


# ----------------------------------------------------------------------------------------------- pipelines, as values
def apply_value(
    ctx: Context, value: Any, current: Tensor | None, span: Span, tag: Tag | None = None
) -> Tensor | Results:
    """Apply a pipeline value to a tensor, under a label where it has one."""
    ctx.work += 1
    if ctx.work > MAX_WORK:
        ctx.spend(0, span)
    if isinstance(value, Located):
        return apply_value(ctx, value.item, current, value.span, tag)
    watched = ctx.watched.get(id(value)) if ctx.watched else None
    if watched is None:
        return _applied(ctx, value, current, span, tag)
    nodes = ctx.builder.nodes
    before = len(nodes)
    result = _applied(ctx, value, current, span, tag)
    watched.uses += any(_learns(ctx, node.what) for node in nodes[before:])
    return result


def _learns(ctx: Context, what: Op | Scope) -> bool:
    """Say whether a step has weights."""
    if not isinstance(what, Scope):
        return what.stateful
    if id(what) not in ctx.learning:
        ctx.learning[id(what)] = what, any(_learns(ctx, node.what) for node in what.nodes)
    return ctx.learning[id(what)][1]


def _applied(ctx: Context, value: Any, current: Tensor | None, span: Span, tag: Tag | None) -> Tensor | Results:
    if isinstance(value, (Tensor, Results)):
        if tag is not None:
            raise errors.bad_value(span, "a label names a step, and this is a tensor")
        return value
    rule = APPLY_VALUE.get(type(value))
    if rule is None or current is None or rule is _sequence:
        if not is_pipeline(value) and value != ():  # an empty list is a sequence of no steps
            if isinstance(value, Combinator):
                raise errors.missing_argument(span, value.kind, "a branch", "branch, ...")
            raise errors.not_a_pipeline(span, describe(value))
        if current is None:
            raise errors.no_tensor(span, "a step needs a tensor")
        if value is OMITTED:
            return current
    if rule is not None:
        result: Tensor | Results = rule(ctx, value, current, span, tag)
        return result
    return _unrolled(ctx, value, current, span) if tag is None else _body(ctx, value, current, span, tag)


def _operator(ctx: Context, value: OpValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    wraps = value.label in WRAPPERS
    if tag is not None and tag.whole and not wraps:
        op, _ = build(ctx, value, current, span)
        if op.module(current.shape) is None:
            return enclosed(ctx, lambda inner: main(operator(ctx, value, inner, span, None)), current, tag, span)
    return _wrapper(ctx, value, current, span, tag) if wraps else operator(ctx, value, current, span, tag)


def _deferred(ctx: Context, value: Deferred, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    return apply(ctx, value.expr, value.env, current, current, tag)


def _unrolled(ctx: Context, value: Any, current: Tensor, span: Span) -> Tensor | Results:
    """Apply the parts of a pipeline that has no module of its own, in the current scope."""
    result: Tensor | Results = current
    if isinstance(value, ChainValue):
        for link in value.links:
            result = apply_value(ctx, link, main(result), span)
    elif isinstance(value, tuple):
        for passes in _passes(value):
            turns: list[Turn] = []
            for item in passes:
                if not isinstance(item, Located) or item.made is None:
                    result = apply_value(ctx, item, main(result), span)
                    continue
                with ctx.builder.turn(turns, item.made.values):
                    result = apply_value(ctx, item, main(result), span)
            if turns:
                ctx.builder.looped(passes[0].made.written, turns)
    elif isinstance(value, RepeatValue):
        repeated: list[Turn] = []
        for _ in range(value.count):
            with ctx.builder.turn(repeated):
                result = apply_value(ctx, value.item, main(result), span)
        if value.times is not None:
            ctx.builder.looped(value.times, repeated)
    else:
        assert isinstance(value, CombineValue)

        def branch(item: Any, part: Tensor) -> Tensor | None:
            return _branch_value(ctx, item, part, span)

        result = combine(ctx, value.kind, list(value.branches), branch, current, span, value.options)
    return result


def _passes(sequence: tuple[Any, ...]) -> Iterator[list[Any]]:
    """Yield the items of a sequence: those that one comprehension made together, each other one alone."""
    found: list[Any] = []
    for item in sequence:
        made, last = [one.made if isinstance(one, Located) else None for one in (item, found[-1] if found else None)]
        if found and (made is None or last is None or not made.after(last)):
            yield found
            found = []
        found.append(item)
    if found:
        yield found


def _branch_value(ctx: Context, item: Any, part: Tensor, span: Span) -> Tensor | None:
    return None if _value_left_out(ctx, item, part) else main(apply_value(ctx, item, part, span))


def _sequence(ctx: Context, value: tuple[Any, ...], current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    """Apply a sequence; one that is repeated on the same shape is elaborated once."""
    _no_tensor_in(value, span)
    known = ctx.sequences.get((id(value), current.shape)) if tag is None else None
    if known is not None:
        scope = known[1]
        return node(ctx, scope, [current], scope.output_shapes, span, None)
    result = _body(ctx, value, current, span, tag)
    made = ctx.builder.nodes[-1]
    if tag is None and isinstance(made.what, Scope) and len(made.inputs) == 1:
        ctx.sequences[id(value), current.shape] = value, made.what
    return result


def _body(ctx: Context, value: Any, current: Tensor, span: Span, tag: Tag | None) -> Tensor:
    """Apply a pipeline that has no module of its own in a scope, which knows the names of the definition it is from."""
    origin = ctx.origins.get(id(value))
    text, env = (
        (None, None) if origin is None or origin.frame is not ctx.builder.frame else (origin.written, origin.env)
    )
    return enclosed(ctx, lambda inner: main(_unrolled(ctx, value, inner, span)), current, tag, span, env, text)


def _wrapper(ctx: Context, value: OpValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    """Apply an operator that takes a pipeline: a scope of its own, with the pipeline as its step `f`."""
    op, _ = build(ctx, value, current, span)
    assert isinstance(op, Wrapper), "only wrappers come here"
    place = dict(value.bound.places).get("f", span)
    before = ctx.guesses
    with ctx.inside(Builder(ctx.builder, ctx.builder.frame)) as inner:
        x = entered(ctx, current)
        f = _timed(dict(value.bound.values)["f"], inner, x)
        made = apply_value(ctx, f, x, span, Tag("f", span, whole=True))
        y, mistake = main(made), None
        if isinstance(made, Results):
            returned = ", ".join([f"`{name}`" for name, _ in made.tensors])
            mistake = fault(ctx, place, f"the function of `{op.name}` must return one tensor", f"it returns {returned}")
        elif inner.captured:
            title = f"the function of `{op.name}` may use its own input only"
            mistake = fault(ctx, place, title, "it uses another tensor")
        elif y.shape != x.shape:
            changes = f"{show_shape(x.shape)} becomes {show_shape(y.shape)}"
            mistake = fault(ctx, place, f"the function of `{op.name}` must keep the shape", changes)
        if mistake is not None:
            mistake.doubtful = ctx.guesses > before
            raise mistake
        scope = inner.scope("wrapper", op.name, y, span, wrapper=op)
    return ctx.since(before, node(ctx, scope, [current], scope.output_shapes, span, tag))


def _timed(f: Any, inner: Builder, x: Tensor) -> Any:
    """Return a function of time with its open argument given: a map of one channel that holds the time."""
    while isinstance(f, Located):
        f = f.item
    if not isinstance(f, BlockValue):
        return f
    given = dict(f.bound.values)
    missing = [name for name, default in f.params.items() if default is REQUIRED and name not in given]
    if len(missing) != 1:
        return f
    time = inner.input((x.shape[0], 1, *x.shape[2:]), "t")
    return f.replace(bound=f.bound.replace(values=tuple(sorted([*given.items(), (missing[0], time)], key=_name))))


def _labelled_value(ctx: Context, value: LabelValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    own = Tag(value.name, value.span, value, span, written=value.written)
    if tag is not None:
        return enclosed(ctx, lambda inner: main(apply_value(ctx, value.item, inner, span, own)), current, tag, span)
    return apply_value(ctx, value.item, current, span, own)


def entered(ctx: Context, current: Tensor) -> Tensor:
    """Return what a tensor is inside of the scope under construction: its input."""
    inner = ctx.builder.input(current.shape)
    if current.guess and ctx.problems is not None:
        ctx.problems.marked(inner)
    return inner


def enclosed(
    ctx: Context,
    body: Callable[[Tensor], Tensor | Results],
    current: Tensor | None,
    tag: Tag | None,
    written: tree.Node | Span,
    env: Env | None = None,
    text: tree.Node | None = None,
) -> Tensor:
    """Apply a body in a scope of its own: a sequence or a labelled body, `written` where names are those of `env`.

    Of one that stands elsewhere the `text` is given.
    """
    span = written.span if isinstance(written, tree.Node) else written
    text = written if isinstance(written, tree.Node) else text
    if current is None:
        raise errors.no_tensor(span, "a step needs a tensor")
    before = ctx.guesses
    with ctx.inside(Builder(ctx.builder, ctx.builder.frame)) as inner:
        last = main(body(entered(ctx, current)))
        if inner.outputs:
            raise errors.misplaced(span, "an `output` in this body", "outputs belong to a net or a block")
        scope = inner.scope("scope", tag.name if tag else "", last, span)
        if env is not None and text is not None:
            scope = scope.replace(written=text, around=_mentioned(ctx, text, env))
    made = node(ctx, scope, [current, *inner.captured], scope.output_shapes, span, tag)
    return ctx.since(before, main(made))


def _mentioned(ctx: Context, written: tree.Node, env: Env) -> tuple[tuple[str, object], ...]:
    """Return the names that a piece of a definition mentions and that stand for plain values, as they were bound."""
    found: list[tuple[int, int, str, object]] = []
    for name in names_in(ctx, written):
        home = env.find(name)
        if home is not None and name in home.places and isinstance(home.names[name], (int, float, bool, str, tuple)):
            place = home.places[name].start, [*home.names].index(name)  # of the targets of a loop, which have one place
            found.append((*place, name, home.names[name]))
    return tuple([(name, value) for _, _, name, value in sorted(found, key=itemgetter(0, 1))])


def left_out(ctx: Context, expr: tree.Expr, env: Env, x: Tensor) -> bool:
    """Say whether a branch is `item if test`, with a label or without, and the test is false."""
    while isinstance(expr, tree.Labelled):
        expr = expr.value
    return isinstance(expr, tree.OnlyIf) and not truth(ctx, expr.test, env, x)


def _value_left_out(ctx: Context, value: Any, x: Tensor) -> bool:
    """Say the same of a branch that is a value."""
    while isinstance(value, (Located, LabelValue)):
        value = value.item
    return value is OMITTED or (isinstance(value, Deferred) and left_out(ctx, value.expr, value.env, x))


def combine(
    ctx: Context,
    kind: str,
    branches: list[Any],
    apply: Callable[[Any, Tensor], Tensor | None],
    current: Tensor,
    span: Span,
    options: Bound = NOTHING,
) -> Tensor:
    """Apply branches and combine what they return."""
    parts = [current] * len(branches)
    if kind == "split" and (len(branches) > 1 or options.values):
        parts = _divided(ctx, *_division(len(branches), options, span), current, span)
    if kind == "attention" and not branches:  # queries, keys and values lie one after another
        thirds = _divided(ctx, OPS["chunk"].build({"parts": 3}), span, current, span)
        return join(ctx, kind, [(third, span) for third in thirds], span, options)
    tensors = []
    for branch, part in zip(branches, parts):
        try:
            result = apply(branch, part)
        except (CompileError, Consequence) as stop:
            if ctx.problems is None:
                raise
            ctx.problems.meet(ctx, stop)
            result = ctx.problems.guess(ctx, part)
        if result is None and kind == "split":
            raise errors.bad_value(span, *NO_PART)
        if result is not None:
            tensors.append((result, _place(branch) or span))
    if not tensors:
        return current
    return join(ctx, "cat" if kind == "split" else kind, tensors, span, NOTHING if kind == "split" else options)


def _divided(ctx: Context, chunk: Op, place: Span, current: Tensor, span: Span) -> list[Tensor]:
    """Divide the channels of a tensor; one part is the tensor itself."""
    shapes, relations = infer(ctx, chunk, [current], span, {}, {"parts": place})
    parts = tensors_of(node(ctx, chunk, [current], shapes, span, None)) if len(shapes) > 1 else [current]
    relate(ctx, relations)
    return parts


def _division(count: int, options: Bound, span: Span) -> tuple[Op, Span]:
    """Return what divides channels among so many branches, evenly or by `sizes`, and the place that says so."""
    if not options.values:
        return OPS["chunk"].build({"parts": count}), span
    ((_, sizes),), ((_, place),) = options.values, options.places
    if not isinstance(sizes, tuple) or len(sizes) != count:
        reason = f"expects a list of {count} integers, the channels of each branch"
        raise errors.bad_argument(place, "split", "sizes", reason, describe(sizes))
    return joining("chunk", Bound((("parts", sizes),), (("parts", place),)), "split"), place


def _no_tensor_in(sequence: tuple[Any, ...], span: Span) -> None:
    """Raise an error where a sequence holds a tensor, after which nothing of what comes before it is left."""
    for item in sequence:
        value = item.item if isinstance(item, Located) else item
        if isinstance(value, (Tensor, Results)):
            raise errors.tensor_in_a_sequence(item.span if isinstance(item, Located) else span)


def _name(argument: tuple[str, Any]) -> str:
    return argument[0]


def _place(branch: Any) -> Span | None:
    """Return where a branch is written, where it says so: an expression, a statement, or a value with its place."""
    place: Span | None = getattr(branch[0] if isinstance(branch, tuple) and branch else branch, "span", None)
    return place


# What each form of a pipeline does to a tensor, and each kind of a pipeline value; blocks are added where they are.
APPLY: dict[type, Callable[..., Any]] = {
    tree.Chain: _apply_chain,
    tree.Labelled: _apply_labelled,
    tree.OnlyIf: _apply_only_if,
    tree.Either: _apply_either,
    tree.Items: _apply_items,
    tree.Call: _apply_call,
}
APPLY_VALUE: dict[type, Callable[..., Any]] = {
    OpValue: _operator,
    LabelValue: _labelled_value,
    Deferred: _deferred,
    tuple: _sequence,
}
EVALUATE[tree.Chain] = _chain
CALL[Combinator] = _combinator
