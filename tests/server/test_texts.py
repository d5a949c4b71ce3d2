"""What the server tells of texts that are cut and garbled: never an exception, and places that are in the text.

Without pipes, so that there may be many of them.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from lsprotocol import types

from archdsl.core.source import Source
from archdsl.report.check import report
from archdsl.server import problems
from archdsl.server.analysis import Linked, all_of, looked_at
from archdsl.server.completion import completions
from archdsl.server.documents import Document, Documents
from archdsl.server.hints import hints
from archdsl.server.hover import hover
from archdsl.server.positions import Edited, Positions
from archdsl.server.references import renamable, rename, renamed
from archdsl.server.scopes import Scopes
from archdsl.server.symbols import folds, symbols
from archdsl.server.tokens import tokens
from archdsl.syntax.parser import parse
from tests.syntax.test_printer import GALLERY, stem

PATH = str(Path(__file__).parents[2] / "architectures" / "mine.arch")


def told(documents: Documents, document: Document, rng: random.Random) -> None:
    """Ask for everything that an editor asks for."""
    text = document.text
    positions = documents.positions(text)
    last = positions.position(len(text))
    shown = [one for one in all_of(document.analysis) if one is not None] if rng.random() < 0.1 else []
    for found in (problems.known(document), shown):
        for one in problems.of_document(document, found, documents):
            assert one.range.start <= one.range.end <= last
    assert all(hint.position <= last for hint in hints(document, positions, 0, len(text)))
    view = document.parsed
    if view is not None:
        earlier = documents.positions(view.text)
        symbols(view.module, earlier)
        folds(view.module, earlier)
    current = document.current
    assert len(tokens(document.analysis.source, current.scopes if current is not None else None, positions)) % 5 == 0
    for _ in range(4):
        offset = rng.randint(0, len(text))
        assert positions.offset(positions.position(offset)) == offset
        hover(document, positions, offset)
        completions(document, documents, offset)


@pytest.mark.parametrize("path", GALLERY[::6], ids=stem)
def test_texts_that_are_cut_and_garbled(path: Path) -> None:
    rng = random.Random(path.stem)
    whole = path.read_text(encoding="utf-8")
    documents = Documents()
    document = documents.change("file:///mine.arch", PATH, whole, 1)
    assert document.analysis.network is not None or document.analysis.net is None
    told(documents, document, rng)
    for version in range(6):
        start = rng.randint(0, len(whole))
        end = min(len(whole), start + rng.choice((0, 1, 1, 5, 40, len(whole))))
        between = rng.choice(("", "(", ")", "🙂", '"', "\n", " -> ", ".", "conv(", "\r", "\t", "x", "\0"))
        document = documents.change(document.uri, PATH, whole[:start] + between + whole[end:], version)
        told(documents, document, rng)


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_every_name_of_the_gallery_is_found(path: Path) -> None:
    """Each mention is the text of its name, and what is bound to nothing is a word of the language."""
    from archdsl.project import Project
    from archdsl.server.words import of_word

    file = Project().open(str(path))
    scopes = Scopes(file.module, file)
    for one in scopes.mentions:
        assert one.span.text.startswith(one.name), one
        if one.role == "name" and one.binding is None:
            assert of_word(one.name), one.name
    assert [one.span for one in scopes.mentions if one.role == "binding" and one.binding is None] == []


@pytest.mark.parametrize(("encoding", "count"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_positions_count_units(encoding, count):
    positions = Positions("a🙂b\r\nc\rd\n", encoding)
    assert positions.position(2) == types.Position(0, 1 + count)
    assert positions.offset(types.Position(0, 1 + count)) == 2
    assert positions.offset(types.Position(0, 99)) == 3  # at the end of the line, before what ends it
    assert positions.position(8) == types.Position(2, 1) and positions.offset(types.Position(9, 9)) == 9
    assert positions.everything() == types.Range(types.Position(0, 0), types.Position(3, 0))


def test_offsets_through_an_edit():
    edited = Edited("abcdef", "abXYef")
    assert [edited.forward(n) for n in range(7)] == [0, 1, 2, None, 4, 5, 6]
    assert [edited.back(n) for n in range(7)] == [0, 1, 2, 2, 4, 5, 6]
    shorter = Edited("abcdef", "abXef")
    assert [shorter.forward(n) for n in range(7)] == [0, 1, 2, None, 3, 4, 5]
    assert [shorter.back(n) for n in range(6)] == [0, 1, 2, 4, 5, 6]
    longer = Edited("abef", "abXYZef")
    assert [longer.forward(n) for n in range(5)] == [0, 1, 2, 6, 7]
    assert [longer.back(n) for n in range(8)] == [0, 1, 2, 2, 2, 2, 3, 4]
    same = Edited("abc", "abc")
    assert [same.forward(n) for n in range(4)] == [0, 1, 2, 3] == [same.back(n) for n in range(4)]


def test_computed_names_are_one_binding():
    text = (
        "net a:\n    for i in range(2):\n        y{i} = x\n    for i in range(2):\n        y{i+2} = y{i}\n    y0 + y3\n"
    )
    scopes = Scopes(parse(Source("text.arch", text)), None)
    places = [one.span.text for one in scopes.mentions if one.binding is not None and one.binding.kind == "computed"]
    assert places == ["y{i}", "y{i}", "y{i+2}", "y0", "y3"]
    loops = {one.binding.span.start for one in scopes.mentions if one.name == "i" and one.binding is not None}
    assert len(loops) == 2


def test_renaming_changes_no_network() -> None:
    """Every name of a file in turn; the names of axes are shown in shapes, and stay out."""
    path = GALLERY[[one.stem for one in GALLERY].index("lenet5")]
    documents = Documents()
    document = documents.change("file:///lenet5.arch", str(path), path.read_text(encoding="utf-8"), 1)
    before = document.analysis
    mentions = [one for one in document.parsed.scopes.mentions if one.role == "binding" and one.binding.kind != "dim"]
    for mention in mentions:
        _, binding = renamable(mention)
        text = renamed(document.text, rename(binding, "another", documents), "another")
        wanted = "another" if binding.name == before.net else before.net
        after = looked_at(before.source.replace(text=text), Linked(documents.text_of, {}), wanted)
        assert after.net == wanted and text != document.text
        first, second = [report(one.network).to_dict() for one in (before, after)]
        assert [first[key] for key in ("outputs", "parameters", "macs")] == [
            second[key] for key in ("outputs", "parameters", "macs")
        ]
    assert len(mentions) > 12
