"""Small jobs that tests train, also in processes of their own: `python -m tests.training.jobs killed FOLDER NUMBER` is
killed by SIGKILL when the image of that number is asked for, or is sent another signal, `... FOLDER NUMBER SIGNAL`,
`... lines LINE LINE` runs lines of the command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import torch

import archdsl
from archdsl.cli.main import main
from archdsl.training.data import Data, digits
from archdsl.training.recipe import Recipe

# All that has a state, or chance, stands in it: norms, dropout, an auxiliary head.
NET = """
net everything(classes=10, norm=bn):
    input image: [N, 1, H=8, W=8]
    stem: [conv(8, 3), norm, relu, dropout(0.2)]
    early = x
    stage: [conv(16, 3, stride=2), norm, relu]
    output aux = early -> global_avgpool -> flatten -> side: linear(classes) when training
    global_avgpool -> flatten -> head: linear(classes)
"""
RECIPE = Recipe(
    epochs=4, batch=16, lr=3e-3, warmup=1.5, ema=0.9, mixup=0.2, cutmix=0.5, label_smoothing=0.1, clip=1.0, rotate=20.0,
    shift=0.2, policy="trivialaugment", erasing=0.5, weight_decay=0.05, stage_decay=0.8, seed=3,
)  # fmt: skip


class Deadly(Sequence[tuple[Any, int]]):
    """Images of which one sends a signal to the process that asks for it."""

    def __init__(self, pairs: Sequence[tuple[Any, int]], last: int, sent: int = signal.SIGKILL) -> None:
        self.pairs, self.left, self.sent = pairs, last, sent

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.sent)
        return self.pairs[index]


def few(count: int = 80) -> Data:
    """Return a few digits: five batches of `RECIPE` an epoch."""
    found = digits()
    return found.replace(train=found.train[:count], val=found.val[:40])


def trained(folder: object, data: Data | None = None, **more: Any) -> Any:
    """Train `NET` on a few digits."""
    torch.set_num_threads(1)
    path = f"{folder}.arch"
    with open(path, "w") as file:
        file.write(NET)
    return archdsl.train(path, data or few(), RECIPE, folder=str(folder), silent=True, **more)


if __name__ == "__main__":
    if sys.argv[1] == "lines":
        sys.exit(max([main(line.split()) for line in sys.argv[2:]]))
    whole, sent = few(), int((*sys.argv, signal.SIGKILL)[4])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where whoever started this ignores it
    before = signal.getsignal(sent)
    try:
        deadly = Deadly(whole.train, int(sys.argv[3]), sent)
        trained(sys.argv[2], whole.replace(train=deadly), save_every=2 if sent == signal.SIGKILL else 0, resume=True)
    except KeyboardInterrupt:
        print("ended,", "as before" if signal.getsignal(sent) is before else "with another handler")
