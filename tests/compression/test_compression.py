"""Deep Compression: codes held to Huffman's, files to a reader made from their description, networks to their digits."""

from __future__ import annotations

import heapq
import json
import math
import struct
import zlib
from itertools import pairwise

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import nn

import archdsl
from archdsl.cli.main import main
from archdsl.compression import huffman, pack
from archdsl.compression.huffman import BLOCK, LONGEST, Corrupt
from archdsl.compression.prune import layers, mask, prune, schedule, settle
from archdsl.compression.share import means, nearest, shared, tie, untie
from tests.digits import accuracy, train

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = """
net small(classes=10, width=16):
    input image: [N, 1, H=8, W=8]
    conv1: conv(width, 3) -> bn -> relu -> conv2: conv(2 * width, 3) -> relu -> maxpool(2) -> flatten
    ip1: linear(64) -> relu -> ip2: linear(classes)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("compression")
    (found / "small.arch").write_text(TEXT)
    return found


@pytest.fixture
def model(folder):
    torch.manual_seed(0)
    return archdsl.load(folder / "small.arch")


def equal(one: dict, other: dict) -> bool:
    """Say whether two states are the same, bit for bit and in order."""
    return list(one) == list(other) and all(v.equal(other[k]) and v.dtype == other[k].dtype for k, v in one.items())


# -------------------------------------------------------------------------------------------------- codes
def cost_of_huffman(counts: list[int]) -> int:
    """The bits of Huffman's own code, by his own algorithm."""
    heap, cost = [count for count in counts if count], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        cost += pair
        heapq.heappush(heap, pair)
    return cost


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60).filter(lambda counts: sum(map(bool, counts)) > 1))
@settings(max_examples=80, deadline=None)
def test_a_code_is_as_short_as_huffman_s(counts):
    lengths = huffman.lengths(counts)
    assert sum(count * length for count, length in zip(counts, lengths)) == cost_of_huffman(counts)
    assert [bool(count) for count in counts] == [bool(length) for length in lengths]
    written = sorted(f"{code:0{length}b}" for code, length in zip(huffman.codes(lengths), lengths) if length)
    assert not any(later.startswith(one) for one, later in pairwise(written)), "no code begins another"


def test_no_code_is_too_long_where_huffman_s_are():
    counts = [1, 1]
    while len(counts) < 30:
        counts.append(counts[-1] + counts[-2])  # of which Huffman's code has 29 bits
    lengths = huffman.lengths(counts)
    assert max(lengths) == LONGEST and sum(2.0**-length for length in lengths) == 1
    cost, entropy = sum(c * n for c, n in zip(counts, lengths)), -sum(c * math.log2(c / sum(counts)) for c in counts)
    assert entropy < cost_of_huffman(counts) < cost < 1.01 * cost_of_huffman(counts)


