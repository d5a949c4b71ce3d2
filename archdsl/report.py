"""What `archdsl check` prints: a table with one row a layer, and the same as plain data.

Blocks are indented under their name, and a step that follows itself is one row with its count. Plain text without a
table library: `rich` would add 60 ms to a check that takes 80.
"""

from __future__ import annotations

from archdsl.cost import Costs
from archdsl.ir import Scope
from archdsl.legal import accepted, legal_sizes
from archdsl.ops._op import REQUIRED, show
from archdsl.record import Record
from archdsl.values import show as show_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.ir import Network, Node
    from archdsl.legal import Legal
    from archdsl.ops._op import Op
    from archdsl.sizes import Shape

CONVENTION = "MACs of convolutions and linear layers for one image; FLOPs are twice that"


class Row(Record):
    """One layer, or the head of a block: `count` equal steps in a row, with the cost of all of them."""

    depth: int
    name: str
    what: str
    shape: Shape
    params: int
    macs: int
    count: int = 1
    block: bool = False


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


class Report(Record):
    """A checked network in figures: shapes are exact functions of the input size, costs at the default size.

    `legal` are the sizes that the inputs may have in evaluation, `features` the results that were asked for by name.
    """

    name: str
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape, bool], ...]
    params: int
    macs: int
    rows: tuple[Row, ...]
    legal: tuple[Legal, ...] = ()
    features: tuple[Feature, ...] = ()

    def text(self) -> str:
        """Return the table."""
        head = ("layer", "operation", "output", "at default", "parameters", "MACs")
        body = [_cells(row) for row in self.rows]
        widths = [max(len(cells[i]) for cells in (head, *body)) for i in range(len(head))]
        lines = [self.summary(), "", _line(head, widths), "  ".join("-" * w for w in widths)]
        lines += [_line(cells, widths) for cells in body]
        lines += ["", f"{self.params:,} parameters, {self.macs:,} MACs ({CONVENTION})"]
        lines += [f"{legal}{legal.because()}" for legal in self.legal]
        return "\n".join(lines)

    def summary(self) -> str:
        """Return one line: `resnet50: [N, 3, H, W] -> [N, 1000], 25.6 M parameters, 4.09 G MACs at 224x224`."""
        inputs = ", ".join(show(shape) for _, shape in self.inputs)
        outputs = ", ".join(f"{name}: {show(s)}" if len(self.outputs) > 1 else show(s) for name, s, _ in self.outputs)
        size = _size(self.inputs[0][1])
        figures = f"{human(self.params)} parameters, {human(self.macs)} MACs at {size}"
        first = f"{self.name}: {inputs} -> {outputs}, {figures}{accepted(self.legal)}"
        return "\n".join([first, *(f"  {f.text()}" for f in self.features)])

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "name": self.name,
            "inputs": [{"name": n} | _shape_json(s) for n, s in self.inputs],
            "outputs": [{"name": n, "training_only": t} | _shape_json(s) for n, s, t in self.outputs],
            "parameters": self.params,
            "macs": self.macs,
            "convention": CONVENTION,
            "legal": [legal.as_json() for legal in self.legal],
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
    rows = tuple(_rows(scope, costs, 0))
    inputs = tuple((name, scope.shapes[v]) for name, v in zip(scope.input_names, scope.inputs))
    outputs = tuple((o.name, scope.shapes[o.value], o.training) for o in scope.outputs)
    features = tuple(_features(network)) if network.chosen else ()
    return Report(network.name, inputs, outputs, total.params, total.macs, rows, legal_sizes(network), features)


def _features(network: Network) -> Iterator[Feature]:
    from archdsl.field import fields  # 5 ms of import, and needed only here

    known = fields(network)
    for output in network.scope.outputs:
        field = known.get(output.name)
        flat = len(network.scope.shapes[output.value]) != 4 or field is None
        channels = int(network.scope.shapes[output.value][1])
        if flat or field is None:
            yield Feature(output.name, channels, None, None)
        else:
            yield Feature(output.name, channels, field.stride, field.size, field.whole)


