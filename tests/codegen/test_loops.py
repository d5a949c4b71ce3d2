"""Loops of the text are loops of Python, and a net keeps the parameters that work."""

from __future__ import annotations

import random

import pytest
import torch

import archdsl
from archdsl.codegen.module import emit
from archdsl.codegen.plans import Plans
from archdsl.compiler import compile_text, compiled
from archdsl.diagnostics import CompileError

HEAD = "net n:\n    input image: [N, 8, H=16, W=16]\n"


def code(text):
    return emit(compile_text(text).network).text


def same(text):
    """Say whether the file alone is the network: its state, what it computes, scripted and traced."""
    model = archdsl.loads(text).eval()
    x = torch.randn(2, 8, 16, 16)
    with torch.no_grad():
        wanted = model(x)
        assert torch.equal(torch.jit.script(model)(x), wanted)
        assert torch.equal(torch.fx.symbolic_trace(model)(x), wanted)
    return list(model.state_dict())


# -------------------------------------------------------------------------------------------------- in sequences
def test_loops_of_different_lengths_are_one_class():
    text = f"""block encoder(widths, norm=bn):
    for i, c in enumerate(widths):
        conv{{i+1}}: conv(c, 3) -> bn{{i+1}}: norm -> relu
{HEAD}    encoder([8, 16]) -> one: encoder([16]) -> encoder([16, 16, 4])
"""
    made = code(text)
    assert made.count("class Encoder(nn.Sequential)") == 1 and "widths: tuple[int, ...]" in made
    for line in (
        "        for i, c in enumerate(widths):",
        'self.add_module(f"conv{i + 1}", nn.Conv2d(channels, c, 3, padding=1))',
        "self.add_module(str(len(self)), nn.ReLU(inplace=True))",
        "            channels = c",
    ):
        assert line in made, line
    keys = same(text)
    assert "one.conv1.weight" in keys and "2.conv3.weight" in keys and "2.bn3.running_var" in keys


def test_a_repetition_takes_its_number_from_a_parameter():
    text = f"""block stage(c, n):
    [conv(c, 3), relu]
    [conv(c, 3), relu] * (n - 1)
{HEAD}    stage(8, 3) -> stage(16, 2) -> stage(16, 5)
"""
    made = code(text)
    assert made.count("class Stage") == 1 and "for _ in range(n - 1)" in made
    assert "2.4.0.weight" in same(text)


def test_what_no_text_says_of_a_pass_is_a_name_that_the_loop_runs_over():
    text = f"""{HEAD}    body:
        for act in [relu, silu, gelu]:
            [conv(8, 3), act]
"""
    assert "for act in (partial(nn.ReLU, inplace=True), nn.SiLU, nn.GELU)" in code(text)
    assert same(text) == [f"body.{i}.0.{name}" for i in range(3) for name in ("weight", "bias")]


def test_a_loop_in_a_loop_has_variables_of_its_own():
    text = f"""{HEAD}    features:
        for i, depth in enumerate([1, 3, 2]):
            maxpool(2) if i > 0
            for j in range(depth):
                layer{{i}}_{{j}}: conv(8 * 2**i + j, 3)
    relu
"""
    made = code(text)
    assert "for j in range(depth):" in made and 'f"layer{i}_{j}"' in made and "if i > 0:" in made
    assert [key for key in same(text) if "weight" in key] == [
        f"features.layer{i}_{j}.weight" for i, depth in enumerate([1, 3, 2]) for j in range(depth)
    ]


def test_a_loop_that_does_nothing_leaves_nothing():
    text = f"""block idle(n):
    body: [identity] * n
    tail: [conv(8, 1) * n]
{HEAD}    idle(0) -> idle(2)
"""
    assert "1.tail.1.weight" in same(text)


def test_a_function_of_the_text_is_a_function():
    text = """fn near(c) = max(8, int(c + 4) // 8 * 8)
net n(width=1):
    input image: [N, 8, H=16, W=16]
    for i in range(3):
        conv{i}: conv(near(width * (20 + 9 * i)), 3)
"""
    made = code(text)
    assert "def near(c: int) -> int:\n    return max(8, int(c + 4) // 8 * 8)" in made
    assert "width: int = 1" in made and "near(width * 20)" in made
    assert archdsl.loads(text, width=2).conv1.out_channels == built(text, width=2).conv1.out_channels == 56


# -------------------------------------------------------------------------------------------------- parameters of nets
def built(text, **given):
    network = compile_text(text).network
    return instance(network, given)


def instance(network, given):
    space = {}
    exec(compile(emit(network).text, "<file>", "exec", dont_inherit=True), space)
    return space[Plans(network).classes[-1].plan.name](**given)


def other(value, rng):
    """Return another value near one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return max(1, rng.choice([value + 1, value * 2, value // 2, value + 8]))
    if isinstance(value, float):
        return value * rng.choice([0.5, 0.75])
    if isinstance(value, tuple):
        changed = [other(item, rng) if rng.random() < 0.6 else item for item in value]
        numbers = all(type(item) is int for item in value)
        return tuple([*changed, value[-1]] if numbers and rng.random() < 0.3 else changed)
    return value


def listed(value):
    return [listed(item) for item in value] if isinstance(value, tuple) else value


def settings(name, draws):
    """Yield other settings of a net, drawn of the parameters that its class has."""
    rng = random.Random(name)
    for _ in range(draws):
        for parameter in Plans(compiled(name).network).classes[-1].plan.parameters():
            (value,) = parameter.values.values()
            if rng.random() < 0.6:
                yield {parameter.name: other(value, rng)}


NETS = """densenet121 densenet_bc_40_cifar efficientnet_b0 ghostnet lenet5 mobilenet_v2 mobilenet_v3_small plain20_cifar
    repvgg_a0 resnet18 squeezenet1_0 unet vgg11 vovnet39a wrn16_10_cifar""".split()


@pytest.mark.parametrize("name", NETS)
def test_with_other_settings_the_file_is_the_network_of_the_language(name):
    network = compiled(name).network
    for given in settings(name, 2):
        try:
            with torch.device("meta"):
                wanted = archdsl.load(name, **{key: listed(value) for key, value in given.items()})
        except CompileError:
            continue  # no such network
        with torch.device("meta"):
            made = instance(network, given)
        shapes = {key: value.shape for key, value in wanted.state_dict().items()}
        assert {key: value.shape for key, value in made.state_dict().items()} == shapes, given


def test_densenet_keeps_its_growth():
    made = instance(compiled("densenet121").network, {"growth": 8, "classes": 5}).eval()
    wanted = archdsl.load("densenet121", growth=8, classes=5).eval()
    made.load_state_dict(wanted.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(made(x), wanted(x))


def test_a_parameter_that_cannot_work_is_not_there():
    names = {p.name for p in Plans(compiled("densenet121").network).classes[-1].plan.parameters()}
    assert names == {"growth", "classes"}, "with three depths it is another network"
