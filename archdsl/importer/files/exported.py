"""A program of `torch.export`, as `torch.export.save` writes it, as a module.

PyTorch's own reader unpickles what it does not know, and evaluates the expressions of sizes. So an archive is looked
through first: it may hold numbers, names of operators of PyTorch, and sums and products of sizes, and nothing else.
"""

from __future__ import annotations

import io
import json
import logging
import math
import operator
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from archdsl.importer.files.aten import CALLS
from archdsl.importer.files.parts import Malformed, Program, Step
from archdsl.importer.trace import results

if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.importer.files.parts import Place

HELD = re.compile(  # the files of an archive
    r"models/[^/]+\.json|data/(weights|constants)/((weight|tensor)_\d+|[^/]+_(weights|constants)_config\.json)"
    r"|data/sample_inputs/[^/]+\.pt|extra/.+|archive_format|archive_version|byteorder|version|\.data/[^/]+"
)
NUMBERS = re.compile(r"(weight|tensor)_\d+")
TARGETS = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.\w+|math\.\w+|torch\.sym_\w+|")
WORDS = frozenset(
    """Symbol positive integer nonnegative real finite True False Integer Mul Add Pow Rational Max Min Mod PythonMod
    FloorDiv CleanDiv CeilDiv FloorToInt CeilToInt IntTrueDiv ToFloat Float oo int_oo""".split()
)
UNSAFE = re.compile(r"[^\w\s()',=*+/.-]|\.\s*[A-Za-z_]|__")
NAME = re.compile(r"[A-Za-z_]\w*")
SYMBOL = re.compile(r"[a-z_]\w{0,30}")


@dataclass(frozen=True)
class Exported:
    """A program: the module of it, the shape that it was made for, which sizes are free, and what runs the file."""

    model: Program
    shape: tuple[int, ...]
    free: tuple[bool, ...]
    reference: nn.Module


def exported(path: str) -> Exported:
    """Read a `.pt2` file. Raises `Malformed`; nothing of the file is run."""
    try:
        _looked_through(path)
        with _quiet():
            program = torch.export.load(path)
    except Malformed:
        raise
    except Exception as problem:  # whatever zip, JSON and PyTorch say of a file that is none
        raise Malformed(_short(problem)) from None
    return _read(program)


def _read(program: Any) -> Exported:
    signature = program.graph_signature
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate:
        raise Malformed("it changes its buffers, as in training: it is exported after `model.eval()`")
    if len(signature.user_inputs) != 1:
        raise Malformed(f"it takes {len(signature.user_inputs)} inputs, and networks of one are read")
    (image,) = (node for node in program.graph.nodes if node.name == signature.user_inputs[0])
    sizes = tuple(image.meta["val"].shape)
    shape = tuple(size if isinstance(size, int) else _hint(size) for size in sizes)
    weights = {name: _own(value) for name, value in program.state_dict.items()}
    weights |= {name: value for name, value in program.constants.items() if isinstance(value, torch.Tensor)}
    kind = next((stack[0][1] for stack in map(_stack, program.graph.nodes) if stack and not stack[0][0]), "Net")
    model = Program(
        _steps(program), f"%{image.name}", _results(program), weights, root=type(kind.rpartition(".")[2], (), {})
    )
    return Exported(
        model, shape, tuple(not isinstance(size, int) for size in sizes), program.module(check_guards=False)
    )


def _own(value: torch.Tensor) -> torch.Tensor:
    copy = value.detach().clone()
    return nn.Parameter(copy) if isinstance(value, nn.Parameter) else copy


def _hint(size: Any) -> int:
    """Return the size that a program was made with, where it takes several."""
    found = size.node.hint
    return int(found) if found is not None else 2


