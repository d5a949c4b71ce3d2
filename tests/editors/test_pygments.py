"""The lexer for Pygments splits and names the words of every text as the compiler does."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from archdsl.highlight import ArchLexer
from tests.editors.spelled import spelled
from tests.properties.programs import program
from tests.syntax.test_printer import GALLERY, stem

KINDS = {
    Comment: "comment",
    Keyword: "keyword",
    Name: "name",
    Number: "number",
    Operator: "operator",
    Punctuation: "punctuation",
    String: "string",
}


def coloured(text: str) -> list[tuple[str, str]]:
    found = []
    for kind, word in ArchLexer(stripnl=False, ensurenl=False).get_tokens(text):
        if kind not in Whitespace:
            assert kind is not Error, word
            found.append((next(name for whole, name in KINDS.items() if kind in whole), word))
    return found


def plain(words: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("name" if kind == "builtin" else kind, word.rstrip()) for kind, word in words]


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_the_gallery_is_split_as_the_compiler_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert coloured(text) == plain(spelled(text))


@pytest.mark.parametrize("seed", range(10))
def test_programs_are_split_as_the_compiler_does(seed: int) -> None:
    text = program(seed)
    assert coloured(text) == plain(spelled(text))


def test_words_are_told_apart() -> None:
    text = "block cell(width):\n    add: conv(width, init=zeros)  # why\n    input\n    y: relu\n"
    found = {word: kind for kind, word in ArchLexer().get_tokens(text)}
    assert (found["block"], found["cell"]) == (Keyword.Declaration, Name.Class)
    assert (found["conv"], found["add"], found["y"]) == (Name.Builtin, Name.Label, Name.Label)
    assert (found["init"], found["width"], found["# why"]) == (Name.Attribute, Name, Comment.Single)


def test_what_is_broken_is_marked_and_passed() -> None:
    kinds = [(kind, word) for kind, word in ArchLexer().get_tokens("net a:\n    conv(4, $ 3\n") if kind is Error]
    assert kinds == [(Error, "$")]
    assert '<span class="nb">conv</span>' in highlight("    conv(4)\n", ArchLexer(), HtmlFormatter())


def test_the_entry_point_leads_to_it() -> None:
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    module, name = re.search(r'"pygments.lexers"\]\narch = "(.+):(.+)"', pyproject).groups()
    assert getattr(import_module(module), name) is ArchLexer
