"""Plots of measurements beside their tables in the docs, as SVG that differs only where the figures do."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

OURS, OTHERS = "#b3261e", "#7a8aa0"
COLUMNS = 2  # panels beside each other


def bars(path: Path, panels: dict[str, dict[str, float]], unit: str) -> None:
    """Draw a panel for each subject, with a bar for each way; ours are red."""
    rows = -(-len(panels) // COLUMNS)
    most = max(map(len, panels.values()))
    with matplotlib.rc_context({"svg.hashsalt": "archdsl", "svg.fonttype": "none", "font.size": 8}):
        figure = Figure(figsize=(9, rows * (0.7 + 0.21 * most)), layout="constrained")
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for axes, (subject, ways) in zip(grid.flat, panels.items()):
            places = range(len(ways) - 1, -1, -1)
            colours = [OURS if way.startswith("archdsl") else OTHERS for way in ways]
            drawn = axes.barh(places, list(ways.values()), color=colours)
            axes.bar_label(drawn, fmt="%.3g", padding=2)
            axes.set_yticks(places, labels=list(ways))
            axes.set_title(subject, loc="left")
            axes.set_xlabel(unit)
            axes.margins(x=0.12)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})