@pytest.mark.parametrize("count", [0, 1, 2, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
@pytest.mark.parametrize("kinds", [1, 2, 200])
def test_a_stream_is_read_as_it_was_written(count, kinds):
    source = torch.Generator().manual_seed(count + kinds)
    symbols = (torch.rand(count, generator=source) ** 4 * kinds).long() + 3
    assert huffman.decode(huffman.encode(symbols)).equal(symbols)


@pytest.mark.parametrize("density", [0.04, 0.33, 0.84])
def test_gaps_take_what_information_theory_says(density):
    """A place in `n` is taken or not: H(p) bits, of which each that is taken has a share 1/p; a code has whole bits."""
    places = (torch.rand(400_000, generator=torch.Generator().manual_seed(0)) < density).nonzero().flatten()
    stream = huffman.encode(pack.gaps(places))
    assert pack.places(pack.gaps(places)).equal(places)
    entropy = -(density * math.log2(density) + (1 - density) * math.log2(1 - density)) / density
    spent = 8 * len(stream.data) / len(places)
    assert entropy < spent < 1.02 * entropy or (density > 0.5 and 1 < spent < 1.3), "no code has less than a bit"


# -------------------------------------------------------------------------------------------------- pruning, sharing
def test_the_largest_weights_stay():
    weight = torch.tensor([[3.0, -4.0, 0.5], [-0.5, 1.0, 0.5]])
    assert mask(weight, 0.5).tolist() == [[1, 1, 0], [0, 1, 0]]
    assert mask(weight, 4 / 6).tolist() == [[1, 1, 1], [0, 1, 0]], "of equal ones the first"
    assert mask(weight, 0.01).sum() == 1 and mask(weight, 1.0).sum() == 6
    assert schedule(0.1, 1) == [0.1] and schedule(0.2, 4)[-1] == 0.2
    assert all(a > b for a, b in pairwise(schedule(0.2, 4)))


def test_zeros_stay_zeros_while_a_network_is_trained(model):
    before, chosen = list(model.state_dict()), layers(model)
    prune(chosen, dict.fromkeys(chosen, 0.5))
    zeros = {name: layer.weight == 0 for name, layer in chosen.items()}
    old = {name: layer.weight.detach().clone() for name, layer in chosen.items()}
    train(model, 10)
    prune(chosen, dict.fromkeys(chosen, 0.25))
    settle(chosen)
    assert list(model.state_dict()) == before
    for name, layer in chosen.items():
        assert bool((layer.weight[zeros[name]] == 0).all()) and not layer._forward_pre_hooks
        assert int((layer.weight != 0).sum()) == round(0.25 * layer.weight.numel())
        assert not layer.weight.equal(old[name])


@pytest.mark.parametrize("count", [4, 16, 64])
def test_means_are_those_of_scikit_learn(count):
    x = torch.randn(3000, generator=torch.Generator().manual_seed(count))
    start = numpy.linspace(float(x.min()), float(x.max()), count)[:, None]
    found = means(x, count)
    public = KMeans(count, init=start, n_init=1, max_iter=1000, tol=0).fit(x[:, None].double().numpy())
    ours = float(((x - found[nearest(x, found)]) ** 2).sum())
    assert len(found) == count and ours < 1.02 * public.inertia_
    if count < 64:  # further out a mean begins with nothing, and goes elsewhere than there
        assert numpy.allclose(found.numpy(), numpy.sort(public.cluster_centers_[:, 0]), atol=1e-4)


def test_no_value_is_lost_where_weights_were_pruned():
    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    x = x[x.abs() > 1]
    found = means(x, 32)
    assert len(found) == 32
    own = nearest(x, found)
    assert int(own.bincount(minlength=32).min()) > 0
    assert torch.stack([x[own == k].mean() for k in range(32)]).allclose(found, atol=1e-4), (
        "each is the mean of its own"
    )
    assert means(torch.tensor([2.0, 1.0, 2.0]), 4).tolist() == [1, 2]


def test_the_gradient_of_a_value_is_the_sum_of_those_of_its_weights(model):
    chosen = {"conv2": model.conv2}
    with torch.no_grad():
        model.conv2.weight.mul_(mask(model.conv2.weight, 0.5))
    sharings = {"conv2": shared(model.conv2.weight, 3)}
    one = sharings["conv2"]
    x = torch.randn(2, 16, 5, 5)
    dense = nn.functional.conv2d(x, one.weight().requires_grad_(), model.conv2.bias, padding=1)
    weight = one.weight().requires_grad_()
    nn.functional.conv2d(x, weight, model.conv2.bias, padding=1).square().sum().backward()
    tie(chosen, sharings)
    assert model.conv2(x).equal(dense)
    model.conv2(x).square().sum().backward()
    values = model.conv2.parametrizations.weight.original
    expected = torch.zeros(8).index_add(0, one.index, weight.grad.flatten()[one.places])
    assert values.grad.allclose(expected, rtol=1e-4)
    with torch.no_grad():
        values.add_(1.0)
    (after,) = untie(chosen, sharings).values()
    assert after.values.equal(one.values + 1) and model.conv2.weight.equal(after.weight())
    assert type(model.conv2) is nn.Conv2d and list(model.conv2.state_dict()) == ["weight", "bias"]


# -------------------------------------------------------------------------------------------------- files
def read_by_hand(data: bytes) -> dict[str, numpy.ndarray]:
    """Read the layers of a file as `pack` describes it, a bit at a time."""
    assert data[:8] == b"archdsl\x03"
    (size,) = struct.unpack("<I", data[8:12])
    header, at, found = json.loads(zlib.decompress(data[12 : 12 + size])), 12 + size, {}

    def stream(about: dict) -> list[int]:
        nonlocal at
        lengths = data[at : at + about["codes"]]
        at += about["codes"] + 2 * about["blocks"]
        bits = "".join(f"{byte:08b}" for byte in data[at : at + about["bytes"]])
        at += about["bytes"]
        if about["only"] >= 0:
            return [about["only"]] * about["count"]
        words, code, before = {}, 0, 0
        for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
            code <<= length - before
            words[f"{code:0{length}b}"], code, before = symbol, code + 1, length
        symbols, word = [], ""
        for bit in bits:
            word += bit
            if word in words and len(symbols) < about["count"]:
                symbols.append(words[word])
                word = ""
        return symbols

    for layer in header["layers"]:
        values = numpy.frombuffer(data[at : at + 4 * layer["values"]], "<f4")
        at += 4 * layer["values"]
        index, weight, place = iter(stream(layer["index"])), numpy.zeros(math.prod(layer["shape"]), "f4"), 0
        for gap in stream(layer["gaps"]):
            place += gap
            if gap < 255:
                weight[place] = values[next(index)]
                place += 1
        assert next(index, None) is None
        found[layer["name"]] = weight.reshape(layer["shape"])
    return found


@pytest.mark.parametrize(
    ("density", "bits"), [(0.3, 4), (0.004, 8), (1.0, 2), ({"conv1": 0.5, "linear": 0.1}, {"ip1": 1, "*": 5})]
)
def test_a_network_comes_back_bit_for_bit(folder, model, density, bits):
    path = folder / "small.archz"
    made = archdsl.compress(model, path, density=density, bits=bits)
    again = archdsl.decompress(path)
    assert equal(model.state_dict(), again.state_dict())
    by_hand = read_by_hand(path.read_bytes())
    assert by_hand.keys() == {one.name for one in made.layers}
    for one in made.layers:
        weight = model.get_submodule(one.name).weight.detach()
        assert numpy.array_equal(by_hand[one.name], weight.numpy())
        assert len(weight[weight != 0].unique()) == one.values <= 2**one.bits
        assert one.left == int((weight != 0).sum())
    assert made.size == path.stat().st_size
    assert sum(one.size for one in made.layers) < made.size


def test_rules_are_of_layers_of_kinds_and_of_all(folder, model):
    before = model.ip2.weight.detach().clone()
    rules = {"conv*": 0.5, "ip2": 1, "linear": 0.1}
    made = archdsl.compress(model, folder / "rules.archz", density=rules, bits={"conv": 3, "ip1": 2})
    assert [(one.name, one.bits) for one in made.layers] == [("conv1", 3), ("conv2", 3), ("ip1", 2)]
    assert [round(one.left / one.weights, 2) for one in made.layers] == [0.5, 0.5, 0.1]
    assert model.ip2.weight.equal(before), "no bits, so it stays as it is"


def test_the_text_is_in_the_file(folder, tmp_path):
    (tmp_path / "own.arch").write_text(TEXT)
    made = archdsl.load(tmp_path / "own.arch", width=8, classes=7)
    archdsl.compress(made, tmp_path / "own.archz", density=0.2)
    (tmp_path / "own.arch").unlink()
    again = archdsl.decompress(tmp_path / "own.archz")
    x = torch.randn(2, 1, 8, 8)
    assert again.eval()(x).equal(made.eval()(x)) and again.eval()(x).shape == (2, 7)
    archdsl.save(again, tmp_path / "own.safetensors")
    assert archdsl.check(tmp_path / "own.safetensors").params == sum(p.numel() for p in made.parameters())


def test_a_damaged_file_is_a_mistake_and_nothing_else(folder, model, tmp_path):
    archdsl.compress(model, tmp_path / "whole.archz", density=0.2, bits=4)
    data, source = (tmp_path / "whole.archz").read_bytes(), numpy.random.default_rng(0)
    damaged = [data[:size] for size in (0, 4, 9, 30, len(data) // 2, len(data) - 1)] + [data + b"0"]
    for _ in range(60):
        other = bytearray(data)
        for at in source.integers(0, len(data), 3):
            other[at] ^= 1 << source.integers(8)
        damaged.append(bytes(other))
    refused = 0
    for one in damaged:
        try:
            pack.read(one)
        except Corrupt:
            refused += 1
    assert refused > 25, "what is no code, or has no room, is seen; another value is not"
    for one in damaged[:7]:
        (tmp_path / "other.archz").write_bytes(one)
        with pytest.raises(archdsl.CompileError):
            archdsl.decompress(tmp_path / "other.archz")


# -------------------------------------------------------------------------------------------------- networks
def test_digits_are_recognized_from_the_file(folder):
    """Within half a point, at a tenth of the weights, of real images."""
    torch.manual_seed(0)
    model = train(archdsl.load(folder / "small.arch"), 150)
    before, calls = accuracy(model), []

    def again(one: nn.Module) -> None:
        calls.append({name: int((layer.weight != 0).sum()) for name, layer in layers(one).items()})
        train(one, 100)

    made = archdsl.compress(model, folder / "digits.archz", density={"conv": 0.5, "linear": 0.1}, train=again, steps=3)
    after = accuracy(archdsl.decompress(folder / "digits.archz").eval())
    assert before > 0.93 and after >= before - 0.005, (before, after)
    assert len(calls) == 4 and [call["ip1"] for call in calls] == sorted([call["ip1"] for call in calls], reverse=True)
    assert made.whole / made.size > 10


def test_squeezenet_has_the_size_of_its_paper(tmp_path):
    """Iandola et al., 2016, arXiv:1602.07360, table 2: 0.47 MB at a density of 33 % and 6 bits."""
    torch.manual_seed(0)
    model = archdsl.load("squeezenet1_0")
    made = archdsl.compress(model, tmp_path / "small.archz", density=0.33, bits=6)
    assert made.size <= 0.47e6 and made.whole / made.size > 10
    assert equal(model.state_dict(), archdsl.decompress(tmp_path / "small.archz").state_dict())


# -------------------------------------------------------------------------------------------------- the command
def test_commands_are_the_functions(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    torch.manual_seed(1)
    archdsl.save(archdsl.load("small.arch"), "small.safetensors")
    asked = ["--density", "0.1", "--density", "conv=0.5", "--bits", "4", "--weights", "small.safetensors"]
    assert main(["compress", "small.arch", "-o", "small.archz", *asked]) == 0
    out = capsys.readouterr().out
    assert "times smaller" in out and "50.0%" in out and "10.0%" in out
    assert main(["decompress", "small.archz", "-o", "again.safetensors"]) == 0
    model = archdsl.load("small.arch", weights="small.safetensors")
    archdsl.compress(model, "other.archz", density={"conv": 0.5, "linear": 0.1}, bits=4)
    assert (folder / "other.archz").read_bytes() == (folder / "small.archz").read_bytes()
    assert equal(model.state_dict(), archdsl.load("again.safetensors").state_dict())
    assert main(["decompress", "small.archz", "-o", "again.safetensors"]) == 2
    assert "there is a file, which `--force` replaces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--density", "much"], "expected a number, or LAYER=NUMBER"),
        (["--density", "0"], "it is more than 0 to 1"),
        (["--density", "1.5"], "it is more than 0 to 1"),
        (["--density", "nothing=0.5"], "no layer has this name; there are conv1, conv2, ip1, ip2"),
        (["--density", "0.5", "--bits", "9"], "it is from 1 to 8"),
        (["--density", "0.5", "-o", "small.pth"], "the name ends in .archz"),
        (["--density", "0.5", "-o", "mine.archz"], "there is a file that archdsl did not write"),
        (["--density", "0.5", "--weights", "missing.pth"], "no file `missing.pth`"),
    ],
)
def test_what_cannot_be_asked_is_a_diagnostic(folder, monkeypatch, arguments, words, capsys):
    monkeypatch.chdir(folder)
    (folder / "mine.archz").write_text("mine")
    assert main(["compress", "small.arch", "-o", "new.archz", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (folder / "new.archz").exists() and (folder / "mine.archz").read_text() == "mine"


def test_a_module_of_others_is_not_compressed(tmp_path, model):
    with pytest.raises(TypeError, match="import_module"):
        archdsl.compress(nn.Linear(2, 2), tmp_path / "x.archz", density=0.5)
    with pytest.raises(TypeError, match="as it is"):
        archdsl.compress(model, tmp_path / "x.archz", density=0.5, classes=3)
