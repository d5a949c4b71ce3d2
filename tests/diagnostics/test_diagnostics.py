"""The words of diagnostics: a hundred wrong texts with what is said of them, and every code with an example.

`tests/golden/diagnostics` holds pairs: a text, and what `archdsl check` prints of it. A first line `#: check FILE --net
a` gives another command.
"""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from pathlib import Path

import pytest

import archdsl
from archdsl.cli.main import main
from archdsl.core.source import Source
from archdsl.diagnose.fix import diagnose, mends, proven
from archdsl.diagnostics.errors import CATALOGUE
from archdsl.project import GALLERY

FOLDER = Path(__file__).parents[1] / "golden" / "diagnostics"
CASES = sorted(path.stem for path in FOLDER.glob("[!_]*.arch"))
CODE = re.compile(r"\b(?:error|warning)\[([EW]\d{4})\]")
DEFINITION = re.compile(r"^(net|block|fn|from|default|init)\b", re.MULTILINE)
HEAD = "net example:\n    input image: [N, 3, H=32, W=32]\n"

TROUBLE = {  # what is asked is wrong, not what is written
    "elsewhere_classes_set", "elsewhere_device_set", "empty_file", "in_channels_is_no_parameter",
    "input_option_unreadable", "net_unknown", "typo_in_net", "typo_in_outputs", "typo_in_set", "which_of_several_nets",
}  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(list(arguments))
    out, err = capsys.readouterr()
    return status, (out + err).replace(GALLERY, "architectures")


# -------------------------------------------------------------------------------------------------- golden texts
@pytest.mark.parametrize("name", CASES)
def test_what_is_said(name, golden, capsys, monkeypatch):
    monkeypatch.chdir(FOLDER)
    first = (FOLDER / f"{name}.arch").read_text(encoding="utf-8").split("\n")[0]
    command = first.removeprefix("#: ") if first.startswith("#: ") else "check FILE"
    status, text = printed(capsys, *shlex.split(command.replace("FILE", f"{name}.arch")))
    golden(f"diagnostics/{name}.txt", text)
    assert CODE.search(text) and status == (0 if name.startswith("warn_") else 2 if name in TROUBLE else 1)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("warn_")])
def test_an_edit_that_help_proposes_mends_its_mistake(name):
    """Of every wrong text: the edit applied, the mistake is gone, and no other has come."""
    text = (FOLDER / f"{name}.arch").read_text(encoding="utf-8")
    source = Source(f"{name}.arch", text, str(FOLDER / f"{name}.arch"))
    found = diagnose(source)
    for mistake in proven(found, source):
        for edit in [edit for edit in mistake.help if edit.span is not None]:
            assert mends(mistake, edit, source, found), edit.text


def test_there_are_enough_and_no_text_is_left_over():
    assert len(CASES) >= 80
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(CASES)


# -------------------------------------------------------------------------------------------------- the catalogue
def explanation(code: str) -> tuple[str, str]:
    """Return what the catalogue says of a code, and its example."""
    text, example = (inspect.getdoc(CATALOGUE[code]) or "").split("\n\nWrong:\n\n")
    return text, "\n".join(line[4:] for line in example.split("\n"))


def run_example(example: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Check an example, a whole file or the body of a net, or run the command that it is."""
    if example.startswith("$ archdsl "):
        return printed(capsys, *shlex.split(example.removeprefix("$ archdsl ")))[1]
    text = example.replace("\\t", "\t")
    if not DEFINITION.search(text):
        text = HEAD + "".join(f"    {line}\n" for line in text.split("\n"))
    Path("example.arch").write_text(text + "\n", encoding="utf-8")
    return printed(capsys, "check", "example.arch")[1]


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_has_an_explanation_and_an_example_of_it_alone(code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if code == "E0406":  # the package that it asks for is installed here
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    if code == "E0405":
        Path("lenet5.arch").write_bytes((Path(GALLERY) / "lenet5.arch").read_bytes())
    text, example = explanation(code)
    assert len(text) > 30 and text.split("\n\n")[0].endswith((".", ".)"))
    assert set(CODE.findall(run_example(example, capsys))) == {code}


def test_every_code_is_raised_somewhere():
    package = Path(archdsl.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py") if path.name != "errors.py")
    missing = [code for code, build in CATALOGUE.items() if not re.search(rf"\b{build.__name__}\(", source)]
    # `steps` chooses one of these two and calls it by another name.
    assert [code for code in missing if f"errors.{CATALOGUE[code].__name__}" not in source] == []


def test_every_code_of_a_text_stands_in_a_golden_one():
    shown = {code for path in FOLDER.glob("*.txt") for code in CODE.findall(path.read_text(encoding="utf-8"))}
    options = {"E0108", "E0110", "E0234"} | {
        code for code in CATALOGUE if code.startswith("E04")
    }  # no text is to blame
    assert set(CATALOGUE) - options <= shown
