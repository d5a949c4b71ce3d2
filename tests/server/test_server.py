"""The language server as an editor sees it: over its pipes, one test a feature, on files of the gallery and broken ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from archdsl.server.tokens import TYPES
from tests.server.client import Editor

GALLERY = Path(__file__).parents[2] / "architectures"
PAIR = """net one:
    input image: [N, 3, H=8, W=8]
    conv(4, 3) -> relu

net two:
    input image: [N, 3, H=8, W=8]
    add(identity, conv(4, 3))
"""
TYPO = "net tiny:\n    input image: [N, 3, H=8, W=8]\n    a: conv(4, 3, strid=2) -> relu\n"
BLOCKS = """fn twice(n) = 2 * n

block cell(width, act=relu):
    skip = x -> conv(twice(width), 1)
    for i in range(2):
        part{i} = x -> conv(twice(width), 3) -> act
    add(skip, part0, part1)
"""
USER = """from blocks import cell, twice

net user(width=8):
    input image: [N, 3, H=8, W=8]
    unit = cell(act=silu)
    first: unit(width) -> second: cell(width=twice(width))
"""


@pytest.fixture(scope="module")
def editor():
    found = Editor()
    yield found
    assert found.close() == 0


@pytest.fixture
def file(editor, tmp_path):
    """Open a file with a text, which is saved too."""
    opened = []

    def make(text: str, name: str = "mine.arch") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        opened.append(editor.open(tmp_path / name))
        return opened[-1]

    yield make
    for uri in opened:
        editor.shut(uri)


@pytest.fixture
def resnet(editor):
    uri = editor.open(GALLERY / "resnet50.arch")
    yield uri
    editor.shut(uri)


def codes(found: list[types.Diagnostic]) -> list[str]:
    return [str(one.code) for one in found]


# -------------------------------------------------------------------------------------------------- diagnostics
def test_a_file_of_the_gallery_has_no_diagnostics(editor, resnet):
    assert editor.diagnostics(resnet, lambda found: not found) == []


def test_a_mistake_comes_and_goes_as_one_types(editor, file):
    uri = file(PAIR.replace("conv(4, 3))", "conv(3, 3))"))
    editor.change(uri, PAIR)
    (found,) = editor.diagnostics(uri, lambda found: bool(found))
    assert found.code == "E0302" and found.source == "archdsl"
    assert found.severity == types.DiagnosticSeverity.Error
    assert "channels differ" in found.message
    assert editor.taken(uri, found.range) == "conv(4, 3)"
    assert editor.taken(uri, found.related_information[0].location.range) == "identity"
    editor.change(uri, PAIR.replace("conv(4, 3))", "conv(3, 3))"))
    assert editor.diagnostics(uri, lambda found: not found) == []


def test_mistakes_of_other_nets_do_not_blink(editor, file):
    uri = file(PAIR)
    editor.command("archdsl.chooseNet", uri, "one")
    editor.diagnostics(uri, lambda found: codes(found) == ["E0302"])  # of `two`, after a rest
    seen = len(editor.shown)
    editor.change(uri, "\n" + PAIR)
    assert at_once(editor, uri, seen) == ["E0302"]
    assert editor.taken(uri, editor.shown[-1].diagnostics[0].range) == "conv(4, 3)"


def at_once(editor, uri: str, seen: int) -> list[str]:
    """Return the codes that were shown first after so many messages."""
    editor.hints(uri)
    return codes([*[one for one in editor.shown[seen:] if one.uri == uri][0].diagnostics])


def test_a_mistake_that_is_found_again_is_shown_once(editor, file):
    uri = file(PAIR)
    editor.diagnostics(uri, lambda found: codes(found) == ["E0302"])  # of `two`, after a rest
    seen = len(editor.shown)
    editor.command("archdsl.chooseNet", uri, "two")
    assert at_once(editor, uri, seen) == ["E0302"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("    add(identity,\n", "    add(identity,\n        relu)\n"),  # at the end of the text, which is not edited
        ("    w = 4\n    y = x -> conv(w, 3)\n    x + y\n", "    w = 3\n    y = x -> conv(w, 3)\n    x + y\n"),
    ],
)
def test_a_mistake_that_is_mended_elsewhere_goes_at_once(editor, file, wrong, right):
    head = "net a:\n    input i: [N, 3, H=8, W=8]\n"
    uri = file(head + wrong)
    editor.diagnostics(uri, lambda found: bool(found))
    editor.wait(asyncio.sleep(0.5))  # all is checked
    seen = len(editor.shown)
    editor.change(uri, head + right)
    assert at_once(editor, uri, seen) == []


def test_all_mistakes_of_a_broken_text_come(editor, file):
    uri = file(
        "net a:\n    input i: [N, 3, H=8, W=8]\n    conv(4, 3\n\nnet b:\n    input i: [N, 3, H=8, W=8]\n    rely\n"
    )
    found = editor.diagnostics(uri, lambda found: len(found) == 2)
    assert [code[:3] for code in codes(found)] == ["E01", "E02"]


def test_advice_is_a_warning(editor, file):
    uri = file("net a(unused=1):\n    input i: [N, 3, H=8, W=8]\n    conv(4, 3)\n")
    (found,) = editor.diagnostics(uri, lambda found: bool(found))
    assert found.severity == types.DiagnosticSeverity.Warning and str(found.code).startswith("W")


def test_a_file_of_blocks_has_mistakes_too(editor, file):
    uri = file("block cell:\n    convv(4, 3)\n")
    assert codes(editor.diagnostics(uri, lambda found: bool(found))) == ["E0201"]
    assert editor.hints(uri) == {}
    assert editor.command("archdsl.nets", uri) == {"nets": [], "chosen": None}


def test_a_mistake_of_a_file_that_is_imported_stands_at_the_head(editor, file):
    other = file("block cell:\n    conv(4, 3\n", "blocks.arch")
    uri = file("from blocks import cell\n\nnet a:\n    input i: [N, 3, H=8, W=8]\n    cell\n")
    found = editor.diagnostics(uri, lambda found: bool(found))
    assert found[0].range.start.line == 0
    assert found[0].related_information[0].location.uri == other


def test_a_text_that_is_not_saved_is_imported_as_it_is(editor, file):
    blocks = file(BLOCKS, "blocks.arch")
    uri = file(USER)
    editor.diagnostics(uri, lambda found: not found)
    editor.change(blocks, BLOCKS.replace("block cell", "block celle"))
    assert codes(editor.diagnostics(uri, lambda found: bool(found))) == ["E0201"]
    editor.change(blocks, BLOCKS)
    editor.diagnostics(uri, lambda found: not found)


def test_an_edit_mends(editor, file):
    uri = file(TYPO)
    (action,) = editor.actions(uri, "strid")
    (edit,) = action.edit.changes[uri]
    assert (action.kind, edit.new_text, editor.taken(uri, edit.range)) == ("quickfix", "stride", "strid")
    assert codes([*action.diagnostics]) == ["E0203"] or action.diagnostics[0].code
    assert not editor.actions(uri, "relu")


# -------------------------------------------------------------------------------------------------- hover, hints
def test_hover_says_what_a_word_means_and_what_the_step_is(editor, resnet):
    said = editor.hover(resnet, "conv(64, 7")
    assert "`conv(out, kernel, stride=1" in said and "2-D convolution" in said
    assert "[N, 64, ceil(H/2), ceil(W/2)], at default [1, 64, 112, 112]" in said
    assert "9.41 k parameters, 118 M MACs, receptive field 7x7, stride 2" in said
    assert "in `resnet50`" in said


def test_hover_on_other_places(editor, resnet):
    assert "step of the window; an integer ≥ 1" in editor.hover(resnet, "stride=2)")
    block = editor.hover(resnet, "bottleneck, [3, 4, 6, 3])")
    assert "block bottleneck(planes, stride=1" in block and "block" in block
    label = editor.hover(resnet, "layer{i+1}")
    assert "[N, 2048, ceil(H/32), ceil(W/32)]" in label and "the first of 4" in label
    assert "parameter of `resnet`" in editor.hover(resnet, "unit(norm")
    assert "a text" not in editor.hover(resnet, '"""ResNet') and editor.hover(resnet, '"""ResNet') == ""


def test_hints_show_the_shape_at_the_end_of_each_line(editor, resnet):
    lines = editor.texts[resnet].split("\n")
    shown = {lines[line - 1].strip(): hint for line, hint in editor.hints(resnet).items()}
    assert shown["global_avgpool -> flatten -> fc: linear(classes)"] == "[N, 1000]"
    assert shown["conv1: conv(64, 7, stride=2) -> bn1: norm -> act -> maxpool(3, stride=2, pad=1)"] == (
        "[N, 64, ceil(H/4), ceil(W/4)]"
    )
    assert shown["conv1: conv(width, 1) -> bn1: norm -> act"] == (
        "[N, 64, ceil(H/4), ceil(W/4)] … [N, 512, ceil(H/32), ceil(W/32)]"
    )
    assert not any(line.startswith("input") for line in shown)


def test_a_body_has_its_shape_at_its_head_and_a_branch_its_own(editor, file):
    uri = file(
        "net a:\n    input image: [N, 3, H=8, W=8]\n    body:\n        conv(4, 3)\n        maxpool(2)\n"
        "    cat(conv(5, 1),\n        conv(6, 1))\n"
    )
    halved = "[N, 4, H//2, W//2]"
    assert editor.hints(uri) == {
        3: halved,
        4: "[N, 4, H, W]",
        5: halved,
        6: "[N, 5, H//2, W//2]",
        7: "[N, 11, H//2, W//2]",
    }
    assert "[N, 5, H//2, W//2]" in editor.hover(uri, "conv(5") and "[N, 6, H//2, W//2]" in editor.hover(uri, "conv(6")
    assert "[N, 11, H//2, W//2]" in editor.hover(uri, "cat(")


def test_a_name_of_shared_weights_is_a_step_where_it_stands(editor, file):
    head = "net a:\n    input left: [N, 2, H=8, W=8]\n    input right: [N, 3, H, W]\n"
    text = f"{head}    tower = one: [conv(4, 3), maxpool(2)]\n    a = left -> conv(3, 1) -> tower\n    right -> tower\n"
    uri = file(text + "    add(a, identity)\n")
    assert editor.hints(uri) == dict.fromkeys((4, 5, 6, 7), "[N, 4, H//2, W//2]")
    assert "the first of" not in editor.hover(uri, "tower\n    right")


def test_hints_are_of_the_net_that_is_chosen(editor, resnet):
    assert editor.command("archdsl.nets", resnet)["chosen"] == "resnet50"
    (action,) = editor.actions(resnet, "resnet18 =")
    assert action.title == "Show the shapes of `resnet18`"
    refreshed = editor.refreshed
    assert editor.command(action.command, *action.arguments) == "resnet18"
    line = editor.place(resnet, "layer{i+1}")["position"].line + 1
    assert "512" in editor.hints(resnet)[line] and editor.refreshed > refreshed
    assert not editor.actions(resnet, "resnet18 =")


def test_hints_stay_while_the_text_is_broken_and_move_with_it(editor, file):
    uri = file(PAIR.replace("conv(4, 3))", "conv(3, 3))"))
    before = editor.hints(uri)
    assert before == {3: "[N, 4, H, W]"}  # of `one`, the first
    editor.change(uri, editor.texts[uri].replace("net one:", "# a comment\nnet one("))
    assert editor.hints(uri) == {4: "[N, 4, H, W]"}


def test_a_word_that_is_a_step_and_a_function_says_both(editor, file):
    uri = file("net a:\n    input i: [N, 3, H=8, W=8]\n    conv(max(1, 2), 1)\n")
    said = editor.hover(uri, "max(1")
    assert "Maximum over axes" in said and "the largest of several numbers" in said


# -------------------------------------------------------------------------------------------------- completion
@pytest.mark.parametrize(
    ("text", "among"),
    [
        ("    conv(", ["out=", "kernel=", "stride=", "init="]),
        ("    conv(8, kernel=3, ", ["stride="]),
        ("    cell(", ["width=", "act="]),
        ("    cell(twice(3), ", ["act="]),
        ("    unit = cell(act=silu)\n    unit(", ["width="]),
        ("    act(", ["slope="]),
        ("    r", ["relu", "range", "resnet", "require"]),
        ("    y = wid", ["width", "cell", "twice"]),
        ("    x.", ["channels", "height", "width"]),
        ("\nnet b:\n    input image: [N, 3, H=8, W=8]\n    ", ["cell", "conv", "if"]),
        ("\nb", ["block", "net", "fn"]),
        ("\nfrom blo", ["blocks", "resnet50"]),
        ("\nfrom blocks import ", ["cell", "twice"]),
    ],
)
def test_completion(editor, file, text, among):
    blocks = file(BLOCKS, "blocks.arch")
    head = "from blocks import cell, twice\nfrom resnet50 import resnet\n\n"
    whole = head + "net user(width=8, act=leaky_relu):\n    input image: [N, 3, H=8, W=8]\n    relu\n"
    uri = file(whole)
    editor.change(uri, whole + text)
    found = editor.completions(uri)
    assert set(among) <= set(found)
    if text.endswith("("):
        assert found[: len(among)] == among or set(found[: len(among)]) >= set(among[:1])
    assert len(set(found)) == len(found), "a word stands there once"
    if "kernel=3" in text:
        assert not {"out=", "kernel="} & set(found)
    if "twice(3), " in text:
        assert "width=" not in found, "it is given, by its place"
    if "from" in text:
        assert "conv" not in found
    assert blocks


@pytest.mark.parametrize("text", ["    relu  # con", '    require 1 > 0, "con', 'net b:\n    """Con'])
def test_no_completion_in_prose(editor, file, text):
    uri = file("net a:\n    input i: [N, 3, H=8, W=8]\n    relu\n")
    editor.change(uri, editor.texts[uri] + text)
    assert editor.completions(uri) == []


