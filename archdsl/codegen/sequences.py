"""Sequences of modules in a class: one expression, or a list of modules to which statements add.

    self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())

    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3)]
    if act:
        layers.append(nn.ReLU())
    self.stem = nn.Sequential(*layers)

A class that is a sequence itself adds to itself, and a loop of the text is one of Python: see `looping`.
"""

from __future__ import annotations

import itertools
from operator import attrgetter

from archdsl.codegen.layout import Argument, Child, Piece, label, labelled_runs, looped, named, sequence
from archdsl.codegen.looping import Looping
from archdsl.codegen.loops import Folded, Turns
from archdsl.codegen.merge import Branch, Step, Unlike, is_computed
from archdsl.codegen.terms import fits, literal, python, translate
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.classes import ClassPlan
    from archdsl.codegen.context import Context
    from archdsl.codegen.merge import Body
    from archdsl.ir.network import Scope

SHORT = 72  # characters of a sequence with labels that is one expression


class Sequences:
    """The sequences of a class under construction."""

    def __init__(self, plan: ClassPlan) -> None:
        self.plan = plan
        self.depth = 0  # of the loops and branches in which statements are written

    def module(self, context: Context, step: Step, inner: Body) -> Child:
        """Return `nn.Sequential(...)` for a sequence or labelled body."""
        start = context.channels.get(step.inputs[0])
        nested = context.within(inner, {inner.inputs[0]: start} if start is not None else {})
        nested.names = context.names | self.plan.names_around(context, step)
        name, first = step.node.name, inner.first
        if first.wrapper is not None:
            f = self._numbered(nested, inner.steps()[0])
            return Child(name, self._wrapper(first, f.piece), f.before)
        word = name.rstrip("0123456789_") if is_computed(step.node, step.scope) else name
        piece, before = self.call(nested, "nn.Sequential", word if step.node.labelled else "layers")
        assert piece is not None, "only a class is its own sequence"
        last = nested.channels.get(inner.results[0])
        if last is not None:
            context.channels[step.outputs[0]] = last
        return Child(name, piece, before)

    def _wrapper(self, scope: Scope, f: str | Piece) -> Piece:
        """Return the module of an operator that takes a pipeline: `Ode(nn.Sequential(...), solver="rk4", steps=4)`."""
        op = scope.wrapper
        assert op is not None, "only wrappers come here"
        self.plan.support.add(op.support)
        own = [(name, getattr(op, name), spec.default) for name, spec in op.args.items() if name != "f"]
        own.append(("timed", len(scope.nodes[0].inputs) > 1, False))
        given = [Argument(name, python(value)) for name, value, default in own if value != default]
        return Piece(type(op).__name__, (Argument("", f), *given))

    def call(self, context: Context, target: str, hint: str) -> tuple[Piece | None, tuple[str, ...]]:
        """Return the call that makes a sequence, and the statements before it that list what is in it.

        A sequence of which some instances have more than others is listed first, and then made of the list. A class
        that is one adds to itself what has labels, and needs no call.
        """
        body, numbered, itself = context.body, self.plan.groups.plain(context.body.first), target != "nn.Sequential"
        name = "self" if itself and not numbered else self._variable(hint)
        parts = self.parts(context, body.items, name, numbered, first=True)
        children = [part for part in parts if isinstance(part, Child)]
        if len(children) == len(parts) and not any(child.called for child in children):
            before = tuple([line for child in children for line in child.before])
            index = self.plan.letters[0]
            given = sequence(children, index) if numbered else [Argument("", named(children, index))]
            piece = Piece(target, tuple(given))
            if numbered or itself or len(piece.flat()) <= SHORT:
                self.plan.lists.discard(name)
                return piece, before
        if name == "self":
            return None, ("super().__init__()", *self.listed(parts, name, numbered))
        if not numbered:
            return Piece(name, brackets=""), (f"{name} = {target}()", *self.listed(parts, name, numbered))
        known = list(itertools.takewhile(lambda part: isinstance(part, Child) and not part.before, parts))
        start = Piece("", tuple(sequence(known, self.plan.letters[0])), "[]")  # type: ignore[arg-type]
        made = statement(start, f"{name}: list[nn.Module] = ", depth=self.depth)
        rest = self.listed(parts[len(known) :], name, numbered)
        return Piece(target, (Argument("", f"*{name}"),)), (*made, *rest)

    def _variable(self, hint: str) -> str:
        """Return a name for a sequence under construction."""
        name = self.plan.fresh(hint)
        self.plan.lists.add(name)
        return name

    def parts(
        self, context: Context, items: list[Step | Branch], name: str, numbered: bool, *, first: bool = False
    ) -> list[Child | list[str]]:
        """Return what is in a sequence: modules, and statements that add further ones to it.

        Where they are the `first` in it, modules without a label have names that are known.
        """
        found: list[Child | list[str]] = []
        for item in items:
            if isinstance(item, Branch):
                found.append(self._choice(context, item, name, numbered))
                continue
            with self.plan.doubts.writing(item):
                if isinstance(item.node.what, Turns):
                    found += Looping(self.plan, context, item).parts(name, numbered)
                    continue
                child = self._numbered(context, item)
                known = first and all(isinstance(part, Child) for part in found)
                found.append(child if numbered or known else child.replace(called=self._key(context, item, name)))
        return found

    def _choice(self, context: Context, branch: Branch, name: str, numbered: bool) -> list[str]:
        lines = []
        for number, (_, arm) in enumerate(branch.arms):
            heading = self.plan.heading(context, branch, number)
            self.depth += 1
            inside = self.listed(self.parts(context, arm, name, numbered), name, numbered)
            self.depth -= 1
            lines += [heading, *[f"    {line}" for line in inside]]
        self.plan.joined(context, branch)
        return lines

    def listed(self, parts: list[Child | list[str]], name: str, numbered: bool) -> list[str]:
        """Return the statements that add parts to a list, or to a sequence where they have labels."""
        lines: list[str] = []
        row: list[Child] = []
        for part in [*parts, []]:
            if isinstance(part, Child) and not part.before:
                row.append(part)
                continue
            lines += [line for one in self._added(row, name, numbered) for line in one]
            row = [part] if isinstance(part, Child) else []
            lines += part.before if isinstance(part, Child) else part
        return lines

    def _added(self, children: list[Child], name: str, numbered: bool) -> Iterator[list[str]]:
        """Yield the statements that add modules to a list, or with their labels to a sequence."""
        index = self.plan.letters[0]
        if not numbered:
            for key, run in itertools.groupby(children, attrgetter("called")):
                yield from self._labelled([*run], name, index, key)
        elif len(children) == 1 and children[0].piece.brackets != "for":
            yield statement(Piece(f"{name}.append", tuple(sequence(children, index))), "", depth=self.depth)
        elif children:
            listed = Piece("", tuple(sequence(children, index)), "[]")
            yield statement(listed, f"{name} += ", depth=self.depth)

    def _labelled(self, children: list[Child], name: str, index: str, key: str) -> Iterator[list[str]]:
        """Yield the statements that add modules with labels to a sequence, a run of them as a loop."""
        runs = [(i, 1, ()) for i in range(len(children))] if key else labelled_runs(children)
        for first, count, step in runs:
            child = children[first]
            if count > 1:
                given = Argument("", label(child.name, index)), Argument("", looped(child.piece, step, index))
                made = statement(Piece(f"{name}.add_module", given), "", depth=self.depth + 1)
                yield [f"for {index} in range({count}):", *[f"    {line}" for line in made]]
            else:
                given = Argument("", key or f'"{child.name}"'), Argument("", child.piece)
                yield statement(Piece(f"{name}.add_module", given), "", depth=self.depth)

    def _key(self, context: Context, step: Step, name: str) -> str:
        """Return the expression for a name that is not the same everywhere: computed, or a place in the sequence."""
        label = step.node.label
        if label is None or not is_computed(step.node, step.scope):
            return f"str(len({name}))" if isinstance(step.scope, Folded) and not step.node.labelled else ""
        parts = [literal(p, context.count) if isinstance(p, str) else translate(p, context.names) for p in label.parts]
        terms = [part for part in parts if part is not None]
        made = tuple(["".join(map(str, values)) for values in zip(*[term.column for term in terms])])
        texts = [p if isinstance(p, str) else f"{{{term.text}}}" for p, term in zip(label.parts, terms)]
        if len(terms) < len(parts) or not fits(made, step.column(lambda _, node: node.name)) or '"' in "".join(texts):
            raise Unlike
        for part, term in zip(label.parts, terms):
            self.plan.use(term)
            if isinstance(part, tree.Expr):
                self.plan.proven[id(part)] = part
        return f'f"{"".join(texts)}"'

    def _numbered(self, context: Context, step: Step) -> Child:
        """Return a module of a sequence, where an empty step has a number, too."""
        return self.plan.child(context, step) or Child(step.node.name, Piece("nn.Identity"))


def statement(piece: Piece, before: str, after: str = "", depth: int = 0) -> list[str]:
    """Return a statement of a method, without the indentation of what it stands in."""
    indent = 8 + 4 * depth
    return [line[indent:] for line in piece.lines(before, indent, after)]
