"""Generated code as a person would have it: a class for each block, which means what the block means."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import random
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import torch

import archdsl
from archdsl.analysis.legal import legal_sizes
from archdsl.codegen.module import emit
from archdsl.codegen.plans import Plans
from archdsl.codegen.terms import UNKNOWN, plain
from archdsl.compiler import Request, compile_text, compiled
from archdsl.diagnostics import CompileError
from archdsl.elaborate.values import show
from archdsl.run.load import instantiate
from tests.families import LEAST, VARIED
from tests.properties.oracle import inputs, scramble

# Blocks that have more than one class, by the reason.
SEVERAL = {
    "a block stands in itself": {"tree", "join"},
    "what stands under a test is no sequence everywhere": {"aggregation"},
    "a label is computed": {"dual_path"},
    "a sum has more operands in some places": {"unit"},  # of MobileOne
    "a loop that keeps tensors has other passes": {"harmonic", "stage"},  # of HarDNet and YOLOv8
    "a label is a layer in some places and a sequence in others": {"transformer"},  # of CoAtNet
    "it is given other operators": {"partition"},  # of MaxViT: windows, or a grid
}
FAMILIES = """alexnet convnext_tiny deconvnet densenet121 dpn68 efficientnet_b0 fcn8s ghostnet googlenet hrnet_w18_small
    inception_resnet_v1 inception_v2 inception_v3 lenet5_1998 mobilenet_v2 mobilenet_v3_small mobileone_s1 preresnet50 repvgg_a0
    res2net50_26w_4s resnet50 segnet shufflenet_v1 shufflenet_v2_x1_0 squeezenet1_0_complex unet vgg11_bn
    xception""".split()
GALLERY = [
    pytest.param([*LEAST.values()], id="one of each file"),
    pytest.param(archdsl.nets(), id="all", marks=pytest.mark.slow),
]
NAMES = r"\b(get_submodule|argument|t\d+)\b|\b\w+_: "  # that no person would have chosen


# -------------------------------------------------------------------------------------------------- what the files are
@pytest.mark.parametrize("names", GALLERY)
def test_each_block_of_the_gallery_is_one_class(names):
    for name in names:
        plans = Plans(compiled(name).network).classes
        found = Counter(planned.plan.first.title for planned in plans if planned.plan.first.kind == "block")
        assert {title for title, count in found.items() if count > 1} <= set().union(*SEVERAL.values()), name


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff comes with `archdsl[dev]`")
@pytest.mark.parametrize("names", GALLERY)
def test_a_linter_and_a_formatter_find_nothing_to_change(names, tmp_path):
    for name in names:
        text = emit(compiled(name).network).text
        assert not re.search(NAMES, text.replace(compiled(name).network.doc, "")), name
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    settings = ["--isolated", "--line-length", "100", "--no-cache"]
    for command in (["check", "--extend-select", "E501"], ["format", "--check"]):
        done = subprocess.run(["ruff", *command, *settings, "."], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]


# -------------------------------------------------------------------------------------------------- read beside others
PAGE = (Path(__file__).parents[2] / "docs" / "generated-python.md").read_text(encoding="utf-8")


def code_lines(text):
    """Count the lines of classes and their functions, without blank ones, comments and docstrings."""
    tree, count = ast.parse(text), 0
    kept = [one for one in tree.body if isinstance(one, (ast.ClassDef, ast.FunctionDef))]
    for piece in kept:
        given = piece.args if isinstance(piece, ast.FunctionDef) else None
        names = [one.arg for one in (*given.args, *given.kwonlyargs)] if given else []
        if piece.name.endswith("_Weights") or "weights" in names:
            continue  # weights, and what builds a network with them
        inner = [one for one in ast.walk(piece) if isinstance(one, (ast.ClassDef, ast.FunctionDef))]
        docs = [one.body[0] for one in inner if ast.get_docstring(one) is not None]
        said = {n for doc in docs for n in range(doc.lineno, doc.end_lineno + 1)}
        rows = enumerate(text.splitlines()[piece.lineno - 1 : piece.end_lineno], piece.lineno)
        count += sum(1 for n, row in rows if row.strip() and not row.strip().startswith("#") and n not in said)
    return count


@pytest.mark.parametrize(
    ("row", "name", "module"),
    [
        ("ResNet-50", "resnet50", "resnet"),
        ("DenseNet-121", "densenet121", "densenet"),
        ("MobileNet v2", "mobilenet_v2", "mobilenetv2"),
        ("ShuffleNet v2", "shufflenet_v2_x1_0", "shufflenetv2"),
        ("GoogLeNet", "googlenet", "googlenet"),
    ],
)
def test_the_page_counts_the_lines_that_there_are(row, name, module):
    theirs, ours = re.search(rf"\| {row} \| (\d+) \| (\d+) \|", PAGE).groups()
    assert int(ours) == code_lines(archdsl.compile(name))
    if importlib.metadata.version("torchvision").startswith("0.28."):
        home = Path(importlib.util.find_spec("torchvision").origin).parent
        assert int(theirs) == code_lines((home / "models" / f"{module}.py").read_text(encoding="utf-8"))


def test_what_an_arm_has_stands_under_the_test_of_the_text():
    text = """block unit(channels, stride=1, squeeze=false):
    resized = stride > 1 or x.channels != channels
    body: [[conv(channels, 1), relu] if squeeze, conv(channels, 3, stride) -> bn]
    if resized:
        pooled = x -> avgpool(3, stride=1, pad=1)
        cat(identity, pooled)
    elif squeeze:
        relu
    else:
        identity
