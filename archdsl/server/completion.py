"""What may stand at a place: names and words, arguments of what is called, labels after a dot, names of a file."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from lsprotocol import types

from archdsl import project
from archdsl.core.record import Record
from archdsl.core.source import Source
from archdsl.diagnostics import CompileError
from archdsl.elaborate.builtins import FUNCTIONS
from archdsl.elaborate.expressions import COMBINATORS
from archdsl.ops.initializers import ROWS
from archdsl.server import scopes, words
from archdsl.server.analysis import Analysis, Linked
from archdsl.server.documents import View
from archdsl.server.positions import Edited
from archdsl.server.references import applied
from archdsl.server.scopes import definition_at
from archdsl.syntax import tree
from archdsl.syntax.lexer import CLOSING, OPENING, indent_of
from archdsl.syntax.parser import parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from archdsl.server.documents import Document, Documents
    from archdsl.server.scopes import Binding

FROM = re.compile(r"^from[ \t]+(\w*)$")
IMPORT = re.compile(r"^from[ \t]+(\w+)[ \t]+import\b[^\n]*$")
STRING = re.compile(r'"[^"\n]*"')
DOT = re.compile(r"([A-Za-z_]\w*)[ \t]*\.[ \t]*\w*$")
STAND_IN = "identity"
ATTRIBUTES = {"channels": "channels", "height": "rows", "width": "columns", "features": "of a flat tensor"}
STATEMENTS = ("if", "for", "else", "elif", "input", "output", "require")
ITEMS = ("block", "net", "fn", "from", "default", "init")
VALUES = ("if", "else", "for", "in", "and", "or", "not", "true", "false")
KINDS = {
    "block": types.CompletionItemKind.Class,
    "net": types.CompletionItemKind.Module,
    "function": types.CompletionItemKind.Function,
    "parameter": types.CompletionItemKind.Variable,
}


class Place(Record):
    """A place in a text: the words of its statement up to it, and the call whose arguments it is in."""

    line: str  # of the text, up to the place
    callee: str | None  # the name that is called around it
    given: tuple[str, ...]  # the arguments of that call before this one, "" for each without its name


def completions(document: Document, documents: Documents, offset: int) -> list[types.CompletionItem]:
    """Return what may stand at an offset of a text, which is seldom whole there."""
    if _is_prose(document.text[:offset]):
        return []
    place = place_at(document.text, offset)
    if FROM.match(place.line):
        return [_item(name, types.CompletionItemKind.File) for name in _modules(document)]
    imported = IMPORT.match(place.line)
    if imported is not None:
        return _exported(document, documents, imported.group(1))
    view = _without_line(document, documents, offset)
    dot = DOT.search(place.line)
    if dot is not None:
        return _after_dot(dot.group(1), document.checked, document, offset)
    within = definition_at(view.module, Edited(view.text, document.text).back(offset)) if view is not None else None
    return [*_arguments(place, view, within), *_names(view, within), *_words(place)]


def _is_prose(before: str) -> bool:
    """Say whether a text ends inside a comment, a string or a docstring."""
    code = STRING.sub("", before[before.rfind("\n") + 1 :])
    return "#" in code or '"' in code or before.count('"""') % 2 == 1


def place_at(text: str, offset: int) -> Place:
    """Return what is known of a place from the words before it."""
    before = text[:offset]
    calls: list[tuple[str, list[str]]] = []
    last = ""
    with suppress(CompileError):  # the text ends in the middle
        for kind, word, *_ in parser().lexer.tokens(Source("", before)):
            if word in OPENING:
                calls.append((last if word == "(" else "", [""]))
            elif word in CLOSING and calls:
                calls.pop()
            elif word == "," and calls:
                calls[-1][1].append("")
            elif word == "=" and calls:
                calls[-1][1][-1] = last
            if kind not in ("_NL", "_INDENT", "_DEDENT"):
                last = word
    callee, given = calls[-1] if calls else ("", [""])
    return Place(before[before.rfind("\n") + 1 :], callee if callee.isidentifier() else None, tuple(given[:-1]))


def _without_line(document: Document, documents: Documents, offset: int) -> View | None:
    """Return the text without the line that is being written, where it parses so; else the last one that did."""
    text = document.text
    start = text.rfind("\n", 0, offset) + 1
    line, newline, behind = text[start:].partition("\n")
    stand_in = line[: indent_of(line)] + STAND_IN if line[:1].isspace() else ""
    try:
        source = documents.source(document, text[:start] + stand_in + newline + behind)
        file = Linked(documents.text_of, documents.trees).link(source)
    except CompileError:
        return document.parsed
    return View(Analysis(source, file.module, file))


