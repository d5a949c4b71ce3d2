"""The files that are open in the editor, each with its latest text, what is known of it, and what was last known whole.

While one types, a text is broken more often than not. What needs a network is then told from the last text that had
one, its places carried through the edits since.
"""

from __future__ import annotations

import os
from functools import cached_property

from archdsl import project
from archdsl.diagnostics import CompileError
from archdsl.server.analysis import Analysis, Linked, looked_at
from archdsl.server.positions import Edited, Positions
from archdsl.server.scopes import Scopes
from archdsl.server.steps import Steps
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.source import Source
    from archdsl.diagnostics import Diagnostic


class View:
    """A text that parses, with what is told from it on demand."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis = analysis
        self.text = analysis.source.text

    @cached_property
    def scopes(self) -> Scopes:
        """What its names mean."""
        assert self.analysis.module is not None, "a view is of a text that parses"
        return Scopes(self.analysis.module, self.analysis.file)

    @cached_property
    def steps(self) -> Steps | None:
        """The steps of its network."""
        network = self.analysis.network
        return Steps(network, self.analysis.source.path) if network is not None else None

    @property
    def module(self) -> tree.Module:
        """Its tree."""
        assert self.analysis.module is not None, "a view is of a text that parses"
        return self.analysis.module


class Document:
    """A file that is open. `parsed` is the last text of it that parses, `checked` the last one with a network."""

    def __init__(self, uri: str, path: str) -> None:
        self.uri, self.path = uri, path
        self.wanted: str | None = None  # the net that its reader has chosen
        self.version: int | None = None
        self.analysis = Analysis(project.source_of(os.path.basename(path), "", path))
        self.parsed: View | None = None
        self.checked: View | None = None
        self.others: tuple[str, list[Diagnostic]] = ("", [])  # what else was found in the last text checked whole
        self.proven: tuple[str, list[Diagnostic]] | None = None  # those, with the edits that mend them, of a text

    @property
    def text(self) -> str:
        """Its latest text."""
        return self.analysis.source.text

    def renew(self, analysis: Analysis) -> None:
        """Take what is known of a new text."""
        self.analysis = analysis
        if analysis.module is not None:
            self.parsed = View(analysis)
        if analysis.network is not None:
            self.checked = self.parsed
        elif analysis.file is not None and analysis.net is None:
            self.checked = None

    @property
    def current(self) -> View | None:
        """Its latest text, where that parses."""
        return self.parsed if self.parsed is not None and self.parsed.analysis is self.analysis else None

    def keep(self, found: list[Diagnostic]) -> None:
        """Keep what was found in the whole text, less what looking at it finds anew each time."""
        own = {(one.code, one.primary.span.start) for one in self.analysis.mistakes}
        others = [one for one in found if (one.code, one.primary.span.start) not in own and "syntax" not in one.traits]
        self.others = self.text, others

    def carried(self) -> list[Diagnostic]:
        """Return what was kept at its places in this text: it stays until all is checked again, or it would blink."""
        text, found = self.others
        edited = Edited(text, self.text)
        return [one for one in (_moved(diagnostic, edited, self) for diagnostic in found) if one is not None]

    def since(self, view: View) -> Edited:
        """Return how offsets of an earlier text are carried to the latest one."""
        return Edited(view.text, self.text)


def _moved(diagnostic: Diagnostic, edited: Edited, document: Document) -> Diagnostic | None:
    """Return a diagnostic of an earlier text at its place in the latest one; None where that was edited."""
    span = diagnostic.primary.span
    if span.source.path != document.path:
        return None
    start, end = edited.forward(span.start), edited.forward(span.end)
    if start is None or end is None or end < start:
        return None
    place = span.replace(source=document.analysis.source, start=start, end=end)
    return diagnostic.replace(primary=diagnostic.primary.replace(span=place), secondary=(), notes=(), help=())


class Documents:
    """The files that are open, by their address, and the trees of those that they import."""

    def __init__(self) -> None:
        self.open: dict[str, Document] = {}
        self.trees: dict[str, tree.Module] = {}
        self.encoding = "utf-16"

    def positions(self, text: str) -> Positions:
        """Return the positions of a text, as the editor counts."""
        return Positions(text, self.encoding)

    def change(self, uri: str, path: str, text: str, version: int | None) -> Document:
        """Take the latest text of a file, and look at it."""
        document = self.open.get(uri)
        if document is None:
            document = self.open[uri] = Document(uri, path)
        document.version = version
        self.look_at(document, text)
        return document

    def look_at(self, document: Document, text: str | None = None) -> None:
        """Look at a file again: at a new text, or at what other texts and another choice make of the same one."""
        try:
            source = self.source(document, document.text if text is None else text)
        except CompileError as mistake:
            span = mistake.diagnostic.primary.span
            document.renew(Analysis(span.source.replace(path=document.path), mistakes=(mistake.diagnostic,)))
            return
        document.renew(looked_at(source, Linked(self.text_of, self.trees), document.wanted))

    def source(self, document: Document, text: str) -> Source:
        """Return a text of a file as a source; raises `CompileError` for one with characters that no text has."""
        return project.source_of(os.path.basename(document.path), text, document.path)

    def text_of(self, path: str) -> str | None:
        """Return the text of a file that is open, by its real path."""
        for document in self.open.values():
            if os.path.realpath(document.path) == path:
                return document.text
        return None

    def importing(self, document: Document) -> list[Document]:
        """Return the other open files that import this one, directly or not."""
        real = os.path.realpath(document.path)
        return [other for other in self.open.values() if other is not document and real in self._imported(other)]

    def _imported(self, document: Document) -> set[str]:
        """Return the real paths of the files that a file imports, directly or not, as far as they parse."""
        found: set[str] = set()
        work = [document.parsed.module] if document.parsed is not None else []
        while work:
            module = work.pop()
            asked = [item.module for item in module.items if isinstance(item, tree.Import)]
            for path in [project.beside(module.source, name) for name in asked]:
                real = os.path.realpath(path)
                if path and real not in found:
                    found.add(real)
                    work += [self.trees[path]] if path in self.trees else []
        return found
