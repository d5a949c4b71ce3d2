"""`archdsl fmt` moves words and changes none: trees, comments and their order stay; what is laid out stays as it is."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archdsl.core.source import Source
from archdsl.diagnostics import CompileError
from archdsl.syntax import tree
from archdsl.syntax.formatter import formatted
from archdsl.syntax.parser import parse, parser
from archdsl.syntax.printer import WIDTH, print_module
from tests.project.test_docs import EXAMPLES
from tests.properties.programs import program
from tests.syntax.test_printer import GALLERY, stem
from tests.syntax.trees import modules

CASES = Path(__file__).parent / "layouts"
COMMENT = re.compile(r"# c\d+")


def laid_out(text: str) -> str:
    return formatted(Source("text.arch", text))


def holds(text: str) -> None:
    """Check everything that the formatter promises of a text whose comments are numbered."""
    before = parse(Source("text.arch", text))
    result = laid_out(text)
    assert parse(Source("text.arch", result)) == before
    assert COMMENT.findall(result) == COMMENT.findall(text)
    assert words(result) == words(text)
    assert laid_out(result) == result
    assert not re.search(r"[ \t]$|\n\n\n|\A\n|\n\n\Z", result, re.MULTILINE) or '"""' in text


def words(text: str) -> list[str]:
    source = Source("text.arch", text)
    return [word for kind, word, *_ in parser().lexer.tokens(source) if kind != "LONG_STRING"]


def disturbed(text: str, seed: int) -> str:
    """Return a text with comments, empty lines and spaces at random, numbered in order."""
    rng = random.Random(seed)
    out, at, brackets = [], 0, 0
    for kind, word, start, end in parser().lexer.tokens(Source("text.arch", text)):
        if kind in ("_NL", "_INDENT", "_DEDENT"):
            continue
        gap = text[at:start]
        if "\n" in gap:
            head, _, tail = gap.partition("\n")
            aside = head if "#" in head or rng.random() < 0.8 else " " * rng.randint(0, 5) + "# c0"
            between = [rng.choice(["", " " * rng.randint(0, 9) + "# c0"]) for _ in range(rng.choice((0, 0, 0, 1, 3)))]
            gap = "\n".join([aside, *between, tail])
        elif brackets and rng.random() < 0.15:
            gap += rng.choice([" # c0\n", "\n", "\n   # c0\n\n", " \\\n ", "   "])
        elif gap and rng.random() < 0.1:
            gap = "    "
        brackets += (word in "([{") - (word in ")]}") if kind.startswith("_") or kind in BRACKETS else 0
        out += [gap, word]
        at = end
    numbers = iter(range(10**6))
    return re.sub("# c0", lambda _: f"# c{next(numbers)}", "".join([*out, text[at:], "# c0"]))


BRACKETS = {parser().tables.literals[word] for word in "()[]{}"}


# -------------------------------------------------------------------------------------------------- what stays
@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_the_gallery_is_laid_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert laid_out(text) == text
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_documentation_is_laid_out(text: str) -> None:
    assert laid_out(text) == text


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_comments_at_random_places_of_the_gallery_stay(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for seed in range(2):
        holds(disturbed(text, seed))


@pytest.mark.parametrize("seed", range(10))
def test_comments_at_random_places_of_programs_stay(seed: int) -> None:
    holds(disturbed(program(seed), seed))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(modules, st.integers(0, 100))
def test_any_tree_stays(module: tree.Module, seed: int) -> None:
    """Printed in the canonical form, which breaks lines elsewhere, and then disturbed."""
    text = print_module(module)
    if "#" not in text:
        holds(disturbed(text, seed))


@pytest.mark.parametrize("path", GALLERY[::6], ids=stem)
def test_what_is_on_one_line_is_laid_out_within_the_width(path: Path) -> None:
    """The gallery with every bracket on one line: no line stays too long."""
    source = Source("text.arch", path.read_text(encoding="utf-8"))
    out, at = [], 0
    for kind, word, start, end in parser().lexer.tokens(source):
        gap = source.text[at:start]
        if kind not in ("_NL", "_INDENT", "_DEDENT"):
            joined = out and "\n" in gap and "#" not in gap and not _starts(source, start)
            out += [" " if joined else gap, word]
            at = end
    text = "".join(out) + "\n"
    result = laid_out(text)
    assert parse(Source("text.arch", result)) == parse(source)
    assert max(map(len, result.splitlines())) <= WIDTH
    assert laid_out(result) == result


def _starts(source: Source, start: int) -> bool:
    """Say whether a logical line starts at a place: a text that ends before it has no bracket open."""
    try:
        list(parser().lexer.tokens(Source("text.arch", source.text[:start].rstrip() + "\n")))
    except CompileError:
        return False
    return not source.text.startswith("->", start)


# -------------------------------------------------------------------------------------------------- how it looks
@pytest.mark.parametrize("path", sorted(CASES.glob("*.arch")), ids=stem)
def test_layouts(path: Path) -> None:
    """`NAME.arch` has what an author may have written, a line of dashes, and how it is laid out."""
    before, after = path.read_text(encoding="utf-8").split("\n# ----\n")
    assert laid_out(before) == after
    assert laid_out(after) == after


def test_line_ends_are_those_of_the_first_line() -> None:
    text = "net a:\r\n  input i: [N, 3, H=8, W=8]\n  relu # c\r\n"
    assert laid_out(text) == "net a:\r\n    input i: [N, 3, H=8, W=8]\r\n    relu  # c\r\n"


def test_a_text_without_words() -> None:
    assert laid_out("") == ""
    assert laid_out("\n\n  # only this\n\n\n") == "# only this\n"


def test_what_does_not_parse_is_a_mistake() -> None:
    with pytest.raises(CompileError):
        laid_out("net a:\n    conv(\n")


@pytest.mark.parametrize("end", [99, 100, 101])
def test_a_line_ends_in_column_100_at_the_latest(end: int) -> None:
    """The first comma is at the end of a line as long as is allowed, or the line is ended before it."""
    head = "net a(b):\n    input i: [N, 3, H=8, W=8]\n"
    line = "    cat(" + "b, " * 12
    line += "y" * (end - len(line) - 1) + ","
    before = head + line + " relu)\n"
    assert len(line) == end
    first, second = laid_out(before).split("\n")[2:4]
    assert (first, second) == (
        (line, "        relu)") if end <= WIDTH else (line[:43], line[44:].rjust(end - 36) + " relu)")
    )
