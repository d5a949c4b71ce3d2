"""Convolutions: `conv`, `depthwise`, `conv_transpose`, and `linear`, their 1x1 relative on flat features."""

from __future__ import annotations

from archdsl.ops._op import (
    Leaf,
    Op,
    Relation,
    ShapeFault,
    arg,
    as_int,
    boolean,
    call,
    channels,
    choice,
    fits,
    image,
    integer,
    op,
    optional,
    pair,
    show,
    volume,
)
from archdsl.sizes import product, window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.ops._op import Call
    from archdsl.sizes import Dim, Shape


@op("conv")
class Conv(Op):
    """2-D convolution (`nn.Conv2d`): [N, C, H, W] -> [N, out, H', W'].

    Without `pad`, the padding keeps the size at stride 1: `dilation * (kernel - 1) // 2` on each side.
    """

    out: int = arg(integer(1, examples=(4, 6, 8, 12)), doc="output channels")
    kernel: tuple[int, int] = arg(pair(1), doc="window, one number or (height, width)")
    stride: tuple[int, int] = arg(pair(1), 1, doc="step of the window")
    pad: tuple[int, int] | None = arg(optional(pair(0, examples=(0, 1, (1, 0)))), None, doc="zeros on each side")
    dilation: tuple[int, int] = arg(pair(1), 1, doc="distance between the taps of the window")
    groups: int = arg(integer(1, examples=(1, 2, 4)), 1, doc="independent groups of channels")
    bias: bool = arg(boolean(), True, doc="add a learned constant to each output channel")

    stateful = True

    @property
    def padding(self) -> tuple[int, int]:
        """The zeros on each side, (height, width)."""
        if self.pad is not None:
            return self.pad
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) // 2, dw * (kw - 1) // 2

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        divides(self.groups, as_int(c), "input")
        divides(self.groups, self.out, "output")
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = self.kernel, self.stride, self.padding, self.dilation
        return fits(x, (n, self.out, window(h, kh, sh, ph, dh), window(w, kw, sw, pw, dw)), self.kernel)

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        weight = {"weight": (self.out, as_int(x[1]) // self.groups, *self.kernel)}
        return weight | {"bias": (self.out,)} if self.bias else weight

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        kh, kw = self.kernel
        return volume(ys[0]) * (kh * kw * as_int(xs[0][1]) // self.groups)

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


@op("linear")
class Linear(Op):
    """Fully connected layer (`nn.Linear`) on flat features: [N, F] -> [N, out].

    Its weights need a fixed F: after a `flatten` of a map whose size depends on the input, F is taken at the default
    input size, and the network is then fixed to the sizes that lead to it.
    """

    out: int = arg(integer(1, examples=(4, 10)), doc="output features")
    bias: bool = arg(boolean(), True, doc="add a learned constant to each output")

    stateful = True

    def shape(self, x: Shape, *more: Shape) -> Shape:
        if len(x) != 2:
            raise ShapeFault(
                f"`linear` needs flat features [N, F], got {show(x)}",
                label=f"the input is {show(x)}",
                at=0,
                help="put `flatten` before it",
            )
        return (x[0], self.out)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        features = xs[0][1]
        yield Relation(features, as_int(features), 1, (0, 0))

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        weight = {"weight": (self.out, as_int(x[1]))}
        return weight | {"bias": (self.out,)} if self.bias else weight

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return as_int(xs[0][1]) * self.out

    def module(self, x: Shape) -> Call:
        return call("nn.Linear", channels(x), self.leaf("out"), bias=self.leaf("bias", omit=True))


def divides(groups: int, count: int, which: str) -> None:
    """Raise `ShapeFault` where the groups do not divide a channel count."""
    if count % groups:
        near = [m for m in (count // groups * groups, (count // groups + 1) * groups) if m]
        raise ShapeFault(
            f"groups must divide the {which} channels",
            label=f"{count} {which} channels are not a multiple of {groups}",
            at="groups",
            help=f"the nearest multiples of {groups} are {' and '.join(map(str, near))}",
        )


def padding_leaf(padding: tuple[int, int], pad: tuple[int, int] | None) -> Leaf | None:
    """Return the padding as a leaf: the formula of `same` padding, or the `pad` that was given."""
    if padding == (0, 0):
        return None
    return Leaf(padding, "{pad}" if pad is not None else "({kernel} - 1) // 2 * {dilation}")
