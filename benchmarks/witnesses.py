"""Which tests execute which lines: a plugin of pytest, `python -m pytest -p benchmarks.witnesses`, for `faults.py`.

Of a test whose cases take long some are recorded, which stand for the others. Processes that a test starts are recorded
too, under the test that started them, where they are Python's and end in an orderly way. What is executed while modules
are imported belongs to no test.
"""

from __future__ import annotations

import atexit
import json
import os
from pathlib import Path

import coverage
import pytest

HOME = "ARCHDSL_WITNESSES"  # names the folder of records
LONG, CASES = 90.0, 5  # after so many seconds no further case of a test is recorded, if there are a few


def begin(context: str = "") -> coverage.Coverage:
    """Record the lines of the product that this process executes, until it ends."""
    home, root = Path(os.environ[HOME]), Path(__file__).parents[1]
    recorder = coverage.Coverage(
        data_file=str(home / "lines"),
        data_suffix=True,
        source=[str(root / "archdsl"), str(root / "kernels")],
        config_file=False,
        context=context or None,
    )
    recorder.start()
    atexit.register(_end, recorder)
    return recorder


def _end(recorder: coverage.Coverage) -> None:
    recorder.stop()
    recorder.save()


def child() -> None:
    """Record a process that a test has started: its `sitecustomize.py` calls this."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if test and HOME in os.environ:
        begin(test)


class Witnesses:
    """Names the test that runs, and times it."""

    def __init__(self, recorder: coverage.Coverage) -> None:
        self.recorder = recorder
        self.seconds: dict[str, float] = {}
        self.cases: dict[str, list[str]] = {}  # by test, also those that are not recorded
        self.skipped: set[str] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            self.cases.setdefault(_name(item.nodeid), []).append(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        known = [self.seconds[case] for case in self.cases[_name(item.nodeid)] if case in self.seconds]
        if len(known) >= CASES and sum(known) > LONG:
            pytest.skip("its cases take long")
        self.recorder.switch_context(item.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self.recorder.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self.skipped.add(report.nodeid)
        elif report.nodeid not in self.skipped:
            self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        path = Path(os.environ[HOME]) / "tests.json"
        path.write_text(json.dumps({"seconds": self.seconds, "cases": self.cases}), encoding="utf-8")


def _name(test: str) -> str:
    return test.partition("[")[0]


def pytest_configure(config: pytest.Config) -> None:
    """Record the process of pytest itself."""
    config.pluginmanager.register(Witnesses(begin()))
