"""Generated code is compared with the checked network before it is handed over: nothing that differs gets through.

Each test of a difference changes right code by one token, which is to be found; the gallery and the programs at random
(`test_programs.py`) show that right code passes.
"""

from __future__ import annotations

import io
import re
import tokenize

import pytest

import archdsl
from archdsl.cli.main import main
from archdsl.codegen import replay
from archdsl.codegen.lower import lower
from archdsl.codegen.module import Emitted, emit
from archdsl.compiler import compile_text, compiled
from tests.families import LEAST

SMALL = """init conv(kaiming(mode="fan_out"), bias=zeros), bn(ones)
block unit(c, g, act=relu):
    mid = c // 2
    add(identity, [conv(mid, 1), act, conv(c, 3, bias_init=normal(0.5)), bn])
    cat(shuffle(g), slice(0, 2 * g)) -> conv(c, 1) -> drop_path(0.25)
net n(classes=5):
    input image: [N, 8, H=16, W=16]
    r = x -> maxpool(2, indices=true)
    r -> conv(8, 3) -> maxunpool(r.indices, 2)
    for i in range(3):
        stage{i}: unit(8, 2)
    unit(8, 4, silu) -> avgpool(3, stride=1, pad=1) -> dropout(0.5)
    add(identity, [conv(8, 3), elu(0.5), conv(8, 3), scale(0.5, learned=true)])
    ode([conv(8, 3), tanh], "euler", steps=2)
    output deep = x -> upsample(2) -> crop(size=(7, 5))
    output head = x -> global_avgpool -> flatten -> linear(classes) when training
"""


def changes(text: str, kind: int) -> list[str]:
    """Return a text with one token of a kind changed, in every place outside of comments and docstrings."""
    found = []
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != kind or not token.line.startswith("        "):
            continue
        row, start, end = token.start[0] - 1, token.start[1], token.end[1]
        for new in {tokenize.NUMBER: [f"({token.string} + 1)"], tokenize.NAME: swapped(token)}[kind]:
            line = lines[row][:start] + new + lines[row][end:]
            found.append("\n".join([*lines[:row], line, *lines[row + 1 :]]))
    return found


def swapped(token: tokenize.TokenInfo) -> list[str]:
    """Return another name in the place of one that says what is computed."""
    others = {
        "x": "y",
        "y": "x",
        "True": "False",
        "relu": "relu6",
        "Conv2d": "ConvTranspose2d",
        "cat": "stack",
        "self": "nobody",
    }
    others |= {
        "kaiming_normal_": "kaiming_uniform_",
        "zeros_": "ones_",
        "ones_": "zeros_",
        "ReLU": "SiLU",
        "mid": "in_channels",
    }
    return [others[token.string]] if token.string in others else []


def support(text: str) -> range:
    """Return where the classes that operators bring along stand, which are not the network's."""
    return range(text.find("class DropPath"), text.find("class NOutput"))


@pytest.mark.parametrize("kind", [tokenize.NUMBER, tokenize.NAME], ids=["numbers", "names"])
def test_every_change_of_a_token_is_found(kind):
    network = compile_text(SMALL).network
    emitted = emit(network)
    assert replay.differences(network, emitted) == []
    missed, tried = [], 0
    for changed in changes(emitted.text, kind):
        at = next(i for i, (a, b) in enumerate(zip(changed, emitted.text)) if a != b)
        line = emitted.text[emitted.text.rfind("\n", 0, at) + 1 : emitted.text.find("\n", at)]
        if at in support(emitted.text) or "inplace=True" in line and "True" in emitted.text[at - 1 : at + 5]:
            continue  # an activation that is not in place computes the same
        tried += 1
        if not replay.differences(network, Emitted(changed, emitted.class_name)):
            missed.append(line)
    assert tried > 40 and not missed, missed


def test_every_statement_is_needed():
    """One line of a constructor or of `forward` left out."""
    network = compile_text(SMALL).network
    emitted = emit(network)
    lines = emitted.text.split("\n")
    missed = []
    for row, line in enumerate(lines):
        place = len("\n".join(lines[:row])) + 1
        if not re.match(r" {8,}\S", line) or place in support(emitted.text) or '"""' in line or "super()" in line:
            continue
        rest = "\n".join([*lines[:row], *lines[row + 1 :]])
        if not replay.differences(network, Emitted(rest, emitted.class_name)):
            missed.append(line)
    # What TorchScript needs to have declared; the second of two tests in a row: its statements then stand under the
    # first.
    assert missed == ["        head: torch.Tensor | None = None", "        if self.training:"]


def test_an_overwritten_value_is_not_read():
    network = compile_text("net n:\n    input i: [N, 4, H=8, W=8]\n    conv(4, 3) -> add(identity, elu)\n").network
    emitted = emit(network)
    wrong = emitted.text.replace("F.elu(x)", "F.elu(x, inplace=True)")
    assert wrong != emitted.text
    swapped = re.sub(r"return x \+ (.*)", r"return \1 + x", wrong)
    assert replay.differences(network, emitted) == []
    assert replay.differences(network, Emitted(swapped, emitted.class_name))


def test_the_gallery_is_what_it_says_on_kernels():
    """A net of each file; without kernels `test_emit.py` compiles every net, which compares its code."""
    for name in LEAST.values():
        network = compiled(name).network
        assert replay.differences(lower(network, "all"), emit(network, kernels="all")) == [], name


@pytest.mark.parametrize(
    "code",
    ["import os", "import archdsl.cli.main", "open('x')", "eval('1')", "__import__('sys')", "from sys import path"],
)
def test_what_is_replayed_opens_nothing(code):
    with pytest.raises((ImportError, NameError)):
        replay.Stage().run(code)


def test_nothing_that_differs_is_handed_over(monkeypatch, tmp_path, capsys):
    def wrong(network, **options):
        emitted = emit(network, **options)
        return emitted.replace(text=emitted.text.replace("padding=1", "padding=2"))

    monkeypatch.setattr(replay, "emit", wrong)
    text = "net n:\n    input i: [N, 3, H=8, W=8]\n    stem: conv(4, 3)\n"
    path = tmp_path / "n.arch"
    path.write_text(text)
    assert main(["compile", str(path), "-o", str(tmp_path / "n.py")]) == 3
    assert not (tmp_path / "n.py").exists()
    said = capsys.readouterr().err
    assert "`stem` is" in said and "a bug in archdsl, not in your file" in said
    for call in (archdsl.loads, lambda _: archdsl.compile(str(path))):
        with pytest.raises(replay.Unfaithful, match="`stem` is"):
            call(text)


@pytest.mark.parametrize("label", ["stage", "target", "args", "kwargs", "path", "inits", "notes", "f", "conv"])
def test_labels_are_no_names_of_its_own(label):
    text = (
        f"net n:\n    input image: [N, 3, H=8, W=8]\n    y = x -> {label}: conv(3, 1)\n    {label}2: prelu\n    x + y\n"
    )
    assert f"self.{label}(" in replay.faithful(compile_text(text).network).text
