"""A graph that a file holds, as a module: its steps in order, in the modules that the file tells of.

A file has no classes, and maybe their names. So each module is a `Part`, which says what it stands for; steps that
follow one another within the same module are one call of it, as if the module had been called.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from archdsl.importer.graph import Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Place = tuple[str, str]  # the name of a module from the root, and of its class

LARGEST = 1 << 30  # elements of a tensor beyond which a file is refused: 4 GiB in single precision


class Malformed(Exception):
    """A file that is no network, or none that is read here: what is wrong, and where."""


@dataclass(frozen=True, eq=False)
class Step:
    """One step: what it reads and makes by name, and in which modules it stands, outermost first.

    The names of values begin with `%`; any other name is that of a weight.
    """

    run: Callable[..., Any]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    scope: tuple[Place, ...] = ()

    @property
    def path(self) -> str:
        """The name of the innermost module."""
        return self.scope[-1][0] if self.scope else ""


class Part(nn.Module):
    """A module of a file; `stands_for` is its class there, or one made for the purpose."""

    stands_for: type = nn.Module

    def forward(self, call: _Call, *given: torch.Tensor) -> None:
        """Run the steps of one call on the values that are there, of which `given` are those that it reads."""
        for item in call.items:
            if isinstance(item, Step):
                call.program.take(item)
            else:
                item.part(item, *(call.program.values[name] for name in item.given))


@dataclass(eq=False)
class _Call:
    """A module as it is called once, with the names of what it is given."""

    part: Part
    program: Program
    items: list[Step | _Call] = field(default_factory=list)
    given: tuple[str, ...] = ()

    def steps(self) -> Iterable[Step]:
        for item in self.items:
            yield from (item,) if isinstance(item, Step) else item.steps()


class Program(Part):
    """The steps of a file as a module of one input, whose weights have the names that they have there."""

    def __init__(
        self,
        steps: Sequence[Step],
        image: str,
        results: dict[str, str],
        weights: dict[str, torch.Tensor],
        *,
        root: type = nn.Module,
    ) -> None:
        super().__init__()
        self.stands_for, self.image, self.results = root, image, results
        self.values: dict[str, Any] = {}
        self._classes: dict[str, type] = {"torch.nn.modules.container.Sequential": nn.Sequential}
        for name, tensor in weights.items():
            self._keep(name, tensor)
        self._call = _Call(self, self)
        self._arranged(_standing(steps))

    def forward(self, image: torch.Tensor) -> Any:
        """Return the results, by name where there are several."""
        self.values = {self.image: image}
        super().forward(self._call)
        made = {name: self.values[value] for name, value in self.results.items()}
        self.values = {}
        return made[""] if [*made] == [""] else made

    def take(self, step: Step) -> None:
        """Run one step."""
        found = [self.values[name] if name[0] == "%" else self._weight(name) for name in step.reads]
        made = step.run(*found)
        several = made if len(step.makes) > 1 else [made]
        for name, value in zip(step.makes, several):
            if isinstance(value, torch.Tensor) and value.numel() > LARGEST:
                raise Unsaid(f"a tensor {list(value.shape)}, of more than {LARGEST:,} elements", step.path)
            self.values[name] = value

    def _weight(self, name: str) -> torch.Tensor:
        holder, _, last = name.rpartition(".")
        return getattr(self.get_submodule(holder), last)

    def _keep(self, name: str, tensor: torch.Tensor) -> None:
        """Register a weight: what is learned is a parameter, anything else a buffer."""
        holder, _, last = name.rpartition(".")
        part = self._part(holder)
        if not last or hasattr(part, last):
            raise Malformed(f"`{name}` is no name for a weight beside the others")
        if isinstance(tensor, nn.Parameter):
            part.register_parameter(last, tensor)
        else:
            part.register_buffer(last, tensor)

    def _part(self, path: str) -> Part:
        """Return the module of a name, which is made where it is not there."""
        found: Part = self
        for name in path.split(".") if path else ():
            if name not in found._modules:
                if not name or hasattr(found, name):
                    raise Malformed(f"`{path}` is no name for a module beside the others")
                found.add_module(name, Part())
            found = found._modules[name]
        return found

    # ------------------------------------------------------------------------------------------ calls
    def _arranged(self, steps: Sequence[Step]) -> None:
        """Put steps into calls of modules."""
        open_calls = [(("", ""), self._call)]
        for step in steps:
            scope = [place for place in step.scope if place[0]]
            same = 0
            while same < min(len(scope), len(open_calls) - 1) and open_calls[same + 1][0] == scope[same]:
                same += 1
            del open_calls[same + 1 :]
            for path, kind in scope[same:]:
                part = self._part(path)
                part.stands_for = self._class(kind)
                call = _Call(part, self)
                open_calls[-1][1].items.append(call)
                open_calls.append(((path, kind), call))
            open_calls[-1][1].items.append(step)
        self._given(self._call)

    def _given(self, call: _Call) -> None:
        made = {name for step in call.steps() for name in step.makes}
        read = dict.fromkeys(name for step in call.steps() for name in step.reads)
        call.given = tuple(name for name in read if name not in made and name[0] == "%")
        for item in call.items:
            if isinstance(item, _Call):
                self._given(item)

    def _class(self, name: str) -> type:
        if name not in self._classes:
            self._classes[name] = type(name.rpartition(".")[2] or "Block", (), {})
        return self._classes[name]


def _standing(steps: Sequence[Step]) -> list[Step]:
    """Leave out modules of one step, which say no more than it does, and those that steps of others interrupt."""
    counted: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    before: frozenset[str] = frozenset()
    for step in steps:
        paths = frozenset(path for path, _ in step.scope)
        counted.update(paths)
        begun.update(paths - before)
        before = paths
    stay = {path for path, count in counted.items() if count > 1 and begun[path] == 1}
    return [replace(step, scope=tuple(place for place in step.scope if place[0] in stay)) for step in steps]
