"""What one elaboration knows: its settings, the scope under construction, its limits, what it remembers, its mistakes.

Everything else in this package is functions over a `Context`. It is the only thing that changes while a net is
elaborated; values, environments and finished scopes never do.
"""

from __future__ import annotations

from archdsl.core.record import Record, kinds
from archdsl.core.sizes import Symbol
from archdsl.diagnostics import CompileError, Note, errors
from archdsl.elaborate.builder import Builder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.elaborate.builder import Frame
    from archdsl.elaborate.calls import Given
    from archdsl.elaborate.environment import Env, File
    from archdsl.elaborate.operators import Rule
    from archdsl.elaborate.problems import Problems
    from archdsl.elaborate.values import Results, Tensor
    from archdsl.ir.network import Scope
    from archdsl.syntax import tree

    Result = TypeVar("Result", Tensor, Results, Tensor | Results)

MAX_WORK = 150_000  # expressions evaluated and pipelines applied, 1 s; published networks need under 7,000
MAX_CALLS = 48  # functions, blocks and nets inside one another
NET = 20  # what checking one takes by itself, in steps of a network
MOST = 8_192  # entries of each table of a memo: a search among a million settings needs no more memory than among these


class Settings(Record):
    """What a caller changes about a net: its parameters by name, the sizes of its inputs, the channels of its first
    input, the names of the steps that it returns, how much coarser its maps may be than its inputs. `larger` multiplies
    the default sizes. With `classes` of 0, layers that have so many results are left out.
    """

    params: tuple[tuple[str, Any], ...] = ()
    sizes: tuple[tuple[int, ...], ...] = ()
    in_channels: int | None = None
    outputs: tuple[str, ...] = ()
    larger: int = 1
    output_stride: int | None = None

    def key(self) -> Any:
        return super().key(), kinds([value for _, value in self.params])


class Spent:
    """What has been worked through so far, for several nets together."""

    def __init__(self) -> None:
        self.work = self.nodes = 0

    def add(self, context: Context) -> None:
        """Count one net more: what it is made of, and that it is one."""
        self.work, self.nodes = self.work + context.work, self.nodes + context.nodes + NET


class Memo:
    """What holds of a file whatever the settings are, and is found once for all nets that share the memo.

    Blocks with the same arguments on the same shapes are one scope, operators with the same arguments on the same
    shapes have one result, functions of numbers have one value. With a file it may be used for many nets of that file;
    it keeps the file, of whose trees the identities are keys.
    """

    def __init__(self, file: File | None = None) -> None:
        self.file = file
        self.lasting = file is not None  # whether nets share it: then nothing stays in it that reads tensors of one
        self.symbols: dict[tuple[str, int], Symbol] = {}
        # By what is applied, what that was given, and the shape that it is applied to.
        self.instances: dict[tuple[Any, ...], tuple[Scope, tuple[Tensor, ...]]] = {}
        self.rules: dict[tuple[Any, ...], Rule] = {}
        self.calls: dict[tuple[Any, ...], tuple[Given, Any]] = {}  # by expression, what it calls and has been given
        self.matched: dict[tuple[int, int], tuple[dict[str, tree.Expr], Any]] = {}  # by expression and function
        self.returned: dict[tuple[Any, ...], Any] = {}  # by functions
        self.nests = False  # whether a net is a step of another one, whose further results are then left out
        self.trains = False  # whether anything has results that are there in training alone
        self.indexed = False  # whether a pool returns the positions of its maxima, which hardly any step takes
        self.mentions: dict[int, tuple[Any, frozenset[str]]] = {}  # names in a piece of syntax, by its identity

    def symbol(self, name: str, default: int) -> Symbol:
        """Return an input size, the same one for the same default."""
        return self.symbols.setdefault((name, default), Symbol(name, default))

    def renew(self) -> None:
        """Forget everything where a table is full, but the symbols: arithmetic on sizes is remembered by symbol."""
        tables: tuple[dict[Any, Any], ...] = (
            self.instances, self.rules, self.calls, self.matched, self.returned, self.mentions,
        )  # fmt: skip
        if any(len(table) > MOST for table in tables):
            for table in tables:
                table.clear()


class Watched:
    """A name for a pipeline with a tensor in it, and how often that was applied with weights of its own."""

    def __init__(self, name: str, span: Span, value: Any) -> None:
        self.name, self.span, self.value, self.uses = name, span, value, 0


class Origin:
    """What a definition binds to a name, where that is a body without a module: as it is written, and where."""

    def __init__(self, value: Any, written: tree.Expr, env: Env, frame: Frame | None) -> None:
        self.value, self.written, self.env, self.frame = value, written, env, frame


