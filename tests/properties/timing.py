"""How long a piece of work may take, on a machine that does other work beside the tests."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


# Seconds of `_reference` where limits mean what they say. A check of the whole gallery takes 56 to 64 times as long as it,
# whether this machine is at its fastest or its slowest: 2.1 s beside 0.038, 4.1 s beside 0.064. So here it is 1.6 to 1.8 s.
NOMINAL = 0.028

CALLS = 7_500_000  # of functions in a nominal second: a check of the whole gallery makes 12.8 million in its 1.7 s
FAR = 4  # times slower is no neighbour's doing


def slowness() -> float:
    """Return how many times slower this machine is now: neighbours share its caches and its clock."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        _reference()
        taken.append(time.process_time() - start)
    return max(1.0, min(taken) / NOMINAL)


def _reference() -> int:
    """Do what a compiler does most: make small objects, and look them up."""
    total, table = 0, {}
    for i in range(200_000):
        table[i % 997] = (i, total)
        total += len(table) + i % 7
    return total


def answer_within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns, which must take less than so many seconds of processor time in one of three calls.

    What shares the machine can only add to a time, so that the shortest is the nearest to the work's own. Where all are
    longer, the calls of functions are counted, which are as many on every machine: their number decides, unless the time
    is far beyond (what one call of a builtin does may grow, too). The objects of other tests are kept from its collector:
    a process of its own would not have them.
    """
    taken = []
    gc.collect()
    gc.freeze()
    try:
        for _ in range(3):
            start = time.process_time()
            answer = work()
            taken.append(time.process_time() - start)
            if taken[-1] < seconds:
                return answer
        calls = calls_in(work)
        if calls < seconds * CALLS and min(taken) < FAR * seconds:
            return answer
    finally:
        gc.unfreeze()
    raise AssertionError(
        f"{min(taken):.2f} s, the shortest of {len(taken)}, and {calls:,} calls, where {seconds} s are allowed, "
        f"or {seconds * CALLS:,.0f} calls"
    )


def calls_in(work: Callable[[], object]) -> int:
    """Return how many functions of Python and of C a piece of work calls."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls
