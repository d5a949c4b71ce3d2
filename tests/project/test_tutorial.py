"""The tutorial, as a reader follows it: its files are checked, its answers compared, its training run."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import archdsl
from archdsl.cli import main as cli

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
FENCED = re.compile(r"^```(arch|console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    file, before = tmp_path / "digits.arch", torch.get_rng_state()
    compared = 0
    for kind, text in FENCED.findall(PAGE):
        if kind == "arch":
            # The block alone is put before the net that is there.
            whole = text if "\nnet " in text else text + "\n" + file.read_text()[file.read_text().index("net ") :]
            file.write_text(whole)
        elif kind == "console":
            command, answer = text.removeprefix("$ archdsl ").split("\n", 1)
            cli.main(command.split())
            said = capsys.readouterr()
            assert answer.strip() in said.out + said.err, said.out + said.err
            compared += 1
        else:
            space: dict[str, object] = {}
            exec(compile(text, "<tutorial>", "exec"), space)
            images, model, test = space["images"], space["model"], space["test"]
            assert float(space["right"]) > 0.96  # type: ignore[arg-type]
            with torch.no_grad():
                same = torch.allclose(space["fast"](images[test]), model(images[test]), atol=1e-4)  # type: ignore
            assert same
    torch.set_rng_state(before)
    assert compared == 3
    nets = re.search(r"for (\d+) networks", PAGE)
    assert nets is not None and int(nets[1]) == len(archdsl.nets())
