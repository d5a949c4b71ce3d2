"""1x1 convolution as a matrix product over pixels, with what stands before and after it in the same pass.

    a = clamp(act_in(x * scale_in + shift_in), low, high) * gate
    y = act(a @ weight.T * scale + shift + residual)

The first line is the prologue, the second the epilogue; `channels` says where each input channel lies. A prologue lets
a pre-activation (DenseNet), a squeeze-and-excite gate (EfficientNet) or a channel shuffle cost no pass over memory of
its own. x may be some of the channels of a wider map, as DenseNet's are: it is read where it lies.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from archdsl.kernels import epilogue
from archdsl.kernels.available import interpreted, jit, runs, start, tl
from archdsl.kernels.epilogue import activated
from archdsl.kernels.layout import cast_for_autocast, dense, empty_last, is_last, like_format, pair, pitch, power
from archdsl.kernels.registers import row
from torch.utils.flop_counter import register_flop_formula

Maybe = torch.Tensor | None


# ---------------------------------------------------------------------------------------------------- reference
def prologue(
    x: torch.Tensor,
    scale_in: Maybe,
    shift_in: Maybe,
    low: Maybe,
    high: Maybe,
    act_in: str,
    slope: float,
    gate: Maybe,
    channels: Maybe,
) -> torch.Tensor:
    """Compute what the matrix product reads: [N, K, H, W] from x, [N, C, H, W]."""
    a = x if channels is None else x.index_select(1, channels)
    a = clamped(epilogue.activate(epilogue.combine(a, scale_in, shift_in, None), act_in, slope), low, high)
    return a if gate is None else a * gate[:, :, None, None].to(a.dtype)


def clamped(z: torch.Tensor, low: Maybe, high: Maybe) -> torch.Tensor:
    """Return min(max(z, low), high), limits by channel."""
    z = z if low is None else torch.maximum(z, epilogue.by_channel(low).to(z.dtype))
    return z if high is None else torch.minimum(z, epilogue.by_channel(high).to(z.dtype))


def reference(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: Maybe = None,
    shift: Maybe = None,
    residual: Maybe = None,
    scale_in: Maybe = None,
    shift_in: Maybe = None,
    low: Maybe = None,
    high: Maybe = None,
    gate: Maybe = None,
    channels: Maybe = None,
    stride: Sequence[int] = (1, 1),
    act: str = "none",
    act_in: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Compute the operation with ATen."""
    a = prologue(x, scale_in, shift_in, low, high, act_in, slope, gate, channels)
    u = F.conv2d(a, weight, None, list(stride))
    return epilogue.activate(epilogue.combine(u, scale, shift, residual), act, slope)


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def pointwise_fwd_kernel(
    x_ptr,
    w_ptr,  # [N_OUT, K]
    scale_ptr,
    shift_ptr,
    residual_ptr,
    scale_in_ptr,
    shift_in_ptr,
    low_ptr,
    high_ptr,
    gate_ptr,  # [N, K]
    channels_ptr,  # [K]
    places_ptr,  # [3, N_OUT]: where each output channel goes, with SCATTER
    y_ptr,
    pixels,  # of the result, in all images
    area,  # in one
    columns,  # in a row of one
    apart,  # pixels of x from a row that is read to the next
    size,  # pixels of x in one image
    PITCH: tl.constexpr,  # from a pixel of x to the next: its channels, or more
    K: tl.constexpr,
    N_OUT: tl.constexpr,
    SW: tl.constexpr,
    STRIDED: tl.constexpr,
    SCALE: tl.constexpr,
    SHIFT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    SCALE_IN: tl.constexpr,
    SHIFT_IN: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    GATE: tl.constexpr,
    CHANNELS: tl.constexpr,
    SCATTER: tl.constexpr,
    ACT: tl.constexpr,
    ACT_IN: tl.constexpr,
    SLOPE: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write BM pixels of BN output channels."""
    TN: tl.constexpr = (N_OUT + BN - 1) // BN
    pixel = (tl.program_id(0) // TN).to(tl.int64) * BM + tl.arange(0, BM)
    out = tl.program_id(0) % TN * BN + tl.arange(0, BN)
    pixel_ok = pixel < pixels
    out_ok = out < N_OUT
    source = pixel
    if STRIDED:
        source = pixel // area * size + pixel % area // columns * apart + pixel % columns * SW
    x_pixel = x_ptr + (source * PITCH)[:, None]
    w_out = w_ptr + (out * K)[None, :]
    sums = tl.zeros((BM, BN), tl.float32)
    for first in tl.range(0, K, BK, num_stages=STAGES):
        k = first + tl.arange(0, BK)
        k_ok = k < K
        channel = tl.load(channels_ptr + k, k_ok, 0) if CHANNELS else k
        ok = pixel_ok[:, None] & k_ok[None, :]
        a = tl.load(x_pixel + channel[None, :], ok, 0.0)
        w = tl.load(w_out + k[:, None], out_ok[None, :] & k_ok[:, None], 0.0)
        if SCALE_IN or SHIFT_IN or LOW or HIGH or GATE or ACT_IN != "none":
            z = a.to(tl.float32)
            if SCALE_IN:
                z = z * row(scale_in_ptr + k, k_ok)
            if SHIFT_IN:
                z = z + row(shift_in_ptr + k, k_ok)
            z = activated(z, ACT_IN, SLOPE)
            if LOW:
                low = row(low_ptr + k, k_ok)
                z = tl.maximum(z, low, propagate_nan=tl.PropagateNan.ALL)
            if HIGH:
                high = row(high_ptr + k, k_ok)
                z = tl.minimum(z, high, propagate_nan=tl.PropagateNan.ALL)
            if GATE:
                z = z * tl.load(gate_ptr + (pixel // area * K)[:, None] + k[None, :], ok, 0.0).to(tl.float32)
            a = z.to(a.dtype)
        if UPCAST:  # the interpreter multiplies bf16 as if it were integers
            a = a.to(tl.float32)
            w = w.to(tl.float32)
        sums = tl.dot(a, w, sums, input_precision=PRECISION)
    z = sums
    if SCALE:
        z = z * row(scale_ptr + out, out_ok)
    if SHIFT:
        z = z + row(shift_ptr + out, out_ok)
    ok = pixel_ok[:, None] & out_ok[None, :]
    if SCATTER:
        before = tl.load(places_ptr + out, out_ok, 0)[None, :]
        width = tl.load(places_ptr + N_OUT + out, out_ok, 0)[None, :]
        slot = tl.load(places_ptr + 2 * N_OUT + out, out_ok, 0)[None, :]
        place = before * pixels + pixel[:, None] * width + slot
    else:
        place = (pixel * N_OUT)[:, None] + out[None, :]
    if RESIDUAL:
        z += tl.load(residual_ptr + place, ok, 0.0).to(tl.float32)
    tl.store(y_ptr + place, activated(z, ACT, SLOPE).to(y_ptr.dtype.element_ty), ok)


# ---------------------------------------------------------------------------------------------------- launcher
class Tile(NamedTuple):
    """What one program does: pixels, output channels, and input channels at a time, with so many loads under way."""

    pixels: int
    channels: int
    depth: int
    warps: int = 4
    stages: int = 3


@functools.lru_cache(1024)
def tile_for(out: int, depth: int) -> Tile:
    """Choose the tile, by what was measured on an H100 and an H200 in bf16: 70 layers, up to 16 tiles each.

    Few output channels are one tile, so that the pixels are read once. Of many, 64 pixels leave four programs to an SM,
    which is faster than 128 by 4 to 15 % while the time is that of memory; up to 256 channels in one tile pay where
    they would be two of 128, and where the time is that of the product, 128 pixels do. As many loads are under way as
    there are blocks of the depth, at most four: a stage that is never filled costs up to a fifth.
    """
    whole = power(depth, 16, 64)
    stages = min(4, -(-depth // whole))
    if out <= 64:
        return Tile(64 if 32 < depth <= 64 else 128, power(out, 16, 64), whole, stages=stages)
    if depth <= 32:  # tiles of 64 channels where those of 128 would compute more that is not there
        narrow = -(-out // 64) % 2 == 1
        return Tile(128, 64, whole, stages=1) if narrow else Tile(64, 128, whole, stages=1)
    if depth <= 64:
        return Tile(64, 128, whole, stages=1)
    if 128 < out <= 256 or (depth % 16 and out > 256):
        return Tile(128, 256, 32, warps=8, stages=min(4, -(-depth // 32)))
    if depth % 16 or (out > 256 and depth >= 256):
        return Tile(128, 128, 32, warps=8, stages=min(4, -(-depth // 32)))
    return Tile(64, 128, whole, stages=stages) if depth % 64 == 0 else Tile(64, 128, 32, stages=min(4, -(-depth // 32)))


def precision(dtype: torch.dtype) -> str:
    """Return how a product is computed: in TF32 only where PyTorch's own products of matrices are."""
    return "tf32" if dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"


def size_after(size: tuple[int, int], stride: Sequence[int]) -> tuple[int, int]:
    """Return the height and width of the result."""
    return (size[0] - 1) // stride[0] + 1, (size[1] - 1) // stride[1] + 1


def launch(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: Maybe,
    shift: Maybe,
    residual: Maybe,
    scale_in: Maybe,
    shift_in: Maybe,
    low: Maybe,
    high: Maybe,
    gate: Maybe,
    channels: Maybe,
    stride: Sequence[int],
    act: str,
    act_in: str,
    slope: float,
    tile: Tile | None = None,
    y: torch.Tensor | None = None,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the kernel; x and the residual are dense in channels_last, x perhaps part of a wider map.

    With `places`, y is the buffer that `pointwise_conv2d_scatter` describes.
    """
    n, c, h, w = x.shape
    out, depth = weight.shape[:2]
    oh, ow = size_after((h, w), stride)
    y = empty_last(x, (n, out, oh, ow)) if y is None else y
    pixels = n * oh * ow
    if y.numel() == 0:
        return y
    tile = tile or tile_for(out, depth)
    start(
        pointwise_fwd_kernel, -(-pixels // tile.pixels) * -(-out // tile.channels),
        x, weight.reshape(out, depth).contiguous(), scale, shift, residual, scale_in, shift_in, low, high, gate,
        channels, places, y, pixels, oh * ow, ow, stride[0] * w, h * w, PITCH=pitch(x) or c, K=depth, N_OUT=out,
        SW=stride[1], STRIDED=tuple(stride) != (1, 1), SCALE=scale is not None, SHIFT=shift is not None,
        RESIDUAL=residual is not None, SCALE_IN=scale_in is not None, SHIFT_IN=shift_in is not None,
        LOW=low is not None, HIGH=high is not None, GATE=gate is not None, CHANNELS=channels is not None,
        SCATTER=places is not None, ACT=act, ACT_IN=act_in, SLOPE=slope, PRECISION=precision(x.dtype),
        UPCAST=interpreted(), BM=tile.pixels, BN=tile.channels, BK=tile.depth, STAGES=tile.stages,
        num_warps=tile.warps,
    )  # fmt: skip
    return y


# ---------------------------------------------------------------------------------------------------- operator
@torch.library.custom_op(
    "archdsl::pointwise_conv2d",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? scale, Tensor? shift, Tensor? residual, Tensor? scale_in, "
    "Tensor? shift_in, Tensor? low, Tensor? high, Tensor? gate, Tensor? channels, int[2] stride, str act, str act_in, "
    "float slope) -> Tensor",
)
def _forward(
    x, weight, scale, shift, residual, scale_in, shift_in, low, high, gate, channels, stride, act, act_in, slope
):
    last = is_last(x)
    inside = (scale_in, shift_in, low, high)
    if runs(x, weight, residual, image=weight.shape[0] * math.prod(size_after(x.shape[2:], stride))):
        x = x if last and pitch(x) else dense(x, True)
        residual = None if residual is None else dense(residual, True)
        gate = None if gate is None else gate.contiguous()
        y = launch(x, weight, scale, shift, residual, *inside, gate, channels, stride, act, act_in, slope)
        return y if last else dense(y, last, fresh=True)
    y = reference(x, weight, scale, shift, residual, *inside, gate, channels, stride, act, act_in, slope)
    return dense(y, last, fresh=True)


@_forward.register_fake
def _(x, weight, scale, shift, residual, scale_in, shift_in, low, high, gate, channels, stride, act, act_in, slope):
    return like_format(x, (x.shape[0], weight.shape[0], *size_after(x.shape[2:], stride)), is_last(x))


@torch.library.custom_op(
    "archdsl::pointwise_conv2d_scatter",
    mutates_args=("buffer",),
    schema="(Tensor x, Tensor weight, Tensor shift, Tensor(a!) buffer, Tensor places, str act, float slope) -> ()",
)
def _scatter(x, weight, shift, buffer, places, act, slope):
    if runs(x, weight, buffer):
        tensors = (dense(x, True), weight, None, shift, *[None] * 7)
        launch(*tensors, (1, 1), act, "none", slope, y=buffer, places=places)
        return
    rows = reference(x, weight, None, shift, act=act, slope=slope).permute(0, 2, 3, 1).flatten(0, 2)
    for before, width in places[:2].unique(dim=1).T.tolist():
        mine = (places[0] == before) & (places[1] == width)
        part = buffer[before * len(rows) : (before + width) * len(rows)].view(len(rows), width)
        part[:, places[2, mine]] = rows[:, mine]


@_scatter.register_fake
def _(x, weight, shift, buffer, places, act, slope):
    return None


# ---------------------------------------------------------------------------------------------------- autograd
def gradients(
    dy: torch.Tensor,
    tensors: Sequence[Maybe],
    needs: Sequence[bool],
    stride: Sequence[int] = (1, 1),
    act: str = "none",
    act_in: str = "none",
    slope: float = 0.0,
) -> tuple[Maybe, ...]:
    """Return the gradients at the tensors of the operator, as far as each is needed.

    The sums are computed anew: products are the library's matrix products, which have no rival here.
    """
    x, weight, scale, shift, residual, scale_in, shift_in, low, high, gate, channels = tensors
    chosen = x if channels is None else x.index_select(1, channels)
    z_in = epilogue.combine(chosen, scale_in, shift_in, None)
    v = epilogue.activate(z_in, act_in, slope)
    inner = clamped(v, low, high)
    a = inner if gate is None else inner * gate[:, :, None, None].to(v.dtype)
    dz, dscale = dy, None
    if act != "none" or needs[2]:
        u = F.conv2d(a, weight, None, stride)
        dz = epilogue.activation_grad(dy, epilogue.combine(u, scale, shift, residual), act, slope)
        dscale = epilogue.channel_sum(dz * u).to(scale.dtype) if needs[2] else None
    du = dz if scale is None else dz * epilogue.by_channel(scale).to(dz.dtype)
    da, dw, _ = torch.ops.aten.convolution_backward(
        du, a, weight, None, stride, [0, 0], [1, 1], False, [0, 0], 1, [True, needs[1], False]
    )
    dgate = (da * inner).sum((2, 3), dtype=torch.float32).to(gate.dtype) if needs[9] else None
    dv = da if gate is None else da * gate[:, :, None, None].to(da.dtype)
    below = None if low is None else v < epilogue.by_channel(low)
    above = None if high is None else v > epilogue.by_channel(high)
    dlow = epilogue.channel_sum(dv * below).to(low.dtype) if needs[7] else None
    dhigh = epilogue.channel_sum(dv * above).to(high.dtype) if needs[8] else None
    for outside in (below, above):
        dv = dv if outside is None else dv.masked_fill(outside, 0.0)
    dz_in = epilogue.activation_grad(dv, z_in, act_in, slope)
    dscale_in = epilogue.channel_sum(dz_in * chosen).to(scale_in.dtype) if needs[5] else None
    dshift_in = epilogue.channel_sum(dz_in).to(shift_in.dtype) if needs[6] else None
    dx = dz_in if scale_in is None else dz_in * epilogue.by_channel(scale_in).to(dz_in.dtype)
    if channels is not None:
        dx = torch.zeros_like(x).index_add(1, channels, dx)
    dshift = epilogue.channel_sum(dz).to(shift.dtype) if needs[3] else None
    dresidual = dz if needs[4] else None
    return dx, dw, dscale, dshift, dresidual, dscale_in, dshift_in, dlow, dhigh, dgate, None


def _keep(ctx, inputs, output):
    *tensors, ctx.stride, ctx.act, ctx.act_in, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, dy):
    needs = ctx.needs_input_grad[:11]
    return *gradients(dy, ctx.saved_tensors, needs, ctx.stride, ctx.act, ctx.act_in, ctx.slope), *[None] * 4


_forward.register_autograd(_backward, setup_context=_keep)


@register_flop_formula(torch.ops.archdsl.pointwise_conv2d_scatter)
def _(x_shape, w_shape, *rest, **named):
    n, _, h, w = x_shape
    return 2 * n * w_shape[0] * h * w * w_shape[1]


@register_flop_formula(torch.ops.archdsl.pointwise_conv2d)
def _(x_shape, w_shape, *rest, out_shape=None, **named):
    n, c, h, w = out_shape
    return 2 * n * c * h * w * w_shape[1]


# ---------------------------------------------------------------------------------------------------- function
def pointwise_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    *,
    scale_in: torch.Tensor | None = None,
    shift_in: torch.Tensor | None = None,
    act_in: str = "none",
    low: torch.Tensor | None = None,
    high: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    channels: torch.Tensor | None = None,
    stride: int | Sequence[int] = 1,
    act: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Convolve with a 1x1 window: act(conv(a) * scale + shift + residual).

    Here a = clamp(act_in(x * scale_in + shift_in), low, high) * gate. x is [N, C, H, W], weight [OUT, K, 1, 1]. K is C,
    or with `channels`, integers [K], the k-th input channel is channel `channels[k]` of x. scale_in, shift_in, low and
    high are [K], gate [N, K], scale and shift [OUT], the residual as the result [N, OUT, H', W'], which has the memory
    format of x; channels of a wider channels_last map are read where they lie. Sums are in float32; float32 inputs are
    multiplied as `torch.backends.cuda.matmul.allow_tf32` says.

    Raises `ValueError` for shapes that do not fit and unknown activations.
    """
    epilogue.check(act)
    epilogue.check(act_in)
    depth = x.shape[1] if channels is None else channels.shape[0]
    if x.dim() != 4 or tuple(weight.shape[1:]) != (depth, 1, 1):
        raise ValueError(f"needs a weight [OUT, {depth}, 1, 1] for an input {list(x.shape)}, got {list(weight.shape)}")
    x, weight, residual, gate = cast_for_autocast(x, weight, residual, gate)
    tensors = (x, weight, scale, shift, residual, scale_in, shift_in, low, high, gate, channels)
    return _forward(*tensors, pair(stride), act, act_in, slope)


def pointwise_conv2d_scatter(
    x: torch.Tensor,
    weight: torch.Tensor,
    shift: torch.Tensor,
    buffer: torch.Tensor,
    places: torch.Tensor,
    *,
    act: str = "none",
    slope: float = 0.01,
) -> None:
    """Convolve with a 1x1 window, each output channel into a map of its own choice: the shuffle of a ShuffleNet unit.

    `buffer`, flat, holds several channels_last maps [N, width, H, W] of the size of x one after another. places, of
    integers [3, OUT], says for each output channel how many channels the maps before its own have, how wide its own is,
    and which channel of it this one becomes. Has no gradient: it is for inference.

    Raises `ValueError` for shapes that do not fit and unknown activations.
    """
    epilogue.check(act)
    if tuple(weight.shape[1:]) != (x.shape[1], 1, 1) or tuple(places.shape) != (3, weight.shape[0]):
        raise ValueError(f"a weight {list(weight.shape)} and places {list(places.shape)} do not fit {list(x.shape)}")
    _scatter(x, weight, shift, buffer, places, act, slope)
