"""Sizes of tensors as arguments of operators: `crop(size=(skip.height, 1))`, `pad((0, -x.width % 4, 0, 0))`.

A size is an exact function of an input size, wherever it was worked out. Code has to take it from a tensor, so here a
tensor is looked for whose size determines it: first among those that the argument names, then the one that reaches the
step, then the others of the definition in their order, of these one that has it before one that leads to it. It
becomes a further operand.
"""

from __future__ import annotations

from archdsl.core.sizes import NUMBER, Size, SizeFault, in_python, law_between
from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.expressions import evaluate
from archdsl.elaborate.values import Results, Tensor
from archdsl.ops import axes
from archdsl.ops.base import Measure
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.sizes import Dim
    from archdsl.core.source import Span
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.values import OpValue


class Measuring:
    """Finds the tensors that the arguments of one step are measured on; they are added to its operands."""

    def __init__(self, ctx: Context, value: OpValue, current: Tensor, operands: list[Tensor]) -> None:
        self.ctx, self.value, self.current, self.operands = ctx, value, current, operands
        self.first = len(operands)  # of the operands that are here for their sizes

    def argument(self, name: str, given: Any, place: Span) -> Any:
        """Return an argument with measures in the place of sizes that change with the input."""
        if isinstance(given, tuple):
            return tuple([self.argument(name, one, place) for one in given])
        return self._measure(name, given, place) if isinstance(given, Size) else given

    def _measure(self, name: str, size: Size, place: Span) -> Measure:
        written = dict(self.value.bound.written).get(name)
        named, others = list(self._mentioned(written)), list(self._others())
        found = _determined(named, size) or _had(others, size) or _determined(others, size)
        if found is not None:
            return self._taken(*found)
        raise errors.size_of_no_tensor(place, self.value.label, str(size), self.ctx.trail())

    def _taken(self, tensor: Tensor, axis: int, law: Dim) -> Measure:
        taken = [(one.builder, one.id) for one in self.operands[self.first :]]
        if (tensor.builder, tensor.id) not in taken:
            taken.append((tensor.builder, tensor.id))
            self.operands.append(tensor)
        return Measure(
            self.first + taken.index((tensor.builder, tensor.id)), axis, law, axes.name(axis, len(tensor.shape))
        )

    def _others(self) -> Iterator[Tensor]:
        yield self.current
        builder, frame = self.ctx.builder, self.ctx.builder.frame
        while builder is not None and builder.frame is frame:  # a body, and the definition that it is a piece of
            for number, shape in enumerate(builder.shapes):
                yield Tensor(builder, number, shape)
            builder = builder.outer  # type: ignore[assignment]

    def _mentioned(self, node: Any) -> Iterator[Tensor]:
        """Yield the tensors that an argument names."""
        if isinstance(node, tuple):
            for child in node:
                yield from self._mentioned(child)
        elif isinstance(node, tree.Name):
            yield from _tensors(self._named(node))
        elif isinstance(node, tree.Node):
            yield from self._mentioned(tuple([getattr(node, field) for field in node.fields if field != "span"]))

    def _named(self, name: tree.Name) -> Any:
        env = self.value.bound.env
        if env is None:
            return None
        try:
            return evaluate(self.ctx, name, env, self.current)
        except CompileError:  # a name that is bound in the argument itself, by a comprehension
            return None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Results):
        yield from [tensor for _, tensor in value.tensors]
    elif isinstance(value, tuple):
        for one in value:
            yield from _tensors(one)


def _had(tensors: list[Tensor], size: Size) -> tuple[Tensor, int, Dim] | None:
    """Return the first tensor that has a size, and the axis."""
    places = [(tensor, axis) for tensor in tensors for axis, dim in enumerate(tensor.shape) if axis and dim == size]
    return (*places[0], Size.of(NUMBER)) if places else None


def _determined(tensors: list[Tensor], size: Size) -> tuple[Tensor, int, Dim] | None:
    """Return the first tensor that a size can be worked out from, the axis and how."""
    for tensor in tensors:
        for axis, dim in enumerate(tensor.shape[1:], 1):
            law = law_between(dim, size)
            if law is not None and _is_short(law):
                return tensor, axis, law
    return None


def _is_short(law: Dim) -> bool:
    try:
        in_python(law, "n")
    except SizeFault:
        return False
    return True
