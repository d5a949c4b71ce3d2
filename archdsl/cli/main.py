"""The command line `archdsl`: which commands there are, how one is found and run, and its exit status.

Exit status: 0 where all is well, 1 for a mistake in a file or an argument, 2 for a bug in archdsl, 3 for one that was
found in the code that was about to be written, so that nothing is. Start-up is most of a check, so of the commands only
the one that is asked for is imported, and a command imports on its way what not every run of it needs.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module

from archdsl.diagnostics import CompileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from typing import Any

# Each is a module of this package: `add_options(parser)` says what the command takes, `run(options)` does it.
COMMANDS = {
    "check": "check networks: exact shapes, parameters, MACs",
    "fmt": "lay files out in the common form",
    "compile": "write a network as Python that needs only torch",
    "import": "a network of another library as a text, proved equal to it",
    "cost": "what a network costs: operations, bytes, memory, receptive fields",
    "sweep": "what a network costs over a grid of parameters and input sizes",
    "diff": "two networks side by side: structure, shapes and costs",
    "draw": "a network as a picture: SVG, HTML, PDF, PNG",
    "explore": "a network as a page to be explored in a browser",
    "search": "the best setting of a network under budgets",
    "list": "list the bundled networks",
    "explain": "explain a diagnostic by its code",
    "server": "the language server, for editors",
}
OURS = "This is a bug in archdsl, not in your file. Please report it with the lines above."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    import atexit
    import gc

    if gc.isenabled():
        gc.disable()  # a check makes few cycles and ends soon: 8 ms of 90 for DenseNet-121
        atexit.register(gc.freeze)  # and Python looks for them once more at its end: 6 of 70
    given = sys.argv[1:] if arguments is None else arguments
    asked = next((word for word in given if word in COMMANDS), "")  # no option before a command has a value
    options = _parser(asked).parse_args(given)
    try:
        return int(_module(asked).run(options))
    except CompileError as mistake:
        from archdsl.cli.show import show_alone

        show_alone(mistake.diagnostic, getattr(options, "format", "text"))
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as mistake:
        return _bug(mistake)


def _bug(mistake: Exception) -> int:
    """Print a mistake of ours and return its exit status."""
    import traceback

    if type(mistake).__name__ == "Unfaithful":  # named, so that a check does not import what compiling takes
        print(f"{mistake}\nNothing was written. {OURS}", file=sys.stderr)
        return 3
    traceback.print_exception(mistake)
    print(f"\n{OURS}", file=sys.stderr)
    return 2


def _parser(asked: str) -> ArgumentParser:
    """Return a parser that knows all commands by name, and the options of the one that is asked for."""
    import argparse

    form = partial(argparse.HelpFormatter, width=_columns() - 2)
    parser = argparse.ArgumentParser(
        prog="archdsl",
        description="Convolutional networks, written the way their papers describe them.",
        formatter_class=form,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, formatter_class=form)
        if name == asked:
            _module(name).add_options(command)
    return parser


def _columns() -> int:
    """Return the width of the terminal; `shutil`, which argparse asks in every run, takes 1.6 ms to import."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size().columns or 80
    except OSError:  # no terminal
        return 80


def _module(name: str) -> Any:
    return import_module(f"archdsl.cli.{name}")


if __name__ == "__main__":
    sys.exit(main())
