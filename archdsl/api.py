"""The public functions that need no torch."""

from __future__ import annotations

from archdsl.compiler import Request, compiled
from archdsl.report.check import Report, report
from archdsl.report.gallery import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Any

    from archdsl.analysis.diff import Diff
    from archdsl.analysis.legal import Legal
    from archdsl.drawing.drawing import Drawing
    from archdsl.ops.custom import Custom
    from archdsl.report.cost import CostReport

    Name = str | os.PathLike[str]


def nets(pattern: str = "*") -> list[str]:
    """Return the names of the bundled networks, in order; `pattern` may hold the wildcards `*` and `?`.

    >>> nets("densenet*")
    ['densenet121', 'densenet161', 'densenet169', 'densenet201', 'densenet_bc_100_cifar', 'densenet_bc_40_cifar']
    """
    from fnmatch import fnmatchcase

    return [entry.name for entry in entries() if fnmatchcase(entry.name, pattern)]


def check(
    name: Name,
    /,
    *,
    net: str | None = None,
    sizes: tuple[tuple[int, ...], ...] = (),
    in_channels: int | None = None,
    outputs: Sequence[str] | str = (),
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    **params: Any,
) -> Report:
    """Check a network and return its figures: every shape as an exact function of the input size, parameters, MACs.

    `name` is a bundled net or the path of a file; `sizes` are the shapes of its inputs, [N, C, H, W] each, at which
    cost is evaluated; `params` are parameters that the net declares; `outputs` are names of its steps, or the name of
    one, which it then returns instead; `output_stride` and `operators` are as for `load`. Raises `CompileError`. Does
    not import torch.

    >>> found = check("resnet50")
    >>> found
    <resnet50: [N, 3, H, W] -> [N, 1000], 25.6 M parameters, 4.09 G MACs at 224x224>
    >>> found.params, found.macs
    (25557032, 4089184256)

    `print(found)` is the table of its layers, in a notebook it is shown as one; `to_dict()` and `to_pandas()` are data.
    """
    return report(compiled(name, Request(net, params, sizes, in_channels, outputs, output_stride, operators)).network)


def cost(
    name: Name,
    /,
    *,
    convention: str = "macs",
    by: str = "layer",
    dtype: str = "float32",
    batch: int = 1,
    optimizer: str | None = None,
    net: str | None = None,
    sizes: tuple[tuple[int, ...], ...] = (),
    in_channels: int | None = None,
    outputs: Sequence[str] | str = (),
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    **params: Any,
) -> CostReport:
    """Return what a network costs: operations by a convention, bytes, receptive fields (docs/cost.md).

    `by` is what has a row: "layer", "block" or "kind" of operator; bytes are those of `batch` images in `dtype`. With
    an `optimizer`, "sgd", "momentum" or "adam", the peaks of memory are there, too. Other arguments as for `check`.

    >>> found = cost("mobilenet_v2", convention="fvcore", by="kind", optimizer="adam")
    >>> found
    <mobilenet_v2: 314 M by `fvcore`, 3.5 M parameters, 24.0 MiB at the peak of inference>
    >>> found.records()[0]["kind"], found.peaks["training with adam"].at
    ('conv', 'features.15.conv.2, backward')
    """
    from archdsl.analysis.table import table
    from archdsl.report.cost import CostReport, peaks, refuse_unknown

    refuse_unknown(convention, by, dtype, optimizer)
    network = compiled(name, Request(net, params, sizes, in_channels, outputs, output_stride, operators)).network
    memory = {} if optimizer is None else peaks(network, dtype, batch, optimizer)
    return CostReport(table(network, convention, dtype, batch), by, memory)


def diff(left: Name, right: Name, /, *, params: dict[str, Any] | None = None, **others: Any) -> Diff:
    """Return how two networks differ: steps that are added, removed, repeated or changed, and what that costs.

    `params` are parameters of the left one, `others` those of the right; a name with `net` as a parameter takes that
    net of a file, as for `check`.

    >>> found = diff("resnet18", "resnet34")
    >>> found
    <resnet18 -> resnet34: 4 changes, +10.1 M parameters, +1.85 G MACs>
    >>> print(found.changes[0].text())
    layer1.1: basic(planes=64, last=bn) ×1 -> ×2, +74 k parameters, +231 M MACs
    >>> diff("resnet18", "resnet18", classes=10).changes[0].path
    'fc'
    """
    from archdsl.analysis.diff import compare

    one, other = dict(params or {}), dict(others)
    nets = [given.pop("net", None) for given in (one, other)]
    return compare(compiled(left, Request(nets[0], one)).network, compiled(right, Request(nets[1], other)).network)


def legal_sizes(
    name: Name,
    /,
    *,
    net: str | None = None,
    training: bool = False,
    in_channels: int | None = None,
    operators: Sequence[type[Custom]] = (),
    **params: Any,
) -> dict[str, Legal]:
    """Return which sizes the inputs of a network may have, by the name of the size: exactly, and why.

    >>> legal = legal_sizes("alexnet")
    >>> legal
    {'H': <H ≥ 63>, 'W': <W ≥ 63>}
    >>> 40 in legal["H"], legal["H"].nearest(40)
    (False, 63)

    With `training`, steps that only results of training need are asked, too. Other arguments as for `check`.
    """
    from archdsl.analysis.legal import legal_sizes

    network = compiled(name, Request(net, params, in_channels=in_channels, operators=operators)).network
    return {legal.name: legal for legal in legal_sizes(network, training=training)}


def compile(
    name: Name,
    /,
    *,
    net: str | None = None,
    in_channels: int | None = None,
    outputs: Sequence[str] | str = (),
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    kernels: str = "none",
    inference: bool = False,
    **params: Any,
) -> str:
    """Return a network as Python source that needs only torch.

    Arguments as for `check`. The text is deterministic; its last class is the network. `kernels` as for `load`: with
    "all" or "auto" the text may need archdsl's kernels. With `inference` it has a function of that name, which returns
    the network optimized, and needs archdsl.
    """
    from archdsl.codegen.plans import brought
    from archdsl.codegen.replay import faithful

    found = compiled(name, Request(net, params, (), in_channels, outputs, output_stride, operators))
    if "__main__" in brought(found.network.scope).values():
        raise ValueError("the code would import a class from `__main__`: put it into a module of its own")
    return faithful(found.network, kernels=kernels, inference=inference).text


def draw(
    name: Name,
    /,
    *,
    net: str | None = None,
    sizes: tuple[tuple[int, ...], ...] = (),
    in_channels: int | None = None,
    outputs: Sequence[str] | str = (),
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    by: str = "macs",
    depth: int | None = None,
    theme: str = "auto",
    **params: Any,
) -> Drawing:
    """Return a network as a picture on one page; notebooks show it, and `save` writes it as SVG, HTML, PDF or PNG.

    Arguments as for `check`. `by` is what figures and colours count: "macs", "params", "memory" (the bytes that steps
    write) or "time" (at best, by the roofline of an H100). Without a `depth`, the insides of blocks are drawn beside
    the net, once each; with one, they are unfolded in place to that depth. `theme` is "light", "dark", or "auto", the
    reader's. Raises `CompileError`.

    >>> draw("resnet50", by="params").save("resnet50.svg")  # doctest: +SKIP
    """
    from archdsl.drawing.drawing import drawn

    found = compiled(name, Request(net, params, sizes, in_channels, outputs, output_stride, operators))
    return drawn(found.network, by, depth, theme)
