"""The commands `archdsl cost`, `sweep`, `search` and `diff`: their options, and what each prints."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from typing import Any

    from archdsl.analysis.memory import Peak
    from archdsl.analysis.roofline import Device
    from archdsl.explore.sweep import Space
    from archdsl.ir.network import Network

CONVENTIONS = ("macs", "all", "torch", "fvcore", "thop", "ptflops", "torchinfo")  # without importing their table
FIGURES = ("params", "macs", "flops", "bytes", "operations", "memory", "training")
OPTIMIZERS = ("sgd", "momentum", "adam")
DTYPES = ("float32", "float64", "float16", "bfloat16")


def add_parsers(commands: Any, net_options: Callable[[ArgumentParser], None]) -> None:
    """Add the commands to those of `archdsl`."""
    cost = commands.add_parser("cost", help="what a network costs: operations, bytes, memory, receptive fields")
    cost.add_argument("name", metavar="FILE|NAME", help="an .arch file, or a bundled network")
    cost.add_argument("--convention", choices=CONVENTIONS, default="macs", help="what is counted (default: macs)")
    cost.add_argument("--explain", choices=CONVENTIONS, metavar="OTHER", help="show what another convention counts")
    cost.add_argument("--by", choices=("layer", "block", "kind"), default="layer", help="a row for each of these")
    cost.add_argument("--dtype", choices=DTYPES, default="float32", help="of weights and activations")
    cost.add_argument("--batch", type=positive, default=1, metavar="N", help="images in a batch (default: 1)")
    cost.add_argument("--memory", action="store_true", help="show the peak memory of inference and of training too")
    cost.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="in training (default: sgd)")
    cost.add_argument(
        "--device", metavar="NAME", help="show the least time on a device: h200, h100, a100, rtx4090, cpu"
    )
    cost.add_argument("--peak", metavar="OPS,BYTES", help="the same by peaks a second, such as 82.6e12,1.008e12")
    symbolic = "print formulas in the input sizes (H,W) and in parameters: width,H,W"
    cost.add_argument("--symbolic", metavar="NAMES", help=symbolic)
    form = cost.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print plain data")
    form.add_argument("--csv", action="store_true", help="print one line a layer")
    net_options(cost)
    sweep = commands.add_parser("sweep", help="what a network costs over a grid of parameters and input sizes")
    _space_options(sweep)
    sweep.add_argument("--figures", default="params,macs", metavar="F,F", help=f"of {', '.join(FIGURES)}")
    sweep.add_argument("--plot", metavar="FILE", help="draw the settings and their Pareto front: .svg, .png or .pdf")
    form = sweep.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print plain data")
    form.add_argument("--csv", action="store_true", help="print one line a setting")
    diff = commands.add_parser("diff", help="two networks side by side: structure, shapes and costs")
    diff.add_argument("left", metavar="A", help="an .arch file, or a bundled network")
    diff.add_argument("right", metavar="B", help="another, or the same with --set-b")
    diff.add_argument("--net-a", help="the net of A to take, where a file has several")
    diff.add_argument("--net-b", help="the net of B to take")
    diff.add_argument("--set-a", action="append", default=[], metavar="NAME=VALUE", help="a parameter of A")
    diff.add_argument("--set-b", action="append", default=[], metavar="NAME=VALUE", help="a parameter of B")
    diff.add_argument("--json", action="store_true", help="print plain data")
    search = commands.add_parser("search", help="the best setting of a network under budgets")
    _space_options(search)
    search.add_argument("--budget", default="", metavar="LIMITS", help='such as "macs <= 400M, memory <= 60MB"')
    search.add_argument("--maximize", default="params", metavar="EXPR", help="of figures and parameters")
    search.add_argument("--state", metavar="FILE", help="where an interrupted search goes on from")
    search.add_argument("--json", action="store_true", help="print plain data")


def _space_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="FILE|NAME", help="an .arch file, or a bundled network")
    parser.add_argument("--net", help="the net to take, where a file has several")
    values = "the values of a parameter; low..high in a sample"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE,VALUE", help=values)
    sizes = "shapes of the input to try; several inputs are joined by +"
    parser.add_argument("--input", action="append", default=[], metavar="1x3x128x128,...", help=sizes)
    parser.add_argument("--sample", type=positive, metavar="N", help="so many settings at random, not all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes (default: 1)")


def positive(text: str) -> int:
    """Read an integer from 1 to 2**24."""
    from argparse import ArgumentTypeError

    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 1 << 24):
        raise ArgumentTypeError(f"expected an integer from 1 to 2**24, not {text!r}")
    return int(text)


# -------------------------------------------------------------------------------------------------- cost
def cost(options: Namespace, network: Network) -> int:
    """Run `archdsl cost` on a checked network."""
    if options.symbolic:
        return _symbolic(options, network)
    from archdsl.analysis.table import table

    found = table(network, options.convention, options.dtype, options.batch)
    peaks = _peaks(network, options) if options.memory else {}
    device = _device(options) if options.device or options.peak else None
    if options.json:
        import json

        print(json.dumps(found.as_json() | {name: peak.as_json() for name, peak in peaks.items()}, indent=2))
        return 0
    from archdsl.report import cost

    if options.explain:
        print(cost.difference(found, table(network, options.explain, options.dtype, options.batch)))
    else:
        print(cost.as_csv(found) if options.csv else cost.text(found, options.by), end="" if options.csv else "\n")
    for name, peak in peaks.items():
        print(cost.peak(name, peak))
    if device is not None:
        print("\n" + cost.roofline(network, found, device))
    return 0


def _device(options: Namespace) -> Device:
    """Return the device that `--device` or `--peak` means."""
    from archdsl.analysis.roofline import DEVICES, Device
    from archdsl.diagnostics import errors

    if options.peak:
        parts = [_number(part) for part in options.peak.split(",")]
        if len(parts) != 2 or not all(part and part > 0 for part in parts):
            raise errors.bad_option("--peak", options.peak, "expected operations and bytes a second: 82.6e12,1.008e12")
        operations, bandwidth = [float(part or 0) for part in parts]
        return Device(options.device or "peaks given", dict.fromkeys(DTYPES, operations), bandwidth)
    if options.device not in DEVICES:
        raise errors.bad_option("--device", options.device, f"known are {', '.join(DEVICES)}; or give --peak")
    return DEVICES[options.device]


def _symbolic(options: Namespace, network: Network) -> int:
    """Print the costs as formulas in the sizes and parameters that were named."""
    from fractions import Fraction

    from archdsl.diagnostics import errors
    from archdsl.explore import symbolic
    from archdsl.explore.sweep import Evaluation

    sizes = [symbol.name for symbol in network.symbols]
    params = dict(network.scope.args)
    names = [name.strip() for name in options.symbolic.split(",") if name.strip()]
    unknown = [name for name in names if name not in sizes and type(params.get(name)) not in (int, float)]
    if unknown or not names:
        numbers = [name for name, value in params.items() if type(value) in (int, float)]
        reason = f"`{unknown[0]}` is no input size and no parameter with a number" if unknown else "it names nothing"
        raise errors.bad_expression("--symbolic", options.symbolic, reason, [*sizes, *numbers])
    if set(names).intersection(sizes):
        print("\n".join(symbolic.in_sizes(network)))
    for name in names:
        if name not in sizes:
            evaluation, start = Evaluation(options.name, options.net, params), Fraction(str(params[name]))
            print("\n" + "\n".join(symbolic.in_parameter(evaluation, name, start)))
    return 0


def _peaks(network: Network, options: Namespace) -> dict[str, Peak]:
    """Return the peak memory of inference and of training, by what it is called in reports."""
    from archdsl.analysis.memory import inference, training
    from archdsl.analysis.table import SIZES
    from archdsl.codegen.module import lifetimes

    size, names = SIZES[options.dtype], lifetimes(network)
    return {
        "inference": inference(network, size, options.batch, names),
        f"training with {options.optimizer}": training(network, size, options.batch, options.optimizer, names),
    }


# -------------------------------------------------------------------------------------------------- diff
def diff(options: Namespace, left: Network, right: Network) -> int:
    """Run `archdsl diff` on two checked networks; like `diff`, status 1 says that they differ."""
    from archdsl.analysis.diff import compare, text

    found = compare(left, right)
    if options.json:
        import json

        print(json.dumps(found.as_json(), indent=2))
    else:
        print(text(found))
    return 1 if found.changes else 0


# -------------------------------------------------------------------------------------------------- sweep and search
def sweep(options: Namespace) -> int:
    """Run `archdsl sweep`."""
    from archdsl.diagnostics import errors
    from archdsl.explore import sweep as sweeps

    figures = tuple(figure.strip() for figure in options.figures.split(",") if figure.strip())
    if not figures or not set(figures) <= set(FIGURES):
        raise errors.bad_expression("--figures", options.figures, "a figure is unknown", FIGURES)
    if options.plot and len(figures) < 2:
        raise errors.bad_expression("--figures", options.figures, "a plot needs two", FIGURES)
    space = space_of(options).checked()
    with _executor(options.jobs) as executor:
        points = sweeps.outcomes(options.name, options.net, space, figures, executor=executor)
        found = sweeps.collected(options.name, options.net, space, figures, _shown(points, len(space)))
    if options.plot:
        from archdsl.explore.plot import pareto

        pareto(found, options.plot)
    if options.json:
        import json

        print(json.dumps(found.as_json(), indent=2))
        return 0
    from archdsl.report import cost

    print(cost.sweep_csv(found) if options.csv else cost.sweep(found), end="" if options.csv else "\n")
    return 0


def search(options: Namespace) -> int:
    """Run `archdsl search`."""
    from archdsl.explore.search import Search
    from archdsl.explore.sweep import in_words

    one = Search(options.name, options.net, space_of(options), options.budget, options.maximize, options.state)
    with _executor(options.jobs) as executor:
        try:
            found = one.run(executor, _progress)
        except KeyboardInterrupt:
            saved = f"; the same command goes on from {options.state}" if options.state else ""
            return _interrupted(f"{one.state.next:,} of {len(one.space):,} settings tried{saved}")
    if options.json:
        import json

        print(json.dumps(found.as_json(), indent=2))
        return 0
    print(f"{found.network}: {options.maximize} = {found.goal:,.6g} at {in_words(found.best)}")
    print(f"{found.tried:,} settings tried, {found.tried - found.legal:,} illegal, {found.met:,} within the budget")
    return 0


def space_of(options: Namespace) -> Space:
    """Read `--set width=0.5,1 --input 1x3x128x128,1x3x224x224 --sample 100`; raises `CompileError`."""
    from archdsl.diagnostics import errors
    from archdsl.explore.sweep import INPUT, Space

    axes: list[tuple[str, Any]] = []
    for setting in options.set:
        name, equals, values = setting.partition("=")
        if not equals or not name.strip().isidentifier():
            raise errors.bad_option("--set", setting, "expected NAME=VALUE,VALUE, such as width=0.5,1.0")
        axes.append((name.strip(), _values(name.strip(), values)))
    shapes = [_shapes(text) for option in options.input for text in option.split(",")]
    return Space((*axes, *([(INPUT, tuple(shapes))] if shapes else [])), options.sample, options.seed)


def _values(name: str, text: str) -> Any:
    """Read `0.5,1.0`, or the range `0.25..2.0`; a value is an expression of the language."""
    from archdsl.diagnostics import errors
    from archdsl.explore.sweep import Range

    low, dots, high = text.partition("..")
    if dots:
        first, last = _number(low), _number(high)
        if first is None or last is None or first > last:
            raise errors.bad_option("--set", f"{name}={text}", "a range is low..high, such as 0.25..2.0")
        return Range(first, last)
    values = [part for part in _split(text) if part]
    return tuple(part if (number := _number(part)) is None else number for part in values)


def _number(text: str) -> float | None:
    try:
        return int(text) if text.strip().lstrip("-").isdigit() else float(text)
    except ValueError:
        return None


def _split(text: str) -> Iterator[str]:
    """Split at the commas outside brackets: `[3, 4], [6, 3]` are two lists."""
    depth, start = 0, 0
    for at, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    """Read `1x3x128x128`, or several shapes joined by `+`."""
    from archdsl.diagnostics import errors

    shapes = [part.lower().split("x") for part in text.split("+")]
    for sizes in shapes:
        if not all(p.isascii() and p.isdigit() and 0 < int(p[:10]) <= 1 << 24 for p in sizes):
            raise errors.bad_option("--input", text, "expected sizes from 1 to 2**24, such as 1x3x224x224")
    return tuple(tuple(int(p) for p in sizes) for sizes in shapes)


class _executor:
    """Processes for `--jobs`, or nothing for one; collects garbage, which the command line otherwise does not."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.pool: Executor | None = None

    def __enter__(self) -> Executor | None:
        import gc

        gc.freeze()
        gc.enable()
        if self.jobs > 1:
            from concurrent.futures import ProcessPoolExecutor

            self.pool = ProcessPoolExecutor(self.jobs)
        return self.pool

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def _shown(points: Iterator[Any], total: int) -> Iterator[Any]:
    """Pass points on, with a line on a terminal for what takes long."""
    import time

    last = time.monotonic()
    for number, point in enumerate(points):
        if time.monotonic() - last > 1:
            last = time.monotonic()
            _progress(number, total)
        yield point


def _progress(done: int, total: int) -> None:
    import sys

    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,} settings", end="\r", file=sys.stderr, flush=True)


def _interrupted(text: str) -> int:
    import sys

    print(f"interrupted: {text}", file=sys.stderr)
    return 1
