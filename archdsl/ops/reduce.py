"""Reductions over axes that are named: `mean`, `sum`, `max`, `min`, `var`. The axes stay, with size 1.

So the result can be multiplied back: `x * (x -> mean("channels") -> sigmoid)` weighs positions.
"""

from __future__ import annotations

from archdsl.core.windows import Reach
from archdsl.ops import axes
from archdsl.ops.base import Kind, Leaf, Op, arg, call, everything, extent, numbered, op, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call


def names() -> Kind:
    """One name of an axis, or a list of them; the normal form is in the order of a map's axes."""

    def accept(value: object) -> tuple[str, ...]:
        given = value if isinstance(value, tuple) else (value,)
        texts = [axes.EITHER.get(name, name) for name in given if isinstance(name, str)]
        if len(texts) < len(given) or not texts or not set(axes.NAMES) >= set(texts) or len(set(texts)) < len(texts):
            raise ValueError
        return tuple(sorted(texts, key=axes.NAMES.index))

    examples = ("channels", "height", "width", ("height", "width"), ("channels", "width"), "tokens")
    *first, last = [f'"{name}"' for name in (*axes.NAMES, *axes.EITHER)]
    return Kind(f"{', '.join(first)} or {last}, or a list of these", accept, examples)


class Reduction(Op):
    """Base of the reductions: [N, C, H, W] -> the same with size 1 along the axes; [N, F] -> [N, 1]."""

    axes: tuple[str, ...] = arg(names(), doc="over which axes")

    torch: ClassVar[str]  # name of the method
    operations: ClassVar[int] = 1  # for each element of the operand

    def shape(self, x: Shape, *more: Shape) -> Shape:
        numbers = self.numbers(x)
        return tuple([1 if axis in numbers else size for axis, size in enumerate(x)])

    def numbers(self, x: Shape) -> tuple[int, ...]:
        """Return the numbers of the axes, in their order."""
        return tuple(sorted([numbered(name, x, "axes") for name in self.axes]))

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(xs[0]) * self.operations

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        gone = axes.spatial(y, axis) in self.numbers(y)
        return everything(xs[0], axis) if gone and extent(xs[0], axis) > 1 else Reach.same()

    def keywords(self) -> dict[str, Leaf]:
        """The arguments after the axes, by PyTorch's names."""
        return {"keepdim": Leaf(True)}

    def function(self, *xs: Shape) -> Call:
        numbers = tuple([axes.in_code(number, xs[0]) for number in self.numbers(xs[0])])
        return call(f"{{0}}.{self.torch}", Leaf(numbers[0] if len(numbers) == 1 else numbers), **self.keywords())


@op("mean")
class Mean(Reduction):
    """Mean over axes (`x.mean(…, keepdim=True)`), which stay with size 1: `mean("channels")`."""

    torch = "mean"
    saves = ()


@op("sum")
class Sum(Reduction):
    """Sum over axes (`x.sum(…, keepdim=True)`), which stay with size 1: `sum(["height", "width"])`."""

    torch = "sum"
    saves = ()
    gradient = "same"


@op("max")
class Max(Reduction):
    """Maximum over axes (`x.amax(…, keepdim=True)`), which stay with size 1: `max("channels")`."""

    torch = "amax"
    saves = ("operands", "result")
    scratch = 1


@op("min")
class Min(Reduction):
    """Minimum over axes (`x.amin(…, keepdim=True)`), which stay with size 1: `min("channels")`."""

    torch = "amin"
    saves = ("operands", "result")
    scratch = 1


@op("var")
class Var(Reduction):
    """Variance over axes, as norms take it (`x.var(…, correction=0, keepdim=True)`): divided by the count, not less 1.

    The axes stay with size 1: `var(["height", "width"])`.
    """

    torch = "var"
    operations = 4  # of the mean one, of the squared differences three
    scratch = 1

    def keywords(self) -> dict[str, Leaf]:
        return {"correction": Leaf(0), **super().keywords()}
