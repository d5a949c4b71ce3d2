"""Syntax to IR: nets, blocks and their statements, and every value with its exact symbolic shape.

    context      what one elaboration knows
    expressions  expressions to values; with `arithmetic`, `calls`, `builtins`
    operators    what operators do to tensors
    signs        arithmetic, of values and of tensors
    pipelines    pipelines applied to tensors
    nets         nets, blocks and their statements

Shapes are inferred on the way and not in a pass of their own, because the text may ask for them: what
`if x.channels != channels` decides is what is built. So there is no unchecked graph: what leaves this stage is checked.
An instance of a block with the same arguments on the same input shape is elaborated once and shared.
"""

from __future__ import annotations

import keyword
from functools import partial
from math import prod

from archdsl.core.record import Record
from archdsl.core.sizes import Area, Size, symbols
from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.builder import Builder, Frame, Tag, main
from archdsl.elaborate.calls import signature
from archdsl.elaborate.context import MAX_CALLS, Context, Origin, Settings, Watched
from archdsl.elaborate.environment import Env
from archdsl.elaborate.expressions import COMBINATORS, bind, definition, evaluate, loop, names_in, text_of, truth, whole
from archdsl.elaborate.operators import fault, node
from archdsl.elaborate.pipelines import APPLY_VALUE, apply, combine, enclosed, entered, left_out
from archdsl.elaborate.problems import Consequence, Enough, Problems
from archdsl.elaborate.requirements import demanded, open_relations, sizes_of
from archdsl.elaborate.values import OMITTED, BlockValue, Callee, Located, Quotient, Tensor, describe, is_pipeline, show
from archdsl.elaborate.weight import is_fed
from archdsl.ir.dilation import dilated
from archdsl.ir.liveness import needed
from archdsl.ir.network import Network, Requirement, Scope, Turn
from archdsl.ir.outputs import Pruner, selected
from archdsl.ir.walk import distinct
from archdsl.ops import OPS, axes
from archdsl.ops.base import show as show_shape
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from archdsl.core.sizes import Dim, Shape
    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.elaborate.context import Memo, Spent
    from archdsl.elaborate.environment import File
    from archdsl.elaborate.values import Results


MAX_SIZE = 1 << 24  # of an input
KNOWN = "maps are `[N, C, H, W]`, and their channels are known: `[N, 3, H=224, W=224]`"
OF_ITS_OWN = 'a size of its own has a name and a default: `G=448`; `require G == 2 * H, "twice the size"` ties it'
INPUT_FORMS = "images are `[N, C, H, W]`, tokens `[N, L, C]`, flat features `[N, F]`"


class Outcome(Record):
    """What elaborating a net has come to: a checked network, or the mistakes in its text."""

    network: Network | None
    found: tuple[tuple[Diagnostic, int], ...] = ()  # each with how often it was met

    @property
    def mistakes(self) -> list[Diagnostic]:
        """The mistakes, in the order in which they were met."""
        return [errors.used_again(diagnostic, uses) for diagnostic, uses in self.found]


def elaborate(
    file: File, name: str, settings: Settings | None = None, *, memo: Memo | None = None, spent: Spent | None = None
) -> Network:
    """Return the checked network of one net of a file; raises `CompileError` at the first mistake.

    What holds for other settings, too, is found in `memo` or kept there. What it takes is added to `spent`.
    """
    ctx = Context(settings, memo)
    ctx.memo.renew()
    try:
        return network(ctx, file, name)
    except CompileError as mistake:
        raise CompileError(ctx.placed(mistake)) from None
    except RecursionError:
        raise _too_deep(file, name) from None
    finally:
        if spent is not None:
            spent.add(ctx)


def attempt(
    file: File, name: str, settings: Settings | None = None, *, memo: Memo | None = None, spent: Spent | None = None
) -> Outcome:
    """Elaborate one net of a file, and go on after each mistake that stops one of its statements."""
    problems = Problems()
    ctx = Context(settings, memo, problems)
    ctx.memo.renew()
    made = _recovering(ctx, problems, file, name)
    if spent is not None:
        spent.add(ctx)
    return Outcome(made, tuple(problems.found.values()))


