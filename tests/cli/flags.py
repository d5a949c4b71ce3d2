"""Every command with every flag: command lines for a folder of small files, and what each has to say.

A flag that no line has fails `test_flags.py`, so that a new one comes with a line here. `test_hour.py` runs the same lines
where the package is installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE, STDOUT

import numpy

import archdsl.cli.main as cli
from archdsl.cli.status import INTERRUPTED, YES

FILES = {
    "tiny.arch": "net tiny(c=4):\n    input image: [N, 3, H=8, W=8]\n    a: conv(c, 3) -> b: [conv(c, 3, stride=2), relu] * 2\n",
    "wide.arch": "net wide(c=4):\n    input image: [N, 3, H=8, W=8]\n    a: conv(2 * c, 3)\n",
    "torchy.arch": "net torchy:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3, padding=1) -> relu\n",
    "small.arch": "net small(c=4, classes=10):\n    input image: [N, 1, H=8, W=8]\n    a: conv(c, 3) -> b: bn -> relu\n    global_avgpool -> flatten -> head: linear(classes)\n",
    "loose.arch": "net loose:\n  input image: [N, 3, H=8, W=8]\n  conv(4,3) -> relu\n",
}

# command, the status that it exits with, a word that it prints or writes
ONCE: dict[str, tuple[tuple[str, int, str], ...]] = {
    "check": (
        ("--shapes --columns layer,output --depth 1 --net tiny --set c=8 --input 2x3x16x16 tiny.arch", 0, "[N, 8, ceil(H/4), ceil(W/4)]"),
        ("--format json --outputs a,b --output-stride 2 --strict tiny.arch", 0, '"features"'),
        ("--fix torchy.arch", 0, "fixed"),
    ),
    "fmt": (
        ("--check loose.arch", 1, "loose.arch"),
        ("--diff loose.arch", 1, "+    conv(4, 3) -> relu"),
        ("loose.arch", 0, "loose.arch"),
    ),
    "compile": (
        ("tiny.arch -o out.py --emit python --force --kernels all --inference --net tiny --set c=8", 0, "wrote out.py"),
        ("tiny.arch -o - --input 1x3x8x8 --outputs a --output-stride 1", 0, "class Tiny"),
    ),
    "export": (
        ("tiny.arch -o tiny.pt2 --format pt2 --dynamic --force --net tiny --set c=4 --outputs a", 0, "tiny.pt2"),
        ("tiny.arch -o tiny.onnx --int8 images.npy", 0, "calibrated on 6 images"),
        ("tiny.arch -o other.pt2 --weights tiny.safetensors --input 2x3x8x8 --output-stride 2", 0, "other.pt2"),
    ),
    "train": (
        ("small.arch --data digits --recipe scratch --change batch=256 --change scale=[] --epochs 1 -o run --net small --set c=4 --device cpu", 0, "run/best.safetensors"),
        ("small.arch --data digits --classes 12 --epochs 1 --change batch=256 --change scale=[] --freeze a --freeze-until b -o other --weights small.safetensors --workers 1 --parts 2 --save-every 3 --tensorboard --resume", 0, "other/best.safetensors"),
    ),
    "compress": (
        ("tiny.arch -o tiny.archz --density 0.5 --bits conv=4 --weights tiny.safetensors --net tiny --set c=4 --force", 0, "times smaller"),
        ("tiny.arch -o other.archz --density a=0.5 --json", 0, '"layers"'),
    ),
    "decompress": (
        ("tiny.archz -o whole.safetensors --force", 0, "wrote whole.safetensors"),
    ),
    "import": (
        ("net.cfg -o mine.arch --force --input 1x3x64x64 --name mine --partial", 0, "verified: "),
    ),
    "cost": (
        ("tiny.arch --convention torch --by kind --dtype bfloat16 --batch 2 --memory --optimizer adam --net tiny", 0, "conv"),
        ("tiny.arch --device h100 --set c=8 --input 1x3x16x16 --outputs a --output-stride 2", 0, "h100"),
        ("tiny.arch --explain fvcore", 0, "fvcore"),
        ("tiny.arch --peak 1e12,1e11 --columns step,bound --depth 1", 0, "bound"),
        ("tiny.arch --symbolic H,W", 0, "H*W"),
        ("tiny.arch --json", 0, '"layers"'),
        ("tiny.arch --csv", 0, ","),
    ),
    "sweep": (
        ("tiny.arch --net tiny --set c=2,4,8 --input 1x3x8x8 --sample 2 --seed 3 --jobs 2 --figures params --csv", 0, "params"),
        ("tiny.arch --set c=2,4 --json --plot plot.svg", 0, '"params"'),
    ),
    "diff": (
        ("tiny.arch wide.arch --net-a tiny --net-b wide --set-a c=4 --set-b c=2 -o diff.svg", 1, "tiny -> wide"),
        ("tiny.arch tiny.arch --json", 0, "{"),
    ),
    "draw": (
        ("tiny.arch -o tiny.svg --by params --depth 1 --theme dark --net tiny --set c=8 --input 1x3x16x16", 0, "tiny.svg"),
        ("tiny.arch -o - --outputs a --output-stride 2", 0, "<svg"),
    ),
    "explore": (
        ("tiny.arch -o tiny.html --net tiny --set c=8 --input 1x3x16x16 --outputs a --output-stride 2", 0, "tiny.html"),
    ),
    "search": (
        ("tiny.arch --net tiny --set c=2,3,4 --input 1x3x8x8 --budget params<=400 --maximize params --jobs 2 --json", 0, "params"),
        ("tiny.arch --set c=2..9 --sample 4 --seed 1 --state state.json", 0, "c"),
        ("tiny.arch --set c=2..9 --sample 4 --sampler tpe --maximize params --minimize macs --plot goals.svg", 0, "on the front"),
    ),
    "list": (("lenet*", 0, "lenet5"),),
    "explain": (("E0302", 0, "E0302"),),
    "completion": (("bash", 0, "complete"),),
    "server": (),
}  # fmt: skip

# what goes on until it is told to end, and what it says first
ENDLESS: dict[str, tuple[tuple[str, str], ...]] = {
    "check": (("tiny.arch --watch", "tiny: "),),
    "explore": (("tiny.arch --serve --port 0", "http://"),),
    "server": (("--stdio", ""),),
}


def options_of(command: str) -> list[tuple[str, ...]]:
    """Return the flags of a command, each with all its spellings."""
    _, commands = cli.parsers(command)
    actions = commands[command]._actions
    return [tuple(action.option_strings) for action in actions if action.option_strings and action.dest != "help"]


def unused(command: str) -> set[str]:
    """Return the flags of a command that no line has."""
    lines = [line for line, *_ in (*ONCE[command], *ENDLESS.get(command, ()))]
    words = {word for line in lines for word in shlex.split(line)}
    return {spellings[-1] for spellings in options_of(command) if words.isdisjoint(spellings)}


def prepare(folder: Path) -> None:
    """Write the files that the lines read, but for weights."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    numpy.save(folder / "images.npy", numpy.random.default_rng(0).normal(size=(8, 3, 8, 8)))
    shutil.copy(Path(__file__).parent / "tiny.archz", folder)
    shutil.copy(Path(__file__).parents[1] / "importer" / "darknet" / "tiny.cfg", folder / "net.cfg")


