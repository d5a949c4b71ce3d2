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

from archdsl.core.record import Record
from archdsl.syntax import tree

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


def print_module(module: tree.Module) -> str:
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


def print_expr(expr: tree.Expr) -> str:
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
def _expr(expr: tree.Expr, level: int = EXPR, first: bool = False) -> Doc:
    """Return the document of an expression, in parentheses where it binds more loosely than its place asks.

    `first` says that a statement starts here: a name that would be taken for the word of a statement then stands in
    parentheses.
    """
    if _level(expr) < level:
        return ("(", _EXPRESSIONS[type(expr)](expr, False), ")")
    return _EXPRESSIONS[type(expr)](expr, first)


def _level(expr: tree.Expr) -> int:
    if isinstance(expr, tree.Logic):
        return TEST if expr.word == "or" else CONJ
    if isinstance(expr, tree.Arithmetic):
        return SUM if expr.rest[0][0] in ("+", "-") else PRODUCT
    return _LEVELS.get(type(expr), ATOM)


def _name(expr: tree.Name, first: bool) -> Doc:
    doc = _name_text(expr)
    return ("(", doc, ")") if first and expr.parts[0] in STATEMENT_WORDS else doc


def _name_text(expr: tree.Name) -> Doc:
    parts = [part if isinstance(part, str) else ("{", _tight(part), "}") for part in expr.parts]
    return parts[0] if len(parts) == 1 else tuple(parts)


def _tight(expr: tree.Expr) -> Doc:
    """Print what is interpolated: `{i+1}`, without spaces where it is that simple."""
    if isinstance(expr, tree.Arithmetic) and all(map(_simple, [expr.first, *[operand for _, operand in expr.rest]])):
        return (_expr(expr.first), *[(sign, _expr(operand)) for sign, operand in expr.rest])
    return _expr(expr)


def _simple(expr: tree.Expr) -> bool:
    return isinstance(expr, (tree.Name, tree.Literal))


def _literal(expr: tree.Literal, _: bool) -> Doc:
    value = expr.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def _items(expr: tree.Items, _: bool) -> Doc:
    items = [_expr(item) for item in expr.items]
    if not expr.tuple:
        return _bracketed("[", items, "]")
    return ("(", items[0], ",)") if len(items) == 1 else _bracketed("(", items, ")")


def _comprehension(expr: tree.Comprehension, _: bool) -> Doc:
    parts: list[Doc] = [Line(""), _expr(expr.item), Line(" "), "for ", _targets(expr.targets)]
    parts += [" in ", _expr(expr.values, TEST)]
    if expr.test is not None:
        parts += [Line(" "), "if ", _expr(expr.test, TEST)]
    return Group(("[", Nest(INDENT, tuple(parts)), Line(""), "]"))


def _chain(expr: tree.Chain, first: bool) -> Doc:
    start, *links = expr.links
    further = [Group((Line(" "), "-> ", _link(link))) for link in links]
    return Nest(ARROW, (_link(start, first), *further))


def _link(expr: tree.Expr, first: bool = False) -> Doc:
    """Print an item of a chain, in which a choice has parentheses."""
    if isinstance(expr, tree.Labelled):
        return _labelled(expr, first, TEST)
    return _expr(expr, LINK if isinstance(expr, tree.Chain) else TEST, first)


def _labelled(expr: tree.Labelled, first: bool, level: int = CHOICE) -> Doc:
    doc = (_name_text(expr.name), ": ", _expr(expr.value, level))
    return ("(", doc, ")") if first and expr.name.parts[0] in STATEMENT_WORDS else doc


def _only_if(expr: tree.OnlyIf, first: bool) -> Doc:
    return (_expr(expr.value, TEST, first), " if ", _expr(expr.test, TEST))


def _either(expr: tree.Either, first: bool) -> Doc:
    value, test = _expr(expr.value, TEST, first), _expr(expr.test, TEST)
    return (value, " if ", test, " else ", _expr(expr.other, CHOICE))


def _logic(expr: tree.Logic, first: bool) -> Doc:
    start, *further = expr.items
    inside = _level(expr) + 1
    return _joined([_expr(start, inside, first), *[_expr(item, inside) for item in further]], f" {expr.word} ")


