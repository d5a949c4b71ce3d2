"""Operators on several tensors, `add`, `mul`, `maximum`, `minimum` and `cat`, and `chunk`, which makes several of one.

Operands must agree at the default input size; where they agree only there, `relations` says what the network needs.
"""

from __future__ import annotations

from archdsl.core.sizes import SizeFault
from archdsl.ops.base import (
    XS,
    Call,
    Kernel,
    Leaf,
    Op,
    Relation,
    agree,
    arg,
    as_int,
    call,
    divides,
    equalities,
    expression,
    fixed,
    integer,
    is_symbolic,
    op,
    volume,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar

    from archdsl.core.sizes import Dim, Shape


class Repeating(Op):
    """Base of what joins tensors element by element, and repeats an operand along an axis where its size is 1."""

    sign: ClassVar[str]  # of Python, with its spaces

    def shape(self, x: Shape, *more: Shape) -> Shape:
        for index, y in enumerate(more, 1):
            agree(self.said or self.name, x, y, index, [0])
        result = self.whole((x, *more))
        for index, y in enumerate((x, *more)):
            agree(self.said or self.name, result, y, index, [axis for axis in range(1, len(x)) if int(y[axis]) != 1])
        return result

    @staticmethod
    def whole(xs: tuple[Shape, ...]) -> Shape:
        """Return the shape to which all are repeated: along each axis the first size that is not 1, if there is one."""
        result = list(xs[0])
        for axis in range(1, len(result)):
            sizes = [x[axis] for x in xs]
            symbolic = [size for size in sizes if is_symbolic(size)]
            result[axis] = next((size for size in sizes if int(size) != 1), symbolic[0] if symbolic else 1)
        return tuple(result)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        whole = self.whole(xs)
        for index, x in enumerate(xs):
            for axis, (size, full) in enumerate(zip(x, whole)):
                if int(size) == 1 != int(full) and is_symbolic(size):
                    yield Relation(size, 1, axis, (index, index))
                elif size not in (1, full):
                    yield Relation(full, size, axis, ([y[axis] for y in xs].index(full), index))

    def function(self, *xs: Shape) -> Call:
        return Call("", (XS,), infix=self.sign)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * (len(xs) - 1)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        partial = [volume(self.whole(xs[:count])) for count in range(1, len(xs) + 1)]
        return tuple([Kernel(self.name, (partial[i - 1], volume(xs[i])), (partial[i],)) for i in range(1, len(xs))])


@op("add", "inner", "joins", "repeats", "pointwise", "fuses")
class Add(Repeating):
    """Sum of tensors, element by element (`a + b`): [N, C, H, W] or [N, F]; axes of size 1 are repeated."""

    sign = " + "
    saves = ()
    gradient = "same"


@op("mul", "inner", "joins", "repeats")
class Mul(Repeating):
    """Product of tensors, element by element (`a * b`): [N, C, H, W] or [N, F].

    An operand of size 1 along the channels, the height or the width is repeated there: a gate [N, C, 1, 1] weighs
    channels (squeeze-and-excite), a gate [N, 1, H, W] positions.
    """

    sign = " * "


class Extreme(Repeating):
    """Base of the larger and the smaller of several tensors, two at a time."""

    torch: ClassVar[str]
    scratch = 1.5  # half of the gradient, and where operands are equal and one is the larger

    def function(self, *xs: Shape) -> Call:
        text = "{0}"
        for index in range(1, len(xs)):
            text = f"{self.torch}({text}, {{{index}}})"
        return expression(text)


@op("maximum", "inner", "joins", "repeats")
class Maximum(Extreme):
    """The largest of tensors, element by element (`torch.maximum`); axes of size 1 are repeated."""

    torch = "torch.maximum"


@op("minimum", "inner", "joins", "repeats")
class Minimum(Extreme):
    """The smallest of tensors, element by element (`torch.minimum`); axes of size 1 are repeated."""

    torch = "torch.minimum"


@op("cat", "inner", "joins", "side by side")
class Cat(Op):
    """Concatenation of channels (`torch.cat(…, 1)`): [N, C1, H, W], [N, C2, H, W], … -> [N, C1 + C2 + …, H, W].

    Flat features [N, F1], [N, F2], … are concatenated too.
    """

    saves = ()
    gradient = "same"

    def shape(self, x: Shape, *more: Shape) -> Shape:
        for index, y in enumerate(more, 1):
            agree("cat", x, y, index, self.shared(x))
        return (x[0], self.total([x, *more]), *x[2:])

    @staticmethod
    def shared(x: Shape) -> list[int]:
        """Return the axes along which operands must agree."""
        return [axis for axis in range(len(x)) if axis != 1]

    @staticmethod
    def total(xs: list[Shape] | tuple[Shape, ...]) -> Dim:
        """Add the channels; flat features that cannot be added as functions of the input are held to their default."""
        try:
            return sum([x[1] for x in xs[1:]], xs[0][1])
        except SizeFault:
            return sum([as_int(x[1]) for x in xs])

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        for index, y in enumerate(xs[1:], 1):
            yield from equalities(xs[0], y, index, self.shared(y))
        if not is_symbolic(self.total(xs)):
            for index, x in enumerate(xs):
                for relation in fixed(x):
                    yield relation.replace(operands=(index, index))

    def function(self, *xs: Shape) -> Call:
        return call("torch.cat", XS, Leaf(1))

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return (Kernel("cat", (volume(ys[0]),), (volume(ys[0]),)),)


@op("chunk", "inner")
class Chunk(Op):
    """Even division of the channels (`x.chunk(parts, 1)`): [N, C, H, W] -> `parts` times [N, C / parts, H, W].

    The language's `split` is made of it.
    """

    saves = ()

    parts: int = arg(integer(2, examples=(2, 3, 4)), doc="number of results; it must divide the channels")

    @property
    def results(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the results."""
        return ("out", *[f"out{i}" for i in range(1, self.parts)])

    def shape(self, x: Shape, *more: Shape) -> Shape:
        divides(self.parts, as_int(x[1]), "input", "parts")
        return (x[0], as_int(x[1]) // self.parts, *x[2:])

    def shapes(self, *xs: Shape) -> tuple[Shape, ...]:
        return (self.shape(*xs),) * self.parts

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from fixed(xs[0])

    def function(self, *xs: Shape) -> Call:
        return call("{0}.chunk", self.leaf("parts"), Leaf(1))
