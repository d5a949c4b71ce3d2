"""A graph as a program with a flat list of tensors as its result, and that program as ONNX."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import fx
from torch.fx.experimental import _config as config
from torch.utils import _pytree as pytree

from archdsl.diagnostics.extras import Needing

Rebuild = Callable[[Sequence[torch.Tensor]], Any]
Run = Callable[..., "list[torch.Tensor]"]  # of inputs, and where it is known what they are, memory for the results
LARGEST = (1 << 31) - 1  # bytes of a message of protobuf, which a model of ONNX is
BATCH = "N"  # what the batch is called where it is open


class Impossible(TypeError):
    """A network that cannot run elsewhere, and why."""


def flat(graph: fx.GraphModule) -> tuple[fx.GraphModule, Rebuild]:
    """Return a graph that returns a tuple of its results, each once, and what makes the result of the network of them.

    The graph shares the weights of the one that is given.
    """
    calls = fx.Graph()
    leaves, spec = pytree.tree_flatten(_result(calls.graph_copy(graph.graph, {})))
    nodes = list(dict.fromkeys(leaf for leaf in leaves if isinstance(leaf, fx.Node)))
    calls.output(tuple(nodes))
    places = [nodes.index(leaf) if isinstance(leaf, fx.Node) else -1 for leaf in leaves]

    def rebuild(found: Sequence[torch.Tensor]) -> Any:
        if spec.is_leaf():
            return found[0]
        return pytree.tree_unflatten([found[at] if at >= 0 else leaf for at, leaf in zip(places, leaves)], spec)

    made = fx.GraphModule(graph, calls, type(graph).__name__).eval()
    calls.eliminate_dead_code()
    made.recompile()
    return made, rebuild


def _result(value: Any) -> Any:
    """Return a result with nodes in it; a named tuple, which a graph makes in a step of its own, as one."""
    if isinstance(value, fx.Node) and isinstance(value.target, type) and hasattr(value.target, "_fields"):
        return value.target(*value.args, **value.kwargs)
    return value


@contextmanager
def quiet() -> Iterator[None]:
    """Keep exporters from telling what they do, on stdout, as warnings and in logs; a mistake is an exception."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def exported(graph: fx.GraphModule, inputs: Sequence[torch.Tensor], shapes: Any = None) -> Any:
    """Return a flat graph as an `ExportedProgram`, for inputs like these, or where `shapes` says so of other sizes.

    Raises `Impossible` where `torch.export` cannot follow it, as where it decides by values.
    """
    try:
        with quiet(), torch.no_grad(), config.patch(backed_size_oblivious=True):  # maps of one pixel are no other case
            how: dict[str, Any] = {"strict": False, "prefer_deferred_runtime_asserts_over_guards": True}
            return torch.export.export(graph, tuple(inputs), dynamic_shapes=shapes, **how)
    except Exception as problem:  # whatever it says of a network that it does not take
        raise Impossible(f"torch.export does not take it: {in_a_line(problem)}") from problem


def as_onnx(program: Any, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> Any:
    """Return an exported program as a model of ONNX, its inputs and outputs under these names."""
    with Needing("a network as ONNX"):
        import onnx  # noqa: F401 — what `torch.onnx` needs, and says less clearly
        import onnxscript  # noqa: F401
    names = {"input_names": list(inputs) or None, "output_names": list(outputs) or None}
    try:
        with quiet():
            return torch.onnx.export(program, dynamo=True, verbose=False, **names).model_proto
    except Exception as problem:  # an operator that it has no words for
        raise Impossible(f"torch.onnx does not take it: {in_a_line(problem)}") from problem


def serialized(model: Any) -> bytes:
    """Return a model of ONNX as it is written to a file."""
    if model.ByteSize() > LARGEST:
        raise Impossible(f"its {model.ByteSize() / 1e9:.1f} GB are more than a model of ONNX holds, 2 GiB")
    return bytes(model.SerializeToString())


def in_a_line(problem: BaseException) -> str:
    """Return the first line with words of what an exporter says."""
    lines = [line.strip() for line in str(problem).splitlines()]
    return next((line for line in lines if len(line) > 8), type(problem).__name__)[:300]


def difference(found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Return the largest error, relative to the largest value of each tensor; infinite where shapes or signs differ.

    Where PyTorch has no finite number, the other has to have the same.
    """
    if len(found) != len(expected):
        return float("inf")
    return max([_error(y, z) for y, z in zip(found, expected)], default=0.0)


def _error(found: torch.Tensor, expected: torch.Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    finite = expected.isfinite()
    if (
        not torch.equal(found[~finite].nan_to_num(), expected[~finite].nan_to_num())
        or not found[finite].isfinite().all()
    ):
        return float("inf")
    y, z = found.detach()[finite].double(), expected.detach()[finite].double()
    if not z.numel():
        return 0.0
    return float((y - z).abs().max() / z.abs().max().clamp(min=1e-30))
