"""The words of the language by what they are to a reader: what highlighters, which do not parse, go by."""

from __future__ import annotations

from archdsl.syntax import grammar
from archdsl.syntax.parser import SOFT_WORDS

TABLES = grammar.load()
PATTERNS = dict(TABLES.patterns)
HARD = [text for text, kind in TABLES.literals.items() if text.isalpha() and kind not in SOFT_WORDS]  # never names
SYMBOLS = [text for text in TABLES.literals if not text.isalpha()]
PUNCTUATION = [symbol for symbol in SYMBOLS if symbol in "()[]{},.:"]
SIGNS = [symbol for symbol in SYMBOLS if symbol not in PUNCTUATION]
# Names elsewhere, these are keywords where an item of a file or a statement starts.
DEFINING, SETTING, STATEMENTS = ("block", "net", "fn"), ("default", "init"), ("input", "output", "require")
CONSTANTS = ("true", "false")
