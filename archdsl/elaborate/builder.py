"""A scope under construction, and the chain of instantiations that led to it."""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.elaborate.values import Results, Tensor, show
from archdsl.ir.network import Loop, Output, Scope, Turn
from archdsl.ops.base import Op
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.elaborate.values import BlockValue, LabelValue
    from archdsl.ir.network import Node, Requirement
    from archdsl.ops.base import Relation
    from archdsl.ops.wrap import Wrapper


class Frame(Record):
    """One instantiation in the chain that led somewhere: what was called, and where."""

    value: BlockValue
    span: Span
    outer: Frame | None

    @property
    def title(self) -> str:
        """What was called, with its arguments: `bottleneck(planes=64)`."""
        return f"{self.value.label}({', '.join(f'{name}={show(value)}' for name, value in self.value.bound.values)})"


class Tag(Record):
    """The label of a step: its text, its place, the value that carries it, which makes it shared, and its use.

    What holds the step may need a module, `whole`, where PyTorch has a function only.
    """

    name: str
    span: Span
    value: LabelValue | None = None
    use: Span | None = None
    whole: bool = False
    written: tree.Name | None = None


class Builder:
    """A scope under construction."""

    def __init__(self, outer: Builder | None, frame: Frame | None) -> None:
        self.outer, self.frame = outer, frame
        self.shapes: list[Shape] = []
        self.nodes: list[Node] = []
        self.inputs: list[int] = []
        self.input_names: list[str] = []
        self.captured: dict[Tensor, Tensor] = {}
        self.given: dict[Tensor, str] = {}  # names of parameters that are tensors of a scope around this one
        self.tags: dict[str, tuple[Tag, int]] = {}
        self.outputs: list[tuple[str, Tensor, bool]] = []
        self.output_places: dict[str, Span] = {}
        self.bindings: list[tuple[str, tree.Expr, object]] = []
        self.names: dict[int, str] = {}
        self.relations: list[tuple[Relation, Node]] = []
        self.requirements: list[Requirement] = []
        self.arms: tuple[tuple[int, int], ...] = ()
        self.loops: list[Loop] = []
        self.counter = 0

    def arm(self, statement: tree.If, number: int) -> _Arm:
        """Build an arm of an `if` statement for a while."""
        return _Arm(self, (*self.arms, (statement.span.start, number)))

    def turn(self, turns: list[Turn], values: Iterable[tuple[str, object]] = ()) -> _Pass:
        """Build one pass of a loop, in which these names are bound, and add it to the others."""
        return _Pass(self, turns, tuple(values))

    def looped(self, written: tree.For | tree.Expr, turns: list[Turn]) -> None:
        """Note the passes of a loop that ends here."""
        self.loops.append(Loop(written, turns[0].first if turns else len(self.nodes), tuple(turns)))

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
            self.captured[tensor] = self.input(tensor.shape, self._name(tensor))
        return self.captured[tensor]

    def _name(self, tensor: Tensor) -> str:
        """Return a name for a tensor of a scope around this one: as a parameter, or as the text there calls it."""
        name = self.given.get(tensor) or tensor.builder.names.get(tensor.id) or "other"
        names = [name, *[f"{name}{number}" for number in range(2, len(self.inputs) + 2)]]
        return next(name for name in names if name not in self.input_names)

    def named(self, name: str, value: object) -> None:
        """Note the name that a text gives to a tensor of this scope, or to several results."""
        if isinstance(value, Results):
            for number, (result, tensor) in enumerate(value.tensors):
                self.named(f"{name}_{result}" if number else name, tensor)
        elif isinstance(value, Tensor) and value.builder is self:
            self.names.setdefault(value.id, name)

    def tensors(self) -> Iterator[str]:
        """Yield the names that tensors have here and in the scopes around."""
        yield from self.input_names
        yield from self.given.values()
        yield from self.names.values()
        if self.outer is not None:
            yield from self.outer.tensors()

    @property
    def chained(self) -> bool:
        """Whether each step takes what the one before it returns, and nothing else."""
        before = [self.inputs[0], *[node.outputs[0] for node in self.nodes]]
        return len(self.inputs) == 1 and all(node.inputs == (value,) for node, value in zip(self.nodes, before))

    def results(self, shapes: tuple[Shape, ...]) -> list[Tensor]:
        """Add values for the results of the node that comes next."""
        made = []
        for shape in shapes:
            self.shapes.append(shape)
            made.append(Tensor(self, len(self.shapes) - 1, shape, len(self.nodes)))
        return made

    def scope(
        self,
        kind: str,
        title: str,
        last: Tensor,
        span: Span,
        *,
        args: tuple[tuple[str, object], ...] = (),
        wrapper: Wrapper | None = None,
        definition: tree.Block | tree.Net | None = None,
    ) -> Scope:
        """Finish the scope."""
        outputs = [Output(name, self.local(tensor).id, training) for name, tensor, training in self.outputs]
        if all(o.training for o in outputs):
            outputs.insert(0, Output("out", self.local(last).id, implicit=True))
        return Scope(
            kind, title, args, tuple(self.inputs), tuple(self.nodes), tuple(self.shapes), tuple(outputs), span,
            definition.doc if definition is not None else "", tuple(self.bindings), tuple(self.relations),
            tuple(self.requirements), tuple(self.names.items()), tuple(self.input_names), wrapper, definition,
            tuple(self.loops),
        )  # fmt: skip


