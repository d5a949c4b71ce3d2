"""Prints what is between the stages: the syntax tree, and the checked IR."""

from __future__ import annotations

from archdsl.analysis.rows import operation
from archdsl.core.record import Record
from archdsl.elaborate.values import show as show_value
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct
from archdsl.ops.base import show
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.ir.network import Network


def syntax(node: object, indent: int = 0) -> str:
    """Print a syntax tree, one node a line, its fields indented under it."""
    return "\n".join(_lines(node, indent, ""))


def _lines(node: object, indent: int, name: str) -> Iterator[str]:
    pad = "  " * indent + (f"{name}: " if name else "")
    if isinstance(node, tuple):
        if not any(isinstance(item, (Record, tuple)) for item in node):
            yield f"{pad}{list(node)!r}"
            return
        yield f"{pad}[{len(node)}]"
        for item in node:
            yield from _lines(item, indent + 1, "")
    elif isinstance(node, tree.Node):
        fields = [f for f in node.fields if f not in node.unequal]
        plain = [f for f in fields if not isinstance(getattr(node, f), (Record, tuple))]
        texts = " ".join(f"{f}={getattr(node, f)!r}" for f in plain)
        yield f"{pad}{type(node).__name__} {texts}".rstrip()
        for field in fields:
            if field not in plain:
                yield from _lines(getattr(node, field), indent + 1, field)
    else:
        yield f"{pad}{node!r}"


def graph(network: Network) -> str:
    """Print the IR: each distinct scope once, inner ones first, its nodes with their inputs and exact shapes."""
    scopes = distinct(network.scope)
    names = {id(scope): f"@{number}" for number, scope in enumerate(scopes)}
    lines = [line for scope in scopes for line in _scope(scope, names)]
    symbols = ", ".join(f"{s.name}={s.default}" for s in network.symbols)
    return "\n".join([f"network {network.name}  {symbols}", "", *lines]).rstrip()


def _scope(scope: Scope, names: dict[int, str]) -> Iterator[str]:
    args = ", ".join(f"{k}={show_value(v)}" for k, v in scope.args)
    inputs = ", ".join(f"%{v}: {show(scope.shapes[v])}" for v in scope.inputs)
    yield f"{names[id(scope)]} {scope.kind} {scope.title}({args})  {inputs}".rstrip()
    for node in scope.nodes:
        what = names[id(node.what)] if isinstance(node.what, Scope) else operation(node.what)
        outputs = ", ".join(f"%{o}: {show(scope.shapes[o])}" for o in node.outputs)
        operands = ", ".join(f"%{i}" for i in node.inputs)
        label = f"{node.name}: " if node.name else ""
        yield f"  {outputs} = {label}{what} {operands}{'  shared' if node.reuses else ''}"
    for output in scope.outputs:
        yield f"  return {output.name} = %{output.value}{' when training' if output.training else ''}"
    yield ""
