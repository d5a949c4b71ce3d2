"""`archdsl fmt`: lays files out in the common form, or says which are not."""

from __future__ import annotations

from archdsl import project
from archdsl.cli.options import STDIN, take_stdin
from archdsl.cli.show import print_file, show_alone
from archdsl.cli.status import NO, YES, status_of
from archdsl.diagnostics import CompileError
from archdsl.syntax.formatter import formatted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from archdsl.core.source import Source


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="an .arch file, or `-` for standard input")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    parser.add_argument("--diff", action="store_true", help="as --check, and print what would change")
    take_stdin()


def run(options: Namespace) -> int:
    """Format each file, and go on after one that does not parse."""
    return max([_format(name, options) for name in options.files])


def _format(name: str, options: Namespace) -> int:
    try:
        source = project.read(name)
        text = formatted(source)
        if options.check or options.diff:
            return _compare(source, text, options.diff)
        if name == STDIN:
            print_file(text)
        elif text != source.text:
            project.write(name, text)
            print(f"formatted {source.name}")
    except CompileError as mistake:
        show_alone(mistake.diagnostic, "text")
        return status_of(mistake.diagnostic)
    return YES


def _compare(source: Source, text: str, diff: bool) -> int:
    if text == source.text:
        return YES
    if diff:
        from difflib import unified_diff

        before, after = (one.splitlines(keepends=True) for one in (source.text, text))
        print_file("".join(unified_diff(before, after, source.name, source.name)))
    else:
        print(f"would format {source.name}")
    return NO
