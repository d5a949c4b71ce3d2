"""Well-formed programs at random, each run in every way there is: the record of how many, and of what differed.

    python -m benchmarks.programs [--count 2000] [--seed 0] [--minutes M] [--processes P] [--parts FOLDER]
    python -m benchmarks.programs --coverage [--count 2000]     # the lines of the compiler that they run
    python -m benchmarks.programs --seeded [--count 300]        # how many programs find each of some planted mistakes

A program is one seed (`tests/properties/programs.py`); what is compared is in `tests/properties/oracle.py`. The work is
cut into parts of 250 seeds, each a process of its own; a part that is done is kept in `.programs/`, so that a run goes
on where it stopped. The record adds runs up, each of seeds that are new. Every program is compared in its values;
training, sizes and costs are compared in all, `--quick` leaves them out.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

from benchmarks import planting
from benchmarks.planting import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PARTS = ROOT / ".programs"
SIZE = 250
HANGS = 3600  # seconds after which a part is taken for one that does not end
SLOW = 2.0  # seconds that a check may take


# -------------------------------------------------------------------------------------------------- a part
def part(first: int, count: int, thorough: bool) -> dict[str, Any]:
    """Run the programs of some seeds in this process."""
    import torch

    from archdsl.compiler import Request, compile_text
    from tests.properties.oracle import differences
    from tests.properties.programs import RUNS, program, used

    torch.set_num_threads(1)
    operators: Counter[str] = Counter()
    failures, lines, slowest = [], 0, 0.0
    began = time.process_time()
    for seed in range(first, first + count):
        text = program(seed)
        start = time.process_time()
        found = compile_text(text, Request("n"))
        took = time.process_time() - start
        slowest = max(slowest, took)
        operators.update(used(found.network))
        lines += text.count("\n")
        wrong = differences(text, seed, thorough, found)
        wrong += [f"check: it took {took:.1f} s"] if took > SLOW else []
        failures += [{"seed": seed, "difference": line} for line in wrong]
    return {
        "first": first, "commit": commit(), "programs": count, "thorough": thorough, "lines": lines,
        "operators": operators, "failures": failures, "refused": dict(RUNS),
        "seconds of a check": slowest, "seconds": time.process_time() - began,
    }  # fmt: skip


def commit() -> str:
    """Return the commit of the tree, with a mark where it has changes."""
    said = [
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    ]
    return said[0] + ("+" if said[1] else "")


def finished(first: int, kept: Path, quick: bool) -> dict[str, Any]:
    """Return a part, from its file or run in a process of its own; one that breaks off is a difference."""
    if not kept.exists():
        command = [sys.executable, "-m", "benchmarks.programs", "--part", str(first), str(SIZE)]
        command += ["--quick"] if quick else []
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANGS)
            text = done.stdout.strip().split("\n")[-1] if done.returncode == 0 else ""  # libraries print, too
            said = f"{done.returncode}: {done.stderr[-300:]}"
        except subprocess.TimeoutExpired:
            text, said = "", f"none within {HANGS} s"
        if not text:
            broken = {"seed": first, "difference": f"the part from this seed ended with {said}"}
            text = json.dumps({"first": first, "commit": commit(), "programs": 0, "failures": [broken]})
        kept.write_text(text)
    made: dict[str, Any] = json.loads(kept.read_text())
    return made


def summary(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put parts together."""
    operators: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for one in parts:
        operators.update(one.get("operators", {}))
        refused.update(one.get("refused", {}))
    thorough = sum(one["programs"] for one in parts if one.get("thorough"))
    return {
        "commits": dict(Counter(one["commit"] for one in parts)),
        "programs": sum(one["programs"] for one in parts),
        "of these trained, run at other sizes and counted": thorough,
        "seeds": [min(one["first"] for one in parts), max(one["first"] for one in parts) + SIZE - 1],
        "lines": sum(one.get("lines", 0) for one in parts),
        "differences": [failure for one in parts for failure in one["failures"]],
        "slowest check, seconds": round(max(one.get("seconds of a check", 0.0) for one in parts), 3),
        "seconds of one core": round(sum(one.get("seconds", 0.0) for one in parts)),
        "programs with an operator": dict(operators.most_common()),
        "candidates tried, and those refused by their code": dict(refused.most_common()),
    }


def recorded() -> list[dict[str, Any]]:
    """Return the runs that are on record, which together are one: each has seeds of its own."""
    path = RESULTS / "programs.json"
    return json.loads(path.read_text())["runs"] if path.exists() else []


