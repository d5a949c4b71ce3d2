"""From a network to boxes: what stands together in one, what is folded, which insides are drawn beside the net."""

from __future__ import annotations

from math import log2

from archdsl.analysis.rows import human
from archdsl.core.record import Record
from archdsl.drawing import words
from archdsl.drawing.alike import Alike
from archdsl.drawing.boxes import Box, Graph, Panel, Picture, Wire
from archdsl.drawing.measures import measured
from archdsl.ir.liveness import is_empty
from archdsl.ir.network import Scope
from archdsl.ir.walk import once, uses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.core.sizes import Shape
    from archdsl.drawing.measures import Measure
    from archdsl.ir.network import Network, Node

PANELS = 12  # of blocks beside a net; a page holds no more
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def picture(
    network: Network, by: str = "macs", depth: int | None = None, marks: dict[int, str] | None = None
) -> Picture:
    """Return a network as boxes.

    Labelled bodies nest in place and blocks are drawn once, beside the net; with a `depth`, both nest to that depth
    and what is deeper stays closed. `by` says what the figures count, `marks` marks steps by their identity.
    """
    return Builder(network, by, depth, marks or {}).picture()


class Atom(Record):
    """A step in a graph of values, whose numbers are the graph's own: bodies that are no boxes are taken apart."""

    path: str
    node: Node
    figure: float
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Flat(Record):
    """The steps of a scope, its shapes by value, what comes in and what goes out."""

    atoms: tuple[Atom, ...]
    shapes: dict[int, Shape]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Cell:
    """Steps that become one box, while they are collected."""

    def __init__(self, kind: str, atom: Atom) -> None:
        self.kind, self.atoms, self.count = kind, [atom], 1
        self.complete = False  # takes no further steps

    @property
    def results(self) -> tuple[int, ...]:
        """The values that others can read."""
        return self.atoms[-1].outputs


