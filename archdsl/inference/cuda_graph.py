"""A network on a GPU as one launch: its kernels recorded as a CUDA graph for each form of its inputs.

Starting the 40 kernels of an optimized MobileNet v2 from Python takes 2 ms, as long as they run on 256 images. A graph
starts them all at once. It reads and writes the same memory in every run, so inputs are copied in and results out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

MOST = 8  # forms of inputs; a graph keeps the memory of all its intermediate results

Run = Callable[..., Any]


class Recording(NamedTuple):
    """A CUDA graph, where it reads its inputs and where it leaves its results."""

    graph: Any
    inputs: list[torch.Tensor]
    results: Any


class Replays:
    """Runs a network: the first time for a form of inputs step by step, then recorded, as long as there is room."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop what was recorded: weights have moved."""
        self.known: dict[tuple[object, ...], Recording | None] = {}
        self.lock = threading.Lock()  # two threads would write their inputs into one memory

    def __call__(self, run: Run, inputs: tuple[Any, ...]) -> Any:
        """Return what `run` returns for these inputs, in memory of its own."""
        if not recordable(inputs):
            return run(*inputs)
        stream = torch.cuda.current_stream(inputs[0].device)
        form = (stream, *[(x.shape, x.dtype, x.device) for x in inputs])
        with self.lock, torch.inference_mode(False), torch.no_grad(), torch.cuda.device_of(inputs[0]):
            if form not in self.known:
                if len(self.known) < MOST:
                    self.known[form] = None
                return run(*inputs)  # compiles kernels and chooses algorithms, which no recording may
            made = self.known[form]
            if made is None:
                self.known[form] = made = recorded(run, inputs, stream)
            for memory, x in zip(made.inputs, inputs):
                memory.copy_(x)
            made.graph.replay()
            return pytree.tree_map_only(torch.Tensor, torch.clone, made.results)

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.forget()


def recordable(inputs: tuple[Any, ...]) -> bool:
    """Say whether a call is one of inference with tensors of one GPU, and nobody else follows or records it."""
    if not inputs or not all(isinstance(x, torch.Tensor) and x.is_cuda for x in inputs):
        return False
    return (
        len({x.device for x in inputs}) == 1
        and not (torch.is_grad_enabled() and any(x.requires_grad for x in inputs))
        and not torch.is_autocast_enabled("cuda")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.cuda.is_current_stream_capturing()
    )


def recorded(run: Run, inputs: tuple[torch.Tensor, ...], stream: Any) -> Recording:
    """Record a run on memory of its own; maps lie there in channels_last, as the network would copy them anyway."""
    memory = [torch.empty_like(x, memory_format=torch.channels_last if x.dim() == 4 else None) for x in inputs]
    for mine, x in zip(memory, inputs):
        mine.copy_(x)
    side = torch.cuda.Stream()
    side.wait_stream(stream)
    with torch.cuda.stream(side):  # libraries want their workspaces before
        run(*memory)
    stream.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = run(*memory)
    return Recording(graph, memory, results)
