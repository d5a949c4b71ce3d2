"""The files of a run: what it needs to go on, its best network, and its log. Each is there whole or not at all.

| file | is |
| --- | --- |
| `best.safetensors` | the network that was best on the images that are held out, for `archdsl.load` and all commands |
| `state.pt` | what `--resume` goes on from: weights, their average, optimizer, schedule, sums of the epoch |
| `log.csv` | a row an epoch |
| `steps.csv` | step, rate and loss, a row a step |
| `run.json` | the network, the data, the classes, how images are normalized, versions |
| `recipe.toml` | all fields of the recipe |
"""

from __future__ import annotations

import csv
import io
import json
import os
from typing import TYPE_CHECKING, Any

import torch

from archdsl.project import write
from archdsl.run.mistakes import TrainingError
from archdsl.run.save import save

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from archdsl.ops.custom import Custom

BEST, STATE, LOG, STEPS, RUN, RECIPE = (
    "best.safetensors",
    "state.pt",
    "log.csv",
    "steps.csv",
    "run.json",
    "recipe.toml",
)
STEP_FIELDS = ("step", "lr", "loss")


class Folder:
    """The folder of a run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def at(self, name: str) -> str:
        """Return the path of one of its files."""
        return os.path.join(self.path, name)

    def begin(self, resume: bool) -> dict[str, Any] | None:
        """Make the folder, and return the state to go on from; raises `TrainingError` for a run in the way."""
        there = os.path.isfile(self.at(STATE))
        if there and not resume:
            raise TrainingError(f"`{self.path}` holds a run, which `--resume` goes on with: choose another folder")
        os.makedirs(self.path, exist_ok=True)
        if not there:
            return None
        found: dict[str, Any] = torch.load(self.at(STATE), map_location="cpu", weights_only=True)
        return found

    def describe(self, about: dict[str, Any], recipe: str) -> None:
        """Write what the run is."""
        write(self.at(RUN), json.dumps(about, indent=2) + "\n")
        write(self.at(RECIPE), recipe)

    def keep(self, state: dict[str, Any]) -> None:
        """Write the state, after which the run may be killed."""
        held = io.BytesIO()
        torch.save(state, held)
        write(self.at(STATE), held.getvalue())

    def keep_best(self, model: nn.Module, operators: Sequence[type[Custom]] = ()) -> None:
        """Write a network with its text in place of the best one before."""
        part = self.at(f".part-{BEST}")
        save(model, part, operators=operators)
        os.replace(part, self.at(BEST))

    def log(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write the rows of all epochs so far."""
        held = io.StringIO()
        table = csv.DictWriter(held, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write(self.at(LOG), held.getvalue())

    def steps(self, before: int) -> StepLog:
        """Return the log of steps, with those before a step in it, and no other."""
        rows: list[str] = []
        if before and os.path.isfile(self.at(STEPS)):
            with open(self.at(STEPS), encoding="utf-8") as file:
                rows = file.read().splitlines()[1 : before + 1]
        write(self.at(STEPS), "\n".join([",".join(STEP_FIELDS), *rows, ""]))
        return StepLog(self.at(STEPS))


class StepLog:
    """Losses of steps: they stay on their device until there are many, since to read one waits for it.

    Each process has them; one without a path, which is not the first, writes nothing.
    """

    MANY = 50

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.waiting: list[tuple[int, float, torch.Tensor]] = []

    @property
    def full(self) -> bool:
        """Whether it is time to write."""
        return len(self.waiting) >= self.MANY

    def add(self, step: int, lr: float, loss: torch.Tensor) -> None:
        """Take the rate and the loss of a step."""
        self.waiting.append((step, lr, loss))

    def written(self) -> list[tuple[int, float, float]]:
        """Write what waits, and return it."""
        if not self.waiting:
            return []
        losses = torch.stack([loss for *_, loss in self.waiting]).tolist()
        rows = [(step, lr, loss) for (step, lr, _), loss in zip(self.waiting, losses)]
        self.waiting = []
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.writelines([f"{step},{lr:.9g},{loss:.9g}\n" for step, lr, loss in rows])
        return rows
