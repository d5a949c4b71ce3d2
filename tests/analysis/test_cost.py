"""Every convention against the tool it names, and bytes against a tracer, on every bundled network."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.analysis import conventions
from archdsl.analysis.conventions import CONVENTIONS
from archdsl.analysis.costs import cost
from archdsl.analysis.forms import closed
from archdsl.analysis.table import Figures, table, total
from archdsl.cli.main import main
from archdsl.compiler import Request, compile_text, compiled
from archdsl.ops import OPS
from archdsl.run.load import instantiate
from tests.families import VARIED

NETS = [n if n in VARIED else pytest.param(n, marks=pytest.mark.slow) for n in archdsl.nets()]
# A solver that chooses its steps runs its function as often as the values need; the rule is the least there can be.
ADAPTIVE = {"odenet"}
UNTRACED = {"deconvnet", "segnet"}  # fvcore cannot trace `max_unpool2d`: it stops with a TypeError
# What no bundled network has, in the forms that tools see: modules in a sequence, functions in a block.
OTHERS = """net others(shuffled=2):
    input image: [N, 4, H=24, W=20]
    a: [conv_transpose(8, 3, stride=2, pad=1), gn(2), prelu, leaky_relu, elu, gelu, silu, softmax, ln]
    b: [upsample(scale=2, mode="bilinear"), avgpool(2), maxpool(2), adaptive_maxpool(9), adaptive_avgpool(5), hardswish]
    c: conv(8, 3) -> lrn -> elu -> gelu -> silu -> relu6 -> mish -> sigmoid -> tanh -> hardsigmoid -> leaky_relu
    d: upsample(size=7) -> avgpool(3, stride=1) -> maxpool(2, stride=1) -> adaptive_maxpool(4) -> pad(1) -> crop(5)
    e: add(scale(0.5), scale(1, learned=true), prelu, identity) -> shuffle(2) -> pixel_shuffle(2) -> pixel_unshuffle(2)
    f: mul(identity, [global_avgpool, conv(8, 1), sigmoid]) -> split(identity, depthwise(3)) -> shuffle(shuffled) -> bn
    u: [conv(16, 1), softplus, hardtanh(0, 6), glu]
    s = x
    filter([1, 2, 1], stride=2) -> l: filter([1, 2], [1, 1, 1], pad=0) -> upsample(size=(2 * x.height, s.width))
    m: adaptive_avgpool((s.height - 1, 3)) -> slice(1, x.height // 2, axis="height") -> upsample(size=(s.height, s.width))
    v: abs -> exp -> sqrt -> log -> shift(0.5) -> shift(0, learned=true, per_channel=true) -> softplus -> hardtanh(0, 6)
    n: add(identity, learned([8, 1, 1])) -> maximum(identity, learned([1, 1, 1])) -> rms_norm -> split(identity, relu, sizes=[3, 5])
    t = x -> conv(8, 1)
    w = x * s + 1 - (x - (x -> mean("channels"))) / (s**2 -> sum(["height", "width"])) - (1 - t / 2) * 3 + 1 / t
    -w -> cat(identity, glu) -> cat(max("channels"), var("channels"), min("channels")) -> max("height") -> conv(16, 1)
    g: dropout -> slice(0, 6) -> flatten -> linear(10) -> bn -> softmax
"""
OF_TOKENS = """net places:
    input image: [N, 4, H=24, W=20]
    attention(conv(8, 1), conv(8, 1), conv(4, 1), heads=2)
    skip = x
    a: [tokens, ln, linear(12), gelu, rms_norm, linear(4), softmax, ln(bias=false)]
    b: attention(q: linear(8), identity -> k: linear(8), tanh, heads=4) -> prelu -> softmax(axis="tokens")
    matmul(matmul(identity, transpose) -> softmax, identity) -> glu -> linear(4, bias=false)
    untokens(like=skip) -> tokens(window=(4, 5)) -> linear(12) -> attention(heads=2)
    scale(1, learned=true, per_channel=true) -> dropout -> untokens(window=(4, 5), like=skip)
    attention(identity, relu, silu, window=(4, 5)) -> subsample(1, offset=(0, 0)) -> prelu
    attention(identity, relu, silu, relative_bias(2, (4, 5)), window=(4, 5), shift=(2, 1), heads=2)
    attention(identity, relu, silu, window=4, shift=3) -> subsample(1)
    tokens(every=2) -> attention(identity, relu, silu) -> untokens(every=2, like=skip)
    tokens(grid=4) -> attention(identity, relu, silu) -> untokens(grid=4, like=skip)
    attention(identity, relu, silu, relative_bias(2), heads=2) -> tokens(window=(4, 5))
    attention(identity, relu, silu, rel: relative_bias(2, (4, 5)), heads=2) -> untokens(window=(4, 5), like=skip)
    transpose -> tokens
    cat(learned([2, 4]), identity, axis="tokens") -> add(identity, learned([1, 4])) -> slice(0, 1, axis="tokens")
    flatten -> linear(3)
"""


def small(name: str) -> Any:
    """Check a network on a small image where it takes one: every count is a sum over steps, at any size."""
    (_, (_, channels, *_)), *others = archdsl.check(name).inputs
    try:
        return compiled(name, Request(sizes=((1, int(channels), 64, 64),))) if not others else compiled(name)
    except archdsl.CompileError:
        return compiled(name)


BUILT: list[torch.nn.Module] = []


@pytest.fixture(autouse=True)
def weights_are_freed():
    """What `torch.jit` has traced, as fvcore does, stays for ever: 5.6 GB of weights in this file."""
    yield
    while BUILT:
        model = BUILT.pop()
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.untyped_storage().resize_(0)


def built(checked: Any) -> torch.nn.Module:
    """Build a network whose weights are zeros: on the CPU, since the tools' traces differ on the meta device."""
    with torch.device("meta"):
        model = instantiate(checked)
    model = model.to_empty(device="cpu").eval()
    BUILT.append(model)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.zero_()
    return model


def images(checked: Any) -> list[torch.Tensor]:
    scope = checked.network.scope
    return [torch.zeros([int(d) for d in scope.shapes[v]]) for v in scope.inputs]


# -------------------------------------------------------------------------------------------------- the tools
def by_torch(model: torch.nn.Module, xs: list[torch.Tensor]) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(*xs)
    return counter.get_total_flops()


def by_fvcore(model: torch.nn.Module, xs: list[torch.Tensor]) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, tuple(xs)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    return int(analysis.total())


def by_thop(model: torch.nn.Module, xs: list[torch.Tensor]) -> int:
    import thop

    return int(thop.profile(model, tuple(xs), verbose=False)[0])


def by_ptflops(model: torch.nn.Module, xs: list[torch.Tensor]) -> int:
    from ptflops import get_model_complexity_info

    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        found, _ = get_model_complexity_info(
            model, tuple(xs[0].shape[1:]), as_strings=False, print_per_layer_stat=False,
        )  # fmt: skip
    return int(found)


def by_torchinfo(model: torch.nn.Module, xs: list[torch.Tensor]) -> int:
    from torchinfo import summary

    return int(
        summary(
            model,
            input_data=xs,
            verbose=0,
            depth=9,
        ).total_mult_adds
    )


TOOLS = {"torch": by_torch, "fvcore": by_fvcore, "thop": by_thop, "ptflops": by_ptflops, "torchinfo": by_torchinfo}


pytestmark = pytest.mark.usefixtures("one_thread", "torchvision_models")  # ptflops imports torchvision


@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore")
def test_conventions_and_bytes_are_those_of_the_tools(name):
    checked = small(name) if name not in ADAPTIVE else compiled(name, Request(params={"solver": '"rk4"'}))
    model, xs = built(checked), images(checked)
    if name in ADAPTIVE:  # the solver's own arithmetic, a library's, is not counted
        assert total(checked.network, "torch") == by_torch(model, xs)
        return
    check_bytes(checked, model, xs, 1, "float32")
    for tool, count in TOOLS.items():
        if (tool != "ptflops" or len(xs) == 1) and (
            tool != "fvcore" or name not in UNTRACED
        ):  # ptflops takes one image
            assert total(checked.network, tool) == count(model, xs), tool
    assert total(checked.network, "macs") * 2 == total(checked.network, "torch")


@pytest.mark.parametrize("text", [OTHERS, OF_TOKENS], ids=["maps", "tokens"])
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.filterwarnings("ignore")
def test_conventions_on_operators_that_no_network_has(tool, text):
    checked = compile_text(text)
    assert total(checked.network, tool) == TOOLS[tool](built(checked), images(checked))


@pytest.mark.filterwarnings("ignore")
def test_what_two_tools_leave_out_depends_on_the_run():
    """A trace has nothing that no result depends on, and a fused kernel of attention is not known to torch's counter."""
    text = (
        "block b:\n    output main = x -> conv(8, 1)\n    output side = x -> conv(4, 1)\n\n"
        "net n:\n    input image: [N, 8, H=6, W=5]\n    y = x -> b\n    cat(y.main, y.side) -> conv(8, 1) -> b\n"
        "    tokens -> linear(8) -> attention(identity, identity, identity, heads=2)\n"
    )
    checked = compile_text(text)
    model, xs = built(checked), images(checked)
    assert total(checked.network, "fvcore") - by_fvcore(model, xs) == 8 * 4 * 6 * 5
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.no_grad():
        model(*xs)
    assert total(checked.network, "torch") - counter.get_total_flops() == 2 * 2 * 30 * 30 * 8


def test_operators_of_the_table_exist():
    for convention in CONVENTIONS.values():
        assert set(convention.rows) <= set(OPS), convention.name


@pytest.mark.parametrize("tool", ["fvcore", "thop", "ptflops", "torchinfo"])
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_row_is_found(tool, monkeypatch):
    monkeypatch.setitem(CONVENTIONS[tool].rows, "bn", conventions.macs)
    checked = small("resnet18")
    assert total(checked.network, tool) != TOOLS[tool](built(checked), images(checked))


# -------------------------------------------------------------------------------------------------- bytes
class Tracer(TorchDispatchMode):
    """Adds up the bytes of the tensors that kernels take and return; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.read = self.written = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # Pooling to one pixel sets the strides of its result in place where the map is in channels_last.
        views = torch.ops.aten._unsafe_view.default, torch.ops.aten.as_strided_.default
        if not func.is_view and func not in views and "empty" not in str(func):
            self.read += size_of((args, kwargs))
            self.written += size_of(result)
        return result


def size_of(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tree_leaves(tensors) if isinstance(t, torch.Tensor))


def check_bytes(checked: Any, model: torch.nn.Module, xs: list[torch.Tensor], batch: int, dtype: str) -> None:
    with Tracer() as tracer, torch.no_grad():
        model(*xs)
    found = table(checked.network, dtype=dtype, batch=batch)
    assert (found.bytes_read(found.total), found.bytes_written(found.total)) == (tracer.read, tracer.written)


@pytest.mark.parametrize("shuffled", [1, 2, 8])
def test_bytes_of_operators_that_no_network_has(shuffled):
    checked = compile_text(OTHERS, Request(params={"shuffled": shuffled}))
    xs = [torch.zeros(3, *x.shape[1:], dtype=torch.float64) for x in images(checked)]
    check_bytes(checked, built(checked).double(), xs, 3, "float64")


COUNTED = {
    "a result of training alone": """net n:
    input image: [N, 3, H=12, W=10]
    conv(8, 3) -> bn -> relu
    output aux = x -> conv(5, 3) -> bn -> relu -> global_avgpool when training
    conv(4, 1)
""",
    "a solver of three steps": """net n:
    input image: [N, 3, H=12, W=10]
    conv(4, 3) -> ode(conv(4, 3) -> relu, solver="midpoint", steps=3) -> conv(2, 1)
""",
    "a block used twice, and one of two bindings": """block tower(c):
    conv(c, 3) -> bn -> relu
net n:
    input image: [N, 4, H=12, W=10]
    shared = same: tower(4)
    cat(shared -> shared, tower(4) -> tower(4), identity) -> conv(2, 1)
""",
    "a transposed convolution by groups and a gate before its map": """net n:
    input image: [N, 4, H=12, W=10]
    conv_transpose(6, 3, stride=2, groups=2, pad=1) -> mul([global_avgpool, conv(6, 1), sigmoid], identity) -> conv(2, 1)
""",
    "norms without statistics or weights": """net n:
    input image: [N, 6, H=12, W=10]
    conv(6, 1) -> bn(affine=false) -> gn(3, affine=false) -> ln(affine=false) -> conv(2, 1, bias=false) -> bn
""",
}


@pytest.mark.parametrize("name", COUNTED)
def test_every_way_of_counting_is_torchs(name):
    """`check`, the table, its sums, closed forms and sweeps count what runs in evaluation, as often as it runs."""
    checked = compile_text(COUNTED[name])
    model, xs = built(checked), images(checked)
    wanted, params = by_torch(model, xs) // 2, sum(p.numel() for p in model.parameters())
    assert (cost(checked.network).macs, cost(checked.network).params) == (wanted, params)
    found = table(checked.network)
    form = closed(checked.network)
    for macs, learned in (
        (found.total.macs, found.total.params),
        (sum(figures.macs for _, _, figures in found.kinds), sum(figures.params for _, _, figures in found.kinds)),
        (sum(line.figures.macs for line in found.lines if not line.depth), found.total.params),
        (form["macs"].at({}), form["params"].at({})),
    ):
        assert (macs, learned) == (wanted, params)
    assert form["bytes"].at({}, 3) == traffic_of(table(checked.network, batch=3))


def traffic_of(found: Any) -> int:
    return found.bytes_read(found.total) + found.bytes_written(found.total)


@pytest.mark.parametrize("name", [n for n in COUNTED if "solver" not in n])
def test_bytes_are_those_of_a_tracer(name):
    checked = compile_text(COUNTED[name])
    check_bytes(checked, built(checked), [torch.zeros(3, *x.shape[1:]) for x in images(checked)], 3, "float32")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.filterwarnings("ignore")
def test_conventions_on_norms_without_weights(tool):
    checked = compile_text(COUNTED["norms without statistics or weights"])
    assert total(checked.network, tool) == TOOLS[tool](built(checked), images(checked))


EDGES = ("bn(track=false)", "bn(affine=false, track=false)", "lrn(4)", "lrn(5)", "adaptive_avgpool((5, 3))", "gn(2)",
         "adaptive_maxpool((5, 7))", "mul(global_avgpool, identity)", "add(identity, relu, tanh)", "ln", "flatten -> ln", "ln(bias=false)",
         "rms_norm", "filter([1, 2, 1], stride=2)", "flatten -> rms_norm", "rms_norm(affine=false)", "tokens -> ln(bias=false)",
         "shuffle(4)", "shuffle(2)", "maxpool(3, indices=true)", "upsample(2, mode=\"bilinear\")", "pad_channels(2)")  # fmt: skip


@pytest.mark.parametrize("step", EDGES)
def test_bytes_of_one_operator(step):
    checked = compile_text(f"net n:\n    input image: [N, 4, H=12, W=10]\n    {step}\n")
    check_bytes(checked, built(checked), [torch.zeros(2, 4, 12, 10)], 2, "float32")


def test_bytes_where_the_size_is_that_of_another_map():
    text = "net n:\n    input image: [N, 4, H=12, W=10]\n    skip = x\n    maxpool(2) -> upsample(like=skip)\n"
    check_bytes(compile_text(text), built(compile_text(text)), [torch.zeros(2, 4, 12, 10)], 2, "float32")


@pytest.mark.parametrize(
    ("step", "expected"),
    [  # by hand, on 4 channels of 6 x 5
        ("maxpool((3, 2), stride=1)", 4 * 4 * 4 * 5),  # 4 x 4 results of 5 comparisons
        ("avgpool(2)", 4 * 3 * 2 * 4),
        ("adaptive_avgpool((4, 2))", 4 * (2 + 2 + 2 + 2) * (3 + 3)),  # rows 0-1, 1-2, 3-4, 4-5; columns 0-2 and 2-4
        ("flatten -> linear(7)", 7),  # biases
        ("flatten -> linear(7, bias=false)", 0),
        ("conv(3, 1)", 3 * 30),
        ("add(identity, relu, tanh)", 120 + 120 + 2 * 120),
    ],
)
def test_operations_beside_multiply_accumulates(step, expected):
    network = compile_text(f"net n:\n    input image: [N, 4, H=6, W=5]\n    {step}\n").network
    assert total(network, "all") - 2 * total(network, "macs") == expected


# -------------------------------------------------------------------------------------------------- the table
@pytest.mark.parametrize("name", NETS)
def test_lines_and_kinds_add_up(name):
    found = table(compiled(name).network, "all")
    assert sum([figures for _, _, figures in found.kinds], Figures()) == found.total
    assert sum([line.figures for line in found.lines if line.depth == 0], Figures()) == found.total
    assert found.total.params == archdsl.check(name).params


# -------------------------------------------------------------------------------------------------- the command
def run(capsys: Any, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_the_header_states_the_convention_and_the_sizes(capsys):
    out = run(
        capsys, "cost", "resnet18", "--convention", "fvcore", "--input", "1x3x128x160", "--by", "kind", "--batch", "4"
    )
    assert "by the convention `fvcore`" in out and "image 1x3x128x160" in out and "float32, batch 4" in out


def test_rows_by_layer_block_and_kind(capsys):
    layers, blocks, kinds = [run(capsys, "cost", "resnet50", "--by", by) for by in ("layer", "block", "kind")]
    assert "1-2 ×2" in layers and "bottleneck(planes=64" in layers and "bn3" in layers
    assert "1-2 ×2" in blocks and "bn3" not in blocks
    assert "global_avgpool" in kinds and "427 /32 @-213" in layers
    assert all("4,089,184,256" in out for out in (layers, blocks, kinds))


def test_csv_and_json_hold_the_same_figures(capsys):
    rows = list(csv.DictReader(io.StringIO(run(capsys, "cost", "mobilenet_v2", "--csv"))))
    found = json.loads(run(capsys, "cost", "mobilenet_v2", "--json"))
    assert [int(row["macs"]) for row in rows] == [layer["macs"] for layer in found["layers"]]
    assert sum(int(row["macs"]) for row in rows if row["depth"] == "0") == found["total"]["macs"] == 300774272
    assert found["outputs"][0]["field"]["whole"] is True


def test_explain_shows_what_two_tools_count_differently(capsys):
    out = run(capsys, "cost", "mobilenet_v2", "--explain", "thop")
    assert "26,712,448" in out and "301 M by `macs`, 327 M by `thop`" in out and "counted over its result" in out


def test_bad_options_are_refused(capsys):
    for arguments in (["--convention", "flops"], ["--batch", "0"], ["--json", "--csv"]):
        with pytest.raises(SystemExit):
            main(["cost", "resnet18", *arguments])
    assert main(["cost", "resnet18", "--set", "depht=3"]) == 2
    assert "has no parameter `depht`" in capsys.readouterr().err


def test_a_solver_that_only_training_runs_costs_nothing_by_kind():
    text = """net n:
    input image: [N, 3, H=12, W=10]
    conv(4, 3) -> relu
    output aux = x -> ode(conv(4, 3), solver="rk4", steps=2) -> global_avgpool when training
    conv(4, 1)
"""
    found = table(compile_text(text).network)
    assert sum([figures for _, _, figures in found.kinds], Figures()) == found.total
    assert {kind: count for kind, count, _ in found.kinds}["ode"] == 1
