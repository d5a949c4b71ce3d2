"""Walks of a network, against walks of every place that say the same without any memory."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from collections.abc import Iterator

import pytest

import archdsl
from archdsl.compiler import compile_text, compiled
from archdsl.ir import walk
from archdsl.ir.network import Scope

NETS = {
    "blocks in blocks": """block unit(c):
    conv(c, 3) -> bn -> relu
block pair(c):
    unit(c) -> unit(c)
net n:
    input image: [N, 4, H=12, W=10]
    pair(4) -> pair(4) -> unit(4) -> again: pair(4) -> conv(2, 1)
""",
    "a block used again": """block inner:
    conv(4, 3) -> relu
block tower:
    inner -> bn
net n:
    input image: [N, 4, H=12, W=10]
    shared = same: tower
    cat(shared -> shared, tower -> tower, identity) -> conv(2, 1)
""",
    "a solver": """block slope:
    conv(4, 3) -> relu
net n:
    input image: [N, 3, H=12, W=10]
    conv(4, 3) -> ode(slope -> slope, solver="midpoint", steps=3) -> slope -> conv(2, 1)
""",
    "what training alone needs": """block unit(c):
    conv(c, 3) -> bn
net n:
    input image: [N, 3, H=12, W=10]
    unit(4) -> relu
    output aux = x -> unit(4) -> ode(unit(4), solver="euler", steps=2) -> global_avgpool when training
    unit(4)
""",
}


@pytest.fixture(params=[*NETS, "resnet18", "googlenet", "densenet121", "odenet"])
def scope(request) -> Scope:
    text = NETS.get(request.param)
    return (compile_text(text).network if text else compiled(request.param).network).scope


def places(scope: Scope, times: int = 1, ran: int = 1, owned: bool = True) -> Iterator[tuple[Scope, int, int, bool]]:
    """Yield every place of every scope: how often it stands there, how often it runs, and whether it owns its module."""
    yield scope, times, ran, owned
    for node in scope.nodes:
        if isinstance(node.what, Scope):
            again = scope.wrapper.evaluations if scope.wrapper else 1
            alive = not set(node.outputs).isdisjoint(read_of(scope))
            yield from places(node.what, times * again, ran * again * alive, owned and not node.reuses)


def read_of(scope: Scope) -> set[int]:
    """Return what the results outside of training need: whatever is read, until nothing more is."""
    found = {o.value for o in scope.outputs if not o.training}
    while True:
        more = found.union(*[node.inputs for node in scope.nodes if not found.isdisjoint(node.outputs)])
        if more == found:
            return found
        found = more


def test_each_distinct_scope_comes_once_behind_those_inside_it(scope):
    found = walk.distinct(scope)
    assert {id(s) for s in found} == {id(s) for s, *_ in places(scope)}
    assert len({id(s) for s in found}) == len(found) and found[-1] is scope
    for number, each in enumerate(found):
        before = {id(s) for s in found[:number]}
        assert all(id(node.what) in before for node in each.nodes if isinstance(node.what, Scope))


def test_uses_are_those_of_all_places(scope):
    wanted: dict[int, list[int]] = {}
    for each, stands, ran, owned in places(scope):
        counts = wanted.setdefault(id(each), [0, 0, 0])
        counts[:] = counts[0] + stands, counts[1] + ran, counts[2] + owned
    found = walk.uses(scope)
    assert found[0].scope is scope
    assert {id(use.scope): [use.stands, use.runs, use.owns] for use in found} == wanted


def test_steps_run_where_a_result_needs_them(scope):
    for each in walk.distinct(scope):
        again = each.wrapper.evaluations if each.wrapper else 1
        alive = read_of(each)
        assert walk.runs(each) == [(n, 0 if alive.isdisjoint(n.outputs) else again) for n in each.nodes]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet"])
def test_modules_are_those_of_the_module_in_its_order(name):
    paths = [path for path, node, _ in walk.modules(compiled(name).network.scope) if node.name]
    held = [path for path, _ in archdsl.load(name).named_modules()]
    assert [path for path in held if path in set(paths)] == [path for path in paths if path in set(held)]
    assert {path for path, _ in archdsl.load(name).named_parameters()} <= {
        f"{p}.{n}" for p in paths for n in ("weight", "bias")
    }


class Counts:
    """Counts steps, and how often it was asked for those of each scope."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[int, int]] = Counter()

    @walk.once
    def of(self, scope: Scope, more: int = 0) -> int:
        self.asked[id(scope), more] += 1
        return more + sum(self.of(n.what, more) if isinstance(n.what, Scope) else 1 for n in scope.nodes)


