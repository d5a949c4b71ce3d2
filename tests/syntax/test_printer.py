"""Printing and parsing are each other's inverse, and the parser agrees with Lark's own, from which its tables come."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from lark import Token
from lark.exceptions import GrammarError, UnexpectedInput

from archdsl.core.source import Source
from archdsl.diagnostics import CompileError
from archdsl.syntax import grammar, tree
from archdsl.syntax.lexer import Lexer
from archdsl.syntax.parser import SOFT_WORDS, Parser, parse, parse_value
from archdsl.syntax.printer import WIDTH, print_expr, print_module
from tests.syntax.trees import expressions, modules

GALLERY = sorted((Path(__file__).parents[2] / "architectures").glob("*.arch"))
many = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def stem(path: Path) -> str:
    return path.stem


def parsed(text: str) -> tree.Module:
    return parse(Source("text.arch", text))


# -------------------------------------------------------------------------------------------------- the round trip
@many
@given(modules)
def test_files_survive_printing_and_parsing(tree: tree.Module) -> None:
    text = print_module(tree)
    again = parsed(text)
    assert again == tree
    assert repr(again) == repr(tree)  # 1, 1.0 and true are equal, but not alike
    assert print_module(again) == text


@many
@given(expressions(4))
def test_expressions_survive_printing_and_parsing(tree: tree.Expr) -> None:
    text = print_expr(tree)
    again = parse_value(Source("value", text))
    assert repr(again) == repr(tree)
    assert print_expr(again) == text


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_the_gallery_survives(path: Path) -> None:
    tree = parsed(path.read_text(encoding="utf-8"))
    text = print_module(tree)
    assert parsed(text) == tree
    assert print_module(parsed(text)) == text
    assert max(map(len, text.splitlines())) <= WIDTH


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"""a doc that ends in "quotes" """\n',
        '"""a doc\n\nof several lines\n"""\n',
        "from a import b, c\nfrom d import e\n\ndefault conv(bias=false), bn()\ninit conv(zeros)\n",
        "fn one() = 1\nfn two(a, b=[]) = a if b else -a ** -b if not a else (a,)\n",
        "net a = b(1)\nnet c = d\n\nfn f() = 1\n\nnet e = f\n",
        "block a:\n    (input) -> conv\n    (output: conv(1))\n    (require{i}) + 1\n    net\n",
        "block a(b) [N] -> [N, c]:\n    if a:\n        b\n    elif (c if d else e) or f:\n        f\n    else:\n        g\n",
        "net a:\n    for i, (j, k) in b:\n        layer{i+1}_{j}{k + f(1)}: c -> (d -> e) -> f: g * 2\n",
        "net a:\n    output b = c when training\n    require a in [1], \"no\"\n    input b: [N, 3, H=2**i, W=-1]\n",
        "fn f(a) = (a or b) and (not (a and b) or c in d) and (a == b) == c\n",
        "fn f(a) = (a - b) - (c - (d - e)) * (f * g) / (-a) ** 2 ** -b ** -c + (a**b) ** c\n",
        "fn f(a) = [a -> b for (i, j), k in (c if d else e) if (f if g else h)][0](1)(b=2).d.e\n",
    ],
)  # fmt: skip
def test_canonical_text_is_left_alone(text: str) -> None:
    assert print_module(parsed(text)) == text


# In pairs: what somebody wrote, and its canonical form.
MESSY = [
    ("fn f(a,) = ((a)+(b))+(c)*d+[1,]+(1,2,)", "fn f(a) = (a + b) + c * d + [1] + (1, 2)\n"),
    ("net a():\n if a: b -> c\n else: d", "net a:\n    if a:\n        b -> c\n    else:\n        d\n"),
    ("net a:\n for (i) in b: c\n for (((i, j))) in b: c\n for ((i)), ((j, k)) in b: c",
     "net a:\n    for i in b:\n        c\n    for i, j in b:\n        c\n    for i, (j, k) in b:\n        c\n"),
    ("# a comment\n\n\nnet a=b # another\nfn f()=1\n", "net a = b\n\nfn f() = 1\n"),
    ("net a:\n  b\n    -> c # why\n\n    # d\n  -> e", "net a:\n    b -> c -> e\n"),
    ('"""\n   a\n     b\n\n"""', '"""a\nb\n"""\n'),
    ("fn f() = 007 + 1e3 + 1e-7 + 2.50", "fn f() = 7 + 1000.0 + 1e-07 + 2.5\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "canonical"), MESSY)
def test_other_text_is_brought_into_form(text: str, canonical: str) -> None:
    assert print_module(parsed(text)) == canonical


def test_long_lines_are_broken_inside_brackets_and_before_arrows() -> None:
    item = "conv(64, 3, stride=2)"
    tree = parsed(
        f"net a(b=[{', '.join(['100'] * 24)}]):\n    {' -> '.join([item] * 7)}\n    cat({', '.join([item] * 5)})"
    )
    text = print_module(tree)
    items = "".join(f"            {item}{comma}\n" for item, comma in [("100", ",")] * 23 + [("100", "")])
    assert text == (
        f"net a(\n    b=[\n{items.replace('            ', '        ')}    ]\n):\n"
        f"    {item} -> {item} -> {item} -> {item}\n      -> {item} -> {item} -> {item}\n"
        f"    cat(\n{(f'        {item},' + chr(10)) * 4}        {item}\n    )\n"
    )
    assert parsed(text) == tree


def test_the_deepest_tree_survives() -> None:
    """A body may stand on the line of its `if`; on a line of its own it is one level deeper, but no deeper a tree."""
    depth = 0
    for levels in range(1, 200):
        text = "net a:\n" + "".join(f"{' ' * i}b:\n" for i in range(1, levels)) + f"{' ' * levels}if a: b"
        try:
            tree = parsed(text)
        except CompileError:
            break
        depth = levels
        assert parsed(print_module(tree)) == tree
    assert depth > 60


# -------------------------------------------------------------------------------------------------- Lark's own parser
lark_parser = cache(grammar.lark_parser)


def lark_rules(text: str) -> list[tuple[str, str, int]] | None:
    """Return the rules that Lark's parser applies to a text, in order; None where it refuses the text."""
    found: list[tuple[str, str, int]] = []
    lark = lark_parser()
    parser = lark.parse_interactive("", start="start")

    def recorded(rule: Any) -> Any:
        def apply(children: list[Any]) -> None:
            found.append((str(rule.origin.name), str(rule.alias or rule.origin.name), len(rule.expansion)))

        return apply

    parser.parser_state.parse_conf.callbacks = {rule: recorded(rule) for rule in lark.rules}
    try:
        for kind, word, _, _ in Lexer(grammar.load()).tokens(Source("text.arch", text)):
            if kind in SOFT_WORDS and kind not in parser.accepts():
                kind = "NAME"
            if word == "-" and "ADDITIVE" not in parser.choices():
                kind = "MINUS"
            parser.feed_token(Token(kind, word))
        parser.feed_eof()
    except UnexpectedInput:
        return None
    return found


