"""Faults as data, and how one is planted in a copy of the working tree: for `faults.py` and `programs.py`.

A table holds one fault a place: `old` stands once in its file, and `new` is a mistake that a careful reader could
overlook.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings along

ROOT = Path(__file__).resolve().parent.parent
TESTS, PROGRAMS = "faults.toml", "mistakes.toml"  # what the tests are to find, and what programs at random are to


class Fault(NamedTuple):
    """One entry of the table."""

    area: str
    file: str
    what: str
    old: str
    new: str
    reason: str = ""

    @property
    def key(self) -> str:
        return hashlib.sha256("\0".join((self.file, self.old, self.new)).encode()).hexdigest()[:16]


def table(name: str = TESTS) -> list[Fault]:
    """Return the faults of a table."""
    with open(ROOT / "benchmarks" / name, "rb") as file:
        return [Fault(**entry) for entry in tomllib.load(file)["fault"]]


def copied(place: Path) -> Path:
    """Copy the working tree, without what git ignores."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    return place


class Planted:
    """A fault in a copy, for a while. Each state of a file has a time of its own, so that no bytecode is stale."""

    times = itertools.count(int(time.time()), 2)

    def __init__(self, copy: Path, fault: Fault) -> None:
        self.path, self.fault = copy / fault.file, fault
        self.text = self.path.read_text(encoding="utf-8")

    def __enter__(self) -> None:
        count = self.text.count(self.fault.old)
        if count != 1:
            raise SystemExit(f"{self.fault.file} has {count} places like this one: {self.fault.old}")
        self._write(self.text.replace(self.fault.old, self.fault.new))

    def __exit__(self, *_: object) -> None:
        self._write(self.text)

    def _write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")
        now = next(self.times)
        os.utime(self.path, (now, now))
