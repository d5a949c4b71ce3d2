"""The body of `forward` as a person would write it: the schedule of its statements, printed.

Steps that only training outputs need stand under `if self.training:`.
"""

from __future__ import annotations

import itertools
import re

from archdsl.codegen.classes import takes_several
from archdsl.codegen.conditions import arms
from archdsl.codegen.kernels import LOWERINGS
from archdsl.codegen.layout import beside, wrapped
from archdsl.codegen.merge import Step
from archdsl.codegen.schedule import Choice, Scheduler
from archdsl.codegen.terms import python
from archdsl.elaborate.operators import MODULE_NAMES
from archdsl.ir.liveness import is_module
from archdsl.ir.network import Scope
from archdsl.ops.base import Leaf, Op, Operand, Sized
from archdsl.ops.reshape import Slice
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archdsl.codegen.classes import ClassPlan
    from archdsl.codegen.merge import Branch
    from archdsl.codegen.schedule import Assignment, Schedule
    from archdsl.codegen.terms import Term
    from archdsl.ops.base import Call

# What generated methods mention beside names of the text, so that no variable or parameter may hide it.
WORDS = frozenset(
    """Callable F NamedTuple OrderedDict None True False __class__ _ abs enumerate getattr int isinstance len list m
    math max min nn optimize partial range reversed round self str sum super torch tuple zip""".split()
) | {one.code for one in LOWERINGS}

ARITHMETIC = re.compile(r"(?!.*\*\*)[\w.]+( (//|[-+*]) [\w.]+)+")  # TorchScript has powers of numbers of its own


def scheduled(plan: ClassPlan, arguments: list[str], taken: frozenset[str]) -> Schedule:
    """Return the schedule of a class; `arguments` name its inputs."""
    return Scheduler(plan.body, Calls(plan), taken).schedule(arguments)


def printed(schedule: Schedule, scope: Scope, result: str) -> list[str]:
    """Print the statements of a scope; `result` is the class of what it returns, if it has one."""
    lines: list[str] = []
    before: list[Assignment | Choice] = []
    late = [f"{name}: torch.Tensor | None = None" for name in trained(schedule, scope)]
    training = False
    for statement in schedule.statements:
        if statement.training and not training:
            lines += [*late, "if self.training:", *_asserted(before, schedule, scope)]
            late = []
        before += [] if statement.training else [statement]
        training = statement.training
        lines += _statement(statement, "    " if training else "")
        lines += _asserted([statement], schedule, scope) if training else []
    return [*lines, *_returned(schedule, scope, result)]


def trained(schedule: Schedule, scope: Scope) -> list[str]:
    """Return the names of results that are assigned in training alone, and are None otherwise."""
    assigned = {name for one in _assignments(schedule.statements) if one.training for name in one.names}
    return [text for o, text in zip(scope.outputs, schedule.results) if o.training and text in assigned]


def _asserted(statements: Sequence[Assignment | Choice], schedule: Schedule, scope: Scope) -> list[str]:
    """Say of results which a step has in training alone that they are there, as TorchScript wants to know.

    Of those that these statements assign, the ones that code of training reads.
    """
    inner = [(node, node.what) for node in scope.nodes if isinstance(node.what, Scope)]
    late = {v for node, what in inner for v, o in zip(node.outputs, what.outputs) if o.training}
    names = [n for one in _assignments(statements) for n, v in zip(one.names, one.values) if v in late]
    read = " ".join([one.code for one in _assignments(schedule.statements) if one.training])
    return [f"    assert {name} is not None" for name in names if re.search(rf"\b{name}\b", read)]


def _assignments(statements: Sequence[Assignment | Choice]) -> Iterator[Assignment]:
    for statement in statements:
        if isinstance(statement, Choice):
            for _, _, arm in statement.arms:
                yield from _assignments(arm)
        else:
            yield statement


def _statement(statement: Assignment | Choice, pad: str) -> list[str]:
    lines: list[str] = []
    if isinstance(statement, Choice):
        for heading, _, arm in statement.arms:
            lines += _line(heading, pad)
            for inner in arm:
                lines += _statement(inner, f"{pad}    ")
            lines += [] if arm else [f"{pad}    pass"]
        return lines
    return _line(f"{', '.join(statement.names)} = {statement.code}", pad)


