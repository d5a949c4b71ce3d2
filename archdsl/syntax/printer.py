"""Tree to text: the canonical form of a file or an expression.

    net a:                                        net a:
     input i : [N,(3),H=8,  W=8]         ->            input i: [N, 3, H=8, W=8]
     (conv)( 4,3 )->relu                               conv(4, 3) -> relu

For every tree that the parser returns, parsing the text again gives an equal tree, and printing that gives the text
again. Comments and the author's line breaks are not in the tree, so they are lost. Parentheses stand where the grammar
needs them and nowhere else. Lines are broken before column 100 where the language allows it: inside brackets, one item
a line, and before `->`.

The layout is Wadler's ("A prettier printer", 2003): an expression becomes a document whose groups are printed flat
where they fit in the rest of the line, and broken where they do not.
"""

from __future__ import annotations

from archdsl import syntax
from archdsl.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Union

    Doc = Union[str, "Line", "Nest", "Group", tuple["Doc", ...]]  # noqa: UP007 — the classes come later

WIDTH = 100
INDENT = 4
ARROW = 2  # the indentation of a line that continues a chain
# What binds more loosely has a lower level; each level is a rule of the grammar.
EXPR, LINK, CHOICE, TEST, CONJ, NEG, COMPARISON, SUM, PRODUCT, UNARY, POWER, POSTFIX, ATOM = range(13)
STATEMENT_WORDS = ("input", "output", "require")  # ordinary names, but not where a statement starts


def print_module(module: syntax.Module) -> str:
    """Return the canonical text of a file; it ends with a line end, or is empty where the file is."""
    lines = _docstring(module.doc, 0)
    before = None
    for item in module.items:
        text = _DEFINITIONS[type(item)](item)
        family = _FAMILIES.get(type(item))
        if lines and (family is None or family != before):
            lines.append("")
        lines += text
        before = family if len(text) == 1 else None
    return "".join(f"{line}\n" for line in lines)


def print_expr(expr: syntax.Expr) -> str:
    """Return the canonical text of an expression: one line where it fits."""
    return "\n".join(_layout(_expr(expr), 0))


# -------------------------------------------------------------------------------------------------- documents
class Line(Record):
    """A place where a line may end; `flat` is what stands there where it does not."""

    flat: str


class Nest(Record):
    """A piece whose lines are indented further."""

    indent: int
    body: Doc


class Group(Record):
    """A piece that is printed flat where it fits, else with all of its own lines broken."""

    body: Doc


def _layout(doc: Doc, indent: int) -> list[str]:
    """Print a document as lines; `indent` is that of the first."""
    lines, line = [], " " * indent
    work: list[tuple[int, bool, Doc]] = [(indent, False, doc)]  # indentation, flat, document; the next one last
    while work:
        base, flat, piece = work.pop()
        if isinstance(piece, str):
            line += piece
        elif isinstance(piece, tuple):
            work += [(base, flat, part) for part in reversed(piece)]
        elif isinstance(piece, Nest):
            work.append((base + piece.indent, flat, piece.body))
        elif isinstance(piece, Group):
            work.append((base, flat or _fits(piece.body, work, WIDTH - len(line)), piece.body))
        elif flat:
            line += piece.flat
        else:
            lines.append(line)
            line = " " * base
    return [*lines, line]


def _fits(doc: Doc, rest: list[tuple[int, bool, Doc]], room: int) -> bool:
    """Say whether a document fits flat, together with what follows it up to where the line may end."""
    work: list[tuple[bool, Doc]] = [(True, doc)]
    following = len(rest)
    while room >= 0:
        if not work:
            if not following:
                return True
            following -= 1
            work.append(rest[following][1:])
            continue
        flat, piece = work.pop()
        if isinstance(piece, str):
            room -= len(piece)
        elif isinstance(piece, tuple):
            work += [(flat, part) for part in reversed(piece)]
        elif isinstance(piece, (Nest, Group)):
            work.append((flat, piece.body))
        elif flat:
            room -= len(piece.flat)
        else:
            return True
    return False


def _bracketed(opening: str, items: Iterable[Doc], closing: str) -> Doc:
    """Print items between brackets: on one line, or one item a line."""
    body: list[Doc] = []
    for item in items:
        body += [",", Line(" "), item] if body else [Line(""), item]
    return Group((opening, Nest(INDENT, tuple(body)), Line(""), closing)) if body else opening + closing


