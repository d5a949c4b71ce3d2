"""Two trees of archdsl beside each other: whole processes and warm calls, their runs interleaved.

    python -m benchmarks.side_by_side OTHER [--runs N]       # OTHER is another checkout, of an earlier commit perhaps

Prints medians of processor time, which a busy machine disturbs less than the clock, and writes
`results/side_by_side.json`. What is measured is called by public names, so that any two commits can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "side_by_side.json"
MAIN = """
try:
    from archdsl.cli.main import main
except ImportError:  # one file, once
    from archdsl.cli import main
"""
WRONG = """
import os, tempfile
text = open("architectures/densenet121.arch", encoding="utf-8").read().replace("conv1: conv(", "conv1: conw(")
path = os.path.join(tempfile.mkdtemp(), "densenet121.arch")
open(path, "w", encoding="utf-8").write(text)
"""
PROCESSES = {
    "a bare start of Python": "pass",
    "check --shapes densenet121": MAIN + "main(['check', '--shapes', 'architectures/densenet121.arch'])",
    "the same with a misspelled operator": MAIN + WRONG + "main(['check', '--shapes', path])",
    "list": MAIN + "main(['list'])",
}
TIMED = "import contextlib, glob, io, statistics, time\n" + MAIN
WARM = {
    "the gallery in one process, s": TIMED
    + """
files, took = sorted(glob.glob("architectures/*.arch")), []
for _ in range(4):
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        main(["check", *files])
    took.append(time.process_time() - start)
print(min(took))
""",
    "DenseNet-121 again, one definition changed, ms": TIMED
    + """
from archdsl.compiler import compile_text
text, took = open("architectures/densenet121.arch", encoding="utf-8").read(), []
text = text.replace("net densenet121 =", "net last =") + "net densenet121 = densenet([6, 12, 24, 16])\\n"
for i in range(30):
    changed = text.replace("x.channels // 2", f"x.channels // 2 + {i} - {i}")
    start = time.process_time()
    try:
        compile_text(changed, net="densenet121")
    except TypeError:
        from archdsl.compiler import Request
        compile_text(changed, Request("densenet121"))
    took.append(time.process_time() - start)
print(1e3 * statistics.median(took))
""",
    "a point of a sweep of MobileNet v2, ms": TIMED
    + """
import archdsl
from archdsl import Range
archdsl.sweep("mobilenet_v2", width=Range(0.25, 2.0), sample=60)
start = time.process_time()
archdsl.sweep("mobilenet_v2", width=Range(0.25, 2.0), sample=400, seed=1)
print(1e3 * (time.process_time() - start) / 400)
""",
}


def measure(script: str, tree: Path, warm: bool) -> float:
    """Return what a script prints, or the processor time of its process in milliseconds."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": str(tree)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", script], cwd=tree, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if warm:
        return float(done.stdout.strip().split("\n")[-1])
    return 1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def run(trees: dict[str, Path], runs: int) -> dict[str, dict[str, float]]:
    """Return medians by what is measured and by tree; a first run of each warms the caches."""
    rows = {}
    for name, script in {**PROCESSES, **WARM}.items():
        warm, count = name in WARM, 3 if name in WARM else runs
        taken: dict[str, list[float]] = {tree: [] for tree in trees}
        for number in range(count + 1):
            for tree, path in trees.items():
                took = measure(script, path, warm)
                if number:
                    taken[tree].append(took)
        label = name if warm else f"{name}, a whole process, ms"
        rows[label] = {tree: round(statistics.median(values), 3) for tree, values in taken.items()}
        print(label, rows[label], flush=True)
    return rows


def commit(tree: Path) -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=tree, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("other", type=Path, help="another checkout")
    parser.add_argument("--runs", type=int, default=15, help="of each whole process")
    options = parser.parse_args()
    trees = {"this": ROOT, "other": options.other.resolve()}
    commits = {name: commit(path) for name, path in trees.items()}
    record = {"what": "medians of processor time", "commits": commits, "rows": run(trees, options.runs)}
    RESULTS.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
