"""`archdsl.export(int8=...)`: files in int8, held to integers by hand, to the engines and to digits that are recognized."""

from __future__ import annotations

import numpy
import onnx
import openvino
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

import archdsl
from archdsl.cli.main import main
from archdsl.deploy.formats import FORMATS
from archdsl.deploy.int8 import LOST, MEAN, STD, by_channel, by_tensor, images_of, lost
from archdsl.inference.engines import onnxruntime
from archdsl.inference.engines import openvino as vino
from tests.digits import accuracy, digits, train
from tests.inference.test_inference import filled

pytestmark = pytest.mark.usefixtures("one_thread")
# Depthwise layers and a residual block, as in MobileNet v2.
TEXT = """
default conv(bias=false), depthwise(bias=false)
net small(classes=10):
    input image: [N, 1, H=8, W=8]
    stem: [conv(16, 3), bn, relu6]
    block: add(identity, [[conv(64, 1), bn, relu6], [depthwise(3), bn, relu6], [conv(16, 1), bn]])
    down: [[conv(64, 1), bn, relu6], [depthwise(3, stride=2), bn, relu6], [conv(32, 1), bn]]
    global_avgpool -> flatten -> head: linear(classes)
"""
FORMATS_OF_INT8 = [name for name, one in FORMATS.items() if one.quantize is not None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("int8")


@pytest.fixture(scope="module")
def model(folder, one_thread):
    (folder / "small.arch").write_text(TEXT)
    torch.manual_seed(0)
    return train(archdsl.load(folder / "small.arch"), 100)


@pytest.fixture(scope="module", params=FORMATS_OF_INT8)
def written(request, folder, model):
    path = folder / f"small{FORMATS[request.param].ending}"
    return path, archdsl.export(model, path, int8=digits()[0][:256], dynamic=True)


def runner(path):
    """Run a file with what the engine itself offers."""
    if path.suffix == ".onnx":
        return onnxruntime.prepare(path.read_bytes())
    return vino.compiled(vino.core().read_model(path))


WITH_WEIGHTS = ("Convolution", "GroupConvolution", "MatMul")


def types_below(op) -> set:
    """Return the types of the constants that an operation is made of."""
    if op.get_type_name() == "Constant":
        return {op.get_element_type()}
    return set().union(*[types_below(value.get_node()) for value in op.input_values()])


# -------------------------------------------------------------------------------------------------- files
def test_digits_are_recognized_as_in_float(written, model):
    path, made = written
    run = runner(path)
    assert accuracy(model) > 0.93
    assert abs(accuracy(lambda x: run([x.contiguous()])[0]) - accuracy(model)) <= 0.01
    assert (made.int8.calibrated, made.int8.held) == (192, 64)
    assert made.int8.agreement > 0.95 and 0 < made.int8.error < 0.1
    held = digits()[0][:256][3::4].contiguous()
    with torch.no_grad():
        y, z = run([held])[0], model(held)
    assert made.int8.error == pytest.approx(float((y - z).norm() / (z - z.mean()).norm()), rel=1e-3)


def test_a_file_in_int8_takes_every_legal_size(written, model):
    path, made = written
    x = torch.rand(3, 1, 12, 16)
    assert made.dynamic
    with torch.no_grad():
        assert lost(runner(path)([x])[0], model(x)) < 0.5


def test_what_is_stored_has_eight_bits_and_a_scale_a_channel(written, model):
    path, made = written
    if path.suffix == ".onnx":
        graph = onnx.load(path).graph
        stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        assert not [node for node in graph.node if node.op_type == "BatchNormalization"], "norms are folded first"
        reading = [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
        weights = [
            (stored[node.input[0]], stored[node.input[1]]) for node in reading if stored[node.input[0]].ndim == 4
        ]
        assert len(weights) == 7 and all(w.dtype == numpy.int8 and s.shape == w.shape[:1] for w, s in weights)
    else:
        layers = [op for op in vino.core().read_model(path).get_ordered_ops() if op.get_type_name() in WITH_WEIGHTS]
        assert len(layers) == 8
        for op in layers:  # what is reshaped first, the weights of groups, is rounded by OpenVINO as it reads the file
            source = op.input_value(1).get_node()
            rounded = source.get_type_name() == "FakeQuantize" and op.get_type_name() == "GroupConvolution"
            assert rounded or openvino.Type.i8 in types_below(source), op
    weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    assert (
        made.int8.float_bytes - made.bytes > 1.5 * weights or path.suffix == ".xml"
    )  # small: descriptions are most of it


def test_a_file_says_what_it_is(written):
    path, _ = written
    assert b"archdsl" in path.read_bytes()
    assert archdsl.export(path.parent / "small.arch", path, format=None).int8 is None, "a file of ours is replaced"


# -------------------------------------------------------------------------------------------------- layers
def test_layers_have_names_kinds_and_losses(written, model):
    _, made = written
    layers = {layer.name: layer for layer in made.int8.layers}
    named = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)}
    assert layers.keys() == named.keys()
    assert {name for name, layer in layers.items() if layer.kind == "depthwise"} == {
        name for name, m in named.items() if getattr(m, "groups", 1) > 1
    }
    assert all(layers[name].weights >= m.weight.numel() for name, m in named.items())  # widened for an engine
    assert all(0 < layer.error < LOST and not layer.float for layer in layers.values())


