"""The command line `archdsl`: which commands there are, how one is found and run.

Start-up is most of a check, so of the commands only the one that is asked for is imported, and a command imports on its
way what not every run of it needs. What the exit status says is in `status`.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module

from archdsl import __version__
from archdsl.cli.status import BUG, INTERRUPTED, TROUBLE, YES, status_of
from archdsl.cli.terminal import DEFAULT, take_any_character, width
from archdsl.diagnostics import CompileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Sequence
    from typing import Any

# Each is a module of this package: `add_options(parser)` says what the command takes, `run(options)` does it.
COMMANDS = {
    "check": "check networks: exact shapes, parameters, MACs",
    "fmt": "lay files out in the common form",
    "compile": "write a network as Python that needs only torch",
    "export": "write a network for another program: ONNX, PyTorch's .pt2, OpenVINO",
    "train": "train a network on a folder of images, by a recipe",
    "compress": "write a network in a few hundredths of its size: pruned, shared, coded",
    "decompress": "write what `compress` wrote as an ordinary file of weights",
    "import": "a network of another library as a text, proved equal to it",
    "cost": "what a network costs: operations, bytes, memory, receptive fields",
    "sweep": "what a network costs over a grid of parameters and input sizes",
    "diff": "two networks side by side: structure, shapes and costs",
    "draw": "a network as a picture: SVG, HTML, PDF, PNG",
    "explore": "a network as a page to be explored in a browser",
    "search": "the best setting of a network under budgets",
    "list": "list the bundled networks",
    "explain": "explain a diagnostic by its code",
    "completion": "print what a shell needs to complete commands, options and names",
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
    take_any_character()
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(given: Sequence[str]) -> int:
    """Run the command that is asked for."""
    asked, options = parsed(given)
    try:
        status = int(_module(asked).run(options))
        if not sys.stdout.closed:  # as the language server leaves it
            sys.stdout.flush()  # what it says may be met by a full disk only here
        return status
    except CompileError as mistake:
        from archdsl.cli.show import show_alone

        show_alone(mistake.diagnostic, getattr(options, "format", "text"))
        return status_of(mistake.diagnostic)
    except BrokenPipeError:
        sys.stderr.close()
        return YES
    except OSError as problem:  # a full disk, a file that has gone away: no bug of ours
        print(f"archdsl: {problem.strerror or problem}", file=sys.stderr)
        _let_go()
        return TROUBLE
    except Exception as mistake:
        return _bug(mistake)


def _let_go() -> None:
    """Close stdout where it cannot be written, so that Python does not try again at its end."""
    from contextlib import suppress

    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            sys.stdout.close()


def _bug(mistake: Exception) -> int:
    """Print a mistake of ours and return its exit status."""
    import traceback

    if type(mistake).__name__ == "Unfaithful":  # named, so that a check does not import what compiling takes
        print(f"{mistake}\nNothing was written. {OURS}", file=sys.stderr)
        return BUG
    traceback.print_exception(mistake)
    print(f"\n{OURS}", file=sys.stderr)
    return BUG


def parsed(given: Sequence[str]) -> tuple[str, Namespace]:
    """Return the command that is asked for and its options; argparse ends the process for wrong usage, as `TROUBLE`."""
    asked = next((word for word in given if not word.startswith("-")), "")  # no option before a command has a value
    named = (asked,) if given[:1] == [asked] and asked in COMMANDS else tuple(COMMANDS)  # all: 3 ms of a check's 40
    parser, commands = parsers(asked, named=named)
    if not given:
        parser.print_help(sys.stderr)
        parser.exit(TROUBLE)
    if asked and asked not in COMMANDS:
        parser.error(f"no command `{asked}`{_meant(asked)}")
    options, rest = parser.parse_known_args(given)
    if rest:
        known = [word for action in commands[asked]._actions for word in action.option_strings]
        commands[asked].error(f"no argument `{rest[0]}` here{_close(rest[0], known)}")
    return asked, options


def parsers(*asked: str, named: Iterable[str] = COMMANDS) -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """Return a parser that knows commands by name, and theirs: with options of those that are asked for."""
    import argparse

    form = partial(argparse.HelpFormatter, width=(width() or DEFAULT) - 2)
    parser = argparse.ArgumentParser(
        prog="archdsl",
        description="Convolutional networks, written the way their papers describe them.",
        formatter_class=form,
    )
    parser.add_argument("--version", action="version", version=f"archdsl {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in named:
        command = commands.add_parser(name, help=COMMANDS[name], formatter_class=form)
        if name in asked:
            _module(name).add_options(command)
    return parser, commands.choices


def _meant(word: str) -> str:
    """Say which command a word may have meant, that is none: one that is written alike, or the check of a network."""
    from archdsl.report.gallery import entries

    if word.endswith(".arch") or word in [entry.name for entry in entries()]:
        return f": did you mean `archdsl check {word}`?"
    return _close(word, list(COMMANDS)) or f"; there are {', '.join(COMMANDS)}"


def _close(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    return "".join([f": did you mean `{near}`?" for near in get_close_matches(word, known, 1)])


def _module(name: str) -> Any:
    file = f"{name}_" if name == "import" else name  # a keyword is no name that Python could import
    return import_module(f"archdsl.cli.{file}")


if __name__ == "__main__":
    sys.exit(main())
