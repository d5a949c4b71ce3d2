"""Recipes: how a network is trained, as data, read from TOML files; those of papers are in `recipes/`.

A file gives the fields of a `Recipe` that differ from its defaults, and may say under `[sources]` where each is from:

    net = "resnet50"
    epochs = 90

    [sources]
    epochs = "torchvision, references/classification"
"""

from __future__ import annotations

import json
import os
import sys

from archdsl.core.record import Record
from archdsl.diagnostics.extras import Needing
from archdsl.run.mistakes import TrainingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FOLDER = os.path.join(os.path.dirname(__file__), "recipes")
WORDS = {  # what a field of words may say
    "optimizer": ("sgd", "rmsprop", "adamw"),
    "schedule": ("cosine", "steps", "decay", "constant"),
    "policy": ("", "autoaugment", "randaugment", "trivialaugment"),
    "interpolation": ("bilinear", "bicubic", "nearest"),
    "precision": ("float32", "bfloat16", "float16"),
}


class Recipe(Record):
    """How a network is trained. Times are in epochs, of any fraction, and batches are those of all processes together.

    `schedule` is how the rate goes on after `warmup` epochs, in which it rises linearly from `warmup_start` times
    `lr`: `cosine` down to `min_lr`, `steps` times `gamma` at each of `milestones`, which are counted from the start,
    `decay` times `gamma` after `every` so many epochs after the warm-up, or `constant`. `smoothing` is that of
    RMSprop (PyTorch's `alpha`), `beta2` and `eps` of AdamW and RMSprop. Without `decay_norms`, biases and the weights
    of norms have no `weight_decay`. `stage_decay` is the `decay` of `archdsl.parameter_groups`. `clip` is the largest
    norm of a gradient; 0 leaves it. `auxiliary` is how much the loss of a head counts that is there in training
    alone. `ema` is the share of itself that an average of the weights keeps in a step; 0 has none, and at step t it
    is at most (1 + t) / (10 + t), as TensorFlow has it.

    Images are of `crop` pixels, 0 being what the text of the network says. For training they are windows of `scale`
    times the area and a `ratio` of sides (Szegedy et al., 2015, arXiv:1409.4842, section 6), or, without a scale,
    what is for validation: the middle of an image whose shorter side is `resize`, 0 being `crop`. Then they are
    turned by up to `rotate` degrees, shifted by up to `shift` of their size and mirrored with probability `flip`;
    `policy` is a class of torchvision, `erasing` its probability. `mean` and `std` are those of the data where none
    are given.
    """

    net: str = ""
    epochs: int = 30
    batch: int = 64
    optimizer: str = "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    smoothing: float = 0.99
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decay_norms: bool = False
    stage_decay: float = 1.0
    clip: float = 0.0
    schedule: str = "cosine"
    milestones: tuple[float, ...] = ()
    every: float = 1.0
    gamma: float = 0.1
    warmup: float = 0.0
    warmup_start: float = 0.01
    min_lr: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    auxiliary: float = 0.3
    ema: float = 0.0
    crop: int = 0
    resize: int = 0
    scale: tuple[float, ...] = ()
    ratio: tuple[float, ...] = (3 / 4, 4 / 3)
    rotate: float = 0.0
    shift: float = 0.0
    flip: float = 0.0
    policy: str = ""
    erasing: float = 0.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    precision: str = "float32"
    channels_last: bool = False
    sync_norms: bool = False
    seed: int = 0

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return a recipe with other values of some fields; raises `TrainingError` for what is none of theirs."""
        return self.replace(**{name: _checked(name, value) for name, value in changes.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as JSON has them."""
        return {name: _plain(getattr(self, name)) for name in self.fields}

    def toml(self) -> str:
        """Return a file that gives all fields."""
        return "".join([f"{name} = {json.dumps(value)}\n" for name, value in self.as_dict().items()])


def names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(file.removesuffix(".toml") for file in os.listdir(FOLDER) if file.endswith(".toml"))


def recipe(given: str | os.PathLike[str] | Recipe) -> Recipe:
    """Return a recipe by its name, or of a `.toml` file.

    >>> recipe("resnet50").epochs
    90

    Raises `TrainingError` where there is none, or where the file says what is no field.
    """
    if isinstance(given, Recipe):
        return given
    return Recipe().changed({name: value for name, value in _read(given).items() if name != "sources"})


def sources(name: str) -> dict[str, str]:
    """Return where each field of a recipe of the package is from."""
    return dict(_read(name)["sources"])


def changes(texts: list[str]) -> dict[str, Any]:
    """Read `epochs=3`, each value as TOML has it; a word needs no quotes."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise TrainingError(f"`{text}` changes nothing: it is to be FIELD=VALUE, such as epochs=3")
        found[name.strip()] = _value(value.strip())
    return found


def _value(text: str) -> Any:
    try:
        return _parsed(f"value = {text}", text)["value"]
    except TrainingError:
        return text


def _read(given: str | os.PathLike[str]) -> dict[str, Any]:
    path = os.fspath(given)
    if path in names():
        path = os.path.join(FOLDER, f"{path}.toml")
    try:
        with open(path, encoding="utf-8") as file:
            return _parsed(file.read(), path)
    except (OSError, UnicodeDecodeError) as problem:
        known = ", ".join(names())
        raise TrainingError(f"`{path}` is no file that can be read, and no recipe of ours ({known})") from problem


def _parsed(text: str, path: str) -> dict[str, Any]:
    with Needing("a recipe"):
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise TrainingError(f"{path} is no TOML: {problem}") from None


def _checked(name: str, value: Any) -> Any:
    """Return the value of a field in its type; raises `TrainingError` where it has another or means nothing."""
    if name not in Recipe.fields:
        raise TrainingError(f"a recipe has no field `{name}`: it has {', '.join(Recipe.fields)}")
    default = getattr(Recipe(), name)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        value = tuple([float(item) for item in value])
    if type(value) is not type(default):
        raise TrainingError(f"`{name}` of a recipe is {_kind(default)}, not {value!r}")
    if value not in WORDS.get(name, (value,)):
        raise TrainingError(f"`{name}` of a recipe is one of {', '.join(filter(None, WORDS[name]))}, not `{value}`")
    if isinstance(value, (int, float)) and value < (1 if name in ("epochs", "batch") else 0):
        raise TrainingError(f"`{name}` of a recipe is not {value}")
    return value


def _kind(default: Any) -> str:
    return {bool: "true or false", int: "an integer", float: "a number", str: "a word"}.get(type(default), "numbers")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