def test_rounding_is_that_of_integers():
    torch.manual_seed(0)
    weight, x = torch.randn(5, 3, 2, 2, dtype=torch.float64).float(), torch.randn(4, 3, 6, 6) + 1
    for channel, rounded in zip(weight.numpy(), by_channel(weight).numpy()):
        step = numpy.abs(channel).max() / 127
        assert numpy.allclose(rounded, numpy.rint(channel / step) * step, atol=1e-6)
        assert len(numpy.unique(numpy.rint(rounded / step))) <= 255
    step = (x.max() - x.min()) / 255
    assert len(by_tensor(x).unique()) <= 256 and float((by_tensor(x) - x).abs().max()) <= 0.51 * float(step)
    assert by_tensor(torch.zeros(3)).equal(torch.zeros(3)) and by_channel(torch.zeros(2, 3)).equal(torch.zeros(2, 3))
    assert float(by_tensor(x.clamp(min=0)).min()) == 0, "zero, which padding is, is exact"


def test_loss_is_noise_by_signal_of_each_channel():
    torch.manual_seed(0)
    z = torch.randn(8, 3, 5, 5) * torch.tensor([1.0, 100.0, 0.0]).view(1, 3, 1, 1)
    noise = 0.1 * torch.randn_like(z) * torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert lost(z + noise, z) == pytest.approx(0.05, rel=0.1), "the mean of 0.1 and 0; a channel of zeros says nothing"
    assert lost(z, z) == lost(0 * z, 0 * z) == 0


@pytest.mark.parametrize("format", FORMATS_OF_INT8)
def test_a_depthwise_layer_that_loses_too_much_stays_in_float(folder, format):
    """Its input has channels of very different sizes, which its weights make up for: the same function as before."""
    path = folder / "uneven.arch"
    path.write_text(
        "net uneven:\n    input image: [N, 3, H=16, W=16]\n    stem: [conv(32, 3, bias=false), bn, relu]\n"
        "    apart: [depthwise(3, bias=false), bn, relu]\n    mixed: [conv(32, 1, bias=false), bn, relu]\n"
        "    global_avgpool -> flatten -> head: linear(10)\n"
    )
    torch.manual_seed(0)
    model, size = filled(archdsl.load(path)).eval(), 10 ** torch.linspace(-4, 0, 32)
    with torch.no_grad():
        for parameter in model.stem[1].parameters():
            parameter.mul_(size)
        model.apart[0].weight.div_(size.view(-1, 1, 1, 1))
    made = archdsl.export(model, folder / f"uneven{FORMATS[format].ending}", int8=torch.randn(64, 3, 16, 16))
    assert [layer.name for layer in made.int8.layers if layer.float] == ["apart.0"]
    assert made.int8.error < 0.9 * made.int8.all_error
    assert "in float: apart.0" in str(made)


# -------------------------------------------------------------------------------------------------- images
def test_a_folder_of_images_is_what_a_network_takes(folder, tmp_path):
    source = numpy.random.default_rng(0)
    pixels = source.integers(0, 255, (4, 8, 12, 3), numpy.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no image")
    found = images_of(tmp_path, (1, 3, 8, 8))
    assert found.shape == (4, 3, 8, 8)
    middle = pixels[:, :, 2:10].astype(numpy.float32) / 255
    expected = (middle - numpy.float32(MEAN)) / numpy.float32(STD)
    assert numpy.allclose(found.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)
    assert images_of(tmp_path, (1, 1, 4, 6)).shape == (4, 1, 4, 6)


def test_a_file_of_images_gives_the_same_file(folder, model, tmp_path):
    images = digits()[0][:32]
    numpy.save(tmp_path / "images.npy", images.numpy())
    archdsl.export(model, tmp_path / "one.onnx", int8=images)
    archdsl.export(model, tmp_path / "other.onnx", int8=tmp_path / "images.npy")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "small.pt2", "--int8", "images.npy"], "int8 is there for onnx and openvino"),
        (["-o", "small.onnx", "--int8", "few.npy"], "at least 4 images are needed, Nx1x8x8, and 3x1x8x8 were given"),
        (["-o", "small.onnx", "--int8", "other.npy"], "Nx1x8x8, and 8x3x8x8 were given"),
        (["-o", "small.onnx", "--int8", "missing.npy"], "No such file"),
        (["-o", "small.onnx", "--int8", "small.arch"], "no array of numbers"),
        (["-o", "small.onnx", "--int8", "empty"], "a folder has images"),
        (["-o", "small.onnx", "--int8", "broken"], "it is no image"),
    ],
)
def test_what_cannot_be_calibrated_on_is_a_diagnostic(tmp_path, monkeypatch, arguments, words, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.arch").write_text(TEXT)
    for name, shape in {"images": (8, 1, 8, 8), "few": (3, 1, 8, 8), "other": (8, 3, 8, 8)}.items():
        numpy.save(f"{name}.npy", numpy.zeros(shape))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "one.png").write_bytes(b"no image")
    assert main(["export", "small.arch", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".onnx", ".pt2")]


def test_two_inputs_are_not_calibrated(tmp_path, capsys):
    (tmp_path / "two.arch").write_text(
        "net two:\n    input a: [N, 3, H=8, W=8]\n    input b: [N, 3, H=8, W=8]\n    add(a, b) -> conv(4, 3)\n"
    )
    numpy.save(tmp_path / "images.npy", numpy.zeros((8, 3, 8, 8)))
    arguments = [
        "export",
        str(tmp_path / "two.arch"),
        "-o",
        str(tmp_path / "two.onnx"),
        "--int8",
        str(tmp_path / "images.npy"),
    ]
    assert main(arguments) == 2
    assert "a network with one input is calibrated, not with a, b" in capsys.readouterr().err