class Builder:
    """Makes the picture of one network."""

    def __init__(self, network: Network, by: str, depth: int | None, marks: dict[int, str]) -> None:
        self.network, self.depth, self.marks = network, depth, marks
        self.alike = Alike()
        self.measure: Measure = measured(network, by)
        self.letters: dict[int, str] = {}  # of a way to build a block
        self.shown: list[tuple[str, Scope, str]] = []  # letter, an instance, its path
        self.stands: dict[int, int] = {}  # of a way to build a block, in how many places of the net
        self.most = 0.0

    def picture(self) -> Picture:
        """Return the net and the insides of its blocks."""
        scope = self.network.scope
        main = self.graph(scope, "", 0, "net")
        for use in uses(scope):
            number = self.alike.loosely(use.scope)
            self.stands[number] = self.stands.get(number, 0) + use.stands
        panels = []
        at = 0
        while at < len(self.shown):
            letter, inside, path = self.shown[at]
            graph = self.graph(inside, path, 1, "panel")
            panels.append(Panel(letter, inside.title, self._where(inside, path), graph))
            at += 1
        measure = self.measure
        return Picture(self.network.name, self._facts(), main, tuple(panels), measure.unit, measure.say, self.most or 1)

    def _where(self, scope: Scope, path: str) -> str:
        others = self.stands[self.alike.loosely(scope)] - 1
        return f"as in {path.rstrip('.')}" + (f", {others} more alike" if others else "")

    def _facts(self) -> str:
        scope = self.network.scope
        ends = [
            " + ".join([words.shape(scope.shapes[value]) for value in values])
            for values in (scope.inputs, [output.value for output in scope.outputs if not output.training])
        ]
        costs = self.measure.costs
        return f"{ends[0]} → {ends[1]} · {human(costs.params)} parameters · {human(costs.macs)} MACs"

    # ------------------------------------------------------------ graphs
    def graph(self, scope: Scope, path: str, depth: int, where: str = "frame") -> Graph:
        """Return the boxes and wires of a scope, in a `frame`, a `panel` or the `net` itself."""
        net = where == "net"
        flat = self.flat(scope, path, net)
        cells = _folded(_cells(flat), self._same(flat))
        boxes = [self.end(scope, at) if net else Box("point") for at in range(len(scope.inputs))]
        made = {value: (at, 0) for at, value in enumerate(flat.inputs)}
        wires: list[Wire] = []
        for cell in cells:
            number = len(boxes)
            boxes.append(self.box(cell, flat, depth))
            for port, value in enumerate(cell.atoms[0].inputs):
                wires.append(_wire(made, value, number, port if boxes[-1].kind == "frame" else 0, flat))
            made.update({value: (number, port) for port, value in enumerate(cell.results)})
        outputs = tuple(range(len(boxes), len(boxes) + len(flat.outputs)))
        for output, value in zip(scope.outputs, flat.outputs):
            number = len(boxes)
            plain = output.implicit and len(scope.outputs) == 1
            text = output.name + (" (training)" if output.training else "")
            boxes.append(Box("end", "out" if plain else text) if net else Box("point"))
            wires.append(_wire(made, value, number, 0, flat))
        made_graph = Graph(tuple(boxes), tuple(wires), tuple(range(len(scope.inputs))), outputs)
        return _labelled(made_graph, where)

    def end(self, scope: Scope, at: int) -> Box:
        """Return the box of an input of the net."""
        return Box("end", scope.input_names[at])

    def flat(self, scope: Scope, path: str, net: bool) -> Flat:
        """Return the steps of a scope in values of their own; bodies that need no frame are taken apart."""
        shapes: dict[int, Shape] = {}
        atoms: list[Atom] = []

        def fresh(shape: Shape) -> int:
            shapes[len(shapes)] = shape
            return len(shapes) - 1

        def enter(inner: Scope, path: str, given: Sequence[int], net: bool) -> list[int]:
            values = dict(zip(inner.inputs, given))
            for node, figure in zip(inner.nodes, self.measure.steps(inner)):
                inputs = tuple([values[value] for value in _read(node)])
                if _does_nothing(node):
                    outputs: Sequence[int] = inputs[:1]
                elif isinstance(node.what, Scope) and self.dissolves(node.what, net):
                    outputs = enter(node.what, f"{path}{node.name}.", inputs, net and node.what.kind != "scope")
                else:
                    outputs = tuple([fresh(inner.shapes[value]) for value in node.outputs])
                    atoms.append(Atom(path + node.name, node, figure, inputs, tuple(outputs)))
                values.update(zip(node.outputs, outputs))
            return [values[output.value] for output in inner.outputs]

        inputs = [fresh(scope.shapes[value]) for value in scope.inputs]
        outputs = enter(scope, path, inputs, net)
        return Flat(tuple(atoms), shapes, tuple(inputs), tuple(outputs))

    def dissolves(self, scope: Scope, net: bool) -> bool:
        """Say whether a scope is drawn without a frame: what fits one box, a net, and most of a net in one body."""
        if self.depth == 0:
            return False
        if scope.kind == "net" or self.fits_a_box(scope) or (net and len(scope.outputs) > 1):
            return True
        if not net and scope.kind == "scope" and scope.wrapper is None and self.is_plain(scope):
            return True
        return net and scope.kind == "scope" and len({self.alike.step(node) for node in scope.nodes}) > LARGE

    @once
    def is_plain(self, scope: Scope) -> bool:
        """Say whether a body is a short row of steps, which needs no frame inside of a block."""
        value = scope.inputs[0]
        for node in scope.nodes:
            if node.inputs != (value,) or len(node.outputs) != 1:
                return False
            value = node.outputs[0]
        return len(scope.nodes) <= SHORT

    @once
    def fits_a_box(self, scope: Scope) -> bool:
        """Say whether the steps of a scope are one box: a convolution with its norm and activation."""
        value, large = scope.inputs[0], 0
        if len(scope.outputs) != 1 or len(scope.inputs) != 1 or len(scope.nodes) > 6 or scope.wrapper is not None:
            return False
        for node in scope.nodes:
            if len(node.inputs) != 1 or node.inputs[0] != value or len(node.outputs) != 1:
                return False
            value = node.outputs[0]
            if isinstance(node.what, Scope):
                if not self.fits_a_box(node.what):
                    return False
                large += any(not _does_nothing(inner) for inner in node.what.nodes)
            else:
                large += not (words.is_minor(node.what) or _does_nothing(node))
        return large <= 1

    # ------------------------------------------------------------ boxes
    def box(self, cell: Cell, flat: Flat, depth: int) -> Box:
        """Return the box of a cell."""
        first = cell.atoms[0]
        nodes = tuple([atom.node for atom in cell.atoms])
        figure = sum([atom.figure for atom in cell.atoms])
        if isinstance(first.node.what, Scope):
            made = self.block(first, first.node.what, cell.count, depth)
        else:
            text, more = _said(cell)
            made = Box("join" if cell.kind == "join" else "step", text, more, cell.count, first.path)
        if made.kind != "frame":
            self.most = max(self.most, figure)
        mark = next((self.marks[id(node)] for node in nodes if id(node) in self.marks), "")
        return made.replace(nodes=nodes, figure=figure, mark=made.mark or mark)

    def block(self, atom: Atom, scope: Scope, count: int, depth: int) -> Box:
        """Return the box of a scope: a frame where it is unfolded in place, or else closed."""
        name, args = atom.node.name, words.arguments(scope)
        title = scope.title if scope.kind != "scope" else ""
        what = f"{title}({args})" if args and title else title
        text = name if atom.node.labelled or not title else title
        box = Box("block", text, args if text == title else what, count, atom.path, called=what)
        if self.unfolds(scope, depth):
            inside = self.graph(scope, f"{atom.path}.", depth + 1)
            only = _only(inside)
            if only is None or scope.kind != "scope" or only.kind != "block":
                return box.replace(kind="frame", inside=inside)
            return only.replace(text=text, more=only.called or only.more, count=only.count * count, path=atom.path)
        letter = self.letter(scope, f"{atom.path}.") if self.depth is None else ""
        return box.replace(letter=letter)

    def unfolds(self, scope: Scope, depth: int) -> bool:
        """Say whether a scope is a frame here."""
        if self.depth is not None:
            return depth < self.depth
        return scope.kind != "block"

    def letter(self, scope: Scope, path: str) -> str:
        """Return the letter of the panel that shows how a block is built; none where the page is full."""
        number = self.alike.loosely(scope)
        if number not in self.letters:
            self.letters[number] = LETTERS[len(self.shown)] if len(self.shown) < PANELS else ""
            if self.letters[number]:
                self.shown.append((self.letters[number], scope, path))
        return self.letters[number]

    def _same(self, flat: Flat) -> Same:
        return Same(self.alike, flat)


