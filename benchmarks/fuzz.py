"""`archdsl check` and `compile` on 200,000 inputs that nobody would write: no traceback, none over 2 s or 500 MB.

    python -m benchmarks.fuzz [--count 200000] [--seed 1] [--minutes M]

Each input goes through the commands themselves: `check` in one of its forms, which reads, parses, elaborates, reports,
tells legal sizes and draws all mistakes or advice, and, where it checks, `compile`. An input has failed where a command
ends with a traceback, with something that is not JSON or not Python, or takes more than the limits. The inputs come
from `tests/properties/inputs.py`: from Hypothesis (the grammar, trees, texts, bytes) and from generators of nets.

The work is cut into parts, each a process of its own under a limit of memory. A part that is done is kept in a file of
`.fuzz/`, so that an interrupted run goes on where it stopped. Failed inputs are kept there too. Seconds are those of
the processor. `--coverage SECONDS` lets atheris search for new paths instead, from the gallery on, and tells in
`results/coverage.json` how far it came; it is to be installed (and no dependency, having no wheels for some Pythons).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

import archdsl.cli.check  # noqa: E402 — before anything is measured
import archdsl.cli.compile  # noqa: E402, F401
from archdsl.cli import main as cli  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "fuzz.json"
COVERAGE = ROOT / "benchmarks" / "results" / "coverage.json"
PARTS = ROOT / ".fuzz"
SIZES = {"grammar": 250, "trees": 500, "large": 10}  # inputs of a part; Hypothesis keeps what it has drawn
SIZE = 2000
MAX_SECONDS, MAX_MIB = 2.0, 500
INSTRUMENTED = 8  # times as slow is a command whose every branch is counted
BASE = 32  # MiB of a process that has read nothing yet
FORMS = (["--format", "json"], ["--format", "text"], ["--format", "short"], ["--format", "sarif"], ["--shapes"])
# What part of the inputs is of each kind.
SHARES = {
    "grammar": 0.01, "trees": 0.02, "texts": 0.2, "bytes": 0.2, "nets": 0.15, "sizes": 0.1, "tokens": 0.06,
    "changed words": 0.06, "changed bytes": 0.1997, "large": 0.0003,
}  # fmt: skip


class Input:
    """What became of one input: its codes or what it failed with, its slowest command and its largest memory."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.failure = ""
        self.seconds = self.mib = 0.0


# -------------------------------------------------------------------------------------------------- one input
def run(command: list[str], found: Input) -> str:
    """Run a command, note its time and memory, and return what it printed."""
    out, err = io.StringIO(), io.StringIO()
    before = _reset_peak()
    start = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(command)
    seconds, mib = time.process_time() - start, BASE + _memory("VmHWM") - before
    found.seconds, found.mib = max(found.seconds, seconds), max(found.mib, mib)
    printed = out.getvalue() + err.getvalue()
    if status not in (0, 1, 2):  # 2 for what is no text
        found.failure = f"status {status}: {err.getvalue()[-2000:]}"
    elif seconds > MAX_SECONDS or mib > MAX_MIB:
        found.failure = f"{' '.join(command)} took {seconds:.2f} s and {mib:.0f} MiB"
    elif any(not c.isprintable() and c != "\n" for c in printed) and command[0] == "check":
        found.failure = f"prints {next(c for c in printed if not c.isprintable() and c != chr(10))!r}"
    return printed


def tried(data: bytes, path: str, form: list[str]) -> Input:
    """Check an input, and compile it where it checks."""
    found = Input()
    with open(path, "wb") as file:
        file.write(data)
    printed = run(["check", *form, path], found)
    found.codes = sorted(set(re.findall(r"\b[EW]\d{4}\b", printed))) or ["fine"]
    if not found.failure and ("json" in form or "sarif" in form):
        json.loads(printed)
    if not found.failure and not any(code.startswith("E") for code in found.codes):
        python = run(["compile", "-o", "-", path], found)
        if python.startswith('"""'):
            ast.parse(python)
    return found


