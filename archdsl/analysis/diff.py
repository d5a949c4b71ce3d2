"""Two networks side by side: which steps are added, removed, repeated more often or changed, and what that costs.

    layer3: bottleneck(planes=256) ×5 -> ×22, +18.9 M parameters, +3.63 G MACs

Scopes are compared step by step. Runs of equal steps are folded, as in the table of `check`, so a deeper stage is one
line; steps are aligned by their names, and numbered ones by what they are (a longest common subsequence).
"""

from __future__ import annotations

from archdsl.analysis.columns import WHOLE, Grid, View
from archdsl.analysis.costs import Costs
from archdsl.analysis.result import Result
from archdsl.analysis.rows import folded, human, operation, title
from archdsl.core.record import Record
from archdsl.elaborate.values import show as show_value
from archdsl.ir.network import Scope
from archdsl.ops.base import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node
    from archdsl.ops.base import Op


class Side(Record):
    """A run of equal steps on one side."""

    name: str
    what: str
    count: int
    shape: Shape
    params: int
    macs: int
    node: Node

    @property
    def figures(self) -> tuple[str, int, int]:
        """What must be equal for two steps to be the same: the shape of the result, and the costs."""
        return show(self.shape), self.params, self.macs

    @property
    def labelled(self) -> bool:
        """The name is the author's, not a number."""
        return self.node.labelled


class Change(Record):
    """One difference: where it is, what is there on each side, and by how much the costs change."""

    path: str
    left: Side | None
    right: Side | None
    inside: int = 0  # changes in a block that are not listed

    @property
    def params(self) -> int:
        """Parameters that the right side has more."""
        return (self.right.params if self.right else 0) - (self.left.params if self.left else 0)

    @property
    def macs(self) -> int:
        """MACs that the right side has more."""
        return (self.right.macs if self.right else 0) - (self.left.macs if self.left else 0)

    def text(self) -> str:
        """Print the change in one line."""
        costs = [f"{signed(n)} {unit}" for n, unit in ((self.params, "parameters"), (self.macs, "MACs")) if n]
        return ", ".join([f"{self.path}: {self.sides()}", *costs])

    def sides(self) -> str:
        """Print what is there on each side."""
        if self.inside:
            return f"{self.inside} changes inside"
        if self.left is None or self.right is None:
            side, sign = (self.right, "+") if self.left is None else (self.left, "-")
            assert side is not None, "a change has a side"
            return f"{sign} {_what(side)} {show(side.shape)}"
        if self.left.what == self.right.what and self.left.count != self.right.count:
            return f"{self.left.what or 'step'} ×{self.left.count} -> ×{self.right.count}".strip()
        if _what(self.left) != _what(self.right):
            return f"{_what(self.left)} -> {_what(self.right)}"
        return f"{show(self.left.shape)} -> {show(self.right.shape)}"


