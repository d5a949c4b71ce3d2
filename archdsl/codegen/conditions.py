"""Who has which steps, said as the text says it: `stride == 1 and in_channels == channels`.

The tests of a block are candidates. One is taken where it is true in exactly those instances that have the steps.
"""

from __future__ import annotations

from archdsl.codegen.merge import MISSING, Step
from archdsl.codegen.terms import negated, translate
from archdsl.ir.network import Scope
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.merge import Body, Branch
    from archdsl.codegen.terms import Term
    from archdsl.core.source import Span


class Test:
    """A test of the text, negated or not, and what it decides about."""

    def __init__(self, expr: tree.Expr, about: Span, negative: bool) -> None:
        self.expr, self.about, self.negative = expr, about, negative


class Conditions:
    """The conditions of a definition over the names of its class."""

    def __init__(self, definition: tree.Block | tree.Net | None, names: dict[str, Term]) -> None:
        self.names = dict(names)
        self.tests = list(_tests(definition.body)) if definition is not None else []
        main = names.get("in_channels")
        for statement in _statements(definition.body) if definition is not None and main is not None else ():
            if isinstance(statement, tree.Bind) and statement.value.span.text == "x" and main is not None:
                self.names.setdefault(f"{statement.name.span.text}.channels", main)

    def of(
        self, branch: Branch, arm: frozenset[int], steps: list[Step], channels: Term | None
    ) -> tuple[Term, tree.Expr] | None:
        """Return a condition that holds in an arm of a branch, and in no other instance that comes to the branch.

        With it comes the test of the text. `channels` are those of what reaches the arm.
        """
        count = len(steps[0].numbers)
        wanted = tuple([i in arm if i in branch.mask else MISSING for i in range(count)])
        for test in sorted(self.tests, key=lambda test: _distance(test.about, steps)):
            for here in (channels, self.names.get("in_channels")):
                term = translate(test.expr, self.names | ({"x.channels": here} if here is not None else {}))
                if term is None or term.literal:
                    continue
                term = negated(term) if test.negative else term
                if all(w is MISSING or c is w for c, w in zip(term.column, wanted)):
                    return term, test.expr
        return None


def arms(branch: Branch) -> Iterator[tuple[frozenset[int], list[Step]]]:
    """Yield the arms of a branch, each with its steps."""
    for mask, items in branch.arms:
        yield mask, list(_inside(items))


def proven(body: Body, conditions: Conditions) -> bool:
    """Say whether the text has a condition for each arm in a body; a block that is empty elsewhere needs none."""
    for branch in body.branches():
        every = list(arms(branch))
        for mask, steps in every if branch.rest else every[:-1]:
            what = steps[0].node.what
            block = branch.optional is not None and isinstance(what, Scope) and what.kind == "block"
            if not block and conditions.of(branch, mask, steps, None) is None:
                return False
    return True


def _inside(items: list[Step | Branch]) -> Iterator[Step]:
    for item in items:
        if isinstance(item, Step):
            yield item
        else:
            for _, arm in item.arms:
                yield from _inside(arm)


def _distance(about: Span, steps: list[Step]) -> tuple[int, int]:
    """Return how likely a test decides about steps: the innermost around them first, then those inside of them."""
    spans = [step.node.span for step in steps]
    if all(about.source is s.source and about.start <= s.start and s.end <= about.end for s in spans):
        return 0, about.end - about.start
    inside = any(about.source is s.source and s.start <= about.start and about.end <= s.end for s in spans)
    return (1 if inside else 2), 0


def _tests(piece: object) -> Iterator[Test]:
    """Yield the tests in a piece of syntax, each with what it decides about."""
    if isinstance(piece, tree.If):
        for number, (test, body) in enumerate(piece.arms):
            about = body[0].span.replace(end=body[-1].span.end)
            if test is not None:
                yield Test(test, about, negative=False)
            elif number == 1 and piece.arms[0][0] is not None:
                yield Test(piece.arms[0][0], about, negative=True)
    elif isinstance(piece, tree.OnlyIf):
        yield Test(piece.test, piece.span, negative=False)
    elif isinstance(piece, tree.Either):
        yield Test(piece.test, piece.value.span, negative=False)
        yield Test(piece.test, piece.other.span, negative=True)
    elif isinstance(piece, tree.Comprehension) and piece.test is not None:
        yield Test(piece.test, piece.span, negative=False)
    for part in _parts(piece):
        yield from _tests(part)


def _statements(piece: object) -> Iterator[tree.Statement]:
    if isinstance(piece, tree.Statement):
        yield piece
    for part in _parts(piece):
        yield from _statements(part)


def _parts(piece: object) -> Iterator[object]:
    if isinstance(piece, tuple):
        yield from piece
    elif isinstance(piece, tree.Node):
        yield from [getattr(piece, field) for field in piece.fields if field != "span"]
