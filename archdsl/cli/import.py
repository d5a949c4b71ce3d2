"""`archdsl import`: a network of another library as a text, proved equal to it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    what = "timm:NAME, torchvision:NAME, pytorchcv:NAME or package.module:function"
    parser.add_argument("source", metavar="SOURCE", help=what)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the text there, and a .keys file where it needs one"
    )
    parser.add_argument("--input", metavar="1,3,224,224", help="the shape of an input (default: the library's own)")
    parser.add_argument("--name", metavar="NET", help="the name of the net (default: the library's own)")


def run(options: Namespace) -> int:
    """Print the text of a network, or write it; what was compared goes to standard error."""
    from archdsl.importer import ImportFailed, NoSource, imported

    shape = _shape(options.input) if options.input else ()
    try:
        found = imported(options.source, shape=shape, name=options.name or "")
    except (NoSource, ImportFailed) as problem:
        print(f"error: {problem}\nNothing was written.", file=sys.stderr)
        return 1
    if options.output:
        for path in found.write(options.output):
            print(f"wrote {path}", file=sys.stderr)
    else:
        print(found.text, end="")
    print(found.report(), file=sys.stderr)
    return 0


def _shape(words: str) -> tuple[int, ...]:
    numbers = words.replace("x", ",").split(",")
    if not all(number.strip().isdecimal() for number in numbers) or len(numbers) not in (2, 4):
        raise SystemExit(f"archdsl import: error: argument --input: `{words}` is no shape such as 1,3,224,224")
    return tuple(map(int, numbers))
