"""The optimized graph in PyTorch's own layers, for engines that bring kernels and layouts of their own.

What is known of the whole network stays: norms in weights, pools before convolutions, shuffles as the order of
channels. What only PyTorch on a CPU gains from does not: an engine puts activations and additions into the pass of a
convolution by itself, and a buffer that grows is written in place, which ONNX has no word for.
"""

from __future__ import annotations

import copy
import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from archdsl.inference.channels import arrange
from archdsl.inference.fold import fold
from archdsl.inference.layers import Conv2d, Gather, MaxPool2d
from archdsl.inference.notes import Notes
from archdsl.inference.trace import add, module, trace
from archdsl.inference.widen import widen

FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
}


class Cat(nn.Module):
    """Channels of several maps side by side: `pieces` are (which map, first channel, one past the last)."""

    def __init__(self, pieces: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return torch.cat([xs[i][:, start:stop] for i, start, stop in self.pieces], 1)


def portable(model: nn.Module, engine: str = "torch") -> tuple[fx.GraphModule, Notes]:
    """Return what a module computes in evaluation, in layers of PyTorch's, for an engine, and what was done for it.

    Its weights are its own; the module stays as it is.
    """
    graph = trace(model)
    notes: Notes = {}
    fold(graph, notes, clamps=engine != "onnxruntime")
    arrange(graph, notes, growing=False)
    if engine == "onnxruntime":  # it blocks channels by eight or sixteen, and runs what is not whole blocks apart
        widen(graph, notes)
    for node in list(graph.graph.nodes):
        called = module(graph, node)
        if isinstance(called, Conv2d):
            _unfuse(graph, node, called)
        elif isinstance(called, Gather):
            node.target = add(graph, f"cat_{node.name}", Cat(called.pieces))
        elif isinstance(called, MaxPool2d):
            node.target = add(graph, f"max_{node.name}", _max_pool(called))
    graph.delete_all_unused_submodules()
    graph.graph.lint()
    graph.recompile()
    own = copy.deepcopy(graph)  # what nothing was folded into is the model's until here
    return own.eval().requires_grad_(False), notes


def _unfuse(graph: fx.GraphModule, node: fx.Node, layer: Conv2d) -> None:
    """Replace a convolution with what follows it by PyTorch's convolution, addition and activation."""
    name = add(graph, f"plain_{node.name}", _convolution(layer))
    with graph.graph.inserting_before(node):
        made = graph.graph.call_module(name, node.args[:1])
        if len(node.args) > 1:
            made = graph.graph.call_function(operator.add, (made, node.args[1]))
        if layer.act == "leaky_relu":
            made = graph.graph.call_function(F.leaky_relu, (made, layer.slope))
        elif layer.act in ("gelu", "gelu_tanh"):
            how = "tanh" if layer.act == "gelu_tanh" else "none"
            made = graph.graph.call_function(F.gelu, (made,), {"approximate": how})
        elif layer.act != "none":
            made = graph.graph.call_function(FUNCTIONS[layer.act], (made,))
    node.replace_all_uses_with(made)
    graph.graph.erase_node(node)


def _convolution(layer: Conv2d) -> nn.Conv2d:
    out, depth, *kernel = layer.weight.shape
    with torch.device("meta"):
        where = (layer.stride, layer.padding, layer.dilation, layer.groups)
        made = nn.Conv2d(depth * layer.groups, out, tuple(kernel), *where)
    made.weight = nn.Parameter(layer.weight.to(layer.dtype).contiguous(), False)
    made.bias = nn.Parameter(layer.bias.to(layer.dtype).contiguous(), False)
    return made


def _max_pool(pool: MaxPool2d) -> nn.MaxPool2d:
    return nn.MaxPool2d(pool.kernel_size, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.ceil_mode)
