"""Attention as it is written out: products of queries and keys, what is added to them, a softmax, and the values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isqrt, prod
from typing import TYPE_CHECKING, Any

from archdsl.importer.calls import views
from archdsl.importer.calls.reader import Factor, Fixed, Learned, Seen, joined, size, solid
from archdsl.importer.graph import Node, Unsaid

if TYPE_CHECKING:
    from archdsl.importer.calls.reader import Axis, Reader


@dataclass(frozen=True)
class Heads:
    """Tokens, or a map, by heads: seen as (…, heads, places, part), or with the last two exchanged."""

    view: Seen
    window: tuple[int, int] | None  # of a map
    outer: tuple[Axis, ...]  # the axes before the last two
    places: Axis
    heads: Axis
    part: Axis

    @property
    def node(self) -> Node:
        return self.view.node

    @property
    def count(self) -> int:
        return size(self.heads)


@dataclass(frozen=True)
class Scores:
    """Products of queries and keys, by heads."""

    queries: Heads
    keys: Heads
    shape: tuple[int, ...]
    factor: float = 1.0
    bias: Node | None = None
    masked: bool = False
    soft: bool = False  # whether they went through a softmax

    def times(self, number: float) -> Scores:
        return replace(self, factor=self.factor * number)


@dataclass(frozen=True)
class Entries:
    """Numbers out of a learned table, one for each index, in some shape."""

    table: Learned
    shape: tuple[int, ...]


# -------------------------------------------------------------------------------------------------- calls
def matmul(r: Reader, input: Any, other: Any) -> Any:
    """A product of queries and keys, of what became of it and the values, or of matrices."""
    if isinstance(input, Scores):
        return _attended(r, input, _heads(r, other))
    queries, keys = _by_heads(r, input, False), _by_heads(r, other, True)
    if queries is not None and keys is not None:
        return _scores(r, queries, keys)
    return views.product(r, input, other)


def einsum(r: Reader, equation: str, *operands: Any) -> Any:
    """The products of attention, in the letters of their axes."""
    given, _, out = equation.replace(" ", "").partition("->")
    one, _, two = given.partition(",")
    if one[:-2] == two[:-2] == out[:-2]:
        input, other = operands[0] if isinstance(operands[0], tuple) else operands
        if one[-1] == two[-1] and out[-2:] == one[-2] + two[-2]:
            return _scores(r, _heads(r, input), _heads(r, other))
        if one[-1] == two[-2] and out[-2:] == one[-2] + two[-1]:
            return matmul(r, input, other)
    raise Unsaid(f"`einsum` of {equation}", r.path)


def scaled_dot_product_attention(
    r: Reader, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, *more: Any, **words: Any
) -> Any:
    given = dict(zip(("is_causal", "scale", "enable_gqa"), more)) | words
    scores = _scores(r, _heads(r, query), _heads(r, key))
    if dropout_p or given.get("is_causal") or given.get("enable_gqa"):
        raise Unsaid("attention with dropout, with a causal mask, or of other heads", r.path)
    scores = scores.times(given.get("scale") or query.shape[-1] ** -0.5)
    scores = scores if attn_mask is None else added(r, scores, attn_mask)
    return _attended(r, softened(r, scores, -1), _heads(r, value))


def added(r: Reader, scores: Scores, other: Any) -> Scores:
    """Add a bias for each head and each pair of places, or numbers that hide places from one another."""
    if isinstance(other, Fixed):  # which ones, the comparison says
        return replace(scores, masked=True)
    count, rows, columns = scores.queries.count, *scores.shape[-2:]
    if scores.soft or scores.bias is not None or tuple(other.shape[-3:]) != (count, rows, columns):
        raise Unsaid("a sum with products of queries and keys", r.path)
    n = scores.queries.node.shape[0]
    shape = (n, count, rows, columns)
    if isinstance(other, Entries):
        fields = {"heads": count, "size": _sides(scores.queries)}
        bias = r.step("relative_bias", fields, (_source(scores.queries.node),), shape, weight=other.table)
    elif isinstance(other, Learned) and prod(other.shape) == prod(shape[1:]):
        bias = r.step("learned", {"size": shape[1:]}, (), shape, weight=other)
    else:
        raise Unsaid("a sum with products of queries and keys", r.path)
    return replace(scores, bias=bias)


def _sides(queries: Heads) -> tuple[int, int] | None:
    """Return the height and width of the window of which the tokens are; None of a whole map."""
    if len(queries.view.own) == 4:
        return queries.window
    sides = [factor.size for factor in queries.view.own[-2]]
    return (sides[0], sides[1]) if len(sides) == 2 else (isqrt(prod(sides)), isqrt(prod(sides)))


def softened(r: Reader, scores: Scores, dim: int | None) -> Scores:
    """Take the softmax over the keys."""
    if scores.soft or dim not in (-1, len(scores.shape) - 1):
        raise Unsaid("a softmax over other places than those of the keys", r.path)
    return replace(scores, soft=True)


# -------------------------------------------------------------------------------------------------- heads
def _heads(r: Reader, input: Any) -> Heads:
    """Take apart a tensor that is seen by heads."""
    found = _by_heads(r, input, False)
    if found is None:
        raise Unsaid(f"a product with a tensor {list(input.shape)}, which is not tokens by heads", r.path)
    return found


def _by_heads(r: Reader, input: Any, exchanged: bool) -> Heads | None:
    """Take apart a tensor that is seen by heads, its last two axes exchanged perhaps; None for another."""
    view = views.seen(r, input)
    *outer, places, part = view.axes
    if exchanged:
        places, part = part, places
    at = views.channels(view)
    window, before, own = None, view.own[:-2], view.own[-2]
    if at == 1:
        n, _, h, w = view.own
        before, own = (n,), h + w
        if view.moved is not None and len(h) == len(w) == 2:
            window, before, own = (h[1].size, w[1].size), (n, h[:1], w[:1]), h[1:] + w[1:]
    split, last = solid(view.own[at]), solid(part)
    heads = split[: len(split) - len(last)]
    known = (solid(joined(outer)), solid(places), (*heads, *last))
    fits = known == ((*solid(joined(before)), *heads), solid(own), split)
    return Heads(view, window, tuple(outer), places, heads, last) if fits else None


def _scores(r: Reader, queries: Heads, keys: Heads) -> Scores:
    sizes = [[[factor.size for factor in axis] for axis in (one.heads, one.part)] for one in (queries, keys)]
    if sizes[0] != sizes[1]:
        raise Unsaid("a product of tensors that have other heads", r.path)
    columns = size(keys.places)
    return Scores(queries, keys, (*queries.view.shape[:-1], columns))


def _attended(r: Reader, scores: Scores, values: Heads) -> Any:
    """Return what attention makes of values, seen as the queries are."""
    if not scores.soft or values.count != scores.queries.count:
        raise Unsaid("products of queries and keys that no softmax goes over", r.path)
    queries, part = scores.queries, (Factor(values.node.channels // values.count),)
    at, view = views.channels(queries.view), queries.view
    shape = (*view.node.shape[:at], values.node.channels, *view.node.shape[at + 1 :])
    fields: dict[str, Any] = {"heads": values.count}
    if view.moved is not None and queries.window is not None:
        fields |= {"window": queries.window, "shift": view.moved}
        if scores.masked != any(view.moved):
            raise Unsaid("windows that are moved and look over the edges of the map", r.path)
    elif scores.masked:
        raise Unsaid("attention with a mask", r.path)
    made = r.step("attention", fields, _branches(r, scores, values), shape)
    own = (*view.own[:at], queries.heads + part, *view.own[at + 1 :])
    return views.plain(replace(view, node=made, own=own, axes=(*queries.outer, queries.places, part)))


def _branches(r: Reader, scores: Scores, values: Heads) -> tuple[Node, ...]:
    """Return queries, keys and values; or the one tensor that is divided into them."""
    query, factor = _unscaled(scores.queries.node)
    key, more = _unscaled(scores.keys.node)
    factor *= more * scores.factor * size(scores.queries.part) ** 0.5
    if abs(factor - 1) > 1e-6:
        query = r.step("scale", {"value": round(factor, 12)}, (query,), query.shape)
    made = (query, key, values.node)
    if scores.bias is not None:
        return (*made, scores.bias)
    source = _source(query)
    third = source.channels // 3
    parts = [{"start": i * third, "stop": (i + 1) * third} for i in range(3)]
    thirds = all(one.op == "slice" and one.inputs == (source,) for one in made) and 3 * third == source.channels
    return (source,) if thirds and [one.fields for one in made] == parts else made


def _unscaled(node: Node) -> tuple[Node, float]:
    """Return a tensor without the number that it is multiplied by, and the number."""
    factor = 1.0
    while node.op == "scale" and not node.weights:
        factor *= node.fields["value"]
        node = node.inputs[0]
    return node, factor


def _source(node: Node) -> Node:
    """Return the tensor of which queries are a part."""
    node, _ = _unscaled(node)
    return node.inputs[0] if node.op == "slice" else node
