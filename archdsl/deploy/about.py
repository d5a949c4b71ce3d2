"""What a file says of itself: which network it is, its text, and the sizes that it takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from archdsl import __version__
from archdsl.ops.base import show
from archdsl.saved import KEY

if TYPE_CHECKING:
    from archdsl.run.origin import Origin

MARK = "archdsl.version"  # of every file that `export` writes, by which it knows one that it may replace


def about(origin: Origin, dynamic: bool) -> dict[str, str]:
    """Return names and texts for the metadata of a file.

    `archdsl.sizes` is JSON: for each size by name the rule in words, and ranges, start, period and residues as
    `archdsl.legal_sizes` has them. A file without dynamic sizes has the same, and takes the default alone.
    """
    legal = {one.name: one.to_dict() for one in origin.legal[False]}
    return {
        MARK: __version__,
        "archdsl.name": origin.name,
        "archdsl.inputs": json.dumps({name: show(shape) for name, shape in origin.inputs}),
        "archdsl.sizes": json.dumps(legal, ensure_ascii=False),
        "archdsl.dynamic": json.dumps(dynamic),
        "archdsl.settings": json.dumps(dict(origin.settings), ensure_ascii=False),
        "archdsl.text": origin.saved.texts[0].text,
        "archdsl.network": origin.saved.metadata()[KEY],
    }
