"""Receptive fields against the support of the gradient, of each operator alone and of every bundled network.

Networks run with positive weights that average, on positive images: no value vanishes, saturates or cancels, so the
gradient is positive exactly where a position is seen. A maximum passes its gradient to one position only, so it is
replaced by the sum over its window.
"""

from __future__ import annotations

import itertools
import random
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

import archdsl
from archdsl.analysis.field import Axis, Field, fields
from archdsl.compiler import Request, compile_text, compiled
from archdsl.core.windows import Reach
from archdsl.ops import OPS, conv, pool
from archdsl.ops.axes import channel, spatial
from archdsl.ops.base import extent, numbered, volume
from archdsl.ops.products import places
from archdsl.run.load import instantiate
from tests.families import VARIED
from tests.ops.test_ops import Case, Owner, as_tuple, is_tensor, ours, python

# The last maps of networks as https://distill.pub/2019/computing-receptive-fields (Araujo et al., 2019) has them.
PUBLISHED = {"alexnet": (195, 32), "vgg16": (212, 32), "mobilenet_v1": (315, 32)}
pytestmark = pytest.mark.usefixtures("one_thread")


# -------------------------------------------------------------------------------------------------- gradients
class Sums(TorchFunctionMode):
    """Replaces the maximum over a window, an axis or operands by a sum, and unpooling by a sum over the windows of a position."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.max_pool2d:
            return summed(*args, **kwargs)
        if func is F.max_pool2d_with_indices:
            return summed(*args, **kwargs), func(*args, **kwargs)[1]
        if func is F.max_unpool2d:
            return spread(args[0], args[2], kwargs["output_size"])
        if func is F.adaptive_max_pool2d:
            return F.adaptive_avg_pool2d(*args)
        if func in (torch.Tensor.amax, torch.Tensor.amin):
            return torch.Tensor.sum(*args, **kwargs)
        if func in (torch.maximum, torch.minimum):
            return torch.add(*args)
        return func(*args, **kwargs)


def summed(
    x: torch.Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, return_indices: bool
) -> torch.Tensor:
    """Add up the windows that a maximum pooling looks at."""
    stride = stride or kernel
    h, w = torch.max_pool2d(x.detach(), kernel, stride, padding, dilation, ceil_mode).shape[2:]
    pairs = [(v, v) if isinstance(v, int) else tuple(v) for v in (kernel, stride, padding, dilation)]
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = pairs
    bottom = max(0, (h - 1) * sh + dh * (kh - 1) + 1 - ph - x.shape[2])
    right = max(0, (w - 1) * sw + dw * (kw - 1) + 1 - pw - x.shape[3])
    padded = F.pad(x, (pw, right, ph, bottom))
    columns = F.unfold(padded, (kh, kw), (dh, dw), 0, (sh, sw)).unflatten(1, (x.shape[1], -1)).sum(2)
    return columns.unflatten(2, ((padded.shape[2] - dh * (kh - 1) - 1) // sh + 1, -1))[:, :, :h, :w]


def spread(x: torch.Tensor, kernel: Any, size: Any) -> torch.Tensor:
    """Give every position of a window its value, as windows without overlap do."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    y = F.conv_transpose2d(x, x.new_ones(x.shape[1], 1, *sides), stride=kernel, groups=x.shape[1])
    return F.pad(y, (0, size[-1] - y.shape[3], 0, size[-2] - y.shape[2]))


def support(gradient: torch.Tensor, axis: int) -> tuple[int, int] | None:
    """Return the first and the last row (axis 0) or column where a gradient is not zero, of a map or of windows."""
    kept = spatial(gradient.shape, axis)
    others = [i for i in range(gradient.dim()) if i != kept]
    lines = (gradient != 0).any(dim=others, keepdim=True).flatten().nonzero().flatten()
    return (int(lines[0]), int(lines[-1])) if len(lines) else None


