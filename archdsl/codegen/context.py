"""Where code is generated: what is known there of names, channels and conditions."""

from __future__ import annotations

from copy import copy

from archdsl.codegen.terms import MISSING, fits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.codegen.conditions import Conditions
    from archdsl.codegen.loops import Place
    from archdsl.codegen.merge import Body
    from archdsl.codegen.terms import Column, Term


class Context:
    """Where code is generated: a body (the class's own, that of a sequence inside it, or that of a loop in one).

    It knows the names there and the channels of values. There is a column for each instance of the class, and in a loop
    for each pass of each: `around` stands around the loop, and `columns` are its columns that those here are of.
    """

    def __init__(
        self,
        body: Body,
        channels: dict[int, Term],
        names: dict[str, Term],
        conditions: Conditions,
        around: Context | None = None,
        columns: Sequence[int] = (),
    ) -> None:
        self.body, self.channels, self.names, self.conditions = body, channels, names, conditions
        self.around, self.columns = around, columns
        self.given: dict[str, Term] = {}  # what the text does not say of the passes of a loop, by name
        self.places: list[Term] = []  # variables of a loop that count its passes
        self.free: set[str] = set()  # names of the loop in the text that stand for nothing here

    def within(self, body: Body, channels: dict[int, Term]) -> Context:
        """Return the context of a sequence inside."""
        made = copy(self)
        made.body, made.channels = body, channels
        return made

    @property
    def count(self) -> int:
        """How many columns there are."""
        return len(self.body.scopes)

    def outer(self, column: Column) -> Column | None:
        """Return a column as it is around the loop; None where passes differ."""
        assert self.around is not None, "only in a loop"
        found: list[object] = [MISSING] * self.around.count
        for i, value in zip(self.columns, column):
            if not fits((value,), (found[i],)) and value is not MISSING:
                return None
            found[i] = value if found[i] is MISSING else found[i]
        return tuple(found)


class Written(Exception):
    """A loop that cannot be one in the code: its steps are written out."""

    def __init__(self, where: Place) -> None:
        super().__init__(where)
        self.where = where
