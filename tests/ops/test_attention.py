"""Attention in convolutional networks, which is arithmetic on tensors: each text beside a plain PyTorch module.

The modules are written from the papers: names of layers are those of the texts, so state dicts go over unchanged.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archdsl
from archdsl.compiler import Request, compile_text
from archdsl.ir.interpret import interpret

CBAM = """
block cbam(ratio=4, kernel=7):
    channels = x.channels
    perceptron = mlp: [conv(channels // ratio, 1, bias=false), relu, conv(channels, 1, bias=false)]
    x * ((x -> global_avgpool -> perceptron) + (x -> global_maxpool -> perceptron) -> sigmoid)
    x * (cat(x -> mean("channels"), x -> max("channels")) -> spatial: conv(1, kernel, bias=false) -> sigmoid)
"""
GRN = """
block grn(eps=1e-6):
    length = x**2 -> sum(["height", "width"]) -> sqrt
    share = length / ((length -> mean("channels")) + eps)
    scaled = x * share -> gamma: scale(0, learned=true, per_channel=true)
    x + (scaled -> beta: shift(0, learned=true, per_channel=true))
"""
COORDINATE = """
block coordinate(ratio=32):
    channels = x.channels
    squeeze = stem: [conv(max(8, channels // ratio), 1), bn, hardswish]
    rows = x -> mean("width") -> squeeze -> conv_h: conv(channels, 1) -> sigmoid
    columns = x -> mean("height") -> squeeze -> conv_w: conv(channels, 1) -> sigmoid
    x * rows * columns
"""
NORMALIZED = """
block normalized(eps=1e-5):
    axes = ["channels", "height", "width"]
    (x - (x -> mean(axes))) / ((x -> var(axes)) + eps -> sqrt)
"""
SIMAM = """
block simam(weight=1e-4):
    squares = (x - (x -> mean(["height", "width"])))**2
    variance = squares -> sum(["height", "width"]) -> scale(1 / (9 * 7 - 1))
    x * (squares / (4 * (variance + weight)) + 0.5 -> sigmoid)
"""


class Cbam(nn.Module):
    """Woo et al., 2018, arXiv:1807.06521, equations 2 and 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        average, largest = F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, 1)
        x = x * torch.sigmoid(self.mlp(average) + self.mlp(largest))
        pooled = torch.cat([torch.mean(x, dim=1, keepdim=True), torch.max(x, dim=1, keepdim=True)[0]], dim=1)
        return x * torch.sigmoid(self.spatial(pooled))


class Learned(nn.Module):
    """A parameter by the name that it has in a text."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.zeros(channels, 1, 1)))


class Grn(nn.Module):
    """Woo, Debnath et al., 2023, arXiv:2301.00808, algorithm 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = Learned("weight", channels), Learned("bias", channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = torch.norm(x, p=2, dim=(2, 3), keepdim=True)
        share = length / (length.mean(dim=1, keepdim=True) + 1e-6)
        return self.gamma.weight * (x * share) + self.beta.bias + x


class Coordinate(nn.Module):
    """Hou et al., 2021, arXiv:2103.02907, equations 4 to 9; in evaluation, where a norm looks at no other position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 1), nn.BatchNorm2d(8), nn.Hardswish())
        self.conv_h, self.conv_w = nn.Conv2d(8, channels, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, _, height, width = x.shape
        rows, columns = F.adaptive_avg_pool2d(x, (None, 1)), F.adaptive_avg_pool2d(x, (1, None))
        joined = self.stem(torch.cat([rows, columns.permute(0, 1, 3, 2)], dim=2))
        rows, columns = torch.split(joined, [height, width], dim=2)
        return x * self.conv_h(rows).sigmoid() * self.conv_w(columns.permute(0, 1, 3, 2)).sigmoid()


class Normalized(nn.GroupNorm):
    """A group norm of one group, without weights."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, affine=False)


class Simam(nn.Module):
    """Yang et al., 2021 (ICML), the code in figure 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[2] * x.shape[3] - 1
        d = (x - x.mean(dim=[2, 3], keepdim=True)).pow(2)
        v = d.sum(dim=[2, 3], keepdim=True) / n
        return x * torch.sigmoid(d / (4 * (v + 1e-4)) + 0.5)


CASES = {"cbam": (CBAM, Cbam), "grn": (GRN, Grn), "coordinate": (COORDINATE, Coordinate)}
CASES |= {"normalized": (NORMALIZED, Normalized), "simam": (SIMAM, Simam)}


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """Return the module of a text and the one written by hand, with the same random weights."""
    block, reference = CASES[name]
    text = f"{block}\nnet n:\n    input image: [N, 16, H=9, W=7]\n    {name}\n"
    ours, theirs = archdsl.loads(text).double().eval(), reference(16).double().eval()
    torch.manual_seed(0)
    for value in theirs.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.2, 1.2)
    ours.load_state_dict({f"0.{key}": value for key, value in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("name", CASES)
def test_a_block_is_that_of_its_paper(name):
    """Results in float64 and float32, gradients of the input and of every weight, and the optimized module."""
    ours, theirs = pair(name)
    x = torch.randn(2, 16, 9, 7, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-12)
    weights = torch.randn(2, 16, 9, 7, dtype=torch.float64)
    found, wanted = [
        torch.autograd.grad((model(x) * weights).sum(), [x, *model.parameters()]) for model in (ours, theirs)
    ]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(archdsl.optimize(ours)(x), theirs(x), rtol=0, atol=1e-10)
        torch.testing.assert_close(ours.float()(x.float()), theirs.float()(x.float()), rtol=0, atol=1e-5)


MOVED = """net n(window=7, shift=3):
    input image: [N, 12, H=28, W=35]
    pad((0, -x.width % window, 0, -x.height % window)) -> qkv: conv(36, 1)
    attention(slice(0, 12), slice(12, 24), slice(24, 36), bias: relative_bias(3, window), heads=3,
              window=window, shift=shift)
    proj: conv(12, 1) -> crop(like=image, offset=0)
"""


@pytest.mark.parametrize("shift", [0, 2, 3])
@pytest.mark.usefixtures("torchvision_models")
def test_moved_windows_are_those_of_swin(shift):
    """At sizes of whole windows and others, of one window along an axis, along both, and of less than one."""
    from torchvision.models.swin_transformer import ShiftedWindowAttention

    theirs = ShiftedWindowAttention(12, [7, 7], [shift, shift], 3).eval()
    torch.nn.init.normal_(theirs.relative_position_bias_table)
    ours = archdsl.loads(MOVED, shift=shift).eval()
    state = theirs.state_dict()
    for name, key in (("qkv", "qkv.weight"), ("proj", "proj.weight")):
        ours.get_submodule(name).weight.data.copy_(state[key][:, :, None, None])
        ours.get_submodule(name).bias.data.copy_(state[key.replace("weight", "bias")])
    ours.bias.weight.data.copy_(state["relative_position_bias_table"])
    network = compile_text(MOVED, Request(params={"shift": shift})).network
    for height, width in ((28, 35), (7, 14), (14, 7), (7, 7), (5, 20), (30, 8), (1, 1)):
        x = torch.randn(2, 12, height, width)
        with torch.no_grad():
            expected = theirs(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(interpret(network, ours.state_dict(), x)["out"], expected, rtol=1e-5, atol=1e-6)


def test_moved_windows_are_traced_scripted_and_exported():
    model = archdsl.loads(MOVED).eval()
    x = torch.randn(2, 12, 30, 20)
    with torch.no_grad():
        expected = model(x)
        for other in (torch.fx.symbolic_trace(model), torch.jit.script(model)):
            torch.testing.assert_close(other(x), expected)
            torch.testing.assert_close(other(x[:, :, :6]), model(x[:, :, :6]))
        batch = torch.export.Dim("batch", min=1, max=9)
        exported = torch.export.export(model, (x,), dynamic_shapes=({0: batch},)).module()
        torch.testing.assert_close(exported(x[:1]), expected[:1])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("attention(identity, relu, tanh, window=5)", "`window` must divide height and width"),
        ("attention(identity, relu, tanh, shift=2)", "needs `window`"),
        ("attention(identity, relu, tanh, window=4, shift=(1, 4))", "expects less than a window"),
        ("tokens -> attention(identity, relu, tanh, window=4)", "windows are those of a map"),
        ("attention(identity, relu, tanh, relative_bias(1, 2), window=4)", "another shape than the products"),
    ],
)
def test_windows_that_do_not_fit(step, message):
    with pytest.raises(archdsl.CompileError, match=message):
        archdsl.loads(f"net n:\n    input image: [N, 4, H=12, W=16]\n    {step}\n")
