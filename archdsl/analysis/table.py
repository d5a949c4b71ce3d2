"""A checked network in figures: a line for each layer and block, and the same by kind of operator.

Every figure is for one image at the default input size, in evaluation mode; bytes are those that eager PyTorch reads
and writes for a batch of that size. A scope is counted once, however often it is used.
"""

from __future__ import annotations

from archdsl.analysis.conventions import CONVENTIONS, Use, operations
from archdsl.analysis.costs import parameters
from archdsl.analysis.field import Field, Fields, main
from archdsl.analysis.rows import operation, repeats, title
from archdsl.core.record import Record
from archdsl.ir.liveness import Traffic, is_module, is_sequence, needed, traffic
from archdsl.ir.network import Scope
from archdsl.ir.walk import once, runs, uses
from archdsl.ops.base import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.analysis.conventions import Convention
    from archdsl.analysis.field import Seen
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node

SIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}  # bytes of an element


class Figures(Record):
    """What a step costs: `counted` is by the convention that was asked for, `operations` are all arithmetic ones."""

    params: int = 0
    counted: int = 0
    macs: int = 0
    operations: int = 0
    traffic: Traffic = Traffic()

    def __add__(self, other: Figures) -> Figures:
        return Figures(*[a + b for a, b in zip(self.key(), other.key())])

    def times(self, count: int) -> Figures:
        """Return what `count` equal steps cost."""
        return Figures(*[a * count for a in self.key()])

    def run(self, count: int) -> Figures:
        """Return what `count` runs of one step cost."""
        return self if count == 1 else self.times(count).replace(params=self.params)


class Line(Record):
    """One layer, or the head of a block: `count` equal steps in a row; the field is that of the last."""

    depth: int
    name: str
    what: str
    kind: str  # the operator; "" for a block
    shape: Shape
    field: Field | None
    figures: Figures
    count: int = 1


class Table(Record):
    """The costs of a network, with the settings that they hold for."""

    network: str
    convention: Convention
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape, Field | None], ...]
    total: Figures
    lines: tuple[Line, ...]
    kinds: tuple[tuple[str, int, Figures], ...]  # operator, how many, what they cost together
    dtype: str = "float32"
    batch: int = 1

    def bytes_read(self, figures: Figures) -> int:
        """Return the bytes read for a batch."""
        return figures.traffic.read(SIZES[self.dtype], self.batch)

    def bytes_written(self, figures: Figures) -> int:
        """Return the bytes written for a batch."""
        return figures.traffic.written(SIZES[self.dtype], self.batch)

    def intensity(self, figures: Figures) -> float:
        """Return the arithmetic operations for each byte moved; 0 for what moves nothing."""
        moved = self.bytes_read(figures) + self.bytes_written(figures)
        return figures.operations * self.batch / moved if moved else 0.0

    def share(self, figures: Figures) -> float:
        """Return the part of the total that is counted here."""
        return figures.counted / self.total.counted if self.total.counted else 0.0

    def header(self) -> str:
        """Return the settings in words: what is counted, and for which sizes."""
        sizes = ", ".join(f"{name} {'x'.join(str(int(d)) for d in shape)}" for name, shape in self.inputs)
        counts = f"{self.convention.unit} by the convention `{self.convention.name}`: {self.convention.counts}"
        return f"{self.network}: {counts}; for one image, {sizes}. Bytes: eager, {self.dtype}, batch {self.batch}."

    def as_json(self) -> dict[str, Any]:
        """Return the table as plain data."""
        return {
            "name": self.network,
            "convention": {name: getattr(self.convention, name) for name in ("name", "unit", "counts")},
            "dtype": self.dtype,
            "batch": self.batch,
            "inputs": [{"name": name} | _shape(shape) for name, shape in self.inputs],
            "outputs": [
                {"name": name} | _shape(shape) | {"field": field.as_json() if field else None}
                for name, shape, field in self.outputs
            ],
            "total": self.figures_json(self.total),
            "layers": [
                {"depth": line.depth, "name": line.name, "operation": line.what, "kind": line.kind, "count": line.count}
                | _shape(line.shape)
                | {"field": line.field.as_json() if line.field else None}
                | self.figures_json(line.figures)
                for line in self.lines
            ],
            "kinds": [{"kind": k, "count": n} | self.figures_json(figures) for k, n, figures in self.kinds],
        }

    def figures_json(self, figures: Figures) -> dict[str, Any]:
        """Return figures as plain data."""
        return {
            "parameters": figures.params,
            "counted": figures.counted,
            "macs": figures.macs,
            "flops": 2 * figures.macs,
            "elementwise": figures.operations - 2 * figures.macs,
            "bytes_read": self.bytes_read(figures),
            "bytes_written": self.bytes_written(figures),
            "intensity": round(self.intensity(figures), 4),
            "share": round(self.share(figures), 6),
        }


