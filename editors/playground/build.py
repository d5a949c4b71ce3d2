"""Builds the playground: a folder of static files that runs the compiler in a browser, and asks nobody else.

    python -m editors.playground.build build/playground

What it needs is fetched here and now, by pip and npm, by name: Pyodide, the editor and the wheels. Any server of files
can serve the folder; `python -m http.server -d build/playground` does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from archdsl import project
from archdsl.compiler import bundled_nets
from archdsl.elaborate.expressions import WORDS
from archdsl.report.gallery import entries
from archdsl.server import words
from archdsl.syntax.vocabulary import DEFINING, HARD, SETTING, STATEMENTS
from editors import wheels

HERE = Path(__file__).parent
CONTENTS = "contents.json"
PAGES = ("index.html", "playground.css")
RUNTIME = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
# What is inside Pyodide's files, whose packages bring no texts of their licences.
INSIDE = {
    "Pyodide": "MPL-2.0",
    "CPython and its standard library": "Python-2.0.1",
    "Emscripten, musl, libffi, expat": "MIT",
    "zlib": "Zlib",
    "bzip2": "bzip2-1.0.6",
}


def build(folder: Path, modules: Path | None = None) -> None:
    """Build the playground into a folder; `modules` are the packages of npm, else fetched beside this file."""
    folder, modules = folder.resolve(), modules or fetched(HERE)
    if folder.exists() and any(folder.iterdir()) and not (folder / CONTENTS).exists():
        sys.exit(f"{folder} holds something else, and is left as it is")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pyodide").mkdir(parents=True)
    for name in PAGES:
        shutil.copy(HERE / name, folder)
    for name in RUNTIME:
        shutil.copy(modules / "pyodide" / name, folder / "pyodide")
    wheels.make(folder / "wheels")
    inputs = bundled(folder, modules)
    (folder / CONTENTS).write_text(json.dumps(contents(folder)), encoding="utf-8")
    (folder / "licenses.txt").write_text(licenses(folder, modules, inputs), encoding="utf-8")


def fetched(folder: Path) -> Path:
    """Return the folder of the packages that `package.json` names, after npm has fetched them."""
    quietly = ["--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline", "--loglevel=error"]
    subprocess.run(["npm", "install", *quietly, "--prefix", str(folder)], check=True, cwd=folder)
    return folder / "node_modules"


def bundled(folder: Path, modules: Path) -> set[str]:
    """Bundle the scripts, and return the names of the packages that are in them."""
    report = folder / "meta.json"
    outside = ["--external:./pyodide/pyodide.mjs", f"--metafile={report}", f"--outdir={folder}"]
    scripts = [f"playground={HERE / 'main.js'}", f"worker={HERE / 'worker.js'}"]
    how = ["--bundle", "--format=esm", "--target=es2022", "--minify", "--log-level=warning"]
    command = [str(modules / ".bin" / "esbuild"), *scripts, *how, *outside]
    subprocess.run(command, check=True, cwd=HERE, env=os.environ | {"NODE_PATH": str(modules)})
    paths = json.loads(report.read_text(encoding="utf-8"))["inputs"]
    report.unlink()
    return {_package(path.rpartition("node_modules/")[2]) for path in paths if "node_modules/" in path}


def _package(path: str) -> str:
    parts = path.split("/")
    return "/".join(parts[: 2 if path.startswith("@") else 1])


def contents(folder: Path) -> dict[str, object]:
    """Return what the page reads first: the wheels, the gallery, the words of the language."""
    texts = {stem: project.read(project.path_of(stem)).text for stem in project.bundled()}
    homes = dict(bundled_nets())
    nets = [{"name": one.name, "file": homes[one.name], "title": f"{one.title} ({one.year})"} for one in entries()]
    names = sorted(f"wheels/{path.name}" for path in (folder / "wheels").iterdir())
    about = {word: words.of_word(word) or "" for word in sorted({*WORDS, *HARD, *DEFINING, *SETTING, *STATEMENTS, "x"})}
    return {"wheels": names, "nets": nets, "texts": texts, "words": about}


def licenses(folder: Path, modules: Path, packages: set[str]) -> str:
    """Return the notices of all that is in the folder."""
    found = {}
    for path in sorted((folder / "wheels").iterdir()):
        with zipfile.ZipFile(path) as wheel:
            texts = [name for name in wheel.namelist() if ".dist-info/licenses/" in name]
            found[path.name.partition("-")[0]] = "\n\n".join(wheel.read(name).decode() for name in sorted(texts))
    for name in sorted(packages):
        (text,) = (modules / name).glob("LICENSE*")
        found[name] = text.read_text(encoding="utf-8")
    for name, license in INSIDE.items():
        data = json.loads((modules / "spdx-license-list" / "licenses" / f"{license}.json").read_text(encoding="utf-8"))
        found[f"{name} ({license})"] = data["licenseText"]
    return "\n\n".join(f"{'-' * 100}\n{name}\n\n{text.strip()}" for name, text in found.items()) + "\n"


if __name__ == "__main__":
    build(*map(Path, sys.argv[1:]))
