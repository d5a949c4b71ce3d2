"""How long an editor waits: from a change of each file of the gallery to the hints of its new text, over the pipes.

    python -m benchmarks.editor

The server is a process of its own and warm: each file has been opened and changed before. A change rewrites a number in
the middle of the text, so that its net is another one each time. The client's own time is in the figures, too; beside
them is the processor time of the server alone, which other work on the machine hardly changes (Linux only).
"""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

from tests.server.client import Editor

GALLERY = sorted((Path(__file__).parents[1] / "architectures").glob("*.arch"))
CLASSES = re.compile(r"classes=(\d+)")
ROUNDS = 9
ALLOWED = 50  # ms


def main() -> None:
    """Print the median of each file, and of all."""
    editor = Editor()
    figures = {path.stem: _figures(editor, path) for path in GALLERY}
    editor.close()
    for name, (waited, busy) in sorted(figures.items(), key=lambda item: -item[1][0]):
        print(f"{name:24} {waited:6.1f} ms, server {busy:6.1f} ms")
    for what, number in (("waited", 0), ("server", 1)):
        every = {name: figure[number] for name, figure in figures.items()}
        slow = ", ".join(name for name, figure in every.items() if figure >= ALLOWED) or "none"
        print(f"{what}: median of {len(every)} files {statistics.median(every.values()):.1f} ms, ", end="")
        print(f"slowest {max(every.values()):.1f} ms, {ALLOWED} ms or more: {slow}")


def _figures(editor: Editor, path: Path) -> tuple[float, float]:
    """Return what a change of a file takes in milliseconds: the median that is waited, and the server's mean."""
    text = path.read_text(encoding="utf-8")
    uri = editor.open(path)
    editor.hints(uri)
    waited, busy = [], 0.0
    for number in range(ROUNDS + 1):
        changed = CLASSES.sub(f"classes={1001 + number}", text, count=1) + "\n" * number
        before, start = _processor(editor), time.perf_counter()
        editor.change(uri, changed, number + 2)
        editor.hints(uri)
        if number:  # the first one warms
            waited.append(time.perf_counter() - start)
            busy += _processor(editor) - before
    editor.shut(uri)
    return 1000 * statistics.median(waited), 1000 * busy / ROUNDS


def _processor(editor: Editor) -> float:
    """Return the processor time that the server has taken, in seconds, as finely as the system counts it."""
    assert editor.client._server is not None
    try:
        fields = Path(f"/proc/{editor.client._server.pid}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(fields[0]) / 1e9


if __name__ == "__main__":
    main()
