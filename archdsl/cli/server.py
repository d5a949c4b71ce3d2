"""`archdsl server`: the language server that editors start, over standard input and output."""

from __future__ import annotations

from archdsl.cli.status import YES
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--stdio", action="store_true", help="what some editors add; there is no other way")


def run(options: Namespace) -> int:
    """Serve one editor until it ends."""
    with Needing("`archdsl server`"):
        from archdsl.server import serve

    serve.run()
    return YES
