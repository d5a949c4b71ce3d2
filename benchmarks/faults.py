"""Does the ordinary suite see mistakes? `python -m benchmarks.faults` plants those of `faults.toml` and looks.

    python -m benchmarks.faults [--area A] [--only N ...] [--again] [--all-tests]
    python -m benchmarks.faults --record [tests/ops/test_ops.py ...]

A fault is a small change of one place of the product that a careful reader could overlook. Each is planted in a copy
of the working tree, and tests run on the copy until one fails: first those that execute the changed lines, the quickest
first, and with `--all-tests` all others after them. Which tests execute which lines is recorded once, and again with
`--record`, of some files of tests or of all. The tests of `interpreted.py`, which `test_kernels_interpreted.py` runs in
a process of its own, are recorded and run by themselves: there Triton interprets its kernels.

The tests that found a fault must pass on a copy without any. What is done is kept in `.faults/`, so an interrupted run
goes on where it stopped, and two runs of different areas can go side by side.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import torchvision_ops
from benchmarks.planting import ROOT, Fault, Planted, copied, table

RESULT = ROOT / "benchmarks" / "results" / "faults.json"
HOME = ROOT / ".faults"
RECORD, PARTS = HOME / "record", HOME / "parts"
AREAS = ("shapes", "legal", "cost", "emit", "optimize", "kernels", "weights", "elaborate")
INTERPRETED = "tests/kernels/interpreted.py"
LIMIT = 300.0  # seconds for the tests of one fault; a copy without it has no test of more than a minute
# What tests import that is not ours: imported once, and then there in every process that is forked for a fault.
COMMON = "torch torch.fx torch.profiler torch.utils.flop_counter numpy lark jinja2 safetensors.torch".split()
MORE = "hypothesis torchdiffeq torchvision.models timm pytorchcv.model_provider".split()  # import Triton, uninterpreted
OPTIONS = [
    "-q", "-x", "-p", "no:cacheprovider", "--tb=line", "--no-header",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # of what is imported already
]  # fmt: skip
INTERPRETER = [  # as `test_kernels_interpreted.py` has them
    "-W", "ignore::RuntimeWarning:triton.runtime.interpreter",
    "-W", "ignore::DeprecationWarning:triton.runtime.interpreter",
]  # fmt: skip
CHILD = """import os

if "PYTEST_CURRENT_TEST" in os.environ:
    from benchmarks.witnesses import child

    child()
"""


def environment(copy: Path, *before: Path, **more: str) -> dict[str, str]:
    """Return an environment in which processes import from a copy, wherever they start."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (copy, *before)))} | more


# -------------------------------------------------------------------------------------------------- who executes what
def record(files: list[str]) -> None:
    """Keep which lines of the product each test executes: of some files of tests, or of those that are not yet there.

    The product stays as it was when the first file was recorded, so that its lines are those of all records.
    """
    tree = RECORD / "tree"
    if not (tree / "archdsl").exists():
        copied(tree)
        (tree / "site").mkdir()
        (tree / "site" / "sitecustomize.py").write_text(CHILD)
    shutil.copytree(ROOT / "tests", tree / "tests", dirs_exist_ok=True)
    every = [INTERPRETED, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))]
    for file in files or [f for f in every if not (_home(f) / "tests.json").exists()]:
        shutil.rmtree(_home(file), ignore_errors=True)
        _home(file).mkdir(parents=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "benchmarks.witnesses", "-p", "no:cacheprovider", file]
        more = {"TRITON_INTERPRET": "1"} if file == INTERPRETED else {}
        where = environment(tree, tree / "site", ARCHDSL_WITNESSES=str(_home(file)), **more)
        subprocess.run([*command, *(INTERPRETER if more else ())], cwd=tree, env=where)


def _home(file: str) -> Path:
    return RECORD / Path(file).stem


