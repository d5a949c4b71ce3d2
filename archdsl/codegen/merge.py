"""Scopes side by side: the instances of a block as one body, whose steps all of them have or some, under a condition.

    instance 1   conv  bn  relu  add            Body.items:  conv  bn  relu  Branch(instances 1: add)
    instance 2   conv  bn  relu

Steps are aligned by where the text writes them, in its order. What differs from instance to instance stands in a
`Branch`; a value that is another one in each of its arms is a `Join`. Conditions are not known here, only who has what.
"""

from __future__ import annotations

from archdsl.codegen.loops import Folded, Turns, overwriting, where
from archdsl.codegen.terms import MISSING, Missing
from archdsl.ir.liveness import is_empty, is_module, is_plain_sequence, is_sequence, module_of, needed
from archdsl.ir.network import Scope
from archdsl.ir.walk import once
from archdsl.ops.base import Leaf, Op, Sized, channel_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from archdsl.core.sizes import Shape
    from archdsl.ir.network import Node
    from archdsl.ops.base import Call

MOST_STEPS = 400  # of a body whose instances differ: aligning takes their product


class Unlike(Exception):
    """Scopes that are no body together."""


class Step:
    """One step, in each instance that has it; `inputs` and `outputs` are values of the body.

    `present` are the numbers of these instances, each with its scope and its node there.
    """

    def __init__(self, numbers: tuple[int | None, ...], body: Body) -> None:
        self.numbers, self.body = numbers, body
        self.mask = frozenset([i for i, number in enumerate(numbers) if number is not None])
        self.index = min(self.mask)
        scopes = [(i, body.scope(i), n) for i, n in enumerate(numbers) if n is not None]
        self.present = [(i, scope, scope.nodes[n]) for i, scope, n in scopes]
        self.scope = body.scope(self.index)
        self.node = self.present[0][2]
        ways = {(n.what.name, numbers[i] in body.in_place(s)) for i, s, n in self.present if isinstance(n.what, Op)}
        self.varies = len(ways) > 1  # what instances are given by name differs, or whether it overwrites its input
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def column(self, get: Callable[[Scope, Node], object]) -> tuple[object, ...]:
        """Return one value for each instance."""
        found: list[object] = [MISSING] * len(self.numbers)
        for i, scope, node in self.present:
            found[i] = get(scope, node)
        return tuple(found)

    @property
    def in_place(self) -> bool:
        """Whether it may overwrite its input."""
        return self.numbers[self.index] in self.body.in_place(self.scope)

    @property
    def trains(self) -> bool:
        """Whether only results of training need it."""
        return self.body.needed(self.scope).isdisjoint(self.node.outputs)


class Join:
    """A value that is another one in each arm of a branch; the last source is that of no arm."""

    def __init__(self, value: int, sources: list[int | None]) -> None:
        self.value, self.sources = value, sources


class Branch:
    """Steps that some instances have, in arms of which none has two."""

    def __init__(self, mask: frozenset[int], arms: list[tuple[frozenset[int], list[Step | Branch]]]) -> None:
        self.mask, self.arms = mask, arms
        self.rest = mask.difference(*[arm for arm, _ in arms])
        self.joins: list[Join] = []

    @property
    def lone(self) -> Step | None:
        """The one step of it, where its input passes in the instances that do not have it."""
        if len(self.arms) != 1 or len(self.joins) != 1 or len(self.arms[0][1]) != 1:
            return None
        step = self.arms[0][1][0]
        if isinstance(step, Branch) or len(step.inputs) != 1:
            return None
        return step if self.joins[0].sources == [*step.outputs, *step.inputs] else None

    @property
    def optional(self) -> Step | None:
        """Such a step that is a module: it is an identity in the instances that do not have it."""
        step = self.lone
        held = step is not None and is_module(step.node, step.scope) and not step.node.reuses
        return step if held else None

    def remains(self, number: int) -> bool:
        """Say whether an arm is the one that is left where no other is taken."""
        return number > 0 and number == len(self.arms) - 1 and not self.rest

    @property
    def masks(self) -> list[frozenset[int]]:
        """The instances of each arm, and those of none."""
        return [*[mask for mask, _ in self.arms], self.rest]


