"""Immutable value classes that cost nothing to define.

Every stage of the compiler is a value: syntax trees, operators, graphs, diagnostics. `dataclasses` would say them
as well, but start-up is a feature here: defining 90 frozen dataclasses takes 80 ms of `archdsl check` (0.9 ms
each, 9 ms more for the import), and defining 90 `Record`s takes 1 ms.
"""

from __future__ import annotations

from operator import itemgetter

TYPE_CHECKING = False  # spelled so that `typing` (5 ms) is not imported at run time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, ClassVar, TypeVar
    from typing import Generic as Generic

    from typing_extensions import dataclass_transform

    R = TypeVar("R", bound="Record")
else:

    class Generic:
        """Stand in for the base class that type checkers read, which does nothing at run time."""

        def __class_getitem__(cls, _: object) -> type:
            return cls

    def dataclass_transform(**_: object):
        """Stand in for the type checkers' decorator, which does nothing at run time."""
        return lambda cls: cls


def _nothing(state: object) -> tuple[()]:
    return ()


@dataclass_transform(frozen_default=True)
class Record:
    """An immutable value whose fields are the annotations of its class, in order; a class attribute is a default.

    >>> class Point(Record):
    ...     x: int
    ...     y: int = 0
    >>> Point(1)
    Point(x=1, y=0)
    >>> Point(1) == Point(1, y=0)
    True
    """

    fields: ClassVar[tuple[str, ...]] = ()
    unequal: ClassVar[tuple[str, ...]] = ()  # fields that equality and hashing leave out, such as positions
    _compared: ClassVar[Any]
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        given = cls.__dict__
        own = [n for n, kind in given.get("__annotations__", {}).items() if "ClassVar" not in str(kind)]
        cls.fields = (*[n for n in cls.fields if n not in own], *own)  # declared again: in its new place
        cls._defaults = cls._defaults | {name: getattr(cls, name) for name in cls.fields if name in given}
        compared = [name for name in cls.fields if name not in cls.unequal]
        cls._compared = (
            itemgetter(*compared) if compared else staticmethod(_nothing)
        )  # in C: a third of a comprehension's time

    def __init__(self, *values: Any, **named: Any) -> None:
        fields, state = self.fields, self.__dict__
        if not named and len(values) == len(fields):
            state.update(zip(fields, values))
            return
        state.update(self._defaults)
        state.update(zip(fields, values))
        state.update(named)
        if len(values) > len(fields) or len(state) != len(fields):
            raise TypeError(_mismatch(type(self), values, state))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: cannot set `{name}`")

    def key(self) -> Any:
        """Return what equality compares."""
        return type(self)._compared(self.__dict__)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self.key() == other.key())

    def __hash__(self) -> int:
        return hash((type(self), self.key()))

    def __repr__(self) -> str:
        shown = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.fields if f not in self.unequal)
        return f"{type(self).__name__}({shown})"

    def replace(self: R, **changes: Any) -> R:
        """Return a copy with some fields changed."""
        state = self.__dict__  # which may hold what was worked out of the fields, too
        made = {field: state[field] for field in self.fields} | changes
        if len(made) != len(self.fields):
            raise TypeError(_mismatch(type(self), (), changes))
        return type(self).filled(made)

    @classmethod
    def filled(cls: type[R], state: dict[str, Any]) -> R:
        """Return a record whose every field is in a dictionary."""
        made = cls.__new__(cls)
        made.__dict__.update(state)
        return made


def _mismatch(kind: type[Record], values: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Say how arguments differ from the fields of a record."""
    if len(values) > len(kind.fields):
        return f"{kind.__name__} takes {len(kind.fields)} values, got {len(values)}"
    unknown = sorted(named.keys() - set(kind.fields))
    missing = next((field for field in kind.fields if field not in named), "")
    return f"{kind.__name__} has no field {unknown}" if unknown else f"{kind.__name__} needs `{missing}`"


def kinds(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the types of values, within lists too: 1, 1.0 and true are equal to Python, and differ here."""
    return tuple([kinds(value) if type(value) is tuple else type(value) for value in values])
