"""A checked network run node by node, as plainly as can be: what generated and optimized code is held to.

Nothing of the emitter is used: no classes are found, nothing is in place, nothing is fused. Every operator is said once
more, from its documentation, and every value must have the shape that the network gives it, so a run at another input
size shows whether that size is legal.
"""

from __future__ import annotations

from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torchdiffeq import odeint

from archdsl.core.record import Record
from archdsl.core.sizes import NUMBER, Area, Size
from archdsl.ir.liveness import needed
from archdsl.ir.network import Scope
from archdsl.ops.base import Measure, Op

if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ir.network import Network, Node
    from archdsl.ops.base import Relation


class Mismatch(Exception):
    """A value that does not have the shape that the network gives it, or operands that do not fit each other."""


class Use(Record):
    """One use of an operator: its arguments, its weights and buffers by name, its operands, and the mode."""

    op: Any
    state: dict[str, torch.Tensor]
    xs: list[torch.Tensor]
    training: bool


def interpret(
    network: Network, state: dict[str, torch.Tensor], *inputs: torch.Tensor, training: bool = False
) -> dict[str, torch.Tensor]:
    """Return the results of a network by name; `state` is a state dict of its module.

    In training the running statistics in `state` are updated in place, as a module updates its own. Raises `Mismatch`,
    or what torch raises, where the inputs have a size that the network does not take.

    >>> import archdsl, torch
    >>> from archdsl.compiler import compiled
    >>> model = archdsl.load("lenet5").eval()
    >>> x = torch.zeros(1, 1, 32, 32)
    >>> found = interpret(compiled("lenet5").network, model.state_dict(), x)
    >>> torch.equal(found["out"], model(x))
    True
    """
    sizes: dict[str, int] = {}
    for value, given in zip(network.scope.inputs, inputs):
        for dim, size in zip(network.scope.shapes[value], given.shape):
            if isinstance(dim, Size) and sizes.setdefault(dim.symbol.name, size) != size:
                raise Mismatch(f"`{dim.symbol.name}` is {size} here and {sizes[dim.symbol.name]} before")
    found = _scope(network.scope, "", state, list(inputs), training, sizes)
    return {o.name: value for o, value in zip(network.scope.outputs, found) if value is not None}


def _scope(
    scope: Scope,
    path: str,
    state: dict[str, torch.Tensor],
    inputs: list[torch.Tensor],
    training: bool,
    sizes: dict[str, int],
) -> list[Any]:
    """Return what a scope returns; None for a result of training outside of it."""
    values = dict(zip(scope.inputs, inputs))
    for value, tensor in values.items():
        _check(tensor, scope.shapes[value], sizes)
    for requirement in scope.requirements:
        if not any(_holds(relation, sizes) for relation in requirement.relations):
            raise Mismatch(f"the sizes {sizes} do not meet a requirement of the text")
    wanted = needed(scope, training)
    for node in scope.nodes:
        if not training and wanted.isdisjoint(node.outputs):
            continue
        xs = [values[i] for i in node.inputs]
        if isinstance(node.what, Op) and "repeats" in node.what.traits:
            _check_repeated([scope.shapes[i] for i in node.inputs], xs)
        if isinstance(node.what, Op) and node.what.name in ("learned", "linear"):
            _check_sized(node.what, sizes)
        made = _node(node, f"{path}{node.name}.", state, xs, training, sizes)
        for value, tensor in zip(node.outputs, made):
            if tensor is not None:
                _check(tensor, scope.shapes[value], sizes)
                values[value] = tensor
    return [values.get(o.value) if training or not o.training else None for o in scope.outputs]


def _node(
    node: Node,
    path: str,
    state: dict[str, torch.Tensor],
    xs: list[torch.Tensor],
    training: bool,
    sizes: dict[str, int],
) -> list[Any]:
    if isinstance(node.what, Scope):
        if node.what.wrapper is not None:
            return [_solved(node.what, path, state, xs[0], training, sizes)]
        return _scope(node.what, path, state, xs, training, sizes)
    own = {}
    if node.what.stateful:
        own = {name.removeprefix(path): value for name, value in state.items() if name.startswith(path)}
    use = Use(node.what, own, xs, training)
    made = _custom(use) if "custom" in node.what.traits else OPERATORS[node.what.name](use)
    return list(made) if isinstance(made, (tuple, list)) else [made]


