"""Pooling: `maxpool` and its inverse `maxunpool`, `avgpool`, global and adaptive pooling."""

from __future__ import annotations

from archdsl.core.sizes import window
from archdsl.core.windows import Reach
from archdsl.ops.base import (
    Kernel,
    Leaf,
    Op,
    Operand,
    Relation,
    ShapeFault,
    X,
    agree,
    arg,
    as_int,
    boolean,
    call,
    equalities,
    everything,
    extent,
    fits,
    image,
    measured,
    op,
    optional,
    padding,
    pair,
    remains,
    tensor,
    volume,
)
from archdsl.ops.margins import PadSame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call, Margins

KERNELS = (1, 2, 3, 4, (3, 1), (2, 3))
PADS = (0, 1, (1, 0), (0, 1), 2)


class Pool(Op):
    """Base of the operators with a window over a map; it steps by its own size unless `stride` is given."""

    kernel: tuple[int, int] = arg(pair(1, examples=KERNELS), doc="window, one number or (height, width)")
    stride: tuple[int, int] | None = arg(optional(pair(1)), None, doc="step of the window; its size if left out")
    pad: tuple[int, int] = arg(pair(0, examples=PADS), 0, doc="rows and columns added on each side")

    @property
    def step(self) -> tuple[int, int]:
        """The step of the window, (height, width)."""
        return self.kernel if self.stride is None else self.stride

    def keywords(self) -> dict[str, Leaf]:
        """The arguments after the kernel, by PyTorch's names."""
        return {"stride": Leaf(self.step, "{stride}", self.kernel), "padding": self.leaf("pad", omit=(0, 0))}


class Window(Pool):
    """Base of the pools over windows: [N, C, H, W] -> [N, C, H', W']."""

    torch: ClassVar[tuple[str, str]]  # names of the module and of the function

    def slide(self, x: Shape, ceil: bool, dilation: tuple[int, int] = (1, 1)) -> Shape:
        """Return the shape of the result; raises `ShapeFault`."""
        n, c, h, w = image(x)
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self.kernel, self.step, self.pad, dilation
        if ph > kh // 2 or pw > kw // 2:
            label = f"the window is {kh}x{kw}, the padding {ph}x{pw}"
            raise ShapeFault("padding is more than half of the window", label=label, at="pad")
        return fits(x, (n, c, window(h, kh, sh, ph, dh, ceil), window(w, kw, sw, pw, dw, ceil)), self.kernel)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.window(self.kernel[axis], self.step[axis], self.pad[axis])

    def module(self, x: Shape) -> Call:
        return call(self.torch[0], self.leaf("kernel"), **self.keywords())

    def function(self, *xs: Shape) -> Call:
        return call(self.torch[1], X, self.leaf("kernel"), **self.keywords())


