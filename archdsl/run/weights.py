"""Published weights: read from a file, renamed where another library names its layers otherwise, and loaded.

A network with the labels of its reference needs no renaming. For the others a file of rules stands beside the `.arch`
file, `preresnet50.keys` beside `preresnet50.arch`, with a section for each library:

    [pytorchcv]
    features.stage{i}.unit{j} = layer{i}.{j-1}
    output = fc

A rule rewrites whole components of a name, wherever they stand in it; rules apply one after the other. `{i}` is a
number, which the right side may shift.
"""

from __future__ import annotations

import os
import re
from configparser import ConfigParser
from configparser import Error as ConfigError
from typing import TYPE_CHECKING, Any

import torch

from archdsl.core.record import Record
from archdsl.core.source import visible
from archdsl.diagnostics.extras import Needing
from archdsl.run.mistakes import WeightsError as WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

State = dict[str, torch.Tensor]
HOLE = re.compile(r"\{(\w+)([+-]\d+)?\}")
MAX_RULES = 1 << 20  # characters of a file of rules that are read
COUNTER = "num_batches_tracked"  # absent from checkpoints older than PyTorch 0.4.1, and used in training only


class Rule(Record):
    """One line of a `.keys` file: a pattern for components of a name, and what replaces them."""

    pattern: re.Pattern[str]
    replacement: str

    def __call__(self, name: str) -> str:
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
        made[name] = value
    return made


def read(path: str | os.PathLike[str]) -> State:
    """Return the weights of a `.safetensors` file, or of one that `torch.save` wrote, which runs no code."""
    path = os.fspath(path)
    if path.endswith(".safetensors"):
        with Needing("a `.safetensors` file"):
            from safetensors.torch import load_file

        return dict(load_file(path))
    found: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model_state_dict", "model", "net"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise WeightsError(f"{path} holds no weights by name")
    if all(name.startswith("module.") for name in found):  # saved from nn.DataParallel
        found = {name.removeprefix("module."): value for name, value in found.items()}
    return dict(found)


def carry_over(
    model: nn.Module, state: State, libraries: dict[str, list[Rule]], *, partly: bool = False, source: str = "the file"
) -> None:
    """Load weights into a network, under its own names or those of a library; with `partly`, more than it has.

    Raises `WeightsError`, which names the layers that differ.
    """
    own = model.state_dict()
    forms = [state, *(renamed(state, library) for library in libraries.values())]
    best = min(forms, key=lambda form: len(_missing(own, form)))
    missing, unexpected = _missing(own, best), [name for name in best if name not in own]
    if missing or (unexpected and not partly):
        raise WeightsError(_difference(source, own, missing, unexpected))
    wrong = [name for name, value in own.items() if name in best and value.shape != best[name].shape]
    if wrong:
        name = wrong[0]
        more = f", and {len(wrong) - 1} more differ" if len(wrong) > 1 else ""
        shapes = f"{list(best[name].shape)} in {source} and {list(own[name].shape)} in the network"
        raise WeightsError(f"`{name}` is {shapes}{more}")
    model.load_state_dict({name: best.get(name, value) for name, value in own.items()})


def _missing(own: State, state: State) -> list[str]:
    return [name for name in own if name not in state and not name.endswith(COUNTER)]


def _difference(source: str, own: State, missing: list[str], unexpected: list[str]) -> str:
    parts = []
    for what, names in (("lacks", missing), ("has", unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{what} {', '.join(f'`{n}`' for n in names[:3])}{more}")
    return f"{source} does not fit this network of {len(own)} tensors: it {', and '.join(parts)}"