class More(Counts):
    """Has a memory of its own for a method of the same name."""

    @walk.once
    def of(self, scope: Scope, more: int = 0) -> int:
        return 1000 + super().of(scope, more)


class Titles:
    def __init__(self) -> None:
        self.asked: list[str] = []

    @walk.once
    def of(self, scope: Scope) -> str:
        self.asked.append(scope.title)
        return scope.title


def test_a_method_is_worked_out_once_for_each_scope_and_whatever_else_it_is_given(scope):
    counts = Counts()
    steps = sum(not isinstance(n.what, Scope) for s, *_ in places(scope) for n in s.nodes)
    assert counts.of(scope) == counts.of(scope) == steps
    assert counts.of(scope, 1) == steps + sum(1 for _ in places(scope))
    assert set(counts.asked.values()) == {1} and len(counts.asked) == 2 * len(walk.distinct(scope))
    assert Counts().of(scope) == steps


def test_a_method_that_overrides_another_has_a_memory_of_its_own():
    scope = compiled("lenet5").network.scope
    more, plain = More(), Counts().of(scope)
    assert [more.of(scope) % 1000, more.of(scope) % 1000] == [plain, plain] and more.of(scope) >= 1000


def test_what_is_remembered_belongs_to_a_scope_that_is_still_there():
    """The identity of a scope that is gone may be that of another."""
    root, titles = compiled("lenet5").network.scope, Titles()
    for number in range(200):
        assert titles.of(root.replace(title=str(number))) == str(number)
        gc.collect(0)


def test_what_is_remembered_goes_with_the_object_that_has_it():
    titles = Titles()
    scope = compiled("lenet5").network.scope.replace(title="gone")
    titles.of(scope)
    there = weakref.ref(scope)
    gc.disable()
    del scope, titles
    assert there() is None


def test_a_memory_has_an_end(monkeypatch):
    monkeypatch.setattr(walk, "MOST", 3)
    titles = Titles()
    scopes = [compiled("lenet5").network.scope.replace(title=title) for title in "abcd"]
    assert [titles.of(s) for s in (*scopes, scopes[0], scopes[3])] == list("abcdad")
    assert titles.asked == list("abcda")


def test_what_a_rewriting_leaves_stays_the_same_object(scope):
    assert walk.rewritten(scope, lambda node, inside: node) is scope
    kept = [s for s in walk.distinct(scope) if not any(n.labelled for n in s.nodes)]
    found = walk.rewritten(scope, lambda node, inside: node.replace(name=node.name + "_") if node.labelled else node)
    assert [shape(s) for s in walk.distinct(found)] == [shape(s, "_") for s in walk.distinct(scope)]
    inner = [s for s in kept if all(not any(n.labelled for n in i.nodes) for i in walk.distinct(s))]
    assert {id(s) for s in inner} <= {id(s) for s in walk.distinct(found)}


def shape(scope: Scope, mark: str = "") -> list[str]:
    return [node.name + mark * node.labelled for node in scope.nodes]


def test_a_scope_without_some_of_its_nodes_is_another():
    scope = compiled("lenet5").network.scope
    assert walk.with_nodes(scope, list(scope.nodes)) is scope
    assert walk.with_nodes(scope, scope.nodes[:-1]).nodes == scope.nodes[:-1]
