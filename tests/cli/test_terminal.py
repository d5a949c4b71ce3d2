"""The command line as a process: what terminals, encodings, signals, pipes and shells make of it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archdsl.cli.main import COMMANDS, main
from tests.cli import flags
from tests.properties.timing import slowness

TINY = "net tiny(c=4):\n    input image: [N, 3, H=8, W=8]\n    a: conv(c, 3) -> relu -> b: [conv(c, 3), relu] * 6\n"
COMMAND = [sys.executable, "-m", "archdsl"]
RUNS = {  # of each command what prints most kinds of text
    "check": (["check", "--shapes", "resnet18"], ["check", "no_such"], ["check", "wröng.arch"]),
    "compile": (["compile", "-o", "-", "résumé.arch"],),
    "compress": (["compress", "--help"],),
    "completion": (["completion", "bash"], ["completion", "zsh"], ["completion", "fish"]),
    "cost": (["cost", "resnet18", "--memory", "--device", "h100"], ["cost", "resnet18", "--symbolic", "H,W"]),
    "decompress": (["decompress", "--help"],),
    "diff": (["diff", "resnet18", "resnet34"],),
    "draw": (["draw", "lenet5", "-o", "lenet5.svg"], ["draw", "lenet5", "-o", "-"]),
    "explore": (["explore", "lenet5", "-o", "lenet5.html"],),
    "explain": (["explain"], ["explain", "E0302"]),
    "export": (["export", "--help"],),
    "fmt": (["fmt", "--diff", "résumé.arch"], ["fmt", "--check", "wröng.arch"]),
    "import": (["import", "--help"],),
    "list": (["list"],),
    "search": (["search", "lenet5", "--set", "classes=2,3"],),
    "server": (["server", "--help"],),
    "sweep": (["sweep", "mobilenet_v1", "--set", "width=1,0.5"],),
    "train": (["train", "--help"],),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.arch").write_text(TINY)
    (tmp_path / "résumé.arch").write_text('"""Résumé: 模型 ≥ 3 × 3."""\nnet n:\n input i: [N, 3, H=8, W=8]\n relu\n')
    (tmp_path / "wröng.arch").write_text('net n:\n    input i: [N, 3, H=8, W=8]\n    require i.height > 9, "é ≥ 模"\n')
    return tmp_path


def run(*arguments: str, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = os.environ | environment
    return subprocess.run([*COMMAND, *arguments], input=given, capture_output=True, env=env, check=False)


# -------------------------------------------------------------------------------------------------- encodings
def test_every_command_has_runs():
    assert set(RUNS) == set(COMMANDS)


@pytest.mark.parametrize("name", RUNS)
def test_an_encoding_ends_no_command(name, folder):
    """In ASCII and the code pages of Windows the same is said, by the nearest characters that there are."""
    for arguments in RUNS[name]:
        meant = run(*arguments, PYTHONIOENCODING="utf-8")
        assert meant.returncode in (0, 1, 2)
        for encoding in ("ascii", "cp1252", "cp437"):
            done = run(*arguments, PYTHONIOENCODING=encoding)
            assert done.returncode == meant.returncode, done.stderr.decode(encoding)
            assert b"Traceback" not in done.stderr
            is_file = name in ("compile", "completion", "draw") or "--diff" in arguments
            text = done.stdout.decode("utf-8" if is_file else encoding)
            assert len(text.splitlines()) == len(meant.stdout.decode().splitlines())
            if is_file:
                assert done.stdout == meant.stdout, "files are in UTF-8"


def test_tables_in_ascii_are_as_wide(folder):
    plain = run("check", "--shapes", "resnet50", PYTHONIOENCODING="ascii").stdout.decode("ascii").splitlines()
    drawn = run("check", "--shapes", "resnet50", PYTHONIOENCODING="utf-8").stdout.decode().splitlines()
    table = slice(0, -2)  # the notes behind it may be longer by a sign
    assert [len(line) for line in plain[table]] == [len(line) for line in drawn[table]]
    assert plain[3] == " " + "-" * (len(drawn[3]) - 1) and any("x2" in line for line in plain)


# -------------------------------------------------------------------------------------------------- width
def on_a_terminal(*arguments: str, columns: int) -> list[str]:
    """Return the lines that a command prints on a terminal of a width."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([*COMMAND, *arguments], stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            found += piece
            if not piece:
                break
        process.wait()
    os.close(ours)
    return found.decode().splitlines()


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
@pytest.mark.parametrize("command", ["check --shapes resnet18", "cost resnet50", "cost resnet50 --by kind", "list"])
def test_a_table_fits_the_terminal(command, columns):
    lines = on_a_terminal(*command.split(), columns=columns)
    assert len(lines) > 10 and max(map(len, lines)) <= columns
    figure = "4.23 M" if command == "list" else "11,689,512" if "resnet18" in command else "25,557,032"
    assert any(figure in line for line in lines), "what stays are the figures"


