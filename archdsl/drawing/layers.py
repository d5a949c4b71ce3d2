"""Boxes in rows from top to bottom, so that wires lead down: where each box stands, and how each wire runs.

Boxes that follow one another without a branch are a stack, and a stack stands one row below the last of those that it
reads from (Sugiyama et al., 1981, doi:10.1109/TSMC.1981.4308636). Within a row, stacks are ordered by those that they
are wired to, and placed as near below them as the row allows: a least-squares problem with an order, solved exactly by
pooling neighbours. A wire that passes by a path between the same two boxes, as the skip of a residual block does, runs
in a lane beside it.
"""

from __future__ import annotations

from collections import Counter
from math import fsum

from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Point = tuple[float, float]
    Path = tuple[Point, ...]

BETWEEN = 20  # pixels between two boxes of a row
LANE = 13  # between lanes, and between a lane and a box
TRACK = 7  # between wires that run sideways between two rows
LABEL = 14  # the height of a shape on a wire
ABOVE, BELOW = 9, 11  # what a wire runs straight after a box, and before one
SWEEPS = 12


class Link(Record):
    """A wire to be run: how far from the left of both boxes it starts and ends, the width of its label (0: none)."""

    source: int
    target: int
    start: float
    end: float
    label: float = 0


class Plan(Record):
    """Where boxes stand (left, top), how wires run (a corner each), and where labels start (left, base line)."""

    width: float
    height: float
    boxes: tuple[Point, ...]
    paths: tuple[Path, ...]
    labels: tuple[Point | None, ...]


class Request(Record):
    """What is to be placed: the sizes of boxes, wires to boxes of higher numbers, the boxes of the last row.

    Those that are `first` stand in the first, and `side` are boxes beside the trunk, as the heads of training are.
    """

    sizes: tuple[Point, ...]
    links: tuple[Link, ...]
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    side: frozenset[int] = frozenset()


def placed(request: Request) -> Plan:
    """Return where boxes stand and wires run."""
    grid = _Grid(request)
    _order(grid)
    _place_all(grid)
    grid.lanes = _lanes(grid)
    _stand(grid)
    return _drawn(grid)


def rows(request: Request) -> list[list[Sequence[int]]]:
    """Return the stacks of each row, from left to right."""
    grid = _Grid(request)
    _order(grid)
    return [[item.boxes for item in row if item.boxes] for row in grid.rows]


def breadth(count: int, ends: Sequence[tuple[int, int]]) -> int:
    """Return the most boxes that stand side by side."""
    rows = [0] * count
    for source, target in sorted(ends, key=lambda end: end[1]):
        rows[target] = max(rows[target], rows[source] + 1)
    return max(Counter(rows).values(), default=0)


# -------------------------------------------------------------------------------------------------- stacks and rows
class _Item:
    """A stack in its row, or the place where a long wire passes a row; `left` and `right` of its x is its own."""

    def __init__(self, boxes: Sequence[int] = (), left: float = 4, right: float = 4, height: float = 0) -> None:
        self.boxes, self.left, self.right, self.height = boxes, left, right, height
        self.x, self.order = 0.0, 0.0
        self.above: list[_Part] = []
        self.below: list[_Part] = []


class _Part:
    """A wire from one row to the next: how far from the x of both items it starts and ends."""

    def __init__(self, upper: _Item, lower: _Item, start: float = 0, end: float = 0, weight: float = 1) -> None:
        self.upper, self.lower, self.start, self.end, self.weight = upper, lower, start, end, weight
        self.track = 0
        upper.below.append(self)
        lower.above.append(self)

    @property
    def bends(self) -> bool:
        return abs(self.upper.x + self.start - self.lower.x - self.end) >= 1


class _Lane:
    """A wire beside the rows: on which side, how far out, and whether it leaves and enters at the side of its boxes."""

    def __init__(self, number: int, rows: Point, right: bool, direct: tuple[bool, bool]) -> None:
        self.number, self.rows, self.right, self.direct = number, rows, right, direct
        self.x = 0.0


