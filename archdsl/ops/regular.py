"""Regularisation and scaling, which keep their input's shape: `dropout`, `drop_path`, `scale`, `shift`, `identity`.

And `learned`, a tensor that stands alone.
"""

from __future__ import annotations

from archdsl.core.sizes import Area, Size
from archdsl.ops.base import (
    MAX_INT,
    ArgFault,
    Kernel,
    Kind,
    Leaf,
    Listed,
    Op,
    Relation,
    arg,
    as_int,
    boolean,
    call,
    channel_count,
    expression,
    fixed,
    image,
    is_symbolic,
    number,
    op,
    volume,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.core.windows import Reach
    from archdsl.ops.base import Call


@op("identity", "identity")
class Identity(Op):
    """Nothing (`nn.Identity`): the empty pipeline."""

    saves = ()
    gradient = "same"

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()

    def module(self, x: Shape) -> Call:
        return call("nn.Identity")

    def function(self, *xs: Shape) -> Call:
        return expression("{0}")


@op("dropout")
class Dropout(Op):
    """In training, zero each element with probability `p` (`nn.Dropout`; Srivastava et al., 2014)."""

    saves = ("extras",)

    p: float = arg(number(0, 1), 0.5, doc="probability of a zero")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return (Kernel(self.name, (volume(xs[0]),), (volume(ys[0]), self.noise(xs[0]))),) if self.p else ()

    def noise(self, x: Shape) -> Dim:
        """Return how many random factors an image needs."""
        return volume(x)

    def module(self, x: Shape) -> Call:
        return call("nn.Dropout", self.leaf("p"))

    def function(self, *xs: Shape) -> Call:
        return expression("F.dropout({0}, {p}, self.training)", p=self.leaf("p"))


@op("dropout2d")
class Dropout2d(Dropout):
    """In training, zero each channel of a map with probability `p` (`nn.Dropout2d`): keeps [N, C, H, W]."""

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return image(x)

    def noise(self, x: Shape) -> Dim:
        return x[1]

    def module(self, x: Shape) -> Call:
        return call("nn.Dropout2d", self.leaf("p"))

    def function(self, *xs: Shape) -> Call:
        return expression("F.dropout2d({0}, {p}, self.training)", p=self.leaf("p"))


@op("drop_path")
class DropPath(Op):
    """Stochastic depth (Huang et al., 2016): in training, zero a whole sample with probability `p`.

    It stands at the end of a branch that is added to its input, which then passes alone.
    """

    saves = ()

    p: float = arg(number(0, 1), 0.0, doc="probability of a zero")

    support = '''\
class DropPath(nn.Module):
    """Stochastic depth: in training, zero a sample with probability `p` and scale up the others."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0.0:
            return x
        keep = x.new_empty([x.shape[0]] + [1] * (x.ndim - 1)).bernoulli_(1.0 - self.p)
        return x * (keep / (1.0 - self.p) if self.p < 1.0 else keep)

    def extra_repr(self) -> str:
        return f"p={self.p}"
'''

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one = volume(ys[0])
        return (Kernel("mul", (one,), (one,)), Kernel("div", (one,), (one,))) if self.p else ()

    def module(self, x: Shape) -> Call:
        return call("DropPath", self.leaf("p"))


class Constant(Op):
    """Base of the steps with one number, constant or learned, one for all or one a channel: they keep the shape."""

    value: float = arg(number(examples=(0.1, 1.0, -2.0)), doc="the number, or what it starts from")
    learned: bool = arg(boolean(), False, doc="learn the number")
    per_channel: bool = arg(boolean(), False, doc="learn a number for each channel")

    torch: ClassVar[str]  # the class of a learned one
    weight: ClassVar[str]  # its parameter
    sign: ClassVar[str]

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        if made.per_channel and not made.learned:  # type: ignore[attr-defined]
            raise ArgFault("per_channel", "needs learned=true")
        return made

    @property
    def stateful(self) -> bool:  # type: ignore[override]
        """A learned number makes it a module."""
        return self.learned

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        if not self.learned:
            return {}
        return {self.weight: self.of_channels(x) if self.per_channel else (1,)}

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        if self.per_channel:
            yield from fixed(xs[0])

    @staticmethod
    def of_channels(x: Shape) -> tuple[int, ...]:
        """Return the shape of what has a number for each channel: [C, 1, 1] on maps, else [C]."""
        return (channel_count(x), 1, 1) if len(x) == 4 else (channel_count(x),)

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0])

    def module(self, x: Shape) -> Call | None:
        if not self.learned:
            return None
        formula = "({in}, 1, 1)" if len(x) == 4 else "({in},)"
        shape = Leaf(self.of_channels(x), formula) if self.per_channel else None
        return call(self.torch, self.leaf("value"), shape)

    def function(self, *xs: Shape) -> Call | None:
        return None if self.learned else expression(f"{{0}} {self.sign} {{value}}", value=self.leaf("value"))


