"""Texts that nobody would write, for tests and for `benchmarks/fuzz.py`: at random, but so that many get far.

Writer      nets put together from operators, blocks and conditions that mostly know their names
sentences   whatever the grammar allows, from Lark's own grammar, with names that mean something
modules     syntax trees (`trees.py`), printed
sized       chains of windows, strides and crops: which sizes are legal?
large       valid and near a limit
shuffled    a file of the gallery, a few tokens out of order
changed     a file of the gallery, a few bytes changed
mutated     a file of the gallery, a character or word changed
"""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from archdsl import project
from archdsl.core.source import Source
from archdsl.elaborate import operators
from archdsl.ops import OPS
from archdsl.syntax import grammar
from archdsl.syntax.lexer import Lexer
from tests.syntax.trees import KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

HEAD = "net n:\n    input image: [N, 3, H=32, W=32]\n"


@cache
def gallery() -> tuple[str, ...]:
    """Return the texts of the bundled files."""
    return tuple(project.read(project.path_of(name)).text for name in project.bundled())


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


# -------------------------------------------------------------------------------------------------- the grammar
NAMES = [*KNOWN, "n", "image", "a", "b", "i", "depth", "maxpool", "flatten", "linear", "dropout", "x", "x", "conv"]
OUTSIDE = "BLOCK DEFAULT FN FROM IMPORT INIT NET".split()  # words that no body has
INPUT = "input image: [N, 3, H=32, W=32]"
LINES = {"_NL": "\n", "_INDENT": "\x01", "_DEDENT": "\x02"}


@cache
def sentences() -> SearchStrategy[str]:
    """Return the strategy of whatever the grammar allows: files, and bodies of a net with an input."""
    from hypothesis.extra.lark import from_lark

    parser = grammar.lark_parser()
    words = {terminal.name: _words(terminal) for terminal in parser.terminals}
    words |= {name: st.just(sign) for name, sign in LINES.items()}
    files = from_lark(parser, start="start", explicit=words).map(_indented)
    words = {name: word for name, word in words.items() if name not in OUTSIDE}
    bodies = from_lark(parser, start="body", explicit=words).map(lambda text: text.replace("\x01", f"\x01{INPUT}\n", 1))
    return st.one_of(bodies.map("net n:{}".format).map(_indented), bodies.map("net n:{}".format).map(_indented), files)


def _words(terminal) -> SearchStrategy[str]:
    chosen = {
        "NAME": st.sampled_from(NAMES),
        "INTEGER": st.integers(0, 9).map(str) | st.integers(0, 10**20).map(str),
        "STRING": st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=5).map(
            '"{}"'.format
        ),
        "LONG_STRING": st.text(max_size=9).map('"""{}"""'.format),
    }
    if terminal.name in chosen:
        return chosen[terminal.name].map("{} ".format)
    if terminal.pattern.type == "str":
        return st.just(f"{terminal.pattern.value} ")
    return st.from_regex(terminal.pattern.to_regexp(), fullmatch=True).map("{} ".format)


def _indented(text: str) -> str:
    """Put the lines of a text that says where bodies begin and end under one another."""
    depth, lines = 0, []
    for line in text.split("\n"):
        depth = max(0, depth + line.count("\x01") - line.count("\x02"))
        lines.append("    " * depth + re.sub("[\x01\x02]", "", line))
    return "\n".join(lines)


