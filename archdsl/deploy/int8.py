"""Eight bits a number: which layers a network can have in int8, what each of them loses, and what the whole file does.

Weights are rounded by channel, the inputs of layers by tensor, within the least and the greatest value that calibration
images give them (Krishnamoorthi, 2018, arXiv:1806.08342). The engines' own tools write the file (`formats`); what is
said of layers is measured here, in PyTorch, by rounding the weights and the input of one layer at a time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.diagnostics.extras import Needing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archdsl.inference.engines.program import Run

    Images = Any  # a tensor, or a path
    Files = Mapping[str, bytes]  # by the endings of their names

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, by which published weights know images
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
HELD = 4  # every fourth image is not calibrated on, and compared
LOOKED_AT = 32  # images by which layers are judged
LOST = 0.1  # a depthwise layer that loses more than this stays in float, where that is measured to help
HELPS = 0.9  # of the error without it


class Layer(Record):
    """A layer with weights: its name, what it is, its weights' number, what it loses, and whether it stays in float.

    `error` is the deviation of its result in int8 from that in float, relative to that, as a mean over channels.
    """

    name: str
    kind: str
    weights: int
    error: float
    float: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether it may be better in float: a depthwise layer that loses too much."""
        return self.kind == "depthwise" and self.error > LOST


class Int8(Record):
    """What int8 does to a network, measured on `held` images of which none was calibrated on, in the file's engine.

    `agreement` is the share of results whose largest value is at the same place, `error` the deviation of all results
    relative to their standard deviation, `all_error` the same with no layer in float; `calibrated` are images.
    """

    layers: tuple[Layer, ...]
    float_bytes: int
    calibrated: int
    held: int
    agreement: float
    error: float
    all_error: float

    def __str__(self) -> str:
        left = [layer for layer in self.layers if layer.float]
        lines = [
            f"int8 of {self.float_bytes / 1e6:.1f} MB in float32, calibrated on {self.calibrated} images",
            f"of {self.held} others {self.agreement:.1%} have the same largest value, error {self.error:.1%}",
        ]
        worst = sorted(self.layers, key=lambda layer: -layer.error)[:5]
        lines.append("layers that lose most: " + ", ".join([f"{layer.name} {layer.error:.1%}" for layer in worst]))
        if left:
            names = ", ".join([layer.name for layer in left])
            lines.append(f"in float: {names}; with them in int8 the error is {self.all_error:.1%}")
        return "\n".join(lines)


# -------------------------------------------------------------------------------------------------- images
def images_of(source: Images, shape: Sequence[int]) -> torch.Tensor:
    """Return images as a network takes them, [images, C, H, W]: a tensor, a `.npy` file of one, or those of a folder.

    Images of a folder are scaled so that they cover H and W, cut in the middle, and normalized as for ImageNet.
    Raises `CompileError`.
    """
    found = source.detach().float().cpu() if isinstance(source, torch.Tensor) else _read(os.fspath(source), shape)
    least = HELD * shape[0]
    if found.shape[1:] != torch.Size(shape[1:]) or len(found) < least:
        wanted, given = ["x".join(map(str, one)) for one in (("N", *shape[1:]), found.shape)]
        reason = f"at least {least} images are needed, {wanted}, and {given} were given"
        raise errors.bad_option("--int8", _shown(source), reason)
    return found


def _shown(source: Images) -> str:
    return "images" if isinstance(source, torch.Tensor) else os.fspath(source)


