"""What `archdsl check` prints: a table with one row a layer, and the same as plain data.

Blocks are indented under their name, and a step that follows itself is one row with its count.
"""

from __future__ import annotations

from itertools import islice

from archdsl.analysis.columns import OPERATION, WHOLE, Grid, at_default, counts, named
from archdsl.analysis.costs import Costs
from archdsl.analysis.legal import accepted, legal_sizes
from archdsl.analysis.result import Result
from archdsl.analysis.rows import Rows, human
from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.ir.network import Scope
from archdsl.ops.base import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.analysis.columns import View
    from archdsl.analysis.costs import Cost
    from archdsl.analysis.legal import Legal
    from archdsl.analysis.rows import Row
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network

MAX_ROWS = 20_000  # 1 s; published networks have under 1,300
HEAD = ("layer", OPERATION, "output", "at default", "parameters", "MACs")
SPARE = ("output", "at default", "MACs")  # columns that a short line is without, the first of them first
CONVENTION = "MACs of convolutions and linear layers for one image; FLOPs are twice that"


class Feature(Record):
    """A result that was asked for by name: its channels, and how its positions lie on the image.

    `stride` is by how many rows and columns of the image neighbours differ, `field` the height and width that one
    position sees. Both are None for flat features; where the field is `whole`, every position sees the whole image.
    """

    name: str
    channels: int
    stride: tuple[float, float] | None
    field: tuple[int, int] | None
    whole: bool = False

    def text(self) -> str:
        """Return one line: `layer2: 512 channels, stride 8, receptive field 99x99`."""
        line = f"{self.name}: {self.channels} channels"
        if self.stride is None or self.field is None:
            return line
        if self.whole:
            return f"{line}, receptive field the whole image"
        rows, columns = self.stride
        stride = f"{rows:g}" if rows == columns else f"{rows:g}x{columns:g}"
        return f"{line}, stride {stride}, receptive field {self.field[0]}x{self.field[1]}"


class Report(Result):
    """A checked network in figures: shapes are exact functions of the input size, costs at the default size.

    `legal` are the sizes that the inputs may have in evaluation, `features` the results that were asked for by name.
    """

    name: str
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape, bool], ...]
    params: int
    macs: int
    scope: Scope
    costs: Costs
    legal: tuple[Legal, ...] = ()
    features: tuple[Feature, ...] = ()

    unequal = ("scope", "costs")

    @property
    def rows(self) -> tuple[Row[Cost], ...]:
        """The rows of the table, blocks with all that is in them: there may be far more than distinct steps."""
        return self._shown(WHOLE)

    def _shown(self, view: View) -> tuple[Row[Cost], ...]:
        found = tuple(islice(view.rows(Rows(self.costs).of(self.scope)), MAX_ROWS + 1))
        if len(found) > MAX_ROWS:
            what = "this network has too many layers for a table"
            raise errors.limit_exceeded(self.scope.span, what, f"more than {MAX_ROWS:,}", MAX_ROWS)
        return found

    def grid(self, view: View = WHOLE) -> Grid:
        notes = [f"{self.params:,} parameters, {self.macs:,} MACs ({CONVENTION})"]
        notes += [f"{legal}{legal.because()}" for legal in self.legal]
        rows = [_cells(row) for row in self._shown(view)]
        return Grid(self.summary(), HEAD, rows, 4, notes, SPARE)

    def records(self) -> list[dict[str, Any]]:
        layers: list[dict[str, Any]] = self.to_dict()["layers"]
        return layers

    def summary(self) -> str:
        """Return one line: `resnet50: [N, 3, H, W] -> [N, 1000], 25.6 M parameters, 4.09 G MACs at 224x224`."""
        inputs = ", ".join(show(shape) for _, shape in self.inputs)
        outputs = ", ".join(f"{name}: {show(s)}" if len(self.outputs) > 1 else show(s) for name, s, _ in self.outputs)
        shape = self.inputs[0][1]
        size = at_default(shape, 1 if len(shape) < 4 else 2)
        figures = f"{human(self.params)} parameters, {human(self.macs)} MACs at {size}"
        first = f"{self.name}: {inputs} -> {outputs}, {figures}{accepted(self.legal)}"
        return "\n".join([first, *(f"  {f.text()}" for f in self.features)])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "name": self.name,
            "inputs": [{"name": n} | _shape_json(s) for n, s in self.inputs],
            "outputs": [{"name": n, "training_only": t} | _shape_json(s) for n, s, t in self.outputs],
            "parameters": self.params,
            "macs": self.macs,
            "convention": CONVENTION,
            "legal": [legal.to_dict() for legal in self.legal],
            "features": [feature.__dict__ for feature in self.features],
            "layers": [
                {"depth": r.depth, "name": r.name, "operation": r.what, "count": r.count, "block": r.block}
                | {"parameters": r.params, "macs": r.macs}
                | _shape_json(r.shape)
                for r in self.rows
            ],
        }


def report(network: Network) -> Report:
    """Return the figures of a checked network."""
    scope = network.scope
    costs = Costs()
    total = costs.scope(scope)
    inputs = tuple((name, scope.shapes[v]) for name, v in zip(scope.input_names, scope.inputs))
    outputs = tuple((o.name, scope.shapes[o.value], o.training) for o in scope.outputs)
    features = tuple(_features(network)) if network.chosen else ()
    return Report(network.name, inputs, outputs, total.params, total.macs, scope, costs, legal_sizes(network), features)


def _features(network: Network) -> Iterator[Feature]:
    from archdsl.analysis.field import fields  # 5 ms of import, and needed only here

    known = fields(network)
    for output in network.scope.outputs:
        field = known.get(output.name)
        flat = len(network.scope.shapes[output.value]) != 4 or field is None
        channels = int(network.scope.shapes[output.value][1])
        if flat or field is None:
            yield Feature(output.name, channels, None, None)
        else:
            yield Feature(output.name, channels, field.stride, field.size, field.whole)


def _cells(row: Row[Cost]) -> tuple[str, ...]:
    return (*named(row), show(row.shape), at_default(row.shape), *counts((row.params, row.macs)))


def _shape_json(shape: Shape) -> dict[str, Any]:
    return {"shape": [d if isinstance(d, int) else str(d) for d in shape], "at_default": [int(d) for d in shape]}
