"""What each word is to tree-sitter, by which Neovim, Helix and others colour texts: the queries of its grammar.

`make editors`, or `python -m archdsl.report.treesitter`, writes them beside the grammar; a test holds them current, and
another holds them, run over the gallery, to the compiler's own lexer. No word fits two patterns, as editors differ in
which of two counts.
"""

from __future__ import annotations

import os
import re

from archdsl.core.source import folder_of
from archdsl.elaborate.expressions import WORDS
from archdsl.syntax.vocabulary import CONSTANTS, DEFINING, HARD, PUNCTUATION, SETTING, SIGNS, STATEMENTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = ("editors", "tree-sitter-archdsl", "queries")
# Symbols that are patterns in the grammar of the compiler, and words in that of tree-sitter.
PATTERNED = ("==", "!=", "<=", ">=", "<", ">", "+", "-", "/", "//", "%")
BRACKETS = "()[]{}"
HELIX = {  # its themes have other names for some things
    "boolean": "constant.builtin.boolean",
    "keyword": "keyword.control",
    "keyword.import": "keyword.control.import",
    "module": "namespace",
    "number": "constant.numeric.integer",
    "number.float": "constant.numeric.float",
    "string.documentation": "string",
    "variable.member": "variable.other.member",
}


def files() -> dict[str, str]:
    """Return the texts of the queries by their names: for Neovim and tree-sitter itself, and for Helix."""
    text = highlights()
    helix = re.sub(r"@([\w.]+)", lambda found: "@" + HELIX.get(found.group(1), found.group(1)), text)
    return {"highlights.scm": text, "helix/highlights.scm": helix}


def highlights() -> str:
    """Return the queries that colour a text."""
    signs = sorted({*SIGNS, *PATTERNED})
    marks = [mark for mark in PUNCTUATION if mark not in BRACKETS]
    keywords = [word for word in HARD if word not in CONSTANTS]
    builtin = "|".join(sorted(set(WORDS)))
    parts = [
        "; Written by `make editors` from the words of the compiler.",
        "(comment) @comment",
        "(string) @string\n(long_string) @string.documentation",
        "(integer) @number\n(float) @number.float",
        "[(true) (false)] @boolean",
        f"{_any((*DEFINING, *SETTING))} @keyword.function",
        f"{_any((*keywords, *STATEMENTS))} @keyword\n(training) @keyword",
        '["from" "import"] @keyword.import',
        f"{_any(signs)} @operator",
        f"{_any(BRACKETS)} @punctuation.bracket",
        f"{_any(marks)} @punctuation.delimiter",
        "(block name: (identifier) @type)\n(net name: (identifier) @type)\n(alias name: (identifier) @type)",
        "(function name: (identifier) @function)",
        "(import module: (identifier) @module)\n(import name: (identifier) @type)",
        "(setting name: (identifier) @function.builtin)",
        "(parameter name: (identifier) @variable.parameter)\n(keyword name: (identifier) @variable.parameter)",
        "(attribute attribute: (identifier) @variable.member)",
        "(label (identifier) @label)",
        "(input name: (identifier) @variable)\n(targets (identifier) @variable)",
        f'((name (identifier) @function.builtin)\n  (#match? @function.builtin "^({builtin})$"))',
        f'((name (identifier) @variable)\n  (#not-match? @variable "^({builtin})$"))',
    ]
    return "\n\n".join(parts) + "\n"


def _any(words: Iterable[str]) -> str:
    """Return the pattern of one of some words."""
    listed = " ".join(f'"{word}"' for word in words)
    return f"[{listed}]"


if __name__ == "__main__":
    for name, content in files().items():
        path = os.path.join(os.path.dirname(folder_of("archdsl.grammars")), *FOLDER, *name.split("/"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
