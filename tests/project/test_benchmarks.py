"""What the benchmarks promise: no speed of a wrong result, ways in turns, tables in their places."""

from __future__ import annotations

import ast
import copy
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from archdsl.codegen import measured
from archdsl.codegen.measured import Measurement, wins
from benchmarks import deploy, engines, faults, gpu, gpu_results, measure, networks, others, planting
from benchmarks.layers import Case, Layer
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
    found = interleaved(runs, 2, warm=1, clock=lambda: float(next(ticks)))
    assert calls == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert found["a"] == {"median": 1.0, "min": 1.0, "max": 1.0}


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


# ---------------------------------------------------------------------------------------- whole networks
QUICK = networks.Setting(size=8, rounds=1, clock=time.process_time, eager=False)
ENGINES = {"ONNX Runtime": engines.onnx_runtime, "OpenVINO": engines.open_vino}


def layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


@pytest.fixture
def dynamo():
    """Nothing compiled before, and nothing left."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("one_thread", "dynamo")
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor asks the compiler what the processor can do")
@torch.no_grad()
def test_frozen_is_frozen_and_compiled_once():
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)), torch.randn(2, 3, 8, 8)  # no C++ of its own
    plain, frozen = copy.deepcopy(model), copy.deepcopy(model)
    runs = {"plain": networks.inductor(plain), "frozen": networks.inductor(frozen, freezing=True)}
    expected = model(x)
    for run in runs.values():
        torch.testing.assert_close(run(x), expected)
    assert counters["stats"]["unique_graphs"] == 2, "one for each, though the code of the network is the same"
    with torch.compiler.set_stance("fail_on_recompile"):
        interleaved({way: lambda number, run=run: run(x) for way, run in runs.items()}, 2)
    assert counters["stats"]["unique_graphs"] == 2, "nothing was compiled while timed"
    for copied in (plain, frozen):
        copied[0].weight.zero_()
    torch.testing.assert_close(runs["frozen"](x), expected)  # the weights are constants
    assert not torch.allclose(runs["plain"](x), expected)


@pytest.mark.usefixtures("one_thread", "dynamo")
def test_what_compiles_while_timed_ends_the_run(monkeypatch):
    """The mistake that the table once had: prepared without gradients, timed in inference mode."""

    def drifting(model: nn.Module):
        compiled, calls = torch.compile(networks.alone(model), backend="eager"), []

        def run(x: torch.Tensor) -> torch.Tensor:
            calls.append(x)
            with torch.no_grad() if len(calls) == 1 else torch.inference_mode():
                return compiled(x)

        return run

    def prepared_in_another_mode(model, x):
        return {"drifting": lambda: drifting(model)}

    monkeypatch.setattr(networks, "network", lambda name: layers())
    monkeypatch.setattr(networks, "ways", prepared_in_another_mode)
    with pytest.raises(RuntimeError, match="fail_on_recompile"):
        networks.inference("layers", QUICK)


def test_each_way_of_inductor_is_there_in_both_layouts():
    found = networks.ways(layers(), torch.randn(2, 3, 8, 8))
    for way in ("eager", "torch.fx fuse", "inductor", "inductor, frozen"):
        assert {way, f"{way}, channels_last"} <= set(found)


@pytest.mark.parametrize("absent", ["onnxscript", "openvino"])
def test_an_engine_that_is_absent_drops_only_its_row(absent, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda package: package != absent)
    left = {engine for engine, needs in engines.NEEDS.items() if absent not in needs}
    assert len(left) == 1
    assert left == set(engines.engines(layers(), torch.randn(2, 3, 8, 8)))
    assert "archdsl.optimize" in networks.ways(layers(), torch.randn(2, 3, 8, 8))


@pytest.mark.filterwarnings("ignore")  # of their packages
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("engine", ENGINES)
@torch.no_grad()
def test_engines_compute_what_the_network_does(engine):
    if not engines.installed(engine):
        pytest.skip(f"{engine} is not installed")
    model, x = layers(), torch.randn(2, 3, 8, 8)
    run = engines.engines(model, x)[engine]()
    for image in (x, torch.randn(2, 3, 8, 8)):  # another image than the one that it was prepared with
        check(run(image), model(image), 1e-5, engine)
    assert set(engines.NEEDS[engine]) <= set(engines.versions())


def test_a_network_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setattr(networks, "RESULTS", tmp_path)
    monkeypatch.setattr(networks, "PAGE", tmp_path / "page.md")
    networks.PAGE.write_text("<!-- measured: networks-cpu -->\n<!-- end -->\n")
    before = networks.PAGE.read_text()
    threads = str(torch.get_num_threads())
    networks.main(["shufflenet_v2_x0_5", "--size", "32", "--rounds", "1", "--eager", "--threads", threads])
    assert "archdsl.optimize" in capsys.readouterr().out
    assert networks.PAGE.read_text() == before, "a try does not go into the page"
    (tmp_path / "networks-cpu-32.json").rename(tmp_path / "networks-cpu.json")
    networks.main(["--page"])
    assert "| shufflenet_v2_x0_5 | archdsl.optimize |" in networks.PAGE.read_text()
    assert "shufflenet_v2_x0_5" in (tmp_path / "networks-cpu.svg").read_text()


# ---------------------------------------------------------------------------------------- a GPU
STAGES = ("machine", "compile", "layers", "adopt", "networks", "dense", "training", "correct")


def test_everything_that_runs_on_a_gpu_is_rehearsed(tmp_path):
    """Triton's interpreter in place of the GPU, a network of three kinds of blocks in place of six networks."""
    pytest.importorskip("triton")
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--out", tmp_path]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [*command, "--stages", *STAGES], cwd=measure.ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = gpu_results.read(tmp_path / "gpu.jsonl")
    assert [r for r in results if r["kind"] == "failure" or r.get("wrong") or r.get("problems")] == []
    layers = {result["layer"][0] for result in results if result["kind"] == "layer"}
    assert layers == {"depthwise", "gradients", "patches", "pointwise", "pool", "separable"}
    assert {"machine", "compiled", "network", "dense", "training", "correct"} <= {result["kind"] for result in results}
    assert len(done.stdout.split("summary")[1]) < 8000


