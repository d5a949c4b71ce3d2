"""Everything that is measured on a GPU, in one command that fits a few minutes and loses nothing.

    python -m benchmarks.gpu --out results --seconds 460      # all stages, as far as the time goes
    python -m benchmarks.gpu --stages machine networks        # some
    python -m benchmarks.gpu --device cpu --tiny              # a rehearsal: TRITON_INTERPRET=1, small sizes
    python -m benchmarks.gpu --compile                        # only fill Triton's cache, which needs no GPU

machine     versions, the bandwidth of a copy, the speed of a product: the two ceilings
compile     kernels that Triton's cache does not have, in several processes
layers      every layer of networks by itself: PyTorch's steps, what runs without a kernel, our kernel, its tiles
adopt       what they say decides for the rest of the run, as `measured.csv` will
networks    whole networks: eager, fused by torch.fx, optimized; also as CUDA graphs, of many images and of one
training    a step of training
dense       ways to finish what cuDNN convolves
autotune    torch.compile, max-autotune with frozen weights, as a peer of the networks
inductor    torch.compile as a peer of the step of training
correct     the kernels' tests on the GPU, and networks against float32

Everything runs under `no_grad`, in one process. A result is a line of `gpu.jsonl`, written at once; what fails is a
line, too, and ends nothing; a way whose result is wrong has no speed. Each stage has a deadline. The summary comes
last, also where the process is told to end. Random data; inputs and results rotate through more memory than the cache
holds.
"""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.fx.experimental import optimization

import archdsl
import archdsl.inference
from benchmarks.layers import LAST, Case, Layer, default_tile, gradients_of, layers_of, tiles
from benchmarks.measure import ROOT, Wrong, about, check
from benchmarks.networks import network

TOLERANCE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
NETWORK = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}
L2 = 256 << 20  # bytes of inputs to rotate through, several times the cache
ATTEMPTS = 5  # replays of a graph, of which the median counts


class Setting(NamedTuple):
    """What is measured, and how large."""

    device: str
    dtype: torch.dtype
    batches: tuple[int, ...]
    size: int
    networks: tuple[str, ...]
    tuned: tuple[str, ...]  # networks whose layers' tiles are tried
    training: int  # images of a step of training
    peers: tuple[str, ...]  # networks that are compiled with max-autotune
    few: int | None = None  # layers of each operation and tiles of each layer, in a rehearsal
    operations: tuple[str, ...] = ()  # of the layers; all, if none is named
    layers: tuple[str, ...] = ()  # networks whose layers are measured, too
    tests: str = ""  # which of the kernels' tests run, as pytest's -k; all, if nothing is said

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"


FULL = Setting(
    "cuda", torch.bfloat16, (256, 1), 224, ("mobilenet_v2", "shufflenet_v2_x1_0", "resnet50"),
    ("mobilenet_v2", "shufflenet_v2_x1_0"), 128, ("mobilenet_v2",), layers=("efficientnet_b0", "mobilenet_v3_large"),
)  # fmt: skip
SMALL = str(ROOT / "benchmarks" / "tiny.arch")
TINY = Setting("cpu", torch.float32, (2,), 32, (SMALL,), (SMALL,), 1, (), few=1)


class Session:
    """Where results go, and how much time is left."""

    def __init__(self, out: Path, seconds: float, setting: Setting) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.setting = out, setting
        self.end = time.monotonic() + seconds
        self.until = self.end
        self.lines: list[str] = []
        self.results: list[dict[str, Any]] = []
        self.bandwidth = 3e12 if setting.cuda else 1e10

    def record(self, kind: str, **values: Any) -> None:
        """Write one result at once."""
        result = {"kind": kind, **values}
        self.results.append(result)
        with (self.out / "gpu.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")

    def say(self, line: str) -> None:
        """Keep a line for the summary, and print it now."""
        self.lines.append(line)
        print(line, flush=True)

    @property
    def over(self) -> bool:
        """Whether the stage has had its time."""
        return time.monotonic() > self.until

    def failed(self, what: str, problem: BaseException) -> None:
        """Record what went wrong, and go on."""
        trace = "".join(traceback.format_exception(problem)[-6:]).replace(f"{ROOT}/", "")[-1500:]
        self.record("failure", what=what, problem=f"{type(problem).__name__}: {problem}"[:600], trace=trace)
        self.say(f"FAILED {what}: {type(problem).__name__}: {str(problem)[:160]}")

    def run(self, name: str, seconds: float, stage: Callable[[Session], None]) -> None:
        """Run a stage until its deadline."""
        start = time.monotonic()
        self.until = min(self.end, start + seconds)
        if start > self.end:
            self.say(f"-- {name}: no time left")
            return
        try:
            stage(self)
        except Exception as problem:
            self.failed(name, problem)
        self.say(f"-- {name}: {time.monotonic() - start:.0f} s")


