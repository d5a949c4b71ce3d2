"""What a net costs over a grid, or a random sample, of its parameters and input sizes.

    found = archdsl.sweep("mobilenet_v1", width=[1, 0.75, 0.5, 0.25], resolution=[224, 192, 160, 128])
    found.rows[0]                    # {'width': 1, 'resolution': 224, 'params': 4231976, 'macs': 568740352}

Settings that the net cannot be built with are skipped, counted and listed with the reason. An `executor` (any of
`concurrent.futures`, dask, loky, mpi4py) takes them in chunks; a chunk is evaluated in one process, where what equal
settings share is elaborated once.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import random

from archdsl.analysis.columns import WHOLE, Grid, View
from archdsl.analysis.conventions import CONVENTIONS
from archdsl.analysis.forms import Forms
from archdsl.analysis.result import Result
from archdsl.analysis.table import Counter
from archdsl.compiler import AS_WRITTEN, choose, find, meant, value_of
from archdsl.core.record import Record
from archdsl.core.sizes import Size
from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.context import Memo, Settings
from archdsl.elaborate.nets import elaborate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from concurrent.futures import Executor
    from typing import Any

    from archdsl.compiler import Request
    from archdsl.elaborate.context import Settings
    from archdsl.elaborate.environment import File
    from archdsl.ir.network import Network, Scope

    Point = tuple[tuple[str, Any], ...]  # parameters by name; the sizes of inputs are under "input"
    Outcome = tuple[Any, ...] | str  # figures in the order that was asked for, or why the setting is illegal

INPUT = "input"
MOST_SKIPPED = 10  # settings that are listed
CHUNK = 64  # settings that one task of an executor evaluates


class Range(Record):
    """Numbers from `low` to `high`, integers where both are: for samples."""

    low: float
    high: float

    def pick(self, source: random.Random) -> float:
        """Return a number at random."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return source.randint(self.low, self.high)
        return source.uniform(self.low, self.high)


class Space(Record):
    """What is tried: by name the values of each axis, or a range; all combinations, or `sample` of them at random.

    Every point follows from its number alone, so a search can stop anywhere and go on from there.
    """

    axes: tuple[tuple[str, Sequence[Any] | Range], ...]
    sample: int | None = None
    seed: int = 0

    def __len__(self) -> int:
        if self.sample is not None:
            return self.sample
        total = 1
        for _, values in self.axes:
            total *= len(values) if not isinstance(values, Range) else 0
        return total

    def point(self, number: int) -> Point:
        """Return the setting with this number: the last axis changes first."""
        if self.sample is not None:
            source = random.Random(f"{self.seed}/{number}")  # noqa: S311 — reproducible, not secret
            return tuple((n, v.pick(source) if isinstance(v, Range) else source.choice(v)) for n, v in self.axes)
        found = []
        for name, values in reversed(self.axes):
            assert not isinstance(values, Range), "a range has no numbered values"
            number, at = divmod(number, len(values))
            found.append((name, values[at]))
        return tuple(reversed(found))

    def checked(self) -> Space:
        """Return the space, or raise `CompileError` where there is nothing in it."""
        for name, values in self.axes:
            if isinstance(values, Range) and self.sample is None:
                reason = f"`{name}` is a range, which has values in a sample only"
                raise errors.empty_grid("--set", f"{name}={values.low}..{values.high}", reason)
            if not isinstance(values, Range) and not len(values):
                raise errors.empty_grid("--set", f"{name}=", f"`{name}` has no values")
        if not len(self):
            raise errors.empty_grid("--sample", str(self.sample), "the sample is empty")
        return self


# -------------------------------------------------------------------------------------------------- figures
def _memory(network: Network) -> int:
    from archdsl.analysis.memory import inference

    return inference(network).total


def _training(network: Network) -> int:
    from archdsl.analysis.memory import training

    return training(network).total


def _operations(network: Network) -> int:
    return Counter(CONVENTIONS["macs"]).scope(network.scope).operations


# Figures that have a closed form in the input size need no net of each size.
CLOSED: dict[str, Callable[[Forms, Scope, dict[str, int]], int]] = {
    "params": lambda forms, scope, _: forms.scope(scope)[0],
    "macs": lambda forms, scope, values: forms.scope(scope)[1].at(values),
    "flops": lambda forms, scope, values: 2 * forms.scope(scope)[1].at(values),
    "bytes": lambda forms, scope, values: forms.bytes(scope).at(values),
}
COMPUTED: dict[str, Callable[[Network], int]] = {
    "operations": _operations,
    "memory": _memory,  # peak of inference, float32, batch 1
    "training": _training,  # peak of training with SGD
}
FIGURES = (*CLOSED, *COMPUTED)


