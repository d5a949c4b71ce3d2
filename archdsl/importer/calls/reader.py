"""What the values of a trace are, as calls are read: nodes, nodes in another form, weights, random masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from archdsl.importer.graph import Node, Scope, Unsaid
from archdsl.importer.trace import Call, Frame, Value, Weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Table = dict[str, Callable[..., Any]]


LAYOUT = {2: {1: "channels"}, 3: {1: "tokens", 2: "channels"}, 4: {1: "channels", 2: "height", 3: "width"}}


@dataclass(frozen=True, eq=False)
class Shown:
    """A node in another form than the language's.

    `last`: a map [N, H, W, C]; `groups`: its channels as [N, g, C / g, H, W]; `swapped`: these as [N, C / g, g, H, W];
    `line`: a map as [N, C, H * W]; `thin`: [N, C, 1] of a map [N, C, 1, 1]; `row`: [N, C, W] of a map [N, C, 1, W];
    `split`: features or a map of one pixel as [N, g, C / g], perhaps with an axis of 1 after them;
    `plane`: a map of one channel as [N, H, W];
    `spread`: one whose axes of size 1 are repeated; `turned`: tokens [L, N, C].
    """

    node: Node
    form: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Factor:
    """A part of an axis: rows of windows, and the rows of a window, are two factors of a height."""

    size: int


Axis = tuple[Factor, ...]  # its outermost factor first


def size(axis: Axis) -> int:
    """Return how long an axis is."""
    return prod([factor.size for factor in axis])


def solid(axis: Axis) -> Axis:
    """Return the factors that are more than one."""
    return tuple([factor for factor in axis if factor.size > 1])


def joined(axes: Iterable[Axis]) -> Axis:
    """Return the factors of several axes, in order."""
    return tuple([factor for axis in axes for factor in axis])


@dataclass(frozen=True, eq=False)
class Seen:
    """A node with axes split, exchanged and joined: the factors of its own axes, and of those that are seen.

    So `q.view(N, L, heads, -1).transpose(1, 2)` is tokens of axes (N), (L), (heads, part), seen as (N), (heads), (L),
    (part).
    """

    node: Node
    own: tuple[Axis, ...]
    axes: tuple[Axis, ...]
    moved: tuple[int, int] | None = None  # of a map seen with its channels last: by how much it is rolled, up and left

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(size, self.axes))

    @property
    def in_order(self) -> bool:
        """Whether the elements are seen in the order in which the node has them."""
        return solid(joined(self.own)) == solid(joined(self.axes)) and self.axes[0] == self.own[0]


@dataclass(frozen=True)
class Chance:
    """A random mask for each image, 0 or 1 with a probability, and what it has been divided by."""

    keep: float
    scaled: bool = False


@dataclass(frozen=True)
class Fixed:
    """Numbers that the code makes, whatever goes in."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Learned:
    """A weight that stands beside a tensor, in the shape in which it does; perhaps with its two axes exchanged."""

    weight: Weight
    shape: tuple[int, ...]
    turned: bool = False


@dataclass(frozen=True)
class Refused:
    """A tensor that the language cannot say, and why."""

    why: Unsaid


