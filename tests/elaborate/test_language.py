"""The language itself: what a text means (names of weights, shapes of results), and where each mistake is reported.

A test case is a text. `VALID` says which weights the net has, by name, and the shape of its result; `BROKEN` says the
code of the diagnostic, and a comment `# <-` in the text marks the line it must point to.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

import archdsl
from archdsl.analysis.costs import cost, weights
from archdsl.compiler import compile_text
from archdsl.diagnostics import CompileError
from archdsl.elaborate.context import Memo, Settings
from archdsl.elaborate.nets import elaborate
from archdsl.ir.network import Network, Node, Scope
from archdsl.ops.initializers import make
from archdsl.project import Project

INPUT = "input image: [N, 3, H=32, W=32]"


def text(body: str, top: str = "") -> str:
    """Return a file with some definitions and a net `net` with this body on an image [N, 3, H=32, W=32]."""
    return "\n".join([dedent(top).strip(), "", "net net:", indent(f"{INPUT}\n{dedent(body).strip()}", "    "), ""])


def build(body: str, top: str = "", **settings: object) -> Network:
    """Return the network of `text(body, top)`."""
    return elaborate(Project().text(text(body, top)), "net", Settings(**settings))  # type: ignore[arg-type]


def learned(network: Network) -> str:
    """List the modules with weights, with the weights' shapes: `conv1 64x3x7x7, layer1.0 …`."""
    found = [(n.removesuffix(".weight"), shape) for n, shape in weights(network.scope) if n.endswith(".weight")]
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in found)


def shape(network: Network, number: int = 0) -> str:
    """Print the shape of a result."""
    return f"[{', '.join(map(str, network.scope.output_shapes[number]))}]"


def fail(source: str) -> CompileError:
    """Return the mistake in a text."""
    with pytest.raises(CompileError) as caught:
        elaborate(Project().text(source), "net")
    return caught.value


def nodes(scope: Scope) -> list[Node]:
    """Return all steps, those of inner scopes after the step that holds them."""
    return [n for node in scope.nodes for n in [node, *(nodes(node.what) if isinstance(node.what, Scope) else [])]]


UNIT = """
    block unit(channels, kernel=1, step=kernel):
        conv(channels, kernel, step)
"""

