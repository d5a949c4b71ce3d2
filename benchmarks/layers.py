"""The layers of networks, one by one: the tensors of each, every way to compute it, and the tiles that may be fast.

A layer is what `archdsl.optimize` gives to one kernel. Beside the kernel stand PyTorch's own steps and what the
optimized network would run in the kernel's place: cuDNN, and after it one pass for the rest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from archdsl.kernels import depthwise, patches, pointwise, pool, separable
from archdsl.kernels.epilogue import activate
from archdsl.kernels.layout import power

import archdsl
from archdsl.inference.layers import Conv2d, Joined, MaxPool2d, Scatter, library

LAST = torch.channels_last
Way = Callable[[torch.Tensor], Any]


class Layer(NamedTuple):
    """A layer by what decides its speed; `size` is the height and width of its input."""

    operation: str  # depthwise, gradients (of a depthwise one), pointwise, separable, patches or pool
    kernel: int
    stride: int
    depth: int  # channels of the input
    channels: int  # of the result
    size: int
    act: str = "none"  # of a separable one: between the two
    residual: bool = False

    @property
    def out(self) -> int:
        """Height and width of the result."""
        return (self.size - 1) // self.stride + 1

    def __str__(self) -> str:
        size = f"{self.kernel}x{self.kernel}/{self.stride} " if self.operation != "pointwise" else ""
        rest = f" {self.act}" * (self.act != "none") + " + residual" * self.residual
        return f"{self.operation} {size}{self.depth}>{self.channels} @{self.size}{rest}"


def layers_of(name: str, size: int = 224) -> list[Layer]:
    """Return the different layers of an optimized network that kernels may take, in their order."""
    found: dict[Layer, None] = {}

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        for layer in _layers(module, inputs):
            found.setdefault(layer)

    optimized = archdsl.optimize(archdsl.load(name).eval(), kernels="all")
    for module in optimized.modules():
        if isinstance(module, (Conv2d, Joined, MaxPool2d, Scatter)):
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        optimized(torch.zeros(1, 3, size, size))
    return list(found)


def _layers(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Iterator[Layer]:
    """Return what a call of a module is; a joined one calls its two parts, which are noted by themselves."""
    x = inputs[0]
    depth, size = x.shape[1:3]
    if isinstance(module, MaxPool2d) and module.kernel_size == 3 and module.padding == 1:
        yield Layer("pool", 3, module.stride, depth, depth, size)
    if isinstance(module, Joined) and isinstance(module.before, Conv2d):
        first, conv = module.before, module.conv
        residual = len(inputs) > module.inputs
        yield Layer(
            "separable", first.weight.shape[2], first.stride[0], depth, conv.weight.shape[0], size, first.act, residual
        )
    conv = module.conv if isinstance(module, Scatter) else module
    if isinstance(conv, Conv2d) and size > 1 and conv.entry is not None:
        residual = isinstance(module, Conv2d) and len(inputs) > 1
        window, out = conv.weight.shape[2], conv.weight.shape[0]
        yield Layer(conv.entry.operation, window, conv.stride[0], depth, out, size, conv.act, residual)


def gradients_of(layers: list[Layer]) -> list[Layer]:
    """Return the gradients of the depthwise layers."""
    found = [layer._replace(operation="gradients", act="none", residual=False) for layer in layers]
    return [layer for layer, made in zip(found, layers) if made.operation == "depthwise"]


# -------------------------------------------------------------------------------------------------- one layer
class Case:
    """The tensors of a layer for a batch, and the ways to compute it; `copies` inputs, to rotate through.

    Without `filled` maps are memory that nobody touches, for launches that start nothing.
    """

    def __init__(
        self, layer: Layer, batch: int, dtype: torch.dtype, device: str, copies: int = 1, filled: bool = True
    ) -> None:
        self.layer, self.batch, self.dtype, self.device, self.filled = layer, batch, dtype, device, filled
        depth, out, k = layer.depth, layer.channels, layer.kernel
        self.shape = (batch, depth, layer.size, layer.size)
        self.result = (batch, out, layer.out, layer.out)
        self.xs = [self.map(self.shape) for _ in range(copies)]
        self.taps = self.weight = None
        if layer.operation in ("depthwise", "gradients", "separable"):
            taps = self.random(depth, 1, k, k, scale=1 / k).to(dtype)
            self.taps = taps.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)  # as `optimize` stores them
        if layer.operation in ("pointwise", "separable", "patches"):
            window = k if layer.operation == "patches" else 1
            weight = self.random(out, depth, window, window, scale=depth**-0.5 / window).to(dtype)
            self.weight = weight.contiguous(memory_format=LAST)
        self.shift = self.random(depth if self.taps is not None else out).to(dtype)
        self.shift_out = self.random(out).to(dtype)
        second = layer.residual or layer.operation == "gradients"
        self.other = self.map(self.result) if second else None  # a residual, or dy
        self.where = ((layer.stride,) * 2, (layer.kernel // 2,) * 2, (1, 1))

    def random(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(shape, device=self.device) * scale

    def map(self, shape: tuple[int, ...]) -> torch.Tensor:
        x = torch.empty(shape, dtype=self.dtype, device=self.device, memory_format=LAST)
        return x.normal_() if self.filled else x

    @property
    def bytes(self) -> int:
        """What has to move: each map once; of gradients x, dy and dx."""
        maps = [self.shape, self.result] + [self.shape if self.layer.operation == "gradients" else self.result] * (
            self.other is not None
        )
        return sum(math.prod(shape) for shape in maps) * self.dtype.itemsize

    # ------------------------------------------------------------ ways
    def parts(self) -> list[tuple[Any, ...]]:
        """Return the arguments of the convolutions after the input: weight, bias, residual, where, groups and act."""
        layer, once = self.layer, ((1, 1), (0, 0), (1, 1))
        found: list[tuple[Any, ...]] = []
        if self.taps is not None:
            residual = None if layer.operation == "separable" else self.other
            found.append((self.taps, self.shift, residual, *self.where, layer.depth, layer.act))
        if self.weight is not None:
            bias, where = (self.shift, self.where) if self.taps is None else (self.shift_out, once)
            found.append((self.weight, bias, self.other, *where, 1, layer.act if self.taps is None else "none"))
        return found

    def eager(self, x: torch.Tensor) -> Any:
        """PyTorch's own steps, a norm folded."""
        if self.layer.operation in ("gradients", "pool"):
            return self.library(x)
        for weight, bias, residual, *where, groups, act in self.parts():
            z = F.conv2d(x, weight, bias, *where, groups)
            x = activate(z if residual is None else z + residual, act, 0.0)
        return x

    def library(self, x: torch.Tensor) -> Any:
        """What an optimized network runs where no kernel is taken."""
        if self.layer.operation == "pool":
            return F.max_pool2d(x, self.layer.kernel, self.layer.stride, self.layer.kernel // 2)
        if self.layer.operation == "gradients":
            return torch.ops.aten.convolution_backward(
                self.other, x, self.taps, None, *self.where, False, [0, 0], x.shape[1], [True, True, False]
            )[:2]
        if not x.is_cuda:
            return self.eager(x)
        for weight, bias, residual, *where, groups, act in self.parts():
            x = library(x, weight, bias, residual, (*where, groups), act, 0.0)
        return x

    def two(self, x: torch.Tensor) -> torch.Tensor:
        """Both parts of a separable layer by a kernel each."""
        a = depthwise.launch_fwd(x, self.taps, None, self.shift, None, self.geometry, self.layer.act, 0.0)
        inside = [None] * 6
        return pointwise.launch(a, self.weight, None, self.shift_out, self.other, *inside, (1, 1), "none", "none", 0.0)

    @property
    def geometry(self) -> depthwise.Geometry:
        return depthwise.geometry_of(self.shape, self.taps.shape, *self.where)

    def kernel(self, x: torch.Tensor, tile: Any = None, y: torch.Tensor | None = None) -> Any:
        """Our kernel; `y` is where the result goes."""
        layer, weight = self.layer, self.weight
        if layer.operation == "depthwise":
            return depthwise.launch_fwd(
                x, self.taps, None, self.shift, self.other, self.geometry, layer.act, 0.0, tile, y
            )
        if layer.operation == "gradients":
            return depthwise.launch_grads(self.other, x, self.taps, self.geometry, (True, True), tile, y)
        if layer.operation == "pointwise":
            inside = [None] * 6
            return pointwise.launch(
                x, weight, None, self.shift, self.other, *inside, self.where[0], layer.act, "none", 0.0, tile, y
            )
        if layer.operation == "patches":
            return patches.launch(x, weight, self.shift, *self.where, layer.act, 0.0, tile, y)
        if layer.operation == "pool":
            return pool.launch(x, (layer.kernel,) * 2, *self.where, y=y)
        vectors = (None, self.shift)
        return separable.launch(
            x, self.taps, weight, *vectors, None, self.shift_out, self.other, self.geometry, layer.act, "none", 0.0,
            tile, y,
        )  # fmt: skip

    def exact(self) -> list[torch.Tensor]:
        """Return the results in float32, from the first input."""
        names = ("taps", "weight", "other", "shift", "shift_out", "dtype")
        half = {name: getattr(self, name) for name in names}
        for name, value in half.items():
            setattr(self, name, value.float() if isinstance(value, torch.Tensor) else None)
        self.dtype = torch.float32
        found = self.eager(self.xs[0].float())
        self.__dict__.update(half)
        return [found] if isinstance(found, torch.Tensor) else list(found)


# -------------------------------------------------------------------------------------------------- tiles
def default_tile(layer: Layer) -> Any:
    """Return the tile that the launcher takes."""
    if layer.operation == "pool":
        return None
    if layer.operation == "patches":
        return patches.tile_for(layer.channels)
    if layer.operation == "pointwise":
        return pointwise.tile_for(layer.channels, layer.depth)
    g = geometry(layer)
    if layer.operation == "separable":
        return separable.tile_for(g, layer.channels)
    return depthwise.forward_tile(g) if layer.operation == "depthwise" else depthwise.grads_tile(g)


def geometry(layer: Layer) -> depthwise.Geometry:
    """Return the geometry of a layer's depthwise part."""
    where = ((layer.stride,) * 2, (layer.kernel // 2,) * 2, (1, 1))
    shape = (1, layer.depth, layer.size, layer.size)
    return depthwise.geometry_of(shape, (layer.depth, 1, layer.kernel, layer.kernel), *where)


def tiles(layer: Layer) -> list[Any]:
    """Return tiles that may be fast, the launcher's own first."""
    made = {
        "depthwise": _depthwise_tiles, "gradients": _gradient_tiles, "pointwise": _pointwise_tiles,
        "separable": _separable_tiles, "patches": _patches_tiles,
    }  # fmt: skip
    if layer.operation not in made:
        return []
    return list(dict.fromkeys([default_tile(layer), *made[layer.operation](layer)]))


def _patches_tiles(layer: Layer) -> Iterator[patches.Tile]:
    channels = power(layer.channels, 16, 64)
    for pixels, depth, warps in ((64, 32, 4), (128, 32, 4), (256, 32, 4), (128, 32, 8), (128, 64, 8), (64, 16, 4)):
        yield patches.Tile(pixels, channels, depth, warps)


def _depthwise_tiles(layer: Layer) -> Iterator[depthwise.Tile]:
    """Around what was the fastest: 7 x 8 x 64, 4 elements a thread."""
    for channels, columns, most, each in (
        (64, 8, 7, 4), (64, 8, 4, 4), (64, 8, 8, 4), (64, 8, 14, 4), (64, 16, 7, 4), (64, 4, 7, 4), (64, 8, 7, 2),
        (32, 8, 7, 4), (32, 8, 4, 4), (32, 16, 7, 4), (128, 8, 7, 4), (128, 4, 7, 4),
    ):  # fmt: skip
        if columns < 2 * layer.out and channels < 2 * layer.channels:
            rows = depthwise.rows_for(layer.out, most)
            yield depthwise.Tile(rows, columns, channels, columns * channels // (32 * each))


def _gradient_tiles(layer: Layer) -> Iterator[depthwise.Tile]:
    groups = -(-layer.size // layer.stride)
    most = (4, 2, 1) if layer.stride == 1 else (2, 1)
    for channels, columns, rows in itertools.product((32, 64), (4, 8), most):
        if channels < 2 * layer.channels:
            yield depthwise.Tile(depthwise.rows_for(groups, rows), columns, channels, columns * channels // 128)


def _pointwise_tiles(layer: Layer) -> Iterator[pointwise.Tile]:
    whole = power(layer.channels, 16, 256)
    deep = power(layer.depth, 16, 64)
    wide = {whole, min(whole, 128)} | ({64} if layer.channels > 64 and layer.depth <= 64 else set())
    for pixels, channels, depth in itertools.product((64, 128, 256), sorted(wide), {32, deep}):
        loops = -(-layer.depth // depth)
        stages = 1 if loops == 1 else 2 if loops == 2 else 4
        held = (pixels + channels) * depth * 2 * stages
        if held <= 160 << 10 and pixels * channels <= 128 * 256 and depth <= deep:
            yield pointwise.Tile(pixels, channels, depth, 8 if pixels * channels > 128 * 64 else 4, stages)


def _separable_tiles(layer: Layer) -> Iterator[separable.Tile]:
    channels = power(layer.channels, 16, separable.WIDEST)
    for rows, (lanes, warps), depth, stages in itertools.product((2, 4), ((64, 4), (128, 8)), (16, 32), (1, 2)):
        if rows * lanes * channels <= 4 * 64 * 64 and rows <= layer.out and not (depth == 32 and stages == 2):
            yield separable.Tile(rows, lanes, channels, depth, warps, stages)
