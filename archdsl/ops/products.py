"""Tensors in products: `matmul`, and `attention`, in which places of a map, or tokens, look at others."""

from __future__ import annotations

from archdsl.core.windows import Reach
from archdsl.ops import axes
from archdsl.ops.base import (
    ArgFault,
    Call,
    Kernel,
    Leaf,
    Op,
    Operand,
    Relation,
    ShapeFault,
    agree,
    arg,
    as_int,
    call,
    channel_count,
    divides,
    equalities,
    everything,
    fixed,
    integer,
    op,
    optional,
    pair,
    product,
    show,
    volume,
    with_channels,
)
from archdsl.ops.base import tokens as as_tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.core.sizes import Dim, Shape


LONG = 8  # bytes of the number of a window


@op("matmul", "inner", "multiplies")
class MatMul(Op):
    """Product of matrices (`a @ b`): [N, L, K], [N, K, M] -> [N, L, M], of tokens in windows for each window."""

    def shape(self, x: Shape, *more: Shape) -> Shape:
        count(self.name, more, 1)
        (y,) = more
        agree("matmul", as_tokens(x), as_tokens(y, 1), 1, range(len(x) - 2))
        if int(x[-1]) != int(y[-2]):
            label = f"{show(y)} has {int(y[-2])} rows, and the first operand {int(x[-1])} columns"
            raise ShapeFault(
                "rows and columns of a product differ", label=label, at=1, help="`transpose` exchanges them"
            )
        return (*x[:-1], y[-1])

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        x, y = xs
        yield from equalities(x, y, 1, range(len(x) - 2))
        if x[-1] != y[-2]:
            yield Relation(x[-1], y[-2], len(y) - 2, (0, 1))

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * xs[0][-1]

    def function(self, *xs: Shape) -> Call:
        return Call("", (Operand(0), Operand(1)), infix=" @ ")