def test_a_failure_ends_nothing_and_is_recorded(tmp_path):
    session = gpu.Session(tmp_path, 60, gpu.TINY)

    def broken(session):
        session.record("before", value=1)
        raise RuntimeError("a seeded problem")

    session.run("broken", 10, broken)
    session.run("after", 10, lambda session: session.record("after"))
    kinds = [result["kind"] for result in gpu_results.read(tmp_path / "gpu.jsonl")]
    assert kinds == ["before", "failure", "after"]
    assert "FAILED broken: RuntimeError: a seeded problem" in session.lines
    late = gpu.Session(tmp_path, -1, gpu.TINY)
    late.run("late", 10, broken)
    assert late.lines == ["-- late: no time left"]


def test_a_wrong_way_drops_only_itself(tmp_path):
    session = gpu.Session(tmp_path, 60, gpu.TINY)
    case = Case(Layer("pointwise", 1, 1, 4, 4, 3), 2, torch.float32, "cpu")
    wrong: list[str] = []
    exact = case.exact()
    assert gpu._speed(session, Case.eager, case, case, exact, "right", wrong) > 0
    assert gpu._speed(session, lambda case, x: -case.eager(x), case, case, exact, "seeded", wrong) is None
    assert len(wrong) == 1
    assert "seeded" in wrong[0]


def result(operation: str, channels: int, ours: float, library: float, **more: float) -> dict:
    layer = [operation, 3, 1, channels, channels, 28, "relu6", False]
    times = {"eager": 9.0, "library": library, "ours": ours, **more}
    return {
        "kind": "layer",
        "layer": layer,
        "batch": 256,
        "floor": 1.0,
        "microseconds": times,
        "tiles": {},
        "wrong": [],
    }


