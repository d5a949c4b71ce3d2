"""Text to tree: runs the LALR(1) tables of the grammar and builds `archdsl.syntax.tree` nodes.

The driver is the textbook one; `Tables` come from Lark (`archdsl.syntax.grammar`). Keeping Lark itself off this path
makes `archdsl check` 55 ms faster as a whole process (its import), which is half of it.
"""

from __future__ import annotations

import re
from contextlib import suppress

from archdsl.core.source import Source, Span
from archdsl.diagnostics import CompileError, Help, Label, elsewhere, errors
from archdsl.syntax import grammar, tree
from archdsl.syntax.lexer import CLOSING, OPENING, Lexer, indent_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from archdsl.syntax.lexer import Token

MAX_DEPTH = 100  # of an expression or of statements inside one another
OUTERMOST = ("body", "block", "net", "start")  # whose place would be a whole definition or file
MAX_DIGITS = 20
MAX_TOKENS = 100_000  # words, numbers and signs in one text, 0.8 s; the largest file of the gallery has under 1,000
PASSED_OVER = re.compile(r"#[^\n]*|\\\n")  # comments, and line ends that do not count
ITEM = re.compile(r"^(?:net|block|fn|default|init|from)\b", re.MULTILINE)  # how an item of a file starts
# Words with a meaning only where a definition or a statement starts; elsewhere they are ordinary names.
SOFT_WORDS = frozenset("FROM IMPORT DEFAULT INIT FN BLOCK NET INPUT OUTPUT REQUIRE".split())


def parse(source: Source) -> tree.Module:
    """Parse a whole file; raises `CompileError` at the first mistake."""
    module = parser().run(source, "start")
    assert isinstance(module, tree.Module), "the rule `start` builds a module"
    return module


def parse_value(source: Source) -> tree.Expr:
    """Parse one expression, such as the value of `--set growth=24`."""
    value = parser().run(source, "value")
    assert isinstance(value, tree.Expr), "the rule `value` builds an expression"
    return value


_PARSERS: list[Parser] = []


def parser() -> Parser:
    """Return the parser of the language."""
    if not _PARSERS:
        _PARSERS.append(Parser(grammar.load()))
    return _PARSERS[0]


class Rows(dict[int, dict[str, int]]):
    """The actions of each state by symbol; a state is unpacked when it is first reached."""

    def __init__(self, tables: grammar.Tables) -> None:
        self.tables = tables

    def __missing__(self, state: int) -> dict[str, int]:
        symbols, actions = self.tables.states[state]
        row = self[state] = dict(zip(symbols.split(), actions))
        return row


class Parser:
    """The tables, ready to run."""

    def __init__(self, tables: grammar.Tables) -> None:
        self.tables = tables
        self.lexer = Lexer(tables)
        self.rules = [
            (
                rule,
                None if rule.origin.startswith("__") else BUILDERS.get(rule.name, _group),
                rule.inline and rule.keep == (True,) and rule.absent == (0, 0),  # `?a: b`: the value stays as it is
            )
            for rule in tables.rules
        ]
        self.rows = Rows(tables)

    def run(self, source: Source, start: str, tokens: list[Token] | None = None) -> Any:
        """Parse a text from one of the grammar's start rules; its tokens may be given."""
        states = [self.tables.starts[start]]
        values: list[Any] = []
        spans: list[tuple[int, int]] = []
        depths: list[int] = []
        rules, rows, end = self.rules, self.rows, self.tables.ends[start]
        for number, token in enumerate(tokens or self._tokens(source)):
            kind, word, first, last = token
            if number > MAX_TOKENS:
                title = "this text is too long"
                raise errors.limit_exceeded(Span(source, first, last), title, "too many words", MAX_TOKENS)
            while True:
                row = rows[states[-1]]
                action = row.get(kind)
                if action is None:
                    kind = otherwise(kind, word, row)
                    action = row.get(kind)
                if action is None:
                    raise unexpected(source, token, row)
                if action >= 0:
                    states.append(action)
                    values.append(word)
                    spans.append((first, last))
                    depths.append(0)
                    break
                rule, build, unit = rules[~action]
                if unit:
                    states[-1] = rows[states[-2]][rule.origin]
                    continue
                _reduce(source, rule, build, values, spans, depths)
                if rule.length:
                    del states[-rule.length :]
                states.append(rows[states[-1]][rule.origin])
                if kind == "$END" and states[-1] == end:
                    return values[-1]
        raise AssertionError("the end marker always ends the loop")

    def _tokens(self, source: Source) -> Any:
        yield from self.lexer.tokens(source)
        end = len(source.text)
        yield "$END", "", end, end


