"""The compiler against its oracle: programs at random, and the shortest texts of what was once compiled wrongly.

`programs.py` writes them, `oracle.py` runs each in every way there is; `python -m benchmarks.programs` runs thousands.
"""

from __future__ import annotations

import itertools

import pytest
import torch

from archdsl.codegen.module import emit
from archdsl.compiler import compile_text, value_of
from archdsl.diagnostics import CompileError
from archdsl.inference.layers import Conv2d, is_settled, settled
from archdsl.ir.verify import Broken, verify
from archdsl.project import Project
from archdsl.run.load import instantiate
from tests.properties.oracle import differences, distance
from tests.properties.programs import program
from tests.properties.shrink import shrunk

pytestmark = pytest.mark.usefixtures("one_thread")
HEAD = "net n:\n    input image: [N, 8, H=8, W=8]\n"


# Of 1,000 programs 400 are run each time; all of them by `-m slow`, and thousands by `benchmarks.programs`, on record.
@pytest.mark.parametrize("block", [*range(16), *[pytest.param(at, marks=pytest.mark.slow) for at in range(16, 40)]])
def test_programs_at_random_are_what_they_say(block):
    for seed in range(100_000 + 25 * block, 100_025 + 25 * block):
        assert differences(program(seed), seed) == [], program(seed)


def test_the_shortest_text_with_a_difference_is_found():
    text = "fn f(c) = c\nblock b(c):\n    conv(c, 1) -> bn\nnet n:\n    input image: [N, 8, H=8, W=8]\n    relu\n    if true:\n        b(4) -> cat(elu, relu)\n    conv(8, 3)\n"
    assert shrunk(text, lambda tried: "elu" in tried.replace("relu", "")) == "net n:\n    input image: [N, 8]\n    elu"


