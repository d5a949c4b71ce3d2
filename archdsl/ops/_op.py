"""What an operator is: one class whose fields are its signature and whose methods are its rules.

The fields bind and validate the arguments of a call, appear in error messages, generate the reference manual and the
test inputs. The methods say what the operator does to shapes (`shape`), what it learns (`weights`), what it costs
(`macs`), which equalities it relies on (`relations`) and how PyTorch says it (`module`, `function`).

Operators know nothing of source positions and import neither torch nor the rest of the compiler: a rule that does not
hold raises `ShapeFault`, a position-free reason, and the elaborator adds the place, the shapes and the chain of blocks.
"""

from __future__ import annotations

from archdsl.record import Record
from archdsl.sizes import Size, product

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, ClassVar

    from archdsl.sizes import Dim, Shape


class ShapeFault(Exception):
    """A shape that an operator refuses: a title without a full stop, and the argument or operand to blame."""

    def __init__(self, title: str, *, label: str = "", at: str | int | None = None, help: str = "") -> None:
        super().__init__(title)
        self.title, self.label, self.at, self.help = title, label, at, help


class ArgFault(Exception):
    """An argument of the wrong kind: its name and a bare reason, such as `expects an integer ≥ 1, got 0`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name, self.reason = name, reason


# -------------------------------------------------------------------------------------------------- arguments
class Kind(Record):
    """What an argument may be: `accept` returns the value in its normal form or raises `ValueError`."""

    text: str
    accept: Callable[[object], object]
    examples: tuple[object, ...] = ()  # legal values, for generated tests and the manual

    def __repr__(self) -> str:
        return self.text


class Required:
    """The default of an argument that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED = Required()


class Arg(Record):
    """One argument of an operator: its kind, its default and one line of documentation."""

    kind: Kind
    default: object = REQUIRED
    doc: str = ""


def arg(kind: Kind, default: object = REQUIRED, doc: str = "") -> Any:
    """Declare an argument as the value of a class annotation: `out: int = arg(integer(1))`."""
    return Arg(kind, default, doc)


MAX_INT = 1 << 31  # sizes, strides and channel counts beyond this overflow PyTorch's own index arithmetic


def integer(low: int = 1, high: int = MAX_INT, examples: tuple[int, ...] = (1, 2, 3)) -> Kind:
    """An integer in a range."""

    def accept(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"an integer ≥ {low}", accept, tuple(e for e in examples if e >= low))


def pair(low: int = 1, high: int = MAX_INT, examples: tuple[object, ...] = (1, 2, 3, (3, 1), (1, 2))) -> Kind:
    """An integer for both axes, or `(height, width)`; the normal form is a pair."""

    def accept(value: object) -> tuple[int, int]:
        both = (value, value) if type(value) is int else value
        if not isinstance(both, tuple) or len(both) != 2:
            raise ValueError
        if any(type(v) is not int or not low <= v <= high for v in both):
            raise ValueError
        return both  # type: ignore[return-value]

    return Kind(f"an integer ≥ {low} or a pair (height, width)", accept, examples)


def number(low: float = float("-inf"), high: float = float("inf"), examples: tuple[float, ...] = (0.1, 0.5)) -> Kind:
    """A real number in a range."""

    def accept(value: object) -> float:
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            raise ValueError
        return float(value)  # type: ignore[arg-type]

    bounds = "" if low == float("-inf") else f" ≥ {low:g}" if high == float("inf") else f" from {low:g} to {high:g}"
    return Kind(f"a number{bounds}", accept, examples)


def boolean() -> Kind:
    """`true` or `false`."""

    def accept(value: object) -> bool:
        if type(value) is not bool:
            raise ValueError
        return value

    return Kind("true or false", accept, (True, False))


