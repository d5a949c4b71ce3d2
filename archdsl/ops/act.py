"""Functions of one element, and those along an axis: `softmax`, and `glu`, which alone changes the shape."""

from __future__ import annotations

from archdsl.core.windows import Reach
from archdsl.ops import axes
from archdsl.ops.base import (
    ArgFault,
    Leaf,
    Op,
    ShapeFault,
    X,
    arg,
    as_int,
    boolean,
    call,
    channel_count,
    channels,
    choice,
    everything,
    fixed,
    number,
    numbered,
    op,
    volume,
    with_channels,
    without_tokens,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import ClassVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call, Relation


class Activation(Op):
    """Base of the activations without weights: they keep the shape, and PyTorch has a module and a function."""

    torch: ClassVar[tuple[str, str]]  # names of the module and of the function
    operations: ClassVar[int]  # arithmetic operations for each element

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * self.operations

    def keywords(self) -> dict[str, Leaf]:
        """The arguments by PyTorch's names."""
        return {}

    def module(self, x: Shape) -> Call | None:
        return call(self.torch[0], **self.keywords())

    def function(self, *xs: Shape) -> Call | None:
        return call(self.torch[1], X, **self.keywords())


# `inplace` is for gradients that need the result only. PyTorch offers `inplace=True` for relu6, hardswish, silu, mish
# and hardsigmoid too, but then keeps a copy of the input for the gradient: a pass over memory more, and none saved.
PLAIN = (
    # operator, module, function, inplace, operations, what it does
    ("relu", "nn.ReLU", "F.relu", True, 1, "Rectified linear unit (`nn.ReLU`): max(x, 0)."),
    ("relu6", "nn.ReLU6", "F.relu6", False, 2, "Clipped rectified linear unit (`nn.ReLU6`): min(max(x, 0), 6)."),
    ("silu", "nn.SiLU", "F.silu", False, 5, "Sigmoid linear unit, or swish (`nn.SiLU`): x * sigmoid(x)."),
    ("mish", "nn.Mish", "F.mish", False, 5, "Mish (`nn.Mish`): x * tanh(log(1 + exp(x)))."),
    ("sigmoid", "nn.Sigmoid", "torch.sigmoid", False, 4, "Logistic function (`nn.Sigmoid`): 1 / (1 + exp(-x))."),
    ("tanh", "nn.Tanh", "torch.tanh", False, 1, "Hyperbolic tangent (`nn.Tanh`)."),
    ("hardswish", "nn.Hardswish", "F.hardswish", False, 5, "Hard swish (`nn.Hardswish`): x * clip(x + 3, 0, 6)/6."),
    ("hardsigmoid", "nn.Hardsigmoid", "F.hardsigmoid", False, 4, "Hard sigmoid (`nn.Hardsigmoid`): clip(x + 3, 0, 6)/6."),  # noqa: E501
)  # fmt: skip

for _name, _module, _function, _inplace, _operations, _doc in PLAIN:
    _body: dict[str, object] = {"__doc__": _doc, "__module__": __name__, "torch": (_module, _function)}
    _body |= {"inplace": _inplace, "operations": _operations}
    _body |= {"saves": ("result",)} if _name in ("relu", "sigmoid", "tanh") else {}
    op(_name, "pointwise", "fuses")(type(_module.removeprefix("nn."), (Activation,), _body))


@op("leaky_relu", "pointwise", "fuses")
class LeakyReLU(Activation):
    """Leaky rectified linear unit (`nn.LeakyReLU`): x where x > 0, else slope * x."""

    slope: float = arg(number(0), 0.01, doc="slope below zero")

    torch = ("nn.LeakyReLU", "F.leaky_relu")
    operations = 2
    inplace = True

    def keywords(self) -> dict[str, Leaf]:
        return {"negative_slope": self.leaf("slope", omit=0.01)}


@op("elu", "pointwise", "fuses")
class ELU(Activation):
    """Exponential linear unit (`nn.ELU`): x where x > 0, else alpha * (exp(x) - 1)."""

    alpha: float = arg(number(0), 1.0, doc="the limit far below zero is -alpha")

    torch = ("nn.ELU", "F.elu")
    operations = 3
    inplace = True

    def keywords(self) -> dict[str, Leaf]:
        return {"alpha": self.leaf("alpha", omit=1.0)}


@op("gelu", "pointwise", "fuses")
class GELU(Activation):
    """Gaussian error linear unit (`nn.GELU`): x * P(a standard normal is below x)."""

    approximate: str = arg(choice("none", "tanh"), "none", doc='"tanh" for the usual approximation')

    torch = ("nn.GELU", "F.gelu")

    @property
    def operations(self) -> int:  # type: ignore[override]
        """The operations of x * (1 + erf(x / √2)) / 2, or of the usual polynomial inside a tanh."""
        return 5 if self.approximate == "none" else 9

    def keywords(self) -> dict[str, Leaf]:
        return {"approximate": self.leaf("approximate", omit="none")}


@op("softmax")
class Softmax(Activation):
    """Softmax along an axis (`nn.Softmax`): the values along it become positive and sum to 1.

    Without an axis, along the channels at every position.
    """

    axis: str = arg(choice(*axes.NAMES), "channels", doc="along which axis")

    torch = ("nn.Softmax", "F.softmax")
    saves = ("result",)
    operations = 5  # maximum, difference, exp, sum, quotient

    def shape(self, x: Shape, *more: Shape) -> Shape:
        numbered(self.axis, x)
        return x

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return everything(y, axis) if axes.spatial(y, axis) == numbered(self.axis, y) else Reach.same()

    def dim(self, x: Shape) -> Leaf:
        """Return the number of the axis."""
        return Leaf(axes.in_code(numbered(self.axis, x), x))

    def module(self, x: Shape) -> Call:
        return call("nn.Softmax", dim=self.dim(x))

    def function(self, *xs: Shape) -> Call:
        return call("F.softmax", X, dim=self.dim(xs[0]))


@op("softplus", "pointwise", "fuses")
class Softplus(Activation):
    """A smooth rectifier (`nn.Softplus`): log(1 + exp(x)), which is positive."""

    torch = ("nn.Softplus", "F.softplus")
    operations = 3


@op("hardtanh", "pointwise", "fuses")
class Hardtanh(Activation):
    """Clipping to a range (`nn.Hardtanh`): min(max(x, low), high)."""

    low: float = arg(number(examples=(-1.0, 0.0)), -1.0, doc="the least value")
    high: float = arg(number(examples=(1.0, 6.0)), 1.0, doc="the largest value")

    torch = ("nn.Hardtanh", "F.hardtanh")
    operations = 2

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        if made.low >= made.high:  # type: ignore[attr-defined]
            raise ArgFault("high" if "high" in values else "low", "expects `low` to be less than `high`")
        return made

    def keywords(self) -> dict[str, Leaf]:
        return {"min_val": self.leaf("low", omit=-1.0), "max_val": self.leaf("high", omit=1.0)}


@op("glu")
class GLU(Activation):
    """Gated linear unit (`nn.GLU(1)`; Dauphin et al., 2017): [N, 2 C, H, W] -> [N, C, H, W], or [N, 2 F] -> [N, F].

    Of tokens too: [N, L, 2 C] -> [N, L, C].

    The first half of the channels is multiplied by the sigmoid of the second.
    """

    torch = ("nn.GLU", "F.glu")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        if channel_count(x) % 2:
            label = f"{channel_count(x)} channels have no two halves"
            raise ShapeFault("needs an even number of channels", label=label, at=0)
        return with_channels(x, channel_count(x) // 2)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from fixed(xs[0])

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * 5

    def module(self, x: Shape) -> Call:
        return call("nn.GLU", dim=Leaf(axes.in_code(axes.channel(x), x), omit=-1))

    def function(self, *xs: Shape) -> Call:
        return call("F.glu", X, dim=Leaf(axes.in_code(axes.channel(xs[0]), xs[0]), omit=-1))


class Function(Activation):
    """Base of the functions of one element that PyTorch has no module for."""

    def module(self, x: Shape) -> Call | None:
        return None


FUNCTIONS = (
    # operator, function, what autograd keeps, maps that the gradient needs on the way, what it does
    ("abs", "torch.abs", "operands", 1, "The absolute value (`torch.abs`): |x|."),
    ("exp", "torch.exp", "result", 0, "The exponential function (`torch.exp`)."),
    ("log", "torch.log", "operands", 0, "The natural logarithm (`torch.log`): NaN below zero, -infinity at zero."),
    ("sqrt", "torch.sqrt", "result", 1, "The square root (`torch.sqrt`): NaN below zero."),
)

for _name, _function, _saved, _scratch, _doc in FUNCTIONS:
    _body = {"__doc__": _doc, "__module__": __name__, "torch": ("", _function), "operations": 1}
    _body |= {"saves": (_saved,), "scratch": _scratch}
    op(_name, "pointwise", "fuses")(type(_name.capitalize(), (Function,), _body))


@op("prelu", "pointwise", "fuses")
class PReLU(Op):
    """Rectified linear unit with a learned slope below zero (`nn.PReLU`; He et al., 2015): keeps the shape."""

    per_channel: bool = arg(boolean(), False, doc="learn a slope for each channel, not one for all")
    slope: float = arg(number(), 0.25, doc="the slope before training")

    stateful = True

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return without_tokens(x, "one slope for all suits them") if self.per_channel else x

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        if self.per_channel:
            yield from fixed(xs[0])

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        return {"weight": (as_int(x[1]) if self.per_channel else 1,)}

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * 2

    def module(self, x: Shape) -> Call:
        slopes = channels(x) if self.per_channel else None
        return call("nn.PReLU", slopes, init=self.leaf("slope", omit=0.25))
