"""The command line: what it prints, its exit status, what bad input gets, and that no output is half written."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from importlib import import_module

import pytest

import archdsl
from archdsl import cli, project
from archdsl.cli.main import COMMANDS, main
from archdsl.diagnostics import render
from tests.properties.timing import answer_within, slowness

TINY = "net tiny(c=4):\n    input image: [N, 3, H=8, W=8]\n    a: conv(c, 3) -> relu -> b: [conv(c, 3), relu] * 6\n"
BROKEN = "net broken:\n    input image: [N, 8, H=8, W=8]\n    add(identity, conv(16, 3, stride=2))\n"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.arch").write_text(TINY)
    (tmp_path / "broken.arch").write_text(BROKEN)
    return tmp_path


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = main(list(map(str, arguments)))
    return (status, *capsys.readouterr())


def test_check_prints_one_line_a_net(tiny, capsys):
    status, out, err = run(capsys, "check", "tiny.arch")
    assert (status, err) == (0, "")
    assert out == "tiny: [N, 3, H, W] -> [N, 4, H, W], 1 k parameters, 62.2 k MACs at 8x8\n"


def test_check_of_a_file_checks_all_its_nets(capsys):
    status, out, _ = run(capsys, "check", "architectures/resnet50.arch")
    assert status == 0 and len(out.splitlines()) == 9


def test_shapes_has_a_row_a_layer_with_repeats_folded(tiny, capsys):
    status, out, _ = run(capsys, "check", "--shapes", "tiny.arch")
    rows = out.splitlines()
    assert status == 0
    assert any(row.startswith("b-6") or "×6" in row for row in rows) or "×6" in out
    assert "4x8x8" in out and "[N, 4, H, W]" in out


def test_set_and_input_and_net(capsys):
    status, out, _ = run(
        capsys, "check", "--net", "densenet121", "--set", "growth=24", "--input", "1x3x256x256", "densenet121"
    )
    assert status == 0 and "at 256x256" in out and "7.98 M" not in out
    status, out, _ = run(capsys, "check", "--input", "1x1x224x224", "resnet18")
    assert status == 0 and "[N, 1, H, W]" in out


def test_json_of_shapes(capsys):
    status, out, _ = run(capsys, "check", "--format", "json", "resnet18")
    data = json.loads(out)
    (found,) = data["networks"]
    assert data["diagnostics"] == []
    assert status == 0 and found["parameters"] == 11689512 and found["macs"] == 1814073344
    assert found["layers"][0]["shape"] == ["N", 64, "ceil(H/2)", "ceil(W/2)"]
    assert found["layers"][0]["at_default"] == [1, 64, 112, 112]


def test_three_forms_of_a_mistake(tiny, capsys):
    status, _, err = run(capsys, "check", "broken.arch")
    assert status == 1 and err.startswith("error[E0302]: ") and " --> broken.arch:3:" in err and "^^^" in err
    assert "[N,  8,         H,         W]" in err and "[N, 16, ceil(H/2), ceil(W/2)]" in err
    status, out, _ = run(capsys, "check", "--format", "short", "broken.arch")
    assert status == 1 and out.count("\n") == 1 and out.startswith("broken.arch:3:")
    status, out, _ = run(capsys, "check", "--format", "json", "broken.arch")
    (found,) = json.loads(out)["diagnostics"]
    assert status == 1 and found["primary"]["place"]["line"] == 3 and found["level"] == "error"
    status, out, _ = run(capsys, "check", "--format", "json", "--set", "depth", "broken.arch")
    assert status == 2 and json.loads(out)["diagnostics"][0]["code"] == "E0111"


def test_several_files_report_each(tiny, capsys):
    status, out, err = run(capsys, "check", "broken.arch", "tiny.arch")
    assert status == 1 and "tiny:" in out and "E0302" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nothing.arch"], "no file `nothing.arch`"),
        (["check", "."], "is a directory"),
        (["check", "empty.arch"], "is empty"),
        (["check", "binary.arch"], "not text in UTF-8"),
        (["check", "nul.arch"], "unexpected character"),
        (["check", "big.arch"], "larger than 1 MiB"),
        (["check", "tabs.arch"], "tabs and spaces are mixed"),
        (["check", "circle.arch"], "import one another in a circle"),
        (["check", "resnet5O"], "did you mean `resnet50`"),
        (["check", "--net", "tinny", "tiny.arch"], "did you mean `tiny`"),
        (["check", "--set", "d=3", "tiny.arch"], "has no parameter `d`"),
        (["check", "--set", "c", "tiny.arch"], "expected NAME=VALUE"),
        (["check", "--set", "c=(", "tiny.arch"], "unclosed"),
        (["check", "--input", "axb", "tiny.arch"], "expected sizes"),
        (["check", "--input", "1x3x8", "tiny.arch"], "3 sizes were given"),
        (["check", "--input", "1x3x0x8", "tiny.arch"], "expected sizes"),
        (["compile", "tiny.arch", "-o", "no/such/folder/out.py"], "cannot write"),
        (["compile", "tiny.arch", "-o", "."], "cannot write"),
    ],
)
def test_bad_input_is_a_diagnostic(arguments, words, tiny, capsys):
    (tiny / "empty.arch").write_text("")
    (tiny / "binary.arch").write_bytes(bytes(range(128, 256)))
    (tiny / "nul.arch").write_bytes(b"net n:\0\n")
    (tiny / "big.arch").write_text("#" * 10_000_000)
    (tiny / "tabs.arch").write_text("net n:\n\trelu\n        relu\n")
    (tiny / "circle.arch").write_text("from circle2 import a\nnet n:\n    a\n")
    (tiny / "circle2.arch").write_text("from circle import n\nblock a:\n    relu\n")
    status, out, err = run(capsys, *arguments)
    in_a_text = arguments[-1] in ("nul.arch", "tabs.arch", "circle.arch") or "1x3x8" in arguments
    assert status == (1 if in_a_text else 2) and words in err, out + err
    assert "Traceback" not in err and err.startswith("error[E")


def test_compile_says_what_it_wrote(tiny, capsys):
    status, out, _ = run(capsys, "compile", "tiny.arch")
    text = (tiny / "tiny.py").read_text()
    assert status == 0 and out == f"wrote tiny.py: 1 k parameters, 62.2 k MACs, {text.count(chr(10))} lines\n"
    assert "class Tiny(nn.Module):" in text


@pytest.mark.parametrize("form", ["python", "ir", "ast", "json"])
def test_every_form_of_compile(form, tiny, capsys):
    status, out, _ = run(capsys, "compile", "--emit", form, "-o", "-", "tiny.arch")
    assert status == 0 and out
    if form == "json":
        assert json.loads(out)["name"] == "tiny"


@pytest.mark.parametrize("form", ["python", "ir", "ast", "json"])
def test_compile_replaces_only_what_it_wrote(form, tiny, capsys):
    target = tiny / "out"
    command = ["compile", "tiny.arch", "--emit", form, "-o", target]
    assert run(capsys, *command)[0] == run(capsys, *command)[0] == 0, "its own file is replaced"
    for text in ("import torch\n", '{\n  "name": "a package",\n  "version": "1"\n}\n', "network = 3\n"):
        target.write_text(text)
        status, out, err = run(capsys, *command)
        assert (status, out) == (2, "") and "archdsl did not write, which `--force` replaces" in err
        assert target.read_text() == text
    assert run(capsys, *command, "--force")[0] == 0 and target.read_text() != text
    target.write_text("")
    assert run(capsys, *command)[0] == 0


def test_a_failed_compile_leaves_the_old_output(tiny, capsys):
    target = tiny / "out.py"
    target.write_text("precious")
    status, *_ = run(capsys, "compile", "broken.arch", "--force", "-o", target)
    assert status == 1 and target.read_text() == "precious"
    assert [p.name for p in tiny.iterdir() if p.name.startswith(".archdsl")] == []


def test_compiled_file_is_readable_by_others(tiny, capsys):
    run(capsys, "compile", "tiny.arch", "-o", tiny / "out.py")
    assert (tiny / "out.py").stat().st_mode & 0o600 == 0o600


def test_compiled_file_needs_only_torch(tiny, capsys):
    run(capsys, "compile", "resnet18", "-o", tiny / "out.py")
    code = "import sys; sys.modules['archdsl'] = None; import out, torch; print(out.ResNet()(torch.zeros(1, 3, 64, 64)).shape)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tiny, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "torch.Size([1, 1000])"


def test_colours_are_for_terminals(tiny, capsys, monkeypatch):
    (tiny / "one.arch").write_text("net one:\n    input i: [N, 3, H=8, W=8]\n    conw(3, 3)\n")
    plain = run(capsys, "check", "one.arch")[2]
    assert "\033" not in plain
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(capsys, "check", "one.arch")[2] == plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(capsys, "check", "one.arch")[2] == plain, "as in Python itself, NO_COLOR is the stronger"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert run(capsys, "check", "one.arch")[2] == render.coloured(plain.rstrip("\n")) + "\n"
    monkeypatch.delenv("FORCE_COLOR")
    assert run(capsys, "check", "one.arch")[2] == plain
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(capsys, "check", "one.arch")[2] != plain
    drawn = render.coloured(plain)
    assert re.sub(r"\033\[[0-9;]*m", "", drawn) == plain
    assert "\033[1;31merror[E0201]\033[0m: unknown" in drawn and "\033[1;31m    ^^^^ nothing here" in drawn


def test_sarif_has_a_place_for_every_mistake(tiny, capsys):
    """The properties that code hosts read of a SARIF 2.1.0 log."""
    (tiny / "one.arch").write_text("net one:\n    input i: [N, 3, H=8, W=8]\n    conw(3, 3)\n")
    (tiny / "two.arch").write_text("net two:\n    input i: [N, 3, H=8, W=8]\n    add(conv(4, 3), identity)\n")
    status, out, _ = run(capsys, "check", "one.arch", "two.arch", "tiny.arch", "--format", "sarif")
    log = json.loads(out)
    (found,) = log["runs"]
    assert (status, log["version"]) == (1, "2.1.0")
    rules = {rule["id"]: rule["shortDescription"]["text"] for rule in found["tool"]["driver"]["rules"]}
    assert list(rules) == ["E0201", "E0302"] and all(rules.values())
    places = []
    for result in found["results"]:
        assert result["ruleId"] in rules and result["level"] == "error" and result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        places.append((physical["artifactLocation"]["uri"], physical["region"]["startLine"]))
    assert places == [("one.arch", 3), ("two.arch", 3)]
    assert found["results"][1]["relatedLocations"], "the other operand is a related place"


def test_sarif_of_a_file_without_mistakes_is_empty(tiny, capsys):
    status, out, _ = run(capsys, "check", "tiny.arch", "--format", "sarif")
    assert status == 0 and json.loads(out)["runs"][0]["results"] == []


def test_sarif_is_what_its_schema_says_and_has_the_edits(tiny, capsys):
    """The classes are made of the schema of SARIF 2.1.0, and refuse a property that it does not have."""
    from pydantic import ValidationError
    from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Schema

    text = "net n:\n    input i: [N, 3, H=8, W=8]\n    # \u00fc\U0001f600\n    a: conv(3, 3, bias=False)\n"
    (tiny / "n.arch").write_text(text, encoding="utf-8")
    status, out, _ = run(capsys, "check", "n.arch", "broken.arch", "resnet5O", "--format", "sarif")
    log = json.loads(out)
    Schema.model_validate(log)
    with pytest.raises(ValidationError):
        Schema.model_validate(log | {"columns": 1})
    (found,) = log["runs"]
    assert status == 2 and found["columnKind"] == "unicodeCodePoints"
    rules = [rule["id"] for rule in found["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in found["results"])
    (fix,) = next(result["fixes"] for result in found["results"] if "fixes" in result)
    (change,) = fix["artifactChanges"]
    (edit,) = change["replacements"]
    region = edit["deletedRegion"]
    start = text.index("False")
    assert (region["startLine"], region["startColumn"], region["endLine"], region["endColumn"]) == (4, 24, 4, 29)
    assert text[region["charOffset"] :][: region["charLength"]] == "False" and region["charOffset"] == start
    assert change["artifactLocation"]["uri"] == "n.arch" and edit["insertedContent"] == {"text": "false"}


def test_watch_checks_again_on_save(tiny, monkeypatch):
    from archdsl.cli import watch

    monkeypatch.setattr(watch, "INTERVAL", 0)
    runs = []

    def check() -> int:
        runs.append((tiny / "tiny.arch").read_text())
        (tiny / "tiny.arch").write_text("net saved:\n" + "#" * len(runs))
        return len(runs)

    assert watch.watch(["tiny.arch"], check, rounds=3) == 3
    assert runs[1] == "net saved:\n#" and runs[2] == "net saved:\n##"


def test_watch_follows_what_the_files_import(tiny):
    from archdsl.cli.watch import Files

    def watched() -> set[str]:
        return {name.rsplit("/", 1)[-1] for name in files.stamps()}

    (tiny / "top.arch").write_text("from middle import a\nfrom resnet50 import basic\nnet top:\n    broken(\n")
    files = Files(["top.arch"])
    assert watched() == {"top.arch", "resnet50.arch"}, "and `tiny.arch` beside them is none of its business"
    (tiny / "middle.arch").write_text("from bottom import b\n")
    (tiny / "bottom.arch").write_text("from top import top\n")
    assert watched() == {"top.arch", "resnet50.arch", "middle.arch", "bottom.arch"}
    before = files.stamps()
    (tiny / "bottom.arch").write_text("block b:\n    relu\n    relu\n")
    assert files.stamps() != before
    (tiny / "middle.arch").unlink()
    assert watched() == {"top.arch", "resnet50.arch"}


def test_list_shows_title_year_and_figures(capsys):
    status, out, _ = run(capsys, "list", "densenet*")
    lines = out.splitlines()
    assert status == 0 and len(lines) == 7
    assert lines[1].split()[:5] == ["densenet121", "2016", "7.98", "M", "2.83"] and "Densely Connected" in lines[1]


def test_every_title_in_the_list_has_its_year():
    from archdsl.report.gallery import entries

    without = [entry.name for entry in entries() if not entry.year]
    assert not without and {entry.year for entry in entries() if entry.name.startswith("alexnet")} == {"2012"}


def test_list_of_nothing_is_not_success_and_no_table(capsys):
    assert run(capsys, "list", "zzz") == (1, "", "no bundled network is called `zzz`\n")
    status, out, err = run(capsys, "list", "resnet81")
    assert (status, out) == (1, "") and "`resnet81`: there are resnet18" in err


def test_list_is_ready_at_once():
    """A whole process takes 60 ms, where checking all networks takes 1.7 s."""
    code = "import time; from archdsl.cli.main import main; main(['list']); print(time.process_time())"

    def seconds() -> float:
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert len(out.splitlines()) == len(archdsl.nets()) + 2
        return float(out.splitlines()[-1])

    assert min(seconds() for _ in range(3)) < 0.2 * slowness()


def test_explain(capsys):
    from archdsl.diagnostics.errors import CATALOGUE

    for code in CATALOGUE:
        status, out, _ = run(capsys, "explain", code)
        assert status == 0 and out.startswith(f"{code}: ") and len(out) > 30
    for given in ("e302", "E0302", "302", "error[E0302]:", "E00302"):
        assert run(capsys, "explain", given)[1].startswith("E0302: ")
    assert run(capsys, "explain", "w503")[1].startswith("W0503: ")
    for given in ("E9999", "zzz", "9999"):
        status, out, err = run(capsys, "explain", given)
        assert (status, out) == (2, "") and f"no diagnostic has the code `{given}`" in err


def test_a_bug_of_ours_is_status_3_and_says_so(tiny, capsys, monkeypatch):
    from archdsl.cli import check

    monkeypatch.setattr(check, "report", lambda network: 1 / 0)
    status, _, err = run(capsys, "check", "tiny.arch")
    assert status == 3 and "bug in archdsl" in err and "ZeroDivisionError" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "no command `chek`: did you mean `check`?"),
        (["resnet18"], "no command `resnet18`: did you mean `archdsl check resnet18`?"),
        (["mine.arch", "--shapes"], "no command `mine.arch`: did you mean `archdsl check mine.arch`?"),
        (["zzz"], "no command `zzz`; there are check, fmt, "),
        (["check", "--shpaes", "resnet18"], "no argument `--shpaes` here: did you mean `--shapes`?"),
        (["cost", "resnet18", "resnet34"], "no argument `resnet34` here\n"),
        (["check"], "required: FILE|NAME"),
        (["--verson"], "required: COMMAND"),
        ([], "print what a shell needs"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_was_meant(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    shown = capsys.readouterr()
    assert stop.value.code == 2 and shown.out == ""
    assert words in shown.err and "Traceback" not in shown.err and "bug" not in shown.err


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"archdsl {archdsl.__version__}\n"


def test_every_command_is_a_file_with_its_help(capsys):
    modules = [import_module(f"archdsl.cli.{found.name}") for found in pkgutil.iter_modules(cli.__path__)]
    files = {module.__name__.split(".")[-1].rstrip("_") for module in modules if hasattr(module, "add_options")}
    assert files == set(COMMANDS)
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name, what in COMMANDS.items():
        assert f"{name} {what}" in shown
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0 and f"usage: archdsl {name} [-h]" in capsys.readouterr().out


def test_the_package_is_the_command(tiny):
    command = [sys.executable, "-m", "archdsl", "check", "broken.arch"]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error[E0302]: ")


class TestCostGrowsWithDistinctInstances:
    TEXT = (
        "from resnet50 import bottleneck\nnet deep(depth):\n    input image: [N, 3, H=224, W=224]\n"
        "    conv(64, 7, stride=2)\n    body: bottleneck(16) * depth\n"
    )

    def steps(self, depth: int) -> int:
        """Count the steps that elaborating a net of `depth` equal blocks creates in distinct scopes."""
        from archdsl.codegen.groups import Groups
        from archdsl.compiler import Request, compile_text

        network = compile_text(self.TEXT, Request(params={"depth": depth})).network
        return len(Groups(network.scope).scopes)

    def test_equal_blocks_are_one_scope(self):
        assert self.steps(10) == self.steps(1000)

    def test_the_whole_gallery_checks_in_three_seconds(self, capsys):
        """`archdsl check architectures/*.arch` in one process: 1.3 s on the machine of the committed figures."""
        paths = [project.path_of(stem) for stem in project.bundled()]
        status, out, _ = answer_within(3, lambda: run(capsys, "check", *paths))
        assert status == 0 and len(out.splitlines()) == len(archdsl.nets())

    def test_ten_thousand_layers_check_in_two_seconds(self, tmp_path, capsys):
        (tmp_path / "deep.arch").write_text(self.TEXT)
        deep = ["check", "--net", "deep", "--set", "depth=3333", str(tmp_path / "deep.arch")]
        assert answer_within(2, lambda: main(deep)) == 0
        lines = [f"    c{i}: conv(16, 3) -> b{i}: bn -> relu" for i in range(3333)]
        (tmp_path / "long.arch").write_text("\n".join(["net long:", "    input image: [N, 16, H=64, W=64]", *lines]))
        assert answer_within(2, lambda: main(["check", str(tmp_path / "long.arch")])) == 0