def test_a_short_line_says_what_it_leaves_out(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["check", "--shapes", "resnet18"]) == 0
    said = capsys.readouterr().out
    assert "left out, as a line has 80 columns: output; --columns says" in said
    assert "conv(64, 7, stride=..." in said
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["check", "--shapes", "resnet18"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_a_pipe_has_no_width(folder):
    wide = run("cost", "resnet50").stdout.decode().splitlines()
    assert max(map(len, wide)) > 200


def test_columns_and_depth(capsys):
    assert main(["check", "resnet18", "--columns", "layer,at-default,MACs", "--depth", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["layer", "at", "default", "MACs"]
    rows = [line.split() for line in lines[4:15]]
    assert rows[0] == ["conv1", "64x112x112", "118,013,952"] and rows[4] == ["layer1", "64x56x56", "462,422,016"]
    assert len(rows) == 11 and not lines[15], "blocks are folded, with what all that is in them costs"
    assert main(["cost", "resnet18", "--columns", "parameters, layer", "--depth", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["parameters", "layer"] and any(line.split() == ["73,984", "0"] for line in lines)
    assert not any("conv2" in line for line in lines)
    assert main(["cost", "resnet18", "--columns", "colour"]) == 2
    assert "the columns are layer, operation, output, field, parameters" in capsys.readouterr().err


def test_columns_of_two_tables(capsys):
    assert main(["cost", "lenet5", "--device", "h100", "--columns", "layer,operation,bound"]) == 0
    layers, times = capsys.readouterr().out.split("h100:", 1)
    assert [line.split() for line in layers.splitlines()][2] == ["layer", "operation"]
    assert [line.split() for line in times.splitlines()][2] == ["operation", "bound"]
    assert main(["cost", "lenet5", "--device", "h100", "--columns", "layer"]) == 0
    layers, times = capsys.readouterr().out.split("h100:", 1)
    assert [line.split() for line in layers.splitlines()][2] == ["layer"] and "µs" in times
    assert main(["cost", "lenet5", "--device", "h100", "--columns", "colour"]) == 2
    assert "element-wise, read, written, ops/byte, share, step, µs, bound" in capsys.readouterr().err
    assert main(["cost", "lenet5", "--columns", "bound"]) == 2


@pytest.mark.parametrize(
    "command", ["cost lenet5 --json", "cost lenet5 --csv", "cost lenet5 --explain all", "check lenet5 --format json"]
)
@pytest.mark.parametrize("option", ["--columns layer", "--depth 1"])
def test_what_is_no_table_has_no_options_of_one(command, option, capsys):
    assert main([*command.split(), *option.split()]) == 2
    shown = capsys.readouterr()
    assert "people read" in shown.err + shown.out


@pytest.mark.parametrize("command", ["check resnet18", "list", "compile lenet5 -o -", "cost lenet5 --json"])
def test_a_full_disk_is_no_bug_of_ours(command):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, *command.split()], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (2, b"archdsl: No space left on device\n")


# -------------------------------------------------------------------------------------------------- standard input
@pytest.mark.parametrize(
    ("command", "words", "status"),
    [
        ("check -", "tiny: [N, 3, H, W] -> [N, 4, H, W]", 0),
        ("check --shapes --net tiny -", "4x8x8", 0),
        ("cost - --by kind", "conv", 0),
        ("compile - -o -", "class Tiny(nn.Module)", 0),
        ("compile -", "wrote tiny.py", 0),
        ("sweep - --set c=4,8", "2 settings", 0),
        ("search - --set c=4,8", "c=8", 0),
        ("diff - tiny.arch", "the same steps", 0),
        ("diff - -", "the same steps", 0),
        ("diff - tiny.arch --set-a c=5", "conv(5, 3)", 1),
        ("fmt -", "net tiny", 0),
        ("fmt --check -", "", 0),
        ("check --fix -", "no file that could be saved", 2),
        ("check --watch -", "no file that could be saved", 2),
        ("sweep - --set c=4,8 --jobs 2", "one process only", 2),
    ],
)
def test_a_file_may_be_standard_input(command, words, status, folder):
    done = run(*command.split(), given=TINY.encode())
    assert done.returncode == status, done.stderr.decode()
    assert words in (done.stdout + done.stderr).decode()


def test_mistakes_in_standard_input_and_its_imports(folder):
    (folder / "part.arch").write_text("block part:\n    relu\n")
    text = b"from part import part\nnet n:\n    input i: [N, 3, H=8, W=8]\n    part\n    conw(3, 3)\n"
    done = run("check", "-", given=text)
    assert done.returncode == 1 and b"--> <stdin>:5:5" in done.stderr and b"unknown name `conw`" in done.stderr
    assert run("check", "-", given=text.replace(b"conw", b"conv")).returncode == 0
    assert run("check", "-", given=b"\xff").returncode == 2


def test_python_reads_no_standard_input():
    code = "import archdsl\ntry:\n    archdsl.check('-')\nexcept archdsl.CompileError as e:\n    print(e)"
    done = subprocess.run([sys.executable, "-c", code], input=TINY.encode(), capture_output=True, check=True)
    assert b"no network or file `-`" in done.stdout


# -------------------------------------------------------------------------------------------------- Ctrl-C
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["search", "mobilenet_v2", "--set", "width=0.25..2.0", "--sample", "1000000"], "mobilenet_v2: params = "),
        (["sweep", "mobilenet_v2", "--set", "width=0.25..2.0", "--sample", "1000000"], " settings, 0 illegal"),
    ],
)
def test_ctrl_c_ends_with_what_there_is(command, said, jobs):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [*COMMAND, *command, "--jobs", jobs]
    started = subprocess.Popen(words, start_new_session=True, preexec_fn=flags.hearing, **pipes)
    try:
        time.sleep(2 * max(1, slowness()))
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does: all of its processes
        out, err = started.communicate(timeout=60)
    finally:
        started.kill()  # where it has heard nothing
    assert started.returncode == 130
    assert said in out.decode(), err.decode()
    assert err.decode().startswith("interrupted: ") and err.count(b"\n") == 1, err.decode()


def test_ctrl_c_is_a_word(monkeypatch, capsys):
    from archdsl.cli import check

    def stop(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", stop)
    assert main(["check", "resnet18"]) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


# -------------------------------------------------------------------------------------------------- exit status
@pytest.mark.parametrize(
    ("status", "command"),
    [
        (0, "check tiny.arch"),
        (0, "fmt --check tiny.arch"),
        (0, "diff resnet18 resnet18"),
        (1, "diff resnet18 resnet34"),
        (1, "check broken.arch"),
        (1, "cost broken.arch"),
        (1, "fmt --check rough.arch"),
        (1, "list nothing*"),
        (1, 'search lenet5 --set classes=2,3 --budget params<=1'),
        (2, "diff resnet18 broken.arch"),
        (2, "diff resnet18 missing.arch"),
        (2, "diff resnet18"),
        (2, "check missing.arch"),
        (2, "check resnet5O"),
        (2, "check tiny.arch broken.arch missing.arch"),
        (2, "check tiny.arch --net none"),
        (2, "check tiny.arch --set d=1"),
        (2, "check tiny.arch --set d=("),
        (2, "check tiny.arch --outputs none"),
        (2, "check tiny.arch --input 1x3xa"),
        (2, "check tiny.arch --colour"),
        (2, "cost tiny.arch --device none"),
        (2, "compile tiny.arch -o no/such/folder.py"),
        (2, "sweep tiny.arch --set c="),
        (2, "explain E9999"),
        (2, "nothing"),
    ],
)  # fmt: skip
def test_one_rule_for_the_exit_status(status, command, folder, capsys):
    (folder / "broken.arch").write_text(TINY.replace("relu", "rely"))
    (folder / "rough.arch").write_text(TINY.replace("    ", "  "))
    try:
        found = main(command.split(" "))
    except SystemExit as stop:
        found = stop.code
    assert found == status, capsys.readouterr()


def test_the_documents_have_the_rule():
    from archdsl.cli import status

    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    for number in (status.YES, status.NO, status.TROUBLE, status.BUG, status.INTERRUPTED):
        assert f"\n| {number} | " in page


# -------------------------------------------------------------------------------------------------- shells
def completed(shell: str, line: str, folder: Path) -> list[str]:
    """Return what a shell proposes for the last word of a line."""
    script = folder / f"completion.{shell}"
    script.write_bytes(run("completion", shell).stdout)
    if shell == "fish":
        code = f"source {script}; complete -C {json.dumps(line)}"
        command = ["fish", "--no-config", "-c", code]
    else:
        words = line.replace("=", " = ").split(" ")
        listed = " ".join(f"'{word}'" for word in words)
        code = f'source {script}; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _archdsl; printf "%s\\n" "${{COMPREPLY[@]}}"'
        command = ["bash", "--norc", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert not done.stderr
    return [proposal.split("\t")[0] for proposal in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "has", "lacks"),
    [
        ("archdsl c", {"check", "compile", "cost", "completion"}, {"fmt", "tiny.arch"}),
        ("archdsl check --f", {"--fix", "--format"}, {"--shapes"}),
        ("archdsl check --format ", {"text", "short", "json", "sarif"}, {"tiny.arch", "resnet18"}),
        ("archdsl check --format=s", {"short", "sarif"}, {"text"}),
        ("archdsl check resnet1", {"resnet18", "resnet101"}, {"resnet50"}),
        ("archdsl check t", {"tiny.arch"}, {"tiny.txt", "resnet18"}),
        ("archdsl check --shapes tiny.arch resnet1", {"resnet18"}, {"tiny.arch"}),
        ("archdsl check sp", {"spa ce.arch"}, set()),
        ("archdsl compile --net ", set(), {"resnet18", "tiny.arch"}),
        ("archdsl compile -o t", {"tiny.arch", "tiny.txt"}, {"resnet18"}),
        ("archdsl cost --dtype b", {"bfloat16"}, {"float32"}),
        ("archdsl explain E030", {"E0301", "E0302"}, {"E0201", "tiny.arch"}),
        ("archdsl diff vgg16_", {"vgg16_bn"}, {"vgg16"}),
        ("archdsl completion ", {"bash", "zsh", "fish"}, {"tiny.arch"}),
    ],
)
def test_a_shell_completes(shell, line, has, lacks, folder):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (folder / "tiny.txt").touch()
    (folder / "spa ce.arch").touch()
    found = {proposal.removeprefix("--format=") for proposal in completed(shell, line, folder)}
    assert has <= found and not lacks & found, found


def test_the_scripts_know_every_option(capsys):
    from archdsl.cli.main import parsers

    _, commands = parsers(*COMMANDS)
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        for name, parser in commands.items():
            assert name in script
            for action in parser._actions:
                for option in action.option_strings:
                    assert (f" {option.lstrip('-')} " if shell == "fish" else option) in script


def test_zsh_can_read_its_script(folder):
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not installed")
    (folder / "_archdsl").write_bytes(run("completion", "zsh").stdout)
    assert subprocess.run([zsh, "-f", "-n", "_archdsl"], capture_output=True, check=True).stderr == b""
