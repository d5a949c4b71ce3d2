"""An engine as a module of PyTorch, and the fastest of several."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from archdsl.inference.engines import onnxruntime, openvino
from archdsl.inference.engines.program import (
    BATCH,
    Impossible,
    Rebuild,
    Run,
    as_onnx,
    difference,
    exported,
    flat,
    serialized,
)
from archdsl.inference.notes import Notes

PREPARE = {"onnxruntime": onnxruntime.prepare, "openvino": openvino.prepare}
SHAPES = 8  # of inputs that are kept prepared, as of CUDA graphs
TOLERANCE = 1e-3  # of the largest value; engines sum in another order, and Winograd's products are rounded coarser
SECONDS = 1.0  # of measurement
PARTS = (1, 2, 4)  # images at once, of a larger batch

Key = tuple[torch.Size, ...]


class Prepared(NamedTuple):
    """A network prepared for inputs of one shape: what runs a part of the batch, and how many images that has.

    `shapes` are those of the results.
    """

    run: Run
    part: int
    shapes: Sequence[tuple[int, ...]]
    rebuild: Rebuild

    def results(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Run the whole batch, part by part."""
        made = [torch.empty(shape) for shape in self.shapes]
        if not inputs or self.part == len(inputs[0]):
            return self.run(inputs, made)
        for start in range(0, len(inputs[0]), self.part):
            here = slice(start, start + self.part)
            self.run([x[here] for x in inputs], [y[here] for y in made])
        return made


class Deployed(nn.Module):
    """A network for inference that an engine runs on a CPU, made by `optimize`: the same function, within rounding.

    It is prepared when inputs of a shape come for the first time, which takes seconds, and held to PyTorch's result on
    them; eight shapes are kept. A batch runs in the parts that were measured to be fastest. Inputs are float32 tensors;
    results carry no gradient.
    """

    def __init__(self, engine: str, network: fx.GraphModule, fused: Notes) -> None:
        super().__init__()
        self.engine, self.network, self.fused = engine, network, fused
        self._prepared: OrderedDict[Key, Prepared] = OrderedDict()

    def forward(self, *inputs: torch.Tensor) -> Any:
        # Between two calls the engine has emptied the caches: of 0.2 ms that all checks take then, 0.1 are saved here.
        found = self._prepared.get(tuple([x.shape for x in inputs]))
        if found is None or torch.compiler.is_compiling() or not all(map(_is_ready, inputs)):
            return self._first(inputs)
        return found.rebuild(found.results(inputs))

    def _first(self, inputs: Sequence[torch.Tensor]) -> Any:
        """Run inputs of a shape that is not prepared, or that do not lie as an engine reads them."""
        if torch.compiler.is_compiling() or any(x.numel() == 0 for x in inputs):
            return self.network(*inputs)
        refuse(self.engine, inputs)
        found = self.prepare(*inputs)
        return found.rebuild(found.results([x.detach().contiguous() for x in inputs]))

    def prepare(self, *inputs: torch.Tensor) -> Prepared:
        """Prepare the engine for inputs of these shapes, if it is not.

        Raises `TypeError` where the network cannot run there, and `RuntimeError` where it gives another result.
        """
        key = tuple(x.shape for x in inputs)
        if key not in self._prepared:
            with torch.inference_mode(False), torch.no_grad():  # inference tensors cannot be exported
                own = [x.detach().clone(memory_format=torch.contiguous_format) for x in inputs]
                self._prepared[key] = self._made(own)
            if len(self._prepared) > SHAPES:
                self._prepared.popitem(last=False)
        return self._prepared[key]

    def _made(self, inputs: Sequence[torch.Tensor]) -> Prepared:
        graph, rebuild = flat(self.network)
        expected = graph(*inputs)
        if not all(isinstance(y, torch.Tensor) and y.dtype == torch.float32 for y in expected):
            raise Impossible(f"{self.engine} gives float32 tensors, and this network gives something else")
        shapes = [tuple(y.shape) for y in expected]
        ways = [Prepared(run, part, shapes, rebuild) for part, run in self._parts(graph, inputs, shapes)]
        right = [way for way in ways if difference(way.results(inputs), expected) <= TOLERANCE]
        if not right:
            error = difference(ways[0].results(inputs), expected)
            raise RuntimeError(f"{self.engine} is off by {error:.1e} of the largest value, where PyTorch is right")
        if len(right) == 1:
            return right[0]
        times = taking_turns({way.part: partial(way.results, inputs) for way in right}, SECONDS / 2)
        return min(right, key=lambda way: times[way.part])

    def _parts(
        self, graph: fx.GraphModule, inputs: Sequence[torch.Tensor], shapes: Sequence[tuple[int, ...]]
    ) -> Iterator[tuple[int, Run]]:
        """Yield the whole batch and the parts in which it may run, each with what runs it.

        What lies between two layers stays in the cache where there are few images: eight images of EfficientNet-B0
        take 1.13 times as long at once as by twos, on a processor with 1 MB of it for a core.
        """
        make, batch = PREPARE[self.engine], len(inputs[0]) if inputs else 0
        parts = [part for part in PARTS if part < batch and batch % part == 0]
        if parts and {len(x) for x in inputs} == {batch} == {shape[0] if shape else 0 for shape in shapes}:
            try:
                open_batch = tuple([{0: torch.export.Dim(BATCH, min=1)} for _ in inputs])
                model = serialized(as_onnx(exported(graph, inputs, open_batch)))
            except Impossible:
                pass  # of one batch, it may be possible
            else:
                yield from [(part, make(model, part)) for part in (batch, *parts)]
                return
        yield batch, make(serialized(as_onnx(exported(graph, inputs))))

    def report(self, *_: Any, **__: Any) -> str:
        """Say what was fused, and for which inputs the engine is prepared; the bytes that it moves are not known."""
        shapes = [
            shown(key) + (f" by {way.part}" if way.part < key[0][0] else "") for key, way in self._prepared.items()
        ]
        return "\n".join([*self.done(), f"{self.engine}, prepared for {'; '.join(shapes) or 'no input yet'}"])

    def done(self) -> list[str]:
        """Return a line for each kind of step that was fused."""
        return [f"{count:4d}  {what}" for what, count in self.fused.items()]

    def forget(self) -> None:
        """Forget what is prepared, which has the weights of that time."""
        self._prepared.clear()

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        self.forget()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        self.forget()
        super()._load_from_state_dict(*arguments, **named)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_prepared": OrderedDict()}

    def extra_repr(self) -> str:
        return f"engine={self.engine}"


