"""Which tests execute which lines: a plugin of pytest, `python -m pytest -p benchmarks.witnesses`, for `faults.py`.

Processes that a test starts are recorded too, under the test that started them, where they are Python's and end in an
orderly way. What is executed while modules are imported belongs to no test.
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

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        self.recorder.switch_context(item.nodeid)
        found = yield
        self.recorder.switch_context("")
        return found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        path = Path(os.environ[HOME]) / f"seconds-{os.getpid()}.json"
        path.write_text(json.dumps(self.seconds), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Record the process of pytest itself."""
    config.pluginmanager.register(Witnesses(begin()))
