"""The axes of a tensor by name. How many there are says what it is: features, tokens, a map, or tokens in windows."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.sizes import Shape

LAYOUTS = {
    2: ("batch", "channels"),  # features
    3: ("batch", "tokens", "channels"),
    4: ("batch", "channels", "height", "width"),
    5: ("batch", "height", "width", "tokens", "channels"),  # of windows along the height and the width
}
NAMES = ("channels", "tokens", "height", "width")  # that a text may give
EITHER = {"features": "channels"}  # a second name


def find(name: str, rank: int) -> int | None:
    """Return the number of an axis in a tensor with so many; None where it has no such axis."""
    name = EITHER.get(name, name)
    return LAYOUTS[rank].index(name) if name in LAYOUTS[rank] else None


def channel(x: Shape) -> int:
    """Return the number of the axis that layers with weights mix: the first after the batch, or the last."""
    return 1 if len(x) in (2, 4) else len(x) - 1


def in_code(axis: int, x: Shape) -> int:
    """Return the number of an axis as generated code says it: -1 for the channels of tokens, whatever comes before."""
    return -1 if len(x) in (3, 5) and axis == len(x) - 1 else axis


def name(axis: int, rank: int) -> str:
    """Name an axis of a tensor with so many."""
    return LAYOUTS[rank][axis]


def spatial(x: Shape, axis: int) -> int | None:
    """Return the number of the height (axis 0) or the width (axis 1) of maps and windows; None where there is none."""
    return find(("height", "width")[axis], len(x))