class Reader:
    """What each value of a trace is, and the module that is being read."""

    def __init__(self, table: Table, known: dict[Value, Any] | None = None) -> None:
        self.table = table
        self.known: dict[Value, Any] = {} if known is None else known
        self._open: list[Scope] = []
        self._current: Call | None = None
        self._made_plain: dict[Seen, Node] = {}

    def scope(self, frame: Frame) -> Scope:
        """Read a module."""
        given = [self.known.get(value) for value in frame.given]
        scope = Scope(frame.path, frame.kind, tuple(node for node in map(node_of, given) if node is not None))
        self._open.append(scope)
        for item in frame.items:
            if isinstance(item, Frame):
                scope.items.append(self.scope(item))
            else:
                self._call(item)
        self._open.pop()
        return scope

    def _call(self, call: Call) -> None:
        self._current = call
        try:
            made = self._made(call)
        except Unsaid as problem:
            problem.call = problem.call or call
            made = Refused(problem)
        except TypeError as problem:
            made = Refused(Unsaid(f"`{call.function}` with arguments that are not expected here: {problem}", self.path))
            made.why.call = call
        several = made if isinstance(made, list) else [made] * len(call.results)
        for value, one in zip(call.results, several):
            if hasattr(one, "shape") and tuple(one.shape) != value.shape:
                why = f"`{call.function}` makes {list(value.shape)}, and {list(one.shape)} is expected here"
                one = Refused(Unsaid(why, self.path))
                one.why.call = call
            self.known[value] = one

    def _made(self, call: Call) -> Any:
        given = [self._given(argument) for argument in call.arguments]
        words = {name: self._given(value) for name, value in call.keywords.items()}
        for each in _within([*given, *words.values()]):
            if isinstance(each, Refused):
                raise each.why
        tensors = [one for one in _within([*given, *words.values()]) if hasattr(one, "shape")]
        if tensors and all(isinstance(one, Fixed) for one in tensors):
            return [Fixed(value.shape) for value in call.results]
        function = self.table.get(call.function.strip("_"))  # `add_`, `__add__` and `add` are one to what is computed
        if function is None:
            raise Unsaid(f"the language has no step for `{call.function}`", self.path)
        return function(self, *given, **words)

    def _given(self, argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(map(self._given, argument))
        if isinstance(argument, Value):
            return self.known.get(argument, Refused(Unsaid("a tensor that the module's code makes", self.path)))
        return Learned(argument, argument.shape) if isinstance(argument, Weight) else argument

    @property
    def path(self) -> str:
        """The name of the module that is being read."""
        return self._open[-1].path

    def step(self, op: str, fields: dict[str, Any], inputs: tuple[Any, ...], shape: Any, **weights: Any) -> Node:
        """Add a step; weights that are None are not there."""
        names = {}
        for own, weight in weights.items():
            if weight is None:
                continue
            if not isinstance(weight, Learned) or weight.turned:
                raise Unsaid(f"the {own} of `{op}` is computed, and not learned", self.path)
            names[own] = weight.weight.name
        node = Node(op, fields, tuple(self.plain(one) for one in inputs), tuple(shape), names, call=self._current)
        self._open[-1].items.append(node)
        return node

    def plain(self, found: Any) -> Node:
        """Return a tensor that has the language's own form."""
        if isinstance(found, Node):
            return found
        if isinstance(found, Seen) and found.in_order and len(found.axes) in (2, 4):
            if found not in self._made_plain:
                n, *sizes = found.shape
                flat = len(sizes) == 1
                fields = {} if flat else dict(zip(("channels", "height", "width"), sizes))
                made = self.step("flatten" if flat else "reshape", fields, (found.node,), (n, *sizes))
                self._made_plain[found] = made
            return self._made_plain[found]
        if isinstance(found, (Shown, Seen)):
            raise Unsaid(f"a tensor {list(found.shape)} where the language has {list(found.node.shape)}", self.path)
        if isinstance(found, Learned):
            return self.step("learned", {"size": found.shape[1:]}, (), found.shape, weight=found)
        raise Unsaid("a number or a mask where a tensor is expected", self.path)


def _within(given: Iterable[Any]) -> Iterator[Any]:
    """Go over arguments, and what is in tuples among them."""
    for one in given:
        yield from one if isinstance(one, tuple) else (one,)


def node_of(found: Any) -> Node | None:
    return found if isinstance(found, Node) else found.node if isinstance(found, (Shown, Seen)) else None


def shape_of(found: Any) -> tuple[int, ...]:
    if isinstance(found, Chance):
        raise Unsaid("a random mask in arithmetic", "")
    return tuple(found.shape)


def both(value: Any) -> tuple[int, int]:
    """Return a number for each of two axes."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    return pair * 2 if len(pair) == 1 else pair


def unary(op: str, **fields: Any) -> Callable[..., Any]:
    """Return the function of a step that keeps shape and form."""

    def function(r: Reader, input: Any, inplace: bool = False) -> Any:
        return kept(r, op, dict(fields), input)

    return function


def kept(r: Reader, op: str, fields: dict[str, Any], input: Any) -> Any:
    """Apply a step that works element by element, in whatever form its tensor is shown."""
    if isinstance(input, (Shown, Seen)):
        return replace(input, node=r.step(op, fields, (input.node,), input.node.shape))
    return r.step(op, fields, (input,), r.plain(input).shape)


def same(r: Reader, input: Any, *args: Any, **words: Any) -> Any:
    return input
