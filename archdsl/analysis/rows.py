"""How tables name and fold steps: a step that follows itself is one row with its count."""

from __future__ import annotations

from archdsl.core.source import visible
from archdsl.elaborate.values import show as show_value
from archdsl.ir.network import Scope
from archdsl.ops.base import REQUIRED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from archdsl.ir.network import Node
    from archdsl.ops.base import Op
    from archdsl.syntax import tree


def repeats(scope: Scope, at: int, alive: set[int] | None = None) -> int:
    """Count how often a numbered step follows itself, on the same shapes.

    `alive` are the values that the results need: a step that makes one is no repetition of one that makes none.
    """
    first = scope.nodes[at]
    count = 1
    if first.labelled or not first.name:
        return 1
    for number in range(at + 1, len(scope.nodes)):
        node = scope.nodes[number]
        same = node.what is first.what if isinstance(first.what, Scope) else node.what == first.what
        if (
            not same
            or node.labelled
            or not _alike(scope, node, first)
            or node.inputs[0] not in scope.nodes[at + count - 1].outputs
            or (alive is not None and alive.isdisjoint(node.outputs) is not alive.isdisjoint(first.outputs))
        ):
            break
        count += 1
    return count


def _alike(scope: Scope, left: Node, right: Node) -> bool:
    return all(scope.shapes[a] == scope.shapes[b] for a, b in zip(left.inputs, right.inputs))


def title(scope: Scope) -> str:
    """Print a block with the arguments that differ from its defaults: `bottleneck(planes=64)`."""
    if scope.kind == "scope":
        return ""
    if scope.wrapper is not None:
        return operation(scope.wrapper)
    params = scope.definition.params if scope.definition is not None else ()
    defaults = {p.name: " ".join(p.default.span.text.split()) for p in params if p.default is not None}
    args = [(k, show_value(v)) for k, v in scope.args]
    return visible(f"{scope.title}({', '.join(f'{k}={v}' for k, v in args if v != defaults.get(k))})")


def operation(op: Op, written: Sequence[tuple[str, tree.Expr]] = ()) -> str:
    """Print an operator with the arguments that differ from its defaults: `conv(64, 7, stride=2)`.

    A tensor among them is shown as it was written: `crop(like=skip)`.
    """
    texts_of = {name: " ".join(expr.span.text.split()) for name, expr in written}
    texts = []
    for name, spec in op.args.items():
        value = getattr(op, name)
        if spec.kind.text == "a pipeline":
            continue
        if spec.kind.tensor and value:
            texts.append(f"{name}={texts_of.get(name, '...')}")
            continue
        if spec.default is REQUIRED:
            texts.append(_plain(value))
        elif value is not None and value != (spec.kind.accept(spec.default) if spec.default is not None else None):
            texts.append(f"{name}={_plain(value)}")
    return f"{op.name}({', '.join(texts)})" if texts else op.name


def _plain(value: Any) -> str:
    if isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else show_value(value)


def human(number: int) -> str:
    """Print a count with three figures: `25.6 M`."""
    for scale, unit in ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= scale:
            return f"{number / scale:.3g}{unit}"
    return str(number)
