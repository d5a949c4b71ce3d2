"""A search in which what was tried decides what is tried next, by Optuna's samplers (the `search` extra).

    random  settings at random
    tpe     tree-structured Parzen estimator: densities of good and of other settings (Bergstra et al., NeurIPS 2011)
    nsga2   a genetic algorithm that keeps a front of several goals (Deb et al., 2002)

Counts are constraints: a setting that misses its budget, or cannot be built, tells the sampler by how much, and is not
measured. Trials are in Optuna's own storage, with their settings and figures as attributes, for its dashboard too.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from contextlib import contextmanager

from archdsl.analysis.columns import WHOLE, Grid, View
from archdsl.analysis.result import Result
from archdsl.diagnostics import CompileError, errors
from archdsl.diagnostics.extras import Needing
from archdsl.explore.search import SAVED_EVERY, counted, found, nothing
from archdsl.explore.sweep import INPUT, Range, cell, evaluate_point, in_words, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor
    from typing import Any

    from archdsl.explore.problem import Measure, Problem, Row
    from archdsl.explore.search import Found, Progress
    from archdsl.explore.sweep import Outcome, Point

SAMPLERS = ("random", "tpe", "nsga2")
JOURNAL = b'{"op_code"'  # what a file of Optuna's begins with
AT_ONCE = 8  # settings under way with an executor


class Front(Result):
    """What a search with several goals found: the settings that no other one beats, and all others within the budget.

    Of settings with the same values the first is on the front. A row holds parameters, figures, and the value of each
    goal under its text; a front is the sequence of its rows.
    """

    network: str
    maximize: tuple[str, ...]
    minimize: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    others: tuple[dict[str, Any], ...]
    tried: int
    legal: int
    met: int

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return self.rows[at]

    def summary(self) -> str:
        goals = [*[f"maximize {text}" for text in self.maximize], *[f"minimize {text}" for text in self.minimize]]
        return f"{self.network}: {len(self.rows):,} settings on the front of {', '.join(goals)}"

    def grid(self, view: View = WHOLE) -> Grid:
        head = tuple(self.rows[0])
        rows = [tuple([cell(row[name]) for name in head]) for row in self.rows]
        return Grid(self.summary(), head, rows, 0, [counted(self.tried, self.legal, self.met)])

    def records(self) -> list[dict[str, Any]]:
        return list(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the front as plain data."""
        return {name: getattr(self, name) for name in self.fields}