LARGE = 5  # different steps of a labelled body, such as `features`, that is no part of a net but most of it

CUT = 1.6  # by which a map is cut at most where convolutions have no padding: 568 to 392 in U-Net
SHORT = 12  # steps of a body that needs no frame


class Same:
    """Says whether two cells in a row are drawn as one with a count."""

    def __init__(self, alike: Alike, flat: Flat) -> None:
        self.alike, self.flat = alike, flat

    def __call__(self, one: Cell, other: Cell) -> bool:
        a, b = one.atoms[0].node, other.atoms[0].node
        if one.kind != other.kind or len(other.atoms[0].inputs) != 1 or len(one.results) != 1:
            return False
        sizes = [self.flat.shapes[value] for value in (one.results[0], other.results[0])]
        if isinstance(a.what, Scope):
            assert isinstance(b.what, Scope), "cells of one kind"
            return self.alike.exactly(a.what) == self.alike.exactly(b.what) and sizes[0][2:] == sizes[1][2:]
        return one.kind == "step" and _said(one) == _said(other) and sizes[0] == sizes[1]


def _does_nothing(node: Node) -> bool:
    return is_empty(node.what) if isinstance(node.what, Scope) else "identity" in node.what.traits


def _read(node: Node) -> tuple[int, ...]:
    """Return the values that a step computes with; others tell it only how many images there are, or a size."""
    if isinstance(node.what, Scope):
        return node.inputs
    if "source" in node.what.traits:
        return ()
    given = [name for name, spec in node.what.args.items() if spec.kind.tensor and getattr(node.what, name)]
    sizes = len(node.inputs) - len(given) + given.index("like") if "like" in given else len(node.inputs)
    return (*node.inputs[:sizes], *node.inputs[sizes + 1 :])


def _wire(made: dict[int, tuple[int, int]], value: int, target: int, port: int, flat: Flat) -> Wire:
    source, source_port = made[value]
    return Wire(source, target, words.shape(flat.shapes[value]), source_port, port)


def _readers(flat: Flat) -> dict[int, int]:
    """Return how often each value is read."""
    readers: dict[int, int] = {}
    for atom in flat.atoms:
        for value in atom.inputs:
            readers[value] = readers.get(value, 0) + 1
    for value in flat.outputs:
        readers[value] = readers.get(value, 0) + 2  # a result is no middle of a box
    return readers


def _cells(flat: Flat) -> list[Cell]:
    """Put steps together that one box shows."""
    readers = _readers(flat)
    makers: dict[int, Cell] = {}
    cells: list[Cell] = []
    for atom in flat.atoms:
        before = makers.get(atom.inputs[0]) if len(atom.inputs) == 1 else None
        alone = before is not None and readers[atom.inputs[0]] == 1 and before.results == atom.inputs
        if before is not None and alone and _joins_on(before, atom):
            before.atoms.append(atom)
            cell = before
        else:
            cell = Cell(_kind(atom), atom)
            cells.append(cell)
        makers.update(dict.fromkeys(atom.outputs, cell))
    return cells


