"""What generated code computes, next to what the network says: each rule of the emitter by the text that needs it.

Loops, variables, classes of several instances and left-out arguments are where code can be short and wrong. Here every
text is loaded, in each form there is, and compared with the network run step by step.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

import archdsl
from archdsl.compiler import compile_text
from archdsl.ir.interpret import interpret
from archdsl.run.load import instantiate

pytestmark = pytest.mark.usefixtures("one_thread")

BODIES = {
    "a loop whose middle is read later": """
    c1: conv(8, 3)
    c2: conv(8, 3)
    y = x
    c3: conv(8, 3)
    c4: conv(8, 3)
    add(identity, y)
""",
    "a loop whose middle is a result": """
    c1: conv(8, 3)
    c2: conv(8, 3)
    output middle = x
    c3: conv(8, 3)
    c4: conv(8, 3)
    output last = x
""",
    "a loop whose start is read later": """
    y = x
    c1: conv(8, 3)
    c2: conv(8, 3)
    c3: conv(8, 3)
    cat(identity, y)
""",
    "labels that count up from 5": "\n    c5: conv(8, 3)\n    c6: conv(8, 3)\n    c7: conv(8, 3)\n",
    "labels that count up from 0": "\n    c0: conv(8, 3)\n    c1: conv(8, 3)\n    c2: conv(8, 3)\n",
    "channels that shrink": "\n    [conv(20, 1), conv(16, 1), conv(12, 1), conv(8, 1), conv(4, 1)]\n",
    "windows that grow": "\n    [conv(8, 1, pad=3), conv(8, 3, pad=3), conv(8, 5, pad=3), conv(8, 7, pad=3)]\n",
    "channels that grow by two steps": "\n    [conv(4, 1), conv(8, 1), conv(12, 1), conv(20, 1), conv(28, 1), conv(36, 1)]\n",
    "values that are read twice and later": """
    a = x -> relu
    b = a -> tanh
    c = b -> sigmoid
    d = add(a, c)
    e = mul(b, d)
    add(e, c, a, d -> relu6, b)
""",
    "a value that is used up before its variable is free": """
    a = x -> conv(8, 1)
    b = a -> conv(8, 1)
    c = a -> conv(8, 1)
    d = c -> conv(8, 1)
    cat(d, b, c -> relu, a)
""",
    "sums on the right of a product": "\n    mul(add(identity, relu), add(tanh, sigmoid), identity)\n",
    "arguments of instances": "\n    unit(8, 1) -> unit(8, 2) -> unit(12, 1) -> unit(12, 3)\n",
    "arguments of functions of instances": "\n    pooled(1) -> pooled(3) -> pooled(1)\n",
    "a pad that is none in the first instance": "\n    margins(0) -> margins(2) -> margins(1)\n",
    "blocks that return different steps": "\n    choose(true) -> choose(false) -> choose(true)\n",
    "blocks that return what others go on from": "\n    last(true) -> last(false) -> last(true)\n",
    "blocks that are joined otherwise": "\n    wired(true) -> wired(false) -> wired(true)\n",
    "blocks that are empty in some instances": "\n    rest(8) -> rest(12) -> rest(12)\n",
    "a slope, a constant and an epsilon": "\n    leaky_relu(0.1) -> lrn(3, k=2.0) -> bn(eps=0.01, momentum=0.01) -> elu(0.5) -> gn(2, eps=0.1)\n",
    "convolutions by groups that are not depthwise": "\n    conv(4, 3, groups=4) -> conv(8, 3, groups=4) -> conv(8, 3, groups=8)\n",
    "a body that reads two tensors of the net": """
    a = x -> conv(8, 1)
    b = a -> conv(8, 3)
    s: [conv(8, 3), add(identity, a), add(identity, b, a)]
