"""One network of each file of the gallery: an ordinary run takes these where all of them take long.

It is the one of the fewest MACs, or that of the file's own name where it has hardly more.
"""

from archdsl import project
from archdsl.compiler import block_of, bundled_nets
from archdsl.report.gallery import entries

MACS = {entry.name: entry.macs for entry in entries()}


def _size(net: str, stem: str) -> float:
    return MACS[net] if net == stem else 1.5 * MACS[net]


LEAST = {stem: net for net, stem in sorted(bundled_nets(), key=lambda found: -_size(*found))}  # the last one stays


def _with_classes() -> set[str]:
    """Return the nets that have a parameter `classes`, itself or of the net that they are a setting of."""
    files = {stem: project.Project().open(project.path_of(stem)) for stem in project.bundled()}
    blocks = [(net, block_of(files[stem], net)) for net, stem in bundled_nets()]
    return {net for net, block in blocks if block is not None and "classes" in block.params}


WITH_CLASSES = _with_classes()
