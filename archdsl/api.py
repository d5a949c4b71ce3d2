"""The public functions that need no torch."""

from __future__ import annotations

from archdsl.compiler import Request, bundled_nets, compiled
from archdsl.report.check import Report, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from archdsl.drawing.drawing import Drawing


def nets(pattern: str = "*") -> list[str]:
    """Return the names of the bundled networks, in order; `pattern` may hold the wildcards `*` and `?`.

    >>> nets("densenet*")
    ['densenet121', 'densenet161', 'densenet169', 'densenet201']
    """
    from fnmatch import fnmatchcase

    return [name for name, _ in bundled_nets() if fnmatchcase(name, pattern)]


def check(
    name: str,
    *,
    net: str | None = None,
    sizes: tuple[tuple[int, ...], ...] = (),
    in_channels: int | None = None,
    outputs: Sequence[str] = (),
    **params: Any,
) -> Report:
    """Check a network and return its figures: every shape as an exact function of the input size, parameters, MACs.

    `name` is a bundled net or the path of a file; `sizes` are the shapes of its inputs, [N, C, H, W] each, at which
    cost is evaluated; `params` are parameters that the net declares; `outputs` are names of its steps, which it then
    returns instead. Raises `CompileError`; does not import torch.

    >>> found = check("resnet50")
    >>> found.params, found.macs
    (25557032, 4089184256)
    """
    return report(compiled(name, Request(net, params, sizes, in_channels, outputs)).network)


def compile(
    name: str,
    *,
    net: str | None = None,
    in_channels: int | None = None,
    outputs: Sequence[str] = (),
    kernels: str = "none",
    inference: bool = False,
    **params: Any,
) -> str:
    """Return a network as Python source that needs only torch.

    Arguments as for `check`. The text is deterministic; its last class is the network. `kernels` as for `load`: with
    "all" or "auto" the text may need archdsl's kernels. With `inference` it has a function of that name, which returns
    the network optimized, and needs archdsl.
    """
    from archdsl.codegen.replay import faithful

    found = compiled(name, Request(net, params, in_channels=in_channels, outputs=outputs))
    return faithful(found.network, kernels=kernels, inference=inference).text


def draw(
    name: str,
    *,
    net: str | None = None,
    sizes: tuple[tuple[int, ...], ...] = (),
    in_channels: int | None = None,
    outputs: Sequence[str] = (),
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

    found = compiled(name, Request(net, params, sizes, in_channels, outputs))
    return drawn(found.network, by, depth, theme)