class Study:
    """One search by a sampler, which can be stopped between any two batches of settings."""

    def __init__(self, problem: Problem, sampler: str, state: str | None = None) -> None:
        if sampler not in SAMPLERS:
            raise errors.bad_option("--sampler", sampler, f"it is one of {', '.join(SAMPLERS)}")
        if problem.space.sample is None:
            raise errors.bad_option("--sampler", sampler, "`--sample` says how many settings it may try")
        self.problem, self.wanted = problem, problem.space.sample
        self.study = _study(problem, sampler, state)
        self.distributions = {name: _distribution(values) for name, values in problem.space.axes}
        rows = {t.user_attrs["point"]: t.user_attrs["row"] for t in self.trials() if "row" in t.user_attrs}
        known = {point: {n: row[n] for n in problem.measures if n in row} for point, row in rows.items()}
        self.measured = {point: values for point, values in known.items() if values}

    def trials(self) -> list[Any]:
        """Return the trials that are done, as Optuna has them."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]

    @property
    def tried(self) -> int:
        """How many settings were tried so far."""
        return len(self.trials())

    @property
    def successful(self) -> bool:
        """Whether there is anything to show."""
        return any(_met(trial) for trial in self.trials())

    def run(
        self, executor: Executor | None = None, progress: Progress | None = None, at_once: int = AT_ONCE
    ) -> Found | Front:
        """Try the settings that are left; raises `CompileError` where none is legal, or none meets the budget.

        With an executor, `at_once` are tried side by side and told in the order in which they were asked for, so the
        result is that of any other executor.
        """
        told, done = time.monotonic(), self.tried
        while done < self.wanted:
            count = 1 if executor is None else min(at_once, self.wanted - done)
            self.batch(count, executor)
            done += count
            if progress is not None and time.monotonic() - told > SAVED_EVERY:
                told = time.monotonic()
                progress(done, self.wanted)
        return self.result()

    def batch(self, count: int, executor: Executor | None) -> None:
        """Ask for settings, try them, and tell what became of them."""
        trials = [self.study.ask(self.distributions) for _ in range(count)]
        try:
            points = [self.point(trial.params) for trial in trials]
            for trial, point, row in zip(trials, points, self.rows(points, executor)):
                self.tell(trial, point, row)
        except BaseException:
            self.give_up(trials)
            raise

    def point(self, picked: dict[str, Any]) -> Point:
        """Return the setting that a trial has picked."""
        axes = self.problem.space.axes
        return tuple([(n, picked[n] if isinstance(v, Range) else _ordered(v)[picked[n]]) for n, v in axes])

    def rows(self, points: Sequence[Point], executor: Executor | None) -> list[Row | str]:
        """Return parameters and figures of settings, or why they are illegal."""
        problem = self.problem
        tasks = [(problem.name, problem.net, problem.space, point, problem.figures) for point in points]
        rows = [_row(p, found, problem) for p, found in zip(points, _mapped(executor, evaluate_point, tasks))]
        if problem.measures:
            self.measure(dict(zip(map(repr, points), points)), dict(zip(map(repr, points), rows)), executor)
        return [row if isinstance(row, str) else row | self.measured.get(repr(p), {}) for p, row in zip(points, rows)]

    def measure(self, points: dict[str, Point], rows: dict[str, Row | str], executor: Executor | None) -> None:
        """Measure the settings that are within the budget as far as counts go, each once."""
        new = [key for key in points if key not in self.measured and self.promising(rows[key])]
        calls = [(self.problem.measures, points[key]) for key in new]
        self.measured |= dict(zip(new, _mapped(executor, _measured, calls)))

    def promising(self, row: Row | str) -> bool:
        """Say whether a setting is legal, and meets the limits that need no measure."""
        return not isinstance(row, str) and self.problem.excess(row) <= 1.0

    def tell(self, trial: Any, point: Point, row: Row | str) -> None:
        """Tell what became of a setting: by which factor it misses the budget, and what it is worth.

        What is not within the budget has the worst of all values; samplers compare such settings by their constraint.
        """
        problem = self.problem
        excess = math.inf if isinstance(row, str) else problem.excess(row)
        trial.set_user_attr("setting", in_words(plain(point)))
        trial.set_constraint("budget", math.log(excess))
        if isinstance(row, str):
            trial.set_user_attr("illegal", row)
        else:
            trial.set_user_attr("row", row)
            trial.set_user_attr("point", repr(point))
        if isinstance(row, str) or excess > 1.0:
            self.study.tell(trial, [math.inf if goal.down else -math.inf for goal in problem.goals])
        else:
            self.study.tell(trial, [goal.value(row) for goal in problem.goals])

    def give_up(self, trials: Sequence[Any]) -> None:
        """Mark trials that were interrupted, which nobody is at work on."""
        left = {trial.number for trial in self.study.get_trials(deepcopy=False) if not trial.state.is_finished()}
        for trial in trials:
            if trial.number in left:
                self.study.tell(trial, state=_optuna().trial.TrialState.FAIL)

    def result(self) -> Found | Front:
        """Return what was found so far."""
        trials, problem = self.trials(), self.problem
        legal = [trial for trial in trials if "row" in trial.user_attrs]
        met = [trial for trial in legal if _met(trial)]
        counts = (len(trials), len(legal), len(met))
        if not met:
            reasons = [f"{t.user_attrs['setting']}: {t.user_attrs['illegal']}" for t in trials if t not in legal]
            closest = min(legal, key=lambda trial: trial.constraints["budget"], default=None)
            row = closest.user_attrs["row"] if closest else {}
            raise nothing(problem, len(trials), len(legal), "".join(reasons[:1]), row)
        if len(problem.goals) > 1:
            return self.front(met, counts)
        best = met[0]
        for trial in met:
            best = trial if problem.goals[0].better(trial.value, best.value) else best
        return found(problem, best.user_attrs["row"], best.value, *counts)

    def front(self, met: Sequence[Any], counts: tuple[int, int, int]) -> Front:
        """Return the front of trials within the budget, in order of the first goal."""
        best: dict[tuple[float, ...], Any] = {}
        for trial in self.study.best_trials:
            best.setdefault(tuple(trial.values), trial)
        rows = [self.shown(best[values]) for values in sorted(best)]
        on_it = {trial.user_attrs["point"] for trial in best.values()}
        others = {t.user_attrs["point"]: self.shown(t) for t in met if t.user_attrs["point"] not in on_it}
        up, down = [tuple([g.text for g in self.problem.goals if g.down == down]) for down in (False, True)]
        return Front(str(self.problem), up, down, tuple(rows), tuple(others.values()), *counts)

    def shown(self, trial: Any) -> Row:
        """Return a setting with its figures and the values of its goals."""
        row: Row = trial.user_attrs["row"]
        return row | {g.text: v for g, v in zip(self.problem.goals, trial.values) if g.text not in row}


# -------------------------------------------------------------------------------------------------- Optuna
def _optuna() -> Any:
    with Needing("a search with a sampler"):
        import optuna
    return optuna


def _study(problem: Problem, sampler: str, state: str | None) -> Any:
    """Return the study of a problem, a new one or that of an earlier run; raises `CompileError` for another's file."""
    optuna = _optuna()
    identity = (*problem.identity(), problem.space.axes, sampler, problem.space.seed)
    name = f"{problem} {hashlib.sha256(repr(identity).encode()).hexdigest()[:12]}"
    directions = ["minimize" if goal.down else "maximize" for goal in problem.goals]
    with _quiet(optuna):
        storage, known = _storage(optuna, state)
        if known and name not in known and "://" not in str(state):
            raise errors.other_search(str(state))
        study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
    study.sampler = _sampler(optuna, sampler, f"{problem.space.seed}/{len(study.get_trials(deepcopy=False))}")
    return study


