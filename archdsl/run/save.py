"""A network in one file: its weights, and the text that it is made of, in their metadata."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

from archdsl.compiler import compiled
from archdsl.diagnostics import CompileError
from archdsl.diagnostics.extras import Needing
from archdsl.project import mode_of
from archdsl.run.load import instantiate
from archdsl.run.mistakes import WeightsError
from archdsl.run.origin import origin_of
from archdsl.saved import SUFFIX, linked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from archdsl.ops.custom import Custom
    from archdsl.run.origin import Origin
    from archdsl.saved import Saved

    Shapes = dict[str, tuple[int, ...]]


def save(model: nn.Module, path: str | os.PathLike[str], *, operators: Sequence[type[Custom]] = ()) -> None:
    """Write a network that `archdsl.load` has made, with its weights, to one `.safetensors` file.

    >>> import archdsl
    >>> model = archdsl.load("resnet18", classes=10)
    >>> archdsl.save(model, "mine.safetensors")
    >>> again = archdsl.load("mine.safetensors")
    >>> bool((again.fc.weight == model.fc.weight).all())
    True

    The text, the texts that it imports and the parameters stand in the metadata of the file, so that `archdsl.load`
    needs nothing else, and runs nobody's code; `operators` that the text was given are given again, here and there.
    Weights are kept bit for bit in the type that they have. Other programs read the file as weights.

    Raises `archdsl.WeightsError` for a module that `archdsl.load` has not made, for a path without the suffix, and for
    a network that is no longer that of its text, as one whose layers were replaced.
    """
    path = os.fspath(path)
    if not path.endswith(SUFFIX):
        raise WeightsError(f"{path} is to be a `{SUFFIX}` file")
    model = getattr(model, "_orig_mod", model)  # torch.compile's
    origin = origin_of(model)
    if origin is None:
        what = f"{type(model).__name__} is no network that `archdsl.load` has made"
        raise WeightsError(f"{what}: `archdsl.import_module` makes a text of it")
    state = model.state_dict()
    saved = _fitting(origin, {name: tuple(value.shape) for name, value in state.items()}, operators)
    with Needing(f"a `{SUFFIX}` file"):
        from safetensors.torch import save_file
    mode = mode_of(path)
    save_file({name: _own(value) for name, value in state.items()}, path, saved.metadata())
    os.chmod(path, mode)  # safetensors leaves a new file to its owner alone


def _own(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor that shares its memory with no other, as the file wants them."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _fitting(origin: Origin, shapes: Shapes, operators: Sequence[type[Custom]]) -> Saved:
    """Return the network to save, with as many classes as the model has: its head may have been replaced."""
    made = _shapes(origin.saved, operators)
    if made == shapes:
        return origin.saved
    counts = {shapes[f"{head}.weight"][0] for head in origin.heads if f"{head}.weight" in shapes}
    if len(counts) == 1:
        params = {**origin.saved.asked["params"], "classes": counts.pop()}
        other = origin.saved.replace(asked={**origin.saved.asked, "params": params})
        with suppress(CompileError):  # it has no classes
            if _shapes(other, operators) == shapes:
                return other
    name = next(name for name in {**made, **shapes} if made.get(name) != shapes.get(name))
    raise WeightsError(
        f"the network is no longer that of its text: `{name}` is {_said(shapes.get(name))}, and "
        f"{_said(made.get(name))} in the text"
    )


def _shapes(saved: Saved, operators: Sequence[type[Custom]]) -> Shapes:
    """Return the shapes of the weights of a saved network."""
    with torch.device("meta"):
        model = instantiate(compiled("", file=linked(saved, operators=operators)))
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _said(shape: tuple[int, ...] | None) -> str:
    return "not there" if shape is None else str(list(shape))
