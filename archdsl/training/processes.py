"""One process, or several that `torchrun` has started, each with a part of every batch."""

from __future__ import annotations

import atexit
import os

import torch
from torch import distributed, nn

from archdsl.core.record import Record
from archdsl.run.mistakes import TrainingError


class Processes(Record):
    """Which process of how many this is, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def shared(self, model: nn.Module) -> nn.Module:
        """Return a module whose gradients are the mean of those of all processes."""
        if self.count == 1 or not any(p.requires_grad for p in model.parameters()):
            return model
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def of_the_first(self, model: nn.Module) -> None:
        """Give all processes the statistics of norms of the first: each has those of its own images."""
        if self.count > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            distributed.barrier()


def processes(device: str | torch.device | None = None) -> Processes:
    """Join the processes that `torchrun` has started: by NCCL on GPUs, one each, and by gloo on CPUs.

    They stay together until the process ends: joined a second time, gloo finds addresses of the first time.
    """
    rank, count, local = [int(os.environ.get(name, default)) for name, default in PLACES]
    chosen = _device(device, local, count)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        atexit.register(_left)
    return Processes(rank, count, chosen)


def _left() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


PLACES = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))  # of torchrun's environment


def _device(given: str | torch.device | None, local: int, count: int) -> torch.device:
    try:
        chosen = torch.device(given or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise TrainingError(f"`{given}` is no device of PyTorch") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError("PyTorch finds no GPU here")
    return torch.device("cuda", local) if chosen.type == "cuda" and count > 1 else chosen
