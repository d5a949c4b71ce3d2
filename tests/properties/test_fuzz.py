"""Texts that nobody would write: values that share their parts, texts near every limit, texts at random.

`test_bad_input.py` holds single mistakes and large numbers; here are small texts whose meaning is large, and what
`inputs.py` makes, a few of each kind: `benchmarks/fuzz.py` tries 200,000. Whatever is read ends in a network or in a
mistake with a place, within bounded time.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

from archdsl.analysis.costs import weights
from archdsl.cli.main import main
from archdsl.codegen.module import emit
from archdsl.compiler import compile_text
from archdsl.diagnose.survey import MOST
from archdsl.diagnostics import CompileError
from archdsl.elaborate.nets import elaborate
from archdsl.project import Project
from archdsl.report.check import report
from benchmarks import fuzz
from tests.properties import inputs
from tests.properties.inputs import HEAD, LARGE, STEPS, Writer
from tests.properties.test_bad_input import outcome
from tests.properties.timing import answer_within


def growing(first: str, further: str, times: int = 60, last: str = "relu") -> str:
    """Return a net that binds `v0` to `first`, each next name to `further` of the one before, and then applies `last`."""
    lines = [f"v0 = {first}"]
    lines += [f"v{i + 1} = {further.replace('v', f'v{i}')}" for i in range(times)]
    return HEAD + "".join(f"    {line}\n" for line in [*lines, last.replace("v", f"v{times}")])


def looped(bindings: str, body: str) -> str:
    """Return a net that makes some bindings and runs a statement 100,000 times."""
    lines = [*bindings.split("; "), "for i in range(100000):", f"    {body}", "relu"]
    return HEAD + "".join(f"    {line}\n" for line in lines)


def numbered(pattern: str, count: int) -> str:
    return "".join(pattern.replace("#", str(i)) for i in range(count))


def doubling(bottom: str, top: str) -> str:
    """Return blocks `b0` to `b40`, each of which uses the one before twice, and a net."""
    return f"block b0:\n    {bottom}\n" + numbered("block c#:\n    b# -> b#\n", 0) + "".join(
        f"block b{i + 1}:\n    b{i} -> b{i}\n" for i in range(40)
    ) + HEAD + top  # fmt: skip


HALF = " -> ".join(["maxpool(2)"] * 14)
ZEROS = "b = [0] * 90000"
TEXT = 's0 = "aaaaaaaa"; ' + "; ".join(f"s{i + 1} = s{i} + s{i}" for i in range(12))

# A short text, or a long one, that means more than can be worked through. The code is that of the mistake.
BOMBS = {
    "a list of two lists of two lists": (growing("[1]", "[v, v]"), "E0212"),
    "such a chain": (growing("identity", "v -> v", last="v"), "E0212"),
    "such a sequence": (growing("[identity]", "[v, v]", last="v"), "E0212"),
    "such a sum": (growing("identity", "add(v, v)", last="v"), "E0212"),
    "such a chain of what waits for its input": (growing("conv(x.channels, 1)", "v -> v", last="v"), "E0212"),
    "arguments": (f"block u(f=relu, g=relu):\n    f -> g\n{growing('u', 'u(v, v)', last='v')}", "E0212"),
    "repetitions of nothing": (HEAD + "    ((identity * 100000) * 100000) * 1000\n", "E0212"),
    "repetitions of a sequence": (HEAD + "    ([identity] * 100000) * 100000\n", "E0212"),
    "a list in a list in a list": (growing("[1]", "[v]", 9000), "E0106"),
    "a chain in a chain in a chain": (growing("relu", "v -> relu", 9000, "v"), "E0106"),
    "an argument of an argument": (f"block u(f=relu):\n    f\n{growing('u', 'u(v)', 5000, 'v')}", "E0106"),
    "a deep alias": (
        "block u(f=relu):\n    f\nnet a0 = u\n" + "".join(f"net a{i + 1} = u(a{i})\n" for i in range(3000)),
        None,
    ),
    "lists joined again and again": (looped(ZEROS, "c = b + [i]"), "E0212"),
    "lists kept": (looped(ZEROS, "c{i} = b + [i]"), "E0212"),
    "ranges kept": (looped("b = 1", "c{i} = range(99999)"), "E0212"),
    "a long list read again and again": (looped(ZEROS, "c = max(b)"), "E0212"),
    "a long list searched": (looped(ZEROS, 'require not 1 in b, "no"'), "E0212"),
    "long lists compared": (looped(f"{ZEROS}; c = [0] * 90000", 'require b == c, "no"'), "E0212"),
    "long texts kept": (looped(TEXT, "t{i} = s12 + s12"), "E0212"),
    "long names": (looped(TEXT, "t{s12}{i} = 1"), "E0212"),
    "long periods": (looped(f"{HALF}; h = x.height", "y{i} = h + i").replace("32", "99999"), "E0212"),
    "long periods of steps": (looped(HALF, "maxpool(3, 1)").replace("32", "9999999"), "E0212"),
    "a size that grows": (growing("x.height", "v * 2**60", 50), "E0211"),
    "an area that grows": (growing("x.height * x.width", "v * 2**60", 50), "E0211"),
    "a quotient that grows": (HEAD + f"    v = ceil({' * '.join(['1/7'] * 60)})\n    relu\n", "E0211"),
    "Fibonacci": (f"fn f(n) = f(n - 1) + f(n - 2) if n > 1 else 1\n{HEAD}    conv(f(40), 1)\n", "E0212"),
    "a tree of blocks": (
        f"block f(n, k):\n    if n > 0:\n        f(n - 1, 2*k) -> f(n - 1, 2*k + 1)\n    relu\n{HEAD}    f(40, 1)\n",
        "E0212",
    ),
    "a recursion in every way at once": (
        "block f(n):\n" + "".join("    " * i + "cat:\n" for i in range(1, 40)) + "    " * 40 + f"f(n)\n{HEAD}    f(0)\n",
        "E0106",
    ),
    "a recursion in a default": ("fn f(n) = " + "-" * 60 + f"f(n)\ndefault conv(bias=f(0))\n{HEAD}    relu\n", None),  # too deep or endless
    "a name that nearly fits, among many": (HEAD + numbered("    abc# = 1\n", 20000) + "    conv(abcd, 1)\n", "E0201"),
    "a long name that nearly fits": (HEAD + f"    {'a' * 200000} = 1\n    conv({'a' * 199999}b, 1)\n", "E0201"),
    "brackets before a mistake": (HEAD + "    y = [" + "1[2],\n" * 19000 + "=]\n", "E0102"),
    "a list without an end": (HEAD + "    y = [" + "1," * 500000 + "]\n", "E0212"),
    "a sum without an end": (HEAD + "    y = " + "1+" * 500000 + "1\n", "E0212"),
    "steps without an end": (HEAD + "    relu\n" * 90000, "E0212"),
    "taps without an end": (
        "block b:\n" + numbered("    l#: relu\n", 7000) + HEAD + "    r = image -> s: b\n" + numbered("    y# = r.l#\n", 7000),
        "E0212",
    ),
    "a number that is none": (HEAD + "    y = 1e999\n    relu\n", "E0211"),
    "a label that Python reads as another": (HEAD + '    a{"\N{LATIN SMALL LIGATURE FI}"}: relu\n', "E0224"),
    "spaces without an end": (HEAD + "    relu" + " " * 900000 + "x", "E0107"),
    "quotes without an end": (HEAD + "    y = " + '"' * 900001, None),
}  # fmt: skip
# The same in what can be worked through: each thing once, however often it is used.
LARGE_BUT_FINE = {
    "blocks of two blocks": doubling("conv(3, 3)", "    b40\n"),
    "a shared block of two blocks": doubling(
        "conv(3, 3)", "    t = tower: b40\n    a = image -> t\n    c = image -> t\n    add(a, c)\n"
    ),
    "Fibonacci of blocks": f"block f(n):\n    if n > 0:\n        f(n - 1) -> f(n - 2)\n    relu\n{HEAD}    f(40)\n",
    "many names": HEAD + numbered("    a# = 1\n", 9000) + "    conv(a1, 1)\n" * 6000,
    "many outputs": HEAD + "    relu\n" + numbered("    output o# = x\n", 9000),
    "many branches": HEAD + f"    cat({', '.join(['identity'] * 20000)})\n",
    "a long loop": looped("b = 1", "c = i"),
    "a long list": HEAD + "    y = range(100000)\n    relu\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_short_text_that_means_too_much_is_a_mistake(name):
    text, code = BOMBS[name]
    mistake = outcome(text)
    assert mistake is not None
    assert code in (None, mistake.diagnostic.code)


@pytest.mark.parametrize("name", LARGE_BUT_FINE)
def test_what_is_shared_is_worked_through_once(name):
    assert outcome(LARGE_BUT_FINE[name]) is None


# -------------------------------------------------------------------------------------------------- near a limit
@pytest.mark.parametrize("kind", LARGE)
def test_valid_and_large(kind):
    """A fifth of the limit; `benchmarks/fuzz.py` goes up to it."""
    assert outcome(LARGE[kind](STEPS // 5)) is None


MANY = {  # many mistakes in one file, each of which may take a suggestion
    "unknown names": lambda n: HEAD + numbered("    abcdefgh#x(3)\n", n),
    "unknown arguments": lambda n: HEAD + numbered("    conv(8, 3, strid#=2)\n", n),
    "names beside similar ones": lambda n: HEAD + numbered("    vv# = 3\n", n) + numbered("    conv(vw#, 3)\n", n),
    "names beside computed ones": lambda n: HEAD + numbered("    vv#{3} = 3\n", n) + numbered("    conv(vw#, 3)\n", n),
    "a computed name of many parts": lambda n: HEAD + f"    {'a{1}' * 30} = 1\n    conv({'a' * 60}b, 3)\n",
    "nets that are no sentences": lambda n: numbered("net n#:\n    input image: [N, 3, H=32, W=32]\n    relu relu\n", n),
    "such nets behind a long one": lambda n: HEAD + "    conv(3, 3) -> relu\n" * 3 * n + numbered("net n#:\n    relu relu\n", n),
    "wrong nets": lambda n: numbered("net n#:\n    input image: [N, 3, H=32, W=32]\n    rely#\n", n),
    "lines that cannot be read": lambda n: HEAD + "    relu relu\n" * n,
    "lines above one that cannot be read": lambda n: HEAD + "\n" * 200 * n + " " * 200 * n + "relu relu\n",
    "spaces in a line that cannot be read": lambda n: HEAD + "    relu" + " " * 200 * n + "relu\n",
    "steps above one that cannot be read": lambda n: HEAD + "    relu\n" * 10 * n + "    relu relu\n",
    "definitions that cannot be read": lambda n: numbered("block b#(c c):\n    relu\n", n),
    "no definitions": lambda n: numbered("foo bar#\n", n),
    "nets of a wrong block": lambda n: "block b:\n    rely\n" + numbered("net n#:\n    input i: [N, 3, H=8, W=8]\n    b\n", n),
}  # fmt: skip


@pytest.mark.parametrize("kind", MANY)
def test_many_mistakes_are_answered_in_time(kind, tmp_path, capsys):
    path = tmp_path / "many.arch"
    path.write_text(MANY[kind](2000))
    command = ["check", "--format", "short", str(path)]
    status, printed = answer_within(4, lambda: (main(command), capsys.readouterr().out))  # 0.1 to 1 s
    assert status == 1 and 1 <= len(printed.splitlines()) <= 3 * MOST + 100


def test_nets_that_take_too_long_together_are_one_mistake(tmp_path, capsys):
    path = tmp_path / "nets.arch"
    path.write_text(
        "block b:\n" + "    conv(3, 3)\n" * 500 + numbered("net n#:\n    input i: [N, 1#, H=8, W=8]\n    b\n", 40)
    )
    assert main(["check", "--format", "short", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert 20 < len(lines) < 40 and "E0212" in lines[-1] and "take too long together" in lines[-1]
    assert sum("E0212" in line for line in lines) == 1


# -------------------------------------------------------------------------------------------------- at random
relaxed = settings(
    max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


@relaxed
@given(inputs.sentences())
def test_sentences_of_the_grammar(text):
    outcome(text)


WRITTEN = {
    "nets": lambda rng: Writer(rng.getrandbits(48)).file(),
    "sizes": inputs.sized,
    "tokens out of order": inputs.shuffled,
    "changed words": inputs.mutated,
    "changed bytes": lambda rng: inputs.changed(rng).decode("utf-8", "replace"),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_texts_at_random(kind):
    rng, ends = random.Random(kind), Counter()
    for _ in range(120):
        mistake = outcome(WRITTEN[kind](rng))
        ends[mistake.diagnostic.code if mistake else "fine"] += 1
    assert ends["fine"], "some texts must survive, or only the parser is tested"
    assert len(ends) > 2, ends


def test_the_generators_of_texts_reach_what_they_are_for():
    """A text of the grammar gets past the parser, and sizes give more than one kind of answer."""
    rng = random.Random(0)
    answers = set()
    for _ in range(150):
        try:
            found = report(compile_text(inputs.sized(rng)).network)
        except CompileError as mistake:
            assert mistake.diagnostic.code.startswith("E03") or mistake.diagnostic.code == "E0233", mistake
            continue
        answers |= {one.rule()[:4] for one in found.legal}
    assert len(answers) > 4, answers


@pytest.mark.parametrize("kind", fuzz.SHARES)
def test_a_part_of_the_fuzzing(kind, tmp_path, monkeypatch):
    """The command that tries 200,000 inputs, on a few of each kind, in this process."""
    monkeypatch.setattr(fuzz, "PARTS", tmp_path)
    monkeypatch.setitem(inputs.LARGE, "numbered steps", lambda n: LARGE["branches"](n // 20))
    found = fuzz.part(kind, 1, 8 if kind != "large" else 1)
    assert found["inputs"] >= 1 and found["failures"] == [] and sum(found["codes"].values()) >= found["inputs"]


def test_fuzzing_notices_what_it_is_there_for(tmp_path, monkeypatch):
    """A traceback, a slow command, a control character and a text that is no JSON are failures."""
    faults = {
        "status 3": lambda command: 3,
        "took": lambda command: busy(0.6),
        "prints": lambda command: print("\x1b[31m") or 0,
        "JSONDecodeError": lambda command: print("{") or 0,
    }
    monkeypatch.setattr(fuzz, "MAX_SECONDS", 0.5)
    for words, fault in faults.items():
        monkeypatch.setattr(fuzz.cli, "main", fault)
        assert words in fuzz._guarded(b"", str(tmp_path / "n.arch"), ["--format", "json"]).failure


def busy(seconds: float) -> int:
    """Compute for so long by the clock that the fuzzer reads."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return 0


