"""The data flow of one class, as the statements a person would write.

Steps of a chain nest into one expression, `F.relu(self.bn1(self.conv1(x)))`, as long as it stays readable; a value
that is used twice, or much later, gets a name. Steps that only training outputs need stand under `if self.training:`.
Statements keep the order of the text, so that random numbers (dropout) are drawn in that order.
"""

from __future__ import annotations

import itertools
import keyword
import re

from archdsl.codegen.layout import WIDTH, label
from archdsl.codegen.terms import python
from archdsl.elaborate.operators import MODULE_NAMES
from archdsl.ir.liveness import is_empty, is_module, needed
from archdsl.ir.network import Scope
from archdsl.ops.base import Leaf, Op, Operand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.codegen.classes import ClassPlan, Context
    from archdsl.codegen.terms import Term
    from archdsl.ir.network import Node
    from archdsl.ops.base import Call

LETTERS = ("y", "z", "u", "v", "w")
DEEPEST = 4  # calls inside one another in one expression
JOINS = ("add", "mul", "cat")
# What generated methods mention beside names of the text, so that no variable or parameter may hide it.
WORDS = frozenset(
    """F NamedTuple OrderedDict None True False __class__ _ channel_shuffle getattr i isinstance m nn optimize range
    self super torch""".split()
)


