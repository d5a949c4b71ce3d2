"""`archdsl diff`: two networks side by side."""

from __future__ import annotations

from archdsl.analysis.diff import compare
from archdsl.cli.options import NAME, settings_of, take_stdin
from archdsl.cli.show import print_json, show_alone
from archdsl.cli.status import NO, TROUBLE, YES
from archdsl.compiler import Request, compiled
from archdsl.diagnostics import CompileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("left", metavar="A", help=NAME)
    parser.add_argument("right", metavar="B", help="another, or the same with --set-b")
    parser.add_argument("--net-a", help="the net of A to take, where a file has several")
    parser.add_argument("--net-b", help="the net of B to take")
    parser.add_argument("--set-a", action="append", default=[], metavar="NAME=VALUE", help="a parameter of A")
    parser.add_argument("--set-b", action="append", default=[], metavar="NAME=VALUE", help="a parameter of B")
    parser.add_argument("--json", action="store_true", help="print plain data")
    parser.add_argument("-o", "--output", metavar="OUT", help="draw both, with what differs: .svg, .html, .pdf, .png")
    take_stdin()


def run(options: Namespace) -> int:
    """Compare; as with `diff`, status 1 says that the networks differ, so a network with a mistake is 2."""
    try:
        left = compiled(options.left, Request(options.net_a, settings_of(options.set_a)))
        right = compiled(options.right, Request(options.net_b, settings_of(options.set_b)))
    except CompileError as mistake:
        show_alone(mistake.diagnostic, "text")
        return TROUBLE
    found = compare(left.network, right.network)
    if options.output:
        from archdsl.drawing.comparing import compared

        compared(left.network, right.network).save(options.output)
    if options.json:
        print_json(found.to_dict())
    else:
        print(found)
    return NO if found.changes else YES
