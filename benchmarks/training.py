"""What networks learn by the recipes of the package, of real images that are held out, and how long that takes.

    python -m benchmarks.training                        # both data sets, three seeds each: half an hour of a core
    python -m benchmarks.training digits --seeds 0

Each run is the command that its row gives, in a process of its own on one thread. The accuracy is that after the last
epoch: the best of all epochs would be chosen by the images that it is measured on. Writes `results/training.json` and
the table of `docs/training.md`.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT, about, table, write

PAGE = ROOT / "docs" / "training.md"
LINES = {  # data set -> what is trained on it
    "digits": "train benchmarks/digits.arch --data digits --recipe digits",
    "photographs": "train resnet20_cifar --data photographs --recipe photographs",
}


def trained(line: str, seed: int) -> dict:
    """Run a command, and return what it has reached."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*line.split(), "--change", f"seed={seed}", "-o", folder]
        start = time.perf_counter()
        one = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "archdsl", *words], cwd=ROOT, env=one, check=True, capture_output=True)
        seconds = time.perf_counter() - start
        rows = list(csv.DictReader(Path(folder, "log.csv").read_text().splitlines()))
    last, best = rows[-1], max(rows, key=lambda row: float(row["accuracy"]))
    return {
        "seed": seed,
        "accuracy": round(float(last["accuracy"]), 5),
        "held_out_loss": round(float(last["held_out_loss"]), 4),
        "best": {"epoch": int(best["epoch"]), "accuracy": round(float(best["accuracy"]), 5)},
        "epochs": len(rows),
        "seconds": round(seconds, 1),
        "curve": [round(float(row["accuracy"]), 4) for row in rows],
    }


def reached(name: str, seeds: list[int]) -> dict:
    """Return what all seeds have reached."""
    runs = [trained(LINES[name], seed) for seed in seeds]
    median = statistics.median(run["accuracy"] for run in runs)
    return {"data": name, "command": f"archdsl {LINES[name]}", "accuracy": median, "runs": runs}


def row(result: dict) -> str:
    """Return a row of the table."""
    each = ", ".join(f"{run['accuracy']:.2%}" for run in result["runs"])
    seconds = statistics.median(run["seconds"] for run in result["runs"])
    epochs = result["runs"][0]["epochs"]
    return f"| `{result['command']}` | {epochs} | {each} | {result['accuracy']:.2%} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=list(LINES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    record = about("cpu") | {"threads": 1, "load": round(os.getloadavg()[0], 1)}
    record["results"] = [reached(name, options.seeds) for name in options.data]
    print("wrote", write("training", record))
    lines = [f"{record['device']}, one thread, {record['load']:.0f} programs beside it, by seed:", ""]
    lines += ["| command | epochs | held out, right | median | seconds |", "| --- | --- | --- | --- | --- |"]
    lines += [row(result) for result in record["results"]]
    table(PAGE, "training", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
