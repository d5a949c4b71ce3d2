"""What scales and shifts each channel, be it a batch norm, somebody's own one or a product, goes into the weights."""

from __future__ import annotations

import copy
import operator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archdsl.inference.layers import BatchNorm
from archdsl.inference.notes import Notes, note
from archdsl.inference.taken import convolution, replace
from archdsl.inference.trace import add, given, module, sweep, tensor

ARGUMENTS = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
KINDS: dict[object, str] = {
    operator.mul: "mul", operator.imul: "mul", torch.mul: "mul", "mul": "mul",
    operator.add: "add", operator.iadd: "add", torch.add: "add", "add": "add",
    operator.sub: "sub", operator.isub: "sub", torch.sub: "sub", "sub": "sub",
    operator.truediv: "div", torch.div: "div", "div": "div",
}  # fmt: skip
CLOSE = 1e-4  # of the largest value: two ways to compute one convolution in float32


class Scaling(NamedTuple):
    """scale * x + shift by channel, of one number or one a channel; `dtype` is None for numbers, which have none."""

    source: fx.Node
    scale: torch.Tensor
    shift: torch.Tensor
    dtype: torch.dtype | None
    what: str

    def fits(self, channels: int, dtype: torch.dtype) -> bool:
        """Say whether it leaves the number of channels and the type as they are."""
        return max(self.scale.numel(), self.shift.numel()) in (1, channels) and self.dtype in (None, dtype)

    def of(self, channels: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and shift of each channel, where a tensor is, in float32 at least."""
        kind = torch.promote_types(like.dtype, torch.float32)
        scale, shift = (value.to(like.device, kind).expand(channels) for value in (self.scale, self.shift))
        return scale, shift


# -------------------------------------------------------------------------------------------------- batch norms
def affine(norm: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scale and shift of a batch norm in evaluation, computed in float64, in float32 at least."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    kind = torch.promote_types(norm.running_mean.dtype, torch.float32)
    return scale.to(kind), shift.to(kind)


def batch_norm(graph: fx.GraphModule, node: object) -> nn.BatchNorm2d | None:
    """Return the batch norm that a node is, if it is one of maps with statistics of its own."""
    called = module(graph, node)
    return called if isinstance(called, nn.BatchNorm2d) and called.running_mean is not None else None


def take_norms(graph: fx.GraphModule) -> None:
    """Give every call of the function, which is what other people's batch norms come to, a layer."""
    for number, node in enumerate(list(graph.graph.nodes)):
        if node.op != "call_function" or node.target is not F.batch_norm:
            continue
        by_name = given(node, ARGUMENTS)
        tensors = {name: tensor(graph, by_name.get(name)) for name in ARGUMENTS[1:5]}
        known = all((value is None) == (by_name.get(name) is None) for name, value in tensors.items())
        if not known or by_name.get("training") or tensors["running_mean"] is None or tensors["running_var"] is None:
            continue
        maps = _drop_checks(by_name["input"])
        layer = _norm(tensors, float(by_name.get("eps", 1e-5)), nn.BatchNorm2d if maps else BatchNorm)
        with graph.graph.inserting_before(node):
            made = graph.graph.call_module(add(graph, f"norm{number}", layer), (by_name["input"],))
        replace(node, made)
    sweep(graph)


def _norm(tensors: dict[str, torch.Tensor | None], eps: float, kind: type[nn.BatchNorm2d]) -> nn.BatchNorm2d:
    mean, variance, weight, bias = tensors.values()
    assert mean is not None
    layer = kind(len(mean), eps, affine=False, device="meta")
    layer.running_mean, layer.running_var, layer.num_batches_tracked = mean, variance, None
    layer.weight = None if weight is None else nn.Parameter(weight, False)
    layer.bias = None if bias is None else nn.Parameter(bias, False)
    return layer


def _drop_checks(x: fx.Node) -> bool:
    """Remove questions whether a value has four axes, which the layer asks itself; say whether there were any."""
    asked = False
    for user in list(x.users):
        if user.target != "dim" and (user.target is not getattr or user.args[1:] != ("ndim",)):
            continue
        equal = [u for u in user.users if u.target is operator.eq and u.args == (user, 4)]
        checks = [check for test in equal for check in test.users if check.target is torch._assert]
        for check in checks:
            check.graph.erase_node(check)
        asked = asked or bool(checks)
    if asked:
        for user in list(x.users):  # what only the checks have read, their messages too
            _drop_unread(user)
    return asked


def _drop_unread(node: fx.Node) -> None:
    for user in list(node.users):
        if user.target is operator.eq:
            _drop_unread(user)
    if not node.users and (node.target in (getattr, operator.eq) or node.target == "dim"):
        node.graph.erase_node(node)


# -------------------------------------------------------------------------------------------------- any scaling
def scaling(graph: fx.GraphModule, node: fx.Node) -> Scaling | None:
    """Return what a step does to each channel, if it scales and shifts it and does nothing else."""
    norm = batch_norm(graph, node)
    if norm is not None:
        return Scaling(node.args[0], *affine(norm), norm.running_mean.dtype, "batch norms folded")
    kind = KINDS.get(node.target) if node.op in ("call_function", "call_method") else None
    if kind is None or node.kwargs or len(node.args) != 2:
        return None
    for x, other in (node.args, node.args[::-1]):
        value = _by_channel(graph, other)
        if isinstance(x, fx.Node) and x.op != "get_attr" and value is not None:
            dtype = None if isinstance(other, (int, float)) else value.dtype
            found = _arithmetic(kind, value.double(), x is not node.args[0])
            return None if found is None else Scaling(x, *found, dtype, "scales and shifts folded")
    return None


def _arithmetic(kind: str, value: torch.Tensor, swapped: bool) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return scale and shift of `x kind value`, or of `value kind x` where they are swapped."""
    one, zero = torch.ones_like(value), torch.zeros_like(value)
    if kind == "add":
        return one, value
    if kind == "sub":
        return (-one, value) if swapped else (one, -value)
    if kind == "mul":
        return value, zero
    return None if swapped else (1 / value, zero)


def _by_channel(graph: fx.GraphModule, value: object) -> torch.Tensor | None:
    """Return the values of channels that an operand has: a number, or a tensor [C, 1, 1] or [1, C, 1, 1]."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return torch.tensor([float(value)], dtype=torch.float64)
    found = tensor(graph, value)
    if found is None or not found.is_floating_point():
        return None
    shape = tuple(found.shape)
    fits = shape == () or (len(shape) in (3, 4) and shape[-2:] == (1, 1) and (len(shape) == 3 or shape[0] == 1))
    return found.reshape(-1) if fits else None


# -------------------------------------------------------------------------------------------------- into weights
def fold_after(graph: fx.GraphModule, node: fx.Node, notes: Notes) -> bool:
    """Fold what scales and shifts the result of a convolution, its only reader, into the weights, if a node does."""
    found = scaling(graph, node)
    if found is None or len(found.source.users) != 1:
        return False
    conv = convolution(graph, found.source)
    if conv is not None:
        channels = conv.weight.shape[0]
        if not found.fits(channels, conv.dtype):
            return False
        conv.scale_out(*found.of(channels, conv.weight))
    elif not _fold_elsewhere(graph, found):
        return False
    replace(node, found.source)
    note(notes, f"{found.what} into the convolution before")
    return True


def _fold_elsewhere(graph: fx.GraphModule, found: Scaling) -> bool:
    """Fold into a transposed convolution, or into somebody's own kind of convolution; say whether it did."""
    if found.source.op != "call_module":
        return False
    layer = graph.get_submodule(str(found.source.target))
    transposed = isinstance(module(graph, found.source), nn.ConvTranspose2d)
    own = isinstance(layer, nn.Conv2d) and module(graph, found.source) is None
    if not (transposed or own) or not found.fits(layer.out_channels, layer.weight.dtype):
        return False
    scale, shift = found.of(layer.out_channels, layer.weight)
    made = _scaled(layer, scale, shift, transposed)
    if own and not _does_that(layer, made, scale, shift):
        return False
    found.source.target = add(graph, f"scaled_{found.source.name}", made)
    return True


@torch.no_grad()
def _scaled(
    layer: nn.Conv2d | nn.ConvTranspose2d, scale: torch.Tensor, shift: torch.Tensor, transposed: bool
) -> nn.Module:
    """Return a copy of a layer with weights [OUT, IN, ...], or [IN, OUT, ...] of a transposed one, and bias scaled."""
    made, kind = copy.deepcopy(layer), layer.weight.dtype
    weight = layer.weight.to(scale.dtype)
    if transposed:
        groups = layer.groups
        parts = weight.unflatten(0, (groups, -1)) * scale.view(groups, 1, -1, 1, 1)
        weight = parts.flatten(0, 1)
    else:
        weight = weight * scale.view(-1, 1, 1, 1)
    bias = shift if layer.bias is None else layer.bias * scale + shift
    made.weight, made.bias = nn.Parameter(weight.to(kind), False), nn.Parameter(bias.to(kind), False)
    return made


@torch.no_grad()
def _does_that(layer: nn.Conv2d, made: nn.Module, scale: torch.Tensor, shift: torch.Tensor) -> bool:
    """Say whether a layer with scaled weights gives scaled results: it is run, on inputs of several sizes and scales.

    So it is for timm's convolutions that pad as TensorFlow does, and not for one that standardizes its weights.
    """
    if layer.weight.device.type == "meta" or layer._forward_hooks or layer._forward_pre_hooks:
        return False
    generator = torch.Generator().manual_seed(0)
    try:
        for height, width, size in ((33, 40, 1.0), (40, 33, -100.0), (48, 47, 0.0)):
            x = size * torch.randn(2, layer.in_channels, height, width, generator=generator)
            x = x.to(layer.weight.device, layer.weight.dtype)
            expected = layer(x).to(scale.dtype) * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
            error = (made(x) - expected).abs().max()
            if not error <= CLOSE * expected.abs().max().clamp(min=1e-6):
                return False
    except Exception:  # whatever somebody's layer says to an input that is not one of its network
        return False
    return True
