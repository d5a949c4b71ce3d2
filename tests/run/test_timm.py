"""The gallery in timm and in torch.hub: their own functions make networks, with weights, features and other heads."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import archdsl
import archdsl.timm  # before timm, which imports torchvision
from archdsl.compiler import Request, compiled
from archdsl.run import hub
from tests.gallery.references import REFERENCES

import timm  # isort: skip

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "timm.md").read_text(encoding="utf-8")
X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

pytestmark = pytest.mark.usefixtures("one_thread")


def theirs(name="resnet18", **more):
    """Return timm's own network with drawn weights, statistics of norms too."""
    torch.manual_seed(3)
    model = timm.create_model(name, **more)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
    return model.eval()


# -------------------------------------------------------------------------------------------------- names
def test_the_names_are_timms():
    found = timm.list_models("archdsl_*")
    assert set(found) == {f"archdsl_{name}" for name in archdsl.timm.NAMES} and timm.is_model("archdsl_resnet50")
    told = re.search(r"registers the (\d+) classifiers", PAGE)
    assert told is not None and int(told[1]) == len(found)
    assert {"unet", "fcn_resnet50", "fpn_resnet18"}.isdisjoint(archdsl.timm.NAMES)


def test_timm_has_its_own_names_still():
    assert type(timm.create_model("resnet18")).__module__ == "timm.models.resnet"


@pytest.mark.slow
def test_what_is_registered_gives_scores_of_one_image_and_the_others_do_not():
    for name in archdsl.nets():
        scope = compiled(name, Request(None)).network.scope
        shape = scope.shapes[next(output.value for output in scope.outputs if not output.training)]
        several = len([output for output in scope.outputs if not output.training]) > 1
        classifies = len(scope.inputs) == 1 and len(shape) == 2 and not several and "classes" in dict(scope.args)
        assert classifies == (name in archdsl.timm.NAMES), name


def test_published_weights_are_of_the_implementation_that_a_network_is_held_to():
    """What the tests of the gallery have compared with the network, weights by name, is what `pretrained` takes."""
    known = {name: timm.get_pretrained_cfg(f"archdsl_{name}") for name in archdsl.timm.NAMES}
    for name, config in known.items():
        reference = REFERENCES.get(name)
        if config.hf_hub_id:
            assert reference is not None and reference.library == "timm", name
            assert config.hf_hub_id == timm.get_pretrained_cfg(reference.name).hf_hub_id
        elif config.url:
            assert reference is not None and (reference.library, reference.name) == ("torchvision", name)
    assert sum(bool(config.hf_hub_id or config.url) for config in known.values()) > 130


def test_images_are_prepared_as_for_the_weights():
    found = timm.data.resolve_model_data_config(timm.create_model("archdsl_inception_v3"))
    assert found["input_size"] == (3, 299, 299) and found["mean"] == found["std"] == (0.5, 0.5, 0.5)
    assert found["crop_pct"] == pytest.approx(299 / 342)
    found = timm.data.resolve_model_data_config(timm.create_model("archdsl_repvgg_a0"))
    assert found["mean"] == timm.get_pretrained_cfg("repvgg_a0").mean


# -------------------------------------------------------------------------------------------------- arguments
def test_classes_channels_and_parameters():
    model = timm.create_model("archdsl_resnet18", num_classes=7, in_chans=1, norm="gn(4)")
    assert model(X[:, :1]).shape == (2, 7) and isinstance(model.bn1, torch.nn.GroupNorm)
    assert model.num_classes == 7 and model.get_classifier() is model.fc
    assert model.pretrained_cfg["architecture"] == "archdsl_resnet18"
    features = timm.create_model("archdsl_resnet18", num_classes=0)
    assert features(X).shape == (2, 512) and isinstance(features.get_classifier(), torch.nn.Identity)
    assert timm.create_model("archdsl_resnet18", num_classes=3, output_stride=8)(X).shape == (2, 3)


def test_another_head_and_copies():
    model = timm.create_model("archdsl_resnet18").eval()
    model.reset_classifier(5)
    assert model(X).shape == (2, 5) and model.num_classes == 5
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(X), model(X))
        again.reset_classifier(4)
        assert again(X).shape == (2, 4) and model(X).shape == (2, 5)


def test_rates_of_dropping_are_the_texts():
    timm.create_model("archdsl_lenet5", drop_rate=0.0, drop_path_rate=0.0)  # as timm's scripts give them
    with pytest.raises(ValueError, match="rates of dropping in its text"):
        timm.create_model("archdsl_lenet5", drop_rate=0.1)


