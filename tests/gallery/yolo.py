"""YOLOv8 in plain PyTorch, from its authors' description: the reference, whose package is no dependency.

Layers have the numbers of the YAML that describes it; the last one returns what its heads say, before boxes are made
of it. Checked once against `ultralytics` 8.4: names, parameters, and outputs bit by bit in evaluation and training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

SCALES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.5, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1, 1, 512),
    "x": (1, 1.25, 512),
}


class Conv(nn.Module):
    """Convolution, norm and activation."""

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3, momentum=0.03)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions of 3x3, with a shortcut or not."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1, self.cv2, self.shortcut = Conv(width, width, 3), Conv(width, width, 3), shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """A CSP stage: both halves of a convolution, and what each bottleneck makes of the second one, are joined."""

    def __init__(self, before: int, after: int, count: int, shortcut: bool = False) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(before, after), Conv((2 + count) * (after // 2), after)
        self.m = nn.ModuleList(Bottleneck(after // 2, shortcut) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = list(self.cv1(x).chunk(2, 1))
        for unit in self.m:
            found.append(unit(found[-1]))
        return self.cv2(torch.cat(found, 1))


class SPPF(nn.Module):
    """Pooling over windows of 5, 9 and 13, one after the other."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(before, before // 2), Conv(before // 2 * 4, after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [self.cv1(x)]
        for _ in range(3):
            found.append(F.max_pool2d(found[-1], 5, 1, 2))
        return self.cv2(torch.cat(found, 1))


class Detect(nn.Module):
    """Heads for boxes and for classes, of each level."""

    def __init__(self, widths: list[int], classes: int) -> None:
        super().__init__()
        box, score = max(16, widths[0] // 4, 64), max(widths[0], min(classes, 100))
        self.cv2, self.cv3 = [
            nn.ModuleList(nn.Sequential(Conv(c, mid, 3), Conv(mid, mid, 3), nn.Conv2d(mid, out, 1)) for c in widths)
            for mid, out in ((box, 64), (score, classes))
        ]

    def forward(self, levels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        found = {f"boxes{i}": head(x) for i, (head, x) in enumerate(zip(self.cv2, levels), 3)}
        return found | {f"scores{i}": head(x) for i, (head, x) in enumerate(zip(self.cv3, levels), 3)}


class YOLOv8(nn.Module):
    """The detector of one size, `n` to `x`."""

    def __init__(self, size: str, classes: int = 80) -> None:
        super().__init__()
        depth, width, most = SCALES[size]
        a, b, c, d, e = [int(-(-min(most, w) * width // 8) * 8) for w in (64, 128, 256, 512, 1024)]
        few, many = max(1, round(3 * depth)), max(1, round(6 * depth))
        nothing = nn.Identity()  # where maps are resized or joined
        self.model = nn.ModuleList(
            [
                Conv(3, a, 3, 2), Conv(a, b, 3, 2), C2f(b, b, few, True), Conv(b, c, 3, 2), C2f(c, c, many, True),
                Conv(c, d, 3, 2), C2f(d, d, many, True), Conv(d, e, 3, 2), C2f(e, e, few, True), SPPF(e, e),
                nothing, nothing, C2f(e + d, d, few), nothing, nothing, C2f(d + c, c, few),
                Conv(c, c, 3, 2), nothing, C2f(c + d, d, few), Conv(d, d, 3, 2), nothing, C2f(d + e, e, few),
                Detect([c, d, e], classes),
            ]
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        layers, kept = self.model, []
        for layer in layers[:10]:
            x = layer(x)
            kept.append(x)
        p5, p4, p3 = x, kept[6], kept[4]
        p4 = layers[12](torch.cat([F.interpolate(p5, scale_factor=2), p4], 1))
        p3 = layers[15](torch.cat([F.interpolate(p4, scale_factor=2), p3], 1))
        p4 = layers[18](torch.cat([layers[16](p3), p4], 1))
        p5 = layers[21](torch.cat([layers[19](p4), p5], 1))
        return layers[22]([p3, p4, p5])
