"""Every operator against PyTorch: shapes, weights, multiply-accumulates, and what is rejected.

The tests enumerate `OPS`; arguments come from the operators' own declarations, so a new operator is tested as soon as
it exists. PyTorch runs on the CPU: on the meta device it accepts shapes that it rejects elsewhere.
"""

from __future__ import annotations

import inspect
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.core.sizes import Area, Size, Symbol, product, window
from archdsl.ir.interpret import OPERATORS, Use
from archdsl.ops import OPS, act, conv, merge, norm, pool, products, reduce, regular, reshape
from archdsl.ops.axes import channel
from archdsl.ops.base import REQUIRED, ArgFault, Call, Leaf, Op, Operand, Relation, ShapeFault, Sized, X, numbered

ROOT = Path(__file__).parents[2]
CASES = 300  # an operator
BUILD: Any = Op.__dict__["build"].__func__  # without the checks that operators add for arguments that exclude others
VARIADIC = {"add", "mul", "maximum", "minimum", "cat"}
BINARY = {"sub", "div"}
WAYS = ("window", "every", "grid", None)
EXCLUSIVE: dict[str, tuple[tuple[str | None, ...], ...]] = {"tokens": (WAYS,), "untokens": (WAYS, ("like", "size"))}
PRODUCTS = {"matmul": (1,), "attention": (2, 2, 2, 3, 3, 1)}  # how many operands follow the first
KINDS = {  # how often the first operand is features, tokens, tokens in windows; else it is a map
    "linear": (0.4, 0.3, 0.1), "reshape": (0.6, 0.1, 0.0), "untokens": (0.05, 0.4, 0.5), "matmul": (0.05, 0.6, 0.3),
    "attention": (0.05, 0.4, 0.3), "tokens": (0.05, 0.05, 0.0), "relative_bias": (0.05, 0.2, 0.2),
    "maxunpool": (0.1, 0.02, 0.0), "maxpool": (0.05, 0.02, 0.0),
}  # fmt: skip
REPEATS = {name for name, op in OPS.items() if "repeats" in op.traits}

