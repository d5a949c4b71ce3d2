"""Whole networks: `archdsl.optimize` beside PyTorch eager, the fusion of torch.fx, inductor and, on a CPU, ONNX Runtime
and OpenVINO where they are installed (`pip install ".[bench]"`), in one run.

    python -m benchmarks.networks                                   # on a CPU: one image, float32
    python -m benchmarks.networks --device cuda                     # on a GPU: 256 images, bfloat16
    python -m benchmarks.networks --device cuda --train             # steps of training instead of inference
    python -m benchmarks.networks --train --batch 2 --size 32 --eager    # a try on a CPU, without inductor
    python -m benchmarks.networks --page                            # table and plot again, from the last results

Random weights and images, statistics as after training. Every way is checked against float32 eager first; a wrong
result ends the run, and so does anything that compiles while it is timed. Ways take turns, and medians are compared; on
a machine that others use too, `--threads 1 --clock process` counts the processor time of this process alone.
Preparation is everything before the second call, without what happens once in a process: each way prepares a network of
three layers first.
Writes `results/networks-DEVICE.json`, and the table and the plot of `docs/kernels.md` unless batch or size are others.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
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
from benchmarks.measure import RESULTS, ROOT, Clock, Run, about, check, copies, interleaved, table, write
from benchmarks.plot import bars

NETS = ("mobilenet_v2", "shufflenet_v2_x1_0", "resnet50", "densenet121")
PAGE = ROOT / "docs" / "kernels.md"
LAST = torch.channels_last
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}


class Setting(NamedTuple):
    """What is the same for all networks of a run."""

    batch: int
    size: int  # height and width of an image
    device: str
    dtype: torch.dtype
    rounds: int
    clock: Clock
    eager: bool  # without inductor


def network(name: str) -> nn.Module:
    """Load a network with statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    model = archdsl.load(name)
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