class _Grid:
    """Rows of items, while they are placed."""

    def __init__(self, request: Request) -> None:
        self.request, self.sizes, self.links = request, request.sizes, request.links
        self.skips = _skips(len(self.sizes), self.links)
        self.left = [0.0] * len(self.sizes)  # of each box, from the x of its item
        self.top = [0.0] * len(self.sizes)  # of each box, from the top of its item; then from the top of all
        self.inner: set[int] = set()  # links within a stack
        self.item_of: list[_Item] = []
        self.out: list[list[int]] = [[] for _ in self.sizes]
        self.into: list[list[int]] = [[] for _ in self.sizes]
        for number, link in enumerate(self.links):
            self.out[link.source].append(number)
            self.into[link.target].append(number)
        self.items = self._stacks()
        self.row_of = self._rows()
        self.rows: list[list[_Item]] = [[] for _ in range(max(self.row_of.values(), default=0) + 1)]
        self.parts: dict[int, list[_Part]] = {}
        self.lanes: list[_Lane] = []
        self.tops: list[float] = []
        self.bottoms: list[float] = []
        self._fill()

    def labelled(self, box: int) -> bool:
        """Say whether the shape of what a box makes is written below it."""
        return any(self.links[number].label for number in self.out[box])

    def _stacks(self) -> list[_Item]:
        """Put boxes that follow one another without a branch into one item."""
        count = len(self.sizes)
        following = {}
        for number, link in enumerate(self.links):
            if len(self.out[link.source]) == len(self.into[link.target]) == 1:
                following[link.source] = number
                self.inner.add(number)
        inner = {self.links[number].target for number in following.values()}
        made: dict[int, _Item] = {}
        items = []
        for box in range(count):
            if box not in inner:
                item = self._stack(box, following)
                items.append(item)
                made.update(dict.fromkeys(item.boxes, item))
        self.item_of = [made[box] for box in range(count)]
        return items

    def _stack(self, box: int, following: dict[int, int]) -> _Item:
        ends = [self.links[number].end for number in self.into[box]]
        starts = [self.links[number].start for number in self.out[box]]
        self.left[box] = -(ends or starts or [self.sizes[box][0] / 2])[0]
        boxes, y = [box], self.sizes[box][1]
        while box in following:
            link = self.links[following[box]]
            y += ABOVE + BELOW + (LABEL if link.label else 0)
            self.left[link.target] = self.left[box] + link.start - link.end
            box = link.target
            self.top[box] = y
            y += self.sizes[box][1]
            boxes.append(box)
        rights = [self.left[box] + self.sizes[box][0] for box in boxes]
        leaving = [self.links[number] for box in boxes for number in self.out[box]]
        rights += [self.left[link.source] + link.start + link.label + 9 for link in leaving]
        return _Item(boxes, -min([self.left[box] for box in boxes]), max(rights), y)

    def _rows(self) -> dict[int, int]:
        """Return the row of each item: below all that it reads from; what reads nothing, just above its reader."""
        sources: dict[int, list[_Item]] = {id(item): [] for item in self.items}
        readers: dict[int, list[_Item]] = {id(item): [] for item in self.items}
        for number, link in enumerate(self.links):
            if number not in self.inner:
                upper, lower = self.item_of[link.source], self.item_of[link.target]
                sources[id(lower)].append(upper)
                readers[id(upper)].append(lower)
        first = {id(self.item_of[box]) for box in self.request.first}
        late = [item for item in self.items[1:] if not sources[id(item)] and id(item) not in first]
        for item in late:
            sources[id(item)].append(self.items[0])  # below where the inputs come in
        rows: dict[int, int] = {}
        for item in self.items:  # in the order of their first boxes: nothing is read that comes later
            rows[id(item)] = max([rows[id(upper)] + 1 for upper in sources[id(item)]], default=0)
        for item in late:
            rows[id(item)] = min([rows[id(lower)] for lower in readers[id(item)]], default=1) - 1
        bottom = max(rows.values(), default=0)
        rows.update({id(self.item_of[box]): bottom for box in self.request.last})
        return rows

    def _fill(self) -> None:
        """Put stacks and passing wires into rows, in the order in which a walk from the top meets them."""
        following: dict[int, list[int]] = {}
        for number, link in enumerate(self.links):
            if number not in self.skips and number not in self.inner:
                following.setdefault(id(self.item_of[link.source]), []).append(number)
        seen: set[int] = set()
        waiting: list[tuple[_Item, int | None]] = [(item, None) for item in reversed(self.items)]
        while waiting:
            item, wire = waiting.pop()
            if wire is not None:
                self._pass(wire)
            if id(item) not in seen:
                seen.add(id(item))
                self.rows[self.row_of[id(item)]].append(item)
                onward = reversed(following.get(id(item), []))
                waiting += [(self.item_of[self.links[each].target], each) for each in onward]

    def _pass(self, number: int) -> None:
        """Lead a wire from row to row."""
        link = self.links[number]
        upper, lower = self.item_of[link.source], self.item_of[link.target]
        start, end = self.left[link.source] + link.start, self.left[link.target] + link.end
        weight = 0.02 if link.target in self.request.side else 1.0
        parts = self.parts[number] = []
        for row in range(self.row_of[id(upper)] + 1, self.row_of[id(lower)]):
            item = _Item()
            self.rows[row].append(item)
            parts.append(_Part(upper, item, start, 0, weight))
            upper, start = item, 0.0
        parts.append(_Part(upper, lower, start, end, weight))


