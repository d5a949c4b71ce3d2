"""Where each channel lies: concatenations, splits and shuffles become the order in which weights read and write.

A channel of a value is a pair: the step that computes it, and its number there. `cat`, `chunk`, slices and shuffles
only list such pairs, so they need not run. A convolution reads its input channels in any order, with its weights in
the same order, and one that nobody needs in a certain order may also leave its results so that what is read together
lies together. What is left to move is what a convolution reads from several maps: it is gathered, once.

A concatenation that grows step by step (DenseNet) is a buffer instead, to which each step appends.
"""

from __future__ import annotations

import operator
from collections import Counter
from itertools import repeat

import torch
from torch import fx, nn

from archdsl.inference.layers import Append, BatchNorm, Clamp, Gather, Grow
from archdsl.inference.notes import Notes
from archdsl.inference.taken import convolution
from archdsl.inference.trace import activation, add, is_cat, is_pool, module, shuffled, sweep

Channel = tuple[fx.Node, int]
Channels = tuple[Channel, ...]
Order = dict[fx.Node, list[int]]  # of the results of a convolution: which one comes first, second, …


def arrange(graph: fx.GraphModule, notes: Notes, growing: bool = True) -> None:
    """Remove what only moves channels; without `growing`, a concatenation that grows stays one."""
    if growing:
        grow(graph, notes)
    first = Plan(graph, {})
    if not first.reads:
        return
    plan = Plan(graph, first.preferred())
    for what, count in Counter(plan.moves.values()).items():
        notes[f"{what} turned into the order of channels"] = count
    Rewriter(graph, plan).run()
    sweep(graph)


# -------------------------------------------------------------------------------------------------- growing
def grow(graph: fx.GraphModule, notes: Notes) -> None:
    """Turn chains of concatenations, each one of the last and something new, into one buffer with appended parts."""
    following = {n.args[0][0]: n for n in graph.graph.nodes if is_cat(n)}
    counts = Plan(graph, {}).values if following else {}
    for node in list(graph.graph.nodes):
        if node not in following or is_cat(node):
            continue
        chain = []
        link = following.get(node)
        while link is not None:
            chain.append(link)
            link = following.get(link)
        parts = [part for cat in chain for part in cat.args[0][1:]]
        sizes = [counts.get(part) for part in (node, *parts)]
        if len(chain) > 1 and all(size is not None for size in sizes):
            _build(graph, node, chain, [len(size) for size in sizes if size is not None])
            _count(notes, "growing concatenations turned into buffers")


def _build(graph: fx.GraphModule, first: fx.Node, chain: list[fx.Node], sizes: list[int]) -> None:
    name = add(graph, f"grow_{first.name}", Grow(sum(sizes)))
    with graph.graph.inserting_before(chain[0]):
        buffer = graph.graph.call_module(name, (first,))
    widths = iter(sizes[1:])
    start = sizes[0]
    made = None
    for cat in chain:
        with graph.graph.inserting_before(cat):
            for part in cat.args[0][1:]:
                name = add(graph, f"append_{part.name}", Append(start))
                made = graph.graph.call_module(name, (buffer, part) if made is None else (buffer, part, made))
                start += next(widths)
        cat.replace_all_uses_with(made)
        graph.graph.erase_node(cat)


def _count(notes: Notes, what: str) -> None:
    notes[what] = notes.get(what, 0) + 1


# -------------------------------------------------------------------------------------------------- planning
def _all(node: fx.Node, count: int) -> Channels:
    """Return the channels of a step in its own order."""
    return tuple(zip(repeat(node), range(count)))


