"""Seconds that `archdsl.optimize` takes with the first call of its result: one image, float32, one thread of a CPU.

    python -m benchmarks.preparation              # the networks of `benchmarks.networks`
    python -m benchmarks.preparation vgg16        # others

Each run is a process of its own, in which nothing is warm but the imports; wall time and processor time of it. Writes
`results/preparation.json` and the table of `docs/kernels.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch

import archdsl
from benchmarks.measure import about, table, write
from benchmarks.networks import NETS, PAGE, network

CODE = "import sys; from benchmarks.preparation import prepared; prepared(sys.argv[1])"


def prepared(name: str) -> None:
    """Prepare a network and print the seconds: wall time and processor time of `optimize` and the first call."""
    torch.set_num_threads(1)
    model, x = network(name), torch.randn(1, 3, 224, 224)
    wall, processor = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        optimized = archdsl.optimize(model)
        optimized(x)
    found = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    print(json.dumps(found))


def measured(name: str, runs: int) -> dict:
    """Measure one network in several processes."""
    command = [sys.executable, "-c", CODE, name]
    found = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(runs)]
    result: dict = {"network": name, "runs": runs}
    for clock in ("wall", "processor"):
        seconds = sorted(run[clock] for run in found)
        result[clock] = {"median": round(statistics.median(seconds), 3), "max": round(seconds[-1], 3)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    record = about("cpu") | {"load": round(load, 1), "results": [measured(n, options.runs) for n in options.nets]}
    print("wrote", write("preparation", record))
    lines = [f"{record['device']}, one thread, {load:.1f} programs running beside it at the start:", ""]
    lines += ["| network | wall time, s, median (most) | processor time, s |", "| --- | --- | --- |"]
    for result in record["results"]:
        wall, processor = result["wall"], result["processor"]
        lines.append(
            f"| {result['network']} | {wall['median']:.2f} ({wall['max']:.2f}) "
            f"| {processor['median']:.2f} ({processor['max']:.2f}) |"
        )
    table(PAGE, "preparation", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
