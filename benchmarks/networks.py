"""Whole networks on a CPU, one image in float32, in one run: `archdsl.optimize` beside PyTorch eager, the fusion of
torch.fx, inductor, and ONNX Runtime and OpenVINO where they are installed (`pip install ".[bench]"`).

    python -m benchmarks.networks                                   # four networks
    python -m benchmarks.networks resnet18 --size 64 --eager        # another one, without inductor
    python -m benchmarks.networks --page                            # table and plot again, from the last results

Random weights and images, statistics as after training. Every way is checked against float32 eager first; a wrong
result ends the run, and so does anything that compiles while it is timed. Ways take turns, and medians are compared; on
a machine that others use too, `--threads 1 --clock process` counts the processor time of this process alone.
Preparation is everything before the second call, without what happens once in a process: each way prepares a network of
three layers first.
Writes `results/networks-cpu.json`, and the table and the plot of `docs/kernels.md` unless the size is another.
`benchmarks.gpu` is its twin on a GPU.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import types
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.fx.experimental import optimization

import archdsl
from archdsl.inference.trace import trace
from archdsl.inference.traffic import traffic
from benchmarks.engines import engines, versions
from benchmarks.measure import (
    RESULTS,
    ROOT,
    Clock,
    Run,
    about,
    check,
    in_milliseconds,
    interleaved,
    prepared,
    table,
    write,
)
from benchmarks.plot import bars

NETS = ("mobilenet_v2", "shufflenet_v2_x1_0", "resnet50", "densenet121")
KIND = "networks-cpu"
PAGE = ROOT / "docs" / "kernels.md"
LAST = torch.channels_last
TOLERANCE = 1e-4


class Setting(NamedTuple):
    """What is the same for all networks of a run."""

    size: int  # height and width of an image
    rounds: int
    clock: Clock
    eager: bool  # without inductor


def network(name: str) -> nn.Module:
    """Load a network with statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    return as_trained(archdsl.load(name))


def as_trained(model: nn.Module) -> nn.Module:
    """Give a network statistics that are not those of a fresh one."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def alone(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function with code of its own that calls a network.

    Dynamo keeps what it compiled with the code of a function, which copies of a network share: one way could run what
    was compiled for another.
    """

    def forward(x: torch.Tensor) -> torch.Tensor:
        return model(x)

    return types.FunctionType(forward.__code__.replace(), globals(), closure=forward.__closure__)


def inductor(model: nn.Module, mode: str | None = None, **settings: object) -> Callable[..., torch.Tensor]:
    """Compile without caches of earlier runs, which would hide what preparation costs.

    Inductor freezes weights only where `freezing` is set when Dynamo meets them, in the first call, and no gradients
    are recorded; another grad mode later compiles again, without it.
    """
    compiled = torch.compile(alone(model), mode=mode, dynamic=False, fullgraph=True)
    patch = torch._inductor.config.patch(force_disable_caches=True, **settings)
    state = {"cold": True}

    def run(x: torch.Tensor) -> torch.Tensor:
        if state.pop("cold", False):
            with patch:
                return compiled(x)
        return compiled(x)

    return run


def ways(model: nn.Module, x: torch.Tensor) -> dict[str, Callable[[], Callable[..., torch.Tensor]]]:
    """Return how each way prepares a network, which must be its own copy."""

    def own(format: torch.memory_format = torch.contiguous_format) -> nn.Module:
        return copy.deepcopy(model).to(memory_format=format)

    return {
        "eager": lambda: own(),
        "eager, channels_last": lambda: own(LAST),
        "torch.fx fuse": lambda: optimization.fuse(own()),
        "torch.fx fuse, channels_last": lambda: optimization.fuse(own(LAST)),
        "inductor": lambda: inductor(own()),
        "inductor, channels_last": lambda: inductor(own(LAST)),
        "inductor, frozen": lambda: inductor(own(), freezing=True),
        "inductor, frozen, channels_last": lambda: inductor(own(LAST), freezing=True),
        "inductor, max-autotune, frozen, channels_last": lambda: inductor(own(LAST), "max-autotune", freezing=True),
        "inductor, C++ wrapper, frozen, channels_last": lambda: inductor(own(LAST), freezing=True, cpp_wrapper=True),
        "archdsl.optimize": lambda: archdsl.optimize(model),
    } | engines(model, x)


def chosen(model: nn.Module, x: torch.Tensor, setting: Setting) -> dict[str, Callable[[], Callable]]:
    """Return the ways of a run."""
    found = ways(model, x).items()
    return {way: make for way, make in found if not (setting.eager and "inductor" in way)}


