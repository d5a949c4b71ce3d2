"""How results and mistakes are printed: for people, one line each, and as data."""

from __future__ import annotations

import sys

from archdsl.cli.terminal import colours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.diagnostics import Diagnostic
    from archdsl.report.check import Report

FORMS = ("text", "short", "json", "sarif")
DATA = ("json", "sarif")  # one document, printed when everything is known


def show(diagnostic: Diagnostic, form: str) -> None:
    """Draw a diagnostic on stderr, or print it in one line."""
    from archdsl.diagnostics import render

    if form == "short":
        print(render.short(diagnostic))
        return
    drawn = render.text(diagnostic)
    print(render.coloured(drawn) if colours(sys.stderr) else drawn, file=sys.stderr)


def show_alone(diagnostic: Diagnostic, form: str) -> None:
    """Print the mistake that has ended a command."""
    diagnostics = proven([diagnostic])
    if form in DATA:
        print_found([], diagnostics, form)
    else:
        show(diagnostics[0], form)


def proven(wrong: list[Diagnostic], name: str = "") -> list[Diagnostic]:
    """Return mistakes, of a file that is meant by a name, with those edits only that mend them."""
    if all(proposal.span is None for diagnostic in wrong for proposal in diagnostic.help):
        return wrong
    from archdsl import project, saved
    from archdsl.diagnose import fix

    path = "" if name.endswith(saved.SUFFIX) else project.path_of(name)
    return fix.proven(wrong, project.read(path) if path else None)


def print_found(reports: Sequence[Report], diagnostics: Sequence[Diagnostic], form: str) -> None:
    """Print one document with everything that a check has found."""
    from archdsl.diagnostics import render

    if form == "sarif":
        print_json(render.sarif(diagnostics, explanation))
        return
    networks = [report.to_dict() for report in reports]
    print_json({"networks": networks, "diagnostics": [render.as_json(diagnostic) for diagnostic in diagnostics]})


def print_json(data: object) -> None:
    """Print plain data."""
    import json

    print(json.dumps(data, indent=2))


def print_file(text: str) -> None:
    """Print what a file holds: in UTF-8, as all files are, whatever stdout makes of texts for people."""
    raw = getattr(sys.stdout, "buffer", None)
    if raw is None:
        print(text, end="")
        return
    sys.stdout.flush()
    raw.write(text.encode())


def explanation(code: str) -> str:
    """Return what the catalogue says of a code: what is wrong, why, and an example."""
    import inspect

    from archdsl.diagnostics.errors import CATALOGUE

    return inspect.getdoc(CATALOGUE[code]) or ""
