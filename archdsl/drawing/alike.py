"""Which scopes are drawn as one: those with the same steps, and those whose steps differ in numbers only."""

from __future__ import annotations

from archdsl.drawing.words import is_minor
from archdsl.ir.liveness import is_empty
from archdsl.ir.network import Scope
from archdsl.ir.walk import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.ir.network import Node


class Alike:
    """Numbers for scopes, equal where scopes are drawn alike."""

    def __init__(self) -> None:
        self.numbers: dict[object, int] = {}

    @once
    def exactly(self, scope: Scope) -> int:
        """Return the number of what a scope does: equal for steps with equal arguments, whatever shapes they are on.

        So the layers of a dense block are alike, whose maps have ever more channels.
        """
        return self._number(scope, [(self.step(node), node.inputs, node.outputs) for node in scope.nodes])

    @once
    def loosely(self, scope: Scope) -> int:
        """Return the number of how a scope is built: equal where only numbers and repeats differ."""
        names = {value: at for at, value in enumerate(scope.inputs)}
        steps: list[object] = []
        for node in scope.nodes:
            kind = self._kind(node)
            step = (kind, tuple([names.get(value, -1) for value in node.inputs]))
            if steps and isinstance(node.what, Scope) and steps[-1] == step:
                names.update(dict.fromkeys(node.outputs, names[node.inputs[0]]))
                continue  # a further repeat
            steps.append(step if kind is not None else None)
            if kind is None:
                names[node.outputs[0]] = names[node.inputs[0]]
                continue
            names.update({value: len(scope.inputs) + len(steps) + 1000 * at for at, value in enumerate(node.outputs)})
        return self._number(scope, steps)

    def step(self, node: Node) -> object:
        """Return what a step does, whatever shapes it is on; the rates of dropout, which grow along a net, aside."""
        if isinstance(node.what, Scope):
            return self.exactly(node.what)
        return node.what.name if is_minor(node.what) else node.what

    def _kind(self, node: Node) -> object:
        if isinstance(node.what, Scope):
            return None if is_empty(node.what) else self.loosely(node.what)
        return None if "identity" in node.what.traits else node.what.name

    def _number(self, scope: Scope, steps: list[object]) -> int:
        title = scope.title if scope.kind == "block" else scope.kind
        ends = tuple([output.value for output in scope.outputs][1:])
        return self.numbers.setdefault((title, tuple(steps), len(ends)), len(self.numbers))
