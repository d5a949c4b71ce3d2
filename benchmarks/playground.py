"""How long a reader of the playground waits: for its start, and from a key to what is said of the new text.

    make playground && python -m benchmarks.playground build/playground

A key adds a line at the end of each file of the gallery, in a browser without a window. What is waited for is that the
shapes and mistakes of the net that is looked at are on the page; beside it is the compiler's own part. The last column
is the longest time for which the page itself, in which one types, did nothing else.
"""

from __future__ import annotations

import re
import statistics
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.drawing.browser import opened

GALLERY = sorted((Path(__file__).parents[1] / "architectures").glob("*.arch"))
KEYS = 11  # of each file; the first two warm
FOLLOW = """() => {
    window.waited = [];
    window.longest = 0;
    let last = performance.now();
    setInterval(() => {
        longest = Math.max(longest, performance.now() - last - 4);
        last = performance.now();
    }, 4);
    document.addEventListener('keydown', () => {
        const start = performance.now();
        const said = new MutationObserver(() => { waited.push(performance.now() - start); said.disconnect(); });
        said.observe(document.getElementById('took'), { childList: true });
    }, true);
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def main(folder: str) -> None:
    """Print the start, the median of each file, and of all."""
    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    with opened() as page:
        page.context.set_offline(False)
        page.set_default_timeout(60_000)
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{serving.server_address[1]}/")
        page.wait_for_selector("#summary:not(:empty)")
        print(f"from the address to the first answer: {time.perf_counter() - start:.1f} s")
        page.evaluate(FOLLOW)
        figures = {path.stem: _figures(page, path.stem) for path in GALLERY}
    serving.shutdown()
    for name, (waited, busy, longest) in sorted(figures.items(), key=lambda item: -item[1][0]):
        print(f"{name:24} {waited:6.0f} ms, compiler {busy:6.0f} ms, page {longest:4.0f} ms")
    waits = [waited for waited, *_ in figures.values()]
    print(f"median of {len(waits)} files {statistics.median(waits):.0f} ms, slowest {max(waits):.0f} ms")


def _figures(page, file: str) -> tuple[float, float, float]:
    """Return what a key takes: until all is said, in the compiler, and the longest in the page."""
    net = page.evaluate("file => document.querySelector(`optgroup[label='${file}'] option`).value", file)
    page.select_option("#gallery", net)
    page.wait_for_selector(f"#summary:text('{net}:')")
    page.wait_for_timeout(1000)
    page.locator(".cm-content").first.focus()
    page.keyboard.press("Control+End")
    busy = []
    page.evaluate("waited = []; longest = 0")
    for number in range(KEYS):
        page.keyboard.press("Enter")
        while page.evaluate("waited.length") <= number:
            page.wait_for_timeout(5)
        busy.append(float(re.search(r"\d+", page.inner_text("#took")).group()))
    waited, longest = page.evaluate("[waited, longest]")
    return statistics.median(waited[2:]), statistics.median(busy[2:]), longest


if __name__ == "__main__":
    main(sys.argv[1])
