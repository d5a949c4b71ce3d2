"""How tables name and fold steps: a step that follows itself is one row with its count."""

from __future__ import annotations

from archdsl.core.record import Generic, Record
from archdsl.core.source import visible
from archdsl.elaborate.values import show as show_value
from archdsl.ir.liveness import needed
from archdsl.ir.network import Scope
from archdsl.ir.walk import once
from archdsl.ops.base import REQUIRED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TypeVar

    from archdsl.analysis.costs import Cost, Counting
    from archdsl.analysis.field import Field, Fields, Seen
    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.ir.network import Node
    from archdsl.ops.base import Op
    from archdsl.syntax import tree

    C = TypeVar("C", bound=Cost)
else:
    C = None


class Fold(Record):
    """Equal steps in a row: where they start, the first, the last, how many, and what they apply.

    `runs` is false of what only training needs.
    """

    at: int
    first: Node
    last: Node
    count: int
    runs: bool
    text: str

    @property
    def name(self) -> str:
        """The name of the step, or those of the first and the last."""
        return self.first.name if self.count == 1 else f"{self.first.name}-{self.last.name}"


class Row(Record, Generic[C]):
    """One layer, or the head of a block: `count` equal steps in a row, with the cost of all of them."""

    depth: int
    name: str
    what: str
    kind: str  # the operator; "" for a block
    shape: Shape
    figures: C
    count: int = 1
    field: Field | None = None  # of the last step
    path: str = ""  # of the first step, in the net
    span: Span | None = None  # where a text has written it

    @property
    def block(self) -> bool:
        """The row is the head of a block."""
        return not self.kind

    @property
    def params(self) -> int:
        """Learned parameters."""
        return self.figures.params

    @property
    def macs(self) -> int:
        """MACs for one image."""
        return self.figures.macs


class Rows(Generic[C]):
    """Makes the rows of a table; with `follow` they have receptive fields too."""

    def __init__(self, costs: Counting[C], follow: Fields | None = None) -> None:
        self.costs, self.follow = costs, follow

    @once
    def folded(self, scope: Scope) -> list[Fold]:
        """Return the steps of a scope, equal ones in a row as one."""
        return folded(scope)

    def of(
        self,
        scope: Scope,
        inputs: tuple[Seen, ...] = (),
        depth: int = 0,
        runs: bool = True,
        owned: bool = True,
        path: str = "",
    ) -> Iterator[Row[C]]:
        """Yield the rows of a scope in one place, blocks with all that is in them; `inputs` are the fields of its own.

        What only training needs has parameters and no runs, and what uses a module again runs and no parameters, so
        that the outermost rows add up to the total.
        """
        seen = self.follow.values(scope, inputs) if self.follow else ()
        costs = self.costs.steps(scope)
        for fold in self.folded(scope):
            node, running = fold.first, runs and fold.runs
            figures = costs[fold.at].times(fold.count).run(int(running))
            yield Row(
                depth,
                fold.name,
                _marked(fold.text, "shared" if node.reuses else "" if running else "in training only"),
                "" if isinstance(node.what, Scope) else node.what.name,
                scope.shapes[node.outputs[0]],
                figures if owned else figures.replace(params=0),  # they belong to the first use of the block around
                fold.count,
                self.follow.main(seen[fold.last.outputs[0]]) if self.follow else None,
                path + node.name,
                node.span,
            )
            if isinstance(node.what, Scope):
                given = tuple([seen[v] for v in fold.last.inputs]) if self.follow else ()
                inner = owned and not node.reuses
                yield from self.of(node.what, given, depth + 1, running, inner, f"{path}{node.name}.")


def folded(scope: Scope) -> list[Fold]:
    """Return the steps of a scope, equal ones in a row as one; a block that does nothing here is left out."""
    alive = needed(scope)
    found = []
    at = 0
    while at < len(scope.nodes):
        first = scope.nodes[at]
        count = _repeats(scope, at, alive)
        if not isinstance(first.what, Scope) or first.what.nodes:
            last, runs = scope.nodes[at + count - 1], not alive.isdisjoint(first.outputs)
            found.append(Fold(at, first, last, count, runs, describe(first)))
        at += count
    return found


def _marked(text: str, mark: str) -> str:
    return ", ".join([part for part in (text, mark) if part])


def _repeats(scope: Scope, at: int, alive: set[int]) -> int:
    """Count how often a numbered step follows itself, on the same shapes.

    `alive` are the values that the results need: a step that makes one is no repetition of one that makes none.
    """
    first = scope.nodes[at]
    count = 1
    if first.labelled or not first.name:
        return 1
    for number in range(at + 1, len(scope.nodes)):
        node = scope.nodes[number]
        same = node.what is first.what if isinstance(first.what, Scope) else node.what == first.what
        if (
            not same
            or node.labelled
            or not _alike(scope, node, first)
            or node.inputs[0] not in scope.nodes[at + count - 1].outputs
            or alive.isdisjoint(node.outputs) is not alive.isdisjoint(first.outputs)
        ):
            break
        count += 1
    return count


def _alike(scope: Scope, left: Node, right: Node) -> bool:
    return all(scope.shapes[a] == scope.shapes[b] for a, b in zip(left.inputs, right.inputs))


def describe(node: Node) -> str:
    """Print what a step applies, as its text wrote it."""
    return title(node.what) if isinstance(node.what, Scope) else operation(node.what, node.written)


def title(scope: Scope) -> str:
    """Print a block with the arguments that differ from its defaults: `bottleneck(planes=64)`."""
    if scope.kind == "scope":
        return ""
    if scope.wrapper is not None:
        return operation(scope.wrapper)
    params = scope.definition.params if scope.definition is not None else ()
    defaults = {p.name: " ".join(p.default.span.text.split()) for p in params if p.default is not None}
    args = [(k, show_value(v)) for k, v in scope.args]
    return visible(f"{scope.title}({', '.join(f'{k}={v}' for k, v in args if v != defaults.get(k))})")


def operation(op: Op, written: Sequence[tuple[str, tree.Expr]] = ()) -> str:
    """Print an operator with the arguments that differ from its defaults: `conv(64, 7, stride=2)`.

    A tensor among them is shown as it was written: `crop(like=skip)`.
    """
    if op.said:
        return op.said
    texts = []
    for name, spec in op.args.items():
        value = getattr(op, name)
        if spec.default is not REQUIRED and (value is None or value == spec.normal):
            continue
        if spec.kind.tensor and value:
            expr = dict(written).get(name)
            texts.append(f"{name}={'...' if expr is None else ' '.join(expr.span.text.split())}")
        elif spec.kind.text != "a pipeline":
            texts.append(_plain(value) if spec.default is REQUIRED else f"{name}={_plain(value)}")
    return f"{op.name}({', '.join(texts)})" if texts else op.name


def _plain(value: Any) -> str:
    if isinstance(value, tuple) and len(value) != 3 and len(set(value)) == 1:  # three are the shape of a map
        value = value[0]
    if isinstance(value, tuple) and isinstance(value[0], str):
        return show_value(value)
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else show_value(value)


def human(number: int) -> str:
    """Print a count with three figures: `25.6 M`."""
    for scale, unit in ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= scale:
            return f"{number / scale:.3g}{unit}"
    return str(number)
