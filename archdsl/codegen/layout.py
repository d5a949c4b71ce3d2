"""Pieces of generated code: calls that know how to break into lines, and runs of like calls folded into a loop."""

from __future__ import annotations

import re

from archdsl.core.record import Record

WIDTH = 100
ABSENT = "nn.Identity()"  # a module in the place of one that an instance does not have


class Argument(Record):
    """One argument of a call; `number` is its value where the text is a plain integer, so that runs can be folded."""

    name: str
    value: str | Piece
    number: int | None = None


class Piece(Record):
    """A call, `target(arguments)`; with `brackets` a list `[...]` of pieces, or, without any, code as it is.

    With `if` for brackets the target is the condition under which the one argument is there: else it is what stands for
    one that is `absent`. With `for` the target is the head of a loop that makes the one argument again and again.
    """

    target: str
    arguments: tuple[Argument, ...] = ()
    brackets: str = "()"
    absent: str = ABSENT

    def __str__(self) -> str:
        return self.flat()

    def flat(self) -> str:
        """Return the code on one line."""
        if not self.brackets:
            return self.target
        if self.brackets == "if":
            return f"{_flat(self.arguments[0])} if {self.target} else {self.absent}"
        if self.brackets == "for":
            return f"*[{_flat(self.arguments[0])} {self.target}]"
        inside = ", ".join(_flat(argument) for argument in self.arguments)
        return f"{self.target}{self.brackets[0]}{inside}{self.brackets[1]}"

    def lines(self, before: str, indent: int, after: str = "", close: str = "") -> list[str]:
        """Return the code after `before`, broken into lines where it is too wide.

        `after` follows the code; a comment follows its first line. `close` are brackets that the caller opened.
        """
        flat = self.flat() + close
        pad = " " * indent
        fits = len(pad) + len(before) + len(flat) + len(after) <= WIDTH
        if self.brackets in ("if", "for") and not fits:
            inner = self.arguments[0].value
            assert isinstance(inner, Piece), "a module is a call"
            if self.brackets == "for":
                return [f"{pad}*[", *inner.lines("", indent + 4), f"{pad}    {self.target}", f"{pad}]{close}{after}"]
            opened = f"{pad}{before}({after if _is_comment(after) else ''}"
            choice = [*inner.lines("", indent + 4), f"{pad}    if {self.target}", f"{pad}    else {self.absent}"]
            choice = [f"{pad}    {self.flat()}"] if indent + 4 + len(self.flat()) <= WIDTH else choice
            return [opened, *choice, f"{pad}){close}{'' if _is_comment(after) else after}"]
        if not self.brackets and not fits:
            return [f"{pad}{before}({after if _is_comment(after) else ''}", f"{pad}    {flat}", f"{pad})"]
        if fits or not self.arguments:
            return [f"{pad}{before}{flat}{after}"]
        comment = after if _is_comment(after) else ""
        found = [f"{pad}{before}{self.target}{self.brackets[0]}{comment}"]
        inside = ", ".join(_flat(argument) for argument in self.arguments)
        if not any(isinstance(a.value, Piece) for a in self.arguments) and indent + 4 + len(inside) <= WIDTH:
            return [*found, f"{pad}    {inside}", f"{pad}{self.brackets[1]}{close}{'' if comment else after}"]
        for argument in self.arguments:
            name = f"{argument.name}=" if argument.name else ""
            if isinstance(argument.value, Piece):
                found += argument.value.lines(name, indent + 4, "," if len(self.arguments) > 1 else "")
            else:
                found.append(f"{pad}    {name}{argument.value},")
        found.append(f"{pad}{self.brackets[1]}{close}{'' if comment else after}")
        return found


def _is_comment(after: str) -> bool:
    return after.startswith("  #")


def _flat(argument: Argument) -> str:
    value = argument.value.flat() if isinstance(argument.value, Piece) else argument.value
    return f"{argument.name}={value}" if argument.name else value


