"""A stranger's file: it reads nothing outside its folder, runs nothing, and puts no text of its own into generated code.

What generated code may be is read off its syntax tree: the same kinds of nodes, calls, imports and names as those of
the same network with harmless texts.
"""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import os
import pickle
import stat
import subprocess
import sys
import threading

import pytest
import torch

import archdsl
from archdsl import project
from archdsl.cli.main import main
from archdsl.codegen.forward import WORDS
from archdsl.codegen.module import emit
from archdsl.compiler import compile_text, nets_of
from archdsl.diagnostics import CompileError, render
from archdsl.elaborate.nets import elaborate
from archdsl.elaborate.operators import MODULE_NAMES
from archdsl.project import Project
from archdsl.run.weights import WeightsError, rules

HEAD = "net n:\n    input image: [N, 3, H=8, W=8]\n"
MARK = "OWNED"  # what an attack would define, import or call

TEXTS = {
    "three quotes around a hidden character": '""\u200b"\nimport OWNED\n""\u200b"',
    "three quotes around a mark of direction": '""\u202e"; OWNED(); ""\u202e"',
    "three quotes around a line separator": '""\u2028"\nOWNED()\n',
    "a quote at the end": 'text"',
    "two quotes at the end": 'text""',
    "a backslash at the end": "text\\",
    "backslashes at the end": "text\\\\\\",
    "a backslash and a quote": '\\"',
    "backslashes that a line breaks": "\\" * 300,
    "an escape that a line breaks": "".join("x" * n + "\\xZZ\\N{no} " for n in range(60, 110)),
    "quotes that a line breaks": "'" * 95 + '""' + " " + '"' * 2 + "'" * 95,
    "single quotes": "''' + OWNED() + '''",
    "a template": "{{ OWNED() }}{% raw %}{# OWNED #}",
    "the template's own mark": "@imports@\nimport OWNED",
    "an escape of Python": "\\x22\\x22\\x22\\nOWNED()",
    "carriage returns": "a\rimport OWNED\rb",
    "next line": "a\x85import OWNED",
    "line and paragraph separators": "a\u2028import OWNED\u2029import OWNED",
    "a comment": "text  # type: ignore\n# OWNED()",
    "a format": "{OWNED!r} %s %(OWNED)s",
    "a null byte's picture": "\u2400 \ufeff \U000e0041 \ufff9",
    "a lone combining mark": "\u0301\u0301" * 200,
}


def shape_of(code: str) -> list[str]:
    """Return what generated code does: its nodes, names, attributes, calls and imports, its texts left out."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append(ast.unparse(node))
        elif isinstance(node, (ast.Name, ast.Attribute, ast.arg)):
            found.append(
                f"{type(node).__name__} {getattr(node, 'id', getattr(node, 'attr', getattr(node, 'arg', '')))}"
            )
        elif not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            found.append(type(node).__name__)
    return sorted(found)


def documented(text: str) -> str:
    return (
        f'"""{text} """\nblock b(c):\n    """{text} """\n    conv(c, 3) -> bn -> drop_path(0.1)\n'
        f'net n(classes=10):\n    """{text} """\n    input image: [N, 3, H=8, W=8]\n    # {text.splitlines()[0]}\n'
        "    a: b(4) -> c: b(8) -> global_avgpool -> flatten -> linear(classes)\n    output r = x\n    output q = x -> relu\n"
    )


@pytest.mark.parametrize("kind", TEXTS)
def test_a_docstring_changes_nothing_but_docstrings(kind):
    code = emit(compile_text(documented(TEXTS[kind])).network, inference=True).text
    assert shape_of(code) == shape_of(emit(compile_text(documented("harmless")).network, inference=True).text)
    archdsl.loads(documented(TEXTS[kind]))


FILES = ["a\nimport OWNED", "x'''", 'q"""', "back\\slash", "end\\", "# OWNED", "a\rb", "a\u2028b", "\u202eb", "a b", "{{ OWNED }}", "../up", "é", "\udcff"]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_name_changes_nothing(name):
    text = documented("harmless")
    codes = [emit(elaborate(Project().text(text, other), "n")).text for other in (name, "harmless")]
    assert shape_of(codes[0]) == shape_of(codes[1])
    assert "\\udcff" not in codes[0] and codes[0].isascii() or "é" in name


