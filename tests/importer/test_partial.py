"""Steps that the language does not have as layers in Python: the text with them is the module, at sizes of all kinds."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archdsl
from archdsl.cli.main import main
from archdsl.importer import ImportFailed, import_module
from tests.importer import modules

pytestmark = pytest.mark.usefixtures("one_thread")


class Rolled(nn.Module):
    """Attention of heads by hand, on a map that has been shifted; in training some of it is dropped."""

    def __init__(self, width, heads=2):
        super().__init__()
        self.heads, self.qkv, self.scale = heads, nn.Conv2d(width, 3 * width, 1), nn.Parameter(torch.ones(width))
        self.register_buffer("shift", torch.full((1, 1, 1, 1), 0.25))

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = self.qkv(torch.roll(x, (1, 2), (2, 3))).view(n, 3, self.heads, c // self.heads, h * w).unbind(1)
        share = F.dropout((q.transpose(-2, -1) @ k).softmax(-1), 0.5, self.training)
        made = (v @ share.transpose(-2, -1)).reshape(n, c, h, w)
        made += self.shift
        return x + made * self.scale.view(1, -1, 1, 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(modules.StandardizedConv(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.blocks = nn.Sequential(Rolled(8), Rolled(8), nn.Conv2d(8, 16, 3, 2, 1), Rolled(16))
        self.pool, self.fc = nn.LPPool2d(2, 2), nn.Linear(16, 5)

    def forward(self, x):
        return self.fc(self.pool(self.blocks(self.stem(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    model = Net()
    return model, import_module(model, (1, 3, 32, 32), name="rolled", partial=True)


def test_without_it_nothing_is_written(found):
    with pytest.raises(ImportFailed, match="`stem.0`: the weight of `conv` is computed"):
        import_module(found[0], (1, 3, 32, 32))


def test_what_can_be_said_is_said(found):
    text, python = found[1].text, found[1].python
    assert "qkv: conv(24, 1)" in text and "fc: linear(classes)" in text and text.count("\nblock rolled") == 1
    assert "torch.roll(x, (1, 2), (2, 3))" in python and "lp_pool2d" in python
    assert python.count("(nn.Module):") == python.count("archdsl.operator(") == 5  # equal code is one layer
    assert "x.shape[2] * x.shape[3]" in python and "self.training" in python and ".add_" not in python
    assert "5 of its layers are Python, rolled_layers.py" in found[1].report()


def test_the_files_are_the_module(found, tmp_path, monkeypatch):
    model, made = found
    paths = made.write(tmp_path / "net.arch")
    assert [path.rpartition("/")[2] for path in paths] == ["net.arch", "rolled_layers.py", "net.keys"]
    monkeypatch.syspath_prepend(tmp_path)
    from rolled_layers import OPERATORS

    again = archdsl.load(tmp_path / "net.arch", weights=model.state_dict(), operators=OPERATORS)
    for shape in ((1, 3, 48, 80), (3, 3, 33, 41)):  # of which the import has seen none
        x = torch.randn(shape)
        with torch.no_grad():
            wanted = model.eval()(x)
            assert (again.eval()(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    checked = archdsl.check(tmp_path / "net.arch", operators=OPERATORS)
    # By hand: the standardized convolution, one of queries, keys and values, and attention of 16x16 places to each other.
    conv, qkv, attention = 16 * 16 * 27 * 8, 16 * 16 * 8 * 24, 2 * 256 * 256 * 8
    late = 64 * 72 * 16 + 64 * 16 * 48 + 2 * 64 * 64 * 16 + 16 * 5
    assert checked.macs == conv + 2 * (qkv + attention) + late
    del sys.modules["rolled_layers"]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = ["import", "tests.importer.test_partial:Net", "--input", "1x3x32x32", "-o", "net.arch"]
    assert main(source) == 1 and not list(tmp_path.iterdir())
    assert main([*source, "--partial"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.arch", "net.keys", "net_layers.py"]
    (tmp_path / "net.arch").unlink()
    assert main([*source, "--partial"]) == 2 and "net_layers.py" in capsys.readouterr().err  # it is not replaced


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (modules.Noisy(), "differ"),  # a layer is found, and gives other numbers each time
        (modules.Constant(), "a tensor that the module's code makes"),
        (modules.Owners(), "several modules apply"),
        (nn.LPPool2d(2, 2), "begins and ends with tensors of the language"),  # it would be all of it
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, nn.Module) else "",
)
def test_what_is_refused_all_the_same(model, said):
    with pytest.raises(ImportFailed) as refused:
        import_module(model, (1, 3, 16, 16), partial=True)
    assert said in str(refused.value)
