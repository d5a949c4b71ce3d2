"""Weights by name: those of a repository of the Hugging Face hub, as timm has them, or of torchvision's `Weights`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from archdsl.diagnostics.extras import Needing
from archdsl.run.mistakes import WeightsError
from archdsl.run.weights import named, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    Weights = str | os.PathLike[str] | Mapping[str, Any]

FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository, in the order in which they are looked for
# `timm/resnet50.a1_in1k`, and after an @ a branch, a tag or a commit; files have one of the suffixes.
REPOSITORY = re.compile(r"(?:hf-hub:)?([\w.-]+/[\w.-]+?)(?:@([\w./-]+))?")
SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar")


def weights_of(given: Weights) -> tuple[str, dict[str, torch.Tensor]]:
    """Return the weights that are given, and what they are called in messages."""
    published = getattr(given, "get_state_dict", None)
    if published is not None:
        return str(given), named(published(progress=False, check_hash=True), str(given))
    if not isinstance(given, (str, os.PathLike)):
        return "the state dict", named(given, "the state dict")
    path = os.fspath(given)
    found = REPOSITORY.fullmatch(path)
    if found and isinstance(given, str) and not path.endswith(SUFFIXES) and not os.path.exists(path):
        return path, read(downloaded(found[1], found[2]))
    return path, read(path)


def downloaded(repository: str, revision: str | None = None) -> str:
    """Return the path of the weights of a repository, which are downloaded once: the hub's own cache keeps them."""
    with Needing(f"weights of the hub, `{repository}`,"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
    reason = ""
    for file in FILES:
        try:
            return hf_hub_download(repository, file, revision=revision)
        except (EntryNotFoundError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as problem:
            reason = " ".join(str(problem).split())
    raise WeightsError(f"{repository} is no file, and not to be had from the hub: {reason[:300]}")
