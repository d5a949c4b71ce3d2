"""Weights from files: own names and those of other libraries, both formats, and files that do not fit."""

from __future__ import annotations

import inspect
import pickle

import pytest
import torch
from safetensors.torch import save_file

import archdsl
from archdsl.ops import initializers
from archdsl.run.weights import carry_over, read, renamed, rule
from tests.gallery.references import REFERENCES, filled

pytestmark = pytest.mark.usefixtures("torchvision_models")


@pytest.fixture
def squeezenet(tmp_path):
    model = archdsl.load("squeezenet1_1")
    torch.save(model.state_dict(), tmp_path / "own.pth")
    save_file(model.state_dict(), tmp_path / "own.safetensors")
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "run.ckpt"
    )
    return model, tmp_path


@pytest.mark.parametrize("file", ["own.pth", "own.safetensors", "run.ckpt"])
def test_a_file_of_own_names(squeezenet, file):
    model, folder = squeezenet
    loaded = archdsl.load("squeezenet1_1", weights=folder / file)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_a_file_of_another_librarys_names(tmp_path, form):
    theirs = filled(REFERENCES["preresnet20_cifar"].build()).eval()
    path = tmp_path / f"theirs.{form}"
    (torch.save if form == "pth" else save_file)(theirs.state_dict(), path)
    ours = archdsl.load("preresnet20_cifar", weights=path).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_torchvisions_old_densenet_names(tmp_path):
    """Its published files say `norm.1` where its modules say `norm1`, and have no counters."""
    model = archdsl.load("densenet121")
    old = {}
    for key, value in model.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            for part in ("norm", "conv"):
                for n in "12":
                    if "denselayer" in key:
                        key = key.replace(f".{part}{n}.", f".{part}.{n}.")
            old[key] = value
    torch.save(old, tmp_path / "old.pth")
    loaded = archdsl.load("densenet121", weights=tmp_path / "old.pth")
    assert torch.equal(
        loaded.features.denseblock3.denselayer7.conv2.weight, model.features.denseblock3.denselayer7.conv2.weight
    )


def test_part_of_a_network_takes_part_of_a_file(squeezenet):
    model, folder = squeezenet
    part = archdsl.load("squeezenet1_1", weights=folder / "own.pth", outputs=["features.4"])
    assert torch.equal(part.features.get_submodule("3").squeeze.weight, model.features[3].squeeze.weight)


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("mobilenet_v2", {}, "lacks `features.0.0.weight`, .* and .* more, and has `features.0.weight`"),
        ("resnet18", {}, "lacks `conv1.weight`, .* and .* more, and has `features.0.weight`"),
    ],
)
def test_a_file_that_does_not_fit_says_where(squeezenet, net, options, message):
    with pytest.raises(archdsl.WeightsError, match=message):
        archdsl.load(net, weights=squeezenet[1] / "own.pth", **options)


