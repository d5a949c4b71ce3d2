"""What expressions in a generated class may mention: parameters of the block, names of its body and of its loops."""

from __future__ import annotations

import keyword

from archdsl.codegen.terms import ATOM, UNKNOWN, Term, collapsed, literal, plain, translate
from archdsl.core.record import Record
from archdsl.ops.base import Listed, channel_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.codegen.terms import Column, Function
    from archdsl.ir.network import Scope
    from archdsl.syntax import tree


class Names(Record):
    """Names as terms, and what those that are bound in the body stand for."""

    known: dict[str, Term]
    bound: dict[str, Term]


def names_of(
    scopes: Sequence[Scope],
    without: frozenset[str],
    functions: Sequence[Function] = (),
    fixed: frozenset[str] = frozenset(),
) -> Names:
    """Return the names of a class; those that are `fixed` are what they stand for, but for numbers and lists of a net.

    A name whose expression says more than can be written here is a parameter of a block: who builds it knows its value.
    """
    names: dict[str, Term] = {}
    first = scopes[0]
    if first.kind != "net" and "in_channels" not in without:
        names["in_channels"] = variable("in_channels", tuple(channel_count(s.shapes[s.inputs[0]]) for s in scopes))
    for number, (name, _) in enumerate(first.given):
        column = tuple(plain(s.given[number][1]) for s in scopes)
        if _nameable(column) and not keyword.iskeyword(name) and name not in without:
            inlined = name in fixed and (first.kind != "net" or type(column[0]) is bool)  # no test of what is decided
            names.setdefault(name, literal(column[0], len(column)) if inlined else variable(name, column))
    names |= {f"{one.fn.name}()": one.named(len(scopes)) for one in functions}
    bound = _bind(scopes, names, names.get("in_channels"), without, given=first.kind != "net")
    return Names(names, bound)


def names_in(turns: Sequence[Scope], names: dict[str, Term], here: Term | None, without: frozenset[str]) -> Names:
    """Return the names in a loop: those around it, of the loop itself, and bound in its body, where `x` is `here`."""
    known = dict(names)
    for name in dict.fromkeys(name for turn in turns for name, _ in turn.args):
        column = tuple(plain(dict(turn.args).get(name, UNKNOWN)) for turn in turns)
        if UNKNOWN not in column and not keyword.iskeyword(name) and name not in without:
            known[name] = variable(name, column)
    return Names(known, _bind(turns, known, here, without, given=False))


def _bind(
    scopes: Sequence[Scope], names: dict[str, Term], here: Term | None, without: frozenset[str], *, given: bool
) -> dict[str, Term]:
    """Add the names that bodies bind; those that say more than is known only where they may be `given`."""
    bound: dict[str, Term] = {}
    every = [{name: value for name, _, value in s.bindings} for s in scopes]
    exprs: dict[str, tree.Expr] = {name: expr for s in scopes for name, expr, _ in s.bindings}
    for name, expr in exprs.items():
        if not all(name in one for one in every) or name in names or name in without or keyword.iskeyword(name):
            continue
        column = tuple(plain(one[name]) for one in every)
        term = translate(expr, names | ({"x.channels": here} if here is not None else {}))
        if term is None and isinstance(column[0], Listed) and UNKNOWN not in column and len(set(column)) == 1:
            term = literal(column[0], len(column))
        if term is not None and term.column == column and not term.stream:
            if not term.literal or isinstance(column[0], Listed):
                bound[name] = term
        told = len(set(column)) == 1 or any(other.column == column for other in names.values())
        if name in bound or (term is None and not told and given):
            names[name] = variable(name, column)
    return bound


def _nameable(column: Column) -> bool:
    lists = [isinstance(value, tuple) for value in column]
    return UNKNOWN not in column and (all(lists) or not any(lists))


def variable(name: str, column: Column) -> Term:
    """Return a name as a term."""
    return Term(name, tuple(collapsed(v) for v in column), frozenset([name]), ATOM)
