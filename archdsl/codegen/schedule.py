"""Which statements a `forward` consists of, and which variable each value lives in: decided before anything is printed.

Steps of a chain nest into one expression, `F.relu(self.bn1(self.conv1(x)))`, as long as it stays readable; a value
that is used twice, or much later, gets a name. Statements keep the order of the text, so that random numbers (dropout)
are drawn in that order. Memory depends on it: a variable holds its tensor until it is assigned again.
"""

from __future__ import annotations

import itertools
import keyword
import re
from collections import Counter

from archdsl.codegen.layout import WIDTH, depths, is_call, wrapped
from archdsl.codegen.merge import Branch, Step, is_idle, steps_in
from archdsl.core.record import Record
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct
from archdsl.ops.base import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from archdsl.codegen.merge import Body, Join
    from archdsl.ir.network import Node
else:
    Protocol = object

LETTERS = ("y", "z", "u", "v", "w")
DEEPEST = 4  # calls inside one another in one expression
SIGNS = 3  # in one operand of a further sign
WIDEST, WIDEST_CAT = 66, 32  # characters of an expression inside another, and of a concatenation


class Assignment(Record):
    """A statement that assigns; a name of `_` takes a result that nobody reads. `training` ones run in that mode."""

    names: tuple[str, ...]
    values: tuple[int, ...]
    code: str
    training: bool


class Choice(Record):
    """Statements in arms, each with the line that it starts with and the instances that run it."""

    arms: tuple[tuple[str, frozenset[int], tuple[Assignment | Choice, ...]], ...]
    training: bool = False


class Schedule(Record):
    """The statements of a `forward` in order, and the code of each result."""

    statements: tuple[Assignment | Choice, ...]
    results: tuple[str, ...]

    def lifetimes(self, body: Body, instance: int) -> dict[int, int | None]:
        """Return the values that variables hold, each with the value that overwrites it; None for what stays.

        Values are numbered as the instance numbers them.
        """
        ends: dict[int, int | None] = {}
        held: dict[str, int] = {}
        for statement in _run(self.statements, instance):
            for name, value in zip(statement.names, statement.values):
                own = body.ids[value][instance]
                if name == "_" or own is None:
                    continue
                before, held[name] = held.get(name), own
                if before is not None and before not in held.values():
                    ends[before] = own
                ends[own] = None
        return ends


def _run(statements: tuple[Assignment | Choice, ...], instance: int) -> Iterator[Assignment]:
    """Yield the statements that an instance runs."""
    for statement in statements:
        if isinstance(statement, Assignment):
            yield statement
            continue
        for _, mask, arm in statement.arms:
            if instance in mask:
                yield from _run(arm, instance)


class Writer(Protocol):
    """Writes the code of single steps, and of the lines that arms start with."""

    def call(self, step: Step, operands: list[str]) -> str:
        """Return the code of a step on operands."""

    def heading(self, branch: Branch, number: int) -> str:
        """Return the line that an arm of a branch starts with."""


