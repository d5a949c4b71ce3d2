"""What a loaded network knows of its text: which inputs it takes, and where it ends.

An input that does not fit is met by some layer, whose words say little: `mat1 and mat2 shapes cannot be multiplied`.
What is wrong with it is looked for after a layer has failed, so that a call that succeeds pays for nothing but a `try`,
and scripted and traced code, which has `forward` alone, not even for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.analysis.ends import ends
from archdsl.analysis.legal import legal_sizes
from archdsl.core.record import Record
from archdsl.core.sizes import Size
from archdsl.diagnostics import CompileError
from archdsl.elaborate.values import show as show_value
from archdsl.ops.base import show
from archdsl.run.mistakes import InputError
from archdsl.saved import Saved, saved_form

if TYPE_CHECKING:
    from archdsl.analysis.legal import Legal
    from archdsl.compiler import Compiled
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network

ATTRIBUTE = "_archdsl"  # of a network, which a copy and a pickle have, too; no label starts so


class Origin(Record):
    """What is kept of a checked network: its inputs, their legal sizes in evaluation and training, its heads, its text.

    `heads` are the layers that results come from, where no other layer reads them; `saved` is the text with what was
    asked of it, and `settings` are what all parameters were.
    """

    name: str
    inputs: tuple[tuple[str, Shape], ...]
    legal: tuple[tuple[Legal, ...], tuple[Legal, ...]]
    heads: tuple[str, ...]
    saved: Saved
    settings: tuple[tuple[str, str], ...] = ()


def remember(model: nn.Module, compiled: Compiled) -> None:
    """Let a module know where it comes from."""
    network = compiled.network
    scope, found = network.scope, ends(network)
    inputs = tuple([(name, scope.shapes[value]) for name, value in zip(scope.input_names, scope.inputs)])
    read = {name for layer in found.layers.values() for name in layer.reads}
    heads = () if network.headless or found.last & read else tuple(sorted(found.last))
    legal = _legal(network, False), _legal(network, True)
    settings = tuple([(name, show_value(value)) for name, value in scope.args])
    model.__dict__[ATTRIBUTE] = Origin(network.name, inputs, legal, heads, _saved(compiled), settings)
    type(model).__call__ = _call


def origin_of(model: nn.Module) -> Origin | None:
    """Return what a module knows, which `archdsl.load` has made; None of any other one."""
    found = model.__dict__.get(ATTRIBUTE)
    return found if isinstance(found, Origin) else None


def _saved(compiled: Compiled) -> Saved:
    request = compiled.request
    params = {name: _plain(value) for name, value in request.params.items()}
    outputs = request.outputs if isinstance(request.outputs, str) else list(request.outputs)
    asked = {"net": request.net, "params": params, "in_channels": request.in_channels, "outputs": outputs}
    return saved_form(compiled.file, {**asked, "output_stride": request.output_stride})


def _plain(value: Any) -> Any:
    """Return the value of a parameter as JSON has it."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if getattr(value, "shape", None) == () else value


def _legal(network: Network, training: bool) -> tuple[Legal, ...]:
    try:
        return legal_sizes(network, training=training)
    except CompileError:  # no short pattern
        return ()


def _call(self: nn.Module, *inputs: Any, **named: Any) -> Any:
    """Stand in for `nn.Module.__call__`, and say of a failure whether the input has made it."""
    try:
        return nn.Module.__call__(self, *inputs, **named)
    except (RuntimeError, TypeError, ValueError) as problem:
        origin = origin_of(self)
        reason = wrong(origin, inputs, self) if origin and not named else ""
        if not reason:
            raise
        raise InputError(reason) from problem


def wrong(origin: Origin, given: tuple[Any, ...], model: nn.Module) -> str:
    """Say what is wrong with inputs; nothing where they are right.

    >>> from archdsl import load
    >>> model = load("resnet18")
    >>> print(wrong(origin_of(model), (torch.zeros(3, 64, 64),), model))
    `image` of resnet18 is [N, 3, H, W], and [3, 64, 64] was given: the batch is missing, `x.unsqueeze(0)`
    """
    if len(given) != len(origin.inputs):
        takes = ", ".join([f"`{name}` {show(shape)}" for name, shape in origin.inputs])
        count = f"{len(given)} inputs were" if len(given) != 1 else "1 input was"
        return f"{origin.name} takes {takes}, and {count} given"
    sizes: dict[str, tuple[int, str]] = {}  # by symbol, each with the first input that has it
    for (name, shape), x in zip(origin.inputs, given):
        if not isinstance(x, torch.Tensor):
            return f"`{name}` of {origin.name} is a tensor {show(shape)}, and {type(x).__name__} was given"
        said = f"`{name}` of {origin.name} is {show(shape)}, and {list(x.shape)} was given"
        reason = _misfit(shape, tuple(x.shape))
        if reason is not None:
            return said + reason
        reason = (
            _of_another_type(model, x)
            or _unequal(name, shape, x, sizes)
            or _illegal(origin.legal[model.training], sizes)
        )
        if reason:
            return f"{said}: {reason}"
    return ""


def _of_another_type(model: nn.Module, x: torch.Tensor) -> str:
    """Say that a tensor is not of the type that all weights are of; under autocast it need not be."""
    types = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if len(types) != 1 or x.dtype in types or torch.is_autocast_enabled(x.device.type):
        return ""
    (wanted,) = types
    word = f"`x.to({wanted})`" if wanted != torch.float32 else "`x.float()`"
    return f"it is {_word(x.dtype)}, and the weights are {_word(wanted)}, {word}"


def _word(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _unequal(name: str, shape: Shape, x: torch.Tensor, sizes: dict[str, tuple[int, str]]) -> str:
    """Add the sizes of an input to those of the others, and say which of them is two numbers."""
    for dim, size in zip(shape, x.shape):
        if isinstance(dim, Size):
            known, first = sizes.setdefault(dim.symbol.name, (size, name))
            if known != size:
                return (
                    f"{dim} is {known} and {size}"
                    if first == name
                    else f"{dim} is {known} in `{first}`, and {size} here"
                )
    return ""


def _illegal(legal: tuple[Legal, ...], sizes: dict[str, tuple[int, str]]) -> str:
    """Say which sizes so far are not legal, and the nearest that are."""
    unfit = [one for one in legal if one.name in sizes and sizes[one.name][0] not in one]
    if not unfit:
        return ""
    near = ", ".join([f"{one.name} = {one.nearest(sizes[one.name][0])}" for one in unfit])
    return f"{'; '.join([f'{one}{one.because()}' for one in unfit])}; the nearest legal size is {near}"


def _misfit(shape: Shape, given: tuple[int, ...]) -> str | None:
    """Say how a shape differs in its axes or its channels; None where only sizes may be wrong."""
    if len(given) != len(shape):
        return ": the batch is missing, `x.unsqueeze(0)`" if len(given) == len(shape) - 1 else ""
    fixed = [(dim, size) for dim, size in zip(shape, given) if isinstance(dim, int) and dim != size]
    return "" if fixed else None
