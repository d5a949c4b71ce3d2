"""How long a network takes at best on a device: each step at the speed of its arithmetic, or of its memory.

The roofline (Williams et al., 2009, doi:10.1145/1498765.1498785): a kernel of F operations that moves B bytes takes at
least max(F / peak operations, B / bandwidth). Peaks are the vendors' for dense arithmetic in the type that is named;
launches, caches and occupancy are left out, so this is a bound from below, and the order of layers is what it is for.
"""

from __future__ import annotations

from archdsl.analysis.table import SIZES, Counter
from archdsl.core.record import Record
from archdsl.ir.network import Scope
from archdsl.ir.walk import runs, uses
from archdsl.ops.base import Op, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.analysis.rows import Row
    from archdsl.analysis.table import Figures, Table
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node


class Device(Record):
    """Peaks of a device: operations a second by type (a multiply-accumulate is two), and bytes a second."""

    name: str
    operations: dict[str, float]
    bandwidth: float
    source: str = ""


# Dense matrix arithmetic without sparsity. float32 is plain float32, as PyTorch computes by default, not TF32.
DEVICES = {
    device.name: device
    for device in (
        Device(
            "h200",
            {"float32": 67e12, "float64": 34e12, "float16": 989.5e12, "bfloat16": 989.5e12},
            4.8e12,
            "NVIDIA H200 SXM data sheet",
        ),
        Device(
            "h100",
            {"float32": 67e12, "float64": 34e12, "float16": 989.5e12, "bfloat16": 989.5e12},
            3.35e12,
            "NVIDIA H100 SXM data sheet",
        ),
        Device(
            "a100",
            {"float32": 19.5e12, "float64": 9.7e12, "float16": 312e12, "bfloat16": 312e12},
            2.039e12,
            "NVIDIA A100 80GB SXM data sheet",
        ),
        Device(
            "rtx4090",
            {"float32": 82.6e12, "float64": 1.29e12, "float16": 165.2e12, "bfloat16": 165.2e12},
            1.008e12,
            "NVIDIA Ada GPU architecture, with float32 accumulation",
        ),
        Device(
            "cpu",
            {"float32": 1e12, "float64": 0.5e12, "float16": 1e12, "bfloat16": 1e12},
            50e9,
            "a round figure for eight cores with AVX2 at 4 GHz and two channels of DDR5: give yours by --peak",
        ),
    )
}


class Time(Record):
    """The least seconds of a step, by its arithmetic and by its memory."""

    compute: float
    memory: float

    @property
    def seconds(self) -> float:
        """The larger of the two."""
        return max(self.compute, self.memory)

    @property
    def bound(self) -> str:
        """What limits the step: `memory` or `compute`."""
        return "memory" if self.memory >= self.compute else "compute"


class Fusion(Record):
    """Steps in a row that one kernel could run: the map between them need be neither written nor read again."""

    name: str
    steps: tuple[str, ...]
    saved: int  # bytes, for the batch
    times: int  # how often it stands in the network


def time_of(table: Table, figures: Figures, device: Device) -> Time:
    """Return the least time of a step for the table's batch and type."""
    moved = table.bytes_read(figures) + table.bytes_written(figures)
    return Time(figures.operations * table.batch / device.operations[table.dtype], moved / device.bandwidth)


def lines(table: Table, device: Device) -> Iterator[tuple[str, Row[Figures], Time]]:
    """Yield the steps of a table with their names in the net and their least times; heads of blocks are left out."""
    path: list[str] = []
    for line in table.lines:
        path[line.depth :] = [line.name or line.what]
        if line.kind:
            yield ".".join(path), line, time_of(table, line.figures, device)


def total(network: Network, table: Table, device: Device) -> tuple[float, float]:
    """Return the least seconds of a network, and those of them that memory limits."""
    counter, seconds, memory = Counter(table.convention), 0.0, 0.0
    for use in uses(network.scope):
        for (node, times), figures in zip(runs(use.scope), counter.steps(use.scope)):
            if times and not isinstance(node.what, Scope):
                found = time_of(table, figures, device)
                seconds += found.seconds * times * use.runs
                memory += found.seconds * times * use.runs if found.bound == "memory" else 0.0
    return seconds, memory


# -------------------------------------------------------------------------------------------------- fusions
def fusions(network: Network, dtype: str = "float32", batch: int = 1) -> list[Fusion]:
    """Return the chains that end in pointwise steps, with the bytes that running each as one kernel saves.

    A chain starts at a convolution, linear layer, norm or shuffle and goes on as long as the next step is pointwise
    (batch norm in evaluation mode among them) and alone in reading the result: each link saves one write and one read
    of the map between. Within one scope; largest savings first.
    """
    found: dict[tuple[str, ...], list[int]] = {}
    for use in uses(network.scope):
        times = use.runs * use.scope.evaluations
        for chain, elements in _chains(use.scope) if times else ():
            entry = found.setdefault(chain, [0, 0])
            entry[0] += 2 * elements * SIZES[dtype] * batch * times
            entry[1] += times
    made = [Fusion(" + ".join(chain), chain, saved, times) for chain, (saved, times) in found.items()]
    return sorted(made, key=lambda fusion: (-fusion.saved, fusion.name))


def _chains(scope: Scope) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the longest chains of a scope: the operators, and the elements of the maps between them for one image."""
    readers: dict[int, list[Node]] = {}
    alive = [node for node, times in runs(scope) if times]
    for node in alive:
        for value in node.inputs:
            readers.setdefault(value, []).append(node)
    kept = {output.value for output in scope.outputs}
    taken: set[int] = set()
    for node in alive:
        if isinstance(node.what, Scope) or id(node) in taken or len(node.outputs) > 1:
            continue
        chain, elements, last = [node.what.name], 0, node
        while (following := _follower(last, readers, kept, scope.shapes)) is not None:
            assert isinstance(following.what, Op), "only operators follow"
            elements += int(volume(scope.shapes[last.outputs[0]]))
            taken.add(id(following))
            chain.append(following.what.name)
            last = following
        if len(chain) > 1:
            yield tuple(chain), elements


def _follower(node: Node, readers: dict[int, list[Node]], kept: set[int], shapes: tuple[Shape, ...]) -> Node | None:
    """Return the pointwise step that alone reads the result of a step that writes one, and repeats nothing of it."""
    (value,) = node.outputs
    reading = readers.get(value, [])
    if value in kept or len(reading) != 1 or isinstance(reading[0].what, Scope):
        return None
    starts = isinstance(node.what, Op) and "fuses" in node.what.traits
    pointwise = starts and "pointwise" in reading[0].what.traits
    return reading[0] if pointwise and shapes[value] == shapes[reading[0].outputs[0]] else None
