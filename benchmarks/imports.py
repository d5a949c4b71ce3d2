"""The census of `archdsl import`: which networks of public libraries become texts, proved equal, and why others not.

    python -m benchmarks.imports [--library timm] [--processes P] [--minutes M] [--again]
    python -m benchmarks.imports --table           # what is on record, by library
    python -m benchmarks.imports --reasons         # and why the others are refused

Each network is made as its library makes it, traced, written and compared (`archdsl/importer`): weights equal, outputs
at two sizes in evaluation and in training, gradients. A run goes on where the record ends; `--again` tries those once
more that were not imported. Seconds are those of the import alone, in one thread, without the making of the module.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from benchmarks import torchvision_ops
from benchmarks.planting import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "imports.json"
HANGS = 600  # seconds after which a network is taken for one that does not end
MOST = 7  # networks of a family of timm
LARGEST = 60_000_000  # parameters beyond which a network is left out: memory and time

# Families of timm without a convolution beyond their stem, and those in which both kinds of blocks stand.
TRANSFORMERS = """
    aimv2 beit cait convit crossvit csatv2 davit deepseek_vit deit eva gcvit gemma4_vit hiera hieradet_sam2 levit
    mlp_mixer
    mvitv2 naflexvit nest nextvit pit pvt_v2 qwen3_vit sequencer swiftformer swin_transformer swin_transformer_v2
    swin_transformer_v2_cr tnt twins visformer vision_transformer vision_transformer_hybrid vision_transformer_relpos
    vision_transformer_sam vitamin volo xcit
""".split()
HYBRIDS = """
    byoanet coat cpubone edgenext efficientformer efficientformer_v2 efficientvim efficientvit_mit efficientvit_msra
    fastvit iformer lowformer maxxvit metaformer mobilenetv5 mobilevit shvit tiny_vit
""".split()
OTHER_THINGS = """
    jasper jasperdr quartznet voca nvpattexp visemenet raft propainter_rfc propainter_ip propainter prnet
""".split()  # of pytorchcv: speech, faces in three dimensions, films


# -------------------------------------------------------------------------------------------------- which
def networks(library: str) -> list[tuple[str, str]]:
    """Return the networks of a library that are counted, with their families."""
    return {"torchvision": _torchvision, "timm": _timm, "pytorchcv": _pytorchcv}[library]()


def _torchvision() -> list[tuple[str, str]]:
    from torchvision import models

    found = []
    for name in models.list_models():
        module = models.get_model_builder(name).__module__
        if module.count(".") == 2 or "segmentation" in module:
            found.append((name, module.rpartition(".")[2]))
    return found


def _timm() -> list[tuple[str, str]]:
    """Return networks of every family but those of pure transformers, the first of each."""
    import timm
    from timm.models._registry import _model_to_module

    counted: Counter[str] = Counter()
    found = []
    for name in timm.list_models():
        family = _model_to_module[name]
        if family not in TRANSFORMERS and counted[family] < MOST:
            counted[family] += 1
            found.append((name, family))
    return found


def _pytorchcv() -> list[tuple[str, str]]:
    """Return networks of every builder of the library, the first two of each."""
    from pytorchcv.model_provider import _models

    counted: Counter[str] = Counter()
    found = []
    for name, builder in _models.items():
        family = builder.__module__.rpartition(".")[2]
        if family not in OTHER_THINGS and counted[family] < 2:
            counted[family] += 1
            found.append((name, family))
    return found


# -------------------------------------------------------------------------------------------------- one network
def one(library: str, name: str, family: str) -> dict[str, Any]:
    """Import one network in this process, and say what came of it."""
    import torch

    from archdsl.importer import ImportFailed, import_module, opened

    torch.set_num_threads(1)
    made: dict[str, Any] = {"library": library, "name": name, "family": family}
    try:
        source = opened(f"{library}:{name}")
    except Exception as problem:
        return made | {"outcome": "not made", "reason": " ".join(str(problem).split())[:200]}
    count = sum(parameter.numel() for parameter in source.model.parameters())
    if count > LARGEST * (6 if library == "torchvision" else 1):
        return made | {"outcome": "too large", "reason": f"{count:,} parameters"}
    start = time.process_time()
    try:
        found = import_module(source.model, source.shape, name=source.name, doc=f"{name}.")
    except ImportFailed as problem:
        return made | {"outcome": "refused", "reason": " ".join(str(problem).split())[:300]}
    except Exception as problem:
        return made | {
            "outcome": "broken",
            "reason": f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}",
        }
    checked = found.verified
    return made | {
        "outcome": "imported",
        "lines": len(found.text.splitlines()),
        "blocks": found.text.count("\nblock "),
        "parameters": count,
        "renamed": len(found.keys),
        "rules": max(0, len(found.rules.splitlines()) - 1),
        "unused": len(checked.unused),
        "sizes": [list(shape[2:]) for shape in checked.sizes],
        "evaluation": checked.evaluation,
        "training": checked.training,
        "gradients": checked.gradients,
        "seconds": round(time.process_time() - start, 1),
    }


def apart(library: str, name: str, family: str) -> dict[str, Any]:
    """Import one network in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.imports", "--one", library, name, family]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS)
        return dict(json.loads(done.stdout.strip().split("\n")[-1]))
    except subprocess.TimeoutExpired:
        reason = f"not done in {HANGS} s"
    except (ValueError, IndexError):
        reason = f"ended with {done.returncode}: {done.stderr.strip()[-200:]}"
    return {"library": library, "name": name, "family": family, "outcome": "broken", "reason": reason}


