"""How the weights start: the statements at the end of a net's `__init__`.

What most modules of a kind share becomes one loop over all modules; a step that differs is set after it.
"""

from __future__ import annotations

from archdsl.eager import is_plain_sequence
from archdsl.emit.groups import has_class
from archdsl.ir import Scope
from archdsl.lower import BASES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archdsl.emit.classes import ClassPlan
    from archdsl.initializers import Initializer
    from archdsl.ir import Node

    Key = tuple[str, str]  # the module's class, the parameter


class Site:
    """A parameter of one operator: the class that owns it, its path from there, and how it starts.

    One that is `absent` is a bias that the operator was told not to have.
    """

    def __init__(
        self, plan: ClassPlan, path: str, kind: str, parameter: str, init: Initializer | None, absent: bool = False
    ) -> None:
        self.plan, self.path, self.kind, self.parameter = plan, path, kind, parameter
        self.init, self.absent = init, absent


def statements(plans: list[ClassPlan]) -> list[str]:
    """Return the statements that initialize the weights of a net."""
    every = [site for plan in plans for site in _sites(plan, plan.first, "")]
    sites = [site for site in every if not site.absent]
    common = {key: _common([s for s in sites if (s.kind, s.parameter) == key]) for key in _keys(sites)}
    arms = _arms({key: init for key, init in common.items() if init is not None}, every)
    special = [s for s in sites if s.init is not None and s.init != common[s.kind, s.parameter]]
    net = plans[-1]
    for plan in plans[:-1]:
        own = [s.init.torch(f"m{s.path}.{s.parameter}") for s in special if s.plan is plan and s.init]
        if own:
            arms.append((plan.name, own))
    lines = ["for m in self.modules():"] if arms else []
    for number, (what, body) in enumerate(arms):
        lines.append(f"    {'if' if number == 0 else 'elif'} isinstance(m, {what}):")
        lines += [f"        {line}" for line in body]
    return lines + [s.init.torch(f"self{s.path}.{s.parameter}") for s in special if s.plan is net and s.init]


def _keys(sites: list[Site]) -> list[Key]:
    return list(dict.fromkeys((s.kind, s.parameter) for s in sites))


def _common(sites: list[Site]) -> Initializer | None:
    """Return the initializer that a loop over all modules of a kind can set: what most of them have."""
    counts: dict[Initializer | None, int] = {}
    for site in sites:
        counts[site.init] = counts.get(site.init, 0) + 1
    best = max(counts, key=lambda init: counts[init])
    return best if counts.get(None, 0) == 0 else None


def _arms(common: dict[Key, Initializer], sites: list[Site]) -> list[tuple[str, list[str]]]:
    """Return, for each kind of module, the statements of the loop; kinds that start alike share them."""
    bodies: dict[tuple[str, ...], list[str]] = {}
    for kind in dict.fromkeys(kind for kind, _ in common):
        body: list[str] = []
        for (other, parameter), init in common.items():
            if other == kind:
                body += _guarded(init.torch(f"m.{parameter}"), kind, parameter, sites)
        bodies.setdefault(tuple(body), []).append(kind)
    return [(k[0] if len(k) == 1 else f"({', '.join(k)})", list(body)) for body, k in bodies.items()]


def _guarded(code: str, kind: str, parameter: str, sites: list[Site]) -> list[str]:
    """Return a statement, under a test where some modules of the kind lack the parameter."""
    if any(s.absent for s in sites if (s.kind, s.parameter) == (kind, parameter)):
        return [f"if m.{parameter} is not None:", f"    {code}"]
    return [code]


def _sites(plan: ClassPlan, scope: Scope, path: str) -> Iterator[Site]:
    numbered = scope is not plan.first or is_plain_sequence(scope)
    for node in scope.nodes:
        if node.reuses:
            continue
        place = _joined(path, node, numbered)
        if isinstance(node.what, Scope):
            if not has_class(node.what):
                yield from _sites(plan, node.what, place)
            continue
        if not node.what.stateful:
            continue
        x = scope.shapes[node.inputs[0]]
        weights = node.what.weights(x)
        call = node.what.module(x)
        assert call is not None, "an operator with state has a module"
        kind = BASES.get(call.target, call.target)
        given = dict(node.init)
        for parameter in weights:
            yield Site(plan, place, kind, parameter, given.get(parameter))
        if "bias" not in weights and hasattr(node.what, "bias"):
            yield Site(plan, place, kind, "bias", None, absent=True)


def _joined(path: str, node: Node, numbered: bool) -> str:
    if not node.name.isdigit():
        return f"{path}.{node.name}"
    return f"{path}[{node.name}]" if numbered else f'{path}.get_submodule("{node.name}")'
