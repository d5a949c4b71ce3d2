"""The formats that `export` writes: how a program becomes a file, and how a file is run."""

from __future__ import annotations

import io
import os
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from archdsl.core.record import Record
from archdsl.deploy.about import MARK
from archdsl.diagnostics.extras import Needing
from archdsl.inference.engines import installed, onnxruntime, openvino
from archdsl.inference.engines.program import as_onnx, quiet, serialized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archdsl.inference.engines.program import Run


class Names(Record):
    """What the inputs and the results of a network are called in a file."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Format(Record):
    """A format: the name its files end in, how they are made and run, and what runs them.

    `write` returns the files by their endings; `run` takes them, and is None where its engine is not installed.
    `quantize` makes files in int8 of them, with batches of images to calibrate on, and names of modules that stay as
    they are; it is None where there is no int8.
    """

    ending: str
    passes: str  # the engine that the graph is made for
    write: Callable[[Any, Names, Mapping[str, str]], dict[str, bytes]]
    run: Callable[[Mapping[str, bytes], str], Run | None]
    engine: Callable[[], str]
    quantize: Callable[[Mapping[str, bytes], Sequence[torch.Tensor], Sequence[str]], dict[str, bytes]] | None = None


# -------------------------------------------------------------------------------------------------- ONNX
def _onnx(program: Any, names: Names, about: Mapping[str, str]) -> Any:
    model = as_onnx(program, names.inputs, names.outputs)
    model.graph.name = about["archdsl.name"]
    model.producer_name, model.producer_version = "archdsl", about[MARK]
    for key, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return model


def _write_onnx(program: Any, names: Names, about: Mapping[str, str]) -> dict[str, bytes]:
    return {".onnx": serialized(_onnx(program, names, about))}


def _run_onnx(files: Mapping[str, bytes], folder: str) -> Run | None:
    return onnxruntime.prepare(files[".onnx"]) if installed("onnxruntime") else None


def _quantize_onnx(
    files: Mapping[str, bytes], batches: Sequence[torch.Tensor], kept: Sequence[str]
) -> dict[str, bytes]:
    """Return a model with pairs of QuantizeLinear and DequantizeLinear around what is computed in int8."""
    with Needing("int8"):
        import onnx
        from onnxruntime import quantization
    weights = {f"{module}.weight" for module in kept}
    model = onnx.load_model_from_string(files[".onnx"])
    others = [node.name for node in model.graph.node if weights.intersection(node.input)]
    how: dict[str, Any] = {"per_channel": True, "activation_type": quantization.QuantType.QUInt8}
    if others:  # else what they read has eight bits all the same, as a result of another layer
        kinds = sorted({node.op_type for node in model.graph.node})
        how |= {"nodes_to_exclude": others, "extra_options": {"OpTypesToExcludeOutputQuantization": kinds}}
    with TemporaryDirectory() as folder, quiet():
        before, after = os.path.join(folder, "float.onnx"), os.path.join(folder, "int8.onnx")
        onnx.save(model, before)
        feeds = _feeds(quantization.CalibrationDataReader, model.graph.input[0].name, batches)
        quantization.quantize_static(before, after, feeds, **how)
        return {".onnx": _read(after)}


def _feeds(kind: type, name: str, batches: Sequence[torch.Tensor]) -> Any:
    """Return batches as ONNX Runtime asks for them."""

    class Feeds(kind):
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            return next(({name: x.numpy()} for x in self.left), None)

    return Feeds()


# -------------------------------------------------------------------------------------------------- .pt2
def _write_pt2(program: Any, names: Names, about: Mapping[str, str]) -> dict[str, bytes]:
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer, extra_files=dict(about))
    return {".pt2": buffer.getvalue()}


def _run_pt2(files: Mapping[str, bytes], folder: str) -> Run:
    with quiet():
        module = torch.export.load(io.BytesIO(files[".pt2"])).module()
    return lambda inputs: list(module(*inputs))


# -------------------------------------------------------------------------------------------------- OpenVINO
def _write_openvino(program: Any, names: Names, about: Mapping[str, str]) -> dict[str, bytes]:
    """Return a description and the weights; what is said of a network is below `archdsl` in `rt_info`."""
    with Needing("a network as OpenVINO's own files"):
        import openvino

    model = openvino.Core().read_model(serialized(as_onnx(program, names.inputs, names.outputs)))
    model.set_friendly_name(about["archdsl.name"])
    for key, value in about.items():
        model.set_rt_info(value, key.split("."))
    return _saved(model)


def _saved(model: Any) -> dict[str, bytes]:
    import openvino

    with TemporaryDirectory() as folder:
        openvino.save_model(model, os.path.join(folder, "network.xml"), compress_to_fp16=False)
        return {ending: _read(os.path.join(folder, "network" + ending)) for ending in (".xml", ".bin")}


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _loaded(files: Mapping[str, bytes], folder: str) -> Any:
    for ending, data in files.items():
        with open(os.path.join(folder, "network" + ending), "wb") as file:
            file.write(data)
    return openvino.core().read_model(os.path.join(folder, "network.xml"))


def _run_openvino(files: Mapping[str, bytes], folder: str) -> Run:
    return openvino.compiled(_loaded(files, folder))


def _quantize_openvino(
    files: Mapping[str, bytes], batches: Sequence[torch.Tensor], kept: Sequence[str]
) -> dict[str, bytes]:
    """Return a model with `FakeQuantize` around what is computed in int8, and weights in int8."""
    with Needing("int8 for OpenVINO"):
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    weights = {f"{module}.weight" for module in kept}
    with TemporaryDirectory() as folder, quiet():
        model = _loaded(files, folder)
        others = [op.get_friendly_name() for op in model.get_ordered_ops() if weights.intersection(_constants(op))]
        data, scope = nncf.Dataset([x.numpy() for x in batches]), nncf.IgnoredScope(names=others)
        # Of MobileNet v2 the whole ranges leave half of the error that NNCF's means of ranges leave, 6 % to 12 %.
        ranges = RangeEstimatorParametersSet.MINMAX
        how = {
            "preset": nncf.QuantizationPreset.MIXED,  # results of other activations than ReLU have zeros of their own
            "subset_size": len(batches),
            "advanced_parameters": nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges),
        }
        made = nncf.quantize(model, data, ignored_scope=scope, **how)
        return _saved(made)


def _constants(op: Any) -> set[str]:
    """Return the names of the weights of a convolution, which those of groups have reshaped."""
    if not op.get_type_name().endswith("Convolution"):
        return set()
    source = op.input_value(1).get_node()
    while source.get_type_name() in ("Reshape", "Convert"):
        source = source.input_value(0).get_node()
    return {source.get_friendly_name()}


FORMATS = {
    "onnx": Format(".onnx", "onnxruntime", _write_onnx, _run_onnx, onnxruntime.version, _quantize_onnx),
    "pt2": Format(".pt2", "torch", _write_pt2, _run_pt2, lambda: f"PyTorch {torch.__version__}"),
    "openvino": Format(".xml", "openvino", _write_openvino, _run_openvino, openvino.version, _quantize_openvino),
}


def is_ours(path: str) -> bool:
    """Say whether `export` has written a file, or may take its place: nothing is there, or nothing is in it."""
    if not os.path.isfile(path):
        return True  # a device or a pipe is written to
    data = _read(path)
    return not data or MARK.encode() in data or b"<archdsl>" in data
