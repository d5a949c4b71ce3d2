"""The best setting of a net under budgets: every point of a grid or a sample is tried, and only the best is kept.

    found = archdsl.search("mobilenet_v2", budget="macs <= 400M, memory <= 60MB", maximize="params",
                           width=Range(0.25, 2.0), sample=10_000)

Budgets and the goal are arithmetic over figures and parameters, in the language's own expressions. Memory stays flat:
a point follows from its number, so the state of a search is a number, the best point, and a few counts. Written to a
file now and then, that is what an interrupted search goes on from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time

from archdsl.analysis.columns import WHOLE, Grid, View
from archdsl.analysis.result import Result
from archdsl.compiler import find
from archdsl.core.source import Source
from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.context import Context
from archdsl.elaborate.environment import Env
from archdsl.elaborate.expressions import evaluate
from archdsl.elaborate.values import Quotient
from archdsl.explore.sweep import FIGURES, INPUT, Range, Space, in_words, outcomes, plain
from archdsl.syntax.parser import parse_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from typing import Any

    from archdsl.elaborate.environment import File
    from archdsl.syntax import tree

    Progress = Callable[[int, int], None]

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "kB": 1e3, "MB": 1e6, "GB": 1e9}
UNITS |= {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
NUMBER = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?(?:e\d+)?)\s*({'|'.join(sorted(UNITS, key=len, reverse=True))})(?!\w)")
SAVED_EVERY = 2.0  # seconds
EXACT = 1 << 62  # beyond it the language's integers end, and a figure is a real number


class Formula:
    """An expression over figures and parameters: `macs / 2`, `depth * width**2`."""

    def __init__(self, option: str, text: str, names: Sequence[str], file: File) -> None:
        plain_text = NUMBER.sub(lambda m: _number(float(m[1]) * UNITS[m[2]]), text).strip()
        self.option, self.text, self.names, self.file = option, text.strip(), tuple(names), file
        try:
            self.tree: tree.Expr = parse_value(Source(option, plain_text))
        except CompileError as mistake:
            raise errors.bad_expression(option, text, mistake.diagnostic.title, self.names) from None

    def value(self, values: dict[str, Any]) -> float:
        """Return the value for figures and parameters by name; raises `CompileError` where there is none."""
        env = Env(None, self.file)
        env.names |= {name: _as_number(value) for name, value in values.items()}
        try:
            found = evaluate(Context(), self.tree, env, None)
        except CompileError as mistake:
            raise errors.bad_expression(self.option, self.text, mistake.diagnostic.title, self.names) from None
        if isinstance(found, Quotient) and isinstance(found.top, int):
            return found.top / found.bottom
        if type(found) not in (int, float):
            raise errors.bad_expression(self.option, self.text, "it is not a number", self.names)
        return float(found)


class Limit:
    """One condition of a budget: `macs <= 400M`."""

    def __init__(self, text: str, names: Sequence[str], file: File) -> None:
        sides = re.split(r"(<=|>=|==|<|>)", text)
        if len(sides) != 3:
            raise errors.bad_expression("--budget", text, "a limit is one comparison, such as macs <= 400M", names)
        self.text, self.sign = text.strip(), sides[1]
        self.left, self.right = [Formula("--budget", side, names, file) for side in (sides[0], sides[2])]

    def excess(self, values: dict[str, Any]) -> tuple[float, float, float]:
        """Return by which factor a setting misses the limit (at most 1 where it is met), and both sides."""
        left, right = self.left.value(values), self.right.value(values)
        met = {"<=": left <= right, ">=": left >= right, "<": left < right, ">": left > right, "==": left == right}
        if met[self.sign]:
            return 1.0, left, right
        low, high = sorted((abs(left), abs(right)))
        return max(high / low if low else float("inf"), 1.0 + 1e-12), left, right


class State:
    """How far a search is: plain data, of the same size however many points are tried."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.next = self.legal = self.met = 0
        self.best: dict[str, Any] | None = None
        self.goal = float("-inf")
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
    """What a search found: the best setting with its figures, and how many were tried, legal, and within the budget."""

    network: str
    best: dict[str, Any]
    goal: float
    tried: int
    legal: int
    met: int
    maximize: str = "params"

    def summary(self) -> str:
        goal = f"{int(self.goal):,}" if self.goal.is_integer() else f"{self.goal:.6g}"
        return f"{self.network}: {self.maximize} = {goal} at {in_words(self.best)}"

    def text(self, view: View = WHOLE) -> str:
        """Return the best setting, and how many were tried."""
        return f"{self.summary()}\n{self._tried()}"

    def _tried(self) -> str:
        return f"{self.tried:,} settings tried, {self.tried - self.legal:,} illegal, {self.met:,} within the budget"

    def grid(self, view: View = WHOLE) -> Grid:
        return Grid(self.summary(), tuple(self.best), [tuple(map(str, self.best.values()))], 0, [self._tried()])

    def records(self) -> list[dict[str, Any]]:
        return [self.best]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return {name: getattr(self, name) for name in self.fields}


