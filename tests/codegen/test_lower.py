"""Networks on the kernels of `archdsl.kernels`: the same parameters, names and results as on PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
from archdsl.kernels import DepthwiseConv2d
from torch import nn

import archdsl
from archdsl import loads
from archdsl.cli.main import main
from archdsl.codegen import lower, measured
from archdsl.codegen.measured import Layer, Measurement, wins
from archdsl.compiler import compile_text

pytestmark = pytest.mark.usefixtures("one_thread")  # small images

TEXT = """
net tiny(classes=10, width=16):
    input image: [N, 1, H=8, W=8]
    stem: [conv(width, 3, init=normal(0.1)), bn, relu]
    unit:
        cat:
            conv(width, 1) -> bn -> relu -> depthwise(3, init=normal(0.3)) -> bn
            conv(width, 3, groups=width, bias=false) -> bn
        shuffle(2)
    relu -> global_avgpool -> flatten -> head: linear(classes)
"""


def layers(model: nn.Module) -> int:
    return sum(isinstance(m, DepthwiseConv2d) for m in model.modules())


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x1_0"])
def test_state_moves_between_the_forms(name):
    plain, fused = archdsl.load(name, kernels="none").eval(), archdsl.load(name, kernels="all").eval()
    assert layers(plain) == 0
    assert layers(fused) > 10
    fused.load_state_dict(plain.state_dict(), strict=True)
    assert list(plain.state_dict()) == list(fused.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), plain(x), rtol=1e-5, atol=1e-5)


def test_weights_start_alike():
    torch.manual_seed(0)
    plain = loads(TEXT, kernels="none")
    torch.manual_seed(0)
    fused = loads(TEXT, kernels="all")
    assert layers(fused) == 2
    for left, right in zip(plain.state_dict().values(), fused.state_dict().values()):
        assert torch.equal(left, right)


def test_training_follows_the_plain_network():
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.tensor(digits.images, dtype=torch.float64).unsqueeze(1) / 16
    targets = torch.tensor(digits.target)
    curves = []
    state = loads(TEXT).state_dict()
    for kernels in ("none", "all"):
        model = loads(TEXT, kernels=kernels).double().train()
        model.load_state_dict(state)
        curves.append(losses(model, images, targets))
    plain, fused = curves
    assert plain[0] > 2
    assert plain[-20:].mean() < 0.5, "it learns"
    # In float64, where rounding does not grow into another path: in float32 two runs part after some 150 steps.
    torch.testing.assert_close(fused, plain, rtol=1e-6, atol=1e-6)


def losses(model: nn.Module, images: torch.Tensor, targets: torch.Tensor, steps: int = 200) -> torch.Tensor:
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(steps):
        chosen = torch.randint(len(images), (64,), generator=generator)
        loss = nn.functional.cross_entropy(model(images[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return torch.tensor(found)


def test_an_optimized_network_has_no_layers_of_either():
    model = archdsl.load("shufflenet_v2_x1_0", kernels="all").eval()
    optimized = archdsl.optimize(model)
    assert layers(optimized) == 0
    assert "shuffles turned into the order of channels" in optimized.fused
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(optimized(x), model(x), rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------------------------------------- what decides
ROW = Measurement("training", 3, 1, 192, 192, 28, 128, 16, 2.0, "9.0")


def test_without_a_measurement_no_kernel_is_taken():
    layer = ("training", 3, 1, 192, 192, 28)
    assert not wins(Layer(*layer), table=())
    assert wins(Layer(*layer), table=(ROW,))
    assert wins(Layer("training", 3, 1, 96, 96, 56, 64, 16, "9.0"), table=(ROW,))
    assert not wins(Layer(*layer, bits=32), table=(ROW,))
    assert not wins(Layer(*layer, capability="8.0"), table=(ROW,))
    assert not wins(Layer(*layer, batch=8), table=(ROW,))
    assert not wins(Layer("training", 3, 1, 576, 576, 28), table=(ROW,))
    assert not wins(Layer("training", 3, 1, 192, 576, 28), table=(ROW,))
    assert not wins(Layer("training", 5, 1, 192, 192, 28), table=(ROW,))
    assert not wins(Layer(*layer), table=(ROW, ROW.replace(bits=32, times=0.9)))
    assert not wins(Layer(*layer), table=(ROW, ROW.replace(batch=1, times=0.9)))
    assert wins(Layer(*layer, batch=64), table=(ROW, ROW.replace(batch=1, times=0.9)))
    near = ROW.replace(depth=144, channels=144, times=0.8)
    assert not wins(Layer("training", 3, 1, 140, 140, 28), table=(ROW, near))


def test_auto_takes_what_was_measured_to_win(monkeypatch):
    assert layers(archdsl.load("mobilenet_v2")) == 0 or measured.known("training")
    monkeypatch.setattr(measured, "rows", lambda: (ROW,))
    model = archdsl.load("mobilenet_v2")
    chosen = {m.in_channels for m in model.modules() if isinstance(m, DepthwiseConv2d)}
    assert chosen == {144, 192, 384}
    assert all(m.stride == (1, 1) for m in model.modules() if isinstance(m, DepthwiseConv2d))
    state = archdsl.load("mobilenet_v2", kernels="none").state_dict()
    model.load_state_dict(state, strict=True)


def test_another_word_is_a_mistake():
    with pytest.raises(ValueError, match='"auto", "none" or "all"'):
        archdsl.load("lenet5", kernels="some")
    assert set(measured.CHOICES) == {"auto", "none", "all"}


# -------------------------------------------------------------------------------------------------- as text
def test_the_text_of_a_network_on_kernels(capsys, golden):
    main(["compile", "shufflenet_v2_x1_0", "--kernels", "all", "--inference", "-o", "-"])
    text = capsys.readouterr().out
    golden("shufflenet_v2_x1_0_kernels.py", text)
    names: dict = {}
    exec(compile(text, "generated", "exec"), names)
    state = archdsl.load("shufflenet_v2_x1_0").state_dict()
    model = archdsl.load("shufflenet_v2_x1_0").eval()
    model.load_state_dict(state)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(names["inference"](state)(x), model(x), rtol=1e-4, atol=1e-5)


def test_plain_text_needs_only_torch():
    text = archdsl.compile("shufflenet_v2_x1_0", kernels="none")
    assert "from archdsl" not in text
    assert text == archdsl.compile("shufflenet_v2_x1_0")


def test_a_layer_is_looked_up_by_both_its_widths(monkeypatch):
    """A measurement is of a window and a stride, of the channels of the input and of the result, and of a height."""
    asked = []
    monkeypatch.setattr("archdsl.codegen.measured.wins", lambda layer: asked.append(layer))
    text = "net n:\n    input i: [N, 8, H=12, W=10]\n    depthwise(5, stride=2, multiplier=3) -> shuffle(4)\n"
    lower.lower(compile_text(text).network, "auto")
    assert asked == [Layer("training", 5, 2, 8, 24, 12), Layer("shuffle", 1, 1, 24, 24, 6)]