class Record:
    """Which tests execute which lines, and how long they take."""

    def __init__(self) -> None:
        import coverage

        if not RECORD.exists():
            raise SystemExit("nothing is recorded yet: `python -m benchmarks.faults --record` takes half an hour")
        self.seconds: dict[str, float] = {}
        self.cases: dict[str, list[str]] = {}  # of a test, also those that were not recorded
        for path in RECORD.glob("*/tests.json"):
            found = json.loads(path.read_text(encoding="utf-8"))
            self.seconds, self.cases = self.seconds | found["seconds"], self.cases | found["cases"]
        self.lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        for path in RECORD.glob("*/lines.*"):
            data = coverage.CoverageData(str(path))
            data.read()
            for name in data.measured_files():
                place = self.lines[str(Path(name).relative_to(RECORD / "tree"))]
                for line, tests in data.contexts_by_lineno(name).items():
                    place[line].update(test for test in tests if test)

    def tests(self, fault: Fault) -> list[str]:
        """Return the tests that execute the lines of a fault, the quickest first, and then the others of their files.

        What is executed while a module is imported belongs to no test; then the lines around it say which may see it.
        """
        if not self.seconds:  # nothing is recorded here, and `--first` says which tests run
            return []
        text = (RECORD / "tree" / fault.file).read_text(encoding="utf-8")
        place = self.lines[fault.file]
        for lines in _around(text, fault):
            found = {test for line in lines for test in place.get(line, ())} & self.seconds.keys()
            if found:
                files = {test.partition("::")[0] for test in found}
                near = [test for test in self.seconds if test.partition("::")[0] in files and test not in found]
                return self.in_order(found) + self.in_order(near)
        return []

    def in_order(self, tests: Iterable[str]) -> list[str]:
        """Return tests, the quickest first, and after them their cases that were not recorded."""
        first = sorted(tests, key=lambda test: self.seconds[test])
        names = dict.fromkeys(test.partition("[")[0] for test in first)
        return first + [case for name in names for case in self.cases[name] if case not in self.seconds]


def _around(text: str, fault: Fault) -> Iterator[range]:
    """Yield ever more lines around a fault: its statements, its function or class, its file."""
    at = text.find(fault.old)
    if at >= 0:
        first = text.count("\n", 0, at) + 1
        pieces = difflib.SequenceMatcher(None, fault.old, fault.new, autojunk=False).get_opcodes()
        changed = [first + fault.old.count("\n", 0, begin) for kind, begin, *_ in pieces if kind != "equal"]
        nodes = [node for node in ast.walk(ast.parse(text)) if hasattr(node, "lineno")]
        holders = sorted(
            (range(node.lineno, (node.end_lineno or 0) + 1) for node in nodes
             if isinstance(node, ast.stmt) and node.lineno <= changed[0] <= (node.end_lineno or 0)),
            key=len,
        )  # fmt: skip
        yield range(changed[0], changed[-1] + 1)
        yield from holders
    yield range(1, text.count("\n") + 2)


# -------------------------------------------------------------------------------------------------- running tests
class Watch:
    """Notes the test that runs, in a file, and the first that fails."""

    def __init__(self, running: Path) -> None:
        self.running, self.failed = running, ""

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running.write_text(nodeid, encoding="utf-8")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = f"{report.nodeid} (cannot be imported)"


def run(copy: Path, tests: list[str], limit: float, *options: str) -> tuple[str, float, bool]:
    """Run tests on a copy in a forked process: the first that fails, the seconds, and whether time ran out."""
    if tests[0].startswith(INTERPRETED):
        return interpreted(copy, tests, limit)
    kept, running, begin = copy / "failed.txt", copy / "running.txt", time.monotonic()
    kept.unlink(missing_ok=True)
    process = os.fork()
    if not process:
        os.setpgid(0, 0)
        _child(copy, tests, kept, running, options)
    while time.monotonic() < begin + limit:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            if os.WIFSIGNALED(status):
                return f"{running.read_text(encoding='utf-8')} (which crashes)", time.monotonic() - begin, False
            if not kept.exists():
                raise SystemExit(f"the process of tests broke off:\n{(copy / 'output.txt').read_text()[-3000:]}")
            return kept.read_text(encoding="utf-8"), time.monotonic() - begin, False
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "", time.monotonic() - begin, True