def _recovering(ctx: Context, problems: Problems, file: File, name: str) -> Network | None:
    """Return a net, or None where it has mistakes, which are among the problems then."""
    try:
        try:
            return network(ctx, file, name)
        except CompileError as mistake:  # of its head
            problems.meet(ctx, mistake)
        except RecursionError:
            if not problems.found:
                problems.meet(ctx, _too_deep(file, name))
    except (Consequence, Enough):
        pass
    return None


def _too_deep(file: File, name: str) -> CompileError:
    return errors.too_deep(file.definitions[name].span, "expressions and blocks", MAX_CALLS)


# -------------------------------------------------------------------------------------------------- nets
def network(ctx: Context, file: File, name: str) -> Network:
    """Elaborate a net by name."""
    item = file.definitions[name]
    place = item.span
    value = definition(ctx, file, name, place)
    if isinstance(value, Located):
        value = value.item
    if not isinstance(value, BlockValue) or not isinstance(value.block, tree.Net):
        raise errors.bad_value(place, f"`{name}` is not a net", f"this is {describe(value)}")
    value = _configured(ctx, value, place)
    ctx.builder = Builder(None, Frame(value, place, None))
    scope = _body(ctx, value, None, place)
    if ctx.problems is not None and ctx.problems.found:
        raise Enough  # of a scope with guesses nothing can be said
    doc = value.block.doc or file.module.doc
    copied = tuple([(one.name, one.span, one.uses) for one in ctx.watched.values() if one.uses > 1])
    functions = tuple(_functions(file, set()))
    made = Network(name, scope, tuple(ctx.symbols.values()), file.source, doc, copied=copied, functions=functions)
    made = made.replace(headless=True) if ctx.headless else made
    if ctx.memo.trains:
        _check_training(scope)
    if ctx.settings.outputs:
        made = selected(made, ctx.settings.outputs, place)
    elif ctx.memo.nests:
        made = made.replace(scope=Pruner().inside(scope))
    return dilated(made, ctx.settings.output_stride) if ctx.settings.output_stride else made


def _check_training(root: Scope) -> None:
    """Raise `CompileError` where a result that a step has in training alone is needed in evaluation, too."""
    for scope in distinct(root):
        inner = [(node, node.what) for node in scope.nodes if isinstance(node.what, Scope)]
        late = {v: (node, o) for node, what in inner for v, o in zip(node.outputs, what.outputs) if o.training}
        if not late:
            continue
        alive = needed(scope)
        readers = {v: node for node in reversed(scope.nodes) if not alive.isdisjoint(node.outputs) for v in node.inputs}
        for value in [v for v in late if v in alive]:
            node, output = late[value]
            raise errors.training_alone(readers.get(value, node).span, output.name, node.span)


def _functions(file: File, seen: set[int]) -> Iterator[tree.Fn]:
    """Yield the functions of a file, and of those that it imports from."""
    seen.add(id(file))
    yield from [item for item in file.definitions.values() if isinstance(item, tree.Fn)]
    for other, _ in file.imports.values():
        if id(other) not in seen:
            yield from _functions(other, seen)


def _configured(ctx: Context, value: BlockValue, place: Span) -> BlockValue:
    """Return a net with the caller's parameters."""
    params = value.params
    bound = dict(value.bound.values)
    for name, given in ctx.settings.params:
        if name not in params:
            raise errors.unknown_parameter(place, value.label, name, signature(value), params)
        bound[name] = given
    return value.replace(bound=value.bound.replace(values=tuple(sorted(bound.items(), key=lambda kv: kv[0]))))


# -------------------------------------------------------------------------------------------------- blocks
def _body(ctx: Context, value: BlockValue, current: Tensor | None, span: Span) -> Scope:
    """Run the body of a block or net in the current builder and return the finished scope."""
    block, builder, before = value.block, ctx.builder, ctx.guesses
    env = _arguments(ctx, value, span)
    args = tuple(env.names.items())
    declared = block.signature if isinstance(block, tree.Block) else None
    if declared is not None and current is not None:
        _bind_signature(ctx, declared, current, env)
    last = run(ctx, block.body, env, current)
    if last is None:
        raise errors.no_tensor(block.span, f"the net `{block.name}` has no input")
    kind = "block" if isinstance(block, tree.Block) else "net"
    if any(name == "out" for name, _, _ in builder.outputs) and all(training for _, _, training in builder.outputs):
        why = "what the last step returns is called so, since no result that is named is there in evaluation"
        raise errors.bad_label(builder.output_places["out"], "out", why)
    scope = builder.scope(kind, block.name, last, block.span, args=args, definition=block)
    if declared is not None and ctx.guesses == before:
        _check_signature(ctx, declared, block.name, scope.output_shapes[0], env)
    return scope