# -------------------------------------------------------------------------------------------------- weights
def test_weights_of_a_file_for_other_classes(tmp_path):
    reference = theirs()
    save_file(reference.state_dict(), tmp_path / "theirs.safetensors")
    overlay = {"file": str(tmp_path / "theirs.safetensors")}
    model = timm.create_model("archdsl_resnet18", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    assert torch.allclose(model(X), reference(X), atol=1e-5)
    with pytest.warns(archdsl.WeightsWarning, match="`fc` is new"):
        other = timm.create_model("archdsl_resnet18", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=4)
    assert other(X).shape == (2, 4) and torch.equal(other.conv1.weight, reference.conv1.weight)


def test_weights_of_the_hub_and_of_a_url(tmp_path, monkeypatch):
    """What is asked of the network is what timm and torchvision publish; here it is answered from a file."""
    asked = []
    reference = theirs("repvgg_a0")
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "downloaded", lambda *given: asked.append(given) or str(tmp_path / "model.safetensors"))
    model = timm.create_model("archdsl_repvgg_a0", pretrained=True).eval()
    assert torch.allclose(model(X), reference(X), atol=1e-4)
    state = theirs().state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda url, **_: asked.append(url) or state)
    timm.create_model("archdsl_resnet18", pretrained=True)
    assert asked[0][0] == "timm/repvgg_a0.rvgg_in1k" and asked[1].endswith("resnet18-f37072fd.pth")


def test_a_network_without_published_weights():
    with pytest.raises(archdsl.WeightsError, match="no published weights of lenet5 are known"):
        timm.create_model("archdsl_lenet5", pretrained=True)


def test_a_checkpoint(tmp_path):
    reference = theirs()
    torch.save(reference.state_dict(), tmp_path / "theirs.pth")
    model = timm.create_model("archdsl_resnet18", checkpoint_path=tmp_path / "theirs.pth").eval()
    assert torch.allclose(model(X), reference(X), atol=1e-5)


# -------------------------------------------------------------------------------------------------- features
@pytest.mark.parametrize(
    "how", [{}, {"out_indices": (1, -1)}, {"out_indices": 2}, {"output_stride": 8}, {"in_chans": 1}]
)
def test_features_are_timms(how):
    """Channels, sizes and values, of a ResNet with timm's weights."""
    whole = theirs(in_chans=how.get("in_chans", 3))
    x = X[:, : how.get("in_chans", 3)]
    wanted = timm.create_model("resnet18", features_only=True, **how).eval()
    wanted.load_state_dict(whole.state_dict(), strict=False)
    overlay = {"state_dict": whole.state_dict()}
    found = timm.create_model(
        "archdsl_resnet18", features_only=True, pretrained=True, pretrained_cfg_overlay=overlay, **how
    )
    assert found.feature_info.channels() == wanted.feature_info.channels()
    assert found.feature_info.reduction() == wanted.feature_info.reduction()
    ours, others = found.eval()(x), wanted(x)
    assert len(ours) == len(others) == len(found.feature_info.channels())
    for one, other in zip(ours, others):
        assert one.shape == other.shape and torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "densenet121", "vgg11", "googlenet", "convnextv2_atto", "hrnet_w18_small"]
)
def test_features_are_what_their_information_says(name):
    found = timm.create_model(f"archdsl_{name}", features_only=True).eval()
    x = torch.zeros(1, 3, 64, 64)
    assert found.feature_info.reduction() == sorted(set(found.feature_info.reduction()))
    for one, channels, reduction in zip(found(x), found.feature_info.channels(), found.feature_info.reduction()):
        assert one.shape[:2] == (1, channels) and one.shape[2] == pytest.approx(64 / reduction, abs=1)
    assert found.feature_info.reduction()[-1] == 32


def test_an_index_that_is_none():
    with pytest.raises(ValueError, match="there are 5 maps"):
        timm.create_model("archdsl_resnet18", features_only=True, out_indices=(5,))


# -------------------------------------------------------------------------------------------------- the page, torch.hub
def test_the_page_runs(monkeypatch, capsys):
    real = torch.hub.load
    monkeypatch.setattr(torch.hub, "load", lambda _, *rest, **more: real(str(ROOT), *rest, source="local", **more))
    space: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(code, "<timm>", "exec"), space)
    assert capsys.readouterr().out.strip() == "[256, 512, 1024, 2048] [4, 8, 8, 8]"
    assert space["model"](X).shape == (2, 10)


def test_torch_hub_takes_the_repository(torchvision_models, monkeypatch):
    spec = importlib.util.spec_from_file_location("hubconf", ROOT / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # What `torch.hub.list` and `torch.hub.help` do, which take repositories of GitHub alone.
    assert {name for name in dir(module) if callable(getattr(module, name))} == set(archdsl.nets())
    assert "archdsl.load" in module.resnet18.__doc__ and module.resnet18.__name__ == "resnet18"
    model = torch.hub.load(str(ROOT), "resnet18", source="local", classes=0)
    assert model(X).shape == (2, 512)
    reference = theirs()
    weights = torchvision_models.ResNet18_Weights
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **_: reference.state_dict())
    model = torch.hub.load(str(ROOT), "resnet18", source="local", pretrained=True).eval()
    assert torch.allclose(model(X), reference(X), atol=1e-5)
    with pytest.raises(RuntimeError, match="Cannot find callable no_such_net in hubconf"):
        torch.hub.load(str(ROOT), "no_such_net", source="local")
