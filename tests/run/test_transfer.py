"""Fine-tuning: weights for another task, frozen steps, rates by stage; and the page on it, which runs."""

from __future__ import annotations

import copy
import doctest
import pickle
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import archdsl
from archdsl.analysis import ends
from archdsl.compiler import Request, compile_text, compiled
from archdsl.run import load, transfer
from archdsl.run.adapt import for_channels
from tests.families import LEAST, WITH_CLASSES

PAGE = (Path(__file__).parents[2] / "docs" / "transfer.md").read_text(encoding="utf-8")
NET = """
net small(classes=10, width=8):
    input image: [N, 3, H=16, W=16]
    stem: conv(width, 3, bias=false) -> bn1: bn -> relu
    layer1: [conv(width, 3), bn, relu, dropout(0.5)]
    early = x
    layer2: [conv(2 * width, 3, stride=2), bn, relu]
    output aux = early -> global_avgpool -> flatten -> side: linear(classes) when training
    global_avgpool -> flatten -> fc: linear(classes)
"""
DEEP = """
net deep(classes=10):
    input image: [N, 3, H=16, W=16]
    features: [conv(8, 3), relu, conv(8, 3), relu]
    flatten -> classifier: [linear(12), relu, linear(classes)]
"""
MAPS = """
net maps(classes=10):
    input image: [N, 3, H=16, W=16]
    a: conv(8, 3, stride=2) -> relu
    score: conv(classes, 1) -> norm: bn
    up: conv_transpose(classes, 4, 2)
"""
pytestmark = pytest.mark.usefixtures("one_thread")


def state_of(text: str, **params) -> dict[str, torch.Tensor]:
    return archdsl.loads(text, **params).state_dict()


def kept(model: nn.Module, state: dict[str, torch.Tensor]) -> set[str]:
    """Return the names of weights that a model has of a state."""
    return {n for n, v in model.state_dict().items() if n in state and v.shape == state[n].shape and v.equal(state[n])}


# -------------------------------------------------------------------------------------------------- the head
@pytest.mark.parametrize(
    ("text", "new", "said"),
    [
        (NET, {"fc", "side"}, "`fc` and `side` are new: the weights are for 10 outputs, and here are 7"),
        (DEEP, {"classifier.2"}, "`classifier.2` is new: the weights are for 10 outputs, and here are 7"),
        (MAPS, {"score", "norm", "up"}, "`up`, `norm` and `score` are new: the weights are for 10"),
    ],
)
def test_other_classes_keep_all_but_the_head(text, new, said):
    state = state_of(text)
    with pytest.warns(archdsl.WeightsWarning, match=f"^the state dict: {said}") as caught:
        model = archdsl.loads(text, classes=7, weights=state)
    assert caught[0].filename == __file__
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert kept(model, state) - counters == {n for n in state if n.rpartition(".")[0] not in new} - counters


@pytest.mark.parametrize(
    ("text", "missing", "new"),
    [(NET, "fc", "fc"), (DEEP, "classifier.2", "classifier.2"), (DEEP, "classifier", "classifier")],
)
def test_a_checkpoint_without_a_head(text, missing, new):
    state = {name: value for name, value in state_of(text).items() if not name.startswith(f"{missing}.")}
    for classes in (10, 7):
        whole = {name: value for name, value in state.items() if classes == 10 or not name.startswith("side")}
        with pytest.warns(archdsl.WeightsWarning, match=f"`{new}`.* new: there are no weights for this"):
            model = archdsl.loads(text, classes=classes, weights=whole)
        assert kept(model, whole) == set(whole)


