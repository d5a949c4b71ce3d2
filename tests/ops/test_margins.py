"""`pad="same"` against timm's layers, which pad as TensorFlow does, and the sizes that it gives against brute force."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

import archdsl
from archdsl.compiler import compile_text
from archdsl.core.sizes import Size, Symbol, padded_same

pytestmark = pytest.mark.usefixtures("torchvision_models")  # which timm imports


def drawn(rng: random.Random) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return a kernel, a stride and a dilation at random."""
    kernel, stride, dilation = [tuple(rng.choice((1, 2, 3, 4, 5)) for _ in range(2)) for _ in range(3)]
    return kernel, stride, dilation if rng.random() < 0.3 else (1, 1)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(40))
def test_convolutions_are_timms(seed):
    from timm.layers import create_conv2d

    rng = random.Random(seed)
    (kh, kw), (sh, sw), (dh, dw) = drawn(rng)
    depthwise = rng.random() < 0.4
    call = f'depthwise(({kh}, {kw}), ({sh}, {sw}), "same", ({dh}, {dw}))'
    call = call if depthwise else f'conv(6, ({kh}, {kw}), ({sh}, {sw}), "same", ({dh}, {dw}))'
    ours = archdsl.loads(f"net n:\n    input image: [N, 4, H=32, W=32]\n    conv: {call}\n").eval()
    theirs = create_conv2d(
        4, 4 if depthwise else 6, (kh, kw), stride=(sh, sw), dilation=(dh, dw), padding="same", depthwise=depthwise,
        bias=True,
    )  # fmt: skip
    theirs.load_state_dict({name.removeprefix("conv."): value for name, value in ours.state_dict().items()})
    for _ in range(5):
        x = torch.randn(2, 4, rng.randint(1, 19), rng.randint(1, 19))
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("seed", range(20))
def test_pools_are_timms(seed):
    from timm.layers.pool2d_same import max_pool2d_same

    rng = random.Random(seed)
    (kh, kw), (sh, sw), _ = drawn(rng)
    text = f'net n:\n    input image: [N, 4, H=32, W=32]\n    maxpool(({kh}, {kw}), ({sh}, {sw}), "same")\n'
    ours = archdsl.loads(text)
    for _ in range(5):
        x = torch.randn(2, 4, rng.randint(1, 19), rng.randint(1, 19)) - 3
        assert torch.equal(ours(x), max_pool2d_same(x, (kh, kw), (sh, sw)))


def test_sizes_are_exact():
    rng, size = random.Random(0), Size.of(Symbol("H", 32))
    for _ in range(200):
        kernel, stride, dilation, before = [rng.randint(1, 5) for _ in range(4)]
        padded = padded_same((size + before) // before, kernel, stride, dilation)
        for n in range(1, 40):
            have = (n + before) // before
            windows = -(-have // stride)
            wanted = max(have, (windows - 1) * stride + dilation * (kernel - 1) + 1)
            assert (padded.at(n) if isinstance(padded, Size) else padded) == wanted


def test_what_both_sides_share_is_the_convolutions_own():
    """No step of its own where it is symmetric, so that nothing is copied and kernels apply."""
    network = compile_text(
        'net n:\n    input i: [N, 3, H=8, W=8]\n    conv(4, 3, pad="same") -> maxpool(3, 1, "same")\n'
    ).network
    assert [node.what.name for node in network.scope.nodes] == ["conv", "maxpool"]
    assert str(network.scope.shapes[-1]) == "(N, 4, H, W)"


def test_valid_is_no_padding():
    text = 'net n:\n    input i: [N, 3, H=8, W=8]\n    conv(4, 3, pad="valid") -> depthwise(3, pad="valid") -> maxpool(2, pad="valid")\n'
    model = archdsl.loads(text)
    assert model(torch.zeros(1, 3, 9, 8)).shape == (1, 4, 2, 2)


@pytest.mark.parametrize("optimized", [False, True])
def test_a_stem_of_tensorflow(optimized):
    """A norm is folded into the convolution behind its margins, and the margins stay zeros."""
    text = 'net n:\n    input image: [N, 3, H=32, W=32]\n    conv(8, 3, 2, "same", bias=false) -> bn -> relu -> depthwise(3, 2, "same") -> bn -> maxpool(3, 2, "same")\n'
    model = archdsl.loads(text).eval()
    for name, value in model.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    x = torch.randn(2, 3, 31, 26)
    padded = F.pad(x, (0, 1, 1, 1))
    y = F.conv2d(padded, model.state_dict()["0.weight"], stride=2)
    assert y.shape[2:] == (16, 13)
    made = archdsl.optimize(model)(x) if optimized else model(x)
    torch.testing.assert_close(made, model(x))
