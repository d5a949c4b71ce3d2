"""`archdsl compress`: a network as a file of a few hundredths of its size."""

from __future__ import annotations

import sys
import warnings

from archdsl.analysis.columns import View
from archdsl.cli.options import add_name, number_of, settings_of
from archdsl.cli.show import print_json
from archdsl.cli.status import TROUBLE, YES
from archdsl.cli.terminal import width
from archdsl.compiler import Request, compiled
from archdsl.diagnostics import errors
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_name(parser)
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the file to write, .archz")
    density = "the share of weights that each layer keeps; `conv`, `linear` and names of layers may have their own"
    parser.add_argument("--density", action="append", required=True, metavar="[LAYER=]SHARE", help=density)
    bits = "2**BITS values are shared by the weights of a layer (default: conv=8, linear=5)"
    parser.add_argument("--bits", action="append", default=[], metavar="[LAYER=]BITS", help=bits)
    weights = "a file of weights, or a repository of the hub (default: random ones)"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--net", help="the net to take, where a file has several")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the net")
    parser.add_argument("--force", action="store_true", help="replace a file that archdsl did not write")
    parser.add_argument("--json", action="store_true", help="print plain data")


def run(options: Namespace) -> int:
    """Write the file, and print what each layer takes in it."""
    density = rules("--density", options.density)
    bits = rules("--bits", options.bits)
    found = compiled(options.name, Request(options.net, settings_of(options.set)))
    with Needing("`archdsl compress`"):
        from archdsl.compression.compress import BITS, How, written
    from archdsl.run.mistakes import WeightsError

    how = How(options.output, density, bits or BITS, force=options.force)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            made = written(found, options.weights, how)
        except FileNotFoundError as problem:
            raise errors.unreadable(errors.place_of(options.weights), f"no file `{options.weights}`") from problem
        except WeightsError as problem:
            print(f"error: {problem}\nNothing was written.", file=sys.stderr)
            return TROUBLE
    for warning in said:
        print(f"warning: {warning.message}", file=sys.stderr)
    if options.json:
        print_json(made.to_dict())
        return YES
    print(made.text(View(width=width())))
    return YES


def rules(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Read `0.33`, or `classifier.*=0.1`; what is there for a layer comes before what is there for all."""
    found = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        number = number_of(value)
        if number is None or (equals and not name.strip()):
            raise errors.bad_option(option, text, "expected a number, or LAYER=NUMBER, such as classifier.*=0.1")
        found[name.strip() or "*"] = number
    return dict(sorted(found.items(), key=lambda rule: rule[0] == "*"))