def _kind(atom: Atom) -> str:
    if isinstance(atom.node.what, Scope):
        return "scope"
    return "join" if len(atom.inputs) > 1 else "minor" if words.is_minor(atom.node.what) else "step"


def _joins_on(cell: Cell, atom: Atom) -> bool:
    """Say whether a step belongs to the box before it: what is minor does, and weights after a norm of their own."""
    if cell.kind == "scope" or isinstance(atom.node.what, Scope) or cell.complete:
        return False
    if words.is_minor(atom.node.what):
        return len(cell.atoms) < 5
    if cell.kind != "minor":
        return False
    cell.kind = "step"
    cell.complete = any(words.is_norm(each.node.what) for each in cell.atoms)  # type: ignore[arg-type]
    return True


def _folded(cells: list[Cell], same: Same) -> list[Cell]:
    """Fold cells that follow themselves."""
    readers: dict[int, int] = {}
    for cell in cells:
        for atom in cell.atoms:
            for value in atom.inputs:
                readers[value] = readers.get(value, 0) + 1
    for value in same.flat.outputs:
        readers[value] = readers.get(value, 0) + 1
    makers: dict[int, Cell] = {}
    found: list[Cell] = []
    for cell in cells:
        given = cell.atoms[0].inputs
        before = makers.get(given[0]) if len(given) == 1 else None
        if before is not None and readers[given[0]] == 1 and same(before, cell):
            before.count += 1
            before.atoms += cell.atoms
            cell = before
        else:
            found.append(cell)
        makers.update(dict.fromkeys(cell.results, cell))
    return found


def _said(cell: Cell) -> tuple[str, str]:
    """Return what a box says in large letters, and in small ones."""
    atoms = cell.atoms[: len(cell.atoms) // cell.count]
    large = next((atom for atom in atoms if not words.is_minor(atom.node.what)), atoms[0])  # type: ignore[arg-type]
    at = atoms.index(large)
    text = words.large(large.node)
    if at:
        text = " · ".join([words.small(atom.node.what) for atom in atoms[:at]]) + " · " + text  # type: ignore[arg-type]
    return text, " · ".join([words.small(atom.node.what) for atom in atoms[at + 1 :]])  # type: ignore[arg-type]


def _only(graph: Graph) -> Box | None:
    inner = [box for box in graph.boxes if box.kind != "point"]
    return inner[0] if len(inner) == 1 else None


def _labelled(graph: Graph, where: str) -> Graph:
    """Return a graph whose wires have a label where the shape is new, one for each value, and whose boxes have levels.

    What comes into a frame has its label outside.
    """
    given: dict[int, str] = {}  # the shape of the first value that a box is given
    levels: dict[int, int] = {}
    for wire in graph.wires:
        if wire.target not in given:
            given[wire.target] = wire.label
            levels[wire.target] = levels.get(wire.source, 0) + _halvings(given.get(wire.source, ""), wire.label)
    told: set[tuple[int, str]] = set()
    wires = []
    for wire in graph.wires:
        value = wire.source, wire.label
        inner = where == "frame" and (wire.source in graph.inputs or wire.target in graph.outputs)
        new = value not in told and given.get(wire.source) != wire.label and not inner
        told.add(value)
        wires.append(wire if new else wire.replace(label=""))
    wires = _last_of_several(wires)
    boxes = [
        box.replace(level=levels.get(at, 0) + _halvings(given.get(at, ""), _made(graph, at)))
        for at, box in enumerate(graph.boxes)
    ]
    return graph.replace(boxes=tuple(boxes), wires=tuple(wires))


def _last_of_several(wires: list[Wire]) -> list[Wire]:
    """Move the label of wires side by side to the last of them."""
    last = {(wire.source, wire.target): at for at, wire in enumerate(wires)}
    found = list(wires)
    for at, wire in enumerate(wires):
        other = last[wire.source, wire.target]
        if wire.label and other != at and not wires[other].label:
            found[at], found[other] = wire.replace(label=""), wires[other].replace(label=wire.label)
    return found


def _made(graph: Graph, box: int) -> str:
    return next((wire.label for wire in graph.wires if wire.source == box), "")


def _halvings(before: str, after: str) -> int:
    """Return how often a map has been halved between two shapes; negative where it was doubled."""
    sizes = [text.split("×") for text in (before, after)]
    if any(len(size) != 3 for size in sizes):
        return 0
    high, low = [max(int(size[1]), int(size[2])) for size in sizes]
    if min(high, low) <= 1 or max(high, low) < CUT * min(high, low):
        return 0  # a pooled map has no size of its own, and one that is cut or padded keeps it
    return round(log2(high / low))
