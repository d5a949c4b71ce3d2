"""What a module computes, in the operators of the language: nodes, and the modules in which they stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(eq=False)
class Node:
    """One step, which makes one tensor. `op` is an operator, or "input".

    `weights` maps the names of the operator's own state, such as `weight`, to names in the state dict of the module.
    """

    op: str
    fields: dict[str, Any]
    inputs: tuple[Node, ...]
    shape: tuple[int, ...]
    weights: dict[str, str] = field(default_factory=dict)
    label: str = ""  # the name of what is a layer as a whole
    call: Any = field(default=None, repr=False)  # of which it was made

    def __repr__(self) -> str:
        return f"{self.op}{self.fields}{'x'.join(map(str, self.shape))}"

    @property
    def channels(self) -> int:
        """The channels of a map or of tokens, the features of features."""
        return self.shape[-1] if len(self.shape) in (3, 5) else self.shape[1]


@dataclass(eq=False)
class Scope:
    """A module while it runs: its name from the root, its class, what it is given, and what happens in it, in order."""

    path: str
    kind: type
    given: tuple[Node, ...] = ()
    items: list[Node | Scope] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """Go over the nodes of this module and of those within it, in order."""
        for item in self.items:
            if isinstance(item, Scope):
                yield from item.nodes()
            else:
                yield item

    def scopes(self) -> Iterator[Scope]:
        """Go over this module and those within it."""
        yield self
        for item in self.items:
            if isinstance(item, Scope):
                yield from item.scopes()


@dataclass
class Graph:
    """A whole network: its inputs, its root module, its results by name, and which of these training alone has."""

    inputs: tuple[Node, ...]
    root: Scope
    outputs: dict[str, Node]
    training: tuple[str, ...] = ()


class Unsaid(Exception):
    """What the language cannot say: the reason, the module in which it stands, and the call, if it is one."""

    def __init__(self, reason: str, path: str) -> None:
        super().__init__(reason)
        self.reason, self.path = reason, path
        self.call: Any = None

    def __str__(self) -> str:
        return f"`{self.path}`: {self.reason}" if self.path else self.reason
