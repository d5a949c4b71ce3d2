"""What share of the gallery's text reaches generated code as such: its values, its loops, its conditions.

A piece is a place of the text in a generated class, however many instances the class has. A value is an argument that
mentions a name; it is translated where the code has that expression wherever the argument is used, and one that is the
same in all uses needs no expression. A loop is one that makes several steps: the code has it as a loop, or with the list
that it runs over taken apart by names. A condition is a test that some instances pass and others do not.

    python -m benchmarks.translated      # the table, and `results/translated.json`
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import archdsl
from archdsl.codegen.classes import file_name
from archdsl.codegen.loops import Turns, where
from archdsl.codegen.plans import Plans
from archdsl.codegen.terms import UNKNOWN, plain
from archdsl.compiler import compiled
from archdsl.ir.network import Scope
from archdsl.ops.base import Op
from archdsl.syntax import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.classes import ClassPlan
    from archdsl.ir.network import Loop, Node

RESULTS = Path(__file__).parent / "results" / "translated.json"
KINDS = ("values", "loops", "conditions")


def inside(plan: ClassPlan, scope: Scope) -> Iterator[Scope]:
    """Yield a scope of a class, and the sequences and passes of loops in it."""
    yield scope
    for node in scope.nodes:
        if isinstance(node.what, Scope) and not plan.groups.held(node.what):
            yield from inside(plan, node.what)


def place_of(piece: tree.Node) -> str:
    """Return where a piece of the text stands: `resnet50.arch:28`."""
    return f"{file_name(piece.span.source)}:{piece.span.line}"


def mentions(piece: object) -> bool:
    """Say whether a piece of syntax mentions a name."""
    if isinstance(piece, tree.Name):
        return True
    parts = (
        piece if isinstance(piece, tuple) else [getattr(piece, f) for f in getattr(piece, "fields", ()) if f != "span"]
    )
    return any(mentions(part) for part in parts if isinstance(part, (tuple, tree.Node)))


def value_of(node: Node, name: str) -> object:
    """Return an argument that is a value, and no pipeline or tensor."""
    given = getattr(node.what, name, UNKNOWN) if isinstance(node.what, Op) else dict(node.what.args).get(name, UNKNOWN)
    return plain(given)


def values(plan: ClassPlan) -> Iterator[tuple[str, bool]]:
    """Yield the arguments in a class that mention names and differ, each with whether the code has it."""
    found: dict[int, tree.Expr] = {}
    given: dict[int, list[object]] = {}
    for scope in (one for own in plan.scopes for one in inside(plan, own)):
        for node in scope.nodes:
            for name, expr in node.written:
                if mentions(expr) and (value := value_of(node, name)) is not UNKNOWN:
                    found[id(expr)] = expr
                    given.setdefault(id(expr), []).append(value)
    for key, expr in found.items():
        translated = key in plan.proven and key not in plan.failed
        if translated or len({*given[key]}) > 1:
            yield f"{place_of(expr)}: {' '.join(expr.span.text.split())}", translated


def written(loops: tuple[Loop, ...]) -> Iterator[Loop]:
    """Yield loops that make several steps, inner ones too."""
    for loop in loops:
        if len(loop.turns) > 1 and loop.turns[-1].last > loop.turns[0].first:
            yield loop
        for turn in loop.turns:
            yield from written(turn.loops)


def loops(plan: ClassPlan) -> Iterator[tuple[str, bool]]:
    """Yield the loops of a class, each with whether the code has it."""
    every = [one for own in plan.scopes for one in inside(plan, own)]
    kept = {where(scope.loop) for scope in every if isinstance(scope, Turns)}
    places = {where(loop): loop for scope in every for loop in written(scope.loops)}
    apart = plan.unpacking.lists
    for place, loop in places.items():
        translated = place in kept or apart.get(id(loop)) is not None
        yield f"{place_of(loop.written)}: {loop.written.span.text.splitlines()[0]}", translated


def conditions(plan: ClassPlan) -> Iterator[tuple[str, bool]]:
    """Yield the conditions of a class, each with whether the text has it."""
    for place, told in plan.decided.items():
        yield f"{plan.name} {place}", told


def counted() -> dict[str, dict[str, object]]:
    """Count the pieces of the gallery; a block that several nets share counts once for each."""
    total, done = Counter[str](), Counter[str]()
    fallen = {kind: Counter[str]() for kind in KINDS}
    for name in archdsl.nets():
        for planned in Plans(compiled(name).network).classes:
            for kind, pieces in zip(KINDS, (values, loops, conditions)):
                for place, translated in pieces(planned.plan):
                    total[kind] += 1
                    done[kind] += translated
                    if not translated:
                        fallen[kind][place] += 1
    return {
        kind: {
            "pieces": total[kind],
            "translated": done[kind],
            "fallen back": f"{(total[kind] - done[kind]) / total[kind]:.1%}",
            "most often": dict(fallen[kind].most_common(12)),
        }
        for kind in KINDS
    }


def main() -> None:
    found = counted()
    RESULTS.write_text(json.dumps({"what": __doc__.split("\n")[0], **found}, indent=1) + "\n", encoding="utf-8")
    for kind, row in found.items():
        print(f"{kind:12}{row['pieces']:>8}{row['translated']:>8}{row['fallen back']:>8}")


if __name__ == "__main__":
    main()
