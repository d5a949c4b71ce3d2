"""Operators of ONNX as calls of PyTorch: a node, its attributes, and what it is given.

What a node is given is a tensor, a weight, or an array of numpy: a constant, or a number that was made of sizes. The
meaning of each operator is that of ONNX's own documents (onnx.ai/onnx/operators), by the opset of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from archdsl.importer.files.parts import LARGEST, Malformed
from archdsl.importer.graph import Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archdsl.importer.files.parts import Place

MOST = 1 << 16  # elements of an array that is made of sizes
HOST = frozenset(
    """Add And Cast Ceil Concat Constant ConstantOfShape Div Equal Expand Floor Gather Greater Identity Less Max Min Mod
    Mul Neg Not Or Range ReduceProd Reshape Shape Size Slice Split Sqrt Squeeze Sub Transpose Unsqueeze Where""".split()
)


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a graph: its operator and attributes, what it reads and makes, and in which modules it stands."""

    op: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    attributes: dict[str, Any]
    proto: Any
    opset: int
    scope: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """What it is called: by its module, or else as the file says."""
        return self.path or self.proto.name or self.op

    @property
    def path(self) -> str:
        """The module in which it stands."""
        return self.scope[-1][0] if self.scope else ""

    def unsaid(self, reason: str) -> Unsaid:
        """Return what to raise for what the language cannot say."""
        return Unsaid(f"`{self.op}`: {reason}", self.path or self.proto.name)

    def run(self, given: list[Any]) -> Any:
        """Return what the node makes of what it is given."""
        if self.op == "Shape" and isinstance(given[0], torch.Tensor):
            shape = given[0].shape[self.attributes.get("start", 0) : self.attributes.get("end")]
            return np.array(shape, dtype=np.int64)
        if all(one is None or isinstance(one, np.ndarray) for one in given):
            return on_host(self, given) if len(self.makes) > 1 else on_host(self, given)[0]
        if self.op not in CALLS:
            raise self.unsaid("the language has no step for it")
        made = CALLS[self.op](self, *given, *[None] * (8 - len(given)))
        return (
            [made] if len(self.makes) > 1 and isinstance(made, torch.Tensor) else made
        )  # and a mask that nobody reads


def on_host(node: Node, given: Sequence[Any]) -> Any:
    """Return what a node makes of arrays alone, by ONNX's own reference."""
    from onnx.reference import ReferenceEvaluator

    if node.op not in HOST:
        raise node.unsaid("a tensor that the file makes of constants")
    if node.op in ("Squeeze", "Unsqueeze") and "axes" in node.attributes:  # which the reference takes as an input alone
        function = np.expand_dims if node.op == "Unsqueeze" else np.squeeze
        return [function(given[0], tuple(node.attributes["axes"]))]
    if node.op == "Range":
        first, last, by = (float(one) for one in given)
        sizes = [np.array([(last - first) / (by or 1e-9)])]
    else:
        sizes = [given[0]] if node.op == "ConstantOfShape" else [given[1]] if node.op in ("Expand", "Reshape") else []
    large = any(abs(prod(int(size) for size in one.reshape(-1)[:16])) > MOST for one in sizes)
    if large and node.op != "Reshape":
        raise node.unsaid("an array that is too large")
    inputs = {name: one for name, one in zip(node.reads, given) if name}
    made = ReferenceEvaluator(node.proto, opsets={"": node.opset}).run(None, inputs)
    return [np.asarray(one) for one in made]


def filled(node: Node, shape: np.ndarray) -> np.ndarray:
    """Return a constant of one number everywhere."""
    from onnx import numpy_helper

    sizes = [int(size) for size in shape.reshape(-1)]
    if len(sizes) > 8 or any(size < 0 for size in sizes) or prod(sizes) > LARGEST:
        raise Malformed(f"`{node.proto.name or node.op}`: a constant {sizes[:8]}")
    value = numpy_helper.to_array(node.attributes["value"]) if "value" in node.attributes else np.zeros(1, np.float32)
    return np.full(sizes, value.reshape(-1)[0])


# -------------------------------------------------------------------------------------------------- arguments
def _numbers(given: Any, attribute: Any = None) -> tuple[int, ...] | None:
    """Return whole numbers that are an input since one opset, and an attribute before it."""
    if isinstance(given, np.ndarray):
        return tuple(int(one) for one in given.reshape(-1))
    return tuple(attribute) if attribute is not None else None


def _real(node: Node, given: Any, default: Any = None) -> Any:
    if given is None:
        return default
    if not isinstance(given, np.ndarray) or given.size != 1:
        raise node.unsaid("a number that is computed")
    return float(given.reshape(-1)[0])