class Body:
    """Instances side by side: their steps and branches in order, values, inputs and results."""

    def __init__(self, scopes: Sequence[Scope | Missing]) -> None:
        self.scopes = tuple(scopes)
        self.mask = frozenset([i for i, scope in enumerate(scopes) if isinstance(scope, Scope)])
        self.first = self.scope(min(self.mask))
        self.items: list[Step | Branch] = []
        self.ids: list[list[int | None]] = []  # of each value: the number that each instance has for it
        self.inputs = [
            self.value({i: self.scope(i).inputs[k] for i in self.mask}) for k in range(len(self.first.inputs))
        ]
        self.results: list[int] = []
        self.shared: list[list[Step]] = []  # steps of different arms that are uses of one module

    def scope(self, index: int) -> Scope:
        """Return an instance that is there."""
        found = self.scopes[index]
        assert isinstance(found, Scope), "only instances that are there are asked for"
        return found

    @once
    def in_place(self, scope: Scope) -> frozenset[int]:
        """Return the steps of an instance that may overwrite their input."""
        return overwriting(scope)

    @once
    def needed(self, scope: Scope) -> set[int]:
        """Return the values of an instance that are needed in evaluation."""
        return needed(scope)

    def value(self, ids: dict[int, int]) -> int:
        """Add a value."""
        self.ids.append([ids.get(i) for i in range(len(self.scopes))])
        return len(self.ids) - 1

    def name(self, value: int) -> str:
        """Return the name that the text gives to a value, or nothing."""
        for scope, own in zip(self.scopes, self.ids[value]):
            if isinstance(scope, Scope) and own is not None and own in (names := self.names_of(scope)):
                return names[own]
        return ""

    @once
    def names_of(self, scope: Scope) -> dict[int, str]:
        """Return the names of the values of an instance."""
        return dict(scope.names)

    def fixed_size(self, value: int) -> bool:
        """Say whether the height and width of a value are those that its step was given."""
        makers = [step.node.what for step in self.steps() if value in step.outputs]
        return any(isinstance(what, Op) and "size" in what.args and not what.measures for what in makers)

    def axis(self, value: int, axis: int) -> tuple[object, ...]:
        """Return the size of a value along an axis in each instance."""
        return tuple([int(shape[axis]) if axis < len(shape) else MISSING for shape in self._shapes(value)])

    def channels(self, value: int) -> tuple[object, ...]:
        """Return the channels of a value in each instance."""
        return tuple([channel_count(shape) if shape else MISSING for shape in self._shapes(value)])

    def _shapes(self, value: int) -> list[Shape]:
        """Return the shapes of a value, empty ones where an instance has no such value."""
        pairs = zip(self.scopes, self.ids[value])
        return [scope.shapes[own] if isinstance(scope, Scope) and own is not None else () for scope, own in pairs]

    def steps(self) -> list[Step]:
        """Return all steps, those in branches too."""
        return list(steps_in(self.items))

    def branches(self) -> list[Branch]:
        """Return all branches, inner ones too."""
        return list(_branches(self.items))


def steps_in(items: list[Step | Branch]) -> Iterator[Step]:
    """Yield the steps of items, those in branches too."""
    for item in items:
        if isinstance(item, Step):
            yield item
        else:
            for _, arm in item.arms:
                yield from steps_in(arm)


def _branches(items: list[Step | Branch]) -> Iterator[Branch]:
    for item in items:
        if isinstance(item, Branch):
            yield item
            for _, arm in item.arms:
                yield from _branches(arm)


