"""Arithmetic, activations, and what is left to chance."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from archdsl.importer.calls import attention, views
from archdsl.importer.calls.attention import Scores
from archdsl.importer.calls.reader import LAYOUT, Chance, Learned, Reader, Seen, Shown, kept
from archdsl.importer.graph import Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNS = {"+": "add", "*": "mul", "-": "sub", "/": "div"}


def _form(r: Reader, input: Any, other: Any) -> str:
    """Return the form in which two tensors are shown, which must be one; a weight has none."""
    forms = {one.form if isinstance(one, Shown) else "" for one in (input, other) if not isinstance(one, Learned)}
    if len(forms) > 1:
        raise Unsaid("tensors of different forms beside one another", r.path)
    return forms.pop() if forms else ""


def beside(r: Reader, sign: str, input: Any, other: Any) -> Any:
    """Apply a sign to two tensors, to a tensor and a number, or to a tensor and a weight."""
    input, other = (one.node if isinstance(one, Shown) and one.form == "spread" else one for one in (input, other))
    if isinstance(input, (int, float)):
        return with_number(r, sign, other, input, True)
    if isinstance(other, (int, float)):
        return with_number(r, sign, input, other, False)
    if sign == "*" and isinstance(other, Chance):
        return _dropped(r, input, other)
    if isinstance(input, Learned) and not isinstance(other, Learned) and sign in "+*":
        input, other = other, input
    if isinstance(input, Scores) and sign == "+":
        return attention.added(r, input, other)
    if isinstance(input, Seen) or isinstance(other, Seen):
        return views.beside(r, SIGNS[sign], input, other)
    form = _form(r, input, other)
    if isinstance(other, Learned):
        return _with_weight(r, sign, input, other, form)
    one, two = (x.node if isinstance(x, Shown) else r.plain(x) for x in (input, other))
    shape = _broadcast(r, one.shape, two.shape)
    made = r.step(SIGNS[sign], {}, (one, two), shape)
    return Shown(made, form, _broadcast(r, input.shape, other.shape)) if form else made


def _broadcast(r: Reader, one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    if len(one) != len(two):
        raise Unsaid(f"{list(one)} beside {list(two)}", r.path)
    return tuple(map(max, one, two))


def with_number(r: Reader, sign: str, input: Any, number: float, left: bool) -> Any:
    if isinstance(input, Chance):
        if sign == "/" and not left and abs(number - input.keep) < 1e-9:
            return Chance(input.keep, True)
        raise Unsaid("a random mask in arithmetic", r.path)
    if sign == "/" and left:
        raise Unsaid("a number that is divided by a tensor", r.path)
    if sign == "-" and left:
        input, sign = with_number(r, "*", input, -1, False), "+"
    number = {"+": number, "-": -number, "*": number, "/": 1 / number if sign == "/" else 0}[sign]
    if number == (1 if sign in "*/" else 0):
        return input
    if isinstance(input, Scores) and sign in "*/":
        return input.times(number)
    return kept(r, "scale" if sign in "*/" else "shift", {"value": float(number)}, input)


def _with_weight(r: Reader, sign: str, input: Any, other: Learned, form: str) -> Any:
    """Multiply by a learned scale, or add a learned shift: one number, one for each channel, or one for each place."""
    node = input.node if isinstance(input, Shown) else r.plain(input)
    count, rank = prod(other.shape), len(node.shape)
    axis = -1 if form == "last" or rank in (2, 3) else -3
    each = count == node.channels and len(other.shape) >= -axis and other.shape[axis] == count
    if (each or count == 1) and sign in "+*":
        op, own = ("scale", "weight") if sign == "*" else ("shift", "bias")
        fields = {"value": 1.0 if sign == "*" else 0.0, "learned": True, "per_channel": each and node.channels > 1}
        made = r.step(op, fields, (node,), node.shape, **{own: other})
        return Shown(made, form, input.shape) if form else made
    if form or len(other.shape) != rank or other.shape[0] != 1:
        raise Unsaid(f"a weight {list(other.shape)} beside a tensor {list(input.shape)}", r.path)
    return r.step(SIGNS[sign], {}, (node, r.plain(other)), _broadcast(r, node.shape, other.shape))


def signed(sign: str, reverse: bool = False) -> Callable[..., Any]:
    def function(r: Reader, input: Any, other: Any, alpha: float = 1, **words: Any) -> Any:
        if alpha != 1:
            raise Unsaid("a sum with a factor", r.path)
        return beside(r, sign, *((other, input) if reverse else (input, other)))

    return function


def extreme(op: str) -> Callable[..., Any]:
    """Return the function of the larger or the smaller of two tensors, at each place."""

    def function(r: Reader, input: Any, other: Any) -> Any:
        one, two = r.plain(input), r.plain(other)
        return r.step(op, {}, (one, two), _broadcast(r, one.shape, two.shape))

    return function


def power(r: Reader, input: Any, exponent: Any) -> Any:
    if not isinstance(exponent, (int, float)):
        raise Unsaid("a power by a tensor", r.path)
    if exponent == 0.5:
        return kept(r, "sqrt", {}, input)
    if exponent == 2:
        return beside(r, "*", input, input)
    raise Unsaid(f"a power of {exponent}", r.path)


def hardtanh(r: Reader, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    if (min_val, max_val) == (0.0, 6.0):
        return kept(r, "relu6", {}, input)
    return kept(r, "hardtanh", {"low": min_val, "high": max_val}, input)


def clamp(r: Reader, input: Any, min: Any = None, max: Any = None) -> Any:
    if min is None or max is None:
        if min == 0 and max is None:
            return kept(r, "relu", {}, input)
        raise Unsaid("a clamp with one end", r.path)
    return hardtanh(r, input, float(min), float(max))


def leaky_relu(r: Reader, input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    return kept(r, "leaky_relu", {"slope": negative_slope}, input)


def elu(r: Reader, input: Any, alpha: float = 1.0, inplace: bool = False, *_: Any) -> Any:
    return kept(r, "elu", {"alpha": alpha}, input)


def gelu(r: Reader, input: Any, approximate: str = "none") -> Any:
    return kept(r, "gelu", {"approximate": approximate}, input)


def softplus(r: Reader, input: Any, beta: float = 1, threshold: float = 20) -> Any:
    if beta != 1 or threshold != 20:
        raise Unsaid("a softplus of another steepness", r.path)
    return kept(r, "softplus", {}, input)


def softmax(r: Reader, input: Any, dim: Any = None, *_: Any, **words: Any) -> Any:
    if isinstance(input, Scores):
        return attention.softened(r, input, dim)
    if isinstance(input, Shown) and input.form in ("groups", "split") and dim == 1 and set(input.shape[3:]) <= {1}:
        return _among_groups(r, input)
    if isinstance(input, Seen) or (isinstance(input, Shown) and input.form in views.AXES and dim is not None):
        return views.softmax(r, views.seen(r, input), dim)
    node = r.plain(input)
    names = LAYOUT.get(len(node.shape), {})
    axis = names.get(dim % len(node.shape)) if dim is not None else None
    if axis is None:
        raise Unsaid("a softmax over the images", r.path)
    return r.step("softmax", {"axis": axis}, (node,), node.shape)


def _among_groups(r: Reader, input: Shown) -> Shown:
    """Take the softmax of what groups of channels have at one place: as a map whose channels are the groups."""
    n, groups, each = input.shape[:3]
    sizes = {"channels": groups, "height": each, "width": 1}
    apart = r.step("reshape", sizes, (input.node,), (n, groups, each, 1))
    made = r.step("softmax", {"axis": "channels"}, (apart,), apart.shape)
    back = r.step("reshape", {"channels": groups * each, "height": 1, "width": 1}, (made,), input.node.shape)
    return Shown(back, input.form, input.shape)


def glu(r: Reader, input: Any, dim: int = -1) -> Any:
    node = r.plain(input)
    if dim % len(node.shape) != (2 if len(node.shape) == 3 else 1):
        raise Unsaid("a gate along another axis than the channels", r.path)
    shape = list(node.shape)
    shape[2 if len(shape) == 3 else 1] //= 2
    return r.step("glu", {}, (node,), shape)


# -------------------------------------------------------------------------------------------------- chance
def dropout(op: str) -> Callable[..., Any]:
    def function(r: Reader, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        if not training or (p == 0 and isinstance(input, Scores)):
            return input
        return kept(r, op, {"p": p}, input)

    return function


def empty(r: Reader, *_: Any, **words: Any) -> Any:
    return Chance(1.0)


def bernoulli(r: Reader, input: Any, p: float = 0.5, **words: Any) -> Any:
    if not isinstance(input, Chance):
        raise Unsaid("random numbers", r.path)
    return Chance(p)


def _dropped(r: Reader, input: Any, mask: Chance) -> Any:
    """Drop a whole branch of an image at random (stochastic depth)."""
    if not mask.scaled and mask.keep < 1:
        raise Unsaid("stochastic depth without its scale", r.path)
    return kept(r, "drop_path", {"p": round(1 - mask.keep, 12)}, input)
