"""Parameters of gallery nets that make other published networks: orders, shortcuts, widths, groups, sizes."""

from __future__ import annotations

import pytest
import torch

import archdsl
from tests.gallery.references import BUILDERS

ORDERS = "abcde"
SHORTCUTS = ["identity", "scaling", "exclusive gating", "shortcut-only gating", "1x1 conv", "dropout"]


def params(name, **options) -> int:
    return archdsl.check(name, **options).params


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_identity_mappings(order, shortcut):
    """He et al., 2016, Figures 2 and 4: each shortcut and each order, and what they add to the parameters."""
    given = {"order": f'"{order}"', "shortcut": f'"{shortcut}"'}
    model = archdsl.load("preresnet20_cifar", **given).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    plain = params("preresnet20_cifar", order=f'"{order}"')
    squares = 3 * 16**2 + 2 * 32**2 + 2 * 64**2  # a 1x1 convolution in each unit that keeps its shape
    biases = 3 * 16 + 2 * 32 + 2 * 64
    added = {"1x1 conv": squares, "exclusive gating": squares + biases, "shortcut-only gating": squares + biases}
    assert params("preresnet20_cifar", **given) - plain == added.get(shortcut, 0)


def test_orders_differ_only_in_norms():
    counts = {order: params("preresnet20_cifar", order=f'"{order}"') for order in ORDERS}
    assert counts["a"] == counts["b"] == counts["c"]
    assert counts["e"] == 272282, "pytorchcv's preresnet20_cifar10"


def test_a_gate_starts_closed():
    model = archdsl.load("preresnet20_cifar", shortcut='"shortcut-only gating"')
    assert torch.all(model.layer1.get_submodule("0").gate.bias == -6)


@pytest.mark.parametrize(
    ("ours", "options", "library", "theirs", "arguments"),
    [
        ("shufflenet_v1_g1", {"scale": 0.75}, "pytorchcv", "shufflenet_g1_w3d4", {}),
        ("shufflenet_v1_g3", {"scale": 0.25}, "pytorchcv", "shufflenet_g3_wd4", {}),
        ("mobilenet_v1", {"width": 0.75}, "pytorchcv", "mobilenet_w3d4", {}),
        ("mobilenet_v1_050", {}, "pytorchcv", "mobilenet_wd2", {}),
        ("mobilenet_v2", {"width": 0.75}, "torchvision", "mobilenet_v2", {"width_mult": 0.75}),
        ("mobilenet_v2", {"width": 1.4}, "torchvision", "mobilenet_v2", {"width_mult": 1.4}),
        ("efficientnet_b4", {"classes": 7}, "torchvision", "efficientnet_b4", {"num_classes": 7}),
        ("resnet50", {"unit": "bottleneck(groups=64, base=4)", "depths": "[3, 4, 23, 3]", "net": "resnet"}, "torchvision", "resnext101_64x4d", {}),
        ("densenet_bc_100_cifar", {"growth": 24, "depths": "[41, 41, 41]"}, "pytorchcv", "densenet250_k24_bc_cifar10", {}),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("torchvision_models")
def test_other_published_networks(ours, options, library, theirs, arguments):
    with torch.device("meta"):
        model = BUILDERS[library](theirs, **arguments)
    assert params(ours, **options) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("phi", "size"), [(0, 224), (1, 258), (2, 296)])
def test_compound_scaling(phi, size):
    """Tan and Le, 2019, equation 3: one step of phi about doubles the cost."""
    assert int(archdsl.check("efficientnet", phi=phi).inputs[0][1][2]) == size
    ratio = archdsl.check("efficientnet", phi=phi + 1).macs / archdsl.check("efficientnet", phi=phi).macs
    assert 1.6 < ratio < 2.7, "1.92 before depths are rounded up and widths to multiples of 8"


def test_unet_of_the_paper_and_padded():
    """Ronneberger et al., 2015, Figure 1: a tile of 572x572 becomes 388x388; 31.03 M parameters."""
    report = archdsl.check("unet")
    assert [int(d) for d in report.outputs[0][1]] == [1, 2, 388, 388]
    assert report.params == 31_030_658
    assert [int(d) for d in archdsl.check("unet_same").outputs[0][1]] == [1, 2, 512, 512]


def test_wrong_choices_are_told():
    with pytest.raises(archdsl.CompileError, match="no such order"):
        archdsl.check("preresnet20_cifar", order='"f"')
    with pytest.raises(archdsl.CompileError, match="the depth is 6n"):
        archdsl.check("plain34", net="cifar", depth=21)
    with pytest.raises(archdsl.CompileError, match="Table 1 has channels"):
        archdsl.check("shufflenet_v1", groups=5)
