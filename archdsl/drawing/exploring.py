"""A network as one HTML file to be explored: what its page knows, as plain data.

The page lays boxes out by itself, as it unfolds them. It evaluates sizes and costs from their formulas, so that nothing
has to be asked of anybody.
"""

from __future__ import annotations

import json
from fractions import Fraction
from html import escape
from math import prod
from pathlib import Path

from archdsl.analysis.costs import Costs
from archdsl.analysis.field import Fields
from archdsl.analysis.forms import closed
from archdsl.analysis.legal import legal_sizes
from archdsl.analysis.memory import course
from archdsl.analysis.rows import Rows
from archdsl.drawing import layers
from archdsl.drawing.building import picture
from archdsl.drawing.drawing import drawn
from archdsl.explore.sweep import Evaluation
from archdsl.explore.symbolic import fitted, symbols_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from archdsl.analysis.forms import Polynomial
    from archdsl.analysis.rows import Row
    from archdsl.compiler import Compiled
    from archdsl.core.source import Source
    from archdsl.drawing.boxes import Box, Graph
    from archdsl.ir.network import Network

DEEP = 99  # levels of blocks: all
FIGURES = ("macs", "params", "memory")  # in the order in which the page offers them
PARAMETERS = 4  # of a net for which closed forms are sought: each takes nine elaborations a step
STEPS = (Fraction(1), Fraction(8))  # of a parameter
NOTHING = {
    "name": "", "facts": "", "graph": {"boxes": [], "wires": [], "rows": []}, "picture": "", "rows": [], "sources": [],
    "costs": {"params": "0", "macs": "0", "bytes": "0", "once": "0"}, "sizes": [], "fixed": False, "params": [],
}  # fmt: skip


def explorer(found: Compiled | None, stamp: str = "", mistakes: str = "") -> str:
    """Return a page of HTML with a network in it; with a `stamp`, it asks its server whether that is still the latest.

    Then it has no closed forms in parameters, which take seconds. `mistakes` are shown above
    the network, which is then the last one that had none; there may be none at all.
    """
    data = (known(found, forms=not stamp) if found is not None else NOTHING) | {
        "live": bool(stamp),
        "stamp": stamp,
        "mistakes": mistakes,
    }
    folder = Path(__file__).parent / "explorer"
    page, style, script = [(folder / f"page.{form}").read_text(encoding="utf-8") for form in ("html", "css", "js")]
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    parts = {"TITLE": escape(str(data["name"])), "STYLE": style, "DATA": text, "SCRIPT": script}
    for name, part in parts.items():
        page = page.replace(f"<!--{name}-->", part, 1)
    return page


def known(found: Compiled, forms: bool = True) -> dict[str, Any]:
    """Return what the page knows of a network; `forms` are those of its costs in its parameters."""
    network = found.network
    sources: list[Source] = [network.source]
    pictures = {by: picture(network, by, DEEP) for by in FIGURES}
    form = closed(network)
    return {
        "name": network.name,
        "facts": pictures["macs"].facts,
        "graph": _graph([pictures[by].graph for by in FIGURES]),
        "picture": drawn(network).svg(),
        "rows": list(_rows(network, sources)),
        "sources": [{"name": source.name, "text": source.text} for source in sources],
        "costs": {
            "params": str(form.params),
            "macs": form.macs.text(),
            "bytes": form.bytes.text(),
            "once": str(form.bytes.once),
        },
        "sizes": _sizes(network),
        "fixed": not form.free,
        "params": list(_parameters(found)) if forms else [],
    }


def _graph(graphs: Sequence[Graph]) -> dict[str, Any]:
    """Return the boxes of a graph, its wires, and which boxes stand in which row; `graphs` differ in figures only."""
    graph = graphs[0]
    request = layers.Request(
        ((100.0, 30.0),) * len(graph.boxes),
        tuple([layers.Link(wire.source, wire.target, 50.0, 50.0) for wire in graph.wires]),
        graph.inputs,
        tuple([at for at in graph.outputs if graph.boxes[at].kind == "point"]),
    )
    return {
        "boxes": [_box(boxes) for boxes in zip(*[each.boxes for each in graphs])],
        "wires": [
            [wire.source, wire.target, [str(dim) for dim in wire.shape[1:]] if wire.label else []]
            for wire in graph.wires
        ],
        "rows": layers.rows(request),
    }


def _box(boxes: Sequence[Box]) -> dict[str, Any]:
    box = boxes[0]
    inside = [each.inside for each in boxes if each.inside is not None]
    return {
        "kind": box.kind,
        "text": box.text,
        "more": box.more,
        "count": box.count,
        "paths": box.paths,
        "figures": [each.figure for each in boxes],
        "open": not box.called,  # a block is closed at first, a labelled body open
        "inside": _graph(inside) if inside else None,
    }


def _rows(network: Network, sources: list[Source]) -> Iterator[dict[str, Any]]:
    """Yield the steps, those of blocks below them; `sources` gets the texts that have them."""
    follow, live = Fields(network), course(network)
    for row in Rows(Costs(), follow).of(network.scope, follow.inputs):
        assert row.span is not None, "rows of a network have places"
        if row.span.source not in sources:
            sources.append(row.span.source)
        yield {
            "depth": row.depth,
            "name": row.name,
            "path": row.path,
            "what": row.what,
            "count": row.count,
            "shape": [str(dim) for dim in row.shape[1:]],
            "params": row.params,
            "macs": row.macs,
            "field": _field(row),
            "live": live.get(row.path, 0),
            "place": [sources.index(row.span.source), row.span.line],
        }


def _field(row: Row[Any]) -> list[int]:
    """Return the height and the width of a receptive field; nothing where there is none, or all is seen."""
    return [] if row.field is None or row.field.whole else list(row.field.size)


def _sizes(network: Network) -> list[dict[str, Any]]:
    """Return the sizes of the inputs, and which of them are legal."""
    defaults = {symbol.name: symbol.default for symbol in network.symbols}
    return [
        {
            "name": legal.name,
            "default": defaults[legal.name],
            "ranges": legal.ranges,
            "start": legal.start,
            "period": legal.period,
            "residues": legal.residues,
            "rule": str(legal),
        }
        for legal in legal_sizes(network)
    ]


def _parameters(found: Compiled) -> Iterator[dict[str, Any]]:
    """Yield the parameters of the net in which its costs are polynomials, with these."""
    network = found.network
    given = dict(network.scope.args)
    numbers = [name for name, value in given.items() if type(value) in (int, float)]
    evaluation = Evaluation(network.source.name, network.name, given, found.file, found.request)
    for name in numbers[:PARAMETERS]:
        start = Fraction(str(given[name]))
        fit = fitted(evaluation, name, start, steps=STEPS, at_default=True)
        if fit is not None:
            step, forms = fit
            yield {
                "name": name,
                "default": float(start),
                "step": float(step),
                "forms": {figure: _at_default(form, network) for figure, form in forms.items()},
            }


def _at_default(form: Polynomial, network: Network) -> list[tuple[float, int]]:
    """Return the coefficients and powers of a polynomial in a parameter and the sizes, where these are the default."""
    names = symbols_of(network)
    sizes = [symbol.default for symbol in network.symbols if symbol.name in names]
    found: dict[int, Fraction] = {}
    for (power, *others), factor in form.items():
        value = factor * prod([size**other for size, other in zip(sizes, others)])
        found[power] = found.get(power, Fraction(0)) + value
    return [(float(value), power) for power, value in found.items()]
