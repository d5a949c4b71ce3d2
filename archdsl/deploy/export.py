"""`archdsl.export`: from a name or a module to a file for another program, held to PyTorch before it is written."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from archdsl.compiler import Request, compiled
from archdsl.core.record import Record
from archdsl.deploy.about import about
from archdsl.deploy.formats import FORMATS, Names, is_ours
from archdsl.deploy.int8 import images_of, in_int8
from archdsl.deploy.sizes import BATCH, dynamic, shapes_of, tried
from archdsl.diagnostics import errors
from archdsl.inference.engines.module import TOLERANCE, shown
from archdsl.inference.engines.program import Impossible, difference, exported, flat
from archdsl.inference.portable import portable
from archdsl.project import write
from archdsl.run.load import instantiate, with_weights
from archdsl.run.mistakes import ExportFailed
from archdsl.run.origin import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import fx

    from archdsl.compiler import Compiled
    from archdsl.deploy.formats import Format
    from archdsl.deploy.int8 import Images, Int8
    from archdsl.ops.custom import Custom
    from archdsl.run.hub import Weights
    from archdsl.run.origin import Origin

SUFFIXES = {one.ending: name for name, one in FORMATS.items()}


class Exported(Record):
    """What was written: the files, their bytes, and where they were run and compared.

    `error` is the largest error found, relative to the largest value of a result, at the shapes of `tried`; `engine`
    is what ran the file, nothing where it is not installed. Of a file in int8 that is so before it was rounded, and
    `int8` says what that does.
    """

    paths: tuple[str, ...]
    format: str
    dynamic: bool
    bytes: int
    engine: str
    error: float
    tried: tuple[tuple[tuple[int, ...], ...], ...]
    int8: Int8 | None = None

    def __repr__(self) -> str:
        return f"<{str(self).splitlines()[0]}>"

    def __str__(self) -> str:
        size = f"{' and '.join(self.paths)}: {self.bytes / 1e6:.1f} MB"
        if not self.engine:
            return f"{size}, not compared with PyTorch: nothing that runs it is installed"
        at = " and ".join([shown(shapes) for shapes in self.tried])
        said = f"differs from PyTorch by {self.error:.1g} in {self.engine} at {at}"
        return f"{size}, {said}" if self.int8 is None else f"{size} in int8, before which it {said}\n{self.int8}"


class How(Record):
    """Where a file goes, its format, whether it takes several sizes, and whether it may replace any other file.

    With images it is in int8, calibrated on them.
    """

    path: str
    format: str | None = None
    dynamic: bool = False
    force: bool = False
    int8: Images | None = None

    def ready(self) -> str:
        """Return the format; raises `CompileError` where the file cannot be written."""
        chosen = format_of(self.path, self.format)
        if self.int8 is not None and FORMATS[chosen].quantize is None:
            raise errors.bad_option("--int8", chosen, "int8 is there for onnx and openvino")
        refuse_another(self.path, self.force)
        beside = os.path.splitext(self.path)[0] + ".bin"
        if chosen == "openvino" and not os.path.exists(self.path):  # else it is of that description
            refuse_another(beside, self.force)
        return chosen


def export(
    network: str | os.PathLike[str] | nn.Module,
    path: str | os.PathLike[str],
    /,
    *,
    format: str | None = None,
    dynamic: bool = False,
    force: bool = False,
    int8: Images | None = None,
    weights: Weights | None = None,
    sizes: tuple[tuple[int, ...], ...] = (),
    outputs: Sequence[str] | str = (),
    net: str | None = None,
    in_channels: int | None = None,
    output_stride: int | None = None,
    operators: Sequence[type[Custom]] = (),
    **params: Any,
) -> Exported:
    """Write a network to a file that another program runs, optimized for it, and return what was written.

    >>> import archdsl
    >>> archdsl.export("resnet50", "resnet50.onnx", weights="resnet50.pth", dynamic=True)  # doctest: +SKIP
    <resnet50.onnx: 102.2 MB, differs from PyTorch by 1e-06 in ONNX Runtime 1.32.0 at 1x3x224x224 and ...>

    `network` is what `archdsl.load` takes, with the same further arguments, or a module that it has made, which is
    exported as it is, in evaluation. The format is "onnx", "pt2", a program of `torch.export`, or "openvino", which is
    two files, `.xml` and `.bin`; without one, `path` says it. The file takes inputs of the default shape, or of
    `sizes`, [N, C, H, W] each; with `dynamic`, any batch and every legal height and width. Its metadata has the name,
    the text and the legal sizes.

    With `int8`, weights and what lies between layers have eight bits; the images are what it is calibrated on, as the
    network takes them, [images, C, H, W], a `.npy` file of such, or a folder of images. Every fourth of them is held
    back, and what int8 does to these is in the result.

    The file is run before it is written, in its engine where that is installed, and compared with the network at the
    default shape, with `dynamic` also at other batches and sizes. Raises `archdsl.ExportFailed` where it differs or the
    format cannot hold it; `archdsl.CompileError` for mistakes in arguments, packages that are missing, and a file in
    the way that archdsl did not write, which `force` replaces.
    """
    how = How(os.fspath(path), format, dynamic, force, int8)
    if not isinstance(network, nn.Module):
        request = Request(net, params, sizes, in_channels, outputs, output_stride, operators)
        return written(compiled(network, request), weights, how)
    given = (weights, net, in_channels, output_stride)
    if any(one is not None for one in given) or sizes or outputs or operators or params:
        raise TypeError("a module is exported as it is: weights, sizes and parameters are of a name or a path")
    return _written(network, how, how.ready())


def written(found: Compiled, weights: Weights | None, how: How) -> Exported:
    """Write a checked network to a file, with weights or with random ones; see `export`."""
    chosen = how.ready()
    return _written(with_weights(instantiate(found), found, weights), how, chosen)


def format_of(path: str, format: str | None) -> str:
    """Return the format that is asked for, or that a file's name says; raises `CompileError`."""
    suffix = os.path.splitext(path)[1].lower()
    if format is not None and format not in FORMATS:
        raise errors.bad_option("--format", format, f"it is one of {', '.join(FORMATS)}")
    endings = [FORMATS[format].ending] if format else list(SUFFIXES)
    if suffix not in endings:
        raise errors.bad_option("-o", path, f"the name ends in {' or '.join(endings)}")
    return SUFFIXES[suffix]


