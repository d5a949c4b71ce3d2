"""A checked network in figures: a line for each layer and block, and the same by kind of operator.

Every figure is for one image at the default input size, in evaluation mode; bytes are those that eager PyTorch reads
and writes for a batch of that size. A scope is counted once, however often it is used.
"""

from __future__ import annotations

from archdsl.analysis.conventions import CONVENTIONS, Use, operations
from archdsl.analysis.costs import Cost, Counting, parameters
from archdsl.analysis.field import Fields
from archdsl.analysis.rows import Rows
from archdsl.core.record import Record
from archdsl.ir.liveness import Traffic, is_module, is_sequence, traffic
from archdsl.ir.network import Scope
from archdsl.ir.walk import once, runs, uses
from archdsl.ops.base import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.analysis.conventions import Convention
    from archdsl.analysis.field import Field
    from archdsl.analysis.rows import Row
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node

SIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}  # bytes of an element


class Figures(Cost):
    """What a step costs: `counted` is by the convention that was asked for, `operations` are all arithmetic ones."""

    counted: int = 0
    operations: int = 0
    traffic: Traffic = Traffic()


class Table(Record):
    """The costs of a network, with the settings that they hold for."""

    network: str
    convention: Convention
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape, Field | None], ...]
    total: Figures
    lines: tuple[Row[Figures], ...]
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

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain data."""
        return {
            "name": self.network,
            "convention": {name: getattr(self.convention, name) for name in ("name", "unit", "counts")},
            "dtype": self.dtype,
            "batch": self.batch,
            "inputs": [{"name": name} | _shape(shape) for name, shape in self.inputs],
            "outputs": [
                {"name": name} | _shape(shape) | {"field": field.to_dict() if field else None}
                for name, shape, field in self.outputs
            ],
            "total": self.figures_json(self.total),
            "layers": [
                {"depth": line.depth, "name": line.name, "operation": line.what, "kind": line.kind, "count": line.count}
                | _shape(line.shape)
                | {"field": line.field.to_dict() if line.field else None}
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


class Counter(Counting[Figures]):
    """Counts scopes and steps by one convention."""

    def __init__(self, convention: Convention) -> None:
        self.convention = convention

    @once
    def is_sequence(self, scope: Scope) -> bool:
        """Say whether a scope runs every step as a module."""
        return is_sequence(scope)

    def operator(self, node: Node, scope: Scope) -> Figures:
        assert not isinstance(node.what, Scope), "only called for operators"
        xs = tuple([_ints(scope.shapes[i]) for i in node.inputs])
        ys = tuple([_ints(scope.shapes[o]) for o in node.outputs])
        use = Use(node.what, xs, ys, self.is_sequence(scope) or is_module(node, scope))
        counted, moved = self.convention.count(use), traffic(node.what.kernels(xs, ys))
        return Figures(parameters(node, scope), int(node.what.macs(xs, ys)), counted, operations(use), moved)

    def total(self, costs: list[Figures]) -> Figures:
        return sum(costs, Figures())


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
    return Table(
        network.name,
        CONVENTIONS[convention],
        tuple((name, scope.shapes[v]) for name, v in zip(scope.input_names, scope.inputs)),
        tuple((o.name, scope.shapes[o.value], follow.main(seen[o.value])) for o in scope.outputs),
        counter.scope(scope),
        tuple(Rows(counter, follow).of(scope, follow.inputs)),
        _kinds(scope, counter),
        dtype,
        batch,
    )


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
        for (node, times), figures in zip(runs(inside), counter.steps(inside)):
            if not isinstance(node.what, Scope):
                ran = figures.times(use.runs * times).replace(params=figures.params * use.owns)
                add(node.what.name, use.stands * inside.evaluations, ran)
    found = [(kind, count, figures) for kind, (count, figures) in kinds.items()]
    return tuple(sorted(found, key=lambda row: (-row[2].operations, row[0])))


def _ints(shape: Shape) -> Shape:
    return tuple([int(dim) for dim in shape])


def _shape(shape: Shape) -> dict[str, Any]:
    return {"shape": show(shape), "at_default": [int(d) for d in shape]}