class _Arm:
    __slots__ = ("arms", "builder", "outer")

    def __init__(self, builder: Builder, arms: tuple[tuple[int, int], ...]) -> None:
        self.builder, self.arms, self.outer = builder, arms, builder.arms

    def __enter__(self) -> None:
        self.builder.arms = self.arms

    def __exit__(self, *_: object) -> None:
        self.builder.arms = self.outer


class _Pass:
    __slots__ = ("builder", "first", "outer", "turns", "values")

    def __init__(self, builder: Builder, turns: list[Turn], values: tuple[tuple[str, object], ...]) -> None:
        self.builder, self.turns, self.values, self.first = builder, turns, values, len(builder.nodes)
        self.outer = builder.loops, builder.bindings

    def __enter__(self) -> None:
        self.builder.loops, self.builder.bindings = [], []

    def __exit__(self, *_: object) -> None:
        builder = self.builder
        bindings, loops = tuple(builder.bindings), tuple(builder.loops)
        self.turns.append(Turn(self.first, len(builder.nodes), self.values, bindings, loops))
        builder.loops, builder.bindings = self.outer


def tap(scope: Scope, name: str) -> tuple[Scope, int] | None:
    """Return a scope that also returns its step of this label, and the number of that output."""
    for number, output in enumerate(scope.outputs):
        if output.name == name and not output.implicit:
            return scope, number
    for node in scope.nodes:
        if node.labelled and node.name == name:
            kept = [output.replace(name="") if output.name == name else output for output in scope.outputs]
            return scope.replace(outputs=(*kept, Output(name, node.outputs[0]))), len(kept)
    return next(((scope, n) for n, output in enumerate(scope.outputs) if output.name == name), None)


def shared_modules(what: Op | Scope, x: Shape, numbers: dict[Any, Any]) -> int:
    """Return a number for the modules that PyTorch builds, by name: what two uses of one module must agree on.

    `numbers` keeps what is known, so that blocks of blocks of blocks are each looked into once.
    """
    return _numbered(what, x, numbers, weights=True)


def shared_steps(what: Op | Scope, numbers: dict[Any, Any]) -> int:
    """Return a number for all that a module does: its steps with their arguments, and how they are joined.

    A text may ask for the channels or the size of its input, and so mean two things in two uses of one module.
    """
    return _numbered(what, (), numbers, weights=False)


def _numbered(what: Op | Scope, x: Shape, numbers: dict[Any, Any], *, weights: bool) -> int:
    place = (id(what), x, weights)
    if place not in numbers:
        numbers[id(what)] = what  # so that its identity stays its own
        numbers[place] = numbers.setdefault(_key(what, x, numbers, weights), len(numbers))
    found: int = numbers[place]
    return found


def _key(what: Op | Scope, x: Shape, numbers: dict[Any, Any], weights: bool) -> Any:
    if isinstance(what, Op):
        if weights:
            return ("module", what.module(x) if what.stateful else None)
        return what.name, what.arguments
    if weights:
        steps = [(n.name, n.what, what.shapes[n.inputs[0]]) for n in what.nodes if not n.reuses]
        return tuple([(name, _numbered(part, shape, numbers, weights=True)) for name, part, shape in steps])
    # Of results the first alone: further ones are taken from some uses by name, and change nothing of the module.
    joined = [(n.name, n.inputs, n.outputs[0], _numbered(n.what, (), numbers, weights=False)) for n in what.nodes]
    return tuple(joined), what.inputs, what.outputs[0].value


def main(value: Tensor | Results) -> Tensor:
    """Return the tensor that a chain goes on with: the main one of several results."""
    return value.main if isinstance(value, Results) else value
