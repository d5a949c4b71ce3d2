"""Finds, reads and links files: a path or a bundled name to a `File` whose names are all known.

An import looks beside the importing file, then in the bundled gallery, and nowhere else: names are plain identifiers,
so no path can be smuggled in, and a link that leads out of the folder is refused.
"""

from __future__ import annotations

import os

from archdsl.core.source import Source, Span, folder_of
from archdsl.diagnostics import errors
from archdsl.elaborate.calls import matched
from archdsl.elaborate.context import MAX_CALLS, Context
from archdsl.elaborate.environment import File
from archdsl.elaborate.expressions import whole
from archdsl.elaborate.operators import as_initializer
from archdsl.elaborate.values import Located, describe
from archdsl.ops import OPS
from archdsl.syntax import tree
from archdsl.syntax.parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from archdsl.ops.base import Op

MAX_BYTES = 1 << 20
MAX_IMPORTS = 16  # files inside one another
GALLERY = folder_of("archdsl.architectures")
TEXTS: dict[str, Callable[[], Source]] = {}  # what stands for a file of that name: `-` for the command line


def read(path: str) -> Source:
    """Read a file as text; raises `CompileError` where that cannot be done."""
    if path in TEXTS:
        return TEXTS[path]()
    name = os.path.relpath(path) if os.path.isabs(path) and not os.path.relpath(path).startswith("..") else path
    empty = Source(name, "", path)
    place = Span(empty, 0, 0)
    if not os.path.exists(path):
        raise errors.unreadable(place, f"no file `{name}`", "`archdsl list` shows the bundled networks")
    if os.path.isdir(path):
        raise errors.unreadable(place, f"`{name}` is a directory", "name a file in it")
    if not os.path.isfile(path):  # a pipe would be waited for, a device read without an end
        raise errors.unreadable(place, f"`{name}` is not a regular file")
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise errors.unreadable(place, f"`{name}` is larger than {MAX_BYTES >> 20} MiB")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise errors.unreadable(place, f"cannot read `{name}`: {problem.strerror}") from None
    return decoded(name, data, path)


def decoded(name: str, data: bytes, path: str = "") -> Source:
    """Return what a file holds as a source; raises `CompileError` where that is no text."""
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        place = Span(Source(name, "", path), 0, 0)
        raise errors.unreadable(place, f"`{name}` is not text in UTF-8 (line {line})") from None
    return source_of(name, text, path)


def write(path: str, text: str | bytes) -> None:
    """Write a file whole or not at all: an existing one is replaced only when the new one is complete.

    It keeps its permissions. A link is replaced by a file, and what it leads to stays; a device or pipe is written to.
    """
    from tempfile import mkstemp  # 8 ms of import

    data = text if isinstance(text, bytes) else text.encode()
    folder, temporary = os.path.dirname(os.path.abspath(path)), ""
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            with open(path, "wb") as file:
                file.write(data)
            return
        handle, temporary = mkstemp(dir=folder, prefix=".archdsl-")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode_of(path))
        os.replace(temporary, path)
    except OSError as problem:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise errors.unwritable(path, problem.strerror or "") from None


