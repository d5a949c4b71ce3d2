"""`archdsl check --shapes densenet121` beside the counters people use: torchinfo, fvcore and ptflops.

Whole processes, from start to exit, because that is what a user waits for. The runs are interleaved and medians are
quoted, so that a machine whose speed drifts drifts for all of them. `python -m benchmarks.check [--runs N]`; needs the
`bench` extra. Writes `results/check.json` and the table in `docs/performance.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "check.json"
PAGE = ROOT / "docs" / "performance.md"

# torchvision's wheel beside a CPU torch: its import looks for these operators, which no network here calls.
PREAMBLE = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
               "int sampling_ratio, bool aligned) -> Tensor")
import torchvision
model = torchvision.models.densenet121(weights=None).eval()
"""
PEERS = {
    "torchinfo": "from torchinfo import summary\nprint(summary(model, (1, 3, 224, 224), depth=9, verbose=0))",
    "fvcore": (
        "from fvcore.nn import FlopCountAnalysis, flop_count_table\n"
        "print(flop_count_table(FlopCountAnalysis(model, torch.zeros(1, 3, 224, 224)), max_depth=9))"
    ),
    "ptflops": (
        "from ptflops import get_model_complexity_info\n"
        "print(get_model_complexity_info(model, (3, 224, 224), print_per_layer_stat=True))"
    ),
}


def commands() -> dict[str, list[str]]:
    """Return what is timed: archdsl as installed here, and each peer on torchvision's DenseNet-121."""
    script = str(Path(sys.executable).parent / "archdsl")
    ours = [script, "check", "--shapes", str(ROOT / "architectures" / "densenet121.arch")]
    return {"archdsl": ours} | {name: [sys.executable, "-c", PREAMBLE + code] for name, code in PEERS.items()}


# In the inner block of DenseNet-121, and after all of its layers.
MISTAKES = {
    "a misspelled operator": ("conv1: conv(", "conv1: conw("),
    "a missing arrow": ("global_avgpool -> flatten", "global_avgpool flatten"),
}


def wrong_file(folder: str, right: str, wrong: str) -> str:
    """Write DenseNet-121 with a mistake; returns the path."""
    text = (ROOT / "architectures" / "densenet121.arch").read_text(encoding="utf-8")
    assert text.count(right) == 1
    path = os.path.join(tempfile.mkdtemp(dir=folder), "densenet121.arch")
    Path(path).write_text(text.replace(right, wrong), encoding="utf-8")
    return path


def mistakes(runs: int) -> dict:
    """Measure files with a mistake beside the right one, interleaved."""
    with tempfile.TemporaryDirectory() as folder:
        right = commands()["archdsl"]
        files = {"right": (right, 0)}
        files |= {name: ([*right[:-1], wrong_file(folder, *edit)], 1) for name, edit in MISTAKES.items()}
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in files}
        for number in range(runs + 1):
            for name, (command, status) in files.items():
                sample = measure(command, status)
                if number:
                    samples[name].append(sample)
    return {"what": "the same check of files with a mistake", "runs": runs} | rows_of(samples)


def measure(command: list[str], status_wanted: int = 0) -> tuple[float, float]:
    """Run a process; returns its wall time in seconds and its peak memory in MiB."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != status_wanted:
        raise SystemExit(f"{command[0]} failed with status {process.returncode}")
    return elapsed, usage.ru_maxrss / 1024


def rows_of(samples: dict[str, list[tuple[float, float]]]) -> dict:
    """Return the figures of each."""
    return {
        name: {
            "seconds_median": round(statistics.median(s for s, _ in found), 4),
            "seconds_min": round(min(s for s, _ in found), 4),
            "seconds_max": round(max(s for s, _ in found), 4),
            "peak_mib": round(statistics.median(m for _, m in found), 1),
        }
        for name, found in samples.items()
    }


def run(runs: int) -> dict:
    """Measure everything, interleaved, after one run that warms the caches."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in commands()}
    for number in range(runs + 1):
        for name, command in commands().items():
            sample = measure(command)
            if number:
                samples[name].append(sample)
    rows = rows_of(samples)
    fastest = min(row["seconds_median"] for name, row in rows.items() if name != "archdsl")
    return {
        "what": "one whole process: layer table, parameters and MACs of DenseNet-121 at 224x224",
        "runs": runs,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {n: version(n) for n in ("archdsl", "torch", "torchvision", "torchinfo", "fvcore", "ptflops")},
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
        "rows": rows,
        "times_faster_than_the_fastest_peer": round(fastest / rows["archdsl"]["seconds_median"], 1),
        "a_mistake": mistakes(3 * runs),
    }


def table(result: dict) -> str:
    """Return the figures as Markdown."""
    lines = ["| tool | seconds, median (min to max) | peak memory |", "| --- | --- | --- |"]
    for name, row in result["rows"].items():
        spread = f"{row['seconds_median']:.3f} ({row['seconds_min']:.3f} to {row['seconds_max']:.3f})"
        lines.append(f"| {name} | {spread} | {row['peak_mib']:.0f} MiB |")
    factor = result["times_faster_than_the_fastest_peer"]
    wrong = result["a_mistake"]
    times = {name: wrong[name]["seconds_median"] / wrong["right"]["seconds_median"] for name in MISTAKES}
    lines += ["", f"{factor:.0f} times faster than the fastest peer, medians of {result['runs']} interleaved runs."]
    listed = ", ".join(f"{name} takes {factor:.2f}" for name, factor in times.items())
    lines += [f"Beside the right file, {listed} times as long, medians of {wrong['runs']} runs."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--mistake", action="store_true", help="measure the wrong file beside the right one only")
    options = parser.parse_args()
    if options.mistake:
        result = json.loads(RESULTS.read_text()) | {"a_mistake": mistakes(3 * options.runs)}
    else:
        result = run(options.runs)
    from benchmarks.measure import table as put  # imports torch: the memory of a new process starts from its parent's

    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    put(PAGE, "check", table(result).split("\n"))
    print(table(result))


if __name__ == "__main__":
    main()
