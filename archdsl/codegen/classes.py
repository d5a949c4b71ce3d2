"""One class of generated code: its parameters, its modules, and the expressions they are built from."""

from __future__ import annotations

import keyword
import os

from archdsl.codegen.groups import has_class
from archdsl.codegen.layout import Argument, Child, Piece, named, sequence
from archdsl.codegen.terms import ATOM, PRODUCT, Term, added, collapsed, formula, literal, python, translate
from archdsl.core.record import kinds
from archdsl.ir.liveness import in_place, is_empty
from archdsl.ir.network import Scope
from archdsl.ops.base import REQUIRED, Leaf, Op
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from archdsl.codegen.terms import Column
    from archdsl.core.source import Source
    from archdsl.ir.network import Node
    from archdsl.ops.base import Call

PLAIN = (int, float, bool, str)


class Missing:
    """The value of a column in an instance that does not have it: an optional block that is empty there."""


MISSING = Missing()


class Parameter:
    """A parameter of a generated class: its value in each scope of the class, and its default."""

    def __init__(self, name: str, values: dict[int, object], default: object = REQUIRED) -> None:
        self.name, self.values, self.default = name, values, default

    @property
    def annotation(self) -> str:
        """The Python type."""
        kinds = {type(v) for v in self.values.values()}
        if kinds == {int, tuple}:
            return "int | tuple[int, int]"
        kind = kinds.pop() if len(kinds) == 1 else float
        return "tuple[int, int]" if kind is tuple else kind.__name__

    def __str__(self) -> str:
        default = "" if self.default is REQUIRED else f" = {python(self.default)}"
        return f"{self.name}: {self.annotation}{default}"


class Context:
    """Where code is generated: the instances of one scope (the class's own, or a sequence inside it), side by side."""

    def __init__(self, scopes: Sequence[Scope | Missing], channels: dict[int, Term]) -> None:
        self.scopes = scopes
        self.first = next(s for s in scopes if isinstance(s, Scope))
        self.in_place = in_place(self.first)
        self.channels = channels

    def column(self, get: Callable[[Scope], object]) -> Column:
        """Return one value for each instance."""
        return tuple([get(s) if isinstance(s, Scope) else MISSING for s in self.scopes])