def positive(model: torch.nn.Module) -> torch.nn.Module:
    """Make a network average: positive weights whose sum over the inputs is about 1, and norms that shrink."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        scale = 1 / parameter[0].numel() if parameter.dim() > 1 else 0.01 if name.endswith("bias") else 0.3
        parameter.data.uniform_(0.5, 1.5, generator=generator).mul_(scale)
    for one in [one for one in model.modules() if type(one).__name__ == "Filter"]:
        one.window.fill_(1 / one.window.numel())
    return model.double().eval()


# -------------------------------------------------------------------------------------------------- operators
def seen_by(op: Any, xs: tuple[tuple[int, ...], ...], operand: int) -> dict[tuple[int, int], tuple[Any, Any]]:
    """Return what each position of a result sees of an operand, rows and columns, by the gradient."""
    module, function = python(op, xs)
    tensors = [torch.rand(x, dtype=torch.double) + 0.1 for x in xs]
    tensors[operand].requires_grad_()
    with torch.enable_grad(), Sums():
        form = positive(module) if module else lambda *ts: function(Owner(False), *ts)
        y = as_tuple(form(*tensors))[0]
        weighted = y * torch.rand_like(y).add(0.1)
        found = {}
        for i in range(extent(y.shape, 0)):
            for j in range(extent(y.shape, 1)):
                part = weighted[:, :, i, j] if y.dim() == 4 else weighted[:, i, j] if y.dim() == 5 else weighted
                (gradient,) = torch.autograd.grad(part.sum(), tensors[operand], retain_graph=True)
                found[i, j] = support(gradient, 0), support(gradient, 1)
    return found


def reach_of(op: Any, xs: tuple[tuple[int, ...], ...], operand: int) -> Field | None:
    rows, columns = [op.reach(axis, operand, xs, op.shape(*xs)) for axis in (0, 1)]
    if rows is None or columns is None:
        return None
    return Field(
        *[Axis(r, (0, n - 1)) for r, n in zip((rows, columns), [extent(xs[operand], axis) for axis in (0, 1)])]
    )


def agrees(op: Any, field: Field | None, i: int, j: int, found: tuple[Any, Any]) -> bool:
    """Compare what a position sees by the gradient and by the rule; at borders, taps of a dilated window may miss."""
    said = (None, None) if field is None or None in field.at(i, j) else field.at(i, j)
    dilated = max(getattr(op, "dilation", (1,))) > 1
    if field is None or not (op.name in ("reshape", "transpose") or (dilated and cut(field, i, j))):
        return found == said
    return all(f is None or (s and s[0] <= f[0] and f[1] <= s[1]) for f, s in zip(found, said))


def cut(field: Field, i: int, j: int) -> bool:
    """Say whether a position's field reaches beyond the map."""
    return (field.rows.reach.at(i), field.columns.reach.at(j)) != field.at(i, j)


def mismatches(name: str, count: int) -> tuple[int, list[str]]:
    """Compare an operator's reach with the gradient on random legal cases; return how many, and the differences."""
    rng, compared, wrong = random.Random(name), 0, []
    while compared < count:
        case = Case(name, rng)
        if ours(case)[0] is None or len(case.xs[0]) not in (4, 5) or excluded(case):
            continue
        compared += 1
        more = any(is_tensor(type(case.op), f) for f in case.values)
        for operand in range(
            1 if more else min(len(case.xs), 3 if name == "attention" else 9)
        ):  # of what is added a hull
            field = reach_of(case.op, case.xs, operand)
            for (i, j), found in seen_by(case.op, case.xs, operand).items():
                if not agrees(case.op, field, i, j, found):
                    wrong.append(f"{case}, operand {operand} at {(i, j)}: {found}")
    return compared, wrong


def excluded(case: Case) -> bool:
    """Indices are tested by themselves; a group of one element normalises to a constant; large maps take long."""
    op, x, (h, w) = case.op, case.xs[0], [extent(case.xs[0], axis) for axis in (0, 1)]
    channels = x[channel(x)]
    if op.name == "softmax" and x[numbered(op.axis, x)] == 1:
        return True
    if op.name == "attention" and (places(case.xs[1]) == 1 or (op.window and 1 in parts(op, x))):
        return True  # the softmax of one product is 1
    alone = op.name == "ln" and channels == 1 or op.name == "gn" and channels * h * w == op.groups
    alone |= op.name == "var" and volume(op.shape(*case.xs)) == channels * h * w
    return alone or mirrors(op) or getattr(op, "indices", False) or h * w > 100


def parts(op: Any, x: tuple[int, ...]) -> set[int]:
    """Return how many places the windows of attention have, whole ones and those at the edges of the map."""
    sides = [
        {side, shift, side - shift} - {0} if size > side else {side}
        for size, side, shift in zip(x[2:], op.window, op.shift)
    ]
    return {high * wide for high in sides[0] for wide in sides[1]}


