"""Legal input sizes against torch itself: every height from 1 to 130, widths, and the borders of every answer."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

import archdsl
from archdsl.analysis.legal import Legal, _compact, legal_sizes
from archdsl.analysis.legal import runs as ranges_of
from archdsl.cli.main import main
from archdsl.compiler import Request, compile_text, compiled
from archdsl.diagnostics import CompileError
from archdsl.run.load import instantiate
from tests.families import FILES, VARIED
from tests.ops.test_ops import evaluate, holds
from tests.properties.timing import answer_within

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "legal.json"


def runs(model: torch.nn.Module, shape: list[int]) -> bool:
    """Say whether torch takes an image of this shape."""
    try:
        with torch.no_grad():
            model(torch.zeros(shape, device=next(model.parameters()).device))
    except (RuntimeError, ValueError):
        return False
    return True


def compare(name: str, heights: list[int], widths: list[int]) -> int:
    """Compare the answer with torch on each height, at the default width, and on each width; count the cases."""
    options = {"solver": '"euler"'} if name == "odenet" else {}
    network = compiled(name, Request(params=options)).network
    with torch.device("cpu" if name == "odenet" else "meta"):  # torchdiffeq reads its times
        model = instantiate(compiled(name, Request(params=options))).eval()
    legal = legal_sizes(network)
    default = [int(d) for d in network.scope.shapes[network.scope.inputs[0]]]
    for axis, sizes, one in ((2, heights, legal[0]), (3, widths, legal[1])):
        for size in sizes:
            shape = [*default[:axis], size, *default[axis + 1 :]]
            found = runs(model, shape)
            assert found == (size in one), f"{name} on {shape}: torch says {found}, the answer is {one}"
    return len(heights) + len(widths)


def borders(one: Legal) -> set[int]:
    """Return sizes around each border of an answer."""
    ends = {n for low, high in one.ranges for n in (low, high)} | {one.start, one.start + one.period}
    return {n + d for n in ends for d in (-1, 0, 1) if n + d > 0}


@pytest.mark.parametrize("name", VARIED)
def test_every_size_up_to_130(name):
    height, width = legal_sizes(compiled(name).network)
    some = random.Random(name).sample(range(1, 131), 6)
    deep = len(archdsl.check(name).rows) > 40  # tens of milliseconds a size: the exhaustive run has them all
    compare(name, sorted({*(some if deep else range(1, 131)), *borders(height)}), sorted({*some, *borders(width)}))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_every_net_and_size(name):
    """The exhaustive run, whose result is committed: each net, each height and each width from 1 to 130.

    Each net writes its own row, so that an interrupted run can go on with `-k` or `--last-failed`.
    """
    height, width = legal_sizes(compiled(name).network)
    cases = compare(name, sorted({*range(1, 131), *borders(height)}), sorted({*range(1, 131), *borders(width)}))
    rows = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    rows[name] = {"H": height.rule(), "W": width.rule(), "sizes compared with torch": cases}
    RESULT.write_text(json.dumps(rows, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def test_the_exhaustive_run_has_every_file():
    """What was compared is what is answered today: a net, or its answer, that changes needs another run."""
    rows = json.loads(RESULT.read_text(encoding="utf-8"))
    answers = {name: [one.rule() for one in legal_sizes(compiled(name).network)] for name in rows}
    assert {name: [row["H"], row["W"]] for name, row in rows.items()} == answers
    assert {FILES[name] for name in rows} == set(FILES.values())
    assert all(row["sizes compared with torch"] >= 260 for row in rows.values())


MIN_SIZES = {  # torchvision's recorded `min_size`, of the same networks
    "alexnet": 63, "vgg16": 32, "googlenet": 15, "inception_v3": 75, "densenet121": 29, "squeezenet1_0": 21,
    "squeezenet1_1": 17, "resnet50": 1, "mobilenet_v2": 1,
}  # fmt: skip


@pytest.mark.parametrize(("name", "least"), MIN_SIZES.items())
def test_torchvisions_recorded_minimum(name, least):
    for one in legal_sizes(compiled(name).network):
        assert least in one and (least == 1 or least - 1 not in one)


@pytest.mark.usefixtures("torchvision_models")
def test_the_recorded_minimum_is_torchvisions():
    import torchvision

    for name, least in MIN_SIZES.items():
        weights = torchvision.models.get_model_weights(name).DEFAULT
        assert weights.meta["min_size"] == (least, least), name


def test_training_may_need_more():
    """Inception v3's auxiliary head needs a map of 17x17."""
    network = compiled("inception_v3").network
    assert [str(one) for one in legal_sizes(network)] == ["H ≥ 75", "W ≥ 75"]
    assert [str(one) for one in legal_sizes(network, training=True)] == ["H ≥ 299", "W ≥ 299"]


