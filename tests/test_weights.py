"""Weights from files: own names and those of other libraries, both formats, and files that do not fit."""

from __future__ import annotations

import pickle

import pytest
import torch
from references import REFERENCES, filled
from safetensors.torch import save_file

import archdsl
from archdsl.weights import rule

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
        (
            "squeezenet1_1",
            {"in_channels": 1},
            r"`features.0.weight` is \[64, 3, 3, 3\] in .* and \[64, 1, 3, 3\] in the",
        ),
        ("squeezenet1_1", {"classes": 7}, r"`classifier.1.weight` is .*, and 1 more differ"),
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
    with pytest.raises(pickle.UnpicklingError):
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
