"""`archdsl search`: the best setting of a network under budgets."""

from __future__ import annotations

from archdsl.analysis.columns import View
from archdsl.cli.show import print_json
from archdsl.cli.space import Processes, add_space, show_interruption, show_progress, space_of
from archdsl.cli.status import INTERRUPTED, YES
from archdsl.cli.terminal import width
from archdsl.diagnostics import errors
from archdsl.explore.problem import Problem
from archdsl.explore.search import Found, Search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from archdsl.explore.study import Study


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_space(parser)
    parser.add_argument("--budget", default="", metavar="LIMITS", help='such as "macs <= 400M, memory <= 60MB"')
    goal = "of figures and parameters (default: params); several take a --sampler"
    parser.add_argument("--maximize", action="append", default=[], metavar="EXPR", help=goal)
    parser.add_argument("--minimize", action="append", default=[], metavar="EXPR", help="as --maximize")
    sampler = "what picks the settings, by what was found before: random, tpe or nsga2"
    parser.add_argument("--sampler", metavar="NAME", help=sampler)
    state = "where an interrupted search goes on from; with a --sampler, the address of a database too"
    parser.add_argument("--state", metavar="FILE", help=state)
    parser.add_argument("--plot", metavar="FILE", help="draw the front of two goals: .svg, .png or .pdf")
    parser.add_argument("--json", action="store_true", help="print plain data")


def run(options: Namespace) -> int:
    """Print the best setting, or the front of several goals; after Ctrl-C, the best so far."""
    goals = (options.maximize, options.minimize)
    problem = Problem(options.name, options.net, space_of(options), options.budget, *goals)
    _refuse_plot(options, problem)
    search = _search(problem, options)
    with Processes(options.jobs) as executor:
        try:
            found, status = search.run(executor, show_progress), YES
        except KeyboardInterrupt:
            saved = f"; the same command goes on from {options.state}" if options.state else ""
            show_interruption(search.tried, len(problem.space), saved)
            if not search.successful:
                return INTERRUPTED
            found, status = search.result(), INTERRUPTED
    if options.plot and not isinstance(found, Found):
        from archdsl.explore.plot import front

        front(found, options.plot)
    if options.json:
        print_json(found.to_dict())
        return status
    print(found.text(View(width=width())))
    return status


def _search(problem: Problem, options: Namespace) -> Search | Study:
    if options.sampler is None:
        return Search(problem, options.state)
    from archdsl.explore.study import Study

    return Study(problem, options.sampler, options.state)


def _refuse_plot(options: Namespace, problem: Problem) -> None:
    """Raise `CompileError` for a plot that cannot be, before an hour of search."""
    if options.plot is None:
        return
    from archdsl.explore.plot import refuse

    refuse(options.plot)
    if len(problem.goals) < 2:
        raise errors.bad_option("--plot", options.plot, "a plot has two goals, and here is one")
