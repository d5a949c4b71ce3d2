"""One file with text and weights: back bit for bit, alone on another machine, and nobody's code in it."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import archdsl
from archdsl import CompileError, WeightsError, WeightsWarning, project
from tests.gallery.references import filled

SHARED = "block unit(c):\n    conv(c, 3) -> bn -> relu\n"
MINE = "from parts import unit\n\nnet mine(c=4):\n    input image: [N, 3, H=8, W=8]\n    a: unit(c) -> b: unit(2 * c)\n"


def same(a: nn.Module, b: nn.Module) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return list(one) == list(other) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(one.values(), other.values())
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"classes": 10, "in_channels": 1}),
        ("resnet18", {"norm": "gn(32)", "outputs": ["layer2", "layer4"]}),
        ("mobilenet_v1", {"width": 0.5}),
        ("hrnet_w18_small", {}),
        ("densenet121", {"growth": 12, "depths": (2, 3, 2, 2)}),
    ],
)
def test_a_network_comes_back_bit_for_bit(name, options, tmp_path):
    model = filled(archdsl.load(name, **options)).eval()
    archdsl.save(model, tmp_path / "m.safetensors")
    again = archdsl.load(tmp_path / "m.safetensors").eval()
    assert same(model, again) and all(p.requires_grad for p in again.parameters())
    x = torch.rand(1, options.get("in_channels", 3), 64, 64)
    with torch.no_grad():
        ours, theirs = model(x), again(x)
    pairs = zip(ours, theirs) if isinstance(ours, tuple) else [(ours, theirs)]
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_sweep_of_a_saved_network_keeps_what_it_was_saved_with(tmp_path):
    archdsl.save(archdsl.load("mobilenet_v1", width=0.25, classes=10), tmp_path / "m.safetensors")
    (row,) = archdsl.sweep(str(tmp_path / "m.safetensors"), resolution=[160])
    wanted = archdsl.check("mobilenet_v1", width=0.25, classes=10, resolution=160)
    assert (row["params"], row["macs"]) == (wanted.params, wanted.macs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_are_kept(dtype, tmp_path):
    model = filled(archdsl.load("lenet5").to(dtype))
    archdsl.save(model, tmp_path / "m.safetensors")
    assert same(model, archdsl.load(tmp_path / "m.safetensors"))
    assert archdsl.load(tmp_path / "m.safetensors", dtype="float32").state_dict().popitem()[1].dtype == torch.float32


def test_imported_texts_lie_in_the_file(tmp_path, monkeypatch):
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "parts.arch").write_text(SHARED)
    (folder / "mine.arch").write_text(MINE)
    model = filled(archdsl.load(folder / "mine.arch", c=6))
    archdsl.save(model, tmp_path / "m.safetensors")
    (folder / "parts.arch").unlink()
    (folder / "mine.arch").unlink()
    (tmp_path / "parts.arch").write_text("block unit(c):\n    relu\n")  # another one beside the file
    again = archdsl.load(tmp_path / "m.safetensors")
    assert same(model, again) and again.b[0].out_channels == 12
    archdsl.save(again, tmp_path / "twice.safetensors")
    said = []
    for name in ("m", "twice"):
        with safe_open(tmp_path / f"{name}.safetensors", "pt") as file:
            said.append(file.metadata())
    assert said[0] == said[1]


def test_another_process_needs_nothing_else(tmp_path):
    model = filled(archdsl.loads("net tiny(c=4):\n    input image: [N, 3, H=8, W=8]\n    conv(c, 3) -> relu", c=5))
    archdsl.save(model, tmp_path / "m.safetensors")
    code = "import archdsl; print(archdsl.load('m.safetensors')[0].weight.double().sum().item())"
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert float(out) == model[0].weight.double().sum().item()


def test_commands_take_it_without_torch(tmp_path):
    archdsl.save(archdsl.load("resnet18", classes=10), tmp_path / "m.safetensors")
    code = (
        "import sys; from archdsl.cli.main import main; main(['check', '--shapes', 'm.safetensors'])\n"
        "main(['diff', 'resnet18', 'm.safetensors']); main(['check', 'm.safetensors', '--set', 'widht=2'])\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "linear(10)" in done.stdout and "11,181,642 parameters" in done.stdout
    assert "linear(1000)" in done.stdout and "no parameter `widht`" in done.stderr


def test_parameters_that_are_given_replace_those_that_were_saved(tmp_path):
    model = filled(archdsl.load("resnet18", classes=10))
    archdsl.save(model, tmp_path / "m.safetensors")
    with pytest.warns(WeightsWarning, match="`fc` is new") as said:
        other = archdsl.load(tmp_path / "m.safetensors", classes=3)
    assert said[0].filename == __file__
    assert other.fc.out_features == 3 and torch.equal(other.conv1.weight, model.conv1.weight)
    with pytest.raises(WeightsError, match="does not fit this network of 218 tensors"):
        archdsl.load(tmp_path / "m.safetensors", net="resnet34")


def test_a_new_head_is_saved_as_such_and_other_changes_are_not(tmp_path):
    model = archdsl.reset_classifier(archdsl.load("resnet18"), 7)
    archdsl.save(model, tmp_path / "m.safetensors")
    assert same(model, archdsl.load(tmp_path / "m.safetensors"))
    model.conv1 = nn.Conv2d(4, 64, 7)
    with pytest.raises(WeightsError, match=r"no longer that of its text: `conv1\.weight` is \[64, 4, 7, 7\]"):
        archdsl.save(model, tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match=r"Conv2d is no network that `archdsl.load` has made"):
        archdsl.save(nn.Conv2d(3, 4, 3), tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match=r"`\.safetensors` file"):
        archdsl.save(archdsl.load("lenet5"), tmp_path / "m.pth")


def test_an_imported_module_is_saved_with_its_weights(tmp_path):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.reduce, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

        def forward(self, x):
            return torch.relu(self.norm(self.reduce(x)))

    module = filled(nn.Sequential(Block(), nn.Conv2d(4, 2, 1))).eval()
    archdsl.save(archdsl.import_module(module, (1, 3, 16, 16), name="small").load(), tmp_path / "m.safetensors")
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(archdsl.load(tmp_path / "m.safetensors").eval()(x), module(x))


def test_others_read_it_as_weights(tmp_path):
    model = filled(archdsl.load("lenet5"))
    archdsl.save(model, tmp_path / "m.safetensors")
    assert {name: value.shape for name, value in load_file(tmp_path / "m.safetensors").items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        said = json.loads(file.metadata()["archdsl"])
    assert said["texts"][0]["text"] == Path(project.path_of("lenet5")).read_text()
    assert archdsl.load("lenet5", weights=tmp_path / "m.safetensors") is not None


def header(metadata: object) -> bytes:
    text = json.dumps({"__metadata__": metadata}).encode()
    return struct.pack("<Q", len(text)) + text


GOOD = {"net": "n", "params": {}, "in_channels": None, "outputs": []}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no file of safetensors"),
        (b"\xff" * 64, "no file of safetensors"),
        (struct.pack("<Q", 5) + b"{nope", "no file of safetensors"),
        (header({}), "holds weights and no network"),
        (header({"archdsl": "{"}), "another version"),
        (header({"archdsl": "[]"}), "another version"),
        (header({"archdsl": json.dumps({"version": 2, "texts": [], "asked": GOOD})}), "another version"),
        (header({"archdsl": json.dumps({"version": 1, "texts": [], "asked": GOOD})}), "another version"),
    ],
)
def test_files_that_hold_no_network_are_told(data, said, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(data)
    with pytest.raises(CompileError, match=said):
        archdsl.load(tmp_path / "m.safetensors")


def test_a_strangers_file_reads_no_other_and_runs_nothing(tmp_path):
    secret = tmp_path / "secret.arch"
    secret.write_text(SHARED)
    text = "from secret import unit\nnet n:\n    input i: [N, 3, H=8, W=8]\n    unit(4)\n"
    for name, imports in (("../secret.arch", {}), (str(secret), {}), ("n.arch", {"secret": 5})):
        texts = [{"name": name, "text": text, "imports": imports}]
        saved = json.dumps({"version": 1, "texts": texts, "asked": GOOD})
        save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors", {"archdsl": saved})
        with pytest.raises(CompileError, match="no architecture file `secret`|another version"):
            archdsl.load(tmp_path / "m.safetensors")
    assert sorted(os.listdir(tmp_path)) == ["m.safetensors", "secret.arch"]
