"""Pipelines applied to tensors: from their syntax, where a step may ask for the sizes of `x`, and as values."""

from __future__ import annotations

from archdsl.diagnostics import errors
from archdsl.elaborate.builder import Builder, Tag, main
from archdsl.elaborate.expressions import MAX_STEPS, NO_PART
from archdsl.elaborate.operators import Steps
from archdsl.elaborate.values import (
    OMITTED,
    BlockValue,
    Callee,
    ChainValue,
    Combinator,
    CombineValue,
    Deferred,
    LabelValue,
    Located,
    OpValue,
    RepeatValue,
    Results,
    Tensor,
    describe,
    is_pipeline,
)
from archdsl.ir.network import Scope
from archdsl.ops import OPS
from archdsl.ops.base import REQUIRED
from archdsl.ops.base import show as show_shape
from archdsl.ops.wrap import WRAPPERS, Wrapper
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from archdsl.core.sizes import Shape
    from archdsl.core.source import Span
    from archdsl.elaborate.environment import Env
    from archdsl.ops.base import Op


class Watched:
    """A name for a pipeline with a tensor in it, and how often that was applied with weights of its own."""

    def __init__(self, name: str, span: Span, value: Any) -> None:
        self.name, self.span, self.value, self.uses = name, span, value, 0


