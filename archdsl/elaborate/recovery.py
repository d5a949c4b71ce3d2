"""All independent mistakes of one net: it is elaborated once more, and goes on behind each statement that fails.

A statement that fails leaves the tensor as it was before it, as a guess, and the names that it binds are lost. What is
computed from a guess is a guess; a mistake there may be a consequence of an earlier one, so it is only counted where
the same place has been found wrong before: a block that is used eight times is wrong once, and then seven times more.
A net that is right never comes here.
"""

from __future__ import annotations

from archdsl.diagnostics import CompileError, elsewhere, errors
from archdsl.elaborate.nets import Elaborator
from archdsl.elaborate.values import Tensor
from archdsl.syntax import tree
from archdsl.syntax.names import Bound, Forms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.elaborate.builder import Builder, Tag
    from archdsl.elaborate.environment import Env, File
    from archdsl.elaborate.expressions import Spent
    from archdsl.elaborate.nets import Settings
    from archdsl.elaborate.values import BlockValue, OpValue, Results
    from archdsl.ir.network import Scope
    from archdsl.ops.base import Op, Relation

    Result = TypeVar("Result", Tensor, Tensor | Results)

MOST = 100  # mistakes of one net that are looked at, each in every use of its block
ENDS = {"E0106", "E0211", "E0212", "E0218"}  # limits: nothing is gained behind them, and time is lost
KEEPING = (tree.Bind, tree.Output, tree.Require)  # statements that leave the tensor as it is
LOST: Any = object()  # the value of a name whose statement has failed


class Consequence(Exception):
    """What failed needs a value that an earlier mistake has lost."""


class Enough(Exception):
    """Nothing more is to be found."""


def mistakes(
    file: File, net: str, settings: Settings, first: Diagnostic | None = None, spent: Spent | None = None
) -> list[Diagnostic]:
    """Return the independent mistakes of a net, of which the first may be known; adds to `spent`."""
    elaborator = Recovering(settings, first)
    try:
        elaborator.network(file, net)
    except CompileError as mistake:  # of its head
        if first is None:
            elaborator.found[_place(mistake.diagnostic)] = mistake.diagnostic, 1
    except (Consequence, Enough, RecursionError):
        pass
    if spent is not None:
        spent.add(elaborator.steps, elaborator.count)
    return [errors.used_again(diagnostic, count) for diagnostic, count in elaborator.found.values()]


def _place(diagnostic: Diagnostic) -> tuple[str, Span]:
    return diagnostic.code, diagnostic.primary.span


