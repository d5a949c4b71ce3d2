"""Depthwise and 1x1 convolution in one kernel: what lies between them never reaches memory.

    a = act(depthwise(x) * scale + shift)
    y = act_out(a @ weight.T * scale_out + shift_out + residual)

A program owns some pixels and up to 128 output channels. It walks the channels of `a` in blocks, computes the depthwise
convolution of a block in registers, streaming rows as `depthwise` does, and gives it to the tensor cores as one
operand. In a MobileNet v2 the widest maps are those between the two, so a third of all bytes stays unmoved.

Further output channels are further programs, which compute the same depthwise convolution anew and read the input once
more. That saves no bytes beyond 256 channels and costs instructions at once, so `archdsl.optimize` takes this kernel
for up to 128 output channels, where nothing is computed twice.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from archdsl.kernels import depthwise, epilogue, pointwise
from archdsl.kernels.available import interpreted, jit, runs, start, tl
from archdsl.kernels.depthwise import Geometry, geometry_of, rows_for, tap_major
from archdsl.kernels.epilogue import activated
from archdsl.kernels.layout import cast_for_autocast, dense, empty_last, is_last, like_format, pair, power
from archdsl.kernels.registers import replaced, row, rows, zeros
from torch.utils.flop_counter import register_flop_formula

Maybe = torch.Tensor | None

WIDEST = 128  # output channels of a program; further ones compute the depthwise part anew


# ---------------------------------------------------------------------------------------------------- reference
def reference(
    x: torch.Tensor,
    taps: torch.Tensor,
    weight: torch.Tensor,
    scale: Maybe = None,
    shift: Maybe = None,
    scale_out: Maybe = None,
    shift_out: Maybe = None,
    residual: Maybe = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    act: str = "none",
    act_out: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Compute the operation with ATen."""
    a = depthwise.reference(x, taps, scale, shift, None, stride, padding, dilation, act, slope)
    return pointwise.reference(a, weight, scale_out, shift_out, residual, act=act_out, slope=slope)


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def separable_fwd_kernel(
    x_ptr,
    taps_ptr,  # [KH * KW, C]
    scale_ptr,
    shift_ptr,
    w_ptr,  # [N_OUT, C]
    scale_out_ptr,
    shift_out_ptr,
    residual_ptr,
    y_ptr,
    lanes,  # columns of all strips of all images
    C: tl.constexpr,
    M: tl.constexpr,
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
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    SCALE_OUT: tl.constexpr,
    SHIFT_OUT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACT: tl.constexpr,
    ACT_OUT: tl.constexpr,
    SLOPE: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    ROWS: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write ROWS pixels of one column in each of BM lanes, and BN output channels.

    Lanes are counted through columns, strips of ROWS rows and images, so none is idle at the edge of a map. One pixel
    of each lane makes one operand of a matrix product. What a lane reads lies at constant distances from its first
    element, so all loads share one address.
    """
    TN: tl.constexpr = (N_OUT + BN - 1) // BN
    TH: tl.constexpr = (OH + ROWS - 1) // ROWS
    XW: tl.constexpr = C // M
    pid = tl.program_id(0)
    out = pid % TN * BN + tl.arange(0, BN)
    out_ok = out < N_OUT
    lane = (pid // TN).to(tl.int64) * BM + tl.arange(0, BM)
    lane_ok = lane < lanes
    n = lane // (TH * OW)
    oh = (lane // OW % TH * ROWS).to(tl.int32)
    ow = (lane % OW).to(tl.int32)
    ih = oh * SH - PH
    iw = ow * SW - PW
    x_lane = n * (C // M * H * W) + (ih * W + iw) * XW
    sums = zeros(ROWS, BM, BN)
    for first in tl.range(0, C, BK, num_stages=STAGES):
        c = first + tl.arange(0, BK)
        known = c < C
        taps = rows(taps_ptr + c, known, KH * KW, C)
        x_tile = x_ptr + x_lane[:, None] + (c // M)[None, :]
        a = zeros(ROWS, BM, BK)
        for i in tl.static_range((ROWS - 1) * SH + (KH - 1) * DH + 1):
            row_ok = lane_ok & (ih + i >= 0) & (ih + i < H)
            for kw in tl.static_range(KW):
                ok = row_ok & (iw + kw * DW >= 0) & (iw + kw * DW < W)
                x = tl.load(x_tile + (i * W + kw * DW) * XW, ok[:, None] & known[None, :], 0.0).to(tl.float32)
                for kh in tl.static_range(KH):
                    if i >= kh * DH:
                        if (i - kh * DH) % SH == 0 and (i - kh * DH) // SH < ROWS:
                            more = a[(i - kh * DH) // SH] + x * taps[kh * KW + kw]
                            a = replaced(a, (i - kh * DH) // SH, more)
        scale = row(scale_ptr + c, known) if SCALE else 1.0
        shift = row(shift_ptr + c, known) if SHIFT else 0.0
        w = tl.load(w_ptr + out[None, :] * C + c[:, None], known[:, None] & out_ok[None, :], 0.0)
        if UPCAST:  # the interpreter multiplies bf16 as if it were integers
            w = w.to(tl.float32)
        for r in tl.static_range(ROWS):
            pixels = activated(a[r] * scale + shift, ACT, SLOPE).to(y_ptr.dtype.element_ty)
            if UPCAST:
                pixels = pixels.to(tl.float32)
            sums = replaced(sums, r, tl.dot(pixels, w, sums[r], input_precision=PRECISION))
    scale_out = row(scale_out_ptr + out, out_ok) if SCALE_OUT else 1.0
    shift_out = row(shift_out_ptr + out, out_ok) if SHIFT_OUT else 0.0
    y_tile = (n * (N_OUT * OH * OW) + (oh * OW + ow) * N_OUT)[:, None] + out[None, :]
    for r in tl.static_range(ROWS):
        ok = (lane_ok & (oh + r < OH))[:, None] & out_ok[None, :]
        place = y_tile + r * (OW * N_OUT)
        z = sums[r] * scale_out + shift_out
        if RESIDUAL:
            z += tl.load(residual_ptr + place, ok, 0.0).to(tl.float32)
        tl.store(y_ptr + place, activated(z, ACT_OUT, SLOPE).to(y_ptr.dtype.element_ty), ok)


# ---------------------------------------------------------------------------------------------------- launcher
class Tile(NamedTuple):
    """What one program does: rows of a strip, lanes, output channels, and channels between at a time."""

    rows: int
    lanes: int
    channels: int
    depth: int = 16
    warps: int = 4
    stages: int = 2


@functools.lru_cache(1024)
def tile_for(g: Geometry, out: int, half: bool = True) -> Tile:
    """Choose the tile: 16 lanes a warp, for the tensor cores would have more warps compute each lane anew.

    From instruction counts (benchmarks/results/instructions.json): 28 a value between the two convolutions with 4 rows,
    37 with 2, which 128 output channels or two rows of a stride leave registers for.
    """
    channels = power(out, 16, WIDEST)
    rows = rows_for(g.out[0], 4 if channels < 64 or (channels == 64 and max(g.stride) == 1) else 2)
    wide = channels == WIDEST
    # 2 stages load a block while the last one is computed; of float32, 115 KiB, a small GPU has no room for both
    return Tile(rows, 128 if wide else 64, channels, warps=8 if wide else 4, stages=2 if half else 1)


def launch(
    x: torch.Tensor,
    taps: torch.Tensor,
    weight: torch.Tensor,
    scale: Maybe,
    shift: Maybe,
    scale_out: Maybe,
    shift_out: Maybe,
    residual: Maybe,
    g: Geometry,
    act: str,
    act_out: str,
    slope: float,
    tile: Tile | None = None,
    y: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the kernel; x and the residual are dense in channels_last, and so is the result."""
    out = weight.shape[0]
    y = empty_last(x, (x.shape[0], out, *g.out)) if y is None else y
    if y.numel() == 0:
        return y
    tile = tile or tile_for(g, out, half=x.dtype.itemsize == 2)
    lanes = x.shape[0] * -(-g.out[0] // tile.rows) * g.out[1]
    start(
        separable_fwd_kernel, -(-lanes // tile.lanes) * -(-out // tile.channels),
        x, tap_major(taps), scale, shift, weight.reshape(out, -1).contiguous(), scale_out, shift_out, residual, y,
        lanes, **g.constants(), N_OUT=out, SCALE=scale is not None, SHIFT=shift is not None,
        SCALE_OUT=scale_out is not None, SHIFT_OUT=shift_out is not None, RESIDUAL=residual is not None,
        ACT=act, ACT_OUT=act_out, SLOPE=slope, PRECISION=pointwise.precision(x.dtype), UPCAST=interpreted(),
        ROWS=tile.rows, BM=tile.lanes, BN=tile.channels, BK=tile.depth, STAGES=tile.stages, num_warps=tile.warps,
    )  # fmt: skip
    return y


# ---------------------------------------------------------------------------------------------------- operator
@torch.library.custom_op(
    "archdsl::separable_conv2d",
    mutates_args=(),
    schema="(Tensor x, Tensor taps, Tensor weight, Tensor? scale, Tensor? shift, Tensor? scale_out, Tensor? shift_out, "
    "Tensor? residual, int[2] stride, int[2] padding, int[2] dilation, str act, str act_out, float slope) -> Tensor",
)
def _forward(
    x, taps, weight, scale, shift, scale_out, shift_out, residual, stride, padding, dilation, act, act_out, slope
):
    g = geometry_of(x.shape, taps.shape, stride, padding, dilation)
    last = is_last(x)
    tensors = (scale, shift, scale_out, shift_out)
    if runs(x, taps, weight, residual, image=weight.shape[0] * g.out[0] * g.out[1]):
        residual = None if residual is None else dense(residual, True)
        y = launch(dense(x, True), taps, weight, *tensors, residual, g, act, act_out, slope)
        return y if last else dense(y, last, fresh=True)
    y = reference(x, taps, weight, *tensors, residual, stride, padding, dilation, act, act_out, slope)
    return dense(y, last, fresh=True)


@_forward.register_fake
def _(x, taps, weight, scale, shift, scale_out, shift_out, residual, stride, padding, dilation, act, act_out, slope):
    g = geometry_of(x.shape, taps.shape, stride, padding, dilation)
    return like_format(x, (x.shape[0], weight.shape[0], *g.out), is_last(x))


# ---------------------------------------------------------------------------------------------------- autograd
def _keep(ctx, inputs, output):
    *tensors, ctx.stride, ctx.padding, ctx.dilation, ctx.act, ctx.act_out, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, dy):
    """Compute what lies between anew, then go back through one convolution after the other."""
    x, taps, weight, scale, shift, scale_out, shift_out, residual = ctx.saved_tensors
    where = (ctx.stride, ctx.padding, ctx.dilation)
    needs = ctx.needs_input_grad
    first = (x, taps, scale, shift, None)
    a = torch.ops.archdsl.depthwise_conv2d(*first, *where, ctx.act, ctx.slope)
    second = (a, weight, scale_out, shift_out, residual, *[None] * 6)
    wanted = (True, needs[2], needs[5], needs[6], needs[7], *[False] * 6)
    da, dw, *others = pointwise.gradients(dy, second, wanted, act=ctx.act_out, slope=ctx.slope)
    dscale_out, dshift_out, dresidual = others[:3]
    wanted = (needs[0], needs[1], needs[3], needs[4], False)
    dx, dtaps, dscale, dshift, _ = depthwise.gradients(da, first, wanted, where, ctx.act, ctx.slope)
    return dx, dtaps, dw, dscale, dshift, dscale_out, dshift_out, dresidual, *[None] * 6


_forward.register_autograd(_backward, setup_context=_keep)


@register_flop_formula(torch.ops.archdsl.separable_conv2d)
def _(x_shape, taps_shape, w_shape, *rest, out_shape=None, **named):
    n, out, h, w = out_shape
    return 2 * n * h * w * taps_shape[0] * (taps_shape[2] * taps_shape[3] + out)


# ---------------------------------------------------------------------------------------------------- function
def separable_conv2d(
    x: torch.Tensor,
    taps: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    scale_out: torch.Tensor | None = None,
    shift_out: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    act: str = "none",
    act_out: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Convolve each channel by itself, then all of them with a 1x1 window, in one pass over memory.

    a = act(depthwise(x) * scale + shift), y = act_out(pointwise(a) * scale_out + shift_out + residual).

    x is [N, C, H, W], taps [M * C, 1, KH, KW], weight [OUT, M * C, 1, 1], scale and shift [M * C], scale_out and
    shift_out [OUT], the residual [N, OUT, H', W'] as the result; stride, padding and dilation are those of the
    depthwise convolution. On a GPU one Triton kernel, which rounds `a` to the type of x before the product, elsewhere
    ATen. Gradients compute `a` anew. The rest is as in `depthwise_conv2d`.

    Raises `ValueError` for shapes that do not fit and unknown activations.
    """
    epilogue.check(act)
    epilogue.check(act_out)
    if weight.dim() != 4 or tuple(weight.shape[1:]) != (taps.shape[0], 1, 1):
        raise ValueError(
            f"needs a weight [OUT, {taps.shape[0]}, 1, 1] behind {taps.shape[0]} channels, got {list(weight.shape)}"
        )
    x, taps, weight, residual = cast_for_autocast(x, taps, weight, residual)
    tensors = (x, taps, weight, scale, shift, scale_out, shift_out, residual)
    return _forward(*tensors, pair(stride), pair(padding), pair(dilation), act, act_out, slope)
