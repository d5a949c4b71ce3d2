"""Where code is generated: what is known there of names, channels and conditions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.codegen.conditions import Conditions
    from archdsl.codegen.loops import Place
    from archdsl.codegen.merge import Body
    from archdsl.codegen.terms import Term


class Context:
    """Where code is generated: a body (the class's own, that of a sequence inside it, or that of a loop in one).

    It knows the names there and the channels of values; `owners` are the instances of the class that its own belong to,
    one for each column: in a loop each pass of each instance is one.
    """

    def __init__(
        self, body: Body, channels: dict[int, Term], names: dict[str, Term], conditions: Conditions, owners: list[int]
    ) -> None:
        self.body, self.channels, self.names, self.conditions = body, channels, names, conditions
        self.owners = owners

    def within(self, body: Body, channels: dict[int, Term]) -> Context:
        """Return the context of a sequence inside."""
        return Context(body, channels, self.names, self.conditions, self.owners)

    @property
    def count(self) -> int:
        """How many columns there are."""
        return len(self.owners)


class Written(Exception):
    """A loop that cannot be one in the code: its steps are written out."""

    def __init__(self, where: Place) -> None:
        super().__init__(where)
        self.where = where