def _reduce(
    source: Source, rule: grammar.Rule, build: Any, values: list[Any], spans: list[tuple[int, int]], depths: list[int]
) -> None:
    """Put what a rule makes in the place of its children: its value, its place, and how deep it is."""
    length = rule.length
    if length:
        place = (spans[-length][0], spans[-1][1])
        children, depth = values[-length:], max(depths[-length:])
        del values[-length:], spans[-length:], depths[-length:]
    else:
        place = (spans[-1][1], spans[-1][1]) if spans else (0, 0)
        children, depth = [], 0
    children = _children(rule, children)
    if build is None:
        value: Any = children if isinstance(children, _Splice) else _Splice(children)
    elif rule.inline and len(children) == 1:
        value = children[0]
    else:
        depth += 1
        if depth > MAX_DEPTH and rule.name not in OUTERMOST:
            raise errors.too_deep(Span(source, *place), "expressions", MAX_DEPTH)
        value = build(Span(source, *place), *children)
    values.append(value)
    spans.append(place)
    depths.append(depth)


def otherwise(kind: str, word: str, row: dict[str, int]) -> str:
    """Return what a token is in a state that does not take its kind: a word may be a name, and `-` is two signs."""
    if kind.lower() == word and "NAME" in row and kind in SOFT_WORDS:
        return "NAME"
    return "MINUS" if word == "-" and kind == "ADDITIVE" and "MINUS" in row else kind


class _Splice(list):  # type: ignore[type-arg]
    """Children of a helper rule (`x*`, `x+`), to be spliced into the rule around it."""


def _children(rule: grammar.Rule, values: list[Any]) -> list[Any]:
    """Return the children of a rule; the first splice is taken over and not copied, or long lists would take n**2."""
    found: list[Any] = []
    for value, keep, absent in zip(values, rule.keep, rule.absent):
        if absent:
            found += [None] * absent
        if isinstance(value, _Splice):
            found = found + value if found else value
        elif keep:
            found.append(value)
    found += [None] * rule.absent[-1]
    return found


# -------------------------------------------------------------------------------------------------- mistakes
WORDS = {
    "NAME": "a name",
    "INTEGER": "a number",
    "FLOAT": "a number",
    "STRING": "a string",
    "LONG_STRING": "a docstring",
    "_NL": "the end of the line",
    "_INDENT": "an indented body",
    "_DEDENT": "the end of the body",
    "$END": "the end of the file",
    "COMPARE": "a comparison",
    "ADDITIVE": "`+`",
    "MULTIPLICATIVE": "`/`",
    "TRAINING": "`when training`",
}
VALUES = frozenset("NAME INTEGER FLOAT STRING TRUE FALSE LPAR LSQB MINUS NOT".split())
SIGNS = frozenset(
    "COMPARE ADDITIVE STAR MULTIPLICATIVE MINUS IF AND OR IN __ANON_0 __ANON_1 LPAR LSQB DOT LBRACE".split()
)


def unexpected(source: Source, token: Token, row: dict[str, int]) -> CompileError:
    """Return the mistake of a token that does not fit, by what would."""
    kind, word, start, end = token
    if source.text.startswith('"""', start):
        return errors.strange_character(Span(source, start, start + 3))
    found = WORDS.get(kind, "") if not word else f"`{word}`" if len(word) < 30 else WORDS.get(kind, "text")
    if kind in ("_NL", "$END", "_DEDENT"):
        start = end = max(0, len(source.text[:start].rstrip()))
    terminals = [symbol for symbol in row if symbol.isupper()]
    found = found.removeprefix("a ").removeprefix("an ").removeprefix("the ") or "text"
    place, brackets = Span(source, start, end), open_brackets(source, start)
    opened = brackets[-1] if brackets and brackets[-1].line != place.line else None
    if opened is not None and _starts_statement(place, opened):
        return errors.unclosed(opened, OPENING[opened.text], place)
    labels = [Label(opened, "still open at that place")] if opened is not None else []
    end_before = _code_end(source, place)
    if kind == "_INDENT":
        labels.append(Label(end_before, "no `:` ends this line"))
    elif opened is not None and source.text[end_before.end : start].isspace() and end_before.line < place.line:
        labels.append(Label(end_before, "a comma or a bracket may be missing here"))
    return errors.unexpected(place, found, _wanted(terminals), _hint(place, kind, word, row), labels)


