"""The classes of a network before any is printed: their names, modules and parameters, the schedules of `forward`."""

from __future__ import annotations

import keyword
import re
from collections import Counter

from archdsl.codegen.classes import ClassPlan
from archdsl.codegen.context import Written
from archdsl.codegen.forward import WORDS, scheduled
from archdsl.codegen.groups import Groups, told_apart
from archdsl.codegen.kernels import LOWERINGS
from archdsl.codegen.layout import Child, Piece
from archdsl.codegen.loops import folded
from archdsl.codegen.merge import Branch, Step, steps_in
from archdsl.codegen.parameters import unsafe
from archdsl.codegen.terms import Function, Term, both
from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.ir.liveness import is_module
from archdsl.ir.walk import distinct
from archdsl.ops import OPS
from archdsl.ops.custom import Custom
from archdsl.ops.wrap import WRAPPERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.loops import Place
    from archdsl.codegen.schedule import Schedule
    from archdsl.ir.network import Network, Scope

MAX_STEPS = 5_000  # in distinct instances of blocks, 1.2 s; published networks have under 1,300
# Names that generated code uses otherwise, those of the classes that operators bring along among them.
SUPPORT = "".join(str(op.support) for op in (*OPS.values(), *WRAPPERS.values()))
RESERVED = {
    "F",
    "Callable",
    "OrderedDict",
    "partial",
    "NamedTuple",
    *(one.code for one in LOWERINGS),
    *re.findall(r"^(?:class|def) (\w+)", SUPPORT, re.MULTILINE),
}


class Planned(Record):
    """A class that is ready to be printed: its modules with their steps, and its `forward`.

    A plain sequence has no schedule, and what it is made of in place of modules. `result` is the class of what it
    returns, if that is one of its own.
    """

    plan: ClassPlan
    children: list[tuple[Step, Child]]
    arguments: list[str]
    schedule: Schedule | None
    result: str = ""
    sequence: tuple[Piece | None, tuple[str, ...]] | None = None


class Plans:
    """Plans the classes of a network: `classes`, inner ones first, the net's own last."""

    def __init__(self, network: Network) -> None:
        steps = sum(len(scope.nodes) for scope in distinct(network.scope))
        if steps > MAX_STEPS:
            what = "this network has too many distinct steps for its code to be written"
            raise errors.limit_exceeded(network.scope.span, what, f"{steps:,}", MAX_STEPS)
        self.network = network
        special = told_apart(network.scope)
        written_out: frozenset[Place] = frozenset()
        done = False
        while not done:
            try:
                self._plan(folded(network.scope, written_out, special))
                done = True
            except Written as loop:
                written_out |= {loop.where}

    def _plan(self, scopes: dict[int, Scope]) -> None:
        network = self.network
        self.scopes = scopes
        self.origins = {id(scope): origin for origin, scope in scopes.items()}  # the identities of those of the network
        self.scope = scopes[id(network.scope)]
        self.functions = list(_functions(network))
        groups = Groups(self.scope, self.functions)
        names = _class_names(groups, network, self.scope)
        self.result = f"{names[-1]}Output" if len(network.scope.outputs) > 1 else ""
        self.classes: list[Planned] = []
        self.by_scope: dict[int, ClassPlan] = {}
        taken = WORDS | RESERVED | frozenset(names) | {one.fn.name for one in self.functions}
        for body, name in zip(groups.classes, names):
            plan = ClassPlan(name, body, groups, self.by_scope, taken)
            planned = self._planned(plan)
            plan.doubt_tests()
            if wrong := unsafe(plan):
                fixed = frozenset(n for n in wrong if n in plan.names and n != "in_channels")
                again = ClassPlan(name, body, groups, self.by_scope, taken | (wrong - fixed), fixed)
                planned = self._planned(again)
                again.doubt_tests()
            self.classes.append(planned)
            self.by_scope.update({id(scope): planned.plan for scope in planned.plan.scopes})

    def _planned(self, plan: ClassPlan) -> Planned:
        first = plan.first
        if plan.groups.sequential(first):
            made = plan.sequences.call(plan.context, "super().__init__", "layers")
            return Planned(plan, [], ["x"], None, sequence=made)
        children = _children(plan)
        result = self.result if first is self.scope else ""
        taken = WORDS | {result}
        names = first.input_names if len(first.inputs) > 1 else ("x",)
        arguments = [f"x{i}" if keyword.iskeyword(name) or name in taken else name for i, name in enumerate(names)]
        schedule = scheduled(plan, arguments, taken)
        return Planned(plan, children, arguments, schedule, result)


def _functions(network: Network) -> Iterator[Function]:
    """Yield the functions of the text that can be functions of Python: of each name one."""
    counts = Counter(fn.name for fn in network.functions)
    for fn in network.functions:
        words = {fn.name, *[p.name for p in fn.params]}
        if counts[fn.name] == 1 and not (words & (WORDS | RESERVED)) and not any(map(keyword.iskeyword, words)):
            yield Function(fn)