def run(program: Sequence[object], line: str, folder: Path, outside: dict[str, str]) -> tuple[int, str]:
    """Run a command line to its end; returns its status and what it prints, mistakes too."""
    command = [*map(str, program), *shlex.split(line)]
    done = subprocess.run(command, cwd=folder, env=outside, stdout=PIPE, stderr=STDOUT, text=True, timeout=300)
    return done.returncode, done.stdout


def interrupt(program: Sequence[object], line: str, folder: Path, outside: dict[str, str], first: str) -> str:
    """Start what goes on, wait for what it says first, end it as Ctrl-C or an editor does, and return what it has said."""
    command = [*map(str, program), *shlex.split(line)]
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": STDOUT}
    with subprocess.Popen(command, cwd=folder, env=outside, text=True, preexec_fn=hearing, **pipes) as going:
        assert going.stdout is not None and going.stdin is not None
        if not first:
            going.stdin.close()  # an editor that has gone away
            assert going.wait(60) == 0
            return going.stdout.read()
        said = ""
        while first not in said:
            more = going.stdout.readline()
            assert more, said
            said += more
        going.send_signal(signal.SIGINT)
        said += going.stdout.read()
        assert going.wait(60) in (YES, INTERRUPTED), said
    return said


def hearing() -> None:
    """Have a process hear Ctrl-C, although those that start behind a shell's `&` are told to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment() -> dict[str, str]:
    """Return the environment of a process that knows nothing of the checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
        "PYTHONUNBUFFERED": "1"
    }