def _code_end(source: Source, place: Span) -> Span:
    """Return the end of the last line with code on it before that of a place."""
    end = place.start - (place.column - 1)
    while end > 0:
        start = source.text.rfind("\n", 0, end - 1) + 1
        code = source.text[start:end].partition("#")[0].rstrip()
        if code:
            return Span(source, start + len(code), start + len(code))
        end = start
    return Span(source, 0, 0)


def _starts_statement(place: Span, opened: Span) -> bool:
    """Say whether a token begins a line that is indented no further than that of a bracket: its end was forgotten."""
    before, line = [place.source.line(span.line) for span in (opened, place)]
    return ITEM.match(line) is not None or indent_of(line) == place.column - 1 <= indent_of(before)


def open_brackets(source: Source, end: int) -> list[Span]:
    """Return the brackets that are open at a place, up to which a text has tokens, the innermost last."""
    opened: list[Span] = []
    with suppress(CompileError):  # what stands at the place may be no token
        for _, word, start, after in parser().lexer.tokens(source):
            if start >= end:
                break
            if word in OPENING:
                opened.append(Span(source, start, after))
            elif word in CLOSING:
                opened.pop()
    return opened


def _wanted(terminals: list[str]) -> list[str]:
    """Name what the parser would accept, a whole expression as one thing."""
    literal = {name: f"`{text}`" for text, name in parser().tables.literals.items()}
    left = set(terminals)
    words = []
    if {"NAME", "INTEGER", "LPAR"} <= left:
        words.append("a value")
        left -= VALUES | {"STAR"}
    elif {"ADDITIVE", "MULTIPLICATIVE"} <= left:
        left -= SIGNS
    words += sorted({WORDS.get(t) or literal.get(t, t) for t in left})
    return words


def _hint(place: Span, kind: str, word: str, row: dict[str, int]) -> Help | None:
    line = place.source.line(place.line)
    if kind == "_INDENT":
        return Help("only the lines of a body, after `:`, are indented")
    if word in elsewhere.WORDS:
        return Help(elsewhere.WORDS[word])
    if kind == "_NL" and "COLON" in row:
        text = "a body starts with `:` at the end of this line"
        return Help(text) if "#" in line else Help(text, place, ":")
    if (kind == "_NL" and "_INDENT" in row) or (kind != "_INDENT" and list(row) == ["_INDENT"]):
        return Help("indent the lines of the body")
    return elsewhere.of_syntax(place)


# -------------------------------------------------------------------------------------------------- building the tree
def _group(span: Span, *children: Any) -> Any:
    """Keep the children of a rule that has no node of its own as a tuple, or alone where there is just one."""
    return children[0] if len(children) == 1 else children


def _start(span: Span, *children: Any) -> tree.Module:
    doc = children[0] if children and isinstance(children[0], str) else ""
    return tree.Module(span, span.source, doc, tuple(c for c in children if not isinstance(c, str)))


def _docstring(span: Span, text: str) -> str:
    lines = [line.strip() for line in text[3:-3].strip().split("\n")]
    return "\n".join(lines)


def _names(span: Span, module: str, *names: str) -> tree.Import:
    return tree.Import(span, module, names)


def _body(span: Span, *children: Any) -> tuple[str, tuple[tree.Statement, ...]]:
    doc, *statements = children
    return doc or "", tuple(statements)


def _block(span: Span, name: str, params: Any, signature: Any, body: Any) -> tree.Block:
    return tree.Block(span, name, params or (), signature, *body)


def _net(span: Span, name: str, params: Any, body: Any) -> tree.Net:
    return tree.Net(span, name, params or (), *body)


def _present(span: Span, *children: Any) -> tuple[Any, ...]:
    return tuple(c for c in children if c is not None)


def _if(span: Span, test: Any, body: Any, *rest: Any) -> tree.If:
    *elifs, otherwise = rest
    arms = [(test, body), *elifs]
    return tree.If(span, tuple(arms if otherwise is None else [*arms, (None, otherwise)]))


