"""Where the command line prints: how wide it is, whether it has colours, and which characters it takes."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

DEFAULT = 80  # columns of a terminal that does not say how many it has
# What stands for a character that an encoding lacks; columns of tables stay as wide, but for the last three.
PLAIN = {
    "─": "-", "×": "x", "·": ".", "²": "2", "µ": "u", "√": "v", "→": ">", "—": "-", "–": "-", "≥": ">=", "±": "+-",
    "…": "...",
}  # fmt: skip


def width() -> int | None:
    """Return how many columns a line has on stdout: those of the terminal; None for a file or a pipe, which has no end.

    COLUMNS says it in place of both.
    """
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or DEFAULT
    except (OSError, ValueError):  # of a terminal that is emulated
        return DEFAULT


def colours(stream: TextIO) -> bool:
    """Say whether a stream has colours: a terminal, unless NO_COLOR is set (no-color.org), or FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def take_any_character() -> None:
    """Let stdout and stderr print what their encoding lacks as the nearest of ASCII, in place of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        encoding = (getattr(stream, "encoding", "") or "utf-8").lower().replace("_", "-")
        if encoding not in ("utf-8", "utf8") and hasattr(stream, "reconfigure"):
            import codecs

            codecs.register_error("archdsl", _nearest)
            stream.reconfigure(errors="archdsl")


def _nearest(problem: UnicodeError) -> tuple[str, int]:
    """Return what is printed in place of characters that an encoding lacks, and where encoding goes on."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    missing = problem.object[problem.start : problem.end]
    return "".join([PLAIN.get(character) or _without_marks(character) for character in missing]), problem.end


def _without_marks(character: str) -> str:
    """Return a letter without its accents, and anything else as its escape: `e` of `é`."""
    from unicodedata import normalize

    letter = normalize("NFKD", character)[0]
    return letter if letter.isascii() and letter.isalpha() else character.encode("ascii", "backslashreplace").decode()
