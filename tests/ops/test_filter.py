"""`filter`, windows of fixed numbers, against timm's blurring and PyTorch; and weights that Python makes of others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import archdsl

BLURS = {3: "[0.25, 0.5, 0.25]", 4: "[0.125, 0.375, 0.375, 0.125]", 5: "[0.0625, 0.25, 0.375, 0.25, 0.0625]"}
HEAD = "net n:\n    input image: [N, 4, H=32, W=24]\n"


@pytest.mark.usefixtures("torchvision_models")  # which timm imports
@pytest.mark.parametrize("size", BLURS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_blur_is_timms(size: int, stride: int) -> None:
    from timm.layers import BlurPool2d

    before = (size - 1) // 2 if size % 2 else (stride - 1 + size - 1) // 2
    blur = BlurPool2d(4, filt_size=size, stride=stride)
    text = f'{HEAD}    pad({before}, mode="reflect") -> filter({BLURS[size]}, stride={stride}, pad=0)\n'
    model = archdsl.loads(text)
    for height, width in ((32, 24), (9, 8), (7, 5)):
        x = torch.randn(2, 4, height, width)
        assert torch.equal(model(x), blur(x))


def test_edges_are_those_of_sobel() -> None:
    x = torch.randn(2, 4, 11, 9)
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    wanted = [F.conv2d(x, k.expand(4, 1, 3, 3), padding=1, groups=4) for k in (kernel, kernel.T)]
    model = archdsl.loads(f"{HEAD}    cat(filter([1, 2, 1], [-1, 0, 1]), filter([-1, 0, 1], [1, 2, 1]))\n")
    assert torch.equal(model(x), torch.cat(wanted, 1))


def test_nothing_is_learned() -> None:
    """The numbers are in no state dict, so that published weights fit."""
    model = archdsl.loads(f"{HEAD}    conv1: conv(4, 3) -> blur: filter([1, 2, 1], stride=2) -> conv2: conv(2, 1)\n")
    assert {name.split(".")[0] for name in model.state_dict()} == {"conv1", "conv2"}
    assert len(list(model.parameters())) == 4


def test_other_precisions_and_inference_take_the_numbers_along() -> None:
    text = f"{HEAD}    conv(8, 3, bias=false) -> bn -> relu -> filter([0.25, 0.5, 0.25], stride=2) -> conv(4, 1)\n"
    model = archdsl.loads(text).eval()
    x = torch.randn(2, 4, 32, 24)
    torch.testing.assert_close(archdsl.optimize(model)(x), model(x), rtol=1e-4, atol=1e-5)
    assert archdsl.loads(text).double()(x.double()).dtype == torch.float64
    assert torch.equal(torch.jit.script(model)(x), model(x))


@pytest.mark.parametrize("make", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_weights_that_are_made_of_others_are_said_in_python(make) -> None:
    """A step calls its layer as a module, so what is hung onto one is what runs, in a sequence and in a block."""
    text = f"{HEAD}    body: [conv(8, 3), relu]\n    add(identity, inner: [conv(8, 3), relu])\n    head: conv(2, 1)\n"
    torch.manual_seed(0)
    model = archdsl.loads(text).eval()
    torch.manual_seed(0)
    plain = archdsl.loads(text).eval()
    for layer in [m for m in model.modules() if isinstance(m, nn.Conv2d)]:
        make(layer)
    found = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for layer, own in zip(found, [m for m in plain.modules() if isinstance(m, nn.Conv2d)], strict=True):
        own.weight.data.copy_(layer.weight.data)
    x = torch.randn(2, 4, 12, 10)
    torch.testing.assert_close(model(x), plain(x))
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    torch.testing.assert_close(archdsl.optimize(model)(x), plain(x), rtol=1e-4, atol=1e-5)
