"""The grammar for tree-sitter takes what the compiler takes, refuses what it refuses, and names every word as it does.

The parser is compiled from the C that editors compile; where there is no compiler, these tests are skipped.
"""

from __future__ import annotations

import ctypes
import hashlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from archdsl.core.source import Source
from archdsl.diagnostics import CompileError
from archdsl.report.treesitter import files
from archdsl.syntax.parser import parse, parser
from archdsl.syntax.printer import print_module
from tests.editors.spelled import spelled
from tests.editors.test_vscode import ROOT
from tests.properties.programs import program
from tests.syntax.test_printer import GALLERY, stem
from tests.syntax.trees import HARD_WORDS, modules

tree_sitter = pytest.importorskip("tree_sitter")
GRAMMAR = ROOT / "editors" / "tree-sitter-archdsl"
SOURCES = [GRAMMAR / "src" / "parser.c", GRAMMAR / "src" / "scanner.c"]
KINDS = {
    "comment": "comment",
    "string": "string",
    "number": "number",
    "boolean": "keyword",
    "keyword": "keyword",
    "operator": "operator",
    "punctuation": "punctuation",
    "function.builtin": "builtin",
    **dict.fromkeys(("function", "type", "module", "variable", "label"), "name"),
}


@pytest.mark.parametrize("name", files())
def test_the_queries_are_current(name):
    assert (GRAMMAR / "queries" / name).read_text(encoding="utf-8") == files()[name], "run `make editors`"


def test_the_parser_is_made_of_the_grammar():
    made = (GRAMMAR / "src" / "made-of").read_text().split()[0]
    assert made == hashlib.sha256((GRAMMAR / "grammar.js").read_bytes()).hexdigest(), "run `make tree-sitter`"


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no compiler of C")
    library = tmp_path_factory.mktemp("tree-sitter") / "archdsl.so"
    how = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I", str(GRAMMAR / "src")]
    subprocess.run([compiler, *how, *map(str, SOURCES), "-o", str(library)], check=True)
    made = ctypes.CDLL(str(library)).tree_sitter_archdsl
    made.restype = ctypes.c_void_p
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype, capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return tree_sitter.Language(capsule(made(), b"tree_sitter.Language", None))


@pytest.fixture(scope="module")
def read(language):
    """Return the root of a text."""
    reader = tree_sitter.Parser(language)
    return lambda text: reader.parse(text.encode()).root_node


@pytest.fixture(scope="module", params=files())
def named(request, language, read):
    """Return the words of a text with what the queries of an editor name them, each once."""
    query = tree_sitter.Query(language, (GRAMMAR / "queries" / request.param).read_text())
    kinds = KINDS | {"namespace": "name", "constant.numeric": "number", "constant.builtin.boolean": "keyword"}

    def words(text: str) -> list[tuple[str, str]]:
        captures = tree_sitter.QueryCursor(query).captures(read(text))
        found = [(node, kind) for kind, nodes in captures.items() for node in nodes]
        found.sort(key=lambda one: one[0].start_byte)
        return [(kinds[max((k for k in kinds if kind.startswith(k)), key=len)], n.text.decode()) for n, kind in found]

    return words


def wanted(text: str) -> list[tuple[str, str]]:
    return [(kind, word.rstrip()) for kind, word in spelled(text)]


def as_names(words: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return words without what tells apart a builtin, which the compiler's lexer does by spelling alone."""
    return [("name" if kind == "builtin" else kind, word.rstrip()) for kind, word in words]


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_the_gallery_has_no_error_and_its_words_are_named(path, read, named):
    text = path.read_text(encoding="utf-8")
    assert not read(text).has_error
    assert as_names(named(text)) == as_names(wanted(text))


@pytest.mark.parametrize("seed", range(10))
def test_programs_have_no_error_and_their_words_are_named(seed, read, named):
    text = program(seed)
    assert not read(text).has_error
    assert as_names(named(text)) == as_names(wanted(text))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(module=modules)
def test_whatever_can_be_printed_has_no_error(module, read):
    text = print_module(module).replace("\0", "0")  # which no text of the compiler's has, and the end for tree-sitter
    assert not read(text).has_error, text


def test_words_are_told_apart(read, named):
    found = {word: kind for kind, word in named("net a(conv=3):\n    conv: conv(mine) -> relu\n")}
    assert (found["relu"], found["mine"], found["net"]) == ("builtin", "name", "keyword")
    root = read("net a:\n    input: input\n")
    assert root.has_error, "`input` starts an input there, as for the compiler"


# -------------------------------------------------------------------------------------------------- texts with a mistake
PUT = 'if else for in -> : = ( ) [ ] , x 3 2.5 input output not - * ** { } . and net block true "s" elif fn'.split()
# What it takes all the same: lines that are indented for no reason, and a choice that might be read in two ways.
LENIENT = {"unexpected indented body", "a choice in a chain has no parentheses"}


def changed(path: Path, count: int) -> Iterator[tuple[str, str]]:
    """Yield texts of a file with one word changed, and what was put there."""
    text = path.read_text(encoding="utf-8")
    words = [(start, end) for *_, start, end in parser().lexer.tokens(Source("", text)) if end > start]
    dice = random.Random(path.stem)
    for _ in range(count):
        start, end = dice.choice(words)
        put = dice.choice(["", *PUT])
        if dice.random() < 0.5:
            yield f"{text[:start]}{put} {text[end:]}".replace("  \n", "\n"), put
        else:
            yield f"{text[:end]} {put} {text[end:]}", put


def mistake(text: str) -> str:
    """Return what the compiler finds wrong in the syntax, nothing where it takes the text."""
    try:
        parse(Source("text.arch", text))
    except CompileError as found:
        return found.diagnostic.title
    return ""


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_it_refuses_what_the_compiler_refuses(path, read):
    """It takes more: words that are never names as names, where nothing else can be meant."""
    for text, put in changed(path, 20):
        title = mistake(text)
        if not title:
            assert not read(text).has_error, text
        elif title not in LENIENT and put not in HARD_WORDS:
            assert read(text).has_error, text


@pytest.mark.parametrize("line", ["conv(4, $ 3)", "conv(4", "a = [conv(4), ", "relu -> ->", "a = ", "if :", "conv 4)"])
def test_a_mistake_does_not_reach_the_next_definition(line, read):
    root = read(
        f"block a:\n    relu\n\nnet b:\n    input x: [N, 3]\n    {line}\n\nblock c:\n    relu\n\nnet d = b(3)\n"
    )
    assert root.has_error
    found = [child.child_by_field_name("name").text for child in root.children if child.type in ("block", "alias")]
    assert found == [b"a", b"c", b"d"]


def test_no_text_brings_it_down(read):
    dice = random.Random(0)
    pieces = ["(", "[", "{", "\n", "    ", "\t", "net a:", '"""', "#", "\\\n", "->", "x", "é", "\r\n", "\0"]
    for _ in range(300):
        read("".join(dice.choices(pieces, k=dice.randrange(200))))
    read("".join(" " * depth + "if x:\n" for depth in range(300)))
    read("(" * 10_000)


def test_the_parser_is_what_the_tool_makes_of_the_grammar(tmp_path):
    tool = shutil.which("tree-sitter")
    if tool is None:
        pytest.skip("there is no tree-sitter to make it with")
    shutil.copytree(GRAMMAR, tmp_path / "grammar")
    how = ["generate", "--no-bindings", "--abi", "14"]
    subprocess.run([tool, *how], check=True, cwd=tmp_path / "grammar", capture_output=True)
    assert (tmp_path / "grammar" / "src" / "parser.c").read_text() == SOURCES[0].read_text()
