r"""The file of a compressed network, written and read.

    8 bytes   b"archdsl\x03"
    4 bytes   the length of the header, little-endian, as all numbers are
    header    JSON, compressed by zlib:
                  network   what `archdsl.save` has in its metadata: the texts of the network, and what was asked of it
                  layers    of each: name, shape, values (how many), index and gaps (streams)
                  others    of each: name, type, shape
    layers    of each:
                  values    float32
                  index     a stream: which value each weight has that is left, in the order of the flattened weight
                  gaps      a stream: for each of these weights how many zeros stand before it, 0 to 254; 255 stands
                            for 255 zeros and no weight, after which the next number goes on
    others    all other tensors of the network, as they are: biases, norms and their statistics

A stream is in the header as count (symbols), only (the one symbol that there is, or -1), codes (how many lengths),
blocks (how many) and bytes; in its place are the lengths of the canonical Huffman code, a byte for each symbol, 0 where
it has none; the bits of each block of 1,024 symbols, two bytes each; and the bits, the first in the highest bit of a
byte.
"""

from __future__ import annotations

import io
import json
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy
import torch

from archdsl.compression import huffman
from archdsl.compression.huffman import Corrupt, Stream
from archdsl.compression.share import Sharing
from archdsl.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"archdsl\x03"
MAX_HEADER = 64 << 20  # bytes, uncompressed
MOST = 1 << 31  # weights of one layer
SKIP = 255
TYPES = {"float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"}


class Packed(Record):
    """What a file holds: the network as its metadata have it, its layers, and its other tensors."""

    network: str
    layers: dict[str, Sharing]
    others: dict[str, torch.Tensor]


class Sizes(Record):
    """What a layer takes in a file, in bits: of its values, of its index and of its gaps, tables of codes too."""

    values: int
    index: int
    gaps: int


def write(packed: Packed) -> tuple[bytes, dict[str, Sizes]]:
    """Return a network as a file, and what its layers take in it."""
    body, layers, sizes = io.BytesIO(), [], {}
    for name, layer in packed.layers.items():
        starts = [body.tell()]
        body.write(layer.values.numpy().astype("<f4").tobytes())
        starts.append(body.tell())
        streams = []
        for symbols in (layer.index, gaps(layer.places)):
            streams.append(_put(body, huffman.encode(symbols)))
            starts.append(body.tell())
        of_it = {"values": len(layer.values), "index": streams[0], "gaps": streams[1]}
        layers.append({"name": name, "shape": list(layer.shape), **of_it})
        sizes[name] = Sizes(*[8 * (end - start) for start, end in pairwise(starts)])
    others = []
    for name, tensor in packed.others.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        others.append({"name": name, "type": kind, "shape": list(tensor.shape)})
        body.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    header = zlib.compress(json.dumps({"network": packed.network, "layers": layers, "others": others}).encode(), 9)
    return MAGIC + len(header).to_bytes(4, "little") + header + body.getvalue(), sizes


def read(data: bytes) -> Packed:
    """Return what a file holds; raises `Corrupt`."""
    if data[:8] != MAGIC:
        raise Corrupt("it is no compressed network")
    body = io.BytesIO(data)
    body.seek(8)
    try:
        header = _header(_take(body, int.from_bytes(_take(body, 4), "little")))
        layers = {one["name"]: _layer(body, one) for one in header["layers"]}
        others = {one["name"]: _tensor(body, one) for one in header["others"]}
        network = header["network"]
    except (KeyError, TypeError, ValueError, RuntimeError, zlib.error) as problem:
        raise Corrupt(f"it is damaged: {problem}") from None
    if body.read(1):
        raise Corrupt("it is damaged: there is more in it than it says")
    return Packed(network, layers, others)


def gaps(places: torch.Tensor) -> torch.Tensor:
    """Return how many zeros stand before each of some places, as symbols up to 255, by which a gap goes on.

    >>> gaps(torch.tensor([2, 3, 260])).tolist()
    [2, 0, 255, 1]
    """
    before = places.diff(prepend=places.new_tensor([-1])) - 1
    skips = before // SKIP
    at = torch.arange(len(places)) + skips.cumsum(0)
    found = torch.full((int(at[-1]) + 1 if len(at) else 0,), SKIP)
    found[at] = before % SKIP
    return found


def places(gaps: torch.Tensor) -> torch.Tensor:
    """Return the places that gaps stand for.

    >>> places(torch.tensor([2, 0, 255, 1])).tolist()
    [2, 3, 260]
    """
    steps = torch.where(gaps == SKIP, SKIP, gaps + 1)
    return (steps.cumsum(0) - 1)[gaps != SKIP]


# -------------------------------------------------------------------------------------------------- parts
def _put(body: io.BytesIO, stream: Stream) -> dict[str, int]:
    body.write(bytes(stream.lengths))
    body.write(numpy.array(stream.blocks, "<u2").tobytes())
    body.write(stream.data)
    counts = {"codes": len(stream.lengths), "blocks": len(stream.blocks), "bytes": len(stream.data)}
    return {"count": stream.count, "only": stream.only, **counts}


def _take(body: io.BytesIO, size: int) -> bytes:
    found = body.read(size)
    if size < 0 or len(found) != size:
        raise ValueError("its end is missing")
    return found


def _header(data: bytes) -> dict[str, Any]:
    inflating = zlib.decompressobj()
    text = inflating.decompress(data, MAX_HEADER)
    if inflating.unconsumed_tail:
        raise ValueError("its header is too long")
    return dict(json.loads(text))


def _layer(body: io.BytesIO, one: Mapping[str, Any]) -> Sharing:
    shape, size = tuple(one["shape"]), torch.Size(one["shape"]).numel()
    values = numpy.frombuffer(_take(body, 4 * one["values"]), "<f4").astype("f4")
    index = _stream(body, one["index"])
    at = places(_stream(body, one["gaps"]))
    if size > MOST or len(index) != len(at) or (len(at) and (int(index.max()) >= len(values) or int(at[-1]) >= size)):
        raise ValueError(f"`{one['name']}` has weights that it has no room for")
    return Sharing(shape, at, index, torch.from_numpy(values))


def _stream(body: io.BytesIO, one: Mapping[str, Any]) -> torch.Tensor:
    if not 0 <= one["count"] <= MOST:
        raise ValueError("a stream is too long")
    long, blocks = _take(body, one["codes"]), _take(body, 2 * one["blocks"])
    sizes = numpy.frombuffer(blocks, "<u2").tolist()
    return huffman.decode(Stream(one["count"], one["only"], tuple(long), tuple(sizes), _take(body, one["bytes"])))


def _tensor(body: io.BytesIO, one: Mapping[str, Any]) -> torch.Tensor:
    if one["type"] not in TYPES:
        raise ValueError(f"`{one['type']}` is no type of a tensor")
    kind = getattr(torch, one["type"])
    data = _take(body, torch.Size(one["shape"]).numel() * kind.itemsize)
    return (
        torch.frombuffer(bytearray(data), dtype=kind).view(one["shape"])
        if data
        else torch.empty(one["shape"], dtype=kind)
    )
