"""A layer of somebody's own as a word of the language: its class is read for arguments, and built for its weights."""

from __future__ import annotations

import importlib
import inspect
import keyword
from collections.abc import Sequence
from contextlib import suppress
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_origin, get_type_hints

import torch

from archdsl.codegen.plans import RESERVED
from archdsl.elaborate.expressions import WORDS
from archdsl.ir.walk import distinct
from archdsl.ops.base import REQUIRED, arg, boolean, channel_count, number, optional, tensor
from archdsl.ops.custom import Custom, Rules, any_integer, plain_value, text_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Parameter

    from torch import nn

    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network
    from archdsl.ops.base import Kind
    from archdsl.ops.custom import Weights

KINDS: dict[object, Kind] = {bool: boolean(), int: any_integer(), float: number(), str: text_value()}

MIXED = (Any, Union, UnionType, Literal, list, tuple, Sequence)  # types of what may be a number, a text or a list


def operator(
    name: str,
    cls: type[nn.Module],
    /,
    *,
    macs: Callable[..., Any] | int,
    shape: Callable[..., Any] | None = None,
    channels: str | None = None,
    window: Callable[..., tuple[int, ...]] | None = None,
) -> type[Custom]:
    r"""Return a layer that the language does not have as an operator, for `operators=` of `load`, `check` and others.

    >>> import archdsl
    >>> from torch import nn
    >>> shrink = archdsl.operator("shrink", nn.Hardshrink, macs=0, window=lambda lambd: (1,))
    >>> text = "net tiny:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3) -> shrink(lambd=0.1)"
    >>> archdsl.loads(text, operators=[shrink])
    Tiny(
      (0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (1): Hardshrink(0.1)
    )

    A text calls it `name`, and can do no more than that, so a stranger's text still runs nothing of a stranger's. Its
    arguments are those of the constructor of `cls`, where `channels` is the one that is given the channels of the
    input; what `forward` takes after its first argument are further tensors. Generated code imports the class, so it
    has to be found under its name in its module. Its weights are those of an instance on the meta device.

    The rules are functions of the arguments, by name, and of the further tensors, as shapes (None: left out):

    - `shape(x, **arguments)` is the shape of the result for an input [N, C, H, W], or of another rank. Sizes are exact
      functions of the input's: they are added, multiplied and divided with `//`, and never compared. A `ValueError`
      says what the layer does not take. Without this rule, the result has the shape of the input.
    - `macs(x, y, **arguments)` are the multiply-accumulates for one image, y being the result's shape; or a number.
    - `window(**arguments)` are kernel, stride, padding and dilation, of which the last three may be left out: what a
      place of the result sees of the input, along each axis. Without it, that is everything.

    Raises `ValueError` for a name or a class that cannot be an operator. A layer that gives another shape than its rule
    says is found by `archdsl.load`, which runs it on the meta device, and raises `TypeError`.
    """
    parameters = _parameters(cls.__init__)
    further = [p for p in _parameters(cls.forward)[1:] if p.annotation not in (bool, int, float, str)]
    reason = _unfit(name, cls, channels, [p.name for p in parameters])
    if reason:
        raise ValueError(reason)
    operands = {p.name: _tensor(p) for p in further}
    fields: dict[str, Any] = {}
    hints = _hints(cls.__init__)
    for parameter in [p for p in parameters if p.name != channels]:
        kind = _kind(hints.get(parameter.name), parameter.default)
        if kind is not None and parameter.name not in operands and not hasattr(Custom, parameter.name):
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = arg(kind, default, doc=f"of {cls.__name__}")
        elif parameter.default is parameter.empty:
            raise ValueError(f"`{parameter.name}` of {cls.__name__} cannot be an argument in a text")
    first = [p.name for p in parameters if p.default is p.empty and p.kind is not p.KEYWORD_ONLY]
    fields |= operands
    rules = Rules(cls, channels, tuple(first), tuple(operands), shape, macs, window, _weights)
    space = {"__annotations__": dict.fromkeys(fields, "Any"), "__doc__": inspect.getdoc(cls), "__module__": __name__}
    return type(name, (Custom,), {**space, **fields, "rules": rules, "name": name})


def verify(network: Network) -> None:
    """Run each layer of a caller's on the meta device, and raise `TypeError` where its rule gives another shape.

    A layer that cannot be run there is left to the first call of the network.
    """
    for scope in distinct(network.scope):
        for node in scope.nodes:
            if isinstance(node.what, Custom):
                wanted = _at_default(scope.shapes[node.outputs[0]])
                made = _result(node.what, [_at_default(scope.shapes[value]) for value in node.inputs])
                if made not in (None, wanted):
                    said = f"{list(made or ())}, where the rule of its shape says {list(wanted)}"
                    raise TypeError(f"`{node.what.name}` at {node.span} gives {said}")


BATCH = 2


def _at_default(shape: Shape) -> tuple[int, ...]:
    return (BATCH, *map(int, shape[1:]))


def _result(op: Custom, shapes: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the shape that a layer gives; None where that cannot be found out."""
    with torch.device("meta"), suppress(Exception):  # whatever somebody's code says to tensors without numbers
        xs = [torch.empty(shape) for shape in shapes]
        made = op.layer(channel_count(shapes[0])).eval()(xs[0], **op.further(xs[1:]))
        return tuple(made.shape) if isinstance(made, torch.Tensor) else ()
    return None


def _unfit(name: str, cls: type[nn.Module], channels: str | None, parameters: list[str]) -> str:
    """Say why a class cannot be an operator of this name; nothing where it can."""
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name) or name in (*WORDS, "x"):
        return f"`{name}` is no name for an operator: it is a word of the language, or of Python"
    if cls.__name__ in RESERVED:
        return f"generated code calls something else {cls.__name__}: call the class otherwise"
    if channels is not None and channels not in parameters:
        return f"{cls.__name__} has no parameter `{channels}`: it takes {', '.join(parameters) or 'none'}"
    if getattr(importlib.import_module(cls.__module__), cls.__qualname__, None) is not cls:
        return f"{cls.__qualname__} is not found in {cls.__module__}: generated code imports it from there by its name"
    return ""


def _parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return what a method takes after `self`, each under its name."""
    found = list(inspect.signature(function).parameters.values())[1:]
    return [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types that a method declares, as far as they can be found."""
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # names that are there for a type checker alone
        return {}


def _tensor(parameter: Parameter) -> Any:
    left_out = parameter.default is not parameter.empty
    return arg(tensor(), None if left_out else REQUIRED, doc="a further tensor")


def _kind(hint: object, default: object) -> Kind | None:
    """Return what a parameter of a constructor takes in a text; None where that can be no value of the language."""
    if hint in KINDS:
        return KINDS[hint]
    if hint is not None and (get_origin(hint) or hint) not in MIXED:
        return None
    kind = KINDS[bool] if type(default) is bool else plain_value()
    if default is None:
        return optional(kind)
    try:
        kind.accept(() if default is inspect.Parameter.empty else default)
    except ValueError:
        return None
    return kind


def _weights(op: Custom, channels: int) -> Weights:
    """Return the shapes of the weights of a layer: those of an instance without numbers."""
    with torch.device("meta"):
        made = op.layer(channels)
    return {path: tuple(parameter.shape) for path, parameter in made.named_parameters()}