def net(body: str, dims: str = "N, 3, H=64, W=64") -> list[str]:
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return [str(one) for one in legal_sizes(compile_text(f"net n:\n    input i: [{dims}]\n{lines}\n").network)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("relu", ["H: any size", "W: any size"]),
        ("conv(4, (5, 3), pad=0)", ["H ≥ 5", "W ≥ 3"]),
        ("cat(maxpool(4) -> upsample(4), identity)", ["H divisible by 4", "W divisible by 4"]),
        ("cat(maxpool((4, 2)) -> upsample((4, 2)), identity)", ["H divisible by 4", "W divisible by 2"]),
        ("maxpool(8) -> flatten -> linear(10)", ["H: 64 to 71", "W: 64 to 71"]),
        ("pad(5, mode=\"reflect\")", ["H ≥ 6", "W ≥ 6"]),
        ("crop(50)", ["H ≥ 50", "W ≥ 50"]),
        ("crop((3, 5), offset=(1, 4))", ["H ≥ 4", "W ≥ 9"]),
        ("subsample((2, 3), offset=(0, 5))", ["H: any size", "W ≥ 6"]),
        ("attention(identity, relu, tanh, window=(4, 2), shift=1)", ["H divisible by 4", "W divisible by 2"]),
        ("pad((0, -x.width % 4, 0, -x.height % 4)) -> attention(identity, relu, tanh, window=4)", ["H: any size", "W: any size"]),
        ("pixel_unshuffle(2)", ["H divisible by 2", "W divisible by 2"]),
        ("cat(maxpool(8) -> upsample(8), crop(64))", ["H: 64 to 71", "W: 64 to 71"]),
        ("cat(conv(4, 3, 2) -> upsample(2), identity) -> conv(2, 17, pad=0)", ["H divisible by 2 and ≥ 18"] * 1 + ["W divisible by 2 and ≥ 18"]),
        ("conv_transpose(4, 4, 2, pad=3)", ["H ≥ 3", "W ≥ 3"]),
        ("p = x -> maxpool(2, indices=true)\np.out -> maxunpool(p.indices, 2)", ["H divisible by 2", "W divisible by 2"]),
        ("p = x -> maxpool((2, 3), indices=true)\np.out -> maxunpool(p.indices, (2, 3), like=i)", ["H ≥ 2", "W ≥ 3"]),
    ],
)  # fmt: skip
def test_answers_in_words(body, expected):
    assert net(body) == expected


def test_two_inputs_that_must_agree():
    text = "net n:\n    input a: [N, 3, H=64, W=64]\n    input b: [N, 3, K=64, L=64]\n    add(a, b)\n"
    assert [str(one) for one in legal_sizes(compile_text(text).network)] == ["H: 64", "W: 64", "K: 64", "L: 64"]


@pytest.mark.parametrize(("sizes", "nearest"), [((1, 3, 40, 500), "H = 63"), ((1, 3, 40, 10), "H = 63, W = 63")])
def test_an_illegal_input_is_told_the_nearest_legal_one(sizes, nearest):
    with pytest.raises(archdsl.CompileError, match=f"nearest legal size is {nearest}"):
        archdsl.check("alexnet", sizes=(sizes,))


def test_check_states_what_a_net_accepts(capsys):
    assert main(["check", "alexnet"]) == 0
    assert capsys.readouterr().out.endswith("at 224x224; H, W ≥ 63\n")
    assert main(["check", "alexnet", "--shapes"]) == 0
    assert "\nH ≥ 63, because of `maxpool` on line" in capsys.readouterr().out
    assert main(["check", "alexnet", "--format", "json"]) == 0
    height, _ = json.loads(capsys.readouterr().out)["networks"][0]["legal"]
    assert (height["name"], height["from"], height["period"], height["residues"]) == ("H", 63, 1, [0])


