"""One network of each file of the gallery: an ordinary run takes these where all of them take long.

It is the one of the fewest MACs, or that of the file's own name where it has hardly more.
"""

from archdsl.compiler import bundled_nets
from archdsl.report.gallery import entries

MACS = {entry.name: entry.macs for entry in entries()}


def _size(net: str, stem: str) -> float:
    return MACS[net] if net == stem else 1.5 * MACS[net]


LEAST = {stem: net for net, stem in sorted(bundled_nets(), key=lambda found: -_size(*found))}  # the last one stays
