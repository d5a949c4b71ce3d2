"""The front end stays light: checking a network never imports torch, nor anything else that is slow to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "triton", "numpy", "lark", "jinja2", "rich", "dataclasses", "inspect")


def imported(code: str) -> set[str]:
    """Return which of the heavy modules a piece of code leaves imported in a fresh interpreter."""
    probe = (
        f"import sys; before = set(sys.modules)\n{code}\nprint(*[m for m in {HEAVY} if m in set(sys.modules) - before])"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(result.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    "code",
    [
        "import archdsl",
        "import archdsl; archdsl.check('densenet121'); archdsl.nets()",
        "from archdsl.cli.main import main; main(['check', '--shapes', 'densenet121'])",
        "from archdsl.cli.main import main; main(['check', 'no_such_network'])",
        "from archdsl.cli.main import main; main(['compile', '--emit', 'ir', '-o', '-', 'resnet18'])",
    ],
)
def test_checking_imports_nothing_heavy(code):
    assert imported(code) == set()


def test_emitting_needs_no_torch():
    assert imported("import archdsl; archdsl.compile('resnet18')") <= {"jinja2", "inspect", "dataclasses"}


@pytest.mark.parametrize("name", ["lark", "jinja2", "inspect"])
def test_the_probe_sees_an_import(name):
    assert name in imported(f"import {name}")


def test_the_probe_sees_torch_when_a_network_is_loaded():
    assert "torch" in imported("import archdsl; archdsl.load")