def _arguments(ctx: Context, value: BlockValue, span: Span) -> Env:
    """Return the environment of a body: its parameters, as they are given or by default."""
    env, given = Env(value.env, value.env.file), dict(value.bound.values)
    for param in value.block.params:
        if param.name in given:
            one = given[param.name]
            bind(param.name, one, env, param.span)
            if isinstance(one, Tensor):
                ctx.builder.given[one] = param.name
            elif isinstance(one, tuple):
                listed = [(number, item) for number, item in enumerate(one) if isinstance(item, Tensor)]
                ctx.builder.given |= {item: f"{param.name}{number}" for number, item in listed}
        elif param.default is None:
            raise errors.missing_argument(value.span or span, value.label, param.name, signature(value), param.span)
        else:
            default = whole(ctx, param.default, env, None)
            bind(param.name, default.item if isinstance(default, Located) else default, env, param.span)
    return env


def _bind_signature(ctx: Context, declared: tree.Signature, x: Tensor, env: Env) -> None:
    if ctx.problems is not None and x.guess:
        ctx.problems.doubt = True
    if len(declared.inputs) != len(x.shape):
        got = f"the input is {show_shape(x.shape)}"
        raise fault(ctx, declared.span, "the input does not have the declared rank", got)
    for expr, dim in zip(declared.inputs, x.shape):
        if isinstance(expr, tree.Name) and expr.plain and expr.plain not in env.names:
            bind(expr.plain, dim, env, expr.span)
            continue
        wanted = whole(ctx, expr, env, x)
        if wanted != dim:
            raise fault(ctx, expr.span, f"the block takes {show(wanted)} here, and the input has {dim}", "")


def _check_signature(ctx: Context, declared: tree.Signature, block: str, shape: Shape, env: Env) -> None:
    wanted = []
    for expr in declared.outputs:
        value = evaluate(ctx, expr, env, None)
        if type(value) is not int and not isinstance(value, (Size, Area, Quotient)):
            raise errors.bad_value(expr.span, "a dim is an integer or a size", f"this is {describe(value)}")
        wanted.append(value)
    if tuple(wanted) == shape:
        return
    where = [i for i, (a, b) in enumerate(zip(wanted, shape)) if a != b] if len(wanted) == len(shape) else []
    names = ", ".join([axes.name(i, len(shape)) for i in where])
    span = declared.outputs[where[0]].span if where else declared.span
    title = f"{'axis differs' if len(where) == 1 else 'axes differ'}: {names}"
    notes = [title, *_counterexample(wanted[where[0]], shape[where[0]])] if where else ["the ranks differ"]
    shapes = f"[{', '.join(map(show, wanted))}]", show_shape(shape)
    raise errors.signature_broken(span, block, *shapes, "\n".join(notes), ctx.trail())