class Evaluation:
    """Evaluates settings of one net, over what else is `asked` of it; a `file` that is at hand is not read again."""

    def __init__(
        self,
        name: str,
        net: str | None,
        given: Collection[str] = (),
        file: File | None = None,
        asked: Request = AS_WRITTEN,
    ) -> None:
        self.file, chosen = (file, None) if file is not None else find(name)
        self.net = choose(self.file, net or chosen, name.rsplit("/", 1)[-1], given)
        self.asked = meant(self.file, name, asked.replace(net=self.net))[1]
        self.memo = Memo(self.file)
        self.forms = Forms()
        self.values: dict[tuple[str, Any], Any] = {}
        self.latest: tuple[Settings, Network] | None = None

    def network(self, params: tuple[tuple[str, Any], ...], sizes: tuple[tuple[int, ...], ...] = ()) -> Network:
        """Return the checked net of a setting; raises `CompileError`."""
        changed = {name for name, _ in params}
        others = [(name, value) for name, value in self.asked.params if name not in changed]
        settings = self.asked.replace(params=(*others, *params), sizes=sizes or self.asked.sizes)
        if self.latest is None or self.latest[0] != settings:
            self.latest = settings, elaborate(self.file, self.net, settings, memo=self.memo)
        return self.latest[1]

    def value(self, name: str, value: Any) -> Any:
        """Return a parameter as a value of the language; a text is an expression, read once."""
        if not isinstance(value, str):
            return value_of(value, name, self.file)
        known = self.values.get((name, value))
        if known is None:
            known = self.values[name, value] = value_of(value, name, self.file)
        return known

    def outcome(self, point: Point, figures: Sequence[str]) -> Outcome:
        """Return the figures of a setting, or why it is illegal."""
        params = tuple([(name, self.value(name, value)) for name, value in point if name != INPUT])
        sizes = next((value for name, value in point if name == INPUT), ())
        try:
            if sizes and all(figure in CLOSED for figure in figures):
                found = self._by_form(params, sizes, figures)
                if found is not None:
                    return found
            network = self.network(params, sizes)
        except CompileError as mistake:
            if "question" in mistake.diagnostic.traits:
                raise
            return _reason(mistake)
        return tuple(
            [CLOSED[f](self.forms, network.scope, {}) if f in CLOSED else COMPUTED[f](network) for f in figures]
        )

    def _by_form(
        self, params: tuple[tuple[str, Any], ...], sizes: tuple[tuple[int, ...], ...], figures: Sequence[str]
    ) -> tuple[int, ...] | None:
        """Return the figures from the closed forms of the net at its default size; None where these do not say all."""
        try:
            network = self.network(params)
        except CompileError:  # at its default size; another may be legal
            return None
        scope, values = network.scope, symbol_values(network, sizes)
        if values is None or not self.forms.scope(scope)[2] or not self.forms.legal(scope, values):
            return None
        return tuple([CLOSED[figure](self.forms, scope, values) for figure in figures])


def symbol_values(network: Network, sizes: tuple[tuple[int, ...], ...]) -> dict[str, int] | None:
    """Return the input sizes that shapes of the inputs mean, by symbol; None where they change more than those."""
    found: dict[str, int] = {}
    scope = network.scope
    if len(sizes) != len(scope.inputs):
        return None
    for value, asked in zip(scope.inputs, sizes):
        shape = scope.shapes[value]
        if len(shape) != len(asked):
            return None
        for dim, size in zip(shape, asked):
            if isinstance(dim, Size):
                found.setdefault(dim.symbol.name, size)
            elif dim != size:
                return None
    return found


def evaluate(task: tuple[str, str | None, Space, int, int, tuple[str, ...]]) -> list[Outcome]:
    """Evaluate the points from one number to another; runs in the processes of an executor."""
    name, net, space, first, last, figures = task
    evaluation = _evaluation(name, net, space)
    return [evaluation.outcome(space.point(number), figures) for number in range(first, last)]


def evaluate_point(task: tuple[str, str | None, Space, Point, tuple[str, ...]]) -> Outcome:
    """Evaluate one point, which need not have a number; runs in the processes of an executor."""
    name, net, space, point, figures = task
    return _evaluation(name, net, space).outcome(point, figures)


_LATEST: dict[str, Evaluation] = {}  # the one net that this process works on


def _evaluation(name: str, net: str | None, space: Space) -> Evaluation:
    key = f"{name}:{net}"
    if key not in _LATEST:
        _LATEST.clear()
        _LATEST[key] = Evaluation(name, net, dict(space.axes))
    return _LATEST[key]


def outcomes(
    name: str,
    net: str | None,
    space: Space,
    figures: Sequence[str],
    first: int = 0,
    executor: Executor | None = None,
    chunk: int = CHUNK,
) -> Iterator[tuple[Point, Outcome]]:
    """Yield every point from the number `first` on with its outcome, in order; few tasks are under way at a time."""
    starts = range(first, len(space), chunk)
    tasks = ((name, net, space, at, min(at + chunk, len(space)), tuple(figures)) for at in starts)
    if executor is None:
        evaluation = Evaluation(name, net, dict(space.axes))
        for number in range(first, len(space)):
            point = space.point(number)
            yield point, evaluation.outcome(point, figures)
        return
    number = first
    for found in _mapped(executor, tasks):
        for outcome in found:
            yield space.point(number), outcome
            number += 1


