"""Parameters of written nets, on small nets at random: with any value it is what the language gives with that value.

Their steps change channels in every way that there is: by numbers of their own, by what reaches them, by halves,
quarters and sums; they stand in sequences, blocks, repetitions and loops over lists. A net's class is written once, at
its defaults, and built with others.
"""

from __future__ import annotations

import inspect
import random

import pytest
import torch

import archdsl
from archdsl.analysis.costs import cost
from archdsl.codegen.module import emit
from archdsl.compiler import Request, compile_text
from tests.properties.oracle import built

COUNTS = ["{w}", "2 * {w}", "x.channels", "2 * x.channels", "x.channels + {w}", "{w} * ratio", "8", "max({w}, 6)"]
STEPS = [
    "conv({n}, 3)",
    "conv({n}, 1, bias=false) -> bn -> relu",
    "conv(4 * {n}, 3) -> pixel_shuffle(2) -> maxpool(2)",
    "conv(2 * {n}, 1) -> glu",
    "cat(identity, conv({n}, 3))",
    "add(identity, conv(x.channels, 3))",
    "conv(2 * {n}, 3) -> slice(0, x.channels // 2)",
    "conv(2 * {n}, 3) -> split(relu, conv(x.channels, 3))",
    "depthwise(3) -> conv({n}, 1)",
    "pixel_unshuffle(2) -> conv({n}, 1) -> upsample(2)",
    "(conv({n}, 3) if ratio > 2 else conv({n}, 1))",
    "(conv({n}, 3) if x.channels != {w} else conv({n}, 1))",
    "cat(conv({n}, 1), conv({n}, 3))",
    "gn(1) -> silu -> conv({n}, 3)",
    "scale(0.1, learned=true, per_channel=true) -> conv({n}, 1)",
    "conv({n}, 3) -> prelu(per_channel=true)",
    "pad_channels({w}) -> conv({n}, 1)",
    "mul(identity, global_avgpool -> conv(max(1, x.channels // ratio), 1) -> relu -> conv(x.channels, 1) -> sigmoid)",
]
PLACES = [
    "    {a}",
    "    s{k}: [{a}, {b}]",
    "    s{k}: [{a} * depth, {b}]",
    "    s{k}: [[{a}, {b}] * depth]",
    "    for i in range(depth):\n        l{k}_{{i}}: [{i}]",
    "    s{k}:\n        for w in widths:\n            {each}",
]
DEFAULTS = {"width": 8, "depth": 2, "ratio": 2, "widths": [4, 8]}
MOST = 500_000  # weights
OTHERS = [
    {"width": 4}, {"width": 6}, {"depth": 3}, {"depth": 1}, {"ratio": 1}, {"ratio": 4},
    {"widths": [4, 4]}, {"widths": [8, 4]}, {"width": 12, "depth": 3, "ratio": 3, "widths": [2, 6]},
]  # fmt: skip


def program(rng):
    """Return the text of a net with parameters, which may be one that is refused."""
    blocks = [f"b{k}" for k in range(rng.randrange(3))]
    texts = []
    for name in blocks:
        body = "\n".join(f"    {step(rng, 'k')}" for _ in range(rng.randint(1, 3)))
        texts.append(f"block {name}(k, ratio=2):\n{body}\n")
    lines = ["net tried(width=8, depth=2, ratio=2, widths=[4, 8]):", "    input image: [N, 3, H=16, W=16]"]
    for k in range(rng.randint(2, 4)):
        w = rng.choice(["width", "width", "2 * width", "widths[0]", "widths[1]", "width + ratio"])
        made = {
            name: placed(rng, blocks, own) for name, own in (("a", w), ("b", w), ("i", "width * 2**i"), ("each", "w"))
        }
        lines.append(rng.choice(PLACES).format(k=k, **made))
    end = rng.choice(["global_avgpool -> ", "maxpool(4) -> ", ""])
    return "\n".join([*texts, *lines, f"    {end}flatten -> linear(width)\n"])


def step(rng, w):
    return rng.choice(STEPS).format(n=rng.choice(COUNTS).format(w=w), w=w)


def placed(rng, blocks, w):
    if blocks and rng.random() < 0.5:
        return f"{rng.choice(blocks)}({w}{rng.choice(['', ', ratio', ', ratio=ratio'])})"
    return step(rng, w)


def is_small(text, given):
    """Say whether a text is a net with these parameters, and one of few weights."""
    try:
        return cost(compile_text(text, Request(params=given)).network).params < MOST
    except archdsl.CompileError:
        return False


