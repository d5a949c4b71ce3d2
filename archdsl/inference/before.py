"""What computes the input of a 1x1 convolution goes into its pass, where a kernel takes both.

    a clamp             all that is left of a norm and a ReLU (DenseNet)
    a product           of a map with one value for each channel: squeeze-and-excite (EfficientNet, MobileNet v3)
    a depthwise one     the convolution before that of a MobileNet's block

The depthwise convolution is computed once, so the 1x1 convolution may have as many results as one program holds, 128;
and its window has 9 taps at most, for larger ones take all the instructions that moving fewer bytes would save.
"""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from archdsl.codegen.kernels import POINTWISE, SEPARABLE, Entry
from archdsl.codegen.measured import possible
from archdsl.inference.layers import Clamp, Conv2d, Gate, Joined, at_once
from archdsl.inference.notes import Notes
from archdsl.inference.taken import convolution
from archdsl.inference.trace import activation, add, is_call, module, sweep

PRODUCTS = (operator.mul, torch.mul)


def join(graph: fx.GraphModule, notes: Notes, kernels: str) -> None:
    """Join 1x1 convolutions with what they alone read; kernels as `optimize` takes them."""
    taken = [kernel for kernel in (POINTWISE, SEPARABLE) if possible(kernels, kernel.operation)]
    for node in list(graph.graph.nodes) if taken else ():
        conv = convolution(graph, node)
        if conv is None or not conv.pointwise or len(node.args[0].users) > 1 or node.args[0] in node.args[1:]:
            continue
        what, before, inputs = _before(graph, node.args[0], conv, taken)
        if before is None:
            continue
        name = add(graph, f"joined_{node.name}", Joined(before, conv, len(inputs)))
        with graph.graph.inserting_before(node):
            made = graph.graph.call_module(name, (*inputs, *node.args[1:]))
        node.replace_all_uses_with(made)
        graph.graph.erase_node(node)
        notes[what] = notes.get(what, 0) + 1
    sweep(graph)


def _before(
    graph: fx.GraphModule, node: fx.Node, conv: Conv2d, taken: list[Entry]
) -> tuple[str, nn.Module | None, tuple[fx.Node, ...]]:
    """Return what to call it, the layer that goes before a convolution, and what it reads; no layer where none does."""
    called = module(graph, node)
    if isinstance(called, Conv2d) and SEPARABLE in taken and len(node.args) == 1 and at_once(called, conv):
        return "depthwise and 1x1 convolutions joined", called, node.args
    if isinstance(called, Clamp) and POINTWISE in taken:
        return "clamps put before a 1x1 convolution, in its pass", called, node.args
    pair = _gated(graph, node)
    if pair is not None and POINTWISE in taken:
        return "gates put before a 1x1 convolution, in its pass", Gate(), pair
    return "", None, ()


def _gated(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Return a map and its gate where a node multiplies these."""
    if node.op != "call_function" or node.target not in PRODUCTS or node.kwargs or len(node.args) != 2:
        return None
    for x, gate in (node.args, node.args[::-1]):
        if isinstance(x, fx.Node) and _one_a_channel(graph, gate):
            return x, gate
    return None


def _one_a_channel(graph: fx.GraphModule, node: object) -> bool:
    """Say whether a value has one pixel: it was pooled to that, and only 1x1 convolutions and activations follow."""
    while isinstance(node, fx.Node):
        conv = convolution(graph, node)
        if not (conv is not None and conv.pointwise) and activation(graph, node) is None:
            return _pools_all(graph, node)
        node = node.args[0]
    return False


def _pools_all(graph: fx.GraphModule, node: fx.Node) -> bool:
    called = module(graph, node)
    if called is not None:
        return isinstance(called, nn.AdaptiveAvgPool2d) and called.output_size in (1, (1, 1), [1, 1])
    if node.op == "call_function" and node.target is F.adaptive_avg_pool2d:
        return len(node.args) == 2 and node.args[1] in (1, (1, 1), [1, 1])
    return is_call(node, "mean", (2, 3)) and node.kwargs == {"keepdim": True}
