"""What follows a convolution that another library computed, in one pass, in place: `y = act(y + shift + residual)`.

cuDNN adds a bias in a pass of its own after the convolution, and so do an addition and an activation: up to three
passes over a map that has just been written. This is one.
"""

from __future__ import annotations

import torch
from archdsl.kernels import epilogue
from archdsl.kernels.available import jit, runs, start, tl
from archdsl.kernels.epilogue import activated
from archdsl.kernels.layout import dense, is_last, power
from archdsl.kernels.registers import row

Maybe = torch.Tensor | None

ELEMENTS = 4096  # of a program


# ---------------------------------------------------------------------------------------------------- reference
def reference(
    y: torch.Tensor, shift: Maybe = None, residual: Maybe = None, act: str = "none", slope: float = 0.01
) -> torch.Tensor:
    """Compute the operation with ATen, not in place."""
    return epilogue.activate(epilogue.combine(y, None, shift, residual), act, slope)


# ---------------------------------------------------------------------------------------------------- kernel
@jit
def finish_kernel(
    y_ptr,
    shift_ptr,
    residual_ptr,
    pixels,
    C: tl.constexpr,
    SHIFT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACT: tl.constexpr,
    SLOPE: tl.constexpr,
    BM: tl.constexpr,
    BC: tl.constexpr,
):
    """Finish BM pixels of BC channels."""
    TC: tl.constexpr = (C + BC - 1) // BC
    pixel = (tl.program_id(0) // TC).to(tl.int64) * BM + tl.arange(0, BM)
    c = tl.program_id(0) % TC * BC + tl.arange(0, BC)
    known = c < C
    ok = (pixel < pixels)[:, None] & known[None, :]
    place = (pixel * C)[:, None] + c[None, :]
    z = tl.load(y_ptr + place, ok, 0.0).to(tl.float32)
    if SHIFT:
        z = z + row(shift_ptr + c, known)
    if RESIDUAL:
        z += tl.load(residual_ptr + place, ok, 0.0).to(tl.float32)
    tl.store(y_ptr + place, activated(z, ACT, SLOPE).to(y_ptr.dtype.element_ty), ok)


# ---------------------------------------------------------------------------------------------------- launcher
def launch(y: torch.Tensor, shift: Maybe, residual: Maybe, act: str, slope: float) -> None:
    """Run the kernel on a map that is dense in channels_last, as its residual is."""
    n, c, h, w = y.shape
    wide = min((64, 128, 256), key=lambda block: (-(-c // block) * block, -block)) if c > 32 else power(c, 8, 32)
    tall = ELEMENTS // wide
    if y.numel():
        start(
            finish_kernel, -(-n * h * w // tall) * -(-c // wide), y, shift, residual, n * h * w, C=c,
            SHIFT=shift is not None, RESIDUAL=residual is not None, ACT=act, SLOPE=slope, BM=tall, BC=wide,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- operator
@torch.library.custom_op(
    "archdsl::finish_",
    mutates_args=("y",),
    schema="(Tensor(a!) y, Tensor? shift, Tensor? residual, str act, float slope) -> ()",
)
def _finish(y, shift, residual, act, slope):
    flat = y.shape[2:] == (1, 1) and y.is_contiguous()  # one pixel an image: both formats are one
    if runs(y, residual) and (is_last(y) or flat):
        launch(y, shift, None if residual is None else dense(residual, True), act, slope)
    else:
        y.copy_(reference(y, shift, residual, act, slope))


@_finish.register_fake
def _(y, shift, residual, act, slope):
    return None


# ---------------------------------------------------------------------------------------------------- function
def finish_(
    y: torch.Tensor,
    shift: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
    *,
    act: str = "none",
    slope: float = 0.01,
) -> torch.Tensor:
    """Add a shift for each channel and a residual, and activate, in place: y = act(y + shift + residual).

    y and the residual are [N, C, H, W], shift is [C]. Returns y. Has no gradient: it is for inference. On a GPU one
    Triton kernel where y is channels_last, elsewhere ATen.

    Raises `ValueError` for shapes that do not fit and unknown activations.
    """
    epilogue.check(act)
    if y.dim() != 4 or (residual is not None and residual.shape != y.shape):
        raise ValueError(
            f"needs maps [N, C, H, W] of one size, got {[list(t.shape) for t in (y, residual) if t is not None]}"
        )
    _finish(y, shift, residual, act, slope)
    return y
