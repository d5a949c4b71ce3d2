"""The body of `forward` as a person would write it: the schedule of its statements, printed.

Steps that only training outputs need stand under `if self.training:`.
"""

from __future__ import annotations

import itertools
import re

from archdsl.codegen.layout import beside, label, wrapped
from archdsl.codegen.schedule import Scheduler
from archdsl.codegen.terms import python
from archdsl.elaborate.operators import MODULE_NAMES
from archdsl.ir.liveness import is_module
from archdsl.ir.network import Scope
from archdsl.ops.base import Leaf, Operand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.classes import ClassPlan, Context
    from archdsl.codegen.schedule import Schedule
    from archdsl.codegen.terms import Term
    from archdsl.ir.network import Node
    from archdsl.ops.base import Call

# What generated methods mention beside names of the text, so that no variable or parameter may hide it.
WORDS = frozenset(
    """F NamedTuple OrderedDict None True False __class__ _ channel_shuffle getattr i isinstance m nn optimize range
    self super torch""".split()
)


def scheduled(plan: ClassPlan, arguments: list[str], loops: dict[int, int], taken: frozenset[str]) -> Schedule:
    """Return the schedule of a class: `arguments` name its inputs, `loops` are the chains that start at a number."""
    scopes = [scope for scope in plan.context.scopes if isinstance(scope, Scope)]
    return Scheduler(scopes, loops, Calls(plan, plan.context).call, taken).schedule(arguments)


def printed(schedule: Schedule, scope: Scope, result: str) -> list[str]:
    """Print the statements of a scope; `result` is the class of what it returns, if it has one."""
    lines: list[str] = []
    training = False
    for statement in schedule.statements:
        if statement.training and not training:
            lines.append("if self.training:")
        training = statement.training
        names = ", ".join(statement.names)
        if statement.chain is None:
            lines += _line(f"{names} = {statement.code}", training)
            continue
        first, count = statement.chain
        lines += _line(f"{names} = {statement.code}", training) if names != statement.code else []
        lines += _line(f"for i in range({count}):", training)
        lines += _line(f"    {names} = getattr(self, {label(first)})({names})", training)
    return [*lines, *_returned(schedule, scope, result)]


def _returned(schedule: Schedule, scope: Scope, result: str) -> Iterator[str]:
    values = [(o, text) for o, text in zip(scope.outputs, schedule.results)]
    always = [text for o, text in values if not o.training]
    if len(always) < len(values):
        yield "if self.training:"
        yield from _line(f"return {result}({', '.join(f'{o.name}={text}' for o, text in values)})", True)
    if len(always) == 1:
        yield from _line(f"return {always[0]}", False)
    elif result:
        given = [f"{o.name}={'None' if o.training else text}" for o, text in values]
        yield from _line(f"return {result}({', '.join(given)})", False)
    else:
        yield from _line(f"return {', '.join(schedule.results)}", False)


def _line(line: str, training: bool) -> list[str]:
    return wrapped(line, 12 if training else 8, "    " if training else "")


class Calls:
    """Writes the code of single steps."""

    def __init__(self, plan: ClassPlan, context: Context) -> None:
        self.plan, self.context = plan, context
        self.scope = context.first
        self.numbers = {id(node): number for number, node in enumerate(self.scope.nodes)}

    def call(self, node: Node, operands: list[str]) -> str:
        """Return the code of one step."""
        if isinstance(node.what, Scope) or is_module(node, self.scope):
            attribute = f"self.{node.name}" if node.name.isidentifier() else f'self.get_submodule("{node.name}")'
            return f"{attribute}({', '.join(operands)})"
        shapes = [self.scope.shapes[i] for i in node.inputs]
        function = node.what.function(*shapes)
        assert function is not None, f"`{node.what.name}` has neither a module nor a function"
        if node.what.support:
            self.plan.support.add(node.what.support)
        return self._function(function, node, operands)

    def _function(self, function: Call, node: Node, operands: list[str]) -> str:
        if function.infix:
            sign = function.infix
            return sign.join([beside(operand, sign, last=place > 0) for place, operand in enumerate(operands)])
        target = function.target
        if function.holes is not None:
            values = {name: self._leaf(leaf, node) for name, leaf in function.holes}
            return _filled(target, operands, values)
        target = _filled(target, operands, {})
        arguments = [self._part(part, node, operands) for part in function.args]
        for name, part in function.kwargs:
            if not isinstance(part, Leaf) or not self._omitted(part, node):
                arguments.append(f"{name}={self._part(part, node, operands)}")
        if self.numbers[id(node)] in self.context.in_place:
            arguments.append("inplace=True")
        return f"{target}({', '.join(arguments)})"

    def _omitted(self, leaf: Leaf, node: Node) -> bool:
        """Say whether an argument is PyTorch's own default in every instance."""
        leaves = self.plan.same_leaves(self.context, self.numbers[id(node)], leaf.formula) if leaf.formula else [leaf]
        return all(one.value == one.omit for one in leaves)

    def _part(self, part: Leaf | Operand, node: Node, operands: list[str]) -> str:
        if isinstance(part, Leaf):
            return self._leaf(part, node)
        if part.index is None:
            return f"[{', '.join(operands)}]"
        code = operands[part.index]
        return beside(code, part.suffix, last=False) + part.suffix if part.suffix else code

    def _leaf(self, leaf: Leaf, node: Node) -> str:
        """Return an argument of a function: a literal, or an attribute that keeps a parameter of the class."""
        if leaf.formula == "":
            return leaf.value if isinstance(leaf.value, str) and leaf.value.startswith("self.") else python(leaf.value)
        number = self.numbers[id(node)]
        leaves = self.plan.same_leaves(self.context, number, leaf.formula)
        term = self.plan.leaf(self.context, number, leaves, node)
        if term.literal:
            return python(term.column[0])
        attribute = self._attribute(term, f"{node.what.name}_{leaf.formula.strip('{}')}")  # type: ignore[union-attr]
        self.plan.stored[attribute] = term
        return f"self.{attribute}"

    def _attribute(self, term: Term, named: str) -> str:
        """Return the attribute that keeps an expression: the one that has it, or one that is nobody else's."""
        name = term.text if term.text.isidentifier() else named if named.isidentifier() else "argument"
        taken = {other.name for other in self.scope.nodes} | MODULE_NAMES
        names = itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))
        return next(a for a in names if a not in taken and self.plan.stored.get(a, term) == term)


def _filled(target: str, operands: list[str], values: dict[str, str]) -> str:
    def fill(found: re.Match[str]) -> str:
        name = found.group(1)
        return _tight(operands[int(name)], target) if name.isdigit() else values[name]

    return re.sub(r"\{(\w+)\}", fill, target)


def _tight(operand: str, target: str) -> str:
    """Return an operand of an expression, in parentheses where its signs would be read otherwise."""
    if target == "-{0}":
        return beside(operand, "*", last=True)
    sides = re.fullmatch(r"(\{\w+\}) (\S+) (\{\w+\})", target)
    return beside(operand, sides[2], last=sides[3] == "{0}") if sides else beside(operand, "", last=False)