def put(made: dict[str, Any]) -> None:
    """Add a run to the record, in the place of those that had some of its seeds."""
    first, last = made["seeds"]
    runs = [one for one in recorded() if one["seeds"][1] < first or one["seeds"][0] > last]
    runs = sorted([*runs, made], key=lambda one: one["seeds"])
    total = {
        "programs": sum(one["programs"] for one in runs),
        "differences": sum(len(one["differences"]) for one in runs),
    }
    what = "programs at random, each interpreted, loaded, written and optimized"
    write("programs.json", {"what": what, "total": total, "runs": runs})


def run(options: argparse.Namespace) -> None:
    """Run the parts that are not there yet, and put all of them on record."""
    first = options.seed if options.seed is not None else max([one["seeds"][1] for one in recorded()], default=-1) + 1
    folder = Path(options.parts) if options.parts else PARTS
    folder.mkdir(exist_ok=True, parents=True)
    end, parts = time.monotonic() + 60 * options.minutes, []

    def one(first: int) -> dict[str, Any] | None:
        kept = folder / f"{'quick' if options.quick else 'whole'}-{first}.json"
        return finished(first, kept, options.quick) if kept.exists() or time.monotonic() < end else None

    with ThreadPoolExecutor(options.processes) as pool:
        for found in pool.map(one, range(first, first + options.count, SIZE)):
            if found is not None:
                parts.append(found)
                failed = sum(len(each["failures"]) for each in parts)
                print(f"{sum(each['programs'] for each in parts):,} programs, {failed} differences", flush=True)
    put(summary(parts))


def write(name: str, record: dict[str, Any]) -> None:
    (RESULTS / name).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


# -------------------------------------------------------------------------------------------------- coverage
MEASURED = ("elaborate/*", "analysis/legal", "core/sizes", "codegen/*", "inference/*")
ELSEWHERE = ("elaborate/problems", "inference/cuda_graph", "inference/widen")  # for a text with a mistake; for a GPU
WORDED = ("elaborate/", "analysis/", "core/")  # what finds mistakes, and has words for them


def covered(count: int, first: int) -> dict[str, Any]:
    """Run programs, and nothing else, and say which lines of the compiler they do not reach."""
    import coverage

    files, apart = ([f"archdsl/{name}.py" for name in names] for names in (MEASURED, ELSEWHERE))
    measured = coverage.Coverage(data_file=None, include=files, omit=apart)
    measured.start()
    made = part(first, count, thorough=True)
    measured.stop()
    lines, missed, spared = 0, {}, Counter[str]()
    for path in sorted(measured.get_data().measured_files()):
        _, statements, _, missing, _ = measured.analysis2(path)
        name = str(Path(path).relative_to(ROOT / "archdsl"))
        text = Path(path).read_text()
        why = unreachable(ast.parse(text), name)
        spared.update(why[line] for line in missing if line in why)
        lines += sum(line not in why or line not in missing for line in statements)
        left = [line for line in missing if line not in why]
        if left:
            missed[name] = {str(line): text.split("\n")[line - 1].strip() for line in left}
    absent = sum(map(len, missed.values()))
    return {
        "what": "lines that programs at random run: elaboration, emission and optimization",
        "commit": commit(),
        "programs": made["programs"],
        "differences": made["failures"],
        "lines that a program can reach": lines,
        "of these reached, in percent": round(100 * (lines - absent) / lines, 2),
        "lines that no well-formed program reaches, by kind": dict(spared),
        "missed": missed,
    }


# Functions that only texts with a mistake, a GPU, or other callers than a program reach, with the reason.
APART = {
    "the words of a diagnostic": (
        "describe show signature visible __str__ because to_dict rule _repeated accepted _listed runs _too_long "
        "_counterexample _projection _shape_error fault trail _stacked _sizes _default_sizes _first_line _placed "
        "labelled_at axis_name __repr__ _linear _table _values _cause"
    ).split(),
    "a GPU": "_triton _chooses _cudnn finished chosen taken fuses library fused".split(),
    "notebooks and pickles": "__getstate__ extra_repr load_state_dict _apply".split(),
}


def unreachable(tree: ast.Module, name: str) -> dict[int, str]:
    """Return, by line, why no well-formed program on a CPU gets there."""
    found: dict[int, str] = {}
    for node in ast.walk(tree):
        for lines, reason in _apart(node, name):
            for line in lines:
                found.setdefault(line, reason)
    return found


