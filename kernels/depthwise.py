"""Depthwise convolution with what follows it in the same pass: `y = act(conv(x) * scale + shift + residual)`.

A depthwise convolution does a few operations on each element, so its speed is that of memory, and what pays is to
move each tensor once: the convolution, its folded batch norm, the activation and the addition in one kernel. The
kernels stream rows: a program owns a strip of output rows, BW columns and BC channels, and each input row that it
loads feeds all output rows that it touches. A 3x3 window then loads an element 3 * (ROWS + 2) / ROWS times instead of
9. Sizes, strides and channels are compile-time constants: with run-time channels, every count that 16 does not divide
(24, 40, 58, 72, 116, …) compiles to loads of 2 bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from archdsl.kernels import epilogue
from archdsl.kernels.available import jit, runs, start, tl
from archdsl.kernels.epilogue import activated
from archdsl.kernels.layout import (
    cast_for_autocast,
    dense,
    empty_last,
    is_last,
    like_format,
    pair,
    power,
    size_after,
    windows,
)
from archdsl.kernels.registers import replaced, row, rows, zeros
from torch import nn
from torch.utils.flop_counter import register_flop_formula

# ---------------------------------------------------------------------------------------------------- reference


def reference(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    act: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Compute the operation with ATen: what every kernel is held to, and what runs where no kernel does."""
    u = F.conv2d(x, weight, None, list(stride), list(padding), list(dilation), x.shape[1])
    return epilogue.activate(epilogue.combine(u, scale, shift, residual), act, slope)


