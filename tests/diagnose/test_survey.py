"""Several mistakes in one run: independent ones only, each place once, none in a file that is right."""

from __future__ import annotations

import pytest

from archdsl import project
from archdsl.cli.main import main
from archdsl.core.source import Source
from archdsl.diagnose.fix import diagnose
from archdsl.diagnose.survey import each, survey
from archdsl.project import Project

MANY = """\
block b(c):
    conv(c, 3, strid=2) -> bn -> relu
    cnv(c, 3)

net one(c=8):
    input i: [N, 3, H=64, W=64]
    b(c)
    liner(10)

net two = one(16)

net three:
    input i: [N, 3, H=64, W=64]
    add(conv(4, 3), identity)
    relu(slope=3)
"""


BEHIND = """\
block res(c):
    main = conv(c, 3, pad=0) -> bn
    add(main, x)
    relu

net n(classes=10):
    input image: [N, 3, H=64, W=64]
    conv(64, 3) -> relu
    stem = x
    a = stem -> conv(32, 99, pad=0)
    b = stem -> conv(32, 3, groups=7)
    res(64)
    res(64) * 3
    for i in range(4):
        res(64)
    cat(a, b)
    conv(x.channels // 3, 3, stride=0)
    skip{classes} = rely
    skip10
    linear(5)
"""


@pytest.mark.parametrize("stem", project.bundled())
def test_a_file_that_is_right_has_none(stem):
    assert survey(Project().open(project.path_of(stem))) == []


@pytest.mark.parametrize(
    "body",
    [
        "for i, (a, b) in enumerate([(1, 2)]):\n        conv(a + b, 3) -> out{i}: relu\n        kept{i} = x\n    add(kept0, kept0)",
        "sizes = [n * 2 for n in range(3) if n > 0]\n    conv(sizes[0], 3) -> c: bn(init=zeros)",
        "half = x.channels // 1\n    if half > 2:\n        relu\n    output y = x",
    ],
)
def test_names_that_a_body_binds_are_known(body):
    assert survey(Project().text(f"net n(c=3):\n    input i: [N, 3, H=8, W=8]\n    {body}\n")) == []


def test_independent_mistakes_come_together(tmp_path, capsys):
    path = tmp_path / "many.arch"
    path.write_text(MANY)
    assert main(["check", str(path), "--format", "short"]) == 1
    lines = [line.split("many.arch:")[1].split(": ")[:2] for line in capsys.readouterr().out.splitlines()]
    places = [(int(place.split(":")[0]), code) for place, code in lines]
    assert places == [
        (2, "error[E0202]"), (3, "error[E0201]"), (8, "error[E0201]"), (14, "error[E0302]"), (15, "error[E0202]")
    ]  # fmt: skip


def test_one_net_is_looked_at_behind_its_mistakes(tmp_path, capsys):
    """Uses of what is lost, or of what a guess has made, say nothing; the block's mistake is one, with its count."""
    path = tmp_path / "behind.arch"
    path.write_text(BEHIND)
    assert main(["check", str(path), "--format", "short"]) == 1
    lines = [line.split("behind.arch:")[1].split(": ")[:2] for line in capsys.readouterr().out.splitlines()]
    assert [(int(place.split(":")[0]), code) for place, code in lines] == [
        (3, "error[E0302]"), (10, "error[E0301]"), (11, "error[E0301]"), (18, "error[E0201]")
    ]  # fmt: skip
    assert main(["check", str(path)]) == 1
    assert "and 7 more where this is used again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("y = conv(8, 99, pad=0)\n    add(y, y) -> relu\n    z = y\n    z -> conv(4, 1)", [3]),
        ("if rely:\n        y = x\n    else:\n        y = relu\n    y", [3]),
        ("for i in range(3):\n        t{i} = conv(8, 99, pad=0)\n    t0\n    t2", [4]),
        ("conv(8, 99, pad=0)\n    c = x.channels\n    maxpool(c)\n    conv(8, c, pad=0)", [3]),
        ("cat(conv(8, 99, pad=0), conv(8, 77, pad=0), conv(8, 3))\n    flatten -> maxpool(2)", [3, 3]),
        ("conv(8, 3)\n    c: relu\n    add(c, x)\n    maxpool(99, pad=0)", [5]),
        ("cat:\n        conv(8, 99, pad=0)\n        nothing(3)\n    relu\n    conv(8, 3, bias=7)", [4, 5, 7]),
    ],
)
def test_no_mistake_follows_from_another(body, lines):
    file = Project().text(f"net n:\n    input image: [N, 3, H=32, W=32]\n    {body}\n")
    assert [found.primary.span.line for found in each("n", file, ["n"])] == lines


