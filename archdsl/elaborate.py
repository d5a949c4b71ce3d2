"""Syntax to IR: instantiates blocks, applies operators, and gives every value its exact symbolic shape.

Shapes are inferred here and not in a pass of their own, because the text may ask for them: `if x.channels != channels`
decides what is built. So there is no unchecked graph: what leaves this stage is checked.

An instance of a block with the same arguments on the same input shape is elaborated once and shared.
"""

from __future__ import annotations

import keyword

from archdsl import errors, syntax
from archdsl.diagnostics import CompileError, Help, Label, Note
from archdsl.environment import Env
from archdsl.evaluate import MAX_CALLS, NO_PART, Evaluator, signature
from archdsl.ir import Network, Node, Output, Scope
from archdsl.ops import OPS
from archdsl.ops._op import REQUIRED, ArgFault, Op, ShapeFault, show as show_shape
from archdsl.record import Record
from archdsl.sizes import Area, Size, SizeFault, Symbol
from archdsl.values import (
    OMITTED,
    UNIVERSAL,
    BlockValue,
    Callee,
    ChainValue,
    CombineValue,
    Combinator,
    Deferred,
    Function,
    LabelValue,
    Located,
    OpValue,
    Quotient,
    RepeatValue,
    Results,
    Tensor,
    describe,
    is_pipeline,
    show,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from archdsl.environment import File
    from archdsl.ops._op import Relation
    from archdsl.sizes import Dim, Shape
    from archdsl.source import Span

MAX_NODES = 200_000  # steps in one distinct instance after another; published networks have under 2,000
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


class Settings(Record):
    """What a caller changes about a net: parameters by name, sizes of its inputs, channels of its first input."""

    params: tuple[tuple[str, Any], ...] = ()
    sizes: tuple[tuple[int, ...], ...] = ()
    in_channels: int | None = None


def elaborate(file: File, name: str, settings: Settings = Settings()) -> Network:
    """Return the checked network of one net of a file; raises `CompileError` at the first mistake."""
    return Elaborator(settings).network(file, name)


class Frame(Record):
    """One instantiation in the chain that led somewhere: what was called, and where."""

    title: str
    span: Span
    outer: Frame | None = None


class Tag(Record):
    """The label of a step: its text, its place, the value that carries it, which makes it shared, and its use."""

    name: str
    span: Span
    value: LabelValue | None = None
    use: Span | None = None


class Builder:
    """A scope under construction."""

    def __init__(self, outer: Builder | None, frame: Frame | None) -> None:
        self.outer, self.frame = outer, frame
        self.shapes: list[Shape] = []
        self.nodes: list[Node] = []
        self.inputs: list[int] = []
        self.input_names: list[str] = []
        self.captured: dict[Tensor, Tensor] = {}
        self.tags: dict[str, tuple[Tag, int]] = {}
        self.outputs: list[tuple[str, Tensor, bool]] = []
        self.bindings: list[tuple[str, syntax.Expr, object]] = []
        self.relations: list[tuple[Relation, Node]] = []
        self.counter = 0

    def input(self, shape: Shape, name: str = "x") -> Tensor:
        """Add an input value."""
        self.shapes.append(shape)
        self.inputs.append(len(self.shapes) - 1)
        self.input_names.append(name)
        return Tensor(self, len(self.shapes) - 1, shape)

    def local(self, tensor: Tensor) -> Tensor:
        """Return a tensor of this scope or an outer one as a value of this scope, as a further input where needed."""
        if tensor.builder is self:
            return tensor
        if tensor not in self.captured:
            assert self.outer is not None, "a tensor is only visible inside the scope that made it"
            self.outer.local(tensor)
            self.captured[tensor] = self.input(tensor.shape, f"t{len(self.captured) + 1}")
        return self.captured[tensor]

    def results(self, shapes: tuple[Shape, ...]) -> list[Tensor]:
        """Add values for the results of the node that comes next."""
        made = []
        for shape in shapes:
            self.shapes.append(shape)
            made.append(Tensor(self, len(self.shapes) - 1, shape, len(self.nodes)))
        return made

    def scope(self, kind: str, title: str, args: tuple[tuple[str, object], ...], last: Tensor, span: Span, doc: str = "") -> Scope:
        """Finish the scope."""
        outputs = [Output(name, self.local(tensor).id, training) for name, tensor, training in self.outputs]
        if all(o.training for o in outputs):
            outputs.insert(0, Output("out", self.local(last).id))
        return Scope(
            kind, title, args, tuple(self.inputs), tuple(self.nodes), tuple(self.shapes), tuple(outputs), span, doc,
            tuple(self.bindings), tuple(self.relations), tuple(self.input_names),
        )  # fmt: skip


class Elaborator(Evaluator):
    """Elaborates one net."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.builder = Builder(None, None)
        self.symbols: dict[str, Symbol] = {}
        self.instances: dict[tuple[BlockValue, Shape], tuple[Scope, tuple[Tensor, ...]]] = {}
        self.rules: dict[tuple[OpValue, tuple[Shape, ...]], tuple[Op, tuple[Shape, ...], list[Relation]]] = {}
        self.count = 0

    # ------------------------------------------------------------ nets
    def network(self, file: File, name: str) -> Network:
        """Elaborate a net by name."""
        item = file.definitions[name]
        place = item.span
        value = self.definition(file, name, place)
        if isinstance(value, Located):
            value = value.item
        if not isinstance(value, BlockValue) or not isinstance(value.block, syntax.Net):
            raise errors.bad_value(place, f"`{name}` is not a net", f"this is {describe(value)}")
        value = self._configured(value, place)
        frame = Frame(_titled(value), place)
        self.builder = Builder(None, frame)
        try:
            scope = self._body(value, None, place)
        except RecursionError:
            raise errors.too_deep(place, "expressions and blocks", MAX_CALLS) from None
        doc = value.block.doc or file.module.doc
        return Network(name, scope, tuple(self.symbols.values()), file.source, doc)

    def _configured(self, value: BlockValue, place: Span) -> BlockValue:
        """Return a net with the caller's parameters."""
        params = value.params
        bound = dict(value.bound.values)
        for name, given in self.settings.params:
            if name not in params:
                raise errors.unknown_parameter(place, value.label, name, signature(value), params)
            bound[name] = given
        return value.replace(bound=value.bound.replace(values=tuple(sorted(bound.items(), key=lambda kv: kv[0]))))

    # ------------------------------------------------------------ blocks
    def _body(self, value: BlockValue, current: Tensor | None, span: Span) -> Scope:
        """Run the body of a block or net in the current builder and return the finished scope."""
        block = value.block
        builder = self.builder
        env = Env(value.env, value.env.file)
        given = dict(value.bound.values)
        for param in block.params:
            if param.name in given:
                self.bind(param.name, given[param.name], env, param.span)
            elif param.default is None:
                raise errors.missing_argument(value.span or span, value.label, param.name, signature(value))
            else:
                default = self.whole(param.default, env, None)
                self.bind(param.name, default.item if isinstance(default, Located) else default, env, param.span)
        args = tuple(env.names.items())
        declared = block.signature if isinstance(block, syntax.Block) else None
        if declared is not None and current is not None:
            self._bind_signature(declared, current, env)
        last = self.run(block.body, env, current)
        if last is None:
            raise errors.no_tensor(block.span, f"the net `{block.name}` has no input")
        kind = "block" if isinstance(block, syntax.Block) else "net"
        scope = builder.scope(kind, block.name, args, last, block.span, block.doc).replace(definition=block)
        if declared is not None:
            self._check_signature(declared, block.name, scope.output_shapes[0], env)
        return scope

    def _bind_signature(self, declared: syntax.Signature, x: Tensor, env: Env) -> None:
        if len(declared.inputs) != len(x.shape):
            got = f"the input is {show_shape(x.shape)}"
            raise self.fault(declared.span, "the input does not have the declared rank", got)
        for expr, dim in zip(declared.inputs, x.shape):
            if isinstance(expr, syntax.Name) and expr.plain and expr.plain not in env.names:
                self.bind(expr.plain, dim, env, expr.span)
                continue
            wanted = self.whole(expr, env, x)
            if wanted != dim:
                raise self.fault(expr.span, f"the block takes {show(wanted)} here, and the input has {dim}", "")

    def _check_signature(self, declared: syntax.Signature, block: str, shape: Shape, env: Env) -> None:
        wanted = []
        for expr in declared.outputs:
            value = self.whole(expr, env, None)
            if type(value) is not int and not isinstance(value, (Size, Area)):
                raise errors.bad_value(expr.span, "a dim is an integer or a size", f"this is {describe(value)}")
            wanted.append(value)
        if tuple(wanted) == shape:
            return
        where = [i for i, (a, b) in enumerate(zip(wanted, shape)) if a != b]
        axes = ("axis differs: " if len(where) == 1 else "axes differ: ") + ", ".join(_axis(i) for i in where)
        span = declared.outputs[where[0]].span if where else declared.span
        raise errors.signature_broken(
            span, block, show_shape(tuple(wanted)), show_shape(shape), axes if where else "the ranks differ", self.trail()
        )

    def _instance(self, value: BlockValue, x: Tensor, span: Span) -> tuple[Scope, tuple[Tensor, ...]]:
        """Return the scope of a block on an input, elaborated once for each distinct instance."""
        key = (value, x.shape)
        known = self.instances.get(key)
        if known is not None:
            return known
        outer = self.builder
        self.builder = Builder(outer, Frame(_titled(value), span, outer.frame))
        with self.deeper(value.label, span):
            scope = self._body(value, self.builder.input(x.shape), span)
        found = scope, tuple(self.builder.captured)
        self.builder = outer
        self.instances[key] = found
        return found

    # ------------------------------------------------------------ statements
    def run(self, body: tuple[syntax.Statement, ...], env: Env, x: Tensor | None) -> Tensor | None:
        """Run statements; returns the tensor that leaves the last one."""
        for statement in body:
            x = _RUN[type(statement)](self, statement, env, x)
        return x

    def step(self, statement: syntax.Step, env: Env, x: Tensor | None) -> Tensor:
        return _main(self.apply(statement.value, env, x, x))

    def bind_statement(self, statement: syntax.Bind, env: Env, x: Tensor | None) -> Tensor | None:
        name = self.text_of(statement.name, env, x)
        value = self.whole(statement.value, env, x)
        if value is OMITTED:
            raise errors.bad_value(statement.value.span, "a binding cannot be left out by a condition", "add an `else`")
        home = env if statement.name.plain is not None else env.home
        value = value.item if isinstance(value, Located) else value
        self.bind(name, value, home, statement.name.span)
        if type(value) in (int, float) and statement.name.plain is not None:
            self.builder.bindings.append((name, statement.value, value))
        return x

    def scope_statement(self, statement: syntax.Scope, env: Env, x: Tensor | None) -> Tensor:
        if x is None:
            raise errors.no_tensor(statement.name.span, "a body needs a tensor")
        kind = statement.name.plain
        if kind in ("cat", "add", "mul", "split") and env.find(kind) is None:
            branches = [(s, e) for s, e in self._branches(statement.body, env, x)]
            return self._combine(kind, branches, self._branch_statement, x, statement.name.span)
        tag = Tag(self.text_of(statement.name, env, x), statement.name.span)
        return _main(self._enclosed(lambda inner: _some(self.run(statement.body, Env(env, env.file), inner)), x, tag, statement.span))

    def _branches(self, body: tuple[syntax.Statement, ...], env: Env, x: Tensor) -> Iterator[tuple[syntax.Statement, Env]]:
        """Yield the statements of a combinator that are branches; bindings and conditions are run on the way."""
        for statement in body:
            if isinstance(statement, (syntax.Step, syntax.Scope)):
                yield statement, env
            elif isinstance(statement, syntax.If):
                for test, arm in statement.arms:
                    if test is None or self.truth(test, env, x):
                        yield from self._branches(arm, env, x)
                        break
            elif isinstance(statement, syntax.For):
                for inner in self.loop(statement.targets, statement.values, env, x):
                    yield from self._branches(statement.body, inner, x)
            elif isinstance(statement, (syntax.Bind, syntax.Require)):
                self.run((statement,), env, x)
            else:
                raise errors.misplaced(statement.span, "this", "the lines of a combinator are its branches")

    def _branch_statement(self, branch: tuple[syntax.Statement, Env], x: Tensor) -> Tensor | None:
        statement, env = branch
        if isinstance(statement, syntax.Step) and self._left_out(statement.value, env, x):
            return None
        return self.run((statement,), env, x)

    def _left_out(self, expr: syntax.Expr, env: Env, x: Tensor) -> bool:
        """Say whether a branch is `item if test`, with a label or without, and the test is false."""
        while isinstance(expr, syntax.Labelled):
            expr = expr.value
        return isinstance(expr, syntax.OnlyIf) and not self.truth(expr.test, env, x)

    def _value_left_out(self, value: Any, x: Tensor) -> bool:
        """Say the same of a branch that is a value."""
        while isinstance(value, (Located, LabelValue)):
            value = value.item
        return value is OMITTED or isinstance(value, Deferred) and self._left_out(value.expr, value.env, x)

    def input_statement(self, statement: syntax.Input, env: Env, x: Tensor | None) -> Tensor:
        builder = self.builder
        if builder.outer is not None:
            return self._bind_input(statement, env, builder, x)
        if builder.nodes:
            raise errors.misplaced(statement.span, "an `input`", "inputs stand before the first step of a net")
        number = len(builder.inputs)
        asked = self.settings.sizes[number] if number < len(self.settings.sizes) else None
        if asked is not None and len(asked) != len(statement.dims):
            raise errors.bad_input(statement.span, f"the input has {len(statement.dims)} axes, and {len(asked)} sizes were given")
        shape: list[Dim] = []
        for axis, (expr, default) in enumerate(statement.dims):
            shape.append(self._input_dim(expr, default, env, axis, asked[axis] if asked else None, number))
        tensor = builder.input(tuple(shape), statement.name)
        self.bind(statement.name, tensor, env, statement.span)
        return tensor if number == 0 else _some(x)

    def _bind_input(self, statement: syntax.Input, env: Env, builder: Builder, x: Tensor | None) -> Tensor:
        """Give a net that is used as a step the tensor that reaches it as its input."""
        if builder.nodes or builder.outer is not None and builder.outer.frame is builder.frame:
            raise errors.misplaced(statement.span, "an `input`", "inputs stand before the first step of a net")
        if any(isinstance(value, Tensor) and value is x for value in env.names.values()):
            raise errors.misplaced(statement.span, "a second `input`", "a net used as a step takes one tensor")
        tensor = _some(x)
        if len(statement.dims) != len(tensor.shape):
            raise self.fault(statement.span, "the input does not have the declared rank", f"got {show_shape(tensor.shape)}")
        for (expr, _), dim in zip(statement.dims, tensor.shape):
            if isinstance(expr, syntax.Name) and expr.plain and expr.plain not in env.names:
                self.bind(expr.plain, dim, env, expr.span)
        self.bind(statement.name, tensor, env, statement.span)
        return tensor

    def _input_dim(
        self, expr: syntax.Expr, default: syntax.Expr | None, env: Env, axis: int, asked: int | None, number: int
    ) -> Dim:
        name = expr.plain if isinstance(expr, syntax.Name) else None
        if name and env.find(name) is None and name not in OPS:
            if name in self.symbols:
                return Size.of(self.symbols[name])
            value = asked
            if value is None and default is not None:
                value = self.whole(default, env, None)
            if value is None and axis == 0:
                value = 1
            if value is None:
                raise errors.bad_input(expr.span, f"`{name}` needs a default size", f"write `{name}=224`")
            if type(value) is not int or not 1 <= value <= 1 << 24:
                raise errors.bad_input((default or expr).span, f"a size is an integer from 1 to 2**24, not {show(value)}")
            self.symbols[name] = Symbol(name, value)
            return Size.of(self.symbols[name])
        value = self.whole(expr, env, None)
        if axis == 1 and number == 0 and self.settings.in_channels is not None:
            value = self.settings.in_channels
        value = asked if asked is not None else value
        if type(value) is not int or value < 1:
            raise errors.bad_input(expr.span, "a dim of an input is a symbol or an integer ≥ 1", f"this is {describe(value)}")
        return value

    def output_statement(self, statement: syntax.Output, env: Env, x: Tensor | None) -> Tensor | None:
        if any(name == statement.name for name, _, _ in self.builder.outputs):
            raise errors.bound_twice(statement.span, statement.name, None)
        if keyword.iskeyword(statement.name):
            raise errors.bad_label(statement.span, statement.name, "it is a Python keyword")
        result = _main(self.apply(statement.value, env, x, x))
        self.builder.outputs.append((statement.name, result, statement.training))
        return x

    def require_statement(self, statement: syntax.Require, env: Env, x: Tensor | None) -> Tensor | None:
        if not self.truth(statement.test, env, x):
            message = self.whole(statement.message, env, x)
            raise errors.requirement(statement.test.span, message if isinstance(message, str) else show(message))
        return x

    def if_statement(self, statement: syntax.If, env: Env, x: Tensor | None) -> Tensor | None:
        for test, body in statement.arms:
            if test is None or self.truth(test, env, x):
                return self.run(body, env, x)
        return x

    def for_statement(self, statement: syntax.For, env: Env, x: Tensor | None) -> Tensor | None:
        for inner in self.loop(statement.targets, statement.values, env, x):
            x = self.run(statement.body, inner, x)
        return x

    # ------------------------------------------------------------ pipelines, from their syntax
    def apply(
        self, expr: syntax.Expr, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None = None
    ) -> Tensor | Results:
        """Apply what an expression says to `current`; `x` is what the name `x` means in it."""
        special = _APPLY.get(type(expr))
        if special is not None:
            return special(self, expr, env, current, x, tag)
        return self.apply_value(self.eval(expr, env, x), current, expr.span, tag)

    def apply_chain(self, expr: syntax.Chain, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        if tag is not None:
            return self._enclosed(lambda inner: self.apply_chain(expr, env, inner, inner, None), current, tag, expr.span)
        start = self.constant(expr.links[0], env, x)
        if start is not None:
            return self.follow(start, expr.links[1:], env, x)
        flowing: Any = current
        for link in expr.links:
            flowing = self.apply(link, env, _main(flowing), _main(flowing))
        return flowing

    def follow(self, start: Tensor, links: tuple[syntax.Expr, ...], env: Env, x: Tensor | None) -> Tensor | Results:
        """Apply the rest of a chain that starts at a named tensor, in which `x` keeps its meaning."""
        value: Tensor | Results = start
        for link in links:
            value = self.apply(link, env, _main(value), x)
        return value

    def apply_labelled(self, expr: syntax.Labelled, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        own = Tag(self.text_of(expr.name, env, x), expr.name.span)
        if tag is not None:
            return self._enclosed(lambda inner: self.apply(expr.value, env, inner, inner, own), current, tag, expr.span)
        return self.apply(expr.value, env, current, x, own)

    def apply_only_if(self, expr: syntax.OnlyIf, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        if self.truth(expr.test, env, x):
            return self.apply(expr.value, env, current, x, tag)
        if current is None:
            raise errors.no_tensor(expr.span, "nothing is left of this step")
        return current

    def apply_either(self, expr: syntax.Either, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        return self.apply(expr.value if self.truth(expr.test, env, x) else expr.other, env, current, x, tag)

    def apply_items(self, expr: syntax.Items, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        if expr.tuple:
            raise errors.not_a_pipeline(expr.span, "a list of values in parentheses; a sequence is written `[a, b]`")

        def body(inner: Tensor) -> Tensor:
            for item in expr.items:
                inner = _main(self.apply(item, env, inner, inner))
            return inner

        return self._enclosed(body, current, tag, expr.span)

    def apply_call(self, expr: syntax.Call, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        target = self.eval(expr.target, env, x)
        target = target.item if isinstance(target, Located) else target
        if isinstance(target, Callee):
            return self.apply_value(self.partial(target, expr, env, x), current, expr.span, tag)
        if isinstance(target, Combinator) and len(expr.arguments) > 1 and current is not None:
            if tag is not None:
                return self._enclosed(lambda inner: self.apply_call(expr, env, inner, inner, None), current, tag, expr.span)

            def branch(item: Any, part: Tensor) -> Tensor | None:
                if isinstance(item, syntax.Keyword):
                    raise errors.unknown_argument(item.place, target.kind, item.name, "branch, ...", ())
                if self._left_out(item, env, part):
                    return None
                return _main(self.apply(item, env, part, part))

            return self._combine(target.kind, list(expr.arguments), branch, current, expr.span)
        return self.apply_value(self.eval(expr, env, x), current, expr.span, tag)

    # ------------------------------------------------------------ pipelines, as values
    def apply_value(self, value: Any, current: Tensor | None, span: Span, tag: Tag | None = None) -> Tensor | Results:
        """Apply a pipeline value to a tensor, under a label where it has one."""
        if isinstance(value, Located):
            return self.apply_value(value.item, current, value.span, tag)
        if isinstance(value, (Tensor, Results)):
            if tag is not None:
                raise errors.bad_value(span, "a label names a step, and this is a tensor")
            return value
        if not is_pipeline(value):
            if isinstance(value, Combinator):
                raise errors.missing_argument(span, value.kind, "a branch", "branch, ...")
            raise errors.not_a_pipeline(span, describe(value))
        if current is None:
            raise errors.no_tensor(span, "a step needs a tensor")
        if value is OMITTED:
            return current
        if isinstance(value, OpValue):
            return self._operator(value, current, span, tag)
        if isinstance(value, BlockValue):
            return self._block(value, current, span, tag)
        if isinstance(value, LabelValue):
            return self._labelled_value(value, current, span, tag)
        if isinstance(value, Deferred):
            return self.apply(value.expr, value.env, current, current, tag)
        if tag is not None or isinstance(value, tuple):
            return self._enclosed(lambda inner: _main(self._spread(value, inner, span)), current, tag, span)
        return self._spread(value, current, span)

    def _spread(self, value: Any, current: Tensor, span: Span) -> Tensor | Results:
        """Apply the parts of a pipeline that has no module of its own, in the current scope."""
        result: Tensor | Results = current
        if isinstance(value, ChainValue):
            for link in value.links:
                result = self.apply_value(link, _main(result), span)
        elif isinstance(value, tuple):
            for item in value:
                result = self.apply_value(item, _main(result), span)
        elif isinstance(value, RepeatValue):
            for _ in range(value.count):
                result = self.apply_value(value.item, _main(result), span)
        else:
            assert isinstance(value, CombineValue)

            def branch(item: Any, part: Tensor) -> Tensor | None:
                return None if self._value_left_out(item, part) else _main(self.apply_value(item, part, span))

            result = self._combine(value.kind, list(value.branches), branch, current, span)
        return result

    def _labelled_value(self, value: LabelValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        own = Tag(value.name, value.span, value, span)
        if tag is not None:
            return self._enclosed(lambda inner: _main(self.apply_value(value.item, inner, span, own)), current, tag, span)
        return self.apply_value(value.item, current, span, own)

    def _enclosed(self, body: Callable[[Tensor], Tensor | Results], current: Tensor | None, tag: Tag | None, span: Span) -> Tensor:
        """Apply a body in a scope of its own: a sequence or a labelled body."""
        if current is None:
            raise errors.no_tensor(span, "a step needs a tensor")
        outer = self.builder
        inner = self.builder = Builder(outer, outer.frame)
        last = _main(body(inner.input(current.shape)))
        if inner.outputs:
            raise errors.misplaced(span, "an `output` in this body", "outputs belong to a net or a block")
        scope = inner.scope("scope", tag.name if tag else "", (), last, span)
        self.builder = outer
        return _main(self._node(scope, [current, *inner.captured], scope.output_shapes, span, tag))

    def _combine(
        self, kind: str, branches: list[Any], apply: Callable[[Any, Tensor], Tensor | None], current: Tensor, span: Span
    ) -> Tensor:
        """Apply branches and combine what they return."""
        parts = [current] * len(branches)
        if kind == "split" and len(branches) > 1:
            chunk = OPS["chunk"].build({"parts": len(branches)})
            shapes, _ = self._infer(chunk, [current], span, {})
            parts = self._tensors(self._node(chunk, [current], shapes, span, None, numbered=False))
        tensors = []
        for branch, part in zip(branches, parts):
            result = apply(branch, part)
            if result is None and kind == "split":
                raise errors.bad_value(span, *NO_PART)
            if result is not None:
                tensors.append((result, getattr(branch, "span", None) or getattr(branch[0], "span", span) if isinstance(branch, tuple) else getattr(branch, "span", span)))
        if not tensors:
            return current
        if len(tensors) == 1:
            return tensors[0][0]
        joined = OPS["cat" if kind == "split" else kind].build({})
        operands = [tensor for tensor, _ in tensors]
        shapes, relations = self._infer(joined, operands, span, {i: s for i, (_, s) in enumerate(tensors)})
        result = _main(self._node(joined, operands, shapes, span, None, numbered=False))
        self._relate(relations)
        return result

    # ------------------------------------------------------------ operators and blocks
    def _operator(self, value: OpValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        key = (value, (current.shape,))
        places = dict(value.bound.places)
        known = self.rules.get(key)
        operands = [current]
        if known is None:
            op, further = self._build(value, span, places)
            operands += further
            if op.name == "identity" and tag is None:
                return current
            shapes, relations = self._infer(op, operands, span, dict(enumerate([span, *[places.get("like", span)]])), places)
            if not further:
                self.rules[key] = op, shapes, relations
        else:
            op, shapes, relations = known
        result = self._node(op, operands, shapes, span, tag, init=self._init(value, span), value=value)
        self._relate(relations)
        return result

    def _build(self, value: OpValue, span: Span, places: dict[str, Span]) -> tuple[Op, list[Tensor]]:
        """Return the operator with its arguments checked, and the tensors among them."""
        given = dict(value.defaults) | dict(value.bound.values)
        tensors = []
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
        try:
            for name, spec in value.op.args.items():
                if spec.kind.text == "a tensor" and name in given and not isinstance(given[name], (Tensor, Results)):
                    raise ArgFault(name, "expects a tensor")
                if spec.kind.text != "a tensor" and isinstance(given.get(name), (Tensor, Results)):
                    raise ArgFault(name, f"expects {spec.kind.text}")
            return value.op.build(given), tensors
        except ArgFault as fault:
            place = places.get(fault.name, span)
            got = given[fault.name]
            raise errors.bad_argument(place, value.label, fault.name, fault.reason, describe(got)) from None

    def _init(self, value: OpValue, span: Span) -> tuple[tuple[str, Any], ...]:
        if not value.op.stateful:
            return ()
        own = dict(value.bound.values)
        made = dict(value.inits)
        for argument, parameter in (("init", "weight"), ("bias_init", "bias")):
            if argument in own:
                made[parameter] = self._initializer_value(own[argument], argument, value, span)
        return tuple(made.items())

    def _initializer_value(self, given: Any, argument: str, value: OpValue, span: Span) -> Any:
        made = as_initializer(given)
        if made is None:
            place = dict(value.bound.places).get(argument, span)
            raise errors.bad_argument(place, value.label, argument, "expects an initializer, such as zeros", describe(given))
        return made

    def _block(self, value: BlockValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        scope, captured = self._instance(value, current, span)
        return self._node(scope, [current, *captured], scope.output_shapes, span, tag, value=value)

    def _infer(
        self, op: Op, operands: list[Tensor], span: Span, spans: dict[int, Span], places: dict[str, Span] | None = None
    ) -> tuple[tuple[Shape, ...], list[Relation]]:
        """Return the shapes of the results and the equalities that hold for some input sizes only."""
        shapes = tuple(t.shape for t in operands)
        try:
            results = op.shapes(*shapes)
            relations = []
            for relation in op.relations(*shapes):
                left, right = int(relation.left), int(relation.right)
                if (left < right) if relation.at_least else (left != right):
                    raise ShapeFault(f"the {_axis(relation.axis)} does not fit", label=f"{left} against {right}", at=relation.operands[-1])
                if relation.left != relation.right and not (type(relation.left) is int and type(relation.right) is int):
                    relations.append(relation)
            for result in results:
                if any(int(dim) < 1 for dim in result):
                    raise ShapeFault("nothing is left of the input", label=f"the result would be {_sizes(result)}")
            return results, relations
        except ShapeFault as fault:
            raise self._shape_error(op, fault, shapes, span, spans, places or {}) from None
        except SizeFault as fault:
            raise errors.size_limits(span, str(fault), self.trail()) from None

    def _shape_error(
        self, op: Op, fault: ShapeFault, shapes: tuple[Shape, ...], span: Span, spans: dict[int, Span], places: dict[str, Span]
    ) -> CompileError:
        labels, notes = [], []
        place = span
        if isinstance(fault.at, str) and fault.at in places:
            place = places[fault.at]
        elif isinstance(fault.at, int) and fault.at in spans:
            place = spans[fault.at]
        if len(shapes) > 1:
            labels = [Label(s, f"{show_shape(shapes[i])}") for i, s in spans.items() if i < len(shapes) and s != place]
            notes.append(Note(_stacked(shapes, 1 if op.name == "cat" else None)))
            label = f"{fault.label or show_shape(shapes[fault.at if isinstance(fault.at, int) else 0])}"
            make = errors.shapes_differ
        else:
            label = fault.label
            notes.append(Note(f"the input of `{op.name}` is {show_shape(shapes[0])}{_default_sizes(shapes[0])}"))
            make = errors.shape_fault
        helps = [Help(fault.help)] if fault.help else []
        return make(place, fault.title, label, labels[:3], [*notes, *self.trail()], helps)

    def fault(self, span: Span, title: str, label: str) -> CompileError:
        """Return a shape error that no operator is to blame for."""
        return errors.shape_fault(span, title, label, (), self.trail(), ())

    def trail(self) -> list[Note]:
        """Return the chain of instantiations that led here, innermost first; a long one is cut in the middle."""
        notes = []
        frame = self.builder.frame
        while frame is not None:
            notes.append(Note(f"in `{frame.title}`", frame.span.replace(end=min(frame.span.end, _first_line(frame.span)))))
            frame = frame.outer
        if len(notes) > 4:
            notes = [*notes[:2], Note(f"... {len(notes) - 3} more"), notes[-1]]
        return notes

    # ------------------------------------------------------------ nodes
    def _node(
        self,
        what: Op | Scope,
        operands: list[Tensor],
        shapes: tuple[Shape, ...],
        span: Span,
        tag: Tag | None,
        *,
        numbered: bool = True,
        init: tuple[tuple[str, Any], ...] = (),
        value: Callee | None = None,
    ) -> Tensor | Results:
        """Add a step to the current scope and return what it returns."""
        self.count += 1
        if self.count > MAX_NODES:
            raise errors.limit_exceeded(span, "this network is too large", f"{self.count} distinct steps", MAX_NODES)
        builder = self.builder
        inputs = tuple(builder.local(t).id for t in operands)
        name, reuses = self._name(what, operands, tag, numbered)
        tensors = builder.results(shapes)
        written, variables = self._written(value) if value is not None else ((), ())
        node = Node(
            name, what, inputs, tuple(t.id for t in tensors), span, tag is not None, reuses, init, written, variables
        )
        builder.nodes.append(node)
        if len(tensors) == 1:
            return tensors[0]
        names = [o.name for o in what.outputs] if isinstance(what, Scope) else what.results
        if len(names) != len(tensors):
            names = [str(i) for i in range(len(tensors))]
        return Results(tuple(zip(names, tensors)))

    def _name(self, what: Op | Scope, operands: list[Tensor], tag: Tag | None, numbered: bool) -> tuple[str, bool]:
        """Return the name of a step in its scope, and whether it is a further use of a module."""
        builder = self.builder
        if not numbered:
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
            if _weights(owner.what, builder.shapes[owner.inputs[0]]) != _weights(what, operands[0].shape):
                raise errors.shared_weights(tag.use or tag.span, tag.name, first.use or owner.span)
            return tag.name, True
        if keyword.iskeyword(tag.name):
            raise errors.bad_label(tag.span, tag.name, "it is a Python keyword")
        if tag.name in MODULE_NAMES or tag.name.startswith("_"):
            raise errors.bad_label(tag.span, tag.name, "every `nn.Module` already has an attribute of this name")
        builder.counter += 1
        builder.tags[tag.name] = tag, len(builder.nodes)
        return tag.name, False

    def _written(self, value: Callee) -> tuple[tuple[tuple[str, syntax.Expr], ...], tuple[tuple[str, object], ...]]:
        """Return the arguments as written, with the plain values of the names they mention: for the emitter."""
        env = value.bound.env
        if env is None or env.outer is None:
            return (), ()
        variables = []
        scope: Env | None = env
        while scope is not None and scope.outer is not None:
            variables += [(n, v) for n, v in scope.names.items() if type(v) in (int, float, bool, str)]
            scope = scope.outer
        return value.bound.written, tuple(variables)

    def _tensors(self, result: Tensor | Results) -> list[Tensor]:
        return [result] if isinstance(result, Tensor) else [t for _, t in result.tensors]

    def _relate(self, relations: list[Relation]) -> None:
        self.builder.relations += [(relation, self.builder.nodes[-1]) for relation in relations]

    # ------------------------------------------------------------ attributes of tensors
    def attribute_of(self, tensor: Tensor, name: str, span: Span) -> Any:
        """Return a size of a tensor, or a labelled step inside the block or net that made it."""
        axis = {"batch": 0, "channels": 1, "features": 1, "height": 2, "width": 3}.get(name)
        if axis is not None:
            if axis >= len(tensor.shape):
                raise errors.unknown_attribute(span, describe(tensor), name, ("batch", "features"))
            return tensor.shape[axis]
        if tensor.node >= 0:
            builder = tensor.builder
            node = builder.nodes[tensor.node]
            found = _tap(node.what, name) if isinstance(node.what, Scope) else None
            if found is not None:
                scope, position = found
                if position < len(node.outputs):
                    return Tensor(builder, node.outputs[position], scope.output_shapes[position])
                builder.shapes.append(scope.output_shapes[position])
                id = len(builder.shapes) - 1
                builder.nodes[tensor.node] = node.replace(what=scope, outputs=(*node.outputs, id))
                return Tensor(builder, id, builder.shapes[id])
            labels = [n.name for n in node.what.nodes if n.labelled] if isinstance(node.what, Scope) else []
            raise errors.unknown_attribute(span, describe(tensor), name, ["channels", "height", "width", *labels])
        raise errors.unknown_attribute(span, describe(tensor), name, ("channels", "height", "width"))


def as_initializer(given: Any) -> Any:
    """Return an initializer, a name such as `zeros` completed to one; None for anything else."""
    from archdsl import initializers
    from archdsl.values import InitializerName

    if isinstance(given, InitializerName):
        return initializers.make(given.name, {})
    return given if isinstance(given, initializers.Initializer) else None


def _tap(scope: Scope, name: str) -> tuple[Scope, int] | None:
    """Return a scope that also returns its step of this label, and the number of that output."""
    for number, output in enumerate(scope.outputs):
        if output.name == name:
            return scope, number
    for node in scope.nodes:
        if node.labelled and node.name == name:
            added = Output(name, node.outputs[0])
            return scope.replace(outputs=(*scope.outputs, added)), len(scope.outputs)
    return None


def _weights(what: Op | Scope, x: Shape) -> Any:
    """Return the shapes of all weights by name: what two uses of one module must agree on."""
    if isinstance(what, Op):
        return type(what).name, what.weights(x)
    return [(n.name, _weights(n.what, what.shapes[n.inputs[0]])) for n in what.nodes if not n.reuses]


def _main(value: Any) -> Any:
    return value.main if isinstance(value, Results) else value


def _some(x: Tensor | None) -> Tensor:
    assert x is not None, "a scope always starts with a tensor"
    return x


def _titled(value: BlockValue) -> str:
    args = ", ".join(f"{k}={show(v)}" for k, v in value.bound.values)
    return f"{value.label}({args})"


def _axis(axis: int) -> str:
    return ("batch", "channels", "height", "width")[axis] if axis < 4 else f"axis {axis}"


def _sizes(shape: Shape) -> str:
    return "x".join(str(int(d)) for d in shape[1:])


def _default_sizes(shape: Shape) -> str:
    """Return `, 64x56x56 at the default size` where a shape is symbolic beyond its batch."""
    if all(isinstance(d, int) for d in shape[1:]):
        return ""
    return f", {_sizes(shape)} at the default size"


def _stacked(shapes: tuple[Shape, ...], free: int | None = None) -> str:
    """Print shapes one above the other, their axes aligned, and name the axes that differ, but not a free one."""
    columns = [[str(s[a]) if a < len(s) else "" for s in shapes] for a in range(max(map(len, shapes)))]
    widths = [max(map(len, column)) for column in columns]
    rows = ["[" + ", ".join(columns[a][i].rjust(widths[a]) for a in range(len(s))) + "]" for i, s in enumerate(shapes)]
    differ = [_axis(a) for a, column in enumerate(columns) if len(set(column)) > 1 and a != free]
    return "\n".join([*rows[:6], *(["..."] if len(rows) > 6 else []), f"{' and '.join(differ)} differ" if differ else ""]).rstrip()


def _first_line(span: Span) -> int:
    end = span.source.text.find("\n", span.start)
    return len(span.source.text) if end < 0 else end


_RUN: dict[type, Any] = {
    syntax.Step: Elaborator.step,
    syntax.Bind: Elaborator.bind_statement,
    syntax.Scope: Elaborator.scope_statement,
    syntax.Input: Elaborator.input_statement,
    syntax.Output: Elaborator.output_statement,
    syntax.Require: Elaborator.require_statement,
    syntax.If: Elaborator.if_statement,
    syntax.For: Elaborator.for_statement,
}

_APPLY: dict[type, Any] = {
    syntax.Chain: Elaborator.apply_chain,
    syntax.Labelled: Elaborator.apply_labelled,
    syntax.OnlyIf: Elaborator.apply_only_if,
    syntax.Either: Elaborator.apply_either,
    syntax.Items: Elaborator.apply_items,
    syntax.Call: Elaborator.apply_call,
}
