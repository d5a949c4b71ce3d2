"""From a module to a text that is proved equal to it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from archdsl.diagnostics import CompileError
from archdsl.importer import calls
from archdsl.importer.build import built
from archdsl.importer.clean import cleaned
from archdsl.importer.graph import Unsaid
from archdsl.importer.keys import left_out, rules_of
from archdsl.importer.partial import brought, calls_of, module, numbered, operators
from archdsl.importer.regions import grouped
from archdsl.importer.sizes import sized
from archdsl.importer.sources import Source, opened
from archdsl.importer.text import text
from archdsl.importer.trace import Untraceable, trace
from archdsl.importer.verify import Differs, Verified, referred, verified
from archdsl.project import read, write
from archdsl.run.load import loads
from archdsl.run.mistakes import ImportFailed
from archdsl.run.save import save
from archdsl.saved import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from archdsl.importer.graph import Graph, Node
    from archdsl.importer.partial import Layer
    from archdsl.importer.trace import Trace

    Shape = tuple[int, ...]


SECTION = "[imported]"  # of a `.keys` file that is written here
MOST = 200  # layers of one's own
LARGE = 320  # pixels of a side beyond which two smaller sizes are compared


@dataclass(frozen=True)
class Imported:
    """A network as a text: what was compared, the names of its weights in the module, and that module.

    `weighted` says that the weights are those of a file, and not what a module starts with; `named`, that somebody
    knows their names there; `fixed`, that this file takes inputs of one size. `python` are layers of one's own, a file
    `NAME_layers.py` whose `OPERATORS` go to `archdsl.load(…, operators=)`.
    """

    name: str
    text: str
    verified: Verified
    model: nn.Module = field(repr=False)
    weighted: bool = False
    named: bool = True
    fixed: bool = False
    python: str = ""

    @cached_property
    def keys(self) -> dict[str, str]:
        """The names of weights that differ: those of the module's state dict to those of the text's network."""
        return {name: here for name, here in self.verified.keys.items() if name != here}

    @cached_property
    def rules(self) -> str:
        """The lines of a `.keys` file, by which the module's own weights are loaded; empty where none differ."""
        if not (self.keys or self.verified.unused) or not self.named:
            return ""
        rules = [(name, "") for name in left_out(self.verified.unused, self.verified.keys)]
        rules += rules_of(self.verified.keys)
        return "".join([f"{SECTION}\n", *(f"{old} = {new}".strip() + "\n" for old, new in rules)])

    def load(self) -> nn.Module:
        """Return the network of the text, with a copy of the module's weights: `archdsl.save` takes it."""
        with operators(self.python, self.name) as brought_along:
            made = loads(self.text, operators=brought_along)
        state = self.model.state_dict()
        shapes = {name: value.shape for name, value in made.state_dict().items()}
        names = self.verified.keys.items()
        own = {here: state[name].detach().clone().reshape(shapes[here]) for name, here in names}
        made.load_state_dict(made.state_dict() | own, assign=True)
        return made

    def paths(self, path: str | os.PathLike[str]) -> list[str]:
        """Return the files that are written for a path: one with weights where they are a file's own, rules."""
        stem, suffix = os.path.splitext(os.fspath(path))
        if suffix == SUFFIX:
            return [os.fspath(path)]
        beside = [stem + SUFFIX] if self.weighted else []
        beside += [os.path.join(os.path.dirname(stem), f"{self.name}_layers.py")] if self.python else []
        return [os.fspath(path), *beside, *([f"{stem}.keys"] if self.rules else [])]

    def write(self, path: str | os.PathLike[str]) -> list[str]:
        """Write the text, and beside it what else it needs; returns the paths.

        Names of weights that differ are in a `.keys` file. The weights of a file are in a `.safetensors` file, as
        `archdsl.save` writes it, text and all; a path that ends so is that file alone.
        """
        made = self.paths(path)
        for one in made:
            if one.endswith(SUFFIX):
                self._save(one)
            else:
                text = {".keys": self.rules, ".py": self.python}
                write(one, text.get(os.path.splitext(one)[1], self.text))
        beside = os.path.splitext(made[0])[0] + ".keys"
        if beside not in made and os.path.isfile(beside) and read(beside).text.startswith(SECTION):
            os.remove(beside)  # the rules of an import before this one; those that somebody wrote stay
        return made

    def _save(self, path: str) -> None:
        with operators(self.python, self.name) as brought_along:
            save(self.load(), path, operators=brought_along)

    def report(self) -> str:
        """Say what was made and how it was compared."""
        found = self.verified
        sizes = " and ".join(f"{shape[2]}x{shape[3]}" if len(shape) == 4 else str(shape[1]) for shape in found.sizes)
        sizes += "" if len(found.sizes) > 1 or not self.fixed else ", the one size that the file has"
        names = len(found.keys)
        lines = [f"{self.name}: {len(self.text.splitlines())} lines"]
        if self.rules:
            rules = len(self.rules.splitlines()) - 1
            lines.append(f"{len(self.keys)} of {names} weights have other names here, by {rules} rules of a .keys file")
        if self.python:
            count = self.python.count("(nn.Module):")
            lines.append(f"{count} of its layers are Python, {self.name}_layers.py, whose OPERATORS the text needs")
        if found.unused:
            lines.append(
                f"{len(found.unused)} weights are left out, since no result depends on them: {found.unused[0]}"
            )
        worst = max(found.evaluation, found.training or 0)
        modes = "in evaluation" if found.training is None else "in evaluation and training"
        lines.append(
            f"verified: {names} parameters and buffers equal, outputs differ by {worst:.1g} at {sizes}, {modes},"
            f" gradients by {found.gradients:.1g}"
        )
        if found.engine:
            lines.append(f"the file's own outputs, by {found.engine}, differ by {found.reference:.1g}")
        return "\n".join(lines)


