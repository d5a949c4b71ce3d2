"""Recipes: those of the package say where each field is from, are of networks of the gallery, and give optimizers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import archdsl
from archdsl.compiler import compiled
from archdsl.training import recipe as recipes
from archdsl.training import steps
from archdsl.training.recipe import Recipe, changes, names, recipe, sources

PAPERS = {
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mobilenet_v2", "resnet50",
}  # fmt: skip


def test_there_are_those_of_papers():
    assert set(names()) > PAPERS and {name for name in names() if recipe(name).net} == PAPERS


@pytest.mark.parametrize("name", names())
def test_each_field_has_its_source(name):
    given = recipes._read(name)
    assert given["sources"].keys() == given.keys() - {"sources"}
    assert all(len(source) > 3 for source in sources(name).values())


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_a_recipe_is_of_a_network(name):
    found = recipe(name)
    assert found.net == name and archdsl.check(name).params > 0
    auxiliary = {"googlenet": 0.3, "inception_v3": 0.4}  # arXiv:1409.4842, section 5, and the authors' code
    assert name not in auxiliary or found.auxiliary == auxiliary[name]


# lr x time, from the papers' sentences: by hand
RATES = {
    "resnet50": [(0, 0.1), (29.5, 0.1), (30.5, 0.01), (60.5, 0.001)],
    "densenet121": [(29.5, 0.1), (30.5, 0.01), (89.5, 0.001)],
    "mobilenet_v2": [(0.5, 0.045), (1.5, 0.0441), (100.5, 0.045 * 0.98**100)],
    "googlenet": [(7.5, 0.01), (8.5, 0.0096), (59.5, 0.01 * 0.96**7)],
    "inception_v3": [(1.5, 0.045), (2.5, 0.045 * 0.94)],
    "efficientnet_b0": [(5.5, 0.256), (5 + 2.5, 0.256 * 0.97)],
    "convnext_tiny": [(19.999, 4e-3), (20, 4e-3), (160, (4e-3 + 1e-6) / 2), (299.99, 1e-6)],
}


def course(found, epoch):
    """Return the rate of each step, of which an epoch has so many."""
    optimizer = steps.optimizer(found, nn.Linear(2, 2))
    schedule, rates = steps.schedule(found, optimizer, epoch), []
    with steps.quiet():
        for _ in range(found.epochs * epoch):
            rates.append(optimizer.param_groups[-1]["lr"])
            optimizer.step()
            schedule.step()
    return rates


def test_milestones_are_counted_from_the_start_and_decay_from_the_end_of_the_warm_up():
    rates = course(Recipe(epochs=8, lr=1.0, schedule="steps", milestones=(4.0, 6.5), warmup=2.0), 10)
    assert rates[39:41] == pytest.approx([1.0, 0.1]) and rates[64:66] == pytest.approx([0.1, 0.01])
    rates = course(Recipe(epochs=8, lr=1.0, schedule="decay", every=3.0, warmup=2.0), 10)
    assert rates[49:51] == pytest.approx([1.0, 0.1])
    assert set(course(Recipe(epochs=2, lr=1.0, schedule="constant"), 10)) == {1.0}


@pytest.mark.parametrize("name", sorted(RATES))
def test_the_rate_is_the_papers(name):
    found, epoch = recipe(name), 20  # steps an epoch
    rates = course(found, epoch)
    for time, rate in RATES[name]:
        assert rates[int(time * epoch)] == pytest.approx(rate, rel=6e-3), time
    warm = round(found.warmup * epoch)
    line = [found.lr * (0.01 + 0.99 * step / warm) for step in range(warm)]
    assert rates[:warm] == pytest.approx(line)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epoch": 3}, "no field `epoch`"),
        ({"epochs": 0}, "`epochs` of a recipe is not 0"),
        ({"epochs": 2.5}, "`epochs` of a recipe is an integer"),
        ({"lr": "high"}, "`lr` of a recipe is a number"),
        ({"lr": -1}, "`lr` of a recipe is not -1"),
        ({"optimizer": "adam"}, "one of sgd, rmsprop, adamw, not `adam`"),
        ({"nesterov": 1}, "`nesterov` of a recipe is true or false"),
        ({"scale": 0.5}, "`scale` of a recipe is numbers"),
    ],
)
def test_what_is_no_field_or_no_value(changed, said):
    with pytest.raises(archdsl.TrainingError, match=said):
        Recipe().changed(changed)


def test_changes_are_read_as_toml():
    read = changes(["epochs=3", "lr = 1e-3", "optimizer=sgd", "scale=[0.5, 1.0]", "nesterov=true"])
    assert read == {"epochs": 3, "lr": 1e-3, "optimizer": "sgd", "scale": [0.5, 1.0], "nesterov": True}
    with pytest.raises(archdsl.TrainingError, match="FIELD=VALUE"):
        changes(["epochs"])


def test_a_file_of_all_fields_is_the_recipe(tmp_path):
    for name in names():
        (tmp_path / "again.toml").write_text(recipe(name).toml())
        assert recipe(tmp_path / "again.toml") == recipe(name)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "wrong.toml").write_text("epochs 3")
    with pytest.raises(archdsl.TrainingError, match="is no TOML"):
        recipe(tmp_path / "wrong.toml")
    with pytest.raises(archdsl.TrainingError, match="no recipe of ours .*resnet50"):
        recipe("resnet51")


# -------------------------------------------------------------------------------------------------- what they make
def test_norms_and_biases_are_not_decayed_unless_they_are():
    model = archdsl.load("resnet18", classes=2)
    groups = steps.optimizer(Recipe(weight_decay=0.1), model).param_groups
    wide = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert wide == {id(p) for p in model.parameters() if p.dim() > 1}
    groups = steps.optimizer(Recipe(weight_decay=0.1, decay_norms=True), model).param_groups
    assert {group["weight_decay"] for group in groups} == {0.1}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_the_average_is_the_sum_by_hand():
    found, model = Recipe(ema=0.8), nn.Linear(3, 1)
    mean = steps.average(found, model)
    assert mean is not None and steps.average(Recipe(), model) is None
    by_hand = model.weight.detach().double()
    for step in range(30):
        with torch.no_grad():
            model.weight.add_(1.0)
        steps.averaged(found, mean, model, step)
        kept = min(0.8, (1 + step) / (10 + step)) if step else 0.0  # the first is taken as it is
        by_hand = kept * by_hand + (1 - kept) * model.weight.detach().double()
    assert mean.module.weight.detach().double() == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_count_as_in_their_papers(name):
    """By the results that their texts have, in the order in which a network returns them."""
    fields = [output.name for output in compiled(name).network.scope.outputs]
    assert fields[0] == "out" and len(fields) == {"googlenet": 3, "inception_v3": 2}[name]
    torch.manual_seed(0)
    given, targets = [torch.randn(2, 5) for _ in fields], torch.tensor([1, 3])
    found = recipe(name)
    share = [1.0, *[{"googlenet": 0.3, "inception_v3": 0.4}[name]] * (len(fields) - 1)]
    smooth = found.label_smoothing
    wanted = 0.0
    for weight, one in zip(share, given):
        chances = one.log_softmax(1)
        right = sum(chances[i, t] for i, t in enumerate(targets)) / 2
        wanted -= weight * ((1 - smooth) * right + smooth * chances.mean(1).mean())
    assert steps.loss_of(found, tuple(given), 0, targets).item() == pytest.approx(float(wanted), rel=1e-5)
    assert math.isfinite(float(wanted))


def test_mixing_keeps_shares():
    images, labels = torch.rand(8, 3, 6, 6), torch.arange(8) % 4
    assert steps.mixing(Recipe(), 4) is None
    for found in (Recipe(mixup=0.8), Recipe(cutmix=1.0), Recipe(mixup=0.8, cutmix=1.0)):
        torch.manual_seed(1)
        mixed, shares = steps.mixing(found, 4)(images, labels)
        assert mixed.shape == images.shape and shares.shape == (8, 4)
        assert shares.sum(1) == pytest.approx(torch.ones(8), rel=1e-6) and not torch.equal(mixed, images)
