"""What the public functions return: a table when it is printed, one line in a REPL, HTML in a notebook, plain data."""

from __future__ import annotations

from archdsl.analysis.columns import WHOLE, Grid, View, printed
from archdsl.core.record import Record
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Result(Record):
    """Figures of a network, or of several; a class says in `grid`, `summary`, `records` and `to_dict` what they are."""

    if TYPE_CHECKING:  # what a class says

        def grid(self, view: View = WHOLE) -> Grid:
            """Return the table."""

        def records(self) -> list[dict[str, Any]]:
            """Return the rows of the table as plain data: numbers are numbers."""

        def to_dict(self) -> dict[str, Any]:
            """Return the result as plain data, which `json.dumps` takes."""

    def summary(self) -> str:
        """Return the result in one line."""
        return self.grid().title

    def text(self, view: View = WHOLE) -> str:
        """Return the table as text."""
        return printed(self.grid(view), view)

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`; raises `ImportError`, which says so, where pandas is missing."""
        with Needing("`to_pandas`"):
            from pandas import DataFrame
        return DataFrame(self.records())

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<{self.summary().splitlines()[0]}>"

    def _repr_html_(self) -> str:
        from html import escape

        def line(cells: tuple[str, ...], tag: str) -> str:
            sides = ["left" if at < grid.left else "right" for at in range(len(cells))]
            texts = [escape(cell).replace("  ", "&emsp;") for cell in cells]
            inside = [f'<{tag} style="text-align: {side}">{text}</{tag}>' for side, text in zip(sides, texts)]
            return f"<tr>{''.join(inside)}</tr>"

        grid = self.grid()
        body = "".join([line(tuple(row), "td") for row in grid.rows])
        notes = "".join([f"<p>{escape(note)}</p>" for note in grid.notes])
        head = f"<thead>{line(grid.head, 'th')}</thead>"
        return f"<p>{escape(grid.title)}</p><table>{head}<tbody>{body}</tbody></table>{notes}"
