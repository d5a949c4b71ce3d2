"""What operators and blocks do to tensors: shapes, nodes, names, and what is said where a shape does not fit.

Operators know nothing of places: here their faults get a span, both shapes and the chain of blocks.
"""

from __future__ import annotations

import keyword
import re

from archdsl.core.record import Record
from archdsl.core.sizes import Size, SizeFault, symbols, window
from archdsl.diagnostics import Help, Label, Note, elsewhere, errors
from archdsl.elaborate.builder import shared_modules, shared_steps, tap
from archdsl.elaborate.calls import signature
from archdsl.elaborate.expressions import EVALUATE, evaluate, text_of
from archdsl.elaborate.measures import Measuring
from archdsl.elaborate.unapplied import unapplied
from archdsl.elaborate.values import NOTHING, UNIVERSAL, InitializerName, Located, Results, Tensor, describe, show
from archdsl.ir.network import Node, Scope
from archdsl.ops import axes, initializers
from archdsl.ops.base import MAX_INT, REQUIRED, ArgFault, ShapeFault
from archdsl.ops.base import show as show_shape
from archdsl.ops.pool import MaxUnpool
from archdsl.ops.regular import Identity
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.sizes import Dim, Shape
    from archdsl.core.source import Span
    from archdsl.diagnostics import CompileError
    from archdsl.elaborate.builder import Builder, Tag
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.environment import Env
    from archdsl.elaborate.values import Bound, OpValue
    from archdsl.ops.base import Kind, Margins, Op, Relation
    from archdsl.ops.initializers import Initializer

SIZES = {"features", *[name for names in axes.LAYOUTS.values() for name in names]}  # that a tensor may be asked for
MAX_NODES = 10_000  # steps in one distinct instance after another, 1.0 to 1.5 s; published networks have under 1,300
# What `nn.Module` already uses, so that no label may; a test compares it with torch.
MODULE_NAMES = frozenset(
    """T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty
    train training type xpu zero_grad""".split()
)