class Forward:
    """Writes the body of `forward`."""

    def __init__(self, plan: ClassPlan, context: Context, result: str, loops: dict[int, int]) -> None:
        self.plan, self.context, self.result, self.loops = plan, context, result, loops
        self.scope = context.first
        self.taken = WORDS | {result}
        self.numbers = {id(node): number for number, node in enumerate(self.scope.nodes)}
        self.alias: dict[int, int] = {}
        self.nodes = [n for i, n in enumerate(self.scope.nodes) if not self._skipped(i, n)]
        self.left = self._uses()
        self.readers = {value: node for node in reversed(self.nodes) for value in self._inputs(node)}  # the first one
        self.results: dict[int, list[str]] = {}  # the outputs that a value is
        for output in self.scope.outputs:
            self.results.setdefault(self._real(output.value), []).append(output.name)
        self.text: dict[int, str] = {}
        self.root: dict[int, str] = {}  # the variable that a value's expression starts from
        self.owner: dict[str, int] = {}
        self.pending: tuple[int, str] | None = None  # a value not yet named, and its line in the text
        self.lines: list[str] = []
        self.variables: list[tuple[str, int]] = []  # what is assigned, in order: a name, and the value it gets
        self.first = 1  # `t1` and so on: those before it are taken
        self.training = False
        self.needed = needed(self.scope)

    def _skipped(self, number: int, node: Node) -> bool:
        """Leave out a step that does nothing in any instance; its result is its input."""
        whats = [s.nodes[number].what for s in self.context.scopes if isinstance(s, Scope)]
        empty = all(isinstance(w, Scope) and is_empty(w) for w in whats)
        if empty or (isinstance(node.what, Op) and node.what.name == "identity"):
            self.alias[node.outputs[0]] = self._real(node.inputs[0])
            return True
        return False

    def _real(self, value: int) -> int:
        return self.alias.get(value, value)

    def _inputs(self, node: Node) -> list[int]:
        return [self._real(v) for v in node.inputs]

    def _uses(self) -> dict[int, int]:
        uses: dict[int, int] = {}
        for node in self.nodes:
            for value in self._inputs(node):
                uses[value] = uses.get(value, 0) + 1
        for output in self.scope.outputs:
            value = self._real(output.value)
            uses[value] = uses.get(value, 0) + 1
        return uses

    def _only_training(self, node: Node) -> bool:
        return not self.needed.intersection(node.outputs)

    # ------------------------------------------------------------ statements
    def body(self, names: Sequence[str]) -> list[str]:
        """Return the statements; `names` are the parameters of `forward`."""
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
                self._statement(node, self.nodes[at + 1] if at + 1 < len(self.nodes) else None)
            at += count
        self._return()
        return self.lines

    def _loop(self, nodes: list[Node]) -> None:
        """Run a chain of modules whose labels count up."""
        if self.pending is not None:
            self._name_pending()
        self._enter(self._only_training(nodes[0]))
        value, result = self._inputs(nodes[0])[0], nodes[-1].outputs[0]
        start = self.text[value]
        self._read(value)
        self.root[result] = self.root[value]
        name = self._variable(result, nodes[-1])
        if name != start:
            self._emit(f"{name} = {start}")
        self._emit(f"for i in range({len(nodes)}):")
        self._emit(f"    {name} = getattr(self, {label(nodes[0].name)})({name})")

    def _statement(self, node: Node, following: Node | None) -> None:
        inputs = self._inputs(node)
        if self.pending is not None and self.pending[0] not in inputs:
            self._name_pending()
        self._enter(self._only_training(node))
        code = self.call(node, [self.text[v] for v in inputs])
        if self.pending is not None and not _fits(code):
            self._name_pending()
            code = self.call(node, [self.text[v] for v in inputs])
        self.pending = None
        for value in inputs:
            self._read(value)
        if len(node.outputs) > 1:
            used = [o for o in node.outputs if self.left.get(o)]
            names = [self._variable(o, node) if o in used else "_" for o in node.outputs]
            self._emit(f"{', '.join(names)} = {code}")
            return
        result = node.outputs[0]
        self.text[result], self.root[result] = code, self.root[inputs[0]]
        if self._nests(node, following, result, code):
            self.pending = (result, code)
        else:
            self._assign(result, node, code)

    def _nests(self, node: Node, following: Node | None, result: int, code: str) -> bool:
        """Say whether an expression goes into the statement of the step that follows."""
        if self.left.get(result) != 1:
            return False
        if following is None:
            return len(code) <= WIDTH - 8 - len("return ")
        if isinstance(node.what, Op) and node.what.name == "cat" and len(code) > 32:
            return False
        if code.count("(") > DEEPEST + 2 or len(code) > 66:
            return False
        inputs = self._inputs(following)
        if self.loops and any(self.scope.nodes[number] is following for number in self.loops):
            return False
        if result not in inputs or self._only_training(following) != self._only_training(node):
            return False
        if isinstance(following.what, Op) and following.what.name in JOINS:
            return " + " not in code and " * " not in code
        if isinstance(following.what, Scope):
            return not isinstance(node.what, Scope) and node.span.line == following.span.line
        return _depth(code) < DEEPEST and (node.span.line == following.span.line or not following.what.stateful)

    def _assign(self, value: int, node: Node, code: str) -> None:
        self._emit(f"{self._variable(value, node)} = {code}")

    def _name_pending(self) -> None:
        assert self.pending is not None, "only called with a pending value"
        value, code = self.pending
        node = next(n for n in self.nodes if value in n.outputs)
        self.pending = None
        self._assign(value, node, code)

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
        self.variables.append((name, value))
        return name

    def _joined_later(self, value: int) -> bool:
        """Say whether a value is a branch: the next step that reads it joins it with others."""
        reader = self.readers.get(value)
        return reader is not None and isinstance(reader.what, Op) and reader.what.name in JOINS

    def _read(self, value: int) -> None:
        """Count a read of a value; behind the last one its variable is free."""
        self.left[value] -= 1
        number = _number(self.text[value])
        if not self.left[value] and number >= 0:
            self.first = min(self.first, number)

    def _free(self, name: str) -> bool:
        return name not in self.owner or not self.left.get(self.owner[name])

    def _enter(self, training: bool) -> None:
        if training == self.training:
            return
        if self.pending is not None and training is False:
            return
        self.training = training
        if training:
            self.lines.append("if self.training:")

    def _emit(self, line: str) -> None:
        self.lines += _wrapped(line, 12 if self.training else 8, "    " if self.training else "")

    def _return(self) -> None:
        outputs = self.scope.outputs
        values = [self.text[self._real(o.value)] for o in outputs]
        always = [v for o, v in zip(outputs, values) if not o.training]
        if len(always) < len(outputs):
            if self.pending is not None:
                self._name_pending()
                values = [self.text[self._real(o.value)] for o in outputs]
                always = [v for o, v in zip(outputs, values) if not o.training]
            self._enter(False)
            self.training = True
            self.lines.append("if self.training:")
            ordered = [(o.name, v) for o, v in zip(outputs, values)]
            self._emit(f"return {self.result}({', '.join(f'{n}={v}' for n, v in ordered)})")
        self.training = False
        if len(always) == 1:
            self._emit(f"return {always[0]}")
        elif self.result:
            given = [f"{o.name}={'None' if o.training else v}" for o, v in zip(outputs, values)]
            self._emit(f"return {self.result}({', '.join(given)})")
        else:
            self._emit(f"return {', '.join(values)}")

    # ------------------------------------------------------------ calls
    def call(self, node: Node, operands: list[str]) -> str:
        """Return the code of one step."""
        if isinstance(node.what, Scope) or self.is_module(node):
            attribute = f"self.{node.name}" if node.name.isidentifier() else f'self.get_submodule("{node.name}")'
            return f"{attribute}({', '.join(operands)})"
        shapes = [self.scope.shapes[i] for i in node.inputs]
        function = node.what.function(*shapes)
        assert function is not None, f"`{node.what.name}` has neither a module nor a function"
        if node.what.support:
            self.plan.support.add(node.what.support)
        return self._function(function, node, operands)

    def is_module(self, node: Node) -> bool:
        """Say whether an operator is a module of its own here, rather than a function."""
        return is_module(node, self.scope)

    def _function(self, function: Call, node: Node, operands: list[str]) -> str:
        if function.infix:
            parts = [o if _is_call(o) else f"({o})" for o in operands]
            return function.infix.join(parts)
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
        return operands[part.index] + part.suffix

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


