"""Weights of a network for other classes or other images: what of them is left out, and what is made to fit.

A network for other classes has another head, and one for images of other channels another first convolution; all other
weights fit. Where the ends of a network are, its graph says (`archdsl.analysis.ends`): names say nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from archdsl.core.record import Record

if TYPE_CHECKING:
    from archdsl.analysis.ends import Ends, Layer

    State = dict[str, torch.Tensor]


class Adapted(Record):
    """What differs at the ends of a network: `new` tensors keep their own values, `made` ones were made to fit."""

    new: frozenset[str] = frozenset()
    made: State = {}
    said: tuple[str, ...] = ()  # a clause for each layer


def adapted(own: State, given: State, ends: Ends, *, head: bool) -> Adapted:
    """Return how weights that are `given` are brought to those of a network; its head may be another, or missing."""
    new, said = _new_head(own, given, ends) if head and not given.keys().isdisjoint(own) else (set(), [])
    made = {}
    for layer in ends.first:
        name = f"{layer}.weight"
        if name not in new and name in given and _differs_in_channels(own[name], given[name], ends.layers[layer]):
            before, after = given[name].shape[1], own[name].shape[1]
            made[name] = for_channels(given[name], after)
            how = "summed up for" if after == 1 else "repeated and scaled for"
            said.append(f"the weights of `{layer}` for {_channels(before)} are {how} {_channels(after)}")
    return Adapted(frozenset(new), made, tuple(said))


def for_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Return weights [out, in, h, w] of a convolution for images of another number of channels.

    For one channel they are summed, which is what the convolution computes of a grey image; for more they are repeated
    in turn and scaled by in / channels, so that the result keeps its magnitude. Both are what timm does.
    """
    before, exact = weight.shape[1], weight if weight.dtype == torch.float64 else weight.float()
    if channels == 1:
        return exact.sum(1, keepdim=True).to(weight.dtype)
    repeated = exact.repeat(1, -(-channels // before), 1, 1)[:, :channels]
    return (repeated * (before / channels)).to(weight.dtype)


def _differs_in_channels(own: torch.Tensor, given: torch.Tensor, layer: Layer) -> bool:
    """Say whether a layer is a convolution without groups whose weights differ in the channels of the image alone."""
    convolves = own.dim() == 4 and tuple(own.shape[:2]) == (layer.out, layer.channels)
    same = given.dim() == 4 and given.shape[0] == own.shape[0] and given.shape[2:] == own.shape[2:]
    return convolves and same and given.shape[1] != own.shape[1]


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _new_head(own: State, given: State, ends: Ends) -> tuple[set[str], list[str]]:
    """Return the tensors that stay as they are, and a clause for each reason: from the results back to what fits."""
    new: set[str] = set()
    reasons: dict[str, list[str]] = {}
    todo, seen = sorted(ends.last), set()
    while todo:
        name = todo.pop(0)
        if name in seen or name not in ends.layers:
            continue
        seen.add(name)
        layer, tensors = ends.layers[name], _tensors(own, name)
        reason = _reason(own, given, tensors, layer)
        if reason:
            tail = _tail(own, given, name) | tensors
            if not tail <= new:
                reasons.setdefault(reason, []).append(f"`{name if tail == tensors else name.partition('.')[0]}`")
            new |= tail
            todo += sorted(layer.reads) if layer.channels == layer.out else []
    return new, [f"{_listed(names)} new: {reason}" for reason, names in reasons.items()]


def _listed(names: list[str]) -> str:
    """Return names as the subject of a sentence, with its verb."""
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def _reason(own: State, given: State, tensors: set[str], layer: Layer) -> str:
    """Say why the layer of some tensors is new: they are missing, or differ in the number of its outputs alone."""
    there = [name for name in sorted(tensors) if name in given]
    if not there:
        return "there are no weights for this"
    changes = {pair for name in there for pair in zip(given[name].shape, own[name].shape) if pair[0] != pair[1]}
    if len(changes) != 1:
        return ""
    ((before, after),) = changes
    return f"the weights are for {before} outputs, and here are {after}" if after == layer.out else ""


def _tail(own: State, given: State, name: str) -> set[str]:
    """Return all tensors of the step of the net that holds a layer, where the weights have none of them."""
    tail = _within(own, name.partition(".")[0])
    return tail if given.keys().isdisjoint(tail) else set()


def _tensors(own: State, layer: str) -> set[str]:
    return {name for name in own if name.rpartition(".")[0] == layer}


def _within(own: State, label: str) -> set[str]:
    return {name for name in own if name.startswith(f"{label}.")}
