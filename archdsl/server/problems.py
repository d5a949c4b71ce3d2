"""Diagnostics as the protocol has them, and their edits as actions."""

from __future__ import annotations

from lsprotocol import types
from pygls import uris

from archdsl.diagnose import fix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic, Help
    from archdsl.server.documents import Document, Documents
    from archdsl.server.positions import Positions

SEVERITY = {"error": types.DiagnosticSeverity.Error, "warning": types.DiagnosticSeverity.Warning}
UNUSED = "unused"  # the trait of what an editor shows faded


def known(document: Document) -> list[Diagnostic]:
    """Return the mistakes of the text, and those of its other nets as they were known before the last edits."""
    found = list(document.analysis.mistakes)
    if document.analysis.file is None:
        return found
    places = {diagnostic.primary.span.start for diagnostic in found}
    return found + [one for one in document.carried() if one.primary.span.start not in places]


def of_document(document: Document, found: Sequence[Diagnostic], documents: Documents) -> list[types.Diagnostic]:
    """Return diagnostics for the editor: those of another file stand at the head of this one."""
    positions = documents.positions(document.text)
    return [_diagnostic(one, document, positions, documents) for one in found]


def _diagnostic(
    diagnostic: Diagnostic, document: Document, positions: Positions, documents: Documents
) -> types.Diagnostic:
    primary = diagnostic.primary
    facts = [diagnostic.title + (f": {primary.text}" if primary.text else "")]
    facts += [f"note: {note.text}" for note in diagnostic.notes if note.span is None]
    facts += [f"help: {proposal.text}" for proposal in diagnostic.help]
    places = [(label.span, label.text) for label in diagnostic.secondary]
    places += [(note.span, note.label or note.text) for note in diagnostic.notes if note.span is not None]
    own = _is_own(primary.span, document)
    if not own:
        places.insert(0, (primary.span, primary.text or diagnostic.title))
    related = [
        types.DiagnosticRelatedInformation(_location(span, document, documents), text or "here")
        for span, text in places
        if span.source.path
    ]
    start = primary.span.start if own else 0
    end = _visible_end(primary.span, document.text) if own else positions.end_of(0)
    return types.Diagnostic(
        range=positions.between(start, end),
        message="\n".join(facts),
        severity=SEVERITY[diagnostic.level],
        code=diagnostic.code,
        source="archdsl",
        related_information=related,
        tags=[types.DiagnosticTag.Unnecessary] if UNUSED in diagnostic.traits else None,
    )


def _is_own(span: Span, document: Document) -> bool:
    return span.source.path == document.path


def _visible_end(span: Span, text: str) -> int:
    """Return the end of a place: at least a character, so that something is marked, and no more than its lines."""
    end = max(span.end, span.start + 1)
    return max(span.start, min(end, len(text)))


def _location(span: Span, document: Document, documents: Documents) -> types.Location:
    uri = document.uri if _is_own(span, document) else uris.from_fs_path(span.source.path) or document.uri
    text = document.text if _is_own(span, document) else span.source.text
    return types.Location(uri, documents.positions(text).range(span))


# -------------------------------------------------------------------------------------------------- actions
def actions(document: Document, documents: Documents, start: int, end: int) -> list[types.CodeAction]:
    """Return the edits that mend the mistakes between two offsets; each was tried: see `archdsl.diagnose.fix`."""
    positions = documents.positions(document.text)
    found = []
    for diagnostic in proven(document):
        place = diagnostic.primary.span
        if _is_own(place, document) and place.start <= end and start <= max(place.end, place.start + 1):
            shown = _diagnostic(diagnostic, document, positions, documents)
            found += [_action(one, shown, document, positions) for one in _edits(diagnostic, document)]
    return found


def proven(document: Document) -> list[Diagnostic]:
    """Return the mistakes of the text with those edits only that mend; they are tried once for a text."""
    if document.proven is None or document.proven[0] != document.text:
        wrong = [one for one in fix.diagnose(document.analysis.source) if one.level == "error"]
        document.proven = document.text, fix.proven(wrong, document.analysis.source)
    return document.proven[1]


def _edits(diagnostic: Diagnostic, document: Document) -> Iterator[Help]:
    for proposal in diagnostic.help:
        if proposal.span is not None and _is_own(proposal.span, document):
            yield proposal


def _action(proposal: Help, shown: types.Diagnostic, document: Document, positions: Positions) -> types.CodeAction:
    assert proposal.span is not None, "only edits become actions"
    edit = types.TextEdit(positions.range(proposal.span), proposal.replacement)
    return types.CodeAction(
        title=proposal.text,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[shown],
        is_preferred=proposal.sure,
        edit=types.WorkspaceEdit(changes={document.uri: [edit]}),
    )
