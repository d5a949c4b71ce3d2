"""What else is wrong in a file that cannot be read whole: behind a mistake of its text, of an import or of a default.

An item of the file that is no sentence of the language is left out, an import or a default that fails is passed over,
and the rest is checked as ever. Nothing is said of names that what was left out would have defined, nor of shapes where
a default is missing.
"""

from __future__ import annotations

import re

from archdsl import errors, syntax
from archdsl.compiler import nets_of
from archdsl.diagnostics import CompileError, Diagnostic
from archdsl.parse import parse
from archdsl.project import Project
from archdsl.survey import each, in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from archdsl.source import Source

MOST = 20  # items left out
MOST_TEXT = 100_000  # characters that are parsed again for them, 0.5 s
ITEM = re.compile(r"^(?:net|block|fn|default|init|from)\b", re.MULTILINE)
HEAD = re.compile(r"^(?:net|block|fn|default)\b[^(:=\n]*|\bimport\b.*")  # the words of an item that it may define
DEFAULT = "default"


class Salvage(Project):
    """Links one file behind its mistakes, which it collects; of a file that it imports, only the first is told."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.mistakes: list[Diagnostic] = []
        self.lost: set[str] = set()  # names that would have been defined; and `default`

    def parse(self, source: Source) -> syntax.Module:
        if source is not self.source:
            return parse(source)
        rest = source
        for _ in range(min(MOST, 1 + MOST_TEXT // (len(rest.text) + 1))):
            try:
                return parse(rest)
            except CompileError as mistake:
                self.mistakes.append(mistake.diagnostic)
                rest = self._without(rest, mistake.diagnostic.primary.span.start)
        return parse(source.replace(text=""))

    def _without(self, source: Source, at: int) -> Source:
        """Return a text with the item around a place made blank, so that places stay what they are."""
        text = source.text
        starts = [0, *(found.start() for found in ITEM.finditer(text))]
        start = max(start for start in starts if start < max(at, 1))  # at its first word, the item before is to blame
        end = min([other for other in starts if other > start], default=len(text))
        for head in HEAD.findall(text[start:end]):
            self.lost.update(re.findall(r"\w+", head))
        return source.replace(text=text[:start] + re.sub(r"[^\r\n]", " ", text[start:end]) + text[end:])

    def attempt(self, item: syntax.Node, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except CompileError as mistake:
            if item.span.source.name != self.source.name:
                raise
            self.mistakes.append(mistake.diagnostic)
            if isinstance(item, syntax.Import):
                self.lost.update(item.names)
            elif isinstance(item, syntax.DEFINITIONS):
                self.lost.add(item.name)
            elif isinstance(item, syntax.Default):
                self.lost.add(DEFAULT)

    def follows(self, diagnostic: Diagnostic) -> bool:
        """Say whether a mistake may follow from what is lost."""
        if diagnostic.code.startswith("E03"):
            return DEFAULT in self.lost
        name = diagnostic.primary.span.text
        return diagnostic.code == errors.UNKNOWN_NAME and any(lost.startswith(name) for lost in self.lost)


def mistakes_in(source: Source, first: Diagnostic) -> list[Diagnostic]:
    """Return the independent mistakes of a file that cannot be linked, of which the first is known."""
    project = Salvage(source)
    try:
        file = project.link(source)
    except CompileError:
        return project.mistakes or [first]
    found = {diagnostic.primary.span: diagnostic for diagnostic in project.mistakes or [first]}
    for diagnostic in each(source.name, file, nets_of(file)):
        if isinstance(diagnostic, Diagnostic) and not project.follows(diagnostic):
            found.setdefault(diagnostic.primary.span, diagnostic)
    return in_order(found.values())
