"""What the benchmarks share: interleaved medians, a check that refuses wrong results, where a record was made."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
Clock = Callable[[], float]
Run = Callable[[int], Any]  # takes the number of the call, so that it can rotate through its inputs
Way = Callable[[torch.Tensor], torch.Tensor]


class Wrong(Exception):
    """A way to compute something whose result is not the reference's: its speed is of no interest."""


def check(found: torch.Tensor, expected: torch.Tensor, tolerance: float, what: str) -> float:
    """Return the largest error relative to the largest value; raises `Wrong` where it is above the tolerance."""
    if found.shape != expected.shape or not bool(found.isfinite().all()):
        raise Wrong(f"{what}: {tuple(found.shape)}, finite: {bool(found.isfinite().all())}")
    error = float((found.double() - expected.double()).abs().max() / expected.double().abs().max())
    if error > tolerance:
        raise Wrong(f"{what}: an error of {error:.1e}, where {tolerance:.1e} is allowed")
    return error


def cpu_time(run: Run, number: int, clock: Clock = time.perf_counter) -> float:
    start = clock()
    run(number)
    return clock() - start


def interleaved(
    runs: dict[str, Run], rounds: int, *, warm: int = 3, clock: Clock = time.perf_counter
) -> dict[str, dict[str, float]]:
    """Time each way in turn, so that a machine whose speed drifts drifts for all; returns median, least and most.

    `clock` may be that of the process, which stands still while others have the processor.
    """
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + warm):
        for name, run in runs.items():
            seconds = cpu_time(run, number, clock)
            if number >= warm:
                samples[name].append(seconds)
    return {
        name: {"median": statistics.median(found), "min": min(found), "max": max(found)}
        for name, found in samples.items()
    }


def prepared(make: Callable[[], Way], x: torch.Tensor) -> tuple[Way, torch.Tensor, float]:
    """Prepare a way and call it once; returns it, its result and the seconds both took."""
    start = time.perf_counter()
    run = make()
    y = run(x)
    return run, y.clone(), time.perf_counter() - start


def rounds(ways: Iterable[Way], x: torch.Tensor, seconds: float, least: int, most: int) -> int:
    """Return how often ways can take turns in so many seconds of processor time."""
    start = time.process_time()
    for run in ways:
        run(x)
    return min(max(least, int(seconds / (time.process_time() - start))), most)


def in_milliseconds(times: dict[str, float]) -> dict[str, float]:
    """Return seconds as a record has them."""
    return {kind: round(seconds * 1e3, 3) for kind, seconds in times.items()}


def about(device: str) -> dict[str, Any]:
    """Return what a record says of where it was made."""
    versions = {}
    for name in ("archdsl", "torch", "triton", "torchvision"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    gpu = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    return {"device": gpu, "threads": torch.get_num_threads(), "versions": versions, "commit": commit()}


def commit() -> str:
    """Return the commit of the checkout; where there is none, or no git, what `ARCHDSL_COMMIT` says."""
    told = os.environ.get("ARCHDSL_COMMIT", "")
    if told or shutil.which("git") is None:
        return told
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def write(name: str, record: dict[str, Any]) -> Path:
    """Write a record to `results/`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def table(page: Path, mark: str, lines: list[str]) -> None:
    """Put lines between the marks `<!-- measured: MARK -->` and `<!-- end -->` of a page."""
    start = f"<!-- measured: {mark} -->"
    before, found, rest = page.read_text().partition(start)
    if not found:
        raise SystemExit(f"{page.name} has no place for {mark}")
    page.write_text(before + start + "\n" + "\n".join(lines) + "\n<!-- end -->" + rest.partition("<!-- end -->")[2])
