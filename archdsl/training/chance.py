"""Chance that can be repeated: all random numbers of a run are functions of its seed, and of what they are drawn for.

The crop of an image is drawn from the seed, the epoch and the number of the image, a dropout from the seed, the step
and the process. So a run that goes on after it was killed needs no state of generators, and neither workers nor
processes change which images are seen.
"""

from __future__ import annotations

import hashlib


def drawn_from(*numbers: int) -> int:
    """Return a seed of 63 bits for some numbers; those of different numbers have nothing to do with one another."""
    return int.from_bytes(hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest(), "little") >> 1