# Each once gave other code than the text says: a NameError, a TypeError, another function, or another size.
MENDED = {
    "quotients that are gone on with": """
fn scaled(c) = int(max(3, c / 4))
fn part(c) = c / 4
block b(c):
    conv(scaled(c), 1) -> conv(int(min(7 / 2, c)), 1) -> conv(c // (3 / 2) + 1, 1) -> conv(int(c % (5 / 2)) + 1, 1)
    conv(floor(abs(1 - c / 3)) + 1, 3)
    relu if max(2, c / 2) > 2
    conv(8, 1) if part(c) * 4 == c and c / 8 > 1 else conv(4, 1)
    conv(max(2, c / 4 * 4), 1) -> conv(part(c) * 8, 1) -> conv(round(part(c)) + 1, 1)
net n(c=10, d=14):
    input image: [N, 3, H=8, W=8]
    b(c) -> b(d) -> b(3)
""",
    "a list without steps": """
block wrap(body, more=[]):
    body -> relu -> stages: more
net n(depth=0):
    input image: [N, 3, H=8, W=8]
    wrap([conv(4, 3) for i in range(depth)]) -> conv(4, 1)
    none = []
    none -> add(identity, none) -> [none, relu] -> [] * 2 -> wrap([], [tanh])
    cat(image, *none) -> tail: [bn for i in []]
""",
    "a split into one part, whose size is said": """
block one(n):
    split(conv(n, 3), sizes=[n])
net n:
    input image: [N, 3, H=8, W=8]
    one(3) -> relu -> one(3) -> split(identity, sizes=[3]) -> split(tanh)
""",
    "two functions with arguments of one kind": """
block mix(g):
    cat(shuffle(2 * g), shuffle(4 * g))
net n:
    input image: [N, 16, H=8, W=8]
    mix(1) -> conv(32, 1) -> mix(2)
""",
    "two slices": """
block parts(a, b):
    cat(slice(0, a + 1), slice(b, a + b + 1), slice(0, b + 1))
net n:
    input image: [N, 16, H=8, W=8]
    parts(1, 2) -> conv(16, 1) -> parts(3, 4)
""",
    "a sum of which one operand is a choice": """
block part(c):
    cat(relu, relu if x.channels in [1, 2, 4] else conv(1, 3))
    for i in range(3):
        conv(c + i, 3)
net n:
    input image: [N, 8, H=8, W=8]
    part(2) -> part(2)
""",
    "a net that is a step with other parameters": """
net inner(c=4):
    conv(c, 3)
net n:
    input image: [N, 3, H=8, W=8]
    narrow = inner(c=2)
    narrow -> inner
""",
    "two parts of one size": """
net n:
    input image: [N, 2, H=8, W=8]
    split(relu, tanh, sizes=[1, 1])
""",
    "a learned tensor of two equal sizes": """
block positions(n):
    add(identity, learned([n, n], init=normal(0.5)))
net n:
    input image: [N, 4, H=2, W=2]
    tokens -> positions(4) -> linear(4) -> untokens(like=image)
""",
    "channels that are places": """
net n:
    input image: [N, 4, H=8, W=8]
    tokens -> transpose -> linear(6) -> transpose -> linear(4) -> transpose
    add(identity, [softmax, scale(0.5, learned=true, per_channel=true)]) -> flatten -> linear(3)
""",
    "windows of which one is all of the map": """
net n:
    input image: [N, 4, H=8, W=8]
    y = x -> tokens(window=3, pad=true) -> attention(identity, tanh, identity, heads=2) -> untokens(window=3, pad=true, like=image)
    y -> tokens(every=(8, 4)) -> ln -> untokens(every=(8, 4), like=image) -> tokens(grid=8) -> untokens(grid=8, size=8)
""",
    "a class of ours that a block is given": """
block given(act):
    conv(4, 1) -> act -> conv(4, 1)
net n:
    input image: [N, 4, H=2, W=2]
    given(relu) -> given(drop_path(0.2)) -> given(relu)
""",
    "a block behind one that is empty in some places": """
block halved(s):
    if s > 1:
        avgpool(s)
block unit(c, s=1):
    halved(s) -> conv(c, 1, bias=s > 1) -> halved(s)
net n:
    input image: [N, 2, H=8, W=8]
    unit(2, s=2) -> conv(6, 3) -> unit(3)
""",
    "a value of an arm that one instance reads later": """
block b(c):
    maxpool(2) if x.channels % 4 == 0 else maxpool(3, stride=2, pad=1)
    add:
        conv(c, 3) -> bn
        (skip: conv(c, 1)) if x.channels != c else identity
net n:
    input image: [N, 4, H=8, W=8]
    b(2) -> b(2)
""",
    "a block that gives a map another size each time": """
block a(side):
    tokens -> untokens(size=side)
net n:
    input image: [N, 4, H=8, W=8]
    a(8) -> conv(4, 3, stride=2) -> a(4)
""",
    "a block that gives a map another height and width each time": """
block a(high):
    tokens -> untokens(size=(high, 64 // high))
net n:
    input image: [N, 4, H=8, W=8]
    a(16) -> a(4)
""",
    "a range from a size that is a difference": """
net n:
    input image: [N, 4, H=8, W=8]
    slice(x.height - 3, x.height, axis="height") -> slice(0, x.width - 1, axis="width")
""",
    "a number folded into weights of float64": """
net n:
    input image: [N, 4, H=4, W=4]
    conv(4, 1) -> x / (1 / 3) -> conv(4, 3) -> x * 0.3 -> bn
""",
    "a maximum of padding alone, which relu makes a number": """
net n:
    input image: [N, 2, H=4, W=8]
    maxpool(3, pad=(1, 0), dilation=2, ceil=true) -> relu
""",
    "a decimal number that is equal to the channels": """
block halved(a=0.5):
    conv(2, 1)
    x / (a + 1.5)
net n:
    input image: [N, 4, H=5, W=3]
    halved -> halved(a=0.1)
""",
    "an axis that PyTorch would repeat at other sizes only": """
net n:
    input image: [N, 2, H=6, 2]
    conv(4, 1, stride=8)
    a = x
    mul(a, a -> conv(4, 1, stride=16))
""",
    "a loop of constants where nothing is known by a name": """
block twice(a):
    given = x
    x * given * 2 if x.channels > 4 else relu
    m:
        for i in range(4):
            conv(4 * i + 1, 1)
net n:
    input image: [N, 8, H=2, W=2]
    cat(twice(relu * 6), twice(mean))
""",
    "an attribute beside a label of its name": """
block mix(g):
    shuffle_groups: conv(16, 1)
    cat(shuffle(2 * g), shuffle(4 * g))
net n:
    input image: [N, 16, H=8, W=8]
    mix(1) -> conv(32, 1) -> mix(2)
""",
    "a binding in a block that is a sequence": """
block unit(c):
    mid = c // 2
    conv(mid, 1) -> relu -> conv(c, 3)
net n:
    input image: [N, 16, H=8, W=8]
    unit(32) -> unit(64)
""",
    "0 beside false": """
block pooled(same):
    maxpool(3, stride=2, ceil=true) if same else maxpool(3, stride=2, pad=1)
net n:
    input image: [N, 8, H=17, W=17]
    pooled(true) -> pooled(false)
""",
    "no bias beside no padding": """
block layer(c, b, p):
    conv(c, 3, pad=p, bias=b) -> relu
net n:
    input image: [N, 8, H=17, W=17]
    layer(8, true, 0) -> layer(8, false, 1) -> layer(16, true, 1) -> layer(8, false, 0)
""",
    "1 beside true, as values of one parameter": """
block layer(a):
    conv(4, 1, bias=a != 2) -> conv(8, 1)
net n:
    input image: [N, 8, H=7, W=7]
    layer(1) -> layer(true) -> layer(2)
""",
    "an initializer of a parameter that is not there": """
init bn(ones, bias=zeros), conv(kaiming, bias=zeros)
block layer(c, b):
    conv(c, 3, bias=b, init=ones) -> bn(affine=b)
net n:
    input image: [N, 8, H=8, W=8]
    layer(8, true) -> layer(8, false) -> bn(affine=false)
""",
    "positions of maxima beside other results": HEAD
    + """    r = x -> maxpool(2, indices=true)
    r -> conv(8, 3) -> maxunpool(r.indices, 2) -> conv(4, 3)
""",
    "features of some sizes only, divided": HEAD + "    flatten -> split(linear(3), linear(4)) -> bn\n",
    "features of some sizes only, normed": HEAD + "    flatten -> bn(affine=false, track=false) -> relu\n",
    "a slice of one channel of a small map": """
net n:
    input image: [N, 2, H=23, W=8]
    conv(2, 1, stride=50) -> split(conv(2, 4, (1, 2), pad=2), conv(3, 4, (1, 2), pad=2))
""",
    "a norm before a padded 1x1 convolution": HEAD + "    bn -> conv(8, 1, pad=1) -> bn -> relu -> conv(4, 1, pad=1)\n",
    "an activation in place of a value that is read again": HEAD
    + "    conv(8, 3) -> cat(elu, identity) -> conv(8, 1)\n",
    "a subtraction of a subtraction": """
block layer(a, b):
    conv(a - (b - 2), 3) -> relu -> conv(a - b - 1, 1)
net n:
    input image: [N, 8, H=8, W=8]
    layer(8, 4) -> layer(16, 5) -> layer(12, 4)
""",
    "twice a half": """
block doubled(a):
    conv(x.channels // 2, 1) -> cat(elu, identity) -> conv(3, 3)
net n:
    input image: [N, 3, H=2, W=2]
    doubled(1)
""",
    "the size of a sum": """
net n:
    input image: [N, 2, H=8, W=6]
    y = x + 1
    z = x -> relu
    (x -> conv(2, 3)) -> crop(like=y + z)
""",
    "a step of training that looks like the one before": """
net n:
    input image: [N, 3, H=6, W=6]
    relu
    output o = relu when training
""",
    "a result of training that a block has": """
block b:
    output main = x -> relu
    output aux = x when training

net n:
    input image: [N, 3, H=16, W=16]
    r = x -> b
    r.main
""",
    "results of training of blocks in blocks": """
block b(c):
    output main = x -> conv(c, 3) -> relu
    output aux = x -> conv(2, 1) when training

block outer:
    r = x -> b(4)
    output p = r.main
    output q = r.aux -> conv(3, 1) -> relu when training

net n:
    input image: [N, 3, H=16, W=16]
    r = x -> outer
    s = r.p -> b(6)
    output out = s.main -> conv(3, 1)
    output a = r.q when training
    output c = s.aux -> conv(1, 1) when training
""",
    "a value of evaluation that is a result of training": """
net n:
    input image: [N, 3, H=16, W=16]
    y = x -> conv(4, 3)
    output early = y when training
    output late = y -> conv(2, 1) when training
    output out = y -> relu
""",
    "recursion that ends in nothing": """
block enc(n):
    if n > 0:
        conv(n, 3) -> enc(n - 1)

net n:
    input image: [N, 3, H=16, W=16]
    enc(3)
""",
    "recursion that ends in identity": """
block enc(n):
    if n > 0:
        conv(n, 3) -> enc(n - 1)
    else:
        identity

net n:
    input image: [N, 3, H=16, W=16]
    enc(3)
""",
    "recursion in a repetition": """
block enc(n):
    if n > 1:
        conv(n, 3)
        [enc(n // 2) * 2]

net n:
    input image: [N, 3, H=16, W=16]
    enc(4)
""",
    "two blocks that use each other and end in nothing": """
block dn(n):
    if n > 0:
        conv(n, 3) -> up(n - 1)

block up(n):
    if n > 0:
        conv(2 * n, 3) -> dn(n - 1)
    else:
        identity

net n:
    input image: [N, 3, H=16, W=16]
    dn(5) -> up(4)
""",
    "recursion over a list": """
block enc(ws):
    if len(ws) > 0:
        conv(ws[0], 3) -> enc(ws[1:])

net n:
    input image: [N, 3, H=16, W=16]
    enc([4, 5, 6])
""",
    "recursion at two depths": """
block enc(n):
    if n == 0:
        identity
    else:
        add(identity, conv(x.channels, 3) -> enc(n - 1))
        a: enc(n - 1)

net n:
    input image: [N, 3, H=16, W=16]
    enc(3)
    enc(2)
""",
    "upsampling of an earlier tensor in TorchScript": """
block up(k):
    y = x -> maxpool(k)
    conv(3, 1)
    x + (y -> upsample(k))

net n:
    input image: [N, 3, H=16, W=16]
    up(2) -> up(4)
    y = x -> maxpool((2, 1))
    conv(3, 1)
    x + (y -> upsample((2, 1))) + (x -> maxpool(2) -> conv(3, 1) -> relu -> upsample(2))
""",
    "parts of rows, columns and tokens": """
block part(a, b):
    slice(a, b, axis="height") -> slice(0, 2, axis="width")
net n:
    input image: [N, 3, H=16, W=16]
    cat(part(0, 4), part(1, 5)) -> slice(2, 4, axis="height") -> tokens -> slice(0, 1, axis="tokens") -> flatten -> linear(2)
""",
}