def mode_of(path: str) -> int:
    """Return the permissions that a file has, or that a new one gets."""
    if os.path.isfile(path) and not os.path.islink(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def source_of(name: str, text: str, path: str = "") -> Source:
    """Return a text as a source; raises `CompileError` for control characters, which no text has."""
    if len(text) > MAX_BYTES:
        raise errors.unreadable(Span(Source(name, ""), 0, 0), f"`{name}` is larger than {MAX_BYTES >> 20} MiB")
    source = Source(name, text, path)
    for character in "\0\f\v":
        at = text.find(character)
        if at >= 0:
            raise errors.strange_character(Span(source, at, at + 1))
    return source


def bundled() -> list[str]:
    """Return the names of the bundled files, without their suffix, in order."""
    return sorted(f[: -len(".arch")] for f in os.listdir(GALLERY) if f.endswith(".arch"))


def path_of(name: str) -> str:
    """Return the path of a file given by path, or of the bundled one of that name."""
    if name in TEXTS or name.endswith(".arch") or os.sep in name or "/" in name or os.path.exists(name):
        return name
    inside = os.path.join(GALLERY, name + ".arch")
    return inside if name.isidentifier() and os.path.isfile(inside) else ""


class Project:
    """Files, linked. Each is read once. They may name the `operators` of a caller."""

    def __init__(self, operators: Sequence[type[Op]] = ()) -> None:
        self.files: dict[str, File] = {}
        self.operators = {**OPS, **_distinct(operators)} if operators else OPS

    def open(self, path: str) -> File:
        """Read, parse and link a file by path."""
        return self.link(read(path))

    def text(self, text: str, name: str = "<text>") -> File:
        """Parse and link a text."""
        return self.link(source_of(name, text))

    def link(self, source: Source) -> File:
        """Parse and link a source; it imports from beside its path."""
        return self._link(source, [])

    def _link(self, source: Source, chain: list[tuple[str, str]]) -> File:
        module = self.parse(source)
        file = File(module, self.operators)
        if not module.items and not module.doc:
            raise errors.unreadable(module.span, f"`{source.name}` is empty", "a file holds `net`, `block` and `fn`")
        for item in module.items:
            if isinstance(item, tree.Import):
                self.attempt(item, self._import, file, item, chain)
        for item in module.items:
            if isinstance(item, tree.DEFINITIONS):
                self.attempt(item, _define, file, item)
        for item in module.items:
            if isinstance(item, (tree.Default, tree.Init)):
                self.attempt(item, _settings, file, item)
        return file

    def read(self, path: str) -> Source:
        """Read a file that is imported; an editor has texts that are not saved."""
        return read(path)

    def beside(self, source: Source, module: str) -> str:
        """Return the path of a module that a file imports, or nothing."""
        return beside(source, module)

    def parse(self, source: Source) -> tree.Module:
        """Return the tree of a text."""
        return parse(source)

    def attempt(self, item: tree.Node, step: Callable[..., None], *arguments: Any) -> None:
        """Take one step of linking an item; `archdsl.diagnose.salvage` goes on after one that fails."""
        step(*arguments)

    def _import(self, file: File, item: tree.Import, chain: list[tuple[str, str]]) -> None:
        path = self.beside(file.source, item.module)
        if not path:
            raise errors.no_module(item.place(1), item.module, bundled())
        here = (os.path.realpath(file.source.path) if file.source.path else "", file.source.name)
        chain = [*chain, here]
        real = os.path.realpath(path)
        if real in [p for p, _ in chain]:
            names = [os.path.basename(n) for _, n in chain]
            raise errors.import_circle(item.span, [*names, os.path.basename(path)])
        if len(chain) > MAX_IMPORTS:
            raise errors.limit_exceeded(item.span, "files import one another too deeply", str(len(chain)), MAX_IMPORTS)
        if real not in self.files:
            self.files[real] = self._link(self.read(path), chain)
        found = self.files[real]
        for word, name in enumerate(item.names, 3):
            if name not in found.definitions:
                raise errors.unknown_name(item.place(word), name, found.definitions, of=item.module)
            earlier = file.imports.get(name)
            if earlier is not None:
                raise errors.duplicate_definition(item.place(word), name, earlier[1].span)
            file.imports[name] = (found, item)


def _distinct(operators: Sequence[type[Op]]) -> dict[str, type[Op]]:
    """Return operators of a caller by name; raises `ValueError` where two, or the classes of two, have one."""
    found: dict[str, type[Op]] = {}
    classes: dict[str, type] = {}
    for one in operators:
        cls = one.rules.cls  # type: ignore[attr-defined]
        if found.setdefault(one.name, one) is not one:
            raise ValueError(f"two operators are called `{one.name}`")
        if classes.setdefault(cls.__name__, cls) is not cls:
            raise ValueError(f"two classes are called `{cls.__name__}`: generated code needs two names")
    return found


def beside(source: Source, module: str) -> str:
    """Return the path of an imported module: a sibling of the importing file, else a bundled one, else nothing."""
    folders = [os.path.dirname(os.path.abspath(source.path))] if source.path else []
    for folder in [*folders, GALLERY]:
        path = os.path.join(folder, module + ".arch")
        if os.path.isfile(path) and os.path.dirname(os.path.realpath(path)) == os.path.realpath(folder):
            return path
    return ""


def _define(file: File, item: tree.Block | tree.Net | tree.Fn | tree.Alias) -> None:
    """Add a definition, whose name and parameters must each be new."""
    earlier = file.definitions.get(item.name)
    if earlier is not None:
        raise errors.duplicate_definition(_head(item), item.name, _head(earlier))
    if item.name in file.imports:
        raise errors.duplicate_definition(_head(item), item.name, file.imports[item.name][1].span)
    if item.name == "x":
        raise errors.bad_value(_head(item), "`x` is the tensor that reaches a step and cannot be defined")
    places: dict[str, Span] = {}
    for param in () if isinstance(item, tree.Alias) else item.params:
        if param.name in places:
            raise errors.bound_twice(param.span, param.name, places[param.name])
        places[param.name] = param.span
    file.definitions[item.name] = item


def _settings(file: File, item: tree.Default | tree.Init) -> None:
    """Evaluate a `default` or `init` clause of a file."""
    ctx = Context()
    for setting in item.settings:
        if setting.name not in file.operators:
            raise errors.unknown_name(setting.span, setting.name, file.operators)
        try:
            if isinstance(item, tree.Default):
                file.defaults[setting.name] = _default(ctx, file, setting)
            else:
                file.inits[setting.name] = _init(ctx, file, setting)
        except RecursionError:
            raise errors.too_deep(setting.span, "expressions and functions", MAX_CALLS) from None
        finally:
            file.words.pop(setting.name, None)


def _default(ctx: Context, file: File, setting: tree.Setting) -> tuple[tuple[str, Any], ...]:
    params = file.operators[setting.name].args
    found = dict(file.defaults.get(setting.name, ()))
    for argument in setting.arguments:
        if not isinstance(argument, tree.Keyword):
            raise errors.bad_value(argument.span, "a default names its argument: `default conv(bias=false)`")
        if argument.name not in params:
            raise errors.unknown_argument(argument.place, setting.name, argument.name, ", ".join(params), params)
        if argument.name in found:
            raise errors.bound_twice(argument.place, argument.name, None)
        found[argument.name] = whole(ctx, argument.value, file.env, None)
        try:
            params[argument.name].kind.accept(found[argument.name])
        except ValueError:
            wanted = f"expects {params[argument.name].kind.text}"
            got = describe(found[argument.name])
            raise errors.bad_argument(argument.value.span, setting.name, argument.name, wanted, got) from None
    return tuple(found.items())


def _init(ctx: Context, file: File, setting: tree.Setting) -> tuple[tuple[str, Any], ...]:
    if not file.operators[setting.name].initialized():
        raise errors.bad_value(setting.span, f"`{setting.name}` has no weights to initialize")
    found = dict(file.inits.get(setting.name, ()))
    names = ("weight", "bias")
    written = matched(setting.name, names, names[:1], lambda: "weight, bias", setting.arguments)
    for name, expr in written.items():
        if name in found:
            raise errors.bound_twice(expr.span, name, None)
        value = whole(ctx, expr, file.env, None)
        made = as_initializer(value.item if isinstance(value, Located) else value)
        if made is None:
            wanted = "expects an initializer, such as `kaiming` or `normal(0.01)`"
            raise errors.bad_argument(expr.span, setting.name, name, wanted, describe(value))
        found[name] = made
    return tuple(found.items())


def _head(item: tree.Block | tree.Net | tree.Fn | tree.Alias) -> Span:
    """Return the place of a definition's first line."""
    end = item.span.source.text.find("\n", item.span.start)
    return item.span.replace(end=item.span.end if end < 0 else min(end, item.span.end))
