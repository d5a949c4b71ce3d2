"""What is known of one text: its tree, its mistakes, and the network of the net that its reader looks at.

A change is answered in two parts. `looked_at` links the text and checks one net, in some ten milliseconds; `all_of`
checks everything else, and lets other requests through between two nets.
"""

from __future__ import annotations

import os

from archdsl import project
from archdsl.compiler import AS_WRITTEN, Compiled, attempted, choose, nets_of
from archdsl.core.record import Record
from archdsl.diagnose.advice import advise
from archdsl.diagnose.salvage import mistakes_in
from archdsl.diagnose.survey import each
from archdsl.diagnostics import CompileError, Diagnostic
from archdsl.elaborate.context import Memo, Spent
from archdsl.syntax import tree
from archdsl.syntax.parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archdsl.core.source import Source
    from archdsl.elaborate.environment import File
    from archdsl.ir.network import Network


class Analysis(Record):
    """A text with what is known of it; `mistakes` are those that were found on the way to its network.

    Without a tree the text is broken, without a file it cannot be linked, without a network the net has a mistake, or
    there is none.
    """

    source: Source
    module: tree.Module | None = None
    file: File | None = None
    net: str | None = None
    network: Network | None = None
    mistakes: tuple[Diagnostic, ...] = ()


class Linked(project.Project):
    """Links files of which some are open in the editor; what it imports is parsed once for each text of it."""

    def __init__(self, opened: Callable[[str], str | None], trees: dict[str, tree.Module]) -> None:
        super().__init__()
        self.opened, self.trees = opened, trees

    def read(self, path: str) -> Source:
        text = self.opened(os.path.realpath(path))
        return project.read(path) if text is None else project.source_of(path, text, path)

    def parse(self, source: Source) -> tree.Module:
        known = self.trees.get(source.path)
        if known is None or known.source.text != source.text:
            known = self.trees[source.path] = parse(source)
        return known


def looked_at(source: Source, linked: Linked, wanted: str | None) -> Analysis:
    """Link a text and check one of its nets: the one that is wanted, or the one that the command line would take."""
    found = Analysis(source)
    try:
        found = found.replace(module=linked.parse(source))
        file = linked.link(source)
    except CompileError as mistake:
        return found.replace(mistakes=(mistake.diagnostic,))
    net = _net(file, wanted)
    found = found.replace(file=file, net=net)
    if net is None:
        return found
    checked = attempted(source.name, file, AS_WRITTEN.replace(net=net), Memo(file), Spent())
    if isinstance(checked, Compiled):
        return found.replace(network=checked.network)
    return found.replace(mistakes=tuple(checked))


def _net(file: File, wanted: str | None) -> str | None:
    """Return the net of a file that is looked at, None where it has none: of several without a rule, the first."""
    nets = nets_of(file)
    if wanted in nets:
        return wanted
    try:
        return choose(file, None, os.path.basename(file.source.path or file.source.name))
    except CompileError:
        return nets[0] if nets else None


def all_of(found: Analysis) -> Iterator[Diagnostic | None]:
    """Yield every mistake and every advice of a text, and None wherever something else may be done first."""
    if found.file is None:
        yield None
        yield from mistakes_in(found.source, found.mistakes[0])
        return
    checked: list[Network] = []
    wrong = False
    nets = nets_of(found.file)
    for one in each(found.source.name, found.file, nets):
        if isinstance(one, Diagnostic):
            wrong = True
            yield one
        else:
            checked.append(one.network)
            yield None
    if nets and not wrong:
        yield from advise(found.file, checked, len(checked) == len(nets))
