"""Draws diagnostics: as text with source lines and carets, on one line, as JSON or SARIF: four forms of one object."""

from __future__ import annotations

import re

from archdsl.core.source import Span, one_line, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from archdsl.core.source import Source
    from archdsl.diagnostics import Diagnostic, Help, Label

WIDEST_LINE = 160  # a longer source line is shown as a window around the caret


def text(diagnostic: Diagnostic) -> str:
    """Draw a diagnostic in full, the way rustc does."""
    primary = diagnostic.primary
    shown = [primary, *[label for label in diagnostic.secondary if label.span.source == primary.span.source]]
    gutter = " " * len(str(max(label.span.line for label in shown)))
    lines = [f"{diagnostic.level}[{diagnostic.code}]: {one_line(diagnostic.title)}", *_snippet(*shown)]
    facts = [("note", note.text) for note in diagnostic.notes if note.span is None]
    facts += [("help", proposal.text) for proposal in diagnostic.help if proposal.span is None]
    if facts:
        lines.append(f"{gutter} |")
    for kind, fact in facts:
        first, *rest = fact.split("\n")
        lines += [f"{gutter} = {kind}: {first}", *[f"{gutter}         {line}" for line in rest]]
    for note in diagnostic.notes:
        if note.span is not None:
            lines += [f"note: {note.text}", *_snippet_plain(note.span, note.label)]
    for proposal in diagnostic.help:
        if proposal.span is not None:
            lines += _help(proposal, proposal.span)
    return visible("\n".join(lines))


RED, YELLOW, GREEN, BLUE, PLAIN = "\033[1;31m", "\033[1;33m", "\033[32m", "\033[34m", "\033[0m"
COLOURS = (  # the part of a line, and its colour
    (r"^error\[E\d+\]", RED),
    (r"^warning\[W\d+\]", YELLOW),
    (r"(?<= \| ) *\^+.*$", RED),
    (r"(?<= \| ) *-+(?= |$)", BLUE),
    (r"^ *-->|^ *\d* \||^\.\.\.$", BLUE),
    (r"^(?: *= )?help:|^\d+ \+ .*$", GREEN),
    (r"^(?: *= )?note:", BLUE),
    (r"^\d+ - .*$", RED),
)


def coloured(drawn: str) -> str:
    """Return a drawn diagnostic with the colours of a terminal."""
    return "\n".join(map(_coloured, drawn.split("\n")))


def _coloured(line: str) -> str:
    for pattern, colour in COLOURS:
        line = re.sub(pattern, lambda found, colour=colour: f"{colour}{found.group()}{PLAIN}", line, count=1)  # type: ignore[misc]
    return line


def short(diagnostic: Diagnostic) -> str:
    """Draw a diagnostic as one line: `path:line:col: error[E0301]: title: what is wrong there`."""
    label = f": {diagnostic.primary.text}" if diagnostic.primary.text else ""
    return one_line(f"{diagnostic.primary.span}: {diagnostic.level}[{diagnostic.code}]: {diagnostic.title}{label}")


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """Return a diagnostic as plain data, for editors and scripts."""
    return {
        "level": diagnostic.level,
        "code": diagnostic.code,
        "title": diagnostic.title,
        "primary": _label_json(diagnostic.primary),
        "secondary": [_label_json(label) for label in diagnostic.secondary],
        "notes": [{"text": n.text} | ({"place": _place(n.span)} if n.span else {}) for n in diagnostic.notes],
        "help": [
            {"text": h.text} | ({"place": _place(h.span), "replacement": h.replacement} if h.span else {})
            for h in diagnostic.help
        ],
    }


def sarif(diagnostics: Sequence[Diagnostic], explain: Callable[[str], str]) -> dict[str, Any]:
    """Return diagnostics as a SARIF 2.1.0 log, which code hosts show on the lines of a pull request.

    `explain` gives the explanation of a code.
    """
    from importlib.metadata import version

    codes = sorted({diagnostic.code for diagnostic in diagnostics})
    rules = [_rule(code, explain(code)) for code in codes]
    driver = {"name": "archdsl", "version": version("archdsl"), "rules": rules}
    results = [_result(diagnostic, codes.index(diagnostic.code)) for diagnostic in diagnostics]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _rule(code: str, explanation: str) -> dict[str, Any]:
    first = " ".join(explanation.split("\n\n")[0].split())
    return {"id": code, "shortDescription": {"text": first}, "fullDescription": {"text": explanation}}


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    facts = [diagnostic.primary.text, *(note.text for note in diagnostic.notes), *(h.text for h in diagnostic.help)]
    fixes = [_fix(proposal, proposal.span) for proposal in diagnostic.help if proposal.span is not None]
    result = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.level,
        "message": {"text": "\n".join([diagnostic.title, *(fact for fact in facts if fact)])},
        "locations": [_location(diagnostic.primary.span)],
        "relatedLocations": [
            _location(label.span) | {"message": {"text": label.text}} for label in diagnostic.secondary
        ],
    }
    return result | ({"fixes": fixes} if fixes else {})


