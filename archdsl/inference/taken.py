"""Convolutions as layers of ours, be they written as modules or as functions of weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from archdsl.inference.layers import Conv2d
from archdsl.inference.trace import add, given, module, tensor

ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def replace(node: fx.Node, by: fx.Node) -> None:
    """Let the readers of a node read another, and remove it."""
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)


def convolution(graph: fx.GraphModule, node: object) -> Conv2d | None:
    """Return the layer of a node that is a convolution of ours."""
    called = module(graph, node)
    return called if isinstance(called, Conv2d) else None


def take_convolutions(graph: fx.GraphModule) -> None:
    """Give every convolution a layer of its own, with weights of its own; shared weights become copies."""
    for node in list(graph.graph.nodes):
        conv = module(graph, node)
        if isinstance(conv, nn.Conv2d) and conv.padding_mode == "zeros" and not isinstance(conv.padding, str):
            node.target = add(graph, f"conv_{node.name}", Conv2d(conv))
        elif node.op == "call_function" and node.target is torch.conv2d:
            called = _called(graph, given(node, ARGUMENTS))
            if called is not None:
                with graph.graph.inserting_before(node):
                    made = graph.graph.call_module(add(graph, f"conv_{node.name}", called), node.args[:1])
                replace(node, made)


def _called(graph: fx.GraphModule, given: dict[str, Any]) -> Conv2d | None:
    """Return a layer for a call of the function, if it has weights and settings that are known."""
    weight, bias = tensor(graph, given.get("weight")), tensor(graph, given.get("bias"))
    where = [given.get(name, usual) for name, usual in zip(ARGUMENTS[3:], (1, 0, 1, 1))]
    plain = all(isinstance(size, int) for value in where for size in (value if isinstance(value, tuple) else (value,)))
    if weight is None or (bias is None and given.get("bias") is not None) or not plain or weight.dim() != 4:
        return None
    out, depth, *kernel = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(depth * where[3], out, (kernel[0], kernel[1]), *where, bias=bias is not None)
    conv.weight = nn.Parameter(weight, False)
    if bias is not None:
        conv.bias = nn.Parameter(bias, False)
    return Conv2d(conv)