class Applier(Steps):
    """Applies pipelines."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: dict[int, Watched] = {}  # by the identity of the value
        self.learning: dict[int, tuple[Scope, bool]] = {}  # whether a scope has weights, by its identity
        # By identity, as the body of a repetition is one value; the value is kept so that its identity stays its own.
        self.sequences: dict[tuple[int, Shape], tuple[tuple[Any, ...], Scope]] = {}

    # ------------------------------------------------------------ pipelines, from their syntax
    def apply(
        self, expr: tree.Expr, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None = None
    ) -> Tensor | Results:
        """Apply what an expression says to `current`; `x` is what the name `x` means in it."""
        special = _APPLY.get(type(expr))
        if special is not None:
            applied: Tensor | Results = special(self, expr, env, current, x, tag)
            return applied
        return self.apply_value(self.eval(expr, env, x), current, expr.span, tag)

    def apply_chain(self, expr: tree.Chain, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        if tag is not None:
            return self.enclosed(lambda inner: self.apply_chain(expr, env, inner, inner, None), current, tag, expr.span)
        start = self.constant(expr.links[0], env, x)
        if start is not None:
            return self.follow(start, expr.links[1:], env, x)
        return self.flow(current, expr.links, env)

    def flow(self, start: Tensor | None, links: Sequence[tree.Expr], env: Env) -> Any:
        """Apply the links of a chain, in each of which `x` is what reaches it."""
        flowing: Any = start
        for link in links:
            flowing = self.apply(link, env, main(flowing), main(flowing))
        return flowing

    def joined(self, value: CombineValue, span: Span) -> Tensor:
        """Combine tensors."""
        parts = [(main(branch.item), branch.span) for branch in value.branches]
        return self._join(value.kind, parts, span)

    def follow(self, start: Tensor, links: tuple[tree.Expr, ...], env: Env, x: Tensor | None) -> Tensor | Results:
        """Apply the rest of a chain that starts at a named tensor, in which `x` keeps its meaning."""
        value: Tensor | Results = start
        for link in links:
            value = self.apply(link, env, main(value), x)
        return value

    def apply_labelled(
        self, expr: tree.Labelled, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
    ) -> Any:
        own = Tag(self.text_of(expr.name, env, x), expr.name.span)
        if tag is not None:
            return self.enclosed(lambda inner: self.apply(expr.value, env, inner, inner, own), current, tag, expr.span)
        return self.apply(expr.value, env, current, x, own)

    def apply_only_if(
        self, expr: tree.OnlyIf, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
    ) -> Any:
        if self.truth(expr.test, env, x):
            return self.apply(expr.value, env, current, x, tag)
        if current is None:
            raise errors.no_tensor(expr.span, "nothing is left of this step")
        return current

    def apply_either(
        self, expr: tree.Either, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None
    ) -> Any:
        return self.apply(expr.value if self.truth(expr.test, env, x) else expr.other, env, current, x, tag)

    def apply_items(self, expr: tree.Items, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        if expr.tuple:
            raise errors.not_a_pipeline(expr.span, "a list of values in parentheses; a sequence is written `[a, b]`")

        def body(inner: Tensor) -> Tensor:
            for item in expr.items:
                if isinstance(item, (tree.Name, tree.Attribute, tree.Index)):
                    value = self.eval(item, env, inner)
                    _no_tensor_in((value,), item.span)
                    inner = main(self.apply_value(value, inner, item.span))
                else:
                    inner = main(self.apply(item, env, inner, inner))
            return inner

        return self.enclosed(body, current, tag, expr.span)

    def apply_call(self, expr: tree.Call, env: Env, current: Tensor | None, x: Tensor | None, tag: Tag | None) -> Any:
        target = self.eval(expr.target, env, x)
        target = target.item if isinstance(target, Located) else target
        if isinstance(target, Callee):
            return self.apply_value(self.partial(target, expr, env, x), current, expr.span, tag)
        several = len(expr.arguments) > 1 or any(isinstance(a, tree.Spread) for a in expr.arguments)
        if isinstance(target, Combinator) and several and current is not None:
            if tag is not None:
                return self.enclosed(
                    lambda inner: self.apply_call(expr, env, inner, inner, None), current, tag, expr.span
                )

            def branch(item: Any, part: Tensor) -> Tensor | None:
                if isinstance(item, tree.Keyword):
                    raise errors.unknown_argument(item.place, target.kind, item.name, "branch, ...", ())
                if isinstance(item, Located):
                    return self._branch_value(item, part, expr.span)
                if self.left_out(item, env, part):
                    return None
                return main(self.apply(item, env, part, part))

            known = current if target.kind != "split" else None  # of `x` in a list that `*` takes the items of
            branches: list[Any] = []
            for argument in expr.arguments:
                if isinstance(argument, tree.Spread):
                    branches += self.spread(argument, env, known)
                else:
                    branches.append(argument)
            return self.combine(target.kind, branches, branch, current, expr.span)
        return self.apply_value(self.eval(expr, env, x), current, expr.span, tag)

    # ------------------------------------------------------------ pipelines, as values
    def apply_value(self, value: Any, current: Tensor | None, span: Span, tag: Tag | None = None) -> Tensor | Results:
        """Apply a pipeline value to a tensor, under a label where it has one."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            self.spend(0, span)
        if isinstance(value, Located):
            return self.apply_value(value.item, current, value.span, tag)
        watched = self.watched.get(id(value))
        if watched is None:
            return self._applied(value, current, span, tag)
        nodes = self.builder.nodes
        before = len(nodes)
        result = self._applied(value, current, span, tag)
        watched.uses += any(self._learns(node.what) for node in nodes[before:])
        return result

    def _learns(self, what: Op | Scope) -> bool:
        """Say whether a step has weights."""
        if not isinstance(what, Scope):
            return what.stateful
        if id(what) not in self.learning:
            self.learning[id(what)] = what, any(self._learns(node.what) for node in what.nodes)
        return self.learning[id(what)][1]

    def _applied(self, value: Any, current: Tensor | None, span: Span, tag: Tag | None) -> Tensor | Results:
        if isinstance(value, (Tensor, Results)):
            if tag is not None:
                raise errors.bad_value(span, "a label names a step, and this is a tensor")
            return value
        if not is_pipeline(value):
            if isinstance(value, Combinator):
                raise errors.missing_argument(span, value.kind, "a branch", "branch, ...")
            raise errors.not_a_pipeline(span, describe(value))
        if current is None:
            raise errors.no_tensor(span, "a step needs a tensor")
        if value is OMITTED:
            return current
        if isinstance(value, tuple):
            _no_tensor_in(value, span)
        if isinstance(value, OpValue):
            if value.label in WRAPPERS:
                return self.wrapper(value, current, span, tag)
            return self.operator(value, current, span, tag)
        if isinstance(value, BlockValue):
            return self.block(value, current, span, tag)
        if isinstance(value, LabelValue):
            return self._labelled_value(value, current, span, tag)
        if isinstance(value, Deferred):
            return self.apply(value.expr, value.env, current, current, tag)
        if tag is None and isinstance(value, tuple):
            return self._sequence(value, current, span)
        if tag is not None:
            return self.enclosed(lambda inner: main(self._spread(value, inner, span)), current, tag, span)
        return self._spread(value, current, span)

    def _spread(self, value: Any, current: Tensor, span: Span) -> Tensor | Results:
        """Apply the parts of a pipeline that has no module of its own, in the current scope."""
        result: Tensor | Results = current
        if isinstance(value, ChainValue):
            for link in value.links:
                result = self.apply_value(link, main(result), span)
        elif isinstance(value, tuple):
            for item in value:
                result = self.apply_value(item, main(result), span)
        elif isinstance(value, RepeatValue):
            for _ in range(value.count):
                result = self.apply_value(value.item, main(result), span)
        else:
            assert isinstance(value, CombineValue)

            def branch(item: Any, part: Tensor) -> Tensor | None:
                return self._branch_value(item, part, span)

            result = self.combine(value.kind, list(value.branches), branch, current, span)
        return result

    def _branch_value(self, item: Any, part: Tensor, span: Span) -> Tensor | None:
        return None if self.value_left_out(item, part) else main(self.apply_value(item, part, span))

    def _sequence(self, value: tuple[Any, ...], current: Tensor, span: Span) -> Tensor | Results:
        """Apply a sequence; one that is repeated on the same shape is elaborated once."""
        key = (id(value), current.shape)
        known = self.sequences.get(key)
        if known is not None:
            scope = known[1]
            return self.node(scope, [current], scope.output_shapes, span, None)
        result = self.enclosed(lambda inner: main(self._spread(value, inner, span)), current, None, span)
        made = self.builder.nodes[-1]
        if isinstance(made.what, Scope) and len(made.inputs) == 1:
            self.sequences[key] = value, made.what
        return result

    def wrapper(self, value: OpValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        """Apply an operator that takes a pipeline: a scope of its own, with the pipeline as its step `f`."""
        op, _ = self._build(value, span, dict(value.bound.places))
        assert isinstance(op, Wrapper), "only wrappers come here"
        outer = self.builder
        inner = self.builder = Builder(outer, outer.frame)
        x = self.entered(current)
        f = self._timed(dict(value.bound.values)["f"], inner, x)
        y = main(self.apply_value(f, x, span, Tag("f", span)))
        if inner.captured:
            place = dict(value.bound.places).get("f", span)
            raise self.fault(place, f"the function of `{op.name}` may use its own input only", "it uses another tensor")
        if y.shape != x.shape:
            place = dict(value.bound.places).get("f", span)
            given, got = show_shape(x.shape), show_shape(y.shape)
            raise self.fault(place, f"the function of `{op.name}` must keep the shape", f"{given} becomes {got}")
        scope = inner.scope("wrapper", op.name, (), y, span).replace(wrapper=op)
        self.builder = outer
        return self.node(scope, [current], scope.output_shapes, span, tag)

    def _timed(self, f: Any, inner: Builder, x: Tensor) -> Any:
        """Return a function of time with its open argument given: a map of one channel that holds the time."""
        while isinstance(f, Located):
            f = f.item
        if not isinstance(f, BlockValue):
            return f
        given = dict(f.bound.values)
        missing = [name for name, default in f.params.items() if default is REQUIRED and name not in given]
        if len(missing) != 1:
            return f
        time = inner.input((x.shape[0], 1, *x.shape[2:]), "t")
        return f.replace(bound=f.bound.replace(values=tuple(sorted([*given.items(), (missing[0], time)], key=_name))))

    def _labelled_value(self, value: LabelValue, current: Tensor, span: Span, tag: Tag | None) -> Tensor | Results:
        own = Tag(value.name, value.span, value, span)
        if tag is not None:
            return self.enclosed(lambda inner: main(self.apply_value(value.item, inner, span, own)), current, tag, span)
        return self.apply_value(value.item, current, span, own)

    def entered(self, current: Tensor) -> Tensor:
        """Return what a tensor is inside of the scope under construction: its input."""
        return self.builder.input(current.shape)

    def enclosed(
        self, body: Callable[[Tensor], Tensor | Results], current: Tensor | None, tag: Tag | None, span: Span
    ) -> Tensor:
        """Apply a body in a scope of its own: a sequence or a labelled body."""
        if current is None:
            raise errors.no_tensor(span, "a step needs a tensor")
        outer = self.builder
        inner = self.builder = Builder(outer, outer.frame)
        last = main(body(self.entered(current)))
        if inner.outputs:
            raise errors.misplaced(span, "an `output` in this body", "outputs belong to a net or a block")
        scope = inner.scope("scope", tag.name if tag else "", (), last, span)
        self.builder = outer
        return main(self.node(scope, [current, *inner.captured], scope.output_shapes, span, tag))

    def left_out(self, expr: tree.Expr, env: Env, x: Tensor) -> bool:
        """Say whether a branch is `item if test`, with a label or without, and the test is false."""
        while isinstance(expr, tree.Labelled):
            expr = expr.value
        return isinstance(expr, tree.OnlyIf) and not self.truth(expr.test, env, x)

    def value_left_out(self, value: Any, x: Tensor) -> bool:
        """Say the same of a branch that is a value."""
        while isinstance(value, (Located, LabelValue)):
            value = value.item
        return value is OMITTED or (isinstance(value, Deferred) and self.left_out(value.expr, value.env, x))

    def combine(
        self, kind: str, branches: list[Any], apply: Callable[[Any, Tensor], Tensor | None], current: Tensor, span: Span
    ) -> Tensor:
        """Apply branches and combine what they return."""
        parts = [current] * len(branches)
        if kind == "split" and len(branches) > 1:
            chunk = OPS["chunk"].build({"parts": len(branches)})
            shapes, relations = self.infer(chunk, [current], span, {})
            parts = self.tensors(self.node(chunk, [current], shapes, span, None, numbered=False))
            self.relate(relations)
        tensors = []
        for branch, part in zip(branches, parts):
            result = apply(branch, part)
            if result is None and kind == "split":
                raise errors.bad_value(span, *NO_PART)
            if result is not None:
                tensors.append((result, _place(branch) or span))
        if not tensors:
            return current
        return self._join("cat" if kind == "split" else kind, tensors, span)

    def _join(self, kind: str, tensors: list[tuple[Tensor, Span]], span: Span) -> Tensor:
        """Combine tensors, each with the place of its branch."""
        if len(tensors) == 1:
            return tensors[0][0]
        joined = OPS[kind].build({})
        operands = [tensor for tensor, _ in tensors]
        shapes, relations = self.infer(joined, operands, span, {i: s for i, (_, s) in enumerate(tensors)})
        result = main(self.node(joined, operands, shapes, span, None, numbered=False))
        self.relate(relations)
        return result


def _no_tensor_in(sequence: tuple[Any, ...], span: Span) -> None:
    """Raise an error where a sequence holds a tensor, behind which nothing of what comes before it is left."""
    for item in sequence:
        value = item.item if isinstance(item, Located) else item
        if isinstance(value, (Tensor, Results)):
            raise errors.tensor_in_a_sequence(item.span if isinstance(item, Located) else span)


def _name(argument: tuple[str, Any]) -> str:
    return argument[0]


def _place(branch: Any) -> Span | None:
    """Return where a branch is written, where it says so: an expression, a statement, or a value with its place."""
    place: Span | None = getattr(branch[0] if isinstance(branch, tuple) and branch else branch, "span", None)
    return place


_APPLY: dict[type, Any] = {
    tree.Chain: Applier.apply_chain,
    tree.Labelled: Applier.apply_labelled,
    tree.OnlyIf: Applier.apply_only_if,
    tree.Either: Applier.apply_either,
    tree.Items: Applier.apply_items,
    tree.Call: Applier.apply_call,
}
