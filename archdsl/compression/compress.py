"""`archdsl.compress` and `archdsl.decompress`: from a network to a file of a few hundredths of its size, and back."""

from __future__ import annotations

import json
import math
import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.analysis.columns import WHOLE, Grid, View
from archdsl.analysis.result import Result
from archdsl.compiler import Request, compiled
from archdsl.compression import pack
from archdsl.compression.huffman import Corrupt
from archdsl.compression.prune import kind, layers, prune, schedule, settle
from archdsl.compression.share import shared, tie, untie
from archdsl.core.record import Record
from archdsl.core.source import Source, Span
from archdsl.diagnostics import errors
from archdsl.project import write
from archdsl.run.load import instantiate, with_weights
from archdsl.run.origin import origin_of
from archdsl.saved import KEY, linked, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archdsl.compiler import Compiled
    from archdsl.compression.share import Sharing
    from archdsl.ops.custom import Custom
    from archdsl.run.hub import Weights

    Wanted = float | int | Mapping[str, Any]

BITS = {"conv": 8, "linear": 5}  # as the paper has them
SUFFIX = ".archz"


class How(Record):
    """Where a file goes, densities and bits of layers, what trains in between, and whether a file may be replaced."""

    path: str
    density: Wanted
    bits: Wanted = BITS
    train: Callable[[nn.Module], object] | None = None
    steps: int = 1
    force: bool = False

    def refuse_another(self) -> None:
        """Raise `CompileError` for a name of another kind, and for a file that `compress` has not written."""
        if not self.path.endswith(SUFFIX):
            raise errors.bad_option("-o", self.path, f"the name ends in {SUFFIX}")
        if self.force or not os.path.isfile(self.path):
            return
        with open(self.path, "rb") as file:
            start = file.read(len(pack.MAGIC))
        if start not in (b"", pack.MAGIC):
            reason = "there is a file that archdsl did not write, which `--force` replaces"
            raise errors.unwritable(self.path, reason)


class Layer(Record):
    """What became of a layer: its weights, those that are left, and the bits of each of these in the file.

    `bits` is what an index takes without Huffman's code, `index` and `gap` are means with it, `size` is all in bytes.
    """

    name: str
    weights: int
    left: int
    values: int
    bits: int
    index: float
    gap: float
    size: int


class Compressed(Result):
    """A file of a network: its bytes, those of the network in float32, and its layers."""

    path: str
    size: int
    whole: int
    layers: tuple[Layer, ...]

    def summary(self) -> str:
        ratio = (
            f"{self.size:,} bytes, {self.size / self.whole:.2%} of float32, {self.whole / self.size:.1f} times smaller"
        )
        return f"{self.path}: {ratio}"

    def grid(self, view: View = WHOLE) -> Grid:
        head = ("layer", "weights", "left", "bits", "bits, coded", "bits, gaps", "bytes", "of float32")
        rows = [
            (
                one.name, f"{one.weights:,}", f"{one.left / one.weights:.1%}", str(one.bits), f"{one.index:.2f}",
                f"{one.gap:.2f}", f"{one.size:,}", f"{one.size / (4 * one.weights):.2%}",
            )
            for one in self.layers
        ]  # fmt: skip
        other = self.size - sum([one.size for one in self.layers])
        return Grid(self.summary(), head, rows, 1, [f"{other:,} bytes are of other tensors, and of the text"])

    def records(self) -> list[dict[str, Any]]:
        return [{name: getattr(one, name) for name in one.fields} for one in self.layers]

    def to_dict(self) -> dict[str, Any]:
        """Return the file as plain data."""
        return {"path": self.path, "size": self.size, "whole": self.whole, "layers": self.records()}


def compress(
    network: str | os.PathLike[str] | nn.Module,
    path: str | os.PathLike[str],
    /,
    *,
    density: Wanted,
    bits: Wanted = BITS,
    train: Callable[[nn.Module], object] | None = None,
    steps: int = 1,
    force: bool = False,
    weights: Weights | None = None,
    net: str | None = None,
    in_channels: int | None = None,
    operators: Sequence[type[Custom]] = (),
    **params: Any,
) -> Compressed:
    """Write a network to a `.archz` file in which most weights are zero and the others share few values.

    >>> import archdsl
    >>> archdsl.compress("squeezenet1_0", "small.archz", density=0.33, bits=6)  # doctest: +SKIP
    <small.archz: 437,526 bytes, 8.76% of float32, 11.4 times smaller>

    `network` is what `archdsl.load` takes, with the same further arguments, or a module that it has made, which
    afterwards has the weights of the file. `density` is the share of weights that each layer keeps, `bits` the
    logarithm of how many values they share: a number, or numbers by "conv", "linear", and names of layers, which may
    have wildcards; of several the first that fits counts. Layers that no density is given for are left as they are.

    `train` is called with the module after each of `steps` of pruning, of which the last has the density that is asked
    for, and once more when values are shared. Zeros stay zeros while it trains, and weights that share a value go on
    sharing it: the gradient of a value is the sum of those of its weights. It makes its own optimizer, each time.

    Convolutions and linear layers are compressed, all other tensors are kept as they are. `archdsl.decompress` gives
    the network back, bit for bit. Raises `archdsl.CompileError` for mistakes in arguments, and for a file in the way
    that is none of these, which `force` replaces.
    """
    how = How(os.fspath(path), density, bits, train, steps, force)
    if not isinstance(network, nn.Module):
        return written(
            compiled(network, Request(net, params, in_channels=in_channels, operators=operators)), weights, how
        )
    if any(one is not None for one in (weights, net, in_channels)) or operators or params:
        raise TypeError("a module is compressed as it is: weights and parameters are of a name or a path")
    return _written(network, how)