class Plan:
    """Which channels every value consists of, and what each step that computes reads."""

    def __init__(self, graph: fx.GraphModule, order: Order) -> None:
        self.graph, self.order = graph, order
        self.number = {node: i for i, node in enumerate(graph.graph.nodes)}
        self.values: dict[fx.Node, Channels] = {}
        self.parts: dict[fx.Node, list[Channels]] = {}  # of `chunk`
        self.moves: dict[fx.Node, str] = {}
        self.reads: dict[fx.Node, Channels] = {}  # by steps that take any order: the channels of their input
        self.wholes: dict[fx.Node, bool] = {}  # whether a value is all of one step's channels, in its order
        self.exact: set[fx.Node] = set()  # values that a step reads in their own order
        for node in graph.graph.nodes:
            value = self._moved(node)
            if value is None:
                value = self._computed(node)
            if value is not None:
                self.values[node] = value

    def _moved(self, node: fx.Node) -> Channels | None:
        """Return the channels of a step that computes nothing."""
        kind, value = self._list(node)
        if value is not None:
            self.moves[node] = kind
        return value

    def _list(self, node: fx.Node) -> tuple[str, Channels | None]:
        if is_cat(node):
            inputs = [self.values.get(v) for v in node.args[0]]
            known = [v for v in inputs if v is not None]
            return "concatenations", tuple(c for v in known for c in v) if len(known) == len(inputs) else None
        found = shuffled(self.graph, node)
        if found is not None and found[0] in self.values:
            x, groups = self.values[found[0]], found[1]
            size = len(x) // groups
            return "shuffles", tuple(x[i * size + j] for j in range(size) for i in range(groups))
        if node.op == "call_function" and node.target is operator.getitem:
            return "splits", self._item(node)
        if node.op == "call_method" and node.target == "chunk" and node.args[0] in self.values:
            self._chunk(node)
        return "", None

    def _chunk(self, node: fx.Node) -> None:
        x = self.values[node.args[0]]
        count = node.args[1]
        if node.args[2:] == (1,) and isinstance(count, int) and len(x) % count == 0:
            size = len(x) // count
            self.parts[node] = [x[i * size : (i + 1) * size] for i in range(count)]

    def _item(self, node: fx.Node) -> Channels | None:
        source, index = node.args
        if source in self.parts and isinstance(index, int):
            return self.parts[source][index]
        if source in self.values and isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None):
            part = index[1]
            if isinstance(part, slice) and all(
                v is None or isinstance(v, int) for v in (part.start, part.stop, part.step)
            ):
                return self.values[source][part]
        return None

    def _computed(self, node: fx.Node) -> Channels | None:
        """Return the channels of a step that computes, and note what it reads and how."""
        conv = convolution(self.graph, node)
        x = self.values.get(node.args[0]) if node.args and isinstance(node.args[0], fx.Node) else None
        single = conv is not None and conv.groups == 1
        by_channel = (conv is not None and conv.depthwise and len(node.args) == 1) or self._by_channel(node)
        whole = x is not None and self.whole(x)
        if x is not None and (single or by_channel) and (whole or len(set(x)) == len(x)):
            if not whole:
                self.reads[node] = x
            self.exact.update(node.args[1:] if conv is not None else ())
        elif not self._passes(node):
            self.exact.update(node.all_input_nodes)
        if conv is not None and not (by_channel and x is not None):
            count = conv.weight.shape[0]
            order = self.order.get(node)
            places = range(count) if order is None else sorted(range(count), key=order.__getitem__)
            return tuple(zip(repeat(node), places))
        if by_channel and x is not None:
            if whole or len(set(x)) < len(x):
                return _all(node, len(x))
            place = {channel: number for number, channel in enumerate(self.packed(x))}
            return tuple((node, place[channel]) for channel in x)
        return self._appended(node)

    def _by_channel(self, node: fx.Node) -> bool:
        return len(node.all_input_nodes) == 1 and (
            is_pool(self.graph, node) or activation(self.graph, node) is not None
        )

    def _passes(self, node: fx.Node) -> bool:
        """Say whether a step belongs to the moves: it reads nothing in a certain order."""
        if node in self.parts:
            return True
        users = list(node.users)
        return (
            node.op == "call_method"
            and node.target in ("unflatten", "transpose")
            and all(u in self.moves or self._passes(u) or shuffled(self.graph, u) is not None for u in users)
        )

    def _appended(self, node: fx.Node) -> Channels | None:
        called = module(self.graph, node)
        if isinstance(called, Append):
            part = self.values.get(node.args[1])
            return _all(node, called.start + len(part)) if part is not None else None
        if isinstance(called, Clamp):
            return _all(node, called.low.shape[1])
        if isinstance(called, nn.BatchNorm2d) and not isinstance(called, BatchNorm):
            return _all(node, called.num_features)
        return None

    # ------------------------------------------------------------ orders
    def packed(self, x: Channels) -> list[Channel]:
        """Return channels in the order in which they lie in memory."""
        return sorted(x, key=lambda c: (self.number[c[0]], c[1]))

    def whole(self, x: Channels) -> bool:
        """Say whether channels are one computed value as it is."""
        if not x:
            return False
        source = x[0][0]
        value = self.values.get(source, ())
        if value is not x:
            return x == _all(source, len(x)) and sum(c[0] is source for c in value) == len(x)
        if source not in self.wholes:
            self.wholes[source] = x == _all(source, len(x))
        return self.wholes[source]

    def direct(self, x: Channels) -> fx.Node | None:
        """Return the one step whose channels these are, all of them, in any order."""
        source = x[0][0]
        return source if set(x) == set(self.values.get(source, ())) else None

    def preferred(self) -> Order:
        """Return for each convolution an order of results in which what is read together lies together."""
        readers: dict[Channel, list[int]] = {}
        for number, x in enumerate(self.reads.values()):
            for channel in x:
                readers.setdefault(channel, []).append(number)
        order: Order = {}
        for node in {channel[0] for channel in readers}:
            conv = convolution(self.graph, node)
            if conv is not None and conv.groups == 1 and len(node.args) == 1 and not self._needed_exactly(node):
                count = conv.weight.shape[0]
                order[node] = sorted(range(count), key=lambda i: (readers.get((node, i), []), i))
        return order

    def _needed_exactly(self, node: fx.Node) -> bool:
        return any(any(c[0] is node for c in self.values.get(value, ())) for value in self.exact)


