"""How the weights start: the statements at the end of a net's `__init__`.

What most modules of a kind share becomes one loop over all modules; a step that differs is set after it.
"""

from __future__ import annotations

import re

from archdsl.codegen.kernels import BASES
from archdsl.ir.liveness import module_of
from archdsl.ir.network import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.codegen.classes import ClassPlan
    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Node
    from archdsl.ops.initializers import Initializer

    Key = tuple[str, str]  # the module's class, the parameter


ITEM = re.compile(r'\.get_submodule\("(\w+)"\)|\["?(\w+)"?\]')  # in a path
# Parameters that PyTorch declares as `Tensor | None`, which a checker of types insists on.
PERHAPS = {("nn.Conv2d", "bias"), ("nn.ConvTranspose2d", "bias")}


class Site:
    """A parameter of one operator: the class that owns it, its path from there, and how it starts.

    `everywhere` says whether it is there in every instance of the class: a block may have a `bias` by its arguments.
    """

    def __init__(
        self, plan: ClassPlan, path: str, kind: str, parameter: str, init: Initializer | None, everywhere: bool
    ) -> None:
        self.plan, self.path, self.kind, self.parameter = plan, path, kind, parameter
        self.init, self.everywhere = init, everywhere

    def statement(self, module: str) -> list[str]:
        """Return what sets the parameter as a part of a module, under a test where it may not be there."""
        assert self.init is not None, "only parameters with an initializer come here"
        place = f"{module}{self.path}.{self.parameter}"
        plain = ITEM.sub(lambda found: f".{found[1] or found[2]}", self.path)
        typed = plain == self.path  # of an item a checker of types knows nothing
        if self.everywhere:
            return [self.init.torch(place if typed else f'{module}.get_parameter("{plain[1:]}.{self.parameter}")')]
        test = f"{place} is not None" if typed else f"isinstance({place}, nn.Parameter)"
        return [f"if {test}:", f"    {self.init.torch(place)}"]


class Step:
    """An operator with weights: the class of its module, its parameters, and those that no instance is without."""

    def __init__(self, kind: str, sites: list[Site], everywhere: frozenset[str]) -> None:
        self.kind, self.sites, self.everywhere = kind, sites, everywhere


def statements(plans: list[ClassPlan]) -> list[str]:
    """Return the statements that initialize the weights of a net."""
    steps = [step for plan in plans for step in _steps(plan)]
    sites = [site for step in steps for site in step.sites]
    common = {key: _common([s for s in sites if (s.kind, s.parameter) == key]) for key in _keys(sites)}
    arms = _arms({key: init for key, init in common.items() if init is not None}, steps)
    special = [s for s in sites if s.init is not None and s.init != common[s.kind, s.parameter]]
    net = plans[-1]
    own = [(plan.name, [line for s in special if s.plan is plan for line in s.statement("m")]) for plan in plans[:-1]]
    own = [(name, lines) for name, lines in own if lines]
    # A loop meets a block before what is in it, so what a block sets otherwise than its kind waits for a second loop.
    again = any(s.plan is not net and common[s.kind, s.parameter] is not None for s in special)
    lines = [*_loop(arms), *_loop(own)] if again else _loop([*arms, *own])
    return lines + [line for s in special if s.plan is net for line in s.statement("self")]


def _loop(arms: list[tuple[str, list[str]]]) -> list[str]:
    """Return a loop over all modules with some statements for each kind."""
    lines = ["for m in self.modules():"] if arms else []
    for number, (what, body) in enumerate(arms):
        test = f"isinstance(m, {what})"
        alone = body[0].startswith("if ") and all(line.startswith(" ") for line in body[1:])
        if alone and number == len(arms) - 1:  # both tests are one where no other arm comes after them
            test, body = f"{test} and {body[0][3:-1]}", [line[4:] for line in body[1:]]
        lines.append(f"    {'if' if number == 0 else 'elif'} {test}:")
        lines += [f"        {line}" for line in body]
    return lines


def _keys(sites: list[Site]) -> list[Key]:
    return list(dict.fromkeys((s.kind, s.parameter) for s in sites))


def _common(sites: list[Site]) -> Initializer | None:
    """Return the initializer that a loop over all modules of a kind can set: what most of them have."""
    counts: dict[Initializer | None, int] = {}
    for site in sites:
        counts[site.init] = counts.get(site.init, 0) + 1
    best = max(counts, key=lambda init: counts[init])
    return best if counts.get(None, 0) == 0 else None


def _arms(common: dict[Key, Initializer], steps: list[Step]) -> list[tuple[str, list[str]]]:
    """Return, for each kind of module, the statements of the loop; kinds that start alike share them."""
    bodies: dict[tuple[str, ...], list[str]] = {}
    for kind in dict.fromkeys(kind for kind, _ in common):
        body: list[str] = []
        for (other, parameter), init in common.items():
            if other == kind:
                body += _guarded(init.torch(f"m.{parameter}"), kind, parameter, steps)
        bodies.setdefault(tuple(body), []).append(kind)
    return [(k[0] if len(k) == 1 else f"({', '.join(k)})", list(body)) for body, k in bodies.items()]


def _guarded(code: str, kind: str, parameter: str, steps: list[Step]) -> list[str]:
    """Return a statement, under a test where some modules of the kind lack the parameter."""
    there = all(parameter in step.everywhere for step in steps if step.kind == kind)
    if there and (kind, parameter) not in PERHAPS:
        return [code]
    return [f"if m.{parameter} is not None:", f"    {code}"]


def _steps(plan: ClassPlan) -> Iterator[Step]:
    """Yield the operators with weights of a class: what any of its instances has, and what all of them have."""
    instances = [dict(_owners(scope, "", plan.groups.sequential(scope), plan)) for scope in plan.scopes]
    for place in dict.fromkeys(place for instance in instances for place in instance):
        path, target = place
        found = [instance[place] for instance in instances if place in instance]
        names = [list(node.what.weights(x)) for node, x in found]  # type: ignore[union-attr]
        every = dict.fromkeys(name for own in names for name in own)
        everywhere = frozenset(name for name in every if all(name in own for own in names))
        given = dict(found[0][0].init)
        kind = BASES.get(target, target)
        sites = [Site(plan, path, kind, name, given.get(name), name in everywhere) for name in every]
        yield Step(kind, sites, everywhere)


def _owners(
    scope: Scope, path: str, numbered: bool, plan: ClassPlan
) -> Iterator[tuple[tuple[str, str], tuple[Node, Shape]]]:
    """Yield the operators with weights that a class holds by itself: by path and module, each with its input."""
    for node in scope.nodes:
        if node.reuses:
            continue
        place = _joined(path, node, numbered, plan.base)
        if not isinstance(node.what, Scope):
            x = scope.shapes[node.inputs[0]]
            call = module_of(node, scope) if node.what.stateful else None
            if call is not None:
                yield (place, call.target), (node, x)
        elif not plan.groups.held(node.what):
            yield from _owners(node.what, place, True, plan)


def _joined(path: str, node: Node, numbered: bool, base: str) -> str:
    if not node.name.isdigit():
        return f"{path}.{node.name}"
    if numbered:
        return f"{path}[{node.name}]"
    return f'{path}["{node.name}"]' if base == "nn.ModuleDict" else f'{path}.get_submodule("{node.name}")'
