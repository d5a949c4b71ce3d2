"""What people deploy with on a CPU, in one run: PyTorch eager, `archdsl.optimize`, ONNX Runtime and OpenVINO on the
plain export, and `archdsl.optimize(model, engine="auto")`, the best of these on a graph that archdsl has prepared.

    pip install ".[bench]"
    python -m benchmarks.deploy                          # seven networks, batches of 1 and 8, one thread
    python -m benchmarks.deploy resnet50 --batches 8     # these again; the other rows stay, each with its commit
    python -m benchmarks.deploy --page                   # the table again, from the last results

Random weights and images, statistics as after training, float32. Every way is held to eager PyTorch first. Ways take
turns, and medians of the processor time of this process are compared, on a machine that others use too. A batch is
given to an engine as it is; only "auto" may run it in parts, where it has measured that they are faster.
Writes `results/deploy-cpu.json` and the table of `docs/deploy.md`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

import archdsl
from benchmarks.engines import engines, versions
from benchmarks.measure import (
    RESULTS,
    ROOT,
    about,
    check,
    commit,
    in_milliseconds,
    interleaved,
    prepared,
    rounds,
    table,
    write,
)
from benchmarks.networks import caption, network

NETS = (
    "mobilenet_v2",
    "mobilenet_v3_large",
    "shufflenet_v2_x1_0",
    "resnet50",
    "densenet121",
    "efficientnet_b0",
    "squeezenet1_1",
)
KIND = "deploy-cpu"
PAGE = ROOT / "docs" / "deploy.md"
TOLERANCE = 1e-3
PLAIN = ("ONNX Runtime", "OpenVINO")
SECONDS = 20.0  # of measurement, a network and a batch
ROUNDS = (9, 60)  # at least and at most


def ways(model: nn.Module, x: torch.Tensor) -> dict[str, Callable[[], Callable[..., torch.Tensor]]]:
    """Return how each way prepares a network."""
    return {
        "eager": lambda: copy.deepcopy(model),
        "optimize": lambda: archdsl.optimize(model),
        **engines(model, x),
        "auto": lambda: archdsl.optimize(model, engine="auto"),
    }


@torch.no_grad()
def measured(name: str, batch: int) -> dict:
    """Measure all ways of a network on a batch."""
    model, x = network(name), torch.randn(batch, 3, 224, 224)
    expected = model(x)
    made, rows = {}, {}
    for way, make in ways(model, x).items():
        made[way], y, seconds = prepared(make, x)
        error = check(y, expected, TOLERANCE, f"{name}, {way}")
        rows[way] = {"preparation": round(seconds, 1), "error": error}
    turns = rounds(made.values(), x, SECONDS, *ROUNDS)
    runs = {way: lambda number, run=run: run(x) for way, run in made.items()}
    for way, times in interleaved(runs, turns, clock=time.process_time).items():
        rows[way] |= in_milliseconds(times)
    return {
        "network": name,
        "batch": batch,
        "rounds": turns,
        "commit": commit(),
        "milliseconds": rows,
        "engine": made["auto"].engine,
        "prepared": made["auto"].report().splitlines()[-1],
        "measured": made["auto"].measured,
        "times_the_better_plain_engine": better(rows),
    }


def better(rows: dict[str, dict]) -> dict[str, float]:
    """Return how many times as fast as the better of the plain engines `auto` is, by medians and by least times."""
    kinds = ("median", "min")
    return {kind: round(min(rows[way][kind] for way in PLAIN) / rows["auto"][kind], 3) for kind in kinds}


def mean(results: Sequence[dict], kind: str = "median") -> float:
    """Return the geometric mean of the ratios."""
    return math.exp(sum(math.log(row["times_the_better_plain_engine"][kind]) for row in results) / len(results))


def lines(results: Sequence[dict]) -> list[str]:
    """Return the results as a table in Markdown, milliseconds a batch."""
    found = [
        "| network, images | eager | `optimize` | ONNX Runtime | OpenVINO | `auto` | is | times the better engine |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in results:
        rows = row["milliseconds"]
        times = " | ".join([f"{rows[way]['median']:.1f}" for way in ("eager", "optimize", *PLAIN, "auto")])
        parts = f", by {row['prepared'].rpartition(' by ')[2]}" if " by " in row["prepared"] else ""
        ratio = row["times_the_better_plain_engine"]["median"]
        found.append(f"| {row['network']}, {row['batch']} | {times} | {row['engine']}{parts} | {ratio:.2f} |")
    return found


def page(record: dict) -> None:
    """Write the table of a record into the page."""
    results = record["results"]
    table(PAGE, KIND, [*caption(record), *lines(results), "", summary(results)])


def summary(results: Sequence[dict]) -> str:
    """Return the means in a line; what others do on the machine is least in the least times."""
    return (
        f"`auto` is {mean(results):.2f} times as fast as the better of the two engines, a geometric mean of medians; "
        f"of least times {mean(results, 'min'):.2f}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS, help=", ".join(NETS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="only write the table again")
    options = parser.parse_args(arguments)
    if options.page:
        page(json.loads((RESULTS / f"{KIND}.json").read_text()))
        return
    torch.set_num_threads(options.threads)
    record = about("cpu") | {"clock": "process"}
    record["versions"] |= versions()
    path = RESULTS / f"{KIND}.json"
    rows = json.loads(path.read_text())["results"] if path.exists() else []
    for name in options.nets:
        for batch in options.batches:
            made = measured(name, batch)
            rows = [row for row in rows if (row["network"], row["batch"]) != (name, batch)]
            rows = sorted([*rows, made], key=lambda row: (NETS.index(row["network"]), row["batch"]))
            print(lines([made])[-1], flush=True)
            write(KIND, record | {"results": rows})
    print(f"geometric mean: {mean(rows):.3f}")
    page(record | {"results": rows})


if __name__ == "__main__":
    main()
