"""What a program holds in registers: tuples of tiles, which Triton knows as values, and rows of a value a channel."""

from __future__ import annotations

from archdsl.kernels.available import jit, tl


@jit
def zeros(COUNT: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """Return a tuple of accumulators."""
    made = ()
    for _ in tl.static_range(COUNT):
        made = made + (tl.zeros((HEIGHT, WIDTH), tl.float32),)  # noqa: RUF005 — Triton knows `+`
    return made


@jit
def replaced(values, AT: tl.constexpr, value):
    """Return a tuple of tiles with one of them replaced."""
    made = ()
    for i in tl.static_range(len(values)):
        if i == AT:
            made = made + (value,)  # noqa: RUF005
        else:
            made = made + (values[i],)  # noqa: RUF005
    return made


@jit
def row(pointers, known):
    """Load a value for each channel, as float32 along the second axis of a tile."""
    return tl.load(pointers, known, 0.0).to(tl.float32)[None, :]


@jit
def rows(pointers, known, COUNT: tl.constexpr, APART: tl.constexpr):
    """Load a tuple of rows, such as the weights [COUNT, APART] of all taps."""
    made = ()
    for i in tl.static_range(COUNT):
        made = made + (row(pointers + i * APART, known),)  # noqa: RUF005
    return made
