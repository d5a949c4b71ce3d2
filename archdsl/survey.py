"""What else is wrong in a file that has a mistake: names and arguments that do not exist, wherever they stand.

Elaboration stops at the first mistake of a net, since what follows may be its consequence. Whether a name exists is
not: so after a mistake the whole file is looked through for those, and a file that is right is never looked through.
"""

from __future__ import annotations

import re

from archdsl import errors, syntax
from archdsl.compiler import compiled
from archdsl.diagnostics import CompileError, Note
from archdsl.evaluate import Evaluator, signature
from archdsl.values import Callee, Located

UNKNOWN_NAME = "E0201"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from archdsl.compiler import Compiled
    from archdsl.diagnostics import Diagnostic
    from archdsl.environment import File
    from archdsl.source import Span


def each(name: str, file: File, nets: Sequence[str | None], **given: Any) -> Iterator[Compiled | Diagnostic]:
    """Yield the checked nets of a file that is meant by a name, and behind them its mistakes."""
    mistakes = []
    for net in nets:
        try:
            yield compiled(name, net=net, file=file, **given)
        except CompileError as mistake:
            mistakes.append((net or name, mistake.diagnostic))
    if mistakes:
        yield from together(mistakes, file)


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
            found[place] = found[place].replace(notes=(*found[place].notes, more))
    for diagnostic in survey(file):
        found.setdefault(diagnostic.primary.span, diagnostic)
    return sorted(found.values(), key=lambda d: (d.primary.span.source.name, d.primary.span.start))


def survey(file: File) -> list[Diagnostic]:
    """Return the unknown names and arguments of a file, in the order of its text."""
    found = []
    for item in file.module.items:
        if isinstance(item, (syntax.Block, syntax.Net, syntax.Fn, syntax.Alias)):
            found += [mistake.diagnostic for mistake in _mistakes(item, Bound(item), file)]
    return found


class Bound:
    """The names that a definition binds anywhere in it: more than are visible at any one place.

    A computed name, `skip{i}`, stands for every name of its form.
    """

    def __init__(self, item: syntax.Node) -> None:
        self.names = {"x"}
        self.forms: list[str] = []
        self._collect(item)

    def __contains__(self, name: str) -> bool:
        return name in self.names or any(re.fullmatch(form, name) for form in self.forms)

    def _collect(self, node: Any) -> None:
        for part in _parts(node):
            self._collect(part)
        if isinstance(node, (syntax.Param, syntax.Input)):
            self.names.add(node.name)
        elif isinstance(node, syntax.Targets):
            self.names.update(name for name in node.names if isinstance(name, str))
        elif isinstance(node, syntax.Bind):
            self.forms.append("".join(re.escape(p) if isinstance(p, str) else r"\w+" for p in node.name.parts))
        if isinstance(node, syntax.Signature):
            self._dims(node.inputs)
        elif isinstance(node, syntax.Input):
            self._dims([dim for dim, _ in node.dims])

    def _dims(self, dims: Iterable[syntax.Expr]) -> None:
        self.names.update(dim.plain for dim in dims if isinstance(dim, syntax.Name) and dim.plain)


def _mistakes(node: Any, bound: Bound, file: File) -> Iterator[CompileError]:
    if isinstance(node, syntax.Name):
        for part in node.parts:
            if not isinstance(part, str):
                yield from _mistakes(part, bound, file)
        if node.plain is not None and node.plain not in bound:
            yield from _unknown(node, bound, file)
        return
    if isinstance(node, syntax.Call):
        yield from _arguments(node, bound, file)
    labels = (syntax.Labelled, syntax.Bind, syntax.Scope, syntax.Output)
    for part in _parts(node):
        if isinstance(node, labels) and part is node.name:
            continue  # names what it is given, and is no mention of anything
        yield from _mistakes(part, bound, file)


def _unknown(name: syntax.Name, bound: Bound, file: File) -> Iterator[CompileError]:
    try:
        _meaning(name, file)
    except CompileError as mistake:
        if mistake.diagnostic.code == UNKNOWN_NAME:
            yield (
                mistake
                if mistake.diagnostic.help
                else errors.unknown_name(name.span, name.plain or "", sorted(bound.names))
            )


def _arguments(call: syntax.Call, bound: Bound, file: File) -> Iterator[CompileError]:
    """Yield the arguments by name that an operator, a block or a net of the file does not have."""
    if not isinstance(call.target, syntax.Name) or call.target.plain is None or call.target.plain in bound:
        return
    try:
        callee = _meaning(call.target, file)
    except CompileError:
        return
    if not isinstance(callee, Callee):
        return
    for argument in call.arguments:
        if isinstance(argument, syntax.Keyword) and argument.name not in callee.params:
            text = signature(callee)
            yield errors.unknown_argument(argument.place, callee.label, argument.name, text, callee.params)


def _meaning(name: syntax.Name, file: File) -> Any:
    value = Evaluator().global_name(name.plain or "", file, name.span)
    return value.item if isinstance(value, Located) else value


def _parts(node: Any) -> Iterator[Any]:
    """Yield the nodes directly inside a node, those inside its tuples too."""
    values = node if isinstance(node, tuple) else [getattr(node, field) for field in node.fields if field != "span"]
    for value in values:
        if isinstance(value, syntax.Node):
            yield value
        elif isinstance(value, tuple):
            yield from _parts(value)
