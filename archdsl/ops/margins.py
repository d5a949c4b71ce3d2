"""Margins as TensorFlow adds them: so many that each step of a window finds its place, the odd one at the end."""

from __future__ import annotations

from archdsl.core.sizes import padded_same
from archdsl.core.windows import Reach
from archdsl.ops.base import Kernel, Leaf, Op, X, arg, boolean, call, extent, image, op, pair, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.sizes import Dim, Shape
    from archdsl.ops.base import Call, Margins


@op("pad_same", "inner")
class PadSame(Op):
    """Margins for a window and its steps: [N, C, H, W] -> [N, C, H', W'], with a place for ceil(H / stride) windows.

    What is missing is added in halves, an odd row below and an odd column on the right.
    """

    saves = ()

    window: tuple[int, int] = arg(pair(1), doc="what a window spans, with the holes of its dilation")
    stride: tuple[int, int] = arg(pair(1), doc="its steps")
    lowest: bool = arg(boolean(), False, doc="fill with what is no maximum, not with zeros")

    support = '''\
def pad_same(
    x: torch.Tensor,
    height: int,
    down: int,
    width: int | None = None,
    across: int | None = None,
    lowest: bool = False,
) -> torch.Tensor:
    """Add margins for windows of a height and width, so many rows and columns apart, as TensorFlow."""
    width, across = height if width is None else width, down if across is None else across
    rows, columns = missing(x.shape[2], height, down), missing(x.shape[3], width, across)
    value = float("-inf") if lowest else 0.0
    return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2), value=value)


def missing(size: int, window: int, step: int) -> int:
    """Count what a last window lacks that starts inside a map; sizes are not compared, for torch.fx."""
    rest = -size % step + window
    return rest - step if window >= step else (rest - step) * (rest // step)
'''

    @classmethod
    def of(
        cls,
        pad: object,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        lowest: bool = False,
    ) -> Margins | None:
        """Return the margins of a window, and the padding that is left to it: all where both sides have the same."""
        if pad != "same":
            return None
        window = dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1
        halves = window[0] // 2, window[1] // 2
        even = stride == (1, 1) and window[0] % 2 == window[1] % 2 == 1 and not (lowest and dilation != (1, 1))
        return (None, halves) if even else (cls(window, stride, lowest), (0, 0))

    def padded(self, x: Shape, axis: int) -> Dim:
        """Return the height (axis 0) or the width with its margins."""
        return padded_same(x[axis + 2], self.window[axis], self.stride[axis])

    def shape(self, x: Shape, *more: Shape) -> Shape:
        return (*image(x)[:2], self.padded(x, 0), self.padded(x, 1))

    def reach(self, axis: int, operand: int, xs: tuple[Shape, ...], y: Shape) -> Reach | None:
        return Reach.window(1, pad=(extent(y, axis) - extent(xs[0], axis)) // 2)

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return (Kernel("pad", (volume(xs[0]),), (volume(ys[0]),)),)

    def function(self, *xs: Shape) -> Call:
        (high, wide), (down, across) = self.window, self.stride
        ends = () if high == wide and down == across else (Leaf(wide), Leaf(across))
        return call("pad_same", X, Leaf(high), Leaf(down), *ends, lowest=self.leaf("lowest", omit=False))
