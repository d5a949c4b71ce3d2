"""Ultralytics' YAML as a module: rows `[from, repeats, module, arguments]`, each of which reads rows before it.

Written from what the format's documents say and from what such networks are: YOLOv3 (Redmon and Farhadi, 2018,
arXiv:1804.02767), cross-stage partial blocks (Wang et al., 2019, arXiv:1911.11929), pools in a row (He et al., 2014,
arXiv:1406.4729), heads apart for boxes and classes (Ge et al., 2021, arXiv:2107.08430). Nothing of a file is evaluated:
modules and activations are words of the tables below. A scale is a multiple of the depth and of the width.

A detector ends with the maps of its heads, for each scale the bins of boxes beside the classes, as in training. What
makes boxes of them is arithmetic without weights.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.diagnostics.extras import Needing
from archdsl.importer.files.parts import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST = 1 << 20  # characters of a file that are read
ROWS, REPEATS, WIDEST = 1_000, 200, 1 << 16
BINS = 16  # of a side of a box, whose place is their mean
SCALED = re.compile(r"(\D+\d+)([nsmblxtc])(.*)")  # the scale in the name of a file, `yolov8s.yaml`
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "SiLU": nn.SiLU,
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "LeakyReLU": nn.LeakyReLU,
    "Hardswish": nn.Hardswish,
    "Mish": nn.Mish,
    "GELU": nn.GELU,
}


# -------------------------------------------------------------------------------------------------- blocks
class Conv(nn.Module):
    """A convolution, a batch norm and an activation."""

    default: Callable[[], nn.Module] = nn.SiLU

    def __init__(
        self, c1: int, c2: int, k: int = 1, s: int = 1, p: Any = None, g: int = 1, *more: Any, act: bool = True
    ) -> None:
        super().__init__()
        given: list[Any] = [*more, *[1, act][len(more) :]]
        d, act = given
        margin = (d * (k - 1) + 1) // 2 if p is None else p
        self.conv = nn.Conv2d(c1, c2, k, s, margin, d, g, bias=False)
        self.bn = nn.BatchNorm2d(c2)
        self.act = Conv.default() if act is True else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.bn(self.conv(x)))


def depthwise(c1: int, c2: int, k: int = 1, s: int = 1, d: int = 1) -> Conv:
    """Return a convolution of as many groups as it can have."""
    from math import gcd

    return Conv(c1, c2, k, s, None, gcd(c1, c2), d)


class Bottleneck(nn.Module):
    """Two convolutions, and a shortcut where the channels stay."""

    def __init__(
        self, c1: int, c2: int, shortcut: bool = True, g: int = 1, k: Sequence[int] = (3, 3), e: float = 0.5
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1, self.cv2 = Conv(c1, hidden, k[0]), Conv(hidden, c2, k[1], g=g)
        self.add = shortcut and c1 == c2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.cv2(self.cv1(x))
        return x + made if self.add else made


class C2f(nn.Module):
    """Half of the channels through blocks one after the other, all of whose results are joined."""

    def __init__(self, c1: int, c2: int, n: int = 1, shortcut: bool = False, g: int = 1, e: float = 0.5) -> None:
        super().__init__()
        self.width = int(c2 * e)
        self.cv1 = Conv(c1, 2 * self.width)
        self.cv2 = Conv((2 + n) * self.width, c2)
        self.m = nn.ModuleList(self.inner(shortcut, g) for _ in range(n))

    def inner(self, shortcut: bool, g: int) -> nn.Module:
        return Bottleneck(self.width, self.width, shortcut, g, (3, 3), 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class C3(nn.Module):
    """Two paths of half the channels, one of them through blocks."""

    def __init__(
        self, c1: int, c2: int, n: int = 1, shortcut: bool = True, g: int = 1, e: float = 0.5, k: Any = (1, 3)
    ) -> None:
        super().__init__()
        hidden = int(c2 * e)
        self.cv1, self.cv2, self.cv3 = Conv(c1, hidden), Conv(c1, hidden), Conv(2 * hidden, c2)
        self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, g, k, 1.0) for _ in range(n)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class C3k2(C2f):
    """A `C2f` whose blocks are bottlenecks, or `C3` of two bottlenecks each."""

    def __init__(
        self, c1: int, c2: int, n: int = 1, c3k: bool = False, e: float = 0.5, attn: bool = False, *more: Any
    ) -> None:
        if attn:
            raise Malformed("`C3k2` with attention is not known here")
        given: list[Any] = [*more, *[1, True][len(more) :]]
        g, shortcut = given
        self.c3k = c3k
        super().__init__(c1, c2, n, shortcut, g, e)

    def inner(self, shortcut: bool, g: int) -> nn.Module:
        if self.c3k:
            return C3(self.width, self.width, 2, shortcut, g, 0.5, (3, 3))
        return Bottleneck(self.width, self.width, shortcut, g)


class SPPF(nn.Module):
    """The same pool several times over, and all of its results joined."""

    def __init__(self, c1: int, c2: int, k: int = 5, n: int = 3, shortcut: bool = False) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(c1, c1 // 2), Conv((n + 1) * (c1 // 2), c2)
        self.m, self.n, self.add = nn.MaxPool2d(k, 1, k // 2), n, shortcut and c1 == c2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.cv1(x)]
        for _ in range(self.n):
            parts.append(self.m(parts[-1]))
        made = self.cv2(torch.cat(parts, 1))
        return made + x if self.add else made


class SPP(nn.Module):
    """Pools of several sizes side by side."""

    def __init__(self, c1: int, c2: int, k: Sequence[int] = (5, 9, 13)) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(c1, c1 // 2), Conv((len(k) + 1) * (c1 // 2), c2)
        self.m = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


class ResNetBlock(nn.Module):
    """A bottleneck of a ResNet: He et al., 2015, arXiv:1512.03385."""

    def __init__(self, c1: int, c2: int, s: int = 1, e: int = 4) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(c1, c2), Conv(c2, c2, 3, s)
        self.cv3 = Conv(c2, e * c2, act=False)
        same = s == 1 and c1 == e * c2
        self.shortcut = nn.Identity() if same else nn.Sequential(Conv(c1, e * c2, 1, s, act=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.cv3(self.cv2(self.cv1(x))) + self.shortcut(x))


class ResNetLayer(nn.Module):
    """A stage of a ResNet, or its stem."""

    def __init__(self, c1: int, c2: int, s: int = 1, is_first: bool = False, n: int = 1, e: int = 4) -> None:
        super().__init__()
        blocks = [ResNetBlock(c1, c2, s, e), *(ResNetBlock(e * c2, c2, 1, e) for _ in range(n - 1))]
        stem = [Conv(c1, c2, 7, 2), nn.MaxPool2d(3, 2, 1)]
        self.layer = nn.Sequential(*(stem if is_first else blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Concat(nn.Module):
    """Maps joined along the channels."""

    def __init__(self, dimension: int = 1) -> None:
        super().__init__()
        if dimension != 1:
            raise Malformed("`Concat` along another axis than the channels")

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(maps, 1)


class Classify(nn.Module):
    """A head of classes: their scores [N, classes], before any softmax."""

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, p: Any = None, g: int = 1) -> None:
        super().__init__()
        self.conv, self.pool = Conv(c1, 1280, k, s, p, g), nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(1280, c2)

    def forward(self, x: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
        x = torch.cat(x, 1) if isinstance(x, list) else x
        return self.linear(self.pool(self.conv(x)).flatten(1))


class Detect(nn.Module):
    """A head for each scale: [N, 4 * bins + classes, H, W]. `light` has depthwise convolutions before classes."""

    def __init__(self, classes: int, light: bool, widths: Sequence[int]) -> None:
        super().__init__()
        box = max(16, widths[0] // 4, 4 * BINS)
        cls = max(widths[0], min(classes, 100))
        self.cv2 = nn.ModuleList(
            nn.Sequential(Conv(c, box, 3), Conv(box, box, 3), nn.Conv2d(box, 4 * BINS, 1)) for c in widths
        )
        self.cv3 = nn.ModuleList(nn.Sequential(*_classes(c, cls, light), nn.Conv2d(cls, classes, 1)) for c in widths)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        return [torch.cat((box(x), cls(x)), 1) for x, box, cls in zip(maps, self.cv2, self.cv3)]


def _classes(c: int, width: int, light: bool) -> list[nn.Module]:
    if not light:
        return [Conv(c, width, 3), Conv(width, width, 3)]
    return [
        nn.Sequential(depthwise(c, c, 3), Conv(c, width)),
        nn.Sequential(depthwise(width, width, 3), Conv(width, width)),
    ]


# -------------------------------------------------------------------------------------------------- files
WIDE: dict[str, Callable[..., nn.Module]] = {  # given the channels before it, and scaled ones after it
    "Conv": Conv, "DWConv": depthwise, "Bottleneck": Bottleneck, "C2f": C2f, "C3": C3, "C3k2": C3k2, "SPP": SPP,
    "SPPF": SPPF, "Classify": Classify, "nn.ConvTranspose2d": nn.ConvTranspose2d,
}  # fmt: skip
REPEATING = ("C2f", "C3", "C3k2")  # which repeat something within
KEEPING: dict[str, Callable[..., nn.Module]] = {  # of as many channels as before
    "nn.Upsample": nn.Upsample, "nn.MaxPool2d": nn.MaxPool2d, "nn.Identity": nn.Identity, "nn.ZeroPad2d": nn.ZeroPad2d,
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """Multiples of the depth and of the width, and the most channels before these."""

    letter: str = ""
    depth: float = 1.0
    width: float = 1.0
    most: float = float("inf")

    def channels(self, count: int) -> int:
        """Return so many channels at this scale, a multiple of 8."""
        return ceil(min(count, self.most) * self.width / 8) * 8

    def times(self, count: int) -> int:
        """Return so many repetitions at this scale."""
        return max(round(count * self.depth), 1) if count > 1 else count


class Yolo(nn.Module):
    """The network of a file: its rows are `model.0`, `model.1` …, as weights of such networks name them."""

    def __init__(self, found: Any, letter: str = "") -> None:
        super().__init__()
        rows = _rows(found)
        self.classes, self.scale = _number(found.get("nc", 80), "nc"), _scale(found, letter)
        self.channels = _number(found.get("ch", found.get("channels", 3)), "channels")
        self.reads: list[list[int]] = []
        self.widths: list[int] = []
        self.light = False
        default, Conv.default = Conv.default, _activation(found.get("activation"))
        try:
            self.model = nn.ModuleList(self._row(place, *row) for place, row in enumerate(rows))
        finally:
            Conv.default = default
        for norm in self.modules() if not isinstance(self.model[-1], Classify) else ():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eps, norm.momentum = 1e-3, 0.03  # as detectors have them; classifiers have PyTorch's

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input that such networks are given."""
        side = 224 if isinstance(self.model[-1], Classify) else 640
        return (1, self.channels, side, side)

    def forward(self, x: torch.Tensor) -> Any:
        """Return what the last row makes."""
        made: list[Any] = []
        for module, reads in zip(self.model, self.reads):
            given = [x if one < 0 else made[one] for one in reads]
            made.append(module(given if isinstance(module, (Concat, Detect)) else given[0]))
        return made[-1]

    def _row(self, place: int, source: Any, repeats: Any, name: Any, args: Any) -> nn.Module:
        where = f"row {place}, {name}"
        reads = [one if one >= 0 else place + one for one in (source if isinstance(source, list) else [source])]
        if any(not -1 <= one < place for one in reads) or (not reads) or (-1 in reads and place):
            raise Malformed(f"{where}: {source} is no row before this one")
        self.reads.append(reads)
        try:
            return self._made(
                where, [self.widths[one] if one >= 0 else self.channels for one in reads], repeats, name, args
            )
        except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as problem:
            raise Malformed(f"{where}: {str(problem)[:200]}") from None

    def _made(self, where: str, before: list[int], repeats: int, name: str, args: list[Any]) -> nn.Module:
        args = [self.classes if one == "nc" else None if one == "None" else one for one in args]
        count = self.scale.times(repeats)
        if name in WIDE:
            return self._wide(where, before, count, name, args)
        if name == "ResNetLayer":
            self.widths.append(args[1] if len(args) > 3 and args[3] else args[1] * 4)
            return ResNetLayer(*args)
        if name == "Concat":
            self.widths.append(sum(before))
            return Concat(*args)
        if name == "Detect":
            self.widths.append(0)
            return Detect(self.classes, self.light, before)
        if name in KEEPING:
            self.widths.append(before[0])
            return _repeated(lambda: KEEPING[name](*args), count)
        raise Malformed(f"{where}: this module is not known here")

    def _wide(self, where: str, before: list[int], count: int, name: str, args: list[Any]) -> nn.Module:
        first = sum(before) if name == "Classify" else before[0]
        after = args[0] if args[0] == self.classes else self.scale.channels(args[0])
        if not 0 < after <= WIDEST:
            raise Malformed(f"{where}: {after} channels")
        given = [first, after, *args[1:]]
        if name in REPEATING:
            given.insert(2, count)
            count = 1
        if name == "C3k2":
            self.light = True
            if self.scale.letter in ("m", "l", "x"):
                given[3:4] = [True]
        self.widths.append(after)
        firsts = iter([first] + [after] * count)
        return _repeated(lambda: WIDE[name](next(firsts), *given[1:]), count)


