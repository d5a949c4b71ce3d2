"""Images: folders in both layouts, the rule that holds a part out, real images of packages, and the order of batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import archdsl
from archdsl.training import pictures
from archdsl.training.data import Data, data
from archdsl.training.processes import Processes
from archdsl.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def painted(folder, classes, count, start=0):
    """Write images of one colour a class, which differ in a pixel."""
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (12, 10), (60 * label + 20, 40, 200 - 60 * label))
            image.putpixel((0, 0), (start + number, 0, 0))
            image.save(folder / name / f"{number}.png")


def test_a_folder_with_parts(tmp_path):
    painted(tmp_path / "train", "ab", 3)
    painted(tmp_path / "val", "ab", 2)
    (tmp_path / "train" / "a" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "a" / "more").mkdir()
    (tmp_path / "train" / "a" / "0.png").rename(tmp_path / "train" / "a" / "more" / "0.PNG")
    found = data(tmp_path)
    assert found.classes == ("a", "b") and [label for _, label in found.train] == [0, 0, 0, 1, 1, 1]
    assert len(found.val) == 4 and found.channels == 3 and "train and val" in found.told
    image, label = found.val[3]
    assert image.mode == "RGB" and image.size == (12, 10) and image.getpixel((1, 1)) == (80, 40, 140) and label == 1


def test_a_fifth_of_each_class_is_held_out(tmp_path):
    painted(tmp_path, ["few", "many"], 4)
    for number in range(4, 26):
        (tmp_path / "many" / f"{number}.png").write_bytes((tmp_path / "many" / "0.png").read_bytes())
    found, again, other = data(tmp_path), data(tmp_path), data(tmp_path, seed=1)
    whole = {path for path, _ in [*found.train.found, *found.val.found]}
    assert len(whole) == 30 and len(found.train) + len(found.val) == 30
    assert [label for _, label in found.val.found] == [0] + [1] * 5
    assert found.val.found == again.val.found != other.val.found and found.mark == again.mark != other.mark
    # What is held out stays so when images of another class come: it is decided by its own path.
    painted(tmp_path / "new", ["x"], 4)
    (tmp_path / "new" / "x").rename(tmp_path / "third")
    (tmp_path / "new").rmdir()
    assert data(tmp_path).val.found[:6] == found.val.found and len(data(tmp_path).val) == 7


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda f: None, "no images of two classes"),
        (lambda f: painted(f, ["only"], 3), "no images of two classes"),
        (
            lambda f: (painted(f / "train", "ab", 1), painted(f / "val", "ac", 1)),
            "the class `c` in val, and not in train",
        ),
    ],
)
def test_folders_that_are_none(made, said, tmp_path):
    made(tmp_path)
    with pytest.raises(archdsl.TrainingError, match=said):
        data(tmp_path)


def test_a_name_that_is_none():
    with pytest.raises(archdsl.TrainingError, match="digits, photographs"):
        data("digit")


def test_the_digits_are_scikit_learns():
    found, theirs = data("digits"), load_digits()
    assert len(found.train) == 1438 and len(found.val) == 359
    assert [label for _, label in [*found.train, *found.val]] == theirs.target.tolist()
    assert found.val[-1][0].numpy() == pytest.approx(np.rint(theirs.images[-1:] * 255 / 16))
    values = torch.stack([image for image, _ in [*found.train, *found.val]]).double() / 255
    assert (values.mean().item(), values.std().item()) == pytest.approx((*found.mean, *found.std), abs=1e-3)


def test_no_pixel_of_the_photographs_is_seen_twice():
    found = data("photographs")
    assert len(found.classes) == 10 and all(image.shape == (3, 32, 32) for image, _ in found.val)
    for label in range(10):
        held = [image for image, one in found.val if one == label]
        seen = [image for image, one in found.train if one == label]
        assert len(held) >= 12 * 2 and 0.2 < len(held) / (len(held) + len(seen)) < 0.3
        # Laid side by side, tiles are the photograph again: columns from left to right, the last ones held out.
        columns = [torch.cat(list(part), 1) for part in torch.stack([*seen, *held]).split(12)]
        whole = torch.cat(columns, 2).float()
        assert whole.shape[1] == 384
        edges = (whole[:, :, 32::32] - whole[:, :, 31:-1:32]).abs().mean()
        inside = (whole[:, :, 33::32] - whole[:, :, 32:-1:32]).abs().mean()
        assert edges < 1.5 * inside + 1


# -------------------------------------------------------------------------------------------------- batches
def small(count=23):
    pairs = [(torch.full((1, 4, 4), number, dtype=torch.uint8), number % 2) for number in range(count)]
    return Data("small", pairs, pairs[:5], ("a", "b"), 1, (0.0,), (1.0,), "")


def order(recipe, rank=0, count=1, start=0):
    return list(pictures.Order(23, recipe, Processes(rank, count, CPU), start))


def test_batches_are_whole_and_each_image_is_seen_once():
    batches = order(Recipe(epochs=3, batch=4, seed=5))
    assert len(batches) == 15 and all(len(batch) == 4 for batch in batches)
    for epoch in range(3):
        seen = [number for batch in batches[5 * epoch : 5 * epoch + 5] for _, number in batch]
        assert len(set(seen)) == 20 and {e for batch in batches[5 * epoch : 5 * epoch + 5] for e, _ in batch} == {epoch}
    assert batches[0] != batches[5] and batches != order(Recipe(epochs=3, batch=4, seed=6))


@pytest.mark.parametrize("start", [0, 1, 4, 5, 13, 15])
def test_a_run_that_goes_on_has_the_batches_that_are_left(start):
    recipe = Recipe(epochs=3, batch=4)
    assert order(recipe, start=start) == order(recipe)[start:]


@pytest.mark.parametrize("count", [2, 4])
def test_processes_have_the_batches_of_one(count):
    recipe = Recipe(epochs=2, batch=4)
    parts = [order(recipe, rank, count) for rank in range(count)]
    together = [sorted(pair for part in parts for pair in part[step]) for step in range(10)]
    assert together == [sorted(batch) for batch in order(recipe)]


def test_what_is_done_with_an_image_is_decided_by_its_epoch_and_number():
    recipe = Recipe(epochs=2, batch=8, rotate=90, shift=0.3, erasing=0.5, policy="randaugment")
    found = small()
    made = pictures.pictures(recipe, found, (8, 8))
    one = Processes(0, 1, CPU)
    whole = [images for images, _ in pictures.training_batches(found, made, recipe, one, 0, 0)]
    late = [images for images, _ in pictures.training_batches(found, made, recipe, one, 3, 0)]
    assert all(torch.equal(a, b) for a, b in zip(whole[3:], late)) and len(late) == 1
    halves = [
        torch.cat([images for images, _ in pictures.training_batches(found, made, recipe, Processes(r, 2, CPU), 0, 0)])
        for r in range(2)
    ]
    assert sorted(torch.cat(halves).sum((1, 2, 3)).tolist()) == sorted(torch.cat(whole).sum((1, 2, 3)).tolist())


def test_an_image_is_another_one_in_each_epoch():
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 8, 8)
    drawn = pictures.Drawn([(image, 0)] * 2, pictures.pictures(Recipe(rotate=180), small(), (8, 8)).training, seed=0)
    places = [(0, 0), (1, 0), (2, 0), (0, 1)]
    made = [drawn[place][0] for place in places]
    assert all(torch.equal(drawn[place][0], one) for place, one in zip(places, made))
    assert len({tuple(one.flatten().tolist()) for one in made}) == 4


WORKERS = """
import torch
from archdsl.training import pictures
from archdsl.training.recipe import Recipe
from tests.training.test_data import CPU, Processes, small

