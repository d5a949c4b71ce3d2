"""Few values for many weights: k-means from values in equal steps, and values that are trained as parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import parametrize

from archdsl.compression.prune import in_order
from archdsl.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 300  # of k-means, at most; weights of a layer settle after some dozens


class Sharing(Record):
    """Which of few values each weight of a layer has: `places` are weights that are left, `index` their values' places.

    Places are of the flattened weight, in order.
    """

    shape: tuple[int, ...]
    places: torch.Tensor
    index: torch.Tensor
    values: torch.Tensor

    def weight(self) -> torch.Tensor:
        """Return the weight, bit for bit."""
        flat = torch.zeros(torch.Size(self.shape).numel())
        flat[self.places] = self.values[self.index]
        return flat.view(self.shape)


def shared(weight: torch.Tensor, bits: int) -> Sharing:
    """Return a weight with its zeros, and at most 2**bits other values."""
    flat = weight.detach().cpu().float().flatten()
    places = flat.nonzero().flatten()
    values = means(flat[places], 1 << bits)
    return Sharing(tuple(weight.shape), places, nearest(flat[places], values), values)


def means(x: torch.Tensor, count: int) -> torch.Tensor:
    """Return at most `count` values that stand for those of a vector, by k-means, ascending.

    They begin in equal steps from the least to the greatest, by which large weights keep values of their own (Han et
    al., 2016, section 3.2). On a line the numbers of a mean stand side by side, so a round is a search in sorted
    numbers and a difference of sums. A mean of nothing, as there are where weights were pruned, takes half of the
    numbers that are farthest from their own. Few different numbers are their own means.
    """
    own = x.unique()
    if len(own) <= count:
        return own
    ordered = x.double().sort().values
    sums, squares = [torch.cat([one.new_zeros(1), one.cumsum(0)]) for one in (ordered, ordered.square())]
    found = torch.linspace(float(ordered[0]), float(ordered[-1]), count, dtype=torch.float64)
    for _ in range(ROUNDS):
        inner = torch.searchsorted(ordered, (found[1:] + found[:-1]) / 2)
        edges = torch.cat([inner.new_zeros(1), inner, inner.new_tensor([len(ordered)])])
        counts = edges.diff()
        better = torch.where(counts > 0, sums[edges].diff() / counts.clamp(min=1), found)
        spread = (squares[edges].diff() - counts * better.square()).clamp(min=0) * (counts > 1)
        better = _filled(better, counts, spread)
        if better.equal(found):
            break
        found = better
    return found.float().unique()


def _filled(means: torch.Tensor, counts: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Return means in order, each of nothing beside one whose numbers are far from it, by the sum of squares."""
    free = (counts == 0).nonzero().flatten()
    wide = spread.sort(descending=True).indices[: min(len(free), int((spread > 0).sum()))]
    free, step = free[: len(wide)], (spread[wide] / counts[wide]).sqrt()
    moved = means.index_copy(0, free, means[wide] + step).index_copy(0, wide, means[wide] - step)
    return moved.sort().values


def nearest(x: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the place of the nearest of ascending values for each number."""
    return torch.bucketize(x, (values[1:] + values[:-1]) / 2)


class _Shared(nn.Module):
    """Makes a weight of its values, whose gradients are sums over the weights that share one."""

    def __init__(self, sharing: Sharing) -> None:
        super().__init__()
        place = torch.zeros(torch.Size(sharing.shape).numel(), dtype=torch.int32)
        place[sharing.places] = sharing.index.int() + 1
        self.register_buffer("place", place.view(sharing.shape))
        self.start = sharing.values

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.cat([values.new_zeros(1), values])[self.place]

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        return self.start.to(weight, copy=True)


def tie(layers: Mapping[str, nn.Module], sharings: Mapping[str, Sharing]) -> None:
    """Make the values of layers their parameters, until `untie`."""
    for name, layer in layers.items():
        parametrize.register_parametrization(layer, "weight", _Shared(sharings[name]), unsafe=True)


def untie(layers: Mapping[str, nn.Module], sharings: Mapping[str, Sharing]) -> dict[str, Sharing]:
    """Return sharings with the values that layers have now, and make their weights parameters again."""
    found = {}
    for name, layer in layers.items():
        values = layer.parametrizations.weight.original.detach().cpu().float().clone()
        found[name] = sharings[name].replace(values=values)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        in_order(layer)
    return found
