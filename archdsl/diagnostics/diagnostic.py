"""What a diagnostic is: data only. `render` draws it, `errors` is the catalogue of them."""

from __future__ import annotations

from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.core.source import Span


class Label(Record):
    """A place and what is to be said of it."""

    span: Span
    text: str = ""


class Note(Record):
    """A fact; with a place, the place is shown under it. Lines are kept as they are."""

    text: str
    span: Span | None = None
    label: str = ""


class Help(Record):
    """A proposal; with an edit, the mended line is shown. `--fix` applies it where it is `sure`: no guess."""

    text: str
    span: Span | None = None
    replacement: str = ""
    sure: bool = True

    def words(self) -> Help:
        """Return it without its edit."""
        return Help(self.text)


class Diagnostic(Record):
    """One mistake, complete: everything a renderer needs.

    `title` is one plain clause that can be understood alone; `primary` is what is wrong there; `secondary` is what
    else matters; notes state facts, only help proposes a change.
    """

    code: str
    title: str
    primary: Label
    secondary: tuple[Label, ...] = ()
    notes: tuple[Note, ...] = ()
    help: tuple[Help, ...] = ()
    traits: tuple[str, ...] = ()  # of its code: what other stages have to know of it

    @property
    def level(self) -> str:
        """`error`, or `warning` for advice."""
        return "warning" if self.code.startswith("W") else "error"

    def in_words(self) -> Diagnostic:
        """Return it without the edits of its help."""
        return self.replace(help=tuple([proposal.words() for proposal in self.help]))

    def noting(self, *notes: Note) -> Diagnostic:
        """Return it with further notes."""
        return self.replace(notes=(*self.notes, *notes))


def in_short(mistake: Exception) -> list[str]:
    """Return what a notebook prints of a mistake: the line of the user's that led to it, and what it says.

    IPython asks an exception for `_render_traceback_` and prints that in place of a traceback, which here would lead
    through files that are no concern of the user.
    """
    import os
    import traceback

    ours = os.path.dirname(os.path.dirname(__file__))
    frames = traceback.extract_tb(mistake.__traceback__)
    theirs = [f for f in frames if not f.filename.startswith(ours) and f.line and "IPython" not in f.filename]
    places = [f"line {frame.lineno}: {frame.line}" for frame in theirs[-1:]]
    return [*places, "", str(mistake)] if places else [str(mistake)]


class CompileError(Exception):
    """A mistake in a text, with its diagnostic. Printing the exception draws it, its edits as words: none was tried."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic)
        self.diagnostic = diagnostic
        self.frame: Any = None  # the innermost instantiation that it came through, once it has left that
        self.doubtful = False  # whether it is of a tensor that is a guess, and so may follow from another

    _render_traceback_ = in_short

    def __str__(self) -> str:
        from archdsl.diagnostics.render import text

        return text(self.diagnostic.in_words())