@pytest.mark.parametrize("name", MENDED)
def test_what_was_wrong_is_right(name):
    assert differences(MENDED[name].lstrip("\n")) == []


def test_an_initializer_of_a_step_in_a_block_is_not_undone_by_the_loop_over_its_kind():
    text = (
        "init bn(ones)\nblock b:\n    add(identity, conv(8, 3) -> last: bn(init=zeros))\n" + HEAD + "    b -> b -> bn\n"
    )
    state = instantiate(compile_text(text)).state_dict()
    assert {name: float(state[name].sum()) for name in state if name.endswith("weight") and state[name].dim() == 1} == {
        "0.last.weight": 0.0, "1.last.weight": 0.0, "2.weight": 8.0,
    }  # fmt: skip


def test_a_fraction_is_divided_by_a_fraction():
    file = Project().text("fn same(a) = a\n")
    assert value_of("(8 / 3) / (1 / 6)", "n", file) == 16
    assert value_of("-(9 / 2) / (3 / 2)", "n", file) == -3


# What PyTorch cannot do, or does with memory that is not the tensor's, is refused with a place.
REFUSED = {
    "a window whose cells all lie behind the map": ("E0301", "net n:\n    input i: [N, 3, H=2, W=2]\n    maxpool(2, stride=3, pad=1, dilation=3)\n"),
    "positions of another size": ("E0302", "net n:\n    input i: [N, 3, H=7, W=7]\n    r = x -> maxpool(2, indices=true)\n    r -> maxunpool(r.indices, 2)\n"),
    "a fan of a vector": ("E0205", HEAD + "    conv(4, 3, bias_init=kaiming)\n"),
    "a range whose ends are exchanged": ("E0205", HEAD + "    conv(4, 3, init=uniform(1, 0))\n"),
    "an end alone that is behind the other": ("E0205", HEAD + "    bn(init=trunc_normal(1, b=-2))\n"),
    "a deviation below zero": ("E0205", "init conv(normal(-1))\n" + HEAD + "    conv(4, 3)\n"),
    "a cut distribution of no width": ("E0205", HEAD + "    conv(4, 3, init=trunc_normal(0))\n"),
    "a gain below zero": ("E0205", HEAD + "    conv(4, 3, init=xavier(-1))\n"),
    "a start that is no float32": ("E0205", HEAD + "    conv(4, 3, init=constant(1e39))\n"),
    "what a split is made of": ("E0201", HEAD + "    chunk(2)\n"),
    "a fan of a norm's weight": ("E0205", "init bn(xavier)\n" + HEAD + "    bn\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_is_refused(name):
    code, text = REFUSED[name]
    with pytest.raises(CompileError) as caught:
        compile_text(text)
    assert caught.value.diagnostic.code == code


@pytest.mark.parametrize("ceil", ["true", "false"])
@pytest.mark.parametrize(
    "kernel, stride, pad, dilation", [(2, 3, 1, 3), (3, 1, 1, 4), (4, 2, 2, 3), (5, 1, 2, 2), (2, 1, 1, 5)]
)
def test_every_window_of_a_legal_maxpool_has_a_cell_on_the_map(kernel, stride, pad, dilation, ceil):
    """Against a maximum that is written out: PyTorch's own reads past the map where there is none."""
    for size in range(1, 12):
        try:
            text = f"net n:\n    input i: [N, 1, H={size}, W=9]\n    maxpool(({kernel}, 1), ({stride}, 1), ({pad}, 0), ({dilation}, 1), ceil={ceil})\n"
            network = compile_text(text).network
        except CompileError:
            continue
        rows = int(network.scope.output_shapes[0][2])
        for row in range(rows):
            cells = [row * stride - pad + k * dilation for k in range(kernel)]
            assert any(0 <= cell < size for cell in cells), (size, row)


# -------------------------------------------------------------------------------------------------- the verifier
def test_a_network_with_a_mistake_of_any_kind_is_found():
    network = compile_text(
        HEAD + "    a: conv(8, 3) -> b: relu\n    add(identity, c: conv(8, 3))\n    flatten -> linear(3)\n"
    ).network
    verify(network)
    scope = network.scope
    first, second, *_ = scope.nodes
    wrong = {
        "reads a value": scope.replace(nodes=scope.nodes[1:]),
        "makes a value": scope.replace(nodes=(first, *scope.nodes)),
        "two modules": scope.replace(nodes=(first, second.replace(name="a"), *scope.nodes[2:])),
        "used again before": scope.replace(nodes=(first.replace(reuses=True), *scope.nodes[1:])),
        "it returns": scope.replace(shapes=(*scope.shapes[:1], (1, 2, 3, 4), *scope.shapes[2:])),
        "two results": scope.replace(outputs=scope.outputs * 2),
        "no result": scope.replace(outputs=(scope.outputs[0].replace(training=True),)),
        "nothing makes": scope.replace(outputs=(scope.outputs[0].replace(value=99),)),
        "not noted": scope.replace(relations=()),
        "of no step": scope.replace(relations=tuple((r.replace(right=5), n) for r, n in scope.relations)),
        "a name of their own": scope.replace(input_names=()),
    }  # fmt: skip
    for said, scope in wrong.items():
        with pytest.raises(Broken, match=said):
            verify(network.replace(scope=scope))


# -------------------------------------------------------------------------------------------------- layouts
def layouts(n, c, h, w):
    """Yield maps of one size in every layout that a step may hand on."""
    for form in (torch.contiguous_format, torch.channels_last):
        large = torch.randn(n + 1, c + 2, h + 3, w + 3).contiguous(memory_format=form)
        yield large[:n, :c, :h, :w].contiguous(memory_format=form)
        yield large[:n, 1 : 1 + c, :h, :w].contiguous(memory_format=form)[:, :c]
        yield large[:, :, :h, :w].contiguous(memory_format=form)[:n, 2 : 2 + c]
        yield large[1 : 1 + n, 1 : 1 + c, 1 : 1 + h, 2 : 2 + w]
    yield torch.randn(1, c, h, w).expand(n, c, h, w)
    yield torch.randn(n, 1, h, w).expand(n, c, h, w)
    yield torch.randn(n, c, 1, 1).expand(n, c, h, w)
    yield torch.randn(n, c, w, h).transpose(2, 3)
    yield torch.randn(n, c, 2 * h, 2 * w)[:, :, ::2, ::2]
    odd = (c * h * w if n > 1 else 7, h * w if c > 1 else 3, w if h > 1 else 5, 1 if w > 1 else 2)
    yield torch.randn(n * c * h * w).as_strided((n, c, h, w), odd)


SIZES = [(n, c, h, w) for n in (1, 2) for c in (1, 2, 4) for h in (1, 2, 5) for w in (1, 3)]


@pytest.mark.parametrize("kernel, stride, pad", [((1, 1), 1, 0), ((3, 3), 1, 1), ((4, 1), (1, 2), 2), ((1, 1), 50, 0)])
@torch.inference_mode()
def test_a_fused_convolution_reads_any_layout(kernel, stride, pad):
    torch.manual_seed(0)
    for size in SIZES:
        for act in ("none", "relu", "silu"):
            conv = torch.nn.Conv2d(size[1], 4, kernel, stride, pad)
            layer = Conv2d(conv)
            layer.act = act
            for x in layouts(*size):
                if size[2] + 2 * layer.padding[0] < kernel[0]:
                    continue
                wanted = torch.nn.functional.conv2d(x.double(), conv.weight.double(), conv.bias.double(), stride, pad)
                for rest in (
                    None,
                    torch.randn(wanted.shape),
                    torch.randn(wanted.shape).contiguous(memory_format=torch.channels_last),
                ):
                    full = wanted if rest is None else wanted + rest
                    full = {"none": full, "relu": full.relu(), "silu": torch.nn.functional.silu(full)}[act]
                    assert distance({"y": layer(x, rest)}, {"y": full}) < 1e-5, (size, x.stride(), act)


def fused_error(shape, out, groups=1, **where):
    """Return how far a fused convolution is from float64, for random values."""
    conv = torch.nn.Conv2d(shape[1], out, groups=groups, **where)
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    return float((Conv2d(conv)(x) - conv.double()(x.double())).abs().max())


@torch.inference_mode()
def test_a_fused_convolution_steps_aside_where_onednn_is_wrong():
    """On AVX-512 it returns garbage for some of these, and F.conv2d does, too."""
    torch.manual_seed(0)
    pairs = list(itertools.product((1, 3, 4), (1, 3, 4)))
    for channels, h, w, kernel, stride in itertools.product((1, 2), (1, 5), (1, 2, 5), pairs, [(1, 2), (1, 3), (2, 1)]):
        for pad in itertools.product((0, 1, 2), (0, 1, 2)):
            if h + 2 * pad[0] >= kernel[0] and w + 2 * pad[1] >= kernel[1]:
                where = {"kernel_size": kernel, "stride": stride, "padding": pad}
                assert fused_error((2, channels, h, w), 3, **where) < 1e-5, (channels, h, w, where)


@torch.inference_mode()
def test_a_window_that_lies_in_the_margin_is_not_given_to_onednn():
    """It reads outside of the map for these, and crashes now and then."""
    torch.manual_seed(0)
    window = {"kernel_size": (3, 2), "stride": (1, 2), "padding": (3, 3), "dilation": (1, 2)}
    assert fused_error((3, 9, 2, 1), 72, groups=3, **window) < 1e-5
    assert fused_error((2, 1, 8, 1), 2, kernel_size=(2, 1), stride=2, padding=(0, 3), dilation=(3, 2)) < 1e-5


@torch.inference_mode()
def test_a_residual_may_have_any_layout():
    torch.manual_seed(0)
    for n, c, h, w in SIZES:
        conv = torch.nn.Conv2d(3, c, 1)
        layer, x = Conv2d(conv), torch.randn(n, 3, h, w).contiguous(memory_format=torch.channels_last)
        for layer.act in ("none", "relu"):
            for rest in layouts(n, c, h, w):
                wanted = conv.double()(x.double()) + rest
                wanted = wanted.relu() if layer.act == "relu" else wanted
                assert distance({"y": layer(x, rest)}, {"y": wanted}) < 1e-5, ((n, c, h, w), rest.stride(), layer.act)
                conv.float()


def test_a_map_is_handed_on_in_one_layout():
    for size in SIZES:
        for x in layouts(*size):
            made = settled(x)
            assert torch.equal(made, x)
            assert is_settled(made) or (min(size[1:]) > 1 and made is x)


# -------------------------------------------------------------------------------------------------- parameters


def test_a_parameter_of_a_class_means_what_it_says():
    """One that decides how often a loop runs is not there: with another value the class would compute something else."""
    text = """block parts(c, count=4):
    split:
        identity
        for i in range(count - 1):
            conv(c // count, 3) -> relu
net n:
    input image: [N, 16, H=8, W=8]
    parts(16) -> conv(32, 1) -> parts(32)
"""
    assert "count" not in emit(compile_text(text).network).text.split("class Parts")[1].split("forward")[0].replace(
        "`parts(c, count)`", ""
    )