net n:
    input image: [N, 8, H=8, W=8]
    unit(8) -> unit(8, squeeze=true) -> unit(16, 2) -> unit(4)
"""
    code = emit(compile_text(text).network).text
    assert code.count("class Unit") == 1
    for line in (
        "        squeeze: bool = False,",
        "resized = stride > 1 or in_channels != channels",
        "if squeeze:",
        "body.append(nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.ReLU(inplace=True)))",
        "if self.resized:",
        "pooled = F.avg_pool2d(x, 3, stride=1, padding=1)",
        "elif self.squeeze:",
    ):
        assert line in code, line


def test_a_condition_that_fits_by_chance_is_no_condition():
    """A loop is longer where `wide` is true, in the instances that there are: it does not decide how often it runs."""
    text = """block unit(widths, wide):
    for i, c in enumerate(widths):
        conv{i+1}: conv(c, 3)
    add(identity, relu if wide)
net n:
    input image: [N, 8, H=8, W=8]
    unit([8, 8], false) -> unit([8, 8, 8], true)
"""
    code = emit(compile_text(text).network).text
    assert code.count("class Unit") == 2


def test_what_a_block_is_given_by_name_may_differ_from_instance_to_instance():
    text = """block unit(channels, act, pool=maxpool(2)):
    [conv(channels, 3), act, pool]
net n:
    input image: [N, 8, H=32, W=32]
    unit(8, relu) -> unit(16, silu) -> unit(16, leaky_relu(0.1), avgpool(2))
"""
    code = emit(compile_text(text).network).text
    assert code.count("class Unit") == 1 and "act: Callable[..., nn.Module]" in code
    assert "Unit(8, 8, partial(nn.ReLU, inplace=True), " in code and "partial(nn.LeakyReLU, negative_slope=0.1" in code
    found = [type(m).__name__ for m in archdsl.loads(text).modules() if not list(m.children())]
    assert found == ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "SiLU", "MaxPool2d", "Conv2d", "LeakyReLU", "AvgPool2d"]


def test_one_module_in_two_arms_is_built_once():
    text = """block unit(stride):
    main = body: [conv(8, 3, stride), bn]
    if stride > 1:
        cat(main, avgpool(3, stride=2, pad=1))
    else:
        add(main, identity)
net n:
    input image: [N, 8, H=8, W=8]
    unit(1) -> unit(2) -> conv(8, 1) -> unit(1)
