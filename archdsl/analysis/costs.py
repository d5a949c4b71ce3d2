"""What a checked network costs: parameters, and multiply-accumulates for one image at the default input size.

Convention: MACs of convolutions, transposed convolutions and linear layers; norms, activations, pooling and additions
count 0, and so do steps that only outputs `when training` need. FLOPs are twice the MACs. Each distinct scope is
counted once, however often it is used.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.ir.network import Scope
from archdsl.ir.walk import modules, once, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.ir.network import Network, Node


class Cost(Record):
    """Learned parameters and MACs for one image."""

    params: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.macs + other.macs)


class Costs:
    """The costs of a network's scopes and nodes."""

    def __init__(self) -> None:
        self.scope = once(self._scope)

    def _scope(self, scope: Scope) -> Cost:
        """Return the cost of a scope, for one image."""
        found = [(self.node(node, scope), times) for node, times in runs(scope)]
        return Cost(sum([cost.params for cost, _ in found]), sum([cost.macs * times for cost, times in found]))

    def node(self, node: Node, scope: Scope) -> Cost:
        """Return the cost of one step; a further use of a module has MACs but no parameters of its own."""
        if isinstance(node.what, Scope):
            cost = self.scope(node.what)
        else:
            xs = tuple([scope.shapes[i] for i in node.inputs])
            ys = tuple([scope.shapes[o] for o in node.outputs])
            cost = Cost(parameters(node, scope), int(node.what.macs(xs, ys)))
        return Cost(0, cost.macs) if node.reuses else cost


def parameters(node: Node, scope: Scope) -> int:
    """Count the learned parameters of an operator's step."""
    assert not isinstance(node.what, Scope), "scopes are counted by `Costs`"
    total = 0
    if node.what.stateful:
        for shape in node.what.weights(scope.shapes[node.inputs[0]]).values():
            count = 1
            for size in shape:
                count *= size
            total += count
    return total


def cost(network: Network) -> Cost:
    """Return the cost of a whole network."""
    return Costs().scope(network.scope)


def weights(scope: Scope) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and shapes of all learned parameters, as the module's `named_parameters` has them."""
    for path, node, inside in modules(scope):
        if not isinstance(node.what, Scope) and node.what.stateful:
            for name, shape in node.what.weights(inside.shapes[node.inputs[0]]).items():
                yield f"{path}.{name}", shape
