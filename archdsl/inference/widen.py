"""Channels in whole vectors: maps of 58 channels become maps of 64, whose last six are nobody's.

A GPU loads 16 bytes at once, 8 numbers of 16 bits, where every pixel starts at a multiple of that, and moves 32 to and
from memory. With 58 channels it loads 4 bytes, four times as often. Six more channels are a tenth of the bytes. What
computes them has weights of zero, and so has what reads them: they are finite, and nothing changes.
"""

from __future__ import annotations

from torch import fx

from archdsl.inference.layers import Conv2d, Joined, Scatter
from archdsl.inference.notes import Notes
from archdsl.inference.taken import convolution
from archdsl.inference.trace import module

SECTOR, VECTOR = 16, 8  # numbers of 16 bits in what memory moves, and in what a thread loads at once
MOST = 0.15  # further channels, as a share


def spare(width: int) -> int:
    """Return how many channels are missing to whole sectors, or else to whole vectors, if that is few.

    >>> spare(58), spare(116), spare(24), spare(3)
    (6, 12, 0, 0)
    """
    missing = (-width % SECTOR, -width % VECTOR)
    return next((more for more in missing if more <= MOST * width), 0)


def widen(graph: fx.GraphModule, notes: Notes) -> None:
    """Widen the results of convolutions that only convolutions read."""
    for node in list(graph.graph.nodes):
        conv = convolution(graph, node)
        if conv is None or conv.groups > 1 or len(node.args) > 1 or not spare(conv.weight.shape[0]):
            continue
        if extends(graph, node):
            more = spare(conv.weight.shape[0])
            conv.widen(outputs=more)
            extend(graph, node, more)
            notes["maps widened to whole vectors"] = notes.get("maps widened to whole vectors", 0) + 1


def reader(graph: fx.GraphModule, node: fx.Node) -> Conv2d | None:
    """Return the convolution that a step gives its first argument to."""
    called = module(graph, node)
    if isinstance(called, Joined):
        return called.before if isinstance(called.before, Conv2d) else None
    return called.conv if isinstance(called, Scatter) else convolution(graph, node)


def extends(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether everything that reads a value can read further channels and ignore them."""
    for user in node.users:
        conv = reader(graph, user)
        if conv is None or user.args[0] is not node or node in user.args[1:]:
            return False
        if conv.groups > 1 and not (conv.depthwise and len(user.args) == 1 and _ends(graph, user)):
            return False
    return bool(node.users)


def _ends(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether a depthwise convolution may have further channels, too: joined to another, that one ends them."""
    return isinstance(module(graph, node), Joined) or extends(graph, node)


def extend(graph: fx.GraphModule, node: fx.Node, more: int) -> None:
    """Let everything that reads a value read further channels, with weights of zero."""
    for user in node.users:
        conv = reader(graph, user)
        assert conv is not None
        if conv.groups == 1:
            conv.widen(inputs=more)
            continue
        conv.widen(outputs=more)
        called = module(graph, user)
        if isinstance(called, Joined):
            called.conv.widen(inputs=more)
        else:
            extend(graph, user, more)
