"""Pools, and what reduces axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archdsl.importer.calls.arithmetic import beside, extreme
from archdsl.importer.calls.reader import LAYOUT, Reader, Refused, Shown, both, kept
from archdsl.importer.calls.shapes import sliced
from archdsl.importer.graph import Node, Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable


def _pooled(size: int, k: int, s: int, p: int, d: int, ceil: bool) -> int:
    whole = size + 2 * p - d * (k - 1) - 1
    made = (-(-whole // s) if ceil else whole // s) + 1
    return made - 1 if ceil and (made - 1) * s >= size + p else made


def _pool(r: Reader, input: Any, fields: dict[str, Any], op: str) -> Node:
    n, c, *size = r.plain(input).shape
    stride = fields["stride"] or fields["kernel"]
    ways = zip(size, fields["kernel"], stride, fields["pad"], fields.get("dilation", (1, 1)))
    fields["stride"] = None if stride == fields["kernel"] else stride
    return r.step(op, fields, (input,), (n, c, *[_pooled(*way, fields["ceil"]) for way in ways]))


def max_pool2d(
    r: Reader, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    if return_indices:
        raise Unsaid("positions of maxima", r.path)
    fields = {"kernel": both(kernel_size), "stride": both(stride) if stride else None, "pad": both(padding)}
    return _pool(r, input, fields | {"dilation": both(dilation), "ceil": ceil_mode}, "maxpool")


def avg_pool2d(
    r: Reader, input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> Any:  # fmt: skip
    if divisor_override is not None:
        raise Unsaid("an average that is divided by a number of its own", r.path)
    fields = {"kernel": both(kernel_size), "stride": both(stride) if stride else None, "pad": both(padding)}
    return _pool(r, input, fields | {"ceil": ceil_mode, "count_pad": count_include_pad}, "avgpool")


def adaptive(kind: str) -> Callable[..., Any]:
    def function(r: Reader, input: Any, output_size: Any, return_indices: bool = False) -> Node:
        n, c, *own = r.plain(input).shape
        size = tuple(have if want is None else want for have, want in zip(own, both(output_size)))
        if size == (1, 1):
            return r.step(f"global_{kind}pool", {}, (input,), (n, c, 1, 1))
        return r.step(f"adaptive_{kind}pool", {"size": size}, (input,), (n, c, *size))

    return function


REDUCING = {"mean": "mean", "sum": "sum", "amax": "max", "amin": "min", "max": "max", "min": "min"}
AXES = {"": LAYOUT[4], "last": {1: "height", 2: "width", 3: "channels"}}


def reduced(name: str) -> Callable[..., Any]:
    """Return the function that reduces axes."""

    def function(r: Reader, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        dims = [dim] if isinstance(dim, int) else dim
        if dims is None:
            raise Unsaid(f"`{name}` of a whole batch", r.path)
        if isinstance(input, Shown) and input.form == "groups" and name == "sum" and list(dims) in ([1], [2]):
            return _summed(r, input, dims[0])
        shown = isinstance(input, Shown) and input.form == "last"
        node = input.node if shown else r.plain(input)
        names = AXES["last" if shown else ""]
        if len(node.shape) == 3:
            names = {1: "tokens", 2: "channels"}
        axes = sorted(names.get(d % len(node.shape), "") for d in dims)
        return _reduction(r, name, node, axes, keepdim, shown)

    return function


def largest(op: str) -> Callable[..., Any]:
    """Return the function of the largest, or of the smallest, of two tensors or along an axis; places are not read."""

    def function(r: Reader, input: Any, dim: Any = None, keepdim: bool = False, **words: Any) -> Any:
        if not isinstance(dim, int):
            return extreme(op)(r, input, words.get("other", dim))
        found = reduced("amax" if op == "maximum" else "amin")(r, input, dim, keepdim)
        return [found, Refused(Unsaid("positions of maxima", r.path))]

    return function


def _reduction(r: Reader, name: str, node: Node, axes: list[str], keepdim: bool, shown: bool) -> Any:
    n, c = node.shape[:2]
    if axes == ["height", "width"] and name in ("mean", "amax"):
        made = r.step("global_avgpool" if name == "mean" else "global_maxpool", {}, (node,), (n, c, 1, 1))
        if not keepdim:
            return r.step("flatten", {}, (made,), (n, c))
        return Shown(made, "last", (n, 1, 1, c)) if shown else made
    if len(node.shape) == 3 and axes == ["tokens"]:
        made = r.step(REDUCING[name], {"axes": ("tokens",)}, (node,), (n, 1, node.shape[2]))
        return made if keepdim else r.step("flatten", {}, (made,), (n, node.shape[2]))
    if "" in axes or not axes or len(node.shape) != 4:
        raise Unsaid(f"`{name}` over {axes}", r.path)
    places = {"channels": 1, "height": 2, "width": 3}
    shape = [1 if i in [places[axis] for axis in axes] else size for i, size in enumerate(node.shape)]
    made = r.step(REDUCING[name], {"axes": tuple(axes)}, (node,), shape)
    if not keepdim:
        if axes != ["channels"] or shown:
            raise Unsaid(f"`{name}` that leaves an axis out", r.path)
        return Shown(made, "plane", (n, *node.shape[2:]))
    return Shown(made, "last", (shape[0], shape[2], shape[3], shape[1])) if shown else made


def addcmul(r: Reader, input: Any, tensor1: Any, tensor2: Any, value: float = 1) -> Any:
    if value != 1:
        raise Unsaid("a product with a factor", r.path)
    return beside(r, "+", input, beside(r, "*", tensor1, tensor2))


def norm(r: Reader, input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, **words: Any) -> Any:
    """The root of the sum of squares along axes."""
    if words.get("ord", p) not in (2, "fro", 2.0) or not keepdim:
        raise Unsaid("a norm other than the Euclidean one along axes that stay", r.path)
    squares = beside(r, "*", input, input)
    return kept(r, "sqrt", {}, reduced("sum")(r, squares, dim, True))


def _summed(r: Reader, input: Shown, axis: int) -> Node:
    """Add up the groups of channels of a map, or the channels of each group."""
    n, groups, each, h, w = input.shape
    node = input.node
    if axis == 2:
        node = r.step("shuffle", {"groups": groups}, (node,), node.shape)
        groups, each = each, groups
    parts = [sliced(r, node, i * each, (i + 1) * each) for i in range(groups)]
    return r.step("add", {}, tuple(parts), (n, each, h, w))