# -------------------------------------------------------------------------------------------------- merging
def side_by_side(scopes: Sequence[Scope | Missing], kinds: Kinds) -> Body:
    """Return scopes as one body; raises `Unlike` where they are none.

    Steps of instances that differ are one step if the text writes them in one place, and in one arm of its conditions.
    """
    body = Body(scopes)
    forms: dict[Hashable, list[int]] = {}
    for i in sorted(body.mask):
        forms.setdefault(kinds.form(body.scope(i)), []).append(i)
    every = [body.scope(i) for i in body.mask]
    if len({(len(scope.inputs), kinds.plain(scope), kinds.sequential(scope)) for scope in every}) > 1:
        raise Unlike
    steps = [Step(tuple(column), body) for column in _aligned(body, list(forms.values()), kinds)]
    if len(forms) > 1:
        for step in steps:
            _check(step, kinds)
        body.shared = _shared(steps, kinds)
    body.items = _grouped(steps, body.mask)
    _Values(body).connect()
    return body


def is_idle(node: Node) -> bool:
    """Say whether a step returns its input."""
    what = node.what
    return is_empty(what) if isinstance(what, Scope) else "identity" in what.traits


def _holds(node: Node, scope: Scope) -> bool:
    return not isinstance(node.what, Scope) and is_module(node, scope)


class Kinds:
    """What steps and scopes have in common that can be one: `number` tells the classes of blocks apart."""

    @once
    def plain(self, scope: Scope) -> bool:
        """Say whether a scope is a sequence whose modules are numbered."""
        return scope.numbered if isinstance(scope, Folded) else is_plain_sequence(scope)

    @once
    def sequential(self, scope: Scope) -> bool:
        """Say whether a scope runs every step as a module."""
        return isinstance(scope, Folded) or is_sequence(scope)

    @once
    def kept(self, scope: Scope) -> list[int]:
        """Return the numbers of the steps that do something or have a module; in a sequence each has one."""
        if self.sequential(scope):
            return list(range(len(scope.nodes)))
        return [n for n, node in enumerate(scope.nodes) if not is_idle(node) or _holds(node, scope)]

    @once
    def number(self, scope: Scope) -> Hashable:
        """Return what a scope inside another one is there: its class, or what kind of sequence it is."""
        if isinstance(scope, Turns):
            return ("loop", where(scope.loop))
        return ("sequence", scope.kind, scope.wrapper, self.plain(scope), len(scope.outputs))

    @once
    def faces(self, scope: Scope) -> list[tuple[Hashable, ...]]:
        """Return what two steps have to agree on to be one, for each step that is kept."""
        inplace, wanted, shifting = overwriting(scope), needed(scope), self.plain(scope) or isinstance(scope, Folded)
        found: list[tuple[Hashable, ...]] = []
        for n in self.kept(scope):
            node = scope.nodes[n]
            held = node.labelled or node.reuses or (not shifting and is_module(node, scope))
            joined = (len(node.inputs), len(node.outputs), node.reuses, node.labelled, node.init)
            way = (n in inplace, wanted.isdisjoint(node.outputs))
            found.append((_named(node, scope) if held else "", joined, self._what(node, scope), *way))
        return found

    def _what(self, node: Node, scope: Scope) -> Hashable:
        what = node.what
        if isinstance(what, Scope):
            return self.number(what)
        shapes = [scope.shapes[i] for i in node.inputs]
        return (what.name, _form(module_of(node, scope)), _form(what.function(*shapes)))

    @once
    def form(self, scope: Scope) -> Hashable:
        """Return what two scopes agree on that differ in numbers only."""
        if isinstance(scope, Turns):
            return self._numbered((where(scope.loop), frozenset([self.form(turn) for turn in turns_of(scope)])))
        nodes = [scope.nodes[n] for n in self.kept(scope)]
        inner = [
            self.form(n.what) if isinstance(n.what, Scope) and self.number(n.what) == Kinds.number(self, n.what) else 0
            for n in nodes
        ]
        outputs = tuple([(o.name, o.value, o.training) for o in scope.outputs])
        joined = tuple([(n.inputs, n.outputs) for n in nodes])
        return self._numbered((scope.kind, scope.wrapper, scope.inputs, *self.faces(scope), joined, *inner, outputs))

    def _numbered(self, key: Hashable) -> int:
        # Numbered, since tuples inside tuples would be hashed through, once for each use of a scope.
        numbers: dict[Hashable, int] = self.__dict__.setdefault("numbers", {})
        return numbers.setdefault(key, len(numbers))