def lifetimes(network: Network) -> dict[int, dict[int, int | None]]:
    """Return, by the identity of a scope, the values that its `forward` names, each with the value that overwrites it.

    A local variable holds its tensor until the name is assigned again, or to the end (None): memory depends on it.
    """
    plans = Plans(network)
    return {
        plans.origins[id(scope)]: planned.schedule.lifetimes(planned.plan.body, i)
        for planned in plans.classes
        if planned.schedule is not None
        for i, scope in enumerate(planned.plan.scopes)
    }


def _children(plan: ClassPlan) -> list[tuple[Step, Child]]:
    """Return the modules that a class holds, each with its step; one that some instances lack is optional."""
    found: list[tuple[Step, Child]] = []
    context, order = plan.context, plan.body.steps()
    several = [sorted(uses, key=order.index) for uses in plan.body.shared]
    shared = {uses[-1]: uses for uses in several}
    waiting = {step for uses in several for step in uses[:-1]}

    def enter(items: list[Step | Branch], needed: list[Term]) -> None:
        for item in items:
            if isinstance(item, Branch):
                choose(item, needed)
            elif item not in waiting:  # which the last use builds
                with plan.doubts.writing(item):
                    built(item, needed)

    def choose(branch: Branch, needed: list[Term]) -> None:
        for number, (_, arm) in enumerate(branch.arms):
            with plan.doubts.writing(next(steps_in(arm))):
                condition = plan.arm(context, branch, number)
            enter(arm, [*needed, condition])
        plan.joined(context, branch)

    def built(item: Step, needed: list[Term]) -> None:
        if item in shared:
            child = plan.child(context, plan.shared(context, shared[item]))
            if child is not None:
                found.append((item, child))
        elif item.node.reuses or not is_module(item.node, item.scope):
            plan.follow(context, item)
        else:
            child = plan.child(context, item)
            if child is not None:
                found.append((item, plan.optional(child, both(needed), item) if needed else child))

    enter(plan.body.items, [])
    return found


# -------------------------------------------------------------------------------------------------- names
def _class_names(groups: Groups, network: Network, root: Scope) -> list[str]:
    """Name the classes: the block's name, and where one block gives several, what tells them apart."""
    members = [[body.scope(i) for i in sorted(body.mask)] for body in groups.classes]
    by_title: dict[str, list[int]] = {}
    for number, scopes in enumerate(members):
        title = _net_name(network) if scopes[0] is root else camel(scopes[0].title or "part")
        by_title.setdefault(title, []).append(number)
    names: dict[int, str] = {}
    taken = RESERVED | {f"{_net_name(network)}Output"} | brought(root).keys()
    for title, numbers in by_title.items():
        suffixes = _suffixes([members[number] for number in numbers])
        for number, suffix in zip(numbers, suffixes):
            name = f"{title}{suffix}"
            while name in taken or keyword.iskeyword(name):
                name += "_"
            taken.add(name)
            names[number] = name
    return [names[number] for number in range(len(members))]


def brought(root: Scope) -> dict[str, str]:
    """Return the classes of operators that a caller has brought along, each with the module that has it."""
    steps = [node.what for scope in distinct(root) for node in scope.nodes]
    return dict([step.home for step in steps if isinstance(step, Custom)])


def _suffixes(members: list[list[Scope]]) -> list[str]:
    """Return a suffix for each class of one block: an argument that only its instances have, else a number."""
    if len(members) == 1:
        return [""]
    columns = [
        {name: {_plain(s.args[i][1]) for s in scopes} for i, (name, _) in enumerate(scopes[0].args)}
        for scopes in members
    ]
    suffixes = []
    for number, own in enumerate(columns):
        others = [c for i, c in enumerate(columns) if i != number]
        telling = [
            f"{n}_{_word(next(iter(v)))}"
            for n, v in own.items()
            if len(v) == 1 and None not in v and not any(v & o.get(n, set()) for o in others)
        ]
        suffixes.append(camel(min(telling, key=len)) if telling else "")
    plain = [i for i, suffix in enumerate(suffixes) if not suffix]
    for count, i in enumerate(plain[1:], 2):
        suffixes[i] = str(count)
    return suffixes


def _plain(value: object) -> object:
    return value if isinstance(value, (int, bool, str)) and len(str(value)) < 12 else None


def _word(value: object) -> str:
    return re.sub(r"\W", "_", str(value)).lower()


def camel(name: str) -> str:
    """Return `dense_layer` as `DenseLayer`."""
    text = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return text if text[:1].isalpha() else f"Part{text}"


def _net_name(network: Network) -> str:
    """Return the class name of the net: as its docstring writes the family, where it names it, else in camel case."""
    title = network.scope.title
    words = re.findall(r"[A-Za-z0-9-]+", network.doc.split("\n")[0])
    for count in (1, 2):
        for i in range(len(words) - count + 1):
            name = "".join(words[i : i + count]).replace("-", "")
            if name.lower() == title.replace("_", "").lower() and name[:1].isupper():
                return name
    return camel(title)
