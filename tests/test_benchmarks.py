"""What the benchmarks promise: no speed of a wrong result, ways in turns, tables in their places."""

from __future__ import annotations

import pytest
import torch

from benchmarks import measure
from benchmarks.measure import Wrong, check, interleaved, table


def test_a_wrong_result_has_no_speed():
    exact = torch.tensor([1.0, -2.0])
    assert check(exact + 1e-6, exact, 1e-5, "close") == pytest.approx(5e-7, rel=0.1)
    for wrong in (exact + 0.1, torch.tensor([1.0, torch.nan]), torch.ones(1)):
        with pytest.raises(Wrong, match="seeded"):
            check(wrong, exact, 1e-3, "seeded")


def test_ways_take_turns():
    calls: list[str] = []
    ticks = iter(range(1000))
    runs = {"a": lambda number: calls.append(f"a{number}"), "b": lambda number: calls.append(f"b{number}")}
    found = interleaved(runs, "cpu", 2, warm=1, clock=lambda: float(next(ticks)))
    assert calls == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert found["a"] == {"median": 1.0, "min": 1.0, "max": 1.0}


def test_inputs_rotate_through_more_than_the_cache(monkeypatch):
    assert measure.copies(1 << 20, "cpu") == 1
    assert measure.copies(64 << 20, "cuda") == 4
    assert measure.copies(1 << 30, "cuda") == 2


def test_a_table_goes_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- measured: it -->\nold\n<!-- end -->\nbelow\n")
    table(page, "it", ["new"])
    assert page.read_text() == "above\n<!-- measured: it -->\nnew\n<!-- end -->\nbelow\n"
    with pytest.raises(SystemExit, match="no place"):
        table(page, "other", [])
