"""`archdsl fmt`: lays files out in the common form, or says which are not."""

from __future__ import annotations

import sys

from archdsl import project
from archdsl.cli.show import show_alone
from archdsl.diagnostics import CompileError
from archdsl.syntax.formatter import formatted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from archdsl.core.source import Source

STDIN = "-"


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="an .arch file, or `-` for standard input")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    parser.add_argument("--diff", action="store_true", help="as --check, and print what would change")


def run(options: Namespace) -> int:
    """Format each file, and go on after one that does not parse; 1 if there is one, or a file would change."""
    return max([_format(name, options) for name in options.files])


def _format(name: str, options: Namespace) -> int:
    try:
        source = _read(name)
        text = formatted(source)
        if options.check or options.diff:
            return _compare(source, text, options.diff)
        if name == STDIN:
            print(text, end="")
        elif text != source.text:
            project.write(name, text)
            print(f"formatted {source.name}")
    except CompileError as mistake:
        show_alone(mistake.diagnostic, "text")
        return 1
    return 0


def _read(name: str) -> Source:
    if name == STDIN:
        return project.decoded("<stdin>", sys.stdin.buffer.read(project.MAX_BYTES + 1))
    return project.read(name)


def _compare(source: Source, text: str, diff: bool) -> int:
    if text == source.text:
        return 0
    if diff:
        from difflib import unified_diff

        before, after = (one.splitlines(keepends=True) for one in (source.text, text))
        sys.stdout.writelines(unified_diff(before, after, source.name, source.name))
    else:
        print(f"would format {source.name}")
    return 1
