"""Whether generated code is the checked network: it is run on stand-ins for PyTorch, and what it does is compared.

    class Stem(nn.Sequential): ...     →  modules by their paths: `stem.0` is nn.Conv2d(3, 8, 3, padding=1)
    F.relu(self.bn1(x), inplace=True)  →  what is computed of what: ("F.relu", (("bn1", x),))

The checked network gives the same two things from the rules of its operators. Every module, argument, function call,
result and initializer is compared, in evaluation and in training, so a name that is not bound, an argument of another
instance or an overwritten value never reaches a user. No tensor is made and no torch imported. It takes about
as long as writing the code: 3 ms for AlexNet, 22 ms for ResNet-50, 94 ms for DenseNet-121.
"""

from __future__ import annotations

import builtins
import re
from collections import OrderedDict

from archdsl.codegen.kernels import BASES, LOWERINGS
from archdsl.codegen.lower import lower
from archdsl.codegen.module import emit, layers
from archdsl.codegen.plans import RESERVED, SUPPORT, brought
from archdsl.codegen.terms import collapsed, python
from archdsl.ir.liveness import is_module, is_sequence, needed
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct, modules, once
from archdsl.ops.axes import in_code
from archdsl.ops.base import REQUIRED, Leaf, Op, Sized, numbered
from archdsl.ops.pool import Pool
from archdsl.ops.reshape import Slice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import Any

    from archdsl.codegen.module import Emitted
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node
    from archdsl.ops.base import Call

NAMES = """abs enumerate getattr isinstance len max min range reversed round sum super zip dict list tuple int float
    bool str object __build_class__ NotImplementedError""".split()
# Methods that return the memory of their tensor.
VIEWS = ("chunk", "narrow", "split", "flatten", "unflatten", "transpose")
REDUCTIONS = ("amax", "amin", "mean", "sum", "var")  # methods that return a new tensor
FUNCTIONS = ("abs", "cat", "exp", "log", "maximum", "minimum", "sigmoid", "sqrt", "tanh")  # of torch itself
BROUGHT = (  # functions that operators and kernels bring along
    *re.findall(r"^def (\w+)", SUPPORT, re.MULTILINE),
    *(one.code for one in LOWERINGS if not one.base),
)
MOST = 5  # differences that are told
MAX_LAYERS = 20_000  # 3 s; a larger network is written without: those published have under 1,300


class Unfaithful(Exception):
    """Generated code that does not do what the checked network says: a mistake of archdsl, never of a text."""


def faithful(network: Network, *, kernels: str = "none", inference: bool = False) -> Emitted:
    """Return a network as Python, as `emit` does, or raise `Unfaithful` where that is another network.

    One of more layers than `MAX_LAYERS` is not replayed.
    """
    emitted = emit(network, kernels=kernels, inference=inference)
    if layers(network.scope) > MAX_LAYERS:
        return emitted
    found = differences(lower(network, kernels), emitted)
    if found:
        first = f"the code of `{network.name}` is not the network that was checked:"
        raise Unfaithful("\n".join([first, *found[:MOST]]))
    return emitted


def differences(network: Network, emitted: Emitted) -> list[str]:
    """Return what generated code does otherwise than the network that it was generated from."""
    stage = Stage(brought(network.scope).values())
    try:
        root = stage.build(emitted)
        wanted = Wanted(network, stage)
        found = [*_modules(root, wanted)]
        for training in (False, True):
            found += _flow(root, wanted, stage, training)
    except Exception as mistake:  # whatever such code may do wrong
        return [f"{type(mistake).__name__}: {mistake}"]
    return found


