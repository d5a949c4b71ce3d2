"""Training: a run that is killed and goes on is the run; two processes are one; what is learnt, kept and refused."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import archdsl
from archdsl.cli.main import main
from archdsl.run.origin import origin_of
from archdsl.training import loop, state
from archdsl.training.data import digits
from archdsl.training.pictures import pictures, training_batches
from archdsl.training.processes import Processes
from archdsl.training.recipe import Recipe, recipe
from tests.training import jobs
from tests.training.jobs import few, trained

SOLE = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
ROOT = Path(__file__).parents[2]
TIMES = ("seconds", "images_per_second")

pytestmark = pytest.mark.usefixtures("one_thread")


def curve(folder):
    """Return all that a run has written of its course, without times."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in table(folder, "log.csv")]
    return rows, Path(folder, "steps.csv").read_text()


def table(folder, name):
    return list(csv.DictReader(Path(folder, name).read_text().splitlines()))


def weights(folder):
    return archdsl.load(f"{folder}/best.safetensors").state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    trained(folder)
    return folder


# -------------------------------------------------------------------------------------------------- going on
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(unbroken, tmp_path):
    """By SIGKILL in the middle of an epoch, a step after the last state; the curve is the same bit for bit."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "tests.training.jobs", "killed", str(folder), str(16 * 7 + 5)]
    assert subprocess.run(command, env=SOLE, stderr=subprocess.PIPE).returncode == -signal.SIGKILL
    assert torch.load(folder / "state.pt", weights_only=True)["step"] == 6
    found = trained(folder, resume=True)
    assert curve(folder) == curve(unbroken) and len(curve(folder)[1].splitlines()) == 21
    assert same(weights(folder), weights(unbroken)) and same(found.model.state_dict(), weights(unbroken))


def test_another_run_is_another_one(unbroken, tmp_path):
    """What the test before compares does differ: with another seed, and where the state lacks something."""
    trained(tmp_path / "seed", changes={"seed": 4})
    assert curve(tmp_path / "seed") != curve(unbroken)


@pytest.mark.parametrize("lost", ["optimizer", "mean", "schedule", "losses"])
def test_a_state_that_lacks_something_is_seen(lost, unbroken, tmp_path, monkeypatch):
    held = loop.Run.restore

    def without(run, found):
        fresh = run.state()
        held(run, {**found, lost: fresh[lost]})

    monkeypatch.setattr(loop.Run, "restore", without)
    monkeypatch.setattr(loop.Run, "_epoch", ended(loop.Run._epoch, 7))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", save_every=1)
    monkeypatch.undo()
    monkeypatch.setattr(loop.Run, "restore", without)
    trained(tmp_path / "run", resume=True)
    assert curve(tmp_path / "run") != curve(unbroken)


def ended(epoch, after):
    """Return what ends an epoch, and the run in the second one."""

    def then(run, *arguments):
        epoch(run, *arguments)
        run._stepped = dying(run, run._stepped, after)

    return then


def dying(run, stepped, after):
    def step(*arguments):
        if run.step >= after:
            raise KeyboardInterrupt
        return stepped(*arguments)

    return step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_after_its_step(number, unbroken, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.training.jobs",
        "killed",
        str(tmp_path / "run"),
        str(16 * 8 + 5),
        str(int(number)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "ended, as before\n"
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] == 9
    trained(tmp_path / "run", resume=True)
    assert curve(tmp_path / "run") == curve(unbroken)


def test_a_run_is_not_gone_on_with_as_another(unbroken):
    with pytest.raises(archdsl.TrainingError, match="holds a run, which `--resume` goes on with"):
        trained(unbroken)
    for more, said in (
        ({"changes": {"lr": 0.5}}, "`lr` of its recipe differs"),
        ({"data": few(96)}, "its data differs"),
        ({"norm": "gn(4)"}, "its text differs"),
        ({"freeze": ["stem"]}, "its frozen differs"),
    ):
        with pytest.raises(archdsl.TrainingError, match=f"holds another run: {said}"):
            trained(unbroken, resume=True, **more)


def test_a_run_at_its_end_is_told_again(unbroken):
    before = curve(unbroken)
    found = trained(unbroken, resume=True)
    assert curve(unbroken) == before and found.accuracy == max(float(row["accuracy"]) for row in before[0])


def test_each_step_has_chance_of_its_own(tmp_path):
    """Equal images, a rate of 0 and no norm: only a dropout makes losses differ."""
    equal = few().replace(train=[few().train[0]] * 16)
    found = Recipe(epochs=3, batch=16, lr=0.0)
    for net in ("dropped", "whole"):
        text = GROUPS.replace("flatten ->", "flatten -> dropout(0.5) ->" if net == "dropped" else "flatten ->")
        (tmp_path / "digits.arch").write_text(text)
        archdsl.train(tmp_path / "digits.arch", equal, found, folder=tmp_path / net, silent=True)
    assert len(set(losses(tmp_path / "dropped"))) == 3 and len(set(losses(tmp_path / "whole"))) == 1


def test_chance_outside_is_left_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trained(tmp_path / "run", changes={"epochs": 1})
    assert torch.equal(before, torch.get_rng_state())


# -------------------------------------------------------------------------------------------------- processes
GROUPS = """
net grouped(classes=10, norm=gn(4)):
    input image: [N, 1, H=8, W=8]
    stem: [conv(8, 3), norm, relu]
    stage: [conv(16, 3, stride=2), norm, relu]
    global_avgpool -> flatten -> head: linear(classes)