def interpreted(copy: Path, tests: list[str], limit: float) -> tuple[str, float, bool]:
    """Run tests that need a process into which Triton is not imported yet."""
    command, begin = [sys.executable, "-m", "pytest", *OPTIONS, *INTERPRETER, *tests], time.monotonic()
    where = environment(copy, TRITON_INTERPRET="1")
    try:
        done = subprocess.run(command, cwd=copy, env=where, capture_output=True, text=True, timeout=max(1.0, limit))
    except subprocess.TimeoutExpired:
        return "", time.monotonic() - begin, True
    failed = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode < 0:
        return f"{INTERPRETED} (which crashes)", time.monotonic() - begin, False
    if failed is None and done.returncode:
        raise SystemExit(f"the process of tests broke off:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return failed[1] if failed else "", time.monotonic() - begin, False


def _child(copy: Path, tests: list[str], kept: Path, running: Path, options: tuple[str, ...]) -> None:
    """Be pytest on a copy: nothing of this tree may be imported."""
    watch = Watch(running)
    try:
        output = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(copy)
        os.environ.update(environment(copy))
        for name in [n for n in sys.modules if n.split(".")[0] in ("archdsl", "benchmarks")]:
            del sys.modules[name]
        sys.path[:] = [str(copy), *[p for p in sys.path if p not in ("", str(ROOT))]]
        code = pytest.main([*OPTIONS, *options, *tests], plugins=[watch])
        if not watch.failed and code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise RuntimeError("pytest did not run")
        found = sys.modules.get("archdsl")
        if found is not None and not str(found.__file__).startswith(str(copy)):
            raise RuntimeError(f"the copy runs code of another tree: {found.__file__}")
        kept.write_text(watch.failed, encoding="utf-8")
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def portions(tests: list[str], seconds: dict[str, float]) -> Iterator[list[str]]:
    """Divide tests into a first part that is quick to start, of few files, and the rest; interpreted ones apart."""
    plain = [test for test in tests if not test.startswith(INTERPRETED)]
    inside = [test for test in tests if test.startswith(INTERPRETED)]
    quick, files = [], set()
    for test in plain:
        file = test.split("::")[0]
        if len(files | {file}) <= 4 and seconds.get(test, 0.0) < 1.0 and len(quick) < 60:
            files.add(file)
            quick.append(test)
    for part in (quick, inside, [test for test in plain if test not in set(quick)]):
        if part:
            yield part


def judged(copy: Path, fault: Fault, known: Record, first: list[str], last: list[str], limit: float) -> dict[str, Any]:
    """Say which test finds a fault."""
    tests = list(dict.fromkeys([*first, *known.tests(fault), *last]))
    found: dict[str, Any] = {"killed": "", "seconds": 0.0, "tests": len(tests)}
    with Planted(copy, fault):
        for part in portions(tests, known.seconds):
            failed, seconds, late = run(copy, part, limit - found["seconds"])
            found["seconds"] = round(found["seconds"] + seconds, 1)
            if failed:
                return found | {"killed": failed}
            if late:
                return found | {"late": True}
    return found


# -------------------------------------------------------------------------------------------------- all of them
def part_of(fault: Fault) -> dict[str, Any]:
    """Return what is known of a fault: from a run here, else from the one that is committed."""
    path = PARTS / f"{fault.key}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else committed().get(fault.what, {})


@functools.cache
def committed() -> dict[str, dict[str, Any]]:
    """Return the committed run, by what the faults are."""
    return {row["what"]: row for row in json.loads(RESULT.read_text(encoding="utf-8"))["faults"]}


def keep(fault: Fault, found: dict[str, Any]) -> None:
    PARTS.mkdir(parents=True, exist_ok=True)
    (PARTS / f"{fault.key}.json").write_text(json.dumps(found), encoding="utf-8")


def confirmed(copy: Path, faults: list[Fault]) -> list[Fault]:
    """Return the faults whose test also fails without a fault; they are forgotten."""
    killers = sorted({test for f in faults if "::" in (test := part_of(f).get("killed", "")) and "crashes" not in test})
    broken: set[str] = set()
    for inside in (False, True):
        left = [test for test in killers if test.startswith(INTERPRETED) is inside]
        while left:
            failed, _, _ = run(copy, list(dict.fromkeys(map(_addressed, left))), 3600.0)
            if not failed:
                break
            broken.add(failed)
            left = [test for test in left if test != failed] if failed in left else []
    wrong = [f for f in faults if part_of(f).get("killed") in broken]
    for fault in wrong:
        (PARTS / f"{fault.key}.json").unlink(missing_ok=True)
    return wrong


def _addressed(test: str) -> str:
    """Return a test as pytest takes it: with all its cases where the name of one has a line break."""
    return test.partition("[")[0] if "\\" in test else test


def summary(faults: list[Fault]) -> dict[str, Any]:
    """Return the counts by area, each fault with the test that found it, and those that none did."""
    rows = [(f, part_of(f)) for f in faults]
    areas = {}
    for area in AREAS:
        mine = [found for f, found in rows if f.area == area]
        areas[area] = {"planted": len(mine), "killed": sum(bool(found.get("killed")) for found in mine)}
    total = {name: sum(area[name] for area in areas.values()) for name in ("planted", "killed")}
    return {
        "total": total,
        "areas": areas,
        "faults": [
            {"area": f.area, "file": f.file, "what": f.what}
            | {name: found[name] for name in ("killed", "seconds") if name in found}
            | ({"reason": f.reason} if f.reason else {})
            for f, found in rows
        ],
    }


def prepare(kernels: bool) -> None:
    """Import what tests import; torchvision looks for operators meanwhile, as `torchvision_ops` explains."""
    library = torchvision_ops.declared()
    for name in COMMON if kernels else (*COMMON, *MORE):
        importlib.import_module(name)
    del library


def survey(faults: list[Fault], again: bool, first: list[str], all_tests: bool, limit: float) -> None:
    """Plant faults, one after another, but for those of which a test is known already."""
    prepare(kernels=any(f.area == "kernels" for f in faults))
    known = Record()
    others = known.in_order(known.seconds) if all_tests else []
    with tempfile.TemporaryDirectory() as place:
        copy = copied(Path(place))
        for number, fault in enumerate(faults):
            if part_of(fault).get("killed") and not again:
                continue
            found = judged(copy, fault, known, first, others, limit)
            keep(fault, found)
            said = found["killed"] or ("SURVIVES, out of time" if found.get("late") else "SURVIVES")
            print(f"{number:4d} {fault.area:9} {found['seconds']:6.1f} s  {fault.what}\n     {said}", flush=True)
        for fault in confirmed(copy, faults):
            print(f"found by a test that fails anyway: {fault.what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--area", choices=AREAS)
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="numbers of faults, from 0")
    parser.add_argument("--again", action="store_true", help="also those of which a test is known")
    parser.add_argument("--first", nargs="+", default=[], metavar="TEST", help="tests before the nearest ones")
    parser.add_argument("--all-tests", action="store_true", help="of what the nearest tests leave")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one fault")
    parser.add_argument("--record", nargs="*", metavar="FILE", help="record which tests execute which lines")
    options = parser.parse_args()
    if options.record is not None:
        record(options.record)
        return
    every = table()
    chosen = (
        [f for f in every if options.area in (None, f.area)] if not options.only else [every[n] for n in options.only]
    )
    survey(chosen, options.again, options.first, options.all_tests, options.limit)
    found = summary(every)
    for area, counts in (*found["areas"].items(), ("all", found["total"])):
        print(f"{area:9} {counts['killed']:4d} of {counts['planted']:4d}")
    RESULT.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