# -------------------------------------------------------------------------------------------------- rewriting
class Reorder(nn.Module):
    """Channels in another order: a copy."""

    def __init__(self, order: list[int], device: torch.device) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor(order, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.index_select(1, self.order).contiguous(memory_format=torch.channels_last)


class Rewriter:
    """Lets every step read computed values, its weights in their order."""

    def __init__(self, graph: fx.GraphModule, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.gathered: dict[tuple[Channel, ...], fx.Node] = {}
        self.device = next((t.device for t in graph.state_dict().values()), torch.device("cpu"))

    def run(self) -> None:
        for node in list(self.graph.graph.nodes):
            if node in self.plan.moves or self.plan._passes(node):
                continue
            conv = convolution(self.graph, node)
            order = self.plan.order.get(node)
            if conv is not None and order is not None:
                conv.permute(None, order)
            if node in self.plan.reads:
                node.args = (self._read(node), *fx.map_arg(node.args[1:], self._exact))
            else:
                node.args = fx.map_arg(node.args, self._exact)
            node.kwargs = fx.map_arg(node.kwargs, self._exact)

    def _read(self, node: fx.Node) -> fx.Node:
        """Let a step that takes any order read the channels as they lie in memory; return what holds them."""
        x = self.plan.reads[node]
        packed = self.plan.packed(x)
        conv = convolution(self.graph, node)
        if conv is not None:
            place = {channel: i for i, channel in enumerate(x)}
            order = [place[channel] for channel in packed]
            conv.permute(*((None, order) if conv.depthwise else (order, None)))
        return self._memory(x)

    def _exact(self, value: fx.Node) -> fx.Node:
        """Return a value with its channels in their own order."""
        x = self.plan.values.get(value)
        if x is None or self.plan.whole(x):
            return value if x is None else x[0][0]
        packed = self.plan.packed(tuple(dict.fromkeys(x)))
        made = self._memory(x)
        order = [packed.index(channel) for channel in x]
        if order == list(range(len(packed))):
            return made
        name = add(self.graph, f"reorder_{value.name}", Reorder(order, self.device))
        with self.graph.graph.inserting_after(made):
            return self.graph.graph.call_module(name, (made,))

    def _memory(self, x: Channels) -> fx.Node:
        """Return a value that holds channels as they lie in memory: the step that has them all, or a gathering."""
        packed = tuple(self.plan.packed(tuple(dict.fromkeys(x))))
        direct = self.plan.direct(packed)
        if direct is not None:
            return direct
        if packed not in self.gathered:
            sources = list(dict.fromkeys(c[0] for c in packed))
            name = add(self.graph, f"gather_{packed[0][0].name}", Gather(_pieces(packed, sources)))
            last = max(sources, key=self.plan.number.__getitem__)
            with self.graph.graph.inserting_after(last):
                self.gathered[packed] = self.graph.graph.call_module(name, tuple(sources))
        return self.gathered[packed]


def _pieces(channels: tuple[Channel, ...], sources: list[fx.Node]) -> list[tuple[int, int, int]]:
    """Return runs of neighbouring channels: which source, first channel, one past the last."""
    found: list[tuple[int, int, int]] = []
    for node, at in channels:
        which = sources.index(node)
        if found and found[-1][0] == which and found[-1][2] == at:
            found[-1] = (which, found[-1][1], at + 1)
        else:
            found.append((which, at, at + 1))
    return found
