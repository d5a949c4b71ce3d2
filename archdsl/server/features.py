"""The features of the server: a function for each request of the protocol, and the table that lists them."""

from __future__ import annotations

from typing import Any  # pygls reads what commands take

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

from archdsl.compiler import nets_of
from archdsl.diagnostics import CompileError
from archdsl.server import problems
from archdsl.server.completion import completions
from archdsl.server.documents import Document, View
from archdsl.server.hints import hints
from archdsl.server.hover import hover
from archdsl.server.references import Refused, defined, references, renamable, rename
from archdsl.server.scopes import Mention, definition_at, head
from archdsl.server.session import Server
from archdsl.server.symbols import folds, symbols
from archdsl.server.tokens import TYPES, tokens
from archdsl.syntax import tree
from archdsl.syntax.formatter import formatted

CHOOSE, NETS = "archdsl.chooseNet", "archdsl.nets"


def initialized(ls: Server, _: types.InitializedParams) -> None:
    """Count places as the editor has said that it does."""
    encoding = ls.server_capabilities.position_encoding
    ls.documents.encoding = encoding or types.PositionEncodingKind.Utf16


async def did_open(ls: Server, given: types.DidOpenTextDocumentParams) -> None:
    """Take a file that is opened."""
    ls.changed(given.text_document.uri, given.text_document.text, given.text_document.version)


async def did_change(ls: Server, given: types.DidChangeTextDocumentParams) -> None:
    """Take the new text of a file."""
    ls.changed(given.text_document.uri, given.content_changes[-1].text, given.text_document.version)


def did_close(ls: Server, given: types.DidCloseTextDocumentParams) -> None:
    """Forget a file, and what is wrong with it."""
    uri = given.text_document.uri
    ls.documents.open.pop(uri, None)
    if uri in ls.checks:
        ls.checks.pop(uri).cancel()
    ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))


def on_hover(ls: Server, given: types.HoverParams) -> types.Hover | None:
    """Say what is at a place."""
    document, positions = ls.document(given.text_document.uri)
    return hover(document, positions, positions.offset(given.position))


def on_inlay_hint(ls: Server, given: types.InlayHintParams) -> list[types.InlayHint]:
    """Return the shapes at the ends of lines."""
    document, positions = ls.document(given.text_document.uri)
    start, end = positions.offset(given.range.start), positions.offset(given.range.end)
    return hints(document, positions, start, end)


def on_completion(ls: Server, given: types.CompletionParams) -> list[types.CompletionItem]:
    """Return what may stand at a place."""
    document, positions = ls.document(given.text_document.uri)
    return completions(document, ls.documents, positions.offset(given.position))


def on_definition(ls: Server, given: types.DefinitionParams) -> types.Location | None:
    """Return where the name at a place is bound."""
    found = _mentioned(ls, given)
    span = defined(found[1], found[0]) if found is not None else None
    return ls.location(span) if span is not None else None


def on_references(ls: Server, given: types.ReferenceParams) -> list[types.Location]:
    """Return every place that mentions what the name at a place means."""
    found = _mentioned(ls, given)
    binding = found[1].binding if found is not None else None
    if binding is None:
        return []
    places = references(binding, ls.documents)
    if not given.context.include_declaration:
        places = [one for one in places if (one.source.path, one.start) != binding.place]
    return [ls.location(span) for span in places]


def on_prepare_rename(ls: Server, given: types.PrepareRenameParams) -> types.Range:
    """Return the name at a place, where it can be renamed."""
    found = _mentioned(ls, given)
    try:
        mention, _ = renamable(found[1] if found is not None else None)
    except Refused as reason:
        raise JsonRpcInvalidParams(str(reason)) from None
    return ls.location(head(mention.span, mention.name)).range


def on_rename(ls: Server, given: types.RenameParams) -> types.WorkspaceEdit:
    """Return the edits that rename what is at a place."""
    found = _mentioned(ls, given)
    try:
        _, binding = renamable(found[1] if found is not None else None)
        places = rename(binding, given.new_name, ls.documents)
    except Refused as reason:
        raise JsonRpcInvalidParams(str(reason)) from None
    changes: dict[str, list[types.TextEdit]] = {}
    for span in places:
        place = ls.location(span)
        changes.setdefault(place.uri, []).append(types.TextEdit(place.range, given.new_name))
    return types.WorkspaceEdit(changes=changes)


