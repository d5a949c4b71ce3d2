"""What results of `benchmarks.gpu` say: shares of the floor, and the rows of the table that decides."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archdsl.measured import Measurement
from benchmarks.layers import Layer

Result = dict[str, Any]


def read(path: Path) -> list[Result]:
    """Read the results of a run."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def best_tile(result: Result) -> tuple[str, float] | None:
    """Return the fastest tile that was tried, and its microseconds."""
    right = {tile: time for tile, time in result["tiles"].items() if time}
    return min(right.items(), key=lambda pair: pair[1]) if right else None


def alternative(times: dict[str, float | None], operation: str) -> float | None:
    """Return the microseconds of what runs where the kernel is not taken; of two joined convolutions the better way."""
    ways = ("library", "two kernels") if operation == "separable" else ("library",)
    return min((time for way in ways if (time := times.get(way))), default=None)


def shares(results: list[Result]) -> list[str]:
    """Return a line for each operation: its share of the floor, and how many times as fast it is as the others."""
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        if result["kind"] == "layer" and result["microseconds"].get("ours"):
            groups.setdefault((result["layer"][0], result["batch"]), []).append(result)
    lines = []
    for (operation, batch), found in groups.items():
        share = geometric_mean(r["floor"] / r["microseconds"]["ours"] for r in found)
        eager = geometric_mean(r["microseconds"]["eager"] / r["microseconds"]["ours"] for r in found if r["microseconds"]["eager"])
        others = [alternative(r["microseconds"], operation) / r["microseconds"]["ours"] for r in found]
        tuned = [best[1] / r["microseconds"]["ours"] for r in found if (best := best_tile(r))]
        lines.append(
            f"{operation} x{batch}: {len(found)} layers, {share:.0%} of the floor, {eager:.2f} times eager, "
            f"{geometric_mean(others):.2f} times the alternative (least {min(others):.2f}), "
            f"best tiles take {geometric_mean(tuned):.2f} of the time"
        )
    return lines


def rows_of(results: list[Result], capability: str = "9.0", bits: int = 16) -> list[tuple[Any, ...]]:
    """Return the rows that results make in the table that decides, as values in the order of `Measurement`."""
    found = []
    for result in results:
        if result["kind"] != "layer":
            continue
        layer, times = Layer(*result["layer"]), result["microseconds"]
        ours, other = times.get("ours"), alternative(times, layer.operation)
        if ours and other:
            operation = "training" if layer.operation == "gradients" else layer.operation
            values = (operation, *layer[1:6], result["batch"], bits, round(other / ours, 2), capability)
            found.append(Measurement(*values))
    return [tuple(getattr(row, field) for field in Measurement.fields) for row in found]