@op("shift", "pointwise", "fuses")
class Shift(Constant):
    """Addition of a number, constant or learned, one for all or one a channel: keeps the shape.

    `shift(0.1)` is `x + 0.1`; `shift(0, learned=true, per_channel=true)` is a bias that stands alone.
    """

    torch, weight, sign = "Shift", "bias", "+"
    saves = ()
    gradient = "same"
    support = '''\
class Shift(nn.Module):
    """Add a learned summand, one for all or one a channel ([C, 1, 1] on maps, else [C])."""

    def __init__(self, value: float, shape: tuple[int, ...] = (1,)) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full(shape, float(value)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias
'''


@op("scale", "pointwise", "fuses")
class Scale(Constant):
    """Multiplication by a number, constant or learned, one for all or one a channel: keeps the shape.

    `scale(0.1)` is `x * 0.1`; `scale(1e-6, learned=true, per_channel=true)` is ConvNeXt's layer scale.
    """

    torch, weight, sign = "Scale", "weight", "*"
    support = '''\
class Scale(nn.Module):
    """Multiply by a learned factor, one for all or one a channel ([C, 1, 1] on maps, else [C])."""

    def __init__(self, value: float, shape: tuple[int, ...] = (1,)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full(shape, float(value)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight
'''

    @property
    def saves(self) -> tuple[str, ...]:  # type: ignore[override]
        """A learned factor needs its operand for the gradient."""
        return ("operands",) if self.learned else ()

    @property
    def scratch(self) -> int:  # type: ignore[override]
        """The gradient of a learned factor is a sum over a map of products."""
        return int(self.learned)


def sizes() -> Kind:
    """The sizes of a tensor without its batch: a map, tokens or features; a number stands for the last.

    One that changes with the input stands for its value at the default size.
    """

    def accept(value: object) -> Listed:
        given = value if isinstance(value, tuple) else (value,)
        known = [int(size) if isinstance(size, (Size, Area)) else size for size in given]
        if len(known) > 3 or not known or any(type(size) is not int or not 1 <= size <= MAX_INT for size in known):
            raise ValueError
        return Listed(given)

    examples = ((4, 1, 1), (4, 3, 5), (1, 3, 5), (6,), (1, 1, 1), 8, (3, 4), (1, 6))
    return Kind("[channels, height, width], [tokens, channels] or [features], of integers ≥ 1", accept, examples)


@op("learned", "source")
class Learned(Op):
    """A learned tensor, the same for every image: -> [N, *size], whatever the step before it is.

    `add(identity, position: learned([64, 14, 14], init=trunc_normal(0.02)))` adds an embedding of positions. It starts
    from 0 where no `init` says otherwise.
    """

    size: tuple[Dim, ...] = arg(sizes(), doc="its shape, without the batch")

    stateful = True
    saves = ()
    support = '''\
class Learned(nn.Module):
    """A learned tensor, repeated for each image of a batch: its input says how many there are."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # A view of a weight would ask for a gradient where none is wanted.
        weight = self.weight if torch.is_grad_enabled() else self.weight.detach()
        return weight.expand(x.shape[0], *self.size)

    def extra_repr(self) -> str:
        return f"{self.size}"
'''

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return (x[0], *self.known)

    @property
    def known(self) -> Listed:
        """The sizes at the default input size, to which the network is held."""
        return Listed(map(as_int, self.size))

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        for size in self.size:
            if is_symbolic(size):
                yield Relation(size, as_int(size), 1, (0, 0))

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        return {"weight": tuple(self.known)}

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view of the weight

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return None

    def module(self, x: Shape) -> Call:
        return call("Learned", Leaf(self.known, "{size}"))
