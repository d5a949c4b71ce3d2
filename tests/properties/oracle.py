"""One program, run in every way there is: what differs from the checked network run node by node.

`differences(text)` compares with `archdsl.ir.interpret` in float64: the module that `load` builds, the written file executed
on its own, and `optimize`; in training the running statistics and gradients, too. Parameters and MACs are compared with
the module's own and torch's counter, sizes with what torch accepts, and `check`, `cost`, `sweep` and `search` with one
another. What is slow and the same code for every program is done for a share of them, by seed: `SHARES`.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import linecache
import os
import random
import sys
import tempfile
import warnings
from fractions import Fraction
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from archdsl import optimize
from archdsl.analysis import memory
from archdsl.analysis.conventions import CONVENTIONS
from archdsl.analysis.costs import cost, weights
from archdsl.analysis.diff import compare as compare_networks
from archdsl.analysis.legal import Legal, legal_sizes
from archdsl.analysis.table import Counter, table
from archdsl.cli import main as cli
from archdsl.cli.status import BUG
from archdsl.codegen import replay
from archdsl.codegen.lower import lower
from archdsl.codegen.module import emit
from archdsl.codegen.replay import faithful
from archdsl.compiler import Compiled, Request, compile_text, meant, value_of
from archdsl.core.sizes import Size
from archdsl.diagnostics import CompileError
from archdsl.elaborate.nets import Settings, elaborate
from archdsl.explore import symbolic
from archdsl.explore.search import search
from archdsl.explore.sweep import CLOSED, FIGURES, Evaluation, sweep
from archdsl.explore.sweep import shapes as shapes_text
from archdsl.ir.interpret import Mismatch, at, interpret
from archdsl.ir.liveness import needed
from archdsl.ir.network import Network, Output
from archdsl.ir.verify import verify
from archdsl.project import Project
from archdsl.report.check import report
from archdsl.run.load import PREFIX, instantiate
from tests.properties.laws import law, told
from tests.properties.programs import Arithmetic, distinct, used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archdsl.codegen.module import Emitted

EXACT = 1e-9  # of the largest value, in float64, where both run the same kernels
CARRIED = 0.1  # a program whose plain module is farther off overflows in float32, or nearly
ROUNDED = 1e-3  # in float32, and a hundred times the error of the plain module
TINY = 1e-18  # the largest of what has cancelled, of values of about 1: what is left are last digits of last digits
# What is done for one program in so many, by seed: it is slow, and the same code for all of them.
SHARES = {
    "float32": 4,  # optimized by itself; else what was optimized in float64, in float32
    "arranged": 3,  # optimized as for a GPU
    "selected": 3,
    "memory": 4,  # swept with peaks of memory
    "symbolic": 3,
    "search": 10,
    "cli": 12,  # the command `cost` with its views
    "export": 20,
    "onnx": 100,
}


def differences(text: str, seed: int = 0, thorough: bool = True, found: Compiled | None = None) -> list[str]:
    """Return what is wrong of a program, a line each: nothing, or the kind of difference and what it is.

    With `thorough` also training, gradients, sizes and costs. `found` is what checking the text has given, where that
    is known.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            case = Case(text, found or compile_text(text, Request("n")), seed, folder)
        except Exception as mistake:
            return [f"load: {_said(mistake)}"]
        wrong = []
        for check in (*VALUES, *(THOROUGH if thorough else ())):
            try:
                wrong += [f"{check}: {line}" for line in getattr(case, check)()]
            except Exception as mistake:
                wrong.append(f"{check}: {_said(mistake)}")
    _forget()
    return wrong


EMPTY = Project().text("fn same(a) = a\n")
VALUES = ("verified", "values", "loaded", "optimized", "arranged", "selected", "counts")
THOROUGH = ("sizes", "training", "costs", "swept", "searched", "printed", "exported", "calculated", "spelled")


def _forget() -> None:
    """Drop the modules of generated code, which `load` keeps: thousands of them would take gigabytes."""
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        linecache.cache.pop(f"<{name}>", None)
        del sys.modules[name]


