"""What follows a convolution in the same pass: a scale and a shift for each channel, a residual, an activation.

    y = act(convolution * scale + shift + residual)

A folded batch norm is a scale and a shift, a bias is a shift. ResNet adds before its activation and MobileNet v2 has
none after the addition, so the residual goes in first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from archdsl.kernels.available import jit, tl

Plain = Callable[[torch.Tensor, float], torch.Tensor]

# ---------------------------------------------------------------------------------------------------- reference
ACTIVATIONS: dict[str, Plain] = {
    "none": lambda z, slope: z,
    "relu": lambda z, slope: F.relu(z),
    "relu6": lambda z, slope: F.relu6(z),
    "leaky_relu": lambda z, slope: F.leaky_relu(z, slope),
    "silu": lambda z, slope: F.silu(z),
    "hardswish": lambda z, slope: F.hardswish(z),
    "hardsigmoid": lambda z, slope: F.hardsigmoid(z),
    "sigmoid": lambda z, slope: torch.sigmoid(z),
    "gelu": lambda z, slope: F.gelu(z),
    "gelu_tanh": lambda z, slope: F.gelu(z, approximate="tanh"),
}

_RULES: dict[str, Plain] = {
    # The slope at z. At a switch point it is PyTorch's choice: 0 at relu's and relu6's, the lower slope at leaky's.
    "relu": lambda z, slope: (z > 0).to(z.dtype),
    "relu6": lambda z, slope: ((z > 0) & (z < 6)).to(z.dtype),
    "leaky_relu": lambda z, slope: torch.where(z > 0, 1.0, slope).to(z.dtype),
}


def activate(z: torch.Tensor, act: str, slope: float) -> torch.Tensor:
    """Apply an activation by its name; `slope` is that of leaky_relu below zero."""
    return ACTIVATIONS[act](z, slope)


def activation_grad(dy: torch.Tensor, z: torch.Tensor, act: str, slope: float) -> torch.Tensor:
    """Return the gradient at the input z of an activation, from that at its result; z is computed anew, not kept."""
    if act == "none":
        return dy
    if act in _RULES:
        return dy * _RULES[act](z, slope)
    return _SMOOTH[act](dy, z)


_SMOOTH: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "silu": torch.ops.aten.silu_backward,
    "hardswish": torch.ops.aten.hardswish_backward,
    "hardsigmoid": torch.ops.aten.hardsigmoid_backward,
    "sigmoid": lambda dy, z: torch.ops.aten.sigmoid_backward(dy, torch.sigmoid(z)),
    "gelu": lambda dy, z: torch.ops.aten.gelu_backward(dy, z),
    "gelu_tanh": lambda dy, z: torch.ops.aten.gelu_backward(dy, z, approximate="tanh"),
}


def check(act: str) -> None:
    """Raise `ValueError` for an activation that no kernel has."""
    if act not in ACTIVATIONS:
        raise ValueError(f"no activation is called {act!r}; there are {', '.join(ACTIVATIONS)}")


def by_channel(values: torch.Tensor) -> torch.Tensor:
    """Return [C] as [1, C, 1, 1]."""
    return values.view(1, -1, 1, 1)


def channel_sum(values: torch.Tensor) -> torch.Tensor:
    """Sum [N, C, H, W] to [C], in float32 at least."""
    return values.sum((0, 2, 3), dtype=torch.promote_types(values.dtype, torch.float32))


def combine(
    u: torch.Tensor, scale: torch.Tensor | None, shift: torch.Tensor | None, residual: torch.Tensor | None
) -> torch.Tensor:
    """Return u * scale + shift + residual, [N, C, H, W], without the parts that are None."""
    z = u if scale is None else u * by_channel(scale).to(u.dtype)
    z = z if shift is None else z + by_channel(shift).to(u.dtype)
    return z if residual is None else z + residual


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def activated(z, ACT: tl.constexpr, SLOPE: tl.constexpr):
    """Apply an activation to float32 values; NaN stays NaN, as in PyTorch."""
    if ACT == "relu":
        z = tl.maximum(z, 0.0, propagate_nan=tl.PropagateNan.ALL)
    elif ACT == "relu6":
        z = tl.clamp(z, 0.0, 6.0, propagate_nan=tl.PropagateNan.ALL)
    elif ACT == "leaky_relu":
        z = tl.where(z > 0, z, z * SLOPE)
    elif ACT == "silu":
        z = z / (1.0 + tl.exp(-z))
    elif ACT == "hardswish":
        z = z * tl.clamp(z + 3.0, 0.0, 6.0, propagate_nan=tl.PropagateNan.ALL) * (1.0 / 6.0)
    elif ACT == "hardsigmoid":
        z = tl.clamp(z + 3.0, 0.0, 6.0, propagate_nan=tl.PropagateNan.ALL) * (1.0 / 6.0)
    elif ACT == "sigmoid":
        z = 1.0 / (1.0 + tl.exp(-z))
    elif ACT == "gelu":
        z = 0.5 * z * (1.0 + tl.erf(z * 0.7071067811865476))
    elif ACT == "gelu_tanh":  # 1 + tanh(u) = 2 * sigmoid(2 * u); the interpreter has no tanh
        z = z / (1.0 + tl.exp(-1.5957691216057308 * (z + 0.044715 * z * z * z)))
    return z
