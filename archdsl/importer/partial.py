"""Steps that the language does not have as layers of one's own: `archdsl import --partial`.

Where a call cannot be said, the fewest calls around it that begin and end with tensors of the language become a layer.
It is written as Python by what was seen of these calls: no class of the module's code is asked. Numbers that differ
between runs at several sizes and batches are looked for among the sizes of what the layer reads.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import resolve_name

from archdsl.importer.graph import Node, Unsaid
from archdsl.importer.trace import Call, Frame, Trace, Value, Weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Users = dict[Value, list[Call | None]]
    _Border = tuple[list[Value], Any]

WIDEST = 200  # items of a frame that become one layer
FACTORS = (*range(2, 17), 32, 49, 64)
SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "matmul": "@", "pow": "**", "floordiv": "//"}
TRAINING = {"dropout": 2, "dropout2d": 2, "feature_dropout": 2, "batch_norm": 5}  # where an argument says it
HEAD = '''"""Layers of `{net}` that the language does not have.

    import archdsl
    from {module} import OPERATORS

    model = archdsl.load("{net}.arch", operators=OPERATORS)
"""

import torch
import torch.nn.functional as F
from torch import nn

import archdsl
'''


@dataclass(eq=False)
class Layer:
    """A layer that is brought along: its name in the text, its class, the rules for its shape and its products."""

    name: str
    source: str
    rules: str


@dataclass(frozen=True, eq=False)
class Used:
    """A layer in one place of one run: the shape of its result, and the module of which it is all, or a part."""

    layer: Layer
    made: tuple[int, ...]
    path: str
    whole: bool

    @property
    def label(self) -> str:
        """Its name in the network."""
        return self.path if self.whole else f"{self.path}.{self.layer.name}".strip(".")


@dataclass(frozen=True, eq=False)
class Brought(Call):
    """A call of such a layer, and what it stands for."""

    items: tuple[Call | Frame, ...] = ()


@dataclass(frozen=True, eq=False)
class _Place:
    """Items of a frame, of each of several runs, that become one layer."""

    frames: tuple[Frame, ...]
    first: int
    last: int

    def calls(self, run: int = 0) -> Iterator[Call]:
        """Go over the calls of one run, in order."""
        yield from calls_of(self.frames[run].items[self.first : self.last + 1])


def brought(traces: Sequence[Trace], known: dict[Value, Any], culprit: Call, layers: list[Layer]) -> None:
    """Put a layer in the place of the fewest calls around one that cannot be said; raises `Unsaid` where none serve.

    `traces` are runs of the same module at several sizes, of which `known` tells what the values of the first are.
    """
    users = [_users(trace) for trace in traces]
    why = Unsaid("no part of it begins and ends with tensors of the language", "")
    for place in _places(traces, culprit, users[0], known):
        borders = [_border(place, users[run], run) for run in range(len(traces))]
        batches = [trace.inputs[0].shape[0] for trace in traces]
        if any(one.shape[0] != n for n, (reads, made) in zip(batches, borders) for one in (*reads, made)):
            continue  # a weight, and no tensor of each image
        try:
            layer, weights = _layer(place, borders, layers)
        except Unsaid as problem:  # more calls around it may say what these cannot
            why = problem
            continue
        _put(place, layer, borders, weights)
        if layer not in layers:
            layers.append(layer)
        return
    raise why


def _put(place: _Place, layer: Layer, borders: Sequence[_Border], weights: dict[str, Weight]) -> None:
    """Put a layer in the place of calls, in each run."""
    for frame, (reads, made) in zip(place.frames, borders):
        items = frame.items[place.first : place.last + 1]
        used = Used(layer, made.shape, frame.path, len(items) == len(frame.items))
        call = Brought("brought", (used, *reads), dict(weights), (made,), None, tuple(items))
        frame.items[place.first : place.last + 1] = [call]


def numbered(trace: Trace) -> list[Layer]:
    """Return the layers that are left in a run, and count them."""
    found: dict[Layer, None] = {}
    work: list[Call | Frame] = [trace.root]
    while work:
        item = work.pop(0)
        if isinstance(item, Brought):
            found[item.arguments[0].layer] = None
        elif isinstance(item, Frame):
            work = [*item.items, *work]
    for place, layer in enumerate(found, 1):
        layer.source = layer.source.replace(f"class {layer.name.title()}(", f"class Layer{place}(")
        layer.name = f"layer{place}"
    return [*found]


# -------------------------------------------------------------------------------------------------- which calls
def calls_of(items: Sequence[Call | Frame]) -> Iterator[Call]:
    """Go over calls and those of modules, in order."""
    for item in items:
        if isinstance(item, (Frame, Brought)):
            yield from calls_of(item.items)
        else:
            yield item


def _values(given: Any) -> Iterator[Any]:
    if isinstance(given, (Value, Weight)):
        yield given
    elif isinstance(given, (tuple, list)):
        for one in given:
            yield from _values(one)
    elif isinstance(given, dict):
        yield from _values(list(given.values()))


def _read(call: Call) -> list[Any]:
    return [*_values(call.arguments), *_values(call.keywords)]


def _users(trace: Trace) -> _Users:
    """Return which calls read each value; None stands for whoever is given the results."""
    found: dict[Value, list[Call | None]] = {value: [None] for value in trace.outputs.values()}
    for call in calls_of([trace.root]):
        for value in _read(call):
            if isinstance(value, Value):
                found.setdefault(value, []).append(call)
    return found


def _chains(traces: Sequence[Trace], culprit: Call) -> Iterator[tuple[tuple[Frame, ...], int]]:
    """Go over the frames around a call, innermost first, of all runs, each with the place in it."""
    found: list[tuple[tuple[Frame, ...], int]] = []

    def look(frames: tuple[Frame, ...]) -> bool:
        for place, item in enumerate(frames[0].items):
            if item is culprit or (isinstance(item, Frame) and look(tuple(one.items[place] for one in frames))):  # type: ignore[misc]
                found.append((frames, place))
                return True
        return False

    look(tuple(trace.root for trace in traces))
    yield from found


def _places(traces: Sequence[Trace], culprit: Call, users: _Users, known: dict[Value, Any]) -> Iterator[_Place]:
    """Go over what could be a layer around a call, the fewest items of the innermost frame first."""
    for frames, place in _chains(traces, culprit):
        count = len(frames[0].items)
        for size in range(1, min(count, WIDEST) + 1):
            for first in range(max(0, place - size + 1), min(place, count - size) + 1):
                found = _Place(frames, first, first + size - 1)
                if (size < count or frames[0].path) and _fits(found, users, known):
                    yield found


def _fits(place: _Place, users: _Users, known: dict[Value, Any]) -> bool:
    reads, made = _border(place, users, 0)
    plain = all(isinstance(known.get(value), Node) and len(value.shape) in (2, 3, 4) for value in reads)
    return bool(reads) and plain and made is not None and len(made.shape) in (2, 3, 4)


def _border(place: _Place, users: _Users, run: int) -> _Border:
    """Return what a layer reads, and the one value that others read of it (None where these are several)."""
    calls = list(place.calls(run))
    made = [value for call in calls for value in call.results]
    inside, own = set(calls), set(made)
    read = dict.fromkeys(v for call in calls for v in _read(call) if isinstance(v, Value) and v not in own)
    outside = [value for value in made if any(user not in inside for user in users.get(value, ()))]
    return list(read), outside[0] if len(outside) == 1 else None


# -------------------------------------------------------------------------------------------------- as Python
class _Writer:
    """Writes the calls of one run as lines, in which whole numbers stand apart."""

    def __init__(self, reads: Sequence[Value], path: str) -> None:
        self.path = path
        self.names: dict[Any, str] = {value: "x" if not at else f"other{at}" for at, value in enumerate(reads)}
        self.weights: dict[str, Weight] = {}
        self.count = 0

    def line(self, call: Call) -> list[Any]:
        """Return one call as words and numbers."""
        name = _name(call, self.path)
        place = TRAINING.get(call.function)
        args = [
            ["self.training"] if at == place and one is True else self.word(one)
            for at, one in enumerate(call.arguments)
        ]
        words = [
            [f"{key}=", *(["self.training"] if key == "training" and one is True else self.word(one))]
            for key, one in call.keywords.items()
            if key != "inplace"
        ]
        method = name.rpartition(".")[2]
        targets = []
        for value in call.results:
            self.names[value] = f"y{self.count}"
            self.count += 1
            targets.append(self.names[value])
        return [", ".join(targets), " = ", *_written(name, method, args, words, targets)]

    def word(self, given: Any) -> list[Any]:
        """Return an argument as words and numbers."""
        if isinstance(given, Value):
            if given not in self.names:
                raise Unsaid("a tensor that the module's code makes", self.path)
            return [self.names[given]]
        if isinstance(given, Weight):
            return ["self.", self._own(given)]
        if isinstance(given, tuple):
            return ["(", *_joined([self.word(one) for one in given]), ",)" if len(given) == 1 else ")"]
        if isinstance(given, slice):
            return ["slice(", *_joined([self.word(one) for one in (given.start, given.stop, given.step)]), ")"]
        if type(given) is int:
            return [given]
        if isinstance(given, torch.device):
            return ["x.device"]
        if given is None or isinstance(given, (bool, float, str, type(Ellipsis), torch.dtype, torch.memory_format)):
            return ["..." if given is Ellipsis else f'float("{given}")' if given in (INF, -INF) else repr(given)]
        raise Unsaid(f"a {type(given).__name__} as an argument", self.path)

    def _own(self, weight: Weight) -> str:
        """Return the name of a weight in the layer: that of the module, without what all of them begin with."""
        if not weight.kept:
            raise Unsaid(f"`{weight.name}` is a constant, and no part of the state", self.path)
        name = weight.name.removeprefix(f"{self.path}.").replace(".", "_")
        name = f"w_{name}" if name[0].isdecimal() or name in ("training", "x") else name
        self.weights[name] = weight
        return name


INF = float("inf")


def _written(name: str, method: str, args: list[list[Any]], words: list[list[Any]], targets: list[str]) -> list[Any]:
    """Return a call with its arguments; what changes a tensor in place makes another one here."""
    sign = SIGNS.get(method.strip("_").removeprefix("r").removeprefix("i")) if method.startswith("__") else None
    if method == "__getitem__":
        return [*args[0], "[", *args[1], "]"]
    if method == "__setitem__":
        return [*args[0], f".clone()\n        {targets[0]}[", *args[1], "] = ", *args[2]]
    if sign and len(args) == 2:
        left, right = args[::-1] if method.startswith("__r") else args
        return [*left, f" {sign} ", *right]
    if name.startswith("torch.Tensor."):
        plain = method.rstrip("_") if hasattr(torch.Tensor, method.rstrip("_")) else method
        return [*args[0], f".{plain}(", *_joined([*args[1:], *words]), ")"]
    return [name.replace("torch.nn.functional.", "F."), "(", *_joined([*args, *words]), ")"]


def _name(call: Call, path: str) -> str:
    name = resolve_name(call.target) if call.target is not None else None
    if not name or "boolean_dispatch" in name:
        raise Unsaid(f"`{call.function}` has no name by which it could be called", path)
    return str(name)


def _joined(parts: Sequence[list[Any]]) -> list[Any]:
    made: list[Any] = []
    for part in parts:
        made += [", ", *part] if made else part
    return made


def _layer(place: _Place, borders: Sequence[_Border], layers: Sequence[Layer]) -> tuple[Layer, dict[str, Weight]]:
    """Return a layer, and its weights by their names in it."""
    path = place.frames[0].path
    runs = []
    for run, (reads, made) in enumerate(borders):
        writer = _Writer(reads, path)
        lines = [writer.line(call) for call in place.calls(run)]
        runs.append((writer, [*lines, ["return ", writer.names[made]]]))
    sizes = [[value.shape for value in reads] for reads, _ in borders]
    names = [f"{'x' if not at else f'other{at}'}.shape[{{}}]" for at in range(len(sizes[0]))]
    dims = {
        name.format(i): tuple(run[at][i] for run in sizes)
        for at, name in enumerate(names)
        for i in range(len(sizes[0][at]))
    }
    body = ["".join(map(str, line)) for line in _fitted([lines for _, lines in runs], dims, path)]
    writer = runs[0][0]
    rules = _rules(place, borders, path)
    source = _class(place, writer, body, len(sizes[0]))
    weights = dict(sorted(writer.weights.items()))
    for layer in layers:
        if (layer.source.split("\n", 2)[2], layer.rules) == (source.split("\n", 2)[2], rules):
            return layer, weights
    name = f"layer{len(layers) + 1}"
    return Layer(name, source.replace("LAYER", name.title(), 1), rules), weights


def _class(place: _Place, writer: _Writer, body: Sequence[str], inputs: int) -> str:
    given = ", ".join(["x", *(f"other{at}" for at in range(1, inputs))])
    hints = ", ".join(f"{one}: torch.Tensor" for one in given.split(", "))
    lines = ["class LAYER(nn.Module):", f'    """What `{place.frames[0].path or "the network"}` computes."""', ""]
    lines += ["    def __init__(self) -> None:", "        super().__init__()"]
    for name, weight in sorted(writer.weights.items()):
        what = f"torch.zeros({weight.shape}" + ("" if weight.learned else f", dtype={weight.dtype}") + ")"
        lines.append(
            f"        self.{name} = nn.Parameter({what})"
            if weight.learned
            else f'        self.register_buffer("{name}", {what})'
        )
    lines += ["", f"    def forward(self, {hints}) -> torch.Tensor:", *(f"        {line}" for line in body)]
    return "\n".join(lines)


def _fitted(runs: Sequence[list[list[Any]]], dims: dict[str, tuple[int, ...]], path: str) -> list[list[Any]]:
    """Return lines whose numbers are what they are in all runs, or expressions of sizes."""
    if len({tuple(tuple(type(word) for word in line) for line in lines) for lines in runs}) > 1:
        raise Unsaid("what is computed depends on the size of the input", path)
    made = []
    for lines in zip(*runs):
        line = []
        for words in zip(*lines):
            if isinstance(words[0], int):
                line.append(_expression(words, dims, path))
            elif len(set(words)) > 1:
                raise Unsaid("what is computed depends on the size of the input", path)
            else:
                line.append(words[0])
        made.append(line)
    return made


def _expression(numbers: Sequence[int], dims: dict[str, tuple[int, ...]], path: str) -> str:
    """Return a number, or what is that number in all runs: a size, a product of sizes, a multiple or a part of one."""
    if len(set(numbers)) == 1:
        return str(numbers[0])
    sizes = {name: found for name, found in dims.items() if len(set(found)) > 1}
    for count in (1, 2, 3):
        for chosen in itertools.combinations(sizes, count):
            word = " * ".join(chosen)
            for text, value in _multiples(word, [_product(one) for one in zip(*(sizes[name] for name in chosen))]):
                if value == list(numbers):
                    return text
    raise Unsaid("numbers that depend on the size of the input in a way that is not found", path)


def _product(numbers: Sequence[int]) -> int:
    made = 1
    for one in numbers:
        made *= one
    return made


def _multiples(word: str, values: list[int]) -> Iterator[tuple[str, list[int]]]:
    yield word, values
    for k in FACTORS:
        yield f"{word} * {k}", [value * k for value in values]
        yield f"{word} // {k}", [value // k for value in values]
        yield f"-(-{word} // {k})", [-(-value // k) for value in values]
    for k in (1, 2, 3, 4):
        yield f"{word} + {k}", [value + k for value in values]
        yield f"{word} - {k}", [value - k for value in values]


def _rules(place: _Place, borders: Sequence[_Border], path: str) -> str:
    """Return the arguments of `archdsl.operator`: the shape of the result, and products."""
    reads = [[value.shape for value in reads] for reads, _ in borders]
    given = ["x", *(f"other{at}" for at in range(1, len(reads[0])))]
    dims = {
        f"{name}[{i}]": tuple(run[at][i] for run in reads)
        for at, name in enumerate(given)
        for i in range(len(reads[0][at]))
    }
    results = [made.shape for _, made in borders]
    words = ", ".join(given)
    rules = [f"macs={_products(place, reads, results, given[1:])}"]
    if any(made != read[0] for made, read in zip(results, reads)):
        sizes = [_size(i, reads, results, dims, path) for i in range(1, len(results[0]))]
        rules.insert(0, f"shape=lambda {words}: (x[0], {', '.join(sizes)})")
    return ", ".join(rules)


def _size(
    axis: int, reads: Sequence[list[tuple[int, ...]]], results: Sequence[tuple[int, ...]], dims: Any, path: str
) -> str:
    """Return a size of the result: that of the input along the axis, if it is one, or an expression."""
    if all(axis < len(read[0]) and read[0][axis] == made[axis] for read, made in zip(reads, results)):
        return f"x[{axis}]"
    return _expression([made[axis] for made in results], dims, path)


def _products(
    place: _Place, reads: Sequence[list[tuple[int, ...]]], results: Sequence[tuple[int, ...]], given: Sequence[str]
) -> str:
    """Return the products for an image: a number, or one for each place or pair of places, if all runs agree."""
    macs = [sum(map(_macs, place.calls(run))) // made[0] for run, made in enumerate(results)]
    if len(set(macs)) == 1:
        return str(macs[0])
    both = (("y", results), ("x", [read[0] for read in reads]))
    places = {name: [one[2:] if len(one) == 4 else one[1:2] for one in each] for name, each in both}
    head = ", ".join(["x", "y", *given])
    for name, power in (("y", 1), ("x", 1), ("x", 2)):
        counts = [_product(one) ** power for one in places[name]]
        first = 2 if len(places[name][0]) == 2 else 1
        if all(mac == macs[0] // counts[0] * count for mac, count in zip(macs, counts)):
            axes = [f"{name}[{first + at}]" for at in range(len(places[name][0]))] * power
            return f"lambda {head}: {macs[0] // counts[0]} * {' * '.join(axes)}"
    return str(macs[0])  # at the size of the example


def _macs(call: Call) -> int:
    """Count the multiply-accumulates of a call, by the rules of PyTorch's own counter."""
    name, read = call.function.strip("_"), [value.shape for value in _read(call)]
    if name in ("matmul", "bmm", "baddbmm") and len(read) >= 2:
        return _product(call.results[0].shape) * int(read[-2][-1])
    if name == "linear":
        return _product(call.results[0].shape) * int(read[1][-1])
    if name.startswith("conv"):
        return _product(call.results[0].shape) * _product(read[1][1:])
    if name == "scaled_dot_product_attention":
        return 2 * _product(read[0]) * int(read[1][-2])
    return 0


# -------------------------------------------------------------------------------------------------- the file
def module(layers: Sequence[Layer], net: str) -> str:
    """Return the Python of all layers, and of the operators that they are."""
    made = [HEAD.format(net=net, module=f"{net}_layers")]
    made += [f"\n{layer.source}\n" for layer in layers]
    rows = [f'    archdsl.operator("{layer.name}", {layer.name.title()}, {layer.rules}),' for layer in layers]
    return "\n".join([*made, "\nOPERATORS = [", *rows, "]", ""])


@contextmanager
def operators(source: str, net: str) -> Iterator[list[Any]]:
    """Hand over the operators of a file, which is imported as whoever loads the text will import it."""
    if not source:
        yield []
        return
    name = f"{net}_layers"
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, f"{name}.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        before = sys.modules.get(name)
        sys.modules[name] = found
        try:
            spec.loader.exec_module(found)
            yield found.OPERATORS
        finally:
            if before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = before
