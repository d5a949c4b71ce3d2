"""Which layers run on the kernels of `archdsl.kernels`: a checked network to the same network with them in it.

Depthwise convolutions and channel shuffles become layers of that package, which hold the same parameters under the
same names, so that weights move between the two forms as they are.
"""

from __future__ import annotations

from archdsl.codegen.measured import Layer, wins
from archdsl.ir.walk import rewritten
from archdsl.ops.base import Call, Op, X, as_int, call
from archdsl.ops.conv import Conv, Depthwise
from archdsl.ops.reshape import Shuffle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node, Scope

CHOICES = ("auto", "none", "all")
BASES = {"DepthwiseConv2d": "nn.Conv2d"}  # a layer of the kernels is also one of PyTorch's: weights start as its do


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


def lower(network: Network, kernels: str = "none") -> Network:
    """Return a network whose layers run on the kernels: "none" of them, "all", or "auto", those measured to win.

    Raises `ValueError` for another word.
    """
    if kernels not in CHOICES:
        raise ValueError(f'kernels must be "auto", "none" or "all", not {kernels!r}')
    if kernels == "none":
        return network
    return network.replace(scope=rewritten(network.scope, lambda node, scope: _node(node, scope, kernels == "all")))


def _node(node: Node, scope: Scope, every: bool) -> Node:
    made = _layer(node.what, scope.shapes[node.inputs[0]], every) if isinstance(node.what, Op) else None
    return node if made is None else node.replace(what=made)


def _layer(what: Op, x: Shape, every: bool) -> Op | None:
    """Return the operator as a layer of the kernels, or None where it stays."""
    fields = what.__dict__
    if isinstance(what, Shuffle):
        chosen = every or wins(Layer("shuffle", 1, 1, as_int(x[1]), as_int(x[1]), as_int(x[2])))
        return KernelShuffle(**fields) if chosen else None
    depthwise = isinstance(what, Depthwise)
    if not depthwise and not (isinstance(what, Conv) and what.groups == as_int(x[1]) > 1):
        return None
    (kernel, width), stride = fields["kernel"], fields["stride"][0]
    out = what.weights(x)["weight"][0]
    if not every and not (kernel == width and wins(Layer("training", kernel, stride, as_int(x[1]), out, as_int(x[2])))):
        return None
    return KernelDepthwise(**fields) if depthwise else KernelConv(**fields)
