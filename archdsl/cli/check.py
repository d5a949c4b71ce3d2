"""`archdsl check`: shapes, parameters and MACs of networks, and what is wrong with their files."""

from __future__ import annotations

import os
import sys

from archdsl import project
from archdsl.cli.options import NAME, STDIN, add_request, add_view, refuse_view, request_of, take_stdin, view_of
from archdsl.cli.show import DATA, FORMS, print_found, proven, show
from archdsl.cli.status import NO, YES, status_of
from archdsl.compiler import find, nets_of, start_of
from archdsl.diagnose.advice import advise
from archdsl.diagnose.survey import each
from archdsl.diagnostics import CompileError, Diagnostic
from archdsl.diagnostics.errors import bad_option, which_net
from archdsl.report.check import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from archdsl.compiler import Compiled, Request
    from archdsl.report.check import Report


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("names", nargs="+", metavar="FILE|NAME", help=NAME)
    parser.add_argument("--shapes", action="store_true", help="print one row for each layer")
    parser.add_argument("--format", choices=FORMS, default="text", help="how results and mistakes are printed")
    parser.add_argument("--fix", action="store_true", help="apply the proposed edits that cannot be wrong")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--watch", action="store_true", help="check again whenever a file is saved")
    add_view(parser)
    add_request(parser)
    take_stdin()


def run(options: Namespace) -> int:
    """Check once, or whenever a file is saved."""
    if options.format in DATA:
        refuse_view(options)
    options.shapes = options.shapes or bool(options.columns) or options.depth is not None
    for option in ("--fix", "--watch"):
        if STDIN in options.names and getattr(options, option[2:]):
            raise bad_option(option, STDIN, "standard input is no file that could be saved")
    if options.watch:
        from archdsl.cli.watch import watch

        return watch(options.names, lambda: _checked(options))
    return _checked(options)


def _checked(options: Namespace) -> int:
    if options.fix:
        _fix([name for name in options.names if name.endswith(".arch")])
    request, view = request_of(options), view_of(options)
    reports: list[Report] = []
    diagnostics: list[Diagnostic] = []
    for name in options.names:
        checked: list[Compiled] = []
        wrong: list[Diagnostic] = []
        for found in _wanted(name, request, options):
            if isinstance(found, Diagnostic):
                wrong.append(found)
                continue
            checked.append(found)
            reports.append(report(found.network))
            if options.format not in DATA:
                print(reports[-1].text(view) if options.shapes else reports[-1].summary())
        for diagnostic in proven(wrong, name) if wrong else _advice(checked, request):
            if diagnostics and options.format == "text":
                print(file=sys.stderr)
            diagnostics.append(diagnostic)
            if options.format not in DATA:
                show(diagnostic, options.format)
    if options.format in DATA:
        print_found(reports, diagnostics, options.format)
    least = NO if diagnostics and options.strict else YES
    return max([least, *map(status_of, diagnostics)])


def _fix(paths: list[str]) -> None:
    from archdsl.diagnose.fix import fix_file

    for path in paths:
        for what in fix_file(path):
            print(f"fixed {what}")


def _wanted(name: str, request: Request, options: Namespace) -> Iterator[Compiled | Diagnostic]:
    """Yield the checked networks that a name and the options mean, one or all that a file has; then the mistakes."""
    try:
        file, chosen = find(name)
        one = options.shapes or request.net or chosen
        nets = [request.net or chosen] if one else nets_of(file, request.params)
        if not nets:
            raise which_net(start_of(file), "", [])
    except CompileError as mistake:
        yield from _salvaged(mistake.diagnostic, name, options)
        return
    yield from each(name, file, nets, request)


def _salvaged(mistake: Diagnostic, name: str, options: Namespace) -> list[Diagnostic]:
    """Return a mistake that keeps a file from being linked, with those after it, of all nets or the one meant."""
    from archdsl.diagnose.salvage import mistakes_in

    try:
        source = project.read(project.path_of(name) or name)
    except CompileError:
        return [mistake]
    stem = os.path.basename(name).removesuffix(".arch")
    return mistakes_in(source, mistake, options.net or (stem if options.shapes or stem == name else None))


def _advice(checked: Sequence[Compiled], request: Request) -> list[Diagnostic]:
    """Return the advice on the networks of one file that has no mistakes."""
    file = checked[0].file
    whole = len(checked) == len(nets_of(file)) and not request.outputs and not request.params
    return advise(file, [one.network for one in checked], whole)