@op("attention", "inner", "multiplies")
class Attention(Op):
    """Scaled dot-product attention (Vaswani et al., 2017): softmax(q kᵀ / √d) v, in `heads` parts of the channels.

    Its branches are the queries, the keys and the values: tokens [N, L, C], [N, M, C] and [N, M, D] -> [N, L, D], or
    maps, whose places are the tokens. Tokens in windows see their window alone. A fourth branch, [N, heads, L, M], is
    added to the products before the softmax, in every window. Without branches the channels are divided into queries,
    keys and values.

    Of a map, `window=7` lets a place look at those of its window of 7 rows and columns alone, and `shift=3` moves the
    windows down and to the right (Swin; Liu et al., 2021): those at the edges of the map end there. A window that is
    as high, or as wide, as the map is not moved along it.
    """

    heads: int = arg(integer(1, examples=(1, 2, 4)), 1, doc="parts of the channels, each with weights of its own")
    window: tuple[int, int] | None = arg(
        optional(pair(1, examples=(1, 2, 3, (2, 1), (1, 3)))), None, doc="of a map: rows and columns of its windows"
    )
    shift: tuple[int, int] = arg(
        pair(0, examples=(0, 1, (1, 0), (0, 2))),
        0,
        doc="rows and columns by which the windows are moved, less than a window",
    )

    maps: bool = False  # whose places are copied to tokens first
    fused: bool = True  # in evaluation, by one kernel that keeps the products to itself
    written: float = 0.0  # in training, products for each element of the queries; none by that kernel
    support = '''\
def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None = None,
    heads: int = 1,
) -> torch.Tensor:
    """Let tokens [N, L, C] attend to tokens [N, M, C], each head with its part of the channels."""
    q = q.unflatten(-1, (heads, -1)).transpose(1, 2)
    k = k.unflatten(-1, (heads, -1)).transpose(1, 2)
    v = v.unflatten(-1, (heads, -1)).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2).flatten(2)


def attention_of_maps(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None = None,
    heads: int = 1,
) -> torch.Tensor:
    """Attention of the places of a map to those of another."""
    # Fused kernels need the channels of a place side by side.
    places = [x.flatten(2).transpose(1, 2).contiguous() for x in (q, k, v)]
    made = attention(places[0], places[1], places[2], bias, heads)
    return made.transpose(1, 2).unflatten(2, q.shape[2:])


def attention_in_windows(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None = None,
    heads: int = 1,
) -> torch.Tensor:
    """Attention of tokens [N, rows, columns, L, C] to the tokens of their windows."""
    if bias is not None:  # the same in every window
        windows = q.shape[1] * q.shape[2]
        bias = bias.unsqueeze(1).expand(-1, windows, -1, -1, -1).flatten(0, 1)
    made = attention(q.flatten(0, 2), k.flatten(0, 2), v.flatten(0, 2), bias, heads)
    return made.unflatten(0, q.shape[:3])


def windowed_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None = None,
    heads: int = 1,
    window: int = 1,
    shift: int = 0,
    width: int | None = None,
    across: int | None = None,
) -> torch.Tensor:
    """Attention of the places of a map to those of their window; windows end at its edges."""
    width = window if width is None else width
    across = shift if across is None else across
    if shift == across == 0:
        cuts = [cut(x, window, width) for x in (q, k, v)]
        made = attention_in_windows(cuts[0], cuts[1], cuts[2], bias, heads)
        return joined(made, window, width)
    rows, columns = q.shape[2] // window, q.shape[3] // width
    # A window that is as high, or as wide, as the map is not moved.
    shift, across = shift * (1 - 1 // rows), across * (1 - 1 // columns)
    cuts = [cut(x.roll((-shift, -across), (2, 3)), window, width) for x in (q, k, v)]
    above = apart(q, rows, window, shift)[:, None, :, None, :, None]
    beside = apart(q, columns, width, across)[None, :, None, :, None, :]
    hidden = (above | beside).flatten(0, 1).flatten(1, 2).flatten(2, 3).unsqueeze(1)
    if bias is None:
        bias = torch.zeros(q.shape[0], 1, 1, 1, dtype=q.dtype, device=q.device)
    bias = bias.unsqueeze(1).masked_fill(hidden, float("-inf")).flatten(0, 1)
    tokens = [x.flatten(0, 2) for x in cuts]
    made = attention(tokens[0], tokens[1], tokens[2], bias, heads)
    made = made.unflatten(0, (-1, rows, columns))
    return joined(made, window, width).roll((shift, across), (2, 3))


def apart(x: torch.Tensor, count: int, side: int, shift: int) -> torch.Tensor:
    """Say which rows that a roll has put into one window were in none: [count, side, side]."""
    window = (torch.arange(count * side, device=x.device) + (side - shift)) // side
    window = window.roll(-shift, 0).unflatten(0, (-1, side))
    return window.unsqueeze(2) != window.unsqueeze(1)


def cut(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Cut a map into windows of neighbours: [N, rows, columns, L, C]."""
    x = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    # Fused kernels need the channels of a place side by side.
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).contiguous()


def joined(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Put a map together of its windows."""
    x = x.unflatten(3, (height, width)).permute(0, 5, 1, 3, 2, 4)
    return x.flatten(4, 5).flatten(2, 3).contiguous()
'''

    @classmethod
    def build(cls, values: dict[str, object]) -> Op:
        made = super().build(values)
        window, shift = made.__dict__["window"], made.__dict__["shift"]
        if any(shift) and window is None:
            raise ArgFault("shift", "needs `window`")
        if window is not None and any(step >= side for step, side in zip(shift, window)):
            raise ArgFault("shift", "expects less than a window")
        return made

    def shape(self, x: Shape, *more: Shape) -> Shape:
        count(self.name, more, 2, 3)
        if len(x) == 2:
            raise ShapeFault("features have no places", label=f"the input is {show(x)}", at=0)
        k, v, *bias = more
        self.whole(x)
        agree("attention", x, k, 1, self.shared(x))
        agree("attention", k, v, 2, [axis for axis in range(len(x)) if axis != axes.channel(x)])
        divides(self.heads, channel_count(x), "query", "heads")
        divides(self.heads, channel_count(v), "value", "heads")
        if bias:
            wanted = self.added(x, k)
            if tuple(map(int, bias[0])) != tuple(map(int, wanted)):
                label = f"it is {show(bias[0])}, and the products are {show(wanted)}"
                raise ShapeFault("what is added has another shape than the products", label=label, at=3)
        return with_channels(x, v[axes.channel(v)])

    def whole(self, x: Shape) -> None:
        """Raise `ShapeFault` where a tensor is no map of whole windows."""
        if self.window is None:
            return
        if len(x) != 4:
            text = "`tokens(window=7)` cuts a map into windows" if len(x) == 3 else ""
            raise ShapeFault("windows are those of a map", label=f"the input is {show(x)}", at="window", help=text)
        if any(int(size) % side for size, side in zip(x[2:], self.window)):
            label = f"{int(x[2])}x{int(x[3])} is not a multiple of {self.window[0]}x{self.window[1]}"
            high, wide = self.window
            text = f"`pad((0, -x.width % {wide}, 0, -x.height % {high}))` fills a map up"
            raise ShapeFault("`window` must divide height and width", label=label, at="window", help=text)

    def shared(self, x: Shape) -> tuple[int, ...]:
        """Return the axes that queries and keys have in common."""
        if self.window:
            return (0, 1, 2, 3)
        return (0, 1, 2, 4) if len(x) == 5 else (0, axes.channel(x))

    def added(self, q: Shape, k: Shape) -> Shape:
        """Return the shape of the products, in one window, to which a fourth branch is added."""
        seen = (product(self.window),) * 2 if self.window else (places(q), places(k))
        return (q[0], self.heads, *seen)

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        x, k, v, *bias = xs
        for one in (x, v):
            yield from fixed(one)
        yield from equalities(x, k, 1, self.shared(x))
        for axis, side in enumerate(self.window or (), 2):
            if x[axis] != x[axis] // side * side:
                yield Relation(x[axis], x[axis] // side * side, axis, (0, 0))
        for axis in range(len(k)):
            if axis != axes.channel(k) and k[axis] != v[axis]:
                yield Relation(k[axis], v[axis], axis, (1, 2))
        for one in bias:
            for axis, (have, want) in enumerate(zip(one, self.added(x, k))):
                if have != want:
                    yield Relation(have, want, axis, (3, 3))

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return self.products(xs) * (channel_count(xs[0]) + channel_count(xs[2]))

    def products(self, xs: tuple[Shape, ...]) -> Dim:
        """Return how many pairs of a query and a key there are, in all windows."""
        return volume(with_channels(xs[0], 1)) * (product(self.window) if self.window else places(xs[1]))

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return self.products(xs) * (self.heads * (6 + len(xs[3:])))  # the scale and a softmax, and what is added

    def on(self, *xs: Shape) -> Op:
        fused = channel_count(xs[0]) == channel_count(xs[2])
        kept = fused and len(xs) == 3  # which gives no gradient of what is added
        written = 0.0 if kept else int(self.products(xs)) * self.heads / int(volume(xs[0]))
        return self.replace(maps=len(xs[0]) == 4, fused=fused, written=written)

    early = True

    @property
    def scratch(self) -> float:  # type: ignore[override]
        """The gradients of the products, before and after the softmax; what is saved of the values is gone by then."""
        return max(0.0, 2 * self.written - 1)

    @property
    def saves(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the gradient needs; of maps their copies."""
        if self.written or self.window:
            return ("extras",)
        return ("extras", "result") if self.maps else ("operands", "extras", "result")

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return (*self.attended(xs, ys), *self.joining(xs, (*map(volume, xs[:3]), *self.mask(xs))))

    def attended(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        """Return the kernels that make the result, of windows as tokens."""
        q, k, v = [volume(x) for x in xs[:3]]
        added, masking = self.masking(xs)
        held = (q, k, *((v, *self.mask(xs)) if masking else ())) if self.maps else ()
        if self.fused:
            sums = volume(with_channels(xs[0], self.heads))  # of the softmax, for the gradient
            last: tuple[Kernel, ...] = (Kernel(self.name, (q, k, v, *added), (volume(ys[0]), sums), held=held),)
        else:
            products, masks = self.products(xs) * self.heads, self.masks(xs)
            adding = (Kernel("add", (products, *added), (products,), held=(*held, q, k)),) if added else ()
            last = (
                Kernel("mul", (q,), (q,), held=held),
                Kernel("mul", (k,), (k,), held=(*held, q)),
                Kernel("matmul", (q, k), (products,), held=(*held, q)),
                *adding,
                Kernel("softmax", (products,), (products,), held=(*held, masks)),
                Kernel("matmul", (products, v), (volume(ys[0]),), held=held),
            )
        return (*self.copies(q, k, v), *masking, *last)

    def mask(self, xs: tuple[Shape, ...]) -> tuple[Dim, ...]:
        """Return what is added to the products in windows that are moved, where each has a mask of its own."""
        return (self.products(xs) * (self.heads if len(xs) > 3 else 1),) if any(self.shift) else ()

    def masking(self, xs: tuple[Shape, ...]) -> tuple[tuple[Dim, ...], tuple[Kernel, ...]]:
        """Return what is added to the products, and the kernels that make it."""
        bias, mask = tuple([volume(x) for x in xs[3:]]), self.mask(xs)
        if not mask or not self.window:  # the same in every window
            windowed = self.window or len(xs[0]) == 5
            return tuple([self.products(xs) * self.heads for _ in bias]) if windowed else bias, ()
        held = tuple([volume(x) for x in xs[:3]])
        lines = list(zip(xs[0][2:], self.window))
        read = (self.products(xs), *[size * (5 * LONG + side) for size, side in lines])
        written = (self.products(xs), *[size * (4 * LONG + side) for size, side in lines])
        zeros = () if bias else (Kernel("zeros", (), (1,), held=held),)
        filled = Kernel("masked_fill", bias or (1,), mask, held=held, fixed_bytes=read, once_bytes=written)
        return mask, (*zeros, filled)

    def masks(self, xs: tuple[Shape, ...]) -> int:
        """Return the elements that have as many bytes as there are products: each says whether one counts."""
        return -(-int(self.products(xs)) * self.heads // 4)

    def copies(self, q: Dim, k: Dim, v: Dim) -> tuple[Kernel, ...]:
        """Return the kernels that make tokens of maps."""
        if not self.maps:
            return ()
        found = []
        for x, held in zip((q, k, v), ((), (q,), (q, k))):
            if any(self.shift):  # along one axis after the other
                found.append(Kernel("roll", (x,), (x,), held=(*held, x)))
            found.append(Kernel("copy", (x,), (x,), held=held))
        return tuple(found)

    def joining(self, xs: tuple[Shape, ...], held: tuple[Dim, ...], saved: tuple[Dim, ...] = ()) -> tuple[Kernel, ...]:
        """Return the kernels that make a map of windows; the last one gives the result, and what the gradient needs."""
        if not self.window:
            return ()
        y = volume(with_channels(xs[0], xs[2][1]))
        copy = Kernel("copy", (y,), (y, *saved), held=held)
        if not any(self.shift):
            return (copy,)
        tokens = () if saved and not self.written else (y,)  # else among what is saved
        return (
            copy.replace(writes=(y,), held=(*held, *saved)),
            Kernel("roll", (y,), (y, *saved), held=(*held, *tokens, y)),
        )

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        q, k, v = [volume(x) for x in xs[:3]]
        y, copied = volume(ys[0]), ((q, k, v) if self.maps else ())
        if not self.written:
            *before, last = self.attended(xs, ys)
            saved = (*last.writes[1:], *copied, *self.mask(xs), *((y,) if self.window else ()))
            after = self.joining(xs, (), saved)
            last = last.replace(writes=(), held=(*last.held, *last.writes)) if after else last
            return (*before, last, *after) if after else (*before, last.replace(writes=(y, *saved), held=()))
        products, masks = self.products(xs) * self.heads, self.masks(xs)
        held = (*copied, q, *self.mask(xs))  # scaled
        kernels = (
            *self.copies(q, k, v),
            *self.masking(xs)[1],
            Kernel("matmul", (q, k), (products,), held=(*held, k, q, k)),  # laid out for a product of matrices
            Kernel("softmax", (products,), (products,), held=(*held, q, k, masks)),
            Kernel("matmul", (products, v), (y,), held=(*held, q, k, v)),
        )
        saved = (q, k, v, products)
        after = self.joining(xs, (*copied, *self.mask(xs)), saved)
        return (*kernels, Kernel("copy", (y,), (y,) if after else (y, *saved), held=saved if after else ()), *after)

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        if self.window and operand in (1, 2):
            return self.neighbours(int(xs[0][axis + 2]), self.window[axis], self.shift[axis])
        looked_at = operand == 3 or (len(y) == 4 and operand > 0)  # by each query
        return everything(xs[operand], axis) if looked_at else super().reach(axis, operand, xs, y)

    @staticmethod
    def neighbours(size: int, side: int, shift: int) -> Reach:
        """Return what a place sees along an axis: its window, which starts at a multiple of a side and the shift."""
        start = shift if size > side else 0
        spans = [(r - (r - start) % side, r - (r - start) % side + side - 1) for r in range(side)]
        return Reach(side, side, tuple(spans))

    def function(self, *xs: Shape) -> Call:
        operands = [Operand(i) for i in range(len(xs))]
        if self.window:
            square = self.window[0] == self.window[1] and self.shift[0] == self.shift[1]
            (window, width), (shift, across) = [
                [Leaf(side, f"{{{name}}}" if square else "") for side in getattr(self, name)]
                for name in ("window", "shift")
            ]
            ends = {} if square else {"width": width, "across": across}
            leaves = {"heads": self.leaf("heads", omit=1), "window": window, "shift": shift.replace(omit=0), **ends}
            return call("windowed_attention", *operands, **leaves)
        name = {3: "attention", 4: "attention_of_maps", 5: "attention_in_windows"}[len(xs[0])]
        return call(name, *operands, heads=self.leaf("heads", omit=1))


@op("relative_bias", "source")
class RelativeBias(Op):
    """Relative position bias (Shaw et al., 2018; Liu et al., 2021, arXiv:2103.14030): -> [N, heads, L, L].

    A learned number for each head and each offset between two places, from row - row and column - column. It is the
    fourth branch of `attention`. The L places are those of a map, L = H*W, or of a window of it of `size`, or of tokens
    that were a map, or are a window, of `size`. It starts from 0 where no `init` says otherwise.
    """

    heads: int = arg(integer(1, examples=(1, 2, 4)), doc="parts of the channels, each with a table of its own")
    size: tuple[int, int] | None = arg(
        optional(pair(1, examples=(1, 2, (3, 1), (1, 2), (2, 4)))), None, doc="of the map, or window, of the tokens"
    )

    stateful = True
    saves = ()
    support = '''\
class RelativeBias(nn.Module):
    """A learned number for each head and each offset of two places: [N, heads, L, L]."""

    def __init__(self, heads: int, size: int | tuple[int, int]) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        self.heads, self.size = heads, (height, width)
        self.weight = nn.Parameter(torch.zeros((2 * height - 1) * (2 * width - 1), heads))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = self.size
        table = self.weight.view(2 * height - 1, 2 * width - 1, self.heads)
        # Place (i, j) sees (k, l) by entry (i - k + height - 1, j - l + width - 1).
        table = table.unfold(0, height, 1).unfold(1, width, 1).flip(3, 4)
        bias = table.permute(2, 0, 1, 3, 4).reshape(self.heads, height * width, height * width)
        return bias.expand(x.shape[0], -1, -1, -1)

    def extra_repr(self) -> str:
        return f"{self.heads}, {self.size}"
'''

    def shape(self, x: Shape, *more: Shape) -> Shape:
        if len(x) == 2:
            raise ShapeFault("features have no places", label=f"the input is {show(x)}", at=0)
        if self.size is None and len(x) != 4:
            title, text = "tokens do not say of which map they are", "`size=7` is that of windows of 7 rows and columns"
            raise ShapeFault(title, label=f"the input is {show(x)}", at=0, help=text)
        height, width = self.sides(x)
        if len(x) != 4 and int(places(x)) != height * width:
            label = f"the input has {int(places(x))} tokens, and {height}x{width} have {height * width} places"
            raise ShapeFault("`size` is not that of the input", label=label, at="size")
        return (x[0], self.heads, height * width, height * width)

    def sides(self, x: Shape) -> tuple[int, int]:
        """Return height and width of the map that the places are of, at the default input size."""
        return self.size or (int(x[2]), int(x[3]))

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        x = xs[0]
        held = (2, 3) if len(x) == 4 else (len(x) - 2,)
        for axis in () if self.size and len(x) == 4 else held:  # a window of a map is one of any map
            if not isinstance(x[axis], int):
                yield Relation(x[axis], int(x[axis]), axis, (0, 0))

    def weights(self, x: Shape) -> dict[str, tuple[int, ...]]:
        height, width = self.sides(x)
        return {"weight": ((2 * height - 1) * (2 * width - 1), self.heads)}

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        made = product(ys[0][1:])
        return tuple([Kernel(name, (), (), fixed=as_int(made), once=made) for name in ("flip", "copy")])

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return None

    def module(self, x: Shape) -> Call:
        return call("RelativeBias", self.leaf("heads"), Leaf(self.sides(x), "{size}" if self.size else "{sides}"))


def places(x: Shape) -> Dim:
    """Return how many places a map has, or tokens a window."""
    return product(x[2:]) if len(x) == 4 else x[-2]


def count(name: str, more: tuple[Shape, ...], *allowed: int) -> None:
    """Raise `ShapeFault` for a product of too few or too many operands."""
    if len(more) not in allowed:
        wanted = " or ".join([str(one + 1) for one in allowed])
        raise ShapeFault(f"`{name}` has {wanted} branches", label=f"here are {len(more) + 1}", at=0)
