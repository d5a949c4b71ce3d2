"""The two ends of a network: which layers with weights its inputs reach first, and which its results come from.

Weights of a network for other classes or other images fit everywhere else, so that transfer learning has to know them.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.ir.network import Scope
from archdsl.ops.base import as_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.ir.network import Network, Node

    Met = frozenset[
        str
    ]  # the layers with weights that a value comes from, with none in between; INPUT for the net's own

INPUT = ""
NOTHING: Met = frozenset()  # the time of an `ode`


class Layer(Record):
    """A module with weights of its own: what it reads, and how many channels go in and come out."""

    reads: Met
    channels: int
    out: int


class Ends(Record):
    """The layers with weights of a network by the names of their modules, and those that its results come from."""

    layers: dict[str, Layer]
    last: Met

    @property
    def first(self) -> list[str]:
        """The layers that read an input of the network and nothing else with weights."""
        return [name for name, layer in self.layers.items() if layer.reads == {INPUT}]


def ends(network: Network) -> Ends:
    """Follow a network from its inputs to its results, those of training too.

    >>> from archdsl.compiler import compiled
    >>> found = ends(compiled("resnet18").network)
    >>> found.first, sorted(found.last)
    (['conv1'], ['fc'])
    """
    layers: dict[str, Layer] = {}
    met = _follow(network.scope, "", [frozenset([INPUT]) for _ in network.scope.inputs], layers)
    return Ends(layers, frozenset().union(*met) - {INPUT})  # which may have given its size alone


def _follow(scope: Scope, path: str, given: list[Met], layers: dict[str, Layer]) -> list[Met]:
    """Return what the results of a scope come from, and enter its layers."""
    values = dict(zip(scope.inputs, given))
    for node in scope.nodes:
        place, operands = path + node.name, [values.get(v, NOTHING) for v in node.inputs]
        if isinstance(node.what, Scope):
            results = _follow(node.what, f"{place}.", operands, layers)
        else:
            met = frozenset().union(*operands)
            results = [_entered(node, scope, place, met, layers)] * len(node.outputs)
        values.update(zip(node.outputs, results))
    results = [values[output.value] for output in scope.outputs]
    return [met.union(*given) for met in results] if scope.wrapper else results  # a solver adds to what it is given


def _entered(node: Node, scope: Scope, place: str, met: Met, layers: dict[str, Layer]) -> Met:
    """Return what the result of an operator comes from: itself where it has weights."""
    assert not isinstance(node.what, Scope), "scopes are followed"
    x = scope.shapes[node.inputs[0]] if node.inputs else ()
    if not x or not node.what.weights(x):
        return met
    before = layers[place].reads if place in layers else NOTHING  # one module for two uses
    layers[place] = Layer(met | before, as_int(x[1]), as_int(scope.shapes[node.outputs[0]][1]))
    return frozenset([place])
