"""Loaded modules as citizens of PyTorch: pickled, copied, trained, compiled, exported."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
import traceback

import pytest
import torch

import archdsl
from archdsl.cli.main import main

SMALL = """
net small(classes=10, p=0.0):
    input image: [N, 3, H=32, W=32]
    stem: conv(8, 3, bias=false) -> norm: bn -> relu
    y = x
    add(identity, body: [conv(8, 3), relu])
    aux = y -> global_avgpool -> flatten -> side: linear(classes)
    output head = aux when training
    global_avgpool -> flatten -> dropout(p) -> fc: linear(classes)
"""


DIGITS = """
net digits:
    input image: [N, 1, H=8, W=8]
    [conv(16, 3), bn, relu, conv(32, 3, stride=2), bn, relu] -> flatten -> linear(10)
"""


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return archdsl.loads(SMALL)


def test_pickles_and_copies():
    model = small()
    x = torch.randn(2, 3, 32, 32)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other is not model
        torch.testing.assert_close(other.eval()(x), model.eval()(x))
        assert [k for k, _ in other.named_modules()] == [k for k, _ in model.named_modules()]


def test_training_outputs_pickle_too():
    found = small().train()(torch.randn(2, 3, 32, 32))
    again = pickle.loads(pickle.dumps(found))
    torch.testing.assert_close(again.head, found.head)


def test_pickle_opens_in_a_fresh_process(tmp_path):
    model = small().eval()
    x = torch.randn(2, 3, 32, 32)
    torch.save({"model": model, "x": x, "y": model(x).detach()}, tmp_path / "model.pt")
    code = (
        f"import torch; d = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False);"
        "torch.testing.assert_close(d['model'](d['x']), d['y']); print('same')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "same"


def test_state_dict_moves_through_a_file():
    model, other = small(), archdsl.loads(SMALL)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


def test_trains_on_digits():
    """Thirty steps on real images bring the loss near zero."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    t = torch.tensor(digits.target)
    torch.manual_seed(0)
    model = archdsl.loads(DIGITS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(x[:1500]), t[:1500])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    with torch.no_grad():
        accuracy = (model.eval()(x[1500:]).argmax(1) == t[1500:]).float().mean().item()
    assert accuracy > 0.85


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5", "googlenet"])
def test_compiles_as_one_graph(name):
    model = archdsl.load(name).eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=False)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


def test_compiles_training_outputs():
    text = SMALL.replace("    y = x\n", "    y = x\n    for i in range(4):\n        more{i}: [conv(8, 3), relu]\n")
    model = archdsl.loads(text).train()
    assert "if self.training:" in source_of(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 3, 32, 32)
    found = compiled(x)
    sum(found).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "shufflenet_v2_x0_5", "mobilenet_v2", "squeezenet1_1"])
def test_exports_with_dynamic_batch(name):
    model = archdsl.load(name).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(2, 3, 64, 64),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-5)


def source_of(model: torch.nn.Module) -> str:
    import inspect

    return inspect.getsource(type(model))


def test_source_and_tracebacks_show_the_generated_lines():
    model = small()
    assert "class Small(nn.Module)" in source_of(model)
    try:
        model(torch.randn(1, 4, 32, 32))
    except RuntimeError:
        assert "self.stem(x)" in traceback.format_exc()
    else:
        pytest.fail("4 channels must be refused")


def test_same_text_is_one_class():
    assert type(archdsl.loads(SMALL)) is type(archdsl.loads(SMALL))