def test_the_nearest_of_an_odd_set():
    one = Legal("H", ((3, 4),), 16, 8, (0, 1))
    assert [n for n in range(1, 40) if n in one] == [3, 4, 16, 17, 24, 25, 32, 33]
    assert [one.nearest(n) for n in (1, 4, 9, 10, 12, 20, 21)] == [3, 4, 4, 16, 16, 17, 24]


@pytest.mark.parametrize(
    ("dims", "body", "expected"),
    [
        ("N, 3, H=32, H", "flatten -> linear(10)", ["H: 32"]),
        ("N, 3, H=32, H", "conv(8, 3, 2) -> maxpool(2) -> flatten -> linear(10)", ["H: 31 to 34"]),
        ("N, 3, H=64, H", "cat(maxpool(4) -> upsample(4), identity) -> conv(1, 33, pad=0) -> flatten -> linear(1)", ["H: 64"]),
        ("N, 3, H=16, W=9", "u = x -> adaptive_avgpool((20, 10))\nu -> crop(like=i)", ["H: 1 to 20", "W: 1 to 10"]),
        ("N, 3, H=5, W=6", "mul(identity, conv(3, 1, (8, 7)))", ["H: 1 to 8", "W: 1 to 7"]),
        # 127 * 131 is more than the period of one size may be
        ("N, 3, H=16637, W=131", "add(maxpool((127, 1)) -> upsample((127, 1)), maxpool((131, 1)) -> upsample((131, 1)))",
         ["H: 16637 to 16763, 33274 to 33400, ...", "W: any size"]),
        ("N, 3, H=16000000, W=8", "conv(3, (9000000, 1), pad=0)", ["H ≥ 9000000", "W: any size"]),
        ("N, 3, H=441000, W=1", "maxpool((4, 1)) -> flatten -> linear(2)", ["H: 441000 to 441003", "W: 1"]),
    ],
)  # fmt: skip
def test_answers_at_the_edges(dims, body, expected):
    assert answer_within(1, lambda: net(body, dims)) == expected


def test_a_pattern_that_is_too_long_is_an_error_at_its_step():
    strides = (251, 256, 243)
    steps = "\n".join(f"output o{s} = i -> cat(maxpool(({s}, 1)) -> upsample(({s}, 1)), identity)" for s in strides)
    with pytest.raises(archdsl.CompileError, match="more than 65,536 pieces") as caught:
        net(steps, f"N, 3, H={251 * 256 * 243}, W=8")
    assert (caught.value.diagnostic.code, caught.value.diagnostic.primary.span.line) == ("E0304", 5)


def test_the_nearest_of_a_far_one():
    assert Legal("H", ((3, 4),), 9_000_000, 1, (0,)).nearest(5) == 4
    assert Legal("H", (), 9_000_000, 7, (2,)).nearest(5) == 9_000_000 and 9_000_000 % 7 == 2
    assert Legal("H", (), 1, 1, ()).nearest(5) is None


# -------------------------------------------------------------------------------------------------- `require`
class Map:
    """A tensor, as Python reads `x.height`."""

    def __init__(self, height: int, width: int) -> None:
        self.channels, self.height, self.width = 3, height, width


def comparisons_at_random(count: int) -> list[str]:
    """Return tests on sizes that are expressions of Python, too."""
    rng = random.Random(5)

    def size(depth: int = 2) -> str:
        if depth == 0 or rng.random() < 0.4:
            return rng.choice(["x.height", "x.height", "x.width"])
        inner = size(depth - 1)
        return rng.choice([f"{inner} // {rng.randint(2, 6)}", f"({inner} + {rng.randint(1, 9)})", f"{inner} % {rng.randint(2, 7)}",
                           f"2 * ({inner})", f"(70 - {inner})", f"({inner} * 3) // 4"])  # fmt: skip

    def test(depth: int = 2) -> str:
        if depth == 0 or rng.random() < 0.45:
            sign = rng.choice(["==", "!=", "<", ">", "<=", ">=", "in"])
            return f"{size()}{rng.choice(['', '', ' / 2'])} {sign} {[rng.randint(0, 60) for _ in range(3)] if sign == 'in' else rng.choice([str(rng.randint(0, 50)), size(1)])}"
        if rng.random() < 0.25:
            return f"not ({test(depth - 1)})"
        return f"({test(depth - 1)}) {rng.choice(['and', 'or'])} ({test(depth - 1)})"

    return [test() for _ in range(count)]


