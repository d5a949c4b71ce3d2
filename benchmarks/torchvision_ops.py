"""Operators that torchvision's wheel lacks beside a CPU torch: its import looks for them, and no network calls them."""

from __future__ import annotations

import sys

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)


def declared() -> object:
    """Declare them, once in a process; they are there for as long as what is returned is kept."""
    import torch

    if "torchvision" in sys.modules:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library
