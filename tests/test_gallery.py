"""Every bundled network against its public reference: names, weights, outputs, training, and the size of its text."""

from __future__ import annotations

import pytest
import torch

import archdsl
from archdsl import project
from archdsl.compiler import bundled_nets

NETS = archdsl.nets()
WITHOUT_REFERENCE = {"lenet5", "mobilenet_v1", "mobilenet_v1_075", "mobilenet_v1_050", "mobilenet_v1_025"}
REFERENCED = [n for n in NETS if n not in WITHOUT_REFERENCE]
# One net of each family is trained for a step beside its reference.
FAMILIES = {stem: net for net, stem in reversed(bundled_nets()) if net in REFERENCED} | {"resnet50": "resnet18"}


def reference(models, name: str) -> torch.nn.Module:
    """Build torchvision's network without its slow initialization, then fill it with small random weights."""
    options = {"init_weights": False, "aux_logits": True} if name == "googlenet" else {}
    with torch.device("meta"):
        model = models.get_model(name, weights=None, **options)
    model = model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value.zero_()
        elif key.endswith("running_var") or value.dim() == 1 and key.endswith("weight"):
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            fan = max(1, value[0].numel()) if value.dim() > 1 else 100
            value.uniform_(-1, 1, generator=generator).mul_((3 / fan) ** 0.5)
    return model


def meta(name: str) -> torch.nn.Module:
    with torch.device("meta"):
        return archdsl.load(name)


@pytest.mark.parametrize("name", REFERENCED)
def test_equal_to_torchvision(name, torchvision_models):
    theirs = reference(torchvision_models, name).eval()
    state = theirs.state_dict()
    ours = meta(name).eval()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state, strict=True, assign=True)
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = theirs(x), ours(x)
    assert expected.abs().max() > 1e-3, "a reference that returns nothing would prove nothing"
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", sorted(FAMILIES.values()))
def test_trains_as_torchvision_does(name, torchvision_models):
    theirs = reference(torchvision_models, name).train()
    ours = archdsl.load(name).train()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    gradients = []
    for model in (theirs, ours):
        torch.manual_seed(2)  # the same dropout masks, if both draw them in the same order
        found = model(x)
        outputs = named_outputs(found)
        sum(o.square().mean() for o in outputs.values()).backward()
        gradients.append((outputs, {k: p.grad for k, p in model.named_parameters()}))
    (expected, expected_grads), (got, got_grads) = gradients
    assert expected.keys() == got.keys()
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=1e-5, atol=1e-6)
    assert expected_grads.keys() == got_grads.keys()
    for key, gradient in expected_grads.items():
        assert (got_grads[key] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-9, key
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-5, atol=1e-6)  # running statistics too


def named_outputs(found) -> dict[str, torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return {"out": found}
    names = {"logits": "out", "aux_logits2": "aux2", "aux_logits1": "aux1"}
    return {names.get(k, k): v for k, v in found._asdict().items()}


@pytest.mark.parametrize("name", NETS)
def test_counts_equal_the_module(name):
    """Parameters and MACs of the text are those of the module, counted by torch; shapes too."""
    from torch.utils.flop_counter import FlopCounterMode

    report = archdsl.check(name)
    model = meta(name).eval()
    assert report.params == sum(p.numel() for p in model.parameters())
    (_, shape), *_ = report.inputs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = model(torch.empty([int(d) for d in shape], device="meta"))
    assert report.macs == counter.get_total_flops() // 2
    assert tuple(y.shape) == tuple(int(d) for d in report.outputs[0][1])


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [  # Howard et al., 2017, arXiv:1704.04861, tables 6: MobileNet at width 1, 0.75, 0.5, 0.25
        ("mobilenet_v1", 4.2, 569),
        ("mobilenet_v1_075", 2.6, 325),
        ("mobilenet_v1_050", 1.3, 149),
        ("mobilenet_v1_025", 0.5, 41),
    ],
)
def test_mobilenet_v1_is_the_papers_table(name, params, macs):
    report = archdsl.check(name)
    assert round(report.params / 1e6, 1) == params
    assert round(report.macs / 1e6) == macs


def test_lenet5_has_about_60_k_parameters():
    # LeCun et al., 1998, section II.B: 60,000 trainable free parameters
    assert abs(archdsl.check("lenet5").params - 60_000) < 3_000


@pytest.mark.parametrize(
    ("stem", "limit"), [("resnet50", 35), ("densenet121", 30), ("mobilenet_v2", 25), ("shufflenet_v2_x1_0", 30)]
)
def test_brevity(stem, limit):
    assert len(code_lines(stem)) <= limit


@pytest.mark.parametrize("stem", project.bundled())
def test_lines_are_at_most_100_columns(stem):
    assert max(map(len, project.read(project.path_of(stem)).text.split("\n"))) <= 100


def code_lines(stem: str) -> list[str]:
    """Return the lines of a file without blank lines, comments and docstrings."""
    import re

    text = re.sub(r'"""(?s:.*?)"""', "", project.read(project.path_of(stem)).text)
    return [line for line in text.split("\n") if line.split("#")[0].strip()]


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "googlenet"])
def test_norm_and_activation_are_parameters(name):
    options = {"norm": "gn(4)"} if name != "googlenet" else {"norm": "bn(eps=0.1)", "act": "silu"}
    model = archdsl.load(name, classes=7, in_channels=1, **options).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 1, 64, 64)).shape == (1, 7)


@pytest.mark.parametrize("name", NETS)
def test_in_channels_and_classes_on_every_net(name):
    with torch.device("meta"):
        model = archdsl.load(name, in_channels=5, classes=11).eval()
    size = 32 if name == "lenet5" else 224
    assert model(torch.empty(2, 5, size, size, device="meta")).shape == (2, 11)
