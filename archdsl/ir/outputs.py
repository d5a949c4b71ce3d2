"""What a network returns: any labelled step can be asked for by name, and what nobody needs is left out.

A pass from a checked scope to a checked scope. Names are those of the module: `layer2`, or `layer3.1.conv2` for a step
inside a step.
"""

from __future__ import annotations

import keyword

from archdsl.diagnostics import errors
from archdsl.ir.network import Output, Scope
from archdsl.ir.walk import once, with_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Span
    from archdsl.ir.network import Network, Node


def selected(network: Network, names: tuple[str, ...], place: Span) -> Network:
    """Return a network whose results are the steps of some names, without what they do not need."""
    scope = network.scope
    numbers = []
    for name in names:
        scope, number = exposed(scope, name.split("."), name, place)
        numbers.append(number)
    if len(set(numbers)) < len(numbers):
        raise errors.bad_output(place, names[-1], "it is asked for twice", ())
    return network.replace(scope=Pruner().only(scope, tuple(numbers)), chosen=True)


def exposed(scope: Scope, path: list[str], name: str, place: Span) -> tuple[Scope, int]:
    """Return a scope that also returns the step of a path, and the number of that output."""
    first, *rest = path
    node = next((n for n in scope.nodes if n.name == first and n.outputs), None)
    for number, output in enumerate(scope.outputs):
        asked = output.name in (first, _field(name)) and not rest
        if asked and not (output.implicit and node is not None):
            return scope, number
    if node is None or (rest and not isinstance(node.what, Scope)):
        known = [o.name for o in scope.outputs] + [n.name for n in scope.nodes if n.labelled]
        raise errors.bad_output(place, name, f"there is no step `{first}`", known)
    if not rest:
        return _returning(scope, node.outputs[_main(node)], name)
    assert isinstance(node.what, Scope), "only scopes hold further steps"
    inner, number = exposed(node.what, rest, name, place)
    if number < len(node.outputs):
        return _returning(scope, node.outputs[number], name)
    value = len(scope.shapes)
    grown = node.replace(what=inner, outputs=(*node.outputs, value))
    nodes = tuple([grown if n is node else n for n in scope.nodes])
    shapes = (*scope.shapes, inner.output_shapes[number])
    relations = tuple([(relation, grown if n is node else n) for relation, n in scope.relations])
    return _returning(scope.replace(nodes=nodes, shapes=shapes, relations=relations), value, name)


def _main(node: Node) -> int:
    """Return the number of the result that a step passes on: the first that it has in evaluation, too."""
    results = node.what.outputs if isinstance(node.what, Scope) else ()
    return next((number for number, output in enumerate(results) if not output.training), 0)


def _returning(scope: Scope, value: int, name: str) -> tuple[Scope, int]:
    output = Output(_field(name), value)
    return scope.replace(outputs=(*scope.outputs, output)), len(scope.outputs)


def _field(name: str) -> str:
    """Return the name of a result that is a step: a field of a named tuple, `step_1` where a step has no label."""
    field = name.replace(".", "_")
    return field if field.isidentifier() and not keyword.iskeyword(field) else f"step_{field}"


class Pruner:
    """Leaves out steps; each distinct scope is looked at once for each choice of its results."""

    def only(self, scope: Scope, numbers: tuple[int, ...]) -> Scope:
        """Return a scope with some of its results and the steps that they need."""
        outputs = tuple([scope.outputs[number] for number in numbers])
        needed = {output.value for output in outputs}
        nodes = []
        for node in reversed(scope.nodes):
            if needed.intersection(node.outputs):
                nodes.append(node)
                needed.update(node.inputs)
        owners = {node.name for node in nodes if not node.reuses and node.name}
        kept = [_owning(node, owners) for node in reversed(nodes)]
        makers = {node.outputs: node for node in kept}
        relations = tuple([(r, makers[n.outputs]) for r, n in scope.relations if n.outputs in makers])
        return self.inside(scope.replace(nodes=tuple(kept), outputs=outputs, relations=relations, loops=()))

    def inside(self, scope: Scope) -> Scope:
        """Return a scope whose inner nets keep only what the results taken from them need."""
        used = {output.value for output in scope.outputs}
        for node in scope.nodes:
            used.update(node.inputs)
        shared = {node.name for node in scope.nodes if node.reuses}
        nodes = []
        for node in scope.nodes:
            if isinstance(node.what, Scope):
                every = tuple(range(len(node.outputs)))
                numbers = tuple([i for i in every if node.outputs[i] in used])
                if node.what.kind != "net" or node.name in shared or not numbers:
                    numbers = every
                what = self.inner(node.what, numbers)
                if what is not node.what:
                    node = node.replace(what=what, outputs=tuple([node.outputs[i] for i in numbers]))
            nodes.append(node)
        return with_nodes(scope, nodes)

    @once
    def inner(self, scope: Scope, numbers: tuple[int, ...]) -> Scope:
        """Return a scope with some of its results."""
        return self.inside(scope) if len(numbers) == len(scope.outputs) else self.only(scope, numbers)


def _owning(node: Node, owners: set[str]) -> Node:
    """Return a node that owns its module where the step that owned it was left out."""
    if node.reuses and node.name not in owners:
        owners.add(node.name)
        return node.replace(reuses=False)
    return node