RESULTS = [
    result("depthwise", 144, 2.0, 4.0),
    result("separable", 144, 2.0, 4.0, **{"two kernels": 1.8}),
    result("gradients", 144, 1.0, 4.0),
    result("pointwise", 24, None, 4.0),
]


def test_measurements_become_rows_of_the_table_that_decides():
    rows = [Measurement(*row) for row in gpu_results.rows_of(RESULTS)]
    assert [(row.operation, row.times) for row in rows] == [("depthwise", 2.0), ("separable", 0.9)]
    assert wins(measured.Layer("depthwise", 3, 1, 144, 144, 28, 256, 16, "9.0"), table=tuple(rows))
    assert not wins(measured.Layer("separable", 3, 1, 144, 144, 28, 256, 16, "9.0"), table=tuple(rows)), (
        "two kernels are faster"
    )


def test_the_table_that_decides_is_what_the_last_run_says(tmp_path, monkeypatch):
    from archdsl.codegen import measured

    run = gpu_results.read(measure.RESULTS / f"{gpu_results.RUNS[-1]}.jsonl")
    monkeypatch.setattr(gpu_results, "FILE", str(tmp_path / "measured.csv"))
    assert gpu_results.write(run) == len(measured.rows())
    assert (tmp_path / "measured.csv").read_text() == Path(measured.FILE).read_text()


# -------------------------------------------------------------------------------------------------- seeded faults
def test_seeded_faults_fit_the_product():
    """Each is planted in one place, and makes other code that Python can read; no two are the same."""
    planted = planting.table()
    assert len(planted) >= 160
    counts = Counter(f.area for f in planted)
    assert set(counts) == set(faults.AREAS) and min(counts.values()) >= 10
    planted += planting.table(planting.PROGRAMS)
    assert len({f.key for f in planted}) == len(planted)
    for fault in planted:
        text, definitions = pieces(fault.file)
        assert text.count(fault.old) == 1, f"{fault.file} has changed: {fault.old}"
        place = text.count("\n", 0, text.index(fault.old)) + 1
        around = [piece for start, piece in definitions if start <= place and fault.old in piece]
        before = around[-1] if around else text
        assert ast.dump(ast.parse(before.replace(fault.old, fault.new))) != ast.dump(ast.parse(before)), fault.what


@functools.cache
def pieces(file):
    """Return a file's text, and its definitions, each with its first line: parsing those is quicker than the whole."""
    text = (planting.ROOT / file).read_text(encoding="utf-8")
    lines, found = text.splitlines(keepends=True), []
    for item in ast.parse(text).body:
        start = min([item.lineno, *[one.lineno for one in getattr(item, "decorator_list", [])]])
        found.append((start, "".join(lines[start - 1 : item.end_lineno])))
    return text, found


def test_the_suite_finds_seeded_faults():
    """The committed run is of the faults that are there, and tests found at least 95 of 100."""
    found = json.loads(faults.RESULT.read_text(encoding="utf-8"))
    assert [one["what"] for one in found["faults"]] == [f.what for f in planting.table()]
    assert found["total"]["killed"] >= 0.95 * found["total"]["planted"]
    assert found["total"]["killed"] == sum(bool(one.get("killed")) for one in found["faults"])


def test_programs_at_random_find_seeded_mistakes():
    """The committed run is of the mistakes that are there, and programs alone found at least thirty."""
    found = json.loads((measure.RESULTS / "programs-seeded.json").read_text(encoding="utf-8"))
    assert [one["what"] for one in found["faults"]] == [f.what for f in planting.table(planting.PROGRAMS)]
    assert found["found"] == sum(one["programs"] is not None for one in found["faults"]) >= 30