def refuse_another(path: str, force: bool) -> None:
    """Raise `CompileError` for a file that `export` has not written."""
    try:
        if force or is_ours(path):
            return
    except OSError as problem:
        raise errors.unwritable(path, problem.strerror or "") from None
    raise errors.unwritable(path, "there is a file that archdsl did not write, which `--force` replaces")


def _written(network: nn.Module, how: How, format: str) -> Exported:
    """Make the files of a network, hold them to it, and write them."""
    origin = origin_of(network)
    if origin is None:
        raise TypeError("what `archdsl.load` has made is exported; `archdsl import` makes a text of other modules")
    modes = {module: module.training for module in network.modules()}  # norms that are frozen stay so
    try:
        files, *said = _made(network.eval(), origin, FORMATS[format], how)
    except Impossible as problem:
        raise ExportFailed(f"{origin.name} as {format}: {problem}") from problem
    finally:
        for module, training in modes.items():
            module.training = training
    stem = os.path.splitext(how.path)[0]
    paths = {ending: how.path if how.path.lower().endswith(ending) else stem + ending for ending in files}
    for ending in reversed(files):  # the description last: where it is, its weights are
        write(paths[ending], files[ending])
    size = sum(len(data) for data in files.values())
    return Exported(tuple(paths.values()), format, how.dynamic, size, *said)


