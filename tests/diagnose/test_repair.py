"""A text is read on after its syntax errors: one token is one mistake, several are several, none in a right text."""

from __future__ import annotations

import pytest

from archdsl import project
from archdsl.core.source import Source
from archdsl.diagnose.fix import diagnose
from archdsl.diagnose.repair import MOST_TEXT, repaired

HEAD = "net n:\n    input i: [N, 3, H=8, W=8]\n"


@pytest.mark.parametrize("stem", ["lenet5", "unet", "inception_v3"])
def test_a_right_text_stays_as_it_is(stem):
    found = repaired(project.read(project.path_of(stem)))
    assert found is not None and found.mistakes == () and found.lost == frozenset() and found.balanced


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("cat(a: conv(4 3),\n        b: conv(4, 3 3),\n        c: relu relu)", [3, 4, 5]),
        ("cat(a: conv(4 3),\n        b: rely,\n        c: conv(4, 3, strid=2))", [3, 4, 5]),
        ("for i i in range(3):\n        rely\n    relu", [3, 4]),
        (
            "cat(a: conv(4, 3,\n        b: conv(4, 3)\n        c: rely)\n    relu",
            [5],
        ),  # its label is on the line before
        ("i in range(3):\n        relu\n        rely", [3, 5]),
        ("x$ -> relu\n    bn bn", [3, 4]),
    ],
)
def test_mistakes_of_one_statement_come_together(body, lines):
    assert [d.primary.span.line for d in diagnose(Source("n.arch", HEAD + f"    {body}\n"))] == lines


@pytest.mark.parametrize(
    "text", ["relu bn\n" * 60, HEAD + "    relu\n  bn\n", '"""open', "\t x\n  y\n", "net n:\n" + " " * MOST_TEXT]
)
def test_what_cannot_be_repaired(text):
    assert repaired(Source("n.arch", text)) is None


def test_names_that_a_wrong_line_would_bind_are_not_unknown():
    text = "block b(c kernel=3 act=relu):\n    conv(c, kernel)\n    act\n" + HEAD + "    b(3)\n"
    assert [(d.primary.span.line, d.code) for d in diagnose(Source("n.arch", text))] == [(1, "E0107")]