def _repeated(make: Callable[[], nn.Module], count: int) -> nn.Module:
    return make() if count == 1 else nn.Sequential(*(make() for _ in range(count)))


def yolo(path: str) -> Yolo:
    """Read a file; a letter in its name is the scale, and `yolov8s.yaml` may be `yolov8.yaml`. Raises `Malformed`."""
    with Needing("a `.yaml` file"):
        import yaml
    folder, name = os.path.split(path)
    match = SCALED.fullmatch(name)
    letter = match.group(2) if match else ""
    if match and not os.path.isfile(path):
        path = os.path.join(folder, match.group(1) + match.group(3))
    with open(path, encoding="utf-8") as file:
        text = file.read(MOST)
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        raise Malformed(" ".join(str(problem).split())[:200]) from None
    return Yolo(found, letter)


# -------------------------------------------------------------------------------------------------- what a file says
def _rows(found: Any) -> list[list[Any]]:
    """Return the rows of a file, held to their form."""
    if not isinstance(found, dict) or not isinstance(found.get("backbone"), list):
        raise Malformed("it has no `backbone`, a list of rows [from, repeats, module, arguments]")
    rows = [*found["backbone"], *(found.get("head") or [])]
    if not 0 < len(rows) <= ROWS:
        raise Malformed(f"it has {len(rows)} rows")
    for place, row in enumerate(rows):
        if not (isinstance(row, list) and len(row) == 4 and isinstance(row[3], list) and isinstance(row[2], str)):
            raise Malformed(f"row {place}: {str(row)[:80]} is not [from, repeats, module, arguments]")
        sources = row[0] if isinstance(row[0], list) else [row[0]]
        if not all(type(one) is int for one in sources):
            raise Malformed(f"row {place}: it reads {str(row[0])[:80]}, and no rows")
        if type(row[1]) is not int or not 0 < row[1] <= REPEATS:
            raise Malformed(f"row {place}: {str(row[1])[:80]} repetitions")
        if not all(_is_plain(one) for one in row[3]):
            raise Malformed(f"row {place}: {str(row[3])[:80]} are no numbers and words")
    return rows


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) < 16 and all(type(one) in (int, float, bool) and abs(one) <= WIDEST for one in value)
    return value is None or isinstance(value, str) or (type(value) in (int, float, bool) and abs(value) <= WIDEST)


