"""Layers with weights, and normalization."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from archdsl.importer.calls import views
from archdsl.importer.calls.reader import Learned, Reader, Seen, Shown, both, shape_of
from archdsl.importer.graph import Node, Unsaid

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 2.0**-23  # of float32, which PyTorch takes where an RMS norm is given none


def conv2d(
    r: Reader, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Node:  # fmt: skip
    out, _, *kernel = shape_of(weight)
    stride, dilation = both(stride), both(dilation)
    pad = padding if isinstance(padding, str) else both(padding)
    pad = (0, 0) if pad == "valid" else pad
    if pad == "same" and stride != (1, 1):
        raise Unsaid('`padding="same"` with a stride', r.path)
    same = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel))
    window = {"kernel": tuple(kernel), "stride": stride, "pad": None if pad == same else pad, "dilation": dilation}
    n, channels, *size = r.plain(input).shape
    reach = [d * (k - 1) for d, k in zip(dilation, kernel)]
    margin = reach if pad == "same" else [2 * p for p in pad]
    shape = (n, out, *[(s + m - a - 1) // b + 1 for s, m, a, b in zip(size, margin, reach, stride)])
    state = {"weight": weight, "bias": bias}
    numbers = weight.weight.numbers if isinstance(weight, Learned) else None
    if numbers is not None and groups == channels == out and bias is None:
        return r.step("filter", _taps(r, numbers) | {k: v for k, v in window.items() if k != "kernel"}, (input,), shape)
    if groups == channels > 1:
        fields = window | {"multiplier": out // channels, "bias": bias is not None}
        return r.step("depthwise", fields, (input,), shape, **state)
    fields = {"out": out} | window | {"groups": groups, "bias": bias is not None}
    return r.step("conv", fields, (input,), shape, **state)


def _taps(r: Reader, numbers: Tensor) -> dict[str, Any]:
    """Return the window of fixed weights, the same in all channels, as what it is the product of."""
    one = numbers[0, 0]
    row, column = divmod(int(one.abs().argmax()), one.shape[1])
    pivot = one[row, column]
    if torch.equal(one, one.T) and pivot > 0:
        taps = _short(one[:, column] / pivot.sqrt())
        fields, made = {"taps": taps}, torch.outer(torch.tensor(taps), torch.tensor(taps))
    else:
        taps, across = _short(one[:, column]), _short(one[row] / pivot)
        fields, made = {"taps": taps, "across": across}, torch.outer(torch.tensor(taps), torch.tensor(across))
    if not torch.allclose(numbers, made.expand_as(numbers), rtol=1e-6, atol=1e-9):
        raise Unsaid("a convolution with fixed weights that are no product of two lists", r.path)
    return fields


def _short(values: Tensor) -> tuple[float, ...]:
    """Return numbers in as few digits as single precision needs."""
    return tuple(float(f"{value:.7g}") for value in values.tolist())


def conv1d(
    r: Reader, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    """A convolution along a row is one of a map of height 1."""
    if not isinstance(input, Shown) or input.form not in ("row", "thin"):
        raise Unsaid("a convolution of one dimension", r.path)
    one = Learned(weight.weight, (*weight.shape[:2], 1, weight.shape[2])) if isinstance(weight, Learned) else weight
    along = [(given[0] if isinstance(given, tuple) else given) for given in (stride, padding, dilation)]
    made = conv2d(r, input.node, one, bias, (1, along[0]), (0, along[1]), (1, along[2]), groups)
    return Shown(made, "row", (made.shape[0], made.shape[1], made.shape[3]))


def conv_transpose2d(
    r: Reader, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, *more: Any
) -> Node:
    given: tuple[Any, ...] = (0, 1, 1)
    output_padding, groups, dilation = (*more, *given[len(more) :])
    _, out, *kernel = shape_of(weight)
    ways = [tuple(kernel), *map(both, (stride, padding, output_padding, dilation))]
    n, _, *size = r.plain(input).shape
    sizes = [(s - 1) * b - 2 * p + d * (k - 1) + o + 1 for s, k, b, p, o, d in zip(size, *ways)]
    fields = {"out": out * groups, **dict(zip(("kernel", "stride", "pad", "output_pad", "dilation"), ways))}
    fields |= {"groups": groups, "bias": bias is not None}
    return r.step("conv_transpose", fields, (input,), (n, out * groups, *sizes), weight=weight, bias=bias)


def linear(r: Reader, input: Any, weight: Any, bias: Any = None) -> Any:
    out, _ = shape_of(weight)
    fields = {"out": out, "bias": bias is not None}
    if isinstance(input, Shown) and input.form == "last":  # the same as a convolution of one pixel
        n, _, h, w = input.node.shape
        window = {"kernel": (1, 1), "stride": (1, 1), "pad": None, "dilation": (1, 1), "groups": 1}
        node = r.step("conv", fields | window, (input.node,), (n, out, h, w), weight=weight, bias=bias)
        return Shown(node, "last", (n, h, w, out))
    if isinstance(input, Seen):
        node = views.by_channels(r, input).node
        if len(node.shape) == 4:
            return views.with_channels(input, linear(r, Shown(node, "last", node.shape), weight, bias).node)
        made = r.step("linear", fields, (node,), (*node.shape[:-1], out), weight=weight, bias=bias)
        return views.with_channels(input, made)
    return r.step("linear", fields, (input,), (*r.plain(input).shape[:-1], out), weight=weight, bias=bias)


def batch_norm(
    r: Reader, input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    *more: Any, **words: Any,
) -> Node:  # fmt: skip
    given = {"training": False, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True}
    given |= dict(zip(given, more)) | words
    momentum, eps = given["momentum"], given["eps"]
    if momentum is None:
        raise Unsaid("statistics that are a plain mean of all batches", r.path)
    tracked = running_mean is not None
    fields = {"eps": eps, "momentum": momentum, "affine": weight is not None, "track": tracked}
    state = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    return r.step("bn", fields, (input,), r.plain(input).shape, **state)


def group_norm(
    r: Reader, input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn: bool = True
) -> Node:
    fields = {"groups": num_groups, "eps": eps, "affine": weight is not None}
    return r.step("gn", fields, (input,), r.plain(input).shape, weight=weight, bias=bias)


def instance_norm(r: Reader, input: Any, *more: Any, **words: Any) -> Node:
    """The norm of each channel by itself: of as many groups as there are channels."""
    given: dict[str, Any] = dict.fromkeys(("running_mean", "running_var", "weight", "bias"))
    given |= {"use_input_stats": True}
    given |= {"momentum": 0.1, "eps": 1e-5}
    given |= dict(zip(given, more)) | words
    if given["running_mean"] is not None or not given["use_input_stats"]:
        raise Unsaid("an instance norm with running statistics", r.path)
    return group_norm(r, input, r.plain(input).channels, given["weight"], given["bias"], given["eps"])


def layer_norm(
    r: Reader, input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Any:
    if len(normalized_shape) != 1:
        raise Unsaid("a layer norm over more than the channels", r.path)
    affine = weight is not None
    fields = {"eps": eps, "affine": affine, "bias": bias is not None or not affine}
    return _over_channels(r, "ln", fields, input, weight=weight, bias=bias)


def rms_norm(r: Reader, input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    if len(normalized_shape) != 1:
        raise Unsaid("an RMS norm over more than the channels", r.path)
    fields = {"eps": EPSILON if eps is None else eps, "affine": weight is not None}
    return _over_channels(r, "rms_norm", fields, input, weight=weight)


def _over_channels(r: Reader, op: str, fields: dict[str, Any], input: Any, **weights: Any) -> Any:
    """Apply a norm over the last axis, which is that of the channels."""
    if isinstance(input, Seen):
        tokens = views.by_channels(r, input).node
        return replace(input, node=r.step(op, fields, (tokens,), tokens.shape, **weights))
    node = input.node if isinstance(input, Shown) and input.form == "last" else r.plain(input)
    if node is input and len(node.shape) == 4:
        raise Unsaid("a norm over the width of a map", r.path)
    made = r.step(op, fields, (node,), node.shape, **weights)
    return made if node is input else Shown(made, "last", input.shape)


def multi_head_attention_forward(
    r: Reader, query: Any, key: Any, value: Any, embed_dim: int, num_heads: int, *more: Any, **words: Any
) -> list[Any]:
    """Attention of tokens to themselves: one layer for queries, keys and values, and one after it."""
    names = ("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "weight", "bias")
    given = dict(zip(names, more))
    masks = [words.get(name) for name in ("attn_mask", "key_padding_mask")]
    odd = given["bias_k"] is not None or given["add_zero_attn"] or words.get("use_separate_proj_weight")
    if not (query is key is value) or odd or any(mask is not None for mask in masks) or given["dropout_p"]:
        raise Unsaid("attention of several tensors, with a mask, or with dropout", r.path)
    if not isinstance(query, Shown) or query.form != "turned":
        raise Unsaid("attention of tokens that are not [L, N, C]", r.path)
    n, count, width = query.node.shape
    three = linear(r, query.node, given["in_proj_weight"], given["in_proj_bias"])
    found = r.step("attention", {"heads": num_heads}, (three,), (n, count, width))
    made = linear(r, found, given["weight"], given["bias"])
    return [Shown(made, "turned", query.shape)]


def local_response_norm(
    r: Reader, input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Node:
    return r.step("lrn", {"size": size, "alpha": alpha, "beta": beta, "k": k}, (input,), r.plain(input).shape)


def prelu(r: Reader, input: Any, weight: Any) -> Any:
    each = shape_of(weight) != (1,) or r.plain(input).channels == 1
    return r.step("prelu", {"per_channel": each}, (input,), r.plain(input).shape, weight=weight)
