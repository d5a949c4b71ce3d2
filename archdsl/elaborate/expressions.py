"""Expressions to values.

A pipeline whose text mentions `x` cannot be evaluated where it is written, because `x` is the tensor that reaches the
step in which it stands: it becomes a `Deferred` value and is evaluated where it is applied. Everything else is
evaluated at once. Evaluation always ends: there is no mutation, and steps, lists, numbers and recursion are bounded.
"""

from __future__ import annotations

from archdsl.core.sizes import Area, Size, SizeFault
from archdsl.diagnostics import CompileError, Label, errors
from archdsl.elaborate.builtins import FUNCTIONS, MAX_ITEMS, LimitFault, ValueFault, bounded
from archdsl.elaborate.environment import Env
from archdsl.elaborate.values import (
    NOTHING,
    OMITTED,
    UNIVERSAL,
    BlockValue,
    Bound,
    Builtin,
    Callee,
    ChainValue,
    Combinator,
    CombineValue,
    Deferred,
    Function,
    InitializerName,
    LabelValue,
    Located,
    OpValue,
    Quotient,
    RepeatValue,
    Results,
    Tensor,
    describe,
    is_pipeline,
    show,
)
from archdsl.ops import OPS, initializers
from archdsl.ops.base import REQUIRED
from archdsl.ops.wrap import WRAPPERS
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from typing import Any

    from archdsl.core.source import Span
    from archdsl.elaborate.environment import File

MAX_STEPS = 150_000  # expressions evaluated and pipelines applied, 1 s; published networks need under 7,000
MAX_PARTS = 200_000  # of one value, each counted as often as it occurs
MAX_NESTED = 100  # values inside one another
MAX_CALLS = 48  # functions, blocks and nets inside one another
MAX_BITS = 63
NET = 20  # what checking one takes by itself, in steps of a network
COMBINATORS = {kind: Combinator(kind) for kind in ("cat", "add", "mul", "split")}
INITIALIZERS = {name: InitializerName(name) for name in initializers.ROWS}
WORDS = [*OPS, *WRAPPERS, *COMBINATORS, *FUNCTIONS, *INITIALIZERS]
RESERVED = {"x"}
APPLIED_AGAIN = "a block that was given a tensor is a pipeline, applied at each use; `y = x -> cell(h, 8)` is a tensor"
NO_PART = "a branch of `split` cannot be left out by a condition", "add an `else`"


class Spent:
    """What has been worked through so far, for several nets together."""

    def __init__(self) -> None:
        self.steps = self.nodes = 0

    def add(self, steps: int, nodes: int) -> None:
        """Count one net more: what it is made of, and that it is one."""
        self.steps, self.nodes = self.steps + steps, self.nodes + nodes + NET


