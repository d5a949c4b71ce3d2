"""Tensors with their axes split, exchanged and joined: windows of a map, heads of tokens.

    x.view(N, C, rows, 7, columns, 7).permute(0, 2, 4, 3, 5, 1).reshape(-1, 49, C)

A view computes nothing. What is known of it is which factor of which axis of a node stands where; as soon as they stand
as a step of the language would set them, here after `permute`, it is that step: `tokens(window=7)`.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from archdsl.importer.calls.reader import Axis, Factor, Learned, Seen, Shown, joined, size, solid
from archdsl.importer.graph import Node, Unsaid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.importer.calls.reader import Reader

WEIGHTED = {"mul": ("scale", "weight", 1.0), "add": ("shift", "bias", 0.0)}
AXES = {
    "last": ((0,), (2,), (3,), (1,)),
    "line": ((0,), (1,), (2, 3)),
    "thin": ((0,), (1,), (2, 3)),
    "turned": ((1,), (0,), (2,)),
}


def seen(r: Reader, input: Any) -> Seen:
    """Return a tensor as a view."""
    if isinstance(input, Seen):
        return input
    node = input.node if isinstance(input, Shown) else r.plain(input)
    own = tuple([(Factor(size),) for size in node.shape])
    if not isinstance(input, Shown):
        return Seen(node, own, own)
    if input.form not in AXES:
        raise Unsaid(f"a {input.form} view {list(input.shape)} in another order", r.path)
    axes = tuple([joined([own[i] for i in axis]) for axis in AXES[input.form]])
    return Seen(node, own, axes, (0, 0) if input.form == "last" else None)


def reshaped(r: Reader, input: Any, wanted: tuple[int, ...]) -> Any:
    """Join and split the axes of a view."""
    view = seen(r, input)
    left, split = list(joined(view.axes)), dict[Factor, Axis]()
    axes = tuple([_taken(r, left, length, split) for length in wanted])
    own = tuple([joined([_parts(factor, split) for factor in axis]) for axis in view.own])
    return _named(r, replace(view, own=own, axes=axes))


def _taken(r: Reader, left: list[Factor], length: int, split: dict[Factor, Axis]) -> Axis:
    """Take the factors of an axis of a size from those that are left, of which one may be split."""
    axis: Axis = ()
    while (missing := length // size(axis)) > 1 or not axis:
        first = left.pop(0) if left else Factor(1)
        if missing % first.size and first.size % missing:
            raise Unsaid(f"an axis of {length}, of which {first.size} stand together", r.path)
        if first.size > missing:
            outer, inner = Factor(missing), Factor(first.size // missing)
            split[first] = (outer, inner)
            left.insert(0, inner)
            first = outer
        axis += (first,)
    return axis


def _parts(factor: Factor, split: dict[Factor, Axis]) -> Axis:
    return joined([_parts(part, split) for part in split[factor]]) if factor in split else (factor,)


def permuted(r: Reader, input: Any, order: tuple[int, ...]) -> Any:
    """Exchange the axes of a view."""
    view = seen(r, input)
    return _named(r, replace(view, axes=tuple([view.axes[i] for i in order])))


# -------------------------------------------------------------------------------------------------- steps
def _named(r: Reader, view: Seen) -> Any:
    """Return a view as one of what a step makes, where its factors stand so."""
    made = (_cut if len(view.own) == 4 else _put_together)(r, view) if len(view.own) > 2 else None
    return plain(made or view)


def plain(view: Seen) -> Any:
    """Return a view as a node, or one in a form, where it is that."""
    if view.moved not in (None, (0, 0)):
        return view
    if _same(view.axes, view.own):
        return view.node
    if len(view.own) == 4 and _same(view.axes, [view.own[i] for i in (0, 2, 3, 1)]):
        return Shown(view.node, "last", view.shape)
    return view


def rolled(r: Reader, input: Any, shifts: Any, dims: Any) -> Any:
    """Move the rows and columns of a map with its channels last around it."""
    view = seen(r, input)
    by = dict(zip(dims, shifts)) if isinstance(dims, tuple) else {dims: shifts}
    if view.moved is None or not set(by) <= {1, 2} or not _same(view.axes, [view.own[i] for i in (0, 2, 3, 1)]):
        raise Unsaid("the language has no step for `roll`", r.path)
    return plain(replace(view, moved=(view.moved[0] - by.get(1, 0), view.moved[1] - by.get(2, 0))))


def _cut(r: Reader, view: Seen) -> Seen | None:
    """Return a map whose places come before its channels as tokens, in windows perhaps."""
    n, c, h, w = view.own
    windows = view.moved is not None and len(h) == len(w) == 2  # attention of a map has windows
    if len(view.axes) == 3 and _same(view.axes, (n, h + w, c)) and not windows:
        return _stepped(r, "tokens", {}, view, (n, h + w, c))
    if len(view.axes) != 6:
        return None
    rows, columns, high, wide = view.axes[1:5]  # a factor of 1 may be of any axis
    own = (n, rows, columns, high + wide, c)
    if _same((view.axes[0], rows + high, columns + wide, view.axes[5]), (n, h, w, c)):
        if windows:
            return None
        return _stepped(r, "tokens", {"window": (size(high), size(wide))}, view, own)
    if _same((view.axes[0], high + rows, wide + columns, view.axes[5]), (n, h, w, c)):
        return _stepped(r, "tokens", {"grid": (size(high), size(wide))}, view, own)
    return None


def _put_together(r: Reader, view: Seen) -> Seen | None:
    """Return tokens whose places stand in rows and columns as a map."""
    if len(view.own) == 5:
        return _exchanged(r, view) if len(view.axes) == 4 else _of_windows(r, view)
    n, places, c = view.own
    for own in _maps(view.axes, 4):
        first, channels, high, wide = own
        if _same((first, high + wide, channels), (n, places, c)) and solid(high) and solid(wide):
            return _stepped(r, "untokens", {"size": (size(high), size(wide))}, view, own)
    return None


def _maps(axes: tuple[Axis, ...], count: int) -> Iterator[tuple[Axis, ...]]:
    """Yield axes as those of a map, whose channels come before its places, or after them."""
    if len(axes) == count:
        yield axes
    if len(axes) == count and size(axes[-1]) > 1:
        yield (axes[0], axes[-1], *axes[1:-1])


def _of_windows(r: Reader, view: Seen) -> Seen | None:
    """Return windows that are put together as the map that they were cut from."""
    n, *windows, places, c = view.own
    for first, channels, a, b, d, e in _maps(view.axes, 6):
        for way, (rows, high, columns, wide) in {"window": (a, b, d, e), "grid": (b, a, e, d)}.items():
            if _same((first, rows, columns, high + wide, channels), (n, *windows, places, c)):
                fields = {way: (size(high), size(wide)), "size": (size(a + b), size(d + e))}
                return _stepped(r, "untokens", fields, view, (n, c, a + b, d + e))
    return None


def _exchanged(r: Reader, view: Seen) -> Seen | None:
    """Return the places of windows as windows of their own: neighbours for a grid over the map, or the other way."""
    n, rows, columns, places, c = view.own
    if view.node.op != "tokens" or not _same(view.axes, (n, places, rows + columns, c)):
        return None
    ((way, (count, _)),) = view.node.fields.items()
    high = next((places[:i] for i in range(len(places) + 1) if size(places[:i]) == count), places)
    own = (n, high, places[len(high) :], rows + columns, c)
    fields = {"grid" if way == "window" else "window": (size(rows), size(columns))}
    return _stepped(r, "tokens", fields, replace(view, node=view.node.inputs[0]), own)


def _same(axes: Sequence[Axis], others: Sequence[Axis]) -> bool:
    """Say whether axes are of the same factors and sizes."""
    return [*map(solid, axes)] == [*map(solid, others)] and [*map(size, axes)] == [*map(size, others)]


def _stepped(r: Reader, op: str, fields: dict[str, Any], view: Seen, own: tuple[Axis, ...]) -> Seen:
    return Seen(r.step(op, fields, (view.node,), tuple(map(size, own))), own, view.axes, None)


# -------------------------------------------------------------------------------------------------- channels
def channels(view: Seen) -> int:
    """Return which axis of a node its channels are."""
    return 1 if len(view.own) == 4 else len(view.own) - 1


def by_channels(r: Reader, view: Seen) -> Seen:
    """Return a view whose last axis is the channels, of a map one that is seen so; raises `Unsaid` for others."""
    if (len(view.own) == 4 and view.moved is None) or solid(view.axes[-1]) != solid(view.own[channels(view)]):
        raise Unsaid(f"a tensor {list(view.shape)} whose last axis is not the channels", r.path)
    return view


def with_channels(view: Seen, node: Node) -> Any:
    """Return the same view of a node that has other channels, which are the last axis."""
    last, at = (Factor(node.channels),), channels(view)
    return plain(replace(view, node=node, own=_with(view.own, at, last), axes=(*view.axes[:-1], last)))


def _with(axes: tuple[Axis, ...], at: int, axis: Axis) -> tuple[Axis, ...]:
    return (*axes[:at], axis, *axes[at + 1 :])


def item(r: Reader, view: Seen, axis: int, place: int) -> Any:
    """Return one item along an axis, which is the outermost part of the channels: queries, keys, or values."""
    at = channels(view)
    first, *rest = solid(view.own[at]) or (Factor(1),)
    if solid(view.axes[axis]) != (first,):
        raise Unsaid("an index that is no range", r.path)
    each = size(tuple(rest))
    made = _slice(r, view.node, at, place % first.size * each, each)
    axes = (*view.axes[:axis], *view.axes[axis + 1 :])
    return plain(replace(view, node=made, own=_with(view.own, at, tuple(rest)), axes=axes))


def narrowed(r: Reader, view: Seen, axis: int, start: int, length: int) -> Any:
    """Return a range of the channels, where an axis is all of them."""
    at = channels(view)
    if solid(view.axes[axis]) != solid(view.own[at]):
        raise Unsaid("a part of an axis that is split or joined", r.path)
    part = (Factor(length),)
    made = _slice(r, view.node, at, start, length)
    return plain(replace(view, node=made, own=_with(view.own, at, part), axes=_with(view.axes, axis, part)))


def _slice(r: Reader, node: Node, at: int, start: int, length: int) -> Node:
    shape = (*node.shape[:at], length, *node.shape[at + 1 :])
    return r.step("slice", {"start": start, "stop": start + length}, (node,), shape)


# -------------------------------------------------------------------------------------------------- two of them
def beside(r: Reader, op: str, one: Any, two: Any) -> Any:
    """Apply a step to two tensors that are seen in the same way, or to one and a weight of its channels."""
    if isinstance(two, Learned):
        return _weighted(r, op, seen(r, one), two)
    left, right = seen(r, one), seen(r, two)
    if (left.node.shape, left.moved) != (right.node.shape, right.moved) or _places(left) != _places(right):
        raise Unsaid("tensors of different forms beside one another", r.path)
    return replace(left, node=r.step(op, {}, (left.node, right.node), left.node.shape))


def _places(view: Seen) -> list[list[int]]:
    """Return the factors that are seen as places among those of the node."""
    order = solid(joined(view.own))
    return [[order.index(factor) for factor in solid(axis)] for axis in view.axes]


def _weighted(r: Reader, op: str, view: Seen, weight: Learned) -> Any:
    """Multiply by a learned number, or add one: the same everywhere, or one for each channel where these come last."""
    each, count = view.node.channels, prod(weight.shape)
    last = count == weight.shape[-1] == each and _same(view.axes[-1:], [view.own[channels(view)]])
    if op not in WEIGHTED or not (count == 1 or last):
        raise Unsaid(f"a weight {list(weight.shape)} beside a tensor {list(view.shape)}", r.path)
    name, own, value = WEIGHTED[op]
    fields = {"value": value, "learned": True, "per_channel": count > 1}
    return replace(view, node=r.step(name, fields, (view.node,), view.node.shape, **{own: weight}))


def product(r: Reader, input: Any, other: Any) -> Any:
    """The product of two matrices for each image: tokens, or tokens with rows and columns exchanged."""
    left, right = _matrix(r, seen(r, input)), _matrix(r, seen(r, other))
    (first, rows, _), (_, _, columns) = left.axes, right.axes
    made = r.step("matmul", {}, (left.node, right.node), (left.node.shape[0], size(rows), size(columns)))
    between = [()] * (len(input.shape) - 3)
    return plain(Seen(made, (first, rows, columns), (first, *between, rows, columns)))


def _matrix(r: Reader, view: Seen) -> Seen:
    """Return a tensor [N, …, L, K], whose other axes are 1, as tokens [N, L, K] that are seen as they are."""
    *outer, rows, columns = view.axes
    if len(view.own) == 4:
        n, c, h, w = view.own
        view = _stepped(r, "tokens", {}, view, (n, h + w, c))
    n, places, c = view.own if len(view.own) == 3 else ((), (), ())
    if solid(joined(outer)) == solid(n) and _same((rows, columns), (places, c)):
        return replace(view, axes=view.own)
    if solid(joined(outer)) == solid(n) and _same((rows, columns), (c, places)):
        own = (n, c, places)
        return replace(_stepped(r, "transpose", {}, view, own), axes=own)
    raise Unsaid(f"a product with a tensor {list(view.shape)}", r.path)


def softmax(r: Reader, view: Seen, axis: int) -> Any:
    """Take the softmax over the places of a map, over tokens, or over channels."""
    along = view.axes[axis]
    if len(view.own) == 4 and _same([along], [view.own[2] + view.own[3]]):
        n, c, h, w = view.own
        view = _stepped(r, "tokens", {}, view, (n, h + w, c))
    names = {3: (None, "tokens", "channels"), 4: (None, "channels", "height", "width")}.get(len(view.own), ())
    for name, own in zip(names, view.own):
        if name is not None and _same([along], [own]):
            return replace(view, node=r.step("softmax", {"axis": name}, (view.node,), view.node.shape))
    raise Unsaid("a softmax over a part of an axis", r.path)
