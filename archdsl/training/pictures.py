"""Images as a network takes them: changed at random for training, in batches whose order the seed decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Sampler

from archdsl.core.record import Record
from archdsl.run.mistakes import TrainingError
from archdsl.training.chance import drawn_from
from archdsl.training.vision import v2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from archdsl.training.data import Data
    from archdsl.training.processes import Processes
    from archdsl.training.recipe import Recipe

    Transform = Callable[[Any], torch.Tensor]

POLICIES = {"autoaugment": v2.AutoAugment, "randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}


class Pictures(Record):
    """What is done with images: for training, for validation; the height and width that they have then, and before."""

    training: Transform
    validation: Transform
    size: tuple[int, int]
    resize: int | tuple[int, int]  # of the shorter side, or of both


def pictures(recipe: Recipe, data: Data, size: tuple[int, int]) -> Pictures:
    """Return the transforms of a recipe, to float32 [C, H, W]; `size` is what the network takes without `crop`."""
    size = (recipe.crop, recipe.crop) if recipe.crop else size
    how = v2.InterpolationMode(recipe.interpolation)
    resize = recipe.resize or (size[0] if size[0] == size[1] else size)
    whole = [v2.Resize(resize, how, antialias=True), v2.CenterCrop(size)]
    if recipe.scale:
        window: list[Any] = [v2.RandomResizedCrop(size, recipe.scale, recipe.ratio, how, antialias=True)]
    else:
        window = whole
    values = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(recipe.mean or data.mean, recipe.std or data.std)]
    return Pictures(
        v2.Compose([v2.ToImage(), *window, *_changes(recipe), *values, *_erasing(recipe), v2.ToPureTensor()]),
        v2.Compose([v2.ToImage(), *whole, *values, v2.ToPureTensor()]),
        size,
        resize,
    )


def _changes(recipe: Recipe) -> list[Any]:
    """Return what a recipe changes at random in an image of the final size."""
    found: list[Any] = []
    if recipe.rotate or recipe.shift:
        shift = (recipe.shift, recipe.shift)
        found.append(v2.RandomAffine(recipe.rotate, shift, interpolation=v2.InterpolationMode.BILINEAR))
    if recipe.flip:
        found.append(v2.RandomHorizontalFlip(recipe.flip))
    if recipe.policy:
        found.append(POLICIES[recipe.policy]())
    return found


def _erasing(recipe: Recipe) -> list[Any]:
    return [v2.RandomErasing(recipe.erasing)] if recipe.erasing else []


class Drawn(Dataset[tuple[torch.Tensor, int]]):
    """Images for training, asked for by epoch and number, which decide what is done with them."""

    def __init__(self, pairs: Sequence[tuple[Any, int]], transform: Transform, seed: int) -> None:
        self.pairs, self.transform, self.seed = pairs, transform, seed

    def __getitem__(self, place: tuple[int, int]) -> tuple[torch.Tensor, int]:
        image, label = self.pairs[place[1]]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(drawn_from(self.seed, *place))
            return self.transform(image), label


class Held(Dataset[tuple[torch.Tensor, int]]):
    """Images that are held out: those of one process, each once."""

    def __init__(self, pairs: Sequence[tuple[Any, int]], transform: Transform, numbers: range) -> None:
        self.pairs, self.transform, self.numbers = pairs, transform, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        image, label = self.pairs[self.numbers[place]]
        return self.transform(image), label


class Order(Sampler[list[tuple[int, int]]]):
    """The batches of one process from a step on, to the end of the run: pairs of an epoch and the number of an image.

    All processes together have the batches that one would have; what is left at the end of an epoch is left out.
    """

    def __init__(self, images: int, recipe: Recipe, processes: Processes, start: int) -> None:
        self.steps, self.start, self.epochs = steps_of(images, recipe), start, recipe.epochs
        self.batch = recipe.batch // processes.count
        self.sampler = DistributedSampler(range(images), processes.count, processes.rank, seed=recipe.seed)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.start // self.steps, self.epochs):
            self.sampler.set_epoch(epoch)
            numbers = list(self.sampler)
            done = max(0, self.start - epoch * self.steps)
            for step in range(done, self.steps):
                yield [(epoch, number) for number in numbers[step * self.batch : (step + 1) * self.batch]]


def steps_of(images: int, recipe: Recipe) -> int:
    """Return the steps of an epoch: whole batches of images."""
    if images < recipe.batch:
        raise TrainingError(f"a batch of {recipe.batch} is more than the {images} images for training: change `batch`")
    return images // recipe.batch


def training_batches(
    data: Data, made: Pictures, recipe: Recipe, processes: Processes, start: int, workers: int
) -> DataLoader[Any]:
    """Return the batches of a process from a step on: images [N, C, H, W] and classes [N]."""
    order = Order(len(data.train), recipe, processes, start)
    drawn = Drawn(data.train, made.training, recipe.seed)
    return DataLoader(drawn, batch_sampler=order, num_workers=workers, pin_memory=processes.device.type == "cuda")


def validation_batches(
    data: Data, made: Pictures, recipe: Recipe, processes: Processes, workers: int
) -> DataLoader[Any]:
    """Return the part of a process of the images that are held out."""
    numbers = range(processes.rank, len(data.val), processes.count)
    batch = max(1, recipe.batch // processes.count)
    pinned = processes.device.type == "cuda"
    return DataLoader(Held(data.val, made.validation, numbers), batch, num_workers=workers, pin_memory=pinned)