class Case:
    """A program, its module in float64 with random weights, and an input."""

    def __init__(self, text: str, compiled: Compiled, seed: int, folder: str) -> None:
        self.text, self.compiled, self.network, self.seed = text, compiled, compiled.network, seed
        self.random, self.folder = random.Random(seed), folder
        torch.manual_seed(seed)
        self.emitted = emit(compiled.network)
        self.module = built(self.emitted).double().eval()
        scramble(self.module)
        self.inputs = inputs(self.network, {})
        self.state = self.module.state_dict()
        self.learned = {name for name, _ in self.module.named_parameters()}
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.wanted = interpret(self.network, self.state, *self.inputs)
        self.flops = counter.get_total_flops()

    def chosen(self, share: str) -> bool:
        """Say whether this program is one of a share."""
        return self.seed % SHARES[share] == 0

    @functools.cached_property
    def path(self) -> str:
        """A file that holds the program."""
        path = os.path.join(self.folder, "n.arch")
        with open(path, "w") as file:
            file.write(self.text)
        return path

    # ------------------------------------------------------------ evaluation
    def verified(self) -> Iterator[str]:
        verify(self.network)
        verify(lower(self.network, "all"))
        yield from ()

    @torch.no_grad()
    def values(self) -> Iterator[str]:
        yield from self.apart(results(self.network, self.module(*self.inputs)), self.wanted, self.inputs)

    @torch.no_grad()
    def loaded(self) -> Iterator[str]:
        """Run what `load` makes of it, which replays the code; that with kernels is replayed alone."""
        self.plain = instantiate(self.compiled, "none").double().eval()
        self.plain.load_state_dict(self.state)
        yield from self.apart(results(self.network, self.plain(*self.inputs)), self.wanted, self.inputs)
        lowered = lower(self.network, "all")
        if lowered.scope is not self.network.scope:
            yield from [f"replayed: {line}" for line in replay.differences(lowered, emit(self.network, kernels="all"))]

    @torch.no_grad()
    def optimized(self) -> Iterator[str]:
        """Run what `optimize` makes of the module in float64, then in float32, where other kernels run."""
        fast = optimize(self.module)
        exact = results(self.network, fast(*self.inputs))
        plain = self.plain.float()
        fast = optimize(plain) if self.chosen("float32") else fast.float()
        if "maxunpool" in used(self.network):  # where neighbours are equal, rounding says where the maximum was
            return
        wrong = [*compare(exact, self.wanted, 1e-7)]
        if wrong and (trembling := self.trembling()) > 1e-9:  # as where a norm divides by what has cancelled
            wrong = [*compare(exact, self.wanted, 100 * trembling)]
        yield from [f"in float64 {line}" for line in wrong]
        small = [x.float() for x in self.inputs]
        for given in (small, [x[:2] for x in small]):
            wanted = results(self.network, self.module(*[x.double() for x in given]))
            if not all(value.isfinite().all() for value in wanted.values()):
                return  # a relu that oneDNN fuses makes 0 of what is no number
            error = distance(results(self.network, plain(*given)), wanted)
            more = distance(results(self.network, fast(*given)), wanted)
            if error < CARRIED and more > ROUNDED and more > 100 * error:
                yield f"{more:.1e} where the plain module is {error:.1e} off, {tuple(given[0].shape)}"

    def trembling(self) -> float:
        """Return how far results move with inputs by a few units in their last place."""
        made = results(self.network, self.module(*[x * (1 + 2**-50) for x in self.inputs]))
        return distance(made, self.wanted)

    @torch.no_grad()
    def arranged(self) -> Iterator[str]:
        """Run what `optimize` makes for a GPU, whose kernels have a plain form, and count what it moves."""
        if not self.chosen("arranged") or "maxunpool" in used(self.network):
            return
        module = built(emit(self.network, kernels="all")).double().eval()
        module.load_state_dict(self.state)
        yield from compare(results(self.network, module(*self.inputs)), self.wanted, 1e-9)
        fast = optimize(module, kernels="all")
        yield from compare(results(self.network, fast(*self.inputs)), self.wanted, 1e-7)
        if "dopri5" not in solvers(self.network) and "MB after" not in fast.report(self.module, *self.inputs):
            yield "no report"

    def counts(self) -> Iterator[str]:
        """Compare names, shapes, parameters and multiply-accumulates."""
        named = {name: tuple(p.shape) for name, p in self.module.named_parameters()}
        said = dict(weights(self.network.scope))
        if named != said:
            yield f"weights {sorted(set(named.items()) ^ set(said.items()))[:4]}"
        found = cost(self.network)
        if found.params != sum(p.numel() for p in self.module.parameters()):
            yield f"{found.params} parameters"
        if any(node == "dopri5" for node in solvers(self.network)):
            return
        counted = self.flops / 2 / len(self.inputs[0])
        if counted != found.macs:
            yield f"{found.macs} MACs where torch counts {counted}"
        shown = report(self.network)
        if (shown.params, shown.macs) != (found.params, found.macs):
            yield "`check` and `cost` differ"
        again = elaborate(self.compiled.file, "n", meant(self.compiled.file, "", self.compiled.request)[1])
        yield from [f"`diff` from itself: {change.text()}" for change in compare_networks(self.network, again).changes]

    @torch.no_grad()
    def selected(self) -> Iterator[str]:
        """Compare the net that returns one of its steps, and what that step returns in the whole."""
        scope = self.network.scope
        alive = needed(scope)
        named = [n for n in scope.nodes if n.labelled and not n.reuses and alive.intersection(n.outputs)]
        named = [n for n in named if getattr(n.what, "kind", "") != "net"]  # of which the whole may need less
        if not self.chosen("selected") or not named:
            return
        node = self.random.choice(named)
        network = elaborate(self.compiled.file, "n", Settings(outputs=(node.name,)))
        verify(network)
        whole = self.network.replace(scope=scope.replace(outputs=(Output("out", node.outputs[0]),)))
        wanted = interpret(whole, self.state, *self.inputs)
        module = built(faithful(network)).double().eval()
        module.load_state_dict({name: self.state[name] for name in module.state_dict()})
        taken = [x for name, x in zip(scope.input_names, self.inputs) if name in network.scope.input_names]
        made = results(network, module(*taken))
        yield from compare(dict(zip(wanted, made.values())), wanted, EXACT)

    # ------------------------------------------------------------ sizes
    @torch.no_grad()
    def sizes(self) -> Iterator[str]:
        """Run at sizes that are called legal, and at some that are not."""
        for legal in legal_sizes(self.network):
            for size in self.candidates(legal):
                yield from self.at_size(legal, size)

    def candidates(self, legal: Legal) -> list[int]:
        """Return the least legal size and its neighbours, and some at random."""
        least = legal.nearest(1)
        near = [] if least is None else [least - 1, least, least + 1, least + 2]
        return sorted({n for n in (*near, *[self.random.randint(1, 40) for _ in range(3)]) if 1 <= n <= 64})

    def finite(self, given: list[torch.Tensor]) -> bool:
        """Say whether every step returns numbers: a maximum of padding alone is minus infinity, which relu would hide."""
        with Finite() as seen:
            interpret(self.network, self.state, *given)
        return seen.all

    def at_size(self, legal: Legal, size: int) -> Iterator[str]:
        given = inputs(self.network, {legal.name: size})
        try:
            wanted = interpret(self.network, self.state, *given)
        except (Mismatch, RuntimeError, ValueError) as refused:
            if size in legal:
                yield f"{legal.name} = {size} is called legal: {_said(refused)}"
            return
        if size not in legal and self.finite(given):
            yield f"{legal.name} = {size} works and is called illegal: {legal}"
            return
        try:
            made = results(self.network, self.module(*given))
        except (RuntimeError, ValueError) as refused:
            yield f"{legal.name} = {size} is legal, and the module fails: {_said(refused)}"
            return
        yield from [f"{legal.name} = {size}: {line}" for line in self.apart(made, wanted, given)]

    # ------------------------------------------------------------ training
    def training(self) -> Iterator[str]:
        """Compare results, running statistics and gradients in training mode, random numbers being the same."""
        start = {name: value.clone() for name, value in self.state.items()}
        state = {name: value.clone().requires_grad_(name in self.learned) for name, value in start.items()}
        given = [x.clone().requires_grad_() for x in self.inputs]
        other = [x.clone().requires_grad_() for x in self.inputs]
        self.module.train()
        try:
            wanted = self.step(state, other)
        except ValueError as refused:  # batch statistics of one value in a channel
            if "Expected more than 1 value per channel" in str(refused):
                self.module.eval()
                return
            raise
        try:
            torch.manual_seed(7)
            # Fused kernels take exp(s - log(sum)) anew for the gradient, which rounds where products are large.
            with rows_first(), sdpa_kernel(SDPBackend.MATH):
                made = results(self.network, self.module(*given))
            if [*compare(real(made), real(wanted), EXACT)]:  # a maximum among equals (zeros of `drop_path`) jumps
                if "maxunpool" in used(self.network):  # and so does what is put back where the maximum was
                    return
                yield from unlike(real(made), real(wanted), real(self.step(*self.nudged(state))))
            for name, value in self.module.named_buffers():
                if "running" in name and [*compare({name: value}, {name: state[name]}, EXACT)]:
                    moved, again = self.nudged(start)
                    self.step(moved, again)
                    yield from unlike({name: value}, {name: state[name]}, {name: moved[name]})
            yield from self.gradients(made, wanted, given, other, state)
        finally:
            self.module.eval()
            self.module.load_state_dict(start)

    def step(self, state: dict[str, torch.Tensor], inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run the network node by node in training mode."""
        torch.manual_seed(7)
        with rows_first():
            return interpret(self.network, state, *inputs, training=True)

    def apart(
        self, made: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], given: list[torch.Tensor]
    ) -> Iterator[str]:
        """Compare results in evaluation, unless last digits move them as far: a mean of what has none is rounding."""
        if [*compare(made, wanted, EXACT)]:
            state = {name: nudged(value) for name, value in self.state.items()}
            yield from unlike(made, wanted, interpret(self.network, state, *map(nudged, given)))

    def nudged(self, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
        """Return weights and inputs with other last digits."""
        moved = [nudged(x).requires_grad_() for x in self.inputs]
        return {name: nudged(value).requires_grad_(value.requires_grad) for name, value in state.items()}, moved

    def gradients(
        self, made: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], given: list[torch.Tensor],
        other: list[torch.Tensor], state: dict[str, torch.Tensor],
    ) -> Iterator[str]:  # fmt: skip
        if not any(value.requires_grad for value in wanted.values()):
            return
        theirs = gradients(made, {**dict(self.module.named_parameters()), **named(given)})
        learned = {name: state[name] for name in self.learned}
        ours = gradients(wanted, {**learned, **named(other)})
        largest = max(float(value.abs().max()) for value in ours.values())
        off = {name: float((value - ours[name]).abs().max()) / max(largest, 1e-30) for name, value in theirs.items()}
        if max(off.values()) <= EXACT:
            return
        noise = self.noise(state, ours, largest)
        for name, error in off.items():
            if error > EXACT and error > 1e3 * noise:
                yield f"gradient of `{name}` is {error:.1e} of the largest off"

    def noise(self, state: dict[str, torch.Tensor], ours: dict[str, torch.Tensor], largest: float) -> float:
        """Return how far gradients move with the last digits of inputs and weights: norms of norms multiply rounding."""
        state, moved = self.nudged(state)
        made = self.step(state, moved)
        found = gradients(made, {**{n: v for n, v in state.items() if v.requires_grad}, **named(moved)})
        return max(float((value - ours[name]).abs().max()) / max(largest, 1e-30) for name, value in found.items())

    # ------------------------------------------------------------ costs
    def costs(self) -> Iterator[str]:
        """Count under some conventions; the table of one has the same total, and lines that add up to it."""
        scope, params = self.network.scope, cost(self.network).params
        names = self.random.sample(list(CONVENTIONS), 3)
        totals = {name: Counter(CONVENTIONS[name]).scope(scope) for name in names}
        name = names[0]
        found = table(self.network, name)
        if found.total != totals[name]:
            yield f"{name}: the table has {found.total}, and the counter {totals[name]}"
        lines = [line.figures for line in found.lines if line.depth == 0]
        if sum(line.counted for line in lines) != found.total.counted:
            yield f"{name}: the lines do not add up to {found.total.counted}"
        yield from [f"{n}: {each.params} parameters" for n, each in totals.items() if each.params != params]

    def at_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Return shapes of the inputs at other sizes, at random."""
        sizes = {s.name: s.default if s.name == "N" else self.random.randint(2, 30) for s in self.network.symbols}
        scope = self.network.scope
        return tuple(tuple(at(d, sizes) for d in scope.shapes[v]) for v in scope.inputs)

    def params(self) -> dict[str, int]:
        """Return other values of the net's parameters, at random."""
        given = [(name, value) for name, value in self.network.scope.args if type(value) is int]
        return {name: self.random.choice([1, 2, 3, 5, 8]) for name, _ in given}

    def checked(
        self, shapes: tuple[tuple[int, ...], ...], params: dict[str, Any], figures: tuple[str, ...]
    ) -> dict[str, int] | str:
        """Return the figures of the net at other sizes and parameters, each by itself; or why it is refused."""
        try:
            network = elaborate(self.compiled.file, "n", Settings(tuple(params.items()), shapes))
        except CompileError as mistake:
            return mistake.diagnostic.title
        found, counted = cost(network), Counter(CONVENTIONS["macs"]).scope(network.scope)
        known: dict[str, Callable[[], int]] = {
            "params": lambda: found.params,
            "macs": lambda: found.macs,
            "flops": lambda: 2 * found.macs,
            "bytes": lambda: counted.traffic.moved(),
            "operations": lambda: counted.operations,
            "memory": lambda: memory.inference(network).total,
            "training": lambda: memory.training(network).total,
        }
        return {figure: known[figure]() for figure in figures}

    def swept(self) -> Iterator[str]:
        """Compare what `sweep` and `check` say of other sizes and parameters."""
        evaluation, closed = Evaluation("", "n", file=self.compiled.file), tuple(CLOSED)
        every = FIGURES if self.chosen("memory") else closed
        for figures, params in ((closed, {}), (every, self.params())):
            shapes = self.at_sizes()
            found = evaluation.outcome((*params.items(), ("input", shapes)), figures)
            wanted = self.checked(shapes, params, figures)
            if isinstance(found, str) != isinstance(wanted, str):
                yield f"`sweep` says {found} at {shapes} {params}, and `check` {wanted}"
            elif not isinstance(wanted, str) and found != tuple(wanted.values()):
                yield f"`sweep` counts {found} at {shapes} {params}, and `check` {wanted}"

    def searched(self) -> Iterator[str]:
        """Compare what `search` and `sweep` find in a grid with what `check` says of its points."""
        if not self.chosen("search"):
            return
        sizes = [self.at_sizes() for _ in range(3)]
        grid = {name: [value, 1, 4] for name, value in self.params().items()}
        rows = {}
        for shapes in sizes:
            for values in itertools.product(*grid.values()):
                found = self.checked(shapes, dict(zip(grid, values)), ("params", "macs", "bytes"))
                if not isinstance(found, str):
                    rows[(*values, shapes_text(shapes))] = found
        if not rows:
            return
        made = sweep(self.path, net="n", sizes=sizes, **grid)
        swept = {tuple(row[n] for n in (*grid, "input")): (row["params"], row["macs"]) for row in made.rows}
        if swept != {key: (row["params"], row["macs"]) for key, row in rows.items()}:
            yield f"`sweep` finds {swept}, and `check` {rows}"
        most = sorted(row["macs"] for row in rows.values())[len(rows) // 2]
        best = search(self.path, budget=f"macs <= {most}", maximize="params + 2 * bytes", net="n", sizes=sizes, **grid)
        goal = max(row["params"] + 2 * row["bytes"] for row in rows.values() if row["macs"] <= most)
        if best.goal != goal or best.legal != sum(1 for row in made.rows):
            yield f"`search` finds {best.goal} of {best.legal}, and {goal} is the best of {len(made.rows)}"

    def fitted(self) -> Iterator[str]:
        """Compare the formula of the parameters of a net in one of its own with what `check` says, some steps away."""
        given = [(name, value) for name, value in self.network.scope.args if type(value) is int]
        for name, start in given[:1]:
            evaluation = Evaluation("", "n", file=self.compiled.file, asked=self.compiled.request)
            fit = symbolic.fitted(evaluation, name, Fraction(start))
            if fit is None:
                continue
            step = fit[0]
            value = start + step * self.random.randrange(max(64, int(32 / step)))
            params = {name: int(value) if value == int(value) else float(value)}
            found = self.checked((), params, ("params",))
            wanted = sum(factor * value**power for (power, *_), factor in fit[1]["params"].items())
            if not isinstance(found, str) and found["params"] != wanted:
                yield f"`cost --symbolic {name}` counts {wanted} parameters at {value}, in steps of {step}, and `check` {found}"

    def printed(self) -> Iterator[str]:
        """Run what `cost` prints."""
        if self.chosen("symbolic"):
            list(symbolic.in_sizes(self.network))
        if not self.chosen("cli"):
            return
        yield from self.fitted()
        for more in (
            ["--memory"],
            ["--symbolic", "H,W"],
            ["--json"],
            ["--csv"],
            ["--explain", "thop"],
            ["--by", "kind"],
        ):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = cli.main(["cost", self.path, "--net", "n", *more])
            if status == BUG:
                yield f"cost {more}: {err.getvalue()[-300:]}"

    # ------------------------------------------------------------ exports
    @torch.no_grad()
    def exported(self) -> Iterator[str]:
        """Run what `torch.export` makes of the module, and for a share what ONNX Runtime runs of it."""
        if not self.chosen("export") or solvers(self.network):  # torchdiffeq asks whether times grow: a value
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(self.module, tuple(self.inputs))
        yield from compare(results(self.network, program.module()(*self.inputs)), self.wanted, EXACT)
        apart = "maxunpool" in used(self.network) or shrinks(self.network)  # to another size, and pixels, in ONNX
        if self.chosen("onnx") and not apart and find_spec("onnxruntime") is not None:
            yield from self.through_onnx()

    def through_onnx(self) -> Iterator[str]:
        """Compare with ONNX Runtime, for programs whose steps all have a form in ONNX."""
        import onnxruntime

        small = tuple(x.float() for x in self.inputs)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                made = torch.onnx.export(self.plain.float(), small, dynamo=True, verbose=False, optimize=False)
            except torch.onnx.errors.OnnxExporterError:
                return
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(made.model_proto.SerializeToString(), options)
        given = {one.name: x.numpy() for one, x in zip(session.get_inputs(), small)}
        ran = [torch.from_numpy(y) for y in session.run(None, given)]
        plain = results(self.network, self.plain(*small))
        error, more = distance(plain, self.wanted), distance(dict(zip(self.wanted, ran)), self.wanted)
        if len(ran) != len(self.wanted) or (error < CARRIED and more > ROUNDED and more > 100 * error):
            yield f"in ONNX Runtime {len(ran)} results are {more:.1e} off, where the plain module is {error:.1e}"

    # ------------------------------------------------------------ numbers
    def calculated(self) -> Iterator[str]:
        """Evaluate arithmetic at random, and compare with Python's fractions."""
        for number in range(4):
            try:
                text, wanted = Arithmetic(100 * self.seed + number).expression(4)
            except ArithmeticError:
                continue
            try:
                whole = wanted.denominator if isinstance(wanted, Fraction) else 1  # a value may not be a fraction
                found = value_of(f"({text}) * {whole}", "n", EMPTY)
            except CompileError as mistake:
                if mistake.diagnostic.code != "E0211":
                    yield f"`{text}` is {wanted}, and refused: {mistake.diagnostic.title}"
                continue
            if found != wanted * whole or isinstance(found, float) is not isinstance(wanted, float):
                yield f"`{text}` is {wanted}, and {found} here"

    def spelled(self) -> Iterator[str]:
        """Compare two spellings of one network, which follow a law of the language."""
        one, other = law(self.seed)
        if told(compile_text(one, Request("n")).network) != told(compile_text(other, Request("n")).network):
            yield f"{one!r} is not {other!r}"


# -------------------------------------------------------------------------------------------------- comparing
def built(emitted: Emitted) -> nn.Module:
    """Return the net of a written file, executed on its own, whatever archdsl thinks of it."""
    space: dict[str, Any] = {"__name__": "written"}
    exec(compile(emitted.text, "<written>", "exec"), space)
    made = space[emitted.class_name]()
    assert isinstance(made, nn.Module)
    return made


@contextlib.contextmanager
def rows_first() -> Iterator[None]:
    """Draw what dropout leaves in the order of the rows; PyTorch draws in that of memory, and layouts may differ."""

    def dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        if not training or p == 0:
            return x
        kept = (torch.rand(x.shape, dtype=x.dtype) >= p).to(x.dtype)
        return x * kept if p == 1 else x * kept / (1 - p)

    def dropout2d(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return x * dropout(torch.ones(*x.shape[:2], 1, 1, dtype=x.dtype), p, training)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "dropout", dropout)
        patch.setattr(torch.nn.functional, "dropout2d", dropout2d)
        yield


def named(inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"input {i}": x for i, x in enumerate(inputs)}


def nudged(x: torch.Tensor) -> torch.Tensor:
    """Return numbers with other last digits; of maps in another layout, where equal ones may be rounded otherwise."""
    if not x.is_floating_point():
        return x.detach().clone()
    made = x.detach() * (1 + 1e-15 * torch.randn_like(x))
    return made.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else made


def unlike(
    made: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], moved: dict[str, torch.Tensor]
) -> Iterator[str]:
    """Compare results, of which is known how far last digits have `moved` what is wanted: that far they may be apart."""
    found = list(compare(made, wanted, EXACT))
    if found and not distance(made, wanted) <= 1e3 * distance(moved, wanted):
        yield from found


def gradients(results: dict[str, torch.Tensor], leaves: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the gradients of a random sum of some results."""
    torch.manual_seed(11)
    values = [value for value in results.values() if value.requires_grad]
    total = sum((value * torch.randn(value.shape, dtype=value.dtype)).sum() for value in values)
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {name: torch.zeros_like(x) if g is None else g for (name, x), g in zip(leaves.items(), found)}


def real(results: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return results without positions of maxima, which jump where neighbours are equal but for rounding."""
    return {name: value for name, value in results.items() if value.is_floating_point()}


def compare(made: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], most: float) -> Iterator[str]:
    """Yield what differs by more than a share of the largest value."""
    if list(made) != list(wanted):
        yield f"{list(made)} instead of {list(wanted)}"
        return
    for name, value in made.items():
        if value.shape != wanted[name].shape:
            yield f"`{name}` is {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
            continue
        error = distance({name: value}, {name: wanted[name]})
        if not error <= most:
            yield f"`{name}` is {error:.1e} off"


def distance(made: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Return the largest difference, as a share of the largest value; infinite where only one is finite."""
    worst = 0.0
    for name, value in made.items():
        a, b = value.detach().double(), wanted[name].detach().double()
        if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
            return float("inf")
        a, b = a[a.isfinite()], b[b.isfinite()]
        if a.numel():
            worst = max(
                worst, float((a - b).abs().max() / b.abs().max().clamp(min=TINY)) if not torch.equal(a, b) else 0.0
            )
    return worst if isfinite(worst) else float("inf")


def results(network: Network, made: Any) -> dict[str, torch.Tensor]:
    """Return what a module returns by name, as `interpret` does."""
    if isinstance(made, torch.Tensor):
        return {next(o.name for o in network.scope.outputs if not o.training): made}
    return {name: value for name, value in zip(made._fields, made) if value is not None}


class Finite(TorchFunctionMode):
    """Notes whether all that is computed is finite."""

    all = True

    def __torch_function__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_floating_point():
            with torch._C.DisableTorchFunction():
                self.all = self.all and bool(made.isfinite().all())
        return made


def inputs(network: Network, sizes: dict[str, int], batch: int = 3) -> list[torch.Tensor]:
    """Return random inputs, at the default sizes but for some."""
    shapes = [network.scope.shapes[v] for v in network.scope.inputs]
    batches = {shape[0].symbol.name: batch for shape in shapes if isinstance(shape[0], Size)}
    values = {symbol.name: symbol.default for symbol in network.symbols} | batches | sizes
    return [
        torch.randn([at(d, values) if isinstance(d, Size) else int(d) for d in shape], dtype=torch.float64)
        for shape in shapes
    ]


@torch.no_grad()
def scramble(module: nn.Module) -> None:
    """Give every weight and statistic a value of its own, so that no zero and no one hides anything."""
    for name, value in module.state_dict(keep_vars=True).items():  # the numbers of a `filter` are no state
        if "running_var" in name or (value.dim() == 1 and name.endswith("weight")):
            value.uniform_(0.5, 1.5)
            if name.endswith("weight"):
                value *= torch.randint(0, 2, value.shape) * 2 - 1
        elif value.is_floating_point():
            value.normal_(0, 0.3 if value.dim() < 2 else (2 / max(1, value[0].numel())) ** 0.5)


def shrinks(network: Network) -> bool:
    """Say whether maps are made smaller by their nearest pixels.

    ONNX Runtime divides by a rounded share, and takes the pixel before: of 60 rows it makes 2 from rows 0 and 29.
    """
    for scope in distinct(network.scope, {}).values():
        for node in scope.nodes:
            if getattr(node.what, "name", "") == "upsample" and node.what.mode == "nearest":
                sides = [[int(size) for size in scope.shapes[value][2:]] for value in (node.outputs[0], node.inputs[0])]
                if any(made < given for made, given in zip(*sides)):
                    return True
    return False


def solvers(network: Network) -> set[str]:
    """Return the solvers that a network uses."""
    return {s.wrapper.solver for s in distinct(network.scope, {}).values() if s.wrapper is not None}  # type: ignore[attr-defined]


def _said(mistake: BaseException) -> str:
    return f"{type(mistake).__name__}: {' '.join(str(mistake).split())[:200]}"