# -------------------------------------------------------------------------------------------------- sizes
def sized(rng: random.Random) -> str:
    """Return a net of windows, strides, crops and upsampling on inputs of odd sizes."""

    def step() -> str:
        k, s = rng.randint(1, 9), rng.choice([1, 2, 2, 3, 4, 5, 7, 16, 31, 127])
        p = rng.randint(0, k // 2)
        window = f"{k}, {s}, pad={p}"
        return rng.choice([
            f"maxpool({window}, ceil={rng.choice(['true', 'false'])})", f"conv(4, {window}, dilation={rng.randint(1, 3)})",
            f"upsample({rng.choice([1, 2, 3, s])})", f"conv_transpose(4, {window})", f"crop({rng.randint(1, 30)})",
            f"pad({rng.randint(0, 5)}, mode=\"{rng.choice(['reflect', 'constant'])}\")", f"avgpool({k}, {s})",
            f"subsample({s}, offset={rng.randint(0, 3)})", f"attention(identity, relu, identity, window={k}, shift={rng.randint(0, k - 1)})", "adaptive_avgpool(3)", "flatten -> linear(48) -> reshape(3, 4, 4)", f"pixel_unshuffle({rng.randint(1, 3)})",
            f"conv(x.channels, {k}, {s})", f"maxpool({s}) -> upsample({s})", f"cat(maxpool({s}) -> upsample({s}), identity)",
        ])  # fmt: skip

    def steps() -> str:
        return " -> ".join(step() for _ in range(rng.randint(1, 3)))

    lines = []
    for number in range(rng.randint(1, 4)):
        a, b = steps(), steps()
        lines += rng.choice([
            [a], [a], [f"output o{number} = i -> {b}"], [f"cat({a} -> upsample(like=x), identity)"], [f"cat({a}, {b})"],
            [f"k{number} = i -> {a}", f"crop(like=k{number})"], [f"output o{number} = i -> cat({a}, identity)"],
        ])  # fmt: skip
    dims = rng.choice(
        [
            "H=64, W=60",
            "H=64, H",
            "H=97, 97",
            "H=3000, W=2000",
            "H=16777216, W=720",
            "H=16002, W=16129",
            "H=720720, W=55440",
        ]
    )
    return f"net n:\n    input i: [N, 3, {dims}]\n" + "".join(f"    {line}\n" for line in lines)


# -------------------------------------------------------------------------------------------------- large
def body(lines: list[str], before: str = "", size: int = 32) -> str:
    """Return a net of these lines, after other definitions."""
    return before + HEAD.replace("32", str(size)) + "".join(f"    {line}\n" for line in lines)


def each(pattern: str, count: int) -> list[str]:
    """Return a line for each number, in the place of every `#`."""
    return [pattern.replace("#", str(number)) for number in range(count)]


STEPS = operators.MAX_NODES - 10  # which a check takes; `compile` and `cost --memory` take half of them
# Valid, each near a limit: the larger the number, the larger the text.
LARGE: dict[str, Callable[[int], str]] = {
    "numbered steps": lambda n: body(["conv(3, 3) -> relu"] * (n // 2)),
    "labelled steps": lambda n: body(each("a#: conv(3, 3) -> b#: relu", n // 2)),
    "one chain": lambda n: body([" -> ".join(["conv(3, 3)"] * n)]),
    "additions": lambda n: body(["add(identity, conv(3, 3))"] * (n // 3)),
    "steps that differ": lambda n: body(each("conv(3 + # % 7, 1 + # % 3 * 2) -> maxpool(3, 1, pad=1)", n // 4)),
    "kept values": lambda n: body([*each("a# = x\n    bn", n // 2), f"cat({', '.join(each('a#', n // 2))})"]),
    "outputs": lambda n: body(each("conv(3, 3)\n    output o# = x", n // 2)),
    "block of many arguments": lambda n: body(each("b(#) -> bn", n // 4), "block b(i):\n    conv(3 + i % 7, 3) -> relu\n"),
    "wider and wider": lambda n: body(each("cat(identity, conv(#+1, 1)) -> conv(3, 1)", n // 4)),
    "branches": lambda n: body([f"cat({', '.join(['identity'] * n)})"]),
    "split": lambda n: body([f"conv({n // 4 * 2}, 1)", f"split({', '.join(['bn'] * (n // 4))})"]),
    "bindings": lambda n: body([*each("a# = #", n), "conv(a1, 3)"]),
    "loop": lambda n: body([f"for i in range({5 * n}):", "    k = i", "relu"]),
    "repetition": lambda n: body([f"[conv(3, 3), relu] * {STEPS // 3}"]),
    "parameters": lambda n: f"net n({', '.join(each('p#=#', n))}):\n    input i: [N, 3, H=8, W=8]\n    conv(p1 + 1, 3)\n",
    "blocks": lambda n: "".join(each("block b#:\n    conv(3, 3)\n", n // 2)) + body(each("b#", n // 4)),
    "functions": lambda n: "".join(each("fn f#(a) = a + #\n", n // 2)) + body(["conv(f1(3), 3)"]),
    "nets": lambda n: "".join(each("net n#:\n    input i: [N, 3, H=8, W=8]\n    relu\n", n // 4)),
    "nets of one block": lambda n: f"block b:\n{'    conv(3, 3) -> bn' * 1}\n" + "".join(
        each("net n#:\n    input i: [N, 3, H=8, W=8]\n    b -> b\n", n // 8)
    ),
    "aliases": lambda n: body(["conv(3, 3) -> relu"] * 50) + "".join(each("net a# = n\n", n // 8)),
    "list": lambda n: body([f"a = [{', '.join(each('#', 4 * n))}]", "conv(a[3], 3)"]),
    "sum": lambda n: body([f"conv({' + '.join(['1'] * (4 * n))}, 1)"]),
    "comments": lambda n: body(["# " + "word " * 20, "relu"] * (n // 2)),
    "docstring": lambda n: f'"""{"word " * 18 * n}"""\n{body(["relu"])}',
    "requirements": lambda n: body([*each('require # >= 0, "no"', n), "relu"]),
    "nested": lambda n: body(["    " * i + "if true:" for i in range(n // 400)] + ["    " * (n // 400) + "relu"]),
    "sequences": lambda n: body(["[" * (n // 270) + "relu" + "]" * (n // 270)]),
    "periods": lambda n: body(["maxpool(2)"] * 13 + ["maxpool(3, 1, pad=1)"] * (n // 290), size=99999),
    "periods with overhang": lambda n: body(
        ["maxpool(3, 7, ceil=true) -> maxpool(4, 11, ceil=true) -> maxpool(5, 13, ceil=true)"]
        + ["maxpool(3, 1, pad=1)"] * (n // 300), size=99999,
    ),
    "sums of periods": lambda n: body(each("maxpool(3, 1, pad=1)\n    h# = x.height // 127 + x.height // 64 + #", n // 256), size=9999),
    "sizes that must agree": lambda n: body(each("add(maxpool(# % 6 * 2 + 2) -> upsample(# % 6 * 2 + 2), identity)", n // 30), size=720720),
    "resampling": lambda n: body(["add(maxpool(128) -> upsample(128), identity)"] * (n // 13), size=1280),
    "square input": lambda n: "net n:\n    input i: [N, 3, H=20000, H]\n    " + "maxpool(2) -> " * 6 + "flatten -> linear(2)\n",
    "densely connected": lambda n: body(["cat(identity, bn -> relu -> conv(3, 3))"] * (n // 5)),
}  # fmt: skip


def large(rng: random.Random) -> str:
    """Return one of the large texts, near its limit or at a part of it."""
    return rng.choice(list(LARGE.values()))(int(STEPS * rng.choice([1, 1, rng.random()])))


# -------------------------------------------------------------------------------------------------- changed files
@cache
def gallery_tokens() -> tuple[tuple[list[str], ...], list[str]]:
    """Return the tokens of each bundled file, and all of them."""
    files = tuple(tokens(text) for text in gallery())
    return files, sorted({word.strip() for words in files for word in words} | set(KNOWN))


def tokens(text: str) -> list[str]:
    """Split a text into its tokens, each with the space before it."""
    found, end = [], 0
    for _, word, start, stop in Lexer(grammar.load()).tokens(Source("text", text)):
        if word:
            found.append(text[end : start + len(word)])
            end = stop
    return [*found, text[end:]]


def shuffled(generator: random.Random) -> str:
    """Drop, double, swap or replace a few tokens of a bundled file."""
    files, others = gallery_tokens()
    words = list(generator.choice(files))
    for _ in range(generator.randint(1, 3)):
        at, other = generator.randrange(len(words)), generator.randrange(len(words))
        words[at : at + 1] = generator.choice(
            [[], [words[at]] * 2, [words[other]], [generator.choice(others)], [words[at], words[other]]]
        )
    return "".join(words)


def changed(generator: random.Random) -> bytes:
    """Change a few bytes of a bundled file, or move a piece of it."""
    data = generator.choice(gallery()).encode()
    for _ in range(generator.randint(1, 4)):
        at, end = sorted(generator.randrange(len(data)) for _ in range(2))
        data = generator.choice([
            data[:at] + bytes([generator.randrange(256)]) + data[at + 1 :],
            data[:at] + data[end:],
            data[:end] + data[at:],
            data[:at] + generator.randbytes(3) + data[at:],
        ])[:20000] or b" "  # fmt: skip
    return data


def mutated(generator: random.Random) -> str:
    """Change one word, sign or character of a bundled file."""
    text = generator.choice(gallery())
    kind = generator.randrange(4)
    at = generator.randrange(len(text))
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + generator.choice('()[]{}:,.=-+*/%<>#"\n\t x0') + text[at:]
    words = text.split(" ")
    at = generator.randrange(len(words))
    words[at] = "" if kind == 2 else generator.choice(words)
    return " ".join(words)