def on_symbols(ls: Server, given: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
    """Return the outline of a file."""
    document, _ = ls.document(given.text_document.uri)
    view = document.parsed
    return symbols(view.module, ls.documents.positions(view.text)) if view is not None else []


def on_folding(ls: Server, given: types.FoldingRangeParams) -> list[types.FoldingRange]:
    """Return what can be folded."""
    document, _ = ls.document(given.text_document.uri)
    view = document.parsed
    return folds(view.module, ls.documents.positions(view.text)) if view is not None else []


def on_tokens(ls: Server, given: types.SemanticTokensParams) -> types.SemanticTokens:
    """Return what each word is."""
    document, positions = ls.document(given.text_document.uri)
    current = document.current
    scopes = current.scopes if current is not None else None
    return types.SemanticTokens(tokens(document.analysis.source, scopes, positions))


def on_formatting(ls: Server, given: types.DocumentFormattingParams) -> list[types.TextEdit]:
    """Return the edit that lays a file out, none where it does not parse."""
    document, positions = ls.document(given.text_document.uri)
    try:
        text = formatted(document.analysis.source)
    except CompileError:
        return []
    return [types.TextEdit(positions.everything(), text)] if text != document.text else []


def on_action(ls: Server, given: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
    """Return the edits that mend what is at a place, and there in a net the command that shows its shapes."""
    document, positions = ls.document(given.text_document.uri)
    start, end = positions.offset(given.range.start), positions.offset(given.range.end)
    return [*problems.actions(document, ls.documents, start, end), *_choices(document, start)]


def on_nets(ls: Server, uri: str) -> dict[str, Any]:
    """Return the nets of a file that can be looked at, and the one that is."""
    document, _ = ls.document(uri)
    file = document.parsed.analysis.file if document.parsed is not None else None
    return {"nets": nets_of(file) if file is not None else [], "chosen": document.analysis.net}


async def on_choose(ls: Server, uri: str, net: str) -> str | None:
    """Look at another net of a file; returns the one that is looked at."""
    document, _ = ls.document(uri)
    document.wanted = net
    ls.changed(uri, None)
    ls.refresh()
    return document.analysis.net


def _mentioned(ls: Server, given: Any) -> tuple[View, Mention] | None:
    """Return the last text of a file that parses, and what the name at a place of it means."""
    document, positions = ls.document(given.text_document.uri)
    view = document.parsed
    if view is None:
        return None
    mention = view.scopes.at(document.since(view).back(positions.offset(given.position)))
    return (view, mention) if mention is not None else None


def _choices(document: Document, offset: int) -> list[types.Command]:
    """Return, in a net that is not looked at, the command that looks at it."""
    view = document.current
    item = definition_at(view.module, offset) if view is not None else None
    file = document.analysis.file
    if not isinstance(item, (tree.Net, tree.Alias)) or file is None:
        return []
    if item.name == document.analysis.net or item.name not in nets_of(file):
        return []
    return [types.Command(f"Show the shapes of `{item.name}`", CHOOSE, arguments=[document.uri, item.name])]


FEATURES: list[tuple[str, Any, Any]] = [  # the request, its function and its options
    (types.INITIALIZED, initialized, None),
    (types.TEXT_DOCUMENT_DID_OPEN, did_open, None),
    (types.TEXT_DOCUMENT_DID_CHANGE, did_change, None),
    (types.TEXT_DOCUMENT_DID_CLOSE, did_close, None),
    (types.TEXT_DOCUMENT_HOVER, on_hover, None),
    (types.TEXT_DOCUMENT_INLAY_HINT, on_inlay_hint, None),
    (types.TEXT_DOCUMENT_COMPLETION, on_completion, types.CompletionOptions(trigger_characters=[".", "("])),
    (types.TEXT_DOCUMENT_DEFINITION, on_definition, None),
    (types.TEXT_DOCUMENT_REFERENCES, on_references, None),
    (types.TEXT_DOCUMENT_PREPARE_RENAME, on_prepare_rename, None),
    (types.TEXT_DOCUMENT_RENAME, on_rename, types.RenameOptions(prepare_provider=True)),
    (types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, on_symbols, None),
    (types.TEXT_DOCUMENT_FOLDING_RANGE, on_folding, None),
    (types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, on_tokens, types.SemanticTokensLegend(TYPES, [])),
    (types.TEXT_DOCUMENT_FORMATTING, on_formatting, None),
    (types.TEXT_DOCUMENT_CODE_ACTION, on_action, None),
]
COMMANDS: dict[str, Any] = {CHOOSE: on_choose, NETS: on_nets}


def made() -> Server:
    """Return a server with all its features."""
    server = Server()
    for request, function, options in FEATURES:
        server.feature(request, options)(function)
    for name, command in COMMANDS.items():
        server.command(name)(command)
    return server
