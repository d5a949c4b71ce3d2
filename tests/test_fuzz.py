"""Texts that nobody would write: values that share their parts, nets put together at random, tokens out of order.

`test_bad_input.py` holds single mistakes and large numbers; here are small texts whose meaning is large, and random
texts that get past the parser. Whatever is read ends in a network or in a mistake with a place, within bounded time.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from test_bad_input import HEAD, outcome
from trees import KNOWN

from archdsl import grammar, project, render
from archdsl.cost import weights
from archdsl.diagnostics import CompileError
from archdsl.elaborate import elaborate
from archdsl.emit import emit
from archdsl.lexer import Lexer
from archdsl.ops import OPS
from archdsl.project import Project
from archdsl.report import report
from archdsl.source import Source

GALLERY = [project.read(project.path_of(name)).text for name in project.bundled()]


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
LARGE = "b = [0] * 90000"
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
    "lists joined again and again": (looped(LARGE, "c = b + [i]"), "E0212"),
    "lists kept": (looped(LARGE, "c{i} = b + [i]"), "E0212"),
    "ranges kept": (looped("b = 1", "c{i} = range(99999)"), "E0212"),
    "a long list read again and again": (looped(LARGE, "c = max(b)"), "E0212"),
    "a long list searched": (looped(LARGE, 'require not 1 in b, "no"'), "E0212"),
    "long lists compared": (looped(f"{LARGE}; c = [0] * 90000", 'require b == c, "no"'), "E0212"),
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


# -------------------------------------------------------------------------------------------------- nets at random
class Writer:
    """Writes nets that parse, and whose steps mostly know their names and take their arguments."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names: list[str] = []
        self.words = [word for word in KNOWN if word not in ("N", "H", "W", "range", "len", "max")]

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def name(self, prefix: str) -> str:
        name = f"{prefix}{self.random.randrange(30)}"
        if prefix in "vn":  # a binding; the others are labels
            self.names.append(name)
        return name

    def known(self) -> str:
        return self.random.choice(self.names) if self.names and self.random.random() < 0.8 else self.pick(*self.words)

    def number(self, depth: int = 2) -> str:
        leaf = self.pick("1", "2", "3", "4", "8", "x.channels", "x.height", "i", self.known(), "-1", "0", "2.5")
        if depth == 0 or self.random.random() < 0.5:
            return leaf
        a, b = self.number(depth - 1), self.number(depth - 1)
        return self.pick(
            f"{a} + {b}", f"{a} * {b}", f"{a} // {b}", f"({a} - {b})", f"{a} / {b}", f"{a}**{b}", f"{a} % {b}",
            f"max({a}, {b})", f"ceil({a} / {b})", f"len(range({a}))", f"({a} if {self.test()} else {b})", f"[{a}, {b}][0]",
        )  # fmt: skip

    def test(self) -> str:
        return self.pick("true", "i == 0", "x.channels > 4", "x.channels != 8", "i in [0, 2]", "not false and i < 2")

    def operator(self) -> str:
        name = self.random.choice([*OPS, "conv", "bn", "relu", "conv", "maxpool"])
        values = [self.number(1) if self.random.random() < 0.4 else self.pick("1", "2", "4") for _ in OPS[name].args]
        given = [value for value, spec in zip(values, OPS[name].args.values()) if repr(spec.default) == "required"]
        for extra, spec in OPS[name].args.items():
            if repr(spec.default) != "required" and self.random.random() < 0.15:
                example = self.random.choice([*spec.kind.examples, 1])
                given.append(f"{extra}={json.dumps(example).replace('null', '2')}")
        return f"{name}({', '.join(given)})" if given else name

    def pipeline(self, depth: int) -> str:
        if depth == 0 or self.random.random() < 0.2:
            return self.random.choice([self.operator(), self.operator(), self.known(), "identity", "x"])
        a, b = self.pipeline(depth - 1), self.pipeline(depth - 1)
        same = f"conv(x.channels, 3) -> ({a})"
        return self.random.choice([
            f"({a} -> {b})", f"[{a}, {b}]", f"cat({a}, {b})", f"add(identity, {same})", f"({a}) * {self.number(0)}",
            f"({self.name('l')}: {a})", f"({a} if {self.test()})", f"({a} if {self.test()} else {b})", f"split({a}, {b})",
            f"mul(identity, [{a}, conv(x.channels, 1), sigmoid])", f"(x -> {a})", f"{self.pick('cat', 'add')}([{a} for i in range({self.pick('0', '1', '3')})])",
            f"block{self.random.randrange(3)}({a}, {self.number(0)}).{self.name('l')}", f"block{self.random.randrange(3)}({a})",
        ])  # fmt: skip

    def statements(self, depth: int, indent: str) -> list[str]:
        lines: list[str] = []
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.randrange(10 if depth else 5)
            inner = self.statements(depth - 1, indent + "    ") if kind >= 5 else []
            lines += {
                0: [f"{indent}{self.pipeline(2)}"],
                1: [f"{indent}{self.pipeline(2)} -> {self.pipeline(1)}"],
                2: [f"{indent}{self.name('v')} = {self.pipeline(2)}"],
                3: [f"{indent}{self.name('n')} = {self.number()}"],
                4: [f"{indent}{self.name('l')}: {self.pipeline(2)}"],
                5: [f"{indent}for i in range({self.pick('2', '3')}):", *inner],
                6: [f"{indent}if {self.test()}:", *inner, f"{indent}else:", f"{indent}    relu"],
                7: [f"{indent}{self.name('s')}{{i}}:", *inner],
                9: [
                    f"{indent}for i in range(2):",
                    f"{indent}    t{{i}} = x",
                    *inner,
                    f"{indent}t{{1}} -> {self.pipeline(1)}",
                ],
                8: [f"{indent}{self.pick('cat', 'add', 'mul', 'split')}:", *inner, f"{indent}    identity"],
            }[kind]
        return lines

    def file(self) -> str:
        lines = []
        for number in range(3):
            self.names = ["f", "i"]
            lines += [f"block block{number}(f=relu, i={number}):", *self.statements(1, "    ")]
        self.names = ["i"]
        lines += ["net n(i=1):", "    input image: [N, 8, H=32, W=48]", *self.statements(2, "    ")]
        for number in range(self.random.randint(-3, 3)):
            lines.append(f"    output o{number} = {self.known()}{self.pick('', '', ' when training')}")
        return "\n".join(lines) + "\n"


