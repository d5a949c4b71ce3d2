"""From a name, a path or a text to an `nn.Module`: runs the generated Python, the same text that `compile` writes.

The text is registered with `linecache`, so that a traceback through a network shows its generated lines, whose
comments lead back to the `.arch` file. This is the one place of the package where code is executed.
"""

from __future__ import annotations

import hashlib
import linecache
import os
import sys
import types
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.analysis.ends import ends
from archdsl.codegen.replay import faithful
from archdsl.compiler import Compiled, Request, compile_text, compiled
from archdsl.diagnostics.extras import Needing
from archdsl.run.custom import verify
from archdsl.run.hub import weights_of
from archdsl.run.mistakes import WeightsWarning
from archdsl.run.origin import remember
from archdsl.run.weights import carry_over, rules
from archdsl.saved import archive_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.ops.custom import Custom
    from archdsl.run.hub import Weights

PREFIX = "archdsl.generated.text_"  # and a number; torch.fx writes the name into an import


def load(
    name: str | os.PathLike[str],
    /,
    *,
    weights: Weights | None = None,
    outputs: Sequence[str] | str = (),
    net: str | None = None,
    in_channels: int | None = None,
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    kernels: str = "auto",
    **params: Any,
) -> nn.Module:
    """Return a network as a module in training mode, freshly initialized or with the weights of a file.

    >>> import archdsl
    >>> model = archdsl.load("resnet50", classes=10, in_channels=1)
    >>> sum(p.numel() for p in model.parameters())
    23522250

    `name` is a bundled net (`archdsl.nets()` lists them) or the path of an `.arch` file, whose net of its own name, or
    whose only net, is taken where `net` does not say which. `params` are parameters that the net declares; a text is
    read as an expression of the language. `in_channels` replaces the channels of the first input. `kernels` says which
    depthwise convolutions and shuffles are layers of `archdsl.kernels`, with the same parameters under the same names:
    "all", "none", or "auto", those that a measurement shows to win.

    >>> archdsl.load("resnet18", norm="gn(32)").bn1
    GroupNorm(32, 64, eps=1e-05, affine=True, bias=True)

    With `classes=0` a network has no classifier, and returns what that would read; weights for it are left out.

    >>> import torch
    >>> archdsl.load("resnet18", classes=0)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 512])

    `outputs` are steps by name, `"layer2"` or `"layer3.0.conv2"`, or one name: the network returns these, and has what
    they need.

    >>> pyramid = archdsl.load("resnet18", outputs=["layer2", "layer4"])
    >>> [list(y.shape) for y in pyramid(torch.zeros(2, 3, 64, 64))]
    [[2, 128, 8, 8], [2, 512, 2, 2]]

    With an `output_stride`, maps are at most so many times coarser than the image: strides beyond it are left out, and
    the windows after them are dilated, so that weights mean what they meant (Chen et al., 2017, arXiv:1606.00915).

    >>> archdsl.load("resnet18", outputs="layer4", output_stride=8)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 512, 8, 8])

    `weights` is the path of a `.safetensors` file, or of one that `torch.save` wrote, which is read without running
    code; or a state dict; or a checkpoint that has one as `state_dict`, `model_state_dict`, `model` or `net`; or a
    repository of the Hugging Face hub, `"timm/resnet50.a1_in1k"`; or one of torchvision's `Weights`. Its names
    are the network's own or those of a library that the `.keys` file beside the network declares. It may be for another
    number of classes or channels, or have no head: the head is new then, a first convolution is summed up or repeated
    for the channels, and an `archdsl.WeightsWarning` says so. Everything else has to fit (docs/transfer.md).

    >>> trained = archdsl.load("resnet18", weights="resnet18.pth")
    >>> model = archdsl.load("resnet18", classes=10, weights="resnet18.pth")  # warns: `fc` is new
    >>> model.fc
    Linear(in_features=512, out_features=10, bias=True)
    >>> bool((model.conv1.weight == trained.conv1.weight).all())
    True
    >>> model = archdsl.load("resnet18", in_channels=1, weights=trained.state_dict())  # warns: `conv1` is summed up
    >>> model = archdsl.freeze(model, until="layer3")  # and what is left is fine-tuned

    A `.safetensors` file that `archdsl.save` wrote is a network with its weights; parameters that are given replace
    those that it was saved with.

    >>> archdsl.save(trained, "trained.safetensors")
    >>> archdsl.load("trained.safetensors").fc
    Linear(in_features=512, out_features=1000, bias=True)

    `operators` are layers that the language does not have, made by `archdsl.operator`; the text calls them by name.

    The module is on `device` and of `dtype`, "bfloat16" or torch.bfloat16, once it has its weights. A call with an
    input that it does not take raises `archdsl.InputError`, which says what it takes.

    Raises `archdsl.CompileError` for every mistake in the file or the arguments, and `archdsl.WeightsError` where the
    weights do not fit or the file holds none, as that of a pickled model.
    """
    found = compiled(name, Request(net, params, (), in_channels, outputs, output_stride, operators))
    return _placed(with_weights(instantiate(found, kernels), found, weights), device, dtype)