class Diff(Result):
    """All changes, and the totals of both networks."""

    left: str
    right: str
    costs: tuple[tuple[str, int, int], ...]
    shapes: tuple[tuple[str, str, str], ...]  # of inputs and outputs that differ
    changes: tuple[Change, ...]

    def text(self, view: View = WHOLE) -> str:
        """Return the totals, and a line for each change."""
        changes = [f"  {change.text()}" for change in self.changes] or ["  the same steps on the same shapes"]
        return "\n".join([f"{self.left} -> {self.right}", *self._totals(), "", *changes])

    def _totals(self) -> list[str]:
        totals = [
            f"{name}: {human(a)} -> {human(b)}" + (f" ({signed(b - a)}, {b / a - 1:+.1%})" if a and a != b else "")
            for name, a, b in self.costs
        ]
        return totals + [f"{name}: {a} -> {b}" for name, a, b in self.shapes]

    def summary(self) -> str:
        count = len(self.changes)
        changes = "1 change" if count == 1 else f"{count} changes" if count else "the same"
        costs = [f"{signed(b - a)} {name}" for name, a, b in self.costs if a != b]
        return ", ".join([f"{self.left} -> {self.right}: {changes}", *costs])

    def grid(self, view: View = WHOLE) -> Grid:
        rows = [(c.path, c.sides(), *[signed(n) if n else "" for n in (c.params, c.macs)]) for c in self.changes]
        return Grid(self.summary(), ("step", "change", "parameters", "MACs"), rows, 2)

    def records(self) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = self.to_dict()["changes"]
        return changes

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as plain data."""
        return {
            "left": self.left,
            "right": self.right,
            "costs": {name: {"left": a, "right": b} for name, a, b in self.costs},
            "shapes": [{"name": name, "left": a, "right": b} for name, a, b in self.shapes],
            "changes": [
                {"path": c.path, "change": c.sides(), "parameters": c.params, "macs": c.macs} for c in self.changes
            ],
        }


def compare(left: Network, right: Network) -> Diff:
    """Return how two networks differ."""
    costs = Costs()
    a, b = costs.scope(left.scope), costs.scope(right.scope)
    changes = tuple(_changes(left.scope, right.scope, costs, ""))
    totals = (("parameters", a.params, b.params), ("MACs", a.macs, b.macs))
    return Diff(left.name, right.name, totals, tuple(_shapes(left.scope, right.scope)), changes)


def signed(number: int) -> str:
    """Print a change: `+18.9 M`."""
    return f"{'+' if number >= 0 else '-'}{human(abs(number))}"


def _what(side: Side) -> str:
    return f"{side.what or 'steps'} ×{side.count}" if side.count > 1 else side.what or "steps"


def _shapes(left: Scope, right: Scope) -> Iterator[tuple[str, str, str]]:
    for kind, one, other in (
        ("input", _named(left, left.inputs, left.input_names), _named(right, right.inputs, right.input_names)),
        ("output", _outputs(left), _outputs(right)),
    ):
        for name in {**one, **other}:
            a, b = one.get(name, "none"), other.get(name, "none")
            if a != b:
                yield f"{kind} {name}", a, b


def _named(scope: Scope, values: tuple[int, ...], names: tuple[str, ...]) -> dict[str, str]:
    return {name: show(scope.shapes[value]) for name, value in zip(names, values)}


def _outputs(scope: Scope) -> dict[str, str]:
    return {output.name: show(scope.shapes[output.value]) for output in scope.outputs}


def _sides(scope: Scope, costs: Costs) -> list[Side]:
    """Return the steps of a scope, equal ones in a row as one."""
    found = []
    for fold in folded(scope):
        node, cost = fold.first, costs.steps(scope)[fold.at].times(fold.count)
        what = title(node.what) if isinstance(node.what, Scope) else operation(node.what)
        found.append(Side(fold.name, what, fold.count, scope.shapes[node.outputs[0]], cost.params, cost.macs, node))
    return found


def _changes(left: Scope, right: Scope, costs: Costs, path: str) -> Iterator[Change]:
    if left is right:
        return
    for one, other in _aligned(_sides(left, costs), _sides(right, costs)):
        side = one or other
        assert side is not None, "an alignment has a side"
        yield from _change(one, other, costs, f"{path}{side.name or side.what}")


def _change(one: Side | None, other: Side | None, costs: Costs, path: str) -> Iterator[Change]:
    """Yield the change between two aligned steps: of the whole, or of what is inside."""
    if one is None or other is None or one.count != other.count:
        yield Change(path, one, other)
        return
    a, b = one.node.what, other.node.what
    if isinstance(a, Scope) and isinstance(b, Scope):
        inner = list(_changes(a, b, costs, f"{path}."))
        if a.title != b.title:
            yield Change(path, one, other)
        elif len(inner) > MOST_INSIDE:
            yield Change(path, one, other, len(inner))
        else:
            yield from inner
    elif _differs(a, b) or one.figures != other.figures:
        yield Change(path, one, other)


def _differs(one: Scope | Op, other: Scope | Op) -> bool:
    """Say whether two steps are different ones: of operators, the arguments, since each net has sizes of its own."""
    if isinstance(one, Scope) or isinstance(other, Scope) or type(one) is not type(other):
        return True
    return any(show_value(getattr(one, name)) != show_value(getattr(other, name)) for name in one.args)


MOST_INSIDE = 24  # changes in one block that are listed; more are one change of the block


def _aligned(left: list[Side], right: list[Side]) -> Iterator[tuple[Side | None, Side | None]]:
    """Pair the steps of two scopes in order; what has no partner stands alone."""
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            alike = _alike(left[i], right[j])
            table[i][j] = max(table[i + 1][j], table[i][j + 1], table[i + 1][j + 1] + alike if alike else 0)
    i = j = 0
    while i < len(left) and j < len(right):
        alike = _alike(left[i], right[j])
        if alike and table[i][j] == table[i + 1][j + 1] + alike:
            yield left[i], right[j]
            i, j = i + 1, j + 1
        elif table[i][j] == table[i + 1][j]:
            yield left[i], None
            i += 1
        else:
            yield None, right[j]
            j += 1
    for side in left[i:]:
        yield side, None
    for side in right[j:]:
        yield None, side


def _alike(one: Side, other: Side) -> int:
    """Say how well two steps match: 0 not at all; the same label or kind, and better where they are equal."""
    a, b = one.node.what, other.node.what
    if isinstance(a, Scope) != isinstance(b, Scope) or one.labelled != other.labelled:
        return 0
    if one.labelled and one.name != other.name:
        return 0
    same_kind = a.title == b.title if isinstance(a, Scope) and isinstance(b, Scope) else type(a) is type(b)
    if not one.labelled and not same_kind:
        return 0
    return 2 + 2 * (one.what == other.what) + (show(one.shape) == show(other.shape))
