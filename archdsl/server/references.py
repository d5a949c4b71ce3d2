"""Where a name is bound, where else it is mentioned, in other files too, and its renaming."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from archdsl import project
from archdsl.diagnostics import CompileError
from archdsl.elaborate.nets import elaborate
from archdsl.ir.network import Scope
from archdsl.server.analysis import Linked, all_of, looked_at
from archdsl.server.scopes import Scopes
from archdsl.syntax import tree
from archdsl.syntax.parser import SOFT_WORDS, parser
from archdsl.syntax.vocabulary import HARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archdsl.core.source import Source, Span
    from archdsl.server.documents import Documents, View
    from archdsl.server.scopes import Binding, Mention

NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


class Refused(Exception):
    """A renaming that is not done, and why."""


def defined(mention: Mention, view: View) -> Span | None:
    """Return where a mention is bound: a name, a file that is imported, or the label that an attribute asks for."""
    if mention.binding is not None:
        return mention.binding.span
    return _labelled(mention, view) if mention.role == "attribute" else None


def _labelled(mention: Mention, view: View) -> Span | None:
    """Return the label that an attribute of a tensor means: in the block or net that has made the tensor."""
    value = mention.callee
    found = view.scopes.at(value.span.start) if isinstance(value, tree.Name) else None
    made = applied(found.binding, view) if found is not None and found.binding is not None else None
    node = next((n for n in made.nodes if n.name == mention.name), None) if made is not None else None
    return node.span if node is not None else None


def applied(binding: Binding, view: View) -> Scope | None:
    """Return the block or net that makes the tensor to which a name is bound, a net with all of its steps.

    In the network around it, a net has only those steps that its results there need.
    """
    file = view.analysis.file
    if not isinstance(binding.node, tree.Bind) or view.steps is None or file is None:
        return None
    place = view.steps.within(binding.node.value.span.start, binding.node.value.span.end)
    made = place.steps[0][1].what if place is not None else None
    if not isinstance(made, Scope) or place is None:
        return None
    word = NAME.match(view.text, place.start)
    name = word.group() if word is not None else ""
    home = file.imports[name][0] if name in file.imports else file
    if made.kind == "net" and isinstance(home.definitions.get(name), (tree.Net, tree.Alias)):
        with suppress(CompileError):  # it may have parameters that are given here alone
            return elaborate(home, name).scope
    return made


def references(binding: Binding, documents: Documents) -> list[Span]:
    """Return every mention of a binding: in its own file and, of a definition, in the files that import it."""
    return [span for source in _sources(binding, documents) for span in _mentions(binding, source, documents)]


def _sources(binding: Binding, documents: Documents) -> Iterator[Source]:
    """Yield the file of a binding, and those beside it or open whose text may import it."""
    home = binding.span.source
    yield home
    module = os.path.basename(home.path).removesuffix(".arch")
    asks = re.compile(rf"^from[ \t]+{re.escape(module)}\b", re.MULTILINE)
    folder = os.path.dirname(os.path.abspath(home.path))
    beside = [os.path.join(folder, name) for name in sorted(os.listdir(folder))] if home.path else []
    paths = dict.fromkeys([*beside, *(document.path for document in documents.open.values())])
    for path in paths:
        if path.endswith(".arch") and os.path.realpath(path) != os.path.realpath(home.path):
            text = documents.text_of(os.path.realpath(path))
            try:
                source = project.read(path) if text is None else project.source_of(path, text, path)
            except CompileError:
                continue
            if asks.search(source.text):
                yield source


def _mentions(binding: Binding, source: Source, documents: Documents) -> list[Span]:
    """Return the places of a file that mention a binding; none of one that cannot be linked."""
    linked = Linked(documents.text_of, documents.trees)
    try:
        file = linked.link(source)
    except CompileError:
        file = None
    try:
        module = linked.parse(source)
    except CompileError:
        return []
    place = os.path.realpath(binding.span.source.path), binding.span.start
    found = []
    for mention in Scopes(module, file).mentions:
        if mention.binding is not None:
            path, start = mention.binding.place
            if (os.path.realpath(path), start) == place:
                found.append(mention.span)
    return found


# -------------------------------------------------------------------------------------------------- renaming
def renamable(mention: Mention | None) -> tuple[Mention, Binding]:
    """Return a mention that can be renamed, and what it means; raises `Refused`."""
    binding = mention.binding if mention is not None else None
    if mention is None or binding is None:
        raise Refused("there is no name here that this file binds: labels are the names of weights")
    if binding.kind == "computed":
        raise Refused("a computed name has no single text")
    if binding.kind == "import":
        raise Refused("the file that this is imported from has a mistake")
    return mention, binding


def rename(binding: Binding, name: str, documents: Documents) -> list[Span]:
    """Return the places where a binding is renamed; raises `Refused` where that would change more than a name."""
    if not NAME.fullmatch(name) or name in HARD or name == "x":
        raise Refused(f"`{name}` cannot be a name")
    home = os.path.realpath(binding.span.source.path)
    if os.path.dirname(home) == os.path.realpath(project.GALLERY) and documents.text_of(home) is None:
        raise Refused(f"`{binding.name}` is defined in the gallery")
    places: dict[str, list[Span]] = {}
    for span in references(binding, documents):
        places.setdefault(span.source.path, []).append(span)
    for spans in places.values():
        if name in _names(spans[0].source):
            raise Refused(f"`{name}` is used in {spans[0].source.name} already")
    texts = {os.path.realpath(path): renamed(spans[0].source.text, spans, name) for path, spans in places.items()}
    for spans in places.values():
        source = spans[0].source
        before = _mistakes(source, documents.text_of)
        text = texts.get(os.path.realpath(source.path), source.text)
        if _mistakes(source.replace(text=text), lambda path: texts.get(path) or documents.text_of(path)) > before:
            raise Refused(f"{source.name} mentions `{binding.name}` in a place that cannot be found by its text alone")
    return [span for spans in places.values() for span in spans]


def _mistakes(source: Source, opened: Callable[[str], str | None]) -> int:
    """Count the mistakes of a file among others, some of which are open."""
    found = all_of(looked_at(source, Linked(opened, {}), None))
    return sum(one is not None and one.level == "error" for one in found)


def _names(source: Source) -> set[str]:
    """Return the names and soft words of a text, parts of computed names among them."""
    return {text for kind, text, *_ in parser().lexer.tokens(source) if kind == "NAME" or kind in SOFT_WORDS}


def renamed(text: str, spans: list[Span], name: str) -> str:
    """Return a text with a name at some places."""
    for span in sorted(spans, key=lambda span: -span.start):
        text = text[: span.start] + name + text[span.end :]
    return text
