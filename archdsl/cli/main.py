"""The command line: `archdsl check`, `compile`, `list` and `explain`.

Exit status: 0 where all is well, 1 for a mistake in a file or an argument, 2 for a bug in archdsl, 3 for one that was
found in the code that was about to be written, so that nothing is. Everything is imported on the path that needs it:
start-up is most of a check.
"""

from __future__ import annotations

import os
import sys

from archdsl.diagnostics import CompileError, Diagnostic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence
    from typing import Any

    from archdsl.compiler import Compiled, Request
    from archdsl.report.check import Report


OURS = "This is a bug in archdsl, not in your file. Please report it with the lines above."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    import gc

    gc.disable()  # a check makes few cycles and ends soon: 8 ms of 90 for DenseNet-121
    options = _parser().parse_args(arguments)
    try:
        return int(_COMMANDS[options.command](options))
    except CompileError as mistake:
        form = getattr(options, "format", "text")
        (diagnostic,) = _proven([mistake.diagnostic])
        if form in ("json", "sarif"):
            _print_data([], [diagnostic], form)
        else:
            _show(diagnostic, form)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as mistake:
        import traceback

        if type(mistake).__name__ == "Unfaithful":  # named, so that a check does not import what compiling takes
            print(f"{mistake}\nNothing was written. {OURS}", file=sys.stderr)
            return 3
        traceback.print_exc()
        print(f"\n{OURS}", file=sys.stderr)
        return 2


