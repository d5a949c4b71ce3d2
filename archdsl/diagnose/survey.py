"""What is wrong in a file, its nets together: and names and arguments that do not exist, wherever they stand.

Of each net, elaboration finds the mistakes that are no consequence of another. After a mistake, in
blocks that no net uses and in arms that no condition takes, whether a name exists can still be told: every file is
looked through for those, which takes 1 ms.
"""

from __future__ import annotations

from itertools import islice

from archdsl.compiler import AS_WRITTEN, Compiled, attempted
from archdsl.diagnostics import CompileError, Note, errors
from archdsl.elaborate.calls import signature
from archdsl.elaborate.context import MAX_WORK, Context, Memo, Spent
from archdsl.elaborate.expressions import WORDS, global_name
from archdsl.elaborate.values import Builtin, Callee, Combinator, Function, Located, describe
from archdsl.syntax import tree
from archdsl.syntax.names import Bound, parts

MAX_NODES = 12_000  # steps of all nets of a file that are checked together; EfficientNet's have 6,400
MOST = 50  # mistakes that are looked for; each may take 10 ms, for a suggestion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from archdsl.compiler import Request
    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.elaborate.environment import File


def each(
    name: str, file: File, nets: Sequence[str | None], request: Request = AS_WRITTEN
) -> Iterator[Compiled | Diagnostic]:
    """Yield the checked nets of a file that is meant by a name, each as requested, and after them its mistakes."""
    mistakes: list[tuple[str, Diagnostic]] = []
    spent, memo = Spent(), Memo(file)
    for net in nets:
        if enough(spent, mistakes):
            if not mistakes:
                place = file.definitions[net].span if net in file.definitions else file.module.span
                reason = "the nets of this file take too long together", f"{spent.nodes:,} steps before this one"
                mistakes.append((net or name, errors.limit_exceeded(place, *reason, MAX_NODES).diagnostic))
            break
        found = attempted(name, file, request.replace(net=net), memo, spent)
        if isinstance(found, Compiled):
            yield found
        else:
            mistakes += [(net or name, mistake) for mistake in found]
    yield from together(mistakes, file)


def enough(spent: Spent, mistakes: Sequence[object]) -> bool:
    """Say whether so much was looked at, or found, that the other nets of a file would take too long."""
    return spent.work > MAX_WORK or spent.nodes > MAX_NODES or len(mistakes) > MOST


def together(mistakes: list[tuple[str, Diagnostic]], file: File) -> list[Diagnostic]:
    """Return the mistakes of a file's nets, each net's first, and what else is wrong, each place once.

    A mistake in a block that several nets use is one diagnostic that names the others.
    """
    found: dict[Span, Diagnostic] = {}
    nets: dict[Span, list[str]] = {}
    for net, diagnostic in mistakes:
        place = diagnostic.primary.span
        found.setdefault(place, diagnostic)
        nets.setdefault(place, []).append(net)
    for place, names in nets.items():
        if len(names) > 1:
            listed = ", ".join(f"`{name}`" for name in names[1:4]) + (" and others" if len(names) > 4 else "")
            more = Note(f"and {len(names) - 1} more: {listed}")
            found[place] = found[place].noting(more)
    for diagnostic in survey(file):
        found.setdefault(diagnostic.primary.span, diagnostic)
    return in_order(found.values())


