"""The figures of papers and courses beside what the compiler counts: `python docs/figures.py` writes `figures.md`.

A test holds the page current, and each published figure to its own rounding: where ours rounds to another one, the row
says why, or that the source does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from archdsl import check
from archdsl.compiler import compile_text
from archdsl.report.check import Report, report

PAGE = Path(__file__).with_suffix(".md")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "MB": 2**20 / 4}  # MB: of parameters in fp32, at 2**20 bytes


class Figure(NamedTuple):
    """One published figure, what is counted here, and why they differ where they do."""

    what: str
    published: str
    exact: int
    note: str = ""

    @property
    def equal(self) -> bool:
        """The count, rounded as the source rounds, is the published figure."""
        number, _, unit = self.published.partition(" ")
        decimals = len(number.partition(".")[2])
        return round(self.exact / UNITS[unit], decimals) == float(number.replace(",", ""))


class Section(NamedTuple):
    """One table of the page."""

    title: str
    text: str
    figures: list[Figure]


def net(name: str, **options: Any) -> Report:
    """Check a bundled network."""
    return check(name, **options)


def text(body: str, shape: str) -> Report:
    """Check a few layers on an input such as `3, H=6, W=6`."""
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    return report(compile_text(f"net example:\n    input image: [N, {shape}]\n{lines}\n").network)


def layer(found: Report, name: str) -> Any:
    """Return the row of one layer or block."""
    return next(row for row in found.rows if row.name == name)


def convolutions(found: Report) -> int:
    """Count the parameters of the convolutions of a network."""
    return sum(row.params for row in found.rows if not row.block and row.what.startswith("conv("))


def params(name: str, published: str, note: str = "", **options: Any) -> Figure:
    """Compare the parameters of a network."""
    return Figure(f"`{name}`, parameters", published, net(name, **options).params, note)


def macs(name: str, published: str, note: str = "", **options: Any) -> Figure:
    """Compare the multiply-adds of a network."""
    return Figure(f"`{name}`, multiply-adds", published, net(name, **options).macs, note)


def separable() -> list[Section]:
    """Count what depthwise separable convolutions save."""
    small = "3, H=6, W=6"
    eight = "3, H=8, W=8"
    return [
        Section(
            "A separable convolution on 6×6×3",
            "Five 3×3 filters without padding, 4×4 results, in multiplications; separable, that is 0.31 of it.",
            [
                Figure("convolution", "2160", text("conv(5, 3, pad=0)", small).macs),
                Figure("depthwise", "432", text("depthwise(3, pad=0)", small).macs),
                Figure("pointwise", "240", text("depthwise(3, pad=0) -> conv(5, 1)", small).rows[1].macs),
                Figure("both", "672", text("depthwise(3, pad=0) -> conv(5, 1)", small).macs),
            ],
        ),
        Section(
            "A separable convolution on 8×8×3",
            "256 filters of 5×5 that keep the size, in multiplications; separable, 22.8 times fewer.",
            [
                Figure("convolution", "1,228,800", text("conv(256, 5)", eight).macs),
                Figure("depthwise", "3800", text("depthwise(5)", eight).macs, "the slide slips; its sum has 4,800"),
                Figure("pointwise", "49,152", text("depthwise(5) -> conv(256, 1)", eight).rows[1].macs),
                Figure("both", "53,952", text("depthwise(5) -> conv(256, 1)", eight).macs),
            ],
        ),
    ]


def bottlenecks() -> list[Section]:
    """Count what a 1×1 convolution in front of a 5×5 one saves."""
    shape = "192, H=28, W=28"
    return [
        Section(
            "Inception's 5×5 branch with and without a bottleneck",
            "On 28×28×192, as in `inception3a`, in multiplications: 28·28·32·5·5·192 against 28·28·16·192 + "
            "28·28·32·5·5·16.",
            [
                Figure("5×5", "120 M", text("conv(32, 5)", shape).macs),
                Figure("1×1 to 16, then 5×5", "12.4 M", text("conv(16, 1) -> conv(32, 5)", shape).macs),
            ],
        )
    ]


def stacks() -> list[Section]:
    """Compare AlexNet with VGG-16, and small windows with large ones."""
    alex, vgg = net("alexnet_2012", groups=1), net("vgg16")
    rounded = "the slide rounds up"
    stacked = text(" -> ".join(["conv(64, 3, bias=false)"] * 5), "64, H=64, W=64")
    return [
        Section(
            "AlexNet against VGG-16",
            "AlexNet in one tower, `alexnet_2012(groups=1)`. Its two halves have 61.0 M parameters, the paper's 60 M.",
            [
                Figure("AlexNet, convolutions", "3.8 M", convolutions(alex), rounded),
                Figure("AlexNet, linear layers", "59 M", alex.params - convolutions(alex)),
                Figure("AlexNet", "62 M", alex.params),
                Figure("VGG-16, convolutions", "15 M", convolutions(vgg)),
                Figure(
                    "VGG-16, linear layers",
                    "59 M",
                    vgg.params - convolutions(vgg),
                    "the slide repeats AlexNet's; its total has 124 M",
                ),
                Figure("VGG-16", "138 M", vgg.params),
            ],
        ),
        Section(
            "Five 3×3 convolutions against one of 11×11",
            "On 64 channels without bias. Both see 11×11 pixels: five windows of 3 reach 5·2 + 1.",
            [
                Figure("five of 3×3, parameters", "184,320", stacked.params),
                Figure(
                    "one of 11×11, parameters", "495,616", text("conv(64, 11, bias=false)", "64, H=64, W=64").params
                ),
            ],
        ),
    ]


def mobilenet() -> list[Section]:
    """Recount the two tables of MobileNet's multipliers."""
    widths = {"1": ("569 M", "4.2 M"), "0.75": ("325 M", "2.6 M"), "0.5": ("149 M", "1.3 M"), "0.25": ("41 M", "0.5 M")}
    sizes = {224: "569 M", 192: "418 M", 160: "290 M", 128: "186 M"}
    by_width, by_size = [], []
    for width, (work, weights) in widths.items():
        found = net("mobilenet_v1", width=float(width))
        by_width += [
            Figure(f"width {width}, multiply-adds", work, found.macs),
            Figure(f"width {width}, parameters", weights, found.params),
        ]
    for size, work in sizes.items():
        note = "the paper rounds down" if size == 160 else ""
        by_size.append(
            Figure(f"resolution {size}, multiply-adds", work, net("mobilenet_v1", resolution=size).macs, note)
        )
    return [
        Section("MobileNet: width", "Howard et al., 2017, Table 6.", by_width),
        Section("MobileNet: resolution", "Howard et al., 2017, Table 7.", by_size),
    ]


