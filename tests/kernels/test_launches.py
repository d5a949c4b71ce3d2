"""What the launchers do on the way to a GPU, without one: Triton's JIT and compiler at work, and a driver that starts
nothing."""

from __future__ import annotations

import contextlib
from importlib import import_module

import pytest
import torch

pytest.importorskip("triton")

from archdsl.kernels import available, depthwise_conv2d, finish_, pointwise, pointwise_conv2d, separable_conv2d

from archdsl.codegen.kernels import KERNELS, SCATTER
from benchmarks import instructions, layers
from benchmarks.dry import dry, forget
from benchmarks.layers import Case, Layer

PROGRAMS = [
    getattr(import_module(f"archdsl.kernels.{kernel.file}"), name) for kernel in KERNELS for name in kernel.programs
]
LAYERS = (
    Layer("depthwise", 3, 1, 24, 24, 14, "relu6"),
    Layer("gradients", 3, 1, 24, 24, 14),
    Layer("pointwise", 1, 1, 24, 16, 14, "relu6", True),
    Layer("pointwise", 1, 2, 24, 16, 14),
    Layer("separable", 3, 2, 24, 16, 14, "relu6"),
    Layer("patches", 3, 2, 3, 24, 14, "relu6"),
    Layer("pool", 3, 2, 24, 24, 14),
)


@pytest.fixture(autouse=True)
def fresh():
    forget(*PROGRAMS)
    yield
    forget(*PROGRAMS)


def test_what_decides_of_a_kernel_is_measured_by_a_layer():
    wanted = {kernel.operation for kernel in KERNELS if kernel.operation and kernel is not SCATTER}
    assert wanted <= {layer.operation for layer in LAYERS}, "what scatters changes a network: that is measured"


def launched(layer: Layer, batch: int) -> None:
    case = Case(layer, batch, torch.bfloat16, "cpu", filled=False)
    case.kernel(case.xs[0])


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_another_batch_compiles_nothing(layer):
    """Counts that become 1, or divisible by 16, or stop being it."""
    large = 512 if layer.operation == "gradients" else 1  # the number of their parts is fixed from some images on
    with dry() as log:
        for batch in (large * 8, large * 7, large * 16, large):
            launched(layer, batch)
    assert len(log.launches) == 4
    assert len(log.compiled) == 1


def test_another_size_compiles_no_product():
    with dry() as log:
        for size in (14, 28, 7):
            launched(LAYERS[2]._replace(size=size), 3)
        launched(LAYERS[3]._replace(size=28), 1)
        launched(LAYERS[3], 1)
    assert log.compiled == ["pointwise_fwd_kernel"] * 2


@torch.no_grad()
def test_kernels_of_a_network_are_compiled_once():
    """35 of MobileNet v2's 53 convolutions are different; the stem is left to cuDNN."""
    found = [layer for layer in layers.layers_of("mobilenet_v2", 64) if layer.operation != "separable"]
    with dry() as log:
        for layer in found:
            launched(layer, 2)
        once = len(log.compiled)
        for layer in found:
            launched(layer, 5)
    assert once == len(found)
    assert len(log.compiled) == once


def test_a_kernel_starts_on_the_device_of_its_tensors(monkeypatch):
    entered = []

    @contextlib.contextmanager
    def device_of(tensor):
        entered.append(tensor)
        yield

    monkeypatch.setattr(available.torch.cuda, "device_of", device_of)
    x = torch.empty(2, 24, 9, 9).contiguous(memory_format=torch.channels_last)
    with dry() as log, torch.no_grad():
        depthwise_conv2d(x, torch.empty(24, 1, 3, 3), padding=1)
        pointwise_conv2d(x, torch.empty(8, 24, 1, 1))
        separable_conv2d(x, torch.empty(24, 1, 3, 3), torch.empty(8, 24, 1, 1))
        finish_(x, act="relu")
    assert [t.data_ptr() for t in entered] == [x.data_ptr()] * 4
    assert len(log.launches) == 4


def test_products_load_asynchronously():
    for depth, stages in ((576, 3), (64, 2)):
        tile = pointwise.Tile(64, 128, 32, stages=stages)
        assert instructions.product(depth, 96, tile).count("LDGSTS") > 0
    assert instructions.product(32, 96, pointwise.Tile(64, 128, 32, stages=1)).count("LDGSTS") == 0, "there is no loop"


def test_how_float32_is_multiplied_is_what_the_user_says(monkeypatch):
    class Settings:
        fp32_precision = "none"

        @property
        def allow_tf32(self):
            raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch.backends.cuda, "matmul", Settings())
    assert pointwise.precision(torch.float32) == "ieee"
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    assert pointwise.precision(torch.float32) == "tf32"
    assert pointwise.precision(torch.bfloat16) == "ieee"


def test_a_result_may_be_too_large_for_a_kernel():
    x = torch.empty(1, 1 << 12, 1 << 9, 1 << 9, device="meta")
    assert available._reason([x]) == ""
    assert "2**31" in available._reason([x], image=2 * x.numel())
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archdsl.kernels.depthwise.runs", lambda *_, image: asked.append(image))
        depthwise_conv2d(torch.zeros(2, 3, 8, 8), torch.zeros(12, 1, 3, 3), padding=1)
        patch.setattr("archdsl.kernels.pointwise.runs", lambda *_, image: asked.append(image))
        pointwise_conv2d(torch.zeros(2, 3, 8, 8), torch.zeros(7, 3, 1, 1), stride=2)
    assert asked == [12 * 64, 7 * 16]
