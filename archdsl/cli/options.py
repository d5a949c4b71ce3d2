"""The options that several commands have, and how they are read: `FILE|NAME --net --set --input --outputs`."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from functools import cache

from archdsl import project
from archdsl.analysis.columns import View
from archdsl.cli.terminal import width
from archdsl.compiler import Request
from archdsl.diagnostics.errors import bad_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from archdsl.core.source import Source

LARGEST = 1 << 24
STDIN = "-"
NAME = "an .arch file, `-` for standard input, or a bundled network"


def add_name(parser: ArgumentParser) -> None:
    """Add `FILE|NAME`."""
    parser.add_argument("name", metavar="FILE|NAME", help=NAME)
    take_stdin()


def take_stdin() -> None:
    """Let `-` be the name of standard input, which is read once, where it is first asked for; it imports from here."""

    def read() -> Source:
        return project.decoded("<stdin>", sys.stdin.buffer.read(project.MAX_BYTES + 1), STDIN)

    project.TEXTS[STDIN] = cache(read)


def add_request(parser: ArgumentParser) -> None:
    """Add the options that `request_of` reads."""
    parser.add_argument("--net", help="the net to take, where a file has several")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the net")
    parser.add_argument("--input", action="append", default=[], metavar="1x3x224x224", help="the shape of an input")
    parser.add_argument("--outputs", default="", metavar="A,B", help="the steps to return, such as layer2,layer4")
    finer = "let no map be more than N times coarser than the input: windows are dilated instead"
    parser.add_argument("--output-stride", type=positive, metavar="N", help=finer)


def add_view(parser: ArgumentParser) -> None:
    """Add the options of tables, which `view_of` reads."""
    parser.add_argument("--columns", default="", metavar="A,B", help="the columns of the table, such as layer,output")
    folded = "fold what lies deeper; 1 shows the outermost steps"
    parser.add_argument("--depth", type=positive, metavar="N", help=folded)


def view_of(options: Namespace) -> View:
    """Return how a table is shown: as asked, and within the terminal."""
    return View(names_of(options.columns), options.depth, width())


def refuse_view(options: Namespace) -> None:
    """Raise `CompileError` for options of a table where none is printed."""
    for option, given in (("--columns", options.columns), ("--depth", options.depth)):
        if given:
            raise bad_option(option, str(given), "this is of the table that people read, and here is none")


def request_of(options: Namespace) -> Request:
    """Return what the options ask of a file; raises `CompileError`."""
    shapes = tuple(shape_of(text, text) for text in options.input)
    settings, outputs = settings_of(options.set), names_of(options.outputs)
    return Request(options.net, settings, shapes, outputs=outputs, output_stride=options.output_stride)


def settings_of(texts: Sequence[str]) -> dict[str, str]:
    """Read `--set growth=24`; the value is an expression of the language."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            raise bad_option("--set", text, "expected NAME=VALUE, such as growth=24")
        found[name.strip()] = value.strip()
    return found


def shape_of(text: str, option: str) -> tuple[int, ...]:
    """Read `1x3x256x256`, which may be a part of what `--input` was given."""
    sizes = text.lower().split("x")
    if not all(_is_positive(size) for size in sizes):
        raise bad_option("--input", option, "expected sizes from 1 to 2**24, such as 1x3x224x224")
    return tuple(map(int, sizes))


def names_of(text: str) -> tuple[str, ...]:
    """Read `layer2,layer4`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def number_of(text: str) -> float | None:
    """Read a number; None for anything else."""
    try:
        return int(text) if text.strip().lstrip("-").isdigit() else float(text)
    except ValueError:
        return None


def positive(text: str) -> int:
    """Read an integer from 1 to 2**24."""
    if not _is_positive(text):
        raise ArgumentTypeError(f"expected an integer from 1 to 2**24, not {text!r}")
    return int(text)


def natural(text: str) -> int:
    """Read an integer from 0 to 2**24."""
    return 0 if text == "0" else positive(text)


def _is_positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text[:10]) <= LARGEST
