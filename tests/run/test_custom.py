"""Layers of a caller's as operators: all that is known of a network holds with them, and every mistake has a place."""

import doctest
import linecache
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.analysis.field import fields
from archdsl.compiler import Request, compile_text, compiled
from archdsl.ir.interpret import interpret
from archdsl.report.check import report
from tests.properties.programs import program
from tests.run import layers

INVOLUTION = archdsl.operator(
    "involution",
    layers.Involution,
    channels="channels",
    macs=lambda x, y, kernel, groups, reduction: (  # of its convolutions
        x[2] * x[3] * (x[1] // reduction * (x[1] + kernel**2 * groups))
    ),
    window=lambda kernel, **_: (kernel, 1, kernel // 2),
)
MODULATED = archdsl.operator(
    "modulated",
    layers.Modulated,
    channels="in_channels",
    shape=lambda x, out_channels, stride, **_: (x[0], out_channels, -(-x[2] // stride), -(-x[3] // stride)),
    macs=lambda x, y, kernel_size, **_: y[1] * y[2] * y[3] * x[1] * kernel_size**2,
    window=lambda kernel_size, stride, **_: (kernel_size, stride, kernel_size // 2),
)
SQUASH = archdsl.operator("squash", layers.Squash, macs=0, window=lambda: (1,))


def blurred(x, sides, stride, **_):
    return (*x[:2], (x[2] - sides[0]) // stride + 1, (x[3] - sides[1]) // stride + 1)


BLUR = archdsl.operator("blur", layers.Blur, macs=0, shape=blurred)
OPERATORS = [INVOLUTION, MODULATED, SQUASH, BLUR]
TEXT = '''
default involution(groups=4)

block bottleneck(c, kernel=7):
    """A residual block of RedNet."""
    width = x.channels
    add(identity, [conv(c, 1), bn, relu, inv: involution(kernel), bn, relu, conv(width, 1), bn])
    relu

net rednet(width=16):
    input image: [N, 3, H=64, W=64]
    conv(width, 3, stride=2) -> bn -> relu
    stages: [bottleneck(width), bottleneck(2 * width, kernel=3)]
    style = x -> global_avgpool -> flatten -> style: linear(x.channels)
    modulated(4 * width, 3, style=style, stride=2) -> squash -> relu -> involution
    blur([3, 2], "max")
    again = x -> global_avgpool -> flatten
    noise = x -> mean("channels")
    noisy: modulated(8, style=again, noise=noise)
    global_avgpool -> flatten -> fc: linear(10)
'''
SMALL = "net tiny:\n    input image: [N, 8, H=16, W=16]\n    "


def network():
    return compile_text(TEXT, Request(operators=OPERATORS)).network


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return archdsl.loads(TEXT, operators=OPERATORS).eval()


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_it_computes_what_the_interpreter_does(model, size):
    x = torch.randn(2, 3, *size)
    wanted = interpret(network(), model.state_dict(), x)["out"]
    assert torch.equal(model(x), wanted)
    assert torch.allclose(archdsl.optimize(model)(x), wanted, rtol=1e-4, atol=1e-5)


def test_figures_are_those_of_torch(model):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 64, 64))
    found = report(network())
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.macs == counter.get_total_flops() // 2


def test_the_least_legal_size_works_and_one_below_does_not(model):
    for number, legal in enumerate(report(network()).legal):
        least = legal.start
        for size, fits in ((least, True), (least - 1, False)):
            assert (size in legal) is fits
            shape = [64, 64]
            shape[number] = size
            if fits:
                model(torch.zeros(2, 3, *shape))
            else:
                with pytest.raises((archdsl.InputError, RuntimeError)):
                    model(torch.zeros(2, 3, *shape))


def test_fields_are_what_gradients_see():
    text = SMALL + "blur -> involution(3) -> modulated(8, style=image -> global_avgpool -> flatten)"
    found = compile_text(text.replace("blur -> ", ""), Request(operators=OPERATORS))
    axis = fields(found.network)["1"].rows
    assert axis.whole  # by the style
    found = compile_text(SMALL + "involution(3) -> involution(5)", Request(operators=OPERATORS))
    assert fields(found.network)["1"].size == (7, 7)
    found = compile_text(SMALL + "blur", Request(operators=OPERATORS))
    assert fields(found.network)["0"].rows.whole  # nothing is known of its window


def test_gradients_pass_a_layer_that_needs_its_result():
    model = archdsl.loads(SMALL + "conv(8, 3) -> squash -> relu", operators=OPERATORS)
    plain = archdsl.loads(SMALL + "conv(8, 3) -> sigmoid -> relu")
    plain.load_state_dict(model.state_dict())
    x = torch.randn(2, 8, 16, 16)
    for one in (model, plain):
        one(x).sum().backward()
    assert torch.equal(model[0].weight.grad, plain[0].weight.grad)


# -------------------------------------------------------------------------------------------------- laws
PLAIN = {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "hardswish": nn.Hardswish}
PLAIN |= {"gelu": nn.GELU, "tanh": nn.Tanh}
ACTIVATIONS = [archdsl.operator(f"{w}_", cls, macs=0, window=lambda **_: (1,)) for w, cls in PLAIN.items()]
NORM = archdsl.operator("bn_", nn.BatchNorm2d, channels="num_features", macs=0, window=lambda **_: (1,))


def replaced(text, words):
    """Write other words for these, where they are operators and no labels or texts."""
    text = re.sub(rf'(?<!["\w])({"|".join(words)})(?!["\w:]|=[^=])', r"\1_", text)
    return text.replace("track=", "track_running_stats=") if "bn" in words else text


def same(text, other, operators, net=None):
    """Hold a network to another one: names, figures, sizes, fields and numbers."""
    request = Request(net, operators=operators)
    ours, theirs = compile_text(other, request).network, compile_text(text, Request(net)).network
    one, two = report(ours), report(theirs)
    assert (one.params, one.macs, str(one.legal)) == (two.params, two.macs, str(two.legal))
    assert fields(ours).keys() == fields(theirs).keys()
    assert all(repr(a) == repr(b) for a, b in zip(fields(ours).values(), fields(theirs).values()))
    made, plain = archdsl.loads(other, net=net, operators=operators), archdsl.loads(text, net=net)
    made.load_state_dict(plain.state_dict())
    xs = [torch.randn(2, *map(int, shape[1:])) for _, shape in one.inputs]
    with torch.no_grad():
        for mode in (False, True):
            torch.manual_seed(0)
            first = made.train(mode)(*xs)
            torch.manual_seed(0)
            second = plain.train(mode)(*xs)
            pairs = zip(first, second) if isinstance(first, tuple) else [(first, second)]
            assert all(a is b or torch.equal(a, b) for a, b in pairs)


SMALLEST = ("lenet5", "mobilenet_v1", "mobilenet_v2", "mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1", "resnet18")


@pytest.mark.parametrize("net", [*SMALLEST, "mobilenet_v3_small", "densenet_bc_40_cifar", "efficientnet_b0"])
def test_a_network_with_layers_of_a_caller_is_the_same(net):
    """Its norms and activations are brought along, as PyTorch's own classes under other names."""
    text = compiled(net).file.source.text
    other = replaced(text, [*PLAIN, "bn"])
    assert other != text
    same(text, other, [*ACTIVATIONS, NORM], net)


@pytest.mark.parametrize("seed", range(24))
def test_programs_with_activations_of_a_caller_are_the_same(seed):
    text = program(seed)
    same(text, replaced(text, PLAIN), ACTIVATIONS, "n")


# -------------------------------------------------------------------------------------------------- code
def test_generated_code_stands_alone(model):
    code = "".join(linecache.getlines(f"<{type(model).__module__}>"))
    assert "\nfrom tests.run.layers import Blur, Involution, Modulated, Squash\n" in code
    assert 'Blur(sides=(3, 2), mode="max")' in code
    space = {"__name__": "alone"}
    exec(code, space)
    made = space["Rednet"]().eval()
    made.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(made(x), model(x))


def test_every_function_takes_them(tmp_path):
    path = tmp_path / "rednet.arch"
    path.write_text(TEXT)
    checked = archdsl.check(path, operators=OPERATORS)
    assert archdsl.cost(path, operators=OPERATORS, by="kind").records()[0]["parameters"] > 0
    assert archdsl.legal_sizes(path, operators=OPERATORS)["H"].start == 9
    assert "involution" in archdsl.draw(path, operators=OPERATORS, depth=9).svg()
    assert "Involution(" in archdsl.compile(path, operators=OPERATORS)
    assert checked.params == sum(p.numel() for p in archdsl.load(path, operators=OPERATORS).parameters())


def test_imported_files_have_them(tmp_path):
    (tmp_path / "parts.arch").write_text("block part(c):\n    conv(c, 3) -> squash\n")
    (tmp_path / "whole.arch").write_text("from parts import part\n\n" + SMALL + "part(4)\n")
    assert archdsl.check(tmp_path / "whole.arch", operators=[SQUASH]).macs == 8 * 4 * 9 * 256
    with pytest.raises(archdsl.CompileError, match="unknown name `squash`"):
        archdsl.check(tmp_path / "whole.arch")


def test_pickles_and_saved_files_bring_it_back(model, tmp_path):
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    path = tmp_path / "rednet.safetensors"
    archdsl.save(model, path, operators=OPERATORS)
    assert torch.equal(archdsl.load(path, operators=OPERATORS).eval()(x), model(x))
    with pytest.raises(archdsl.CompileError, match="`involution`"):
        archdsl.load(path)


def test_an_exported_file_has_them(model, tmp_path):
    archdsl.export(model, tmp_path / "rednet.pt2")
    program = torch.export.load(tmp_path / "rednet.pt2").module()
    x = torch.randn(1, 3, 64, 64)
    assert torch.allclose(program(x)[0], model(x), atol=1e-5)


# -------------------------------------------------------------------------------------------------- mistakes
def asking(x, **_):
    return x if x[2] > 7 else (*x[:2], 1, 1)


def refusing(x, **_):
    raise ValueError("it takes no map")


RULES = {
    "a rule that asks for a size": (asking, "a size changes with the input"),
    "a rule that refuses": (refusing, "it takes no map"),
    "no shape": (lambda x: 3, "gives no shape"),
    "sizes that are no numbers": (lambda x: (*x[:2], "8", x[3]), "gives no shape"),
    "another batch": (lambda x: (1, *x[1:]), "changes the batch"),
    "nothing is left": (lambda x: (*x[:2], x[2] - 20, x[3]), "nothing is left"),
    "a mistake in a rule": (lambda x: x.sizes, "AttributeError"),
    "another argument": (lambda x, kernel: x, "TypeError"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_fails_is_told_where_the_step_stands(rule):
    shape, words = RULES[rule]
    own = archdsl.operator("own", layers.Squash, macs=0, shape=shape)
    with pytest.raises(archdsl.CompileError) as caught:
        archdsl.loads(SMALL + "conv(8, 3) -> own", operators=[own])
    assert words in str(caught.value)
    assert "<text>:3:" in str(caught.value)


STEPS = {
    "involution(3, 4, 0)": "ZeroDivisionError",
    "involution(channels=8)": "has no argument `channels`",
    "involution(kernel=2.5)": "expects an integer",
    "involution(kernel=true)": "expects an integer",
    "involution(init=zeros)": "has no argument `init`",
    "involution(kernel=image)": "expects an integer",
    "involution(kernel=x.height)": "changes with the input",
    "modulated(8, 3)": "needs `style`",
    "modulated(8, 3, style=3)": "expects a tensor",
    "blur(mode=1)": "expects a text",
    "blur(relu)": "expects a number",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_argument_is_told_at_its_place(step):
    with pytest.raises(archdsl.CompileError) as caught:
        archdsl.loads(SMALL + step, operators=OPERATORS)
    assert STEPS[step] in str(caught.value)
    assert "<text>:3:" in str(caught.value)


def test_a_rule_that_is_wrong_is_found_on_loading():
    own = archdsl.operator("own", layers.Blur, macs=0)  # which halves its input
    with pytest.raises(TypeError, match=re.escape("`own` at <text>:3:5 gives [2, 8, 7, 7], where the rule")):
        archdsl.loads(SMALL + "own", operators=[own])


def test_a_layer_that_looks_at_numbers_is_left_to_its_first_call():
    model = archdsl.loads(SMALL + "loud", operators=[archdsl.operator("loud", layers.Loud, macs=0)])
    assert float(model(torch.full((1, 8, 16, 16), 3.0)).max()) == 6
    assert float(model(torch.full((1, 8, 16, 16), 0.5)).max()) == 0.5


@pytest.mark.parametrize(
    ("name", "cls", "given", "words"),
    [
        ("conv", layers.Squash, {}, "`conv` is no name"),
        ("lambda", layers.Squash, {}, "`lambda` is no name"),
        ("two words", layers.Squash, {}, "`two words` is no name"),
        ("x", layers.Squash, {}, "`x` is no name"),
        ("own", layers.Involution, {"channels": "width"}, "has no parameter `width`: it takes channels, kernel"),
        ("own", layers.Needs, {}, "`norm` of Needs cannot be an argument"),
        ("own", layers.LayerNorm2d, {}, "call the class otherwise"),
        ("own", type("Nowhere", (nn.Module,), {}), {}, "Nowhere is not found in"),
    ],
)
def test_what_cannot_be_an_operator(name, cls, given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        archdsl.operator(name, cls, macs=0, **given)


def test_two_of_one_name():
    other = archdsl.operator("squash", layers.Squash, macs=1)
    with pytest.raises(ValueError, match="two operators are called `squash`"):
        archdsl.loads(SMALL + "squash", operators=[SQUASH, other])


def test_a_class_of_the_main_program_is_loaded_and_not_written(monkeypatch, tmp_path):
    import __main__

    local = type("Local", (layers.Squash,), {"__module__": "__main__"})
    monkeypatch.setattr(__main__, "Local", local, raising=False)
    own = archdsl.operator("own", local, macs=0)
    path = tmp_path / "tiny.arch"
    path.write_text(SMALL + "own")
    assert type(archdsl.load(path, operators=[own])[0]) is local
    with pytest.raises(ValueError, match="put it into a module of its own"):
        archdsl.compile(path, operators=[own])


# -------------------------------------------------------------------------------------------------- the page
PAGE = (Path(__file__).parents[2] / "docs" / "custom-operators.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path, monkeypatch):
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "text", "pycon")}
    (tmp_path / "mylayers.py").write_text(blocks["python"][0])
    (tmp_path / "rednet.arch").write_text(blocks["text"][0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    example = doctest.DocTestParser().get_doctest(blocks["pycon"][0], {}, "page", None, 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, clear_globs=False).failed == 0
    model = archdsl.load("rednet.arch", operators=[example.globs["involution"]])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 64, 64))
    assert archdsl.check("rednet.arch", operators=[example.globs["involution"]]).macs == counter.get_total_flops() // 2
