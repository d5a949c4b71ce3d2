"""Every bundled network against its public reference or its paper: names, weights, outputs, training, figures, length."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl import project
from archdsl.compiler import compiled
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct
from archdsl.ops.base import REQUIRED
from archdsl.report import gallery
from archdsl.run.weights import carry_over, renamed, rules
from tests import families
from tests.families import EVERY, FILES, LEAST, MACS, VARIED, WITH_CLASSES
from tests.gallery.references import REFERENCES, filled, results

pytestmark = pytest.mark.usefixtures("torchvision_models")
NETS = list(FILES)
# One net of each family is trained for a step beside its reference.
SMALL = {
    "resnet50": "resnet18",
    "efficientnet": "efficientnet_b0",
    "fcn_resnet50": "fcn_resnet50",
    "fpn": "fpn_resnet18",
    "regnet": "regnet_y_400mf",
    "convnext": "convnext_tiny",
    "convnextv2": "convnextv2_atto",
    "efficientnet_v2": "efficientnet_v2_s",
    "deeplabv3": "deeplabv3_resnet50",
    "mnasnet": "mnasnet1_0",
    "hrnet": "hrnet_w18_small",
    "repvgg": "repvgg_a0",
    "wrn_cifar": "wrn16_10_cifar",
    "convmixer": "convmixer_768_32",
    "mobilenet_v4": "mobilenet_v4_small",
    "swin": "swin_t",
    "yolov8": "yolov8_n",
}
# Siblings of more than 40 million parameters of networks that are held to their references all the same.
LARGE = """convnextv2_base convnext_base convnext_large convnext_small deeplabv3_resnet101 dla169 dpn107 dpn131 dpn98 efficientnet_v2_l
efficientnet_v2_m hrnet_w40 hrnet_w48 hrnet_w64 regnet_x_16gf regnet_x_32gf regnet_y_16gf regnet_y_32gf repvgg_b1 repvgg_b2
repvgg_b3 res2net101_26w_4s res2net50_26w_8s resnest101e seresnet101 seresnet152 seresnext101_32x4d seresnext101_32x8d
vit_b_32 vit_l_16 vit_l_32 vit_h_14 mobileone_s3 mobileone_s4 sknet101 ese_vovnet99b convmixer_1536_20 wrn40_8_cifar
pyramidnet110_a270_cifar swin_s swin_b
yolov8_l yolov8_x""".split()
HELD = [pytest.param(n, marks=pytest.mark.slow if n in LARGE else []) for n in REFERENCES]
# Siblings differ in numbers, which their figures show: of each file the net of the fewest MACs is run.
FIRST = {FILES[n]: n for n in sorted(REFERENCES, key=MACS.__getitem__, reverse=True)}
RUN = [pytest.param(n, marks=[] if n in FIRST.values() else pytest.mark.slow) for n in REFERENCES]
TRAINED = {FILES[net]: net for net in reversed(NETS) if net in REFERENCES} | SMALL
LIBRARIES = {stem: rules(project.path_of(stem)) for stem in project.bundled()}
QUICK = [
    n for n in TRAINED.values() if REFERENCES[n].library == "torchvision" and "torchvision" not in LIBRARIES[FILES[n]]
]


def meta(name: str, **options) -> torch.nn.Module:
    with torch.device("meta"):
        return archdsl.load(name, **options)


def test_the_table_of_networks_is_current():
    assert gallery.entries() == gallery.computed(), "run `make gallery`"
    assert [entry.name for entry in gallery.entries()] == NETS


def arguments_in(names: list[str]) -> set[tuple[str, str]]:
    """Return the operators of networks, each with every argument that it is given somewhere."""
    scopes = [scope for name in names for scope in distinct(compiled(name).network.scope)]
    operators = [node.what for scope in scopes for node in scope.nodes if not isinstance(node.what, Scope)]
    given = {(op.name, "") for op in operators}
    for op in operators:
        given |= {
            (op.name, name)
            for name, spec in op.args.items()
            if spec.default is REQUIRED or getattr(op, name) != spec.normal
        }
    return given


def test_the_varied_networks_have_what_the_gallery_has():
    assert arguments_in([*VARIED, *families.LARGE]) == arguments_in([*LEAST.values()])


@pytest.mark.parametrize("name", RUN)
def test_equal_to_its_reference(name):
    """The weights of the public implementation, carried over by name, give its outputs."""
    reference = REFERENCES[name]
    theirs = filled(reference.build()).eval()
    ours = meta(name, **reference.ours).to_empty(device="cpu").eval()
    carry_over(ours, theirs.state_dict(), LIBRARIES[FILES[name]])
    channels = archdsl.check(name).inputs[0][1][1]
    x = torch.randn(2, channels, reference.size, reference.size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = results(theirs(x)), results(ours(x))
    assert found and set(found) <= set(expected)
    for key, value in found.items():
        assert expected[key].abs().max() > 1e-3, "a reference that returns nothing would prove nothing"
        assert (value - expected[key]).abs().max() <= 1e-5 * expected[key].abs().max()


@pytest.mark.parametrize("name", HELD)
def test_names_and_figures_of_its_reference(name):
    """Parameters, MACs and output shapes at the default size are the public implementation's.

    Labels are those of torchvision and timm, in their order, so that published weights load as they are.
    """
    reference = REFERENCES[name]
    report = archdsl.check(name, **reference.ours)
    shape = [int(d) for d in report.inputs[0][1]]
    theirs = reference.build().eval().to("meta")
    if reference.library in ("torchvision", "timm"):
        compare_names(name, theirs.state_dict())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = results(theirs(torch.empty(shape, device="meta")))
    assert report.params == sum(p.numel() for p in theirs.parameters())
    always = [(n, s) for n, s, training in report.outputs if not training]
    if always == [(n, s) for n, s, _ in report.outputs]:
        assert report.macs == counter.get_total_flops() // 2
    for key, sizes in always:
        assert tuple(y[key].shape) == tuple(int(d) for d in sizes)


def compare_names(name: str, theirs: dict[str, torch.Tensor]) -> None:
    """Compare names and shapes; where those of a library are no labels, the rules of its `.keys` file make them so."""
    ours, library = meta(name).state_dict(), LIBRARIES[FILES[name]].get(REFERENCES[name].library)
    if library is None:
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
        assert list(ours) == list(theirs)
    else:
        assert ours.keys() == renamed(theirs, library).keys()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in sorted(TRAINED.values())]
)
def test_trains_as_its_reference_does(name):
    reference = REFERENCES[name]
    theirs = filled(reference.build()).train()
    state = theirs.state_dict()
    ours = archdsl.load(name, **reference.ours).train()
    carry_over(ours, state, LIBRARIES[FILES[name]])
    size = 299 if name == "inception_v3" else reference.size  # its auxiliary head needs a map of 17x17
    channels = archdsl.check(name).inputs[0][1][1]
    x = torch.randn(4, channels, size, size, generator=torch.Generator().manual_seed(1))
    gradients = []
    if name not in QUICK:  # written in another order, and so rounded otherwise: in double precision that is 1e-16
        theirs, ours, x = theirs.double(), ours.double(), x.double()
    for model in (theirs, ours):
        torch.manual_seed(2)  # the same dropout masks, if both draw them in the same order
        outputs = results(model(x))
        sum(o.square().mean() for o in outputs.values()).backward()
        gradients.append((outputs, {k: p.grad for k, p in model.named_parameters()}))
    (expected, expected_grads), (got, got_grads) = gradients
    assert expected.keys() == got.keys()
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=1e-5, atol=1e-6)
    libraries = LIBRARIES[FILES[name]].values()
    expected_grads = next(
        g for g in (expected_grads, *(renamed(expected_grads, r) for r in libraries)) if set(g) == set(got_grads)
    )
    for key, gradient in expected_grads.items():
        gradient = gradient.reshape(got_grads[key].shape)  # of a linear layer where ours is a 1x1 convolution
        assert (got_grads[key] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-9, key
    trained = meta(name, **reference.ours).to_empty(device="cpu").to(x.dtype)
    carry_over(trained, theirs.state_dict(), LIBRARIES[FILES[name]])
    for key, value in trained.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-5, atol=1e-6)  # running statistics too


@pytest.mark.parametrize("name", [n for n in NETS if n not in REFERENCES or REFERENCES[n].ours])
def test_counts_equal_the_module(name):
    """Parameters and MACs of the text are those of the module, counted by torch; shapes too."""
    steps = {"solver": '"rk4"'} if name == "odenet" else {}  # dopri5 chooses how often it evaluates
    report = archdsl.check(name, **steps)
    model = archdsl.load(name, **steps) if steps else meta(name)
    assert report.params == sum(p.numel() for p in model.parameters())
    shape = [int(d) for d in report.inputs[0][1]]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = results(model.eval()(torch.empty(shape, device=next(model.parameters()).device)))
    assert report.macs == counter.get_total_flops() // 2
    for (key, sizes, _), value in zip(report.outputs, y.values()):
        assert tuple(value.shape) == tuple(int(d) for d in sizes), key


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [  # Howard et al., 2017, arXiv:1704.04861, tables 6: MobileNet at width 1, 0.75, 0.5, 0.25
        ("mobilenet_v1", 4.2, 569),
        ("mobilenet_v1_075", 2.6, 325),
        ("mobilenet_v1_050", 1.3, 149),
        ("mobilenet_v1_025", 0.5, 41),
    ],
)
def test_mobilenet_v1_is_the_papers_table(name, params, macs):
    report = archdsl.check(name)
    assert round(report.params / 1e6, 1) == params
    assert round(report.macs / 1e6) == macs


def test_lenet5_has_about_60_k_parameters():
    # LeCun et al., 1998, section II.B: 60,000 trainable free parameters
    assert abs(archdsl.check("lenet5").params - 60_000) < 3_000


@pytest.mark.parametrize(
    ("stem", "limit"),
    [
        ("resnet50", 35),
        ("densenet121", 30),
        ("mobilenet_v2", 25),
        ("shufflenet_v2_x1_0", 30),
        ("convnext", 20),
        ("hrnet", 40),
    ],
)
def test_brevity(stem, limit):
    assert len(code_lines(stem)) <= limit


@pytest.mark.parametrize("stem", project.bundled())
def test_lines_are_at_most_100_columns(stem):
    assert max(map(len, project.read(project.path_of(stem)).text.split("\n"))) <= 100


def code_lines(stem: str) -> list[str]:
    """Return the lines of a file without blank lines, comments and docstrings."""
    import re

    text = re.sub(r'"""(?s:.*?)"""', "", project.read(project.path_of(stem)).text)
    return [line for line in text.split("\n") if line.split("#")[0].strip()]


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "googlenet"])
def test_norm_and_activation_are_parameters(name):
    options = {"norm": "gn(4)"} if name != "googlenet" else {"norm": "bn(eps=0.1)", "act": "silu"}
    model = archdsl.load(name, classes=7, in_channels=1, **options).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 1, 64, 64)).shape == (1, 7)


@pytest.mark.parametrize("name", EVERY)
def test_in_channels_and_classes_on_every_net(name):
    given = {"in_channels": 5} | ({"solver": '"euler"'} if name == "odenet" else {})
    classes = [{"classes": count} for count in (11, 22)] if name in WITH_CLASSES else [{}]
    reports = [archdsl.check(name, **given, **one) for one in classes]
    assert {report.inputs[0][1][1] for report in reports} == {5}
    if name in WITH_CLASSES:
        outputs = [[shape[1] for _, shape, _ in report.outputs] for report in reports]
        shares = [(more - less) / 11 for less, more in zip(*outputs)]  # channels for each class, or none: boxes
        assert any(shares) and all(less == 11 * share for less, share in zip(outputs[0], shares) if share)
        assert len(shares) > 1 or shares == [1]
    meta(name, **given, **classes[0])
