"""Other engines: the same function, whatever they run, and the fastest of them by a measurement."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import archdsl
from archdsl.diagnostics import CompileError
from archdsl.inference import engines
from archdsl.inference.engines import module
from archdsl.inference.engines.program import difference, flat, serialized
from archdsl.inference.portable import portable
from tests.inference.test_inference import filled

pytestmark = pytest.mark.usefixtures("one_thread")
ENGINES = ["onnxruntime", "openvino"]
TEXT = """
net tiny:
    input image: [N, 3, H=16, W=16]
    a: conv(8, 3) -> bn -> silu
    b: [conv(8, 3, stride=2), bn, relu, conv(8, 1)]
"""


def tiny() -> nn.Module:
    return filled(archdsl.loads(TEXT, outputs=["a", "b"]))


class Two(nn.Module):
    """Of somebody else: two inputs, a dictionary with a list, one tensor twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x, y):
        z = self.norm(self.conv(x + y))
        return {"maps": [z, z.relu()], "again": z, "none": None}


@pytest.fixture(scope="module")
def prepared():
    """The tiny network in each engine, prepared for one image."""
    model, x = tiny(), torch.randn(1, 3, 16, 16)
    made = {engine: archdsl.optimize(model, engine=engine) for engine in ENGINES}
    for fast in made.values():
        fast(x)
    return model, x, made


# -------------------------------------------------------------------------------------------------- the graph
NETS = [
    "densenet_bc_40_cifar",
    "fpn_resnet18",
    "googlenet",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
]


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_the_portable_graph_computes_the_same_for_each_engine(name):
    model, x = filled(archdsl.load(name)), torch.randn(2, 3, 64, 96)
    expected = torch.utils._pytree.tree_leaves(model(x))
    for engine in ("torch", *ENGINES):
        graph, notes = portable(model, engine)
        found = flat(graph)[0](x)
        assert difference(found, expected) < 1e-4, engine
        assert notes and {type(layer).__module__.split(".")[0] for layer in graph.modules()} <= {"torch", "archdsl"}


def test_the_model_stays_as_it_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).train()
    before = copy.deepcopy(model.state_dict())
    fast, x = archdsl.optimize(model, engine="onnxruntime"), torch.randn(1, 3, 4, 4)
    expected = fast.network(x)
    assert all(p.requires_grad for p in model.parameters()) and model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    model[3].weight.data.zero_()
    assert torch.equal(fast.network(x), expected), "its weights are its own"


def test_passes_are_those_of_the_engine():
    model = filled(archdsl.load("densenet_bc_40_cifar"))
    notes = {engine: portable(model, engine)[1] for engine in ("torch", *ENGINES)}
    folded = "batch norms folded into the 1x1 convolution after"
    assert folded in notes["openvino"] and folded not in notes["onnxruntime"]
    assert not any("buffers" in what for found in notes.values() for what in found)
    shuffled = {engine: portable(archdsl.load("shufflenet_v2_x1_0").eval(), engine)[1] for engine in ENGINES}
    assert all("shuffles turned into the order of channels" in found for found in shuffled.values())
    assert [engine for engine in ENGINES if "maps widened to whole vectors" in shuffled[engine]] == ["onnxruntime"]


# -------------------------------------------------------------------------------------------------- an engine
@pytest.mark.parametrize("engine", ENGINES)
def test_results_are_those_of_the_model(engine, prepared):
    model, x, made = prepared
    expected, found = model(x), made[engine](x)
    assert type(found) is type(expected) and found._fields == ("a", "b")
    assert difference(found, expected) < 1e-5
    first = found.a.clone()
    made[engine](x + 1)
    assert torch.equal(found.a, first), "the next call has its own memory"
    assert engine in repr(made[engine]) and "1x3x16x16" in made[engine].report()


@pytest.mark.parametrize("engine", ENGINES)
def test_any_input_that_the_model_takes(engine, prepared):
    model, x, made = prepared
    fast = made[engine]
    for given in (torch.randn(2, 3, 9, 13), x[..., ::2], x.contiguous(memory_format=torch.channels_last), x[:0]):
        with torch.inference_mode():
            assert difference(fast(given), model(given)) < 1e-5
    for wrong in (x.double(), x.clone().requires_grad_()):
        with pytest.raises(TypeError, match=engine):
            fast(wrong)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_runs_in_its_fastest_parts(engine, monkeypatch):
    monkeypatch.setattr(module, "taking_turns", lambda runs, seconds=1.0: {part: abs(part - 2) for part in runs})
    model, x = tiny(), torch.randn(6, 3, 16, 16)
    fast = archdsl.optimize(model, engine=engine)
    assert difference(fast(x), model(x)) < 1e-5
    assert fast.report().endswith("6x3x16x16 by 2")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_module_of_somebody_else(engine):
    model, x, y = filled(Two()), torch.randn(2, 2, 8, 8), torch.randn(2, 2, 8, 8)
    found, expected = archdsl.optimize(model, engine=engine)(x, y), model(x, y)
    assert list(found) == list(expected) and isinstance(found["maps"], list) and found["none"] is None
    assert difference([*found["maps"], found["again"]], [*expected["maps"], expected["again"]]) < 1e-5


