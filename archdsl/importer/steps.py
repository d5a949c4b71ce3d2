"""Calls of PyTorch as steps of the language.

`read` goes over a trace. A function of `TABLE` takes the arguments of one call by PyTorch's own names and returns what
the results are: mostly a node. A tensor need not look as the language's does: a map with the channels last, or with
its channels in groups, is a node that is *shown* in another form, and a step that knows the form takes it back. What no
function knows makes a tensor that is `Unsaid`, with its reason; so is what is made of it. It is an error only where a
result of the network needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from archdsl.importer.graph import Graph, Node, Scope, Unsaid
from archdsl.importer.trace import Call, Frame, Value, Weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.importer.trace import Trace


@dataclass(frozen=True, eq=False)
class Shown:
    """A node in another form than the language's.

    `last`: a map [N, H, W, C]; `groups`: its channels as [N, g, C / g, H, W]; `swapped`: the same as [N, C / g, g, H, W];
    `line`: a map as [N, C, H * W]; `thin`: [N, C, 1] of a map [N, C, 1, 1]; `row`: [N, C, W] of a map [N, C, 1, W];
    `spread`: one whose axes of size 1 are repeated.
    """

    node: Node
    form: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Chance:
    """A random mask for each image, 0 or 1 with a probability, and what it has been divided by."""

    keep: float
    scaled: bool = False


@dataclass(frozen=True)
class Learned:
    """A weight that stands beside a tensor, in the shape in which it does."""

    weight: Weight
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Refused:
    """A tensor that the language cannot say, and why."""

    why: Unsaid


def read(trace: Trace) -> Graph:
    """Return what a trace computes. Raises `Unsaid`."""
    reader = Reader()
    inputs = []
    for value in trace.inputs:
        node = Node("input", {}, (), value.shape)
        reader.known[value] = node
        inputs.append(node)
    root = reader.scope(trace.root)
    outputs = {}
    for name, value in trace.outputs.items():
        found = reader.known.get(value)
        if isinstance(found, Refused):
            raise found.why
        if not isinstance(found, Node):
            raise Unsaid("the result has a form that the language does not have", "")
        outputs[name] = found
    return Graph(tuple(inputs), root, outputs)


class Reader:
    """What each value of a trace is, and the module that is being read."""

    def __init__(self) -> None:
        self.known: dict[Value, Any] = {}
        self._open: list[Scope] = []

    def scope(self, frame: Frame) -> Scope:
        """Read a module."""
        given = [self.known.get(value) for value in frame.given]
        scope = Scope(frame.path, frame.kind, tuple(node for node in map(_node, given) if node is not None))
        self._open.append(scope)
        for item in frame.items:
            if isinstance(item, Frame):
                scope.items.append(self.scope(item))
            else:
                self._call(item)
        self._open.pop()
        return scope

    def _call(self, call: Call) -> None:
        try:
            made = self._made(call)
        except Unsaid as why:
            made = Refused(why)
        except TypeError as problem:
            made = Refused(Unsaid(f"`{call.function}` with arguments that are not expected here: {problem}", self.path))
        several = made if isinstance(made, list) else [made] * len(call.results)
        for value, one in zip(call.results, several):
            if isinstance(one, (Node, Shown)) and tuple(one.shape) != value.shape:
                why = f"`{call.function}` makes {list(value.shape)}, and {list(one.shape)} is expected here"
                one = Refused(Unsaid(why, self.path))
            self.known[value] = one

    def _made(self, call: Call) -> Any:
        given = [self._given(argument) for argument in call.arguments]
        words = {name: self._given(value) for name, value in call.keywords.items()}
        for one in [*given, *words.values()]:
            for each in one if isinstance(one, tuple) else (one,):
                if isinstance(each, Refused):
                    raise each.why
        function = TABLE.get(call.function.strip("_"))  # `add_`, `__add__` and `add` are one to what is computed
        if function is None:
            raise Unsaid(f"the language has no step for `{call.function}`", self.path)
        return function(self, *given, **words)

    def _given(self, argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(map(self._given, argument))
        if isinstance(argument, Value):
            return self.known.get(argument, Refused(Unsaid("a tensor that the module's code makes", self.path)))
        return Learned(argument, argument.shape) if isinstance(argument, Weight) else argument

    @property
    def path(self) -> str:
        """The name of the module that is being read."""
        return self._open[-1].path

    def step(self, op: str, fields: dict[str, Any], inputs: tuple[Any, ...], shape: Any, **weights: Any) -> Node:
        """Add a step; weights that are None are not there."""
        names = {}
        for own, weight in weights.items():
            if weight is None:
                continue
            if not isinstance(weight, Learned):
                raise Unsaid(f"the {own} of `{op}` is computed, and not learned", self.path)
            names[own] = weight.weight.name
        node = Node(op, fields, tuple(self.plain(one) for one in inputs), tuple(shape), names)
        self._open[-1].items.append(node)
        return node

    def plain(self, found: Any) -> Node:
        """Return a tensor that has the language's own form."""
        if isinstance(found, Node):
            return found
        if isinstance(found, Shown):
            raise Unsaid(f"a tensor {list(found.shape)} where the language has {list(found.node.shape)}", self.path)
        if isinstance(found, Learned):
            return self.step("learned", {"size": found.shape[1:]}, (), found.shape, weight=found)
        raise Unsaid("a number or a mask where a tensor is expected", self.path)


