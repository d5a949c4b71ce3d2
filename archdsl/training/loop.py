"""The loop: steps, epochs, what is kept on the way, and how a run goes on from there."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from archdsl.core.record import Record
from archdsl.run.mistakes import TrainingError
from archdsl.training import steps
from archdsl.training.chance import drawn_from
from archdsl.training.pictures import steps_of, training_batches, validation_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.ops.custom import Custom
    from archdsl.training.data import Data
    from archdsl.training.pictures import Pictures
    from archdsl.training.processes import Processes
    from archdsl.training.recipe import Recipe
    from archdsl.training.report import Reporter
    from archdsl.training.state import Folder, StepLog
    from archdsl.training.subject import Subject

TOP = 5  # of the second accuracy that is told, as of ImageNet
WORST = (-1.0, -math.inf)  # before any: the accuracy, and the loss with its sign changed


class Job(Record):
    """All that a run is made of and does not change meanwhile; `save_every` is in steps, 0 for epochs alone.

    A batch of a process goes in so many `parts`, whose gradients are added up; `operators` are
    those that the network was given.
    """

    subject: Subject
    recipe: Recipe
    data: Data
    pictures: Pictures
    processes: Processes
    folder: Folder
    scores: int  # results of the network, of which the data may have fewer classes
    workers: int = 0
    save_every: int = 0
    parts: int = 1
    operators: Sequence[type[Custom]] = ()


class Run:
    """What changes while a network is trained, all of which `state` has."""

    def __init__(self, job: Job) -> None:
        recipe, here = job.recipe, job.processes
        self.job, self.steps = job, steps_of(len(job.data.train), recipe)
        form = torch.channels_last if recipe.channels_last else torch.preserve_format
        self.model = _with_norms(job.subject.model.to(here.device, memory_format=form).train(), recipe, here)
        self.optimizer = steps.optimizer(recipe, self.model)
        self.schedule = steps.schedule(recipe, self.optimizer, self.steps)
        self.mean = steps.average(recipe, self.model)
        self.scaler = torch.amp.GradScaler(here.device.type, enabled=recipe.precision == "float16")
        self.mix = steps.mixing(recipe, job.scores)
        self.shared = here.shared(self.model)
        self.step, self.best, self.rows = 0, WORST, []
        self.losses = torch.zeros((), dtype=torch.float64, device=here.device)

    rows: list[dict[str, Any]]
    best: tuple[float, float]

    # ---------------------------------------------------------------------------------------------- kept
    def _holders(self) -> dict[str, Any]:
        found = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}
        return found if self.mean is None else {**found, "mean": self.mean}

    def state(self) -> dict[str, Any]:
        """Return all that a run needs to go on as if nothing had happened."""
        own = {"step": self.step, "best": self.best, "rows": self.rows, "losses": self.losses}
        return own | {name: holder.state_dict() for name, holder in self._holders().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, holder in self._holders().items():
            holder.load_state_dict(state[name])
        self.step, self.best, self.rows = state["step"], tuple(state["best"]), state["rows"]
        self.losses.copy_(state["losses"])

    # ---------------------------------------------------------------------------------------------- going on
    def go(self, about: dict[str, Any], reporter: Reporter, log: StepLog) -> None:
        """Train to the end; the state is kept after each epoch, and before a signal ends the process."""
        job, here = self.job, self.job.processes
        batches = training_batches(job.data, job.pictures, job.recipe, here, self.step, job.workers)
        began = time.perf_counter()
        with ended_by_signals(here.count == 1) as told, steps.quiet():
            for images, labels in batches:
                lr = self.optimizer.param_groups[-1]["lr"]
                loss = here.summed(self._stepped(images, labels)) / here.count
                self.losses += loss
                self.step += 1
                log.add(self.step, lr, loss)
                reporter.step(self.step)
                whole = self.step % self.steps == 0
                due = whole or bool(told) or (job.save_every > 0 and self.step % job.save_every == 0)
                if due or log.full:
                    self._written(log, reporter)
                if whole:
                    self._epoch(lr, time.perf_counter() - began, reporter)
                    began = time.perf_counter()
                if due and here.first:
                    job.folder.keep({**self.state(), "about": about})
                if told:
                    raise KeyboardInterrupt

    def _stepped(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Take a step, and return its loss in this process."""
        recipe, here = self.job.recipe, self.job.processes
        torch.manual_seed(drawn_from(recipe.seed, self.step, here.rank))
        form = torch.channels_last if recipe.channels_last else torch.preserve_format
        images = images.to(here.device, non_blocking=True, memory_format=form)
        targets = labels.to(here.device, non_blocking=True)
        if self.mix is not None:
            images, targets = self.mix(images, targets)
        self.optimizer.zero_grad()
        loss = self._backward(images, targets)
        if recipe.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.mean is not None:
            steps.averaged(recipe, self.mean, self.model, self.step)
        return loss

    def _backward(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Add up the gradients of a batch, part after part, and return its loss; processes meet in the last one."""
        parts, total = self.job.parts, torch.zeros((), device=images.device)
        for number, (part, wanted) in enumerate(zip(images.chunk(parts), targets.chunk(parts))):
            last = number == parts - 1 or self.shared is self.model
            with nullcontext() if last else self.shared.no_sync():
                with self._precision():
                    results = self.shared(part)
                loss = steps.loss_of(self.job.recipe, results, self.job.subject.main, wanted) / parts
                self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _precision(self) -> Any:
        kind = getattr(torch, self.job.recipe.precision)
        return torch.autocast(self.job.processes.device.type, kind, enabled=kind != torch.float32)

    def _written(self, log: StepLog, reporter: Reporter) -> None:
        """Write the losses that wait, tell of them, and end where one is no number any more, in all processes."""
        for step, lr, loss in log.written():
            reporter.loss(step, lr, loss)
            if not math.isfinite(loss):
                raise TrainingError(f"the loss is {loss} at step {step}: a lower `lr`, `warmup` or `clip` may help")

    # ---------------------------------------------------------------------------------------------- epochs
    def _epoch(self, lr: float, seconds: float, reporter: Reporter) -> None:
        """Measure the network at the end of an epoch, and keep it where it is the best."""
        job = self.job
        loss = self.losses.item() / self.steps
        self.losses.zero_()
        held = self.evaluated(validation_batches(job.data, job.pictures, job.recipe, job.processes, job.workers))
        images = self.steps * job.recipe.batch
        row = {"epoch": self.step // self.steps, "step": self.step, "lr": lr, "loss": loss, **held}
        self.rows.append({**row, "seconds": round(seconds, 2), "images_per_second": round(images / seconds, 1)})
        score = (held["accuracy"], -held["held_out_loss"])
        if score > self.best:
            self.best = score
            if job.processes.first:
                job.folder.keep_best(self.mean.module if self.mean is not None else self.model, job.operators)
        if job.processes.first:
            job.folder.log(self.rows)
        reporter.epoch(self.rows[-1])

    @torch.no_grad()
    def evaluated(self, batches: Any) -> dict[str, float]:
        """Return loss and accuracies, in [0, 1], on the images that are held out; of the average where there is one."""
        here, model = self.job.processes, self.mean.module if self.mean is not None else self.model
        here.of_the_first(model)
        model.eval()
        sums = torch.zeros(4, dtype=torch.float64, device=here.device)
        for images, labels in batches:
            targets = labels.to(here.device)
            with self._precision():
                results = model(images.to(here.device))
            sums += _measured(results.float(), targets)
        model.train()
        loss, first, top, count = here.summed(sums).tolist()
        return {"held_out_loss": loss / count, "accuracy": first / count, f"top{TOP}": top / count}


def _measured(results: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss, the images whose class is right, and among the five best, and all images: sums of a batch."""
    best = results.topk(min(TOP, results.shape[1]), dim=1).indices == targets[:, None]
    loss = F.cross_entropy(results, targets, reduction="sum")
    return torch.stack([loss.double(), best[:, 0].sum(), best.any(1).sum(), loss.new_tensor(len(targets))])


def _with_norms(model: nn.Module, recipe: Recipe, here: Processes) -> nn.Module:
    """Return a network whose batch norms see the images of all processes, where the recipe wants it."""
    if not recipe.sync_norms or here.count == 1:
        return model
    if here.device.type == "cpu":
        raise TrainingError("`sync_norms` needs GPUs: PyTorch has no batch norm over several processes on CPUs")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)


@contextmanager
def ended_by_signals(wanted: bool) -> Iterator[list[int]]:
    """Note Ctrl-C and SIGTERM in place of ending, so that the step is finished and kept; a second one ends at once."""
    told: list[int] = []
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: Any) -> None:
        if told:
            raise KeyboardInterrupt
        told.append(number)

    for number in before:
        signal.signal(number, note)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
