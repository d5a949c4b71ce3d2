"""Which layers run on the kernels of `archdsl.kernels`: a checked network to the same network with them in it.

The layers of that package hold the same parameters under the same names as PyTorch's, so that weights move between the
two forms as they are.
"""

from __future__ import annotations

from archdsl.codegen.kernels import LOWERINGS
from archdsl.codegen.measured import chosen, known_choice
from archdsl.ir.walk import rewritten
from archdsl.ops.base import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.ir.network import Network, Node, Scope


def lower(network: Network, kernels: str = "none") -> Network:
    """Return a network whose layers run on the kernels: "none" of them, "all", or "auto", those measured to win.

    Raises `ValueError` for another word.
    """
    if known_choice(kernels) == "none":
        return network
    return network.replace(scope=rewritten(network.scope, lambda node, scope: _node(node, scope, kernels)))


def _node(node: Node, scope: Scope, kernels: str) -> Node:
    if not isinstance(node.what, Op):
        return node
    for lowering in LOWERINGS:
        found = lowering.lowered(node.what, scope.shapes[node.inputs[0]])
        if found is not None and chosen(kernels, found[1]):
            return node.replace(what=found[0])
    return node
