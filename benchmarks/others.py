"""Networks of timm and torchvision through `archdsl.optimize`, beside PyTorch eager as it is and in channels_last.

    python -m benchmarks.others                                  # twelve networks, batches of 1 and 8, ten minutes
    python -m benchmarks.others timm:lcnet_100 --batches 1       # another one: printed, and not recorded
    python -m benchmarks.others --page                           # the table again, from the last results

Random weights, images of 224x224, statistics as after training, float32, one thread, processor time of this process.
Each network is loaded once, and held to its own result on each batch: an error of more than 1e-5 of the largest value
ends the run. The three ways take turns, and medians are compared: what counts is `optimize` beside the faster of the
other two. Writes `results/others-cpu.json` and the table of `docs/performance.md`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence

import torch
from torch import nn

import archdsl
from benchmarks import torchvision_ops
from benchmarks.measure import (
    RESULTS,
    ROOT,
    about,
    check,
    in_milliseconds,
    interleaved,
    prepared,
    rounds,
    table,
    write,
)
from benchmarks.networks import as_trained, caption

NETS = (
    "torchvision:resnet50",
    "torchvision:mobilenet_v3_large",
    "torchvision:googlenet",
    "torchvision:densenet121",
    "torchvision:efficientnet_b0",
    "torchvision:swin_t",
    "timm:vit_tiny_patch16_224",
    "timm:repvgg_a0",
    "timm:convnext_atto",
    "timm:ghostnet_100",
    "timm:regnety_004",
    "timm:tf_efficientnet_b0",
)
KIND = "others-cpu"
PAGE = ROOT / "docs" / "performance.md"
TOLERANCE = 1e-5
SLOWER = 1.03  # at most, beside the faster of the other two
SECONDS = 25.0  # of measurement, a network and a batch
ROUNDS = (11, 101)  # at least and at most
EAGER, LAST, OURS = "eager", "eager, channels_last", "archdsl.optimize"


def network(name: str) -> nn.Module:
    """Make a network of a library, `timm:NAME` or `torchvision:NAME`, with random weights."""
    library, _, net = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        import timm

        return as_trained(timm.create_model(net))
    import torchvision

    options = {"init_weights": False} if net == "googlenet" else {}
    return as_trained(torchvision.models.get_model(net, weights=None, **options))


@torch.inference_mode()
def measured(name: str, model: nn.Module, batch: int) -> dict:
    """Measure the three ways of a network on a batch."""
    last = torch.channels_last
    x = torch.randn(batch, 3, 224, 224)
    inputs = {EAGER: x, LAST: x.contiguous(memory_format=last), OURS: x}
    makes = {
        EAGER: lambda: model,
        LAST: lambda: copy.deepcopy(model).to(memory_format=last),
        OURS: lambda: archdsl.optimize(model),
    }
    expected, made, rows = model(x), {}, {}
    for way, make in makes.items():
        made[way], y, seconds = prepared(make, inputs[way])
        rows[way] = {"preparation": round(seconds, 2), "error": check(y, expected, TOLERANCE, f"{name}, {way}")}
    runs = {way: lambda number, run=run, x=inputs[way]: run(x) for way, run in made.items()}
    turns = rounds(made.values(), x, SECONDS, *ROUNDS)
    for way, times in interleaved(runs, turns, clock=time.process_time).items():
        rows[way] |= in_milliseconds(times)
    return {
        "network": name,
        "batch": batch,
        "rounds": turns,
        "milliseconds": rows,
        "times_the_faster": beside(rows),
        "fused": made[OURS].fused,
    }


def beside(rows: dict[str, dict]) -> dict[str, float]:
    """Return the time of `optimize` over that of the faster of the other two, by medians and by least times."""
    kinds = ("median", "min")
    return {kind: round(rows[OURS][kind] / min(rows[way][kind] for way in (EAGER, LAST)), 3) for kind in kinds}


def lines(results: Sequence[dict]) -> list[str]:
    """Return the results as a table in Markdown, milliseconds a batch."""
    found = [
        "| network, images | eager | channels_last | `optimize` | beside the faster | largest error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in results:
        rows = row["milliseconds"]
        times = " | ".join([f"{rows[way]['median']:.1f}" for way in (EAGER, LAST, OURS)])
        name = row["network"].replace(":", " ")
        ratio, error = row["times_the_faster"]["median"], rows[OURS]["error"]
        found.append(f"| {name}, {row['batch']} | {times} | {ratio:.2f} | {error:.0e} |")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--page", action="store_true", help="only write the table again")
    options = parser.parse_args(arguments)
    if options.page:
        record = json.loads((RESULTS / f"{KIND}.json").read_text())
        table(PAGE, KIND, [*caption(record), *lines(record["results"])])
        return
    kept = torchvision_ops.declared()
    torch.set_num_threads(1)
    record, results = about("cpu") | {"clock": "process"}, []
    for name in options.nets:
        model = network(name)
        for batch in options.batches:
            results.append(measured(name, model, batch))
            print(lines(results[-1:])[-1], flush=True)
    del kept
    if tuple(options.nets) == NETS and options.batches == [1, 8]:
        import timm

        record |= {"results": results}
        record["versions"] |= {"timm": timm.__version__}
        write(KIND, record)
        table(PAGE, KIND, [*caption(record), *lines(results)])


if __name__ == "__main__":
    main()
