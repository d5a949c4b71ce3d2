"""Files of ONNX as texts: each is held to ONNX Runtime, whose inputs and weights are drawn at random.

The networks are those that ONNX itself ships for its backends, and what PyTorch's two exporters make.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, parser

import archdsl
from archdsl.cli.main import main
from archdsl.importer import ImportFailed, NoSource, imported
from archdsl.inference.engines.program import quiet
from tests.importer import modules

pytestmark = pytest.mark.usefixtures("one_thread")  # threads of two engines wait for each other
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
AUTO = torch.export.Dim.AUTO


# -------------------------------------------------------------------------------------------------- networks of ONNX
def weighted(name, folder):
    """Write one of ONNX's own networks, which have the same number everywhere, with weights at random."""
    model = onnx.load(DATA / "light" / f"light_{name}.onnx")
    graph, source = model.graph, np.random.default_rng(0)
    known = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    use = {given: (node.op_type, place) for node in graph.node for place, given in enumerate(node.input)}
    nodes = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        shape = [int(size) for size in known[node.input[0]]]
        if len(shape) > 1:
            value = source.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5
        elif use[node.output[0]] in (("BatchNormalization", 1), ("BatchNormalization", 4), ("Unsqueeze", 0)):
            value = source.uniform(0.5, 1.5, shape)
        else:
            value = 0.1 * source.standard_normal(shape)
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), node.output[0]))
    del graph.node[:]
    graph.node.extend(nodes)
    model.ir_version = 7  # from 4 on, constants need not be inputs
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return str(path)


# Names of modules are in none of them: blocks are what lies between two tensors that every path goes through.
NETWORKS = {
    "squeezenet": 13,
    "shufflenet": 29,
    "resnet50": 23,
    "inception_v1": 25,
    "inception_v2": 90,
    "densenet121": 35,
}
QUICK = ("squeezenet", "shufflenet")


@pytest.mark.parametrize(
    ("name", "lines"),
    [one if one[0] in QUICK else pytest.param(*one, marks=pytest.mark.slow) for one in NETWORKS.items()],
)
def test_a_network_of_onnx(tmp_path, name, lines):
    found = imported(weighted(name, tmp_path))
    assert found.verified.reference <= 2e-5 and len(found.text.splitlines()) <= lines
    assert "\nblock " in found.text
    assert found.report().count("the one size that the file has") == 1


def test_its_weights_are_carried(tmp_path):
    path = weighted("squeezenet", tmp_path)
    assert main(["import", path, "-o", str(tmp_path / "net.arch")]) == 0
    assert sorted(os.listdir(tmp_path)) == ["net.arch", "net.safetensors", "squeezenet.onnx"]
    x = torch.randn(1, 3, 224, 224)
    made = archdsl.load(str(tmp_path / "net.safetensors")).eval()(x)
    wanted = torch.from_numpy(_session(path).run(None, {"data_0": x.numpy()})[0])
    assert (made.flatten() - wanted.flatten()).abs().max() <= 1e-5 * wanted.abs().max()
    assert main(["check", str(tmp_path / "net.arch")]) == 0


def _session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


# -------------------------------------------------------------------------------------------------- PyTorch's exporters
def exported(model, path, free=True, dynamo=True):
    torch.manual_seed(0)
    x = torch.zeros(2, 3, 32, 32)
    words = {"dynamo": dynamo, "input_names": ["x"]}
    if dynamo:
        words |= {"external_data": False, "dynamic_shapes": ({0: AUTO, 2: AUTO, 3: AUTO},) if free else None}
    elif free:
        words["dynamic_axes"] = {"x": [0, 2, 3]}
    with quiet():
        torch.onnx.export(model.eval(), (x,), str(path), **words)
    return str(path)


@pytest.mark.parametrize("dynamo", [True, False])
def test_scopes_of_an_exporter_are_blocks(tmp_path, dynamo):
    found = imported(exported(modules.Residual(), tmp_path / "residual.onnx", dynamo=dynamo))
    assert found.text.count("\nblock ") == 1 and "shortcut: conv(channels, 1, stride=stride)" in found.text, found.text
    assert "stages: [" in found.text and "fc: linear(classes)" in found.text
    assert len(found.verified.sizes) == 2 and not found.rules  # whose names would they be?