def graphed(run: Callable[..., torch.Tensor], x: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Record a CUDA graph: launching 50 kernels takes longer than running them."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = run(x)

    def replay(other: torch.Tensor) -> torch.Tensor:
        x.copy_(other)
        graph.replay()
        return y

    return replay


def ways(model: nn.Module, x: torch.Tensor, device: str) -> dict[str, Callable[[], Callable[..., torch.Tensor]]]:
    """Return how each way prepares a network, which must be its own copy."""

    def own(format: torch.memory_format = torch.contiguous_format) -> nn.Module:
        return copy.deepcopy(model).to(memory_format=format)

    found = {
        "eager": lambda: own(),
        "eager, channels_last": lambda: own(LAST),
        "torch.fx fuse": lambda: optimization.fuse(own()),
        "torch.fx fuse, channels_last": lambda: optimization.fuse(own(LAST)),
        "inductor": lambda: inductor(own()),
        "inductor, channels_last": lambda: inductor(own(LAST)),
        "inductor, frozen": lambda: inductor(own(), freezing=True),
        "inductor, frozen, channels_last": lambda: inductor(own(LAST), freezing=True),
        "inductor, max-autotune, frozen, channels_last": lambda: inductor(own(LAST), "max-autotune", freezing=True),
    }
    ours = {"archdsl.optimize": lambda: archdsl.optimize(model)}
    if device == "cpu":
        way = "inductor, C++ wrapper, frozen, channels_last"  # on a GPU a CUDA graph saves the same
        found[way] = lambda: inductor(own(LAST), freezing=True, cpp_wrapper=True)
        return found | ours | engines(model, x)
    ours["archdsl.optimize, CUDA graph"] = lambda: graphed(archdsl.optimize(model), x.clone())
    ours["archdsl.optimize, kernels, CUDA graph"] = lambda: graphed(archdsl.optimize(model, kernels="all"), x.clone())
    return found | ours


def prepared(make: Callable[[], Callable[..., torch.Tensor]], x: torch.Tensor) -> tuple[Callable, torch.Tensor, float]:
    """Prepare a way and call it once; returns it, its result and the seconds both took."""
    start = time.perf_counter()
    run = make()
    y = run(x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return run, y.clone(), time.perf_counter() - start


def chosen(model: nn.Module, x: torch.Tensor, setting: Setting) -> dict[str, Callable[[], Callable]]:
    """Return the ways of a run."""
    found = ways(model, x, setting.device).items()
    return {way: make for way, make in found if not (setting.eager and "inductor" in way)}


def warm(setting: Setting) -> None:
    """Prepare three layers in all ways: imports and headers are compiled once in a process, not for a network."""
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    model, x = layers.to(setting.device, setting.dtype), torch.randn(1, 3, 8, 8).to(setting.device, setting.dtype)
    for make in chosen(model, x, setting).values():
        make()(x)


@torch.no_grad()  # for everything: Dynamo compiles for one grad mode, and again for another
def inference(name: str, setting: Setting) -> dict:
    """Measure all ways of one network."""
    batch, size, device, dtype = setting.batch, setting.size, setting.device, setting.dtype
    torch._dynamo.reset()
    warm(setting)
    model = network(name).to(device)
    shape = (batch, 3, size, size)
    images = [torch.randn(shape, device=device) for _ in range(copies(4 * math.prod(shape), device))]
    expected = model(images[0])
    model = model.to(dtype)
    xs = [image.to(dtype) for image in images]
    last = [x.contiguous(memory_format=LAST) for x in xs]
    runs: dict[str, Run] = {}
    rows: dict[str, dict] = {}
    for way, make in chosen(model, xs[0], setting).items():
        mine = last if "channels_last" in way or (device == "cuda" and "arch" in way) else xs
        run, y, seconds = prepared(make, mine[0])
        rows[way] = {"preparation": round(seconds, 2), "error": check(y, expected, TOLERANCE[dtype], f"{name}, {way}")}
        runs[way] = lambda number, run=run, mine=mine: run(mine[number % len(mine)])
    with torch.compiler.set_stance("fail_on_recompile"):
        timed = interleaved(runs, device, setting.rounds, clock=setting.clock)
    for way, times in timed.items():
        rows[way] |= {k: round(v * 1e3, 3) for k, v in times.items()}
        rows[way]["images_a_second"] = round(batch / times["median"])
    others = [row for way, row in rows.items() if not way.startswith("archdsl")]
    ours = [row for way, row in rows.items() if way.startswith("archdsl")]
    graphs = (trace(network(name)), archdsl.optimize(network(name)).network)
    plain, fused = (traffic(graph, images[0][:1].cpu()) for graph in graphs)
    return {
        "network": name,
        "batch": batch,
        "dtype": str(dtype).removeprefix("torch."),
        "milliseconds": rows,
        "times_the_best_other": {
            kind: round(min(row[kind] for row in others) / min(row[kind] for row in ours), 2)
            for kind in ("median", "min")
        },
        "megabytes_an_image_in_bf16": {"plain": round(plain.bytes / 1e6, 1), "optimized": round(fused.bytes / 1e6, 1)},
    }


def training(name: str, setting: Setting) -> dict:
    """Measure one step of training, forward and backward, eager, compiled and with the kernels.

    In float32, or under autocast to a smaller type.
    """
    batch, size, device, dtype = setting.batch, setting.size, setting.device, setting.dtype
    x = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=LAST)
    target = torch.randint(1000, (batch,), device=device)
    state = network(name).state_dict()

    def step_of(kernels: str, compile: bool = False) -> Callable[[int], torch.Tensor]:
        model = archdsl.load(name, kernels=kernels)
        model.load_state_dict(state)
        model = model.to(device, memory_format=LAST).train()
        run = torch.compile(model) if compile else model

        def step(number: int) -> torch.Tensor:
            with torch.autocast(device, dtype, enabled=dtype != torch.float32):
                loss = nn.functional.cross_entropy(run(x), target)
            loss.backward()
            return loss.detach()

        return step

    runs = {"eager, channels_last": step_of("none"), "archdsl kernels": step_of("all")}
    if not setting.eager:
        runs["inductor"] = step_of("none", compile=True)
        runs["archdsl kernels, inductor"] = step_of("all", compile=True)
    torch.manual_seed(1)  # the same dropout masks
    expected = runs["eager, channels_last"](0)
    for way, run in runs.items():
        torch.manual_seed(1)
        check(run(0).view(1), expected.view(1), 0.1, f"{name}, loss, {way}")
    times = interleaved(runs, device, setting.rounds, clock=setting.clock)
    rows = {way: {k: round(v * 1e3, 3) for k, v in found.items()} for way, found in times.items()}
    return {"network": name, "batch": batch, "step": True, "milliseconds": rows}


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
        ours = rows.get("archdsl.optimize")  # steps of training are not optimized
        for way, row in rows.items():
            times = f"{row['median'] / ours['median']:.2f}" if ours else ""
            prepared = row.get("preparation", "")
            median = f"{row['median']:.1f} ({row['min']:.1f})"
            found.append(f"| {result['network']} | {way} | {median} | {times} | {prepared} |")
    return found


def page(kind: str, record: dict) -> None:
    """Write the table and the plot of a record into the page."""
    medians = {
        result["network"]: {way: row["median"] for way, row in result["milliseconds"].items()}
        for result in record["results"]
    }
    bars(PAGE.parent / f"{kind}.svg", medians, "milliseconds, median")
    picture = f"![Milliseconds of each way, network by network]({kind}.svg)"
    table(PAGE, kind, [*caption(record), picture, "", *lines(record["results"])])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=0, help="images at a time: 1 on a CPU, 256 on a GPU")
    parser.add_argument("--size", type=int, default=224, help="height and width of an image")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--eager", action="store_true", help="without inductor, which compiles for minutes on a CPU")
    parser.add_argument("--page", action="store_true", help="only write the table and the plot again")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=("wall", "process"), default="wall", help="process: on a shared machine")
    options = parser.parse_args(arguments)
    kind = f"{'training' if options.train else 'networks'}-{options.device}"
    if options.page:
        page(kind, json.loads((RESULTS / f"{kind}.json").read_text()))
        return
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    usual = not options.batch and options.size == 224
    kind += "" if usual else f"-{options.batch}x{options.size}"
    setting = Setting(
        batch=options.batch or (1 if options.device == "cpu" else 256),
        size=options.size,
        device=options.device,
        dtype=torch.float32 if options.device == "cpu" else torch.bfloat16,
        rounds=options.rounds,
        clock=time.perf_counter if options.clock == "wall" else time.process_time,
        eager=options.eager,
    )
    measure = training if options.train else inference
    record = about(options.device) | {"clock": options.clock, "results": []}
    record["versions"] |= versions() if options.device == "cpu" and not options.train else {}
    for name in options.nets:
        record["results"].append(measure(name, setting))
        print("\n".join(lines(record["results"][-1:])[2:]), record["results"][-1].get("times_the_best_other", ""))
        print("wrote", write(kind, record), flush=True)
    if usual:
        page(kind, record)


if __name__ == "__main__":
    main()