class ClassPlan:
    """A class under construction, for scopes that differ in numbers only."""

    def __init__(
        self, name: str, scopes: list[Scope], plans: dict[int, ClassPlan], without: frozenset[str] = frozenset()
    ) -> None:
        self.name, self.scopes, self.plans, self.without = name, scopes, plans, without
        self.first = scopes[0]
        self.used: set[str] = set()
        self.extra: dict[str, Term] = {}
        self.locals: dict[str, Term] = {}
        self.stored: dict[str, Term] = {}  # attributes that `forward` needs
        self.support: set[str] = set()
        self.proven: dict[int, tree.Expr] = {}  # expressions of the text that reached the code as they are
        self.consumed: set[str] = set()  # names that the channels of some input depend on
        self.names = self._names()
        self.channels: dict[int, Term] = {}
        self.context = Context(scopes, self.channels)
        if scopes[0].kind != "net":
            main = self.names.get("in_channels")
            if main is not None:
                self.channels[self.first.inputs[0]] = main

    # ------------------------------------------------------------ names
    def _names(self) -> dict[str, Term]:
        """Return the terms that expressions may use: parameters of the block, and names bound in its body."""
        names: dict[str, Term] = {}
        if self.first.kind != "net":
            names["in_channels"] = _variable("in_channels", tuple(int(s.shapes[s.inputs[0]][1]) for s in self.scopes))
        for number, (name, _) in enumerate(self.first.args):
            column = tuple(s.args[number][1] for s in self.scopes)
            if all(type(v) in PLAIN for v in column) and not keyword.iskeyword(name) and name not in self.without:
                names.setdefault(name, _variable(name, column))
        for number, (name, expr, _) in enumerate(self.first.bindings):
            column = tuple(s.bindings[number][2] for s in self.scopes if number < len(s.bindings))
            here = names.get("in_channels")
            term = translate(expr, names | ({"x.channels": here} if here is not None else {}))
            allowed = name not in names and name not in self.without and not keyword.iskeyword(name)
            if term is not None and term.column == column and not term.literal and allowed:
                self.locals[name] = term
                names[name] = _variable(name, column)
        return names

    def resolve(self, column: Column, candidates: Iterable[Term | None], hint: str) -> Term:
        """Return an expression for a column: a candidate that gives it, a literal, or a new parameter."""
        column = tuple(collapsed(v) for v in column)
        for candidate in candidates:
            if candidate is not None and _fits(candidate.column, column):
                return candidate
        present = [v for v in column if v is not MISSING]
        if all(_alike(v, present[0]) for v in present):
            return literal(present[0], len(column))
        for term in (*self.names.values(), *self.extra.values()):
            if _fits(term.column, column):
                return term
        name = hint
        while name in self.names or name in self.extra or keyword.iskeyword(name):
            name += "_"
        filled = tuple(present[0] if v is MISSING else v for v in column)
        self.extra[name] = _variable(name, filled)
        return self.extra[name]

    def use(self, term: Term) -> Term:
        """Note the names that an expression mentions, and return it."""
        for name in term.names:
            if name not in self.used:
                self.used.add(name)
                if name in self.locals:
                    self.use(self.locals[name])
        return term

    def parameters(self) -> list[Parameter]:
        """Return the parameters that the code uses, those without a default first."""
        found = []
        for name, term in {**self.names, **self.extra}.items():
            if name not in self.used or name in self.locals:
                continue
            values = {id(scope): value for scope, value in zip(self.scopes, term.column)}
            default: object = REQUIRED
            if name in self.first.optional:
                default = _most_common(term.column)
            elif name in self.extra and {(type(v), v) for v in term.column} == {(bool, True), (bool, False)}:
                default = False
            found.append(Parameter(name, values, default))
        return sorted(found, key=lambda p: p.default is not REQUIRED)

    # ------------------------------------------------------------ channels
    def channel(self, context: Context, value: int) -> Term:
        """Return an expression for the channels of a value."""
        column = context.column(lambda s: int(s.shapes[value][1]))
        return self.resolve(column, [context.channels.get(value)], "channels")

    def _track(self, context: Context, node: Node, out: Term | None) -> None:
        """Note how the channels of a node's result are written, where that is known."""
        result, what = node.outputs[0], node.what
        column = context.column(lambda s: int(s.shapes[result][1]))
        guesses = [out]
        if isinstance(what, Op):
            inputs = [context.channels.get(i) for i in node.inputs]
            if "side by side" in what.traits and all(inputs):
                guesses.append(added([t for t in inputs if t is not None]))
            elif "flattens" in what.traits:
                guesses.append(self._flattened(context, node))
            elif inputs:
                guesses.append(inputs[0])
        elif not what.nodes:
            guesses.append(context.channels.get(node.inputs[0]))
        known = next((g for g in guesses if g is not None and _fits(g.column, column)), None)
        if known is not None:
            context.channels[result] = known

    def follow(self, context: Context, node: Node) -> None:
        """Follow the channels through an operator that is no module."""
        if isinstance(node.what, Op):
            self._track(context, node, None)

    def _flattened(self, context: Context, node: Node) -> Term | None:
        shape = context.first.shapes[node.inputs[0]]
        if len(shape) != 4:
            return None
        base = context.channels.get(node.inputs[0])
        height, width = int(shape[2]), int(shape[3])
        if height == width == 1:
            return base
        if base is None:
            base = literal(int(shape[1]), len(context.scopes))
        # What it gives, not what it should: where maps differ in size, it is no expression for all of them.
        column = tuple([c * height * width if isinstance(c, int) else c for c in base.column])
        return Term(f"{base.within(PRODUCT)} * {height} * {width}", column, base.names, PRODUCT)

    # ------------------------------------------------------------ operators
    def leaf(self, context: Context, number: int, leaves: Sequence[Leaf], node: Node) -> Term:
        """Return an expression for an argument of an operator."""
        column: list[object] = []
        present = iter(leaves)
        for scope in context.scopes:
            column.append(next(present).value if isinstance(scope, Scope) else MISSING)
        text = leaves[0].formula
        field = text[1:-1] if text.startswith("{") and text.endswith("}") and text.count("{") == 1 else ""
        if text == "{in}":
            return self.use(
                self._consume(self.resolve(tuple(column), [self.channel(context, node.inputs[0])], "in_channels"))
            )
        if field:
            return self.use(
                self._proved(self.resolve(tuple(column), [self._written(context, node, field)], field), node, field)
            )
        return self.use(self.resolve(tuple(column), self._formulas(context, number, text), "argument"))

    def same_leaves(self, context: Context, number: int, formula: str) -> list[Leaf]:
        """Return a leaf of a function in all instances."""
        found = []
        for scope in context.scopes:
            if isinstance(scope, Scope):
                node = scope.nodes[number]
                assert isinstance(node.what, Op), "functions belong to operators"
                call = node.what.function(*[scope.shapes[i] for i in node.inputs])
                assert call is not None, "an operator without a module has a function"
                parts = [*call.args, *[p for _, p in call.kwargs], *[p for _, p in call.holes or ()]]
                found.append(next(p for p in parts if isinstance(p, Leaf) and p.formula == formula))
        return found

    def _written(self, context: Context, node: Node, field: str) -> Term | None:
        """Return an argument as the text has it, where that is arithmetic over names of the class."""
        expr = dict(node.written).get(field)
        if expr is None:
            return None
        here = context.channels.get(node.inputs[0])
        return translate(expr, self.names | ({"x.channels": here} if here is not None else {}))

    def _proved(self, term: Term, node: Node, field: str) -> Term:
        expr = dict(node.written).get(field)
        if expr is not None and term.names:
            self.proven[id(expr)] = expr
        return term

    def _consume(self, term: Term) -> Term:
        self.consumed |= term.names
        return term

    def unsafe(self) -> frozenset[str]:
        """Return the parameters of the text that the class must not have: with another value it would be wrong.

        Where a parameter has one value in all instances, nothing shows that the code is right for another. It stays
        only where every mention of it in the text has reached the code, and in a net, whose layers are told their
        channels, where no later layer's weights depend on it.
        """
        definition = self.first.definition
        if definition is None:
            return frozenset()
        if self.first.kind != "net":
            return self._untold(_mentions(definition.body, tests=False))
        mentioned = _mentions(definition.body)
        proven = _mentions(tuple(self.proven.values()))
        names = [p.name for p in self.parameters()]
        return frozenset(
            n for n in names if n in self.consumed or mentioned.get(n) != proven.get(n) or n in self.locals
        )

    def _untold(self, mentioned: dict[str, int]) -> frozenset[str]:
        """Return the parameters of a block that have one value, and of which the code says less than the text.

        What a name bound in the body says of a parameter is said where all mentions of that name are. A condition
        decides which class an instance has, and says nothing inside of it.
        """
        bound = {name: expr for name, expr, _ in self.first.bindings if name in self.locals and name in self.used}
        told: set[str] = set()
        while True:
            proven = _mentions((*self.proven.values(), *[bound[name] for name in told]))
            more = {name for name in bound if mentioned.get(name) == proven.get(name)} - told
            if not more:
                break
            told |= more
        constant = [p.name for p in self.parameters() if p.name in self.names and len(set(p.values.values())) == 1]
        return frozenset(n for n in constant if n in mentioned and mentioned.get(n) != proven.get(n))

    def _formulas(self, context: Context, number: int, text: str) -> list[Term | None]:
        node = context.first.nodes[number]
        if not text or not isinstance(node.what, Op):
            return []
        names = {"in_channels": self.channel(context, node.inputs[0])}
        for field in node.what.args:
            if f"{{{field}}}" in text:
                column = context.column(_field_of(number, field))
                names[field] = self.resolve(column, [self._written(context, node, field)], field)
        alternatives = [t.strip() for t in text.split("|")]
        if "({kernel} - 1) // 2" in text:
            alternatives.insert(0, "{kernel} // 2")
        return [formula(alternative, names) for alternative in alternatives]

    def arguments(self, context: Context, number: int, calls: Sequence[Call], node: Node) -> list[Argument]:
        """Return the arguments of the constructor of an operator's module."""
        found = []
        places = [("", [c.args[i] for c in calls]) for i in range(len(calls[0].args))]
        places += [(name, [dict(c.kwargs)[name] for c in calls]) for name, _ in calls[0].kwargs]
        for name, parts in places:
            leaves = [p for p in parts if isinstance(p, Leaf)]
            if all(leaf.value == leaf.omit for leaf in leaves):
                continue
            term = self.leaf(context, number, leaves, node)
            value = term.column[0] if term.literal and type(term.column[0]) is int else None
            found.append(Argument(name, term.text, value))
        return found

    def operator(self, context: Context, number: int, inplace: bool) -> Piece:
        """Return the constructor of an operator's module: `nn.Conv2d(in_channels, width, 3, padding=1)`."""
        node = context.first.nodes[number]
        scopes = [s for s in context.scopes if isinstance(s, Scope)]
        calls = []
        for scope in scopes:
            other = scope.nodes[number]
            assert isinstance(other.what, Op), "nodes of one class are of one kind"
            call = other.what.module(scope.shapes[other.inputs[0]])
            assert call is not None, "only operators with a module come here"
            calls.append(call)
            if other.what.support:
                self.support.add(other.what.support)
        arguments = self.arguments(context, number, calls, node)
        if inplace:
            arguments.append(Argument("inplace", "True"))
        out = None
        assert isinstance(node.what, Op)
        if "out" in node.what.args:
            column = context.column(lambda s: s.nodes[number].what.out)  # type: ignore[union-attr]
            out = self.resolve(column, [self._written(context, node, "out")], "out")
        self._track(context, node, out)
        return Piece(calls[0].target, tuple(arguments))

    # ------------------------------------------------------------ modules
    def child(self, context: Context, number: int) -> Piece | None:
        """Return the constructor of the module of a node; None where it is empty in every instance."""
        node = context.first.nodes[number]
        if isinstance(node.what, Op):
            return self.operator(context, number, inplace=number in context.in_place)
        whats = [s.nodes[number].what if isinstance(s, Scope) else MISSING for s in context.scopes]
        inner: list[Scope | Missing] = [w if isinstance(w, Scope) and not is_empty(w) else MISSING for w in whats]
        full = [w for w in inner if isinstance(w, Scope)]
        if not full:
            self._track(context, node, None)
            return None
        if has_class(full[0]):
            piece = self._construct(context, number, inner, node)
        else:
            piece = self._sequence(context, node, inner)
        gaps = [isinstance(w, Missing) and isinstance(s, Scope) for w, s in zip(inner, context.scopes)]
        if any(gaps):
            hint = node.name if node.labelled else full[0].title
            condition = self.use(self.resolve(tuple(not gap for gap in gaps), [], f"with_{hint}"))
            piece = Piece(f"{piece.flat()} if {condition.text} else nn.Identity()", brackets="")
        return piece

    def _construct(self, context: Context, number: int, inner: list[Scope | Missing], node: Node) -> Piece:
        """Return the call of another generated class."""
        plan = self.plans[next(id(s) for s in inner if isinstance(s, Scope))]
        arguments = []
        out: list[Term] = []
        for parameter in plan.parameters():
            column = tuple([parameter.values[id(s)] if isinstance(s, Scope) else MISSING for s in inner])
            if parameter.default is not REQUIRED and all(v is MISSING or _alike(v, parameter.default) for v in column):
                continue
            guesses = [self._written(context, node, parameter.name)]
            if parameter.name == "in_channels":
                guesses.insert(0, self._consume(self.channel(context, node.inputs[0])))
            term = self.use(self._proved(self.resolve(column, guesses, parameter.name), node, parameter.name))
            out.append(term)
            value = term.column[0] if term.literal and type(term.column[0]) is int else None
            arguments.append(Argument("" if parameter.default is REQUIRED else parameter.name, term.text, value))
        guess = next(
            (t for t in reversed(out) if _fits(t.column, context.column(lambda s: int(s.shapes[node.outputs[0]][1])))),
            None,
        )
        self._track(context, node, guess)
        return Piece(plan.name, tuple(arguments))

    def _sequence(self, context: Context, node: Node, inner: list[Scope | Missing]) -> Piece:
        """Return `nn.Sequential(...)` for a sequence or labelled body."""
        first = next(s for s in inner if isinstance(s, Scope))
        start = context.channels.get(node.inputs[0])
        nested = Context(inner, {first.inputs[0]: start} if start is not None else {})
        children = self.children(nested)
        last = nested.channels.get(first.outputs[0].value)
        if last is not None:
            context.channels[node.outputs[0]] = last
        if first.wrapper is not None:
            return self._wrapper(first, children[0])
        if all(c.name == str(i) for i, c in enumerate(children)):
            return Piece("nn.Sequential", tuple(sequence(children)))
        return Piece("nn.Sequential", (Argument("", named(children)),))

    def _wrapper(self, scope: Scope, f: Child) -> Piece:
        """Return the module of an operator that takes a pipeline: `Ode(nn.Sequential(...), solver="rk4", steps=4)`."""
        op = scope.wrapper
        assert op is not None, "only wrappers come here"
        self.support.add(op.support)
        own = [(name, getattr(op, name), spec.default) for name, spec in op.args.items() if name != "f"]
        own.append(("timed", len(scope.nodes[0].inputs) > 1, False))
        given = [Argument(name, python(value)) for name, value, default in own if value != default]
        return Piece(type(op).__name__, (Argument("", f.piece), *given))

    def children(self, context: Context) -> list[Child]:
        """Return the modules of a sequence."""
        found = []
        for number, node in enumerate(context.first.nodes):
            piece = self.child(context, number)
            found.append(Child(node.name, piece or Piece("nn.Identity")))
        return found

    def comment(self, node: Node) -> str:
        """Return the trailing comment that leads back to the text."""
        return f"  # {file_name(node.span.source)}:{node.span.line}"


