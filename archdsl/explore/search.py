"""The best setting of a net under budgets: every point of a grid or a sample is tried, and only the best is kept.

    found = archdsl.search("mobilenet_v2", budget="macs <= 400M, memory <= 60MB", maximize="params",
                           width=Range(0.25, 2.0), sample=10_000)

Memory stays flat: a point follows from its number, so the state of a search is a number, the best point, and a few
counts. Written to a file now and then, that is what an interrupted search goes on from. With a `sampler`, what was
tried decides what is tried next (`study`).
"""

from __future__ import annotations

import hashlib
import json
import os
import time

from archdsl.analysis.columns import WHOLE, Grid, View
from archdsl.analysis.result import Result
from archdsl.diagnostics import CompileError, errors
from archdsl.explore.problem import NO_MEASURES, Problem
from archdsl.explore.sweep import INPUT, Range, Space, in_words, outcomes, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from typing import Any

    from archdsl.explore.problem import Measure
    from archdsl.explore.study import Front

    Progress = Callable[[int, int], None]

SAVED_EVERY = 2.0  # seconds


class State:
    """How far a search is: plain data, of the same size however many points are tried."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.next = self.legal = self.met = 0
        self.best: dict[str, Any] | None = None
        self.goal: float | None = None
        self.closest: dict[str, Any] | None = None
        self.excess = float("inf")
        self.first_illegal = ""

    def save(self, path: str) -> None:
        """Write the state, whole or not at all."""
        temporary = f"{path}.part"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(self.__dict__, file)
            os.replace(temporary, path)
        except OSError as problem:
            raise errors.unwritable(path, problem.strerror or "") from None

    @staticmethod
    def start(path: str | None, fingerprint: str) -> State:
        """Return the state that a file holds, or a new one; raises `CompileError` for that of another search."""
        state = State(fingerprint)
        if path is None or not os.path.exists(path):
            return state
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            raise errors.other_search(path) from None
        if not isinstance(found, dict) or found.get("fingerprint") != fingerprint or set(found) != set(state.__dict__):
            raise errors.other_search(path)
        state.__dict__.update(found)
        return state


class Found(Result):
    """What a search found: the best setting with its figures, and how many were tried, legal, and within the budget.

    `maximize` or `minimize` is the goal, and the other is nothing.
    """

    network: str
    best: dict[str, Any]
    goal: float
    tried: int
    legal: int
    met: int
    maximize: str = "params"
    minimize: str = ""

    def summary(self) -> str:
        goal = f"{int(self.goal):,}" if self.goal.is_integer() else f"{self.goal:.6g}"
        return f"{self.network}: {self.maximize or self.minimize} = {goal} at {in_words(self.best)}"

    def text(self, view: View = WHOLE) -> str:
        """Return the best setting, and how many were tried."""
        return f"{self.summary()}\n{counted(self.tried, self.legal, self.met)}"

    def grid(self, view: View = WHOLE) -> Grid:
        notes = [counted(self.tried, self.legal, self.met)]
        return Grid(self.summary(), tuple(self.best), [tuple(map(str, self.best.values()))], 0, notes)

    def records(self) -> list[dict[str, Any]]:
        return [self.best]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {name: getattr(self, name) for name in self.fields}


def counted(tried: int, legal: int, met: int) -> str:
    """Say how many settings were tried, and what became of them."""
    return f"{tried:,} settings tried, {tried - legal:,} illegal, {met:,} within the budget"


def found(problem: Problem, best: dict[str, Any], goal: float, tried: int, legal: int, met: int) -> Found:
    """Return the best setting by the one goal of a problem."""
    (wish,) = problem.goals
    sides = ("", wish.text) if wish.down else (wish.text, "")
    return Found(str(problem), best, goal, tried, legal, met, *sides)


class Search:
    """One search of all points, which can be stopped between any two."""

    def __init__(self, problem: Problem, state: str | None = None) -> None:
        self.problem, self.path = problem, state
        for goal in problem.goals[1:]:
            raise errors.bad_option(goal.option, goal.text, "several goals take a `--sampler`")
        for measure in problem.measures:
            raise errors.bad_option("measures", measure, "measures take a `sampler`")
        self.state = State.start(state, self.fingerprint())

    def fingerprint(self) -> str:
        """Return what must be the same for a search to go on."""
        return hashlib.sha256(repr((*self.problem.identity(), self.problem.space)).encode()).hexdigest()

    @property
    def tried(self) -> int:
        """How many settings were tried so far."""
        return self.state.next

    @property
    def successful(self) -> bool:
        """Whether there is anything to show."""
        return self.state.best is not None

    def run(self, executor: Executor | None = None, progress: Progress | None = None) -> Found:
        """Try the points that are left; raises `CompileError` where none is legal, or none meets the budget."""
        saved, problem = time.monotonic(), self.problem
        points = outcomes(problem.name, problem.net, problem.space, problem.figures, self.state.next, executor)
        try:
            for point, outcome in points:
                self.consider(plain(point), outcome)
                self.state.next += 1
                if time.monotonic() - saved > SAVED_EVERY:
                    saved = time.monotonic()
                    self.save()
                    if progress is not None:
                        progress(self.state.next, len(problem.space))
        finally:
            self.save()
        return self.result()

    def save(self) -> None:
        """Write the state, where a file was given for it."""
        if self.path is not None:
            self.state.save(self.path)

    def consider(self, settings: dict[str, Any], outcome: tuple[Any, ...] | str) -> None:
        """Keep a setting if it is the best, or the closest to the budget, so far."""
        state, problem = self.state, self.problem
        if isinstance(outcome, str):
            state.first_illegal = state.first_illegal or f"{in_words(settings)}: {outcome}"
            return
        state.legal += 1
        row = settings | dict(zip(problem.figures, outcome))
        excess = problem.excess(row)
        if excess > 1.0:
            if excess < state.excess:
                state.closest, state.excess = row, excess
            return
        state.met += 1
        value = problem.goals[0].value(row)
        if state.goal is None or problem.goals[0].better(value, state.goal):
            state.best, state.goal = row, value

    def result(self) -> Found:
        """Return what was found, once all points are tried."""
        state = self.state
        if state.best is None or state.goal is None:
            raise nothing(self.problem, state.next, state.legal, state.first_illegal, state.closest or {})
        return found(self.problem, state.best, state.goal, state.next, state.legal, state.met)


def nothing(problem: Problem, tried: int, legal: int, first_illegal: str, closest: dict[str, Any]) -> CompileError:
    """Return the mistake of a search that found nothing."""
    if not legal:
        return errors.nothing_legal(errors.place_of(problem.name), tried, first_illegal)
    return errors.unmet_budget(problem.budget, tried, problem.missed(closest), in_words(closest))


def search(
    name: str | os.PathLike[str],
    /,
    *,
    budget: str = "",
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    measures: Mapping[str, Measure] = NO_MEASURES,
    sampler: str | None = None,
    net: str | None = None,
    sizes: Sequence[tuple[tuple[int, ...], ...]] = (),
    sample: int | None = None,
    seed: int = 0,
    state: str | None = None,
    executor: Executor | None = None,
    at_once: int = 8,
    **params: Sequence[Any] | Range,
) -> Found | Front:
    """Return the setting of a net that is best by an expression within a budget, or the front by several of them.

    `budget` is a list of comparisons over figures (params, macs, flops, operations, bytes, memory, training) and
    parameters, with units k M G T, kB MB GB, KiB MiB GiB; `maximize` and `minimize` are such expressions, by default
    the number of parameters. Raises `CompileError` where nothing is legal, and where nothing meets the budget, with how
    close the best came.

    >>> search("mobilenet_v1", budget="macs <= 200M", width=[0.25, 0.5, 0.75, 1]).best["width"]
    0.5

    All settings are tried, or `sample` of them at random. With a `sampler`, "random", "tpe" or "nsga2", it is Optuna
    that picks `sample` of them by what it has learned of those before (docs/search.md). Only then there may be several
    goals, and `measures`: functions that take the parameters by name and return a figure, which has their name in
    budget and goals. They are called where the limits that need none of them are met, once a setting.

    `state` names a file from which an interrupted search goes on; with a sampler it may be the address of a database,
    as Optuna has it. An `executor` tries settings side by side, with a sampler `at_once` of them, whose results do not
    know of each other.
    """
    axes = [(key, values if isinstance(values, Range) else tuple(values)) for key, values in params.items()]
    axes += [(INPUT, tuple(sizes))] if sizes else []
    up, down = [(text,) if isinstance(text, str) else tuple(text) for text in (maximize, minimize)]
    problem = Problem(os.fspath(name), net, Space(tuple(axes), sample, seed), budget, up, down, measures)
    if sampler is None:
        return Search(problem, state).run(executor)
    from archdsl.explore.study import Study

    return Study(problem, sampler, state).run(executor, at_once=at_once)