@pytest.mark.parametrize(
    ("output", "line"), [("x -> conv(8, 99, pad=0)", 3), ("x -> rely", 3), ("lost", 2), ("x -> relu(3)", 3)]
)
def test_a_result_that_fails_has_its_name(output, line):
    block = f"block b:\n    lost = x -> conv(8, 3, bias=7)\n    output left = {output}\n    output right = x\n"
    block = block if output == "lost" else block.replace(", bias=7", "")
    steps = "    r = x -> b\n    r.left -> linear(3)\n    add(r.right, r.left, r)\n"
    file = Project().text(f"{block}net n:\n    input image: [N, 3, H=32, W=32]\n{steps}")
    assert [found.primary.span.line for found in each("n", file, ["n"])] == [line]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("block a:\n    conv(8, 3 3)\nblock b:\n    relu relu\nnet n:\n    input i: [N, 3, H=8, W=8]\n    a -> b -> rely\n",
         [(2, "E0107"), (4, "E0107"), (7, "E0201")]),
        ("block a:\n\nnet n:\n    input i: [N, 3, H=8, W=8]\n    a -> cnv(8, 3)\n", [(3, "E0107"), (5, "E0201")]),
        ("default conv(bias=0)\nnet n:\n    input i: [N, 3, H=8, W=8]\n    conv(8, 99, pad=0) -> rely\n",
         [(1, "E0205"), (4, "E0201")]),
        ("from nowhere import a, b\nnet n:\n    input i: [N, 3, H=8, W=8]\n    a -> b(3)\n    conv(8, 99, pad=0)\n",
         [(1, "E0216")]),
        ("from nowhere import a\nnet n:\n    input i: [N, 3, H=8, W=8]\n    maxpool(99)\n    a\n",
         [(1, "E0216"), (4, "E0301")]),
        ("\"\"\"no end\nnet n:\n    input i: [N, 3, H=8, W=8]\n    rely\n", [(1, "E0101"), (4, "E0201")]),
        ("net n:\n    rely]\n", [(2, "E0103")]),
        ("bloc a(c):\n    conv(c 3)\nnet n:\n    input i: [N, 3, H=8, W=8]\n    a(3) -> rely\n", [(1, "E0107"), (2, "E0107"), (5, "E0201")]),
        ("def f(x):\n    y = x +\n    return y\nnet n:\n    input i: [N, 3, H=8, W=8]\n    f -> rely\n",
         [(1, "E0107"), (3, "E0107"), (6, "E0201")]),
        ("?\n", [(1, "E0101")]),
        ("# nothing\n", [(1, "E0108")]),
    ],
)  # fmt: skip
def test_a_file_is_looked_at_behind_its_syntax_errors(text, places):
    found = [(d.primary.span.line, d.code) for d in diagnose(Source("n.arch", text))]
    assert found == places


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ("conv(8 3)\n    bn bn\n    rely\n    conv(8, 3, strid=2)", [(3, "E0107"), (4, "E0107"), (5, "E0201"), (6, "E0202")]),
        ("y = conv(4, 3 -> bn\n    maxpool(99)\n    add(y, x)\n    relu(]", [(3, "E0102"), (4, "E0301"), (6, "E0103")]),
        ("conv(8 3)\n    add(x, input)\n    linear(3) -> cnv(8, 3)", [(3, "E0107"), (4, "E0201"), (5, "E0201")]),
        ("skip{1} = conv(4, 3]\n    require x.channels = 4, \"no\"\n    maxpool(99)\n    add(skip1, x)",
         [(3, "E0103"), (4, "E0107"), (5, "E0301")]),
        ("cat(a: conv(4 3),\n        b: conv(4, 99, pad=0),\n        c: [relu)\n    ) -> bn\n    rely", [(3, "E0107"), (7, "E0201")]),
        ("conv(8, 3)\n      -> bn $ relu\n      -> relu\n    rely", [(4, "E0101"), (6, "E0201")]),
        ("add:\n        identity\n        conv(8 3)\n    maxpool(99)", [(5, "E0107")]),
        ("for i in range(3:\n        conv(8 3)\n    maxpool(99) -> relu relu", [(3, "E0107"), (4, "E0107"), (5, "E0107")]),
        ("if x.channels = 3:\n        a = x\n    else\n        bn bn\n    a", [(3, "E0107"), (5, "E0107"), (6, "E0107")]),
        ("if x.channels = 3: relu\n    elif true: conv(8 3)\n    maxpool(99) -> relu )", [(3, "E0107"), (4, "E0107"), (5, "E0103")]),
        ("output a = conv(8 3)\n    rely", [(3, "E0107"), (4, "E0201")]),
        ("for i range(3)\n        t{i} = x\n    add(t0, t1)\n    bn 3", [(3, "E0107"), (6, "E0107")]),
        ("relu\n      bn\n    conv(8 3)", [(4, "E0107"), (5, "E0107")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_syntax_errors_of_one_definition_come_together(body, places, end):
    """What builds on a line that cannot be read says nothing: names, shapes, what a condition decides."""
    text = f"net n:\n    input i: [N, 3, H=8, W=8]\n    {body}\n".replace("\n", end)
    assert [(d.primary.span.line, d.code) for d in diagnose(Source("n.arch", text))] == places


def test_a_net_without_a_legible_input_is_looked_at_for_its_syntax():
    text = "net n:\n    input i: [N 3, H=8]\n    rely\n    bn bn\nnet m:\n    input i: [N, 3, H=8, W=8]\n    n -> silu silu -> x\n"
    assert [(d.primary.span.line, d.code) for d in diagnose(Source("n.arch", text))] == [
        (2, "E0107"), (3, "E0201"), (4, "E0107"), (7, "E0107")
    ]  # fmt: skip


def test_wrong_arguments_of_one_name_are_one_mistake_with_its_uses():
    text = "net n:\n    input i: [N, 3, H=8, W=8]\n    conv(8, 3, strid=2)\n    bn -> conv(8, 3, strid=1)\n    conv(9)\n    conv(9)\n"
    found = diagnose(Source("n.arch", text))
    assert [(d.primary.span.line, [n.text for n in d.notes][-1:]) for d in found] == [
        (3, ["and 1 more use, on line 4"]), (5, ["and 1 more use, on line 6"])
    ]  # fmt: skip


def test_a_name_that_does_not_exist_is_one_mistake_with_its_uses():
    text = "net n:\n    input i: [N, 3, H=8, W=8]\n    conv(wide, 3)\n    conv(wide, 3) -> conv(wide, 1)\n    conv(8, wide)\n"
    (found,) = diagnose(Source("n.arch", text))
    assert found.primary.span.line == 3 and [n.text for n in found.notes] == ["and 3 more uses, on line 4, 5"]


def test_of_an_imported_file_the_first_mistake_is_told(tmp_path, capsys):
    (tmp_path / "parts.arch").write_text("block a:\n    relu relu\nblock b:\n    silu silu\n")
    (tmp_path / "whole.arch").write_text(
        "from parts import a\nnet n:\n    input i: [N, 3, H=8, W=8]\n    a\n    rely\n"
    )
    assert main(["check", str(tmp_path / "whole.arch"), "--format", "short"]) == 1
    lines = [line.split(str(tmp_path) + "/")[1] for line in capsys.readouterr().out.splitlines()]
    assert [line.split(":")[:2] for line in lines] == [["parts.arch", "2"], ["whole.arch", "5"]]


@pytest.mark.parametrize("form", ["text", "short", "json", "sarif"])
def test_a_file_of_blocks_has_no_net(form, tmp_path, capsys):
    path = tmp_path / "blocks.arch"
    path.write_text("block b(c):\n    conv(c, 3)\n")
    assert main(["check", "--format", form, str(path)]) == 2
    assert "E0220" in "".join(capsys.readouterr())


def test_a_mistake_that_nets_share_is_one(tmp_path, capsys):
    path = tmp_path / "shared.arch"
    nets = "".join(f"net n{i}:\n    input i: [N, 3, H=8, W=8]\n    b\n" for i in range(6))
    path.write_text("block b:\n    conv(4, 99, pad=0)\n" + nets)
    assert main(["check", str(path)]) == 1
    text = capsys.readouterr().err
    assert text.count("error[") == 1 and "and 5 more: `n1`, `n2`, `n3` and others" in text


def test_nets_that_are_right_are_still_reported(tmp_path, capsys):
    path = tmp_path / "half.arch"
    path.write_text(
        "net good:\n    input i: [N, 3, H=8, W=8]\n    relu\nnet bad:\n    input i: [N, 3, H=8, W=8]\n    rely\n"
    )
    assert main(["check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("good: ") and "did you mean `relu`" in err
