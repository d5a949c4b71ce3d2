"""The whole generated file: a plan of plain texts, printed by a template that only loops."""

from __future__ import annotations

import keyword
import re
from functools import cache
from itertools import pairwise
from textwrap import wrap

from archdsl.codegen import initialization
from archdsl.codegen.classes import ClassPlan, file_name
from archdsl.codegen.forward import WORDS, printed, scheduled
from archdsl.codegen.groups import Groups
from archdsl.codegen.layout import WIDTH, Child, Piece, label, labelled_runs, looped, sequence
from archdsl.codegen.lower import lower
from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.ir import network
from archdsl.ir.liveness import is_module, is_plain_sequence
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct
from archdsl.ops import OPS
from archdsl.ops.wrap import WRAPPERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jinja2 import Template

    from archdsl.codegen.schedule import Schedule

MAX_LAYERS = 1_000_000
MAX_STEPS = 5_000  # in distinct instances of blocks, 1.2 s; published networks have under 1,300
# Names that generated code uses otherwise, those of the classes that operators bring along among them.
SUPPORT = "".join(str(op.support) for op in (*OPS.values(), *WRAPPERS.values()))
RESERVED = {
    "F",
    "OrderedDict",
    "NamedTuple",
    "DepthwiseConv2d",
    *re.findall(r"^(?:class|def) (\w+)", SUPPORT, re.MULTILINE),
}


class Emitted(Record):
    """Generated Python: its text, and the name of the class of the net."""

    text: str
    class_name: str


class ClassText(Record):
    """What the template prints of one class."""

    name: str
    base: str
    doc: list[str]
    parameters: str
    init: list[str]
    arguments: str
    forward: list[str]


class ResultText(Record):
    """A named tuple that a net with several outputs returns."""

    name: str
    outputs: list[str]  # with their types


def emit(network: network.Network, *, kernels: str = "none", inference: bool = False) -> Emitted:
    """Lower a checked network to the text of a Python module that needs only torch.

    With `kernels` other than "none" it needs archdsl's kernels too (see `lower`), and with `inference` archdsl itself,
    for its further function `inference`, which returns the network optimized. The text is deterministic: it depends
    on the network alone, not on paths, times or hash seeds.
    """
    count = layers(network.scope)
    if count > MAX_LAYERS:
        raise errors.limit_exceeded(network.scope.span, "this network has too many modules", f"{count:,}", MAX_LAYERS)
    writer = Writer(lower(network, kernels))
    return Emitted(writer.text(inference), writer.plans[-1].name)


def lifetimes(network: network.Network) -> dict[int, dict[int, int | None]]:
    """Return, by the identity of a scope, the values that its `forward` names, each with the value that overwrites it.

    A local variable holds its tensor until the name is assigned again, or to the end (None): memory depends on it.
    """
    writer = Writer(network)
    return {scope: schedule.lifetimes() for scope, schedule in writer.schedules.items()}


def layers(scope: Scope) -> int:
    """Count the layers of a network: the steps of a scope, those of inner scopes as often as they are used."""
    found: dict[int, int] = {}
    for inner in distinct(scope):
        found[id(inner)] = sum([found.get(id(node.what), 1) for node in inner.nodes])
    return found[id(scope)]


