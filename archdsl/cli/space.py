"""What `archdsl sweep` and `search` share: the settings they try, processes that try them, and their progress."""

from __future__ import annotations

import gc
import sys
import time

from archdsl.cli.options import STDIN, add_name, number_of, positive, shape_of
from archdsl.diagnostics import errors
from archdsl.explore.sweep import INPUT, Range, Space

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Executor
    from typing import Any


def add_space(parser: ArgumentParser) -> None:
    """Add the options that `space_of` reads, and `--net` and `--jobs`."""
    add_name(parser)
    parser.add_argument("--net", help="the net to take, where a file has several")
    values = "the values of a parameter; low..high in a sample"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE,VALUE", help=values)
    sizes = "shapes of the input to try; several inputs are joined by +"
    parser.add_argument("--input", action="append", default=[], metavar="1x3x128x128,...", help=sizes)
    parser.add_argument("--sample", type=positive, metavar="N", help="so many settings at random, not all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes (default: 1)")


def space_of(options: Namespace) -> Space:
    """Read `--set width=0.5,1 --input 1x3x128x128,1x3x224x224 --sample 100`; raises `CompileError`."""
    if options.name == STDIN and options.jobs > 1:
        raise errors.bad_option("--jobs", str(options.jobs), "standard input can be read by one process only")
    axes: list[tuple[str, Any]] = []
    for setting in options.set:
        name, equals, values = setting.partition("=")
        if not equals or not name.strip().isidentifier():
            raise errors.bad_option("--set", setting, "expected NAME=VALUE,VALUE, such as width=0.5,1.0")
        axes.append((name.strip(), _values(name.strip(), values)))
    shapes = [_shapes(text) for option in options.input for text in option.split(",")]
    return Space((*axes, *([(INPUT, tuple(shapes))] if shapes else [])), options.sample, options.seed)


def _values(name: str, text: str) -> Range | Sequence[Any]:
    """Read `0.5,1.0`, or the range `0.25..2.0`; a value is an expression of the language."""
    low, dots, high = text.partition("..")
    if dots:
        first, last = number_of(low), number_of(high)
        if first is None or last is None or first > last:
            raise errors.bad_option("--set", f"{name}={text}", "a range is low..high, such as 0.25..2.0")
        return Range(first, last)
    values = [part for part in _split(text) if part]
    return tuple(part if (number := number_of(part)) is None else number for part in values)


def _split(text: str) -> Iterator[str]:
    """Split at the commas outside brackets: `[3, 4], [6, 3]` are two lists."""
    depth, start = 0, 0
    for at, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    """Read `1x3x128x128`, or the shapes of several inputs joined by `+`."""
    return tuple(shape_of(part, text) for part in text.split("+"))


class Processes:
    """Processes for `--jobs`, or nothing for one; collects garbage, which the command line otherwise does not."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.pool: Executor | None = None

    def __enter__(self) -> Executor | None:
        gc.freeze()
        gc.enable()
        if self.jobs > 1:
            from concurrent.futures import ProcessPoolExecutor
            from signal import SIG_IGN, SIGINT, signal

            # Ctrl-C reaches all processes of a terminal; this one says what it has, the others need not.
            self.pool = ProcessPoolExecutor(self.jobs, initializer=signal, initargs=(SIGINT, SIG_IGN))
        return self.pool

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def shown(points: Iterator[Any], total: int) -> Iterator[Any]:
    """Pass points on, with a line on a terminal for what takes long."""
    last = time.monotonic()
    for number, point in enumerate(points):
        if time.monotonic() - last > 1:
            last = time.monotonic()
            show_progress(number, total)
        yield point


def show_progress(done: int, total: int) -> None:
    """Say on a terminal how many settings are done."""
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,} settings", end="\r", file=sys.stderr, flush=True)


def show_interruption(done: int, total: int, more: str = "") -> None:
    """Say after Ctrl-C how many settings were tried."""
    print(f"interrupted: {done:,} of {total:,} settings tried{more}", file=sys.stderr)
