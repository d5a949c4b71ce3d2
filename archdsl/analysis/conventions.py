"""What the counters in use count: one table a tool, so that anyone's published number can be traced.

    macs       multiply-accumulates of convolutions, linear layers, matrix products and attention: archdsl's own
    all        every arithmetic operation: two a multiply-accumulate, and those of biases, norms, activations, pools
    torch      torch.utils.flop_counter.FlopCounterMode
    fvcore     fvcore.nn.FlopCountAnalysis
    thop       thop.profile
    ptflops    ptflops.get_model_complexity_info, its default back end
    torchinfo  torchinfo.summary, "mult-adds"

A row gives operators and a formula over one step, for one image. What a tool does not know counts 0, as it does there;
where a tool is wrong, its number is reproduced and `Convention.oddities` says why. Tools that hook modules see nothing
of functions, so formulas may depend on the form in which a step runs. The tests run every tool on every bundled net.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.ops.base import as_int, elements, numbered, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from archdsl.core.sizes import Shape

    Formula = Callable[["Use"], int]


class Use(Record):
    """One step as a counter sees it: the operator, the shapes, and whether it runs as a module of `torch.nn`."""

    op: Any
    xs: tuple[Shape, ...]
    ys: tuple[Shape, ...]
    module: bool

    @property
    def nn(self) -> bool:
        """A module whose class is PyTorch's own, not one of the generated code."""
        return self.module and self.op.module(self.xs[0]).target.startswith("nn.")


class Convention(Record):
    """A way of counting: its unit, one line of definition, its rows, and where its tool is wrong."""

    name: str
    unit: str
    counts: str
    rows: dict[str, Formula]
    oddities: tuple[str, ...] = ()
    default: Formula | None = None  # for operators without a row

    def count(self, use: Use) -> int:
        """Count one step, for one image."""
        formula = self.rows.get(use.op.name, self.default)
        return 0 if formula is None else formula(use)


# -------------------------------------------------------------------------------------------------- formulas
def macs(use: Use) -> int:
    """Multiply-accumulates."""
    return int(use.op.macs(use.xs, use.ys))


def inputs(use: Use) -> int:
    """Elements of the first operand."""
    return int(volume(use.xs[0]))


def outputs(use: Use) -> int:
    """Elements of the first result."""
    return int(volume(use.ys[0]))


def parameters(use: Use) -> int:
    """Elements of the weights."""
    return elements(use.op.weights(use.xs[0]))


def operations(use: Use) -> int:
    """Two operations a multiply-accumulate, and everything else."""
    return 2 * macs(use) + int(use.op.elementwise(use.xs, use.ys))


def twice(formula: Formula) -> Formula:
    """Two for each."""
    return lambda use: 2 * formula(use)


def affine(with_weights: int, without: int) -> Formula:
    """So many for each element of the operand, by whether a norm has weights."""
    return lambda use: inputs(use) * (with_weights if use.op.affine else without)


def as_module(formula: Formula) -> Formula:
    """A formula for modules of `torch.nn`; functions and other modules count nothing."""
    return lambda use: formula(use) if use.nn else 0


def as_both(module: Formula, function: Formula) -> Formula:
    """What a hook counts for the module, and a patched function for the call inside it or on its own."""
    return lambda use: (module(use) if use.nn else 0) + function(use)


def _with_bias(use: Use) -> int:
    return macs(use) + (outputs(use) if use.op.bias else 0)


def _resampled(nearest: int, bilinear: int) -> Formula:
    return lambda use: outputs(use) * (nearest if use.op.mode == "nearest" else bilinear)