def choice(*words: str) -> Kind:
    """One of a few words."""

    def accept(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Kind("one of " + ", ".join(f'"{w}"' for w in words), accept, words)


def optional(kind: Kind) -> Kind:
    """A kind that may be left open; the open form is None and cannot be written."""
    return Kind(kind.text, lambda value: None if value is None else kind.accept(value), (None, *kind.examples))


def tensor() -> Kind:
    """A tensor of the network: it becomes a further operand, and the field says whether it was given."""
    return Kind("a tensor", lambda value: value is not None)


# -------------------------------------------------------------------------------------------------- lowering
class Leaf(Record):
    """A value in generated code, with the formula it came from.

    `formula` names fields of the operator in braces, and `{in}` for the channels of its input, so that the emitter
    may print `4 * planes` where the text said so: `Leaf(3, "{kernel} // 2")`.
    """

    value: object
    formula: str = ""


class Operand(Record):
    """The operand with this number in generated code; None stands for the list of all operands."""

    index: int | None


class Call(Record):
    """A call in generated code: `target(*args, **kwargs)`; `{0}` in a target is the first operand."""

    target: str
    args: tuple[Leaf | Operand, ...] = ()
    kwargs: tuple[tuple[str, Leaf | Operand], ...] = ()
    infix: str = ""  # `{0} + {1}` instead of a call


def call(target: str, *args: Leaf | Operand | None, **kwargs: Leaf | Operand | None) -> Call:
    """Build a `Call`; arguments that are None are left out (they equal PyTorch's default)."""
    given = tuple(a for a in args if a is not None)
    return Call(target, given, tuple((k, v) for k, v in kwargs.items() if v is not None))


X = Operand(0)
XS = Operand(None)


def channels(x: Shape) -> Leaf:
    """Return the channels of the input as a leaf."""
    return Leaf(as_int(x[1]), "{in}")


def as_int(dim: Dim) -> int:
    """Return a dim at the default input size."""
    return int(dim)


# -------------------------------------------------------------------------------------------------- operators
class Relation(Record):
    """Two sizes that must be equal (or, with `at_least`, ordered): checked by the elaborator for every input size.

    `operands` are the two operands to blame; `axis` is the axis of the tensors, for the message.
    """

    left: Dim
    right: Dim
    axis: int
    operands: tuple[int, int] = (0, 1)
    at_least: bool = False


class Op(Record):
    """Base of all operators. A subclass is one operator; an instance is one use of it, with its arguments."""

    name: ClassVar[str] = ""
    args: ClassVar[dict[str, Arg]] = {}
    results: ClassVar[tuple[str, ...]] = ("out",)  # names of the results, the main one first
    support: ClassVar[str] = ""  # source of a class that generated code needs beside torch
    stateful: ClassVar[bool] = False  # has weights or buffers, so it is always a module of its own
    inplace: ClassVar[bool] = False  # PyTorch offers `inplace=True`, and its gradient needs the result only

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {f: cls.__dict__[f] for f in cls.fields if isinstance(cls.__dict__.get(f), Arg)}
        cls.args = cls.args | own

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        """Validate and normalise the arguments; raises `ArgFault`."""
        made = {}
        for field, spec in cls.args.items():
            value = values[field] if field in values else spec.default
            if value is None and spec.default is None:
                made[field] = None
                continue
            try:
                made[field] = spec.kind.accept(value)
            except ValueError:
                raise ArgFault(field, f"expects {spec.kind.text}") from None
        return cls(**made)

    def leaf(self, field: str, *, omit: object = REQUIRED) -> Leaf | None:
        """Return the field as a leaf of generated code, or None where it equals `omit`, PyTorch's own default."""
        value = getattr(self, field)
        return None if value == omit else Leaf(value, f"{{{field}}}")

    # ------------------------------------------------------------ rules
    def shape(self, x: Shape, *more: Shape) -> Shape:
        """Return the shape of the result; raises `ShapeFault`."""
        raise NotImplementedError

    def shapes(self, *xs: Shape) -> tuple[Shape, ...]:
        """Return the shapes of all results, in the order of `results`."""
        return (self.shape(*xs),)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        """Yield the equalities between sizes that `shape` relies on."""
        yield from ()

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        """Return the learned parameters by name, with PyTorch's shapes."""
        return {}

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        """Return multiply-accumulates for one image: convolutions and matrix products only."""
        return 0

    # ------------------------------------------------------------ PyTorch
    def module(self, x: Shape) -> Call | None:
        """Return the constructor of a `torch.nn` module, or None where there is none."""
        return None

    def function(self, *xs: Shape) -> Call | None:
        """Return the call of a function on the operands, or None for operators with state."""
        return None


OPS: dict[str, type[Op]] = {}


def op(name: str) -> Callable[[type[Op]], type[Op]]:
    """Register an operator under its name in the language."""

    def register(cls: type[Op]) -> type[Op]:
        if name in OPS:
            raise ValueError(f"two operators are called `{name}`")
        cls.name = name
        OPS[name] = cls
        return cls

    return register


# -------------------------------------------------------------------------------------------------- for the rules
def image(x: Shape) -> Shape:
    """Return the shape of a feature map [N, C, H, W]; raises `ShapeFault` for anything else."""
    if len(x) != 4:
        raise ShapeFault(f"needs a feature map [N, C, H, W], got {show(x)}", label=f"the input is {show(x)}", at=0)
    return x


def fits(x: Shape, y: Shape, kernel: tuple[int, int], at: str = "kernel") -> Shape:
    """Return `y`, or raise `ShapeFault` where a window larger than its input leaves nothing of it."""
    for axis in (2, 3):
        if int(y[axis]) < 1:
            what = f"{kernel[0]}x{kernel[1]}"
            size = f"{int(x[2])}x{int(x[3])}"
            raise ShapeFault("window does not fit its input", label=f"{what} window, but the input is {size}", at=at)
    return y


def volume(shape: Shape) -> Dim:
    """Return the number of elements of one image of a batch."""
    return product(shape[1:])


def show(shape: Shape) -> str:
    """Print a shape: `[N, 64, ceil(H/4), ceil(W/4)]`."""
    return "[" + ", ".join(map(str, shape)) + "]"


def is_symbolic(dim: Dim) -> bool:
    """Say whether a dim depends on the input size."""
    return not isinstance(dim, int)


__all__ = [
    "OPS", "REQUIRED", "Arg", "ArgFault", "Call", "Kind", "Leaf", "Op", "Operand", "Relation", "ShapeFault", "Size",
    "X", "XS", "arg", "as_int", "boolean", "call", "channels", "choice", "fits", "image", "integer", "is_symbolic",
    "number", "op", "optional", "pair", "product", "show", "tensor", "volume",
]  # fmt: skip
