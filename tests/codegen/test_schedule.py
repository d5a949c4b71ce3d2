"""The schedule of a class, against the Python that is printed of it, and against lifetimes by hand."""

from __future__ import annotations

import ast

import pytest

from archdsl.analysis.memory import lives
from archdsl.codegen.module import emit
from archdsl.codegen.plans import Plans, lifetimes
from archdsl.codegen.schedule import Schedule
from archdsl.compiler import compile_text, compiled
from archdsl.ir.liveness import needed
from archdsl.ir.network import Network

NAMES = ["lenet5", "resnet18", "googlenet", "densenet121", "unet", "mobilenet_v2", "odenet", "segnet"]


def assigned(forward: ast.FunctionDef) -> list[str]:
    """Return the names that a method assigns, in the order of its text."""
    found: list[str] = []
    for statement in statements(forward.body):
        targets = statement.targets[0]
        found += [name.id for name in (targets.elts if isinstance(targets, ast.Tuple) else [targets])]
    return found


def scheduled(network: Network) -> Schedule:
    """Return the schedule of the net's own class."""
    schedule = Plans(network).classes[-1].schedule
    assert schedule is not None
    return schedule


def statements(body: list[ast.stmt]) -> list[ast.Assign]:
    found = []
    for statement in body:
        if isinstance(statement, ast.Assign):
            found.append(statement)
        elif isinstance(statement, (ast.If, ast.For)):
            found += statements(statement.body)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_assigns_what_is_scheduled(name):
    network = compiled(name).network
    printed = {node.name: node for node in ast.parse(emit(network).text).body if isinstance(node, ast.ClassDef)}
    found = lifetimes(network)
    for planned in Plans(network).classes:
        methods = [node for node in printed[planned.plan.name].body if isinstance(node, ast.FunctionDef)]
        forward = [method for method in methods if method.name == "forward"]
        schedule = planned.schedule
        if schedule is None:
            assert not forward and not found.keys() & {id(scope) for scope in planned.plan.scopes}
            continue
        names = []
        for one in schedule.statements:
            started = one.chain is not None and one.names[0] != one.code  # a loop whose variable is assigned before it
            names += [*one.names, *(one.names if started else ())]
        assert assigned(forward[0]) == names
        kept = [name for one in schedule.statements for name in one.names if name != "_"]
        for scope in planned.plan.scopes:
            ends = found[id(scope)]
            assert (len(ends), sum(end is None for end in ends.values())) == (len(kept), len(set(kept)))


JOINED = """net n:
    input image: [N, 4, H=8, W=8]
    a = x -> conv(4, 3)
    b = a -> conv(4, 3)
    c = add(a, b)
    d = c -> conv(4, 3)
    cat(c, d)
"""


def test_a_variable_holds_a_value_until_it_is_assigned_again():
    network = compile_text(JOINED).network
    schedule = scheduled(network)
    assert [(one.names, one.values) for one in schedule.statements] == [(("x",), (1,)), (("x",), (3,))]
    assert schedule.lifetimes() == {1: 3, 3: None}  # `a`, then `c`; `b` and `d` stand inside of expressions
    assert lifetimes(network) == {id(network.scope): schedule.lifetimes()}


def test_values_lose_their_holders_with_the_last_reader_and_the_variable():
    scope = compile_text(JOINED).network.scope
    found = lives(scope, {1: 3, 3: None}, needed(scope))
    assert [turn.named for turn in found.turns] == [[1], [], [3], [], []]
    assert [sorted(turn.released) for turn in found.turns] == [[], [], [1, 1, 2], [], [3, 4]]
    assert (found.returned, found.held) == ([5], [5, 3])


def test_what_only_training_computes_is_marked():
    network = compile_text("""net n:
    input image: [N, 3, H=12, W=10]
    conv(4, 3) -> relu
    output aux = x -> conv(5, 3) -> bn -> global_avgpool when training
    conv(4, 1)
""").network
    schedule = scheduled(network)
    assert [one.training for one in schedule.statements] == [False, True, False]
    assert len(schedule.results) == 2


def test_a_result_that_nobody_reads_has_no_variable():
    network = compile_text("""block two:
    output a = x -> relu
    output b = x -> tanh
net n:
    input image: [N, 4, H=8, W=8]
    pair = x -> two
    pair.b -> conv(2, 1)
""").network
    schedule = scheduled(network)
    statement, unread = schedule.statements[0], network.scope.nodes[0].outputs[0]
    assert statement.names[0] == "_" and statement.values == network.scope.nodes[0].outputs
    assert unread not in schedule.lifetimes()
    found = lives(network.scope, schedule.lifetimes(), needed(network.scope))
    assert unread in found.turns[0].released
