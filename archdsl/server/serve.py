"""The features of the server, as the protocol asks for them, over stdin and stdout.

A change is answered at once, with what `documents` knows of the net that is looked at. Everything else of the file is
checked when the keys have rested, a net at a time, so that no request waits for more than one.
"""

from __future__ import annotations

import asyncio
import gc
import os
from importlib.metadata import version
from typing import Any  # pygls reads what commands take

from lsprotocol import types
from pygls import uris
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from archdsl.compiler import nets_of
from archdsl.diagnostics import CompileError
from archdsl.server import problems
from archdsl.server.analysis import all_of
from archdsl.server.completion import completions
from archdsl.server.documents import Documents
from archdsl.server.hints import hints
from archdsl.server.hover import hover
from archdsl.server.references import Refused, defined, references, renamable, rename
from archdsl.server.scopes import definition_at, head
from archdsl.server.symbols import folds, symbols
from archdsl.server.tokens import TYPES, tokens
from archdsl.syntax import tree
from archdsl.syntax.formatter import formatted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.server.documents import Document
    from archdsl.server.positions import Positions

REST = 0.2  # seconds without a change after which the whole file is checked
CHOOSE, NETS = "archdsl.chooseNet", "archdsl.nets"
GARBAGE = 50_000  # objects between two looks for cycles: a check makes many objects, and few cycles


class Server(LanguageServer):
    """The server, and the files that are open."""

    def __init__(self) -> None:
        super().__init__("archdsl", version("archdsl"), types.TextDocumentSyncKind.Full)
        self.documents = Documents()
        self.checks: dict[str, asyncio.Task[None]] = {}

    def document(self, uri: str) -> tuple[Document, Positions]:
        """Return a file that is open."""
        document = self.documents.open[uri]
        return document, self.documents.positions(document.text)

    # ------------------------------------------------------------ changes
    def changed(self, uri: str, text: str | None, version: int | None = None) -> None:
        """Take a new text of a file, None for the same one, and tell what is wrong with it."""
        if text is None:
            self.documents.look_at(self.documents.open[uri])
        else:
            self.documents.change(uri, uris.to_fs_path(uri) or "", text, version)
        document = self.documents.open[uri]
        self.publish(document, problems.known(document))
        self.check(document)

    def publish(self, document: Document, found: list[Diagnostic]) -> None:
        """Show diagnostics of a file."""
        shown = problems.of_document(document, found, self.documents)
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(document.uri, shown, version=document.version)
        )

    def check(self, document: Document) -> None:
        """Check a whole file when its text has rested."""
        if document.uri in self.checks:
            self.checks[document.uri].cancel()
        self.checks[document.uri] = asyncio.get_running_loop().create_task(self._check(document))

    async def _check(self, document: Document) -> None:
        await asyncio.sleep(REST)
        found: list[Diagnostic] = []
        for one in all_of(document.analysis):
            if one is None:
                await asyncio.sleep(0)
            else:
                found.append(one)
        document.everything = document.text, found
        self.publish(document, found)
        for other in self.documents.importing(document):
            before = other.analysis
            self.documents.look_at(other)
            if other.analysis.mistakes != before.mistakes or other.analysis.network != before.network:
                self.publish(other, problems.known(other))
                self.check(other)
        self.refresh()

    def refresh(self) -> None:
        """Ask the editor for the hints again, since not all that changes them is an edit."""
        workspace = self.client_capabilities.workspace
        if workspace is not None and workspace.inlay_hint is not None and workspace.inlay_hint.refresh_support:
            self.workspace_inlay_hint_refresh(None)

    # ------------------------------------------------------------ places
    def location(self, span: Span) -> types.Location:
        """Return a place in a file, as the editor counts."""
        uri = next((d.uri for d in self.documents.open.values() if d.path == span.source.path), None)
        uri = uri or uris.from_fs_path(os.path.realpath(span.source.path)) or span.source.path
        return types.Location(uri, self.documents.positions(span.source.text).range(span))


