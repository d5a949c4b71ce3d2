"""`optimize` on modules of other people: layers that only look like PyTorch's, and others that do what PyTorch's do.

What a subclass, a hook or a function does decides, not what its class is called. Networks of timm and torchvision are
held to their own results, and RepVGG to the number of layers that it is deployed with.
"""

from __future__ import annotations

import copy
import pickle
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archdsl
from archdsl.inference.layers import Conv2d
from tests.inference.test_folding import Written, one, three
from tests.inference.test_inference import agree, filled, image

pytestmark = pytest.mark.usefixtures("one_thread", "torchvision_models")  # which timm imports


def steps(optimized: nn.Module) -> Counter[str]:
    """Return how often the graph calls a layer of each class, and each function by its name."""
    graph = optimized.network
    names = [type(graph.get_submodule(node.target)).__name__ for node in graph.graph.nodes if node.op == "call_module"]
    calls = [node.target.__name__ for node in graph.graph.nodes if node.op == "call_function"]
    return Counter(names + calls)


# -------------------------------------------------------------------------------------------------- what looks like it
class NormThenAct(nn.BatchNorm2d):
    def forward(self, x):
        return F.relu(super().forward(x))


class Asking(nn.BatchNorm2d):
    """As timm's, which ask how many axes there are, and call the function."""

    def forward(self, x):
        torch._assert(x.ndim == 4, f"expected 4D input (got {x.ndim}D input)")
        return F.silu(F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps))


