"""The module that `optimize` makes: its graph, and what it says of itself."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from archdsl.inference.cuda_graph import Replays
from archdsl.inference.left import Left
from archdsl.inference.notes import Notes
from archdsl.inference.trace import trace
from archdsl.inference.traffic import Traffic, traffic


class Optimized(nn.Module):
    """A network for inference, made by `optimize`: same inputs and outputs, within rounding.

    Inputs that have a default, such as a mask that may be None, have it here for good: another one is a `TypeError`.
    """

    def __init__(self, graph: fx.GraphModule, fused: Notes, left: Left, graphs: bool = True) -> None:
        super().__init__()
        self.network, self.fused, self.left = graph, fused, left
        self.names: list[str] = graph.meta["names"]  # of all inputs of the model
        self.defaults: dict[str, Any] = graph.meta["defaults"]
        self.replays = (
            Replays() if graphs and not graph.meta["kept"] else None
        )  # what decides by values is not recorded

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if named or len(inputs) > len(self.names) - len(self.defaults):
            inputs = self._bound(inputs, named)
        return self.network(*inputs) if self.replays is None else self.replays(self.network, inputs)

    def _bound(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return the inputs of the graph, in its order; raises `TypeError` for one that it does not take."""
        if len(inputs) > len(self.names):
            return inputs  # a `forward` may take any number
        given = dict(zip(self.names, inputs)) | named
        for name, default in self.defaults.items():
            value = given.pop(name, default)
            if value is not default and (type(value) is not type(default) or value != default):
                raise TypeError(
                    f"`{name}` had its default, {default!r}, when the network was optimized, and {value!r:.60} is "
                    f"given: optimize a module whose `forward` gives it"
                )
        taken = [name for name in self.names if name in given]
        if len(taken) < len(given):
            raise TypeError(f"the network takes {', '.join(self.names)}, not {', '.join(given.keys() - set(taken))}")
        return tuple([given[name] for name in taken])

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        if self.replays is not None:
            self.replays.forget()
        return super()._apply(fn, recurse)

    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        if self.replays is not None:
            self.replays.forget()
        return super().load_state_dict(*arguments, **named)

    def report(self, plain: nn.Module | None = None, *inputs: Any, element: int = 2) -> str:
        """Say what was fused, what was not and why, and the bytes that one inference of `inputs` moves before and now.

        Bytes of activations, `element` to a number (2 in bf16), each tensor read and written where a step does so;
        weights are not counted. Runs both once. Without the module or its inputs, nothing is said of bytes.
        """
        if plain is None or not inputs:
            hint = "the bytes that are moved: `report(model, images)`, the module that was optimized and its inputs"
            return "\n".join([*self.done(), hint])
        before, after = traffic(trace(plain), *inputs, element=element), traffic(self.network, *inputs, element=element)
        return "\n".join([*self.done(), _moved(before, "before"), _moved(after, "after")])

    def done(self) -> list[str]:
        """Return a line for each kind of step that was fused, and for each that was not, with its reason."""
        fused = [f"{count:4d}  {what}" for what, count in self.fused.items()]
        return fused + [f"{len(names):4d}  {what} ({_some(names)})" for what, names in self.left.items()]


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _moved(bytes_and_steps: Traffic, when: str) -> str:
    return f"{bytes_and_steps.steps} steps that move {bytes_and_steps.bytes / 1e6:.1f} MB {when}"
