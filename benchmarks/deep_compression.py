"""The tables of Deep Compression (Han, Mao and Dally, 2016, arXiv:1510.00149) and of SqueezeNet (arXiv:1602.07360)
recounted: what `archdsl.compress` makes of networks with the densities and bits of the papers.

    python -m benchmarks.deep_compression            # a minute or two, 3 GB; writes results/deep_compression.json
    python -m benchmarks.deep_compression --page     # and the tables of docs/compression.md, from the last results

Nobody's pruned weights are at hand, so weights are drawn from a normal distribution, of which the largest are kept. The
last part trains a small network on scikit-learn's digits, three times, and compresses it with training in between.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import nn

import archdsl
from archdsl.compression import pack
from benchmarks.measure import RESULTS, ROOT, about, commit, table, write
from tests.digits import accuracy, train

PAGE, KIND = ROOT / "docs" / "compression.md", "deep_compression"
TEXTS = """
net lenet_300_100:
    input image: [N, 1, H=28, W=28]
    flatten -> ip1: linear(300) -> relu -> ip2: linear(100) -> relu -> ip3: linear(10)

net lenet_5:
    input image: [N, 1, H=28, W=28]
    conv1: conv(20, 5, pad=0) -> maxpool(2) -> conv2: conv(50, 5, pad=0) -> maxpool(2) -> flatten
    ip1: linear(500) -> relu -> ip2: linear(10)

net digits:
    input image: [N, 1, H=8, W=8]
    conv1: conv(32, 3) -> relu -> conv2: conv(64, 3) -> relu -> maxpool(2) -> flatten
    ip1: linear(128) -> relu -> ip2: linear(10)
"""


class Row(NamedTuple):
    """A layer of the paper's tables: weights left, bits of weights and of gaps, and both with Huffman's code."""

    layer: str
    left: float
    bits: int
    bits_coded: float
    gap: int
    gap_coded: float


class Table(NamedTuple):
    """A table of the paper: the network here, its rows, and the sizes in bytes, before and after."""

    net: str
    rows: list[Row]
    whole: float
    size: float


def _rows(text: str) -> list[Row]:
    found = []
    for line in text.strip().splitlines():
        layer, left, bits, coded, gap, gap_coded = line.split()
        found.append(Row(layer, float(left) / 100, int(bits), float(coded), int(gap), float(gap_coded)))
    return found


KB, MB = 1e3, 1e6
TABLES = {
    "LeNet-300-100": Table("lenet_300_100", _rows("""
        ip1  8 6 4.4 5 3.7
        ip2  9 6 4.4 5 4.3
        ip3 26 6 4.3 5 3.2"""), 1070 * KB, 27 * KB),
    "LeNet-5": Table("lenet_5", _rows("""
        conv1 66 8 7.2 5 1.5
        conv2 12 8 7.2 5 3.9
        ip1    8 5 4.5 5 4.5
        ip2   19 5 5.2 5 3.7"""), 1720 * KB, 44 * KB),
    "AlexNet": Table("alexnet_2012", _rows("""
        conv1 84 8 6.3 4 1.2
        conv2 38 8 5.5 4 2.3
        conv3 35 8 5.1 4 2.6
        conv4 37 8 5.2 4 2.5
        conv5 37 8 5.6 4 2.5
        fc6    9 5 3.9 4 3.2
        fc7    9 5 3.6 4 3.7
        fc8   25 5 4   4 3.2"""), 240 * MB, 6.9 * MB),
    "VGG-16": Table("vgg16", _rows("""
        features.0  58 8 6.8 5 1.7
        features.2  22 8 6.5 5 2.6
        features.5  34 8 5.6 5 2.4
        features.7  36 8 5.9 5 2.3
        features.10 53 8 4.8 5 1.8
        features.12 24 8 4.6 5 2.9
        features.14 42 8 4.6 5 2.2
        features.17 32 8 4.6 5 2.6
        features.19 27 8 4.2 5 2.9
        features.21 34 8 4.4 5 2.5
        features.24 35 8 4.7 5 2.5
        features.26 29 8 4.6 5 2.7
        features.28 36 8 4.6 5 2.3
        classifier.0  4 5 3.6 5 3.5
        classifier.3  4 5 4   5 4.3
        classifier.6 23 5 4   5 3.4"""), 552 * MB, 11.3 * MB),
}  # fmt: skip
SQUEEZENET = {
    "density": 0.33,
    "bits": 6,
    "size": 0.47,
    "whole": 4.8,
}  # MB, of 2**20 bytes: 4.99e6 bytes are 4.8 of them


def loaded(net: str, folder: Path) -> nn.Module:
    """Return a network with weights from a normal distribution, of the gallery or of the texts above."""
    path = folder / "nets.arch"
    path.write_text(TEXTS)
    torch.manual_seed(0)
    model = archdsl.load(path, net=net) if f"net {net}" in TEXTS else archdsl.load(net)
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            nn.init.normal_(parameter, std=0.02)
    return model


def recounted(table: Table) -> dict:
    """Compress a network as the paper has it, and take the file apart."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, path = loaded(table.net, folder), folder / "small.archz"
        start = time.perf_counter()
        asked = {
            "density": {row.layer: row.left for row in table.rows},
            "bits": {row.layer: row.bits for row in table.rows},
        }
        made = archdsl.compress(model, path, **asked)
        seconds = time.perf_counter() - start
        packed = pack.read(path.read_bytes())
        reading = time.perf_counter() - start - seconds
        same = all(layer.weight().equal(model.get_submodule(name).weight) for name, layer in packed.layers.items())
        assert same, "decoded weights are not those that were written"
    rows = []
    for row, layer in zip(table.rows, made.layers):
        uncoded = fixed(packed.layers[row.layer].places, row)
        rows.append(layer.__dict__ | {"uncoded": uncoded})
    uncoded = sum(one["uncoded"] for one in rows)
    found = {"size": made.size, "whole": made.whole, "uncoded": uncoded, "seconds": round(seconds, 1)}
    return found | {"reading": round(reading, 1), "layers": rows}