def test_completion_of_the_labels_of_a_result(editor, file):
    text = "from resnet50 import resnet18\n\nnet a:\n    input image: [N, 3, H=64, W=64]\n"
    text += "    features = image -> body: resnet18\n    c2 = features.layer2\n    c2\n"
    uri = file(text)
    editor.change(uri, text.replace("    c2\n", "    c3 = features."))
    found = editor.completions(uri)
    assert {"conv1", "bn1", "layer1", "layer4", "fc", "channels"} <= set(found) and "relu" not in found


# -------------------------------------------------------------------------------------------------- names
def test_definition_in_the_file_and_in_another(editor, file):
    blocks, uri = file(BLOCKS, "blocks.arch"), file(USER)

    def definition(text: str, after: str = "") -> tuple[str, str, int]:
        found = editor.ask("text_document_definition", types.DefinitionParams(**editor.place(uri, text, after)))
        return found.uri, editor.taken(found.uri, found.range), found.range.start.line

    assert definition("cell(width") == (blocks, "cell", 2)
    assert definition("cell, twice") == (blocks, "cell", 2)
    assert definition("twice(width)") == (blocks, "twice", 0)
    assert definition("act=silu") == (blocks, "act", 2)
    assert definition("unit(width)") == (uri, "unit", 4)
    assert definition("width) ->") == (uri, "width", 2)


