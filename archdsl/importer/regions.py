"""Parts of a network that nobody has called a module: what lies between two tensors that every path goes through.

A file without names of modules is one long list of steps. Where a single tensor is all that later steps need of earlier
ones, the network can be cut; between two cuts lies one step, or a region of several: a residual block, a layer of a
DenseNet, the branches of an Inception. Regions become modules, and so blocks, as those of a class do.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archdsl.importer.clean import JOINS
from archdsl.importer.graph import Graph, Node, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST, MOST = 4, 80  # steps of a region that becomes a module
ACTIVATIONS = ("relu", "relu6", "silu", "leaky_relu", "hardswish", "elu", "gelu", "mish", "prelu")
KINDS = {"add": type("Residual", (), {}), "cat": type("Branches", (), {}), "mul": type("Gated", (), {})}
OTHER = type("Part", (), {})


def grouped(graph: Graph) -> Graph:
    """Put the regions of a network without modules into modules; any other stays as it is."""
    if any(isinstance(item, Scope) for item in graph.root.items):
        return graph
    pieces = list(_pieces(graph))
    regions = [place for place, piece in enumerate(pieces) if LEAST <= len(piece) <= MOST]
    if len(regions) < 2:
        return graph
    ends = Counter(_activates(pieces, place) for place in regions)
    made: list[Node | Scope] = []
    taken = -1
    for place, piece in enumerate(pieces):
        if place == taken:
            continue
        if place not in regions:
            made += piece
            continue
        nodes = list(piece)
        if _activates(pieces, place) and ends[True] > ends[False]:  # as in most of them
            nodes += pieces[place + 1]
            taken = place + 1
        joins = [node.op for node in piece if node.op in JOINS]
        kind = KINDS.get(joins[-1], OTHER) if joins else OTHER
        made.append(Scope(str(place), kind, nodes[0].inputs[:1], [*nodes]))
    graph.root.items = made
    return graph


def _pieces(graph: Graph) -> Iterator[list[Node]]:
    """Go over what lies between two cuts, in order."""
    nodes = list(graph.root.nodes())
    last = {one: place for place, node in enumerate(nodes) for one in node.inputs}
    last |= dict.fromkeys(graph.outputs.values(), len(nodes))
    live = set(graph.inputs)
    piece: list[Node] = []
    for place, node in enumerate(nodes):
        live = {one for one in (*live, node) if last.get(one, -1) > place}
        piece.append(node)
        if live <= {node}:
            yield piece
            piece = []
    if piece:
        yield piece


def _activates(pieces: list[list[Node]], place: int) -> bool:
    """Say whether an activation alone follows a region."""
    after = pieces[place + 1] if place + 1 < len(pieces) else []
    return len(after) == 1 and after[0].op in ACTIVATIONS