@pytest.mark.parametrize(
    ("text", "params", "missing", "message"),
    [
        (
            NET,
            {"width": 4},
            "",
            r"`stem.weight` is \[8, 3, 3, 3\] in the state dict and \[4, 3, 3, 3\] in .*, and [0-9]+ more",
        ),
        (NET, {"classes": 7}, "layer2.", "lacks `layer2.0.weight`"),
        (NET, {}, "stem.", "lacks `stem.weight`"),
        (DEEP, {"classes": 7}, "classifier.0.", "lacks `classifier.0.weight`"),
        (NET, {"outputs": ["layer2"]}, "layer2.", "lacks `layer2.0.weight`"),
        (NET, {}, "", ""),
    ],
)
def test_what_differs_elsewhere_is_refused(text, params, missing, message):
    state = {name: value for name, value in state_of(text).items() if not missing or not name.startswith(missing)}
    if not message:  # as it is, it fits, and nothing is said
        archdsl.loads(text, weights=state)
        return
    with pytest.raises(archdsl.WeightsError, match=message):
        archdsl.loads(text, weights=state, **params)


@pytest.mark.parametrize(
    "change",
    [{"layer2.0.weight": (16, 9, 3, 3)}, {"fc.weight": (10, 15)}, {"fc.weight": (10,)}, {"fc.weight": (9, 15)}],
)
def test_a_wrong_layer_is_named(change):
    state = state_of(NET) | {name: torch.zeros(shape) for name, shape in change.items()}
    (name,) = change
    with pytest.raises(archdsl.WeightsError, match=f"`{name}` is"):
        archdsl.loads(NET, weights=state)


def test_weights_of_nothing_are_refused():
    with pytest.raises(archdsl.WeightsError, match="lacks `stem.weight`"):
        archdsl.loads(NET, weights={})
    with pytest.raises(archdsl.WeightsError, match="lacks `0.weight`"):
        archdsl.loads("net n:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3)\n", weights={})


# -------------------------------------------------------------------------------------------------- no head
HEADED = sorted(WITH_CLASSES)
SUMS = {"fcn8s", "fcn16s", "fcn32s", "fcn_vgg16", "lraspp_mobilenet_v3_large"}  # of maps of classes


@pytest.mark.parametrize(
    "name", [n if n in {*LEAST.values(), *SUMS} else pytest.param(n, marks=pytest.mark.slow) for n in HEADED]
)
def test_no_classes_leave_out_the_heads(name):
    """What is missing has no weights but those of the layers that results come from."""
    if name in SUMS:
        with pytest.raises(archdsl.CompileError, match="the net cannot be built with this value"):
            archdsl.check(name, classes=0)
        return
    full, less = compiled(name), compiled(name, Request(params={"classes": 0}))
    sizes = [archdsl.check(name, classes=count).params for count in (0, 1, 2)]
    assert sizes[0] < sizes[1] < sizes[2]
    found, left = ends.ends(full.network), ends.ends(less.network)
    few, more = [ends.ends(compiled(name, Request(params={"classes": n})).network).layers for n in (2, 4)]
    heads = {layer for layer in found.layers if few[layer].out != more[layer].out}
    assert heads and found.layers.keys() - heads == left.layers.keys()
    read = {int(few[head].channels) for head in heads}
    shapes = zip(full.network.scope.output_shapes, less.network.scope.output_shapes)
    assert {int(after[1]) for before, after in shapes if before[1] != after[1]} <= read


@pytest.mark.parametrize(
    ("name", "head", "size"),
    [
        ("resnet18", "fc", 64),
        ("vgg11", "classifier.6", 64),
        ("mobilenet_v3_small", "classifier.3", 64),
        ("convnext_tiny", "classifier.2", 64),
        ("densenet121", "classifier", 64),
        ("vit_b_32", "heads.head", 224),
        ("googlenet", "fc", 64),
        ("lenet5", "fc", 32),
        ("dla34", "fc", 64),
    ],
)
def test_features_are_what_the_classifier_reads(name, head, size):
    full = archdsl.load(name).eval()
    features = archdsl.load(name, classes=0, weights=full.state_dict()).eval()
    seen = []
    full.get_submodule(head).register_forward_hook(lambda module, inputs, result: seen.append(inputs[0]))
    x = torch.randn(2, 1 if name == "lenet5" else 3, size, size)
    with torch.no_grad():
        full(x)
        found = features(x)
    assert torch.equal(found, seen[0].flatten(1))
    assert features.state_dict().keys() == {
        key for key in full.state_dict() if key.rpartition(".")[0] not in ({head, "aux1.fc2", "aux2.fc2"})
    }


