"""The words of PyTorch, Keras and Python: what is proposed for them exists here, and checks."""

from __future__ import annotations

import re

import pytest

import archdsl
from archdsl import CompileError
from archdsl.compiler import compile_text
from archdsl.core.source import Source
from archdsl.diagnose.fix import diagnose
from archdsl.diagnostics import elsewhere
from archdsl.elaborate.builtins import FUNCTIONS
from archdsl.elaborate.expressions import COMBINATORS, INNER
from archdsl.ops import OPS
from archdsl.syntax.parser import parse_value

NAMES = {*(name for name in OPS if name not in INNER), *COMBINATORS, *FUNCTIONS}
ARGUMENTS = {name for op in OPS.values() for name in op.args} | {"classes"}
WORDS = ("and", "elif", "for", "not", "or")
TEXTS = [
    *elsewhere.NAMES.values(), *elsewhere.UNSAID.values(), *elsewhere.SAID_OTHERWISE.values(), *elsewhere.ATTRIBUTES.values(),
    *elsewhere.OF_PYTHON.values(), *elsewhere.WORDS.values(), *elsewhere.CHARACTERS.values(), *(row[2] for row in elsewhere.SYNTAX),
]  # fmt: skip


def test_what_a_word_becomes_exists():
    assert set(elsewhere.OPERATORS.values()) <= NAMES and set(elsewhere.ARGUMENTS.values()) <= ARGUMENTS


def test_no_word_is_said_to_be_missing_that_is_here():
    here = {elsewhere.plain(name) for name in NAMES}
    assert here.isdisjoint(elsewhere.NAMES) and here.isdisjoint(elsewhere.OPERATORS)


@pytest.mark.parametrize("word", [*elsewhere.OPERATORS, *elsewhere.ARGUMENTS, *elsewhere.NAMES, *elsewhere.UNSAID])
def test_words_are_kept_as_they_are_looked_up(word):
    assert word == word.replace("_", "").lower()


@pytest.mark.parametrize("text", sorted({part for text in TEXTS for part in re.findall(r"`([^`]+)`", text)}))
def test_what_is_shown_is_a_sentence_of_the_language(text):
    """A value, a statement or an item; but for signs, types, and what is typed elsewhere."""
    if re.search(r"archdsl|torch\.|^--|^[^\w\[]+$|^\[N|^\w+=\w+$", text) or text in WORDS:
        return
    bodies = [
        f"net n:\n    input i: [N, 3, H=8, W=8]\n    {text}\n        relu\n",
        f"net n:\n    input i: [N, 3, H=8, W=8]\n    {text}\n",
        f"net n:\n    {text}\n",
    ]
    items = [f"{text}\n    relu\n", f"{text}\n", f"{text}\nnet n:\n    relu\n"]
    found = [diagnose(Source("n.arch", one)) for one in [*bodies, *items]]
    assert any(all(not d.code.startswith("E01") for d in mistakes) for mistakes in found)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("nn.Conv2d(3, 16, 3)", "conv(16, 3, pad=0)"),
        ("nn.Conv2d(3, 16, 3, 2, 1)", "conv(16, 3, 2, 1)"),
        ("nn.Conv2d(3, 16, 1, bias=False)", "conv(16, 1, bias=false)"),
        ('Conv2D(16, 3, padding="same")', "conv(16, 3)"),
        ('Conv2D(16, (3, 3), padding="valid", strides=2)', "conv(16, (3, 3), pad=0, stride=2)"),
        ('Conv2D(16, 3, activation="relu")', "conv(16, 3, pad=0) -> relu"),
        ('Dense(10, activation="linear")', "linear(10)"),
        ('Dense(10, activation="softmax")', "linear(10) -> softmax"),
        ('Dense(10, activation="maxout")', ""),
        ("torch.nn.Linear(512, 10)", "linear(10)"),
        ("nn.BatchNorm2d(64, eps=0.001)", "bn(eps=0.001)"),
        ("nn.GroupNorm(8, 64)", "gn(8)"),
        ("nn.AdaptiveAvgPool2d((1, 1))", "global_avgpool"),
        ("nn.AdaptiveAvgPool2d(7)", "adaptive_avgpool(7)"),
        ("nn.Sequential(nn.ReLU(inplace=True), nn.Flatten())", "[relu, flatten]"),
        ("torch.cat((a, b), 1)", "cat(a, b)"),
        ("torch.add(a, b)", "add(a, b)"),
        ("F.max_pool2d(x, 2)", "x -> maxpool(2)"),
        ("F.relu(x, inplace=True)", "x -> relu"),
        ("torch.flatten(x, 1)", "x -> flatten"),
        ("torch.abs(x)", "x -> abs"),
        ("torch.mean(x, dim=(2, 3), keepdim=True)", 'x -> mean(["height", "width"])'),
        ("torch.mean(x, 1, keepdim=True)", 'x -> mean("channels")'),
        ("torch.amax(x, -1)", 'x -> max("width")'),
        ("torch.sub(a, b.c)", "a - b.c"),
        ("torch.div(a + 1, 2)", "(a + 1) / 2"),
        ("torch.pow(x, 2)", "x ** 2"),
        ("torch.clamp(x, min=0, max=6)", "x -> hardtanh(0, 6)"),
        ("nn.LSTM(8)", ""),
        ("nn.Sequential(nn.LSTM(8))", ""),
        ("scipy.relu(x)", ""),
    ],
)
def test_a_call_is_translated_with_its_meaning(there, here):
    assert elsewhere.translated(there, NAMES) == here
    if here:
        parse_value(Source("here", here))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device": "meta"}, "`resnet` has no parameter `device`"),
        ({"device": "meta"}, "the device is said in Python"),
        ({"num_classes": 10}, "here it is `classes`"),
        ({"pretrained": True}, "weights are a file"),
    ],
)
def test_arguments_of_python(given, said):
    with pytest.raises(CompileError, match=re.escape(said)):
        archdsl.check("resnet50", **given)