def differences(text, settings=OTHERS):
    """Yield the settings with which the written class is not what the language gives."""
    net = type(built(emit(compile_text(text).network)))
    x = torch.randn(1, 3, 16, 16)
    for setting in settings:
        given = {key: value for key, value in setting.items() if key in inspect.signature(net).parameters}
        if not given or not is_small(text, given):
            continue
        wanted = archdsl.loads(text, **given).eval()
        made = net(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}).eval()
        made.load_state_dict(wanted.state_dict())
        if not torch.equal(made(x), wanted(x)):
            yield given


@torch.no_grad()
@pytest.mark.parametrize("start", [0, *[pytest.param(n, marks=pytest.mark.slow) for n in range(50, 1000, 50)]])
def test_any_value_gives_the_net_of_the_language(start):
    found = 0
    for seed in range(start, start + 50):
        text = program(random.Random(seed))
        if is_small(text, {}):
            found += 1
            assert not [*differences(text)], text
    assert found > 25


@torch.no_grad()
@pytest.mark.parametrize(
    ("body", "given"),
    [
        ("tail: [[conv(4 * width, 3), pixel_shuffle(2)] * depth, conv(3, 3)]", {"width": 16}),
        ("s: [[conv(4, 3), conv(8 * ratio, 1) -> glu] * depth]", {"ratio": 4}),
        ("conv(width, 1)\n    (conv(4, 3) if x.channels != 8 else conv(4, 1))", {"width": 4}),
        ("s: [conv(width, 1), (conv(4, 3) if x.channels != 8 else conv(4, 1))]", {"width": 4}),
        ("conv(8, 3, dilation=widths)", {"widths": [4, 4]}),
        ("conv(8, widths)", {"widths": [1, 3]}),
        ("s: [pad_channels(width) -> conv(2 * x.channels, 1), conv(width, 1)]", {"width": 4}),
    ],
)
def test_a_parameter_that_could_not_work_is_none(body, given):
    text = f"net tried(width=8, depth=2, ratio=2, widths=[4, 8]):\n    input image: [N, 3, H=16, W=16]\n    {body}\n"
    assert not [*differences(text, [given])]


# -------------------------------------------------------------------------------------------------- pairs
PAIRS = """conv(8, p)|conv(8, 3, stride=p)|conv(8, 3, pad=p)|conv(8, 3, dilation=p)|depthwise(p)|depthwise(3, dilation=p)
    conv_transpose(8, p)|conv_transpose(8, 4, stride=p)|conv_transpose(8, 3, dilation=p)|maxpool(p)|maxpool(3, stride=p)
    maxpool(5, pad=p)|maxpool(2, dilation=p)|avgpool(p)|avgpool(5, pad=p)|adaptive_avgpool(p)|adaptive_maxpool(p)|pad(p)
    crop(size=p)|crop(size=4, offset=p)|upsample(p)|upsample(size=p)|conv(8, p, pad="same")|maxpool(p, pad="same")
    tokens(window=p) -> linear(8) -> untokens(window=p, like=image)
    tokens(every=p) -> linear(8) -> untokens(every=p, like=image)
    tokens(grid=p) -> linear(8) -> untokens(grid=p, like=image)""".replace("\n", "|").split("|")
FORMS = [
    "block b(p, image):\n    {step}\nnet n:\n    input image: [N, 8, H=12, W=12]\n    b({one}, image)\n",
    "block b(p, image):\n    {step}\nnet n:\n    input image: [N, 8, H=12, W=12]\n    b({one}, image) -> upsample(size=12)\n"
    "    b({two}, image)\n",
    "net n(p={one}):\n    input image: [N, 8, H=12, W=12]\n    {step}\n",
    "net n(ps=[{one}, {two}]):\n    input image: [N, 8, H=12, W=12]\n    for p in ps:\n        [{step}] -> upsample(size=12)\n",
]


@pytest.mark.parametrize("step", [step.strip() for step in PAIRS])
def test_a_pair_of_equal_numbers_is_one_number(step):
    """What `load` hands over has been compared with the checked network; a pair that a step refuses is no matter."""
    built = 0
    for form in FORMS:
        for one, two in (("(2, 2)", "2"), ("(2, 2)", "(1, 2)"), ("(3, 3)", "(3, 3)"), ("2", "(2, 1)")):
            try:
                archdsl.loads(form.format(step=step, one=one, two=two))
                built += 1
            except archdsl.CompileError:
                pass
    assert built
