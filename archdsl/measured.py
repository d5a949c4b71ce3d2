"""The one table that decides where a Triton kernel is taken: measurements on a GPU, committed with the code.

A row says that a kernel was faster than the best of PyTorch's own ways, by which factor, for a layer of this kind on
that device. `python -m benchmarks.kernels` on a machine with a GPU prints rows for it. Without a row a layer runs on
ATen, so an empty table means that nothing has been measured, and no kernel is taken unless it is asked for.
"""

from __future__ import annotations

from archdsl.record import Record

LEAST = 1.05  # a smaller gain is not told from noise


class Measurement(Record):
    """One kernel on one layer: `times` is its speed over that of the best alternative."""

    operation: str  # depthwise, pointwise, separable (its depthwise part counts) or shuffle
    kernel: int
    stride: int
    channels: int
    size: int  # height of the input
    dtype: str
    times: float
    device: str
    commit: str


TABLE: tuple[Measurement, ...] = ()


def known(operation: str) -> bool:
    """Say whether anything was measured of a kernel."""
    return any(row.operation == operation for row in TABLE)


def wins(
    operation: str,
    kernel: int,
    stride: int,
    channels: int,
    size: int,
    dtype: str | None = None,
    table: tuple[Measurement, ...] | None = None,
) -> bool:
    """Say whether a kernel was measured to be faster for a layer; without a type, for every type that was measured.

    The nearest measured size of the same operation, window and stride decides, and it must be within a factor of two
    in channels and in height: farther away nothing is known.
    """
    rows = [
        row
        for row in (TABLE if table is None else table)
        if (row.operation, row.kernel, row.stride) == (operation, kernel, stride)
        and dtype in (None, row.dtype)
        and _within(row.channels, channels)
        and _within(row.size, size)
    ]
    nearest = min((_distance(row, channels, size) for row in rows), default=0.0)
    return bool(rows) and all(row.times >= LEAST for row in rows if _distance(row, channels, size) == nearest)


def _within(left: int, right: int) -> bool:
    return left <= 2 * right and right <= 2 * left


def _distance(row: Measurement, channels: int, size: int) -> float:
    return max(row.channels / channels, channels / row.channels) * max(row.size / size, size / row.size)
