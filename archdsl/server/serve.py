"""Runs the server for one editor, over standard input and output."""

from __future__ import annotations

import gc

from archdsl.server.features import made

GARBAGE = 100_000  # objects between two looks for cycles, 40 ms, where the keys never rest; 12 changes make so many


def run() -> None:
    """Serve one editor until it ends."""
    gc.enable()  # which the command line has turned off
    gc.freeze()
    gc.set_threshold(GARBAGE)
    made().start_io()
