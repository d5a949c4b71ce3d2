"""`archdsl explain`: what a diagnostic means, by its code."""

from __future__ import annotations

import sys

from archdsl.cli.show import explanation
from archdsl.diagnostics.errors import CATALOGUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    codes = "such as E0301; without it, all codes in a line each"
    parser.add_argument("code", nargs="?", metavar="CODE", help=codes)


def run(options: Namespace) -> int:
    """Explain one code, or list them all; status 1 for one that does not exist."""
    if options.code is None:
        for code in CATALOGUE:
            print(f"{code}  {_first_sentence(explanation(code))}")
        return 0
    code = options.code.upper()
    if code not in CATALOGUE:
        print(f"no diagnostic has the code `{options.code}`; the codes are {', '.join(CATALOGUE)}", file=sys.stderr)
        return 1
    print(f"{code}: {explanation(code)}")
    return 0


def _first_sentence(text: str) -> str:
    paragraph = text.split("\n\n")[0].replace("\n", " ")
    return paragraph.split(". ")[0].rstrip(".")