"""
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
((LINE, FOLDER),) = re.findall(
    r"^\$ torchrun --standalone --nproc-per-node 2 -m archdsl (.*) -o (\w+)$", PAGE, re.MULTILINE
)
LINE += " --epochs 2 --change mixup=0.0 -o"
LAUNCHED = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def losses(folder):
    return [float(row["loss"]) for row in table(folder, "steps.csv")]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return the folder where two processes have trained a network, once with group norms, once with batch norms."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "digits.arch").write_text(GROUPS)
    lines = [f"{LINE} groups", f"{LINE} batches --set norm=bn --epochs 1"]
    job = [*LAUNCHED, "tests.training.jobs", "lines", *lines]
    done = subprocess.run(job, cwd=folder, env=SOLE | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 processes") == done.stdout.count("best.safetensors") == 2
    return folder


def test_two_processes_have_the_losses_of_one(two, tmp_path, monkeypatch):
    """The same images in each batch, changed at random in the same way: to the rounding of float32 (1e-5 of the loss)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.arch").write_text(GROUPS)
    assert main(f"{LINE} one".split()) == 0
    assert losses(two / "groups") == pytest.approx(losses("one"), rel=1e-5) and len(losses("one")) == 44
    for found, wanted in zip(table(two / "groups", "log.csv"), table("one", "log.csv")):
        assert float(found["held_out_loss"]) == pytest.approx(float(wanted["held_out_loss"]), rel=1e-4)
        assert float(found["accuracy"]) == pytest.approx(float(wanted["accuracy"]), abs=1.5 / 359)


def test_a_batch_in_parts_has_the_losses_of_the_whole(tmp_path):
    (tmp_path / "digits.arch").write_text(GROUPS)
    for parts in (1, 4):
        archdsl.train(tmp_path / "digits.arch", few(), Recipe(epochs=3, batch=16, lr=3e-3, momentum=0.5, optimizer="sgd"),
                      folder=tmp_path / str(parts), silent=True, parts=parts)  # fmt: skip
    assert (
        losses(tmp_path / "4") == pytest.approx(losses(tmp_path / "1"), rel=1e-5) and len(losses(tmp_path / "4")) == 15
    )
    with pytest.raises(archdsl.TrainingError, match="16 is no multiple of 1 processes x 3 parts"):
        trained(tmp_path / "run", parts=3)


