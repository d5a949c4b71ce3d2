"""The rules by which `optimize` folds, moves and joins layers, each where it holds and next to where it does not.

Every network here is a few layers of PyTorch; optimized, it must compute what they compute. Beside each rule stands the
network that only looks like one it may change: a margin that is not zero, a value that somebody else reads.
"""

from __future__ import annotations

import copy
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archdsl
from archdsl.inference.channels import Plan
from archdsl.inference.layers import Conv2d, MaxPool2d, at_once
from archdsl.inference.trace import activation, is_cat, trace
from archdsl.inference.widen import spare
from tests.inference.test_inference import agree, filled, image, results

pytestmark = pytest.mark.usefixtures("one_thread")


class Written(nn.Module):
    """Layers by name, and a function of them and of the input."""

    def __init__(self, rule, **layers: nn.Module) -> None:
        super().__init__()
        self.rule, self.layers = rule, nn.ModuleDict(layers)

    def forward(self, x):
        return self.rule(self.layers, x)


def one(c: int = 8, out: int = 8, **options) -> nn.Conv2d:
    return nn.Conv2d(c, out, 1, **options)


def three(c: int = 8, out: int = 8, **options) -> nn.Conv2d:
    return nn.Conv2d(c, out, 3, **{"padding": 1} | options)


def chain(*layers: nn.Module):
    return lambda: copy.deepcopy(nn.Sequential(*layers))  # a test may change the type of its numbers


