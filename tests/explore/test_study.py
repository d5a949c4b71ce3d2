"""Searches by a sampler: better than chance, within budgets, resumable, side by side, with goals that are measured."""

from __future__ import annotations

import doctest
import json
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import optuna
import pytest

import archdsl
from archdsl.cli.main import main
from archdsl.explore.problem import Problem
from archdsl.explore.study import SAMPLERS, Study
from archdsl.explore.sweep import Range, Space

PAGE = (Path(__file__).parents[2] / "docs" / "search.md").read_text(encoding="utf-8")
TRIO = """
net trio(a=16, b=16, c=16, d=1):
    input image: [N, 3, H=32, W=32]
    [conv(a, 3), relu] -> [conv(b, 3, stride=2), relu] * d -> [conv(c, 3, stride=2), relu]
    global_avgpool -> flatten -> linear(10)
"""
WIDTHS = [8 * i for i in range(1, 8)]
SPACE = {"a": WIDTHS, "b": WIDTHS, "c": WIDTHS, "d": [1, 2]}
SMALL = {"a": [8, 16, 32, 64], "b": [8, 16, 32], "c": [8, 16, 32, 64], "d": [1, 2]}


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "trio.arch"
    path.write_text(TRIO)
    return str(path)


# -------------------------------------------------------------------------------------------------- what is found
def test_tpe_beats_chance_on_a_known_optimum(trio):
    asked = {"budget": "macs <= 4M", "maximize": "params"}
    best = archdsl.search(trio, **asked, **SPACE).goal
    reached = {
        sampler: [
            archdsl.search(trio, **asked, **SPACE, sampler=sampler, sample=40, seed=seed).goal / best
            for seed in range(10)
        ]
        for sampler in ("random", "tpe")
    }
    assert mean(reached["tpe"]) > mean(reached["random"]) + 0.15, reached
    assert sum(one > other for one, other in zip(reached["tpe"], reached["random"])) >= 8, reached
    assert max(reached["tpe"]) <= 1


def dominates(one: dict, other: dict) -> bool:
    return one["params"] >= other["params"] and one["macs"] <= other["macs"] and one["bytes"] <= other["bytes"]


def test_nothing_dominates_the_front_of_nsga2(trio):
    """The front of all settings of a small space, by brute force: the sampler has found part of it, and nothing else."""
    rows = [row for row in archdsl.sweep(trio, figures=["params", "macs", "bytes"], **SMALL) if row["macs"] <= 3e6]
    key = ("params", "macs", "bytes")
    best = {tuple(row[k] for k in key) for row in rows if not any(
        dominates(other, row) and any(other[k] != row[k] for k in key) for other in rows)}  # fmt: skip
    found = archdsl.search(
        trio, maximize="params", minimize=["macs", "bytes"], budget="macs <= 3M", sampler="nsga2", sample=500, **SMALL
    )
    front = [tuple(row[k] for k in key) for row in found]
    assert len(front) == len(set(front)) and len(front) >= len(best) / 2
    assert set(front) <= best
    assert all(row["macs"] <= 3e6 for row in (*found, *found.others))


def test_goals_may_be_any_arithmetic_and_equal_values_are_one_row(trio):
    found = archdsl.search(
        trio,
        maximize="params / macs",
        minimize="a + b",
        sampler="tpe",
        sample=40,
        seed=1,
        a=[8, 16],
        b=[8, 16],
        c=[8, 64],
    )
    values = [(row["params / macs"], row["a + b"]) for row in found]
    assert len(values) == len(set(values)) and values == sorted(values)
    assert all(row["params / macs"] == row["params"] / row["macs"] for row in found)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_illegal_settings_are_told_and_never_the_result(trio, sampler):
    asked = {"sampler": sampler, "sample": 60, "minimize": "params"}
    found = archdsl.search(trio, **asked, a=[-8, 8, 16], b=[0, 8, 24], c=Range(1, 9))
    assert found.best["a"] > 0 < found.best["b"] and found.minimize == "params"
    assert 0 < found.legal < found.tried == 60
    with pytest.raises(archdsl.CompileError, match="none of the 60 settings is legal"):
        archdsl.search(trio, **asked, a=[-8, -16])
    with pytest.raises(archdsl.CompileError, match="closest: a="):
        archdsl.search(trio, **asked, a=[8, 16], budget="params <= 10")


def test_texts_and_sizes_are_settings_too(trio):
    found = archdsl.search(
        trio,
        maximize="macs",
        sampler="tpe",
        sample=30,
        a=["8 + 8", "2 * 32"],
        sizes=[((1, 3, n, n),) for n in (32, 48, 64)],
    )
    assert found.best["a"] == "2 * 32" and found.best["input"] == "1x3x64x64"


# -------------------------------------------------------------------------------------------------- measures
def square(a: int, d: int) -> float:
    """A measure that processes can be sent: 48 is best."""
    return -((a - 48) ** 2) - d


def test_measures_are_called_within_the_budget_and_once(trio):
    calls = []

    def measure(a: int, d: int) -> float:
        calls.append((a, d))
        return square(a, d)

    asked = {"sampler": "tpe", "sample": 60, "a": WIDTHS, "d": [1, 2]}
    found = archdsl.search(trio, measures={"score": measure}, maximize="score", budget="a <= 40, macs <= 3M", **asked)
    assert (found.best["a"], found.best["d"], found.best["score"]) == (40, 1, -65)
    assert len(calls) == len(set(calls)) < 60 and max(a for a, _ in calls) == 40
    found = archdsl.search(trio, measures={"score": square}, maximize="params", budget="score >= -100", **asked)
    assert found.best["score"] >= -100 and found.met < found.legal
    with pytest.raises(ValueError, match="`score` of a=.* is no number"):
        archdsl.search(trio, measures={"score": lambda **_: float("nan")}, maximize="score", **asked)