def _not(expr: tree.Not, _: bool) -> Doc:
    return ("not ", _expr(expr.value, NEG))


def _compare(expr: tree.Compare, first: bool) -> Doc:
    return (_expr(expr.left, SUM, first), f" {expr.sign} ", _expr(expr.right, SUM))


def _arithmetic(expr: tree.Arithmetic, first: bool) -> Doc:
    inside = _level(expr) + 1
    parts: list[Doc] = [_expr(expr.first, inside, first)]
    for sign, operand in expr.rest:
        parts += [f" {sign} ", _expr(operand, inside)]
    return tuple(parts)


def _power(expr: tree.Power, first: bool) -> Doc:
    sign = "**" if _simple(expr.base) and _simple(expr.exponent) else " ** "
    return (_expr(expr.base, POSTFIX, first), sign, _expr(expr.exponent, UNARY))


def _minus(expr: tree.Minus, _: bool) -> Doc:
    return ("-", _expr(expr.value, UNARY))


def _call(expr: tree.Call, first: bool) -> Doc:
    return (_expr(expr.target, POSTFIX, first), _arguments(expr.arguments))


def _arguments(arguments: tuple[tree.Argument, ...]) -> Doc:
    return _bracketed("(", map(_argument, arguments), ")")


def _argument(argument: tree.Argument) -> Doc:
    if isinstance(argument, tree.Keyword):
        return (f"{argument.name}=", _expr(argument.value))
    return ("*", _expr(argument.value)) if isinstance(argument, tree.Spread) else _expr(argument)


def _attribute(expr: tree.Attribute, first: bool) -> Doc:
    name = expr.name if expr.computed is None else _name_text(expr.computed)
    return (_expr(expr.value, POSTFIX, first), ".", name)


def _index(expr: tree.Index, first: bool) -> Doc:
    return (_expr(expr.value, POSTFIX, first), _bracketed("[", [_expr(expr.index, CHOICE)], "]"))


def _slice(expr: tree.Slice, first: bool) -> Doc:
    ends = ["" if end is None else _expr(end, CHOICE) for end in (expr.first, expr.last)]
    return (_expr(expr.value, POSTFIX, first), _bracketed("[", [(ends[0], ":", ends[1])], "]"))


_LEVELS: dict[type, int] = {
    tree.Chain: EXPR,
    tree.Labelled: LINK,
    tree.OnlyIf: CHOICE,
    tree.Either: CHOICE,
    tree.Not: NEG,
    tree.Compare: COMPARISON,
    tree.Minus: UNARY,
    tree.Power: POWER,
    tree.Call: POSTFIX,
    tree.Attribute: POSTFIX,
    tree.Index: POSTFIX,
    tree.Slice: POSTFIX,
}

_EXPRESSIONS: dict[type, Callable[[Any, bool], Doc]] = {
    tree.Name: _name,
    tree.Literal: _literal,
    tree.Items: _items,
    tree.Comprehension: _comprehension,
    tree.Chain: _chain,
    tree.Labelled: _labelled,
    tree.OnlyIf: _only_if,
    tree.Either: _either,
    tree.Logic: _logic,
    tree.Not: _not,
    tree.Compare: _compare,
    tree.Arithmetic: _arithmetic,
    tree.Power: _power,
    tree.Minus: _minus,
    tree.Call: _call,
    tree.Attribute: _attribute,
    tree.Index: _index,
    tree.Slice: _slice,
}


# -------------------------------------------------------------------------------------------------- statements
def _body(statements: tuple[tree.Statement, ...], indent: int) -> Iterator[str]:
    for statement in statements:
        yield from _STATEMENTS[type(statement)](statement, indent)


def _step(step: tree.Step, indent: int) -> Iterator[str]:
    yield from _layout(_expr(step.value, first=True), indent)


def _bind(bind: tree.Bind, indent: int) -> Iterator[str]:
    yield from _layout((_name_text(bind.name), " = ", _expr(bind.value)), indent)


