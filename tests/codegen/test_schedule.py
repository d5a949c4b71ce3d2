"""The schedule of a class, against the Python that is printed of it, and against lifetimes by hand."""

from __future__ import annotations

import ast

import pytest

from archdsl.analysis.memory import lives
from archdsl.codegen.module import emit
from archdsl.codegen.plans import Plans, lifetimes
from archdsl.codegen.schedule import Assignment, Choice, Schedule
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


def flat(scheduled: tuple[Assignment | Choice, ...]) -> list[Assignment]:
    """Return the assignments of a schedule in the order of the text, those of all arms."""
    found: list[Assignment] = []
    for one in scheduled:
        if isinstance(one, Assignment):
            found.append(one)
        else:
            found += [inner for _, _, arm in one.arms for inner in flat(arm)]
    return found


def statements(body: list[ast.stmt]) -> list[ast.Assign]:
    found = []
    for statement in body:
        if isinstance(statement, ast.Assign):
            found.append(statement)
        elif isinstance(statement, ast.If):
            found += statements(statement.body) + statements(statement.orelse)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_assigns_what_is_scheduled(name):
    network = compiled(name).network
    printed = {node.name: node for node in ast.parse(emit(network).text).body if isinstance(node, ast.ClassDef)}
    found = lifetimes(network)
    plans = Plans(network)
    for planned in plans.classes:
        methods = [node for node in printed[planned.plan.name].body if isinstance(node, ast.FunctionDef)]
        forward = [method for method in methods if method.name == "forward"]
        schedule = planned.schedule
        if schedule is None:
            assert not forward and not found.keys() & {plans.origins[id(scope)] for scope in planned.plan.scopes}
            continue
        every = flat(schedule.statements)
        assert assigned(forward[0]) == [name for one in every for name in one.names]
        for scope in planned.plan.scopes:
            ends = found[plans.origins[id(scope)]]
            kept = {name for one in every for name in one.names if name != "_"}
            assert sum(end is None for end in ends.values()) <= len(kept)
            if not any(isinstance(one, Choice) for one in schedule.statements):
                assert sum(end is None for end in ends.values()) == len(kept)
                assert len(ends) == sum(name != "_" for one in every for name in one.names)


JOINED = """net n:
    input image: [N, 4, H=8, W=8]
    conv(4, 3)
    add(identity, conv(4, 3))
    cat(identity, conv(4, 3))
"""


def test_a_variable_holds_a_value_until_it_is_assigned_again():
    network = compile_text(JOINED).network
    assert [(one.names, one.values) for one in flat(scheduled(network).statements)] == [(("x",), (1,)), (("x",), (3,))]
    # the first, then the sum; the other two stand inside of expressions
    assert lifetimes(network) == {id(network.scope): {1: 3, 3: None}}


def test_each_instance_has_the_lifetimes_of_what_it_runs():
    network = compile_text("""block unit(channels, stride=1):
    add:
        identity if stride == 1 and x.channels == channels
        body: [conv(channels, 3, stride), bn]
    relu
net n:
    input image: [N, 8, H=8, W=8]
    unit(8) -> unit(16, 2) -> unit(16)
""").network
    found = {tuple(node.what.args[:2]): lifetimes(network)[id(node.what)] for node in network.scope.nodes}
    plain = {1: None}  # `body = self.body(x)`
    added = {1: 2, 2: None}  # and `body = x + body`, where the sum is the second value
    assert [*found.values()] == [added, plain, added]


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
    (statement,), unread = flat(schedule.statements), network.scope.nodes[0].outputs[0]
    held = lifetimes(network)[id(network.scope)]
    assert statement.names[0] == "_" and unread not in held
    found = lives(network.scope, held, needed(network.scope))
    assert unread in found.turns[0].released