@op("maxpool", "window")
class MaxPool(Window):
    """Maximum over windows (`nn.MaxPool2d`): [N, C, H, W] -> [N, C, H', W'].

    With `indices`, a second result of the same shape says where each maximum was, for `maxunpool`: `r = x ->
    maxpool(2, indices=true)` has the results `r.out` and `r.indices`.
    """

    saves = ("operands", "extras")

    pad: tuple[int, int] = arg(
        padding(), 0, doc='rows and columns added on each side, of which none is a maximum; or "same", "valid"'
    )
    dilation: tuple[int, int] = arg(pair(1), 1, doc="distance between the cells of the window")
    ceil: bool = arg(boolean(), False, doc="let the last window overhang")
    indices: bool = arg(boolean(), False, doc="return the positions of the maxima too")

    torch = ("nn.MaxPool2d", "F.max_pool2d")

    def margins(self) -> Margins | None:
        return PadSame.of(self.pad, self.kernel, self.step, self.dilation, lowest=True)

    @property
    def results(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the results."""
        return ("out", "indices") if self.indices else ("out",)

    def shape(self, x: Shape, *more: Shape) -> Shape:
        result = self.slide(x, self.ceil, self.dilation)
        if any(int(x[axis + 2]) < self.inside(axis) for axis in (0, 1)):
            label = f"the cells are {self.dilation[0]}x{self.dilation[1]} apart, the input is {int(x[2])}x{int(x[3])}"
            raise ShapeFault("a window has no cell inside its input", label=label, at="dilation")
        return result

    def shapes(self, *xs: Shape) -> tuple[Shape, ...]:
        return (self.shape(*xs),) * len(self.results)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * (self.kernel[0] * self.kernel[1] - 1)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return with_indices(self.name, xs, ys)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        for axis in (0, 1):
            if self.inside(axis) > 1:
                yield Relation(xs[0][axis + 2], self.inside(axis), axis + 2, (0, 0), at_least=True)

    def inside(self, axis: int) -> int:
        """Return the least size along an axis at which every window has a cell on the map.

        The first cell of a window that starts in the margin may lie past the whole map where cells are far apart;
        PyTorch then reads what is not there.
        """
        starts = range(-self.pad[axis], 0, self.step[axis])
        return 1 + max([start % self.dilation[axis] for start in starts], default=0)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.window(self.kernel[axis], self.step[axis], self.pad[axis], self.dilation[axis])

    def keywords(self) -> dict[str, Leaf]:
        return super().keywords() | {
            "dilation": self.leaf("dilation", omit=(1, 1)),
            "ceil_mode": self.leaf("ceil", omit=False),
            "return_indices": self.leaf("indices", omit=False),
        }


@op("avgpool", "window")
class AvgPool(Window):
    """Mean over windows (`nn.AvgPool2d`): [N, C, H, W] -> [N, C, H', W']."""

    ceil: bool = arg(boolean(), False, doc="let the last window overhang")
    count_pad: bool = arg(boolean(), True, doc="count the padding in the mean")

    torch = ("nn.AvgPool2d", "F.avg_pool2d")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return self.slide(x, self.ceil)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * (self.kernel[0] * self.kernel[1])

    def keywords(self) -> dict[str, Leaf]:
        return super().keywords() | {
            "ceil_mode": self.leaf("ceil", omit=False),
            "count_include_pad": self.leaf("count_pad", omit=True),
        }


@op("maxunpool")
class MaxUnpool(Pool):
    """Inverse of `maxpool` (`nn.MaxUnpool2d`): puts each value where its maximum was and zero elsewhere.

    [N, C, H, W] and the `indices` of the pooling, of the same shape -> [N, C, H', W'], with
    H' = (H - 1) * stride - 2 * pad + kernel, or the size of `like`, which may differ from it by less than a stride.
    Either must be the size that was pooled, since the indices count the positions of that map.
    """

    saves = ("indices",)

    indices: bool = arg(tensor("maxpool.indices"), doc="the second result of `maxpool(…, indices=true)`")
    kernel: tuple[int, int] = Pool.args["kernel"]  # type: ignore[assignment]
    stride: tuple[int, int] | None = Pool.args["stride"]  # type: ignore[assignment]
    pad: tuple[int, int] = Pool.args["pad"]  # type: ignore[assignment]
    like: bool | None = arg(tensor(), None, doc="a tensor whose height and width the result takes")
    pooled: Shape | None = None  # the map that was pooled: the elaborator knows it

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, *_ = image(x)
        agree("maxunpool", x, more[0], 1, range(4))
        y: Shape = (n, c, *self.spread(x))
        y = remains(self.as_like(y, image(more[1], 2)) if self.like else y)
        if self.pooled is not None and any(int(y[axis]) != int(self.pooled[axis]) for axis in (2, 3)):
            label = f"it would be {int(y[2])}x{int(y[3])}, and {int(self.pooled[2])}x{int(self.pooled[3])} was pooled"
            help = "give `like=` the tensor that was pooled"
            raise ShapeFault("unpooling must lead to the size that was pooled", label=label, at=0, help=help)
        return y

    def spread(self, x: Shape) -> tuple[Dim, Dim]:
        """Return the size from which windows would lead to `x` with nothing left over."""
        (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.step, self.pad
        return (x[2] - 1) * sh + (kh - 2 * ph), (x[3] - 1) * sw + (kw - 2 * pw)

    def as_like(self, y: Shape, like: Shape) -> Shape:
        """Return `y` with the height and width of `like`, or raise `ShapeFault`."""
        for axis in (2, 3):
            if abs(int(like[axis]) - int(y[axis])) >= self.step[axis - 2]:
                label = f"it is {int(like[2])}x{int(like[3])}; the windows cover {int(y[2])}x{int(y[3])}"
                raise ShapeFault("`like` is not a size that was pooled to the input", label=label, at=2)
        return (*y[:2], *like[2:])

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from equalities(xs[0], xs[1], 1, range(4))
        if self.pooled is not None:
            yield from equalities(self.shape(*xs), self.pooled, 1, (2, 3))
        if not self.like:
            return
        for axis, size in enumerate(self.spread(xs[0]), 2):
            slack = self.step[axis - 2] - 1
            yield Relation(xs[2][axis], size - slack, axis, (2, 0), at_least=True)
            yield Relation(size + slack, xs[2][axis], axis, (0, 2), at_least=True)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return (Kernel("maxunpool", (volume(xs[0]),), (volume(ys[0]),), long_reads=(volume(xs[1]),)),)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return None if operand else Reach.spread(self.kernel[axis], self.step[axis], self.pad[axis])

    def module(self, x: Shape) -> Call | None:
        return None if self.like else call("nn.MaxUnpool2d", self.leaf("kernel"), **self.keywords())

    def function(self, *xs: Shape) -> Call:
        size = Operand(2, ".shape[2:]") if self.like else None
        kernel = self.leaf("kernel").replace(both=True)
        return call("F.max_unpool2d", X, Operand(1), kernel, **self.keywords(), output_size=size)


class Adaptive(Op):
    """Base of the pools that divide a map into a fixed number of windows."""

    size: tuple[Any, ...] = arg(
        measured(pair(1, examples=(1, 2, 7, (1, 3)))), doc="of the result, one number or (height, width)"
    )

    torch: ClassVar[tuple[str, str]]  # names of the module and of the function

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return (*image(x)[:2], *self.at("size", (x, *more)))

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return None if operand else Reach.grid(extent(xs[0], axis), extent(y, axis))

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        rows, columns = [cells(extent(xs[0], axis), extent(ys[0], axis)) for axis in (0, 1)]
        return as_int(xs[0][1]) * rows * columns

    def module(self, x: Shape) -> Call | None:
        return None if self.measures else call(self.torch[0], self.leaf("size"))

    def function(self, *xs: Shape) -> Call:
        return call(self.torch[1], X, self.sized("size"))


@op("adaptive_avgpool")
class AdaptiveAvgPool(Adaptive):
    """Mean over a grid of `size` windows (`nn.AdaptiveAvgPool2d`): [N, C, H, W] -> [N, C, *size]."""

    torch = ("nn.AdaptiveAvgPool2d", "F.adaptive_avg_pool2d")


@op("adaptive_maxpool")
class AdaptiveMaxPool(Adaptive):
    """Maximum over a grid of `size` windows (`nn.AdaptiveMaxPool2d`): [N, C, H, W] -> [N, C, *size]."""

    torch = ("nn.AdaptiveMaxPool2d", "F.adaptive_max_pool2d")
    saves = ("operands", "extras")

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return with_indices(self.name, xs, ys)


class Global(Op):
    """Base of the pools over a whole map."""

    torch: ClassVar[tuple[str, str]]  # names of the module and of the function

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return (*image(x)[:2], 1, 1)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return everything(xs[0], axis)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0])

    def module(self, x: Shape) -> Call:
        return call(self.torch[0], Leaf(1))

    def function(self, *xs: Shape) -> Call:
        return call(self.torch[1], X, Leaf(1))


@op("global_avgpool")
class GlobalAvgPool(Global):
    """Mean of each channel over the whole map (`nn.AdaptiveAvgPool2d(1)`): [N, C, H, W] -> [N, C, 1, 1]."""

    saves = ()
    torch = ("nn.AdaptiveAvgPool2d", "F.adaptive_avg_pool2d")


@op("global_maxpool")
class GlobalMaxPool(Global):
    """Maximum of each channel over the whole map (`nn.AdaptiveMaxPool2d(1)`): [N, C, H, W] -> [N, C, 1, 1]."""

    torch = ("nn.AdaptiveMaxPool2d", "F.adaptive_max_pool2d")
    saves = ("operands", "extras")

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return with_indices(self.name, xs, ys)


def with_indices(name: str, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
    """Return the kernel of a maximum, which writes where it was even where nobody asks."""
    return (Kernel(name, (volume(xs[0]),), (volume(ys[0]),), long_writes=(volume(ys[0]),)),)


def cells(size: int, count: int) -> int:
    """Count the rows, or columns, that all windows of an adaptive pooling read together."""
    return sum([-(-(i + 1) * size // count) - i * size // count for i in range(count)])
