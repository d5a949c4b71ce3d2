"""The steps of one module as statements: chains, branches, and names where neither says it.

The steps are a graph from one tensor to another. A tensor that every path goes through, a dominator, is a place where a
chain goes on; between two of them, the operands of a join are its branches. What is read in two places and is no such
tensor gets a name. So a residual block is `add(identity, body)`, and a U-Net names what its skips carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archdsl.importer.clean import JOINS
from archdsl.importer.graph import Node, Unsaid
from archdsl.importer.terms import UNKNOWN, Term, chain, is_identity, links

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = 10  # steps of a branch beyond which the tensor that it starts from is given a name
DEEP = 3  # joins inside one another beyond which it is, too


@dataclass(eq=False)
class Item:
    """A step or a block that is applied: what it reads, what it makes, and its own words, with a label and no parts."""

    term: Term
    inputs: tuple[Node, ...]
    output: Node

    @property
    def joins(self) -> bool:
        """Whether what it reads are branches."""
        return self.term.kind == "op" and self.term.name in JOINS and len(self.inputs) > 1


class Again(Exception):
    """A tensor that needs a name: the statements are written again with one."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node


def statements(items: list[Item], sources: dict[Node, str], outputs: dict[str, Node]) -> list[Term]:
    """Return the statements of a module.

    `sources` are the tensors that come in: the first is the current one, named "" where it has no name; `outputs`
    are the results, by name where there are several.
    """
    named: set[Node] = {one for item in items if not item.joins for one in item.inputs[1:]}
    named |= set(outputs.values()) if len(outputs) > 1 else set()
    for _ in range(4 * len(items) + 4):
        try:
            return _Writer(items, sources, outputs, named).written()
        except Again as again:
            if again.node in named:
                raise Unsaid("tensors that cross in a way that is not understood", "") from None
            named.add(again.node)
    raise Unsaid("tensors that cross in a way that is not understood", "")