@torch.inference_mode(False)
@torch.no_grad()
def _made(network: nn.Module, origin: Origin, format: Format, how: How) -> tuple[Any, ...]:
    """Return the files of a network, in what they were compared, the largest error, the shapes, and what int8 does."""
    images = None if how.int8 is None else _images(how.int8, origin)
    graph, rebuild = flat(portable(network, format.passes)[0])
    example = [torch.zeros(shape) for shape in shapes_of(origin, batch=BATCH if how.dynamic else None)]
    program = _program(graph, example, origin, how.dynamic)
    (results,) = graph.graph.output_node().args
    names = Names(tuple([name for name, _ in origin.inputs]), _names(origin, len(results)))
    files = format.write(program, names, about(origin, how.dynamic))
    with TemporaryDirectory() as folder:
        run = format.run(files, folder)
        if run is None:
            return files, "", 0.0, ()
        shapes = [tuple(shapes_of(origin)), *(map(tuple, tried(origin)) if how.dynamic else ())]
        shapes, error = _compared(lambda inputs: rebuild(run(inputs)), network, list(dict.fromkeys(shapes)))
        said = (format.engine(), error, tuple(shapes))
        if images is None or format.quantize is None:
            return files, *said

        def runner(made: Mapping[str, bytes]) -> Any:
            return format.run(made, mkdtemp(dir=folder))  # an engine may still read the files of another

        batch = shapes_of(origin)[0][0]
        made, report = in_int8(graph, files, format.quantize, runner, images, batch, _labels(network))
        return made, *said, report


def _images(given: Images, origin: Origin) -> torch.Tensor:
    """Return the images that int8 is calibrated on; raises `CompileError`."""
    if len(origin.inputs) != 1:
        names = ", ".join([name for name, _ in origin.inputs])
        raise errors.bad_option("--int8", origin.name, f"a network with one input is calibrated, not with {names}")
    return images_of(given, shapes_of(origin)[0])


def _labels(network: nn.Module) -> dict[str, str]:
    """Return the names of layers by what `portable` calls them, alone or with an addition after them."""
    words = {path: f"{'_' * path[:1].isdigit()}{path.replace('.', '_')}" for path, _ in network.named_modules()}
    return {f"plain_{before}{word}": path for path, word in words.items() for before in ("", "conv_")}


def _names(origin: Origin, count: int) -> tuple[str, ...]:
    taken = {name for name, _ in origin.inputs}
    wished = ["output"] if count == 1 else [f"output{number}" for number in range(count)]
    return tuple([f"{name}_" if name in taken else name for name in wished])


def _program(graph: fx.GraphModule, example: Sequence[torch.Tensor], origin: Origin, varies: bool) -> Any:
    """Return an exported program; where legal sizes are not proved to be taken, they are tried later."""
    if not varies:
        return exported(graph, example)
    try:
        return exported(graph, example, dynamic(origin, exact=True))
    except Impossible:
        return exported(graph, example, dynamic(origin, exact=False))


def _compared(
    run: Callable[[Sequence[torch.Tensor]], Any], network: nn.Module, shapes: Sequence[tuple[tuple[int, ...], ...]]
) -> tuple[list[tuple[tuple[int, ...], ...]], float]:
    """Return the shapes at which a file was compared with its network, and the largest error."""
    most, compared = 0.0, []
    generator = torch.Generator().manual_seed(0)
    for number, each in enumerate(shapes):
        inputs = [torch.randn(shape, generator=generator) for shape in each]
        try:
            expected = pytree.tree_leaves(network(*inputs))
        except RuntimeError:
            if not number:
                raise
            continue  # each size is legal where the other is as the text has it, and both together are not
        at = shown(each)
        try:
            error = difference(pytree.tree_leaves(run(inputs)), expected)
        except Exception as problem:  # an engine that does not take what is legal
            raise Impossible(f"the file does not take {at}: {problem}") from problem
        if error > TOLERANCE:
            raise Impossible(f"the file gives another result at {at}, off by {error:.1e} of the largest value")
        most = max(most, error)
        compared.append(each)
    return compared, most
