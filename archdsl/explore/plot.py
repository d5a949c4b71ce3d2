"""Draws settings and the front of those that no other one beats, with matplotlib (the `plot` extra)."""

from __future__ import annotations

from archdsl.analysis.rows import human
from archdsl.diagnostics import errors
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from archdsl.explore.study import Front
    from archdsl.explore.sweep import Sweep

    Rows = Sequence[dict[str, Any]]

FORMATS = (".svg", ".png", ".pdf")


def pareto(found: Sweep, path: str) -> None:
    """Draw the first two figures of a sweep, and the line of settings that no other one beats.

    A point is on the line where no setting has less of the second figure and as much of the first.
    """
    high, low = found.figures[:2]
    draw(f"{found.network}: {len(found.rows)} settings", found.rows, found.front(low, high), (low, high), path)


def front(found: Front, path: str) -> None:
    """Draw the first two goals of a search, the settings on its front as a line, and all others within its budget."""
    y, x = (*found.maximize, *found.minimize)[:2]
    line = sorted(found.rows, key=lambda row: (row[x], row[y]))
    title = f"{found.network}: {len(line)} of {found.met} settings"
    draw(title, [*found.others, *found.rows], line, (x, y), path)


def refuse(path: str) -> None:
    """Raise `CompileError` for the name of a file that no plot can be written to."""
    if not path.endswith(FORMATS):
        raise errors.bad_option("--plot", path, f"the name ends in one of {', '.join(FORMATS)}")


def draw(title: str, rows: Rows, line: Rows, names: tuple[str, str], path: str) -> None:
    """Draw rows as points, some of them joined by a line, by two of their figures: from left to right, and up."""
    refuse(path)
    with Needing("a plot"):
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter
    x, y = names
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter([row[x] for row in rows], [row[y] for row in rows], s=14, color="#7a8aa0")
    axes.plot([row[x] for row in line], [row[y] for row in line], marker="o", ms=4, color="#b3261e")
    axes.set(xlabel=x, ylabel=y, title=title)
    for axis, name in ((axes.xaxis, x), (axes.yaxis, y)):
        if all(row[name] >= 0 for row in rows):
            axes.set(**{f"{axis.axis_name}lim": (0, None)})
        if all(float(row[name]).is_integer() for row in rows):
            axis.set_major_formatter(FuncFormatter(lambda value, _: human(int(value))))
    axes.grid(alpha=0.3)
    try:
        figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    except OSError as problem:
        raise errors.unwritable(path, problem.strerror or "") from None
