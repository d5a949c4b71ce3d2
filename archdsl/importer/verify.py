"""A text held against the module that it was made of: the same weights, the same numbers.

Weights are drawn anew, since those of a fresh module hide much: a scale that is 0, statistics that change nothing.
Both networks run in evaluation at two sizes and in training, where gradients are compared, too. What is left to chance
(dropout, stochastic depth) is decided the same way in both: everything is kept.

Two ways to compute one thing differ in their last bits, and a rectifier makes much of that in gradients. What differs
in single precision is compared in double precision, where it is nothing, or another network.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from archdsl.compiler import Request, compile_text
from archdsl.importer.trace import Untraceable, in_mode, results
from archdsl.ir.walk import modules
from archdsl.ops.base import Op
from archdsl.run.load import instantiate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from archdsl.importer.graph import Node
    from archdsl.importer.sources import Source

COUNTER = "num_batches_tracked"
OUTPUTS, GRADIENTS = 1e-5, 1e-4  # of the largest number that is compared
TINY = 1e-30
FILES = 1e-4  # the same, of what another engine makes of a file: it sums in another order


class Differs(Exception):
    """A text that is another network than the module."""


@dataclass(frozen=True)
class Verified:
    """What was compared: the sizes, and the largest difference in evaluation, in training and of gradients.

    A file has no training (None); `reference` is how far its own results, by `engine`, are from those of the module
    that was made of it.
    """

    sizes: tuple[tuple[int, ...], ...]
    evaluation: float
    training: float | None
    gradients: float
    keys: dict[str, str]  # names in the module's state dict to names here
    unused: tuple[str, ...]  # names of the module's state dict that no result depends on
    reference: float = 0.0
    engine: str = ""


def verified(
    source: Source, text: str, order: Sequence[Node], shapes: Sequence[tuple[int, ...]], operators: Sequence[Any] = ()
) -> Verified:
    """Compare a text with a module, and that with its file. Raises `Differs`, or `CompileError` for a bad text."""
    model = source.model
    distance = _from_file(source, shapes) if source.reference is not None else 0.0
    found = compile_text(text, Request(operators=tuple(operators)))
    made = instantiate(found)
    own = model.state_dict()
    keys = _keys(found.network.scope, made.state_dict(), order, own)
    unused = tuple(name for name in own if name not in keys)
    left = [name for name in uncounted(made.state_dict()) if name not in keys.values()]
    if left:
        raise Differs(f"`{left[0]}` stands for no weight of the module")
    _check_sizes(own, made.state_dict(), keys)
    state = _drawn(own)
    shapes_here = {name: value.shape for name, value in made.state_dict().items()}
    drawn = {here: state[name].reshape(shapes_here[here]) for name, here in keys.items()}
    made.load_state_dict(made.state_dict() | drawn)
    with _holding(model, state):
        try:
            compared = _compared(source, made, keys, shapes)
        except Differs:
            if any(parameter.dtype != torch.float32 for parameter in model.parameters()):
                raise
            with _in_double(model, made):
                compared = _compared(source, made, keys, shapes)
    return Verified(tuple(shapes), *compared, keys, unused, distance, source.engine)


def uncounted(names: Iterable[str]) -> list[str]:
    """Return names of a state dict without the counters of batches, which files of others do not have."""
    return [name for name in names if name.rpartition(".")[2] != COUNTER]


def _from_file(source: Source, shapes: Sequence[tuple[int, ...]]) -> float:
    """Return how far a module is from the file that it was made of, with the file's weights."""
    worst = 0.0
    for shape in shapes:
        with torch.no_grad(), in_mode(source.model, False):
            given, theirs = referred(source, shape)
            mine = _run(source.model, given)
        worst = max(worst, _difference(theirs, mine, f"by {source.engine} and here", FILES))
    return worst


