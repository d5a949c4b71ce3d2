"""Which function reads which call, by PyTorch's name without underscores around it; and reading a whole trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archdsl.importer.calls import arithmetic, attention, layers, pools, shapes, views
from archdsl.importer.calls.reader import Fixed, Reader, Refused, same, unary
from archdsl.importer.graph import Graph, Node, Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.importer.trace import Trace, Value


PLAIN = ("relu", "relu6", "silu", "mish", "sigmoid", "tanh", "hardswish", "hardsigmoid", "abs", "exp", "log", "sqrt")
SAME = ("data", "contiguous", "clone", "to", "type", "float", "detach", "type_as", "requires_grad")
TABLE: dict[str, Callable[..., Any]] = {
    **{name: unary(name) for name in PLAIN},
    **dict.fromkeys(SAME, same),
    "square": lambda r, x: arithmetic.power(r, x, 2),
    "conv1d": layers.conv1d,
    "conv2d": layers.conv2d,
    "conv_transpose2d": layers.conv_transpose2d,
    "linear": layers.linear,
    "batch_norm": layers.batch_norm,
    "group_norm": layers.group_norm,
    "instance_norm": layers.instance_norm,
    "layer_norm": layers.layer_norm,
    "rms_norm": layers.rms_norm,
    "multi_head_attention_forward": layers.multi_head_attention_forward,
    "matmul": attention.matmul,
    "bmm": attention.matmul,
    "einsum": attention.einsum,
    "scaled_dot_product_attention": attention.scaled_dot_product_attention,
    "local_response_norm": layers.local_response_norm,
    "prelu": layers.prelu,
    "max_pool2d": pools.max_pool2d,
    "boolean_dispatch": pools.max_pool2d,
    "avg_pool2d": pools.avg_pool2d,
    "adaptive_avg_pool2d": pools.adaptive("avg"),
    "adaptive_max_pool2d": pools.adaptive("max"),
    **{name: pools.reduced(name) for name in ("mean", "sum", "amax", "amin")},
    "max": pools.largest("maximum"),
    "min": pools.largest("minimum"),
    "norm": pools.norm,
    "addcmul": pools.addcmul,
    "add": arithmetic.signed("+"),
    "radd": arithmetic.signed("+"),
    "sub": arithmetic.signed("-"),
    "rsub": arithmetic.signed("-", True),
    "mul": arithmetic.signed("*"),
    "rmul": arithmetic.signed("*"),
    "div": arithmetic.signed("/"),
    "truediv": arithmetic.signed("/"),
    "rtruediv": arithmetic.signed("/", True),
    "rdiv": arithmetic.signed("/", True),
    "maximum": arithmetic.extreme("maximum"),
    "minimum": arithmetic.extreme("minimum"),
    "pow": arithmetic.power,
    "neg": lambda r, x: arithmetic.with_number(r, "*", x, -1, False),
    "hardtanh": arithmetic.hardtanh,
    "clamp": arithmetic.clamp,
    "leaky_relu": arithmetic.leaky_relu,
    "elu": arithmetic.elu,
    "gelu": arithmetic.gelu,
    "softplus": arithmetic.softplus,
    "softmax": arithmetic.softmax,
    "glu": arithmetic.glu,
    "dropout": arithmetic.dropout("dropout"),
    "dropout2d": arithmetic.dropout("dropout2d"),
    "feature_dropout": arithmetic.dropout("dropout2d"),
    "new_zeros": lambda r, x, *size, **words: Fixed(size[0] if isinstance(size[0], tuple) else size),
    "new_empty": arithmetic.empty,
    "empty": arithmetic.empty,
    "bernoulli": arithmetic.bernoulli,
    "flatten": shapes.flatten,
    "reshape": shapes.reshape,
    "view": shapes.reshape,
    "permute": shapes.permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), shapes.transpose),
    **dict.fromkeys(("t", "T"), shapes.turned),
    "mT": lambda r, x: shapes.transpose(r, x, -2, -1),
    "roll": views.rolled,
    "unflatten": shapes.unflatten,
    "squeeze": shapes.squeeze,
    "unsqueeze": shapes.unsqueeze,
    "expand": shapes.expand,
    "expand_as": shapes.expand,
    "getitem": shapes.getitem,
    "narrow": shapes.narrow,
    "unbind": shapes.unbind,
    "chunk": shapes.chunk,
    "split": shapes.split,
    "cat": shapes.cat,
    "concat": shapes.cat,
    "stack": shapes.stack,
    "pad": shapes.pad,
    "interpolate": shapes.interpolate,
    "upsample": shapes.interpolate,
    "pixel_shuffle": shapes.rearranged("pixel_shuffle", 1),
    "pixel_unshuffle": shapes.rearranged("pixel_unshuffle", -1),
    "channel_shuffle": shapes.channel_shuffle,
    "native_channel_shuffle": shapes.channel_shuffle,
}


def brought(r: Reader, used: Any, *given: Any, **weights: Any) -> Node:
    """Read a layer that the text brings along (`archdsl.importer.partial`)."""
    node = r.step(used.layer.name, {}, given, used.made, **weights)
    node.label = used.label
    return node


def read(trace: Trace, known: dict[Value, Any] | None = None) -> Graph:
    """Return what a trace computes; `known` is told what each value is. Raises `Unsaid`."""
    reader = Reader({**TABLE, "brought": brought}, known)
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
