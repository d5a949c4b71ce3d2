"""The torch-free compiler on one page: from a name, a path or a text to a checked network."""

from __future__ import annotations

import os
import re
from importlib import import_module

from archdsl import project, saved
from archdsl.analysis.legal import legal_sizes
from archdsl.core.record import Record
from archdsl.core.sizes import symbols
from archdsl.core.source import Source, Span
from archdsl.diagnostics import CompileError, Help, Label, Note, errors
from archdsl.elaborate.calls import signature
from archdsl.elaborate.context import Context, Settings
from archdsl.elaborate.expressions import definition, whole
from archdsl.elaborate.nets import attempt, elaborate
from archdsl.elaborate.values import BlockValue, Located, show
from archdsl.syntax import tree
from archdsl.syntax.parser import parse_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from archdsl.diagnostics import Diagnostic
    from archdsl.elaborate.context import Memo, Spent
    from archdsl.elaborate.environment import File
    from archdsl.ir.network import Network
    from archdsl.ops.base import Op


class Request(Record):
    """What is asked of a file, as a caller gives it: which net, and what is changed about it.

    `params` are parameters of the net, a text being an expression of the language; `sizes` are the shapes of its
    inputs, `in_channels` the channels of the first; `outputs` are the names of the steps that it returns, or one
    name. `output_stride` is how many times coarser its maps may be than its inputs, and `operators` are those that the
    caller brings along.
    """

    net: str | None = None
    params: Mapping[str, Any] = {}
    sizes: tuple[tuple[int, ...], ...] = ()
    in_channels: int | None = None
    outputs: Sequence[str] | str = ()
    output_stride: int | None = None
    operators: Sequence[type[Op]] = ()


AS_WRITTEN = Request()
SETTING = "--set "  # before a parameter, where the place of a mistake is the value that it was given
FOREIGN = (".cfg", ".pt2", ".onnx", ".yaml", ".yml")  # files that `archdsl import` takes


class Compiled(Record):
    """A checked network, the file it came from, and what was asked of that, the net by its name."""

    network: Network
    file: File
    request: Request = AS_WRITTEN


def compiled(name: str | os.PathLike[str], request: Request = AS_WRITTEN, *, file: File | None = None) -> Compiled:
    """Check one net of a bundled name or a path; raises `CompileError`. A `file` that is at hand is not read again."""
    if file is None:
        file, chosen = find(name, request.operators)
        request = request.replace(net=request.net or chosen)
    return _checked(file, *meant(file, os.fspath(name), request))


def attempted(name: str, file: File, request: Request, memo: Memo, spent: Spent) -> Compiled | list[Diagnostic]:
    """Check one net of a file, and return it or its mistakes: those that do not follow from another."""
    try:
        request, settings = meant(file, name, request)
    except CompileError as mistake:
        return [mistake.diagnostic]
    chosen = request.net or ""
    outcome = attempt(file, chosen, settings, memo=memo, spent=spent)
    if outcome.network is not None:
        return Compiled(outcome.network, file, request)
    (first, uses), *others = outcome.found
    culprit = _culprit(first, file, chosen, settings)
    if culprit:
        return [_at_its_value(first, *culprit)]  # which all mistakes come from
    found = [(_with_legal_sizes(first, file, chosen, settings), uses), *others]
    return [errors.used_again(*each) for each in found]


def compile_text(text: str, request: Request = AS_WRITTEN) -> Compiled:
    """Check one net of a text; raises `CompileError`."""
    file = project.Project(request.operators).text(text)
    return _checked(file, *meant(file, "", request))


