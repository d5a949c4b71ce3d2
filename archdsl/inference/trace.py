"""A module as a graph of calls, and what the calls are, whether written as modules or as functions."""

from __future__ import annotations

import copy
import inspect
import operator
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

Act = tuple[str, float]  # the name of an activation, and the slope of leaky_relu

ABSENT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)
ACTIVATIONS: dict[object, str] = {
    nn.ReLU: "relu", F.relu: "relu", torch.relu: "relu",
    nn.ReLU6: "relu6", F.relu6: "relu6",
    nn.SiLU: "silu", F.silu: "silu",
    nn.Hardswish: "hardswish", F.hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid", F.hardsigmoid: "hardsigmoid",
    nn.Sigmoid: "sigmoid", torch.sigmoid: "sigmoid", F.sigmoid: "sigmoid",
    nn.GELU: "gelu", F.gelu: "gelu",
    nn.LeakyReLU: "leaky_relu", F.leaky_relu: "leaky_relu",
}  # fmt: skip
IN_PLACE = {"iadd", "isub", "imul", "itruediv", "setitem"}
OURS = ("archdsl.inference", "archdsl.kernels")
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
POOL_FUNCTIONS = (F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.max_pool2d)
ADDITIONS = (operator.add, operator.iadd, torch.add)


class Tracer(fx.Tracer):
    """Follows a module into its blocks, and takes PyTorch's layers and all of `archdsl.kernels` as they are.

    A block that decides by values, such as a solver that chooses its steps, is taken as it is, too.
    """

    def __init__(self) -> None:
        self.kept: list[str] = []  # blocks that could not be followed
        kernels = sys.modules.get("archdsl.kernels")  # only a network that uses them has imported them
        names = kernels.__all__ if kernels is not None else ()
        super().__init__(autowrap_functions=tuple(f for n in names if not isinstance(f := getattr(kernels, n), type)))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m).__module__.startswith("archdsl.kernels") or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        nodes, depth = set(self.graph.nodes), len(self.module_stack)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:  # whatever a `forward` says to values that are not there yet
            while len(self.module_stack) > depth:
                self.module_stack.popitem()
            for node in reversed(self.graph.nodes):
                if node not in nodes and node.op != "get_attr":  # parameters found on the way may be known by now
                    self.graph.erase_node(node)
            self.kept.append(self.path_of_module(m))
            return self.create_proxy("call_module", self.kept[-1], args, kwargs)


def trace(model: nn.Module) -> fx.GraphModule:
    """Return what a module computes in evaluation, as a graph over the same parameters, and copies of its buffers.

    The module itself is left as it is. Inputs that have a default, such as a mask that may be None, have it in the
    graph, and are no inputs of it. A block whose `forward` decides by values, not by shapes, is one step of the graph.
    Its `meta` has the names of such blocks, "kept", of all inputs, "names", and the "defaults" by name. Raises
    `TypeError` where the `forward` of the whole decides so.
    """
    with torch.inference_mode(False):  # whose tensors do not say whether they were written
        buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    shared = {id(t): buffers[name] for name, t in model.named_buffers()} | {id(t): t for t in model.parameters()}
    versions = {name: buffer._version for name, buffer in buffers.items()}
    model = copy.deepcopy(model, shared).eval()  # a copy of the structure, not of the weights
    for part in model.modules():
        if isinstance(part, _BatchNorm) and not _is_pytorchs(part):
            part.__dict__["_check_input_dim"] = _any_input  # a question to values that are not there yet
    tracer = Tracer()
    defaults = _defaults(model)
    try:
        graph = tracer.trace(model, dict(defaults))
    except Exception as problem:  # whatever a `forward` says to values that are not there yet
        raise TypeError(f"{type(model).__name__} cannot be optimized: {problem}") from problem
    for name, buffer in buffers.items():
        if buffer._version != versions[name]:
            raise TypeError(f"{type(model).__name__} cannot be optimized: it writes into its buffer `{name}`")
    _take_out(graph, defaults)
    for node in graph.nodes:
        node.type = None  # annotations that are texts cannot be pickled
    made = fx.GraphModule(model, graph, type(model).__name__)
    made.meta.update(kept=tracer.kept, defaults=defaults, names=list(_inputs(model)))
    return made


def _any_input(x: object) -> None:
    """Take an input of any number of axes."""


def _defaults(model: nn.Module) -> dict[str, Any]:
    """Return the inputs of a module that have a default which is one value, and no tensor."""
    kinds = (type(None), bool, int, float, str)
    return {name: p.default for name, p in _inputs(model).items() if type(p.default) in kinds}