class Frozen(nn.Module):
    """As torchvision's, arithmetic on buffers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.rand(channels) + 0.5)

    def forward(self, x):
        scale = self.weight.reshape(1, -1, 1, 1) * (self.running_var.reshape(1, -1, 1, 1) + 1e-5).rsqrt()
        return x * scale + (self.bias.reshape(1, -1, 1, 1) - self.running_mean.reshape(1, -1, 1, 1) * scale)


class Plain(nn.Conv2d):
    pass


class Standardized(nn.Conv2d):
    def forward(self, x):
        rows = F.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None, training=True, eps=1e-6)
        return F.conv2d(x, rows.reshape_as(self.weight), self.bias, self.stride, self.padding)


class Same(nn.Conv2d):
    """Pads by the size of the input, which torch.fx cannot follow."""

    def forward(self, x):
        rows, columns = (max(0, (-(-n // 2) - 1) * 2 + 3 - n) for n in x.shape[2:])
        return F.conv2d(
            F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)), self.weight, self.bias, 2
        )


class Doubling(nn.Conv2d):
    """Decides by values, and so a norm is not to be folded into it: its shift would be doubled as well."""

    def forward(self, x):
        return super().forward(x) * (2 if x.sum() > 0 else 1)


class Unscaled(nn.Conv2d):
    """Standardizes its weights behind a question to values: no scale can go into them."""

    def forward(self, x):
        weight = self.weight if x.shape[2] < 2 else self.weight / self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=1)


class Mirrored(nn.MaxPool2d):
    def forward(self, x):
        return -super().forward(-x)


class Kept(nn.Dropout):
    def forward(self, x):
        return x * 0.5


def hooked() -> nn.Module:
    model = nn.Sequential(three(), nn.BatchNorm2d(8), nn.ReLU(), one())
    model[1].register_forward_hook(lambda module, args, y: 2 * y)
    return model


def pre_hooked() -> nn.Module:
    model = nn.Sequential(three(), nn.BatchNorm2d(8), one())
    model[2].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    return model


CONVOLUTIONS = {
    # what is left of convolutions and norms: (ours, other convolutions, batch norms)
    "a subclass of a norm with an activation": (lambda: nn.Sequential(three(), NormThenAct(8), one()), (2, 0, 0)),
    "a norm that asks for four axes": (lambda: nn.Sequential(three(), Asking(8), one()), (2, 0, 0)),
    "a norm that asks, of a value that is read twice": (
        lambda: Written(lambda m, x: (lambda y: m.n(y) + y)(m.a(x)), a=three(), n=Asking(8)), (1, 0, 1),
    ),
    "a norm before 1x1 convolutions that asks": (lambda: nn.Sequential(Asking(8), three()), (1, 0, 1)),
    "a norm that is frozen": (lambda: nn.Sequential(three(), Frozen(8), nn.ReLU(), one()), (2, 0, 0)),
    "a norm for other devices": (lambda: nn.Sequential(three(), nn.BatchNorm2d(8, track_running_stats=False)), (1, 0, 1)),
    "a convolution of another name": (lambda: nn.Sequential(Plain(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), (1, 0, 0)),
    "weights that are standardized": (lambda: nn.Sequential(Standardized(8, 8, 3), nn.BatchNorm2d(8)), (1, 0, 0)),
    "a convolution that pads by size": (lambda: nn.Sequential(Same(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), (0, 1, 0)),
    "a convolution that decides by values": (lambda: nn.Sequential(Doubling(8, 8, 3), nn.BatchNorm2d(8)), (0, 1, 1)),
    "weights that no scale reaches": (lambda: nn.Sequential(Unscaled(8, 8, 3), nn.BatchNorm2d(8)), (0, 1, 1)),
    "a hook on a norm": (hooked, (2, 0, 1)),
    "a hook before a convolution": (pre_hooked, (1, 1, 0)),
    "a pool that is a minimum": (lambda: nn.Sequential(three(), Mirrored(2)), (1, 0, 0)),
    "a dropout that scales": (lambda: nn.Sequential(three(), Kept(), nn.BatchNorm2d(8)), (1, 0, 0)),
    "a weight by channel": (
        lambda: Written(lambda m, x: m.a(x) * m.p["w"] + x, a=three(), p=nn.ParameterDict({"w": torch.rand(8, 1, 1)})), (1, 0, 0),
    ),
    "arithmetic with numbers": (lambda: Written(lambda m, x: 1 - (m.a(x) * 3 - 2) / 4, a=three()), (1, 0, 0)),
    "a number by a map": (lambda: Written(lambda m, x: 1 / (m.a(x) ** 2 + 1), a=three()), (1, 0, 0)),
    "a weight of more channels": (
        lambda: Written(lambda m, x: m.a(x) * m.p["w"], a=three(8, 1), p=nn.ParameterDict({"w": torch.rand(5, 1, 1)})), (1, 0, 0),
    ),
    "a sum of Python's": (lambda: Written(lambda m, x: sum([m.a(x), m.b(x)]), a=three(), b=one()), (1, 0, 0)),
    "a norm behind a transposed convolution": (
        lambda: nn.Sequential(nn.ConvTranspose2d(8, 6, 2, 2), nn.BatchNorm2d(6), nn.ReLU(), one(6)), (1, 1, 0),
    ),
    "a norm behind a transposed convolution by groups": (
        lambda: nn.Sequential(nn.ConvTranspose2d(8, 12, 3, 2, groups=4, bias=False), nn.BatchNorm2d(12)), (0, 1, 0),
    ),
    "a transposed convolution used twice": (
        lambda: Written(lambda m, x: m.n(m.a(x)) + F.relu(m.a(x)), a=nn.ConvTranspose2d(8, 8, 3, padding=1), n=nn.BatchNorm2d(8)),
        (0, 2, 0),
    ),
    # parallel convolutions
    "three windows": (lambda: Written(
        lambda m, x: m.b(x) + m.a(x) + m.n(x), a=three(), b=one(), n=nn.BatchNorm2d(8)
    ), (1, 0, 0)),
    "three windows by groups": (lambda: Written(
        lambda m, x: F.relu(m.n(x) + m.a(x) + m.b(x)), a=three(groups=2), b=one(groups=2), n=nn.BatchNorm2d(8)
    ), (1, 0, 0)),
    "rows and columns": (lambda: Written(
        lambda m, x: m.a(x) + m.b(x), a=nn.Conv2d(8, 8, (3, 1), padding=(1, 0)), b=nn.Conv2d(8, 8, (1, 5), padding=(0, 2))
    ), (1, 0, 0)),
    "a window with gaps": (lambda: Written(
        lambda m, x: m.a(x) + m.b(x), a=nn.Conv2d(8, 8, 3, padding=2, dilation=2), b=one()
    ), (1, 0, 0)),
    "windows with other gaps": (lambda: Written(
        lambda m, x: m.a(x) + m.b(x), a=nn.Conv2d(8, 8, 3, padding=2, dilation=2), b=three()
    ), (2, 0, 0)),
    "a difference": (lambda: Written(lambda m, x: m.b(x) - m.a(x), a=three(stride=2), b=one(stride=2)), (1, 0, 0)),
    "a difference from a norm": (lambda: Written(lambda m, x: m.n(x) - m.a(x), a=three(), n=nn.BatchNorm2d(8)), (1, 0, 0)),
    "other strides": (lambda: Written(
        lambda m, x: m.a(x) + m.b(x)[:, :, ::2, ::2], a=three(stride=2), b=one()
    ), (2, 0, 0)),
    "a stride beside a norm": (lambda: Written(
        lambda m, x: m.a(x) + m.n(x[:, :, :1, :1]), a=three(stride=2), n=nn.BatchNorm2d(8)
    ), (1, 0, 1)),
    "maps of other sizes": (lambda: Written(
        lambda m, x: m.a(x)[:, :, 1:-1, 1:-1] + m.b(x), a=one(padding=1), b=one()
    ), (2, 0, 0)),
    "a margin of one pixel and a map of one": (lambda: Written(
        lambda m, x: m.a(x) + m.b(x), a=nn.Conv2d(8, 8, 5), b=nn.Conv2d(8, 8, 5)
    ), (1, 0, 0)),
    "convolutions of two maps": (lambda: Written(lambda m, x: m.a(x) + m.b(F.silu(x)), a=three(), b=one()), (2, 0, 0)),
    "one that is read twice": (lambda: Written(
        lambda m, x: (lambda y: (m.a(x) + y) * torch.sigmoid(y))(m.b(x)), a=three(), b=one()
    ), (2, 0, 0)),
    "more results": (lambda: Written(lambda m, x: m.a(x)[:, :8] + m.n(x), a=three(8, 16), n=nn.BatchNorm2d(8)), (1, 0, 1)),
    "a norm behind a sum": (lambda: nn.Sequential(
        Written(lambda m, x: m.a(x) + m.b(x), a=three(bias=False), b=one()), nn.BatchNorm2d(8), nn.ReLU()
    ), (1, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_layer_is_what_it_does(name):
    make, expected = CONVOLUTIONS[name]
    model = filled(make())
    state = {key: value.clone() for key, value in model.state_dict().items()}
    optimized = archdsl.optimize(model)
    for shape in ((2, 8, 7, 6), (1, 8, 9, 8)):
        agree(model, optimized, image(*shape), tolerance=1e-5)
    agree(model, pickle.loads(pickle.dumps(optimized)) if "hook" not in name else optimized, -image(1, 8, 7, 7))
    exact = copy.deepcopy(model).double()
    agree(exact, archdsl.optimize(exact), image(2, 8, 8, 7).double(), tolerance=1e-12)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items()), "the model was changed"
    found = steps(optimized)
    layers = [optimized.network.get_submodule(n.target) for n in optimized.network.graph.nodes if n.op == "call_module"]
    ours = sum(isinstance(layer, Conv2d) for layer in layers)
    norms = sum(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers) + found["batch_norm"]
    assert (ours, sum(isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) for layer in layers), norms) == expected


def test_a_type_that_a_constant_would_change():
    """A half-precision map times float32 weights is a float32 map."""
    model = Written(lambda m, x: m.a(x) * m.p["w"], a=three(), p=nn.ParameterDict({"w": torch.rand(8, 1, 1)}))
    model.layers["a"].bfloat16()
    found = archdsl.optimize(model.eval())(image(1, 8, 5, 5).bfloat16())
    assert found.dtype == torch.float32
    assert torch.equal(found, model(image(1, 8, 5, 5).bfloat16()))


class Counting(nn.Module):
    """Writes into a tensor of its own while it runs."""

    def __init__(self, calls: torch.Tensor) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, x):
        self.calls.add_(1)
        return x * (self.calls + 1)


def test_what_is_written_meanwhile_is_no_constant():
    model, x = Counting(nn.Parameter(torch.zeros(1, 1, 1, 1), requires_grad=False)).eval(), image(1, 2, 3, 3)
    optimized = archdsl.optimize(model)
    for _ in range(3):
        assert torch.equal(optimized(x), model(x))


def overwritten(layers: nn.ModuleDict, x: torch.Tensor) -> torch.Tensor:
    """Read values after steps whose results nobody reads have written over them."""
    y = layers["a"](x)
    layers["act"](y)
    z = layers["b"](y)
    z.clamp_(min=-0.1)
    F.hardtanh(z, -0.2, 0.2, inplace=True)
    return z + y


def test_a_result_that_nobody_reads_may_have_been_written_over_its_operand():
    model = filled(Written(overwritten, a=three(), act=nn.ReLU(inplace=True), b=one()))
    agree(model, archdsl.optimize(model), image(2, 8, 6, 6))


def test_a_buffer_that_is_written_is_a_mistake():
    model = Counting(nn.Buffer(torch.zeros(1, 1, 1, 1))).eval()
    with pytest.raises(TypeError, match="Counting cannot be optimized: it writes into its buffer `calls`"):
        archdsl.optimize(model)
    assert model.calls == 0, "the model was changed"


class Written0(nn.Module):
    """A sum that begins with nothing, written over by what follows."""

    def forward(self, x):
        y = 0 + torch.sigmoid(x)
        z = 0 + y
        return F.relu(z - 0.5, inplace=True) + y + F.hardtanh(0 + x, -0.1, 0.1, inplace=True)


def test_an_addition_of_nothing_is_a_copy_where_somebody_writes_over_it():
    x = image(2, 3, 4, 4)
    before = x.clone()
    agree(Written0(), archdsl.optimize(Written0().eval()), x)
    assert torch.equal(x, before)


# -------------------------------------------------------------------------------------------------- inputs
class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x, mask=None, scale: float = 2.0, *, double=False):
        x = self.norm(self.conv(x)) * scale
        if mask is not None:
            x = x * mask
        return 2 * x if double else x


class Given(nn.Module):
    """What gives a module an input that has a default."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Masked()

    def forward(self, x, mask):
        return self.inner(x, mask, double=True)


