"""The commands `archdsl cost`, `sweep`, `search` and `diff`: their options, and what each prints."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from archdsl.cost.memory import Peak
    from archdsl.ir import Network

CONVENTIONS = ("macs", "all", "torch", "fvcore", "thop", "ptflops", "torchinfo")  # without importing their table
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
    form = cost.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print plain data")
    form.add_argument("--csv", action="store_true", help="print one line a layer")
    net_options(cost)


def positive(text: str) -> int:
    """Read an integer from 1 to 2**24."""
    from argparse import ArgumentTypeError

    if not (text.isascii() and text.isdigit() and 0 < int(text[:10]) <= 1 << 24):
        raise ArgumentTypeError(f"expected an integer from 1 to 2**24, not {text!r}")
    return int(text)


# -------------------------------------------------------------------------------------------------- cost
def cost(options: Namespace, network: Network) -> int:
    """Run `archdsl cost` on a checked network."""
    from archdsl.cost.table import table

    found = table(network, options.convention, options.dtype, options.batch)
    peaks = _peaks(network, options) if options.memory else {}
    if options.json:
        import json

        print(json.dumps(found.as_json() | {name: peak.as_json() for name, peak in peaks.items()}, indent=2))
        return 0
    from archdsl.cost import show

    if options.explain:
        print(show.difference(found, table(network, options.explain, options.dtype, options.batch)))
    else:
        print(show.as_csv(found) if options.csv else show.text(found, options.by), end="" if options.csv else "\n")
    for name, peak in peaks.items():
        print(show.peak(name, peak))
    return 0


def _peaks(network: Network, options: Namespace) -> dict[str, Peak]:
    """Return the peak memory of inference and of training, by what it is called in reports."""
    from archdsl.cost.memory import inference, training
    from archdsl.cost.table import SIZES

    size = SIZES[options.dtype]
    return {
        "inference": inference(network, size, options.batch),
        f"training with {options.optimizer}": training(network, size, options.batch, options.optimizer),
    }
