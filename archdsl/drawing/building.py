"""From a network to boxes: what stands together in one, what is folded, which insides are drawn beside the net."""

from __future__ import annotations

from archdsl.analysis.rows import human
from archdsl.core.record import Record
from archdsl.drawing import words
from archdsl.drawing.alike import Alike
from archdsl.drawing.boxes import Box, Graph, Panel, Picture, Wire
from archdsl.drawing.cells import cells, is_shared, prefix, said
from archdsl.drawing.entries import Entries
from archdsl.drawing.flat import Flattener
from archdsl.drawing.measures import measured
from archdsl.drawing.shapes import labelled
from archdsl.ir.network import Scope
from archdsl.ir.walk import uses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archdsl.core.sizes import Shape
    from archdsl.drawing.cells import Cell
    from archdsl.drawing.flat import Atom
    from archdsl.drawing.measures import Measure
    from archdsl.ir.network import Network

    Ends = Sequence[tuple[int, Box]]  # values that come in or go out, with their boxes

PANELS = 12  # of blocks beside a net; a page holds no more
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WIDEST = 40  # boxes of a panel
NOTHING: Mapping[int, str] = {}


def picture(
    network: Network, by: str = "macs", depth: int | None = None, marks: Mapping[int, str] = NOTHING
) -> Picture:
    """Return a network as boxes.

    Labelled bodies nest in place and blocks are drawn once, beside the net; with a `depth`, both nest to that depth
    and what is deeper stays closed. `by` says what the figures count, `marks` marks steps by their identity.
    """
    return _Builder(network, measured(network, by), depth, marks).picture()


class _Shown(Record):
    """An inside that is drawn beside the net: that of a block, in one place, or one that is ready."""

    letter: str
    title: str
    path: str
    inside: Scope | Graph


