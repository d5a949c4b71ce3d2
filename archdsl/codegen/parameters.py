"""Which parameters a class has: those with which, at another value, it would still be what the text says.

Where a parameter differs between the instances of a class, they show that the code is right. One with the same value in
all of them needs every mention of it in the text to have reached the code; and in a net, of which there is one
instance, it must not bear on anything that was taken as it is.
"""

from __future__ import annotations

from contextlib import contextmanager

from archdsl.codegen.conditions import parts_of, statements_in, whole_tests
from archdsl.codegen.terms import Code, list_type, python
from archdsl.ir.liveness import is_empty
from archdsl.ir.network import Scope
from archdsl.ops.base import REQUIRED, Listed
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from archdsl.codegen.classes import ClassPlan
    from archdsl.codegen.merge import Body, Step


class Parameter:
    """A parameter of a generated class: its value in each scope of the class, and its default.

    Of a list that the class takes apart, the length is known.
    """

    def __init__(self, name: str, values: dict[int, object], default: object = REQUIRED, apart: bool = False) -> None:
        self.name, self.values, self.default, self.apart = name, values, default, apart

    @property
    def annotation(self) -> str:
        """The Python type."""
        kinds = {type(v) for v in self.values.values()}
        if Code in kinds:
            return "Callable[..., nn.Module]"
        if Listed in kinds:
            return list_type([v for v in self.values.values() if isinstance(v, Listed)], self.apart)
        lengths = {len(v) for v in self.values.values() if isinstance(v, tuple)}
        pair = "tuple[int, int]" if lengths == {2} else "tuple[int, ...]"
        if kinds == {int, tuple}:
            return f"int | {pair}"
        kind = kinds.pop() if len(kinds) == 1 else float
        return pair if kind is tuple else kind.__name__

    def __str__(self) -> str:
        default = "" if self.default is REQUIRED else f" = {python(self.default)}"
        return f"{self.name}: {self.annotation}{default}"


class Doubts:
    """What was taken as it is here, though for other arguments it may be otherwise, and the names used on the way.

    Doubts are counted, so that of two moments the earlier one is known; `last` is the last doubt, 0 without one.
    """

    def __init__(self) -> None:
        self.last = 0
        self.step: Step | None = None  # of the body, which is being written
        self.steps: dict[Step | None, int] = {}  # where there is a doubt, and when was the last one
        self.suspects: frozenset[str] = frozenset()  # names that bear on a doubt in another class
        self.built: frozenset[Step] = frozenset()  # steps that are classes with a doubt, which may be about their input
        self.uses: dict[Step | None, dict[str, int]] = {}  # where names are used, and when first
        self.sizing: dict[Step | None, set[str]] = {}  # where they are more than numbers of channels
        self.sizes: frozenset[Step] = frozenset()  # steps that take the height and width of their input as they are
        self.count = 0

    def guess(self) -> None:
        """Add a doubt about what is being written."""
        self.count += 1
        self.last = self.count
        self.steps = self.steps | {self.step: self.count}  # a new one, since the old one may be kept

    def suspect(self, names: frozenset[str]) -> None:
        """Note that another class is built here which takes something as it is, on which these names bear."""
        self.count += 1
        self.last = self.count
        self.suspects |= names
        self.built |= {self.step} if self.step is not None else set()

    def guess_size(self) -> None:
        """Add a doubt about the height and width of what reaches the step that is being written."""
        self.count += 1
        self.last = self.count
        self.sizes |= {self.step} if self.step is not None else set()

    def use(self, name: str, counts: bool) -> None:
        """Note that a name is used, maybe as a number of channels alone."""
        self.uses.setdefault(self.step, {}).setdefault(name, self.count)
        self.sizing.setdefault(self.step, set()).update([] if counts else [name])

    @property
    def kept(self) -> dict[str, Any]:
        """The doubts until now, to which `back_to` returns."""
        return {key: self.__dict__[key] for key in ("last", "steps", "suspects", "built", "sizes")}

    def back_to(self, kept: dict[str, Any]) -> None:
        """Forget the doubts since; time goes on, and what is being written and the names that were used stay."""
        self.__dict__.update(kept)

    @contextmanager
    def writing(self, step: Step) -> Iterator[None]:
        """Note that a step of the body is written, or what is in it."""
        outer, self.step = self.step, self.step or step
        try:
            yield
        finally:
            self.step = outer

    def bearing(self, body: Body) -> set[str]:
        """Return the names that bear on a doubt: used in its step before, or anywhere upstream of it."""
        found: set[str] = {*self.suspects}
        for step in _upstream(body, [*self.built, *[step for step in self.steps if step is not None]]):
            found |= self.uses.get(step, {}).keys()
        for step in _upstream(body, [*self.sizes]):
            found |= self.sizing.get(step, set())
        for doubtful, last in self.steps.items():
            used = [self.uses.get(doubtful, {})] if doubtful is not None else self.uses.values()
            found |= {name for one in used for name, first in one.items() if first < last}
        return found


def _upstream(body: Body, steps: list[Step]) -> set[Step]:
    """Return the steps whose results reach others."""
    makers = {value: step for step in body.steps() for value in step.outputs}
    joined = {join.value: join.sources for branch in body.branches() for join in branch.joins}
    left = [value for step in steps for value in step.inputs]
    seen: set[int] = set()
    while left:
        value = left.pop()
        if value not in seen:
            seen.add(value)
            left += [source for source in joined.get(value, []) if source is not None]
            left += makers[value].inputs if value in makers else []
    return {makers[value] for value in seen if value in makers}


