"""A file of ONNX as a module.

A graph has names, and often no modules: those of PyTorch's exporters say in which module a node stands, in metadata or
in its name. What depends on sizes alone, as `Shape` and what is made of it, is worked out by ONNX's own reference.
"""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from archdsl.diagnostics.extras import Needing
from archdsl.importer.files.classes import classed
from archdsl.importer.files.nodes import CALLS, HOST, Node, filled, on_host
from archdsl.importer.files.parts import Malformed, Program, Step
from archdsl.importer.files.patterns import simplified
from archdsl.importer.graph import Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable

    from archdsl.importer.files.parts import Place

UNKNOWN = (2, 3, 224, 224)  # sizes of an input that says none
STATE = {  # which inputs of an operator are weights, and what they are called
    "Conv": {1: "weight", 2: "bias"},
    "ConvTranspose": {1: "weight", 2: "bias"},
    "BatchNormalization": {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"},
    "InstanceNormalization": {1: "weight", 2: "bias"},
    "GroupNormalization": {1: "weight", 2: "bias"},
    "LayerNormalization": {1: "weight", 2: "bias"},
    "Gemm": {1: "weight", 2: "bias"},
    "Linear": {1: "weight", 2: "bias"},
    "PRelu": {1: "weight"},
}
BESIDE = ("Add", "Sub", "Mul", "Div")  # in which a tensor of numbers is a weight
BUFFERS = ("running_mean", "running_var")
ROLES = ("weight", "bias", *BUFFERS)


@dataclass(frozen=True)
class Found:
    """A file: the module of it, the shape of its input, which sizes are free, and what runs the file itself."""

    model: Program
    shape: tuple[int, ...]
    free: tuple[bool, ...]
    reference: Callable[[torch.Tensor], list[torch.Tensor]]


def onnx_file(path: str) -> Found:
    """Read a `.onnx` file. Raises `Malformed`; nothing of the file is run before it has become a module."""
    proto = _checked(path)
    graph = _Graph(proto)
    image = graph.image()
    sizes = [one.dim_value if one.HasField("dim_value") else 0 for one in image.type.tensor_type.shape.dim] or [0] * 4
    given = UNKNOWN if len(sizes) == 4 else (2,) * len(sizes)
    shape = tuple(size or other for size, other in zip(sizes, given))
    return Found(graph.program(), shape, tuple(not size for size in sizes), _engine(path, image.name))


def _engine(path: str, name: str) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """Return what ONNX Runtime makes of an input; the file is given to it at the first call."""
    sessions: list[Any] = []

    def run(given: torch.Tensor) -> list[torch.Tensor]:
        if not sessions:
            with Needing("an `.onnx` file"):
                import onnxruntime
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.intra_op_num_threads = torch.get_num_threads()
            sessions.append(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
        return [torch.from_numpy(np.array(one)) for one in sessions[0].run(None, {name: given.numpy()})]

    return run


# -------------------------------------------------------------------------------------------------- the file
def _checked(path: str) -> Any:
    """Return a file that ONNX's own checker has taken, with the data that lies beside it."""
    with Needing("an `.onnx` file"):
        import onnx
        from onnx import checker, external_data_helper, inliner
    if not os.path.isfile(path):
        raise FileNotFoundError(2, "there is no such file", path)
    try:
        proto = onnx.load(path, load_external_data=False)
        folder = os.path.dirname(os.path.abspath(path))
        for tensor in external_data_helper._get_all_tensors(proto):
            _check_place(tensor, folder)
        external_data_helper.load_external_data_for_model(proto, folder)
        checker.check_model(proto)
        return inliner.inline_local_functions(proto) if proto.functions else proto
    except Malformed:
        raise
    except Exception as problem:  # whatever protobuf and ONNX say of a file that is none
        raise Malformed(" ".join(f"{type(problem).__name__}: {problem}".split())[:300]) from None


def _check_place(tensor: Any, folder: str) -> None:
    """Refuse data that lies elsewhere than beside the file."""
    for entry in tensor.external_data:
        place = os.path.realpath(os.path.join(folder, entry.value))
        if entry.key == "location" and os.path.dirname(place) != os.path.realpath(folder):
            raise Malformed(f"the data of `{tensor.name}` lie at `{entry.value}`, and not beside the file")


# -------------------------------------------------------------------------------------------------- the graph
@dataclass
class _Graph:
    """A graph while it is read: its constants, and the weights that have been found so far, by their names here."""

    proto: Any
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)  # the name of a weight there -> the layer's here

    def __post_init__(self) -> None:
        from onnx import numpy_helper

        opsets = {one.domain: one.version for one in self.proto.opset_import}
        self.opset = opsets.get("", opsets.get("ai.onnx", 1))
        try:
            for one in self.proto.graph.initializer:
                self.arrays[one.name] = numpy_helper.to_array(one)
            if self.proto.graph.sparse_initializer:
                raise Malformed("it has sparse weights")
            nodes = _within([self._node(one) for one in self.proto.graph.node])
            left = self._folded(nodes)
        except (ValueError, TypeError, IndexError, Unsaid) as problem:
            raise Malformed(f"its constants are none: {problem}") from None
        results = [one.name for one in self.proto.graph.output]
        self.nodes = classed(simplified(left, self.arrays, results))

    def image(self) -> Any:
        """Return the one input."""
        found = [one for one in self.proto.graph.input if one.name not in self.arrays]
        if len(found) != 1:
            raise Malformed(f"it takes {len(found)} inputs, and networks of one are read")
        kind = found[0].type.tensor_type.elem_type
        if kind != 1:
            raise Malformed(f"its input is of the type {kind}, and float (1) is read")
        return found[0]

    def _node(self, one: Any) -> Node:
        from onnx import helper

        kinds = {a.name: a for a in one.attribute}
        if any(a.HasField("g") or a.graphs for a in one.attribute):
            raise Malformed(f"`{one.op_type}` decides by values which steps it takes")
        if one.domain not in ("", "ai.onnx"):
            raise Malformed(f"the language has no step for `{one.domain}.{one.op_type}`")
        attributes = {name: _decoded(helper.get_attribute_value(a)) for name, a in kinds.items() if not a.ref_attr_name}
        return Node(one.op_type, tuple(one.input), tuple(one.output), attributes, one, self.opset, _scope(one))

    def _folded(self, nodes: list[Node]) -> list[Node]:
        """Put constants where they are read: of `Constant`, and copies of weights that exporters have found equal."""
        left = []
        for node in nodes:
            if node.op == "Constant":
                self.arrays[node.makes[0]] = on_host(node, [])[0]
            elif node.op == "ConstantOfShape" and node.reads[0] in self.arrays:
                self.arrays[node.makes[0]] = filled(node, self.arrays[node.reads[0]])
            elif node.op in HOST and all(name in self.arrays for name in node.reads if name):
                made = on_host(node, [self.arrays.get(name) for name in node.reads])
                self.arrays |= dict(zip(node.makes, made))
            else:
                left.append(node)
        return left

    def program(self) -> Program:
        """Return the module."""
        steps = [self._step(node, place) for place, node in enumerate(self.nodes)]
        results = [one.name for one in self.proto.graph.output]
        made = {name for step in steps for name in step.makes}
        for name in results:
            if f"%{name}" not in made:
                raise Malformed(f"its result `{name}` is made by no step")
        named = {"": f"%{results[0]}"} if len(results) == 1 else {_word(one): f"%{one}" for one in results}
        if len(named) != len(results) or not results:
            raise Malformed("its results have no names of their own")
        return Program(steps, f"%{self.image().name}", named, self.weights)

    def _step(self, node: Node, place: int) -> Step:
        """Return a node as a step, with its weights and constants put in."""
        if node.op not in CALLS and node.op not in HOST:
            raise Malformed(f"`{node.name}`: the language has no step for `{node.op}`")
        slots: list[Any] = []
        for at, name in enumerate(node.reads):
            if name not in self.arrays:
                slots.append(f"%{name}" if name else None)
            elif self._is_weight(node, at):
                slots.append(self._kept(node, at, place))
            else:
                slots.append(self.arrays[name])
        read = [at for at, slot in enumerate(slots) if isinstance(slot, str)]

        def run(*values: Any) -> Any:
            given = [None if isinstance(slot, str) else slot for slot in slots]
            for at, value in zip(read, values):
                given[at] = value
            return node.run(given)

        return Step(run, tuple(slots[at] for at in read), tuple(f"%{name}" for name in node.makes), node.scope)

    def _is_weight(self, node: Node, at: int) -> bool:
        array = self.arrays[node.reads[at]]
        if array.dtype.kind != "f":
            return False
        known = any(name and name not in self.arrays for name in node.reads)
        return known and (at in STATE.get(node.op, ()) or (node.op in BESIDE and array.size > 1))

    def _kept(self, node: Node, at: int, place: int) -> str:
        """Keep an array as a weight, in the form that PyTorch's layer has, and return its name."""
        array = self.arrays[node.reads[at]]
        if array.dtype != np.float32:
            raise Malformed(f"`{node.reads[at]}` is {array.dtype}, and float32 is read")
        role = STATE.get(node.op, {}).get(at, "bias" if node.op in ("Add", "Sub") else "weight")
        if role == "weight" and (node.op == "Linear" or (node.op == "Gemm" and not node.attributes.get("transB", 0))):
            if array.ndim != 2:
                raise Malformed(f"`{node.name}`: the weight of a linear layer is {list(array.shape)}")
            array = array.T
        if (role == "bias" and node.op in ("Gemm", "Linear")) or node.op == "PRelu":
            array = array.reshape(-1)
        name = f"{self._layer(node, place)}.{role}"
        value = torch.from_numpy(np.array(array))
        self.weights.setdefault(name, value if role in BUFFERS else nn.Parameter(value))
        return name

    def _layer(self, node: Node, place: int) -> str:
        """Return the name of the layer of a node: its weight's, its module's, or its place, which is no label.

        Exporters let layers share vectors that happen to be equal, so only a matrix that is read twice is one layer.
        """
        own = [name for at, name in enumerate(node.reads) if name in self.arrays and self._is_weight(node, at)]
        key = own[0] if self.arrays[own[0]].ndim > 1 else node.makes[0]
        if key not in self.layers:
            stems = [
                stem for stem, dot, last in (name.rpartition(".") for name in own) if last in ROLES and _is_path(stem)
            ]
            named = [*stems, node.path] if key == own[0] else [node.path, *stems]
            free = [path for path in named if path and path not in self.layers.values()]
            self.layers[key] = free[0] if free else f"{node.path}.{place}".strip(".")
        return self.layers[key]


# -------------------------------------------------------------------------------------------------- names
def _within(nodes: list[Node]) -> list[Node]:
    """Let a node of which nothing is said, as one that an optimizer made, stand where the one before it does."""
    made: list[Node] = []
    for node in nodes:
        before = made[-1].scope if made else ()
        made.append(node if _says(node.proto) else replace(node, scope=before))
    return made


def _says(node: Any) -> bool:
    return node.name.startswith("/") or any(one.key == "pkg.torch.onnx.name_scopes" for one in node.metadata_props)


def _scope(node: Any) -> tuple[Place, ...]:
    """Return the modules in which a node stands, as PyTorch's exporters say it; none where nothing does."""
    said = {one.key: one.value for one in node.metadata_props}
    if "pkg.torch.onnx.name_scopes" in said:
        names, kinds = (_listed(said.get(f"pkg.torch.onnx.{key}", "")) for key in ("name_scopes", "class_hierarchy"))
        found = [(name, kind) for name, kind in zip(names[:-1], kinds) if name and _is_path(name)]
        return tuple(found) if len(names) == len(kinds) else ()
    return _of_name(node.name)


def _listed(text: str) -> list[str]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [str(one).partition("@")[0] for one in found] if isinstance(found, list) else []


def _of_name(name: str) -> tuple[Place, ...]:
    """Read `/layer1/layer1.0/conv1/Conv`: a component that goes on from the one before it takes its place."""
    if not name.startswith("/"):
        return ()
    parts: list[str] = []
    places: list[Place] = []
    for word in name.split("/")[1:-1]:
        if parts and word.startswith(f"{parts[-1]}."):
            parts[-1] = word
        else:
            parts.append(word)
        path = ".".join(parts)
        if not _is_path(path):
            return ()
        places.append((path, ""))
    return tuple(places)


def _is_path(name: str) -> bool:
    return all(re.fullmatch(r"[A-Za-z0-9_]+", part) for part in name.split("."))


def _word(name: str) -> str:
    """Return a name that a result may have."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_")
    return made if made.isidentifier() else f"out_{made}"


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