def _custom(use: Use) -> Any:
    """Run a layer of a caller's with weights from outside: buffers in these are updated as by the layer itself."""
    count = use.xs[0].shape[-1 if use.xs[0].dim() in (3, 5) else 1]
    layer = use.op.layer(count).train(use.training)
    return torch.func.functional_call(layer, use.state, (use.xs[0],), use.op.further(use.xs[1:]))


def _solved(
    scope: Scope, path: str, state: dict[str, torch.Tensor], x: torch.Tensor, training: bool, sizes: dict[str, int]
) -> torch.Tensor:
    """Solve dx/dt = f(x), or f(x, t), from time 0 to time 1."""
    op: Any = scope.wrapper
    timed = len(scope.inputs) > 1

    def derivative(t: torch.Tensor, x: torch.Tensor) -> Any:
        operands = [x, torch.ones_like(x[:, :1]) * t] if timed else [x]
        return _scope(scope, path, state, operands, training, sizes)[0]

    options = {} if op.solver == "dopri5" else {"options": {"step_size": 1 / op.steps}}
    times = torch.tensor([0.0, 1.0], dtype=x.dtype)
    return odeint(derivative, x, times, rtol=op.tolerance, atol=op.tolerance, method=op.solver, **options)[-1]


def _check(tensor: torch.Tensor, shape: Shape, sizes: dict[str, int]) -> None:
    """Raise `Mismatch` where a value has another shape than the network says, or nothing is left of it."""
    wanted = tuple(at(dim, sizes) for dim in shape)
    if tuple(tensor.shape) != wanted or min(wanted[1:]) < 1:
        raise Mismatch(f"{tuple(tensor.shape)} where the network has {wanted}")


def _check_repeated(shapes: list[Shape], xs: list[torch.Tensor]) -> None:
    """Raise `Mismatch` where torch would repeat an operand along an axis that is not repeated at the default sizes."""
    for axis in range(1, len(shapes[0])):
        dims = [shape[axis] for shape in shapes]
        whole = {x.shape[axis] for x, dim in zip(xs, dims) if dim != 1 and int(dim) == max(map(int, dims))}
        if len(whole) > 1:
            raise Mismatch(f"{[tuple(x.shape) for x in xs]} do not fit each other")


def _check_sized(op: Any, sizes: dict[str, int]) -> None:
    """Raise `Mismatch` where a weight whose size the text takes from the input would have another one here."""
    asked, known = (op.size, list(op.known)) if op.name == "learned" else ((op.out,), [op.known])
    wanted = [at(size, sizes) for size in asked]
    if wanted != known:
        raise Mismatch(f"weights for {known} where the text asks for {wanted}")


def _holds(relation: Relation, sizes: dict[str, int]) -> bool:
    left, right = at(relation.left, sizes), at(relation.right, sizes)
    if relation.otherwise is not None and left == at(relation.otherwise, sizes):
        return True
    return left >= right if relation.at_least else left == right


def at(dim: Dim, sizes: dict[str, int]) -> int:
    """Return a dim at the input sizes that symbols have."""
    if isinstance(dim, Size):
        return dim.at(sizes[dim.symbol.name])
    return dim.factor * prod(at(size, sizes) for size in dim.sizes) if isinstance(dim, Area) else dim


# -------------------------------------------------------------------------------------------------- operators
def _given(u: Use, name: str) -> Any:
    """Return an argument: what is a size of an operand is taken from the operand."""
    value = getattr(u.op, name)
    if isinstance(value, tuple):
        return tuple([_measured(u, one) for one in value])
    return _measured(u, value)


def _measured(u: Use, value: Any) -> Any:
    if not isinstance(value, Measure):
        return value
    return at(value.law, {NUMBER.name: u.xs[value.operand].shape[value.axis]})


