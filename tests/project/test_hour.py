"""An hour of somebody new: a net with mistakes, mended as told, trained, fine-tuned, exported, in a notebook, every flag.

All of it in the environment of these tests, and, as a slow test, in a new one into which the wheel was installed: there
the package is the wheel's, what it requires is what is here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from archdsl.cli.main import COMMANDS
from tests.cli import flags

WRONG = '''"""A network for digits of 8x8 pixels."""

block unit(out, stride=1):
    add(identity -> conv(out, 1, stride=stride),
        conv2d(out, 3, stride=stride) -> bn -> relu)

net digits(width=16, classes=10):
    input image: [N, 1, H=8, W=8]
    stem: [conv(width, 3, padding=1), bn, rleu]
    body: [unit(2 * width, stride=2), unit(2 * width)]
    global_avgpool -> flatten -> head: linear(classes)
'''
DATA = """
import torch
from sklearn.datasets import load_digits
import archdsl

torch.set_num_threads(1)
torch.manual_seed(0)
found = load_digits()
images, digits = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(found.target)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = order[:1437], order[1437:]


def learn(model, labels, epochs, groups):
    optimizer = torch.optim.AdamW(groups)
    for _ in range(epochs):
        model.train()
        for batch in train[torch.randperm(len(train))].split(64):
            loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return (model(images[test]).argmax(1) == labels[test]).float().mean().item()
"""
TRAIN = (
    DATA
    + """
model = archdsl.load("digits.arch")
print("right", learn(model, digits, 12, model.parameters()))
archdsl.save(model, "digits.safetensors")
"""
)
TRANSFER = (
    DATA
    + """
import warnings

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    model = archdsl.load("digits.safetensors", classes=2)
assert [str(one.message) for one in said if one.category is archdsl.WeightsWarning], "the head is new, and it says so"
archdsl.freeze(model, until="head")
kept = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("head.")}
print("right", learn(model, digits % 2, 12, archdsl.parameter_groups(model, 1e-2)))
assert all(torch.equal(model.state_dict()[name], value) for name, value in kept.items())
"""
)
ONNX = (
    DATA
    + """
import onnxruntime

model = archdsl.load("digits.safetensors").eval()
session = onnxruntime.InferenceSession("digits.onnx", providers=["CPUExecutionProvider"])
(name,) = [given.name for given in session.get_inputs()]
(found,) = session.run(None, {name: images[test].numpy()})
with torch.no_grad():
    expected = model(images[test])
