"""What else is wrong in a file that cannot be read whole: after a mistake of its text, of an import or of a default.

A statement that is no sentence of the language becomes one that fails, as if nothing were known of what it does; where
a mistake is not a statement's own, the whole item of the file is left out. An import or a default that fails is passed
over, and the rest is checked as ever. Nothing is said of names that what was left out would have defined, nor of shapes
where a default is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice

from archdsl.compiler import nets_of
from archdsl.diagnose.holes import defined, hole_at, item_around, without
from archdsl.diagnose.repair import impossible, repaired
from archdsl.diagnose.survey import enough, in_order, survey, together
from archdsl.diagnostics import CompileError
from archdsl.elaborate.context import Spent
from archdsl.elaborate.nets import attempt
from archdsl.project import Project
from archdsl.syntax import tree
from archdsl.syntax.parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from archdsl.core.source import Source
    from archdsl.diagnose.holes import Hole
    from archdsl.diagnose.repair import Repaired
    from archdsl.diagnostics import Diagnostic

MOST = 20  # pieces taken out
MOST_TEXT = 100_000  # characters that are parsed again for them, 0.5 s
DEFAULT = "default"


class Salvage(Project):
    """Links one file past its mistakes, which it collects; of a file that it imports, only the first is told."""

    def __init__(self, source: Source, first: Diagnostic) -> None:
        super().__init__()
        self.source = source
        self.first = first
        self.mistakes: list[Diagnostic] = []
        self.lost: set[str] = set()  # names that would have been defined; and `default`
        self.holes: list[Hole] = []
        self.gone: list[tuple[int, int]] = []  # pieces that were taken out: holes, and whole items
        self.unknown: set[int] = set()  # where items start of which only the syntax is looked at

    def parse(self, source: Source) -> tree.Module:
        if source is not self.source:
            return parse(source)
        known = "syntax" in self.first.traits and self.first.primary.span.source == source
        rest = self._behind(source, self.first) if known else source
        for _ in range(min(MOST, 1 + MOST_TEXT // (len(rest.text) + 1))):
            try:
                tree = parse(rest)
            except CompileError as mistake:
                rest = self._behind(rest, mistake.diagnostic)
                continue
            if not self.unknown:
                return tree
            while self.unknown:
                rest = self._without_item(rest, item_around(rest.text, self.unknown.pop() + 1))
        return parse(source.replace(text=""))

    def _behind(self, source: Source, mistake: Diagnostic) -> Source:
        """Return a text without what holds a mistake, which is kept unless it may follow from an earlier one."""
        at = mistake.primary.span.start
        item = item_around(source.text, at)
        if any(hole.start <= at <= hole.end for hole in self.holes):
            return self._without_item(source, item)
        self.mistakes.append(mistake)
        hole = hole_at(source, at)
        if hole is None:
            return self._without_item(source, item)
        self.holes.append(hole)
        self.gone.append((hole.start, hole.end))
        self.lost |= hole.names
        rest = hole.fill(source)
        if hole.stand_in and not hole.sure:
            self.unknown.add(item_around(rest.text, hole.start + 1)[0])
        return rest

    def _without_item(self, source: Source, item: tuple[int, int]) -> Source:
        self.unknown.discard(item[0])
        self.gone.append(item)
        self.lost |= defined(source.text[slice(*item)])
        return without(source, *item)

    def attempt(self, item: tree.Node, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except CompileError as mistake:
            if item.span.source.name != self.source.name:
                raise
            self.mistakes.append(mistake.diagnostic)
            if isinstance(item, tree.Import):
                self.lost.update(item.names)
            elif isinstance(item, tree.DEFINITIONS):
                self.lost.add(item.name)
            elif isinstance(item, tree.Default):
                self.lost.add(DEFAULT)

    def follows(self, diagnostic: Diagnostic) -> bool:
        """Say whether a mistake may follow from what is lost."""
        place = diagnostic.primary.span
        if any(hole.start <= place.start < hole.end for hole in self.holes):
            return True
        if "shape" in diagnostic.traits:
            return DEFAULT in self.lost
        name = re.split(r"\W", place.text)[0]
        stem = name.rstrip("0123456789") or name
        forms = tuple(lost[:-1] for lost in self.lost if lost.endswith("{"))
        missing = "unknown" in diagnostic.traits
        return missing and (name.startswith(forms) or any(lost.startswith(stem) for lost in self.lost))


class Reading(Salvage):
    """Links a file whose tree is at hand, that of a repaired text."""

    def __init__(self, source: Source, first: Diagnostic, tree: tree.Module) -> None:
        super().__init__(source, first)
        self.tree = tree

    def parse(self, source: Source) -> tree.Module:
        return self.tree if source is self.source else parse(source)


def _inside(project: Salvage, known: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield what else is wrong in the pieces that were taken out: one mistake a line, of syntax or of a name."""
    source = project.source
    text = repaired(source) if project.gone else None
    lines = {diagnostic.primary.span.line for diagnostic in known}
    wrong = set(re.findall(r"\w+", " ".join(source.line(line) for line in lines)))
    names = _names(project, text, wrong) if text is not None else []
    balanced = text is not None and text.balanced and not any("bracket" in diagnostic.traits for diagnostic in known)
    sure = impossible(source, project.gone)
    further = text.mistakes if text is not None and balanced else ()
    for diagnostic in (*further, *sure, *names):
        place = diagnostic.primary.span
        gone = any(start <= place.start <= end for start, end in project.gone)
        if gone and place.line not in lines:
            lines.add(place.line)
            yield diagnostic


def _names(project: Salvage, text: Repaired, wrong: set[str]) -> list[Diagnostic]:
    """Return the names that do not exist in a repaired text, but for those that a wrong line may bind.

    `wrong` are the words of such lines; one that stands nowhere else may be two that have grown together.
    """
    reading = Reading(project.source, project.first, text.tree)
    try:
        found = survey(reading.link(project.source))
    except CompileError:
        return []
    count = Counter(re.findall(r"\w+", project.source.text))
    lost = text.lost | reading.lost | wrong | {"_"}
    grown = " ".join(word for word in wrong if count[word] == 1)
    return [one for one in found if one.primary.span.text not in lost and one.primary.span.text not in grown]


def mistakes_in(source: Source, first: Diagnostic, net: str | None = None) -> list[Diagnostic]:
    """Return the independent mistakes of a file that cannot be linked, or of one net of it; the first is known."""
    if "long" in first.traits:
        return [first]
    project = Salvage(source, first)
    try:
        file = project.link(source)
    except CompileError:
        known = project.mistakes or [first]
        return in_order([*known, *islice(_inside(project, known), MOST)])
    found: list[tuple[str, Diagnostic]] = []
    spent = Spent()
    for name in [net] if net in file.definitions else nets_of(file):
        if not enough(spent, found):
            found += [(name, diagnostic) for diagnostic in attempt(file, name, spent=spent).mistakes]
    every = {diagnostic.primary.span: diagnostic for diagnostic in project.mistakes or [first]}
    for diagnostic in together(found, file):
        if not project.follows(diagnostic):
            every.setdefault(diagnostic.primary.span, diagnostic)
    return in_order([*every.values(), *islice(_inside(project, list(every.values())), MOST)])
