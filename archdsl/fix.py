"""`archdsl check --fix`: applies the edits that diagnostics are sure of, where one really mends its mistake.

A name that is guessed stays a proposal: `matmul(x, x)` would check as `mul(x, x)`, and mean something else.
"""

from __future__ import annotations

from archdsl import project
from archdsl.compiler import nets_of
from archdsl.diagnostics import CompileError, Diagnostic
from archdsl.project import Project
from archdsl.salvage import mistakes_in
from archdsl.survey import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.diagnostics import Help
    from archdsl.source import Source

MOST_EDITS = 100  # of one file in one run


def fixed(source: Source) -> tuple[str, list[str]]:
    """Return a file's text with all sure edits applied, and what each of them was."""
    done: list[str] = []
    mistakes = diagnose(source)
    while len(done) < MOST_EDITS:
        edit = next(_sure(source, mistakes), None)
        if edit is None:
            break
        source, mistakes, what = edit
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


def _sure(source: Source, mistakes: list[Diagnostic]) -> Iterator[tuple[Source, list[Diagnostic], str]]:
    """Yield the edits after which the mistake is gone and its line has no new one."""
    known = {(d.code, d.title) for d in mistakes}
    for mistake in mistakes:
        for proposal in mistake.help:
            if proposal.span is None or proposal.span.source != source or not proposal.sure:
                continue
            edited = source.replace(text=_applied(source.text, proposal))
            line = proposal.span.line
            after = diagnose(edited)
            here = {(d.code, d.title) for d in after if d.primary.span.line == line and d.primary.span.source == edited}
            if here <= known - {(mistake.code, mistake.title)}:
                was = source.text[proposal.span.start : proposal.span.end]
                yield edited, after, f"{source.name}:{line}: `{was}` is now `{proposal.replacement}`"


def _applied(text: str, proposal: Help) -> str:
    assert proposal.span is not None, "only edits are applied"
    return text[: proposal.span.start] + proposal.replacement + text[proposal.span.end :]


def fix_file(path: str) -> list[str]:
    """Mend a file in place and return what was done; raises `CompileError` where it cannot be read."""
    source = project.read(path)
    text, done = fixed(source)
    if done:
        project.write(path, text)
    return done
