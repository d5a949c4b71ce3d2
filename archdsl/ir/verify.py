"""What holds of every checked network, whatever pass made it: said once, and run in the tests after every pass.

A pass that breaks one of these makes wrong code in some later file; here it is found where it happens.
"""

from __future__ import annotations

from archdsl.ir.network import Scope
from archdsl.ir.walk import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.core.sizes import Dim
    from archdsl.ir.network import Network, Node
    from archdsl.ops.base import Relation


class Broken(AssertionError):
    """A network that a pass of the compiler has made wrong: our mistake, never one of a text."""


def verify(network: Network) -> Network:
    """Return the network, or raise `Broken` with everything that does not hold of it.

    - A value is an input of its scope or a result of one node, and is made before it is read.
    - Operands have the shapes that an operator or an inner scope takes, results those that it returns.
    - Names of modules are unique in their scope; a node that reuses one stands after its owner.
    - Results have different names, and there is one outside of training.
    - What holds for some input sizes only is noted of each node, and of no other.
    """
    mistakes = list(dict.fromkeys(_scope(network.scope, set(), Weights(), network.name)))
    if mistakes:
        raise Broken("\n".join(mistakes))
    return network


def _scope(scope: Scope, seen: set[int], weights: Weights, path: str) -> Iterator[str]:
    """Yield what is wrong of a scope and those inside it, each distinct one once."""
    if id(scope) in seen:
        return
    seen.add(id(scope))
    for mistake in (*_values(scope), *_names(scope, weights), *_outputs(scope), *_relations(scope)):
        yield f"{path}: {mistake}"
    for node in scope.nodes:
        for mistake in _shapes(node, scope):
            yield f"{path}.{node.name}: {mistake}"
        if isinstance(node.what, Scope):
            yield from _scope(node.what, seen, weights, f"{path}.{node.name}")


def _values(scope: Scope) -> Iterator[str]:
    known = set(scope.inputs)
    if len(known) < len(scope.inputs) or len(scope.input_names) != len(scope.inputs):
        yield "inputs without a value or a name of their own"
    for node in scope.nodes:
        if not known.issuperset(node.inputs):
            yield f"`{node.name}` reads a value before it is made"
        if not known.isdisjoint(node.outputs) or len(set(node.outputs)) < len(node.outputs):
            yield f"`{node.name}` makes a value that there is"
        known.update(node.outputs)
    if not known.issuperset(o.value for o in scope.outputs):
        yield "a result that nothing makes"


def _names(scope: Scope, weights: Weights) -> Iterator[str]:
    owners: dict[str, Node] = {}
    for node in scope.nodes:
        if node.reuses and node.name not in owners:
            yield f"`{node.name}` is used again before it is there"
        elif node.reuses and weights.of(node, scope) != weights.of(owners[node.name], scope):
            yield f"`{node.name}` is used again with other weights"
        elif not node.reuses and node.name in owners:
            yield f"two modules are called `{node.name}`"
        if node.name and not node.reuses:
            owners[node.name] = node


class Weights:
    """Numbers what steps learn, names and shapes: equal ones are one number, and each scope is looked at once.

    Spelled out, the weights of forty blocks of two blocks each would be 2**40 names.
    """

    def __init__(self) -> None:
        self.numbers: dict[object, int] = {}

    def of(self, node: Node, scope: Scope) -> int:
        """Return the number of what a step learns, as the module of its name holds it."""
        what = node.what
        if not isinstance(what, Scope):
            learned = sorted(what.weights(scope.shapes[node.inputs[0]]).items())
            return self._number((f"{what.name}{what.arguments}", *learned))
        return self.scope(what)

    @once
    def scope(self, scope: Scope) -> int:
        """Return the number of what a scope learns."""
        return self._number(tuple([(node.name, self.of(node, scope)) for node in scope.nodes if not node.reuses]))

    def _number(self, learned: object) -> int:
        return self.numbers.setdefault(learned, len(self.numbers))


def _outputs(scope: Scope) -> Iterator[str]:
    names = [o.name for o in scope.outputs]
    if len(set(names)) < len(names):
        yield f"two results of one name: {names}"
    if all(o.training for o in scope.outputs):
        yield "no result outside of training"


def _shapes(node: Node, scope: Scope) -> Iterator[str]:
    what = node.what
    xs = tuple(scope.shapes[i] for i in node.inputs)
    ys = tuple(scope.shapes[o] for o in node.outputs)
    takes = tuple(what.shapes[i] for i in what.inputs) if isinstance(what, Scope) else xs
    if isinstance(what, Scope) and what.wrapper is not None:
        takes = takes[:1]  # after it may stand the time, which the operator gives
    gives = what.output_shapes if isinstance(what, Scope) else what.shapes(*xs)
    if takes != xs:
        yield f"it takes {takes} and is given {xs}"
    if gives != ys:
        yield f"it returns {gives}, which is noted as {ys}"
    if any(int(dim) < 1 for y in ys for dim in y):
        yield f"nothing is left of {ys}"


def _relations(scope: Scope) -> Iterator[str]:
    """Compare what is noted with what the operators ask, which holds at the default size in any case."""
    noted = {(_equation(relation), node.outputs) for relation, node in scope.relations}
    asked = set()
    for node in scope.nodes:
        if isinstance(node.what, Scope):
            continue
        for relation in node.what.relations(*[scope.shapes[i] for i in node.inputs]):
            if not relation.holds:
                yield f"`{node.what.name}` needs {relation.left} to be {relation.right}"
            if relation.left != relation.right and not all(isinstance(s, int) for s in (relation.left, relation.right)):
                asked.add((_equation(relation), node.outputs))
    for requirement in scope.requirements:
        if not any(relation.holds for relation in requirement.relations):
            yield f"a requirement that does not hold: {requirement}"
        if not all(relation.symbols for relation in requirement.relations):
            yield f"a requirement that depends on no size: {requirement}"
    if asked - noted:
        yield f"relations that are not noted: {asked - noted}"
    if noted - asked:
        yield f"relations of no step: {noted - asked}"


def _equation(relation: Relation) -> tuple[Dim, Dim, bool, Dim | None]:
    return relation.left, relation.right, relation.at_least, relation.otherwise
