"""How long an editor waits: from a change of each file of the gallery to the hints of its new text, over the pipes.

    python -m benchmarks.editor

The server is a process of its own and warm: each file has been opened and changed before. A change rewrites a number in
the middle of the text, so that its net is another one each time. The client's own time is in the figures, too.
"""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

from tests.server.client import Editor

GALLERY = sorted((Path(__file__).parents[1] / "architectures").glob("*.arch"))
CLASSES = re.compile(r"classes=(\d+)")
ROUNDS = 7
ALLOWED = 50  # ms


def main() -> None:
    """Print the median of each file, and of all."""
    editor = Editor()
    medians = {path.stem: 1000 * statistics.median(_times(editor, path)) for path in GALLERY}
    editor.close()
    for name, median in sorted(medians.items(), key=lambda item: -item[1]):
        print(f"{name:24} {median:6.1f} ms")
    slow = [name for name, median in medians.items() if median >= ALLOWED]
    print(f"\nmedian of {len(medians)} files {statistics.median(medians.values()):.1f} ms, ", end="")
    print(f"slowest {max(medians.values()):.1f} ms, {ALLOWED} ms or more: {', '.join(slow) or 'none'}")


def _times(editor: Editor, path: Path) -> list[float]:
    text = path.read_text(encoding="utf-8")
    uri = editor.open(path)
    editor.hints(uri)
    found = []
    for number in range(ROUNDS + 1):
        changed = CLASSES.sub(f"classes={1001 + number}", text, count=1) + "\n" * number
        start = time.perf_counter()
        editor.change(uri, changed, number + 2)
        editor.hints(uri)
        found.append(time.perf_counter() - start)
    editor.shut(uri)
    return found[1:]


if __name__ == "__main__":
    main()