def mirrors(op: Any) -> bool:
    """Margins that repeat the map see it in the padding too: fields are those of positions inside."""
    return getattr(op, "mode", "") in ("reflect", "replicate") and op.name == "pad"


# Flat features have no rows, and what is learned sees nothing.
@pytest.mark.parametrize("name", [n for n in OPS if n not in ("linear", "maxunpool", "learned", "relative_bias")])
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_an_operator_sees_what_its_gradient_reaches(name):
    torch.manual_seed(0)
    assert mismatches(name, 10) == (10, [])


def test_what_is_learned_sees_nothing():
    op = OPS["learned"].build({"size": (4, 3, 5)})
    assert op.reach(0, 0, ((1, 2, 6, 6),), (1, 4, 3, 5)) is None
    assert OPS["relative_bias"].build({"heads": 2}).reach(0, 0, ((1, 2, 6, 6),), (1, 2, 36, 36)) is None
    text = "net n:\n    input image: [N, 4, H=8, W=8]\n    conv(4, 3)\n    add(identity, l: learned([4, 8, 8])) -> end: relu\n"
    found = fields(compile_text(text).network)
    assert "l" not in found and found["end"].size == (3, 3)


WRONG = [
    ("conv", conv.Conv, lambda s, axis, *_: Reach.window(s.kernel[axis], s.stride[axis], s.padding[axis])),
    ("conv_transpose", conv.ConvTranspose, lambda s, axis, *_: Reach.window(s.kernel[axis], 1, s.kernel[axis] - 1)),
    ("adaptive_avgpool", pool.Adaptive, lambda s, axis, operand, xs, y: Reach.constant(0, extent(xs[0], axis) - 1)),
    ("avgpool", pool.Window, lambda s, axis, *_: Reach.window(s.kernel[axis], s.kernel[axis], s.pad[axis])),
]