def test_a_file_of_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, ("raise SystemExit('run')",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(archdsl.WeightsError):
        archdsl.load("resnet18", weights=tmp_path / "evil.pth")


def test_a_file_without_weights(tmp_path):
    torch.save({"epoch": 1}, tmp_path / "none.pth")
    with pytest.raises(archdsl.WeightsError, match="no weights by name"):
        archdsl.load("resnet18", weights=tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("left", "right", "name", "expected"),
    [
        ("features.stage{i}.unit{j}", "layer{i}.{j-1}", "features.stage2.unit3.conv.weight", "layer2.2.conv.weight"),
        ("stage{i}.trans{i}", "transition{i-1}", "stage2.trans2.bn", "transition1.bn"),
        ("stage{i}.trans{i}", "transition{i-1}", "stage2.trans3.bn", "stage2.trans3.bn"),
        ("output", "fc", "my_output.weight", "my_output.weight"),
        ("conv", "c", "conv1.conv.weight", "conv1.c.weight"),
        ("a.{i}", "b.{i+10}", "a.5.w", "b.15.w"),
    ],
)
def test_rules_rewrite_whole_components(left, right, name, expected):
    assert rule(left, right)(name) == expected


class Layers(torch.nn.Module):
    """Two layers one after another under names that begin and end alike."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.fc2 = torch.nn.Linear(4, 3), torch.nn.Linear(3, 4)


def given(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: torch.randn_like(value) for name, value in Layers().state_dict().items()} | more


@pytest.mark.parametrize(
    ("lines", "name", "expected"),
    [
        ([("a", "b"), ("b", "c")], "a.weight", "c.weight"),  # a rule sees what the one before has made
        ([("conv", "c")], "conv.conv.weight", "c.conv.weight"),  # the first place alone
        ([("b{i}", "c{i}")], "ab1.b2.weight", "ab1.c2.weight"),
        ([("b{i}", "c{i}")], "b1x.weight", "b1x.weight"),
        ([("u{i}.v{i}", "w{i+1}"), ("u", "y")], "u2.v2.u.weight", "w3.y.weight"),
        ([("u{i}.v{i}", "w{i+1}")], "u2.v3.weight", "u2.v3.weight"),
    ],
)
def test_rules_apply_one_after_the_other(lines, name, expected):
    assert renamed({name: torch.ones(1)}, [rule(*line) for line in lines]) == {expected: torch.ones(1)}


def test_what_has_nothing_on_its_right_side_is_left_out():
    rules = [rule("index", ""), rule("table", "bias.weight")]
    state = {name: torch.ones(1) for name in ("a.index", "a.index2", "a.table")}
    assert list(renamed(state, rules)) == ["a.index2", "a.bias.weight"]


def test_weights_go_where_their_names_say():
    model, state = Layers(), given()
    rules = {"good": [rule("one", "fc"), rule("two", "fc2")], "bad": [rule("one", "fc2")], "worse": [rule("x", "y")]}
    theirs = {name.replace("fc2", "two").replace("fc", "one"): value for name, value in state.items()}
    carry_over(model, theirs, rules)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "partly", "message"),
    [
        ({"other": torch.ones(2)}, False, "has `other`"),
        ({"fc.weight": torch.ones(4, 3)}, False, r"`fc.weight` is \[4, 3\] in the file and \[3, 4\] in the network"),
        ({"fc.weight": None}, False, "lacks `fc.weight`"),
        ({"fc.weight": None}, True, "lacks `fc.weight`"),  # a part of a network needs all of its own weights
    ],
)
def test_what_does_not_fit_is_refused(change, partly, message):
    state = {name: value for name, value in given(**change).items() if value is not None}
    with pytest.raises(archdsl.WeightsError, match=message):
        carry_over(Layers(), state, {}, partly=partly)


def test_a_linear_layer_is_a_convolution_of_one_pixel():
    """Axes of size 1 at the ends may differ, as between `nn.Linear` and a 1x1 convolution; nothing else may."""
    model = torch.nn.Sequential(torch.nn.Conv2d(4, 3, 1))
    weight, bias = torch.randn(3, 4), torch.randn(3)
    carry_over(model, {"0.weight": weight, "0.bias": bias}, {})
    assert torch.equal(model[0].weight[:, :, 0, 0], weight) and torch.equal(model[0].bias, bias)
    carry_over(model, {"0.weight": weight[None] + 1, "0.bias": bias[:, None, None]}, {})  # of a batch of one
    assert torch.equal(model[0].weight[:, :, 0, 0], weight + 1)
    for shape in ((4, 3), (3, 4, 1, 2), (3, 1, 4), (12,), (3, 2, 2)):
        with pytest.raises(archdsl.WeightsError, match="in the network"):
            carry_over(model, {"0.weight": torch.randn(shape), "0.bias": bias}, {})


def test_a_part_takes_what_it_needs_of_a_whole():
    model, state = Layers(), given(other=torch.ones(2))
    carry_over(model, state, {}, partly=True)
    assert torch.equal(model.fc2.bias, state["fc2.bias"])


def test_a_name_that_begins_with_module_is_a_name(tmp_path):
    """`module.` is cut where nn.DataParallel wrote it, before every name."""
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "some.pth")
    torch.save({"module.a": torch.ones(1), "module.b": torch.ones(1)}, tmp_path / "all.pth")
    assert set(read(tmp_path / "some.pth")) == {"module.a", "b"}
    assert set(read(tmp_path / "all.pth")) == {"a", "b"}


@pytest.mark.parametrize("name", initializers.ROWS)
def test_initializers_say_what_differs_from_pytorchs_own(name):
    """An argument is left out where it is the default of the function in torch, and nowhere else."""
    row = initializers.ROWS[name]
    own = {p.name: p.default for p in inspect.signature(getattr(torch.nn.init, row.function)).parameters.values()}
    assert row.torch_defaults.items() <= own.items()