def _returned(schedule: Schedule, scope: Scope, result: str) -> Iterator[str]:
    values = [(o, text) for o, text in zip(scope.outputs, schedule.results)]
    always = [text for o, text in values if not o.training]
    if len(always) < len(values) and result:
        yield "if self.training:"
        yield from _line(f"return {result}({', '.join(f'{o.name}={text}' for o, text in values)})", "    ")
    if len(always) == 1 and (result or len(values) == 1):
        yield from _line(f"return {always[0]}", "")
    elif result:
        given = [f"{o.name}={'None' if o.training else text}" for o, text in values]
        yield from _line(f"return {result}({', '.join(given)})", "")
    else:
        yield from _line(f"return {', '.join(schedule.results)}", "")


def _line(line: str, pad: str) -> list[str]:
    return wrapped(line, 8 + len(pad), pad)


class Calls:
    """Writes the code of single steps, and the conditions of branches."""

    def __init__(self, plan: ClassPlan) -> None:
        self.plan, self.context = plan, plan.context

    def call(self, step: Step, operands: list[str]) -> str:
        """Return the code of one step."""
        with self.plan.doubts.writing(step):
            return self._call(step, operands)

    def _call(self, step: Step, operands: list[str]) -> str:
        node, scope = step.node, step.scope
        if isinstance(node.what, Scope) or is_module(node, scope):
            return f"{self.plan.module(node.name)}({', '.join(operands)})"
        function = node.what.function(*[scope.shapes[i] for i in node.inputs])
        assert function is not None, f"`{node.what.name}` has neither a module nor a function"
        if node.what.support:
            self.plan.support.add(node.what.support)
        return self._function(function, step, operands)

    def heading(self, branch: Branch, number: int) -> str:
        """Return the line that an arm of a branch starts with; what its condition mentions is kept as attributes."""
        if branch.remains(number):
            return "else:"
        _, steps = list(arms(branch))[number]
        several = [one for one in branch.arms[number][1] if isinstance(one, Step) and takes_several(one)]
        if several and not several[0].node.reuses:
            return f"{'elif' if number else 'if'} {self.plan.module(several[0].node.name)} is not None:"
        with self.plan.doubts.writing(steps[0]):
            term = self.plan.arm(self.context, branch, number)
        return f"{'elif' if number else 'if'} {self._held(term, steps)}:"

    def _held(self, term: Term, steps: list[Step]) -> str:
        """Return a condition over attributes: of one name in its own words, of several as an attribute of its own."""
        if len(term.names) == 1 and not next(iter(term.names)).endswith("()"):
            return self._over_attributes(term)
        joins = {s.node.what.name for s in steps if isinstance(s.node.what, Op) and "joins" in s.node.what.traits}
        modules = [s.node.name for s in steps if s.node.labelled]
        hint = "residual" if joins == {"add"} and not modules else f"with_{(modules or [steps[0].node.name])[0]}"
        attribute = self._attribute(term.replace(text=hint), hint)
        self.plan.stored[attribute] = term
        return f"self.{attribute}"

    def _over_attributes(self, term: Term) -> str:
        """Return an expression in its own words, over attributes that keep what it mentions."""
        known = {**self.plan.names, **self.plan.extra}
        attributes = {name: self._attribute(known[name], name) for name in term.names}
        self.plan.stored |= {attribute: known[name] for name, attribute in attributes.items()}
        return re.sub(
            r"\"[^\"]*\"|'[^']*'|[A-Za-z_]\w*",
            lambda found: f"self.{attributes[found[0]]}" if found[0] in attributes else found[0],
            term.text,
        )

    def _function(self, function: Call, step: Step, operands: list[str]) -> str:
        if function.infix:
            sign = function.infix
            return sign.join([beside(operand, sign, last=place > 0) for place, operand in enumerate(operands)])
        target = function.target
        if function.holes is not None:
            whole = self._to_the_end(step)
            values = {name: "" if name == whole else self._leaf(leaf, step, name) for name, leaf in function.holes}
            return _filled(target, operands, values)
        target = _filled(target, operands, {})
        arguments = [self._part(part, step, operands) for part in function.args]
        for name, part in function.kwargs:
            if not isinstance(part, Leaf) or not self._omitted(part, step):
                arguments.append(f"{name}={self._part(part, step, operands, name)}")
        if step.in_place:
            arguments.append("inplace=True")
        return f"{target}({', '.join(arguments)})"

    def _to_the_end(self, step: Step) -> str:
        """Return the argument that is the end of a slice where the text has the channels of what is sliced for it."""
        expr, what = dict(step.node.written).get("stop"), step.node.what
        if not isinstance(what, Slice) or what.axis != "channels":
            return ""
        if not isinstance(expr, tree.Attribute) or expr.name != "channels":
            return ""
        if not all((node.inputs[0], expr.value.span.text) in scope.names for _, scope, node in step.present):
            return ""
        self.plan.proven[id(expr)] = expr
        return "stop"

    def _omitted(self, leaf: Leaf, step: Step) -> bool:
        """Say whether an argument is PyTorch's own default in every instance."""
        leaves = self.plan.same_leaves(step, leaf.formula) if leaf.formula else [leaf]
        return all(one.value == one.omit for one in leaves)

    def _part(self, part: Leaf | Operand | Sized, step: Step, operands: list[str], hint: str = "value") -> str:
        if isinstance(part, Leaf):
            return self._leaf(part, step, hint)
        if isinstance(part, Sized):
            return _filled(part.text, operands, {})
        if part.index is None:
            return f"[{', '.join(operands)}]"
        code = operands[part.index]
        return beside(code, part.suffix, last=False) + part.suffix if part.suffix else code

    def _leaf(self, leaf: Leaf, step: Step, hint: str) -> str:
        """Return an argument of a function: a literal, or an attribute that keeps a parameter of the class."""
        if leaf.formula == "":
            return leaf.value if isinstance(leaf.value, str) and leaf.value.startswith("self.") else python(leaf.value)
        term = self.plan.leaf(self.context, step, self.plan.same_leaves(step, leaf.formula), hint)
        if term.literal:
            return term.text
        if ARITHMETIC.fullmatch(term.text) and term.names <= {*self.plan.names, *self.plan.extra}:
            return self._over_attributes(term)
        attribute = self._attribute(term, f"{step.node.what.name}_{leaf.formula.strip('{}')}")  # type: ignore[union-attr]
        self.plan.stored[attribute] = term
        return f"self.{attribute}"

    def _attribute(self, term: Term, named: str) -> str:
        """Return the attribute that keeps an expression: the one that has it, or one that is nobody else's."""
        name = term.text if term.text.isidentifier() else named if named.isidentifier() else "value"
        taken = {step.node.name for step in self.plan.body.steps()} | MODULE_NAMES
        names = itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))
        return next(a for a in names if a not in taken and self.plan.stored.get(a, term) == term)


