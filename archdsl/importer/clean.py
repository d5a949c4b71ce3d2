"""A graph as the text will have it: without what no result needs, and with the modules that stay modules.

What a module is called with says little: one may be given a list that grows, as DenseNet's layers are, or make several
tensors. What counts is which tensors cross its border. Joins that stand first in a module are moved before it, where
that leaves it fewer tensors; a module that makes several is opened, its steps becoming steps of the one around it.
"""

from __future__ import annotations

from torch import nn

from archdsl.importer.graph import Graph, Node, Scope

JOINS = ("cat", "add", "mul", "maximum", "minimum", "sub", "div", "matmul", "attention")


def cleaned(graph: Graph) -> Graph:
    """Bring a graph into the form that is written; its scopes are changed in place."""
    _without_nothing(graph)
    _prefixes(graph)
    _pruned(graph)
    while _hoisted(graph):
        pass
    _opened(graph.root, readers_of(graph))
    return graph


# -------------------------------------------------------------------------------------------------- nodes
def _without_nothing(graph: Graph) -> None:
    """Leave out what computes nothing: dropout that never drops, margins of nothing."""
    instead: dict[Node, Node] = {}
    for scope in list(graph.root.scopes()):
        for item in list(scope.items):
            if not isinstance(item, Node):
                continue
            item.inputs = tuple(instead.get(node, node) for node in item.inputs)
            if _nothing(item):
                instead[item] = item.inputs[0]
                scope.items.remove(item)
    for node in graph.root.nodes():
        node.inputs = tuple(_final(instead, one) for one in node.inputs)
    graph.outputs = {name: _final(instead, node) for name, node in graph.outputs.items()}


def _nothing(node: Node) -> bool:
    """Say whether a step drops nothing, adds no margins, or cuts nothing off."""
    if node.op == "crop":
        return len(node.inputs) == 1 and node.shape == node.inputs[0].shape
    if node.op == "pad":
        return bool(node.fields["size"] == (0, 0, 0, 0))
    return node.op in ("dropout", "dropout2d", "drop_path") and not node.fields["p"]


def _final(instead: dict[Node, Node], node: Node) -> Node:
    while node in instead:
        node = instead[node]
    return node


def _prefixes(graph: Graph) -> None:
    """Let a `cat` begin with one that is there: cat(a, b, c) is cat(cat(a, b), c)."""
    known: dict[tuple[Node, ...], Node] = {}
    for node in graph.root.nodes():
        if node.op != "cat" or node.fields["axis"] != "channels":
            continue
        flat = _flattened(node.inputs)
        for count in range(len(flat), 1, -1):
            if flat[:count] in known and count < len(flat):
                node.inputs = (known[flat[:count]], *flat[count:])
                break
        known.setdefault(flat, node)


def _flattened(inputs: tuple[Node, ...]) -> tuple[Node, ...]:
    found: list[Node] = []
    for node in inputs:
        inner = node.op == "cat" and node.fields["axis"] == "channels"
        found += _flattened(node.inputs) if inner else [node]
    return tuple(found)


def _pruned(graph: Graph) -> None:
    """Leave out what no result needs."""
    needed: set[Node] = set()
    work = list(graph.outputs.values())
    while work:
        node = work.pop()
        if node not in needed:
            needed.add(node)
            work += node.inputs
    for scope in list(graph.root.scopes()):
        scope.items = [item for item in scope.items if isinstance(item, Scope) or item in needed]
    _without_empty(graph.root)


def _without_empty(scope: Scope) -> None:
    for item in scope.items:
        if isinstance(item, Scope):
            _without_empty(item)
    scope.items = [item for item in scope.items if isinstance(item, Node) or item.items]


# -------------------------------------------------------------------------------------------------- borders
def readers_of(graph: Graph) -> dict[Node, set[Node | None]]:
    """Return who reads each tensor; None stands for whoever is given the results."""
    found: dict[Node, set[Node | None]] = {}
    for node in graph.root.nodes():
        for one in node.inputs:
            found.setdefault(one, set()).add(node)
    for node in graph.outputs.values():
        found.setdefault(node, set()).add(None)
    return found


def inputs_of(item: Node | Scope) -> tuple[Node, ...]:
    """Return the tensors that come into a step or a module, in the order in which it is given them or reads them."""
    if isinstance(item, Node):
        return item.inputs
    inside = set(item.nodes())
    read = [one for node in item.nodes() for one in node.inputs if one not in inside]
    given = [one for one in item.given if one in read]
    return tuple(dict.fromkeys([*given, *read]))


def outputs_of(item: Node | Scope, readers: dict[Node, set[Node | None]]) -> tuple[Node, ...]:
    """Return the tensors that a step or a module makes for others, in order."""
    inside = {item} if isinstance(item, Node) else set(item.nodes())
    return tuple(
        node for node in (inside if isinstance(item, Node) else item.nodes()) if readers.get(node, set()) - inside
    )


def _hoisted(graph: Graph) -> bool:
    """Move a join that stands first in a module before it, where all that it reads comes from outside."""
    for scope in list(graph.root.scopes()):
        for item in scope.items:
            if isinstance(item, Scope) and len(inputs_of(item)) > 1:
                join = _first_join(item)
                if join is not None:
                    item.items.remove(join)
                    scope.items.insert(scope.items.index(item), join)
                    return True
    return False


def _first_join(scope: Scope) -> Node | None:
    """Return a join of a module's inputs, without which it has fewer of them."""
    inside = set(scope.nodes())
    for node in scope.items:
        if isinstance(node, Node) and node.op in ("cat", "add") and inside.isdisjoint(node.inputs):
            others = {one for other in inside if other is not node for one in other.inputs if one not in inside}
            if len(others | {node}) < len(inputs_of(scope)):
                return node
    return None


def _opened(scope: Scope, readers: dict[Node, set[Node | None]]) -> None:
    """Open the modules that are none in the text: those without weights, of one weight, and of several results."""
    made: list[Node | Scope] = []
    for item in scope.items:
        if isinstance(item, Node):
            made.append(item)
            continue
        _opened(item, readers)
        made += [item] if _stays(item, readers) else item.items
    scope.items = made


def _stays(scope: Scope, readers: dict[Node, set[Node | None]]) -> bool:
    weighted = [node for node in scope.nodes() if node.weights]
    if not weighted or len(outputs_of(scope, readers)) != 1 or not inputs_of(scope):
        return False
    if any(isinstance(item, Scope) for item in scope.items):
        return True
    return len(weighted) > 1 or label_path(weighted[0]) != scope.path


def label_path(node: Node) -> str:
    """Return the name of the layer that has a node's weights: where they are the module's own, that of the weight."""
    if node.label:
        return node.label
    own, name = next(iter(sorted(node.weights.items(), key=lambda pair: pair[0] == "bias")))
    head, _, last = name.rpartition(".")
    if last.endswith(f"_{own}"):
        return name.removesuffix(f"_{own}")  # `in_proj_weight` beside `in_proj_bias`
    return head if last == own and node.op not in ("scale", "shift", "learned") else name


def chained(scope: Scope) -> bool:
    """Say whether a module is a plain sequence, whose items have their places for names."""
    return scope.kind is nn.Sequential
