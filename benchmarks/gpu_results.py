"""What a run of `benchmarks.gpu` says: lines for its summary, the table that decides, and the page.

    python -m benchmarks.gpu_results    # results/gpu-*.jsonl to codegen/measured.csv and the tables of docs/kernels.md

The table that decides comes from the last run alone, whose kernels are those of today; the page tells of all runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archdsl.codegen.measured import FILE, LEAST, Measurement
from benchmarks.layers import Layer
from benchmarks.measure import RESULTS, ROOT, table
from benchmarks.plot import bars

PAGE = ROOT / "docs" / "kernels.md"
NAMES = {  # of the ways of a network, as the page calls them
    "eager": "eager", "fx": "torch.fx fuse",
    "eager, graph": "eager, CUDA graph", "fx, graph": "torch.fx fuse, CUDA graph",
    "max-autotune, frozen": "torch.compile, max-autotune, frozen", "none": "archdsl.optimize, cuDNN alone",
    "auto": "archdsl.optimize, by default", "all": "archdsl.optimize, every kernel",
}  # fmt: skip

Result = dict[str, Any]


def read(path: Path) -> list[Result]:
    """Read the results of a run."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


# -------------------------------------------------------------------------------------------------- layers
def best_tile(result: Result) -> float | None:
    """Return the microseconds of the fastest tile that was tried."""
    return min((time for time in result["tiles"].values() if time), default=None)


def alternative(times: dict[str, float | None], operation: str) -> float | None:
    """Return the microseconds of what runs where the kernel is not taken; of two joined convolutions the better way."""
    ways = ("library", "two kernels") if operation == "separable" else ("library",)
    return min((time for way in ways if (time := times.get(way))), default=None)


def groups(results: list[Result]) -> dict[tuple[str, int], list[Result]]:
    """Return the layers that ran, by operation and batch."""
    found: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        if result["kind"] == "layer" and all(result["microseconds"].get(way) for way in ("eager", "library", "ours")):
            found.setdefault((result["layer"][0], result["batch"]), []).append(result)
    return found


class Share:
    """What the layers of one operation reach, as geometric means."""

    def __init__(self, operation: str, found: list[Result]) -> None:
        times = [result["microseconds"] for result in found]
        self.count = len(found)
        self.floor = geometric_mean(r["floor"] / t["ours"] for r, t in zip(found, times))
        self.eager = geometric_mean(t["eager"] / t["ours"] for t in times)
        others = [(alternative(t, operation) or math.nan) / t["ours"] for t in times]
        self.other, self.least, self.most = geometric_mean(others), min(others), max(others)
        tuned = [best / t["ours"] for r, t in zip(found, times) if (best := best_tile(r))]
        self.tuned = geometric_mean(tuned)


def shares(results: list[Result]) -> list[str]:
    """Return a line for each operation."""
    lines = []
    for (operation, batch), found in groups(results).items():
        s = Share(operation, found)
        lines.append(
            f"{operation} x{batch}: {s.count} layers, {s.floor:.0%} of the floor, {s.eager:.2f} times eager, "
            f"{s.other:.2f} times the alternative ({s.least:.2f} to {s.most:.2f}), best tiles take {s.tuned:.2f}"
        )
    return lines


def rows_of(results: list[Result], capability: str = "9.0", bits: int = 16) -> list[tuple[Any, ...]]:
    """Return the rows that results make in the table that decides, as values in the order of `Measurement`.

    A step of training is not a layer: gradients make no rows, only a measured step does, which none has won yet.
    """
    found = []
    for (operation, batch), layers in groups(results).items():
        for result in layers if operation != "gradients" else ():
            layer, times = Layer(*result["layer"]), result["microseconds"]
            other = alternative(times, operation)
            if other:
                row = (operation, *layer[1:6], batch, bits, round(other / times["ours"], 2), capability)
                found.append(row)
    for result in results:  # of a whole network, for that is what it changes
        times = result.get("milliseconds", {})
        if result["kind"] == "network" and "scatter" in times and result["network"].startswith("shufflenet_v2"):
            ratio = round(times["auto"] / times["scatter"], 2)
            found.append(("scatter", 1, 1, 0, 0, 224, result["batch"], bits, ratio, capability))
    return list(dict.fromkeys(found))


