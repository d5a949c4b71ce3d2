"""Signs between tensors: what they mean, what they do not disturb, and the words that are steps and functions."""

from __future__ import annotations

import pytest
import torch

import archdsl
from archdsl import CompileError
from archdsl.codegen.replay import faithful
from archdsl.compiler import Request, compile_text, value_of
from archdsl.ir.network import Scope
from archdsl.project import Project

TWICE = "fn twice(t) = t * 2\n"
HEAD = "net n:\n    input image: [N, 4, H=8, W=6]\n"
EMPTY = Project().text("fn same(a) = a\n")


def steps(body: str, head: str = HEAD) -> list[str]:
    """Return the operators of a net in order, of inner scopes too."""

    def of(scope: Scope) -> list[str]:
        return [one for n in scope.nodes for one in (of(n.what) if isinstance(n.what, Scope) else [n.what.name])]

    return of(compile_text(f"{head}    {body}\n", Request("n")).network.scope)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("x + image", "add"),
        ("x + (x -> global_avgpool)", "global_avgpool add"),
        ("maximum(x, image, x)", "maximum"),
        ("x + image + x", "add"),  # one sum of three
        ("x + image - x + x", "add sub add"),
        ("x * image * x / image", "mul div"),
        ("x * x + x * x", "mul mul add"),
        ("1 + x", "plus"),
        ("1 + 2 + x", "plus"),
        ("x + 1 + image + image", "plus add"),
        ("x - 1", "minus"),
        ("1 - x", "rsub"),
        ("2 * 3 * x", "times"),
        ("x / 2", "over"),
        ("1 / x", "rdiv"),
        ("-x**2", "power neg"),
        ("x**-1", "power"),
        ("(x if 1 > 2 else image) * 2", "times"),
        ("(x * 2 if x.channels > 2 else x) -> relu", "times relu"),  # computed once, though a condition asks for `x`
        ("(x**2 if x.channels > 9 else -x) -> relu", "neg relu"),
        ("(add(x, image) * 2 if x.channels > 2 else x) -> relu", "add times relu"),
        ("(twice(x) if x.channels > 9 else image) -> relu", "relu"),
        ("y = add(x, image) if x.channels > 2 else x\n    y + y", "add add"),
        ("relu -> x * x -> abs", "relu mul abs"),  # in a chain `x` is what reaches the step
        ("[relu, x + 1, abs]", "relu plus abs"),
        ("add(x * 2, relu)", "times relu add"),
        ("y = x * 2\n    y + y + y", "times add"),  # a name of a tensor, which is computed once
        ("y = x * 2\n    cat(y, y)", "times cat"),
        ("r = x -> maxpool(2, indices=true)\n    r * 2", "maxpool times"),  # the first of several results
    ],
)
def test_what_signs_are(body, wanted):
    assert steps(body, TWICE + HEAD) == wanted.split()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("x + image", "add(x, image)"),
        ("x * (x -> global_avgpool)", "mul(identity, global_avgpool)"),
        ("-x", "x * -1"),
        ("x - image * 2", "add(x, image -> scale(-2))"),
        ("x / 4", "scale(1 / 4)"),
        ("x + 0.5", "shift(0.5)"),
        ("1 - x", "scale(-1) -> shift(1)"),
        ("x**2", "mul(x, x)"),
        ('mean(["height", "width"])', "global_avgpool"),
        ('max(["width", "height"])', "global_maxpool"),
        ('sum("channels")', 'mean("channels") -> scale(4)'),
        ('var("height")', '(x - (x -> mean("height")))**2 -> mean("height")'),
        ('min("width")', '-(-x -> max("width"))'),
        ("cat(x, image) -> glu", "x * (image -> sigmoid)"),
        ("hardtanh(0, 6)", "relu6"),
        ("softplus -> exp", "1 + (x -> exp)"),
        ("abs", "x**2 -> sqrt"),
        ("(image + 9 -> log) -> exp", "shift(9)"),
    ],
)
def test_two_ways_to_say_one_thing(left, right):
    x = torch.rand(2, 4, 8, 6, dtype=torch.float64) * 4 - 2
    a, b = [archdsl.loads(f"{HEAD}    {body}\n").double()(x) for body in (left, right)]
    torch.testing.assert_close(a, b)