class Writer:
    """Plans the classes of a network and prints them."""

    def __init__(self, network: network.Network) -> None:
        self.network = network
        groups = Groups(network.scope)
        steps = sum(len(scope.nodes) for scope in groups.scopes)
        if steps > MAX_STEPS:
            what = "this network has too many distinct steps for its code to be written"
            raise errors.limit_exceeded(network.scope.span, what, f"{steps:,}", MAX_STEPS)
        self.plans: list[ClassPlan] = []
        self.by_scope: dict[int, ClassPlan] = {}
        self.schedules: dict[int, Schedule] = {}  # by the identity of a scope
        names = _class_names(groups, network)
        taken = WORDS | RESERVED | frozenset(names.values())
        self.texts: list[ClassText] = []
        self.result: ResultText | None = _result(network.scope, names[groups.key(network.scope)])
        for key, scopes in groups.classes.items():
            plan = ClassPlan(names[key], scopes, self.by_scope, taken)
            text = self._class(plan)
            if plan.unsafe():
                plan = ClassPlan(names[key], scopes, self.by_scope, taken | plan.unsafe())
                text = self._class(plan)
            self.plans.append(plan)
            self.texts.append(text)
            self.by_scope.update({id(scope): plan for scope in scopes})

    def text(self, inference: bool = False) -> str:
        """Print the file."""
        starts = initialization.statements(self.plans)
        if starts:
            self.texts[-1] = self.texts[-1].replace(init=[*self.texts[-1].init, "", *starts])
        support = sorted(set().union(*(plan.support for plan in self.plans)))
        body = _template().render(
            classes=self.texts,
            support=[s.rstrip() for s in support],
            result=self.result,
            doc=_module_doc(self.network),
            inference=inference,
        )
        return body.replace("@imports@\n", "\n".join(_imports(body)) + "\n")

    # ------------------------------------------------------------ one class
    def _class(self, plan: ClassPlan) -> ClassText:
        first = plan.first
        doc = docstring(first.doc or _title(first), 4)
        if is_plain_sequence(first):
            piece = Piece("super().__init__", tuple(sequence(plan.children(plan.context))))
            return self._text(plan, "nn.Sequential", doc, [*_bound(plan), *_body(piece, "")], [])
        children = self._children(plan)
        loops = _loops(first, children)
        lines = ["super().__init__()"]
        for run in loops:
            number, child = children[run.first]
            if run.count > 1:
                lines += [f"for i in range({run.count}):{plan.comment(first.nodes[number])}"]
                lines += [f"    self.add_module({label(child.name)}, {looped(child.piece, run.step)})"]
            elif child.name.isidentifier():
                lines += _body(child.piece, f"self.{child.name} = ", plan.comment(first.nodes[number]))
            else:
                lines.append(
                    f'self.add_module("{child.name}", {child.piece.flat()}){plan.comment(first.nodes[number])}'
                )
        result = self.result.name if self.result is not None and first is self.network.scope else ""
        taken = WORDS | {result}
        arguments = list(first.input_names) if len(first.inputs) > 1 else ["x"]
        arguments = [f"x{i}" if keyword.iskeyword(a) or a in taken else a for i, a in enumerate(arguments)]
        chains = {children[run.first][0]: run.count for run in loops if run.count > 1}
        schedule = scheduled(plan, arguments, chains, taken)
        self.schedules |= {id(scope): schedule for scope in plan.scopes}
        stored = [f"self.{name} = {plan.use(term).text}" for name, term in sorted(plan.stored.items())]
        lines[1:1] = _bound(plan) + stored
        return self._text(plan, "nn.Module", doc, lines, printed(schedule, first, result), arguments)

    def _children(self, plan: ClassPlan) -> list[tuple[int, Child]]:
        """Return the modules that a class holds, each with the number of its node."""
        found = []
        for number, node in enumerate(plan.first.nodes):
            if node.reuses or not is_module(node, plan.first):
                plan.follow(plan.context, node)
                continue
            piece = plan.child(plan.context, number)
            if piece is not None:
                found.append((number, Child(node.name, piece)))
        return found

    def _text(
        self,
        plan: ClassPlan,
        base: str,
        doc: list[str],
        init: list[str],
        forward: list[str],
        inputs: list[str] | None = None,
    ) -> ClassText:
        parameters = _signature(["self", *map(str, plan.parameters())])
        arguments = ", ".join(["self", *[f"{name}: torch.Tensor" for name in inputs or ["x"]]])
        outputs = plan.first.outputs
        returns = "torch.Tensor"
        if self.result is not None and plan.first is self.network.scope:
            always = len([o for o in outputs if not o.training])
            returns = self.result.name if always == len(outputs) else f"torch.Tensor | {self.result.name}"
        elif len(outputs) > 1:
            items = ["torch.Tensor"] * len(outputs) if len(outputs) < 4 else ["torch.Tensor", "..."]
            returns = f"tuple[{', '.join(items)}]"
        if plan.first is self.network.scope:
            paragraph = " ".join((self.network.scope.doc or self.network.doc).split("\n\n")[0].split("\n"))
            doc = docstring(paragraph or _title(plan.first), 4)
        return ClassText(plan.name, base, doc, parameters, init, f"({arguments}) -> {returns}", forward)


