"""Names of pipelines that stand where a tensor is needed: no tensor has reached them, which is where they are bound.

Looked for only when a mistake is told.
"""

from __future__ import annotations

from archdsl.diagnostics.errors import Unapplied
from archdsl.elaborate.values import ChainValue, CombineValue, LabelValue, Located, OpValue, Pipeline
from archdsl.syntax import tree
from archdsl.syntax.names import parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.environment import Env


def unapplied(value: Any, name: str | None, env: Env) -> Unapplied | None:
    """Return where a pipeline is bound, by a name that is known or by any; None where no statement binds it.

    Where it is made of one by name that starts with a tensor that is learned, it is that one.
    """
    inner = [unapplied(part, None, env) for part in _made_of(value)]
    return next((one for one in inner if one is not None and one.starts), None) or _bound(value, name, env)


def _bound(value: Any, name: str | None, env: Env) -> Unapplied | None:
    scope: Env | None = env if isinstance(value, Pipeline) else None
    while scope is not None:
        for known, one in scope.names.items():
            if known == name or (name is None and one is value and isinstance(value, ALONE)):
                return _statement(known, scope.places[known], value, env.file.module)
        scope = scope.outer
    return None


def _statement(name: str, place: Span, value: Any, module: tree.Module) -> Unapplied | None:
    for bind in _bindings(module.items):
        if bind.name.span == place:
            return Unapplied(name, place, bind.value.span, _is_learned(value))
    return None


def _bindings(node: Any) -> Iterator[tree.Bind]:
    for part in parts(node):
        if isinstance(part, tree.Bind):
            yield part
        yield from _bindings(part)


ALONE = (LabelValue, ChainValue, CombineValue)  # values that no two bindings share


def _made_of(value: Any) -> list[Any]:
    """Return the pipelines that one is made of, less their places."""
    if isinstance(value, (LabelValue, Located)):
        inner = [value.item]
    elif isinstance(value, ChainValue):
        inner = [value.links[0]]
    else:
        inner = list(value.branches) if isinstance(value, CombineValue) else []
    return [item.item if isinstance(item, Located) else item for item in inner]


def _is_learned(value: Any) -> bool:
    while not isinstance(value, OpValue):
        first = _made_of(value)
        if not first:
            return False
        value = first[0]
    return "source" in value.op.traits