def in_order(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return diagnostics in the order of their texts; of wrong uses of one name the first, with the others' lines."""
    kept: dict[object, Diagnostic] = {}
    lines: dict[object, list[int]] = {}
    for diagnostic in sorted(found, key=lambda d: (d.primary.span.source.name, d.primary.span.start)):
        place = diagnostic.primary.span
        same = "use" in diagnostic.traits
        key: object = (place.source.name, diagnostic.title) if same else id(diagnostic)
        kept.setdefault(key, diagnostic)
        lines.setdefault(key, []).append(place.line)
    for key, (_, *others) in lines.items():
        if others:
            listed = ", ".join(map(str, sorted(set(others))[:8])) + (", ..." if len(set(others)) > 8 else "")
            more = Note(f"and {len(others)} more use{'s' * (len(others) > 1)}, on line {listed}")
            kept[key] = kept[key].noting(more)
    return list(kept.values())


def survey(file: File) -> list[Diagnostic]:
    """Return the unknown names and arguments of a file, in the order of its text."""
    items = [item for item in file.module.items if isinstance(item, tree.DEFINITIONS)]
    every = (mistake.diagnostic for item in items for mistake in _mistakes(item, Bound(item), file))
    return list(islice(every, MOST))


def _mistakes(node: Any, bound: Bound, file: File) -> Iterator[CompileError]:
    if isinstance(node, tree.Name):
        for part in node.parts:
            if not isinstance(part, str):
                yield from _mistakes(part, bound, file)
        if node.plain is not None and node.plain not in bound:
            yield from _unknown(node, bound, file)
        return
    if isinstance(node, tree.Call):
        yield from _arguments(node, bound, file)
        yield from _calls(node, bound, file)
    elif type(node) in OPERANDS:
        yield from _operands(node, bound, file)
    labels = (tree.Labelled, tree.Bind, tree.Scope, tree.Output)
    for part in parts(node):
        if isinstance(node, labels) and part is node.name:
            for inner in node.name.parts:  # a name that is given mentions only what is computed in it
                if not isinstance(inner, str):
                    yield from _mistakes(inner, bound, file)
            continue
        yield from _mistakes(part, bound, file)


def _unknown(name: tree.Name, bound: Bound, file: File) -> Iterator[CompileError]:
    try:
        _meaning(name, file)
    except CompileError as mistake:
        if "unknown" in mistake.diagnostic.traits:
            words = [*bound.names, *file.definitions, *file.imports, *WORDS]
            yield errors.unknown_name(name.span, name.plain or "", words, places=bound.places)


def _arguments(call: tree.Call, bound: Bound, file: File) -> Iterator[CompileError]:
    """Yield the arguments by name that an operator, a block or a net of the file does not have."""
    if not isinstance(call.target, tree.Name) or call.target.plain is None or call.target.plain in bound:
        return
    try:
        callee = _meaning(call.target, file)
    except CompileError:
        return
    if not isinstance(callee, Callee):
        return
    for argument in call.arguments:
        if isinstance(argument, tree.Keyword) and argument.name not in callee.params:
            text = signature(callee)
            known = callee.params
            yield errors.unknown_argument(argument.place, callee.label, argument.name, text, known, callee.declared)


def _calls(call: tree.Call, bound: Bound, file: File) -> Iterator[CompileError]:
    """Yield the calls of what is never called, and those of functions with none of the values that they work on."""
    target = call.target
    if isinstance(target, (tree.Literal, tree.Items)) or (isinstance(target, tree.Name) and target.plain == "x"):
        yield errors.not_callable(target.span, "a tensor" if isinstance(target, tree.Name) else "a value")
    if isinstance(target, tree.Name) and isinstance(_word(target, bound, file), Builtin):
        wrong = [a for a in call.arguments if isinstance(_word(a, bound, file), NO_NUMBERS)]
        if wrong or not call.arguments:
            got = ", ".join(describe(_word(a, bound, file)) for a in wrong) or "nothing"
            yield errors.bad_value(call.span, f"`{target.plain}` needs values", f"got {got}")


def _operands(node: Any, bound: Bound, file: File) -> Iterator[CompileError]:
    """Yield the signs beside an operator, a block or a function of the language, which are no numbers."""
    for left, sign, right in OPERANDS[type(node)](node):
        values = [_word(left, bound, file), _word(right, bound, file)]
        if any(isinstance(value, NO_NUMBERS) for value in (values[1:] if sign == "*" else values)):
            shown = ["a value" if value is None else describe(value) for value in values]
            yield errors.bad_operands(left.span.to(right.span), sign, shown[0], shown[1])
            return


def _compared(node: tree.Compare) -> list[tuple[Any, str, Any]]:
    return [] if node.sign in ("==", "!=", "in") else [(node.left, node.sign, node.right)]


NO_NUMBERS = (Callee, Builtin, Combinator, Function)
OPERANDS: dict[type, Any] = {  # the pairs that a sign joins
    tree.Arithmetic: lambda node: [(node.first, sign, operand) for sign, operand in node.rest],
    tree.Power: lambda node: [(node.base, "**", node.exponent)],
    tree.Compare: _compared,
}


def _word(node: Any, bound: Bound, file: File) -> Any:
    """Return what a name means in the whole file; None for one that a definition binds, and for anything else."""
    if not isinstance(node, tree.Name) or node.plain is None or node.plain in bound:
        return None
    try:
        return _meaning(node, file)
    except CompileError:
        return None


def _meaning(name: tree.Name, file: File) -> Any:
    value = global_name(Context(), name.plain or "", file, name.span)
    return value.item if isinstance(value, Located) else value
