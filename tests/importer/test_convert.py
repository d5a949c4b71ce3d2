"""Networks of public libraries, and modules that hide something, as texts: each is held to what it was made of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import archdsl
from archdsl.cli.main import main
from archdsl.compiler import Request, compile_text
from archdsl.importer import ImportFailed, NoSource, convert, import_module, opened
from archdsl.importer.calls import table
from archdsl.importer.keys import rules_of
from archdsl.run.weights import renamed, rule
from tests.importer import attention, modules
from tests.properties.programs import program

# One network of each family, the smallest; at a size that keeps this short.
FAMILIES = """
torchvision:alexnet torchvision:convnext_tiny torchvision:efficientnet_b0 torchvision:googlenet
torchvision:lraspp_mobilenet_v3_large torchvision:mnasnet0_5 torchvision:mobilenet_v2 torchvision:mobilenet_v3_small
torchvision:regnet_y_400mf torchvision:resnet50 torchvision:shufflenet_v2_x0_5 torchvision:squeezenet1_1 torchvision:vgg11_bn
timm:cspresnet50 timm:densenet121 timm:dla34 timm:eca_resnet33ts timm:ghostnet_050 timm:mixnet_s
timm:mobilenetv4_conv_small timm:repvgg_a0 timm:selecsls42 timm:tf_efficientnet_lite0
pytorchcv:airnet50_1x64d_r2 pytorchcv:darts pytorchcv:sqnxt23_w1 pytorchcv:resattnet56 pytorchcv:ibn_resnet50
pytorchcv:unet_cityscapes torchvision:maxvit_t torchvision:swin_t timm:caformer_s18
""".split()
QUICK = FAMILIES[1::3]  # in the ordinary run
SIZES = {"torchvision:alexnet": 96, "torchvision:googlenet": 96, "torchvision:maxvit_t": 224}


def made_of(source):
    side = 224 if source.startswith("pytorchcv") else SIZES.get(source, 64)  # its last pool is one of 7x7
    found = opened(source)
    return found.model, import_module(found.model, (1, *found.shape[1:2], side, side), name=found.name)


@pytest.mark.usefixtures("torchvision_models")
@pytest.mark.parametrize(
    "source", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in FAMILIES]
)
def test_a_network_of_each_family(source):
    model, found = made_of(source)
    assert max(found.verified.evaluation, found.verified.training) <= 1e-5 and found.verified.gradients <= 1e-4
    unused = found.verified.unused
    assert archdsl.loads(found.text) is not None and all(name.endswith("relative_position_index") for name in unused)
    assert sorted([*found.verified.keys, *unused]) == sorted(model.state_dict())


# What the comparison in the importer says is said once more, by the public way from a file to a network with weights.
@pytest.mark.usefixtures("torchvision_models")
@pytest.mark.parametrize(
    "source", ["torchvision:swin_t", "torchvision:regnet_x_400mf", "timm:convnext_atto", "pytorchcv:mobilenetv2_wd4"]
)
def test_its_own_weights_load_strictly(source, tmp_path):
    model, found = made_of(source)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.dim() < 2:
                tensor.uniform_(0.5, 1)
    found.write(tmp_path / "net.arch")
    made = archdsl.load(str(tmp_path / "net.arch"), weights=model.state_dict(), kernels="none").eval()
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        wanted = model.eval()(x)
        assert (made(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


# -------------------------------------------------------------------------------------------------- length
# At most twice the lines of the gallery's text of the family, and at most one class more.
@pytest.mark.usefixtures("torchvision_models")
@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("torchvision:densenet121", "densenet121"), ("torchvision:googlenet", "googlenet"), ("torchvision:mobilenet_v2", "mobilenet_v2"),
        ("torchvision:resnet50", "resnet50"), ("torchvision:shufflenet_v2_x1_0", "shufflenet_v2_x1_0"),
        ("torchvision:squeezenet1_1", "squeezenet1_0"), ("torchvision:vgg16", "vgg16"),
    ],
)  # fmt: skip
def test_a_text_is_not_twice_as_long_as_the_gallerys(source, file):
    with torch.device("meta"):
        found = opened(source)
    shape = (2, 3, 224, 224)
    graph = convert._graph(found, shape)
    made, _ = convert.written(graph, convert._second(found, shape, graph)[1], "net", "net")
    own = (Path(archdsl.__file__).parents[1] / "architectures" / f"{file}.arch").read_text()
    assert made.count("\n") <= 2 * own.count("\n")
    assert made.count("\nblock ") <= own.count("\nblock ") + 1


def test_blocks_have_parameters_and_conditions():
    text = import_module(modules.Residual(), (1, 3, 32, 32), name="residual").text
    assert text.count("\nblock ") == 1 and "block unit(channels" in text
    assert "shortcut: conv(channels, 1, stride=stride)" in text and "stages: [" in text, text


# -------------------------------------------------------------------------------------------------- what hides
def test_what_a_subclass_does_more_is_seen():
    text = import_module(modules.Hidden(), (1, 3, 16, 16), name="hidden").text
    assert "bn: bn -> relu" in text


def test_a_hook_is_seen():
    model = modules.Hidden(nn.BatchNorm2d)
    model.bn.register_forward_hook(lambda module, given, made: made * 2)
    assert "bn: bn -> scale(2.0)" in import_module(model, (1, 3, 16, 16), name="hooked").text


def test_shares_of_maps_and_of_channels():
    text = import_module(modules.Selective(), (1, 3, 16, 16), name="selective").text
    assert "softmax(axis=channels)" in text or "-> softmax ->" in text, text
    assert "max(" in text and "min(" in text and "shuffle(4)" in text and "maximum" in text


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (modules.Shared(), "shared_conv = conv: conv(3, 3)\n    shared_conv -> relu\n    shared_conv"),
        (modules.Siamese(), "shared_body = body: ["),
    ],
    ids=["a layer", "several"],
)
def test_a_layer_that_is_applied_more_than_once(model, said):
    found = import_module(model, (1, 3, 16, 16), name="shared")
    assert said in found.text, found.text
    assert sum(p.numel() for p in archdsl.loads(found.text).parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("model", attention.SPELLINGS, ids=lambda one: one.__name__)
def test_attention_that_is_written_out(model):
    found = import_module(model(), (1, 8, 16, 16), name="attends")
    assert attention.SPELLINGS[model] in found.text, found.text


def test_what_is_changed_in_place_is_changed_for_all():
    text = import_module(modules.InPlace(), (1, 3, 16, 16), name="in_place").text
    assert re.search(r"conv1: conv\(3, 3\) -> relu\n\s+add\(identity, conv2: conv\(3, 3\)\)", text)


def test_margins_are_told_apart_by_two_sizes():
    """At an even size TensorFlow's margins are one row and one column, as a module may always add."""
    text = import_module(modules.Padded(), (1, 3, 64, 64), name="padded").text
    assert 'conv1: conv(4, 3, stride=2, pad="same")' in text and "conv2: conv(4, 3)" in text
    text = import_module(modules.Padded(fixed=True), (1, 3, 64, 64), name="padded").text
    assert "pad((0, 1, 0, 1))" in text and "conv1: conv(4, 3, stride=2, pad=0)" in text