def run_nets(count: int, seed: int) -> int:
    """Run the code of nets at random, those that check and are small; count them."""
    ran = 0
    for number in range(count):
        try:
            network = elaborate(Project().text(Writer(seed + number).file()), "n")
            emitted = emit(network)
        except CompileError:
            continue
        figures = report(network)
        shapes = [[int(dim) for dim in shape] for shape in network.scope.output_shapes]
        if figures.params > 1e7 or figures.macs > 1e8 or any(prod(shape) > 1e6 for shape in shapes):
            continue
        names: dict[str, Any] = {"__name__": "generated"}
        exec(compile(emitted.text, "generated", "exec"), names)
        model = names[emitted.class_name]()
        assert {k: tuple(v.shape) for k, v in model.named_parameters()} == dict(weights(network.scope))
        with torch.no_grad():
            model.eval()
            found = model(torch.randn(1, 8, 32, 48))
        results = [found] if isinstance(found, torch.Tensor) else [tensor for tensor in found if tensor is not None]
        always = [shape for shape, output in zip(shapes, network.scope.outputs) if not output.training]
        assert [list(tensor.shape) for tensor in results] == always
        ran += 1
    return ran


def test_nets_at_random_run():
    assert run_nets(200, seed=50_000) > 8


@pytest.mark.slow
def test_many_nets_at_random_run():
    run_nets(20_000, seed=2_000_000)
