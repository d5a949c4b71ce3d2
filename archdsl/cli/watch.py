"""`archdsl check --watch`: checks again whenever one of the files, or a file that they may import, is saved."""

from __future__ import annotations

import os
import sys
import time

from archdsl import project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERVAL = 0.2  # seconds between two looks at the files: a save is answered before the eye is back from the editor

Stamp = dict[str, tuple[float, int]]


def watch(names: Sequence[str], check: Callable[[], int], *, rounds: int | None = None) -> int:
    """Run a check now and after each change of a file, until interrupted; `rounds` is for tests.

    Looked at are the files that are meant by the names and every other `.arch` file in their folders, since they may
    import these. Returns the status of the last check.
    """
    seen: Stamp = {}
    status = 0
    while rounds is None or rounds > 0:
        found = stamps(names)
        if found != seen:
            seen = found
            status = check()
            print(f"-- {time.strftime('%H:%M:%S')} watching {len(seen)} files", flush=True)
            rounds = rounds - 1 if rounds is not None else None
        try:
            time.sleep(INTERVAL)
        except KeyboardInterrupt:
            break
    return status


def stamps(names: Sequence[str]) -> Stamp:
    """Return when each file that matters was last written, and its size."""
    folders = {os.path.dirname(os.path.abspath(project.path_of(name) or name)) for name in names}
    found: Stamp = {}
    for folder in folders:
        try:
            entries = [entry for entry in os.scandir(folder) if entry.name.endswith(".arch")]
        except OSError as problem:
            print(f"cannot watch {folder}: {problem.strerror}", file=sys.stderr)
            continue
        for entry in entries:
            try:
                state = entry.stat()
            except OSError:  # saved by replacing it: the next look finds the new one
                continue
            found[entry.path] = state.st_mtime, state.st_size
    return found
