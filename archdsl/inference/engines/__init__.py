"""Other engines that run a network on a CPU, where they are installed: ONNX Runtime and OpenVINO.

program      the portable graph as a program with a flat result, and as ONNX
onnxruntime  a model of ONNX there
openvino     a model of ONNX there, or one of its own
module       an engine as a module of PyTorch, and the fastest of several
"""

from __future__ import annotations

from importlib.util import find_spec

from archdsl.diagnostics.extras import Needing

NEEDS = {"onnxruntime": ("onnxruntime", "onnx", "onnxscript"), "openvino": ("openvino", "onnx", "onnxscript")}
CHOICES = ("torch", *NEEDS, "auto")


def installed(engine: str) -> bool:
    """Say whether all that an engine needs is there."""
    return all(find_spec(package) for package in NEEDS[engine])


def require(engine: str) -> None:
    """Raise `CompileError` where an engine is not installed; it says what brings it."""
    for package in NEEDS[engine]:
        if find_spec(package) is None:
            with Needing(f"the engine `{engine}`"):
                raise ModuleNotFoundError(name=package)