def find(name: str | os.PathLike[str], operators: Sequence[type[Op]] = ()) -> tuple[File, str | None]:
    """Return the file that a name or path means, and the net where the name says which; it may name the `operators`.

    `timm:resnet50d`, and whatever else `archdsl import` takes, is a file of the text that it makes; a file that
    `archdsl.save` wrote has its text.
    """
    name = os.fspath(name)
    if name.endswith(FOREIGN) or (":" in name and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", name)):
        return project.Project().text(_imported(name), name), None
    if name.endswith(saved.SUFFIX):
        file = saved.opened(name, operators)
        return file, file.asked["net"]
    path = project.path_of(name)
    if path:
        file = project.Project(operators).open(path)
        return file, name if name in file.definitions and not name.endswith(".arch") else None
    if name.isidentifier():
        for stem in project.bundled():
            path = project.path_of(stem)
            if re.search(rf"^net {name}\b", project.read(path).text, re.MULTILINE):
                return project.Project().open(path), name
    place = Span(Source(name, ""), 0, 0)
    beside = f"{name}.arch" if os.path.isfile(f"{name}.arch") else ""
    raise errors.no_network(place, name, [n for n, _ in bundled_nets()], beside)


def _imported(name: str) -> str:
    """Return the text of a network of another library; what makes it is named, since it imports torch."""
    importer = import_module("archdsl.importer")
    try:
        return str(importer.imported(name).text)
    except (importer.NoSource, importer.ImportFailed) as problem:
        place = Span(Source(name, ""), 0, 0)
        raise errors.unreadable(place, f"`{name}` cannot be imported", str(problem)) from None


def bundled_nets() -> list[tuple[str, str]]:
    """Return the bundled nets, each with the name of its file, in order."""
    found = []
    for stem in project.bundled():
        found += [(net, stem) for net in nets_of(project.Project().open(project.path_of(stem)))]
    return sorted(found)


def nets_of(file: File, given: Collection[str] = ()) -> list[str]:
    """Return the nets of a file that can be built: every required parameter is given."""
    return [name for name, item in file.definitions.items() if _is_complete(item, given)]


def _is_complete(item: object, given: Collection[str]) -> bool:
    if isinstance(item, tree.Net):
        return all(p.default is not None or p.name in given for p in item.params)
    return isinstance(item, tree.Alias)


def meant(file: File, name: str, request: Request) -> tuple[Request, Settings]:
    """Return a request with the net of a file that it means, and its settings as values of the language."""
    request = _over(file.asked, request)
    net = choose(file, request.net, os.path.basename(name), request.params)
    request = _own(request, file, net)
    values = tuple((key, _value(value, key, file, net)) for key, value in request.params.items())
    outputs = (request.outputs,) if isinstance(request.outputs, str) else tuple(request.outputs)
    settings = Settings(values, request.sizes, request.in_channels, outputs, output_stride=request.output_stride)
    return request.replace(net=net), settings


def _own(request: Request, file: File, net: str) -> Request:
    """Return a request in which a word that the net declares as a parameter means that one."""
    words = {"in_channels": request.in_channels, "output_stride": request.output_stride}
    given = {word: value for word, value in words.items() if value is not None}
    block = block_of(file, net) if given else None
    own = {word: value for word, value in given.items() if block is not None and word in block.params}
    return request.replace(params={**request.params, **own}, **dict.fromkeys(own)) if own else request


def block_of(file: File, net: str) -> BlockValue | None:
    """Return what a net is defined as, where that takes parameters."""
    value = definition(Context(), file, net, start_of(file))
    value = value.item if isinstance(value, Located) else value
    return value if isinstance(value, BlockValue) else None


def _over(asked: Mapping[str, Any], request: Request) -> Request:
    """Return a request over what a file was saved with, which holds of the net that was saved."""
    if not asked or request.net not in (None, asked["net"]):
        return request
    return request.replace(
        net=asked["net"],
        params={**asked["params"], **request.params},
        in_channels=asked["in_channels"] if request.in_channels is None else request.in_channels,
        outputs=request.outputs or asked["outputs"],
        output_stride=request.output_stride or asked["output_stride"],
    )


def _value(given: Any, name: str, file: File, net: str) -> Any:
    """Return the value of a parameter of a net; where it has none, that is the mistake, whatever the value is."""
    try:
        return value_of(given, name, file)
    except CompileError:
        block = block_of(file, net)
        if block is not None and name not in block.params:
            raise errors.unknown_parameter(
                file.definitions[net].span, block.label, name, signature(block), block.params
            ) from None
        raise


def _checked(file: File, request: Request, settings: Settings) -> Compiled:
    chosen = request.net or ""
    try:
        return Compiled(elaborate(file, chosen, settings), file, request)
    except CompileError as mistake:
        found = mistake.diagnostic
    culprit = _culprit(found, file, chosen, settings)
    if culprit:
        raise CompileError(_at_its_value(found, *culprit))
    raise CompileError(_with_legal_sizes(found, file, chosen, settings))


def _culprit(mistake: Diagnostic, file: File, net: str, settings: Settings) -> tuple[str, Any] | None:
    """Return the one parameter, with its value, that was given and without which the net is right."""
    if "asked" in mistake.traits or mistake.primary.span.source.name.startswith(SETTING):
        return None
    found = []
    for given in settings.params:
        others = tuple([other for other in settings.params if other is not given])
        try:
            elaborate(file, net, settings.replace(params=others))
        except CompileError:
            continue
        found.append(given)
    return found[0] if len(found) == 1 else None


def _at_its_value(mistake: Diagnostic, name: str, value: Any) -> Diagnostic:
    """Return a mistake that a value has made with the value as its place; where it has met a step is a note."""
    text = show(value)
    place = Label(Span(Source(SETTING + name, text), 0, len(text)), "the net cannot be built with this value")
    met = Note("it is met here", mistake.primary.span, mistake.primary.text)
    return mistake.in_words().replace(primary=place, notes=(met, *mistake.notes))


def _with_legal_sizes(mistake: Diagnostic, file: File, net: str, settings: Settings) -> Diagnostic:
    """Return a mistake that an input size has made, with the nearest sizes that are legal."""
    fitting = _fitting(file, net, settings) if "size" in mistake.traits else None
    if fitting is None:
        return mistake
    network, asked = fitting
    wrong = [legal for legal in legal_sizes(network) if legal.name in asked and asked[legal.name] not in legal]
    if not wrong:
        return mistake
    notes = [Note(f"{one}{one.because()}") for one in wrong]
    near = ", ".join(f"{one.name} = {one.nearest(asked[one.name])}" for one in wrong)
    noted = mistake.noting(*notes)
    return noted.replace(help=(*noted.help, Help(f"the nearest legal size is {near}")))


LARGER = (4, 16)  # times its default size, a net may fit that does not fit now


def _fitting(file: File, net: str, settings: Settings) -> tuple[Network, dict[str, int]] | None:
    """Return a network at sizes that it accepts, and the sizes at which it was asked for."""
    others = [settings.replace(sizes=())] if settings.sizes else [settings.replace(larger=n) for n in LARGER]
    for other in others:
        try:
            network = elaborate(file, net, other)
        except CompileError:
            continue
        return network, _asked(network, settings, other)
    return None


def _asked(network: Network, settings: Settings, other: Settings) -> dict[str, int]:
    """Return the input sizes that were asked for where other ones have made the network."""
    asked = {symbol.name: symbol.default // other.larger for symbol in network.symbols}
    for value, sizes in zip(network.scope.inputs, settings.sizes):
        for dim, size in zip(network.scope.shapes[value], sizes):
            asked.update({symbol.name: size for symbol in symbols(dim)})
    return asked


def choose(file: File, net: str | None, name: str, given: Collection[str] = ()) -> str:
    """Return the net to take: the one that was asked for, the one of the file's own name, or the only one.

    The last two are of the nets that can be built with the parameters that are given.
    """
    nets = nets_of(file, given)
    every = [n for n, item in file.definitions.items() if isinstance(item, (tree.Net, tree.Alias))]
    if net is not None:
        if net in every:
            return net
        raise errors.which_net(start_of(file), net, every)
    stem = name.removesuffix(".arch")
    if stem in nets:
        return stem
    if len(nets) == 1:
        return nets[0]
    if len(every) == 1:
        return every[0]
    raise errors.which_net(start_of(file), "", nets or every)


def value_of(value: Any, name: str, file: File) -> Any:
    """Return a parameter that Python gives as a value of the language; a text is an expression, a list a list."""
    if isinstance(value, str):
        source = Source(SETTING + name, value)
        found = whole(Context(), parse_value(source), file.env, None)
        return found.item if isinstance(found, Located) else found
    if isinstance(value, (list, tuple)):
        return tuple(value_of(item, name, file) for item in value)
    if getattr(value, "shape", None) == ():  # a number of NumPy
        value = value.item()
    if type(value) in (int, float, bool):
        return value
    raise TypeError(f"`{name}` must be a number, a truth value, a list or a text, not {type(value).__name__}")


def start_of(file: File) -> Span:
    """Return the first place of a file."""
    return Span(file.source, 0, 0)