class Scheduler:
    """Schedules the steps of a body."""

    def __init__(self, body: Body, writer: Writer, taken: frozenset[str]) -> None:
        self.body, self.writer, self.taken = body, writer, taken
        self.alias: dict[int, int] = {}  # what an optional step returns, where it is there, is what leaves its branch
        for branch in body.branches():
            if branch.optional is not None:
                self.alias[branch.optional.outputs[0]] = branch.joins[0].value
        self.idle: set[Step | Branch] = set()  # steps that do nothing in any instance: their results are their inputs
        for step in body.steps():
            if all(is_idle(node) for _, _, node in step.present):
                self.idle.add(step)
                self.alias[step.outputs[0]] = self._real(step.inputs[0])
        self.sunk = self._sunk(body.items)
        for branch in self.sunk.values():
            self.idle.add(branch)
            self.alias |= {j.value: self._real(v) for j in branch.joins for v in j.sources if v is not None}
        self.left = self._reads(body.items)
        self.results: dict[int, list[str]] = {}  # the outputs that a value is
        for output, value in zip(body.first.outputs, body.results):
            self.left[self._real(value)] = self.left.get(self._real(value), 0) + 1
            self.results.setdefault(self._real(value), []).append(output.name)
        self.readers = {v: step for step in reversed(body.steps()) for v in self._inputs(step)}  # the first one
        self.text: dict[int, str] = {}
        self.root: dict[int, str] = {}  # the variable that a value's expression starts from
        self.owner: dict[str, int] = {}
        self.depth = 0  # of arms
        self.waiting: dict[int, int] = {}  # parts of tensors, which are written where they are joined, and of which
        self.pending: Step | None = None  # a step whose result goes into the next statement, or gets a name
        self.statements: list[Assignment | Choice] = []

    def schedule(self, names: Sequence[str]) -> Schedule:
        """Return the schedule; `names` are the parameters of `forward`."""
        for value, name in zip(self.body.inputs, names):
            self.text[value] = self.root[value] = name
            self.owner[name] = value
        self._items(self.body.items, self.body.results)
        if any(output.training for output in self.body.first.outputs):  # which two statements return
            self._name_pending()
        return Schedule(tuple(self.statements), tuple([self.text[self._real(v)] for v in self.body.results]))

    # ------------------------------------------------------------ values
    def _real(self, value: int) -> int:
        return self.alias.get(value, value)

    def _inputs(self, step: Step) -> list[int]:
        return [self._real(v) for v in step.inputs]

    def _outputs(self, step: Step) -> tuple[int, ...]:
        return tuple([self._real(v) for v in step.outputs])

    def _reads(self, items: Sequence[Step | Branch], ends: Sequence[int | None] = ()) -> dict[int, int]:
        """Count how often each value is read by steps, and as what leaves an arm."""
        reads: dict[int, int] = {}
        for item in self._working(items):
            step = _step_of(item)
            found = _added(*self._arms(item)) if step is None else Counter(step.inputs)  # type: ignore[arg-type]
            for value, count in found.items():
                reads[self._real(value)] = reads.get(self._real(value), 0) + count
        return _added(reads, *[{self._real(v): 1} for v in ends if v is not None])

    def _working(self, items: Sequence[Step | Branch]) -> list[Step | Branch]:
        return [item for item in items if item not in self.idle]

    def _arms(self, branch: Branch) -> list[dict[int, int]]:
        """Return what each arm of a branch reads, and what is read where none is taken."""
        every = [self._arm(branch, k) for k in range(len(branch.masks))]
        return [self._reads(arm, [join.sources[k] for join in branch.joins]) for k, arm in enumerate(every)]

    def _arm(self, branch: Branch, number: int) -> list[Step | Branch]:
        """Return what an arm of a branch does, with what waited for it; nothing where none is taken."""
        mask = branch.masks[number]
        early = [arm for own, arm in self.sunk[branch].arms if own == mask] if branch in self.sunk else []
        return [*itertools.chain(*early), *(branch.arms[number][1] if number < len(branch.arms) else [])]

    def _sunk(self, items: Sequence[Step | Branch]) -> dict[Branch, Branch]:
        """Return branches whose results only a later branch reads, in the same instances: their steps wait for it.

        So no variable is there in one arm alone, which TorchScript refuses, and a person would not write.
        """
        found: dict[Branch, Branch] = {}
        for k, item in enumerate(items):
            if not isinstance(item, Branch):
                continue
            for _, arm in item.arms:
                found |= self._sunk(arm)
            later = next((one for one in items[k + 1 :] if isinstance(one, Branch) and _only_for(item, one)), None)
            if later is None or later in found or not all(map(_movable, steps_in([item]))):
                continue
            values = {join.value for join in item.joins}
            read = [step for step in self.body.steps() if not values.isdisjoint(step.inputs)]
            between = steps_in([*items[k + 1 : items.index(later)]])
            if {*steps_in([later])}.issuperset(read) and values.isdisjoint(self._leaving()):
                if not any(step.in_place for step in between):
                    found[later] = item
        return found

    def _leaving(self) -> set[int | None]:
        """Return the values that leave branches, or the body."""
        return {*self.body.results, *[v for one in self.body.branches() for join in one.joins for v in join.sources]}

    def _read(self, value: int) -> None:
        """Count a read of a value; after the last one its variable is free."""
        self.left[value] -= 1

    # ------------------------------------------------------------ statements
    def _items(self, items: Sequence[Step | Branch], ends: Sequence[int | None]) -> None:
        """Schedule steps in order; `ends` are the values that leave them."""
        items = self._working(items)
        for item, following in zip(items, [*items[1:], None]):
            step = _step_of(item)
            if step is None:
                self._branch(item)  # type: ignore[arg-type]
            elif self._waits(step, items):
                (value,), (result,) = self._inputs(step), self._outputs(step)
                if self.pending is not None and value in self._outputs(self.pending):
                    self._name_pending()
                self.text[result], self.root[result] = self.writer.call(step, [self.text[value]]), self.root[value]
                self.waiting[result] = value
            else:
                self._step(step, following, ends)

    def _waits(self, step: Step, items: Sequence[Step | Branch]) -> bool:
        """Say whether a step is a part of a tensor that is written where it is joined with others."""
        if (
            isinstance(step.node.what, Scope)
            or "view" not in step.node.what.traits
            or self._inputs(step)[0] in self.waiting
        ):
            return False
        (result,) = self._outputs(step)
        reader = self.readers.get(result)
        alone = self.left.get(result) == 1 and not self.body.name(result) and not step.trains
        return alone and reader in items and self._joined_later(result)

    def _step(self, step: Step, following: Step | Branch | None, ends: Sequence[int | None]) -> None:
        inputs = self._inputs(step)
        if self.pending is not None and self._outputs(self.pending)[0] not in inputs:
            self._name_pending()
        code = self.writer.call(step, [self.text[v] for v in inputs])
        if self.pending is not None and not _fits(code):
            self._name_pending()
            code = self.writer.call(step, [self.text[v] for v in inputs])
        self.pending = None
        for value in inputs:
            self._read(value)
            if value in self.waiting:
                self._read(self.waiting[value])
        outputs = self._outputs(step)
        if len(outputs) == 1:
            self.text[outputs[0]], self.root[outputs[0]] = code, self.root[inputs[0]]
            if self._nests(step, following, outputs[0], code, ends):
                self.pending = step
                return
        self._assign(step, outputs, code)

    def _nests(
        self, step: Step, following: Step | Branch | None, result: int, code: str, ends: Sequence[int | None]
    ) -> bool:
        """Say whether an expression goes into the statement of the step that follows."""
        leaves = following is None and self.depth > 0  # an arm, under the name that all arms give
        if self.left.get(result) != 1 or (self.body.name(result) and not leaves):
            return False
        if following is None:
            return result in [self._real(v) for v in ends if v is not None] and len(code) <= WIDTH - 8 - len("return ")
        then = _step_of(following)
        if then is None:
            return False
        node, other = step.node, then.node
        if isinstance(node.what, Op) and "side by side" in node.what.traits and len(code) > WIDEST_CAT:
            return False
        if code.count("(") > DEEPEST + 2 or len(code) > WIDEST:
            return False
        if result not in self._inputs(then):
            return False
        if isinstance(other.what, Scope):
            return not isinstance(node.what, Scope) and node.span.line == other.span.line
        if "joins" in other.what.traits:
            return is_call(code) or ("side by side" not in other.what.traits and code.count(" ") <= 2 * SIGNS)
        deep = max(depths(code), default=0)
        return deep < DEEPEST and (node.span.line == other.span.line or not other.what.stateful)

    def _name_pending(self) -> None:
        step, self.pending = self.pending, None
        if step is not None:
            outputs = self._outputs(step)
            self._assign(step, outputs, self.text[outputs[0]])

    def _assign(self, step: Step, values: tuple[int, ...], code: str) -> None:
        """Add a statement; a result that nobody reads gets a variable where it is the only one."""
        read = [value for value in values if len(values) == 1 or self.left.get(value)]
        names = tuple([self._variable(value, step) if value in read else "_" for value in values])
        self.statements.append(Assignment(names, values, code, step.trains))

    # ------------------------------------------------------------ branches
    def _branch(self, branch: Branch) -> None:
        """Schedule the arms of a branch, each of which leaves the values that come together in the same variables."""
        self._name_pending()
        reads = self._arms(branch)
        after = {value: count - sum([one.get(value, 0) for one in reads]) for value, count in self.left.items()}
        names = self._joined(branch, after)
        statements, owner = self.statements, self.owner
        arms = []
        for k, mask in enumerate(branch.masks):
            items = self._arm(branch, k)
            self.statements, self.owner, self.left = [], dict(owner), _added(after, reads[k])
            self.depth += 1
            self._items(items, [join.sources[k] for join in branch.joins])
            self.depth -= 1
            self._leave(branch, k, names)
            if mask and (items or self.statements):
                heading = self.writer.heading(branch, k) if items else "else:"
                arms.append((heading, mask, tuple(self.statements)))
        self.statements, self.owner, self.left = statements, owner, after
        self.statements.append(Choice(tuple(arms)))
        for join, name in zip(branch.joins, names):
            self.owner[name] = join.value
            self.text[join.value] = self.root[join.value] = name

    def _joined(self, branch: Branch, after: dict[int, int]) -> list[str]:
        """Choose the variables of what leaves a branch: free after it, whatever its arms do."""
        names: list[str] = []
        for join in branch.joins:
            outputs = self.results.get(join.value, []) if len(self.body.results) > 1 else []
            held = [
                self.text[self._real(s)] for s in reversed(join.sources) if s is not None and self._real(s) in self.text
            ]
            kept = [name for name in [*held, "x"] if name in self.owner]
            given = [self.body.name(join.value)] if self.body.name(join.value) else self._labels(join)
            candidates = itertools.chain(outputs, given, kept, LETTERS, _numbered("value"))
            names.append(next(c for c in candidates if c not in names and self._usable(c, after)))
        return names

    def _labels(self, join: Join) -> list[str]:
        """Return the label of the one step that a value is of which other arms have none."""
        made = [source for source in join.sources if source is not None]
        steps = [step for step in self.body.steps() if made == [*step.outputs]]
        return [step.node.name for step in steps if step.node.labelled and step.node.name.isidentifier()]

    def _usable(self, name: str, left: dict[int, int]) -> bool:
        free = name not in self.owner or not left.get(self.owner[name])
        return free and name not in self.taken and not keyword.iskeyword(name)

    def _leave(self, branch: Branch, arm: int, names: list[str]) -> None:
        """Assign what leaves an arm."""
        sources = [
            (name, join.value, self._real(s))
            for name, join in zip(names, branch.joins)
            if (s := join.sources[arm]) is not None
        ]
        if self.pending is not None and self._outputs(self.pending)[0] not in [s for _, _, s in sources]:
            self._name_pending()
        self.pending = None
        left = [(name, value, self.text[source]) for name, value, source in sources if self.text[source] != name]
        for _, _, source in sources:
            self._read(source)
        if any(
            re.search(rf"\b{name}\b", code) for at, (name, _, _) in enumerate(left) for _, _, code in left[at + 1 :]
        ):
            targets, values, codes = zip(*left)
            self.statements.append(Assignment(targets, values, ", ".join(codes), training=False))
            return
        for name, value, code in left:
            self.statements.append(Assignment((name,), (value,), code, training=False))

    # ------------------------------------------------------------ variables
    def _variable(self, value: int, step: Step) -> str:
        """Choose the variable of a value: an output's name, `x` or the input's own where free, a label, a letter."""
        node = step.node
        root = self.root.get(value) or self.root[self._inputs(step)[0]]
        outputs = self.results.get(value, []) if len(self.body.results) > 1 else []
        branch = [node.name] if node.labelled and isinstance(node.what, Scope) and self._joined_later(value) else []
        main = ["x", root] if not branch and len(step.outputs) == 1 else []
        reusable = [n for n in main if n in self.owner and (n == "x" or n in LETTERS)]
        given = [self.body.name(value)] if self.body.name(value) else []
        if not self.left.get(value):  # as linters know what is not read
            given = [f"_{(given or [_word(node)])[0]}"]
        candidates = itertools.chain(outputs, given, reusable, branch, LETTERS, _numbered(_word(node)))
        name = next(c for c in candidates if self._usable(c, self.left))
        self.owner[name] = value
        self.text[value] = self.root[value] = name
        return name

    def _joined_later(self, value: int) -> bool:
        """Say whether a value is a branch: the next step that reads it joins it with others."""
        reader = self.readers.get(value)
        return reader is not None and isinstance(reader.node.what, Op) and "joins" in reader.node.what.traits


