"""The kernels of `archdsl.kernels` on a GPU, layer by layer, beside every way that PyTorch has.

    python -m benchmarks.kernels                     # depthwise convolutions of 17 layers, shuffles, 1x1 convolutions
    python -m benchmarks.kernels --dtype float16 --batch 64

Random data, inputs that rotate through more memory than the cache holds, calls recorded as CUDA graphs, ways that take
turns, medians. Each result is checked against float32 first; a wrong one ends the run. Baselines: eager contiguous and
channels_last, with cuDNN choosing its algorithm, and torch.compile, default and max-autotune; beside them the floor,
the bytes of each tensor once over the bandwidth of a copy on this machine. Writes `results/kernels.json`, the table
and the plot of `docs/kernels.md`, and prints the rows for `archdsl/measured.py`, which decides where a kernel is taken.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from archdsl.kernels import channel_shuffle, depthwise_conv2d, pointwise_conv2d, separable_conv2d

from archdsl.measured import Measurement
from benchmarks.instructions import LAYERS, SEPARABLE
from benchmarks.measure import ROOT, about, check, copies, interleaved, table, write
from benchmarks.plot import bars

PAGE = ROOT / "docs" / "kernels.md"
LAST = torch.channels_last
TOLERANCE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}
POINTWISE = ((32, 192, 28), (192, 32, 28), (96, 576, 14), (576, 96, 14), (960, 320, 7), (58, 58, 28), (232, 232, 7))
SHUFFLES = ((116, 28), (232, 14), (464, 7))

CALLS = 20  # of one way, recorded as one CUDA graph

Way = Callable[..., torch.Tensor]


def bandwidth() -> float:
    """Return the bytes a second that a copy of 1 GiB reads and writes here."""
    x = torch.empty(1 << 28, device="cuda")
    y = torch.empty_like(x)
    found = interleaved({"copy": lambda number: y.copy_(x)}, "cuda", 10)
    return 2 * x.numel() * 4 / found["copy"]["median"]


def compiled(run: Way, mode: str | None = None) -> Way:
    torch._dynamo.reset()
    return torch.compile(run, mode=mode)


def inputs(batch: int, channels: int, size: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return random maps in channels_last, enough of them to fill the cache several times."""
    one = batch * channels * size * size * torch.finfo(dtype).bits // 8
    shape = (batch, channels, size, size)
    return [
        torch.randn(shape, device="cuda").to(dtype).contiguous(memory_format=LAST) for _ in range(copies(one, "cuda"))
    ]


def measured(
    ways: dict[str, Way], xs: list[torch.Tensor], exact: torch.Tensor, floor: float, rounds: int, what: str
) -> dict[str, object]:
    """Check and time all ways of one layer; the contiguous one has inputs of its own."""
    plain = [x.contiguous() for x in xs]
    runs = {}
    for name, way in ways.items():
        mine = plain if name == "eager" else xs
        check(way(mine[0]), exact, TOLERANCE[xs[0].dtype], f"{what}, {name}")
        runs[name] = lambda number, way=way, mine=mine: way(mine[number % len(mine)])
    times = {name: found["median"] for name, found in interleaved(runs, "cuda", rounds, together=CALLS).items()}
    best = min(seconds for name, seconds in times.items() if name != "archdsl")
    return {
        "what": what,
        "microseconds": {name: round(seconds * 1e6, 2) for name, seconds in times.items()},
        "floor": round(floor * 1e6, 2),
        "share_of_floor": round(floor / times["archdsl"], 3),
        "times_eager_channels_last": round(times["eager, channels_last"] / times["archdsl"], 2),
        "times_the_best_other": round(best / times["archdsl"], 2),
    }


