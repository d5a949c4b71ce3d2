"""`archdsl import`: a network of another library as a text, proved equal to it."""

from __future__ import annotations

import os
import sys

from archdsl.cli.options import shape_of
from archdsl.cli.show import print_file
from archdsl.cli.status import NO, TROUBLE, YES
from archdsl.diagnostics import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    what = "timm:NAME, torchvision:NAME, pytorchcv:NAME, package.module:function, or a file: .onnx, .pt2, .yaml, .cfg"
    parser.add_argument("source", metavar="SOURCE", help=what)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the text there, and weights or a .keys file where it has them"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    what = "the shape of an input (default: the library's own)"
    parser.add_argument("--input", metavar="1x3x224x224", help=what)
    what = "write what the language does not have as Python, NAME_layers.py, beside the text"
    parser.add_argument("--partial", action="store_true", help=what)
    parser.add_argument("--name", metavar="NET", help="the name of the net (default: the library's own)")


def run(options: Namespace) -> int:
    """Print the text of a network, or write it; what was compared goes to standard error."""
    from archdsl.importer import ImportFailed, NoSource, imported

    _check_free(options, [options.output] if options.output else [])
    shape = shape_of(options.input.replace(",", "x"), options.input) if options.input else ()
    try:
        found = imported(options.source, shape=shape, name=options.name or "", partial=options.partial)
    except (NoSource, ImportFailed) as problem:
        print(f"error: {problem}\nNothing was written.", file=sys.stderr)
        return NO if isinstance(problem, ImportFailed) else TROUBLE
    if options.output:
        _check_free(options, found.paths(options.output))
        for path in found.write(options.output):
            print(f"wrote {path}", file=sys.stderr)
    else:
        print_file(found.text)
    print(found.report(), file=sys.stderr)
    return YES


def _check_free(options: Namespace, paths: list[str]) -> None:
    """Raise `CompileError` for a file in the way; rules for names are those of an import before this one, or stay."""
    for path in paths:
        if not options.force and os.path.isfile(path) and not path.endswith(".keys"):
            raise errors.unwritable(path, "there is a file, perhaps with changes, which `--force` replaces")
