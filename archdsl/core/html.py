"""Tables as HTML, for notebooks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], left: int, notes: Sequence[str] = ()) -> str:
    """Return a table under its title, with notes below; the first `left` columns are words, the others figures.

    >>> print(table("costs", ["layer", "MACs"], [["a < b", "12"]], 1))
    <p>costs</p>
    <table><thead><tr><th style="text-align:left">layer</th><th>MACs</th></tr></thead><tbody>
    <tr><td style="text-align:left;white-space:pre">a &lt; b</td><td>12</td></tr>
    </tbody></table>
    """
    from html import escape  # 2 ms, which a check need not take

    def cells(tag: str, row: Sequence[str], style: str) -> str:
        styles = [f' style="text-align:left{style}"' if at < left else "" for at in range(len(row))]
        return "".join([f"<{tag}{style}>{escape(cell)}</{tag}>" for cell, style in zip(row, styles)])

    body = "\n".join([f"<tr>{cells('td', row, ';white-space:pre')}</tr>" for row in rows])
    below = "".join([f"\n<p>{escape(note)}</p>" for note in notes])
    columns = cells("th", head, "")
    return f"<p>{escape(title)}</p>\n<table><thead><tr>{columns}</tr></thead><tbody>\n{body}\n</tbody></table>{below}"
