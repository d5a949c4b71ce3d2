"""`archdsl.export`: files that other programs run, held to PyTorch, with what is known of the network in them."""

from __future__ import annotations

import json

import onnx
import openvino
import pytest
import torch
from torch import nn

import archdsl
from archdsl.cli.main import main
from archdsl.deploy import formats
from archdsl.deploy.formats import FORMATS
from archdsl.deploy.sizes import dynamic, is_fixed, shapes_of, tried
from archdsl.diagnostics import CompileError
from archdsl.inference.engines import onnxruntime
from archdsl.inference.engines import openvino as vino
from archdsl.inference.engines.program import difference
from archdsl.run.origin import origin_of
from tests.inference.test_inference import filled

pytestmark = pytest.mark.usefixtures("one_thread")
# what is added needs heights and widths that 4 divides
TEXT = '''"""A ladder: ≥ 模型."""
net ladder(width=4):
    input image: [N, 3, H=16, W=24]
    stem = image -> a: [conv(width, 3, bias=false), bn, relu]
    down = stem -> b: [maxpool(2) * 2, conv(width, 3), upsample(4)]
    c: add(stem, down) -> head: conv(2, 1)
'''
SUFFIX = {name: one.ending for name, one in FORMATS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("deploy")
    (found / "ladder.arch").write_text(TEXT, encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def model(folder):
    return filled(archdsl.load(folder / "ladder.arch", width=5, outputs=["a", "head"]))


@pytest.fixture(scope="module", params=FORMATS)
def written(request, folder, model):
    """A file of each format that takes every legal size."""
    path = folder / f"ladder{SUFFIX[request.param]}"
    return request.param, path, archdsl.export(model, path, dynamic=True)


def runner(format: str, path):
    """Run a file with what the engine itself offers."""
    if format == "onnx":
        return onnxruntime.prepare(path.read_bytes())
    if format == "openvino":
        return vino.compiled(vino.core().read_model(path))
    program = torch.export.load(path).module()
    return lambda inputs: program(*inputs)


# -------------------------------------------------------------------------------------------------- files
@torch.no_grad()
def test_a_file_takes_every_legal_size(written, model):
    format, path, _ = written
    run = runner(format, path)
    legal = archdsl.legal_sizes(path.parent / "ladder.arch")
    sizes = [size for size in range(1, 30) if size in legal["H"]]
    assert sizes == list(range(4, 30, 4))
    for n, (h, w) in enumerate(zip(sizes, reversed(sizes)), 1):
        x = torch.randn(n, 3, h, w)
        assert difference(list(run([x])), list(model(x))) < 1e-5, (n, h, w)


def test_a_program_refuses_the_other_sizes(folder, model):
    archdsl.export(model, folder / "refuses.pt2", dynamic=True)
    run = runner("pt2", folder / "refuses.pt2")
    with pytest.raises((AssertionError, RuntimeError)):
        run([torch.randn(1, 3, 16, 18)])


KEYS = ("name", "text", "sizes", "settings", "dynamic")


def about(format: str, path) -> dict[str, str]:
    """Return what a file says of its network, by the means of its format."""
    if format == "onnx":
        return {entry.key.removeprefix("archdsl."): entry.value for entry in onnx.load(path).metadata_props}
    if format == "openvino":
        found = openvino.Core().read_model(path)
        return {key: found.get_rt_info(["archdsl", key]).astype(str) for key in KEYS}
    extra = dict.fromkeys([f"archdsl.{key}" for key in KEYS], "")
    torch.export.load(path, extra_files=extra)
    return {key.removeprefix("archdsl."): value for key, value in extra.items()}


def test_a_file_says_what_it_is(written):
    format, path, _ = written
    said = about(format, path)
    assert said["name"] == "ladder" and said["text"] == TEXT and said["dynamic"] == "true"
    assert json.loads(said["settings"]) == {"width": "5"}
    legal = archdsl.legal_sizes(path.parent / "ladder.arch")
    assert json.loads(said["sizes"]) == json.loads(json.dumps({name: one.to_dict() for name, one in legal.items()}))


def test_what_was_compared_is_said(written):
    _, path, made = written
    assert made.paths[0] == str(path) and made.error < 1e-5 and made.engine
    assert made.tried == (((1, 3, 16, 24),), ((3, 3, 12, 20),), ((1, 3, 4, 4),))
    assert "differs from PyTorch by" in str(made) and "1x3x16x24 and 3x3x12x20 and 1x3x4x4" in repr(made)


def test_names_are_those_of_the_text(folder, written):
    format, path, _ = written
    if format == "onnx":
        graph = onnx.load(path).graph
        assert [x.name for x in graph.input] == ["image"] and [y.name for y in graph.output] == ["output0", "output1"]
        assert not any("BatchNorm" in node.op_type for node in graph.node)


def test_one_size_and_another_input(folder):
    made = archdsl.export(folder / "ladder.arch", folder / "one.onnx", sizes=((2, 3, 8, 12),), in_channels=None)
    (shape,) = [[d.dim_value for d in x.type.tensor_type.shape.dim] for x in onnx.load(folder / "one.onnx").graph.input]
    assert shape == [2, 3, 8, 12] and made.tried == (((2, 3, 8, 12),),)


def test_weights_and_a_model_that_trains(folder, model):
    torch.save(model.state_dict(), folder / "ladder.pth")
    given = {"width": 5, "weights": folder / "ladder.pth"}
    archdsl.export(folder / "ladder.arch", folder / "weighed.onnx", outputs=["a", "head"], **given)
    x = torch.randn(1, 3, 16, 24)
    assert difference(runner("onnx", folder / "weighed.onnx")([x]), list(model(x))) < 1e-5
    training = archdsl.loads(TEXT).train()
    training.a[1].eval()  # a norm that is frozen
    modes = [layer.training for layer in training.modules()]
    archdsl.export(training, folder / "training.pt2")
    assert [layer.training for layer in training.modules()] == modes and modes.count(False) == 1
    assert all(p.requires_grad for p in training.parameters())


# -------------------------------------------------------------------------------------------------- sizes
def test_which_sizes_vary():
    lenet, hrnet = (origin_of(archdsl.load(name)) for name in ("lenet5", "hrnet_w18_small"))
    assert {one.rule() for one in lenet.legal[False]} == {"fixed: 32 to 35"} and not any(
        map(is_fixed, lenet.legal[False])
    )
    assert set(dynamic(lenet, exact=True)[0]) == {0, 2, 3} and set(dynamic(hrnet, exact=False)[0]) == {0, 2, 3}
    assert shapes_of(lenet) == [(1, 1, 32, 32)]
    legal = hrnet.legal[False][0]
    assert all(size in legal for shapes in tried(hrnet) for size in shapes[0][2:])
    (axes,) = dynamic(
        origin_of(archdsl.loads("net n:\n    input i: [N, 3, H=8, W=8]\n    flatten -> linear(2)")), exact=True
    )
    assert set(axes) == {0}, "one height and one width are legal"


# -------------------------------------------------------------------------------------------------- mistakes
def test_another_file_is_not_replaced(folder, model):
    for format, suffix in SUFFIX.items():
        path = folder / f"mine{suffix}"
        path.write_text("of somebody else")
        with pytest.raises(CompileError, match="there is a file that archdsl did not write, which `--force` replaces"):
            archdsl.export(model, path)
        assert path.read_text() == "of somebody else", format
    archdsl.export(model, folder / "mine.pt2", force=True)
    archdsl.export(model, folder / "mine.pt2")  # which is archdsl's own now


def test_weights_beside_a_description_are_not_replaced(folder, model):
    (folder / "beside.bin").write_bytes(b"of somebody else")
    with pytest.raises(CompileError, match=r"beside\.bin`: there is a file that archdsl did not write"):
        archdsl.export(model, folder / "beside.xml")
    archdsl.export(model, folder / "again.xml")
    archdsl.export(model, folder / "again.xml")


@pytest.mark.parametrize(
    ("name", "format", "words"),
    [
        ("a.txt", None, "the name ends in .onnx or .pt2 or .xml"),
        ("a.pt2", "onnx", "the name ends in .onnx"),
        ("a.onnx", "tflite", "it is one of onnx, pt2, openvino"),
        ("no/such/folder/a.pt2", None, "cannot write `no/such/folder/a.pt2`"),
    ],
)
def test_a_wrong_name_or_format(name, format, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CompileError, match=words.replace(".", r"\.")):
        archdsl.export("lenet5", name, format=format)
    assert not list(tmp_path.iterdir())


def test_what_gives_another_result_is_not_written(tmp_path, monkeypatch):
    right = FORMATS["onnx"]

    def wrong(files, folder):
        run = right.run(files, folder)
        return lambda inputs: [y * 1.01 for y in run(inputs)]

    monkeypatch.setitem(formats.FORMATS, "onnx", right.replace(run=wrong))
    with pytest.raises(
        archdsl.ExportFailed, match=r"lenet5 as onnx: the file gives another result at 1x1x32x32, off by"
    ):
        archdsl.export("lenet5", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(formats.FORMATS, "onnx", right.replace(run=lambda files, folder: None))
    made = archdsl.export("lenet5", tmp_path / "a.onnx")
    assert "not compared with PyTorch: nothing that runs it is installed" in str(made)


def test_modules_of_others_are_imported_first(tmp_path):
    with pytest.raises(TypeError, match="`archdsl import` makes a text of other modules"):
        archdsl.export(nn.Conv2d(3, 4, 3), tmp_path / "a.onnx")
    with pytest.raises(TypeError, match="a module is exported as it is"):
        archdsl.export(archdsl.load("lenet5"), tmp_path / "a.onnx", classes=3)


# -------------------------------------------------------------------------------------------------- the command
def test_the_command(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["export", "ladder.arch", "--set", "width=3", "-o", "command.pt2"]) == 0
    assert capsys.readouterr().out.startswith("wrote command.pt2: 0.0 MB, differs from PyTorch by ")
    assert main(["export", "odenet", "-o", "odenet.pt2"]) == 1
    said = capsys.readouterr().err
    assert "error: odenet as pt2: torch.export does not take it: " in said and said.endswith("Nothing was written.\n")
    assert main(["export", "ladder.arch", "--weights", "no_such.pth", "-o", "never.onnx"]) == 2
    assert "no file `no_such.pth`" in capsys.readouterr().err
    torch.save({"a": torch.zeros(1)}, "other.pth")
    assert main(["export", "ladder.arch", "--weights", "other.pth", "-o", "never.onnx"]) == 2
    (folder / "theirs.onnx").write_text("of somebody else")
    assert main(["export", "ladder.arch", "-o", "theirs.onnx"]) == 2
    assert main(["export", "ladder.arch", "--input", "1x3x16x18"]) == 1
    assert not (folder / "never.onnx").exists() and not (folder / "odenet.pt2").exists()


def test_a_package_that_is_missing_is_named(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    assert main(["export", "ladder.arch", "-o", "never.onnx"]) == 2
    said = capsys.readouterr().err
    assert "a network as ONNX needs onnxscript, which is not installed" in said and '"archdsl[deploy]"' in said
