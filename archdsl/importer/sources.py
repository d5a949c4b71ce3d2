"""Where a module comes from, by the name that a user types: a library's, or that of a function or class of Python."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.diagnostics.extras import Needing
from archdsl.importer.files.darknet import Darknet
from archdsl.importer.files.exported import exported
from archdsl.importer.files.onnx import onnx_file
from archdsl.importer.files.parts import Malformed
from archdsl.importer.files.yolo import yolo
from archdsl.importer.trace import results

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1 << 20  # characters of a file that are read
SIDE = 224  # height and width where nothing says another


class NoSource(Exception):
    """A name that leads to no module."""


@dataclass(frozen=True)
class Source:
    """A module, the shape of an input that it takes, the name of the net, and where it came from.

    `free` says which of its sizes may be others. A file has no training, and has weights: `reference` is who runs it
    beside the module that was made of it, by the name `engine`, and returns all results of an input.
    """

    model: nn.Module
    shape: tuple[int, ...]
    name: str
    origin: str = ""
    free: tuple[bool, ...] = ()
    trains: bool = True
    named: bool = True  # whether names of weights are those by which others know them
    reference: Callable[[torch.Tensor], list[torch.Tensor]] | None = None
    engine: str = ""


def opened(word: str) -> Source:
    """Return the module of `timm:NAME`, `torchvision:NAME`, `pytorchcv:NAME`, `package.module:attribute` or of a file.

    Weights are those that the module starts with, or those of the file: nothing is downloaded. Raises `NoSource`.
    """
    suffix = os.path.splitext(word)[1]
    if suffix in FILES:
        return _file(word, FILES[suffix])
    library, colon, name = word.partition(":")
    if not colon or not name:
        known = "`timm:NAME`, `torchvision:NAME`, `pytorchcv:NAME`, `package.module:attribute`"
        raise NoSource(f"`{word}` is no {known}, and no file: {', '.join(f'`{one}`' for one in FILES)}")
    try:
        return LIBRARIES[library](name) if library in LIBRARIES else _attribute(library, name)
    except RuntimeError as problem:  # what torchvision raises where it was built for another torch
        raise NoSource(f"{library} cannot be used: {' '.join(str(problem).split())}") from None


def _torchvision(name: str) -> Source:
    with Needing("`torchvision:` names"):
        from torchvision import models
    try:
        builder = models.get_model_builder(name)
    except ValueError:
        raise NoSource(f"torchvision has no model `{name}`{_near(name, models.list_models())}") from None
    words = inspect.signature(builder).parameters
    given: dict[str, Any] = {"weights": None}
    given |= {"weights_backbone": None} if "weights_backbone" in words else {}
    given |= {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    side = 299 if name == "inception_v3" else SIDE
    return Source(builder(**given), (1, 3, side, side), _name(name), f"torchvision {_version('torchvision')}")


def _timm(name: str) -> Source:
    with Needing("`timm:` names"):
        import timm
    if not timm.is_model(name):
        raise NoSource(f"timm has no model `{name}`{_near(name, timm.list_models())}")
    model = timm.create_model(name)
    shape = tuple(model.default_cfg["input_size"])
    return Source(model, (1, *shape), _name(name), f"timm {_version('timm')}")


def _pytorchcv(name: str) -> Source:
    with Needing("`pytorchcv:` names"):
        from pytorchcv.model_provider import _models, get_model
    if name not in _models:
        raise NoSource(f"pytorchcv has no model `{name}`{_near(name, list(_models))}")
    model = get_model(name)
    sides = tuple(getattr(model, "in_size", (SIDE, SIDE)))
    channels = int(getattr(model, "in_channels", 3))
    return Source(model, (1, channels, *sides), _name(name), f"pytorchcv {_version('pytorchcv')}")


LIBRARIES: dict[str, Callable[[str], Source]] = {"torchvision": _torchvision, "timm": _timm, "pytorchcv": _pytorchcv}


# -------------------------------------------------------------------------------------------------- files
def _file(path: str, read: Callable[[str, str], Source]) -> Source:
    """Return the network of a file; nothing of it is run but its layers."""
    try:
        return read(path, _name(os.path.splitext(os.path.basename(path))[0]))
    except (OSError, UnicodeDecodeError) as problem:
        raise NoSource(f"`{path}` cannot be read: {problem}") from None
    except Malformed as problem:
        raise NoSource(f"`{path}` is no network that is read:\n{problem}") from None


def _darknet(path: str, name: str) -> Source:
    with open(path, encoding="utf-8") as file:
        model = Darknet(file.read(MOST))
    return Source(model, (1, *model.shape), name, os.path.basename(path))


def _exported(path: str, name: str) -> Source:
    found = exported(path)
    return Source(
        found.model, found.shape, name, os.path.basename(path), found.free, False, True,
        lambda x: list(results(found.reference(x)).values()), "torch.export",
    )  # fmt: skip


def _onnx(path: str, name: str) -> Source:
    found = onnx_file(path)
    return Source(
        found.model,
        found.shape,
        name,
        os.path.basename(path),
        found.free,
        False,
        False,
        found.reference,
        "ONNX Runtime",
    )


def _yolo(path: str, name: str) -> Source:
    model = yolo(path)
    return Source(model, model.shape, name, os.path.basename(path))


FILES: dict[str, Callable[[str, str], Source]] = {
    ".onnx": _onnx,
    ".pt2": _exported,
    ".yaml": _yolo,
    ".yml": _yolo,
    ".cfg": _darknet,
}


def _attribute(package: str, name: str) -> Source:
    """Return what a function or a class of Python makes without arguments; the current folder is looked in, too."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it, and a script that an installation made has not
    try:
        found: Any = importlib.import_module(package)
    except ImportError as problem:
        raise NoSource(f"`{package}` cannot be imported: {problem}") from None
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            raise NoSource(f"`{package}` has no `{name}`")
    try:
        model = found if isinstance(found, nn.Module) else found()
    except TypeError as problem:
        raise NoSource(f"`{name}` makes no module without arguments: {problem}") from None
    if not isinstance(model, nn.Module):
        raise NoSource(f"`{name}` makes {type(model).__name__}, and no torch.nn.Module")
    return Source(model, (1, 3, SIDE, SIDE), _name(name), f"{package}:{name}")


def _name(word: str) -> str:
    """Return a name that a net may have."""
    made = re.sub(r"\W|^(?=\d)", "_", word).lower().strip("_")
    return made if made.isidentifier() else f"net_{made}"


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _near(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(name, names, 1)
    return f"; did you mean `{found[0]}`?" if found else ""