@pytest.mark.parametrize(
    ("clause", "check"),
    [
        ("constant(0.5)", lambda w: bool((w == 0.5).all())),
        ("zeros", lambda w: bool((w == 0).all())),
        ("normal(0.5)", lambda w: 0.4 < w.std().item() < 0.6),
        ("trunc_normal(std=1, a=-0.5, b=0.5)", lambda w: w.abs().max().item() <= 0.5),
        ("uniform(a=1, b=2)", lambda w: w.min().item() >= 1 and w.max().item() <= 2),
        ('kaiming(mode="fan_out")', lambda w: abs(w.std().item() - (2 / (64 * 9)) ** 0.5) < 0.005),
        ('xavier(distribution="uniform")', lambda w: w.abs().max().item() <= (6 / (32 * 9 + 64 * 9)) ** 0.5 + 1e-6),
    ],
)
def test_init_clauses_fill_the_weights(clause, check):
    net = "net n:\n    input image: [N, 32, H=8, W=8]\n    a: conv(64, 3) -> b: bn"
    torch.manual_seed(0)
    by_clause = archdsl.loads(f"init conv({clause}, bias=constant(3))\n{net}")
    assert check(by_clause.a.weight) and bool((by_clause.a.bias == 3).all())
    by_argument = archdsl.loads(net.replace("conv(64, 3)", f"conv(64, 3, init={clause})"))
    assert check(by_argument.a.weight)


def test_zero_init_of_the_last_norm():
    model = archdsl.load("resnet18", zero_init=True)
    assert all(bool((m.bn2.weight == 0).all()) for m in model.modules() if type(m).__name__ == "Basic")
    assert bool((model.bn1.weight == 1).all())
    plain = archdsl.load("resnet18")
    assert all(bool((m.bn2.weight == 1).all()) for m in plain.modules() if type(m).__name__ == "Basic")


def test_initialization_is_the_references(torchvision_models):
    """The spread of every weight is that of torchvision's own initialization."""
    torch.manual_seed(0)
    for name in ("mobilenet_v2", "squeezenet1_1", "densenet121"):
        theirs, ours = torchvision_models.get_model(name, weights=None), archdsl.load(name)
        for (key, a), (_, b) in zip(theirs.named_parameters(), ours.named_parameters()):
            if a.numel() >= 2000:
                assert abs(a.std() - b.std()) <= 0.1 * a.std(), key
            elif a.std() == 0:
                assert torch.equal(a, b), key


def test_wrong_parameters_are_diagnosed():
    with pytest.raises(archdsl.CompileError, match="did you mean"):
        archdsl.load("resnet50", clases=10)
    with pytest.raises(archdsl.CompileError, match="did you mean `resnet50`"):
        archdsl.load("resnet5O")
    with pytest.raises(archdsl.CompileError):
        archdsl.load("resnet50", classes=-1)
    with pytest.raises(TypeError):
        archdsl.load("resnet50", classes=object())


@pytest.mark.parametrize(
    ("params", "place", "met"),
    [
        ({"classes": 0.5}, ("--set classes", "0.5"), "linear(classes)"),
        ({"classes": "7 / 2"}, ("--set classes", "7 / 2"), "linear(classes)"),
        ({"norm": 3}, ("--set norm", "3"), "bn1: norm"),
        ({"norm": 3, "classes": 10}, ("--set norm", "3"), "bn1: norm"),
    ],
)
def test_a_wrong_value_is_the_place_of_its_mistake(params, place, met):
    """And not the text of the installed package that it has met, which is right and is shown in a note."""
    with pytest.raises(archdsl.CompileError) as caught:
        archdsl.load("resnet18", **params)
    found = caught.value.diagnostic
    assert (found.primary.span.source.name, found.primary.span.text) == place
    if params.get("classes") != "7 / 2":  # which has a place of its own
        note = found.notes[0]
        assert note.span.source.name.endswith("resnet50.arch") and met in note.span.source.line(note.span.line)


def test_a_word_that_the_net_declares_is_its_parameter():
    text = """net n(in_channels=4, output_stride=8):
    input image: [N, 3, H=64, W=64]
    conv(in_channels, 3, stride=output_stride)
"""
    model = archdsl.loads(text, in_channels=6, output_stride=16)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 6, 4, 4)


