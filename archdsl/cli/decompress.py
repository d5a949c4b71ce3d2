"""`archdsl decompress`: a compressed network as an ordinary file of weights, with its text in it."""

from __future__ import annotations

import os

from archdsl.cli.status import YES
from archdsl.diagnostics import errors
from archdsl.diagnostics.extras import Needing
from archdsl.saved import SUFFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("file", metavar="FILE", help="a file that `archdsl compress` wrote")
    output = "the file to write, .safetensors (default: FILE.safetensors)"
    parser.add_argument("-o", "--output", metavar="OUT", help=output)
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(options: Namespace) -> int:
    """Write the file, which every command and `archdsl.load` take for the network."""
    path = options.output or os.path.splitext(options.file)[0] + SUFFIX
    if not path.endswith(SUFFIX):
        raise errors.bad_option("-o", path, f"the name ends in {SUFFIX}")
    if os.path.isfile(path) and not options.force:
        raise errors.unwritable(path, "there is a file, which `--force` replaces")
    with Needing("`archdsl decompress`"):
        from archdsl.compression.compress import decompress
    from archdsl.run.save import save

    try:
        save(decompress(options.file), path)
    except OSError as problem:
        raise errors.unwritable(path, problem.strerror or "") from None
    print(f"wrote {path}")
    return YES