def operator(ctx: Context, value: OpValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
    """Apply an operator to a tensor."""
    if ctx.headless and _has_no_classes(value):
        return current if tag is None else node(ctx, Identity(), [current], (current.shape,), span, tag)
    key = (value.op, value.bound.key(), value.defaults, value.inits, current.shape)
    rule, operands = ctx.memo.rules.get(key), [current]
    if rule is None:
        op, further = build(ctx, value, current, span)
        margins = op.margins()
        if margins is not None:
            return _within(ctx, value, margins, current, span, tag)
        operands += further
        rule = _rule(ctx, value, op, operands, span)
        if not further:
            ctx.memo.rules[key] = rule
    if "identity" in rule.op.traits and tag is None:
        return current
    result = node(ctx, rule.op, operands, rule.shapes, span, tag, init=rule.init, bound=value.bound)
    if rule.relations:
        relate(ctx, rule.relations)
    return result


def _has_no_classes(value: OpValue) -> bool:
    """Say whether a layer has no results, as that for `classes` where a network is asked for with none."""
    out = dict(value.bound.values).get("out")
    out = out.item if isinstance(out, Located) else out
    return type(out) is int and out == 0


def _within(
    ctx: Context, value: OpValue, margins: Margins, current: Tensor, span: Span, tag: Tag | None
) -> Tensor | Results:
    """Add margins in a step of their own, and apply the operator with the padding that is left to it."""
    step, left = margins
    if step is not None:
        shapes, _ = infer(ctx, step, [current], span, {})
        (current,) = tensors_of(node(ctx, step, [current], shapes, span, None))
    values = {**dict(value.bound.values), "pad": left}
    inner = value.replace(bound=value.bound.replace(values=tuple(sorted(values.items()))))
    return operator(ctx, inner, current, span, tag)


class Rule(Record):
    """What an operator with its arguments does to operands of some shapes."""

    op: Op
    shapes: tuple[Shape, ...]
    relations: list[Relation]
    init: tuple[tuple[str, Initializer], ...]


def _rule(ctx: Context, value: OpValue, op: Op, operands: list[Tensor], span: Span) -> Rule:
    places = dict(value.bound.places)
    if isinstance(op, MaxUnpool):
        op = op.replace(pooled=_pooled(operands[1]))
    shape = operands[0].shape
    if len(value.bound.positional) > 2 and op.starts_with_input(shape):
        channels, window, step, *_ = [places[name] for name in value.bound.positional]
        raise errors.starts_with_input(channels, window, step, value.label)
    shapes, relations = infer(ctx, op, operands, span, {0: span, 1: places.get("like", span)}, places)
    ctx.memo.indexed = ctx.memo.indexed or "indices" in op.results
    init = _init(value, span)
    if init:
        _check_init(init, op, shape, value, span)
    return Rule(op, shapes, relations, init)


def build(ctx: Context, value: OpValue, current: Tensor, span: Span) -> tuple[Op, list[Tensor]]:
    """Return the operator with its arguments checked, and the tensors among them, or whose sizes are."""
    given, places = dict(value.defaults) | dict(value.bound.values), dict(value.bound.places)
    tensors: list[Tensor] = []
    for name, spec in value.op.args.items():
        if name not in given:
            if spec.default is REQUIRED:
                raise errors.missing_argument(value.span or span, value.label, name, signature(value))
            continue
        argument = given[name]
        if isinstance(argument, Results):
            argument = argument.main
        if isinstance(argument, Tensor):
            tensors.append(argument)
        elif isinstance(argument, tuple):
            given[name] = tuple(v.item if isinstance(v, Located) else v for v in argument)
    for name in UNIVERSAL:
        given.pop(name, None)
    sized = [name for name, spec in value.op.args.items() if spec.kind.measures and _changes(given.get(name))]
    if sized:
        measuring = Measuring(ctx, value, current, [current, *tensors])
        given |= {name: measuring.argument(name, given[name], places.get(name, span)) for name in sized}
        tensors = measuring.operands[1:]
    try:
        for name, spec in value.op.args.items():
            if name in given and not _accepts(spec.kind, given[name]):
                raise ArgFault(name, f"expects {spec.kind.text}")
        return value.op.build(given), tensors
    except ArgFault as fault:
        place = places.get(fault.name, span)
        got = _described(given[fault.name]) if fault.name in given else "left open"
        large = type(given.get(fault.name)) is int and given[fault.name] > MAX_INT
        reason = f"{fault.reason}, at most {MAX_INT:,}" if large else fault.reason
        raise errors.bad_argument(place, value.label, fault.name, reason, got) from None


def _accepts(kind: Kind, given: Any) -> bool:
    """Say whether an argument is a tensor where one is needed, the right result of the right operator."""
    if not isinstance(given, (Tensor, Results)):
        return not kind.tensor
    if kind.tensor in ("", "any"):
        return bool(kind.tensor)
    tensor = given.main if isinstance(given, Results) else given
    return tensor.node >= 0 and _result_of(tensor.builder.nodes[tensor.node], tensor.id) == kind.tensor


def _is_positions(tensor: Tensor) -> bool:
    """Say whether a tensor is the positions of maxima, a further result of a pool or of what returns it."""
    made = tensor.builder.nodes[tensor.node]
    if len(made.outputs) == 1 and not isinstance(made.what, Scope):
        return False
    return _result_of(made, tensor.id) == "maxpool.indices"


def _init(value: OpValue, span: Span) -> tuple[tuple[str, Any], ...]:
    if not value.op.initialized():
        return ()
    own = dict(value.bound.values)
    made = dict(value.inits)
    for argument, parameter in (("init", "weight"), ("bias_init", "bias")):
        if argument in own:
            made[parameter] = _initializer_value(own[argument], argument, value, span)
    return tuple(made.items())


def _initializer_value(given: Any, argument: str, value: OpValue, span: Span) -> Any:
    made = as_initializer(given)
    if made is None:
        place = dict(value.bound.places).get(argument, span)
        raise errors.bad_argument(
            place, value.label, argument, "expects an initializer, such as zeros", describe(given)
        )
    return made


def infer(
    ctx: Context,
    op: Op,
    operands: list[Tensor],
    span: Span,
    spans: dict[int, Span],
    places: dict[str, Span] | None = None,
) -> tuple[tuple[Shape, ...], list[Relation]]:
    """Return the shapes of the results and the equalities that hold for some input sizes only."""
    shapes = tuple([tensor.shape for tensor in operands])
    try:
        results = op.shapes(*shapes)
        relations = []
        for relation in op.relations(*shapes):
            if not relation.holds:
                raise ShapeFault(
                    f"the {axes.name(relation.axis, len(shapes[relation.operands[-1]]))} does not fit",
                    label=f"{int(relation.left)} against {int(relation.right)}",
                    at=relation.operands[-1],
                )
            if relation.left != relation.right and not (type(relation.left) is int and type(relation.right) is int):
                relations.append(relation)
        for result in results:
            if min(map(int, result)) < 1:
                raise ShapeFault("nothing is left of the input", label=f"the result would be {_sizes(result)}")
        return results, relations
    except ShapeFault as fault:
        mistake = _shape_error(ctx, op, fault, shapes, span, spans, places or {})
    except SizeFault as fault:
        mistake = errors.size_limits(span, str(fault), ctx.trail())
    mistake.doubtful = any(tensor.guess for tensor in operands)
    raise mistake


def _shape_error(
    ctx: Context,
    op: Op,
    fault: ShapeFault,
    shapes: tuple[Shape, ...],
    span: Span,
    spans: dict[int, Span],
    places: dict[str, Span],
) -> CompileError:
    labels, notes = [], []
    place = span
    if isinstance(fault.at, str) and fault.at in places:
        place = places[fault.at]
    elif isinstance(fault.at, int) and fault.at in spans:
        place = spans[fault.at]
    if len(shapes) > 1 and not op.measures:
        labels = [Label(s, f"{show_shape(shapes[i])}") for i, s in spans.items() if i < len(shapes) and s != place]
        free = axes.find(op.axis, len(shapes[0])) if "side by side" in op.traits else None  # type: ignore[attr-defined]
        notes.append(Note(_stacked(shapes, free, repeats="repeats" in op.traits)))
        label = f"{fault.label or show_shape(shapes[fault.at if isinstance(fault.at, int) else 0])}"
        make = errors.shapes_differ
    else:
        label = fault.label
        name = "split" if op.name == "chunk" and span.text.startswith("split") else op.name
        notes.append(Note(f"the input of `{name}` is {show_shape(shapes[0])}{_default_sizes(shapes[0])}"))
        make = errors.shape_fault
    helps = [Help(fault.help)] if fault.help else []
    if isinstance(fault.at, int) and (met := _of_the_chain(ctx, place.text)):
        helps.append(Help(met))
    elif "joins" in op.traits and "side by side" not in op.traits and isinstance(fault.at, int):
        helps += [Help(text) for text in _projection(shapes[0], shapes[fault.at])]
    return make(place, fault.title, label, labels[:3], [*notes, *ctx.trail()], helps)


def _of_the_chain(ctx: Context, text: str) -> str:
    """Return how a chain that asks what `x` is says it of the tensor before it; nothing where it does already."""
    start = re.match(r"\W*(\w+)([.\[{].*?)?\s*->", text)
    if "->" not in text or (start is not None and (start.group(2) or start.group(1) in {"x", *ctx.builder.tensors()})):
        return ""  # after a tensor by name, `x` keeps its meaning
    if re.search(r"\blike\s*=\s*x\s*[,)]", text):
        return f"inside a chain `x` is what reaches each step: {errors.LIKE_BEFORE}"
    if "x.channels" in text:
        return "inside a chain `x` is what reaches each step: bind `channels = x.channels` before it"
    return ""


def fault(ctx: Context, span: Span, title: str, label: str) -> CompileError:
    """Return a shape error that no operator is to blame for."""
    return errors.shape_fault(span, title, label, (), ctx.trail(), ())


# -------------------------------------------------------------------------------------------------- nodes
def node(
    ctx: Context,
    what: Op | Scope,
    operands: list[Tensor],
    shapes: tuple[Shape, ...],
    span: Span,
    tag: Tag | None,
    *,
    init: tuple[tuple[str, Any], ...] = (),
    bound: Bound = NOTHING,
) -> Tensor | Results:
    """Add a step to the current scope and return what it returns."""
    ctx.nodes += 1
    for dim in shapes[0]:
        if isinstance(dim, Size) and dim.period >= 64:  # whose arithmetic takes as long as further steps
            ctx.nodes += dim.period // 64
    if ctx.nodes > MAX_NODES:
        raise errors.limit_exceeded(span, "this network is too large", f"{ctx.nodes} distinct steps", MAX_NODES)
    if ctx.memo.indexed:
        for tensor in operands if not isinstance(what, Scope) and "joins" in what.traits else operands[:1]:
            if tensor.node >= 0 and _is_positions(tensor):
                raise errors.positions(span)
    builder = ctx.builder
    inputs = tuple([(one if one.builder is builder else builder.local(one)).id for one in operands])
    name, reuses = _name(ctx, what, operands, tag)
    tensors = builder.results(shapes)
    outputs = tuple([tensor.id for tensor in tensors])
    made = Node(
        name,
        what,
        inputs,
        outputs,
        span,
        tag is not None,
        reuses,
        init,
        _written(bound),
        builder.arms,
        tag.written if tag is not None else None,
        tag.use if tag is not None else None,
    )
    builder.nodes.append(made)
    result = tensors[0] if len(tensors) == 1 else _named(what, tensors)
    if ctx.problems is not None and any(tensor.guess for tensor in operands):
        ctx.problems.marked(result)
    return result


def _named(what: Op | Scope, tensors: list[Tensor]) -> Results:
    """Return the results of a step that has several, by name."""
    names = [o.name for o in what.outputs] if isinstance(what, Scope) else what.results
    if len(names) != len(tensors):
        names = [str(i) for i in range(len(tensors))]
    return Results(tuple(zip(names, tensors)))


def _name(ctx: Context, what: Op | Scope, operands: list[Tensor], tag: Tag | None) -> tuple[str, bool]:
    """Return the name of a step in its scope, and whether it is a further use of a module."""
    builder = ctx.builder
    if not isinstance(what, Scope) and "inner" in what.traits:
        return "", False
    if tag is None:
        builder.counter += 1
        return str(builder.counter - 1), False
    earlier = builder.tags.get(tag.name)
    if earlier is not None:
        first, number = earlier
        if tag.value is None or first.value is not tag.value:
            raise errors.label_twice(tag.span, tag.name, first.span)
        owner = builder.nodes[number]
        old, new = (owner.what, builder.shapes[owner.inputs[0]]), (what, operands[0].shape)
        if shared_modules(*old, ctx.numbers) != shared_modules(*new, ctx.numbers):
            raise errors.shared_weights(tag.use or tag.span, tag.name, first.use or owner.span)
        if shared_steps(owner.what, ctx.numbers) != shared_steps(what, ctx.numbers):
            raise errors.shared_steps(tag.use or tag.span, tag.name, first.use or owner.span)
        return tag.name, True
    why = _unfit(tag.name)
    if why:
        raise errors.bad_label(tag.span, tag.name, why)
    builder.counter += 1
    builder.tags[tag.name] = tag, len(builder.nodes)
    return tag.name, False


def _unfit(label: str) -> str:
    """Say why a name cannot be that of a module; nothing where it can."""
    if keyword.iskeyword(label):
        return "it is a Python keyword"
    if label.startswith("_"):
        return "a name that starts with `_` is one of `nn.Module`'s own"
    if label == "self":
        return "code calls the whole module so"
    return "every `nn.Module` already has an attribute of this name" if label in MODULE_NAMES else ""


def _written(bound: Bound) -> tuple[tuple[str, tree.Expr], ...]:
    """Return the arguments of a call as the text wrote them: for the emitter."""
    return () if bound.env is None or bound.env.outer is None else bound.written


def tensors_of(result: Tensor | Results) -> list[Tensor]:
    """Return the tensors that a step returns."""
    return [result] if isinstance(result, Tensor) else [t for _, t in result.tensors]


def relate(ctx: Context, relations: list[Relation]) -> None:
    """Keep what the latest step needs of the sizes of its operands."""
    ctx.builder.relations += [(relation, ctx.builder.nodes[-1]) for relation in relations]


# ---------------------------------------------------------------------------------------------- attributes of tensors
def _attribute(ctx: Context, expr: tree.Attribute, env: Env, x: Tensor | None) -> Any:
    value = evaluate(ctx, expr.value, env, x)
    name = expr.name if expr.computed is None else text_of(ctx, expr.computed, env, x)
    outputs: tuple[str, ...] = ()
    if isinstance(value, Results):
        found = dict(value.tensors).get(name)
        if found is not None:
            return found
        outputs, value = tuple(name for name, _ in value.tensors), value.main
    if isinstance(value, Tensor):
        return attribute_of(ctx, value, name, expr.place, outputs)
    named = text_of(ctx, expr.value, env, x) if isinstance(expr.value, tree.Name) else None
    raise errors.unknown_attribute(expr.place, describe(value), name, (), unapplied(value, named, env))


def attribute_of(ctx: Context, tensor: Tensor, name: str, span: Span, outputs: tuple[str, ...] = ()) -> Any:
    """Return a size of a tensor, or a labelled step inside the block or net that made it.

    `outputs` are its results by name, which an error lists.
    """
    if tensor.guess and ctx.problems is not None and name not in elsewhere.ATTRIBUTES:  # which no tensor has
        ctx.problems.doubt = True
    what = "this result" if outputs else describe(tensor)
    if name in SIZES:
        axis = axes.find(name, len(tensor.shape))
        if axis is None:
            raise errors.unknown_attribute(span, what, name, sizes_of(tensor.shape))
        return tensor.shape[axis]
    made = tensor.builder.nodes[tensor.node].what if tensor.node >= 0 else None
    if not isinstance(made, Scope):
        raise errors.unknown_attribute(span, what, name, [*outputs, *sizes_of(tensor.shape)[1:]])
    ctx.spend(len(made.nodes) // 16, span)
    found = _tapped(tensor, made, name)
    if found is None:
        labels = [n.name for n in made.nodes if n.labelled]
        raise errors.unknown_attribute(span, what, name, [*outputs, *sizes_of(tensor.shape)[1:], *labels])
    return found


def _tapped(tensor: Tensor, made: Scope, name: str) -> Tensor | None:
    """Return a labelled step of the scope that made a tensor, as a further output of it where it is none yet."""
    tapped = tap(made, name)
    if tapped is None:
        return None
    builder, (scope, position) = tensor.builder, tapped
    step = builder.nodes[tensor.node]
    if position < len(step.outputs):
        return Tensor(builder, step.outputs[position], scope.output_shapes[position], guess=tensor.guess)
    builder.shapes.append(scope.output_shapes[position])
    id = len(builder.shapes) - 1
    builder.nodes[tensor.node] = step.replace(what=scope, outputs=(*step.outputs, id))
    return Tensor(builder, id, builder.shapes[id], guess=tensor.guess)


def _changes(given: Any) -> bool:
    """Say whether an argument is a size that changes with the input, or has one in it."""
    return isinstance(given, Size) or (isinstance(given, tuple) and any(isinstance(one, Size) for one in given))


def _described(given: Any) -> str:
    """Describe an argument; a list of sizes by what is in it."""
    if _changes(given):
        return f"{show(given)}, which changes with the input"
    return describe(given)


def _result_of(node: Node, value: int) -> str:
    """Return which result of which operator a value is, inside the blocks that return it: `maxpool.indices`."""
    what, place = node.what, node.outputs.index(value)
    if isinstance(what, Scope):
        inner = what.outputs[place].value
        return next((_result_of(one, inner) for one in reversed(what.nodes) if inner in one.outputs), "")
    return f"{what.name}.{what.results[place]}" if len(what.results) > place else what.name


def _pooled(indices: Tensor) -> Shape | None:
    """Return the shape of the map that was pooled, inside the blocks that return the positions of its maxima."""
    scope: Builder | Scope = indices.builder
    node, value = indices.builder.nodes[indices.node], indices.id
    while isinstance(node.what, Scope):
        scope, value = node.what, node.what.outputs[node.outputs.index(value)].value
        node = next(one for one in scope.nodes if value in one.outputs)
    return scope.shapes[node.inputs[0]]


def _check_init(init: tuple[tuple[str, Initializer], ...], op: Op, x: Shape, value: OpValue, span: Span) -> None:
    """Raise an error where an initializer needs a matrix, and the parameter is a vector."""
    weights = op.weights(x)
    for parameter, one in init:
        if one.name in initializers.BY_FAN and len(weights.get(parameter, (1, 1))) < 2:
            argument = "init" if parameter == "weight" else "bias_init"
            place = dict(value.bound.places).get(argument, span)
            reason = "expects an initializer of a vector: there is no fan to scale by"
            raise errors.bad_argument(place, value.label, argument, reason, f"`{one.name}`")


def as_initializer(given: Any) -> Any:
    """Return an initializer, a name such as `zeros` completed to one; None for anything else."""
    if isinstance(given, InitializerName):
        return initializers.make(given.name, {})
    return given if isinstance(given, initializers.Initializer) else None


def sizes_of(shape: Shape) -> tuple[str, ...]:
    """Return the names of a tensor's sizes."""
    return ("batch", "features") if len(shape) == 2 else axes.LAYOUTS[len(shape)]


def _sizes(shape: Shape) -> str:
    return "x".join(str(int(d)) for d in shape[1:])


def _default_sizes(shape: Shape) -> str:
    """Return `, 64x56x56 at H = 224, W = 224` where a shape is symbolic beyond its batch."""
    found = dict.fromkeys(symbol for dim in shape[1:] for symbol in symbols(dim))
    if not found:
        return ""
    return f", {_sizes(shape)} at {', '.join(f'{symbol.name} = {symbol.default}' for symbol in found)}"


def _stacked(shapes: tuple[Shape, ...], free: int | None = None, repeats: bool = False) -> str:
    """Print shapes one above the other, their axes aligned, and name the axes that differ, but not a free one.

    Where axes of size 1 are repeated, they do not differ.
    """
    columns = [[str(s[a]) if a < len(s) else "" for s in shapes] for a in range(max(map(len, shapes)))]
    widths = [max(map(len, column)) for column in columns]
    rows = ["[" + ", ".join(columns[a][i].rjust(widths[a]) for a in range(len(s))) + "]" for i, s in enumerate(shapes)]
    same = {"1"} if repeats else set()
    rank = len(max(shapes, key=len))
    differ = [axes.name(a, rank) for a, column in enumerate(columns) if len(set(column) - same) > 1 and a != free]
    lines = rows if len(rows) <= 6 else [*rows[:6], "..."]
    if differ:
        words = ", ".join(differ[:-1]) + (" and " if len(differ) > 1 else "") + differ[-1]
        lines = [*lines, f"{words} differ{'s' if len(differ) == 1 and differ != ['channels'] else ''}"]
    return "\n".join(lines)


def _projection(first: Shape, other: Shape) -> Iterator[str]:
    """Yield the 1x1 convolution that would bring one map to the shape of another, where there is one."""
    if len(first) != 4 or len(other) != 4:
        return
    ways = (other, first, "this to the shape of the first operand"), (first, other, "the first operand to this shape")
    for source, target, what in ways:
        for stride in (1, 2, 4, 8):
            if all(_strided(source[axis], stride) == target[axis] for axis in (2, 3)):
                step = f", stride={stride}" if stride > 1 else ""
                yield f"`conv({target[1]}, 1{step})` would bring {what}"
                return


def _strided(size: Dim, stride: int) -> Dim | None:
    try:
        return window(size, 1, stride)
    except SizeFault:  # it would be beyond what sizes can say
        return None


EVALUATE[tree.Attribute] = _attribute
