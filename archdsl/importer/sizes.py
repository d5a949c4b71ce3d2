"""What depends on the size of the input, found by running a module at two sizes.

A call shows numbers: `interpolate(size=(28, 28))`, `pad((0, 1, 0, 1))`. Two runs tell the ones that the code computes
from those that it holds, and what they are then is what gives the same numbers in both: the size of another tensor, all
of a map, or the margins that TensorFlow adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archdsl.importer.graph import Graph, Node, Scope, Unsaid

if TYPE_CHECKING:
    from collections.abc import Iterator


MARGINS = ("conv", "depthwise", "maxpool")  # what may have `pad="same"`


def sized(graph: Graph, other: Graph | None) -> Graph:
    """Put in the place of numbers what they stand for; `other` is the same module at another size. Raises `Unsaid`."""
    pairs = _pairs(graph, other)
    known = [*pairs][: len(graph.inputs)]
    for scope, node in _placed(graph.root):
        if node.op == "upsample" and "size" in node.fields:
            _upsampled(node, pairs, known)
        elif node.op == "untokens":
            _put_together(node, pairs, known)
        elif node.op == "crop":
            _cropped(node, pairs, known)
        elif node.op in ("avgpool", "maxpool"):
            _whole(node, pairs[node])
        if node.op in MARGINS:
            _same_padding(node, pairs)
        twin = pairs[node]
        if node.fields != twin.fields and not (node.op == "pad" and _absorbed(graph, node)):
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
    like = _alike(node, pairs, known)
    if like is not None:
        node.inputs = (node.inputs[0], like)
        del node.fields["size"], twin.fields["size"]
        return
    mine, theirs = node.inputs[0].shape[2:], twin.inputs[0].shape[2:]
    scale = (node.shape[2] // mine[0], node.shape[3] // mine[1])
    if all(s * m == n for s, m, n in zip(scale * 2, (*mine, *theirs), (*node.shape[2:], *twin.shape[2:]))):
        for one in (node, twin):
            del one.fields["size"]
            one.fields["scale"] = scale


def _put_together(node: Node, pairs: dict[Node, Node], known: list[Node]) -> None:
    """Find the map that was made tokens, or another of its size."""
    like = _alike(node, pairs, known)
    if like is not None:
        node.inputs = (node.inputs[0], like)
        for one in {node, pairs[node]}:
            del one.fields["size"]


def _alike(node: Node, pairs: dict[Node, Node], known: list[Node]) -> Node | None:
    """Return an input, or else the last tensor, that has the height and width of a node in both runs."""
    inputs = [one for one in known if one.op == "input"]
    for one in [*inputs, *reversed(known)]:
        if len(one.shape) == 4 and one.shape[2:] == node.shape[2:] and pairs[one].shape[2:] == pairs[node].shape[2:]:
            return one
    return None


def _cropped(node: Node, pairs: dict[Node, Node], known: list[Node]) -> None:
    """Find the tensor to whose size the middle of a map is cut."""
    like, twin = _alike(node, pairs, known), pairs[node]
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
    if margins["lowest"] != (node.op == "maxpool"):
        return False
    left, right, top, bottom = margins["size"]
    for size, k, s, d, first, last in zip(
        before.inputs[0].shape[2:], kernel, _stride(node), fields["dilation"], (top, left), (bottom, right)
    ):
        missing = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        if (first, last) != (missing // 2, missing - missing // 2):
            return False
    return True


def _absorbed(graph: Graph, node: Node) -> bool:
    """Say whether margins are read by nobody, because what follows adds them itself."""
    readers = [one for one in graph.root.nodes() if node in one.inputs]
    return all(one.op in MARGINS and _is_same(one, node) for one in readers)


def _stride(node: Node) -> Any:
    return node.fields["stride"] or node.fields["kernel"]