# What we reject although PyTorch runs it: (operator, words of the fault) -> why.
STRICTER = {
    ("chunk", "must divide"): "PyTorch makes the last part smaller, or makes fewer parts",
    ("slice", "inside the"): "PyTorch cuts a range down to what exists",
    ("shuffle", "feature map"): "features have no channels to shuffle",
    ("pad", "feature map"): "PyTorch would pad the batch",
    ("dropout2d", "feature map"): "PyTorch falls back to `dropout`, with a warning",
    ("maxpool", "no cell inside"): "PyTorch reads memory behind the map",
    ("crop", "exactly one of"): "two sizes",
    ("untokens", "exactly one of"): "two sizes",
    ("untokens", "must divide"): "slicing cuts a range down to what exists",
    ("untokens", "excludes"): "windows of two kinds",
    ("tokens", "excludes"): "windows of two kinds",
    ("tokens", "needs `window`"): "nothing to fill up for",
    ("untokens", "needs `window`"): "nothing to fill up for",
    ("attention", "what is added"): "PyTorch repeats axes of size 1",
    ("attention", "needs `window`"): "nothing to move",
    ("attention", "less than a window"): "windows of the next place",
    ("subsample", "leaves nothing"): "PyTorch returns a map without elements",
    ("relative_bias", "do not say"): "the table is for the map that they were",
    ("relative_bias", "have no places"): "the table is for the map that they were",
    ("relative_bias", "not that of the input"): "only the number of images is asked of the input",
    ("transpose", "two axes"): "PyTorch exchanges the batch and the features",
    ("matmul", "needs tokens"): "PyTorch multiplies by matrices of any rank",
    ("upsample", "exactly one of"): "two sizes",
    ("global_avgpool", "feature map"): "PyTorch takes the batch for channels",
    ("linear", "flat features"): "PyTorch takes the last axis for the features",
    ("bn", "not tokens"): "PyTorch takes the tokens for channels",
    ("gn", "not tokens"): "PyTorch takes the tokens for channels",
    ("prelu", "not tokens"): "PyTorch takes the tokens for channels",
    ("conv_transpose", "leaves nothing"): "PyTorch returns a map without elements",
    ("scale", "learned=true"): "a constant for each channel would need a list",
    ("shift", "learned=true"): "a constant for each channel would need a list",
    ("maxunpool", "leaves nothing"): "PyTorch returns a map without elements",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Run PyTorch on one thread: the tensors are tiny."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


# -------------------------------------------------------------------------------------------------- generated cases
class Case:
    """An operator's arguments and its operands: shapes of sizes, and the values of the symbols by default."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.cls, self.rng = OPS[name], rng
        self.symbols = [Symbol("N", 2), Symbol("H", rng.randint(1, 13)), Symbol("W", rng.randint(1, 13))]
        self.values = self.arguments()
        self.op: Any = BUILD(self.cls, self.values)
        self.operands = self.shapes(name in VARIADIC)
        self.xs = tuple(evaluate(x, {}) for x in self.operands)

    def __repr__(self) -> str:
        return f"{self.op!r} on {self.xs}"

    def arguments(self) -> dict[str, object]:
        """Choose arguments from the examples of their kinds; about half of those that have a default are left out."""
        values: dict[str, object] = {}
        for field, spec in self.cls.args.items():
            if spec.default is REQUIRED or self.rng.random() < 0.5:
                values[field] = self.rng.choice(spec.kind.examples or (True,))
        for one in EXCLUSIVE.get(self.cls.name, ()):
            if self.rng.random() < 0.7:
                kept = self.rng.choice(one)
                values = {field: value for field, value in values.items() if field not in one or field == kept}
                if None not in one and kept not in values:
                    values[kept] = self.rng.choice(self.cls.args[kept].kind.examples or (True,))
        if self.cls.name == "attention" and not values.get("window") and self.rng.random() < 0.8:
            values.pop("shift", None)
        return values

    def shapes(self, variadic: bool) -> tuple[tuple[Any, ...], ...]:
        """Choose the operands; those after the first mostly agree with it, at least by default."""
        flat, tokens, windows = KINDS.get(self.cls.name, (0.1, 0.1, 0.05))
        chance = self.rng.random()
        kinds = (flat, self.features), (flat + tokens, self.tokens), (flat + tokens + windows, self.windows)
        first = next((make for share, make in kinds if chance < share), self.map)()
        tensors = [f for f in self.values if is_tensor(self.cls, f)]
        more = self.rng.choice((0, 1, 1, 2, 3)) if variadic else len(tensors) + (self.cls.name in BINARY)
        more = self.rng.choice(PRODUCTS.get(self.cls.name, (more,)))
        return self.hint(first, *[self.twin(first) for _ in range(more)])

    def hint(self, *xs: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
        """Change operands that would rarely fit by chance."""
        if self.cls.name == "reshape" and self.rng.random() < 0.7:
            x, count = xs[0], self.op.channels * self.op.height * self.op.width
            return ((x[0], count),) if len(x) == 2 else ((x[0], count // 2, 2, 1),)
        if self.cls.name == "maxunpool" and len(xs) == 3 and len(xs[0]) == 4 and self.rng.random() < 0.8:
            h, w = [size + self.rng.randint(-1, 1) for size in self.op.spread(xs[0])]
            return (*xs[:2], (*xs[2][:2], h, w))
        if self.cls.name == "relative_bias" and self.op.size and self.rng.random() < 0.8:
            x, (high, wide) = xs[0], self.op.size
            return ((*x[:2], high, wide) if len(x) == 4 else (*x[:-2], high * wide, x[-1]) if len(x) > 2 else x,)
        if self.cls.name in ("matmul", "attention", "untokens") and self.rng.random() < 0.85:
            return getattr(self, f"hint_{self.cls.name}")(*xs)
        return xs

    def hint_matmul(self, x: tuple[Any, ...], *more: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
        """Let the second matrix have as many rows as the first has columns."""
        return (x, *[(*y[: len(x) - 2], x[-1], self.rng.choice((1, 3, x[-2]))) for y in more])

    def hint_attention(self, x: tuple[Any, ...], *more: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
        """Let keys have the channels of the queries, and values the places of the keys, in whole windows."""
        if len(more) < 2 or len(x) == 2:
            return (x, *more)
        if self.op.window and len(x) == 4:
            x = (*x[:2], *[(size + side - 1) // side * side for size, side in zip(x[2:], self.op.window)])
            area = self.op.window[0] * self.op.window[1]
            v = (x[0], self.rng.choice((4, 8)), *x[2:])
            return (x, x, v, *[(x[0], self.values.get("heads", 1), area, area) for _ in more[2:]])
        last = len(x) in (3, 5)
        k = (*more[0][:-1], x[-1]) if last else (x[0], x[1], *more[0][2:])
        v = (*k[:-1], self.rng.choice((4, 8))) if last else (k[0], self.rng.choice((4, 8)), *k[2:])
        places = [y[-2] if last else product(y[2:]) for y in (x, k) if len(y) == len(x)]
        return (x, k, v, *[(x[0], self.rng.choice((1, self.values.get("heads", 1))), *places) for _ in more[2:]])

    def hint_untokens(self, x: tuple[Any, ...], *more: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:
        """Cut the tokens of the map that is asked for."""
        size = self.op.size or (more and len(more[0]) == 4 and more[0][2:])
        if not size or sum(way in self.values for way in ("window", "every", "grid")) > 1:
            return (x, *more)
        cut = self.op.shape_before((x[0], x[-1]), size)
        return (cut if min(map(int, cut)) > 0 else x, *more)

    def tokens(self) -> tuple[Any, ...]:
        n, c, h, w = self.map()
        return (n, self.rng.choice((h * w, h, self.rng.choice((1, 3, 4)))), self.rng.choice((c, c, c, h * w)))

    def windows(self) -> tuple[Any, ...]:
        n, c, h, w = self.map()
        return (n, h, w, self.rng.choice((1, 2, 4, self.size(Size.of(self.symbols[1])))), c)

    def map(self) -> tuple[Any, ...]:
        n, h, w = map(Size.of, self.symbols)
        return (n, self.rng.choice((1, 2, 3, 4, 6, 8, 12)), self.size(h), self.size(w))

    def features(self) -> tuple[Any, ...]:
        n, *channels = self.map()
        return (n, product(channels) if self.rng.random() < 0.5 else self.rng.choice((1, 4, 6, 8, 20)))

    def size(self, of: Size) -> Any:
        """Choose a function of an input size that is positive by default."""
        functions = (of, of, of + 1, (of + 1) // 2, of * 2, of // 2, (of - 1) // 2 + 1, (of + 3) // 4, of + of // 2)
        return self.rng.choice([f for f in functions if int(f) > 0])

    def twin(self, x: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a shape that is mostly like another: the same sizes, or equal ones by default, or any, or 1."""
        chance = self.rng.random()
        if chance < 0.1:
            return self.features() if chance < 0.03 else self.map()
        y = list(x)
        for axis in range(1, len(y)):
            chance = self.rng.random()
            if axis == channel(x) and chance < 0.15:
                y[axis] = self.rng.choice((1, 2, 4))
            elif len(x) == 4 and axis > 1 and chance < 0.5:
                size = self.size(Size.of(self.symbols[axis - 1]))
                y[axis] = size if int(size) == int(x[axis]) or chance < 0.05 else 1 if chance < 0.1 else x[axis]
        return tuple(y)


def is_tensor(cls: type[Op], field: str) -> bool:
    """Say whether an argument is a tensor of the network, and so a further operand."""
    return cls.args[field].kind.tensor != ""


def evaluate(shape: tuple[Any, ...], ns: dict[Symbol, int]) -> tuple[int, ...]:
    """Return a shape at given values of the symbols, or by default."""
    return tuple([value(dim, ns) for dim in shape])


def value(dim: Any, ns: dict[Symbol, int]) -> int:
    if isinstance(dim, Size):
        return dim.at(ns.get(dim.symbol, dim.symbol.default))
    if isinstance(dim, Area):
        total = dim.factor
        for size in dim.sizes:
            total *= value(size, ns)
        return total
    return int(dim)


# -------------------------------------------------------------------------------------------------- PyTorch's answer
def text_of(part: Leaf | Operand | Sized, operands: list[str]) -> str:
    if isinstance(part, Leaf):
        return repr(part.value)
    if isinstance(part, Sized):
        return part.text.format(*operands)
    return f"[{', '.join(operands)}]" if part.index is None else operands[part.index] + part.suffix


def render(call: Call, operands: list[str]) -> str:
    """Write a call as Python; the emitter does the same with more taste."""
    if call.infix:
        return call.infix.join(operands)
    holes = {name: text_of(leaf, operands) for name, leaf in call.holes or ()}
    target = call.target.format(*operands, **holes)
    if call.holes is not None:
        return target
    args = [text_of(a, operands) for a in call.args]
    named = [f"{k}={text_of(a, operands)}" for k, a in call.kwargs if not is_default(a)]
    return f"{target}({', '.join([*args, *named])})"


def is_default(part: Leaf | Operand) -> bool:
    return isinstance(part, Leaf) and part.value == part.omit


class Owner:
    """Stand in for the module in whose `forward` a function is called."""

    def __init__(self, training: bool) -> None:
        self.training = training


def python(op: Op, xs: tuple[tuple[int, ...], ...]) -> tuple[nn.Module | None, Callable[..., Any] | None]:
    """Execute the text of an operator's module and of its function."""
    space: dict[str, Any] = {"torch": torch, "nn": nn, "F": F}
    if op.support:
        exec(op.support, space)
    names = [f"x{i}" for i in range(len(xs))]
    module, function = op.module(xs[0]), op.function(*xs)
    built = eval(render(module, []), space) if module else None
    source = f"lambda self, {', '.join(names)}: {render(function, names)}" if function else "None"
    return built, eval(source, space)


def inputs(op: Op, xs: tuple[tuple[int, ...], ...]) -> list[torch.Tensor]:
    tensors = [torch.randn(x) * (1 if op.name == "attention" else 4) for x in xs]  # large products round
    if "indices" in type(op).args and is_tensor(type(op), "indices"):
        tensors[1] = torch.zeros(xs[1], dtype=torch.long)
    return tensors


class Answer:
    """What PyTorch makes of a case: shapes, parameters and multiply-accumulates."""

    def __init__(self, op: Op, xs: tuple[tuple[int, ...], ...]) -> None:
        module, function = python(op, xs)
        assert (function is None) or not op.stateful, "an operator with state has no function"
        tensors = inputs(op, xs)
        forms = [f for f in (module, function and (lambda *ts: function(Owner(True), *ts))) if f]
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # others are not counted
            results = [as_tuple(form(*tensors)) for form in forms]
        self.shapes = [tuple([tuple(y.shape) for y in result]) for result in results]
        self.macs = counter.get_total_flops() // len(forms) // 2
        self.weights = {n: tuple(p.shape) for n, p in module.named_parameters()} if module else {}
        if module and function:
            self.same(as_tuple(module.eval()(*tensors)), as_tuple(function(Owner(False), *tensors)))

    @staticmethod
    def same(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> None:
        """Check that the module and the function compute the same."""
        if not all(torch.equal(s, t) for s, t in zip(a, b, strict=True)):
            raise AssertionError("the module and the function differ")


def as_tuple(result: Any) -> tuple[torch.Tensor, ...]:
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


# -------------------------------------------------------------------------------------------------- the comparison
def ours(case: Case) -> tuple[tuple[Any, ...] | None, str]:
    """Return the shapes of the results, or None and the fault."""
    try:
        op = case.cls.build(case.values)
        return op.shapes(*case.xs), ""
    except ArgFault as fault:
        assert fault.name in case.cls.args, case
        return None, fault.reason
    except ShapeFault as fault:
        blamed = case.cls.args if isinstance(fault.at, str) else range(len(case.xs))
        assert fault.at in blamed, f"{case}: a fault blames {fault.at}"
        assert fault.label, f"{case}: a fault without a label"
        return None, fault.title


def theirs(case: Case) -> Answer | Exception:
    try:
        return Answer(case.op, case.xs)
    except AssertionError:
        raise
    except Exception as error:
        return error


def compare(case: Case) -> tuple[str, str] | None:
    """Compare an operator's rules with PyTorch; return the row of `STRICTER` that excuses a difference."""
    shapes, fault = ours(case)
    answer = theirs(case)
    if shapes is None:
        if isinstance(answer, Exception):
            return None
        if "feature map" in fault and any(len(x) in (3, 5) for x in case.xs):
            return None  # PyTorch takes tokens for an image without a batch
        if "windows need" in fault:
            return None  # PyTorch exchanges two axes of any tensor
        if "differ in shape" in fault and len({len(x) for x in case.xs}) > 1:
            return None  # PyTorch lines up tensors of different rank from the right
        rows = [row for row in STRICTER if row[0] == case.cls.name and row[1] in fault]
        assert rows, f"{case}: PyTorch accepts it, we say: {fault}"
        return rows[0]
    assert not isinstance(answer, Exception), f"{case}: we accept it, PyTorch says: {answer!r}"
    for found in answer.shapes:
        assert found == shapes, f"{case}: PyTorch's result is {found}, ours {shapes}"
    assert len(case.op.results) == len(shapes), case
    assert case.op.weights(case.xs[0]) == answer.weights, f"{case}: PyTorch's parameters are {answer.weights}"
    macs = case.op.macs(case.xs, shapes) * case.xs[0][0]
    assert macs == answer.macs, f"{case}: {macs} multiply-accumulates, PyTorch counts {answer.macs}"
    check_formulas(case)
    check_symbolic(case, shapes)
    return None


def check_symbolic(case: Case, shapes: tuple[Any, ...]) -> None:
    """Compare the rules on sizes, evaluated at several inputs, with the same rules on integers."""
    results = case.op.shapes(*case.operands)
    relations = list(case.op.relations(*case.operands))
    assert tuple(evaluate(y, {}) for y in results) == shapes, case
    assert all(holds(r, {}) for r in relations), f"{case}: {relations} do not hold by default"
    for relation in relations:
        assert all(relation.axis < len(case.xs[i]) for i in relation.operands), case
    least = 2 if case.cls.name in REPEATS else 1  # a size that is 1 elsewhere would be repeated there
    for _ in range(4):
        ns = {s: case.rng.randint(1, 30) for s in case.symbols}
        xs = tuple(evaluate(x, ns) for x in case.operands)
        if all(d >= least for x, operand in zip(xs, case.operands) for d, size in zip(x, operand) if size != 1):
            check_at(case, ns, xs, results, relations)


def check_at(case: Case, ns: dict[Symbol, int], xs: Any, results: Any, relations: list[Relation]) -> None:
    """Where the relations hold, the sizes must be those of the rules on integers; elsewhere these must fail."""
    expected = tuple(evaluate(y, ns) for y in results)
    broken = [r for r in relations if not holds(r, ns)]
    if not broken and all(d > 0 for y in expected for d in y):
        assert attempt(case.op, xs) == expected, f"{case} at {ns}"
        assert case.op.weights(xs[0]) == case.op.weights(case.operands[0]), f"{case} at {ns} needs other weights"
    elif not any(fixes(r) for r in broken):
        assert attempt(case.op, xs) is None, f"{case} at {ns} is accepted, but {broken or expected}"


def attempt(op: Op, xs: tuple[tuple[int, ...], ...]) -> tuple[Any, ...] | None:
    try:
        return op.shapes(*xs)
    except ShapeFault:
        return None


def holds(relation: Relation, ns: dict[Symbol, int]) -> bool:
    left, right = value(relation.left, ns), value(relation.right, ns)
    return left >= right if relation.at_least else left == right


def fixes(relation: Relation) -> bool:
    """Say whether a relation holds a size to its default, for weights or for repetition: other sizes fit elsewhere."""
    return isinstance(relation.right, int) and not relation.at_least


def check_formulas(case: Case) -> None:
    """Check that the formulas of leaves lead to their values."""
    fields: dict[str, object] = {f: square(getattr(case.op, f)) for f in case.op.fields} | {
        "in": case.xs[0][channel(case.xs[0])]
    }
    for leaf in leaves(case):
        names = [f for f in fields if f"{{{f}}}" in leaf.formula]
        plain = leaf.formula[1:-1] in fields
        if names and (plain or not any(isinstance(fields[f], tuple) for f in names)):
            text = leaf.formula.format(**{f: repr(v) for f, v in fields.items()})
            assert square(eval(text)) == square(leaf.value), f"{case}: {leaf.formula} is {text}, not {leaf.value}"


def made_of(case: Case) -> list[Call]:
    """Return the module and the function of a case that is legal."""
    if ours(case)[0] is None:
        return []
    return [c for c in (case.op.module(case.xs[0]), case.op.function(*case.xs)) if c]


def leaves(case: Case) -> list[Leaf]:
    parts = [p for c in made_of(case) for p in (*c.args, *[v for _, v in c.kwargs], *[v for _, v in c.holes or ()])]
    return [p for p in parts if isinstance(p, Leaf) and not is_default(p)]


def square(value: object) -> object:
    """Return a tuple of equal numbers as one number."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def cases(name: str, count: int = CASES) -> Iterator[Case]:
    rng = random.Random(name)
    for _ in range(count):
        yield Case(name, rng)


# -------------------------------------------------------------------------------------------------- the tests
@pytest.mark.parametrize("name", OPS)
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_agrees_with_pytorch(name: str) -> None:
    excused, accepted = set(), 0
    for case in cases(name):
        excused.add(compare(case))
        accepted += ours(case)[0] is not None
    assert accepted >= CASES // 8, f"only {accepted} of the generated cases are legal"
    unused = {row for row in STRICTER if row[0] == name} - excused
    assert not unused, f"{unused} excuse nothing"


def filled(module: nn.Module) -> nn.Module:
    """Give a module weights and statistics at random: what starts from 0 or 1 would hide a mistake."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.2, 1.2)
    return module


def check_values(case: Case, training: bool) -> None:
    """Compare what the code of an operator computes with the operator as it is documented, run by itself."""
    op, tensors = case.op, inputs(case.op, case.xs)
    module, function = python(op, case.xs)
    own = {name: value.clone() for name, value in filled(module).state_dict().items()} if module else {}
    kept = {name: value.clone() for name, value in own.items()}
    torch.manual_seed(1)
    wanted = as_tuple(OPERATORS[case.cls.name](Use(op, kept if op.stateful else {}, list(tensors), training)))
    for form in (module and module.train(training), function and (lambda *ts: function(Owner(training), *ts))):
        if form:
            torch.manual_seed(1)
            torch.testing.assert_close(as_tuple(form(*tensors)), wanted, equal_nan=True, msg=lambda m: f"{case}\n{m}")
    for name in [name for name in own if name.startswith("running")]:
        torch.testing.assert_close(module.state_dict()[name], kept[name], msg=lambda m: f"{case}\n{m}")  # type: ignore


@pytest.mark.parametrize("name", sorted(OPS.keys() - {"maxunpool"}))  # which has a test of its own
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_arguments_reach_the_code(name: str) -> None:
    """Every argument, and every one that is left out, means what the documentation says."""
    legal = [case for case in cases(name, 120) if ours(case)[0] is not None][:24]
    for number, case in enumerate(legal):
        check_values(case, training=number % 2 == 1)
    assert len(legal) >= 12


def pytorchs_default(call: Call, name: str) -> object:
    """Return the default of an argument in the signature of what is called; `REQUIRED` where there is none to see."""
    root, _, rest = call.target.partition(".")
    target = getattr({"nn": nn, "F": F, "torch": torch}.get(root), rest, None)
    try:
        found = inspect.signature(target).parameters.get(name) if target else None  # type: ignore[arg-type]
    except ValueError:  # written in C
        found = None
    return REQUIRED if found is None else found.default


@pytest.mark.parametrize("name", OPS)
def test_what_is_left_out_is_pytorchs_default(name: str) -> None:
    for case in cases(name, 20):
        for made in made_of(case):
            for field, leaf in made.kwargs:
                own = pytorchs_default(made, field)
                if isinstance(leaf, Leaf) and REQUIRED not in (leaf.omit, own):
                    kernel = square(getattr(case.op, "kernel", None))  # of which a stride of None is a copy
                    assert square(leaf.omit) in (own, *([kernel] if field == "stride" and own is None else [])) or not (
                        own or leaf.omit
                    ), f"{case}: {field} is left out where it is {leaf.omit}, and {own} in PyTorch"


def test_learned_numbers_start_from_what_the_text_says() -> None:
    for per_channel in (False, True):
        module = python(OPS["prelu"].build({"slope": 0.1, "per_channel": per_channel}), ((2, 3, 4, 5),))[0]
        assert module.weight.tolist() == pytest.approx([0.1] * (3 if per_channel else 1))  # type: ignore[union-attr]
        module = python(
            OPS["scale"].build({"value": 0.1, "learned": True, "per_channel": per_channel}), ((2, 3, 4, 5),)
        )[0]
        assert module.weight.flatten().tolist() == pytest.approx([0.1] * (3 if per_channel else 1))  # type: ignore


def test_cases_are_reproducible() -> None:
    assert [str(c) for c in cases("conv", 20)] == [str(c) for c in cases("conv", 20)]


def conv_weights(self: Any, x: Any) -> dict[str, Any]:
    return {"weight": (self.out, x[1], *self.kernel)} | ({"bias": (self.out,)} if self.bias else {})


def undilated(dim: Any, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1, ceil: bool = False) -> Any:
    return window(dim, kernel, stride, pad, 1, ceil)


def floored(dim: Any, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1, ceil: bool = False) -> Any:
    return window(dim, kernel, stride, pad, dilation)


def overhanging(dim: Any, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1, ceil: bool = False) -> Any:
    return window(dim, kernel, stride, pad + (stride - 1 if ceil else 0), dilation) - (ceil and pad > 0)


def anything(*_: Any) -> None:
    """Check nothing."""


def nothing(*_: Any) -> Iterator[Relation]:
    yield from ()


# Wrong rules, at least three a family: each must make the comparison fail.
WRONG: list[tuple[str, str, Any, str, Any]] = [
    ("conv", "groups ignored in the weights", conv.Conv, "weights", conv_weights),
    ("conv", "dilation ignored", conv, "window", undilated),
    ("conv", "groups that do not divide", conv, "divides", anything),
    ("conv", "groups ignored in the cost", conv.Conv, "macs", lambda s, xs, ys: product(ys[0][1:]) * xs[0][1]),
    ("filter", "exchanged sides", conv.Filter, "kernel", property(lambda s: (len(s.across or s.taps), len(s.taps)))),
    ("depthwise", "dilation ignored", conv, "window", undilated),
    ("conv_transpose", "output_pad ignored", conv.ConvTranspose, "spread", lambda s, d, a: d * s.stride[a]),
    ("linear", "features not fixed", conv.Linear, "relations", nothing),
    ("gn", "groups that do not divide", norm, "divides", anything),
    ("bn", "weights without affine", norm.Affine, "weights", lambda s, x: {"weight": (x[1],), "bias": (x[1],)}),
    ("bn", "maps and features alike", norm.BatchNorm, "module", lambda s, x: Call("nn.BatchNorm2d", (Leaf(x[1]),))),
    ("ln", "features not fixed", norm.Affine, "relations", nothing),
    ("lrn", "features accepted", norm.LocalResponseNorm, "shape", lambda s, x: x),
    ("relu", "channels lost", act.Activation, "shape", lambda s, x, *_: x[:1] + x[2:]),
    ("tanh", "another function", OPS["tanh"], "torch", ("nn.Tanh", "torch.sigmoid")),
    ("leaky_relu", "unknown keyword", act.LeakyReLU, "keywords", lambda s: {"slope": Leaf(s.slope)}),
    ("prelu", "one slope for all", act.PReLU, "weights", lambda s, x: {"weight": (1,)}),
    ("maxpool", "no ceil", pool, "window", floored),
    ("maxpool", "any last window", pool, "window", overhanging),
    ("maxpool", "one result", pool.MaxPool, "shapes", lambda s, *xs: (s.shape(*xs),)),
    ("avgpool", "steps of 1 by default", pool.Pool, "step", property(lambda s: s.stride or (1, 1))),
    ("avgpool", "no limit of padding", pool.Window, "slide", lambda s, x, ceil: (*x[:2], *[
        window(d, k, t, p, 1, ceil) for d, k, t, p in zip(x[2:], s.kernel, s.step, s.pad)])),
    ("maxunpool", "no relations", pool.MaxUnpool, "relations", nothing),
    ("add", "nothing agrees", merge, "agree", anything),
    ("add", "no relations", merge.Repeating, "relations", nothing),
    ("mul", "no relations", merge.Repeating, "relations", nothing),
    ("maximum", "one operand is forgotten", merge.Extreme, "function", lambda s, *xs: Call("{0}.clone")),
    ("sub", "no relations", merge.Repeating, "relations", nothing),
    ("div", "the last operand's shape", merge.Repeating, "shape", lambda s, x, *more: more[-1]),
    ("glu", "channels that are not even", act.GLU, "shape", lambda s, x, *_: (x[0], x[1] // 2, *x[2:])),
    ("glu", "the other half is kept", act.GLU, "shape", lambda s, x, *_: x),
    ("mean", "an axis that is dropped", reduce.Reduction, "shape", lambda s, x: tuple(
        d for i, d in enumerate(x) if i not in s.numbers(x))),
    ("var", "axes that keep their size", reduce.Reduction, "shape", lambda s, x: x),
    ("shift", "weights of one axis", regular.Shift, "weights", lambda s, x: {"bias": (x[1],)} if s.learned else {}),
    ("cat", "channels of the first", merge.Cat, "total", lambda s, xs: xs[0][numbered(s.axis, xs[0])]),
    ("cat", "no relations", merge, "equalities", nothing),
    ("chunk", "parts that do not divide", merge, "divides", anything),
    ("chunk", "parts of one size", merge.Chunk, "shapes", lambda s, x: ((x[0], x[1] // 2, *x[2:]),) * len(s.results)),
    ("cat", "equal sizes along its axis", merge.Cat, "shared", lambda s, x: range(len(x))),
    ("flatten", "channels only", reshape.Flatten, "shape", lambda s, x: x[:2]),
    ("pad", "axes exchanged", reshape.Pad, "sides", lambda s, *xs: (s.size[:2], s.size[2:])),
    ("pad", "no relations", reshape.Pad, "relations", nothing),
    ("shuffle", "groups that do not divide", reshape, "divides", anything),
    ("crop", "no relations", reshape.Crop, "relations", nothing),
    ("pixel_unshuffle", "no relations", reshape.PixelUnshuffle, "relations", nothing),
    ("upsample", "scale as size", reshape.Upsample, "shape", lambda s, x, *_: (*x[:2], *(s.scale or s.size or (1, 1)))),
    ("scale", "weights of one axis", regular.Scale, "weights", lambda s, x: {"weight": (x[1],)} if s.learned else {}),
    ("dropout", "always training", regular.Dropout, "function", lambda s, x: Call("F.dropout", (X, Leaf(s.p)))),
    ("attention", "windows of any map", products.Attention, "whole", lambda s, x: None),
    ("attention", "pairs of the whole map", products.Attention, "products", lambda s, xs: int(product(xs[0][2:]) if len(xs[0]) == 4 else xs[0][-2]) * products.places(xs[1])),
    ("subsample", "offset of rows for columns", reshape.Subsample, "shape", lambda s, x, *_: (*x[:2], *[-(-(size - s.offset[0]) // step) for size, step in zip(x[2:], s.stride)])),
    ("relative_bias", "offsets of one sign", products.RelativeBias, "weights", lambda s, x: {"weight": (s.heads, 4)}),
    ("relative_bias", "places of a row", products.RelativeBias, "shape", lambda s, x, *_: (x[0], s.heads, x[-1], x[-1])),
    ("learned", "a batch of its own", regular.Learned, "shape", lambda s, x, *_: (1, *s.size)),
    ("learned", "one axis of weights", regular.Learned, "weights", lambda s, x: {"weight": s.size[:1]}),
    ("identity", "flattens", regular.Identity, "function", lambda s, x: Call("{0}.flatten", (Leaf(1),))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mistake", "owner", "attribute", "wrong"), WRONG, ids=[f"{w[0]}: {w[1]}" for w in WRONG]
)
def test_wrong_rules_are_found(
    name: str, mistake: str, owner: Any, attribute: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, attribute, wrong)
    with pytest.raises((AssertionError, IndexError)):  # of ranks that are not looked at
        for case in cases(name):
            compare(case)


@pytest.mark.parametrize("name", OPS)
def test_operators_document_themselves(name: str) -> None:
    cls = OPS[name]
    assert cls.name == name
    assert not {"init", "bias_init"} & cls.args.keys(), "the language gives these to every operator with weights"
    assert "__doc__" in cls.__dict__
    assert (cls.__doc__ or "").split("\n")[0].endswith((".", "]", ":"))
    for field, spec in cls.args.items():
        assert spec.doc, field
        assert is_tensor(cls, field) or spec.kind.examples, field


@pytest.mark.parametrize(
    ("name", "field"), [(n, f) for n, cls in OPS.items() for f in cls.args if not is_tensor(cls, f)]
)
def test_arguments_are_checked(name: str, field: str) -> None:
    kind = OPS[name].args[field].kind
    for example in kind.examples:
        assert kind.accept(kind.accept(example)) == kind.accept(example), "the normal form is not legal"
    bad: list[object] = [object(), "word", -1e39, float("nan"), (1, 2, 3), (True, 1), (1,), [1, 2]]
    if True not in kind.examples:
        bad.append(True)
    if name in ("learned", "chunk") or field in ("taps", "across"):  # which take lists
        bad = [value for value in bad if value not in ((1, 2, 3), (1,))]
    for value in bad:
        with pytest.raises(ArgFault) as fault:
            BUILD(OPS[name], {field: value})
        assert fault.value.name in OPS[name].args


@pytest.mark.parametrize("name", [n for n, cls in OPS.items() if cls.inplace])
@pytest.mark.parametrize("before", [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(3)], ids=["conv", "bn"])
def test_inplace_gradients(name: str, before: nn.Module) -> None:
    """In place, the gradient is the same and nothing is copied for it."""
    x = torch.randn(2, 3, 8, 8) * 4
    gradient, _ = gradient_of(name, before, x, inplace=False)
    in_place, copies = gradient_of(name, before, x, inplace=True)
    torch.testing.assert_close(in_place, gradient)
    assert not copies


def gradient_of(name: str, before: nn.Module, x: torch.Tensor, inplace: bool) -> tuple[torch.Tensor, list[int]]:
    """Return the gradient of an activation after a layer, and the tensors that the activation keeps beside its own."""
    cls: Any = OPS[name]
    function = eval(cls.torch[1], {"F": F})
    x, kept = x.clone().requires_grad_(), []

    def keep(t: torch.Tensor) -> torch.Tensor:
        kept.append(t.data_ptr())
        return t

    with torch.enable_grad():
        y = before(x)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            z = function(y, inplace=inplace)
        z.pow(3).sum().backward()
    assert x.grad is not None
    return x.grad, [at for at in kept if at != y.data_ptr()]


def test_support_defines_its_targets() -> None:
    for name in OPS:
        for case in cases(name, 30):
            for made in made_of(case):
                own = made.target and made.holes is None and not made.target.startswith(("nn.", "F.", "torch.", "{0}"))
                assert not own or f" {made.target}(" in case.op.support, case


def run(name: str, *tensors: torch.Tensor, training: bool = True, **values: object) -> Any:
    """Run an operator on tensors."""
    op = OPS[name].build(values)
    module, function = python(op, tuple(tuple(t.shape) for t in tensors))
    if module:
        return module.train(training)(*tensors)
    assert function
    return function(Owner(training), *tensors)


@pytest.mark.parametrize("kernel", [1, 3, 5, (3, 1), (1, 7)])
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
def test_default_padding_is_pytorch_s_same(kernel: object, dilation: object) -> None:
    for name in ("conv", "depthwise"):
        values = {"kernel": kernel, "dilation": dilation} | ({"out": 4} if name == "conv" else {})
        module = python(OPS[name].build(values), ((2, 4, 9, 8),))[0]
        same = nn.Conv2d(4, 4, kernel, dilation=dilation, padding="same", groups=module.groups)  # type: ignore
        same.load_state_dict(module.state_dict())  # type: ignore[union-attr]
        x = torch.randn(2, 4, 9, 8)
        torch.testing.assert_close(module(x), same(x))  # type: ignore[misc]


def test_softmax_is_over_channels() -> None:
    torch.testing.assert_close(run("softmax", torch.randn(2, 5, 3, 4)).sum(1), torch.ones(2, 3, 4))


def test_layer_norm_is_over_channels() -> None:
    x = torch.randn(2, 5, 3, 4)
    expected = nn.functional.layer_norm(x.permute(0, 2, 3, 1), (5,)).permute(0, 3, 1, 2)
    torch.testing.assert_close(run("ln", x), expected)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (2, 7, 5), (3, 5)])
def test_rms_norm_divides_by_the_root_of_the_mean_square(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    axis = 1 if len(shape) == 4 else -1
    expected = x / (x.square().mean(axis, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(run("rms_norm", x), expected)


def test_shuffle_is_pytorch_s() -> None:
    x = torch.randn(2, 12, 3, 4)
    assert torch.equal(run("shuffle", x, groups=3), nn.ChannelShuffle(3)(x))


def test_crop_takes_the_centre() -> None:
    x = torch.arange(30).reshape(1, 1, 5, 6)
    assert torch.equal(run("crop", x, size=(3, 2)), x[:, :, 1:4, 2:4])
    assert torch.equal(run("crop", x, torch.zeros(1, 7, 2, 3), like=True), x[:, :, 1:3, 1:4])


def test_subsample_takes_height_first() -> None:
    x = torch.arange(30).reshape(1, 1, 5, 6)
    assert torch.equal(run("subsample", x, stride=(2, 3), offset=(1, 2)), x[:, :, [1, 3]][..., [2, 5]])


def test_pad_takes_height_first() -> None:
    assert run("pad", torch.zeros(1, 1, 4, 4), size=(1, 2)).shape == (1, 1, 6, 8)


def test_unpool_inverts_maxpool() -> None:
    x = torch.randn(2, 3, 7, 9).abs()
    y, indices = run("maxpool", x, kernel=2, indices=True)
    z = run("maxunpool", y, indices, x, kernel=2, indices=True, like=True)
    assert z.shape == x.shape
    assert torch.equal(run("maxpool", z, kernel=2), y)


def test_drop_path_drops_whole_samples() -> None:
    x = torch.ones(200, 2, 3, 3)
    kept = run("drop_path", x, p=0.5)
    assert set(kept.flatten(1).mean(1).tolist()) == {0.0, 2.0}
    assert torch.equal(run("drop_path", x, p=0.5, training=False), x)
    assert torch.equal(run("drop_path", x, p=1.0), torch.zeros_like(x))


def test_what_is_learned_is_not_overwritten() -> None:
    """Its result is a view of the weight, the same for all images: an activation makes a tensor of its own."""
    model = archdsl.loads("net n:\n    input image: [N, 4, H=5, W=5]\n    l: learned([4, 1, 1], init=ones) -> relu\n")
    with torch.no_grad():
        assert model(torch.zeros(3, 4, 5, 5)).shape == (3, 4, 1, 1)
    assert torch.equal(model.l.weight, torch.ones(4, 1, 1))


def test_scale_starts_from_its_value() -> None:
    x = torch.randn(2, 3, 4, 5)
    for values in ({}, {"learned": True}, {"learned": True, "per_channel": True}):
        torch.testing.assert_close(run("scale", x, value=0.5, **values), x * 0.5)


def test_reshape_keeps_the_order() -> None:
    x = torch.randn(2, 4, 3, 2)
    assert torch.equal(run("reshape", x, channels=2, height=6, width=2), x.reshape(2, 2, 6, 2))


SE = [Symbol("N", 1), Symbol("H", 224), Symbol("W", 224)]
N, H, W = map(Size.of, SE)


def relations(name: str, *xs: Any, **values: object) -> list[str]:
    """Return what an operator needs for every input size, as text."""
    op = OPS[name].build(values)
    op.shapes(*xs)
    found = op.relations(*xs)
    return [f"{r.left} {'>=' if r.at_least else '=='} {r.right}, axis {r.axis} of {r.operands}" for r in found]


def test_relations_of_a_unet_step() -> None:
    """Up and down again is the same size only where the input divides: 224 does."""
    up = (N, 64, H // 2 * 2, W // 2 * 2)
    needs = ["H == 2*(H//2), axis 2 of (0, 1)", "W == 2*(W//2), axis 3 of (0, 1)"]
    assert relations("cat", (N, 32, H, W), up) == needs
    assert relations("add", (N, 64, H, W), up) == needs
    assert relations("crop", (N, 32, H, W), up, like=True)[0] == "H >= 2*(H//2), axis 2 of (0, 1)"


def test_relations_of_a_gate() -> None:
    """A gate pooled to 1x1 fits every size; one pooled by a window fits the sizes that lead to 1x1."""
    x, pooled = (N, 64, H, W), (N, 64, H // 224, W // 200)
    assert relations("mul", x, (N, 64, 1, 1)) == []
    assert relations("mul", (N, 1, H, W), x) == []
    assert relations("mul", x, pooled) == ["H//224 == 1, axis 2 of (1, 1)", "W//200 == 1, axis 3 of (1, 1)"]


@pytest.mark.parametrize("name", ["mul", "add", "maximum"])
def test_a_product_repeats_every_operand_as_torch_does(name: str) -> None:
    """Whichever operand comes first: a gate [N, 1, H, W] before its map, two gates and no map."""
    rng = random.Random(0)
    for _ in range(300):
        full = (2, rng.choice((1, 3)), rng.choice((1, 4)), rng.choice((1, 5)))
        xs = [
            tuple(d if not i or rng.random() < 0.6 else 1 for i, d in enumerate(full)) for _ in range(rng.randint(2, 4))
        ]
        assert OPS[name].build({}).shape(*xs) == tuple(torch.broadcast_shapes(*xs)), xs


def test_relations_fix_flat_features() -> None:
    features = (N, product([512, H // 32, W // 32]))
    assert relations("linear", features, out=10) == ["512*(H//32)*(W//32) == 25088, axis 1 of (0, 0)"]
    assert relations("cat", features, (N, 10)) == ["512*(H//32)*(W//32) == 25088, axis 1 of (0, 0)"]
    assert relations("dropout", features) == []


def test_the_offending_operand_is_blamed() -> None:
    with pytest.raises(ShapeFault) as fault:
        OPS["add"].build({}).shapes((N, 64, H, W), (N, 64, H, W), (N, 32, H, W))
    assert (fault.value.at, fault.value.title) == (2, "operands of `add` differ in shape")
    assert fault.value.label == "[N, 32, H, W], unlike the first operand"


# -------------------------------------------------------------------------------------------------- traits
ALONE = {  # one use of each operator that keeps the shape of a map with 4 channels
    "relu": "relu", "relu6": "relu6", "silu": "silu", "mish": "mish", "sigmoid": "sigmoid", "tanh": "tanh", "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid", "leaky_relu": "leaky_relu(0.2)", "elu": "elu", "gelu": "gelu", "prelu": "prelu", "softmax": "softmax",
    "scale": "scale(0.5)", "bn": "bn", "gn": "gn(2)", "ln": "ln", "rms_norm": "rms_norm", "lrn": "lrn(3)", "shuffle": "shuffle(2)", "conv": "conv(4, 1)",
    "depthwise": "depthwise(3)", "filter": "filter([1, 2, 1])", "maxpool": "maxpool(3, stride=1, pad=1)", "avgpool": "avgpool(3, stride=1, pad=1)", "add": "add(identity, tanh)",
    "identity": "l: identity", "dropout": "dropout(0.5)", "dropout2d": "dropout2d(0.5)", "drop_path": "drop_path(0.5)", "mul": "mul(identity, tanh)",
    "maximum": "maximum(identity, tanh)", "minimum": "minimum(identity, tanh)",
    "conv_transpose": "conv_transpose(4, 1)", "pad_channels": "slice(0, 3) -> pad_channels(1)", "upsample": "upsample(1)",
    "abs": "abs", "exp": "exp", "log": "softplus -> log", "sqrt": "softplus -> sqrt", "softplus": "softplus", "hardtanh": "hardtanh",
    "glu": "cat(identity, tanh) -> shuffle(2) -> glu", "shift": "shift(0.5)", "sub": "x - image * image", "div": "x / (image * image + 1)", "neg": "-x",
    "attention": "attention(identity, tanh, relu, heads=2)", "plus": "x + 1", "minus": "x - 1", "rsub": "1 - x", "times": "2 * x", "over": "x / 2", "rdiv": "1 / (x * x + 1)", "power": "x**3",
}  # fmt: skip
NOTHING_TO_FUSE = {
    "identity",
    "dropout",
    "dropout2d",
    "drop_path",
    "upsample",
    "pad_channels",
    "mul",
    "maximum",
    "minimum",
    "sub",
    "div",
    "attention",
}  # that are pointwise here


@pytest.mark.parametrize("name", ALONE)
@torch.enable_grad()
def test_an_operator_is_pointwise_where_a_place_depends_on_itself_alone(name):
    model = archdsl.loads(f"net n:\n    input image: [N, 4, H=5, W=5]\n    {ALONE[name]}\n").eval().double()
    torch.manual_seed(0)
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.5)
    y = model(x)
    assert y.shape == x.shape
    moved = {
        place
        for place in itertools.product(range(4), range(5), range(5))
        for grad in [torch.autograd.grad(y[0][place], x, retain_graph=True)[0][0]]
        if {tuple(i) for i in grad.nonzero().tolist()} - {place}
    }
    assert ("pointwise" in OPS[name].traits) is (not moved and name not in NOTHING_TO_FUSE)


def test_every_operator_has_answered_which_traits_it_has():
    """Those that take a shape apart are none of what is asked for here; the others are looked at one by one above."""
    shaping = {
        "flatten",
        "pixel_shuffle",
        "pixel_unshuffle",
        "pad",
        "crop",
        "subsample",
        "slice",
        "reshape",
        "chunk",
        "pad_same",
        "tokens",
        "untokens",
        "transpose",
        "matmul",
        "cat",
        "linear",
        "learned",
        "relative_bias",
    }
    shaping |= {name for name in OPS if name.startswith(("global_", "adaptive_"))} | {"maxunpool"}
    shaping |= {name for name, op in OPS.items() if "axes" in op.args}
    assert set(ALONE) | shaping == set(OPS)
    assert {name for name in OPS if "joins" in OPS[name].traits} == {
        "add",
        "mul",
        "maximum",
        "minimum",
        "cat",
        "sub",
        "div",
    }
    for name, op in OPS.items():
        assert {"kernel", "stride"} <= {*op.args, *vars(op)} or "window" not in op.traits, name
        assert "pointwise" not in op.traits or "fuses" in op.traits, name