def _node(found: Any) -> Node | None:
    return found if isinstance(found, Node) else found.node if isinstance(found, Shown) else None


def _shape(found: Any) -> tuple[int, ...]:
    return tuple(found.shape)


def both(value: Any) -> tuple[int, int]:
    """Return a number for each of two axes."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    return pair * 2 if len(pair) == 1 else pair


def _unary(op: str, **fields: Any) -> Callable[..., Any]:
    """Return the function of a step that keeps shape and form."""

    def function(r: Reader, input: Any, inplace: bool = False) -> Any:
        return kept(r, op, dict(fields), input)

    return function


def kept(r: Reader, op: str, fields: dict[str, Any], input: Any) -> Any:
    """Apply a step that works element by element, in whatever form its tensor is shown."""
    if isinstance(input, Shown):
        return Shown(r.step(op, fields, (input.node,), input.node.shape), input.form, input.shape)
    return r.step(op, fields, (input,), r.plain(input).shape)


def _same(r: Reader, input: Any, *args: Any, **words: Any) -> Any:
    return input


# -------------------------------------------------------------------------------------------------- layers
def conv2d(
    r: Reader, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Node:  # fmt: skip
    out, _, *kernel = _shape(weight)
    stride, dilation = both(stride), both(dilation)
    pad = padding if isinstance(padding, str) else both(padding)
    pad = (0, 0) if pad == "valid" else pad
    if pad == "same" and stride != (1, 1):
        raise Unsaid('`padding="same"` with a stride', r.path)
    same = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel))
    window = {"kernel": tuple(kernel), "stride": stride, "pad": None if pad == same else pad, "dilation": dilation}
    n, channels, *size = r.plain(input).shape
    reach = [d * (k - 1) for d, k in zip(dilation, kernel)]
    margin = reach if pad == "same" else [2 * p for p in pad]
    shape = (n, out, *[(s + m - a - 1) // b + 1 for s, m, a, b in zip(size, margin, reach, stride)])
    state = {"weight": weight, "bias": bias}
    if groups == channels > 1:
        fields = window | {"multiplier": out // channels, "bias": bias is not None}
        return r.step("depthwise", fields, (input,), shape, **state)
    fields = {"out": out} | window | {"groups": groups, "bias": bias is not None}
    return r.step("conv", fields, (input,), shape, **state)


def conv1d(
    r: Reader, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Any:  # fmt: skip
    """A convolution along a row is one of a map of height 1."""
    if not isinstance(input, Shown) or input.form not in ("row", "thin"):
        raise Unsaid("a convolution of one dimension", r.path)
    one = Learned(weight.weight, (*weight.shape[:2], 1, weight.shape[2])) if isinstance(weight, Learned) else weight
    ways = [(given[0] if isinstance(given, tuple) else given) for given in (stride, padding, dilation)]
    window = [(1, ways[0]), (0, ways[1]), (1, ways[2])]
    made = conv2d(r, input.node, one, bias, *window, groups)
    return Shown(made, "row", (made.shape[0], made.shape[1], made.shape[3]))


def conv_transpose2d(
    r: Reader, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> Node:  # fmt: skip
    _, out, *kernel = _shape(weight)
    fields = {"out": out * groups, "kernel": tuple(kernel), "stride": both(stride), "pad": both(padding)}
    fields |= {"output_pad": both(output_padding), "dilation": both(dilation), "groups": groups}
    n, _, *size = r.plain(input).shape
    sizes = [
        (s - 1) * b - 2 * p + d * (k - 1) + o + 1
        for s, b, p, d, k, o in zip(
            size, fields["stride"], fields["pad"], fields["dilation"], kernel, fields["output_pad"]
        )
    ]
    fields["bias"] = bias is not None
    return r.step("conv_transpose", fields, (input,), (n, out * groups, *sizes), weight=weight, bias=bias)


def linear(r: Reader, input: Any, weight: Any, bias: Any = None) -> Any:
    out, _ = _shape(weight)
    fields = {"out": out, "bias": bias is not None}
    if isinstance(input, Shown) and input.form == "last":  # the same as a convolution of one pixel
        n, _, h, w = input.node.shape
        window = {"kernel": (1, 1), "stride": (1, 1), "pad": None, "dilation": (1, 1), "groups": 1}
        node = r.step("conv", fields | window, (input.node,), (n, out, h, w), weight=weight, bias=bias)
        return Shown(node, "last", (n, h, w, out))
    return r.step("linear", fields, (input,), (*r.plain(input).shape[:-1], out), weight=weight, bias=bias)


def batch_norm(
    r: Reader, input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float | None = 0.1, eps: float = 1e-5,
) -> Node:  # fmt: skip
    if momentum is None:
        raise Unsaid("statistics that are a plain mean of all batches", r.path)
    tracked = running_mean is not None
    fields = {"eps": eps, "momentum": momentum, "affine": weight is not None, "track": tracked}
    state = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    return r.step("bn", fields, (input,), r.plain(input).shape, **state)


def group_norm(
    r: Reader, input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn: bool = True
) -> Node:
    fields = {"groups": num_groups, "eps": eps, "affine": weight is not None}
    return r.step("gn", fields, (input,), r.plain(input).shape, weight=weight, bias=bias)


def layer_norm(
    r: Reader, input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any
) -> Any:
    if len(normalized_shape) != 1:
        raise Unsaid("a layer norm over more than the channels", r.path)
    affine = weight is not None
    if affine and bias is None:
        raise Unsaid("a layer norm without a bias", r.path)
    fields = {"eps": eps, "affine": affine}
    node = input.node if isinstance(input, Shown) and input.form == "last" else r.plain(input)
    if node is input and len(node.shape) == 4:
        raise Unsaid("a layer norm over the width of a map", r.path)
    made = r.step("ln", fields, (node,), node.shape, weight=weight, bias=bias)
    return made if node is input else Shown(made, "last", input.shape)


def local_response_norm(
    r: Reader, input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Node:
    return r.step("lrn", {"size": size, "alpha": alpha, "beta": beta, "k": k}, (input,), r.plain(input).shape)


def prelu(r: Reader, input: Any, weight: Any) -> Any:
    each = _shape(weight) != (1,) or r.plain(input).channels == 1
    return r.step("prelu", {"per_channel": each}, (input,), r.plain(input).shape, weight=weight)


# -------------------------------------------------------------------------------------------------- pools
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


def _adaptive(kind: str) -> Callable[..., Any]:
    def function(r: Reader, input: Any, output_size: Any, return_indices: bool = False) -> Node:
        n, c, *own = r.plain(input).shape
        size = tuple(have if want is None else want for have, want in zip(own, both(output_size)))
        if size == (1, 1):
            return r.step(f"global_{kind}pool", {}, (input,), (n, c, 1, 1))
        return r.step(f"adaptive_{kind}pool", {"size": size}, (input,), (n, c, *size))

    return function


LAYOUT = {2: {1: "channels"}, 3: {1: "tokens", 2: "channels"}, 4: {1: "channels", 2: "height", 3: "width"}}
REDUCING = {"mean": "mean", "sum": "sum", "amax": "max", "amin": "min", "max": "max", "min": "min"}
AXES = {"": LAYOUT[4], "last": {1: "height", 2: "width", 3: "channels"}}


def _reduced(name: str) -> Callable[..., Any]:
    """Return the function that reduces axes."""

    def function(r: Reader, input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        dims = [dim] if isinstance(dim, int) else dim
        if dims is None:
            raise Unsaid(f"`{name}` of a whole batch", r.path)
        if isinstance(input, Shown) and input.form == "groups" and name == "sum" and list(dims) == [1]:
            return _summed(r, input)
        shown = isinstance(input, Shown) and input.form == "last"
        node = input.node if shown else r.plain(input)
        names = AXES["last" if shown else ""]
        if len(node.shape) == 3:
            names = {1: "tokens", 2: "channels"}
        axes = sorted(names.get(d % len(node.shape), "") for d in dims)
        return _reduction(r, name, node, axes, keepdim, shown)

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
        raise Unsaid(f"`{name}` that leaves an axis out", r.path)
    return Shown(made, "last", (shape[0], shape[2], shape[3], shape[1])) if shown else made


def addcmul(r: Reader, input: Any, tensor1: Any, tensor2: Any, value: float = 1) -> Any:
    if value != 1:
        raise Unsaid("a product with a factor", r.path)
    return _beside(r, "+", input, _beside(r, "*", tensor1, tensor2))


def norm(r: Reader, input: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, **words: Any) -> Any:
    """The root of the sum of squares along axes."""
    if words.get("ord", p) not in (2, "fro", 2.0) or not keepdim:
        raise Unsaid("a norm other than the Euclidean one along axes that stay", r.path)
    squares = _beside(r, "*", input, input)
    return kept(r, "sqrt", {}, TABLE["sum"](r, squares, dim, True))


def _summed(r: Reader, input: Shown) -> Node:
    """Add up the groups of channels of a map."""
    n, groups, each, h, w = input.shape
    parts = [_sliced(r, input.node, i * each, (i + 1) * each) for i in range(groups)]
    return r.step("add", {}, tuple(parts), (n, each, h, w))


# -------------------------------------------------------------------------------------------------- arithmetic
def _sides(r: Reader, input: Any, other: Any) -> tuple[Any, Any, str]:
    """Return two tensors of one form, and the form."""
    forms = {one.form for one in (input, other) if isinstance(one, Shown)}
    if not forms:
        return input, other, ""
    form = forms.pop()
    for one in (input, other):
        if forms or not (isinstance(one, (Shown, Learned)) or isinstance(one, (int, float))):
            raise Unsaid("tensors of different forms beside one another", r.path)
    return input, other, form


def _beside(r: Reader, sign: str, input: Any, other: Any) -> Any:
    """Apply a sign to two tensors, to a tensor and a number, or to a tensor and a weight."""
    input, other = (one.node if isinstance(one, Shown) and one.form == "spread" else one for one in (input, other))
    if isinstance(input, (int, float)):
        return _number(r, sign, other, input, True)
    if isinstance(other, (int, float)):
        return _number(r, sign, input, other, False)
    if sign == "*" and isinstance(other, Chance):
        return _dropped(r, input, other)
    if isinstance(input, Learned) and not isinstance(other, Learned) and sign in "+*":
        input, other = other, input
    input, other, form = _sides(r, input, other)
    if isinstance(other, Learned):
        return _with_weight(r, sign, input, other, form)
    one, two = (x.node if isinstance(x, Shown) else r.plain(x) for x in (input, other))
    shape = _broadcast(r, one.shape, two.shape)
    op = {"+": "add", "*": "mul", "-": "sub", "/": "div"}[sign]
    made = r.step(op, {}, (one, two), shape)
    return Shown(made, form, _form(form, shape, input)) if form else made


def _form(form: str, shape: tuple[int, ...], like: Any) -> tuple[int, ...]:
    return (shape[0], shape[2], shape[3], shape[1]) if form == "last" else like.shape


def _broadcast(r: Reader, one: tuple[int, ...], two: tuple[int, ...]) -> tuple[int, ...]:
    if len(one) != len(two):
        raise Unsaid(f"{list(one)} beside {list(two)}", r.path)
    return tuple(map(max, one, two))


def _number(r: Reader, sign: str, input: Any, number: float, left: bool) -> Any:
    if isinstance(input, Chance):
        if sign == "/" and not left and abs(number - input.keep) < 1e-9:
            return Chance(input.keep, True)
        raise Unsaid("a random mask in arithmetic", r.path)
    if sign == "/" and left:
        raise Unsaid("a number that is divided by a tensor", r.path)
    if sign == "-" and left:
        input, sign = _number(r, "*", input, -1, False), "+"
    number = {"+": number, "-": -number, "*": number, "/": 1 / number if sign == "/" else 0}[sign]
    if number == (1 if sign in "*/" else 0):
        return input
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
    op = {"+": "add", "*": "mul", "-": "sub", "/": "div"}[sign]
    return r.step(op, {}, (node, r.plain(other)), _broadcast(r, node.shape, other.shape))


def _signed(sign: str, reverse: bool = False) -> Callable[..., Any]:
    def function(r: Reader, input: Any, other: Any, alpha: float = 1, **words: Any) -> Any:
        if alpha != 1:
            raise Unsaid("a sum with a factor", r.path)
        return _beside(r, sign, *((other, input) if reverse else (input, other)))

    return function


def _power(r: Reader, input: Any, exponent: Any) -> Any:
    if not isinstance(exponent, (int, float)):
        raise Unsaid("a power by a tensor", r.path)
    if exponent == 0.5:
        return kept(r, "sqrt", {}, input)
    if exponent == 2:
        return _beside(r, "*", input, input)
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
    node = r.plain(input)
    names = LAYOUT.get(len(node.shape), {})
    axis = names.get(dim % len(node.shape)) if dim is not None else None
    if axis is None:
        raise Unsaid("a softmax over the images", r.path)
    return r.step("softmax", {"axis": axis}, (node,), node.shape)


def glu(r: Reader, input: Any, dim: int = -1) -> Any:
    node = r.plain(input)
    if dim % len(node.shape) != (2 if len(node.shape) == 3 else 1):
        raise Unsaid("a gate along another axis than the channels", r.path)
    shape = list(node.shape)
    shape[2 if len(shape) == 3 else 1] //= 2
    return r.step("glu", {}, (node,), shape)


# -------------------------------------------------------------------------------------------------- chance
def _dropout(op: str) -> Callable[..., Any]:
    def function(r: Reader, input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        return kept(r, op, {"p": p}, input) if training else input

    return function


def _empty(r: Reader, *_: Any, **words: Any) -> Any:
    return Chance(1.0)


def _bernoulli(r: Reader, input: Any, p: float = 0.5, **words: Any) -> Any:
    if not isinstance(input, Chance):
        raise Unsaid("random numbers", r.path)
    return Chance(p)


def _dropped(r: Reader, input: Any, mask: Chance) -> Any:
    """Drop a whole branch of an image at random (stochastic depth)."""
    if not mask.scaled and mask.keep < 1:
        raise Unsaid("stochastic depth without its scale", r.path)
    return kept(r, "drop_path", {"p": round(1 - mask.keep, 12)}, input)


# -------------------------------------------------------------------------------------------------- shapes
def flatten(r: Reader, input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    shape = _shape(input)
    start, end = start_dim % len(shape), end_dim % len(shape)
    made = (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])
    return _reshaped(r, input, made)


def reshape(r: Reader, input: Any, *sizes: Any, **words: Any) -> Any:
    wanted = list(words["shape"] if "shape" in words else sizes[0] if isinstance(sizes[0], tuple) else sizes)
    if not all(isinstance(size, int) for size in wanted):
        raise Unsaid("a view as another type", r.path)
    if -1 in wanted:
        wanted[wanted.index(-1)] = prod(_shape(input)) // -prod(wanted)
    return _reshaped(r, input, tuple(wanted))


def _reshaped(r: Reader, input: Any, wanted: tuple[int, ...]) -> Any:
    if wanted == _shape(input):
        return input
    if isinstance(input, Learned):
        return Learned(input.weight, wanted)
    node = input.node if isinstance(input, Shown) else r.plain(input)
    form = input.form if isinstance(input, Shown) else ""
    shape = node.shape
    if form in ("thin", "line", "groups", "row") or (form == "last" and shape[2:] == (1, 1)):
        input, form = node, ""  # the same elements in the same order
        if wanted == shape:
            return node
    if form == "swapped":
        return _unswapped(r, input, wanted)
    if form:
        raise Unsaid(f"a {input.form} view {list(input.shape)} as {list(wanted)}", r.path)
    return _viewed(r, node, wanted)


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
    if len(shape) == 4 and wanted == (n, shape[1], shape[2] * shape[3]):
        return Shown(node, "thin" if wanted[2] == 1 else "line", wanted)
    if wanted == (n, 1, prod(shape[1:])) and prod(shape[1:]) == shape[1]:
        return Shown(r.step("reshape", _sizes(1, 1, shape[1]), (node,), (n, 1, 1, shape[1])), "row", wanted)
    if len(shape) == 2 and wanted == (n, shape[1], 1):
        return Shown(r.step("reshape", _sizes(wanted[1], 1, 1), (node,), (*wanted, 1)), "thin", wanted)
    if len(wanted) == 4 and wanted[0] == n:
        return r.step("reshape", _sizes(*wanted[1:]), (node,), wanted)
    raise Unsaid(f"a tensor {list(shape)} as {list(wanted)}", r.path)


def _sizes(channels: int, height: int, width: int) -> dict[str, int]:
    return {"channels": channels, "height": height, "width": width}


def permute(r: Reader, input: Any, *dims: Any, **words: Any) -> Any:
    order = words.get("dims", dims[0] if dims and isinstance(dims[0], tuple) else dims)
    return _permuted(r, input, tuple(d % len(_shape(input)) for d in order))


def transpose(r: Reader, input: Any, dim0: int, dim1: int) -> Any:
    order = list(range(len(_shape(input))))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permuted(r, input, tuple(order))


def _permuted(r: Reader, input: Any, order: tuple[int, ...]) -> Any:
    form = input.form if isinstance(input, Shown) else ""
    shape = tuple(_shape(input)[d] for d in order)
    if isinstance(input, Node) and len(shape) == 4 and order == (0, 2, 3, 1):
        return Shown(input, "last", shape)
    if form == "last" and order == (0, 3, 1, 2):
        return input.node
    if form == "groups" and order == (0, 2, 1, 3, 4):
        return Shown(input.node, "swapped", shape)
    if form == "line" and order == (0, 2, 1):
        return r.step("tokens", {}, (input.node,), shape)
    raise Unsaid(f"axes of {list(_shape(input))} in the order {list(order)}", r.path)


def squeeze(r: Reader, input: Any, dim: Any = None) -> Any:
    shape = _shape(input)
    dims = [dim] if isinstance(dim, int) else dim
    if dims is None:
        dims = [i for i, size in enumerate(shape) if size == 1]
    dims = [d % len(shape) for d in dims if shape[d] == 1]
    return _reshaped(r, input, tuple(size for i, size in enumerate(shape) if i not in dims))


def unsqueeze(r: Reader, input: Any, dim: int) -> Any:
    shape = list(_shape(input))
    shape.insert(dim % (len(shape) + 1), 1)
    return _reshaped(r, input, tuple(shape))


def expand(r: Reader, input: Any, *sizes: Any) -> Any:
    """An operand of size 1 is repeated where it is used; so is one that has been repeated before."""
    wanted = sizes[0] if isinstance(sizes[0], tuple) else _shape(sizes[0]) if not isinstance(sizes[0], int) else sizes
    own = _shape(input)
    if len(wanted) != len(own) or isinstance(input, Learned):
        raise Unsaid(f"a tensor {list(own)} repeated as {list(wanted)}", r.path)
    shape = tuple(have if want == -1 else want for have, want in zip(own, wanted))
    return input if shape == own else Shown(r.plain(input), "spread", shape)


def getitem(r: Reader, input: Any, index: Any) -> Any:
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
    return _ranges(r, node, ranges)


def _token(r: Reader, node: Node, place: int) -> Node:
    n, count, channels = node.shape
    place %= count
    one = r.step("slice", {"start": place, "stop": place + 1, "axis": "tokens"}, (node,), (n, 1, channels))
    return r.step("flatten", {}, (one,), (n, channels))


def _ranges(r: Reader, node: Node, ranges: list[tuple[int, int]]) -> Node:
    shape = node.shape
    if ranges[0] != (0, shape[0]):
        raise Unsaid("a part of the images", r.path)
    cut = [axis for axis in range(1, len(shape)) if ranges[axis] != (0, shape[axis])]
    if not cut:
        return node
    axis = 2 if len(shape) == 3 else 1
    if cut == [axis]:
        return _sliced(r, node, *ranges[axis])
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


def _sliced(r: Reader, node: Node, start: int, stop: int) -> Node:
    shape = list(node.shape)
    shape[2 if len(shape) == 3 else 1] = stop - start
    return r.step("slice", {"start": start, "stop": stop}, (node,), shape)


def narrow(r: Reader, input: Any, dim: int, start: int, length: int) -> Node:
    node = r.plain(input)
    ranges = [(0, size) for size in node.shape]
    ranges[dim % len(ranges)] = (start, start + length)
    return _ranges(r, node, ranges)


def chunk(r: Reader, input: Any, chunks: int, dim: int = 0) -> list[Any]:
    size = -(-_shape(input)[dim] // chunks)
    return split(r, input, size, dim)


def split(r: Reader, tensor: Any, split_size_or_sections: Any, dim: int = 0) -> list[Any]:
    node = r.plain(tensor)
    length, each = node.shape[dim], split_size_or_sections
    sizes = [min(each, length - i) for i in range(0, length, each)] if isinstance(each, int) else list(each)
    parts, start = [], 0
    for size in sizes:
        parts.append(narrow(r, node, dim, start, size))
        start += size
    return parts


def cat(r: Reader, tensors: Any, dim: int = 0, **words: Any) -> Any:
    tensors = words.get("tensors", tensors)
    if all(isinstance(one, Shown) and one.form == "last" for one in tensors) and dim % 4 == 3:
        made = cat(r, tuple(one.node for one in tensors), 1)
        return Shown(made, "last", _form("last", made.shape, None))
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


def pad(r: Reader, input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    node = r.plain(input)
    if len(pad) > 4 and len(node.shape) == 4 and not any(pad[:4]) and mode == "constant" and not any(pad[6:]):
        return _more_channels(r, node, pad[4], pad[5])
    left, right, top, bottom = (*pad, 0, 0)[:4]
    if not any(pad):
        return node
    if value and value != float("-inf"):
        raise Unsaid(f"margins that are filled with {value}", r.path)
    if min(pad) < 0 or mode not in ("constant", "reflect", "replicate"):
        raise Unsaid(f"margins {list(pad)} filled by `{mode}`", r.path)
    n, c, h, w = node.shape
    fields = {"size": (left, right, top, bottom), "mode": mode, "lowest": value == float("-inf")}
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


def _by(op: str, way: int) -> Callable[..., Any]:
    def function(r: Reader, input: Any, factor: int) -> Node:
        n, c, h, w = r.plain(input).shape
        shape = (n, c // factor**2, h * factor, w * factor) if way > 0 else (n, c * factor**2, h // factor, w // factor)
        return r.step(op, {"factor": factor}, (input,), shape)

    return function


def channel_shuffle(r: Reader, input: Any, groups: int) -> Node:
    return r.step("shuffle", {"groups": groups}, (input,), r.plain(input).shape)


PLAIN = ("relu", "relu6", "silu", "mish", "sigmoid", "tanh", "hardswish", "hardsigmoid", "abs", "exp", "log", "sqrt")
SAME = ("contiguous", "clone", "to", "type", "float", "detach", "type_as", "requires_grad")
TABLE: dict[str, Callable[..., Any]] = {
    **{name: _unary(name) for name in PLAIN},
    **dict.fromkeys(SAME, _same),
    "square": lambda r, input: _power(r, input, 2),
    "conv1d": conv1d,
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "linear": linear,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "local_response_norm": local_response_norm,
    "prelu": prelu,
    "max_pool2d": max_pool2d,
    "boolean_dispatch": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": _adaptive("avg"),
    "adaptive_max_pool2d": _adaptive("max"),
    **{name: _reduced(name) for name in ("mean", "sum", "amax", "amin")},
    "norm": norm,
    "addcmul": addcmul,
    "add": _signed("+"),
    "radd": _signed("+"),
    "sub": _signed("-"),
    "rsub": _signed("-", True),
    "mul": _signed("*"),
    "rmul": _signed("*"),
    "div": _signed("/"),
    "truediv": _signed("/"),
    "rtruediv": _signed("/", True),
    "rdiv": _signed("/", True),
    "pow": _power,
    "neg": lambda r, input: _number(r, "*", input, -1, False),
    "hardtanh": hardtanh,
    "clamp": clamp,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "gelu": gelu,
    "softplus": softplus,
    "softmax": softmax,
    "glu": glu,
    "dropout": _dropout("dropout"),
    "dropout2d": _dropout("dropout2d"),
    "feature_dropout": _dropout("dropout2d"),
    "new_empty": _empty,
    "empty": _empty,
    "bernoulli": _bernoulli,
    "flatten": flatten,
    "reshape": reshape,
    "view": reshape,
    "permute": permute,
    "transpose": transpose,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "expand": expand,
    "expand_as": expand,
    "getitem": getitem,
    "narrow": narrow,
    "chunk": chunk,
    "split": split,
    "cat": cat,
    "concat": cat,
    "pad": pad,
    "interpolate": interpolate,
    "upsample": interpolate,
    "pixel_shuffle": _by("pixel_shuffle", 1),
    "pixel_unshuffle": _by("pixel_unshuffle", -1),
    "channel_shuffle": channel_shuffle,
    "native_channel_shuffle": channel_shuffle,
}