def _storage(optuna: Any, state: str | None) -> tuple[Any, list[str]]:
    """Return where trials are kept, a database of an address, a journal in a file, or memory, and the studies there."""
    try:
        if state is None:
            storage = optuna.storages.InMemoryStorage()
        elif "://" in state:
            storage = optuna.storages.RDBStorage(state)
        elif not _is_journal(state):
            raise errors.other_search(state)
        else:
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(state))
        return storage, [study.study_name for study in optuna.get_all_study_summaries(storage)]
    except CompileError:
        raise
    except OSError as problem:
        raise errors.unwritable(str(state), problem.strerror or "") from None
    except Exception as problem:  # whatever a database says
        raise errors.bad_option("--state", str(state), str(problem).partition("\n")[0]) from None


def _is_journal(path: str) -> bool:
    """Say whether a file is one of Optuna's journals, or to be one: Optuna writes to any other, too."""
    if not os.path.exists(path):
        return True
    with open(path, "rb") as file:
        start = file.read(len(JOURNAL))
    return start in (b"", JOURNAL)


def _sampler(optuna: Any, name: str, seed: str) -> Any:
    """Return a sampler; one that goes on has another seed, or it would pick the first settings again."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big")
    kinds = {"random": "RandomSampler", "tpe": "TPESampler", "nsga2": "NSGAIISampler"}
    return getattr(optuna.samplers, kinds[name])(seed=number)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Keep Optuna from telling what it does."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(values: Sequence[Any] | Range) -> Any:
    """Return what a sampler picks from: numbers of a range, or places in a list, which are near where numbers are."""
    kinds = _optuna().distributions
    if not isinstance(values, Range):
        count = len(values)
        return kinds.IntDistribution(0, count - 1) if _numbers(values) else kinds.CategoricalDistribution(range(count))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return kinds.IntDistribution(values.low, values.high)
    return kinds.FloatDistribution(values.low, values.high)


def _numbers(values: Sequence[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)


def _ordered(values: Sequence[Any]) -> Sequence[Any]:
    return sorted(values) if _numbers(values) else values


# -------------------------------------------------------------------------------------------------- trials
def _met(trial: Any) -> bool:
    return bool(trial.constraints["budget"] <= 0.0)


def _row(point: Point, outcome: Outcome, problem: Problem) -> Row | str:
    return outcome if isinstance(outcome, str) else plain(point) | dict(zip(problem.figures, outcome))


def _mapped(executor: Executor | None, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
    """Return what a function gives for each task, in order."""
    if executor is None:
        return [function(task) for task in tasks]
    waiting = [executor.submit(function, task) for task in tasks]
    return [future.result() for future in waiting]


def _measured(call: tuple[Mapping[str, Measure], Point]) -> dict[str, float]:
    """Call the measures with a setting; runs in the processes of an executor."""
    measures, point = call
    setting = {"sizes" if name == INPUT else name: value for name, value in point}
    found = {name: float(measure(**setting)) for name, measure in measures.items()}
    for name, value in found.items():
        if math.isnan(value):
            raise ValueError(f"`{name}` of {in_words(plain(point))} is no number, and a search cannot compare it")
    return found
