"""Convolution of a few channels, such as the first of a network, with what follows it: `y = act(conv(x) + shift)`.

A product of matrices: a row is the patch that a window sees, all of its KH * KW * C numbers gathered from where they
lie, and a column the weights of an output channel. Libraries want channels in eights and move a padded image first: of
256 images in bf16 cuDNN takes 504 us for 3x3 windows on 3 channels, and 2,075 us for 7x7 ones, where the bytes are 95
and 164 us of an H100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from archdsl.kernels import epilogue
from archdsl.kernels.available import interpreted, jit, runs, start, tl
from archdsl.kernels.epilogue import activated
from archdsl.kernels.layout import dense, empty_last, is_last, like_format, pair, power, size_after, windows
from archdsl.kernels.pointwise import precision
from archdsl.kernels.registers import row
from torch.utils.flop_counter import register_flop_formula


# ---------------------------------------------------------------------------------------------------- reference
def reference(
    x: torch.Tensor,
    weight: torch.Tensor,
    shift: torch.Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    act: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Compute the operation with ATen."""
    u = F.conv2d(x, weight, None, list(stride), list(padding), list(dilation))
    return epilogue.activate(epilogue.combine(u, None, shift, None), act, slope)


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def patches_fwd_kernel(
    x_ptr,
    w_ptr,  # [N_OUT, KH * KW * C]
    shift_ptr,
    y_ptr,
    pixels,  # of the result, in all images
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    OH: tl.constexpr,
    OW: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    SH: tl.constexpr,
    SW: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    DH: tl.constexpr,
    DW: tl.constexpr,
    N_OUT: tl.constexpr,
    SHIFT: tl.constexpr,
    ACT: tl.constexpr,
    SLOPE: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Write BM pixels of BN output channels."""
    K: tl.constexpr = KH * KW * C
    TN: tl.constexpr = (N_OUT + BN - 1) // BN
    pixel = (tl.program_id(0) // TN).to(tl.int64) * BM + tl.arange(0, BM)
    out = tl.program_id(0) % TN * BN + tl.arange(0, BN)
    pixel_ok = pixel < pixels
    out_ok = out < N_OUT
    at = (pixel % (OH * OW)).to(tl.int32)
    ih = at // OW * SH - PH
    iw = at % OW * SW - PW
    x_pixel = x_ptr + pixel // (OH * OW) * (H * W * C) + (ih * W + iw) * C
    sums = tl.zeros((BM, BN), tl.float32)
    for first in tl.range(0, K, BK, num_stages=1):
        k = first + tl.arange(0, BK)
        down = k // (KW * C) * DH
        right = k // C % KW * DW
        inside = (ih[:, None] + down[None, :] >= 0) & (ih[:, None] + down[None, :] < H)
        inside = inside & (iw[:, None] + right[None, :] >= 0) & (iw[:, None] + right[None, :] < W)
        ok = inside & pixel_ok[:, None] & (k < K)[None, :]
        a = tl.load(x_pixel[:, None] + ((down * W + right) * C + k % C)[None, :], ok, 0.0)
        w = tl.load(w_ptr + out[None, :] * K + k[:, None], out_ok[None, :] & (k < K)[:, None], 0.0)
        if UPCAST:  # the interpreter multiplies bf16 as if it were integers
            a = a.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(a, w, sums, input_precision=PRECISION)
    if SHIFT:
        sums = sums + row(shift_ptr + out, out_ok)
    place = (pixel * N_OUT)[:, None] + out[None, :]
    ok = pixel_ok[:, None] & out_ok[None, :]
    tl.store(y_ptr + place, activated(sums, ACT, SLOPE).to(y_ptr.dtype.element_ty), ok)


# ---------------------------------------------------------------------------------------------------- launcher
class Tile(NamedTuple):
    """What one program does: pixels, output channels, and numbers of a patch at a time."""

    pixels: int
    channels: int
    depth: int
    warps: int = 4


def tile_for(out: int) -> Tile:
    """Choose the tile: all output channels up to 64, so that patches are gathered once.

    On an H200, 256 images in bf16: 91 us with 256 pixels, 94 with 128 and 141 with 64, for 3x3 windows and 32 channels.
    """
    return Tile(256, power(out, 16, 64), 32)


def launch(
    x: torch.Tensor,
    weight: torch.Tensor,
    shift: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    act: str,
    slope: float,
    tile: Tile | None = None,
    y: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the kernel; x is dense in channels_last, and so is the result."""
    n, c, h, w = x.shape
    out, _, kh, kw = weight.shape
    oh, ow = size_after((h, w), (kh, kw), stride, padding, dilation)
    y = empty_last(x, (n, out, oh, ow)) if y is None else y
    if y.numel() == 0:
        return y
    tile = tile or tile_for(out)
    pixels = n * oh * ow
    start(
        patches_fwd_kernel, -(-pixels // tile.pixels) * -(-out // tile.channels),
        x, weight.permute(0, 2, 3, 1).reshape(out, -1).contiguous(), shift, y, pixels, C=c,
        **windows((h, w), (oh, ow), (kh, kw), stride, padding, dilation), N_OUT=out, SHIFT=shift is not None,
        ACT=act, SLOPE=slope, PRECISION=precision(x.dtype), UPCAST=interpreted(),
        BM=tile.pixels, BN=tile.channels, BK=tile.depth, num_warps=tile.warps,
    )  # fmt: skip
    return y


# ---------------------------------------------------------------------------------------------------- operator
@torch.library.custom_op(
    "archdsl::patches_conv2d",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? shift, int[2] stride, int[2] padding, int[2] dilation, str act, "
    "float slope) -> Tensor",
)
def _forward(x, weight, shift, stride, padding, dilation, act, slope):
    last = is_last(x)
    oh, ow = size_after(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    if runs(x, weight, image=weight.shape[0] * oh * ow):
        y = launch(dense(x, True), weight, shift, stride, padding, dilation, act, slope)
        return y if last else dense(y, last, fresh=True)
    return dense(reference(x, weight, shift, stride, padding, dilation, act, slope), last, fresh=True)


@_forward.register_fake
def _(x, weight, shift, stride, padding, dilation, act, slope):
    size = size_after(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return like_format(x, (x.shape[0], weight.shape[0], *size), is_last(x))


@register_flop_formula(torch.ops.archdsl.patches_conv2d)
def _(x_shape, w_shape, *rest, out_shape=None, **named):
    n, c, h, w = out_shape
    return 2 * n * c * h * w * w_shape[1] * w_shape[2] * w_shape[3]


# ---------------------------------------------------------------------------------------------------- function
def patches_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    shift: torch.Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    act: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Convolve, for a few input channels: act(conv(x) + shift).

    x is [N, C, H, W], weight [OUT, C, KH, KW], shift [OUT]. The result has the memory format of x. Sums are in float32.
    Any number of channels is right, few are fast. Has no gradient: it is for inference. On a GPU one Triton kernel,
    elsewhere ATen.

    Raises `ValueError` for shapes that do not fit and unknown activations.
    """
    epilogue.check(act)
    if x.dim() != 4 or weight.dim() != 4 or weight.shape[1] != x.shape[1]:
        raise ValueError(f"needs a weight [OUT, C, KH, KW] for an input {list(x.shape)}, got {list(weight.shape)}")
    where = (pair(stride), pair(padding), pair(dilation))
    if min(size_after(x.shape[2:], weight.shape[2:], *where)) < 1:
        raise ValueError(f"a window {list(weight.shape[2:])} does not fit an input {list(x.shape)}")
    return _forward(x, weight, shift, *where, act, slope)
