"""Signs: what `a - b`, `a / b`, `-a`, `a**2`, and a sign between a tensor and a number are in the network.

`a + b` and `a * b` of tensors are `add` and `mul`. None of these has a name in a text, nor a module.
"""

from __future__ import annotations

from archdsl.ops.base import Kernel, Op, arg, expression, op, scalar, volume
from archdsl.ops.merge import Repeating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call


class Binary(Repeating):
    """Base of the signs between two tensors, in this order."""

    @property
    def said(self) -> str:
        return f"a{self.sign}b"


@op("sub", "inner", "sign", "joins", "repeats")
class Sub(Binary):
    """Difference of two tensors, element by element (`a - b`): [N, C, H, W] or [N, F]; axes of size 1 are repeated."""

    sign = " - "
    saves = ()
    gradient = "first"


@op("div", "inner", "sign", "joins", "repeats")
class Div(Binary):
    """Quotient of two tensors, element by element (`a / b`): [N, C, H, W] or [N, F]; axes of size 1 are repeated."""

    sign = " / "
    scratch = 2


class Sign(Op):
    """Base of the signs on one tensor: they keep its shape."""

    code: ClassVar[str]  # with the tensor as `{0}`, and the number as `{value}`
    saves: ClassVar[tuple[str, ...]] = ()

    @property
    def said(self) -> str:
        return self.code.format("a", **{name: getattr(self, name) for name in self.args})

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return x

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0])

    def function(self, *xs: Shape) -> Call:
        return expression(self.code, **{name: self.leaf(name) for name in self.args})


@op("neg", "inner", "sign", "pointwise", "fuses")
class Neg(Sign):
    """A tensor with the other sign (`-a`): keeps the shape."""

    code = "-{0}"


class WithNumber(Sign):
    """Base of the signs between a tensor and a number."""

    value: float = arg(scalar(), doc="the number")


# What autograd keeps is measured: a factor and a divisor are no tensors, `1 / x` keeps the reciprocal, `x**2` keeps x.
ROWS = (
    # operator, code, what autograd keeps, the gradient, maps that it needs on the way, what it is
    ("plus", "{0} + {value}", (), "same", 0, "A tensor and a number, added (`a + 1`)"),
    ("minus", "{0} - {value}", (), "same", 0, "A tensor less a number (`a - 1`)"),
    ("rsub", "{value} - {0}", (), "new", 0, "A number less a tensor (`1 - a`)"),
    ("times", "{0} * {value}", (), "new", 0, "A tensor times a number (`2 * a`)"),
    ("power", "{0} ** {value}", ("operands",), "new", 2, "A tensor to the power of a number (`a**2`)"),
)

for _name, _code, _saves, _gradient, _scratch, _doc in ROWS:
    _body: dict[str, object] = {"__doc__": f"{_doc}: keeps the shape.", "__module__": __name__, "code": _code}
    _body |= {"saves": _saves, "gradient": _gradient, "scratch": _scratch}
    op(_name, "inner", "sign", "pointwise", "fuses")(type(_name.capitalize(), (WithNumber,), _body))


@op("over", "inner", "sign", "pointwise", "fuses")
class Over(WithNumber):
    """A tensor divided by a number (`a / 2`): keeps the shape."""

    value: float = arg(scalar(zero=False), doc="the number")

    code = "{0} / {value}"


@op("rdiv", "inner", "sign", "pointwise", "fuses")
class Rdiv(WithNumber):
    """A number divided by a tensor (`1 / a`): keeps the shape. PyTorch multiplies the number by the reciprocal."""

    code = "{value} / {0}"
    saves = ("extras",)
    scratch = 2

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one = volume(xs[0])
        return (Kernel("reciprocal", (one,), (one,)), Kernel("mul", (one,), (one,)))

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one = volume(xs[0])
        return (Kernel(self.name, (one,), (one, one)),)
