"""A network in the file of its weights: what the metadata of a `.safetensors` file hold, written and read.

The text, and the texts that it imports, stand there whole, so that a gallery that has changed changes no saved network.
Beside them is what was asked of them: which net, its parameters, channels and outputs. Nothing of it is code.
"""

from __future__ import annotations

import os

from archdsl.core.record import Record
from archdsl.core.source import Source, Span
from archdsl.diagnostics import errors
from archdsl.project import Project, source_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from archdsl.elaborate.environment import File
    from archdsl.ops.base import Op

SUFFIX = ".safetensors"
KEY = "archdsl"  # in the metadata
VERSION = 1
MAX_HEADER = 32 << 20  # bytes: one of a network of 10,000 tensors has 1 MB


class Text(Record):
    """A file of the language: its name, what it says, and which of the texts each import means."""

    name: str
    text: str
    imports: dict[str, int]


class Saved(Record):
    """A network as it is saved: its texts, its own first, and the fields of the request for it."""

    texts: tuple[Text, ...]
    asked: dict[str, Any]

    def metadata(self) -> dict[str, str]:
        """Return it as metadata of a `.safetensors` file, which hold texts alone."""
        import json  # 5 ms, which a check does without

        texts = [{"name": one.name, "text": one.text, "imports": one.imports} for one in self.texts]
        return {KEY: json.dumps({"version": VERSION, "texts": texts, "asked": self.asked}), "format": "pt"}


def saved_form(file: File, asked: dict[str, Any]) -> Saved:
    """Return a network of a file for saving, together with what was asked for."""
    files: list[File] = []

    def place(one: File) -> int:
        if one not in files:
            files.append(one)
            for found, _ in one.imports.values():
                place(found)
        return files.index(one)

    place(file)
    texts = [
        Text(
            os.path.basename(one.source.name),
            one.source.text,
            {item.module: place(found) for found, item in one.imports.values()},
        )
        for one in files
    ]
    return Saved(tuple(texts), asked)


def opened(path: str, operators: Sequence[type[Op]] = ()) -> File:
    """Return the file of the network that a `.safetensors` file holds, linked; raises `CompileError`."""
    return linked(_read(path), path, operators)


def linked(saved: Saved, path: str = "<saved>", operators: Sequence[type[Op]] = ()) -> File:
    """Return the file of a saved network, and with it what was asked; raises `CompileError`."""
    archive = _Archive(path, saved.texts, operators)
    file = archive.link(archive.source(0))
    file.asked = saved.asked
    return file


def archive_of(file: File) -> str:
    """Return the path of the file that a text was saved in."""
    return os.path.dirname(file.source.path)


class _Archive(Project):
    """Files that lie in one: an import means the one that it meant when they were saved."""

    def __init__(self, path: str, texts: tuple[Text, ...], operators: Sequence[type[Op]]) -> None:
        super().__init__(operators)
        self.path, self.texts = path, texts

    def source(self, number: int) -> Source:
        text = self.texts[number]
        return source_of(text.name, text.text, f"{self.path}{os.sep}{number}")

    def beside(self, source: Source, module: str) -> str:
        number = self.texts[_number(source.path)].imports.get(module)
        return "" if number is None else f"{self.path}{os.sep}{number}"

    def read(self, path: str) -> Source:
        return self.source(_number(path))


def _number(path: str) -> int:
    return int(os.path.basename(path))


def _read(path: str) -> Saved:
    """Read what was saved from the header of a file; raises `CompileError` where there is nothing of it."""
    import json

    place = Span(Source(path, "", path), 0, 0)
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size <= MAX_HEADER else b""
    except OSError as problem:
        raise errors.unreadable(place, f"cannot read `{path}`: {problem.strerror}") from None
    try:
        written = json.loads(header).get("__metadata__", {}).get(KEY)
    except (ValueError, AttributeError, RecursionError):
        raise errors.unreadable(place, f"`{path}` is no file of safetensors") from None
    if written is None:
        hint = f'give them to a network: archdsl.load("resnet50", weights="{path}")'
        raise errors.unreadable(
            place, f"`{path}` holds weights and no network, since `archdsl.save` did not write it", hint
        )
    try:
        return understood(json.loads(written))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise errors.unreadable(place, f"the network in `{path}` was saved by another version of archdsl") from None


def understood(found: dict[str, Any]) -> Saved:
    """Return what a file says as a value; raises what a wrong form of it raises."""
    texts = tuple([Text(str(one["name"]), str(one["text"]), dict(one["imports"])) for one in found["texts"]])
    numbers = [number for one in texts for number in one.imports.values()]
    asked = {name: found["asked"][name] for name in ("net", "params", "in_channels", "outputs", "output_stride")}
    if found["version"] != VERSION or not texts or not set(numbers) <= set(range(len(texts))):
        raise ValueError("of another version")
    if not isinstance(asked["params"], dict) or not isinstance(asked["net"], str):
        raise TypeError("of another form")
    return Saved(texts, asked)
