"""What the benchmarks promise: no speed of a wrong result, ways in turns, tables in their places."""

from __future__ import annotations

import pytest
import torch

from archdsl.measured import wins
from benchmarks import kernels, measure, networks
from benchmarks.measure import Wrong, check, interleaved, table
from benchmarks.plot import bars


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


def test_a_plot_differs_only_where_the_figures_do(tmp_path):
    def drawn(seconds: float) -> str:
        path = tmp_path / "plot.svg"
        bars(path, {"net": {"eager": 2.0, "archdsl": seconds}, "other": {"eager": 1.0}}, "seconds")
        return path.read_text()

    assert drawn(1.0) == drawn(1.0)
    assert drawn(1.0) != drawn(1.5)
    assert all(word in drawn(1.0) for word in ("net", "other", "eager", "archdsl", "seconds"))


PAGE = "<!-- measured: training-cpu -->\n<!-- end -->\n<!-- measured: kernels-cuda -->\n<!-- end -->\n"


@pytest.mark.usefixtures("one_thread")
def test_steps_of_training_are_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(networks, "RESULTS", tmp_path)
    monkeypatch.setattr(networks, "PAGE", tmp_path / "page.md")
    networks.PAGE.write_text(PAGE)
    common = ["--train", "--device", "cpu", "--threads", "1"]
    networks.main(["shufflenet_v2_x0_5", *common, "--batch", "2", "--size", "32", "--rounds", "1", "--eager"])
    assert "archdsl kernels" in capsys.readouterr().out
    assert networks.PAGE.read_text() == PAGE, "a try does not go into the page"
    (tmp_path / "training-cpu-2x32.json").rename(tmp_path / "training-cpu.json")
    networks.main([*common, "--page"])
    assert "| shufflenet_v2_x0_5 | archdsl kernels |" in networks.PAGE.read_text()
    assert "shufflenet_v2_x0_5" in (tmp_path / "training-cpu.svg").read_text()


def test_kernels_have_a_table_and_a_plot(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "PAGE", tmp_path / "page.md")
    kernels.PAGE.write_text(PAGE)
    times = {"eager": 9.0, "eager, channels_last": 8.0, "inductor": 5.0, "archdsl": 2.0}
    kernels.page(
        {"alone": [{"what": "depthwise (8, 7, 3, 1)", "microseconds": times, "floor": 1.5, "share_of_floor": 0.75}]}
    )
    assert "| depthwise (8, 7, 3, 1) | 8.0 | 5.0 | 2.0 | 1.5 |" in kernels.PAGE.read_text()
    assert "(8, 7, 3, 1)" in (tmp_path / "kernels-cuda.svg").read_text()


def test_measurements_become_rows_of_the_table_that_decides():
    results = {
        "separable": [{"times_the_best_other": 1.0 + number / 10} for number in range(len(kernels.SEPARABLE))],
        "pointwise": [{"times_the_best_other": 0.9}] * len(kernels.POINTWISE),
    }
    found = kernels.rows(results, "bfloat16", "a GPU", "0123456789abcdef")
    assert len(found) == len(kernels.SEPARABLE) + len(kernels.POINTWISE)
    row = next(row for row in found if row.operation == "separable" and row.channels == 144 and row.stride == 1)
    assert (row.kernel, row.size, row.times, row.commit) == (3, 56, 1.2, "0123456789ab")
    assert wins("separable", 3, 1, 144, 56, "bfloat16", tuple(found))
    assert not wins("pointwise", 1, 1, 24, 28, "bfloat16", tuple(found))