@pytest.mark.parametrize("name", ["a\nimport OWNED", "x'''", 'q"""', "end\\", "# OWNED", "\udcff\x1b[31m", "a b%20?#c"])
def test_a_file_of_any_name_is_checked_compiled_and_loaded(name, tmp_path, capsys):
    path = str(tmp_path / f"{name}.arch")
    with open(path, "w") as file:
        file.write(documented("harmless"))
    assert main(["compile", path, "-o", str(tmp_path / "out.py")]) == 0
    capsys.readouterr()
    assert MARK not in ast.unparse(ast.parse((tmp_path / "out.py").read_text()).body[1])
    archdsl.load(path)(torch.zeros(2, 3, 8, 8))
    with open(path, "a") as file:
        file.write("    rely\n")
    for form in ("text", "short", "json", "sarif"):
        assert main(["check", "--format", form, path]) == 1
        out = "".join(capsys.readouterr())
        assert form not in ("json", "sarif") or json.loads(out)
        assert all(c.isprintable() or c == "\n" for c in out)


# -------------------------------------------------------------------------------------------------- names
NAMES = sorted(
    {*WORDS, "x", "y", "t1", "in_channels", "out", "kernel_size", "Tensor", "DropPath", "NOutput", "N", "B", "count", "index"}
    | {"forward", "training", "state", "weight", "inference", "annotations", "len", "int", "print", "type", "object", "cat_"}
    | {"_fields", "__init__", "__dict__", "class", "lambda", "torch_", "add_module", "modules"}
)  # fmt: skip
PLACES = {
    "parameter of the net": "net n({w}=4):\n    input image: [N, 3, H=8, W=8]\n    a: conv({w}, 3) -> conv({w} + 1, 3) -> drop_path(0.1)\n",
    "parameter of a block": "block b({w}):\n    conv({w}, 3) -> bn -> l: conv(2 * {w}, 3)\n    for j in range(4):\n        q{{j}}: conv(2 * {w}, 3)\n    add(identity, conv(2 * {w}, 3) -> relu)\n" + HEAD + "    b(4) -> b(5)\n",
    "parameter of a function": "block b({w}):\n    add(identity, scale({w})) -> {w}_: conv(3, 3) -> {w}2: scale({w})\n" + HEAD + "    b(0.5) -> b(0.25)\n",
    "binding": "block b(c):\n    {w} = 2 * c\n    conv({w}, 3) -> bn -> l: conv({w} + c, 3)\n    for j in range(4):\n        q{{j}}: conv({w} + c, 3)\n" + HEAD + "    b(4) -> b(5)\n",
    "block": "block {w}(c):\n    conv(c, 3) -> bn\n    add(identity, conv(c, 3))\n" + HEAD + "    {w}(4) -> {w}(5)\n",
    "net": "net {w}:\n    input image: [N, 3, H=8, W=8]\n    conv(4, 3) -> drop_path(0.1)\n    add(identity, conv(4, 3))\n",
    "label": HEAD + "    {w}: conv(4, 3) -> relu\n    {w}2: [conv(4, 3), bn]\n    add(identity, conv(4, 3))\n",
    "body": HEAD + "    {w}:\n        add(identity, conv(3, 3))\n    cat(identity, conv(4, 3))\n",
    "input": "net n:\n    input {w}: [N, 3, H=8, W=8]\n    input other: [N, 3, H, W]\n    cat({w}, other) -> relu -> conv(4, 3) -> gelu\n    cat(identity, other)\n",
    "output": HEAD + "    for j in range(3):\n        q{{j}}: conv(4, 3)\n    output {w} = x -> relu\n    for j in range(3):\n        r{{j}}: conv(4, 3)\n    cat(identity, conv(4, 3))\n    output other = x\n    output third = x -> gelu when training\n",
    "output of a block": "block b:\n    conv(4, 3)\n    output {w} = x -> relu\n    cat(identity, conv(4, 3))\n    output other = x\n" + HEAD + "    r = x -> b\n    cat(r.{w}, r.other)\n",
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_name_is_refused_or_means_what_it_says(place):
    """Names that generated code, `nn.Module` or Python use: the network has the same weights and runs."""
    plain = {k: v.shape for k, v in archdsl.loads(PLACES[place].format(w="plain")).state_dict().items()}
    refused = set()
    for name in NAMES:
        try:
            model = archdsl.loads(PLACES[place].format(w=name))
        except CompileError:
            refused.add(name)
            continue
        images = [torch.zeros(2, 3, 8, 8)] * (2 if place == "input" else 1)
        for mode in (model.train(), model.eval()):
            mode(*images)
        made = {k: v.shape for k, v in model.state_dict().items()}
        assert made == plain or place in ("label", "body", "block", "parameter of a function"), name
        assert list(made.values()) == list(plain.values()), name
    unspeakable = {name for name in NAMES if keyword.iskeyword(name) or name in MODULE_NAMES or name.startswith("_")}
    assert refused <= unspeakable | {"x", "N", "range", "self"}, (
        refused - unspeakable
    )  # words of the language or of the file itself


@pytest.mark.parametrize("name", ["ｓelf", "ſelf", "ᵢ", "ﬁ", "а", "x\u0301", "x\u200b", "𝐱"])
def test_names_are_ascii(name):
    """Python reads some letters as others (NFKC); no name of the language has any of them."""
    for text in (
        f"{HEAD}    {name}: conv(4, 3)\n",
        f"block {name}:\n    relu\n{HEAD}    relu\n",
        f'{HEAD}    l{{"{name}"}}: relu\n',
    ):
        with pytest.raises(CompileError) as caught:
            compile_text(text)
        assert caught.value.diagnostic.code in ("E0101", "E0107", "E0224")


@pytest.mark.parametrize("value", ['__import__("os")', "open('/etc/passwd')", "(lambda: 1)()", "x.__class__", '"{OWNED}"', "1 if OWNED else 2", "\n", "#", '"a\nb"', "self", "[" * 5000, "9" * 5000])  # fmt: skip
def test_a_setting_is_an_expression_of_the_language(value, tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text('net n(c=4, text="a"):\n    input image: [N, 3, H=8, W=8]\n    conv(c, 3)\n')
    assert main(["check", "--set", f"c={value}", str(path)]) in (1, 2)  # what is wrong with it, or with its use
    assert main(["check", "--set", f"{value}=4", str(path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- what is shown
HIDDEN = {
    "escape": "\x1b[2J\x1b]0;OWNED\x07", "backspace": "good\b\b\b\bevil", "carriage return": "good\revil",
    "C1": "\x9b31m", "direction": "\u202eevil\u2066", "zero width": "go\u200bod\ufeff\u2060", "tag": "\U000e0041",
}  # fmt: skip


@pytest.mark.parametrize("kind", HIDDEN)
def test_a_message_shows_control_characters_and_does_not_send_them(kind, tmp_path, capsys):
    text, path = HIDDEN[kind], tmp_path / "n.arch"
    wrong = [
        f'{HEAD}    require false, "{text}"\n',
        f'{HEAD}    gelu(approximate="{text}")  # {text}\n',
        f'block b(s="a"):\n    rely\n{HEAD}    b("{text}")\n',
        f'{HEAD}    {text}\n',
        f'{HEAD}    conw(3, 3)  # {text}\n',
        f'{HEAD}    a = "{text}"\n    a\n',
        f'{HEAD}    conv(3, 3)\n    b{{"{text}"}}: relu\n',
    ]  # fmt: skip
    for one in wrong:
        path.write_text(one, newline="")
        for form in ("text", "short", "json", "sarif"):
            assert main(["check", "--format", form, str(path)]) == 1
            out = "".join(capsys.readouterr())
            assert all(c.isprintable() or c == "\n" for c in out), (one, form)
            assert form in ("text", "short") or json.loads(out)


def test_a_table_shows_control_characters_too(tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_text(f'block b(s="a"):\n    add(identity, conv(3, 3))\n{HEAD}    b("\x1b[31m\u202e")\n')
    for command in (["check", "--shapes"], ["check"], ["cost"], ["cost", "--memory"]):
        assert main([*command, str(path)]) == 0
        assert all(c.isprintable() or c == "\n" for c in "".join(capsys.readouterr()))


def test_carets_stand_under_wide_and_combining_characters():
    with pytest.raises(CompileError) as caught:
        compile_text(HEAD + '    require 0 in ["漢字e\u0301", rely], ""\n')
    line, caret = render.text(caught.value.diagnostic).split("\n")[3:5]
    assert line.index("rely") + 2 - 1 == caret.index("^")  # two characters are wide, one takes no column


# -------------------------------------------------------------------------------------------------- imports
NET = "from {name} import secret\nnet n:\n    input image: [N, 3, H=8, W=8]\n    secret\n"
SECRET = "block secret:\n    conv(4, 3)\n"


@pytest.fixture
def folders(tmp_path):
    """A folder with a file, beside one that it may not read."""
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "secret.arch").write_text(SECRET)
    return tmp_path


def imported(folder, name: str = "secret") -> str:
    """Return the code of what importing a name ends with, or nothing where it is read."""
    (folder / "mine" / "n.arch").write_text(NET.format(name=name))
    try:
        file = Project().open(str(folder / "mine" / "n.arch"))
        elaborate(file, nets_of(file)[0])
    except CompileError as mistake:
        return mistake.diagnostic.code
    return ""


@pytest.mark.parametrize("name", ["../other/secret", "..other", "/etc/passwd", '"secret"', "other.secret", "other/secret", "secret.arch", "ｓecret"])  # fmt: skip
def test_an_import_is_a_plain_name(folders, name):
    assert imported(folders, name) in ("E0101", "E0107")


def test_links_that_lead_out_of_the_folder_are_not_followed(folders):
    os.symlink(folders / "other" / "secret.arch", folders / "mine" / "secret.arch")
    assert imported(folders) == "E0216"
    os.unlink(folders / "mine" / "secret.arch")
    os.symlink(folders / "other", folders / "mine" / "sub")
    os.symlink("sub/secret.arch", folders / "mine" / "secret.arch")
    assert imported(folders) == "E0216"


def test_links_within_the_folder_and_to_the_folder_are(folders):
    (folders / "mine" / "real.arch").write_text(SECRET)
    os.symlink("real.arch", folders / "mine" / "secret.arch")
    assert imported(folders) == ""
    os.symlink(folders / "mine", folders / "link")
    file = Project().open(str(folders / "link" / "n.arch"))
    assert "secret" in file.imports


def test_a_link_to_itself_a_folder_a_pipe_and_a_device_are_no_files(folders):
    secret = folders / "mine" / "secret.arch"
    for make in (
        lambda: os.symlink("secret.arch", secret),
        lambda: secret.mkdir(),
        lambda: os.mkfifo(secret),
        lambda: os.symlink("/dev/zero", secret),
        lambda: os.symlink("/proc/self/environ", secret),
        lambda: os.symlink("/proc/self/fd/0", secret),
    ):
        make()
        assert imported(folders) == "E0216"
        secret.rmdir() if secret.is_dir() and not secret.is_symlink() else secret.unlink()


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "/proc/self/mem", "fifo.arch", "folder.arch", "loop.arch"])
def test_what_is_no_file_is_refused_at_once(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo.arch")
    os.mkdir("folder.arch")
    os.symlink("loop.arch", "loop.arch")
    assert main(["check", name]) == 2
    assert "E0108" in capsys.readouterr().err


def test_long_names_and_names_that_differ_in_case(folders):
    assert imported(folders, "a" * 300) == "E0216"
    (folders / "mine" / "Secret.arch").write_text(SECRET)
    if not (folders / "mine" / "secret.arch").exists():  # a file system that knows the difference
        assert imported(folders) == "E0216"
        assert imported(folders, "Secret") == ""


def test_a_file_is_read_once(folders, monkeypatch):
    """Two imports of one file see the same text, also where it changes between them."""
    (folders / "mine" / "secret.arch").write_text(SECRET)
    (folders / "mine" / "between.arch").write_text("from secret import secret\nblock other:\n    secret\n")
    (folders / "mine" / "n.arch").write_text(
        f"from secret import secret\nfrom between import other\n{HEAD}    secret -> other\n"
    )
    seen = []
    read = project.read

    def changing(path):
        seen.append(os.path.basename(path))
        source = read(path)
        if path.endswith("secret.arch"):
            (folders / "mine" / "secret.arch").write_text("block secret:\n    conv(99, 3)\n")
        return source

    monkeypatch.setattr(project, "read", changing)
    file = Project().open(str(folders / "mine" / "n.arch"))
    assert elaborate(file, "n").scope.output_shapes[0][1] == 4
    assert sorted(seen) == ["between.arch", "n.arch", "secret.arch"]


def test_nothing_else_is_opened_or_run(folders):
    """Checking, compiling and drawing open the files that were named, and start nothing: an audit hook listens."""
    (folders / "mine" / "secret.arch").write_text(SECRET)
    (folders / "mine" / "n.arch").write_text(NET.format(name="secret"))
    code = (
        "import sys\nfrom archdsl.cli.main import main\n"
        "main(['check', 'resnet18']); main(['compile', '-o', '-', 'lenet5'])\n"  # what is imported late
        "seen = []\n"
        "def name(what): return getattr(what, 'co_filename', what)\n"
        "sys.addaudithook(lambda event, args: seen.append((event, str(name(args[0])) if args else '')))\n"
        "main(['check', '--shapes', 'n.arch']); main(['compile', '-o', '-', 'n.arch'])\n"
        # The template of emit, and what is replayed: on stand-ins, without a name of Python that opens anything.
        "events = {event for event, name in seen if not name.endswith('module.py.j2') and name != '<replayed>'}\n"
        "bad = events & {'exec', 'os.system', 'subprocess.Popen', 'socket.connect', 'os.exec', 'os.fork', 'shutil.rmtree',"
        " 'os.remove', 'os.rename', 'os.mkdir', 'ctypes.dlopen', 'pickle.find_class'}\n"
        "opened = sorted({name for event, name in seen if event == 'open'})\n"
        "print('AUDIT', sorted(bad), opened)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folders / "mine", capture_output=True, text=True)
    audit = next(line for line in done.stdout.splitlines() if line.startswith("AUDIT"))
    opened = ast.literal_eval(audit.split("] ", 1)[1])
    assert audit.startswith("AUDIT [] ")
    mine = [name for name in opened if "n.arch" in name or "secret.arch" in name]
    others = [name for name in opened if name not in mine]
    assert len(mine) == 2 and all(
        os.path.realpath(name).startswith(os.path.realpath(sys.prefix)) or ".py" in name or "templates" in name
        for name in others
    ), others


# -------------------------------------------------------------------------------------------------- what is written
def test_fix_and_compile_replace_a_link_and_not_what_it_leads_to(tmp_path, capsys):
    target, link = tmp_path / "target.arch", tmp_path / "link.arch"
    target.write_text(f"{HEAD}    conv(3, 3, bias=False)\n")
    link.symlink_to(target)
    assert main(["check", "--fix", str(link)]) == 0
    assert "False" in target.read_text() and not link.is_symlink() and "false" in link.read_text()
    out = tmp_path / "out.py"
    out.symlink_to(target)
    assert main(["compile", str(link), "-o", str(out)]) == 2
    assert main(["compile", str(link), "--force", "-o", str(out)]) == 0
    assert "False" in target.read_text() and not out.is_symlink()
    capsys.readouterr()


def test_fix_keeps_permissions_and_line_ends(tmp_path, capsys):
    path = tmp_path / "n.arch"
    path.write_bytes(f"{HEAD}    conv(3, 3, bias=False)\n".replace("\n", "\r\n").encode())
    path.chmod(0o640)
    assert main(["check", "--fix", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_bytes() == f"{HEAD}    conv(3, 3, bias=false)\n".replace("\n", "\r\n").encode()
    assert os.listdir(tmp_path) == ["n.arch"]
    capsys.readouterr()


def test_what_is_written_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "n.arch"
    path.write_text("before")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(CompileError, match="No space left"):
        project.write(str(path), "after")
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["n.arch"]


def test_a_device_or_pipe_is_written_to_and_stays(tmp_path, capsys):
    assert main(["compile", "lenet5", "-o", "/dev/null"]) == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    assert main(["compile", "lenet5", "-o", str(pipe)]) == 0
    reader.join(10)
    assert found and found[0].startswith('"""') and stat.S_ISFIFO(os.stat(pipe).st_mode)
    capsys.readouterr()


def test_fix_touches_only_the_file_that_was_named(tmp_path, capsys):
    (tmp_path / "part.arch").write_text("block part:\n    conw(3, 3)\n")
    (tmp_path / "n.arch").write_text(f"from part import part\n{HEAD}    part\n")
    assert main(["check", "--fix", str(tmp_path / "n.arch")]) == 1
    assert "conw" in (tmp_path / "part.arch").read_text()
    before = {name: os.stat(project.path_of(name)).st_mtime_ns for name in project.bundled()}
    (tmp_path / "m.arch").write_text("from resnet50 import bottleneck\n" + HEAD + "    bottlenek(4)\n")
    main(["check", "--fix", str(tmp_path / "m.arch"), "resnet50"])
    assert before == {name: os.stat(project.path_of(name)).st_mtime_ns for name in project.bundled()}
    capsys.readouterr()


# -------------------------------------------------------------------------------------------------- weights
class Evil:
    def __reduce__(self):
        return builtins.exec, ("import builtins; builtins.OWNED = True",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_weights_runs_nothing(legacy, tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"fc.weight": torch.zeros(1), "evil": Evil()}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="to read it would run its code"):
        archdsl.load("lenet5", weights=path)
    (tmp_path / "evil2.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match="to read it would run its code|cannot be read as weights"):
        archdsl.load("lenet5", weights=tmp_path / "evil2.pth")
    assert not hasattr(builtins, MARK)


@pytest.mark.parametrize(
    "text",
    ["no section = 1\n", "[a]\n{1} = x\n", "[a]\nx{i} = y{j}\n", "[a\n", "[a]\n" + "x" * 100 + "\n", b"\xff\xfe[a]", "[a]\nx = {__class__}\n"],
)  # fmt: skip
def test_a_file_of_rules_that_is_none_is_said_so(text, tmp_path):
    path = tmp_path / "n.keys"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WeightsError, match="n.keys|rule"):
        rules(str(tmp_path / "n.arch"))


def test_rules_are_data(tmp_path):
    (tmp_path / "n.keys").write_text("[lib]\n.* = y\nx(a|b)+{i} = \\1{i+1}%(OWNED)s\n")
    (plain, signs) = rules(str(tmp_path / "n.arch"))["lib"]
    assert plain("anything.else") == "anything.else" and plain("a..*") == "a.y"
    assert signs("x(a|b)+7") == "\\18%(OWNED)s"
