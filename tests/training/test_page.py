"""The page on training, as a reader follows it, with fewer epochs: its commands, its code, its tables."""

from __future__ import annotations

import csv
import json
import re
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import archdsl
from archdsl.cli.main import main
from archdsl.training import recipe, state
from archdsl.training.data import PACKAGED, digits, photographs
from benchmarks.training import LINES, row

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ archdsl (.*)", PAGE, re.MULTILINE)
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CLASSES, EACH = ("astronaut", "chelsea", "coffee"), {"train": 16, "val": 12}

pytestmark = pytest.mark.usefixtures("one_thread")


def write_photos(folder):
    """Write tiles of photographs as files: real images in the layout of the page."""
    found = photographs()
    for part, pairs in (("train", found.train), ("val", found.val)):
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
            images = [image for image, label in pairs if found.classes[label] == name][:: 2 if part == "train" else 1]
            for number, image in enumerate(images[: EACH[part]]):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / part / name / f"{number:04}.png")


def test_a_reader_follows_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    torch.save(archdsl.load("mobilenet_v3_small").state_dict(), "weights.pth")
    said = []
    for command in COMMANDS:
        fewer = " --epochs 1" if command.startswith("train") else ""
        assert main(f"{command}{fewer}".split()) == 0, command
        out, err = capsys.readouterr()
        said.append(out + err)
    first, again, tuned, checked, exported = said
    assert "photos: 48 images to train on, 36 held out (the folders train and val), 3 classes" in first
    assert "goes on after step 3" in again and again.splitlines()[-1] == first.splitlines()[-1]
    assert "is new: the weights are for 1000 outputs, and here are 3" in tuned
    assert checked.startswith("mobilenet_v3_small: [N, 3, H, W] -> [N, 3]") and "wrote photos.onnx" in exported
    space: dict[str, object] = {}
    exec(compile(CODE[0], "<training>", "exec"), space)
    right = [
        space["classified"](path) == path.parent.name for path in sorted((tmp_path / "photos" / "val").glob("*/*.png"))
    ]
    rows = csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines())
    assert sum(right) / len(right) == pytest.approx(max(float(row["accuracy"]) for row in rows))


def test_the_code_in_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    exec(compile(CODE[1], "<training>", "exec"), space)
    start, _, end = re.search(r"# (lenet/.*)", CODE[1])[1].partition("7...")
    said = capsys.readouterr().out.strip()
    assert said.startswith(start) and said.endswith(end) and 0.5 < space["trained"].accuracy < 0.95
    assert space["model"].training and space["trained"].path == "lenet/best.safetensors"


@pytest.mark.slow
def test_lightning_takes_a_network_unchanged(tmp_path):
    """Twelve epochs of its own trainer, and its own checkpoint; what it learns is what the network has."""
    space: dict[str, object] = {"archdsl": archdsl, "torch": torch}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(CODE[2], "<training>", "exec"), space)
        found = digits()
        images = torch.stack([image for image, _ in found.train]).float() / 255
        pairs = TensorDataset(
            torch.nn.functional.interpolate(images, size=32), torch.tensor([y for _, y in found.train])
        )
        torch.manual_seed(0)
        classifier = space["Classifier"]()
        trainer = space["lightning"].Trainer(max_epochs=12, default_root_dir=tmp_path, accelerator="cpu", logger=False)
        trainer.fit(classifier, DataLoader(pairs, 32, shuffle=True))
        (checkpoint,) = tmp_path.rglob("*.ckpt")
        held = torch.load(checkpoint, weights_only=True)["state_dict"]
    weights = {name.removeprefix("model."): value for name, value in held.items()}
    model = archdsl.load("lenet5", act="relu", weights=weights).eval()
    images = torch.nn.functional.interpolate(torch.stack([image for image, _ in found.val]).float() / 255, size=32)
    right = (model(images).argmax(1) == torch.tensor([label for _, label in found.val])).float().mean()
    assert right > 0.9
    archdsl.save(classifier.model, tmp_path / "net.safetensors")
    again = archdsl.load(tmp_path / "net.safetensors").state_dict()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_the_tables_of_the_page_are_whole():
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert set(recipe.names()) <= told
    assert {state.BEST, state.STATE, state.LOG, state.STEPS, state.RUN, state.RECIPE} <= told
    assert all(f"`{name}`" in PAGE for name in PACKAGED)


def test_what_is_told_of_accuracy_was_measured():
    """By the record of `benchmarks.training`: each row of the table, and 98.5 % of the digits by every seed."""
    record = json.loads((ROOT / "benchmarks" / "results" / "training.json").read_text())
    assert [result["data"] for result in record["results"]] == list(LINES)
    for result in record["results"]:
        assert row(result) in PAGE and result["command"] == f"archdsl {LINES[result['data']]}"
        assert all(run["epochs"] == recipe.recipe(result["data"]).epochs for run in result["runs"])
        assert all(run["accuracy"] == pytest.approx(run["curve"][-1], abs=1e-4) for run in result["runs"])
    assert min(run["accuracy"] for run in record["results"][0]["runs"]) >= 0.985


def test_the_recipe_of_the_page_is_in_that_of_the_package():
    (shown,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found = recipe._parsed(shown, "the page")
    whole = recipe._read(found["net"])
    assert found.pop("sources").items() <= whole["sources"].items() and found.items() <= whole.items()
