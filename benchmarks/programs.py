"""Well-formed programs at random, each run in every way there is: the record of how many, and of what differed.

    python -m benchmarks.programs [--count 2000] [--seed 0] [--minutes M]

A program is one seed (`tests/programs.py`); what is compared is in `tests/oracle.py`. The work is cut into parts of 50
seeds, each a process of its own; a part that is done is kept in `.programs/`, so that a run goes on where it stopped.
Every program is compared in its values; training, sizes and costs are compared in all, `--quick` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # the generator and the oracle, which the tests share

RESULT = ROOT / "benchmarks" / "results" / "programs.json"
PARTS = ROOT / ".programs"
SIZE = 50


def part(first: int, count: int, thorough: bool) -> dict[str, Any]:
    """Run the programs of some seeds in this process."""
    import torch
    from oracle import differences
    from programs import RUNS, program, used

    from archdsl.compiler import compile_text

    torch.set_num_threads(1)
    operators: Counter[str] = Counter()
    failures, lines, slowest = [], 0, 0.0
    for seed in range(first, first + count):
        text = program(seed)
        start = time.process_time()
        network = compile_text(text).network
        slowest = max(slowest, time.process_time() - start)
        operators.update(used(network))
        lines += text.count("\n")
        found = differences(text, seed, thorough)
        failures += [{"seed": seed, "difference": line} for line in found]
    return {
        "programs": count, "lines": lines, "operators": operators, "failures": failures, "seconds of a check": slowest,
        "refused": dict(RUNS),
    }  # fmt: skip


def summary(parts: list[dict[str, Any]], thorough: bool) -> dict[str, Any]:
    """Put the parts together."""
    operators: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for one in parts:
        operators.update(one["operators"])
        refused.update(one["refused"])
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "what": "programs at random, each interpreted, loaded, written and optimized"
        + (", trained, run at other sizes and counted" if thorough else ""),
        "commit": commit,
        "programs": sum(one["programs"] for one in parts),
        "lines": sum(one["lines"] for one in parts),
        "differences": [failure for one in parts for failure in one["failures"]],
        "slowest check, seconds": round(max(one["seconds of a check"] for one in parts), 3),
        "programs with an operator": dict(operators.most_common()),
        "candidates tried, and those refused by their code": dict(refused.most_common()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no part after so many")
    parser.add_argument("--quick", action="store_true", help="values alone")
    parser.add_argument("--part", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(*options.part, not options.quick)))
        return
    PARTS.mkdir(exist_ok=True)
    end, parts = time.monotonic() + 60 * options.minutes, []
    for first in range(options.seed, options.seed + options.count, SIZE):
        kept = PARTS / f"{'quick' if options.quick else 'whole'}-{first}.json"
        if not kept.exists():
            if time.monotonic() > end:
                break
            command = [sys.executable, "-m", "benchmarks.programs", "--part", str(first), str(SIZE)]
            command += ["--quick"] if options.quick else []
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"the part from {first} broke off:\n{done.stderr[-3000:]}")
            kept.write_text(done.stdout)
        parts.append(json.loads(kept.read_text()))
        failed = sum(len(one["failures"]) for one in parts)
        print(f"{sum(one['programs'] for one in parts):,} programs, {failed} differences", flush=True)
    RESULT.write_text(json.dumps(summary(parts, not options.quick), indent=2) + "\n")


if __name__ == "__main__":
    main()