def test_a_mistake_that_no_value_has_made_keeps_its_place():
    text = "net n(c=3, d=4):\n    input i: [N, 3, H=8, W=8]\n    conv(c, 3)\n    add(conv(c + d, 3), identity)\n"
    for params in ({}, {"c": 5}, {"c": 5, "d": 2}):
        with pytest.raises(archdsl.CompileError) as caught:
            archdsl.loads(text, **params)
        assert caught.value.diagnostic.primary.span.line == 4
    assert archdsl.loads(text, d=0)


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    assert archdsl.load("resnet18", classes=np.int64(7)).fc.out_features == 7
    assert (
        archdsl.check("mobilenet_v2", width=np.float32(0.5)).params == archdsl.check("mobilenet_v2", width=0.5).params
    )
    with pytest.raises(TypeError, match="`classes` must be a number"):
        archdsl.check("lenet5", classes=np.ones(3))


def test_a_file_here_is_proposed_where_a_name_is_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.arch").write_text("net digits:\n    input i: [N, 3, H=8, W=8]\n    relu\n")
    with pytest.raises(archdsl.CompileError, match=r"a file is meant by its path, `digits\.arch`"):
        archdsl.load("digits")
    with pytest.raises(archdsl.CompileError, match="archdsl is for convolutional networks; of transformers"):
        archdsl.load("bert_base")