class _Writer:
    """Writes statements, with some tensors named."""

    def __init__(self, items: list[Item], sources: dict[Node, str], outputs: dict[str, Node], named: set[Node]) -> None:
        self.items, self.outputs, self.named = items, outputs, named
        self.sources = sources
        self.start = next(iter(sources))
        self.names = {node: name for node, name in sources.items() if name}
        self.maker = {item.output: item for item in items}
        self.readers: dict[Node, int] = {}
        for item in items:
            for one in item.inputs:
                self.readers[one] = self.readers.get(one, 0) + 1
        self.above = self._dominators()
        self.seen: set[Node] = set()

    # ------------------------------------------------------------------------------------------ dominators
    def _fixed(self, node: Node) -> bool:
        """Say whether a tensor has a name, so that it can be read anywhere."""
        return node in self.named or (node in self.names and node is not self.start)

    def _dominators(self) -> dict[Node, Node | None]:
        """Return of each tensor the last one that all its paths go through; None of those that start at names."""
        above: dict[Node, Node | None] = {self.start: None}
        self.depth = {self.start: 0}
        for item in self.items:
            reached = [one for one in item.inputs if not self._free(one, above)]
            if not reached:
                above[item.output] = None
                continue
            found = reached[0]
            for one in reached[1:]:
                found = self._common(found, one, above)
            above[item.output] = found
            self.depth[item.output] = self.depth[found] + 1
        return above

    def _free(self, node: Node, above: dict[Node, Node | None]) -> bool:
        """Say whether a tensor can be written without the current one: it has a name, or is made of such."""
        if node is self.start:
            return node in self.named
        return self._fixed(node) or above.get(node) is None

    def _common(self, one: Node, two: Node, above: dict[Node, Node | None]) -> Node:
        while one is not two:
            if self.depth[one] < self.depth[two]:
                one, two = two, one
            up = above[one]
            if up is None:
                raise Again(one)
            one = up
        return one

    # ------------------------------------------------------------------------------------------ statements
    def written(self) -> list[Term]:
        """Return the statements."""
        finals = list(self.outputs.values())
        places = {item.output: place for place, item in enumerate(self.items)}
        wanted = (self.named | set(finals)) - set(self.sources)
        targets = sorted(wanted, key=lambda node: places[node])
        spine = self._spine(finals[0], targets)
        made: list[Term] = []
        current = self.start
        if self.start in self.named and self.start not in self.names:
            made.append(self._bound(self.start, None))
        for place, target in enumerate(targets):
            rest = targets[place + 1 :]
            steps = self._chain(target, None if self._starts_free(target) else current)
            here = Term("ref", self.names.get(current, ""))
            if steps[0] == here:
                steps = steps[1:]
                advance = self._leads(target, spine)
            elif here in steps[0].parts and steps[0].kind == "join" and self._leads(target, spine):
                parts = tuple(chain(()) if part == here else part for part in steps[0].parts)
                steps[0], advance = steps[0].but(parts=parts), True
            else:
                advance = not self._starts_free(target) and self._through(target, current, rest)
            if advance or not rest:
                made += steps
                current = target
                if target in self.named and rest:
                    made.append(self._bound(target, None))
            else:
                made.append(self._bound(target, self._from_current(steps, current)))
        if len(self.outputs) > 1:
            for name, node in self.outputs.items():
                made.append(Term("out", name, parts=(Term("ref", "x" if node is current else self.names[node]),)))
        return made

    def _spine(self, main: Node, targets: list[Node]) -> list[Node]:
        """Return the targets that the main result is made of, in order."""
        found, work = {main}, [main]
        while work:
            item = self.maker.get(work.pop())
            for one in item.inputs if item else ():
                if one not in found:
                    found.add(one)
                    work.append(one)
        return [target for target in targets if target in found]

    def _leads(self, target: Node, spine: list[Node]) -> bool:
        """Say whether the next target of the main path starts at this one, which then is the current tensor."""
        if target not in spine:
            return False
        after = spine[spine.index(target) + 1 :]
        return not after or target in self._roots(after[0])

    def _roots(self, target: Node) -> set[Node]:
        """Return the tensors with names that a target is made of."""
        found: set[Node] = set()
        work = list(self.maker[target].inputs)
        while work:
            node = work.pop()
            if self._fixed(node) or node not in self.maker:
                found.add(node)
            else:
                work += self.maker[node].inputs
        return found

    def _starts_free(self, target: Node) -> bool:
        return self.above.get(target) is None

    def _from_current(self, steps: list[Term], current: Node) -> Term:
        """Return a chain as a tensor: one that starts at no name starts at the current tensor."""
        starts = steps and (steps[0].kind == "ref" or (steps[0].kind == "join" and all(map(_fixed, steps[0].parts))))
        return chain(steps if starts else [Term("ref", self.names.get(current, "x")), *steps])

    def _through(self, target: Node, current: Node, rest: list[Node]) -> bool:
        """Say whether nothing but what comes after `target` reads the current tensor."""
        for node in rest:
            at: Node | None = node
            while at is not None and at is not target:
                if at is current:
                    return False
                at = self.above.get(at)
        return True

    def _bound(self, node: Node, value: Term | None) -> Term:
        if node not in self.names:
            self.names[node] = self._name(node)
        return Term("bind", self.names[node], parts=() if value is None else (value,))

    def _name(self, node: Node) -> str:
        label = self.maker[node].term.label if node in self.maker else "given"
        last = label.rpartition(".")[2]
        if not last.isidentifier():
            last = self.maker[node].term.name or "step"
        stem = "given" if node not in self.maker else f"after_{last}"
        taken, count, name = set(self.names.values()), 1, stem
        while name in taken:
            count += 1
            name = f"{stem}{count}"
        return name

    # ------------------------------------------------------------------------------------------ chains
    def _chain(self, node: Node, base: Node | None) -> list[Term]:
        """Return the steps from a tensor to another; from a name, where there is no tensor to start from."""
        made: list[Term] = []
        first = True
        while node is not base:
            if (not first and self._fixed(node)) or (node is self.start and node in self.named):
                made.append(self._reference(node))
                break
            first = False
            item = self.maker.get(node)
            if item is None:
                raise Again(node)
            if node in self.seen:
                raise Again(self._shared(node))
            self.seen.add(node)
            if not item.inputs:
                made.append(item.term)
                break
            if item.joins:
                up = self.above[node]
                made.append(self._join(item, up))
                if up is None:
                    break
                node = up
            else:
                further = tuple(self._reference(one) for one in item.inputs[1:])
                made.append(item.term.but(parts=further) if further else item.term)
                node = item.inputs[0]
        made.reverse()
        if made and made[0].kind == "ref":
            made[1:] = map(_elsewhere, made[1:])
        return made

    def _reference(self, node: Node) -> Term:
        if node not in self.names:
            raise Again(node)
        return Term("ref", self.names[node])

    def _join(self, item: Item, base: Node | None) -> Term:
        branches = []
        for one in item.inputs:
            free = self._fixed(one) or self._free(one, self.above)
            if one is self.start and one in self.named:
                branches.append(self._reference(one))
            elif free:
                branches.append(self._reference(one) if self._fixed(one) else chain(self._chain(one, None)))
            else:
                assert base is not None, "a tensor that is not free comes from one"
                branches.append(chain(self._chain(one, base), base.channels))
        if (base is not None and base is not self.start) or (base is self.start and base not in self.named):
            self._check_length(branches, base)
        if item.term.name in ("add", "mul") and len(branches) == 2:
            branches.sort(
                key=lambda branch: (not is_identity(branch), _steps(branch))
            )  # the same numbers, and what skips is seen first
        x = item.term.x if base is None else base.channels
        split = _split(item.term, branches, x)
        if split is not None:
            return split
        return item.term.but(kind="join", parts=tuple(branches), x=x)

    def _check_length(self, branches: Sequence[Term], base: Node | None) -> None:
        """Ask for a name where a branch is so long that a reader loses what the others are."""
        if base is None or base in self.named or len(branches) < 2:
            return
        if any(_steps(branch) > LONG or _depth(branch) >= DEEP for branch in branches):
            raise Again(base)

    def _shared(self, node: Node) -> Node:
        """Return the tensor because of which a step is come to twice: the first one from it on that is read twice."""
        while self.readers.get(node, 0) == 1:
            node = next(item.output for item in self.items if node in item.inputs)
        return node


