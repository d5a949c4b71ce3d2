"""Modules as blocks: each class that is used several times is a block, everything else stands where it is used."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archdsl.elaborate.operators import MODULE_NAMES
from archdsl.importer import clean
from archdsl.importer.blocks import Block, Param, solved
from archdsl.importer.fold import folded
from archdsl.importer.graph import Graph, Node, Scope, Unsaid
from archdsl.importer.inline import inlined
from archdsl.importer.structure import Item, statements
from archdsl.importer.terms import Term, chain, every, links, ordered
from archdsl.importer.unify import MISSING
from archdsl.ops import OPS
from archdsl.syntax.printer import STATEMENT_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LABELS = MODULE_NAMES | {"x", *STATEMENT_WORDS}  # what is no label here, as the language or its printer says
RESERVED = frozenset("identity split net block fn input output require default init for if ode".split())
Group = tuple[type, int]  # a class, and how often it stands in itself


@dataclass(eq=False)
class Text:
    """A network as pieces of text: its blocks, the statements of the net, and the steps with weights in their order."""

    blocks: list[Block]
    body: list[Term]
    order: list[Node]


@dataclass(eq=False)
class _Use:
    """One module: its statements, the tensors that it is given, and the block that stands for it with its arguments."""

    body: list[Term]
    tensors: tuple[Node, ...]
    block: Block | None = None
    place: int = 0


def built(graph: Graph, name: str = "") -> Text:
    """Return a cleaned graph as pieces of text, of which no block is called as the net is. Raises `Unsaid`."""
    _refuse_shared(graph.root)
    builder = _Builder(graph, name)
    sources = {node: "image" if place == 0 else f"image{place + 1}" for place, node in enumerate(graph.inputs)}
    body = builder.body(graph.root, sources, graph.outputs)
    for term in body:
        if term.kind == "out" and term.name in graph.training:
            body[body.index(term)] = term.but(values=(("training", True),))
    order = list(ordered(body))
    return Text(*inlined(builder.blocks, body), order)


def _refuse_shared(scope: Scope) -> None:
    """Raise `Unsaid` for weights that two modules have; one module may be applied more than once, where it stands."""
    owners: dict[str, str] = {}
    for item in scope.items:
        if isinstance(item, Scope):
            _refuse_shared(item)
        path = item.path if isinstance(item, Scope) else clean.label_path(item) if item.weights else ""
        for name in _weights(item):
            if owners.setdefault(name, path) != path:
                raise Unsaid("a layer that several modules apply", name.rpartition(".")[0])


def _weights(item: Node | Scope) -> frozenset[str]:
    """Return the names of the weights of a step or a module."""
    nodes = item.nodes() if isinstance(item, Scope) else (item,)
    return frozenset(name for node in nodes for name in node.weights.values())


class _Builder:
    """Builds the blocks of a graph, inner ones first."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name
        self.blocks: list[Block] = []
        self.readers = clean.readers_of(graph)
        self.groups: dict[Group, list[Scope]] = {}
        self.group: dict[Scope, Group] = {}
        self.uses: dict[Scope, _Use] = {}
        self.done: set[Group] = set()
        self._grouped(graph.root)

    def _grouped(self, scope: Scope) -> Counter[type]:
        """Count how often classes stand in one another."""
        depth: Counter[type] = Counter()
        for item in scope.items:
            if isinstance(item, Scope):
                depth |= self._grouped(item)
        depth[scope.kind] += 1
        self.group[scope] = (scope.kind, depth[scope.kind])
        if scope is not self.graph.root:
            self.groups.setdefault(self.group[scope], []).append(scope)
        return depth

    # ------------------------------------------------------------------------------------------ bodies
    def body(self, scope: Scope, sources: dict[Node, str], outputs: dict[str, Node]) -> list[Term]:
        """Return the statements of a module."""
        items = [self._item(item, scope) for item in scope.items]
        shared = _shared(scope.items, items)
        made = statements(items, sources, outputs)
        for name, term in shared.items():
            first = next(i for i, one in enumerate(made) if any(part.name == name for part in every([one])))
            made.insert(first, Term("bind", name, parts=(_bare(term),)))
        return folded(_labelled(made))

    def _item(self, item: Node | Scope, around: Scope) -> Item:
        if isinstance(item, Node):
            return Item(_leaf(item, around), item.inputs, item)
        inputs, output = clean.inputs_of(item), clean.outputs_of(item, self.readers)[0]
        return Item(self._module(item, around), inputs, output)

    def _module(self, scope: Scope, around: Scope) -> Term:
        """Return what stands for a module: its items, or the block of its class with arguments."""
        label, x = _relative(scope.path, around), _channels(clean.inputs_of(scope))
        alone = clean.chained(scope) or len(self.groups[self.group[scope]]) == 1
        use = self._use(scope)
        if alone and _plain_body(use):
            return Term("seq", "", label, (), tuple(use.body), x)
        self._solve(self.group[scope])
        if use.block is None:
            return Term("seq", "", label, (), tuple(use.body), x)
        values = tuple((param.name, _given(param, use.place)) for param in use.block.params)
        return Term("use", use.block.name, label, values, (), x, tuple(ordered(use.body)))

    def _use(self, scope: Scope) -> _Use:
        if scope not in self.uses:
            tensors = clean.inputs_of(scope)
            sources = {node: "" if place == 0 else f"other{place}" for place, node in enumerate(tensors)}
            body = self.body(scope, sources, {"": clean.outputs_of(scope, self.readers)[0]})
            self.uses[scope] = _Use(body, tensors)
        return self.uses[scope]

    def _solve(self, group: Group) -> None:
        """Make the blocks of a class, where they are not made yet."""
        scopes = self.groups[group]
        if group in self.done:
            return
        self.done.add(group)
        by_tensors: dict[int, list[Scope]] = {}
        for scope in scopes:
            by_tensors.setdefault(len(self._use(scope).tensors), []).append(scope)
        for count, alike in by_tensors.items():
            bodies = [self._use(scope).body for scope in alike]
            x = [_channels(self._use(scope).tensors) for scope in alike]
            names = tuple(f"other{place}" for place in range(1, count))
            for block, places in solved(_snake(group[0].__name__), bodies, x, names):
                if len(places) == 1 and _plain_body(self.uses[alike[places[0]]]):
                    continue  # it stands where it is used
                block.name = self._free(_fitting(block))
                self.blocks.append(block)
                for place, use in enumerate(places):
                    self.uses[alike[use]].block, self.uses[alike[use]].place = block, place

    def _free(self, stem: str) -> str:
        taken = {block.name for block in self.blocks} | set(OPS) | RESERVED | {self.name}
        name, count = stem, 1
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        return name


