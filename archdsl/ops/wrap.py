"""Operators that take a pipeline: what they do to shapes is what the pipeline does, with a condition."""

from __future__ import annotations

from archdsl.ops.base import Kind, Op, arg, boolean, choice, integer, number

# Evaluations of the function in each step; for dopri5, two that choose the first step and six that take it.
EVALUATIONS = {"dopri5": 8, "euler": 1, "midpoint": 2, "rk4": 4}


def pipeline() -> Kind:
    """A pipeline; the elaborator applies it in a scope of its own."""
    return Kind("a pipeline", lambda value: value is not None)


class Wrapper(Op):
    """Base of the operators that take a pipeline `f`; their module holds it as its attribute `f`.

    They cost what `f` does, as often as it runs: a solver's own sums are a library's, and change with its version.
    """

    f: bool = arg(pipeline(), doc="applied in a module of its own, `f`")

    @property
    def evaluations(self) -> int:
        """How often `f` runs for each input."""
        return self.repeats

    @property
    def repeats(self) -> int:
        """How many equal steps the evaluations are divided into."""
        return 1


class Ode(Wrapper):
    """Solution at time 1 of dx/dt = f(x), with x at time 0 the input (Chen et al., 2018, arXiv:1806.07366).

    `f` must keep the shape. If it is a block with one argument left open, that is the time: a map [N, 1, H, W] of one
    value. torchdiffeq solves it. "dopri5" chooses its steps by the tolerance, so its cost is that of one step, the
    least there can be; the others take equal steps, and "euler" with one step is a residual block, x + f(x).
    """

    solver: str = arg(choice(*EVALUATIONS), "dopri5", doc="the method")
    steps: int = arg(integer(1, 10_000), 1, doc="equal steps from time 0 to time 1, but for dopri5")
    tolerance: float = arg(number(1e-12, 1.0, examples=(1e-3,)), 1e-3, doc="relative and absolute, for dopri5")
    adjoint: bool = arg(boolean(), False, doc="gradients by the adjoint equation, in memory that does not grow")

    name = "ode"
    support = '''\
class Ode(nn.Module):
    """Solution at time 1 of dx/dt = f(x), or f(x, t) where `timed`, with x at time 0 the input."""

    def __init__(
        self,
        f: nn.Module,
        solver: str = "dopri5",
        steps: int = 1,
        tolerance: float = 1e-3,
        adjoint: bool = False,
        timed: bool = False,
    ) -> None:
        super().__init__()
        self.f, self.timed, self.adjoint = f, timed, adjoint
        self.settings = {"rtol": tolerance, "atol": tolerance, "method": solver}
        if solver != "dopri5":
            self.settings["options"] = {"step_size": 1 / steps}

    def derivative(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.f(x, torch.ones_like(x[:, :1]) * t) if self.timed else self.f(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        times = torch.tensor([0.0, 1.0], dtype=x.dtype, device=x.device)
        if self.adjoint:
            settings = {**self.settings, "adjoint_params": tuple(self.f.parameters())}
            return odeint_adjoint(self.derivative, x, times, **settings)[-1]
        return odeint(self.derivative, x, times, **self.settings)[-1]
'''

    @property
    def evaluations(self) -> int:
        return EVALUATIONS[self.solver] * self.repeats

    @property
    def repeats(self) -> int:
        return 1 if self.solver == "dopri5" else self.steps


WRAPPERS: dict[str, type[Wrapper]] = {"ode": Ode}
