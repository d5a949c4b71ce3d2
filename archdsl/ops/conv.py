"""Convolutions: `conv`, `depthwise`, `conv_transpose`, `filter`, whose weights are numbers, and `linear`."""

from __future__ import annotations

from archdsl.core.sizes import Area, Size, window
from archdsl.core.windows import Reach
from archdsl.ops.base import (
    MAX_INT,
    Kernel,
    Kind,
    Leaf,
    Listed,
    Op,
    Relation,
    ShapeFault,
    arg,
    as_int,
    boolean,
    call,
    channel_count,
    channels,
    divides,
    fits,
    fixed,
    image,
    integer,
    is_symbolic,
    number,
    op,
    optional,
    padding,
    pair,
    remains,
    show,
    volume,
    with_channels,
)
from archdsl.ops.margins import PadSame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call, Margins


MOST_TAPS = 64  # along one axis; those of published filters have at most 7


def _starts_with_input(x: Shape, out: int, kernel: tuple[int, int], stride: tuple[int, int]) -> bool:
    """Say whether `conv(c, n, k)` has c channels to start with and a window of n x n that no network has, step k.

    Windows of 6 and more with an even side are patches, as wide as the step or twice as wide.
    """
    side, step = kernel[0], stride[0]
    square = kernel == (side, side) and stride == (step, step)
    return out == as_int(x[1]) and square and side >= 6 and side % 2 == 0 and side not in (step, 2 * step)


PAD = 'zeros on each side; "same" as TensorFlow pads, so that `ceil(H / stride)` rows remain, "valid" for none'