class Child(Record):
    """A named piece: one module of a sequence, and the statements that have to come before it."""

    name: str
    piece: Piece
    before: tuple[str, ...] = ()
    called: str = ""  # the expression for a name that is not the same everywhere


def sequence(children: list[Child], index: str = "i") -> list[Argument]:
    """Return the arguments of `nn.Sequential` for children numbered from 0, runs folded into `*[... for i in ...]`."""
    found = []
    for first, count, step in runs([c.piece for c in children]):
        piece = children[first].piece
        if count == 1:
            found.append(Argument("", piece))
        else:
            head = f"for {index if any(step) else '_'} in range({count})"
            found.append(Argument("", Piece(head, (Argument("", looped(piece, step, index)),), "for")))
    return found


def named(children: list[Child], index: str = "i") -> Piece:
    """Return the `OrderedDict` of `nn.Sequential` for children with labels, a run of them as a comprehension."""
    entries = []
    for first, count, step in labelled_runs(children):
        child = children[first]
        if count == 1:
            entries.append(Argument("", Piece("", (Argument("", f'"{child.name}"'), Argument("", child.piece)))))
            continue
        text = f"({label(child.name, index)}, {looped(child.piece, step, index)}) for {index} in range({count})"
        if count == len(children):
            return Piece("OrderedDict", (Argument("", text),))
        entries.append(Argument("", f"*[{text}]"))
    return Piece("OrderedDict", (Argument("", Piece("", tuple(entries), "[]")),))


def runs(pieces: list[Piece]) -> list[tuple[int, int, tuple[int, ...]]]:
    """Split pieces into runs (first, count, step): equal ones, or alike with integers that grow by a fixed step."""
    found = []
    at = 0
    while at < len(pieces):
        count, step = 1, _step(pieces[at], pieces[at + 1]) if at + 1 < len(pieces) else None
        while (
            step is not None and at + count < len(pieces) and _step(pieces[at + count - 1], pieces[at + count]) == step
        ):
            count += 1
        if step is None or count < (3 if any(step) else 2):
            count, step = 1, ()
        found.append((at, count, step))
        at += count
    return found


def labelled_runs(children: list[Child]) -> list[tuple[int, int, tuple[int, ...]]]:
    """Split labelled children into runs: alike, and with labels that count up, `layer1 layer2 layer3`."""
    found: list[tuple[int, int, tuple[int, ...]]] = []
    for first, count, step in runs([c.piece for c in children]):
        for start, length in _counted([c.name for c in children[first : first + count]]):
            alike = [(first + start, length, step)] if length > 2 else []
            found += alike or [(first + start + i, 1, ()) for i in range(length)]
    return found


def _counted(names: list[str]) -> list[tuple[int, int]]:
    """Split names into stretches that count up, `layer1 layer2 layer3`: where each starts, and how long it is."""
    found: list[tuple[int, int]] = []
    for at, name in enumerate(names):
        key, number = _numbered(name)
        if found and number >= 0 and _numbered(names[at - 1]) == (key, number - 1):
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((at, 1))
    return found


def label(name: str, index: str = "i") -> str:
    """Return the f-string that counts up from a label: `f"layer{i + 1}"`."""
    key, start = _numbered(name)
    return f'f"{key}{{{index if start == 0 else f"{index} + {start}"}}}"'


def _numbered(name: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.*?)(\d+)", name)
    return (found.group(1), int(found.group(2))) if found else (name, -1)


def _step(left: Piece, right: Piece) -> tuple[int, ...] | None:
    """Return by how much each integer grows from one piece to the next, or None where they differ otherwise."""
    if (left.target, left.brackets, len(left.arguments)) != (right.target, right.brackets, len(right.arguments)):
        return None
    if left.brackets == "for":
        return None
    steps = []
    for a, b in zip(left.arguments, right.arguments):
        if a == b:
            steps.append(0)
        elif a.name == b.name and a.number is not None and b.number is not None:
            steps.append(b.number - a.number)
        else:
            return None
    return tuple(steps)