"""
    code = emit(compile_text(text).network).text
    assert code.count("class Unit") == 1 and code.count("self.body = nn.Sequential(") == 1
    assert code.count("self.body(x)") == 2


# -------------------------------------------------------------------------------------------------- what classes mean
def drawn(plan, rng):
    """Return other arguments for a class: those of instances, and numbers near them."""
    given = {}
    for parameter in plan.parameters():
        value = rng.choice(list(parameter.values.values()))
        if type(value) is int and rng.random() < 0.6:
            value = max(1, rng.choice([value * 2, value + 1, value // 2, 1, 2, 3, 6, value + 8]))
        given[parameter.name] = value
    return given


def in_the_language(plan, given, channels, scope):
    """Return a network of the block alone with these arguments; what else an instance was given stays."""
    block = plan.first
    defaults = {p.name: p.default.span.text for p in block.definition.params if p.default is not None}
    kept = {n: v for n, v in scope.args if n not in given and show(v) != defaults.get(n)}
    said = ", ".join(f"{name}={show(value)}" for name, value in {**kept, **given}.items())
    sizes = ", H=16, W=16" if len(scope.shapes[scope.inputs[0]]) == 4 else ""
    stem = re.sub(r".*/|\.arch$", "", block.span.source.name)
    text = f"from {stem} import {block.title}\nnet n:\n    input image: [N, {channels}{sizes}]\n"
    return instantiate(compile_text(f"{text}    b: {block.title}({said})\n", Request("n")))


def mismatches(name, draws, rng):
    """Yield differences between the classes of a written file, built with other arguments, and the language."""
    network = compiled(name).network
    space = {}
    exec(compile(emit(network).text, name, "exec", dont_inherit=True), space)
    for planned in Plans(network).classes:
        plan = planned.plan
        names = {p.name for p in plan.parameters()}
        if plan.first.kind != "block" or len(plan.first.inputs) > 1 or len(plan.first.outputs) > 1:
            continue
        if not names <= {p.name for p in plan.first.definition.params} | {"in_channels"}:
            continue  # a value that the text computes is an argument here
        for _ in range(draws):
            given, scope = drawn(plan, rng), rng.choice(plan.scopes)
            if "in_channels" not in names:  # which follow from the others, as an instance has them
                given = {p.name: p.values[id(scope)] for p in plan.parameters()}
            channels = given.get("in_channels", int(scope.shapes[scope.inputs[0]][1]))
            try:
                wanted = in_the_language(plan, {n: v for n, v in given.items() if n != "in_channels"}, channels, scope)
            except CompileError:
                continue  # no such block
            if not hasattr(wanted, "b"):
                continue  # it does nothing
            made, x = space[plan.name](**given).eval(), torch.randn(2, channels, 16, 16)
            state, own = wanted.b.state_dict(), made.state_dict()
            if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in own.items()}:
                yield plan.name, given, "weights"
                continue
            made.load_state_dict(state)
            yield plan.name, given, "" if torch.allclose(made(x), wanted.eval()(x), atol=1e-5) else "outputs"


@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in ("fcn8s", "lenet5_1998")])
def test_a_class_with_other_arguments_is_the_block_with_these(name):
    found = list(mismatches(name, 6, random.Random(0)))
    assert [each for each in found if each[2]] == []


# -------------------------------------------------------------------------------------------------- what nets mean
SMALL = 15_000_000  # parameters of a network that is run, too


def other(value, rng):
    """Return another value for a parameter of a net, of the same kind; lists keep their lengths."""
    if isinstance(value, tuple):
        return tuple([other(item, rng) if rng.random() < 0.6 else item for item in value])
    if type(value) is bool:
        return rng.random() < 0.5
    if type(value) is int:
        return max(1, rng.choice([value, value + 1, value * 2, value // 2, value - 1, value + 8, 10]))
    return rng.choice([value, value * 0.5, value * 1.5, value + 0.25]) if type(value) is float else value


def as_list(value):
    """Return tuples as the lists that a caller of `load` would give."""
    return [as_list(item) for item in value] if isinstance(value, tuple) else value


def differences_of_nets(name, draws, rng, *, run):
    """Yield settings of a written net, each with how it differs from what the language gives with the same."""
    network, space = compiled(name).network, {}
    exec(compile(emit(network).text, name, "exec", dont_inherit=True), space)
    plan = Plans(network).classes[-1].plan
    for _ in range(draws):
        given = {p.name: other(next(iter(p.values.values())), rng) for p in plan.parameters() if rng.random() < 0.7}
        try:
            wanted = compiled(name, Request(params={key: as_list(value) for key, value in given.items()}))
        except CompileError:
            continue  # no such network
        with torch.device("meta"):
            net, made = instantiate(wanted), space[plan.name](**given)
        shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (net, made)]
        if shapes[0] != shapes[1]:
            yield given, "weights"
        elif run and sum(p.numel() for p in net.parameters()) < SMALL:
            yield given, "" if run_alike(wanted.network, net, made) else "outputs"
        else:
            yield given, ""


@torch.no_grad()
def run_alike(network, net, made):
    """Say whether two modules with the same random weights return the same."""
    for module in (net, made):
        module.to_empty(device="cpu").eval()
    scramble(net)
    made.load_state_dict(net.state_dict())
    small = {legal.name: legal.nearest(64) for legal in legal_sizes(network)}
    (x,) = [x.float() for x in inputs(network, small, batch=2)]
    results = [result if isinstance(result, tuple) else (result,) for result in (net(x), made(x))]
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*results) if a is not None)


@pytest.mark.parametrize("name", LEAST.values())
def test_a_net_with_other_parameters_is_the_net_with_these(name):
    found = list(differences_of_nets(name, 2, random.Random(name), run=False))
    assert [each for each in found if each[1]] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LEAST.values())
def test_twenty_settings_of_a_net_compute_what_the_language_gives(name):
    found = list(differences_of_nets(name, 20, random.Random(name), run=True))
    assert [each for each in found if each[1]] == []


def test_a_list_that_loops_run_over_is_a_parameter_of_its_length():
    space = {}
    exec(compile(emit(compiled("resnet50").network).text, "resnet50", "exec", dont_inherit=True), space)
    with torch.device("meta"):
        deeper = space["ResNet"](depths=(3, 4, 23, 3)).state_dict()
        assert deeper.keys() == archdsl.load("resnet101").state_dict().keys()
        with pytest.raises(ValueError, match="unpack"):
            space["ResNet"](depths=(3, 4, 6))


def test_the_gallery_keeps_its_parameters():
    """Numbers and lists that nets of the gallery take: how many of them the written classes take."""
    kept = told = 0
    for name in LEAST.values():
        network = compiled(name).network
        names = {parameter.name for parameter in Plans(network).classes[-1].plan.parameters()}
        numbers = [key for key, value in network.scope.args if plain(value) is not UNKNOWN]
        told, kept = told + len(numbers), kept + len(names.intersection(numbers))
    assert kept / told > 0.5


def test_channels_that_are_filled_up_are_as_many_as_asked_for():
    text = """block down(out):
    cat(conv(out - x.channels, 3, stride=2), maxpool(2)) -> bn