def _item(name: str, kind: types.CompletionItemKind, doc: str | None = None, rank: int = 5) -> types.CompletionItem:
    about = types.MarkupContent(types.MarkupKind.Markdown, doc) if doc else None
    return types.CompletionItem(label=name, kind=kind, documentation=about, sort_text=f"{rank}{name}")


def _modules(document: Document) -> list[str]:
    """Return the files that can be imported: those beside this one, and the bundled ones."""
    folder = os.path.dirname(document.path)
    own = os.path.basename(document.path)
    beside = os.listdir(folder) if os.path.isdir(folder) else []
    names = {name.removesuffix(".arch") for name in beside if name.endswith(".arch") and name != own}
    return sorted(name for name in names | set(project.bundled()) if name.isidentifier())


def _exported(document: Document, documents: Documents, module: str) -> list[types.CompletionItem]:
    source = Source(document.path, f"from {module} import _", document.path)
    linked = Linked(documents.text_of, documents.trees)
    path = project.beside(source, module)
    if not path:
        return []
    try:
        file = linked.open(path)
    except CompileError:
        return []
    return [
        _item(name, KINDS[scopes.KINDS[type(item)]], words.of_definition(item))
        for name, item in file.definitions.items()
    ]


def _after_dot(name: str, view: View | None, document: Document, offset: int) -> list[types.CompletionItem]:
    """Return the sizes of a tensor and, of one that a block or net has made, its labelled steps and outputs."""
    found = [_item(word, types.CompletionItemKind.Field, about, 7) for word, about in ATTRIBUTES.items()]
    if view is None or name == "x":
        return found
    within = definition_at(view.module, document.since(view).back(offset))
    binding = next((one for one in view.scopes.visible(within) if one.name == name), None)
    made = applied(binding, view) if binding is not None else None
    if made is None:
        return found
    labels = [node.name for node in made.nodes if node.labelled] + [o.name for o in made.outputs if not o.implicit]
    return [_item(label, types.CompletionItemKind.Property) for label in dict.fromkeys(labels)] + found


def _arguments(place: Place, view: View | None, within: Any) -> list[types.CompletionItem]:
    if place.callee is None:
        return []
    about = words.arguments(_callee(place.callee, view, within))
    given = {*place.given, *[*about][: place.given.count("")]}
    return [
        types.CompletionItem(
            label=f"{name}=",
            kind=types.CompletionItemKind.Keyword,
            documentation=types.MarkupContent(types.MarkupKind.Markdown, said),
            sort_text=f"1{number:03}",
        )
        for number, (name, said) in enumerate(about.items())
        if name not in given
    ]


def _callee(name: str, view: View | None, within: Any) -> Any:
    """Return what a name calls: a definition or a word; of a parameter, what its default is."""
    if view is None:
        return name
    binding = _binding(name, view.scopes.visible(within))
    if binding is None:
        return name
    if binding.kind == "parameter":
        return view.scopes.callee(binding.node.default)
    return view.scopes.called(binding)


def _binding(name: str, bindings: Iterable[Binding]) -> Binding | None:
    return next((one for one in reversed([*bindings]) if one.name == name), None)


def _names(view: View | None, within: Any) -> list[types.CompletionItem]:
    """Return the names that the definition and the file bind."""
    if view is None:
        return []
    found: dict[str, types.CompletionItem] = {}
    for one in view.scopes.visible(within):
        definition = isinstance(one.node, (tree.Block, tree.Net, tree.Fn, tree.Alias))
        about = words.of_definition(one.node) if definition else None
        kind = KINDS.get(one.kind, types.CompletionItemKind.Variable)
        found[one.name] = _item(one.name, kind, about, 3 if definition else 2)
    return list(found.values())


def _words(place: Place) -> list[types.CompletionItem]:
    """Return the words of the language that may stand there."""
    starts = not place.line[:-1].strip() or place.line.strip().isidentifier()
    keywords = VALUES if not starts else ITEMS if not place.line[:1].isspace() else STATEMENTS
    found = [_item(word, types.CompletionItemKind.Keyword, None, 6) for word in keywords]
    steps = (*words.OPERATORS, *COMBINATORS)
    values = [name for name in (*FUNCTIONS, *ROWS) if name not in steps]
    found += [_item(name, types.CompletionItemKind.Function, words.of_word(name), 4) for name in steps]
    return found + [_item(name, types.CompletionItemKind.Function, words.of_word(name)) for name in values]
