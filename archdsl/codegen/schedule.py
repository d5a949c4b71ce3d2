"""Which statements a `forward` consists of, and which variable each value lives in: decided before anything is printed.

Steps of a chain nest into one expression, `F.relu(self.bn1(self.conv1(x)))`, as long as it stays readable; a value
that is used twice, or much later, gets a name. Statements keep the order of the text, so that random numbers (dropout)
are drawn in that order. Memory depends on it: a variable holds its tensor until it is assigned again.
"""

from __future__ import annotations

import itertools
import keyword

from archdsl.codegen.layout import WIDTH, depths, is_call, wrapped
from archdsl.core.record import Record
from archdsl.ir.liveness import is_empty, needed
from archdsl.ir.network import Scope
from archdsl.ops.base import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archdsl.ir.network import Node

LETTERS = ("y", "z", "u", "v", "w")
DEEPEST = 4  # calls inside one another in one expression
SIGNS = 3  # in one operand of a further sign
WIDEST, WIDEST_CAT = 66, 32  # characters of an expression inside another, and of a concatenation


class Assignment(Record):
    """A statement that assigns; a name of `_` takes a result that nobody reads. `training` ones run in training alone.

    With a `chain`, modules whose labels count up run on the variable one after another: the first, and how many.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    code: str
    training: bool
    chain: tuple[str, int] | None = None


class Schedule(Record):
    """The statements of a `forward` in order, and the code of each result."""

    statements: tuple[Assignment, ...]
    results: tuple[str, ...]

    def lifetimes(self) -> dict[int, int | None]:
        """Return the values that variables hold, each with the value that overwrites it; None for what stays."""
        ends: dict[int, int | None] = {}
        held: dict[str, int] = {}
        for statement in self.statements:
            for name, value in zip(statement.names, statement.values):
                if name == "_":
                    continue
                if name in held:
                    ends[held[name]] = value
                held[name] = value
                ends[value] = None
        return ends


class Scheduler:
    """Schedules the steps of scopes that share a class; `call` returns the code of a step on operands."""

    def __init__(
        self,
        scopes: Sequence[Scope],
        loops: dict[int, int],
        call: Callable[[Node, list[str]], str],
        taken: frozenset[str],
    ) -> None:
        self.scopes, self.loops, self.call, self.taken = scopes, loops, call, taken
        self.scope = scopes[0]
        self.needed = needed(self.scope)
        self.numbers = {id(node): number for number, node in enumerate(self.scope.nodes)}
        self.alias: dict[int, int] = {}
        self.nodes = [n for i, n in enumerate(self.scope.nodes) if not self._skipped(i, n)]
        self.left = self._reads()
        self.readers = {value: node for node in reversed(self.nodes) for value in self._inputs(node)}  # the first one
        self.results: dict[int, list[str]] = {}  # the outputs that a value is
        for output in self.scope.outputs:
            self.results.setdefault(self._real(output.value), []).append(output.name)
        self.text: dict[int, str] = {}
        self.root: dict[int, str] = {}  # the variable that a value's expression starts from
        self.owner: dict[str, int] = {}
        self.pending: Node | None = None  # a step whose result goes into the next statement, or gets a name
        self.statements: list[Assignment] = []
        self.first = 1  # `t1` and so on: those before it are taken

    def schedule(self, names: Sequence[str]) -> Schedule:
        """Return the schedule; `names` are the parameters of `forward`."""
        for value, name in zip(self.scope.inputs, names):
            self.text[value] = self.root[value] = name
            self.owner[name] = value
        at = 0
        while at < len(self.nodes):
            node = self.nodes[at]
            count = self.loops.get(self.numbers[id(node)], 1)
            if count > 1:
                self._loop(self.nodes[at : at + count])
            else:
                self._step(node, self.nodes[at + 1] if at + 1 < len(self.nodes) else None)
            at += count
        if any(output.training for output in self.scope.outputs):  # which two statements return
            self._name_pending()
        return Schedule(tuple(self.statements), tuple([self.text[self._real(o.value)] for o in self.scope.outputs]))

    # ------------------------------------------------------------ values
    def _skipped(self, number: int, node: Node) -> bool:
        """Leave out a step that does nothing in any instance; its result is its input."""
        whats = [scope.nodes[number].what for scope in self.scopes]
        empty = all(isinstance(w, Scope) and is_empty(w) for w in whats)
        if empty or (isinstance(node.what, Op) and "identity" in node.what.traits):
            self.alias[node.outputs[0]] = self._real(node.inputs[0])
            return True
        return False

    def _real(self, value: int) -> int:
        return self.alias.get(value, value)

    def _inputs(self, node: Node) -> list[int]:
        return [self._real(v) for v in node.inputs]

    def _reads(self) -> dict[int, int]:
        """Count how often each value is read, by steps and as a result."""
        reads: dict[int, int] = {}
        for value in [v for node in self.nodes for v in self._inputs(node)]:
            reads[value] = reads.get(value, 0) + 1
        for output in self.scope.outputs:
            value = self._real(output.value)
            reads[value] = reads.get(value, 0) + 1
        return reads

    def _only_training(self, node: Node) -> bool:
        return not self.needed.intersection(node.outputs)

    def _read(self, value: int) -> None:
        """Count a read of a value; after the last one its variable is free."""
        self.left[value] -= 1
        number = _number(self.text[value])
        if not self.left[value] and number >= 0:
            self.first = min(self.first, number)

    # ------------------------------------------------------------ statements
    def _loop(self, nodes: list[Node]) -> None:
        """Run a chain of modules whose labels count up."""
        self._name_pending()
        value, result = self._inputs(nodes[0])[0], nodes[-1].outputs[0]
        start = self.text[value]
        self._read(value)
        self.root[result] = self.root[value]
        self._assign(nodes[-1], (result,), start, (nodes[0].name, len(nodes)))

    def _step(self, node: Node, following: Node | None) -> None:
        inputs = self._inputs(node)
        if self.pending is not None and self.pending.outputs[0] not in inputs:
            self._name_pending()
        code = self.call(node, [self.text[v] for v in inputs])
        if self.pending is not None and not _fits(code):
            self._name_pending()
            code = self.call(node, [self.text[v] for v in inputs])
        self.pending = None
        for value in inputs:
            self._read(value)
        result = node.outputs[0]
        if len(node.outputs) == 1:
            self.text[result], self.root[result] = code, self.root[inputs[0]]
            if self._nests(node, following, result, code):
                self.pending = node
                return
        self._assign(node, node.outputs, code)

    def _nests(self, node: Node, following: Node | None, result: int, code: str) -> bool:
        """Say whether an expression goes into the statement of the step that follows."""
        if self.left.get(result) != 1:
            return False
        if following is None:
            return len(code) <= WIDTH - 8 - len("return ")
        if isinstance(node.what, Op) and "side by side" in node.what.traits and len(code) > WIDEST_CAT:
            return False
        if code.count("(") > DEEPEST + 2 or len(code) > WIDEST:
            return False
        if self.numbers[id(following)] in self.loops or result not in self._inputs(following):
            return False
        if isinstance(following.what, Scope):
            return not isinstance(node.what, Scope) and node.span.line == following.span.line
        if "joins" in following.what.traits:
            return is_call(code) or ("side by side" not in following.what.traits and code.count(" ") <= 2 * SIGNS)
        deep = max(depths(code), default=0)
        return deep < DEEPEST and (node.span.line == following.span.line or not following.what.stateful)

    def _name_pending(self) -> None:
        node, self.pending = self.pending, None
        if node is not None:
            self._assign(node, node.outputs, self.text[node.outputs[0]])

    def _assign(self, node: Node, values: tuple[int, ...], code: str, chain: tuple[str, int] | None = None) -> None:
        """Add a statement; a result that nobody reads gets a variable where it is the only one."""
        read = [value for value in values if len(values) == 1 or self.left.get(value)]
        names = tuple([self._variable(value, node) if value in read else "_" for value in values])
        self.statements.append(Assignment(names, values, code, self._only_training(node), chain))

    # ------------------------------------------------------------ variables
    def _variable(self, value: int, node: Node) -> str:
        """Choose the variable of a value: an output's name, `x` or the input's own where free, a label, a letter."""
        root = self.root.get(value) or self.root[self._inputs(node)[0]]
        outputs = self.results.get(value, []) if len(self.scope.outputs) > 1 else []
        branch = [node.name] if node.labelled and isinstance(node.what, Scope) and self._joined_later(value) else []
        main = ["x", root] if not branch and len(node.outputs) == 1 else []
        reusable = [n for n in main if n in self.owner and (n == "x" or n in LETTERS)]
        candidates = itertools.chain(outputs, reusable, branch, LETTERS, (f"t{i}" for i in itertools.count(self.first)))
        name = next(c for c in candidates if self._free(c) and c not in self.taken and not keyword.iskeyword(c))
        self.first = _number(name) + 1 or self.first
        self.owner[name] = value
        self.text[value] = self.root[value] = name
        return name

    def _joined_later(self, value: int) -> bool:
        """Say whether a value is a branch: the next step that reads it joins it with others."""
        reader = self.readers.get(value)
        return reader is not None and isinstance(reader.what, Op) and "joins" in reader.what.traits

    def _free(self, name: str) -> bool:
        return name not in self.owner or not self.left.get(self.owner[name])


def _number(name: str) -> int:
    """Return 12 for `t12`, -1 for any other name."""
    return int(name[1:]) if name[:1] == "t" and name[1:].isdecimal() else -1


def _fits(code: str) -> bool:
    """Say whether a statement with this expression has lines that are narrow enough."""
    return all(8 + len(line) <= WIDTH for line in wrapped(f"out = {code}", 8, ""))
