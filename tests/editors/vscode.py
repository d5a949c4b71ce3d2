"""VS Code with the extension in it, as a user has both: npm has its server, and the machine's browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from editors.vscode.bundle import bundle
from tests.drawing.browser import opened

EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"
SERVER = "code-server@4.100.3"  # VS Code 1.100, for browsers
PATIENCE = 60_000  # ms until it has started, on a machine with much else to do

LINES = """() => [...document.querySelectorAll('.editor-instance .view-line')]
    .sort((one, other) => parseInt(one.style.top) - parseInt(other.style.top)).map(one => one.textContent)"""


def fetched(folder: Path, *packages: str) -> Path:
    """Return the folder of modules with some packages in it; skips the test where npm cannot fetch them.

    Nothing of them is run: what `vsce` would download to sign a package, and what VS Code would compile for its
    terminal, is of no use here.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no npm")
    quickly = ["--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=0", "--ignore-scripts"]
    command = [npm, "install", *quickly, "--prefix", str(folder), *packages]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=240, cwd=folder)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("npm cannot fetch what this test needs")
    return folder / "node_modules"


def built(folder: Path) -> Path:
    """Return the package of the extension, built in a folder as `make extension` does."""
    shutil.copytree(EXTENSION, folder, ignore=shutil.ignore_patterns("node_modules", "server", "*.vsix"))
    fetched(folder)
    bundle(folder / "server")
    subprocess.run(["npm", "run", "package"], check=True, capture_output=True, timeout=240, cwd=folder)
    (package,) = folder.glob("*.vsix")
    return package


class Code:
    """VS Code on a folder, with a file of it in front."""

    def __init__(self, page, folder: Path) -> None:
        self.page, self.folder = page, folder

    def open(self, name: str) -> None:
        self.page.locator(f".explorer-folders-view .monaco-list-row[aria-label^='{name}']").dblclick()
        self.page.wait_for_selector(f".tab.active[aria-label*='{name}']")
        self.page.wait_for_selector(".view-line")

    def lines(self) -> list[str]:
        """Return the lines of the file as they are shown, shapes included."""
        return [re.sub(r"\s", " ", line) for line in self.page.evaluate(LINES)]

    def shows(self, line: str) -> None:
        self.until(lambda: line in self.lines())

    def until(self, holds) -> None:
        """Wait until something holds."""
        end = time.monotonic() + 15
        while not holds():
            assert time.monotonic() < end, "\n".join(self.lines())
            self.page.wait_for_timeout(100)

    def at(self, line: int, column: int) -> None:
        """Put the cursor somewhere; lines and columns count from 1."""
        self.press("Control+g")
        self.page.wait_for_selector(".quick-input-widget input:focus")
        self.page.keyboard.type(f":{line}:{column}")
        self.press("Enter")
        self.where(line, column)

    def where(self, line: int, column: int) -> None:
        self.page.wait_for_selector(f"[id='status.editor.selection']:has-text('Ln {line}, Col {column}')")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def command(self, words: str) -> None:
        self.press("F1")
        self.page.wait_for_selector(".quick-input-widget input:focus")
        self.page.keyboard.type(words)
        self.page.wait_for_selector(f".quick-input-list .monaco-list-row.focused:has-text('{words}')")
        self.press("Enter")

    def saved(self, name: str, text: str) -> None:
        """Wait until a file has a text on the disk; save it meanwhile."""
        self.command("File: Save All")
        self.until(lambda: (self.folder / name).read_text() == text)


@contextmanager
def running(package: Path, project: Path, folder: Path) -> Iterator[Code]:
    """Yield VS Code on a project, with a package installed; there is no other `archdsl` on its path."""
    folder.mkdir()
    code = fetched(folder, SERVER) / "code-server" / "lib" / "vscode"
    fetched(code)
    command = ["node", "out/server-main.js", "--accept-server-license-terms", f"--server-data-dir={folder / 'data'}"]
    env = {"PATH": _path(folder / "bin"), "HOME": str(folder)}
    subprocess.run(
        [*command, f"--install-extension={package}"], cwd=code, env=env, check=True, capture_output=True, timeout=60
    )
    started = [*command, "--port=0", "--without-connection-token", "--disable-workspace-trust"]
    log = (folder / "log").open("w")
    with subprocess.Popen(started, cwd=code, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as server, log:
        try:
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            with opened() as page:
                page.context.set_offline(False)
                page.set_default_timeout(PATIENCE / 4)
                page.goto(f"{address}/?folder={project}")
                page.wait_for_selector(".explorer-folders-view .monaco-list-row", timeout=PATIENCE)
                yield Code(page, project)
        finally:
            server.terminate()


def _path(folder: Path) -> str:
    """Return a folder with the programs that the extension and its editor take, and no others."""
    folder.mkdir()
    (folder / "node").symlink_to(shutil.which("node") or "node")
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    return str(folder)
