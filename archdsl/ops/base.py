"""What an operator is: one class whose fields are its signature and whose methods are its rules.

The fields bind and validate the arguments of a call, appear in error messages, generate the reference manual and the
test inputs. The methods say what the operator does to shapes (`shape`), what it learns (`weights`), what it costs
(`macs`), which equalities it relies on (`relations`) and how PyTorch says it (`module`, `function`).

Operators know nothing of source positions and import neither torch nor the rest of the compiler: a rule that does not
hold raises `ShapeFault`, a position-free reason, and the elaborator adds the place, the shapes and the chain of blocks.
"""

from __future__ import annotations

from functools import cached_property
from math import prod

from archdsl.core.record import Record
from archdsl.core.sizes import Size, followed, in_python, product, symbols
from archdsl.core.windows import Reach
from archdsl.ops import axes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, ClassVar

    from archdsl.core.sizes import Dim, Shape, Symbol

    Margins = tuple["Op | None", tuple[int, int]]


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
class Measure(Record):
    """A size of an operand as an argument, or what a law makes of it: `skip.height // 2` of `crop(size=…)`.

    So an operator knows the size at every input, and code takes it from the tensor.
    """

    operand: int
    axis: int
    law: Dim
    name: str  # of the axis

    def __repr__(self) -> str:
        return in_python(self.law, self.name)

    def of(self, xs: tuple[Shape, ...]) -> Dim:
        """Return the size for operands of these shapes."""
        return followed(self.law, xs[self.operand][self.axis])

    def code(self) -> str:
        """Return it as Python, with the operand's number in braces: `{1}.shape[2] // 2`."""
        return in_python(self.law, f"{{{self.operand}}}.shape[{self.axis}]")


class Kind(Record):
    """What an argument may be: `accept` returns the value in its normal form or raises `ValueError`."""

    text: str
    accept: Callable[[object], object]
    examples: tuple[object, ...] = ()  # legal values, for generated tests and the manual
    tensor: str = ""  # `any` tensor of the network, or one that is the result of this name of an operator
    real: bool = False  # a fraction is taken, too
    measures: bool = False  # sizes of tensors are taken, too

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

    @cached_property
    def normal(self) -> object:
        """The default in its normal form; raises `ValueError` where there is none."""
        return None if self.default is None else self.kind.accept(self.default)


def arg(kind: Kind, default: object = REQUIRED, doc: str = "") -> Any:
    """Declare an argument of an operator: it is the value of an annotated field of the class."""
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
        return both

    return Kind(f"an integer ≥ {low} or a pair (height, width)", accept, examples)


MAX_REAL = 1e38  # about the largest float32; infinities and NaN have no literal in generated code


def measured(kind: Kind, low: int = 1) -> Kind:
    """A kind of integers, or tuples of them, in whose place sizes of tensors may stand: `x.height // 2`."""

    def accept(value: object) -> object:
        if isinstance(value, Measure):
            known = kind.accept(low)
            return (value,) * len(known) if isinstance(known, tuple) else value
        if not isinstance(value, tuple):
            return kind.accept(value)
        found = kind.accept(tuple([low if isinstance(one, Measure) else one for one in value]))
        assert isinstance(found, tuple), "several sizes are a tuple"
        places = kind.accept(tuple(range(low, low + len(value))))  # where each of them is in the normal form
        assert isinstance(places, tuple), "several sizes are a tuple"
        ways = [value[place - low] for place in places]
        return tuple([way if isinstance(way, Measure) else one for way, one in zip(ways, found)])

    return kind.replace(text=kind.text.replace("an integer", "an integer or size", 1), accept=accept, measures=True)


def number(
    low: float = -MAX_REAL, high: float = MAX_REAL, examples: tuple[float, ...] = (0.1, 0.5), *, above: bool = False
) -> Kind:
    """A real number in a range, which `above` is without its lower end."""

    def accept(value: object) -> float:
        if not isinstance(value, (int, float)) or type(value) is bool or not low <= value <= high:
            raise ValueError
        if above and value == low:
            raise ValueError
        return float(value)

    bounds = "" if low == -MAX_REAL else f" ≥ {low:g}" if high == MAX_REAL else f" from {low:g} to {high:g}"
    bounds = f" above {low:g}, at most {high:g}" if above else bounds
    return Kind(f"a number{bounds}", accept, examples, real=True)


