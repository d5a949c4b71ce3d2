"""Peak memory against the allocator, as torch's own profiler sees it, for every bundled network.

What a kernel allocates and frees inside itself (workspaces of the CPU's convolutions) is left out on both sides.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile

import archdsl
from archdsl.analysis import memory
from archdsl.analysis.memory import inference, training
from archdsl.cli.main import main
from archdsl.compiler import Request, compile_text, compiled
from archdsl.run.load import instantiate
from tests.families import VARIED

# What the solver of a differential equation keeps beside its slopes is a library's own.
SOLVED = {"odenet"}
BATCH = 2
# Operators that kernels call to get memory, or a contiguous copy: what they allocate is their caller's.
HELPERS = (
    "aten::empty",
    "aten::resize",
    "aten::clone",
    "aten::contiguous",
    "aten::copy_",
    "aten::to",
    "aten::_to_copy",
)
BLOCKS = """net blocks(p=0.5):
    input image: [N, 4, H=40, W=36]
    a: conv(8, 3) -> bn -> silu -> add(identity, conv(8, 3) -> drop_path(p), depthwise(3)) -> gn(2) -> gelu
    b: mul(identity, [global_avgpool, conv(8, 1), sigmoid]) -> dropout(p) -> maxpool(2) -> shuffle(2) -> relu6
    c: split(identity, conv(4, 1) -> relu) -> cat(identity, upsample(size=(20, 18)), conv(4, 3)) -> pad(1) -> hardswish
    d: scale(2, learned=true) -> prelu -> [conv_transpose(8, 2, stride=2), leaky_relu, avgpool(2), tanh, ln, rms_norm] -> slice(1, 7)
    e: adaptive_avgpool(4) -> elu -> softmax -> flatten -> linear(32) -> bn -> relu -> dropout -> linear(5)
"""
pytestmark = pytest.mark.usefixtures("one_thread")


class Event:
    """An allocation (or, with a negative size, its end) and the kernel around it."""

    def __init__(self, event: Any, kernel: Any) -> None:
        self.time, self.address, self.size = event.start_time_ns, event.typed[1].ptr, event.typed[1].alloc_size
        self.kernel_ends = kernel.end_time_ns if kernel else 0


def events(nodes: Any, kernel: Any = None) -> list[Event]:
    found = []
    for node in nodes:
        if node.tag == _EventType.Allocation:
            found.append(Event(node, kernel))
        is_kernel = node.tag == _EventType.TorchOp and not node.name.startswith(HELPERS)
        found += events(node.children, node if is_kernel else kernel)
    return found


def measured(run: Any) -> int:
    """Return the most bytes that were held between kernels, beyond those before the run."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = run()
    found = sorted(events(profiler.profiler.kineto_results.experimental_event_tree()), key=lambda e: e.time)
    del kept
    started: dict[int, Event] = {}
    changes: list[tuple[int, int]] = []
    for event in found:
        if event.size > 0:
            started[event.address] = event
            continue
        begin = started.pop(event.address, None)
        if begin is not None and event.time >= begin.kernel_ends:
            changes += [(begin.time, begin.size), (event.time, event.size)]
    changes += [(event.time, event.size) for event in started.values()]
    held = peak = 0
    for _, change in sorted(changes):
        held += change
        peak = max(peak, held)
    return peak


def ready(checked: Any) -> tuple[torch.nn.Module, list[torch.Tensor]]:
    scope = checked.network.scope
    with torch.device("meta"):
        model = instantiate(checked)
    model = model.to_empty(device="cpu")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data.zero_()
    return model, [torch.rand(BATCH, *[int(d) for d in scope.shapes[v][1:]]) for v in scope.inputs]


def tensors(result: Any) -> list[torch.Tensor]:
    return [result] if isinstance(result, torch.Tensor) else list(result)