def test_the_features_of_a_head_that_is_a_convolution_are_pooled():
    full = archdsl.load("squeezenet1_1").eval()
    features = archdsl.load("squeezenet1_1", classes=0, weights=full.state_dict()).eval()
    x = torch.randn(1, 3, 64, 64)
    maps = full.features(x)
    torch.testing.assert_close(features(x), torch.relu(maps).mean((2, 3)))


def test_no_head_is_like_a_head_that_was_taken_out():
    full = archdsl.load("resnet18").eval()
    features = archdsl.load("resnet18", classes=0, weights=full.state_dict()).eval()
    x = torch.randn(1, 3, 64, 64)
    taken = archdsl.reset_classifier(copy.deepcopy(full), 0)
    assert torch.equal(features(x), taken(x))
    assert features.state_dict().keys() == taken.state_dict().keys()
    assert isinstance(features.fc, nn.Identity) and isinstance(taken.fc, nn.Identity)


def test_no_head_everywhere(tmp_path, capsys, monkeypatch):
    from archdsl.cli.main import main

    monkeypatch.chdir(tmp_path)
    assert main(["check", "resnet18", "--set", "classes=0"]) == 0
    assert "-> [N, 512], 11.2 M parameters" in capsys.readouterr().out
    assert main(["compile", "resnet18", "--set", "classes=0", "-o", "features.py"]) == 0
    code = (tmp_path / "features.py").read_text()
    assert "self.fc = nn.Identity()" in code and "Linear" not in code
    model = archdsl.load("resnet18", classes=0)
    archdsl.save(model, "features.safetensors")
    again = archdsl.load("features.safetensors").eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(x), model.eval()(x))
    with pytest.warns(archdsl.WeightsWarning, match="`fc` is new: there are no weights for this"):
        assert archdsl.load("features.safetensors", classes=7).fc.out_features == 7
    agreed = archdsl.optimize(model)
    torch.testing.assert_close(agreed(x), model(x), rtol=1e-4, atol=1e-4)


def test_a_head_comes_back():
    model = archdsl.load("resnet18", dtype="float64")
    archdsl.reset_classifier(model, 0)
    archdsl.reset_classifier(model, 0)
    assert not [key for key in model.state_dict() if key.startswith("fc.")]
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        archdsl.reset_classifier(made.float(), 6)
        assert made.fc.weight.shape == (6, 512) and made.fc.weight.dtype == torch.float32 and made.fc.training
        assert made.fc.weight.std() > 0.01, "it is initialized"
        assert made.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 6)


def test_a_network_that_was_loaded_without_a_head_gets_none():
    for name in ("resnet18", "vgg11"):
        with pytest.raises(ValueError, match="give the number of classes to `archdsl.load`"):
            archdsl.reset_classifier(archdsl.load(name, classes=0), 5)


def test_a_sweep_has_features_beside_classes():
    """Blocks that several settings share are built once, and a head in one of them is left out all the same."""
    found = archdsl.sweep("odenet", classes=[0, 10], figures=["params"])
    assert [point["params"] for point in found.records()] == [
        archdsl.check("odenet", classes=count).params for count in (0, 10)
    ]


def test_nothing_but_classes_may_be_nothing():
    text = "net n(classes=10, width=8):\n    input i: [N, 3, H=8, W=8]\n    conv(width, 3)\n    conv(classes, 1)\n"
    assert archdsl.loads(text, classes=0)(torch.zeros(1, 3, 8, 8)).shape == (1, 8, 8, 8)
    for wrong in ({"width": 0}, {"classes": -1}, {"classes": 0.0}, {"classes": False}):
        with pytest.raises(archdsl.CompileError, match="the net cannot be built with this value"):
            archdsl.loads(text, **wrong)
    with pytest.raises(archdsl.CompileError, match="has no parameter `classes`"):
        archdsl.check("fpn_resnet18", classes=0)


