"""The Triton kernels compiled to machine code without a GPU: registers, width of loads, instructions an output."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")

from archdsl.kernels import depthwise, pointwise, separable
from archdsl.kernels.depthwise import Tile

from benchmarks import instructions
from benchmarks.instructions import (
    a_value_between,
    a_value_read,
    an_output,
    both,
    forward,
    grads,
    layer,
    loop,
    product,
)

BUDGET = 33  # thread instructions for a bf16 output; at 31 an H200 issues them as fast as it moves the bytes


def counted(g, tile, code) -> float:
    return an_output(len(code.instructions), *g.out, g.channels, tile)


@pytest.mark.parametrize("arch", [80, 90])
def test_the_tuned_forward_kernel(arch):
    g = layer(192, 28, 3, 1)
    tile = depthwise.forward_tile(g)
    code = forward(g, tile, arch)
    assert code.spilled == 0
    assert code.widest("LDG") == 128
    assert counted(g, tile, code) <= BUDGET


@pytest.mark.parametrize("size", [(58, 28, 3, 1), (96, 112, 3, 2), (960, 7, 3, 1)], ids=str)
def test_other_layers_with_3x3_windows(size):
    g = layer(*size)
    tile = depthwise.forward_tile(g)
    code = forward(g, tile)
    assert code.spilled == 0
    assert counted(g, tile, code) <= BUDGET


@pytest.mark.parametrize("arch", [80, 90])
def test_both_gradients_of_a_3x3_layer(arch):
    """Three maps in one pass leave 46 instructions for an element; two kernels take 51 and move four."""
    g = layer(192, 28, 3, 1)
    tile = depthwise.grads_tile(g)
    code = grads(g, tile, arch)
    assert code.spilled == 0
    assert code.widest("LDG") == 64
    assert an_output(loop(code), *g.size, g.channels, tile) <= BUDGET


def test_both_gradients_of_a_5x5_layer():
    g = layer(240, 28, 5, 1)
    tile = depthwise.grads_tile(g)
    assert grads(g, tile).spilled == 0


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("out", [24, 96])
def test_both_convolutions_of_a_block(out, arch):
    """One kernel instead of two takes fewer instructions than two take time: 31 for the bytes of a depthwise output, and
    18 for those that a 1x1 convolution reads and writes."""
    g = layer(144, 28, 3, 1)
    tile = separable.tile_for(g, out)
    code = both(g, out, tile, arch)
    assert code.spilled == 0
    assert code.widest("LDG") == 128
    assert code.shared <= 64 << 10
    assert a_value_between(g, out, tile, code) <= 31 + 18


@pytest.mark.parametrize("before", ["", "gate", "clamp"])
def test_a_1x1_convolution_and_what_is_before_it(before):
    """18 instructions for a value read are what moving it and its share of the result takes."""
    tile = pointwise.tile_for(24, 144)
    code = product(144, 24, tile, before=before)
    assert code.spilled == 0
    assert code.widest("LDG") == 128
    assert a_value_read(144, 24, tile, code) <= 18 / 2


def test_the_counts_tell_a_depthwise_part_that_every_warp_computes():
    g = layer(144, 28, 3, 1)
    narrow = separable.Tile(rows=2, lanes=32, channels=64, warps=4)
    assert a_value_between(g, 64, narrow, both(g, 64, narrow)) > 31 + 18


def test_the_counts_tell_a_bad_tile():
    g = layer(192, 28, 3, 1)
    one_row = Tile(rows=1, columns=16, channels=64)
    assert counted(g, one_row, forward(g, one_row)) > BUDGET
    narrow = Tile(rows=7, columns=64, channels=8)
    assert counted(g, narrow, forward(g, narrow)) > BUDGET
    large = Tile(rows=14, columns=32, channels=64)
    assert forward(g, large).spilled > 0


@pytest.mark.slow
def test_the_record_is_what_the_compiler_makes():
    rows = instructions.record()
    assert all(row["spilled_bytes"] <= 64 for row in rows)
    assert all(
        row["instructions_an_output"] <= BUDGET
        for row in rows
        if row["kernel"] == "forward" and row["layer"]["kernel"] == 3
    )
