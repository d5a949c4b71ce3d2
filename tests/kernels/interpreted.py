"""The Triton kernels against float64: on CPU tensors in Triton's interpreter, run by `test_kernels_interpreted.py`, and,
with ARCHDSL_DEVICE=cuda, on a GPU, run by `benchmarks.gpu`.

The interpreter is chosen before Triton is imported, for a whole process, so these tests have a process of their own.
Outputs are filled with NaN first: an element that no program writes shows.
"""

from __future__ import annotations

import os
from importlib import import_module

import pytest
import torch
from archdsl.kernels import (
    available,
    channel_shuffle,
    depthwise,
    depthwise_conv2d,
    finish,
    finish_,
    max_pool2d,
    patches,
    patches_conv2d,
    pointwise,
    pointwise_conv2d,
    pointwise_conv2d_scatter,
    pool,
    separable,
    separable_conv2d,
    shuffle,
)
from archdsl.kernels.available import interpreted, runs
from archdsl.kernels.epilogue import ACTIVATIONS
from archdsl.kernels.layout import empty_last, is_last

from archdsl.codegen.kernels import KERNELS

# The interpreter truncates to bf16 where a GPU rounds: one step, 2**-7, instead of half of one.
TOLERANCE = {torch.float32: 1e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}
DEVICE = os.environ.get("ARCHDSL_DEVICE", "cpu")
torch.set_default_device(DEVICE)
LAST = torch.channels_last
FORMATS = (torch.contiguous_format, LAST)
ONE, TWO = (1, 1), (2, 2)


def random(*shape: int, dtype=torch.float32, format=torch.contiguous_format) -> torch.Tensor:
    generator = torch.Generator(DEVICE).manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=format)


def close(found: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype, terms: int = 1) -> None:
    assert found.shape == expected.shape
    assert found.isfinite().all(), "not every element was written"
    worst = (found.double() - expected).abs().max() if found.numel() else torch.tensor(0.0)
    assert worst <= TOLERANCE[dtype] * terms * max(1.0, expected.abs().max() if found.numel() else 0.0)


def test_this_process_runs_the_kernels():
    assert interpreted() == (DEVICE == "cpu")
    assert runs(torch.ones(1))


# batch, channels, multiplier, height, width, kernel, stride, padding, dilation
CASES = {
    "same 3x3": (2, 8, 1, 9, 11, (3, 3), ONE, ONE, ONE),
    "stride 2, odd channels": (2, 29, 1, 8, 7, (3, 3), TWO, ONE, ONE),
    "58 channels": (1, 58, 1, 7, 7, (3, 3), ONE, ONE, ONE),
    "multiplier, oblong, dilated": (1, 5, 2, 8, 7, (3, 5), (2, 1), (1, 2), (1, 2)),
    "5x5 stride 2": (2, 6, 1, 12, 13, (5, 5), TWO, (0, 3), ONE),
    "7x7": (1, 5, 1, 9, 17, (7, 7), ONE, (3, 3), ONE),
    "padding beyond the window": (1, 3, 3, 7, 7, (2, 2), (3, 3), (5, 5), ONE),
    "1x1": (1, 4, 1, 5, 4, (1, 1), ONE, (0, 0), ONE),
    "window of the whole map": (2, 3, 1, 5, 5, (5, 5), ONE, (0, 0), ONE),
    "stride beyond the window": (1, 3, 1, 9, 10, (2, 2), (3, 4), (0, 0), ONE),
    "dilation and stride": (1, 4, 1, 11, 12, (3, 3), TWO, TWO, (3, 2)),
    "no images": (0, 4, 1, 5, 5, (3, 3), ONE, ONE, ONE),
}


@pytest.mark.parametrize("case", CASES)
def test_depthwise(case):
    n, c, m, h, w, kernel, stride, padding, dilation = CASES[case]
    x, weight = random(n, c, h, w, format=LAST), random(c * m, 1, *kernel)
    scale, shift = random(c * m), random(c * m)
    where = (stride, padding, dilation)
    g = depthwise.geometry_of(x.shape, weight.shape, *where)
    residual = random(n, c * m, *g.out, format=LAST)
    expected = depthwise.reference(*(t.double() for t in (x, weight, scale, shift, residual)), *where, "relu6")
    y = empty_last(x, expected.shape).fill_(torch.nan)
    depthwise.launch_fwd(x, weight, scale, shift, residual, g, "relu6", 0.0, y=y)
    close(y, expected, x.dtype)


