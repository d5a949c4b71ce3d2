"""`archdsl.train`: from a network, images and a recipe to a trained network in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import archdsl
from archdsl.core.record import Record
from archdsl.run.load import load
from archdsl.run.mistakes import TrainingError
from archdsl.training import state, vision
from archdsl.training.chance import drawn_from
from archdsl.training.data import data as data_of
from archdsl.training.loop import Job, Run
from archdsl.training.pictures import pictures
from archdsl.training.processes import processes
from archdsl.training.recipe import recipe as recipe_of
from archdsl.training.report import Reporter
from archdsl.training.state import Folder, StepLog
from archdsl.training.subject import Asked, scores, subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archdsl.ops.custom import Custom
    from archdsl.run.hub import Weights
    from archdsl.training.data import Data
    from archdsl.training.processes import Processes
    from archdsl.training.recipe import Recipe


class Trained(Record):
    """A trained network: the best one, its file, its accuracy in [0, 1] on what is held out, a row for each epoch."""

    model: nn.Module
    path: str
    accuracy: float
    images: int
    rows: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        best = next(row["epoch"] for row in self.rows if row["accuracy"] == self.accuracy)
        return f"{self.path}: {self.accuracy:.2%} of {self.images} images right, after epoch {best} of {len(self.rows)}"


def train(
    network: str | os.PathLike[str] | nn.Module,
    data: str | os.PathLike[str] | Data,
    recipe: str | os.PathLike[str] | Recipe | None = None,
    /,
    *,
    folder: str | os.PathLike[str],
    changes: Mapping[str, Any] | None = None,
    weights: Weights | None = None,
    classes: int | None = None,
    freeze: Sequence[str] = (),
    until: str | None = None,
    resume: bool = False,
    device: str | torch.device | None = None,
    workers: int = 0,
    save_every: int = 0,
    parts: int = 1,
    tensorboard: bool = False,
    silent: bool = False,
    net: str | None = None,
    operators: Sequence[type[Custom]] = (),
    **params: Any,
) -> Trained:
    """Train a network to tell classes of images apart, and return the best one.

    >>> import archdsl
    >>> archdsl.train("lenet5", "digits", "digits", folder="run", silent=True)  # doctest: +SKIP
    <run/best.safetensors: 98.89% of 359 images right, after epoch 37 of 40>

    `network` is what `archdsl.load` takes, with `weights`, `net` and `params`, or a module that it has made. Its
    classes and the channels of its input are made those of the data, if it is no module; `classes` may be more.
    `data` are `digits` or `photographs`, a folder of images, or `archdsl.training.data.Data`. `recipe` is the name of
    one that comes along, a `.toml` file or a `Recipe`, with `changes` of its fields; without one it is `finetune`
    where there are weights, and `scratch` else. `freeze` and `until` are the arguments of `archdsl.freeze`.

    All of a run is in `folder`; with `resume` it goes on with the one that is there, as if nothing had happened. The
    state is kept after each epoch, and each `save_every` steps. `workers` are processes that read images, `parts` how
    many parts of a batch go through a process after another. `tensorboard` writes its files, too. Under `torchrun`
    each process calls this.

    Raises `archdsl.TrainingError` for a recipe, data or a folder that cannot be used, and what `archdsl.load` raises.
    """
    found = recipe_of(recipe or _default(network, weights)).changed(changes or {})
    images = data_of(data, found.seed)
    asked = Asked(weights, classes, net, params, freeze, until, operators)
    here = processes(device)
    with _own_chance(here, found):
        if found.batch % (here.count * parts):
            raise TrainingError(f"a batch of {found.batch} is no multiple of {here.count} processes x {parts} parts")
        place = Folder(folder)
        former = place.begin(resume) if here.first else None
        here.wait()
        former = former if here.first else place.begin(True)
        job = _job(network, asked, images, found, here, place)
        job = job.replace(workers=workers, save_every=save_every, parts=parts, operators=operators)
        run, about = Run(job), _about(job, asked)
        if former is not None:
            _hold_to(about, former["about"], place)
            run.restore(former)
        _go(run, about, tensorboard, silent)
        here.wait()
        best = load(place.at(state.BEST), operators=operators)
    return Trained(best, place.at(state.BEST), run.best[0], len(images.val), tuple(run.rows))


def _default(network: str | os.PathLike[str] | nn.Module, weights: Weights | None) -> str:
    """Return the recipe that is taken where none is asked for."""
    known = weights is not None or isinstance(network, nn.Module) or os.fspath(network).endswith(".safetensors")
    return "finetune" if known else "scratch"


@contextmanager
def _own_chance(here: Processes, found: Recipe) -> Iterator[None]:
    """Seed all generators, and leave them afterwards as they were."""
    with torch.random.fork_rng([here.device.index or 0] if here.device.type == "cuda" else []):
        torch.manual_seed(drawn_from(found.seed))
        yield


def _job(
    network: str | os.PathLike[str] | nn.Module,
    asked: Asked,
    images: Data,
    found: Recipe,
    here: Processes,
    place: Folder,
) -> Job:
    made = subject(network, asked, images)
    drawn = pictures(found, images, made.size)
    return Job(made, found, images, drawn, here, place, scores(made, drawn.size, images))


def _go(run: Run, about: dict[str, Any], tensorboard: bool, silent: bool) -> None:
    """Train from where the run is to its end."""
    job, here = run.job, run.job.processes
    board = job.folder.path if tensorboard and here.first else ""
    reporter = Reporter(job.recipe, run.steps, run.step, board, silent=silent or not here.first)
    try:
        reporter.say(_said(run))
        if here.first:
            job.folder.describe(about | {"versions": _versions()}, job.recipe.toml())
        run.go(about, reporter, job.folder.steps(run.step) if here.first else StepLog())
    finally:
        reporter.close()


def _said(run: Run) -> str:
    """Return the line that a run begins with."""
    job = run.job
    several = f", {job.processes.count} processes" if job.processes.count > 1 else ""
    where = f"{job.data.name}: {len(job.data.train)} images to train on, {len(job.data.val)} held out ({job.data.told})"
    on = f"{run.job.processes.device}{several}, {job.recipe.precision}"
    after = f"; goes on after step {run.step}" if run.step else ""
    return f"{job.subject.origin.name} on {where}, {len(job.data.classes)} classes; {on}{after}"


def _about(job: Job, asked: Asked) -> dict[str, Any]:
    """Return what a run is of, as JSON has it; one that goes on is of the same."""
    data, recipe, until = job.data, job.recipe, [asked.until] if asked.until else []
    return {
        "network": job.subject.origin.name,
        "text": job.subject.origin.saved.metadata()["archdsl"],
        "frozen": [*asked.freeze, *until],
        "data": {"name": data.name, "split": data.told, "mark": data.mark, "images": [len(data.train), len(data.val)]},
        "classes": list(data.classes),
        "input": {
            "size": list(job.pictures.size),
            "resize": job.pictures.resize,
            "interpolation": recipe.interpolation,
            "mean": list(recipe.mean or data.mean),
            "std": list(recipe.std or data.std),
        },
        "recipe": recipe.as_dict(),
    }


def _versions() -> dict[str, str]:
    return {"archdsl": archdsl.__version__, "torch": torch.__version__, "torchvision": vision.__version__}


def _hold_to(about: dict[str, Any], before: dict[str, Any], place: Folder) -> None:
    """Raise `TrainingError` where a run that is to go on is another one."""
    for name in about:
        if about[name] != before.get(name):
            parts = about[name] if name == "recipe" else {}
            fields = [field for field in parts if parts[field] != before[name].get(field)]
            what = f"`{fields[0]}` of its recipe" if fields else f"its {name}"
            raise TrainingError(f"`{place.path}` holds another run: {what} differs")
