"""How weights start: the values that `init` clauses and the `init=` argument of an operator take.

An initializer names a function of `torch.nn.init` and its arguments; adding one is adding one row.
"""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.ops.base import MAX_REAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Initializer(Record):
    """One initializer with its arguments, in the order of its row."""

    name: str
    values: tuple[tuple[str, object], ...]

    def torch(self, tensor: str) -> str:
        """Return the source text that fills a parameter: `nn.init.normal_(m.weight, std=0.01)`."""
        row = ROWS[self.name]
        function = row.function
        arguments = []
        for name, value in self.values:
            if name == "distribution":
                function = function.replace("normal", str(value))
            elif value != row.torch_defaults.get(name):
                arguments.append(f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}")
        return f"nn.init.{function}({', '.join([tensor, *arguments])})"


class Row(Record):
    """A row of the table: the arguments with their defaults, and the function of `torch.nn.init`."""

    params: tuple[tuple[str, object], ...]
    function: str
    torch_defaults: dict[str, object]
    doc: str


ROWS = {
    "kaiming": Row(
        (("mode", "fan_in"), ("nonlinearity", "relu"), ("a", 0.0), ("distribution", "normal")),
        "kaiming_normal_",
        {"mode": "fan_in", "a": 0.0},
        "He et al. 2015, arXiv:1502.01852: variance 2 / fan, for rectifiers",
    ),
    "xavier": Row(
        (("gain", 1.0), ("distribution", "normal")),
        "xavier_normal_",
        {"gain": 1.0},
        "Glorot and Bengio 2010: variance 2 / (fan_in + fan_out)",
    ),
    "normal": Row((("std", 1.0), ("mean", 0.0)), "normal_", {"std": 1.0, "mean": 0.0}, "a normal distribution"),
    "uniform": Row((("a", 0.0), ("b", 1.0)), "uniform_", {"a": 0.0, "b": 1.0}, "a uniform distribution on [a, b]"),
    "trunc_normal": Row(
        (("std", 1.0), ("mean", 0.0), ("a", -2.0), ("b", 2.0)),
        "trunc_normal_",
        {"std": 1.0, "mean": 0.0, "a": -2.0, "b": 2.0},
        "a normal distribution cut to [a, b]",
    ),
    "constant": Row((("val", 0.0),), "constant_", {}, "one value everywhere"),
    "zeros": Row((), "zeros_", {}, "0 everywhere; on the last norm of a residual branch the block starts as identity"),
    "ones": Row((), "ones_", {}, "1 everywhere"),
}

BY_FAN = ("kaiming", "xavier")  # they scale by the inputs of a unit, which a vector of weights does not have

CHOICES = {
    "mode": ("fan_in", "fan_out"),
    "distribution": ("normal", "uniform"),
    "nonlinearity": ("relu", "leaky_relu", "linear", "tanh", "sigmoid", "selu"),
}


def make(name: str, values: dict[str, object]) -> Initializer:
    """Build an initializer.

    Raises `ValueError` with one of the parameters that were given and a bare reason where PyTorch would refuse it.
    """
    made = []
    for param, default in ROWS[name].params:
        value = values.get(param, default)
        if param not in CHOICES:
            _number(name, param, value)
        elif value not in CHOICES[param]:
            raise ValueError(param, "expects one of " + ", ".join(f'"{c}"' for c in CHOICES[param]))
        made.append((param, value))
    found = Initializer(name, tuple(made))
    if name in ("uniform", "trunc_normal"):
        _ordered(found, "b" if "b" in values else "a")
    return found


def _number(name: str, param: str, value: object) -> None:
    if type(value) not in (int, float) or not -MAX_REAL <= value <= MAX_REAL:  # type: ignore[operator]
        raise ValueError(param, "expects a number")
    if param in ("std", "gain") and value < 0:  # type: ignore[operator]
        raise ValueError(param, "expects a number ≥ 0")
    if name == "trunc_normal" and param == "std" and value == 0:
        raise ValueError(param, "expects a number above 0")


def _ordered(found: Initializer, param: str) -> None:
    """Raise an error where a range has its ends the wrong way round; PyTorch cuts a distribution to no single value."""
    values: dict[str, Any] = dict(found.values)
    if values["a"] > values["b"] or (found.name == "trunc_normal" and values["a"] == values["b"]):
        raise ValueError(param, "expects `a` to be less than `b`")
