"""Tensors in products: `matmul`, and `attention`, in which places of a map, or tokens, look at all others."""

from __future__ import annotations

from archdsl.ops import axes
from archdsl.ops.base import (
    Call,
    Kernel,
    Op,
    Operand,
    Relation,
    ShapeFault,
    agree,
    arg,
    call,
    channel_count,
    divides,
    equalities,
    everything,
    fixed,
    integer,
    op,
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
    from archdsl.core.windows import Reach


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
    added to the products before the softmax. Without branches the channels are divided into queries, keys and values.
    """

    heads: int = arg(integer(1, examples=(1, 2, 4)), 1, doc="parts of the channels, each with weights of its own")

    maps: bool = False  # whose places are copied to tokens first
    written: float = 0.0  # products for each element of the queries; none by one kernel that keeps them to itself
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
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int = 1
) -> torch.Tensor:
    """Attention of tokens [N, rows, columns, L, C] to the tokens of their windows."""
    made = attention(q.flatten(0, 2), k.flatten(0, 2), v.flatten(0, 2), None, heads)
    return made.unflatten(0, q.shape[:3])
'''

    def shape(self, x: Shape, *more: Shape) -> Shape:
        count(self.name, more, 2, 3)
        if len(x) == 2:
            raise ShapeFault("features have no places", label=f"the input is {show(x)}", at=0)
        k, v, *bias = more
        outer = (0, 1, 2) if len(x) == 5 else (0,)
        agree("attention", x, k, 1, (*outer, axes.channel(x)))
        agree("attention", k, v, 2, [axis for axis in range(len(x)) if axis != axes.channel(x)])
        divides(self.heads, channel_count(x), "query", "heads")
        divides(self.heads, channel_count(v), "value", "heads")
        if bias:
            wanted = (x[0], self.heads, places(x), places(k))
            if len(x) == 5 or tuple(map(int, bias[0])) != tuple(map(int, wanted)):
                label = f"it is {show(bias[0])}, and the products are {show(wanted)}"
                raise ShapeFault("what is added has another shape than the products", label=label, at=3)
        return with_channels(x, v[axes.channel(v)])

    def relations(self, *xs: Shape) -> Iterator[Relation]:
        x, k, v, *bias = xs
        for one in (x, v):
            yield from fixed(one)
        yield from equalities(x, k, 1, (0, 1, 2, 4) if len(x) == 5 else (0, axes.channel(x)))
        for axis in range(len(k)):
            if axis != axes.channel(k) and k[axis] != v[axis]:
                yield Relation(k[axis], v[axis], axis, (1, 2))
        for one in bias:
            for axis, (have, want) in enumerate(zip(one, (x[0], self.heads, places(x), places(k)))):
                if have != want:
                    yield Relation(have, want, axis, (3, 3))

    def macs(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return self.products(xs) * (channel_count(xs[0]) + channel_count(xs[2]))

    @staticmethod
    def products(xs: tuple[Shape, ...]) -> Dim:
        """Return how many pairs of a query and a key there are, in all windows."""
        return volume(with_channels(xs[0], 1)) * places(xs[1])

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return self.products(xs) * (self.heads * (6 + len(xs[3:])))  # the scale and a softmax, and what is added

    def on(self, *xs: Shape) -> Op:
        alike = len(xs) == 3 and channel_count(xs[0]) == channel_count(xs[2])
        written = 0.0 if alike else int(self.products(xs)) * self.heads / int(volume(xs[0]))
        return self.replace(maps=len(xs[0]) == 4, written=written)

    @property
    def scratch(self) -> float:  # type: ignore[override]
        """The gradients of the products, before and after the softmax."""
        return 2 * self.written

    @property
    def saves(self) -> tuple[str, ...]:  # type: ignore[override]
        """What the gradient needs; of maps their copies."""
        return ("extras", "result") if self.maps else ("operands", "extras", "result")

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        q, k, v, *bias = [volume(x) for x in xs]
        copies = (
            Kernel("copy", (q,), (q,)),
            Kernel("copy", (k,), (k,), held=(q,)),
            Kernel("copy", (v,), (v,), held=(q, k)),
        )
        held = (q, k) if self.maps else ()
        if not self.written:
            sums = volume(with_channels(xs[0], self.heads))  # of the softmax, for the gradient
            last: tuple[Kernel, ...] = (Kernel(self.name, (q, k, v), (volume(ys[0]), sums), held=held),)
        else:
            products = self.products(xs) * self.heads
            masks = self.products(xs) * -(-self.heads // 4)  # a byte for each product: whether it counts
            last = (
                Kernel("mul", (q,), (q,), held=held),
                Kernel("mul", (k,), (k,), held=(*held, q)),
                Kernel("matmul", (q, k), (products,), held=(*held, q)),
                Kernel("softmax", (products, *bias), (products,), held=(*held, masks)),
                Kernel("matmul", (products, v), (volume(ys[0]),), held=held),
            )
        return (*copies, *last) if self.maps else last

    def training_kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        *before, last = self.kernels(xs, ys)
        copies = tuple([volume(x) for x in xs[:3]]) if self.maps else ()
        weights = () if not self.written else (self.products(xs) * self.heads,)
        return (*before, last.replace(writes=(*last.writes, *copies, *weights), held=()))

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        looked_at = operand == 3 or (len(y) == 4 and operand > 0)  # by each query
        return everything(xs[operand], axis) if looked_at else super().reach(axis, operand, xs, y)

    def function(self, *xs: Shape) -> Call:
        name = {3: "attention", 4: "attention_of_maps", 5: "attention_in_windows"}[len(xs[0])]
        return call(name, *[Operand(i) for i in range(len(xs))], heads=self.leaf("heads", omit=1))


def places(x: Shape) -> Dim:
    """Return how many places a map has, or tokens a window."""
    return product(x[2:]) if len(x) == 4 else x[-2]


def count(name: str, more: tuple[Shape, ...], *allowed: int) -> None:
    """Raise `ShapeFault` for a product of too few or too many operands."""
    if len(more) not in allowed:
        wanted = " or ".join([str(one + 1) for one in allowed])
        raise ShapeFault(f"`{name}` has {wanted} branches", label=f"here are {len(more) + 1}", at=0)
