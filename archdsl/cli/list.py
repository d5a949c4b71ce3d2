"""`archdsl list`: the bundled networks, from the table that ships beside them."""

from __future__ import annotations

from fnmatch import fnmatchcase

from archdsl.analysis.rows import human
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
    """Print a line a network; status 1 where no name fits."""
    rows = [
        (entry.name, entry.year, human(entry.params), human(entry.macs), entry.title)
        for entry in entries()
        if fnmatchcase(entry.name, options.pattern)
    ]
    widths = [max(map(len, column)) for column in zip(HEAD, *rows)]
    for row in (HEAD, *rows):
        cells = [c.rjust(w) if at in NUMBERS else c.ljust(w) for at, (c, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())
    return 0 if rows else 1
