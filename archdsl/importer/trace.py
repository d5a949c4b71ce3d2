"""A module run once: every call of PyTorch in the order it is made, what it reads and makes, and within which module.

A class says what a module is for, and only running it says what it computes: a subclass may do more, a hook may change
a result, a condition may leave half of it out. So nothing is read from classes here. `torch.overrides` hands over each
call; tensors are on the `meta` device, which has shapes and no numbers, wherever a module lets itself be run there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from archdsl.importer.graph import Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor at one moment: what changes it in place makes another value of it."""

    shape: tuple[int, ...]

    def __repr__(self) -> str:
        return f"<{'x'.join(map(str, self.shape))}>"


@dataclass(frozen=True)
class Weight:
    """A parameter or a buffer, by its name in the state dict."""

    name: str
    shape: tuple[int, ...]
    learned: bool = True
    kept: bool = True  # whether the state dict has it
    dtype: torch.dtype = torch.float32
    numbers: torch.Tensor | None = field(default=None, compare=False, repr=False)  # of what is in no state dict


@dataclass(frozen=True, eq=False)
class Call:
    """One call: tensors among its arguments are values and weights, what it returned are values (or none)."""

    function: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    results: tuple[Value, ...]
    target: Any = None  # the function itself


@dataclass(eq=False)
class Frame:
    """A module while it runs: its name from the root, its class, and what happens in it, in order."""

    path: str
    kind: type[nn.Module]
    given: tuple[Value, ...] = ()  # the tensors that it is called with
    items: list[Call | Frame] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """A whole run: what went in, what happened, and what came out, by name ("" where it is the only result)."""

    inputs: tuple[Value, ...]
    root: Frame
    outputs: dict[str, Value]


class Untraceable(Exception):
    """A module that does not run on what it is given: the reason, in the words of who raised it."""


def trace(model: nn.Module, shapes: tuple[tuple[int, ...], ...], *, training: bool) -> Trace:
    """Run a module on inputs of some shapes, [N, C, H, W] each; nothing of the module is changed.

    Raises `Untraceable`, or what a module of a file says of a step (`Unsaid`).
    """
    try:
        return _run(model, shapes, "meta", training)
    except Unsaid:
        raise
    except Exception:  # some modules compute with numbers on their way, which `meta` does not have
        try:
            return _run(model, shapes, "cpu", training)
        except Exception as problem:
            raise Untraceable(" ".join(f"{type(problem).__name__}: {problem}".split())[:300]) from None


