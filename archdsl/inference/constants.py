"""What does not depend on the input, such as a weight that is standardized in every call, is computed once."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from archdsl.inference.notes import Notes, note
from archdsl.inference.trace import sweep, tensor, writes

FUNCTIONS = {
    operator.add, operator.sub, operator.mul, operator.truediv, operator.neg, operator.pow, operator.getitem,
    torch.add, torch.sub, torch.mul, torch.div, torch.neg, torch.pow, torch.rsqrt, torch.sqrt, torch.exp, torch.abs,
    torch.mean, torch.sum, torch.var, torch.reshape, torch.transpose, torch.permute, torch.unsqueeze, torch.cat,
    torch.sigmoid, torch.var_mean, F.normalize, F.batch_norm,
}  # fmt: skip
METHODS = {
    "add", "sub", "mul", "div", "neg", "pow", "rsqrt", "sqrt", "exp", "abs", "mean", "sum", "var", "reshape", "view",
    "transpose", "permute", "unsqueeze", "squeeze", "flatten", "contiguous", "reshape_as", "view_as", "sigmoid",
    "float",
}  # fmt: skip
MOST = 2**20  # elements of what is kept, where it has more than what it is computed from


def compute_constants(graph: fx.GraphModule, notes: Notes) -> None:
    """Replace what is computed of parameters and buffers alone by what it is now."""
    sweep(graph)
    known: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            value = tensor(graph, node)
        elif not node.all_input_nodes or not all(source in known for source in node.all_input_nodes):
            continue
        elif writes(graph, node):
            return  # then what is read later is another value
        else:
            value = _computed(node, known)
        if value is not None:
            known[node] = value
    for number, node in enumerate(list(known)):
        if node.op != "get_attr" and isinstance(known[node], torch.Tensor) and not node.users.keys() <= known.keys():
            _keep(graph, node, known[node], f"constant{number}")
            note(notes, "steps that no input reaches computed once")
    sweep(graph)


@torch.no_grad()
def _computed(node: fx.Node, known: dict[fx.Node, Any]) -> Any:
    """Return what a step of known values gives, if it is one that gives the same in every call."""
    args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
    if node.op == "call_function" and node.target in FUNCTIONS:
        value = node.target(*args, **kwargs)
    elif node.op == "call_method" and node.target in METHODS:
        value = getattr(args[0], str(node.target))(*args[1:], **kwargs)
    else:
        return None
    sizes = [known[source].numel() for source in node.all_input_nodes if isinstance(known[source], torch.Tensor)]
    large = isinstance(value, torch.Tensor) and value.numel() > max([MOST, *sizes])
    return None if large else value


def _keep(graph: fx.GraphModule, node: fx.Node, value: torch.Tensor, name: str) -> None:
    """Let what reads a step read a buffer."""
    while hasattr(graph, name):
        name += "_"
    graph.register_buffer(name, value.clone())
    with graph.graph.inserting_before(node):
        node.replace_all_uses_with(graph.graph.get_attr(name))
