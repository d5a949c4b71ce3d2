"""What a box is coloured by: parameters, multiply-accumulates, bytes written, or the least time on a device."""

from __future__ import annotations

from archdsl.analysis.costs import Costs
from archdsl.analysis.rows import human
from archdsl.ir.network import Scope
from archdsl.ir.walk import once, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.analysis.costs import Cost
    from archdsl.analysis.roofline import Device
    from archdsl.analysis.table import Counter, Figures
    from archdsl.ir.network import Network, Node

    Steps = Callable[[Scope], list[float]]  # a figure for each step of a scope

MEASURES = ("macs", "params", "memory", "time")
DEVICE = "h100"
PARAMETERS = "parameters"


class Measure:
    """A figure for each step of each scope: what it counts, and how it is printed; `total` is what the net costs."""

    def __init__(self, total: Cost, unit: str, say: Callable[[float], str], figures: Steps) -> None:
        self.total, self.unit, self.say, self.figures = total, unit, say, figures

    @once
    def steps(self, scope: Scope, again: bool = False) -> list[float]:
        """Return the figure of each step of a scope; one that is used `again` has no further parameters."""
        return [0.0] * len(scope.nodes) if again and self.unit == PARAMETERS else self.figures(scope)


def measured(network: Network, by: str) -> Measure:
    """Return a figure for each step of a network, in evaluation and for one image.

    >>> from archdsl.compiler import compiled
    >>> network = compiled("lenet5").network
    >>> sum(measured(network, "params").steps(network.scope))
    61706
    """
    costs = Costs()
    total = costs.scope(network.scope)
    if by == "macs":
        return Measure(total, "MACs", _count, _counted(costs, "macs"))
    if by == "params":
        return Measure(total, PARAMETERS, _count, _counted(costs, "params"))
    return _of_table(total, by)


def _counted(costs: Costs, field: str) -> Steps:
    def figures(scope: Scope) -> list[float]:
        return [getattr(cost.run(times), field) for cost, (_, times) in zip(costs.steps(scope), runs(scope))]

    return figures


class _Seconds:
    """How long the kernels of a scope take at best, in float32."""

    def __init__(self, counter: Counter, device: Device) -> None:
        self.counter, self.device = counter, device

    @once
    def steps(self, scope: Scope) -> list[float]:
        """Return the seconds of each step."""
        found = zip(scope.nodes, self.counter.steps(scope), runs(scope))
        return [self.step(node, figures) * times for node, figures, (_, times) in found]

    def step(self, node: Node, figures: Figures) -> float:
        """Return the seconds of one run of a step: of a block, the sum of its own steps."""
        if isinstance(node.what, Scope):
            return sum(self.steps(node.what))
        moved = figures.traffic.moved() / self.device.bandwidth
        return max(figures.operations / self.device.operations["float32"], moved)


def _of_table(total: Cost, by: str) -> Measure:
    """Return what is known of the kernels of a step: the bytes that they write, or how long they take at best."""
    from archdsl.analysis.conventions import CONVENTIONS
    from archdsl.analysis.roofline import DEVICES
    from archdsl.analysis.table import SIZES, Counter

    counter, size = Counter(CONVENTIONS["macs"]), SIZES["float32"]

    def written(scope: Scope) -> list[float]:
        return [
            figures.run(times).traffic.written(size) for figures, (_, times) in zip(counter.steps(scope), runs(scope))
        ]

    if by == "memory":
        return Measure(total, "bytes that steps write, float32, one image", _bytes, written)
    return Measure(
        total,
        f"least time on an {DEVICE.upper()}, float32, one image",
        _seconds,
        _Seconds(counter, DEVICES[DEVICE]).steps,
    )


def _count(figure: float) -> str:
    return human(int(figure))


def _bytes(figure: float) -> str:
    return human(int(figure)) + "B"


def _seconds(figure: float) -> str:
    return f"{figure * 1e6:.3g} µs" if figure < 1e-3 else f"{figure * 1e3:.3g} ms"
