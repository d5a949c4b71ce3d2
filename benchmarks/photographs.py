"""Real images to train and to measure on, where no data set is at hand: patches of ten photographs of two packages.

    x, y = patches("train", 64, 640)      # [640, 3, 64, 64], normalized as for ImageNet, and which photograph, 0 to 9

Which photograph a patch is of is a task with meaning, and a random network fails it. Patches to train on are from the
left six tenths of a photograph, those to test on from the right three; between them a tenth is of neither.
"""

from __future__ import annotations

import functools
import os

import numpy
import skimage
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn

import archdsl

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OF_SKIMAGE = (
    "astronaut.png chelsea.png coffee.png hubble_deep_field.jpg ihc.png motorcycle_left.png retina.jpg rocket.jpg"
)
SIDES = {"train": (0.0, 0.6), "test": (0.7, 1.0)}


@functools.cache
def photographs() -> tuple[torch.Tensor, ...]:
    """Return the photographs, [3, H, W] each, from 0 to 1."""
    folder = os.path.join(os.path.dirname(skimage.__file__), "data")
    found = [numpy.asarray(Image.open(os.path.join(folder, name)).convert("RGB")) for name in OF_SKIMAGE.split()]
    found += load_sample_images().images
    return tuple(torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255 for image in found)


def patches(side: str, size: int, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return patches of one to two times a size, brought to it and mirrored by chance, and their photographs."""
    source = torch.Generator().manual_seed(seed)
    all_of_them, xs, ys = photographs(), [], []
    for number in range(count):
        image = all_of_them[number % len(all_of_them)]
        low, high = [int(part * image.shape[2]) for part in SIDES[side]]
        most = min(2 * size, image.shape[1], high - low)
        edge = int(torch.randint(min(size, most), most + 1, (), generator=source))
        top = int(torch.randint(image.shape[1] - edge + 1, (), generator=source))
        left = low + int(torch.randint(high - low - edge + 1, (), generator=source))
        patch = image[None, :, top : top + edge, left : left + edge]
        patch = F.interpolate(patch, (size, size), mode="bilinear", antialias=True, align_corners=False)
        xs.append(patch.flip(-1) if torch.rand((), generator=source) < 0.5 else patch)
        ys.append(number % len(all_of_them))
    mean, std = [torch.tensor(one).view(1, 3, 1, 1) for one in (MEAN, STD)]
    return (torch.cat(xs) - mean) / std, torch.tensor(ys)


def trained(name: str, size: int = 64, steps: int = 300, batch: int = 32, rate: float = 0.002) -> nn.Module:
    """Return a bundled network for ten classes, trained on the photographs, in evaluation."""
    torch.manual_seed(0)
    model = archdsl.load(name, classes=10)
    x, y = patches("train", size, 2000)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        at = torch.randint(len(x), (batch,))
        optimizer.zero_grad()
        F.cross_entropy(model(x[at]), y[at]).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(run, x: torch.Tensor, y: torch.Tensor, batch: int = 50) -> float:
    """Return the share of images that are recognized."""
    return float(torch.cat([run(part).argmax(1) for part in x.split(batch)]).eq(y).float().mean())