def test_a_requirement_on_sizes_is_what_python_says_at_each():
    looked, refused = 0, 0
    for text in comparisons_at_random(250):
        body = f'net n:\n    input i: [N, 3, H=40, W=48]\n    require {text}, "no"\n    maxpool(5)\n'
        try:
            network = compile_text(body).network
        except CompileError as mistake:
            assert mistake.diagnostic.code == "E0215", mistake
            assert not eval(text, {"x": Map(40, 48)})  # noqa: S307 — of this file alone
            refused += 1
            continue
        for legal, least in zip(legal_sizes(network), (5, 5)):
            for n in range(1, 90):
                x = Map(n, 48) if legal.name == "H" else Map(40, n)
                assert (n in legal) == (n >= least and bool(eval(text, {"x": x}))), (text, legal.name, n)  # noqa: S307
            looked += 1
    assert looked > 120 and refused > 50


def test_a_requirement_names_its_line_and_is_met_by_the_sizes_that_are_given():
    text = 'net n:\n    input i: [N, 3, H=64, W=64]\n    conv(8, 3, 2)\n    require x.height % 4 == 0 or x.height > 100, "four levels"\n'
    height, _ = legal_sizes(compile_text(text).network)
    assert 63 in height and 62 not in height and 66 not in height and 207 in height
    assert height.because() == ", because of `require` on line 4"
    with pytest.raises(CompileError, match="four levels"):
        compile_text(text, Request(sizes=((1, 3, 65, 64),)))
    compile_text(text, Request(sizes=((1, 3, 71, 64),)))
    with pytest.raises(CompileError, match="comparisons"):
        compile_text(text.replace("x.height > 100", " or ".join(f"x.height > {n} and x.width > {n}" for n in range(9))))


def test_a_requirement_of_a_block_holds_where_the_block_stands():
    text = """block half:
    require x.height % 2 == 0, "even maps only"
    conv(8, 3, 2)
net n:
    input i: [N, 3, H=64, W=64]
    half -> half -> half
"""
    height, width = legal_sizes(compile_text(text).network)
    assert str(height) == "H divisible by 8" and str(width) == "W: any size"


# -------------------------------------------------------------------------------------------------- size by size
PLAIN_STEPS = (
    "conv(4, 3, 2)", "conv(4, (3, 5), pad=0)", "maxpool(2)", "maxpool(3, 2, ceil=true)", "maxpool(3, stride=3, pad=1)",
    "maxpool(2, stride=3, pad=1, dilation=3)", "pad(2, mode=\"reflect\")", "conv_transpose(4, 3, 2, pad=3)",
    "conv_transpose(4, 2, 3)", "crop(7)", "crop(3, offset=(1, 4))", "subsample(2, offset=(3, 0))", "attention(identity, relu, tanh, window=4, shift=2)", "pixel_unshuffle(2) -> conv(4, 1)",
    "add(maxpool(3) -> upsample(3), identity)", "cat(maxpool(2) -> upsample(2), identity) -> conv(4, 1)",
    "add(identity, maxpool(2) -> upsample(2), maxpool((1, 3)) -> upsample((1, 3)))", "upsample(2)",
    "cat(crop(9), maxpool(4) -> crop(9)) -> conv(4, 1)", "mul(identity, adaptive_avgpool(1))",
    "mul(maxpool(16) -> conv(4, 1), identity)", "mul(identity, maxpool((9, 11)))",
)  # fmt: skip
ENDS = ("relu", "relu", "flatten -> linear(3)", "flatten -> gn(3, affine=false)", "flatten -> bn(affine=false)")


def some_net(rng: random.Random) -> str:
    """Return a net of steps that limit its sizes, some of them for a result of training alone."""
    steps = " -> ".join(rng.choice(PLAIN_STEPS) for _ in range(rng.randint(1, 3)))
    dims = rng.choice(("H={}, W={}", "H={}, W={}", "H={0}, H")).format(rng.randint(20, 60), rng.randint(20, 60))
    aux = f"    output aux = x -> {rng.choice(PLAIN_STEPS)} when training\n" if rng.random() < 0.3 else ""
    return f"net n:\n    input i: [N, 4, {dims}]\n    {steps}\n{aux}    {rng.choice(ENDS)}\n"