def _fix(proposal: Help, span: Span) -> dict[str, Any]:
    """Return an edit, which whoever reads the log may apply."""
    replacement = {"deletedRegion": _region(span), "insertedContent": {"text": proposal.replacement}}
    change = {"artifactLocation": _artifact(span), "replacements": [replacement]}
    return {"description": {"text": proposal.text}, "artifactChanges": [change]}


def _location(span: Span) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": _artifact(span), "region": _region(span)}}


def _artifact(span: Span) -> dict[str, Any]:
    from urllib.parse import quote

    name = span.source.name.replace("\\", "/").encode("utf-8", "surrogateescape")
    return {"uri": quote(name, safe="/:-~")}


def _region(span: Span) -> dict[str, Any]:
    """Return a place by lines and columns, both from 1, the end after the last character, and by offsets from 0."""
    end = Span(span.source, max(span.start, span.end), span.end)
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": end.line,
        "endColumn": end.column,
        "charOffset": span.start,
        "charLength": end.start - span.start,
    }


def _label_json(label: Label) -> dict[str, Any]:
    return {"text": label.text, "place": _place(label.span)}


def _place(span: Span) -> dict[str, Any]:
    return {
        "file": span.source.name,
        "line": span.line,
        "column": span.column,
        "start": span.start,
        "end": span.end,
    }


def _snippet(primary: Label, *secondary: Label) -> list[str]:
    """Draw the lines of all labels, in order, carets under the primary one and dashes under the others."""
    span = primary.span
    marks = [(primary.span.line, "^", primary)] + [(label.span.line, "-", label) for label in secondary]
    marks.sort(key=lambda mark: (mark[0], mark[2].span.start))
    width = len(str(marks[-1][0]))
    if not span.source.text:  # a name that was given, or a file that cannot be read
        return [f"{' ' * width}--> {one_line(span.source.name)}"]
    lines = [f"{' ' * width}--> {span}", f"{' ' * width} |"]
    shown = 0
    for number, sign, label in marks:
        if number != shown:
            if shown and number > shown + 1:
                lines.append("...")
            lines.append(f"{number:>{width}} | {_window(span.source, number, label.span)[0]}".rstrip())
            shown = number
        line, column = _window(span.source, number, label.span)
        length = max(1, min(label.span.end, _line_end(label.span)) - label.span.start)
        before, under = _columns(line[:column]), max(1, _columns(line[column : column + length].ljust(length)))
        lines.append(f"{' ' * width} | {' ' * before}{sign * min(under, WIDEST_LINE - column)} {label.text}".rstrip())
    return lines


def _snippet_plain(span: Span, label: str) -> list[str]:
    from archdsl.diagnostics import Label

    return _snippet(Label(span, label))


def _window(source: Source, number: int, span: Span) -> tuple[str, int]:
    """Return a source line, cut around the span where it is very long, and the column of the span in it, from 0."""
    shown, column = _shown(source.line(number)), span.column - 1
    if len(shown) <= WIDEST_LINE:
        return shown, column
    start = max(0, column - WIDEST_LINE // 2)
    return shown[start : start + WIDEST_LINE], column - start


def _shown(line: str) -> str:
    """Return a source line with a stand-in for each character that a terminal would obey or hide."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _line_end(span: Span) -> int:
    end = span.source.text.find("\n", span.start)
    return len(span.source.text) if end < 0 else end


def _help(proposal: Help, span: Span) -> list[str]:
    source, number = span.source, span.line
    line, column = source.line(number), span.column - 1
    if len(line) > WIDEST_LINE:
        return [f"help: {proposal.text}"]
    mended = _shown(line[:column] + proposal.replacement + line[column + span.end - span.start :])
    width = len(str(number))
    return [f"help: {proposal.text}", f"{' ' * width} |", f"{number} - {_shown(line)}", f"{number} + {mended}"]
