"""`archdsl sweep`: what a network costs over a grid of parameters and input sizes, or a sample of it."""

from __future__ import annotations

from archdsl.analysis.columns import View
from archdsl.cli.options import names_of
from archdsl.cli.show import print_json
from archdsl.cli.space import Processes, add_space, show_interruption, shown, space_of
from archdsl.cli.status import INTERRUPTED, YES
from archdsl.cli.terminal import width
from archdsl.diagnostics import errors
from archdsl.explore.sweep import FIGURES, collected, outcomes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from archdsl.explore.sweep import Outcome, Point


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_space(parser)
    parser.add_argument("--figures", default="params,macs", metavar="F,F", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--plot", metavar="FILE", help="draw the settings and their Pareto front: .svg, .png or .pdf")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print plain data")
    form.add_argument("--csv", action="store_true", help="print one line a setting")


def run(options: Namespace) -> int:
    """Print what each setting costs; after Ctrl-C, of those that were tried."""
    figures = _figures(options)
    space = space_of(options).checked()
    tried: list[tuple[Point, Outcome]] = []
    status = YES
    with Processes(options.jobs) as executor:
        try:
            points = outcomes(options.name, options.net, space, figures, executor=executor)
            tried.extend(shown(points, len(space)))  # which keeps what it has when it is interrupted
        except KeyboardInterrupt:
            status = INTERRUPTED
            show_interruption(len(tried), len(space))
            if not tried:
                return status
    found = collected(options.name, options.net, space, figures, tried)
    if options.plot:
        from archdsl.explore.plot import pareto

        pareto(found, options.plot)
    if options.json:
        print_json(found.to_dict())
        return status
    print(found.csv() if options.csv else found.text(View(width=width())) + "\n", end="")
    return status


def _figures(options: Namespace) -> tuple[str, ...]:
    figures = names_of(options.figures)
    if not figures or not set(figures) <= set(FIGURES):
        raise errors.bad_expression("--figures", options.figures, "a figure is unknown", FIGURES)
    if options.plot and len(figures) < 2:
        raise errors.bad_expression("--figures", options.figures, "a plot needs two", FIGURES)
    return figures