def _integer(span: Span, text: str) -> tree.Literal:
    if len(text) > MAX_DIGITS:
        raise errors.number_too_large(span)
    return tree.Literal(span, int(text))


def _float(span: Span, text: str) -> tree.Literal:
    value = float(text)
    if value == float("inf"):
        raise errors.number_too_large(span)
    return tree.Literal(span, value)


def _targets(span: Span, *names: Any) -> tree.Targets:
    """Parentheses group, and around one thing they say nothing: `for (a, b) in` is `for a, b in`."""
    plain = [n.names[0] if isinstance(n, tree.Targets) and len(n.names) == 1 else n for n in names]
    if len(plain) == 1 and isinstance(plain[0], tree.Targets):
        return plain[0]
    return tree.Targets(span, tuple(plain))


def _chain(span: Span, *links: Any) -> tree.Chain:
    """A choice in a chain stands in parentheses: `a -> b if test` reads as if the test were of the whole chain."""
    end = span.start
    for link in links:
        choice = link.value if isinstance(link, tree.Labelled) else link
        if isinstance(choice, (tree.OnlyIf, tree.Either)):
            gaps = [(end, link.span.start)]
            if isinstance(link, tree.Labelled):
                gaps.append((link.name.span.end, choice.span.start))
            if not any(PASSED_OVER.sub("", span.source.text[slice(*gap)]).rstrip().endswith("(") for gap in gaps):
                raise errors.open_choice(choice.span, span)
        end = link.span.end
    return tree.Chain(span, links)


def _arithmetic(span: Span, first: Any, *rest: Any) -> tree.Expr:
    return tree.Arithmetic(span, first, tuple(zip(rest[::2], rest[1::2])))


BUILDERS: dict[str, Callable[..., Any]] = {
    "start": _start,
    "docstring": _docstring,
    "import": _names,
    "default": lambda span, *settings: tree.Default(span, settings),
    "init": lambda span, *settings: tree.Init(span, settings),
    "setting": tree.Setting,
    "fn": tree.Fn,
    "block": _block,
    "net": _net,
    "alias": tree.Alias,
    "parameters": _present,
    "parameter": tree.Param,
    "signature": tree.Signature,
    "dims": _present,
    "body": _body,
    "suite": lambda span, *statements: statements,
    "step": tree.Step,
    "bind": tree.Bind,
    "scope": lambda span, name, *body: tree.Scope(span, name, body),
    "input": lambda span, name, *dims: tree.Input(span, name, dims),
    "size": lambda span, dim, default: (dim, default),
    "output": lambda span, name, value, training: tree.Output(span, name, value, training is not None),
    "require": tree.Require,
    "if": _if,
    "elif": lambda span, test, body: (test, body),
    "for": tree.For,
    "targets": _targets,
    "chain": _chain,
    "labelled": tree.Labelled,
    "only_if": tree.OnlyIf,
    "either": tree.Either,
    "any_of": lambda span, *items: tree.Logic(span, "or", items),
    "all_of": lambda span, *items: tree.Logic(span, "and", items),
    "negate": tree.Not,
    "compare": lambda span, left, sign, right: tree.Compare(span, sign, left, right),
    "member": lambda span, left, right: tree.Compare(span, "in", left, right),
    "arithmetic": _arithmetic,
    "minus": tree.Minus,
    "raised": tree.Power,
    "call": tree.Call,
    "attribute": lambda span, value, name: tree.Attribute(span, value, name.plain or "", None if name.plain else name),
    "index": tree.Index,
    "slice": tree.Slice,
    "integer": _integer,
    "float": _float,
    "string": lambda span, text: tree.Literal(span, text[1:-1]),
    "true": lambda span: tree.Literal(span, True),
    "false": lambda span: tree.Literal(span, False),
    "group": lambda span, value: value,
    "tuple": lambda span, *items: tree.Items(span, _present(span, *items), True),
    "list": lambda span, *items: tree.Items(span, _present(span, *items)),
    "comprehension": tree.Comprehension,
    "arguments": _present,
    "keyword": tree.Keyword,
    "spread": tree.Spread,
    "name": lambda span, *parts: tree.Name(span, parts),
    "interpolation": lambda span, value: value,
    "value": lambda span, value: value,
}