class Counter:
    """Counts scopes and steps by one convention."""

    def __init__(self, convention: Convention) -> None:
        self.convention = convention
        self.scope = once(self._scope)
        self.is_sequence = once(is_sequence)

    def _scope(self, scope: Scope) -> Figures:
        """Return what one run of a scope costs; steps that only training needs have parameters and no runs."""
        found = Figures()
        for node, times in runs(scope):
            found += self.node(node, scope).run(times)
        return found

    def node(self, node: Node, scope: Scope) -> Figures:
        """Return what one step costs."""
        if isinstance(node.what, Scope):
            figures = self.scope(node.what)
        else:
            xs = tuple([_ints(scope.shapes[i]) for i in node.inputs])
            ys = tuple([_ints(scope.shapes[o]) for o in node.outputs])
            as_module = self.is_sequence(scope) or is_module(node, scope)
            figures = self.use(Use(node.what, xs, ys, as_module), parameters(node, scope))
        return figures.replace(params=0) if node.reuses else figures

    def use(self, use: Use, params: int) -> Figures:
        """Return what an operator costs."""
        kernels = use.op.kernels(use.xs, use.ys)
        counted, macs = self.convention.count(use), int(use.op.macs(use.xs, use.ys))
        return Figures(params, counted, macs, operations(use), traffic(kernels))


def total(network: Network, convention: str = "macs") -> int:
    """Return the count of a whole network, for one image.

    >>> from archdsl.compiler import compiled
    >>> total(compiled("mobilenet_v2").network, "fvcore")
    314212992
    """
    return Counter(CONVENTIONS[convention]).scope(network.scope).counted


def table(network: Network, convention: str = "macs", dtype: str = "float32", batch: int = 1) -> Table:
    """Return the costs of a network, line by line."""
    scope = network.scope
    counter = Counter(CONVENTIONS[convention])
    follow = Fields(network)
    seen = follow.values(scope, follow.inputs)
    lines = tuple(_lines(scope, counter, follow, follow.inputs, 0))
    return Table(
        network.name,
        CONVENTIONS[convention],
        tuple((name, scope.shapes[v]) for name, v in zip(scope.input_names, scope.inputs)),
        tuple((o.name, scope.shapes[o.value], main(seen[o.value])) for o in scope.outputs),
        counter.scope(scope),
        lines,
        _kinds(scope, counter),
        dtype,
        batch,
    )


def _lines(
    scope: Scope,
    counter: Counter,
    follow: Fields,
    inputs: tuple[Seen, ...],
    depth: int,
    wanted: bool = True,
    owned: bool = True,
) -> Iterator[Line]:
    seen, alive = follow.values(scope, inputs), needed(scope)
    at = 0
    while at < len(scope.nodes):
        node = scope.nodes[at]
        what = node.what
        if isinstance(what, Scope) and not what.nodes:  # a block that does nothing here
            at += 1
            continue
        count = repeats(scope, at, alive)
        last = scope.nodes[at + count - 1]
        running = wanted and bool(alive.intersection(node.outputs))
        figures = counter.node(node, scope).times(count)
        figures = figures if owned else figures.replace(params=0)  # they belong to the first use of the block around
        name = node.name if count == 1 else f"{node.name}-{last.name}"
        text = title(what) if isinstance(what, Scope) else operation(what)
        text += ", shared" if node.reuses else "" if running else ", in training only"
        kind = "" if isinstance(what, Scope) else what.name
        field = main(seen[last.outputs[0]])
        shape = scope.shapes[node.outputs[0]]
        yield Line(depth, name, text, kind, shape, field, figures if running else Figures(figures.params), count)
        if isinstance(what, Scope):
            given = tuple([seen[v] for v in last.inputs])
            yield from _lines(what, counter, follow, given, depth + 1, running, owned and not node.reuses)
        at += count


def _kinds(scope: Scope, counter: Counter) -> tuple[tuple[str, int, Figures], ...]:
    """Add the steps of a network up by kind of operator, those with the most operations first."""
    kinds: dict[str, tuple[int, Figures]] = {}

    def add(kind: str, count: int, figures: Figures) -> None:
        number, sum_ = kinds.get(kind, (0, Figures()))
        kinds[kind] = number + count, sum_ + figures

    for use in uses(scope):
        inside = use.scope
        if inside.wrapper is not None:
            add(inside.wrapper.name, use.stands, Figures())
        for node, times in runs(inside):
            if not isinstance(node.what, Scope):
                figures = counter.node(node, inside)
                ran = figures.times(use.runs * times).replace(params=figures.params * use.owns)
                add(node.what.name, use.stands * inside.evaluations, ran)
    found = [(kind, count, figures) for kind, (count, figures) in kinds.items()]
    return tuple(sorted(found, key=lambda row: (-row[2].operations, row[0])))


def _ints(shape: Shape) -> Shape:
    return tuple([int(dim) for dim in shape])


def _shape(shape: Shape) -> dict[str, Any]:
    return {"shape": show(shape), "at_default": [int(d) for d in shape]}
