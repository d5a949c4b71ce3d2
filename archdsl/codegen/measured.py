"""The one table that decides where a Triton kernel is taken: measurements on a GPU, committed with the code.

A row of `measured.csv` says that a kernel was so many times as fast as what would run in its place, for a layer of this
kind, on a GPU of that compute capability. `python -m benchmarks.gpu` measures, `python -m benchmarks.gpu_results`
writes the rows. Without a row a layer runs on cuDNN, so where nothing has been measured, no kernel is taken unless it
is asked for.
"""

from __future__ import annotations

import functools
import os

from archdsl.core.record import Record

CHOICES = ("auto", "none", "all")
LEAST = 1.03  # a smaller gain is not told from noise
NEAR = 2.0  # a row says something of layers whose channels and sizes are within this factor of its own
BATCHES = 8.0  # and whose batch is within this one: what many images need is known from some


class Measurement(Record):
    """One kernel on one layer: `times` is its speed over that of the best alternative."""

    operation: str  # depthwise, pointwise, separable, patches, pool or scatter; training: a step with a depthwise layer
    kernel: int
    stride: int
    depth: int  # channels of the input
    channels: int  # and of the result
    size: int  # height of the input
    batch: int
    bits: int  # of a number: 16 in bfloat16 and float16, 32 in float32
    times: float
    capability: str  # of the GPU, as "9.0"


FILE = os.path.join(os.path.dirname(__file__), "measured.csv")


@functools.cache
def rows() -> tuple[Measurement, ...]:
    """Read the table, once."""
    with open(FILE, encoding="utf-8") as file:
        lines = file.read().splitlines()[1:]
    kinds = [{"str": str, "int": int, "float": float}[kind] for kind in Measurement.__annotations__.values()]
    return tuple([Measurement(*[kind(text) for kind, text in zip(kinds, line.split(","))]) for line in lines])


def known_choice(kernels: str) -> str:
    """Return the word by which a user chooses kernels; raises `ValueError` for another one."""
    if kernels not in CHOICES:
        raise ValueError(f'kernels must be "auto", "none" or "all", not {kernels!r}')
    return kernels


def known(operation: str) -> bool:
    """Say whether a kernel was measured to win anywhere."""
    return any(row.operation == operation and row.times >= LEAST for row in rows())


def possible(kernels: str, operation: str) -> bool:
    """Say whether a network may have a kernel somewhere, before its layers and their inputs are known."""
    return kernels == "all" or (kernels == "auto" and known(operation))


class Layer(Record):
    """What is asked for: the fields of a `Measurement`, and None for all of what was measured."""

    operation: str
    kernel: int
    stride: int
    depth: int
    channels: int
    size: int
    batch: int | None = None
    bits: int | None = None
    capability: str | None = None


def chosen(kernels: str, layer: Layer | None) -> bool:
    """Say whether a kernel is taken: always with "all", never with "none", with "auto" where it was measured to win.

    A layer that is None is none that can have been measured.
    """
    return kernels == "all" or (kernels == "auto" and layer is not None and wins(layer))


def wins(layer: Layer, table: tuple[Measurement, ...] | None = None) -> bool:
    """Say whether a kernel was measured to be faster for a layer.

    The nearest measured layer of the same operation, window and stride decides, and it must be near enough in channels,
    height and batch: farther away nothing is known.
    """
    near = []
    for row in rows() if table is None else table:
        if (row.operation, row.kernel, row.stride) != (layer.operation, layer.kernel, layer.stride):
            continue
        if layer.bits not in (None, row.bits) or layer.capability not in (None, row.capability):
            continue
        apart = [_ratio(row.depth, layer.depth), _ratio(row.channels, layer.channels), _ratio(row.size, layer.size)]
        images = 1.0 if layer.batch is None else _ratio(row.batch, layer.batch)
        if max(apart) <= NEAR and images <= BATCHES:
            near.append((apart[0] * apart[1] * apart[2] * images, row.times))
    nearest = min((distance for distance, _ in near), default=0.0)
    return bool(near) and all(times >= LEAST for distance, times in near if distance == nearest)


def _ratio(left: int, right: int) -> float:
    return left / right if left > right else right / left