# -------------------------------------------------------------------------------------------------- the archive
def _looked_through(path: str) -> None:
    """Raise `Malformed` for an archive with anything in it that its reader would run."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise Malformed("it has two files of one name, of which readers may take one or the other")
        for name in names:
            tail = name.partition("/")[2]
            if not HELD.fullmatch(tail):
                raise Malformed(f"it holds `{tail[:80]}`, which is not of a program of today, and might run code")
            if tail.startswith("models/"):
                _check_program(json.loads(archive.read(name)))
            elif tail.endswith("_config.json"):
                _check_config(json.loads(archive.read(name)))
            elif tail.startswith("data/sample_inputs/"):
                _check_pickle(archive.read(name))


def _check_config(found: Any) -> None:
    """Refuse tensors that are read in another way than as numbers."""
    for name, how in found["config"].items():
        if how["use_pickle"] or not NUMBERS.fullmatch(how["path_name"]):
            raise Malformed(f"`{name}` is pickled, and might run code")


def _check_pickle(data: bytes) -> None:
    try:
        if data:
            torch.load(io.BytesIO(data), weights_only=True)
    except Exception:
        raise Malformed("its example inputs are pickled in a way that might run code") from None


def _check_program(found: Any) -> None:
    """Look at all names of operators, and at all expressions; they are wherever their keys are."""
    for key, value in _entries(found):
        if key == "target" and not (isinstance(value, str) and TARGETS.fullmatch(value)):
            raise Malformed(f"the language has no step for `{str(value)[:80]}`")
        if key == "expr_str" and not _plain(value):
            raise Malformed(f"`{str(value)[:80]}` is no size")
        if key == "range_constraints" and not all(SYMBOL.fullmatch(name) for name in value):
            raise Malformed("its sizes have names that are none")
        if key == "as_graph":
            raise Malformed("it decides by values which steps it takes")


def _entries(found: Any) -> Iterator[tuple[str, Any]]:
    work = [found]
    while work:
        one = work.pop()
        if isinstance(one, dict):
            yield from one.items()
            work += one.values()
        elif isinstance(one, list):
            work += one


def _plain(text: Any) -> bool:
    """Say whether an expression is of numbers, sizes and known functions, so that nothing else is evaluated."""
    if not isinstance(text, str) or UNSAFE.search(text) or len(text) > 10_000:
        return False
    names = [name for name in NAME.findall(text) if name not in WORDS]
    return all(re.fullmatch(r"[a-z]{1,2}\d*|_?[a-z]\w*", name) and f"{name}(" not in text for name in names)


# -------------------------------------------------------------------------------------------------- the graph
def _steps(program: Any) -> list[Step]:
    """Return the steps of a graph, in order; one that says nothing of its module stands in that of the one before."""
    names = _weights(program)
    steps: list[Step] = []
    scope: tuple[Place, ...] = ()
    for node in program.graph.nodes:
        if node.op not in ("call_function", "get_attr", "placeholder", "output"):
            raise Malformed(f"a step of the kind `{node.op}`")
        if node.op == "call_function" and not _asserts(node):
            scope = _stack(node) or scope
            steps.append(_step(node, names, scope))
    return steps


def _weights(program: Any) -> dict[str, str]:
    """Return the names of weights in the state dict, by their names in the graph."""
    signature = program.graph_signature
    named = (signature.inputs_to_parameters, signature.inputs_to_buffers, signature.inputs_to_lifted_tensor_constants)
    return {name: own for each in named for name, own in each.items()}


def _asserts(node: fx.Node) -> bool:
    return "assert" in str(node.target) or (not node.users and node.target in (operator.ge, operator.le, operator.eq))


def _stack(node: fx.Node) -> tuple[Place, ...]:
    """Return the modules around a step; a number after `@` counts the calls of a module."""
    found = (node.meta.get("nn_module_stack") or {}).values()
    return tuple((path.partition("@")[0], str(kind)) for path, kind in found)


def _step(node: fx.Node, names: dict[str, str], scope: tuple[Place, ...]) -> Step:
    flat, spec = pytree.tree_flatten((node.args, node.kwargs))
    places = [place for place, leaf in enumerate(flat) if isinstance(leaf, fx.Node)]
    function = _function(node)

    def run(*values: Any) -> Any:
        leaves = list(flat)
        for place, value in zip(places, values):
            leaves[place] = value
        args, words = pytree.tree_unflatten(leaves, spec)
        return function(*args, **words)

    return Step(run, tuple(_named(flat[place], names) for place in places), (f"%{node.name}",), scope)


def _named(node: fx.Node, names: dict[str, str]) -> str:
    return names.get(node.name, f"%{node.name}")


def _function(node: fx.Node) -> Callable[..., Any]:
    """Return what a step calls: a function that anybody's code would call, where there is one."""
    target: Any = node.target
    if isinstance(target, torch._ops.OpOverload):
        return CALLS.get(target._schema.name.removeprefix("aten::"), target)
    if getattr(target, "__module__", "") in ("_operator", "math", "torch") and target not in (
        operator.attrgetter,
        operator.methodcaller,
        math.perm,
        math.comb,
        math.factorial,
    ):
        return target
    raise Malformed(f"the language has no step for `{target}`")


def _results(program: Any) -> dict[str, str]:
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    found = [node for node in output.args[0] if isinstance(node, fx.Node)]
    if not found:
        raise Malformed("it has no result")
    made = pytree.tree_unflatten(list(range(len(found))), program.call_spec.out_spec)
    if isinstance(made, int):
        return {"": f"%{found[0].name}"}
    return {name: f"%{found[place].name}" for name, place in results(made, int).items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep PyTorch's reader from warning of what was not asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _short(problem: Exception) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())[:200]
