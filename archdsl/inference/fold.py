"""What surrounds a convolution goes into it: norms into its weights, activations and additions into its pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import fx, nn

from archdsl.inference.constants import compute_constants
from archdsl.inference.layers import CLIPS, Clamp, Conv2d, Joined, MaxPool2d
from archdsl.inference.notes import Notes, note
from archdsl.inference.parallel import merge
from archdsl.inference.scale import affine, batch_norm, fold_after, take_norms
from archdsl.inference.taken import convolution, replace, take_convolutions
from archdsl.inference.trace import ABSENT, ADDITIONS, activation, add, addends, is_pool, module


def fold(graph: fx.GraphModule, notes: Notes, clamps: bool = True) -> None:
    """Do all of it, in an order in which each step finds what the one before has left.

    Without `clamps`, norms before a convolution stay: ONNX Runtime runs them as a convolution with their ReLU, blocked
    as those around it, and a maximum by channel not.
    """
    drop_absent(graph)
    compute_constants(graph, notes)
    take_convolutions(graph)
    take_pools(graph)
    take_norms(graph)
    for node in list(graph.graph.nodes):  # a sum of parallel convolutions may have a norm after it, and that a sum
        if not fold_after(graph, node, notes):
            merge(graph, node, notes)
    if clamps:
        fold_norms_before(graph, notes)
    pool_first(graph, notes)
    fuse_epilogues(graph, notes)


def drop_absent(graph: fx.GraphModule) -> None:
    """Remove what does nothing in evaluation."""
    for node in list(graph.graph.nodes):
        if isinstance(module(graph, node), ABSENT) or (node.op == "call_function" and node.target is F.dropout):
            replace(node, node.args[0])
        elif (kept := _plus_zero(node)) is not None:
            replace(node, kept)


def _plus_zero(node: fx.Node) -> fx.Node | None:
    """Return what a step adds nothing to, as `sum` begins; none where another one could see it written over."""
    if node.op != "call_function" or node.target not in ADDITIONS or node.kwargs or len(node.args) != 2:
        return None
    for zero, x in (node.args, node.args[::-1]):
        if type(zero) is int and zero == 0 and isinstance(x, fx.Node) and len(x.users) == 1:
            return None if x.op in ("placeholder", "get_attr") else x
    return None


def take_pools(graph: fx.GraphModule) -> None:
    """Give every maximum of windows that leaves no indices a layer that knows a kernel."""
    for number, node in enumerate(list(graph.graph.nodes)):
        layer = _pool(graph, node)
        if layer is not None:
            name = add(graph, f"pool{number}", layer)
            with graph.graph.inserting_before(node):
                replace(node, graph.graph.call_module(name, node.args[:1]))


def _pool(graph: fx.GraphModule, node: fx.Node) -> MaxPool2d | None:
    """Return a layer that does what a node does, if it is a maximum of windows, as a module or as a function."""
    pool = module(graph, node)
    if isinstance(pool, nn.MaxPool2d) and not pool.return_indices:
        return MaxPool2d(pool.kernel_size, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.ceil_mode)
    if node.op != "call_function" or node.target not in (F.max_pool2d, torch.max_pool2d) or not node.args:
        return None
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    given = dict(zip(names, node.args[1:])) | node.kwargs
    plain = all(isinstance(value, (int, tuple)) or value is None for value in given.values())
    if not plain or given.pop("return_indices", False) or not set(given) <= set(names):
        return None
    return MaxPool2d(**given)


def fold_norms_before(graph: fx.GraphModule, notes: Notes) -> None:
    """Fold a batch norm before 1x1 convolutions into their weights; a ReLU between becomes a clamp by channel."""
    for node in list(graph.graph.nodes):
        norm = batch_norm(graph, node)
        if norm is None:
            continue
        last, clip = _clipped(graph, node)
        readers = [convolution(graph, user) for user in last.users]
        if not readers or not all(r is not None and _absorbs(r, last, u) for r, u in zip(readers, last.users)):
            continue
        scale, shift = affine(norm)
        if clip is not None:
            scale, shift, low, high = clamped(scale, shift, *clip)
            kind = norm.running_mean.dtype
            name = add(graph, f"clamp_{node.name}", Clamp(low.to(kind), high.to(kind)))
            with graph.graph.inserting_before(node):
                made = graph.graph.call_module(name, (node.args[0],))
            replace(last, made)
            graph.graph.erase_node(node)
        else:
            replace(node, node.args[0])
        for conv in readers:
            assert conv is not None
            conv.scale_in(scale, shift)
        note(notes, "batch norms folded into the 1x1 convolution after")


def _clipped(graph: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, tuple[float, float] | None]:
    """Return the ReLU after a norm, its only reader, and its limits; or the norm itself."""
    user = next(iter(node.users), None)
    act = activation(graph, user)
    if user is not None and len(node.users) == 1 and act is not None and act[0] in CLIPS:
        return user, CLIPS[act[0]]
    return node, None


def _absorbs(conv: Conv2d, source: fx.Node, reader: fx.Node) -> bool:
    return reader.args == (source,) and conv.groups == 1 and conv.weight.shape[2:] == (1, 1) and not any(conv.padding)


def clamped(
    scale: torch.Tensor, shift: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Write clip(scale * x + shift, low, high) as scale' * clamp(x, low', high') + shift', by channel.

    Returns scale', shift', low' and high'. Where the scale is 0, the result is a constant: shift' alone.
    """
    ends = torch.stack([(low - shift) / scale, (high - shift) / scale])
    constant = scale == 0
    lows, highs = ends.amin(0).masked_fill(constant, 0.0), ends.amax(0).masked_fill(constant, 0.0)
    return scale, torch.where(constant, shift.clamp(low, high), shift), lows, highs