class _Builder:
    """Makes the picture of one network."""

    def __init__(self, network: Network, measure: Measure, depth: int | None, marks: Mapping[int, str]) -> None:
        self.network, self.measure, self.depth = network, measure, depth
        self.alike = Alike()
        self.flattener = Flattener(measure.steps, self.alike, Entries(network.scope, self.alike), marks)
        self.letters: dict[int, str] = {}  # of a way to build a block
        self.shown: list[_Shown] = []
        self.most = 0.0

    def picture(self) -> Picture:
        """Return the net and the insides of its blocks."""
        main = self.graph(self.network.scope, "", 0, "net")
        stands: dict[int, int] = {}  # of a way to build a block, in how many places of the net
        for use in uses(self.network.scope):
            number = self.alike.loosely(use.scope)
            stands[number] = stands.get(number, 0) + use.stands
        panels, at = [], 0
        while at < len(self.shown):  # which grows: blocks stand in blocks
            panels.append(self.panel(self.shown[at], stands))
            at += 1
        measure = self.measure
        return Picture(self.network.name, self.facts(), main, tuple(panels), measure.unit, measure.say, self.most or 1)

    def panel(self, shown: _Shown, stands: dict[int, int]) -> Panel:
        """Return the inside of a block, or of what repeats."""
        if isinstance(shown.inside, Graph):
            return Panel(shown.letter, shown.title, "one of its rounds", shown.inside)
        others = stands[self.alike.loosely(shown.inside)] - 1
        note = f"as in {shown.path}" + (f", {others} more alike" if others else "")
        return Panel(shown.letter, shown.title, note, self.graph(shown.inside, f"{shown.path}.", 1, "panel"))

    def facts(self) -> str:
        """Return the ends of the net and what it costs, in one line."""
        scope, costs = self.network.scope, self.measure.total
        results = [output.value for output in scope.outputs if not output.training]
        ends = [
            " + ".join([words.shape(scope.shapes[value]) for value in values]) for values in (scope.inputs, results)
        ]
        return f"{ends[0]} → {ends[1]} · {human(costs.params)} parameters · {human(costs.macs)} MACs"

    # ------------------------------------------------------------ graphs
    def graph(self, scope: Scope, path: str, depth: int, where: str = "frame", again: bool = False) -> Graph:
        """Return the boxes and wires of a scope, in a `frame`, a `panel` or the `net` itself."""
        net = where == "net"
        flat = self.flattener.flat(scope, path, net, again)
        ins = [Box("end", name) for name in scope.input_names] if net else [Box("point") for _ in flat.inputs]
        outs = []
        for output in scope.outputs:
            plain = output.implicit and len(scope.outputs) == 1
            text = "out" if plain else output.name + (" (training)" if output.training else "")
            outs.append(Box("end", text) if net else Box("point"))
        ends = list(zip(flat.inputs, ins)), list(zip(flat.outputs, outs))
        return labelled(self.wired(cells(flat, self.alike), flat.shapes, ends, depth), where)

    def wired(self, found: Sequence[Cell], shapes: dict[int, Shape], ends: tuple[Ends, Ends], depth: int) -> Graph:
        """Return the boxes of cells, between those of what comes in and of what goes out."""
        boxes = [box for _, box in ends[0]]
        made = {value: (at, 0) for at, (value, _) in enumerate(ends[0])}
        wires: list[Wire] = []

        def wire(value: int, target: int, port: int = 0) -> None:
            source, source_port = made[value]
            wires.append(Wire(source, target, words.shape(shapes[value]), shapes[value], source_port, port))

        for cell in found:
            number = len(boxes)
            boxes.append(self.box(cell, shapes, depth))
            for port, value in enumerate(cell.inputs):
                wire(value, number, port)
            made.update({value: (number, port) for port, value in enumerate(cell.results)})
        for value, box in ends[1]:
            wire(value, len(boxes))
            boxes.append(box)
        outputs = tuple(range(len(boxes) - len(ends[1]), len(boxes)))
        return Graph(tuple(boxes), tuple(wires), tuple(range(len(ends[0]))), outputs)

    # ------------------------------------------------------------ boxes
    def box(self, cell: Cell, shapes: dict[int, Shape], depth: int) -> Box:
        """Return the box of a cell."""
        first = cell.atoms[0]
        figure = sum([atom.figure for atom in cell.atoms])
        if cell.kind == "repeat":
            made = self.repeat(cell, shapes, depth)
        elif isinstance(first.node.what, Scope):
            made = self.block(cell, first.node.what, depth)
        else:
            text, more = said(cell)
            made = Box("join" if cell.kind == "join" else "step", text, more, cell.count, first.path)
        if made.kind != "frame":
            self.most = max(self.most, figure)
        if is_shared(cell) and cell.kind != "repeat":
            made = made.replace(more=f"{made.more} · shared" if made.more else "shared")
        marks = {atom.mark for atom in cell.atoms}
        mark = marks.pop() if len(marks) == 1 else "changed"
        if made.kind in ("block", "module") and not mark and any(map(self.differs, cell.atoms)):
            mark = "changed"
        return made.replace(figure=figure, mark=made.mark or mark, paths=tuple([atom.path for atom in cell.atoms]))

    def differs(self, atom: Atom) -> bool:
        """Say whether something in a closed box is marked."""
        return isinstance(atom.node.what, Scope) and self.flattener.differs(atom.node.what)

    def block(self, cell: Cell, scope: Scope, depth: int) -> Box:
        """Return the box of a scope: a frame where it is unfolded in place, or else closed."""
        atom, last, count = cell.atoms[0], cell.atoms[-1], cell.count
        args = words.arguments(scope)
        title = scope.title if scope.kind != "scope" else ""
        what = f"{title}({args})" if args and title else title
        text = words.several(atom.node.name, last.node.name) if atom.node.labelled else title or atom.path
        box = Box("block", text, args if text == title else what, count, atom.path, called=what)
        if scope.kind != "block" if self.depth is None else depth < self.depth:
            inside = self.graph(scope, f"{atom.path}.", depth + 1, again=is_shared(cell))
            only = _only(inside)
            if only is None or scope.kind != "scope" or only.kind != "block":
                return box.replace(kind="frame", inside=inside)
            return only.replace(text=text, more=only.called or only.more, count=only.count * count, path=atom.path)
        return box.replace(letter=self.letter(scope, atom.path))

    def letter(self, scope: Scope, path: str) -> str:
        """Return the letter of the panel that shows how a block is built; none where the page is full."""
        number = self.alike.loosely(scope)
        if number not in self.letters:
            self.letters[number] = "" if len(scope.nodes) > WIDEST else self.show(scope.title, path, scope)
        return self.letters[number]

    def show(self, title: str, path: str, inside: Scope | Graph) -> str:
        """Return the letter of a new panel; none where the page is full, or blocks unfold in place."""
        if len(self.shown) == PANELS or self.depth is not None:
            return ""
        letter = LETTERS[len(self.shown)]
        self.shown.append(_Shown(letter, title, path, inside))
        return letter

    def repeat(self, cell: Cell, shapes: dict[int, Shape], depth: int) -> Box:
        """Return the box of boxes that repeat: a frame, or closed where several values go round."""
        name, path = prefix(cell), cell.atoms[0].path
        if len(cell.inputs) == len(cell.ends) == 1 or self.depth is not None:
            ends = [[(value, Box("point")) for value in values] for values in (cell.inputs, cell.ends)]
            inside = labelled(self.wired(cell.inner, shapes, (ends[0], ends[1]), depth), "frame")
            return Box("frame", "", "", cell.count, path, inside=inside)
        ins = [(value, Box("end", f"in {at}")) for at, value in enumerate(cell.inputs, 1)]
        outs = [(value, Box("end", f"out {at}")) for at, value in enumerate(cell.ends, 1)]
        inside = labelled(self.wired(cell.inner, shapes, (ins, outs), depth), "module")
        return Box("module", name, "", cell.count, path, letter=self.show(name, path, inside))


def _only(graph: Graph) -> Box | None:
    """Return the box of a graph that has one."""
    inner = [box for box in graph.boxes if box.kind != "point"]
    return inner[0] if len(inner) == 1 else None