def test_an_input_with_a_default_has_it():
    model, x = filled(Masked()), image(2, 3, 6, 6)
    optimized = archdsl.optimize(model)
    expected = model(x)
    for found in (optimized(x), optimized(x, None), optimized(x=x), optimized(x, mask=None, scale=2.0, double=False)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="`mask` had its default, None, when the network was optimized"):
        optimized(x, torch.ones(1))
    with pytest.raises(TypeError, match="`scale` had its default, 2.0"):
        optimized(x, scale=3.0)
    with pytest.raises(TypeError, match="takes x, mask, scale, double, not size"):
        optimized(x, size=3)
    with pytest.raises(TypeError):
        optimized()


def test_a_module_may_give_it():
    model, x, mask = filled(Given()), image(2, 3, 6, 6), torch.rand(1, 4, 4, 4)
    agree(model, archdsl.optimize(model), x, mask)
    torch.testing.assert_close(archdsl.optimize(model)(mask=mask, x=x), model(x, mask), rtol=1e-5, atol=1e-5)


# -------------------------------------------------------------------------------------------------- the report
class Left(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = three(), three(padding_mode="reflect"), Doubling(8, 8, 1)
        self.twice, self.first, self.live = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.GroupNorm(2, 8)
        self.batch, self.own = nn.BatchNorm2d(8, track_running_stats=False), nn.BatchNorm2d(8)
        self.mish = nn.Mish()

    def forward(self, x):
        y = self.a(self.first(x))
        y = self.twice(y) * y + torch.relu(y)
        y = self.own(self.c(self.mish(self.batch(self.live(y)))))
        return self.b(y) + torch.relu(x)


def test_the_report_says_what_was_not_fused_and_why():
    report = archdsl.optimize(filled(Left())).report()
    for line in (
        "1  batch norms left: no convolution before, nor only 1x1 ones after (first)",
        "1  batch norms left: the convolution is read elsewhere, too (twice)",
        "1  batch norms left: their statistics are those of the batch (batch)",
        "1  batch norms left: the convolution before is not one of PyTorch's (own)",
        "1  norms left: their statistics are those of the input (live)",
        "1  convolutions left: their margin is not zeros, or is a word (b)",
        "1  convolutions left: their class is somebody's own, and its `forward` decides by values (c)",
        "1  activations left: no convolution's pass knows them (mish)",
        "1  activations left: the convolution is read elsewhere, too (relu)",
        "1  activations left: what they read is no result of a convolution (relu_1)",
        "additions left: neither operand is a convolution that they alone read (add, add_1)",
    ):
        assert line in report, report
    everything = archdsl.optimize(filled(nn.Sequential(three(), nn.BatchNorm2d(8), nn.ReLU())))
    assert "left" not in everything.report()
    assert everything.left == {}


def test_hooks_are_told():
    assert "batch norms left: they have hooks (1)" in archdsl.optimize(filled(hooked())).report()
    assert "convolutions left: they have hooks (2)" in archdsl.optimize(filled(pre_hooked())).report()


# -------------------------------------------------------------------------------------------------- whole networks
def theirs(name: str) -> nn.Module:
    library, _, name = name.partition(":")
    if library == "timm":
        import timm

        return filled(timm.create_model(name))
    import torchvision

    return filled(torchvision.models.get_model(name, weights=None))


DEPLOYED = {
    # convolutions, and batch norms, of what the authors deploy
    "timm:repvgg_a0": (22, 0),
    "timm:mobileone_s0": (43, 0),
    "timm:fastvit_t8": (52, 0),
    "timm:repvit_m1": (103, 2),  # of features, before linear layers
    "timm:efficientnet_b0": (81, 0),
    "timm:tf_efficientnet_b0": (76, 0),  # and five that pad by size
    "timm:resnetv2_50": (54, 1),  # the last, whose reader is a pool
    "torchvision:mobilenet_v3_large": (62, 0),
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_network_has_the_layers_that_it_is_deployed_with(name):
    optimized = archdsl.optimize(theirs(name))
    layers = list(optimized.network.modules())
    convolutions = sum(isinstance(layer, Conv2d) for layer in layers)
    norms = sum(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers)
    assert (convolutions, norms) == DEPLOYED[name]


@pytest.mark.parametrize(
    "name",
    [
        "timm:repvgg_a0",
        "timm:fastvit_t8",
        "timm:vit_tiny_patch16_224",
        "timm:test_convnext",
        "timm:test_resnet",
        "timm:regnety_002",
        "timm:tf_efficientnet_b0",
        "timm:nf_regnet_b0",
        "timm:ghostnet_050",
        "timm:resnet50_gn",
        "torchvision:mobilenet_v3_small",
        "torchvision:densenet121",
        "torchvision:shufflenet_v2_x0_5",
        "torchvision:googlenet",
    ],
)
def test_a_network_of_others_computes_the_same(name):
    model = theirs(name)
    size = {"timm:vit_tiny_patch16_224": 224, "timm:test_convnext": 160}.get(name, 96)
    agree(model, archdsl.optimize(model), image(2, 3, size, size), tolerance=1e-5)
