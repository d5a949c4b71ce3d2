"""Darknet's `.cfg` files as modules: a section is a layer, which reads the one before it or those that it names.

What a section means is what Darknet's parser makes of it (pjreddie/darknet, `src/parser.c`, `src/maxpool_layer.c`): a
convolution with `pad=1` has margins of half its window, a pool has as many rows more as its window has, less one, most
of them at the end. Sizes are followed while the file is read, so that layers that do not fit each other are told with
their lines; Darknet itself adds maps of different shapes as far as they overlap.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from archdsl.importer.files.parts import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

Shape = tuple[int, ...]  # channels, height, width; or features


@dataclass
class Section:
    """`[kind]` and its options, with the line on which it begins."""

    kind: str
    line: int
    options: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int) -> int:
        """Return an option that is a whole number."""
        return int(self._as(int, name, default))

    def real(self, name: str, default: float) -> float:
        """Return an option that is a number."""
        return float(self._as(float, name, default))

    def numbers(self, name: str) -> list[int]:
        """Return an option that is a list of whole numbers."""
        try:
            return [int(word) for word in self.options.get(name, "").split(",") if word.strip()]
        except ValueError:
            raise self.wrong(f"`{name}={self.options[name]}` is no list of whole numbers") from None

    def _as(self, kind: Callable[[str], Any], name: str, default: Any) -> Any:
        try:
            return kind(self.options[name]) if name in self.options else default
        except ValueError:
            raise self.wrong(f"`{name}={self.options[name]}` is no number") from None

    def wrong(self, reason: str) -> Malformed:
        """Return a mistake in this section."""
        return Malformed(f"line {self.line}, [{self.kind}]: {reason}")


def sections(text: str) -> list[Section]:
    """Return the sections of a file; raises `Malformed`."""
    found: list[Section] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].partition(";")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            found.append(Section(line[1:-1].strip(), number))
        elif line:
            name, sign, value = line.partition("=")
            if not sign or not found:
                raise Malformed(f"line {number}: `{line[:40]}` is neither a section nor an option of one")
            found[-1].options[name.strip()] = value.strip()
    if len(found) < 2 or found[0].kind not in ("net", "network"):
        raise Malformed("line 1: a file begins with [net], and has a layer")
    return found


# -------------------------------------------------------------------------------------------------- layers
ACTIVATIONS: dict[str, Callable[[], nn.Module] | None] = {
    "linear": None,
    "leaky": lambda: nn.LeakyReLU(0.1),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "mish": nn.Mish,
    "swish": nn.SiLU,
}


def _activation(section: Section, default: str) -> nn.Module | None:
    name = section.options.get("activation", default)
    if name not in ACTIVATIONS:
        raise section.wrong(f"the activation `{name}` is not known here")
    make = ACTIVATIONS[name]
    return make() if make else None


class Convolutional(nn.Module):
    """A convolution, perhaps a batch norm, and an activation."""

    def __init__(self, section: Section, channels: int) -> None:
        super().__init__()
        size, groups = section.number("size", 1), section.number("groups", 1)
        margin = size // 2 if section.number("pad", 0) else section.number("padding", 0)
        normed = bool(section.number("batch_normalize", 0))
        filters, stride = section.number("filters", 1), section.number("stride", 1)
        if channels % groups or filters % groups:
            raise section.wrong(f"{channels} channels and {filters} filters in {groups} groups")
        self.conv = nn.Conv2d(channels, filters, size, stride, margin, groups=groups, bias=not normed)
        self.bn = nn.BatchNorm2d(filters) if normed else None
        self.act = _activation(section, "logistic")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map [N, filters, H', W']."""
        x = self.conv(x)
        x = x if self.bn is None else self.bn(x)
        return x if self.act is None else self.act(x)


