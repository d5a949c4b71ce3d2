"""Who has which steps, said as the text says it: `stride == 1 and in_channels == channels`.

The tests of a block are candidates. One is taken where it is true in exactly those instances that have the steps.
"""

from __future__ import annotations

from copy import copy
from operator import itemgetter

from archdsl.codegen.merge import Step, is_given, steps_in
from archdsl.codegen.terms import MISSING, flat, negated, translate
from archdsl.ir.network import Scope
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.merge import Body, Branch
    from archdsl.codegen.terms import Term
    from archdsl.core.source import Span


class Test:
    """A test of the text, negated or not, and what it decides about: a place, and an arm where it is one's."""

    def __init__(
        self, expr: tree.Expr, about: Span, *, negative: bool = False, arm: tuple[int, int] | None = None
    ) -> None:
        self.expr, self.about, self.negative, self.arm = expr, about, negative, arm


class _Read:
    """What a definition says: its tests, the variables of its loops, what it binds, and names of its input."""

    def __init__(self, body: tuple[tree.Node, ...]) -> None:
        self.tests = list(tests_in(body))
        self.counted = {name for targets in _targets(body) for name in flat(targets)}
        binds = [statement for statement in statements_in(body) if isinstance(statement, tree.Bind)]
        self.bound = {bind.name.plain for bind in binds}
        self.inputs = [bind.name.span.text for bind in binds if bind.value.span.text == "x"]


def _read(scope: Scope) -> _Read:
    """Read a definition, or a piece of one, once."""
    text = scope.definition or scope.written
    if text is None:
        return _Read(())
    known = text.__dict__
    if "read" not in known:
        known["read"] = _Read(scope.text)
    found: _Read = known["read"]
    return found


class Conditions:
    """The conditions of a definition, or of a piece of one, over the names of its class."""

    def __init__(self, scope: Scope, names: dict[str, Term]) -> None:
        read = _read(scope)
        self.tests, self.counted, self.bound, self.inputs = read.tests, read.counted, read.bound, read.inputs
        self.names = self._with_inputs(names)

    def over(self, names: dict[str, Term]) -> Conditions:
        """Return the same conditions over other names: those in a loop."""
        made = copy(self)
        made.names = self._with_inputs(names)
        return made

    def _with_inputs(self, names: dict[str, Term]) -> dict[str, Term]:
        """Return names with the channels of those that stand for the input."""
        main = names.get("in_channels")
        return names if main is None else {f"{name}.channels": main for name in self.inputs} | names

    def of(
        self, branch: Branch, arm: frozenset[int], steps: list[Step], channels: Term | None
    ) -> tuple[Term, tree.Expr] | None:
        """Return a condition that holds in an arm of a branch, and in no other instance that comes to the branch.

        With it comes the test of the text. `channels` are those of what reaches the arm.
        """
        wanted = tuple([i in arm if i in branch.mask else MISSING for i in range(len(steps[0].numbers))])
        found = self._around(steps, wanted, channels)
        if found is None and all(self._around([step], wanted, channels) is not None for step in steps):
            return self._around(steps[:1], wanted, channels)  # each has a test of its own, and these say the same
        return found

    def has_test(self, steps: list[Step]) -> bool:
        """Say whether the text has a test of its own for the arm that steps stand in: it is no `else`."""
        return any(test.arm in steps[0].node.arms and not test.negative for test in self.tests)

    def _around(
        self, steps: list[Step], wanted: tuple[object, ...], channels: Term | None
    ) -> tuple[Term, tree.Expr] | None:
        """Return the test that decides about steps, where it is true in exactly those instances."""
        near = [(distance, test) for test in self.tests if (distance := _distance(test, steps)) is not None]
        for _, test in sorted(near, key=itemgetter(0)):
            for here in (channels, self.names.get("in_channels")):
                term = self._term(test.expr, self.names | ({"x.channels": here} if here is not None else {}))
                if term is None or term.literal:
                    continue
                term = negated(term) if test.negative else term
                if all(w is MISSING or c is w for c, w in zip(term.column, wanted)):
                    return term, test.expr
        return None

    def _term(self, expr: tree.Expr, names: dict[str, Term]) -> Term | None:
        """Translate a test; what it says of the passes of a loop is decided for each step, which stands in one."""
        if isinstance(expr, tree.Logic):
            left = tuple([item for item in expr.items if not (self.counted - names.keys()) & {*_names(item)}])
            if len(left) == 1:
                return translate(left[0], names)
            expr = expr.replace(items=left) if left else expr
        return translate(expr, names)


