"""What expressions evaluate to: numbers, texts, lists, tensors, and pipelines, the functions from tensor to tensor."""

from __future__ import annotations

from functools import cached_property

from archdsl.core.record import Record, kinds
from archdsl.core.sizes import Area, Size
from archdsl.ops.base import REQUIRED, Op
from archdsl.ops.initializers import Initializer
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.elaborate.builder import Builder
    from archdsl.elaborate.environment import Env


class Tensor:
    """A tensor of the network: value `id` of the scope that `builder` is building. Compared by identity.

    It is a guess where the statement that should have made it has failed.
    """

    __slots__ = ("builder", "guess", "id", "node", "shape")

    def __init__(self, builder: Builder, id: int, shape: Shape, node: int = -1, guess: bool = False) -> None:
        self.builder, self.id, self.shape, self.node, self.guess = builder, id, shape, node, guess


class Results(Record):
    """Several tensors by name, as a block with outputs or `maxpool(indices=true)` returns; the first is the main."""

    tensors: tuple[tuple[str, Tensor], ...]

    @property
    def main(self) -> Tensor:
        """The tensor that a chain goes on with."""
        return self.tensors[0][1]


class Quotient(Record):
    """An exact quotient that is not whole (yet): `H / 2`, `7 / 2`."""

    top: int | Size | Area
    bottom: int


class Omitted:
    """The value of `item if test` where the test is false: left out of its sequence or chain."""


OMITTED = Omitted()


# -------------------------------------------------------------------------------------------------- callables
class Bound(Record):
    """Arguments given so far: values by parameter, the place of each, and what was written there."""

    values: tuple[tuple[str, Any], ...] = ()
    places: tuple[tuple[str, Span], ...] = ()
    written: tuple[tuple[str, tree.Expr], ...] = ()
    env: Env | None = None  # where the call stands
    positional: tuple[str, ...] = ()  # the arguments of the latest call that stand without their names

    unequal = ("places", "written", "env", "positional")

    def key(self) -> Any:
        return self.values, tuple([kinds(v) if type(v) is tuple else type(v) for _, v in self.values])


NOTHING = Bound()


class Pipeline(Record):
    """Base of the values that can be a step."""


UNIVERSAL = ("init", "bias_init")  # arguments of every operator with weights


class OpValue(Pipeline):
    """An operator. `defaults` and `inits` are those of the file that names it."""

    bound: Bound
    span: Span | None
    op: type[Op]
    defaults: tuple[tuple[str, Any], ...] = ()
    inits: tuple[tuple[str, Initializer], ...] = ()

    unequal = ("span",)
    declared = None

    @property
    def label(self) -> str:
        """The name of what is called."""
        return self.op.name

    @cached_property
    def params(self) -> dict[str, Any]:
        """Parameters with their defaults, `REQUIRED` where there is none."""
        own = {name: spec.default for name, spec in self.op.args.items()} | dict(self.defaults)
        return own | dict.fromkeys(UNIVERSAL) if self.op.initialized() else own


class BlockValue(Pipeline):
    """A block or a net, with the environment of the file that defines it."""

    bound: Bound
    span: Span | None
    block: tree.Block | tree.Net
    env: Env

    unequal = ("span",)

    def key(self) -> tuple[Any, ...]:
        return (self.bound, id(self.block))

    @property
    def label(self) -> str:
        """The name of what is called."""
        return self.block.name

    @cached_property
    def params(self) -> dict[str, Any]:
        """Parameters with their defaults, which are expressions, `REQUIRED` where there is none."""
        return {p.name: REQUIRED if p.default is None else p.default for p in self.block.params}

    @property
    def declared(self) -> Span:
        """Where the parameters are declared."""
        start = self.block.span.start
        last = self.block.params[-1].span.end if self.block.params else start + len(self.block.name) + 6
        return self.block.span.replace(end=last)


Callee = OpValue | BlockValue  # a pipeline that takes arguments, with those given so far


class ChainValue(Pipeline):
    """`a -> b`."""

    links: tuple[Any, ...]


class RepeatValue(Pipeline):
    """`a * n`."""

    item: Any
    count: int
    times: tree.Expr | None = None  # as the text writes `n`

    unequal = ("times",)


class CombineValue(Pipeline):
    """`cat(a, b)`, `add`, `mul`, `maximum`, `minimum`, `split`, with what is said of all branches: `axis="height"`."""

    kind: str
    branches: tuple[Any, ...]
    options: Bound = NOTHING


