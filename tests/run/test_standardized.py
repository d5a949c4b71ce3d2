"""Weights that are standardized (Qiao et al., 2019, arXiv:1903.10520): timm's own layers, brought along into whole networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import archdsl

pytestmark = pytest.mark.usefixtures("torchvision_models")  # which timm imports

BIT = '''
"""BiT: Big Transfer (BiT): General Visual Representation Learning (Kolesnikov et al., 2020), arXiv:1912.11370."""

default std_conv(eps=1e-8)

block bottleneck(width, stride=1):
    channels = x.channels
    before = x
    pre = x -> norm1: gn(32) -> relu
    skip = (pre -> downsample: [conv: std_conv(4 * width, 1, stride)]) if channels != 4 * width or stride > 1 else before
    add(pre -> conv1: std_conv(width, 1) -> norm2: gn(32) -> relu
            -> conv2: std_conv(width, 3, stride) -> norm3: gn(32) -> relu -> conv3: std_conv(4 * width, 1), skip)

net bit(depths=[3, 4, 6, 3], classes=10):
    input image: [N, 3, H=224, W=224]
    stem: [conv: std_conv(64, 7, 2), pad(1), maxpool(3, stride=2)]
    stages:
        for i, depth in enumerate(depths):
            stage{i}:
                blocks: [bottleneck(64 * 2**i, stride=2 if i > 0 else 1), bottleneck(64 * 2**i) * (depth - 1)]
    norm: gn(32) -> relu -> global_avgpool
    head: [fc: conv(classes, 1)]
    flatten
'''


def standardized(name: str, cls: type[Any], **more: Any) -> Any:
    """Return one of timm's convolutions as an operator; its padding is that of `conv`."""

    def side(size: Any, kernel: int, stride: int) -> Any:
        return (size + 2 * ((kernel - 1) // 2) - kernel) // stride + 1

    return archdsl.operator(
        name,
        cls,
        channels=more.get("channels", "in_channel"),
        shape=lambda x, out_channels, kernel_size, stride, **_: (
            x[0], out_channels, side(x[2], kernel_size, stride), side(x[3], kernel_size, stride),
        ),
        macs=lambda x, y, kernel_size, groups, **_: y[1] * y[2] * y[3] * (x[1] // groups) * kernel_size**2,
        window=lambda kernel_size, stride, **_: (kernel_size, stride, (kernel_size - 1) // 2),
    )  # fmt: skip


@torch.no_grad()
def test_bit_is_timms() -> None:
    import timm
    from timm.layers import StdConv2d

    theirs = timm.create_model("resnetv2_50x1_bit", pretrained=False, num_classes=10).eval()
    ours = archdsl.loads(BIT, operators=[standardized("std_conv", StdConv2d)]).eval()
    state = {name.replace("stages.", "stages.stage"): value for name, value in theirs.state_dict().items()}
    torch.manual_seed(0)
    for name, value in state.items():
        if value.dim() == 1:
            value.uniform_(0.5, 1.5) if name.endswith("weight") else value.normal_(0, 0.1)
    ours.load_state_dict(state)
    x = torch.randn(1, 3, 96, 80)
    wanted = theirs(x)
    assert wanted.std() > 1e-2
    torch.testing.assert_close(ours(x), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(archdsl.optimize(ours)(x), wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("gamma", [1.0, 1.7139588594436646])
def test_a_scaled_convolution_is_timms(gamma: float) -> None:
    """With a learned gain, as networks without norms have it (Brock et al., 2021, arXiv:2101.08692)."""
    from timm.layers import ScaledStdConv2d

    text = f"net n:\n    input image: [N, 4, H=16, W=16]\n    conv1: scaled(8, 3, 2, gamma={gamma}) -> relu -> conv2: scaled(4, 1)\n"
    model = archdsl.loads(text, operators=[standardized("scaled", ScaledStdConv2d, channels="in_channels")]).eval()
    first, last = ScaledStdConv2d(4, 8, 3, 2, gamma=gamma), ScaledStdConv2d(8, 4, 1)
    for own, layer in ((model.get_submodule("conv1"), first), (model.get_submodule("conv2"), last)):
        layer.gain.data.uniform_(0.5, 1.5)
        own.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 15, 12)
    assert torch.equal(model(x), last(first(x).relu()))
    torch.testing.assert_close(archdsl.optimize(model)(x), model(x), rtol=1e-4, atol=1e-5)
