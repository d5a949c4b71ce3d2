"""How much it takes to read a value, whose parts names can multiply: `b = [a, a]`, `c = [b, b]` and so on is short."""

from __future__ import annotations

from archdsl.core.sizes import Area, Size
from archdsl.diagnostics import errors
from archdsl.elaborate.values import (
    NOTHING,
    BlockValue,
    Callee,
    ChainValue,
    CombineValue,
    LabelValue,
    Located,
    OpValue,
    Quotient,
    RepeatValue,
    Results,
    Tensor,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.context import Context

MAX_PARTS = 200_000  # of one value, each counted as often as it occurs
MAX_NESTED = 100  # values inside one another
APPLIED_AGAIN = "a block that was given a tensor is a pipeline, applied at each use; `y = x -> cell(h, 8)` is a tensor"


def _arguments(value: Callee) -> tuple[int, Sequence[Any]]:
    return 1, [part for _, part in value.bound.values] if value.bound is not NOTHING else ()


# How much reading a value costs, and the values that it is made of; everything else weighs nothing.
HEAVY: dict[type, Callable[[Any], tuple[int, Sequence[Any]]]] = {
    str: lambda value: (len(value) // 8, ()),
    tuple: lambda value: (1, value),
    OpValue: _arguments,
    BlockValue: _arguments,
    ChainValue: lambda value: (1, value.links),
    CombineValue: lambda value: (1, value.branches),
    Located: lambda value: (0, (value.item,)),
    LabelValue: lambda value: (1, (value.item,)),
    RepeatValue: lambda value: (1, (value.item,)),
    Quotient: lambda value: (0, (value.top,)),
    Size: lambda value: (value.period, ()),
    Area: lambda value: (1, value.sizes),
}


_PIPES = {tuple, ChainValue, CombineValue, Located, RepeatValue}  # whose parts are applied where they are


def _holds_tensor(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return any(isinstance(i.item if isinstance(i, Located) else i, (Tensor, Results)) for i in items)


def weigh(ctx: Context, value: Any, span: Span) -> tuple[int, int]:
    """Return the number of parts of a value, and how deep they are nested; bounds both."""
    known = ctx.weights.get(id(value))
    if known is not None:
        return known[1:]
    own, parts = HEAVY[type(value)](value)
    weight, depth = own + len(parts), 0
    for part in parts:
        if type(part) in HEAVY:
            more, inside = weigh(ctx, part, span)
            weight, depth = weight + more, max(depth, inside + 1)
    if weight > MAX_PARTS:
        hint = APPLIED_AGAIN if is_fed(ctx, value) else ""
        raise errors.limit_exceeded(span, "a value is too large", f"{weight} parts", MAX_PARTS, hint)
    if depth > MAX_NESTED:
        raise errors.too_deep(span, "values", MAX_NESTED)
    if weight >= 8:
        ctx.weights[id(value)] = value, weight, depth
    return weight, depth


def is_fed(ctx: Context, value: Any) -> bool:
    """Say whether a pipeline holds a block that was given a tensor."""
    known = ctx.fed.get(id(value))
    if known is None:
        kind = type(value)
        if kind is BlockValue:
            parts = [part for _, part in value.bound.values]
            fed = any(_holds_tensor(part) or is_fed(ctx, part) for part in parts)
        else:
            fed = kind in _PIPES and any(is_fed(ctx, part) for part in HEAVY[kind](value)[1])
        known = ctx.fed[id(value)] = value, fed
    return known[1]
