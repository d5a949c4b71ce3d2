"""Warnings: what is legal and seldom meant. Each fires on what it is about, and on nothing in the gallery."""

from __future__ import annotations

import json

import pytest

from archdsl import project
from archdsl.cli.main import main
from archdsl.compiler import Request, compiled, nets_of
from archdsl.diagnose.advice import MOST, advise
from archdsl.project import Project

HEAD = "net n:\n    input image: [N, 8, H=64, W=64]\n"


def advice(text: str) -> list[tuple[int, str]]:
    """Return the line and the code of each warning of a text, whose nets are all checked."""
    file = Project().text(text)
    networks = [compiled("", Request(net), file=file).network for net in nets_of(file)]
    return [(found.primary.span.line, found.code) for found in advise(file, networks, whole=True)]


@pytest.mark.parametrize("stem", project.bundled())
def test_the_gallery_has_none(stem):
    file = Project().open(project.path_of(stem))
    networks = [compiled(stem, Request(net), file=file).network for net in nets_of(file)]
    assert [d.title for d in advise(file, networks, whole=True)] == []


CASES = {  # the body of a net, and what is said of it: line and code
    # W0501: what nothing mentions
    "y = relu\n    conv(8, 3)": [(3, "W0501")],
    "y = x\n    relu -> add(y, identity)": [],
    "for i in range(2):\n        s{i} = x\n    add(s0, s1)": [],
    "for i in range(2):\n        s{i} = x\n    t{0} = x\n    add(s{0}, x)": [(5, "W0501")],
    "for i in range(2):\n        relu": [],  # a count needs no name
    "c = 8\n    skip = x\n    add(conv(c, 3), skip)": [],
    # W0502 and W0508: conditions
    "relu if true": [(3, "W0502")],
    "relu if 1 > 2 else silu": [(3, "W0502")],
    "if not true:\n        relu": [(3, "W0502")],
    "if x.channels == 8:\n        relu\n    elif x.channels  == 8:\n        silu": [(5, "W0508")],
    "if x.channels == 8:\n        relu\n    elif x.channels == 4:\n        silu": [],
    # W0503: a bias before a norm
    "conv(8, 3) -> bn": [(3, "W0503")],
    "conv(8, 3) -> gn(8)": [(3, "W0503")],
    "conv(8, 3) -> gn(4)": [],  # the mean of two channels keeps the difference of their biases
    "conv(8, 3) -> ln": [],
    "conv(8, 3, bias=false) -> bn": [],
    "conv(8, 3) -> relu -> bn": [],
    "a: conv(8, 3)\n    y = x\n    bn -> add(y, identity)": [],  # something else reads it, too
    "flatten -> linear(8) -> bn": [(3, "W0503")],
    # W0504: pixels that nothing reads
    "conv(8, 1, stride=2)": [(3, "W0504")],
    "conv(8, 2, stride=2)": [],
    "maxpool(2, stride=3)": [(3, "W0504")],
    "conv(8, (3, 1), stride=2)": [(3, "W0504")],
    "conv(8, 3, stride=2, dilation=2)": [(3, "W0504")],  # the taps are all on even pixels
    "conv(8, 3, stride=2, dilation=3)": [],
    "add(conv(8, 1, stride=2), conv(8, 3, stride=2))": [],  # a projection beside a branch that reads all
    "add(conv(8, 1, stride=2), [conv(8, 1, stride=2), conv(8, 3)])": [(3, "W0504")],
    "cat(relu -> maxpool(3, 2, pad=1), conv(8, 1, stride=2))": [],
    "relu\n    y = x\n    conv(8, 1, stride=2)\n    output a = x\n    output b = y": [],
    # W0505: a result that nothing uses
    "output y = x -> relu\n    conv(8, 3)": [(4, "W0505")],
    "output y = x -> relu when training\n    conv(8, 3)": [],
    "for i in range(3):\n        y{i} = x -> conv(3, 1)\n    add(y0, y1)": [(4, "W0505")],  # in one pass
    "for i in range(3):\n        y{i} = x -> relu\n    add(y0, y1)": [],  # without weights
    "for r in range(2):\n        l0_{r} = x -> relu\n    add(*[l{r}_0 for r in range(1)], l0_1)": [],
    # W0509: windows, W0510: combinators
    "conv(8, 31)": [],
    "conv(8, (1, 64))": [],
    "add(conv(8, 3) -> relu)": [(3, "W0510")],
    "cat()": [(3, "W0510")],
    "cat(relu)": [(3, "W0510")],
    "split(conv(8, 3))": [(3, "W0510")],
    "cat(*[conv(8, 3) for i in range(1)])": [],
    "f = [relu, silu]\n    add(*f)": [],
    # W0507: groups that are no whole vectors
    "conv(24, 3, groups=2)": [(3, "W0507")],
    "conv(32, 3, groups=2)": [(3, "W0507")],
    "conv(12, 3)": [],
    "conv(12, 1)\n    depthwise(3)": [(4, "W0507")],
    "conv(16, 3, groups=8)": [],
}


