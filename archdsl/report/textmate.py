"""The language as a TextMate grammar, which VS Code and many other editors and sites colour texts by.

`make editors`, or `python -m archdsl.report.textmate`, writes it into `editors/vscode/`; a test holds it current, and
another holds it to the compiler's own lexer.
"""

from __future__ import annotations

import json
import os
import re

from archdsl.core.source import folder_of
from archdsl.elaborate.expressions import WORDS
from archdsl.syntax.vocabulary import (
    CONSTANTS,
    DEFINING,
    HARD,
    PATTERNS,
    PUNCTUATION,
    SETTING,
    SIGNS,
    STATEMENTS,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PATH = ("editors", "vscode", "syntaxes", "arch.tmLanguage.json")
NAME = PATTERNS["NAME"]
KEYWORD, LABEL, OPERATOR = "keyword.control.arch", "entity.name.tag.label.arch", "keyword.operator.arch"
MARK = "punctuation.separator.arch"


def grammar() -> dict[str, Any]:
    """Return the grammar as plain data."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "arch",
        "scopeName": "source.arch",
        "fileTypes": ["arch"],
        "patterns": [{"include": "#statements"}, {"include": "#words"}],
        "repository": {
            "statements": {"patterns": _statements()},
            "brackets": _brackets(),
            "words": {"patterns": _words()},
        },
    }


def _statements() -> list[dict[str, Any]]:
    """Return what starts an item of a file or a statement, which is never inside brackets."""
    return [
        _parts(rf"^({_any(DEFINING)})[ \t]+({NAME})", "keyword.declaration.arch", "entity.name.type.arch"),
        _parts(rf"^(from)[ \t]+({NAME})(?:[ \t]+(import)\b)?", KEYWORD, "entity.name.namespace.arch", KEYWORD),
        _parts(rf"^({_any(SETTING)})\b", "keyword.declaration.arch"),
        _parts(rf"^[ \t]+({_any(STATEMENTS)})\b", KEYWORD),
        _parts(rf"^[ \t]+(?!else\b)({NAME})(?=:)", LABEL),
    ]


def _brackets() -> dict[str, Any]:
    mark = {"0": {"name": "punctuation.section.arch"}}
    named = _parts(rf"({NAME})(=)(?!=)", "variable.parameter.arch", OPERATOR)
    inside = [named, {"include": "#words"}]
    return {"begin": r"[(\[{]", "end": r"[)\]}]", "beginCaptures": mark, "endCaptures": mark, "patterns": inside}


def _words() -> list[dict[str, Any]]:
    return [
        {"name": "comment.line.number-sign.arch", "match": "#.*$"},
        {"name": "string.quoted.docstring.arch", "begin": '"""', "end": '"""'},
        {"name": "string.quoted.double.arch", "match": '"[^"]*"'},
        {"name": "constant.numeric.float.arch", "match": PATTERNS["FLOAT"]},
        {"name": "constant.numeric.integer.arch", "match": PATTERNS["INTEGER"]},
        {"name": KEYWORD, "match": rf"\b{PATTERNS['TRAINING']}"},
        {"name": "constant.language.arch", "match": _whole(CONSTANTS)},
        {"name": KEYWORD, "match": _whole(HARD)},
        {"name": LABEL, "match": rf"{NAME}(?=:[ \t]+[^\s#])"},
        {"name": "support.function.arch", "match": _whole(WORDS)},
        {"name": "variable.other.arch", "match": NAME},
        {"include": "#brackets"},
        {"name": OPERATOR, "match": f"{PATTERNS['COMPARE']}|{_any(SIGNS)}"},
        {"name": OPERATOR, "match": f"{PATTERNS['MULTIPLICATIVE']}|{PATTERNS['ADDITIVE']}"},
        {"name": MARK, "match": _any(mark for mark in PUNCTUATION if mark in ",.:")},
    ]


def _any(words: Iterable[str]) -> str:
    """Return the pattern of one of some words, the longest that fits."""
    return "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))


def _whole(words: Iterable[str]) -> str:
    return rf"\b(?:{_any(words)})\b"


def _parts(match: str, *names: str) -> dict[str, Any]:
    """Return a pattern of several words, each with its name."""
    return {"match": match, "captures": {str(number): {"name": name} for number, name in enumerate(names, 1)}}


def text() -> str:
    """Return the grammar as its file has it."""
    return json.dumps(grammar(), indent=2) + "\n"


if __name__ == "__main__":
    with open(os.path.join(os.path.dirname(folder_of("archdsl.grammars")), *PATH), "w", encoding="utf-8") as file:
        file.write(text())
