"""`archdsl check --watch`: checks again whenever one of the files, or a file that they import, is saved."""

from __future__ import annotations

import os
import re
import time

from archdsl import project
from archdsl.cli.status import YES
from archdsl.core.source import Source
from archdsl.diagnostics import CompileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERVAL = 0.2  # seconds between two looks at the files: a save is answered before the eye is back from the editor
# Read off the text, so that the files of one with a mistake are known.
IMPORT = re.compile(r"^from[ \t]+(\w+)[ \t]+import\b", re.MULTILINE)

Stamp = tuple[float, int]  # when a file was written, and its size


def watch(names: Sequence[str], check: Callable[[], int], *, rounds: int | None = None) -> int:
    """Run a check now and after each change of a file, until interrupted; `rounds` is for tests.

    Looked at are the files that are meant by the names, and all that these import, directly or not. Returns the status
    of the last check.
    """
    files = Files(names)
    seen: dict[str, Stamp] = {}
    status = YES
    while rounds is None or rounds > 0:
        found = files.stamps()
        if found != seen:
            seen = found
            status = check()
            watched = "1 file" if len(seen) == 1 else f"{len(seen)} files"
            print(f"-- {time.strftime('%H:%M:%S')} watching {watched}", flush=True)
            rounds = rounds - 1 if rounds is not None else None
        try:
            time.sleep(INTERVAL)
        except KeyboardInterrupt:
            break
    return status


class Files:
    """The files that some names mean, with those that they import; each is read again only after it was saved."""

    def __init__(self, names: Sequence[str]) -> None:
        self.first = [os.path.abspath(project.path_of(name) or name) for name in names]
        self.imports: dict[str, tuple[Stamp, list[str]]] = {}  # by path: the modules, as of when they were read

    def stamps(self) -> dict[str, Stamp]:
        """Return the stamp of each file that is there."""
        found: dict[str, Stamp] = {}
        todo = list(self.first)
        while todo:
            path = todo.pop()
            if path in found:
                continue
            try:
                state = os.stat(path)
            except OSError:  # not yet there, or saved by replacing it: the next look finds it
                continue
            found[path] = state.st_mtime, state.st_size
            here = Source(path, "", path)
            todo += filter(None, [project.beside(here, module) for module in self._modules(path, found[path])])
        return found

    def _modules(self, path: str, stamp: Stamp) -> list[str]:
        """Return the modules that a file imports."""
        known = self.imports.get(path)
        if known is None or known[0] != stamp:
            try:
                text = project.read(path).text
            except CompileError:
                text = ""
            known = self.imports[path] = stamp, IMPORT.findall(text)
        return known[1]
