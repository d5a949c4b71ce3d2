"""Output strides: torchvision's and timm's dilated backbones, and the coarse map within the fine one."""

import pytest
import torch
from torch import nn

import archdsl
from archdsl import CompileError
from archdsl.cli.main import main
from archdsl.run.weights import carry_over
from tests.families import LEAST
from tests.gallery.references import filled

STRIDES = {8: [False, True, True], 16: [False, False, True]}
TIMM = [  # ours, timm's
    ("resnet34", "resnet34"),
    ("mobilenet_v2", "mobilenetv2_100"),
    ("efficientnet_b0", "efficientnet_b0"),
    ("mnasnet", "mnasnet_100"),
]


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= 1e-5 * theirs.abs().max())


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("name", ["resnet50", pytest.param("resnext50_32x4d", marks=pytest.mark.slow)])
def test_torchvisions_dilated_backbones(torchvision_models, name, stride):
    build = getattr(torchvision_models, name)
    theirs = filled(build(replace_stride_with_dilation=STRIDES[stride])).eval()
    ours = archdsl.load(name, output_stride=stride).eval()
    ours.load_state_dict(theirs.state_dict())
    ends = (
        nn.Sequential(*list(theirs.children())[:-2]),
        archdsl.load(name, outputs="layer4", output_stride=stride).eval(),
    )
    carry_over(ends[1], theirs.state_dict(), {}, partly=True)
    for size in (64, 97):
        x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            assert close(ours(x), theirs(x))
            assert close(ends[1](x), ends[0](x)) and ends[1](x).shape[2] == -(-size // stride)


@pytest.mark.parametrize("stride", [8, pytest.param(16, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "other"), TIMM)
def test_timms_dilated_backbones(torchvision_models, name, other, stride):
    import timm

    theirs = filled(timm.create_model(other, output_stride=stride)).eval()
    ours = archdsl.load(name, output_stride=stride).eval()
    own = [value for key, value in ours.state_dict().items() if not key.endswith("num_batches_tracked")]
    given = [value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")]
    assert [value.shape for value in own] == [value.shape for value in given]
    for here, there in zip(own, given):  # in one order, under other names
        here.copy_(there)
    x = torch.randn(1, 3, 97, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert close(ours(x), theirs(x))


# Nets without a mean over all of the map in a block, which sees more positions of a finer one, and their last maps.
MAPS = {
    "resnet18": "layer4",
    "mobilenet_v2": "features",
    "shufflenet_v2_x1_0": "conv5",
    "vgg11_bn": "features",
    "convnext_tiny": "features",
    "darknet53": "stages",
    "densenet_bc_40_cifar": "features",
}


@pytest.mark.parametrize("stride", [4, pytest.param(8, marks=pytest.mark.slow), 16])
@pytest.mark.parametrize("name", MAPS)
def test_the_coarse_map_stands_in_the_fine_one(name, stride):
    """Positions that the coarse map has are in the fine one what they were, but where a window of even size ends."""
    coarse = filled(archdsl.load(name, outputs=MAPS[name])).eval()
    fine = archdsl.load(name, outputs=MAPS[name], output_stride=stride).eval()
    fine.load_state_dict(coarse.state_dict())
    x = torch.randn(1, 3, 128, 160, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        few, many = coarse(x), fine(x)
    step = max(1, 128 // few.shape[2] // stride)
    found = many[:, :, ::step, ::step][:, :, : few.shape[2], : few.shape[3]]
    h, w = found.shape[2:]
    assert step == 1 or many.shape[2] > few.shape[2]
    assert h >= few.shape[2] - 1 and close(found, few[:, :, :h, :w])


@pytest.mark.parametrize("name", sorted(LEAST.values()))
def test_a_network_has_a_finer_form_or_says_why_not(name):
    """Every shape of the finer network is what PyTorch makes; parameters stay."""
    options = {"solver": '"euler"'} if name == "odenet" else {}
    try:
        found = archdsl.check(name, output_stride=8, **options)
    except CompileError as mistake:
        assert mistake.diagnostic.code == "E0234" and mistake.diagnostic.primary.span.line > 1
        return
    assert found.params == archdsl.check(name, **options).params
    with torch.device("cpu" if options else "meta"):
        model = archdsl.load(name, output_stride=8, **options).eval()
        y = model(*[torch.zeros([1, *map(int, shape[1:])]) for _, shape in found.inputs])
    results = [y] if isinstance(y, torch.Tensor) else list(y)
    assert [list(one.shape) for one in results][: len(found.outputs)] == [
        [1, *map(int, shape[1:])] for _, shape, training in found.outputs if not training
    ]


def test_an_output_stride_that_changes_nothing():
    assert archdsl.compile("resnet18", output_stride=32) == archdsl.compile("resnet18")
    assert archdsl.check("resnet20_cifar", output_stride=4).macs == archdsl.check("resnet20_cifar").macs


def test_legal_sizes_are_those_of_the_finer_network():
    """Darknet's maps meet nothing of another size, so that a finer one takes smaller images, too."""
    text = "net n:\n    input i: [N, 3, H=64, W=64]\n    conv(4, 3, 2) -> conv(4, 3, 2) -> conv(4, 3, pad=0)\n"
    fine = archdsl.loads(text, output_stride=2).eval()
    assert fine[2].dilation == (2, 2) and fine[1].stride == (1, 1)
    for size in range(1, 24):
        x = torch.zeros(1, 3, size, size)
        try:
            fine(x)
            runs = True
        except RuntimeError:
            runs = False
        assert runs == (size >= 9), size


@pytest.mark.parametrize("shared", ["conv(3, 3)", "[conv(3, 3), relu]"])
def test_one_module_is_not_two(shared):
    """Weights that are used on both sides of a stride that is left out would be those of two convolutions."""
    text = f"net n:\n    input i: [N, 3, H=32, W=32]\n    f = twin: {shared}\n    f -> conv(3, 3, 2) -> f\n"
    with pytest.raises(CompileError, match="a module with these weights is another one here"):
        archdsl.loads(text, output_stride=1)
    assert archdsl.loads(text, output_stride=2) is not None


def test_the_command_line_takes_it(capsys):
    assert main(["check", "resnet18", "--output-stride", "8", "--shapes"]) == 0
    assert "dilation=4" in capsys.readouterr().out
    assert main(["check", "densenet121", "--output-stride", "8"]) == 2  # what was asked is wrong, and not the file
    said = capsys.readouterr().err
    assert "E0234" in said and "the mean over a window has no dilated form" in said


def test_a_saved_network_keeps_it(tmp_path):
    archdsl.save(archdsl.load("resnet18", output_stride=8), tmp_path / "m.safetensors")
    assert archdsl.load(tmp_path / "m.safetensors").layer4[1].conv1.dilation == (4, 4)


@pytest.mark.parametrize("step", ["subsample(2)", "pixel_unshuffle(2)", "crop((x.height // 2, x.width // 2))"])
def test_what_makes_maps_coarser_and_has_no_step_is_refused(step):
    text = f"net n:\n    input image: [N, 4, H=32, W=32]\n    conv(4, 3, stride=2) -> {step}\n"
    name = step.partition("(")[0]
    with pytest.raises(archdsl.CompileError, match=f"`{name}` has no form that leaves a map as fine as it is"):
        archdsl.loads(text, output_stride=2)
    archdsl.loads(text, output_stride=4)
