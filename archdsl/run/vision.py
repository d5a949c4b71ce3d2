"""torchvision, also where its wheel was built for another PyTorch: PyPI's is for CUDA, and a CPU's cannot load it.

Its import then looks for operators that only its binary defines. Their schemas are enough for it; no network and no
transform calls them.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from functools import cache

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)
BINARY = "_C.so"


@cache
def declared() -> object:
    """Declare the operators where they will be missing, for as long as the process lives."""
    if "torchvision" in sys.modules or _loads():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library


def _loads() -> bool:
    """Say whether torchvision is not there, or will find its operators: it tries this itself."""
    found = importlib.util.find_spec("torchvision")
    if found is None:
        return True
    path = os.path.join(*(found.submodule_search_locations or ()), BINARY)
    try:
        torch.ops.load_library(path)
    except OSError:
        return not os.path.exists(path)  # on other systems it has another name, and PyPI's is for CPUs
    return True