def test_a_result_of_training_alone():
    text = import_module(modules.Auxiliary(), (1, 3, 16, 16), name="auxiliary").text
    assert "output out1 = " in text and text.count("when training") == 1


def test_what_no_result_needs_is_said():
    found = import_module(modules.Unused(), (1, 3, 16, 16), name="unused")
    assert found.verified.unused == ("other.weight", "other.bias") and "other.weight" in found.report()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (modules.Standardized(), "`conv`: the weight of `conv` is computed, and not learned"),
        (modules.Noisy(), "`body.1`: the language has no step for `rand_like`"),
        (modules.Constant(), "a tensor that the module's code makes"),
        (modules.Detached(), "`conv1.weight` has a gradient in one of the two alone"),
        (modules.Owners(), "`first.0`: a layer that several modules apply"),
        (modules.Sized(), "with numbers that depend on the size of the input"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.LPPool2d(2, 2)), "`1`: the language has no step for"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, nn.Module) else "",
)
def test_a_refusal_says_what_and_where(model, said):
    with pytest.raises(ImportFailed) as refused:
        import_module(model, (1, 3, 16, 16))
    assert said in str(refused.value)


def test_weights_are_left_as_they_were():
    model = modules.Residual()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    import_module(model, (1, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and model.training


@pytest.mark.parametrize("example", [((1, 3, 8, 8), (1, 5)), [torch.zeros(1, 3, 8, 8), torch.zeros(1, 5)], ()])
def test_an_example_is_one_tensor_or_its_shape(example):
    with pytest.raises(ImportFailed, match="modules of several inputs are not read"):
        import_module(nn.Identity(), example)


# -------------------------------------------------------------------------------------------------- the comparison
@pytest.mark.parametrize(
    "mistake",
    [
        ("relu", lambda r, x, inplace=False: x),
        ("conv2d", lambda r, x, *args: _with(r, x, args, stride=(1, 1))),
        ("conv2d", lambda r, x, *args: _with(r, x, args, pad=(0, 0))),
        ("batch_norm", lambda r, x, *args, **words: _with(r, x, args, words, eps=1e-2)),
        ("dropout", lambda r, x, *args, **words: r.step("tanh", {}, (x,), x.shape)),
    ],
    ids=["relu", "stride", "pad", "eps", "training"],
)
def test_a_wrong_step_is_found(monkeypatch, mistake):
    name, function = mistake
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 3, 1, 1)
    )
    import_module(model, (1, 3, 32, 32))
    monkeypatch.setitem(table.TABLE, name, function)
    with pytest.raises(ImportFailed):
        import_module(model, (1, 3, 32, 32))


