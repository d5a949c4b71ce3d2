"""The network that is trained: from a name, a file or a module, made to fit the data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.compiler import Request, compiled
from archdsl.core.record import Record
from archdsl.core.sizes import Size
from archdsl.run.load import load
from archdsl.run.mistakes import InputError, TrainingError
from archdsl.run.origin import origin_of
from archdsl.run.transfer import freeze
from archdsl.saved import linked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archdsl.ops.custom import Custom
    from archdsl.run.hub import Weights
    from archdsl.run.origin import Origin
    from archdsl.training.data import Data


class Asked(Record):
    """What is asked of a network: weights, classes, parameters of its text, steps that stay, layers of the caller's."""

    weights: Weights | None = None
    classes: int | None = None
    net: str | None = None
    params: Mapping[str, Any] = {}
    freeze: Sequence[str] = ()
    until: str | None = None
    operators: Sequence[type[Custom]] = ()


class Subject(Record):
    """A network with the place of its main result among those of training, and the height and width of its input."""

    model: nn.Module
    origin: Origin
    main: int
    size: tuple[int, int]


def subject(network: str | os.PathLike[str] | nn.Module, asked: Asked, data: Data) -> Subject:
    """Return a network for some data: with as many classes and channels as those have, unless it is a module already.

    Raises `CompileError` and `WeightsError` as `archdsl.load` does, and `TrainingError` for a label that means no
    step, and where the network takes no single image.
    """
    model = network if isinstance(network, nn.Module) else load(network, **_arguments(network, asked, data))
    origin = origin_of(model)
    if origin is None:
        raise TrainingError("only a network that `archdsl.load` has made is trained: its text is kept with its weights")
    if asked.freeze or asked.until:
        try:
            freeze(model, *asked.freeze, until=asked.until)
        except ValueError as problem:
            raise TrainingError(str(problem)) from None
    outputs = compiled("", file=linked(origin.saved, operators=asked.operators)).network.scope.outputs
    return Subject(model, origin, next(i for i, one in enumerate(outputs) if not one.training), _size(origin, data))


def _arguments(network: str | os.PathLike[str], asked: Asked, data: Data) -> dict[str, Any]:
    """Return what `archdsl.load` is asked for."""
    params = dict(asked.params)
    scope = compiled(network, Request(asked.net, params, operators=asked.operators)).network.scope
    if asked.classes is not None and asked.classes < len(data.classes):
        raise TrainingError(f"{asked.classes} classes are fewer than the {len(data.classes)} of the data")
    if asked.classes is not None or (dict(scope.args).keys() >= {"classes"} and "classes" not in params):
        params["classes"] = asked.classes or len(data.classes)
    shape = scope.shapes[scope.inputs[0]]
    others = {} if len(shape) != 4 or shape[1] == data.channels else {"in_channels": data.channels}
    return {"net": asked.net, "weights": asked.weights, "operators": asked.operators, **others, **params}


def _size(origin: Origin, data: Data) -> tuple[int, int]:
    """Return the default height and width of the one input, which is an image."""
    shapes = [shape for _, shape in origin.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise TrainingError(f"{origin.name} does not take one image, [N, C, H, W]")
    _, channels, height, width = [dim.symbol.default if isinstance(dim, Size) else int(dim) for dim in shapes[0]]
    if channels != data.channels:
        raise TrainingError(f"{origin.name} takes {channels} channels, and {data.name} has images of {data.channels}")
    return height, width


def scores(subject: Subject, size: tuple[int, int], data: Data) -> int:
    """Run the network once, on nothing, and return how many scores it gives.

    Raises `TrainingError` where it takes no image of this size, or does not give a score for each class.
    """
    training, like = subject.model.training, next(subject.model.parameters())
    try:
        with torch.no_grad():
            result = subject.model.eval()(torch.zeros(1, data.channels, *size, device=like.device))
    except InputError as mistake:
        raise TrainingError(f"{mistake}; `crop` of the recipe says another size") from None
    finally:
        subject.model.train(training)
    if not isinstance(result, torch.Tensor) or result.dim() != 2 or result.shape[1] < len(data.classes):
        shown = list(result.shape) if isinstance(result, torch.Tensor) else "several tensors"
        wanted = f"[N, {len(data.classes)}], a score for each class of {data.name}"
        raise TrainingError(f"{subject.origin.name} gives {shown}, and is to give {wanted}")
    return int(result.shape[1])
