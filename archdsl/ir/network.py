"""The checked network: nested scopes of nodes, every value with its exact symbolic shape.

A scope is one module: a net, an instance of a block, a sequence, a labelled body. Its nodes apply operators or inner
scopes to values. Instances of a block with the same arguments on the same input shape are one `Scope` object, so work
on the IR grows with distinct instances, not with layers (`archdsl.ir.walk`).
"""

from __future__ import annotations

from archdsl.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.core.sizes import Shape, Symbol
    from archdsl.core.source import Source, Span
    from archdsl.ops.base import Op, Relation
    from archdsl.ops.initializers import Initializer
    from archdsl.ops.wrap import Wrapper
    from archdsl.syntax import tree


class Node(Record):
    """One step: an operator or an inner scope, applied to values of the scope around it.

    `name` is the attribute of the module that holds it: its label, or its number in the scope. A node with `reuses`
    is a further use of the module of that name, which an earlier node owns: shared weights.
    """

    name: str
    what: Op | Scope
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    span: Span
    labelled: bool = False
    reuses: bool = False
    init: tuple[tuple[str, Initializer], ...] = ()
    written: tuple[tuple[str, tree.Expr], ...] = ()  # arguments as the text of this scope wrote them
    arms: tuple[tuple[int, int], ...] = ()  # of `if` statements around it in this scope: where each starts, which arm
    label: tree.Name | None = None  # as the text writes it, where it is computed in a loop
    use: Span | None = None  # where a name stands for the value with this label

    unequal = ("arms", "label", "use")


class Turn(Record):
    """One pass of a loop of the text: the steps from `first` to before `last`, what the loop and its body bind."""

    first: int
    last: int
    values: tuple[tuple[str, object], ...] = ()
    bindings: tuple[tuple[str, tree.Expr, object], ...] = ()
    loops: tuple[Loop, ...] = ()  # those inside of it


class Loop(Record):
    """Steps that the text writes once for several passes: a `for`, a comprehension, or a pipeline times a number."""

    written: tree.For | tree.Expr
    first: int  # the number of the step that it starts with
    turns: tuple[Turn, ...]


class Output(Record):
    """A result of a scope; `training` ones exist only in training mode.

    It is `implicit` where no text names it: what leaves the last step, which is called `out`.
    """

    name: str
    value: int
    training: bool = False
    implicit: bool = False


class Requirement(Record):
    """What the text itself demands of input sizes: that one of these relations holds."""

    relations: tuple[Relation, ...]
    span: Span


class Scope(Record):
    """One module: `shapes[v]` is the shape of value v, `inputs` are the values it is given, `outputs` what it returns.

    The first output that is not `training` is the main one. `kind` is `net`, `block`, `scope` or `wrapper`.
    """

    kind: str
    title: str
    args: tuple[tuple[str, object], ...]
    inputs: tuple[int, ...]
    nodes: tuple[Node, ...]
    shapes: tuple[Shape, ...]
    outputs: tuple[Output, ...]
    span: Span
    doc: str = ""
    bindings: tuple[tuple[str, tree.Expr, object], ...] = ()  # names bound to plain values in the body
    relations: tuple[tuple[Relation, Node], ...] = ()  # equalities that hold for some input sizes only
    requirements: tuple[Requirement, ...] = ()
    names: tuple[tuple[int, str], ...] = ()  # of values, where the text names them
    input_names: tuple[str, ...] = ("x",)
    wrapper: Wrapper | None = None  # of a `wrapper`: the operator that runs the only step
    definition: tree.Block | tree.Net | None = None  # of a block or net
    loops: tuple[Loop, ...] = ()
    written: tree.Node | None = None  # of any other: the piece of a definition that it is
    around: tuple[tuple[str, object], ...] = ()  # the plain values of the names there that this mentions

    unequal = ("definition", "names", "loops", "written", "around")

    @property
    def given(self) -> tuple[tuple[str, object], ...]:
        """What its text takes from outside, by name: its parameters, or plain values of the definition around it."""
        return self.args or self.around

    @property
    def text(self) -> tuple[tree.Node, ...]:
        """The statements that it is written as, or the expression."""
        return self.definition.body if self.definition else (self.written,) if self.written else ()

    @property
    def optional(self) -> tuple[str, ...]:
        """The parameters that have a default."""
        return tuple(p.name for p in self.definition.params if p.default is not None) if self.definition else ()

    @property
    def evaluations(self) -> int:
        """How often its steps run in one run of it: those of a solver's function several times."""
        return self.wrapper.evaluations if self.wrapper is not None else 1

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the results, in order."""
        return tuple([self.shapes[o.value] for o in self.outputs])


class Network(Record):
    """A whole checked net: its outermost scope, the symbols of its input sizes, and where it came from."""

    name: str
    scope: Scope
    symbols: tuple[Symbol, ...]
    source: Source
    doc: str = ""
    chosen: bool = False  # its results were asked for by name
    headless: bool = False  # it was asked for without classes, and has no layers for them
    copied: tuple[tuple[str, Span, int], ...] = ()  # names of pipelines with weights that were given a tensor, and uses
    functions: tuple[tree.Fn, ...] = ()  # of its file and of those that this imports from, the blocks' own

    unequal = ("functions",)