def test_an_auxiliary_head_may_be_missing():
    state = archdsl.load("googlenet").state_dict()
    state = {name: value for name, value in state.items() if not name.startswith("aux")}
    with pytest.warns(archdsl.WeightsWarning, match="`aux1` and `aux2` are new: there are no"):
        assert kept(archdsl.load("googlenet", weights=state), state) == set(state)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("resnet18", ["conv1"], {"fc"}),
        ("squeezenet1_1", ["features.0"], {"classifier.1"}),
        ("inception_v3", ["Conv2d_1a_3x3.conv"], {"AuxLogits.fc", "fc"}),
        ("fcn8s", ["conv1_1"], {"upscore"}),
        ("odenet", ["net.downsampling.0"], {"net.fc"}),
    ],
)
def test_the_ends_of_networks(name, first, last):
    found = ends.ends(compiled(name).network)
    assert (found.first, found.last) == (first, last)


def test_shared_layers_and_joined_branches_are_followed():
    text = """
net n:
    input image: [N, 3, H=8, W=8]
    a: conv(3, 3, bias=false)
    y = add(identity, b: conv(3, 3))
    twice = (s: conv(3, 3))
    z = cat(y -> twice -> d: conv(3, 1), image -> twice -> ode(conv(3, 3), "euler"))
    z -> c: conv(4, 1)
"""
    found = ends.ends(compile_text(text).network)
    assert found.layers["b"].reads == {"a"}
    assert found.layers["s"].reads == {"a", "b", ""}
    solver = found.layers["c"].reads - {"d", "s"}
    assert {name.rpartition(".")[2] for name in solver} == {"f"} and found.layers["c"].reads >= {"d", "s"}
    assert (found.first, found.last) == (["a"], {"c"})


# -------------------------------------------------------------------------------------------------- first convolution
@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_adapt_the_first_convolution(channels):
    """Of a grey image the adapted network computes what the first one does of three equal channels."""
    torch.manual_seed(0)
    first = archdsl.loads(NET).eval()
    with pytest.warns(archdsl.WeightsWarning, match=f"weights of `stem` for 3 channels are .* for {channels} channel"):
        other = archdsl.loads(NET, in_channels=channels, weights=first.state_dict()).eval()
    grey = torch.randn(2, 1, 16, 16)
    if channels == 1:
        torch.testing.assert_close(other(grey), first(grey.expand(-1, 3, -1, -1)))
    assert other.stem.weight.shape == (8, channels, 3, 3)
    for i in range(channels if channels > 1 else 0):
        torch.testing.assert_close(other.stem.weight[:, i], first.stem.weight[:, i % 3] * 3 / channels)


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8])
def test_channels_as_timm_adapts_them(torchvision_models, kind, channels):
    from timm.models import adapt_input_conv

    weight = torch.randn(4, 3, 5, 5).to(kind)
    made = for_channels(weight, channels)
    assert made.dtype == kind
    torch.testing.assert_close(made, adapt_input_conv(channels, weight), rtol=1e-3, atol=1e-5)
    if channels == 1 and kind == torch.float64:  # which timm rounds to float32
        assert made.equal(weight.sum(1, keepdim=True))


@pytest.mark.parametrize("first", ["conv(6, 3, groups=3)", "bn -> conv(6, 3)"])
def test_another_first_layer_is_not_adapted(first):
    text = f"net n:\n    input image: [N, 3, H=8, W=8]\n    {first} -> relu -> fc: conv(4, 1)\n"
    with pytest.raises(archdsl.WeightsError, match=r" is \[.* in the state dict and \["):
        archdsl.loads(text, in_channels=6, weights=state_of(text))