def test_batch_norms_see_the_images_of_their_process(two, tmp_path):
    """So the first loss of two processes is the mean of that of two halves, and no other."""
    found = recipe("digits").changed({"epochs": 1, "mixup": 0.0, "lr": 0.0})
    path = two / "digits.arch"
    made = archdsl.train(path, "digits", found, folder=tmp_path / "one", silent=True, norm="bn")
    one = Processes(0, 1, torch.device("cpu"))
    images, labels = next(iter(training_batches(digits(), pictures(found, digits(), (8, 8)), found, one, 0, 0)))
    model = made.model.train()  # as it was drawn: nothing was learnt at a rate of 0

    def loss(part):
        smooth = found.label_smoothing
        return torch.nn.functional.cross_entropy(model(images[part]), labels[part], label_smoothing=smooth).item()

    halves = (loss(slice(0, None, 2)) + loss(slice(1, None, 2))) / 2
    assert losses(two / "batches")[0] == pytest.approx(halves, rel=1e-5)
    assert losses(two / "batches")[0] != pytest.approx(loss(slice(None)), rel=1e-5)


# -------------------------------------------------------------------------------------------------- what is learnt
def test_the_files_of_a_run(unbroken):
    assert sorted(os.listdir(unbroken)) == sorted(
        [state.BEST, state.STATE, state.LOG, state.STEPS, state.RUN, state.RECIPE]
    )
    about = json.loads((unbroken / "run.json").read_text())
    assert about["network"] == "everything" and about["classes"] == [str(digit) for digit in range(10)]
    assert about["input"]["size"] == [8, 8] and about["input"]["mean"] == [0.305]
    assert recipe(unbroken / "recipe.toml") == jobs.RECIPE
    assert (unbroken / "best.safetensors").stat().st_mode == (unbroken / "state.pt").stat().st_mode
    rows, each = curve(unbroken)[0], losses(unbroken)
    means = [sum(each[5 * epoch : 5 * epoch + 5]) / 5 for epoch in range(4)]
    assert [float(row["loss"]) for row in rows] == pytest.approx(means, rel=1e-6)
    held = few().val
    model = archdsl.load(unbroken / "best.safetensors").eval()
    images = (torch.stack([image for image, _ in held]).float() / 255 - 0.305) / 0.376
    right = (model(images).argmax(1) == torch.tensor([label for _, label in held])).float().mean().item()
    assert right == pytest.approx(max(float(row["accuracy"]) for row in rows))


def test_a_short_run_learns_digits(tmp_path):
    """Four epochs of the recipe of which all forty are in `benchmarks/results/training.json`."""
    made = archdsl.train(
        ROOT / "benchmarks" / "digits.arch",
        "digits",
        "digits",
        folder=tmp_path,
        silent=True,
        changes={"epochs": 6},
        width=16,
    )
    assert made.accuracy > 0.8 and made.rows[-1]["loss"] < made.rows[0]["loss"]


def coloured(folder, count):
    for label, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200)]):
        place = folder / f"class{label}"
        place.mkdir(parents=True)
        for number in range(count):
            noise = torch.randint(0, 40, (24, 20, 3), generator=torch.Generator().manual_seed(number))
            Image.fromarray((torch.tensor(colour) - 20 + noise).clamp(0, 255).byte().numpy()).save(
                place / f"{number}.png"
            )


def test_a_network_is_fine_tuned_on_a_folder(tmp_path, capsys):
    """Weights for other classes, a frozen stem, three classes: the head is new, what is frozen stays bit for bit."""
    coloured(tmp_path / "photos", 10)
    before = archdsl.load("squeezenet1_1")
    torch.save(before.state_dict(), tmp_path / "before.pth")
    line = f"train squeezenet1_1 --data {tmp_path}/photos -o {tmp_path}/run --weights {tmp_path}/before.pth "
    line += "--freeze-until features.6 --epochs 2 --change crop=64 --change batch=8 --change ema=0.5 --change lr=0.003"
    assert main(line.split()) == 0
    said = capsys.readouterr()
    assert "24 images to train on, 6 held out (a fifth of each class is held out" in said.out
    assert "is new: the weights are for 1000 outputs, and here are 3" in said.err
    after = weights(tmp_path / "run")
    stays = [name for name in after if same({name: after[name]}, {name: before.state_dict()[name]})]
    assert "features.0.weight" in stays and not any(name.startswith(("features.6", "classifier")) for name in stays)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["classes"] == ["class0", "class1", "class2"]