""",
    "a sequence that is repeated on smaller maps": "\n    [conv(8, 3, 2), relu, conv(8, 1)] * 3\n",
    "a split of flat features": "\n    flatten -> split(identity, linear(6)) -> linear(4)\n",
    "a truth beside a number": "\n    flagged(true) -> flagged(false) -> flagged(true)\n",
    "shuffles of instances": "\n    mixed(2) -> mixed(4)\n",
}
BLOCKS = """block unit(c, s):
    mid = c // 2
    conv(mid, 1) -> conv(c, 3, stride=s) -> bn -> relu
block pooled(s):
    y = x -> maxpool(3, stride=s, pad=1)
    add(y, y -> relu)
block margins(p):
    pad(p) -> conv(8, 3, pad=p)
block choose(second):
    y = x -> conv(8, 1)
    z = y -> conv(8, 3)
    (z if second else y) -> relu
block last(second):
    y = x -> conv(8, 1)
    z = y -> conv(8, 3)
    z if second else y
block flagged(wide):
    conv(8, 3, bias=wide, pad=1 if wide else 0)
block wired(chain):
    y = x -> conv(8, 1)
    z = (y if chain else x) -> conv(8, 3)
    cat(z, y) -> conv(8, 1)
block shortcut(c):
    conv(c, 1) if x.channels != c
block rest(c):
    add(conv(c, 3), shortcut(c)) -> relu