def _skips(count: int, links: Sequence[Link]) -> set[int]:
    """Return the wires that pass by another path between their ends."""
    reach = [0] * count  # the boxes that can be reached from each, as bits
    following: dict[int, set[int]] = {}
    for link in sorted(links, key=lambda link: -link.source):
        reach[link.source] |= reach[link.target] | 1 << link.target
        following.setdefault(link.source, set()).add(link.target)
    return {
        number
        for number, link in enumerate(links)
        if any(reach[near] >> link.target & 1 for near in following[link.source] if near != link.target)
    }


# -------------------------------------------------------------------------------------------------- order and place
def _order(grid: _Grid) -> None:
    """Order each row by the middle of what its items are wired to, and keep the order with the fewest crossings."""
    best, kept = _crossings(grid), [list(row) for row in grid.rows]
    for sweep in range(6):
        if not best:
            break
        down = sweep % 2 == 0
        for row in grid.rows if down else reversed(grid.rows):
            row.sort(key=lambda item: _middle(item, down))
            for at, item in enumerate(row):
                item.order = float(at)
        found = _crossings(grid)
        if found < best:
            best, kept = found, [list(row) for row in grid.rows]
    grid.rows = kept


def _middle(item: _Item, down: bool) -> float:
    near = [part.upper.order for part in item.above] if down else [part.lower.order for part in item.below]
    return sum(near) / len(near) if near else item.order


def _crossings(grid: _Grid) -> int:
    for row in grid.rows:
        for at, item in enumerate(row):
            item.order = float(at)
    total = 0
    for row in grid.rows:
        ends = sorted([(item.order, part.lower.order) for item in row for part in item.below])
        for at, (_, lower) in enumerate(ends):
            total += sum([other < lower for _, other in ends[at + 1 :]])
    return total


def _place_all(grid: _Grid) -> None:
    """Place the items of each row near those that they are wired to, above and below in turn, and then both."""
    for row in grid.rows:
        x = 0.0
        for item in row:
            item.x = x + item.left
            x = item.x + item.right + BETWEEN
    if all(len(row) == 1 for row in grid.rows):
        for row in grid.rows[1:]:
            _place(row, True, False)
        return
    for sweep in range(SWEEPS):
        for row in grid.rows if sweep % 2 == 0 else reversed(grid.rows):
            both = sweep >= SWEEPS - 4
            _place(row, both or sweep % 2 == 0, both or sweep % 2 == 1)
    for row in grid.rows:
        _straighten(row)


def _place(row: list[_Item], above: bool, below: bool) -> None:
    """Move the items of a row to where they want to be, as near as the others allow (isotonic regression)."""
    pools: list[list[float]] = []  # weight, sum of weighted places, how many
    offset, offsets = 0.0, []
    for at, item in enumerate(row):
        if at:
            offset += row[at - 1].right + item.left + _gap(row[at - 1], item)
        offsets.append(offset)
        wanted, weight = _wanted(item, above, below)
        pools.append([weight, (wanted - offset) * weight, 1])
        while len(pools) > 1 and pools[-2][1] / pools[-2][0] >= pools[-1][1] / pools[-1][0]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last)]
    at = 0
    for weight, total, count in pools:
        for _ in range(int(count)):
            row[at].x = total / weight + offsets[at]
            at += 1


def _gap(one: _Item, other: _Item) -> float:
    return BETWEEN if one.boxes and other.boxes else LANE


