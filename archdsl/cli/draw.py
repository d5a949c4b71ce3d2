"""`archdsl draw`: a network as a picture on one page."""

from __future__ import annotations

from archdsl.cli.options import add_name, add_request, natural, request_of
from archdsl.cli.show import print_file
from archdsl.compiler import compiled
from archdsl.drawing.drawing import drawn
from archdsl.drawing.measures import MEASURES
from archdsl.drawing.themes import THEMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_name(parser)
    output = "the file to write, .svg, .html, .pdf or .png; `-` prints SVG (default: NET.svg)"
    parser.add_argument("-o", "--output", metavar="OUT", help=output)
    parser.add_argument("--by", choices=MEASURES, default="macs", help="what figures and colours count (default: macs)")
    depth = "unfold blocks in place to this depth (default: draw their insides beside the net)"
    parser.add_argument("--depth", type=natural, metavar="N", help=depth)
    parser.add_argument("--theme", choices=THEMES, default="auto", help="colours (default: auto, the reader's)")
    add_request(parser)


def run(options: Namespace) -> int:
    """Write the picture, or print it."""
    network = compiled(options.name, request_of(options)).network
    drawing = drawn(network, options.by, options.depth, options.theme)
    if options.output == "-":
        print_file(drawing.svg())
        return 0
    path = options.output or f"{network.name}.svg"
    drawing.save(path)
    print(f"wrote {path}: {drawing.page.width:.0f}x{drawing.page.height:.0f}")
    return 0
