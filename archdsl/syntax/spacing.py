"""Where a space, and where a line end, may stand between two words of a text."""

from __future__ import annotations

from archdsl.core.record import Record
from archdsl.syntax import tree
from archdsl.syntax.lexer import CLOSING, OPENING
from archdsl.syntax.names import parts
from archdsl.syntax.parser import SOFT_WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.syntax.trivia import Word

OPERANDS = frozenset("NAME INTEGER FLOAT STRING TRUE FALSE".split()) | SOFT_WORDS  # what a call or an index may follow
NAMES = SOFT_WORDS | {"NAME"}
SIGNS = ("+", "-", "*", "/", "//", "%")
# How loosely a word binds what is before it; a line ends sooner before a looser one.
LOOSENESS = {"->": 1, "for": 2, "if": 2, "else": 2, "or": 3, "and": 4, "in": 5, "+": 6, "-": 6, "*": 7, "/": 7}
LOOSENESS |= dict.fromkeys(("==", "!=", "<", ">", "<=", ">="), 5) | {"//": 7, "%": 7}
AFTER_COMMA, AFTER_OPENING, BEFORE_CLOSING = 0, 8, 9


class Roles(Record):
    """Where words of a text stand whose spelling leaves open what they are."""

    prefixes: frozenset[int]  # `-x`, `*list`
    signatures: frozenset[int]  # the bracket after the head of a block: not an index
    requirements: frozenset[int]  # `require`, which is no name there
    slices: frozenset[int]  # the colon of `list[:2]`


def roles(module: tree.Module) -> Roles:
    """Return the roles of the words of a file, from its tree."""
    found: dict[type, set[int]] = {kind: set() for kind in (tree.Minus, tree.Spread, tree.Signature, tree.Require)}
    slices: set[int] = set()
    work: list[Any] = [module]
    while work:
        node = work.pop()
        if type(node) in found:
            found[type(node)].add(node.span.start)
        elif type(node) is tree.Slice:
            before = node.value if node.first is None else node.first
            slices.add(before.span.source.text.index(":", before.span.end))
        work += parts(node)
    prefixes = found[tree.Minus] | found[tree.Spread]
    marks = prefixes, found[tree.Signature], found[tree.Require], slices
    return Roles(*map(frozenset, marks))


def space(before: Word, word: Word, inside: str, roles: Roles) -> str:
    """Return what stands between two words on one line; `inside` are the brackets that are open."""
    if before.text in OPENING or word.text in CLOSING or word.text in (",", ":", ".", "{") or before.text == ".":
        return ""
    if before.text == "}" and word.kind in NAMES:
        return ""  # the rest of a computed name
    if word.text in OPENING:
        return "" if _applies(before, word, roles) or _tight(before, word, inside, roles) else " "
    return "" if _tight(before, word, inside, roles) else " "


def _applies(before: Word, word: Word, roles: Roles) -> bool:
    """Say whether a bracket is a call's, an index's or a list of parameters."""
    operand = before.kind in OPERANDS or before.text in CLOSING
    return operand and word.start not in roles.signatures and before.start not in roles.requirements


def _tight(before: Word, word: Word, inside: str, roles: Roles) -> bool:
    signs = (before.text, word.text)
    if before.start in roles.prefixes or before.start in roles.slices or "**" in signs:
        return True
    if inside and "=" in signs:
        return True
    return "{" in inside and any(sign in SIGNS for sign in signs)


def breaking(before: Word, word: Word, inside: str, roles: Roles) -> int | None:
    """Return how loosely two words hold together where a line may end between them, None where it may not."""
    if "{" in inside:
        return None
    if word.text == "->":
        return LOOSENESS["->"]
    if not inside:
        return None
    if word.text in CLOSING:
        return None if before.text in OPENING else BEFORE_CLOSING
    if before.text in (",", *OPENING):
        return AFTER_COMMA if before.text == "," else AFTER_OPENING
    return None if word.start in roles.prefixes else LOOSENESS.get(word.text)


def within(inside: str, word: Word) -> str:
    """Return the brackets that are open after a word."""
    if word.text in OPENING:
        return inside + word.text
    return inside[:-1] if word.text in CLOSING else inside