def _read(path: str, shape: Sequence[int]) -> torch.Tensor:
    if os.path.isdir(path):
        names = sorted([name for name in os.listdir(path) if name.lower().endswith(ENDINGS)])
        if len(shape) != 4 or shape[1] not in (1, 3) or not names:
            reason = f"a folder has images, {', '.join(ENDINGS)}, for an input of one or three channels"
            raise errors.bad_option("--int8", path, reason)
        return torch.stack([_image(os.path.join(path, name), *shape[1:]) for name in names])
    import numpy

    try:
        return torch.from_numpy(numpy.load(path)).float()
    except (OSError, ValueError, TypeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is no array of numbers as numpy saves them"
        raise errors.bad_option("--int8", path, reason) from None


def _image(path: str, channels: int, height: int, width: int) -> torch.Tensor:
    with Needing("a folder of images"):
        from PIL import Image, ImageOps
    import numpy

    try:
        with Image.open(path) as file:
            fitted = ImageOps.fit(file.convert("RGB" if channels == 3 else "L"), (width, height))
    except OSError:
        raise errors.bad_option("--int8", path, "it is no image") from None
    values = torch.from_numpy(numpy.asarray(fitted, dtype=numpy.float32) / 255).reshape(height, width, channels)
    mean, std = [torch.tensor(one if channels == 3 else [sum(one) / 3]) for one in (MEAN, STD)]
    return ((values - mean) / std).permute(2, 0, 1)


# -------------------------------------------------------------------------------------------------- layers
class _Rounding(fx.Interpreter):
    """Runs a graph, and at each layer once more with its weights and its input rounded to eight bits."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.errors: dict[str, float] = {}

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_module(target, args, kwargs)
        layer = self.fetch_attr(target)
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            before, layer.weight.data = layer.weight.data, by_channel(layer.weight.data)
            try:
                rounded = super().call_module(target, (by_tensor(args[0]),), kwargs)
            finally:
                layer.weight.data = before
            self.errors[target] = lost(rounded, result)
        return result


def by_channel(weight: torch.Tensor) -> torch.Tensor:
    """Return weights, [channels, ...], as int8 has them, -127 to 127 in steps of each channel's own."""
    scale = weight.abs().flatten(1).amax(1).clamp(min=1e-12) / 127
    return torch.fake_quantize_per_channel_affine(
        weight, scale, torch.zeros_like(scale, dtype=torch.int32), 0, -127, 127
    )


def by_tensor(x: torch.Tensor) -> torch.Tensor:
    """Return values as eight bits have them, in 255 steps from the least to the greatest, of which one is 0."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = max(high - low, 1e-12) / 255
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, 255)


def lost(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the deviation of a result relative to what it should be, as a mean over channels; those of zeros aside."""
    y, z = [one.movedim(1 if one.dim() == 4 else -1, 0).flatten(1) for one in (found, expected)]
    size = z.norm(dim=1)
    there = size > 0
    return float(((y - z).norm(dim=1)[there] / size[there]).mean()) if bool(there.any()) else 0.0


# -------------------------------------------------------------------------------------------------- the whole
def in_int8(
    graph: fx.GraphModule,
    files: Files,
    write: Callable[[Files, Sequence[torch.Tensor], Sequence[str]], Files],
    run: Callable[[Files], Run],
    images: torch.Tensor,
    batch: int,
    names: dict[str, str],
) -> tuple[Files, Int8]:
    """Return the files of a graph in int8, and what that does to it.

    `write` makes int8 files of those in float32, with batches to calibrate on and layers that stay in float; `run` runs
    files. Depthwise layers that lose too much stay in float where that is measured to help.
    """
    held = torch.zeros(len(images) // batch, dtype=torch.bool)
    held[HELD - 1 :: HELD] = True
    batches = images[: len(held) * batch].unflatten(0, (-1, batch))
    calibration, others = list(batches[~held]), list(batches[held])
    expected = torch.cat([graph(part)[0] for part in others])

    def made(left: Sequence[str]) -> tuple[Files, float, float]:
        found = write(files, calibration, left)
        return found, *compared(run(found), others, expected)

    layers = judged(graph, torch.cat(calibration), names)
    chosen, agreement, error = made(())
    all_error, left = error, [target for target, layer in layers.items() if layer.doubtful]
    if left:
        again = made(left)
        if again[2] < HELPS * error:
            chosen, agreement, error = again
            layers = {target: layer.replace(float=target in left) for target, layer in layers.items()}
    counts = (sum(map(len, files.values())), len(calibration) * batch, len(others) * batch)
    return chosen, Int8(tuple(layers.values()), *counts, agreement, error, all_error)


@torch.no_grad()
def judged(graph: fx.GraphModule, images: torch.Tensor, names: dict[str, str]) -> dict[str, Layer]:
    """Return the layers of a graph by module, with what each loses on some images.

    `names` has better names of modules than those of the graph.
    """
    rounding = _Rounding(graph)
    rounding.run(images[:LOOKED_AT])
    layers = [(target, graph.get_submodule(target), error) for target, error in rounding.errors.items()]
    return {target: Layer(names.get(target, target), _kind(m), m.weight.numel(), error) for target, m, error in layers}


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, nn.Linear):
        return "linear"
    return "depthwise" if layer.groups > 1 and layer.groups == layer.in_channels else "conv"


def compared(run: Run, images: Sequence[torch.Tensor], expected: torch.Tensor) -> tuple[float, float]:
    """Return the share of first results whose largest value is at the same place, and their error."""
    found = torch.cat([run([part])[0] for part in images])
    same = (found.argmax(1) == expected.argmax(1)).float().mean()
    return float(same), float((found - expected).norm() / (expected - expected.mean()).norm().clamp(min=1e-12))
