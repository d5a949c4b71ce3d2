"""A loop of the text as one of Python, which adds modules to a sequence.

    channels = in_channels
    for i, c in enumerate(widths):
        self.add_module(f"conv{i + 1}", nn.Conv2d(channels, c, 3, padding=1))
        channels = c

What is in it is written once for all its passes in all instances, each of which is a column. What the text says of a
pass and cannot be said here is a further name that the loop runs over.
"""

from __future__ import annotations

from copy import copy

from archdsl.codegen.context import Context, Written
from archdsl.codegen.layout import WIDTH, Argument, Child, Piece
from archdsl.codegen.loops import Turns, where
from archdsl.codegen.merge import Step, Unlike, side_by_side, turns_of
from archdsl.codegen.names import names_in, variable
from archdsl.codegen.terms import MISSING, Term, factors, fits, literal, matches, over, plain, shown, translate
from archdsl.codegen.unpacking import items_of
from archdsl.ir.network import Scope
from archdsl.ops.base import Listed
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.classes import ClassPlan
    from archdsl.codegen.groups import Groups
    from archdsl.codegen.merge import Body
    from archdsl.codegen.names import Names
    from archdsl.codegen.terms import Column

    Parts = list[Child | list[str]]

LOOSE = {"m"}  # the word of a loop that comes last
# What a plan collects on its way.
COLLECTED = ("used", "extra", "lists", "support", "proven", "running", "told")


