"""`archdsl cost`: operations, bytes, memory and receptive fields of a network, in numbers or in formulas."""

from __future__ import annotations

from archdsl.analysis.conventions import CONVENTIONS
from archdsl.analysis.memory import STATES
from archdsl.analysis.table import SIZES, table
from archdsl.cli.options import (
    add_name,
    add_request,
    add_view,
    names_of,
    number_of,
    positive,
    refuse_view,
    request_of,
    view_of,
)
from archdsl.cli.show import print_json
from archdsl.cli.status import YES
from archdsl.compiler import compiled
from archdsl.diagnostics import errors
from archdsl.report import cost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from archdsl.analysis.roofline import Device
    from archdsl.compiler import Compiled


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    conventions = tuple(CONVENTIONS)
    add_name(parser)
    parser.add_argument("--convention", choices=conventions, default="macs", help="what is counted (default: macs)")
    parser.add_argument("--explain", choices=conventions, metavar="OTHER", help="show what another convention counts")
    parser.add_argument("--by", choices=cost.BY, default="layer", help="a row for each of these")
    parser.add_argument("--dtype", choices=tuple(SIZES), default="float32", help="of weights and activations")
    parser.add_argument("--batch", type=positive, default=1, metavar="N", help="images in a batch (default: 1)")
    parser.add_argument("--memory", action="store_true", help="show the peak memory of inference and of training too")
    parser.add_argument("--optimizer", choices=tuple(STATES), default="sgd", help="in training (default: sgd)")
    device = "show the least time on a device: h200, h100, a100, rtx4090, cpu"
    parser.add_argument("--device", metavar="NAME", help=device)
    parser.add_argument("--peak", metavar="OPS,BYTES", help="the same by peaks a second, such as 82.6e12,1.008e12")
    symbolic = "print formulas in the input sizes (H,W) and in parameters: width,H,W"
    parser.add_argument("--symbolic", metavar="NAMES", help=symbolic)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print plain data")
    form.add_argument("--csv", action="store_true", help="print one line a layer")
    add_view(parser)
    add_request(parser)


def run(options: Namespace) -> int:
    """Print what a network costs."""
    if options.json or options.csv or options.explain or options.symbolic:
        refuse_view(options)
    if options.memory and options.csv:
        raise errors.bad_option("--csv", "--memory", "memory is of the network, not of its layers; --json has both")
    checked = compiled(options.name, request_of(options))
    network = checked.network
    if options.symbolic:
        return _symbolic(checked, options)
    found = table(network, options.convention, options.dtype, options.batch)
    peaks = cost.peaks(network, options.dtype, options.batch, options.optimizer) if options.memory else {}
    report = cost.CostReport(found, options.by, peaks)
    device = _device(options) if options.device or options.peak else None
    view = view_of(options).replace(another=cost.TIMES if device is not None else ())
    if options.json:
        print_json(report.to_dict())
        return YES
    if options.explain:
        print(cost.difference(found, table(network, options.explain, options.dtype, options.batch)))
        print("".join([f"{cost.peak_text(name, peak)}\n" for name, peak in peaks.items()]), end="")
    else:
        print(report.csv() if options.csv else report.text(view) + "\n", end="")
    if device is not None:
        print("\n" + cost.roofline(network, found, device, view.replace(another=report.grid().head)))
    return YES


def _symbolic(checked: Compiled, options: Namespace) -> int:
    """Print the costs as formulas in the sizes and parameters that were named."""
    from fractions import Fraction

    from archdsl.explore import symbolic
    from archdsl.explore.sweep import Evaluation

    network = checked.network
    sizes = [symbol.name for symbol in network.symbols]
    params = dict(network.scope.args)
    numbers = [name for name, value in params.items() if type(value) in (int, float)]
    names = names_of(options.symbolic)
    unknown = [name for name in names if name not in sizes and name not in numbers]
    if unknown or not names:
        reason = f"`{unknown[0]}` is no input size and no parameter with a number" if unknown else "it names nothing"
        raise errors.bad_expression("--symbolic", options.symbolic, reason, [*sizes, *numbers])
    if set(names).intersection(sizes):
        print("\n".join(symbolic.in_sizes(network)))
    for name in names:
        if name not in sizes:
            evaluation = Evaluation(options.name, checked.request.net, params, checked.file, checked.request)
            start = Fraction(str(params[name]))
            print("\n" + "\n".join(symbolic.in_parameter(evaluation, name, start)))
    return YES


def _device(options: Namespace) -> Device:
    """Return the device that `--device` or `--peak` means."""
    from archdsl.analysis.roofline import DEVICES, Device

    if options.peak:
        parts = [number_of(part) for part in options.peak.split(",")]
        if len(parts) != 2 or not all(part and part > 0 for part in parts):
            raise errors.bad_option("--peak", options.peak, "expected operations and bytes a second: 82.6e12,1.008e12")
        operations, bandwidth = [float(part or 0) for part in parts]
        return Device(options.device or "peaks given", dict.fromkeys(SIZES, operations), bandwidth)
    if options.device not in DEVICES:
        raise errors.bad_option("--device", options.device, f"known are {', '.join(DEVICES)}; or give --peak")
    return DEVICES[options.device]