def referred(source: Source, shape: tuple[int, ...]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return an input and what a file makes of it. Raises `Untraceable` where it does not take it."""
    assert source.reference is not None
    given = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    try:
        return given, source.reference(given)
    except Exception as problem:  # whatever an engine says
        raise Untraceable(" ".join(f"{source.engine}: {problem}".split())[:300]) from None


def _keys(scope: Any, made: dict[str, Any], order: Sequence[Node], own: dict[str, Any]) -> dict[str, str]:
    """Return the names of weights here, by their names in the module: layers are compared one after the other."""
    layers = {name.rpartition(".")[0] for name in made}
    places = [(place, node.what) for place, node, _ in modules(scope) if isinstance(node.what, Op) and place in layers]
    if len(places) != len(order):
        raise Differs(f"{len(places)} layers with weights where the module has {len(order)}")
    keys: dict[str, str] = {}
    for (place, op), node in zip(places, order):
        if op.name != node.op:
            raise Differs(f"`{place}` is `{op.name}` where the module has `{node.op}`")
        keys |= {name: f"{place}.{part}" for part, name in node.weights.items()}
        counter = next(iter(node.weights.values())).rpartition(".")[0] + f".{COUNTER}"
        if node.op == "bn" and counter in own:
            keys[counter] = f"{place}.{COUNTER}"
    return keys


def _check_sizes(own: dict[str, Any], made: dict[str, Any], keys: dict[str, str]) -> None:
    for name, here in keys.items():
        if name not in own:
            raise Differs(f"`{name}` is a constant, and no part of the module's state")
        if here not in made:
            raise Differs(f"`{here}` is not there for `{name}`")
        if own[name].numel() != made[here].numel():
            raise Differs(f"`{name}` is {list(own[name].shape)}, and {list(made[here].shape)} here")


def _drawn(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights and statistics at random, of a size that keeps activations as large as they are."""
    source = torch.Generator().manual_seed(0)
    made = {}
    for name, value in state.items():
        if not value.is_floating_point():
            made[name] = value.clone()
        elif name.endswith("running_var") or (value.dim() < 2 and not name.endswith(("bias", "running_mean"))):
            made[name] = 0.5 + torch.rand(value.shape, generator=source)
        elif value.dim() < 2:
            made[name] = 0.1 * torch.randn(value.shape, generator=source)
        else:
            made[name] = torch.randn(value.shape, generator=source) * (2 / max(1, value[0].numel())) ** 0.5
    return made


@contextmanager
def _holding(model: nn.Module, state: dict[str, torch.Tensor]) -> Iterator[None]:
    """Let a module have other weights for a while."""
    own = model.state_dict()
    before = {name: value.clone() for name, value in own.items()}
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(before[name])


@contextmanager
def _in_double(*models: nn.Module) -> Iterator[None]:
    """Let modules, and tensors that are made meanwhile, be of double precision for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for model in models:
            model.double()
        yield
    finally:
        torch.set_default_dtype(before)
        for model in models:
            model.float()


class _Certain(TorchFunctionMode):  # type: ignore[misc]
    """Keeps whatever would be dropped at random; a softmax may be its logarithm, where all but one are 0."""

    def __init__(self, logs: bool = False) -> None:
        super().__init__()
        self.logs = logs

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in ("dropout", "dropout2d", "feature_dropout", "dropout_", "feature_dropout_"):
            return args[0]
        if name == "bernoulli_":
            return args[0].fill_(1.0)
        made = function(*args, **(kwargs or {}))
        return made.clamp(min=TINY).log() if self.logs and name == "softmax" else made


def _compared(
    subject: Source, made: nn.Module, keys: dict[str, str], shapes: Sequence[tuple[int, ...]]
) -> tuple[float, float | None, float]:
    """Return the largest differences in evaluation, in training (None where there is none) and of gradients."""
    model, trains = subject.model, subject.trains
    whole = bool(subject.free) and not subject.free[0]  # it takes batches of one size alone
    source = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=source) for shape in shapes]
    worst = 0.0
    for given in [one if whole else one[:1] for one in inputs]:
        with torch.no_grad(), in_mode(model, False):
            made.eval()
            worst = max(worst, _difference(_run(model, given), _run(made, given), "in evaluation"))
    given = min(inputs, key=lambda one: one.numel())
    with in_mode(model, trains):
        made.train(trains)
        mine, theirs = _run(model, given), _run(made, given)
        again = _difference(mine, theirs, "in training" if trains else "in evaluation")
        gradients, largest = _gradients(model, made, mine, theirs, keys)
        if largest < TINY:  # of a softmax at one of its ends, which hides much
            mine, theirs = _run(model, given, logs=True), _run(made, given, logs=True)
            again = max(again, _difference(mine, theirs, "as logarithms"))
            gradients, _ = _gradients(model, made, mine, theirs, keys)
    return worst, again if trains else None, gradients


def _run(model: nn.Module, given: torch.Tensor, logs: bool = False) -> list[torch.Tensor]:
    with _Certain(logs):
        return list(results(model(given.clone())).values())


def _difference(mine: list[torch.Tensor], theirs: list[torch.Tensor], where: str, most: float = OUTPUTS) -> float:
    if [one.shape for one in mine] != [one.shape for one in theirs]:
        shapes = " and ".join(str([list(one.shape) for one in each]) for each in (mine, theirs))
        raise Differs(f"results of other shapes {where}: {shapes}")
    worst = max((_relative(one, two) for one, two in zip(mine, theirs)), default=0.0)
    if not worst <= most:
        raise Differs(f"results differ by {worst:.1e} of the largest {where}")
    return worst


def _relative(one: torch.Tensor, two: torch.Tensor) -> float:
    """Return the largest difference, as a part of the largest number (or of 1e-6, where all are smaller)."""
    return float((one.detach() - two.detach()).abs().max() / one.detach().abs().max().clamp(min=1e-6))


def _gradients(
    model: nn.Module, made: nn.Module, mine: list[torch.Tensor], theirs: list[torch.Tensor], keys: dict[str, str]
) -> tuple[float, float]:
    """Return the largest difference of gradients, as a part of the largest gradient, and that."""
    source = torch.Generator().manual_seed(2)
    weights = [torch.randn(one.shape, generator=source) for one in mine]
    own, here = dict(model.named_parameters()), dict(made.named_parameters())
    names = [name for name in own if name in keys and own[name].requires_grad]
    if not names:
        return 0.0, 1.0
    found = [
        torch.autograd.grad(sum((w * one).sum() for w, one in zip(weights, each)), parameters, allow_unused=True)
        for each, parameters in ((mine, [own[n] for n in names]), (theirs, [here[keys[n]] for n in names]))
    ]
    for name, a, b in zip(names, *found):
        if (a is None) != (b is None):
            raise Differs(f"`{name}` has a gradient in one of the two alone")
    pairs = [(a, b.reshape(a.shape)) for a, b in zip(*found) if a is not None]
    largest = max((float(a.abs().max()) for a, _ in pairs), default=1.0)
    worst = max((float((a - b).abs().max()) / max(largest, TINY) for a, b in pairs), default=0.0)
    if not worst <= GRADIENTS:
        raise Differs(f"gradients differ by {worst:.1e} of the largest")
    return worst, largest
