"""The kernels of `archdsl.kernels`, one entry each: what others call it, what it takes, and what decides where it runs.

Lowering, generated code and its replay, `optimize`, the benchmarks and the tests read these entries, so that a kernel
is a file of `kernels/` and an entry here. That package imports torch, and this one does not.
"""

from __future__ import annotations

import sys

from archdsl.codegen.measured import Layer
from archdsl.core.record import Record
from archdsl.ops.base import Call, Op, X, as_int, call
from archdsl.ops.conv import Conv, Depthwise
from archdsl.ops.reshape import Shuffle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.core.sizes import Shape

ANY = sys.maxsize


class Lowering(Record):
    """How a network has a kernel for one of its operators.

    `lowered` returns an operator on the kernel for one and its input, with the layer whose measurement decides, where
    there can be a measurement.
    """

    code: str  # what generated code calls: a layer or a function
    base: str  # the layer of PyTorch's that it is, too, so that weights start as its do; of a function nothing
    lowered: Callable[[Op, Shape], tuple[Op, Layer | None] | None]


class Entry(Record):
    """One kernel. Its bounds are what it can do, or where a library's is known to be faster."""

    file: str  # of `kernels/`
    names: tuple[str, ...]  # what that package offers of it
    operators: tuple[str, ...]  # of PyTorch, in `torch.ops.archdsl`
    programs: tuple[str, ...]  # of Triton
    gradient: bool  # whether autograd knows it
    operation: str = ""  # of the rows of `measured.csv` that decide in an optimized network
    lowering: Lowering | None = None

    most_taps: int = ANY  # of a window
    most_depth: int = ANY  # channels of the input
    most_channels: int = ANY  # and of the result
    fewest_pixels: int = 0  # of the input

    def takes(self, *, taps: int = 1, depth: int = 1, channels: int = 1, pixels: int = ANY) -> bool:
        """Say whether a layer is within the bounds."""
        small = taps <= self.most_taps and depth <= self.most_depth and channels <= self.most_channels
        return small and pixels >= self.fewest_pixels


# -------------------------------------------------------------------------------------------------- layers
class KernelDepthwise(Depthwise):
    """A depthwise convolution as a layer of the kernels."""

    def module(self, x: Shape) -> Call:
        return super().module(x).replace(target="DepthwiseConv2d")


class KernelConv(Conv):
    """A convolution with a group for each channel as a layer of the kernels."""

    def module(self, x: Shape) -> Call:
        return super().module(x).replace(target="DepthwiseConv2d")


class KernelShuffle(Shuffle):
    """A channel shuffle as one kernel."""

    def function(self, *xs: Shape) -> Call:
        return call("channel_shuffle", X, self.leaf("groups"))


def _depthwise(what: Op, x: Shape) -> tuple[Op, Layer | None] | None:
    depth, fields = as_int(x[1]), what.__dict__
    if isinstance(what, Depthwise):
        made: Op = KernelDepthwise(**fields)
    elif isinstance(what, Conv) and what.groups == depth > 1:
        made = KernelConv(**fields)
    else:
        return None
    (kernel, width), stride, out = fields["kernel"], fields["stride"][0], what.weights(x)["weight"][0]
    return made, Layer("training", kernel, stride, depth, out, as_int(x[2])) if kernel == width else None


def _shuffle(what: Op, x: Shape) -> tuple[Op, Layer | None] | None:
    if not isinstance(what, Shuffle):
        return None
    channels = as_int(x[1])
    return KernelShuffle(**what.__dict__), Layer("shuffle", 1, 1, channels, channels, as_int(x[2]))


# -------------------------------------------------------------------------------------------------- entries
DEPTHWISE = Entry(
    file="depthwise",
    names=("depthwise_conv2d", "DepthwiseConv2d"),
    operators=("depthwise_conv2d", "depthwise_conv2d_grads"),
    programs=("depthwise_fwd_kernel", "depthwise_grads_kernel"),
    gradient=True,
    operation="depthwise",
    lowering=Lowering("DepthwiseConv2d", "nn.Conv2d", _depthwise),
)
FINISH = Entry(  # what cuDNN leaves; nothing else does it in one pass
    file="finish",
    names=("finish_",),
    operators=("finish_",),
    programs=("finish_kernel",),
    gradient=False,
)
PATCHES = Entry(
    file="patches",
    names=("patches_conv2d",),
    operators=("patches_conv2d",),
    programs=("patches_fwd_kernel",),
    gradient=False,
    operation="patches",
    most_depth=4,  # of more, vectors of a library's are full
)
POINTWISE = Entry(
    file="pointwise",
    names=("pointwise_conv2d",),
    operators=("pointwise_conv2d",),
    programs=("pointwise_fwd_kernel",),
    gradient=True,
    operation="pointwise",
    fewest_pixels=49,  # below, it is two programs of the kernel, and a library's product is faster
)
POOL = Entry(
    file="pool",
    names=("max_pool2d",),
    operators=("max_pool2d",),
    programs=("max_pool_kernel",),
    gradient=False,
    operation="pool",
)
SCATTER = Entry(
    file="pointwise",
    names=("pointwise_conv2d_scatter",),
    operators=("pointwise_conv2d_scatter",),
    programs=("pointwise_fwd_kernel",),
    gradient=False,
    operation="scatter",
)
SEPARABLE = Entry(
    file="separable",
    names=("separable_conv2d",),
    operators=("separable_conv2d",),
    programs=("separable_fwd_kernel",),
    gradient=True,
    operation="separable",
    most_taps=9,  # with 25 one kernel takes more instructions than two
    most_channels=128,  # of one program: further ones compute the depthwise part anew
)
SHUFFLE = Entry(
    file="shuffle",
    names=("channel_shuffle", "ChannelShuffle"),
    operators=("channel_shuffle",),
    programs=("shuffle_kernel",),
    gradient=True,
    lowering=Lowering("channel_shuffle", "", _shuffle),
)

KERNELS = (DEPTHWISE, FINISH, PATCHES, POINTWISE, POOL, SCATTER, SEPARABLE, SHUFFLE)
LOWERINGS = tuple([kernel.lowering for kernel in KERNELS if kernel.lowering is not None])
BASES = {one.code: one.base for one in LOWERINGS if one.base}
