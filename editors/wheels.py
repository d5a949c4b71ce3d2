"""Wheels of this project and of what it requires, of Python alone: what a browser and an extension can bring along."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PACKAGE = ("archdsl", "grammars", "architectures", "kernels", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
REQUIRED = ("jinja2", "markupsafe")  # what the wheel requires


def make(folder: Path, *others: str) -> None:
    """Put the wheel of this project into a folder, those that it requires, and others by name."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    with TemporaryDirectory() as copy:
        for name in PACKAGE:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, Path(copy, name), ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy)
        subprocess.run([*pip, copy], check=True)
    # MarkupSafe is C where there is a compiler, and Python where there is none.
    subprocess.run(
        [*pip, "--no-binary", "markupsafe", *REQUIRED, *others], check=True, env=os.environ | {"CC": "false"}
    )
