"""Convolutions of small arithmetic and channel shuffles as fused Triton kernels, each an operator of PyTorch.

    y = depthwise_conv2d(x, weight, scale, shift, act="relu6", padding=1)    # one pass over memory
    y = pointwise_conv2d(x, weight, scale, shift, residual=x)
    y = channel_shuffle(x, 2)

epilogue   what follows a convolution in the same pass
layout     memory formats
available  whether the kernels can run here
depthwise, pointwise, separable (both), patches (few channels), pool, finish (what cuDNN leaves), shuffle
           one operation each: reference, kernels, launchers, operator, autograd, function, layer

Importing this package imports torch, and Triton where it is installed. Without it, and on a CPU, ATen runs instead.
"""

from archdsl.kernels.depthwise import DepthwiseConv2d, depthwise_conv2d
from archdsl.kernels.finish import finish_
from archdsl.kernels.patches import patches_conv2d
from archdsl.kernels.pointwise import pointwise_conv2d, pointwise_conv2d_scatter
from archdsl.kernels.pool import max_pool2d
from archdsl.kernels.separable import separable_conv2d
from archdsl.kernels.shuffle import ChannelShuffle, channel_shuffle

__all__ = [
    "ChannelShuffle",
    "DepthwiseConv2d",
    "channel_shuffle",
    "depthwise_conv2d",
    "finish_",
    "max_pool2d",
    "patches_conv2d",
    "pointwise_conv2d",
    "pointwise_conv2d_scatter",
    "separable_conv2d",
]