def _joined(items: Iterable[Doc], sign: str = ", ") -> Doc:
    found: list[Doc] = []
    for item in items:
        found += [sign, item] if found else [item]
    return tuple(found)


# -------------------------------------------------------------------------------------------------- expressions
def _expr(expr: syntax.Expr, level: int = EXPR, first: bool = False) -> Doc:
    """Return the document of an expression, in parentheses where it binds more loosely than its place asks.

    `first` says that a statement starts here: a name that would be taken for the word of a statement then stands in
    parentheses.
    """
    if _level(expr) < level:
        return ("(", _EXPRESSIONS[type(expr)](expr, False), ")")
    return _EXPRESSIONS[type(expr)](expr, first)


def _level(expr: syntax.Expr) -> int:
    if isinstance(expr, syntax.Logic):
        return TEST if expr.word == "or" else CONJ
    if isinstance(expr, syntax.Arithmetic):
        return SUM if expr.rest[0][0] in ("+", "-") else PRODUCT
    return _LEVELS.get(type(expr), ATOM)


def _name(expr: syntax.Name, first: bool) -> Doc:
    doc = _name_text(expr)
    return ("(", doc, ")") if first and expr.parts[0] in STATEMENT_WORDS else doc


def _name_text(expr: syntax.Name) -> Doc:
    parts = [part if isinstance(part, str) else ("{", _tight(part), "}") for part in expr.parts]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _tight(expr: syntax.Expr) -> Doc:
    """Print what is interpolated: `{i+1}`, without spaces where it is that simple."""
    if isinstance(expr, syntax.Arithmetic) and all(map(_simple, [expr.first, *[operand for _, operand in expr.rest]])):
        return (_expr(expr.first), *[(sign, _expr(operand)) for sign, operand in expr.rest])
    return _expr(expr)


def _simple(expr: syntax.Expr) -> bool:
    return isinstance(expr, (syntax.Name, syntax.Literal))


def _literal(expr: syntax.Literal, _: bool) -> Doc:
    value = expr.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def _items(expr: syntax.Items, _: bool) -> Doc:
    items = [_expr(item) for item in expr.items]
    if not expr.tuple:
        return _bracketed("[", items, "]")
    return ("(", items[0], ",)") if len(items) == 1 else _bracketed("(", items, ")")


def _comprehension(expr: syntax.Comprehension, _: bool) -> Doc:
    parts: list[Doc] = [Line(""), _expr(expr.item), Line(" "), "for ", _targets(expr.targets)]
    parts += [" in ", _expr(expr.values, TEST)]
    if expr.test is not None:
        parts += [Line(" "), "if ", _expr(expr.test, TEST)]
    return Group(("[", Nest(INDENT, tuple(parts)), Line(""), "]"))


def _chain(expr: syntax.Chain, first: bool) -> Doc:
    start, *links = expr.links
    further = [Group((Line(" "), "-> ", _link(link))) for link in links]
    return Nest(ARROW, (_link(start, first), *further))


def _link(expr: syntax.Expr, first: bool = False) -> Doc:
    """Print an item of a chain, in which a choice has parentheses."""
    if isinstance(expr, syntax.Labelled):
        return _labelled(expr, first, TEST)
    return _expr(expr, LINK if isinstance(expr, syntax.Chain) else TEST, first)


def _labelled(expr: syntax.Labelled, first: bool, level: int = CHOICE) -> Doc:
    doc = (_name_text(expr.name), ": ", _expr(expr.value, level))
    return ("(", doc, ")") if first and expr.name.parts[0] in STATEMENT_WORDS else doc


def _only_if(expr: syntax.OnlyIf, first: bool) -> Doc:
    return (_expr(expr.value, TEST, first), " if ", _expr(expr.test, TEST))


def _either(expr: syntax.Either, first: bool) -> Doc:
    value, test = _expr(expr.value, TEST, first), _expr(expr.test, TEST)
    return (value, " if ", test, " else ", _expr(expr.other, CHOICE))


def _logic(expr: syntax.Logic, first: bool) -> Doc:
    start, *further = expr.items
    inside = _level(expr) + 1
    return _joined([_expr(start, inside, first), *[_expr(item, inside) for item in further]], f" {expr.word} ")


