"""Receptive fields: which rows and columns of the image one position of a map depends on.

Each operator says what one position of its result sees of its operands (`Op.reach`); here that is followed through
chains, where it composes, and branches, where it unites. Size, stride and offset are exact for every position whose
field lies inside the image; at the borders the field is cut to the image. In evaluation mode, where batch statistics
are constants. A field is the hull of what is seen (Luo et al., 2016, arXiv:1701.04128, on how unevenly it counts).
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.core.windows import Reach
from archdsl.ir.network import Scope
from archdsl.ir.walk import once
from archdsl.ops.base import extent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.core.sizes import Shape
    from archdsl.core.windows import Span
    from archdsl.ir.network import Network, Node

    Seen = tuple["Field | None", ...]  # what a value sees of each input of the net; None: nothing


class Axis(Record):
    """What the positions of a map see along one axis of an input; none sees beyond `limits`, first and last."""

    reach: Reach
    limits: tuple[int, int]

    def at(self, position: int) -> Span:
        """Return the first and last row, or column, that a position sees; None for nothing."""
        return cut(self.reach.at(position), self.limits)

    def through(self, reach: Reach, before: int, count: int) -> Axis:
        """Return what `count` positions see that see `reach` of these, of which there are `before`."""
        limits = cut(self.reach.hull(0, before - 1), self.limits) or self.limits
        return Axis(self.reach.then(reach, count), limits)

    def union(self, other: Axis, count: int) -> Axis:
        """Return what either sees, for a map of `count` positions."""
        limits = min(self.limits[0], other.limits[0]), max(self.limits[1], other.limits[1])
        return Axis(self.reach.union(other.reach, count), limits)

    @property
    def whole(self) -> bool:
        """Every position sees all that can be seen."""
        return not self.reach.advance and cut(self.reach.at(0), self.limits) == self.limits


class Field(Record):
    """What the positions of one map see of one input: along the height (`rows`) and the width (`columns`).

    >>> from archdsl.compiler import compiled
    >>> field = fields(compiled("resnet50").network)["layer4"]
    >>> field.size, field.stride, field.offset
    ((427, 427), (32, 32), (-213, -213))
    """

    rows: Axis
    columns: Axis

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the field, with what of it lies in the padding."""
        return self.rows.reach.size, self.columns.reach.size

    @property
    def stride(self) -> tuple[float, float]:
        """By how many rows and columns the field moves from one position to the next; 0 where it does not move."""
        return _figure(self.rows.reach.stride), _figure(self.columns.reach.stride)

    @property
    def offset(self) -> tuple[int, int]:
        """The first row and column that position (0, 0) sees: negative in the padding."""
        return self.rows.reach.offset, self.columns.reach.offset

    @property
    def whole(self) -> bool:
        """Every position sees all of the input that can be seen, as after global pooling."""
        return self.rows.whole and self.columns.whole

    def at(self, row: int, column: int) -> tuple[Span, Span]:
        """Return the first and last row, and column, of the input that a position sees; None for nothing."""
        return self.rows.at(row), self.columns.at(column)

    def text(self) -> str:
        """Return the size in words: `427x427`, or `whole`."""
        return "whole" if self.whole else f"{self.size[0]}x{self.size[1]}"

    def to_dict(self) -> dict[str, object]:
        """Return the field as plain data, each figure as [height, width]."""
        figures = {"size": self.size, "stride": self.stride, "offset": self.offset}
        return {"whole": self.whole} | {name: list(pair) for name, pair in figures.items()}