def test_definition_of_a_label_in_another_file(editor, file):
    uri = file(
        "from resnet50 import resnet18\n\nnet a:\n    input image: [N, 3, H=64, W=64]\n"
        "    features = image -> body: resnet18\n    c2 = features.conv1\n    c2\n"
    )
    found = editor.ask("text_document_definition", types.DefinitionParams(**editor.place(uri, "conv1")))
    lines = (GALLERY / "resnet50.arch").read_text().split("\n")
    assert found.uri.endswith("resnet50.arch") and "conv1: conv(64, 7" in lines[found.range.start.line]


def references(editor, uri: str, text: str, after: str = "", declared: bool = True) -> set[tuple[str, int]]:
    context = types.ReferenceContext(include_declaration=declared)
    params = types.ReferenceParams(context=context, **editor.place(uri, text, after))
    found = editor.ask("text_document_references", params)
    return {(Path(one.uri).name, one.range.start.line + 1) for one in found}


def test_references_across_files(editor, file):
    blocks, uri = file(BLOCKS, "blocks.arch"), file(USER)
    everywhere = {("blocks.arch", 3), ("mine.arch", 1), ("mine.arch", 5), ("mine.arch", 6)}
    assert references(editor, blocks, "cell(") == everywhere
    assert references(editor, uri, "cell(act", declared=False) == everywhere - {("blocks.arch", 3)}
    assert references(editor, blocks, "width,") == {("blocks.arch", 3), ("blocks.arch", 4), ("blocks.arch", 6)} | {
        ("mine.arch", 6)
    }
    assert references(editor, blocks, "part{i}") == {("blocks.arch", 6), ("blocks.arch", 7)}
    assert references(editor, uri, "width=8") == {("mine.arch", 3), ("mine.arch", 6)}