def _scope(scope: tree.Scope, indent: int) -> Iterator[str]:
    yield from _layout((_name_text(scope.name), ":"), indent)
    yield from _body(scope.body, indent + INDENT)


def _input(declared: tree.Input, indent: int) -> Iterator[str]:
    dims = [_expr(dim) if default is None else (_expr(dim), "=", _expr(default)) for dim, default in declared.dims]
    yield from _layout((f"input {declared.name}: ", _bracketed("[", dims, "]")), indent)


def _output(output: tree.Output, indent: int) -> Iterator[str]:
    training = " when training" if output.training else ""
    yield from _layout(("output ", _name_text(output.name), " = ", _expr(output.value), training), indent)


def _require(require: tree.Require, indent: int) -> Iterator[str]:
    yield from _layout(("require ", _expr(require.test), ", ", _expr(require.message)), indent)


def _if(chosen: tree.If, indent: int) -> Iterator[str]:
    word = "if"
    for test, body in chosen.arms:
        yield from _layout("else:" if test is None else (word, " ", _expr(test, TEST), ":"), indent)
        yield from _body(body, indent + INDENT)
        word = "elif"


def _for(loop: tree.For, indent: int) -> Iterator[str]:
    head = ("for ", _targets(loop.targets), " in ", _expr(loop.values, TEST), ":")
    yield from _layout(head, indent)
    yield from _body(loop.body, indent + INDENT)


def _targets(targets: tree.Targets) -> str:
    return ", ".join(name if isinstance(name, str) else f"({_targets(name)})" for name in targets.names)


_STATEMENTS: dict[type, Callable[[Any, int], Iterator[str]]] = {
    tree.Step: _step,
    tree.Bind: _bind,
    tree.Scope: _scope,
    tree.Input: _input,
    tree.Output: _output,
    tree.Require: _require,
    tree.If: _if,
    tree.For: _for,
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


def _import(item: tree.Import) -> list[str]:
    return [f"from {item.module} import {', '.join(item.names)}"]


def _settings(item: tree.Default | tree.Init) -> list[str]:
    word = "default " if isinstance(item, tree.Default) else "init "
    return _layout((word, _joined((setting.name, _arguments(setting.arguments)) for setting in item.settings)), 0)


def _fn(item: tree.Fn) -> list[str]:
    return _layout((f"fn {item.name}", _parameters(item.params), " = ", _expr(item.value)), 0)


def _parameters(params: tuple[tree.Param, ...]) -> Doc:
    return _bracketed("(", (p.name if p.default is None else (f"{p.name}=", _expr(p.default)) for p in params), ")")


def _block(item: tree.Block) -> list[str]:
    params: Doc = _parameters(item.params) if item.params else ""
    head = (f"block {item.name}", params, _signature(item.signature), ":")
    return [*_layout(head, 0), *_docstring(item.doc, INDENT), *_body(item.body, INDENT)]


def _signature(signature: tree.Signature | None) -> Doc:
    if signature is None:
        return ""
    left, right = [_bracketed("[", map(_expr, dims), "]") for dims in (signature.inputs, signature.outputs)]
    return Nest(ARROW, (" ", left, Group((Line(" "), "-> ", right))))


def _net(item: tree.Net) -> list[str]:
    params: Doc = _parameters(item.params) if item.params else ""
    head = (f"net {item.name}", params, ":")
    return [*_layout(head, 0), *_docstring(item.doc, INDENT), *_body(item.body, INDENT)]


def _alias(item: tree.Alias) -> list[str]:
    return _layout((f"net {item.name} = ", _expr(item.value)), 0)


_DEFINITIONS: dict[type, Callable[[Any], list[str]]] = {
    tree.Import: _import,
    tree.Default: _settings,
    tree.Init: _settings,
    tree.Fn: _fn,
    tree.Block: _block,
    tree.Net: _net,
    tree.Alias: _alias,
}
# Definitions of one line stand together with others of their family; everything else is set off by a blank line.
_FAMILIES: dict[type, str] = {
    tree.Import: "import",
    tree.Default: "setting",
    tree.Init: "setting",
    tree.Fn: "fn",
    tree.Alias: "alias",
}
