"""Peak memory before any run, by the lifetimes that eager PyTorch gives its tensors.

Counted are weights, buffers, inputs, and every tensor between kernels, as its holders let it live: the call of a module
holds its input as long as the module runs, a local variable of the generated code what it was assigned, autograd what a
gradient needs; views and in-place results share their operand's storage. Not counted is what one kernel takes and gives
back inside itself (workspaces of convolution libraries), nor what an allocator rounds up.
"""

from __future__ import annotations

from collections import Counter

from archdsl.analysis.costs import weights
from archdsl.codegen.plans import lifetimes
from archdsl.core.record import Record
from archdsl.ir.liveness import LONG, in_place, needed
from archdsl.ir.network import Scope
from archdsl.ir.walk import once, uses
from archdsl.ops.base import Kernel, elements
from archdsl.ops.merge import Add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Network, Node
    from archdsl.ops.base import Op
    from archdsl.ops.wrap import Wrapper

    Lifetimes = dict[int, dict[int, int | None]]

SUM: Op = Add()
STATES = {"sgd": 0, "momentum": 1, "adam": 2}  # numbers that an optimizer keeps for each weight
TEMPORARY = {"sgd": 0, "momentum": 0, "adam": 2}  # copies of one weight tensor during its update, one after another


class Storage:
    """Memory that tensors share: its bytes, and how many hold it."""

    __slots__ = ("holders", "size")

    def __init__(self, size: int) -> None:
        self.size, self.holders = size, 1


class Value:
    """A tensor: its storage, and the number under which its gradient gathers; None where none is needed."""

    __slots__ = ("part", "slot", "storage")

    def __init__(self, storage: Storage, slot: int | None = None) -> None:
        self.storage, self.slot = storage, slot
        self.part = storage.size

    @property
    def size(self) -> int:
        """The bytes of its gradient: of a view only those that it shows."""
        return min(self.part, self.storage.size)


class Peak(Record):
    """Bytes at the moment when most are held, and the step that runs then.

    `activations` are the tensors between kernels, in training with their gradients; the others are there throughout,
    except that `gradients` of weights, those that exist at that moment, appear one by one.
    """

    activations: int
    weights: int
    inputs: int
    gradients: int = 0
    optimizer: int = 0
    at: str = ""

    @property
    def total(self) -> int:
        """All bytes together."""
        return self.activations + self.weights + self.inputs + self.gradients + self.optimizer

    def to_dict(self) -> dict[str, object]:
        """Return the peak as plain data."""
        parts = {name: getattr(self, name) for name in self.fields if name != "at"}
        return {"bytes": self.total, "at": self.at} | parts