def _apart(node: ast.AST, name: str) -> Iterator[tuple[range, str]]:
    if isinstance(node, ast.Raise):
        yield _lines([node]), "a mistake in a text, or a limit"
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        yield _lines(node.body), "imports for types"
    for suite in (getattr(node, field, None) for field in ("body", "orelse")):
        if (
            isinstance(suite, list)
            and not isinstance(node, ast.Module)
            and isinstance(suite[-1:][0] if suite else None, ast.Raise)
        ):
            yield _lines(suite), "a mistake in a text, or a limit"
    if isinstance(node, ast.ExceptHandler) and isinstance(node.body[-1], ast.Raise):
        yield range(node.lineno, node.end_lineno + 1), "a mistake in a text, or a limit"
    if isinstance(node, ast.FunctionDef):
        for reason, names in APART.items():
            if node.name in names and (
                reason != "the words of a diagnostic" or (name.startswith(WORDED) and node.name != "__init__")
            ):
                yield _lines(node.body), reason


def _lines(suite: list[Any]) -> range:
    return range(suite[0].lineno, suite[-1].end_lineno + 1)


# -------------------------------------------------------------------------------------------------- seeded mistakes
def seeded(count: int, first: int, processes: int) -> dict[str, Any]:
    """Plant each mistake of `mistakes.toml` in a copy of the package, and run programs until one differs.

    The programs are written without the mistake, so that one that is refused with it is a difference.
    """
    import torch

    torch.set_num_threads(1)
    faults = planting.table(planting.PROGRAMS)
    assert "archdsl" not in sys.modules, "each process imports its own copy"
    context = multiprocessing.get_context("fork")  # so that PyTorch is imported once
    with context.Pool(processes, maxtasksperchild=1) as pool:
        texts = pool.apply(_texts, (first, count))
        rows = list(pool.imap(_planted, [(fault, texts, first) for fault in faults], chunksize=1))
    return {
        "what": "programs until a planted mistake is found; null where they all passed",
        "commit": commit(),
        "programs at most": count,
        "found": sum(row["programs"] is not None for row in rows),
        "of": len(rows),
        "faults": rows,
    }


def _texts(first: int, count: int) -> list[str]:
    from tests.properties.programs import program

    return [program(seed) for seed in range(first, first + count)]


def _planted(task: tuple[planting.Fault, list[str], int]) -> dict[str, Any]:
    """Return after how many programs a mistake is found, and what was said; runs in a process of its own."""
    fault, texts, first = task
    with tempfile.TemporaryDirectory() as folder:
        copy = planting.copied(Path(folder))
        os.chdir(copy)
        sys.path = [str(copy), *[p for p in sys.path if not p.startswith(str(ROOT))]]
        with planting.Planted(copy, fault):
            number, said = _until(texts, first, copy)
    row = {"area": fault.area, "what": fault.what, "programs": number, "said": said}
    print(f"{number}\t{fault.area}\t{fault.what}\t{said[:100]}", flush=True)
    return row


def _until(texts: list[str], first: int, copy: Path) -> tuple[int | None, str]:
    """Run programs until one differs; return how many, and the difference."""
    try:
        import archdsl
        from tests.properties.oracle import differences
    except Exception as mistake:  # a mistake that shows when the package is imported
        return 1, f"{type(mistake).__name__}: {mistake}"
    assert Path(str(archdsl.__file__)).is_relative_to(copy), "the copy is what runs"
    for number, text in enumerate(texts):
        wrong = differences(text, first + number)
        if wrong:
            return number + 1, wrong[0][:200]
    return None, ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, help="the first one (default: the one after those on record, or 0)")
    parser.add_argument("--minutes", type=float, default=1e9, help="start no part after so many")
    parser.add_argument("--processes", type=int, default=1, help="parts that run at once")
    parser.add_argument("--parts", help="the folder that keeps the parts (default: .programs)")
    parser.add_argument("--quick", action="store_true", help="values alone")
    parser.add_argument("--coverage", action="store_true", help="the lines of the compiler that programs run")
    parser.add_argument("--seeded", action="store_true", help="plant mistakes, and count the programs that find them")
    parser.add_argument("--part", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(part(*options.part, not options.quick)))
    elif options.coverage:
        write("programs-coverage.json", covered(options.count or 2000, options.seed or 0))
    elif options.seeded:
        write("programs-seeded.json", seeded(options.count or 300, options.seed or 0, options.processes))
    else:
        options.count = options.count or 2000
        run(options)


if __name__ == "__main__":
    main()
