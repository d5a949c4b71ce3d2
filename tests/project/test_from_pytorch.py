"""The page for those who come from PyTorch: both sides of each row compute the same, and every layer has a row."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archdsl

PAGE = (Path(__file__).parents[2] / "docs" / "from-pytorch.md").read_text()
SHAPE = re.compile(r"^On `x` of shape \[([\d, ]+)\]", re.MULTILINE)
ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)


def rows() -> list[Any]:
    """Return the rows that compare, each with the shape of its input."""
    found = []
    for part in re.split(r"^(?=On `x` of shape)", PAGE, flags=re.MULTILINE)[1:]:
        shape = tuple(map(int, SHAPE.match(part)[1].split(",")))  # type: ignore[index]
        table = part.split("\n\n")[1]
        found += [pytest.param(shape, *row.groups(), id=row[1]) for row in ROW.finditer(table)]
    return found


class Noted:
    """`torch.nn`, with a note of the layers that are made."""

    def __init__(self) -> None:
        self.made: list[nn.Module] = []

    def __getattr__(self, name: str) -> Any:
        def make(*args: Any, **kwargs: Any) -> nn.Module:
            self.made.append(getattr(nn, name)(*args, **kwargs).eval())
            return self.made[-1]

        return make


def declared(shape: tuple[int, ...]) -> str:
    _, *sizes = shape
    names = {1: ("8",), 2: ("L=6", "8"), 3: ("8", "H=12", "W=10")}[len(sizes)]
    return f"[N, {', '.join(names)}]"


@pytest.mark.parametrize(("shape", "theirs", "ours"), rows())
@torch.no_grad()
def test_both_sides_compute_the_same(shape, theirs, ours):
    torch.manual_seed(0)
    x, noted = torch.randn(shape), Noted()
    model = archdsl.loads(f"net n:\n    input i: {declared(shape)}\n    {ours}\n").eval()
    wanted = eval(theirs, {"nn": noted, "F": F, "torch": torch, "x": x})
    parameters = [
        p for layer in noted.made if not isinstance(layer, nn.Sequential) for p in layer.state_dict().values()
    ]
    state = model.state_dict()
    assert len(state) == len(parameters)
    model.load_state_dict({name: p.reshape(own.shape) for (name, own), p in zip(state.items(), parameters)})
    wanted = wanted(x) if isinstance(wanted, nn.Module) else wanted
    torch.testing.assert_close(model(x), wanted)


def test_every_layer_of_pytorch_is_on_the_page():
    layers = {n for n, c in vars(nn).items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    shown = set(re.findall(r"nn\.(\w+)\(", "\n".join(row[1] for row in ROW.finditer(PAGE))))
    table = PAGE[PAGE.index("| `torch.nn` | instead |") :]
    elsewhere = {word for line in table.split("\n") for word in re.findall(r"`(\w+)`", line.split(" | ")[0])} - {
        "torch.nn"
    }
    assert layers - shown - elsewhere == set()
    assert shown & elsewhere == set()
    old = {"LinearCrossEntropyLoss", "RMSNorm", "NLLLoss2d", "Container"}  # which not every release has
    assert (shown | elsewhere) - layers - old == set()


def test_what_stands_beside_no_layer_is_right():
    """The right sides of the last table that are texts of the language."""
    for step in ("layer{3}: conv(8, 3)", "learned([64, 1, 1])", "pad(1)", "bn"):
        archdsl.loads(f"net n:\n    input image: [N, 3, H=8, W=8]\n    {step}\n")
    archdsl.loads(
        "net n:\n    input image: [N, 3, H=8, W=8]\n    r = x -> maxpool(2, indices=true)\n    r -> maxunpool(r.indices, 2)\n"
    )
    archdsl.loads(
        'net n:\n    input x1: [N, 3]\n    input y: [N, 3]\n    x * y -> sum("features")\n    output d = (x1 - y)**2 -> sum("features") -> sqrt\n'
    )