def fixed(places: torch.Tensor, row: Row) -> int:
    """Return the bytes of a layer without Huffman's code, as in the paper: a zero is stored where a gap is too long."""
    longest = 1 << row.gap
    gaps = places.diff(prepend=places.new_tensor([-1]))
    fillers = int(((gaps - 1) // longest).sum())
    return ((len(places) + fillers) * (row.bits + row.gap) + 32 * (1 << row.bits)) // 8


def squeezenet() -> dict:
    """Compress SqueezeNet 1.0 at the density and the bits of its paper."""
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "small.archz"
        model = loaded("squeezenet1_0", Path(temporary))
        made = archdsl.compress(model, path, density=SQUEEZENET["density"], bits=SQUEEZENET["bits"])
    return {"size": made.size, "whole": made.whole}


def trained(seed: int) -> dict:
    """Train a network on the digits, compress it with training in between, and look at what it recognizes."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = loaded("digits", folder)
        torch.manual_seed(seed)
        model.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
        density, path = {"conv": 0.4, "linear": 0.1}, folder / "small.archz"
        drawn = archdsl.compress(copy.deepcopy(model), path, density=density)
        before = accuracy(train(model, 300))
        made = archdsl.compress(model, path, density=density, train=lambda one: train(one, 300, 0.005), steps=4)
        after = accuracy(archdsl.decompress(path).eval())
    found = {"seed": seed, "before": before, "after": after, "size": made.size, "whole": made.whole}
    layers = {kind: [one.__dict__ for one in which.layers] for kind, which in (("drawn", drawn), ("trained", made))}
    return found | {"layers": layers}


# -------------------------------------------------------------------------------------------------- the page
def lines(record: dict) -> list[str]:
    """Return the sizes of all networks as a table in Markdown."""
    found = [
        "| network | float32 | paper, P+Q | here | paper, P+Q+H | here, the whole file | times smaller |",
        "| --- " * 7 + "|",
    ]
    for name, one in record["tables"].items():
        paper = TABLES[name]
        uncoded = {"LeNet-300-100": "3.1 %", "LeNet-5": "3.05 %", "AlexNet": "3.7 %", "VGG-16": "3.2 %"}[name]
        whole = f"{one['whole']:,}"
        own = f"{one['uncoded'] / one['whole']:.2%}"
        coded = (
            f"{paper.size:,.0f} ({paper.size / paper.whole:.2%}) | {one['size']:,} ({one['size'] / one['whole']:.2%})"
        )
        found.append(f"| {name} | {whole} | {uncoded} | {own} | {coded} | {one['whole'] / one['size']:.1f} |")
    return found


def by_layer(record: dict) -> list[str]:
    """Return bits a weight of each layer beside the paper's."""
    found = ["| layer | left | bits | coded, paper | here | gaps, paper | here |", "| --- " * 7 + "|"]
    for name, one in record["tables"].items():
        for row, layer in zip(TABLES[name].rows, one["layers"]):
            bits = f"{row.bits} | {row.bits_coded} | {layer['index']:.1f} | {row.gap_coded} | {layer['gap']:.1f}"
            found.append(f"| {name}, {row.layer} | {row.left:.0%} | {bits} |")
    return found


def page(record: dict) -> None:
    """Write what was measured into the page."""
    small, digits = record["squeezenet"], record["digits"]
    size, ratio = small["size"], small["whole"] / small["size"]
    own = f"{size:,} bytes, {size / 2**20:.3f} MB of 2**20 bytes (paper: 0.47), {ratio:.1f} times smaller"
    table(PAGE, KIND, lines(record))
    table(PAGE, "squeezenet", [f"SqueezeNet 1.0 at 33 % and 6 bits: {own}."])
    table(PAGE, "by_layer", by_layer(record))
    mean = [statistics.mean(one[kind] for one in digits) for kind in ("before", "after")]
    size = statistics.mean(one["size"] / one["whole"] for one in digits)
    each = ", ".join(f"{one['before']:.1%} to {one['after']:.1%}" for one in digits)
    said = (
        f"accuracy {mean[0]:.1%} in float32 and {mean[1]:.1%} from the file, which has {size:.1%} of the size ({each})"
    )
    table(PAGE, "digits", [f"Of {len(digits)} seeds: {said}."])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="only write the tables again")
    parser.add_argument("--digits", action="store_true", help="only the last part, beside the other results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    record = about("cpu") | {"commit": commit(), "tables": {}}
    if options.page or options.digits:
        record = json.loads((RESULTS / f"{KIND}.json").read_text())
    else:
        count(record)
    if not options.page:
        record["digits"] = [trained(seed) for seed in range(3)]
        write(KIND, record)
    page(record)


def count(record: dict) -> None:
    """Put the tables and SqueezeNet into a record."""
    for name, one in TABLES.items():
        record["tables"][name] = recounted(one)
        print(lines(record)[-1], record["tables"][name]["seconds"], record["tables"][name]["reading"], flush=True)
    record["squeezenet"] = squeezenet()


if __name__ == "__main__":
    main()