class Fields:
    """Follows fields through scopes; a scope that is met again with the same fields is not followed again."""

    def __init__(self, network: Network) -> None:
        scope = network.scope
        self.inputs: tuple[Seen, ...] = tuple(
            tuple(_itself(scope.shapes[v]) if i == j else None for j in range(len(scope.inputs)))
            for i, v in enumerate(scope.inputs)
        )

    @once
    def values(self, scope: Scope, inputs: tuple[Seen, ...]) -> tuple[Seen, ...]:
        """Return the fields of all values of a scope, given those of its inputs."""
        return self._wrapped(scope, inputs) if scope.wrapper else self._scope(scope, inputs)

    @staticmethod
    def main(seen: Seen) -> Field | None:
        """Return what a value sees of the first input that it sees anything of."""
        return next((field for field in seen if field is not None), None)

    def _scope(self, scope: Scope, inputs: tuple[Seen, ...]) -> tuple[Seen, ...]:
        nothing: Seen = (None,) * len(self.inputs)
        seen = [nothing] * len(scope.shapes)
        for value, field in zip(scope.inputs, inputs):
            seen[value] = field
        for node in scope.nodes:
            for output, field in zip(node.outputs, self._node(node, scope, seen)):
                seen[output] = field
        return tuple(seen)

    def _wrapped(self, scope: Scope, inputs: tuple[Seen, ...]) -> tuple[Seen, ...]:
        """Follow `x + f(x)` as often as the wrapper evaluates `f` in a row."""
        assert scope.wrapper is not None, "only called for wrappers"
        current, found = inputs, self._scope(scope, inputs)
        for _ in range(scope.wrapper.evaluations):
            found = self._scope(scope, current)
            joined = _union(current[0], found[scope.outputs[0].value], scope.shapes[scope.inputs[0]])
            if joined == current[0] or _all_whole(joined):
                current = (joined, *current[1:])
                break
            current = (joined, *current[1:])
        result = list(found)
        for output in scope.outputs:
            result[output.value] = current[0]
        return tuple(result)

    def _node(self, node: Node, scope: Scope, seen: list[Seen]) -> list[Seen]:
        operands = tuple([seen[v] for v in node.inputs])
        if isinstance(node.what, Scope):
            inner = self.values(node.what, operands)
            return [inner[o.value] for o in node.what.outputs]
        xs = tuple([scope.shapes[v] for v in node.inputs])
        return [self._operator(node, operands, xs, scope.shapes[v]) for v in node.outputs]

    def _operator(self, node: Node, operands: tuple[Seen, ...], xs: tuple[Shape, ...], y: Shape) -> Seen:
        assert not isinstance(node.what, Scope), "scopes are followed by `values`"
        result: Seen = (None,) * len(self.inputs)
        for number, operand in enumerate(operands):
            rows, columns = [node.what.reach(axis, number, xs, y) for axis in (0, 1)]
            if rows is not None and columns is not None:
                mapped = tuple([None if f is None else _through(f, (rows, columns), xs[number], y) for f in operand])
                result = _union(result, mapped, y)
        return result


def fields(network: Network) -> dict[str, Field]:
    """Return the field of every step's main result, on the first input it depends on, by the name of its module.

    Names are those of the module (`layer4.0.conv1`); steps without a module of their own, such as additions, are in
    the scope around them, and the results of the net have the names of its outputs. Training-only steps are included.
    """
    return {name: field for name, field in _named(Fields(network), network.scope, None, "") if field is not None}


def _named(
    follow: Fields, scope: Scope, inputs: tuple[Seen, ...] | None, prefix: str
) -> Iterator[tuple[str, Field | None]]:
    seen = follow.values(scope, follow.inputs if inputs is None else inputs)
    for node in scope.nodes:
        if node.name and not node.reuses:
            yield prefix + node.name, follow.main(seen[node.outputs[0]])
            if isinstance(node.what, Scope):
                operands = tuple([seen[v] for v in node.inputs])
                yield from _named(follow, node.what, operands, f"{prefix}{node.name}.")
    if inputs is None:
        for output in scope.outputs:
            yield output.name, follow.main(seen[output.value])


def cut(span: Span, limits: tuple[int, int]) -> Span:
    """Return the part of a span within limits; None for nothing."""
    if span is None or span[1] < limits[0] or span[0] > limits[1]:
        return None
    return max(span[0], limits[0]), min(span[1], limits[1])


def _itself(shape: Shape) -> Field | None:
    if len(shape) != 4:
        return None  # flat features have no rows and columns
    rows, columns = [Axis(Reach.same(), (0, extent(shape, axis) - 1)) for axis in (0, 1)]
    return Field(rows, columns)


def _through(field: Field, reach: tuple[Reach, Reach], x: Shape, y: Shape) -> Field:
    """Return what the positions of y see of an input, through a map x with this field of which they see `reach`."""
    axes = zip((field.rows, field.columns), reach, (0, 1))
    rows, columns = [axis.through(seen, extent(x, i), extent(y, i)) for axis, seen, i in axes]
    return Field(rows, columns)


def _union(left: Seen, right: Seen, y: Shape) -> Seen:
    return tuple([b if a is None else a if b is None else _joined(a, b, y) for a, b in zip(left, right)])


def _joined(a: Field, b: Field, y: Shape) -> Field:
    if a is b:
        return a
    return Field(a.rows.union(b.rows, extent(y, 0)), a.columns.union(b.columns, extent(y, 1)))


def _all_whole(seen: Seen) -> bool:
    return all(field is None or field.whole for field in seen)


def _figure(stride: float) -> float:
    return int(stride) if stride == int(stride) else stride
