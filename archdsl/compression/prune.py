"""Weights to zero, the smallest of each layer first, and kept there while a network is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import prune as masks

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = {nn.Conv2d: "conv", nn.ConvTranspose2d: "conv", nn.Linear: "linear"}


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose weights are compressed, by name: convolutions and linear layers, each once."""
    return {name: module for name, module in model.named_modules() if kind(module)}


def kind(module: nn.Module) -> str:
    """Return "conv" or "linear", or nothing for what is neither."""
    return next((word for one, word in KINDS.items() if isinstance(module, one)), "")


def prune(found: Mapping[str, nn.Module], densities: Mapping[str, float]) -> None:
    """Set weights of layers to zero, so that a share of each layer is left, and keep them there until `settle`.

    What was zero stays so: of equal weights the first are left.
    """
    for name, layer in found.items():
        if masks.is_pruned(layer):
            masks.remove(layer, "weight")
        masks.custom_from_mask(layer, "weight", mask(layer.weight.detach(), densities[name]))


def settle(found: Mapping[str, nn.Module]) -> None:
    """Make the zeros of layers ordinary weights again."""
    for layer in found.values():
        if masks.is_pruned(layer):
            masks.remove(layer, "weight")
            in_order(layer)


def in_order(layer: nn.Module) -> None:
    """Put the bias of a layer after its weight again, where optimizers and files expect it."""
    if isinstance(layer.bias, nn.Parameter):
        bias = layer.bias
        del layer.bias
        layer.register_parameter("bias", bias)


def mask(weight: torch.Tensor, density: float) -> torch.Tensor:
    """Return 1 for the largest weights, a share of all, and 0 for the others; at least one is left."""
    size = weight.abs().flatten()
    left = max(1, round(density * size.numel()))
    least = size.kthvalue(size.numel() - left + 1).values
    chosen = size > least
    chosen[(size == least).nonzero().flatten()[: left - int(chosen.sum())]] = True
    return chosen.to(weight.dtype).view_as(weight)


def schedule(density: float, steps: int) -> list[float]:
    """Return the densities of several steps, most of which falls at first (Zhu and Gupta, 2017, arXiv:1710.01878).

    >>> [round(one, 3) for one in schedule(0.1, 3)]
    [0.367, 0.133, 0.1]
    """
    return [density + (1 - density) * (1 - step / steps) ** 3 for step in range(1, steps + 1)]
