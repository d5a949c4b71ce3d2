"""What stands in a box: a step in the words of papers, `3×3 conv, 64 /2`, and the shape of a map."""

from __future__ import annotations

from archdsl.analysis.rows import operation
from archdsl.drawing.metrics import shortened
from archdsl.elaborate.values import show as show_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Node, Scope
    from archdsl.ops.base import Op

MOST = 30  # characters of what a step applies

# Steps that stand with the one before them, or after, in one box; pointwise ones do as well.
MINOR = frozenset(
    "gn ln lrn dropout dropout2d drop_path flatten tokens untokens transpose pad pad_same softmax reshape".split()
)
JOINS = {"add": "+", "mul": "×", "sub": "−", "div": "÷", "maximum": "max", "minimum": "min"}


def is_minor(op: Op) -> bool:
    """Say whether a step stands with its neighbour in one box: a norm, an activation, a change of layout."""
    return op.name in MINOR or ("pointwise" in op.traits and "joins" not in op.traits)


def small(op: Op) -> str:
    """Return the word for a step that stands with another."""
    return shortened(op.said or op.name, MOST)


def large(node: Node) -> str:
    """Return the words for a step that a box is drawn for."""
    op: Any = node.what
    if op.name in JOINS or is_minor(op):
        return JOINS.get(op.name) or small(op)
    return shortened(WORDS[op.name](op) if op.name in WORDS else operation(op, node.written), MOST)


def _window(name: str) -> Callable[[Any], str]:
    """Return what says a step with a window: its size, its name, its channels, its stride."""

    def said(op: Any) -> str:
        parts = [f"{_by(op.kernel)} {name}"]
        if hasattr(op, "out"):
            parts.append(f", {op.out}")
        stride = op.stride or op.kernel  # a pooling without one moves by its window
        if max(stride) > 1:
            parts.append(f" {'×' if op.name == 'conv_transpose' else '/'}{_one(stride)}")
        if getattr(op, "groups", 1) > 1:
            parts.append(f", {op.groups} groups")
        if max(getattr(op, "dilation", (1, 1))) > 1:
            parts.append(f", dilation {_one(op.dilation)}")
        return "".join(parts)

    return said


def _upsample(op: Any) -> str:
    return "upsample" if op.scale is None else f"upsample ×{_one(op.scale)}"


def _attention(op: Any) -> str:
    windows = f", {_by(op.window)} windows{' that are moved' if any(op.shift) else ''}" if op.window else ""
    return f"attention, {op.heads} heads{windows}"


WORDS: dict[str, Callable[[Any], str]] = {
    "conv": _window("conv"),
    "depthwise": _window("depthwise"),
    "filter": _window("filter"),
    "conv_transpose": _window("transposed conv"),
    "maxpool": _window("maxpool"),
    "avgpool": _window("avgpool"),
    "linear": lambda op: f"linear, {op.known}",
    "global_avgpool": lambda op: "global avgpool",
    "global_maxpool": lambda op: "global maxpool",
    "attention": _attention,
    "subsample": lambda op: (
        f"every /{_one(op.stride)}" if not any(op.offset) else f"every /{_one(op.stride)} from {_one(op.offset)}"
    ),
    "upsample": _upsample,
    "crop": lambda op: "crop",
    "maxunpool": lambda op: "maxunpool",
    "untokens": lambda op: "untokens",
    "cat": lambda op: "cat",
    "learned": lambda op: "learned",
    "relative_bias": lambda op: "relative bias",
    "chunk": lambda op: f"chunk in {op.parts}",
}


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]}×{pair[1]}"


def _one(pair: Any) -> str:
    """Return one number for both axes, where it is one."""
    if not isinstance(pair, tuple):
        return show_value(pair)
    return show_value(pair[0]) if pair[0] == pair[1] else f"({', '.join(map(show_value, pair))})"


def shape(value: Shape) -> str:
    """Return a shape at the default size, without the batch: `64×56×56`."""
    return "×".join([str(int(dim)) for dim in value[1:]])


def several(first: str, last: str) -> str:
    """Return the names of the first and the last of several in a row.

    >>> several("encoder_layer_0", "encoder_layer_11"), several("Mixed_5c", "Mixed_5d"), several("norm", "norm")
    ('encoder_layer_0-11', 'Mixed_5c-d', 'norm')
    """
    if first == last:
        return first
    common = common_start([first, last])
    stem = common.rstrip("0123456789")
    same = len(stem if first[len(stem) :].isdecimal() else common)
    return f"{first}-{last[same:]}"


def common_start(texts: Sequence[str]) -> str:
    """Return what all texts begin with."""
    low, high = min(texts), max(texts)
    return low[: next((at for at, (a, b) in enumerate(zip(low, high)) if a != b), len(low))]


def arguments(scope: Scope) -> str:
    """Return the plain arguments of a block that differ from its defaults: `planes=64, stride=2`."""
    params = scope.definition.params if scope.definition is not None else ()
    defaults = {p.name: " ".join(p.default.span.text.split()) for p in params if p.default is not None}
    shown = [(name, _argument(value)) for name, value in scope.args if _is_plain(value)]
    return shortened(", ".join([f"{name}={text}" for name, text in shown if text != defaults.get(name)]), MOST)


def _argument(value: object) -> str:
    """Print an argument, a fraction with three figures."""
    return f"{value:.3g}" if isinstance(value, float) else show_value(value)


def _is_plain(value: object) -> bool:
    """Say whether an argument is a number or a word, or a list of them."""
    return isinstance(value, (int, float, str)) or (isinstance(value, tuple) and all(map(_is_plain, value)))
