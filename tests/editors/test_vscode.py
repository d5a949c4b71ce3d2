"""The extension for VS Code: its grammar is current, splits texts as the compiler does, and its package can be built.

What npm brings is fetched for these tests; where that cannot be, they are skipped, all but the first two.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from archdsl.report.textmate import PATH, text
from archdsl.server.features import CHOOSE, NETS
from tests.editors.spelled import spelled
from tests.editors.vscode import EXTENSION, built, fetched
from tests.syntax.test_printer import GALLERY, stem

ROOT = Path(__file__).parents[2]
KINDS = {
    "comment": "comment",
    "string": "string",
    "constant.numeric": "number",
    "keyword.operator": "operator",
    "keyword": "keyword",
    "constant.language": "keyword",
    "punctuation": "punctuation",
    "support.function": "name",
    "entity.name": "name",
    "variable": "name",
}


def test_the_grammar_is_current():
    assert ROOT.joinpath(*PATH).read_text(encoding="utf-8") == text(), "run `make editors`"


def test_the_extension_speaks_with_the_server_as_it_is():
    package = json.loads((EXTENSION / "package.json").read_text())
    code = (EXTENSION / "extension.js").read_text()
    for command in package["contributes"]["commands"]:
        assert f'"{command["command"]}"' in code
        assert command["command"] not in (CHOOSE, NETS)  # those the client registers by itself
    assert CHOOSE in code and NETS in code
    grammar = package["contributes"]["grammars"][0]["path"]
    assert (EXTENSION / grammar).resolve() == ROOT.joinpath(*PATH)
    assert (EXTENSION / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Return the words of each file of the gallery as VS Code's own engine splits them, by name."""
    modules = fetched(tmp_path_factory.mktemp("npm"), "vscode-textmate@9", "vscode-oniguruma@2")
    script = Path(__file__).with_name("tokenize.js")
    command = ["node", str(script), str(modules), str(ROOT.joinpath(*PATH)), *map(str, GALLERY)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return dict(zip(GALLERY, map(words, json.loads(said))))


def words(lines: list[list[tuple[str, list[str]]]]) -> list[tuple[str, str]]:
    """Return the words of a text with what they are; what is one comment or string is one word."""
    found: list[tuple[str, str]] = []
    inside = ""
    for line in lines:
        for part, scopes in line:
            kind = next((k for scope in scopes[:0:-1] for name, k in KINDS.items() if scope.startswith(name)), "")
            if kind == "string" and (inside == "string" or part == '"""'):
                continued = inside == "string" and found[-1][1].startswith('"""')
                found = [*found[:-1], (kind, found[-1][1] + part)] if continued else [*found, (kind, part)]
                closed = found[-1][1].startswith('"""') and found[-1][1].endswith('"""') and len(found[-1][1]) > 5
                inside = "" if closed else kind
            elif part.strip():
                found.append((kind, part))
        if inside == "string":
            found[-1] = ("string", found[-1][1] + "\n")
    return found


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_the_gallery_is_split_as_the_compiler_does(path, split):
    wanted = [("name" if kind == "builtin" else kind, word) for kind, word in spelled(path.read_text(encoding="utf-8"))]
    assert [(kind, word.rstrip()) for kind, word in split[path]] == wanted


def starts(folder: Path, setting: list[str], programs: Path) -> list:
    """Return what the extension in a folder starts: the program, its arguments, and where Python looks first."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    command = [node, str(Path(__file__).with_name("starts.js")), str(EXTENSION / "extension.js"), str(folder)]
    env = {"PATH": str(programs)}
    return json.loads(subprocess.run([*command, json.dumps(setting)], env=env, check=True, capture_output=True).stdout)


def test_the_server_is_the_one_that_is_set_or_on_the_path_or_the_extensions_own(tmp_path):
    programs = tmp_path / "bin"
    (tmp_path / "server").mkdir()
    programs.mkdir()
    (programs / "python3").touch()
    own = ["python3", ["-m", "archdsl", "server"], str(tmp_path / "server")]
    assert starts(tmp_path, [], programs) == own
    (programs / "archdsl").touch()
    assert starts(tmp_path, [], programs) == ["archdsl", ["server"], ""]
    assert starts(tmp_path, [".venv/bin/archdsl", "server"], programs)[:2] == ["/project/.venv/bin/archdsl", ["server"]]


def say(server: subprocess.Popen, method: str, params: dict, **others: int) -> None:
    said = json.dumps({"jsonrpc": "2.0", "method": method, "params": params} | others).encode()
    server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(said), said))
    server.stdin.flush()


def heard(server: subprocess.Popen) -> dict:
    length = 0
    while (line := server.stdout.readline().strip()) or not length:
        length = int(line.split(b":")[1]) if line.startswith(b"Content-Length") else length
    return json.loads(server.stdout.read(length))


@pytest.mark.slow
def test_the_package_is_built_with_a_server_that_runs(tmp_path):
    """As a user would: its dependencies are fetched, `vsce` packs it, and Python without packages runs its server."""
    with zipfile.ZipFile(built(tmp_path / "vscode")) as file:
        file.extractall(tmp_path / "unpacked")
    env = {"PYTHONPATH": str(tmp_path / "unpacked" / "extension" / "server")}
    command = [sys.executable, "-S", "-m", "archdsl", "server"]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as server:
        say(server, "initialize", {"processId": None, "rootUri": None, "capabilities": {}}, id=1)
        assert heard(server)["result"]["serverInfo"]["name"] == "archdsl"
        text = {"uri": "file:///mine.arch", "languageId": "arch", "version": 1, "text": "net mine:\n    relou\n"}
        say(server, "initialized", {})
        say(server, "textDocument/didOpen", {"textDocument": text})
        assert "unknown name `relou`" in str(heard(server))
        server.kill()
