"""ONNX Runtime and OpenVINO, which people run networks with on a CPU, as ways of `benchmarks.networks`.

    pip install ".[bench]"

Each is there where its packages are. Both read and write memory of PyTorch's tensors, so that no call copies anything
that a user of the engine would not have to copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec

import torch
from torch import nn

Way = Callable[[torch.Tensor], torch.Tensor]  # what it returns is overwritten by the next call

NEEDS = {"ONNX Runtime": ("onnxruntime", "onnx", "onnxscript"), "OpenVINO": ("openvino",)}


def installed(engine: str) -> bool:
    """Say whether all that an engine needs is there."""
    return all(find_spec(package) for package in NEEDS[engine])


def versions() -> dict[str, str]:
    """Return the versions of the packages that the ways ran with."""
    return {package: version(package) for engine in NEEDS if installed(engine) for package in NEEDS[engine]}


def engines(model: nn.Module, x: torch.Tensor) -> dict[str, Callable[[], Way]]:
    """Return how each engine that is installed prepares a network for inputs like x."""
    found = {"ONNX Runtime": onnx_runtime, "OpenVINO": open_vino}
    return {engine: lambda make=make: make(model, x) for engine, make in found.items() if installed(engine)}


def onnx_runtime(model: nn.Module, x: torch.Tensor) -> Way:
    """Prepare a network with all optimizations of ONNX Runtime, its default."""
    import numpy
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's own code
        program = torch.onnx.export(model, (x,), dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    y = torch.empty(given.shape)
    binding = session.io_binding()
    binding.bind_output(given.name, "cpu", 0, numpy.float32, y.shape, y.data_ptr())

    def run(x: torch.Tensor) -> torch.Tensor:
        binding.bind_input(taken.name, "cpu", 0, numpy.float32, x.shape, x.data_ptr())
        session.run_with_iobinding(binding)
        return y

    return run


def open_vino(model: nn.Module, x: torch.Tensor) -> Way:
    """Prepare a network with OpenVINO for one call at a time, in float32, which its CPU plugin leaves where it may."""
    import openvino

    network = openvino.convert_model(model, example_input=x, input=list(x.shape))
    compiled = openvino.Core().compile_model(
        network,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        },
    )
    y = torch.empty(list(compiled.output(0).shape))
    request = compiled.create_infer_request()
    request.set_output_tensor(openvino.Tensor(y.numpy(), shared_memory=True))

    def run(x: torch.Tensor) -> torch.Tensor:
        request.set_input_tensor(openvino.Tensor(x.numpy(), shared_memory=True))
        request.infer()
        return y

    return run
