"""`--fix`: an edit is applied only where it mends the mistake, and then the file is right or has other mistakes."""

from __future__ import annotations

import pytest

from archdsl.cli import main
from archdsl.errors import is_typo
from archdsl.fix import diagnose, fixed
from archdsl.source import Source

NET = "net n:\n    input image: [N, 3, H=64, W=64]\n    "


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("conw(8, 3) -> bn -> rely", "conv(8, 3) -> bn -> relu"),
        ("conv(8, 3, strid=2, dilaton=1)", "conv(8, 3, stride=2, dilation=1)"),
        (
            "maxpol(2)\n    globl_avgpool -> flaten -> liner(10)",
            "maxpool(2)\n    global_avgpool -> flatten -> linear(10)",
        ),
    ],
)
def test_misspelled_names_are_mended(wrong, right):
    text, done = fixed(Source("n.arch", NET + wrong + "\n"))
    assert text == NET + right + "\n" and done and diagnose(Source("n.arch", text)) == []


GUESSED = ["cat(matmul(x, x), identity)", "conv1d(8, 3)", "softplus", "avg(2)", "maxpool3(2)"]


@pytest.mark.parametrize("body", GUESSED)
def test_a_guess_is_a_proposal(body):
    """More than a letter off: what is near may check, and mean something else."""
    text = NET + body + "\n"
    assert fixed(Source("n.arch", text)) == (text, [])


BLOCKS = (
    "block densenet(c):\n    conv(c, 3)\nblock channel_gate(c):\n    conv(c, 1)\nblock resnet34(c):\n    conv(c, 3)\n"
)


@pytest.mark.parametrize("body", ["dense_layer(8)", "channel_max(8)", "resnet(8)", "resnet3(8)", "resnet35(8)"])
def test_a_name_of_the_file_is_not_guessed(body):
    text = BLOCKS + NET + body + "\n"
    assert fixed(Source("n.arch", text)) == (text, [])


@pytest.mark.parametrize(
    ("written", "meant", "typo"),
    [
        ("conw", "conv", True), ("cnov", "conv", True), ("convv", "conv", True), ("con", "conv", True), ("conv", "conv", False),
        ("liner", "linear", True), ("linaer", "linear", True), ("matmul", "mul", False), ("conv1d", "conv", False),
        ("resnet3", "resnet34", False), ("resnet35", "resnet34", False), ("relu6", "relu", False), ("nconv", "conv", True),
    ],
)  # fmt: skip
def test_what_a_typo_is(written, meant, typo):
    assert is_typo(written, meant) is is_typo(meant, written) is typo


@pytest.mark.parametrize("body", ["add(conv(4, 3), identity)", "zzzz(3)", "conv(8, 99, pad=0)", "conv(8, 3, groups=2)"])
def test_what_has_no_sure_edit_stays(body):
    text = NET + body + "\n"
    assert fixed(Source("n.arch", text)) == (text, [])


def test_an_edit_that_does_not_mend_is_not_applied():
    """`convx` may be `conv`, but then its arguments are wrong."""
    text = NET + "convx(8, nothing=3)\n"
    assert fixed(Source("n.arch", text))[0] == text


def test_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text(NET + "conw(8, 3)\n")
    assert main(["check", "--fix", str(path)]) == 0
    out = capsys.readouterr().out
    assert "fixed" in out and "`conw` is now `conv`" in out and path.read_text() == NET + "conv(8, 3)\n"
    assert main(["check", "--fix", str(path)]) == 0
    assert "fixed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("main", "rest"),
    [
        ("conv(16, 3, stride=2)", "silu"),
        ("conv(3, 3, stride=4, pad=1)", "identity"),
        ("conv(8, 1)", "gelu"),
        ("conv(8, 3, stride=2) -> conv(8, 3)", "relu -> maxpool(3, pad=1, stride=1)"),
    ],
)
def test_the_projection_that_is_proposed_fits(main, rest):
    """`add` of two shapes names the 1x1 convolution that makes them equal; put behind the operand, it does."""
    (mistake,) = diagnose(Source("n.arch", NET + f"add({main}, {rest})\n"))
    (proposal,) = mistake.help
    projection = proposal.text.split("`")[1]
    assert "bring this to the shape of the first" in proposal.text
    assert diagnose(Source("n.arch", NET + f"add({main}, {rest} -> {projection})\n")) == []


def test_no_projection_is_proposed_where_none_fits():
    (mistake,) = diagnose(Source("n.arch", NET + "add(conv(3, 3, pad=0), identity)\n"))
    assert mistake.help == ()
