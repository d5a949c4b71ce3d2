"""One session with an editor: the files that are open in it, and what it is told of them without asking.

A change is answered at once, with what `documents` knows of the net that is looked at. Everything else of the file is
checked when the keys have rested, a net at a time, so that no request waits for more than one.
"""

from __future__ import annotations

import asyncio
import gc
import os
from importlib.metadata import version

from lsprotocol import types
from pygls import uris
from pygls.lsp.server import LanguageServer

from archdsl.server import problems
from archdsl.server.analysis import all_of
from archdsl.server.documents import Documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.server.documents import Document
    from archdsl.server.positions import Positions

REST = 0.2  # seconds without a change after which the whole file is checked


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

    def check(self, document: Document, edited: bool = True) -> None:
        """Check a whole file when its text has rested and, where that was edited, the files that import it."""
        if document.uri in self.checks:
            self.checks[document.uri].cancel()
        self.checks[document.uri] = asyncio.get_running_loop().create_task(self._check(document, edited))

    async def _check(self, document: Document, edited: bool) -> None:
        await asyncio.sleep(REST)
        found: list[Diagnostic] = []
        for one in all_of(document.analysis):
            if one is None:
                await asyncio.sleep(0)
            else:
                found.append(one)
        document.keep(found)
        self.publish(document, found)
        for other in self.documents.importing(document) if edited else ():
            self.documents.look_at(other)
            self.publish(other, problems.known(other))
            self.check(other, edited=False)
        self.refresh()
        gc.collect()  # what earlier texts have left, in cycles: no change waits for it here

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
