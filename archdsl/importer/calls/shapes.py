"""Views, permutations, parts, margins, and resampling."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from archdsl.importer.calls import views
from archdsl.importer.calls.attention import Entries, Scores
from archdsl.importer.calls.reader import LAYOUT, Learned, Reader, Seen, Shown, both, shape_of
from archdsl.importer.graph import Node, Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable


def flatten(r: Reader, input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    shape = shape_of(input)
    start, end = start_dim % len(shape), end_dim % len(shape)
    made = (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])
    return _reshaped(r, input, made)


def reshape(r: Reader, input: Any, *sizes: Any, **words: Any) -> Any:
    wanted = list(words["shape"] if "shape" in words else sizes[0] if isinstance(sizes[0], tuple) else sizes)
    if not all(isinstance(size, int) for size in wanted):
        raise Unsaid("a view as another type", r.path)
    if -1 in wanted:
        wanted[wanted.index(-1)] = prod(shape_of(input)) // -prod(wanted)
    return _reshaped(r, input, tuple(wanted))


def _reshaped(r: Reader, input: Any, wanted: tuple[int, ...]) -> Any:
    if wanted == shape_of(input):
        return input
    if isinstance(input, Learned):
        return Learned(input.weight, wanted)
    if isinstance(input, Entries) or (isinstance(input, Scores) and wanted[-2:] == input.shape[-2:]):
        return replace(input, shape=wanted)
    if isinstance(input, Seen):
        return views.reshaped(r, input, wanted)
    node = input.node if isinstance(input, Shown) else r.plain(input)
    form = input.form if isinstance(input, Shown) else ""
    shape = node.shape
    if form == "split" and wanted[:3] == input.shape[:3] and set(wanted[3:]) == {1}:
        return Shown(node, "groups" if len(wanted) == 5 else "split", wanted)
    if form in ("split", "plane", "thin", "line", "groups", "row") or (form == "last" and shape[2:] == (1, 1)):
        input, form = node, ""  # the same elements in the same order
        if wanted == shape:
            return node
    if form == "swapped":
        return _unswapped(r, input, wanted)
    return views.reshaped(r, input, wanted) if form else _viewed(r, node, wanted)


def _unswapped(r: Reader, input: Shown, wanted: tuple[int, ...]) -> Node:
    shape = input.node.shape
    if wanted != shape:
        raise Unsaid(f"channels in groups as {list(wanted)}", r.path)
    return r.step("shuffle", {"groups": input.shape[2]}, (input.node,), shape)


def _viewed(r: Reader, node: Node, wanted: tuple[int, ...]) -> Any:
    """Return a map or features in another shape, where the language or a form has it."""
    shape, n = node.shape, node.shape[0]
    if len(wanted) == 2 and wanted[0] == n:
        return r.step("flatten", {}, (node,), wanted)
    if len(shape) == 4 and len(wanted) == 5 and wanted[1] * wanted[2] == shape[1] and wanted[3:] == shape[2:]:
        return Shown(node, "groups", wanted)
    if len(wanted) == 5 and wanted[0] == n and wanted[3:] == (1, 1) and prod(wanted) == prod(shape):
        pixel = (n, wanted[1] * wanted[2], 1, 1)
        return Shown(r.step("reshape", _sizes(*pixel[1:]), (node,), pixel), "groups", wanted)
    if len(shape) == 4 and shape[2:] == (1, 1) and len(wanted) == 3 and wanted[0] == n and 1 < wanted[1] < shape[1]:
        return Shown(node, "split", wanted)
    if len(shape) == 4 and wanted == (n, shape[1], shape[2] * shape[3]):
        return Shown(node, "thin" if wanted[2] == 1 else "line", wanted)
    if wanted == (n, 1, prod(shape[1:])) and prod(shape[1:]) == shape[1]:
        return Shown(r.step("reshape", _sizes(1, 1, shape[1]), (node,), (n, 1, 1, shape[1])), "row", wanted)
    if len(shape) == 2 and wanted == (n, shape[1], 1):
        return Shown(r.step("reshape", _sizes(wanted[1], 1, 1), (node,), (*wanted, 1)), "thin", wanted)
    if len(wanted) == 4 and wanted[0] == n and len(shape) == 2:
        return r.step("reshape", _sizes(*wanted[1:]), (node,), wanted)
    return views.reshaped(r, node, wanted)


def _sizes(channels: int, height: int, width: int) -> dict[str, int]:
    return {"channels": channels, "height": height, "width": width}


def permute(r: Reader, input: Any, *dims: Any, **words: Any) -> Any:
    order = words.get("dims", dims[0] if dims and isinstance(dims[0], tuple) else dims)
    return _permuted(r, input, tuple(d % len(shape_of(input)) for d in order))


def transpose(r: Reader, input: Any, dim0: int, dim1: int) -> Any:
    order = list(range(len(shape_of(input))))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(r, input, tuple(order))


def _permuted(r: Reader, input: Any, order: tuple[int, ...]) -> Any:
    form = input.form if isinstance(input, Shown) else ""
    shape = tuple(shape_of(input)[d] for d in order)
    if isinstance(input, Entries):
        return replace(input, shape=shape)
    if isinstance(input, Seen):
        return views.permuted(r, input, order)
    if isinstance(input, Learned) and order == (1, 0):
        return Learned(input.weight, shape, not input.turned)
    if isinstance(input, Node) and len(shape) == 4 and order == (0, 2, 3, 1):
        return Shown(input, "last", shape)
    if form == "last" and order == (0, 3, 1, 2):
        return input.node
    if order == (1, 0, 2) and isinstance(input, Node):
        return Shown(input, "turned", shape)
    if form == "turned" and order == (1, 0, 2):
        return input.node
    if form == "groups" and order == (0, 2, 1, 3, 4):
        return Shown(input.node, "swapped", shape)
    if form == "line" and order == (0, 2, 1):
        return r.step("tokens", {}, (input.node,), shape)
    moved = [d for d in order if shape_of(input)[d] > 1]
    if isinstance(input, Node) and moved == sorted(moved) and len(shape) == 4 and order[0] == 0:
        return _reshaped(r, input, shape)  # axes of size 1 alone change their places
    return views.permuted(r, input, order)


def turned(r: Reader, input: Any) -> Any:
    """Exchange two axes, as `t` does."""
    return _permuted(r, input, tuple(range(len(shape_of(input))))[::-1])


def unflatten(r: Reader, input: Any, dim: int, sizes: Any) -> Any:
    shape = shape_of(input)
    axis = dim % len(shape)
    return reshape(r, input, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def squeeze(r: Reader, input: Any, dim: Any = None) -> Any:
    shape = shape_of(input)
    dims = [dim] if isinstance(dim, int) else dim
    if dims is None:
        dims = [i for i, size in enumerate(shape) if size == 1]
    dims = [d % len(shape) for d in dims if shape[d] == 1]
    return _reshaped(r, input, tuple(size for i, size in enumerate(shape) if i not in dims))


def unsqueeze(r: Reader, input: Any, dim: int) -> Any:
    shape = list(shape_of(input))
    shape.insert(dim % (len(shape) + 1), 1)
    if isinstance(input, Shown) and input.form == "line":
        return views.reshaped(r, input, tuple(shape))
    return _reshaped(r, input, tuple(shape))


def expand(r: Reader, input: Any, *sizes: Any) -> Any:
    """An operand of size 1 is repeated where it is used; so is one that has been repeated before."""
    wanted = sizes[0] if isinstance(sizes[0], tuple) else shape_of(sizes[0]) if not isinstance(sizes[0], int) else sizes
    own = shape_of(input)
    if isinstance(input, Learned):
        return _repeated(r, input, wanted)
    if len(wanted) != len(own):
        raise Unsaid(f"a tensor {list(own)} repeated as {list(wanted)}", r.path)
    shape = tuple(have if want == -1 else want for have, want in zip(own, wanted))
    return input if shape == own else Shown(r.plain(input), "spread", shape)


def _repeated(r: Reader, weight: Learned, wanted: tuple[int, ...]) -> Node:
    """Repeat a learned tensor for each image."""
    own = weight.shape[1:] if len(weight.shape) == len(wanted) and weight.shape[0] == 1 else weight.shape
    shape = tuple(have if want == -1 else want for have, want in zip(own, wanted[1:]))
    if len(own) != len(wanted) - 1 or shape != own:
        raise Unsaid(f"a weight {list(weight.shape)} repeated as {list(wanted)}", r.path)
    return r.step("learned", {"size": own}, (), (wanted[0], *own), weight=weight)


def _last(made: Node) -> Shown:
    """Show a map with the channels last."""
    n, c, h, w = made.shape
    return Shown(made, "last", (n, h, w, c))


def getitem(r: Reader, input: Any, index: Any) -> Any:
    if isinstance(input, Learned) and isinstance(index, Learned):
        return Entries(input, (*index.shape, *input.shape[1:]))
    if isinstance(input, Seen) and isinstance(index, int):
        return views.item(r, input, 0, index)
    if isinstance(input, Shown) and input.form == "last":
        return _last(_of_last(r, input.node, index))
    node = r.plain(input)
    wanted = list(index) if isinstance(index, tuple) else [index]
    while wanted and (wanted[-1] is Ellipsis or wanted[-1] == slice(None)):
        wanted.pop()
    shape = node.shape
    if Ellipsis in wanted:
        place = wanted.index(Ellipsis)
        wanted[place : place + 1] = [slice(None)] * (len(shape) - len(wanted) + 1)
    if not all(isinstance(one, slice) and one.step in (None, 1) for one in wanted) or len(wanted) > len(shape):
        if len(shape) == 3 and wanted[:1] == [slice(None)] and isinstance(wanted[-1], int) and len(wanted) == 2:
            return _token(r, node, wanted[1])
        raise Unsaid("an index that is no range", r.path)
    ranges = [one.indices(size)[:2] for one, size in zip(wanted, shape)]
    ranges += [(0, size) for size in shape[len(ranges) :]]
    return ranges_of(r, node, ranges)


def _of_last(r: Reader, node: Node, index: Any) -> Node:
    """Return rows and columns of a map that is seen with its channels last; all of them, too, which some sizes have."""
    wanted = [one for one in index if one is not Ellipsis] if isinstance(index, tuple) else []
    wanted = [*([slice(None)] * (4 - len(wanted)) if Ellipsis in index else []), *wanted]
    ranges = [one.indices(size) for one, size in zip(wanted, (node.shape[i] for i in (0, 2, 3, 1)))]
    whole = [(0, node.shape[0], 1), (0, node.shape[1], 1)]
    if len(ranges) != 4 or [ranges[0], ranges[3]] != whole:
        raise Unsaid("an index that is no range of rows and columns", r.path)
    starts, stops, steps = zip(*ranges[1:3])
    if steps == (1, 1):
        size = tuple(stop - start for start, stop in zip(starts, stops))
        return r.step("crop", {"size": size, "offset": starts}, (node,), (*node.shape[:2], *size))
    if stops != node.shape[2:]:
        raise Unsaid("every so many of a part of a map", r.path)
    size = tuple(-(-(stop - start) // step) for start, stop, step in ranges[1:3])
    return r.step("subsample", {"stride": steps, "offset": starts}, (node,), (*node.shape[:2], *size))


def _token(r: Reader, node: Node, place: int) -> Node:
    n, count, channels = node.shape
    place %= count
    one = r.step("slice", {"start": place, "stop": place + 1, "axis": "tokens"}, (node,), (n, 1, channels))
    return r.step("flatten", {}, (one,), (n, channels))


def ranges_of(r: Reader, node: Node, ranges: list[tuple[int, int]]) -> Node:
    shape = node.shape
    if ranges[0] != (0, shape[0]):
        raise Unsaid("a part of the images", r.path)
    cut = [axis for axis in range(1, len(shape)) if ranges[axis] != (0, shape[axis])]
    if not cut:
        return node
    axis = 2 if len(shape) == 3 else 1
    if cut == [axis]:
        return sliced(r, node, *ranges[axis])
    if cut == [1] and len(shape) == 3:
        start, stop = ranges[1]
        return r.step(
            "slice", {"start": start, "stop": stop, "axis": "tokens"}, (node,), (shape[0], stop - start, shape[2])
        )
    if len(shape) == 4 and 1 not in cut:
        size = tuple(stop - start for start, stop in ranges[2:])
        offset = tuple(start for start, _ in ranges[2:])
        return r.step("crop", {"size": size, "offset": offset}, (node,), (*shape[:2], *size))
    raise Unsaid("a part along several axes", r.path)


def sliced(r: Reader, node: Node, start: int, stop: int) -> Node:
    shape = list(node.shape)
    shape[2 if len(shape) == 3 else 1] = stop - start
    return r.step("slice", {"start": start, "stop": stop}, (node,), shape)


def narrow(r: Reader, input: Any, dim: int, start: int, length: int) -> Any:
    if isinstance(input, Shown) and input.form == "last":
        made = narrow(r, input.node, (0, 2, 3, 1)[dim % 4], start, length)
        return _last(made)
    if isinstance(input, Seen):
        return views.narrowed(r, input, dim % len(input.axes), start, length)
    node = r.plain(input)
    ranges = [(0, size) for size in node.shape]
    ranges[dim % len(ranges)] = (start, start + length)
    return ranges_of(r, node, ranges)


def chunk(r: Reader, input: Any, chunks: int, dim: int = 0) -> list[Any]:
    size = -(-shape_of(input)[dim] // chunks)
    return split(r, input, size, dim)


def split(r: Reader, tensor: Any, split_size_or_sections: Any, dim: int = 0) -> list[Any]:
    length, each = shape_of(tensor)[dim], split_size_or_sections
    sizes = [min(each, length - i) for i in range(0, length, each)] if isinstance(each, int) else list(each)
    parts, start = [], 0
    for size in sizes:
        parts.append(narrow(r, tensor, dim, start, size))
        start += size
    return parts


def unbind(r: Reader, input: Any, dim: int = 0) -> list[Any]:
    """Take a tensor apart along an axis."""
    view = views.seen(r, input)
    axis = dim % len(view.axes)
    return [views.item(r, view, axis, place) for place in range(view.shape[axis])]


def cat(r: Reader, tensors: Any, dim: int = 0, **words: Any) -> Any:
    tensors = words.get("tensors", tensors)
    if all(isinstance(one, Shown) and one.form == "last" for one in tensors) and dim % 4 == 3:
        made = cat(r, tuple(one.node for one in tensors), 1)
        return _last(made)
    nodes = [r.plain(one) for one in tensors]
    shape = list(nodes[0].shape)
    axis = dim % len(shape)
    names = LAYOUT.get(len(shape), {})
    if axis not in names:
        raise Unsaid("tensors joined along the images", r.path)
    shape[axis] = sum(node.shape[axis] for node in nodes)
    if len(nodes) == 1:
        return nodes[0]
    return r.step("cat", {"axis": names[axis]}, tuple(nodes), shape)


def stack(r: Reader, tensors: Any, dim: int = 0) -> Shown:
    """Maps beside one another are the groups of channels of one."""
    if dim != 1 or len(shape_of(tensors[0])) != 4:
        raise Unsaid("tensors that are stacked along another axis than the channels", r.path)
    made = cat(r, tensors, 1)
    n, _, h, w = made.shape
    return Shown(made, "groups", (n, len(tensors), made.shape[1] // len(tensors), h, w))


def pad(r: Reader, input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    if isinstance(input, Shown) and input.form == "last" and pad[:2] == (0, 0) and not value:
        return _last(_margins(r, input.node, pad[2:], mode))  # none perhaps, and some at another size
    node = r.plain(input)
    if len(pad) > 4 and len(node.shape) == 4 and not any(pad[:4]) and mode == "constant" and not any(pad[6:]):
        return _more_channels(r, node, pad[4], pad[5])
    if not any(pad):
        return node
    if value and value != float("-inf"):
        raise Unsaid(f"margins that are filled with {value}", r.path)
    return _margins(r, node, pad, mode, value == float("-inf"))


def _margins(r: Reader, node: Node, pad: Any, mode: str, lowest: bool = False) -> Node:
    left, right, top, bottom = (*pad, 0, 0)[:4]
    if min(pad) < 0 or mode not in ("constant", "reflect", "replicate"):
        raise Unsaid(f"margins {list(pad)} filled by `{mode}`", r.path)
    n, c, h, w = node.shape
    fields = {"size": (left, right, top, bottom), "mode": mode, "lowest": lowest}
    return r.step("pad", fields, (node,), (n, c, h + top + bottom, w + left + right))


def _more_channels(r: Reader, node: Node, before: int, after: int) -> Node:
    if before:
        raise Unsaid("channels of zeros before the others", r.path)
    n, c, h, w = node.shape
    return r.step("pad_channels", {"count": after}, (node,), (n, c + after, h, w))


def interpolate(
    r: Reader, input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: Any = None, recompute_scale_factor: Any = None, antialias: bool = False,
) -> Any:  # fmt: skip
    if antialias or mode not in ("nearest", "bilinear"):
        raise Unsaid(f"resampling by `{mode}`" + (" against aliases" if antialias else ""), r.path)
    n, c, h, w = r.plain(input).shape
    fields: dict[str, Any] = {"mode": mode, "align_corners": bool(align_corners)}
    if scale_factor is not None:
        scale = both(scale_factor)
        if any(s != int(s) for s in scale):
            raise Unsaid(f"resampling by a factor of {scale_factor}", r.path)
        fields["scale"] = tuple(map(int, scale))
        return r.step("upsample", fields, (input,), (n, c, h * int(scale[0]), w * int(scale[1])))
    fields["size"] = both(size)
    return r.step("upsample", fields, (input,), (n, c, *both(size)))


def rearranged(op: str, way: int) -> Callable[..., Any]:
    def function(r: Reader, input: Any, factor: int) -> Node:
        n, c, h, w = r.plain(input).shape
        shape = (n, c // factor**2, h * factor, w * factor) if way > 0 else (n, c * factor**2, h // factor, w // factor)
        return r.step(op, {"factor": factor}, (input,), shape)

    return function


def channel_shuffle(r: Reader, input: Any, groups: int) -> Node:
    return r.step("shuffle", {"groups": groups}, (input,), r.plain(input).shape)
