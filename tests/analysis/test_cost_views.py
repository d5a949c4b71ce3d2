"""What is made of the counts: formulas, the roofline, fusions, and the difference of two networks."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

import pytest

import archdsl
from archdsl.analysis.diff import compare
from archdsl.analysis.roofline import DEVICES, Device, fusions, lines, time_of, total
from archdsl.analysis.table import table
from archdsl.cli.main import main
from archdsl.compiler import Request, compile_text, compiled
from archdsl.report.check import report


def run(capsys: Any, *arguments: str, status: int = 0) -> str:
    assert main(list(arguments)) == status
    out, err = capsys.readouterr()
    return out if status == 0 or out else err


# -------------------------------------------------------------------------------------------------- formulas
def formulas(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, formula = line.partition(" = ")
        if equals:
            found.setdefault(name, []).append(formula)
    return found


def value(formula: str, **names: float) -> float:
    """Evaluate a printed formula as a reader would, `/` and `//` as Python has them."""
    return eval(formula, {"ceil": lambda x: -int(-x // 1)}, names)


@pytest.mark.parametrize("name", ["mobilenet_v2", "googlenet", "densenet121", "squeezenet1_0"])
def test_formulas_in_the_input_size_are_the_costs(name, capsys):
    found = formulas(run(capsys, "cost", name, "--symbolic", "N,H,W"))
    for h, w, batch in ((224, 224, 1), (97, 131, 3), (256, 320, 8)):
        got = table(compiled(name, Request(sizes=((1, 3, h, w),))).network, batch=batch)
        moved = got.bytes_read(got.total) + got.bytes_written(got.total)
        assert value(found["MACs"][0], N=batch, H=h, W=w) == got.total.macs * batch
        assert value(found["bytes"][0], N=batch, H=h, W=w) == moved
        if h % 32 == w % 32 == 0:
            assert value(found["MACs"][1], N=batch, H=h, W=w) == pytest.approx(got.total.macs * batch, rel=1e-12)
            assert value(found["bytes"][1], N=batch, H=h, W=w) == pytest.approx(moved, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "parameter", "values"),
    [
        ("mobilenet_v1", "width", [1.25, 2.5, 3.03125]),
        ("densenet121", "growth", [40, 45, 64]),
        ("resnet50", "classes", [1001, 5000]),
        ("mobilenet_v2", "width", [2, 3, 9]),
    ],
)
def test_formulas_in_a_parameter_are_the_costs(name, parameter, values, capsys):
    found = formulas(run(capsys, "cost", name, "--symbolic", parameter))
    for number in values:
        got = table(compiled(name, Request(params={parameter: number}, sizes=((1, 3, 256, 224),))).network).total
        names = {parameter: number, "H": 256, "W": 224}
        assert value(found["MACs"][0], **names) == got.macs
        assert value(found["parameters"][0], **names) == got.params
        assert value(found["bytes"][0], **names) == got.traffic.moved()


def test_formulas_in_a_parameter_keep_what_else_was_asked(capsys):
    found = formulas(run(capsys, "cost", "mobilenet_v1", "--set", "classes=10", "--symbolic", "width"))
    got = table(compiled("mobilenet_v1", Request(params={"width": 2, "classes": 10})).network).total
    assert value(found["parameters"][0], width=2) == got.params


@pytest.mark.parametrize("rate", [0.5, 0.37, 0.3, 0.125])
def test_a_formula_holds_beyond_the_next_number_of_a_text_that_rounds(rate, tmp_path, capsys):
    path = tmp_path / "half.arch"
    path.write_text(f"net half(width=8):\n    input image: [N, 3, H=8, W=8]\n    conv(int(width * {rate}), 3)\n")
    lines = run(capsys, "cost", str(path), "--symbolic", "width")
    assert ("no closed form" in lines) == (rate in (0.37, 0.3))
    if "no closed form" not in lines:
        step = float(Fraction(lines.partition("in steps of ")[2].split()[0]))
        for number in (8 + step * n for n in (1, 2, 33, 100)):
            got = table(compiled(str(path), Request(params={"width": number})).network).total
            assert value(formulas(lines)["parameters"][0], width=number) == got.params


def test_what_has_no_formula_is_said(tmp_path, capsys):
    path = tmp_path / "odd.arch"
    body = "    conv(c * c * c * c * c * c, 3)\n    if c % 7 == 0:\n        conv(9, 1)\n"
    path.write_text(f"net odd(c=2):\n    input image: [N, 3, H=8, W=8]\n{body}")
    assert "no closed form in `c`" in run(capsys, "cost", str(path), "--symbolic", "c")
    assert "is no input size" in run(capsys, "cost", str(path), "--symbolic", "d", status=2)
    assert "fixed to some sizes" in run(capsys, "cost", "lenet5", "--symbolic", "H,W")


# -------------------------------------------------------------------------------------------------- roofline
def test_times_are_bounds_of_arithmetic_and_memory():
    network = compiled("vgg16").network
    costs = table(network, dtype="float16", batch=64)
    device = DEVICES["h200"]
    bounds = {name: time for name, _, time in lines(costs, device)}
    assert bounds["features.2"].bound == "compute" and bounds["features.3"].bound == "memory"
    seconds, memory = total(network, costs, device)
    assert memory < seconds and seconds == pytest.approx(sum(seconds_of(costs, device)), rel=1e-9)
    assert seconds >= time_of(costs, costs.total, device).seconds


def seconds_of(costs: Any, device: Any) -> list[float]:
    """VGG repeats nothing, so that its lines are its steps."""
    assert all(line.count == 1 for line in costs.lines)
    return [time.seconds for _, _, time in lines(costs, device)]


def test_a_depthwise_network_is_bound_by_memory(capsys):
    out = run(capsys, "cost", "mobilenet_v1", "--by", "kind", "--device", "a100", "--batch", "32", "--dtype", "float16")
    assert int(re.search(r"(\d+)% of it memory-bound", out)[1]) > 90 and "fusing conv + bn + relu6, ×14" in out
    out = run(capsys, "cost", "mobilenet_v1", "--by", "kind", "--peak", "1e12,1e15")
    assert "0% of it memory-bound" in out


def test_bytes_that_fusions_save():
    text = "net n:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3) -> bn -> relu -> maxpool(2) -> conv(5, 1) -> sigmoid\n"
    found = {fusion.name: fusion.saved for fusion in fusions(compile_text(text).network, "float32", 2)}
    # each map between is neither written nor read: two maps of 4x8x8, and one of 5x4x4, for two images
    assert found == {"conv + bn + relu": 2 * 2 * 256 * 4 * 2, "conv + sigmoid": 2 * 80 * 4 * 2}


def test_a_map_that_others_read_is_not_fused_away():
    text = "net n:\n    input image: [N, 4, H=8, W=8]\n    y = x -> conv(4, 3)\n    add(y -> relu, y)\n"
    assert "conv + relu" not in {fusion.name for fusion in fusions(compile_text(text).network)}


def test_unknown_devices_and_peaks(capsys):
    assert "known are h200" in run(capsys, "cost", "resnet18", "--device", "tpu", status=2)
    for text in ("1e12", "1,2,3", "0,1", "fast,wide"):
        assert "expected operations and bytes" in run(capsys, "cost", "resnet18", "--peak", text, status=2)


# -------------------------------------------------------------------------------------------------- differences
def test_a_deeper_stage_is_one_line(capsys):
    out = run(capsys, "diff", "resnet50", "resnet101", status=1)
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert len(lines) == 1
    assert re.fullmatch(r"  layer3\.1-5: bottleneck\(.*\) ×5 -> ×22, \+19 M parameters, \+3\.71 G MACs", lines[0])


@pytest.mark.parametrize(
    ("left", "right"), [("resnet18", "resnet50"), ("vgg11", "vgg16_bn"), ("densenet121", "densenet201")]
)
def test_changes_explain_the_totals(left, right):
    found = compare(compiled(left).network, compiled(right).network)
    a, b = archdsl.check(left), archdsl.check(right)
    assert sum(change.params for change in found.changes) == b.params - a.params
    assert sum(change.macs for change in found.changes) == b.macs - a.macs


@pytest.mark.parametrize("name", ["googlenet", "shufflenet_v2_x1_0", "mobilenet_v2", "segnet", "deconvnet", "odenet"])
def test_a_network_does_not_differ_from_itself(name, capsys):
    assert "the same steps on the same shapes" in run(capsys, "diff", name, name)


def test_changes_of_parameters_and_shapes(capsys):
    out = run(capsys, "diff", "resnet18", "resnet18", "--set-b", "classes=10", status=1)
    assert "output out: [N, 1000] -> [N, 10]" in out and "fc: linear(1000) -> linear(10), -508 k parameters" in out
    found = json.loads(run(capsys, "diff", "vgg11", "vgg11_bn", "--json", status=1))
    assert len(found["changes"]) == 8 and all("+ bn" in change["change"] for change in found["changes"])
    assert "changes inside" in run(capsys, "diff", "mobilenet_v2", "mobilenet_v2", "--set-b", "width=0.5", status=1)


def test_a_map_that_is_a_result_is_not_fused_away():
    text = "net n:\n    input image: [N, 4, H=8, W=8]\n    y = image -> conv(4, 3)\n    output a = y\n    output b = y -> relu\n"
    assert fusions(compile_text(text).network) == []


def test_a_layer_by_hand():
    """4 images, 10 x 1000 weights in float16: the operations and the bytes of all images, weights once."""
    text = "net n:\n    input features: [N, 1000]\n    linear(10)\n"
    network = compile_text(text).network
    device = Device("by hand", {"float16": 1e9}, 1e6)
    costs = table(network, dtype="float16", batch=4)
    (time,) = [time for _, _, time in lines(costs, device)]
    assert time.compute == pytest.approx(4 * (2 * 1000 * 10 + 10) / 1e9)
    assert time.memory == pytest.approx(2 * (4 * 1000 + 1000 * 10 + 10 + 4 * 10) / 1e6)


def test_csv_of_a_network_without_steps_is_its_header(tmp_path, capsys):
    path = tmp_path / "same.arch"
    path.write_text("net same:\n    input image: [N, 8, H=2, W=2]\n", encoding="utf-8")
    assert main(["cost", str(path), "--csv"]) == 0
    found = capsys.readouterr().out.split("\n")
    assert found[0].startswith("depth,name,operation,kind,count,shape,at_default,parameters,") and found[1:] == [""]


# -------------------------------------------------------------------------------------------------- rows
SHARED = """block pair(c):
    conv(c, 3) -> bn
