"""What a search is for: a net, the settings to try, limits on its figures, and goals.

Limits and goals are arithmetic over figures and parameters, in the language's own expressions.
"""

from __future__ import annotations

import re

from archdsl.compiler import find
from archdsl.core.source import Source
from archdsl.diagnostics import CompileError, errors
from archdsl.elaborate.context import Context
from archdsl.elaborate.environment import Env
from archdsl.elaborate.expressions import evaluate
from archdsl.elaborate.values import Quotient
from archdsl.explore.sweep import FIGURES, INPUT, Space
from archdsl.syntax.parser import parse_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from archdsl.elaborate.environment import File
    from archdsl.syntax import tree

    Row = dict[str, Any]  # parameters and figures of one setting, by name
    Measure = Callable[..., float]  # of the parameters of a setting, by name

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "kB": 1e3, "MB": 1e6, "GB": 1e9}
UNITS |= {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
NUMBER = re.compile(rf"(?<![\w.])(\d+(?:\.\d+)?(?:e\d+)?)\s*({'|'.join(sorted(UNITS, key=len, reverse=True))})(?!\w)")
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


class Goal(Formula):
    """What is to be as large as it can be, or as small."""

    def __init__(self, text: str, names: Sequence[str], file: File, down: bool = False) -> None:
        super().__init__("--minimize" if down else "--maximize", text, names, file)
        self.down = down

    def better(self, one: float, other: float) -> bool:
        """Say whether one value is better than another."""
        return one < other if self.down else one > other

    def __str__(self) -> str:
        return f"{'minimize' if self.down else 'maximize'} {self.text}"


NO_MEASURES: Mapping[str, Measure] = {}


class Problem:
    """What is looked for: of one net, the settings of a space that meet a budget and are best by one or more goals.

    `measures` are functions of a setting that give further figures, by name. They may take hours, so they are asked
    only where the limits that need none of them are met.
    """

    def __init__(
        self,
        name: str,
        net: str | None,
        space: Space,
        budget: str = "",
        maximize: Sequence[str] = (),
        minimize: Sequence[str] = (),
        measures: Mapping[str, Measure] = NO_MEASURES,
    ) -> None:
        self.name, self.net, self.space, self.budget, self.measures = name, net, space.checked(), budget, measures
        self.file, _ = find(name)
        names = (*FIGURES, *measures, *[n for n, _ in space.axes if n != INPUT])
        maximize = maximize if maximize or minimize else ("params",)
        self.goals = [Goal(text, names, self.file) for text in maximize]
        self.goals += [Goal(text, names, self.file, down=True) for text in minimize]
        self.limits = [Limit(part, names, self.file) for part in budget.split(",") if part.strip()]
        self.counted = [limit for limit in self.limits if not self._mentioned(measures, limit.text)]
        texts = " ".join([budget, *maximize, *minimize])
        self.figures = tuple([f for f in FIGURES if f in ("params", "macs", *self._mentioned(FIGURES, texts))])

    def __str__(self) -> str:
        return self.net or self.name

    def identity(self) -> tuple[str, ...]:
        """Return what must be the same for a search to go on, without its space."""
        return (self.file.source.text, str(self.net), self.budget, *map(str, self.goals), *self.measures)

    def excess(self, row: Row) -> float:
        """Return the factor by which a setting misses its budget, 1 where it is met."""
        return max([limit.excess(row)[0] for limit in self.known(row)], default=1.0)

    def missed(self, row: Row) -> list[str]:
        """Say of each limit that a setting misses by how much."""
        found = [(limit.text, *limit.excess(row)) for limit in self.known(row)]
        return [f"{text}: {left:,.6g} against {right:,.6g}, {n:.4g} times" for text, n, left, right in found if n > 1.0]

    def known(self, row: Row) -> list[Limit]:
        """Return the limits that can be told of a setting: those of measures only where it was measured."""
        return self.limits if self.measures.keys() <= row.keys() else self.counted

    @staticmethod
    def _mentioned(names: Sequence[str] | Mapping[str, Any], text: str) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b", text)]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and value < EXACT else repr(value)


def _as_number(value: Any) -> Any:
    """Return a figure or parameter as a real number: budgets divide, and multiply beyond the language's integers."""
    return float(value) if type(value) is int else value
