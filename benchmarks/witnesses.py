"""Which tests execute which lines: a plugin of pytest, `python -m pytest -p benchmarks.witnesses`, for `faults.py`.

Of a test with many cases some are recorded, which stand for the others. Processes that a test starts are recorded too,
under the test that started them, where they are Python's and end in an orderly way. What is executed while modules are
imported belongs to no test.
"""

from __future__ import annotations

import atexit
import json
import os
from pathlib import Path
from typing import Any

import coverage
import pytest

HOME = "ARCHDSL_WITNESSES"  # names the folder of records
CASES = 5  # of one test that are recorded


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

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.recorder.switch_context(item.nodeid)
        found = yield
        self.recorder.switch_context("")
        return found

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep some cases of each test, from its first to its last."""
        tests: dict[str, list[pytest.Item]] = {}
        for item in items:
            tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
        self.cases = {name: [item.nodeid for item in cases] for name, cases in tests.items()}
        step = {name: max(1, (len(cases) - 1) / (CASES - 1)) for name, cases in tests.items()}
        items[:] = [c for name, cases in tests.items() for c in _spread(cases, step[name])]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        path = Path(os.environ[HOME]) / "tests.json"
        path.write_text(json.dumps({"seconds": self.seconds, "cases": self.cases}), encoding="utf-8")


def _spread(cases: list[pytest.Item], step: float) -> list[pytest.Item]:
    return [cases[round(i * step)] for i in range(CASES) if round(i * step) < len(cases)]


def pytest_configure(config: pytest.Config) -> None:
    """Record the process of pytest itself."""
    config.pluginmanager.register(Witnesses(begin()))
