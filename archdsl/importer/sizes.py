"""What depends on the size of the input, found by running a module at two sizes.

A call shows numbers: `interpolate(size=(28, 28))`, `pad((0, 1, 0, 1))`. Two runs tell the ones that the code computes
from those that it holds, and what they are then is what gives the same numbers in both: the size of another tensor, all
of a map, or the margins that TensorFlow adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archdsl.importer.blocks import Code
from archdsl.importer.graph import Graph, Node, Scope, Unsaid

if TYPE_CHECKING:
    from collections.abc import Iterator


MOST = 64  # rows and columns of a window
MARGINS = ("conv", "depthwise", "maxpool")  # what may have `pad="same"`


def sized(graph: Graph, other: Graph | None) -> Graph:
    """Put in the place of numbers what they stand for; `other` is the same module at another size. Raises `Unsaid`."""
    pairs = _pairs(graph, other)
    known = [*pairs][: len(graph.inputs)]
    filling = _filled(graph, pairs)
    for scope, node in _placed(graph.root):
        if node.op == "upsample" and "size" in node.fields:
            _upsampled(node, pairs, known)
        elif node.op == "untokens":
            _of_another(node, pairs, known)
        elif node.op == "crop":
            _cropped(node, pairs, known, scope.given if scope.kind in filling else ())
        elif node.op in ("avgpool", "maxpool"):
            _whole(node, pairs[node])
        elif node.op == "attention":
            _moved(node, pairs[node])
        if node.op in MARGINS:
            _same_padding(node, pairs)
        twin = pairs[node]
        if node.fields != twin.fields and not (node.op == "pad" and _absorbed(graph, node, pairs)):
            raise _unsaid(f"`{node.op}` with numbers that depend on the size of the input", scope.path, node)
        low = [one for one in node.inputs if one.op == "pad" and one.fields["lowest"]]
        if low:
            raise _unsaid("margins that are lower than every number", scope.path, low[0])
        known.append(node)
    return graph


def _unsaid(reason: str, path: str, node: Node) -> Unsaid:
    found = Unsaid(reason, path)
    found.call = node.call
    return found


def _pairs(graph: Graph, other: Graph | None) -> dict[Node, Node]:
    """Return each node with the one that it is in the other run: itself, where there is none."""
    mine = [*graph.inputs, *graph.root.nodes()]
    theirs = mine if other is None else [*other.inputs, *other.root.nodes()]
    if [node.op for node in mine] != [node.op for node in theirs]:
        raise Unsaid("what is computed depends on the size of the input", "")
    return dict(zip(mine, theirs))


def _placed(scope: Scope) -> Iterator[tuple[Scope, Node]]:
    for item in scope.items:
        if isinstance(item, Scope):
            yield from _placed(item)
        else:
            yield scope, item


def _upsampled(node: Node, pairs: dict[Node, Node], known: list[Node]) -> None:
    """Find the tensor whose size a map is brought to: an input, or the last one that has it."""
    twin = pairs[node]
    if node.fields["size"] == twin.fields["size"]:
        return
    if _of_another(node, pairs, known):
        return
    mine, theirs = node.inputs[0].shape[2:], twin.inputs[0].shape[2:]
    scale = (node.shape[2] // mine[0], node.shape[3] // mine[1])
    if all(s * m == n for s, m, n in zip(scale * 2, (*mine, *theirs), (*node.shape[2:], *twin.shape[2:]))):
        for one in (node, twin):
            del one.fields["size"]
            one.fields["scale"] = scale


def _of_another(node: Node, pairs: dict[Node, Node], known: list[Node]) -> bool:
    """Let a step take its size from a tensor that has it in both runs; say whether there is one."""
    like = _alike(node, pairs, known)
    if like is not None:
        node.inputs = (node.inputs[0], like)
        for one in {node, pairs[node]}:
            del one.fields["size"]
    return like is not None


def _alike(node: Node, pairs: dict[Node, Node], known: list[Node]) -> Node | None:
    """Return an input, or else the last tensor, that has the height and width of a node in both runs."""
    inputs = [one for one in known if one.op == "input"]
    for one in [*inputs, *reversed(known)]:
        if len(one.shape) == 4 and one.shape[2:] == node.shape[2:] and pairs[one].shape[2:] == pairs[node].shape[2:]:
            return one
    return None


def _cropped(node: Node, pairs: dict[Node, Node], known: list[Node], filled: tuple[Node, ...]) -> None:
    """Find the tensor to whose size the middle of a map is cut, or its corner, which was `filled` before."""
    twin, given = pairs[node], _alike(node, pairs, [*filled])
    if given is not None and node.fields["offset"] == twin.fields["offset"] == (0, 0):
        node.inputs, node.fields = (node.inputs[0], given), {"offset": (0, 0)}
        twin.fields = node.fields
        return
    like = _alike(node, pairs, known)
    if node.fields == twin.fields or like is None:
        return
    middles = [
        tuple((have - want) // 2 for have, want in zip(one.inputs[0].shape[2:], one.shape[2:])) for one in (node, twin)
    ]
    offsets = [one.fields["offset"] for one in (node, twin)]
    if offsets == middles:
        node.fields = twin.fields = {}
    elif offsets[0] == offsets[1]:
        node.fields = twin.fields = {"offset": offsets[0]}
    else:
        return
    node.inputs = (node.inputs[0], like)


def _moved(node: Node, twin: Node) -> None:
    """Take windows to be moved that are so at one size: at the other they are as large as the map."""
    if "shift" in node.fields and "shift" in twin.fields:
        shift = tuple(map(max, node.fields["shift"], twin.fields["shift"]))
        node.fields["shift"] = twin.fields["shift"] = shift


def _filled(graph: Graph, pairs: dict[Node, Node]) -> set[type]:
    """Find margins that fill maps up to multiples; return the modules that add such, where some maps lack nothing."""
    pads = [
        (scope.kind, node)
        for scope, node in _placed(graph.root)
        if node.op == "pad" and not _absorbed(graph, node, pairs)
    ]
    found = {kind: multiple for kind, node in pads if (multiple := _multiple(node, pairs[node]))}
    for kind, node in pads:
        if kind in found and _fills(node, found[kind]) and _fills(pairs[node], found[kind]):
            size = Code(f"(0, -x.width % {found[kind]}, 0, -x.height % {found[kind]})")
            node.fields["size"] = pairs[node].fields["size"] = size
    return {*found}


def _multiple(node: Node, twin: Node) -> int:
    """Return the least number up to whose multiples both maps are filled, or 0."""
    if node.fields["size"] == twin.fields["size"]:
        return 0
    return next((k for k in range(2, MOST) if _fills(node, k) and _fills(twin, k)), 0)


def _fills(node: Node, k: int) -> bool:
    high, wide = node.inputs[0].shape[2:]
    margins: tuple[int, ...] = node.fields["size"]
    return margins == (0, -wide % k, 0, -high % k)


def _whole(node: Node, twin: Node) -> None:
    """Take a pool over all of a map for what it is, where its window grows with the map."""
    if node.fields["kernel"] == twin.fields["kernel"]:
        return
    if all(one.fields["kernel"] == one.inputs[0].shape[2:] and one.shape[2:] == (1, 1) for one in (node, twin)):
        for one in (node, twin):
            one.op, one.fields = f"global_{one.op}", {}


def _same_padding(node: Node, pairs: dict[Node, Node]) -> None:
    """Take margins before a convolution for its own, and for `pad="same"` where they change as that does.

    Margins that differ at the ends, and are the same at both sizes, are the module's: they stay.
    """
    before = node.inputs[0]
    if before.op != "pad" or not _is_same(node, before) or not _is_same(pairs[node], pairs[before]):
        return
    left, right, top, bottom = before.fields["size"]
    fixed = before.fields["size"] == pairs[before].fields["size"]
    even = (left, top) == (right, bottom)
    if fixed and not even and _stride(node) != (1, 1):
        return
    reach = zip(node.fields["dilation"], node.fields["kernel"])
    usual = tuple(d * (k - 1) // 2 for d, k in reach) if node.op != "maxpool" else None
    for one in {node, pairs[node]}:
        one.inputs = (one.inputs[0].inputs[0], *one.inputs[1:])
        one.fields["pad"] = "same" if not (fixed and even) else None if (top, left) == usual else (top, left)


def _is_same(node: Node, before: Node) -> bool:
    fields, margins = node.fields, before.fields
    kernel = fields["kernel"]
    none = tuple(d * (k - 1) // 2 for d, k in zip(fields["dilation"], kernel))
    if (none if fields["pad"] is None else fields["pad"]) != (0, 0) or margins["mode"] != "constant":
        return False
    if margins["lowest"] != (node.op == "maxpool") or isinstance(margins["size"], Code):
        return False
    left, right, top, bottom = margins["size"]
    for size, k, s, d, first, last in zip(
        before.inputs[0].shape[2:], kernel, _stride(node), fields["dilation"], (top, left), (bottom, right)
    ):
        missing = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        if (first, last) != (missing // 2, missing - missing // 2):
            return False
    return True


def _absorbed(graph: Graph, node: Node, pairs: dict[Node, Node]) -> bool:
    """Say whether margins are read by nobody, because what follows adds them itself."""
    readers = [one for one in graph.root.nodes() if node in one.inputs]
    return all(one.op in MARGINS and _is_same(one, node) and _is_same(pairs[one], pairs[node]) for one in readers)


def _stride(node: Node) -> Any:
    return node.fields["stride"] or node.fields["kernel"]
