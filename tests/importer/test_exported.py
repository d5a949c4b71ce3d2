"""Programs of `torch.export` as texts: held to what PyTorch makes of the same file; and archives that would run code."""

from __future__ import annotations

import io
import json
import os
import zipfile

import pytest
import torch
from torch import nn

import archdsl
from archdsl.cli.main import main
from archdsl.importer import ImportFailed, NoSource, import_module, imported, opened
from archdsl.inference.engines.program import quiet
from tests.importer import modules

pytestmark = pytest.mark.usefixtures("one_thread")
AUTO = torch.export.Dim.AUTO
FREE = ({0: AUTO, 2: AUTO, 3: AUTO},)


def saved(model, path, shape=(2, 3, 32, 32), free=None, decomposed=False, trains=False):
    torch.manual_seed(0)
    with quiet():
        program = torch.export.export(model.train(trains), (torch.zeros(shape),), dynamic_shapes=free, strict=False)
        torch.export.save(program.run_decompositions() if decomposed else program, path)
    return str(path)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program of any size, and the module of which it is."""
    model = modules.Residual()
    return saved(model, tmp_path_factory.mktemp("files") / "residual.pt2", free=FREE), model


def test_its_text_is_that_of_the_module(program):
    path, model = program
    found = imported(path)
    own = import_module(model, (1, 3, 32, 32), name="residual")
    assert found.text.split("\n")[1:] == own.text.split("\n")[1:]
    assert found.verified.training is None and found.verified.reference <= 1e-6 and len(found.verified.sizes) == 2
    assert found.report().endswith(f"the file's own outputs, by torch.export, differ by {found.verified.reference:.1g}")
    assert sorted(found.verified.keys) == sorted(model.state_dict())  # names of weights are kept


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_program_of_one_size(tmp_path, decomposed):
    found = imported(saved(modules.Residual(), tmp_path / "residual.pt2", decomposed=decomposed))
    assert "block unit(channels" in found.text and "at 32x32, the one size that the file has" in found.report()


def test_weights_are_written_beside_the_text(program, tmp_path, capsys):
    path, model = program
    assert main(["import", path, "-o", str(tmp_path / "net.arch")]) == 0
    assert sorted(os.listdir(tmp_path)) == ["net.arch", "net.safetensors"]
    x = torch.randn(2, 3, 40, 48)
    with torch.no_grad():
        wanted = torch.export.load(path).module()(x)
        for name, words in (
            ("net.arch", {"weights": str(tmp_path / "net.safetensors")}),
            ("net.arch", {"weights": model.state_dict()}),
            ("net.safetensors", {}),
        ):
            made = archdsl.load(str(tmp_path / name), **words).eval()
            assert (made(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
    (tmp_path / "net.arch").unlink()
    assert main(["import", path, "-o", str(tmp_path / "net.arch")]) == 2  # the weights are in the way
    assert "net.safetensors" in capsys.readouterr().err


def test_one_file_of_text_and_weights(program, tmp_path):
    path = tmp_path / "one.safetensors"
    assert main(["import", program[0], "-o", str(path)]) == 0 and os.listdir(tmp_path) == [path.name]
    assert archdsl.load(str(path)).fc.out_features == 10


class Several(nn.Module):
    """Calls that an exporter writes in other ways than a module does."""

    def __init__(self):
        super().__init__()
        self.conv, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 8, 2, 2)
        self.norm, self.group = nn.BatchNorm2d(8), nn.GroupNorm(2, 8)
        self.ln, self.fc = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        y = torch.nn.functional.elu(self.norm(self.conv(x)))
        y = torch.cat(list(y.split([3, 5], 1))[::-1], 1) + self.group(y)
        y = torch.nn.functional.max_pool2d(y, 3, 2, 1)
        y = torch.nn.functional.interpolate(self.up(y), scale_factor=2, mode="bilinear")
        y = y * torch.sigmoid(torch.nn.functional.adaptive_avg_pool2d(y, 1))
        y = self.ln(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return {"map": y[:, :4], "scores": self.fc(y.mean((2, 3)))}


@pytest.mark.parametrize(("free", "decomposed"), [(None, False), (None, True), (FREE, False)])
def test_steps_of_many_kinds(tmp_path, free, decomposed):
    found = imported(saved(Several(), tmp_path / "several.pt2", (2, 3, 24, 24), free, decomposed))
    assert found.verified.reference <= 1e-6 and "output map = " in found.text and "output scores = " in found.text


# -------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("model", "shape", "trains", "said"),
    [
        (modules.Noisy(), (2, 3, 16, 16), False, "rand_like"),
        (modules.Residual(), (2, 3, 16, 16), False, None),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), (2, 3, 8, 8), True, "after `model.eval()`"),
    ],
)
def test_what_cannot_be_read(tmp_path, model, shape, trains, said):
    path = saved(model, tmp_path / "net.pt2", shape, trains=trains)
    if said is None:
        imported(path)
        return
    with pytest.raises((ImportFailed, NoSource)) as wrong:
        imported(path)
    assert said in str(wrong.value)


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["ARCHDSL_EVIL"],))


def pickled():
    os.environ.setdefault("ARCHDSL_EVIL", "evil")
    buffer = io.BytesIO()
    torch.save((Evil(),), buffer)
    return buffer.getvalue()


def edited(path, to, edit):
    """Write an archive again, each of its files as `edit` says."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            new.writestr(name, edit(name, old.read(name)))
    return str(to)