def test_networks_that_are_not_convolutional():
    with pytest.raises(CompileError, match="no network or file `llama`"):
        archdsl.check("llama")


SEVERAL = (
    "net part(levels, width=8):\n    input image: [N, 3, H=32, W=32]\n    conv(width, 3) * levels\nnet one = part(1)\n"
)


@pytest.mark.parametrize(
    ("more", "given", "name"), [("", {}, "one"), ("net two = part(2)\n", {}, ""), ("", {"levels": 2}, "part")]
)
def test_one_rule_says_which_net_is_meant(tmp_path, more, given, name):
    """The net of the file's own name, or the only one, of those that can be built with what is given."""
    path = tmp_path / "part.arch"
    path.write_text(SEVERAL + more)
    if name:
        assert archdsl.check(str(path), **given).name == name
    else:
        with pytest.raises(CompileError, match="choose one: `--net one`"):
            archdsl.check(str(path), **given)


def test_a_tensor_is_shown_as_it_was_written(tmp_path):
    path = tmp_path / "n.arch"
    path.write_text(
        "net n:\n    input image: [N, 3, H=8, W=8]\n    skip = x\n    upsample(2) -> crop(like=skip)\n    cat(skip, crop(like=x))\n"
    )
    table = archdsl.check(str(path)).text()
    assert "crop(like=skip)" in table and "crop(like=x)" in table and "like=true" not in table


@pytest.mark.parametrize(("step", "value"), [("scale(1 / 4)", 0.25), ("scale(-3 / 4)", -0.75), ("scale(4 / 2)", 2.0)])
def test_a_fraction_is_a_number_where_one_is_taken(step, value):
    (node,) = compile_text(f"net n:\n    input i: [N, 3, H=8, W=8]\n    {step}\n").network.scope.nodes
    assert node.what.value == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("flatten -> linear(768, 10)", "the features that come in are known: `linear(10)`"),
        ("ys = [x]\n    ys.append(x)", "bind `y{i} = x` in the loop"),
        ("cat(*[conv(a, b) for a in [1, 2] for b in [1, 3]])", "a list has one `for`"),
        ("conv-1: conv(3, 3)", "a label is one name, such as `conv_1`"),
        ("1: conv(3, 3)", "steps without a label have numbers already"),
        ("relu if x.channels is 3", "`==` compares"),
        ("relu if 3 not in [1, 2]", "`not` stands before the whole test"),
        ("relu if 1 < x.channels < 4", "a size is compared with one other"),
        ('c = {"a": 1}', "there are no dictionaries"),
        ("dropout(0.5) if training", "`output aux = x when training`"),
        ("conv(3, 3), bn, relu", "steps are joined by `->`, or stand in brackets"),
        ("a, b = x -> chunk(2)", "each name has its line"),
        ("self: conv(3, 3)", "call it `self_`"),
        ("conv(3, 3) => relu", "steps are joined by `->`"),
        ("t = [x]\n    t[1] = x", "written in braces: `skip{i} = x`"),
        ("input: [N, 3, H, W]", "an input has a name"),
        ("output x", "a result has a name"),
        ("output y: x", "a result has a name"),
        ("output(x)", "a result has a name"),
        ("cat(conv(a, 1) for a in [1, 2])", "a list of branches is spread"),
        ("conv(a, 1) -> relu for a in [1, 2]", "a loop stands before what it repeats"),
        ("if x.channels > 3: relu else: silu", "on one line it is `relu if deep else silu`"),
        ("for i in range(3) conv(3, 3)", "a colon stands before the body"),
        ("if x.channels > 3 then relu", "a colon stands before the body"),
        ("for i in 3: relu", "`range(3)` is a list of so many numbers"),
        ("y = x[:, 0:2]", "a part of a tensor is a step"),
        ("layer[0]: conv(3, 3)", "`layer{i}` has a number in it"),
        ("3 * conv(3, 3)", "`conv(3, 3) * 3` repeats a step, `conv(3, 3) -> scale(3)` multiplies"),
        ("dwconv(3)", "here it is `depthwise`"),
        ("conv(channels, 3)", "input channels are not written; `x.channels` counts them"),
        ("body = [relu]\n    body(x)", "what a step is applied to stands before it: `x -> body`"),
        ("chunk(3)", "`split(relu, identity)` gives each branch a part"),
        ("act = None\n    act", "`identity` is a step that does nothing"),
        ("y = x\n    maxpool(2) -> upsample(size=y)", "the size of a tensor is taken by `like=y`"),
        ("s = sum(x)", 'what a step is applied to stands before it: `x -> sum("channels")`'),
        ("_x: conv(3, 3)", "call it `x`"),
    ],
)
def test_habits_of_python_are_answered(body, said):
    (mistake, *_) = diagnose(Source("n.arch", f"net n:\n    input i: [N, 3, H=8, W=8]\n    {body}\n"))
    assert said in " ".join(one.text for one in mistake.help)
