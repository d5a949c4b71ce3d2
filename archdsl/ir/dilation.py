"""A network with finer maps: strides beyond an output stride are left out, and windows after them are dilated.

The rule is that of algorithme à trous (Chen et al., 2017, arXiv:1606.00915, section 3.1): a window whose step would
make the map coarser than asked keeps its place and takes every position; all windows after it read positions so far
apart as that step was, so that the weights mean what they meant. Where the coarse map had a position, the fine one has
the same value, up to margins.

A pass from a checked scope to a checked scope.
"""

from __future__ import annotations

from archdsl.core.sizes import Size, SizeFault
from archdsl.diagnostics import errors
from archdsl.ir.network import Scope
from archdsl.ir.walk import once
from archdsl.ops.base import Op, ShapeFault, extent
from archdsl.ops.conv import Conv, Depthwise, Filter
from archdsl.ops.margins import PadSame
from archdsl.ops.pool import Adaptive, AvgPool, MaxPool
from archdsl.ops.reshape import Upsample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.sizes import Dim, Shape
    from archdsl.ir.network import Network, Node
    from archdsl.ops.base import Relation

    Rate = tuple[int, int]
    Rates = tuple[Rate, ...]
    Made = tuple[Scope, Rates]

PLAIN = (1, 1)
MAPS = (0, 1)  # rows and columns


def dilated(network: Network, stride: int) -> Network:
    """Return a network whose maps are at most `stride` times coarser than its input; raises `CompileError`."""
    scope = network.scope
    shapes = tuple([scope.shapes[value] for value in scope.inputs])
    made, _ = _Dilation(stride).scope(scope, shapes, (PLAIN,) * len(shapes))
    return network.replace(scope=made)