def _inputs(model: nn.Module) -> dict[str, inspect.Parameter]:
    """Return the inputs of a module by name, but for those that may be of any number."""
    found = list(inspect.signature(inspect.unwrap(type(model).forward)).parameters.values())[1:]
    return {p.name: p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def _take_out(graph: fx.Graph, defaults: dict[str, Any]) -> None:
    """Remove inputs that have their default, and the tests for it that torch.fx has written."""
    own = {f"{name}_1" for name in defaults}
    for node in [node for node in graph.nodes if node.op == "placeholder" and node.target in own and node.args]:
        found = [node]
        for reader in found:
            found += reader.users
        for reader in reversed(found):
            graph.erase_node(reader)


def _is_pytorchs(layer: nn.Module) -> bool:
    """Say whether a module is of a class of PyTorch's own, which says what it computes."""
    return type(layer).__module__.startswith("torch.nn.")


def module(graph: fx.GraphModule, node: object) -> nn.Module | None:
    """Return the module that a node calls, if it calls one whose class says what it computes.

    That of somebody else's subclass does not, nor that of a layer with hooks.
    """
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    called = graph.get_submodule(str(node.target))
    known = _is_pytorchs(called) or type(called).__module__.startswith(OURS)
    hooks = called._forward_hooks or called._forward_pre_hooks
    return called if known and not hooks else None


def tensor(graph: fx.GraphModule, node: object) -> torch.Tensor | None:
    """Return the parameter or buffer that a node is, if it is one."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    owner, _, last = str(node.target).rpartition(".")
    value = getattr(graph.get_submodule(owner), last)
    return value.detach() if isinstance(value, torch.Tensor) else None


def given(node: fx.Node, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of a call by their names."""
    return dict(zip(names, node.args)) | node.kwargs


def writes(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether a step writes over its operand."""
    if node.op == "call_module":
        return bool(getattr(graph.get_submodule(str(node.target)), "inplace", False))
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    named = name.endswith("_") and not name.endswith("__")
    return named or name in IN_PLACE or node.kwargs.get("inplace") is True


def sweep(graph: fx.GraphModule) -> None:
    """Remove what nobody reads, but for what writes over its operand, which somebody may read."""
    graph.graph.eliminate_dead_code(lambda node: node.is_impure() or writes(graph, node))


def add(graph: fx.GraphModule, name: str, layer: nn.Module) -> str:
    """Give a graph a further module, and return its name: the one that was wished, or a free one like it."""
    while hasattr(graph, name):
        name += "_"
    graph.add_submodule(name, layer)
    return name


def activation(graph: fx.GraphModule, node: object) -> Act | None:
    """Return which activation a node is, if it is one."""
    called = module(graph, node)
    if called is not None and type(called) in ACTIVATIONS:
        return _named(
            ACTIVATIONS[type(called)], getattr(called, "approximate", ""), getattr(called, "negative_slope", 0.0)
        )
    if isinstance(node, fx.Node) and node.op == "call_function" and node.target in ACTIVATIONS:
        slope = node.args[1] if len(node.args) > 1 else node.kwargs.get("negative_slope", 0.01)
        return _named(ACTIVATIONS[node.target], node.kwargs.get("approximate", ""), slope)
    return None


def _named(name: str, approximate: object, slope: object) -> Act:
    if name == "gelu" and approximate == "tanh":
        return "gelu_tanh", 0.0
    return name, float(slope) if name == "leaky_relu" and isinstance(slope, (int, float)) else 0.0


def is_pool(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether a node pools each channel by itself, and returns the result alone, without its positions."""
    called = module(graph, node)
    if isinstance(called, POOLS):
        return not getattr(called, "return_indices", False)
    return node.op == "call_function" and node.target in POOL_FUNCTIONS and not node.kwargs.get("return_indices")


def addends(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Return the two tensors that a node adds, if it does that and nothing more."""
    if node.op != "call_function" or node.target not in ADDITIONS or node.kwargs or len(node.args) != 2:
        return None
    left, right = node.args
    return (left, right) if isinstance(left, fx.Node) and isinstance(right, fx.Node) else None


def is_call(node: object, name: str, *args: object) -> bool:
    """Say whether a node calls this method with these arguments after the tensor."""
    return isinstance(node, fx.Node) and node.op == "call_method" and node.target == name and node.args[1:] == args


def shuffled(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, int] | None:
    """Return what a channel shuffle shuffles and by how many groups, if a node is one."""
    called = module(graph, node)
    if called is not None and type(called).__name__ == "ChannelShuffle":  # PyTorch's or ours
        return node.all_input_nodes[0], int(called.groups)
    if node.op == "call_function" and getattr(node.target, "__name__", "") == "channel_shuffle":
        groups = node.args[1] if len(node.args) > 1 else node.kwargs["groups"]
        return node.all_input_nodes[0], int(groups)
    if not is_call(node, "flatten", 1, 2):
        return None
    swap = node.args[0]
    if not is_call(swap, "transpose", 1, 2):
        return None
    split = swap.args[0]
    if not (isinstance(split, fx.Node) and is_call(split, "unflatten", 1, split.args[2])):
        return None
    source, sizes = split.args[0], split.args[2]
    if not isinstance(source, fx.Node) or not isinstance(sizes, tuple) or len(sizes) != 2 or sizes[1] != -1:
        return None
    return source, int(sizes[0])


def is_cat(node: object) -> bool:
    """Say whether a node concatenates channels."""
    if not isinstance(node, fx.Node) or node.op != "call_function" or node.target is not torch.cat:
        return False
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    return dim == 1 and isinstance(node.args[0], (list, tuple))
