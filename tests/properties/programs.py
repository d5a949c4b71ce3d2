"""Well-formed programs at random, over the whole language: what `oracle.py` compares the ways to run a network with.

A program grows a statement at a time: what the compiler refuses is dropped, so every program checks, and nothing of its
rules is said twice here. Blocks grow on a probe, a net that applies them to two sets of arguments, and are then used
several times: instances that differ in numbers only, in structure, in nothing. The net runs while it is written, so
that a statement is parsed and elaborated once.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor, prod
from operator import add, floordiv, mod, mul, sub, truediv

from archdsl.analysis.costs import Costs, cost
from archdsl.compiler import Request, compile_text
from archdsl.core.source import Source
from archdsl.diagnostics import CompileError
from archdsl.elaborate import nets
from archdsl.elaborate.builder import Builder
from archdsl.elaborate.context import Context
from archdsl.elaborate.environment import File
from archdsl.elaborate.nets import elaborate
from archdsl.ir.network import Network, Scope
from archdsl.ops import OPS
from archdsl.ops.base import REQUIRED, Arg
from archdsl.project import Project
from archdsl.syntax.parser import parse

SMALL = 400_000  # multiply-accumulates, and elements of all values, of a net: milliseconds to run
INNER = (
    "chunk",
    "maxunpool",
    "add",
    "mul",
    "maximum",
    "minimum",
    "cat",
    "matmul",
    "attention",
    "pad_same",
)  # written another way
DOMAIN = ("exp", "log", "sqrt")  # which rounding may take over an edge of what they are defined on
LISTED = [name for name in OPS if name not in (*INNER, *DOMAIN) and "sign" not in OPS[name].traits]
COMMON = ("conv", "conv", "conv", "depthwise", "bn", "relu", "relu", "maxpool", "avgpool", "shuffle", "slice", "linear")
PLAIN = (
    "relu",
    "relu",
    "silu",
    "bn",
    "identity",
    "gn(1)",
    "ln",
    "rms_norm",
    "ln(bias=false)",
    "sigmoid",
    "leaky_relu(0.2)",
    "conv(x.channels, 3)",
)
INITS = (
    "zeros",
    "ones",
    "normal(0.5)",
    "kaiming",
    'kaiming(mode="fan_out")',
    "xavier",
    "uniform(0.1, 0.9)",
    "constant(0.3)",
)
REALS = (
    "0.1",
    "0.5",
    "1",
    "0",
    "0.25",
    "1 / 4",
    "1e-2",
    "2**-2",
    "min(0.5, 1 / 2)",
    "0.5 * 0.5",
    "1.5 - 1",
    "0.7 % 0.5",
)
LISTS = (
    "range(1, 4)",
    "[2 * q for q in range(1, 4)]",
    "reversed([2, 4])",
    "[4] + [2, 8]",
    "[2, 4] * 2",
    "[4, 8 if true else 2]",
)
ACTIVATIONS = (
    "relu",
    "relu6",
    "silu",
    "mish",
    "sigmoid",
    "tanh",
    "hardswish",
    "hardsigmoid",
    "elu",
    "gelu",
    "leaky_relu(0.3)",
    "softplus",
    "hardtanh(-2, 0.5)",
    "abs",
    "softplus -> log",
    "hardtanh -> exp",
    "softplus -> sqrt",
)
AXES = (
    '"channels"',
    '"height"',
    '"width"',
    '["height", "width"]',
    '("channels", "width")',
    '["width", "channels", "height"]',
)
REDUCTIONS = ("mean", "mean", "sum", "max", "min", "var")
WINDOWS = (
    "", "", "", "", "window=2", "every=2", "grid=2", "window=(1, 3), pad=true", "every=(2, 1)", "grid=(1, 2)", "every=3, pad=true",
    "grid=3, pad=true", "window=4, pad=true",
)  # fmt: skip
SOLVERS, MARGINS = ('"rk4"', '"midpoint"', '"euler"'), ('"reflect"', '"constant"', '"replicate"')
TEXTS = ('"a"', '"b"', '"a" + "b"')
FNS = {  # each with what may be said of it then
    "fn wide(c, by=2) = max(1, c * by)": ("wide(2)", "wide(x.channels)", "wide(3, by=1)"),
    "fn halved(c) = c if c < 6 else halved(c // 2)": ("halved(16)", "halved(x.channels)"),
    "fn share(c, of=c * 2) = int(of * 0.75)": ("share(4)", "share(3, 8)"),
    "fn widths(n) = [2 * i + 2 for i in range(n)]": ("widths(3)[1]", "sum(widths(2))", "widths(3)[-1]"),
    "fn first(items) = items[0] if len(items) > 0 else 1": ("first([4, 2])", "first([6])"),
}
SETTINGS = (
    "default conv(bias=false)", "default bn(eps=0.001), maxpool(ceil=true)", "default conv(pad=0)", "default bn(affine=false)",
    "default bn(momentum=0.3), gn(eps=1e-3)", "default avgpool(count_pad=false)", "default leaky_relu(slope=0.2)", "default conv(pad=1, dilation=1)",
)  # fmt: skip
DOCS = (
    "One line.", "Family: Title (Somebody, 1998), arXiv:1234.56789", "A back\\slash, 'quotes' and \"more\".", "Ends in a quote\"s",
    "Two\n\nparagraphs, the second one of which is longer than a line of generated code may be, so that it has to be wrapped",
    "Umlauts: äöü, and ≥", "N: A net (Somebody, 2001)",
)  # fmt: skip
# Names that mean something in Python, in PyTorch or in generated code.
ODD = tuple(
    "self nn F torch lambda super range forward weight training y out args Tensor list type i index len None_ is_ object "
    "n_output depthwise_conv2d int float in_ pass_ class_ with_ x0 t1 u v w z device channels groups stride kernel bias inplace Conv2d Sequential".split()
)
ODD_LABELS = tuple(
    "head conv relu layer1 body f0 weight_ add0 stem bias_ blocks out features net_ X torch nn F range super stage path args".split()
)
RUNS: Counter[str] = (
    Counter()
)  # what was written, and what of it was refused: `python -m benchmarks.programs` reports it


class Names:
    """What a place in a program may mention, by what it is."""

    def __init__(self, outer: Names | None = None) -> None:
        for kind in ("numbers", "truths", "pipes", "tensors", "lists", "labels", "pairs", "texts", "maps", "sizes"):
            setattr(self, kind, list(getattr(outer, kind)) if outer else [])
        self.blocks: list[Block] = list(outer.blocks) if outer else []


class Block:
    """A block that can be called: its parameters, each with a kind, and the outputs and labels of its result."""

    def __init__(self, name: str, params: list[tuple[str, str]], defaults: dict[str, str]) -> None:
        self.name, self.params, self.defaults = name, params, defaults
        self.results: list[str] = []


class Writer:
    """Writes one program."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.odd: set[str] = set()
        self.head: list[str] = []
        self.file: File | None = None  # of the head
        self.calls: list[str] = []  # of functions, each a number
        self.maps: list[str] = []  # blocks with the time left open
        self.blocks: list[Block] = []

    # ------------------------------------------------------------ choices
    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, choices):
        return self.random.choice(choices)

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def name(self, stem: str) -> str:
        """Return a name that nothing has; now and then one that means something elsewhere."""
        odd = self.pick(ODD)
        if odd in self.odd or not self.chance(0.06):
            return self.fresh(stem)
        self.odd.add(odd)
        return odd

    # ------------------------------------------------------------ values
    def number(self, names: Names, depth: int = 2) -> str:
        """Return an integer, mostly small and even."""
        known = [*names.numbers, *names.numbers, *[f"len({one})" for one in names.lists], "x.channels"]
        if depth == 0 or self.chance(0.45):
            return self.pick(known) if self.chance(0.6) else self.pick("1 2 2 3 4 4 6 8 8 12 16".split())
        a, b = self.number(names, depth - 1), self.number(names, depth - 1)
        return self.pick([
            f"2 * {self.tight(a)}", f"{a} + {self.tight(b)}", f"{self.tight(a)} // 2", f"{self.tight(a)} * {self.pick('234')}", f"max({a}, {b})",
            f"min({a}, {b})", f"{a} - {self.tight(b)}", f"ceil({self.tight(a)} / 2)", f"({a} if {self.truth(names, 1)} else {b})",
            f"2**{self.pick('0123')}", f"{self.tight(a)} % 3 + 1", f"abs({a} - {self.tight(b)}) + 1", f"sum([{a}, {b}])",
            f"{self.tight(a)} / 2", f"{a} - ({b} - 1)", *[f"{one}[{self.pick(['0', '-1'])}]" for one in names.lists],
            self.fraction(a, b),
        ])  # fmt: skip

    def fraction(self, a: str, b: str) -> str:
        """Return an integer that is made of fractions, decimals, lists or texts."""
        a, b = self.tight(a), self.tight(b)
        return self.pick([
            f"floor({a} / 3) + 1", f"round({a} / 4) + 1", f"int({a} * 0.7) + 1", f"({a} / 3) * 3", f"-{a} + 9", f"ceil(2.5 * {a})", f"round({a} * 0.5) + 1",
            f"min([{a}, 8])", f"range(1, 9, 2)[{self.pick('0123')}]", f"len([q for q in range({b}) if q % 2 == 0]) + 1", "sum([i * q for i, q in enumerate([1, 2, 3])])",
            "zip([1, 2], [3, 4])[1][0]", f"([{a}] * 3)[0]", f"len([1] + [2, {a}])", "int(2**0.5 * 4)", f"(1 / 3 + {a}) * 3 - 1", f"-({a} / 3) * -3", "(9 / 2) / (3 / 2)",
            f"({a} / 2) // 1 + 1", f"floor({a} - 1 / 2) + 1", 'len("ab" + "c")', f"abs(-{a})", f"2**(-1) * {a} * 2", f"int(-1.5) + {a} + 1", f"int({a} / 3) + 1", "floor(3.7)", "ceil(8 / 3 - 1)",
            "int(7.5 // 2)", "floor(7.5 % 4)", f"{a} % -5 + 5", f"-{a} // 2 + 9", "-2**2 + 8", "2**3**1", "-(-4)", "round(2.5) + round(7 / 2)", f"(4 / {b}) * {b}", f"{a} * 2 / 2", "7 // 2 * 2", "int(-7 / 2) + 6",
        ])  # fmt: skip

    def tight(self, text: str) -> str:
        return f"({text})" if " " in text else text

    def truth(self, names: Names, depth: int = 1) -> str:
        numbers = [*names.numbers, "x.channels", "x.channels"]
        a = self.pick(numbers)
        simple = [
            f"{a} > {self.pick('1248')}",
            f"{a} == {self.pick(numbers)}",
            f"{a} != {self.number(names, 0)}",
            f"{a} % 2 == 0",
        ]
        simple += [f"{name} == {self.pick(TEXTS)}" for name in names.texts] + [
            f'{name} in ["a", "c"]' for name in names.texts
        ]
        if self.chance(0.1):
            simple += [
                f"{a} / 2 > 1",
                f"2.5 < {a}",
                '"a" < "b"',
                "x.height == x.height",
                "x.width >= x.width",
                f"{a} / 2 == 2",
                f"{a} / 3 != 1 / 3",
                "true == true",
                "true == 1",
                "0 in [false, 2]",
                '"a" != "b"',
            ]
        simple += [f"{a} in [1, 2, 4]", f"{a} <= {self.pick('2468')}", *names.truths, *names.truths, "true", "false"]
        one = self.pick(simple)
        if depth and self.chance(0.3):
            return self.pick([f"not ({one})", f"{one} and {self.truth(names, 0)}", f"{one} or {self.truth(names, 0)}"])
        return one

    def argument(self, spec: Arg, names: Names) -> str | None:
        """Return a value for an argument, drawn from its own examples or from what the place knows."""
        if spec.kind.tensor:
            return self.pick(names.tensors) if names.tensors else None
        examples = [e for e in spec.kind.examples if e is not None]
        if spec.kind.measures and self.chance(0.4):
            return self.measure(names, several=isinstance(spec.kind.accept(1), tuple))
        if isinstance(examples[0], bool):
            return self.truth(names, 0) if self.chance(0.4) else self.pick(["true", "false"])
        if isinstance(examples[0], int) and self.chance(0.55):
            return self.number(names, 1)
        return written(self.pick(examples))

    def measure(self, names: Names, several: bool) -> str:
        """Return an argument that follows the size of a tensor, or two of which one does."""
        size = f"{self.pick([*names.tensors, 'x', 'x'])}.{self.pick(['height', 'width'])}"
        one = self.pick([size, size, f"{size} // 2", f"{size} + 1", f"{size} - 1", f"2 * {size}", f"ceil({size} / 2)", f"{size} % 3 + 1", f"-{size} % 4", f"({size} + 1) // 3", *names.sizes, *names.sizes])  # fmt: skip
        if not several:
            return one
        return self.pick([one, f"({one}, {self.pick('123')})", f"({self.pick('123')}, {one})", f"({one}, x.width)"])

    def operator(self, names: Names) -> str:
        name = self.pick(COMMON) if self.chance(0.55) else self.pick(LISTED)
        if name in ("conv", "conv_transpose") and self.chance(0.5):
            given = [self.number(names), self.pick(["1", "3", "3", "2", self.number(names, 0), "(1, 2)", "(3, 1)"])]
            return f"{name}({', '.join([*given, *self.options(name, names, 0.12)])})"
        given = [self.argument(spec, names) for spec in OPS[name].args.values() if spec.default is REQUIRED]
        if None in given:
            return "relu"
        given = [*given, *self.options(name, names, self.pick([0, 0.15, 0.35]))]
        if name in ("crop", "upsample") and not given:
            given = [
                f"like={self.pick(names.tensors)}"
                if names.tensors and self.chance(0.7)
                else self.pick(["size=3", "size=(2, 3)"])
            ]
        return f"{name}({', '.join(given)})" if given else name

    def options(self, name: str, names: Names, share: float) -> list[str]:
        """Return optional arguments of an operator."""
        given = []
        for key, spec in OPS[name].args.items():
            if spec.default is not REQUIRED and self.chance(share):
                value = self.argument(spec, names)
                given += [f"{key}={value}"] if value is not None else []
        if OPS[name].stateful is True and self.chance(0.06):
            given.append(f"{self.pick(['init', 'init', 'bias_init'])}={self.pick(INITS)}")
        return given

    # ------------------------------------------------------------ pipelines
    def pipe(self, names: Names, depth: int = 2) -> str:
        if depth <= 0 or self.chance(0.35):
            return self.leaf(names)
        a, b = self.pipe(names, depth - 1), self.pipe(names, depth - 1)
        c = "x.channels"
        return self.pick([
            f"({a} -> {b})", f"({a} -> {b})", f"[{a}, {b}]", f"[{a}, {b}] * {self.pick('23')}", f"cat({a}, {b})", f"cat(identity, {a})",
            f"add(identity, {self.kept(names, depth)})", f"add({self.kept(names, depth)}, {self.kept(names, depth)})",
            f"mul(identity, {self.gate()})", f"mul({self.kept(names, depth)}, identity)", f"split({a}, {b})", f"split(identity, {self.kept(names, depth)})",
            f"({a} if {self.truth(names)})", f"({a} if {self.truth(names)} else {b})", f"({self.fresh('l')}: {a})", f"({self.fresh('m')}: [{a}, {b}])",
            f"[{self.pick(PLAIN)}] * {self.number(names, 0)}", f"cat(*[{self.leaf(names)} for q in range({self.pick('123')})])",
            *[f"[conv(q, 3) for q in {one}]" for one in names.lists], *[f"cat(*[conv(q, 1) for q in {one} if q > 2])" for one in names.lists],
            *[f"({one} -> {a})" for one in names.tensors], f"(maxpool(2) -> {a})", f"(shuffle(2) -> slice(0, {self.number(names, 0)}))",
            f"cat(shuffle({self.number(names, 0)}), shuffle({self.number(names, 0)}))", f"ode([conv({c}, 3)], \"euler\", steps={self.pick('12')})",
            f"cat(maxpool(3, stride=1, pad=1), avgpool(3, stride=1, pad=1, count_pad={self.truth(names, 0)}))",
            self.rare(a, b, names), self.rare(a, b, names),
            f"mul(add(identity, {self.pick(['relu', 'tanh', 'sigmoid'])}), {self.pick(['elu', self.gate()])})",
            "(flatten -> linear(12) -> reshape(3, 2, 2))", "(global_avgpool -> reshape(1, 1, x.channels))", "(flatten -> split(identity, relu))",
        ])  # fmt: skip

    def rare(self, a: str, b: str, names: Names) -> str:
        """Return a pipeline in one of the language's less common forms."""
        n = self.number(names, 1)
        if self.chance(0.2):
            return self.arithmetic(names)
        return self.pick([
            f"conv({n})(kernel=3)", f"conv(kernel=3)({n})", f"conv({n}, 1)(kernel=3)", f"cat({a}, {b} if {self.truth(names)})", f"add(identity if {self.truth(names)}, {self.kept(names, 1)})",
            f"({self.fresh('l')}: ({self.fresh('m')}: {a}))", f"({self.fresh('l')}: cat({a}, {b}))", f"({self.fresh('l')}: ({a} -> {b}))", f"({self.fresh('l')}: {a} if {self.truth(names)})",
            f"({self.fresh('l')}: [{a}] * 2)", f"({self.leaf(names)}) * {self.pick('0123')}", f"({self.fresh('l')}: {a} * 2)", f"cat({self.fresh('l')}: {a}, {self.fresh('m')}: {b})",
            *[f"[conv(q, r) for q, r in {one}]" for one in names.pairs], *[f"cat(*[conv(q, r) for i, (q, r) in enumerate({one})])" for one in names.pairs],
            "(adaptive_avgpool(2) -> conv(x.height, 1))", "conv(4, 3, stride=max(1, x.channels // 8))", f"[conv({n}, 1), bn, relu6]", f"mul({self.gate()}, identity)", f"add([{self.kept(names, 1)}, identity])",
            f"(global_avgpool -> flatten -> linear(x.features) -> ln -> gn(1) -> reshape({n}, 1, 1))", f"(cat(identity, identity) -> pixel_shuffle(2) -> conv({n}, 1))", "(maxpool(3, stride=2, ceil=true) -> upsample(2))",
            f"conv({n}, {self.pick(['2', '3', '(1, 4)', '5'])}, stride={self.pick(['1', '2', '3', '(2, 1)'])}, pad=\"same\"{self.pick(['', '', ', dilation=2'])})", "depthwise(3, stride=2, pad=\"same\")", f"filter([0.25, 0.5, 0.25], stride={self.pick('123')}, pad={self.pick(['0', '1', '(1, 0)'])})", "(pad(1, \"reflect\") -> filter([1, 2, 1], [-1, 0, 1], stride=2, pad=0))", "filter([1, 3, 3, 1], stride=2, pad=\"same\")", "maxpool(3, stride=2, pad=\"same\")",
            f"attention({self.kept(names, 1)}, {self.kept(names, 1)}, conv({n}, 1){self.pick(['', ', heads=2'])})", f"attention({self.kept(names, 1)}, {self.kept(names, 1)}, conv({n}, 1), window={self.pick(['2', '(2, 1)', '4, shift=2', '(2, 4), shift=(0, 3)', '2, shift=1, heads=2'])})", f"(pad((0, -x.width % 3, 0, -x.height % 3)) -> attention({self.kept(names, 1)}, identity, conv({n}, 1), relative_bias(1, 3), window=3, shift={self.pick('012')}))", "cat(*[subsample(2, offset=at) for at in [(0, 0), (1, 0), (0, 1), (1, 1)]])", "(tokens -> linear(x.channels))", "(transpose -> conv(4, (3, 1)) -> transpose)", f"slice(0, {n}, axis={self.pick(AXES[:3])})", 'softmax(axis="width")',
            "(conv_transpose(x.channels, 2, stride=2) -> avgpool(2))", f"attention({self.kept(names, 1)}, {self.kept(names, 1)}, identity, relative_bias({self.pick('12')}), heads={self.pick('12')})", f"({a} -> {b} if {self.truth(names)} else {a})", f"([{a}] if {self.truth(names)} else [{b}, relu])", f"[{a}, {b} if {self.truth(names)}]", "[]", f"({a}, )[0]",
            f"ode(conv(x.channels, 1), steps={self.pick('123')}, solver={self.pick(SOLVERS)})", "ode([relu, conv(x.channels, 3)], tolerance=0.1)", f"ode({self.fresh('l')}: conv(x.channels, 1), \"euler\")",
            *[f"ode({one}, {self.pick(SOLVERS)}, steps=2)" for one in names.maps], "[bn, relu, conv(x.channels, 1)] * 2", f"pad({self.pick(['1', '(1, 2)', '(0, 1, 2, 0)'])}, {self.pick(MARGINS)})",
            f"mul(conv({self.pick(['1', 'x.channels'])}, 1), {self.kept(names, 1)})", f"cat({', '.join(self.leaf(names) for _ in range(self.pick([3, 5, 7])))})", "identity -> identity", "cat(relu if 1 > 2, bn if 2 > 3)", f"cat({self.pick(ODD_LABELS)}: [{a}], {self.fresh('l')}: {b})", "(x -> relu if x.channels > 2 else identity)",
            *[f"(({one} -> relu) if x.channels > {self.pick('28')} else identity)" for one in names.tensors],
            *[f"ode({self.called(one, names)}, \"euler\")" for one in names.blocks[:1]], "split(identity, identity, relu)",
            f"split({self.kept(names, 1)}, sizes=[x.channels])", "[conv(3, 1) for i in range(0)]", "[[], relu]", "([] * 2)",
            f"conv({n}, 3, init={self.pick(INITS)}, bias_init={self.pick(['zeros', 'ones', 'constant(0.1)', 'uniform(a=-1.0)'])})", f"conv({n}, (3, 3), (1, 1), (1, 1))", "crop(like=x)", "crop((2, 2), offset=1)",
            f"mul(add({self.kept(names, 1)}, bn), add({self.kept(names, 1)}, relu))", f"{self.pick(['maximum', 'minimum'])}({self.kept(names, 1)}, {self.pick(['identity', 'relu', self.gate()])})", f"add(identity, {self.gate()})", f"add(identity, {self.pick(['', 'l: '])}learned([{self.pick(['x.channels', '1'])}, 1, 1]{self.pick(['', ', init=normal(0.5)'])}))", f"mul({self.kept(names, 1)}, {self.fresh('l')}: learned([{self.pick(['x.channels', n])}, 1, {self.pick('1135')}]))", f"(flatten -> linear({n}) -> add(identity, learned({n})))", f"add(conv(1, 1), {self.kept(names, 1)}, {self.gate()})", f"cat({self.kept(names, 1)}, identity, axis={self.pick(AXES[:3])})", f"(cat({self.kept(names, 1)}, relu, maxpool(3, stride=1, pad=1), axis=\"height\") -> maxpool((3, 1)))", f"(conv(4, 1) -> split({a}, {b}, sizes=[{self.pick(['1, 3', '3, 1'])}]))", f"(conv({n}, 1) -> split({self.kept(names, 1)}, identity, sizes=[1, {n} - 1]))", f"split(identity, relu, {self.kept(names, 1)}, sizes=[1, x.channels - 2, 1])",
        ])  # fmt: skip

    def arithmetic(self, names: Names, depth: int = 2) -> str:
        """Return arithmetic on tensors, in parentheses where it is more than a name."""
        known = ["x", "x", *names.tensors]
        if depth == 0 or self.chance(0.25):
            a = self.pick(known)
            return self.pick(
                [a, a, a, f"({a} -> {self.pick(PLAIN)})", f"({a} -> {self.kept(names, 1)})", f"({a} -> {self.gate()})"]
            )
        a, b, n = self.arithmetic(names, depth - 1), self.arithmetic(names, depth - 1), self.factor(names)
        return self.pick([
            f"({a} + {b})", f"({a} - {b})", f"({a} * {b})", f"({a} / (({b} -> abs) + {self.pick(['1', '0.5'])}))", f"({a} + {b} + {a})", f"({a} * {b} * {b})",
            f"({a} + {b} * {b} - {a} / 2)", f"({a} * {n} + {b})", f"({n} * {a})", f"({a} + {n})", f"({n} + {a})", f"({a} - {n})", f"({n} - {a})", f"({a} / {self.pick(['2', '0.5', '-3', '(1 / 3)'])})",
            f"({n} / (({a} -> softplus) + 1))", f"(-{a})", f"(-{a}**2)", f"((-{a})**2)", f"(({a} + {b}) * ({b} - {a}))", f"((-{a} * {b})**2 - {a})", f"({a}**{self.pick(['2', '3', '1', '0'])})", f"((({a} -> abs) + 1)**{self.pick(['0.5', '-1', '(-0.5)', '(1 / 2)', '1.5'])})",
            f"({a} * ({b} -> {self.reduction()}))", f"({a} - ({a} -> {self.reduction()}))", f"({a} -> {self.reduction()})", f"({a} -> {self.pick(ACTIVATIONS)})", f"({a} * (1 - ({b} -> sigmoid)))",
            f"({a} + ({b} -> {self.reduction()}))", f"(({a} -> {self.reduction()}) + {b} + {a})", f"{self.pick(['maximum', 'minimum'])}({a}, {b})", f"maximum({a}, {b} -> {self.reduction()}, {a} -> abs)",
            f"(({a} -> {self.reduction()}) * ({b} -> {self.reduction()}))", f"(cat({a}, {b}) -> glu)", f"(({a} -> {self.reduction()}) + ({b} -> {self.reduction()}))", f"({a} if {self.truth(names, 0)} else {b})",
            f"({a} * 2 if x.channels > {self.pick('248')} else {b})", f"({a} + {a})", f"({a} -> {self.pick(['shift', 'scale'])}({self.pick(REALS)}{self.pick(['', ', learned=true', ', learned=true, per_channel=true'])}))",
            f"({a} / (({a}**2 -> {self.pick(['sum', 'mean'])}({self.pick(AXES)})) + 1 -> sqrt))", f"({a} * log({self.pick(['2', '3.5', '1 / 2'])}))", f"({a} + sqrt({self.pick(['2', '0.25'])}) * exp(-1))",
        ])  # fmt: skip

    def factor(self, names: Names) -> str:
        """Return a number that stands beside a tensor."""
        return self.tight(self.pick([*REALS, "2", "3", "-1", "-0.5", "(1 / 3)", *names.numbers]))

    def reduction(self) -> str:
        return f"{self.pick(REDUCTIONS)}({self.pick(AXES)})"

    def leaf(self, names: Names) -> str:
        if names.blocks and self.chance(0.3):
            return self.called(self.pick(names.blocks), names)
        if names.pipes and self.chance(0.25):
            return self.pick(names.pipes)
        if names.tensors and self.chance(0.06):
            return self.pick(names.tensors)
        return self.pick(PLAIN) if self.chance(0.3) else self.operator(names)

    def kept(self, names: Names, depth: int) -> str:
        """Return a pipeline that mostly keeps the shape."""
        return self.pick([
            "conv(x.channels, 3)", "conv(x.channels, 3) -> bn", "depthwise(3)", "relu", "maxpool(3, stride=1, pad=1)", "identity",
            "[conv(x.channels, 3), relu]", "bn -> relu -> conv(x.channels, (3, 1))", "dropout(0.2)", "scale(0.5)", "elu", self.pick(PLAIN),
            "conv(x.channels, 1, bias=false)", "drop_path(0.3)", "filter([1, 2, 1])", "filter([0.5, 1, -0.5], [1], dilation=2)", "shuffle(2)", "lrn(2)",
            "conv_transpose(x.channels, 3, stride=2, pad=1, output_pad=1) -> avgpool(2)", 'pad(1, "reflect") -> conv(x.channels, 3, pad=0)',
        ])  # fmt: skip

    def gate(self) -> str:
        return self.pick(
            [
                "[global_avgpool, conv(x.channels, 1), sigmoid]",
                "global_maxpool -> hardsigmoid",
                "conv(1, 3) -> sigmoid",
                "sigmoid",
            ]
        )

    def called(self, block: Block, names: Names, names_only: bool = False) -> str:
        """Return the call of a block; sometimes a partial application that is then completed."""
        given, later = [], []
        for key, kind in block.params:
            if key in block.defaults and self.chance(0.5):
                continue
            value = self.value(kind, names)
            if later or (key in block.defaults) or self.chance(0.25):
                later.append(f"{key}={value}")
            else:
                given.append(value)
        if not given and not later:
            return block.name
        if given and later and self.chance(0.25):
            return f"{block.name}({', '.join(given)})({', '.join(later)})"
        return f"{block.name}({', '.join([*given, *later])})"

    def value(self, kind: str, names: Names) -> str:
        """Return an argument of a kind for a parameter of a block."""
        if kind == "number":
            return self.number(names, 1)
        if kind == "small":
            return self.pick("1 1 2 2 3 4".split())
        if kind == "truth":
            return self.truth(names, 0)
        if kind == "real":
            return self.pick(REALS)
        if kind == "text":
            return self.pick([*names.texts, *TEXTS])
        if kind == "pairs":
            return (
                "["
                + ", ".join(f"({self.number(names, 0)}, {self.pick('123')})" for _ in range(self.pick([1, 2, 3])))
                + "]"
            )
        if kind == "tensors":
            return f"[{', '.join(self.pick([*names.tensors, 'x']) for _ in range(self.pick([1, 2, 2])))}]"
        if kind == "layer":
            return self.pick(
                [
                    "conv(kernel=1)",
                    "conv(kernel=3, bias=false)",
                    "conv",
                    "conv_transpose(kernel=1)",
                    *[b.name for b in names.blocks if [k for _, k in b.params[:1]] == ["number"]],
                ]
            )
        if kind == "start":
            return self.pick(INITS)
        if kind == "pipe":
            inner = Names(names)
            inner.blocks = []  # so that arguments end
            return self.pipe(inner, 1)
        if kind == "tensor":
            return self.pick([*names.tensors, "x"])
        if kind == "pair":
            return self.pick(["1", "2", "3", "(1, 2)", "(3, 1)"])
        if self.chance(0.2):
            return self.pick(LISTS)
        return "[" + ", ".join(self.number(names, 1) for _ in range(self.pick([1, 2, 2, 3]))) + "]"

    # ------------------------------------------------------------ statements
    def statement(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Return the lines of one statement; adds the names that it binds."""
        kinds = (
            ["chain"] * 6
            + ["twice"] * (4 if names.blocks else 0)
            + ["label", "bind", "bind", "tensor", "shared", "twice", "tap", "pools", "unpool", "signs", "signs"]
        )
        kinds += ["if", "for", "loop", "body", "join", "mixed"] * (1 if depth else 0) + ["named", "rebind"]
        kinds += ["require", "dense", "unit", "before", "pairs", "maps", "sizes", "measures", "tokens", "tokens"]
        return getattr(self, f"_{self.pick(kinds)}")(names, depth, pad, inside)

    def body(self, names: Names, depth: int, pad: str, inside: str, most: int = 2) -> list[str]:
        lines: list[str] = []
        for _ in range(self.random.randint(1, most)):
            lines += self.statement(names, depth, pad, inside)
        if all(line.strip().split(" ")[1:2] == ["="] for line in lines):
            lines.append(f"{pad}{self.pick(PLAIN)}")
        return lines

    def _chain(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        links = [self.pipe(names, self.pick([0, 0, 1, 2])) for _ in range(self.pick([1, 1, 2, 3]))]
        links = [
            f"{self.fresh('l')}: {link}" if self.chance(0.12) and not link.startswith("(l") else link for link in links
        ]
        return [pad + (f"\n{pad}    -> " if self.chance(0.05) else " -> ").join(links)]

    def _label(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        label = self.pick(ODD_LABELS) if inside != "loop" and self.chance(0.2) else self.fresh("l")
        lines = [f"{pad}{label}: {self.pipe(names, 2)}"]
        if inside != "loop" and self.chance(0.4):
            names.labels.append(label)
        return lines

    def _bind(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        kind = self.pick(["number", "number", "number", "pipe", "pipe", "truth", "list", "text"])
        name = self.name({"number": "c", "pipe": "p", "truth": "b", "list": "ws", "text": "w"}[kind])
        value = self.value(kind, names) if kind != "pipe" else self.pipe(names, 2)
        places = {
            "number": names.numbers,
            "pipe": names.pipes,
            "truth": names.truths,
            "list": names.lists,
            "text": names.texts,
        }
        places[kind].append(name)
        if kind == "pipe" and self.chance(0.3):
            label = self.fresh("l")
            return [
                f"{pad}{name} = {value}",
                f"{pad}{self.pick([f'{name} -> {name}', f'cat({name}, {name})', f'{label}: {name}', f'{name} * 2'])}",
            ]
        return [f"{pad}{name} = {value}"]

    def _tensor(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        name = self.name("t")
        start = self.pick(["x", *names.tensors])
        if len(names.tensors) > 1 and self.chance(0.3):  # which wait for no other, so the result is a tensor
            start = f"{self.pick(['cat', 'add', 'mul'])}({self.pick(names.tensors)}, {self.pick(names.tensors)})"
        line = f"{pad}{name} = {start}" + (f" -> {self.pipe(names, 2)}" if self.chance(0.6) else "")
        names.tensors.append(name)
        return [line]

    def _signs(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Arithmetic on tensors: as a step, as a name, as a branch, or as attention is written."""
        a, b, name = self.arithmetic(names), self.arithmetic(names), self.name("t")
        open_ = a[1:-1] if a.startswith("(") and a.endswith(")") and "->" not in a and " if " not in a else a
        bound = [
            f"{pad}{name} = {open_}",
            f"{pad}{self.pick([f'x * {name}', f'{name} + x', f'{name} - {b}', name, f'cat({name}, x)', f'{name} -> relu -> x * 2'])}",
        ]
        found = self.pick([
            bound, bound, [f"{pad}{open_}"], [f"{pad}conv(4, 1) -> {open_} -> {self.pick(PLAIN)}"], [f"{pad}cat({open_}, {b})"], [f"{pad}add({a}, {self.kept(names, 1)})"],
            [f"{pad}add:", f"{pad}    {open_}", f"{pad}    {self.kept(names, 1)}"], [f"{pad}x * ({a} -> conv(x.channels, 1) -> sigmoid)"], [f"{pad}{self.fresh('l')}: [conv(4, 3), relu] -> {open_}"],
            [f"{pad}[conv(x.channels, 1), x * 2 + x, relu]"], [f"{pad}x - (x -> {self.reduction()})", f"{pad}x / ((x -> var({self.pick(AXES)})) + 0.1 -> sqrt)"],
        ])  # fmt: skip
        if found is bound:
            names.tensors.append(name)
        return found

    def _shared(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A labelled pipeline used twice: one module."""
        name, label = self.fresh("p"), self.fresh("s")
        what = self.pick(
            [
                "conv(x.channels, 3)",
                "[conv(x.channels, 3), bn]",
                "bn",
                self.pipe(names, 1),
                "prelu",
                "depthwise(3) -> relu",
                f"relu if {self.truth(names)}",
            ]
        )
        names.pipes.append(name)
        return [
            f"{pad}{name} = {label}: {what}",
            f"{pad}{self.pick([f'{name} -> {name}', f'{name} -> relu -> {name}', f'add({name}, relu -> {name})'])}",
        ]

    def _twice(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A block used several times, with other arguments."""
        if not names.blocks:
            return self._chain(names, depth, pad, inside)
        block = self.pick(names.blocks)
        calls = [self.called(block, names) for _ in range(self.pick([2, 2, 3]))]
        if self.chance(0.3):
            calls[1] = f"{self.fresh('l')}: {calls[1]}"
        return [
            pad
            + self.pick(
                [
                    " -> ".join(calls),
                    f" -> {self.operator(names)} -> ".join(calls),
                    f"cat({', '.join(calls)})".replace(": ", ": "),
                ]
            )
        ]

    def _tap(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A result, or a labelled step, of a block by name."""
        found = [(block, result) for block in names.blocks for result in block.results]
        if not found:
            return self._tensor(names, depth, pad, inside)
        block, result = self.pick(found)
        name, other = self.fresh("r"), self.fresh("t")
        names.tensors += [other, name]
        label = f"{self.fresh('s')}: " if self.chance(0.2) else ""
        lines = [f"{pad}{name} = x -> {label}{self.called(block, names)}", f"{pad}{other} = {name}.{result}"]
        if result == "indices":
            return [*lines, f"{pad}{name} -> {self.pick(['', 'relu -> '])}maxunpool({other}, 2)"]
        return [
            *lines,
            f"{pad}{self.pick([f'{name} -> relu', f'{other} -> {self.pipe(names, 1)}', f'cat({name}, {other})', f'{other}'])}",
        ]

    def _pools(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Functions with arguments of one kind beside each other."""
        a, b = self.number(names, 1), self.number(names, 1)
        return [pad + self.pick([
            f"cat(shuffle({a}), shuffle({b}))", f"cat(slice(0, {a}), slice(0, {b}))", f"cat(slice({a}, {b}), identity)",
            f"cat(maxpool({a}, stride=1), avgpool({b}, stride=1))", f"cat(pad_channels({a}), pad_channels({b}))",
            f"maxpool({a}, stride=1, pad={self.pick('01')}, ceil={self.truth(names, 0)}) -> maxpool({b}, stride=1)",
            f"maxpool(3, stride={a}, ceil=true) if {self.truth(names)} else maxpool(3, stride={a}, pad=1)",
            f"scale({self.pick(['0', '1', '0.5', *names.numbers])}) -> dropout({self.pick(['0', '1', '0.5'])}) -> scale(1)",
            f"elu -> elu({self.pick(['0', '1', '0.5'])})", f"cat(elu, identity) -> slice(0, {a})",
            f"cat({', '.join(self.random.sample(ACTIVATIONS, self.pick([2, 6, 8])))})",
        ])]  # fmt: skip

    def _unpool(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        name, before = self.fresh("r"), self.fresh("t")
        pool = self.pick(["2", "2", "3, stride=2", "2, ceil=true", "3, stride=2, pad=1", "(2, 1)"])
        back = pool.replace(", ceil=true", "")
        like = self.pick([f", like={before}", f", like={before}", ""])
        middle = self.pick(["", "conv(x.channels, 3) -> ", "relu -> ", "bn -> "])
        names.tensors.append(before)
        lines = [f"{pad}{before} = x", f"{pad}{name} = x -> maxpool({pool}, indices=true)"]
        return [*lines, f"{pad}{name} -> {middle}maxunpool({name}.indices, {back}{like})"]

    def _if(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        lines = [f"{pad}if {self.truth(names)}:", *self.body(Names(names), depth - 1, pad + "    ", inside)]
        if self.chance(0.3):
            lines += [f"{pad}elif {self.truth(names)}:", *self.body(Names(names), depth - 1, pad + "    ", inside)]
        if self.chance(0.5):
            lines += [f"{pad}else:", *self.body(Names(names), depth - 1, pad + "    ", inside)]
        return lines

    def _for(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        inner, index = Names(names), self.fresh("i")
        head = self.pick(
            [
                f"for {index} in range({self.pick('1223')}):",
                f"for {index} in [4, 8]:",
                f"for {index} in reversed(range(1, 3)):",
                f"for {index} in range(0, 5, 2):",
                f"for {index} in [q for q in range(4) if q % 2 == 1]:",
            ]
        )
        if names.lists and self.chance(0.5):
            other = self.fresh("w")
            inner.numbers.append(other)
            head = f"for {index}, {other} in enumerate({self.pick(names.lists)}):"
        inner.numbers += [index, index]
        lines = self.body(inner, depth - 1, pad + "    ", "loop")
        return [f"{pad}{head}", *[self.interpolated(line, index) for line in lines]]

    def interpolated(self, line: str, index: str) -> str:
        """Give the labels of a loop's body the index, so that each pass has its own."""
        for stem in ("l", "m", "s"):
            line = _labels(line, stem, index)
        return line

    def _loop(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A run of modules with labels that count up, and tensors that are kept by number."""
        stem, kept = self.fresh("q") + "_", self.fresh("k") + "_"
        count = self.pick([2, 3, 4])
        step = self.pick(
            [
                "conv(x.channels, 3)",
                "conv(x.channels + i, 3)",
                "[conv(8, 3), relu]",
                "conv(4 * (i + 1), 1)",
                self.leaf(names),
            ]
        )
        lines = [f"{pad}for i in range({count}):", f"{pad}    {stem}{{i}}: {step}"]
        if self.chance(0.5):
            lines.append(f"{pad}    {kept}{{i}} = x")
            names.tensors += [f"{kept}{i}" if self.chance(0.7) else f"{kept}{{{i}}}" for i in range(count)]
        return lines

    def _body(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        return [f"{pad}{self.fresh('m')}:", *self.body(Names(names), depth - 1, pad + "    ", inside)]

    def _join(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A combinator as a statement."""
        kind = self.pick(["cat", "add", "mul", "split", "cat", "maximum"])
        inner = Names(names)
        branches = [f"{pad}    {self.kept(names, 1) if kind != 'cat' else self.pipe(inner, 1)}" for _ in range(2)]
        if self.chance(0.3):
            name = self.fresh("c")
            branches.insert(0, f"{pad}    {name} = {self.number(inner, 1)}")
            branches.append(
                f"{pad}    conv({name}, 1) -> conv(x.channels, 1)" if kind == "cat" else f"{pad}    identity"
            )
        if self.chance(0.25):
            branches.append(f"{pad}    {self.fresh('l')}: {self.kept(names, 1)}")
        if self.chance(0.25):
            branches += [f"{pad}    if {self.truth(names)}:", f"{pad}        {self.kept(names, 1)}"]
        if self.chance(0.25):
            branches += [f"{pad}    for j in range({self.pick('12')}):", f"{pad}        {self.kept(names, 1)}"]
        return [f"{pad}{kind}:", *branches]

    def _mixed(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A residual with a projection where it is needed, which most networks have."""
        c, s = self.number(names, 1), self.pick("1112")
        name = self.fresh("c")
        names.numbers.append(name)
        return [
            f"{pad}{name} = {c}",
            f"{pad}add:",
            f"{pad}    conv({name}, 3, {s}) -> bn -> relu -> conv({name}, 3) -> bn",
            f"{pad}    ({self.fresh('l')}: [conv({name}, 1, {s}), bn]) if {s} > 1 or x.channels != {name} else identity",
        ]

    def _named(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A text in a name."""
        text = self.pick([*names.texts, *TEXTS]) if self.chance(0.3) else self.number(names, 1)
        return [f"{pad}{self.fresh('l')}_{{{text}}}{self.pick(['', '', '_z'])}: {self.pipe(names, 1)}"]

    def _rebind(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A sequence whose widths are computed by names of the body, and nothing else: it may become `nn.Sequential`."""
        name = self.fresh("c")
        value = self.number(names, 1)
        names.numbers.append(name)
        return [
            f"{pad}{name} = {value}",
            f"{pad}conv({name}, {self.pick('13')}) -> {self.pick(PLAIN)} -> conv({self.number(names, 1)}, 1)",
        ]

    def _require(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        test = self.pick(
            [
                self.truth(names),
                f"{self.number(names, 1)} > 0",
                "x.channels > 0",
                f"x.channels % {self.pick('12')} == 0",
                self.demand(),
                self.demand(),
            ]
        )
        return [f"{pad}require {test}, {self.pick([*TEXTS, *names.texts])}", f"{pad}{self.pick(PLAIN)}"]

    def demand(self, depth: int = 2) -> str:
        """Return a test on the sizes of a map, which restricts those that are legal."""
        axis = self.pick(["x.height", "x.width"])
        simple = [
            f"{axis} % {self.pick('23')} == {self.pick('01')}", f"{axis} >= {self.pick('235')}", f"{axis} != {self.pick('479')}",
            f"{axis} // 2 < {self.pick('689')}", f"{axis} in [3, 5, 6, 8, 11, 12, 16, 20]", "x.height <= x.width", f"{axis} / 2 > 1",
            "x.height * x.width < 300",
        ]  # fmt: skip
        one = self.pick(simple)
        if depth and self.chance(0.5):
            return self.pick(
                [f"not ({one})", f"({one}) or ({self.demand(depth - 1)})", f"{one} and {self.demand(depth - 1)}"]
            )
        return one

    def _dense(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Concatenations that grow, as in DenseNet, written as a loop or one by one."""
        step = self.pick(
            [
                "bn -> relu -> conv(2, 1) -> bn -> relu -> conv(3, 3)",
                "conv(2, 3)",
                "bn -> conv(3, 1)",
                "conv(4, 1) -> bn -> relu -> conv(2, 3) -> relu",
                self.pipe(names, 1),
            ]
        )
        if depth and self.chance(0.5):
            return [
                f"{pad}for j in range({self.pick('234')}):",
                f"{pad}    cat(identity, {step})",
                *self.after(names, pad),
            ]
        return [*[f"{pad}cat(identity, {step})" for _ in range(self.pick([2, 3]))], *self.after(names, pad)]

    def after(self, names: Names, pad: str) -> list[str]:
        return [
            f"{pad}{self.pick(['bn -> relu -> conv(4, 1)', 'conv(x.channels // 2, 1)', 'relu', 'bn -> relu', 'conv(4, 3) -> bn', 'shuffle(2)', 'slice(1, 3)'])}"
        ]

    def _unit(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Channels that are split, shuffled, sliced and joined, as in ShuffleNet."""
        n, act = (
            self.pick(["x.channels", "4", "6", self.number(names, 0)]),
            self.pick(["relu", "relu6", "silu", "identity", "leaky_relu(0.2)"]),
        )
        right = self.pick(
            [
                f"conv({n}, 1) -> bn -> {act} -> depthwise(3) -> bn -> conv({n}, 1) -> bn -> {act}",
                f"conv({n}, 1) -> {act}",
                f"depthwise(3) -> conv({n}, 1) -> bn",
                f"conv({n}, 3) -> {act} -> conv({n}, 1)",
            ]
        )
        left = self.pick(
            [
                "identity",
                "identity",
                f"conv({n}, 1)",
                f"depthwise(3) -> bn -> conv({n}, 1) -> {act}",
                "slice(0, 2)",
                "maxpool(3, stride=1, pad=1)",
                "bn",
                "relu",
            ]
        )
        last = self.pick(
            [
                "shuffle(2)",
                "shuffle(2) -> conv(4, 1)",
                f"conv({n}, 1) -> bn",
                "slice(1, 4) -> conv(2, 3)",
                "shuffle(2) -> split(identity, conv(x.channels, 1))",
                "bn -> relu -> conv(4, 1)",
                f"{act} -> conv(6, 3)",
                "shuffle(2) -> depthwise(3) -> conv(4, 1)",
                "avgpool(2) -> conv(4, 1)",
            ]
        )
        wide = self.pick(["", f"conv({self.pick('48')}, 1) -> ", f"conv(8, {self.pick('13')}) -> bn -> {act} -> "])
        return [f"{pad}{wide}{self.pick(['split', 'split', 'cat'])}({left}, {right}) -> {last}"]

    def _before(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """What stands before a 1x1 convolution or an average: what may change places with it."""
        n, act = self.number(names, 1), self.pick(["relu", "relu6", "silu", "identity", "sigmoid", "hardsigmoid"])
        return [pad + self.pick([
            f"bn -> {act} -> conv({n}, 1)", f"bn -> {act} -> conv({n}, 1, pad=1)", f"bn -> {act} -> cat(conv({n}, 1), conv(2, 1, stride=2) -> upsample(2))", f"conv({n}, 1) -> avgpool(2)", f"conv({n}, 1) -> avgpool(2, pad=1)",
            f"conv({n}, 1, bias=false) -> avgpool(3, stride=2, ceil=true)", f"bn -> conv({n}, 1) -> bn -> {act} -> avgpool(2)", f"mul(identity, global_avgpool -> conv(x.channels, 1) -> {act}) -> conv({n}, 1)", f"depthwise(3) -> bn -> {act} -> conv({n}, 1) -> bn",
            f"add(conv({n}, 1), conv({n}, 3)) -> {act} -> conv({n}, 1)", f"add(add(conv({n}, 1), conv({n}, 3)), conv({n}, 1)) -> {act}", f"conv({n}, 3) -> bn -> add(identity, relu) -> {act}", f"cat(bn, identity) -> {act} -> conv({n}, 1)", f"bn -> cat(conv({n}, 1), identity)",
            f"conv(x.channels // 2, 1) -> cat({act}, identity) -> conv({n}, 1)", "conv(x.channels % 4 + 1, 1) -> cat(elu, identity) -> bn",
            f"conv({n}, 3, groups=1) -> bn(affine=false) -> {act}", f"conv({n}, 3) -> add(identity, conv({n}, 3) -> bn) -> add(identity, conv({n}, 1))", f"conv({n}, 3) -> scale(0.5) -> {act}", f"bn -> bn -> conv({n}, 1)", f"conv_transpose({n}, 2, stride=2) -> bn -> {act}",
            f"linear({n}) -> bn", f"depthwise(3, multiplier=2) -> bn -> {act} -> conv({n}, 1)", f"conv({n}, 1) -> conv({n}, 1)", f"{act} -> conv({n}, 1) -> {act} -> {act}", f"gelu -> conv({n}, 1) -> gelu(\"tanh\")", f"conv({n}, 1) -> relu -> global_avgpool -> conv({n}, 1)",
        ])]  # fmt: skip

    def _pairs(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A list of pairs, and a loop over it."""
        name, a, b = self.name("ps"), self.fresh("k"), self.fresh("k")
        names.pairs.append(name)
        lines = [f"{pad}{name} = {self.value('pairs', names)}"]
        if not depth or self.chance(0.3):
            return lines
        inner = Names(names)
        inner.numbers += [a, b]
        head = self.pick(
            [
                f"for {a}, {b} in {name}:",
                f"for i, ({a}, {b}) in enumerate({name}):",
                f"for {a}, {b} in zip([4, 2], [1, 3]):",
                f"for {a}, {b} in reversed({name}):",
            ]
        )
        return [*lines, f"{pad}{head}", f"{pad}    conv({a}, {b}) -> {self.pipe(inner, 1)}"]

    def _maps(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """A list of tensors."""
        if len(names.tensors) < 2:
            return self._tensor(names, depth, pad, inside)
        name, chosen = self.name("ts"), [self.pick(names.tensors) for _ in range(2)]
        lines = [f"{pad}{name} = [{', '.join(chosen)}]"]
        return [
            *lines,
            pad
            + self.pick(
                [
                    f"cat({name}[0], {name}[-1])",
                    f"add(identity, {name}[1])",
                    f"cat(*[q -> relu for q in {name}])",
                    f"{self.pick(['cat', 'add', 'mul'])}(*{name})",
                    f"cat(identity, *{name}, {self.pick(PLAIN)})",
                    f"cat(*{name}) -> {self.pipe(names, 1)}",
                    f"{name}[0] -> {self.pipe(names, 1)}",
                    f"cat(identity, [q for q in {name}][0])",
                ]
            ),
        ]

    def _tokens(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """The places of a map as tokens, in windows or not, and as a map again, or their mean."""
        before, way = self.fresh("t"), self.pick(WINDOWS)
        links = [f"tokens({way})", *[self.token_step(names) for _ in range(self.pick([0, 1, 1, 2, 3]))]]
        if not way and self.chance(0.2):
            links.append(self.pick(['mean("tokens") -> flatten', 'slice(0, 1, axis="tokens") -> flatten', "flatten"]))
            links.append("reshape(x.features, 1, 1)")
        else:
            links.append(
                f"untokens({way}{', ' if way else ''}{self.pick([f'like={before}', f'like={before}', 'size=4'])})"
            )
        names.tensors.append(before)
        return [f"{pad}{before} = x", f"{pad}{' -> '.join(links)}"]

    def token_step(self, names: Names) -> str:
        """Return a step on tokens, which mostly keeps how many they are."""
        n, own = self.number(names, 1), "linear(x.channels)"
        heads = self.pick(["", ", heads=1", ", heads=2", f", heads={self.number(names, 0)}"])
        a, b = (
            self.pick(["identity", "ln", own, "relu", f"({self.fresh('l')}: {own})"]),
            self.pick([own, "tanh", "identity"]),
        )
        return self.pick([
            own, f"linear({n})", f"({self.fresh('l')}: linear({n}, bias=false))", "ln", "ln(affine=false)", "rms_norm", self.pick(ACTIVATIONS), "dropout(0.3)", "drop_path(0.2)",
            f"[ln, linear({n}), gelu, linear({n})]", f"add(identity, [ln, {own}])", f"attention({a}, {b}, {a}{heads})", f"attention({a}, {b}, linear({n}){heads})",
            f"add(identity, [ln, attention({own}, {b}, {a}{heads}), {own}])", "(linear(3 * x.channels) -> attention(slice(0, 4), slice(4, 8), slice(8, 12), heads=2))",
            "softmax", 'softmax(axis="tokens")', "glu", "scale(0.5, learned=true, per_channel=true)", "shift(0.1, learned=true)", "prelu", f"cat({a}, {b})", f"split({a}, {b})",
            "(transpose -> linear(x.channels) -> transpose)", "(transpose -> softmax -> transpose)", f"matmul(matmul({a}, transpose) -> softmax, {b})", "matmul(identity, transpose)",
            f"matmul({a} -> transpose, {b})", "add(identity, learned([1, x.channels], init=normal(0.5)))", "add(identity, learned([x.tokens, x.channels]))", f'cat({a}, {b}, axis="tokens")',
            'mul(identity, mean("tokens"))', 'add(identity, max("channels"))', 'slice(0, 2, axis="tokens")', f"slice(0, {n})", f"attention(identity, cat({a}, {b}, axis=\"tokens\"), cat({b}, {a}, axis=\"tokens\"))",
        ])  # fmt: skip

    def _sizes(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Sizes that are named and compared."""
        name = self.name("h")
        value = self.pick(
            [
                "x.height",
                "x.width // 2",
                "x.height + 1",
                "ceil(x.height / 2)",
                "2 * x.width",
                "floor(x.width / 3)",
                "x.height - x.height",
                "x.height * x.width",
                "-x.height",
                "x.height / 2",
                "x.height % 2",
                "x.height * x.width * 2 / 2",
                "(x.height / 2) * 2",
                "x.height / 2 + 1 / 2",
                "x.height * 2 / 4",
                "99 - x.height",
                "-(x.height * x.width)",
                "-(x.width / 3)",
            ]
        )
        if "x.height *" not in value and "/ " not in value:
            names.sizes.append(name)
        return [
            f"{pad}{name} = {value}",
            pad
            + self.pick(
                [
                    "relu",
                    f"adaptive_avgpool({name})",
                    f"crop(size=({name}, 1))",
                    f"conv(4, 1) if {name} == {name} else relu",
                    "maxpool(2) -> upsample(2) -> crop(like=x)",
                    f"[relu] if {name} >= {name} else bn",
                    "pixel_unshuffle(2) -> conv(4, 1)",
                ]
            ),
        ]

    def _measures(self, names: Names, depth: int, pad: str, inside: str) -> list[str]:
        """Operators that take the sizes of tensors."""
        one, two = self.measure(names, several=False), self.measure(names, several=False)
        return [pad + self.pick([
            f"crop(size=({one}, {two}))", f"crop(size=({one}, 1), offset=({two}, 0))", f"pad((0, {one}, {two}, 0), mode={self.pick(MARGINS)})",
            "pad((0, -x.width % 4, 0, -x.height % 8))", f"adaptive_avgpool(({one}, {two}))", f"adaptive_maxpool({one})", f"upsample(size=({one}, {two}))",
            f"{self.fresh('l')}: upsample(size=({two}, 3), mode=\"bilinear\")", f"slice({one}, {two}, axis=\"height\")", f"slice(0, {one}, axis=\"width\")",
            "reshape(x.channels, x.width, x.height)", "reshape(1, x.height, x.channels * x.width)", "flatten -> reshape(image.channels, image.height, image.width)",
            "maxpool(2) -> upsample(size=(image.height, image.width))", f"tokens -> untokens(size=(image.height, {one}))", f"cat(adaptive_avgpool(({one}, 2)), adaptive_maxpool(({one}, 2)))",
            f"[conv(4, 3, stride=2), upsample(size=(2 * x.height, {one}))]",
        ])]  # fmt: skip

    # ------------------------------------------------------------ definitions
    def block(self) -> None:
        """Grow a block on a probe, and keep it where something came of it."""
        kinds = [
            "number",
            "number",
            "number",
            "number",
            "small",
            "small",
            "truth",
            "truth",
            "real",
            "pipe",
            "pipe",
            "tensor",
            "list",
            "pair",
        ]
        kinds += ["text", "pairs", "tensors", "layer", "start"]
        params = [
            (self.name("a"), self.pick(kinds))
            for _ in range(self.pick([0, 1, 1, 2, 2, 3, 4, 7] if self.chance(0.2) else [0, 1, 1, 2, 2, 3]))
        ]
        names = Names()
        names.blocks, names.maps = list(self.blocks), list(self.maps)
        names.numbers += self.calls
        defaults: dict[str, str] = {}
        for key, kind in params:
            place = {
                "number": "numbers",
                "small": "numbers",
                "truth": "truths",
                "pipe": "pipes",
                "tensor": "tensors",
                "list": "lists",
                "text": "texts",
                "pairs": "pairs",
            }
            if kind in place:
                getattr(names, place[kind]).append(key)
            elif kind == "real":
                names.pipes += [f"scale({key})", f"leaky_relu({key})", f"dropout({key})", f"shift({key})"]
                names.pipes += [
                    f"x * {key}",
                    f"{key} - x",
                    f"x + {key} * 2",
                    f"x / ({key} + 1.5)",
                    f"x * (1 - {key}) + x",
                ]
            elif kind == "tensors":
                names.tensors += [f"{key}[0]", f"{key}[-1]"]
            elif kind == "layer":
                names.pipes += [
                    f"{key}({self.pick(['4', '8', 'x.channels'])}{self.pick(['', ', kernel=1'])})",
                    f"{key}(2)",
                ]
            elif kind == "start":
                names.pipes += [f"conv(x.channels, 3, init={key})", f"linear(4, init={key})"]
            elif kind == "pair":
                names.pipes += [f"conv(x.channels, {key})", f"maxpool({key}, stride=1)"]
        open_ = True
        for key, kind in reversed(params):
            open_ = open_ and self.chance(0.5) and kind not in ("tensor", "tensors")
            if open_:
                defaults[key] = self.value(kind, Names()).replace("x.channels", "4")
        made = Block(self.name("block"), params, defaults)
        shown = [f"{key}={defaults[key]}" if key in defaults else key for key, _ in params]
        head = f"block {made.name}({', '.join(shown)}):"
        probes = self.probes(made)
        lines: list[str] = [f'    """{self.pick(DOCS)}"""'] if self.chance(0.15) else []
        for _ in range(self.pick([1, 2, 3, 4, 6])):
            trial = Names(names)
            added = self.statement(trial, 2, "    ", "block")
            if self.fits([head, *lines, *added, "    identity", *probes]):
                lines, names = [*lines, *added], trial
        if names.tensors and self.chance(0.35):
            added = [
                f"    output {self.fresh('o')} = {self.pick([*names.tensors, 'x'])}",
                f"    output {self.fresh('o')} = x -> {self.pick(PLAIN)}",
            ]
            if self.chance(0.4):
                late = self.pick(
                    ["x", "x -> relu", "x -> conv(2, 1)", f"{self.pick(names.tensors)} -> conv(3, 3) -> bn"]
                )
                added.insert(self.pick([0, 1, 2]), f"    output {self.fresh('o')} = {late} when training")
            if self.fits([head, *lines, *added, *probes]):
                lines += added
                made.results += [line.split()[1] for line in added]
        elif self.chance(0.06):
            if self.fits([head, *lines, "    output alone = x -> relu", *probes]):
                lines.append("    output alone = x -> relu")
                made.results.append("alone")
        elif self.chance(0.12):
            added = [
                "    pooled = x -> maxpool(2, indices=true)",
                "    output out = pooled",
                "    output indices = pooled.indices",
            ]
            if self.fits([head, *lines, *added, *probes]):
                lines += added
                made.results += ["indices", "out"]
        elif names.tensors and self.chance(0.1):
            added = [f"    for i, q in enumerate([{self.pick(names.tensors)}, x]):", "        output o_{i} = q -> relu"]
            if self.fits([head, *lines, *added, *probes]):
                lines += added
                made.results += ["o_0", "o_1", "o_{1 - 1}"]
        head = self.signed(head, lines, made)
        if lines and self.fits([head, *lines, *probes]):
            made.results += names.labels
            self.define([head, *lines])
            self.blocks.append(made)

    def signed(self, head: str, lines: list[str], block: Block) -> str:
        """Return the head of a block with a signature that says what a probe returns, where one is right."""
        probe = self.probes(block)[:3]
        if not self.chance(0.25) or not self.fits([head, *lines, *probe]):
            return head
        scope = elaborate(self.linked([head, *lines, *probe]), "probe").scope
        shape = scope.output_shapes[0]
        numbers = ["C", "2 * C", str(shape[1]), *[key for key, kind in block.params if kind == "number"]]
        signature = f"[N, C, H, W] -> [N, {self.pick(numbers)}{''.join(f', {dim}' for dim in shape[2:])}]"
        tried = (
            f"{head[:-1]} {self.pick([signature, signature, signature.replace(', C,', f', {scope.shapes[0][1]},')])}:"
        )
        return tried if self.fits([tried, *lines, *probe]) else head

    def optional(self) -> None:
        """Add a block with a part that does nothing in some instances, or one that is a run of like steps."""
        made = Block(self.fresh("opt"), [("c", "number"), ("s", "small")], {"s": "1"})
        part = self.fresh("part")
        lines = self.pick([
            [f"block {part}(c, s):", "    (conv(c, 1, s) -> bn) if s > 1 or x.channels != c", f"block {made.name}(c, s=1):", f"    add([conv(c, 3, s), bn], {self.pick(['', 'down: '])}{part}(c, s))", "    relu"],
            [f"block {part}(s):", "    if s > 1:", "        avgpool(s)", f"block {made.name}(c, s=1):", f"    {part}(s) -> conv(c, 1, bias=s > 1, bias_init=ones) -> {part}(s)"],
            [f"block {made.name}(c, s=1):", "    for i in range(s + 1):", f"        l{{i}}: conv(c{self.pick(['', ' + i', ' + 2 * i'])}, 3)"],
            [f"block {made.name}(c, s=1):", "    for i in range(2):", f"        l{{i + s}}: [conv(c, 1), {self.pick(PLAIN)}]", "    relu"],
            [f"block {made.name}(c, s=1):", "    a = x -> conv(c, 1)", "    b = x -> relu if s > 1 else x", f"    cat(a, b -> {self.pick(PLAIN)})"],
            [f"block {made.name}(c, s=1):", f"    d = {self.pick(['c // 2 + 1', 'c + s', '2 * (c // 2) + 1', 'max(c, 3)'])}", f"    conv(d, {self.pick(['1', '3', 's'])}) -> {self.pick(PLAIN)} -> conv(c, 1)"],
            [f"block {made.name}(c, s=1):", "    conv(x.channels // 2 + s, 1) -> cat(elu, identity) -> conv(c, 1)"],
            [f"block {made.name}(c, s=1):", "    conv(c // 2 + 1, 1) -> cat(elu, silu) -> bn -> conv(c, 1, s)"],
            [f"block {made.name}(c, s=1):", f"    d = {self.pick(['c // 3', 'c - s', 'c % 5'])}", f"    conv({self.pick('23')} * d + 1, 1) -> {self.pick(PLAIN)} -> conv({self.pick('23')} * (c // 3) + s, 1)"],
        ])  # fmt: skip
        if self.fits([*lines, *self.probes(made)]):
            self.define(lines)
            self.blocks.append(made)

    def timed(self) -> None:
        """Add a block with an argument that is left open: the time."""
        made = Block(self.fresh("flow"), [("time", "tensor"), ("k", "number")], {"k": "1"})
        inner = self.pick(
            [
                "cat(time, identity) -> conv(c, k)",
                "cat(identity -> relu, time) -> gn(1) -> conv(c, 3)",
                "mul(identity, time) -> conv(c, k)",
                "cat(time, x -> conv(c, 1)) -> conv(c, 1) -> sigmoid",
            ]
        )
        lines = [f"block {made.name}(time, k=1):", "    c = x.channels", f"    {inner}"]
        if self.fits([*lines, "net probe:", "    input image: [N, 8, H=11, W=9]", f'    ode({made.name}, "euler")']):
            self.define(lines)
            self.maps.append(self.pick([made.name, f"{made.name}(k=3)"]))

    def other_net(self) -> None:
        """Add a net that is used as a step, and one that is another with its parameters given."""
        made = Block(self.fresh("net"), [("c", "number")], {"c": "4"})
        lines = [
            f"net {made.name}(c=4):",
            f"    input image: [N, {self.pick(['3', '8', 'D=8'])}, H=16, W=16]",
            f"    l1: conv(c, 3) -> {self.pick(PLAIN)}",
            f"    l2: [conv(c, {self.pick('13')}), relu] -> {self.pipe(Names(), 1)}",
        ]
        lines += self.pick(
            [[], ["    flatten -> fc: linear(3)"], ["    output low = x", "    output high = x -> conv(2, 1)"]]
        )
        if self.fits(
            [*lines, "net probe:", "    input image: [N, 8, H=11, W=9]", f"    r = x -> {made.name}(3)", "    r.l2"]
        ):
            self.define(lines)
            made.results += ["l1", "l2"] + (["low", "high"] if "output" in lines[-1] else [])
            self.blocks.append(made)
            if self.chance(0.4):
                other = Block(self.fresh("net"), [("c", "number")], {"c": "6"})
                other.results = made.results
                if self.fits(
                    [
                        f"net {other.name} = {made.name}({self.pick('26')})",
                        "net probe:",
                        "    input image: [N, 8, H=11, W=9]",
                        f"    r = x -> {other.name}",
                        "    r.l2",
                    ]
                ):
                    self.define([f"net {other.name} = {made.name}({self.pick('26')})"])
                    self.blocks.append(other)

    def probes(self, block: Block) -> list[str]:
        """Return a net that applies a block to two sets of arguments."""
        simple = {
            "number": "4",
            "small": "1",
            "truth": "true",
            "real": "0.5",
            "pipe": "relu",
            "tensor": "x",
            "list": "[2, 4]",
            "pair": "1",
            "text": '"a"',
            "pairs": "[(4, 1), (2, 3)]",
            "tensors": "[x, x]",
            "layer": "conv(kernel=1)",
            "start": "zeros",
        }
        given = ", ".join(simple[kind] for _, kind in block.params)
        other = ", ".join(
            f"{key}={self.value(kind, Names()).replace('x.channels', '8')}"
            for key, kind in block.params
            if kind not in ("tensor", "tensors")
        )
        given_maps = {"tensor": "x", "tensors": "[x, x]"}
        tensors = "".join(f", {key}={given_maps[kind]}" for key, kind in block.params if kind in given_maps)
        calls = [f"    x -> {block.name}({given})"] if self.chance(0.8) else []
        calls += (
            [f"    image -> {block.name}({(other + tensors).removeprefix(', ')})"]
            if self.chance(0.5) or not calls
            else []
        )
        return ["net probe:", "    input image: [N, 8, H=11, W=9]", *calls]

    def recursive(self) -> None:
        """Add a block that calls itself."""
        made = Block(self.fresh("rec"), [("c", "number"), ("depth", "small")], {})
        a, b = self.kept(Names(), 1), self.pick(["conv(c, 3)", "conv(c, 1) -> bn", "conv(c, 3) -> relu"])
        again = f"{made.name}(c, depth - 1)"
        grown = self.pick(
            [
                f"cat({b}, {again})",
                f"add(conv(c, 1), {again} -> conv(c, 1))",
                f"[{again}, {a}]",
                f"deeper: {again} -> {b}",
            ]
        )
        lines = [f"block {made.name}(c, depth):", "    if depth <= 1:", f"        {b}", "    else:", f"        {grown}"]
        if self.chance(0.4):
            lines[1:4] = self.pick([["    if depth > 1:"], ["    if depth <= 1:", "        identity", "    else:"]])
        if self.fits([*lines, *self.probes(made)]):
            self.define(lines)
            self.blocks.append(made)

    def fits(self, lines: list[str]) -> bool:
        """Say whether the compiler takes a net after the head, and it is small."""
        RUNS["tried"] += 1
        try:
            return small(elaborate(self.linked(lines), "probe"))
        except CompileError as mistake:
            RUNS[mistake.diagnostic.code] += 1
            return False

    def linked(self, lines: list[str]) -> File:
        """Return a file of the head, which was parsed before, and some lines."""
        file = Project().text("\n".join(lines) + "\n")
        if self.file is not None:
            file.definitions = self.file.definitions | file.definitions
            file.defaults = self.file.defaults | file.defaults
            file.inits = self.file.inits | file.inits
            file.imports = self.file.imports | file.imports
        return file

    def define(self, lines: list[str]) -> None:
        """Add lines to the head."""
        self.file = self.linked(lines)
        self.head += lines

    def program(self) -> str:
        """Return the text of a program."""
        if self.chance(0.1):
            self.define([f'"""{self.pick(DOCS)}"""', "fn unused(a) = a"])
        if self.chance(0.1):
            self.imports()
        if self.chance(0.15):
            self.define([self.pick(SETTINGS)])
        if self.chance(0.2):
            line = f"init {self.pick(['conv', 'bn', 'linear', 'conv', 'prelu', 'depthwise', 'gn'])}({self.pick(INITS)}{self.pick(['', ', bias=zeros', ', bias=normal(0.1)'])})"
            if self.fits([line, "net probe:", "    input image: [N, 4, H=4, W=4]", "    relu"]):
                self.define([line])
        for line, numbers in FNS.items():
            if self.chance(0.12):
                self.define([line])
                self.calls += numbers
        if self.chance(0.3):
            self.optional()
        if self.chance(0.1):
            self.timed()
        if self.chance(0.12):
            self.other_net()
        for _ in range(self.pick([0, 1, 1, 2, 3])):
            self.block()
        if self.chance(0.2):
            self.recursive()
        opening, names = self.opening()
        body = Growth(self, opening, names).grown()
        text = "\n".join([*self.head, *opening, *body]) + "\n"
        if self.chance(0.06):  # the net with its parameters given
            text = (
                text.replace("\nnet n(", "\nnet whole(").removeprefix("net n(")
                + f"net n = whole({', '.join(part.split('=')[1] for part in params_of(opening[0]))})\n"
            )
        try:
            if body and small(compile_text(text, Request("n")).network):
                return text
        except CompileError as mistake:
            RUNS[mistake.diagnostic.code] += 1
        return "\n".join([*self.head, *opening, "    relu"]) + "\n"

    def imports(self) -> None:
        """Use blocks of the bundled networks."""
        line, *found = self.pick([
            ("from resnet50 import basic, bottleneck", Block("basic", [("planes", "number"), ("stride", "small")], {"stride": "1"}), Block("bottleneck", [("planes", "small"), ("stride", "small")], {"stride": "1"})),
            ("from densenet121 import dense_layer, transition", Block("dense_layer", [("growth", "number")], {}), Block("transition", [], {})),
            ("from mobilenet_v2 import inverted_residual", Block("inverted_residual", [("channels", "number"), ("expand", "small"), ("stride", "small")], {"stride": "1"})),
            ("from shufflenet_v2_x1_0 import unit", Block("unit", [("channels", "number"), ("stride", "small")], {"stride": "1"})),
            ("from squeezenet1_0 import fire", Block("fire", [("squeeze", "small")], {})),
            ("from googlenet import basic_conv", Block("basic_conv", [("channels", "number"), ("kernel", "small")], {})),
        ])  # fmt: skip
        self.define([line])
        self.blocks += found

    def opening(self) -> tuple[list[str], Names]:
        """Return the head of the net with its inputs, and what it knows."""
        params = [(f"p{i}", self.pick(["number", "truth", "list"])) for i in range(self.pick([0, 0, 1, 2]))]
        names = Names()
        names.blocks = list(self.blocks)
        given = []
        for key, kind in params:
            {"number": names.numbers, "truth": names.truths, "list": names.lists}[kind].append(key)
            given.append(
                f"{key}={ {'number': self.pick('248'), 'truth': self.pick(['true', 'false']), 'list': '[4, 2]'}[kind] }"
            )
        names.numbers += self.calls
        names.maps += self.maps
        height, width = self.random.randint(3, 21), self.random.randint(3, 21)
        channels = self.pick([1, 2, 3, 4, 4, 6, 8, 8, 12])
        size = self.pick(
            [f"H={height}, W={width}"] * 8 + [f"S={height}, S", f"{height}, W={width}", f"H={height}, {width}"]
        )
        opening = [f"net n({', '.join(given)}):"]
        if self.chance(0.05):
            opening.append(f'    """{self.pick(DOCS)}"""')
        if self.chance(0.04):
            return [
                *opening,
                f"    input flat: [{self.pick('NB')}, {self.pick([4, 12])}]",
                f"    {self.pick(['linear(4) -> reshape(1, 2, 2)', 'linear(12) -> relu -> reshape(3, 2, 2)', 'bn -> linear(16) -> ln -> reshape(4, 2, 2)'])}",
            ], names
        if self.chance(0.04):
            length = self.pick(["L=6", "6", "L=9"])
            return [*opening, f"    input words: [N, {length}, 4]", f"    {self.token_step(names)}"], names
        opening.append(f"    input image: [N, {channels}, {size}]")
        if self.chance(0.12) and "H=" in size and "W=" in size:
            opening.append(
                f"    input {self.pick(['other', 'lambda', 'self', 'x2'])}: [N, {self.pick([channels, 2])}, {self.pick(['H, W', 'H, W', 'W, H', 'K=9, W'])}]"
            )
            names.tensors.append(opening[-1].split()[1][:-1])
        return opening, names

    def end(self) -> list[str]:
        return [
            self.pick([
                "    flatten -> linear(5)", "    global_avgpool -> flatten -> linear(3)", "    flatten",
                "    flatten -> split(linear(3), linear(4)) -> bn",
            ])
        ]  # fmt: skip

    def outputs(self, names: Names) -> list[str]:
        if self.chance(0.6):
            return []
        lines = [
            f"    output {self.fresh('o')} = {self.pick(['x', *names.tensors])}{self.pick(['', '', ' -> conv(2, 1)', ' -> relu'])}"
        ]
        if self.chance(0.5):
            lines.append(
                f"    output {self.fresh('o')} = {self.pick(['x', *names.tensors])}{self.pick(['', ' -> flatten', ' -> bn'])}"
            )
        if self.chance(0.35):
            lines.append(
                f"    output {self.fresh('o')} = {self.pick(['x', *names.tensors])} -> {self.pick(['relu', 'conv(3, 1)', 'global_avgpool'])} when training"
            )
        return lines


def params_of(head: str) -> list[str]:
    """Return the parameters of a net with their values, from its first line."""
    return [part for part in re.split(r", (?=p\d=)", head[head.index("(") + 1 : -2]) if part]


class TooLarge(Exception):
    """A net that has grown too large to run."""


class Growth:
    """The body of a net that runs while it is written: the elaborator asks for the next statement.

    One that it refuses ends the run, and the next run starts with what was kept.
    """

    def __init__(self, writer: Writer, opening: list[str], names: Names) -> None:
        self.writer, self.names = writer, names
        self.file = writer.linked([*opening, "    relu"])
        self.kept: list[tuple[list[str], tuple[object, ...]]] = []
        self.proposals = self.propose()
        self.trial: tuple[list[str], tuple[object, ...], Names] | None = None

    def propose(self) -> Iterator[tuple[list[str], Names]]:
        """Yield statements with the names that are known after them."""
        writer = self.writer
        wanted, tries = writer.pick([2, 4, 6, 8, 10]), 0
        while len(self.kept) < wanted and tries < 3 * wanted:
            tries += 1
            trial = Names(self.names)
            yield writer.statement(trial, 2, "    ", "net"), trial
        if writer.chance(0.35):
            yield writer.end(), self.names
        outputs = writer.outputs(self.names)
        if outputs:
            yield outputs, self.names

    def grown(self) -> list[str]:
        """Return the lines of the body."""
        item = self.file.definitions["n"]
        inputs = item.body[:-1]
        ended = False
        while not ended:
            ctx = Context()
            self.file.definitions["n"] = item.replace(body=self.body(inputs, ctx))
            self.trial = None
            try:
                nets.network(ctx, self.file, "n")
                ended = True
            except TooLarge:
                RUNS["too large"] += 1
            except (CompileError, RecursionError) as mistake:
                RUNS[mistake.diagnostic.code if isinstance(mistake, CompileError) else "recursion"] += 1
                ended = self.trial is None
        return [line for lines, _ in self.kept for line in lines]

    def body(self, inputs: tuple[object, ...], ctx: Context) -> Iterator[object]:
        """Yield the statements that are kept, then new ones, each of which is kept where the next is asked for."""
        yield from inputs
        for _, nodes in self.kept:
            yield from nodes
        extent = Extent(ctx.builder)
        extent.grow()
        for lines, names in self.proposals:
            RUNS["tried"] += 1
            try:
                nodes = parse(Source("<text>", "\n".join(["net n:", *lines]) + "\n")).items[0].body
            except CompileError as mistake:
                RUNS[mistake.diagnostic.code] += 1
                continue
            self.trial = lines, nodes, names
            yield from nodes
            extent.grow()
            self.trial, self.names = None, names
            self.kept.append((lines, nodes))


class Extent:
    """How large a net under construction is."""

    def __init__(self, builder: Builder) -> None:
        self.builder, self.costs = builder, Costs()
        self.volumes: dict[int, int] = {}
        self.scopes: dict[int, Scope] = {}
        self.nodes = self.shapes = self.total = 0

    def grow(self) -> None:
        """Count what was added; raises `TooLarge`."""
        builder = self.builder
        for node in builder.nodes[self.nodes :]:
            self.total += self.costs.node(node, builder).macs
            if isinstance(node.what, Scope):
                self.total += volume(node.what, self.volumes)
                distinct(node.what, self.scopes)
        for shape in builder.shapes[self.shapes :]:
            self.total += prod(int(dim) for dim in shape[1:])
        self.nodes, self.shapes = len(builder.nodes), len(builder.shapes)
        if self.total >= SMALL or len(self.scopes) >= 60:
            raise TooLarge


def small(network: Network) -> bool:
    """Say whether a network runs in milliseconds."""
    return cost(network).macs + volume(network.scope, {}) < SMALL and len(distinct(network.scope, {})) < 60


class Arithmetic:
    """An expression over numbers, and what Python makes of it with exact fractions."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def expression(self, depth: int) -> tuple[str, Fraction | float]:
        """Return a text and its value; raises `ArithmeticError` where there is none."""
        if depth == 0 or self.random.random() < 0.15:
            number, kind = self.random.randint(0, 9), self.random.random()
            if kind < 0.15:
                bottom = self.random.randint(2, 9)
                return f"({number} / {bottom})", Fraction(number, bottom)
            return (str(number), Fraction(number)) if kind < 0.85 else (f"{number}.5", number + 0.5)
        kind = self.random.randrange(9)
        a, x = self.expression(depth - 1)
        if kind == 0:
            return f"-({a})", -x
        if kind == 1:
            name, call = self.random.choice([("floor", floor), ("ceil", ceil), ("round", round), ("int", int)])
            return f"{name}({a})", Fraction(call(x))
        if kind == 2:
            power = self.random.randint(0, 3)
            return f"int({a})**{power}", Fraction(int(x)) ** power
        b, y = self.expression(depth - 1)
        if kind == 3:
            name, pick = self.random.choice([("min", min), ("max", max)])
            return f"{name}(int({a}), int({b}))", Fraction(pick(int(x), int(y)))
        return self.operation(self.random.choice(["+", "-", "*", "/", "//", "%"]), (a, x), (b, y))

    def operation(
        self, sign: str, left: tuple[str, Fraction | float], right: tuple[str, Fraction | float]
    ) -> tuple[str, Fraction | float]:
        """Return two values under a sign, with all parentheses or with those that precedence asks for."""
        (a, x), (b, y) = left, right
        if sign in ("//", "%"):
            b, y = f"int({b})", Fraction(int(y))
        if sign == "%":
            a, x = f"int({a})", Fraction(int(x))
        calls = {"+": add, "-": sub, "*": mul, "/": truediv, "//": floordiv, "%": mod}
        value = calls[sign](x, y)
        level = 1 if sign in "+-" else 2
        if self.random.random() < 0.3:
            level = 9
        first = a if outermost(a) >= level else f"({a})"
        second = b if outermost(b) > level else f"({b})"
        return f"{first} {sign} {second}", Fraction(value) if type(value) is int else value


def outermost(text: str) -> int:
    """Return how tightly the outermost operator of an expression binds: 1 for sums, 2 for products, 3 for the rest."""
    if text.startswith("-"):
        return 1
    depth, found = 0, 3
    for word in re.findall(r"[()]|//|\*\*|[-+*/%]|[^-()+*/%]+", text):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and word in ("+", "-"):
            return 1
        if depth == 0 and word in ("*", "/", "//", "%"):
            found = 2
    return found


def written(value: object) -> str:
    """Return a value as the language writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"({', '.join(map(written, value))})"
    return f'"{value}"' if isinstance(value, str) else str(value)


def program(seed: int) -> str:
    """Return the program of a seed: always the same text, and one that checks, as a setting may forbid its first steps."""
    for further in itertools.count():
        text = Writer(seed + further * 10**9).program()
        try:
            compile_text(text, Request("n"))
        except CompileError:
            continue
        return text
    raise AssertionError("the count does not end")


def volume(scope: Scope, known: dict[int, int]) -> int:
    """Count the elements of all values of a scope, those of inner ones as often as they are made."""
    if id(scope) not in known:
        total = 0
        for shape in scope.shapes:
            total += prod(int(dim) for dim in shape[1:])
        inner = [volume(n.what, known) for n in scope.nodes if isinstance(n.what, Scope)]
        known[id(scope)] = (total + sum(inner)) * (scope.wrapper.evaluations if scope.wrapper else 1)
    return known[id(scope)]


def distinct(scope: Scope, found: dict[int, Scope]) -> dict[int, Scope]:
    """Return the distinct scopes of a network."""
    if id(scope) not in found:
        found[id(scope)] = scope
        for node in scope.nodes:
            if isinstance(node.what, Scope):
                distinct(node.what, found)
    return found


def used(network: Network) -> set[str]:
    """Return the operators of a network."""
    scopes = distinct(network.scope, {}).values()
    return {n.what.name for s in scopes for n in s.nodes if not isinstance(n.what, Scope)}


def _labels(line: str, stem: str, index: str) -> str:
    """Add an index to the labels of a line: `l7: conv(…)` is `l7_{i}: conv(…)`."""
    return re.sub(rf"\b({stem}\d+):", rf"\1_{{{index}}}:", line)
