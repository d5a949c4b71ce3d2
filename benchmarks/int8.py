"""What int8 does to a network in ONNX Runtime and OpenVINO: the size of the file, the time of an image, what is lost.

    pip install ".[bench,int8]" scikit-image scikit-learn
    python -m benchmarks.int8                  # MobileNet v2 and ResNet-50, one thread
    python -m benchmarks.int8 --page           # the table again, from the last results

No published weights are at hand, so the networks are trained first, for minutes, on patches of ten photographs, 64x64
(`photographs`); the weights stay in `.int8/`. Accuracy and agreement are of 500 patches of the other side of the
photographs, at that size. Time and size are of the file for 224x224, one image; float32 and int8 take turns, and the
processor time of this process counts. Calibrated on 128 patches of those that were trained on, of which every fourth is
held back. Writes `results/int8-cpu.json` and the table of `docs/deploy.md`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import archdsl
from archdsl.deploy.formats import FORMATS
from benchmarks.engines import versions
from benchmarks.measure import RESULTS, ROOT, about, commit, in_milliseconds, interleaved, table, write
from benchmarks.networks import caption
from benchmarks.photographs import patches, trained

STEPS = {"mobilenet_v2": 300, "resnet50": 200}
ENGINES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
KIND, PAGE, WEIGHTS = "int8-cpu", ROOT / "docs" / "deploy.md", ROOT / ".int8"
SMALL, LARGE, IMAGES, TESTED = 64, 224, 128, 500
ROUNDS = 60


def weights_of(name: str) -> Path:
    """Return a file of weights for ten photographs, trained where there is none."""
    path = WEIGHTS / f"{name}.pth"
    if not path.exists():
        WEIGHTS.mkdir(exist_ok=True)
        torch.save(trained(name, SMALL, STEPS[name]).state_dict(), path)
    return path


def files(name: str, format: str, size: int, folder: Path) -> tuple[dict[str, Path], archdsl.deploy.Exported]:
    """Export a network in float32 and in int8."""
    asked = {"weights": weights_of(name), "classes": 10, "sizes": ((1, 3, size, size),)}
    paths = {kind: folder / f"{kind}{size}{FORMATS[format].ending}" for kind in ("float32", "int8")}
    archdsl.export(name, paths["float32"], **asked)
    return paths, archdsl.export(name, paths["int8"], int8=patches("train", size, IMAGES, seed=1)[0], **asked)


def runner(format: str, path: Path, folder: Path) -> Callable:
    """Return what runs a file."""
    parts = [path.with_suffix(ending) for ending in (".onnx", ".xml", ".bin") if path.with_suffix(ending).exists()]
    own = folder / path.stem
    own.mkdir()
    return FORMATS[format].run({part.suffix: part.read_bytes() for part in parts}, str(own))


@torch.no_grad()
def measured(name: str, format: str) -> dict:
    """Measure a network in one format."""
    row: dict = {"network": name, "engine": ENGINES[format], "commit": commit()}
    x, y = patches("test", SMALL, TESTED)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths, made = files(name, format, SMALL, folder)
        found = {kind: labels(runner(format, path, folder), x) for kind, path in paths.items()}
        row["accuracy"] = {kind: float((one == y).float().mean()) for kind, one in found.items()}
        row["agreement"] = float((found["int8"] == found["float32"]).float().mean())
        row["error_of_held_back"] = made.int8.error
        row["layers"] = [layer.__dict__ for layer in made.int8.layers]
        paths, made = files(name, format, LARGE, folder)
        row["bytes"] = {"float32": made.int8.float_bytes, "int8": made.bytes}
        runs, image = {kind: runner(format, path, folder) for kind, path in paths.items()}, patches("test", LARGE, 1)[0]
        ways = {kind: lambda number, run=run: run([image]) for kind, run in runs.items()}
        times = interleaved(ways, ROUNDS, clock=time.process_time)
        row["milliseconds"] = {kind: in_milliseconds(one) for kind, one in times.items()}
    return row


def labels(run: Callable, x: torch.Tensor) -> torch.Tensor:
    """Return what images are taken for."""
    return torch.cat([run([one])[0].argmax(1) for one in x.split(1)])


def lines(results: Sequence[dict]) -> list[str]:
    """Return the results as a table in Markdown."""
    head = (
        "network, engine | MB, float32 | int8 | ms, float32 | int8 | times as fast | accuracy, float32 | int8 | agree"
    )
    found = [f"| {head} |", "| --- " * 9 + "|"]
    for row in results:
        size = " | ".join([f"{row['bytes'][kind] / 1e6:.1f}" for kind in ("float32", "int8")])
        spent = [row["milliseconds"][kind]["median"] for kind in ("float32", "int8")]
        right = " | ".join([f"{row['accuracy'][kind]:.1%}" for kind in ("float32", "int8")])
        name = f"{row['network']}, {row['engine']}"
        ratio = f"{spent[0]:.1f} | {spent[1]:.1f} | {spent[0] / spent[1]:.2f}"
        found.append(f"| {name} | {size} | {ratio} | {right} | {row['agreement']:.1%} |")
    return found


def page(record: dict) -> None:
    """Write the table of a record into the page."""
    table(PAGE, KIND, [*caption(record), *lines(record["results"])])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=list(STEPS), help=", ".join(STEPS))
    parser.add_argument("--page", action="store_true", help="only write the table again")
    options = parser.parse_args(arguments)
    if options.page:
        page(json.loads((RESULTS / f"{KIND}.json").read_text()))
        return
    torch.set_num_threads(1)
    record = about("cpu") | {"clock": "process"}
    record["versions"] |= versions()
    rows = []
    for name in options.nets:
        for format in ENGINES:
            rows.append(measured(name, format))
            print(lines(rows[-1:])[-1], flush=True)
    write(KIND, record | {"results": rows})
    page(record | {"results": rows})


if __name__ == "__main__":
    main()