# -------------------------------------------------------------------------------------------------- stand-ins
class Value:
    """A tensor of a run: the number of what it is computed from. Views share their memory, which may be overwritten."""

    __slots__ = ("memory", "number", "stage")

    def __init__(self, stage: Stage, key: object, memory: list[bool] | None = None) -> None:
        self.stage, self.memory = stage, [] if memory is None else memory
        self.number = stage.numbers.setdefault(key, len(stage.numbers))

    def read(self) -> int:
        if self.memory:
            raise Unfaithful("a value is read that was overwritten")
        return self.number

    def derived(self, *key: object, view: bool = False) -> Value:
        return Value(self.stage, (self.read(), *key), self.memory if view else None)

    def __add__(self, other: object) -> Value:
        return self.derived("+", self.stage.plain(other))

    def __sub__(self, other: object) -> Value:
        return self.derived("-", self.stage.plain(other))

    def __rsub__(self, other: object) -> Value:
        return self.derived("from", self.stage.plain(other))

    def __mul__(self, other: object) -> Value:
        return self.derived("*", self.stage.plain(other))

    def __matmul__(self, other: object) -> Value:
        return self.derived("@", self.stage.plain(other))

    def __truediv__(self, other: object) -> Value:
        return self.derived("/", self.stage.plain(other))

    def __floordiv__(self, other: object) -> Value:
        return self.derived("//", self.stage.plain(other))

    def __mod__(self, other: object) -> Value:
        return self.derived("%", self.stage.plain(other))

    def __radd__(self, other: object) -> Value:
        return self.derived("added to", self.stage.plain(other))

    def __rmul__(self, other: object) -> Value:
        return self.derived("times", self.stage.plain(other))

    def __rtruediv__(self, other: object) -> Value:
        return self.derived("divides", self.stage.plain(other))

    def __pow__(self, other: object) -> Value:
        return self.derived("**", self.stage.plain(other))

    def __neg__(self) -> Value:
        return self.derived("negative")

    def __getitem__(self, key: object) -> Value:
        return self.derived("[]", self.stage.plain(key), view=True)

    @property
    def shape(self) -> Value:
        return self.derived("shape")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in REDUCTIONS:
            return lambda *args, **given: self.derived(name, self.stage.plain(args), self.stage.plain(given))
        if name not in VIEWS:
            raise AttributeError(f"a tensor has no `{name}` here")
        return lambda *args, **given: self._called(name, (*args, *given.values()))

    def _called(self, name: str, args: tuple[object, ...]) -> Any:
        made = self.derived(name, self.stage.plain(args), view=True)
        if name not in ("chunk", "split"):
            return made
        count: Any = args[0]
        if name == "split":  # a pair of equal sizes is written as one
            count = 2 if isinstance(count, int) else len(count)
        return [made.derived(part, view=True) for part in range(count)]


class Parameter:
    """A weight of a stand-in module; initializers leave a note."""

    def __init__(self, module: Module, name: str) -> None:
        self.module, self.name = module, name


class Notes:
    """What is known of a stand-in module, apart from its attributes: these are called as the text likes."""

    __slots__ = ("args", "inits", "kwargs", "path", "stage", "target")

    def __init__(self, kind: type, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.args, self.kwargs, self.path = args, kwargs, ""
        self.inits: dict[str, object] = {}
        self.stage: Stage = getattr(kind, STAGE)
        self.target: str = getattr(kind, TARGET, "")


NOTES, STAGE, TARGET = "its notes", "its stage", "its target"  # attributes that no label is called


def notes(module: Module) -> Notes:
    """Return what is known of a stand-in module."""
    return module.__dict__[NOTES]  # type: ignore[no-any-return]


class Module:
    """A stand-in for `nn.Module`, and for what is built with arguments."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.__dict__[NOTES] = Notes(type(self), args, kwargs)

    @property
    def training(self) -> bool:
        return notes(self).stage.training

    def children(self) -> list[tuple[str, Module]]:
        return [(name, value) for name, value in self.__dict__.items() if isinstance(value, Module)]

    def modules(self) -> Iterator[Module]:
        yield self
        for _, child in self.children():
            yield from child.modules()

    def add_module(self, name: str, module: Module) -> None:
        if name in self.__dict__:
            raise Unfaithful(f"two modules are called `{name}`")
        self.__dict__[name] = module

    def get_submodule(self, name: str) -> Module:
        found = self.__dict__[name]
        assert isinstance(found, Module), "only modules are asked for"
        return found

    def get_parameter(self, path: str) -> Parameter | None:
        *names, last = path.split(".")
        found = self
        for name in names:
            found = found.get_submodule(name)
        return getattr(found, last)  # type: ignore[no-any-return]

    def __getitem__(self, name: int | str) -> Module:
        return self.get_submodule(str(name))

    def __getattr__(self, name: str) -> Parameter | None:
        if name not in ("weight", "bias"):
            raise AttributeError(f"{type(self).__name__} has no `{name}`")
        switches = ("affine", "elementwise_affine", *(["bias"] if name == "bias" else []))
        return None if any(notes(self).kwargs.get(switch) is False for switch in switches) else Parameter(self, name)

    def __call__(self, *inputs: Value) -> Any:
        forward = getattr(type(self), "forward", None)
        return forward(self, *inputs) if forward is not None else notes(self).stage.module(self, inputs)


class Sequential(Module):
    """A stand-in for `nn.Sequential`."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0].items() if modules and isinstance(modules[0], OrderedDict) else enumerate(modules)
        for name, module in named:
            self.add_module(str(name), module)

    def append(self, module: Module) -> None:
        self.add_module(str(len(self)), module)

    def __len__(self) -> int:
        return len(self.children())

    def forward(self, x: Any) -> Any:
        for _, module in self.children():
            x = module(x)
        return x


class ModuleDict(Module):
    """A stand-in for `nn.ModuleDict`."""

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)


