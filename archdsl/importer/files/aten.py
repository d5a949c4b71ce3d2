"""Operators of ATen as the calls that anybody's code would make: by the name of the operator, with its arguments.

A program of `torch.export` has either the calls of PyTorch's functions, one for one, or fewer operators that these are
made of; both kinds stand here. What changes its argument in place (`relu_`) does so here, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from archdsl.importer.graph import Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def _convolution(
    x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, *last: Any
) -> Tensor:
    """Return any convolution; the last arguments are the margin of a transposed one's result, and groups."""
    more, groups = last
    if transposed:
        return F.conv_transpose2d(x, weight, bias, stride, padding, more, groups, dilation)
    function = F.conv1d if x.dim() == 3 else F.conv2d
    return function(x, weight, bias, stride, padding, dilation, groups)


def _conv_transpose(
    x: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, more: Any = 0, groups: int = 1,
    dilation: Any = 1,
) -> Tensor:  # fmt: skip
    return F.conv_transpose2d(x, weight, bias, stride, padding, more, groups, dilation)


def _batch_norm(
    x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float, *_: Any
) -> Tensor:
    if training:
        raise Unsaid("`batch_norm` in training: a program is exported after `model.eval()`", "")
    return F.batch_norm(x, mean, variance, weight, bias, False, momentum, eps)


def _batch_norm_of_inference(
    x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, momentum: float, eps: float
) -> tuple[Any, ...]:
    return F.batch_norm(x, mean, variance, weight, bias, False, momentum, eps), None, None


def _dropout(x: Tensor, p: float, training: bool) -> Tensor:
    if training:
        raise Unsaid("`dropout` in training: a program is exported after `model.eval()`", "")
    return x


def _instance_norm(
    x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, own: bool, momentum: float, eps: float, *_: Any
) -> Tensor:
    return F.instance_norm(x, mean, variance, weight, bias, own, momentum, eps)


def _native_group_norm(
    x: Tensor, weight: Any, bias: Any, n: int, c: int, area: int, groups: int, eps: float
) -> tuple[Any, ...]:
    return F.group_norm(x, groups, weight, bias, eps), None, None


def _native_layer_norm(x: Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    return F.layer_norm(x, tuple(shape), weight, bias, eps), None, None


def _addmm(bias: Tensor, x: Tensor, weight: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """A linear layer, whose weight has been transposed for it."""
    if beta != 1 or alpha != 1:
        return torch.addmm(bias, x, weight, beta=beta, alpha=alpha)
    return F.linear(x, weight.t(), bias)


def _mm(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight.t())


def _slice(x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    return _select(x, dim, slice(start, end, step))


def _select(x: Tensor, dim: int, index: Any) -> Tensor:
    places: list[Any] = [slice(None)] * x.dim()
    places[dim] = index
    return x[tuple(places)]


def _upsampled(mode: str) -> Callable[..., Tensor]:
    corners = mode != "nearest"

    def function(x: Tensor, size: Any = None, *more: Any) -> Tensor:
        factors = [one for one in more if isinstance(one, (tuple, list))]
        words: dict[str, Any] = {"align_corners": more[0]} if corners else {}
        if size is None:
            return F.interpolate(x, scale_factor=tuple(factors[0]), mode=mode, **words)
        return F.interpolate(x, size=tuple(size), mode=mode, **words)

    return function


def _elu(x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    if scale == input_scale == 1:
        return F.elu(x, alpha)
    return torch.ops.aten.elu.default(x, alpha, scale, input_scale)


def _tuples(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose lists are given as tuples, as code has them."""

    def called(*args: Any, **words: Any) -> Any:
        return function(*(tuple(one) if isinstance(one, list) else one for one in args), **words)

    return called


def _method(name: str) -> Callable[..., Any]:
    return lambda x, *args, **words: getattr(x, name)(*args, **words)


def _pooled(x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False) -> Any:
    return F.max_pool2d(x, kernel, stride or None, padding, dilation, ceil)


def _averaged(
    x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, ceil: bool = False, count: bool = True,
    divisor: Any = None,
) -> Tensor:  # fmt: skip
    return F.avg_pool2d(x, kernel, stride or None, padding, ceil, count, divisor)


PLACES = "relu relu6 silu mish hardswish hardsigmoid leaky_relu hardtanh".split()  # with `inplace=`
FUNCTIONAL = """
    gelu conv1d conv2d linear adaptive_avg_pool2d adaptive_max_pool2d pixel_shuffle pixel_unshuffle pad prelu glu
    softplus scaled_dot_product_attention
""".split()
TORCH = """
    cat stack flatten permute transpose squeeze unsqueeze chunk split narrow unflatten sigmoid tanh exp log sqrt rsqrt
    abs add sub mul div rsub pow neg mean sum amax amin clamp matmul bmm baddbmm softmax channel_shuffle
    t maximum minimum square
""".split()
METHODS = "view reshape expand contiguous clone detach expand_as type_as repeat".split()
CHANGED = "add_ sub_ mul_ div_ sigmoid_ tanh_ clamp_ exp_ sqrt_ abs_ neg_".split()  # methods that change a tensor

CALLS: dict[str, Callable[..., Any]] = {
    **{name: getattr(F, name) for name in [*PLACES, *FUNCTIONAL]},
    **{f"{name}_": (lambda f: lambda *args: f(*args, inplace=True))(getattr(F, name)) for name in PLACES},
    **{name: _tuples(getattr(torch, name)) for name in TORCH},
    **{name: _method(name) for name in [*METHODS, *CHANGED]},
    "_unsafe_view": _method("reshape"),
    "alias": lambda x: x,
    "lift_fresh_copy": lambda x: x,
    **dict.fromkeys(("dropout", "dropout_", "feature_dropout", "feature_dropout_"), _dropout),
    "elu": _elu,
    "conv_transpose2d": _conv_transpose,
    "convolution": _convolution,
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm_of_inference,
    "instance_norm": _instance_norm,
    "native_group_norm": _native_group_norm,
    "native_layer_norm": _native_layer_norm,
    "group_norm": lambda x, groups, weight=None, bias=None, eps=1e-5, *_: F.group_norm(x, groups, weight, bias, eps),
    "layer_norm": lambda x, shape, weight=None, bias=None, eps=1e-5, *_: F.layer_norm(
        x, tuple(shape), weight, bias, eps
    ),
    "rms_norm": lambda x, shape, weight=None, eps=None: F.rms_norm(x, tuple(shape), weight, eps),
    "addmm": _addmm,
    "mm": _mm,
    "max_pool2d": _pooled,
    "max_pool2d_with_indices": lambda *args: (_pooled(*args), None),
    "avg_pool2d": _averaged,
    "_adaptive_avg_pool2d": F.adaptive_avg_pool2d,
    "slice": _slice,
    "select": _select,
    "split_with_sizes": _tuples(torch.split),
    "_softmax": lambda x, dim, half: torch.softmax(x, dim),
    "constant_pad_nd": lambda x, margins, value=0: F.pad(x, tuple(margins), "constant", value),
    "upsample_nearest2d": _upsampled("nearest"),
    "upsample_bilinear2d": _upsampled("bilinear"),
    "upsample_bicubic2d": _upsampled("bicubic"),
    "sym_size": lambda x, dim: x.shape[dim],
}