def fits(network: object, sizes: dict, training: bool) -> bool:
    """Say whether every map that is needed has a pixel and every relation holds: what legal means, size by size."""
    scope = network.scope
    wanted = {o.value for o in scope.outputs if training or not o.training}
    for node in reversed(scope.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
    for node in scope.nodes:
        if wanted.intersection(node.outputs):
            xs = tuple(evaluate(scope.shapes[v], sizes) for v in node.inputs)
            if any(dim < 1 for v in node.outputs for dim in evaluate(scope.shapes[v], sizes)[2:]):
                return False
            given = [scope.shapes[v] for v in node.inputs]
            if not all(holds(relation, sizes) for relation in node.what.relations(*given)):
                return False
            assert all(dim > 0 for x in xs for dim in x)
    return True


@pytest.mark.parametrize("seed", range(8))
def test_answers_are_those_of_every_size_by_itself(seed):
    rng, compared = random.Random(seed), 0
    while compared < 5:
        text = some_net(rng)
        try:
            network = compile_text(text).network
        except archdsl.CompileError:
            continue
        compared += 1
        for training in (False, True):
            legal = {one.name: one for one in legal_sizes(network, training=training)}
            for symbol in network.symbols[1:]:
                one = legal[symbol.name]
                for n in sorted({*range(1, 70), *borders(one)}):
                    assert (n in one) == fits(network, {symbol: n}, training), (text, one, n, training)
                members = [n for n in range(1, 200) if n in one]
                for n in (1, 17, 45, 90) if members else ():
                    assert one.nearest(n) == min(members, key=lambda m: (abs(m - n), -m)), (text, one, n)


def test_sizes_that_fit_with_a_gap():
    """A map of 2*H must hold one of 5*ceil(H/5) at a distance of 4: 5 is enough, 6 is not, and 7 is again."""
    body = "u = x -> upsample(2)\n    k = x -> conv(4, 1, 5) -> upsample(5)\n    u -> crop(like=k, offset=(4, 0))"
    network = compile_text(f"net n:\n    input i: [N, 4, H=32, W=32]\n    {body}\n").network
    height, _ = legal_sizes(network)
    assert [n for n in range(1, 12) if n in height] == [5, 7, 8, 9, 10, 11]
    assert all((n in height) == fits(network, {network.symbols[1]: n}, False) for n in range(1, 80))


def test_what_is_repeated_may_be_as_long_as_the_others():
    """One row at 11 of them is repeated; at 2 there are 2, as many as in the other map. At 1 that one would be repeated."""
    body = "add(upsample(size=(-x.height % 4, x.width)), conv(x.channels, 1))"
    found = compile_text(f"net n:\n    input i: [N, 2, H=11, W=5]\n    {body}\n")
    height, _ = legal_sizes(found.network)
    model = instantiate(found)
    assert [n for n in range(2, 60) if n in height] == [n for n in range(2, 60) if runs(model, [1, 2, n, 5])]
    assert 2 in height and 3 in height and 6 not in height


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("gn(4, affine=false)", "F divisible by 4"),
        ("gn(4)", "F: 12"),
        ("bn(affine=false)", "F: 12"),  # whose statistics are of so many features
        ("bn(affine=false, track=false)", "F: any size"),
        ("prelu(per_channel=true)", "F: 12"),
        ("prelu", "F: any size"),
        ("split(identity, relu)", "F: 12"),
        ("ln(affine=false)", "F: any size"),
        ("linear(3)", "F: 12"),
    ],
)
def test_numbers_of_flat_features(step, expected):
    network = compile_text(f"net n:\n    input v: [N, F=12]\n    {step}\n").network
    assert [str(one) for one in legal_sizes(network)] == [expected]


def test_a_pattern_starts_where_it_holds():
    """Any sizes up to some, and a pattern after them: the answer has all of them and no other."""
    rng = random.Random(0)
    for _ in range(500):
        settled, period = rng.randint(1, 14), rng.randint(1, 6)
        residues = {r for r in range(period) if rng.random() < 0.5}
        early = {n for n in range(1, settled) if rng.random() < 0.6}
        wanted = {n for n in range(1, settled + 4 * period) if (n in early if n < settled else n % period in residues)}
        members = ranges_of(sorted(n for n in wanted if n < settled + period))
        one = _compact("H", members, settled, period, None, None)
        assert {n for n in range(1, settled + 4 * period) if n in one} == wanted, one
