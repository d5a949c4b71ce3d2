"""What the words of a text are by the compiler's own lexer and parser: what every highlighter is held to."""

from __future__ import annotations

from archdsl.core.source import Source
from archdsl.elaborate.expressions import WORDS
from archdsl.syntax import trivia
from archdsl.syntax.parser import SOFT_WORDS
from archdsl.syntax.printer import STATEMENT_WORDS

LITERALS = {"INTEGER": "number", "FLOAT": "number", "STRING": "string", "LONG_STRING": "string", "TRAINING": "keyword"}
PUNCTUATION = tuple("()[]{},.:")


def spelled(text: str) -> list[tuple[str, str]]:
    """Return every word and comment of a text with what it is, in order."""
    found = []
    read = trivia.read(Source("text.arch", text))
    for line in read.lines:
        for number, word in enumerate(line.words):
            found += [("comment", comment.text) for comment in word.comments]
            found.append((_kind(word, number, line), word.text))
            found += [("comment", word.aside.text)] if word.aside is not None else []
    return found + [("comment", comment.text) for comment in read.comments]


def _kind(word: trivia.Word, number: int, line: trivia.Line) -> str:
    if word.kind in LITERALS:
        return LITERALS[word.kind]
    if word.kind in SOFT_WORDS:  # keywords where an item or a statement starts, and names elsewhere
        starts = number == 0 and (word.text in STATEMENT_WORDS) == (line.level > 0)
        imports = word.kind == "IMPORT" and line.words[0].kind == "FROM"
        return "keyword" if starts or imports else "name"
    if word.kind == "NAME":
        return "builtin" if word.text in WORDS else "name"
    if word.text.isalpha():
        return "keyword"
    return "punctuation" if word.text in PUNCTUATION else "operator"
