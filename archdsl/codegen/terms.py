"""Expressions of generated code, each with the values that it has in the instances of a class.

A class is generated for several instances of a block at once, so a value in it is a column: one value an instance.
A `Term` is a column together with the expression that gives it: `4 * planes`. An expression is taken from the text
only where it gives the right value in every instance; that is checked here, so a wrong guess costs beauty, never truth.
"""

from __future__ import annotations

import math
import re
from functools import cache

from archdsl.core.record import Record
from archdsl.core.source import Source
from archdsl.ops.base import Listed
from archdsl.syntax import tree
from archdsl.syntax.parser import parse_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Column = tuple[object, ...]

# How tightly an expression binds.
ATOM, POWER, SIGN, PRODUCT, SUM, COMPARISON, NOT, AND, OR, CHOICE = 5, 4, 3, 2, 1, 0, -1, -2, -3, -4
PLAIN = (int, float, bool, str)
UNKNOWN = object()


class Code(Record):
    """A value that is written as this code: what makes a module, `nn.ReLU` or `partial(nn.LeakyReLU, 0.2)`."""

    text: str


def plain(value: object) -> object:
    """Return a value of the text as one of Python, or `UNKNOWN` where that is a pipeline or a tensor."""
    if isinstance(value, tuple):
        found = [plain(item) for item in value]
        return UNKNOWN if UNKNOWN in found else Listed(found)
    return value if type(value) in PLAIN else UNKNOWN


def list_type(lists: Sequence[Listed], apart: bool = False) -> str:
    """Return the Python type of lists: `tuple[int, ...]`, or by place where they are taken `apart` or differ there."""
    one = _type([item for each in lists for item in each])
    if ("|" not in one and not apart) or len({len(each) for each in lists}) > 1:
        return f"tuple[{one}, ...]"
    return f"tuple[{', '.join([_type(items) for items in zip(*lists)])}]"


def _type(values: Sequence[object]) -> str:
    lists = [value for value in values if isinstance(value, Listed)]
    kinds = dict.fromkeys([type(value).__name__ for value in values if not isinstance(value, Listed)])
    return " | ".join([*kinds, *([list_type(lists)] if lists else [])]) or "int"


