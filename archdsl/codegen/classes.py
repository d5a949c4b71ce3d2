"""One class of generated code: its parameters, its modules, and the expressions they are built from."""

from __future__ import annotations

import itertools
import keyword
import os
from functools import cached_property

from archdsl.codegen.conditions import Conditions, arms, tests_in, whole_tests
from archdsl.codegen.context import Context
from archdsl.codegen.layout import Argument, Child, Piece
from archdsl.codegen.looping import targets_in
from archdsl.codegen.loops import Folded, Turns, values_at
from archdsl.codegen.merge import Branch, Step, is_given, side_by_side
from archdsl.codegen.names import names_of, variable
from archdsl.codegen.parameters import Doubts, Parameter, measured, measures, mentions, origins
from archdsl.codegen.sequences import Sequences
from archdsl.codegen.terms import (
    CHOICE,
    MISSING,
    PRODUCT,
    UNKNOWN,
    Code,
    Defined,
    Missing,
    Term,
    added,
    alike,
    both,
    collapsed,
    difference,
    either,
    factors,
    first_passes,
    fits,
    formula,
    literal,
    mentioned,
    negated,
    over,
    paired,
    python,
    substituted,
    translate,
)
from archdsl.codegen.unpacking import Unpacking
from archdsl.ir.liveness import is_empty, is_module, module_of
from archdsl.ir.network import Scope
from archdsl.ops.base import REQUIRED, Leaf, Listed, Op
from archdsl.ops.merge import Chunk
from archdsl.ops.reshape import Slice
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from archdsl.codegen.groups import Groups
    from archdsl.codegen.merge import Body
    from archdsl.codegen.terms import Column
    from archdsl.core.source import Source, Span
    from archdsl.ir.network import Node
    from archdsl.ops.base import Call


DICTIONARY = {"clear", "items", "keys", "pop", "update", "values"}  # what a dictionary of modules uses itself
EVIDENCE = 3  # values that a name has to share with an argument, to be it where the text says something else
LETTERS = ("i", "j", "k", "n", "place", "number", "index", "count")  # for variables of loops that no text names