def _bound(plan: ClassPlan) -> list[str]:
    """Return the statements that bind the names of the body which the code mentions."""
    return [f"{name} = {term.text}" for name, term in plan.locals.items() if name in plan.used]


class Run(Record):
    """Modules in a row that one loop builds and runs: the first, how many, and what grows from one to the next."""

    first: int
    count: int
    step: tuple[int, ...]


def _loops(scope: Scope, children: list[tuple[int, Child]]) -> list[Run]:
    """Split the modules of a class into runs; one of several modules is a chain without branches."""
    found = []
    at = 0
    for first, count, step in labelled_runs([child for _, child in children]):
        numbers = [number for number, _ in children[first : first + count]]
        if count > 1 and not _is_chain(scope, numbers):
            found += [Run(at + i, 1, ()) for i in range(count)]
        else:
            found.append(Run(first, count, step))
        at += count
    return found


def _is_chain(scope: Scope, numbers: list[int]) -> bool:
    """Say whether steps follow each other directly, each the only reader of the one before."""
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return False
    results = [o.value for o in scope.outputs]
    for left, right in pairwise(numbers):
        value = scope.nodes[left].outputs
        readers = [n for n in scope.nodes[left + 1 : right + 2] if value[0] in n.inputs] if len(value) == 1 else []
        later = any(value[0] in n.inputs for n in scope.nodes[right + 1 :])
        if len(readers) != 1 or later or scope.nodes[right].inputs != value or value[0] in results:
            return False
    return True


def _body(piece: Piece, before: str, after: str = "") -> list[str]:
    """Return a statement of a method, without the method's indentation."""
    return [line[8:] for line in piece.lines(before, 8, after)]


@cache
def _template() -> Template:
    """Return the template of a file: reading it takes longer than filling it in."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("archdsl.codegen", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 — Python, not HTML; texts of a file go through `docstring` alone
    )
    return environment.get_template("module.py.j2")


# -------------------------------------------------------------------------------------------------- names and texts
def _class_names(groups: Groups, network: network.Network) -> dict[int, str]:
    """Name the classes: the block's name, and where one block gives several, what tells them apart."""
    by_title: dict[str, list[int]] = {}
    for key, scopes in groups.classes.items():
        title = _net_name(network) if scopes[0] is network.scope else camel(scopes[0].title or "part")
        by_title.setdefault(title, []).append(key)
    names: dict[int, str] = {}
    taken = RESERVED | {f"{_net_name(network)}Output"}
    for title, keys in by_title.items():
        suffixes = _suffixes([groups.classes[key] for key in keys])
        for key, suffix in zip(keys, suffixes):
            name = f"{title}{suffix}"
            while name in taken or keyword.iskeyword(name):
                name += "_"
            taken.add(name)
            names[key] = name
    return names


def _suffixes(members: list[list[Scope]]) -> list[str]:
    """Return a suffix for each class of one block: an argument that only its instances have, else a number."""
    if len(members) == 1:
        return [""]
    columns = [
        {name: {_plain(s.args[i][1]) for s in scopes} for i, (name, _) in enumerate(scopes[0].args)}
        for scopes in members
    ]
    suffixes = []
    for number, own in enumerate(columns):
        others = [c for i, c in enumerate(columns) if i != number]
        telling = [
            f"{n}_{_word(next(iter(v)))}"
            for n, v in own.items()
            if len(v) == 1 and None not in v and not any(v & o.get(n, set()) for o in others)
        ]
        suffixes.append(camel(min(telling, key=len)) if telling else "")
    plain = [i for i, suffix in enumerate(suffixes) if not suffix]
    for count, i in enumerate(plain[1:], 2):
        suffixes[i] = str(count)
    return suffixes


