"""The page on importing says what is so: its text is what is made, its code runs, its census is the one on record."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archdsl.importer import imported
from benchmarks import imports

PAGE = (Path(__file__).parents[2] / "docs" / "import.md").read_text()


@pytest.mark.usefixtures("torchvision_models")
def test_the_text_is_what_is_made():
    (source, text) = re.search(r"<!-- imported: (.*) -->\n```arch\n(.*?)```", PAGE, re.DOTALL).groups()
    made = imported(source, shape=(1, 3, 64, 64)).text.replace("H=64, W=64", "H=224, W=224")
    assert made.split("\n")[1:] == text.split("\n")[1:]


def test_the_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(code, names)
    said = capsys.readouterr().out
    assert "block unit:" in said and "verified: " in said
    assert (
        sorted(names["model"].state_dict()) != sorted(names["module"].state_dict())
        or not (tmp_path / "mine.keys").exists()
    )


def test_the_census_is_the_one_on_record():
    assert f"<!-- census -->\n{imports.table()}\n<!-- end -->" in PAGE
    done = [one for one in imports.recorded() if one["outcome"] == "imported"]
    assert all(max(one["evaluation"], one["training"]) <= 1e-5 and one["gradients"] <= 1e-4 for one in done)
