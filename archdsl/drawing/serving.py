"""A page that follows a file as it is saved: served to this machine alone, mistakes included."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer

from archdsl.compiler import Compiled, Request, find
from archdsl.diagnose.survey import each
from archdsl.diagnostics import CompileError, render
from archdsl.drawing.exploring import explorer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.diagnostics import Diagnostic

    Look = Callable[[], object]  # something that differs when a file has changed

HERE = "127.0.0.1"


class Follower:
    """Keeps a page up to date with a file; it looks at the file when it is asked, and not before."""

    def __init__(self, name: str, request: Request, look: Look) -> None:
        self.name, self.request, self.look = name, request, look
        self.seen: object = None
        self.latest: Compiled | None = None
        self.number = 0
        self.text = ""

    @property
    def stamp(self) -> str:
        """A word that is another one when the page is."""
        return str(self.number)

    def refresh(self) -> None:
        """Make the page again where the file has changed."""
        seen = self.look()
        if seen == self.seen:
            return
        self.seen = seen
        self.number += 1
        found = self._found()
        wrong = [each for each in found if not isinstance(each, Compiled)]
        self.latest = next((each for each in found if isinstance(each, Compiled)), self.latest)
        self.text = explorer(self.latest, self.stamp, "\n\n".join([render.text(mistake) for mistake in wrong]))

    def _found(self) -> list[Compiled | Diagnostic]:
        """Return the network that is followed, or all that is wrong with it."""
        try:
            file, chosen = find(self.name)
        except CompileError as mistake:
            return [mistake.diagnostic]
        return list(each(self.name, file, [self.request.net or chosen], self.request))


def server(follower: Follower, port: int = 0) -> HTTPServer:
    """Return a server of the page, at a port of this machine, 0 for any that is free."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Host", "").rpartition(":")[0] not in (HERE, "localhost"):
                self.send_error(403)  # a page of elsewhere, by a name that leads here
                return
            follower.refresh()
            answers = {"/": ("text/html", follower.text), "/stamp": ("text/plain", follower.stamp)}
            if self.path not in answers:
                self.send_error(404)
                return
            kind, text = answers[self.path]
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    return HTTPServer((HERE, port), Handler)
