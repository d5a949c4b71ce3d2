"""`outputs=`: any labelled step by name, without what it does not need, and with the names and weights it always had."""

from __future__ import annotations

import pytest
import torch

import archdsl
from archdsl.analysis.costs import weights
from archdsl.compiler import Request, compile_text
from archdsl.ops.base import Op
from archdsl.run.load import instantiate

TAPS = {
    "resnet18": ["layer1", "layer3.0.conv2", "layer4"],
    "googlenet": ["inception3a.branch2", "inception4d"],
    "densenet121": ["features.denseblock1.denselayer2", "features.transition2"],
    "preresnet20_cifar": ["layer1.0", "layer2.1.body", "layer2"],
    "vgg11": ["features.3", "features.8"],
    "inception_resnet_v2": ["repeat.0.branch1", "repeat"],
    "fpn_resnet18": ["p3", "body.layer2"],
    "mobilenet_v2": ["features.4.conv.1", "features.18"],
}


def seen(model: torch.nn.Module, name: str, x: torch.Tensor) -> torch.Tensor:
    """Run the whole network and return what the module of a name returned."""
    found = []
    hook = model.get_submodule(name).register_forward_hook(lambda m, i, o: found.append(o.clone()))
    model(x)
    hook.remove()
    return found[0]


@pytest.mark.parametrize(("name", "outputs"), TAPS.items())
def test_outputs_are_what_the_whole_network_computes(name, outputs):
    whole = archdsl.load(name).eval()
    part = archdsl.load(name, outputs=outputs).eval()
    state = whole.state_dict()
    kept = list(part.state_dict())
    assert [k for k in state if k in set(kept)] == kept, "what is left keeps names and order"
    assert len(kept) < len(state) or name.startswith("fpn")  # whose maps are the results of one block
    part.load_state_dict({k: state[k] for k in kept})
    x = torch.randn(1, whole_channels(name), 96, 96)
    with torch.no_grad():
        for key, value in part(x)._asdict().items():
            path = next(o for o in outputs if o.replace(".", "_") == key)
            if name.startswith("fpn") and path == "p3":
                expected = whole(x).p3
            else:
                expected = seen(whole, path, x)
            torch.testing.assert_close(value, expected, rtol=0, atol=0)


def whole_channels(name: str) -> int:
    return int(archdsl.check(name).inputs[0][1][1])


def test_one_output_is_a_tensor():
    assert archdsl.load("resnet18", outputs=["layer2"]).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 128, 8, 8)


def test_features_say_channels_stride_and_receptive_field():
    report = archdsl.check("resnet50", outputs=["layer2", "layer4", "fc"])
    found = [(f.name, f.channels, f.stride, f.field) for f in report.features]
    assert found == [
        ("layer2", 512, (8, 8), (91, 91)),
        ("layer4", 2048, (32, 32), (427, 427)),
        ("fc", 1000, None, None),
    ]
    assert "layer4: 2048 channels, stride 32, receptive field 427x427" in report.summary()
    assert archdsl.check("resnet50").features == ()


def test_the_field_of_fcn_is_its_papers():
    """Long et al., 2014, Table 1: FCN-VGG16 has receptive fields of 404 pixels at a stride of 32."""
    (feature,) = archdsl.check("fcn32s", outputs=["score_fr"]).features
    assert (feature.field, feature.stride) == ((404, 404), (32, 32))


def test_a_net_inside_a_net_keeps_what_is_taken_from_it():
    text = (
        "from resnet50 import resnet18\n"
        "net n:\n    input i: [N, 3, H=64, W=64]\n    f = i -> body: resnet18\n    f.layer2 -> head: conv(8, 1)\n"
    )
    names = {name.split(".")[1] for name in archdsl.loads(text).state_dict() if name.startswith("body.")}
    assert names == {"conv1", "bn1", "layer1", "layer2"}


def test_a_shared_net_keeps_what_either_use_needs():
    text = (
        "from resnet50 import resnet18\n"
        "net n:\n    input a: [N, 3, H=64, W=64]\n    input b: [N, 3, H, W]\n"
        "    tower = body: resnet18\n    left = a -> tower\n    right = b -> tower\n    add(left, right)\n"
    )
    model = archdsl.loads(text).eval()
    assert model(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["layer5"], "layer4"),
        (["layer1.9"], "no step `9`"),
        (["layer1", "layer1"], "twice"),
        (["fc.weight"], "no step"),
    ],
)
def test_an_unknown_output_is_an_error(outputs, message):
    with pytest.raises(archdsl.CompileError, match=message):
        archdsl.check("resnet18", outputs=outputs)


def test_names_of_outputs_may_be_computed():
    text = "net n:\n    input image: [N, 3, H=8, W=8]\n    for i in range(2):\n        conv(4, 3)\n        output level{i} = x\n"
    assert [o.name for o in compile_text(text).network.scope.outputs] == ["level0", "level1"]
    assert archdsl.loads(text)(torch.zeros(1, 3, 8, 8)).level1.shape == (1, 4, 8, 8)


def test_a_result_when_training_beside_several_others_is_none_in_evaluation():
    text = (
        "net n:\n    input i: [N, 3, H=8, W=8]\n    conv(4, 3)\n    output a = x\n    output b = x -> relu\n"
        "    output c = x -> gelu when training\n"
    )
    model = archdsl.loads(text)
    assert model.train()(torch.zeros(2, 3, 8, 8)).c.shape == (2, 4, 8, 8)
    found = model.eval()(torch.zeros(2, 3, 8, 8))
    assert found.c is None and found.a.shape == found.b.shape == (2, 4, 8, 8)


def test_a_use_whose_owner_is_left_out_owns_its_module():
    text = """net n:
    input image: [N, 4, H=8, W=8]
    s = shared: conv(4, 3)
    y = x -> s -> first: relu
    z = x -> s
    output one = y
    output two = z -> last: sigmoid
"""
    network = compile_text(text, Request(outputs=("last",))).network
    assert [(node.name, node.reuses) for node in network.scope.nodes] == [("shared", False), ("last", False)]
    assert dict(weights(network.scope)) == {"shared.weight": (4, 4, 3, 3), "shared.bias": (4,)}


def test_a_step_that_is_called_out_is_that_step():
    """What leaves the last step is called `out` where no text names it; a label goes before that."""
    text = """block b:
    out: conv(2, 1)
    conv(4, 1)
net n:
    input image: [N, 4, H=8, W=8]
    r = x -> b
    cat(r.out, r)
    out: relu
    global_avgpool
"""
    whole, asked = compile_text(text).network, compile_text(text, Request(outputs=("out",))).network
    assert [node.what.name for node in whole.scope.nodes if isinstance(node.what, Op)] == [
        "cat",
        "relu",
        "global_avgpool",
    ]
    assert [str(shape) for shape in whole.scope.output_shapes] == ["(N, 6, 1, 1)"]
    assert [str(shape) for shape in asked.scope.output_shapes] == ["(N, 6, H, W)"]


def test_a_step_whose_first_result_is_of_training_returns_the_one_that_evaluation_has():
    text = (
        "block stage(c):\n    conv(c, 3)\n    output aux = x -> conv(1, 1) when training\n    output out = x -> relu\n"
        "net n:\n    input image: [N, 3, H=8, W=8]\n    r = image -> first: stage(4)\n    r.out -> last: conv(2, 1)\n"
    )
    found = compile_text(text, Request(outputs=("first",)))
    assert str(found.network.scope.output_shapes[0]) == "(N, 4, H, W)"
    assert instantiate(found).eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 4, 8, 8)
