"""The package is whole wherever it lies: in a bare checkout, in a wheel, and installed from a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import archdsl

ROOT = Path(__file__).parents[2]
FOLDERS = ("archdsl", "grammars", "architectures", "kernels")
CODE = """
import archdsl, archdsl.grammars, archdsl.architectures, archdsl.kernels
from archdsl.report.gallery import entries
(known,) = [entry.params for entry in entries() if entry.name == "lenet5"]
print(archdsl.__file__, archdsl.kernels.__file__, archdsl.check("lenet5").params, known)
"""


def imported(folder: Path) -> list[str]:
    """Import the package from a folder, which comes before what is installed; return where it was and what it knows."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """What a clone has, and nothing that an installation leaves in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_a_bare_checkout(checkout):
    package, kernels, *parameters = imported(checkout)
    assert package == str(checkout / "archdsl" / "__init__.py")
    assert kernels == str(checkout / "kernels" / "__init__.py")
    assert parameters == [str(archdsl.check("lenet5").params)] * 2


def test_a_wheel(checkout, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        checkout,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    package, kernels, *parameters = imported(tmp_path / "site")
    assert package == str(tmp_path / "site" / "archdsl" / "__init__.py")
    assert kernels == str(tmp_path / "site" / "archdsl" / "kernels" / "__init__.py")
    assert parameters == [str(archdsl.check("lenet5").params)] * 2


def test_an_editable_installation():
    """The one that these tests run in."""
    import archdsl.kernels

    assert Path(archdsl.kernels.__file__).parent.name == "kernels"
    assert archdsl.check("lenet5").as_json()["parameters"] > 0