class Search:
    """One search, which can be stopped between any two points."""

    def __init__(
        self, name: str, net: str | None, space: Space, budget: str, maximize: str, state: str | None = None
    ) -> None:
        self.name, self.net, self.space, self.path = name, net, space.checked(), state
        self.budget, self.maximize = budget, maximize
        file, _ = find(name)
        names = (*FIGURES, *[n for n, _ in space.axes if n != INPUT])
        self.limits = [Limit(part, names, file) for part in budget.split(",") if part.strip()]
        self.goal = Formula("--maximize", maximize, names, file)
        texts = " ".join([budget, maximize])
        self.figures = tuple(f for f in FIGURES if re.search(rf"\b{f}\b", texts) or f in ("params", "macs"))
        self.state = State.start(state, self.fingerprint(file))

    def fingerprint(self, file: File) -> str:
        """Return what must be the same for a search to go on."""
        parts = (file.source.text, self.net, repr(self.space), self.budget, self.maximize)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def run(self, executor: Executor | None = None, progress: Progress | None = None) -> Found:
        """Try the points that are left; raises `CompileError` where none is legal, or none meets the budget."""
        saved = time.monotonic()
        points = outcomes(self.name, self.net, self.space, self.figures, self.state.next, executor)
        try:
            for point, outcome in points:
                self.consider(plain(point), outcome)
                self.state.next += 1
                if time.monotonic() - saved > SAVED_EVERY:
                    saved = time.monotonic()
                    self.save()
                    if progress is not None:
                        progress(self.state.next, len(self.space))
        finally:
            self.save()
        return self.result()

    def save(self) -> None:
        """Write the state, where a file was given for it."""
        if self.path is not None:
            self.state.save(self.path)

    def consider(self, settings: dict[str, Any], outcome: tuple[Any, ...] | str) -> None:
        """Keep a setting if it is the best, or the closest to the budget, so far."""
        state = self.state
        if isinstance(outcome, str):
            state.first_illegal = state.first_illegal or f"{in_words(settings)}: {outcome}"
            return
        state.legal += 1
        row = settings | dict(zip(self.figures, outcome))
        excess = max([limit.excess(row)[0] for limit in self.limits], default=1.0)
        if excess > 1.0:
            if excess < state.excess:
                state.closest, state.excess = row, excess
            return
        state.met += 1
        goal = self.goal.value(row)
        if state.best is None or goal > state.goal:
            state.best, state.goal = row, goal

    def result(self) -> Found:
        """Return what was found, once all points are tried."""
        state = self.state
        if not state.legal:
            raise errors.nothing_legal(errors.place_of(self.name), state.next, state.first_illegal)
        if state.best is None:
            closest = state.closest or {}
            texts = [self._missed(limit, closest) for limit in self.limits]
            raise errors.unmet_budget(self.budget, state.next, [t for t in texts if t], in_words(closest))
        return Found(self.net or self.name, state.best, state.goal, state.next, state.legal, state.met, self.maximize)

    @staticmethod
    def _missed(limit: Limit, settings: dict[str, Any]) -> str:
        excess, left, right = limit.excess(settings)
        return f"{limit.text}: {left:,.6g} against {right:,.6g}, {excess:.4g} times" if excess > 1.0 else ""


def search(
    name: str | os.PathLike[str],
    /,
    *,
    budget: str,
    maximize: str = "params",
    net: str | None = None,
    sizes: Sequence[tuple[tuple[int, ...], ...]] = (),
    sample: int | None = None,
    seed: int = 0,
    state: str | None = None,
    executor: Executor | None = None,
    **params: Sequence[Any] | Range,
) -> Found:
    """Return the setting of a net that maximizes an expression within a budget.

    `budget` is a list of comparisons over figures (params, macs, flops, operations, bytes, memory, training) and
    parameters, with units k M G T, kB MB GB, KiB MiB GiB; `state` names a file from which an interrupted search goes
    on. Raises `CompileError` where nothing is legal, and where nothing meets the budget, with how close the best came.

    >>> search("mobilenet_v1", budget="macs <= 200M", width=[0.25, 0.5, 0.75, 1]).best["width"]
    0.5
    """
    axes = [(key, values if isinstance(values, Range) else tuple(values)) for key, values in params.items()]
    axes += [(INPUT, tuple(sizes))] if sizes else []
    return Search(os.fspath(name), net, Space(tuple(axes), sample, seed), budget, maximize, state).run(executor)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and value < EXACT else repr(value)


def _as_number(value: Any) -> Any:
    """Return a figure or parameter as a real number: budgets divide, and multiply beyond the language's integers."""
    return float(value) if type(value) is int else value
