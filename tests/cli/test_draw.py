"""`archdsl draw` and `archdsl diff -o`: which files they write, what they print, and what bad input gets."""

from __future__ import annotations

import pytest

from archdsl.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_draw_writes_a_picture(folder, capsys):
    assert main(["draw", "lenet5"]) == 0
    assert capsys.readouterr().out.startswith("wrote lenet5.svg: ")
    assert (folder / "lenet5.svg").read_text().startswith("<svg")
    assert main(["draw", "lenet5", "-o", "page.html", "--by", "time", "--theme", "dark", "--set", "classes=7"]) == 0
    assert "linear, 7" in (folder / "page.html").read_text()


def test_draw_prints_a_picture(capsys):
    assert main(["draw", "resnet18", "-o", "-", "--depth", "2"]) == 0
    assert capsys.readouterr().out.endswith("</svg>\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["draw", "lenet5", "-o", "lenet5.bmp"], "the name ends in one of .svg, .html, .pdf, .png"),
        (["draw", "lenet5", "-o", "no/such/folder/lenet5.svg"], "cannot write `no/such/folder/lenet5.svg`"),
        (["draw", "lenet6"], "lenet5"),
        (["diff", "lenet5", "lenet5", "-o", "lenet5.bmp"], "the name ends in one of"),
    ],
)
def test_bad_input(folder, capsys, arguments, words):
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("wrong", ["-1", "two", "1.5"])
def test_a_depth_is_a_number(capsys, wrong):
    with pytest.raises(SystemExit):
        main(["draw", "lenet5", "--depth", wrong])
    assert "--depth" in capsys.readouterr().err


def test_diff_draws_what_differs(folder, capsys):
    assert main(["diff", "resnet18", "resnet34", "-o", "d.svg"]) == 1
    assert "changed" in (folder / "d.svg").read_text() and "resnet18 -> resnet34" in capsys.readouterr().out
