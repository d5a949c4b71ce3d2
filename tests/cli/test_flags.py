"""Every command with every flag, each at least once, as a process in a folder of small files.

In the process of the tests, after those of engines, they corrupted Python's heap: quantization by ONNX Runtime and what
other tests load beside it do not go together.
"""

from __future__ import annotations

import sys

import pytest

import archdsl
from archdsl.cli.main import COMMANDS
from tests.cli import flags

PROGRAM = [sys.executable, "-m", "archdsl"]
LINES = [pytest.param(name, *rest, id=f"{name} {rest[0]}"[:60]) for name, lines in flags.ONCE.items() for rest in lines]


def test_every_command_has_lines():
    assert flags.ONCE.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_is_in_a_line(name):
    assert flags.unused(name) == set()


def test_a_flag_without_a_line_is_seen(monkeypatch):
    monkeypatch.setitem(flags.ONCE, "draw", flags.ONCE["draw"][1:])
    assert flags.unused("draw") == {"--by", "--depth", "--theme", "--net", "--set", "--input"}


@pytest.fixture
def folder(tmp_path):
    flags.prepare(tmp_path)
    archdsl.save(archdsl.load(tmp_path / "tiny.arch"), tmp_path / "tiny.safetensors")
    archdsl.save(archdsl.load(tmp_path / "small.arch"), tmp_path / "small.safetensors")
    return tmp_path


@pytest.mark.parametrize(("name", "line", "status", "word"), LINES)
def test_a_line(name, line, status, word, folder):
    found, said = flags.run(PROGRAM, f"{name} {line}", folder, flags.environment())
    assert found == status, said
    assert word in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("name", "line", "first"), [(name, *rest) for name, lines in flags.ENDLESS.items() for rest in lines]
)
def test_what_goes_on_ends_in_a_word(name, line, first, folder):
    said = flags.interrupt(PROGRAM, f"{name} {line}", folder, flags.environment(), first)
    assert first in said and "Traceback" not in said
