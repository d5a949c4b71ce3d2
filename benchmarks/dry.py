"""Launches without a GPU: Triton's own JIT and compiler for a compute capability, and a driver that starts nothing.

    with dry() as log:
        depthwise_conv2d(x, weight)  # on CPU tensors: goes the way of a GPU's, and leaves its result unwritten
    log.launches    # [("depthwise_fwd_kernel", 392)], names and programs
    log.compiled    # ["depthwise_fwd_kernel"], what was compiled anew

Shows what a launcher compiles and starts, how often, and how long it takes to get there. Compiled kernels go into
Triton's cache as usual: a GPU machine with the same Triton finds them there, if the cache has the same path.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from archdsl.kernels import available
from triton.backends.compiler import GPUTarget
from triton.runtime import driver as active
from triton.runtime.jit import JITFunction

HOPPER = 90
LIMITS = {  # of an H100
    "max_shared_mem": 232448, "max_num_regs": 65536, "multiprocessor_count": 132, "warpSize": 32,
    "sm_clock_rate": 1980000, "mem_clock_rate": 2619000, "mem_bus_width": 5120,
}  # fmt: skip


class Log(NamedTuple):
    """What happened: kernels that were started, with their programs, and kernels that were compiled."""

    launches: list[tuple[str, int]]
    compiled: list[str]


class Loader:
    """Knows the limits of a device and loads nothing onto it."""

    def get_device_properties(self, device: int) -> dict[str, int]:
        return LIMITS

    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[object, ...]:
        return object(), 1, 0, 0, 1024  # module, function, registers, spills, threads at most


class Driver:
    """Stands in for Triton's driver of NVIDIA GPUs."""

    def __init__(self, arch: int, log: Log) -> None:
        self.arch, self.utils = arch, Loader()

        class Launcher:
            def __init__(self, source: object, metadata: Any) -> None:
                self.name = metadata.name

            def __call__(self, programs: int, *rest: object) -> None:
                log.launches.append((self.name, programs))

        self.launcher_cls = Launcher

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.arch, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")


@contextmanager
def dry(arch: int = HOPPER) -> Iterator[Log]:
    """Let kernels take CPU tensors, compile as for a GPU and not run, for as long as the context lasts."""
    log = Log([], [])
    compile_one, interpreted, driver = JITFunction._do_compile, available.interpreted, active._active

    def noted(self: Any, *arguments: Any) -> Any:
        log.compiled.append(self.fn.__name__)
        return compile_one(self, *arguments)

    JITFunction._do_compile = noted
    available.interpreted = lambda: True  # asked where tensors are on a CPU; what kernels are told of it stays False
    active.set_active(Driver(arch, log))
    try:
        yield log
    finally:
        JITFunction._do_compile, available.interpreted = compile_one, interpreted
        active._active = driver


def forget(*kernels: Any) -> None:
    """Drop what was compiled in this process, so that the next launch compiles, or reads the cache."""
    for kernel in kernels:
        kernel.device_caches.clear()