def test_the_function_is_not_hidden_by_a_module():
    """`archdsl.load` is the function, whatever modules of the package were imported before."""
    import subprocess
    import sys

    code = "import archdsl.run.load, archdsl.compiler, archdsl.api, archdsl; archdsl.load('lenet5'); archdsl.check('lenet5')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_solver_first_imported_on_the_meta_device_has_its_constants():
    import subprocess
    import sys

    code = (
        "import torch, archdsl\nwith torch.device('meta'):\n    archdsl.load('odenet')\n"
        "archdsl.load('odenet').eval()(torch.zeros(1, 1, 28, 28))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestOde:
    """`ode(f, solver, steps)` against what is known of dx/dt = f(x)."""

    def net(self, call: str) -> torch.nn.Module:
        return archdsl.loads(f"net n:\n    input i: [N, 2, H=4, W=4]\n    step: {call}").double()

    def test_one_step_of_euler_is_a_residual_block(self):
        model = self.net('ode([conv(2, 3), tanh], "euler")')
        x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
        torch.testing.assert_close(model(x), x + model.step.f(x))
        assert sorted(model.state_dict()) == ["step.f.0.bias", "step.f.0.weight"]

    @pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
    def test_the_error_falls_with_the_order_of_the_solver(self, solver, order):
        """On dx/dt = x the solution at 1 is e times the start; halving the step divides the error by 2**order."""
        errors = []
        for steps in (8, 16):
            model = self.net(f'ode(conv(2, 1, bias=false), "{solver}", {steps})')
            torch.nn.init.dirac_(model.step.f.weight)
            y = model(torch.ones(1, 2, 4, 4, dtype=torch.float64))
            errors.append((y - torch.e).abs().max().item())
        assert abs(errors[0] / errors[1] / 2**order - 1) < 0.15

    def test_cost_counts_every_evaluation(self):
        from torch.utils.flop_counter import FlopCounterMode

        from archdsl.compiler import compile_text
        from archdsl.report.check import report

        text = 'net n:\n    input i: [N, 2, H=4, W=4]\n    ode([conv(2, 3), relu], "rk4", 3)'
        with FlopCounterMode(display=False) as counter:
            archdsl.loads(text)(torch.zeros(1, 2, 4, 4))
        assert report(compile_text(text).network).macs == counter.get_total_flops() // 2

    def test_the_adjoint_has_the_gradients_of_the_solver(self):
        torch.manual_seed(0)
        gradients = []
        plain = self.net('ode([conv(2, 3), tanh], "rk4", 8)')
        for model in (plain, self.net('ode([conv(2, 3), tanh], "rk4", 8, adjoint=true)')):
            model.load_state_dict(plain.state_dict())
            x = torch.ones(1, 2, 4, 4, dtype=torch.float64)
            model(x).square().sum().backward()
            gradients.append(model.step.f.get_submodule("0").weight.grad)
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("adjoint", ["false", "true"])
    def test_a_function_of_time(self, adjoint):
        """dx/dt = 2 t has the solution x + 1."""
        text = (
            "block slope(t):\n    cat(t, t) -> scale(2)\n"
            f'net n:\n    input i: [N, 2, H=4, W=4]\n    ode(slope, "rk4", adjoint={adjoint})\n'
        )
        x = torch.randn(3, 2, 4, 4)
        torch.testing.assert_close(archdsl.loads(text)(x), x + 1)

    def test_odenet_is_torchdiffeqs_example(self):
        """The network for digits of its examples, written out: norms, and convolutions that see the time."""
        from torchdiffeq import odeint

        model = archdsl.load("odenet").double().eval()
        f = model.net.features.f

        def concat_conv(conv, t, x):
            return conv(torch.cat([torch.ones_like(x[:, :1]) * t, x], 1))

        def derivative(t, x):
            x = concat_conv(f.conv1, t, torch.relu(f.norm1(x)))
            x = concat_conv(f.conv2, t, torch.relu(f.norm2(x)))
            return f.norm3(x)

        image = torch.randn(2, 1, 28, 28, dtype=torch.float64)
        with torch.no_grad():
            start = model.net.downsampling(image)
            times = torch.tensor([0.0, 1.0], dtype=torch.float64)
            end = odeint(derivative, start, times, rtol=1e-3, atol=1e-3)[1]
            expected = model.net.fc(torch.relu(model.net.norm(end)).mean((2, 3)))
            torch.testing.assert_close(model(image), expected)

    def test_the_function_uses_its_own_input_only(self):
        with pytest.raises(archdsl.CompileError, match="its own input only"):
            archdsl.loads("net n:\n    input i: [N, 2, H=4, W=4]\n    ode(add(identity, i))")

    def test_the_function_must_keep_the_shape(self):
        with pytest.raises(archdsl.CompileError, match="must keep the shape"):
            self.net("ode(conv(3, 3))")
        with pytest.raises(archdsl.CompileError, match="expects a pipeline|must be a pipeline"):
            self.net("ode(3)")


def test_all_that_is_asked_for_reaches_every_function(tmp_path, capsys):
    """One net of two, with a parameter, other channels and a result by name: 5*6*9 weights and 6 biases."""
    text = "\n".join(f"net {n}(c=4):\n    input i: [N, 3, H=8, W=8]\n    a: conv(c, 3)\n    b: relu\n" for n in "mn")
    (tmp_path / "two.arch").write_text(text)
    path = str(tmp_path / "two.arch")
    asked = {"net": "n", "in_channels": 5, "outputs": ["a"], "c": 6}
    report = archdsl.check(path, **asked, sizes=((1, 5, 16, 12),))
    assert (report.name, report.params, report.macs) == ("n", 276, 270 * 16 * 12)
    assert [name for name, _, _ in report.outputs] == ["a"]
    code = archdsl.compile(path, **asked)
    assert "class N(" in code and "c: int = 6" in code and "Conv2d(5, c" in code and "self.b" not in code
    for model in (archdsl.load(path, **asked), archdsl.loads(text, **asked)):
        assert type(model).__name__ == "N" and sum(p.numel() for p in model.parameters()) == 276
    options = ["--net", "n", "--set", "c=6", "--input", "1x5x16x12", "--outputs", "a"]
    for command in (["check", "--format", "json"], ["compile", "--emit", "json", "-o", "-"]):
        assert main([*command, path, *options]) == 0
        found = json.loads(capsys.readouterr().out)
        (found,) = found.get("networks", [found])
        assert found == json.loads(json.dumps(report.to_dict()))
