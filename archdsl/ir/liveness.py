"""How eager PyTorch runs one step: as a module or a function, in place or not, and the bytes it moves.

What a step costs in memory, and what most counters see of it, depends on that form; the emitter writes the same one.
"""

from __future__ import annotations

from operator import attrgetter

from archdsl.core.record import Record
from archdsl.ir.network import Scope
from archdsl.ops.base import Op
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from archdsl.ir.network import Node
    from archdsl.ops.base import Call, Kernel

LONG = 8  # bytes of an index


class Traffic(Record):
    """Elements that kernels read and write for one image, indices too, and elements and bytes of a batch."""

    reads: int = 0
    writes: int = 0
    fixed: int = 0
    long_reads: int = 0
    long_writes: int = 0
    once: int = 0
    fixed_bytes: int = 0
    once_bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*[a + b for a, b in zip(self.key(), other.key())])

    def __mul__(self, count: int) -> Traffic:
        return Traffic(*[a * count for a in self.key()])

    def read(self, size: int = 4, batch: int = 1) -> int:
        """Return the bytes read: activations, weights and indices; `size` is that of an element, 4 for float32."""
        return (self.reads * batch + self.fixed) * size + self.long_reads * batch * LONG + self.fixed_bytes

    def written(self, size: int = 4, batch: int = 1) -> int:
        """Return the bytes written."""
        return (self.writes * batch + self.once) * size + self.long_writes * batch * LONG + self.once_bytes

    def moved(self, size: int = 4, batch: int = 1) -> int:
        """Return the bytes read and written."""
        return self.read(size, batch) + self.written(size, batch)


def traffic(kernels: tuple[Kernel, ...]) -> Traffic:
    """Add up what kernels read and write, at the default input size."""
    total = Traffic()
    for kernel in kernels:
        sums = [kernel.reads, kernel.writes, (kernel.fixed,), kernel.long_reads, kernel.long_writes, (kernel.once,)]
        sums += [kernel.fixed_bytes, kernel.once_bytes]
        total += Traffic(*[sum([int(part) for part in parts]) for parts in sums])
    return total


def needed(
    scope: Scope, training: bool = False, reading: Callable[[Node], Iterable[int]] = attrgetter("inputs")
) -> set[int]:
    """Return the values that the results depend on; those of training alone do not count outside of it.

    A step depends on what it is `reading`: all that it is given, unless a caller knows better.
    """
    found = {o.value for o in scope.outputs if training or not o.training}
    for node in reversed(scope.nodes):
        if not found.isdisjoint(node.outputs):
            found.update(reading(node))
    return found


def is_empty(scope: Scope) -> bool:
    """Say whether a scope returns its input as it is."""
    return not scope.nodes and [output.value for output in scope.outputs] == [scope.inputs[0]]


def is_sequential(scope: Scope) -> bool:
    """Say whether a scope is a plain `nn.Sequential`: each step a module, applied to what the step before returns."""
    if len(scope.inputs) != 1 or len(scope.outputs) != 1:
        return False
    value = scope.inputs[0]
    for node in scope.nodes:
        if node.inputs != (value,) or len(node.outputs) != 1 or node.reuses:
            return False
        if not isinstance(node.what, Scope) and module_of(node, scope) is None:
            return False
        value = node.outputs[0]
    return scope.outputs[0].value == value


def is_plain_sequence(scope: Scope) -> bool:
    """Say whether a scope is a sequence whose modules are numbered, as those of `nn.Sequential` are."""
    return bool(scope.nodes) and is_sequential(scope) and all(n.name == str(i) for i, n in enumerate(scope.nodes))


def is_sequence(scope: Scope) -> bool:
    """Say whether a scope runs every step as a module, because it becomes an `nn.Sequential`."""
    if scope.wrapper is not None or is_plain_sequence(scope):
        return True
    listed = scope.kind == "scope" or repeats(scope)
    return listed and is_sequential(scope)


def repeats(scope: Scope) -> bool:
    """Say whether a loop of the text makes the steps of a block, which then go into an `nn.Sequential`."""
    return isinstance(scope.definition, tree.Block) and scope.definition.repeats


def is_module(node: Node, scope: Scope) -> bool:
    """Say whether a step becomes an attribute of its class: no function does it, or it has a label and a module."""
    what = node.what
    if isinstance(what, Scope):
        return True
    shapes = [scope.shapes[i] for i in node.inputs]
    only_form = what.stateful or what.function(*shapes) is None
    return only_form or (node.labelled and module_of(node, scope) is not None)


def module_of(node: Node, scope: Scope) -> Call | None:
    """Return the constructor of a step's module, or None where it has none; it is worked out once for each step."""
    known = node.__dict__
    if "module" not in known:
        assert isinstance(node.what, Op), "scopes are modules by themselves"
        known["module"] = node.what.module(scope.shapes[node.inputs[0]])
    found: Call | None = known["module"]
    return found


UNSAFE = {"source", "custom"}  # what is learned is a view of its weight; a caller's layer may need its result


def in_place(scope: Scope) -> frozenset[int]:
    """Return the activations that may overwrite their input: nobody else reads it, and its maker does not need it."""
    made = [n for n in scope.nodes if isinstance(n.what, Op) and n.what.stateful and not UNSAFE & n.what.traits]
    layers = {value for n in made for value in n.outputs}
    readers: dict[int, int] = {output.value: 2 for output in scope.outputs}  # which is read outside
    for node in scope.nodes:
        for value in {*node.inputs}:
            readers[value] = readers.get(value, 0) + 1
    activations = [(i, n) for i, n in enumerate(scope.nodes) if isinstance(n.what, Op) and n.what.inplace]
    able = {i for i, node in activations if node.inputs[0] in layers and readers[node.inputs[0]] == 1}
    shared = {node.name for i, node in activations if node.labelled and i not in able}  # one module for all its uses
    return frozenset(i for i, node in activations if i in able and not (node.labelled and node.name in shared))