def _with(r, x, args, words=(), **fields):
    from archdsl.importer.calls import layers

    made = layers.batch_norm(r, x, *args, **dict(words)) if "eps" in fields else layers.conv2d(r, x, *args)
    made.fields |= fields
    return made


# -------------------------------------------------------------------------------------------------- programs at random
@pytest.mark.parametrize("seed", range(7000, 7010))
def test_programs_at_random_come_back_or_are_refused(seed):
    """What the compiler writes is a module like any other: its text may be another, its numbers may not."""
    text = program(seed)
    model = archdsl.loads(text, net="n", kernels="none")
    scope = compile_text(text, Request("n")).network.scope
    sizes = [int(size) for size in scope.shapes[scope.inputs[0]][1:]]
    if len(scope.inputs) > 1 or len(sizes) != 3:
        pytest.skip("several inputs, or no map")
    try:
        import_module(model, (1, *sizes), name="n")
    except ImportFailed as refused:
        assert not re.search("differ|is refused|stands for no|where the module has", str(refused)), str(refused)


# -------------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({"a.weight": "a.weight"}, []),
        ({"block1-0.w": "block1_0.w", "block2-1.w": "block2_1.w"}, [("block{i}-{j}", "block{i}_{j}")]),
        ({f"f.{i}.gamma": f"f.{i}.gamma.weight" for i in range(3)}, [("gamma", "gamma.weight")]),
        ({"0.w": "1.w", "1.w": "0.w"}, None),
        ({"a.0.s": "a.0.l3.s", "a.1.s": "a.1.l4.s", "a.0.conv.w": "a.0.conv.w"}, None),
        ({"a.0.w": "b.w", "b.w": "a.0.w", "c.1.w": "c.2.w"}, None),
    ],
)
def test_rules_for_names(names, wanted):
    made = rules_of(names)
    assert wanted is None or made == wanted
    state = renamed(dict.fromkeys(names, torch.zeros(1)), [rule(*pair) for pair in made])
    assert list(state) == list(names.values())


def test_rules_that_somebody_wrote_are_left(tmp_path):
    found = import_module(modules.InPlace(), (1, 3, 16, 16), name="in_place")
    rules = tmp_path / "net.keys"
    for text, stays in (("[torchvision]\na = b\n", True), ("[imported]\na = b\n", False)):
        rules.write_text(text)
        assert found.write(tmp_path / "net.arch") == [str(tmp_path / "net.arch")]
        assert rules.exists() == stays


# -------------------------------------------------------------------------------------------------- the command
def test_the_command_writes_a_text(tmp_path, capsys):
    path = tmp_path / "residual.arch"
    status = main(["import", "tests.importer.modules:Residual", "-o", str(path), "--input", "1,3,32,32"])
    said = capsys.readouterr().err
    assert status == 0 and "verified: " in said and "at 32x32 and " in said
    assert sum(p.numel() for p in archdsl.load(str(path)).parameters()) == sum(
        p.numel() for p in modules.Residual().parameters()
    )
    assert main(["check", str(path)]) == 0


def test_a_module_is_looked_for_in_the_current_folder(tmp_path, monkeypatch, capsys):
    """As `python -m` does, and a script that an installation made does not."""
    (tmp_path / "lying_here.py").write_text("from torch import nn\n\ndef make():\n    return nn.Conv2d(3, 4, 3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    assert main(["check", "lying_here:make"]) == 0 and "make: [N, 3, H, W]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "said", "status"),
    [
        ("tests.importer.modules:Noisy", "rand_like", 1),
        ("tests.importer.modules:Nothing", "has no `Nothing`", 2),
        ("tests.importer.modules:needs_arguments", "without arguments", 2),
        ("tests.importer.modules:no_module", "makes int", 2),
        ("no.such.package:net", "cannot be imported", 2),
        ("resnet50", "timm:NAME", 2),
    ],
)
def test_the_command_writes_nothing_where_it_fails(tmp_path, capsys, source, said, status):
    found = main(["import", source, "-o", str(tmp_path / "net.arch"), "--input", "1,3,16,16"])
    assert found == status and said in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.usefixtures("torchvision_models")
@pytest.mark.parametrize(
    ("source", "near"),
    [("timm:resnet51", "resnet"), ("torchvision:resnet19", "resnet18"), ("pytorchcv:resnet11", "resnet1")],
)
def test_a_name_that_a_library_does_not_have(source, near):
    with pytest.raises(NoSource, match=f"did you mean `{near}"):
        opened(source)


def test_a_check_does_not_import_it():
    code = "import sys, archdsl.cli.main as m; m.main(['check', 'lenet5']); print([n for n in sys.modules if 'importer' in n or n == 'torch'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]")