class Looping:
    """A loop of a sequence: its passes side by side, in all instances of a class."""

    def __init__(self, plan: ClassPlan, context: Context, step: Step) -> None:
        self.plan, self.context, self.step = plan, context, step
        loops = [(i, node.what) for i, _, node in step.present if isinstance(node.what, Turns)]
        self.loop = loops[0][1].loop
        passes = [(i, turn) for i, loop in loops for turn in turns_of(loop)]
        self.at = [i for i, _ in passes]  # for each pass, the column of the context around the loop
        self.turns = [turn for _, turn in passes]
        self.there = {i for i, _ in loops}

    def parts(self, name: str, numbered: bool) -> Parts:
        """Return what adds the modules of the loop to a sequence."""
        before = self.plan.doubts.last
        try:
            found = self._parts(name, numbered)
        except Unlike:
            raise Written(where(self.loop)) from None
        self.plan.guess(self.plan.doubts.last > before)  # the next pass uses what this one does
        return found

    def _parts(self, name: str, numbered: bool) -> Parts:
        start = self.plan.channel(self.context, self.step.inputs[0])
        if not any(map(_works, self.turns)):
            self.context.channels[self.step.outputs[0]] = start
            return []
        body = side_by_side(self.turns, self.plan.groups)
        return self._steady(body, start, name, numbered) or self._changing(body, start, name, numbered)

    def _steady(self, body: Body, start: Term, name: str, numbered: bool) -> Parts | None:
        """Return the loop where each pass returns as many channels as it is given; None where it does not."""
        here = over(start, self.at)
        if not all(fits(here.column, body.channels(value)) for value in (body.inputs[0], body.results[0])):
            return None
        kept, doubts = {key: copy(self.plan.__dict__[key]) for key in COLLECTED}, self.plan.doubts.kept
        inside = _Passes(self, body, here, name, numbered)
        if inside.out is None or (not start.literal and factors(inside.out) != factors(start)):
            self.plan.__dict__.update(kept)
            self.plan.doubts.back_to(doubts)
            return None
        named = start.literal and not inside.out.literal and inside.out.names <= self.context.names.keys()
        self.plan.guess(named)
        column = self.context.body.channels(self.step.outputs[0])
        self.context.channels[self.step.outputs[0]] = inside.out.replace(column=column) if named else start
        heading = self._heading(inside)
        if numbered and len(inside.parts) == 1 and not inside.bound:
            (child,) = inside.parts
            if isinstance(child, Child) and not child.before and child.piece.brackets != "for":
                return [Child("", Piece(heading, (Argument("", child.piece),), "for"))]
        return [[f"{heading}:", *_indented(inside.lines())]]

    def _changing(self, body: Body, start: Term, name: str, numbered: bool) -> Parts:
        """Return the loop with a variable for the channels that reach a pass."""
        plan = self.plan
        word = plan.fresh("channels")
        plan.running[word] = []
        inside = _Passes(self, body, Term(word, body.channels(body.inputs[0]), frozenset([word])), name, numbered)
        out = inside.out
        if out is None:
            plan.guess()
            out = plan.resolve(inside.context, body.channels(body.results[0]), [], "channels")
        plan.running[word] = [start, out]
        if word in plan.used:
            plan.use(start)
            plan.use(out)
        column = self.context.body.channels(self.step.outputs[0])
        told = out.replace(column=column) if self._certain(out) else self._of_last(out, column)
        self.context.channels[self.step.outputs[0]] = told or Term(word, column, frozenset([word]))
        heading = self._heading(inside, out.names)
        grown = out.text.removeprefix(f"{word} + ")
        last = f"{word} += {grown}" if grown != out.text else f"{word} = {out.text}"
        return [[f"{word} = {start.text}", f"{heading}:", *_indented([*inside.lines(), last])]]

    def _certain(self, out: Term) -> bool:
        """Say whether an expression holds after the loop: it is none of a pass, and there is one in every network."""
        if not out.names <= self.context.names.keys():
            return False
        written = self.loop.written
        expr = written.values if isinstance(written, (tree.For, tree.Comprehension)) else written
        length = self._translated(expr) if expr is written else self._length(expr)
        return length is not None and length.literal and all(count != 0 for count in length.column)

    def _of_last(self, out: Term, column: Column) -> Term | None:
        """Return an item of a list as that of its last one, which is what is left of a loop over the list."""
        written = self.loop.written
        if not isinstance(written, (tree.For, tree.Comprehension)):
            return None
        targets, values = items_of(written)
        term, places = self._translated(values), dict(_places(targets))
        if term is None or not term.text.isidentifier() or out.text not in places:
            return None
        return Term(f"{term.text}[-1]{places[out.text]}", column, term.names)

    # ------------------------------------------------------------ what it runs over
    def _heading(self, inside: _Passes, more: frozenset[str] = frozenset()) -> str:
        """Return `for i, c in enumerate(widths)`, its names those that are used; `Unlike` where they are too many."""
        heading = self._loop(inside, more)
        if heading.index(" in ") > WIDTH // 2:
            raise Unlike
        return heading

    def _loop(self, inside: _Passes, more: frozenset[str]) -> str:
        used, given = inside.used | more, [*inside.context.given]
        names = [name for name in inside.targets if name in used]
        if inside.index in used:
            return self._zipped(inside.index, f"range({self._count()})", given, inside)
        if not names:
            if given:
                return f"for {', '.join(given)} in {self._given(given, inside)}"
            return f"for _ in range({self._count()})"
        found = self._written(names)
        if found is not None:
            return self._zipped(*found, given, inside)
        first, *rest = names
        if all(self._values(i, first, inside) == list(range(self.at.count(i))) for i in self.there):
            if not rest and not given:
                return f"for {first} in range({self._count()})"
            return f"for {first}, {_grouped([*rest, *given])} in enumerate({self._given([*rest, *given], inside)})"
        return f"for {', '.join([*names, *given])} in {self._given([*names, *given], inside)}"

    def _zipped(self, targets: str, values: str, given: list[str], inside: _Passes) -> str:
        """Return the heading with further names that no text says the values of."""
        if not given:
            return f"for {targets} in {values}"
        self.plan.guess()
        targets = f"({targets})" if "," in targets else targets
        return f"for {targets}, {_grouped(given)} in zip({values}, {self._given(given, inside)})"

    def _written(self, names: list[str]) -> tuple[str, str] | None:
        """Return the targets and the list as the text has them, where that is known here."""
        plan, written = self.plan, self.loop.written
        if not isinstance(written, (tree.For, tree.Comprehension)):
            return None
        term = self._translated(written.values)
        if term is None or not self._is(written.targets, term):
            return None
        plan.use(term)
        plan.proven[id(written.values)] = written.values
        values, targets = term.text, shown(written.targets, names)
        if values.startswith("enumerate(") and targets.startswith("_, "):
            targets = targets.removeprefix("_, ")
            return targets.removeprefix("(").removesuffix(")"), values.removeprefix("enumerate(")[:-1]
        if values.startswith("enumerate(") and len(names) == 1 and targets.startswith(f"{names[0]}, "):
            return names[0], f"range({self._count()})"
        return targets, values

    def _translated(self, expr: tree.Expr) -> Term | None:
        """Translate an expression; a constant is one in every instance, also where nothing is known by a name."""
        term = translate(expr, self.context.names)
        if term is None or len(term.column) == self.context.count:
            return term
        return term.replace(column=term.column * self.context.count)

    def _is(self, targets: tree.Targets, term: Term) -> bool:
        """Say whether the items of a list are what the passes have."""
        for i in self.there:
            items = term.column[i]
            wanted = [turn.args for at, turn in zip(self.at, self.turns) if at == i]
            if not isinstance(items, Listed) or len(items) != len(wanted):
                return False
            for args, item in zip(wanted, items):
                if [(name, plain(value)) for name, value in args] != list(matches(targets, item)):
                    return False
        return True

    def _values(self, column: int, name: str, inside: _Passes) -> list[object]:
        """Return what a name is in the passes of an instance."""
        term = inside.context.given.get(name) or inside.context.names[name]
        return [value for i, value in zip(self.at, term.column) if i == column]

    def _given(self, names: list[str], inside: _Passes) -> str:
        """Return a list of what names are in each pass: one that all instances have, or a parameter."""
        column: list[object] = [MISSING] * self.context.count
        for i in self.there:
            values = [self._values(i, name, inside) for name in names]
            column[i] = Listed(values[0] if len(names) == 1 else [Listed(item) for item in zip(*values)])
        hint = f"{names[0]}s" if len(names) == 1 else "rows"
        return self.plan.use(self.plan.resolve(self.context, tuple(column), [], hint)).text

    def _length(self, values: tree.Expr) -> Term | None:
        """Return how long a list is."""
        word = values.target.plain if isinstance(values, tree.Call) and isinstance(values.target, tree.Name) else None
        if isinstance(values, tree.Call) and len(values.arguments) == 1 and isinstance(values.arguments[0], tree.Expr):
            if word == "range":
                return self._translated(values.arguments[0])
            if word in ("enumerate", "reversed"):
                return self._length(values.arguments[0])
        term = self._translated(values)
        if term is None or term.stream or any(not isinstance(value, Listed) for value in term.column):
            return None
        lengths = tuple([len(value) for value in term.column if isinstance(value, Listed)])
        if term.literal and len({*lengths}) == 1:
            return literal(lengths[0], len(lengths))
        return Term(f"len({term.text})", lengths, term.names)

    def _count(self) -> str:
        """Return how often it runs."""
        written = self.loop.written
        expr = written.values if isinstance(written, (tree.For, tree.Comprehension)) else written
        length = self._translated(expr) if expr is written else self._length(expr)
        counts = tuple([self.at.count(i) if i in self.there else MISSING for i in range(self.context.count)])
        term = self.plan.use(self.plan.resolve(self.context, counts, [length], "depth"))
        if length is not None and term.text == length.text and term.names:
            self.plan.proven[id(expr)] = expr
        return term.text