def rename(editor, uri: str, text: str, name: str, after: str = "") -> dict[str, str]:
    """Rename what stands at a place, and return the new texts of the files."""
    found = editor.ask("text_document_rename", types.RenameParams(new_name=name, **editor.place(uri, text, after)))
    changed = {}
    for other, edits in found.changes.items():
        lines = editor.texts[other].split("\n")
        for edit in sorted(edits, key=lambda edit: -edit.range.start.character):
            line, start, end = edit.range.start.line, edit.range.start.character, edit.range.end.character
            lines[line] = lines[line][:start] + edit.new_text + lines[line][end:]
        changed[Path(other).name] = "\n".join(lines)
    return changed


def test_rename_across_files(editor, file):
    blocks, uri = file(BLOCKS, "blocks.arch"), file(USER)
    changed = rename(editor, uri, "cell(act", "unit_of_two")
    assert changed["blocks.arch"] == BLOCKS.replace("cell", "unit_of_two")
    assert changed["mine.arch"] == USER.replace("cell", "unit_of_two")
    assert rename(editor, blocks, "act=relu", "sigma") == {
        "blocks.arch": BLOCKS.replace("act", "sigma"),
        "mine.arch": USER.replace("act=silu", "sigma=silu"),
    }
    assert rename(editor, uri, "unit(width)", "u") == {"mine.arch": USER.replace("unit", "u")}


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        ("first:", "f", "labels are the names of weights"),
        ("unit(width)", "width", "is used in"),
        ("unit(width)", "for", "cannot be a name"),
        ("unit(width)", "a b", "cannot be a name"),
        ("twice(width)", "image", "is used in"),
    ],
)
def test_what_cannot_be_renamed(editor, file, place, name, reason):
    file(BLOCKS, "blocks.arch")
    uri = file(USER)
    with pytest.raises(JsonRpcException, match=reason):
        rename(editor, uri, place, name)


