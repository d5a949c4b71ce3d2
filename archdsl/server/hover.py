"""What is said of the place under the pointer: what the name there means, and what the step there is in the network."""

from __future__ import annotations

from lsprotocol import types

from archdsl.server import words
from archdsl.server.scopes import nodes_at
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.server.documents import Document, View
    from archdsl.server.positions import Positions
    from archdsl.server.scopes import Mention
    from archdsl.server.steps import Place


def hover(document: Document, positions: Positions, offset: int) -> types.Hover | None:
    """Return what is known of a place; its step as it was in the last text that had a network."""
    view = document.parsed
    if view is None:
        return None
    mention = view.scopes.at(document.since(view).back(offset))
    said = [_meaning(mention, view) if mention is not None else None, _step(document, offset)]
    texts = [text for text in said if text]
    if not texts:
        return None
    found = types.Hover(types.MarkupContent(types.MarkupKind.Markdown, "\n\n---\n\n".join(texts)))
    if mention is not None and view is document.current:
        found.range = positions.range(mention.span)
    return found


def _meaning(mention: Mention, view: View) -> str | None:
    if mention.role == "keyword":
        return words.arguments(mention.callee).get(mention.name)
    binding = mention.binding
    if binding is None:
        return words.of_word(mention.name) if mention.role == "name" else None
    if isinstance(binding.node, (tree.Block, tree.Net, tree.Fn, tree.Alias)):
        return words.of_definition(binding.node)
    if binding.kind == "import":
        return None
    line = " ".join(binding.node.span.text.split("\n")[0].split())
    return f"```arch\n{line}\n```\n\n{binding.kind} of `{binding.within.name}`" if binding.within is not None else None


def _step(document: Document, offset: int) -> str | None:
    view = document.checked
    if view is None or view.steps is None:
        return None
    place = _place(view, document.since(view).back(offset))
    return view.steps.about(place) if place is not None else None


def _place(view: View, offset: int) -> Place | None:
    """Return the step at an offset; the label of one stands for it."""
    assert view.steps is not None, "a step is asked of a text with a network"
    named = [n for n in nodes_at(view.module, offset) if isinstance(n, (tree.Labelled, tree.Scope))]
    if named and offset <= named[-1].name.span.end:
        return view.steps.within(named[-1].span.start, named[-1].span.end)
    return view.steps.at(offset)