class _Passes:
    """The body of a loop over the names there: `parts` of a sequence, what they use, the channels that leave it."""

    def __init__(self, looping: Looping, body: Body, here: Term, name: str, numbered: bool) -> None:
        plan, around = looping.plan, looping.context
        self.plan, self.name, self.numbered = plan, name, numbered
        outer = {key: over(term, looping.at) for key, term in around.names.items()}
        named = names_in(looping.turns, outer, here, plan.without - LOOSE)
        self.targets = [target for target, _ in looping.turns[0].args if target in named.known]
        conditions = around.conditions.over(named.known)
        self.context = Context(body, {body.inputs[0]: here}, named.known, conditions, around, looping.at)
        self.context.free = {target for target, _ in looping.turns[0].args} - named.known.keys()
        counted = tuple([looping.at[:n].count(i) for n, i in enumerate(looping.at)])
        self.context.places = [term for n in self.targets if (term := named.known[n]).column == counted]
        self.index = ""
        if not self.targets:
            self.index = next(letter for letter in plan.letters[1:] if letter not in named.known)
            self.context.places = [variable(self.index, counted)]
        before, plan.used = plan.used, set()
        plan.running |= {key: [term] for key, term in named.bound.items()}
        plan.sequences.depth += 1
        self.parts = plan.sequences.parts(self.context, body.items, name, numbered)
        plan.sequences.depth -= 1
        self.out = self.context.channels.get(body.results[0])
        self.used = plan.used
        self.bound = [f"{key} = {term.text}" for key, term in named.bound.items() if key in self.used]
        self._leave(looping, named, before)

    def _leave(self, looping: Looping, named: Names, before: set[str]) -> None:
        """Forget the names of the loop, which the next one may use otherwise."""
        plan = self.plan
        exprs = {key: expr for turn in looping.turns for key, expr, _ in turn.bindings}
        for key in named.bound:
            del plan.running[key]
            if key in self.used:
                plan.told[key] = exprs[key]
        own = {*(named.known.keys() - looping.context.names.keys()), *self.context.given, self.index}
        plan.used = before | (self.used - own)

    def lines(self) -> list[str]:
        """Return the statements of a pass."""
        self.plan.sequences.depth += 1
        added = self.plan.sequences.listed(self.parts, self.name, self.numbered)
        self.plan.sequences.depth -= 1
        return [*self.bound, *added]


def _places(targets: tree.Targets, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of targets, each with the indices of what it is in an item."""
    for number, target in enumerate(targets.names):
        index = f"{before}[{number}]" if len(targets.names) > 1 else before
        if isinstance(target, str):
            yield target, index
        else:
            yield from _places(target, index)


def _works(scope: Scope) -> bool:
    """Say whether there is a step in a pass, or in a loop of it."""
    return any(not isinstance(n.what, Turns) or any(map(_works, turns_of(n.what))) for n in scope.nodes)


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def targets_in(scope: Scope, groups: Groups) -> Iterator[str]:
    """Yield the variables of the loops in a class, those of its sequences too."""
    for node in scope.nodes:
        if isinstance(node.what, Scope) and not groups.held(node.what):
            if node.what.kind == "turn":
                yield from [name for name, _ in node.what.args]
            yield from targets_in(node.what, groups)


def _grouped(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
