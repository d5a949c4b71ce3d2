"""Puts the language server into a folder, with all that it takes but Python: what the extension for VS Code brings.

    python -m editors.vscode.bundle editors/vscode/server

`PYTHONPATH=editors/vscode/server python -m archdsl server` runs it, on any system.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from editors import wheels

# What pygls requires, `exceptiongroup` for Python 3.10.
SERVER = ("pygls>=2", "lsprotocol", "cattrs", "attrs", "typing_extensions", "exceptiongroup")


def bundle(folder: Path) -> None:
    """Install the wheels into a folder of their own, whose packages nothing else shares."""
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--no-index", "--target"]
    with TemporaryDirectory() as made:
        wheels.make(Path(made), *SERVER)
        found = [str(path) for path in sorted(Path(made).iterdir())]
        subprocess.run([*pip, str(folder), *found], check=True)
    shutil.rmtree(folder / "bin", ignore_errors=True)  # programs that name this machine's Python


if __name__ == "__main__":
    bundle(Path(sys.argv[1]))