# -------------------------------------------------------------------------------------------------- forms of weights
@pytest.mark.parametrize("form", ["state_dict", "model", "model_state_dict", "net"])
def test_a_checkpoint_in_memory(form):
    state = state_of(NET)
    wrapped = {f"_orig_mod.module.{name}": value for name, value in state.items()}
    for given in (state, {form: state, "epoch": 3}, {form: wrapped}):
        assert kept(archdsl.loads(NET, weights=given), state) == set(state)


def test_paths_and_texts(tmp_path):
    state = state_of(NET)
    torch.save({"model": state}, tmp_path / "small.pth")
    for path in (tmp_path / "small.pth", str(tmp_path / "small.pth")):
        assert kept(archdsl.loads(NET, weights=path), state) == set(state)
    with pytest.raises(FileNotFoundError):
        archdsl.loads(NET, weights=tmp_path / "nothing.pth")


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    torch.save(archdsl.loads(NET), tmp_path / "model.pth")
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "linear.pth")
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pth"))
    for name in ("model", "linear", "script"):
        with pytest.raises(archdsl.WeightsError, match=r"perhaps a whole model.* Save `model.state_dict\(\)` instead"):
            archdsl.loads(NET, weights=tmp_path / f"{name}.pth")
    for name, content in (("text.pth", "weights"), ("empty.pth", ""), ("junk.safetensors", "junk")):
        (tmp_path / name).write_text(content)
        with pytest.raises(archdsl.WeightsError, match=f"{name} cannot be read as weights: "):
            archdsl.loads(NET, weights=tmp_path / name)
    for given in (nn.Linear(2, 2), {"epoch": 3}, {"model": nn.Linear(2, 2)}):
        with pytest.raises(archdsl.WeightsError, match=r"give its `state_dict\(\)`|holds no weights by name"):
            archdsl.loads(NET, weights=given)


# -------------------------------------------------------------------------------------------------- freezing
def step(model: nn.Module) -> dict[str, torch.Tensor]:
    """Train one step and return what of the state has changed."""
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(archdsl.parameter_groups(model, lr=0.1))
    sum(model(torch.randn(4, 3, 16, 16))).square().sum().backward()
    optimizer.step()
    return {name: value for name, value in model.state_dict().items() if not value.equal(before[name])}