def _shared(steps: Sequence[Node | Scope], items: list[Item]) -> dict[str, Term]:
    """Let layers that are applied more than once be used by a name, and return what each name stands for."""
    weights = [*map(_weights, steps)]
    counted = Counter(weights)
    found: dict[str, Term] = {}
    for item, own in zip(items, weights):
        if own and counted[own] > 1:
            term = item.term
            label = _identifier(term.label) or f"layer_{term.label}"  # without a label there would be two
            nodes = () if f"shared_{label}" in found else tuple(ordered([term]))
            found.setdefault(f"shared_{label}", term.but(label=label))
            item.term = Term("use", f"shared_{label}", x=term.x, nodes=nodes)
    return found


def _bare(term: Term) -> Term:
    """Return a piece whose weights count where it is used first."""
    return term.but(nodes=(), parts=tuple(map(_bare, term.parts)))


def _plain_body(use: _Use) -> bool:
    """Say whether a module is items one after the other, and can stand where it is used."""
    return len(use.tensors) == 1 and not any(term.kind in ("bind", "out") for term in use.body)


def _fitting(block: Block) -> str:
    """Return the name of a block, which says no `conv` of one that has depthwise convolutions alone."""
    ops = {term.name for term in every(block.body) if term.kind == "op"}
    if "depthwise" in ops and "conv" not in ops:
        return re.sub(r"^conv(2d)?(?=_.*(norm|bn|act))", "depthwise", block.name)
    return block.name