# -------------------------------------------------------------------------------------------------- page
def machine(results: list[Result]) -> str:
    """Return on what a run was, and of which commit."""
    found = next(result for result in results if result["kind"] == "machine")
    return f"{found['device'].removeprefix('NVIDIA ').split()[0]}, {found['commit']}"


def speeds(results: list[Result]) -> dict[tuple[str, int], dict[str, float]]:
    """Return images a second of each way of each network; what decides by itself, only where something was adopted."""
    adopted = any(result["kind"] == "adopted" for result in results)
    found: dict[tuple[str, int], dict[str, float]] = {}
    for result in results:
        if result["kind"] == "network":
            ways = result["milliseconds"].items()
            mine = {way: result["batch"] * 1e3 / ms for way, ms in ways if way in NAMES and (adopted or way != "auto")}
            found.setdefault((result["network"], result["batch"]), {}).update(mine)
    return found


def network_lines(runs: list[list[Result]]) -> list[str]:
    """Return the table of networks."""
    lines = [
        "| GPU, commit | network, images | way | images a second | times eager |",
        "| --- | --- | --- | --- | --- |",
    ]
    for results in runs:
        for (name, batch), ways in speeds(results).items():
            for way in (way for way in NAMES if way in ways):
                times = ways[way] / ways["eager"]
                lines.append(
                    f"| {machine(results)} | {name}, {batch} | {NAMES[way]} | {ways[way]:,.0f} | {times:.2f} |"
                )
    return lines


def layer_lines(results: list[Result]) -> list[str]:
    """Return the table of layers."""
    lines = [
        "| operation | images | layers | share of the floor | times PyTorch's steps | times what runs in its place |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (operation, batch), found in groups(results).items():
        s = Share(operation, found)
        spread = f"{s.other:.2f} ({s.least:.2f} to {s.most:.2f})"
        lines.append(f"| {operation} | {batch} | {s.count} | {s.floor:.0%} | {s.eager:.2f} | {spread} |")
    return lines


def caption(results: list[Result]) -> list[str]:
    """Return the line that stands above a table."""
    found = next(result for result in results if result["kind"] == "machine")
    ceilings = next(result for result in results if result["kind"] == "ceilings")
    versions = found["versions"]
    return [
        f"{machine(results)}, torch {versions['torch']}, Triton {versions['triton']}, bfloat16; a copy moves "
        f"{ceilings['bandwidth'] / 1e12:.2f} TB/s, a product of 8192 x 8192 runs at {ceilings['product'] / 1e12:.0f} "
        "TFLOP/s:",
        "",
    ]


def page(runs: list[list[Result]]) -> None:
    """Write the tables and the plot of the page."""
    panels = {
        f"{name}, {machine(results).split(',')[0]}": {NAMES[way]: ways[way] for way in NAMES if way in ways}
        for results in runs
        for (name, batch), ways in speeds(results).items()
        if batch > 1
    }
    bars(PAGE.parent / "networks-cuda.svg", panels, "images a second")
    picture = "![Images a second of each way, network by network](networks-cuda.svg)"
    table(PAGE, "networks-cuda", [picture, "", *network_lines(runs)])
    table(PAGE, "kernels-cuda", [*caption(runs[-1]), *layer_lines(runs[-1])])


def write(results: list[Result]) -> int:
    """Write the table that decides; returns how many rows it has."""
    rows = rows_of(results)
    lines = [",".join(Measurement.fields), *(",".join(map(str, row)) for row in rows)]
    Path(FILE).write_text("\n".join(lines) + "\n")
    return len(rows)


RUNS = ("gpu-h100", "gpu-h200-tiles", "gpu-h200")  # in the order of their commits


def main() -> None:
    runs = [read(RESULTS / f"{name}.jsonl") for name in RUNS]
    wins = sum(row[8] >= LEAST for row in rows_of(runs[-1]))
    print(f"{write(runs[-1])} rows, of which {wins} win")
    page(runs)


if __name__ == "__main__":
    main()