def pool_first(graph: fx.GraphModule, notes: Notes) -> None:
    """Let an average of windows go before a 1x1 convolution: both are linear, and then there are fewer pixels."""
    for node in list(graph.graph.nodes):
        if not _averages(graph, node):
            continue
        source = node.args[0]
        conv = convolution(graph, source)
        if conv is None or len(source.users) > 1:
            continue
        if _absorbs(conv, source.args[0], source) and conv.stride == (1, 1):
            node.replace_input_with(source, source.args[0])
            node.replace_all_uses_with(source)
            source.replace_input_with(source.args[0], node)
            node.append(source)
            note(notes, "average pools put before a 1x1 convolution")


def _averages(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether a node averages windows that lie within the map and do not overlap the edge."""
    pool = module(graph, node)
    if isinstance(pool, nn.AvgPool2d):
        return pool.padding in (0, (0, 0)) and not pool.ceil_mode and pool.divisor_override is None
    plain = node.op == "call_function" and node.target is torch.nn.functional.avg_pool2d
    return plain and len(node.args) <= 2 and set(node.kwargs) <= {"stride", "kernel_size"}


def fuse_epilogues(graph: fx.GraphModule, notes: Notes) -> None:
    """Put activations and additions after a convolution into its pass."""
    order = {node: number for number, node in enumerate(graph.graph.nodes)}
    for node in list(graph.graph.nodes):
        act = activation(graph, node)
        pair = addends(node)
        if act is not None:
            source = node.args[0]
            conv = convolution(graph, source)
            if conv is not None and conv.act == "none" and len(source.users) == 1:
                conv.act, conv.slope = act
                replace(node, source)
                note(notes, "activations fused into a convolution")
        elif pair is not None:
            _fuse_addition(graph, node, sorted(pair, key=lambda n: order.get(n, 0), reverse=True), order, notes)


def _fuse_addition(
    graph: fx.GraphModule, node: fx.Node, pair: list[fx.Node], order: dict[fx.Node, int], notes: Notes
) -> None:
    """Put an addition into the pass of the convolution that makes an operand, of two the later one."""
    for found, residual in (pair, pair[::-1]):
        if _takes_residual(graph, found, residual):
            with graph.graph.inserting_before(node):
                made = graph.graph.call_module(str(found.target), (found.args[0], residual))
            order[made] = order[node]
            replace(node, made)
            graph.graph.erase_node(found)
            note(notes, "additions fused into a convolution")
            return


def _takes_residual(graph: fx.GraphModule, node: fx.Node, residual: fx.Node) -> bool:
    """Say whether an addition can go into the convolution: nothing follows it yet, and it alone makes the value.

    One channel may be added to many, and then the sum has more channels than the convolution.
    """
    conv = convolution(graph, node)
    if conv is None or conv.act != "none" or len(node.args) > 1 or len(node.users) != 1 or residual is node:
        return False
    return conv.weight.shape[0] > 1 and residual.op != "get_attr"


def fresh(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether a value has memory of its own: a result of a convolution or a pool."""
    return isinstance(module(graph, node), (Conv2d, Joined)) or is_pool(graph, node)


def overwrite(graph: fx.GraphModule, notes: Notes) -> None:
    """Let a convolution write its result over a residual that nobody reads after it."""
    order = {node: number for number, node in enumerate(graph.graph.nodes)}
    for node in graph.graph.nodes:
        called = module(graph, node)
        conv, inputs = (called.conv, called.inputs) if isinstance(called, Joined) else (called, 1)
        if not isinstance(conv, Conv2d) or len(node.args) <= inputs:
            continue
        residual = node.args[inputs]
        others = [user for user in residual.users if user is not node]
        if fresh(graph, residual) and all(fresh(graph, u) and order[u] < order[node] for u in others):
            conv.overwrites = conv is not called or residual is not node.args[0]  # joined, it reads something new
