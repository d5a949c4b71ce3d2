"""Operators that move elements without computing: flattening, shuffles, margins, cuts and resampling."""

from __future__ import annotations

from archdsl.core.sizes import NUMBER, Size
from archdsl.core.windows import Reach
from archdsl.ops import axes
from archdsl.ops.base import (
    MAX_INT,
    ArgFault,
    Kind,
    Leaf,
    Measure,
    Op,
    Operand,
    Relation,
    ShapeFault,
    Sized,
    X,
    arg,
    as_int,
    boolean,
    call,
    choice,
    divides,
    everything,
    expression,
    extent,
    image,
    integer,
    is_symbolic,
    least,
    measured,
    numbered,
    op,
    optional,
    pair,
    show,
    tensor,
    volume,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call, Kernel


@op("flatten", "flattens")
class Flatten(Op):
    """One row of features for each image (`nn.Flatten`): [N, C, H, W] -> [N, C*H*W]."""

    saves = ()
    gradient = "same"

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return (x[0], volume(x))

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return everything(xs[0], axis)

    def module(self, x: Shape) -> Call:
        return call("nn.Flatten")

    def function(self, *xs: Shape) -> Call:
        return call("{0}.flatten", Leaf(1))


@op("shuffle", "fuses")
class Shuffle(Op):
    """Channel shuffle (ShuffleNet; Zhang et al., 2017): keeps the shape, [N, C, H, W].

    Channel j of group i moves to place j * groups + i, so that the next grouped convolution sees every group.
    """

    saves = ()

    groups: int = arg(integer(1, examples=(1, 2, 3, 4)), doc="it must divide the channels")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        divides(self.groups, as_int(image(x)[1]), "input")
        return x

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        if self.groups in (1, as_int(xs[0][1])):
            return ()
        return super().kernels(xs, ys)

    def function(self, *xs: Shape) -> Call:
        text = "{0}.unflatten(1, ({groups}, -1)).transpose(1, 2).flatten(1, 2)"
        return expression(text, groups=self.leaf("groups"))


@op("pixel_shuffle")
class PixelShuffle(Op):
    """Channels to space (`nn.PixelShuffle`; Shi et al., 2016): [N, C, H, W] -> [N, C / factor², factor*H, factor*W]."""

    saves = ()

    factor: int = arg(integer(1), doc="by which height and width grow; its square must divide the channels")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        area = self.factor**2
        if as_int(c) % area:
            label = f"{c} channels are not a multiple of {self.factor}² = {area}"
            raise ShapeFault("the square of factor must divide the channels", label=label, at="factor")
        return (n, as_int(c) // area, h * self.factor, w * self.factor)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.nearest(1, self.factor)

    def module(self, x: Shape) -> Call:
        return call("nn.PixelShuffle", self.leaf("factor"))

    def function(self, *xs: Shape) -> Call:
        return call("F.pixel_shuffle", X, self.leaf("factor"))


@op("pixel_unshuffle")
class PixelUnshuffle(Op):
    """Space to channels (`nn.PixelUnshuffle`): [N, C, H, W] -> [N, C * factor², H / factor, W / factor]."""

    saves = ()

    factor: int = arg(integer(1), doc="it must divide height and width")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        if int(h) % self.factor or int(w) % self.factor:
            label = f"{int(h)}x{int(w)} is not a multiple of {self.factor}"
            raise ShapeFault("factor must divide height and width", label=label, at="factor")
        return (n, c * self.factor**2, h // self.factor, w // self.factor)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        for axis in (2, 3):
            whole = xs[0][axis] // self.factor * self.factor
            if whole != xs[0][axis]:
                yield Relation(xs[0][axis], whole, axis, (0, 0))

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.window(self.factor, self.factor)

    def module(self, x: Shape) -> Call:
        return call("nn.PixelUnshuffle", self.leaf("factor"))

    def function(self, *xs: Shape) -> Call:
        return call("F.pixel_unshuffle", X, self.leaf("factor"))


def margins() -> Kind:
    """Rows and columns to add: one number, (height, width), or (left, right, top, bottom), which is the normal form."""

    def accept(value: object) -> tuple[int, ...]:
        sizes = value if isinstance(value, tuple) else (value,) * 4
        if len(sizes) not in (2, 4) or any(type(v) is not int or not 0 <= v <= MAX_INT for v in sizes):
            raise ValueError
        return sizes if len(sizes) == 4 else (sizes[1], sizes[1], sizes[0], sizes[0])

    text = "an integer ≥ 0, a pair (height, width) or (left, right, top, bottom)"
    return Kind(text, accept, (0, 1, 2, (1, 2), (2, 0), (0, 1, 2, 3), (3, 2, 1, 0)))


@op("pad")
class Pad(Op):
    """Margins around a map (`F.pad`): [N, C, H, W] -> [N, C, top + H + bottom, left + W + right].

    Filled with zeros, with the map mirrored at its edge (`reflect`) or with the edge itself (`replicate`).
    """

    saves = ()

    size: tuple[Any, ...] = arg(measured(margins(), 0), doc="one number, (height, width) or (left, right, top, bottom)")
    mode: str = arg(choice("constant", "reflect", "replicate"), "constant", doc="what fills the margins")

    def sides(self, *xs: Shape) -> tuple[tuple[Dim, Dim], tuple[Dim, Dim]]:
        """Return the margins by axis: (top, bottom), (left, right)."""
        left, right, top, bottom = self.at("size", xs)
        return (top, bottom), (left, right)

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, *spatial = image(x)
        sides = self.sides(x, *more)
        for dim, side in zip(spatial, sides):
            if min(map(int, side)) < 0:
                raise ShapeFault("a margin is negative", label=f"it is {min(map(int, side))}", at="size")
            if self.mode == "reflect" and max(map(int, side)) >= int(dim):
                label = f"a margin of {max(map(int, side))}, but the input is {int(spatial[0])}x{int(spatial[1])}"
                raise ShapeFault("a reflected margin must be smaller than its input", label=label, at="size")
        return (n, c, *[dim + (side[0] + side[1]) for dim, side in zip(spatial, sides)])

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        for axis, side in enumerate(self.sides(*xs), 2):
            for margin in side:
                yield from least(margin, 0, axis)
            if self.mode == "reflect":
                for margin in dict.fromkeys([max(side)] if not self.measures else side):  # type: ignore[type-var]
                    yield Relation(xs[0][axis], margin + 1, axis, (0, 0), at_least=True)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return None if operand else Reach.window(1, pad=int(self.sides(*xs)[axis][0]))

    def module(self, x: Shape) -> Call | None:
        if self.measures:
            return None
        targets = {"constant": "nn.ZeroPad2d", "reflect": "nn.ReflectionPad2d", "replicate": "nn.ReplicationPad2d"}
        return call(targets[self.mode], self.leaf("size"))

    def function(self, *xs: Shape) -> Call:
        return call("F.pad", X, self.sized("size"), mode=self.leaf("mode", omit="constant"))


def one_of(values: dict[str, object], *names: str) -> None:
    """Raise `ArgFault` unless exactly one of some arguments is given."""
    given = [name for name in names if values[name] is not None]
    if len(given) != 1:
        reason = f"needs exactly one of {', '.join(f'`{name}`' for name in names)}"
        raise ArgFault(given[1] if given else names[0], reason)


def target(op: Op, xs: tuple[Shape, ...]) -> tuple[Dim, ...]:
    """Return the height and width that an operator is given, as `size` or by a second operand."""
    found: tuple[Dim, ...] = op.at("size", xs) or image(xs[1], 1)[2:]
    return found


def as_arguments(*sizes: int | Measure) -> list[Leaf | Sized]:
    """Return sizes as arguments of a function."""
    return [Sized(size.code()) if isinstance(size, Measure) else Leaf(size) for size in sizes]


LIKE = (
    Measure(1, 2, Size.of(NUMBER), "height"),
    Measure(1, 3, Size.of(NUMBER), "width"),
)  # the height and width of the second operand


@op("crop")
class Crop(Op):
    """A part of a map, as in U-Net: [N, C, H, W] -> [N, C, *size], or the height and width of `like`.

    It is the centre, where margins are odd with the smaller one at the top and at the left, or starts at `offset`.
    """

    saves = ()

    size: tuple[Any, ...] | None = arg(
        measured(optional(pair(1, examples=(1, 2, 5, (3, 2))))), None, doc="of the result"
    )
    like: bool | None = arg(tensor(), None, doc="a tensor whose height and width the result takes")
    offset: tuple[Any, ...] | None = arg(
        measured(optional(pair(0, examples=(0, 1, (1, 0)))), 0), None, doc="rows and columns left out before the part"
    )

    support = '''\
def crop(
    x: torch.Tensor, height: int, width: int, top: int | None = None, left: int | None = None
) -> torch.Tensor:
    """Cut out a part of a map, its centre without a corner: [N, C, H, W] -> [N, C, *size]."""
    if top is None:
        top = (x.shape[2] - height) // 2
    if left is None:
        left = (x.shape[3] - width) // 2
    return x.narrow(2, top, height).narrow(3, left, width)
'''

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        one_of(made.__dict__, "size", "like")
        return made

    def shape(self, x: Shape, *more: Shape) -> Shape:
        size = target(self, (image(x), *more))
        offset = self.at("offset", (x, *more)) or (0, 0)
        if any(int(have) < int(want) + int(at) or int(at) < 0 for have, want, at in zip(x[2:], size, offset)):
            label = f"the input is {show(x)}, the crop {' x '.join(map(str, size))}"
            raise ShapeFault("a crop must be inside its input", label=label, at="size" if self.size else 1)
        return (*x[:2], *size)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        offset = self.at("offset", xs) or (0, 0)
        for axis, (want, start) in enumerate(zip(target(self, xs), offset), 2):
            yield from least(start, 0, axis)
            yield Relation(xs[0][axis], want + start, axis, (0, len(xs) - 1), at_least=True)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if operand:
            return None
        before = int(self.at("offset", xs)[axis]) if self.offset else (extent(xs[0], axis) - extent(y, axis)) // 2
        return Reach.window(1, pad=-before)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def function(self, *xs: Shape) -> Call:
        return call("crop", X, *as_arguments(*(self.size or LIKE)), *as_arguments(*(self.offset or ())))


@op("subsample", "view")
class Subsample(Op):
    """Every so many rows and columns of a map (`x[:, :, ::2, ::2]`): [N, C, H, W] -> [N, C, H', W'].

    H' = ceil((H - offset) / stride). `cat(*[subsample(2, offset=at) for at in [(0, 0), (1, 0), (0, 1), (1, 1)]])`
    merges each patch of 2x2 places into one, as Swin does, and YOLOv5's focus.
    """

    saves = ()

    stride: tuple[int, int] = arg(pair(1), doc="from one that is taken to the next")
    offset: tuple[int, int] = arg(pair(0, examples=(0, 1, (1, 0))), 0, doc="rows and columns before the first")

    @property
    def scratch(self) -> float:  # type: ignore[override]
        """The gradient of the rows that are taken, before that of all."""
        rows, columns = [step > 1 or start > 0 for step, start in zip(self.stride, self.offset)]
        return 1 / self.stride[0] if rows and columns else 0.0

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, *spatial = image(x)
        for size, start in zip(spatial, self.offset):
            if int(size) <= start:
                label = f"{self.offset[0]} rows and {self.offset[1]} columns of {int(x[2])}x{int(x[3])}"
                raise ShapeFault("offset leaves nothing of the input", label=label, at="offset")
        return (n, c, *[-(-(size - start) // step) for size, start, step in zip(spatial, self.offset, self.stride)])

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.window(1, self.stride[axis], pad=-self.offset[axis])

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def function(self, *xs: Shape) -> Call:
        (down, across), (top, left) = self.stride, self.offset
        rows, columns = [Leaf(step, "{stride}" if down == across else "") for step in self.stride]
        return expression(f"{{0}}[:, :, {top or ''}::{{rows}}, {left or ''}::{{columns}}]", rows=rows, columns=columns)


@op("pad_channels")
class PadChannels(Op):
    """Channels of zeros after the last, as in ResNet's shortcuts A: [N, C, H, W] -> [N, C + count, H, W]."""

    saves = ()

    count: int = arg(integer(0, 1 << 20), doc="channels to add")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return (x[0], as_int(image(x)[1]) + self.count, *x[2:])

    def function(self, *xs: Shape) -> Call:
        return expression("F.pad({0}, (0, 0, 0, 0, 0, {count}))", count=self.leaf("count"))


@op("slice", "view")
class Slice(Op):
    """A range of channels (`x[:, start:stop]`): [N, C, H, W] -> [N, stop - start, H, W].

    Or of rows, columns or tokens: `slice(0, 1, axis="tokens")` is the first token.
    """

    saves = ()

    start: Any = arg(measured(integer(0, examples=(0, 1, 2)), 0), doc="the first channel, counted from 0")
    stop: Any = arg(measured(integer(1, examples=(1, 2, 4, 6))), doc="one past the last channel")
    axis: str = arg(choice(*axes.NAMES), "channels", doc="along which axis")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        number = numbered(self.axis, x)
        start, stop = self.ends(x, *more)
        if self.axis == "channels" and is_symbolic(stop - start):
            label = f"{stop - start} of them, which changes with the input"
            raise ShapeFault("the number of channels must be the same for all inputs", label=label, at="stop")
        if not 0 <= int(start) < int(stop) <= int(x[number]):
            label = f"{self.axis} {int(start)} to {int(stop)} of {int(x[number])}"
            raise ShapeFault(f"a slice must be inside the {self.axis}", label=label, at="stop")
        return (*x[:number], stop - start, *x[number + 1 :])

    def ends(self, *xs: Shape) -> tuple[Dim, Dim]:
        """Return where the range starts and where it stops, for operands of these shapes."""
        return self.at("start", xs), self.at("stop", xs)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        number = numbered(self.axis, xs[0])
        start, stop = self.ends(*xs)
        yield from least(start, 0, number)
        if is_symbolic(xs[0][number]) or is_symbolic(stop):
            yield Relation(xs[0][number], stop, number, (0, 0), at_least=True)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if operand:
            return None
        here = axes.spatial(y, axis) == numbered(self.axis, y)
        return Reach.window(1, pad=-int(self.ends(*xs)[0])) if here else super().reach(axis, operand, xs, y)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def function(self, *xs: Shape) -> Call:
        number = numbered(self.axis, xs[0])
        if self.measures:
            start, stop = [one.code() if isinstance(one, Measure) else str(one) for one in (self.start, self.stop)]
            less = f"({start})" if " + " in start or " - " in start else start
            places = ", ".join([str(axes.in_code(number, xs[0])), start, f"{stop} - {less}" if start != "0" else stop])
            return expression(f"{{0}}.narrow({places})")
        if is_symbolic(xs[0][number]):  # a range of Python ends early where there are too few, without a word
            count = Leaf(self.stop - self.start, "{stop} - {start}")
            axis = Leaf(axes.in_code(number, xs[0]))
            return call("{0}.narrow", axis, self.leaf("start"), length=count)
        before = "..." if axes.in_code(number, xs[0]) < 0 else ", ".join([":"] * number)
        return expression(f"{{0}}[{before}, {{start}}:{{stop}}]", start=self.leaf("start"), stop=self.leaf("stop"))


@op("reshape")
class Reshape(Op):
    """The same elements as maps of another shape (`nn.Unflatten`): [N, F] -> [N, channels, height, width].

    A map [N, C, H, W] is flattened first. The number of elements of an image must stay the same.
    """

    saves = ()
    gradient = "same"

    channels: int = arg(integer(1, examples=(1, 2, 4, 6)), doc="of the result")
    height: Any = arg(measured(integer(1, examples=(1, 2, 3))), doc="of the result")
    width: Any = arg(measured(integer(1, examples=(1, 2, 5))), doc="of the result")

    def shape(self, x: Shape, *more: Shape) -> Shape:
        y = (x[0], self.channels, self.at("height", (x, *more)), self.at("width", (x, *more)))
        if int(volume(x)) != int(volume(y)):
            label = f"{show(x)} has {volume(x)} elements an image, the result {volume(y)}"
            raise ShapeFault("reshape must keep the number of elements", label=label, at=0)
        return y

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        elements = volume(self.shape(*xs))
        if volume(xs[0]) != elements:
            yield Relation(volume(xs[0]), elements, axes.channel((xs[0][0], elements)), (0, 0))

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return ()  # a view

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return None if operand else everything(xs[0], axis)

    def leaves(self) -> tuple[Leaf, Leaf]:
        """The arguments of `nn.Unflatten`."""
        return Leaf(1), Leaf((self.channels, self.height, self.width), "({channels}, {height}, {width})")

    def module(self, x: Shape) -> Call | None:
        return call("nn.Unflatten", *self.leaves()) if len(x) == 2 and not self.measures else None

    def function(self, *xs: Shape) -> Call:
        if self.measures:
            high, wide = [one.code() if isinstance(one, Measure) else str(one) for one in (self.height, self.width)]
            flat = "" if len(xs[0]) == 2 else ".flatten(1)"
            return expression(
                f"{{0}}{flat}.unflatten(1, ({{channels}}, {high}, {wide}))", channels=self.leaf("channels")
            )
        return call("{0}.unflatten" if len(xs[0]) == 2 else "{0}.flatten(1).unflatten", *self.leaves())


@op("upsample")
class Upsample(Op):
    """Resampling to another size (`F.interpolate`): [N, C, H, W] -> [N, C, H', W'].

    The size is given in one of three ways: `scale` times that of the input, `size`, or the height and width of `like`.
    """

    saves = ()

    scale: tuple[int, int] | None = arg(optional(pair(1)), None, doc="factor, one number or (height, width)")
    size: tuple[Any, ...] | None = arg(
        measured(optional(pair(1))), None, doc="of the result, one number or (height, width)"
    )
    like: bool | None = arg(tensor(), None, doc="a tensor whose height and width the result takes")
    mode: str = arg(choice("nearest", "bilinear"), "nearest", doc="how values between two pixels are found")
    align_corners: bool = arg(boolean(), False, doc="with bilinear, keep the corner pixels where they are")

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        one_of(made.__dict__, "scale", "size", "like")
        if made.align_corners and made.mode == "nearest":  # type: ignore[attr-defined]
            raise ArgFault("align_corners", 'needs mode="bilinear"')
        return made

    def shape(self, x: Shape, *more: Shape) -> Shape:
        n, c, h, w = image(x)
        if self.scale:
            return (n, c, h * self.scale[0], w * self.scale[1])
        return (n, c, *target(self, (x, *more)))

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return 0 if self.mode == "nearest" else volume(ys[0]) * 9  # three interpolations of three operations

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return super().kernels(xs[:1], ys)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if operand:
            return None
        size, cells = extent(xs[0], axis), extent(y, axis)
        return Reach.nearest(size, cells) if self.mode == "nearest" else Reach.linear(size, cells, self.align_corners)

    def keywords(self) -> dict[str, Leaf | Operand | Sized | None]:
        """The arguments by PyTorch's names."""
        return {
            "size": Operand(1, ".shape[2:]") if self.like else self.sized("size", omit=None),
            "scale_factor": self.leaf("scale", omit=None),
            "mode": self.leaf("mode", omit="nearest"),
            "align_corners": self.leaf("align_corners", omit=False),
        }

    def module(self, x: Shape) -> Call | None:
        return None if self.like or self.measures else call("nn.Upsample", **self.keywords())

    def function(self, *xs: Shape) -> Call:
        factor = self.leaf("scale", omit=None)
        if self.scale is not None:  # TorchScript takes no whole numbers here
            high, wide = self.scale
            factor = Leaf((float(high), float(wide)), "float({scale})" if high == wide else "")
        return call("F.interpolate", X, **{**self.keywords(), "scale_factor": factor})
