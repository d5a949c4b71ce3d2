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
    from archdsl.ir.network import Network

    Figures = Callable[[Scope], list[float]]

MEASURES = ("macs", "params", "memory", "time")
DEVICE = "h100"


class Measure:
    """A figure for each step of each scope: what it counts, and how it is printed; `total` is what the net costs."""

    def __init__(self, total: Cost, unit: str, say: Callable[[float], str], figures: Figures) -> None:
        self.total, self.unit, self.say, self.figures = total, unit, say, figures

    @once
    def steps(self, scope: Scope) -> list[float]:
        """Return the figure of each step of a scope."""
        return self.figures(scope)


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
        return Measure(total, "parameters", _count, _counted(costs, "params"))
    return _of_table(total, by)


def _counted(costs: Costs, field: str) -> Figures:
    def figures(scope: Scope) -> list[float]:
        return [getattr(cost.run(times), field) for cost, (_, times) in zip(costs.steps(scope), runs(scope))]

    return figures


def _of_table(total: Cost, by: str) -> Measure:
    """Return what is known of the kernels of a step: the bytes that they write, or how long they take at best."""
    from archdsl.analysis.conventions import CONVENTIONS
    from archdsl.analysis.roofline import DEVICES
    from archdsl.analysis.table import SIZES, Counter

    counter, device, size = Counter(CONVENTIONS["macs"]), DEVICES[DEVICE], SIZES["float32"]

    class Seconds:
        """Adds up how long the kernels of a scope take."""

        @once
        def steps(self, scope: Scope) -> list[float]:
            return [self.step(at, scope) * times for at, (_, times) in enumerate(runs(scope))]

        def step(self, at: int, scope: Scope) -> float:
            what, figures = scope.nodes[at].what, counter.steps(scope)[at]
            if isinstance(what, Scope):
                return sum(self.steps(what))
            moved = figures.traffic.moved(size)
            return max(figures.operations / device.operations["float32"], moved / device.bandwidth)

    def written(scope: Scope) -> list[float]:
        return [
            figures.run(times).traffic.written(size) for figures, (_, times) in zip(counter.steps(scope), runs(scope))
        ]

    if by == "memory":
        return Measure(total, "bytes that steps write, float32, one image", _bytes, written)
    return Measure(total, f"least time on an {DEVICE.upper()}, float32, one image", _seconds, Seconds().steps)


def _count(figure: float) -> str:
    return human(int(figure))


def _bytes(figure: float) -> str:
    return human(int(figure)) + "B"


def _seconds(figure: float) -> str:
    return f"{figure * 1e6:.3g} µs" if figure < 1e-3 else f"{figure * 1e3:.3g} ms"
