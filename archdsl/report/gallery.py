"""The table of the bundled networks, `architectures/networks.tsv`: what `archdsl list` prints of each.

To check them all takes 1.7 s, to read the table 1 ms. `make gallery` writes it, and a test holds it to the networks.
"""

from __future__ import annotations

import os
import re

from archdsl.core.record import Record
from archdsl.core.source import folder_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.ir.network import Network

TABLE = os.path.join(folder_of("archdsl.architectures"), "networks.tsv")


class Entry(Record):
    """One network with its default parameters, at its default input size."""

    name: str
    year: str
    params: int
    macs: int
    title: str


def entries() -> list[Entry]:
    """Read the table, which is in the order of the names."""
    with open(TABLE, encoding="utf-8") as file:
        lines = file.read().splitlines()[1:]
    cells = [line.split("\t") for line in lines]
    return [Entry(name, year, int(params), int(macs), title) for name, year, params, macs, title in cells]


def computed() -> list[Entry]:
    """Check every bundled network, and return what the table must hold."""
    from archdsl import project
    from archdsl.compiler import Request, compiled, nets_of

    found = []
    for stem in project.bundled():
        file = project.Project().open(project.path_of(stem))
        found += [_entry(net, compiled(stem, Request(net), file=file).network) for net in nets_of(file)]
    return sorted(found, key=lambda entry: entry.name)


def _entry(name: str, network: Network) -> Entry:
    from archdsl.report.check import report

    figures = report(network)
    title, year = title_of(network)
    return Entry(name, year, figures.params, figures.macs, title)


def title_of(network: Network) -> tuple[str, str]:
    """Return the title and the year that a network's docstring gives, in `Family: Title (Authors, NIPS 2012)`."""
    first = " ".join(network.doc.split("\n\n")[0].split("\n"))
    found = re.match(r"(.*?)\s*\((?:[^()]*,\s*)?(?:[A-Z]+\s+)?((?:19|20)\d\d)[^()]*\)", first)
    return (found.group(1), found.group(2)) if found else (first, "")


def write() -> str:
    """Write the table and return its path."""
    rows = [Entry.fields, *[entry.key() for entry in computed()]]
    with open(TABLE, "w", encoding="utf-8") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in rows)
    return TABLE
