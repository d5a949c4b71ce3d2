"""Packages that only part of archdsl needs: a missing one is named, with the extra that brings it."""

from __future__ import annotations

from archdsl.diagnostics import errors
from archdsl.diagnostics.diagnostic import CompileError

EXTRAS = {  # package -> the extra that brings it; none where a plain installation does
    "PIL": "int8",
    "cairosvg": "draw",
    "huggingface_hub": "hub",
    "jinja2": "",
    "lark": "test",
    "lsprotocol": "lsp",
    "matplotlib": "plot",
    "nncf": "int8",
    "onnx": "deploy",
    "onnxruntime": "deploy",
    "onnxscript": "deploy",
    "openvino": "deploy",
    "optuna": "search",
    "pandas": "",
    "pygls": "lsp",
    "safetensors": "torch",
    "skimage": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "timm": "",
    "tomli": "train",
    "torch": "torch",
    "torchdiffeq": "torch",
    "torchvision": "train",
    "tqdm": "train",
    "yaml": "deploy",
}


class MissingPackage(CompileError, ImportError):
    """Something needs a package that is not installed."""


class Needing:
    """A block whose imports may fail; says what needs the package that is missing, and how it is installed.

    >>> with Needing("`archdsl.load`"):
    ...     import torch
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        """Do nothing: the block begins."""

    def __exit__(self, kind: object, mistake: BaseException | None, trace: object) -> None:
        package = (mistake.name or "").partition(".")[0] if isinstance(mistake, ModuleNotFoundError) else ""
        if package in EXTRAS:
            found = MissingPackage(errors.missing_extra(package, EXTRAS[package], self.what).diagnostic)
            found.name = package
            raise found from None