def _reset_peak() -> float:
    """Let the peak start from what is in use now, and return that, in MiB: most of it is the generator's."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _memory("VmRSS")


def _memory(field: str) -> float:
    """Return the memory in use, or the most since the last reset, in MiB."""
    with open("/proc/self/status") as file:
        return int(re.search(rf"{field}:\s+(\d+)", file.read())[1]) / 1024


# -------------------------------------------------------------------------------------------------- one part
def feed(kind: str, seed: int, count: int, use: Callable[[bytes], None]) -> None:
    """Hand over so many inputs of a kind."""
    from tests.properties import inputs

    strategies = _strategies()
    if kind in strategies:
        _drawn(strategies[kind](), seed, count, use)
        return
    rng = random.Random(f"{kind} {seed}")
    written: dict[str, Callable[[], str | bytes]] = {
        "nets": lambda: inputs.Writer(rng.getrandbits(48)).file(),
        "sizes": lambda: inputs.sized(rng),
        "tokens": lambda: inputs.shuffled(rng),
        "changed words": lambda: inputs.mutated(rng),
        "changed bytes": lambda: inputs.changed(rng),
        "large": lambda: inputs.large(rng),
    }
    for _ in range(count):
        made = written[kind]()
        use(made if isinstance(made, bytes) else made.encode())


def _strategies() -> dict[str, Callable[[], Any]]:
    from hypothesis import strategies as st

    from archdsl.syntax.printer import print_module
    from tests.properties import inputs
    from tests.syntax.trees import modules

    return {
        "grammar": lambda: inputs.sentences().map(_encoded),
        "trees": lambda: modules.map(print_module).map(_encoded),
        "texts": lambda: st.text(max_size=300).map(_encoded),
        "bytes": lambda: st.binary(max_size=300),
    }


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _drawn(strategy: Any, seed: int, count: int, use: Callable[[bytes], None]) -> None:
    """Draw inputs with Hypothesis. Nothing fails in it: failures are recorded and kept as they are."""
    import hypothesis

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def each(data: bytes) -> None:
        use(data)

    each()


def part(kind: str, seed: int, count: int) -> dict[str, Any]:
    """Try the inputs of a part in this process."""
    codes: Counter[str] = Counter()
    slowest = largest = 0.0
    done, failures = 0, []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "n.arch")
        gc.freeze()
        cli.parsers = cache(cli.parsers)  # options are not what is tried

        def use(data: bytes) -> None:
            nonlocal done, slowest, largest
            found = _guarded(data, path, FORMS[done % len(FORMS)])
            done += 1
            codes.update(found.codes)
            slowest, largest = max(slowest, found.seconds), max(largest, found.mib)
            if found.failure:
                kept = PARTS / f"failed-{kind.replace(' ', '-')}-{seed}-{done}.arch"
                kept.write_bytes(data)
                failures.append({"input": kept.name, "failure": found.failure})
            if done % 50 == 0 or kind == "large":
                gc.collect()  # a command runs with the collector off, and here many run in one process

        feed(kind, seed, count, use)
    return {
        "kind": kind, "seed": seed, "inputs": done, "codes": dict(codes), "seconds": slowest, "mib": largest,
        "failures": failures,
    }  # fmt: skip


def _guarded(data: bytes, path: str, form: list[str]) -> Input:
    try:
        return tried(data, path, form)
    except Exception as problem:  # what is no JSON, no Python
        found = Input()
        found.codes, found.failure = ["failed"], f"{type(problem).__name__}: {problem}"
        return found


# -------------------------------------------------------------------------------------------------- all parts
def planned(count: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """Yield the parts of a run, the kinds in turn: the kind, the seed, the number of inputs."""
    left = {kind: round(count * share) for kind, share in SHARES.items()}
    number = 0
    while any(left.values()):
        for kind in [kind for kind in left if left[kind]]:
            size = min(left[kind], SIZES.get(kind, SIZE))
            yield kind, 1000 * seed + number, size
            left[kind] -= size
        number += 1


def _limits() -> None:
    most = 3 * MAX_MIB << 20  # of addresses, of which a process uses a part, and the generator another
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def kept(kind: str, seed: int, count: int) -> Path:
    """Return the file that keeps what a part has found."""
    return PARTS / f"{kind.replace(' ', '-')}-{seed}-{count}.json"


def in_process(kind: str, seed: int, count: int) -> dict[str, Any]:
    """Run a part in a process of its own, unless it is done."""
    path = kept(kind, seed, count)
    if not path.exists():
        command = [sys.executable, "-m", "benchmarks.fuzz", "--part", kind, str(seed), str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=_limits)
        if done.returncode:
            raise SystemExit(f"the part {kind} {seed} broke off:\n{done.stderr[-3000:]}")
        path.write_text(done.stdout)
    return json.loads(path.read_text())


def summary(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put all parts that are kept together, those of earlier runs too."""
    kinds: dict[str, dict[str, Any]] = {}
    for one in parts:
        row = kinds.setdefault(one["kind"], {"inputs": 0, "seconds": 0.0, "mib": 0.0, "codes": Counter()})
        row["inputs"] += one["inputs"]
        row["seconds"], row["mib"] = max(row["seconds"], one["seconds"]), max(row["mib"], one["mib"])
        row["codes"].update(one["codes"])
    for row in kinds.values():
        row["seconds"], row["mib"] = round(row["seconds"], 2), round(row["mib"])
        row["codes"] = dict(sorted(row["codes"].items()))
    return {
        "what": "check and compile of inputs at random; seconds of the processor and MiB are those of the worst input",
        "commit": _commit(),
        "seeds": sorted({one["seed"] // 1000 for one in parts}),
        "inputs": sum(row["inputs"] for row in kinds.values()),
        "failures": [failure for one in parts for failure in one["failures"]],
        "slowest, seconds": max(row["seconds"] for row in kinds.values()),
        "largest, MiB": max(row["mib"] for row in kinds.values()),
        "kinds": kinds,
    }


def _commit() -> str:
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def search(seconds: int) -> None:
    """Let atheris look for inputs that reach new code, until one fails; it ends this process."""
    import atheris

    with atheris.instrument_imports(include=["archdsl"]):
        for name in [name for name in sys.modules if name.split(".")[0] == "archdsl"]:
            del sys.modules[name]  # imported above without instruments
        import archdsl.cli.check
        import archdsl.cli.compile
        import archdsl.cli.main

    globals().update(cli=archdsl.cli.main, MAX_SECONDS=INSTRUMENTED * MAX_SECONDS)
    folder = tempfile.mkdtemp()
    done = 0

    def one(data: bytes) -> None:
        nonlocal done
        found = tried(data, os.path.join(folder, "n.arch"), FORMS[len(data) % len(FORMS)])
        if found.failure:
            raise AssertionError(found.failure)
        done += 1
        if done % 50 == 0:
            gc.collect()

    corpus = PARTS / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "architectures").glob("*.arch"):
        (corpus / path.name).write_bytes(path.read_bytes())
    words = PARTS / "words"
    words.write_text("".join(f'"{word}"\n' for word in _words()))
    limits = [f"-max_total_time={seconds}", "-rss_limit_mb=2000", "-max_len=4096", f"-artifact_prefix={PARTS}/"]
    atheris.Setup([sys.argv[0], *limits, f"-dict={words}", str(corpus)], one)
    atheris.Fuzz()


def _words() -> list[str]:
    """Return the words and signs of the language, which an input at random would seldom hit upon."""
    from archdsl.ops import OPS
    from archdsl.syntax.grammar import load

    return sorted({word for word in (*load().literals, *OPS) if word.isprintable() and not set(word) & set('"\\\\')})


def searched(seconds: int) -> None:
    """Search in a process of its own, and keep how many inputs were tried and what they reached."""
    commit = _commit()  # another may follow meanwhile
    command = [sys.executable, "-m", "benchmarks.fuzz", "--search", str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
    reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", done.stderr)
    runs = re.search(r"Done (\d+) (?:runs )?in (\d+) second", done.stderr)
    if done.returncode or runs is None:
        raise SystemExit(f"an input failed, or the search broke off; see {PARTS}:\n{done.stderr[-3000:]}")
    branches, features, corpus = map(int, reached[-1])
    found = {
        "what": "check and compile of inputs that atheris makes of the gallery, kept where they reach something new",
        "commit": commit, "seconds": int(runs[2]), "inputs": int(runs[1]), "failures": 0,
        "branches": branches, "branches of the gallery": int(reached[0][0]), "features": features, "kept": corpus,
    }  # fmt: skip
    COVERAGE.write_text(json.dumps(found, indent=2) + "\n")
    print(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="write what is done by then; a later run goes on from there")
    parser.add_argument("--coverage", type=int, metavar="SECONDS")
    parser.add_argument("--search", type=int, metavar="SECONDS", help="the same, in this process")
    parser.add_argument("--part", nargs=3, metavar=("KIND", "SEED", "COUNT"), help="one part, in this process")
    options = parser.parse_args()
    PARTS.mkdir(exist_ok=True)
    if options.part:
        kind, seed, count = options.part
        print(json.dumps(part(kind, int(seed), int(count))))
        return
    if options.search:
        search(options.search)
        return
    if options.coverage:
        searched(options.coverage)
        return
    began = time.monotonic()
    for kind, seed, count in planned(options.count, options.seed):
        late = options.minutes is not None and time.monotonic() - began > 60 * options.minutes
        if late and not kept(kind, seed, count).exists():
            continue
        start = time.perf_counter()
        failed = len(in_process(kind, seed, count)["failures"])
        print(f"{kind} {seed}: {count} inputs, {failed} failed, {time.perf_counter() - start:.0f} s", flush=True)
    found = summary([json.loads(path.read_text()) for path in sorted(PARTS.glob("*.json"))])
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{found['inputs']:,} inputs, {len(found['failures'])} failed", end="; ")
    print(f"slowest {found['slowest, seconds']} s, largest {found['largest, MiB']} MiB")


if __name__ == "__main__":
    main()
