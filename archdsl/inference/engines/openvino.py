"""OpenVINO on a CPU, for one call at a time, in float32, with as many threads as PyTorch has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import torch

from archdsl.diagnostics.extras import Needing

Run = Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]


def prepare(model: bytes, shapes: Sequence[tuple[int, ...]] | None = None) -> Run:
    """Return a function that runs a model of ONNX on float32 tensors of PyTorch, and returns new ones.

    `shapes` are those of its results, where they are known: it then writes them into memory of PyTorch's. Inputs are
    read where they lie.
    """
    return compiled(core().read_model(model), shapes)


def core() -> Any:
    """Return OpenVINO's own start of everything."""
    with Needing("the engine `openvino`"):
        import openvino
    return openvino.Core()


def compiled(model: Any, shapes: Sequence[tuple[int, ...]] | None = None) -> Run:
    """Return a function that runs a model of OpenVINO; see `prepare`."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # where a CPU has bfloat16, it would be taken
    }
    lock = Lock()  # a request is one at a time
    request = core().compile_model(model, "CPU", settings).create_infer_request()

    def run(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        xs = [x.detach().contiguous() for x in inputs]
        results = [torch.empty(shape) for shape in shapes or ()]
        with lock:
            for number, x in enumerate(xs):
                request.set_input_tensor(number, openvino.Tensor(x.numpy(), shared_memory=True))
            for number, y in enumerate(results):
                request.set_output_tensor(number, openvino.Tensor(y.numpy(), shared_memory=True))
            request.infer()
            return results or [torch.from_numpy(tensor.data.copy()) for tensor in request.output_tensors]

    return run


def version() -> str:
    """Return what it is called, with its version."""
    import openvino

    return f"OpenVINO {openvino.__version__.split('-')[0]}"
