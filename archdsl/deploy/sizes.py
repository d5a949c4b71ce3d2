"""Which sizes of its inputs a file takes, any batch and every legal size, and at which ones it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from archdsl.core.sizes import Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archdsl.analysis.legal import Legal
    from archdsl.core.sizes import Shape
    from archdsl.run.origin import Origin

NONE: Mapping[str, int] = {}
BATCH = 2  # of the example that is traced: of a batch of 1 `torch.export` takes an axis for a constant
OTHER_BATCH = 3


def shapes_of(origin: Origin, sizes: Mapping[str, int] = NONE, batch: int | None = None) -> list[tuple[int, ...]]:
    """Return the shapes of the inputs of a network: with these sizes by name and this batch, the rest as by default."""
    return [_shape(shape, sizes, batch) for _, shape in origin.inputs]


def _shape(shape: Shape, sizes: Mapping[str, int], batch: int | None) -> tuple[int, ...]:
    first, *rest = [sizes.get(dim.symbol.name, int(dim)) if isinstance(dim, Size) else int(dim) for dim in shape]
    return (first if batch is None else batch, *rest)


def dynamic(origin: Origin, exact: bool) -> tuple[dict[int, Any], ...]:
    """Return for each input the axes that vary, for `torch.export`: the batch, and sizes with several legal values.

    With `exact`, as the ranges and multiples that are legal, which `torch.export` then proves; else as whatever it
    finds, which has to be tried.
    """
    legal = {one.name: one for one in origin.legal[False]}
    batch = torch.export.Dim("N", min=1) if exact else torch.export.Dim.DYNAMIC
    known: dict[str, Any] = {}
    for one in legal.values():
        if not is_fixed(one):
            known[one.name] = _dim(one) if exact else torch.export.Dim.DYNAMIC
    axes = []
    for _, shape in origin.inputs:
        sized = {i: dim.symbol.name for i, dim in enumerate(shape) if i and isinstance(dim, Size)}
        axes.append({0: batch} | {i: known[name] for i, name in sized.items() if name in known})
    return tuple(axes)


def is_fixed(legal: Legal) -> bool:
    """Say whether a size has one legal value, or none."""
    return not legal.residues and (len(legal.ranges) < 2 and all(low == high for low, high in legal.ranges))


def _dim(legal: Legal) -> Any:
    """Return legal sizes as a dimension of `torch.export`, which knows ranges and multiples of one number."""
    make = torch.export.Dim
    if legal.residues == (0,) and legal.period > 1 and not legal.ranges:
        return legal.period * make(f"_{legal.name}", min=max(1, -(-legal.start // legal.period)))
    if not legal.residues and legal.ranges:
        return make(legal.name, min=legal.ranges[0][0], max=legal.ranges[-1][1])
    least = min([low for low, _ in legal.ranges] + [legal.start])
    return make(legal.name, min=max(1, least))


def tried(origin: Origin) -> Iterator[list[tuple[int, ...]]]:
    """Yield shapes at which a file that takes several sizes is held to PyTorch, beside the default.

    Another batch with sizes of no power of two, and one image of the smallest sizes.
    """
    legal = origin.legal[False]
    smaller = {one.name: size for one, default in _defaults(origin) if (size := one.nearest(default * 3 // 4 + 1))}
    yield shapes_of(origin, smaller, OTHER_BATCH)
    least = {one.name: size for one in legal if (size := one.nearest(1))}
    yield shapes_of(origin, least, 1)


def _defaults(origin: Origin) -> list[tuple[Legal, int]]:
    sizes = {dim.symbol.name: int(dim) for _, shape in origin.inputs for dim in shape if isinstance(dim, Size)}
    return [(one, sizes[one.name]) for one in origin.legal[False] if one.name in sizes]
