"""Syntax to IR: instantiates nets and blocks, runs their statements, and gives every value its exact symbolic shape.

    evaluate    expressions to values
    steps       what operators and blocks do to tensors
    apply       pipelines applied to tensors
    elaborate   nets, blocks and their statements

Shapes are inferred on the way and not in a pass of their own, because the text may ask for them: what
`if x.channels != channels` decides is what is built. So there is no unchecked graph: what leaves this stage is checked.
An instance of a block with the same arguments on the same input shape is elaborated once and shared.
"""

from __future__ import annotations

import keyword
from math import prod

from archdsl.core.record import Record
from archdsl.core.sizes import Area, Size, Symbol, symbols
from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.builder import Builder, Frame, Tag, main
from archdsl.elaborate.environment import Env
from archdsl.elaborate.expressions import MAX_CALLS, signature
from archdsl.elaborate.operators import axis_name
from archdsl.elaborate.pipelines import Applier, Watched
from archdsl.elaborate.requirements import demanded, open_relations, sizes_of
from archdsl.elaborate.values import OMITTED, BlockValue, Located, Quotient, Tensor, describe, show
from archdsl.ir.network import Network, Requirement
from archdsl.ir.outputs import Pruner, selected
from archdsl.ops import OPS
from archdsl.ops.base import show as show_shape
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.sizes import Dim, Shape
    from archdsl.core.source import Span
    from archdsl.elaborate.environment import File
    from archdsl.elaborate.expressions import Spent
    from archdsl.ir.network import Scope


MAX_SIZE = 1 << 24  # of an input
INPUT_FORMS = "images are `[N, C, H, W]`, flat features are `[N, F]`"


class Settings(Record):
    """What a caller changes about a net: its parameters by name, the sizes of its inputs, the channels of its first
    input, and the names of the steps that it returns. `larger` multiplies the default sizes.
    """

    params: tuple[tuple[str, Any], ...] = ()
    sizes: tuple[tuple[int, ...], ...] = ()
    in_channels: int | None = None
    outputs: tuple[str, ...] = ()
    larger: int = 1


def elaborate(file: File, name: str, settings: Settings | None = None, spent: Spent | None = None) -> Network:
    """Return the checked network of one net of a file; raises `CompileError` at the first mistake.

    What it takes is added to `spent`.
    """
    elaborator = Elaborator(settings or Settings())
    try:
        return elaborator.network(file, name)
    except RecursionError:
        raise errors.too_deep(file.definitions[name].span, "expressions and blocks", MAX_CALLS) from None
    finally:
        if spent is not None:
            spent.add(elaborator.steps, elaborator.count)