# -------------------------------------------------------------------------------------------------- what cannot stay
def unsafe(plan: ClassPlan) -> frozenset[str]:
    """Return the parameters that a class must not have: with another value it would be wrong."""
    if not plan.alone:
        asked = mentions(tuple(whole_tests(plan.first.definition)))  # by who builds it
        mentioned = {name: count - asked.get(name, 0) for name, count in mentions(plan.first.text).items()}
        constant = {p.name for p in plan.parameters() if len(set(p.values.values())) == 1 and p.name != "in_channels"}
        return _untold(plan, mentioned) | _bound_to_input(plan) | (constant & plan.unsaid)
    doubtful = origins(plan, plan.doubts.bearing(plan.body))
    untold = _untold(plan, mentions(plan.first.text, _taken(plan)))
    return untold | {p.name for p in plan.parameters() if p.name in doubtful}


def _untold(plan: ClassPlan, mentioned: dict[str, int]) -> frozenset[str]:
    """Return the parameters that have one value, and of which the code says less than the text.

    What a name bound in the body says of a parameter is said where all mentions of that name are.
    """
    bound = [(expr, names) for one in (plan, *plan.pieces) for expr, names in one.bound]
    told: dict[int, tree.Expr] = {}
    while True:
        proven = mentions((*plan.reached, *told.values()))
        said = [expr for expr, names in bound if all(mentioned.get(name) == proven.get(name) for name in names)]
        more = {id(expr): expr for expr in said if id(expr) not in told}
        if not more:
            break
        told |= more
    constant = [p.name for p in plan.parameters() if p.name in plan.names and len(set(p.values.values())) == 1]
    return frozenset(n for n in constant if n in mentioned and mentioned.get(n) != proven.get(n))


def _taken(plan: ClassPlan) -> set[tuple[int, int]]:
    """Return the arms of `if` statements that have steps, in the sequences inside too."""
    found: set[tuple[int, int]] = set()
    left = [*plan.scopes]
    while left:
        for node in left.pop().nodes:
            found.update(node.arms)
            if isinstance(node.what, Scope) and not plan.groups.held(node.what):
                left.append(node.what)
    return found


def origins(plan: ClassPlan, names: Iterable[str]) -> set[str]:
    """Return names with those that they come from: what they are bound to mentions these."""
    found: set[str] = set()
    left = [*names]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            terms = [plan.locals[name]] if name in plan.locals else plan.running.get(name, [])
            left += [other for term in terms for other in term.names]
    return found


def _bound_to_input(plan: ClassPlan) -> frozenset[str]:
    """Return `in_channels` where a parameter always has the same value, and the text does otherwise if it has not.

    So it may be where a block in this one is empty in all instances, or a test has one answer in all.
    """
    main = plan.names.get("in_channels")
    same = [n for n, t in plan.names.items() if n != "in_channels" and main is not None and t.column == main.column]
    idle = any(isinstance(n.what, Scope) and n.what.kind == "block" and is_empty(n.what) for n in plan.first.nodes)
    answered = plan.answered
    open_test = any(id(test.expr) not in answered for test in plan.conditions.tests)
    return frozenset(["in_channels"] if same and (idle or open_test) else [])


# -------------------------------------------------------------------------------------------------- what the text says
def mentions(piece: object, taken: set[tuple[int, int]] | None = None) -> dict[str, int]:
    """Count the plain names in a piece of syntax; what is required of them makes no difference to the code.

    Where it is known which arms of `if` statements are taken, the others do not count: their tests do.
    """
    if isinstance(piece, tree.Name) and piece.plain is not None:
        return {piece.plain: 1}
    if isinstance(piece, tree.Require):
        return {}
    if isinstance(piece, (tree.Bind, tree.Labelled, tree.Scope)) and piece.name.plain is not None:
        return mentions(piece.body if isinstance(piece, tree.Scope) else piece.value, taken)
    if isinstance(piece, tree.Attribute) and piece.name == "channels" and piece.value.span.text == "x":
        return {"in_channels": 1}
    parts = (
        piece if isinstance(piece, tuple) else [getattr(piece, f) for f in getattr(piece, "fields", ()) if f != "span"]
    )
    if isinstance(piece, tree.If) and taken is not None:
        start = piece.span.start
        kept = [
            test if _steps_in(body) and (start, k) not in taken else (test, body)
            for k, (test, body) in enumerate(piece.arms)
        ]
        parts = [part for part in kept if part is not None]
    counts: dict[str, int] = {}
    for part in parts:
        for name, count in mentions(part, taken).items() if isinstance(part, (tuple, tree.Node)) else ():
            counts[name] = counts.get(name, 0) + count
    return counts


def _steps_in(body: tuple[tree.Statement, ...]) -> bool:
    return any(isinstance(statement, (tree.Step, tree.Scope)) for statement in body)


def measures(piece: object) -> bool:
    """Say whether a piece of syntax asks for something of a tensor: `x.tokens`."""
    return isinstance(piece, tree.Attribute) or any(map(measures, parts_of(piece)))


def measured(text: tuple[tree.Node, ...]) -> set[str]:
    """Return the names that a text binds to something of a tensor."""
    binds = {
        one.name.plain: one.value
        for one in statements_in(text)
        if isinstance(one, tree.Bind) and one.name.plain is not None
    }
    found: set[str] = set()
    while more := {n for n, e in binds.items() if measures(e) or not found.isdisjoint(mentions(e))} - found:
        found |= more
    return found