def compare(checked: Any, tolerance: float) -> None:
    model, xs = ready(checked)
    model.eval()
    with torch.no_grad():
        found = measured(lambda: model(*xs))
    expected = inference(checked.network, batch=BATCH)
    assert abs(expected.activations / found - 1) <= tolerance, ("inference", expected, found)
    assert expected.inputs == sum(x.numel() * 4 for x in xs)
    model.train()
    found = measured(lambda: step(model, xs))
    expected = training(checked.network, batch=BATCH)
    if not expected.at.endswith("update"):
        assert abs((expected.activations + expected.gradients) / found - 1) <= tolerance, ("training", expected, found)
    held = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    assert abs(expected.weights / held - 1) <= 0.001


def step(model: torch.nn.Module, xs: list[torch.Tensor]) -> None:
    """Run forward and backward; the outputs live to the end, as in a loop that prints a loss."""
    outputs = tensors(model(*xs))
    sum(y.sum() for y in outputs).backward()


def on(name: str, size: int) -> Any:
    (_, (_, channels, *_)), *others = archdsl.check(name).inputs
    try:
        return compiled(name, Request(sizes=((1, int(channels), size, size),))) if not others else compiled(name)
    except archdsl.CompileError:
        return compiled(name)


@pytest.mark.parametrize("name", [n for n in VARIED if n not in SOLVED])
def test_peaks_are_those_of_the_allocator(name):
    compare(on(name, 96), 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in archdsl.nets() if n not in SOLVED])
def test_peaks_of_every_network_at_its_own_size(name):
    compare(compiled(name), 0.05)


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_peaks_of_other_operators(p):
    compare(compile_text(BLOCKS, Request(params={"p": p})), 0.05)


def test_the_measurement_sees_an_allocation():
    assert 8000 <= measured(lambda: torch.ones(1000) + torch.ones(1000)) - 4000 <= 8100


def test_local_variables_matter(monkeypatch):
    """ResNet's units keep a variable to their last line: without it the peak would be a fifth lower."""
    before = inference(compiled("resnet50").network).activations
    monkeypatch.setattr(memory, "lifetimes", lambda network: {})
    assert inference(compiled("resnet50").network).activations < 0.8 * before


