"""The extension for VS Code: its grammar is current, splits texts as the compiler does, and its package can be built.

What npm brings is fetched for these tests; where that cannot be, they are skipped, all but the first two.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from archdsl.report.textmate import PATH, text
from archdsl.server.features import CHOOSE, NETS
from tests.editors.spelled import spelled
from tests.syntax.test_printer import GALLERY, stem

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "editors" / "vscode"
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


def fetched(folder: Path, *packages: str) -> Path:
    """Return the folder of modules with some packages in it; skips the test where npm cannot fetch them."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no npm")
    quickly = ["--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0"]
    command = [npm, "install", *quickly, "--prefix", str(folder), *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=240, cwd=folder)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("npm cannot fetch what this test needs")
    return folder / "node_modules"


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


@pytest.mark.slow
def test_the_package_is_built(tmp_path):
    """As a user would: its dependencies are fetched, and `vsce` packs it."""
    folder = tmp_path / "vscode"
    shutil.copytree(EXTENSION, folder, ignore=shutil.ignore_patterns("node_modules", "*.vsix"))
    fetched(folder)
    subprocess.run(["npm", "run", "package"], check=True, capture_output=True, timeout=240, cwd=folder)
    (package,) = folder.glob("*.vsix")
    assert package.stat().st_size > 50_000