def test_a_parameter_that_is_given_to_an_unknown_block_is_not_renamed(editor, file):
    uri = file(
        "block a(width):\n    conv(width, 3)\n\nnet n(unit=a):\n    input i: [N, 3, H=8, W=8]\n    unit(width=4)\n"
    )
    with pytest.raises(JsonRpcException, match="cannot be found by its text alone"):
        rename(editor, uri, "width)", "w")
    params = types.PrepareRenameParams(**editor.place(uri, "width)"))
    assert editor.taken(uri, editor.ask("text_document_prepare_rename", params)) == "width"


def test_names_of_the_gallery_are_not_renamed_from_outside(editor, file):
    uri = file("from resnet50 import resnet18\n\nnet a:\n    input i: [N, 3, H=64, W=64]\n    resnet18\n")
    with pytest.raises(JsonRpcException, match="is defined in the gallery"):
        rename(editor, uri, "resnet18", "mine")


# -------------------------------------------------------------------------------------------------- the whole text
def test_document_symbols(editor, resnet):
    params = types.DocumentSymbolParams(types.TextDocumentIdentifier(resnet))
    found = editor.ask("text_document_document_symbol", params)
    assert [one.name for one in found][:5] == ["shortcut", "basic", "bottleneck", "resnet", "resnet18"]
    net = next(one for one in found if one.name == "resnet")
    assert [one.name for one in net.children] == ["image", "residual", "conv1", "bn1", "layer{i+1}", "fc"]
    assert editor.taken(resnet, net.selection_range) == "resnet"
    assert all(
        one.range.start <= one.selection_range.start and one.selection_range.end <= one.range.end for one in found
    )