def _split(join: Term, branches: list[Term], x: int) -> Term | None:
    """Return a `cat` whose branches start with the parts of one tensor as the `split` that it is."""
    starts = [branch_links[0] if (branch_links := links(branch)) else None for branch in branches]
    if (
        join.name != "cat"
        or dict(join.values)["axis"] != "channels"
        or not all(start is not None and start.kind == "op" and start.name == "slice" for start in starts)
    ):
        return None
    ranges = [(values["start"], values["stop"]) for values in (dict(start.values) for start in starts if start)]
    if [start for start, _ in ranges] != [0, *(stop for _, stop in ranges[:-1])] or ranges[-1][1] != x:
        return None
    sizes = tuple(stop - start for start, stop in ranges)
    values = (("sizes", sizes),) if len(set(sizes)) > 1 else ()
    parts = tuple(chain(links(branch)[1:], size) for branch, size in zip(branches, sizes))
    return Term("join", "split", "", values, parts, x)


def _elsewhere(term: Term) -> Term:
    """Return a step of a chain that starts at a name: there, `x` is not what reaches the step."""
    parts = term.parts if term.kind == "seq" else tuple(map(_elsewhere, term.parts))
    return term.but(x=UNKNOWN, parts=parts)


def _fixed(part: Term) -> bool:
    return part.kind == "ref" or (part.kind == "chain" and bool(part.parts) and part.parts[0].kind == "ref")


def _steps(term: Term) -> int:
    return 1 if term.kind in ("seq", "use") else 1 + sum(map(_steps, term.parts))


def _depth(term: Term) -> int:
    inner: int = max(map(_depth, term.parts), default=0)
    return inner + (term.kind == "join")
