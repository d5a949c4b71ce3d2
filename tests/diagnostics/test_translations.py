"""An edit that is shown for a call of PyTorch computes what the call does; where none can be sure, none is shown."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archdsl
from archdsl.core.source import Source
from archdsl.diagnose.fix import diagnose, proven

INPUTS = {
    "a map": ((2, 8, 12, 10), "[N, 8, H=12, W=10]"),
    "tokens": ((2, 6, 8), "[N, L=6, 8]"),
    "features": ((4, 8), "[N, 8]"),
}
SAME = {
    "a map": [
        "nn.Conv2d(8, 16, 3)", "nn.Conv2d(8, 16, 3, 2, 1)", "nn.Conv2d(8, 16, 1)", "nn.Conv2d(8, 16, 3, 1, 1, 1, 4, False)",
        'nn.Conv2d(8, 16, 3, padding="same")', 'nn.Conv2d(8, 16, 4, padding="same")',
        'nn.Conv2d(8, 16, (3, 4), padding="same")', "nn.Conv2d(8, 8, 3, groups=8)", "nn.ConvTranspose2d(8, 4, 2, 2)",
        "nn.ConvTranspose2d(8, 4, 3, 2, 1, 1)", "nn.ConvTranspose2d(8, 4, 3, 2, 1, 1, 2, False)", "nn.MaxPool2d(3)",
        "nn.MaxPool2d(3, 2, 1)", "nn.MaxPool2d(3, 2, 1, 1, False, True)", "nn.MaxPool2d(3, stride=None)",
        "nn.AvgPool2d(3, 2, 1, True, False)", "nn.AdaptiveAvgPool2d(1)", "nn.AdaptiveAvgPool2d((3, 2))",
        "nn.AdaptiveMaxPool2d(1)", "nn.BatchNorm2d(8, 1e-3)", "nn.BatchNorm2d(8, affine=False)", "nn.GroupNorm(4, 8)",
        "nn.Upsample(scale_factor=2)", "nn.Upsample(24)", "nn.Upsample((24, 20))", "nn.Upsample(None, 2)",
        'nn.Upsample((5, 7), None, "bilinear", True)', "nn.PixelShuffle(2)", "nn.ZeroPad2d((1, 2, 3, 4))",
        "nn.Softmax(1)", "nn.Softmax(dim=2)", "nn.Softmax(dim=-1)", "nn.GLU(1)", "nn.PReLU(8)", "nn.PReLU(1)",
        "nn.Flatten(1)", "nn.ReLU(inplace=True)", "nn.LeakyReLU(0.1)", "nn.Hardtanh(-2, 2)",
        "F.relu(x)", "F.softmax(x, dim=3)", "F.softmax(x, 2)", "F.glu(x, 1)", "F.max_pool2d(x, 3, 2, 1, 1, True)",
        "F.interpolate(x, 24)", "F.interpolate(x, (24, 20))", "F.interpolate(x, scale_factor=2)", "F.pad(x, (2, 1))",
        "F.pad(x, (1, 2, 3, 4))", 'F.pad(x, [1, 1, 1, 1], "reflect")', "torch.cat([x, x], 1)", "torch.cat((x, x), dim=2)",
        "torch.cat([x, x], -1)", "torch.max(x, x)", "torch.minimum(x, x)", "torch.mean(x, 1, True)",
        "torch.mean(x, (2, 3))", "torch.mean(x, dim=(2, 3), keepdim=True)", "torch.amax(x, 1, keepdim=True)",
        "torch.var(x, 1, keepdim=True, correction=0)", "torch.flatten(x, 1)", "torch.flatten(x, start_dim=1)",
        "torch.clamp(x, 0, 1)", "torch.clamp(x, min=0)", "torch.clamp(x, max=1)", "torch.clamp(x, min=-0.5)",
        "x + F.relu(x)", "2 * torch.sub(x, x / 3)", "1 - torch.sigmoid(x)", "torch.tanh(x) * x", "x / torch.div(x, 3)",
        "F.relu(x) + F.relu(-x)",
    ],
    "tokens": [
        "nn.Linear(8, 16)", "nn.LayerNorm(8)", "F.relu(x)", "nn.Dropout(0.1)", "1 - torch.sigmoid(x)",
    ],
    "features": [
        "nn.Linear(8, 16)", "nn.Linear(in_features=8, out_features=16)", "nn.BatchNorm1d(8)", "nn.Softmax(dim=1)",
        "torch.cat([x, x], 1)", "nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))",
    ],
}  # fmt: skip
UNSURE = {
    "a map": [
        "nn.AdaptiveAvgPool2d((None, 1))", "nn.GLU()", "F.glu(x)", "torch.cat([x, x])", "torch.cat([x, x], 0)",
        "torch.flatten(x, 2)", "torch.flatten(x)", "torch.mean(x)", "torch.var(x, 1, keepdim=True)",
        "nn.LayerNorm([8, 12, 10])", "F.pad(x, (0, 0, 0, 0, 0, 4))",
    ],
    "tokens": [
        "nn.Softmax(dim=1)", "F.softmax(x, dim=1)", "torch.softmax(x, 2)", "torch.cat([x, x], 1)", "nn.GLU()",
        "torch.mean(x, 1, True)", "softmax(dim=1)", "softmax(1)", "mean(1)", "cat(x, x, dim=1)", "cat(x, x, axis=1)",
    ],
    "features": ["nn.GLU()", "nn.Softmax(dim=-1)", "softmax(dim=0)"],
}  # fmt: skip


def text_of(kind: str, step: str) -> str:
    return f"net n:\n    input image: {INPUTS[kind][1]}\n    {step}\n"


def edited(text: str) -> str | None:
    """Return a text with each edit that is shown, as a reader applies one after the other; None where one is missing."""
    for _ in range(4):
        mistakes = diagnose(Source("n.arch", text))
        if not mistakes:
            return text
        shown = [help for help in proven(mistakes)[0].help if help.span is not None]
        if not shown:
            return None
        span = shown[0].span
        text = text[: span.start] + shown[0].replacement + text[span.end :]
    return None


def called(call: str, x: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """Return what PyTorch computes of a call, a layer with the weights of a model."""
    found = eval(call, {"nn": nn, "F": F, "torch": torch, "x": x})
    if not isinstance(found, nn.Module):
        return found
    found.load_state_dict(dict(zip(found.state_dict(), model.state_dict().values(), strict=True)))
    made = found.eval()(x)
    return made[0] if isinstance(made, tuple) else made


@pytest.mark.parametrize(("kind", "call"), [(kind, call) for kind, calls in SAME.items() for call in calls])
def test_what_is_shown_computes_the_same(kind, call):
    text = edited(text_of(kind, call))
    assert text is not None, "no edit is shown"
    x = torch.randn(INPUTS[kind][0])
    model = archdsl.loads(text).eval()
    torch.testing.assert_close(model(x), called(call, x, model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kind", "call"), [(kind, call) for kind, calls in UNSURE.items() for call in calls])
def test_where_nothing_is_sure_words_help(kind, call):
    (first, *_) = proven(diagnose(Source("n.arch", text_of(kind, call))))
    assert first.help and all(help.span is None for help in first.help)


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ("x * (1 + sigmoid(x))", "x * (1 + (x -> sigmoid))"),
        ("x * exp(x * 0.5)", "x * (x * 0.5 -> exp)"),
        ("gate: relu(conv(8, 3))", "gate: (conv(8, 3) -> relu)"),
        ("y = relu(x)", "y = x -> relu"),
        ("cat(relu(x), x)", "cat(x -> relu, x)"),
        ("conv(8, 3) -> relu(bn)", "conv(8, 3) -> bn -> relu"),
        ("relu(x) if x.channels > 3 else bn", "(x -> relu) if x.channels > 3 else bn"),
    ],
)
def test_a_call_beside_a_sign_is_in_parentheses(step, shown):
    text = edited(text_of("a map", step))
    assert text is not None and shown in text
