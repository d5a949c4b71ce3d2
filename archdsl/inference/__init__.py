"""Networks made for inference: each tensor moved once.

trace     a module as a graph of calls
constants what no input reaches, once
taken     convolutions as layers of ours
scale     norms and whatever else scales channels into weights
parallel  convolutions of one map, added up, as one
fold      all of these, and activations and additions into the pass of a convolution
channels  concatenations, splits and shuffles as the order of channels
scatter   what has to be gathered is written where it is read
widen     channels in whole vectors
before    what computes the input of a 1x1 convolution, in its pass
layers    what the optimized network consists of
portable  the same in PyTorch's own layers, for other engines
engines   ONNX Runtime and OpenVINO
cuda_graph a run on a GPU as one launch
traffic   the bytes that it moves
left      what none of this could change, and why
optimized the module that all of it makes
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import overload

import torch
import torch.nn.functional as F
from torch import fx, nn

from archdsl.codegen.kernels import POINTWISE, SCATTER
from archdsl.codegen.measured import known_choice, possible
from archdsl.inference.before import join
from archdsl.inference.channels import arrange
from archdsl.inference.engines import CHOICES, NEEDS, installed, require
from archdsl.inference.engines.module import Deployed, Fastest
from archdsl.inference.fold import fold, overwrite
from archdsl.inference.layers import Centered, ChannelsLast, Conv2d, MaxPool2d
from archdsl.inference.left import left
from archdsl.inference.notes import Notes
from archdsl.inference.optimized import Optimized
from archdsl.inference.portable import portable
from archdsl.inference.scatter import scatter
from archdsl.inference.trace import add, given, module, sweep, trace
from archdsl.inference.widen import widen


@overload
def optimize(model: nn.Module, *, kernels: str = ..., cuda_graphs: bool = ..., verbose: bool = ...) -> Optimized: ...
@overload
def optimize(
    model: nn.Module, *, engine: str, kernels: str = ..., cuda_graphs: bool = ..., verbose: bool = ...
) -> Optimized | Deployed | Fastest: ...
def optimize(
    model: nn.Module, *, engine: str = "torch", kernels: str = "auto", cuda_graphs: bool = True, verbose: bool = False
) -> Optimized | Deployed | Fastest:
    """Return a module for inference that computes what `model` computes in evaluation, and moves less memory.

    >>> import archdsl, torch
    >>> model = archdsl.load("mobilenet_v2").eval()
    >>> fast = archdsl.optimize(model)
    >>> x = torch.randn(1, 3, 224, 224)
    >>> with torch.inference_mode():
    ...     torch.testing.assert_close(fast(x), model(x), rtol=1e-4, atol=1e-4)

    Batch norms, and all else that scales channels, go into the weights of their convolutions, parallel convolutions
    become one, activations and additions go into the pass of a convolution, concatenations, splits and shuffles into
    the order of channels; everything is channels_last. What a layer does decides, not its class: other people's
    subclasses are followed, and left as they are where they cannot be. The model is left as it is, and the result has
    weights of its own. On a CPU oneDNN runs the fused convolutions. On a GPU `kernels` says
    where Triton's run: "auto" where `archdsl.codegen.measured` has a measurement that they win, "all" wherever they
    can, "none" nowhere; move the model there first, for some of what it decides is decided once. There the second call
    with inputs of one size, and every further one, replays a CUDA graph, for up to eight sizes; without `cuda_graphs`
    kernels are started one by one. `verbose` prints what was fused, and what was not and why, as `report()` says later.

    An input of `forward` with a default, such as a mask that may be None, keeps it: a call that gives another value is
    a `TypeError`, and a module whose `forward` gives one may be optimized instead. A block that decides by values, such
    as a solver that chooses its steps, stays as it is, and what surrounds it is optimized. Raises `TypeError` for a
    module whose own `forward` decides so, or which writes into its buffers.

    On a CPU, in float32, another `engine` may run it: "onnxruntime" or "openvino", which are prepared when inputs of
    a shape come for the first time; "auto" takes the fastest that is installed, by a measurement of a second on the
    first inputs, and its `report()` says which and why (docs/deploy.md). Raises `CompileError` where an engine is not
    installed.

    >>> served = archdsl.optimize(model, engine="auto")
    >>> y = served(x)  # doctest: +SKIP
    >>> print(served.report())  # doctest: +SKIP
    """
    known_choice(kernels)
    if engine not in CHOICES:
        raise ValueError(f"`engine` is one of {', '.join(CHOICES)}, not {engine!r}")
    with _no_collections():
        made = _made(model, engine, kernels, cuda_graphs)
    if verbose:
        print(made.report() if isinstance(made, Fastest) else "\n".join(made.done()))
    return made


def _made(model: nn.Module, engine: str, kernels: str, cuda_graphs: bool) -> Optimized | Deployed | Fastest:
    """Return a module for an engine."""
    if engine == "torch":
        return _optimized(model, kernels, cuda_graphs)
    if engine != "auto":
        require(engine)
        return _elsewhere(model, engine)
    others = {name: _elsewhere(model, name) for name in NEEDS if installed(name) and _plain(model)}
    return Fastest({"torch": _optimized(model, kernels, cuda_graphs), **others})


def _plain(model: nn.Module) -> bool:
    """Say whether a module is what other engines run: float32 on the CPU."""
    tensors = [t for t in model.state_dict().values() if t.is_floating_point()]
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def _elsewhere(model: nn.Module, engine: str) -> Deployed:
    return Deployed(engine, *portable(model, engine))


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile, of which there is little.

    A graph is many small objects, so the search starts 200 times for DenseNet-121, and a full one visits every object
    of the process: 0.4 s where there are five million.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _optimized(model: nn.Module, kernels: str, cuda_graphs: bool) -> Optimized:
    """Return the optimized network."""
    graph = trace(model)
    kept = len(graph.meta["kept"])
    fused: Notes = {"blocks left as they are, for they decide by values": kept} if kept else {}
    fold(graph, fused)
    arrange(graph, fused)
    gpu = any(t.is_cuda for t in model.state_dict().values())
    here = kernels if gpu or kernels == "all" else "none"
    if possible(here, SCATTER.operation):
        scatter(graph, fused)
    join(graph, fused, kernels)
    if possible(here, POINTWISE.operation):
        widen(graph, fused)
    overwrite(graph, fused)
    not_fused = left(graph)
    _finish(graph, kernels, {t.data_ptr() for t in chain(model.parameters(), model.buffers())})
    return Optimized(graph, fused, not_fused, cuda_graphs)


def _finish(graph: fx.GraphModule, kernels: str, shared: set[int]) -> None:
    """Start in channels_last, give what is left of the model memory of its own, and write the code."""
    start = add(graph, "channels_last", ChannelsLast())
    for node in list(graph.graph.nodes):
        if node.op == "placeholder":
            with graph.graph.inserting_after(node):
                made = graph.graph.call_module(start, (node,))
            node.replace_all_uses_with(made, delete_user_cb=lambda user, made=made: user is not made)
    _center(graph)
    sweep(graph)
    graph.delete_all_unused_submodules()
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            _own_tensor(graph, str(node.target))
        elif node.op == "call_module":
            _own_layer(graph, str(node.target), kernels, shared)
    graph.graph.lint()
    graph.recompile()
    graph.eval()


def _center(graph: fx.GraphModule) -> None:
    """Give group norms an input of which PyTorch computes them exactly."""
    names: dict[int, str] = {}
    for node in list(graph.graph.nodes):
        groups = _groups(graph, node)
        if groups:
            names[groups] = names.get(groups) or add(graph, f"centered_{groups}", Centered(groups))
            source = node.all_input_nodes[0]
            with graph.graph.inserting_before(node):
                node.replace_input_with(source, graph.graph.call_module(names[groups], (source,)))


def _groups(graph: fx.GraphModule, node: fx.Node) -> int:
    """Return how many groups a node norms, or none."""
    norm = module(graph, node)
    if isinstance(norm, nn.GroupNorm):
        return norm.num_groups
    groups = given(node, ("input", "num_groups")).get("num_groups") if node.target is F.group_norm else 0
    return groups if isinstance(groups, int) else 0


def _own_layer(graph: fx.GraphModule, name: str, kernels: str, shared: set[int]) -> None:
    """Give a layer of the graph weights of its own, and its convolutions the choice of kernels."""
    layer = graph.get_submodule(name)
    convolutions = [child for child in layer.modules() if isinstance(child, Conv2d)]
    if isinstance(layer, MaxPool2d):
        layer.kernels = kernels
    for conv in convolutions:
        conv.kernels = kernels
        conv.own(shared)
    if not convolutions and any(t.data_ptr() in shared for t in chain(layer.parameters(), layer.buffers())):
        graph.set_submodule(name, copy.deepcopy(layer).requires_grad_(False))


def _own_tensor(graph: fx.GraphModule, name: str) -> None:
    """Make a tensor that the `forward` of the model reads by itself a buffer of the graph's."""
    owner, _, last = name.rpartition(".")
    module = graph.get_submodule(owner)
    value = getattr(module, last)
    if isinstance(value, torch.Tensor):
        delattr(module, last)
        module.register_buffer(last, value.detach().clone())
