"""Prints costs: tables, CSV, and the difference between two conventions."""

from __future__ import annotations

import csv
import io

from archdsl.analysis.columns import OPERATION, WHOLE, Grid, at_default, counts, named, printed
from archdsl.analysis.conventions import CONVENTIONS
from archdsl.analysis.result import Result
from archdsl.analysis.rows import human
from archdsl.analysis.table import SIZES, Table
from archdsl.ops.base import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.analysis.columns import View
    from archdsl.analysis.field import Field
    from archdsl.analysis.memory import Peak
    from archdsl.analysis.roofline import Device
    from archdsl.analysis.table import Figures
    from archdsl.ir.network import Network

BY = ("layer", "block", "kind")  # what has a row
MOST_STEPS = 12  # of a roofline, those that take longest
FIGURES = ("parameters", "counted", "MACs", "FLOPs", "element-wise", "read", "written", "ops/byte", "share")
LINE = ("depth", "name", "operation", "kind", "count", "shape", "at_default")  # of CSV, before the figures
# Columns that a short line is without, the first of them first.
TIMES = ("step", OPERATION, "µs", "bound", "ops/byte")  # of the roofline
SPARE = ("field", "written", "read", "ops/byte", "element-wise", "FLOPs", "MACs", "output", "share")


class CostReport(Result):
    """What a network costs, in a row a `layer`, a `block` or a `kind` of operator; blocks are indented.

    `peaks` are the peaks of memory that were asked for, by what runs.
    """

    table: Table
    by: str = "layer"
    peaks: dict[str, Peak] = {}

    @property
    def params(self) -> int:
        """Learned parameters."""
        return self.table.total.params

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.table.total.macs

    @property
    def counted(self) -> int:
        """What the convention counts for one image."""
        return self.table.total.counted

    def summary(self) -> str:
        kind = self.table.convention
        peak = self.peaks.get("inference")
        memory = [f"{mib(peak.total)} at the peak of inference"] if peak else []
        counted = [f"{human(self.counted)} by `{kind.name}`", f"{human(self.params)} parameters"]
        return f"{self.table.network}: {', '.join([*counted, *memory])}"

    def grid(self, view: View = WHOLE) -> Grid:
        table = self.table
        below = [*notes(table), *[peak_text(name, peak) for name, peak in self.peaks.items()]]
        if self.by == "kind":
            kinds = [(kind, f"{count:,}", *figures(table, each)) for kind, count, each in table.kinds]
            kinds.append(("total", f"{sum(n for _, n, _ in table.kinds):,}", *figures(table, table.total)))
            return Grid(table.header(), ("operator", "steps", *FIGURES), kinds, 1, below, SPARE)
        rows = [
            (*named(row), at_default(row.shape), field_text(row.field), *figures(table, row.figures))
            for row in view.rows(table.lines)
            if self.by == "layer" or row.block or row.depth == 0
        ]
        rows.append(("total", "", "", "", *figures(table, table.total)))
        return Grid(table.header(), ("layer", OPERATION, "output", "field", *FIGURES), rows, 4, below, SPARE)

    def records(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.to_dict()["kinds" if self.by == "kind" else "layers"]
        return rows

    def to_dict(self) -> dict[str, Any]:
        return self.table.to_dict() | {name: peak.to_dict() for name, peak in self.peaks.items()}

    def csv(self) -> str:
        """Return one row a layer, with a header; every figure is a plain number."""
        out = io.StringIO()
        names = [*LINE, *self.table.figures_json(self.table.total)]  # of a network without steps, too
        writer = csv.DictWriter(
            out, [*names, "field_height", "field_width"], extrasaction="ignore", lineterminator="\n"
        )
        writer.writeheader()
        for row in self.table.to_dict()["layers"]:
            size = row["field"]["size"] if row["field"] else ("", "")
            flat = row | {"at_default": "x".join(map(str, row["at_default"]))}
            writer.writerow(flat | {"field_height": size[0], "field_width": size[1]})
        return out.getvalue()


def refuse_unknown(convention: str, by: str, dtype: str, optimizer: str | None) -> None:
    """Raise `ValueError` for a word that says nothing."""
    from archdsl.analysis.memory import STATES

    known = {
        "convention": (convention, tuple(CONVENTIONS)),
        "by": (by, BY),
        "dtype": (dtype, tuple(SIZES)),
        "optimizer": (optimizer or "sgd", tuple(STATES)),
    }
    for name, (given, words) in known.items():
        if given not in words:
            raise ValueError(f"`{name}` is one of {', '.join(words)}, not {given!r}")


def peaks(network: Network, dtype: str, batch: int, optimizer: str) -> dict[str, Peak]:
    """Return the peak memory of inference and of training, by what it is called in reports."""
    from archdsl.analysis.memory import inference, training
    from archdsl.codegen.module import lifetimes

    size, names = SIZES[dtype], lifetimes(network)
    return {
        "inference": inference(network, size, batch, names),
        f"training with {optimizer}": training(network, size, batch, optimizer, names),
    }


def field_text(field: Field | None) -> str:
    """Print a receptive field: its size, its stride, and where it starts."""
    if field is None or field.whole:
        return "whole" if field else ""
    stride, offset = [both(pair) for pair in (field.stride, field.offset)]
    return f"{both(field.size)} /{stride} @{offset}"


def both(pair: tuple[float, float]) -> str:
    """Print a pair of equal figures as one."""
    return f"{pair[0]:g}" if pair[0] == pair[1] else f"{pair[0]:g}x{pair[1]:g}"


def figures(table: Table, each: Figures) -> tuple[str, ...]:
    """Return the columns of figures; nothing for a zero."""
    counted = (each.params, each.counted, each.macs, 2 * each.macs, each.operations - 2 * each.macs)
    intensity, share = table.intensity(each), table.share(each)
    plain = counts((*counted, table.bytes_read(each), table.bytes_written(each)))
    return (*plain, f"{intensity:.2f}" if intensity else "", f"{share:.1%}" if share else "")


def notes(table: Table) -> list[str]:
    """Return what stands under a table: the outputs with their fields, and how the tool errs."""
    found = [
        f"output {name}: {show(shape)}, sees {field_text(field) or 'nothing'} of the input"
        for name, shape, field in table.outputs
    ]
    found.append("field: size /stride @first row or column seen by position 0, which is negative in the padding")
    return [*found, *[f"{table.convention.name}: {oddity}" for oddity in table.convention.oddities]]


def peak_text(name: str, found: Peak) -> str:
    """Print a peak of memory: the total, its parts, and the step that runs then."""
    parts = [(part, getattr(found, part)) for part in ("weights", "gradients", "optimizer", "inputs", "activations")]
    listed = ", ".join(f"{part} {mib(bytes)}" for part, bytes in parts if bytes)
    return f"memory, {name}: {mib(found.total)} at the peak, in {found.at} ({listed})"


def mib(bytes: int) -> str:
    """Print bytes in units of 2**20."""
    return f"{bytes / (1 << 20):,.1f} MiB"


def roofline(network: Network, table: Table, device: Device, view: View = WHOLE) -> str:
    """Print the steps that take longest at best on a device, the total, and what fusions would save."""
    from archdsl.analysis.roofline import fusions, lines, total

    timed = sorted(lines(table, device), key=lambda step: -step[2].seconds)[:MOST_STEPS]
    rows = [
        (name, line.what[:40], f"{time.seconds * 1e6:,.1f}", time.bound, f"{table.intensity(line.figures):.2f}")
        for name, line, time in timed
    ]
    seconds, memory = total(network, table, device)
    peak, ridge = device.operations[table.dtype], device.operations[table.dtype] / device.bandwidth
    head = f"{device.name}: {peak / 1e12:g} T operations/s in {table.dtype}, {device.bandwidth / 1e12:g} TB/s"
    share = f"{memory / seconds:.0%} of it memory-bound" if seconds else "nothing runs"
    notes = [
        f"{table.network}, batch {table.batch}: at least {seconds * 1e3:,.3f} ms, {share}",
        f"steps below {ridge:,.0f} operations a byte are memory-bound ({device.source or 'peaks as given'})",
    ]
    merged = [
        f"fusing {fusion.name}, ×{fusion.times}: {mib(fusion.saved)} less"
        for fusion in fusions(network, table.dtype, table.batch)[:6]
    ]
    return printed(Grid(head, TIMES, rows, 2, [*notes, *merged]), view)


def difference(one: Table, other: Table) -> str:
    """Print what two conventions count differently, by kind of operator, and what each counts."""
    left = {kind: figures.counted for kind, _, figures in one.kinds}
    right = {kind: figures.counted for kind, _, figures in other.kinds}
    changed = [kind for kind in left if left[kind] != right[kind]]
    rows = [(kind, f"{left[kind]:,}", f"{right[kind]:,}", f"{right[kind] - left[kind]:+,}") for kind in changed]
    equal = sum(left[kind] for kind in left if kind not in changed)
    rows.append(("all others", f"{equal:,}", f"{equal:,}", "0"))
    totals = (one.total.counted, other.total.counted)
    rows.append(("total", f"{totals[0]:,}", f"{totals[1]:,}", f"{totals[1] - totals[0]:+,}"))
    names = (one.convention.name, other.convention.name)
    lines = []
    for name in names:
        convention = CONVENTIONS[name]
        lines += [f"{name} counts {convention.unit}: {convention.counts}", *[f"  - {o}" for o in convention.oddities]]
    title = f"{one.network}: {human(totals[0])} by `{names[0]}`, {human(totals[1])} by `{names[1]}`"
    return printed(Grid(title, ("operator", *names, "difference"), rows, 1, lines))