def file_name(source: Source) -> str:
    """Return the name of a file, without its folder and without characters that could end a comment or a text."""
    return "".join(c if c.isalnum() or c in "_-.<> " else "_" for c in os.path.basename(source.name))


def _variable(name: str, column: Column) -> Term:
    return Term(name, tuple(collapsed(v) for v in column), frozenset([name]), ATOM)


def _mentions(piece: object, tests: bool = True) -> dict[str, int]:
    """Count the plain names in a piece of syntax; without `tests` those outside of conditions."""
    if isinstance(piece, tree.Name) and piece.plain is not None:
        return {piece.plain: 1}
    if not tests and isinstance(piece, tree.Require):
        return {}
    if not tests and isinstance(piece, tree.If):
        piece = tuple([body for _, body in piece.arms])
    parts = (
        piece if isinstance(piece, tuple) else [getattr(piece, f) for f in getattr(piece, "fields", ()) if f != "span"]
    )
    if not tests and isinstance(piece, (tree.OnlyIf, tree.Either, tree.Comprehension)):
        parts = [part for part in parts if part is not piece.test]
    counts: dict[str, int] = {}
    for part in parts:
        for name, count in _mentions(part, tests).items() if isinstance(part, (tuple, tree.Node)) else ():
            counts[name] = counts.get(name, 0) + count
    return counts


def _fits(have: Column, wanted: Column) -> bool:
    """Say whether an expression gives a column, wherever the column has a value."""
    if len(have) != len(wanted):
        return False
    return all(w is MISSING or _alike(h, w) for h, w in zip(have, wanted))


def _alike(a: object, b: object) -> bool:
    """Say whether two values are one in generated code: 0, 0.0 and `False` are equal to Python, and not to PyTorch."""
    return a == b and kinds((a,)) == kinds((b,))


def _most_common(column: Column) -> object:
    return max(column, key=lambda v: sum(1 for w in column if _alike(v, w)))


def _field_of(number: int, field: str) -> Callable[[Scope], object]:
    """Return a function that gives a field of the operator in the place of a node, for each instance."""
    return lambda scope: collapsed(getattr(scope.nodes[number].what, field))