def turns_of(scope: Turns) -> list[Scope]:
    """Return the passes of a loop."""
    return [node.what for node in scope.nodes]  # type: ignore[misc]


def _named(node: Node, scope: Scope) -> Hashable:
    """Return the name of a step, or where a loop computes it, its place."""
    label = node.label
    return label.span.start if label is not None and is_computed(node, scope) else node.name


def is_computed(node: Node, scope: Scope) -> bool:
    """Say whether a label is another one from pass to pass of a loop."""
    return scope.kind == "turn" and node.label is not None and node.label.plain is None


def _form(call: Call | None) -> Hashable:
    """Return what the calls of two steps agree on that differ in arguments only: what no formula gives is the same."""
    if call is None:
        return None
    parts = [*call.args, *[part for _, part in (*call.kwargs, *(call.holes or ()))]]
    fixed = [part.value for part in parts if isinstance(part, Leaf) and not part.formula]
    sized = [part.text for part in parts if isinstance(part, Sized)]
    return call.target, len(call.args), tuple([name for name, _ in call.kwargs]), tuple(fixed), tuple(sized)


def _aligned(body: Body, forms: list[list[int]], kinds: Kinds) -> list[list[int | None]]:
    """Return the steps in order, each with its number in each instance; instances of one form are aligned at once."""
    keys: list[Hashable] = []
    columns: list[list[int | None]] = []
    working = {node.name for i in body.mask for node in body.scope(i).nodes if not is_idle(node)}
    for members in forms:
        first = body.scope(members[0])
        own = list(zip(kinds.faces(first), kinds.kept(first)))
        if len(forms) > 1:  # a module that does nothing here and something elsewhere is left out here
            own = [
                (k, n)
                for k, n in own
                if kinds.sequential(first) or not (is_idle(first.nodes[n]) and first.nodes[n].name in working)
            ]
            own = [((_loose(k, first.nodes[n], kinds.sequential(first)), *_place(first.nodes[n])), n) for k, n in own]
        if len(forms) > 1 and max(len(own), len(keys)) > MOST_STEPS:
            raise Unlike
        form = [key for key, _ in own]
        places = _common(keys, form)
        merged_keys: list[Hashable] = []
        merged: list[list[int | None]] = []
        at = 0
        for place, (key, n) in enumerate(own):
            column: list[int | None] = [None] * len(body.scopes)
            if place in places:
                merged_keys += keys[at : places[place]]
                merged += columns[at : places[place]]
                at, column = places[place] + 1, columns[places[place]]
            for i in members:
                column[i] = n
            merged_keys.append(key)
            merged.append(column)
        keys, columns = [*merged_keys, *keys[at:]], [*merged, *columns[at:]]
    return columns


def _loose(face: tuple[Hashable, ...], node: Node, listed: bool) -> tuple[Hashable, ...]:
    """Return a face without the operator, where that is given by name and stands in a sequence: `act`, `pool`."""
    what = node.what
    if not listed or isinstance(what, Scope) or what.stateful or not is_given(node):
        return face
    return (*face[:2], "given", *face[4:])


def is_given(node: Node) -> bool:
    """Say whether the text has a name in the place of a step: that of a parameter, or of an operator."""
    return node.span.text.isidentifier()


def _place(node: Node) -> tuple[Hashable, ...]:
    return node.span.start, node.span.end, node.span.source.name, node.arms


def _common(left: Sequence[Hashable], right: Sequence[Hashable]) -> dict[int, int]:
    """Return a longest common subsequence: for places on the right, those on the left."""
    length = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for a in range(len(left) - 1, -1, -1):
        for b in range(len(right) - 1, -1, -1):
            same = left[a] == right[b]
            length[a][b] = length[a + 1][b + 1] + 1 if same else max(length[a + 1][b], length[a][b + 1])
    found, a, b = {}, 0, 0
    while a < len(left) and b < len(right):
        if left[a] == right[b]:
            found[b] = a
            a, b = a + 1, b + 1
        elif length[a + 1][b] >= length[a][b + 1]:
            a += 1
        else:
            b += 1
    return found


