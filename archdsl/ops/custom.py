"""Operators that a caller brings along: what a class of PyTorch is to the rest of the compiler.

The rules are functions of the caller, who knows nothing of `Op`: they take a shape and the arguments by name. A size in
it is a `Side`, which can be reckoned with and not asked, since a rule has to hold for every input.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.core.sizes import Area, Size, SizeFault
from archdsl.core.windows import Reach
from archdsl.ops.base import (
    MAX_INT,
    Kind,
    Leaf,
    Op,
    ShapeFault,
    call,
    channel_count,
    channels,
    everything,
    extent,
    integer,
    show,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, ClassVar, TypeVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call

    T = TypeVar("T")
    Weights = dict[str, tuple[int, ...]]

UNDECIDED = "a size changes with the input, so a rule cannot ask for it: demand it in the text, with `require`"


class Side:
    """A size in a rule of a caller: +, -, *, // and % give another one; it has no truth, and compares with nothing."""

    __slots__ = ("dim",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, dim: Dim) -> None:
        self.dim = dim

    def __add__(self, other: Any) -> int | Side:
        return shown(self.dim + dim_of(other))

    def __sub__(self, other: Any) -> int | Side:
        return shown(self.dim - dim_of(other))

    def __rsub__(self, other: Any) -> int | Side:
        return shown(dim_of(other) - self.dim)

    def __mul__(self, other: Any) -> int | Side:
        return shown(self.dim * dim_of(other))

    def __floordiv__(self, other: int) -> int | Side:
        return shown(self.dim // other)

    def __mod__(self, other: int) -> int | Side:
        return shown(self.dim % other)

    def __neg__(self) -> int | Side:
        return shown(-self.dim)

    def _undecided(self, *_: object) -> Any:
        raise TypeError(UNDECIDED)

    __radd__, __rmul__ = __add__, __mul__
    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __int__ = __index__ = __float__ = _undecided

    def __repr__(self) -> str:
        return str(self.dim)


def shown(dim: Dim) -> int | Side:
    """Return a dim as a rule sees it."""
    return dim if isinstance(dim, int) else Side(dim)


def dim_of(value: Any) -> Any:
    """Return what a rule has made as a dim, or whatever else it is."""
    return value.dim if isinstance(value, Side) else value


class Rules(Record):
    """A class, and what a caller says of it: see `archdsl.operator`, which makes them."""

    cls: type
    channels: str | None
    required: tuple[str, ...]  # parameters of the class without a default, in order, the channels among them
    tensors: tuple[str, ...]  # further operands
    shape: Callable[..., Any] | None
    macs: Callable[..., Any] | int
    window: Callable[..., tuple[int, ...]] | None
    weights: Callable[[Custom, int], Weights]


class Custom(Op):
    """Base of the operators that callers bring along; each is a class whose fields are arguments of a constructor."""

    rules: ClassVar[Rules]
    stateful = True
    traits = frozenset({"custom"})

    @property
    def home(self) -> tuple[str, str]:
        """The name of the class, and the module that has it."""
        return self.rules.cls.__name__, self.rules.cls.__module__

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of the constructor by name."""
        return {name: getattr(self, name) for name in self.args if name not in self.rules.tensors}

    def layer(self, count: int) -> Any:
        """Return the layer, for an input of so many channels."""
        own = {} if self.rules.channels is None else {self.rules.channels: count}
        return self.rules.cls(**own, **self.given)

    def further(self, given: Sequence[T]) -> dict[str, T]:
        """Return what stands for the further operands, by their names: those that are left out are the last ones."""
        return dict(zip(self.rules.tensors, given))

    def operands(self, xs: tuple[Shape, ...]) -> dict[str, Any]:
        """Return the further operands as rules see them, None for those that are left out."""
        shapes = self.further([tuple(map(shown, shape)) for shape in xs[1:]])
        return {name: shapes.get(name) for name in self.rules.tensors}

    def asked(self, what: str, rule: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Return what a rule of the caller says; raises `ShapeFault` for whatever it raises."""
        try:
            return rule(*args, **more, **self.given)
        except SizeFault:
            raise
        except ValueError as reason:
            raise ShapeFault(str(reason) or f"`{self.name}` refuses its input", at=0) from None
        except Exception as mistake:  # somebody's code
            label = f"{type(mistake).__name__}: {mistake}"
            raise ShapeFault(f"the rule of the {what} of `{self.name}` fails", label=label) from mistake

    def shape(self, *xs: Shape) -> Shape:
        y = self._shape(*xs)
        self.weights(xs[0])  # what fails, fails here, where the step has a place
        self.macs(xs, (y,))
        for axis in (0, 1):
            self.reach(axis, 0, xs, y)
        return y

    def _shape(self, *xs: Shape) -> Shape:
        missing = [name for name in self.rules.tensors if not getattr(self, name)]
        late = [name for name in self.rules.tensors[len(xs) - 1 :] if name not in missing]
        if late:
            raise ShapeFault(f"`{late[0]}` needs `{missing[0]}`", label="tensors are given in order", at=late[0])
        if self.rules.shape is None:
            return xs[0]
        made = self.asked("shape", self.rules.shape, tuple(map(shown, xs[0])), **self.operands(xs))
        dims = tuple(map(dim_of, made)) if isinstance(made, (tuple, list)) else ()
        if not 2 <= len(dims) <= 5 or not all(type(dim) is int or isinstance(dim, (Size, Area)) for dim in dims[1:]):
            raise ShapeFault(f"the rule of the shape of `{self.name}` gives no shape", label=f"it gives {made!r}")
        if dims[0] != xs[0][0]:
            raise ShapeFault(f"the rule of the shape of `{self.name}` changes the batch", label=show(dims))
        return dims

    def weights(self, x: Shape) -> Weights:
        count = channel_count(x)
        known: dict[int, Weights] = self.__dict__.setdefault("known", {})  # to build a layer takes a millisecond
        if count not in known:
            try:
                known[count] = self.rules.weights(self, count)
            except Exception as mistake:  # somebody's code
                label = f"{type(mistake).__name__}: {mistake}"
                raise ShapeFault(f"`{self.rules.cls.__name__}` cannot be built so", label=label) from mistake
        return known[count]

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        if isinstance(self.rules.macs, int):
            return self.rules.macs
        first, result = tuple(map(shown, xs[0])), tuple(map(shown, ys[0]))
        made: Dim = dim_of(self.asked("MACs", self.rules.macs, first, result, **self.operands(xs)))
        return made

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if extent(xs[operand], axis) == 1:
            return super().reach(axis, operand, xs, y)
        if self.rules.window is None or operand:
            return everything(xs[operand], axis)
        return Reach.window(*self.asked("window", self.rules.window))

    def module(self, x: Shape) -> Call | None:
        leaves = {} if self.rules.channels is None else {self.rules.channels: channels(x)}
        leaves |= {name: Leaf(v, f"{{{name}}}", self.args[name].default, both=True) for name, v in self.given.items()}
        plain = [leaves.pop(name) for name in self.rules.required]
        return call(self.rules.cls.__name__, *plain, **leaves)


# -------------------------------------------------------------------------------------------------- arguments
PLAIN = (bool, int, float, str)


def plain_value() -> Kind:
    """A number, a truth value, a text, or a list of them."""

    def accept(value: object) -> object:
        parts = value if isinstance(value, tuple) else (value,)
        if not all(type(part) in PLAIN for part in parts):
            raise ValueError
        return value

    return Kind("a number, a truth value, a text or a list of them", accept, (1, 0.5, True, "a", (1, 2)), real=True)


def text_value() -> Kind:
    """A text."""

    def accept(value: object) -> str:
        if type(value) is not str:
            raise ValueError
        return value

    return Kind("a text", accept, ("a",))


def any_integer() -> Kind:
    """An integer, a negative one, too."""
    return integer(-MAX_INT).replace(text="an integer")