def test_folding(editor, resnet):
    params = types.FoldingRangeParams(types.TextDocumentIdentifier(resnet))
    found = editor.ask("text_document_folding_range", params)
    lines = editor.texts[resnet].split("\n")
    folded = {lines[one.start_line]: lines[one.end_line] for one in found}
    assert folded["net resnet(unit, depths, classes=1000, norm=bn, act=relu, zero_init=false):"].endswith(
        "fc: linear(classes)"
    )
    assert folded["    add:"].strip().startswith("downsample:")
    assert "    for i, depth in enumerate(depths):" in folded


def tokens(editor, uri: str) -> list[tuple[str, str]]:
    params = types.SemanticTokensParams(types.TextDocumentIdentifier(uri))
    data = editor.ask("text_document_semantic_tokens_full", params).data
    line = column = 0
    found = []
    for lines, columns, length, kind, _ in zip(*[iter(data)] * 5):
        line, column = line + lines, columns if lines else column + columns
        at = types.Range(types.Position(line, column), types.Position(line, column + length))
        found.append((editor.taken(uri, at), TYPES[kind]))
    return found


def test_semantic_tokens(editor, file):
    uri = file(
        '"""Title 🙂\nmore."""\n# note 🙂\nblock cell(width, act=relu):\n    a: conv(width, stride=2) -> act  # why\n'
    )
    assert tokens(editor, uri) == [
        ('"""Title 🙂', "string"),
        ('more."""', "string"),
        ("# note 🙂", "comment"),
        ("block", "keyword"),
        ("cell", "class"),
        ("width", "parameter"),
        ("act", "parameter"),
        ("=", "operator"),
        ("relu", "function"),
        ("a", "property"),
        ("conv", "function"),
        ("width", "parameter"),
        ("stride", "parameter"),
        ("=", "operator"),
        ("2", "number"),
        ("->", "operator"),
        ("act", "parameter"),
        ("# why", "comment"),
    ]
    editor.change(uri, "net a(\n    conv(4, $")
    assert tokens(editor, uri) == [("net", "keyword"), ("a", "variable"), ("conv", "function"), ("4", "number")]


def test_formatting(editor, file):
    uri = file("net tiny:\n  input image: [N,3,H=8,W=8]\n  conv( 4,3 )\n")
    options = types.FormattingOptions(tab_size=4, insert_spaces=True)
    params = types.DocumentFormattingParams(types.TextDocumentIdentifier(uri), options)
    (edit,) = editor.ask("text_document_formatting", params)
    assert edit.new_text == "net tiny:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3)\n"
    editor.change(uri, edit.new_text)
    assert not editor.ask("text_document_formatting", params)
    editor.change(uri, "net tiny(\n")
    assert not editor.ask("text_document_formatting", params)


# -------------------------------------------------------------------------------------------------- how places are counted
SMILING = 'net a:\n    input i: [N, 3, H=8, W=8]\n    conv(4, 3) -> (rely if "🙂🙂" == "🙂🙂") -> relu\n'


def test_places_are_counted_in_units_of_utf16(editor, file):
    uri = file(SMILING)
    (found,) = editor.diagnostics(uri, lambda found: bool(found))
    assert editor.taken(uri, found.range) == "rely"
    assert "conv(out" in editor.hover(uri, "conv(4")


def test_an_editor_may_ask_for_another_encoding(tmp_path):
    (tmp_path / "mine.arch").write_text(SMILING, encoding="utf-8")
    editor = Editor([types.PositionEncodingKind.Utf32, types.PositionEncodingKind.Utf8])
    uri = editor.open(tmp_path / "mine.arch")
    (found,) = editor.diagnostics(uri, lambda found: bool(found))
    encoding = editor.started.capabilities.position_encoding
    line = SMILING.split("\n")[found.range.start.line]
    units = {"utf-32": len, "utf-8": lambda text: len(text.encode())}[encoding]
    assert found.range.start.character == units(line[: line.index("rely")])
    assert editor.close() == 0
