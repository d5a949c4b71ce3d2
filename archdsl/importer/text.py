"""Pieces of text as a file of the language, laid out by the project's own printer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from archdsl.core.source import Source
from archdsl.importer.blocks import Code
from archdsl.importer.clean import JOINS
from archdsl.importer.terms import Term, every, is_identity, links
from archdsl.importer.unify import MISSING, Pipe
from archdsl.ops import OPS
from archdsl.ops.base import REQUIRED
from archdsl.syntax.parser import parse
from archdsl.syntax.printer import print_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archdsl.importer.blocks import Block, Param
    from archdsl.importer.build import Text

Settings = dict[tuple[str, str], Any]
SHORT = 92  # columns of a sequence that stands in one line
FILE_WIDE = ("bias", "eps", "momentum", "affine", "track", "mode", "align_corners", "slope", "ceil", "count_pad")
STATEMENTS = ("bind", "out", "count")
SIGNS = {"sub": "-", "div": "/"}


def text(found: Text, name: str, shapes: Sequence[tuple[int, ...]], doc: str) -> str:
    """Return the text of a network; `shapes` are those of its inputs."""
    writer = _Writer(found)
    lines = [f'"""{doc}"""', "", *writer.defaults()]
    for block in found.blocks:
        lines += [*writer.block(block), ""]
    lines += writer.net(name, shapes)
    raw = "\n".join(lines) + "\n"
    return print_module(parse(Source(f"{name}.arch", raw)))


class _Writer:
    """Writes pieces of text, with the defaults of the file known."""

    def __init__(self, found: Text) -> None:
        self.found = found
        self.params: dict[str, list[Param]] = {block.name: block.params for block in found.blocks}
        bodies = [*(block.body for block in found.blocks), found.body]
        self.settings = _settings(bodies)

    def defaults(self) -> list[str]:
        """Return the line of what most steps of an operator have."""
        by_op: dict[str, list[str]] = {}
        for (op, name), value in self.settings.items():
            by_op.setdefault(op, []).append(f"{name}={literal(value)}")
        calls = [f"{op}({', '.join(words)})" for op, words in by_op.items()]
        return [f"default {', '.join(calls)}", ""] if calls else []

    # ------------------------------------------------------------------------------------------ definitions
    def block(self, block: Block) -> list[str]:
        params = [*block.tensors, *(_param(param) for param in block.params)]
        head = f"block {block.name}({', '.join(params)}):" if params else f"block {block.name}:"
        return [head, *("    " + line for line in [*block.lead, *self.lines(block.body)])]

    def net(self, name: str, shapes: Sequence[tuple[int, ...]]) -> list[str]:
        """Return the lines of the net; its last layer has the parameter `classes` where it makes the result."""
        body, classes = _with_classes(self.found.body)
        lines = [f"net {name}(classes={classes}):" if classes else f"net {name}:"]
        for place, shape in enumerate(shapes):
            word = "image" if place == 0 else f"image{place + 1}"
            lines.append(f"    input {word}: [N, {_dims(shape, place)}]")
        return lines + ["    " + line for line in self.lines(body)]

    # ------------------------------------------------------------------------------------------ statements
    def lines(self, body: Sequence[Term]) -> list[str]:
        """Return statements: one heavy step a line, with what is light after it."""
        made: list[str] = []
        chain: list[str] = []

        def end() -> None:
            if chain:
                made.append(" -> ".join(chain))
                chain.clear()

        for term in body:
            statement = self.statement(term)
            if statement:
                end()
                made += statement
                continue
            if chain and (_heavy(term) or len(" -> ".join(chain)) > SHORT):
                end()
            chain.append(self.link(term))
        end()
        return made or ["identity"]

    def statement(self, term: Term) -> list[str]:
        """Return the lines of what is a statement of its own; none for a link of a chain."""
        if term.kind == "bind":
            return [f"{term.name} = {self.expr(term.parts[0]) if term.parts else 'x'}"]
        if term.kind == "out":
            return [f"output {term.name} = {self.expr(term.parts[0])}{' when training' if term.values else ''}"]
        if term.kind == "count":
            inner = self.lines([_numbered(term)])
            return [f"for i in range({literal(dict(term.values)['depth'])}):", *("    " + line for line in inner)]
        if term.kind == "seq" and term.label and (_has_statements(term) or len(self.expr(term)) > SHORT):
            return [f"{term.label}:", *("    " + line for line in self.lines(term.parts))]
        if term.kind == "join" and term.name not in SIGNS and not term.values and len(self.expr(term)) > SHORT:
            return [f"{term.name}:", *("    " + line for part in term.parts for line in self.branch(part))]
        if term.kind == "only" and (_heavy(term.parts[0]) or term.parts[0].kind in STATEMENTS):
            inner = self.statement(term.parts[0]) or [self.expr(term.parts[0])]
            if len(inner) == 1 and term.parts[0].kind not in (*STATEMENTS, "seq"):
                return [f"{inner[0]} if {literal(term.values[0][1])}"]
            return [f"if {literal(term.values[0][1])}:", *("    " + line for line in inner)]
        return []

    def branch(self, part: Term) -> list[str]:
        """Return the lines of a branch below a combinator."""
        if part.kind != "either" or len(self.expr(part)) < SHORT:
            return [self.expr(part)]
        one, two = (self.expr(each) for each in part.parts)
        return [f"if {literal(part.values[0][1])}:", f"    {one}", "else:", f"    {two}"]

    # ------------------------------------------------------------------------------------------ expressions
    def link(self, term: Term) -> str:
        """Return an item of a chain: a choice stands in parentheses."""
        found = self.expr(term)
        return f"({found})" if term.kind in ("only", "either") else found

    def expr(self, term: Term) -> str:
        """Return a piece as an expression."""
        made = getattr(self, f"_{term.kind}")(term)
        return f"{term.label}: {made}" if term.label else made

    def _op(self, term: Term) -> str:
        if not term.name:
            return literal(term.values[0][1])
        words = self._arguments(term)
        names = ["like"] if term.name in OPS else [f"other{place}" for place in range(1, len(term.parts) + 1)]
        words += [f"{name}={self.expr(part)}" for name, part in zip(names, term.parts)]
        return f"{term.name}({', '.join(words)})" if words or term.name in JOINS else term.name

    def _arguments(self, term: Term) -> list[str]:
        args, words, named = OPS[term.name].args if term.name in OPS else {}, [], False
        for name, value in term.values:
            if value is None:
                continue
            if args[name].default is REQUIRED and not named:
                words.append(literal(value))
                continue
            named = True
            if not self._is_default(term.name, name, value):
                words.append(f"{name}={literal(value)}")
        return words

    def _is_default(self, op: str, name: str, value: Any) -> bool:
        if op not in OPS:  # `split`, which is a word of the language alone
            return False
        if (op, name) in self.settings:
            return _same(op, name, self.settings[op, name], value)
        default = OPS[op].args[name].default
        return default is not REQUIRED and default is not None and _same(op, name, default, value)

    def _use(self, term: Term) -> str:
        words, named = [self.expr(part) for part in term.parts], False
        for param, (name, value) in zip(self.params.get(term.name, ()), term.values):
            if value is MISSING:
                continue
            if param.default is MISSING and not named:
                words.append(literal(value))
                continue
            named = True
            if isinstance(value, Code) or type(value) is not type(param.default) or value != param.default:
                words.append(f"{name}={literal(value)}")
        return f"{term.name}({', '.join(words)})" if words else term.name

    def _seq(self, term: Term) -> str:
        return f"[{', '.join(self.expr(part) for part in term.parts)}]"

    def _chain(self, term: Term) -> str:
        return " -> ".join(self.link(part) for part in term.parts) or "identity"

    def _join(self, term: Term) -> str:
        if term.name in SIGNS:
            return f" {SIGNS[term.name]} ".join(self._side(part) for part in term.parts)
        words = [self.expr(part) for part in term.parts]
        given = [(name, value) for name, value in term.values if not self._is_default(term.name, name, value)]
        words += [f"{name}={literal(value)}" for name, value in given]
        return f"{term.name}({', '.join(words)})"

    def _side(self, part: Term) -> str:
        if part.kind == "ref":
            return part.name
        if is_identity(part):
            return "x"
        starts = links(part)[0].kind == "ref"
        return f"({self.expr(part)})" if starts else f"(x -> {self.link(part)})"

    def _ref(self, term: Term) -> str:
        return term.name

    def _times(self, term: Term) -> str:
        inner = term.parts[0]
        one = f"({self.expr(inner)})" if inner.kind == "chain" else self.expr(inner)
        return f"{one} * {literal(term.values[0][1])}"

    def _count(self, term: Term) -> str:
        return f"[{self.expr(_numbered(term))} for i in range({literal(dict(term.values)['depth'])})]"

    def _only(self, term: Term) -> str:
        return f"{self._choice(term.parts[0])} if {literal(term.values[0][1])}"

    def _either(self, term: Term) -> str:
        one, two = map(self._choice, term.parts)
        two = f"({two})" if term.parts[1].label else two
        return f"{one} if {literal(term.values[0][1])} else {two}"

    def _choice(self, part: Term) -> str:
        plain = part.kind in ("op", "use", "join", "ref") and not part.label
        return self.expr(part) if plain or part.kind == "seq" or is_identity(part) else f"({self.expr(part)})"


def _settings(bodies: Sequence[Sequence[Term]]) -> Settings:
    """Return the values that most steps of an operator have, where they are not the language's."""
    counted: dict[tuple[str, str], Counter[Any]] = {}
    for term in (term for body in bodies for term in every(body)):
        if term.kind != "op" or not term.name:
            continue
        for name, value in term.values:
            if name in FILE_WIDE and not isinstance(value, Code):
                counted.setdefault((term.name, name), Counter())[value] += 1
    found: Settings = {}
    for (op, name), values in counted.items():
        value, often = values.most_common(1)[0]
        default = OPS[op].args[name].default
        if often > 1 and 2 * often > sum(values.values()) and not _same(op, name, default, value):
            found[op, name] = value
    return found


