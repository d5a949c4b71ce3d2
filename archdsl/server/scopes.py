"""What each name of a file means: where it is bound, and every other place that mentions it.

This is told from the tree alone, so a net that is wrong has names too. A computed name, `skip{i}`, is one binding for
all names of its form; a label names a module and is no binding. What a parameter or a loop stands for is not followed:
a keyword of a call of it is known only where a default says what it may be.
"""

from __future__ import annotations

import re

from archdsl.core.record import Record
from archdsl.syntax import tree
from archdsl.syntax.names import form, parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.environment import File

WORD = re.compile(r"\w+")
Definition = (tree.Block, tree.Net, tree.Fn, tree.Alias)
KINDS: dict[type, str] = {tree.Block: "block", tree.Net: "net", tree.Alias: "net", tree.Fn: "function"}


class Binding:
    """A name that is bound, compared by identity; `node` is what binds it, in the definition `within`."""

    def __init__(self, name: str, kind: str, span: Span, node: Any, within: Any = None) -> None:
        self.name, self.kind, self.span, self.node, self.within = name, kind, span, node, within

    @property
    def place(self) -> tuple[str, int]:
        """Where it is bound: a path and an offset, the same in each file that knows it."""
        return self.span.source.path, self.span.start


class Mention(Record):
    """A place that names something: a binding, or None for a word of the language, a label or an attribute.

    `role` says how: `binding`, `name`, `keyword`, `label` or `attribute`; `callee` is what a keyword belongs to.
    """

    span: Span
    name: str
    role: str
    binding: Binding | None
    callee: Any = None


class _Names:
    """The names that are known in one piece of a file."""

    def __init__(self, outer: _Names | None) -> None:
        self.outer = outer
        self.bound: dict[str, Binding] = {}
        self.forms: list[tuple[re.Pattern[str], Binding]] = []

    def find(self, name: str) -> Binding | None:
        names: _Names | None = self
        while names is not None:
            if name in names.bound:
                return names.bound[name]
            for pattern, binding in names.forms:
                if pattern.fullmatch(name):
                    return binding
            names = names.outer
        return None

    def computed(self, name: tree.Name) -> Binding | None:
        """Return the binding of a computed name: one that begins as it does, else a plain one that it may be."""
        names: _Names | None = self
        pattern = re.compile(form(name))
        while names is not None:
            every = [binding for _, binding in names.forms if binding.name == name.parts[0]]
            every += [binding for plain, binding in names.bound.items() if pattern.fullmatch(plain)]
            if every:
                return every[0]
            names = names.outer
        return None


