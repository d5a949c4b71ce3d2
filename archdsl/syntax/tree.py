"""The syntax tree: what a text says, before anything is known about it. Equality leaves spans out."""

from __future__ import annotations

import re
from functools import cached_property

from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    from archdsl.core.source import Source, Span

    Argument = Union["Expr", "Keyword", "Spread"]  # noqa: UP007 — the classes come later

WORD = re.compile(r"\w+")


class Node(Record):
    """Base of the tree: every node knows its place."""

    span: Span
    unequal = ("span", "source")


# -------------------------------------------------------------------------------------------------- expressions
class Expr(Node):
    """Base of expressions."""


class Name(Expr):
    """A name, possibly interpolated: `relu` is `("relu",)`, `layer{i+1}` is `("layer", <expr>)`."""

    parts: tuple[str | Expr, ...]

    @cached_property
    def plain(self) -> str | None:
        """The name as text, None where it is interpolated."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], str) else None


class Literal(Expr):
    """An integer, a float, a string or a truth value."""

    value: int | float | str | bool


class Items(Expr):
    """`[a, b]`, or `(a, b)` with `tuple`: a list of values or a sequence of pipelines."""

    items: tuple[Expr, ...]
    tuple: bool = False


class Comprehension(Expr):
    """`[item for targets in source if test]`."""

    item: Expr
    targets: Targets
    values: Expr
    test: Expr | None


class Chain(Expr):
    """`a -> b -> c`."""

    links: tuple[Expr, ...]


class Labelled(Expr):
    """`name: value` inside an expression."""

    name: Name
    value: Expr


class OnlyIf(Expr):
    """`value if test`: left out where the test is false."""

    value: Expr
    test: Expr


class Either(Expr):
    """`value if test else other`."""

    value: Expr
    test: Expr
    other: Expr


class Logic(Expr):
    """`a and b and c`, or with `or`."""

    word: str
    items: tuple[Expr, ...]


class Not(Expr):
    """`not value`."""

    value: Expr


class Compare(Expr):
    """`left == right` and its kin, `in` among them."""

    sign: str
    left: Expr
    right: Expr


class Arithmetic(Expr):
    """`first + a - b`, or with `* / // %`: operators of one level, applied from left to right."""

    first: Expr
    rest: tuple[tuple[str, Expr], ...]

    @cached_property
    def reached(self) -> tuple[Span, ...]:
        """The places from the first operand to each further one."""
        return tuple([self.first.span.to(operand.span) for _, operand in self.rest])


class Power(Expr):
    """`base ** exponent`."""

    base: Expr
    exponent: Expr


class Minus(Expr):
    """`-value`."""

    value: Expr


class Keyword(Node):
    """`name=value` in a call."""

    name: str
    value: Expr

    @property
    def place(self) -> Span:
        """The place of the name."""
        return self.span.replace(end=self.span.start + len(self.name))


class Spread(Node):
    """`*list` in a call of a combinator: each item of the list is a branch."""

    value: Expr


class Call(Expr):
    """`target(arguments)`."""

    target: Expr
    arguments: tuple[Argument, ...]


class Attribute(Expr):
    """`value.name`, or with a name that is computed, `value.y{i}`: that has no plain one."""

    value: Expr
    name: str
    computed: Name | None = None

    @property
    def place(self) -> Span:
        """The place of the name."""
        start = self.span.end - len(self.name) if self.computed is None else self.computed.span.start
        return self.span.replace(start=start)


class Index(Expr):
    """`value[index]`."""

    value: Expr
    index: Expr


class Slice(Expr):
    """`value[first:last]`; either end may be left out."""

    value: Expr
    first: Expr | None
    last: Expr | None


# -------------------------------------------------------------------------------------------------- statements
class Targets(Node):
    """The names that a `for` binds; nested for nested values."""

    names: tuple[str | Targets, ...]


class Statement(Node):
    """Base of statements."""


class Step(Statement):
    """A pipeline, applied to the current tensor."""

    value: Expr


class Bind(Statement):
    """`name = value`."""

    name: Name
    value: Expr


class Scope(Statement):
    """`name:` and an indented body. `cat`, `add` and the other combinators as a name make a combinator of its lines."""

    name: Name
    body: tuple[Statement, ...]


class Input(Statement):
    """`input name: [N, 3, H=224, W=224]`; a dim is an expression or a symbol with its default size."""

    name: str
    dims: tuple[tuple[Expr, Expr | None], ...]


class Output(Statement):
    """`output name = value`, perhaps `when training`."""

    name: Name
    value: Expr
    training: bool


class Require(Statement):
    """`require test, message`."""

    test: Expr
    message: Expr


class If(Statement):
    """`if`, `elif` …, `else`: pairs of a test (None for `else`) and a body."""

    arms: tuple[tuple[Expr | None, tuple[Statement, ...]], ...]


class For(Statement):
    """`for targets in values:`."""

    targets: Targets
    values: Expr
    body: tuple[Statement, ...]


# -------------------------------------------------------------------------------------------------- a file
class Param(Node):
    """A parameter of a block, net or function, with its default."""

    name: str
    default: Expr | None


class Signature(Node):
    """`[N, C, H, W] -> [N, 4*C, H, W]`: the left side binds names, the right side is checked."""

    inputs: tuple[Expr, ...]
    outputs: tuple[Expr, ...]


class Setting(Node):
    """`conv(bias=false)` in `default` or `init`."""

    name: str
    arguments: tuple[Argument, ...]


class Import(Node):
    """`from module import names`."""

    module: str
    names: tuple[str, ...]

    def place(self, word: int) -> Span:
        """Return the place of one of the line's words: 1 is the module, the names start at 3."""
        words = [found.span() for found in WORD.finditer(self.span.text)]
        if word >= len(words):
            return self.span  # of a word that stands for one that is missing in a broken text
        start, end = words[word]
        return self.span.replace(start=self.span.start + start, end=self.span.start + end)


class Default(Node):
    """`default conv(bias=false), bn(eps=0.001)`."""

    settings: tuple[Setting, ...]


class Init(Node):
    """`init conv(kaiming("fan_out")), linear(normal(0.01), bias=zeros)`."""

    settings: tuple[Setting, ...]


class Fn(Node):
    """`fn name(params) = value`."""

    name: str
    params: tuple[Param, ...]
    value: Expr


class Block(Node):
    """`block name(params) signature:` and its body."""

    name: str
    params: tuple[Param, ...]
    signature: Signature | None
    doc: str
    body: tuple[Statement, ...]

    @cached_property
    def repeats(self) -> bool:
        """Whether its own steps stand in loops."""
        return _repeats(self.body)


def _repeats(body: tuple[Statement, ...]) -> bool:
    inside = [arm for statement in body if isinstance(statement, If) for _, arm in statement.arms]
    return any(isinstance(statement, For) for statement in body) or any(_repeats(arm) for arm in inside)


class Net(Node):
    """`net name(params):` and its body."""

    name: str
    params: tuple[Param, ...]
    doc: str
    body: tuple[Statement, ...]


class Alias(Node):
    """`net name = value`."""

    name: str
    value: Expr


DEFINITIONS = (Fn, Block, Net, Alias)  # the items that give a name to something


class Module(Node):
    """A whole file."""

    source: Source
    doc: str
    items: tuple[Import | Default | Init | Fn | Block | Net | Alias, ...]
