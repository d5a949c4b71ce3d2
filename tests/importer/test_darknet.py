"""Darknet's files: what they mean, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import archdsl
from archdsl.importer import NoSource, imported, opened
from archdsl.importer.files.darknet import Darknet
from archdsl.importer.files.parts import Malformed

FILES = Path(__file__).parent / "darknet"
CONVOLUTION = "[net]\nwidth=16\nheight=16\nchannels=3\n[convolutional]\nfilters=4\nsize=3\n"


def test_darknet53_is_the_gallerys():
    found = imported(str(FILES / "darknet53.cfg"), shape=(1, 3, 64, 64))
    assert found.text.count("\nblock ") == 1 and found.text.count("\n") < 24
    own, made = archdsl.load("darknet53", kernels="none"), archdsl.loads(found.text, kernels="none")
    shapes = [[tuple(v.shape) for v in net.state_dict().values() if v.dim() == 4] for net in (own, made)]
    assert shapes[0] == shapes[1][:-1]  # of which the classes come from a convolution of one pixel


def test_a_detector_has_its_results():
    found = imported(str(FILES / "tiny.cfg"))
    assert 'maxpool(2, stride=1, pad="same")' in found.text and found.text.count("output out") == 2
    first, second = archdsl.loads(found.text).eval()(torch.zeros(1, 3, 96, 96))
    assert first.shape == (1, 18, 24, 24) and second.shape == (1, 18, 48, 48)


def test_every_connection_that_does_not_fit_is_told_with_its_line():
    with pytest.raises(NoSource) as wrong:
        opened(str(FILES / "crossed.cfg"))
    assert [line.partition(":")[0] for line in str(wrong.value).split("\n")[1:]] == [
        "line 18, [shortcut]", "line 29, [shortcut]", "line 33, [route]",
    ]  # fmt: skip


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", [7, 8, 9, 16])
def test_a_pool_has_darknets_size(size, stride, side):
    if size < stride:
        pytest.skip("windows that leave cells out")
    model = Darknet(f"[net]\nwidth={side}\nheight={side}\nchannels=2\n[maxpool]\nsize={size}\nstride={stride}\n")
    x = torch.randn(1, 2, side, side)
    made = model(x)
    # As src/maxpool_layer.c: the window of output i begins at i * stride - (size - 1) // 2.
    assert made.shape[2] == (side + size - 1 - size) // stride + 1
    for i in range(made.shape[2]):
        for j in range(made.shape[3]):
            top, left = i * stride - (size - 1) // 2, j * stride - (size - 1) // 2
            window = x[:, :, max(0, top) : top + size, max(0, left) : left + size]
            assert torch.equal(made[:, :, i, j], window.amax((2, 3)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: a file begins with [net]"),
        ("[net]\n", "line 1: a file begins with [net]"),
        ("filters=3\n", "line 1: `filters=3` is neither"),
        (CONVOLUTION + "nonsense\n", "line 8: `nonsense` is neither"),
        (CONVOLUTION + "stride=two\n", "line 5, [convolutional]: `stride=two` is no number"),
        (CONVOLUTION + "activation=selu2\n", "the activation `selu2` is not known"),
        (CONVOLUTION + "[lstm]\n", "line 8, [lstm]: this kind of layer"),
        (CONVOLUTION + "activation=relu\n[route]\nlayers=5\n", "line 9, [route]: [5] is no layer before this one"),
        (CONVOLUTION + "activation=relu\n[route]\n", "nothing is no layer"),
        (CONVOLUTION + "activation=relu\n[route]\nlayers=-1\ngroups=3\n", "part 0 of 3 parts of 4x14x14"),
        (CONVOLUTION + "activation=relu\ngroups=3\n", "3 channels and 4 filters in 3 groups"),
    ],
)
def test_a_malformed_file(text, said):
    with pytest.raises(Malformed) as wrong:
        Darknet(text)
    assert said in str(wrong.value)