def made() -> Server:
    """Return a server with all its features."""
    server = Server()
    feature = server.feature

    @feature(types.INITIALIZED)
    def initialized(_: types.InitializedParams) -> None:
        encoding = server.server_capabilities.position_encoding
        server.documents.encoding = encoding or types.PositionEncodingKind.Utf16

    # ------------------------------------------------------------ texts
    @feature(types.TEXT_DOCUMENT_DID_OPEN)
    async def did_open(given: types.DidOpenTextDocumentParams) -> None:
        server.changed(given.text_document.uri, given.text_document.text, given.text_document.version)

    @feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def did_change(given: types.DidChangeTextDocumentParams) -> None:
        server.changed(given.text_document.uri, given.content_changes[-1].text, given.text_document.version)

    @feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(given: types.DidCloseTextDocumentParams) -> None:
        uri = given.text_document.uri
        server.documents.open.pop(uri, None)
        if uri in server.checks:
            server.checks.pop(uri).cancel()
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    # ------------------------------------------------------------ what a place is
    @feature(types.TEXT_DOCUMENT_HOVER)
    def on_hover(given: types.HoverParams) -> types.Hover | None:
        document, positions = server.document(given.text_document.uri)
        return hover(document, positions, positions.offset(given.position))

    @feature(types.TEXT_DOCUMENT_INLAY_HINT)
    def on_inlay_hint(given: types.InlayHintParams) -> list[types.InlayHint]:
        document, positions = server.document(given.text_document.uri)
        start, end = positions.offset(given.range.start), positions.offset(given.range.end)
        return hints(document, positions, start, end)

    @feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", "("]))
    def on_completion(given: types.CompletionParams) -> list[types.CompletionItem]:
        document, positions = server.document(given.text_document.uri)
        return completions(document, server.documents, positions.offset(given.position))

    # ------------------------------------------------------------ names
    @feature(types.TEXT_DOCUMENT_DEFINITION)
    def on_definition(given: types.DefinitionParams) -> types.Location | None:
        view, offset = _parsed(server, given)
        mention = view.scopes.at(offset) if view is not None else None
        span = defined(mention, view) if mention is not None and view is not None else None
        return server.location(span) if span is not None else None

    @feature(types.TEXT_DOCUMENT_REFERENCES)
    def on_references(given: types.ReferenceParams) -> list[types.Location]:
        view, offset = _parsed(server, given)
        mention = view.scopes.at(offset) if view is not None else None
        if mention is None or mention.binding is None:
            return []
        binding = mention.binding
        found = references(binding, server.documents)
        if not given.context.include_declaration:
            found = [one for one in found if (one.source.path, one.start) != binding.place]
        return [server.location(span) for span in found]

    @feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    def on_prepare_rename(given: types.PrepareRenameParams) -> types.Range:
        view, offset = _parsed(server, given)
        try:
            mention = renamable(view.scopes.at(offset) if view is not None else None)
        except Refused as reason:
            raise JsonRpcInvalidParams(str(reason)) from None
        return server.location(head(mention.span, mention.name)).range

    @feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    def on_rename(given: types.RenameParams) -> types.WorkspaceEdit:
        view, offset = _parsed(server, given)
        try:
            mention = renamable(view.scopes.at(offset) if view is not None else None)
            assert mention.binding is not None, "a mention that can be renamed has a binding"
            edits = rename(mention.binding, given.new_name, server.documents)
        except Refused as reason:
            raise JsonRpcInvalidParams(str(reason)) from None
        changes: dict[str, list[types.TextEdit]] = {}
        for span in [span for spans in edits.places.values() for span in spans]:
            place = server.location(span)
            changes.setdefault(place.uri, []).append(types.TextEdit(place.range, edits.name))
        return types.WorkspaceEdit(changes=changes)

    # ------------------------------------------------------------ the whole text
    @feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def on_symbols(given: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        document, _ = server.document(given.text_document.uri)
        view = document.parsed
        return symbols(view.module, server.documents.positions(view.text)) if view is not None else []

    @feature(types.TEXT_DOCUMENT_FOLDING_RANGE)
    def on_folding(given: types.FoldingRangeParams) -> list[types.FoldingRange]:
        document, _ = server.document(given.text_document.uri)
        view = document.parsed
        return folds(view.module, server.documents.positions(view.text)) if view is not None else []

    @feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, types.SemanticTokensLegend(TYPES, []))
    def on_tokens(given: types.SemanticTokensParams) -> types.SemanticTokens:
        document, positions = server.document(given.text_document.uri)
        current = document.current
        scopes = current.scopes if current is not None else None
        return types.SemanticTokens(tokens(document.analysis.source, scopes, positions))

    @feature(types.TEXT_DOCUMENT_FORMATTING)
    def on_formatting(given: types.DocumentFormattingParams) -> list[types.TextEdit]:
        document, positions = server.document(given.text_document.uri)
        try:
            text = formatted(document.analysis.source)
        except CompileError:
            return []
        return [types.TextEdit(positions.everything(), text)] if text != document.text else []

    # ------------------------------------------------------------ actions
    @feature(types.TEXT_DOCUMENT_CODE_ACTION)
    def on_action(given: types.CodeActionParams) -> list[types.CodeAction]:
        document, positions = server.document(given.text_document.uri)
        start, end = positions.offset(given.range.start), positions.offset(given.range.end)
        return [*problems.actions(document, server.documents, start, end), *_choices(document, start)]

    @server.command(NETS)
    def on_nets(uri: str) -> dict[str, Any]:
        """Return the nets of a file that can be looked at, and the one that is."""
        document, _ = server.document(uri)
        file = document.parsed.analysis.file if document.parsed is not None else None
        return {"nets": nets_of(file) if file is not None else [], "chosen": document.analysis.net}

    @server.command(CHOOSE)
    async def on_choose(uri: str, net: str) -> str | None:
        """Look at another net of a file; returns the one that is looked at."""
        document, _ = server.document(uri)
        document.wanted = net
        server.changed(uri, None)
        server.refresh()
        return document.analysis.net

    return server


def _parsed(server: Server, given: Any) -> tuple[Any, int]:
    """Return the last text of a file that parses, None where none has, and the offset that is meant in it."""
    document, positions = server.document(given.text_document.uri)
    view = document.parsed
    return view, document.since(view).back(positions.offset(given.position)) if view is not None else 0


def _choices(document: Document, offset: int) -> list[types.CodeAction]:
    """Return, in a net that is not looked at, the action that looks at it."""
    view = document.current
    item = definition_at(view.module, offset) if view is not None else None
    file = document.analysis.file
    if not isinstance(item, (tree.Net, tree.Alias)) or file is None:
        return []
    if item.name == document.analysis.net or item.name not in nets_of(file):
        return []
    title = f"Show the shapes of `{item.name}`"
    command = types.Command(title, CHOOSE, arguments=[document.uri, item.name])
    return [types.CodeAction(title, kind=types.CodeActionKind.Empty, command=command)]


def run() -> None:
    """Serve one editor until it ends."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    made().start_io()