def _not(expr: syntax.Not, _: bool) -> Doc:
    return ("not ", _expr(expr.value, NEG))


def _compare(expr: syntax.Compare, first: bool) -> Doc:
    return (_expr(expr.left, SUM, first), f" {expr.sign} ", _expr(expr.right, SUM))


def _arithmetic(expr: syntax.Arithmetic, first: bool) -> Doc:
    inside = _level(expr) + 1
    parts: list[Doc] = [_expr(expr.first, inside, first)]
    for sign, operand in expr.rest:
        parts += [f" {sign} ", _expr(operand, inside)]
    return tuple(parts)


def _power(expr: syntax.Power, first: bool) -> Doc:
    sign = "**" if _simple(expr.base) and _simple(expr.exponent) else " ** "
    return (_expr(expr.base, POSTFIX, first), sign, _expr(expr.exponent, UNARY))


def _minus(expr: syntax.Minus, _: bool) -> Doc:
    return ("-", _expr(expr.value, UNARY))


def _call(expr: syntax.Call, first: bool) -> Doc:
    return (_expr(expr.target, POSTFIX, first), _arguments(expr.arguments))


def _arguments(arguments: tuple[syntax.Argument, ...]) -> Doc:
    return _bracketed("(", map(_argument, arguments), ")")


def _argument(argument: syntax.Argument) -> Doc:
    if isinstance(argument, syntax.Keyword):
        return (f"{argument.name}=", _expr(argument.value))
    return ("*", _expr(argument.value)) if isinstance(argument, syntax.Spread) else _expr(argument)


def _attribute(expr: syntax.Attribute, first: bool) -> Doc:
    return (_expr(expr.value, POSTFIX, first), f".{expr.name}")


def _index(expr: syntax.Index, first: bool) -> Doc:
    return (_expr(expr.value, POSTFIX, first), _bracketed("[", [_expr(expr.index)], "]"))


_LEVELS: dict[type, int] = {
    syntax.Chain: EXPR,
    syntax.Labelled: LINK,
    syntax.OnlyIf: CHOICE,
    syntax.Either: CHOICE,
    syntax.Not: NEG,
    syntax.Compare: COMPARISON,
    syntax.Minus: UNARY,
    syntax.Power: POWER,
    syntax.Call: POSTFIX,
    syntax.Attribute: POSTFIX,
    syntax.Index: POSTFIX,
}

_EXPRESSIONS: dict[type, Callable[[Any, bool], Doc]] = {
    syntax.Name: _name,
    syntax.Literal: _literal,
    syntax.Items: _items,
    syntax.Comprehension: _comprehension,
    syntax.Chain: _chain,
    syntax.Labelled: _labelled,
    syntax.OnlyIf: _only_if,
    syntax.Either: _either,
    syntax.Logic: _logic,
    syntax.Not: _not,
    syntax.Compare: _compare,
    syntax.Arithmetic: _arithmetic,
    syntax.Power: _power,
    syntax.Minus: _minus,
    syntax.Call: _call,
    syntax.Attribute: _attribute,
    syntax.Index: _index,
}


# -------------------------------------------------------------------------------------------------- statements
def _body(statements: tuple[syntax.Statement, ...], indent: int) -> Iterator[str]:
    for statement in statements:
        yield from _STATEMENTS[type(statement)](statement, indent)


def _step(step: syntax.Step, indent: int) -> Iterator[str]:
    yield from _layout(_expr(step.value, first=True), indent)


def _bind(bind: syntax.Bind, indent: int) -> Iterator[str]:
    yield from _layout((_name_text(bind.name), " = ", _expr(bind.value)), indent)


def _scope(scope: syntax.Scope, indent: int) -> Iterator[str]:
    yield from _layout((_name_text(scope.name), ":"), indent)
    yield from _body(scope.body, indent + INDENT)


def _input(declared: syntax.Input, indent: int) -> Iterator[str]:
    dims = [_expr(dim) if default is None else (_expr(dim), "=", _expr(default)) for dim, default in declared.dims]
    yield from _layout((f"input {declared.name}: ", _bracketed("[", dims, "]")), indent)


