"""The exit status of a command, by one rule for all of them, which docs/command-line.md states."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.diagnostics import Diagnostic

YES = 0  # done, or all is well
NO = 1  # a mistake in a text, networks that differ, a file that would change, nothing that fits
TROUBLE = 2  # no answer: wrong usage, a file that is missing or cannot be written, a package that is not installed
BUG = 3  # of archdsl
INTERRUPTED = 130  # by Ctrl-C; what shells give for it


def status_of(diagnostic: Diagnostic) -> int:
    """Return the exit status that a diagnostic leads to; warnings lead to none."""
    if diagnostic.level == "warning":
        return YES
    value = diagnostic.primary.span.source.name.startswith("--set ")  # of a parameter, which is an expression
    return TROUBLE if value or "asked" in diagnostic.traits else NO
