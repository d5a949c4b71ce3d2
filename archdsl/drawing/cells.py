"""Steps that stand together in one box, equal boxes that follow one another, and rows of boxes that repeat."""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.drawing import words
from archdsl.ir.network import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.drawing.alike import Alike
    from archdsl.drawing.flat import Atom, Flat

LONGEST = 5  # steps in one box
PERIOD = 24  # boxes in a row that repeats: a module of HRNet with four branches has 20


class Cell(Record):
    """What becomes one box: steps in a row, `count` times, or the boxes `inner`, which repeat so often.

    `kind` is `scope`, `step`, `minor` (a step that could stand with others), `join` or `repeat`.
    """

    kind: str
    atoms: tuple[Atom, ...]
    inputs: tuple[int, ...]
    results: tuple[int, ...]
    count: int = 1
    complete: bool = False  # takes no further steps
    inner: tuple[Cell, ...] = ()
    ends: tuple[int, ...] = ()  # what the inner boxes return, of a repeat


def cells(flat: Flat, alike: Alike) -> list[Cell]:
    """Return the boxes-to-be of a scope, in order."""
    return _repeats(_folded(_grouped(flat), flat, alike), flat, alike)


# -------------------------------------------------------------------------------------------------- steps in one box
def _grouped(flat: Flat) -> list[Cell]:
    """Put steps together that one box shows."""
    readers = _readers(flat.atoms, flat.outputs)
    maker: dict[int, int] = {}
    found: list[Cell] = []
    for atom in flat.atoms:
        at = maker.get(atom.inputs[0]) if len(atom.inputs) == 1 else None
        grown = None
        if at is not None and readers[atom.inputs[0]] == 1 and found[at].results == atom.inputs:
            grown = _grown(found[at], atom)
        if at is None or grown is None:
            at = len(found)
            found.append(Cell(_kind(atom), (atom,), atom.inputs, atom.outputs))
        else:
            found[at] = grown
        maker.update(dict.fromkeys(atom.outputs, at))
    return found


def _readers(steps: Sequence[Atom | Cell], outputs: Sequence[int]) -> dict[int, int]:
    """Return how often each value is read."""
    readers = dict.fromkeys(outputs, 1)
    for step in steps:
        for value in step.inputs:
            readers[value] = readers.get(value, 0) + 1
    return readers


def _kind(atom: Atom) -> str:
    if isinstance(atom.node.what, Scope):
        return "scope"
    return "join" if len(atom.inputs) > 1 else "minor" if words.is_minor(atom.node.what) else "step"


def _grown(cell: Cell, atom: Atom) -> Cell | None:
    """Return a cell with one more step: what is minor joins it, and weights join a norm before them; else None."""
    if cell.kind == "scope" or isinstance(atom.node.what, Scope) or cell.complete or len(cell.atoms) == LONGEST:
        return None
    atoms = (*cell.atoms, atom)
    if words.is_minor(atom.node.what):
        return cell.replace(atoms=atoms, results=atom.outputs)
    if cell.kind != "minor":
        return None
    before = any("normalizes" in each.node.what.traits for each in cell.atoms)  # type: ignore[union-attr]
    return cell.replace(kind="step", atoms=atoms, results=atom.outputs, complete=before)


