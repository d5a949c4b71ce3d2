"""Real images in seconds: scikit-learn's digits, 8x8 pixels, and networks that are trained on them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

TRAINED_ON = 1200  # of 1,797; the others are to test on


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images, [1797, 1, 8, 8], from 0 to 1, and what they are."""
    found = load_digits()
    return torch.tensor(found.images, dtype=torch.float32)[:, None] / 16, torch.tensor(found.target)


def train(model: nn.Module, steps: int, rate: float = 0.01, after: Callable[[], object] = lambda: None) -> nn.Module:
    """Train a network on the digits, and call something `after` each step; returns it in evaluation."""
    x, y = digits()
    source = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.train().parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        at = torch.randint(TRAINED_ON, (128,), generator=source)
        optimizer.zero_grad()
        F.cross_entropy(model(x[at]), y[at]).backward()
        optimizer.step()
        schedule.step()
        after()
    return model.eval()


@torch.no_grad()
def accuracy(run: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Return the share of the images to test on that are recognized."""
    x, y = digits()
    return float(run(x[TRAINED_ON:]).argmax(1).eq(y[TRAINED_ON:]).float().mean())