def _same(op: str, name: str, one: Any, two: Any) -> bool:
    if isinstance(two, (Code, Pipe)):
        return False
    accept = OPS[op].args[name].kind.accept
    try:
        return bool(accept(one) == accept(two))
    except ValueError:
        return False


def _heavy(term: Term) -> bool:
    if term.kind in ("use", "join", "ref", "times", "seq"):
        return True
    if term.kind == "op":
        return (bool(term.name) and (term.name not in OPS or "out" in OPS[term.name].args)) or term.name in (
            "depthwise",
            "learned",
        )
    return any(map(_heavy, term.parts))


def _has_statements(term: Term) -> bool:
    return any(part.kind in STATEMENTS or (part.kind == "seq" and _has_statements(part)) for part in term.parts)


def _numbered(count: Term) -> Term:
    """Return what a counted piece repeats, with the number in its label."""
    first = dict(count.values)["first"]
    number = f"{{i+{literal(first)}}}" if first else "{i}"

    def inserted(term: Term) -> Term:
        if term.label:
            return term.but(label=term.label.replace("{}", number))
        return term.but(parts=tuple(map(inserted, term.parts)))

    return inserted(count.parts[0])


def _with_classes(body: list[Term]) -> tuple[list[Term], int]:
    """Make the features of the last layer a parameter."""
    if not body:
        return body, 0
    last, rest = body[-1], body[:-1]
    if last.kind == "op" and last.name == "linear":
        out = dict(last.values)["out"]
        values = tuple((name, Code("classes") if name == "out" else value) for name, value in last.values)
        return [*rest, last.but(values=values)], out
    if last.kind == "seq":
        inner, classes = _with_classes(list(last.parts))
        return ([*rest, last.but(parts=tuple(inner))], classes) if classes else (body, 0)
    return body, 0


def _dims(shape: Sequence[int], place: int) -> str:
    channels, *sizes = shape[1:]
    words = [f"{name}{place + 1 if place else ''}={size}" for name, size in zip("HW", sizes)]
    return ", ".join([str(channels), *words])


def _param(param: Param) -> str:
    return param.name if param.default is MISSING else f"{param.name}={literal(param.default)}"


def literal(value: Any) -> str:
    """Return the text of a value."""
    if isinstance(value, Code):
        return value.text
    if isinstance(value, Pipe):
        words = [f"{name}={literal(one)}" for name, one in value.values
                 if not _same(value.op, name, OPS[value.op].args[name].default, one)]  # fmt: skip
        return f"{value.op}({', '.join(words)})" if words else value.op
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))})"
    return repr(value)