# name: (definitions, body, modules with weights, result)
VALID = {
    # ------------------------------------------------------------ blocks and their parameters
    "a default": (UNIT, "unit(4)", "0.0 4x3x1x1", "[N, 4, H, W]"),
    "a keyword": (UNIT, "unit(4, step=2)", "0.0 4x3x1x1", "[N, 4, ceil(H/2), ceil(W/2)]"),
    "a default that uses a parameter": (UNIT, "unit(4, 3)", "0.0 4x3x3x3", "[N, 4, ceil(H/3), ceil(W/3)]"),
    "partial application": (UNIT, "u = unit(kernel=3, step=1)\nu(4)", "0.0 4x3x3x3", "[N, 4, H, W]"),
    "what is left decides, not the call": (
        "block put(f, n):\n    f(n)\n",
        "put(conv(kernel=1), 8) -> put(conv(8), 3) -> put(depthwise, 5) -> put(gn, 2)",
        "0.0 8x3x1x1, 1.0 8x8x3x3, 2.0 8x1x5x5, 3.0 8",
        "[N, 8, H, W]",
    ),
    "partial application goes on with what is left": (UNIT, "u = unit(4)\nu(5, 1)", "0.0 4x3x5x5", "[N, 4, H, W]"),
    "a keyword replaces what was given": (UNIT, "u = unit(4)\nu(channels=5)", "0.0 5x3x1x1", "[N, 5, H, W]"),
    "operators are values": ("", "c = conv(kernel=3)\nc(4) -> c(5)", "0 4x3x3x3, 1 5x4x3x3", "[N, 5, H, W]"),
    "pipelines as arguments": (
        "block twice(f, g=f):\n    f -> g",
        "twice(conv(4, 1))\ntwice(conv(5, 1), bn)\ntwice([bn, relu], identity)",
        "0.0 4x3x1x1, 0.1 4x4x1x1, 1.0 5x4x1x1, 1.1 5, 2.0.0 5",
        "[N, 5, H, W]",
    ),
    "a net as a block": (
        "net inner(c=4):\n    input image: [N, 3, H=224, W=224]\n    stem: conv(c, 3)",
        "body: inner(c=5) -> conv(2, 1)",
        "body.stem 5x3x3x3, 1 2x5x1x1",
        "[N, 2, H, W]",
    ),
    "an alias of an alias": (
        "block two(c, d):\n    conv(c, 1) -> conv(d, 1)\nnet one = two(4)\nnet both = one(5)",
        "both",
        "0.0 4x3x1x1, 0.1 5x4x1x1",
        "[N, 5, H, W]",
    ),
    "a block's docstring": ('block b:\n    """Says what it is."""\n    bn', "b", "0.0 3", "[N, 3, H, W]"),
    # ------------------------------------------------------------ chains, sequences, repetition, labels
    "chains are transparent": ("", "bn -> (relu -> bn) -> bn", "0 3, 2 3, 3 3", "[N, 3, H, W]"),
    "a chain goes on where a line starts with an arrow": (
        "",
        "bn\n  -> relu\n\n  # why\n  -> bn",
        "0 3, 2 3",
        "[N, 3, H, W]",
    ),
    "a sequence is a scope": ("", "[bn, [relu, bn]]\nbn", "0.0 3, 0.1.1 3, 1 3", "[N, 3, H, W]"),
    "a labelled sequence": ("", "a: [bn, b: bn, bn]", "a.0 3, a.b 3, a.2 3", "[N, 3, H, W]"),
    "a label takes the place of a number": ("", "bn\nb: bn\nbn", "0 3, b 3, 2 3", "[N, 3, H, W]"),
    "a label binds to one item": ("", "a: bn -> bn -> b: bn", "a 3, 1 3, b 3", "[N, 3, H, W]"),
    "a labelled chain is a scope": ("", "a: (bn -> bn)", "a.0 3, a.1 3", "[N, 3, H, W]"),
    "repetition is transparent": (
        "",
        "bn * 2\n(conv(4, 1) -> bn) * 2",
        "0 3, 1 3, 2 4x3x1x1, 3 4, 4 4x4x1x1, 5 4",
        "[N, 4, H, W]",
    ),
    "a labelled repetition is a scope": ("", "a: bn * 2\nbn", "a.0 3, a.1 3, 1 3", "[N, 3, H, W]"),
    "repetition in a sequence": ("", "[bn, relu * 2, bn * 0, bn]", "0.0 3, 0.3 3", "[N, 3, H, W]"),
    "a body is a scope": (
        "",
        "a:\n    bn\n    b: bn\n    c:\n        relu\n        bn",
        "a.0 3, a.b 3, a.c.1 3",
        "[N, 3, H, W]",
    ),
    "identity takes no number": ("", "identity\nidentity -> bn\nnothing: identity\nbn", "0 3, 2 3", "[N, 3, H, W]"),
    # ------------------------------------------------------------ combinators
    "combinators are transparent": ("", "cat(bn, add(bn, identity))\nbn", "0 3, 1 3, 2 6", "[N, 6, H, W]"),
    "a combinator as a body": (
        "",
        "cat:\n    identity\n    a: conv(2, 1) -> bn\n    [bn]",
        "a 2x3x1x1, 1 2, 2.0 3",
        "[N, 8, H, W]",
    ),
    "a labelled combinator is a scope": ("", "a: cat(bn, bn)\nbn", "a.0 3, a.1 3, 1 6", "[N, 6, H, W]"),
    "a combinator of a list": ("", "cat(*[conv(c, 1) for c in [1, 2]])", "0 1x3x1x1, 1 2x3x1x1", "[N, 3, H, W]"),
    "loops and conditions among branches": (
        "",
        "cat:\n    for c in range(1, 5):\n        if c != 2:\n            conv(c, 1)\n        else:\n"
        "            two: conv(c, 1)",
        "0 1x3x1x1, two 2x3x1x1, 2 3x3x1x1, 3 4x3x1x1",
        "[N, 10, H, W]",
    ),
    "bindings among branches": ("", "add:\n    c = 3\n    conv(c, 1)\n    identity", "0 3x3x1x1", "[N, 3, H, W]"),
    "a product is a gate": (
        "",
        "mul(identity, gate: [global_avgpool, conv(x.channels, 1)])",
        "gate.1 3x3x1x1",
        "[N, 3, H, W]",
    ),
    "split divides the channels": ("", "split(conv(4, 1), identity, bn)", "0 4x1x1x1, 1 1", "[N, 6, H, W]"),
    "split as a body": (
        "",
        "conv(8, 1)\nsplit:\n    conv(x.channels, 1)\n    identity",
        "0 8x3x1x1, 1 4x4x1x1",
        "[N, 8, H, W]",
    ),
    "one branch is no combination": ("", "add(bn)", "0 3", "[N, 3, H, W]"),
    "a combinator as a value": ("", "c = cat(bn, identity)\nc -> c", "0 3, 1 6", "[N, 12, H, W]"),
    # ------------------------------------------------------------ what a false condition leaves out
    "an item that is left out takes no number": (
        "",
        "bn\nbn if false\nbn if x.channels > 3\n[bn if false, b: bn if x.channels > 3, bn]\nbn",
        "0 3, 1.0 3, 2 3",
        "[N, 3, H, W]",
    ),
    "a branch that is left out": ("", "cat(identity, bn if x.channels > 3, bn if false)\nbn", "0 3", "[N, 3, H, W]"),
    "a labelled branch that is left out": ("", "cat(identity, a: bn if x.channels > 3)", "", "[N, 3, H, W]"),
    "a line that is left out": (
        "",
        "cat:\n    identity\n    a: bn if x.channels > 3\n    bn if false",
        "",
        "[N, 3, H, W]",
    ),
    "a branch that a value leaves out": ("", "c = cat(identity, a: bn if x.channels > 3)\nc", "", "[N, 3, H, W]"),
    "nothing left of a combinator": ("", "add(bn if false)\nbn", "0 3", "[N, 3, H, W]"),
    "a condition with an else": ("", "conv(4, 1) if x.channels > 3 else conv(5, 1)", "0 5x3x1x1", "[N, 5, H, W]"),
    # ------------------------------------------------------------ if, for
    "if": ("", "if x.channels == 3:\n    bn\nelif true:\n    conv(1, 1)\nelse: conv(2, 1)", "0 3", "[N, 3, H, W]"),
    "elif": (
        "",
        "if false:\n    bn\nelif x.channels == 3:\n    conv(1, 1)\nelse:\n    conv(2, 1)",
        "0 1x3x1x1",
        "[N, 1, H, W]",
    ),
    "else": ("", "if not true: bn\nelif 1 > 2: conv(1, 1)\nelse: conv(2, 1)", "0 2x3x1x1", "[N, 2, H, W]"),
    "a condition in words": ("", "bn if 1 < 2 and not 2 in [1, 3] or false", "0 3", "[N, 3, H, W]"),
    "a condition looks no further than it must": ("", "bn if true or 1 / 0 > 1", "0 3", "[N, 3, H, W]"),
    "a loop with a number": (
        "",
        "for i, c in enumerate([4, 5]):\n    c{i}: conv(c, 1)",
        "c0 4x3x1x1, c1 5x4x1x1",
        "[N, 5, H, W]",
    ),
    "nested targets": (
        "",
        "for i, (c, k) in enumerate(zip([4, 5], [1, 3])):\n    c{i+1}: conv(c, k)",
        "c1 4x3x1x1, c2 5x4x3x3",
        "[N, 5, H, W]",
    ),
    "a loop over pipelines": ("", "for f in [bn, conv(4, 1), [bn]]:\n    f", "0 3, 1 4x3x1x1, 2.0 4", "[N, 4, H, W]"),
    "a loop has its own names": (
        "",
        "for i in range(2):\n    c = i + 4\n    conv(c, 1)",
        "0 4x3x1x1, 1 5x4x1x1",
        "[N, 5, H, W]",
    ),
    "names with texts in them": ("", 'for n in ["a", "b"]:\n    norm_{n}x: bn', "norm_ax 3, norm_bx 3", "[N, 3, H, W]"),
    # ------------------------------------------------------------ bindings
    "a tensor": ("", "skip = x\nconv(4, 1)\ncat(skip, identity)", "0 4x3x1x1", "[N, 7, H, W]"),
    "a tensor made on the way": (
        "",
        "a = x -> conv(4, 1)\nconv(5, 1)\ncat(a -> bn, identity)",
        "0 4x3x1x1, 1 5x3x1x1, 2 4",
        "[N, 9, H, W]",
    ),
    "a tensor in brackets is made once": ("", "a = (x -> conv(4, 1)) -> relu\na", "0 4x3x1x1", "[N, 4, H, W]"),
    "a tensor on a condition": ("", "a = (x -> conv(4, 1)) if x.channels > 3 else x\na", "", "[N, 3, H, W]"),
    "a pipeline": ("", "p = conv(4, 1) -> bn\np -> p", "0 4x3x1x1, 1 4, 2 4x4x1x1, 3 4", "[N, 4, H, W]"),
    "a value": ("", "c = 2 * x.channels\nconv(8, 1)\nconv(c, 1)", "0 8x3x1x1, 1 6x8x1x1", "[N, 6, H, W]"),
    "names with numbers, for the body around the loop": (
        "",
        "for i in range(2):\n    s{i} = x\n    conv(4, 1)\ncat(s{0}, s1, identity)\ncat(*[s{i} for i in range(2)])",
        "0 4x3x1x1, 1 4x4x1x1",
        "[N, 7, H, W]",
    ),
    "bound under a condition": ("", "if true:\n    c = 4\nconv(c, 1)", "0 4x3x1x1", "[N, 4, H, W]"),
    # ------------------------------------------------------------ x
    "x is what reaches the step": (
        "",
        "conv(2 * x.channels, 1) -> conv(2 * x.channels, 1)",
        "0 6x3x1x1, 1 12x6x1x1",
        "[N, 12, H, W]",
    ),
    "x in a pipeline is what it is applied to": (
        "",
        "p = conv(2 * x.channels, 1)\np -> p",
        "0 6x3x1x1, 1 12x6x1x1",
        "[N, 12, H, W]",
    ),
    "x in a chain from a tensor stays": (
        "",
        "y = x\nconv(8, 1)\ny -> conv(x.channels, 1) -> conv(x.channels, 1)",
        "0 8x3x1x1, 1 8x3x1x1, 2 8x8x1x1",
        "[N, 8, H, W]",
    ),
    "x in a branch is what reaches it": (
        "",
        "conv(6, 1)\nsplit(conv(x.channels, 1), identity)",
        "0 6x3x1x1, 1 3x3x1x1",
        "[N, 6, H, W]",
    ),
    "a condition on x in a pipeline": (
        "",
        "p = conv(4, 1) if x.channels == 3 else conv(3, 3)\np -> p -> p",
        "0 4x3x1x1, 1 3x4x3x3, 2 4x3x1x1",
        "[N, 4, H, W]",
    ),
    "a condition on x in a number": (
        "",
        "c = 4 if x.channels == 3 else 5\nbn\nconv(8, 1)\nconv(c, 1)",
        "0 3, 1 8x3x1x1, 2 4x8x1x1",
        "[N, 4, H, W]",
    ),
    # ------------------------------------------------------------ sharing
    "a labelled value used twice is shared": (
        "",
        "t = tower: conv(3, 3)\na = x -> t\nadd(a, a -> t)",
        "tower 3x3x3x3",
        "[N, 3, H, W]",
    ),
    "a sequence of blocks is shared": (
        UNIT,
        "t = tower: [unit(3), bn]\nt -> t",
        "tower.0.0 3x3x1x1, tower.1 3",
        "[N, 3, H, W]",
    ),
    "an unlabelled value is copied": ("", "t = conv(3, 3)\nt -> t", "0 3x3x3x3, 1 3x3x3x3", "[N, 3, H, W]"),
    "a label repeated is shared": ("", "(a: bn -> relu) * 3\nbn", "a 3, 4 3", "[N, 3, H, W]"),
    "one label in two scopes": ("", "p: [a: bn]\nq: [a: bn]", "p.a 3, q.a 3", "[N, 3, H, W]"),
    # ------------------------------------------------------------ tensors as parameters
    "a tensor as a parameter": (
        "block join(skip):\n    cat(skip, identity) -> conv(skip.channels, 1)",
        "skip = x\nconv(8, 3, 2) -> upsample(like=skip) -> join(skip)",
        "0 8x3x3x3, 2.0 3x11x1x1",
        "[N, 3, H, W]",
    ),
    "a list of tensors as a parameter": (
        "block align(i, j):\n    conv(4, 3) if i != j\n"
        "block fuse(xs, i):\n    add(*[xs[j] -> align(i, j) for j in range(len(xs))])",
        "a = x -> conv(4, 1)\nb = x -> conv(4, 1)\nfuse([a, b], 1)",
        "0 4x3x1x1, 1 4x3x1x1, 2.0.0 4x4x3x3",
        "[N, 4, H, W]",
    ),
    "a tensor of an outer scope": (
        "",
        "y = x\na:\n    conv(4, 1)\n    b:\n        cat(identity, y)",
        "a.0 4x3x1x1",
        "[N, 7, H, W]",
    ),
    # ------------------------------------------------------------ several results
    "a record": (
        "block cell(h):\n    output c = x -> conv(h, 1)\n    output d = x -> conv(h, 3)",
        "r = x -> cell(4)\nadd(r.c, r.d)\nconv(r.d.channels, 1)",
        "0.0 4x3x1x1, 0.1 4x3x3x3, 1 4x4x1x1",
        "[N, 4, H, W]",
    ),
    "results by number": (
        "block cell(n):\n    for i in range(n):\n        output y{i} = x -> conv(4 + i, 1)",
        "r = x -> cell(3)\ncat(r.y2, *[r.y{2 - i} for i in range(2)])\na{1}: conv(4, 1)\nr.y{0} -> conv(r.y{1}.channels, 1)",
        "0.0 4x3x1x1, 0.1 5x3x1x1, 0.2 6x3x1x1, a1 4x17x1x1, 2 5x4x1x1",
        "[N, 5, H, W]",
    ),
    "a chain goes on with the first result": (
        "block cell:\n    output c = x -> conv(4, 1)\n    output d = x",
        "cell -> bn",
        "0.0 4x3x1x1, 1 4",
        "[N, 4, H, W]",
    ),
    "results of an operator": (
        "",
        "p = x -> maxpool(2, indices=true)\np -> bn -> maxunpool(p.indices, 2)",
        "1 3",
        "[N, 3, 2*(H//2), 2*(W//2)]",
    ),
    # ------------------------------------------------------------ functions
    "a function": ("fn half(c) = max(1, c // 2)", "conv(half(9), half(1))", "0 4x3x1x1", "[N, 4, H, W]"),
    "a function of a function": (
        "fn a(n, m=n) = n * m\nfn b(n) = a(n) + a(n, m=2)",
        "conv(b(3), 1)",
        "0 15x3x1x1",
        "[N, 15, H, W]",
    ),
    "a function that returns a pipeline": (
        "fn cbr(c, k=1) = [conv(c, k), bn, relu]",
        "cbr(4)",
        "0.0 4x3x1x1, 0.1 4",
        "[N, 4, H, W]",
    ),
    "recursion in a function": (
        "fn fact(n) = 1 if n < 2 else n * fact(n - 1)",
        "conv(fact(3), 1)",
        "0 6x3x1x1",
        "[N, 6, H, W]",
    ),
    "recursion in a block": (
        "block tree(n):\n    if n > 0:\n        cat(tree(n - 1), conv(n, 1))\n    else:\n        bn",
        "tree(2)",
        "0.0.0.0 3, 0.0.1 1x3x1x1, 0.1 2x3x1x1",
        "[N, 6, H, W]",
    ),
    "functions of the language": (
        "",
        "conv(len([1, 2]) + sum([1, 2]) + min(4, 5) + max([1, 2]) + abs(-2) + round(5 / 2) +\n"
        "  floor(7 / 2) + ceil(7 / 2), 1)\n"
        "conv(int(2.9) + 7 % 4 + 2**3 + 9 // 2 + 6 / 2 - -1, 1)\n"
        "conv(reversed(range(1, 9, 3))[0] + [1, 2, 3][-1], 1)",
        "0 22x3x1x1, 1 21x22x1x1, 2 10x21x1x1",
        "[N, 10, H, W]",
    ),
    "comprehensions": (
        "",
        "[conv(c + k, k) for c, k in zip([4, 5, 6], [1, 1, 3]) if c != 5]",
        "0.0 5x3x1x1, 0.1 9x5x3x3",
        "[N, 9, H, W]",
    ),
    "lists": ("", "for c in [1] * 2 + [2]:\n    conv(c, 1)", "0 1x3x1x1, 1 1x1x1x1, 2 2x1x1x1", "[N, 2, H, W]"),
    # ------------------------------------------------------------ signatures, require
    "a signature that holds for every size": (
        "block down(s) [N, C, H, W] -> [N, 2 * C, ceil(H / s), (W - 1) // s + 1]:\n    conv(2 * C, 3, s)",
        "down(2) -> down(3)",
        "0.0 6x3x3x3, 1.0 12x6x3x3",
        "[N, 12, ceil(H/6), ceil(W/6)]",
    ),
    "a signature with a number": (
        "block rgb [N, 3, H, W] -> [N, 1, H, W]:\n    conv(1, 1)",
        "rgb",
        "0.0 1x3x1x1",
        "[N, 1, H, W]",
    ),
    "a requirement that holds": ("", 'require x.channels == 3, "three"\nbn', "0 3", "[N, 3, H, W]"),
    # ------------------------------------------------------------ defaults
    "defaults": (
        "default conv(kernel=3, stride=2), maxpool(stride=1)",
        "conv(4) -> maxpool(1) -> conv(4, stride=1)",
        "0 4x3x3x3, 2 4x4x3x3",
        "[N, 4, ceil(H/2), ceil(W/2)]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_meaning(name: str) -> None:
    top, body, names, result = VALID[name]
    network = build(body, top)
    assert learned(network) == names
    assert shape(network) == result


# -------------------------------------------------------------------------------------------------- inputs and outputs
def test_input_sizes_are_symbols_with_defaults() -> None:
    network = build("conv(4, 3, 2)")
    assert [(s.name, s.default) for s in network.symbols] == [("N", 1), ("H", 32), ("W", 32)]
    assert shape(network) == "[N, 4, ceil(H/2), ceil(W/2)]"
    assert cost(network).macs == 4 * 3 * 9 * 16 * 16


def test_sizes_and_channels_can_be_asked_for() -> None:
    network = build("conv(4, 3, 2)", sizes=((2, 3, 9, 7),))
    assert cost(network).macs == 4 * 3 * 9 * 5 * 4
    assert learned(build("conv(4, 1)", in_channels=1)) == "0 4x1x1x1"


def test_a_parameter_of_the_net_can_be_set() -> None:
    file = Project().text(f"net net(c=4, f=relu):\n    {INPUT}\n    conv(c, 1) -> f\nnet wide = net(8)\n")
    assert learned(elaborate(file, "net")) == "0 4x3x1x1"
    assert learned(elaborate(file, "wide")) == "0 8x3x1x1"
    assert learned(elaborate(file, "net", Settings(params=(("c", 5),)))) == "0 5x3x1x1"
    assert learned(elaborate(file, "wide", Settings(params=(("c", 5),)))) == "0 5x3x1x1"


def test_an_input_size_can_be_a_parameter() -> None:
    file = Project().text("net net(size=64):\n    input image: [N, 3, size, W=size]\n    conv(4, 1)\n")
    assert shape(elaborate(file, "net")) == "[N, 4, 64, W]"
    assert cost(elaborate(file, "net")).macs == 12 * 64 * 64


def test_several_inputs_share_their_symbols() -> None:
    network = build("input depth: [N, 1, H, W]\ncat(image, depth) -> conv(4, 1)")
    assert learned(network) == "0 4x4x1x1"
    assert network.scope.input_names == ("image", "depth")
    assert len(network.symbols) == 3


def test_inputs_have_one_batch() -> None:
    with pytest.raises(CompileError, match="all inputs have the batch of the first one, `N`"):
        compile_text("net n:\n    input a: [N, 3, H=8, W=8]\n    input b: [M, 3, H, W]\n    a + b\n")


def test_parameters_of_a_block_stand_in_order_whatever_they_are_called() -> None:
    block = "block b(init=1, bias_init=4):\n    conv(bias_init, init)"
    assert learned(build("b(3)", block)) == "0.0 4x3x3x3"
    assert learned(build("b(3, 5)", block)) == "0.0 5x3x3x3"


def test_the_current_tensor_is_the_first_input() -> None:
    assert shape(build("input depth: [N, 1, H2=8, W2=8]\nbn")) == "[N, 3, H, W]"


def test_named_outputs() -> None:
    network = build("conv(4, 1)\noutput a = x\nconv(5, 1)\noutput b = x -> conv(6, 1)")
    assert [o.name for o in network.scope.outputs] == ["a", "b"]
    assert [shape(network, i) for i in (0, 1)] == ["[N, 4, H, W]", "[N, 6, H, W]"]
    assert learned(network) == "0 4x3x1x1, 1 5x4x1x1, 2 6x5x1x1"


def test_outputs_when_training_come_after_the_last_tensor() -> None:
    network = build("conv(4, 1)\noutput aux = x -> conv(6, 1) when training\nconv(5, 1)")
    assert [(o.name, o.training) for o in network.scope.outputs] == [("out", False), ("aux", True)]
    assert [shape(network, i) for i in (0, 1)] == ["[N, 5, H, W]", "[N, 6, H, W]"]


def test_words_of_statements_are_names_elsewhere() -> None:
    assert learned(build("training = 4\nwhen: conv(training, 1)")) == "when 4x3x1x1"


# -------------------------------------------------------------------------------------------------- taps
BACKBONE = f"""
    net backbone:
        {INPUT}
        c1: conv(4, 3, 2)
        c2: conv(8, 3, 2) -> bn
        global_avgpool -> flatten -> fc: linear(10)
"""


def test_a_labelled_step_of_a_net_is_addressable() -> None:
    network = build("f = image -> body: backbone\ncat(f.c2 -> upsample(2), f.c1)", BACKBONE)
    assert learned(network) == "body.c1 4x3x3x3, body.c2 8x4x3x3"
    assert int(network.scope.output_shapes[0][1]) == 12
    body = network.scope.nodes[0].what
    assert isinstance(body, Scope)
    assert [o.name for o in body.outputs] == ["c2", "c1"]


def test_a_step_addressed_twice_is_returned_once() -> None:
    network = build("f = image -> body: backbone\nadd(f.c1, f.c1 -> bn, f.c1)", BACKBONE)
    body = network.scope.nodes[0].what
    assert isinstance(body, Scope)
    assert [o.name for o in body.outputs] == ["c1"]
    assert shape(network) == "[N, 4, ceil(H/2), ceil(W/2)]"


# -------------------------------------------------------------------------------------------------- sharing
def test_shared_weights_are_counted_once_and_computed_twice() -> None:
    network = build("t = tower: conv(3, 3, bias=false)\na = x -> t\nb = a -> t\ncat(a, b)")
    assert cost(network).params == 81
    assert cost(network).macs == 2 * 81 * 32 * 32
    assert [(n.name, n.reuses) for n in network.scope.nodes] == [("tower", False), ("tower", True), ("", False)]


def test_equal_instances_of_a_block_are_elaborated_once() -> None:
    first, second, third = build("unit(3)\nunit(3)\nunit(4)", UNIT).scope.nodes
    assert first.what is second.what
    assert first.what is not third.what


# -------------------------------------------------------------------------------------------------- files
def test_the_docstring_of_a_file_is_that_of_its_net() -> None:
    source = f'"""Net: A Title\n\n  and more."""\n\nnet net:\n    {INPUT}\n    relu\n'
    assert elaborate(Project().text(source), "net").doc == "Net: A Title\n\nand more."


def test_the_docstring_of_a_net_comes_first() -> None:
    source = f'"""File."""\nnet net:\n    """Net."""\n    {INPUT}\n    relu\n'
    assert elaborate(Project().text(source), "net").doc == "Net."


def test_comments_blank_lines_and_line_ends_mean_nothing() -> None:
    plain = text("a:\n    bn\n    conv(4, 1)")
    spread = plain.replace("\n", "  # why\r\n\r\n# and\n")
    assert learned(elaborate(Project().text(spread), "net")) == "a.0 3, a.1 4x3x1x1"


def sibling(folder: Path, name: str, content: str) -> Path:
    path = folder / f"{name}.arch"
    path.write_text(dedent(content))
    return path


def test_import_from_a_sibling(tmp_path: Path) -> None:
    parts = "default conv(bias=false)\nfn double(c) = 2 * c\nblock unit(c):\n    conv(double(c), 1)\n"
    sibling(tmp_path, "parts", parts)
    main = sibling(tmp_path, "main", text("unit(2) -> conv(double(3), 1)", "from parts import unit, double"))
    network = elaborate(Project().open(str(main)), "net")
    # `default` is lexical: the block keeps that of its own file, and gives none to the importing one.
    assert [name for name, _ in weights(network.scope)] == ["0.0.weight", "1.weight", "1.bias"]
    assert learned(network) == "0.0 4x3x1x1, 1 6x4x1x1"


def test_import_from_the_gallery() -> None:
    network = build("basic(3)", "from resnet50 import basic")
    assert learned(network) == "0.conv1 3x3x3x3, 0.bn1 3, 0.conv2 3x3x3x3, 0.bn2 3"


def test_a_sibling_comes_before_the_gallery(tmp_path: Path) -> None:
    sibling(tmp_path, "resnet50", "block basic(c):\n    conv(c, 1)\n")
    main = sibling(tmp_path, "main", text("basic(4)", "from resnet50 import basic"))
    assert learned(elaborate(Project().open(str(main)), "net")) == "0.0 4x3x1x1"


def test_files_that_import_one_another_in_a_circle(tmp_path: Path) -> None:
    sibling(tmp_path, "a", "from b import q\nblock p:\n    relu\n")
    sibling(tmp_path, "b", "from a import p\nblock q:\n    relu\n")
    with pytest.raises(CompileError) as caught:
        Project().open(str(tmp_path / "a.arch"))
    assert caught.value.diagnostic.code == "E0217"
    assert caught.value.diagnostic.notes[0].text == "a.arch -> b.arch -> a.arch"


def test_a_mistake_in_an_imported_file_is_shown_there(tmp_path: Path) -> None:
    path = sibling(tmp_path, "parts", "block unit:\n    relu\n    linear(3)\n")
    main = sibling(tmp_path, "main", text("unit", "from parts import unit"))
    with pytest.raises(CompileError) as caught:
        elaborate(Project().open(str(main)), "net")
    span = caught.value.diagnostic.primary.span
    assert (span.source.path, span.line) == (str(path), 3)


@pytest.mark.parametrize("name", ["nothing", "folder", "empty", "binary"])
def test_files_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(b"net \xff")
    with pytest.raises(CompileError) as caught:
        Project().open(str(tmp_path / name))
    assert caught.value.diagnostic.code == "E0108"


# -------------------------------------------------------------------------------------------------- initializers
def test_init_clauses() -> None:
    body = "conv(4, 1)\nconv(4, 1, init=zeros)\nconv(4, 1, bias_init=constant(2))\nbn"
    network = build(body, 'init conv(kaiming(mode="fan_out"), bias=zeros)')
    kaiming, zeros = make("kaiming", {"mode": "fan_out"}), make("zeros", {})
    assert [dict(n.init) for n in network.scope.nodes] == [
        {"weight": kaiming, "bias": zeros},
        {"weight": zeros, "bias": zeros},
        {"weight": kaiming, "bias": make("constant", {"val": 2})},
        {},
    ]


def test_init_is_lexical(tmp_path: Path) -> None:
    sibling(tmp_path, "parts", "init conv(zeros)\nblock unit:\n    conv(3, 1)\n")
    main = sibling(tmp_path, "main", text("unit\nconv(3, 1)", "from parts import unit\ninit conv(ones)"))
    steps = [n for n in nodes(elaborate(Project().open(str(main)), "net").scope) if not isinstance(n.what, Scope)]
    assert [dict(n.init) for n in steps] == [{"weight": make("zeros", {})}, {"weight": make("ones", {})}]


# -------------------------------------------------------------------------------------------------- mistakes
# name: (code, definitions, body); `# <-` marks the line
BROKEN = {
    # ------------------------------------------------------------ E01: the text
    "a strange character": ("E0101", "", "relu\nconv(4 ? 3, 1)  # <-"),
    "single quotes": ("E0101", "", "avgpool('same')  # <-"),
    "an unclosed string": ("E0101", "", 'require true, "why  # <-'),
    "an unclosed bracket": ("E0102", "", "conv(4, (1  # <-\n"),
    "a bracket that is open on the next line": ("E0102", "", "conv(4,  # <-\n1\nrelu"),
    "a bracket that is open inside itself": ("E0107", "", "conv(4,\n  1\n  relu  # <-"),
    "a bracket too many": ("E0103", "", "conv(4, 1))  # <-"),
    "brackets of two kinds": ("E0103", "", "conv(4,\n  1]  # <-"),
    "tabs and spaces": ("E0104", "", "if true:\n\trelu  # <-"),
    "a dedent to nowhere": ("E0105", "", "if true:\n        relu\n      bn  # <-"),
    "brackets too deep": ("E0106", "", "conv(" + "(" * 80 + "4" + ")" * 80 + ", 1)  # <-"),
    "an operator without an operand": ("E0107", "", "conv(4 +, 1)  # <-"),
    "an indented line": ("E0107", "", "relu\n  relu  # <-"),
    "a body without a colon": ("E0107", "", "if true  # <-\n    relu"),
    "a body without lines": ("E0107", "", "if true:\nrelu  # <-"),
    "one equals sign": ("E0107", "", "relu if x.channels = 3  # <-"),
    "a label of a label": ("E0107", "", "a: b: relu  # <-"),
    # ------------------------------------------------------------ E02: names and values
    "an unknown name": ("E0201", "", "relu\nrleu  # <-"),
    "an unknown interpolated name": ("E0201", "", "s{1} = x\nfor i in range(3):\n    s{i}  # <-"),
    "an unknown import": ("E0201", "from resnet50 import basic, nothing  # <-", "relu"),
    "an unknown operator in a default": ("E0201", "default convolution(bias=false)  # <-", "relu"),
    "a name of a loop, outside": ("E0201", "", "for i in range(2):\n    c = i\nconv(c, 1)  # <-"),
    "a name of a body, outside": ("E0201", "", "a:\n    y = x\ny  # <-"),
    "a parameter used before it is bound": ("E0201", "block b(p=q, q=3):  # <-\n    relu", "b"),
    "an unknown argument": ("E0202", "", "conv(4, 1,\n  strides=2)  # <-"),
    "an unknown argument of a block": ("E0202", UNIT, "unit(4, size=3)  # <-"),
    "an unknown argument in a default": ("E0202", "default conv(biased=false)  # <-", "relu"),
    "an unknown argument of an initializer": ("E0202", "init conv(normal(sigma=1))  # <-", "relu"),
    "an open parameter": ("E0203", UNIT, "relu\nunit  # <-"),
    "an open parameter of an operator": ("E0203", "", "c = conv(4)  # <-\nc"),
    "an open parameter of a function": ("E0203", "fn f(a, b) = a", "conv(f(1), 1)  # <-"),
    "a combinator without branches": ("E0203", "", "cat  # <-"),
    "too many arguments": ("E0204", UNIT, "unit(1, 2, 3,\n  4)  # <-"),
    "too many arguments of a function": ("E0204", "fn f(a) = a", "conv(f(1, 2), 1)  # <-"),
    "too many arguments of an initializer": ("E0204", "init conv(normal(1, 2, 3))  # <-", "relu"),
    "an argument of the wrong kind": ("E0205", "", "conv(4, 1, bias=3)  # <-"),
    "an argument out of its range": ("E0205", "", "conv(4, 1,\n  stride=0)  # <-"),
    "a pipeline for a number": ("E0205", "", "conv(relu, 1)  # <-"),
    "a number for a tensor": ("E0205", "", "upsample(like=3)  # <-"),
    "a number for an initializer": ("E0205", "", "conv(4, 1, init=3)  # <-"),
    "a default of the wrong kind": ("E0205", "default conv(bias=3)  # <-", "relu"),
    "an initializer's argument of the wrong kind": ("E0205", 'init conv(kaiming(mode="in"))  # <-', "relu"),
    "a name bound twice": ("E0206", "", "a = 1\nrelu\na = 2  # <-"),
    "an interpolated name bound twice": ("E0206", "", "for i in [1, 1]:\n    a{i} = x  # <-"),
    "an argument given twice": ("E0206", UNIT, "unit(4, channels=5)  # <-"),
    "a batch norm that cannot be trained": ("E0205", "", "ln(eps=0) -> gn(1, eps=0)\nbn(eps=0)  # <-"),
    "an output twice": ("E0206", "", "output a = x\noutput a = relu  # <-"),
    "a number as a step": ("E0207", "", "relu\n3  # <-"),
    "a number in a chain": ("E0207", "", "relu -> 3  # <-"),
    "a list of numbers as a step": ("E0207", "", "widths = [1, 2]\nwidths  # <-"),
    "a call of a number": ("E0208", "", "c = 3\nrelu -> c(4)  # <-"),
    "a sum of a text and a number": ("E0209", "", 'c = "a" + 1  # <-'),
    "an order of pipelines": ("E0209", "", "relu if relu < bn  # <-"),
    "a part of a whole": ("E0210", "", "conv(7 / 2, 1)  # <-"),
    "half a size in a signature": ("E0303", "block b [N, C, H, W] -> [N, C, H / 2, W]:  # <-\n    maxpool(2)", "b"),
    "a large number": ("E0211", "", "c = 2**63  # <-"),
    "a number of many digits": ("E0211", "", f"c = {'9' * 50}  # <-"),
    "a long range": ("E0212", "", "for i in range(10**9):  # <-\n    relu"),
    "a long list": ("E0212", "", "c = [1] * 10**9  # <-"),
    "many repetitions": ("E0212", "", "relu * 10**9  # <-"),
    "a keyword as a label": ("E0213", "", "relu\nclass: bn  # <-"),
    "a method as a label": ("E0213", "", "train: bn  # <-"),
    "a label with an underscore": ("E0213", "", "_a: bn  # <-"),
    "a keyword as an output": ("E0213", "", "output class = relu  # <-"),
    "two steps with one label": ("E0214", "", "a: conv(3, 1)\nrelu\na: conv(3, 1)  # <-"),
    "a label in a loop": ("E0214", "", "for i in range(2):\n    a: conv(3, 1)  # <-"),
    "two branches with one label": ("E0214", "", "cat(\n  a: bn,\n  a: bn)  # <-"),
    "a default given twice": ("E0206", "default conv(bias=false), bn(eps=0.1), conv(bias=true)  # <-", "conv(4, 1)"),
    "an initializer given twice": ("E0206", "init conv(zeros)\ninit conv(ones)  # <-", "conv(4, 1)"),
    "a requirement": ("E0215", "", 'relu\nrequire x.channels > 3, "needs more channels"  # <-'),
    "no such file": ("E0216", "from nowhere import a  # <-", "relu"),
    "endless recursion in a block": ("E0218", "block b(n):\n    relu\n    b(n + 1)  # <-", "b(0)"),
    "endless recursion in a function": ("E0218", "fn f(n) = f(n + 1)  # <-", "conv(f(0), 1)"),
    "endless recursion in two blocks": ("E0218", "block a:\n    b  # <-\nblock b:\n    a  # <-", "a"),
    "an alias of itself": ("E0218", "net a = a  # <-", "a"),
    "a condition on a symbolic size": ("E0219", "", "relu if x.height > 8  # <-"),
    "a condition on a derived size": ("E0219", "", "conv(4, 3, 2)\nif x.width == 16:  # <-\n    relu"),
    "an unknown attribute of a tensor": ("E0222", "", "conv(x.chanels, 1)  # <-"),
    "an unknown attribute of a record": ("E0222", "block c:\n    output a = relu", "r = x -> c\nr.b  # <-"),
    "an attribute of a number": ("E0222", "", "c = 3\nconv(c.channels, 1)  # <-"),
    "a step that a net does not label": ("E0222", BACKBONE, "f = x -> backbone\nf.c3  # <-"),
    "a step of a step": ("E0222", BACKBONE, "f = x -> backbone\nf.c1.c2  # <-"),
    "an index beyond a list": ("E0223", "", "l = [1, 2]\nconv(l[2], 1)  # <-"),
    "an index into a number": ("E0223", "", "l = 3\nconv(l[0], 1)  # <-"),
    "an index into several results": ("E0223", "block b:\n    output y0 = x\n    output y1 = x -> relu", "r = x -> b\nr[0]  # <-"),
    "a condition that is a number": ("E0224", "", "relu if 1  # <-"),
    "a loop over a number": ("E0224", "", "for i in 3:  # <-\n    relu"),
    "targets that do not match": ("E0224", "", "for a, b in [(1, 2, 3)]:  # <-\n    relu"),
    "lists of two lengths": ("E0224", "", "for a, b in zip([1], [1, 2]):  # <-\n    relu"),
    "division by zero": ("E0224", "", "c = 1 // 0  # <-"),
    "x bound": ("E0230", "", "relu\nx = 3  # <-"),
    "a tensor in a name": ("E0224", "", "a{x}: relu  # <-"),
    "an argument left out by a condition": ("E0224", "", "conv(4 if false, 1)  # <-"),
    "a binding left out by a condition": ("E0224", "", "c = 3 if false  # <-"),
    "a part left out by a condition": ("E0224", "", "split(identity, bn if x.channels > 3, relu)  # <-"),
    "a label of a tensor": ("E0224", "", "y = x\na: y  # <-"),
    "a negative repetition": ("E0224", "", "relu * (1 - 2)  # <-"),
    "an initializer for what has no weights": ("E0224", "init relu(zeros)  # <-", "relu"),
    "a default without a name": ("E0224", "default conv(3)  # <-", "relu"),
    "an output in a body": ("E0225", "", "a:  # <-\n    output b = relu"),
    "an output among branches": ("E0225", "", "cat:\n    relu\n    output b = relu  # <-"),
    "an input after a step": ("E0225", "", "relu\ninput second: [N, 3, H, W]  # <-"),
    "an input after a step of a net inside": ("E0225", f"net early:\n    relu\n    {INPUT}  # <-", "early"),
    "an input in a body": ("E0225", "", "a:\n    input second: [N, 3, H, W]  # <-\n    relu"),
    "an input without a default size": ("E0226", "", "input second: [N, 3, Z, W]  # <-"),
    "an input whose channels are a size": ("E0226", "", "input second: [N, C=4, H, W]  # <-"),
    "an input with a part of a channel": ("E0226", "", "input second: [N, 1.5, H, W]  # <-"),
    "two definitions with one name": ("E0228", "block a:\n    relu\nfn a(n) = n  # <-", "relu"),
    # ------------------------------------------------------------ E03: shapes
    "features for a map": ("E0301", "", "relu\nlinear(10)  # <-"),
    "a window larger than its input": ("E0301", "", "maxpool(8, 8) -> conv(4,\n  7, pad=0)  # <-"),
    "groups that do not divide": ("E0301", "", "conv(4, 1, groups=2)  # <-"),
    "an input of another rank": ("E0301", "block b [N, F] -> [N, F]:  # <-\n    relu", "b"),
    "an input with other channels": ("E0301", "block b [N, 4, H, W] -> [N, 4, H, W]:  # <-\n    relu", "b"),
    "a sum of two widths": ("E0302", "", "add(conv(4, 1),\n  conv(5, 1))  # <-"),
    "a sum of two sizes": ("E0302", "", "add:\n    identity\n    maxpool(2)  # <-"),
    "a concatenation of two inputs": ("E0302", "", "input second: [N, 3, H2=16, W2=16]\ncat(image, second)  # <-"),
    "a signature with other channels": ("E0303", "block b [N, C, H, W] -> [N, C, H, W]:  # <-\n    conv(4, 1)", "b"),
    "a signature that holds for one size only": (
        "E0303",
        "block b [N, C, H, W] -> [N, C, H // 2, W]:  # <-\n    maxpool((2, 1), ceil=true)",
        "b",
    ),
    "a signature of another rank": ("E0303", "block b [N, C, H, W] -> [N, C]:  # <-\n    relu", "b"),
    "weights shared by two widths": ("E0305", "", "t = a: conv(4, 1)\nb = x -> t\nb -> t  # <-"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_mistake(name: str) -> None:
    code, top, body = BROKEN[name]
    source = text(body, top)
    mistake = fail(source)
    marked = [number for number, line in enumerate(source.split("\n"), 1) if "# <-" in line]
    assert mistake.diagnostic.code == code, str(mistake)
    assert mistake.diagnostic.primary.span.line in marked, str(mistake)
    assert str(mistake).startswith(f"error[{code}]")


# What would mend a mistake, and the word that it would replace.
MENDED = {
    "rleu": ("rleu", "relu"),
    "conv(4, 1, strid=2)": ("strid", "stride"),
    "conv(x.chanels, 1)": ("chanels", "channels"),
    "relu -> unti(3)": ("unti", "unit"),
}


@pytest.mark.parametrize("body", MENDED)
def test_a_proposal_replaces_the_wrong_word(body: str) -> None:
    (help,) = fail(text(body, UNIT)).diagnostic.help
    assert help.span is not None
    assert (help.span.text, help.replacement) == MENDED[body]


def test_a_mistake_in_a_block_says_how_it_was_reached() -> None:
    top = "block inner(c):\n    linear(c)\nblock outer(c):\n    relu -> inner(c + 1)"
    notes = fail(text("outer(3)", top)).diagnostic.notes
    assert [n.text for n in notes][1:] == ["in `inner(c=4)`", "in `outer(c=3)`", "in `net()`"]
    assert [n.span.line for n in notes if n.span] == [4, 8, 6]


def test_a_parameter_that_hides_an_operator_is_named() -> None:
    (note, *_) = fail(text("body(0.5)", "block body(dropout):\n    relu -> dropout(dropout)")).diagnostic.notes
    assert note.text == "the name that is bound here hides the operator `dropout`"


def test_a_bracket_left_open_is_named() -> None:
    said = [(label.text, label.span.line) for label in fail(text("conv(4,\n  1\n  relu")).diagnostic.secondary]
    assert said == [("still open at that place", 5), ("a comma or a bracket may be missing here", 6)]
    (further,) = fail(text("conv(4,\n  1\nrelu")).diagnostic.secondary
    assert (further.text, further.span.line) == ("this does not belong inside it", 7)


def test_a_step_before_the_input() -> None:
    with pytest.raises(CompileError) as caught:
        elaborate(Project().text(f"net net:\n    relu\n    {INPUT}\n"), "net")
    assert (caught.value.diagnostic.code, caught.value.diagnostic.primary.span.line) == ("E0221", 2)


def test_an_unknown_parameter_of_a_net() -> None:
    with pytest.raises(CompileError) as caught:
        build("relu", params=(("widht", 3),))
    assert caught.value.diagnostic.code == "E0227"


def test_an_input_size_of_another_rank() -> None:
    with pytest.raises(CompileError) as caught:
        build("relu", sizes=((1, 3, 32),))
    assert caught.value.diagnostic.code == "E0226"


@pytest.mark.parametrize(
    "text",
    [
        "s = l: bn(affine=false)\n    s -> slice(0, 2) -> s",
        "s = l: ln(affine=false)\n    s -> slice(0, 2) -> s",
        "s = l: bn\n    s -> global_avgpool -> flatten -> s",
        "s = l: ln\n    s -> global_avgpool -> flatten -> s",
    ],
)
def test_uses_of_one_module_need_one_module(text):
    """Statistics, normalised shapes and ranks are what a module is built for, as weights are."""
    with pytest.raises(CompileError, match="cannot share its weights here"):
        compile_text(f"net n:\n    input image: [N, 4, H=8, W=8]\n    {text}\n")


def test_a_proposal_never_goes_beyond_what_sizes_can_say():
    """A projection with a stride of 2 or more is looked for; here its size has a longer period than any may have."""
    text = "net n:\n    input image: [N, 3, H=20000, W=20000]\n    add(maxpool(1, stride=9216), conv(3, 1))\n"
    with pytest.raises(CompileError, match="do not fit|differ") as caught:
        compile_text(text)
    assert "would bring" not in str(caught.value)


@pytest.mark.parametrize(
    "step",
    [
        "leaky_relu(0.1 if x.channels == 4 else 0.2)",
        "(add(identity, relu -> tanh) if x.channels == 4 else add(relu, tanh))",
        "(add(tanh, relu) if x.channels == 4 else add(relu, tanh))",
    ],
)
def test_uses_of_one_module_mean_one_thing(step):
    """Their arguments and how their steps are joined are what they mean, as their names are."""
    text = f"net n:\n    input image: [N, 4, H=8, W=8]\n    s = l: {step}\n    s -> cat(identity, identity) -> s\n"
    with pytest.raises(CompileError) as caught:
        compile_text(text)
    assert caught.value.diagnostic.code == "E0306"


def test_what_nets_share_depends_on_kinds_and_holds_no_tensor_of_one_of_them():
    text = """fn twice(a) = 2 * a
block joined(t):
    add(identity, t)
net n(a):
    input image: [N, 4, H=8, W=8]
    y = x -> conv(4, 3)
    joined(y) -> conv(twice(a), 1)
"""
    file = Project().text(text)
    memo = Memo(file)
    for a, fits in ((1, True), (1.0, False), (1, True)):
        try:
            assert elaborate(file, "n", Settings((("a", a),)), memo=memo).scope.output_shapes[0][1] == 2 and fits
        except CompileError as mistake:
            assert mistake.diagnostic.code == "E0205" and not fits
    assert memo.returned and not any(captured for _, captured in memo.instances.values())


WIDTHS = """block of(a):
    conv(4 if a == 1 else 8, 1)
block first(a):
    conv(4 if a[0] == 1 else 8, 1)
net n(a=2):
    input image: [N, 4, H=8, W=8]
    {}
"""


@pytest.mark.parametrize("step", ["cat(of(1), of(true))", "cat(of(true), of(1))", "cat(first([1]), first([true]))"])
def test_values_that_are_equal_to_python_are_two_arguments(step):
    """`1 == true` is false in the language, so a block with the one is another instance than with the other."""
    assert compile_text(WIDTHS.format(step)).network.scope.output_shapes[0][1] == 12


@pytest.mark.parametrize("step", ["conv(4, 1) -> conv(4.0, 1)", "conv(4, 1, bias=false) -> conv(4, 1, bias=0)"])
def test_an_argument_is_looked_at_whatever_stood_there_before(step):
    with pytest.raises(CompileError, match="expects"):
        compile_text(WIDTHS.format(step))


def test_settings_that_are_equal_to_python_are_two_settings(tmp_path):
    path = tmp_path / "n.arch"
    path.write_text(WIDTHS.format("of(a)"), encoding="utf-8")
    found = archdsl.sweep(str(path), a=[1, True, 1])
    assert [row["params"] for row in found.rows] == [20, 40, 20]


@pytest.mark.parametrize(
    "step", ["p.indices -> relu", "cat(p, p.indices)", "q -> conv(2, 1)", "p.indices -> [relu]", "p.indices -> same"]
)
def test_positions_of_maxima_are_no_map(step):
    text = f"""block same:
    relu
block positions:
    p = x -> maxpool(2, indices=true)
    output at = p.indices
net n:
    input image: [N, 4, H=8, W=8]
    p = x -> maxpool(2, indices=true)
    q = x -> positions
    p -> maxunpool(p.indices, 2)
    x -> maxpool(2) -> maxunpool(q, 2)
    {step}
"""
    with pytest.raises(CompileError, match="positions of maxima are no map") as caught:
        compile_text(text)
    assert caught.value.diagnostic.primary.span.line == text.count("\n")


@pytest.mark.parametrize(
    "choice", ["bn if image.channels > 3", "(bn)if image.channels > 3", "(bn)if(image.channels > 3)"]
)
def test_a_choice_in_a_chain_is_answered_however_it_is_spaced(choice):
    with pytest.raises(CompileError, match="a choice in a chain has no parentheses") as caught:
        compile_text(f"net n:\n    input image: [N, 4, H=8, W=8]\n    conv(8, 3) -> {choice}\n")
    taken, test = choice.split("if")
    assert f"`(conv(8, 3) -> {taken.strip()}) if {test.strip()}`" in caught.value.diagnostic.help[0].text


def test_the_function_of_a_solver_returns_one_tensor():
    text = """block two:
    output same = x
    output other = x -> relu
net n:
    input image: [N, 4, H=8, W=8]
    ode(two, "euler")
"""
    with pytest.raises(CompileError, match="the function of `ode` must return one tensor") as caught:
        compile_text(text)
    assert "`same`, `other`" in str(caught.value)