def _alike(xs: list[torch.Tensor], *axes: int) -> list[torch.Tensor]:
    """Return tensors of one shape but for some axes; raises `Mismatch`, where torch would repeat one of them."""
    shapes = {tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)) for x in xs}
    if len(shapes) > 1:
        raise Mismatch(f"{[tuple(x.shape) for x in xs]} do not fit each other")
    return xs


def _axis(u: Use, name: str) -> int:
    """Return the number of an axis: N, C, H, W of a map, N, L, C of tokens, N, rows, columns, L, C in windows."""
    layouts = {2: "NC", 3: "NLC", 4: "NCHW", 5: "NHWLC"}
    letters = {"channels": "C", "height": "H", "width": "W", "tokens": "L"}
    return layouts[u.xs[0].dim()].index(letters[name])


def _axes(u: Use) -> list[int]:
    return [_axis(u, name) for name in u.op.axes]


def _cat(u: Use) -> torch.Tensor:
    axis = _axis(u, u.op.axis)
    return torch.cat(_alike(u.xs, axis), axis)


def _parts(u: Use) -> list[torch.Tensor]:
    axis, parts = _axis(u, "channels"), u.op.parts
    x = u.xs[0].movedim(axis, 0)
    sizes = [len(x) // parts] * parts if isinstance(parts, int) else list(parts)
    if sum(sizes) != len(x):
        raise Mismatch(f"{tuple(u.xs[0].shape)} in parts of {sizes}")
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [x[end - size : end].movedim(0, axis) for size, end in zip(sizes, ends)]


def _slice(u: Use) -> torch.Tensor:
    axis, start, stop = _axis(u, u.op.axis), _given(u, "start"), _given(u, "stop")
    if not 0 <= start < stop <= u.xs[0].shape[axis]:
        raise Mismatch(f"{u.op.axis} {start} to {stop} of {tuple(u.xs[0].shape)}")
    return u.xs[0].narrow(axis, start, stop - start)


def _places(x: torch.Tensor) -> torch.Tensor:
    """Return the places of a map as tokens, and tokens as they are."""
    return x.reshape(*x.shape[:2], -1).transpose(1, 2) if x.dim() == 4 else x


def _windowed(u: Use) -> torch.Tensor:
    """Let the places of each window attend to one another: those that lie between the same multiples of its sides."""
    x, (high, wide), (down, across) = u.xs[0], u.op.window, u.op.shift
    height, width = x.shape[2:]
    if height % high or width % wide or {y.shape[2:] for y in u.xs[:3]} != {x.shape[2:]}:
        raise Mismatch(f"{[tuple(x.shape) for x in u.xs]} in windows of {high}x{wide}")
    down, across = down if height > high else 0, across if width > wide else 0
    windows: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, j in [(i - down, j - across) for i in range(height) for j in range(width)]:
        windows.setdefault((i // high, j // wide), []).append((i, j))
    made = x.new_empty(len(x), u.xs[2].shape[1], height, width)
    for spots in windows.values():
        rows, columns = (torch.tensor([i + down for i, _ in spots]), torch.tensor([j + across for _, j in spots]))
        inside = torch.tensor([i % high * wide + j % wide for i, j in spots])  # the place of each in its window
        tokens = [y[:, :, rows, columns].transpose(1, 2) for y in u.xs[:3]]
        bias = [y[:, :, inside[:, None], inside] for y in u.xs[3:]]
        made[:, :, rows, columns] = _attention(u.replace(xs=[*tokens, *bias])).transpose(1, 2)
    return made


def _attention(u: Use) -> torch.Tensor:
    """Take the softmax of every query with all keys, head by head, and the mean of the values that it weighs."""
    if u.op.window and u.xs[0].dim() == 4:
        return _windowed(u)
    q, k, v = [_places(x).tensor_split(u.op.heads, -1) for x in u.xs[:3]]
    found = []
    for head in range(u.op.heads):
        products = q[head] @ k[head].transpose(-2, -1) / q[head].shape[-1] ** 0.5
        if len(u.xs) > 3:  # one for all windows
            products = products + u.xs[3][:, head].reshape(-1, *[1] * (products.dim() - 3), *products.shape[-2:])
        found.append(torch.softmax(products, -1) @ v[head])
    made = torch.cat(found, -1)
    return made.transpose(1, 2).reshape(len(made), -1, *u.xs[0].shape[2:]) if u.xs[0].dim() == 4 else made


def _matmul(u: Use) -> torch.Tensor:
    x, y = u.xs
    if x.shape[:-2] != y.shape[:-2]:
        raise Mismatch(f"{[tuple(x.shape) for x in u.xs]} do not fit each other")
    return torch.matmul(x, y)


def _windows(op: Any, size: torch.Size | tuple[int, ...]) -> tuple[list[torch.Tensor], list[int]]:
    """Return the rows and the columns of each window, as numbers, and the height and width that are cut."""
    found, wholes = [], []
    high, wide = op.window or op.every or op.grid
    for side, length in zip((high, wide), size):
        whole = -(-length // side) * side if op.pad else length
        if whole % side:
            raise Mismatch(f"{length} is not a multiple of {side}")
        places = torch.arange(whole)
        cells = places.reshape(side, -1) if op.grid else places.reshape(-1, side)
        found.append(cells if op.window else cells.T)
        wholes.append(whole)
    return found, wholes


def _tokens(u: Use) -> torch.Tensor:
    x, op = u.xs[0], u.op
    if not (op.window or op.every or op.grid):
        return _places(x)
    (rows, columns), (height, width) = _windows(op, x.shape[2:])
    x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
    made = x[:, :, rows[:, None, :, None], columns[None, :, None, :]]  # N, C, rows, columns, height, width
    return made.reshape(*made.shape[:4], -1).permute(0, 2, 3, 4, 1)


def _untokens(u: Use) -> torch.Tensor:
    x, op = u.xs[0], u.op
    size = _given(u, "size") or u.xs[1].shape[2:]
    if not (op.window or op.every or op.grid):
        if x.shape[1] != size[0] * size[1]:
            raise Mismatch(f"{x.shape[1]} tokens for a map of {tuple(size)}")
        return x.transpose(1, 2).reshape(len(x), -1, *size)
    (rows, columns), (height, width) = _windows(op, size)
    if x.shape[1:4] != (len(rows), len(columns), rows.shape[1] * columns.shape[1]):
        raise Mismatch(f"{tuple(x.shape)} are not the windows of a map of {tuple(size)}")
    made = x.new_empty(len(x), x.shape[-1], height, width)
    cells = x.permute(0, 4, 1, 2, 3).reshape(len(x), -1, len(rows), len(columns), rows.shape[1], columns.shape[1])
    made[:, :, rows[:, None, :, None], columns[None, :, None, :]] = cells
    return made[:, :, : size[0], : size[1]]


def _product(u: Use) -> torch.Tensor:
    result = u.xs[0]
    for x in u.xs[1:]:
        result = result * x
    return result


def _conv(u: Use, out: int, groups: int) -> torch.Tensor:
    op = u.op
    pad = [d * (k - 1) // 2 for k, d in zip(op.kernel, op.dilation)] if op.pad is None else op.pad
    return F.conv2d(u.xs[0], _shaped(u, out), u.state.get("bias"), op.stride, pad, op.dilation, groups)


def _filter(u: Use) -> torch.Tensor:
    op, x = u.op, u.xs[0]
    window = torch.outer(torch.tensor(op.taps), torch.tensor(op.across or op.taps)).to(x)
    pad = [d * (k - 1) // 2 for k, d in zip(window.shape, op.dilation)] if op.pad is None else op.pad
    # In one call, as PyTorch sums then: of places that are equal but for rounding, a pool after them takes either.
    weight = torch.stack([window[None]] * x.shape[1])
    return F.conv2d(x, weight, None, op.stride, pad, op.dilation, x.shape[1])


def _shaped(u: Use, out: int) -> torch.Tensor:
    """Return the weight, which must belong to as many output channels as the text says."""
    if u.state["weight"].shape[0] != out:
        raise Mismatch(f"a weight {tuple(u.state['weight'].shape)} for {out} channels")
    return u.state["weight"]


def _transposed(u: Use) -> torch.Tensor:
    op = u.op
    return F.conv_transpose2d(
        u.xs[0], u.state["weight"], u.state.get("bias"), op.stride, op.pad, op.output_pad, op.groups, op.dilation
    )


def _batch_norm(u: Use) -> torch.Tensor:
    mean, var = u.state.get("running_mean"), u.state.get("running_var")
    training = u.training or not u.op.track
    weight, bias = u.state.get("weight"), u.state.get("bias")
    return F.batch_norm(u.xs[0], mean, var, weight, bias, training, u.op.momentum, u.op.eps)


def _layer_norm(u: Use) -> torch.Tensor:
    rows = u.xs[0].movedim(_axis(u, "channels"), -1)
    weight, bias = u.state.get("weight"), u.state.get("bias")
    return F.layer_norm(rows, rows.shape[-1:], weight, bias, u.op.eps).movedim(-1, _axis(u, "channels"))


def _rms_norm(u: Use) -> torch.Tensor:
    rows = u.xs[0].movedim(_axis(u, "channels"), -1)
    return F.rms_norm(rows, rows.shape[-1:], u.state.get("weight"), u.op.eps).movedim(-1, _axis(u, "channels"))


def _drop_path(u: Use) -> torch.Tensor:
    x, p = u.xs[0], u.op.p
    if not u.training or p == 0:
        return x
    keep = x.new_empty([x.shape[0]] + [1] * (x.dim() - 1)).bernoulli_(1 - p)
    return x * keep / (1 - p) if p < 1 else x * keep


def _maxpool(u: Use) -> Any:
    op = u.op
    stride = op.kernel if op.stride is None else op.stride
    for axis in (0, 1):
        _check_cells(u.xs[0].shape[2 + axis], op.kernel[axis], stride[axis], op.pad[axis], op.dilation[axis])
    made = F.max_pool2d(u.xs[0], op.kernel, stride, op.pad, op.dilation, op.ceil, return_indices=op.indices)
    if op.indices:
        made[1].pooled = u.xs[0].shape[2:]  # positions count along the rows of this size
    return made


def _check_cells(size: int, cells: int, stride: int, pad: int, dilation: int) -> None:
    """Raise `Mismatch` where a window has no cell on the map, so that PyTorch reads what is not there."""
    last = size + 2 * pad - dilation * (cells - 1) - 1
    for start in range(-pad, last - pad + 1, stride):
        if not any(0 <= start + dilation * cell < size for cell in range(cells)):
            raise Mismatch(f"a window that starts at {start} has no cell on a map of {size}")


def _avgpool(u: Use) -> torch.Tensor:
    stride = u.op.kernel if u.op.stride is None else u.op.stride
    return F.avg_pool2d(u.xs[0], u.op.kernel, stride, u.op.pad, u.op.ceil, u.op.count_pad)


def _unpool(u: Use) -> torch.Tensor:
    x, indices = _alike(u.xs[:2])
    stride = u.op.kernel if u.op.stride is None else u.op.stride
    size = u.xs[2].shape[2:] if u.op.like else None
    made = F.max_unpool2d(x, indices, u.op.kernel, stride, u.op.pad, size)
    if made.shape[2:] != indices.pooled:
        raise Mismatch(f"positions of {tuple(indices.pooled)} in {tuple(made.shape[2:])}")
    return made


def _relative_bias(u: Use) -> torch.Tensor:
    """Look up the entry of each pair of places: its row and its column are differences, counted from the least."""
    high, wide = u.op.size or u.xs[0].shape[2:]
    if u.xs[0].dim() != 4 and u.xs[0].shape[-2] != high * wide:  # of a map it is a window
        raise Mismatch(f"biases of {high}x{wide} places for {tuple(u.xs[0].shape)}")
    if len(u.state["weight"]) != (2 * high - 1) * (2 * wide - 1):
        raise Mismatch(f"a table of {len(u.state['weight'])} offsets for {high}x{wide}")
    spots = [(row, column) for row in range(high) for column in range(wide)]
    entries = [[(a - c + high - 1) * (2 * wide - 1) + b - d + wide - 1 for c, d in spots] for a, b in spots]
    return u.state["weight"][torch.tensor(entries)].permute(2, 0, 1).repeat(len(u.xs[0]), 1, 1, 1)


def _shuffle(u: Use) -> torch.Tensor:
    n, c, h, w = u.xs[0].shape
    return u.xs[0].reshape(n, u.op.groups, c // u.op.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def _crop(u: Use) -> torch.Tensor:
    x, size = u.xs[0], _given(u, "size") or u.xs[1].shape[2:]
    starts = _given(u, "offset") or [(have - want) // 2 for have, want in zip(x.shape[2:], size)]
    if any(start < 0 or start + want > have for start, want, have in zip(starts, size, x.shape[2:])):
        raise Mismatch(f"a crop of {tuple(size)} at {tuple(starts)} of {tuple(x.shape)}")
    return x[:, :, starts[0] : starts[0] + size[0], starts[1] : starts[1] + size[1]]


def _subsample(u: Use) -> torch.Tensor:
    x = u.xs[0]
    for axis, start, step in zip((2, 3), u.op.offset, u.op.stride):
        x = x.index_select(axis, torch.arange(start, x.shape[axis], step))
    return x


def _pad(u: Use) -> torch.Tensor:
    margins = _given(u, "size")
    if min(margins) < 0:
        raise Mismatch(f"margins of {margins}")
    return F.pad(u.xs[0], margins, u.op.mode)


def _upsample(u: Use) -> torch.Tensor:
    x, op = u.xs[0], u.op
    size = _given(u, "size") or (u.xs[1].shape[2:] if op.like else [n * s for n, s in zip(x.shape[2:], op.scale)])
    corners = {"align_corners": op.align_corners} if op.mode == "bilinear" else {}
    return F.interpolate(x, tuple(size), mode=op.mode, **corners)


def _pad_same(u: Use) -> torch.Tensor:
    """Add as many rows and columns as the last of ceil(size / step) windows reaches past the map."""
    margins: list[int] = []
    for axis in (1, 0):
        size, side, step = u.xs[0].shape[axis + 2], u.op.window[axis], u.op.stride[axis]
        starts = range(0, size, step)
        missing = max(0, starts[-1] + side - size)
        margins += [missing // 2, -(-missing // 2)]
    return F.pad(u.xs[0], margins, value=float("-inf") if u.op.lowest else 0.0)


OPERATORS: dict[str, Callable[[Use], Any]] = {
    "relu": lambda u: F.relu(u.xs[0]),
    "relu6": lambda u: F.relu6(u.xs[0]),
    "silu": lambda u: F.silu(u.xs[0]),
    "mish": lambda u: F.mish(u.xs[0]),
    "sigmoid": lambda u: torch.sigmoid(u.xs[0]),
    "tanh": lambda u: torch.tanh(u.xs[0]),
    "hardswish": lambda u: F.hardswish(u.xs[0]),
    "hardsigmoid": lambda u: F.hardsigmoid(u.xs[0]),
    "leaky_relu": lambda u: F.leaky_relu(u.xs[0], u.op.slope),
    "elu": lambda u: F.elu(u.xs[0], u.op.alpha),
    "gelu": lambda u: F.gelu(u.xs[0], approximate=u.op.approximate),
    "softmax": lambda u: torch.softmax(u.xs[0], _axis(u, u.op.axis)),
    "softplus": lambda u: F.softplus(u.xs[0]),
    "hardtanh": lambda u: F.hardtanh(u.xs[0], u.op.low, u.op.high),
    "glu": lambda u: F.glu(u.xs[0], _axis(u, "channels")),
    "abs": lambda u: u.xs[0].abs(),
    "exp": lambda u: u.xs[0].exp(),
    "log": lambda u: u.xs[0].log(),
    "sqrt": lambda u: u.xs[0].sqrt(),
    "mean": lambda u: torch.mean(u.xs[0], _axes(u), keepdim=True),
    "sum": lambda u: torch.sum(u.xs[0], _axes(u), keepdim=True),
    "max": lambda u: torch.amax(u.xs[0], _axes(u), keepdim=True),
    "min": lambda u: torch.amin(u.xs[0], _axes(u), keepdim=True),
    "var": lambda u: torch.var(u.xs[0], _axes(u), unbiased=False, keepdim=True),
    "prelu": lambda u: F.prelu(u.xs[0], u.state["weight"]),
    "conv": lambda u: _conv(u, u.op.out, u.op.groups),
    "depthwise": lambda u: _conv(u, u.op.multiplier * u.xs[0].shape[1], u.xs[0].shape[1]),
    "filter": _filter,
    "conv_transpose": _transposed,
    "linear": lambda u: F.linear(u.xs[0], _shaped(u, u.op.known), u.state.get("bias")),
    "bn": _batch_norm,
    "gn": lambda u: F.group_norm(u.xs[0], u.op.groups, u.state.get("weight"), u.state.get("bias"), u.op.eps),
    "ln": _layer_norm,
    "rms_norm": _rms_norm,
    "lrn": lambda u: F.local_response_norm(u.xs[0], u.op.size, u.op.alpha, u.op.beta, u.op.k),
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "maxunpool": _unpool,
    "adaptive_avgpool": lambda u: F.adaptive_avg_pool2d(u.xs[0], _given(u, "size")),
    "adaptive_maxpool": lambda u: F.adaptive_max_pool2d(u.xs[0], _given(u, "size")),
    "global_avgpool": lambda u: u.xs[0].mean((2, 3), keepdim=True),
    "global_maxpool": lambda u: F.adaptive_max_pool2d(u.xs[0], 1),
    "identity": lambda u: u.xs[0],
    "dropout": lambda u: F.dropout(u.xs[0], u.op.p, u.training),
    "dropout2d": lambda u: F.dropout2d(u.xs[0], u.op.p, u.training),
    "drop_path": _drop_path,
    "scale": lambda u: u.xs[0] * (u.state["weight"] if u.op.learned else u.op.value),
    "shift": lambda u: u.xs[0] + (u.state["bias"] if u.op.learned else u.op.value),
    "learned": lambda u: u.state["weight"].repeat(len(u.xs[0]), *[1] * len(u.op.size)),
    "relative_bias": _relative_bias,
    "flatten": lambda u: u.xs[0].flatten(1),
    "shuffle": _shuffle,
    "pixel_shuffle": lambda u: F.pixel_shuffle(u.xs[0], u.op.factor),
    "pixel_unshuffle": lambda u: F.pixel_unshuffle(u.xs[0], u.op.factor),
    "pad_same": _pad_same,
    "pad": _pad,
    "crop": _crop,
    "subsample": _subsample,
    "pad_channels": lambda u: torch.cat([u.xs[0], u.xs[0].new_zeros(len(u.xs[0]), u.op.count, *u.xs[0].shape[2:])], 1),
    "slice": _slice,
    "tokens": _tokens,
    "untokens": _untokens,
    "transpose": lambda u: u.xs[0].transpose(-2, -1),
    "reshape": lambda u: u.xs[0].reshape(len(u.xs[0]), u.op.channels, _given(u, "height"), _given(u, "width")),
    "upsample": _upsample,
    "add": lambda u: sum(u.xs[1:], u.xs[0]),
    "maximum": lambda u: reduce(torch.maximum, u.xs),
    "minimum": lambda u: reduce(torch.minimum, u.xs),
    "mul": _product,
    "sub": lambda u: torch.sub(u.xs[0], u.xs[1]),
    "div": lambda u: torch.div(u.xs[0], u.xs[1]),
    "neg": lambda u: torch.neg(u.xs[0]),
    "plus": lambda u: torch.add(u.xs[0], u.op.value),
    "minus": lambda u: torch.sub(u.xs[0], u.op.value),
    "rsub": lambda u: torch.rsub(u.xs[0], u.op.value),
    "times": lambda u: torch.mul(u.xs[0], u.op.value),
    "over": lambda u: torch.div(u.xs[0], u.op.value),
    "rdiv": lambda u: torch.reciprocal(u.xs[0]) * u.op.value,
    "power": lambda u: torch.pow(u.xs[0], u.op.value),
    "cat": _cat,
    "chunk": _parts,
    "matmul": _matmul,
    "attention": _attention,
}