def _wanted(item: _Item, above: bool, below: bool) -> Point:
    """Return where an item wants to be, and how much: in the middle of what it is wired to, where it is if nothing."""
    near = [(part.upper.x + part.start - part.end, part.weight) for part in item.above] if above else []
    if below:
        near += [(part.lower.x + part.end - part.start, part.weight) for part in item.below]
    if not near:
        return item.x, 0.01
    heaviest = max([weight for _, weight in near])
    near = [(x, weight) for x, weight in near if weight == heaviest]
    return fsum([x for x, _ in near]) / len(near), heaviest * len(near)  # `sum` differs among versions of Python


def _straighten(row: list[_Item]) -> None:
    """Put an item exactly below the only one above that has only it below, where there is room."""
    for at, item in enumerate(row):
        above = [part for part in item.above if part.weight == 1]
        if len(above) != 1 or len([part for part in above[0].upper.below if part.weight == 1]) != 1:
            continue
        x = above[0].upper.x + above[0].start - above[0].end
        low = row[at - 1].x + row[at - 1].right + _gap(row[at - 1], item) + item.left if at else x
        high = row[at + 1].x - row[at + 1].left - _gap(item, row[at + 1]) - item.right if at + 1 < len(row) else x
        if low <= x <= high:
            item.x = x


# -------------------------------------------------------------------------------------------------- lanes and heights
def _lanes(grid: _Grid) -> list[_Lane]:
    """Choose a lane for each wire that passes by others, short ones first, so that long ones run outside of them."""
    lanes: list[_Lane] = []
    rows_of = [grid.row_of[id(item)] for item in grid.item_of]
    spans = {number: (rows_of[grid.links[number].source], rows_of[grid.links[number].target]) for number in grid.skips}
    for number in sorted(grid.skips, key=lambda each: (spans[each][1] - spans[each][0], each)):
        link, rows = grid.links[number], spans[number]
        ends = [(grid.rows[row], grid.item_of[box]) for row, box in zip(rows, (link.source, link.target))]
        rightmost = [row[-1] is item for row, item in ends]
        leftmost = [row[0] is item for row, item in ends]
        crowd = [sum(lane.right is side and _overlap(lane.rows, rows) for lane in lanes) for side in (True, False)]
        right = sum(rightmost) - crowd[0] / 4 >= sum(leftmost) - crowd[1] / 4
        at = rightmost if right else leftmost
        lane = _Lane(number, rows, right, (at[0] and not link.label, at[1]))  # a label has its place below a box
        lane.x = _beside(grid, lanes, lane)
        lanes.append(lane)
    return lanes


def _overlap(one: Point, other: Point) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _beside(grid: _Grid, lanes: list[_Lane], lane: _Lane) -> float:
    """Return where a lane runs: outside of all boxes of its rows, and of the lanes that were chosen before."""
    rows = [row for row in grid.rows[int(lane.rows[0]) : int(lane.rows[1]) + 1] if row]
    others = [other.x for other in lanes if other.right is lane.right and _overlap(other.rows, lane.rows)]
    if lane.right:
        return max([*[row[-1].x + row[-1].right for row in rows], *others]) + LANE
    return min([*[row[0].x - row[0].left for row in rows], *others]) - LANE


def _stand(grid: _Grid) -> None:
    """Say how high each row is, and where its boxes stand."""
    leaving = [
        row for lane in grid.lanes for row, direct in zip((lane.rows[0], lane.rows[1] - 1), lane.direct) if not direct
    ]
    y = 0.0
    for at, row in enumerate(grid.rows):
        height = max([item.height for item in row], default=0)
        grid.tops.append(y)
        grid.bottoms.append(y + height)
        for item in row:
            share = _share(item, grid.request)
            for box in item.boxes:
                grid.top[box] += y + (height - item.height) * share
        y += height + _label_below(grid, row) + ABOVE + TRACK * max(_tracks(row) - 1, 0) + BELOW
        y += TRACK * leaving.count(at)


def _share(item: _Item, request: Request) -> float:
    """Return how much of the height that a stack leaves in its row is above it.

    What leaves at the bottom does so below all that stands beside it, and what comes in at the top does so above it.
    """
    if item.boxes and item.boxes[-1] in request.last:
        return 1
    return 0 if item.boxes and item.boxes[0] in request.first else 1 / 2


def _label_below(grid: _Grid, row: list[_Item]) -> float:
    return LABEL if any(item.boxes and grid.labelled(item.boxes[-1]) for item in row) else 0