class Term(Record):
    """An expression and its value in each instance."""

    text: str
    column: Column
    names: frozenset[str] = frozenset()  # the parameters and variables that the expression mentions
    binding: int = ATOM
    opposite: str = ""  # of a comparison: `a != b` for `a == b`
    stream: bool = False  # whether it is what a loop takes, and no list: `range(3)`
    whole: bool = False  # of a quotient, written `//`: it leaves nothing in these instances, and may in others
    less: tuple[Term, Term] | None = None  # of a difference: its two operands

    unequal = ("less",)

    @property
    def literal(self) -> bool:
        """Whether the expression mentions no name."""
        return not self.names

    def divided(self, parts: int) -> Term | None:
        """Return the term divided by a number, where that is whole in each instance."""
        if any(isinstance(value, int) and value % parts for value in self.column):
            return None
        column = tuple([value // parts if isinstance(value, int) else value for value in self.column])
        if re.fullmatch(rf"{parts} \* \w+", self.text):
            return Term(self.text.removeprefix(f"{parts} * "), column, self.names)
        if self.literal:
            return literal(column[0], len(column))
        return Term(f"{self.within(PRODUCT)} // {parts}", column, self.names, PRODUCT)

    def within(self, level: int) -> str:
        """Return the text, in parentheses where it binds less tightly than `level`."""
        return self.text if self.binding >= level else f"({self.text})"


def literal(value: object, count: int = 1) -> Term:
    """Return a value that is the same in all instances, as itself."""
    return Term(python(value), (value,) * count)


def python(value: object) -> str:
    """Print a value as Python: a pair of equal numbers as one number, a float without noise."""
    value = collapsed(value)
    if isinstance(value, Code):
        return value.text
    if isinstance(value, tuple):
        return "(" + ", ".join(python(v) for v in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e6:
        return f"{value:.1f}"
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and text[0] == "'" and '"' not in text else text


def collapsed(value: object) -> object:
    """Return `(3, 3)` as 3, anything else as it is."""
    if type(value) is tuple and len(value) == 2 and value[0] == value[1]:
        return value[0]
    return value


# -------------------------------------------------------------------------------------------------- translation
def formula(text: str, names: dict[str, Term]) -> Term | None:
    """Translate a formula of an operator, `{dilation} * ({kernel} - 1) // 2`, over the terms of its fields."""
    return translate(_parsed(text), names)


@cache  # the operators have a few
def _parsed(text: str) -> tree.Expr:
    text = text.replace("{in}", "in_channels")
    return parse_value(Source("<formula>", re.sub(r"\{(\w+)\}", r"\1", text)))


def translate(expr: tree.Expr, names: dict[str, Term]) -> Term | None:
    """Translate an expression of the text to Python over known names; None where it says more than is known here."""
    if isinstance(expr, tree.Literal):
        return literal(expr.value, _count(names))
    if isinstance(expr, tree.Name):
        return names.get(expr.plain or "")
    if isinstance(expr, tree.Attribute) and isinstance(expr.value, tree.Name):
        return names.get(f"{expr.value.plain}.{expr.name}")
    rule = _RULES.get(type(expr))
    return rule(expr, names) if rule is not None else None


def negated(term: Term) -> Term:
    """Return the opposite of a condition."""
    column = tuple([not value if isinstance(value, bool) else value for value in term.column])
    if term.opposite:
        return Term(term.opposite, column, term.names, COMPARISON, term.text)
    if term.binding == NOT:
        return Term(term.text.removeprefix("not "), column, term.names, ATOM)
    return Term(f"not {term.within(COMPARISON)}", column, term.names, NOT)


def both(terms: list[Term]) -> Term:
    """Return the condition that several hold."""
    if len(terms) == 1:
        return terms[0]
    column = tuple([all(v is True for v in values) for values in zip(*[term.column for term in terms])])
    return Term(" and ".join([term.within(AND) for term in terms]), column, mentioned(terms), AND)


def _comparison(expr: tree.Compare, names: dict[str, Term]) -> Term | None:
    exact = _exactly(names)
    left, right = translate(expr.left, exact), translate(expr.right, exact)
    if left is None or right is None or left.whole or right.whole:
        return None
    pairs = list(zip(left.column, right.column))
    if not all(_comparable(expr.sign, a, b) for a, b in pairs):
        return None
    column = tuple([_COMPARED[expr.sign](a, b) for a, b in pairs])
    if left.text == right.text or (left.literal and right.literal and len(set(column)) == 1):
        return literal(column[0], len(column))
    said, unsaid = [f"{left.within(SUM)} {sign} {right.within(SUM)}" for sign in (expr.sign, _OPPOSITE[expr.sign])]
    return Term(said, column, left.names | right.names, COMPARISON, unsaid)


def _comparable(sign: str, left: object, right: object) -> bool:
    """Say whether Python compares two values as the language does: numbers with numbers, texts with texts."""
    if sign == "in":
        return isinstance(right, tuple) and all(_comparable("==", left, item) for item in right)
    if isinstance(left, bool) or isinstance(right, bool):
        return type(left) is type(right) and sign in ("==", "!=")
    numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
    return numbers or (isinstance(left, str) and isinstance(right, str) and sign in ("==", "!="))


def _items(expr: tree.Items, names: dict[str, Term]) -> Term | None:
    items = _translated(expr.items, names)
    if not items:
        return None
    text = ", ".join([item.text for item in items]) + ("," if len(items) == 1 else "")
    return Term(f"({text})", tuple(Listed(values) for values in _columns(items)), mentioned(items))


def _translated(exprs: Iterable[object], names: dict[str, Term]) -> list[Term] | None:
    """Return what expressions are in Python, or None where one says more than is known."""
    found = [translate(expr, names) if isinstance(expr, tree.Expr) else None for expr in exprs]
    terms = [term for term in found if term is not None and not term.stream]
    return terms if len(terms) == len(found) else None


def _columns(terms: list[Term]) -> Iterator[tuple[object, ...]]:
    return zip(*[term.column for term in terms])


def mentioned(terms: Iterable[Term]) -> frozenset[str]:
    """Return the names that terms mention."""
    return frozenset[str]().union(*[term.names for term in terms])


def _logic(expr: tree.Logic, names: dict[str, Term]) -> Term | None:
    found = [translate(item, names) for item in expr.items]
    items = [item for item in found if item is not None and all(type(v) is bool for v in item.column)]
    if len(items) < len(found):
        return None
    level = AND if expr.word == "and" else OR
    join = all if expr.word == "and" else any
    column = tuple([join(values) for values in zip(*[item.column for item in items])])
    if any(item.literal for item in items):
        items = [item for item in items if not item.literal or item.column[0] is (expr.word == "or")]
        decided = [item for item in items if item.literal] or (
            [] if items else [literal(expr.word == "and", len(column))]
        )
        items = decided[:1] or items
    if len(items) == 1:
        return items[0]
    return Term(f" {expr.word} ".join([item.within(level) for item in items]), column, mentioned(items), level)


def _negation(expr: tree.Not, names: dict[str, Term]) -> Term | None:
    term = translate(expr.value, names)
    return negated(term) if term is not None and all(type(v) is bool for v in term.column) else None


def _called(expr: tree.Call, names: dict[str, Term]) -> Term | None:
    """Translate functions of numbers and lists, those of the text among them; what a loop takes alone is a `stream`."""
    word = (expr.target.plain if isinstance(expr.target, tree.Name) else None) or ""
    own = names.get(f"{word}()")
    known = _exactly(names) if word in _ROUNDING else names
    found = [translate(a, known) if isinstance(a, tree.Expr) else None for a in expr.arguments]
    terms = [term for term in found if term is not None]
    if word in names or len(terms) < len(found) or not terms:
        return None
    if any(term.whole for term in terms) and (EXACT in known or word not in _CHOOSING):
        return None
    if isinstance(own, Defined):
        return None if any(term.stream for term in terms) else _defined(own, terms, names)
    if word not in _FUNCTIONS or (any(term.stream for term in terms) and not _nests(word, terms)):
        return None
    try:
        column = tuple([_FUNCTIONS[word](*values) for values in _columns(terms)])
    except (TypeError, ValueError, OverflowError):
        return None
    if word == "int" and re.fullmatch(r"round\([^()]*\)", terms[0].text):  # which is one
        return terms[0]
    shown = f"math.{word}" if word in _MATH else word
    whole = any(term.whole for term in terms)
    return Term(f"{shown}({_listing(terms)})", column, mentioned(terms), stream=word in _STREAMS, whole=whole)


def _nests(word: str, terms: list[Term]) -> bool:
    return word in ("enumerate", "zip") or (word == "reversed" and terms[0].text.startswith("range("))


def _listing(terms: list[Term]) -> str:
    return ", ".join([term.text for term in terms])


class Defined(Term):
    """A function of the text, which stands among names as `name()`."""

    function: Function  # type: ignore[misc]  # which is always given


class Function:
    """A function of the text, as Python has it; `uses` are what it was given, and what it returned."""

    def __init__(self, fn: tree.Fn) -> None:
        self.fn = fn
        self.text = ""
        self.uses: list[tuple[object, ...]] = []

    def named(self, count: int) -> Defined:
        """Return the function as a name, beside names of so many columns."""
        return Defined(self.fn.name, (MISSING,) * count, frozenset([f"{self.fn.name}()"]), stream=True, function=self)

    def code(self) -> str:
        """Return its definition."""
        *given, returned = [_type(values) for values in zip(*self.uses)]
        kinds = ["float" if kind == "int | float" or kind == "float | int" else kind for kind in (*given, returned)]
        parameters = ", ".join([f"{p.name}: {kind}" for p, kind in zip(self.fn.params, kinds)])
        return f"def {self.fn.name}({parameters}) -> {kinds[-1]}:\n    return {self.text}"


def _defined(own: Defined, terms: list[Term], names: dict[str, Term]) -> Term | None:
    """Return the call of a function of the text, and its value as that of its body."""
    fn = own.function.fn
    if len(terms) != len(fn.params):
        return None
    given = {p.name: Term(p.name, term.column, frozenset([p.name])) for p, term in zip(fn.params, terms)}
    others = {
        key: term for key, term in names.items() if isinstance(term, Defined) and term.function is not own.function
    }
    body = translate(fn.value, given | others)  # one that calls itself is not written
    if body is None or body.stream or (body.whole and EXACT in names):
        return None
    if all(term.literal for term in terms) and len({*body.column}) == 1:
        return literal(body.column[0], len(body.column))
    own.function.text = body.text
    own.function.uses += zip(*[term.column for term in terms], body.column)
    inner = frozenset([name for name in body.names if name.endswith("()")])
    called = f"{fn.name}({_listing(terms)})"
    return Term(called, body.column, mentioned(terms) | own.names | inner, whole=body.whole)


def _all(*kinds: type) -> Callable[..., bool]:
    return lambda values: all(type(value) in kinds for value in values)


_is_real = _all(int, float)


def _of_numbers(function: Callable[..., object], least: int = 1) -> Callable[..., object]:
    """Return a function of numbers, or of a list of them, which is Python's for nothing else."""

    def call(*values: object) -> object:
        items = values[0] if len(values) == 1 and isinstance(values[0], Listed) else values
        if not _is_real(items) or (items is values and len(values) < least):
            raise TypeError
        return function(*values)

    return call


def _one(function: Callable[..., object]) -> Callable[..., object]:
    """Return a function of one number."""

    def call(value: object) -> object:
        if not _is_real([value]):
            raise TypeError
        return function(value)

    return call


def _range(*values: object) -> Listed:
    if any(type(value) is not int for value in values):
        raise TypeError
    return Listed(range(*values))  # type: ignore[call-overload]


def _list(value: object) -> Listed:
    if not isinstance(value, Listed):
        raise TypeError
    return value


def _sum(value: object) -> object:
    if not _is_real(_list(value)):
        raise TypeError
    return sum(_list(value))


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "abs": _one(abs),
    "ceil": _one(math.ceil),
    "enumerate": lambda value: Listed([Listed(pair) for pair in enumerate(_list(value))]),
    "floor": _one(math.floor),
    "int": _one(int),
    "len": lambda value: len(_list(value)),
    "log": _one(math.log),
    "max": _of_numbers(max, 2),
    "min": _of_numbers(min, 2),
    "range": _range,
    "reversed": lambda value: Listed(_list(value)[::-1]),
    "round": _one(round),
    "sqrt": _one(math.sqrt),
    "sum": _sum,
    "zip": lambda *values: Listed([Listed(items) for items in zip(*map(_list, values))]),
}
_STREAMS = ("range", "enumerate", "reversed", "zip")
_MATH = ("ceil", "floor", "log", "sqrt")
_CHOOSING = ("abs", "max", "min")  # which give one of their numbers: what is whole of quotients is that of their floors
_ROUNDING = ("ceil", "floor", "int", "log", "round", "sqrt")
EXACT = "exact()"  # among names: division is of real numbers, since what it gives is rounded


def _comprehension(expr: tree.Comprehension, names: dict[str, Term]) -> Term | None:
    """Translate a list of values that is made of another one."""
    values = translate(expr.values, names)
    if values is None or any(not isinstance(value, Listed) for value in values.column):
        return None
    rows = [(i, item) for i, value in enumerate(values.column) if isinstance(value, Listed) for item in value]
    at = [i for i, _ in rows]
    matched = [dict(matches(expr.targets, item)) for _, item in rows]
    targets = list(dict.fromkeys(flat(expr.targets)))
    if any(len(match) < len(targets) for match in matched) or names.keys() & {*targets}:
        return None
    inner = {key: over(term, at) for key, term in names.items()}
    inner |= {name: Term(name, tuple([m[name] for m in matched]), frozenset([name])) for name in targets}
    item = translate(expr.item, inner)
    test = translate(expr.test, inner) if expr.test is not None else literal(True, len(at))
    if item is None or test is None or item.stream or not all(type(value) is bool for value in test.column):
        return None
    kept = [(i, value) for i, value, wanted in zip(at, item.column, test.column) if wanted]
    column = tuple([Listed([value for i, value in kept if i == k]) for k in range(len(values.column))])
    head = f"{item.text} for {shown(expr.targets)} in {values.within(OR)}"
    text = f"tuple({head} if {test.within(OR)})" if expr.test is not None else f"tuple({head})"
    return Term(text, column, mentioned([values, item, test]) - {*targets})


def flat(targets: tree.Targets) -> Iterator[str]:
    """Yield the names of the targets of a loop."""
    for name in targets.names:
        yield from [name] if isinstance(name, str) else flat(name)


def shown(targets: tree.Targets, names: Sequence[str] | None = None) -> str:
    """Return the targets of a loop, with a blank for what is none of the names."""
    found = []
    for target in targets.names:
        if isinstance(target, str):
            found.append(target if names is None or target in names else "_")
        else:
            inner = shown(target, names)
            found.append(f"({inner})" if len(target.names) > 1 else inner)
    return ", ".join(found)


def matches(targets: tree.Targets, item: object) -> Iterator[tuple[str, object]]:
    """Yield the names of targets with their parts of an item."""
    if len(targets.names) == 1 and isinstance(targets.names[0], str):
        yield targets.names[0], item
        return
    if not isinstance(item, tuple) or len(item) != len(targets.names):
        return
    for target, part in zip(targets.names, item):
        if isinstance(target, str):
            yield target, part
        else:
            yield from matches(target, part)


def _index(expr: tree.Index, names: dict[str, Term]) -> Term | None:
    terms = _translated((expr.value, expr.index), names)
    if terms is None or any(not isinstance(a, Listed) or type(b) is not int for a, b in _columns(terms)):
        return None
    if any(not -len(a) <= b < len(a) for a, b in _columns(terms)):  # type: ignore[arg-type, operator]
        return None
    column = tuple([a[b] for a, b in _columns(terms)])  # type: ignore[index]
    return Term(f"{terms[0].within(ATOM)}[{terms[1].text}]", column, mentioned(terms))


def _slice(expr: tree.Slice, names: dict[str, Term]) -> Term | None:
    open_end = literal(None, _count(names))
    found = [translate(expr.value, names)]
    found += [open_end if end is None else translate(end, names) for end in (expr.first, expr.last)]
    terms = [term for term in found if term is not None]
    if len(terms) < len(found):
        return None
    columns = [*_columns(terms)]
    if not all(isinstance(items, Listed) and {type(a), type(b)} <= {int, type(None)} for items, a, b in columns):
        return None
    first, last = ["" if term is open_end else term.text for term in terms[1:]]
    if not all(re.fullmatch(r"-?\w*", text) for text in (first, last)):  # as around a sign that binds loosely
        first, last = f"{first} ".lstrip(), f" {last}".rstrip()
    column = tuple([Listed(items[a:b]) for items, a, b in columns])  # type: ignore[index]
    return Term(f"{terms[0].within(ATOM)}[{first}:{last}]", column, mentioned(terms))


def _power(expr: tree.Power, names: dict[str, Term]) -> Term | None:
    exponent = translate(expr.exponent, names)
    if exponent is None:
        return None
    real = all(type(value) is float for value in exponent.column)
    base = translate(expr.base, _exactly(names) if real else names)
    kinds = (int, float) if real else (int,)
    pairs = list(zip(base.column, exponent.column)) if base is not None else []
    if base is None or base.whole or exponent.whole:
        return None
    if any(type(a) not in kinds or type(b) not in kinds for a, b in pairs):
        return None
    if real and any(a < 0 or (a == 0 and b < 0) for a, b in pairs):  # type: ignore[operator]
        return None
    # What is no whole number in some instance may not be asked for there.
    column = tuple([a**b if b >= 0 or real else MISSING for a, b in pairs])  # type: ignore[operator]
    if base.literal and exponent.literal and len(set(column)) == 1:
        return literal(column[0], len(column))
    texts = base.within(ATOM), exponent.within(POWER)
    sign = "**" if all(re.fullmatch(r"-?[\w.]+", text) for text in texts) else " ** "
    return Term(sign.join(texts), column, mentioned([base, exponent]), POWER)


def _minus(expr: tree.Minus, names: dict[str, Term]) -> Term | None:
    term = translate(expr.value, names)
    if term is None or any(type(value) not in (int, float) for value in term.column):
        return None
    column = tuple([-value for value in term.column])  # type: ignore[operator]
    if term.literal and len(set(column)) == 1:
        return literal(column[0], len(column)).replace(binding=SIGN)
    return Term(f"-{term.within(SIGN)}", column, term.names, SIGN, whole=term.whole)


def _either(expr: tree.Either, names: dict[str, Term]) -> Term | None:
    terms = _translated((expr.value, expr.test, expr.other), names)
    if terms is None or any(type(test) is not bool for test in terms[1].column):
        return None
    return either(*terms)


def either(value: Term, test: Term, other: Term) -> Term:
    """Return `value if test else other`."""
    if value.text == other.text:
        return value.replace(column=tuple([b if a is MISSING else a for a, b in _columns([value, other])]))
    if test.literal and test.column[0] is True:
        return value
    if test.literal and test.column[0] is False:
        return other
    column = tuple([a if t is True else b for a, t, b in _columns([value, test, other])])
    text = f"{value.within(OR)} if {test.within(OR)} else {other.text}"
    return Term(text, column, mentioned([value, test, other]), CHOICE, whole=value.whole or other.whole)


def _exactly(names: dict[str, Term]) -> dict[str, Term]:
    """Return names among which a division is one of real numbers."""
    return names | {EXACT: literal(True, _count(names))}


def _count(names: dict[str, Term]) -> int:
    return len(next(iter(names.values())).column) if names else 1


def _arithmetic(expr: tree.Arithmetic, names: dict[str, Term]) -> Term | None:
    term = translate(expr.first, names)
    for sign, operand in expr.rest:
        right = translate(operand, names)
        if term is None or right is None or term.stream or right.stream:
            return None
        term = _apply(sign, term, right, real=EXACT in names)
    return term


def _apply(sign: str, left: Term, right: Term, *, real: bool) -> Term | None:
    columns = list(zip(left.column, right.column))
    if left.whole or right.whole:  # the language goes on with what is left
        return None
    if sign in ("/", "//", "%") and any(type(b) in (int, float) and b == 0 for _, b in columns):
        return None
    whole = all(type(a) is int and type(b) is int for a, b in columns)
    shown = _SIGN if sign == "/" and whole and not real else sign
    if not _joins(sign, columns) and not _computes(sign, columns, real=real):
        return None
    values = tuple([plain(_SIGNS[shown](a, b)) for a, b in columns])
    if left.literal and right.literal and len(set(values)) == 1:
        return literal(values[0], len(values))
    if sign == "//" and whole and right.literal and left.text.endswith(f" * {right.text}"):
        return Term(left.text.removesuffix(f" * {right.text}"), values, left.names, left.binding)
    if right.text == "1" and whole and (sign in ("*", "//") or shown == _SIGN):
        return left
    if sign == "*" and left.text in ("0", "1") and whole:
        return left if left.text == "0" else right
    if sign in "+-" and right.text == "0" and whole:
        return left
    level = SUM if sign in "+-" else PRODUCT
    text = f"{left.within(level)} {shown} {right.within(level + 1)}"
    less = (left, right) if sign == "-" else None
    return Term(text, values, left.names | right.names, level, whole=shown == _SIGN != sign, less=less)


def _computes(sign: str, columns: list[tuple[object, object]], *, real: bool) -> bool:
    """Say whether Python computes as the language does: whole numbers exactly, and real ones beside a decimal."""
    if not all(_is_real(pair) for pair in columns):
        return False
    whole = [type(a) is int and type(b) is int for a, b in columns]
    if all(whole):
        return sign != "/" or real or not any(a % b for a, b in columns)  # type: ignore[operator]
    return sign in "+-*" or (sign == "/" and (real or not any(whole)))


def _joins(sign: str, columns: list[tuple[object, object]]) -> bool:
    """Say whether lists are joined or repeated."""
    kinds = {(type(a), type(b)) for a, b in columns}
    return (sign == "+" and kinds == {(Listed, Listed)}) or (sign == "*" and kinds == {(Listed, int)})


_SIGN = "//"  # of `/` that leaves nothing
_SIGNS: dict[str, Callable[..., object]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


_COMPARED: dict[str, Callable[..., bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
}
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in"}
_RULES: dict[type, Callable[..., Term | None]] = {
    tree.Arithmetic: _arithmetic,
    tree.Call: _called,
    tree.Compare: _comparison,
    tree.Comprehension: _comprehension,
    tree.Either: _either,
    tree.Index: _index,
    tree.Items: _items,
    tree.Logic: _logic,
    tree.Minus: _minus,
    tree.Not: _negation,
    tree.Power: _power,
    tree.Slice: _slice,
}


def added(terms: list[Term]) -> Term:
    """Return the sum of terms, equal ones counted: `2 * channels`, `in_channels + growth`."""
    columns = zip(*(t.column for t in terms))
    values = tuple([MISSING if any(one is MISSING for one in column) else sum(column) for column in columns])
    terms = _cancelled(terms)
    unique: dict[str, tuple[Term, int]] = {}
    for term in terms:
        unique[term.text] = (term, unique.get(term.text, (term, 0))[1] + 1)
    if all(t.literal for t in terms):
        return literal(values[0], len(values))
    if len(terms) == 1:
        return terms[0].replace(column=values)
    texts = [t.within(SUM) if n == 1 else f"{n} * {t.within(_factor(t))}" for t, n in unique.values()]
    return Term(" + ".join(texts), values, mentioned(terms), PRODUCT if len(texts) == 1 else SUM)


def _cancelled(terms: list[Term]) -> list[Term]:
    """Return terms without one that is added to what is less by it: `out` for `out - channels` and `channels`."""
    for term in terms:
        whole, part = term.less or (None, None)
        others = [other for other in terms if other is not term]
        for other in others:
            if whole is not None and part is not None and other.text == part.text:
                return _cancelled([whole, *[one for one in others if one is not other]])
    return terms


def factors(term: Term) -> list[str]:
    """Return what a product is made of, in one order; anything else as it is."""
    return sorted(term.text.split(" * ")) if re.fullmatch(r"[\w* ]+", term.text) else [term.text]


def difference(left: Term, right: Term) -> Term | None:
    """Return one multiple of a term less another one: `width` for `3 * width` and `2 * width`."""
    multiples = [re.fullmatch(r"(?:(\d+) \* )?(\w+)", term.text) for term in (left, right)]
    if not all(multiples) or multiples[0][2] != multiples[1][2] or left.literal:  # type: ignore[index]
        return None
    factor = int(multiples[0][1] or 1) - int(multiples[1][1] or 1)  # type: ignore[index]
    values = tuple([a - b for a, b in zip(left.column, right.column)])  # type: ignore[operator]
    base = multiples[0][2]  # type: ignore[index]
    return Term(base if factor == 1 else f"{factor} * {base}", values, left.names, ATOM if factor == 1 else PRODUCT)


def _factor(term: Term) -> int:
    """Return how tightly a term must bind after a factor: `2 * (c // 2)` is another number than `2 * c // 2`."""
    return ATOM if "//" in term.text or "%" in term.text else PRODUCT


def substituted(term: Term, given: dict[str, Term]) -> Term:
    """Return a term with terms in the place of names, and their columns in that of its own to come."""
    if term.text in given:
        return given[term.text]

    def shown(found: re.Match[str]) -> str:
        return given[found[0]].within(ATOM) if found[0] in given else found[0]

    text = re.sub(r"\"[^\"]*\"|[A-Za-z_]\w*", shown, term.text)
    names = mentioned([given[name] for name in term.names if name in given])
    return term.replace(text=text, names=names | (term.names - given.keys()), opposite="")


def first_passes(place: Term) -> list[Term]:
    """Return the tests of a variable that counts the passes of a loop: for the first one, and for those after it."""
    columns = tuple([value == 0 for value in place.column]), tuple([value != 0 for value in place.column])
    texts = f"{place.text} == 0", f"{place.text} > 0"
    return [Term(texts[k], columns[k], place.names, COMPARISON, texts[1 - k]) for k in (0, 1)]


# -------------------------------------------------------------------------------------------------- columns
class Missing:
    """What an instance has in place of a scope, a step or a value that it does not have."""


MISSING = Missing()


def over(term: Term, columns: Sequence[int]) -> Term:
    """Return a term with some of its columns, or with some of them several times: once for each pass of a loop."""
    return term.replace(column=tuple([term.column[i] for i in columns]))


def fits(have: Column, wanted: Column) -> bool:
    """Say whether an expression gives a column, wherever the column has a value."""
    if len(have) != len(wanted):
        return False
    return all(w is MISSING or alike(h, w) for h, w in zip(have, wanted))


def paired(term: Term) -> Term:
    """Return a list of the text as what an operator takes for height and width."""
    return term.replace(column=tuple([collapsed(tuple(v)) if isinstance(v, Listed) else v for v in term.column]))


def alike(a: object, b: object) -> bool:
    """Say whether two values are one in generated code: 0, 0.0 and `False` are equal to Python, and not to PyTorch."""
    if not isinstance(a, tuple) or not isinstance(b, tuple):
        return type(a) is type(b) and a == b
    return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
