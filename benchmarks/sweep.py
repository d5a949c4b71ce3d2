"""`archdsl sweep` beside the counters that build the model: one MobileNet v2 configuration each, in one run.

In one process and interleaved, since a machine whose speed drifts drifts for all. `python -m benchmarks.sweep
[--runs N] [--search POINTS]`; needs the `bench` extra. Writes `results/sweep.json`.

    grid     widths × input sizes, as in the command: a size is an evaluation of the width's closed form
    widths   widths at random, each its own network: what distinct settings have in common is elaborated once
    cold     one configuration in a fresh process state, nothing remembered
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

from benchmarks import torchvision_ops

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "sweep.json"
PAGE = ROOT / "docs" / "cost.md"


def peers() -> dict:
    """Return the counters: each builds torchvision's network at a width and counts it."""
    import torch

    kept = torchvision_ops.declared()
    import torchvision.models
    from fvcore.nn import FlopCountAnalysis
    from torch.utils.flop_counter import FlopCounterMode
    from torchinfo import summary

    def build(width: float) -> torch.nn.Module:
        return torchvision.models.mobilenet_v2(weights=None, width_mult=width).eval()

    def torch_meta(width: float) -> int:
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
            build(width)(torch.empty(1, 3, 224, 224))
        return counter.get_total_flops() // 2

    def torchinfo_meta(width: float) -> int:
        with torch.device("meta"):
            return int(summary(build(width), (1, 3, 224, 224), device="meta", verbose=0).total_mult_adds)

    def fvcore(width: float) -> int:
        analysis = FlopCountAnalysis(build(width), torch.zeros(1, 3, 224, 224))
        return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())

    peers.library = kept  # type: ignore[attr-defined]  # it must live as long as its operators
    return {"torch, meta": torch_meta, "torchinfo, meta": torchinfo_meta, "fvcore": fvcore}


def once(call, *arguments) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def ours() -> dict:
    """Return what is timed here: each call takes a seed and returns seconds per configuration."""
    from archdsl import Range
    from archdsl.analysis.forms import closed
    from archdsl.compiler import Request, compiled
    from archdsl.explore.sweep import Evaluation, Space, sweep

    def grid(seed: int) -> float:
        rng = random.Random(seed)
        widths = [rng.uniform(0.25, 2.0) for _ in range(16)]
        sizes = [((1, 3, r, r),) for r in range(96, 337, 16)]
        return once(lambda: sweep("mobilenet_v2", width=widths, sizes=sizes)) / (len(widths) * len(sizes))

    warm = Evaluation("mobilenet_v2", None)
    for point in map(Space((("width", Range(0.25, 2.0)),), 400, -1).point, range(400)):
        warm.outcome(point, ("params", "macs"))

    def widths(seed: int) -> float:
        space = Space((("width", Range(0.25, 2.0)),), 64, seed)
        return once(lambda: [warm.outcome(space.point(i), ("params", "macs")) for i in range(64)]) / 64

    def cold(seed: int) -> float:
        width = random.Random(seed).uniform(0.25, 2.0)
        return once(lambda: closed(compiled("mobilenet_v2", Request(params={"width": width})).network).macs.at({}))

    return {"archdsl, grid": grid, "archdsl, widths": widths, "archdsl, cold": cold}


def agree(tools: dict) -> None:
    """Check that everybody counts the same network."""
    import archdsl

    for width in (0.5, 1.0, 1.4):
        assert tools["torch, meta"](width) == archdsl.check("mobilenet_v2", width=width).macs, width


def run(runs: int) -> dict:
    warnings.filterwarnings("ignore")
    tools = peers()
    agree(tools)
    mine = ours()
    gc.collect()
    gc.freeze()  # as the command line does: what was imported is no garbage
    samples: dict[str, list[float]] = {name: [] for name in (*mine, *tools)}
    for number in range(runs + 1):
        found = {name: call(number) for name, call in mine.items()}
        found |= {name: once(call, 0.5 + number / 16) for name, call in tools.items()}
        for name, seconds in found.items():
            samples[name] += [seconds] if number else []
    rows = {
        name: {
            "milliseconds_median": round(statistics.median(found) * 1e3, 4),
            "milliseconds_min": round(min(found) * 1e3, 4),
            "milliseconds_max": round(max(found) * 1e3, 4),
        }
        for name, found in samples.items()
    }
    fastest = min(rows[name]["milliseconds_median"] for name in tools)
    return {
        "what": "one configuration of MobileNet v2: parameters and MACs",
        "runs": runs,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {n: version(n) for n in ("archdsl", "torch", "torchvision", "torchinfo", "fvcore")},
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "rows": rows,
        "times_faster_than_the_fastest_peer": {
            name: round(fastest / rows[name]["milliseconds_median"], 1) for name in mine
        },
    }


def search(points: int) -> dict:
    """Time a whole search as a user runs it, with two processes, and its peak memory."""
    command = [
        sys.executable,
        "-m",
        "archdsl",
        "search",
        "mobilenet_v2",
        "--set",
        "width=0.25..2.0",
        "--sample",
        str(points),
    ]
    command += ["--input", ",".join(f"1x3x{r}x{r}" for r in range(96, 337, 16)), "--jobs", "2"]
    command += ["--budget", "macs <= 400M", "--maximize", "params"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start = time.perf_counter()
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {
        "points": points,
        "processes": 2,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mib_of_a_process": round(max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024, 1),
        "output": out.strip().split("\n"),
    }


def table(result: dict) -> str:
    """Return the figures as Markdown."""
    lines = ["| | milliseconds, median (min to max) | times the fastest counter |", "| --- | --- | --- |"]
    for name, row in result["rows"].items():
        spread = f"{row['milliseconds_median']:.2f} ({row['milliseconds_min']:.2f} to {row['milliseconds_max']:.2f})"
        factor = result["times_faster_than_the_fastest_peer"].get(name)
        lines.append(f"| {name} | {spread} | {f'{factor:.0f}' if factor else ''} |")
    found = result.get("search")
    if found:
        text = (
            f"A search of {found['points']:,} settings took {found['seconds']:.0f} s in {found['processes']} processes"
        )
        lines += ["", f"{text}, of at most {found['peak_mib_of_a_process']:.0f} MiB each."]
    return "\n".join(lines)


def main() -> None:
    from benchmarks.measure import table as put  # imports torch, which the processes that are measured must not

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--search", type=int, default=0, metavar="POINTS", help="time a search of so many points too")
    options = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.search:
        result["search"] = search(options.search)
    result |= run(options.runs)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    put(PAGE, "sweep", table(result).split("\n"))
    print(table(result))


if __name__ == "__main__":
    main()
