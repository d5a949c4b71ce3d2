"""The documentation says what is so: generated sections are current, examples check, commands print what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archdsl.cli.main import main
from archdsl.compiler import nets_of
from archdsl.elaborate.nets import elaborate
from archdsl.ops import OPS
from archdsl.project import Project
from archdsl.report.manual import WITHIN_COMBINATORS, sections, updated

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in PAGES
    if page.name != "tutorial.md"  # of which some are parts, and one is wrong: it has a test of its own
    for number, text in enumerate(re.findall(r"```arch\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("name", sections())
def test_generated_sections_are_current(name):
    page = (ROOT / "docs" / name).read_text()
    assert updated(name, page) == page, "run `make manual`"


def test_every_operator_is_documented():
    text, signs = [sections()["language.md"][section] for section in ("operators", "signs")]
    assert signs.count("\n| ") == 1 + sum("sign" in cls.traits for cls in OPS.values())
    for name, cls in OPS.items():
        assert name in WITHIN_COMBINATORS or "sign" in cls.traits or f"### `{name}" in text
        assert cls.__doc__ and all(spec.doc for spec in cls.args.values()), name


def test_there_are_examples():
    assert len(EXAMPLES) > 8


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_check(text):
    file = Project().text(text)
    assert nets_of(file)
    for net in nets_of(file):
        elaborate(file, net)


def test_the_readmes_commands_print_what_it_shows(capsys, monkeypatch, tmp_path):
    readme = (ROOT / "README.md").read_text()
    main(["check", "alexnet"])
    assert capsys.readouterr().out in readme
    (tmp_path / "broken.arch").write_text(
        "net broken(channels=16):\n    input image: [N, 8, H=32, W=32]\n    body:\n"
        "        add(identity, conv(channels, 3, stride=2))\n"
    )
    monkeypatch.chdir(tmp_path)
    main(["check", "broken.arch"])
    shown = capsys.readouterr().err.split("note: in")[0].rstrip()
    assert shown in readme, shown
    main(["compile", "resnet50", "-o", "resnet50.py"])
    assert capsys.readouterr().out in readme


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
