"""The bytes that an inference moves, counted step by step while it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from archdsl.core.record import Record
from archdsl.inference.layers import Append, Conv2d, Gather, Grow, Joined, Maps, Scatter, Take


class Traffic(Record):
    """Bytes of activations read and written, and the steps that move any."""

    bytes: int
    steps: int


class _Counter(fx.Interpreter):
    """Runs a graph, and counts for every step the elements of the tensors that it reads and writes."""

    def __init__(self, graph: fx.GraphModule, gpu: bool) -> None:
        super().__init__(graph)
        self.elements = self.steps = 0
        self.gpu = gpu

    def run_node(self, n: fx.Node) -> Any:
        values = [self.env[v] for v in n.all_input_nodes if v in self.env]
        xs = [v for v in values if isinstance(v, torch.Tensor)]
        before = [x._version for x in xs]
        result = super().run_node(n)
        written = [x._version != version for x, version in zip(xs, before)]
        moved = self._moved(n, xs, result, any(written))
        self.elements += moved
        self.steps += moved > 0
        return result

    def _moved(self, n: fx.Node, xs: list[torch.Tensor], result: Any, in_place: bool) -> int:
        called = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(called, Append):
            return 2 * result[:, called.start :].numel()
        if isinstance(called, Grow):
            return 2 * xs[0].numel()
        if isinstance(called, Gather):
            return 2 * result.numel()
        if n.op not in ("call_module", "call_function", "call_method") or not isinstance(result, torch.Tensor):
            return 0
        if isinstance(called, Scatter):
            return xs[0].numel() // xs[0].shape[1] * sum(called.conv.weight.shape[:2])
        if isinstance(called, (Maps, Take)):
            return 0
        if isinstance(called, Joined):
            between = 0 if called.fused(xs[0]) else 2 * called.between(xs[0], result)
            read = sum(self.env[v].numel() for v in n.args)  # a residual that is also the input is read twice
            return read + between + result.numel()
        own = isinstance(called, Conv2d)  # one that writes over its residual looks like a view
        again = 2 * result.numel() if isinstance(called, Conv2d) and self.gpu and called.finished(*xs) else 0
        if not in_place and not own and any(_memory(result) == _memory(x) for x in xs):
            return 0  # a view
        return sum(x.numel() for x in xs) + result.numel() + again


def _memory(x: torch.Tensor) -> int:
    return x.untyped_storage().data_ptr()


def traffic(graph: fx.GraphModule, *inputs: Any, element: int = 2, gpu: bool = False) -> Traffic:
    """Return what one run of a traced graph moves, with `element` bytes to a number, on a CPU or on a `gpu`.

    On a GPU a convolution of cuDNN's whose activation or addition it does not know is read and written once more.

    In-place steps read and write, views move nothing, and weights are left out: at a batch of some size they are
    little beside the activations. So is what a block moves inside that the graph has as one step.
    """
    counter = _Counter(graph, gpu)
    with torch.inference_mode(False), torch.no_grad():  # inference tensors do not say whether they were written
        counter.run(*[x.clone() for x in inputs])
    return Traffic(counter.elements * element, counter.steps)