class _Dilation:
    """Makes the scopes anew, each once for each choice of shapes and rates of what it is given.

    The rate of a map is how many of its positions stand where the coarse map had one step.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride

    @once
    def scope(self, scope: Scope, shapes: tuple[Shape, ...], rates: Rates) -> Made:
        """Return a scope for inputs of these shapes and rates, and the rates of its results."""
        known = list(scope.shapes)
        rate = dict.fromkeys(scope.inputs, PLAIN) | dict(zip(scope.inputs, rates))  # a solver adds the time
        for value, shape in zip(scope.inputs, shapes):
            known[value] = shape
        nodes, relations = [], []
        owners: dict[str, Op | Scope] = {}
        for node in scope.nodes:
            try:
                made, results, found = self._node(node, scope, known, rate)
            except (ShapeFault, SizeFault) as fault:
                raise errors.no_output_stride(node.span, self.stride, str(fault)) from None
            if node.reuses and not _alike(owners[node.name], made.what):
                raise errors.no_output_stride(node.span, self.stride, "a module with these weights is another one here")
            owners.setdefault(node.name, made.what)
            nodes.append(made)
            relations += [(relation, made) for relation in found]
            for value, (shape, own) in zip(node.outputs, results):
                known[value], rate[value] = shape, own
        new = scope.replace(nodes=tuple(nodes), shapes=tuple(known), relations=tuple(relations))
        same = known == list(scope.shapes) and all(a is b for a, b in zip(nodes, scope.nodes))
        return scope if same else new, tuple([rate[output.value] for output in scope.outputs])

    def _node(
        self, node: Node, scope: Scope, known: list[Shape], rate: dict[int, Rate]
    ) -> tuple[Node, list[tuple[Shape, Rate]], list[Relation]]:
        """Return a step anew, the shapes and rates of its results, and what it needs of sizes."""
        shapes = tuple([known[value] for value in node.inputs])
        rates = tuple([rate[value] for value in node.inputs])
        if isinstance(node.what, Scope):
            inner, own = self.scope(node.what, shapes, rates)
            made = node if inner is node.what else node.replace(what=inner)
            return made, list(zip(inner.output_shapes, own)), []
        op, after = self._operator(node.what, shapes, rates)
        results = op.shapes(*shapes)
        if op.stateful and op.weights(shapes[0]) != node.what.weights(scope.shapes[node.inputs[0]]):
            raise ShapeFault("its weights are for a map of another size")
        after = self._through(op, shapes, rates, results[0]) if after is None else after
        made = node if op is node.what else node.replace(what=op)
        return made, [(shape, after) for shape in results], _relations(op, shapes)

    def _operator(self, op: Op, shapes: tuple[Shape, ...], rates: Rates) -> tuple[Op, Rate | None]:
        """Return an operator anew, and the rate of what it makes, where it is a window."""
        if isinstance(op, PadSame):
            return self._margins(op, shapes[0], rates[0]), rates[0]
        if isinstance(op, (Conv, Depthwise, Filter, MaxPool, AvgPool)):
            return self._window(op, shapes[0], rates[0])
        return op, None

    def _window(self, op: Conv | Depthwise | Filter | MaxPool | AvgPool, x: Shape, rate: Rate) -> tuple[Op, Rate]:
        """Return a window that steps no further than it may, over positions as far apart as they are."""
        own = op.step if isinstance(op, (MaxPool, AvgPool)) else op.stride
        kept = self._kept(x, own)
        after = _pair([r * step // left for r, step, left in zip(rate, own, kept)])
        if kept == own and rate == PLAIN:
            return op, rate
        if isinstance(op, AvgPool):
            if rate != PLAIN and op.kernel != PLAIN:
                raise ShapeFault("the mean over a window has no dilated form")
            return op.replace(stride=kept), after
        dilation = _pair([d * r if side > 1 else d for d, r, side in zip(op.dilation, rate, op.kernel)])
        made = op.replace(stride=kept, dilation=dilation)
        pad = _pair([p * r for p, r in zip(_padding(op, x), rate)])
        return made if op.pad is None and _padding(made, x) == pad else made.replace(pad=pad), after

    def _margins(self, op: PadSame, x: Shape, rate: Rate) -> PadSame:
        """Return the margins of a window that comes after them."""
        kept = self._kept(x, op.stride)
        if kept == op.stride and rate == PLAIN:
            return op
        return op.replace(window=_pair([(side - 1) * r + 1 for side, r in zip(op.window, rate)]), stride=kept)

    def _kept(self, x: Shape, steps: tuple[int, int]) -> tuple[int, int]:
        """Return the steps of a window that are left."""
        return _pair([step if self._allowed(size, step) else 1 for size, step in zip(x[2:], steps)])

    def _allowed(self, size: Dim, step: int) -> bool:
        """Say whether a map of this size may be made coarser by a step."""
        if step == 1 or not isinstance(size, Size) or not size.slope:
            return True
        return step * size.period <= self.stride * size.slope

    def _through(self, op: Op, shapes: tuple[Shape, ...], rates: Rates, result: Shape) -> Rate:
        """Return the rate of what another operator makes; raises `ShapeFault` where it has none."""
        if _coarseness(result) > max(self.stride, *map(_coarseness, shapes)):
            raise ShapeFault(f"`{op.name}` has no form that leaves a map as fine as it is")
        given = {r for r, shape in zip(rates, shapes) if r != PLAIN and len(shape) == 4 and _is_map(shape)}
        if not given or not _is_map(result):
            return PLAIN
        if isinstance(op, Adaptive) or (isinstance(op, Upsample) and op.scale is None):  # to a size that is told
            return rates[1] if len(rates) > 1 else PLAIN
        kept = all(extent(result, axis) == extent(shape, axis) for shape in shapes if _is_map(shape) for axis in MAPS)
        if not kept or len(given) > 1:
            raise ShapeFault(f"`{op.name}` has no form for a map whose positions stand closer than they did")
        return given.pop()


def _alike(one: Op | Scope, other: Op | Scope) -> bool:
    """Say whether two uses of a module have the same layers, whatever they are applied to."""
    if isinstance(one, Scope) and isinstance(other, Scope):
        return all(_alike(a.what, b.what) for a, b in zip(one.nodes, other.nodes))
    return one == other or not (isinstance(one, Op) and one.stateful)


def _coarseness(shape: Shape) -> float:
    """Return how many positions of an input lie between two of a map."""
    sizes = [dim for dim in shape[2:] if isinstance(dim, Size) and dim.slope] if len(shape) == 4 else []
    return max([size.period / size.slope for size in sizes], default=0)


def _is_map(shape: Shape) -> bool:
    return len(shape) == 4 and any(int(dim) > 1 for dim in shape[2:])


def _padding(op: Conv | Depthwise | Filter | MaxPool, x: Shape) -> tuple[int, int]:
    if isinstance(op, MaxPool):
        return op.pad
    return op.conv(x).padding if isinstance(op, (Depthwise, Filter)) else op.padding


def _pair(two: list[int]) -> tuple[int, int]:
    high, wide = two
    return high, wide


def _relations(op: Op, shapes: tuple[Shape, ...]) -> list[Relation]:
    """Return what a step needs of sizes for some inputs only; raises `ShapeFault` where it fails at the default."""
    found = []
    for relation in op.relations(*shapes):
        if not relation.holds:
            raise ShapeFault(f"sizes do not fit: {int(relation.left)} against {int(relation.right)}")
        if relation.left != relation.right and not (type(relation.left) is int and type(relation.right) is int):
            found.append(relation)
    return found
