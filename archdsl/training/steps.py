"""What a recipe says of a step: the loss, the optimizer, how its rate goes on, and the average of weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from archdsl.run.mistakes import TrainingError
from archdsl.run.transfer import parameter_groups
from archdsl.training.vision import v2

if TYPE_CHECKING:
    from archdsl.training.recipe import Recipe


def optimizer(recipe: Recipe, model: nn.Module) -> optim.Optimizer:
    """Return the optimizer of the parameters that are trained, in groups by stage (`archdsl.parameter_groups`)."""
    decay = None if recipe.decay_norms else recipe.weight_decay
    groups = parameter_groups(model, recipe.lr, decay=recipe.stage_decay, weight_decay=decay)
    if not groups:
        raise TrainingError("all of the network is frozen")
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    if recipe.optimizer == "rmsprop":
        return optim.RMSprop(groups, alpha=recipe.smoothing, eps=recipe.eps, momentum=recipe.momentum, **common)
    return optim.AdamW(groups, betas=(recipe.momentum, recipe.beta2), eps=recipe.eps, **common)


def schedule(recipe: Recipe, optimizer: optim.Optimizer, steps: int) -> schedules.LRScheduler:
    """Return how the rate goes on, to be asked after each step, of which an epoch has so many."""
    warm = min(round(recipe.warmup * steps), recipe.epochs * steps)
    after = recipe.epochs * steps - warm
    if recipe.schedule == "cosine":
        rest: Any = schedules.CosineAnnealingLR(optimizer, max(1, after), recipe.min_lr)
    elif recipe.schedule == "steps":
        places = [max(0, round(epoch * steps) - warm) for epoch in recipe.milestones]
        rest = schedules.MultiStepLR(optimizer, places, recipe.gamma)
    elif recipe.schedule == "decay":
        rest = schedules.StepLR(optimizer, max(1, round(recipe.every * steps)), recipe.gamma)
    else:
        rest = schedules.ConstantLR(optimizer, 1.0, 0)
    if not warm:
        return rest
    first = schedules.LinearLR(optimizer, recipe.warmup_start or 1e-8, total_iters=warm)
    return schedules.SequentialLR(optimizer, [first, rest], [warm])


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what PyTorch's schedules warn of when one follows another, as they do it themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The epoch parameter in `scheduler.step", UserWarning)
        yield


def average(recipe: Recipe, model: nn.Module) -> AveragedModel | None:
    """Return the exponential average of weights and statistics of norms, where the recipe has one."""
    if not recipe.ema:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)


def averaged(recipe: Recipe, mean: AveragedModel, model: nn.Module, step: int) -> None:
    """Take the weights after a step, the first being 0, into their average."""
    mean.multi_avg_fn = get_ema_multi_avg_fn(min(recipe.ema, (1 + step) / (10 + step)))
    mean.update_parameters(model)


def mixing(recipe: Recipe, classes: int) -> Any:
    """Return what mixes images of a batch and their classes, one of the ways of the recipe at random; None for none.

    Zhang et al., 2017, arXiv:1710.09412, and Yun et al., 2019, arXiv:1905.04899.
    """
    ways: list[Any] = []
    if recipe.mixup:
        ways.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix:
        ways.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    return v2.RandomChoice(ways) if ways else None


def loss_of(recipe: Recipe, results: Any, main: int, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of the results of training: that of the main one, and a share of that of each auxiliary head.

    `targets` are classes [N], or their shares [N, classes] where images were mixed.
    """
    several = results if isinstance(results, tuple) else (results,)
    losses = [F.cross_entropy(one.float(), targets, label_smoothing=recipe.label_smoothing) for one in several]
    return losses[main] + sum(recipe.auxiliary * loss for i, loss in enumerate(losses) if i != main)