block tower(c):
    pair(c) -> relu
net n:
    input image: [N, 4, H=12, W=10]
    shared = same: tower(4)
    cat(shared -> shared, tower(4) -> tower(4), identity) -> conv(4, 1)
    output aux = x -> head: [conv(5, 3), relu] -> global_avgpool when training
    skip = x
    upsample(2) -> crop(like=skip)
"""


@pytest.mark.parametrize("name", ["googlenet", "densenet121", "odenet", "shared"])
def test_check_and_cost_have_the_same_rows(name):
    network = compile_text(SHARED).network if name == "shared" else compiled(name).network
    found, costs = report(network), table(network)

    def plain(row: Any) -> tuple[Any, ...]:
        return row.depth, row.name, row.what, row.kind, row.shape, row.params, row.macs, row.count

    assert [plain(row) for row in found.rows] == [plain(row) for row in costs.lines]
    assert sum(row.params for row in found.rows if not row.depth) == found.params
    assert sum(row.macs for row in found.rows if not row.depth) == found.macs


def test_rows_say_what_is_shared_and_what_only_training_needs():
    rows = report(compile_text(SHARED).network).rows
    again = [row for row in rows if row.name == "same" and "shared" in row.what]
    assert [(row.params, row.macs) for row in again] == [(0, 4 * 4 * 9 * 120)]
    inside = rows[rows.index(again[0]) + 1]
    assert inside.depth == 1 and not inside.params and inside.macs, "the parameters are those of the first use"
    assert [row.what for row in rows if row.name == "head"] == ["in training only"]
    assert [(row.params, row.macs) for row in rows if row.what == "conv(5, 3), in training only"] == [
        (4 * 5 * 9 + 5, 0)
    ]
    assert any(row.what == "crop(like=skip)" for row in rows)
