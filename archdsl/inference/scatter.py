"""Gatherings that cost nothing: the convolutions before them write each channel where it will be read.

A unit of ShuffleNet v2 gathers its input from the results of earlier units, a copy of half of its channels. Where 1x1
convolutions make all of these channels and nobody else reads them, a kernel can write them into the gathered maps
themselves, which then lie in one buffer for a stage of the network.
"""

from __future__ import annotations

from torch import fx

from archdsl.inference.layers import Gather, Maps, Scatter, Take
from archdsl.inference.notes import Notes
from archdsl.inference.taken import convolution
from archdsl.inference.trace import add, module, sweep
from archdsl.inference.widen import extend, extends, spare


def scatter(graph: fx.GraphModule, notes: Notes) -> None:
    """Let convolutions write the gathered maps, in every part of the network where that is possible."""
    gathers = [node for node in graph.graph.nodes if _gather(graph, node) is not None]
    while gathers:
        part = _part(graph, gathers[0])
        if all(_writes(graph, node) for node in _sources(part)):
            _rewrite(graph, [node for node in gathers if node in part])
            what = "gatherings written by the convolutions before"
            notes[what] = notes.get(what, 0) + len(part)
        gathers = [node for node in gathers if node not in part]
    sweep(graph)


def _gather(graph: fx.GraphModule, node: fx.Node) -> Gather | None:
    called = module(graph, node)
    return called if isinstance(called, Gather) else None


def _sources(gathers: set[fx.Node]) -> list[fx.Node]:
    return list(dict.fromkeys(source for gather in gathers for source in gather.args))


def _part(graph: fx.GraphModule, gather: fx.Node) -> set[fx.Node]:
    """Return the gatherings that share sources with one, or with others that do."""
    found, new = {gather}, [gather]
    while new:
        near = {user for source in new.pop().args for user in source.users if _gather(graph, user) is not None}
        new += near - found
        found |= near
    return found


def _writes(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether a step is a 1x1 convolution whose every channel is gathered, and nothing else, once."""
    conv = convolution(graph, node)
    if conv is None or conv.groups > 1 or conv.weight.shape[2:] != (1, 1) or len(node.args) > 1:
        return False
    readers = {user: _gather(graph, user) for user in node.users}
    if conv.stride != (1, 1) or any(conv.padding) or not all(readers.values()):
        return False
    read = [i for user, layer in readers.items() if layer is not None for i in _channels(user, node, layer)]
    return sorted(read) == list(range(conv.weight.shape[0]))


def _channels(gather: fx.Node, source: fx.Node, layer: Gather) -> list[int]:
    which = gather.args.index(source)
    return [i for at, start, stop in layer.pieces if at == which for i in range(start, stop)]


def _rewrite(graph: fx.GraphModule, gathers: list[fx.Node]) -> None:
    order = {node: number for number, node in enumerate(graph.graph.nodes)}
    sources = sorted(_sources(set(gathers)), key=order.__getitem__)
    layers = [layer for layer in (_gather(graph, gather) for gather in gathers) if layer is not None]
    read = [sum(stop - start for _, start, stop in layer.pieces) for layer in layers]
    more = [spare(width) if extends(graph, gather) else 0 for gather, width in zip(gathers, read)]
    widths = [width + rest for width, rest in zip(read, more)]
    places = _places(gathers, layers, widths)
    ends = {gather: max(gather.args, key=order.__getitem__) for gather in gathers}
    for number, gather in enumerate(gathers):
        if more[number]:
            slots = range(read[number], widths[number])
            _fill(graph, ends[gather], places, [(sum(widths[:number]), widths[number], slot) for slot in slots])
            extend(graph, gather, more[number])
    size = sources[0].args[0]  # a map of the height and width of all of these
    with graph.graph.inserting_before(sources[0]):
        buffer = graph.graph.call_module(add(graph, f"maps_{sources[0].name}", Maps(widths)), (size,))
    for source in sources:
        conv = convolution(graph, source)
        assert conv is not None
        chosen = [places[source, i] for i in range(conv.weight.shape[0])]
        with graph.graph.inserting_before(source):
            name = add(graph, f"scatter_{source.name}", Scatter(conv, chosen))
            buffer = graph.graph.call_module(name, (source.args[0], buffer))
        for at, gather in enumerate(gathers):
            if ends[gather] is not source:
                continue
            with graph.graph.inserting_before(gather):
                name = add(graph, f"take_{gather.name}", Take(sum(widths[:at]), widths[at]))
                taken = graph.graph.call_module(name, (buffer, size))
            gather.replace_all_uses_with(taken)
            graph.graph.erase_node(gather)
    for source in reversed(sources):
        graph.graph.erase_node(source)


def _fill(
    graph: fx.GraphModule,
    source: fx.Node,
    places: dict[tuple[fx.Node, int], tuple[int, int, int]],
    more: list[tuple[int, int, int]],
) -> None:
    """Let a convolution write channels that only widen a map, too."""
    conv = convolution(graph, source)
    assert conv is not None
    for place in more:
        places[source, conv.weight.shape[0]] = place
        conv.widen(outputs=1)


def _places(
    gathers: list[fx.Node], layers: list[Gather], widths: list[int]
) -> dict[tuple[fx.Node, int], tuple[int, int, int]]:
    """Return where each channel of each source goes: channels of the maps before, width of its map, its place there."""
    found = {}
    for number, (gather, layer) in enumerate(zip(gathers, layers)):
        slot = 0
        for which, start, stop in layer.pieces:
            for i in range(start, stop):
                found[gather.args[which], i] = (sum(widths[:number]), widths[number], slot)
                slot += 1
    return found