class ClassPlan:
    """A class under construction, for scopes that differ in numbers only."""

    def __init__(
        self,
        name: str,
        body: Body,
        groups: Groups,
        plans: dict[int, ClassPlan],
        without: frozenset[str] = frozenset(),
        fixed: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.body, self.groups, self.plans, self.without = name, body, groups, plans, without
        self.scopes = [body.scope(i) for i in range(len(body.scopes))]
        self.first = self.scopes[0]
        self.used: set[str] = set()
        self.extra: dict[str, Term] = {}
        self.stored: dict[str, Term] = {}  # attributes that `forward` needs
        self.support: set[str] = set()
        self.proven: dict[int, tree.Expr] = {}  # expressions of the text that reached the code as they are
        self.lists: set[str] = set()  # variables that hold the modules of a sequence
        self.sequences = Sequences(self)
        self.running: dict[str, list[Term]] = {}  # variables of loops, and what they are assigned
        self.told: dict[str, tree.Expr] = {}  # names that loops bind in the code, as the text does
        named = names_of(self.scopes, without, groups.functions, fixed)
        self.names = named.known
        self.alone = self.first.kind == "net" and len(self.scopes) == 1  # a net that is no step in several ways
        known = sorted(fixed) if self.alone else []
        values = {name: literal(named.known[name].column[0], len(self.scopes)) for name in known}
        self.locals = values | named.bound
        self.unpacking = Unpacking(self.fresh, self.locals)
        self.doubts = Doubts()
        self.decided: dict[Hashable, bool] = {}  # steps under a condition, and whether the text has it
        self.passing: dict[Step, dict[str, Term]] = {}  # what loops that are written out bind around steps
        self.flags: dict[str, str] = {}  # parameters that say of a pipeline of the text whether it is no identity
        self.pieces: dict[ClassPlan, None] = {}  # classes of what is written in this one's text
        self.asked: set[Step] = set()  # blocks that are built under the test that they have around all their steps
        self.unsaid: set[str] = set()  # names of operators' arguments from which others follow, which are numbers here
        self.failed: set[int] = set()  # expressions of the text that did not reach the code somewhere
        self.base = self._base()
        self.conditions = Conditions(self.first, self.names)
        targets = {name for scope in self.scopes for name in targets_in(scope, groups)}
        self.reserved = self.conditions.counted | self.conditions.bound | targets
        self.letters = [letter for letter in LETTERS if letter not in {*targets, *self.names}]  # for loops of ours
        self.context = Context(body, {}, self.names, self.conditions)
        main = self.names.get("in_channels") or self._standing_for_input()
        if main is not None:
            self.context.channels[body.inputs[0]] = main
        if self.alone:  # whose inputs are what they are
            self.context.channels |= {v: literal(body.channels(v)[0]) for v in body.inputs}

    def _standing_for_input(self) -> Term | None:
        """Return a parameter of a block that is the channels of its input, where there is no other for these."""
        given = [self.names[name] for name, _ in self.first.given if name in self.names and self.first.kind != "net"]
        return next((term for term in given if term.column == self.body.channels(self.body.inputs[0])), None)

    def resolve(
        self, context: Context, column: Column, candidates: Iterable[Term | None], hint: str, label: str = ""
    ) -> Term:
        """Return an expression for a column: a candidate that gives it, a literal, or a new parameter.

        That is called by the `hint`, and where this is taken, by the `label` of its step, too.
        """
        column = tuple(collapsed(v) for v in column)
        for candidate in candidates:
            if candidate is not None and not candidate.stream and fits(candidate.column, column):
                return candidate
        present = [v for v in column if v is not MISSING]
        if all(alike(v, present[0]) for v in present):
            return literal(present[0], len(column))
        guesses = self._extra_in(context)
        if len({*present}) >= EVIDENCE:
            guesses = [*context.names.values(), *guesses]
        if all(type(v) is bool for v in present):
            guesses = [*[test for place in context.places for test in first_passes(place)], *guesses]
        self.guess()
        for term in guesses:
            if not term.stream and fits(term.column, column):
                return term
        return self._given_as(context, column, hint, label)

    def _extra_in(self, context: Context) -> list[Term]:
        if context.around is None:
            return [*self.extra.values()]
        return [over(term, context.columns) for term in self._extra_in(context.around)]

    def _given_as(self, context: Context, column: Column, hint: str, label: str) -> Term:
        """Return a new parameter, or in a loop a new name that it runs over."""
        if context.around is not None:
            outer = context.outer(column)
            if outer is not None:
                return over(self.resolve(context.around, outer, [], hint, label), context.columns)
        name = hint if hint in context.free - context.names.keys() - self.without else self.fresh(hint, label)
        present = [v for v in column if v is not MISSING]
        term = variable(name, tuple(present[0] if v is MISSING else v for v in column))
        if context.around is None:
            self.extra[name] = term
        else:
            self.lists.add(name)
            context.given[name] = term
        return term

    def fresh(self, hint: str, label: str = "") -> str:
        """Return a name that nothing has."""
        words = itertools.chain(
            [hint, f"{label}_{hint}"] if label else [hint],
            (f"{hint.rstrip('0123456789')}{i}" for i in itertools.count(2)),
        )
        known = {*self.names, *self.locals, *self.extra, *self.running, *self.lists}
        taken = {*known, *self.without, *self.reserved, *keyword.kwlist}
        return next(word for word in words if word not in taken)

    def use(self, term: Term, counts: bool = False) -> Term:
        """Note the names that an expression mentions, which may be a number of channels, and return it."""
        for name in term.names:
            self.doubts.use(name, counts)
            if name not in self.used:
                self.used.add(name)
                for other in (*([self.locals[name]] if name in self.locals else []), *self.running.get(name, ())):
                    self.use(other, counts)
        return term

    def guess(self, truly: bool = True) -> None:
        """Note that what is written now may be otherwise for other values of the names used so far."""
        if truly:
            self.doubts.guess()

    def parameters(self) -> list[Parameter]:
        """Return the parameters that the code uses, those without a default first."""
        found, apart = [], self.unpacking.taken(self.used)
        for name, term in {**self.names, **self.extra}.items():
            if name not in self.used or name in self.locals or isinstance(term, Defined):
                continue
            values = {id(scope): value for scope, value in zip(self.scopes, term.column)}
            default: object = REQUIRED
            if name in self.first.optional or self.first.kind == "net":
                common = self._default(name, term.column)
                default = REQUIRED if isinstance(common, Code) and "(" in common.text else common
            elif name in self.extra and {(type(v), v) for v in term.column} == {(bool, True), (bool, False)}:
                default = False
            found.append(Parameter(name, values, default, name in apart))
        return sorted(found, key=lambda p: p.default is not REQUIRED)

    def _default(self, name: str, column: Column) -> object:
        """Return the default of a parameter: a block's own where an instance has it, else the commonest."""
        own = {param.name: param.default for param in getattr(self.first.definition, "params", ())}
        said = own.get(name) if self.first.kind != "net" else None
        if isinstance(said, tree.Literal) and any(alike(said.value, value) for value in column):
            return said.value
        return _most_common(column)

    # ------------------------------------------------------------ attributes
    def _base(self) -> str:
        """Return the class that it extends: modules with numbers for names are items of a dictionary of modules."""
        held = [s.node.name for s in self.body.steps() if isinstance(s.node.what, Scope) or is_module(s.node, s.scope)]
        if self.groups.sequential(self.first):
            return "nn.Sequential"
        return "nn.Module" if all(map(str.isidentifier, held)) or DICTIONARY & {*held} else "nn.ModuleDict"

    def module(self, name: str) -> str:
        """Return the expression for a module of the class."""
        if name.isidentifier():
            return f"self.{name}"
        return f'self["{name}"]' if self.base == "nn.ModuleDict" else f'getattr(self, "{name}")'

    # ------------------------------------------------------------ conditions
    def condition(self, context: Context, branch: Branch, arm: frozenset[int], steps: list[Step]) -> Term:
        """Return the condition of an arm of a branch: a test of the text, or a parameter where there is none."""
        here = context.channels.get(steps[0].inputs[0])
        found = context.conditions.of(branch, arm, steps, here) or self._emptiness(context, branch, arm, here)
        self.decided[steps[0].node.span.start, steps[0].node.arms] = found is not None
        if found is not None:
            if found[1] is not None:
                own = [
                    context.conditions.of(branch, arm, [step], context.channels.get(step.inputs[0])) for step in steps
                ]
                tests = [found[1], *[one[1] for one in own if one is not None and one[0].text == found[0].text]]
                self.proven |= {id(test): test for test in tests}
            return self.use(found[0])
        first = steps[0].node  # of what is empty elsewhere, or after a parameter of the test is gone
        what = first.what.title if isinstance(first.what, Scope) else first.what.name
        hint = first.name if first.labelled else first.span.text if is_given(first) else what
        column = tuple([i in arm if i in branch.mask else MISSING for i in range(context.count)])
        before = self.doubts.kept
        term = self.use(self.resolve(context, column, [], f"with_{hint}"))
        if is_given(first) and term.text in self.extra:
            self.flags[term.text] = hint
            self.doubts.back_to(before)
        return term

    def _emptiness(
        self, context: Context, branch: Branch, arm: frozenset[int], here: Term | None
    ) -> tuple[Term, None] | None:
        """Return the test under which a block has steps at all, where it is empty in other instances."""
        step = branch.optional
        if step is None or not isinstance(block := step.node.what, Scope):
            return None
        definition = block.definition
        tests = [*whole_tests(definition)]
        if definition is None or not tests:
            return None
        given = {name: self._written(context, step, name) for name, _ in block.args}
        defaults = {param.name: param.default for param in definition.params if param.default is not None}
        for name in given:
            if name not in dict(step.node.written) and name in defaults:
                given[name] = translate(defaults[name], context.names)
        names = {name: term for name, term in given.items() if term is not None} | (
            {} if here is None else {"x.channels": here}
        )
        wanted = tuple([i in arm if i in branch.mask else MISSING for i in range(context.count)])
        for test in tests:
            term = translate(test, names)
            if term is not None and not term.literal and fits(term.column, wanted):
                self.asked.add(step)
                return term, None
        return None

    def arm(self, context: Context, branch: Branch, number: int) -> Term:
        """Return the condition of an arm of a branch; that of the last one, if it is left, is that no other holds."""
        every = list(arms(branch))
        if branch.remains(number):
            return both([negated(self.condition(context, branch, *one)) for one in every[:-1]])
        return self.condition(context, branch, *every[number])

    # ------------------------------------------------------------ channels
    def channel(self, context: Context, value: int) -> Term:
        """Return an expression for the channels of a value."""
        known = context.channels.get(value)
        self.guess(known is None)
        return self.resolve(context, context.body.channels(value), [known], "channels")

    def _track(self, context: Context, step: Step, out: Term | None) -> None:
        """Note how the channels of a step's result are written, where that is known."""
        result, what = step.outputs[0], step.node.what
        guesses = [out]
        if isinstance(what, Op):
            inputs = [context.channels.get(i) for i in step.inputs]
            if "side by side" in what.traits and all(inputs):
                several = [t for t in inputs if t is not None]
                guesses += [added(several), *_simplest_first(several)]  # the latter along another axis
            elif isinstance(what, Chunk) and isinstance(what.parts, int) and inputs[0] is not None:
                for part in step.outputs:
                    self._known(context, part, [inputs[0].divided(what.parts)])
            elif isinstance(what, Slice):
                guesses += [self._sliced(context, step), inputs[0]]
            elif "flattens" in what.traits:
                guesses.append(self._flattened(context, step))
            elif inputs:  # of which all have as many, where there are several
                several = [term for term in inputs if term is not None]
                guesses += _simplest_first(several)
        else:  # which may be empty in some instances
            guesses.append(context.channels.get(step.inputs[0]))
        self._known(context, result, guesses)

    def _known(self, context: Context, value: int, guesses: Sequence[Term | None]) -> None:
        column = context.body.channels(value)
        known = next((g for g in guesses if g is not None and fits(g.column, column)), None)
        if known is not None:
            context.channels[value] = known

    def follow(self, context: Context, step: Step) -> None:
        """Follow the channels through an operator that is no module."""
        if isinstance(step.node.what, Op):
            self._track(context, step, None)

    def joined(self, context: Context, branch: Branch) -> None:
        """Follow the channels to where the arms of a branch come together."""
        for join in branch.joins:
            guesses = [context.channels.get(s) for s in join.sources if s is not None]
            self._known(context, join.value, [*guesses, self._either(context, branch, guesses)])

    def _either(self, context: Context, branch: Branch, terms: Sequence[Term | None]) -> Term | None:
        """Return `a if condition else b` for what two arms of a branch know."""
        found = [term for term in terms if term is not None]
        if len(found) != 2 or len(terms) != 2:
            return None
        return either(found[0], self.arm(context, branch, 0), found[1])

    def shared(self, context: Context, uses: list[Step]) -> Step:
        """Return the steps that are uses of one module, in arms of which each instance takes one, as one step."""
        body = context.body
        numbers = tuple(
            [next((n for s in uses if (n := s.numbers[i]) is not None), None) for i in range(len(self.scopes))]
        )
        made = Step(numbers, body)
        made.inputs = [
            body.value({i: node.inputs[k] for i, _, node in made.present}) for k in range(len(made.node.inputs))
        ]
        made.outputs = [
            body.value({i: o for i, _, node in made.present for o in node.outputs[k : k + 1]})
            for k in range(len(made.node.outputs))
        ]
        branch = next(
            (b for b in body.branches() if [s in arm for (_, arm), s in zip(arms(b), uses)] == [True, True]), None
        )
        guesses = [context.channels.get(step.inputs[0]) for step in uses]
        both_ways = [] if branch is None else [self._either(context, branch, guesses)]
        self._known(context, made.inputs[0], [*guesses, *both_ways])
        return made

    def _sliced(self, context: Context, step: Step) -> Term | None:
        """Return how many channels a range of them has."""
        ends = [self._argument(context, step, end) for end in ("start", "stop")]
        first, last = [literal(0, context.count) if end is None else end for end in ends]
        return last if first.text == "0" else difference(last, first)

    def _flattened(self, context: Context, step: Step) -> Term | None:
        body, value = context.body, step.inputs[0]
        heights, widths = body.axis(value, 2), body.axis(value, 3)
        height, width = next((pair for pair in zip(heights, widths) if isinstance(pair[1], int)), (None, None))
        base = context.channels.get(value)
        if not isinstance(height, int) or not isinstance(width, int):
            return base  # of one token
        if height == width == 1 or (base is not None and base.column == body.channels(step.outputs[0])):
            return base
        if not body.fixed_size(value):
            self.doubts.guess_size()
        self.guess(base is None)
        if base is None:
            channels = next(c for c in body.channels(value) if isinstance(c, int))
            base = literal(channels, context.count)
        # What it gives, not what it should: where maps differ in size, it is no expression for all of them.
        column = tuple([c * height * width if isinstance(c, int) else c for c in base.column])
        return Term(f"{base.within(PRODUCT)} * {height} * {width}", column, base.names, PRODUCT)

    # ------------------------------------------------------------ operators
    def leaf(self, context: Context, step: Step, leaves: Sequence[Leaf], hint: str) -> Term:
        """Return an expression for an argument of an operator, of which there is a leaf for each instance."""
        column: list[object] = [MISSING] * context.count
        for (i, _, _), leaf in zip(step.present, leaves):
            column[i] = Listed(leaf.value) if leaf.both and isinstance(leaf.value, tuple) else leaf.value
        text = leaves[0].formula
        field = text[1:-1] if text.startswith("{") and text.endswith("}") and text.count("{") == 1 else ""
        if text == "{in}":
            main = self.channel(context, step.inputs[0])
            return self.use(self.resolve(context, tuple(column), [main], "in_channels"), counts=True)
        if field:
            written = self._written(context, step, field)
            if written is not None and not any(isinstance(value, Listed) for value in column):
                written = self._one_of_two(written) if type(leaves[0].value) is int else paired(written)
            word = "channels" if field == "out" else field
            found = self.resolve(context, tuple(column), [written], word, _label(step))
            return self.use(self._proved(found, step, field, written), counts=field == "out")
        formulas = self._formulas(context, step, text)
        found = self.resolve(context, tuple(column), formulas, hint, _label(step))
        if text and found.text not in [term.text for term in formulas if term is not None]:
            self._left_out([expr for _, expr in step.node.written])
        return self.use(found)

    def _left_out(self, exprs: list[tree.Expr]) -> None:
        """Note that an argument that follows from others of the text is a number here."""
        named = frozenset([name for expr in exprs for name in mentions(expr)])
        self.unsaid |= named
        self.doubts.suspect(named)
        self.guess()

    def _one_of_two(self, term: Term) -> Term | None:
        """Return a pair of equal numbers as one, which is asked for; of a name nobody knows that they are equal."""
        made = paired(term)
        if not any(isinstance(value, Listed) for value in term.column):
            return made
        return literal(made.column[0], len(made.column)) if term.literal and len({*made.column}) == 1 else None

    def same_leaves(self, step: Step, formula: str) -> list[Leaf]:
        """Return a leaf of a function in all instances."""
        found = []
        for _, scope, node in step.present:
            assert isinstance(node.what, Op), "functions belong to operators"
            call = node.what.function(*[scope.shapes[i] for i in node.inputs])
            assert call is not None, "an operator without a module has a function"
            parts = [*call.args, *[p for _, p in call.kwargs], *[p for _, p in call.holes or ()]]
            found.append(next(p for p in parts if isinstance(p, Leaf) and p.formula == formula))
        return found

    def _written(self, context: Context, step: Step, field: str) -> Term | None:
        """Return an argument as the text has it, where that is arithmetic over names of the class."""
        expr, what = dict(step.node.written).get(field), step.node.what
        names = context.names | self.names_around(context, step)
        if expr is None:
            return names.get(field) if isinstance(what, Scope) and field in dict(what.around) else None
        here = context.channels.get(step.inputs[0])
        return translate(expr, names | ({"x.channels": here} if here is not None else {}))

    def names_around(self, context: Context, step: Step) -> dict[str, Term]:
        """Return what the text binds around a step in loops that are written out."""
        if step not in self.passing:
            self.passing[step] = self._bound_around(context, step)
        return self.passing[step]

    def _bound_around(self, context: Context, step: Step) -> dict[str, Term]:
        if self.alone and not isinstance(step.scope, (Folded, Turns)):
            return self.unpacking.around(step.scope, step.numbers[step.index] or 0, context.names)
        numbers = [(i, number) for i, number in enumerate(step.numbers) if number is not None]
        first, *others = [values_at(step.body.scope(i), number) for i, number in numbers]
        return {
            name: literal(value, len(step.numbers))
            for name, value in first.items()
            if value is not UNKNOWN and all(name in one and alike(one[name], value) for one in others)
        }

    def _argument(self, context: Context, step: Step, field: str) -> Term | None:
        """Return an argument of an operator as the text has it."""
        written = self._written(context, step, field)
        return written if written is None else paired(written)

    def _proved(self, term: Term, step: Step, field: str, written: Term | None) -> Term:
        """Note whether an argument is what the text has for it."""
        expr = dict(step.node.written).get(field)
        if expr is not None and written is not None and term.text == written.text:
            self.proven[id(expr)] = expr
        elif expr is not None:
            self.failed.add(id(expr))
            self.guess(written is None and self._measured_by(expr))
        return term

    @cached_property
    def measured(self) -> set[str]:
        """The names that are bound to something of a tensor: for other arguments upstream it is another."""
        return measured(self.first.text)

    def doubt_tests(self) -> None:
        """Doubt what stands under tests of something of a tensor that the code does not have: they are decided here.

        The test around all of a block is its caller's.
        """
        answered, steps = self.answered | {*map(id, whole_tests(self.first.definition))}, self.body.steps()
        for test in self.conditions.tests:
            if id(test.expr) in answered or not self._measured_by(test.expr):
                continue
            under = [step for step in steps if _overlap(step.node.span, test.about)]
            for step in under:
                with self.doubts.writing(step):
                    self.guess()
            self.guess(not under)

    def _measured_by(self, expr: tree.Expr) -> bool:
        return measures(expr) or not self.measured.isdisjoint(mentions(expr))

    @property
    def reached(self) -> tuple[tree.Expr, ...]:
        """The expressions of the text that reached the code wherever they are used."""
        return tuple([expr for key, expr in self.proven.items() if key not in self.failed])

    @property
    def answered(self) -> set[int]:
        """The tests, by identity, that the code has: as conditions, or in expressions that reached it."""
        return {*self.proven, *[id(test.expr) for expr in self.reached for test in tests_in(expr)]}

    @property
    def bound(self) -> list[tuple[tree.Expr, set[str]]]:
        """What the text binds and the code does, too: expressions, each with the names that stand for it."""
        own = {name: expr for name, expr, _ in self.first.bindings if name in self.locals and name in self.used}
        return [*[(expr, {name}) for name, expr in (own | self.told).items()], *self.unpacking.told()]

    @cached_property
    def interface(self) -> list[Parameter]:
        """The parameters of a class that is planned: who builds it asks often."""
        return self.parameters()

    @cached_property
    def sizing(self) -> set[str]:
        """The names of a class that is planned that are more in it than numbers of channels."""
        return origins(self, set[str]().union(*self.doubts.sizing.values()))

    @cached_property
    def open(self) -> frozenset[str]:
        """The parameters of a class that is planned with which it may be another block than the text's."""
        return self._open(())

    @cached_property
    def open_inside(self) -> frozenset[str]:
        """Those with which it may be so where it is built under the test that the block has around all its steps."""
        return self._open(whole_tests(self.first.definition))

    def _open(self, asked: Iterable[tree.Expr]) -> frozenset[str]:
        answered = self.answered | {*map(id, asked)}
        tests = [test.expr for test in self.conditions.tests if id(test.expr) not in answered]
        names = origins(self, [*self.doubts.bearing(self.body), *[name for test in tests for name in mentions(test)]])
        return frozenset([p.name for p in self.interface if p.name in names])

    @cached_property
    def as_input(self) -> set[str]:
        """The parameters that are the channels of the input, where the class has no parameter for these."""
        if "in_channels" not in self.without or self.first.kind == "net":
            return set()
        column = self.body.channels(self.body.inputs[0])
        return {p.name for p in self.interface if p.name in self.names and self.names[p.name].column == column}

    def _formulas(self, context: Context, step: Step, text: str) -> list[Term | None]:
        if not text or not isinstance(step.node.what, Op):
            return []
        names = {"in_channels": self.channel(context, step.inputs[0])}
        for field in step.node.what.args:
            if f"{{{field}}}" in text:
                column, written = step.column(_field(field)), self._written(context, step, field)
                one = None if written is None else self._one_of_two(written)
                names[field] = self.resolve(context, column, [one], field, _label(step))
                if written is not None and names[field].text not in (written.text, one and one.text):
                    self._left_out([expr for name, expr in step.node.written if name == field])
        alternatives = [t.strip() for t in text.split("|")]
        found = [formula(alternative, names) for alternative in alternatives]
        return [None if term is None else paired(term) for term in found]

    def arguments(self, context: Context, step: Step, calls: Sequence[Call]) -> list[Argument]:
        """Return the arguments of the constructor of an operator's module."""
        found = []
        places = [("", [c.args[i] for c in calls]) for i in range(len(calls[0].args))]
        places += [(name, [dict(c.kwargs)[name] for c in calls]) for name, _ in calls[0].kwargs]
        for name, parts in places:
            leaves = [p for p in parts if isinstance(p, Leaf)]
            if all(leaf.value == leaf.omit for leaf in leaves) and not self._varying(context, step, leaves[0]):
                continue
            found.append(_argument(name, self.leaf(context, step, leaves, name or "value")))
        return found

    def _varying(self, context: Context, step: Step, leaf: Leaf) -> bool:
        """Say whether an argument, PyTorch's own default here, is said by names: it may be another one elsewhere."""
        expr = dict(step.node.written).get(leaf.formula.strip("{}"))
        written = None if expr is None else self._argument(context, step, leaf.formula.strip("{}"))
        if expr is not None and mentions(expr) and written is None:
            self.failed.add(id(expr))
        return written is not None and not written.literal and self.first.kind == "net"

    def operator(self, context: Context, step: Step) -> Piece:
        """Return the constructor of an operator's module: `nn.Conv2d(in_channels, width, 3, padding=1)`."""
        if step.varies and (context.around is None or len({node.what for _, _, node in step.present}) > 1):
            self._track(context, step, None)
            return self._given(context, step)
        calls = []
        for _, scope, node in step.present:
            assert isinstance(node.what, Op), "nodes of one class are of one kind"
            call = module_of(node, scope)
            assert call is not None, "only operators with a module come here"
            calls.append(call)
            if node.what.support:
                self.support.add(node.what.support)
        arguments = self.arguments(context, step, calls)
        if step.varies:
            arguments.append(
                Argument("inplace", self.use(self.resolve(context, _overwriting(step), [], "inplace")).text)
            )
        elif step.in_place:
            arguments.append(Argument("inplace", "True"))
        out = None
        assert isinstance(step.node.what, Op)
        if "out" in step.node.what.args:
            written = self._written(context, step, "out")
            out = self.resolve(context, step.column(_field("out")), [written], "channels", _label(step))
        self._track(context, step, out)
        return Piece(calls[0].target, tuple(arguments))

    def _given(self, context: Context, step: Step) -> Piece:
        """Return the call of what makes an activation, where instances are given different ones."""
        column: list[object] = [MISSING] * context.count
        for i, scope, node in step.present:
            column[i] = _made(scope, node, step.numbers[i] in step.body.in_place(scope))
            self.support |= {node.what.support} if isinstance(node.what, Op) and node.what.support else set()
        name = step.node.span.text if is_given(step.node) else "act"
        return Piece(self.use(self.resolve(context, tuple(column), [], name)).text)

    # ------------------------------------------------------------ modules
    def child(self, context: Context, step: Step) -> Child | None:
        """Return the module of a step; None where it is empty in every instance."""
        node = step.node
        if isinstance(node.what, Op):
            return Child(node.name, self.operator(context, step))
        assert not isinstance(node.what, Turns), "a loop is no module"
        whats = step.column(lambda _, node: MISSING if is_empty(node.what) else node.what)  # type: ignore[arg-type]
        full = next((w for w in whats if isinstance(w, Scope)), None)
        if full is None:
            self._track(context, step, None)
            return None
        if self.groups.held(full):
            made = Child(node.name, self._construct(context, step, whats))
        else:
            inner = side_by_side([w if isinstance(w, Scope) else MISSING for w in whats], self.groups)
            made = self.sequences.module(context, step, inner)
        if any(isinstance(whats[i], Missing) for i in step.mask):
            hint = node.name if node.labelled else full.title
            column = tuple([isinstance(w, Scope) if i in step.mask else MISSING for i, w in enumerate(whats)])
            made = self.optional(made, self.use(self.resolve(context, column, [], f"with_{hint}")), step)
        return made

    def optional(self, child: Child, condition: Term, step: Step) -> Child:
        """Return a module that is there under a condition only: one of several tensors is none elsewhere."""
        absent = {"absent": "None"} if takes_several(step) else {}
        return child.replace(piece=Piece(condition.text, (Argument("", child.piece),), brackets="if", **absent))

    def _construct(self, context: Context, step: Step, inner: Sequence[object]) -> Piece:
        """Return the call of another generated class."""
        plan = self.plans[next(id(s) for s in inner if isinstance(s, Scope))]
        arguments = []
        given: dict[str, Term] = {}
        parameters = plan.interface
        for parameter in parameters:
            given[parameter.name] = literal(parameter.default, context.count)
            column = tuple([parameter.values[id(s)] if isinstance(s, Scope) else MISSING for s in inner])
            written = self._written(context, step, parameter.name)
            usual = parameter.default is not REQUIRED and all(
                v is MISSING or alike(v, parameter.default) for v in column
            )
            if usual and (written is None or written.literal):
                continue
            guesses = [written]
            self.guess(not self._said(plan, step, parameter.name))
            if parameter.name == "in_channels":
                guesses.insert(0, self.channel(context, step.inputs[0]))
            term = self.resolve(context, column, guesses, parameter.name, _label(step))
            term = self.use(self._proved(term, step, parameter.name, written), parameter.name not in plan.sizing)
            given[parameter.name] = term
            arguments.append(_argument("" if parameter.default is REQUIRED else parameter.name, term))
        open_ones = plan.open_inside if step in self.asked else plan.open
        if plan.doubts.last or open_ones:
            self.doubts.suspect(mentioned([given[name] for name in open_ones]))
        here = context.channels.get(step.inputs[0])
        same = here is not None and any(factors(given[name]) == factors(here) for name in plan.as_input)
        self.guess("in_channels" in plan.without and not same)
        if plan.first.definition is None:
            self.pieces[plan] = None
            self.proven |= plan.proven
            self.failed |= plan.failed
        self.failed.update([id(expr) for name, expr in step.node.written if name not in given])
        self._track(context, step, self._returned(context, step, plan, given, inner))
        return Piece(plan.name, tuple(arguments))

    def _said(self, plan: ClassPlan, step: Step, name: str) -> bool:
        """Say whether the text says what a parameter of another class is: it is the block's, or asks for a pipeline."""
        if name in plan.flags:
            given = dict(step.node.written).get(plan.flags[name])
            return given is None or isinstance(given, tree.Name)
        return name == "in_channels" or name in dict(plan.first.given)

    def _returned(
        self, context: Context, step: Step, plan: ClassPlan, given: dict[str, Term], inner: Sequence[object]
    ) -> Term | None:
        """Return the channels that another class returns, as it computes them of what it is given, where it is used."""
        both = zip(context.body.channels(step.outputs[0]), inner)
        made, term = tuple([size if isinstance(what, Scope) else MISSING for size, what in both]), plan.returns
        if term is not None and all(name in given or name.endswith("()") for name in term.names):
            told = substituted(term, given).replace(column=made)
            sizes = [size for size in made if size is not MISSING]
            return literal(sizes[0], len(made)) if told.literal and len(set(sizes)) == 1 else told
        self.guess()
        return next((t for t in reversed(given.values()) if fits(t.column, made)), None)

    @property
    def returns(self) -> Term | None:
        """The channels of the main result, over the parameters, where they follow from these."""
        term = self.context.channels.get(self.body.results[0])
        while term is not None and term.names & self.locals.keys():
            term = substituted(term, {name: self.locals[name] for name in term.names & self.locals.keys()})
        return term

    def heading(self, context: Context, branch: Branch, number: int) -> str:
        """Return the line that an arm of a branch starts with: `if ...:`, `elif ...:` or `else:`."""
        mask, steps = list(arms(branch))[number]
        if not branch.remains(number):
            return f"{'elif' if number else 'if'} {self.arm(context, branch, number).text}:"
        own = context.conditions.of(branch, mask, steps, None) if context.conditions.has_test(steps) else None
        if own is None:
            return "else:"
        self.proven[id(own[1])] = own[1]
        return f"elif {self.use(own[0]).text}:"

    def comment(self, node: Node) -> str:
        """Return the trailing comment that leads back to the text."""
        return f"  # {file_name(node.span.source)}:{node.span.line}"

    def idle(self, line: str) -> bool:
        """Say whether a statement assigns a variable of a loop that nothing reads."""
        name, _, _ = line.strip().partition(" ")
        return name in self.running and name not in self.used


def takes_several(step: Step) -> bool:
    """Say whether a step is a module of several tensors, which no identity is in the place of."""
    return isinstance(step.node.what, Scope) and len(step.inputs) > 1


def file_name(source: Source) -> str:
    """Return the name of a file, without its folder and without characters that could end a comment or a text."""
    return "".join(c if c.isalnum() or c in "_-.<> " else "_" for c in os.path.basename(source.name))


def _overlap(one: Span, other: Span) -> bool:
    return one.source is other.source and one.start < other.end and other.start < one.end


def _simplest_first(terms: list[Term]) -> list[Term]:
    return sorted(terms, key=lambda term: (term.literal, term.binding == CHOICE, len(term.text)))


def _most_common(column: Column) -> object:
    return max(column, key=lambda v: sum(1 for w in column if alike(v, w)))


def _label(step: Step) -> str:
    """Return the label of a step, where it has one."""
    return step.node.name if step.node.labelled and step.node.name.isidentifier() else ""


def _field(field: str) -> Callable[[Scope, Node], object]:
    """Return a function that gives a field of the operator of a step."""
    return lambda _, node: collapsed(getattr(node.what, field))


def _overwriting(step: Step) -> Column:
    """Say for each instance whether a step overwrites its input."""
    scopes, numbers = step.body.scopes, step.numbers
    return tuple([MISSING if n is None else n in step.body.in_place(s) for s, n in zip(scopes, numbers)])  # type: ignore[arg-type]


def _made(scope: Scope, node: Node, inplace: bool) -> Code:
    """Return what makes the module of an activation: its class, or that with arguments."""
    assert isinstance(node.what, Op), "only operators are activations"
    call = module_of(node, scope)
    assert call is not None, "in a sequence each step is a module"
    given = [("", leaf) for leaf in call.args] + list(call.kwargs)
    leaves = [(name, leaf) for name, leaf in given if isinstance(leaf, Leaf) and leaf.value != leaf.omit]
    arguments = [f"{name}={python(leaf.value)}" if name else python(leaf.value) for name, leaf in leaves]
    arguments += ["inplace=True"] if inplace else []
    return Code(f"partial({', '.join([call.target, *arguments])})" if arguments else call.target)


def _argument(name: str, term: Term) -> Argument:
    value = next((v for v in term.column if v is not MISSING), None)
    return Argument(name, term.text, value if term.literal and type(value) is int else None)
