"""An editor for tests: pygls' own client, which starts the server as a process and speaks with it over its pipes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls import uris
from pygls.lsp.client import LanguageClient

PATIENCE = 30  # seconds after which the server is taken for dead; it answers in some milliseconds


class Editor:
    """A client with plain functions: each sends one request and returns its answer."""

    def __init__(self, encodings: list[types.PositionEncodingKind] | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = LanguageClient("tests", "1")
        self.shown: list[types.PublishDiagnosticsParams] = []
        self.texts: dict[str, str] = {}
        self.refreshed = 0

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def _(params: types.PublishDiagnosticsParams) -> None:
            self.shown.append(params)

        @self.client.feature(types.WORKSPACE_INLAY_HINT_REFRESH)
        def _(_: Any) -> None:
            self.refreshed += 1

        workspace = types.WorkspaceClientCapabilities(
            inlay_hint=types.InlayHintWorkspaceClientCapabilities(refresh_support=True)
        )
        general = types.GeneralClientCapabilities(position_encodings=encodings)
        capabilities = types.ClientCapabilities(workspace=workspace, general=general)
        self.wait(self.client.start_io(sys.executable, "-m", "archdsl.cli.main", "server", "--stdio"))
        self.started = self.wait(self.client.initialize_async(types.InitializeParams(capabilities=capabilities)))
        self.client.initialized(types.InitializedParams())

    def wait(self, what: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(what, PATIENCE))

    def close(self) -> int:
        """End the server and return its exit status."""
        process = self.client._server
        assert process is not None
        self.wait(self.client.shutdown_async(None))
        self.client.exit(None)
        status: int = self.wait(process.wait())
        self.wait(self.client.stop())
        self.loop.close()
        return status

    # ------------------------------------------------------------ texts
    def open(self, path: Path, text: str | None = None) -> str:
        """Open a file, perhaps with a text that is not saved, and return its address."""
        uri = uris.from_fs_path(str(path)) or ""
        self.texts[uri] = path.read_text(encoding="utf-8") if text is None else text
        item = types.TextDocumentItem(uri, "arch", 1, self.texts[uri])
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def change(self, uri: str, text: str, version: int = 2) -> None:
        self.texts[uri] = text
        document = types.VersionedTextDocumentIdentifier(version, uri)
        whole = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [whole]))

    def shut(self, uri: str) -> None:
        document = types.TextDocumentIdentifier(uri)
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(document))

    def diagnostics(self, uri: str, until: Callable[[list[types.Diagnostic]], bool]) -> list[types.Diagnostic]:
        """Return the diagnostics of a file as soon as they are as they should be."""

        async def come() -> list[types.Diagnostic]:
            while True:
                shown = [one for one in self.shown if one.uri == uri]
                if shown and until([*shown[-1].diagnostics]):
                    return [*shown[-1].diagnostics]
                await asyncio.sleep(0.01)

        try:
            return self.wait(come())
        except asyncio.TimeoutError:
            raise AssertionError(f"last shown: {[one for one in self.shown if one.uri == uri][-1:]}") from None

    # ------------------------------------------------------------ places
    def place(self, uri: str, text: str, after: str = "") -> dict[str, Any]:
        """Return the arguments of a request about the first place of a text, after another one."""
        offset = self.texts[uri].index(text, self.texts[uri].index(after))
        before = self.texts[uri][:offset]
        line, start = before.count("\n"), before.rfind("\n") + 1
        column = len(before[start:].encode("utf-16-le")) // 2
        return {"text_document": types.TextDocumentIdentifier(uri), "position": types.Position(line, column)}

    def end(self, uri: str) -> dict[str, Any]:
        """Return the arguments of a request about the end of the text."""
        lines = self.texts[uri].split("\n")
        position = types.Position(len(lines) - 1, len(lines[-1]))
        return {"text_document": types.TextDocumentIdentifier(uri), "position": position}

    def whole(self, uri: str) -> types.Range:
        return types.Range(types.Position(0, 0), types.Position(self.texts[uri].count("\n") + 1, 0))

    def taken(self, uri: str, at: types.Range) -> str:
        """Return the text of a range."""
        lines = self.texts[uri].split("\n")
        assert at.start.line == at.end.line
        line = lines[at.start.line].encode("utf-16-le")
        return line[2 * at.start.character : 2 * at.end.character].decode("utf-16-le")

    # ------------------------------------------------------------ requests
    def hints(self, uri: str) -> dict[int, str]:
        """Return the hints of a file by line, from 1."""
        params = types.InlayHintParams(types.TextDocumentIdentifier(uri), self.whole(uri))
        found = self.wait(self.client.text_document_inlay_hint_async(params))
        return {hint.position.line + 1: hint.label for hint in found}

    def hover(self, uri: str, text: str, after: str = "") -> str:
        found = self.wait(self.client.text_document_hover_async(types.HoverParams(**self.place(uri, text, after))))
        return found.contents.value if found is not None else ""

    def completions(self, uri: str, **place: Any) -> list[str]:
        """Return what may stand at a place, the end of the text, in the order in which it is shown."""
        params = types.CompletionParams(**(place or self.end(uri)))
        found = self.wait(self.client.text_document_completion_async(params))
        return [item.label for item in sorted(found, key=lambda item: item.sort_text)]

    def actions(self, uri: str, text: str, after: str = "") -> list[types.CodeAction]:
        position = self.place(uri, text, after)["position"]
        context = types.CodeActionContext(diagnostics=[])
        at = types.Range(position, position)
        params = types.CodeActionParams(types.TextDocumentIdentifier(uri), at, context)
        return self.wait(self.client.text_document_code_action_async(params))

    def command(self, name: str, *arguments: Any) -> Any:
        params = types.ExecuteCommandParams(name, [*arguments])
        return self.wait(self.client.workspace_execute_command_async(params))

    def ask(self, name: str, params: Any) -> Any:
        """Send any other request."""
        return self.wait(getattr(self.client, f"{name}_async")(params))