def looped(piece: Piece, step: tuple[int, ...], index: str = "i") -> Piece:
    """Return a piece as the body of a loop, its growing integers over the index."""
    arguments = []
    for argument, by in zip(piece.arguments, step):
        if by:
            grown = f"{argument.number} {'+' if by > 0 else '-'} {f'{abs(by)} * ' if abs(by) != 1 else ''}{index}"
            argument = argument.replace(value=grown)
        arguments.append(argument)
    return piece.replace(arguments=tuple(arguments))


# -------------------------------------------------------------------------------------------------- lines of code
def depths(code: str) -> list[int]:
    """Return how many brackets are open after each character."""
    found, depth = [], 0
    for character in code:
        depth += (character in "([") - (character in ")]")
        found.append(depth)
    return found


def is_call(code: str) -> bool:
    """Say whether an expression is a name or a call, which binds tightly."""
    outer = [mark for mark, depth in zip(code, depths(code)) if depth == 0]
    return code[:1] != "-" and " " not in outer and "**" not in "".join(outer)


def binding(code: str) -> int:
    """Say how tightly an expression binds: 1 a sum, 2 a product or a minus before it, 3 a power, 4 a name or a call."""
    outer = "".join([mark if depth == 0 else "_" for mark, depth in zip(code, depths(code))])
    for level, signs in enumerate(((" + ", " - "), (" * ", " / "), ("**",)), 1):
        if any(sign in outer for sign in signs):
            return level
    return 2 if code[:1] == "-" else 4 if " " not in outer else 0


def beside(code: str, sign: str, *, last: bool) -> str:
    """Return an operand of a sign, in parentheses where it would be read otherwise; `last` stands after the sign."""
    level = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}.get(sign.strip(), 4)
    if binding(code) >= level + last and not (last and code[:1] == "-"):
        return code
    return f"({code})"


def wrapped(line: str, indent: int, pad: str) -> list[str]:
    """Break a statement that is too wide inside its outermost brackets."""
    if indent + len(line) <= WIDTH:
        return [pad + line]
    opening = line.find("(")
    if opening < 0 or not line.endswith(")") or depths(line[opening:])[:-1].count(0):
        return [pad + line]
    inside = line[opening + 1 : -1]
    if inside.startswith("[") and indent + 4 + len(inside) > WIDTH:
        items, rest = _split(inside[1 : inside.rindex("]")]), _split(inside[inside.rindex("]") + 2 :])
        listed = [f"{pad}    [", *[f"{pad}        {item}," for item in items], f"{pad}    ],"]
        return [pad + line[: opening + 1], *listed, *[f"{pad}    {item}," for item in rest], f"{pad})"]
    items = _split(inside)
    if len(items) > 1 and indent + 4 + len(inside) > WIDTH:
        return [pad + line[: opening + 1], *[f"{pad}    {item}," for item in items], f"{pad})"]
    return [pad + line[: opening + 1], f"{pad}    {inside}", f"{pad})"]


def broken(line: str, indent: int) -> list[str]:
    """Break a line that is too wide inside its last brackets: an item a line, or all of them where a call has room."""
    pad = " " * indent
    closing = max(line.rfind(bracket) for bracket in ")]")
    if indent + len(line) <= WIDTH or closing < 0 or "  #" in line or line.endswith(("(", "[")):
        return [pad + line]
    found = depths(line)
    opening = max([at for at in range(closing) if line[at] in "([" and found[at] == found[closing] + 1])
    inside, call = line[opening + 1 : closing], line[opening - 1 : opening].isidentifier()
    items = _split(inside.removesuffix(","))
    if len(items) == 1 and not inside.endswith(","):
        listed = broken(inside, indent + 4)
    elif call and indent + 4 + len(inside) <= WIDTH:
        listed = [f"{pad}    {inside}"]
    else:
        listed = [part for item in items for part in broken(f"{item},", indent + 4)]
    return [pad + line[: opening + 1], *listed, pad + line[closing:]]


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts, start = [], 0
    for at, depth in enumerate(depths(text)):
        if text[at] == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]