class Recovering(Elaborator):
    """Elaborates a net behind its mistakes and collects them in `found`, each with how often it was met."""

    def __init__(self, settings: Settings, first: Diagnostic | None) -> None:
        super().__init__(settings)
        self.found = {_place(first): (first, 0)} if first is not None else {}
        self.met = 0
        self.guesses: set[tuple[Builder, int]] = set()
        self.bodies = [0]  # how many guesses there were when each body under way began
        self.doubt = False  # a number was read from a guess: whatever follows may depend on it
        self.lost = Forms()  # computed names that are lost

    # ------------------------------------------------------------ mistakes
    def record(self, mistake: CompileError) -> None:
        """Keep a mistake that is no consequence of another; count it where it is known."""
        diagnostic = self._placed(mistake).diagnostic
        self.met += 1
        if diagnostic.code in ENDS or self.met > MOST:
            raise Enough
        place = _place(diagnostic)
        if place in self.found:
            known, count = self.found[place]
            self.found[place] = known, count + 1
        elif not self.doubt and not isinstance(mistake, Doubtful):
            self.found[place] = diagnostic, 1

    def guess(self, x: Tensor) -> Tensor:
        """Return a stand-in for a tensor that a failed statement should have made."""
        builder = self.builder
        builder.shapes.append(x.shape)
        made = Tensor(builder, len(builder.shapes) - 1, x.shape)
        self.guesses.add((builder, made.id))
        return made

    def guessed(self, *tensors: Tensor) -> bool:
        """Say whether one of these tensors is a guess."""
        return any((tensor.builder, tensor.id) in self.guesses for tensor in tensors)

    # ------------------------------------------------------------ where it goes on
    def run(self, body: tuple[tree.Statement, ...], env: Env, x: Tensor | None) -> Tensor | None:
        for statement in body:
            builder = self.builder
            try:
                x = super().run((statement,), env, x)
            except (CompileError, Consequence) as stop:
                if isinstance(stop, CompileError):
                    self.record(stop)
                self.builder = builder
                self._lose(statement, env)
                if x is None:
                    raise Consequence from None
                x = x if isinstance(statement, KEEPING) else self.guess(x)
        return x

    def combine(
        self, kind: str, branches: list[Any], apply: Callable[[Any, Tensor], Tensor | None], current: Tensor, span: Span
    ) -> Tensor:
        def attempt(branch: Any, part: Tensor) -> Tensor | None:
            builder = self.builder
            try:
                return apply(branch, part)
            except (CompileError, Consequence) as stop:
                if isinstance(stop, CompileError):
                    self.record(stop)
                self.builder = builder
                return self.guess(part)

        return super().combine(kind, branches, attempt, current, span)

    def _lose(self, statement: tree.Statement, env: Env) -> None:
        """Remember the names that a statement would have bound, so that nothing is said of their uses."""
        bound = Bound(statement)
        self.lost.update(bound.forms)
        for name in bound.names - {"x"}:
            env.names.setdefault(name, LOST)

    # ------------------------------------------------------------ what is lost
    def eval(self, expr: tree.Expr, env: Env, x: Tensor | None) -> Any:
        try:
            value = super().eval(expr, env, x)
        except CompileError as mistake:
            if mistake.diagnostic.code == errors.UNKNOWN_NAME and isinstance(expr, tree.Name):
                name = expr.plain or self.text_of(expr, env, x)
                if name in self.lost:
                    raise Consequence from None
            raise
        if value is LOST:
            raise Consequence
        return value

    def bind(self, name: str, value: Any, env: Env, span: Span) -> None:
        if env.names.get(name) is LOST:
            del env.names[name]
        super().bind(name, value, env, span)

    # ------------------------------------------------------------ what is a guess
    def attribute_of(self, tensor: Tensor, name: str, span: Span, outputs: tuple[str, ...] = ()) -> Any:
        if name not in elsewhere.ATTRIBUTES:  # which no tensor has, a guess or not
            self.doubt = self.doubt or self.guessed(tensor)
        return super().attribute_of(tensor, name, span, outputs)

    def infer(
        self, op: Op, operands: list[Tensor], span: Span, spans: dict[int, Span], places: dict[str, Span] | None = None
    ) -> tuple[tuple[Shape, ...], list[Relation]]:
        try:
            return super().infer(op, operands, span, spans, places)
        except CompileError as mistake:
            raise Doubtful(mistake.diagnostic) if self.guessed(*operands) else mistake from None

    def node(
        self,
        what: Op | Scope,
        operands: list[Tensor],
        shapes: tuple[Shape, ...],
        span: Span,
        tag: Tag | None,
        **more: Any,
    ) -> Tensor | Results:
        result = super().node(what, operands, shapes, span, tag, **more)
        if self.guessed(*operands):
            self._mark(result)
        return result

    def entered(self, current: Tensor) -> Tensor:
        inner = super().entered(current)
        if self.guessed(current):
            self._mark(inner)
        return inner

    def enclosed(
        self, body: Callable[[Tensor], Tensor | Results], current: Tensor | None, tag: Tag | None, span: Span
    ) -> Tensor:
        before = len(self.guesses)
        return self._since(before, super().enclosed(body, current, tag, span))

    def wrapper(self, value: OpValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        before = len(self.guesses)
        try:
            result = super().wrapper(value, current, span, tag)
        except CompileError as mistake:
            raise Doubtful(mistake.diagnostic) if len(self.guesses) > before else mistake from None
        return self._since(before, result)

    def block(self, value: BlockValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        before = len(self.guesses)
        return self._since(before, super().block(value, current, span, tag))

    def instance(self, value: BlockValue, x: Tensor, span: Span) -> tuple[Scope, tuple[Tensor, ...]]:
        """Elaborate a block; one with a mistake is elaborated in each use, to count it."""
        before = len(self.guesses)
        self.bodies.append(before)
        try:
            found = super().instance(value, x, span)
        finally:
            self.bodies.pop()
        if len(self.guesses) > before:
            del self.instances[value, x.shape]
        return found

    def _body(self, value: BlockValue, current: Tensor | None, span: Span) -> Scope:
        scope = super()._body(value, current, span)
        if current is None:
            raise Enough  # the net's own body: its scope is of no use
        return scope

    def _bind_signature(self, declared: tree.Signature, x: Tensor, env: Env) -> None:
        self.doubt = self.doubt or self.guessed(x)
        super()._bind_signature(declared, x, env)

    def _check_signature(self, declared: tree.Signature, block: str, shape: Shape, env: Env) -> None:
        if len(self.guesses) == self.bodies[-1]:
            super()._check_signature(declared, block, shape, env)

    def _since(self, before: int, result: Result) -> Result:
        """Return a result, which is a guess if guesses were made since there were so many."""
        if len(self.guesses) > before:
            self._mark(result)
        return result

    def _mark(self, result: Tensor | Results) -> None:
        self.guesses |= {(tensor.builder, tensor.id) for tensor in self.tensors(result)}


class Doubtful(CompileError):
    """A mistake where a guess arrives."""