assert (torch.from_numpy(found) - expected).abs().max() < 1e-4
print("right", (torch.from_numpy(found).argmax(1) == digits[test]).float().mean().item())
"""
)
CELLS = [
    "%load_ext archdsl\nimport archdsl, torch",
    'archdsl.check("digits.arch")',
    "%%arch text width=8\n" + WRONG.replace("conv2d", "conv").replace("padding", "pad").replace("rleu", "relu"),
    'model = archdsl.load("digits.safetensors").eval()\nlist(model(torch.zeros(2, 1, 8, 8)).shape)',
    "archdsl.optimize(model).report()",
    "archdsl.__file__",
]


class Place:
    """An environment and a folder to work in."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run Python with arguments; returns what it prints, mistakes too."""
        command = [self.python, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=flags.environment(), stdout=PIPE, stderr=STDOUT, text=True, check=False
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def archdsl(self, line: str, status: int = 0) -> str:
        return self.run("-m", "archdsl", *line.split(), status=status)

    def right(self, script: str) -> float:
        """Run a script that ends in a share of images that it is right on."""
        return float(self.run("-c", script).splitlines()[-1].removeprefix("right "))


def installed(wheel: Path, folder: Path) -> Path:
    """Return Python of a new environment with the wheel, and what it requires from the one here."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index", "--no-deps", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    paths = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", paths], capture_output=True, text=True, check=True).stdout.strip())
    here = subprocess.run([sys.executable, "-c", paths], capture_output=True, text=True, check=True).stdout
    (site / "required.pth").write_text(here)  # after the wheel, and its own .pth files are not read
    return python


@pytest.fixture(scope="module", params=["here", pytest.param("installed", marks=pytest.mark.slow)])
def place(request, tmp_path_factory) -> Place:
    folder = tmp_path_factory.mktemp("hour")
    python = Path(sys.executable)
    if request.param == "installed":
        python = installed(request.getfixturevalue("wheel"), tmp_path_factory.mktemp("environment"))
    made = Place(python, folder)
    file = Path(made.run("-c", "import archdsl; print(archdsl.__file__)").strip())
    assert file.is_relative_to(python.parents[1]) == (request.param == "installed")
    (folder / "digits.arch").write_text(mended(made))
    return made


def mended(place: Place) -> str:
    """Mend a file as a reader does: put the word that the help proposes in place of what is underlined, one at a time."""
    file = place.folder / "digits.arch"
    file.write_text(WRONG)
    done = []
    while "error" in (said := place.run("-c", CHECK)):
        first = said.split("\n\n")[0]
        row, column = map(int, re.search(r"--> digits\.arch:(\d+):(\d+)", first).groups())
        word = re.search(r"help: (?:here it is|did you mean) `(\w+)`", first)[1]
        wide = len(re.search(r"\| +(\^+)", first)[1])
        lines = file.read_text().splitlines(keepends=True)
        old = lines[row - 1]
        lines[row - 1] = old[: column - 1] + word + old[column - 1 + wide :]
        file.write_text("".join(lines))
        done.append(word)
        assert len(done) <= 3, said
    assert sorted(done) == ["conv", "pad", "relu"], "each help mends one mistake"
    return file.read_text()


CHECK = "import sys; from archdsl.cli.main import main; main(['check', 'digits.arch'])"


@pytest.fixture(scope="module")
def trained(place) -> Place:
    """The folder with a network that has learned its digits."""
    assert place.right(TRAIN) >= 0.97
    return place


def test_a_net_with_three_mistakes_is_mended_as_its_help_says(place):
    said = place.archdsl("check digits.arch")
    assert said.startswith("digits: [N, 1, H, W] -> [N, 10], ") and (place.folder / "digits.arch").read_text() != WRONG


def test_it_learns_digits_and_then_another_task(trained):
    """97 of 100 digits that it has not seen; then which are odd, by a new head on what it has learned."""
    assert trained.right(TRANSFER) >= 0.9


def test_it_runs_in_onnx_runtime(trained):
    pytest.importorskip("onnxruntime")
    said = trained.archdsl("export digits.safetensors -o digits.onnx --dynamic")
    assert "digits.onnx" in said
    assert trained.right(ONNX) >= 0.97


def test_a_notebook(trained, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    kernel = trained.folder / "jupyter" / "kernels" / "hour"
    kernel.mkdir(parents=True)
    argv = [str(trained.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "hour", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(trained.folder / "jupyter"))
    for name in [name for name in os.environ if name.startswith("PYTHON")]:
        monkeypatch.delenv(name)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    resources = {"metadata": {"path": str(trained.folder)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="hour", resources=resources).execute()
    found = [[dict(output.get("data", {})) for output in cell.outputs] for cell in notebook.cells]
    assert "global_avgpool" in found[1][0]["text/html"]
    assert any("image/svg+xml" in output for output in found[2])
    assert found[3][0]["text/plain"] == "[2, 10]"
    assert "batch norms folded" in found[4][0]["text/plain"]
    file = found[5][0]["text/plain"].strip("'")
    assert file == trained.run("-c", "import archdsl; print(archdsl.__file__)").strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_every_flag_where_it_is_installed(name, wheel, installation, tmp_path):
    """As `tests/cli/test_flags.py` runs them where these tests run."""
    flags.prepare(tmp_path)
    program, outside = [installation.parent / "archdsl"], flags.environment()
    code = "import archdsl; archdsl.save(archdsl.load('tiny.arch'), 'tiny.safetensors')"
    subprocess.run([installation, "-c", code], cwd=tmp_path, env=outside, check=True)
    for line, status, word in flags.ONCE[name]:
        found, said = flags.run(program, f"{name} {line}", tmp_path, outside)
        assert found == status and word in said, said
    for line, first in flags.ENDLESS.get(name, ()):
        assert first in flags.interrupt(program, f"{name} {line}", tmp_path, outside, first)


@pytest.fixture(scope="module")
def installation(wheel, tmp_path_factory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("installation"))
