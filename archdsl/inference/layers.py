"""The layers of an optimized network: few, and each moves its tensors once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from archdsl.codegen.kernels import DEPTHWISE, PATCHES, POINTWISE, POOL, SEPARABLE, Entry
from archdsl.codegen.measured import Layer, chosen

CLIPS = {"relu": (0.0, float("inf")), "relu6": (0.0, 6.0)}

ONEDNN_IS_HERE = torch.backends.mkldnn.is_available()

# Names and constants that oneDNN's fused convolutions know our activations by.
ONEDNN: dict[str, tuple[str, list[float], str]] = {
    "none": ("none", [], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    "silu": ("swish", [], ""),
    "hardswish": ("hardswish", [], ""),
    "hardsigmoid": ("hardsigmoid", [], ""),
    "sigmoid": ("sigmoid", [], ""),
    "gelu": ("gelu", [], "none"),
    "gelu_tanh": ("gelu", [], "tanh"),
    "leaky_relu": ("leaky_relu", [], ""),
}


def activated(z: torch.Tensor, act: str, slope: float) -> torch.Tensor:
    """Apply an activation to a tensor that may be overwritten."""
    if act == "none":
        return z
    if act == "leaky_relu":
        return F.leaky_relu(z, slope, inplace=True)
    if act in ("sigmoid", "gelu", "gelu_tanh"):
        return torch.sigmoid(z) if act == "sigmoid" else F.gelu(z, approximate="tanh" if act == "gelu_tanh" else "none")
    function = {"relu": F.relu, "relu6": F.relu6, "silu": F.silu, "hardswish": F.hardswish}.get(act, F.hardsigmoid)
    return function(z, inplace=True)


def is_settled(x: torch.Tensor) -> bool:
    """Say whether the strides of a map are those of channels_last, also along axes of one element."""
    _, c, h, w = x.shape
    return x.stride() == (c * h * w, 1, c * w, c)


def settled(x: torch.Tensor) -> torch.Tensor:
    """Return a map with strides that mean one layout, for oneDNN.

    PyTorch leaves the stride of an axis of one element open, so that one channel, or one pixel, of a larger map says
    several layouts at once. oneDNN's convolutions read such strides as they stand, and memory that nobody wrote: about
    one random network in 700 returned garbage. A map of several channels, rows and columns is passed on as it is.
    """
    if min(x.shape[1:]) > 1 or is_settled(x):
        return x
    _, c, h, w = x.shape
    return x.contiguous(memory_format=torch.channels_last).as_strided(x.shape, (c * h * w, 1, c * w, c))


class Conv2d(nn.Module):
    """Convolution with what follows it: act(conv(x) + bias + residual), [N, C, H, W] -> [N, OUT, H', W'].

    Weights are buffers: an optimized network is for inference. On a CPU oneDNN runs all of it in one pass, from weights
    that are reordered once for a size of input, where PyTorch's convolution reorders them in every call; the residual's
    memory becomes the result's where nobody reads it later (`overwrites`). On a GPU the kernels of this package run
    where a measurement says so, else cuDNN, and after it one pass for bias, addition and activation.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        weight = conv.weight.detach()  # the model's own, until something is folded: then a new tensor
        bias = weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.dtype = weight.dtype
        exact = torch.promote_types(weight.dtype, torch.float32)  # what is folded is rounded once, by `own`
        self.register_buffer("weight", weight.to(exact))
        self.register_buffer("bias", bias.to(exact))
        self.stride, self.groups = tuple(conv.stride), conv.groups
        self.dilation = tuple([1 if k == 1 else d for k, d in zip(conv.kernel_size, conv.dilation)])  # one tap, no gaps
        self.padding = tuple(int(p) for p in conv.padding)
        self.act, self.slope, self.overwrites, self.kernels = "none", 0.0, False, "auto"
        self._packed: tuple[torch.Size, torch.Tensor, int, tuple[Any, ...]] | None = None
        self._chosen: dict[tuple[object, ...], bool] = {}

    # ------------------------------------------------------------ changes of the pass that builds the network
    @torch.no_grad()
    def scale_out(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Fold an affine map of the result, such as a batch norm."""
        self.weight = self.weight * scale.view(-1, 1, 1, 1)
        self.bias = self.bias * scale + shift

    @torch.no_grad()
    def scale_in(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Fold an affine map of the input of a 1x1 convolution without a margin."""
        assert self.groups == 1
        assert not any(self.padding)
        assert self.weight.shape[2:] == (1, 1)
        self.bias = self.bias + self.weight.flatten(1) @ shift
        self.weight = self.weight * scale.view(1, -1, 1, 1)

    def permute(self, inputs: list[int] | None, outputs: list[int] | None) -> None:
        """Take the input channels, or leave the output channels, in another order."""
        if inputs is not None:
            self.weight = self.weight[:, inputs]
        if outputs is not None:
            self.weight, self.bias = self.weight[outputs], self.bias[outputs]

    def widen(self, inputs: int = 0, outputs: int = 0) -> None:
        """Take further input channels, or leave further output channels, with weights of zero."""
        groups = outputs if self.depthwise and outputs else 0
        self.weight = F.pad(self.weight, (0, 0, 0, 0, 0, inputs, 0, outputs))
        self.bias = F.pad(self.bias, (0, outputs))
        self.groups += groups

    def own(self, others: set[int]) -> None:
        """Round the weights, and make those that are still tensors of the model, by their addresses, this layer's own.

        They lie as the kernels and cuDNN read them: a depthwise one with the channels of a tap side by side, another
        in channels_last.
        """
        weight, bias = self.weight.to(self.dtype), self.bias.to(self.dtype)
        if self.depthwise:
            weight = weight.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = weight.clone() if weight.data_ptr() in others else weight
        self.bias = bias.clone() if bias.data_ptr() in others else bias

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved by itself."""
        return self.groups == self.weight.shape[0] and self.weight.shape[1] == 1

    @property
    def pointwise(self) -> bool:
        """Whether it is a product of matrices: a 1x1 window, one group, no margin."""
        return self.groups == 1 and self.weight.shape[2:] == (1, 1) and not any(self.padding)

    @property
    def entry(self) -> Entry | None:
        """The kernel that there is for this layer."""
        if self.depthwise or self.pointwise:
            return DEPTHWISE if self.depthwise else POINTWISE
        return PATCHES if self.groups == 1 and PATCHES.takes(depth=self.weight.shape[1]) else None

    # ------------------------------------------------------------ forward
    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if residual is not None and not self.matches(x, residual):
            return activated(self.forward_plain(x) + residual, self.act, self.slope)
        if self._one_pass(x):
            return self._onednn(x, residual)
        if x.is_cuda and self.kernels != "none" and self._chooses(x, residual):
            return self._triton(x, residual)
        if on_gpu(x):
            where = (self.stride, self.padding, self.dilation, self.groups)
            return library(x, self.weight, self.bias, residual, where, self.act, self.slope)
        y = self.forward_plain(x)
        if residual is not None:
            y = y + residual
        return activated(y, self.act, self.slope)

    def forward_plain(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, and nothing after it."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def matches(self, x: torch.Tensor, residual: torch.Tensor) -> bool:
        """Say whether a residual has the shape of the result, so that neither is repeated along an axis."""
        return residual.shape == (x.shape[0], self.weight.shape[0], *self.size(x.shape[2:]))

    def size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the height and width of the result for those of an input."""
        where = zip(size, self.weight.shape[2:], self.stride, self.padding, self.dilation)
        return tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in where])

    def _one_pass(self, x: torch.Tensor) -> bool:
        """Say whether oneDNN takes this call."""
        return (
            not torch.compiler.is_compiling()
            and ONEDNN_IS_HERE
            and x.dtype == torch.float32
            and x.device.type == "cpu"
            and x.numel() > 0
            and self._buffers["weight"].dtype == torch.float32
            and not (x.requires_grad and torch.is_grad_enabled())
            and not torch.jit.is_tracing()
        )

    def _onednn(self, x: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        common = self._arguments(x.shape)
        if common is None:
            return self._beside(x, residual)
        x = settled(x)
        weight, bias, *where = common
        name, constants, algorithm = ONEDNN[self.act]
        ops = torch.ops.mkldnn
        if residual is None:
            scalars = [self.slope] if self.act == "leaky_relu" else constants
            return ops._convolution_pointwise(x, *common, name, scalars, algorithm)
        if name not in ("none", "relu") or not is_settled(residual):
            y = ops._convolution_pointwise(x, *common, "none", [], "")
            return activated(y.add_(residual), self.act, self.slope)
        behind: tuple[object, ...] = ("add", 1.0, None if name == "none" else name, [], "")
        if self.overwrites:
            return ops._convolution_pointwise_.binary(residual, x, weight, bias, *where, *behind)
        return ops._convolution_pointwise.binary(x, residual, weight, bias, *where, *behind)

    def _beside(self, x: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        """Run without oneDNN, which PyTorch's own convolution would call, too."""
        with torch.backends.mkldnn.flags(enabled=False):
            y = self.forward_plain(x)
        return activated(y if residual is None else y + residual, self.act, self.slope)

    def _is_wrong(self, shape: torch.Size) -> bool:
        """Say whether oneDNN on AVX-512 returns garbage or crashes for an input of this shape.

        Both were found by random calls, and F.conv2d does the same: one input channel whose rows and columns are
        stepped through differently, with one column of results; and a window whose gaps let it lie in the margin.
        """
        margins = zip(self.weight.shape[2:], self.dilation, self.padding)
        if any(d > 1 and p > d * (k - 1) for k, d, p in margins):
            return True
        single = self.groups == 1 and self.weight.shape[1] == 1
        return single and self.stride[0] != self.stride[1] and self.size(shape[2:])[1] == 1

    def _arguments(self, shape: torch.Size) -> tuple[Any, ...] | None:
        """Return what every call takes: weights reordered for a size of input, bias, and where the window goes.

        None where oneDNN is wrong. Kept for one size, while the weights stay as they are. Looking tensors up through
        the module instead takes 2 us more a call, a fiftieth of ShuffleNet v2.
        """
        weight = self._buffers["weight"]
        assert weight is not None
        version = 0 if weight.is_inference() else weight._version
        packed = self._packed
        if packed is None or packed[0] != shape or packed[1] is not weight or packed[2] != version:
            if self._is_wrong(shape):
                return None
            where = (self.padding, self.stride, self.dilation, self.groups)
            plain = weight.clone(memory_format=torch.contiguous_format)  # a view of one channel keeps odd strides
            made = torch.ops.mkldnn._reorder_convolution_weight(plain, *where, list(shape))
            self._packed = packed = (shape, weight, version, (made, self.bias, *where))
        return packed[3]

    def _triton(self, x: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
        """Run a fused kernel."""
        from archdsl.kernels import depthwise_conv2d, patches_conv2d, pointwise_conv2d

        act: dict[str, Any] = {"act": self.act, "slope": self.slope}
        if self.entry is POINTWISE:
            return pointwise_conv2d(x, self.weight, None, self.bias, residual, stride=self.stride, **act)
        where: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        if self.entry is DEPTHWISE:
            return depthwise_conv2d(x, self.weight, None, self.bias, residual, **where, **act)
        return patches_conv2d(x, self.weight, self.bias, **where, **act)

    def _chooses(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> bool:
        """Say whether there is a kernel for this layer, and it is to be taken."""
        kernel = self.entry
        if kernel is None or (kernel is PATCHES and residual is not None):
            return False
        wants = x.requires_grad and torch.is_grad_enabled()
        return (kernel.gradient or not wants) and self.chosen(kernel, x)

    def finished(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> bool:
        """Say whether a GPU passes over the result again: cuDNN convolves, and knows no more than bias and ReLU."""
        return not fuses(self.act, residual, self.groups) and not (
            self.kernels != "none" and self._chooses(x, residual)
        )

    def chosen(self, kernel: Entry, x: torch.Tensor) -> bool:
        """Say whether a kernel for this layer is taken; the answer is kept for a form of input."""
        place = (kernel.operation, x.shape, x.dtype, x.device)
        if place not in self._chosen:
            where = (self.weight.shape[2], self.stride[0], self.weight.shape[0])
            large = kernel.takes(pixels=x.shape[2] * x.shape[3])
            self._chosen[place] = large and taken(self.kernels, kernel, x, *where)
        return self._chosen[place]

    # ------------------------------------------------------------ module
    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        self._packed = None
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_packed": None, "_chosen": {}}

    def extra_repr(self) -> str:
        out, depth, *kernel = self.weight.shape
        text = f"{depth * self.groups}, {out}, kernel_size={tuple(kernel)}, stride={self.stride}, groups={self.groups}"
        return text + (f", act={self.act}" if self.act != "none" else "")


def taken(kernels: str, kernel: Entry, x: torch.Tensor, window: int, stride: int, channels: int) -> bool:
    """Say whether a kernel is taken for an input."""
    capability = "{}.{}".format(*torch.cuda.get_device_capability(x.device)) if x.is_cuda else None
    n, depth, height, _ = x.shape
    bits = x.dtype.itemsize * 8
    return chosen(kernels, Layer(kernel.operation, window, stride, depth, channels, height, n, bits, capability))


def on_gpu(x: torch.Tensor) -> bool:
    """Say whether passes of ours that have no gradient may run: on a GPU, where none is asked for.

    A compiler fuses what follows a convolution by itself.
    """
    needs = x.requires_grad and torch.is_grad_enabled()
    return x.is_cuda and not needs and not torch.compiler.is_compiling() and not torch.jit.is_tracing()


def fuses(act: str, residual: torch.Tensor | None, groups: int) -> bool:
    """Say whether cuDNN takes all that follows a convolution into its pass."""
    return act == "relu" and residual is None and groups == 1


def library(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    residual: torch.Tensor | None,
    where: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int],
    act: str,
    slope: float,
) -> torch.Tensor:
    """Convolve on a GPU by cuDNN, which knows bias and ReLU, and after it one pass of ours for the rest.

    Inside of cuDNN they cost nothing: 147 us instead of 228 for 64 channels of 56 x 56 of 256 images, and of 375 as
    three passes, in bf16 on an H100. A convolution by groups it does not fuse. `where` the window goes is its stride,
    padding and dilation, and the groups.
    """
    from archdsl.kernels import finish_

    if fuses(act, residual, where[-1]):
        return torch.cudnn_convolution_relu(x, weight, bias, *where)
    y = F.conv2d(x, weight, None, *where)
    return finish_(y, bias, residual, act=act, slope=slope)


class MaxPool2d(nn.MaxPool2d):
    """The largest value of each window; on a GPU by the kernel of this package, where a measurement says so."""

    kernels = "auto"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (window, _), (stride, _) = (2 * (v,) if isinstance(v, int) else v for v in (self.kernel_size, self.stride))
        if not on_gpu(x) or x.dim() != 4 or not taken(self.kernels, POOL, x, window, stride, x.shape[1]):
            return super().forward(x)
        from archdsl.kernels import max_pool2d

        return max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


def at_once(first: Conv2d, conv: Conv2d) -> bool:
    """Say whether one kernel computes a depthwise convolution and the 1x1 one after it, and nothing twice."""
    taps = first.weight.shape[2] * first.weight.shape[3]
    slopes = {layer.slope for layer in (first, conv) if layer.act == "leaky_relu"}
    small = SEPARABLE.takes(taps=taps, channels=conv.weight.shape[0])
    return first.depthwise and small and conv.stride == (1, 1) and len(slopes) <= 1


class BatchNorm(nn.BatchNorm2d):
    """The function as a layer: like it, it takes any number of axes, [N, C, ...]."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take any."""


class Clamp(nn.Module):
    """max(min(x, high), low) by channel: all that is left of a norm and a ReLU before a 1x1 convolution.

    relu(s*x + t) is s * max(x, -t/s) + t for s > 0, with a minimum for s < 0, and the convolution after it takes the s
    and the t into its weights. Here a pass for a quarter of the time of norm and ReLU, which are two.
    """

    def __init__(self, low: torch.Tensor, high: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("low", low.view(1, -1, 1, 1))
        self.register_buffer("high", high.view(1, -1, 1, 1))
        self.one_sided = not high.is_meta and bool((high == float("inf")).all())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(x, self.low) if self.one_sided else torch.clamp(x, self.low, self.high)


class Gate(nn.Module):
    """A map times one value for each channel: [N, C, H, W] and [N, C, 1, 1] -> [N, C, H, W]."""

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return x * gate


class Joined(nn.Module):
    """A 1x1 convolution and the step that computes its input: a clamp, a gate or a depthwise convolution.

    On a GPU one kernel computes both, where `fused` says so; elsewhere one runs after the other.
    """

    def __init__(self, before: nn.Module, conv: Conv2d, inputs: int) -> None:
        super().__init__()
        self.before, self.conv, self.inputs = before, conv, inputs

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        inputs, residual = xs[: self.inputs], xs[self.inputs] if len(xs) > self.inputs else None
        if inputs[0].is_cuda and self.fused(inputs[0]) and self.fits(inputs[0], residual):
            return self._triton(inputs, residual)
        return self.conv(self.before(*inputs), residual)

    def fused(self, x: torch.Tensor) -> bool:
        """Say whether the kernel is taken on a GPU."""
        if isinstance(self.before, Conv2d):
            return self.before.chosen(SEPARABLE, x)
        return self.conv.chosen(POINTWISE, x)

    def fits(self, x: torch.Tensor, residual: torch.Tensor | None) -> bool:
        """Say whether a residual has the shape of the result, where there is one."""
        return residual is None or residual.shape == (x.shape[0], self.conv.weight.shape[0], *self.size(x))

    def size(self, x: torch.Tensor) -> tuple[int, ...]:
        """Return the height and width of the result."""
        return self.conv.size(self.before.size(x.shape[2:]) if isinstance(self.before, Conv2d) else x.shape[2:])

    def between(self, x: torch.Tensor, y: torch.Tensor) -> int:
        """Return the elements of what lies between the two, for an input and a result."""
        return y.numel() // y.shape[1] * self.conv.weight.shape[1] if isinstance(self.before, Conv2d) else x.numel()

    def _triton(self, inputs: tuple[torch.Tensor, ...], residual: torch.Tensor | None) -> torch.Tensor:
        from archdsl.kernels import pointwise_conv2d, separable_conv2d

        conv, before, x = self.conv, self.before, inputs[0]
        if isinstance(before, Conv2d):
            return separable_conv2d(
                x, before.weight, conv.weight, None, before.bias, None, conv.bias, residual, stride=before.stride,
                padding=before.padding, dilation=before.dilation, act=before.act, act_out=conv.act,
                slope=max(before.slope, conv.slope),
            )  # fmt: skip
        if isinstance(before, Clamp):
            prologue = {"low": before.low.flatten(), "high": None if before.one_sided else before.high.flatten()}
        else:
            prologue = {"gate": inputs[1].flatten(1)}
        return pointwise_conv2d(
            x, conv.weight, None, conv.bias, residual, **prologue, stride=conv.stride, act=conv.act, slope=conv.slope
        )


class Gather(nn.Module):
    """Channels of several maps side by side: `pieces` are (which map, first channel, one past the last)."""

    def __init__(self, pieces: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        rows = [x.permute(0, 2, 3, 1) for x in xs]  # `cat` of the last axis: of channels it takes up to 20 times longer
        return torch.cat([rows[i][..., start:stop] for i, start, stop in self.pieces], 3).permute(0, 3, 1, 2)


class Grow(nn.Module):
    """The first maps of a concatenation that grows: a buffer for all channels, of which the first are filled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (x.shape[0], self.channels, *x.shape[2:])
        y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        y[:, : x.shape[1]].copy_(x)
        return y


class Append(nn.Module):
    """One more map of a concatenation that grows: written after the `start` channels that are there.

    Returns the channels up to and with it, a view. `earlier` is what the last step returned: its writing comes first.
    """

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start

    def forward(self, buffer: torch.Tensor, x: torch.Tensor, earlier: torch.Tensor | None = None) -> torch.Tensor:
        stop = self.start + x.shape[1]
        buffer[:, self.start : stop].copy_(x)
        return buffer[:, :stop]


class Maps(nn.Module):
    """Memory for maps [N, width, H, W] one after another, of the height and width of x."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.widths = widths

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(sum(self.widths) * x.shape[0] * x.shape[2] * x.shape[3])


class Scatter(nn.Module):
    """A 1x1 convolution whose channels go to several maps of a buffer; returns the buffer."""

    def __init__(self, conv: Conv2d, places: list[tuple[int, int, int]]) -> None:
        super().__init__()
        self.conv = conv
        self.register_buffer("places", torch.tensor(places, device=conv.weight.device).T.contiguous())

    def forward(self, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
        from archdsl.kernels import pointwise_conv2d_scatter

        conv = self.conv
        pointwise_conv2d_scatter(x, conv.weight, conv.bias, buffer, self.places, act=conv.act, slope=conv.slope)
        return buffer


class Take(nn.Module):
    """One map of a buffer, of the size of x: a view."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.before, self.width = before, width

    def forward(self, buffer: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        n, _, h, w = x.shape
        part = buffer[self.before * n * h * w : (self.before + self.width) * n * h * w]
        return part.view(n, h, w, self.width).permute(0, 3, 1, 2)


class Centered(nn.Module):
    """The input of a group norm less the mean of its group, which changes nothing of the result: on a CPU.

    In channels_last PyTorch takes the mean of the squares less the square of the mean for the variance: maps of
    10 ± 0.01 are off by as much as they vary. As rows of one channel after another they are right to 1e-4, and so to
    1e-6. Of 8 x 64 x 56 x 56 the norm alone takes 0.6 ms, with the rows 3.0, and so 1.5.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu":
            return x
        if x.dim() != 4 or x.dtype.itemsize < 4:
            return x.contiguous()
        n, c = x.shape[:2]
        means = x.mean((2, 3)).view(n, self.groups, -1).mean(2, keepdim=True)
        return x - means.expand(n, self.groups, c // self.groups).reshape(n, c, 1, 1)


class ChannelsLast(nn.Module):
    """The input of a network in channels_last."""

    def forward(self, x: Any) -> Any:
        is_map = isinstance(x, torch.Tensor) and x.dim() == 4
        return x.contiguous(memory_format=torch.channels_last) if is_map else x
