"""What the page of the playground is told: mistakes, shapes, costs, a drawing and the Python of a text.

The page, `editors/playground/`, runs this in a worker of the browser. Texts go in and JSON comes out, which needs no
proxies between the two languages; offsets count UTF-16 units, as the page does. As in the language server, a change is
answered in two steps: `look` is of one net and takes milliseconds, `everything` goes through all nets.
"""

from __future__ import annotations

import json

from archdsl import project
from archdsl.analysis.table import table
from archdsl.compiler import nets_of
from archdsl.diagnose import fix
from archdsl.diagnostics import CompileError, render
from archdsl.report.check import report
from archdsl.server.analysis import Analysis, Linked, all_of, looked_at
from archdsl.server.steps import Steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.source import Source, Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.ir.network import Network
    from archdsl.syntax import tree


class Playground:
    """One text, with what is known of it; it imports from the gallery alone.

    Views are of the last network that the net had: while one types, a text is broken more often than not.
    """

    def __init__(self) -> None:
        self.trees: dict[str, tree.Module] = {}
        self.analysis = Analysis(project.source_of("mine.arch", ""))
        self.latest: Network | None = None
        self.net: str | None = None  # whose network that is

    def look(self, name: str, text: str, net: str) -> str:
        """Take a text and check one of its nets, the one that is wanted where it has that.

        Answers with the nets, the one that was checked, its mistakes, its figures, and the shape of each line.
        """
        before = self.analysis.source.name
        try:
            source = project.source_of(f"{name}.arch", text)
        except CompileError as mistake:
            place = mistake.diagnostic.primary.span
            self.analysis = Analysis(place.source, mistakes=(mistake.diagnostic,))
        else:
            self.analysis = looked_at(source, Linked(_nothing_is_open, self.trees), net or None)
        found = self.analysis
        network = found.network
        if network is not None or found.source.name != before or found.net not in (None, self.net):
            self.latest, self.net = network, found.net
        return json.dumps(
            {
                "nets": nets_of(found.file) if found.file is not None else [],
                "net": found.net or "",
                "summary": report(network).summary() if network is not None else "",
                "shapes": list(_shapes(network, found.source)) if network is not None else None,
                "mistakes": [_told(mistake.in_words(), found.source) for mistake in found.mistakes],
            }
        )

    def everything(self) -> Iterator[str]:
        """Yield nothing wherever something else may be done first, and at last all mistakes and advice, with edits.

        Of mistakes those edits are there that mend; each was tried.
        """
        found: list[Diagnostic] = []
        shown: list[Diagnostic] = []
        source = self.analysis.source
        for one in all_of(self.analysis):
            if one is None:
                yield ""
            else:
                found.append(one)
        wrong = [one for one in found if one.level == "error"]
        advice = [one for one in found if one.level != "error"]
        for one in fix.proving(wrong, source):
            shown.append(one)
            yield ""
        yield json.dumps([_told(one, source) for one in [*shown, *advice]])

    def drawing(self, by: str, theme: str) -> str:
        """Return the picture of the net, as SVG; nothing where there is none."""
        from archdsl.drawing.drawing import drawn

        network = self.latest
        return drawn(network, by).svg(theme) if network is not None else ""

    def costs(self, by: str, optimizer: str) -> str:
        """Return the table of costs with a row a layer, a block or a kind of operator, and the peaks of memory."""
        from archdsl.report.cost import CostReport, peaks

        network = self.latest
        if network is None:
            return "null"
        grid = CostReport(table(network), by, peaks(network, "float32", 1, optimizer)).grid()
        return json.dumps({name: getattr(grid, name) for name in ("title", "head", "rows", "left", "notes")})

    def python(self) -> str:
        """Return the Python of the net, as `archdsl compile` writes it; nothing where there is none."""
        from archdsl.codegen.replay import faithful

        network = self.latest
        return faithful(network).text if network is not None else ""

    def formatted(self) -> str:
        """Return the text in the common layout; one that is broken stays as it is."""
        from archdsl.syntax.formatter import formatted

        try:
            return formatted(self.analysis.source)
        except CompileError:
            return self.analysis.source.text


def _nothing_is_open(path: str) -> None:
    """Return the text of another file that is open, which there is not."""


def _shapes(network: Network, source: Source) -> Iterator[dict[str, Any]]:
    """Yield the shape of each line that has a step: the line, what stands at its end, and what more can be said."""
    lines = {source.line_of(last): place for last, place in Steps(network, source.path).ends(source.text)}
    for line, place in sorted(lines.items()):
        yield {"line": line, "text": place.brief(), "more": place.listed()}


def _told(diagnostic: Diagnostic, source: Source) -> dict[str, Any]:
    """Return a diagnostic for the page; one of another file stands at the start of the text."""
    start, end = _place(diagnostic.primary.span, source)
    edits = [help for help in diagnostic.help if help.span is not None and help.span.source.path == source.path]
    return {
        "from": start,
        "to": end,
        "level": diagnostic.level,
        "code": diagnostic.code,
        "title": diagnostic.title,
        "label": diagnostic.primary.text,
        "text": render.text(diagnostic),
        "edits": [_edit(help.text, help.span, help.replacement, source) for help in edits if help.span is not None],
    }


def _edit(text: str, span: Span, replacement: str, source: Source) -> dict[str, Any]:
    start, end = _units(source.text, span.start), _units(source.text, span.end)
    return {"text": text, "from": start, "to": end, "insert": replacement}


def _place(span: Span, source: Source) -> tuple[int, int]:
    """Return a place in the text: at least a character, so that something is marked."""
    if span.source.path != source.path:
        return 0, 0
    text = source.text
    end = min(max(span.end, span.start + 1), len(text))
    return _units(text, min(span.start, end)), _units(text, end)


def _units(text: str, offset: int) -> int:
    """Return an offset in the units of JavaScript."""
    before = text[:offset]
    return offset if before.isascii() else len(before.encode("utf-16-le", "surrogatepass")) // 2
