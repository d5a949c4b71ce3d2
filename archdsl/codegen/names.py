"""What expressions in a generated class may mention: parameters of the block, and names bound in its body."""

from __future__ import annotations

import keyword

from archdsl.codegen.terms import ATOM, Term, collapsed, translate
from archdsl.ops.base import channel_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.codegen.terms import Column
    from archdsl.ir.network import Scope

PLAIN = (int, float, bool, str)


def names_of(scopes: Sequence[Scope], without: frozenset[str]) -> tuple[dict[str, Term], dict[str, Term]]:
    """Return the names of a class as terms, and what those that are bound in the body stand for.

    A name whose expression says more than can be written here is a parameter of a block: who builds it knows its value.
    """
    names: dict[str, Term] = {}
    bound: dict[str, Term] = {}
    first = scopes[0]
    if first.kind != "net" and "in_channels" not in without:
        names["in_channels"] = variable("in_channels", tuple(channel_count(s.shapes[s.inputs[0]]) for s in scopes))
    for number, (name, _) in enumerate(first.args):
        column = tuple(s.args[number][1] for s in scopes)
        if all(type(v) in PLAIN for v in column) and not keyword.iskeyword(name) and name not in without:
            names.setdefault(name, variable(name, column))
    every = [{name: value for name, _, value in s.bindings} for s in scopes]
    for name, expr in {name: expr for s in scopes for name, expr, _ in s.bindings}.items():
        if not all(name in one for one in every):
            continue
        column = tuple(one[name] for one in every)
        here = names.get("in_channels")
        term = translate(expr, names | ({"x.channels": here} if here is not None else {}))
        allowed = name not in names and name not in without and not keyword.iskeyword(name)
        if term is not None and term.column == column and not term.literal and allowed:
            bound[name] = term
        told = len(set(column)) == 1 or any(other.column == column for other in names.values())
        if allowed and (name in bound or (term is None and not told and first.kind != "net")):
            names[name] = variable(name, column)
    return names, bound


def variable(name: str, column: Column) -> Term:
    """Return a name as a term."""
    return Term(name, tuple(collapsed(v) for v in column), frozenset([name]), ATOM)
