"""What `optimize` has left as it was, and why: for a report."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from archdsl.inference.layers import Conv2d, Joined
from archdsl.inference.taken import convolution
from archdsl.inference.trace import activation, addends, module

Left = dict[str, list[str]]  # what was left and why: the steps

LIVE = (nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.RMSNorm, nn.modules.instancenorm._InstanceNorm)
LIVE_FUNCTIONS = (F.layer_norm, F.group_norm, F.instance_norm, F.local_response_norm, F.rms_norm)
OTHER = (nn.ELU, nn.CELU, nn.SELU, nn.Mish, nn.PReLU, nn.Softplus, nn.Hardtanh, nn.Tanh, nn.LogSigmoid, nn.Softsign)
OTHER_FUNCTIONS = (F.elu, F.celu, F.selu, F.mish, F.prelu, F.softplus, F.hardtanh, torch.tanh, F.softsign)
SIZES = (getattr, operator.getitem, "size")


def left(graph: fx.GraphModule) -> Left:
    """Return the steps that were not fused, by what they are and why."""
    found: Left = {}
    for node in graph.graph.nodes:
        reason = next((why for ask in (_norm, _convolution, _activation, _addition) if (why := ask(graph, node))), "")
        if reason:
            found.setdefault(reason, []).append(str(node.target) if node.op == "call_module" else node.name)
    return found


def _called(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, whosever it is."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _norm(graph: fx.GraphModule, node: fx.Node) -> str:
    called = _called(graph, node)
    if isinstance(called, LIVE) or node.target in LIVE_FUNCTIONS:
        return "norms left: their statistics are those of the input"
    if not isinstance(called, _BatchNorm) and node.target is not F.batch_norm:
        return ""
    if called is None or called.running_mean is None:
        return "batch norms left: their statistics are those of the batch"
    if module(graph, node) is None:
        return "batch norms left: " + _strange(called)
    source = node.all_input_nodes[0]
    if not isinstance(_called(graph, source), (Conv2d, Joined, nn.Conv2d, nn.ConvTranspose2d)):
        return "batch norms left: no convolution before, nor only 1x1 ones after"
    if len(source.users) > 1:
        return "batch norms left: the convolution is read elsewhere, too"
    return "batch norms left: the convolution before is not one of PyTorch's"


def _strange(called: nn.Module) -> str:
    """Say why a layer's class does not say what it computes."""
    if called._forward_hooks or called._forward_pre_hooks:
        return "they have hooks"
    return "their class is somebody's own, and its `forward` decides by values"


def _convolution(graph: fx.GraphModule, node: fx.Node) -> str:
    called = _called(graph, node)
    if not isinstance(called, nn.Conv2d):
        return ""
    if module(graph, node) is None:
        return "convolutions left: " + _strange(called)
    return "convolutions left: their margin is not zeros, or is a word"


def _activation(graph: fx.GraphModule, node: fx.Node) -> str:
    if isinstance(module(graph, node), OTHER) or node.target in OTHER_FUNCTIONS:
        return "activations left: no convolution's pass knows them"
    if activation(graph, node) is None:
        return ""
    return _after(graph, node, "activations left: ", "what they read is no result of a convolution")


def _after(graph: fx.GraphModule, node: fx.Node, what: str, otherwise: str) -> str:
    """Say why a step did not go into the convolution before it."""
    source = node.all_input_nodes[0]
    called = module(graph, source)
    conv = called.conv if isinstance(called, Joined) else convolution(graph, source)
    if conv is None:
        return what + otherwise
    return what + ("the convolution is read elsewhere, too" if len(source.users) > 1 else "the convolution has another")


def _addition(graph: fx.GraphModule, node: fx.Node) -> str:
    pair = addends(node)
    if pair is None or any(operand.target in SIZES for operand in pair):
        return ""
    alone = [operand for operand in pair if convolution(graph, operand) is not None and len(operand.users) == 1]
    if alone:
        return "additions left: something is after the convolution already"
    return "additions left: neither operand is a convolution that they alone read"