def in_program(change):
    def edit(name, data):
        if not name.endswith("models/model.json"):
            return data
        found = json.loads(data)
        change(found)
        return json.dumps(found)

    return edit


def first_size(found):
    return found["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0]


CALL = "__import__('os').mkdir('evil')"
ATTACKS = {
    "inputs": (lambda name, data: pickled() if "sample_inputs/" in name else data, "example inputs"),
    "weights": (
        lambda name, data: data.replace(b'"use_pickle": false', b'"use_pickle": true') if "weights_config" in name else data,
        "is pickled",
    ),
    "objects": (
        lambda name, data: data.replace(b'"path_name": "weight_0"', b'"path_name": "custom_obj_0"') if "weights_config" in name else data,
        "is pickled",
    ),
    "size": (in_program(lambda f: first_size(f)["as_expr"].update(expr_str=CALL)), "is no size"),
    "attribute": (in_program(lambda f: first_size(f)["as_expr"].update(expr_str="Symbol.mro()")), "is no size"),
    "function": (in_program(lambda f: first_size(f)["as_expr"].update(expr_str="exit(3)")), "is no size"),
    "target": (in_program(lambda f: f["graph_module"]["graph"]["nodes"][0].update(target="torch.hub.load")), "torch.hub.load"),
    "operator": (
        in_program(lambda f: f["graph_module"]["graph"]["nodes"][0].update(target="_operator.methodcaller")),
        "methodcaller",
    ),
    "guards": (in_program(lambda f: f.update(guards_code=[CALL])), None),
    "json": (lambda name, data: data[:-9] if name.endswith("model.json") else data, "JSONDecodeError"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_archive_runs_nothing(program, tmp_path, monkeypatch, capsys, attack):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCHDSL_EVIL", str(tmp_path / "evil"))
    edit, said = ATTACKS[attack]
    path = edited(program[0], tmp_path / "net.pt2", edit)
    status = main(["import", path, "-o", "net.arch"])
    assert not (tmp_path / "evil").exists()
    if said is None:
        assert status == 0  # what nobody reads does no harm
        return
    assert status == 2 and said in capsys.readouterr().err and os.listdir(tmp_path) == ["net.pt2"]


@pytest.mark.parametrize(
    "more",
    ["data/weights/model.pt", "serialized_state_dict.pt", "data/aotinductor/model/a.so", "data/constants/custom_obj_0"],
)
def test_an_archive_of_another_time(program, tmp_path, more):
    path = edited(program[0], tmp_path / "net.pt2", lambda name, data: data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"residual/{more}", pickled())
    with pytest.raises(NoSource, match="might run code"):
        opened(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(program, tmp_path):
    path = edited(program[0], tmp_path / "net.pt2", lambda name, data: data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("residual/models/model.json", "{}")
    with pytest.raises(NoSource, match="two files of one name"):
        opened(path)


def test_a_batch_of_one_size(tmp_path):
    class Reshaped(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 6, 5)

        def forward(self, x):
            return self.fc(self.conv(x).reshape(3, -1))

    found = imported(saved(Reshaped(), tmp_path / "net.pt2", (3, 3, 8, 8)))
    assert found.verified.sizes == ((3, 3, 8, 8),) and "flatten" in found.text


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), b"no archive"])
def test_no_archive(tmp_path, data):
    (tmp_path / "net.pt2").write_bytes(data)
    with pytest.raises(NoSource, match="is no network that is read"):
        opened(str(tmp_path / "net.pt2"))
