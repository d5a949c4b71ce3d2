"""ONNX Runtime on a CPU, with all of its optimizations and as many threads as PyTorch has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from archdsl.diagnostics.extras import Needing

Run = Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]


def prepare(model: bytes, shapes: Sequence[tuple[int, ...]] | None = None) -> Run:
    """Return a function that runs a model of ONNX on float32 tensors of PyTorch, and returns new ones.

    `shapes` are those of its results, where they are known: it then writes them into memory of PyTorch's. Inputs are
    read where they lie.
    """
    with Needing("the engine `onnxruntime`"):
        import onnxruntime
    import numpy

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    taken, given = [x.name for x in session.get_inputs()], [y.name for y in session.get_outputs()]

    def run(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        binding = session.io_binding()
        xs = [x.detach().contiguous() for x in inputs]
        for name, x in zip(taken, xs):
            binding.bind_input(name, "cpu", 0, numpy.float32, x.shape, x.data_ptr())
        results = [torch.empty(shape) for shape in shapes or ()]
        for name, y in zip(given, results):
            binding.bind_output(name, "cpu", 0, numpy.float32, y.shape, y.data_ptr())
        for name in given[len(results) :]:
            binding.bind_output(name, "cpu")
        session.run_with_iobinding(binding)
        return results or [torch.from_numpy(value) for value in binding.copy_outputs_to_cpu()]

    return run


def version() -> str:
    """Return what it is called, with its version."""
    import onnxruntime

    found: Any = onnxruntime.__version__
    return f"ONNX Runtime {found}"
