"""Layers that the language does not have, as a user has written them: importable, as generated code needs it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Involution(nn.Module):
    """Involution (Li et al., 2021, arXiv:2103.06255): a kernel for each place, made of what is there."""

    def __init__(self, channels: int, kernel: int = 7, groups: int = 1, reduction: int = 4) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        narrow = channels // reduction
        self.reduce = nn.Sequential(nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU())
        self.span = nn.Conv2d(narrow, kernel * kernel * groups, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        weight = self.span(self.reduce(x)).view(n, self.groups, 1, self.kernel**2, h, w)
        patches = F.unfold(x, self.kernel, padding=self.kernel // 2)
        patches = patches.view(n, self.groups, c // self.groups, self.kernel**2, h, w)
        return (weight * patches).sum(3).view(n, c, h, w)


class Modulated(nn.Module):
    """Modulated convolution (Karras et al., 2020, arXiv:1912.04958): the style scales the weights."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.stride = stride

    def forward(self, x: torch.Tensor, style: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        n, c, h, w = x.shape
        weight = self.weight * style.view(n, 1, c, 1, 1)
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        k = weight.shape[-1]
        y = F.conv2d(x.reshape(1, -1, h, w), weight.view(-1, c, k, k), None, self.stride, k // 2, groups=n)
        y = y.view(n, -1, *y.shape[2:])
        return y if noise is None else y + noise


class Squash(nn.Module):
    """A sigmoid, whose gradient needs its result."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)


class Loud(nn.Module):
    """A step that looks at numbers, which tensors on the meta device do not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.abs().max().item() > 1 else x


class Blur(nn.Module):
    """A mean over a window, every second place of it; `mode` and `sides` are a text and a list."""

    def __init__(self, sides: tuple[int, int] = (3, 3), mode: str = "mean", *, stride: int = 2) -> None:
        super().__init__()
        self.sides, self.mode, self.stride = tuple(sides), mode, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = F.avg_pool2d if self.mode == "mean" else F.max_pool2d
        return pool(x, self.sides, self.stride)


class Needs(nn.Module):
    """A layer that takes what no text can say."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.norm = norm(8)


class LayerNorm2d(nn.Module):
    """A layer with the name of one that generated code brings along."""
