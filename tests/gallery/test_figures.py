"""The published figures that the docs recount: each holds at its own rounding, or its row says why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import figures

CASES = [(section.title, figure) for section in figures.sections() for figure in section.figures]


@pytest.mark.parametrize(("title", "figure"), CASES, ids=[f"{t}: {f.what}" for t, f in CASES])
def test_a_figure_is_the_published_one_or_says_why_not(title, figure):
    assert figure.equal == (not figure.note), f"{figure.exact:,} against {figure.published}: {figure.note or 'why?'}"


def test_the_page_is_current():
    assert figures.PAGE.read_text(encoding="utf-8") == figures.page(), "run `make figures`"


def test_a_wrong_count_is_seen():
    assert not figures.Figure("", "569 M", 569_600_000).equal
    assert not figures.Figure("", "1,516", 1_517).equal
    assert figures.Figure("", "4.8 MB", 1_248_424).equal
