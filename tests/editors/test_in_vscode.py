"""What a user of VS Code sees and does: the package is installed, files are opened, read, typed into and saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.editors.vscode import built, running

pytestmark = pytest.mark.slow

PARTS = """block unit(channels, stride=1):
    # a comment
    conv(channels, 3, stride=stride, bias=false) -> bn -> relu
"""
MINE = """from parts import unit

block head(classes):
    global_avgpool -> flatten
    fc: linear(classes)

net mine(classes=10, width=16):
    input image: [N, 3, H=32, W=32]
    for i in range(4):
        unit(width * 2**i, stride=1 if i == 0 else 2)
    head(classes)

net small = mine(width=4)
"""
FIRST, LAST = " [N, 16, H, W] … [N, 128, ceil(H/8), ceil(W/8)]", " [N, 4, H, W] … [N, 32, ceil(H/8), ceil(W/8)]"


COLOURS = """() => Object.fromEntries([...document.querySelectorAll('.view-line span span')]
    .map(one => [one.textContent.trim(), getComputedStyle(one).color]))"""
UNIT = "        unit(width * 2**i, stride=1 if i == 0 else 2)"


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    project = folder / "project"
    project.mkdir()
    write(project)
    with running(built(folder / "vscode"), project, folder / "server") as code:
        yield code


def write(project: Path) -> None:
    (project / "mine.arch").write_text(MINE)
    (project / "parts.arch").write_text(PARTS)


@pytest.fixture
def code(started):
    started.open("mine.arch")
    started.shows(UNIT + FIRST)
    yield started
    started.press("Escape", "Escape")
    write(started.folder)
    for name in ("parts.arch", "mine.arch"):
        started.open(name)
        started.command("File: Revert File")
    assert started.page.locator(".notification-toast").count() == 0


def test_words_have_colours(code):
    """By what they are: those of the grammar, and those by meaning that only the server knows."""
    code.until(lambda: (found := code.page.evaluate(COLOURS))["unit"] == found["head"] != found["classes"])
    found = code.page.evaluate(COLOURS)
    kinds = [found[word] for word in ("for", "flatten", "classes", "10", "unit")]
    assert len(set(kinds)) == len(kinds)
    assert found["for"] == found["net"] == found["from"]


def test_shapes_stand_at_the_ends_of_lines_unabridged(code):
    code.shows("    head(classes) [N, 10]")
    code.open("parts.arch")
    code.shows("    conv(channels, 3, stride=stride, bias=false) -> bn -> relu")  # it has no net of its own


def test_a_mistake_is_marked_explained_and_mended(code):
    code.at(4, 1)
    code.press("End")
    code.page.keyboard.type(" -> relou")
    code.page.wait_for_selector(".squiggly-error")
    code.press("Escape", "Control+k", "Control+i")
    code.page.wait_for_selector(".monaco-hover:has-text('unknown name `relou`')")
    code.press("Escape", "Control+.")
    code.page.wait_for_selector(".action-widget .monaco-list-row.focused:has-text('did you mean `relu`?')")
    code.press("Enter")
    code.page.wait_for_selector(".squiggly-error", state="detached")
    code.saved("mine.arch", MINE.replace("flatten\n", "flatten -> relu\n"))


def test_a_step_is_explained(code):
    code.at(10, 10)
    code.press("Control+k", "Control+i")
    hover = code.page.locator(".monaco-hover:has-text('block unit(channels, stride=1)')")
    hover.wait_for()
    for said in (
        FIRST.split(" … ")[1],
        "464 parameters",
        "442 k MACs",
        "receptive field 3x3",
        "the first of 4 in mine",
    ):
        assert said in hover.inner_text()


def test_words_are_completed(code):
    code.at(10, 1)
    code.press("End", "Enter")
    code.page.keyboard.type("adap", delay=50)
    code.page.wait_for_selector(".suggest-widget.visible .monaco-list-row.focused:has-text('adaptive_avgpool')")
    code.press("Enter")
    code.page.keyboard.type("(", delay=50)
    code.page.wait_for_selector(".suggest-widget.visible .monaco-list-row:has-text('size=')")
    code.press("Escape")


def test_a_name_leads_to_its_definition_and_back(code):
    code.at(10, 10)
    code.press("F12")
    code.page.wait_for_selector(".tab.active[aria-label*='parts.arch']")
    code.where(1, 7)
    code.press("Control+Alt+-")
    code.page.wait_for_selector(".tab.active[aria-label*='mine.arch']")


def test_a_name_is_renamed_in_both_files(code):
    code.at(10, 10)
    code.press("F2")
    code.page.wait_for_selector(".rename-box input:focus")
    code.press("Control+a")
    code.page.keyboard.type("cell")
    code.press("Enter")
    code.saved("mine.arch", MINE.replace("unit", "cell"))
    code.saved("parts.arch", PARTS.replace("unit", "cell"))


def test_the_outline_has_definitions_and_labels(code):
    code.press("Control+Shift+o")
    code.page.wait_for_selector(".quick-input-list .monaco-list-row:nth-child(5)")
    names = code.page.locator(".quick-input-list .monaco-list-row .label-name").all_inner_texts()
    assert [name.strip() for name in names] == ["head", "fc", "mine", "image", "small"]


def test_definitions_fold(code):
    code.command("Fold All")
    code.until(lambda: "    fc: linear(classes) [N, 10]" not in code.lines())
    code.command("Unfold All")
    code.shows("    fc: linear(classes) [N, 10]")


def test_a_file_is_laid_out(code):
    code.at(5, 1)
    code.press("End", "Enter")
    code.page.keyboard.type("relu  ->relu")
    code.press("Escape")
    code.command("Format Document")
    code.saved("mine.arch", MINE.replace("linear(classes)\n", "linear(classes)\n    relu -> relu\n"))


def test_the_net_is_chosen(code):
    code.command("archdsl: Show the Shapes of a Net")
    code.page.wait_for_selector(".quick-input-list .monaco-list-row:has-text('mine'):has-text('shown now')")
    code.page.keyboard.type("small")
    code.press("Enter")
    code.shows(UNIT + LAST)
    code.command("archdsl: Show the Shapes of a Net")
    code.page.wait_for_selector(".quick-input-list .monaco-list-row:has-text('small'):has-text('shown now')")
    code.page.keyboard.type("mine")
    code.press("Enter")