block mixed(g):
    cat(shuffle(g), shuffle(8 // g)) -> conv(8, 1)
"""


def text_of(name: str) -> str:
    return f"{BLOCKS}net n:\n    input i: [N, 8, H=9, W=8]{BODIES[name]}"


def filled(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(-0.6, 0.6).abs_() if value.dim() == 1 else value.uniform_(-0.6, 0.6)
    return model


def tensors(result: object) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", BODIES)
@torch.no_grad()
def test_code_computes_what_the_network_says(name):
    found = compile_text(text_of(name))
    x = torch.randn(2, 8, 9, 8, generator=torch.Generator().manual_seed(1)).double()
    for kernels in ("none", "all"):
        model = filled(instantiate(found, kernels)).double().eval()
        for training in (False, True):
            state = {key: value.clone() for key, value in model.state_dict().items()}
            wanted = interpret(found.network, state, x, training=training)
            result = tensors(model.train(training)(x.clone()))
            for one, other in zip(result, wanted.values(), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
            for key, value in [(k, v) for k, v in model.state_dict().items() if "running" in k]:
                torch.testing.assert_close(value, state[key], msg=lambda m, key=key: f"{key}: {m}")


def test_what_only_training_needs_runs_in_training_only():
    text = "net n:\n    input i: [N, 4, H=6, W=6]\n    conv(4, 3)\n    output aux = x -> head: conv(2, 1) when training\n    conv(4, 1)\n"
    model, calls = archdsl.loads(text), []
    model.head.register_forward_hook(lambda *_: calls.append(1))
    model.eval()(torch.zeros(1, 4, 6, 6))
    assert not calls
    assert len(model.train()(torch.zeros(1, 4, 6, 6))) == 2 and len(calls) == 1


@pytest.mark.parametrize("own", ["", ", init=constant(2)"])
def test_every_parameter_starts_from_its_own_clause(own):
    """What a file says of a kind, but where a step says otherwise, and nothing of what a step does not have."""
    text = f"""init conv(constant(1), bias=constant(3))
block plain(c):
    conv(c, 1) -> conv(c, 1, bias=false)
block special(c):
    conv(c, 1{own}) -> conv(c, 1)
net n:
    input i: [N, 4, H=4, W=4]
    a: plain(4)
    b: special(4)
    c: plain(6)
    d: conv(6, 1{own}, bias_init=constant(4))
"""
    model = archdsl.loads(text)
    special = {"b.0.weight", "d.weight"} if own else set()
    for key, value in model.state_dict().items():
        wanted = 2 if key in special else 4 if key == "d.bias" else 3 if key.endswith("bias") else 1
        assert (value == wanted).all(), key


def test_steps_without_a_clause_start_as_torch_does():
    text = """block one(c):
    conv(c, 1, init=constant(7)) -> conv(c, 1, init=constant(7)) -> conv(c, 1, init=constant(7)) -> conv(c, 1)
net n:
    input i: [N, 4, H=4, W=4]
    one(4) -> one(4) -> conv(4, 1)
"""
    values = [value for key, value in archdsl.loads(text).state_dict().items() if key.endswith("weight")]
    assert [bool((value == 7).all()) for value in values] == 2 * [True, True, True, False] + [False]


# A body, and by hand the shapes of its weights [out, in / groups, height, width] in order.
MEANINGS = {
    "split(conv(3, 1), conv(5, 1)) -> conv(2, 1)": [(3, 4, 1, 1), (5, 4, 1, 1), (2, 8, 1, 1)],
    "split(identity, conv(5, 1), identity, identity) -> conv(2, 1)": [(5, 2, 1, 1), (2, 11, 1, 1)],
    "a = x -> conv(4, 1)\n    a -> conv(2 * x.channels, 1) -> conv(x.channels, 3)": [
        (4, 8, 1, 1), (16, 4, 1, 1), (8, 16, 3, 3)],
    "conv(ceil(x.channels / 3), 1) -> conv(floor(7 / 2), 1) -> conv(round(5 / 2), 1) -> conv(round(7 / 2), 1)": [
        (3, 8, 1, 1), (3, 3, 1, 1), (2, 3, 1, 1), (4, 2, 1, 1)],
    "conv(3 + int(-7 / 2) + 5, 1) -> conv(8 + floor(-7 / 2), 1)": [(5, 8, 1, 1), (4, 5, 1, 1)],
    "cat(conv(3, 1) if x.channels > 8, conv(4, 1) if x.channels == 8) -> conv(2, 1)": [(4, 8, 1, 1), (2, 4, 1, 1)],
}  # fmt: skip


@pytest.mark.parametrize("body", MEANINGS)
def test_texts_mean_what_they_say(body):
    model = archdsl.loads(f"net n:\n    input i: [N, 8, H=8, W=8]\n    {body}\n")
    assert [tuple(p.shape) for p in model.parameters() if p.dim() > 1] == MEANINGS[body]


def test_sizes_are_rounded_for_every_input():
    """`ceil` and `floor` of a size: a window that leaves so many rows, and a crop to them."""
    text = "net n:\n    input i: [N, 8, H=9, W=9]\n    conv(4, 1, 2) -> reshaped\nblock reshaped [N, C, A, B] -> [N, C, A, B]:\n    relu\n"
    text += "block halved [N, C, A, B] -> [N, C, ceil(A / 2), ceil(B / 2)]:\n    maxpool(2, ceil=true)\n"
    for body, fits in (("halved", True), ("wrong", False)):
        block = text.replace("ceil(A / 2), ceil(B / 2)", "floor(A / 2), floor(B / 2)").replace("halved", "wrong")
        whole = (text if fits else block).replace("-> reshaped\n", f"-> {body}\n")
        if fits:
            compile_text(whole)
        else:
            with pytest.raises(archdsl.CompileError, match="declares"):
                compile_text(whole)


def test_one_branch_is_no_combination():
    for kind in ("cat", "add", "mul"):
        network = compile_text(f"net n:\n    input i: [N, 8, H=8, W=8]\n    {kind}(*[relu]) -> conv(2, 1)\n").network
        assert [node.what.name for node in network.scope.nodes] == ["relu", "conv"], kind


@pytest.mark.parametrize("step", ["conv(8, 3, pad=0)", "conv(4, 1)", "conv(8, 1, 2)", "conv(8, (1, 3), pad=0)"])
def test_a_solved_function_keeps_every_axis(step):
    with pytest.raises(archdsl.CompileError, match="must keep the shape"):
        compile_text(f"net n:\n    input i: [N, 8, H=9, W=8]\n    ode({step})\n")