def warm(setting: Setting) -> None:
    """Prepare three layers in all ways: imports and headers are compiled once in a process, not for a network."""
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval(), torch.randn(1, 3, 8, 8)
    for make in chosen(model, x, setting).values():
        make()(x)


@torch.no_grad()  # for everything: Dynamo compiles for one grad mode, and again for another
def inference(name: str, setting: Setting) -> dict:
    """Measure all ways of one network."""
    torch._dynamo.reset()
    warm(setting)
    model, x = network(name), torch.randn(1, 3, setting.size, setting.size)
    expected, last = model(x), x.contiguous(memory_format=LAST)
    runs: dict[str, Run] = {}
    rows: dict[str, dict] = {}
    for way, make in chosen(model, x, setting).items():
        mine = last if "channels_last" in way else x
        run, y, seconds = prepared(make, mine)
        rows[way] = {"preparation": round(seconds, 2), "error": check(y, expected, TOLERANCE, f"{name}, {way}")}
        runs[way] = lambda number, run=run, mine=mine: run(mine)
    with torch.compiler.set_stance("fail_on_recompile"):
        timed = interleaved(runs, setting.rounds, clock=setting.clock)
    for way, times in timed.items():
        rows[way] |= in_milliseconds(times)
        rows[way]["images_a_second"] = round(1 / times["median"])
    others = [row for way, row in rows.items() if not way.startswith("archdsl")]
    ours = [row for way, row in rows.items() if way.startswith("archdsl")]
    graphs = (trace(network(name)), archdsl.optimize(network(name)).network)
    plain, fused = (traffic(graph, x) for graph in graphs)
    return {
        "network": name,
        "batch": 1,
        "dtype": "float32",
        "milliseconds": rows,
        "times_the_best_other": {
            kind: round(min(row[kind] for row in others) / min(row[kind] for row in ours), 2)
            for kind in ("median", "min")
        },
        "megabytes_an_image_in_bf16": {"plain": round(plain.bytes / 1e6, 1), "optimized": round(fused.bytes / 1e6, 1)},
    }


def caption(record: dict) -> list[str]:
    """Return the line that stands above the table."""
    clock = {"wall": "wall time", "process": "processor time of the process alone, on a machine shared with others"}
    threads = f"{record['threads']} thread{'s' if record['threads'] > 1 else ''}"
    named = ("torch", "onnxruntime", "openvino")
    packages = [f"{name} {record['versions'][name]}" for name in named if name in record["versions"]]
    return [f"{record['device']}, {threads}, {clock[record['clock']]}, {', '.join(packages)}:", ""]


def lines(results: list[dict]) -> list[str]:
    """Return the results as a table in Markdown."""
    found = [
        "| network | way | milliseconds, median (least) | beside `optimize` | preparation, s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for result in results:
        rows = result["milliseconds"]
        ours = rows["archdsl.optimize"]
        for way, row in rows.items():
            times = f"{row['median'] / ours['median']:.2f}"
            prepared = row.get("preparation", "")
            median = f"{row['median']:.1f} ({row['min']:.1f})"
            found.append(f"| {result['network']} | {way} | {median} | {times} | {prepared} |")
    return found


def page(record: dict) -> None:
    """Write the table and the plot of a record into the page."""
    medians = {
        result["network"]: {way: row["median"] for way, row in result["milliseconds"].items()}
        for result in record["results"]
    }
    bars(PAGE.parent / f"{KIND}.svg", medians, "milliseconds, median")
    picture = f"![Milliseconds of each way, network by network]({KIND}.svg)"
    table(PAGE, KIND, [*caption(record), picture, "", *lines(record["results"])])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--size", type=int, default=224, help="height and width of an image")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--eager", action="store_true", help="without inductor, which compiles for minutes")
    parser.add_argument("--page", action="store_true", help="only write the table and the plot again")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "process"), default="wall", help="process: on a shared machine")
    options = parser.parse_args(arguments)
    if options.page:
        page(json.loads((RESULTS / f"{KIND}.json").read_text()))
        return
    torch.set_num_threads(options.threads)
    usual = options.size == 224
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    setting = Setting(options.size, options.rounds, clock, options.eager)
    record = about("cpu") | {"clock": options.clock, "results": []}
    record["versions"] |= versions()
    for name in options.nets:
        record["results"].append(inference(name, setting))
        print("\n".join(lines(record["results"][-1:])[2:]), record["results"][-1]["times_the_best_other"])
        print("wrote", write(KIND if usual else f"{KIND}-{options.size}", record), flush=True)
    if usual:
        page(record)


if __name__ == "__main__":
    main()