def _mapped(executor: Executor, tasks: Iterable[Any], ahead: int = 32) -> Iterator[list[Outcome]]:
    """Yield the results of tasks in order, with a bounded number under way: `Executor.map` would submit them all."""
    tasks = iter(tasks)
    waiting = [executor.submit(evaluate, task) for task in itertools.islice(tasks, ahead)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [executor.submit(evaluate, task) for task in itertools.islice(tasks, 1)]


# -------------------------------------------------------------------------------------------------- a whole sweep
class Sweep(Result):
    """The rows of a sweep, one a legal setting, of which it is a sequence; and what was skipped, with the reasons."""

    network: str
    names: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    skipped: tuple[tuple[dict[str, Any], str], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return self.rows[at]

    def grid(self, view: View = WHOLE) -> Grid:
        head = (*self.names, *self.figures)
        rows = [tuple([cell(row[name]) for name in head]) for row in self.rows]
        skipped = [f"skipped: {in_words(settings)}: {reason}" for settings, reason in self.skipped[:MOST_SKIPPED]]
        if len(self.skipped) > MOST_SKIPPED:
            skipped.append(f"... and {len(self.skipped) - MOST_SKIPPED:,} more")
        counted = f"{len(self.rows):,} settings, {len(self.skipped):,} illegal ones skipped"
        return Grid(f"{self.network}: {counted}", head, rows, len(self.names), skipped)

    def records(self) -> list[dict[str, Any]]:
        return list(self.rows)

    def csv(self) -> str:
        """Return the rows as text, one a line, with a header."""
        out = io.StringIO()
        writer = csv.DictWriter(out, (*self.names, *self.figures), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    def front(self, low: str, high: str) -> list[dict[str, Any]]:
        """Return the rows for which no other has less of one figure and as much of the other, in order of `low`."""
        found: list[dict[str, Any]] = []
        for row in sorted(self.rows, key=lambda row: (row[low], -row[high])):
            if not found or row[high] > found[-1][high]:
                found.append(row)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep as plain data."""
        skipped = [{"settings": settings, "reason": reason} for settings, reason in self.skipped]
        return {"name": self.network, "rows": list(self.rows), "skipped": skipped}


def sweep(
    name: str | os.PathLike[str],
    /,
    *,
    net: str | None = None,
    sizes: Sequence[tuple[tuple[int, ...], ...]] = (),
    sample: int | None = None,
    seed: int = 0,
    figures: Sequence[str] = ("params", "macs"),
    executor: Executor | None = None,
    **params: Sequence[Any],
) -> Sweep:
    """Return what a net costs over all combinations of values, or over a random sample of them.

    `params` are parameters of the net, each with its values; `sizes` are settings of the input shapes, each one shape
    an input. `figures` are of params, macs, flops, operations, bytes, memory, training. Illegal settings are in
    `skipped`. Raises `CompileError` for a parameter that the net does not have and for an empty grid.

    >>> found = sweep("mobilenet_v1", width=[1, 0.5])
    >>> [(row["width"], row["params"]) for row in found]
    [(1, 4231976), (0.5, 1331592)]
    """
    axes = [(key, values if isinstance(values, Range) else tuple(values)) for key, values in params.items()]
    axes += [(INPUT, tuple(sizes))] if sizes else []
    space, name = Space(tuple(axes), sample, seed).checked(), os.fspath(name)
    return collected(name, net, space, figures, outcomes(name, net, space, figures, executor=executor))


def collected(
    name: str,
    net: str | None,
    space: Space,
    figures: Sequence[str],
    found: Iterable[tuple[Point, Outcome]],
) -> Sweep:
    """Gather outcomes; raises `CompileError` where none is legal."""
    rows, skipped = [], []
    for point, outcome in found:
        settings = plain(point)
        if isinstance(outcome, str):
            skipped.append((settings, outcome))
        else:
            rows.append(settings | dict(zip(figures, outcome)))
    if not rows:
        raise errors.nothing_legal(errors.place_of(name), len(skipped), f"{in_words(skipped[0][0])}: {skipped[0][1]}")
    return Sweep(net or name, tuple(n for n, _ in space.axes), tuple(figures), tuple(rows), tuple(skipped))


def plain(point: Point) -> dict[str, Any]:
    """Return a setting as plain data; sizes as `1x3x224x224`."""
    return {name: shapes(value) if name == INPUT else value for name, value in point}


def shapes(sizes: tuple[tuple[int, ...], ...]) -> str:
    """Print the shapes of inputs."""
    return " ".join("x".join(map(str, shape)) for shape in sizes)


def in_words(settings: dict[str, Any]) -> str:
    """Print a setting: `width=0.5, resolution=128`."""
    texts = [(name, f"{value:.6g}" if type(value) is float else str(value)) for name, value in settings.items()]
    return ", ".join(f"{name}={text}" for name, text in texts)


def cell(value: object) -> str:
    """Print a value in a table."""
    return f"{value:,}" if type(value) is int else f"{value:.6g}" if type(value) is float else str(value)


def _reason(mistake: CompileError) -> str:
    """Return a diagnostic in one line."""
    label = mistake.diagnostic.primary.text
    return f"{mistake.diagnostic.code}: {mistake.diagnostic.title}" + (f" ({label})" if label else "")