def test_executors_give_equal_results(trio):
    asked = {"sampler": "tpe", "sample": 40, "maximize": "score", "minimize": "macs", "a": WIDTHS, "d": [1, 2]}
    results = []
    for executor in (ThreadPoolExecutor(2), ProcessPoolExecutor(2, mp_context=get_context("fork"))):
        with executor:
            results.append(archdsl.search(trio, measures={"score": square}, executor=executor, at_once=4, **asked))
    assert results[0] == results[1]


# -------------------------------------------------------------------------------------------------- interruption
@pytest.mark.parametrize("kind", ["{}/trials.log", "sqlite:///{}/trials.db"])
def test_a_search_goes_on_where_it_stopped(trio, tmp_path, kind):
    calls = []

    def stopping(a: int, d: int) -> float:
        calls.append((a, d))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return square(a, d)

    def study(sample: int) -> Study:
        space = Space((("a", WIDTHS), ("d", [1, 2])), sample, 5)
        problem = Problem(trio, None, space, "a >= 16", ["score"], (), {"score": stopping})
        return Study(problem, "tpe", kind.format(tmp_path))

    first = study(15)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert first.tried < 15 and first.successful
    second = study(15)
    assert second.tried == first.tried and second.measured == first.measured
    found = second.run()
    assert found.tried == 15 and found.goal == max(square(a, d) for a, d in calls)
    assert len(calls) == len(set(calls)) + 1, "only what was interrupted is measured again"
    assert study(18).run().tried == 18, "a larger sample goes on"
    states = {trial.state.name for trial in second.study.get_trials()}
    assert states == {"COMPLETE", "FAIL"}, "nobody is at work on what was interrupted"


def test_a_sampler_that_goes_on_does_not_begin_again(trio, tmp_path):
    state = str(tmp_path / "trials.log")
    asked = {"sampler": "random", "state": state, "a": Range(1, 10_000)}
    for sample in (5, 10):
        archdsl.search(trio, sample=sample, **asked)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(state))
    (study,) = optuna.get_all_study_summaries(storage)
    picked = [trial.params["a"] for trial in optuna.load_study(study_name=study.study_name, storage=storage).trials]
    assert len(picked) == len(set(picked)) == 10


# -------------------------------------------------------------------------------------------------- the command
def run(capsys, *arguments: str, status: int = 0) -> tuple[str, str]:
    assert main(["search", *arguments]) == status
    return capsys.readouterr()


def test_a_front_is_printed_and_drawn(trio, tmp_path, capsys):
    plot = tmp_path / "front.svg"
    arguments = (
        trio,
        "--set",
        "a=8,16,32",
        "--sampler",
        "nsga2",
        "--sample",
        "20",
        "--maximize",
        "params",
        "--minimize",
        "macs",
    )
    out, err = run(capsys, *arguments, "--plot", str(plot))
    assert "3 settings on the front of maximize params, minimize macs" in out and not err
    assert "20 settings tried, 0 illegal, 20 within the budget" in out and "32  " in out
    text = plot.read_text()
    assert text.startswith("<?xml") and text.count('<use xlink:href="#m') >= 3
    out, _ = run(capsys, *arguments, "--json", "--jobs", "2")
    found = json.loads(out)
    assert [row["a"] for row in found["rows"]] == [8, 16, 32] and found["minimize"] == ["macs"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sampler", "cma"], "it is one of random, tpe, nsga2"),
        (["--sampler", "tpe"], "`--sample` says how many"),
        (["--maximize", "params", "--minimize", "macs"], "several goals take a `--sampler`"),
        (["--minimize", "mac"], "unknown name `mac`"),
        (["--plot", "front.svg"], "a plot has two goals"),
        (["--plot", "front.bmp"], "the name ends in"),
        (["--sampler", "tpe", "--sample", "3", "--state", "no/such/folder/trials.log"], "cannot write"),
        (["--sampler", "tpe", "--sample", "3", "--state", "nowhere://trials"], "`--state nowhere://trials` cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_diagnostic(trio, arguments, words, capsys):
    _, err = run(capsys, trio, "--set", "a=8,16", *arguments, status=2)
    assert words in err and err.startswith("error[E"), err


@pytest.mark.parametrize("text", ["no journal\n", '{"next": 3}'])
def test_a_file_of_something_else_is_left_alone(trio, tmp_path, text, capsys):
    path = tmp_path / "mine"
    path.write_text(text)
    _, err = run(capsys, trio, "--set", "a=8,16", "--sampler", "tpe", "--sample", "3", "--state", str(path), status=2)
    assert "is the state of another search" in err and path.read_text() == text
    other = tmp_path / "trials.log"
    run(capsys, trio, "--set", "a=8,16", "--sampler", "tpe", "--sample", "3", "--state", str(other))
    before = other.read_bytes()
    _, err = run(capsys, trio, "--set", "a=8,24", "--sampler", "tpe", "--sample", "3", "--state", str(other), status=2)
    assert "is the state of another search" in err and other.read_bytes() == before


def test_minimize_needs_no_sampler(trio, capsys):
    out, _ = run(capsys, trio, "--set", "a=8,16,32", "--minimize", "macs", "--budget", "params >= 5k", "--json")
    found = json.loads(out)
    assert found["best"]["a"] == 16 and (found["minimize"], found["maximize"]) == ("macs", "")


# -------------------------------------------------------------------------------------------------- the page
def test_the_page_runs(tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)  # where it saves a network
    blocks = re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL)
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "search.md", "docs/search.md", 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not failed and tried > 15, "".join(said)