def _check(step: Step, kinds: Kinds) -> None:
    """Raise `Unlike` where a step has another attribute, or a sequence of other steps, from instance to instance."""
    plain = all(kinds.plain(scope) for _, scope, _ in step.present)
    named = not plain and is_module(step.node, step.scope) and not isinstance(step.scope, Folded)
    if named and len({node.name for _, _, node in step.present}) > 1:
        raise Unlike
    if step.trains and len(step.mask) < len(step.body.mask):
        raise Unlike  # a condition on the mode around one on the instance, or inside of it: nobody needs it
    _sequence_of([step], kinds)


def _sequence_of(steps: list[Step], kinds: Kinds) -> None:
    whats = [node.what for step in steps for _, _, node in step.present]
    full = [what for what in whats if isinstance(what, Scope) and not is_empty(what)]
    loops = [what for what in whats if isinstance(what, Turns)]
    if loops:
        every = [turn for loop in loops for turn in turns_of(loop)]
        if every:
            side_by_side(every, kinds)
        return
    if full and kinds.number(full[0]) == Kinds.number(kinds, full[0]):
        side_by_side(full, kinds)


def _shared(steps: list[Step], kinds: Kinds) -> list[list[Step]]:
    """Return the steps that are uses of one module in arms of which each instance takes one."""
    named: dict[str, list[Step]] = {}
    for step in steps:
        plain = kinds.plain(step.scope) or step.scope.kind == "turn"
        if is_module(step.node, step.scope) and not step.node.reuses and not plain:
            named.setdefault(step.node.name, []).append(step)
    found = [uses for uses in named.values() if len(uses) > 1]
    for uses in found:
        every = [i for step in uses for i in step.mask]
        faces = {kinds.faces(s.scope)[kinds.kept(s.scope).index(s.numbers[s.index])] for s in uses}  # type: ignore[arg-type]
        if len(faces) > 1 or len(every) != len(set(every)) or set(every) != steps[0].body.mask:
            raise Unlike
        _sequence_of(uses, kinds)
    return found


def _grouped(steps: list[Step], mask: frozenset[int]) -> list[Step | Branch]:
    """Return steps with those that only some of the instances have in branches."""
    items: list[Step | Branch] = []
    at = 0
    while at < len(steps):
        if steps[at].mask == mask:
            items.append(steps[at])
            at += 1
            continue
        arms: list[tuple[frozenset[int], list[Step]]] = []
        while at < len(steps) and steps[at].mask != mask:
            own = steps[at].mask
            near = [arm for arm in arms if arm[0] & own]
            if not near:
                arms.append((own, [steps[at]]))
            elif len(near) == 1 and own <= near[0][0] and (own == near[0][0] or _within(steps[at], near[0][1])):
                near[0][1].append(steps[at])
            elif len(near) == 1 and near[0][0] < own and near[0] is arms[-1] and _within(near[0][1][0], [steps[at]]):
                arms[-1] = (own, [*near[0][1], steps[at]])
            else:
                break
            at += 1
        arms.sort(key=lambda arm: arm[1][0].node.arms)  # as the text has them
        items.append(Branch(mask, [(own, _grouped(inner, own)) for own, inner in arms]))
    return items


def _within(step: Step, steps: list[Step]) -> bool:
    """Say whether a step stands in the arm of the text in which the others stand directly."""
    outer = min([one.node.arms for one in steps], key=len)
    return bool(outer) and step.node.arms[: len(outer)] == outer


