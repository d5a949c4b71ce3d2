"""What a loaded network says of an input that it does not take, and that nobody pays for it; new heads."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import archdsl
from archdsl.run.origin import origin_of

TWO = (
    "net two:\n    input a: [N, 3, H=8, W=8]\n    input b: [N, 2, H, W]\n"
    "    cat(a, b) -> conv(4, 3, stride=2) -> bn -> maxpool(2)\n"
)
TRAINED = (
    "net n:\n    input i: [N, 3, H=32, W=32]\n    c: conv(4, 3)\n"
    "    output aux = x -> maxpool(16, stride=16) -> side: conv(2, 1) when training\n    bn\n"
)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("resnet18", (1, 1, 64, 64), "`image` of resnet18 is [N, 3, H, W], and [1, 1, 64, 64] was given"),
        ("resnet18", (3, 64, 64), "[3, 64, 64] was given: the batch is missing, `x.unsqueeze(0)`"),
        ("resnet18", (64, 64), "[64, 64] was given"),
        ("alexnet", (1, 3, 40, 224), "H ≥ 63, because of `maxpool` on line 18; the nearest legal size is H = 63"),
        ("alexnet_2012", (2, 3, 300, 224), "H: 199 to 230, because of `linear` on line 30"),
        ("alexnet_2012", (2, 3, 300, 224), "the nearest legal size is H = 230"),
        ("unet", (1, 1, 100, 100), "the nearest legal size is H = 188, W = 188"),
    ],
)
def test_a_wrong_input_is_told_what_is_taken(name, shape, words):
    model = archdsl.load(name).eval()
    for one in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(archdsl.InputError) as caught:
            one(torch.zeros(shape))
        assert words in str(caught.value) and isinstance(caught.value, RuntimeError)
        assert caught.value.__cause__ is not None, "what the layer said is not lost"


def test_what_is_no_tensor_and_what_is_missing():
    model = archdsl.loads(TWO)
    with pytest.raises(archdsl.InputError, match=r"two takes `a` \[N, 3, H, W\], `b` \[N, 2, H, W\], and 1 input was"):
        model(torch.zeros(1, 3, 8, 8))
    with pytest.raises(archdsl.InputError, match=r"`b` of two is a tensor \[N, 2, H, W\], and list was given"):
        model(torch.zeros(1, 3, 8, 8), [1])
    with pytest.raises(archdsl.InputError, match=r"`b` of two is \[N, 2, H, W\], and \[1, 3, 8, 8\]"):
        model(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def test_sizes_that_only_training_needs():
    model = archdsl.loads(TRAINED)
    x = torch.zeros(2, 3, 8, 8)
    with pytest.raises(archdsl.InputError, match="H ≥ 16"):
        model.train()(x)
    assert model.eval()(x).shape == (2, 4, 8, 8)


def test_another_failure_stays_what_it_is():
    model = archdsl.loads(TWO.replace("maxpool(2)", "maxpool(2) -> bn")).train()
    with pytest.raises(ValueError, match="more than 1 value per channel") as caught:
        model(torch.zeros(1, 3, 4, 4), torch.zeros(1, 2, 4, 4))
    assert not isinstance(caught.value, archdsl.InputError)
    mixed = archdsl.loads(TWO).eval()
    mixed.get_submodule("0").double()  # then no type is that of the weights
    with pytest.raises(RuntimeError) as caught:
        mixed(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 8, 8))
    assert not isinstance(caught.value, archdsl.InputError)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(1, 3, 8, 8).byte(), torch.zeros(1, 2, 8, 8), "`a` of two is [N, 3, H, W], and [1, 3, 8, 8] was "
         "given: it is uint8, and the weights are float32, `x.float()`"),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 8, 8).double(), "it is float64, and the weights are float32"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(3, 2, 8, 8), "`b` of two is [N, 2, H, W], and [3, 2, 8, 8] was given: N is "
         "2 in `a`, and 3 here"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 2, 8, 6), "W is 8 in `a`, and 6 here"),
    ],
)  # fmt: skip
def test_types_and_sizes_that_do_not_agree(a, b, words):
    model = archdsl.loads(TWO.replace("cat(a, b)", "cat(a -> conv(2, 3), b)")).eval()
    with pytest.raises(archdsl.InputError) as caught:
        model(a, b)
    assert words in str(caught.value)


def test_a_size_that_one_input_has_twice():
    model = archdsl.loads("net square:\n    input a: [N, 3, H=8, H]\n    flatten -> linear(2)\n")
    with pytest.raises(archdsl.InputError, match=r"`a` of square is \[N, 3, H, H\], .* was given: H is 8 and 6"):
        model(torch.zeros(1, 3, 8, 6))


def test_under_autocast_another_type_is_right():
    model = archdsl.load("lenet5").eval()
    model.get_submodule([name for name, _ in model.named_children()][-1]).forward = _fails
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(RuntimeError, match="out of memory") as caught:
        model(torch.zeros(1, 1, 32, 32, dtype=torch.bfloat16))
    assert not isinstance(caught.value, archdsl.InputError)


def _fails(x):
    raise RuntimeError("out of memory")


def test_compiled_scripted_and_exported_code_has_nothing_of_it():
    model = archdsl.load("resnet18").eval()
    x = torch.randn(2, 3, 64, 64)
    assert "try" not in torch.jit.script(model).code
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()  # what was compiled before has it expect other sizes
    with torch.no_grad():
        found = torch.compile(model, fullgraph=True, backend=backend)(x)
        torch.testing.assert_close(found, model(x))
        plain = copy.deepcopy(model)
        plain.__dict__.pop("_archdsl")
        torch._dynamo.reset()  # or it would take the same code, as no guard tells the two apart
        torch.compile(plain, fullgraph=True, backend=backend)(x)
    first, second = [[str(node.target) for node in graph.graph.nodes] for graph in graphs]
    assert len(first) == len(second)
    program = torch.export.export(model, (x,))
    assert not [node for node in program.graph.nodes if "assert" in str(node.target)]


def test_state_dicts_have_nothing_of_it():
    model = archdsl.load("lenet5")
    assert not [name for name in model.state_dict() if "archdsl" in name]
    assert origin_of(model).heads and origin_of(nn.Linear(1, 1)) is None


# -------------------------------------------------------------------------------------------------- device, type, outputs
def test_device_and_type():
    model = archdsl.load("lenet5", dtype="bfloat16", device="meta")
    assert {(p.dtype, p.device.type) for p in model.parameters()} == {(torch.bfloat16, "meta")}
    assert (
        archdsl.loads(TWO, dtype=torch.float64)(
            torch.zeros(2, 3, 8, 8).double(), torch.zeros(2, 2, 8, 8).double()
        ).dtype
        == torch.float64
    )
    for wrong in ("int8", "bfloat", torch.int64, 16):
        with pytest.raises(TypeError, match="`dtype` is a floating-point type"):
            archdsl.load("lenet5", dtype=wrong)


def test_weights_are_those_of_the_seed_on_each_type():
    torch.manual_seed(3)
    one = archdsl.load("lenet5")
    torch.manual_seed(3)
    other = archdsl.load("lenet5", dtype="float64")
    torch.testing.assert_close(other.state_dict(), {k: v.double() for k, v in one.state_dict().items()})


def test_one_output_by_its_name():
    x = torch.randn(1, 3, 64, 64)
    torch.manual_seed(0)
    one = archdsl.load("resnet18", outputs="layer4").eval()
    torch.manual_seed(0)
    listed = archdsl.load("resnet18", outputs=["layer4"]).eval()
    assert torch.equal(one(x), listed(x)) and not hasattr(one, "fc")
    assert archdsl.check("resnet18", outputs="layer2.0").features[0].channels == 128
    with pytest.raises(archdsl.CompileError, match="the net cannot return `layer9`"):
        archdsl.load("resnet18", outputs="layer9")


# -------------------------------------------------------------------------------------------------- heads
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vgg11", "densenet121", "mobilenet_v2"])
def test_another_head(name):
    torch.manual_seed(0)
    model = archdsl.load(name).eval()
    x = torch.randn(1, 3, 64, 64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    heads = origin_of(model).heads
    assert archdsl.reset_classifier(model, 7) is model and model(x).shape == (1, 7)
    for key, value in model.state_dict().items():
        if key.rpartition(".")[0] not in heads:
            assert torch.equal(value, before[key]), key
    assert archdsl.reset_classifier(model, 3)(x).shape == (1, 3), "and again"
    assert copy.deepcopy(model)(x).shape == pickle.loads(pickle.dumps(model))(x).shape == (1, 3)
    assert all(p.requires_grad for head in heads for p in model.get_submodule(head).parameters())


def test_a_head_is_where_the_old_one_was_and_all_of_them_are_new():
    model = archdsl.load("googlenet", dtype="float64").train()
    archdsl.reset_classifier(model, 4)
    results = model(torch.randn(2, 3, 224, 224).double())
    assert [result.shape[-1] for result in results] == [4, 4, 4] and results[0].dtype == torch.float64
    frozen = archdsl.freeze(archdsl.load("resnet18"))
    assert archdsl.reset_classifier(frozen, 2).fc.weight.requires_grad


def test_no_head_gives_features():
    model = archdsl.reset_classifier(archdsl.load("resnet18").eval(), 0)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 512)


def test_where_there_is_no_head_it_says_so():
    with pytest.raises(ValueError, match=r"only a network that `archdsl.load` has made"):
        archdsl.reset_classifier(nn.Linear(3, 3), 2)
    grouped = "net n:\n    input i: [N, 4, H=8, W=8]\n    conv(8, 3, groups=4)\n"
    with pytest.raises(ValueError, match="has no number of classes"):
        archdsl.reset_classifier(archdsl.loads(grouped), 2)
    shared = "net n:\n    input i: [N, 3, H=8, W=8]\n    a: conv(4, 3)\n    output one = x\n    b: conv(4, 3)\n"
    with pytest.raises(ValueError, match="no head of its own"):
        archdsl.reset_classifier(archdsl.loads(shared), 2)
