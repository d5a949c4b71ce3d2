"""`archdsl export`: a network as a file for another program: ONNX, PyTorch's `.pt2`, OpenVINO's own."""

from __future__ import annotations

import sys
import warnings

from archdsl.cli.options import add_name, add_request, request_of
from archdsl.cli.status import NO, TROUBLE, YES
from archdsl.compiler import compiled
from archdsl.diagnostics.errors import place_of, unreadable
from archdsl.diagnostics.extras import Needing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

FORMATS = {"onnx": ".onnx", "pt2": ".pt2", "openvino": ".xml"}


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_name(parser)
    output = "the file to write, .onnx, .pt2 or .xml (default: NET.onnx)"
    parser.add_argument("-o", "--output", metavar="OUT", help=output)
    what = "what to write (default: what the name of the file says)"
    parser.add_argument("--format", choices=tuple(FORMATS), help=what)
    weights = "a file of weights, or a repository of the hub (default: random ones)"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--dynamic", action="store_true", help="take any batch and every legal height and width")
    int8 = "eight bits a number, calibrated on these: a folder of images, or a .npy file as the network takes them"
    parser.add_argument("--int8", metavar="IMAGES", help=int8)
    parser.add_argument("--force", action="store_true", help="replace a file that archdsl did not write")
    add_request(parser)


def run(options: Namespace) -> int:
    """Write the file; what is new or was adapted of the weights goes to stderr."""
    found = compiled(options.name, request_of(options))
    path = options.output or found.network.name + FORMATS[options.format or "onnx"]
    with Needing("`archdsl export`"):
        from archdsl.deploy import ExportFailed, How, written
    from archdsl.run.mistakes import WeightsError

    how = How(path, options.format, options.dynamic, options.force, options.int8)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            made = written(found, options.weights, how)
        except FileNotFoundError as problem:
            raise unreadable(place_of(options.weights), f"no file `{options.weights}`") from problem
        except (ExportFailed, WeightsError) as problem:
            print(f"error: {problem}\nNothing was written.", file=sys.stderr)
            return NO if isinstance(problem, ExportFailed) else TROUBLE
    for warning in said:
        print(f"warning: {warning.message}", file=sys.stderr)
    print(f"wrote {made}")
    return YES