# -------------------------------------------------------------------------------------------------- the record
def recorded() -> list[dict[str, Any]]:
    """Return what is on record."""
    return list(json.loads(RESULTS.read_text())["networks"]) if RESULTS.exists() else []


def run(options: argparse.Namespace) -> None:
    """Import what is not on record yet, and keep the record as it grows."""
    known = {(one["library"], one["name"]): one for one in recorded()}
    if options.again:
        known = {key: one for key, one in known.items() if one["outcome"] in ("imported", "too large")}
    wanted = [
        (library, name, family)
        for library in ([options.library] if options.library else ["torchvision", "timm", "pytorchcv"])
        for name, family in networks(library)
        if (library, name) not in known
    ]
    end = time.monotonic() + 60 * options.minutes

    def each(which: tuple[str, str, str]) -> dict[str, Any] | None:
        return apart(*which) if time.monotonic() < end else None

    with ThreadPoolExecutor(options.processes) as pool:
        for found in pool.map(each, wanted):
            if found is None:
                continue
            known[found["library"], found["name"]] = found
            print(found["name"], found["outcome"], found.get("lines", found.get("reason")), flush=True)
            keep(list(known.values()))


def keep(found: list[dict[str, Any]]) -> None:
    """Write the record: one line a network."""
    ordered = sorted(found, key=lambda one: (one["library"], one["family"], one["name"]))
    what = "networks of public libraries, imported as texts and compared"
    lines = ",\n".join("  " + json.dumps(one, ensure_ascii=False) for one in ordered)
    RESULTS.write_text(f'{{"what": "{what}", "networks": [\n{lines}\n]}}\n')


# -------------------------------------------------------------------------------------------------- tables
def table() -> None:
    """Print what is on record, by library; hybrids apart."""
    print(f"{'':24} {'nets':>5} {'imported':>8} {'':>6} {'lines':>6} {'seconds':>7}  largest difference")
    for title, nets in groups().items():
        counted = [one for one in nets if one["outcome"] not in ("not made", "too large")]
        done = [one for one in counted if one["outcome"] == "imported"]
        share = f"{100 * len(done) / len(counted):.1f} %" if counted else ""
        lines, seconds = (median(one[key] for one in done) if done else 0 for key in ("lines", "seconds"))
        worst = max((max(one["evaluation"], one["training"]) for one in done), default=0.0)
        print(f"{title:24} {len(counted):5} {len(done):8} {share:>6} {lines:6.0f} {seconds:7.1f}  {worst:.1e}")


def groups() -> dict[str, list[dict[str, Any]]]:
    """Return the record by library, the hybrids of timm apart."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in recorded():
        title = one["library"]
        title += ", hybrids" if title == "timm" and one["family"] in HYBRIDS else ""
        found.setdefault(title, []).append(one)
    return found


def reasons() -> None:
    """Print why networks are not imported, the commonest reason first."""
    said: dict[str, list[str]] = {}
    for one in recorded():
        if one["outcome"] in ("refused", "broken"):
            said.setdefault(one["reason"].partition(": ")[2] or one["reason"], []).append(one["name"])
    for reason, names in sorted(said.items(), key=lambda pair: -len(pair[1])):
        print(f"{len(names):4}  {reason[:120]}\n      {', '.join(names[:6])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", choices=("torchvision", "timm", "pytorchcv"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600, help="start no network after so many")
    parser.add_argument("--again", action="store_true", help="try those once more that were not imported")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--reasons", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    kept = torchvision_ops.declared()  # noqa: F841 — timm imports torchvision, too
    if options.one:
        print(json.dumps(one(*options.one)))
    elif options.table or options.reasons:
        table() if options.table else reasons()
    else:
        run(options)


if __name__ == "__main__":
    main()