def test_a_network_with_a_layer_of_the_callers(tmp_path):
    shrink = archdsl.operator("shrink", torch.nn.Softshrink, macs=0, window=lambda lambd: (1,))
    text = GROUPS.replace("relu]", "shrink(0.01)]", 1)
    assert "shrink" in text
    (tmp_path / "digits.arch").write_text(text)
    made = archdsl.train(tmp_path / "digits.arch", few(), Recipe(epochs=1, batch=16), folder=tmp_path / "run", silent=True,
                         operators=[shrink])  # fmt: skip
    assert isinstance(made.model.stem[2], torch.nn.Softshrink)


def test_a_module_is_trained_in_place(tmp_path):
    model = archdsl.loads(jobs.NET)
    archdsl.freeze(model, "stem")
    first = {name: value.clone() for name, value in model.state_dict().items()}
    made = archdsl.train(model, few(), Recipe(epochs=1, batch=16), folder=tmp_path, silent=True)
    assert torch.equal(model.stem[0].weight, first["stem.0.weight"])
    assert not torch.equal(model.head.weight, first["head.weight"])
    assert same(made.model.state_dict(), model.state_dict()) and origin_of(made.model).name == "everything"
    assert repr(made).startswith(f"<{tmp_path}/best.safetensors: ") and "of 40 images right, after epoch 1 of 1" in str(
        made
    )


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_and_channels_last(precision, tmp_path):
    changes = {"precision": precision, "channels_last": True}
    made = trained(tmp_path / "run", changes=changes)
    whole = trained(tmp_path / "whole")
    found, exact = [torch.tensor(losses(tmp_path / name)) for name in ("run", "whole")]
    assert not torch.equal(found, exact) and (found - exact).abs().max() < 0.1
    assert all(value.dtype == torch.float32 for value in made.model.parameters()) and len(whole.rows) == 4


def test_tensorboard_has_the_losses(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tmp_path / "run", tensorboard=True, changes={"epochs": 2})
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert [step for step, _ in found] == list(range(1, 11))
    assert [value for _, value in found] == pytest.approx(losses(tmp_path / "run"), rel=1e-6)
    assert len(events.Scalars("held out/accuracy")) == 2


# -------------------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("network", "given", "said"),
    [
        ("unet", "digits", "is to give \\[N, 10\\], a score for each class of digits"),
        ("alexnet", "photographs", "`image` of alexnet .*63.*`crop` of the recipe says another size"),
        ("no_such_net", "digits", "no_such_net"),
        ("lenet5", "no/such/folder", "no data set of ours"),
    ],
)
def test_what_cannot_be_trained(network, given, said, tmp_path, capsys):
    line = f"train {network} --data {given} -o {tmp_path}/run --change crop={192 if network == 'unet' else 32}"
    assert main(line.split()) == 2
    assert re.search(said, capsys.readouterr().err) and not os.path.exists(tmp_path / "run" / "state.pt")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"classes": 3}, "3 classes are fewer than the 10 of the data"),
        ({"freeze": ["*"]}, "all of the network is frozen"),
        ({"changes": {"lr": 1e30, "clip": 0.0, "warmup": 0.0}}, "the loss is (nan|inf) at step"),
        ({"device": "gpu"}, "`gpu` is no device of PyTorch"),
        ({"changes": {"batch": 100}}, "a batch of 100 is more than the 80 images"),
    ],
)
def test_what_is_asked_in_vain(more, said, tmp_path):
    with pytest.raises(archdsl.TrainingError, match=said):
        trained(tmp_path / "run", **more)


def test_a_module_of_nobodys(tmp_path):
    with pytest.raises(archdsl.TrainingError, match="only a network that `archdsl.load` has made"):
        archdsl.train(torch.nn.Linear(2, 2), few(), folder=tmp_path)
