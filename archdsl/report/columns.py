"""Draws tables: every command's, of steps or of anything else.

`rich` would take 60 ms to import, where a check takes 80, and 1.5 ms a row, where a network may have 10,000.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from archdsl.analysis.rows import Row
    from archdsl.core.sizes import Shape

WIDEST = 40  # characters of what a step applies


def drawn(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """Return the lines of a table, as wide as it needs; the first `left` columns are names, the others figures."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    line_of = " " + "   ".join([f"{{:{'<' if at < left else '>'}{width}}}" for at, width in enumerate(widths)])
    body = [line_of.format(*line) for line in lines]
    rule = " " + "─" * (sum(widths) + 3 * (len(widths) - 1))
    return [line.rstrip() for line in (body[0], rule, *body[1:])]


def printed(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], left: int, notes: Sequence[str] = ()
) -> str:
    """Return a table under its title as text, with notes below."""
    return "\n".join([title, "", *drawn(head, rows, left), *(["", *notes] if notes else [])])


def named(row: Row[Any]) -> tuple[str, str]:
    """Return the first columns of a row: its name, indented under its block, and what it applies."""
    times = f" ×{row.count}" if row.count > 1 else ""
    what = row.what if len(row.what) <= WIDEST else row.what[: WIDEST - 3] + "..."
    return "  " * row.depth + (row.name or "·") + times, what


def counts(numbers: Iterable[int]) -> list[str]:
    """Print numbers; nothing for a zero."""
    return [f"{number:,}" if number else "" for number in numbers]


def at_default(shape: Shape, start: int = 1) -> str:
    """Print the sizes of a shape at the default size, without the batch: `64x112x112`."""
    return "x".join([str(int(dim)) for dim in shape[start:]])
