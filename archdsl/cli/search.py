"""`archdsl search`: the best setting of a network under budgets."""

from __future__ import annotations

from archdsl.cli.show import print_json
from archdsl.cli.space import Processes, add_space, show_interruption, show_progress, space_of
from archdsl.cli.status import INTERRUPTED, YES
from archdsl.explore.search import Search

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_space(parser)
    parser.add_argument("--budget", default="", metavar="LIMITS", help='such as "macs <= 400M, memory <= 60MB"')
    parser.add_argument("--maximize", default="params", metavar="EXPR", help="of figures and parameters")
    parser.add_argument("--state", metavar="FILE", help="where an interrupted search goes on from")
    parser.add_argument("--json", action="store_true", help="print plain data")


def run(options: Namespace) -> int:
    """Print the best setting; after Ctrl-C, the best so far."""
    search = Search(options.name, options.net, space_of(options), options.budget, options.maximize, options.state)
    with Processes(options.jobs) as executor:
        try:
            found, status = search.run(executor, show_progress), YES
        except KeyboardInterrupt:
            saved = f"; the same command goes on from {options.state}" if options.state else ""
            show_interruption(search.state.next, len(search.space), saved)
            if search.state.best is None:
                return INTERRUPTED
            found, status = search.result(), INTERRUPTED
    if options.json:
        print_json(found.to_dict())
        return status
    print(found)
    return status
