"""The front end stays light: checking a network never imports torch, nor anything else that is slow to import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from archdsl.cli.main import COMMANDS

HEAVY = ("torch", "triton", "numpy", "lark", "jinja2", "rich", "dataclasses", "inspect", "pygls", "asyncio")


def imported(code: str, modules: Sequence[str] = HEAVY) -> set[str]:
    """Return which of some modules a piece of code leaves imported in a fresh interpreter."""
    probe = f"import sys; before = set(sys.modules)\n{code}\n"
    probe += f"print(*[m for m in {modules} if m in set(sys.modules) - before])"
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


@pytest.mark.parametrize("name", COMMANDS)
def test_only_the_command_that_is_asked_for_is_imported(name):
    parse = f"from archdsl.cli.main import parsers; parsers({name!r})"
    files = {
        command: f"archdsl.cli.{command}_" if command == "import" else f"archdsl.cli.{command}" for command in COMMANDS
    }
    assert imported(parse, list(files.values())) == {files[name]}


@pytest.mark.parametrize("arguments", [["check", "densenet121"], ["list"], ["explain", "E0301"]])
def test_a_command_imports_what_it_needs(arguments):
    """Nothing that only other commands or other options need; `list` and `explain` do without the compiler."""
    checks = {"archdsl.compiler", "archdsl.syntax.parser", "archdsl.report.check"}
    others = {"json", "archdsl.diagnostics.render", "archdsl.diagnose.fix", "archdsl.explore.sweep", "archdsl.codegen"}
    code = f"from archdsl.cli.main import main; main({arguments})"
    assert imported(code, [*checks, *others]) == (checks if arguments[0] == "check" else set())


def test_emitting_needs_no_torch():
    assert imported("import archdsl; archdsl.compile('resnet18')") <= {"jinja2", "inspect", "dataclasses"}


@pytest.mark.parametrize("name", ["lark", "jinja2", "inspect"])
def test_the_probe_sees_an_import(name):
    assert name in imported(f"import {name}")


def test_the_probe_sees_torch_when_a_network_is_loaded():
    assert "torch" in imported("import archdsl; archdsl.load")
