"""The classes of a network before any is printed: their names, modules and parameters, the schedules of `forward`."""

from __future__ import annotations

import keyword
import re
from itertools import pairwise

from archdsl.codegen.classes import ClassPlan
from archdsl.codegen.forward import WORDS, scheduled
from archdsl.codegen.groups import Groups
from archdsl.codegen.layout import Child, labelled_runs
from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.ir.liveness import is_module, is_plain_sequence
from archdsl.ops import OPS
from archdsl.ops.wrap import WRAPPERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.codegen.schedule import Schedule
    from archdsl.ir.network import Network, Scope

MAX_STEPS = 5_000  # in distinct instances of blocks, 1.2 s; published networks have under 1,300
# Names that generated code uses otherwise, those of the classes that operators bring along among them.
SUPPORT = "".join(str(op.support) for op in (*OPS.values(), *WRAPPERS.values()))
RESERVED = {
    "F",
    "OrderedDict",
    "NamedTuple",
    "DepthwiseConv2d",
    *re.findall(r"^(?:class|def) (\w+)", SUPPORT, re.MULTILINE),
}


class Run(Record):
    """Modules in a row that one loop builds and runs: the first, how many, and what grows from one to the next."""

    first: int
    count: int
    step: tuple[int, ...]


class Planned(Record):
    """A class that is ready to be printed: its modules with the numbers of their nodes, in runs, and its `forward`.

    A plain sequence has no schedule. `result` is the class of what it returns, if that is one of its own.
    """

    plan: ClassPlan
    children: list[tuple[int, Child]]
    loops: list[Run]
    arguments: list[str]
    schedule: Schedule | None
    result: str = ""


class Plans:
    """Plans the classes of a network: `classes`, inner ones first, the net's own last."""

    def __init__(self, network: Network) -> None:
        groups = Groups(network.scope)
        steps = sum(len(scope.nodes) for scope in groups.scopes)
        if steps > MAX_STEPS:
            what = "this network has too many distinct steps for its code to be written"
            raise errors.limit_exceeded(network.scope.span, what, f"{steps:,}", MAX_STEPS)
        names = _class_names(groups, network)
        self.scope = network.scope
        self.result = f"{names[groups.key(network.scope)]}Output" if len(network.scope.outputs) > 1 else ""
        self.classes: list[Planned] = []
        self.by_scope: dict[int, ClassPlan] = {}
        taken = WORDS | RESERVED | frozenset(names.values())
        for key, scopes in groups.classes.items():
            plan = ClassPlan(names[key], scopes, self.by_scope, taken)
            planned = self._planned(plan)
            if plan.unsafe():
                planned = self._planned(ClassPlan(names[key], scopes, self.by_scope, taken | plan.unsafe()))
            self.classes.append(planned)
            self.by_scope.update({id(scope): planned.plan for scope in scopes})

    def _planned(self, plan: ClassPlan) -> Planned:
        first = plan.first
        if is_plain_sequence(first):
            return Planned(plan, list(enumerate(plan.children(plan.context))), [], ["x"], None)
        children = _children(plan)
        loops = _loops(first, children)
        chains = {children[run.first][0]: run.count for run in loops if run.count > 1}
        result = self.result if first is self.scope else ""
        taken = WORDS | {result}
        names = first.input_names if len(first.inputs) > 1 else ("x",)
        arguments = [f"x{i}" if keyword.iskeyword(name) or name in taken else name for i, name in enumerate(names)]
        schedule = scheduled(plan, arguments, chains, taken)
        return Planned(plan, children, loops, arguments, schedule, result)


def lifetimes(network: Network) -> dict[int, dict[int, int | None]]:
    """Return, by the identity of a scope, the values that its `forward` names, each with the value that overwrites it.

    A local variable holds its tensor until the name is assigned again, or to the end (None): memory depends on it.
    """
    return {
        id(scope): planned.schedule.lifetimes()
        for planned in Plans(network).classes
        if planned.schedule is not None
        for scope in planned.plan.scopes
    }


def _children(plan: ClassPlan) -> list[tuple[int, Child]]:
    """Return the modules that a class holds, each with the number of its node."""
    found = []
    for number, node in enumerate(plan.first.nodes):
        if node.reuses or not is_module(node, plan.first):
            plan.follow(plan.context, node)
            continue
        piece = plan.child(plan.context, number)
        if piece is not None:
            found.append((number, Child(node.name, piece)))
    return found


def _loops(scope: Scope, children: list[tuple[int, Child]]) -> list[Run]:
    """Split the modules of a class into runs; one of several modules is a chain without branches."""
    found = []
    at = 0
    for first, count, step in labelled_runs([child for _, child in children]):
        numbers = [number for number, _ in children[first : first + count]]
        if count > 1 and not _is_chain(scope, numbers):
            found += [Run(at + i, 1, ()) for i in range(count)]
        else:
            found.append(Run(first, count, step))
        at += count
    return found


def _is_chain(scope: Scope, numbers: list[int]) -> bool:
    """Say whether steps follow each other directly, each the only reader of the one before."""
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return False
    results = [o.value for o in scope.outputs]
    for left, right in pairwise(numbers):
        value = scope.nodes[left].outputs
        readers = [n for n in scope.nodes[left + 1 : right + 2] if value[0] in n.inputs] if len(value) == 1 else []
        later = any(value[0] in n.inputs for n in scope.nodes[right + 1 :])
        if len(readers) != 1 or later or scope.nodes[right].inputs != value or value[0] in results:
            return False
    return True


# -------------------------------------------------------------------------------------------------- names
def _class_names(groups: Groups, network: Network) -> dict[int, str]:
    """Name the classes: the block's name, and where one block gives several, what tells them apart."""
    by_title: dict[str, list[int]] = {}
    for key, scopes in groups.classes.items():
        title = _net_name(network) if scopes[0] is network.scope else camel(scopes[0].title or "part")
        by_title.setdefault(title, []).append(key)
    names: dict[int, str] = {}
    taken = RESERVED | {f"{_net_name(network)}Output"}
    for title, keys in by_title.items():
        suffixes = _suffixes([groups.classes[key] for key in keys])
        for key, suffix in zip(keys, suffixes):
            name = f"{title}{suffix}"
            while name in taken or keyword.iskeyword(name):
                name += "_"
            taken.add(name)
            names[key] = name
    return names


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