class LabelValue(Pipeline):
    """A labelled pipeline. Compared by identity: one value used twice is one module with shared weights."""

    name: str
    item: Any
    span: Span
    written: tree.Name

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class Deferred(Pipeline):
    """A pipeline whose text mentions `x`: it is evaluated where it is applied, when `x` is known."""

    expr: tree.Expr
    env: Env

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deferred) and self.expr is other.expr and self.env is other.env

    def __hash__(self) -> int:
        return hash((id(self.expr), id(self.env)))


class Located(Pipeline):
    """A pipeline with the place where it was written, for messages, and the pass of a comprehension that made it."""

    item: Any
    span: Span
    made: Made | None = None

    unequal = ("span", "made")


class Made(Record):
    """One pass of a comprehension: its number, and the names that are bound in it."""

    written: tree.Comprehension
    number: int
    values: tuple[tuple[str, Any], ...]

    def after(self, other: Made) -> bool:
        """Say whether this is the next pass after another one."""
        return self.written is other.written and self.number == other.number + 1


class Function(Record):
    """A function of the text, with the environment that it was defined in."""

    fn: tree.Fn
    env: Env

    def key(self) -> tuple[Any, ...]:
        return (id(self.fn),)


class Builtin(Record):
    """A function of the language, on plain values."""

    name: str
    call: Callable[..., Any]


class Combinator(Record):
    """`cat`, `add`, `mul`, `maximum`, `minimum` or `split`, before it is given its branches."""

    kind: str


class InitializerName(Record):
    """An initializer before it is given its arguments: `normal`."""

    name: str


# -------------------------------------------------------------------------------------------------- in words
def describe(value: Any) -> str:
    """Say what a value is, for a message: `the number 3`, `a list of 4`, `the block bottleneck(groups=32)`."""
    if isinstance(value, (bool, Quotient)):
        return show(value)
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, (Size, Area)):
        return f"the size {value}"
    if isinstance(value, str):
        return f'the text "{value}"'
    if isinstance(value, tuple):
        return f"a list of {len(value)}"
    if isinstance(value, Tensor):
        return f"a tensor [{', '.join(map(str, value.shape))}]"
    if isinstance(value, Callee):
        kind = "operator" if isinstance(value, OpValue) else type(value.block).__name__.lower()
        return f"the {kind} `{show(value)}`"
    if isinstance(value, Pipeline):
        return "a pipeline"
    return {
        Function: "a function",
        Builtin: "a function",
        Combinator: "a combinator without branches",
        Initializer: "an initializer",
        InitializerName: "an initializer",
        Results: "several tensors",
        Omitted: "nothing: its condition is false",
    }.get(type(value), "a value")


def show(value: Any) -> str:
    """Print a value as the language writes it, shortened where it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Quotient):
        return f"{value.top}/{value.bottom}"
    if isinstance(value, tuple):
        shown = ", ".join(show(v) for v in value[:8])
        return f"[{shown}{', ...' if len(value) > 8 else ''}]"
    if isinstance(value, Callee):
        args = ", ".join(f"{k}={show(v)}" for k, v in value.bound.values)
        return f"{value.label}({args})" if args else value.label
    if isinstance(value, Tensor):
        return f"[{', '.join(map(str, value.shape))}]"
    if isinstance(value, ChainValue):
        return " -> ".join(show(v) for v in value.links)
    if isinstance(value, RepeatValue):
        return f"{show(value.item)} * {value.count}"
    if isinstance(value, CombineValue):
        options = [f"{name}={show(option)}" for name, option in value.options.values]
        return f"{value.kind}({', '.join([*map(show, value.branches), *options])})"
    if isinstance(value, LabelValue):
        return f"{value.name}: {show(value.item)}"
    if isinstance(value, Located):
        return show(value.item)
    if isinstance(value, Deferred):
        return " ".join(value.expr.span.text.split())
    if isinstance(value, Function):
        return value.fn.name
    if isinstance(value, (Initializer, InitializerName, Builtin)):
        return value.name
    return str(value)


def is_pipeline(value: Any) -> bool:
    """Say whether a value can be a step, a list of pipelines among them."""
    if isinstance(value, tuple):
        return any(is_pipeline(v) for v in value)
    return isinstance(value, (Pipeline, Tensor, Omitted, Results))
