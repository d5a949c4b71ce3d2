"""Pieces of text, before they are text: one type, whose kinds are few.

    op      an operator, `conv`: its values are its arguments, its parts are branches where it has any
    use     a block that is applied: its values are arguments, its parts further tensors; or a layer with a name
    chain   items one after the other; without any, the identity
    seq     items that are a module of their own, mostly with a label
    join    a combinator: its parts are branches
    ref     a tensor with a name
    bind    `name = part`, or `name = x` without one
    out     `output name = part`
    times   the part, as often as `depth` says
    count   the part as often, each with a number in its label
    only    the part, where a test holds
    absent  a part that this use does not have, and others have
    either  one of the parts, by a test

`x` is how many channels reach a piece, which is no part of what it is: two pieces of the same words are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


UNKNOWN = -1  # of a step in which `x` is another tensor than what reaches it


@dataclass(frozen=True)
class Term:
    """A piece of text; see the module for its kinds."""

    kind: str
    name: str = ""
    label: str = ""
    values: tuple[tuple[str, Any], ...] = ()
    parts: tuple[Term, ...] = ()
    x: Any = field(default=0, compare=False)
    nodes: tuple[Any, ...] = field(
        default=(), compare=False, repr=False
    )  # what has weights in it, unless its parts say

    def but(self, **changes: Any) -> Term:
        """Return the piece with some fields changed."""
        return replace(self, **changes)


def ordered(terms: Iterable[Term]) -> Iterator[Any]:
    """Go over the steps with weights, in the order of the text; what is repeated has those of all times."""
    for term in terms:
        yield from term.nodes or ordered(term.parts)


def every(terms: Iterable[Term]) -> Iterator[Term]:
    """Go over pieces and all that is in them."""
    for term in terms:
        yield term
        yield from every(term.parts)


def chain(items: Iterable[Term], x: Any = 0) -> Term:
    """Return items one after the other; one is itself."""
    flat: list[Term] = []
    for item in items:
        flat += item.parts if item.kind == "chain" else [item]
    return flat[0].but(x=flat[0].x or x) if len(flat) == 1 else Term("chain", parts=tuple(flat), x=x)


def links(term: Term) -> tuple[Term, ...]:
    """Return the items of a chain; what is none is one item."""
    return term.parts if term.kind == "chain" else (term,)


def is_identity(term: Term) -> bool:
    """Say whether a piece is the empty chain."""
    return term.kind == "chain" and not term.parts
