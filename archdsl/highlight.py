"""The language for Pygments, which colours it in documents, on web pages and in terminals; found by its entry point.

    $ pygmentize -l arch mine.arch

The patterns are those of the grammar, so this splits a text as the compiler does. What is no word of the language is an
error token, and highlighting goes on after it.
"""

from __future__ import annotations

import re

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from archdsl.elaborate.expressions import WORDS
from archdsl.syntax.vocabulary import CONSTANTS, HARD, PATTERNS, PUNCTUATION, SIGNS

NAME = PATTERNS["NAME"]
MARGIN = r"(?<![^\n])"  # where a line starts
INDENT = MARGIN + r"([ \t]+)"


class ArchLexer(RegexLexer):  # type: ignore[misc]
    """Splits `.arch` files for Pygments."""

    name = "arch"
    aliases = ["arch", "archdsl"]
    filenames = ["*.arch"]
    mimetypes = ["text/x-arch"]
    flags = re.MULTILINE

    tokens = {
        "root": [
            (rf"{MARGIN}(block|net|fn)([ \t]+)({NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Class)),
            (rf"{MARGIN}(from)([ \t]+)({NAME})", bygroups(Keyword.Namespace, Whitespace, Name.Namespace)),
            (rf"{MARGIN}(default|init)\b", Keyword.Declaration),
            (r"import\b", Keyword.Namespace),
            (rf"{INDENT}(input|output|require)\b", bygroups(Whitespace, Keyword)),
            (rf"{INDENT}(?!else\b)({NAME})(?=:)", bygroups(Whitespace, Name.Label)),
            (r"[(\[{]", Punctuation, "brackets"),
            include("words"),
        ],
        "brackets": [
            (r"[(\[{]", Punctuation, "#push"),
            (r"[)\]}]", Punctuation, "#pop"),
            (rf"({NAME})(=)(?!=)", bygroups(Name.Attribute, Operator)),
            include("words"),
        ],
        "words": [
            (r"[ \t]+|\\\n|\r?\n", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (PATTERNS["LONG_STRING"], String.Doc),
            (PATTERNS["STRING"], String.Double),
            (PATTERNS["FLOAT"], Number.Float),
            (PATTERNS["INTEGER"], Number.Integer),
            (PATTERNS["TRAINING"], Keyword),
            (words(CONSTANTS, suffix=r"\b"), Keyword.Constant),
            (words(HARD, suffix=r"\b"), Keyword),
            (rf"{NAME}(?=:[ \t]+[^\s#])", Name.Label),
            (words(WORDS, suffix=r"\b"), Name.Builtin),
            (NAME, Name),
            (PATTERNS["COMPARE"], Operator),
            (words(SIGNS), Operator),
            (PATTERNS["MULTIPLICATIVE"], Operator),
            (PATTERNS["ADDITIVE"], Operator),
            (words(PUNCTUATION), Punctuation),
        ],
    }