class _Values:
    """Connects the steps of a body: which of its values each reads, and where values of arms come together."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.made: list[dict[int, int]] = []  # for each instance: the value of the body that a number of its own is
        self.inside: set[int] = set()  # what arms of branches make, which leaves them by a join only
        for i in range(len(body.scopes)):
            own = {body.scope(i).inputs[k]: value for k, value in enumerate(body.inputs)} if i in body.mask else {}
            self.made.append(own)

    def connect(self) -> None:
        """Give every step its inputs and outputs, and the body its results."""
        body = self.body
        self._level(body.items, [])
        names = {tuple((o.name, o.training, o.implicit) for o in body.scope(i).outputs) for i in body.mask}
        if len(names) > 1:
            raise Unlike
        for k in range(len(body.first.outputs)):
            values = {i: self._known(i, body.scope(i).outputs[k].value) for i in body.mask}
            body.results.append(self._settled([body.items], values))

    def _level(self, items: list[Step | Branch], before: list[list[Step | Branch]]) -> None:
        for at, item in enumerate(items):
            levels = [*before, items[:at]]
            if isinstance(item, Branch):
                for _, arm in item.arms:
                    self._level(arm, levels)
                continue
            for k in range(len(item.node.inputs)):
                values = {i: self._known(i, node.inputs[k]) for i, _, node in item.present}
                item.inputs.append(self._settled(levels, values))
            for k in range(len(item.node.outputs)):
                value = self.body.value({i: node.outputs[k] for i, _, node in item.present})
                item.outputs.append(value)
                self.inside.update([value] if before else [])
                for i, _, node in item.present:
                    self.made[i][node.outputs[k]] = value

    def _known(self, instance: int, own: int) -> int:
        """Return the value of the body that a value of an instance is: behind steps that do nothing."""
        while own not in self.made[instance]:
            own = next(n.inputs[0] for n in self.body.scope(instance).nodes if own in n.outputs)
        return self.made[instance][own]

    def _settled(self, levels: list[list[Step | Branch]], values: dict[int, int]) -> int:
        """Return the one value that instances read, where they come together if they are several."""
        for k, items in enumerate(levels):
            self._come_together(items, values, {v for level in levels[k + 1 :] for v in _made(level)})
        if len(set(values.values())) > 1:
            raise Unlike
        return next(iter(values.values()))

    def _come_together(self, items: list[Step | Branch], values: dict[int, int], later: set[int]) -> None:
        """Join values after the branches that made them; those that are made `later` are not there yet."""
        for k, item in enumerate(items):
            found = set(values.values())
            if len(found) == 1 and self.inside.isdisjoint(found):
                return
            if isinstance(item, Branch):
                beyond = later.union(_made(items[k + 1 :]))
                there = {i: v for i, v in values.items() if v not in beyond}
                self._join(item, there)
                values.update(there)

    def _join(self, branch: Branch, values: dict[int, int]) -> None:
        inside = {v for _, arm in branch.arms for v in _made(arm)}
        for mask, arm in branch.arms:
            part = {i: v for i, v in values.items() if i in mask}
            if part:
                self._come_together(arm, part, set())
                values.update(part)
        inside |= {v for _, arm in branch.arms for v in _made(arm)}  # those that were joined just now
        sources: list[int | None] = []
        for mask in branch.masks:
            found = {values[i] for i in mask if i in values}
            if len(found) > 1:
                return  # they come together later
            sources.append(next(iter(found), None))
        if not inside.intersection(sources):
            return
        join = self._joined(branch, sources)
        for i, value in values.items():
            self.body.ids[join.value][i] = self.body.ids[value][i]
        values.update(dict.fromkeys(values, join.value))

    def _joined(self, branch: Branch, sources: list[int | None]) -> Join:
        """Return the join of some sources: one that is there, for further instances, or a new one."""
        for join in branch.joins:
            both = [(a, b) for a, b in zip(join.sources, sources) if a is not None and b is not None]
            if both and all(a == b for a, b in both):
                join.sources = [b if a is None else a for a, b in zip(join.sources, sources)]
                return join
        branch.joins.append(Join(self.body.value({}), sources))
        self.inside.update([branch.joins[-1].value] if len(branch.mask) < len(self.body.mask) else [])
        return branch.joins[-1]


def _made(items: list[Step | Branch]) -> Iterator[int]:
    """Yield the values that items make."""
    for item in items:
        if isinstance(item, Step):
            yield from item.outputs
        else:
            yield from [join.value for join in item.joins]
            for _, arm in item.arms:
                yield from _made(arm)