def _tracks(row: list[_Item]) -> int:
    """Give wires that run sideways below a row tracks, so that none runs over another; return how many there are."""
    groups: dict[tuple[str, int], list[_Part]] = {}
    for item in row:
        for part in item.below:
            if part.bends:
                joins = len(part.lower.above) > 1 and len(item.below) == 1
                groups.setdefault(("in", id(part.lower)) if joins else ("out", id(item)), []).append(part)
    taken: list[list[Point]] = []
    spans = {
        key: [x for part in parts for x in (part.upper.x + part.start, part.lower.x + part.end)]
        for key, parts in groups.items()
    }
    for key, parts in sorted(groups.items(), key=lambda each: min(spans[each[0]])):
        low, high = min(spans[key]) - 3, max(spans[key]) + 3
        track = next((at for at, each in enumerate(taken) if all(high < a or b < low for a, b in each)), len(taken))
        if track == len(taken):
            taken.append([])
        taken[track].append((low, high))
        for part in parts:
            part.track = track
    return len(taken)


# -------------------------------------------------------------------------------------------------- wires
def _drawn(grid: _Grid) -> Plan:
    """Return the plan, with the leftmost thing at 0."""
    lanes = {lane.number: lane for lane in grid.lanes}
    boxes = [(item.x + left, top) for item, left, top in zip(grid.item_of, grid.left, grid.top)]
    paths = []
    for number, link in enumerate(grid.links):
        start = boxes[link.source][0] + link.start, boxes[link.source][1] + grid.sizes[link.source][1]
        end = boxes[link.target][0] + link.end, boxes[link.target][1]
        if number in lanes:
            paths.append(_around(grid, lanes[number], boxes))
        elif number in grid.inner:
            paths.append((start, (start[0], end[1])))
        else:
            paths.append((start, *_between(grid, number), end))
    labels = [
        (boxes[link.source][0] + link.start + 5, boxes[link.source][1] + grid.sizes[link.source][1] + LABEL)
        if link.label
        else None
        for link in grid.links
    ]
    return shifted(Plan(0, grid.bottoms[-1], tuple(boxes), tuple(paths), tuple(labels)), grid.request)


def _between(grid: _Grid, number: int) -> list[Point]:
    """Return the corners of a wire between its first row and its last."""
    points = []
    row = grid.row_of[id(grid.item_of[grid.links[number].source])]
    for part in grid.parts[number]:
        if part.bends:
            y = grid.bottoms[row] + _label_below(grid, grid.rows[row]) + ABOVE + TRACK * part.track
            points += [(part.upper.x + part.start, y), (part.lower.x + part.end, y)]
        row += 1
    return points


def _around(grid: _Grid, lane: _Lane, boxes: list[Point]) -> Path:
    """Return the corners of a wire in a lane."""
    link = grid.links[lane.number]
    corners = []
    for end, box in enumerate((link.source, link.target)):
        (left, top), (width, height) = boxes[box], grid.sizes[box]
        if lane.direct[end]:
            y = top + height / 2
            stops = [(left + width if lane.right else left, y), (lane.x, y)]
        else:
            x = left + (link.end if end else link.start)
            x += 0 if link.label and not end else 8 if lane.right else -8
            row = int(lane.rows[end])
            y = grid.tops[row] - BELOW + 3 if end else grid.tops[row + 1] - BELOW
            stops = [(x, top if end else top + height), (x, y), (lane.x, y)]
        corners += stops[::-1] if end else stops
    return tuple(corners)


def shifted(plan: Plan, request: Request) -> Plan:
    """Return a plan that starts at 0 and is as wide as what is in it."""
    xs = [x for path in plan.paths for x, _ in path] + [x for x, _ in plan.boxes]
    left = min(xs, default=0.0)
    rights = xs + [x + width for (x, _), (width, _) in zip(plan.boxes, request.sizes)]
    rights += [place[0] + link.label for place, link in zip(plan.labels, request.links) if place]
    return Plan(
        max(rights, default=0.0) - left,
        plan.height,
        tuple([(x - left, y) for x, y in plan.boxes]),
        tuple([tuple([(x - left, y) for x, y in path]) for path in plan.paths]),
        tuple([place and (place[0] - left, place[1]) for place in plan.labels]),
    )