def test_margins_of_tensorflow(tmp_path):
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3, H, W] x) => (float[N, 4, P, Q] y)
    <float[4, 3, 3, 3] w> { y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w) }"""
    found = imported(drawn(text, tmp_path))
    assert 'conv(4, 3, stride=2, pad="same", bias=false)' in found.text


# -------------------------------------------------------------------------------------------------- operators
def drawn(text, folder, size="H"):
    """Write a graph, whose constants without values are drawn at random."""
    source = np.random.default_rng(1)
    declared = re.findall(r"float\[([\d, ]+)\] (\w+)(?=[,>])", text)
    model = parser.parse_model(re.sub(r"<float\[.*?> \{", "{", text, flags=re.DOTALL))
    for shape, name in declared:
        value = source.uniform(0.5, 1.5, [int(size) for size in shape.split(",")]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    path = folder / "net.onnx"
    onnx.save(model, path)
    return str(path)


OPERATORS = {
    "Conv <pads = [0, 1, 0, 1], group = 2> (x, w)": ("float[6, 2, 1, 3] w", "conv("),
    "Conv <pads = [1, 1, 0, 0]> (x, w)": ("float[6, 4, 2, 2] w", "pad((1, 0, 1, 0))"),
    "Conv <group = 4> (x, w, b)": ("float[4, 1, 3, 3] w, float[4] b", "depthwise(3, pad=0)"),
    "ConvTranspose <strides = [2, 2], kernel_shape = [2, 2]> (x, w)": ("float[4, 6, 2, 2] w", "conv_transpose("),
    "BatchNormalization <epsilon = 0.001> (x, a, b, m, v)": ("float[4] a, float[4] b, float[4] m, float[4] v", "bn(eps=0.001)"),
    "InstanceNormalization (x, a, b)": ("float[4] a, float[4] b", "gn(4)"),
    "GroupNormalization <num_groups = 2> (x, a, b)": ("float[4] a, float[4] b", "gn(2)"),
    "LRN <size = 3, alpha = 0.001> (x)": ("", "lrn(size=3, alpha=0.001)"),
    "MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)": ("", "maxpool(3, stride=2, pad=1)"),
    "MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)": ("", "ceil=true"),
    "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)": ("", "count_pad=false"),
    "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x)": ("", "avgpool(3, stride=1, pad=1)"),
    "GlobalAveragePool (x)": ("", "global_avgpool"),
    "GlobalMaxPool (x)": ("", "global_maxpool"),
    "Mul (x, s)": ("float[1, 4, 1, 1] s", "scale(1.0, learned=true, per_channel=true)"),
    "Add (x, s)": ("float[4, 1, 1] s", "shift(0.0, learned=true, per_channel=true)"),
    "PRelu (x, s)": ("float[4, 1, 1] s", "prelu(per_channel=true)"),
    "LeakyRelu <alpha = 0.2> (x)": ("", "leaky_relu(slope=0.2)"),
    "Elu (x)": ("", "elu"),
    "HardSigmoid (x)": ("", "hardtanh"),
    "HardSigmoid <alpha = 0.16666667> (x)": ("", "hardsigmoid"),
    "HardSwish (x)": ("", "hardswish"),
    "Mish (x)": ("", "mish"),
    "Gelu <approximate = \"tanh\"> (x)": ("", "gelu(approximate=\"tanh\")"),
    "Softplus (x)": ("", "softplus"),
    "Softmax <axis = 1> (x)": ("", "softmax"),
    "ReduceMean <keepdims = 1> (x, axes)": ("int64[2] axes = {2, 3}", "global_avgpool"),
    "ReduceMax <keepdims = 1> (x, axes)": ("int64[1] axes = {1}", "max("),
    "Clip (x, low, high)": ("float low = {0.0}, float high = {6.0}", "relu6"),
    "Pad <mode = \"reflect\"> (x, pads)": ("int64[8] pads = {0, 0, 1, 2, 0, 0, 3, 4}", "pad((2, 4, 1, 3), mode=\"reflect\")"),
    "Resize <mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"> (x, , s)": (
        "float[4] s = {1.0, 1.0, 2.0, 3.0}", "upsample(scale=(2, 3))",
    ),
    "Resize <mode = \"linear\"> (x, , s)": ("float[4] s = {1.0, 1.0, 2.0, 2.0}", "mode=\"bilinear\""),
    "DepthToSpace <blocksize = 2, mode = \"CRD\"> (x)": ("", "pixel_shuffle(2)"),
    "Slice (x, a, b, c)": ("int64[1] a = {1}, int64[1] b = {-1}, int64[1] c = {1}", "slice(1, 3)"),
    "Slice (x, a, b, c)  ": ("int64[2] a = {1, 2}, int64[2] b = {9, 9}, int64[2] c = {2, 3}", "crop("),
    "Max (x, x)": ("", "maximum("),
    "Sum (x, x, x)": ("", "add("),
}  # fmt: skip


@pytest.mark.parametrize("call", OPERATORS)
def test_an_operator(tmp_path, call):
    constants, said = OPERATORS[call]
    fixed = ", ".join(one for one in re.split(r",(?![^{\[]*[}\]]) *", constants) if "=" in one)
    free = ", ".join(one for one in re.split(r",(?![^{\[]*[}\]]) *", constants) if one and "=" not in one)
    kept = f"<{fixed}>" if fixed else ""
    opset = 21 if "Group" in call else 20
    text = f'<ir_version: 10, opset_import: ["": {opset}]> net (float[2, 4, 11, 12] x) => (float[n, c, h, w] y) {kept} {{ y = {call} }}'
    model = parser.parse_model(text)
    source = np.random.default_rng(1)
    for shape, name in re.findall(r"float\[([\d, ]+)\] (\w+)", free):
        value = source.uniform(0.5, 1.5, [int(size) for size in shape.split(",")]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, tmp_path / "net.onnx")
    found = imported(str(tmp_path / "net.onnx"))
    assert said in found.text, found.text
    assert found.verified.reference <= 1e-5


PATTERNS = {  # what exporters make of one step
    "silu": "s = Sigmoid (x) y = Mul (x, s)",
    "mish": "p = Softplus (x) t = Tanh (p) y = Mul (x, t)",
    "hardswish": "a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c) y = Div (m, six)",
    "gelu": "d = Div (x, root) e = Erf (d) p = Add (e, one) m = Mul (x, p) y = Mul (m, half)",
    "sigmoid": "s = Sigmoid (x) t = Tanh (s) y = Mul (s, t)",  # which is none of them
}
NUMBERS = {"zero": 0, "one": 1, "half": 0.5, "three": 3, "six": 6, "root": 2**0.5}


@pytest.mark.parametrize("name", PATTERNS)
def test_what_exporters_make_of_one_step(tmp_path, name):
    text = f'<ir_version: 8, opset_import: ["": 17]> net (float[N, 4, H, W] x) => (float[N, 4, H, W] y) {{ {PATTERNS[name]} }}'
    model = parser.parse_model(text)
    for word, value in NUMBERS.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), word))
    onnx.save(model, tmp_path / "net.onnx")
    text = imported(str(tmp_path / "net.onnx")).text
    assert name in text and ("mul(" in text) == (name == "sigmoid")


@pytest.mark.parametrize("folder", sorted(path.name for path in (DATA / "pytorch-converted").glob("test_*2d*")))
def test_operators_of_onnxs_own_tests(folder):
    """Each is imported and right, or refused."""
    try:
        imported(str(DATA / "pytorch-converted" / folder / "model.onnx"))
    except (ImportFailed, NoSource) as refused:
        assert not re.search("differ|is refused|stands for no|where the module has", str(refused)), str(refused)


# -------------------------------------------------------------------------------------------------- what is refused
def graph(nodes, initializers=(), inputs=1, kind=TensorProto.FLOAT, functions=()):
    given = [helper.make_tensor_value_info(f"x{i}" if i else "x", kind, [1, 3, 8, 8]) for i in range(inputs)]
    made = [helper.make_tensor_value_info("y", kind, list("nchw"))]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        helper.make_graph(nodes, "net", given, made, list(initializers)), opset_imports=opsets, ir_version=8
    )


def outside(location):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 1, 1, 1], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return graph([helper.make_node("Conv", ["x", "w"], ["y"], group=3)], [tensor])


def array(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


RELU = helper.make_node("Relu", ["x"], ["y"])
BRANCH = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", 1, None)]
)
WRONG = {
    "empty": (b"", "is no network"),
    "no protobuf": (b"\xff" * 99, "is no network"),
    "cut off": (graph([RELU]).SerializeToString()[:-20], "is no network"),
    "another domain": (graph([helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft")]), "com.microsoft.Relu"),
    "unknown": (graph([helper.make_node("NonMaxSuppression", ["x", "x"], ["y"])]), "no step for `NonMaxSuppression`"),
    "branches": (
        graph(
            [helper.make_node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH)], [array("c", np.array(True))]
        ),
        "decides by values",
    ),
    "elsewhere": (outside("../../etc/passwd"), "not beside the file"),
    "absolute": (outside("/etc/passwd"), "not beside the file"),
    "not there": (outside("w.bin"), "w.bin"),
    "no input": (graph([helper.make_node("Relu", ["z"], ["y"])]), "is no network"),
    "two inputs": (graph([helper.make_node("Add", ["x", "x1"], ["y"])], inputs=2), "takes 2 inputs"),
    "halves": (graph([RELU], kind=TensorProto.FLOAT16), "its input is of the type 10"),
    "doubles": (
        graph([helper.make_node("Conv", ["x", "w"], ["y"])], [array("w", np.zeros((3, 3, 1, 1)))]),
        "float64, and float32 is read",
    ),
    "a tensor of 4 TB": (
        graph(
            [helper.make_node("ConstantOfShape", ["s"], ["w"]), helper.make_node("Conv", ["x", "w"], ["y"])],
            [array("s", np.array([1 << 20, 1 << 20, 1, 1]))],
        ),
        "a constant [1048576",
    ),
    "margins of 4 TB": (
        graph([helper.make_node("Pad", ["x", "p"], ["y"])], [array("p", np.array([0, 0, 1 << 20, 0, 0, 0, 0, 1 << 20]))]),
        "of more than",
    ),
    "weights of another size": (
        graph([helper.make_node("Conv", ["x", "w"], ["y"])], [array("w", np.zeros((3, 5, 1, 1), np.float32))]),
        "channels",
    ),
    "a size that lies": (
        graph(
            [helper.make_node("Conv", ["x", "w"], ["y"])],
            [TensorProto(name="w", data_type=1, dims=[9, 3, 1, 1], raw_data=b"\0" * 8)],
        ),
        "is no network",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_refused(tmp_path, capsys, monkeypatch, case):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "InferenceSession", None)  # nothing of such a file is run
    given, said = WRONG[case]
    path = tmp_path / "net.onnx"
    path.write_bytes(given if isinstance(given, bytes) else given.SerializeToString())
    status = main(["import", str(path), "-o", str(tmp_path / "net.arch")])
    assert status in (1, 2) and said in capsys.readouterr().err and os.listdir(tmp_path) == ["net.onnx"]


def test_what_another_engine_makes_of_it_counts(tmp_path, monkeypatch):
    from archdsl.importer.files import nodes

    model = graph([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.2)])
    onnx.save(model, tmp_path / "net.onnx")
    monkeypatch.setitem(nodes.CALLS, "LeakyRelu", lambda node, x, *_: torch.nn.functional.leaky_relu(x, 0.21))
    with pytest.raises(ImportFailed, match="by ONNX Runtime and here"):
        imported(str(tmp_path / "net.onnx"))


# -------------------------------------------------------------------------------------------------- wherever a name stands
@pytest.mark.parametrize("command", [["check"], ["cost"], ["compile"], ["diff", "lenet5"]])
def test_a_file_stands_where_a_name_may(tmp_path, capsys, command):
    path = drawn(
        """<ir_version: 8, opset_import: ["": 17]> net (float[N, 3, 16, 16] x) => (float[N, 4, 14, 14] y)
        <float[4, 3, 3, 3] w> { y = Conv (x, w) }""",
        tmp_path,
    )
    assert main([*command, path]) in (0, 1) and "108" in capsys.readouterr().out.replace("-61,598", "108")