def _block(ctx: Context, value: BlockValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    before = ctx.guesses
    scope, captured = _instance(ctx, value, current, span)
    result = node(ctx, scope, [current, *captured], scope.output_shapes, span, tag, bound=value.bound)
    return ctx.since(before, result)


def _instance(ctx: Context, value: BlockValue, x: Tensor, span: Span) -> tuple[Scope, tuple[Tensor, ...]]:
    """Return the scope of a block on an input, elaborated once for each distinct instance.

    One with a mistake is elaborated in each use, to count it; one that reads tensors of the net around it stays in no
    memo that other nets share.
    """
    key = (id(value.block), value.bound.key(), x.shape)
    known = ctx.memo.instances.get(key)
    if known is not None:
        return known
    before = ctx.guesses
    ctx.memo.nests = ctx.memo.nests or isinstance(value.block, tree.Net)
    frame = Frame(value, span, ctx.builder.frame)
    with ctx.inside(Builder(ctx.builder, frame)) as inner, ctx.deeper(value.label, span):
        scope = _body(ctx, value, entered(ctx, x), span)
    found = scope, tuple(inner.captured)
    if ctx.guesses == before and not (ctx.memo.lasting and found[1]):
        ctx.memo.instances[key] = found
    return found


# -------------------------------------------------------------------------------------------------- statements
def run(ctx: Context, body: Iterable[tree.Statement], env: Env, x: Tensor | None) -> Tensor | None:
    """Run statements; returns the tensor that leaves the last one."""
    for statement in body:
        try:
            x = _RUN[type(statement)](ctx, statement, env, x)
        except (CompileError, Consequence) as stop:
            if ctx.problems is None:
                raise
            x = ctx.problems.recover(ctx, stop, statement, env, x)
    return x


def _step(ctx: Context, statement: tree.Step, env: Env, x: Tensor | None) -> Tensor:
    return main(apply(ctx, statement.value, env, x, x))


def _bind_statement(ctx: Context, statement: tree.Bind, env: Env, x: Tensor | None) -> Tensor | None:
    name = text_of(ctx, statement.name, env, x)
    value = whole(ctx, statement.value, env, x)
    if value is OMITTED:
        raise errors.bad_value(statement.value.span, "a binding cannot be left out by a condition", "add an `else`")
    home = env if statement.name.plain is not None else env.home
    value = value.item if isinstance(value, Located) else value
    if is_fed(ctx, value):
        ctx.watched[id(value)] = Watched(name, statement.name.span, value)
    if is_pipeline(value) and not isinstance(value, Callee):
        ctx.origins[id(value)] = Origin(value, statement.value, env, ctx.builder.frame)
    bind(name, value, home, statement.name.span)
    ctx.builder.named(name, value)
    listed = type(value) is tuple and not is_pipeline(value)
    if (type(value) in (int, float, bool, str) or listed) and statement.name.plain is not None:
        ctx.builder.bindings.append((name, statement.value, value))
    return x


def _scope_statement(ctx: Context, statement: tree.Scope, env: Env, x: Tensor | None) -> Tensor:
    if x is None:
        raise errors.no_tensor(statement.name.span, "a body needs a tensor")
    kind = statement.name.plain
    if kind in COMBINATORS and env.find(kind) is None:
        branches = list(_branches(ctx, statement.body, env, x))
        return combine(ctx, kind, branches, partial(_branch_statement, ctx), x, statement.name.span)
    tag = Tag(text_of(ctx, statement.name, env, x), statement.name.span, written=statement.name)

    def body(inner: Tensor) -> Tensor:
        return _some(run(ctx, statement.body, Env(env, env.file), inner))

    return enclosed(ctx, body, x, tag, statement, env)


def _branches(
    ctx: Context, body: tuple[tree.Statement, ...], env: Env, x: Tensor
) -> Iterator[tuple[tree.Statement, Env]]:
    """Yield the statements of a combinator that are branches; bindings and conditions are run on the way."""
    for statement in body:
        if isinstance(statement, (tree.Step, tree.Scope)):
            yield statement, env
        elif isinstance(statement, tree.If):
            for test, arm in statement.arms:
                if test is None or truth(ctx, test, env, x):
                    yield from _branches(ctx, arm, env, x)
                    break
        elif isinstance(statement, tree.For):
            for inner in loop(ctx, statement.targets, statement.values, env, x):
                yield from _branches(ctx, statement.body, inner, x)
        elif isinstance(statement, (tree.Bind, tree.Require)):
            run(ctx, (statement,), env, x)
        else:
            raise errors.misplaced(statement.span, "this", "the lines of a combinator are its branches")


def _branch_statement(ctx: Context, branch: tuple[tree.Statement, Env], x: Tensor) -> Tensor | None:
    statement, env = branch
    if isinstance(statement, tree.Step) and left_out(ctx, statement.value, env, x):
        return None
    return run(ctx, (statement,), env, x)


def _input_statement(ctx: Context, statement: tree.Input, env: Env, x: Tensor | None) -> Tensor:
    builder = ctx.builder
    if builder.outer is not None:
        return _bind_input(ctx, statement, env, builder, x)
    if builder.nodes:
        raise errors.misplaced(statement.span, "an `input`", "inputs stand before the first step of a net")
    batch = statement.dims[0][0]
    batchless = len(statement.dims) == 3 and not (isinstance(batch, tree.Name) and batch.plain)
    if len(statement.dims) not in (2, 3, 4) or batchless:
        reason = (
            "an input starts with its batch" if batchless else f"an input has 2 to 4 axes, not {len(statement.dims)}"
        )
        raise errors.bad_input(statement.span, reason, INPUT_FORMS)
    if len(statement.dims) == 4 and _symbol(statement.dims[1][0], env):
        named = statement.dims[1][0].span
        raise errors.bad_input(named, f"the channels of a map are a number, not the size `{named.text}`", KNOWN)
    number = len(builder.inputs)
    asked = ctx.settings.sizes[number] if number < len(ctx.settings.sizes) else None
    if asked is not None and len(asked) != len(statement.dims):
        raise errors.bad_input(
            statement.span, f"the input has {len(statement.dims)} axes, and {len(asked)} sizes were given"
        )
    shape: list[Dim] = []
    for axis, (expr, default) in enumerate(statement.dims):
        shape.append(_input_dim(ctx, expr, default, env, axis, asked[axis] if asked else None, number))
    first = builder.shapes[builder.inputs[0]][0] if number else shape[0]
    if shape[0] != first:
        raise errors.bad_input(batch.span, f"all inputs have the batch of the first one, `{first}`")
    tensor = builder.input(tuple(shape), statement.name)
    bind(statement.name, tensor, env, statement.span)
    return tensor if number == 0 else _some(x)


def _bind_input(ctx: Context, statement: tree.Input, env: Env, builder: Builder, x: Tensor | None) -> Tensor:
    """Give a net that is used as a step the tensor that reaches it as its input."""
    if builder.nodes or (builder.outer is not None and builder.outer.frame is builder.frame):
        raise errors.misplaced(statement.span, "an `input`", "inputs stand before the first step of a net")
    if any(isinstance(value, Tensor) and value is x for value in env.names.values()):
        raise errors.misplaced(statement.span, "a second `input`", "a net used as a step takes one tensor")
    tensor = _some(x)
    if len(statement.dims) != len(tensor.shape):
        raise fault(ctx, statement.span, "the input does not have the declared rank", f"got {show_shape(tensor.shape)}")
    for (expr, _), dim in zip(statement.dims, tensor.shape):
        if isinstance(expr, tree.Name) and expr.plain and expr.plain not in env.names:
            bind(expr.plain, dim, env, expr.span)
    bind(statement.name, tensor, env, statement.span)
    return tensor


def _input_dim(
    ctx: Context, expr: tree.Expr, default: tree.Expr | None, env: Env, axis: int, asked: int | None, number: int
) -> Dim:
    """Return one axis of input `number`: a size by its name, or a number, of which `asked` stands for another one."""
    name = _symbol(expr, env)
    if name:
        if name not in ctx.symbols:
            value = asked if asked is not None else _default_size(ctx, expr, default, env, axis)
            if type(value) is not int or not 1 <= value <= MAX_SIZE:
                title = f"a size is an integer from 1 to 2**24, not {show(value)}"
                raise errors.bad_input((default or expr).span, title)
            ctx.symbols[name] = ctx.memo.symbol(name, value)
        return Size.of(ctx.symbols[name])
    computed = sorted(names_in(ctx, expr) & ctx.symbols.keys())
    if computed:
        title = f"a size is a name or a number: it is not computed from `{computed[0]}`"
        raise errors.bad_input(expr.span, title, OF_ITS_OWN)
    value = whole(ctx, expr, env, None)
    if axis == 1 and number == 0 and ctx.settings.in_channels is not None:
        value = ctx.settings.in_channels
    value = asked if asked is not None else value
    if type(value) is not int or value < 1:
        title = "a dim of an input is a symbol or an integer ≥ 1"
        raise errors.bad_input(expr.span, title, f"this is {describe(value)}")
    return value


def _symbol(expr: tree.Expr, env: Env) -> str | None:
    """Return the name of an axis that stands for a size of the input: one that nothing else has."""
    name = expr.plain if isinstance(expr, tree.Name) else None
    return name if name and env.find(name) is None and name not in OPS else None


def _default_size(ctx: Context, expr: tree.Expr, default: tree.Expr | None, env: Env, axis: int) -> Any:
    """Return the size of an axis where the caller gives none: as the text says, and one image."""
    if default is None:
        if axis > 0:
            name = expr.span.text
            raise errors.bad_input(expr.span, f"`{name}` needs a default size", f"write `{name}=224`")
        return 1
    value = whole(ctx, default, env, None)
    return value * ctx.settings.larger if axis > 1 and type(value) is int else value


def _output_statement(ctx: Context, statement: tree.Output, env: Env, x: Tensor | None) -> Tensor | None:
    places = ctx.builder.output_places
    name = text_of(ctx, statement.name, env, x)
    if name in places:
        raise errors.bound_twice(statement.span, name, places[name])
    places[name] = statement.span
    ctx.memo.trains = ctx.memo.trains or statement.training
    if keyword.iskeyword(name):
        raise errors.bad_label(statement.span, name, "it is a Python keyword")
    if name.startswith("_"):
        raise errors.bad_label(statement.span, name, "a field of a named tuple starts with a letter")
    try:
        result = main(apply(ctx, statement.value, env, x, x))
    except (CompileError, Consequence) as stop:
        if ctx.problems is None or x is None:
            raise
        ctx.problems.meet(ctx, stop)
        result = ctx.problems.guess(ctx, x)  # it has its name, of which more may be asked
    ctx.builder.outputs.append((name, result, statement.training))
    return x


def _require_statement(ctx: Context, statement: tree.Require, env: Env, x: Tensor | None) -> Tensor | None:
    for clause in demanded(ctx, statement.test, env, x):
        if not any(relation.holds for relation in clause):
            message = whole(ctx, statement.message, env, x)
            text = message if isinstance(message, str) else show(message)
            raise errors.requirement(statement.test.span, text, sizes_of(clause))
        if relations := open_relations(clause):
            ctx.builder.requirements.append(Requirement(relations, statement.test.span))
    return x


def _if_statement(ctx: Context, statement: tree.If, env: Env, x: Tensor | None) -> Tensor | None:
    for number, (test, body) in enumerate(statement.arms):
        if test is None or truth(ctx, test, env, x):
            with ctx.builder.arm(statement, number):
                return run(ctx, body, env, x)
    return x


def _for_statement(ctx: Context, statement: tree.For, env: Env, x: Tensor | None) -> Tensor | None:
    turns: list[Turn] = []
    for inner in loop(ctx, statement.targets, statement.values, env, x):
        with ctx.builder.turn(turns, inner.names.items()):
            x = run(ctx, statement.body, inner, x)
    ctx.builder.looped(statement, turns)
    return x


def _some(x: Tensor | None) -> Tensor:
    assert x is not None, "a scope always starts with a tensor"
    return x


def _counterexample(declared: Dim | Quotient, returned: Dim) -> Iterator[str]:
    """Yield an input size at which a block does not return the size that it declares: the first from the default on."""
    top, bottom = (declared.top, declared.bottom) if isinstance(declared, Quotient) else (declared, 1)
    symbol = next((symbols(dim)[0] for dim in (top, returned) if symbols(dim)), None)
    if symbol is None or isinstance(top, Area) or isinstance(returned, Area):
        return
    repeats = bottom * prod(dim.period for dim in (top, returned) if isinstance(dim, Size))
    for n in range(symbol.default, symbol.default + repeats + 1):
        left, right = [dim.at(n) if isinstance(dim, Size) else dim for dim in (top, returned)]
        if left != right * bottom:
            exact = str(left // bottom) if left % bottom == 0 else f"{left}/{bottom}"
            yield f"at {symbol.name} = {n} it declares {exact} and returns {right}"
            return


_RUN: dict[type, Any] = {
    tree.Step: _step,
    tree.Bind: _bind_statement,
    tree.Scope: _scope_statement,
    tree.Input: _input_statement,
    tree.Output: _output_statement,
    tree.Require: _require_statement,
    tree.If: _if_statement,
    tree.For: _for_statement,
}
APPLY_VALUE[BlockValue] = _block
