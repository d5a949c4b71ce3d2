"""OpenVINO on a CPU, for one call at a time, in float32, with as many threads as PyTorch has."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from archdsl.diagnostics.extras import Needing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.inference.engines.program import Run


def prepare(model: bytes, batch: int | None = None) -> Run:
    """Return a function that runs a model of ONNX on float32 tensors, prepared for a batch where its batch is open.

    Inputs are contiguous, and read where they lie; results are written into the tensors that are given for them, or
    are new ones.
    """
    found = core().read_model(model)
    if batch is not None:
        found.reshape({x: [batch, *list(x.partial_shape)[1:]] for x in found.inputs})
    return compiled(found)


def core() -> Any:
    """Return OpenVINO's own start of everything."""
    with Needing("the engine `openvino`"):
        import openvino
    return openvino.Core()


def compiled(model: Any) -> Run:
    """Return a function that runs a model of OpenVINO; see `prepare`."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # where a CPU has bfloat16, it would be taken
    }
    request = core().compile_model(model, "CPU", settings).create_infer_request()
    lock = Lock()  # a request is one at a time

    def run(inputs: Sequence[torch.Tensor], results: Sequence[torch.Tensor] = ()) -> list[torch.Tensor]:
        with lock:
            for number, x in enumerate(inputs):
                request.set_input_tensor(number, openvino.Tensor(x.numpy(), shared_memory=True))
            for number, y in enumerate(results):
                request.set_output_tensor(number, openvino.Tensor(y.numpy(), shared_memory=True))
            request.infer()
            return list(results) or [torch.from_numpy(tensor.data.copy()) for tensor in request.output_tensors]

    return run


def version() -> str:
    """Return what it is called, with its version."""
    import openvino

    return f"OpenVINO {openvino.__version__.split('-')[0]}"