class Ode(Module):
    """A stand-in for the solver: what it does is its settings, and its function applied to inputs of its own."""

    def __init__(self, f: Module, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.f = f

    def forward(self, x: Value) -> Value:
        stage, kwargs = notes(self).stage, notes(self).kwargs
        inputs = [Value(stage, ("of the solver", i)) for i in range(2 if kwargs.get("timed") else 1)]
        return x.derived("ode", stage.plain(kwargs), self.f(*inputs).read())


class Space:
    """A stand-in for a module of Python: `nn` and `torch.nn.init` give what a name says."""

    def __init__(self, get: Callable[[str], Any]) -> None:
        self.get = get

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


class Stage:
    """Everything of one comparison: numbers of what is computed, stand-ins, and PyTorch's own defaults."""

    def __init__(self, homes: Collection[str] = ()) -> None:
        self.homes = homes  # modules that classes of a caller's are imported from
        self.numbers: dict[object, int] = {}
        self.training = False
        self.calls: set[int] = set()  # modules and functions that ran
        self.omits: dict[tuple[str, str], object] = {}  # by target and keyword
        self.sizes: dict[tuple[str, int | str], bool] = {}  # arguments: whether PyTorch may take two numbers for one
        self.steps: dict[str, int] = {}  # of pools: the argument that the stride is, where it is left out
        self.base: Any = type("Module", (Module,), {STAGE: self})
        self.classes: dict[str, type[Module]] = {"Module": self.base}
        self.classes["ModuleDict"] = type("ModuleDict", (ModuleDict, self.base), {})
        self.classes["Sequential"] = type("Sequential", (Sequential, self.base), {})
        self.classes["Parameter"] = Parameter  # type: ignore[assignment]
        self.init = Space(lambda name: lambda parameter, **given: self.started(name, parameter, given))
        self.functions = Space(lambda name: self.function(f"F.{name}"))
        spaces: dict[str, Any] = {"init": self.init, "functional": self.functions}
        self.nn = Space(lambda name: spaces.get(name) or self.leaf(f"nn.{name}"))
        torch: dict[str, Any] = {name: self.function(f"torch.{name}") for name in FUNCTIONS}
        torch |= {"nn": self.nn, "Tensor": Value}
        self.torch = Space(torch.__getitem__)

    # ------------------------------------------------------------ code
    def build(self, emitted: Emitted) -> Module:
        """Run generated code on the stand-ins, and return the net."""
        space = self.run(emitted.text)
        root = space[emitted.class_name]()
        assert isinstance(root, Module), "a net is a module"
        return root

    def run(self, text: str) -> dict[str, Any]:
        """Run a text of ours that sees the stand-ins, and of Python's own names a few."""
        known = {name: getattr(builtins, name) for name in NAMES} | {"__import__": self._import}
        space: dict[str, Any] = {"__builtins__": known, "__name__": "replayed"}
        exec(compile(text, "<replayed>", "exec", dont_inherit=True), space)
        for name in RESERVED & space.keys():
            if name not in ("Callable", "F", "OrderedDict", "NamedTuple", "partial"):
                space[name] = self.named(name)
        return space

    def _import(self, name: str, *rest: Any) -> Any:
        if name in ("__future__", "collections", "collections.abc", "functools", "math", "typing"):
            return builtins.__import__(name, *rest)
        if name in ("archdsl", "archdsl.kernels", "torchdiffeq", *self.homes):
            return Space(self.named)
        if name.split(".")[0] != "torch":
            raise ImportError(f"generated code does not import `{name}`")
        return self.torch

    def named(self, name: str) -> Any:
        """Return the stand-in of a class or function that operators bring along."""
        return self.function(name) if name in BROUGHT else self.leaf(name)

    def leaf(self, target: str) -> type[Module]:
        name = target.removeprefix("nn.")
        if name not in self.classes:
            base = self.leaf(BASES[target]) if target in BASES else self.base
            bases = (Ode, base) if target == "Ode" else (base,)
            self.classes[name] = type(name, bases, {TARGET: target})
        return self.classes[name]

    # ------------------------------------------------------------ what runs
    def plain(self, value: Any) -> Any:
        """Return an argument as what two ways to write it have in common, with numbers for tensors."""
        if isinstance(value, Value):
            return ("value", value.read())
        if isinstance(value, dict):
            return tuple(sorted((name, self.plain(one)) for name, one in value.items()))
        if isinstance(value, slice):
            return ("slice", value.start or 0, self.plain(value.stop), value.step or 1)
        if isinstance(value, (tuple, list)):
            parts = tuple([self.plain(one) for one in value])
            return collapsed(parts) if all(type(part) is int for part in parts) else parts
        return ("truth", value) if isinstance(value, bool) else value

    def known(self, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return the arguments of a call, those left out that are PyTorch's own."""
        left = {}
        args = tuple([self.argument(target, place, value) for place, value in enumerate(args)])
        for name, value in kwargs.items():
            default = self.omits.get((target, name), REQUIRED)
            if name == "stride" and target in self.steps:
                default = self.plain(args[self.steps[target]])
            if name != "inplace" and self.plain(value) != default:
                left[name] = self.argument(target, name, value)
        return args, tuple(sorted(left.items()))

    def argument(self, target: str, place: int | str, value: Any) -> Any:
        """Return an argument as `plain` does: two equal numbers are one only where PyTorch takes two."""
        pair = type(value) is tuple and len(value) == 2 and all(type(part) is int for part in value)
        return ("pair", value) if pair and not self.sizes.get((target, place), True) else self.plain(value)

    def function(self, target: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            first = args[0] if isinstance(args[0], Value) else args[0][0]
            made = Value(self, (target, *self.known(target, args, kwargs)))
            self.calls.add(made.number)
            if kwargs.get("inplace"):
                first.memory.append(True)
            if kwargs.get("return_indices"):
                return made.derived(0), made.derived(1)
            return made

        return run

    def module(self, module: Module, inputs: tuple[Value, ...]) -> Any:
        """Run a module of PyTorch's own: what it is follows from its path."""
        own = notes(module)
        if own.target == "nn.Identity":
            return inputs[0]
        made = Value(self, ("module", own.path, *[x.read() for x in inputs]))
        self.calls.add(made.number)
        if own.kwargs.get("inplace"):
            inputs[0].memory.append(True)
        return (made.derived(0), made.derived(1)) if own.kwargs.get("return_indices") else made

    def started(self, name: str, parameter: Parameter, given: dict[str, Any]) -> None:
        notes(parameter.module).inits[parameter.name] = (name, self.plain(given))


# -------------------------------------------------------------------------------------------------- the network
class Wanted:
    """What the checked network says of its modules and its data flow."""

    def __init__(self, network: Network, stage: Stage) -> None:
        self.network, self.stage = network, stage
        self.modules: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self.inits: dict[tuple[str, str], Any] = {}
        self.texts: dict[str, str] = {}  # calls of functions: the text, and its name
        for scope in distinct(network.scope):
            for node in scope.nodes:
                if isinstance(node.what, Op):
                    self._learn(node, scope)
        for path, node, scope in modules(network.scope):
            self._enter(path, node, scope)
        lines = [f"def {name}(self, *xs):\n    return {text}" for text, name in self.texts.items()]
        self.functions = stage.run("import torch\nimport torch.nn.functional as F\n" + "\n".join(_imported(lines)))

    def _learn(self, node: Node, scope: Scope) -> None:
        """Note what PyTorch takes for arguments that are left out, and the text of a function."""
        assert isinstance(node.what, Op), "scopes have no call"
        shapes = [scope.shapes[i] for i in node.inputs]
        calls = [call for call in (node.what.module(shapes[0]), node.what.function(*shapes)) if call is not None]
        for call in calls:
            given: list[tuple[int | str, object]] = [*enumerate(call.args), *call.kwargs]
            for place, part in given:
                if isinstance(part, Leaf) and type(part.value) in (int, tuple):
                    two = type(part.value) is tuple or self.stage.sizes.get((call.target, place), False)
                    self.stage.sizes[call.target, place] = two
            for name, part in call.kwargs:
                if isinstance(part, Leaf) and part.omit is not REQUIRED:
                    self.stage.omits[call.target, name] = self.stage.plain(part.omit)
            if isinstance(node.what, Pool):
                places = [i for i, p in enumerate(call.args) if isinstance(p, Leaf) and p.formula == "{kernel}"]
                self.stage.steps[call.target] = places[0]
        if self.is_module(node, scope):
            return
        text = _text(calls[-1], len(node.inputs))
        self.texts.setdefault(text, f"call{len(self.texts)}")

    @once
    def is_sequence(self, scope: Scope) -> bool:
        """Say whether a scope runs every step as a module."""
        return is_sequence(scope)

    def is_module(self, node: Node, scope: Scope) -> bool:
        """Say whether a step is a module, in a scope that may be a sequence."""
        return self.is_sequence(scope) or is_module(node, scope)

    def _enter(self, path: str, node: Node, scope: Scope) -> None:
        """Note the module of a step by its path."""
        if isinstance(node.what, Scope):
            if node.what.wrapper is not None:
                self.modules[path] = "Ode", ((), self.settings(node.what))
            return
        if not self.is_module(node, scope):
            return
        call = node.what.module(scope.shapes[node.inputs[0]])
        assert call is not None, "a module has a constructor"
        args = tuple([part.value for part in call.args if isinstance(part, Leaf)])
        kwargs = {name: part.value for name, part in call.kwargs if isinstance(part, Leaf)}
        self.modules[path] = call.target, self.stage.known(call.target, args, kwargs)
        for parameter in node.what.weights(scope.shapes[node.inputs[0]]):
            if parameter in dict(node.init):
                self.inits[path, parameter] = dict(node.init)[parameter]

    def settings(self, scope: Scope) -> Any:
        """Return the arguments of a solver."""
        op: Any = scope.wrapper
        own = {
            name: getattr(op, name)
            for name, spec in op.args.items()
            if name != "f" and getattr(op, name) != spec.default
        }
        return self.stage.plain(own | ({"timed": True} if len(scope.inputs) > 1 else {}))

    # ------------------------------------------------------------ data flow
    def flow(self, scope: Scope, path: str, inputs: list[Value], training: bool) -> list[Any]:
        """Return what a scope computes; None for a result of training outside of it."""
        values = dict(zip(scope.inputs, inputs))
        wanted = needed(scope, training)
        for node in scope.nodes:
            if not training and wanted.isdisjoint(node.outputs):
                continue
            made = self._step(node, scope, path, [values[i] for i in node.inputs], training)
            values.update(zip(node.outputs, made))
        return [values.get(o.value) if training or not o.training else None for o in scope.outputs]

    def _step(self, node: Node, scope: Scope, path: str, xs: list[Value], training: bool) -> list[Any]:
        place = f"{path}{node.name}"
        if isinstance(node.what, Scope):
            if node.what.wrapper is None:
                return self.flow(node.what, f"{place}.", xs, training)
            inner = [Value(self.stage, ("of the solver", i)) for i in range(len(node.what.inputs))]
            result = self.flow(node.what, f"{place}.", inner, training)[0].read()
            return [xs[0].derived("ode", self.settings(node.what), result)]
        if "identity" in node.what.traits:
            return xs
        if self.is_module(node, scope):
            made: Any = Value(self.stage, ("module", place, *[x.read() for x in xs]))
            self.stage.calls.add(made.number)
            return [made] if len(node.outputs) == 1 else [made.derived(i) for i in range(len(node.outputs))]
        call = node.what.function(*[scope.shapes[i] for i in node.inputs])
        assert call is not None, "what is no module is a function"
        made = self.functions[self.texts[_text(call, len(xs))]](self.stage.base(), *xs)
        if isinstance(node.what, Slice) and call.holes is not None and not node.what.measures:
            self._sliced(node.what, scope.shapes[node.inputs[0]], xs[0], made)
        return list(made) if isinstance(made, (list, tuple)) else [made]

    def _sliced(self, op: Slice, shape: Shape, x: Value, made: Value) -> None:
        """Note that a range up to the last one is also what it is without this end."""
        number = numbered(op.axis, shape)
        if op.stop == shape[number]:
            before = (...,) if in_code(number, shape) < 0 else (slice(None),) * number
            self.stage.numbers[x.read(), "[]", self.stage.plain((*before, slice(op.start, None)))] = made.number


def _text(call: Call, count: int) -> str:
    """Return the call of a function over `xs`, its arguments as they are."""
    operands = [f"xs[{i}]" for i in range(count)]
    if call.infix:
        return call.infix.join(operands)
    holes = {name: python(leaf.value) for name, leaf in call.holes or ()}
    target = re.sub(r"\{(\w+)\}", lambda m: operands[int(m[1])] if m[1].isdigit() else holes[m[1]], call.target)
    if call.holes is not None:
        return target

    def shown(part: Any) -> str:
        if isinstance(part, Leaf):
            return python(part.value)
        if isinstance(part, Sized):
            return re.sub(r"\{(\d+)\}", lambda m: operands[int(m[1])], part.text)
        return "[*xs]" if part.index is None else operands[part.index] + part.suffix

    arguments = [shown(part) for part in call.args]
    arguments += [f"{n}={shown(p)}" for n, p in call.kwargs if not isinstance(p, Leaf) or p.value != p.omit]
    return f"{target}({', '.join(arguments)})"


def _imported(lines: list[str]) -> list[str]:
    """Return functions with the import of those that archdsl brings along."""
    names = [name for name in BROUGHT if any(f"{name}(" in line for line in lines)]
    return [*[f"from archdsl.kernels import {name}" for name in names], *lines]


# -------------------------------------------------------------------------------------------------- comparing
def _modules(root: Module, wanted: Wanted) -> Iterator[str]:
    """Yield differences between modules, their arguments and how their weights start."""
    found: dict[str, Module] = {}
    _named(root, "", found)
    stage = wanted.stage
    for path, module in found.items():
        own = notes(module)
        if own.target == "nn.Identity" and path not in wanted.modules:
            continue  # a block that does nothing here
        have = own.target, stage.known(own.target, own.args, own.kwargs)
        if path not in wanted.modules:
            yield f"`{path}` is a module that is not in the network"
        elif have != wanted.modules[path]:
            yield f"`{path}` is {have}, and should be {wanted.modules[path]}"
    for path in wanted.modules.keys() - found.keys():
        if wanted.modules[path][0] != "nn.Identity":  # one that stands for a block of several tensors is None
            yield f"`{path}` is not there"
    inits = {(path, name): init for path, module in found.items() for name, init in notes(module).inits.items()}
    for place in inits.keys() | wanted.inits.keys():
        init = wanted.inits.get(place)
        if inits.get(place) != (_started(init, stage) if init is not None else None):
            yield f"`{'.'.join(place)}` starts as {inits.get(place)}, and should start as {init}"


def _named(module: Module, path: str, found: dict[str, Module]) -> None:
    """Give modules their paths, and collect those of PyTorch's own."""
    own = notes(module)
    own.path = path.removesuffix(".")
    if own.target:
        found[own.path] = module
    for name, child in module.children():
        _named(child, f"{path}{name}.", found)


def _started(init: Any, stage: Stage) -> Any:
    """Return what an initializer of the text notes on a parameter."""
    module = stage.base()
    space = stage.run(f"from torch import nn\ndef start(m):\n    {init.torch('m.weight')}")
    space["start"](module)
    return notes(module).inits["weight"]


def _flow(root: Module, wanted: Wanted, stage: Stage, training: bool) -> Iterator[str]:
    """Yield differences between what is computed."""
    mode = "training" if training else "evaluation"
    stage.training = training
    scope = wanted.network.scope
    inputs = [Value(stage, ("input", number)) for number in range(len(scope.inputs))]
    stage.calls = set()
    results = [value and value.read() for value in wanted.flow(scope, "", inputs, training)]
    asked, stage.calls = stage.calls, set()
    inputs = [Value(stage, ("input", number)) for number in range(len(scope.inputs))]
    made = root(*inputs)
    values = list(made) if isinstance(made, tuple) else [made]
    if isinstance(made, Value):
        results = [number for number in results if number is not None]
    if [value and value.read() for value in values] != results:
        yield f"in {mode} the results are computed otherwise"
    elif training and stage.calls != asked:
        yield "in training other steps run"