def test_a_module_that_mixes_its_batch_is_run_whole(monkeypatch):
    class Mixed(nn.Module):
        def forward(self, x):
            return x - x.mean(0, keepdim=True)

    monkeypatch.setattr(module, "taking_turns", lambda runs, seconds=1.0: dict(zip(runs, range(9, 0, -1))))
    fast, x = archdsl.optimize(Mixed(), engine="onnxruntime"), torch.randn(4, 3, 2, 2)
    assert difference([fast(x)], [x - x.mean(0, keepdim=True)]) < 1e-5


def test_it_is_a_module(prepared):
    model, x, made = prepared
    fast = copy.deepcopy(made["onnxruntime"])
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert difference(other(x), model(x)) < 1e-5
    state = {key: value * 2 for key, value in other.state_dict().items()}
    other.load_state_dict(state)
    assert difference(other(x), flat(other.network)[0](x)) < 1e-5 < difference(other(x), model(x))
    around = nn.Sequential(fast)
    around.load_state_dict({f"0.{key}": value for key, value in state.items()})
    assert difference(around(x), other(x)) == 0, "weights that a module around it was given are its own"


def test_eight_shapes_are_kept(monkeypatch):
    made = []
    monkeypatch.setattr(module.Deployed, "_made", lambda self, inputs: made.append(inputs[0].shape[3]))
    fast = archdsl.optimize(tiny(), engine="onnxruntime")
    for size in (*range(1, 10), 9, 2, 1):
        fast.prepare(torch.zeros(1, 3, 8, size))
    assert made == [*range(1, 10), 1] and len(fast._prepared) == module.SHAPES


def test_a_result_of_an_engine_that_is_wrong_is_no_result(prepared, monkeypatch):
    _, x, _ = prepared
    right = module.PREPARE["onnxruntime"]

    def wrong(model, batch=None):
        run = right(model, batch)
        return lambda xs, ys=(): [y.mul_(1.01) for y in run(xs, ys)]

    monkeypatch.setitem(module.PREPARE, "onnxruntime", wrong)
    with pytest.raises(RuntimeError, match=r"onnxruntime is off by 1\.0e-02"):
        archdsl.optimize(tiny(), engine="onnxruntime")(x)
    fast = archdsl.optimize(tiny(), engine="auto")
    fast(x)
    assert fast.engine != "onnxruntime" and "not onnxruntime: onnxruntime is off" in fast.report()


# -------------------------------------------------------------------------------------------------- the fastest
def test_the_fastest_is_taken(prepared, monkeypatch):
    model, x, _ = prepared
    for best in ("torch", "openvino"):
        times = {"torch": 3e-3, "onnxruntime": 4e-3, "openvino": 5e-3} | {best: 1e-3}
        monkeypatch.setattr(module, "taking_turns", lambda runs, times=times: {name: times[name] for name in runs})
        fast = archdsl.optimize(model, engine="auto")
        assert "the first inputs decide" in fast.report() and "not measured yet" in repr(fast)
        assert difference(fast(x[:0]), model(x[:0])) == 0 and not fast.engine, "of nothing, nothing is measured"
        assert difference(fast(x), model(x)) < 1e-5
        assert fast.engine == best and list(fast.candidates) == [best]
        assert fast.report().startswith(f"{best}, the fastest: {best} 1.00 ms, ")
        assert difference(pickle.loads(pickle.dumps(fast))(x), model(x)) < 1e-5


def test_what_decides_by_values_stays_with_pytorch():
    model, x = archdsl.load("odenet").eval(), torch.randn(1, 1, 28, 28)
    fast = archdsl.optimize(model, engine="auto")
    torch.testing.assert_close(fast(x), model(x), rtol=1e-3, atol=1e-3)
    assert fast.engine == "torch" and "not onnxruntime: torch.export does not take it" in fast.report()


def test_half_precision_stays_with_pytorch():
    model = tiny().bfloat16()
    fast = archdsl.optimize(model, engine="auto")
    fast(torch.randn(1, 3, 16, 16, dtype=torch.bfloat16))
    assert fast.engine == "torch" and fast.measured.count("ms") == 1


def test_turns_are_taken():
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "abc"}
    assert set(module.taking_turns(runs, seconds=0.0)) == set("abc")
    assert calls == list("abc") * 6, "once to be warm, five times at least"


# -------------------------------------------------------------------------------------------------- what is there
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_is_missing_is_named(engine, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda package: None if package == engine else object())
    with pytest.raises(CompileError, match=rf"needs {engine}, which is not installed[\s\S]*archdsl\[deploy\]"):
        archdsl.optimize(tiny(), engine=engine)
    assert engine not in archdsl.optimize(tiny(), engine="auto").candidates


def test_an_engine_that_there_is_not():
    with pytest.raises(ValueError, match="`engine` is one of torch, onnxruntime, openvino, auto, not 'tensorrt'"):
        archdsl.optimize(tiny(), engine="tensorrt")


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.2], [1.0, 2.0], 0.1),
        ([1.0, float("nan")], [1.0, float("nan")], 0.0),
        ([1.0, float("inf")], [1.0, 2.0], float("inf")),
        ([1.0, float("-inf")], [1.0, float("inf")], float("inf")),
        ([1.0], [1.0, 2.0], float("inf")),
    ],
)
def test_differences(found, expected, error):
    assert difference([torch.tensor(found)], [torch.tensor(expected)]) == pytest.approx(error)


def test_a_model_that_is_too_large_is_told():
    class Large:
        def ByteSize(self):
            return 3 << 30

    with pytest.raises(TypeError, match=r"its 3\.2 GB are more than a model of ONNX holds"):
        serialized(Large())