@pytest.mark.parametrize(
    ("text", "old", "new", "lines"),
    [
        ("a = 1\nb = 2\n", "b = 2", "b = 3", [2]),  # its own line comes first, then its statement, then the file
        ("def f():\n    a = (\n        1,\n        2,\n    )\n    return a\n", "        2,", "        3,", [4]),
    ],
)
def test_a_fault_is_sought_near_its_line(text, old, new, lines):
    near = list(faults._around(text, planting.Fault("cost", "x.py", "", old, new)))
    assert list(near[0]) == lines
    assert all(set(small) <= set(large) for small, large in itertools.pairwise(near))


def test_planting_leaves_nothing_behind(tmp_path):
    file, before = tmp_path / "x.py", "a = 1\nb = 2\n"
    file.write_text(before)
    with planting.Planted(tmp_path, planting.Fault("cost", "x.py", "", "b = 2", "b = 3")):
        assert file.read_text() == "a = 1\nb = 3\n"
        during = file.stat().st_mtime
    assert file.read_text() == before and int(file.stat().st_mtime) != int(during)
    with (
        pytest.raises(SystemExit, match="0 places"),
        planting.Planted(tmp_path, planting.Fault("cost", "x.py", "", "c", "d")),
    ):
        pass


# ---------------------------------------------------------------------------------------- deployment
def test_the_page_on_deployment_has_the_figures_of_the_record():
    record = json.loads((measure.RESULTS / f"{deploy.KIND}.json").read_text())
    page = deploy.PAGE.read_text()
    assert "\n".join(deploy.lines(record["results"])) in page
    assert deploy.summary(record["results"]) in page
    assert [(row["network"], row["batch"]) for row in record["results"]] == [
        (n, b) for n in deploy.NETS for b in (1, 8)
    ]
    for row in record["results"]:
        rows = row["milliseconds"]
        assert max(way["error"] for way in rows.values()) <= deploy.TOLERANCE
        better = min(rows[way]["median"] for way in deploy.PLAIN)
        assert row["times_the_better_plain_engine"]["median"] == pytest.approx(
            better / rows["auto"]["median"], abs=1e-3
        )


# ---------------------------------------------------------------------------------------- networks of others
def test_the_page_has_the_figures_of_networks_of_others():
    record = json.loads((measure.RESULTS / f"{others.KIND}.json").read_text())
    results, page = record["results"], others.PAGE.read_text()
    assert "\n".join([*networks.caption(record), *others.lines(results)]) in page
    assert [(row["network"], row["batch"]) for row in results] == [(n, b) for n in others.NETS for b in (1, 8)]
    assert len(others.NETS) >= 10 and {name.partition(":")[0] for name in others.NETS} == {"timm", "torchvision"}
    assert record["threads"] == 1 and record["clock"] == "process"
    for row in results:
        assert max(way["error"] for way in row["milliseconds"].values()) <= others.TOLERANCE == 1e-5
        assert row["times_the_faster"] == others.beside(row["milliseconds"])
        assert row["times_the_faster"]["median"] <= others.SLOWER == 1.03, row["network"]


def test_a_network_of_others_is_measured(monkeypatch, capsys, torchvision_models):
    monkeypatch.setattr(others, "ROUNDS", (2, 2))
    monkeypatch.setattr(others, "write", lambda *_: pytest.fail("a try is not recorded"))
    threads = torch.get_num_threads()
    try:
        others.main(["timm:lcnet_050", "--batches", "1"])
    finally:
        torch.set_num_threads(threads)
    (line,) = capsys.readouterr().out.splitlines()
    name, *times, ratio, error = [cell.strip() for cell in line.strip("|").split("|")]
    assert name == "timm lcnet_050, 1" and float(error) <= 1e-5
    eager, last, ours = map(float, times)
    assert float(ratio) == pytest.approx(ours / min(eager, last), rel=0.1)


def test_the_faster_of_two_is_what_counts():
    rows = {
        way: {"median": n, "min": n / 2} for way, n in ((others.EAGER, 4.0), (others.LAST, 2.0), (others.OURS, 3.0))
    }
    assert others.beside(rows) == {"median": 1.5, "min": 1.5}
