"""Maps as tokens and back: `tokens`, `untokens`, of a whole map or of windows of it; `transpose`.

Tokens [N, L, C] have their channels last, as PyTorch's linear layers and norms take them. Tokens in windows keep the
windows in rows and columns, [N, rows, columns, L, C], so that sizes stay exact and a window sees only itself.
"""

from __future__ import annotations

from archdsl.core.windows import Reach
from archdsl.ops.base import (
    ArgFault,
    Kernel,
    Leaf,
    Measure,
    Op,
    Operand,
    Relation,
    ShapeFault,
    arg,
    boolean,
    call,
    channel_count,
    everything,
    expression,
    extent,
    fixed,
    image,
    measured,
    op,
    optional,
    pair,
    product,
    show,
    tensor,
    volume,
)
from archdsl.ops.base import tokens as as_tokens
from archdsl.ops.reshape import LIKE, as_arguments, one_of, target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, ClassVar

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call

WAYS = ("window", "every", "grid")
SIDES = optional(pair(1, examples=(1, 2, 3, (2, 1), (1, 3))))


class Windows(Op):
    """Base of what cuts a map into windows and puts it together again; in one of three ways, or not at all."""

    window: tuple[int, int] | None = arg(SIDES, None, doc="neighbours: windows of so many rows and columns")
    every: tuple[int, int] | None = arg(SIDES, None, doc="every so many rows and columns: a window for each remainder")
    grid: tuple[int, int] | None = arg(
        SIDES, None, doc="so many rows and columns, evenly spaced, a window for each start"
    )
    pad: bool = arg(boolean(), False, doc="fill up with zeros, below and on the right, what is no multiple of a window")

    saves = ()
    moves: ClassVar[Callable[..., bool]]  # whether elements go to other places, from the shapes of operands and results

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        given = [way for way in WAYS if made.__dict__[way] is not None]
        if len(given) > 1:
            raise ArgFault(given[1], f"excludes `{given[0]}`")
        if made.__dict__["pad"] and not given:
            raise ArgFault("pad", "needs `window`, `every` or `grid`")
        return made

    @property
    def way(self) -> str:
        """How windows are cut, or nothing."""
        return next((way for way in WAYS if getattr(self, way) is not None), "")

    @property
    def sides(self) -> tuple[int, int]:
        """What must divide the height and the width."""
        sides: tuple[int, int] = getattr(self, self.way)
        return sides

    def padded(self, size: Dim, axis: int) -> Dim:
        """Return a height (axis 0) or a width as a multiple of what must divide it."""
        side = self.sides[axis]
        return -(-size // side) * side if self.pad else size // side * side

    def inside(self, sizes: Sequence[Dim]) -> tuple[tuple[Dim, Dim], Dim]:
        """Return how many windows a map of a size has along its height and its width, and the tokens of one."""
        parts = [self.padded(size, axis) // self.sides[axis] for axis, size in enumerate(sizes)]
        rows, columns = parts if self.way != "every" else self.sides
        return (rows, columns), product(self.sides if self.way != "every" else parts)

    def needs(self, sizes: tuple[Dim, ...], operand: int) -> Iterator[Relation]:
        """Yield that what is not filled up must be a multiple of a window."""
        for axis, size in enumerate(sizes):
            whole = self.padded(size, axis)
            if not self.pad and whole != size:
                yield Relation(size, whole, axis + 2, (operand, operand))

    def whole(self, sizes: Sequence[Dim], at: str | int) -> None:
        """Raise `ShapeFault` where a map is no multiple of a window."""
        if not self.pad and any(int(size) % side for size, side in zip(sizes, self.sides)):
            label = f"{int(sizes[0])}x{int(sizes[1])} is not a multiple of {self.sides[0]}x{self.sides[1]}"
            raise ShapeFault(f"`{self.way}` must divide height and width", label=label, at=at, help="or `pad=true`")

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        copies = self.way and self.moves(xs, ys)
        return super().kernels(xs[:1], ys) if copies else ()  # else a view of a map, or of tokens, that is dense

    def arguments_of(self) -> tuple[tuple[Leaf, ...], dict[str, Leaf]]:
        """The windows as arguments of a function: one side where they are square, and whether maps are filled up."""
        high, wide = self.sides
        sides = (Leaf(high, f"{{{self.way}}}"),) if high == wide else (Leaf(high), Leaf(wide))
        return sides, {"pad": self.leaf("pad", omit=False)}


@op("tokens", "copies")
class Tokens(Windows):
    """The positions of a map as tokens, row by row: [N, C, H, W] -> [N, H*W, C].

    Or tokens in windows: of neighbours with `window=7` (Swin; Liu et al., 2021), of every second row and column with
    `every=2` (MobileViT; Mehta and Rastegari, 2022), of a grid over all of the map with `grid=7` (MaxViT; Tu et al.,
    2022). They are [N, rows, columns, L, C]: so many windows along the height and along the width, each of L tokens.
    """

    support = '''\
def to_windows(
    x: torch.Tensor, height: int, width: int | None = None, pad: bool = False
) -> torch.Tensor:
    """Cut a map into windows of neighbours, [N, H / height, W / width, height * width, C]."""
    width = height if width is None else width
    x = filled(x, height, width) if pad else x
    x = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def to_every(
    x: torch.Tensor, height: int, width: int | None = None, pad: bool = False
) -> torch.Tensor:
    """Take every so many rows and columns of a map, [N, height, width, tokens, C]."""
    width = height if width is None else width
    x = filled(x, height, width) if pad else x
    x = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    return x.permute(0, 3, 5, 2, 4, 1).flatten(3, 4)


def to_grid(
    x: torch.Tensor, height: int, width: int | None = None, pad: bool = False
) -> torch.Tensor:
    """Take grids over all of a map, [N, H / height, W / width, height * width, C]."""
    width = height if width is None else width
    x = filled(x, height, width) if pad else x
    x = x.unflatten(3, (width, -1)).unflatten(2, (height, -1))
    return x.permute(0, 3, 5, 2, 4, 1).flatten(3, 4)


def filled(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Add zeros below and on the right of a map until its height and width are multiples."""
    return F.pad(x, (0, -x.shape[3] % width, 0, -x.shape[2] % height))
'''

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, *spatial = image(x)
        if not self.way:
            return (n, product(spatial), c)
        self.whole(spatial, 0)
        windows, count = self.inside(spatial)
        return (n, *windows, count, c)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        if self.way:
            yield from self.needs(xs[0][2:], 0)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one, whole = volume(xs[0]), volume(ys[0])
        margins = (Kernel("pad", (one,), (whole,)),) if self.pad else ()
        return (*margins, *[kernel.replace(reads=(whole,)) for kernel in super().kernels(xs, ys)])

    def moves(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> bool:
        """Say whether a step from one row of a window to the next is no step of the same length through memory."""
        rows, columns = [extent(ys[0], axis) for axis in (0, 1)]
        if self.way == "window":
            return columns > 1 and min(self.sides) > 1
        inside = [int(self.padded(size, axis)) // n for axis, (size, n) in enumerate(zip(xs[0][2:], (rows, columns)))]
        return rows > 1 and min(inside) > 1

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if not self.way:
            return everything(xs[0], axis)
        side, windows = self.sides[axis], extent(y, axis)
        if self.way == "window":
            return Reach.window(side, side)
        count = side if self.way == "grid" else int(self.padded(xs[0][axis + 2], axis)) // side
        return Reach.window(windows * (count - 1) + 1)

    def function(self, *xs: Shape) -> Call:
        if not self.way:
            return expression("{0}.flatten(2).transpose(1, 2)")
        sides, options = self.arguments_of()
        return call("to_windows" if self.way == "window" else f"to_{self.way}", Operand(0), *sides, **options)


@op("untokens", "copies")
class Untokens(Windows):
    """Tokens as a map again, the inverse of `tokens` with the same windows: [N, H*W, C] -> [N, C, H, W].

    Its height and width are those of `like`, the map that was cut, or `size`.
    """

    like: bool | None = arg(tensor(), None, doc="a map whose height and width the result takes")
    size: tuple[Any, ...] | None = arg(measured(optional(pair(1))), None, doc="height and width of the result")

    support = '''\
def from_windows(
    x: torch.Tensor, rows: int, columns: int, height: int, width: int | None = None
) -> torch.Tensor:
    """Put a map together of windows of neighbours: [N, rows, columns, height * width, C]."""
    width = height if width is None else width
    x = x.unflatten(3, (height, width)).permute(0, 5, 1, 3, 2, 4)
    return x.flatten(4, 5).flatten(2, 3)[:, :, :rows, :columns]


def from_every(
    x: torch.Tensor, rows: int, columns: int, height: int, width: int | None = None
) -> torch.Tensor:
    """Put a map together of every so many rows and columns, [N, height, width, tokens, C]."""
    width = height if width is None else width
    x = x.unflatten(3, (-(-rows // height), -(-columns // width))).permute(0, 5, 3, 1, 4, 2)
    return x.flatten(4, 5).flatten(2, 3)[:, :, :rows, :columns]


def from_grid(
    x: torch.Tensor, rows: int, columns: int, height: int, width: int | None = None
) -> torch.Tensor:
    """Put a map together of grids over all of it, [N, H / height, W / width, height * width, C]."""
    width = height if width is None else width
    x = x.unflatten(3, (height, width)).permute(0, 5, 3, 1, 4, 2)
    return x.flatten(4, 5).flatten(2, 3)[:, :, :rows, :columns]
'''

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        one_of(made.__dict__, "like", "size")
        return made

    def shape(self, x: Shape, *more: Shape) -> Shape:
        size = target(self, (x, *more))
        if len(as_tokens(x)) != (5 if self.way else 3):
            title = (
                "tokens in windows need the windows that they are in" if len(x) == 5 else "these tokens have no windows"
            )
            raise ShapeFault(title, label=f"the input is {show(x)}", at=self.way or 0)
        if self.way:
            self.whole(size, "size" if self.size else 1)
        wanted = self.shape_before(x, size)
        if tuple(map(int, wanted[1:-1])) != tuple(map(int, x[1:-1])):
            label = f"the input is {show(x)}, and a map of {int(size[0])}x{int(size[1])} is {show(wanted)}"
            raise ShapeFault("the tokens are not those of such a map", label=label, at="size" if self.size else 1)
        return (x[0], channel_count(x), *size)

    def shape_before(self, x: Shape, size: tuple[Dim, ...]) -> Shape:
        """Return the tokens that a map of a size has."""
        if not self.way:
            return (x[0], product(size), x[-1])
        windows, count = self.inside(size)
        return (x[0], *windows, count, x[-1])

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        yield from fixed(xs[0])  # the channels of a map are a number
        size, operand = target(self, xs), len(xs) - 1
        if self.way:
            yield from self.needs(size, operand)
        for axis, (have, want) in enumerate(zip(xs[0], self.shape_before(xs[0], size))):
            if have != want:
                yield Relation(have, want, axis, (0, 0))

    def moves(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> bool:
        """Say whether rows and columns of the map are no steps of one length through the memory of the tokens."""
        (high, wide), rows, columns = self.sides, *[extent(xs[0], axis) for axis in (0, 1)]
        if self.way == "window":
            return columns > 1 and high > 1 and (wide > 1 or rows > 1)
        return any(n > 1 and int(self.padded(extent(ys[0], axis), axis)) > n for axis, n in enumerate((rows, columns)))

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if operand:
            return None
        if not self.way:
            return Reach.constant(0, 0)
        windows = extent(xs[0], axis)
        if self.way == "window":
            return Reach.nearest(windows, windows * self.sides[axis])
        return Reach(windows, 0, tuple([(i, i) for i in range(windows)]))

    def function(self, *xs: Shape) -> Call:
        if not self.way and self.like:
            return expression("{0}.transpose(1, 2).unflatten(2, {1}.shape[2:])")
        size = self.size or LIKE
        if not self.way and self.measures:
            high, wide = [one.code() if isinstance(one, Measure) else str(one) for one in size]
            return expression(f"{{0}}.transpose(1, 2).unflatten(2, ({high}, {wide}))")
        if not self.way:
            high, wide = size
            rows, columns = [Leaf(side, "{size}" if high == wide else "") for side in (high, wide)]
            return expression("{0}.transpose(1, 2).unflatten(2, ({rows}, {columns}))", rows=rows, columns=columns)
        sides, _ = self.arguments_of()
        return call(
            "from_windows" if self.way == "window" else f"from_{self.way}", Operand(0), *as_arguments(*size), *sides
        )


@op("transpose", "view")
class Transpose(Op):
    """The last two axes exchanged: [N, L, C] -> [N, C, L], and a map [N, C, H, W] -> [N, C, W, H].

    So tokens are mixed by a layer for channels: with `count = x.tokens` before it, `transpose -> linear(count) ->
    transpose`, since in a chain `x` is what reaches the step.
    """

    saves = ()
    gradient = "same"

    def shape(self, x: Shape, *more: Shape) -> Shape:
        if len(x) == 2:
            raise ShapeFault("needs two axes to exchange", label=f"the input is {show(x)}", at=0)
        return (*x[:-2], x[-1], x[-2])

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return everything(xs[0], axis) if len(y) == 4 else Reach.same()

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def function(self, *xs: Shape) -> Call:
        return expression("{0}.transpose(-2, -1)")
