"""Operators that take a pipeline: what they do to shapes is what the pipeline does, with a condition."""

from __future__ import annotations

from archdsl.ops._op import Kernel, Kind, Op, arg, choice, integer, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.sizes import Dim, Shape

EVALUATIONS = {"euler": 1, "midpoint": 2, "rk4": 4}  # of the function, in each step


# Each step as the generated code runs it: a variable, what it is assigned (`f` of one, a product by a number, a sum),
# and from which. Memory and the count of operations follow from these lines.
STATEMENTS = {
    "euler": "k1 f x, t mul k1, x add x t, t free",
    "midpoint": "k1 f x, t mul k1, a add x t, t free, r f a, a free, t mul r, r free, x add x t, t free",
    "rk4": (
        "k1 f x, t mul k1, a add x t, t free, k2 f a, a free, t mul k2, a add x t, t free, k3 f a, a free, "
        "t mul k2, s add k1 t, t free, t mul k3, u add s t, s free, t mul k3, a add x t, t free, r f a, a free, "
        "s add u r, u free, r free, t mul s, s free, x add x t, t free"
    ),
}


def pipeline() -> Kind:
    """A pipeline; the elaborator applies it in a scope of its own."""
    return Kind("a pipeline", lambda value: value is not None)


class Wrapper(Op):
    """Base of the operators that take a pipeline `f`; their module holds it as its attribute `f`."""

    f: bool = arg(pipeline(), doc="applied in a module of its own, `f`")

    @property
    def evaluations(self) -> int:
        """How often `f` runs for each input."""
        raise NotImplementedError

    @property
    def repeats(self) -> int:
        """How many equal steps the evaluations are divided into."""
        return 1

    @property
    def statements(self) -> tuple[tuple[str, ...], ...]:
        """One step as (variable, action, sources), with the actions `f`, `mul`, `add` and `free`."""
        raise NotImplementedError

    def elementwise(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> Dim:
        return volume(ys[0]) * len(self.kernels(xs, ys))

    def kernels(self, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        one = volume(ys[0])
        known = {"mul": Kernel("mul", (one,), (one,)), "add": Kernel("add", (one, one), (one,))}
        return tuple([known[action] for _, action, *_ in self.statements if action in known]) * self.repeats


class Ode(Wrapper):
    """Solution at time 1 of dx/dt = f(x), with x at time 0 the input (Chen et al., 2018, arXiv:1806.07366).

    `f` must keep the shape. The step is fixed, 1 / steps; with `euler` and one step it is a residual block, x + f(x).
    """

    solver: str = arg(choice(*EVALUATIONS), "rk4", doc="the rule of each step")
    steps: int = arg(integer(1, 10_000), 1, doc="steps from time 0 to time 1")

    name = "ode"
    support = '''\
class Ode(nn.Module):
    """Solution at time 1 of dx/dt = f(x), in equal steps of Euler's, the midpoint or the Runge-Kutta rule."""

    def __init__(self, f: nn.Module, solver: str, steps: int) -> None:
        super().__init__()
        self.f, self.solver, self.steps = f, solver, steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = 1 / self.steps
        for _ in range(self.steps):
            k1 = self.f(x)
            if self.solver == "euler":
                x = x + h * k1
            elif self.solver == "midpoint":
                x = x + h * self.f(x + h / 2 * k1)
            else:
                k2 = self.f(x + h / 2 * k1)
                k3 = self.f(x + h / 2 * k2)
                x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + self.f(x + h * k3))
        return x
'''

    @property
    def evaluations(self) -> int:
        """How often `f` runs for each input."""
        return EVALUATIONS[self.solver] * self.steps

    @property
    def repeats(self) -> int:
        """How many equal steps the evaluations are divided into."""
        return self.steps

    @property
    def statements(self) -> tuple[tuple[str, ...], ...]:
        """One step as (variable, action, sources), with the actions `f`, `mul`, `add` and `free`."""
        return tuple([tuple(line.split()) for line in STATEMENTS[self.solver].split(", ")])


WRAPPERS: dict[str, type[Wrapper]] = {"ode": Ode}
