"""What was done to a network, and how often."""

from __future__ import annotations

Notes = dict[str, int]


def note(notes: Notes, what: str) -> None:
    """Count one more of what was done."""
    notes[what] = notes.get(what, 0) + 1
