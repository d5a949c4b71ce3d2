"""Draws the settings of a sweep and their Pareto front, with matplotlib (the `plot` extra)."""

from __future__ import annotations

from archdsl.analysis.rows import human
from archdsl.diagnostics import errors
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.explore.sweep import Sweep

FORMATS = (".svg", ".png", ".pdf")


def pareto(found: Sweep, path: str) -> None:
    """Draw the first two figures of a sweep, and the line of settings that no other one beats.

    A point is on the line where no setting has less of the second figure and as much of the first.
    """
    if not path.endswith(FORMATS):
        raise errors.bad_option("--plot", path, f"the name ends in one of {', '.join(FORMATS)}")
    with Needing("a plot"):
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter
    high, low = found.figures[:2]
    front = found.front(low, high)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter([row[low] for row in found.rows], [row[high] for row in found.rows], s=14, color="#7a8aa0")
    axes.plot([row[low] for row in front], [row[high] for row in front], marker="o", ms=4, color="#b3261e")
    axes.set(xlabel=low, ylabel=high, title=f"{found.network}: {len(found.rows)} settings")
    axes.set(xlim=(0, None), ylim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: human(int(value))))
    axes.grid(alpha=0.3)
    try:
        figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    except OSError as problem:
        raise errors.unwritable(path, problem.strerror or "") from None