def _plain(value: object) -> object:
    return value if isinstance(value, (int, bool, str)) and len(str(value)) < 12 else None


def _word(value: object) -> str:
    return re.sub(r"\W", "_", str(value)).lower()


def camel(name: str) -> str:
    """Return `dense_layer` as `DenseLayer`."""
    text = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    return text if text[:1].isalpha() else f"Part{text}"


def _net_name(network: network.Network) -> str:
    """Return the class name of the net: as its docstring writes the family, where it names it, else in camel case."""
    title = network.scope.title
    words = re.findall(r"[A-Za-z0-9-]+", network.doc.split("\n")[0])
    for count in (1, 2):
        for i in range(len(words) - count + 1):
            name = "".join(words[i : i + count]).replace("-", "")
            if name.lower() == title.replace("_", "").lower() and name[:1].isupper():
                return name
    return camel(title)


def _signature(parameters: list[str]) -> str:
    """Return the parameters of `__init__`, one on each line where they do not fit on one."""
    line = ", ".join(parameters)
    if len(line) + len("    def __init__() -> None:") <= WIDTH:
        return line
    return "\n" + "".join(f"        {parameter},\n" for parameter in parameters) + "    "


def _title(scope: Scope) -> str:
    if scope.kind == "scope":
        return f"The steps under `{scope.title}`."
    return f"The {scope.kind} `{scope.title}({', '.join(name for name, _ in scope.args)})`."


def _result(scope: Scope, name: str) -> ResultText | None:
    if len(scope.outputs) == 1:
        return None
    several = sum(not o.training for o in scope.outputs) > 1  # then it is returned in evaluation too
    types = ["torch.Tensor | None" if o.training and several else "torch.Tensor" for o in scope.outputs]
    return ResultText(f"{name}Output", [f"{o.name}: {kind}" for o, kind in zip(scope.outputs, types)])


def _module_doc(network: network.Network) -> list[str]:
    origin = f"Generated by archdsl from `{network.name}` in {file_name(network.source)}."
    return docstring("\n\n".join(filter(None, [network.doc.strip(), origin])), 0)


def docstring(text: str, indent: int) -> list[str]:
    """Return a text as the lines of a docstring: the one place where texts of a file reach generated code."""
    plain = "".join(c for c in text if c.isprintable() or c == "\n").strip()
    if "\n" not in plain and len(_quoted(plain)) + indent + 6 <= WIDTH:
        return [f'"""{_quoted(plain)}{" " if plain.endswith(chr(34)) else ""}"""']
    lines = [piece for line in plain.split("\n") for piece in wrap(line, WIDTH - 3 - indent) or [""]]
    first, *rest = map(_quoted, lines)
    return [f'"""{first}', *rest, '"""']


def _quoted(line: str) -> str:
    """Return one line as it stands in a docstring: the last thing that is done to it, so that nothing undoes it."""
    return line.replace("\\", "\\\\").replace('"""', "'''")


def _imports(body: str) -> list[str]:
    lines = []
    if "OrderedDict(" in body:
        lines.append("from collections import OrderedDict")
    if "(NamedTuple)" in body:
        lines.append("from typing import NamedTuple")
    if lines:
        lines.append("")
    lines.append("import torch")
    if re.search(r"\bF\.", body):
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import nn")
    if "odeint_adjoint" in body:
        lines.append("from torchdiffeq import odeint, odeint_adjoint")
    kernels = [name for name in ("DepthwiseConv2d", "channel_shuffle") if re.search(rf"\b{name}\(", body)]
    ours = [f"from archdsl.kernels import {', '.join(kernels)}"] if kernels else []
    ours += ["from archdsl import optimize"] if re.search(r"\boptimize\(", body) else []
    lines += ["", *sorted(ours)] if ours else []
    return ["from __future__ import annotations", "", *lines]