def arms(branch: Branch) -> Iterator[tuple[frozenset[int], list[Step]]]:
    """Yield the arms of a branch, each with its steps."""
    for mask, items in branch.arms:
        yield mask, list(steps_in(items))


def proven(body: Body, conditions: Conditions) -> bool:
    """Say whether the text has a condition for each arm in a body.

    A block that is empty elsewhere needs none, nor does a pipeline that was given as an identity: a parameter asks for
    these.
    """
    for branch in body.branches():
        every = list(arms(branch))
        for mask, steps in every if branch.rest else every[:-1]:
            node = steps[0].node
            block = branch.optional is not None and isinstance(node.what, Scope) and node.what.kind == "block"
            asked = block or (branch.lone is not None and is_given(node))
            if not asked and conditions.of(branch, mask, steps, None) is None:
                return False
    return True


def whole_tests(definition: tree.Block | tree.Net | None) -> Iterator[tree.Expr]:
    """Yield the test under which a block has any steps, where its body is nothing but what that decides about."""
    if not isinstance(definition, tree.Block) or len(definition.body) != 1:
        return
    (statement,) = definition.body
    if isinstance(statement, tree.If) and len(statement.arms) == 1 and statement.arms[0][0] is not None:
        yield statement.arms[0][0]
    elif isinstance(statement, tree.Step) and isinstance(statement.value, tree.OnlyIf):
        yield statement.value.test


def _distance(test: Test, steps: list[Step]) -> tuple[int, int] | None:
    """Return how likely a test decides about steps: the innermost around them first, then those inside of them.

    Pipelines that are bound before an `if` statement stand in an arm of it where they are applied there.
    """
    about, spans = test.about, [step.node.span for step in steps]
    if all(about.source is s.source and about.start <= s.start and s.end <= about.end for s in spans):
        return 0, about.end - about.start
    if test.arm is not None and all(test.arm in step.node.arms for step in steps):
        return 0, about.end - about.start
    inside = any(about.source is s.source and s.start <= about.start and about.end <= s.end for s in spans)
    return (1, 0) if inside else None


def tests_in(piece: object) -> Iterator[Test]:
    """Yield the tests in a piece of syntax, each with what it decides about."""
    if isinstance(piece, tree.If):
        for number, (test, body) in enumerate(piece.arms):
            about = body[0].span.replace(end=body[-1].span.end)
            arm = (piece.span.start, number)
            if test is not None:
                yield Test(test, about, arm=arm)
            elif number == 1 and piece.arms[0][0] is not None:
                yield Test(piece.arms[0][0], about, negative=True, arm=arm)
    elif isinstance(piece, tree.OnlyIf):
        yield Test(piece.test, piece.span)
    elif isinstance(piece, tree.Either):
        yield Test(piece.test, piece.value.span)
        yield Test(piece.test, piece.other.span, negative=True)
    elif isinstance(piece, tree.Comprehension) and piece.test is not None:
        yield Test(piece.test, piece.span)
    inside = [test for part in parts_of(piece) for test in tests_in(part)]
    if isinstance(piece, tree.Scope):  # whose branches may be left out, and then it joins nothing
        once = {(id(test.expr), test.negative): test for test in inside}  # those of scopes in it stand there again
        yield from [Test(test.expr, piece.name.span, negative=test.negative) for test in once.values()]
    yield from inside


def statements_in(piece: object) -> Iterator[tree.Statement]:
    """Yield the statements in a piece of syntax."""
    if isinstance(piece, tree.Statement):
        yield piece
    for part in parts_of(piece):
        yield from statements_in(part)


def _targets(piece: object) -> Iterator[tree.Targets]:
    if isinstance(piece, tree.Targets):
        yield piece
    for part in parts_of(piece):
        yield from _targets(part)


def _names(piece: object) -> Iterator[str]:
    if isinstance(piece, tree.Name) and piece.plain is not None:
        yield piece.plain
    for part in parts_of(piece):
        yield from _names(part)


def parts_of(piece: object) -> Iterator[object]:
    """Yield what a piece of syntax is made of."""
    if isinstance(piece, tuple):
        yield from piece
    elif isinstance(piece, tree.Node):
        yield from [getattr(piece, field) for field in piece.fields if field != "span"]