def import_module(
    model: nn.Module, example: torch.Tensor | Sequence[int], *, name: str = "net", doc: str = "", partial: bool = False
) -> Imported:
    """Return a module as a text of the language, proved equal: weights, outputs, gradients.

    `example` is an input, or its shape [N, C, H, W]. Weights of the module are not changed. Raises `ImportFailed`,
    which names what the language cannot say and where it stands, or what differs. With `partial`, what cannot be said
    becomes layers of one's own, as Python beside the text.

    >>> from torchvision.models import resnet18
    >>> found = import_module(resnet18(), (1, 3, 224, 224), name="resnet18")  # doctest: +SKIP
    >>> print(found.report())  # doctest: +SKIP
    resnet18: 22 lines
    verified: 122 parameters and buffers equal, outputs differ by 0 at 224x224 and 256x256, ...
    """
    given = tuple(example.shape if isinstance(example, torch.Tensor) else example)
    if not given or not all(isinstance(size, int) for size in given):
        raise ImportFailed("the example is a tensor or its shape, [N, C, H, W]: modules of several inputs are not read")
    return _made(Source(model, given, name), doc or f"{name}, imported.", partial)


def imported(word: str, *, shape: Sequence[int] = (), name: str = "", partial: bool = False) -> Imported:
    """Return `timm:NAME`, `torchvision:NAME`, `pytorchcv:NAME`, `package.module:attribute` or a file as a text.

    `shape` and `name` are the library's own where they are not given. Raises `NoSource`, too.
    """
    source = opened(word)
    doc = f"{word.partition(':')[2] or source.name}, imported from {source.origin}."
    return _made(replace(source, shape=tuple(shape) or source.shape, name=name or source.name), doc, partial)


def _made(source: Source, doc: str, partial: bool) -> Imported:
    """Return the text of a module. Raises `ImportFailed`."""
    try:
        return _imported(source, doc, partial)
    except (Unsaid, Untraceable, Differs) as problem:
        raise ImportFailed(str(problem)) from None
    except CompileError as problem:
        raise ImportFailed(f"the text that was made is refused: {problem}") from problem


def _imported(source: Source, doc: str, partial: bool) -> Imported:
    first = source.shape if source.free and not source.free[0] else (2, *source.shape[1:])
    layers: list[Layer] = []
    try:
        graph = _graph(source, first)
        second, other = _second(source, first, graph)
        made, order = written(graph, other, source.name, doc)
    except Unsaid as problem:
        if not partial or problem.call is None:
            raise
        graph, second, other = _with_layers(source, first, layers)
        made, order = written(graph, other, source.name, doc)
    shapes = [first] if second is None else [first, second]
    if second is not None and max(second[2:]) > LARGE and not _windows(graph):
        third, _ = _second(source, second, graph)
        shapes = [second] if third is None else [second, third]
    python = module(layers, source.name) if layers else ""
    with operators(python, source.name) as brought_along:
        found = verified(source, made, order, shapes, brought_along)
    fixed = bool(source.free) and not all(source.free[2:])
    weighted = source.reference is not None
    return Imported(source.name, made, found, source.model, weighted, source.named, fixed, python)


