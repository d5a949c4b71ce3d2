"""`archdsl fmt`: which files it writes, what it prints, and its exit status."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from archdsl.cli.main import main

ROUGH = "net tiny:\n  input image: [N,3,H=8,W=8]  # RGB\n  conv( 4,3 )->relu\n"
SMOOTH = "net tiny:\n    input image: [N, 3, H=8, W=8]  # RGB\n    conv(4, 3) -> relu\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rough.arch").write_text(ROUGH)
    (tmp_path / "smooth.arch").write_text(SMOOTH)
    (tmp_path / "broken.arch").write_text("net broken:\n    conv(4\n")
    return tmp_path


def fmt(capsys, *arguments: str) -> tuple[int, str, str]:
    return (main(["fmt", *arguments]), *capsys.readouterr())


def test_files_are_laid_out_and_only_changed_ones_are_written(folder, capsys):
    written = (folder / "smooth.arch").stat().st_mtime_ns
    assert fmt(capsys, "rough.arch", "smooth.arch") == (0, "formatted rough.arch\n", "")
    assert (folder / "rough.arch").read_text() == SMOOTH
    assert (folder / "smooth.arch").stat().st_mtime_ns == written
    assert fmt(capsys, "rough.arch", "smooth.arch") == (0, "", "")


def test_check_writes_nothing(folder, capsys):
    assert fmt(capsys, "--check", "smooth.arch") == (0, "", "")
    assert fmt(capsys, "--check", "smooth.arch", "rough.arch") == (1, "would format rough.arch\n", "")
    assert (folder / "rough.arch").read_text() == ROUGH


def test_diff_shows_what_would_change(folder, capsys):
    status, out, _ = fmt(capsys, "--diff", "rough.arch")
    assert status == 1 and (folder / "rough.arch").read_text() == ROUGH
    assert out.startswith("--- rough.arch\n+++ rough.arch\n@@ ")
    assert "-  conv( 4,3 )->relu\n" in out and "+    conv(4, 3) -> relu\n" in out
    assert fmt(capsys, "--diff", "smooth.arch") == (0, "", "")


def test_a_file_that_does_not_parse_is_shown_and_left_as_it_is(folder, capsys):
    status, out, err = fmt(capsys, "broken.arch", "rough.arch")
    assert (status, out) == (1, "formatted rough.arch\n")
    assert "broken.arch:2" in err and "E01" in err
    assert (folder / "broken.arch").read_text() == "net broken:\n    conv(4\n"


def test_standard_input(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ROUGH.encode())))
    assert fmt(capsys, "-") == (0, SMOOTH, "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"net \xff")))
    status, out, err = fmt(capsys, "-")
    assert (status, out) == (2, "") and "`<stdin>` is not text in UTF-8" in err


def test_the_command_in_a_process_of_its_own(folder):
    command = [sys.executable, "-m", "archdsl.cli.main", "fmt", "--diff", "-"]
    ended = subprocess.run(command, input=ROUGH.encode(), capture_output=True, check=False)
    assert ended.returncode == 1 and b"+    conv(4, 3) -> relu" in ended.stdout


def test_the_hooks_run_commands_that_exist():
    hooks = (Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text()
    entries = [line.split()[-1] for line in hooks.splitlines() if "entry: archdsl " in line]
    assert entries == ["fmt", "check"]
