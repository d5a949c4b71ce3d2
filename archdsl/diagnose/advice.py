"""Advice: what is legal and yet seldom meant. Looks at the text of a file, and at the networks that it describes.

A line is left alone by a comment on it or above it, a file by one at its margin: `# allow W0503: and why`.
"""

from __future__ import annotations

import re
from collections import Counter
from math import gcd, lcm

from archdsl.diagnostics import CompileError, Note, errors
from archdsl.elaborate.context import Context
from archdsl.elaborate.expressions import COMBINATORS, names_in, truth
from archdsl.ir.liveness import needed
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct
from archdsl.ops.base import Op
from archdsl.syntax import tree
from archdsl.syntax.names import form, parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.diagnostics import Diagnostic
    from archdsl.elaborate.environment import File
    from archdsl.ir.network import Network, Node

    Axis = tuple[frozenset[int], int]  # positions that are read, modulo a period

MOST = 10  # of one code in one file
VECTOR = 8  # 16-bit values in a load of 16 bytes, the widest one
LARGEST = 31  # window of a published network (RepLKNet)
MAX_PERIOD = 64  # of the strides on one tensor
EVERY: Axis = frozenset([0]), 1


def advise(file: File, networks: Sequence[Network], whole: bool, *, every: bool = False) -> list[Diagnostic]:
    """Return the advice on a file and its networks, in the order of the text: of each code the first, or `every` one.

    `whole` says that these are all networks of the file; else nothing is said of what another one may use.
    """
    found = [*_text(file), *Networks(file, networks, whole).advice()]
    if not found:
        return []
    everywhere = {code for line in file.source.text.split("\n") if line.startswith("#") for code in _codes(line)}
    found = [d for d in found if d.primary.span.source is file.source and not _allowed(d, everywhere)]
    named = {d.primary.span.line for d in found if "unused" in d.traits}
    once = [d for d in found if not ("unused result" in d.traits and d.primary.span.line in named)]
    ordered = sorted(once, key=lambda d: (d.primary.span.start, d.code))
    return ordered if every else list(_few(ordered))