def write_nets(count: int, seed: int) -> Counter[str]:
    """Check nets at random; count how they end."""
    ends: Counter[str] = Counter()
    for number in range(count):
        mistake = outcome(Writer(seed + number).file())
        ends[mistake.diagnostic.code if mistake else "fine"] += 1
    return ends


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
    assert run_nets(120, seed=50_000) > 8


@pytest.mark.slow
def test_many_nets_at_random_run():
    run_nets(20_000, seed=2_000_000)


def test_nets_at_random():
    ends = write_nets(300, seed=0)
    assert ends["fine"] > 5
    assert len(ends) > 10, ends


@pytest.mark.slow
def test_many_nets_at_random():
    write_nets(50_000, seed=1_000_000)


# -------------------------------------------------------------------------------------------------- tokens at random
def tokens(text: str) -> list[str]:
    """Split a text into its tokens, each with the space before it."""
    found, end = [], 0
    for _, word, start, stop in Lexer(grammar.load()).tokens(Source("text", text)):
        if word:
            found.append(text[end : start + len(word)])
            end = stop
    return [*found, text[end:]]


def shuffled(words: list[str], others: list[str], generator: random.Random) -> str:
    """Drop, double, swap or replace a few tokens."""
    words = list(words)
    for _ in range(generator.randint(1, 3)):
        at, other = generator.randrange(len(words)), generator.randrange(len(words))
        words[at : at + 1] = generator.choice(
            [[], [words[at]] * 2, [words[other]], [generator.choice(others)], [words[at], words[other]]]
        )
    return "".join(words)


def shuffle_tokens(count: int, seed: int) -> Counter[str]:
    generator = random.Random(seed)
    files = [tokens(text) for text in GALLERY]
    others = sorted({word.strip() for words in files for word in words} | set(KNOWN))
    ends: Counter[str] = Counter()
    for _ in range(count):
        mistake = outcome(shuffled(generator.choice(files), others, generator))
        ends[mistake.diagnostic.code if mistake else "fine"] += 1
    return ends


def test_tokens_out_of_order():
    ends = shuffle_tokens(150, seed=3)
    assert ends["fine"], "some texts must survive, or only the parser is tested"
    assert len(ends) > 5, ends


@pytest.mark.slow
def test_many_tokens_out_of_order():
    shuffle_tokens(30_000, seed=4)


# -------------------------------------------------------------------------------------------------- files
def changed(data: bytes, generator: random.Random) -> bytes:
    """Change a few bytes of a file, or move a piece of it."""
    for _ in range(generator.randint(1, 4)):
        at, end = sorted(generator.randrange(len(data)) for _ in range(2))
        data = generator.choice([
            data[:at] + bytes([generator.randrange(256)]) + data[at + 1 :],
            data[:at] + data[end:],
            data[:end] + data[at:],
            data[:at] + generator.randbytes(3) + data[at:],
        ])[:20000] or b" "  # fmt: skip
    return data


def change_bytes(folder: Path, count: int, seed: int) -> None:
    generator = random.Random(seed)
    verdicts = set()
    for _ in range(count):
        path = folder / "changed.arch"
        path.write_bytes(changed(generator.choice(GALLERY).encode(), generator))
        start = time.perf_counter()
        try:
            Project().open(str(path))
            verdicts.add("fine")
        except CompileError as mistake:
            render.text(mistake.diagnostic), render.short(mistake.diagnostic), render.as_json(mistake.diagnostic)
            verdicts.add(mistake.diagnostic.code)
        assert time.perf_counter() - start < 2
    assert len(verdicts) > 3


def test_changed_bytes(tmp_path):
    change_bytes(tmp_path, 150, seed=5)


@pytest.mark.slow
def test_many_changed_bytes(tmp_path):
    change_bytes(tmp_path, 30_000, seed=6)