def _given(param: Param, place: int) -> Any:
    """Return the value of a parameter in one use: its default, where the use does not have what it is for."""
    value = param.values[place]
    return param.default if value is MISSING else value


def _leaf(node: Node, around: Scope) -> Term:
    label = _relative(clean.label_path(node), around) if node.weights else ""
    fields = OPS[node.op].args if node.op in OPS else {}
    values = tuple((name, _plain(node.fields[name])) for name in fields if name in node.fields)
    return Term("op", node.op, label, values, (), _channels(node.inputs), (node,) if node.weights else ())


def _plain(value: Any) -> Any:
    """Return a pair of equal numbers as one."""
    if isinstance(value, tuple) and len(value) in (2, 4) and len(set(value)) == 1 and isinstance(value[0], int):
        return value[0]
    return value


def _channels(inputs: Sequence[Node]) -> int:
    return inputs[0].channels if inputs else 0


def _relative(path: str, around: Scope) -> str:
    return path.removeprefix(around.path + ".") if around.path else path


def _snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    found = words.lower().strip("_")
    return "unit" if found in ("", "block") else found


# -------------------------------------------------------------------------------------------------- labels
def _labelled(body: list[Term]) -> list[Term]:
    """Put steps with a common first part of their names into a module of that name; numbers are no labels."""
    counted = Counter(head for term in _labels(body) if (head := _head(term.label)))
    plain = {term.label for term in _labels(body) if "." not in term.label}
    return _regrouped(body, counted, plain)


def _labels(terms: Sequence[Term]) -> Iterator[Term]:
    for term in terms:
        if term.label:
            yield term
        elif term.kind in ("chain", "join", "bind"):
            yield from _labels(term.parts)


def _head(label: str) -> str:
    first, dot, _ = label.partition(".")
    return first if dot and first.isidentifier() and _identifier(first) == first else ""


def _regrouped(terms: Sequence[Term], counted: Counter[str], plain: set[str]) -> list[Term]:
    made: list[Term] = []
    place = 0
    while place < len(terms):
        head = _head(terms[place].label)
        end = _run(terms, place, head) if head and head not in plain else place
        inside = [term for term in terms[place:end] if term.label]
        if end > place and len(inside) == counted[head] and all(_head(term.label) == head for term in inside):
            run = [term.but(label=term.label.partition(".")[2]) for term in terms[place:end]]
            made.append(Term("seq", "", head, (), tuple(_labelled(run)), terms[place].x))
            place = end
            continue
        made.append(_relabelled(terms[place], counted, plain))
        place += 1
    return made


def _run(terms: Sequence[Term], place: int, head: str) -> int:
    """Return where the run of steps ends whose names start alike; steps without weights may stand between them."""
    end = last = place
    while end < len(terms) and terms[end].kind not in ("bind", "out"):
        if _head(terms[end].label) == head:
            last = end + 1
        elif terms[end].label or terms[end].kind == "join":
            break
        end += 1
    return last


def _relabelled(term: Term, counted: Counter[str], plain: set[str]) -> Term:
    if not term.label:
        if term.kind == "seq":
            return term
        return term.but(parts=tuple(_branch(part, counted, plain) for part in term.parts))
    return term.but(label=_identifier(term.label))


def _identifier(label: str) -> str:
    """Return a label that the language takes; numbers are none, since a place has one anyway."""
    if re.fullmatch(r"[\d.]+(\.weight|\.bias)?", label):
        return ""
    word = re.sub(r"\W", "_", label)
    if not word.isascii() or not word.isidentifier() or word.startswith("_"):
        word = f"layer_{word}"
    return f"{word}_" if keyword.iskeyword(word) or word in LABELS else word


def _branch(part: Term, counted: Counter[str], plain: set[str]) -> Term:
    """A branch is a list of its own, with the steps of one module at most."""
    return chain(_regrouped(links(part), counted, plain), part.x)
