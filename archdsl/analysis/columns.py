"""Draws tables: every command's, of steps or of anything else.

`rich` would take 60 ms to import, where a check takes 80, and 1.5 ms a row, where a network may have 10,000.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.diagnostics import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from archdsl.analysis.rows import Row
    from archdsl.core.sizes import Shape

    Line = tuple[str, ...]

WIDEST = 40  # characters of what a step applies
NARROWEST = 14  # of the same, where a line is short
OPERATION = "operation"  # the column that holds it
BETWEEN = 3  # spaces


class View(Record):
    """How a table is shown: the columns and the depth that were asked for, and how wide a line may be.

    Without a width, as in a file or a pipe, a table is as wide as it needs. What is asked for may be a column of
    `another` table that is printed beside this one; one without any of the columns is shown as it is.
    """

    columns: tuple[str, ...] = ()
    depth: int | None = None
    width: int | None = None
    another: tuple[str, ...] = ()

    def rows(self, rows: Iterable[Row[Any]]) -> Iterable[Row[Any]]:
        """Return the rows that are shown; a block has the figures of all that is in it, so that nothing is lost."""
        depth = self.depth
        return rows if depth is None else (row for row in rows if row.depth < depth)


WHOLE = View()


class Grid(Record):
    """A table that is not drawn yet: a title, the first `left` columns names, the others figures, and notes below.

    The columns of `spare` are those that a short line is without, the first of them first.
    """

    title: str
    head: tuple[str, ...]
    rows: Sequence[Line]
    left: int
    notes: Sequence[str] = ()
    spare: tuple[str, ...] = ()


def printed(grid: Grid, view: View = WHOLE) -> str:
    """Return a table as text.

    Where a line is too short, what steps apply is cut off and columns are left out, which the last note names.
    """
    lines = [grid.head, *grid.rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    shown = _asked(grid.head, view) or _fitting(grid, widths, view.width)
    gone = [] if _asked(grid.head, view) else [name for at, name in enumerate(grid.head) if at not in shown]
    notes = list(grid.notes)
    if gone:
        listed = ", ".join(gone)
        notes.append(f"left out, as a line has {view.width} columns: {listed}; --columns says which to show")
    below = ["", *_wrapped(notes, view.width)] if notes else []
    drawn = _drawn(lines, shown, widths, grid.left, view.width)
    return "\n".join([*_wrapped([grid.title], view.width), "", *drawn, *below])


def _asked(head: Sequence[str], view: View) -> list[int]:
    """Return where the columns stand that were asked for by name."""
    known, every = [name.lower() for name in head], dict.fromkeys([*head, *view.another])
    found = [" ".join(name.lower().replace("-", " ").split()) for name in view.columns]
    for name, given in zip(found, view.columns):
        if name not in {column.lower() for column in every}:
            raise errors.bad_option("--columns", given, f"the columns are {', '.join(every)}")
    return [known.index(name) for name in found if name in known]


def _fitting(grid: Grid, widths: Sequence[int], width: int | None) -> list[int]:
    """Return the columns that fit a width, at least those that cannot be spared."""
    shown = list(range(len(grid.head)))
    for name in grid.spare:
        least = [min(widths[at], NARROWEST) if grid.head[at] == OPERATION else widths[at] for at in shown]
        if width is None or _total(least) <= width:
            break
        if name in grid.head:
            shown.remove(grid.head.index(name))
    return shown


def _total(widths: Sequence[int]) -> int:
    return 1 + sum(widths) + BETWEEN * (len(widths) - 1)


def _drawn(
    lines: Sequence[Line], shown: Sequence[int], widths: Sequence[int], left: int, width: int | None
) -> list[str]:
    """Return the lines of a table: its head, a rule, and its rows."""
    chosen = [widths[at] for at in shown]
    over = _total(chosen) - width if width is not None else 0
    for number, at in enumerate(shown):
        if over > 0 and lines[0][at] == OPERATION:
            narrow = chosen[number] = max(NARROWEST, chosen[number] - over)
            lines = [(*line[:at], _cut(line[at], narrow), *line[at + 1 :]) for line in lines]
    form = " " + (" " * BETWEEN).join([f"{{:{'<' if at < left else '>'}{size}}}" for at, size in zip(shown, chosen)])
    body = [form.format(*[line[at] for at in shown]) for line in lines]
    rule = " " + "─" * (_total(chosen) - 1)
    return [line.rstrip() for line in (body[0], rule, *body[1:])]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _wrapped(texts: Sequence[str], width: int | None) -> list[str]:
    """Return the lines of texts, those broken that are longer than a width."""
    lines = [line for text in texts for line in text.split("\n")]
    if width is None or all(len(line) <= width for line in lines):
        return lines
    from textwrap import TextWrapper

    wrapper = TextWrapper(width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in wrapper.wrap(line) or [""]]


def named(row: Row[Any]) -> tuple[str, str]:
    """Return the first columns of a row: its name, indented under its block, and what it applies."""
    times = f" ×{row.count}" if row.count > 1 else ""
    return "  " * row.depth + (row.name or "·") + times, _cut(row.what, WIDEST)


def counts(numbers: Iterable[int]) -> list[str]:
    """Print numbers; nothing for a zero."""
    return [f"{number:,}" if number else "" for number in numbers]


def at_default(shape: Shape, start: int = 1) -> str:
    """Print the sizes of a shape at the default size, without the batch: `64x112x112`."""
    return "x".join([str(int(dim)) for dim in shape[start:]])
