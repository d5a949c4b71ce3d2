"""Modules that are not what their classes say, as people write them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class NormAct(nn.BatchNorm2d):
    """A batch norm that hides an activation."""

    def forward(self, x):
        return F.relu(super().forward(x))


class StandardizedConv(nn.Conv2d):
    """A convolution whose weights are computed."""

    def forward(self, x):
        weight = self.weight / self.weight.abs().sum((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Hidden(nn.Module):
    def __init__(self, norm=NormAct, conv=nn.Conv2d):
        super().__init__()
        self.conv = conv(3, 8, 3, padding=1)
        self.bn = norm(8)
        self.last = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.last(self.bn(self.conv(x)))


class Standardized(Hidden):
    def __init__(self):
        super().__init__(conv=StandardizedConv)


class InPlace(nn.Module):
    """A skip connection that sees what has been changed in place."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        y = self.conv1(x)
        z = self.conv2(F.relu(y, inplace=True))
        z += y
        return z


class Sized(nn.Module):
    """A factor that is the width of the input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) * x.shape[-1]


class Padded(nn.Module):
    """Margins that TensorFlow adds: how many depends on the size."""

    def __init__(self, fixed=False):
        super().__init__()
        self.fixed = fixed
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        right, bottom = (1, 1) if self.fixed else ((size - 1) // 2 * 2 + 3 - size for size in (x.shape[3], x.shape[2]))
        margins = (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2)
        return self.conv2(F.pad(self.conv1(F.pad(x, margins)), (1, 1, 1, 1)))


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), Noise())

    def forward(self, x):
        return self.body(x)


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Constant(nn.Module):
    """A tensor that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.table = torch.arange(4.0).reshape(1, 4, 1, 1)

    def forward(self, x):
        return self.conv(x) * self.table


class Detached(nn.Module):
    """A layer that nothing is learned through."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        return self.conv2(self.conv1(x).detach())


class Shared(nn.Module):
    """One layer in two places."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.relu(self.conv(x)))


class Siamese(nn.Module):
    """A body for two maps, and a layer with a number for a name that goes over the result of both."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
        self.joins = nn.ModuleList([nn.Conv2d(4, 4, 1)])

    def forward(self, x):
        one, two = self.body(x), self.body(torch.tanh(x))
        return self.joins[0](one) * self.joins[0](two)


class Owners(nn.Module):
    """One layer that two modules have."""

    def __init__(self):
        super().__init__()
        conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.Sequential(conv, nn.ReLU()), nn.Sequential(conv, nn.Tanh())

    def forward(self, x):
        return self.second(self.first(x))


class Auxiliary(nn.Module):
    """A second result in training."""

    def __init__(self):
        super().__init__()
        self.body, self.head, self.aux = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        y = self.body(x)
        made = self.head(torch.relu(y))
        return (made, self.aux(y)) if self.training else made


class Unused(nn.Module):
    """A layer that no result needs."""

    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, x):
        return self.conv(x)


class Block(nn.Module):
    """A residual block whose parameters show in nothing but its layers."""

    def __init__(self, given, made, stride=1, squeeze=False):
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(made, made, 1), nn.Sigmoid()) if squeeze else None
        self.shortcut = nn.Conv2d(given, made, 1, stride, bias=False) if given != made or stride > 1 else nn.Identity()

    def forward(self, x):
        y = self.conv2(torch.relu(self.conv1(x)))
        y = y if self.gate is None else y * self.gate(y)
        return torch.relu(y + self.shortcut(x))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            [Block(3, 8), Block(8, 8), Block(8, 16, 2, True), Block(16, 16, 1, True), Block(16, 16)]
        )
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3)))


class Selective(nn.Module):
    """Two maps, each channel of which has a share; then a gate for each place, from the mean and the largest channel."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=2, dilation=2)
        self.fc, self.gate = nn.Conv2d(8, 16, 1), nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        both = torch.stack([self.one(x), self.two(x)], 1)
        share = self.fc(F.adaptive_avg_pool2d(both.sum(1), 1)).view(x.shape[0], 2, 8).softmax(1)
        y = (both * share.unsqueeze(-1).unsqueeze(-1)).sum(1)
        planes = [y.max(1)[0].unsqueeze(1), y.mean(1).unsqueeze(1), y.min(1, keepdim=True).values]
        y = y * torch.sigmoid(self.gate(torch.cat(planes[:2], 1))) + planes[2]
        pairs = y.view(x.shape[0], 4, 2, *y.shape[2:])
        return torch.max(pairs.sum(2), pairs.sum(1).mean(1, keepdim=True))


def needs_arguments(width):
    return Residual()


def no_module():
    return 3