def _with_layers(source: Source, first: Shape, layers: list[Layer]) -> tuple[Graph, Shape | None, Graph | None]:
    """Return what a module computes, with layers of one's own in the place of what cannot be said."""
    runs = [trace(source.model, (first,), training=source.trains)]
    second = _like(source, first, runs)
    if not source.free or source.free[0]:
        runs.append(trace(source.model, ((3, *first[1:]),), training=source.trains))
    while True:
        known: dict[Any, Any] = {}
        try:
            cleaned(sized(calls.read(runs[0], known), calls.read(runs[1]) if second else None))
            break
        except Unsaid as problem:
            if problem.call is None or len(layers) > MOST:
                raise
            try:
                brought(runs, known, problem.call, layers)
            except Unsaid as why:
                raise Unsaid(f"{problem.reason}; and it is no layer of its own: {why.reason}", problem.path) from None
    layers[:] = numbered(runs[0])
    graph = calls.read(runs[0])
    _mark_training(source, first, graph)
    return graph, second, calls.read(runs[1]) if second else None


def _like(source: Source, first: Shape, runs: list[Trace]) -> Shape | None:
    """Add runs at two other sizes to that at the first, one of them no square, if the module makes the same calls."""
    names = [call.function for call in calls_of([runs[0].root])]
    found: list[Shape] = []
    if len(first) == 4 and all(source.free[2:]):
        oblong = (*first[:2], first[2] + 32, first[3] + 64)
        for other in (oblong, *_others(first)):
            try:
                run = trace(source.model, (other,), training=source.trains)
            except Untraceable:
                continue
            if len(found) < 2 and [call.function for call in calls_of([run.root])] == names:
                runs.append(run)
                found.append(other)
    return found[0] if found else None


def written(graph: Graph, other: Graph | None, name: str, doc: str) -> tuple[str, list[Node]]:
    """Return a graph as a text that nobody has compared yet, and its steps with weights in the text's order.

    `other` is the same network at another size.
    """
    shapes = [node.shape for node in graph.inputs]
    found = built(cleaned(grouped(sized(graph, other))), name)
    return text(found, name, shapes, doc), found.order


def _graph(source: Source, shape: Shape) -> Graph:
    """Return what a module computes; a result that training alone has is marked."""
    graph = calls.read(trace(source.model, (shape,), training=source.trains))
    _mark_training(source, shape, graph)
    return graph


def _mark_training(source: Source, shape: Shape, graph: Graph) -> None:
    if not source.trains:
        return
    names = list(trace(source.model, (shape,), training=False).outputs)
    if names == [""]:
        graph.training = tuple(graph.outputs)[1:]
    elif set(names) <= set(graph.outputs):
        graph.training = tuple(name for name in graph.outputs if name not in names)
    else:
        raise Unsaid("training and evaluation have different results", "")


def _second(source: Source, shape: Shape, graph: Graph) -> tuple[Shape, Graph] | tuple[None, None]:
    """Return another size that a module takes, and what it computes there; None where it takes no other.

    One at which it computes by the same steps comes before one at which it does not, as a small map may be padded.
    """
    odd: tuple[Shape, Graph] | tuple[None, None] = (None, None)
    if len(shape) != 4 or not all(source.free[2:]):
        return odd
    windows = _windows(graph)
    for other in _larger(shape) if windows else _others(shape):
        try:
            found = calls.read(trace(source.model, (other,), training=source.trains))
            if source.reference is not None:
                referred(source, other)
        except Untraceable:
            continue
        if any(max(side) >= min(size) for side, size in _windows(found)):
            continue
        if [node.op for node in found.root.nodes()] == [node.op for node in graph.root.nodes()]:
            return other, found
        odd = odd if odd[0] else (other, found)
    if windows and odd[0] is None:
        raise Unsaid("windows for attention, and no size of the input at which all are smaller than their maps", "")
    return odd


def _windows(graph: Graph) -> list[tuple[Shape, Shape]]:
    """Return the windows in which places attend to others, each with the size of its map."""
    windowed = [node for node in graph.root.nodes() if node.op == "attention" and "window" in node.fields]
    return [(node.fields["window"], node.shape[2:]) for node in windowed]


def _larger(shape: Shape) -> Iterator[Shape]:
    """Go over sizes at which windows may be smaller than their maps; first those that are halved with a rest, too."""
    for factor in (2, 4, 8):
        for more in (100, 32):
            yield (*shape[:2], *[factor * side + more for side in shape[2:]])


def _others(shape: Shape) -> Iterator[Shape]:
    """Go over other sizes: an odd one, which tells most, then multiples of 32, which most networks take."""
    own = shape[2:]
    half = [max(32, side // 2 // 32 * 32) for side in own]
    for sides in ([side + 1 for side in half], half, [side + 32 for side in own], [side - 1 for side in own]):
        if min(sides) > 0 and tuple(sides) != shape[2:]:
            yield (*shape[:2], *sides)