@pytest.mark.parametrize("body", CASES)
def test_advice(body):
    assert advice(f"{HEAD}    {body}\n") == CASES[body]


def test_parameters_imports_and_inputs():
    text = "from resnet50 import basic, resnet\n\nblock b(c, k=3):\n    conv(c, 3)\n\nfn f(a, b) = a\n\n"
    text += "net n(classes=10):\n    input image: [N, 8, H=64, W=64]\n    input mask: [N, 1, H, W]\n"
    text += "    b(f(8, 8))\n    basic(8)\n"
    assert advice(text) == [(1, "W0501"), (3, "W0501"), (6, "W0501"), (8, "W0501"), (10, "W0501")]


def test_a_step_is_dead_only_where_every_use_of_it_is():
    block = "block b(twice=false):\n    y = x -> conv(8, 3)\n    relu\n    add(x, y) if twice\n\n"
    assert advice(block + HEAD + "    b(true)\n    b\n") == []
    assert advice(block + HEAD + "    b\n") == [(2, "W0505")]


def test_an_output_that_nothing_takes():
    block = "block b:\n    output main = x -> relu\n    output extra = x -> conv(8, 3)\n\n"
    assert advice(block + HEAD + "    b\n") == [(3, "W0506")]
    assert advice(block + HEAD + "    y = b\n    x -> y -> relu\n") == [(3, "W0506")]
    assert advice(block + HEAD + "    x -> b\n    z = x -> b\n    add(x, z.extra)\n") == []
    assert (
        advice(block + "net m:\n    input i: [N, 8, H=8, W=8]\n    z = i -> b\n    z.extra\n" + HEAD + "    b\n") == []
    )


def test_one_net_of_several_says_nothing_of_what_another_may_use():
    text = "block b:\n    output main = x -> relu\n    output extra = x -> conv(8, 3)\n\n" + HEAD + "    b\n"
    file = Project().text(text)
    assert advise(file, [compiled("", Request("n"), file=file).network], whole=False) == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("    conv(12, 1, stride=2) -> bn  # allow W0503\n", ["W0504"]),
        ("    # allow W0503, W0504: why not\n    conv(12, 1, stride=2) -> bn\n", []),
        ("    # allow W0503\n    relu\n    conv(12, 3) -> bn\n", ["W0503"]),
        ("# allow W0503: everywhere\n    relu\n    conv(12, 3) -> bn\n", []),
        ("    conv(12, 3) -> bn  # allows W0503\n", ["W0503"]),
    ],
)
def test_a_comment_allows(text, codes):
    assert [code for _, code in advice(HEAD + text)] == codes


def test_uses_and_many_places_are_counted(tmp_path, capsys):
    path = tmp_path / "many.arch"
    path.write_text("block b:\n    conv(8, 3) -> bn\n\n" + HEAD + "    b * 3\n" + "    conv(8, 3) -> bn\n" * 15)
    assert main(["check", str(path)]) == 0
    drawn = capsys.readouterr().err
    assert drawn.count("warning[W0503]") == MOST and f"and {16 - MOST} more W0503 in this file" in drawn


def test_blocks_of_other_files_are_not_this_file_s(tmp_path, capsys):
    (tmp_path / "parts.arch").write_text("block b(unused=1):\n    conv(12, 3) -> bn\n")
    (tmp_path / "whole.arch").write_text("from parts import b\n\n" + HEAD + "    b\n")
    assert main(["check", "--strict", str(tmp_path / "whole.arch")]) == 0
    assert capsys.readouterr().err == ""


def test_strict_is_for_scripts(tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text(HEAD + "    conv(8, 3) -> bn\n")
    assert main(["check", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("n: ") and err.startswith("warning[W0503]: ")
    assert main(["check", "--strict", str(path), "--format", "short"]) == 1
    assert "warning[W0503]: " in capsys.readouterr().out


def test_warnings_in_the_forms_for_machines(tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text(HEAD + "    conv(8, 3) -> bn\n")
    assert main(["check", str(path), "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [(d["level"], d["code"]) for d in data["diagnostics"]] == [("warning", "W0503")] and data["networks"]
    assert main(["check", str(path), "--format", "sarif"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert [result["level"] for result in run["results"]] == ["warning"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert "Wrong:" in rule["fullDescription"]["text"] and "Wrong:" not in rule["shortDescription"]["text"]


def test_the_edit_for_a_bias_mends_it():
    for call in ("conv(8, 3)", "conv(8, 3, bias=true)", "conv_transpose(8, 3)"):
        text = HEAD + f"    {call} -> bn\n"
        file = Project().text(text)
        (found,) = advise(file, [compiled("", Request("n"), file=file).network], whole=True)
        (edit,) = found.help
        assert edit.span is not None
        assert advice(text[: edit.span.start] + edit.replacement + text[edit.span.end :]) == []
