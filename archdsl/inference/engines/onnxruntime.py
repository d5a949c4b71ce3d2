"""ONNX Runtime on a CPU, with all of its optimizations and as many threads as PyTorch has."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from archdsl.diagnostics.extras import Needing
from archdsl.inference.engines.program import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.inference.engines.program import Run


def prepare(model: bytes, batch: int | None = None) -> Run:
    """Return a function that runs a model of ONNX on float32 tensors, prepared for a batch where its batch is open.

    Inputs are contiguous, and read where they lie; results are written into the tensors that are given for them, or
    are new ones.
    """
    with Needing("the engine `onnxruntime`"):
        import onnxruntime
    import numpy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if batch is not None:
        options.add_free_dimension_override_by_name(BATCH, batch)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    taken, given = [x.name for x in session.get_inputs()], [y.name for y in session.get_outputs()]

    binding, lock = session.io_binding(), Lock()  # making one for a call takes a third of the time that LeNet-5 does

    def run(inputs: Sequence[torch.Tensor], results: Sequence[torch.Tensor] = ()) -> list[torch.Tensor]:
        with lock:
            for name, x in zip(taken, inputs):
                binding.bind_input(name, "cpu", 0, numpy.float32, x.shape, x.data_ptr())
            for name, y in zip(given, results):
                binding.bind_output(name, "cpu", 0, numpy.float32, y.shape, y.data_ptr())
            for name in given[len(results) :]:
                binding.bind_output(name, "cpu")
            session.run_with_iobinding(binding)
            return list(results) or [torch.from_numpy(value) for value in binding.copy_outputs_to_cpu()]

    return run


def version() -> str:
    """Return what it is called, with its version."""
    import onnxruntime

    found: Any = onnxruntime.__version__
    return f"ONNX Runtime {found}"