def _rows(scope: Scope, costs: Costs, depth: int) -> Iterator[Row]:
    nodes = scope.nodes
    at = 0
    while at < len(nodes):
        node = nodes[at]
        if isinstance(node.what, Scope) and not node.what.nodes:  # a block that does nothing here
            at += 1
            continue
        count = _repeats(scope, at)
        cost = costs.node(node, scope)
        shape = scope.shapes[node.outputs[0]]
        name = node.name if count == 1 else f"{node.name}-{nodes[at + count - 1].name}"
        block = isinstance(node.what, Scope)
        title = _title(node.what) if isinstance(node.what, Scope) else operation(node.what)
        if node.reuses:
            title += ", shared"
        yield Row(depth, name, title, shape, cost.params * count, cost.macs * count, count, block)
        if isinstance(node.what, Scope):
            yield from _rows(node.what, costs, depth + 1)
        at += count


def _repeats(scope: Scope, at: int) -> int:
    """Count how often a numbered step follows itself, on the same shapes."""
    first = scope.nodes[at]
    count = 1
    if first.labelled or not first.name:
        return 1
    for node in scope.nodes[at + 1 :]:
        same = node.what is first.what if isinstance(first.what, Scope) else node.what == first.what
        if (
            not same
            or node.labelled
            or not _alike(scope, node, first)
            or node.inputs[0] not in scope.nodes[at + count - 1].outputs
        ):
            break
        count += 1
    return count


def _alike(scope: Scope, left: Node, right: Node) -> bool:
    return all(scope.shapes[a] == scope.shapes[b] for a, b in zip(left.inputs, right.inputs))


def _title(scope: Scope) -> str:
    if scope.kind == "scope":
        return ""
    if scope.wrapper is not None:
        return operation(scope.wrapper)
    params = scope.definition.params if scope.definition is not None else ()
    defaults = {p.name: " ".join(p.default.span.text.split()) for p in params if p.default is not None}
    args = [(k, show_value(v)) for k, v in scope.args]
    return f"{scope.title}({', '.join(f'{k}={v}' for k, v in args if v != defaults.get(k))})"


def operation(op: Op) -> str:
    """Print an operator with the arguments that differ from its defaults: `conv(64, 7, stride=2)`."""
    texts = []
    for name, spec in op.args.items():
        value = getattr(op, name)
        if spec.kind.text == "a pipeline":
            continue
        if spec.default is REQUIRED:
            texts.append(_plain(value))
        elif value is not None and value != (spec.kind.accept(spec.default) if spec.default is not None else None):
            texts.append(f"{name}={_plain(value)}")
    return f"{op.name}({', '.join(texts)})" if texts else op.name


def _plain(value: Any) -> str:
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else show_value(value)


def _cells(row: Row) -> tuple[str, ...]:
    times = f" ×{row.count}" if row.count > 1 else ""
    what = row.what if len(row.what) <= 44 else row.what[:41] + "..."
    params = f"{row.params:,}" if row.params else ""
    macs = f"{row.macs:,}" if row.macs else ""
    return ("  " * row.depth + row.name + times, what, show(row.shape), _size(row.shape, all=True), params, macs)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:4], widths[:4])]
    right = [cell.rjust(width) for cell, width in zip(cells[4:], widths[4:])]
    return "  ".join(left + right).rstrip()


def _size(shape: Shape, all: bool = False) -> str:
    dims = shape[1:] if all or len(shape) < 4 else shape[2:]
    return "x".join(str(int(d)) for d in dims)


def _shape_json(shape: Shape) -> dict[str, Any]:
    return {"shape": [d if isinstance(d, int) else str(d) for d in shape], "at_default": [int(d) for d in shape]}


def human(number: int) -> str:
    """Print a count with three figures: `25.6 M`."""
    for scale, unit in ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= scale:
            return f"{number / scale:.3g}{unit}"
    return str(number)