def test_optimizers_and_types():
    network = compiled("resnet18").network
    params = 4 * archdsl.check("resnet18").params
    sgd, momentum, adam = [training(network, 4, 8, name) for name in ("sgd", "momentum", "adam")]
    assert (sgd.optimizer, momentum.optimizer, adam.optimizer) == (0, params, 2 * params)
    assert sgd.activations == momentum.activations == adam.activations
    half = inference(network, size=2)
    full = inference(network)
    assert (half.weights, half.inputs) == (full.weights // 2, full.inputs // 2)
    assert half.activations > full.activations // 2, "the indices of a pooling keep their 8 bytes"


def test_a_network_of_weights_peaks_in_its_update():
    text = "net wide:\n    input x1: [N, 1000]\n    linear(4000) -> relu -> linear(4000)\n"
    peak = training(compile_text(text).network, 4, 1, "adam")
    assert peak.at == "adam's update" and peak.activations == 2 * 16_000_000 * 4


def test_the_command_says_where_memory_peaks(capsys):
    assert main(["cost", "resnet50", "--by", "kind", "--memory", "--optimizer", "adam", "--batch", "2"]) == 0
    out = capsys.readouterr().out
    assert "memory, inference: 124.9 MiB at the peak, in layer1.1.9" in out
    assert "training with adam" in out and "optimizer" in out
    assert main(["cost", "resnet50", "--json", "--memory"]) == 0
    assert json.loads(capsys.readouterr().out)["inference"]["activations"] == 13647872


USED = """block tower(c):
    conv(c, 3) -> bn -> relu
block two(c):
    output same = x
    output more = x -> conv(c, 3)
"""
# Small networks whose peak lies where one rule decides it.
RULES = {
    "positions that unpooling keeps": """
    conv(8, 3) -> tanh
    p = x -> maxpool(2, indices=true)
    p.out -> maxunpool(p.indices, 2) -> maxpool(2) -> tanh -> conv(64, 1) -> tanh
""",
    "positions that unpooling alone keeps": """
    p = image -> maxpool(2, indices=true)
    p.out -> conv(8, 3) -> maxunpool(p.indices, 2) -> tanh
""",
    "gradients of several readers": """
    y = x -> conv(32, 3) -> sigmoid
    add(y -> tanh, y -> sigmoid, y -> add(identity, tanh), y) -> global_avgpool
""",
    "a gradient that two steps hold": """
    a = x -> conv(16, 1)
    b = a -> conv(16, 1)
    c = add(b -> tanh, a)
    cat(c, b) -> conv(2, 1)
""",
    "a block that returns its input": """
    a = x -> conv(16, 1)
    p = a -> two(16)
    b = add(p.same, p.more)
    c = add(a, b -> tanh)
    cat(b -> conv(16, 1), c) -> conv(2, 1)
""",
    "a softmax between convolutions": "\n    conv(48, 1) -> softmax -> conv(48, 1) -> softmax -> conv(2, 1)\n",
    "a sum that somebody else holds": """
    y = x -> conv(32, 1)
    z = add(y, y -> tanh)
    add(z, y, z -> sigmoid) -> conv(2, 1)
""",
    "a gradient that the sum's other operand holds": """
    y = x -> conv(16, 1)
    z = y -> tanh
    s = add(y, z -> conv(16, 1))
    add(z, s) -> conv(2, 1)
""",
    "a block used three times": """
    shared = same: tower(64)
    conv(64, 1) -> shared -> shared -> shared
""",
    "a head of two levels": """
    head = shared: [conv(64, 3), relu, conv(96, 3)]
    a = x -> conv(8, 1) -> head
    b = x -> maxpool(2) -> conv(8, 1) -> head
    add(a -> maxpool(2), b)
""",
    "norms across channels": "\n    conv(32, 1) -> lrn(5) -> lrn(4) -> conv(2, 1)\n",
    "a softmax and dropped channels": "\n    conv(48, 1) -> softmax -> tanh -> dropout2d(0.5) -> conv(48, 1) -> softmax -> conv(2, 1)\n",
    "statistics of the batch": "\n    conv(32, 1) -> bn(track=false) -> relu -> conv(32, 1) -> bn(affine=false, track=false) -> tanh\n",
    "a result that is an input": "\n    output whole = image\n    output half = image -> conv(8, 3) -> tanh -> conv(8, 3)\n",
    "a sum with a number": "\n    conv(32, 1) -> sigmoid\n    x + 1 -> tanh -> conv(2, 1)\n",
    "less a number": "\n    conv(32, 1) -> sigmoid\n    1 - (x - 3) -> tanh -> conv(2, 1)\n",
    "times a number": "\n    conv(32, 1) -> sigmoid\n    -(x * 2) / 3 -> tanh -> conv(2, 1)\n",
    "a square": "\n    conv(32, 1) -> sigmoid\n    x**2 -> tanh -> conv(2, 1)\n",
    "a reciprocal": "\n    conv(32, 1) -> sigmoid\n    2 / x -> tanh -> conv(2, 1)\n",
    "a difference": "\n    y = x -> conv(32, 1) -> sigmoid\n    z = x -> conv(32, 1) -> tanh\n    y - z -> tanh -> conv(2, 1)\n",
    "a difference of sums": "\n    y = x -> conv(32, 1)\n    z = x -> conv(32, 1)\n    y - z -> tanh -> conv(2, 1)\n",
    "a quotient": "\n    y = x -> conv(32, 1) -> sigmoid\n    z = x -> conv(32, 1) -> sigmoid\n    y / z -> tanh -> conv(2, 1)\n",
    "a sum with the mean": "\n    conv(32, 1) -> sigmoid\n    x + (x -> mean([\"height\", \"width\"])) -> tanh -> conv(2, 1)\n",
    "a mean and a sum with it": "\n    y = x -> conv(32, 1)\n    y + y + (y -> mean(\"channels\")) -> tanh -> conv(2, 1)\n",
    "the larger one": "\n    y = x -> conv(32, 1) -> sigmoid\n    z = x -> conv(32, 1) -> sigmoid\n    maximum(y, z) -> tanh -> conv(2, 1)\n",
    "the smallest of three": "\n    y = x -> conv(32, 1)\n    z = x -> conv(32, 1)\n    minimum(y, z, y -> tanh) -> conv(2, 1)\n",
    "the larger one of a map and a mean": "\n    y = x -> conv(32, 1)\n    maximum(y, y -> mean(\"channels\")) -> conv(2, 1)\n",
    "a quotient by itself": "\n    y = x -> conv(32, 1)\n    z = x -> conv(32, 1)\n    y / z -> conv(2, 1)\n",
    "less the mean": "\n    conv(32, 1) -> sigmoid\n    x - (x -> mean([\"height\", \"width\"])) -> tanh -> conv(2, 1)\n",
    "through a mean": "\n    conv(32, 1) -> tanh -> mean(\"channels\")\n",
    "through a sum": "\n    conv(32, 1) -> tanh -> sum(\"channels\")\n",
    "through a maximum": "\n    conv(32, 1) -> tanh -> max(\"channels\")\n",
    "through a minimum": "\n    conv(32, 1) -> tanh -> min([\"height\", \"width\"]) -> conv(2, 1)\n",
    "through a variance": "\n    conv(128, 1) -> tanh -> var(\"channels\")\n",
    "functions of one element": "\n    conv(32, 1) -> abs -> softplus -> log -> exp -> sqrt -> hardtanh(0, 6) -> conv(2, 1)\n",
    "an absolute value": "\n    conv(32, 1) -> sigmoid -> abs -> tanh -> conv(2, 1)\n",
    "a root": "\n    conv(32, 1) -> sigmoid -> sqrt -> tanh -> conv(2, 1)\n",
    "a gated unit": "\n    conv(64, 1) -> sigmoid -> glu -> tanh -> conv(2, 1)\n",
    "a learned tensor": "\n    conv(32, 1) -> tanh\n    add(identity, l: learned([32, 24, 20])) -> tanh -> conv(2, 1)\n",
    "a learned tensor that is repeated": "\n    conv(32, 1) -> tanh\n    mul(identity, l: learned([32, 1, 1])) -> tanh -> conv(2, 1)\n",
    "a learned summand": "\n    conv(32, 1) -> shift(0, learned=true, per_channel=true) -> tanh -> scale(2, learned=true) -> conv(2, 1)\n",
    "tokens": "\n    conv(32, 1) -> tokens -> linear(64) -> gelu -> linear(32) -> untokens(like=image) -> tanh -> conv(2, 1)\n",
    "attention": "\n    conv(32, 1) -> tokens -> linear(96) -> attention(heads=4) -> linear(32) -> mean(\"tokens\")\n",
    "attention of maps": "\n    attention(conv(32, 1), conv(32, 1), conv(32, 1), heads=4) -> tanh -> conv(4, 1)\n",
    "attention in windows": "\n    conv(32, 1) -> tokens(window=4) -> linear(96) -> attention(heads=4) -> linear(32) -> untokens(window=4, like=image) -> tanh -> conv(4, 1)\n",
    "a bias of offsets": "\n    attention(conv(32, 1), conv(32, 1), conv(32, 1), relative_bias(2), heads=2) -> tanh -> conv(4, 1)\n",
    "a bias of offsets in windows": "\n    conv(32, 1) -> tokens(window=4)\n    attention(linear(32), linear(32), linear(32), relative_bias(4, 4), heads=4) -> untokens(window=4, like=image) -> tanh -> conv(4, 1)\n",
    "attention within windows": "\n    conv(32, 1)\n    attention(conv(32, 1), conv(32, 1), conv(32, 1), heads=4, window=4) -> tanh -> conv(4, 1)\n",
    "attention within windows that are moved": "\n    conv(32, 1)\n    attention(conv(32, 1), conv(32, 1), conv(32, 1), heads=4, window=4, shift=2) -> tanh -> conv(4, 1)\n",
    "a bias within windows": "\n    conv(32, 1)\n    attention(conv(32, 1), conv(32, 1), conv(32, 1), relative_bias(4, 4), heads=4, window=4) -> tanh -> conv(4, 1)\n",
    "a bias within windows that are moved": "\n    conv(32, 1)\n    attention(conv(32, 1), conv(32, 1), conv(32, 1), relative_bias(4, 4), heads=4, window=4, shift=2) -> tanh -> conv(4, 1)\n",
    "every fourth place": "\n    conv(32, 1) -> tanh -> subsample(2, offset=(1, 0)) -> conv(4, 1)\n",
    "patches of places": "\n    conv(32, 1) -> tanh\n    cat(*[subsample(2, offset=at) for at in [(0, 0), (1, 0), (0, 1), (1, 1)]]) -> tanh -> conv(4, 1)\n",
    "every second row": "\n    conv(32, 1) -> tanh -> tokens(every=2) -> tanh -> untokens(every=2, like=image) -> tanh -> conv(4, 1)\n",
    "windows that are filled up": "\n    conv(32, 1) -> tanh -> tokens(grid=7, pad=true) -> tanh -> untokens(grid=7, pad=true, like=image) -> tanh -> conv(4, 1)\n",
    "a product of matrices": "\n    conv(32, 1) -> tanh -> tokens\n    matmul(identity, transpose) -> softmax -> tanh -> linear(4)\n",
    "an encoder of tokens": "\n    conv(32, 1) -> tokens\n    add(identity, [ln, linear(96), attention(heads=2), linear(32)])\n    add(identity, [ln, linear(128), gelu, linear(32)])\n    ln -> slice(0, 1, axis=\"tokens\") -> flatten -> linear(4)\n",
    "an activation of a result": "\n    output a = image -> conv(16, 3) -> relu\n    y = image -> conv(16, 3)\n    output b = y\n    output c = y -> relu -> conv(16, 1) -> relu\n",
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_peaks_where_one_rule_decides(name):
    compare(compile_text(f"{USED}net n:\n    input image: [N, 8, H=24, W=20]{RULES[name]}"), 0.01)


def test_peaks_of_attention_whose_products_are_written():
    """Of values that are wider than queries no fused kernel runs on a CPU."""
    text = "tokens -> attention(linear(32), linear(32), linear(64), heads=4) -> tanh -> linear(4)"
    compare(compile_text(f"net n:\n    input image: [N, 8, H=24, W=20]\n    conv(32, 1) -> {text}\n"), 0.05)


def test_buffers_are_held_once():
    """Weights and statistics of a block are held once, however often it runs."""
    text = "block unit(c):\n    conv(c, 3) -> bn\nnet n:\n    input image: [N, 8, H=8, W=8]\n    s = one: unit(8)\n    s -> s\n"
    model, _ = ready(compile_text(text))
    held = sum(t.numel() for t in (*model.parameters(), *model.buffers()) if t.is_floating_point())
    assert inference(compile_text(text).network).weights == 4 * held


def test_training_keeps_every_step_of_a_solver():
    def peak(steps: int) -> int:
        text = f'net n:\n    input i: [N, 8, H=16, W=16]\n    ode(conv(8, 3) -> tanh, solver="euler", steps={steps})\n'
        return training(compile_text(text).network).activations

    kept = 8 * 16 * 16 * 4  # of a map; a step keeps the input of its convolution and the result of its tanh
    assert [peak(n + 1) - peak(n) for n in (2, 3, 4)] == [2 * kept] * 3