# The operators of each entry, called by what the package offers.
CALLS = {
    "depthwise_conv2d": lambda x: depthwise_conv2d(x, random(4, 1, 3, 3).requires_grad_()).sum().backward(),
    "finish_": lambda x: finish_(x.contiguous(memory_format=LAST), random(4)),
    "patches_conv2d": lambda x: patches_conv2d(x, random(3, 4, 3, 3)),
    "pointwise_conv2d": lambda x: pointwise_conv2d(x, random(3, 4, 1, 1)),
    "max_pool2d": lambda x: max_pool2d(x, 2),
    "pointwise_conv2d_scatter": lambda x: pointwise_conv2d_scatter(
        x, random(1, 4, 1, 1), random(1), torch.zeros(x.shape[0] * 30), torch.tensor([[0], [1], [0]])
    ),
    "separable_conv2d": lambda x: separable_conv2d(x, random(4, 1, 3, 3), random(3, 4, 1, 1)),
    "channel_shuffle": lambda x: channel_shuffle(x, 2),
}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.names[0])
def test_the_programs_of_an_entry_run(kernel, monkeypatch):
    module, started = import_module(f"archdsl.kernels.{kernel.file}"), []

    def start(program, *arguments, **constants):
        started.append(program.__name__)
        available.start(program, *arguments, **constants)

    monkeypatch.setattr(module, "start", start)
    CALLS[kernel.names[0]](random(2, 4, 6, 5))
    assert tuple(started) == kernel.programs


WANTED = ((True, True), (True, False), (False, True))


@pytest.mark.parametrize("wanted", WANTED, ids=str)
@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][2] == 1])
def test_depthwise_gradients(case, wanted):
    n, c, _, h, w, kernel, *where = CASES[case]
    x, weight = random(n, c, h, w, format=LAST), random(c, 1, *kernel)
    g = depthwise.geometry_of(x.shape, weight.shape, *where)
    dy, dx = random(n, c, *g.out, format=LAST), empty_last(x, x.shape).fill_(torch.nan)
    expected = depthwise.reference_grads(dy.double(), x.double(), weight.double(), g, wanted)
    for found, exact in zip(depthwise.launch_grads(dy, x, weight, g, wanted, dx=dx if wanted[0] else None), expected):
        assert (found is None) == (exact is None)
        if found is not None:
            close(found, exact, x.dtype, terms=4)


