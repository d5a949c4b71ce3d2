"""Published weights: read from a file, renamed where another library names its layers otherwise, and loaded.

A network with the labels of its reference needs no renaming. For the others a file of rules stands beside the `.arch`
file, `preresnet50.keys` beside `preresnet50.arch`, with a section for each library:

    [pytorchcv]
    features.stage{i}.unit{j} = layer{i}.{j-1}
    output = fc

A rule rewrites whole components of a name, wherever they stand in it; rules apply one after the other. `{i}` is a
number, which the right side may shift. What has nothing on its right side is no weight here, and is left out.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as ConfigError
from functools import partial
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

import torch

from archdsl.core.record import Record
from archdsl.core.source import visible
from archdsl.diagnostics.extras import Needing
from archdsl.run.adapt import Adapted, adapted
from archdsl.run.mistakes import WeightsError as WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

    from archdsl.analysis.ends import Ends

State = dict[str, torch.Tensor]
HOLE = re.compile(r"\{(\w+)([+-]\d+)?\}")
MAX_RULES = 1 << 20  # characters of a file of rules that are read
COUNTER = "num_batches_tracked"  # absent from checkpoints older than PyTorch 0.4.1, and used in training only


class Rule(Record):
    """One line of a `.keys` file: a pattern for components of a name, and what replaces them."""

    pattern: re.Pattern[str]
    replacement: str

    def __call__(self, name: str) -> str:
        if not self.replacement:
            return "" if self.pattern.search(name) else name
        return self.pattern.sub(self._replaced, name, count=1)

    def _replaced(self, found: re.Match[str]) -> str:
        def number(hole: re.Match[str]) -> str:
            return str(int(found.group(hole.group(1))) + int(hole.group(2) or 0))

        return HOLE.sub(number, self.replacement)


def rule(left: str, right: str) -> Rule:
    """Return the rule of one line: `features.stage{i} = layer{i}`."""
    seen: set[str] = set()

    def hole(found: re.Match[str]) -> str:
        name = found.group(1)
        if not name.isidentifier():
            raise WeightsError(f"`{{{name}}}` in the rule `{left}` is not a name")
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return rf"(?P<{name}>\d+)"

    pattern = re.sub(r"\\\{(\w+)\\\}", hole, re.escape(left))
    if any(name not in seen for name, _ in HOLE.findall(right)):
        raise WeightsError(f"the right side of the rule `{left} = {right}` has a number that the left side has not")
    return Rule(re.compile(rf"(?:^|(?<=\.)){pattern}(?=\.|$)"), right)


def rules(path: str) -> dict[str, list[Rule]]:
    """Return the rules that stand beside an `.arch` file, by library; none where there is no `.keys` file.

    Raises `WeightsError` where the file cannot be read as rules.
    """
    beside = os.path.splitext(path)[0] + ".keys"
    if not os.path.isfile(beside):
        return {}
    parser = ConfigParser(delimiters=("=",), comment_prefixes=("#",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        with open(beside, encoding="utf-8") as file:
            parser.read_string(file.read(MAX_RULES))
        return {section: [rule(*line) for line in parser.items(section)] for section in parser.sections()}
    except (ConfigError, UnicodeDecodeError, re.error) as problem:
        reason = " ".join(str(problem).split())
        raise WeightsError(visible(f"{beside} holds no rules for names: {reason[:200]}")) from None


def renamed(state: State, library: Iterable[Rule]) -> State:
    """Return weights under their names here."""
    made = {}
    for name, value in state.items():
        for one in library:
            name = one(name)
        if name:
            made[name] = value
    return made


def read(path: str | os.PathLike[str]) -> State:
    """Return the weights of a `.safetensors` file, or of one that `torch.save` wrote, which runs no code."""
    path = os.fspath(path)
    reader: Callable[[str], Any] = partial(torch.load, map_location="cpu", weights_only=True)
    if path.endswith(".safetensors"):
        with Needing("a `.safetensors` file"):
            from safetensors.torch import load_file
        reader = load_file
    with open(path, "rb"):  # a file that is not there is no file that is wrong
        pass
    return named(_read(path, reader), path)


def _read(path: str, reader: Callable[[str], Any]) -> Any:
    """Return what a reader makes of a file; both readers raise whatever they meet."""
    try:
        return reader(path)
    except Exception as problem:
        raise WeightsError(visible(f"{path} {_unreadable(problem)}")) from None


def _unreadable(problem: Exception) -> str:
    """Say why a file holds no weights."""
    reason = " ".join(str(problem).split()) or type(problem).__name__
    found = re.search(r"GLOBAL ([\w.]+)|(TorchScript) archive", reason)
    if found:
        what = f"an object of Python, `{found.group(1)}`," if found.group(1) else "TorchScript,"
        return f"holds {what} perhaps a whole model: to read it would run its code. Save `model.state_dict()` instead"
    if isinstance(problem, pickle.UnpicklingError):
        reason = "it is none that `torch.save` wrote"
    return f"cannot be read as weights: {reason[:200]}"


def named(given: object, source: str) -> State:
    """Return weights by name: those of a state dict, or of a checkpoint that holds one."""
    if isinstance(given, torch.nn.Module):
        raise WeightsError("a module is no file of weights: give its `state_dict()`")
    found: Any = given
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise WeightsError(f"{source} holds no weights by name")
    for wrapper in ("_orig_mod.", "module.", "_orig_mod."):  # torch.compile's, and that of nn.DataParallel
        if all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): value for name, value in found.items()}
    return dict(found)


def carry_over(
    model: nn.Module,
    state: State,
    libraries: dict[str, list[Rule]],
    *,
    partly: bool = False,
    source: str = "the file",
    ends: Ends | None = None,
) -> tuple[str, ...]:
    """Load weights into a network, under its own names or those of a library; with `partly`, more than it has.

    Where `ends` says where the network begins and ends, its head may be another than that of the weights, and images
    may have other channels: returns a clause for each layer that is new or was adapted. Raises `WeightsError`, which
    names the layers that differ.
    """
    own = model.state_dict()
    forms = [state, *(renamed(state, library) for library in libraries.values())]
    best = min(forms, key=lambda form: len(_missing(own, form)))
    ready = Adapted() if ends is None else adapted(own, best, ends, head=not partly)
    usable = {**best, **ready.made}
    missing, unexpected = _missing(own, best), [name for name in best if name not in own]
    if not ready.new.issuperset(missing) or (unexpected and not partly):
        raise WeightsError(_difference(source, own, missing, unexpected))
    kept = [name for name in own if name in usable and name not in ready.new]
    usable |= {name: _fitted(usable[name], own[name]) for name in kept}
    wrong = [name for name in kept if own[name].shape != usable[name].shape]
    if wrong:
        name = wrong[0]
        more = f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        shapes = f"{list(best[name].shape)} in {source} and {list(own[name].shape)} in the network"
        raise WeightsError(f"`{name}` is {shapes}{more}")
    model.load_state_dict({**own, **{name: usable[name] for name in kept}})
    return ready.said


def _fitted(value: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return a weight with the axes of size 1 that its place has at its ends: a linear layer is a 1x1 convolution."""
    return value.reshape(own.shape) if _core(value) == _core(own) else value


def _core(tensor: torch.Tensor) -> list[int]:
    """Return the shape without the axes of size 1 at its start and at its end."""
    behind = list(dropwhile(lambda size: size == 1, tensor.shape))
    return list(dropwhile(lambda size: size == 1, reversed(behind)))[::-1]


def _missing(own: State, state: State) -> list[str]:
    return [name for name in own if name not in state and not name.endswith(COUNTER)]


def _difference(source: str, own: State, missing: list[str], unexpected: list[str]) -> str:
    parts = []
    for what, names in (("lacks", missing), ("has", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{what} {', '.join(f'`{n}`' for n in names[:3])}{more}")
    return f"{source} does not fit this network of {len(own)} tensors: it {', and '.join(parts)}"