class Elaborator(Applier):
    """Elaborates one net."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.symbols: dict[str, Symbol] = {}
        self.instances: dict[tuple[BlockValue, Shape], tuple[Scope, tuple[Tensor, ...]]] = {}

    # ------------------------------------------------------------ nets
    def network(self, file: File, name: str) -> Network:
        """Elaborate a net by name."""
        item = file.definitions[name]
        place = item.span
        value = self.definition(file, name, place)
        if isinstance(value, Located):
            value = value.item
        if not isinstance(value, BlockValue) or not isinstance(value.block, tree.Net):
            raise errors.bad_value(place, f"`{name}` is not a net", f"this is {describe(value)}")
        value = self._configured(value, place)
        frame = Frame(_titled(value), place)
        self.builder = Builder(None, frame)
        try:
            scope = self._body(value, None, place)
        except CompileError as mistake:
            raise self._placed(mistake) from None
        doc = value.block.doc or file.module.doc
        copied = tuple([(one.name, one.span, one.uses) for one in self.watched.values() if one.uses > 1])
        network = Network(name, scope, tuple(self.symbols.values()), file.source, doc, copied=copied)
        if self.settings.outputs:
            return selected(network, self.settings.outputs, place)
        return network.replace(scope=Pruner().inside(scope))

    def _placed(self, mistake: CompileError) -> CompileError:
        """Return a mistake inside a block with the chain of instantiations that led there, where it has none yet."""
        diagnostic, frame = mistake.diagnostic, self.builder.frame
        if frame is None or any(note.span is not None for note in diagnostic.notes):
            return mistake
        if frame.outer is None and frame.span.start <= diagnostic.primary.span.start < frame.span.end:
            return mistake  # of the net itself, not of one that it is made of
        return CompileError(diagnostic.noting(*self.trail()))

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
                raise errors.missing_argument(value.span or span, value.label, param.name, signature(value), param.span)
            else:
                default = self.whole(param.default, env, None)
                self.bind(param.name, default.item if isinstance(default, Located) else default, env, param.span)
        args = tuple(env.names.items())
        declared = block.signature if isinstance(block, tree.Block) else None
        if declared is not None and current is not None:
            self._bind_signature(declared, current, env)
        last = self.run(block.body, env, current)
        if last is None:
            raise errors.no_tensor(block.span, f"the net `{block.name}` has no input")
        kind = "block" if isinstance(block, tree.Block) else "net"
        scope = builder.scope(kind, block.name, args, last, block.span, block.doc).replace(definition=block)
        if declared is not None:
            self._check_signature(declared, block.name, scope.output_shapes[0], env)
        return scope

    def _bind_signature(self, declared: tree.Signature, x: Tensor, env: Env) -> None:
        if len(declared.inputs) != len(x.shape):
            got = f"the input is {show_shape(x.shape)}"
            raise self.fault(declared.span, "the input does not have the declared rank", got)
        for expr, dim in zip(declared.inputs, x.shape):
            if isinstance(expr, tree.Name) and expr.plain and expr.plain not in env.names:
                self.bind(expr.plain, dim, env, expr.span)
                continue
            wanted = self.whole(expr, env, x)
            if wanted != dim:
                raise self.fault(expr.span, f"the block takes {show(wanted)} here, and the input has {dim}", "")

    def _check_signature(self, declared: tree.Signature, block: str, shape: Shape, env: Env) -> None:
        wanted = []
        for expr in declared.outputs:
            value = self.eval(expr, env, None)
            if type(value) is not int and not isinstance(value, (Size, Area, Quotient)):
                raise errors.bad_value(expr.span, "a dim is an integer or a size", f"this is {describe(value)}")
            wanted.append(value)
        if tuple(wanted) == shape:
            return
        where = [i for i, (a, b) in enumerate(zip(wanted, shape)) if a != b] if len(wanted) == len(shape) else []
        axes = ("axis differs: " if len(where) == 1 else "axes differ: ") + ", ".join(axis_name(i) for i in where)
        span = declared.outputs[where[0]].span if where else declared.span
        notes = [axes, *_counterexample(wanted[where[0]], shape[where[0]])] if where else ["the ranks differ"]
        shapes = f"[{', '.join(map(show, wanted))}]", show_shape(shape)
        raise errors.signature_broken(span, block, *shapes, "\n".join(notes), self.trail())

    def instance(self, value: BlockValue, x: Tensor, span: Span) -> tuple[Scope, tuple[Tensor, ...]]:
        """Return the scope of a block on an input, elaborated once for each distinct instance."""
        key = (value, x.shape)
        known = self.instances.get(key)
        if known is not None:
            return known
        outer = self.builder
        self.builder = Builder(outer, Frame(_titled(value), span, outer.frame))
        with self.deeper(value.label, span):
            scope = self._body(value, self.entered(x), span)
        found = scope, tuple(self.builder.captured)
        self.builder = outer
        self.instances[key] = found
        return found

    # ------------------------------------------------------------ statements
    def run(self, body: tuple[tree.Statement, ...], env: Env, x: Tensor | None) -> Tensor | None:
        """Run statements; returns the tensor that leaves the last one."""
        for statement in body:
            x = _RUN[type(statement)](self, statement, env, x)
        return x

    def step(self, statement: tree.Step, env: Env, x: Tensor | None) -> Tensor:
        return main(self.apply(statement.value, env, x, x))

    def bind_statement(self, statement: tree.Bind, env: Env, x: Tensor | None) -> Tensor | None:
        name = self.text_of(statement.name, env, x)
        value = self.whole(statement.value, env, x)
        if value is OMITTED:
            raise errors.bad_value(statement.value.span, "a binding cannot be left out by a condition", "add an `else`")
        home = env if statement.name.plain is not None else env.home
        value = value.item if isinstance(value, Located) else value
        if self.is_fed(value):
            self.watched[id(value)] = Watched(name, statement.name.span, value)
        self.bind(name, value, home, statement.name.span)
        if type(value) in (int, float) and statement.name.plain is not None:
            self.builder.bindings.append((name, statement.value, value))
        return x

    def scope_statement(self, statement: tree.Scope, env: Env, x: Tensor | None) -> Tensor:
        if x is None:
            raise errors.no_tensor(statement.name.span, "a body needs a tensor")
        kind = statement.name.plain
        if kind in ("cat", "add", "mul", "split") and env.find(kind) is None:
            branches = [(s, e) for s, e in self._branches(statement.body, env, x)]
            return self.combine(kind, branches, self._branch_statement, x, statement.name.span)
        tag = Tag(self.text_of(statement.name, env, x), statement.name.span)
        return main(
            self.enclosed(
                lambda inner: _some(self.run(statement.body, Env(env, env.file), inner)), x, tag, statement.span
            )
        )

    def _branches(self, body: tuple[tree.Statement, ...], env: Env, x: Tensor) -> Iterator[tuple[tree.Statement, Env]]:
        """Yield the statements of a combinator that are branches; bindings and conditions are run on the way."""
        for statement in body:
            if isinstance(statement, (tree.Step, tree.Scope)):
                yield statement, env
            elif isinstance(statement, tree.If):
                for test, arm in statement.arms:
                    if test is None or self.truth(test, env, x):
                        yield from self._branches(arm, env, x)
                        break
            elif isinstance(statement, tree.For):
                for inner in self.loop(statement.targets, statement.values, env, x):
                    yield from self._branches(statement.body, inner, x)
            elif isinstance(statement, (tree.Bind, tree.Require)):
                self.run((statement,), env, x)
            else:
                raise errors.misplaced(statement.span, "this", "the lines of a combinator are its branches")

    def _branch_statement(self, branch: tuple[tree.Statement, Env], x: Tensor) -> Tensor | None:
        statement, env = branch
        if isinstance(statement, tree.Step) and self.left_out(statement.value, env, x):
            return None
        return self.run((statement,), env, x)

    def input_statement(self, statement: tree.Input, env: Env, x: Tensor | None) -> Tensor:
        builder = self.builder
        if builder.outer is not None:
            return self._bind_input(statement, env, builder, x)
        if builder.nodes:
            raise errors.misplaced(statement.span, "an `input`", "inputs stand before the first step of a net")
        if len(statement.dims) not in (2, 4):
            raise errors.bad_input(statement.span, f"an input has 2 or 4 axes, not {len(statement.dims)}", INPUT_FORMS)
        number = len(builder.inputs)
        asked = self.settings.sizes[number] if number < len(self.settings.sizes) else None
        if asked is not None and len(asked) != len(statement.dims):
            raise errors.bad_input(
                statement.span, f"the input has {len(statement.dims)} axes, and {len(asked)} sizes were given"
            )
        shape: list[Dim] = []
        for axis, (expr, default) in enumerate(statement.dims):
            shape.append(self._input_dim(expr, default, env, axis, asked[axis] if asked else None, number))
        tensor = builder.input(tuple(shape), statement.name)
        self.bind(statement.name, tensor, env, statement.span)
        return tensor if number == 0 else _some(x)

    def _bind_input(self, statement: tree.Input, env: Env, builder: Builder, x: Tensor | None) -> Tensor:
        """Give a net that is used as a step the tensor that reaches it as its input."""
        if builder.nodes or (builder.outer is not None and builder.outer.frame is builder.frame):
            raise errors.misplaced(statement.span, "an `input`", "inputs stand before the first step of a net")
        if any(isinstance(value, Tensor) and value is x for value in env.names.values()):
            raise errors.misplaced(statement.span, "a second `input`", "a net used as a step takes one tensor")
        tensor = _some(x)
        if len(statement.dims) != len(tensor.shape):
            raise self.fault(
                statement.span, "the input does not have the declared rank", f"got {show_shape(tensor.shape)}"
            )
        for (expr, _), dim in zip(statement.dims, tensor.shape):
            if isinstance(expr, tree.Name) and expr.plain and expr.plain not in env.names:
                self.bind(expr.plain, dim, env, expr.span)
        self.bind(statement.name, tensor, env, statement.span)
        return tensor

    def _input_dim(
        self, expr: tree.Expr, default: tree.Expr | None, env: Env, axis: int, asked: int | None, number: int
    ) -> Dim:
        name = expr.plain if isinstance(expr, tree.Name) else None
        if name and env.find(name) is None and name not in OPS:
            if name in self.symbols:
                return Size.of(self.symbols[name])
            value = asked
            if value is None and default is not None:
                value = self.whole(default, env, None)
                if self.settings.larger > 1 and type(value) is int and axis > 1:
                    value *= self.settings.larger
            if value is None and axis == 0:
                value = 1
            if value is None:
                raise errors.bad_input(expr.span, f"`{name}` needs a default size", f"write `{name}=224`")
            if type(value) is not int or not 1 <= value <= MAX_SIZE:
                raise errors.bad_input(
                    (default or expr).span, f"a size is an integer from 1 to 2**24, not {show(value)}"
                )
            self.symbols[name] = self.symbol(name, value)
            return Size.of(self.symbols[name])
        value = self.whole(expr, env, None)
        if axis == 1 and number == 0 and self.settings.in_channels is not None:
            value = self.settings.in_channels
        value = asked if asked is not None else value
        if type(value) is not int or value < 1:
            raise errors.bad_input(
                expr.span, "a dim of an input is a symbol or an integer ≥ 1", f"this is {describe(value)}"
            )
        return value

    def symbol(self, name: str, default: int) -> Symbol:
        """Return an input size of this net."""
        return Symbol(name, default)

    def output_statement(self, statement: tree.Output, env: Env, x: Tensor | None) -> Tensor | None:
        places = self.builder.output_places
        name = self.text_of(statement.name, env, x)
        if name in places:
            raise errors.bound_twice(statement.span, name, places[name])
        places[name] = statement.span
        if keyword.iskeyword(name):
            raise errors.bad_label(statement.span, name, "it is a Python keyword")
        if name.startswith("_"):
            raise errors.bad_label(statement.span, name, "a field of a named tuple starts with a letter")
        result = main(self.apply(statement.value, env, x, x))
        self.builder.outputs.append((name, result, statement.training))
        return x

    def require_statement(self, statement: tree.Require, env: Env, x: Tensor | None) -> Tensor | None:
        for clause in demanded(self, statement.test, env, x):
            if not any(relation.holds for relation in clause):
                message = self.whole(statement.message, env, x)
                text = message if isinstance(message, str) else show(message)
                raise errors.requirement(statement.test.span, text, sizes_of(clause))
            if relations := open_relations(clause):
                self.builder.requirements.append(Requirement(relations, statement.test.span))
        return x

    def if_statement(self, statement: tree.If, env: Env, x: Tensor | None) -> Tensor | None:
        for test, body in statement.arms:
            if test is None or self.truth(test, env, x):
                return self.run(body, env, x)
        return x

    def for_statement(self, statement: tree.For, env: Env, x: Tensor | None) -> Tensor | None:
        for inner in self.loop(statement.targets, statement.values, env, x):
            x = self.run(statement.body, inner, x)
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


def _titled(value: BlockValue) -> str:
    args = ", ".join(f"{k}={show(v)}" for k, v in value.bound.values)
    return f"{value.label}({args})"


_RUN: dict[type, Any] = {
    tree.Step: Elaborator.step,
    tree.Bind: Elaborator.bind_statement,
    tree.Scope: Elaborator.scope_statement,
    tree.Input: Elaborator.input_statement,
    tree.Output: Elaborator.output_statement,
    tree.Require: Elaborator.require_statement,
    tree.If: Elaborator.if_statement,
    tree.For: Elaborator.for_statement,
}