def _run(model: nn.Module, shapes: tuple[tuple[int, ...], ...], device: str, training: bool) -> Trace:
    state = {
        name: tensor.detach().to(device) if device == "meta" else tensor.detach().clone()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    inputs = [torch.zeros(shape, device=device) for shape in shapes]
    recorder = _Recorder(model, state, inputs)
    given = tuple(recorder.value(tensor) for tensor in inputs)  # before any of them is changed in place
    with in_mode(model, training), torch.no_grad(), recorder.listening():
        made = torch.func.functional_call(model, state, tuple(inputs), tie_weights=True)
    outputs = {name: recorder.value(tensor) for name, tensor in results(made).items()}
    return Trace(given, recorder.root, outputs)


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Put a module in training or in evaluation mode, and back each part of it in that which it was in."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was


def results(made: Any, kind: type = torch.Tensor) -> dict[str, Any]:
    """Return the tensors of a result by name: those of a mapping or a named tuple by its own, of a list by place."""
    if isinstance(made, kind):
        return {"": made}
    if isinstance(made, Mapping):
        pairs = [(str(name), value) for name, value in made.items()]
    elif hasattr(made, "_fields"):
        pairs = [(name, getattr(made, name)) for name in made._fields]
    elif isinstance(made, (list, tuple)):
        pairs = [(f"out{place}", value) for place, value in enumerate(made)]
    else:
        raise TypeError(f"the result is {type(made).__name__}, and no tensor")
    found = {}
    for name, value in pairs:
        for inner, tensor in results(value, kind).items() if value is not None else ():
            found[name + inner] = tensor
    return found


class _Recorder(TorchFunctionMode):  # type: ignore[misc]
    """Writes calls down. A tensor is known by the object that it is; all are kept, so none takes another's place."""

    def __init__(self, model: nn.Module, state: dict[str, torch.Tensor], inputs: list[torch.Tensor]) -> None:
        super().__init__()
        self._paths: dict[int, str] = {}
        for path, module in model.named_modules():
            self._paths.setdefault(id(module), path)
        self._kept: list[torch.Tensor] = [*state.values(), *inputs]
        kept = model.state_dict().keys() | dict(model.named_parameters()).keys()
        learned = {name for name, _ in model.named_parameters()}
        fixed = {name: tensor.detach() for name, tensor in model.named_buffers() if name not in kept}
        self._known: dict[int, Value | Weight] = {
            id(tensor): Weight(name, tuple(tensor.shape), name in learned, name in kept, tensor.dtype, fixed.get(name))
            for name, tensor in state.items()
        }
        self._known |= {id(tensor): Value(tuple(tensor.shape)) for tensor in inputs}
        self.root = Frame("", _class(model))
        self._open: list[Frame] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to calls and to modules that begin and end."""
        with ExitStack() as stack:
            for hook, register in (
                (self._begin, register_module_forward_pre_hook),
                (self._end, register_module_forward_hook),
            ):
                handle = register(hook)
                stack.callback(handle.remove)
            stack.enter_context(self)
            yield

    def _begin(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        if not self._open:
            frame = self.root
        else:
            frame = Frame(self._paths.get(id(module), "?"), _class(module))
            self._open[-1].items.append(frame)
        frame.given = tuple(found for found in map(self._seen, _flat(given)) if isinstance(found, Value))
        self._open.append(frame)

    def _end(self, module: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        self._open.pop()

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        before = (self._replaced(args), {name: self._replaced(value) for name, value in keywords.items()})
        name = getattr(function, "__name__", str(function))
        if name == "__get__":
            name = getattr(getattr(function, "__self__", None), "__name__", name)  # of the property, as `mT`
        if name == "batch_norm" and args[0].is_meta:
            made = torch.empty_like(args[0])  # as a composite of many calls it takes half of all the time
        else:
            made = function(*args, **keywords)
        tensors = [found for found in _flat(made) if isinstance(found, torch.Tensor)]
        if name == "__setitem__":
            tensors = [args[0]]
        if not tensors or not self._open:
            return made  # a size, a device; or the making of what goes in
        call = Call(name, before[0], before[1], tuple(self._made(tensor) for tensor in tensors), function)
        self._open[-1].items.append(call)
        return made

    def _replaced(self, given: Any) -> Any:
        """Put values and weights in the place of tensors."""
        if isinstance(given, torch.Tensor):
            return self.value(given)
        if isinstance(given, (list, tuple)):
            return tuple(map(self._replaced, given))
        return given

    def value(self, tensor: torch.Tensor) -> Any:
        """Return what a tensor is now; one that nobody has made is a constant of the module's code."""
        found = self._seen(tensor)
        return self._made(tensor) if found is None else found

    def _seen(self, given: Any) -> Value | Weight | None:
        return self._known.get(id(given)) if isinstance(given, torch.Tensor) else None

    def _made(self, tensor: torch.Tensor) -> Value:
        """Give a tensor a new value: it was made just now, or changed in place."""
        self._kept.append(tensor)
        value = self._known[id(tensor)] = Value(tuple(tensor.shape))
        return value


def _class(module: nn.Module) -> type:
    """Return the class of a module, or that of a file for which it stands."""
    return getattr(module, "stands_for", None) or type(module)


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _flat(item)
    elif isinstance(given, Mapping):
        yield from _flat(list(given.values()))
    else:
        yield given