@pytest.mark.parametrize("made", [lambda m: m, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_frozen_steps_stay_as_they_are(made):
    model = made(archdsl.freeze(archdsl.loads(NET), "stem", "bn1", "layer1"))
    outer = nn.Sequential(model).train()
    assert outer.training and model.training and model.layer2[1].training
    assert not any(part.training for part in (model.stem, model.bn1, *model.layer1.modules()))
    changed = {name.split(".")[0] for name in step(model)}
    assert changed == {"layer2", "fc", "side"}
    archdsl.unfreeze(model, "layer1").train()
    assert model.layer1[1].training and not model.bn1.training
    assert {name.split(".")[0] for name in step(model)} == {"layer1", "layer2", "fc", "side"}
    archdsl.unfreeze(model)
    assert "running_mean" in " ".join(step(model)) and all(part.training for part in model.modules())
    assert not model.eval().bn1.training


def test_all_before_a_step():
    model = archdsl.freeze(archdsl.loads(NET), until="layer2.1").train()
    assert [n for n, p in model.named_parameters() if p.requires_grad][:2] == ["layer2.1.weight", "layer2.1.bias"]
    assert not model.layer2[0].training and model.layer2[1].training


def test_a_linear_probe():
    model = archdsl.unfreeze(archdsl.freeze(archdsl.loads(NET)), "fc", "side")
    model.train()
    assert model.fc.training and not model.bn1.training and not model.layer1[3].training
    model.training = True  # for the auxiliary result
    assert {name.split(".")[0] for name in step(model)} == {"fc", "side"}


@pytest.mark.parametrize(
    ("labels", "until", "message"),
    [
        (["layr1"], None, "no step `layr1`: did you mean `layer1`"),
        ([], "layer9", "no step `layer9`: did you mean"),
        (["nothing*"], None, "its first are `stem`, `bn1`"),
        ([""], None, "no step ``"),
    ],
)
def test_a_label_without_a_step(labels, until, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        archdsl.freeze(archdsl.loads(NET), *labels, until=until)


def test_frozen_networks_compile_and_optimize():
    model = archdsl.freeze(archdsl.loads(NET), "layer1").train()
    x = torch.randn(2, 3, 16, 16)
    torch.compile(model, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(archdsl.optimize(model.eval())(x), model(x), rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------------------------------------- rates by stage
def test_each_stage_learns_slower_than_the_next():
    groups = archdsl.parameter_groups(archdsl.loads(NET), lr=1.0, decay=0.5)
    assert [(g["stage"], g["lr"]) for g in groups] == [
        ("stem", 0.0625), ("layer1", 0.125), ("layer2", 0.25), ("side", 0.5), ("fc", 1.0),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "squeezenet1_1", "odenet", "lenet5"])
def test_every_parameter_is_in_one_group(name):
    model = archdsl.load(name)
    for weight_decay in (None, 0.1):
        groups = archdsl.parameter_groups(model, lr=1.0, weight_decay=weight_decay)
        found = [id(p) for group in groups for p in group["params"]]
        assert sorted(found) == sorted(map(id, model.parameters()))
        torch.optim.AdamW(groups)
    for group in groups:
        assert {p.dim() > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    assert len({group["stage"] for group in groups}) >= 3


def test_what_is_frozen_is_in_no_group():
    model = archdsl.freeze(archdsl.loads(NET), until="layer2")
    groups = archdsl.parameter_groups(model, lr=1.0, decay=0.5)
    assert [(g["stage"], g["lr"]) for g in groups] == [("layer2", 0.25), ("side", 0.5), ("fc", 1.0)]


def test_a_module_that_shares_and_owns_parameters():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.scale = nn.Parameter(torch.ones(1))

    model = Tied()
    groups = archdsl.parameter_groups(model, lr=1.0)
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(map(id, model.parameters()))
    assert archdsl.parameter_groups(nn.Linear(2, 2), lr=1.0)[0]["lr"] == 1.0


# -------------------------------------------------------------------------------------------------- documentation
@pytest.mark.parametrize("module", [ends, load, transfer])
def test_docstrings_run(module, tmp_path, monkeypatch):
    torch.save(archdsl.load("resnet18").state_dict(), tmp_path / "resnet18.pth")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", archdsl.WeightsWarning)
        assert doctest.testmod(module).failed == 0


def test_the_page_runs_and_reaches_what_it_claims(tmp_path, monkeypatch):
    torch.save(archdsl.load("resnet18").state_dict(), tmp_path / "resnet18.pth")
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    claims = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for block, after in re.findall(r"```python\n(.*?)```(.*?)(?=```python|\Z)", PAGE, re.DOTALL):
            exec(block, space)
            claims += [(int(percent), space["reached"]) for percent in re.findall(r"more than (\d+) %", after)]
    assert f"{len(HEADED) - len(SUMS)} networks of the gallery have such a form" in PAGE
    assert space["pooled"].shape == (2, 512)
    assert len(claims) == 2
    for percent, reached in claims:
        assert reached > percent / 100
    said = [str(warning.message) for warning in caught if warning.category is archdsl.WeightsWarning]
    (shown,) = re.findall(r"```text\n(.*?)\n```", PAGE)
    assert said == [shown, "the state dict: `head` is new: there are no weights for this"]
    frozen = space["second"]
    assert all(
        value.equal(space["trunk"][n])
        for n, value in frozen.state_dict().items()
        if n.startswith("st") and "2" not in n
    )
