"""Fine-tuning: parts of a network that stay as they are, and a learning rate for each of its stages."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from archdsl.run.origin import origin_of

if TYPE_CHECKING:
    import torch

    M = TypeVar("M", bound=nn.Module)
else:
    M = TypeVar("M")

BEFORE = "_archdsl_before"  # where there is no head: which it was, without weights
FEWEST = 4  # stages; VGG has two labels, a ResNet seven


def freeze(model: M, *labels: str, until: str | None = None) -> M:
    """Keep steps of a network as they are while the rest is trained, and return the network.

    >>> import archdsl
    >>> model = archdsl.freeze(archdsl.load("resnet18", classes=10), "conv1", "bn1", "layer[12]")
    >>> model = archdsl.freeze(archdsl.load("resnet18", classes=10), until="layer3")  # the same
    >>> [name for name, child in model.train().named_children() if child.training]
    ['layer3', 'layer4', 'fc']

    `labels` are names of modules, `layer1` or `layer3.0.conv2`, and may hold the wildcards `*`, `?` and `[12]`; `until`
    means all that stands before a step. Without either, the whole network is frozen, and `unfreeze` takes its head out.

    Parameters of frozen steps take no gradients. The steps are in evaluation mode, and stay so when `train()` is called
    on the network: norms use their running statistics and leave them, dropouts pass on what they are given. Modules
    remember that, so a copy and a pickle are frozen, too. Raises `ValueError` for a label that means no step.
    """
    for module in _meant(model, labels, until):
        module.requires_grad_(False)
        for part in module.modules():
            part.train = partial(_stay, part)
            part.training = False
    return model


def unfreeze(model: M, *labels: str) -> M:
    """Train steps again that were frozen, all without labels, and return the network; labels as for `freeze`.

    >>> import archdsl
    >>> model = archdsl.freeze(archdsl.load("resnet18", classes=10))
    >>> model = archdsl.unfreeze(model, "fc").train()
    >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    ['fc.weight', 'fc.bias']
    """
    for module in _meant(model, labels, None):
        module.requires_grad_(True)
        for part in module.modules():
            part.__dict__.pop("train", None)
            part.training = True
    return model


def reset_classifier(model: M, classes: int) -> M:
    """Give a network a new head for so many classes, in place of its own, and return the network.

    >>> import archdsl
    >>> model = archdsl.reset_classifier(archdsl.load("resnet18"), 10)
    >>> model.fc
    Linear(in_features=512, out_features=10, bias=True)

    All heads are replaced, auxiliary ones too, and initialized as PyTorch does; all else stays, so that a network can
    be trained on one task after another. With 0 classes there is no head, and the network returns what that would
    read, until it gets one again. Raises `ValueError` for a module that `archdsl.load` has not made, for one that was
    loaded with `classes=0`, and for a network whose results do not come from linear layers or convolutions alone.
    """
    origin = origin_of(model)
    if origin is None:
        raise ValueError("only a network that `archdsl.load` has made knows where its head is")
    made = {name: _head(_former(model, name), name, classes) for name in origin.heads}
    if not made:
        raise ValueError("this network has no head of its own: give the number of classes to `archdsl.load`")
    for name, layer in made.items():
        model.set_submodule(name, layer)
    return model


def _former(model: nn.Module, name: str) -> nn.Module:
    """Return the head of a network, or one as it had before it had none, where its other weights are."""
    there = model.get_submodule(name)
    before, like = there.__dict__.get(BEFORE), next(model.parameters(), None)
    if not isinstance(before, nn.Module) or like is None:
        return there
    return before.to_empty(device=like.device).to(like.dtype).train(there.training)


def _head(old: nn.Module, name: str, classes: int) -> nn.Module:
    """Return a layer as one that is there, for another number of outputs."""
    if classes == 0:
        absent = nn.Identity().train(old.training)
        absent.__dict__[BEFORE] = copy.deepcopy(old).to("meta")  # no part of the network, which would save it
        return absent
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    elif isinstance(old, nn.Conv2d) and old.groups == 1:
        shape = old.kernel_size, old.stride, old.padding, old.dilation
        new = nn.Conv2d(old.in_channels, classes, *shape, bias=old.bias is not None)
    else:
        raise ValueError(f"`{name}` is {type(old).__name__}, which has no number of classes")
    return new.to(old.weight.device, old.weight.dtype).train(old.training)


def parameter_groups(
    model: nn.Module, lr: float, *, decay: float = 0.7, weight_decay: float | None = None
) -> list[dict[str, Any]]:
    """Return the parameters of a network by stage, for an optimizer: the last learns with `lr`, each before it less.

    >>> import archdsl
    >>> model = archdsl.freeze(archdsl.load("resnet18", classes=10), until="layer3")
    >>> [(group["stage"], group["lr"]) for group in archdsl.parameter_groups(model, lr=0.01, decay=0.5)]
    [('layer3', 0.0025), ('layer4', 0.005), ('fc', 0.01)]

    Each stage has `decay` times the rate of the next (Howard and Ruder, 2018, arXiv:1801.06146, who divide by 2.6).
    Stages are the steps that the network labels at its outermost level; where these are fewer than four, as in VGG,
    the steps within the largest. A norm belongs to the stage before it. What is frozen is left out. With
    `weight_decay`, biases and the weights of norms are in groups of their own, which have none.
    """
    stages = _stages(model)
    groups = []
    for number, (name, parameters) in enumerate(stages):
        rate = lr * decay ** (len(stages) - 1 - number)
        kinds = [(parameters, weight_decay)]
        if weight_decay is not None:
            wide = [p for p in parameters if p.dim() > 1]
            kinds = [(wide, weight_decay), ([p for p in parameters if p.dim() <= 1], 0.0)]
        for chosen, each in kinds:
            trained = [p for p in chosen if p.requires_grad]
            more = {} if each is None else {"weight_decay": each}
            if trained:
                groups.append({"params": trained, "lr": rate, "stage": name, **more})
    return groups


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:
    """Stand in for the method `train` of a frozen module; what was taken out of it goes its own way."""
    module.training = False
    for child in module.children():
        child.train(mode)
    return module


# -------------------------------------------------------------------------------------------------- steps by name
def _meant(model: nn.Module, labels: tuple[str, ...], until: str | None) -> list[nn.Module]:
    """Return the modules that labels mean, or all."""
    if not labels and until is None:
        return [model]
    modules = dict(model.named_modules())
    found = (
        [] if until is None else list(_before(model, _known(until, [until] if until in modules else [], modules)[0]))
    )
    for label in labels:
        found += _known(label, [name for name in modules if name and fnmatchcase(name, label)], modules)
    return [modules[name] for name in found]


def _known(label: str, found: list[str], modules: dict[str, nn.Module]) -> list[str]:
    """Return the names that a label means, of which there is at least one."""
    if found and label:
        return found
    from difflib import get_close_matches

    near = get_close_matches(label, [name for name in modules if name], 1)
    more = (
        f": did you mean `{near[0]}`?" if near else f"; its first are {', '.join(f'`{n}`' for n in list(modules)[1:6])}"
    )
    raise ValueError(f"the network has no step `{label}`{more}")


def _before(model: nn.Module, name: str) -> Iterator[str]:
    """Yield the names of the modules that stand before one, the outermost ones."""
    path = ""
    for part in name.split("."):
        for child in dict(model.get_submodule(path).named_children()):
            if child == part:
                break
            yield f"{path}.{child}" if path else child
        path = f"{path}.{part}" if path else part


# -------------------------------------------------------------------------------------------------- stages
def _stages(model: nn.Module) -> list[tuple[str, list[torch.nn.Parameter]]]:
    """Return stages by name with their parameters, each once, in order; those of the network itself are in the last."""
    found: list[tuple[str, list[torch.nn.Parameter]]] = []
    known: set[int] = set()
    for name, module in _steps(model):
        own = [p for p in module.parameters() if id(p) not in known]
        known.update(map(id, own))
        if found and all(p.dim() <= 1 for p in own):
            found[-1][1].extend(own)
        else:
            found.append((name, own))
    rest = [p for p in model.parameters() if id(p) not in known]
    if found:
        found[-1][1].extend(rest)
    return found or [("", rest)]


def _steps(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the outermost modules with parameters; where they are few, those within the one that has most of them."""
    steps = _with_parameters(model, "")
    while 0 < len(steps) < FEWEST:
        inner = [_with_parameters(module, f"{name}.") for name, module in steps]
        largest = max(range(len(steps)), key=lambda i: len(list(steps[i][1].parameters())))
        if not inner[largest]:
            break
        steps[largest : largest + 1] = inner[largest]
    return steps


def _with_parameters(model: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    return [(prefix + name, child) for name, child in model.named_children() if any(True for _ in child.parameters())]
