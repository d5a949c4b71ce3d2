"""Channel shuffle: channel j of group i moves to place j * groups + i.

`x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)` says the same and keeps channels_last only until a compiler
sees it. A shuffle computes nothing, so inside a network it should not run at all: `archdsl.optimize` turns it into the
order in which a neighbour reads or writes its channels. This operator is for what remains, and for training.
"""

from __future__ import annotations

import torch
from archdsl.kernels.available import jit, runs, start, tl
from archdsl.kernels.layout import dense, is_last, like_format
from torch import nn
from torch.utils.flop_counter import register_flop_formula

BLOCK = 1024  # elements of a program


# ---------------------------------------------------------------------------------------------------- reference
def reference(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Compute the shuffle with ATen."""
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def shuffle_kernel(x_ptr, y_ptr, count, C: tl.constexpr, GROUPS: tl.constexpr, AREA: tl.constexpr, BLOCK: tl.constexpr):
    """Write BLOCK elements of y, [rows, C, AREA]; AREA is 1 in channels_last, where a row is a pixel.

    Reads may be apart and writes are not: a line of memory that is read in parts stays in the cache, one that is
    written in parts goes out more than once.
    """
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    ok = place < count
    c = place // AREA % C
    source = c % GROUPS * (C // GROUPS) + c // GROUPS
    tl.store(y_ptr + place, tl.load(x_ptr + place + (source - c) * AREA, ok), ok)


# ---------------------------------------------------------------------------------------------------- launcher
def launch(x: torch.Tensor, groups: int, last: bool, y: torch.Tensor | None = None) -> torch.Tensor:
    """Run the kernel on a dense tensor."""
    y = like_format(x, x.shape, last) if y is None else y
    if x.numel():
        area = 1 if last else x.shape[2] * x.shape[3]
        programs = -(-x.numel() // BLOCK)
        start(shuffle_kernel, programs, x, y, x.numel(), C=x.shape[1], GROUPS=groups, AREA=area, BLOCK=BLOCK)
    return y


# ---------------------------------------------------------------------------------------------------- operator
@torch.library.custom_op("archdsl::channel_shuffle", mutates_args=(), schema="(Tensor x, int groups) -> Tensor")
def _shuffle(x, groups):
    last = is_last(x)
    if runs(x):
        return launch(dense(x, last), groups, last)
    y = reference(x, groups)
    return dense(y.clone() if y.data_ptr() == x.data_ptr() else y, last, fresh=True)  # one group is a view


@_shuffle.register_fake
def _(x, groups):
    return like_format(x, x.shape, is_last(x))


def _keep(ctx, inputs, output):
    x, groups = inputs
    ctx.back = x.shape[1] // groups


def _backward(ctx, dy):
    """Undo it: the inverse of a shuffle by g of C channels is a shuffle by C / g."""
    return _shuffle(dy, ctx.back), None


_shuffle.register_autograd(_backward, setup_context=_keep)


@register_flop_formula(torch.ops.archdsl.channel_shuffle)
def _(x_shape, groups, out_shape=None, **named):
    return 0


# ---------------------------------------------------------------------------------------------------- function
def channel_shuffle(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Shuffle the channels of x, [N, C, H, W], in the memory format of x; `groups` must divide C.

    >>> channel_shuffle(torch.arange(6.0).view(1, 6, 1, 1), 2).flatten().tolist()
    [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]

    Raises `ValueError` where it does not.
    """
    if x.dim() != 4 or groups < 1 or x.shape[1] % groups:
        raise ValueError(f"needs a map [N, C, H, W] whose channels {groups} divides, got {list(x.shape)}")
    return _shuffle(x, groups)


# ---------------------------------------------------------------------------------------------------- layer
class ChannelShuffle(nn.Module):
    """Channel shuffle: channel j of group i moves to place j * groups + i; [N, C, H, W] keeps its shape."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        return channel_shuffle(x, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