net n:
    input image: [N, 3, H=16, W=16]
    down(8) -> down(12) -> conv(4, 1)
"""
    assert "BatchNorm2d(out)" in emit(compile_text(text).network).text


@torch.no_grad()
def test_a_module_of_several_tensors_is_none_where_it_is_not_there():
    text = """block lit(light, c):
    conv: conv(c, 3)
    x * (1 + light)
block unit(light, c):
    short = x -> (shortcut: lit(light, c) if c != x.channels)
    main: lit(light, c)
    x + short
net n:
    input image: [N, 4, H=8, W=8]
    light = image -> mean("channels")
    unit(light, 8) -> unit(light, 8) -> unit(light, 4)
"""
    model = archdsl.loads(text).eval()
    assert "self.shortcut = Lit(in_channels, c) if c != in_channels else None" in emit(compile_text(text).network).text
    x = torch.randn(1, 4, 8, 8)
    assert torch.equal(torch.jit.script(model)(x), model(x))


UNSCRIPTED = {"fpn_resnet18", "odenet"}  # several results, and a solver of another library
SCRIPTED = sorted({*VARIED, "densenet121", "googlenet", "segnet"} - UNSCRIPTED)


@torch.no_grad()
@pytest.mark.parametrize("name", SCRIPTED)
def test_scripted_and_traced_it_computes_the_same(name):
    model = archdsl.load(name).eval()
    network = compiled(name).network
    small = {legal.name: legal.nearest(64) for legal in legal_sizes(network)}
    (x,) = [x.float() for x in inputs(network, small, batch=2)]
    wanted = model(x)
    assert torch.equal(torch.jit.script(model)(x), wanted)
    assert torch.equal(torch.fx.symbolic_trace(model)(x), wanted)
