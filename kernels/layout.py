"""Memory formats: kernels compute in channels_last, and operators keep the format of their input."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def is_last(x: torch.Tensor) -> bool:
    """Say whether a feature map is channels_last, or some channels of one that is.

    One that is both (C = 1, or H = W = 1) counts as contiguous.
    """
    if x.is_contiguous():
        return False
    return x.is_contiguous(memory_format=torch.channels_last) or pitch(x) > 0


def pitch(x: torch.Tensor) -> int:
    """Return the distance from a pixel to the next, of a map in channels_last or some channels of one; else 0."""
    apart, wide = x.stride(1), x.stride(3)
    rows = x.stride(2) == x.shape[3] * wide and x.stride(0) == x.shape[2] * x.stride(2)
    return wide if apart == 1 and wide >= x.shape[1] and rows else 0


def format_of(last: bool) -> torch.memory_format:
    """Return PyTorch's name of a format."""
    return torch.channels_last if last else torch.contiguous_format


def like_format(x: torch.Tensor, shape: Sequence[int], last: bool) -> torch.Tensor:
    """Return an empty tensor of the type and device of x."""
    return torch.empty(tuple(shape), dtype=x.dtype, device=x.device, memory_format=format_of(last))


def empty_last(x: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return an empty tensor in channels_last of the type and device of x."""
    return like_format(x, shape, True)


def dense(x: torch.Tensor, last: bool, *, fresh: bool = False) -> torch.Tensor:
    """Return x dense in a format; with `fresh`, also with exactly the strides of an empty tensor, which fakes have."""
    if not fresh:
        return x.contiguous(memory_format=format_of(last))
    wanted = (
        like_format(x, x.shape, last)
        if x.device.type == "meta"
        else torch.empty(x.shape, device="meta", memory_format=format_of(last))
    )
    return x if x.stride() == wanted.stride() else like_format(x, x.shape, last).copy_(x)


def cast_for_autocast(*tensors: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    """Cast tensors as autocast casts a convolution's: it rewrites ATen's operators, and knows none of ours."""
    device = next(t.device.type for t in tensors if t is not None)
    if not torch.is_autocast_enabled(device):
        return tensors
    kind = torch.get_autocast_dtype(device)
    return tuple(None if t is None or not t.is_floating_point() else t.to(kind) for t in tensors)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Return a number for both axes as a pair."""
    height, width = (value, value) if isinstance(value, int) else value
    return height, width


def power(number: int, low: int, high: int) -> int:
    """Return the power of two in a range that is nearest above a number."""
    found = low
    while found < min(number, high):
        found *= 2
    return found


def size_after(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil: bool = False,
) -> tuple[int, int]:
    """Return the height and width that windows leave; a last one that `ceil` adds starts in the map or its margin."""
    found = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation):
        rest = n + 2 * p - d * (k - 1) - 1
        count = (rest + (s - 1 if ceil else 0)) // s + 1
        found.append(count - 1 if ceil and (count - 1) * s >= n + p else count)
    return found[0], found[1]


def windows(*pairs: Sequence[int]) -> dict[str, int]:
    """Return size, size of the result, kernel, stride, padding and dilation by the names that kernels give them."""
    names = ("H", "W", "OH", "OW", "KH", "KW", "SH", "SW", "PH", "PW", "DH", "DW")
    return dict(zip(names, (value for pair in pairs for value in pair)))