# -------------------------------------------------------------------------------------------------- time
def timed(run: Callable[[torch.Tensor], Any], xs: list[torch.Tensor], cuda: bool, bytes_: int = 0) -> float:
    """Return the seconds of one call, the median of several; on a GPU calls are recorded as a CUDA graph.

    Results stay until the end: memory that is used again at once would still be in the cache.
    """
    run(xs[0])
    if not cuda:
        return statistics.median(_clocked(lambda: run(xs[0])) for _ in range(2))
    calls = max(2, min(24, int(2e9 / max(1, bytes_))))
    run(xs[-1])
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [run(xs[number % len(xs)]) for number in range(calls)]
    found = statistics.median(events(graph.replay, ATTEMPTS)) / calls
    del kept
    return found


def _clocked(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def events(run: Callable[[], Any], attempts: int, warm: int = 2) -> list[float]:
    """Return the seconds of several runs by the clock of the GPU."""
    found = []
    for attempt in range(attempts + warm):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        if attempt >= warm:
            found.append(start.elapsed_time(end) / 1e3)
    return found


def graphed(run: Callable[[torch.Tensor], Any], x: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """Return a run as a CUDA graph; inputs are copied to where it reads."""
    memory = x.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run(memory)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run(memory)

    def replay(other: torch.Tensor) -> Any:
        memory.copy_(other)
        graph.replay()
        return result

    return replay


# -------------------------------------------------------------------------------------------------- stages
def machine(session: Session) -> None:
    """Describe the machine, and measure what it can do at most."""
    setting = session.setting
    session.record("machine", **about(setting.device))
    if not setting.cuda:
        return
    x = torch.empty(1 << 29, dtype=torch.bfloat16, device="cuda").normal_()
    y = torch.empty_like(x)
    copied = statistics.median(events(lambda: y.copy_(x), 10))
    session.bandwidth = 2 * x.numel() * 2 / copied
    a, b = (torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    product = 2 * 8192**3 / statistics.median(events(lambda: a @ b, 5))
    session.record("ceilings", bandwidth=session.bandwidth, product=product)
    session.say(
        f"{torch.cuda.get_device_name()}: copy {session.bandwidth / 1e12:.2f} TB/s, product {product / 1e12:.0f} T"
    )


def wanted(setting: Setting) -> list[tuple[Layer, int, Any]]:
    """Return what the stage of layers launches: layer, batch, tile."""
    found = []
    for name in dict.fromkeys(setting.tuned + setting.networks + setting.layers):
        for layer in chosen_layers(name, setting):
            chosen = tried(name, layer, setting) or [default_tile(layer)]
            batch = setting.training if layer.operation == "gradients" else setting.batches[0]
            found += [(layer, batch, tile) for tile in chosen]
    return list(dict.fromkeys(found))


def chosen_layers(name: str, setting: Setting) -> list[Layer]:
    """Return the layers of a network and the gradients of the depthwise ones, or in a rehearsal a few of each."""
    found = layers_of(name, setting.size)
    found += gradients_of(found)
    if setting.operations:
        found = [layer for layer in found if layer.operation in setting.operations]
    if setting.few is None:
        return found
    kinds = dict.fromkeys(layer.operation for layer in found)
    return [layer for kind in kinds for layer in [one for one in found if one.operation == kind][-setting.few :]]


def tried(name: str, layer: Layer, setting: Setting) -> list[Any]:
    """Return the tiles to try: of tuned networks, and of patches, for which some tiles were wrong once."""
    return tiles(layer)[: setting.few] if name in setting.tuned or layer.operation == "patches" else []


def compile_one(job: tuple[Layer, int, Any, torch.dtype]) -> str:
    """Compile a kernel of a layer into Triton's cache, without a GPU; returns what went wrong, or nothing."""
    from benchmarks.dry import dry

    layer, batch, tile, dtype = job
    torch.set_num_threads(1)
    try:
        with dry(), torch.no_grad():
            case = Case(layer, batch, dtype, "cpu", filled=False)
            case.kernel(case.xs[0], tile)
    except Exception as problem:
        return f"{layer} {tile}: {type(problem).__name__}: {str(problem)[:200]}"
    return ""


def compile_all(session: Session, processes: int | None = None) -> None:
    """Compile everything that the stage of layers launches."""
    setting = session.setting
    jobs = [(*job, setting.dtype) for job in wanted(setting)]
    jobs = jobs[:2] if setting.device == "cpu" and processes is None else jobs  # a rehearsal
    count = processes or min(len(jobs), max(1, (os.cpu_count() or 2) - 1))
    interpreted = os.environ.pop("TRITON_INTERPRET", None)  # what the processes would inherit
    try:
        with ProcessPoolExecutor(count, get_context("spawn")) as pool:
            problems = [problem for problem in pool.map(compile_one, jobs, chunksize=4) if problem]
    finally:
        os.environ.update({} if interpreted is None else {"TRITON_INTERPRET": interpreted})
    session.record("compiled", kernels=len(jobs), problems=problems)
    session.say(f"{len(jobs)} kernels compiled, {len(problems)} not {problems[:2]}")


def correct(session: Session) -> None:
    """Run the kernels' tests on the GPU, and networks against float32."""
    setting = session.setting
    if setting.cuda:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "12", "interpreted.py"]
        command += ["-o", "addopts=", "-o", "filterwarnings=default", *(["-k", setting.tests] if setting.tests else [])]
        environment = os.environ | {"ARCHDSL_DEVICE": "cuda", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=ROOT / "tests" / "kernels", env=environment, capture_output=True, text=True, timeout=150
        )
        (session.out / "correct.txt").write_text(done.stdout[-200_000:] + done.stderr[-20_000:])
        failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
        last = (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1]
        session.record("tests", returncode=done.returncode, failed=failed, last=last)
        session.say(f"tests of the kernels: {last} {failed[:6]}")
    for name in setting.networks + (("densenet121", "efficientnet_b0", "shufflenet_v1_g3") if setting.cuda else ()):
        for kernels in ("none", "auto", "all"):
            if session.over:
                return
            try:
                session.record("correct", network=name, kernels=kernels, errors=network_errors(name, kernels, setting))
            except Exception as problem:
                session.failed(f"{name} on a GPU, kernels={kernels!r}", problem)


def network_errors(name: str, kernels: str, setting: Setting) -> list[float]:
    """Return the errors of an optimized network in three calls, the last ones replays of a graph; raises `Wrong`."""
    model = network(name).to(setting.device)
    x = torch.randn(4 if setting.cuda else 1, 3, setting.size, setting.size, device=setting.device)
    expected = model(x)
    fast = archdsl.optimize(model.to(setting.dtype), kernels=kernels)
    x = x.to(setting.dtype)
    found = [fast(y) for y in (x, x, -x, x)]
    errors = [check(y, expected, NETWORK[setting.dtype], f"{name}, {kernels}") for y in (found[0], found[1], found[3])]
    if setting.cuda and not torch.equal(found[1], found[3]):
        raise Wrong(f"{name}, {kernels}: two replays differ")
    return errors


def layers(session: Session) -> None:
    """Measure every layer by itself, for many images and for one."""
    setting = session.setting
    done: set[tuple[Layer, int]] = set()
    for batch in setting.batches:
        for name in dict.fromkeys(setting.tuned + setting.networks + setting.layers):
            for layer in chosen_layers(name, setting):
                images = min(batch, setting.training) if layer.operation == "gradients" else batch
                if session.over:
                    return
                if (layer, images) in done or (layer.operation == "gradients" and batch == 1):
                    continue
                done.add((layer, images))
                try:
                    measure(session, layer, images, tried(name, layer, setting) if batch > 1 else [])
                except Exception as problem:
                    session.failed(f"{layer}, batch {images}", problem)


def adopt(session: Session) -> None:
    """Let the measurements of this run decide where `auto` takes a kernel."""
    from archdsl.codegen.measured import rows
    from benchmarks.gpu_results import write

    if session.setting.cuda:
        session.record("adopted", rows=write(session.results))
        rows.cache_clear()


def measure(session: Session, layer: Layer, batch: int, choice: Sequence[Any]) -> None:
    """Measure the ways of one layer."""
    setting = session.setting
    small = Case(layer, min(batch, 4), setting.dtype, setting.device)
    case = Case(layer, batch, setting.dtype, setting.device)
    if setting.cuda and batch > 1:  # one image is read where the layer before has left it, in the cache
        each = max(1, case.xs[0].nbytes)
        case.xs += [case.map(case.shape) for _ in range(max(1, min(16, L2 // each)) - 1 or 1)]
    exact, wrong = small.exact(), []
    ways: dict[str, Any] = {"eager": Case.eager, "library": Case.library, "ours": Case.kernel}
    if layer.operation == "separable":
        ways["two kernels"] = Case.two
    times = {}
    for way, run in ways.items():
        times[way] = _speed(session, run, small, case, exact, f"{layer}, {way}", wrong)
    shapes = {}
    for tile in choice:
        if session.over:
            break
        run = functools.partial(_tiled, tile=tile)
        shapes[str(list(tile))] = _speed(session, run, small, case, exact, f"{layer}, {tile}", wrong)
    session.record(
        "layer", layer=list(layer), batch=batch, bytes=case.bytes, floor=case.bytes / session.bandwidth * 1e6,
        microseconds={way: seconds and round(seconds * 1e6, 2) for way, seconds in times.items()},
        tiles={tile: seconds and round(seconds * 1e6, 2) for tile, seconds in shapes.items()}, wrong=wrong,
    )  # fmt: skip


def _tiled(case: Case, x: torch.Tensor, tile: Any) -> Any:
    """Run our kernel with a tile; what a few images leave unwritten shows."""
    if case.batch > 4:
        return case.kernel(x, tile)
    shape = case.shape if case.layer.operation == "gradients" else case.result
    y = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=LAST).fill_(torch.nan)
    return case.kernel(x, tile, y)


def _speed(
    session: Session, run: Any, small: Case, case: Case, exact: list[torch.Tensor], what: str, wrong: list[str]
) -> float | None:
    """Return the seconds of a way, or None where it is wrong or cannot run: that drops nothing but itself."""
    try:
        found = run(small, small.xs[0])
        for y, expected in zip([found] if isinstance(found, torch.Tensor) else found, exact):
            check(y, expected, TOLERANCE[case.dtype], what)
        return timed(lambda x: run(case, x), case.xs, session.setting.cuda, case.bytes)
    except Exception as problem:
        wrong.append(f"{what}: {type(problem).__name__}: {str(problem)[:200]}")
        session.say(f"   {wrong[-1][:200]}")
        return None


DENSE = (  # input and output channels, window, stride, size: the stems of networks, and convolutions of ResNet-50
    (3, 32, 3, 2, 224), (3, 64, 7, 2, 224), (64, 64, 3, 1, 56), (128, 128, 3, 1, 28), (256, 256, 3, 1, 14),
    (512, 512, 3, 1, 7), (64, 256, 1, 1, 56), (256, 64, 1, 1, 56), (1024, 256, 1, 1, 14),
)  # fmt: skip


def dense(session: Session) -> None:
    """Measure what stays on cuDNN: bias and ReLU as passes of ATen's, as one pass of ours, and inside of cuDNN."""
    setting = session.setting
    for layer in DENSE if setting.cuda else DENSE[:1]:
        for batch in setting.batches:
            times = {}
            for way, (run, xs) in finishes(layer, batch, setting).items():
                try:
                    times[way] = timed(run, xs, setting.cuda, xs[0].nbytes) * 1e6
                except Exception as problem:
                    session.failed(f"{way}, {layer}", problem)
            session.record("dense", layer=list(layer), batch=batch, microseconds=times)


def finishes(layer: tuple[int, ...], batch: int, setting: Setting) -> dict[str, tuple[Callable[..., Any], list]]:
    """Return ways to convolve, add a bias and apply ReLU, and their inputs."""
    from archdsl.kernels import finish_

    depth, out, window, stride, size = layer
    size = min(size, 7 * setting.size)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=setting.device).to(setting.dtype)

    xs = [random(batch, depth, size, size).contiguous(memory_format=LAST) for _ in range(3 if batch > 1 else 1)]
    weight, bias = (random(out, depth, window, window) / window).contiguous(memory_format=LAST), random(out)
    where = ((stride, stride), (window // 2, window // 2), (1, 1), 1)
    ways: dict[str, Callable[..., Any]] = {
        "eager": lambda x: nn.functional.relu_(nn.functional.conv2d(x, weight, bias, *where)),
        "one pass behind": lambda x: finish_(nn.functional.conv2d(x, weight, None, *where), bias, act="relu"),
    }
    if setting.cuda:
        ways["inside of cuDNN"] = lambda x: torch.cudnn_convolution_relu(x, weight, bias, *where)
    return {way: (run, xs) for way, run in ways.items()}


def ways_of(model: nn.Module, x: torch.Tensor, setting: Setting) -> dict[str, Callable[[], Callable[..., Any]]]:
    """Return how each way prepares a network, which must be its own copy in channels_last."""

    def own() -> nn.Module:
        return copy.deepcopy(model).to(memory_format=LAST)

    found: dict[str, Callable[[], Callable[..., Any]]] = {
        "eager": own,
        "fx": lambda: optimization.fuse(own()),
        "none": lambda: archdsl.optimize(model, kernels="none"),
        "auto": lambda: archdsl.optimize(model),
        "all": lambda: archdsl.optimize(model, kernels="all"),
    }
    if setting.cuda:
        found["scatter"] = lambda: scattered(model)
        found["eager, graph"] = lambda: graphed(own(), x)
        found["fx, graph"] = lambda: graphed(optimization.fuse(own()), x)
        found["auto, no graph"] = lambda: archdsl.optimize(model, cuda_graphs=False)
    return found


def scattered(model: nn.Module) -> nn.Module:
    """Optimize as by default, but with gatherings written by the convolutions before, whether that wins or not."""
    before = archdsl.inference.possible
    archdsl.inference.possible = lambda kernels, operation: operation == "scatter" or before(kernels, operation)
    try:
        return archdsl.optimize(model)
    finally:
        archdsl.inference.possible = before


def networks(session: Session) -> None:
    """Measure whole networks."""
    for batch in session.setting.batches:
        for name in session.setting.networks:
            if session.over:
                return
            try:
                compare(session, name, batch, ways_of)
            except Exception as problem:
                session.failed(f"{name}, batch {batch}", problem)


def autotune(session: Session) -> None:
    """Measure whole networks as torch.compile makes them at its best."""

    def best(model: nn.Module, x: torch.Tensor, setting: Setting) -> dict[str, Any]:
        def made() -> Callable[..., Any]:
            torch._dynamo.reset()
            return torch.compile(copy.deepcopy(model).to(memory_format=LAST), mode="max-autotune")

        return {"max-autotune, frozen": made}

    for name in session.setting.peers:
        for batch in session.setting.batches:
            if session.over:
                return
            try:
                with torch._inductor.config.patch(freezing=True):  # asked for where it compiles: in the first calls
                    compare(session, name, batch, best)
            except Exception as problem:
                session.failed(f"max-autotune of {name}, batch {batch}", problem)


def compare(session: Session, name: str, batch: int, ways: Callable[..., Any]) -> None:
    """Measure the ways of one network in turns."""
    setting = session.setting
    model = network(name).to(setting.device)
    shape = (batch, 3, setting.size, setting.size)
    images = [torch.randn(shape, device=setting.device) for _ in range(2)]
    expected = model(images[0])
    model = model.to(setting.dtype)
    xs = [image.to(setting.dtype).contiguous(memory_format=LAST) for image in images]
    runs, seconds, errors = {}, {}, {}
    for way, make in ways(model, xs[0], setting).items():
        try:
            start = time.perf_counter()
            run = make()
            for number in (1, 0, 1, 0):  # compiles, chooses, records, replays
                y = run(xs[number])
            errors[way] = check(y, expected, NETWORK[setting.dtype], f"{name}, {way}")
            seconds[way] = time.perf_counter() - start
            runs[way] = run
        except Exception as problem:
            session.failed(f"{name}, batch {batch}, {way}", problem)
    samples: dict[str, list[float]] = {way: [] for way in runs}
    together = 1 if batch > 16 or not setting.cuda else 10  # one image takes as long as an event
    for number in range(12 if setting.cuda else 1):
        for way, run in runs.items():
            x = xs[number % 2]

            def several(run: Any = run, x: torch.Tensor = x) -> None:
                for _ in range(together):
                    run(x)

            found = events(several, 1, warm=0) if setting.cuda else [_clocked(several)]
            samples[way].append(found[0] / together)
    times = {way: statistics.median(found) for way, found in samples.items()}
    session.record(
        "network", network=name, batch=batch, dtype=str(setting.dtype),
        milliseconds={way: time * 1e3 for way, time in times.items()}, preparation=seconds, errors=errors,
    )  # fmt: skip
    session.say(f"{name} x{batch}, img/s: " + ", ".join(f"{way} {batch / t:.0f}" for way, t in times.items()))
    if "auto, no graph" in runs:
        profile(session, f"{name} x{batch}", runs["auto, no graph"], xs[0])


def profile(session: Session, what: str, run: Callable[..., Any], x: torch.Tensor) -> None:
    """Record which kernels a network starts, how often, and the microseconds of each."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    try:
        with profiler(activities=[ProfilerActivity.CUDA]) as found:
            run(x)
            torch.cuda.synchronize()
        kernels: dict[str, list[float]] = {}
        for event in (e for e in found.events() if e.device_time > 0):
            one = kernels.setdefault(event.name[:60], [0, 0.0])
            one[0], one[1] = one[0] + 1, round(one[1] + event.device_time, 1)
        most = sorted(kernels.items(), key=lambda pair: -pair[1][1])
        total = sum(time for _, time in kernels.values())
        session.record("profile", what=what, kernels=[[name, *one] for name, one in most[:20]], total=total)
    except Exception as problem:
        session.failed(f"profile of {what}", problem)


def training(session: Session, compile: bool = False) -> None:
    """Measure a step of training of the first network, forward and backward, under autocast."""
    setting = session.setting
    name, batch = setting.networks[0], setting.training
    x = torch.randn(batch, 3, setting.size, setting.size, device=setting.device).contiguous(memory_format=LAST)
    target = torch.randint(1000, (batch,), device=setting.device)
    state = network(name).state_dict()
    runs: dict[str, Callable[[], torch.Tensor]] = {}
    with torch.enable_grad():
        for way in ("none", "all") if compile else ("none", "auto", "all"):
            model = archdsl.load(name, kernels=way)
            model.load_state_dict(state)
            model = model.to(setting.device, memory_format=LAST).train()
            run = torch.compile(model) if compile else model

            def step(run: Any = run, model: nn.Module = model) -> torch.Tensor:
                with torch.autocast(setting.device, setting.dtype, enabled=setting.dtype != torch.float32):
                    loss = nn.functional.cross_entropy(run(x), target)
                loss.backward()
                for p in model.parameters():
                    p.grad = None
                return loss.detach()

            runs[way] = step
        torch.manual_seed(1)
        expected = runs["none"]()
        samples: dict[str, list[float]] = {way: [] for way in runs}
        for way, step in runs.items():
            torch.manual_seed(1)  # the same dropout masks
            check(step().view(1), expected.view(1), 0.05, f"{name}, loss, {way}")
        for _ in range(8 if setting.cuda else 1):
            for way, step in runs.items():
                samples[way] += events(step, 1, warm=0) if setting.cuda else [_clocked(step)]
        times = {way: statistics.median(found) for way, found in samples.items()}
        how = "inductor" if compile else "eager"
        session.record(
            "training", network=name, batch=batch, how=how, milliseconds={w: t * 1e3 for w, t in times.items()}
        )
        session.say(
            f"{name}, a step of {batch}, {how}, ms: " + ", ".join(f"{w} {t * 1e3:.2f}" for w, t in times.items())
        )
        if setting.cuda and not compile:
            profile(session, f"training {name}, all", lambda _: runs["all"](), x)
            profile(session, f"training {name}, none", lambda _: runs["none"](), x)


def inductor(session: Session) -> None:
    """Measure the step of training as torch.compile makes it."""
    training(session, compile=True)


# -------------------------------------------------------------------------------------------------- summary
def summary(session: Session) -> None:
    """Print what was found, under 8,000 characters; it ends in the rows of the table that decides."""
    from benchmarks.gpu_results import rows_of, shares

    print("=" * 20, "summary")
    text = "\n".join([*session.lines, *shares(session.results)])[-5200:]
    lines = [",".join(map(str, row)) for row in rows_of(session.results)]
    print(text)
    print("\n".join(lines)[:2400], flush=True)


STAGES: dict[str, tuple[float, Callable[[Session], None]]] = {
    "machine": (15, machine),
    "compile": (120, compile_all),
    "layers": (170, layers),
    "adopt": (5, adopt),
    "networks": (90, networks),
    "dense": (15, dense),
    "training": (40, training),
    "autotune": (150, autotune),
    "inductor": (100, inductor),
    "correct": (120, correct),
}


@torch.no_grad()
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, in Triton's interpreter on a CPU")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu")
    parser.add_argument("--seconds", type=float, default=460)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--networks", nargs="+", help="networks to measure, instead of three")
    parser.add_argument("--tuned", nargs="*", help="networks whose layers' tiles are tried")
    parser.add_argument("--peers", nargs="*", help="networks to compile with max-autotune")
    parser.add_argument("--layers", nargs="*", help="further networks, of which only layers are measured")
    parser.add_argument("--operations", nargs="*", help="of the layers that are measured")
    parser.add_argument("--tests", default="", help="which of the kernels' tests run, as pytest's -k")
    parser.add_argument("--batches", nargs="+", type=int, help="numbers of images, instead of 256 and 1")
    parser.add_argument("--compile", action="store_true", help="only fill the cache of kernels")
    parser.add_argument("--processes", type=int, help="that compile")
    options = parser.parse_args(arguments)
    setting = (TINY if options.tiny else FULL)._replace(device=options.device)
    for name in ("networks", "tuned", "peers", "layers", "operations", "batches"):
        if getattr(options, name) is not None:
            setting = setting._replace(**{name: tuple(getattr(options, name))})
    session = Session(options.out, options.seconds, setting._replace(tests=options.tests))
    if options.compile:
        session.run("compile", 1e9, lambda session: compile_all(session, options.processes))
        return
    if setting.cuda and not torch.cuda.is_available():
        raise SystemExit("no GPU here: --device cpu --tiny rehearses, --compile fills the cache")
    signal.signal(signal.SIGTERM, lambda *_: (summary(session), os._exit(143)))
    gc.freeze()  # each recording collects garbage, and would look at a million objects of imports
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # what is checked against is float32
    try:
        for name in options.stages:
            session.run(name, *STAGES[name])
            if setting.cuda:
                torch.cuda.empty_cache()
    finally:
        summary(session)


if __name__ == "__main__":
    main()