class Connected(nn.Module):
    """A linear layer on all of a map, and an activation."""

    def __init__(self, section: Section, features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, section.number("output", 1))
        self.act = _activation(section, "logistic")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features [N, output]."""
        x = self.fc(x.flatten(1))
        return x if self.act is None else self.act(x)


class Maxpool(nn.Module):
    """A pool whose margins are as many as its window has rows, less one: half of them in front, rounded down."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.stride = section.number("stride", 1)
        self.size = section.number("size", self.stride)
        self.margin = section.number("padding", self.size - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map [N, C, H', W'], H' = (H + margin - size) // stride + 1."""
        front = self.margin // 2
        if self.margin % 2 == 0:
            return F.max_pool2d(x, self.size, self.stride, front)
        if self.size == self.stride == 2:
            return F.max_pool2d(x, 2, 2, ceil_mode=True)  # one row at the end, which no window but the last reaches
        behind = self.margin - front
        padded = F.pad(x, (front, behind, front, behind), value=float("-inf"))
        return F.max_pool2d(padded, self.size, self.stride)


class Route(nn.Module):
    """Maps joined along the channels; of one map perhaps a part."""

    def __init__(self, groups: int, part: int) -> None:
        super().__init__()
        self.groups, self.part = groups, part

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Return the map [N, C, H, W]."""
        parts = [one.chunk(self.groups, 1)[self.part] for one in maps] if self.groups > 1 else list(maps)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Shortcut(nn.Module):
    """A map added to the one before, and an activation."""

    def __init__(self, section: Section) -> None:
        super().__init__()
        self.act = _activation(section, "linear")

    def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return the map [N, C, H, W]."""
        made = x + other
        return made if self.act is None else self.act(made)


# -------------------------------------------------------------------------------------------------- networks
class Darknet(nn.Module):
    """The network of a file: its layers have their numbers for names, as sections are counted in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        first, *layers = sections(text)
        side = [first.number(name, 416) for name in ("channels", "height", "width")]
        self.shape: Shape = (first.number("channels", 3), *side[1:])
        self.reads: list[list[int]] = []
        self.results: list[int] = []
        shapes: list[Shape] = []
        wrong: list[str] = []
        for place, section in enumerate(layers):
            try:
                module, reads = self._layer(section, place, shapes)
            except Malformed as mistake:
                wrong.append(str(mistake))
                module, reads = nn.Identity(), [place - 1]
            self.add_module(str(place), module)
            self.reads.append(reads)
            given = [self.shape if one < 0 else shapes[one] for one in reads]
            shapes.append(_made(module, given))
        if wrong:
            raise Malformed("\n".join(wrong))
        self.results = self.results or [len(layers) - 1]

    def _layer(self, section: Section, place: int, shapes: list[Shape]) -> tuple[nn.Module, list[int]]:
        """Return the module of a section, and the layers that it reads: -1 is the input."""
        before = shapes[-1] if shapes else self.shape
        if section.kind == "route":
            return self._route(section, place, shapes)
        if section.kind == "shortcut":
            other = _places(section, section.numbers("from"), place)[0]
            if shapes[other] != before:
                raise section.wrong(f"{_words(shapes[other])} is added to {_words(before)}")
            return Shortcut(section), [place - 1, other]
        if section.kind not in LAYERS:
            raise section.wrong("this kind of layer is not known here")
        if section.kind in DETECTIONS:
            self.results.append(place)
        return LAYERS[section.kind](section, before), [place - 1]

    def _route(self, section: Section, place: int, shapes: list[Shape]) -> tuple[nn.Module, list[int]]:
        reads = _places(section, section.numbers("layers"), place)
        if len({shapes[one][1:] for one in reads}) > 1:
            raise section.wrong(f"{' and '.join(_words(shapes[one]) for one in reads)} are joined")
        groups, part = section.number("groups", 1), section.number("group_id", 0)
        if not 0 <= part < groups or any(shapes[one][0] % groups for one in reads):
            raise section.wrong(f"part {part} of {groups} parts of {_words(shapes[reads[0]])}")
        return Route(groups, part), reads

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return what the last layer makes, or by name what those of detection are given."""
        made: list[torch.Tensor] = []
        for module, reads in zip(self.children(), self.reads):
            made.append(module(*[x if one < 0 else made[one] for one in reads]))
        if len(self.results) == 1:
            return made[self.results[0]]
        return {f"out{place}": made[one] for place, one in enumerate(self.results)}


DETECTIONS = ("yolo", "region", "detection")  # what they are given is a result of the network
LAYERS: dict[str, Callable[[Section, Shape], nn.Module]] = {
    "convolutional": lambda section, shape: Convolutional(section, shape[0]),
    "connected": lambda section, shape: Connected(section, torch.Size(shape).numel()),
    "maxpool": lambda section, shape: Maxpool(section),
    "avgpool": lambda section, shape: nn.AdaptiveAvgPool2d(1),
    "upsample": lambda section, shape: nn.Upsample(scale_factor=section.number("stride", 2)),
    "dropout": lambda section, shape: nn.Dropout(section.real("probability", 0.5)),
    "softmax": lambda section, shape: nn.Sequential(nn.Flatten(), nn.Softmax(1)) if len(shape) > 1 else nn.Softmax(1),
    **dict.fromkeys((*DETECTIONS, "cost"), lambda section, shape: nn.Identity()),
}


def _places(section: Section, given: list[int], place: int) -> list[int]:
    """Return layers by number: one below 0 counts back from here."""
    found = [place + one if one < 0 else one for one in given]
    if not found or any(not 0 <= one < place for one in found):
        raise section.wrong(f"{given or 'nothing'} is no layer before this one, which is number {place}")
    return found


def _made(module: nn.Module, given: list[Shape]) -> Shape:
    """Return the shape of what a layer makes: it is run without numbers."""
    with torch.no_grad():
        made = deepcopy(module).to("meta")(*[torch.empty((2, *shape), device="meta") for shape in given])
    return tuple(made.shape[1:])


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