recipe, found, one = Recipe(epochs=1, batch=8, rotate=90), small(), Processes(0, 1, CPU)
made = pictures.pictures(recipe, found, (8, 8))
alone, shared = [
    torch.cat([images for images, _ in pictures.training_batches(found, made, recipe, one, 0, workers)])
    for workers in (0, 2)
]
print(len(alone), torch.equal(alone, shared))
"""


def test_workers_change_nothing():
    """In a process of their own: workers are forks, and the one that runs tests has threads of all that it has run."""
    done = subprocess.run([sys.executable, "-c", WORKERS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "16 True\n"


def test_validation_is_the_middle_of_the_resized_image():
    image = torch.arange(3 * 20 * 40, dtype=torch.int64).reshape(3, 20, 40).remainder(256).to(torch.uint8)
    found = Data("one", [(image, 0)], [(image, 0)], ("a", "b"), 3, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0), "")
    made = pictures.pictures(Recipe(crop=16, resize=20), found, (8, 8))
    expected = image[:, 2:18, 12:28].float() / 255
    expected = (expected - torch.tensor([0.5, 0.25, 0.0])[:, None, None]) / torch.tensor([0.5, 1.0, 2.0])[:, None, None]
    assert made.size == (16, 16) and torch.allclose(made.validation(image), expected, atol=1e-6)
    assert torch.equal(made.training(image), made.validation(image))  # a recipe that changes nothing
    oblong = pictures.pictures(Recipe(), found, (10, 30))
    assert oblong.validation(image).shape == (3, 10, 30) and oblong.resize == (10, 30) and made.resize == 20


def test_each_process_has_its_part_of_what_is_held_out():
    found, recipe = small(), Recipe(batch=4)
    made = pictures.pictures(recipe, found, (4, 4))
    parts = [
        torch.cat([x for x, _ in pictures.validation_batches(found, made, recipe, Processes(rank, 2, CPU), 0)])
        for rank in range(2)
    ]
    assert sorted((torch.cat(parts)[:, 0, 0, 0] * 255).round().tolist()) == [0, 1, 2, 3, 4]


def test_a_batch_that_is_more_than_the_images():
    with pytest.raises(archdsl.TrainingError, match="a batch of 64 is more than the 23 images"):
        order(Recipe())