def test_signs_do_not_count_among_modules():
    """A name is a promise: arithmetic between layers leaves their numbers as they are."""
    plain = archdsl.loads(f"{HEAD}    conv(4, 3)\n    conv(4, 3)\n").state_dict()
    signs = archdsl.loads(f"{HEAD}    conv(4, 3)\n    x * 2 - image\n    conv(4, 3)\n    -x\n").state_dict()
    assert list(plain) == list(signs) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_a_function_may_spell_arithmetic():
    head = "fn swish(t, by=1) = t * (by * t -> sigmoid)\n" + HEAD
    assert steps("swish(x, 1.5) -> relu", head) == ["times", "sigmoid", "mul", "relu"]


def test_numbers_that_differ_between_instances_are_parameters():
    text = f"block b(k):\n    x * k - (x -> conv(4, 1))\n{HEAD}    b(2) -> b(0.5)\n"
    emitted = faithful(compile_text(text, Request("n")).network).text
    assert "y = x * self.k" in emitted and "B(4, 2)" in emitted and "B(4, 0.5)" in emitted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sqrt(16)", 4.0), ("sqrt(1 / 4)", 0.5), ("exp(0)", 1.0), ("log(1)", 0.0), ("int(sqrt(2) * 10)", 14), ("abs(-3)", 3),
        ("max(1, 2, 3)", 3), ("max([4, 2])", 4), ("min(3, 2)", 2), ("sum([1, 2])", 3), ("sum([])", 0), ("max(max(max(1, 2), 3), 4)", 4),
    ],
)  # fmt: skip
def test_words_that_are_steps_are_functions_of_numbers(text, value):
    assert value_of(text, "n", EMPTY) == value


@pytest.mark.parametrize("text", ["sqrt(-1)", "log(0)", "exp(1e6)", "abs([1])", "sqrt(true)"])
def test_numbers_that_functions_refuse(text):
    with pytest.raises(CompileError):
        value_of(text, "n", EMPTY)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("conv(max(1, x.channels // 2), 1) -> max(\"channels\")", "conv max"),
        ("big = max\n    big(\"height\") -> conv(big(2, 3), 1)", "max conv"),
        ("(sqrt if max(1, 2) == 2 else abs) -> abs", "sqrt abs"),
        ("sum(axes=\"width\") -> abs", "sum abs"),
        ("[abs, exp] * 2", "abs exp abs exp"),
        ("mean([\"features\"])", "mean"),
        ("ode(abs, \"euler\")", "abs"),  # a function alone is a module there
        ("ode(slice(0, x.channels), \"euler\")", "slice"),
    ],
)  # fmt: skip
def test_words_that_are_functions_are_steps(body, wanted):
    assert steps(body) == wanted.split()
    archdsl.loads(f"{HEAD}    {body}\n")(torch.rand(1, 4, 8, 6))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("x / 0", "E0224"), ("x / 0.0", "E0224"), ("x // 2", "E0209"), ("x % 2", "E0209"), ("x**x", "E0209"), ("2**x", "E0209"),
        ("x + relu", "E0209"), ("relu - x", "E0209"), ("-relu", "E0209"), ("x + true", "E0209"), ('x * "a"', "E0209"), ("x / x.height", "E0209"),
        ("x * [1]", "E0209"), ("l: x + x", "E0224"), ('mean("depth")', "E0205"), ("mean([])", "E0205"), ('mean(["height", "height"])', "E0205"), ("mean", "E0203"),
        ('flatten -> mean("height")', "E0301"), ("conv(3, 1) -> glu", "E0301"), ("hardtanh(1, 1)", "E0205"), ("shift(1, per_channel=true)", "E0205"),
        ("x + (x -> conv(3, 1))", "E0302"), ("x - (x -> conv(3, 1))", "E0302"), ("x + (x -> flatten)", "E0302"), ("maximum(x, x -> flatten)", "E0302"), ("x / (x -> flatten)", "E0302"),
        ("sub(x, x)", "E0201"), ("times(2)", "E0201"), ("abs(x)", "E0204"), ("max(x, x)", "E0204"),
    ],
)  # fmt: skip
def test_mistakes_have_a_place(body, code):
    with pytest.raises(CompileError) as caught:
        compile_text(f"{HEAD}    {body}\n", Request("n"))
    diagnostic = caught.value.diagnostic
    assert diagnostic.code == code and diagnostic.primary.span.line == 3
