"""Names and what they stand for: a chain of scopes that ends in a file."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl import syntax
    from archdsl.initializers import Initializer
    from archdsl.source import Source, Span


class File:
    """A parsed file: its definitions by name and its lexical defaults for operators."""

    def __init__(self, module: syntax.Module) -> None:
        self.module = module
        self.source: Source = module.source
        self.defaults: dict[str, tuple[tuple[str, Any], ...]] = {}
        self.inits: dict[str, tuple[tuple[str, Initializer], ...]] = {}
        self.imports: dict[str, tuple[File, syntax.Import]] = {}
        self.definitions: dict[str, syntax.Block | syntax.Net | syntax.Fn | syntax.Alias] = {}
        self.aliases: dict[str, Any] = {}  # values of `net name = value`, once they are known
        self.env = Env(None, self)


class Env:
    """One scope of names. Each name is bound once; there is no mutation."""

    __slots__ = ("file", "home", "names", "outer", "places")

    def __init__(self, outer: Env | None, file: File, loop: bool = False) -> None:
        self.outer, self.file = outer, file
        self.names: dict[str, Any] = {}
        self.places: dict[str, Span] = {}
        # One pass of a loop has its own names; interpolated ones, `skip{i}`, belong to the body around it.
        self.home: Env = outer.home if loop and outer is not None else self

    def find(self, name: str) -> Env | None:
        """Return the scope that binds a name, or None."""
        env: Env | None = self
        while env is not None:
            if name in env.names:
                return env
            env = env.outer
        return None

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