def _over_outputs(use: Use) -> int:
    """A transposed convolution as if its window met every position of the result."""
    kh, kw = use.op.kernel
    return outputs(use) * int(as_int(use.xs[0][1]) // use.op.groups * kh * kw)


def _thop_adaptive(use: Use) -> int:
    cells = outputs(use)
    (_, _, h, w), (_, _, rows, columns) = use.xs[0], use.ys[0]
    return int(((int(h) / int(rows)) * (int(w) / int(columns)) + 1) * cells)


def _thop_softmax(use: Use) -> int:
    summed = int(use.xs[0][numbered(use.op.axis, use.xs[0])])
    return inputs(use) // summed * (3 * summed - 1)


def _thop_norm(use: Use) -> int:
    return inputs(use) * (4 if use.op.affine else 2)


def _ptflops_lrn(use: Use) -> int:
    _, channels, h, w = use.xs[0]
    padded = int(channels) + int(use.op.size) - 1
    return 3 * inputs(use) + padded * int(h) * int(w)


def _torchinfo_conv(use: Use) -> int:
    return parameters(use) * int(volume((1, 1, *use.ys[0][2:])))


def _rows(**rows: Formula) -> dict[str, Formula]:
    """Split the names of each row, joined by two underscores."""
    return {name: formula for names, formula in rows.items() for name in names.split("__")}


# -------------------------------------------------------------------------------------------------- the table
CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention(
            "macs",
            "MACs",
            "multiply-accumulates of convolutions, linear layers, matrix products and attention; all else counts 0",
            _rows(conv__depthwise__filter__conv_transpose__linear__matmul__attention=macs),
        ),
        Convention(
            "all",
            "operations",
            "two operations a multiply-accumulate, and each of biases, norms, activations, pools, sums and products",
            {},
            default=operations,
        ),
        Convention(
            "torch",
            "FLOPs",
            "twice the multiply-accumulates of convolutions and matrix products",
            _rows(conv__depthwise__filter__conv_transpose__linear__matmul__attention=twice(macs)),
            ("the fused kernels that run attention on a CPU are not known to it, and count 0",),
        ),
        Convention(
            "fvcore",
            "flops (a multiply-accumulate is one)",
            "multiply-accumulates; 2 an element of a batch norm with weights, 5 of other norms, 4 of bilinear "
            "upsampling, 1 of nearest and of what adaptive average pooling reads",
            _rows(
                conv__depthwise__filter__conv_transpose__linear__matmul=macs,
                bn=affine(2, 1),
                gn__ln=affine(5, 4),
                upsample=_resampled(1, 4),
                adaptive_avgpool__global_avgpool=inputs,
            ),
            (
                "average pooling over windows, activations and sums count 0, adaptive average pooling does not",
                "attention as one function counts 0",
                "it sees a trace, in which a step is missing that no result depends on, of a block in one use too",
            ),
        ),
        Convention(
            "thop",
            "MACs",
            "multiply-accumulates of modules; 4 an element of a norm with weights, pools, softmax, upsampling",
            _rows(
                conv__depthwise__linear=macs,
                conv_transpose=_over_outputs,
                bn=as_module(_thop_norm),
                ln=as_module(_thop_norm),
                prelu=as_module(inputs),
                softmax=as_module(_thop_softmax),
                avgpool=as_module(outputs),
                adaptive_avgpool__global_avgpool=as_module(_thop_adaptive),
                upsample=as_module(_resampled(1, 11)),
            ),
            (
                "a transposed convolution is counted over its result: stride² times too much",
                "only modules are counted: the same network counts less where it calls a function",
                "a norm counts 4 an element, of which its factor and summand need 2",
            ),
        ),
        Convention(
            "ptflops",
            "MACs",
            "multiply-accumulates with biases; 2 an element of a norm with weights; elements of activations and pools",
            _rows(
                conv__depthwise__conv_transpose__linear=_with_bias,
                bn__gn=as_module(affine(2, 1)),
                ln=as_module(inputs),
                relu__elu__gelu__prelu=as_both(outputs, inputs),
                relu6=as_both(outputs, lambda use: 0 if use.nn else inputs(use)),
                leaky_relu=as_module(outputs),
                silu__softmax=inputs,
                maxpool__avgpool__adaptive_maxpool__global_maxpool=as_both(inputs, inputs),
                adaptive_avgpool__global_avgpool=as_both(inputs, inputs),
                upsample=as_both(outputs, outputs),
                lrn=_ptflops_lrn,
            ),
            (
                "a module that calls a counted function, such as `nn.ReLU` or `nn.MaxPool2d`, is counted twice",
                "sums and products written as operators, `a + b`, count 0; `torch.add` would not",
                "a layer norm counts 1 an element, with weights or without",
            ),
        ),
        Convention(
            "torchinfo",
            "mult-adds",
            "for each module the elements of its weights, times the positions of the result for convolutions",
            _rows(
                conv__depthwise__conv_transpose=_torchinfo_conv,
                linear__bn__gn__ln__rms_norm__prelu__scale__shift__learned__relative_bias=parameters,
            ),
            (
                "a transposed convolution is counted over its result: stride² times too much",
                "a norm counts its weights once, not once an element",
            ),
        ),
    )
}