@pytest.mark.parametrize(("name", "owner", "rule"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_reach_is_found(name, owner, rule, monkeypatch):
    monkeypatch.setattr(owner, "reach", rule)
    assert mismatches(name, 10)[1]


def test_unpooling_sees_the_windows_that_may_hold_its_position():
    """Where a maximum was decides what is copied; over many images, each position is fed by all its windows."""
    op = OPS["maxunpool"].build({"indices": True, "kernel": 3, "stride": 2})
    x = torch.rand(400, 1, 9, 9)
    y, indices = F.max_pool2d(x, 3, 2, return_indices=True)
    y.requires_grad_()
    z = F.max_unpool2d(y, indices, 3, 2, output_size=(9, 9))
    for i in range(9):
        for j in range(9):
            (gradient,) = torch.autograd.grad(z[:, :, i, j].sum(), y, retain_graph=True)
            xs = (tuple(y.shape), tuple(y.shape))
            assert agrees(op, reach_of(op, xs, 0), i, j, (support(gradient, 0), support(gradient, 1)))
    assert reach_of(op, xs, 1) is None


# -------------------------------------------------------------------------------------------------- networks
def check_network(name: str, height: int, taps: int) -> None:
    """Compare the fields of some modules and of the result with gradients, on a tall narrow image."""
    (_, (_, channels, *least)), *_ = archdsl.check(name).inputs
    size = (int(channels), height, max(32, min(int(least[1]), 64)))
    try:
        checked = compiled(name, Request(sizes=((1, *size),)))
    except archdsl.CompileError:  # a network that is fixed to its size
        size = (int(channels), *map(int, least))
        checked = compiled(name)
    found, model = fields(checked.network), positive(instantiate(checked))
    modules = dict(model.named_modules())
    whole = {n for n, m in modules.items() if any(m.children()) or isinstance(m, torch.nn.Identity)}
    usable = [n for n in found if n in modules and n not in whole and not n.startswith("aux")]
    chosen = sorted(random.Random(name).sample(usable, min(taps, len(usable))), key=usable.index)
    kept: dict[str, torch.Tensor] = {}
    for n in chosen:
        modules[n].register_forward_hook(partial(keep, kept, n))
    image = torch.rand((1, *size), dtype=torch.double).add_(0.1).requires_grad_()
    with Sums():
        result = model(image)
    kept[checked.network.scope.outputs[0].name] = (
        result if isinstance(result, torch.Tensor) else next(iter(as_tuple(result)))
    )
    assert len(kept) == len(chosen) + 1
    for n, y in kept.items():
        compare_tap(f"{name}: {n}", found[n], y, image)


def keep(kept: dict[str, torch.Tensor], name: str, _module: Any, _inputs: Any, result: torch.Tensor) -> None:
    """Keep the first result of a module as it is before an in-place relu."""
    if name not in kept:
        kept[name] = result.clone()


def compare_tap(what: str, field: Field, y: torch.Tensor, image: torch.Tensor) -> None:
    weighted = y * torch.rand_like(y).add(0.1)
    h, w = extent(y.shape, 0), extent(y.shape, 1)
    for i, j in {(h // 2, w // 2), (0, w - 1)}:
        part = weighted[:, :, i, j] if y.dim() == 4 else weighted
        (gradient,) = torch.autograd.grad(part.sum(), image, retain_graph=True)
        said = (None, None) if None in field.at(i, j) else field.at(i, j)  # nothing along one axis is nothing at all
        assert (support(gradient, 0), support(gradient, 1)) == said, f"{what} at {(i, j)}"


@pytest.mark.parametrize("name", VARIED)
def test_a_network_sees_what_its_gradient_reaches(name):
    torch.manual_seed(0)
    check_network(name, 320, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", archdsl.nets())
def test_every_network_sees_what_its_gradient_reaches(name):
    """On images taller than the whole field."""
    torch.manual_seed(0)
    tallest = max(f.size[0] for f in fields(compiled(name).network).values() if f.rows.reach.advance)
    # A multiple of all strides: where a pyramid resamples by no whole factor, a field is the hull of all positions'.
    check_network(name, -(-max(320, min(tallest + 64, 3000)) // 64) * 64, 8)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_fields(name):
    maps = [f for f in fields(compiled(name).network).values() if f.rows.reach.advance]
    size, stride = PUBLISHED[name]
    assert max(f.size for f in maps) == (size, size)
    assert maps[-1].stride == (stride, stride)


UNET = """net unet:
    input image: [N, 3, H=64, W=64]
    skip = x -> a: conv(4, 3)
    down: maxpool(2) -> b: conv(4, 3, dilation=2)
    up: conv_transpose(4, 2, stride=2)
    c: cat(identity, skip) -> d: conv(4, 3)
    e: upsample(scale=3, mode="bilinear") -> f: conv(2, 3, stride=2)
"""
GATE = """net gate:
    input image: [N, 3, H=32, W=32]
    a: conv(4, 3, stride=2)
    b: mul(identity, [global_avgpool, conv(4, 1), sigmoid])
    c: conv(4, 3)
"""
ODE = """net flow:
    input image: [N, 3, H=64, W=64]
    a: ode(conv(3, 3), solver="rk4", steps=2)
"""


CUT = """net cut:
    input image: [N, 3, H=32, W=32]
    cat(crop(12, offset=(0, 0)) -> pad((0, 20, 0, 20)) -> conv(3, 3), conv(3, 3)) -> conv(2, 3)
"""
RATES = """net rates:
    input image: [N, 3, H=30, W=30]
    add(conv(4, 1), avgpool(2) -> conv(4, 3) -> upsample(scale=2), avgpool(3) -> conv(4, 1) -> upsample(scale=3))
"""


@pytest.mark.parametrize("text", [UNET, GATE, ODE, CUT, RATES])
def test_branches_resampling_gates_and_equations(text):
    torch.manual_seed(0)
    network = compile_text(text).network
    model = positive(archdsl.loads(text))
    image = torch.rand([1, 3, *map(int, network.scope.shapes[0][2:])], dtype=torch.double).add_(0.1).requires_grad_()
    with Sums():
        y = model(image)
    field = fields(network)["out"]
    weighted = y * torch.rand_like(y).add(0.1)
    for i in range(0, y.shape[2], 5):
        for j in range(0, y.shape[3], 7):
            (gradient,) = torch.autograd.grad(weighted[:, :, i, j].sum(), image, retain_graph=True)
            assert (support(gradient, 0), support(gradient, 1)) == field.at(i, j), (i, j)


def test_two_inputs_are_kept_apart():
    text = "net two:\n    input a: [N, 3, H=8, W=8]\n    input b: [N, 3, H=8, W=8]\n    y = a -> p: conv(3, 3)\n    z = b -> q: conv(3, 5)\n    add(y, z)\n"
    found = fields(compile_text(text).network)
    assert found["p"].size == (3, 3) and found["q"].size == (5, 5)
    assert found["out"].size == (3, 3), "the field of a result on the first input that it depends on"


def test_figures_of_a_strided_chain():
    text = "net n:\n    input image: [N, 3, H=64, W=64]\n    a: conv(4, (3, 5), stride=(2, 1)) -> b: conv(4, 3)\n"
    field = fields(compile_text(text).network)["b"]
    assert (field.size, field.stride, field.offset) == ((7, 7), (2, 1), (-3, -3))
    assert field.text() == "7x7" and not field.whole
    assert field.to_dict() == {"whole": False, "size": [7, 7], "stride": [2, 1], "offset": [-3, -3]}


def test_resampling_without_a_common_factor_stays_bounded():
    """The periods would multiply to half a million: every position is said to see what all see together."""
    text = "net n:\n    input image: [N, 3, H=997, W=64]\n    upsample(size=(1009, 64)) -> conv(4, 3, stride=2) -> upsample(size=(503, 64))\n"
    field = fields(compile_text(text).network)["out"]
    assert field.rows.reach.period == 1 and field.at(100, 20) == ((0, 995), (19, 21))


def test_two_rates_in_one_map_unite_to_their_hull():
    text = "net n:\n    input image: [N, 3, H=64, W=64]\n    a = x -> conv(3, 3, pad=0) -> upsample(size=32)\n    cat(maxpool(2), a)\n"
    field = fields(compile_text(text).network)["out"]
    assert field.at(0, 31) == ((0, 63), (0, 63)) and field.stride == (0, 0)


@pytest.mark.parametrize("name", ["maxunpool", "conv_transpose"])
def test_a_spread_position_sees_the_windows_that_cover_it(name):
    """Window j of a transposed window covers the positions from j * stride - pad on, a tap every `dilation`."""
    for kernel, stride, pad, dilation in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
        if name == "maxunpool" and (dilation > 1 or 2 * pad > kernel):
            continue
        values = {"kernel": kernel, "stride": stride, "pad": pad}
        if name == "conv_transpose":
            values |= {"out": 1, "dilation": dilation}
        reach = (
            OPS[name]
            .build(values | ({"indices": True} if name == "maxunpool" else {}))
            .reach(1, 0, ((1, 1, 9, 9),), (1, 1, 9, 9))
        )
        for position in range(3 * stride + 4):
            taps = range(0, dilation * kernel, dilation)
            seen = [j for j in range(-9, 20) if position - (j * stride - pad) in taps]
            assert reach.at(position) == ((min(seen), max(seen)) if seen else None), (values, position)


def some_reach(rng: random.Random) -> Reach:
    """Return what one operator, or a chain of two, sees."""
    kernel, stride = rng.randint(1, 4), rng.randint(1, 3)
    made = rng.choice((
        lambda: Reach.window(kernel, stride, rng.randint(0, 2), rng.randint(1, 2)),
        lambda: Reach.spread(kernel, stride, rng.randint(0, 2)),
        lambda: Reach.nearest(rng.randint(2, 6), rng.randint(2, 6)),
        lambda: Reach.linear(rng.randint(2, 6), rng.randint(2, 6), rng.random() < 0.5),
        lambda: Reach.grid(rng.randint(3, 8), rng.randint(1, 3)),
        Reach.same,
    ))()  # fmt: skip
    return made if rng.random() < 0.5 else made.then(some_reach(rng), 40)


def spans(seen: Any) -> Any:
    found = [span for span in seen if span is not None]
    return (min(a for a, _ in found), max(b for _, b in found)) if found else None


def test_reaches_compose_and_unite_position_by_position():
    rng, united = random.Random(0), 0
    for _ in range(600):
        one, other = some_reach(rng), some_reach(rng)
        both, either = one.then(other, 40), one.union(other, 40)
        for position in range(30):
            span = other.at(position)
            inside = [] if span is None else [one.at(q) for q in range(span[0], span[1] + 1)]
            assert both.at(position) == spans(inside), (one, other, position)
        if one.stride == other.stride:
            united += 1
            assert all(either.at(p) == spans([one.at(p), other.at(p)]) for p in range(30)), (one, other)
        first = rng.randint(0, 5)
        last = first + rng.randint(0, 30)
        assert one.hull(first, last) == spans([one.at(p) for p in range(first, last + 1)])
    assert united > 20
