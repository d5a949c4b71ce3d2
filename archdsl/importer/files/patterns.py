"""Nodes of ONNX that exporters make of one step, put together again."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from archdsl.importer.files.nodes import Node

    Arrays = dict[str, np.ndarray]


def simplified(nodes: list[Node], arrays: Arrays, results: Sequence[str]) -> list[Node]:
    """Return a graph with SiLU, Mish, GELU, hard swish and linear layers as one node each."""
    for rule in (_linear, _silu, _mish, _gelu, _hard_swish):
        found = _Found(nodes, arrays, results)
        for node in nodes:
            if node not in found.gone:
                rule(found, node)
        nodes = [found.instead.get(node, node) for node in nodes if node not in found.gone]
    return nodes


class _Found:
    """A graph with what makes and reads each value, and what has been put together."""

    def __init__(self, nodes: Sequence[Node], arrays: Arrays, results: Sequence[str]) -> None:
        self.arrays, self.results = arrays, frozenset(results)
        self.maker = {name: node for node in nodes for name in node.makes}
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.reads):
                self.readers.setdefault(name, []).append(node)
        self.instead: dict[Node, Node] = {}
        self.gone: set[Node] = set()

    def only(self, name: str, op: str) -> Node | None:
        """Return the one reader of a value, where it is of a kind and nobody else needs the value."""
        readers = self.readers.get(name, [])
        fits = len(readers) == 1 and readers[0].op == op and name not in self.results
        return readers[0] if fits and readers[0] not in self.gone | set(self.instead) else None

    def other(self, node: Node, name: str) -> str:
        """Return what a node of two reads beside a value; "" where that is nothing."""
        left = [one for one in node.reads if one != name]
        return left[0] if len(left) == 1 and len(node.reads) == 2 else ""

    def number(self, name: str) -> float | None:
        """Return a constant of one number."""
        array = self.arrays.get(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def is_number(self, node: Node, beside: str, wanted: float) -> bool:
        """Say whether what a node reads beside a value is a number."""
        found = self.number(self.other(node, beside))
        return found is not None and abs(found - wanted) < 1e-5 * abs(wanted)

    def put(self, last: Node, op: str, reads: tuple[str, ...], *others: Node) -> None:
        """Put one node in the place of the last of several."""
        self.instead[last] = replace(last, op=op, reads=reads, attributes={})
        self.gone |= set(others)


def _linear(found: _Found, node: Node) -> None:
    """A product with a weight, and perhaps a bias after it."""
    weight = found.arrays.get(node.reads[1]) if node.op == "MatMul" else None
    if weight is None or weight.ndim != 2:
        return
    after = found.only(node.makes[0], "Add")
    other = found.other(after, node.makes[0]) if after else ""
    bias = found.arrays.get(other)
    if after and bias is not None and bias.shape == weight.shape[1:]:
        found.instead[after] = replace(after, op="Linear", reads=(*node.reads, other), scope=node.scope)
        found.gone.add(node)
    else:
        found.instead[node] = replace(node, op="Linear")


def _silu(found: _Found, node: Node) -> None:
    """X * sigmoid(x)."""
    if node.op == "Sigmoid":
        after = found.only(node.makes[0], "Mul")
        if after and found.other(after, node.makes[0]) == node.reads[0]:
            found.put(after, "Silu", node.reads, node)


def _mish(found: _Found, node: Node) -> None:
    """X * tanh(softplus(x))."""
    tanh = found.only(node.makes[0], "Tanh") if node.op == "Softplus" else None
    after = found.only(tanh.makes[0], "Mul") if tanh else None
    if tanh and after and found.other(after, tanh.makes[0]) == node.reads[0]:
        found.put(after, "Mish", node.reads, node, tanh)


def _gelu(found: _Found, node: Node) -> None:
    """X * (1 + erf(x / sqrt(2))) / 2, whose factors are in one order or another."""
    inner = found.maker.get(node.reads[0]) if node.op == "Erf" else None
    plus = found.only(node.makes[0], "Add") if inner else None
    if not inner or not plus or not found.is_number(plus, node.makes[0], 1):
        return
    x = next((one for one in inner.reads if one not in found.arrays), "")
    factor = {"Div": sqrt(2), "Mul": 1 / sqrt(2)}.get(inner.op)
    if factor is None or not found.is_number(inner, x, factor) or found.only(inner.makes[0], "Erf") is not node:
        return
    times = found.only(plus.makes[0], "Mul")
    for last, others in _halved(found, x, plus, times) if times else ():
        found.put(last, "Gelu", (x,), inner, node, plus, *others)
        return


def _halved(found: _Found, x: str, plus: Node, times: Node) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Go over the ways in which what is between 0 and 2 is multiplied by half of x."""
    beside = found.other(times, plus.makes[0])
    half = found.maker.get(beside)
    if beside == x:
        for op, number in (("Mul", 0.5), ("Div", 2.0)):
            after = found.only(times.makes[0], op)
            if after and found.is_number(after, times.makes[0], number):
                yield after, (times,)
    elif half and half.op == "Mul" and x in half.reads and found.is_number(half, x, 0.5):
        if found.only(beside, "Mul") is times:
            yield times, (half,)
    elif found.is_number(times, plus.makes[0], 0.5):
        after = found.only(times.makes[0], "Mul")
        if after and found.other(after, times.makes[0]) == x:
            yield after, (times,)


def _hard_swish(found: _Found, node: Node) -> None:
    """X * hardsigmoid(x), where that is PyTorch's, or x * clip(x + 3, 0, 6) / 6."""
    if node.op == "HardSigmoid" and abs(node.attributes.get("alpha", 0.2) - 1 / 6) < 1e-6:
        after = found.only(node.makes[0], "Mul")
        if after and found.other(after, node.makes[0]) == node.reads[0] and node.attributes.get("beta", 0.5) == 0.5:
            found.put(after, "HardSwish", node.reads, node)
    if node.op != "Add" or len(node.reads) != 2:
        return
    x = next((one for one in node.reads if one not in found.arrays), "")
    clip = found.only(node.makes[0], "Clip")
    if not x or not clip or not found.is_number(node, x, 3) or _ends(found, clip) != (0.0, 6.0):
        return
    times = found.only(clip.makes[0], "Mul")
    last = found.only(times.makes[0], "Div") if times and found.other(times, clip.makes[0]) == x else None
    if times and last and found.is_number(last, times.makes[0], 6):
        found.put(last, "HardSwish", (x,), node, clip, times)


def _ends(found: _Found, clip: Node) -> tuple[float | None, ...]:
    if len(clip.reads) == 3:
        return tuple(found.number(name) for name in clip.reads[1:])
    return tuple(clip.attributes.get(name) for name in ("min", "max"))
