"""Normalisations: `bn`, `gn`, `ln`, `rms_norm`, `lrn`. All keep the shape of their input."""

from __future__ import annotations

from archdsl.core.sizes import Size
from archdsl.ops.base import (
    Kernel,
    Op,
    Relation,
    X,
    arg,
    as_int,
    boolean,
    call,
    channel_count,
    channels,
    divides,
    elements,
    everything,
    fixed,
    image,
    integer,
    number,
    op,
    volume,
    with_channels,
    without_tokens,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.core.sizes import Dim, Shape
    from archdsl.core.windows import Reach
    from archdsl.ops.base import Call, Leaf


class Affine(Op):
    """Base of the normalisations that end in a learned scale and shift for each channel."""

    saves = ("operands", "extras")

    affine: bool

    stateful = True

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        if self.holds_channels:
            yield from fixed(xs[0])

    @property
    def holds_channels(self) -> bool:
        """Whether the module has something for each channel, so that their number is fixed."""
        return self.affine

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        count = channel_count(x)
        return {"weight": (count,), "bias": (count,)} if self.affine else {}

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * (7 if self.affine else 5)  # mean, difference, square, sum, product; scale and shift


EPSILON = number(0, 0.5)  # so that `bn(64)`, a habit from PyTorch, is no epsilon of 64


@op("bn", "pointwise", "normalizes", "fuses")
class BatchNorm(Affine):
    """Batch normalisation (Ioffe and Szegedy, 2015): keeps the shape, [N, C, H, W] or [N, F].

    `nn.BatchNorm2d` on feature maps, `nn.BatchNorm1d` on flat features.
    """

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return without_tokens(x)

    eps: float = arg(number(0, 0.5, above=True), 1e-5, doc="added to the variance")  # PyTorch trains with no 0
    momentum: float = arg(number(0, 1), 0.1, doc="weight of the newest batch in the running statistics")
    affine: bool = arg(boolean(), True, doc="learn a scale and a shift for each channel")
    track: bool = arg(boolean(), True, doc="keep running statistics, which evaluation uses")

    @property
    def holds_channels(self) -> bool:
        """Whether the module has something for each channel, so that their number is fixed."""
        return self.affine or self.track

    def subtracts_mean(self, x: Shape) -> bool:
        return True

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * 2  # the statistics and the weights fold into one factor and one summand

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        statistics = 2 * as_int(xs[0][1])  # read where they are kept, else those of the batch, which are written
        fixed = elements(self.weights(xs[0])) + (statistics if self.track else 0)
        once = 0 if self.track else xs[0][1] * 2
        return (Kernel("bn", (volume(xs[0]),), (volume(ys[0]),), fixed, once=once),)

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        (kernel,) = self.kernels(xs, ys)
        return (kernel.replace(writes=(volume(ys[0]), 0, 0)),)  # the statistics are few, and the same for any batch

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return super().reach(axis, operand, xs, y) if self.track else everything(xs[0], axis)

    def module(self, x: Shape) -> Call:
        return call(
            "nn.BatchNorm2d" if len(x) == 4 else "nn.BatchNorm1d",
            channels(x),
            eps=self.leaf("eps", omit=1e-5),
            momentum=self.leaf("momentum", omit=0.1),
            affine=self.leaf("affine", omit=True),
            track_running_stats=self.leaf("track", omit=True),
        )


@op("gn", "normalizes", "fuses")
class GroupNorm(Affine):
    """Group normalisation (`nn.GroupNorm`; Wu and He, 2018): keeps the shape, [N, C, H, W] or [N, F].

    `gn(1)` normalises a whole image; `groups` must divide the channels.
    """

    groups: int = arg(integer(1, examples=(1, 2, 3, 4)), doc="groups of channels, each normalised by itself")
    eps: float = arg(EPSILON, 1e-5, doc="added to the variance")
    affine: bool = arg(boolean(), True, doc="learn a scale and a shift for each channel")

    def subtracts_mean(self, x: Shape) -> bool:
        return self.groups == x[1]

    def shape(self, x: Shape, *more: Shape) -> Shape:
        divides(self.groups, as_int(without_tokens(x)[1]), "input")
        return x

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from super().relations(*xs)
        if self.affine or self.groups == 1:
            return
        features = xs[0][1]
        if not isinstance(features, Size):
            yield from fixed(xs[0])  # a product of sizes is not divided exactly
        elif features // self.groups * self.groups != features:
            yield Relation(features, features // self.groups * self.groups, 1, (0, 0))

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        writes = (volume(ys[0]), self.groups, self.groups)  # with the mean and the deviation of each group
        return (Kernel("gn", (volume(xs[0]),), writes, elements(self.weights(xs[0]))),)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return everything(xs[0], axis)

    def module(self, x: Shape) -> Call:
        return call(
            "nn.GroupNorm",
            self.leaf("groups"),
            channels(x),
            eps=self.leaf("eps", omit=1e-5),
            affine=self.leaf("affine", omit=True),
        )


@op("ln", "normalizes", "fuses")
class LayerNorm(Affine):
    """Layer normalisation over the channels (Ba et al., 2016): keeps the shape, [N, C, H, W], [N, L, C] or [N, F].

    `nn.LayerNorm` on tokens and on features. On a map every position is normalised by itself, as in ConvNeXt.
    """

    eps: float = arg(EPSILON, 1e-5, doc="added to the variance")
    affine: bool = arg(boolean(), True, doc="learn a scale and a shift for each channel")
    bias: bool = arg(boolean(), True, doc="the shift of `affine`; without it only the scale is learned")

    support = '''\
class LayerNorm2d(nn.LayerNorm):
    """Layer normalization over the channels of a map, at every position: keeps [N, C, H, W]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)
        x = F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
'''

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        positions = volume(with_channels(xs[0], 1))
        writes = (volume(ys[0]), positions, positions)  # with the mean and the deviation at each position
        return (Kernel("ln", (volume(xs[0]),), writes, elements(self.weights(xs[0]))),)

    def module(self, x: Shape) -> Call:
        return call(
            "LayerNorm2d" if len(x) == 4 else "nn.LayerNorm",
            channels(x),
            eps=self.leaf("eps", omit=1e-5),
            elementwise_affine=self.leaf("affine", omit=True),
            bias=self.leaf("bias", omit=True) if self.affine else None,
        )

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        found = super().weights(x)
        return found if self.bias else {name: shape for name, shape in found.items() if name != "bias"}

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * (5 + len(self.weights(xs[0])))


@op("rms_norm", "normalizes", "fuses")
class RMSNorm(Affine):
    """Division by the root of the mean square over the channels (Zhang and Sennrich, 2019): keeps the shape.

    x / sqrt(mean(x²) + eps), and a learned scale: `nn.RMSNorm` on tokens and on features. On a map every position is
    normalised by itself.
    """

    eps: float = arg(EPSILON, 1e-6, doc="added to the mean square")
    affine: bool = arg(boolean(), True, doc="learn a scale for each channel")

    support = '''\
class RMSNorm2d(nn.RMSNorm):
    """RMS normalization over the channels of a map, at every position: keeps [N, C, H, W]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.rms_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.eps)
        return x.permute(0, 3, 1, 2)
'''

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        return {"weight": (channel_count(x),)} if self.affine else {}

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * (4 if self.affine else 3)  # square, sum, product; scale

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one, positions = volume(xs[0]), volume(with_channels(xs[0], 1))
        mean = Kernel("mean", (one,), (positions,)), Kernel("add", (positions,), (positions,))
        found = [Kernel("pow", (one,), (one,)), *mean, Kernel("rsqrt", (positions,), (positions,))]
        found.append(Kernel("mul", (one, positions), (one,)))
        if self.affine:
            found.append(Kernel("mul", (one,), (one,), channel_count(xs[0])))
        return (*found, Kernel("copy", (one,), (one,))) if len(xs[0]) == 4 else tuple(found)

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        """The roots are kept for the gradient, and where there is a scale, what it is applied to."""
        *before, last = self.kernels(xs, ys)
        kept = (*before[3].writes, *((volume(xs[0]),) if self.affine else ()))
        return (*before, last.replace(writes=(*last.writes, *kept)))

    def module(self, x: Shape) -> Call:
        return call(
            "RMSNorm2d" if len(x) == 4 else "nn.RMSNorm",
            channels(x),
            eps=self.leaf("eps"),
            elementwise_affine=self.leaf("affine", omit=True),
        )


@op("lrn")
class LocalResponseNorm(Op):
    """Local response normalisation across channels (`nn.LocalResponseNorm`; AlexNet, 2012): keeps [N, C, H, W]."""

    size: int = arg(integer(1, examples=(1, 2, 5)), 5, doc="neighbouring channels in one window")
    alpha: float = arg(number(), 1e-4, doc="weight of the mean square")
    beta: float = arg(number(), 0.75, doc="exponent")
    k: float = arg(number(), 1.0, doc="added to the mean square")

    saves = ("operands", "extras")
    scratch = 3  # the gradient of the quotient, a chain of products of maps

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return image(x)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * (self.size + 5)  # square, window sum, quotient, factor, summand, power, quotient

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one = volume(xs[0])
        padded = volume((1, as_int(xs[0][1]) + self.size - 1, *xs[0][2:]))
        square, pad = Kernel("mul", (one, one), (one,)), Kernel("pad", (one,), (padded,))
        mean, scale = Kernel("avgpool", (padded,), (one,)), Kernel("mul", (one,), (one,))
        shift, power = [Kernel(name, (one,), (one,), held=(one,)) for name in ("add", "pow")]
        return (square, pad, mean, scale, shift, power, Kernel("div", (one, one), (one,)))

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        """The padded squares, the base of the power and the power are kept for the gradient."""
        one, padded = volume(xs[0]), self.kernels(xs, ys)[1].writes
        return (Kernel("lrn", (one,), (one, *padded, one, one)),)

    def module(self, x: Shape) -> Call:
        return call("nn.LocalResponseNorm", self.leaf("size"), **self.constants())

    def function(self, *xs: Shape) -> Call:
        return call("F.local_response_norm", X, self.leaf("size"), **self.constants())

    def constants(self) -> dict[str, Leaf]:
        """The constants that differ from PyTorch's."""
        return {
            "alpha": self.leaf("alpha", omit=1e-4),
            "beta": self.leaf("beta", omit=0.75),
            "k": self.leaf("k", omit=1.0),
        }