def _number(value: Any, name: str) -> int:
    if type(value) is not int or not 0 < value <= WIDEST:
        raise Malformed(f"`{name}: {str(value)[:80]}` is no number of them")
    return value


def _scale(found: dict[str, Any], letter: str) -> Scale:
    scales = found.get("scales")
    if isinstance(scales, dict) and scales:
        letter = letter if letter in scales else str(next(iter(scales)))
        row = scales.get(letter)
        if isinstance(row, list) and len(row) == 3 and all(type(one) in (int, float) and one > 0 for one in row):
            return Scale(letter, *row)
        raise Malformed(f"the scale `{letter}` is not [depth, width, most channels]")
    depth, width = (found.get(f"{name}_multiple", 1.0) for name in ("depth", "width"))
    if not all(type(one) in (int, float) and one > 0 for one in (depth, width)):
        raise Malformed("its multiples of depth and width are no numbers")
    return Scale("", depth, width)


def _activation(value: Any) -> Callable[[], nn.Module]:
    """Return the activation of a file: a class of PyTorch, perhaps with a slope, `nn.LeakyReLU(0.1)`."""
    if value is None:
        return nn.SiLU
    match = re.fullmatch(r"(?:torch\.)?nn\.(\w+)\((?:(?:negative_slope=)?([\d.]+))?\)", str(value))
    if not match or match.group(1) not in ACTIVATIONS or (match.group(2) and match.group(1) != "LeakyReLU"):
        raise Malformed(f"the activation `{str(value)[:80]}` is not known here")
    make = ACTIVATIONS[match.group(1)]
    return (lambda: nn.LeakyReLU(float(match.group(2)))) if match.group(2) else make