def _operand(node: Node, given: Any) -> Any:
    """Return what stands beside a tensor: a tensor, or a number."""
    return _real(node, given) if isinstance(given, np.ndarray) else given


# -------------------------------------------------------------------------------------------------- windows
def _margins(node: Node, x: torch.Tensor, kernel: Sequence[int]) -> list[tuple[int, int]]:
    """Return the margins in front and behind, along each axis."""
    axes = len(kernel)
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "", "VALID"):
        pads = node.attributes.get("pads") if auto != "VALID" else None
        pads = pads or [0] * (2 * axes)
        return list(zip(pads[:axes], pads[axes:]))
    strides, dilations = _window(node, "strides", axes), _window(node, "dilations", axes)
    made = []
    for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations):
        missing = max((ceil(size / s) - 1) * s + d * (k - 1) + 1 - size, 0)
        front = missing // 2 if auto == "SAME_UPPER" else missing - missing // 2
        made.append((front, missing - front))
    return made


def _window(node: Node, name: str, axes: int) -> tuple[int, ...]:
    return tuple(node.attributes.get(name) or (1,) * axes)


def _padded(
    node: Node, x: torch.Tensor, kernel: Sequence[int], value: float = 0.0
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return a map with the margins that a window does not have, as they differ at the ends, and those that it has."""
    margins = _margins(node, x, kernel)
    auto = node.attributes.get("auto_pad", "NOTSET").startswith("SAME")  # whose margins are others at another size
    if not auto and all(front == behind for front, behind in margins):
        return x, tuple(front for front, _ in margins)
    flat = [size for pair in reversed(margins) for size in pair]
    return F.pad(x, flat, value=value), (0,) * len(kernel)


def _conv(node: Node, x: torch.Tensor, weight: torch.Tensor, bias: Any, *_: Any) -> torch.Tensor:
    if not isinstance(weight, torch.Tensor) or weight.dim() not in (3, 4):
        raise node.unsaid("a convolution of one or two dimensions is read")
    x, margins = _padded(node, x, weight.shape[2:])
    function = F.conv1d if weight.dim() == 3 else F.conv2d
    strides, dilations = (_window(node, name, len(margins)) for name in ("strides", "dilations"))
    return function(x, weight, bias, strides, margins, dilations, node.attributes.get("group", 1))


def _conv_transpose(node: Node, x: torch.Tensor, weight: Any, bias: Any, *_: Any) -> torch.Tensor:
    auto = node.attributes.get("auto_pad", "NOTSET")
    if (
        not isinstance(weight, torch.Tensor)
        or weight.dim() != 4
        or auto != "NOTSET"
        or "output_shape" in node.attributes
    ):
        raise node.unsaid("margins that depend on the size")
    pads = node.attributes.get("pads") or [0] * 4
    more = list(_window(node, "output_padding", 2) if "output_padding" in node.attributes else (0, 0))
    strides, dilations = _window(node, "strides", 2), _window(node, "dilations", 2)
    more = [m + front - behind for m, front, behind in zip(more, pads[:2], pads[2:])]
    if min(more) < 0:
        raise node.unsaid("margins that differ at the ends")
    return F.conv_transpose2d(
        x, weight, bias, strides, tuple(pads[:2]), tuple(more), node.attributes.get("group", 1), dilations
    )


def _ceiled(node: Node, x: torch.Tensor, kernel: Sequence[int]) -> tuple[int, ...] | None:
    """Return margins with which rounding up gives the windows that longer margins behind would give; None without."""
    margins = _margins(node, x, kernel)
    strides, dilations = (_window(node, name, len(kernel)) for name in ("strides", "dilations"))
    for size, k, s, d, (front, behind) in zip(x.shape[2:], kernel, strides, dilations, margins):
        whole = size + 2 * front - d * (k - 1) - 1
        if not front < behind < front + s or -(-whole // s) != (whole + behind - front) // s:
            return None
    return tuple(front for front, _ in margins)


def _max_pool(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    if len([name for name in node.makes if name]) > 1:
        raise node.unsaid("positions of maxima")
    kernel = tuple(node.attributes["kernel_shape"])
    margins = _ceiled(node, x, kernel)
    up = margins is not None or bool(node.attributes.get("ceil_mode", 0))
    if margins is None:
        x, margins = _padded(node, x, kernel, float("-inf"))
    strides, dilations = (_window(node, name, len(kernel)) for name in ("strides", "dilations"))
    return F.max_pool2d(x, kernel, strides, margins, dilations, up)


def _average_pool(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    kernel = tuple(node.attributes["kernel_shape"])
    counted = bool(node.attributes.get("count_include_pad", 0))
    strides = _window(node, "strides", len(kernel))
    up = None if counted else _ceiled(node, x, kernel)
    if up is not None:
        return F.avg_pool2d(x, kernel, strides, up, True, False)
    reach = zip(x.shape[2:], kernel, _margins(node, x, kernel))
    if not counted and all(not front and size <= k <= size + behind for size, k, (front, behind) in reach):
        return F.avg_pool2d(x, tuple(x.shape[2:]))  # one window, of which all of the map is a part
    if not counted and any(front != behind for front, behind in _margins(node, x, kernel)):
        raise node.unsaid("an average without margins that differ at the ends")
    x, margins = _padded(node, x, kernel)
    return F.avg_pool2d(
        x, kernel, strides, margins, bool(node.attributes.get("ceil_mode", 0)), counted or not any(margins)
    )


# -------------------------------------------------------------------------------------------------- layers
def _gemm(node: Node, x: torch.Tensor, weight: Any, bias: Any = None, *_: Any) -> torch.Tensor:
    factors = [node.attributes.get(name, 1.0) for name in ("alpha", "beta")]
    if factors[0] != 1 or (bias is not None and factors[1] != 1) or node.attributes.get("transA", 0):
        raise node.unsaid("a product with a factor")
    return F.linear(x, weight, bias)


def _matmul(node: Node, x: Any, other: Any, *_: Any) -> torch.Tensor:
    if not (isinstance(x, torch.Tensor) and isinstance(other, torch.Tensor)):
        raise node.unsaid("a product with a constant")
    return torch.matmul(x, other)


def _batch_norm(node: Node, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, *_: Any) -> torch.Tensor:
    if node.attributes.get("training_mode", 0):
        raise node.unsaid("it is in training")
    momentum = round(1 - node.attributes.get("momentum", 0.9), 6)
    return F.batch_norm(x, mean, variance, weight, bias, False, momentum, _epsilon(node))


def _epsilon(node: Node) -> float:
    """Return a float32 as the shortest number that it is."""
    return float(np.format_float_positional(np.float32(node.attributes.get("epsilon", 1e-5))))


def _short(value: float) -> float:
    return float(np.format_float_positional(np.float32(value), trim="-"))


def _layer_norm(node: Node, x: torch.Tensor, weight: Any, bias: Any, *_: Any) -> torch.Tensor:
    if node.attributes.get("axis", -1) not in (-1, x.dim() - 1):
        raise node.unsaid("a norm over several axes")
    return F.layer_norm(x, (x.shape[-1],), weight, bias, _epsilon(node))


def _group_norm(node: Node, x: torch.Tensor, weight: Any, bias: Any, *_: Any) -> torch.Tensor:
    if node.opset < 21:
        raise node.unsaid("a scale for each group")
    return F.group_norm(x, node.attributes["num_groups"], weight, bias, _epsilon(node))


def _instance_norm(node: Node, x: torch.Tensor, weight: Any, bias: Any, *_: Any) -> torch.Tensor:
    return F.instance_norm(x, None, None, weight, bias, True, 0.1, _epsilon(node))


def _lrn(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    ways = [
        _short(node.attributes.get(name, default)) for name, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    ]
    return F.local_response_norm(x, node.attributes["size"], *ways)


def _hard_sigmoid(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return F.hardtanh(x * _short(alpha) + _short(beta), 0.0, 1.0)


def _clip(node: Node, x: torch.Tensor, low: Any, high: Any, *_: Any) -> torch.Tensor:
    low, high = (_real(node, given, node.attributes.get(name)) for given, name in ((low, "min"), (high, "max")))
    if low == 0 and (high is None or high > 3e38):
        return F.relu(x)
    if low is None or high is None:
        raise node.unsaid("a clamp with one end")
    return F.relu6(x) if (low, high) == (0, 6) else F.hardtanh(x, low, high)


def _softmax(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1)
    if node.opset < 13 and prod(x.shape[axis % x.dim() + 1 :]) != 1:
        raise node.unsaid("a softmax over several axes")
    return torch.softmax(x, axis)


# -------------------------------------------------------------------------------------------------- arithmetic
def _beside(function: Callable[..., Any]) -> Callable[..., Any]:
    def made(node: Node, x: Any, other: Any, *_: Any) -> Any:
        return function(_operand(node, x), _operand(node, other))

    return made


def _joined(function: Callable[..., Any]) -> Callable[..., Any]:
    def made(node: Node, *given: Any) -> Any:
        tensors = [_operand(node, one) for one in given if one is not None]
        found = tensors[0]
        for one in tensors[1:]:
            found = function(found, one)
        return found

    return made


def _power(node: Node, x: torch.Tensor, exponent: Any, *_: Any) -> torch.Tensor:
    return torch.pow(x, _operand(node, exponent))


# -------------------------------------------------------------------------------------------------- shapes
def _reshape(node: Node, x: torch.Tensor, shape: Any, *_: Any) -> torch.Tensor:
    wanted = _numbers(shape, node.attributes.get("shape"))
    if wanted is None:
        raise node.unsaid("a shape that is computed")
    if not node.attributes.get("allowzero", 0):
        wanted = tuple(x.shape[at] if size == 0 else size for at, size in enumerate(wanted))
    return torch.reshape(x, wanted)


def _flatten(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    if node.attributes.get("axis", 1) != 1:
        raise node.unsaid("images that are joined")
    return torch.flatten(x, 1)


def _squeeze(node: Node, x: torch.Tensor, axes: Any, *_: Any) -> torch.Tensor:
    found = _numbers(axes, node.attributes.get("axes"))
    return torch.squeeze(x) if found is None else torch.squeeze(x, found)


def _unsqueeze(node: Node, x: torch.Tensor, axes: Any, *_: Any) -> torch.Tensor:
    found = _numbers(axes, node.attributes.get("axes")) or ()
    rank = x.dim() + len(found)
    for axis in sorted(axis % rank for axis in found):
        x = torch.unsqueeze(x, axis)
    return x


def _split(node: Node, x: torch.Tensor, sizes: Any, *_: Any) -> Any:
    axis = node.attributes.get("axis", 0)
    found = _numbers(sizes, node.attributes.get("split"))
    each = -(-x.shape[axis] // len(node.makes))
    made = torch.split(x, each if found is None else found, axis)
    return made if len(node.makes) > 1 else made[0]


def _slice(node: Node, x: torch.Tensor, starts: Any, ends: Any, axes: Any, steps: Any, *_: Any) -> torch.Tensor:
    first, last = (_numbers(one, node.attributes.get(name)) for one, name in ((starts, "starts"), (ends, "ends")))
    if first is None or last is None:
        raise node.unsaid("places that are computed")
    along = _numbers(axes, node.attributes.get("axes")) or tuple(range(len(first)))
    by = _numbers(steps) or (1,) * len(first)
    index = [slice(None)] * x.dim()
    for axis, begin, end, step in zip(along, first, last, by):
        if step < 1:
            raise node.unsaid("a tensor backwards")
        size = x.shape[axis]
        index[axis] = slice(max(begin, -size), None if end >= size else end, None if step == 1 else step)
    return x[tuple(index)]


def _gather(node: Node, x: torch.Tensor, places: Any, *_: Any) -> torch.Tensor:
    if not isinstance(places, np.ndarray) or places.ndim:
        raise node.unsaid("places that are computed, or several")
    index: list[Any] = [slice(None)] * x.dim()
    index[node.attributes.get("axis", 0)] = int(places)
    return x[tuple(index)]


def _pad(node: Node, x: torch.Tensor, pads: Any, value: Any, axes: Any, *_: Any) -> torch.Tensor:
    found = _numbers(pads, node.attributes.get("pads"))
    if found is None:
        raise node.unsaid("margins that are computed")
    along = [axis % x.dim() for axis in _numbers(axes) or range(x.dim())]
    each = {axis: (front, behind) for axis, front, behind in zip(along, found, found[len(along) :])}
    flat = [size for axis in range(x.dim() - 1, -1, -1) for size in each.get(axis, (0, 0))]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    mode = {"edge": "replicate"}.get(node.attributes.get("mode", "constant"), node.attributes.get("mode", "constant"))
    if mode == "constant":
        return F.pad(x, tuple(flat), "constant", _real(node, value, node.attributes.get("value", 0.0)))
    return F.pad(x, tuple(flat), mode)


def _resize(node: Node, x: torch.Tensor, second: Any, third: Any = None, fourth: Any = None, *_: Any) -> torch.Tensor:
    """Bring a map to another size; its scales are the second input of `Upsample`, the third of `Resize`."""
    scales, sizes = (second, None) if node.op == "Upsample" or node.opset < 11 else (third, fourth)
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(node.attributes.get("mode", "nearest"), "nearest")
    how = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    old = node.op == "Upsample" or node.opset < 11
    words: dict[str, Any] = {}
    if mode != "nearest":
        words = {"align_corners": how == "align_corners", "antialias": bool(node.attributes.get("antialias", 0))}
        if old or how not in ("align_corners", "half_pixel", "pytorch_half_pixel"):
            raise node.unsaid(f"resampling by `{'asymmetric' if old else how}`")
    elif not old and how != "asymmetric" and not _whole(x, scales, sizes):
        raise node.unsaid(f"the nearest pixel by `{how}`")
    if isinstance(sizes, np.ndarray) and sizes.size:
        return F.interpolate(x, size=_numbers(sizes[2:]), mode=mode, **words)
    factors = [
        float(one) for one in (scales.reshape(-1) if isinstance(scales, np.ndarray) else node.attributes["scales"])
    ]
    if factors[:2] != [1, 1]:
        raise node.unsaid("channels that are resampled")
    if all(one == int(one) for one in factors):
        return F.interpolate(x, scale_factor=tuple(factors[2:]), mode=mode, **words)
    return F.interpolate(x, size=tuple(int(n * one) for n, one in zip(x.shape[2:], factors[2:])), mode=mode, **words)


def _whole(x: torch.Tensor, scales: Any, sizes: Any) -> bool:
    """Say whether a map grows by whole factors, where all ways to round find the same pixel."""
    if isinstance(sizes, np.ndarray) and sizes.size:
        return all(int(one) % have == 0 for one, have in zip(sizes[2:], x.shape[2:]))
    return isinstance(scales, np.ndarray) and all(float(one) == int(one) for one in scales)


def _depth_to_space(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    if node.attributes.get("mode", "DCR") != "CRD":
        raise node.unsaid("pixels that come of blocks of channels")
    return F.pixel_shuffle(x, node.attributes["blocksize"])


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def made(node: Node, x: torch.Tensor, axes: Any, *_: Any) -> Any:
        found = _numbers(axes, node.attributes.get("axes"))
        if not found and node.attributes.get("noop_with_empty_axes", 0):
            return x
        dims = found or tuple(range(x.dim()))
        return function(x, dims, bool(node.attributes.get("keepdims", 1)))

    return made


def _expand(node: Node, x: torch.Tensor, shape: Any, *_: Any) -> torch.Tensor:
    wanted = _numbers(shape)
    if wanted is None or len(wanted) != x.dim():
        raise node.unsaid("a tensor repeated along new axes")
    return x.expand(tuple(max(have, want) for have, want in zip(x.shape, wanted)))


def _cast(node: Node, x: torch.Tensor, *_: Any) -> torch.Tensor:
    if node.attributes["to"] != 1:
        raise node.unsaid("another type of numbers")
    return x


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda node, x, *_: function(x)


CALLS: dict[str, Callable[..., Any]] = {
    "Abs": _unary(torch.abs),
    "Add": _beside(lambda x, y: x + y),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda node, *xs: torch.cat([one for one in xs if one is not None], node.attributes["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Div": _beside(lambda x, y: x / y),
    "Dropout": _unary(lambda x: x),
    "Elu": lambda node, x, *_: F.elu(x, _short(node.attributes.get("alpha", 1.0))),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": lambda node, x, *_: F.gelu(x, approximate=node.attributes.get("approximate", "none")),
    "Gemm": _gemm,
    "GlobalAveragePool": _unary(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "GlobalMaxPool": _unary(lambda x: F.adaptive_max_pool2d(x, 1)),
    "GroupNormalization": _group_norm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "Identity": _unary(lambda x: x),
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node, x, *_: F.leaky_relu(x, _short(node.attributes.get("alpha", 0.01))),
    "Linear": lambda node, x, weight, bias, *_: F.linear(x, weight, bias),
    "Log": _unary(torch.log),
    "MatMul": _matmul,
    "Max": _joined(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _joined(torch.minimum),
    "Mish": _unary(F.mish),
    "Mul": _beside(lambda x, y: x * y),
    "Neg": _unary(torch.neg),
    "PRelu": lambda node, x, slope, *_: F.prelu(x, slope),
    "Pad": _pad,
    "Pow": _power,
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceMin": _reduced(torch.amin),
    "ReduceSum": _reduced(torch.sum),
    "Relu": _unary(F.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _unary(torch.sigmoid),
    "Silu": _unary(F.silu),
    "Slice": _slice,
    "Softmax": _softmax,
    "Softplus": _unary(F.softplus),
    "Split": _split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _beside(lambda x, y: x - y),
    "Sum": _joined(torch.add),
    "Swish": _unary(F.silu),
    "Tanh": _unary(torch.tanh),
    "Transpose": lambda node, x, *_: x.permute(tuple(node.attributes.get("perm", range(x.dim())[::-1]))),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
