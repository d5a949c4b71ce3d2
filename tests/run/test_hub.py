"""Weights by name: of a repository in a cache of the hub, without a network, and of torchvision's enumerations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import archdsl
from archdsl.run.hub import REPOSITORY

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cached(home: Path, repository: str, name: str, revision: str = "main") -> Path:
    """Lay a file of a repository where the hub's own library caches it, and return its path."""
    folder = home / "hub" / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text(COMMIT)
    path = folder / "snapshots" / COMMIT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def loaded(home: Path, code: str) -> str:
    """Run code in a process that has this cache and no network, and return what it prints."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    probe = f"import torch, archdsl\n{code}"
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("asked", ["timm/lenet.a1_in1k", "hf-hub:timm/lenet.a1_in1k", "timm/lenet.a1_in1k@v2"])
def test_a_repository_of_the_hub(name, asked, tmp_path):
    torch.manual_seed(5)
    state = archdsl.load("lenet5").state_dict()
    path = cached(tmp_path, "timm/lenet.a1_in1k", name, "v2" if "@" in asked else "main")
    if name.endswith(".bin"):
        torch.save(state, path)
    else:
        save_file(state, path)
    total = sum(value.double().sum().item() for value in state.values())
    code = f"model = archdsl.load('lenet5', weights={asked!r})\nprint(sum(v.double().sum().item() for v in model.state_dict().values()))"
    assert float(loaded(tmp_path, code)) == pytest.approx(total, rel=1e-12)


def test_published_weights_fit_under_the_names_of_their_library(tmp_path, torchvision_models):
    """timm's own state dict, by timm's names, with another head: what a repository of timm holds."""
    import timm

    theirs = timm.create_model("resnet18", num_classes=1000)
    save_file(theirs.state_dict(), cached(tmp_path, "timm/resnet18.a1_in1k", "model.safetensors"))
    torch.save(theirs.eval()(torch.ones(1, 3, 64, 64)), tmp_path / "y.pt")
    code = (
        "model = archdsl.load('resnet18', weights='timm/resnet18.a1_in1k').eval()\n"
        f"torch.testing.assert_close(model(torch.ones(1, 3, 64, 64)), torch.load({str(tmp_path / 'y.pt')!r}))\n"
        "print(archdsl.load('resnet18', classes=3, weights='timm/resnet18.a1_in1k').fc)"
    )
    said = loaded(tmp_path, code)
    assert "Linear(in_features=512, out_features=3" in said
    assert "timm/resnet18.a1_in1k: `fc` is new: the weights are for 1000 outputs" in said, said


def test_what_is_not_in_the_cache_and_cannot_be_had(tmp_path):
    said = loaded(tmp_path, "archdsl.load('lenet5', weights='timm/nothing.a1')")
    assert "WeightsError: timm/nothing.a1 is no file, and not to be had from the hub: " in said


def test_a_hub_that_is_not_installed_is_named(tmp_path):
    said = loaded(tmp_path, "import sys; sys.modules['huggingface_hub'] = None\narchdsl.load('lenet5', weights='a/b')")
    assert "weights of the hub, `a/b`, needs huggingface_hub" in said and 'pip install "archdsl[hub]"' in said


@pytest.mark.parametrize("given", ["a.pth", "folder/a.pth", "folder/a.safetensors", "a", "a/b/c", "/a/b", "../a/b.pt"])
def test_paths_are_no_repositories(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        archdsl.load("lenet5", weights=given)


def test_a_file_that_is_there_comes_before_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timm").mkdir()
    model = archdsl.load("lenet5")
    torch.save(model.state_dict(), "timm/lenet5")
    assert torch.equal(archdsl.load("lenet5", weights="timm/lenet5").c1.weight, model.c1.weight)
    assert REPOSITORY.fullmatch("timm/lenet5")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2"])
def test_torchvisions_weights(name, torchvision_models, monkeypatch):
    """The enumeration downloads a file, which here is a state dict of torchvision's own network."""
    from torchvision.models import _api

    theirs = getattr(torchvision_models, name)().eval()
    asked = []

    def download(url: str, **_: object) -> dict[str, torch.Tensor]:
        asked.append(url)
        return theirs.state_dict()

    monkeypatch.setattr(_api, "load_state_dict_from_url", download)
    weights = torchvision_models.get_model_weights(name).DEFAULT
    model = archdsl.load(name, weights=weights).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert asked == [weights.url]
    with pytest.warns(archdsl.WeightsWarning, match=f"{type(weights).__name__}.*is new: the weights are for 1000"):
        archdsl.load(name, classes=4, weights=weights)
    with pytest.raises(archdsl.WeightsError, match="does not fit"):
        archdsl.load("vgg11", weights=weights)
