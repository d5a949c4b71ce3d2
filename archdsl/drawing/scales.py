"""Boxes in rows by the size of their maps: halved maps lower down, and time from left to right.

So a U-Net is a U with its skips across, a pyramid has its way down on the left and its way up beside it, and the
branches of an HRNet run side by side. Boxes of one size that follow one another without a branch stand in one stack; a
stack stands below, or above, the one that it comes from where it can, or else to the right of all that it reads from.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.drawing.layers import ABOVE, BELOW, LABEL, Plan, shifted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.drawing.layers import Link, Path, Point, Request

GUTTER, TRACK = 26.0, 7.0  # between columns, and between wires that run in one
ROW = 20.0  # between rows
APART = 12.0  # between stacks of one cell


class Levels(Record):
    """How often the map of each box has been halved, and whether the box joins several."""

    of: tuple[int, ...]
    joins: tuple[bool, ...]


def placed(request: Request, levels: Levels) -> Plan:
    """Return where boxes stand and wires run."""
    grid = _Grid(request, levels)
    grid.assign(upright=True)
    if any(len(stacks) > 1 for stacks in grid.cells.values()):
        grid.assign(upright=False)  # maps of several sizes side by side: each step of time is a column
    _turn(grid)
    _stand(grid)
    return _drawn(grid)


class _Stack:
    """Boxes of one column and row; with `rising`, the first is the lowest."""

    def __init__(self, boxes: list[int], row: int) -> None:
        self.boxes, self.row, self.column = boxes, row, 0
        self.rising = False


class _Grid:
    """Stacks in columns and rows, while they are placed."""

    def __init__(self, request: Request, levels: Levels) -> None:
        self.request, self.levels, self.sizes, self.links = request, levels, request.sizes, request.links
        self.before: list[list[int]] = [[] for _ in self.sizes]
        self.after: list[list[int]] = [[] for _ in self.sizes]
        for link in self.links:
            if link.source not in self.before[link.target]:
                self.before[link.target].append(link.source)
                self.after[link.source].append(link.target)
        rows = sorted(set(levels.of))
        self.row_of = [rows.index(level) for level in levels.of]
        self.stacks: list[_Stack] = []
        self.stack_of: list[_Stack] = []
        self._collect()
        self.cells: dict[tuple[int, int], list[_Stack]] = {}
        self.place: list[Point] = [(0.0, 0.0)] * len(self.sizes)
        self.lefts: list[float] = []  # of columns
        self.widths: list[float] = []

    # ------------------------------------------------------------ stacks
    def _collect(self) -> None:
        """Put boxes into stacks."""
        deep = self._deepest()
        found: dict[int, _Stack] = {}
        for box in range(len(self.sizes)):
            ends = [u for u in self.before[box] if found[u].boxes[-1] == u and self._follows(u, box, deep)]
            stack = found[ends[0]] if ends else None
            if stack is not None and self._has_room(stack, box):
                stack.boxes.append(box)
            else:
                stack = _Stack([box], self.row_of[box])
                rows = [self.row_of[u] for u in self.before[box]]
                stack.rising = bool(rows) and max(rows) > stack.row
                self.stacks.append(stack)
            found[box] = stack
        self.stack_of = [found[box] for box in range(len(self.sizes))]
        self.stacks = list(self._along(self.stacks))

    def _along(self, stacks: Sequence[_Stack]) -> Iterator[_Stack]:
        """Yield stacks so that each comes after all that it reads from."""
        readers: dict[int, list[_Stack]] = {}
        missing: dict[int, int] = {}
        for stack in stacks:
            sources = {id(s) for box in stack.boxes for u in self.before[box] if (s := self.stack_of[u]) is not stack}
            missing[id(stack)] = len(sources)
            for source in sources:
                readers.setdefault(source, []).append(stack)
        ready = [stack for stack in reversed(stacks) if not missing[id(stack)]]
        while ready:
            stack = ready.pop()
            yield stack
            for reader in readers.get(id(stack), ()):
                missing[id(reader)] -= 1
                if not missing[id(reader)]:
                    ready.append(reader)

    def _deepest(self) -> list[int]:
        """Return for each box the lowest row that can be reached from it without going up."""
        deep = list(self.row_of)
        for box in reversed(range(len(self.sizes))):
            below = [deep[v] for v in self.after[box] if self.row_of[v] >= self.row_of[box]]
            deep[box] = max([deep[box], *below])
        return deep

    def _follows(self, u: int, box: int, deep: list[int]) -> bool:
        """Say whether a box stands in the stack of one that it reads from."""
        row = self.row_of[box]
        if self.row_of[u] != row:
            return False
        beside = [v for v in self.after[u] if v != box and self.row_of[v] == row]
        if len(self.before[box]) == 1:
            return self.after[u] == [box] or (deep[box] > row and all(deep[v] == row for v in beside))
        changing = [v for v in self.before[box] if any(self.row_of[w] != self.row_of[v] for w in self.before[v])]
        return self.after[u] == [box] and self.levels.joins[box] and changing == [u]

    def _has_room(self, stack: _Stack, box: int) -> bool:
        """Say whether a stack takes one more: one that rises to a join ends there, or after what leads on from it."""
        joins = [at for at, each in enumerate(stack.boxes) if self.levels.joins[each]]
        if not joins or not stack.rising:
            return True
        return len(stack.boxes) - joins[0] < 2 and any(self.after[v] for v in self.after[box])

    # ------------------------------------------------------------ columns
    def assign(self, upright: bool) -> None:
        """Give each stack a column; with `upright`, the one that it comes from may be in the same."""
        self.cells = {}
        for stack in self.stacks:
            sources = {
                id(s): s for box in stack.boxes for u in self.before[box] if (s := self.stack_of[u]) is not stack
            }
            column = max([source.column for source in sources.values()], default=0)
            while not self._free(stack, column, list(sources.values()), upright):
                column += 1
            stack.column = column
            self.cells.setdefault((column, stack.row), []).append(stack)

    def _free(self, stack: _Stack, column: int, sources: list[_Stack], upright: bool) -> bool:
        above = [source for source in sources if source.column >= column]
        if not above:
            return True
        (source, *others) = above
        rows = range(min(source.row, stack.row), max(source.row, stack.row) + 1)
        between = [self.cells.get((column, row), []) for row in rows]
        alone = not others and source.row != stack.row and upright
        return alone and sum(map(len, between)) == 1 and self.upright(source, stack)

    def upright(self, source: _Stack, target: _Stack) -> bool:
        """Say whether a wire can lead from the end of one stack straight to the start of the next."""
        down = target.row > source.row
        return (
            target.boxes[0] in self.after[source.boxes[-1]]
            and target.rising is not down
            and (source.rising is not down or len(source.boxes) == 1)
        )

    def straight(self, link: Link) -> bool:
        """Say whether a wire runs up or down in one column, from a stack to the next or within one."""
        one, other = self.stack_of[link.source], self.stack_of[link.target]
        if one is other:
            return True
        ends = link.source == one.boxes[-1] and link.target == other.boxes[0]
        return ends and one.column == other.column and one.row != other.row


def _turn(grid: _Grid) -> None:
    """Put what stands lowest between the way down and the way up."""
    lowest = [stack for stack in grid.stacks if stack.row == max(grid.row_of)]
    if len(lowest) != 1:
        return
    (stack,) = lowest
    nexts = [grid.stack_of[v].column for v in grid.after[stack.boxes[-1]] if grid.stack_of[v] is not stack]
    if nexts and min(nexts) - stack.column >= 2:
        stack.column += (min(nexts) - stack.column) // 2


# -------------------------------------------------------------------------------------------------- coordinates
def _stand(grid: _Grid) -> None:
    """Say where each box stands: columns as wide as their boxes, wires with labels between, rows on one line."""
    columns = max(stack.column for stack in grid.stacks) + 1
    x = 0.0
    for column in range(columns):
        boxes = [box for stack in grid.stacks if stack.column == column for box in stack.boxes]
        width = max([grid.sizes[box][0] for box in boxes], default=0.0)
        grid.lefts.append(x)
        grid.widths.append(width)
        x += width + _gutter(grid, column)
    y = 0.0
    for row in range(max(grid.row_of) + 1):
        stacks = [stack for stack in grid.stacks if stack.row == row]
        cells = {column: [stack for stack in stacks if stack.column == column] for column in range(columns)}
        spans = {column: _span(grid, found) for column, found in cells.items() if found}
        line = y + max([up for up, _ in spans.values()])
        for column, (up, _) in spans.items():
            _set(grid, cells[column], line - up)
        y = line + max([down for _, down in spans.values()]) + ROW + LABEL + TRACK * len(_crossing(grid, row))


def _gutter(grid: _Grid, column: int) -> float:
    """Return how wide the space after a column is: for the labels of what leaves it, and the wires that turn in it."""
    leaving = [link for link in grid.links if grid.stack_of[link.source].column == column and not grid.straight(link)]
    labels = [link.label + 14 for link in leaving]
    return max([GUTTER, *labels]) + TRACK * len({link.source for link in leaving})


def _crossing(grid: _Grid, row: int) -> list[int]:
    """Return the wires that run below a row because boxes stand in their way."""
    return [
        number
        for number, link in enumerate(grid.links)
        if not grid.straight(link) and _way(grid, link) == "below" and grid.row_of[link.target] == row
    ]


def _way(grid: _Grid, link: Link) -> str:
    """Say in which row a wire runs to its column: that of its `target`, that of its `source`, or `below`."""
    one, other = grid.stack_of[link.source], grid.stack_of[link.target]
    columns = range(one.column + 1, other.column)
    for row, name in ((other.row, "target"), (one.row, "source")):
        if not any(stack.row == row and stack.column in columns for stack in grid.stacks):
            return name
    return "below"


def _span(grid: _Grid, stacks: list[_Stack]) -> Point:
    """Return how far the boxes of a cell reach above and below the line of their row."""
    total = sum([_height(grid, stack) for stack in stacks]) + APART * (len(stacks) - 1)
    if len(stacks) > 1:
        return total / 2, total / 2
    (stack,) = stacks
    anchor = _anchor(grid, stack)
    y = 0.0
    for box, gap in _listed(grid, stack):
        if box == anchor:
            middle = y + grid.sizes[box][1] / 2
            return middle, total - middle
        y += grid.sizes[box][1] + gap
    return total / 2, total / 2


def _anchor(grid: _Grid, stack: _Stack) -> int:
    """Return the box of a stack on the line of its row: where something comes in from the side, or leaves."""
    for box in stack.boxes:
        if any(grid.stack_of[u] is not stack and grid.row_of[u] == stack.row for u in grid.before[box]):
            return box
    for box in stack.boxes:
        if any(grid.stack_of[v] is not stack and grid.row_of[v] == stack.row for v in grid.after[box]):
            return box
    return stack.boxes[0]


def _listed(grid: _Grid, stack: _Stack) -> Iterator[tuple[int, float]]:
    """Yield the boxes of a stack from the top, each with the gap below it."""
    boxes = stack.boxes[::-1] if stack.rising else stack.boxes
    for at, box in enumerate(boxes):
        if at + 1 == len(boxes):
            yield box, 0.0
            return
        ends = {box, boxes[at + 1]}
        label = any({link.source, link.target} == ends and link.label for link in grid.links)
        yield box, ABOVE + BELOW + (LABEL if label else 0)


def _height(grid: _Grid, stack: _Stack) -> float:
    return sum([grid.sizes[box][1] + gap for box, gap in _listed(grid, stack)])


def _set(grid: _Grid, stacks: list[_Stack], y: float) -> None:
    for stack in stacks:
        left, width = grid.lefts[stack.column], grid.widths[stack.column]
        for box, gap in _listed(grid, stack):
            grid.place[box] = left + (width - grid.sizes[box][0]) / 2, y
            y += grid.sizes[box][1] + gap
        y += APART


# -------------------------------------------------------------------------------------------------- wires
def _drawn(grid: _Grid) -> Plan:
    tracks: dict[int, list[int]] = {}
    below: dict[int, int] = {}
    paths: list[Path] = []
    labels: list[Point | None] = []
    for link in grid.links:
        if grid.straight(link):
            path = _upright(grid, link)
            labels.append((path[0][0] + 5, _beside(path)) if link.label else None)
        else:
            used = tracks.setdefault(grid.stack_of[link.source].column, [])
            if link.source not in used:
                used.append(link.source)
            path = _across(grid, link, used.index(link.source), below)
            labels.append((path[0][0] + 5, path[0][1] - 4) if link.label else None)
        paths.append(path)
    lowest = [y + height for (_, y), (_, height) in zip(grid.place, grid.sizes)]
    height = max(lowest + [y + BELOW for path in paths for _, y in path[1:-1]])
    return shifted(Plan(0, height, tuple(grid.place), tuple(paths), tuple(labels)), grid.request)


def _beside(path: Path) -> float:
    """Return the base line of a label beside the start of a wire that leads up or down."""
    (_, start), (_, end) = path[0], path[-1]
    return start + LABEL if end > start else start - 5


def _upright(grid: _Grid, link: Link) -> Path:
    """Return a wire from the edge of one box to the edge that faces it."""
    (left, top), (_, height) = grid.place[link.source], grid.sizes[link.source]
    (other, lower), (_, lower_height) = grid.place[link.target], grid.sizes[link.target]
    start = (left + link.start, top + height if lower > top else top)
    end = (other + link.end, lower if lower > top else lower + lower_height)
    if abs(start[0] - end[0]) < 1:
        return start, end
    middle = (start[1] + end[1]) / 2
    return start, (start[0], middle), (end[0], middle), end


def _across(grid: _Grid, link: Link, track: int, below: dict[int, int]) -> Path:
    """Return a wire from the right of one box to the left of another, through the spaces between columns."""
    (left, top), (width, height) = grid.place[link.source], grid.sizes[link.source]
    (end, other), (_, other_height) = grid.place[link.target], grid.sizes[link.target]
    start, stop = (left + width, top + height / 2), (end, other + other_height / 2)
    column, last = grid.stack_of[link.source].column, grid.stack_of[link.target].column
    gutter = grid.lefts[column + 1] - 12 - TRACK * track if column + 1 < len(grid.lefts) else start[0] + 12
    final = grid.lefts[last] - 12 - TRACK * track
    way = _way(grid, link)
    if abs(start[1] - stop[1]) < 1 and way != "below":
        return start, stop
    if way == "target":
        return start, (gutter, start[1]), (gutter, stop[1]), stop
    if way == "source":
        return start, (final, start[1]), (final, stop[1]), stop
    row = grid.stack_of[link.target].row
    below[row] = below.get(row, 0) + 1
    bottom = max([grid.place[b][1] + grid.sizes[b][1] for b in range(len(grid.sizes)) if grid.row_of[b] == row])
    y = bottom + LABEL + TRACK * below[row]
    return start, (gutter, start[1]), (gutter, y), (final, y), (final, stop[1]), stop