def _filled(target: str, operands: list[str], values: dict[str, str]) -> str:
    def fill(found: re.Match[str]) -> str:
        name = found.group(1)
        if name.isdigit():
            return _tight(operands[int(name)], target)
        apart = re.search(rf"[\[(,:] ?\{{{name}\}} ?[\]),:]", target)  # an argument or an end of a slice
        return values[name] if apart else beside(values[name], "", last=False)

    if "}:{" in target:  # a slice
        values = {name: "" if name == "start" and value == "0" else value for name, value in values.items()}
        wide = any("." in value for value in values.values())  # with ends that are more than names or numbers
        before, after = [" " if wide and values[end] else "" for end in ("start", "stop")]
        target = target.replace("}:{", f"}}{before}:{after}{{")
    if " ** " in target and all(re.fullmatch(r"-?[\w.]+", part) for part in (*operands, *values.values())):
        target = target.replace(" ** ", "**")
    return re.sub(r"\{(\w+)\}", fill, target)


def _tight(operand: str, target: str) -> str:
    """Return an operand of an expression, in parentheses where its signs would be read otherwise."""
    if target == "-{0}":
        return beside(operand, "*", last=True)
    sides = re.fullmatch(r"(\{\w+\}) (\S+) (\{\w+\})", target)
    return beside(operand, sides[2], last=sides[3] == "{0}") if sides else beside(operand, "", last=False)