def said(cell: Cell) -> tuple[str, str]:
    """Return what a box says in large letters, and in small ones."""
    atoms = cell.atoms[: len(cell.atoms) // cell.count]
    operators = [atom.node.what for atom in atoms if not isinstance(atom.node.what, Scope)]
    at = next((at for at, op in enumerate(operators) if not words.is_minor(op)), 0)
    text = " · ".join([*[words.small(op) for op in operators[:at]], words.large(atoms[at].node)])
    return text, " · ".join([words.small(op) for op in operators[at + 1 :]])


def is_shared(cell: Cell) -> bool:
    """Say whether a box learns nothing of its own: its weights are those of an earlier one."""
    stateful = [atom for atom in cell.atoms if isinstance(atom.node.what, Scope) or atom.node.what.stateful]
    return bool(stateful) and all(atom.shared for atom in stateful)


# -------------------------------------------------------------------------------------------------- repeats
def _sign(cell: Cell, flat: Flat, alike: Alike) -> object:
    """Return what is equal of cells that are drawn alike: channels may grow along repeated blocks, maps not."""
    what, shared = cell.atoms[0].node.what, is_shared(cell)
    shapes = tuple([flat.shapes[value] for value in cell.results])
    if isinstance(what, Scope):
        return alike.exactly(what), shared, tuple([shape[2:] for shape in shapes])
    return cell.kind, said(cell), shared, shapes


def _folded(found: Sequence[Cell], flat: Flat, alike: Alike) -> list[Cell]:
    """Fold cells that follow themselves."""
    readers = _readers(found, flat.outputs)
    maker: dict[int, int] = {}
    folded: list[Cell] = []
    signs: list[object] = []
    for cell in found:
        sign = _sign(cell, flat, alike)
        at = maker.get(cell.inputs[0]) if len(cell.inputs) == len(cell.results) == 1 else None
        foldable = at is not None and cell.kind != "join" and readers[cell.inputs[0]] == 1
        if at is not None and foldable and signs[at] == sign and len(folded[at].inputs) == 1:
            before = folded[at]
            atoms = before.atoms + cell.atoms
            folded[at] = before.replace(atoms=atoms, results=cell.results, count=before.count + 1)
        else:
            at = len(folded)
            folded.append(cell)
            signs.append(sign)
        maker.update(dict.fromkeys(cell.results, at))
    return folded


def _repeats(found: list[Cell], flat: Flat, alike: Alike) -> list[Cell]:
    """Make one cell of several in a row that repeat."""
    signs = [(_sign(cell, flat, alike), cell.count) for cell in found]
    at, made = 0, []
    while at < len(found):
        runs = _runs(found, signs, at, flat)
        if runs:
            period, count = max(runs, key=lambda run: (run[0] * run[1], -run[0]))
            made.append(_repeat([found[at + k * period : at + (k + 1) * period] for k in range(count)], found, flat))
            at += period * count
        else:
            made.append(found[at])
            at += 1
    return made


def _runs(found: list[Cell], signs: list[tuple[object, int]], at: int, flat: Flat) -> list[tuple[int, int]]:
    """Return the periods with which cells repeat from here on, each with how often."""
    runs = []
    for period in range(2, min(PERIOD, (len(found) - at) // 2) + 1):
        if signs[at] != signs[at + period] or signs[at : at + period] != signs[at + period : at + 2 * period]:
            continue
        blocks = [found[at : at + period]]
        while signs[at : at + period] == signs[at + len(blocks) * period : at + (len(blocks) + 1) * period]:
            start = at + len(blocks) * period
            blocks.append(found[start : start + period])
            if not _continues(blocks, found, flat):
                blocks.pop()
                break
        if len(blocks) > 1:
            runs.append((period, len(blocks)))
    return runs


def _continues(blocks: list[list[Cell]], found: list[Cell], flat: Flat) -> bool:
    """Say whether the last block does with the results of the one before what that does with its own inputs."""
    (entries, wiring), (others, same) = _wiring(blocks[-2]), _wiring(blocks[-1])
    if wiring != same or [flat.shapes[value] for value in entries] != [flat.shapes[value] for value in others]:
        return False
    made = _made(blocks[-2])
    if any(value not in made for value in others):
        return False
    if len(blocks) > 2 and [made[value] for value in others] != [_made(blocks[-3])[value] for value in entries]:
        return False
    inside = {id(cell) for block in blocks[-2:] for cell in block}
    outside = {value for cell in found if id(cell) not in inside for value in cell.inputs}
    return outside.union(flat.outputs).isdisjoint(made)


def _made(block: Sequence[Cell]) -> dict[int, tuple[int, int]]:
    """Return which result of which cell each value of a block is."""
    return {value: (at, port) for at, cell in enumerate(block) for port, value in enumerate(cell.results)}


def _wiring(block: Sequence[Cell]) -> tuple[list[int], list[object]]:
    """Return the values that a block reads from outside, and what each of its cells reads, in numbers of its own."""
    made, entries, wiring = _made(block), list[int](), list[object]()
    for cell in block:
        for value in cell.inputs:
            if value not in made and value not in entries:
                entries.append(value)
        wiring.append([made.get(value) or entries.index(value) for value in cell.inputs])
    return entries, wiring


def _repeat(blocks: list[list[Cell]], found: list[Cell], flat: Flat) -> Cell:
    """Return the cell of blocks that repeat; its first results are those that go round, in the order of its inputs."""
    first, last = blocks[0], blocks[-1]
    inside = {id(cell) for cell in last}
    read = {value for cell in found if id(cell) not in inside for value in cell.inputs}.union(flat.outputs)
    made = _made(first)
    entries = {made[value]: entry for value, entry in zip(_wiring(blocks[1])[0], _wiring(first)[0])}
    round_, others = sorted(entries), [place for value, place in _made(last).items() if value in read]
    places = list(dict.fromkeys([*round_, *others]))
    atoms = tuple([atom for block in blocks for cell in block for atom in cell.atoms])
    results, ends = [tuple([block[at].results[port] for at, port in places]) for block in (last, first)]
    inputs = tuple([entries[place] for place in round_])
    return Cell("repeat", atoms, inputs, results, len(blocks), inner=tuple(first), ends=ends)


def prefix(cell: Cell) -> str:
    """Return what the paths of a repeat begin with: `stage3`."""
    paths = [atom.path for atom in cell.atoms if atom.node.labelled]
    return words.common_start(paths).rstrip("_.") if paths else ""
