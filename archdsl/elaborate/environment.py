"""Names and what they stand for: a chain of scopes that ends in a file."""

from __future__ import annotations

from archdsl.ops import OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from archdsl.core.source import Source, Span
    from archdsl.ops.base import Op
    from archdsl.ops.initializers import Initializer
    from archdsl.syntax import tree


class File:
    """A parsed file: its definitions by name and its lexical defaults for operators, those of a caller among them."""

    def __init__(self, module: tree.Module, operators: Mapping[str, type[Op]] | None = None) -> None:
        self.module = module
        self.operators = operators or OPS
        self.source: Source = module.source
        self.defaults: dict[str, tuple[tuple[str, Any], ...]] = {}
        self.inits: dict[str, tuple[tuple[str, Initializer], ...]] = {}
        self.imports: dict[str, tuple[File, tree.Import]] = {}
        self.definitions: dict[str, tree.Block | tree.Net | tree.Fn | tree.Alias] = {}
        self.values: dict[str, tuple[tree.Node, Any]] = {}  # of definitions, each with the one that it is of
        self.words: dict[str, Any] = {}  # operators by name, with the defaults above, once they are known
        self.asked: dict[str, Any] = {}  # which net with which settings, where it was saved with them
        self.env = Env(None, self)


class Env:
    """One scope of names. In a definition each name is bound once, hides none and never changes."""

    __slots__ = ("file", "index", "loop", "names", "outer", "passed", "places")

    def __init__(self, outer: Env | None, file: File, loop: bool = False) -> None:
        self.outer, self.file = outer, file
        self.names: dict[str, Any] = {}
        self.places: dict[str, Span] = {}
        self.passed: dict[str, tuple[Span, str]] = {}  # what passes of loops have bound, with the loop's variable
        # One pass of a loop has its own names; interpolated ones, `skip{i}`, belong to the body around it.
        self.loop = loop
        self.index = ""  # the variable of the loop, once it is bound

    @property
    def home(self) -> Env:
        """The scope that it is or, of a pass of a loop, that the loop stands in."""
        env = self
        while env.loop and env.outer is not None:
            env = env.outer
        return env

    def within(self, other: Env) -> bool:
        """Say whether it is a scope or stands inside of it: what a name means there, it means here."""
        env: Env | None = self
        while env is not None and env is not other:
            env = env.outer
        return env is not None

    def find(self, name: str) -> Env | None:
        """Return the scope that binds a name, or None."""
        env: Env | None = self
        while env is not None:
            if name in env.names:
                return env
            env = env.outer
        return None

    def index_since(self, outer: Env) -> str:
        """Return the variable of the innermost loop between this scope and an outer one, or an empty text."""
        env: Env | None = self
        while env is not None and env is not outer:
            if env.loop:
                return env.index
            env = env.outer
        return ""

    def visible(self) -> list[str]:
        """Return every name that is bound here or further out, for suggestions."""
        names: list[str] = []
        env: Env | None = self
        while env is not None:
            names += env.names
            env = env.outer
        return names + list(self.file.definitions) + list(self.file.imports)

    def bound_at(self) -> dict[str, Span]:
        """Return where every name is bound that is visible here, for suggestions."""
        places: dict[str, Span] = {}
        env: Env | None = self
        while env is not None:
            places = env.places | places
            env = env.outer
        return places
