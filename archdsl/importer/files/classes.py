"""Names for the classes of modules, where a file has modules without them: by what stands in them.

Modules of equal kind become one block if they can, so a guess that is wrong costs beauty, and no truth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.importer.files.nodes import Node

SEQUENCE = "torch.nn.modules.container.Sequential"
SHORT = {  # what a class of plain steps is named after
    "BatchNormalization": "Norm",
    "ConvTranspose": "Deconv",
    "Gemm": "Linear",
    "LayerNormalization": "Norm",
}
MOST = 3  # steps that a name tells
ACTIVATIONS = frozenset(
    "Relu Clip LeakyRelu PRelu Elu Sigmoid HardSigmoid HardSwish Silu Mish Gelu Tanh Softplus".split()
)


def classed(nodes: Sequence[Node]) -> list[Node]:
    """Return nodes whose modules all have classes."""
    inside: dict[str, list[Node]] = {}
    for node in nodes:
        for path, _ in node.scope:
            inside.setdefault(path, []).append(node)
    kinds = {path: _kind(path, found, inside) for path, found in inside.items()}
    return [
        replace(node, scope=tuple((path, kind or kinds[path]) for path, kind in node.scope)) if node.scope else node
        for node in nodes
    ]


def _kind(path: str, nodes: list[Node], inside: dict[str, list[Node]]) -> str:
    """Return the class of a module: a sequence, one named after its steps, or after its first part."""
    own = path.rpartition(".")[2]
    parts = dict.fromkeys(_part(node, path) for node in nodes)
    if not all(part.isdecimal() for part in parts):
        first = next(part for part in parts if not part.isdecimal())
        return f"{first}.{'Block' if own.isdecimal() else own.strip('0123456789_') or 'Block'}"
    if any(len(inside.get(f"{path}.{part}", ())) > 1 for part in parts):
        return SEQUENCE
    words = ["Act" if node.op in ACTIVATIONS else SHORT.get(node.op, node.op.title()) for node in nodes]
    words = [word for word in words if word != "Transpose"]
    return "".join(words) if len(words) <= MOST else f"{words[0]}.Block"


def _part(node: Node, path: str) -> str:
    """Return the name of the part of a module in which a node stands; its operator, where it stands in none."""
    for place, _ in node.scope:
        if place.startswith(f"{path}."):
            return place.removeprefix(f"{path}.").partition(".")[0]
    return node.op