class Inference:
    """Runs a network on storages instead of tensors, without gradients."""

    def __init__(self, size: int, batch: int, names: dict[int, dict[int, int | None]]) -> None:
        self.size, self.batch, self.names = size, batch, names
        self.live = self.peak = 0
        self.at = ""

    # ------------------------------------------------------------ storages
    def new(self, count: int, size: int = 0) -> Storage:
        """Allocate a storage for a batch of so many elements an image; it has one holder."""
        storage = Storage(count * self.batch * (size or self.size))
        self.live += storage.size
        return storage

    def hold(self, storage: Storage) -> Storage:
        """Add a holder."""
        storage.holders += 1
        return storage

    def release(self, storage: Storage) -> None:
        """Take a holder away; the last one frees the storage."""
        storage.holders -= 1
        if not storage.holders:
            self.live -= storage.size

    def watch(self, name: str) -> None:
        """Note the peak."""
        if self.live > self.peak:
            self.peak, self.at = self.live, name

    # ------------------------------------------------------------ steps
    def alive(self, scope: Scope) -> set[int]:
        """Return the values whose steps run."""
        return needed(scope)

    def scope(self, scope: Scope, inputs: list[Value], path: str = "") -> list[Value | None]:
        """Run a scope on inputs that the caller holds; each result has a holder more. Those of training may be None."""
        if scope.wrapper is not None:
            return self.wrapped(scope, inputs, path)
        lives = self.lives(scope)
        values = dict(zip(scope.inputs, inputs))
        for turn in lives.turns:
            node = turn.node
            made = self.node(scope, turn.number, node, [values[v] for v in node.inputs], f"{path}{node.name}")
            values.update({v: one for v, one in zip(node.outputs, made) if one is not None})
            for value in turn.named:
                if value in values:
                    self.hold(values[value].storage)
            for value in turn.released:
                if value in values:
                    self.release(values[value].storage)
        for value in lives.returned:
            if value in values:
                self.hold(values[value].storage)
        for value in lives.held:
            if value in values:
                self.release(values[value].storage)
        return [values.get(output.value) for output in scope.outputs]

    @once
    def lives(self, scope: Scope) -> Lives:
        """Return how long the values of a scope live."""
        return lives(scope, self.names.get(id(scope), {}), self.alive(scope))

    def wrapped(self, scope: Scope, inputs: list[Value], path: str) -> list[Value | None]:
        """Run the function of a wrapper; the slopes of a step are kept to its end, where they are summed.

        An approximation: what the solver keeps beside is its own.
        """
        assert scope.wrapper is not None, "only called for wrappers"
        node, x = scope.nodes[0], Value(self.hold(inputs[0].storage), inputs[0].slot)
        one = _volume(scope.shapes[scope.inputs[0]])
        for _ in range(self.steps(scope.wrapper)):
            slopes: list[Value] = []
            for _ in range(scope.wrapper.evaluations // scope.wrapper.repeats):
                times = {v: Value(self.new(_volume(scope.shapes[v]))) for v in node.inputs if v != scope.inputs[0]}
                made = self.node(scope, 0, node, [times.get(v, x) for v in node.inputs], f"{path}{node.name}")
                slopes += [slope for slope in made if slope is not None]
                for value in times.values():
                    self.release(value.storage)
            (result,) = self.kernels(SUM, (Kernel("add", (one,), (one,)),), [x, *slopes], 1, path or "ode")
            for value in (x, *slopes):
                self.release(value.storage)
            x = result
        return [x]

    def steps(self, wrapper: Wrapper) -> int:
        """Return how many steps of a wrapper are run: in inference all are alike."""
        return 1

    def node(self, scope: Scope, number: int, node: Node, operands: list[Value], name: str) -> Sequence[Value | None]:
        """Run a step; its results have a holder."""
        if isinstance(node.what, Scope):
            return self.scope(node.what, operands, f"{name}.")
        xs, ys = self.shapes(scope, node)
        kernels = self.run(node.what, xs, ys)
        if "source" in node.what.traits:
            return self.learned(node.what, kernels, name or node.what.name)
        if not kernels or number in self.overwriting(scope):
            views = self.shared(node.what, operands, len(ys), bool(kernels))
            for view, shape in zip(views, ys):
                view.part = _volume(shape) * self.batch * self.size
            return views
        return self.kernels(node.what, kernels, operands, len(ys), name or node.what.name)

    @once
    def overwriting(self, scope: Scope) -> frozenset[int]:
        """Return the steps of a scope that overwrite their operand."""
        return in_place(scope)

    def run(self, op: Op, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        """Return the kernels of an operator in this mode."""
        return op.kernels(xs, ys)

    def shared(self, op: Op, operands: list[Value], count: int, changed: bool) -> list[Value]:
        """Return results that share the first operand's storage: views, or the operand itself `changed` in place."""
        return [Value(self.hold(operands[0].storage)) for _ in range(count)]

    def learned(self, op: Op, kernels: tuple[Kernel, ...], name: str) -> list[Value]:
        """Return what weights alone make, for a batch once: a view of one, or what kernels write."""
        storage = Storage(0)
        for kernel in kernels:
            made = Storage(int(kernel.once) * self.size)
            self.live += made.size
            self.watch(name)
            self.release(storage)
            storage = made
        return [Value(storage)]

    def kernels(
        self, op: Op, kernels: tuple[Kernel, ...], operands: list[Value], results: int, name: str
    ) -> list[Value]:
        """Run kernels; returns as many results."""
        made = self.ran(kernels, name)
        for storage in made[results:]:
            self.release(storage)
        return [Value(storage) for storage in made[:results]]

    def ran(self, kernels: tuple[Kernel, ...], name: str) -> list[Storage]:
        """Run kernels, each on the result of the one before it, and return what the last one writes.

        Whatever else one writes before the last is gone when it has run.
        """
        before: list[Storage] = []
        for place, kernel in enumerate(kernels, 1):
            after = [self.new(int(n)) for n in kernel.writes] + [self.new(int(n), LONG) for n in kernel.long_writes]
            variables = [self.new(int(n)) for n in kernel.held]
            self.watch(name)
            for storage in (*before, *variables):
                self.release(storage)
            before = after if place == len(kernels) else after[:1]
            for storage in after[len(before) :]:
                self.release(storage)
        return before

    def shapes(self, scope: Scope, node: Node) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
        """Return the shapes of a step's operands and results at the default size."""
        xs, ys = [tuple([_ints(scope.shapes[v]) for v in values]) for values in (node.inputs, node.outputs)]
        return xs, ys


class Turn(Record):
    """One step of a scope: its number, the results that a variable takes, and the values that lose a holder then."""

    number: int
    node: Node
    named: list[int]
    released: list[int]


class Lives(Record):
    """How long values live in a run of a scope: its steps, what it returns, and what it holds to its end."""

    turns: list[Turn]
    returned: list[int]
    held: list[int]


def lives(scope: Scope, names: dict[int, int | None], alive: set[int]) -> Lives:
    """Return how long values live where the steps of what is `alive` run, and variables have these lifetimes.

    A value is held until its last reader has run, and by a variable until that is assigned again.
    """
    nodes = [(number, node) for number, node in enumerate(scope.nodes) if alive.intersection(node.outputs)]
    there = {*scope.inputs, *[value for _, node in nodes for value in node.outputs]}
    overwritten: dict[int, list[int]] = {}  # by the value that overwrites them
    for value, until in names.items():
        if until is not None and value in there:
            overwritten.setdefault(until, []).append(value)
    left = Counter([v for _, node in nodes for v in node.inputs] + [o.value for o in scope.outputs])
    turns = []
    for number, node in nodes:
        left.subtract(node.inputs)
        released = [v for value in node.outputs for v in overwritten.get(value, ())]
        released += [v for v in {*node.inputs, *node.outputs}.difference(scope.inputs) if not left[v]]
        turns.append(Turn(number, node, [v for v in node.outputs if v in names], released))
    returned = [o.value for o in scope.outputs if o.value in there]
    variables = [v for v, until in names.items() if v in there and (until is None or until not in there)]
    return Lives(turns, returned, [*{*returned}.difference(scope.inputs), *variables])


class Wanted(Record):
    """A gradient that a step gives: its slot, its bytes, and whether it is that of the result, and no new memory."""

    slot: int
    size: int
    passes: bool


class Entry:
    """What autograd keeps of one step: slots of operands and results, saved storages, sizes of gradients."""

    def __init__(
        self,
        op: Op,
        operands: list[Value],
        results: list[Value],
        saved: list[Storage],
        weight_sizes: list[int],
        name: str,
    ) -> None:
        taken = any(spec.kind.tensor for spec in op.args.values())  # an argument has no gradient
        learning = operands[:1] if taken or op.measures else operands
        passing = len(learning) if op.gradient == "same" else int(op.gradient == "first")
        whole = 0 if "repeats" not in op.traits else results[0].size  # what is repeated gets a sum
        self.wanted = [
            Wanted(v.slot, v.size, i < passing and v.size >= whole)
            for i, v in enumerate(learning)
            if v.slot is not None
        ]
        self.results = [v.slot for v in results]
        self.scratch = int(op.scratch * max([whole, *[v.size for v in operands[:1]]]))
        if op.gradient == "new" and any(v.size < whole for v in learning):
            self.scratch += whole  # a gradient before it is summed over the axes that were repeated
        self.early = op.early
        self.saved, self.weight_sizes, self.name = saved, weight_sizes, name


class Training(Inference):
    """Runs a network forward and backward."""

    def __init__(self, size: int, batch: int, names: dict[int, dict[int, int | None]]) -> None:
        super().__init__(size, batch, names)
        self.tape: list[Entry] = []
        self.slots = 0
        self.weight_gradients = self.gradients_at_peak = 0
        self.learning: set[str] = set()  # modules whose weights have a gradient, by path

    def watch(self, name: str) -> None:
        if self.live > self.peak:
            self.gradients_at_peak = self.weight_gradients
        super().watch(name)

    # ------------------------------------------------------------ forward
    def alive(self, scope: Scope) -> set[int]:
        return {value for node in scope.nodes for value in node.outputs}

    def run(self, op: Op, xs: tuple[Shape, ...], ys: tuple[Shape, ...]) -> tuple[Kernel, ...]:
        return op.training_kernels(xs, ys)

    def steps(self, wrapper: Wrapper) -> int:
        return wrapper.repeats

    def slot(self) -> int:
        """Return a number for a gradient."""
        self.slots += 1
        return self.slots

    def shared(self, op: Op, operands: list[Value], count: int, changed: bool) -> list[Value]:
        found = super().shared(op, operands, count, changed)
        if op.gradient == "same" and not changed:
            for value in found:
                value.slot = operands[0].slot
            return found
        return self.recorded(op, operands, found, [found[0].storage] if changed else [], op.name)

    def learned(self, op: Op, kernels: tuple[Kernel, ...], name: str) -> list[Value]:
        return self.recorded(op, [], super().learned(op, kernels, name), [], name)

    def kernels(
        self, op: Op, kernels: tuple[Kernel, ...], operands: list[Value], results: int, name: str
    ) -> list[Value]:
        made = self.ran(kernels, name)
        values = [Value(storage) for storage in made[:results]]
        read = operands if not op.measures else [operands[i] for i in op.reads(len(operands))]
        saved = [v.storage for v in read] if "operands" in op.saves else []
        saved += [operands[1].storage] if "indices" in op.saves else []
        saved += [values[0].storage] if "result" in op.saves else []
        saved += made[1:] if "extras" in op.saves else []
        found = self.recorded(op, operands, values, saved, name)
        for storage in made[results:]:
            self.release(storage)
        return found

    def recorded(
        self, op: Op, operands: list[Value], results: list[Value], saved: list[Storage], name: str
    ) -> list[Value]:
        """Write a step on the tape."""
        sizes = self.current if op.stateful else []
        if sizes or any(v.slot is not None for v in operands):
            for value in results:
                value.slot = self.slot()
            kept = [self.hold(storage) for storage in saved]
            self.tape.append(Entry(op, operands, results, kept, sizes, name))
        return results

    def node(self, scope: Scope, number: int, node: Node, operands: list[Value], name: str) -> Sequence[Value | None]:
        if not isinstance(node.what, Scope) and node.what.stateful:
            shapes = node.what.weights(_ints(scope.shapes[node.inputs[0]])).values()
            # The bytes of the weights' gradients of the step that runs.
            self.current = [_volume((1, *shape)) * self.size for shape in shapes]
        return super().node(scope, number, node, operands, name)

    # ------------------------------------------------------------ backward
    def backward(self, outputs: list[Value]) -> None:
        """Walk the tape from its end; gradients of weights stay."""
        gathered: dict[int, Storage] = {}
        for value in outputs:
            if value.slot is not None:
                gathered[value.slot] = Storage(0)  # the gradient of a sum is one number, expanded
        for entry in reversed(self.tape):
            given = [gathered.pop(slot) for slot in entry.results if slot in gathered]
            made = self.step_back(entry, given) if given else []
            for storage in entry.saved:  # before its gradients are added to others
                self.release(storage)
            for wanted, storage in zip(entry.wanted, made):
                self.gather(wanted.slot, wanted.size, storage, gathered, entry.name)

    def step_back(self, entry: Entry, given: list[Storage]) -> list[Storage]:
        """Compute the gradients of one step's operands and weights."""
        if entry.early:
            self.passed(entry.scratch, f"{entry.name}, backward")
        made = [self.hold(given[0]) if one.passes else self.allocated(one.size) for one in entry.wanted]
        if entry.weight_sizes or not all(one.passes for one in entry.wanted):
            added = sum(entry.weight_sizes)  # to the gradient that another use of the module has left, or is it
            if entry.name not in self.learning:
                self.learning.add(entry.name)
                self.live += added
                self.weight_gradients += added
                added = 0
            self.passed(added + (0 if entry.early else entry.scratch), f"{entry.name}, backward")
        for storage in given:
            self.release(storage)
        return made

    def passed(self, size: int, name: str) -> None:
        """Note the peak with so many bytes more, which are gone at once."""
        self.live += size
        self.watch(name)
        self.live -= size

    def gather(self, slot: int, size: int, storage: Storage, gathered: dict[int, Storage], name: str) -> None:
        """Add a gradient of so many bytes to those of other readers: in place where nobody else holds the sum.

        Its storage may be larger: that of a concatenation holds the gradients of all operands.
        """
        old = gathered.get(slot)
        if old is None:
            gathered[slot] = storage
            return
        if old.holders > 1:
            gathered[slot] = self.allocated(min(size, max(old.size, storage.size)))
            self.watch(f"{name}, backward")
            self.release(old)
        self.release(storage)

    def allocated(self, size: int) -> Storage:
        """Allocate bytes."""
        self.live += size
        return Storage(size)


def inference(network: Network, size: int = 4, batch: int = 1, names: Lifetimes | None = None) -> Peak:
    """Return the peak of running a network without gradients, in evaluation mode.

    `size` is that of an element in bytes: 4 for float32, 2 for float16; `names` are `lifetimes` that are known already.
    """
    run = Inference(size, batch, names or lifetimes(network))
    given = _start(run, network)
    return Peak(run.peak - given, _weights(network.scope, size), given, at=run.at)


class Course(Inference):
    """Runs a network, and notes how many bytes are held at most while each step runs, by the path of the step."""

    def __init__(self, size: int, batch: int, names: dict[int, dict[int, int | None]]) -> None:
        super().__init__(size, batch, names)
        self.held: dict[str, int] = {}

    def watch(self, name: str) -> None:
        self.held[name] = max(self.held.get(name, 0), self.live)
        super().watch(name)


def course(network: Network, size: int = 4, batch: int = 1) -> dict[str, int]:
    """Return the bytes of inputs and activations that are held while each step runs, in evaluation, by its path.

    >>> from archdsl.compiler import compiled
    >>> network = compiled("lenet5").network
    >>> found = inference(network)
    >>> max(course(network).values()) == found.activations + found.inputs
    True
    """
    run = Course(size, batch, lifetimes(network))
    _start(run, network)
    return run.held


def training(
    network: Network, size: int = 4, batch: int = 1, optimizer: str = "sgd", names: Lifetimes | None = None
) -> Peak:
    """Return the peak of a step of training: forward, backward from a sum of the outputs, update.

    Gradients are those of this step (`zero_grad` sets them to None); the optimizer's state is that of later steps.
    """
    run = Training(size, batch, names or lifetimes(network))
    given = _start(run, network)
    static, params = _weights(network.scope, size), _parameters(network.scope, size)
    state = STATES[optimizer] * sum(params)
    update = sum(params) + TEMPORARY[optimizer] * max(params, default=0)
    if update > run.peak - given:
        return Peak(update - sum(params), static, given, sum(params), state, f"{optimizer}'s update")
    gradients = run.gradients_at_peak
    return Peak(run.peak - given - gradients, static, given, gradients, state, run.at)


def _start(run: Inference, network: Network) -> int:
    """Run a network; return the bytes of its inputs."""
    scope = network.scope
    inputs = [Value(run.new(_volume(scope.shapes[v]))) for v in scope.inputs]
    given = run.live
    outputs = run.scope(scope, inputs)
    if isinstance(run, Training):
        run.backward([output for output in outputs if output is not None])
    return given


def _parameters(scope: Scope, size: int) -> list[int]:
    return [_volume((1, *shape)) * size for _, shape in weights(scope)]


def _weights(scope: Scope, size: int) -> int:
    """Return the bytes of weights and running statistics."""
    return sum(_parameters(scope, size)) + _buffers(scope) * size


def _buffers(root: Scope) -> int:
    """Count the elements of running statistics: what kernels read once a batch, and is no weight."""
    total = 0
    for use in uses(root):
        scope = use.scope
        for node in scope.nodes:
            if isinstance(node.what, Scope) or "source" in node.what.traits:
                continue
            if node.what.stateful and not node.reuses:
                xs, ys = [tuple([_ints(scope.shapes[v]) for v in values]) for values in (node.inputs, node.outputs)]
                kernels = node.what.kernels(xs, ys)
                learned = elements(node.what.weights(xs[0])) if kernels else 0  # a view of a weight is read by others
                total += use.owns * (sum([kernel.fixed for kernel in kernels]) - learned)
    return total


def _volume(shape: Shape) -> int:
    total = 1
    for size in shape[1:]:
        total *= int(size)
    return total


def _ints(shape: Shape) -> Shape:
    return tuple([int(dim) for dim in shape])
