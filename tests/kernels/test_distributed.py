"""Layers of `archdsl.kernels` under DistributedDataParallel: two processes on a CPU, gloo between them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from archdsl import loads

TEXT = """
net tiny(classes=4):
    input image: [N, 2, H=8, W=8]
    [conv(8, 3), relu, depthwise(3, stride=2), relu, shuffle(2), depthwise(5, init=normal(0.3)), conv(8, 1)]
    relu -> global_avgpool -> flatten -> head: linear(classes)
"""

STEPS = 3


def model() -> nn.Module:
    torch.manual_seed(0)
    return loads(TEXT, kernels="all")


def trained(run: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(run.parameters(), 0.1, momentum=0.9)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(run(images), targets).backward()
        optimizer.step()


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 2, 8, 8, generator=generator), torch.randint(4, (8,), generator=generator)


def work(rank: int, folder: str) -> None:
    """Train on half of the images, and leave the weights in a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    net = model()
    images, targets = data()
    mine = slice(4 * rank, 4 * rank + 4)
    trained(nn.parallel.DistributedDataParallel(net), images[mine], targets[mine])
    torch.save(net.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_distributed as t; t.work(int(sys.argv[2]), sys.argv[3])"
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    running = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    alone, start = model(), model()
    trained(alone, *data())
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, expected in alone.state_dict().items():
            torch.testing.assert_close(found[name], expected, msg=name)
            assert not torch.equal(expected, start.state_dict()[name]), f"{name} was not trained"
