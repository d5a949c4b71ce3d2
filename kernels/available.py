"""Whether the Triton kernels can run here, and the one warning where they cannot.

Triton is an optional accelerator: without it (it ships for Linux only), on an old GPU or for an element type that the
kernels do not know, every operation of this package runs on ATen and gives the same result.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # macOS, Windows
    triton = tl = None

TYPES = (torch.float32, torch.float16, torch.bfloat16)
OLDEST = (8, 0)  # bf16 and 16-byte asynchronous copies came with compute capability 8.0


COUNTS = (
    "pixels",
    "lanes",
    "tiles",
    "area",
    "columns",
    "apart",
    "size",
)  # run-time numbers: any value, one compilation


def jit(kernel: Callable[..., Any]) -> Any:
    """Compile a function with Triton when it is first launched; without Triton, leave it as it is.

    Triton compiles anew where a whole number becomes 1 or divisible by 16, which another batch does to a count of
    pixels: 13 of the 21 kernels of a MobileNet v2. What is counted is never an address, so that gains nothing.
    """
    if triton is None:
        return kernel
    counts = [name for name in COUNTS if name in kernel.__code__.co_varnames[: kernel.__code__.co_argcount]]
    return triton.jit(kernel, do_not_specialize=counts)


def start(kernel: Any, programs: int, *arguments: Any, **constants: Any) -> None:
    """Start the programs of a kernel on the device of its first argument, whichever device is the current one."""
    with torch.cuda.device_of(arguments[0]):
        kernel[(programs,)](*arguments, **constants)


def interpreted() -> bool:
    """Say whether kernels run in Triton's interpreter, on CPU tensors: `TRITON_INTERPRET=1` before the import."""
    return triton is not None and os.environ.get("TRITON_INTERPRET") == "1"


def runs(*tensors: torch.Tensor | None, image: int = 0) -> bool:
    """Say whether the kernels take these tensors; warns once for each reason why a GPU's tensors go to ATen.

    `image` is the number of elements of one image of the result.
    """
    given = [t for t in tensors if t is not None]
    if not given[0].is_cuda:
        return interpreted() and _reason(given, image) == ""
    reason = _missing(given[0].device.index or 0) or _reason(given, image)
    if reason:
        _warn(reason)
    return not reason


def _reason(tensors: list[torch.Tensor], image: int = 0) -> str:
    """Return what about the tensors themselves the kernels cannot take, or nothing."""
    for tensor in tensors:
        if tensor.dtype not in TYPES:
            return f"they compute in float32, float16 and bfloat16, not {tensor.dtype}"
        if tensor.dim() == 4:
            image = max(image, tensor.numel() // max(1, tensor.shape[0]))
    return "an image of 2**31 elements or more does not fit their 32-bit offsets" if image >= 2**31 else ""


@functools.cache
def _missing(device: int) -> str:
    """Return what a GPU lacks, or nothing."""
    if triton is None:
        return "Triton is not installed"
    major, minor = torch.cuda.get_device_capability(device)
    if (major, minor) < OLDEST:
        return f"compute capability {major}.{minor} is older than {OLDEST[0]}.{OLDEST[1]}"
    return ""


@functools.cache
def _warn(reason: str) -> None:
    warnings.warn(f"archdsl's kernels are not used: {reason}. ATen runs instead.", stacklevel=2)