class Recorder(list):  # type: ignore[type-arg]
    """Rules that note which of them were asked for."""

    def __init__(self, rules: list[Any]) -> None:
        super().__init__(rules)
        self.asked: list[tuple[str, str, int]] = []

    def __getitem__(self, number: Any) -> Any:
        found = super().__getitem__(number)
        self.asked.append((found[0].origin, found[0].name, found[0].length))
        return found


def own_rules(text: str) -> list[tuple[str, str, int]] | None:
    """Return the rules that our driver applies to a text, in order; None where it refuses the text."""
    parser = Parser(grammar.load())
    recorder = parser.rules = Recorder(parser.rules)
    try:
        parser.run(Source("text.arch", text), "start")
    except CompileError as mistake:
        assert mistake.diagnostic.code in ("E0107", "E0102", "E0103")
        return None
    return recorder.asked


@pytest.mark.parametrize("path", GALLERY, ids=stem)
def test_the_parser_applies_the_same_rules_as_larks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    rules = own_rules(text)
    assert rules is not None
    assert rules == lark_rules(text)


@settings(many, max_examples=50)
@given(modules)
def test_the_parser_applies_the_same_rules_as_larks_to_any_tree(tree: tree.Module) -> None:
    text = print_module(tree)
    assert own_rules(text) == lark_rules(text) != None  # noqa: E711


@pytest.mark.parametrize("path", GALLERY[:3], ids=stem)
def test_the_parser_refuses_what_larks_refuses(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    places = [start for _, word, start, _ in Lexer(grammar.load()).tokens(Source("text.arch", text)) if word]
    refused = 0
    for start in places[:: max(1, len(places) // 25)]:
        broken = text[:start] + ", " + text[start:]
        rules = own_rules(broken)
        assert (rules is None) == (lark_rules(broken) is None)
        refused += rules is None
    assert refused > 10


# -------------------------------------------------------------------------------------------------- the tables
def test_the_stored_tables_are_those_of_the_grammar() -> None:
    from archdsl.grammars import tables

    assert grammar.load().patterns is tables.PATTERNS, "the grammar has changed: run `make grammar`"
    assert grammar.build() == grammar.load()


SEEDED = [
    ('"not" neg', 'neg "not" neg'),  # binds to the left, or to the right
    ("?target: NAME", "?target: NAME | name"),  # two rules for one word
    ("suite:  _NL", "suite: statement* _NL"),  # an empty option where a statement may start
]


def test_the_grammar_has_no_conflict() -> None:
    grammar.lark_parser(strict=True)


@pytest.mark.parametrize(("old", "new"), SEEDED)
def test_an_ambiguous_grammar_is_refused(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Path(grammar.GRAMMAR).read_text(encoding="utf-8")
    assert old in good
    (tmp_path / "bad.lark").write_text(good.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(grammar, "GRAMMAR", str(tmp_path / "bad.lark"))
    with pytest.raises(GrammarError, match="(?i)conflict|collision"):
        grammar.lark_parser(strict=True)


def test_a_comment_may_stand_between_a_parenthesis_and_the_choice_in_it():
    choice = "conv(4, 3) -> (relu if true)"
    noted = 'conv(4, 3) -> (  # see (3)\n    # and "#"\n    \\\n relu if true)'
    assert parse_value(Source("value", noted)) == parse_value(Source("value", choice))
    with pytest.raises(CompileError, match="no parentheses"):
        parse_value(Source("value", "(conv(4, 3)  # (\n    -> relu if true)"))
