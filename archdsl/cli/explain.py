"""`archdsl explain`: what a diagnostic means, by its code."""

from __future__ import annotations

import re
import sys

from archdsl.cli.show import explanation
from archdsl.cli.status import TROUBLE, YES
from archdsl.diagnostics.errors import CATALOGUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    codes = "such as E0301 or e301; without it, all codes in a line each"
    parser.add_argument("code", nargs="?", metavar="CODE", help=codes)


def run(options: Namespace) -> int:
    """Explain one code, or list them all."""
    if options.code is None:
        for code in CATALOGUE:
            print(f"{code}  {_first_sentence(explanation(code))}")
        return YES
    code = _in_full(options.code)
    if code not in CATALOGUE:
        print(f"no diagnostic has the code `{options.code}`; `archdsl explain` lists them", file=sys.stderr)
        return TROUBLE
    print(f"{code}: {explanation(code)}")
    return YES


def _in_full(given: str) -> str:
    """Return a code as it is printed: `E0302` for `e302` or `error[E0302]`, and for the number that only one has."""
    found = re.fullmatch(r"(?:error|warning)?\[?([EW]?)0*(\d{1,4})\]?:?", given.strip(), re.IGNORECASE)
    if not found:
        return given
    letter, number = found[1].upper(), found[2].zfill(4)
    return letter + number if letter else next((code for code in CATALOGUE if code[1:] == number), given)


def _first_sentence(text: str) -> str:
    paragraph = text.split("\n\n")[0].replace("\n", " ")
    return paragraph.split(". ")[0].rstrip(".")
