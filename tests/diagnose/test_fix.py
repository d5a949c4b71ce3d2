"""`--fix`: an edit is applied only where it mends the mistake, and then the file is right or has other mistakes."""

from __future__ import annotations

import pytest

from archdsl.cli.main import main
from archdsl.core.source import Source
from archdsl.diagnose.fix import MOST_TRIED, diagnose, fixed, proven
from archdsl.diagnostics import CompileError

NET = "net n:\n    input image: [N, 3, H=64, W=64]\n    "


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("conv(8, kernel_size=3, padding=1, bias=False) -> bn", "conv(8, kernel=3, pad=1, bias=false) -> bn"),
        ("conv(8, 3, strides=2)\n    relu(inplace=True)", "conv(8, 3, stride=2)\n    relu"),
        ("conv(x.shape[1], 3)\n    upsample(2, mode='bilinear')", 'conv(x.channels, 3)\n    upsample(2, mode="bilinear")'),
        ("for i in range(3)\n        conv(8, 3)", "for i in range(3):\n        conv(8, 3)"),
        ("if x.channels = 3:\n        relu\n    else if x.channels == 4 && true:\n        silu",
         "if x.channels == 3:\n        relu\n    else if x.channels == 4 && true:\n        silu"),
        ("conv(8 3)\n    conv(8, 3, bias=True)\n    relu(]", "conv(8 3)\n    conv(8, 3, bias=true)\n    relu(]"),
    ],
)  # fmt: skip
def test_what_cannot_be_wrong_is_mended(wrong, right):
    """After a mistake that stays, too."""
    text, done = fixed(Source("n.arch", NET + wrong + "\n"))
    assert text == NET + right + "\n" and done


def test_a_docstring_of_single_quotes_is_mended_whole():
    text = NET.replace("n:\n", "n:\n    '''Three\n    quotes.'''\n", 1) + "relu\n"
    assert fixed(Source("n.arch", text))[0] == text.replace("'''", '"""')
    text = NET + "relu\n    '''no docstring'''\n"
    assert fixed(Source("n.arch", text)) == (text, [])


def test_a_word_of_elsewhere_is_mended_in_every_use_behind_a_result():
    text = "block b(c):\n    output skip = conv(c, 3) -> ReLU\n    output out = x -> ReLU\n"
    text += NET + "r = x -> b(8)\n    r.out -> ReLU -> add(identity, r.skip -> conv(3, 1))\n"
    assert fixed(Source("n.arch", text))[0] == text.replace("ReLU", "relu")


GUESSED = [
    "cat(matmul(x, x), identity)", "conv1d(8, 3)", "softplus", "avg(2)", "maxpool3(2)", "conw(8, 3)", "conv(8, 3, strid=2)",
    "Conv2d(3, 16, 3)", "x + x", "relu(x)", "bn(64)", "upsample(2, mode=\"bilinaer\")",
]  # fmt: skip


@pytest.mark.parametrize("body", GUESSED)
def test_a_guess_is_a_proposal(body):
    """What is near, or what elsewhere is written so, may check, and mean something else."""
    text = NET + body + "\n"
    assert fixed(Source("n.arch", text)) == (text, [])


BLOCKS = (
    "block densenet(c):\n    conv(c, 3)\nblock channel_gate(c):\n    conv(c, 1)\nblock resnet34(c):\n    conv(c, 3)\n"
)


@pytest.mark.parametrize(
    "body", ["dense_layer(8)", "channel_max(8)", "resnet(8)", "resnet3(8)", "resnet35(8)", "densnet(8)"]
)
def test_a_name_of_the_file_is_not_guessed(body):
    text = BLOCKS + NET + body + "\n"
    assert fixed(Source("n.arch", text)) == (text, [])


def test_no_diagnostic_has_an_edit_that_does_not_mend():
    """`convx` may be `conv`, but then its arguments are wrong: the proposal stays as words."""
    found = diagnose(Source("n.arch", NET + "convx(8, nothing=3)\n    rely\n"))
    first, second = proven(found)
    assert first.help[0].span is None and "did you mean `conv`" in first.help[0].text
    assert second.help[0].replacement == "relu"


def test_edits_beyond_a_number_are_words():
    names = [
        "relux",
        "silux",
        "geluu",
        "tanhh",
        "bnn(eps=0.1)",
        "lnn(eps=0.1)",
        "eluu",
        "mishh",
        "flattenn",
        "sigmoidd",
    ]
    text = NET + "\n    ".join(names) + "\n"
    shown = [h.span is not None for d in proven(diagnose(Source("n.arch", text))) for h in d.help]
    assert shown.count(True) == MOST_TRIED < len(shown)


def test_an_exception_shows_no_edit_that_nobody_tried():
    (mistake,) = diagnose(Source("n.arch", NET + "conw(8, 3)\n"))
    assert mistake.help[0].span is not None
    assert "= help: did you mean `conv`?" in str(CompileError(mistake))


@pytest.mark.parametrize("body", ["add(conv(4, 3), identity)", "zzzz(3)", "conv(8, 99, pad=0)", "conv(8, 3, groups=2)"])
def test_what_has_no_sure_edit_stays(body):
    text = NET + body + "\n"
    assert fixed(Source("n.arch", text)) == (text, [])


def test_an_edit_of_advice_is_applied_once_there_are_no_mistakes():
    text = NET + "conv(8, 3) -> bn\n    conv(4, 3, bias=True) -> bn\n    conv(8, 3) -> bn  # allow W0503\n"
    mended, done = fixed(Source("n.arch", text))
    assert mended == NET + (
        "conv(8, 3, bias=false) -> bn\n    conv(4, 3, bias=false) -> bn\n    conv(8, 3) -> bn  # allow W0503\n"
    )
    assert [what.split(": ", 1)[1] for what in done] == [
        "`True` is now `true`",
        "`conv(8, 3)` is now `conv(8, 3, bias=false)`",
        "`conv(4, 3, bias=true)` is now `conv(4, 3, bias=false)`",
    ]
    text = NET + "conv(8, 3) -> bn\n    zzzz(3)\n"
    assert fixed(Source("n.arch", text)) == (text, []), "advice is given on a text without mistakes"


def test_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text(NET + "conv(8, 3, padding=1)\n")
    assert main(["check", "--fix", str(path)]) == 0
    out = capsys.readouterr().out
    assert "fixed" in out and "`padding` is now `pad`" in out and path.read_text() == NET + "conv(8, 3, pad=1)\n"
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
    """`add` of two shapes names the 1x1 convolution that makes them equal; put after the operand, it does."""
    (mistake,) = diagnose(Source("n.arch", NET + f"add({main}, {rest})\n"))
    (proposal,) = mistake.help
    projection = proposal.text.split("`")[1]
    assert "bring this to the shape of the first" in proposal.text
    assert diagnose(Source("n.arch", NET + f"add({main}, {rest} -> {projection})\n")) == []


def test_no_projection_is_proposed_where_none_fits():
    (mistake,) = diagnose(Source("n.arch", NET + "add(conv(3, 3, pad=0), identity)\n"))
    assert mistake.help == ()


def test_edits_of_advice_that_is_not_shown_are_applied_too():
    """The eleventh warning of a code is not shown; as it came up after an edit, that seemed to have made it."""
    text = NET + "".join(f"conv({c}, 3) -> bn\n    " for c in range(4, 14)) + "conv_transpose(4, 2) -> bn\n"
    mended, done = fixed(Source("n.arch", text))
    assert len(done) == 11 and mended.count("bias=false") == 11