def googlenet() -> list[Section]:
    """Recount Table 1 of GoogLeNet."""
    found = net("googlenet_paper")
    down = "the paper rounds down"
    ops = {
        "inception3a": ("128 M", ""), "inception3b": ("304 M", ""), "inception4a": ("73 M", down),
        "inception4b": ("88 M", ""), "inception4c": ("100 M", ""), "inception4d": ("119 M", ""),
        "inception4e": ("170 M", ""), "inception5a": ("54 M", "the paper slips: its own channels give 51 M"),
        "inception5b": ("71 M", ""), "fc": ("1 M", ""),
    }  # fmt: skip
    rows = [
        Figure("conv1", "34 M", layer(found, "conv1").macs, "the paper counts less than its 7×7 window on 3 channels")
    ]
    rows.append(Figure("conv2 and conv3", "360 M", layer(found, "conv2").macs + layer(found, "conv3").macs))
    rows += [Figure(f"`{name}`", work, layer(found, name).macs, note) for name, (work, note) in ops.items()]
    return [Section("GoogLeNet: operations by module", "Szegedy et al., 2014, Table 1.", rows)]


def papers() -> list[Section]:
    """Compare whole networks with what their papers state."""
    lenet = net("lenet5_1998")
    per_layer = {"c1": "156", "s2": "12", "c3": "1,516", "s4": "32", "c5": "48,120", "f6": "10,164"}
    down = "the paper rounds down"
    reference = "the public reference, which trained the published weights, differs so from the paper"
    return [
        Section(
            "LeNet-5: parameters by layer",
            "LeCun et al., 1998, section II.B: trainable parameters, 60,000 up to F6.",
            [Figure(f"`{name}`", count, layer(lenet, name).params) for name, count in per_layer.items()]
            + [Figure("up to `f6`", "60,000", lenet.params - layer(lenet, "fc").params)],
        ),
        Section(
            "Residual networks",
            "He et al., 2015, Tables 1 and 6; He et al., 2016, Tables 1 and 4.",
            [
                macs("resnet18", "1.8 G"),
                macs("plain34", "3.6 G"),
                macs("resnet34_a", "3.6 G"),
                macs("resnet50_paper", "3.8 G", down),
                macs("resnet101_paper", "7.6 G"),
                macs("resnet152_paper", "11.3 G"),
                params("resnet20_cifar", "0.27 M"),
                params("resnet56_cifar", "0.85 M"),
                params("resnet110_cifar", "1.7 M"),
                params("preresnet110_cifar", "1.7 M"),
                params("preresnet164_cifar", "1.7 M"),
            ],
        ),
        Section(
            "Small networks",
            "Iandola et al., 2016, Table 3; Zhang et al., 2017, Table 1; Ma et al., 2018, Table 8; Sandler et al., "
            "2018, Table 4; Howard et al., 2019, Tables 3 and 4; Tan and Le, 2019, Table 2.",
            [
                params("squeezenet1_0", "4.8 MB"),
                params("squeezenet1_0_simple", "4.8 MB"),
                params(
                    "squeezenet1_0_complex",
                    "7.7 MB",
                    "the four 1×1 convolutions of the paper's Figure 2 add 1.3 MB only",
                ),
                macs("shufflenet_v1_g1", "143 M"),
                macs("shufflenet_v1_g2", "140 M", down),
                macs("shufflenet_v1_g3", "137 M"),
                macs("shufflenet_v1_g4", "133 M", "the paper is 1 % below its own table of channels"),
                macs("shufflenet_v1_g8", "137 M", "the paper is 1 % below its own table of channels"),
                macs("shufflenet_v2_x0_5", "41 M", reference),
                macs("shufflenet_v2_x1_0", "146 M", reference),
                macs("mobilenet_v2", "300 M", down),
                params("mobilenet_v2", "3.4 M", down),
                macs("mobilenet_v3_large", "219 M", reference),
                params("mobilenet_v3_large", "5.4 M", reference),
                macs("mobilenet_v3_small", "56 M", down),
                params("efficientnet_b0", "5.3 M"),
                macs("efficientnet_b0", "0.39 G"),
                params("efficientnet_b1", "7.8 M"),
                params("efficientnet_b7", "66 M"),
            ],
        ),
        Section(
            "Other networks",
            "Huang et al., 2016, Table 2; Chollet, 2016, Table 3; Long et al., 2014, Table 1; Noh et al., 2015; "
            "Badrinarayanan et al., 2015, Table 4; Chen et al., 2018, Table 1.",
            [
                params("densenet_bc_100_cifar", "0.8 M"),
                params("xception", "22,855,952"),
                params("fcn8s", "134 M"),
                params("deconvnet", "252 M"),
                params("segnet", "29.45 M"),
                params("odenet", "0.22 M", "torchdiffeq's example, by the authors, has 208,266"),
                params("odenet_residual", "0.60 M", "torchdiffeq's example, by the authors, has 576,778"),
            ],
        ),
    ]


def sections() -> list[Section]:
    """Return all tables."""
    return [*mobilenet(), *separable(), *bottlenecks(), *stacks(), *googlenet(), *papers()]


def page() -> str:
    """Print the page."""
    lines = [
        "# Published figures, recounted",
        "",
        "Written by `python docs/figures.py`, which runs the compiler; a test holds it current. A published figure is",
        "compared at its own rounding. Multiply-adds are those of convolutions and linear layers for one image; MB are",
        "2**20 bytes of fp32 parameters.",
    ]
    for section in sections():
        lines += [
            "",
            f"## {section.title}",
            "",
            section.text,
            "",
            "| | published | counted | |",
            "| --- | --- | --- | --- |",
        ]
        for figure in section.figures:
            mark = "" if figure.equal else figure.note
            lines.append(f"| {figure.what} | {figure.published} | {figure.exact:,} | {mark} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