def _is_ready(x: torch.Tensor) -> bool:
    """Say whether an engine reads a tensor as it lies."""
    return x.dtype is torch.float32 and x.is_cpu and x.is_contiguous() and not x.requires_grad


def shown(shapes: Iterable[Sequence[int]]) -> str:
    """Return shapes as people write them.

    >>> shown([(1, 3, 224, 224)])
    '1x3x224x224'
    """
    return ", ".join(["x".join(map(str, shape)) for shape in shapes])


def refuse(engine: str, inputs: Sequence[torch.Tensor]) -> None:
    """Raise for inputs that an engine does not take."""
    for x in inputs:
        if not isinstance(x, torch.Tensor) or x.device.type != "cpu" or x.dtype != torch.float32:
            what = f"{x.dtype} on {x.device}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise TypeError(f"{engine} takes float32 tensors on the CPU, and {what} was given")
        if x.requires_grad and torch.is_grad_enabled():
            raise TypeError(f"{engine} has no gradients: call it under torch.no_grad(), or take engine='torch'")


class Fastest(nn.Module):
    """The fastest of several engines, found by a measurement of a second on the first inputs, made by `optimize`.

    Each is prepared for them, and they take turns; what loses is forgotten. `report` says what was measured.
    """

    def __init__(self, candidates: dict[str, nn.Module]) -> None:
        super().__init__()
        self.candidates = nn.ModuleDict(candidates)
        self.engine, self.measured = "", ""

    def forward(self, *inputs: Any) -> Any:
        chosen = self.__dict__.get("_chosen")  # by which no module is looked up
        if chosen is not None:
            return chosen(*inputs)
        if torch.compiler.is_compiling() or any(isinstance(x, torch.Tensor) and x.numel() == 0 for x in inputs):
            return self.candidates["torch"](*inputs)
        self.choose(*inputs)
        return self.candidates[self.engine](*inputs)

    @torch.no_grad()
    def choose(self, *inputs: Any) -> str:
        """Measure the engines on inputs, keep the fastest, for all further ones too, and return its name."""
        out: dict[str, str] = {}
        for name, candidate in self.candidates.items():
            try:
                if isinstance(candidate, Deployed):
                    refuse(name, inputs)
                    candidate.prepare(*inputs)
            except (RuntimeError, TypeError) as problem:
                out[name] = str(problem)
        running = {name: way for name, way in self.candidates.items() if name not in out}
        times = taking_turns({name: partial(way, *inputs) for name, way in running.items()})
        self.engine = min(times, key=times.__getitem__)
        shapes = shown([x.shape for x in pytree.tree_leaves(inputs) if hasattr(x, "shape")])
        said = [f"{name} {seconds * 1e3:.2f} ms" for name, seconds in sorted(times.items(), key=lambda pair: pair[1])]
        self.measured = f"{', '.join(said)} on {shapes}" + "".join(f"; not {name}: {why}" for name, why in out.items())
        kept = self.candidates[self.engine]
        self.candidates = nn.ModuleDict({self.engine: kept})
        self.__dict__["_chosen"] = kept.forward
        return self.engine

    def report(self, *arguments: Any, **named: Any) -> str:
        """Say which engine was chosen and why, and what its own report says."""
        if not self.engine:
            return f"{', '.join(self.candidates)}: the first inputs decide; call it, or `choose(*inputs)`"
        kept: Any = self.candidates[self.engine]
        return f"{self.engine}, the fastest: {self.measured}\n{kept.report(*arguments, **named)}"

    def extra_repr(self) -> str:
        return f"engine={self.engine}, measured: {self.measured}" if self.engine else "engine=auto, not measured yet"


def taking_turns(runs: dict[Any, Callable[[], object]], seconds: float = SECONDS) -> dict[Any, float]:
    """Return the least time of each of several runs, in seconds, that take turns for some seconds in all.

    What others do on the machine only adds to a time, and a machine that changes its speed does so for all of them.
    On one thread it is the processor time of this process, to which they add least: with eight programs on two cores
    wall time took PyTorch for the fastest on ResNet-50. Each runs five times at least.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for run in runs.values():
        run()
    times: dict[Any, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 5:
        for name, run in runs.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: min(found) for name, found in times.items()}
