"""The networks of the gallery by their files, and one of each file: an ordinary run takes these where all take long.

That one is the one of the fewest MACs, or that of the file's own name where it has hardly more.
"""

from archdsl.compiler import bundled_nets
from archdsl.report.gallery import entries

FILES = dict(bundled_nets())
MACS = {entry.name: entry.macs for entry in entries()}


def _size(net: str, stem: str) -> float:
    return MACS[net] if net == stem else 1.5 * MACS[net]


LEAST = {stem: net for net, stem in sorted(FILES.items(), key=lambda found: -_size(*found))}  # the last one stays