NETS = {
    # norms
    "a norm before a padded 1x1 convolution": chain(nn.BatchNorm2d(8), one(padding=1)),
    "a norm and a relu before a padded 1x1 convolution": chain(nn.BatchNorm2d(8), nn.ReLU(), one(padding=1)),
    "a norm before a 1x1 convolution with a stride": chain(nn.BatchNorm2d(8), nn.ReLU6(), one(stride=2)),
    "a norm before a convolution by groups": chain(nn.BatchNorm2d(8), one(groups=2)),
    "a norm before a larger convolution": chain(nn.BatchNorm2d(8), three()),
    "a norm of a convolution that is read twice": lambda: Written(
        lambda m, x: m.n(m.a(x)) + m.a(x) * 2, a=one(), n=nn.BatchNorm2d(8)
    ),
    "a norm of a value that is read twice": lambda: Written(
        lambda m, x: (lambda y: m.n(y) * y)(m.a(x)), a=one(), n=nn.BatchNorm2d(8)
    ),
    "a norm before two convolutions, one of them padded": lambda: Written(
        lambda m, x: (lambda y: m.a(y) + m.b(y)[:, :, 1:-1, 1:-1])(m.n(x)), n=nn.BatchNorm2d(8), a=one(), b=one(padding=1)
    ),
    "a norm with a large epsilon": chain(three(), nn.BatchNorm2d(8, eps=0.5), nn.ReLU()),
    "a norm without weights": chain(three(bias=False), nn.BatchNorm2d(8, affine=False)),
    # activations and additions
    "two activations": chain(three(), nn.ReLU(), nn.Sigmoid(), one(), nn.Hardswish(), nn.ReLU()),
    "slopes": lambda: Written(
        lambda m, x: F.leaky_relu(m.c(F.leaky_relu(m.b(m.l(m.a(x))), 0.3)), negative_slope=0.2),
        a=three(), b=three(), c=one(), l=nn.LeakyReLU(0.4),
    ),
    "an activation of the default slope": lambda: Written(lambda m, x: F.leaky_relu(m.a(x)) * 3, a=three()),
    "an activation that is read beside its operand": lambda: Written(
        lambda m, x: (lambda y: torch.relu(y) + torch.sigmoid(y))(m.a(x)), a=three()
    ),
    "an addition behind an activation": lambda: Written(lambda m, x: F.relu(m.a(x)) + x, a=three()),
    "two additions": lambda: Written(lambda m, x: m.a(x) + x + torch.sigmoid(x), a=three()),
    "an addition, then an activation, then an addition": lambda: Written(
        lambda m, x: F.silu(m.a(x) + x) + x, a=three()
    ),
    "an addition of a multiple": lambda: Written(lambda m, x: torch.add(m.a(x), x, alpha=2), a=three()),
    "an addition to itself": lambda: Written(lambda m, x: (lambda y: y + y)(m.a(x)), a=three()),
    "an addition of a number": lambda: Written(lambda m, x: F.relu(m.a(x) + 1), a=three()),
    "an addition to a map of one pixel": lambda: Written(
        lambda m, x: F.relu(m.a(F.adaptive_avg_pool2d(x, 1)) + x), a=one()
    ),
    "an addition of a map of one channel behind a depthwise convolution": lambda: Written(
        lambda m, x: m.b(m.a(x)) + x[:, :1], a=three(groups=8), b=one()
    ),
    "an addition of a map of one pixel": lambda: Written(
        lambda m, x: F.relu(m.a(x) + F.adaptive_avg_pool2d(x, 1)), a=three()
    ),
    # residuals that are overwritten
    "a residual that is read later": lambda: Written(
        lambda m, x: (lambda y: (m.b(y) + y) * 2 + torch.sigmoid(y))(m.a(x)), a=one(), b=one()
    ),
    "a residual of which a view is read later": lambda: Written(
        lambda m, x: (lambda y, w: (lambda v: (m.b(w) + y).flatten(2) * 2 + v)(y.flatten(2)))(m.a(x), m.c(x)),
        a=one(), b=one(), c=one(),
    ),
    "a residual that another convolution reads later": lambda: Written(
        lambda m, x: (lambda y, w: m.c(m.b(w) + y) + m.d(y))(m.a(x), m.e(x)),
        a=one(), b=three(), c=one(), d=three(), e=one(),
    ),
    "a residual that is a result": lambda: Written(
        lambda m, x: (lambda y: (m.b(y) + y, y))(m.a(x)), a=one(), b=one()
    ),
    "a residual that a convolution reads later": lambda: Written(
        lambda m, x: (lambda y: m.c(m.b(y) + y) + m.d(y))(m.a(x)), a=one(), b=three(), c=one(), d=three()
    ),
    "a residual that is the operand of a 3x3 convolution": lambda: Written(
        lambda m, x: (lambda y: F.relu(m.b(y) + y))(m.a(x)), a=one(), b=three()
    ),
    # pools
    "an average of padded windows": chain(one(), nn.AvgPool2d(3, 2, padding=1)),
    "an average that does not count its padding": chain(one(), nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "an average that overhangs": chain(one(), nn.AvgPool2d(2, ceil_mode=True)),
    "an average with a divisor": chain(one(), nn.AvgPool2d(2, divisor_override=3)),
    "an average behind a stride": chain(one(stride=2), nn.AvgPool2d(2)),
    "an average of a padded convolution": chain(one(padding=1), nn.AvgPool2d(2)),
    "an average of an activation": chain(one(), nn.ReLU(), nn.AvgPool2d(2)),
    "an average as a function": lambda: Written(lambda m, x: F.avg_pool2d(m.a(x), 3, stride=2, padding=1), a=one()),
    "a maximum with a dilation": chain(three(), nn.MaxPool2d(2, 1, dilation=2), one()),
    "a maximum that overhangs": chain(three(), nn.MaxPool2d((2, 3), ceil_mode=True), one()),
    "a maximum as a function": lambda: Written(
        lambda m, x: F.max_pool2d(F.max_pool2d(m.a(x), (3, 2), 1, (1, 0)), 2, dilation=2, stride=1), a=three()
    ),
    "a convolution in a mirror": chain(three(padding_mode="reflect"), nn.BatchNorm2d(8), nn.ReLU()),
    # channels
    "a concatenation along the height": lambda: Written(lambda m, x: m.b(torch.cat([m.a(x), x], 2)), a=one(), b=one()),
    "one value twice": lambda: Written(
        lambda m, x: (lambda y: m.b(torch.cat([y, y], 1)))(m.a(x)), a=one(), b=one(16)
    ),
    "one value twice, channel by channel": lambda: Written(
        lambda m, x: (lambda y: m.b(torch.cat([y, x, y], 1)))(m.a(x)), a=one(), b=three(24, 24, groups=24)
    ),
    "a shuffle before and behind a depthwise convolution": lambda: Written(
        lambda m, x: shuffled(m.b(F.relu(shuffled(m.a(x), 4))), 2) + x, a=one(), b=three(groups=8)
    ),
    "a shuffle by three": lambda: Written(
        lambda m, x: m.c(torch.cat([shuffled(m.a(x), 3), x], 1)), a=one(8, 12), c=one(20)
    ),
    "a shuffle that a 1x1 convolution reads": lambda: Written(
        lambda m, x: m.b(shuffled(m.a(x), 2)), a=one(8, 12), b=one(12, 6)
    ),
    "parts of a result, one of them read as it is": lambda: Written(parts, a=one(), b=one()),
    "a step that reads a shuffled result by channel": lambda: Written(
        lambda m, x: (lambda y: m.b(torch.cat([y[:, 4:], y[:, :4]], 1)) + m.p(torch.cat([y[:, 6:], y[:, :6]], 1)))(m.a(x)),
        a=one(), b=one(), p=nn.PReLU(8),
    ),
    "concatenations that grow": lambda: Written(grown, s=three(), a=one(8, 3), b=one(11, 5), c=one(16, 2), d=one(18, 4)),
    "one channel added to many, which grow": lambda: Written(
        lambda m, x: grown(m, m.o(x) + x),
        o=one(8, 1), s=nn.Identity(), a=one(8, 3), b=one(11, 5), c=one(16, 2), d=one(18, 4),
    ),
    "positions of maxima of what is gathered": lambda: Written(
        lambda m, x: (lambda y: m.c(m.p(torch.cat([y[:, 4:], y[:, :4]], 1))[0]))(m.a(x)),
        a=one(), p=nn.MaxPool2d(2, return_indices=True), c=one(),
    ),
    "a gathering behind a stride": lambda: Written(
        lambda m, x: (lambda y, z: m.c(torch.cat([y[:, :4], z[:, 4:]], 1)) + m.d(torch.cat([y[:, 4:], z[:, :4]], 1)))(m.a(x), m.b(x)),
        a=one(stride=2), b=one(stride=2), c=one(), d=one(),
    ),
    "a gathering of the same channels twice": lambda: Written(
        lambda m, x: (lambda y, z: m.c(torch.cat([y[:, :4], z], 1)) + m.d(torch.cat([y, z[:, :4]], 1)))(m.a(x), m.b(x)),
        a=one(), b=one(), c=one(12, 8), d=one(12, 8),
    ),
    # what goes before a 1x1 convolution
    "a gate of many pixels": lambda: Written(
        lambda m, x: (lambda y: m.c(torch.sigmoid(m.b(y)) * y))(m.a(x)), a=one(), b=three(), c=one()
    ),
    "a gate that is convolved at full size": lambda: Written(
        lambda m, x: (lambda y: m.c(torch.sigmoid(m.b(y)) * y))(m.a(x)), a=one(), b=one(), c=one()
    ),
    "a gate and its map in either order": lambda: Written(
        lambda m, x: m.c(m.a(x) * torch.sigmoid(m.b(F.adaptive_avg_pool2d(x, 1)))), a=three(), b=one(), c=one()
    ),
    "a depthwise convolution that somebody else reads": lambda: Written(
        lambda m, x: (lambda y: m.b(y) * torch.sigmoid(y))(m.a(x)), a=three(groups=8), b=one()
    ),
    "a depthwise convolution that is a residual too": lambda: Written(
        lambda m, x: (lambda y: m.b(y) + y)(m.a(x)), a=three(groups=8), b=one()
    ),
    "a depthwise convolution before a 1x1 one": chain(three(groups=8), nn.ReLU6(), one()),
    "a depthwise convolution before a stride": chain(three(groups=8), nn.ReLU6(), one(stride=2)),
    "a depthwise convolution with more results": chain(three(8, 16, groups=8), nn.BatchNorm2d(16), nn.ReLU(), one(16)),
    # widths that are no multiples of a vector
    "maps of 58 channels": chain(one(8, 58), nn.ReLU(), three(58, 58, groups=58), nn.BatchNorm2d(58), one(58, 58), one(58)),
    "a map of 58 channels that is added": lambda: Written(
        lambda m, x: (lambda y: m.c(m.b(y) + y))(m.a(x)), a=one(8, 58), b=one(58, 58), c=one(58, 6)
    ),
    "a map of 58 channels that is a residual twice": lambda: Written(
        lambda m, x: (lambda y: m.c(m.b(y)) + y)(m.a(x)), a=one(8, 58), b=one(58, 58), c=one(58, 58)
    ),
}  # fmt: skip


def parts(m: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    y, z = m.a(x).chunk(2, 1)
    return m.b(torch.cat([z, y], 1)) + F.softmax(y, 1)[:, 1:2]


def shuffled(x: torch.Tensor, groups: int) -> torch.Tensor:
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def grown(m: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    x = m.s(x)
    y = torch.cat([x, m.a(x)], 1)
    z = torch.cat([y, m.b(F.relu(y))], 1)
    return m.d(torch.cat([z, m.c(F.relu(z))], 1))


@pytest.mark.parametrize("name", NETS)
def test_a_network_is_the_same_function(name):
    for kernels in ("auto", "all"):
        model = filled(NETS[name]())
        optimized = archdsl.optimize(model, kernels=kernels)
        for shape in ((2, 8, 7, 6), (1, 8, 5, 5), (2, 8, 7, 6)):
            agree(model, optimized, image(*shape), tolerance=2e-5)
    exact = model.double()  # which oneDNN does not take
    agree(exact, archdsl.optimize(exact), image(2, 8, 7, 6).double(), tolerance=1e-9)


@pytest.mark.parametrize(
    ("name", "gates"),
    [
        ("a gate of many pixels", 0),
        ("a gate that is convolved at full size", 0),
        ("a gate and its map in either order", 1),
    ],
)
def test_a_gate_has_one_pixel(name, gates):
    """What a kernel multiplies a whole map by is a value for each channel: what was pooled to one pixel."""
    optimized = archdsl.optimize(filled(NETS[name]()), kernels="all")
    assert optimized.fused.get("gates put before a 1x1 convolution, in its pass", 0) == gates


@pytest.mark.parametrize(
    ("name", "joined"),
    [
        ("a depthwise convolution that somebody else reads", 0),
        ("a depthwise convolution that is a residual too", 0),
        ("a depthwise convolution before a 1x1 one", 1),
    ],
)
def test_what_is_joined_is_read_by_one_step(name, joined):
    """A step that others read too would be computed twice."""
    optimized = archdsl.optimize(filled(NETS[name]()), kernels="all")
    assert optimized.fused.get("depthwise and 1x1 convolutions joined", 0) == joined


EDGES = [(1, 8, 1, 6), (2, 8, 6, 1), (2, 8, 1, 1), (1, 1, 5, 4), (3, 1, 1, 5)]


@pytest.mark.parametrize("shape", EDGES, ids=str)
@pytest.mark.parametrize("act", [nn.Identity, nn.ReLU, nn.Hardswish])
def test_maps_of_one_row_column_or_channel(shape, act):
    """Parts of wider maps, whose strides PyTorch leaves open."""
    c = shape[1]
    model = filled(nn.Sequential(nn.Conv2d(c, 2 * c, 3, padding=1), Halves(c, act()), act()))
    agree(model, archdsl.optimize(model), image(*shape), tolerance=2e-5)


class Halves(nn.Module):
    def __init__(self, c: int, act: nn.Module) -> None:
        super().__init__()
        self.one, self.two, self.act = nn.Conv2d(c, c, 1), nn.Conv2d(c, c, (1, 3), padding=(0, 1)), act

    def forward(self, x):
        y, z = x.chunk(2, 1)
        return torch.cat([self.act(self.one(y) + z), self.act(self.two(z) + y)], 1)


@torch.no_grad()
def test_weights_that_change_in_place_are_packed_anew():
    layer, x = Conv2d(three()), image(2, 8, 5, 4)
    for change in (lambda w: w, lambda w: w.mul_(2), lambda w: w[:, 0].zero_(), lambda w: w.copy_(torch.ones_like(w))):
        change(layer.weight)
        torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1), rtol=1e-5, atol=1e-5)


def test_the_model_stays_as_it_is():
    model = filled(nn.Sequential(three(), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout()))
    before = copy.deepcopy(model.state_dict())
    for training in (True, False):
        model.train(training)
        archdsl.optimize(model, kernels="all")(image(1, 8, 4, 4))
        assert [m.training for m in model.modules()] == [training] * len(list(model.modules()))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(p.requires_grad for p in model.parameters())


@torch.no_grad()
def test_tensors_that_a_forward_reads_are_copies():
    model = filled(Shifted())
    x, optimized = image(1, 8, 4, 4), archdsl.optimize(model)
    expected = optimized(x).clone()
    model.shift.add_(1)
    model.conv.weight.mul_(2)
    assert torch.equal(optimized(x), expected)


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = one()
        self.register_buffer("shift", torch.ones(8, 1, 1))

    def forward(self, x):
        return self.conv(x) * self.shift


def test_a_gradient_at_the_input_of_every_layer():
    """oneDNN's convolutions have none, so where one is asked for they are not taken."""
    for name in ("slopes", "an addition behind an activation", "a depthwise convolution before a stride"):
        model = filled(NETS[name]())
        x = image(1, 8, 5, 5).requires_grad_()
        (found,) = torch.autograd.grad(archdsl.optimize(model)(x).sum(), x)
        torch.testing.assert_close(found, torch.autograd.grad(model(x).sum(), x)[0], rtol=1e-4, atol=1e-5)


def test_what_a_pool_asks_of_the_measurements(monkeypatch):
    asked = []
    monkeypatch.setattr("archdsl.inference.layers.on_gpu", lambda x: True)
    monkeypatch.setattr("archdsl.inference.layers.taken", lambda *what: asked.append(what[3:]))
    MaxPool2d((3, 2), (2, 1))(image(1, 8, 6, 6))
    assert asked == [(3, 2, 8)]  # the height of the window and of its step, and the channels


def test_spare_channels_are_few():
    for width in range(1, 300):
        more = spare(width)
        assert more <= 0.15 * width and (not more or (width + more) % 8 == 0)


@pytest.mark.parametrize(("first", "second", "alone"), [(0.1, 0.2, True), (0.1, 0.1, False)])
def test_one_kernel_has_one_slope(first, second, alone):
    depthwise, pointwise = Conv2d(three(groups=8)), Conv2d(one())
    depthwise.act = pointwise.act = "leaky_relu"
    depthwise.slope, pointwise.slope = first, second
    assert at_once(depthwise, pointwise) is not alone
    assert not at_once(depthwise, Conv2d(one(stride=2)))


def test_channels_are_followed_as_torch_moves_them():
    """Which channel lies where, by a map whose every channel is its own number."""
    rng = random.Random(0)
    for _ in range(40):
        moves = [rng.choice(("shuffle2", "shuffle4", "swap", "halves")) for _ in range(3)]
        graph = trace(Written(lambda m, x, moves=tuple(moves): moved(m.a(x), moves), a=one(8, 16)).eval())
        plan = Plan(prepared(graph), {})
        last = next(n for n in reversed(graph.graph.nodes) if n.op == "output").args[0]
        numbers = torch.arange(16.0).view(1, 16, 1, 1)
        assert [number for _, number in plan.values[last]] == moved(numbers, moves).flatten().int().tolist(), moves


def prepared(graph):
    from archdsl.inference.taken import take_convolutions

    take_convolutions(graph)
    return graph


def moved(x: torch.Tensor, moves) -> torch.Tensor:
    for move in moves:
        if move.startswith("shuffle"):
            x = shuffled(x, int(move[7:]))
        elif move == "swap":
            y, z = x.chunk(2, 1)
            x = torch.cat([z, y], 1)
        else:
            x = torch.cat([x[:, 8:], x[:, :8]], 1)
    return x


def test_what_a_call_is():
    graph = trace(
        Written(
            lambda m, x: torch.cat([F.leaky_relu(x, 0.3), F.leaky_relu(x, negative_slope=0.2), F.leaky_relu(x)], 2)
        ).eval()
    )
    acts = [activation(graph, node) for node in graph.graph.nodes]
    assert [act for act in acts if act] == [("leaky_relu", 0.3), ("leaky_relu", 0.2), ("leaky_relu", 0.01)]
    assert not any(is_cat(node) for node in graph.graph.nodes), "along another axis"
    assert results(graph(image(1, 2, 3, 4)))[0].shape == (1, 2, 9, 4)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.group_norm(self.conv(x), 2)


@pytest.mark.parametrize(
    "model", [nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)), Functional()], ids=["module", "function"]
)
def test_a_group_norm_of_maps_far_from_zero_is_exact(model):
    """In channels_last PyTorch's own is off by as much as the maps vary."""
    model = model.eval()
    conv = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        conv.weight.mul_(0.01)
        conv.bias.fill_(10.0)
        x = torch.randn(2, 3, 17, 20)
        wanted, found = copy.deepcopy(model).double()(x.double()), archdsl.optimize(model)(x)
    assert float((found - wanted).abs().max()) < 1e-2