def written(found: Compiled, weights: Weights | None, how: How) -> Compressed:
    """Write a checked network to a file, with weights or with random ones; see `compress`."""
    how.refuse_another()
    return _written(with_weights(instantiate(found), found, weights), how)


def _written(model: nn.Module, how: How) -> Compressed:
    how.refuse_another()
    origin = origin_of(model)
    if origin is None:
        raise TypeError(
            "what `archdsl.load` has made is compressed; `archdsl.import_module` makes a text of other modules"
        )
    every = layers(model)
    densities, bits = _chosen("--density", how.density, every, 0, 1), _chosen("--bits", how.bits, every, 1, 8)
    chosen = {name: layer for name, layer in every.items() if name in densities and name in bits}
    _prune(model, chosen, densities, how)
    sharings = _shared(model, chosen, bits, how)
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    names = {f"{name}.weight" for name in chosen}
    others = {name: value for name, value in state.items() if name not in names}
    data, sizes = pack.write(pack.Packed(origin.saved.metadata()[KEY], sharings, others))
    write(how.path, data)
    whole = sum([value.numel() * 4 for value in state.values() if value.is_floating_point()])
    return Compressed(how.path, len(data), whole, tuple([_row(name, sharings[name], sizes[name]) for name in chosen]))


def _prune(model: nn.Module, chosen: Mapping[str, nn.Module], densities: Mapping[str, float], how: How) -> None:
    """Prune layers by a schedule, and train after each step."""
    for step in range(how.steps):
        prune(chosen, {name: schedule(densities[name], how.steps)[step] for name in chosen})
        if how.train is not None:
            how.train(model)
    settle(chosen)


def _shared(
    model: nn.Module, chosen: Mapping[str, nn.Module], bits: Mapping[str, float], how: How
) -> dict[str, Sharing]:
    """Give the weights of layers few values, train these, and let the layers have them."""
    found = {name: shared(layer.weight, int(bits[name])) for name, layer in chosen.items()}
    if how.train is not None:
        tie(chosen, found)
        how.train(model)
        found = untie(chosen, found)
    with torch.no_grad():
        for name, layer in chosen.items():
            layer.weight.copy_(found[name].weight())
    return found


def _row(name: str, layer: Sharing, sizes: pack.Sizes) -> Layer:
    left = len(layer.places)
    bits = max(1, math.ceil(math.log2(max(1, len(layer.values)))))
    total = (sizes.values + sizes.index + sizes.gaps) // 8
    index, gap = [size / max(1, left) for size in (sizes.index, sizes.gaps)]
    return Layer(name, torch.Size(layer.shape).numel(), left, len(layer.values), bits, index, gap, total)


def _chosen(option: str, wanted: Wanted, found: Mapping[str, nn.Module], low: float, high: float) -> dict[str, float]:
    """Return what is wanted of each layer that a number or a rule is there for; raises `CompileError`."""
    rules: Mapping[str, Any] = {"*": wanted} if isinstance(wanted, (int, float)) else wanted
    for word, number in rules.items():
        if not low <= number <= high or (not low and not number):
            raise errors.bad_option(
                option, f"{word}={number}", f"it is {'more than 0' if not low else 'from 1'} to {high}"
            )
        if word not in BITS and not any(fnmatchcase(name, word) for name in found):
            raise errors.bad_option(option, word, f"no layer has this name; there are {', '.join(list(found)[:8])}")
    first = {name: [rules[w] for w in rules if w == kind(m) or fnmatchcase(name, w)][:1] for name, m in found.items()}
    return {name: numbers[0] for name, numbers in first.items() if numbers}


# -------------------------------------------------------------------------------------------------- back
def decompress(path: str | os.PathLike[str], *, operators: Sequence[type[Custom]] = ()) -> nn.Module:
    """Return the network of a file that `archdsl.compress` wrote, with the weights that it had then, bit for bit.

    Needs nothing but the file, and runs nobody's code. Raises `archdsl.CompileError` for another or a damaged file.
    """
    path = os.fspath(path)
    place = Span(Source(path, "", path), 0, 0)
    try:
        with open(path, "rb") as file:
            packed = pack.read(file.read())
        saved = understood(json.loads(packed.network))
    except OSError as problem:
        raise errors.unreadable(place, f"cannot read `{path}`: {problem.strerror}") from None
    except Corrupt as problem:
        raise errors.unreadable(place, f"`{path}`: {problem}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise errors.unreadable(place, f"the network in `{path}` was saved by another version of archdsl") from None
    model = instantiate(compiled("", file=linked(saved, path, operators)))
    state = packed.others | {f"{name}.weight": layer.weight() for name, layer in packed.layers.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise errors.unreadable(place, f"`{path}`: its weights are not those of its network") from None
    return model