class Context:
    """One elaboration. With `problems` it goes on after mistakes and collects them; else the first one is raised."""

    def __init__(
        self, settings: Settings | None = None, memo: Memo | None = None, problems: Problems | None = None
    ) -> None:
        self.settings, self.memo, self.problems = settings or Settings(), memo or Memo(), problems
        self.headless = any(name == "classes" and type(v) is int and v == 0 for name, v in self.settings.params)
        self.builder = Builder(None, None)  # of the scope under construction
        self.symbols: dict[str, Symbol] = {}  # the input sizes of this net
        self.work = self.nodes = self.calls = 0
        # By identity; each holds the value, so that its identity stays its own.
        self.weights: dict[int, tuple[Any, int, int]] = {}  # of large values: their parts, and how deep those are
        self.fed: dict[int, tuple[Any, bool]] = {}  # whether a pipeline holds a block that was given a tensor
        self.watched: dict[int, Watched] = {}  # such pipelines, where a name stands for one
        self.learning: dict[int, tuple[Scope, bool]] = {}  # whether a scope has weights
        self.origins: dict[int, Origin] = {}  # of pipelines, by identity
        self.sequences: dict[tuple[int, Shape], tuple[tuple[Any, ...], Scope]] = {}  # the body of a repetition
        self.numbers: dict[Any, Any] = {}  # of the weights and steps that two uses of a module must agree on

    # ------------------------------------------------------------ the scope under construction
    def inside(self, builder: Builder) -> _Inside:
        """Build another scope for a while: `with ctx.inside(Builder(...)) as inner`."""
        return _Inside(self, builder)

    def deeper(self, name: str, span: Span) -> _Deeper:
        """Count one more call inside the ones under way; too many are endless recursion."""
        return _Deeper(self, name, span)

    def trail(self, frame: Frame | None = None) -> list[Note]:
        """Return the chain of instantiations that led here, innermost first; a long one is cut in the middle."""
        notes = []
        frame = frame or self.builder.frame
        while frame is not None:
            span = frame.span
            notes.append(Note(f"in `{frame.title}`", span.replace(end=min(span.end, _first_line(span)))))
            frame = frame.outer
        if len(notes) > 4:
            notes = [*notes[:2], notes[-1].replace(text=f"... {len(notes) - 3} more, the first {notes[-1].text}")]
        return notes

    # ------------------------------------------------------------ limits
    def spend(self, work: int, span: Span) -> None:
        """Count work; too much is an error."""
        self.work += work
        if self.work > MAX_WORK:
            raise errors.limit_exceeded(span, "this file takes too long to evaluate", "too many steps", MAX_WORK)

    # ------------------------------------------------------------ mistakes
    @property
    def guesses(self) -> int:
        """How many tensors are guesses so far."""
        return self.problems.guesses if self.problems is not None else 0

    def since(self, before: int, result: Result) -> Result:
        """Return a result, which is a guess if guesses were made since there were so many."""
        if self.problems is not None and self.problems.guesses > before:
            self.problems.marked(result)
        return result

    def placed(self, mistake: CompileError) -> Any:
        """Return the diagnostic of a mistake with the chain of instantiations that led there, where it has none yet."""
        diagnostic, frame = mistake.diagnostic, mistake.frame or self.builder.frame
        if frame is None or any(note.span is not None for note in diagnostic.notes):
            return diagnostic
        if frame.outer is None and frame.span.start <= diagnostic.primary.span.start < frame.span.end:
            return diagnostic  # of the net itself, not of one that it is made of
        return diagnostic.noting(*self.trail(frame))


class _Inside:
    __slots__ = ("builder", "context", "outer")

    def __init__(self, context: Context, builder: Builder) -> None:
        self.context, self.builder, self.outer = context, builder, context.builder

    def __enter__(self) -> Builder:
        self.context.builder = self.builder
        return self.builder

    def __exit__(self, kind: object, mistake: object, trace: object) -> None:
        self.context.builder = self.outer
        if isinstance(mistake, CompileError) and mistake.frame is None:
            mistake.frame = self.builder.frame


class _Deeper:
    __slots__ = ("context", "name", "span")

    def __init__(self, context: Context, name: str, span: Span) -> None:
        self.context, self.name, self.span = context, name, span

    def __enter__(self) -> None:
        self.context.calls += 1
        if self.context.calls > MAX_CALLS:
            self.context.calls -= 1
            raise errors.endless(self.span, self.name, MAX_CALLS)

    def __exit__(self, *_: object) -> None:
        self.context.calls -= 1


def _first_line(span: Span) -> int:
    end = span.source.text.find("\n", span.start)
    return len(span.source.text) if end < 0 else end