@op("conv", "convolves", "window", "fuses")
class Conv(Op):
    """2-D convolution (`nn.Conv2d`): [N, C, H, W] -> [N, out, H', W'].

    Without `pad`, the padding keeps the size at stride 1: `dilation * (kernel - 1) // 2` on each side.
    """

    out: int = arg(integer(1, examples=(4, 6, 8, 12)), doc="output channels")
    kernel: tuple[int, int] = arg(pair(1), doc="window, one number or (height, width)")
    stride: tuple[int, int] = arg(pair(1), 1, doc="step of the window")
    pad: tuple[int, int] | None = arg(optional(padding()), None, doc=PAD)
    dilation: tuple[int, int] = arg(pair(1), 1, doc="distance between the taps of the window")
    groups: int = arg(integer(1, examples=(1, 2, 4)), 1, doc="independent groups of channels")
    bias: bool = arg(boolean(), True, doc="add a learned constant to each output channel")

    stateful = True

    def margins(self) -> Margins | None:
        return PadSame.of(self.pad, self.kernel, self.stride, self.dilation)

    @property
    def padding(self) -> tuple[int, int]:
        """The zeros on each side, (height, width)."""
        return same(self.kernel, self.dilation) if self.pad is None else self.pad

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        divides(self.groups, as_int(c), "input")
        divides(self.groups, self.out, "output")
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self.kernel, self.stride, self.padding, self.dilation
        return fits(x, (n, self.out, window(h, kh, sh, ph, dh), window(w, kw, sw, pw, dw)), self.kernel)

    def starts_with_input(self, x: Shape) -> bool:
        return _starts_with_input(x, self.out, self.kernel, self.stride)

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        weight: dict[str, tuple[int, ...]] = {"weight": (self.out, as_int(x[1]) // self.groups, *self.kernel)}
        return weight | {"bias": (self.out,)} if self.bias else weight

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        kh, kw = self.kernel
        return volume(ys[0]) * (kh * kw * as_int(xs[0][1]) // self.groups)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) if self.bias else 0

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.window(self.kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis])

    def module(self, x: Shape) -> Call:
        return call(
            "nn.Conv2d",
            channels(x),
            self.leaf("out"),
            self.leaf("kernel"),
            stride=self.leaf("stride", omit=(1, 1)),
            padding=padding_leaf(self.padding, self.pad),
            dilation=self.leaf("dilation", omit=(1, 1)),
            groups=self.leaf("groups", omit=1),
            bias=self.leaf("bias", omit=True),
        )


@op("depthwise", "convolves", "window", "fuses")
class Depthwise(Op):
    """Depthwise convolution (`nn.Conv2d` with a group for each channel): [N, C, H, W] -> [N, multiplier * C, H', W'].

    Without `pad`, the padding keeps the size at stride 1, as for `conv`.
    """

    kernel: tuple[int, int] = arg(pair(1), doc="window, one number or (height, width)")
    stride: tuple[int, int] = arg(pair(1), 1, doc="step of the window")
    pad: tuple[int, int] | None = arg(optional(padding()), None, doc=PAD)
    dilation: tuple[int, int] = arg(pair(1), 1, doc="distance between the taps of the window")
    multiplier: int = arg(integer(1), 1, doc="output channels for each input channel")
    bias: bool = arg(boolean(), True, doc="add a learned constant to each output channel")

    stateful = True

    def margins(self) -> Margins | None:
        return PadSame.of(self.pad, self.kernel, self.stride, self.dilation)

    def conv(self, x: Shape) -> Conv:
        """The same convolution written with its channels and groups."""
        c = as_int(x[1])
        return Conv(self.multiplier * c, self.kernel, self.stride, self.pad, self.dilation, c, self.bias)

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return self.conv(x).shape(x)

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        return self.conv(x).weights(x)

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return self.conv(xs[0]).macs(xs, ys)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) if self.bias else 0

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return self.conv(xs[0]).reach(axis, operand, xs, y)

    def module(self, x: Shape) -> Call:
        out = Leaf(as_int(x[1]) * self.multiplier, "{in} * {multiplier}")
        return call(
            "nn.Conv2d",
            channels(x),
            channels(x) if self.multiplier == 1 else out,
            self.leaf("kernel"),
            stride=self.leaf("stride", omit=(1, 1)),
            padding=padding_leaf(self.conv(x).padding, self.pad),
            dilation=self.leaf("dilation", omit=(1, 1)),
            groups=channels(x),
            bias=self.leaf("bias", omit=True),
        )


def numbers() -> Kind:
    """The numbers of a window along one axis."""

    def accept(value: object) -> Listed:
        given = value if isinstance(value, tuple) else (value,)
        if not 1 <= len(given) <= MOST_TAPS:
            raise ValueError
        one = number()
        return Listed([one.accept(each) for each in given])

    examples = ((1, 2, 1), (0.25, 0.5, 0.25), (-1, 0, 1), (0.5, 0.5), (1,), (1, -4, 6, -4, 1))
    return Kind(f"a list of numbers, at most {MOST_TAPS}", accept, examples)


@op("filter", "convolves", "window", "fuses")
class Filter(Op):
    """Fixed weights, the same for each channel, nothing of which is learned: [N, C, H, W] -> [N, C, H', W'].

    `filter([0.25, 0.5, 0.25], stride=2)` blurs and halves a map (Zhang, 2019, arXiv:1904.11486), `filter([1, 2, 1],
    [-1, 0, 1])` is Sobel's edges. The window is the product of both lists, in single precision. Without `pad`, the
    padding keeps the size at stride 1, as for `conv`.
    """

    taps: tuple[float, ...] = arg(numbers(), doc="numbers from the top of the window down, and across without `across`")
    across: tuple[float, ...] | None = arg(optional(numbers()), None, doc="numbers from its left to its right")
    stride: tuple[int, int] = arg(pair(1), 1, doc="step of the window")
    pad: tuple[int, int] | None = arg(optional(padding()), None, doc=PAD)
    dilation: tuple[int, int] = arg(pair(1), 1, doc="distance between the taps of the window")

    stateful = True  # the numbers are a buffer, which is in no state dict
    support = '''\
class Filter(nn.Module):
    """A window of fixed numbers for each channel of a map: the product of those from the top down and those across."""

    def __init__(
        self,
        taps: tuple[float, ...],
        across: tuple[float, ...] | None = None,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = [
            (one, one) if isinstance(one, int) else one for one in (stride, padding, dilation)
        ]
        down = torch.tensor(taps)
        window = torch.outer(down, down if across is None else torch.tensor(across))
        self.register_buffer("window", window, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.window.expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, x.shape[1])

    def extra_repr(self) -> str:
        return f"{tuple(self.window.shape)}, stride={self.stride}, padding={self.padding}"
'''

    @classmethod
    def initialized(cls) -> bool:
        return False

    @property
    def kernel(self) -> tuple[int, int]:
        """The size of the window, (height, width)."""
        return len(self.taps), len(self.taps if self.across is None else self.across)

    def margins(self) -> Margins | None:
        return PadSame.of(self.pad, self.kernel, self.stride, self.dilation)

    def conv(self, x: Shape) -> Conv:
        """The convolution that it is, but for its weights."""
        c = as_int(image(x)[1])
        return Conv(c, self.kernel, self.stride, self.pad, self.dilation, c, False)

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self.kernel, self.stride, self.conv(x).padding, self.dilation
        return fits(x, (n, c, window(h, kh, sh, ph, dh), window(w, kw, sw, pw, dw)), self.kernel, "taps")

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return self.conv(xs[0]).macs(xs, ys)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        (high, wide), count = self.kernel, as_int(xs[0][1])  # a window for each channel, though it is the same one
        return (Kernel(self.name, (volume(xs[0]),), (volume(ys[0]),), fixed=high * wide * count),)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return self.conv(xs[0]).reach(axis, operand, xs, y)

    def module(self, x: Shape) -> Call:
        padding = self.conv(x).padding
        return call(
            "Filter",
            self.leaf("taps"),
            across=self.leaf("across", omit=None),
            stride=self.leaf("stride", omit=(1, 1)),
            padding=self.leaf("pad", omit=(0, 0)) if self.pad is not None else Leaf(padding, "", (0, 0)),
            dilation=self.leaf("dilation", omit=(1, 1)),
        )


@op("conv_transpose", "fuses")
class ConvTranspose(Op):
    """Transposed convolution (`nn.ConvTranspose2d`): [N, C, H, W] -> [N, out, H', W'].

    H' = (H - 1) * stride - 2 * pad + dilation * (kernel - 1) + output_pad + 1: the size that a `conv` with these
    arguments would lead back to H. `conv_transpose(out, 2, stride=2)` doubles a map.
    """

    out: int = arg(integer(1, examples=(4, 6, 8, 12)), doc="output channels")
    kernel: tuple[int, int] = arg(pair(1, examples=(1, 2, 3, 4, (3, 2))), doc="window, one number or (height, width)")
    stride: tuple[int, int] = arg(pair(1), 1, doc="distance between the windows in the result")
    pad: tuple[int, int] = arg(pair(0, examples=(0, 1, (1, 0), (0, 2))), 0, doc="cut from each side of the result")
    output_pad: tuple[int, int] = arg(pair(0, examples=(0, 1, (1, 0))), 0, doc="added to the bottom and the right")
    dilation: tuple[int, int] = arg(pair(1), 1, doc="distance between the taps of the window")
    groups: int = arg(integer(1, examples=(1, 2, 4)), 1, doc="independent groups of channels")
    bias: bool = arg(boolean(), True, doc="add a learned constant to each output channel")

    stateful = True

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        divides(self.groups, as_int(c), "input")
        divides(self.groups, self.out, "output")
        for extra, stride, dilation in zip(self.output_pad, self.stride, self.dilation):
            if extra >= max(stride, dilation):
                label = f"output_pad is {extra}, stride {stride}, dilation {dilation}"
                raise ShapeFault("output_pad must be less than stride or dilation", label=label, at="output_pad")
        return remains((n, self.out, self.spread(h, 0), self.spread(w, 1)))

    def spread(self, dim: Dim, axis: int) -> Dim:
        """Return the size of the result along an axis, 0 for the height and 1 for the width."""
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + self.output_pad[axis] + 1
        return (dim - 1) * self.stride[axis] + (reach - 2 * self.pad[axis])

    def starts_with_input(self, x: Shape) -> bool:
        return _starts_with_input(x, self.out, self.kernel, self.stride)

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        weight: dict[str, tuple[int, ...]] = {"weight": (as_int(x[1]), self.out // self.groups, *self.kernel)}
        return weight | {"bias": (self.out,)} if self.bias else weight

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        kh, kw = self.kernel
        return volume(xs[0]) * (kh * kw * self.out // self.groups)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) if self.bias else 0

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.spread(self.kernel[axis], self.stride[axis], self.pad[axis], self.dilation[axis])

    def module(self, x: Shape) -> Call:
        return call(
            "nn.ConvTranspose2d",
            channels(x),
            self.leaf("out"),
            self.leaf("kernel"),
            stride=self.leaf("stride", omit=(1, 1)),
            padding=self.leaf("pad", omit=(0, 0)),
            output_padding=self.leaf("output_pad", omit=(0, 0)),
            dilation=self.leaf("dilation", omit=(1, 1)),
            groups=self.leaf("groups", omit=1),
            bias=self.leaf("bias", omit=True),
        )


def count() -> Kind:
    """A number ≥ 1, or a size that changes with the input, which stands for its value at the default size."""

    def accept(value: object) -> Dim:
        known = int(value) if isinstance(value, (Size, Area)) else value
        if type(known) is not int or not 1 <= known <= MAX_INT:
            raise ValueError
        return value  # type: ignore[return-value]

    return Kind("an integer ≥ 1", accept, (4, 10))


@op("linear", "fuses")
class Linear(Op):
    """Fully connected layer (`nn.Linear`) on features or on each token: [N, F] -> [N, out], [N, L, C] -> [N, L, out].

    Its weights need a fixed F: after a `flatten` of a map whose size depends on the input, F is taken at the default
    input size, and the network is then fixed to the sizes that lead to it. So is an `out` that is a size, `x.tokens`.
    """

    out: Dim = arg(count(), doc="output features")
    bias: bool = arg(boolean(), True, doc="add a learned constant to each output")

    stateful = True

    def shape(self, x: Shape, *more: Shape) -> Shape:
        if len(x) == 4:
            raise ShapeFault(
                f"`linear` needs flat features [N, F], got {show(x)}",
                label=f"the input is {show(x)}",
                at=0,
                help="put `flatten` before it, or `tokens` for a layer at each position",
            )
        return with_channels(x, self.known)

    @property
    def known(self) -> int:
        """The output features at the default input size, to which the network is held."""
        return as_int(self.out)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from fixed(xs[0])
        if is_symbolic(self.out):
            yield Relation(self.out, self.known, len(xs[0]) - 1, (0, 0))

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        weight: dict[str, tuple[int, ...]] = {"weight": (self.known, channel_count(x))}
        return weight | {"bias": (self.known,)} if self.bias else weight

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * channel_count(xs[0])

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) if self.bias else 0

    def module(self, x: Shape) -> Call:
        return call("nn.Linear", channels(x), Leaf(self.known, "{out}"), bias=self.leaf("bias", omit=True))


def same(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Return the padding with which an odd window at stride 1 keeps the size of its input."""
    (kh, kw), (dh, dw) = kernel, dilation
    return dh * (kh - 1) // 2, dw * (kw - 1) // 2


def padding_leaf(padding: tuple[int, int], pad: tuple[int, int] | None) -> Leaf:
    """Return the padding as a leaf: the formula of `same` padding, or the `pad` that was given."""
    return Leaf(padding, "{pad}" if pad is not None else "{dilation} * ({kernel} - 1) // 2", (0, 0))