def reference_grads(
    dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, geometry: Geometry, wanted: tuple[bool, bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Compute the gradients at the input and the weight with ATen."""
    stride, padding, dilation = geometry.stride, geometry.padding, geometry.dilation
    mask = [*wanted, False]
    dx, dw, _ = torch.ops.aten.convolution_backward(
        dy, x, weight, None, stride, padding, dilation, False, [0, 0], x.shape[1], mask
    )
    return dx, dw


# ---------------------------------------------------------------------------------------------------- kernels
@jit
def depthwise_fwd_kernel(
    x_ptr,
    w_ptr,  # [KH * KW, C]: the weights of a tap lie side by side
    scale_ptr,
    shift_ptr,
    residual_ptr,
    y_ptr,
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
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACT: tl.constexpr,
    SLOPE: tl.constexpr,
    ROWS: tl.constexpr,
    BW: tl.constexpr,
    BC: tl.constexpr,
):
    """Write ROWS output rows of BW columns and BC of the C output channels; M output channels share an input's."""
    TC: tl.constexpr = (C + BC - 1) // BC
    TW: tl.constexpr = (OW + BW - 1) // BW
    TH: tl.constexpr = (OH + ROWS - 1) // ROWS
    XW: tl.constexpr = C // M
    pid = tl.program_id(0)
    c = pid % TC * BC + tl.arange(0, BC)
    ow = pid // TC % TW * BW + tl.arange(0, BW)
    oh = pid // (TC * TW) % TH * ROWS
    n = (pid // (TC * TW * TH)).to(tl.int64)
    known = c < C
    ih = oh * SH - PH
    iw = ow * SW - PW
    x_image = x_ptr + n * (C // M * H * W)
    x_tile = iw[:, None] * XW + (c // M)[None, :]  # one tile of offsets serves all rows and taps
    taps = rows(w_ptr + c, known, KH * KW, C)
    sums = zeros(ROWS, BW, BC)
    for i in tl.static_range((ROWS - 1) * SH + (KH - 1) * DH + 1):
        inside = (ih + i >= 0) & (ih + i < H)
        for kw in tl.static_range(KW):
            column = iw + kw * DW
            ok = (inside & (column >= 0) & (column < W))[:, None] & known[None, :]
            x = tl.load(x_image + (ih + i) * (W * XW) + kw * DW * XW + x_tile, ok, 0.0).to(tl.float32)
            for kh in tl.static_range(KH):
                if i >= kh * DH:
                    if (i - kh * DH) % SH == 0 and (i - kh * DH) // SH < ROWS:
                        more = sums[(i - kh * DH) // SH] + x * taps[kh * KW + kw]
                        sums = replaced(sums, (i - kh * DH) // SH, more)
    scale = row(scale_ptr + c, known) if SCALE else 1.0
    shift = row(shift_ptr + c, known) if SHIFT else 0.0
    y_image = n * (C * OH * OW)
    y_tile = ow[:, None] * C + c[None, :]
    for r in tl.static_range(ROWS):
        ok = ((ow < OW) & (oh + r < OH))[:, None] & known[None, :]
        place = y_image + (oh + r) * (OW * C) + y_tile
        z = sums[r] * scale + shift
        if RESIDUAL:
            z += tl.load(residual_ptr + place, ok, 0.0).to(tl.float32)
        tl.store(y_ptr + place, activated(z, ACT, SLOPE).to(y_ptr.dtype.element_ty), ok)


@jit
def depthwise_grads_kernel(
    dy_ptr,
    x_ptr,
    w_ptr,  # [KH * KW, C]
    dx_ptr,
    part_ptr,  # [SPLITS, KH * KW, C], float32
    tiles,
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
    INPUT: tl.constexpr,
    WEIGHT: tl.constexpr,
    SPLITS: tl.constexpr,
    ROWS: tl.constexpr,
    BW: tl.constexpr,
    BC: tl.constexpr,
):
    """Write every SPLITS-th tile of dx, and sum dy * x over the same tiles; both or, by the flags, one. M is 1.

    A tile is ROWS * SH rows of BW * SW columns of dx. dx[h, w] takes dy[(h + PH - kh * DH) / SH, …] where that divides:
    which taps do depends on h % SH and w % SW only. So the rows and columns are walked in groups of SH and SW, each
    place in a group has its own taps, known at compile time, and every element of dy is loaded once for all of them.

    An element of dy meets an element of x at one tap, whose weight it takes into dx and to whose gradient both give
    their product: what is loaded for one gradient is all that the other needs. No two programs add to one place: each
    writes its own part of dw, and the parts are summed in a fixed order, so the result is the same bits in every run.
    """
    TC: tl.constexpr = (C + BC - 1) // BC
    TW: tl.constexpr = (W + BW * SW - 1) // (BW * SW)
    TH: tl.constexpr = (H + ROWS * SH - 1) // (ROWS * SH)
    # rows of dy that a group of rows of dx touches: offsets from FIRST_H to FIRST_H + COUNT_H - 1
    FIRST_H: tl.constexpr = (PH - (KH - 1) * DH) // SH
    FIRST_W: tl.constexpr = (PW - (KW - 1) * DW) // SW
    COUNT_H: tl.constexpr = (SH - 1 + PH) // SH - FIRST_H + 1
    COUNT_W: tl.constexpr = (SW - 1 + PW) // SW - FIRST_W + 1
    c = tl.program_id(0) % TC * BC + tl.arange(0, BC)
    split = tl.program_id(0) // TC
    known = c < C
    taps = rows(w_ptr + c, known, KH * KW, C) if INPUT else ()
    dws = zeros(KH * KW if WEIGHT else 0, BW, BC)
    for tile in range(split, tiles, SPLITS):
        gw = tile % TW * BW + tl.arange(0, BW)
        gh = tile // TW % TH * ROWS
        n = tl.cast(tile // (TW * TH), tl.int64)
        x_image = n * (C * H * W)
        x_tile = (gw * SW)[:, None] * C + c[None, :]
        xs = ()
        for r in tl.static_range(ROWS if WEIGHT else 0):
            for rh in tl.static_range(SH):
                for rw in tl.static_range(SW):
                    h = (gh + r) * SH + rh
                    ok = ((gw * SW + rw < W) & (h < H))[:, None] & known[None, :]
                    place = x_image + h * (W * C) + rw * C + x_tile
                    xs = xs + (tl.load(x_ptr + place, ok, 0.0).to(tl.float32),)  # noqa: RUF005
        dxs = zeros(ROWS * SH * SW if INPUT else 0, BW, BC)
        dy_image = dy_ptr + n * (C * OH * OW)
        dy_tile = (gw[:, None] + FIRST_W) * C + c[None, :]
        for a in tl.static_range(COUNT_H + ROWS - 1):
            oh = gh + FIRST_H + a
            inside = (oh >= 0) & (oh < OH)
            for b in tl.static_range(COUNT_W):
                ow = gw + FIRST_W + b
                ok = (inside & (ow >= 0) & (ow < OW))[:, None] & known[None, :]
                dy = tl.load(dy_image + oh * (OW * C) + b * C + dy_tile, ok, 0.0).to(tl.float32)
                for r in tl.static_range(ROWS):
                    for rh in tl.static_range(SH):
                        for kh in tl.static_range(KH):
                            if rh + PH - kh * DH == (FIRST_H + a - r) * SH:
                                for rw in tl.static_range(SW):
                                    for kw in tl.static_range(KW):
                                        if rw + PW - kw * DW == (FIRST_W + b) * SW:
                                            if INPUT:
                                                more = dxs[(r * SH + rh) * SW + rw] + dy * taps[kh * KW + kw]
                                                dxs = replaced(dxs, (r * SH + rh) * SW + rw, more)
                                            if WEIGHT:
                                                more = dws[kh * KW + kw] + dy * xs[(r * SH + rh) * SW + rw]
                                                dws = replaced(dws, kh * KW + kw, more)
        for r in tl.static_range(ROWS if INPUT else 0):
            for rh in tl.static_range(SH):
                for rw in tl.static_range(SW):
                    h = (gh + r) * SH + rh
                    ok = ((gw * SW + rw < W) & (h < H))[:, None] & known[None, :]
                    place = x_image + h * (W * C) + rw * C + x_tile
                    tl.store(dx_ptr + place, dxs[(r * SH + rh) * SW + rw].to(dx_ptr.dtype.element_ty), ok)
    for t in tl.static_range(KH * KW if WEIGHT else 0):
        tl.store(part_ptr + (split * (KH * KW) + t) * C + c, tl.sum(dws[t], 0), known)


# ---------------------------------------------------------------------------------------------------- launchers
class Geometry(NamedTuple):
    """Everything about a convolution but its batch: the compile-time constants of the kernels."""

    channels: int  # of the result
    multiplier: int
    size: tuple[int, int]
    out: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def constants(self) -> dict[str, Any]:
        """Return the constants by the names that the kernels give them."""
        where = windows(self.size, self.out, self.kernel, self.stride, self.padding, self.dilation)
        return {"C": self.channels, "M": self.multiplier, **where}


class Tile(NamedTuple):
    """What one program does: rows, columns (a power of two), channels (a power of two), with how many warps."""

    rows: int
    columns: int
    channels: int
    warps: int = 4


def geometry_of(
    shape: Sequence[int],
    weight: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Geometry:
    """Return the geometry for an input [N, C, H, W] and a weight [M * C, 1, KH, KW]; raises `ValueError`."""
    if len(shape) != 4 or len(weight) != 4 or weight[1] != 1 or shape[1] == 0 or weight[0] % shape[1]:
        raise ValueError(
            f"needs an input [N, C, H, W] and a weight [M*C, 1, KH, KW], got {list(shape)} and {list(weight)}"
        )
    pairs = list(zip(shape[2:], weight[2:], stride, padding, dilation))
    out = size_after(shape[2:], weight[2:], stride, padding, dilation)
    if min(out) < 1:
        raise ValueError(
            f"a window {list(weight[2:])} does not fit an input {list(shape)} with padding {list(padding)}"
        )
    (h, kh, sh, ph, dh), (w, kw, sw, pw, dw) = pairs
    return Geometry(weight[0], weight[0] // shape[1], (h, w), out, (kh, kw), (sh, sw), (ph, pw), (dh, dw))


def rows_for(height: int, most: int) -> int:
    """Return how many rows a program takes: as even a division of the height as there is, 7 of 14 or 28."""
    return min(range(1, most + 1), key=lambda r: (-(-height // r) * r * (r + 2) / r, -r))


def channel_block(channels: int, most: int) -> int:
    """Return the largest block of channels that wastes little: 16 divides 144, where a block of 64 computes 192."""
    computed = {block: -(-channels // block) * block for block in (64, 32, 16) if block <= most}
    return next(block for block, count in computed.items() if count <= 1.15 * min(computed.values()))


@functools.lru_cache(1024)
def forward_tile(g: Geometry) -> Tile:
    """Choose the tile of the forward kernel.

    Measured on an H100 and an H200 in bf16, 17 layers with 3x3 windows, 12 tiles each: 7 x 8 x 64 with 4 warps, so 4
    elements and loads of 8 bytes a thread, is the fastest or within 4 % of it; with half the warps, so loads of 16
    bytes, it takes 1.1 to 1.5 times as long, for fewer threads fit an SM. Maps of 14 rows are one strip (8 % less), and
    of 32 channels 16 columns (10 %). Larger windows hold more weights in registers, so a thread gets fewer elements.
    """
    taps = g.kernel[0] * g.kernel[1]
    channels = channel_block(g.channels, 64 if taps <= 9 else 32)
    columns = power(g.out[1], 4, 16 if taps <= 9 and channels == 32 and g.out[1] % 16 == 0 else 8)
    low = taps <= 9 and max(g.stride) == 1 and g.out[0] <= 14
    rows = rows_for(g.out[0], 14 if low else 7)
    return Tile(rows, columns, channels, warps_for(columns * channels, 4 if taps <= 25 else 2))


def warps_for(elements: int, each: int) -> int:
    """Return the warps with which a thread holds so many elements of a row of the tile; 8 of bf16 are 16 bytes."""
    return power(elements // (32 * each), 1, 4)


MOST_TAPS = 49  # beyond, a thread cannot hold a weight and a sum for each


@functools.lru_cache(1024)
def grads_tile(g: Geometry) -> Tile:
    """Choose the tile of the gradients: a thread keeps a weight and a sum for every tap."""
    taps = g.kernel[0] * g.kernel[1]
    channels = channel_block(g.channels, 64 if taps <= 25 else 32)
    rows = 2 if max(g.stride) > 1 else rows_for(g.size[0], 7 if taps <= 25 else 4)
    columns = max(4, 128 // channels)
    return Tile(rows, columns, channels, warps_for(columns * channels, 4 if taps <= 9 else 2 if taps <= 25 else 1))


def strips(height: int, width: int, tile: Tile) -> int:
    """Count the tiles of one image and one block of channels."""
    return -(-height // tile.rows) * -(-width // tile.columns)


def tap_major(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight [C, 1, KH, KW] as [KH * KW, C]; a view where it is stored so, as `optimize` stores it."""
    return weight.permute(2, 3, 1, 0).reshape(-1, weight.shape[0]).contiguous()


def launch_fwd(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor | None,
    shift: torch.Tensor | None,
    residual: torch.Tensor | None,
    g: Geometry,
    act: str,
    slope: float,
    tile: Tile | None = None,
    y: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the forward kernel; x and the residual are dense in channels_last, and so is the result."""
    y = empty_last(x, (x.shape[0], g.channels, *g.out)) if y is None else y
    if y.numel() == 0:
        return y
    tile = tile or forward_tile(g)
    programs = x.shape[0] * strips(*g.out, tile) * -(-g.channels // tile.channels)
    start(
        depthwise_fwd_kernel, programs, x, tap_major(weight), scale, shift, residual, y, **g.constants(),
        SCALE=scale is not None, SHIFT=shift is not None, RESIDUAL=residual is not None, ACT=act, SLOPE=slope,
        ROWS=tile.rows, BW=tile.columns, BC=tile.channels, num_warps=tile.warps,
    )  # fmt: skip
    return y


WARPS = (
    1536  # of the gradients; as many as an H200 holds of 168 registers, and fixed: it decides the order of summation
)


def launch_grads(
    dy: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    g: Geometry,
    wanted: Sequence[bool] = (True, True),
    tile: Tile | None = None,
    dx: torch.Tensor | None = None,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Run the kernel of the gradients, of the input and of the weight as wanted, and sum the parts of the weight's."""
    dx = empty_last(x, x.shape) if dx is None and wanted[0] else dx
    tile = tile or grads_tile(g)
    blocks = -(-g.channels // tile.channels)
    groups = (-(-g.size[0] // g.stride[0]), -(-g.size[1] // g.stride[1]))
    tiles = dy.shape[0] * strips(*groups, tile)
    splits = max(1, min(tiles, WARPS // (tile.warps * blocks)))
    parts = torch.empty(splits, *g.kernel, g.channels, dtype=torch.float32, device=dy.device) if wanted[1] else None
    start(
        depthwise_grads_kernel, blocks * splits, dy, x, tap_major(weight), dx, parts, tiles, **g.constants(),
        INPUT=wanted[0], WEIGHT=wanted[1], SPLITS=splits,
        ROWS=tile.rows, BW=tile.columns, BC=tile.channels, num_warps=tile.warps,
    )  # fmt: skip
    return dx, None if parts is None else summed(parts, weight)


def summed(parts: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum parts [SPLITS, KH, KW, C] of a weight's gradient, in a fixed order."""
    return parts.sum(0).permute(2, 0, 1).unsqueeze(1).to(weight.dtype, memory_format=torch.contiguous_format)


# ---------------------------------------------------------------------------------------------------- operators
@torch.library.custom_op(
    "archdsl::depthwise_conv2d",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? scale, Tensor? shift, Tensor? residual, int[2] stride, int[2] padding, "
    "int[2] dilation, str act, float slope) -> Tensor",
)
def _forward(x, weight, scale, shift, residual, stride, padding, dilation, act, slope):
    g = geometry_of(x.shape, weight.shape, stride, padding, dilation)
    last = is_last(x)
    if runs(x, weight, residual, image=g.channels * g.out[0] * g.out[1]):
        residual = None if residual is None else dense(residual, True)
        y = launch_fwd(dense(x, True), weight, scale, shift, residual, g, act, slope)
        return y if last else dense(y, last, fresh=True)
    y = reference(x, weight, scale, shift, residual, stride, padding, dilation, act, slope)
    return dense(y, last, fresh=True)


@torch.library.custom_op(
    "archdsl::depthwise_conv2d_grads",
    mutates_args=(),
    schema="(Tensor dy, Tensor x, Tensor weight, int[2] stride, int[2] padding, int[2] dilation, bool[2] wanted) -> "
    "(Tensor, Tensor)",
)
def _grads(dy, x, weight, stride, padding, dilation, wanted):
    """Return the gradients at x and at the weight; one that is not wanted is empty."""
    g = geometry_of(x.shape, weight.shape, stride, padding, dilation)
    last = is_last(x)
    small = g.multiplier == 1 and g.kernel[0] * g.kernel[1] <= MOST_TAPS
    if small and runs(dy, x, weight):
        dx, dw = launch_grads(dense(dy, True), dense(x, True), weight, g, wanted)
    else:
        dx, dw = reference_grads(dy, x, weight, g, wanted)
    return (
        x.new_empty(0) if dx is None else dense(dx, last, fresh=True),
        x.new_empty(0) if dw is None else dense(dw, False, fresh=True),
    )


@_forward.register_fake
def _(x, weight, scale, shift, residual, stride, padding, dilation, act, slope):
    g = geometry_of(x.shape, weight.shape, stride, padding, dilation)
    return like_format(x, (x.shape[0], g.channels, *g.out), is_last(x))


@_grads.register_fake
def _(dy, x, weight, stride, padding, dilation, wanted):
    dx = like_format(x, x.shape, is_last(x)) if wanted[0] else x.new_empty(0)
    return dx, weight.new_empty(weight.shape if wanted[1] else 0)


# ---------------------------------------------------------------------------------------------------- autograd
def gradients(
    dy: torch.Tensor,
    tensors: Sequence[torch.Tensor | None],
    needs: Sequence[bool],
    where: Sequence[Sequence[int]],
    act: str,
    slope: float,
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients at x, weight, scale, shift and residual, as far as each is needed.

    Where that of the epilogue needs the convolution, it is computed anew: a pass, instead of a tensor kept.
    """
    x, weight, scale, shift, residual = tensors
    dz, dscale = dy, None
    if act != "none" or needs[2]:
        u = _forward(x, weight, None, None, None, *where, "none", 0.0)
        dz = epilogue.activation_grad(dy, epilogue.combine(u, scale, shift, residual), act, slope)
        dscale = epilogue.channel_sum(dz * u).to(scale.dtype) if needs[2] else None
    dshift = epilogue.channel_sum(dz).to(shift.dtype) if needs[3] else None
    du = dz if scale is None else dz * epilogue.by_channel(scale).to(dz.dtype)
    dx = dw = None
    if needs[0] or needs[1]:
        dx, dw = _grads(du, x, weight, *where, needs[:2])
    return dx if needs[0] else None, dw if needs[1] else None, dscale, dshift, dz if needs[4] else None


def _keep(ctx, inputs, output):
    x, weight, scale, shift, residual, *ctx.where, ctx.act, ctx.slope = inputs
    ctx.save_for_backward(x, weight, scale, shift, residual if ctx.act != "none" else None)


def _backward(ctx, dy):
    needs = ctx.needs_input_grad[:5]
    return *gradients(dy, ctx.saved_tensors, needs, ctx.where, ctx.act, ctx.slope), *[None] * 5


_forward.register_autograd(_backward, setup_context=_keep)


def _keep_grads(ctx, inputs, output):
    dy, x, weight, *ctx.where, ctx.wanted = inputs
    ctx.save_for_backward(dy, x, weight)


def _grads_backward(ctx, ddx, ddw):
    """Leave second derivatives to ATen: they are rare, and no kernel of ours is faster at them."""
    dy, x, weight = ctx.saved_tensors
    ddx, ddw = (dd if wanted else None for dd, wanted in zip((ddx, ddw), ctx.wanted))
    found = torch.ops.aten._convolution_double_backward(
        ddx, ddw, None, dy, weight, x, *ctx.where, False, [0, 0], x.shape[1], ctx.needs_input_grad[:3]
    )
    return *found, *[None] * 4


_grads.register_autograd(_grads_backward, setup_context=_keep_grads)


# ---------------------------------------------------------------------------------------------------- FLOPs
def _flops(out: Sequence[int], weight: Sequence[int]) -> int:
    n, c, h, w = out
    return 2 * n * c * h * w * weight[2] * weight[3]


@register_flop_formula(torch.ops.archdsl.depthwise_conv2d)
def _(x_shape, w_shape, *rest, out_shape=None, **named):
    return _flops(out_shape, w_shape)


@register_flop_formula(torch.ops.archdsl.depthwise_conv2d_grads)
def _(dy_shape, x_shape, w_shape, stride, padding, dilation, wanted, **named):
    return sum(wanted) * _flops(dy_shape, w_shape)


# ---------------------------------------------------------------------------------------------------- function
def depthwise_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    act: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Convolve each channel by itself: act(conv(x) * scale + shift + residual).

    x is [N, C, H, W], channels_last or contiguous, weight [M * C, 1, KH, KW], scale and shift [M * C], the residual
    [N, M * C, H', W'] as the result. `act` is one of `epilogue.ACTIVATIONS`; `slope` is that of leaky_relu. The result
    has the memory format of x. On a GPU one Triton kernel, elsewhere ATen; float32, float16 or bfloat16, sums in
    float32, gradients bitwise equal from run to run. Under autocast x, weight and residual take its type.

    Raises `ValueError` for shapes that do not fit and unknown activations.
    """
    epilogue.check(act)
    x, weight, residual = cast_for_autocast(x, weight, residual)
    where = (pair(stride), pair(padding), pair(dilation))
    return _forward(x, weight, scale, shift, residual, *where, act, slope)


# ---------------------------------------------------------------------------------------------------- layer
class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution: `nn.Conv2d` with a group for each channel, forward and backward by this package.

    An ONNX export sees the convolution of PyTorch.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export() or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(x)
        where = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return depthwise_conv2d(x, self.weight, shift=self.bias, **where)