def _parser() -> ArgumentParser:
    import argparse

    from archdsl.cli.cost import add_parsers

    parser = argparse.ArgumentParser(
        prog="archdsl", description="Convolutional networks, written the way their papers describe them."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check networks: exact shapes, parameters, MACs")
    check.add_argument("names", nargs="+", metavar="FILE|NAME", help="an .arch file, or a bundled network")
    check.add_argument("--shapes", action="store_true", help="print one row for each layer")
    forms = ("text", "short", "json", "sarif")
    check.add_argument("--format", choices=forms, default="text", help="how results and mistakes are printed")
    check.add_argument("--fix", action="store_true", help="apply the proposed edits that cannot be wrong")
    check.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    check.add_argument("--watch", action="store_true", help="check again whenever a file is saved")
    _net_options(check)
    compile = commands.add_parser("compile", help="write a network as Python that needs only torch")
    compile.add_argument("name", metavar="FILE|NAME", help="an .arch file, or a bundled network")
    compile.add_argument("-o", "--output", metavar="OUT", help="the file to write; `-` prints it (default: NET.py)")
    compile.add_argument("--emit", choices=("python", "ir", "ast", "json"), default="python", help="what to write")
    compile.add_argument(
        "--kernels", choices=("none", "auto", "all"), default="none", help="which layers run on archdsl.kernels"
    )
    compile.add_argument("--inference", action="store_true", help="add a function that returns the network optimized")
    _net_options(compile)
    add_parsers(commands, _net_options)
    listing = commands.add_parser("list", help="list the bundled networks")
    listing.add_argument("pattern", nargs="?", default="*", help="a name with the wildcards * and ?")
    explain = commands.add_parser("explain", help="explain a diagnostic by its code")
    explain.add_argument("code", nargs="?", metavar="CODE", help="such as E0301; without it, all codes in a line each")
    return parser


def _net_options(parser: ArgumentParser) -> None:
    parser.add_argument("--net", help="the net to take, where a file has several")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the net")
    parser.add_argument("--input", action="append", default=[], metavar="1x3x224x224", help="the shape of an input")
    parser.add_argument("--outputs", default="", metavar="A,B", help="the steps to return, such as layer2,layer4")


# -------------------------------------------------------------------------------------------------- commands
def _check(options: Namespace) -> int:
    if options.watch:
        from archdsl.cli.watch import watch

        return watch(options.names, lambda: _checked(options))
    return _checked(options)


def _checked(options: Namespace) -> int:
    from archdsl.report.check import report

    if options.fix:
        _fix([name for name in options.names if name.endswith(".arch")])
    reports: list[Report] = []
    diagnostics: list[Diagnostic] = []
    for name in options.names:
        checked: list[Compiled] = []
        wrong: list[Diagnostic] = []
        for found in _wanted(name, options):
            if isinstance(found, Diagnostic):
                wrong.append(found)
                continue
            checked.append(found)
            reports.append(report(found.network))
            if options.format in ("text", "short"):
                print(reports[-1].text() if options.shapes else reports[-1].summary())
        for diagnostic in _proven(wrong, name) if wrong else _advice(checked, options):
            if diagnostics and options.format == "text":
                print(file=sys.stderr)
            diagnostics.append(diagnostic)
            if options.format in ("text", "short"):
                _show(diagnostic, options.format)
    if options.format in ("json", "sarif"):
        _print_data(reports, diagnostics, options.format)
    return int(any(options.strict or diagnostic.level == "error" for diagnostic in diagnostics))


def _proven(wrong: list[Diagnostic], name: str = "") -> list[Diagnostic]:
    """Return mistakes, of a file that is meant by a name, with those edits only that mend them."""
    if all(proposal.span is None for diagnostic in wrong for proposal in diagnostic.help):
        return wrong
    from archdsl import project
    from archdsl.diagnose.fix import proven

    return proven(wrong, project.read(project.path_of(name)) if name else None)


def _advice(checked: Sequence[Compiled], options: Namespace) -> list[Diagnostic]:
    """Return the advice on the networks of one file that has no mistakes."""
    from archdsl.compiler import nets_of
    from archdsl.diagnose.advice import advise

    file = checked[0].file
    whole = len(checked) == len(nets_of(file)) and not options.outputs and not options.set
    return advise(file, [one.network for one in checked], whole)


def _print_data(reports: Sequence[Report], diagnostics: Sequence[Diagnostic], form: str) -> None:
    """Print one document with everything that a check has found."""
    import json

    from archdsl.diagnostics import render

    if form == "sarif":
        data = render.sarif(diagnostics, _explanation)
    else:
        data = {
            "networks": [report.as_json() for report in reports],
            "diagnostics": [render.as_json(diagnostic) for diagnostic in diagnostics],
        }
    print(json.dumps(data, indent=2))


def _fix(paths: list[str]) -> None:
    from archdsl.diagnose.fix import fix_file

    for path in paths:
        for what in fix_file(path):
            print(f"fixed {what}")


def _wanted(name: str, options: Namespace) -> Iterator[Compiled | Diagnostic]:
    """Yield the checked networks that a name and the options mean, one or all that a file has; then the mistakes."""
    from archdsl.compiler import find, nets_of, start_of
    from archdsl.diagnose.survey import each
    from archdsl.diagnostics.errors import which_net

    request = _request(options)
    try:
        file, chosen = find(name)
        one = options.shapes or options.net or chosen
        nets = [options.net] if one else nets_of(file, request.params)
        if not nets:
            raise which_net(start_of(file), "", [])
    except CompileError as mistake:
        yield from _behind(mistake.diagnostic, name, options)
        return
    yield from each(name, file, [net or chosen for net in nets], request)


def _behind(mistake: Diagnostic, name: str, options: Namespace) -> list[Diagnostic]:
    """Return a mistake that keeps a file from being linked, with those behind it, of all nets or the one meant."""
    from archdsl import project
    from archdsl.diagnose.salvage import mistakes_in

    try:
        source = project.read(project.path_of(name) or name)
    except CompileError:
        return [mistake]
    stem = os.path.basename(name).removesuffix(".arch")
    return mistakes_in(source, mistake, options.net or (stem if options.shapes or stem == name else None))


def _compile(options: Namespace) -> int:
    from archdsl.compiler import compiled
    from archdsl.project import write
    from archdsl.report.check import human, report

    found = compiled(options.name, _request(options))
    text, suffix = _emitted(found, options)
    figures = report(found.network)
    if options.output == "-":
        print(text, end="")
        return 0
    path = options.output or f"{found.network.name}{suffix}"
    write(path, text)
    print(f"wrote {path}: {human(figures.params)} parameters, {human(figures.macs)} MACs, {text.count(chr(10))} lines")
    return 0


def _cost(options: Namespace) -> int:
    from archdsl.cli.cost import cost
    from archdsl.compiler import compiled

    found = compiled(options.name, _request(options))
    return cost(options, found.network)


def _sweep(options: Namespace) -> int:
    from archdsl.cli.cost import sweep

    return sweep(options)


def _search(options: Namespace) -> int:
    from archdsl.cli.cost import search

    return search(options)


def _diff(options: Namespace) -> int:
    from archdsl.cli.cost import diff
    from archdsl.compiler import Request, compiled

    left = compiled(options.left, Request(options.net_a, _parameters(options.set_a)))
    right = compiled(options.right, Request(options.net_b, _parameters(options.set_b)))
    return diff(options, left.network, right.network)


def _emitted(found: Compiled, options: Namespace) -> tuple[str, str]:
    form = options.emit
    if form == "ast":
        from archdsl.report.dump import syntax

        return syntax(found.file.module) + "\n", ".ast"
    if form == "ir":
        from archdsl.report.dump import graph

        return graph(found.network) + "\n", ".ir"
    if form == "json":
        import json

        from archdsl.report.check import report

        return json.dumps(report(found.network).as_json(), indent=2) + "\n", ".json"
    from archdsl.codegen.replay import faithful

    return faithful(found.network, kernels=options.kernels, inference=options.inference).text, ".py"


def _list(options: Namespace) -> int:
    from fnmatch import fnmatchcase

    from archdsl.compiler import Request, bundled_nets, compiled, title_of
    from archdsl.report.check import human, report

    rows = []
    for net, stem in bundled_nets():
        if fnmatchcase(net, options.pattern):
            found = compiled(stem, Request(net))
            figures = report(found.network)
            title, year = title_of(found.network)
            rows.append((net, year, human(figures.params), human(figures.macs), title))
    head = ("network", "year", "parameters", "MACs", "title")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(5)]
    for row in (head, *rows):
        print(
            "  ".join(c.rjust(w) if i in (2, 3) else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
        )
    return 0 if rows else 1


def _explain(options: Namespace) -> int:
    from archdsl.diagnostics.errors import CATALOGUE

    if options.code is None:
        for code in CATALOGUE:
            print(
                f"{code}  {_explanation(code).split('. ')[0].split(chr(10) * 2)[0].replace(chr(10), ' ').rstrip('.')}"
            )
        return 0
    code = options.code.upper()
    if code not in CATALOGUE:
        print(f"no diagnostic has the code `{options.code}`; the codes are {', '.join(CATALOGUE)}", file=sys.stderr)
        return 1
    print(f"{code}: {_explanation(code)}")
    return 0


def _explanation(code: str) -> str:
    """Return what the catalogue says of a code: what is wrong, why, and an example."""
    import inspect

    from archdsl.diagnostics.errors import CATALOGUE

    return inspect.getdoc(CATALOGUE[code]) or ""


_COMMANDS = {
    "check": _check,
    "compile": _compile,
    "cost": _cost,
    "sweep": _sweep,
    "search": _search,
    "diff": _diff,
    "list": _list,
    "explain": _explain,
}


# -------------------------------------------------------------------------------------------------- arguments
def _request(options: Namespace) -> Request:
    """Return what the options ask of a file."""
    from archdsl.compiler import Request

    names = [name.strip() for name in options.outputs.split(",") if name.strip()]
    return Request(options.net, _parameters(options.set), _sizes(options.input), outputs=names)


def _parameters(settings: list[str]) -> dict[str, Any]:
    """Read `--set growth=24`; the value is an expression of the language."""
    from archdsl.diagnostics.errors import bad_option

    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            raise bad_option("--set", setting, "expected NAME=VALUE, such as growth=24")
        found[name.strip()] = value.strip()
    return found


def _sizes(inputs: list[str]) -> tuple[tuple[int, ...], ...]:
    """Read `--input 1x3x256x256`."""
    from archdsl.diagnostics.errors import bad_option

    found = []
    for text in inputs:
        parts = text.lower().split("x")
        if not all(p.isascii() and p.isdigit() and 0 < int(p[:10]) <= 1 << 24 for p in parts):
            raise bad_option("--input", text, "expected sizes from 1 to 2**24, such as 1x3x224x224")
        found.append(tuple(int(p) for p in parts))
    return tuple(found)


def _show(diagnostic: Diagnostic, form: str) -> None:
    from archdsl.diagnostics import render

    if form == "short":
        print(render.short(diagnostic))
    else:
        drawn = render.text(diagnostic)
        print(render.coloured(drawn) if _colours() else drawn, file=sys.stderr)


def _colours() -> bool:
    """Say whether mistakes are drawn in colours: on a terminal that has them, unless NO_COLOR is set (no-color.org)."""
    import os

    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


if __name__ == "__main__":
    sys.exit(main())