class Layer:
    """The tensors of one depthwise layer."""

    def __init__(self, layer: tuple[int, int, int, int], batch: int, dtype: torch.dtype) -> None:
        channels, size, kernel, stride = layer
        self.xs = inputs(batch, channels, size, dtype)
        self.weight = torch.randn(channels, 1, kernel, kernel, device="cuda").to(dtype) / kernel
        self.options = {"stride": stride, "padding": kernel // 2}
        self.where = ([stride] * 2, [kernel // 2] * 2, [1, 1])
        self.channels = channels
        self.exact = F.conv2d(self.xs[0].float(), self.weight.float(), **self.options, groups=channels)
        self.other = torch.randn_like(self.exact).to(dtype).contiguous(memory_format=LAST)
        self.moved = (self.xs[0].numel() + self.exact.numel()) * self.xs[0].element_size()

    def convolve(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight, **self.options, groups=self.channels)

    def gradients(self, dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.ops.aten.convolution_backward(
            dy, x, weight, None, *self.where, False, [0, 0], self.channels, [True, True, False]
        )
        return found[0], found[1]


def all_ways(theirs: Way, ours: Way) -> dict[str, Way]:
    """Return every way of PyTorch, and ours."""
    return {
        "eager": theirs,
        "eager, channels_last": theirs,
        "inductor": compiled(theirs),
        "inductor, max-autotune": compiled(theirs, "max-autotune-no-cudagraphs"),
        "archdsl": ours,
    }


def alone(layer: tuple[int, int, int, int], batch: int, dtype: torch.dtype, rate: float, rounds: int) -> dict:
    """Measure a depthwise convolution."""
    t = Layer(layer, batch, dtype)
    ways = all_ways(t.convolve, lambda x: depthwise_conv2d(x, t.weight, **t.options))
    return measured(ways, t.xs, t.exact, t.moved / rate, rounds, f"depthwise {layer}")


def fused(layer: tuple[int, int, int, int], batch: int, dtype: torch.dtype, rate: float, rounds: int) -> dict:
    """Measure a depthwise convolution with batch norm, residual and ReLU6."""
    t = Layer(layer, batch, dtype)
    mean, variance, shift = (torch.rand(t.channels, device="cuda") + 0.5 for _ in range(3))
    scale = variance.rsqrt()

    def theirs(x: torch.Tensor) -> torch.Tensor:
        z = F.batch_norm(t.convolve(x), mean.to(dtype), variance.to(dtype), None, shift.to(dtype), eps=0.0)
        return F.relu6(z + t.other)

    def ours(x: torch.Tensor) -> torch.Tensor:
        return depthwise_conv2d(x, t.weight, scale, folded, t.other, **t.options, act="relu6")

    folded = shift - mean * scale
    exact = F.relu6(F.batch_norm(t.exact, mean, variance, None, shift, eps=0.0) + t.other.float())
    moved = t.moved + t.other.numel() * t.other.element_size()
    return measured(all_ways(theirs, ours), t.xs, exact, moved / rate, rounds, f"depthwise fused {layer}")


def backward(layer: tuple[int, int, int, int], batch: int, dtype: torch.dtype, rate: float, rounds: int) -> dict:
    """Measure both gradients: x and dy read once, dx written once."""
    t = Layer(layer, batch, dtype)

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return t.gradients(t.other, x, t.weight)[1]

    def ours(x: torch.Tensor) -> torch.Tensor:
        return torch.ops.archdsl.depthwise_conv2d_grads(t.other, x, t.weight, *t.where)[1]

    dx, dw = t.gradients(t.other.float(), t.xs[0].float(), t.weight.float())
    found, _ = torch.ops.archdsl.depthwise_conv2d_grads(t.other, t.xs[0], t.weight, *t.where)
    moved = t.moved + t.xs[0].numel() * t.xs[0].element_size()
    check(found, dx, TOLERANCE[dtype], f"input gradient {layer}")
    return measured(all_ways(theirs, ours), t.xs, dw, moved / rate, rounds, f"depthwise backward {layer}")


def pointwise(layer: tuple[int, int, int], batch: int, dtype: torch.dtype, rate: float, rounds: int) -> dict:
    """Measure a 1x1 convolution with folded batch norm and ReLU6."""
    channels, out, size = layer
    xs = inputs(batch, channels, size, dtype)
    weight = torch.randn(out, channels, 1, 1, device="cuda").to(dtype) / math.sqrt(channels)
    shift = torch.randn(out, device="cuda")

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return F.relu6(F.conv2d(x, weight, shift.to(dtype)))

    ways = all_ways(theirs, lambda x: pointwise_conv2d(x, weight, None, shift, act="relu6"))
    exact = F.relu6(F.conv2d(xs[0].float(), weight.float(), shift))
    moved = (xs[0].numel() + exact.numel()) * xs[0].element_size()
    return measured(ways, xs, exact, moved / rate, rounds, f"pointwise {layer}")


def separable(layer: tuple[int, int, int, int, int], batch: int, dtype: torch.dtype, rate: float, rounds: int) -> dict:
    """Measure a depthwise convolution and a 1x1 one, each with a folded batch norm, ReLU6 between."""
    *first, out = layer
    t = Layer(tuple(first), batch, dtype)
    weight = torch.randn(out, t.channels, 1, 1, device="cuda").to(dtype) / math.sqrt(t.channels)
    shift, shift_out = (torch.randn(count, device="cuda") for count in (t.channels, out))

    def theirs(x: torch.Tensor) -> torch.Tensor:
        a = F.relu6(t.convolve(x) + shift.view(-1, 1, 1).to(dtype))
        return F.conv2d(a, weight, shift_out.to(dtype))

    def apart(x: torch.Tensor) -> torch.Tensor:
        a = depthwise_conv2d(x, t.weight, None, shift, **t.options, act="relu6")
        return pointwise_conv2d(a, weight, None, shift_out)

    def ours(x: torch.Tensor) -> torch.Tensor:
        return separable_conv2d(x, t.weight, weight, None, shift, None, shift_out, **t.options, act="relu6")

    exact = F.conv2d(F.relu6(t.exact + shift.view(-1, 1, 1)), weight.float(), shift_out)
    moved = (t.xs[0].numel() + exact.numel()) * t.xs[0].element_size()
    ways = all_ways(theirs, ours) | {"two kernels": apart}
    return measured(ways, t.xs, exact, moved / rate, rounds, f"separable {layer}")


def shuffle(layer: tuple[int, int], batch: int, dtype: torch.dtype, rate: float, rounds: int) -> dict:
    """Measure a channel shuffle of two groups."""
    xs = inputs(batch, *layer, dtype)

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)

    ways = all_ways(theirs, lambda x: channel_shuffle(x, 2))
    moved = 2 * xs[0].numel() * xs[0].element_size()
    return measured(ways, xs, theirs(xs[0]), moved / rate, rounds, f"shuffle {layer}")


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


# What decides where a kernel is taken: part, operation, and layers as (channels of the result, of the depthwise one if
# there are two; size, window, stride)
DECISIVE = (
    ("alone", "depthwise", LAYERS),
    ("pointwise", "pointwise", tuple((out, size, 1, 1) for _, out, size in POINTWISE)),
    ("separable", "separable", tuple(layer[:4] for layer in SEPARABLE)),
    ("shuffle", "shuffle", tuple((channels, size, 1, 1) for channels, size in SHUFFLES)),
)


def rows(results: dict[str, list[dict]], dtype: str, device: str, commit: str) -> list[Measurement]:
    """Return the rows that the results make in the table that decides."""
    made = []
    for part, operation, layers in DECISIVE:
        for (channels, size, kernel, stride), found in zip(layers, results.get(part, [])):
            times = found["times_the_best_other"]
            made.append(Measurement(operation, kernel, stride, channels, size, dtype, times, device, commit[:12]))
    return made


def page(results: dict[str, list[dict]]) -> None:
    """Write the table and the plot of the results into the page."""
    lines = ["| layer | eager, channels_last, µs | best other | archdsl | floor |", "| --- | --- | --- | --- | --- |"]
    for r in [result for part in results.values() for result in part]:
        times = dict(r["microseconds"])
        ours = times.pop("archdsl")
        lines.append(
            f"| {r['what']} | {times['eager, channels_last']} | {min(times.values())} | {ours} | {r['floor']} |"
        )
    shares = {part: {r["what"]: r["share_of_floor"] for r in found} for part, found in results.items()}
    bars(PAGE.parent / "kernels-cuda.svg", shares, "share of the bandwidth floor")
    picture = "![Share of the bandwidth floor that each kernel reaches](kernels-cuda.svg)"
    table(PAGE, "kernels-cuda", [picture, "", *lines])


PARTS: dict[str, tuple[Callable[..., dict], tuple]] = {
    "alone": (alone, LAYERS),
    "fused": (fused, LAYERS),
    "backward": (backward, LAYERS),
    "pointwise": (pointwise, POINTWISE),
    "separable": (separable, SEPARABLE),
    "shuffle": (shuffle, SHUFFLES),
}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here: `python -m benchmarks.instructions` counts instructions without one")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # what is checked against is float32
    dtype, rate = getattr(torch, options.dtype), bandwidth()
    common = (options.batch, dtype, rate, options.rounds)
    results: dict[str, list[dict]] = {}
    for part in options.parts:
        measure, layers = PARTS[part]
        results[part] = found = []
        for layer in layers:
            found.append(measure(layer, *common))
            print(found[-1], flush=True)
        ratios = [key for key in found[0] if key.startswith(("times", "share"))]
        print(part, {key: round(geometric_mean([result[key] for result in found]), 2) for key in ratios})
    where = about("cuda")
    record = where | {"batch": options.batch, "dtype": options.dtype, "bandwidth": rate, "results": results}
    print("wrote", write("kernels", record))
    page(results)
    for row in rows(results, options.dtype, where["device"], where["commit"]):
        print(f"    {row},")


if __name__ == "__main__":
    main()