class Evaluator:
    """Evaluates expressions; `archdsl.elaborate.nets.Elaborator` adds what pipelines do to tensors."""

    def __init__(self) -> None:
        self.steps = 0
        self.calls = 0
        self.mentions: dict[int, frozenset[str]] = {}
        self.weights: dict[
            int, tuple[Any, int, int]
        ] = {}  # of large values, by identity; holds them, so it stays theirs
        self.fed: dict[int, tuple[Any, bool]] = {}  # what `is_fed` has said of a value, likewise

    # ------------------------------------------------------------ entry
    def eval(self, expr: tree.Expr, env: Env, x: Tensor | None) -> Any:
        """Return the value of an expression; `x` is the tensor that has arrived, None where there is none yet."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            self.spend(0, expr.span)
        value = _EVAL[type(expr)](self, expr, env, x)
        if type(value) in _HEAVY:
            weight, _ = self.weigh(value, expr.span)
            if weight >= 16:
                self.spend(weight // 16, expr.span)
        return value

    def spend(self, steps: int, span: Span) -> None:
        """Count steps; too many are an error."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise errors.limit_exceeded(span, "this file takes too long to evaluate", "too many steps", MAX_STEPS)

    def weigh(self, value: Any, span: Span) -> tuple[int, int]:
        """Return the number of parts of a value, and how deep they are nested; bounds what names can multiply.

        `b = [a, a]`, `c = [b, b]` and so on is short, but everything that reads such a value takes time for each part.
        """
        known = self.weights.get(id(value))
        if known is not None:
            return known[1:]
        own, parts = _HEAVY[type(value)](value)
        weight, depth = own + len(parts), 0
        for part in parts:
            if type(part) in _HEAVY:
                more, inside = self.weigh(part, span)
                weight, depth = weight + more, max(depth, inside + 1)
        if weight > MAX_PARTS:
            hint = APPLIED_AGAIN if self.is_fed(value) else ""
            raise errors.limit_exceeded(span, "a value is too large", f"{weight} parts", MAX_PARTS, hint)
        if depth > MAX_NESTED:
            raise errors.too_deep(span, "values", MAX_NESTED)
        if weight >= 8:
            self.weights[id(value)] = value, weight, depth
        return weight, depth

    def is_fed(self, value: Any) -> bool:
        """Say whether a pipeline holds a block that was given a tensor."""
        known = self.fed.get(id(value))
        if known is None:
            kind = type(value)
            if kind is BlockValue:
                parts = [part for _, part in value.bound.values]
                fed = any(_holds_tensor(part) or self.is_fed(part) for part in parts)
            else:
                fed = kind in _PIPES and any(self.is_fed(part) for part in _HEAVY[kind](value)[1])
            known = self.fed[id(value)] = value, fed
        return known[1]

    def apply(self, expr: tree.Expr, env: Env, current: Tensor | None, x: Tensor | None) -> Tensor | Results:
        """Apply a pipeline to a tensor; see `archdsl.elaborate.nets`."""
        raise NotImplementedError

    def follow(self, start: Tensor, links: tuple[tree.Expr, ...], env: Env, x: Tensor | None) -> Tensor | Results:
        """Apply the rest of a chain that starts at a named tensor; see `archdsl.elaborate.nets`."""
        raise NotImplementedError

    def flow(self, start: Tensor, links: Sequence[tree.Expr], env: Env) -> Tensor | Results:
        """Apply the rest of a chain whose first step is a tensor; see `archdsl.elaborate.nets`."""
        raise NotImplementedError

    def joined(self, value: CombineValue, span: Span) -> Tensor:
        """Combine tensors, which wait for no other; see `archdsl.elaborate.nets`."""
        raise NotImplementedError

    def attribute_of(self, tensor: Tensor, name: str, span: Span, outputs: tuple[str, ...] = ()) -> Any:
        """Return an attribute of a tensor; see `archdsl.elaborate.nets`."""
        raise NotImplementedError

    def whole(self, expr: tree.Expr, env: Env, x: Tensor | None) -> Any:
        """Evaluate to a value that is not an open quotient."""
        value = self.eval(expr, env, x)
        if isinstance(value, Quotient):
            raise errors.not_whole(expr.span, show(value))
        return value

    # ------------------------------------------------------------ names and literals
    def name(self, expr: tree.Name, env: Env, x: Tensor | None) -> Any:
        name = expr.plain
        if name == "x":
            if x is None:
                raise errors.no_tensor(expr.span, "`x` is not known here")
            return x
        if name is None:
            name = self.text_of(expr, env, x)
        home = env.find(name)
        if home is not None:
            return home.names[name]
        return self.global_name(name, env.file, expr.span, env)

    def global_name(self, name: str, file: File, span: Span, env: Env | None = None) -> Any:
        """Return what a name means in a file: a definition, an import, or a word of the language."""
        if name in file.definitions:
            return self.definition(file, name, span)
        if name in file.imports:
            return self.definition(file.imports[name][0], name, span)
        if name in OPS and name not in COMBINATORS:
            return OpValue(NOTHING, None, OPS[name], file.defaults.get(name, ()), file.inits.get(name, ()))
        if name in WRAPPERS:
            return OpValue(NOTHING, None, WRAPPERS[name])
        for words in (COMBINATORS, FUNCTIONS, INITIALIZERS):
            if name in words:
                return words[name]
        names = (env.visible() if env else []) + WORDS
        label = self.labelled_at(name) if env else None
        raise errors.unknown_name(span, name, names, label, env.bound_at() if env else None)

    def labelled_at(self, name: str) -> Span | None:
        """Return where a step of the body under way has this label; see `archdsl.elaborate.operators`."""
        return None

    def definition(self, file: File, name: str, span: Span) -> Any:
        """Return the value of a definition of a file."""
        item = file.definitions[name]
        if isinstance(item, tree.Fn):
            return Function(item, file.env)
        if isinstance(item, tree.Alias):
            if name not in file.aliases:
                with self.deeper(name, span):
                    file.aliases[name] = self.eval(item.value, file.env, None)
            return file.aliases[name]
        return BlockValue(NOTHING, None, item, file.env)

    def text_of(self, name: tree.Name, env: Env, x: Tensor | None) -> str:
        """Return the text of a name or label, its interpolations filled in."""
        if name.plain is not None:
            return name.plain
        texts = []
        for part in name.parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = self.whole(part, env, x)
            text = str(value)
            if type(value) not in (int, str) or not text.isascii() or not (text and f"_{text}".isidentifier()):
                raise errors.bad_value(part.span, "a name is built from integers and names", f"this is {show(value)}")
            texts.append(text)
        return "".join(texts)

    def items(self, expr: tree.Items, env: Env, x: Tensor | None) -> tuple[Any, ...]:
        values = [self._item(item, env, x) for item in expr.items]
        return tuple(value for value in values if value is not OMITTED)

    def _item(self, item: tree.Expr, env: Env, x: Tensor | None) -> Any:
        value = self.whole(item, env, x)
        return Located(value, item.span) if isinstance(value, Callee) else value

    def comprehension(self, expr: tree.Comprehension, env: Env, x: Tensor | None) -> tuple[Any, ...]:
        found = []
        for inner in self.loop(expr.targets, expr.values, env, x):
            if expr.test is None or self.truth(expr.test, inner, x):
                value = self._item(expr.item, inner, x)
                if value is not OMITTED:
                    found.append(value)
        return tuple(found)

    def loop(self, targets: tree.Targets, values: tree.Expr, env: Env, x: Tensor | None) -> Iterator[Env]:
        """Yield an environment for each item of a list, the targets bound."""
        items = self.eval(values, env, x)
        if not isinstance(items, tuple):
            raise errors.bad_value(values.span, "a loop needs a list", f"this is {describe(items)}")
        for item in items:
            inner = Env(env, env.file, loop=True)
            self._bind_targets(targets, item.item if isinstance(item, Located) else item, inner)
            inner.index = next(iter(inner.names))
            yield inner

    def _bind_targets(self, targets: tree.Targets, value: Any, env: Env) -> None:
        names = targets.names
        if len(names) == 1 and isinstance(names[0], str):
            self.bind(names[0], value, env, targets.span)
            return
        if not isinstance(value, tuple) or len(value) != len(names):
            raise errors.bad_value(targets.span, f"{len(names)} names for {describe(value)}", "they do not match")
        for name, item in zip(names, value):
            if isinstance(name, str):
                self.bind(name, item.item if isinstance(item, Located) else item, env, targets.span)
            else:
                self._bind_targets(name, item, env)

    def bind(self, name: str, value: Any, env: Env, span: Span) -> None:
        """Bind a name in a scope: once in a definition, as one that hides another would have two meanings."""
        if name in RESERVED:
            raise errors.x_is_bound(span)
        home = env.find(name)
        if home is not None:
            raise errors.bound_twice(span, name, home.places.get(name), env.index_since(home))
        env.names[name] = value
        env.places[name] = span

    # ------------------------------------------------------------ pipelines as values
    def chain(self, expr: tree.Chain, env: Env, x: Tensor | None) -> Any:
        first, *links = expr.links
        start = self.constant(first, env, x)
        if start is not None:
            return self.follow(start, tuple(links), env, x)
        value = self.eval(first, env, x)
        if isinstance(value, Tensor):
            return self.flow(value, links, env)
        return ChainValue((Located(value, first.span), *[Located(self.eval(e, env, x), e.span) for e in links]))

    def constant(self, expr: tree.Expr, env: Env, x: Tensor | None) -> Tensor | None:
        """Return the tensor that a chain starts at, or None where it starts with a pipeline."""
        if isinstance(expr, (tree.Name, tree.Attribute, tree.Index)):
            value = self.eval(expr, env, x)
        elif isinstance(expr, tree.Chain):
            start = self.constant(expr.links[0], env, x)
            value = None if start is None else self.follow(start, expr.links[1:], env, x)
        else:
            return None
        value = value.main if isinstance(value, Results) else value
        return value if isinstance(value, Tensor) else None

    def _starts_at_tensor(self, expr: tree.Expr, env: Env, x: Tensor | None) -> bool:
        """Say whether a value is a tensor, or a chain that starts at one; adds no step."""
        while isinstance(expr, tree.Chain):
            expr = expr.links[0]
        if isinstance(expr, tree.Name) and expr.plain == "x":
            return True
        return isinstance(expr, (tree.Name, tree.Attribute, tree.Index)) and isinstance(
            self.eval(expr, env, x), (Tensor, Results)
        )

    def labelled(self, expr: tree.Labelled, env: Env, x: Tensor | None) -> Any:
        value = self.eval(expr.value, env, x)
        if value is OMITTED:
            return value
        return LabelValue(self.text_of(expr.name, env, x), Located(value, expr.value.span), expr.name.span)

    def only_if(self, expr: tree.OnlyIf, env: Env, x: Tensor | None) -> Any:
        if self._waits(expr, env, x):
            return Deferred(expr, env)
        return self.eval(expr.value, env, x) if self.truth(expr.test, env, x) else OMITTED

    def either(self, expr: tree.Either, env: Env, x: Tensor | None) -> Any:
        if self._waits(expr, env, x):
            return Deferred(expr, env)
        return self.eval(expr.value if self.truth(expr.test, env, x) else expr.other, env, x)

    def _waits(self, expr: tree.OnlyIf | tree.Either, env: Env, x: Tensor | None) -> bool:
        """Say whether a condition is on the tensor that a pipeline will be applied to."""
        if not self.mentions_x(expr.test) or self._starts_at_tensor(expr.value, env, x):
            return False
        return is_pipeline(self.eval(expr.value, env, x))

    def mentions_x(self, node: Any) -> bool:
        """Say whether a piece of syntax mentions `x`."""
        return "x" in self.names_in(node)

    def names_in(self, node: Any) -> frozenset[str]:
        """Return the names that a piece of syntax mentions, interpolated ones aside."""
        known = self.mentions.get(id(node))
        if known is None:
            if not isinstance(node, (tuple, tree.Node)):
                return frozenset()
            found: set[str] = set()
            if isinstance(node, tree.Name) and node.plain is not None:
                found.add(node.plain)
            else:
                children = node if isinstance(node, tuple) else [getattr(node, f) for f in node.fields if f != "span"]
                for child in children:
                    found |= self.names_in(child)
            known = frozenset(found)
            if isinstance(node, tree.Node):
                self.mentions[id(node)] = known
        return known

    # ------------------------------------------------------------ calls
    def call(self, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
        target = self.eval(expr.target, env, x)
        if isinstance(target, Located):
            target = target.item
        if isinstance(target, Callee):
            if any(self.mentions_x(argument) for argument in expr.arguments):
                return Deferred(expr, env)
            return self.partial(target, expr, env, x)
        if isinstance(target, Builtin):
            return self._builtin(target, expr, env, x)
        if isinstance(target, Function):
            return self._function(target, expr, env, x)
        if isinstance(target, Combinator):
            branches = tuple([b for argument in expr.arguments for b in self._given(argument, target, env, x)])
            if target.kind == "split" and OMITTED in branches:
                raise errors.bad_value(expr.span, *NO_PART)
            if len(expr.arguments) == 1:
                _no_list(expr.arguments[0], branches, target.kind)
            value = CombineValue(target.kind, tuple(b for b in branches if b is not OMITTED))
            return self.joined(value, expr.span) if _is_constant(value) else value
        if isinstance(target, InitializerName):
            return self._initializer(target.name, expr, env, x)
        word = expr.target.plain if isinstance(expr.target, tree.Name) else None
        waits = isinstance(target, Deferred)
        raise errors.not_callable(expr.target.span, describe(target), word if word in OPS else "", waits)

    def _given(self, argument: tree.Argument, target: Combinator, env: Env, x: Tensor | None) -> Iterator[Any]:
        """Yield the branches that an argument is: itself, or with a star the items of a list."""
        if isinstance(argument, tree.Keyword):
            raise errors.unknown_argument(argument.place, target.kind, argument.name, "branch, ...", ())
        if isinstance(argument, tree.Spread):
            yield from self.spread(argument, env, x)
            return
        value = self.eval(argument, env, x)
        yield value if value is OMITTED else Located(value, argument.span)

    def spread(self, argument: tree.Spread, env: Env, x: Tensor | None) -> tuple[Any, ...]:
        """Return the items of a list that stand for branches, each with a place."""
        items = self.eval(argument.value, env, x)
        if not isinstance(items, tuple):
            raise errors.bad_value(argument.value.span, "`*` takes the items of a list", f"this is {describe(items)}")
        return tuple([item if isinstance(item, Located) else Located(item, argument.span) for item in items])

    def partial(self, target: Callee, expr: tree.Call, env: Env, x: Tensor | None) -> Callee:
        """Give a callee more arguments; a keyword may replace one that was given before."""
        old, params = target.bound, target.params
        free = [name for name in params if name not in dict(old.values) and name not in UNIVERSAL]
        written = matched(target.label, params, free, lambda: signature(target), expr.arguments, target)
        values = {name: self._argument(value, env, x, _is_real(target, name)) for name, value in written.items()}
        changes = Bound(
            tuple(sorted((dict(old.values) | values).items(), key=lambda item: item[0])),
            tuple((dict(old.places) | {name: value.span for name, value in written.items()}).items()),
            tuple(((dict(old.written) if old.env in (None, env) else {}) | written).items()),
            env,
            tuple(list(written)[: sum(not isinstance(argument, tree.Keyword) for argument in expr.arguments)]),
        )
        return target.replace(bound=changes, span=expr.span)

    def _argument(self, expr: tree.Expr, env: Env, x: Tensor | None, real: bool = False) -> Any:
        value = _plain(self.eval(expr, env, x)) if real else self.whole(expr, env, x)
        if isinstance(value, Quotient):
            raise errors.not_whole(expr.span, show(value))
        if value is OMITTED:
            raise errors.bad_value(expr.span, "an argument cannot be left out by a condition", "give it an `else`")
        return value.item if isinstance(value, Located) else value

    def _builtin(self, target: Builtin, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
        values = []
        for argument in expr.arguments:
            if isinstance(argument, tree.Keyword):
                raise errors.unknown_argument(argument.place, target.name, argument.name, "...", ())
            if isinstance(argument, tree.Spread):
                raise errors.bad_value(argument.span, f"`{target.name}` takes a list as it is", "no `*` is needed")
            values.append(self.eval(argument, env, x))
        try:
            return _checked(target.call(*values), expr.span)
        except ValueFault as fault:
            got = ", ".join(describe(v) for v in values)
            raise errors.bad_value(expr.span, f"`{target.name}` {fault}", f"got {got}") from None
        except SizeFault as fault:
            raise errors.size_limits(expr.span, str(fault), ()) from None
        except LimitFault as fault:
            raise errors.limit_exceeded(expr.span, fault.what, f"{fault.count} items", MAX_ITEMS) from None
        except TypeError:
            count = f"{len(values)} argument{'s' if len(values) != 1 else ''}"
            raise errors.bad_value(expr.span, f"`{target.name}` does not take {count}") from None

    def _function(self, target: Function, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
        fn = target.fn
        params = [p.name for p in fn.params]
        written = matched(fn.name, params, params, lambda: ", ".join(params), expr.arguments)
        given = {name: (self.eval(value, env, x), value.span) for name, value in written.items()}
        return self.returned(target, given, expr)

    def returned(self, target: Function, given: dict[str, tuple[Any, Span]], expr: tree.Call) -> Any:
        """Return the value of a function for its arguments, each with its place."""
        fn, params = target.fn, [p.name for p in target.fn.params]
        inner = Env(target.env, target.env.file)
        for name, (value, place) in given.items():
            self.bind(name, value, inner, place)
        with self.deeper(fn.name, expr.span):
            for param in fn.params:
                if param.name not in inner.names:
                    if param.default is None:
                        raise errors.missing_argument(expr.span, fn.name, param.name, ", ".join(params), param.span)
                    self.bind(param.name, self.eval(param.default, inner, None), inner, param.span)
            try:
                return self.eval(fn.value, inner, None)  # `x` stands in steps; a function is given sizes
            except CompileError as mistake:
                raise _called(mistake, expr.span, {name: inner.names[name] for name in params}) from None

    def _initializer(self, name: str, expr: tree.Call, env: Env, x: Tensor | None) -> Any:
        params = [param for param, _ in initializers.ROWS[name].params]
        written = matched(name, params, params, lambda: ", ".join(params), expr.arguments)
        values = {param: self.whole(value, env, x) for param, value in written.items()}
        try:
            return initializers.make(name, values)
        except ValueError as fault:
            param, reason = fault.args
            raise errors.bad_argument(expr.span, name, param, reason, describe(values[param])) from None

    def deeper(self, name: str, span: Span) -> _Deeper:
        """Count one more call inside the ones under way; too many are endless recursion."""
        return _Deeper(self, name, span)

    # ------------------------------------------------------------ attributes and items
    def attribute(self, expr: tree.Attribute, env: Env, x: Tensor | None) -> Any:
        value = self.eval(expr.value, env, x)
        outputs: tuple[str, ...] = ()
        if isinstance(value, Results):
            found = dict(value.tensors).get(expr.name)
            if found is not None:
                return found
            outputs, value = tuple(name for name, _ in value.tensors), value.main
        if isinstance(value, Tensor):
            return self.attribute_of(value, expr.name, expr.place, outputs)
        raise errors.unknown_attribute(expr.place, describe(value), expr.name, ())

    def index(self, expr: tree.Index, env: Env, x: Tensor | None) -> Any:
        items, index = self.eval(expr.value, env, x), self.whole(expr.index, env, x)
        if not isinstance(items, tuple):
            raise errors.bad_index(expr.value.span, f"only lists have items; this is {describe(items)}")
        if type(index) is not int or not -len(items) <= index < len(items):
            raise errors.bad_index(expr.index.span, f"no item {show(index)} in a list of {len(items)}")
        item = items[index]
        return item.item if isinstance(item, Located) else item

    # ------------------------------------------------------------ logic
    def truth(self, expr: tree.Expr, env: Env, x: Tensor | None) -> bool:
        """Evaluate a condition."""
        value = self.eval(expr, env, x)
        if type(value) is not bool:
            raise errors.bad_value(expr.span, "a condition must be true or false", f"this is {describe(value)}")
        return value

    def logic(self, expr: tree.Logic, env: Env, x: Tensor | None) -> bool:
        stop = expr.word == "or"
        return stop if any(self.truth(item, env, x) is stop for item in expr.items) else not stop

    def negate(self, expr: tree.Not, env: Env, x: Tensor | None) -> bool:
        return not self.truth(expr.value, env, x)

    def compare(self, expr: tree.Compare, env: Env, x: Tensor | None) -> bool:
        left, right = self.eval(expr.left, env, x), self.eval(expr.right, env, x)
        sign = expr.sign
        if sign == "in":
            if not isinstance(right, tuple):
                raise errors.bad_operands(expr.span, "in", describe(left), describe(right))
            return any(_same(left, item.item if isinstance(item, Located) else item) for item in right)
        if isinstance(left, (Size, Area)) or isinstance(right, (Size, Area)):
            if left == right:
                return sign in ("==", "<=", ">=")
            raise errors.symbolic_condition(expr.span, f"{show(left)} {sign} {show(right)}")
        if sign in ("==", "!="):
            return _same(left, right) is (sign == "==")
        return self._ordered(expr, sign, _plain(left), _plain(right))

    def _ordered(self, expr: tree.Compare, sign: str, left: Any, right: Any) -> bool:
        numbers = type(left) in (int, float) and type(right) in (int, float)
        if not numbers and not (isinstance(left, str) and isinstance(right, str)):
            raise errors.bad_operands(expr.span, sign, describe(left), describe(right))
        return bool({"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[sign])

    # ------------------------------------------------------------ arithmetic
    def arithmetic(self, expr: tree.Arithmetic, env: Env, x: Tensor | None) -> Any:
        value = self.eval(expr.first, env, x)
        for sign, operand in expr.rest:
            right = self.eval(operand, env, x)
            value = self._calculate(expr, sign, value, right, expr.first.span.to(operand.span))
        return value

    def _calculate(self, expr: tree.Expr, sign: str, left: Any, right: Any, span: Span) -> Any:
        try:
            if sign == "*" and type(right) is int and is_pipeline(left) and not isinstance(left, Tensor):
                return self._repeat(left, right, span)
            if isinstance(left, tuple) and sign == "*" and type(right) is int:
                bounded(len(left) * max(right, 0), "a list is too long")
                return left * right
            if isinstance(left, tuple) and isinstance(right, tuple) and sign == "+":
                bounded(len(left) + len(right), "a list is too long")
                return left + right
            if isinstance(left, str) and isinstance(right, str) and sign == "+":
                bounded(len(left) + len(right), "a text is too long")
                return left + right
            if not _is_number(left) or not _is_number(right):
                tensors = any(isinstance(side, Tensor) or is_pipeline(side) for side in (left, right))
                raise errors.bad_operands(span, sign, describe(left), describe(right), tensors)
            return _checked(_ARITHMETIC[sign](left, right), span)
        except ZeroDivisionError:
            raise errors.bad_value(span, "division by zero") from None
        except OverflowError:
            raise errors.number_too_large(span) from None
        except LimitFault as fault:
            raise errors.limit_exceeded(span, fault.what, f"{fault.count} items", MAX_ITEMS) from None
        except (SizeFault, ValueFault) as fault:
            raise errors.size_limits(span, str(fault), ()) from None
        except TypeError:
            raise errors.bad_operands(span, sign, describe(left), describe(right)) from None

    def _repeat(self, item: Any, count: int, span: Span) -> RepeatValue:
        if count < 0:
            raise errors.bad_value(span, f"cannot repeat {count} times")
        bounded(count, "too many repetitions")
        return RepeatValue(Located(item, span), count)

    def power(self, expr: tree.Power, env: Env, x: Tensor | None) -> Any:
        base, exponent = self.whole(expr.base, env, x), self.whole(expr.exponent, env, x)
        if type(base) not in (int, float) or type(exponent) not in (int, float):
            raise errors.bad_operands(expr.span, "**", describe(base), describe(exponent))
        if type(base) is int and type(exponent) is int and exponent >= 0 and abs(base) > 1:
            if base.bit_length() * exponent > 2 * MAX_BITS:
                raise errors.number_too_large(expr.span)
        try:
            value = base**exponent
        except (OverflowError, ZeroDivisionError):
            raise errors.number_too_large(expr.span) from None
        if isinstance(value, complex):
            raise errors.bad_value(expr.span, "a root of a negative number")
        return _checked(value, expr.span)

    def minus(self, expr: tree.Minus, env: Env, x: Tensor | None) -> Any:
        value = self.eval(expr.value, env, x)
        if isinstance(value, Quotient):
            return Quotient(-value.top, value.bottom)
        if not _is_number(value):
            raise errors.bad_operands(expr.span, "-", "", describe(value))
        return -value


class _Deeper:
    def __init__(self, evaluator: Evaluator, name: str, span: Span) -> None:
        self.evaluator, self.name, self.span = evaluator, name, span

    def __enter__(self) -> None:
        self.evaluator.calls += 1
        if self.evaluator.calls > MAX_CALLS:
            raise errors.endless(self.span, self.name, MAX_CALLS)

    def __exit__(self, *_: object) -> None:
        self.evaluator.calls -= 1


def matched(
    callee: str,
    params: Collection[str],
    free: Sequence[str],
    shown: Callable[[], str],
    arguments: tuple[tree.Argument, ...],
    target: Callee | None = None,
) -> dict[str, tree.Expr]:
    """Give each argument of a call its parameter: by keyword, or the next of those that are `free`."""
    found: dict[str, tree.Expr] = {}
    for argument in arguments:
        if isinstance(argument, tree.Spread):
            raise errors.misplaced(argument.span, "`*`", "the items of a list can be branches of a combinator only")
        if isinstance(argument, tree.Keyword):
            name, value = argument.name, argument.value
            if name not in params:
                declared = target.declared if target is not None else None
                raise errors.unknown_argument(argument.place, callee, name, shown(), params, declared)
            if name in found:
                raise errors.bound_twice(argument.place, name, found[name].span)
        else:
            name, value = next((f for f in free if f not in found), ""), argument
            if not name:
                raise errors.too_many_arguments(argument.span, callee, shown())
        found[name] = value
    return found


def _is_real(callee: Callee, name: str) -> bool:
    """Say whether an argument of an operator is a real number, so that a fraction is one."""
    spec = callee.op.args.get(name) if isinstance(callee, OpValue) else None
    return spec is not None and spec.kind.real


def _called(mistake: CompileError, call: Span, given: dict[str, Any]) -> CompileError:
    """Return a mistake in a function with the call that led there."""
    diagnostic = mistake.diagnostic
    if call.source is not diagnostic.primary.span.source or any(label.span == call for label in diagnostic.secondary):
        return mistake
    values = ", ".join(f"{name} = {show(value)}" for name, value in given.items())
    label = Label(call, f"called here, with {values}" if 0 < len(values) < 60 else "called here")
    return CompileError(diagnostic.replace(secondary=(*diagnostic.secondary, label)))


def signature(callee: Callee) -> str:
    """Return the parameters of a callee as a text: `out, kernel, stride=1`."""
    texts = []
    for name, default in callee.params.items():
        if name in UNIVERSAL:
            continue
        if default is REQUIRED:
            texts.append(name)
        elif isinstance(default, tree.Expr):
            texts.append(f"{name}={' '.join(default.span.text.split())}")
        else:
            texts.append(f"{name}={'...' if default is None else show(default)}")
    return ", ".join(texts)


def _is_constant(value: CombineValue) -> bool:
    """Say whether every branch is a tensor, so that the result is one, too, and is computed once."""
    if value.kind == "split" or not value.branches:
        return False
    return all(isinstance(b, Located) and isinstance(b.item, (Tensor, Results)) for b in value.branches)


def _no_list(argument: tree.Argument, branches: tuple[Any, ...], combinator: str) -> None:
    """Raise an error where the one branch of a combinator is a list, whose items were meant to be its branches."""
    branch = branches[0].item if branches and isinstance(branches[0], Located) else None
    if isinstance(branch, tuple) and not isinstance(argument, tree.Spread):
        raise errors.list_of_branches(argument.span, combinator, isinstance(argument, tree.Items))


# -------------------------------------------------------------------------------------------------- weights
def _arguments(value: Callee) -> tuple[int, Sequence[Any]]:
    return 1, [part for _, part in value.bound.values] if value.bound is not NOTHING else ()


# How much reading a value costs, and the values that it is made of; everything else weighs nothing.
_HEAVY: dict[type, Callable[[Any], tuple[int, Sequence[Any]]]] = {
    str: lambda value: (len(value) // 8, ()),
    tuple: lambda value: (1, value),
    OpValue: _arguments,
    BlockValue: _arguments,
    ChainValue: lambda value: (1, value.links),
    CombineValue: lambda value: (1, value.branches),
    Located: lambda value: (0, (value.item,)),
    LabelValue: lambda value: (1, (value.item,)),
    RepeatValue: lambda value: (1, (value.item,)),
    Quotient: lambda value: (0, (value.top,)),
    Size: lambda value: (value.period, ()),
    Area: lambda value: (1, value.sizes),
}


_PIPES = {tuple, ChainValue, CombineValue, Located, RepeatValue}  # whose parts are applied where they are


def _holds_tensor(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return any(isinstance(i.item if isinstance(i, Located) else i, (Tensor, Results)) for i in items)


# -------------------------------------------------------------------------------------------------- numbers
def _is_number(value: Any) -> bool:
    return type(value) in (int, float) or isinstance(value, (Size, Area, Quotient))


def _plain(value: Any) -> Any:
    return value.top / value.bottom if isinstance(value, Quotient) and isinstance(value.top, int) else value


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(_plain(left) == _plain(right))


def _checked(value: Any, span: Span) -> Any:
    """Return a number that has not grown beyond 64 bits."""
    if isinstance(value, Quotient):
        _checked(value.bottom, span)
        _checked(value.top, span)
    elif isinstance(value, Area):
        _checked(value.factor, span)
    elif isinstance(value, Size):
        _checked(value.slope, span)
        _checked(max(value.values, key=abs), span)
    if type(value) is int and value.bit_length() > MAX_BITS:
        raise errors.number_too_large(span)
    if type(value) is float and value in (float("inf"), float("-inf")):
        raise errors.number_too_large(span)
    return value


def _divide(left: Any, right: Any) -> Any:
    """Divide exactly: an integer or size where it divides, else a quotient, which `floor`, `ceil`, `round` take."""
    if isinstance(left, float) or isinstance(right, float):
        return _real(left) / _real(right)
    if isinstance(right, Quotient):
        top, bottom = (left.top, left.bottom) if isinstance(left, Quotient) else (left, 1)
        return _divide(top * right.bottom, bottom * right.top)
    if isinstance(left, Quotient):
        return _divide(left.top, left.bottom * right)
    if type(right) is not int:
        raise ValueFault(f"`{right}` is a size, and cannot divide")
    if right == 0:
        raise ZeroDivisionError
    if right < 0:
        left, right = -left, -right
    if isinstance(left, int):
        return left // right if left % right == 0 else Quotient(left, right)
    if isinstance(left, Size) and left.is_multiple_of(right):
        return left // right
    return Quotient(left, right)


def _combine(sign: str) -> Any:
    def calculate(left: Any, right: Any) -> Any:
        if isinstance(left, float) or isinstance(right, float):
            left, right = _real(left), _real(right)
        elif isinstance(left, Quotient) or isinstance(right, Quotient):
            return _fractions(sign, left, right)
        return left + right if sign == "+" else left - right if sign == "-" else left * right

    return calculate


def _fractions(sign: str, left: Any, right: Any) -> Any:
    a, b = (left.top, left.bottom) if isinstance(left, Quotient) else (left, 1)
    c, d = (right.top, right.bottom) if isinstance(right, Quotient) else (right, 1)
    if sign == "*":
        return _divide(a * c, b * d)
    return _divide(a * d + c * b if sign == "+" else a * d - c * b, b * d)


def _floor_divide(left: Any, right: Any) -> Any:
    if isinstance(left, float) or isinstance(right, float):
        return _real(left) // _real(right)
    if type(right) is not int:
        raise TypeError
    return left // right if not isinstance(left, Quotient) else left.top // (left.bottom * right)


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, float) or isinstance(right, float):
        return _real(left) % _real(right)
    if type(right) is not int or isinstance(left, Quotient):
        raise TypeError
    return left % right


def _real(value: Any) -> float:
    if isinstance(value, Quotient) and isinstance(value.top, int):
        return value.top / value.bottom
    if isinstance(value, (Size, Area, Quotient)):
        raise ValueFault(f"`{show(value)}` is a size; it cannot meet a decimal number")
    return float(value)


_ARITHMETIC = {
    "+": _combine("+"),
    "-": _combine("-"),
    "*": _combine("*"),
    "/": _divide,
    "//": _floor_divide,
    "%": _remainder,
}

_EVAL: dict[type, Any] = {
    tree.Name: Evaluator.name,
    tree.Literal: lambda self, expr, env, x: expr.value,
    tree.Items: Evaluator.items,
    tree.Comprehension: Evaluator.comprehension,
    tree.Chain: Evaluator.chain,
    tree.Labelled: Evaluator.labelled,
    tree.OnlyIf: Evaluator.only_if,
    tree.Either: Evaluator.either,
    tree.Logic: Evaluator.logic,
    tree.Not: Evaluator.negate,
    tree.Compare: Evaluator.compare,
    tree.Arithmetic: Evaluator.arithmetic,
    tree.Power: Evaluator.power,
    tree.Minus: Evaluator.minus,
    tree.Call: Evaluator.call,
    tree.Attribute: Evaluator.attribute,
    tree.Index: Evaluator.index,
}
