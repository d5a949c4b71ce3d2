"""Edits that mend: which of them are shown, and `archdsl check --fix`, which applies those that cannot be wrong.

An edit is shown only after it was tried: its mistake is gone, and no other has come. One that fails stays as words. A
name that is guessed is shown and never applied: `matmul(x, x)` would check as `mul(x, x)`, and mean something else.
"""

from __future__ import annotations

from collections import Counter

from archdsl import project
from archdsl.compiler import Compiled, nets_of
from archdsl.diagnose.advice import advise
from archdsl.diagnose.salvage import mistakes_in
from archdsl.diagnose.survey import each
from archdsl.diagnostics import CompileError, Diagnostic
from archdsl.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from archdsl.core.source import Source
    from archdsl.diagnostics import Help

MOST_EDITS = 100  # of one file in one run
MOST_TRIED = 8  # before they are shown: each takes a check of the file, 20 to 60 ms in the gallery
MOST_MISTAKES, MOST_TEXT = 20, 20_000  # of a file in which edits are tried, as each check of it takes longer


def fixed(source: Source) -> tuple[str, list[str]]:
    """Return a file's text with all sure edits applied, of mistakes and then of advice, and what each of them was."""
    done: list[str] = []
    for look in (diagnose, advised):
        found = look(source)
        while len(done) < MOST_EDITS:
            edit = next(_sure(source, found, look), None)
            if edit is None:
                break
            source, found, what = edit
            done.append(what)
    return source.text, done


def diagnose(source: Source) -> list[Diagnostic]:
    """Return the mistakes of a file: those of its text, or each net's first and what else does not exist."""
    try:
        file = Project().link(source)
        nets = nets_of(file)
    except CompileError as mistake:
        return mistakes_in(source, mistake.diagnostic)
    return [found for found in each(source.name, file, nets) if isinstance(found, Diagnostic)]


def advised(source: Source) -> list[Diagnostic]:
    """Return the mistakes of a file, or where it has none the advice on it."""
    mistakes = diagnose(source)
    if mistakes:
        return mistakes
    file = Project().link(source)
    checked = [found.network for found in each(source.name, file, nets_of(file)) if isinstance(found, Compiled)]
    return advise(file, checked, True, every=True)  # where one that is left out came up, its edit would seem to make it


def proven(mistakes: Sequence[Diagnostic], text_of: Source | None = None) -> list[Diagnostic]:
    """Return mistakes with the edits that mend them; of the others, and of too many, only the words.

    The mistakes are of one file, which is `text_of` where it is known: after a mistake of its text, places are in a
    copy with that piece made blank.
    """
    return list(proving(mistakes, text_of))


def proving(mistakes: Sequence[Diagnostic], text_of: Source | None = None) -> Iterator[Diagnostic]:
    """Yield what `proven` returns, one mistake at a time: something else may be done between two."""
    tried = MOST_TRIED if len(mistakes) > MOST_MISTAKES else 0
    for mistake in mistakes:
        helps = []
        for proposal in mistake.help:
            if proposal.span is not None:
                source = _whole(proposal, text_of)
                tried += 1
                known = source is not None and len(source.text) <= MOST_TEXT and tried <= MOST_TRIED
                if source is None or not known or not mends(mistake, proposal, source, mistakes):
                    proposal = proposal.words()
            helps.append(proposal)
        yield mistake.replace(help=tuple(helps))


def mends(mistake: Diagnostic, proposal: Help, source: Source, before: Sequence[Diagnostic]) -> bool:
    """Say whether a mistake is gone after its edit, and no other has come."""
    return _mended(mistake, proposal, diagnose(applied(source, proposal)), before)


def applied(source: Source, proposal: Help) -> Source:
    """Return a text with an edit in it."""
    assert proposal.span is not None, "only edits are applied"
    start, end = proposal.span.start, proposal.span.end
    return source.replace(text=source.text[:start] + proposal.replacement + source.text[end:])


def _mended(mistake: Diagnostic, proposal: Help, after: Sequence[Diagnostic], before: Sequence[Diagnostic]) -> bool:
    assert proposal.span is not None, "only edits are applied"
    at, name = mistake.primary.span.start, mistake.primary.span.source.name
    if at >= proposal.span.end > proposal.span.start:
        at += len(proposal.replacement) - (proposal.span.end - proposal.span.start)
    for one in after:
        place = one.primary.span
        if _same(one) == _same(mistake) and place.source.name == name and place.start == at:
            return False
    return Counter(map(_same, after)) <= Counter(map(_same, before))


def _same(diagnostic: Diagnostic) -> tuple[str, str]:
    return diagnostic.code, diagnostic.title


def _whole(proposal: Help, text_of: Source | None) -> Source | None:
    """Return the text that an edit is of; None where its place is not in it as it was seen."""
    assert proposal.span is not None, "only edits are applied"
    source = proposal.span.source
    if text_of is None or source.name != text_of.name:
        return source
    start, end = proposal.span.start, proposal.span.end
    return text_of if text_of.text[start:end] == source.text[start:end] else None


def _sure(
    source: Source, found: list[Diagnostic], look: Callable[[Source], list[Diagnostic]]
) -> Iterator[tuple[Source, list[Diagnostic], str]]:
    """Yield the edits that cannot be wrong, and that mend: after one, `look` finds no more than before."""
    for mistake in found:
        for proposal in mistake.help:
            if proposal.span is None or not proposal.sure or proposal.span.source.name != source.name:
                continue
            if _whole(proposal, source) is None:
                continue
            edited = applied(source, proposal)
            after = look(edited)
            if _mended(mistake, proposal, after, found):
                start, end = proposal.span.start, proposal.span.end
                was, line = source.text[start:end], proposal.span.line
                yield edited, after, f"{source.name}:{line}: `{was}` is now `{proposal.replacement}`"


def fix_file(path: str) -> list[str]:
    """Mend a file in place and return what was done; raises `CompileError` where it cannot be read."""
    source = project.read(path)
    text, done = fixed(source)
    if done:
        project.write(path, text)
    return done
