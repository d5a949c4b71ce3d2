"""The largest value of each window, each channel by itself: `F.max_pool2d` in channels_last, without indices.

ATen's kernel for channels_last takes 365 us for the pool of a ShuffleNet on 256 images, 24 channels of 112 x 112, in
bf16, where the bytes are 65 us of an H100.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from archdsl.kernels.available import jit, runs, start, tl
from archdsl.kernels.layout import dense, empty_last, is_last, like_format, pair, power, size_after, windows

ELEMENTS = 1024  # of a program


# ---------------------------------------------------------------------------------------------------- reference
def reference(
    x: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil: bool = False,
) -> torch.Tensor:
    """Compute the operation with ATen."""
    return F.max_pool2d(x, list(kernel), list(stride), list(padding), list(dilation), ceil)


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def max_pool_kernel(
    x_ptr,
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
    BM: tl.constexpr,
    BC: tl.constexpr,
):
    """Write BM pixels of BC channels; NaN is larger than everything, as in PyTorch."""
    TC: tl.constexpr = (C + BC - 1) // BC
    pixel = (tl.program_id(0) // TC).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.program_id(0) % TC * BC + tl.arange(0, BC)
    known = (pixel < pixels)[:, None] & (c < C)[None, :]
    at = (pixel % (OH * OW)).to(tl.int32)
    ih = at // OW * SH - PH
    iw = at % OW * SW - PW
    x_tile = x_ptr + (pixel // (OH * OW) * (H * W * C) + (ih * W + iw) * C)[:, None] + c[None, :]
    largest = tl.full((BM, BC), float("-inf"), tl.float32)
    for kh in tl.static_range(KH):
        for kw in tl.static_range(KW):
            row_ok = (ih + kh * DH >= 0) & (ih + kh * DH < H)
            ok = row_ok & (iw + kw * DW >= 0) & (iw + kw * DW < W)
            x = tl.load(x_tile + (kh * DH * W + kw * DW) * C, ok[:, None] & known, float("-inf")).to(tl.float32)
            largest = tl.maximum(largest, x, propagate_nan=tl.PropagateNan.ALL)
    tl.store(y_ptr + (pixel * C)[:, None] + c[None, :], largest.to(y_ptr.dtype.element_ty), known)


# ---------------------------------------------------------------------------------------------------- launcher
def launch(
    x: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil: bool = False,
    y: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the kernel; x is dense in channels_last, and so is the result."""
    n, c, h, w = x.shape
    oh, ow = size_after((h, w), kernel, stride, padding, dilation, ceil)
    y = empty_last(x, (n, c, oh, ow)) if y is None else y
    wide = power(c, 8, 64)
    pixels = n * oh * ow
    if y.numel():
        start(
            max_pool_kernel, -(-pixels * wide // ELEMENTS) * -(-c // wide), x, y, pixels, C=c,
            **windows((h, w), (oh, ow), kernel, stride, padding, dilation), BM=ELEMENTS // wide, BC=wide,
        )  # fmt: skip
    return y


# ---------------------------------------------------------------------------------------------------- operator
@torch.library.custom_op(
    "archdsl::max_pool2d",
    mutates_args=(),
    schema="(Tensor x, int[2] kernel, int[2] stride, int[2] padding, int[2] dilation, bool ceil) -> Tensor",
)
def _pool(x, kernel, stride, padding, dilation, ceil):
    last = is_last(x)
    if runs(x):
        y = launch(dense(x, True), kernel, stride, padding, dilation, ceil)
        return y if last else dense(y, last, fresh=True)
    return dense(reference(x, kernel, stride, padding, dilation, ceil), last, fresh=True)


@_pool.register_fake
def _(x, kernel, stride, padding, dilation, ceil):
    return like_format(x, (*x.shape[:2], *size_after(x.shape[2:], kernel, stride, padding, dilation, ceil)), is_last(x))


# ---------------------------------------------------------------------------------------------------- function
def max_pool2d(
    x: torch.Tensor,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil: bool = False,
) -> torch.Tensor:
    """Return the largest value of each window: `F.max_pool2d` with the same arguments, [N, C, H, W] -> [N, C, H', W'].

    The result has the memory format of x. Has no gradient: it is for inference. On a GPU one Triton kernel, elsewhere
    ATen.

    Raises `ValueError` for an input that is no map, or that a window does not fit.
    """
    where = (pair(kernel), pair(kernel if stride is None else stride), pair(padding), pair(dilation))
    if x.dim() != 4 or min(size_after(x.shape[2:], *where, ceil)) < 1:
        raise ValueError(f"a window {list(where[0])} does not fit an input {list(x.shape)}")
    if any(2 * p > k for p, k in zip(where[2], where[0])):
        raise ValueError(f"a padding {list(where[2])} of more than half of a window {list(where[0])}")
    return _pool(x, *where, ceil)