def _number(name: str) -> int:
    """Return 12 for `t12`, -1 for any other name."""
    return int(name[1:]) if name[:1] == "t" and name[1:].isdecimal() else -1


def _filled(target: str, operands: list[str], values: dict[str, str]) -> str:
    def fill(found: re.Match[str]) -> str:
        name = found.group(1)
        if not name.isdigit():
            return values[name]
        operand = operands[int(name)]
        return operand if _is_call(operand) else f"({operand})"

    return re.sub(r"\{(\w+)\}", fill, target)


def _depths(code: str) -> list[int]:
    """Return how many brackets are open after each character."""
    found, depth = [], 0
    for character in code:
        depth += (character in "([") - (character in ")]")
        found.append(depth)
    return found


def _is_call(code: str) -> bool:
    """Say whether an expression is a name or a call, which binds tightly."""
    return not any(depth == 0 and character == " " for character, depth in zip(code, _depths(code)))


def _fits(code: str) -> bool:
    """Say whether a statement with this expression has lines that are narrow enough."""
    return all(8 + len(line) <= WIDTH for line in _wrapped(f"out = {code}", 8, ""))


def _depth(code: str) -> int:
    return max(_depths(code), default=0)


def _wrapped(line: str, indent: int, pad: str) -> list[str]:
    """Break a statement that is too wide inside its outermost brackets."""
    if indent + len(line) <= WIDTH:
        return [pad + line]
    opening = line.find("(")
    if opening < 0 or not line.endswith(")") or _depths(line[opening:])[:-1].count(0):
        return [pad + line]
    inside = line[opening + 1 : -1]
    if inside.startswith("[") and indent + 4 + len(inside) > WIDTH:
        items = _split(inside[1 : inside.rindex("]")])
        rest = inside[inside.rindex("]") + 1 :]
        return [pad + line[: opening + 1] + "[", *[f"{pad}    {item}," for item in items], f"{pad}]{rest})"]
    return [pad + line[: opening + 1], f"{pad}    {inside}", f"{pad})"]


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts, start = [], 0
    for at, depth in enumerate(_depths(text)):
        if text[at] == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]
