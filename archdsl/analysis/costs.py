"""What a checked network costs: parameters, and multiply-accumulates for one image at the default input size.

Convention: MACs of convolutions, transposed convolutions and linear layers; norms, activations, pooling and additions
count 0, and so do steps that only outputs `when training` need. FLOPs are twice the MACs. Each distinct scope is
counted once, however often it is used.
"""

from __future__ import annotations

from archdsl.core.record import Generic, Record
from archdsl.ir.network import Scope
from archdsl.ir.walk import modules, once, runs
from archdsl.ops.base import Op, elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from archdsl.ir.network import Network, Node

    C = TypeVar("C", bound="Cost")
else:
    C = None


class Cost(Record):
    """Learned parameters and MACs for one image."""

    params: int = 0
    macs: int = 0

    def __add__(self: C, other: C) -> C:
        return type(self)(*[a + b for a, b in zip(self.key(), other.key())])

    def times(self: C, count: int) -> C:
        """Return what `count` equal steps cost."""
        return self if count == 1 else type(self)(*[a * count for a in self.key()])

    def run(self: C, count: int) -> C:
        """Return what `count` runs of one step cost: its parameters are there once."""
        return self if count == 1 else self.times(count).replace(params=self.params)


NOTHING = Cost()


class Counting(Generic[C]):
    """Adds the costs of steps up: base of what counts parameters and MACs, and of what counts by a convention."""

    operator: Callable[[Node, Scope], C]  # what one run costs
    total: Callable[[list[C]], C]  # the sum of several

    def node(self, node: Node, scope: Scope) -> C:
        """Return the cost of one step; a further use of a module has no parameters of its own."""
        cost = self.scope(node.what) if isinstance(node.what, Scope) else self.operator(node, scope)
        return cost.replace(params=0) if node.reuses else cost

    @once
    def scope(self, scope: Scope) -> C:
        """Return what one run of a scope costs; steps that only training needs have parameters and no runs."""
        return self.total([cost.run(times) for cost, (_, times) in zip(self.steps(scope), runs(scope))])

    @once
    def steps(self, scope: Scope) -> list[C]:
        """Return the cost of each step of a scope."""
        return [self.node(node, scope) for node in scope.nodes]


class Costs(Counting[Cost]):
    """Counts parameters and MACs."""

    def operator(self, node: Node, scope: Scope) -> Cost:
        assert not isinstance(node.what, Scope), "only called for operators"
        if not node.what.stateful and type(node.what).macs is Op.macs:
            return NOTHING
        xs = tuple([scope.shapes[i] for i in node.inputs])
        ys = tuple([scope.shapes[o] for o in node.outputs])
        return Cost(parameters(node, scope), int(node.what.macs(xs, ys)))

    def total(self, costs: list[Cost]) -> Cost:
        return Cost(sum([cost.params for cost in costs]), sum([cost.macs for cost in costs]))


def parameters(node: Node, scope: Scope) -> int:
    """Count the learned parameters of an operator's step."""
    assert not isinstance(node.what, Scope), "only called for operators"
    return elements(node.what.weights(scope.shapes[node.inputs[0]])) if node.what.stateful else 0


def cost(network: Network) -> Cost:
    """Return the cost of a whole network."""
    return Costs().scope(network.scope)


def weights(scope: Scope) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names and shapes of all learned parameters, as the module's `named_parameters` has them."""
    for path, node, inside in modules(scope):
        if not isinstance(node.what, Scope) and node.what.stateful:
            for name, shape in node.what.weights(inside.shapes[node.inputs[0]]).items():
                yield f"{path}.{name}", shape