def test_contiguous_maps_are_converted_at_the_edge():
    x, weight, residual = random(2, 5, 8, 7), random(10, 1, 3, 3), random(2, 10, 8, 7)
    y = depthwise_conv2d(x, weight, None, None, residual, padding=1)
    assert y.is_contiguous()
    expected = depthwise.reference(x.double(), weight.double(), None, None, residual.double(), padding=ONE)
    close(y, expected, x.dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_depthwise_in_half_precision(dtype):
    x, weight = random(2, 24, 9, 10, dtype=dtype, format=torch.channels_last), random(24, 1, 3, 3, dtype=dtype)
    g = depthwise.geometry_of(x.shape, weight.shape, TWO, ONE, ONE)
    expected = depthwise.reference(x.double(), weight.double(), stride=TWO, padding=ONE)
    close(depthwise.launch_fwd(x, weight, None, None, None, g, "none", 0.0), expected, dtype)
    dy = random(*expected.shape, dtype=dtype, format=torch.channels_last)
    dx, dw = depthwise.reference_grads(dy.double(), x.double(), weight.double(), g, (True, True))
    for found, exact in zip(depthwise.launch_grads(dy, x, weight, g), (dx, dw)):
        close(found, exact, dtype)


def test_a_weight_gradient_is_the_same_bits_in_every_run():
    x, dy = random(3, 8, 6, 6, format=torch.channels_last), random(3, 8, 6, 6, format=torch.channels_last)
    weight = random(8, 1, 3, 3)
    g = depthwise.geometry_of(x.shape, weight.shape, ONE, ONE, ONE)
    first, second = (depthwise.launch_grads(dy, x, weight, g) for _ in range(2))
    assert all(torch.equal(left, right) for left, right in zip(first, second))


def test_programs_of_both_gradients_take_several_tiles(monkeypatch):
    monkeypatch.setattr(depthwise, "WARPS", 6)
    x, dy = random(3, 8, 7, 9, format=torch.channels_last), random(3, 8, 7, 9, format=torch.channels_last)
    weight = random(8, 1, 3, 3)
    g = depthwise.geometry_of(x.shape, weight.shape, ONE, ONE, ONE)
    expected = depthwise.reference_grads(dy.double(), x.double(), weight.double(), g, (True, True))
    for found, exact in zip(depthwise.launch_grads(dy, x, weight, g), expected):
        close(found, exact, x.dtype, terms=4)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_activations_at_their_switch_points(act):
    points = torch.tensor([-100, -3.001, -3, -2.999, -1, -1e-30, 0, 1e-30, 1, 2.999, 3, 3.001, 5.999, 6, 6.001, 90])
    x = points.view(1, 1, 1, -1).repeat(1, 2, 1, 1).contiguous(memory_format=LAST)
    g = depthwise.geometry_of(x.shape, (2, 1, 1, 1), ONE, (0, 0), ONE)
    y = depthwise.launch_fwd(x, torch.ones(2, 1, 1, 1), None, None, None, g, act, 0.1)
    close(y, ACTIVATIONS[act](x.double(), 0.1), x.dtype, terms=8)


@pytest.mark.parametrize("act", ["relu", "relu6", "leaky_relu", "hardswish"])
def test_a_nan_stays_one(act):
    x = torch.tensor([1.0, torch.nan, -1.0]).view(1, 1, 1, 3)
    g = depthwise.geometry_of(x.shape, (1, 1, 1, 1), ONE, (0, 0), ONE)
    y = depthwise.launch_fwd(x, torch.ones(1, 1, 1, 1), None, None, None, g, act, 0.1)
    assert y.isnan().flatten().tolist() == [False, True, False]


def test_a_gradient_through_the_whole_operator():
    tensors = [random(2, 6, 7, 6, format=torch.channels_last), random(6, 1, 3, 3), random(6), random(6)]
    tensors.append(random(2, 6, 4, 3, format=torch.channels_last))
    found = gradients(depthwise_conv2d, tensors, stride=2, padding=1, act="hardswish")
    expected = gradients(
        lambda *t, **_: depthwise.reference(*t, stride=TWO, padding=ONE, act="hardswish"), [t.double() for t in tensors]
    )
    for left, right in zip(found, expected):
        close(left, right, torch.float32, terms=4)


def gradients(function, tensors, **options) -> list[torch.Tensor]:
    leaves = [t.detach().requires_grad_() for t in tensors]
    y = function(*leaves, **options)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return list(torch.autograd.grad((y * weights).sum(), leaves))


@pytest.mark.parametrize("format", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_shuffle(groups, format):
    x = random(2, 6, 5, 3, format=format)
    y = torch.full_like(x, torch.nan)
    assert torch.equal(shuffle.launch(x, groups, is_last(x), y), shuffle.reference(x, groups))
    x.requires_grad_()
    weights = random(2, 6, 5, 3)
    dx, expected = (
        torch.autograd.grad((f(x, groups) * weights).sum(), x)[0] for f in (channel_shuffle, shuffle.reference)
    )
    assert torch.equal(dx, expected)


FINISH = {"shift": (True, False), "residual": (False, True), "both": (True, True), "neither": (False, False)}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("channels", [1, 24, 58, 130])
@pytest.mark.parametrize("parts", FINISH)
def test_finish(parts, channels, dtype):
    y, other = (random(3, channels, 5, size, dtype=dtype, format=LAST) for size in (7, 7))
    shift, residual = (t if given else None for t, given in zip((random(channels), other.flip(0)), FINISH[parts]))
    exact = [None if t is None else t.double() for t in (shift, residual)]
    expected = finish.reference(y.double(), *exact, act="hardswish")
    close(finish_(y, shift, residual, act="hardswish"), expected, dtype, terms=2)


# input channels, output channels, height, width, kernel, stride, padding, dilation
PATCHES = {
    "a stem": (3, 20, 11, 9, (3, 3), TWO, ONE, ONE),
    "7x7": (3, 64, 13, 17, (7, 7), TWO, (3, 3), ONE),
    "one channel": (1, 5, 8, 8, (3, 3), ONE, (0, 0), ONE),
    "oblong, dilated": (4, 70, 9, 12, (2, 5), (3, 1), (1, 4), (2, 3)),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", PATCHES)
def test_patches(case, dtype):
    c, out, h, w, kernel, *where = PATCHES[case]
    x, weight = random(2, c, h, w, dtype=dtype, format=LAST), random(out, c, *kernel, dtype=dtype) / c / kernel[0]
    shift = random(out)
    expected = patches.reference(x.double(), weight.double(), shift.double(), *where, act="relu6")
    y = empty_last(x, expected.shape).fill_(torch.nan)
    patches.launch(x, weight, shift, *where, "relu6", 0.0, y=y)
    close(y, expected, dtype, terms=2)


# height, width, kernel, stride, padding, dilation, ceil
POOL = {
    "3x3, stride 2": (9, 8, (3, 3), TWO, ONE, ONE, False),
    "2x2, ceil": (7, 5, TWO, TWO, (0, 0), ONE, True),
    "3x3, ceil": (8, 10, (3, 3), TWO, (0, 0), ONE, True),
    "padded, ceil, no further window": (7, 7, (2, 2), (3, 3), ONE, ONE, True),
    "oblong, dilated": (9, 12, (3, 2), (1, 2), (1, 0), (2, 3), False),
}


@pytest.mark.parametrize("channels", [1, 24, 70])
@pytest.mark.parametrize("case", POOL)
def test_max_pool(case, channels):
    h, w, *where = POOL[case]
    x = random(2, channels, h, w, format=LAST)
    x[0, 0, 3, 3] = torch.nan
    expected = pool.reference(x, *where)
    y = empty_last(x, expected.shape).fill_(7.0)
    torch.testing.assert_close(pool.launch(x, *where, y=y), expected, rtol=0, atol=0, equal_nan=True)


POINTWISE = {
    "plain": {},
    "epilogue": {"scale", "shift", "residual"},
    "prologue": {"scale_in", "shift_in", "gate"},
    "clamp": {"low"},
    "map": {"channels"},
    "all": {"scale", "shift", "residual", "scale_in", "shift_in", "low", "high", "gate", "channels"},
}


@pytest.mark.parametrize("format", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("parts", POINTWISE)
def test_pointwise(parts, format):
    check_pointwise(POINTWISE[parts], format, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pointwise_in_half_precision(dtype):
    # what the prologue computes is rounded before the product
    check_pointwise(POINTWISE["all"], torch.channels_last, dtype, terms=4)


def check_pointwise(parts, format, dtype, terms: int = 2) -> None:
    depth = 12 if "channels" in parts else 20
    sizes = {"scale": (35,), "shift": (35,), "residual": (2, 35, 4, 3)}
    sizes |= dict.fromkeys(("scale_in", "shift_in", "low", "high"), (depth,))
    given = {name: random(*size) for name, size in sizes.items() if name in parts}
    if "residual" in parts:
        given["residual"] = given["residual"].to(dtype).contiguous(memory_format=format)
    if "high" in parts:
        given["high"] = given["low"] + given["high"].abs()
    if "gate" in parts:
        given["gate"] = random(2, depth, dtype=dtype)
    if "channels" in parts:
        given["channels"] = torch.randperm(20, generator=torch.Generator(DEVICE).manual_seed(0))[:depth]
    x, weight = random(2, 20, 7, 6, dtype=dtype, format=format), random(35, depth, 1, 1, dtype=dtype) / depth**0.5
    exact = {k: v.double() if v.is_floating_point() else v for k, v in given.items()}
    expected = pointwise.reference(x.double(), weight.double(), **exact, stride=TWO, act="relu6", act_in="relu")
    found = pointwise_conv2d(x, weight, **given, stride=2, act="relu6", act_in="relu")
    close(found, expected, dtype, terms)


@pytest.mark.parametrize("stride", [(1, 2), (2, 1), (3, 2)])
def test_pointwise_with_a_step_for_each_axis(stride):
    x, weight, gate = random(2, 20, 7, 5, format=LAST), random(6, 20, 1, 1) / 20**0.5, random(2, 20)
    expected = pointwise.reference(x.double(), weight.double(), gate=gate.double(), stride=stride)
    close(pointwise_conv2d(x, weight, gate=gate, stride=stride), expected, x.dtype, terms=2)


@pytest.mark.parametrize("gap", ["images", "rows", "pixels"])
def test_maps_with_gaps_are_read_where_they_lie(gap):
    """Between images, rows or pixels of a part of a map there is what nobody may read."""
    whole = {"images": (4, 9, 5, 6), "rows": (2, 9, 5, 12), "pixels": (2, 18, 5, 6)}[gap]
    cut = {"images": (slice(0, 4, 2),), "rows": (..., slice(0, 6)), "pixels": (slice(None), slice(0, 9))}[gap]
    inside = torch.zeros(whole, dtype=torch.bool)
    inside[cut] = True
    x = random(*whole).masked_fill(~inside, torch.nan).contiguous(memory_format=LAST)[cut]
    weight = random(7, 9, 1, 1)
    close(pointwise_conv2d(x, weight), pointwise.reference(x.double(), weight.double()), x.dtype, terms=9)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_pointwise_of_some_channels_of_a_wider_map(dtype):
    wide = random(2, 29, 5, 3, dtype=dtype, format=torch.channels_last).index_fill(1, torch.arange(20, 29), torch.nan)
    wide = wide.contiguous(memory_format=torch.channels_last)
    x, weight, low = wide[:, :20], random(35, 20, 1, 1, dtype=dtype) / 20**0.5, random(20)
    found = pointwise_conv2d(x, weight, low=low)
    assert is_last(found)
    close(found, pointwise.reference(x.double(), weight.double(), low=low.double()), dtype, terms=2)


def test_pointwise_without_images():
    assert pointwise_conv2d(random(0, 4, 5, 5), random(3, 4, 1, 1)).shape == (0, 3, 5, 5)


def test_pointwise_into_maps():
    x, weight, shift = random(2, 20, 4, 3, format=torch.channels_last), random(35, 20, 1, 1), random(35)
    order = torch.randperm(35, generator=torch.Generator(DEVICE).manual_seed(0))
    mine = order < 12  # the first map has 12 channels, the second 23
    places = torch.stack([torch.where(mine, 0, 12), torch.where(mine, 12, 23), torch.where(mine, order, order - 12)])
    buffer = torch.full((35 * 24,), torch.nan)
    pointwise_conv2d_scatter(x, weight, shift, buffer, places, act="relu6")
    maps = [part.view(2, 4, 3, -1).permute(0, 3, 1, 2) for part in buffer.split([12 * 24, 23 * 24])]
    expected = pointwise.reference(x.double(), weight.double(), None, shift.double(), act="relu6")
    close(torch.cat(maps, 1)[:, order], expected, x.dtype, terms=2)


# batch, channels, multiplier, output channels, height, width, kernel, stride, padding, dilation
SEPARABLE = {
    "24 channels": (2, 24, 1, 16, 9, 11, (3, 3), ONE, ONE, ONE),
    "58 channels, stride 2": (1, 58, 1, 58, 7, 8, (3, 3), TWO, ONE, ONE),
    "64 channels, maps of 7": (3, 64, 1, 24, 7, 7, (3, 3), ONE, ONE, ONE),
    "116 channels, two programs for the outputs": (1, 116, 1, 130, 4, 5, (3, 3), ONE, ONE, ONE),
    "5x5, multiplier, dilated, oblong": (1, 5, 2, 33, 13, 9, (5, 3), (1, 2), (4, 0), (2, 1)),
    "no images": (0, 24, 1, 16, 5, 5, (3, 3), ONE, ONE, ONE),
}


@pytest.mark.parametrize("case", SEPARABLE)
def test_separable(case):
    check_separable(SEPARABLE[case], torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", ["58 channels, stride 2", "64 channels, maps of 7"])
def test_separable_in_half_precision(case, dtype):
    # what lies between is rounded before the product
    check_separable(SEPARABLE[case], dtype, terms=4)


def check_separable(case, dtype, terms: int = 2) -> None:
    n, c, m, out, h, w, kernel, stride, padding, dilation = case
    x, taps = random(n, c, h, w, dtype=dtype, format=LAST), random(c * m, 1, *kernel, dtype=dtype) / 3
    weight = random(out, c * m, 1, 1, dtype=dtype) / (c * m) ** 0.5
    vectors = [random(c * m), random(c * m) + 1, random(out), random(out) - 1]
    g = depthwise.geometry_of(x.shape, taps.shape, stride, padding, dilation)
    residual = random(n, out, *g.out, dtype=dtype, format=LAST)
    exact = [t.double() for t in (x, taps, weight, *vectors, residual)]
    expected = separable.reference(*exact, stride, padding, dilation, "relu6", "hardswish")
    y = empty_last(x, expected.shape).fill_(torch.nan)
    separable.launch(x, taps, weight, *vectors, residual, g, "relu6", "hardswish", 0.0, y=y)
    close(y, expected, dtype, terms)


def test_separable_alone():
    x, taps, weight = random(2, 20, 6, 5, format=torch.channels_last), random(20, 1, 3, 3), random(9, 20, 1, 1)
    found = separable_conv2d(x, taps, weight, padding=1)
    close(found, separable.reference(x.double(), taps.double(), weight.double(), padding=ONE), x.dtype, terms=2)