class Scopes:
    """The mentions of a file, in the order in which they are met, and the bindings of each of its definitions."""

    def __init__(self, module: tree.Module, file: File | None) -> None:
        self.file = file
        self.mentions: list[Mention] = []
        self.bindings: list[Binding] = []
        self.within: Any = None
        self.top = _Names(None)
        for item in module.items:
            if isinstance(item, Definition):
                self._bind(self.top, item.name, KINDS[type(item)], name_of(item), item)
            elif isinstance(item, tree.Import):
                self._import(item)
        for item in module.items:
            self.within = item
            self._item(item)

    def at(self, offset: int) -> Mention | None:
        """Return what is named at an offset, or right before it."""
        found = [one for one in self.mentions if one.span.start <= offset <= one.span.end]
        return min(found, key=lambda one: (one.span.end - one.span.start, -one.span.start), default=None)

    def visible(self, within: Any) -> list[Binding]:
        """Return what a definition and the file around it bind."""
        return [one for one in self.bindings if one.within is None or one.within is within]

    # ------------------------------------------------------------ items
    def _bind(self, names: _Names, name: str, kind: str, span: Span, node: Any) -> Binding:
        binding = Binding(name, kind, span, node, self.within)
        names.bound.setdefault(name, binding)
        self.bindings.append(binding)
        self.mentions.append(Mention(span, name, "binding", binding))
        return binding

    def _import(self, item: tree.Import) -> None:
        for word, name in enumerate(item.names, 3):
            known = self.file.imports.get(name) if self.file is not None else None
            target = known[0].definitions.get(name) if known is not None else None
            if target is None:
                self._bind(self.top, name, "import", item.place(word), item)
                continue
            binding = Binding(name, KINDS[type(target)], name_of(target), target)
            self.top.bound.setdefault(name, binding)
            self.bindings.append(binding)
            self.mentions.append(Mention(item.place(word), name, "name", binding))

    def _item(self, item: Any) -> None:
        names = _Names(self.top)
        if isinstance(item, (tree.Block, tree.Net, tree.Fn)):
            for param in item.params:
                self._bind(names, param.name, "parameter", head(param.span, param.name), param)
                if param.default is not None:
                    self._walk(param.default, names)
        if isinstance(item, (tree.Block, tree.Net)):
            if isinstance(item, tree.Block) and item.signature is not None:
                self._signature(item.signature, names)
            self._computed(item, names)
            self._body(item.body, names)
        elif isinstance(item, (tree.Fn, tree.Alias)):
            self._walk(item.value, names)
        elif isinstance(item, (tree.Default, tree.Init)):
            for setting in item.settings:
                self._name(setting.name, head(setting.span, setting.name), self.top)
                for argument in setting.arguments:
                    self._argument(argument, setting.name, names)

    def _signature(self, signature: tree.Signature, names: _Names) -> None:
        for dim in signature.inputs:
            if isinstance(dim, tree.Name) and dim.plain and names.find(dim.plain) is None:
                self._bind(names, dim.plain, "dim", dim.span, dim)
            else:
                self._walk(dim, names)
        for dim in signature.outputs:
            self._walk(dim, names)

    # ------------------------------------------------------------ statements
    def _body(self, statements: Iterable[tree.Statement], names: _Names) -> None:
        for statement in statements:
            self._statement(statement, names)

    def _statement(self, statement: Any, names: _Names) -> None:
        if isinstance(statement, tree.Bind):
            self._walk(statement.value, names)
            self._bound(statement, names)
        elif isinstance(statement, tree.Scope):
            self._label(statement.name, names)
            self._body(statement.body, _Names(names))
        elif isinstance(statement, tree.Input):
            self._input(statement, names)
        elif isinstance(statement, tree.Output):
            self._label(statement.name, names)
            self._walk(statement.value, names)
        elif isinstance(statement, tree.For):
            self._walk(statement.values, names)
            inner = _Names(names)
            self._targets(statement.targets, inner)
            self._body(statement.body, inner)
        elif isinstance(statement, tree.If):
            for test, body in statement.arms:
                if test is not None:
                    self._walk(test, names)
                self._body(body, names)
        else:
            for part in parts(statement):
                self._walk(part, names)

    def _bound(self, statement: tree.Bind, names: _Names) -> None:
        name = statement.name
        if name.plain is not None:
            self._bind(names, name.plain, "variable", name.span, statement)
            return
        self._parts(name, names)
        self.mentions.append(Mention(name.span, _first(name), "binding", names.computed(name)))

    def _computed(self, node: Any, names: _Names) -> None:
        """Bind the computed names of a definition: all of it has them, and a loop asks for one before its line."""
        for part in parts(node):
            self._computed(part, names)
        if isinstance(node, tree.Bind) and node.name.plain is None:
            first = _first(node.name)
            known = next((binding for _, binding in names.forms if binding.name == first), None)
            if known is None:
                known = Binding(first, "computed", node.name.span, node, self.within)
                self.bindings.append(known)
            names.forms.append((re.compile(form(node.name)), known))

    def _input(self, statement: tree.Input, names: _Names) -> None:
        text = statement.span.text
        start = text.index(statement.name, len("input"))
        span = statement.span.replace(start=statement.span.start + start)
        self._bind(names, statement.name, "input", head(span, statement.name), statement)
        for dim, default in statement.dims:
            if isinstance(dim, tree.Name) and dim.plain and names.find(dim.plain) is None:
                self._bind(names, dim.plain, "dim", dim.span, dim)
            else:
                self._walk(dim, names)
            if default is not None:
                self._walk(default, names)

    def _targets(self, targets: tree.Targets, names: _Names) -> None:
        for found in WORD.finditer(targets.span.text):
            span = targets.span.replace(start=targets.span.start + found.start(), end=targets.span.start + found.end())
            self._bind(names, found.group(), "variable", span, targets)

    # ------------------------------------------------------------ expressions
    def _walk(self, node: Any, names: _Names) -> None:
        if isinstance(node, tree.Name):
            self._mentioned(node, names)
        elif isinstance(node, tree.Labelled):
            self._label(node.name, names)
            self._walk(node.value, names)
        elif isinstance(node, tree.Call):
            self._walk(node.target, names)
            for argument in node.arguments:
                self._argument(argument, node.target, names)
        elif isinstance(node, tree.Attribute):
            self._walk(node.value, names)
            if node.computed is not None:
                self._parts(node.computed, names)
                return
            self.mentions.append(Mention(node.place, node.name, "attribute", None, node.value))
        elif isinstance(node, tree.Comprehension):
            self._walk(node.values, names)
            inner = _Names(names)
            self._targets(node.targets, inner)
            for part in (node.item, node.test):
                if part is not None:
                    self._walk(part, inner)
        else:
            for part in parts(node):
                self._walk(part, names)

    def _mentioned(self, name: tree.Name, names: _Names) -> None:
        if name.plain is not None:
            self._name(name.plain, name.span, names)
            return
        self._parts(name, names)
        self.mentions.append(Mention(name.span, _first(name), "name", names.computed(name)))

    def _name(self, name: str, span: Span, names: _Names) -> None:
        self.mentions.append(Mention(span, name, "name", names.find(name)))

    def _label(self, name: tree.Name, names: _Names) -> None:
        self._parts(name, names)
        self.mentions.append(Mention(name.span, name.span.text, "label", None))

    def _parts(self, name: tree.Name, names: _Names) -> None:
        for part in name.parts:
            if not isinstance(part, str):
                self._walk(part, names)

    def _argument(self, argument: Any, target: Any, names: _Names) -> None:
        if isinstance(argument, tree.Keyword):
            callee = target if isinstance(target, str) else self.callee(target, names)
            binding = self._parameter(callee, argument.name)
            self.mentions.append(Mention(argument.place, argument.name, "keyword", binding, callee))
        self._walk(argument.value if isinstance(argument, (tree.Keyword, tree.Spread)) else argument, names)

    # ------------------------------------------------------------ what is called
    def callee(self, target: Any, names: _Names | None = None, depth: int = 8) -> Any:
        """Return what an expression calls: a definition, the name of a word of the language, or None where it is open.

        A name that is bound to a call of something is a partial application of that.
        """
        while isinstance(target, tree.Call):
            target = target.target
        if not isinstance(target, tree.Name) or target.plain is None or not depth:
            return None
        binding = (names or self.top).find(target.plain)
        return target.plain if binding is None else self.called(binding, names, depth)

    def called(self, binding: Binding, names: _Names | None = None, depth: int = 8) -> Any:
        """Return what a call of a binding calls, as `callee` does."""
        if isinstance(binding.node, tree.Alias):
            return self.callee(binding.node.value, self.top, depth - 1)
        if isinstance(binding.node, Definition):
            return binding.node
        if isinstance(binding.node, tree.Bind) and binding.kind == "variable":
            return self.callee(binding.node.value, names, depth - 1)
        return None

    def _parameter(self, callee: Any, name: str) -> Binding | None:
        """Return the binding of a parameter of a definition, in this file or in another."""
        if not isinstance(callee, (tree.Block, tree.Net, tree.Fn)):
            return None
        param = next((param for param in callee.params if param.name == name), None)
        if param is None:
            return None
        return Binding(name, "parameter", head(param.span, name), param, callee)


def _first(name: tree.Name) -> str:
    """Return how a computed name begins."""
    return name.parts[0] if isinstance(name.parts[0], str) else ""


def head(span: Span, name: str) -> Span:
    """Return the start of a place, as long as a name."""
    return span.replace(end=span.start + len(name))


def name_of(item: Any) -> Span:
    """Return the place of the name of a definition: its second word."""
    words = iter(WORD.finditer(item.span.text))
    next(words)
    found = next(words)
    return head(item.span.replace(start=item.span.start + found.start()), item.name)


def definition_at(module: tree.Module, offset: int) -> Any:
    """Return the item of a file that holds an offset: the last that starts before it."""
    before = [item for item in module.items if item.span.start <= offset]
    return before[-1] if before else None


def nodes_at(node: Any, offset: int) -> Iterator[Any]:
    """Yield the nodes of a tree that hold an offset, inner ones last."""
    for part in parts(node):
        if part.span.start <= offset <= part.span.end:
            yield part
            yield from nodes_at(part, offset)