def loads(
    text: str,
    /,
    *,
    weights: Weights | None = None,
    outputs: Sequence[str] | str = (),
    net: str | None = None,
    in_channels: int | None = None,
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    kernels: str = "auto",
    **params: Any,
) -> nn.Module:
    r"""Return a network given as a text; see `load`.

    >>> import archdsl
    >>> archdsl.loads('net tiny: \n    input image: [N, 3, H=8, W=8]\n    conv(4, 3) -> relu')
    Tiny(
      (0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
      (1): ReLU(inplace=True)
    )
    """
    found = compile_text(text, Request(net, params, (), in_channels, outputs, output_stride, operators))
    return _placed(with_weights(instantiate(found, kernels), found, weights), device, dtype)


def _placed(model: nn.Module, device: torch.device | str | None, dtype: torch.dtype | str | None) -> nn.Module:
    """Return a module on a device and of a type, which may be the name of one: its weights are the same on each."""
    kind = getattr(torch, dtype, dtype) if isinstance(dtype, str) else dtype
    if kind is not None and not (isinstance(kind, torch.dtype) and kind.is_floating_point):
        raise TypeError(f"`dtype` is a floating-point type of torch, such as torch.bfloat16, not {dtype!r}")
    return model.to(device=device, dtype=kind)


def with_weights(model: nn.Module, found: Compiled, weights: Weights | None) -> nn.Module:
    """Return a new module with weights, where there are any; says what is new or was adapted.

    A network that was saved with its weights has those, each of its own type, where no others are given.
    """
    saved = weights is None and bool(found.file.asked)
    if saved:
        weights = archive_of(found.file)
    if weights is None:
        return model
    source, state = weights_of(weights)
    if saved and _shapes(model.state_dict()) == _shapes(state):
        # Copies lie where kernels want them: parts of a file need not, and then results differ in the last bit.
        model.load_state_dict({name: value.clone() for name, value in state.items()}, assign=True)
        return model
    libraries, partly = rules(found.file.source.name), found.network.chosen or found.network.headless
    said = carry_over(model, state, libraries, partly=partly, source=source, ends=ends(found.network))
    if said:
        warnings.warn(f"{source}: {'; '.join(said)}", WeightsWarning, stacklevel=3)
    return model


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def instantiate(network: Compiled, kernels: str = "none") -> nn.Module:
    """Lower a checked network and build it; raises `Unfaithful` where the code would be another one."""
    verify(network.network)
    emitted = faithful(network.network, kernels=kernels)
    module = _executed(emitted.text)
    built = getattr(module, emitted.class_name)()
    assert isinstance(built, nn.Module), "a net is a module"
    remember(built, network)
    return built


def _executed(text: str) -> types.ModuleType:
    """Run generated text as a module of its own, once for each distinct text."""
    name = PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]
    known = sys.modules.get(name)
    if known is not None:
        return known
    filename = f"<{name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = types.ModuleType(name)
    module.__file__ = filename
    sys.modules[name] = module
    try:
        _execute(compile(text, filename, "exec", dont_inherit=True), module)
    except BaseException:
        del sys.modules[name]  # half a module is none
        raise
    for item in list(vars(module).values()):
        if isinstance(item, type) and item.__module__ == name:
            _make_portable(item, text)
    return module


def _execute(code: types.CodeType, module: types.ModuleType) -> None:
    # torchdiffeq makes constants when it is imported: on the meta device they would have no values.
    with Needing("`ode`"), torch.device("cpu"):
        exec(code, module.__dict__)


def _make_portable(cls: type, text: str) -> None:
    """Let instances of a generated class be pickled and copied: the pickle carries the text that defines the class."""

    def reduce_module(self: nn.Module) -> tuple[Any, ...]:
        return _empty, (text, cls.__name__), self.__dict__

    def reduce_result(self: tuple[Any, ...]) -> tuple[Any, ...]:
        return _result, (text, cls.__name__, tuple(self))

    cls.__reduce__ = reduce_module if issubclass(cls, nn.Module) else reduce_result  # type: ignore[assignment]


def _empty(text: str, name: str) -> nn.Module:
    """Return an instance of a generated class without its state, which the pickle sets next."""
    cls = getattr(_executed(text), name)
    made = cls.__new__(cls)
    assert isinstance(made, nn.Module), "only modules are pickled so"
    return made


def _result(text: str, name: str, values: tuple[Any, ...]) -> Any:
    return getattr(_executed(text), name)(*values)
