"""`archdsl explore`: a network as one HTML file that folds, is searched, and follows what sizes change."""

from __future__ import annotations

from archdsl.cli.options import add_name, add_request, natural, request_of
from archdsl.compiler import compiled
from archdsl.drawing.exploring import explorer
from archdsl.project import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_name(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write; `-` prints it (default: NET.html)")
    parser.add_argument("--serve", action="store_true", help="serve the page, which follows the file as it is saved")
    port = "the port of this machine that it is served at (default: any)"
    parser.add_argument("--port", type=natural, default=0, metavar="N", help=port)
    add_request(parser)


def run(options: Namespace) -> int:
    """Write the page, print it, or serve it."""
    if options.serve:
        return _serve(options)
    found = compiled(options.name, request_of(options))
    page = explorer(found)
    if options.output == "-":
        print(page, end="")
        return 0
    path = options.output or f"{found.network.name}.html"
    write(path, page)
    print(f"wrote {path}: {len(page) / 1000:.0f} kB")
    return 0


def _serve(options: Namespace) -> int:
    """Serve the page until interrupted."""
    from archdsl.cli.watch import Files
    from archdsl.drawing.serving import Follower, server

    follower = Follower(options.name, request_of(options), Files([options.name]).stamps)
    with server(follower, options.port) as serving:
        host, port = serving.server_address[:2]
        print(f"http://{host!s}:{port}/ follows {options.name}; Ctrl-C ends it", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
