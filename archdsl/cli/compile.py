"""`archdsl compile`: a network as Python, or as any other form on the way there."""

from __future__ import annotations

from archdsl.analysis.rows import human
from archdsl.cli.options import add_name, add_request, request_of
from archdsl.compiler import compiled
from archdsl.project import write
from archdsl.report.check import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from archdsl.compiler import Compiled

SUFFIXES = {"python": ".py", "ir": ".ir", "ast": ".ast", "json": ".json"}


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_name(parser)
    parser.add_argument("-o", "--output", metavar="OUT", help="the file to write; `-` prints it (default: NET.py)")
    parser.add_argument("--emit", choices=tuple(SUFFIXES), default="python", help="what to write")
    kernels = "which layers run on archdsl.kernels"
    parser.add_argument("--kernels", choices=("none", "auto", "all"), default="none", help=kernels)
    parser.add_argument("--inference", action="store_true", help="add a function that returns the network optimized")
    add_request(parser)


def run(options: Namespace) -> int:
    """Write the file, or print it."""
    found = compiled(options.name, request_of(options))
    text = _emitted(found, options)
    figures = report(found.network)
    if options.output == "-":
        print(text, end="")
        return 0
    path = options.output or found.network.name + SUFFIXES[options.emit]
    write(path, text)
    print(f"wrote {path}: {human(figures.params)} parameters, {human(figures.macs)} MACs, {text.count(chr(10))} lines")
    return 0


def _emitted(found: Compiled, options: Namespace) -> str:
    if options.emit == "ast":
        from archdsl.report.dump import syntax

        return syntax(found.file.module) + "\n"
    if options.emit == "ir":
        from archdsl.report.dump import graph

        return graph(found.network) + "\n"
    if options.emit == "json":
        import json

        return json.dumps(report(found.network).as_json(), indent=2) + "\n"
    from archdsl.codegen.replay import faithful

    return faithful(found.network, kernels=options.kernels, inference=options.inference).text
