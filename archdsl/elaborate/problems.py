"""Mistakes as data: elaboration goes on after each statement that fails, and collects those that follow from no other.

A statement that fails leaves the tensor as it was before it, as a guess, and the names that it binds are lost. What is
computed from a guess is a guess; a mistake there may be a consequence of an earlier one, so it is only counted where
the same place has been found wrong before: a block that is used eight times is wrong once, and then seven times more.
"""

from __future__ import annotations

from archdsl.diagnostics import CompileError
from archdsl.elaborate.values import Results, Tensor
from archdsl.syntax import tree
from archdsl.syntax.names import Bound, Forms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.elaborate.context import Context
    from archdsl.elaborate.environment import Env

    Result = TypeVar("Result", Tensor, Tensor | Results)

MOST = 100  # mistakes of one net that are looked at, each in every use of its block
KEEPING = (tree.Bind, tree.Output, tree.Require)  # statements that leave the tensor as it is
LOST: Any = object()  # the value of a name whose statement has failed


class Consequence(Exception):
    """What failed needs a value that an earlier mistake has lost."""


class Enough(Exception):
    """Nothing more is to be found: after a limit time is lost."""


class Problems:
    """The mistakes of one net, each with how often it was met."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, Span], tuple[Diagnostic, int]] = {}
        self.met = 0
        self.guesses = 0  # tensors that were marked as one
        self.doubt = False  # a number was read from a guess: whatever follows may depend on it
        self.lost = Forms()  # computed names that are lost

    def report(self, mistake: CompileError, diagnostic: Diagnostic) -> None:
        """Keep a mistake that is no consequence of another; count it where it is known."""
        self.met += 1
        if self.found and ("limit" in diagnostic.traits or self.met > MOST):
            raise Enough
        place = diagnostic.code, diagnostic.primary.span
        if place in self.found:
            known, count = self.found[place]
            self.found[place] = known, count + 1
        elif not self.doubt and not mistake.doubtful:
            self.found[place] = diagnostic, 1
        if "limit" in diagnostic.traits:
            raise Enough

    # ------------------------------------------------------------ where elaboration goes on
    def recover(
        self, ctx: Context, stop: CompileError | Consequence, statement: tree.Statement, env: Env, x: Tensor | None
    ) -> Tensor:
        """Note why a statement has failed, and return what elaboration goes on with after it."""
        self.meet(ctx, stop)
        bound = Bound(statement)
        self.lost.update(bound.forms)
        for name in bound.names - {"x"}:
            env.names.setdefault(name, LOST)
        if x is None:
            raise Consequence from None
        return x if isinstance(statement, KEEPING) else self.guess(ctx, x)

    def meet(self, ctx: Context, stop: CompileError | Consequence) -> None:
        """Report what has stopped a statement or a branch, where it is a mistake."""
        if isinstance(stop, CompileError):
            self.report(stop, ctx.placed(stop))

    def guess(self, ctx: Context, x: Tensor) -> Tensor:
        """Return a stand-in for a tensor that a failed statement should have made."""
        ctx.builder.shapes.append(x.shape)
        return self.marked(Tensor(ctx.builder, len(ctx.builder.shapes) - 1, x.shape))

    def marked(self, result: Result) -> Result:
        """Return a result, marked as a guess."""
        for tensor in [result] if isinstance(result, Tensor) else [one for _, one in result.tensors]:
            tensor.guess = True
            self.guesses += 1
        return result