def _few(found: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield the first of each code; the last of those says how many more there are."""
    count = Counter(diagnostic.code for diagnostic in found)
    seen: Counter[str] = Counter()
    for diagnostic in found:
        code = diagnostic.code
        seen[code] += 1
        most = 1 if "once" in diagnostic.traits else MOST
        if seen[code] == most < count[code]:
            diagnostic = diagnostic.noting(Note(f"and {count[code] - most:,} more {code} in this file"))
        if seen[code] <= most:
            yield diagnostic


def _allowed(diagnostic: Diagnostic, everywhere: set[str]) -> bool:
    """Say whether a comment on the line of an advice, on the line above, or for the file allows what it is about."""
    span = diagnostic.primary.span
    above = span.source.line(span.line - 1).strip() if span.line > 1 else ""
    lines = span.source.line(span.line), above if above.startswith("#") else ""
    return diagnostic.code in everywhere.union(*[_codes(line) for line in lines])


def _codes(line: str) -> set[str]:
    """Return the codes that a line allows."""
    from archdsl.syntax.trivia import ALLOW  # 0.5 ms, and most files ask for no advice

    found = ALLOW.search(line)
    return set(found.group(1).replace(",", " ").split()) if found else set()


# -------------------------------------------------------------------------------------------------- the text
def _text(file: File) -> Iterator[Diagnostic]:
    """Yield the imports, parameters and bindings that nothing mentions, and the conditions that decide nothing."""
    mentioned = [Mentions(item) for item in file.module.items]
    for item, mentions in zip(file.module.items, mentioned):
        if isinstance(item, tree.Import):
            for word, name in enumerate(item.names, 3):
                if not any(name in mentions for mentions in mentioned):
                    yield errors.unused(item.place(word), f"the import `{name}` is never used")
        elif isinstance(item, (tree.Block, tree.Net, tree.Fn)):
            for param in item.params:
                if param.name not in mentions:
                    yield errors.unused(param.span, f"`{item.name}` never uses its parameter `{param.name}`")
        for bound in mentions.bindings:
            if not mentions.uses(bound.name):
                yield errors.unused(bound.name.span, f"the name `{bound.name.span.text}` is never used")
        for choice in mentions.choices:
            yield from _choice(file, choice)
        for call in mentions.lonely:
            yield errors.lonely_branch(call.span, call.target.span.text)


CHOICES = {tree.OnlyIf, tree.Either, tree.If}
NAMING = {tree.Labelled, tree.Bind, tree.Scope, tree.Output}  # their names are given, and mention nothing


class Mentions:
    """What a definition mentions: names, and computed ones, `skip{i}`, for every name of their form.

    On the same walk its bindings and its choices, which advice is about, too.
    """

    def __init__(self, node: tree.Node) -> None:
        self.names: set[str] = set()
        self.computed: list[tree.Name] = []
        self.bindings: list[tree.Bind] = []
        self.choices: list[tree.OnlyIf | tree.Either | tree.If] = []
        self.lonely: list[tree.Call] = []
        self._collect(node)

    def __contains__(self, name: str) -> bool:
        return name in self.names or any(re.fullmatch(form(other), name) for other in self.computed)

    def uses(self, name: tree.Name) -> bool:
        """Say whether a name that is bound, which may be computed itself, is mentioned."""
        if name.plain is not None:
            return name.plain in self
        return any(re.fullmatch(form(name), n) for n in self.names) or any(_meet(name, c) for c in self.computed)

    def _collect(self, node: Any) -> None:
        kind = type(node)
        if kind is tree.Bind:
            self.bindings.append(node)
        elif kind in CHOICES:
            self.choices.append(node)
        elif kind is tree.Call and _is_lonely(node):
            self.lonely.append(node)
        named = node.name if kind in NAMING else None
        for part in parts(node):
            if type(part) is not tree.Name:
                self._collect(part)
            elif part.plain is None:
                self._collect(part)
                if part is not named:
                    self.computed.append(part)
            elif part is not named:
                self.names.add(part.plain)


def _meet(one: tree.Name, other: tree.Name) -> bool:
    """Say whether two computed names, `l0_{i}` and `l{r}_0`, may be the same: their ends are looked at."""
    for end, alike in ((0, str.startswith), (-1, str.endswith)):
        texts = [part if isinstance(part, str) else "" for part in (one.parts[end], other.parts[end])]
        short, long = sorted(texts, key=len)
        if not alike(long, short):
            return False
    return True


def _is_lonely(call: tree.Call) -> bool:
    """Say whether a call is of a combinator with less than two branches; `*list` may be any number."""
    name = call.target.plain if isinstance(call.target, tree.Name) else None
    if name not in COMBINATORS or name == "attention" or len(call.arguments) > 1:
        return False
    return not any(isinstance(argument, tree.Spread) for argument in call.arguments)


def _choice(file: File, choice: tree.OnlyIf | tree.Either | tree.If) -> Iterator[Diagnostic]:
    """Yield the conditions of a choice that the text alone decides, or that stand twice in it."""
    if not isinstance(choice, tree.If):
        yield from _decided(file, choice.test)
        return
    earlier: dict[str, Span] = {}
    for test in [test for test, _ in choice.arms if test is not None]:
        yield from _decided(file, test)
        text = " ".join(test.span.text.split())
        if text in earlier:
            yield errors.repeated_condition(test.span, earlier[text])
        earlier.setdefault(text, test.span)


def _decided(file: File, test: tree.Expr) -> Iterator[Diagnostic]:
    ctx = Context()
    if names_in(ctx, test):
        return
    try:
        value = truth(ctx, test, file.env, None)
    except CompileError:
        return
    yield errors.constant_condition(test.span, value)


# -------------------------------------------------------------------------------------------------- the networks
class Networks:
    """Looks through networks, each distinct scope once."""

    def __init__(self, file: File, networks: Sequence[Network], whole: bool) -> None:
        self.file, self.whole = file, whole
        self.scopes: dict[int, Scope] = {}
        self.nets = {id(network.scope) for network in networks}
        self.taken: set[tuple[int, int]] = set()  # outputs of scopes that something uses
        self.read: dict[int, set[int]] = {}  # by scope, the values that something in it reads, or that it returns
        for network in networks:
            self._enter(network.scope)
        self.copied = [one for network in networks for one in network.copied]

    def _enter(self, scope: Scope) -> None:
        if id(scope) in self.scopes:
            return
        self.scopes[id(scope)] = scope
        used = _used(scope)
        for node in scope.nodes:
            if isinstance(node.what, Scope):
                self.taken |= {(id(node.what), n) for n, value in enumerate(node.outputs) if value in used}
                self._enter(node.what)
        read = {value for node in scope.nodes for value in self._reading(node)}
        self.read[id(scope)] = read.union([output.value for output in scope.outputs])

    def _reading(self, node: Node) -> Sequence[int]:
        """Return the values that a step reads: a block need not read the tensor that reaches it."""
        if not isinstance(node.what, Scope):
            return node.inputs
        read = self.read[id(node.what)]
        return [value for value, inner in zip(node.inputs, node.what.inputs) if inner in read]

    def advice(self) -> list[Diagnostic]:
        """Return the advice, of each kind once for a place of the text."""
        found: dict[tuple[str, int], Diagnostic] = {}
        count: dict[tuple[str, int], int] = {}
        for scope in self.scopes.values():
            for diagnostic in self._on(scope):
                key = diagnostic.code, diagnostic.primary.span.start
                found.setdefault(key, diagnostic)
                count[key] = count.get(key, 0) + 1
        again = [errors.used_again(found[key], number) for key, number in count.items()]
        return [*again, *self._dead_steps(), *self._untaken(), *self._applied_again()]

    def _applied_again(self) -> Iterator[Diagnostic]:
        """Yield the names of pipelines that are applied again, of each place the first."""
        uses: dict[Span, tuple[str, int]] = {}
        for name, span, count in self.copied:
            uses.setdefault(span, (name, count))
        yield from [errors.applied_again(span, name, count) for span, (name, count) in uses.items()]

    def _on(self, scope: Scope) -> Iterator[Diagnostic]:
        if scope.span.source is not self.file.source:
            return
        users: dict[int, list[Node]] = {}
        for node in scope.nodes:
            for value in node.inputs:
                users.setdefault(value, []).append(node)
        returned = {output.value for output in scope.outputs}
        yield from _biases(scope, users, returned)
        yield from self._skipped(scope, users, returned)
        yield from _groups(scope)
        yield from _huge(scope)
        yield from _like_itself(scope)
        if id(scope) in self.nets:
            for value, name in zip(scope.inputs, scope.input_names):
                if value not in users and value not in returned:
                    yield errors.unused(_input_place(scope, name), f"the input `{name}` is never used")

    # ------------------------------------------------------------ pixels that nothing reads
    def _skipped(self, scope: Scope, users: dict[int, list[Node]], returned: set[int]) -> Iterator[Diagnostic]:
        for value, consumers in users.items():
            if value in returned or len(scope.shapes[value]) != 4 or not any(_strides(n) for n in consumers):
                continue
            if value in scope.inputs and id(scope) not in self.nets:
                continue  # what reads it may stand in the scope around
            reads = [self._reads(node, place) for node in consumers for place in _places(node, value)]
            rows, columns = [_union([read[axis] for read in reads]) for axis in (0, 1)]
            part = len(rows[0]) * len(columns[0]), rows[1] * columns[1]
            if part[0] < part[1]:
                first, *others = [node.span for node in consumers]
                common = gcd(*part)
                yield errors.skipped_pixels(first, part[0] // common, part[1] // common, others)

    def _reads(self, node: Node, place: int) -> tuple[Axis, Axis]:
        """Return which rows and columns of an operand a step reads."""
        what = node.what
        if not isinstance(what, Scope):
            steps = _strides(node)
            return steps if steps and place == 0 else (EVERY, EVERY)
        value = what.inputs[place]
        inner = [(n, p) for n in what.nodes for p in _places(n, value)]
        if not inner or any(output.value == value for output in what.outputs) or what.kind == "wrapper":
            return EVERY, EVERY
        reads = [self._reads(n, p) for n, p in inner]
        return _union([read[0] for read in reads]), _union([read[1] for read in reads])

    # ------------------------------------------------------------ what nothing uses
    def _dead_steps(self) -> Iterator[Diagnostic]:
        """Yield the steps whose results nothing needs, in any use of their text."""
        dead: dict[int, tuple[Scope, Node]] = {}
        live: set[int] = set()
        some: dict[int, Node] = {}  # with weights, in one pass of a loop, where those of others are used
        for scope in self.scopes.values():
            wanted = needed(scope, training=True, reading=self._reading)
            used = self.read[id(scope)]
            for node in scope.nodes:
                if wanted.intersection(node.outputs) or not (self.whole or id(scope) in self.nets):
                    live.add(node.span.start)
                elif not used.intersection(node.outputs):
                    dead[node.span.start] = scope, node
            if self.whole or id(scope) in self.nets:
                alive = {node.span.start for node in scope.nodes if wanted.intersection(node.outputs)}
                idle = [node for node in scope.nodes if not used.intersection(node.outputs) and _learns(node)]
                some |= {node.span.start: node for node in idle if node.span.start in alive and not node.reuses}
        yield from [errors.unused_result(node.span, "in one pass of the loop, ") for node in some.values()]
        for start, (scope, node) in dead.items():
            if start not in live:
                reached = [other.span for other in scope.nodes if not {*node.outputs}.isdisjoint(other.inputs)]
                yield errors.unused_result(node.span, reached=reached[:1])

    def _untaken(self) -> Iterator[Diagnostic]:
        """Yield the outputs of blocks that nothing takes, in any use of the block."""
        if not self.whole:
            return
        taken = {(scope.span.start, scope.outputs[n].name) for key, n in self.taken for scope in [self.scopes[key]]}
        every = [s for s in self.scopes.values() if s.kind in ("block", "net") and id(s) not in self.nets]
        nets = {self.scopes[net].span.start for net in self.nets}
        seen: set[tuple[int, str]] = set()
        for scope in every:
            for output in scope.outputs[1:]:
                key = scope.span.start, output.name
                if key not in taken | seen and scope.span.start not in nets and scope.definition is not None:
                    seen.add(key)
                    yield errors.untaken_output(_output_place(scope.definition, output.name), scope.title, output.name)


def _learns(node: Node) -> bool:
    """Say whether a step has weights."""
    scopes = distinct(node.what) if isinstance(node.what, Scope) else []
    steps = [inner.what for scope in scopes for inner in scope.nodes] if scopes else [node.what]
    return any(isinstance(step, Op) and step.stateful for step in steps)


def _used(scope: Scope) -> set[int]:
    used = {output.value for output in scope.outputs}
    for node in scope.nodes:
        used.update(node.inputs)
    return used


def _output_place(definition: tree.Block | tree.Net, name: str) -> Span:
    def places(node: Any) -> Iterator[Span]:
        for part in parts(node):
            if isinstance(part, tree.Output) and re.fullmatch(form(part.name), name):
                yield part.name.span
            yield from places(part)

    return next(places(definition), definition.span)


def _input_place(scope: Scope, name: str) -> Span:
    body = scope.definition.body if scope.definition else ()
    return next((s.span for s in body if isinstance(s, tree.Input) and s.name == name), scope.span)


def _places(node: Node, value: int) -> list[int]:
    return [place for place, operand in enumerate(node.inputs) if operand == value]


def _strides(node: Node) -> tuple[Axis, Axis] | None:
    """Return which rows and columns a window reads that steps over some, or None."""
    if isinstance(node.what, Scope) or "window" not in node.what.traits:
        return None
    kernel, stride, dilation = [getattr(node.what, name, (1, 1)) for name in ("kernel", "stride", "dilation")]
    if not stride or stride == (1, 1):
        return None
    rows, columns = [_axis(k, s, d) for k, s, d in zip(kernel, stride, dilation)]
    return rows, columns


def _axis(kernel: int, stride: int, dilation: int) -> Axis:
    if stride > MAX_PERIOD:
        return EVERY
    return frozenset(tap * dilation % stride for tap in range(min(kernel, stride))), stride


def _union(axes: Iterable[Axis]) -> Axis:
    axes = list(axes)
    period = lcm(*[axis[1] for axis in axes])
    if period > MAX_PERIOD:
        return EVERY
    return frozenset(p for p in range(period) if any(p % each in read for read, each in axes)), period


# -------------------------------------------------------------------------------------------------- layers
def _biases(scope: Scope, users: dict[int, list[Node]], returned: set[int]) -> Iterator[Diagnostic]:
    """Yield the biases that a batch norm after them subtracts again."""
    for node in scope.nodes:
        if isinstance(node.what, Scope) or not getattr(node.what, "bias", False) or node.outputs[0] in returned:
            continue
        behind = users.get(node.outputs[0], [])
        if behind and all(_subtracts_mean(n.what, scope.shapes[node.outputs[0]]) for n in behind):
            yield errors.bias_before_norm(node.span, node.what.name, behind[0].span)


def _subtracts_mean(what: Op | Scope, shape: Shape) -> bool:
    """Say whether an operator subtracts the mean of each channel."""
    return not isinstance(what, Scope) and what.subtracts_mean(shape)


def _groups(scope: Scope) -> Iterator[Diagnostic]:
    """Yield the convolutions in groups whose groups are no whole vectors."""
    for node in scope.nodes:
        if isinstance(node.what, Scope) or "convolves" not in node.what.traits:
            continue
        channels, out = [int(scope.shapes[value][1]) for value in (node.inputs[0], node.outputs[0])]
        groups = getattr(node.what, "groups", channels)
        if groups == 1:
            continue
        widths = {channels, out} if groups == channels else {channels // groups, out // groups}
        odd = sorted(width for width in widths if width % VECTOR)
        if odd:
            yield errors.odd_groups(node.span, odd[0], groups == channels, VECTOR)


def _huge(scope: Scope) -> Iterator[Diagnostic]:
    """Yield the convolutions whose windows are larger than any that is published."""
    for node in scope.nodes:
        if not isinstance(node.what, Scope) and "convolves" in node.what.traits:
            height, width = getattr(node.what, "kernel", (1, 1))
            patches = getattr(node.what, "stride", None) == (height, width)
            if min(height, width) > LARGEST and not patches:
                yield errors.huge_window(node.span, height, width)


def _like_itself(scope: Scope) -> Iterator[Diagnostic]:
    """Yield the steps that take the size of `x` where that is what reaches them."""
    for node in scope.nodes:
        like = dict(node.written).get("like")
        if isinstance(like, tree.Name) and like.plain == "x" and node.inputs[0] in node.inputs[1:]:
            assert isinstance(node.what, Op), "an argument of an operator"
            yield errors.like_itself(like.span, node.what.name)
