"""Two networks side by side, with what differs marked."""

from __future__ import annotations

from archdsl.analysis.diff import compare
from archdsl.analysis.rows import human
from archdsl.drawing.building import picture
from archdsl.drawing.drawing import Drawing
from archdsl.drawing.page import beside, page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.analysis.diff import Diff
    from archdsl.ir.network import Network


def compared(left: Network, right: Network, by: str = "macs", theme: str = "auto") -> Drawing:
    """Return two networks as one drawing: what only one has, and what differs, is outlined."""
    found = compare(left, right)
    marks = _marks(found)
    one, other = [page(picture(network, by, marks=own)) for network, own in zip((left, right), marks)]
    costs = " · ".join([f"{name} {human(a)} → {human(b)}" for name, a, b in found.costs])
    outlined = f"Outlined: green, only in {right.name}; red and dashed, only in {left.name}; yellow and dotted, changed"
    return Drawing(beside(one, other, f"{left.name} → {right.name}", (costs, outlined)), theme)


def _marks(found: Diff) -> tuple[dict[int, str], dict[int, str]]:
    """Return the marks of the steps of both networks, by the identity of a step."""
    left: dict[int, str] = {}
    right: dict[int, str] = {}
    for change in found.changes:
        if change.left is not None:
            left[id(change.left.node)] = "changed" if change.right is not None else "removed"
        if change.right is not None:
            right[id(change.right.node)] = "changed" if change.left is not None else "added"
    return left, right
