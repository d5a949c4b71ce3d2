"""Prints costs: tables, CSV, and the difference between two conventions."""

from __future__ import annotations

import csv
import io

from archdsl.analysis.conventions import CONVENTIONS
from archdsl.analysis.rows import human
from archdsl.explore.sweep import in_words
from archdsl.ops.base import show
from archdsl.report.columns import OPERATION, WHOLE, at_default, counts, named, printed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.analysis.field import Field
    from archdsl.analysis.memory import Peak
    from archdsl.analysis.roofline import Device
    from archdsl.analysis.table import Figures, Table
    from archdsl.explore.sweep import Sweep
    from archdsl.ir.network import Network
    from archdsl.report.columns import View

MOST_SKIPPED = 10  # that are listed
MOST_STEPS = 12  # of a roofline, those that take longest
FIGURES = ("parameters", "counted", "MACs", "FLOPs", "element-wise", "read", "written", "ops/byte", "share")

# Columns that a short line is without, the first of them first.
SPARE = ("field", "written", "read", "ops/byte", "element-wise", "FLOPs", "MACs", "output", "share")


def text(table: Table, by: str, view: View = WHOLE) -> str:
    """Print the costs by `layer` (blocks are indented, equal steps folded), by `block`, or by `kind` of operator."""
    lines: list[tuple[str, ...]]
    if by == "kind":
        lines = [(kind, f"{count:,}", *figures(table, each)) for kind, count, each in table.kinds]
        lines.append(("total", f"{sum(n for _, n, _ in table.kinds):,}", *figures(table, table.total)))
        return printed(table.header(), ("operator", "steps", *FIGURES), lines, 1, notes(table), view, SPARE)
    lines = [
        (*named(row), at_default(row.shape), field_text(row.field), *figures(table, row.figures))
        for row in view.rows(table.lines)
        if by == "layer" or row.block or row.depth == 0
    ]
    lines.append(("total", "", "", "", *figures(table, table.total)))
    head = ("layer", OPERATION, "output", "field", *FIGURES)
    return printed(table.header(), head, lines, 4, notes(table), view, SPARE)


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


def peak(name: str, found: Peak) -> str:
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
    return printed(head, ("step", OPERATION, "µs", "bound", "ops/byte"), rows, 2, [*notes, *merged], view)


LINE = ("depth", "name", "operation", "kind", "count", "shape", "at_default")


def as_csv(table: Table) -> str:
    """Return one row a layer, with a header; every figure is a plain number."""
    out = io.StringIO()
    rows = table.as_json()["layers"]
    names = [*LINE, *table.figures_json(table.total)]  # of a network without steps, too
    writer = csv.DictWriter(out, [*names, "field_height", "field_width"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        size = row["field"]["size"] if row["field"] else ("", "")
        flat = row | {"at_default": "x".join(map(str, row["at_default"]))}
        writer.writerow(flat | {"field_height": size[0], "field_width": size[1]})
    return out.getvalue()


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
    return printed(title, ("operator", *names, "difference"), rows, 1, lines)


def sweep(found: Sweep, view: View = WHOLE) -> str:
    """Print the rows of a sweep, and what was skipped."""
    head = (*found.names, *found.figures)
    rows = [[_cell(row[name]) for name in head] for row in found.rows]
    skipped = [f"skipped: {in_words(settings)}: {reason}" for settings, reason in found.skipped[:MOST_SKIPPED]]
    if len(found.skipped) > MOST_SKIPPED:
        skipped.append(f"... and {len(found.skipped) - MOST_SKIPPED:,} more")
    counted = f"{len(found.rows):,} settings, {len(found.skipped):,} illegal ones skipped"
    return printed(f"{found.network}: {counted}", head, rows, len(found.names), skipped, view)


def sweep_csv(found: Sweep) -> str:
    """Return the rows of a sweep, with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, (*found.names, *found.figures), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found.rows)
    return out.getvalue()


def _cell(value: object) -> str:
    return f"{value:,}" if type(value) is int else f"{value:.6g}" if type(value) is float else str(value)
