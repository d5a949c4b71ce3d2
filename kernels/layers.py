"""Layers that run on the kernels, with the parameters and names of PyTorch's: state moves freely between the two."""

from __future__ import annotations

import torch
from archdsl.kernels.depthwise import depthwise_conv2d
from archdsl.kernels.shuffle import channel_shuffle
from torch import nn


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution: `nn.Conv2d` with a group for each channel, forward and backward by this package.

    An ONNX export sees the convolution of PyTorch.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export() or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(x)
        where = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return depthwise_conv2d(x, self.weight, shift=self.bias, **where)


class ChannelShuffle(nn.Module):
    """Channel shuffle: channel j of group i moves to place j * groups + i; [N, C, H, W] keeps its shape."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        return channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
