"""`archdsl list`: the bundled networks, from the table that ships beside them."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

from archdsl.analysis.rows import human
from archdsl.cli.status import NO, YES
from archdsl.cli.terminal import width
from archdsl.report.gallery import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HEAD = ("network", "year", "parameters", "MACs", "title")
NUMBERS = (2, 3)  # columns that end where their heads do


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("pattern", nargs="?", default="*", help="a name with the wildcards * and ?")


def run(options: Namespace) -> int:
    """Print a line a network, as wide as the terminal."""
    rows = [
        (entry.name, entry.year, human(entry.params), human(entry.macs), entry.title)
        for entry in entries()
        if fnmatchcase(entry.name, options.pattern)
    ]
    if not rows:
        from difflib import get_close_matches

        close = get_close_matches(options.pattern.strip("*?"), [entry.name for entry in entries()], 3)
        more = f": there are {', '.join(close)}" if close else ""
        print(f"no bundled network is called `{options.pattern}`{more}", file=sys.stderr)
        return NO
    widths = [max(map(len, column)) for column in zip(HEAD, *rows)]
    for row in (HEAD, *rows):
        cells = [c.rjust(w) if at in NUMBERS else c.ljust(w) for at, (c, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip()[: width()])
    return YES