def _output(output: syntax.Output, indent: int) -> Iterator[str]:
    training = " when training" if output.training else ""
    yield from _layout(("output ", _name_text(output.name), " = ", _expr(output.value), training), indent)


def _require(require: syntax.Require, indent: int) -> Iterator[str]:
    yield from _layout(("require ", _expr(require.test), ", ", _expr(require.message)), indent)


def _if(chosen: syntax.If, indent: int) -> Iterator[str]:
    word = "if"
    for test, body in chosen.arms:
        yield from _layout("else:" if test is None else (word, " ", _expr(test, TEST), ":"), indent)
        yield from _body(body, indent + INDENT)
        word = "elif"


def _for(loop: syntax.For, indent: int) -> Iterator[str]:
    head = ("for ", _targets(loop.targets), " in ", _expr(loop.values, TEST), ":")
    yield from _layout(head, indent)
    yield from _body(loop.body, indent + INDENT)


def _targets(targets: syntax.Targets) -> str:
    return ", ".join(name if isinstance(name, str) else f"({_targets(name)})" for name in targets.names)


_STATEMENTS: dict[type, Callable[[Any, int], Iterator[str]]] = {
    syntax.Step: _step,
    syntax.Bind: _bind,
    syntax.Scope: _scope,
    syntax.Input: _input,
    syntax.Output: _output,
    syntax.Require: _require,
    syntax.If: _if,
    syntax.For: _for,
}


# -------------------------------------------------------------------------------------------------- a file
def _docstring(text: str, indent: int) -> list[str]:
    """Print a docstring; its lines are kept, and one of several lines ends on a line of its own."""
    if not text:
        return []
    start = " " * indent
    if "\n" not in text:
        return [f'{start}"""{text}{" " if text.endswith(chr(34)) else ""}"""']
    first, *rest = text.split("\n")
    return [f'{start}"""{first}', *[start + line if line else "" for line in rest], f'{start}"""']


def _import(item: syntax.Import) -> list[str]:
    return [f"from {item.module} import {', '.join(item.names)}"]


def _settings(item: syntax.Default | syntax.Init) -> list[str]:
    word = "default " if isinstance(item, syntax.Default) else "init "
    return _layout((word, _joined((setting.name, _arguments(setting.arguments)) for setting in item.settings)), 0)


def _fn(item: syntax.Fn) -> list[str]:
    return _layout((f"fn {item.name}", _parameters(item.params), " = ", _expr(item.value)), 0)


def _parameters(params: tuple[syntax.Param, ...]) -> Doc:
    return _bracketed("(", (p.name if p.default is None else (f"{p.name}=", _expr(p.default)) for p in params), ")")


def _block(item: syntax.Block) -> list[str]:
    params: Doc = _parameters(item.params) if item.params else ""
    head = (f"block {item.name}", params, _signature(item.signature), ":")
    return [*_layout(head, 0), *_docstring(item.doc, INDENT), *_body(item.body, INDENT)]


def _signature(signature: syntax.Signature | None) -> Doc:
    if signature is None:
        return ""
    left, right = [_bracketed("[", map(_expr, dims), "]") for dims in (signature.inputs, signature.outputs)]
    return Nest(ARROW, (" ", left, Group((Line(" "), "-> ", right))))


def _net(item: syntax.Net) -> list[str]:
    params: Doc = _parameters(item.params) if item.params else ""
    head = (f"net {item.name}", params, ":")
    return [*_layout(head, 0), *_docstring(item.doc, INDENT), *_body(item.body, INDENT)]


def _alias(item: syntax.Alias) -> list[str]:
    return _layout((f"net {item.name} = ", _expr(item.value)), 0)


_DEFINITIONS: dict[type, Callable[[Any], list[str]]] = {
    syntax.Import: _import,
    syntax.Default: _settings,
    syntax.Init: _settings,
    syntax.Fn: _fn,
    syntax.Block: _block,
    syntax.Net: _net,
    syntax.Alias: _alias,
}
# Definitions of one line stand together with others of their family; everything else is set off by a blank line.
_FAMILIES: dict[type, str] = {
    syntax.Import: "import",
    syntax.Default: "setting",
    syntax.Init: "setting",
    syntax.Fn: "fn",
    syntax.Alias: "alias",
}
