"""Operators on several tensors, `add`, `mul`, `maximum`, `minimum` and `cat`, and `chunk`, which makes several of one.

Operands must agree at the default input size; where they agree only there, `relations` says what the network needs.
"""

from __future__ import annotations

from archdsl.core.sizes import SizeFault
from archdsl.core.windows import Reach
from archdsl.ops import axes
from archdsl.ops.base import (
    MAX_INT,
    XS,
    Call,
    Kernel,
    Kind,
    Leaf,
    Op,
    Relation,
    ShapeFault,
    agree,
    arg,
    as_int,
    call,
    channel_count,
    choice,
    divides,
    equalities,
    expression,
    extent,
    fixed,
    is_symbolic,
    numbered,
    op,
    volume,
    with_channels,
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
                    yield Relation(size, 1, axis, (index, index), otherwise=full)
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

    Flat features [N, F1], [N, F2], … are concatenated too, maps along their height or their width, and tokens along
    their channels or one after another: [N, L1, C], [N, L2, C], … -> [N, L1 + L2 + …, C].
    """

    axis: str = arg(choice(*axes.NAMES), "channels", doc="along which axis")

    saves = ()
    gradient = "same"

    def shape(self, x: Shape, *more: Shape) -> Shape:
        number = numbered(self.axis, x)
        for index, y in enumerate(more, 1):
            agree("cat", x, y, index, self.shared(x))
        return (*x[:number], self.total([x, *more]), *x[number + 1 :])

    def shared(self, x: Shape) -> list[int]:
        """Return the axes along which operands must agree."""
        return [axis for axis in range(len(x)) if axis != numbered(self.axis, x)]

    def total(self, xs: list[Shape] | tuple[Shape, ...]) -> Dim:
        """Add the sizes along the axis; what cannot be added as functions of the input is held to its default."""
        sizes = [x[numbered(self.axis, x)] for x in xs]
        try:
            return sum(sizes[1:], sizes[0])
        except SizeFault:
            return sum(map(as_int, sizes))

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        for index, y in enumerate(xs[1:], 1):
            yield from equalities(xs[0], y, index, self.shared(y))
        number = numbered(self.axis, xs[0])
        if not is_symbolic(self.total(xs)):
            for index, x in enumerate(xs):
                if is_symbolic(x[number]):
                    yield Relation(x[number], as_int(x[number]), number, (index, index))

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if axes.spatial(y, axis) != numbered(self.axis, y):
            return super().reach(axis, operand, xs, y)
        sizes, count = [extent(x, axis) for x in xs], extent(y, axis)
        start = sum(sizes[:operand])
        spans = [(i - start,) * 2 if start <= i < start + sizes[operand] else None for i in range(count)]
        return Reach(count, count, tuple(spans))

    def function(self, *xs: Shape) -> Call:
        return call("torch.cat", XS, Leaf(axes.in_code(numbered(self.axis, xs[0]), xs[0])))

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return (Kernel("cat", (volume(ys[0]),), (volume(ys[0]),)),)


def portions() -> Kind:
    """How many parts, 2 or more, or the channels of each of one or more."""

    def accept(value: object) -> object:
        sizes = value if isinstance(value, tuple) else (value,)
        least = 1 if isinstance(value, tuple) else 2
        if not sizes or any(type(size) is not int or not least <= size <= MAX_INT for size in sizes):
            raise ValueError
        return value

    return Kind("a list of integers ≥ 1", accept, (2, 3, 4, (1, 3), (2, 1, 1), (4, 8), (1, 1), (8,), (2, 4)))


@op("chunk", "inner")
class Chunk(Op):
    """Division of the channels (`x.chunk(parts, 1)`): [N, C, H, W] -> `parts` times [N, C / parts, H, W].

    With a list of channels, each part has so many (`x.split(parts, 1)`). The language's `split` is made of it.
    """

    saves = ()

    parts: int | tuple[int, ...] = arg(portions(), doc="number of results, which divides the channels, or the channels")

    @property
    def results(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the results."""
        count = self.parts if isinstance(self.parts, int) else len(self.parts)
        return ("out", *[f"out{i}" for i in range(1, count)])

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return self.shapes(x)[0]

    def shapes(self, *xs: Shape) -> tuple[Shape, ...]:
        count = channel_count(xs[0])
        if isinstance(self.parts, int):
            divides(self.parts, count, "input", "parts")
            sizes = (count // self.parts,) * self.parts
        else:
            sizes = self.parts
        if sum(sizes) != count:
            label = f"{' + '.join(map(str, sizes))} is {sum(sizes)}, and the input has {count} channels"
            raise ShapeFault("the sizes of the parts must add up to the channels", label=label, at="parts")
        return tuple([with_channels(xs[0], size) for size in sizes])

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from fixed(xs[0])

    def function(self, *xs: Shape) -> Call:
        axis = Leaf(axes.in_code(axes.channel(xs[0]), xs[0]))
        return call("{0}.chunk" if isinstance(self.parts, int) else "{0}.split", self.leaf("parts"), axis)