def _step_of(item: Step | Branch) -> Step | None:
    """Return the step that an item is in every instance: optional ones are identities where they are not there."""
    return item if isinstance(item, Step) else item.optional


def _only_for(branch: Branch, later: Branch) -> bool:
    """Say whether what each arm of a branch gives can go into the same arm of a later one."""
    whole = all(sum(source is not None for source in join.sources) == 1 for join in branch.joins)
    return whole and bool(branch.joins) and {mask for mask, _ in branch.arms} <= {mask for mask, _ in later.arms}


def _movable(step: Step) -> bool:
    """Say whether a step may run later: it draws no random numbers, whose order counts."""
    what = step.node.what
    scopes = distinct(what) if isinstance(what, Scope) else []
    ops = [what, *[node.what for scope in scopes for node in scope.nodes]]
    return not any(hasattr(op, "noise") for op in ops)


def _added(*counts: dict[int, int]) -> dict[int, int]:
    total: dict[int, int] = {}
    for one in counts:
        for value, count in one.items():
            total[value] = total.get(value, 0) + count
    return total


def _word(node: Node) -> str:
    """Return a word for what a step gives: its label, or its kind."""
    if node.labelled and node.name.isidentifier():
        return node.name
    return (node.what.title or "part") if isinstance(node.what, Scope) else node.what.name


def _numbered(word: str) -> Iterator[str]:
    """Yield `conv_1`, `conv_2`, ..., which hide no word of Python."""
    return (f"{word}_{i}" for i in itertools.count(1))


def _fits(code: str) -> bool:
    """Say whether a statement with this expression has lines that are narrow enough."""
    return all(8 + len(line) <= WIDTH for line in wrapped(f"out = {code}", 8, ""))