def scalar(zero: bool = True) -> Kind:
    """A number, of which a whole one stays whole, so that `x**2` is no `x**2.0` in the code."""

    def accept(value: object) -> float:
        if type(value) not in (int, float) or not -MAX_REAL <= value <= MAX_REAL or not (value or zero):  # type: ignore[operator]
            raise ValueError
        return value  # type: ignore[return-value]

    return Kind("a number" if zero else "a number other than 0", accept, (2, 0.5, 3, -1.5), real=True)


def boolean() -> Kind:
    """`true` or `false`."""

    def accept(value: object) -> bool:
        if type(value) is not bool:
            raise ValueError
        return value

    return Kind("true or false", accept, (True, False))


def padding() -> Kind:
    """Rows and columns on each side, or how many there are by a word; `valid` is none."""
    numbers = pair(0, examples=(0, 1, (1, 0)))

    def accept(value: object) -> object:
        return value if value == "same" else numbers.accept(0 if value == "valid" else value)

    return Kind(f'{numbers.text}, "same" or "valid"', accept, numbers.examples)


def choice(*words: str) -> Kind:
    """One of a few words."""

    def accept(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Kind("one of " + ", ".join(f'"{w}"' for w in words), accept, words)


def optional(kind: Kind) -> Kind:
    """A kind that may be left open; the open form is None and cannot be written."""

    def accept(value: object) -> object:
        return None if value is None else kind.accept(value)

    return kind.replace(accept=accept, examples=(None, *kind.examples))


def tensor(result: str = "any") -> Kind:
    """A tensor of the network, or one result of an operator only: `maxpool.indices`.

    It becomes a further operand, and the field says whether it was given.
    """
    text = "a tensor" if result == "any" else f"the result `{result.split('.')[1]}` of `{result.split('.')[0]}`"
    return Kind(text, lambda value: value is not None, (), result)


# -------------------------------------------------------------------------------------------------- lowering
class Listed(tuple):  # type: ignore[type-arg]
    """A list of the text: `(64, 64)` is two numbers, and not one for height and width."""

    __slots__ = ()


class Leaf(Record):
    """A value in generated code, with the formula it came from.

    `formula` names fields of the operator in braces, and `{in}` for the channels of its input, so that the emitter
    may print `4 * planes` where the text said so: `Leaf(3, "{kernel} // 2")`. An argument that equals `omit`,
    PyTorch's own default, is left out of the code. Two equal numbers are printed as one, unless `both` are asked for.
    """

    value: object
    formula: str = ""
    omit: object = REQUIRED
    both: bool = False


class Operand(Record):
    """The operand with this number in generated code; None stands for the list of all operands.

    `suffix` is written after it: `Operand(1, ".shape[2:]")` is the height and width of the second operand.
    """

    index: int | None
    suffix: str = ""


class Sized(Record):
    """Sizes of operands in generated code, with the numbers of operands in braces: `({1}.shape[2] // 2, 7)`."""

    text: str


class Call(Record):
    """A call in generated code: `target(*args, **kwargs)`; `{0}` in a target is the first operand.

    Two forms are not calls. With `infix`, the operands in `args` are joined by it: `{0} + {1}`. With `holes`, the
    target is a whole expression, and its names in braces are the leaves of `holes`: `{0}[:, {start}:{stop}]`.
    """

    target: str
    args: tuple[Leaf | Operand | Sized, ...] = ()
    kwargs: tuple[tuple[str, Leaf | Operand | Sized], ...] = ()
    infix: str = ""
    holes: tuple[tuple[str, Leaf], ...] | None = None


def call(target: str, *args: Leaf | Operand | Sized | None, **kwargs: Leaf | Operand | Sized | None) -> Call:
    """Build a `Call`; arguments that are None are left out (they equal PyTorch's default)."""
    given = tuple(a for a in args if a is not None)
    return Call(target, given, tuple((k, v) for k, v in kwargs.items() if v is not None))


def expression(text: str, **holes: Leaf | None) -> Call:
    """Build a `Call` that is an expression of its own: `expression("{0} * {value}", value=…)`."""
    return Call(text, holes=tuple((k, v) for k, v in holes.items() if v is not None))


X = Operand(0)
XS = Operand(None)


def channels(x: Shape) -> Leaf:
    """Return the channels of the input as a leaf."""
    return Leaf(channel_count(x), "{in}")


def channel_count(x: Shape) -> int:
    """Return the number of channels, or features, at the default input size."""
    return int(x[axes.channel(x)])


def with_channels(x: Shape, count: Dim) -> Shape:
    """Return a shape with another number of channels."""
    axis = axes.channel(x)
    return (*x[:axis], count, *x[axis + 1 :])


def as_int(dim: Dim) -> int:
    """Return a dim at the default input size."""
    return int(dim)


# -------------------------------------------------------------------------------------------------- operators
class Relation(Record):
    """Two sizes that must be equal (or, with `at_least`, ordered): checked by the elaborator for every input size.

    `operands` are the two operands to blame; `axis` is the axis of the tensors, for the message. What is repeated
    because it is 1 may be as long as the others, too: `otherwise`, what the left size may be instead.
    """

    left: Dim
    right: Dim
    axis: int
    operands: tuple[int, int] = (0, 1)
    at_least: bool = False
    otherwise: Dim | None = None

    @property
    def holds(self) -> bool:
        """Whether it holds at the default sizes."""
        left, right = int(self.left), int(self.right)
        return left >= right if self.at_least else left == right

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """The input sizes that it depends on."""
        other = () if self.otherwise is None else symbols(self.otherwise)
        return (*symbols(self.left), *symbols(self.right), *other)


class Kernel(Record):
    """One kernel that eager PyTorch runs for a step: the numbers of elements that it reads and writes for each image.

    `fixed` elements are read whatever the batch, weights and buffers, and `once` written: statistics of the batch.
    Indices (`long_…`) have 8 bytes each. `fixed_bytes` and `once_bytes` are those of a mask, whatever the batch, too.
    """

    name: str
    reads: tuple[Dim, ...]
    writes: tuple[Dim, ...]
    fixed: int = 0
    long_reads: tuple[Dim, ...] = ()
    long_writes: tuple[Dim, ...] = ()
    held: tuple[Dim, ...] = ()  # of earlier results, beside the last one, that variables of the function still hold
    once: Dim = 0
    fixed_bytes: tuple[Dim, ...] = ()
    once_bytes: tuple[Dim, ...] = ()


class Op(Record):
    """Base of all operators. A subclass is one operator; an instance is one use of it, with its arguments."""

    name: ClassVar[str] = ""
    args: ClassVar[dict[str, Arg]] = {}
    results: ClassVar[tuple[str, ...]] = ("out",)  # names of the results, the main one first
    support: ClassVar[str] = ""  # source of the class or function that a target without `nn.`, `F.`, `torch.` names
    stateful: ClassVar[bool] = False  # has weights or buffers, so it is always a module of its own
    # What autograd keeps for the gradient, and whether the gradient of an operand is new memory or that of the result.
    # `saves` is of "operands", "indices" (the second operand alone), "result", and "extras", what else kernels write.
    saves: ClassVar[tuple[str, ...]] = ("operands",)
    scratch: ClassVar[float] = 0  # maps like the operand that its gradient needs on the way
    early: ClassVar[bool] = False  # whether these are gone before the gradients of the operands are there
    gradient: ClassVar[str] = "new"  # or "same", or "first": the same for the first operand alone
    traits: ClassVar[frozenset[str]] = frozenset()  # what other stages have to know of it, of `TRAITS`
    inplace: ClassVar[bool] = False  # PyTorch offers `inplace=True`, and its gradient needs the result only

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {f: cls.__dict__[f] for f in cls.fields if isinstance(cls.__dict__.get(f), Arg)}
        cls.args = {name: spec for name, spec in cls.args.items() if name not in own} | own

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        """Validate and normalise the arguments; raises `ArgFault`."""
        made: dict[str, Any] = {}
        for field, spec in cls.args.items():
            try:
                if field not in values:
                    made[field] = spec.normal
                    continue
                value = values[field]
                made[field] = None if value is None and spec.default is None else spec.kind.accept(value)
            except ValueError:
                raise ArgFault(field, f"expects {spec.kind.text}") from None
        return cls.filled(made) if len(made) == len(cls.fields) else cls(**made)

    @property
    def arguments(self) -> tuple[object, ...]:
        """The values of the arguments, in order."""
        return tuple([getattr(self, name) for name in self.args])

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The sizes of operands among the arguments."""
        parts = [part for one in self.arguments for part in (one if isinstance(one, tuple) else (one,))]
        return tuple([part for part in parts if isinstance(part, Measure)])

    def at(self, field: str, xs: tuple[Shape, ...]) -> Any:
        """Return an argument on operands of these shapes: with sizes in the place of measures."""
        value = getattr(self, field)
        if isinstance(value, tuple):
            return tuple([part.of(xs) if isinstance(part, Measure) else part for part in value])
        return value.of(xs) if isinstance(value, Measure) else value

    def sized(self, field: str, *, omit: object = REQUIRED) -> Leaf | Sized:
        """Return the field as a leaf, or with measures in it as the sizes that they are in code."""
        value = getattr(self, field)
        parts = value if isinstance(value, tuple) else (value,)
        if not any(isinstance(part, Measure) for part in parts):
            return self.leaf(field, omit=omit)
        texts = [part.code() if isinstance(part, Measure) else str(part) for part in parts]
        return Sized(f"({', '.join(texts)})" if isinstance(value, tuple) else texts[0])

    def reads(self, count: int) -> tuple[int, ...]:
        """Return which of its operands it computes with: others tell it a size, or how many images there are."""
        if "source" in self.traits:
            return ()
        given = [name for name, spec in self.args.items() if spec.kind.tensor and getattr(self, name)]
        sizes = {measure.operand for measure in self.measures}
        first = count - len(given) - len(sizes)
        return tuple([i for i in range(count) if i not in sizes and (i < first or given[i - first] != "like")])

    def leaf(self, field: str, *, omit: object = REQUIRED) -> Leaf:
        """Return the field as a leaf of generated code; `omit` is PyTorch's own default for it."""
        return Leaf(getattr(self, field), f"{{{field}}}", omit)

    @property
    def said(self) -> str:
        """What it says in a text, where that is no call: `a - b`."""
        return ""

    def on(self, *xs: Shape) -> Op:
        """Return the operator as it is on operands of these shapes, where that is something of its own."""
        return self

    def margins(self) -> Margins | None:
        """Return the step that adds margins before this one, if there is one, and the padding that is left to it.

        None where the padding is in numbers.
        """
        return None

    @classmethod
    def initialized(cls) -> bool:
        """Say whether a text can set how it starts: its weights are called `weight` and `bias`."""
        return cls.stateful and "custom" not in cls.traits

    # ------------------------------------------------------------ rules
    shape: ClassVar[Callable[..., Shape]]  # of the result, from the shapes of the operands; raises `ShapeFault`

    def shapes(self, *xs: Shape) -> tuple[Shape, ...]:
        """Return the shapes of all results, in the order of `results`."""
        return (self.shape(*xs),)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        """Yield the equalities between sizes that `shape` relies on."""
        yield from ()

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        """Return the learned parameters by name, with PyTorch's shapes."""
        return {}

    def subtracts_mean(self, x: Shape) -> bool:
        """Say whether the mean of each channel is subtracted, so that a bias before it has no effect."""
        return False

    def starts_with_input(self, x: Shape) -> bool:
        """Say whether the arguments read as PyTorch's would, which start with the channels of the input."""
        return False

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        """Return multiply-accumulates for one image: convolutions and matrix products only."""
        return 0

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        """Return the arithmetic operations for one image beside `macs`, in evaluation mode: a function counts 1."""
        return 0

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        """Return what eager PyTorch runs in evaluation mode; nothing where the result is a view of the operand.

        Here one kernel that reads all operands and weights and writes all results.
        """
        fixed = elements(self.weights(xs[0])) if self.stateful else 0
        sizes = [measure.operand for measure in self.measures]
        read = [x for number, x in enumerate(xs) if number not in sizes]
        return (Kernel(self.name, tuple([volume(x) for x in read]), tuple([volume(y) for y in ys]), fixed),)

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        """Return what eager PyTorch runs in training mode; the last kernel writes the result, and extras after it."""
        return self.kernels(xs, ys)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        """Return what a position of the result sees of an operand along an axis, 0 for the height and 1 for the width.

        None where no value of the operand reaches the result. Here each position sees itself; an operand of size 1
        is repeated. In evaluation mode: batch statistics are constants.
        """
        return Reach.constant(0, 0) if extent(xs[operand], axis) == 1 != extent(y, axis) else Reach.same()

    # ------------------------------------------------------------ PyTorch
    def module(self, x: Shape) -> Call | None:
        """Return the constructor of a `torch.nn` module, or None where there is none."""
        return None

    def function(self, *xs: Shape) -> Call | None:
        """Return the call of a function on the operands, or None for operators with state."""
        return None


OPS: dict[str, type[Op]] = {}


# What other stages have to know of an operator, beside its rules.
TRAITS = {
    "identity": "returns its operand, and is no step where it has no label",
    "inner": "what a combinator or a sign of the language is made of: it has neither module nor label",
    "sign": "is written as a sign, `a - b`, and has no name in a text",
    "joins": "makes one tensor of several",
    "multiplies": "makes a product of its operands, which have roles of their own",
    "side by side": "joins them along the channels",
    "repeats": "repeats operands along axes of size 1",
    "view": "gives a part of its operand, without a copy",
    "source": "makes a tensor of its weights alone; its operand says how many images there are",
    "flattens": "makes features of channels and places",
    "convolves": "weighs the cells of a window",
    "window": "has the kernel and the stride of a window that slides over a map",
    "pointwise": "what it gives at a place depends on that place and channel alone, in evaluation",
    "normalizes": "brings what it reads to a common size: a layer may begin with it",
    "copies": "gives a view at some input sizes and a copy at others",
    "custom": "is a layer of a caller's, whose code no pass knows",
    "fuses": "pointwise steps can go into the pass that writes its result",
}


def op(name: str, *traits: str) -> Callable[[type[Op]], type[Op]]:
    """Register an operator under its name in the language, with its traits."""

    def register(cls: type[Op]) -> type[Op]:
        if name in OPS or not TRAITS.keys() >= set(traits):
            raise ValueError(f"two operators are called `{name}`, or one of {traits} is not in the table")
        cls.name, cls.traits = name, frozenset(traits)
        OPS[name] = cls
        return cls

    return register


# -------------------------------------------------------------------------------------------------- for the rules
def image(x: Shape, index: int = 0) -> Shape:
    """Return the shape of operand `index`, a feature map [N, C, H, W]; raises `ShapeFault` for anything else."""
    if len(x) != 4:
        label = f"operand {index + 1} is {show(x)}" if index else f"the input is {show(x)}"
        raise ShapeFault(f"needs a feature map [N, C, H, W], got {show(x)}", label=label, at=index)
    return x


def tokens(x: Shape, index: int = 0) -> Shape:
    """Return the shape of operand `index`, tokens [N, L, C], in windows or not; raises `ShapeFault` for others."""
    if len(x) not in (3, 5):
        label = f"operand {index + 1} is {show(x)}" if index else f"the input is {show(x)}"
        text = "`tokens` makes them of a map" if len(x) == 4 else ""
        raise ShapeFault(f"needs tokens [N, L, C], got {show(x)}", label=label, at=index, help=text)
    return x


def without_tokens(x: Shape, help: str = "`ln` normalises tokens") -> Shape:
    """Return a shape, or raise `ShapeFault` for tokens, whose places PyTorch would take for channels."""
    if len(x) in (3, 5):
        title, label = "needs a map or flat features, not tokens", f"the input is {show(x)}"
        raise ShapeFault(title, label=label, at=0, help=help)
    return x


def numbered(name: str, x: Shape, at: str = "axis") -> int:
    """Return the number of an axis; raises `ShapeFault` for a tensor that has none of this name."""
    number = axes.find(name, len(x))
    if number is None:
        raise ShapeFault(f"the input has no {name}", label=f"the input is {show(x)}", at=at)
    return number


def fits(x: Shape, y: Shape, kernel: tuple[int, int], at: str = "kernel") -> Shape:
    """Return `y`, or raise `ShapeFault` where a window larger than its input leaves nothing of it."""
    for axis in (2, 3):
        if int(y[axis]) < 1:
            what = f"{kernel[0]}x{kernel[1]}"
            size = f"{int(x[2])}x{int(x[3])}"
            raise ShapeFault("window does not fit its input", label=f"{what} window, but the input is {size}", at=at)
    return y


def remains(y: Shape, at: str = "pad") -> Shape:
    """Return `y`, or raise `ShapeFault` where an argument that cuts from the result leaves nothing of it."""
    if int(y[2]) < 1 or int(y[3]) < 1:
        raise ShapeFault(f"{at} leaves nothing of the result", label=f"it would be {int(y[2])}x{int(y[3])}", at=at)
    return y


def divides(divisor: int, count: int, which: str, at: str = "groups") -> None:
    """Raise `ShapeFault` where a number of groups, or parts, does not divide a channel count."""
    if count % divisor:
        near = [m for m in (count // divisor * divisor, (count // divisor + 1) * divisor) if m]
        raise ShapeFault(
            f"{at} must divide the {which} channels",
            label=f"{count} {which} channels are not a multiple of {divisor}",
            at=at,
            help=f"the nearest multiple{'s' * (len(near) - 1)} of {divisor} {'are' if len(near) > 1 else 'is'} "
            + " and ".join(map(str, near)),
        )


def agree(what: str, x: Shape, y: Shape, index: int, axes: Iterable[int], help: str = "") -> None:
    """Raise `ShapeFault` where operand `index`, of shape `y`, has another rank than `x` or another size on an axis."""
    if len(x) != len(y) or any(int(x[axis]) != int(y[axis]) for axis in axes):
        raise ShapeFault(
            f"operands of `{what}` differ in shape",
            label=f"{show(y)}, unlike the first operand",
            at=index,
            help=help,
        )


def equalities(x: Shape, y: Shape, index: int, axes: Iterable[int]) -> Iterator[Relation]:
    """Yield the sizes that operand `index` shares with the first only at some input sizes."""
    for axis in axes:
        if x[axis] != y[axis]:
            yield Relation(x[axis], y[axis], axis, (0, index))


def least(size: Dim, low: int, axis: int, operand: int = 0) -> Iterator[Relation]:
    """Yield what keeps a size that depends on the input from falling below a number."""
    if is_symbolic(size):
        yield Relation(size, low, axis, (operand, operand), at_least=True)


def fixed(x: Shape) -> Iterator[Relation]:
    """Yield what holds a symbolic number of flat features, or channels, to its value at the default input size."""
    axis = axes.channel(x)
    if is_symbolic(x[axis]):
        yield Relation(x[axis], as_int(x[axis]), axis, (0, 0))


def extent(shape: Shape, axis: int) -> int:
    """Return how many positions there are along an axis, 0 for the height and 1 for the width, at the default size.

    The positions of tokens in windows are the windows; features, and tokens of a whole map, are in one place.
    """
    number = axes.spatial(shape, axis)
    return 1 if number is None else as_int(shape[number])


def everything(shape: Shape, axis: int) -> Reach:
    """Return the reach of an operator each of whose results depends on the whole map."""
    return Reach.constant(0, extent(shape, axis) - 1)


def elements(weights: dict[str, tuple[int, ...]]) -> int:
    """Count the elements of an operator's learned parameters."""
    return sum([prod(shape) for shape in weights.values()])


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
    "MAX_INT", "OPS", "REQUIRED", "XS", "Arg", "ArgFault", "Call", "Kernel", "Kind", "Leaf", "Listed", "Measure",
    "Op", "Operand", "Relation", "ShapeFault", "Size", "Sized", "X", "agree", "arg", "as_int", "boolean", "call",
    "channel_count", "channels", "choice", "divides", "elements", "equalities", "everything", "expression",
    "extent", "fits", "fixed", "image", "integer", "is_symbolic", "least", "measured", "number", "numbered", "op",
    "optional", "padding", "pair", "product", "remains", "scalar", "show", "tensor", "tokens", "volume",
    "with_channels", "without_tokens",
]  # fmt: skip
