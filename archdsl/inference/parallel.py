"""Sums of convolutions of one map, as those that RepVGG is trained with, as one convolution.

A convolution is linear in its weights: those of a smaller window lie in the middle of a larger one, and a norm of the
map itself is a window of one tap that reads its own channel (Ding et al., 2021, arXiv:2101.03697).
"""

from __future__ import annotations

import operator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import fx

from archdsl.inference.layers import Conv2d
from archdsl.inference.notes import Notes, note
from archdsl.inference.scale import scaling
from archdsl.inference.taken import convolution
from archdsl.inference.trace import addends

DIFFERENCES = (operator.sub, operator.isub, torch.sub)


class Taps(NamedTuple):
    """Weights [OUT, IN / groups, h, w] and biases of a window, its margin and the distance of its taps on each axis."""

    weight: torch.Tensor
    bias: torch.Tensor
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


def merge(graph: fx.GraphModule, node: fx.Node, notes: Notes) -> bool:
    """Make a sum or difference of two convolutions of one map one convolution; say whether it was one."""
    found = _terms(node)
    if found is None:
        return False
    left, right, sign = found
    for first, second, signs in ((left, right, (1, sign)), (right, left, (sign, 1))):
        conv = _alone(graph, first)
        other = None if conv is None else _other(graph, second, first.args[0], conv)
        both = None if conv is None or other is None else _windows(_taps(conv), other)
        if conv is None or both is None or second is first:
            continue
        mine, theirs = both
        conv.weight = signs[0] * mine.weight + signs[1] * theirs.weight
        conv.bias = signs[0] * mine.bias + signs[1] * theirs.bias
        conv.padding, conv.dilation = mine.padding, mine.dilation
        with graph.graph.inserting_before(node):
            made = graph.graph.call_module(str(first.target), first.args)
        node.replace_all_uses_with(made)
        for gone in (node, first, second):
            graph.graph.erase_node(gone)
        note(notes, "parallel convolutions merged")
        return True
    return False


def _terms(node: fx.Node) -> tuple[fx.Node, fx.Node, int] | None:
    """Return the two operands of a sum or difference, and the sign of the second."""
    pair = addends(node)
    if pair is not None:
        return (*pair, 1)
    if node.op != "call_function" or node.target not in DIFFERENCES or node.kwargs or len(node.args) != 2:
        return None
    left, right = node.args
    return (left, right, -1) if isinstance(left, fx.Node) and isinstance(right, fx.Node) else None


def _alone(graph: fx.GraphModule, node: fx.Node) -> Conv2d | None:
    """Return the convolution of a node that one other reads."""
    conv = convolution(graph, node)
    return conv if conv is not None and len(node.users) == 1 else None


def _taps(conv: Conv2d) -> Taps:
    return Taps(conv.weight, conv.bias, conv.padding, conv.dilation)


def _other(graph: fx.GraphModule, node: fx.Node, source: object, conv: Conv2d) -> Taps | None:
    """Return what goes into a convolution: another one of the same map, or a norm of the map itself."""
    beside = _alone(graph, node)
    if beside is not None:
        alike = (beside.stride, beside.groups, beside.weight.shape[:2]) == (
            conv.stride,
            conv.groups,
            conv.weight.shape[:2],
        )
        return _taps(beside) if alike and beside.dtype == conv.dtype and node.args[0] is source else None
    found = scaling(graph, node)
    out, depth = conv.weight.shape[:2]
    if found is None or found.source is not source or len(node.users) != 1:
        return None
    if conv.stride != (1, 1) or depth * conv.groups != out or not found.fits(out, conv.dtype):
        return None
    scale, shift = found.of(out, conv.weight)
    rows = torch.arange(out, device=scale.device)
    weight = scale.new_zeros(out, depth, 1, 1)
    weight[rows, rows % depth, 0, 0] = scale
    return Taps(weight, shift, (0, 0), (1, 1))


def _windows(first: Taps, second: Taps) -> tuple[Taps, Taps] | None:
    """Return two windows as large as the larger on each axis, if they give maps of one size and their taps meet."""
    larger = []
    for axis in (0, 1):
        ends = [(t.weight.shape[2 + axis], t.padding[axis], t.dilation[axis]) for t in (first, second)]
        larger.append(max(ends, key=lambda end: (end[0] - 1) * end[2]))
    found = [_within(taps, larger) for taps in (first, second)]
    return None if found[0] is None or found[1] is None else (found[0], found[1])


def _within(taps: Taps, larger: list[tuple[int, int, int]]) -> Taps | None:
    """Return the same taps in the middle of a larger window: (taps, margin, distance of taps) on each axis."""
    margins: list[int] = []
    for axis, (count, margin, distance) in enumerate(larger):
        own, gap, more = taps.weight.shape[2 + axis], taps.dilation[axis], margin - taps.padding[axis]
        middle = 2 * more == (count - 1) * distance - (own - 1) * gap
        if more < 0 or not middle or more % distance or (own > 1 and gap != distance):
            return None
        margins = [more // distance, more // distance, *margins]  # F.pad begins with the last axis
    padding, dilation = (tuple(end[i] for end in larger) for i in (1, 2))
    return Taps(F.pad(taps.weight, margins), taps.bias, padding, dilation)
