"""Canonical Huffman codes of at most sixteen bits, written and read a thousand symbols at a time.

A stream has no entry points but its start, so one symbol follows the other. Here every block of `BLOCK` symbols has its
place in the stream, for 0.02 bits a symbol, and blocks are read side by side: symbol `i` of all blocks at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy
import torch

from archdsl.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 16  # bits of a code, so that a table of 65,536 entries says what stands at a place
BLOCK = 1024  # symbols


class Corrupt(ValueError):
    """A stream that is none, or none of this code."""


class Stream(Record):
    """Symbols in bits: how many, how long the code of each is, the bits of each block, and the bits themselves.

    Of a stream with one kind of symbol nothing is stored but which one, `only`; it is -1 otherwise.
    """

    count: int
    only: int
    lengths: tuple[int, ...]
    blocks: tuple[int, ...]
    data: bytes


def lengths(counts: Sequence[int], longest: int = LONGEST) -> list[int]:
    """Return how long the code of each symbol is, 0 where there is none, for the least number of bits in all.

    By package-merge (Larmore and Hirschberg, 1990), which is Huffman's code where none of its codes is too long.
    """
    present = sorted([(count, (symbol,)) for symbol, count in enumerate(counts) if count])
    packages: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(longest):
        merged = sorted([*present, *packages])
        packages = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(merged[::2], merged[1::2])]
    found = [0] * len(counts)
    for _, symbols in packages[: len(present) - 1]:
        for symbol in symbols:
            found[symbol] += 1
    return found


def codes(lengths: Sequence[int]) -> list[int]:
    """Return the codes of given lengths: shorter ones first, and of one length in the order of symbols."""
    found, code, before = [0] * len(lengths), 0, 0
    for length, symbol in sorted([(length, symbol) for symbol, length in enumerate(lengths) if length]):
        code <<= length - before
        found[symbol], before = code, length
        code += 1
    return found


def encode(symbols: torch.Tensor) -> Stream:
    """Return symbols, integers from 0 to 255, as a stream."""
    counts = torch.bincount(symbols.flatten()).tolist()
    kinds = [symbol for symbol, count in enumerate(counts) if count]
    if len(kinds) < 2:
        return Stream(symbols.numel(), kinds[0] if kinds else 0, (), (), b"")
    long = lengths(counts)
    length, code = torch.tensor(long)[symbols], torch.tensor(codes(long))[symbols]
    starts = length.cumsum(0) - length
    bits = torch.zeros(int(length.sum()), dtype=torch.uint8)
    for at in range(max(long)):
        here = length > at
        bits[starts[here] + at] = (code[here] >> (length[here] - 1 - at) & 1).to(torch.uint8)
    ends = [*starts[BLOCK::BLOCK].tolist(), int(length.sum())]
    blocks = [end - start for start, end in zip([0, *ends], ends)]
    return Stream(symbols.numel(), -1, tuple(long), tuple(blocks), numpy.packbits(bits.numpy()).tobytes())


def decode(stream: Stream) -> torch.Tensor:
    """Return the symbols of a stream; raises `Corrupt`."""
    if stream.only >= 0 or not stream.count:
        return torch.full((stream.count,), max(stream.only, 0))
    symbol, length = _table(stream.lengths)
    edges = numpy.cumsum([0, *stream.blocks])
    starts, ends = edges[:-1], edges[1:]
    if len(stream.blocks) != -(-stream.count // BLOCK) or ends[-1] > 8 * len(stream.data):
        raise Corrupt("the blocks of a stream are not those of its symbols")
    data = numpy.frombuffer(stream.data + bytes(3), numpy.uint8).astype(numpy.int64)
    words = data[:-2] << 16 | data[1:-1] << 8 | data[2:]  # three bytes from each on: a code, and what is before it
    found: Any = numpy.zeros((BLOCK, len(ends)), numpy.int64)
    at = starts.copy()
    last = stream.count - BLOCK * (len(ends) - 1)  # symbols of the last block
    for number in range(BLOCK):
        running = slice(None) if number < last else slice(-1)
        here = at[running]
        window = words[numpy.minimum(here >> 3, len(words) - 1)] >> 8 - (here & 7) & 0xFFFF
        found[number, running] = symbol[window]
        at[running] = here + length[window]
    if not (at == ends).all():
        raise Corrupt("a block of a stream does not end where the next one begins")
    return torch.from_numpy(found.T.flatten()[: stream.count])


def _table(lengths: Sequence[int]) -> tuple[Any, Any]:
    """Return which symbol the next sixteen bits begin with, and how long its code is."""
    if sum([1 << LONGEST - length for length in lengths if length]) != 1 << LONGEST or max(lengths) > LONGEST:
        raise Corrupt("the lengths of codes are those of no code")
    found: Any = numpy.zeros((2, 1 << LONGEST), numpy.int64)
    for number, (size, code) in enumerate(zip(lengths, codes(lengths))):
        if size:
            first = code << LONGEST - size
            found[:, first : first + (1 << LONGEST - size)] = [[number], [size]]
    return found[0], found[1]
