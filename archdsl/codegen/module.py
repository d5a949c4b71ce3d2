"""The whole generated file: plans of classes as plain texts, printed by a template that only loops."""

from __future__ import annotations

import re
from functools import cache
from textwrap import wrap

from archdsl.codegen import initialization
from archdsl.codegen.classes import file_name
from archdsl.codegen.forward import printed, trained
from archdsl.codegen.kernels import LOWERINGS
from archdsl.codegen.layout import WIDTH, broken
from archdsl.codegen.lower import lower
from archdsl.codegen.plans import Plans, brought
from archdsl.codegen.plans import lifetimes as lifetimes
from archdsl.codegen.sequences import statement
from archdsl.core.record import Record
from archdsl.diagnostics import errors
from archdsl.diagnostics.extras import Needing
from archdsl.ir import network
from archdsl.ir.network import Scope
from archdsl.ir.walk import distinct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from jinja2 import Template

    from archdsl.codegen.classes import ClassPlan
    from archdsl.codegen.layout import Child
    from archdsl.codegen.merge import Step
    from archdsl.codegen.plans import Planned

MAX_LAYERS = 1_000_000


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
    return Emitted(writer.text(inference), writer.plans.classes[-1].plan.name)


def layers(scope: Scope) -> int:
    """Count the layers of a network: the steps of a scope, those of inner scopes as often as they are used."""
    found: dict[int, int] = {}
    for inner in distinct(scope):
        found[id(inner)] = sum([found.get(id(node.what), 1) for node in inner.nodes])
    return found[id(scope)]


class Writer:
    """Prints the classes of a network."""

    def __init__(self, network: network.Network) -> None:
        self.network, self.plans = network, Plans(network)
        self.result = _result(network.scope, self.plans.result)

    def text(self, inference: bool = False) -> str:
        """Print the file."""
        texts = [self._class(planned) for planned in self.plans.classes]
        plans = [planned.plan for planned in self.plans.classes]
        starts = initialization.statements(plans)
        if starts:
            lines = [part for line in starts for part in _narrow(line)]
            texts[-1] = texts[-1].replace(init=[*texts[-1].init, "", *lines])
        used = set().union(*(plan.used for plan in plans))
        functions = [one.code() for one in self.plans.functions if f"{one.fn.name}()" in used]
        support = [*_used(sorted(set().union(*(plan.support for plan in plans))), texts), *functions]
        body = _template().render(
            classes=texts,
            support=support,
            result=self.result,
            doc=_module_doc(self.network),
            inference=inference,
        )
        return body.replace("@imports@\n", "\n".join(_imports(body, brought(self.network.scope))) + "\n")

    # ------------------------------------------------------------ one class
    def _class(self, planned: Planned) -> ClassText:
        plan, schedule = planned.plan, planned.schedule
        doc = docstring(plan.first.doc or _title(plan.first), 4)
        if planned.sequence is not None:
            piece, before = planned.sequence
            lines = [*_bound(plan), *before, *(statement(piece, "") if piece is not None else ())]
            return self._text(planned, doc, lines, [])
        assert schedule is not None, "what is no sequence has a `forward`"
        stored = {f"self.{name} = {term.text}": term for name, term in sorted(plan.stored.items())}
        late = [line for line, term in stored.items() if term.names & plan.running.keys()]  # what a loop has counted
        lines = ["super().__init__()", *_bound(plan), *[line for line in stored if line not in late]]
        for step, child in planned.children:
            lines += _built(plan, step, child)
        lines += late
        forward = printed(schedule, plan.first, planned.result)
        return self._text(planned, doc, lines, forward)

    def _text(self, planned: Planned, doc: list[str], init: list[str], forward: list[str]) -> ClassText:
        plan = planned.plan
        parameters = _signature(["self", *map(str, plan.parameters())])
        init = [part for line in init if not plan.idle(line) for part in _narrow(line)]
        arguments = ", ".join(["self", *[f"{name}: torch.Tensor" for name in planned.arguments]])
        outputs = plan.first.outputs
        returns = "torch.Tensor"
        if self.result is not None and plan.first is self.plans.scope:
            always = len([o for o in outputs if not o.training])
            returns = self.result.name if always == len(outputs) else f"torch.Tensor | {self.result.name}"
        elif len(outputs) > 1:
            assert planned.schedule is not None, "a sequence has one result"
            late = trained(planned.schedule, plan.first)
            kinds = ["torch.Tensor | None" if text in late else "torch.Tensor" for text in planned.schedule.results]
            returns = f"tuple[{', '.join(kinds)}]"
        if plan.first is self.plans.scope:
            paragraph = " ".join((self.network.scope.doc or self.network.doc).split("\n\n")[0].split("\n"))
            doc = docstring(paragraph or _title(plan.first), 4)
        return ClassText(plan.name, plan.base, doc, parameters, init, _typed(arguments, returns), forward)


def _bound(plan: ClassPlan) -> list[str]:
    """Return the statements that bind the names of the body which the code mentions."""
    names = [name for name in plan.locals if name in plan.used and name not in plan.unpacking.names]
    return [*[f"{name} = {plan.locals[name].text}" for name in names], *plan.unpacking.statements(plan.used)]


def _used(support: list[str], classes: list[ClassText]) -> list[str]:
    """Return the classes and functions that operators bring along and that something of the file names."""
    pieces = [piece for text in support for piece in text.rstrip().split("\n\n\n")]
    words = set(re.findall(r"\w+", "\n".join(line for one in classes for line in (*one.init, *one.forward))))
    found: list[str] = []
    while more := [p for p in pieces if p not in found and re.split(r"\W", p, maxsplit=2)[1] in words]:
        found += more
        words |= set(re.findall(r"\w+", "\n".join(more)))
    return [piece for piece in pieces if piece in found]


def _built(plan: ClassPlan, step: Step, child: Child) -> list[str]:
    """Return the statements that build a module."""
    attribute, comment = plan.module(child.name), plan.comment(step.node)
    if attribute.startswith("getattr"):
        return [*child.before, f'self.add_module("{child.name}", {child.piece.flat()}){comment}']
    return [*child.before, *statement(child.piece, f"{attribute} = ", comment)]


@cache
def _template() -> Template:
    """Return the template of a file: reading it takes longer than filling it in."""
    with Needing("writing Python"):
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
def _signature(parameters: list[str]) -> str:
    """Return the parameters of `__init__`, one on each line where they do not fit on one."""
    line = ", ".join(parameters)
    if len(line) + len("    def __init__() -> None:") <= WIDTH:
        return line
    lines = [line for parameter in parameters for line in broken(f"{parameter},", 8)]
    return "\n" + "".join(f"{line}\n" for line in lines) + "    "


def _narrow(line: str) -> list[str]:
    """Return a statement of `__init__` on several lines where it is too wide for one."""
    indent = 8 + len(line) - len(line.lstrip())
    return [part[8:] for part in broken(line.strip(), indent)]


def _typed(arguments: str, returns: str) -> str:
    """Return the parameters and the result of `forward`, on several lines where they are too wide for one."""
    if len(f"    def forward({arguments}) -> {returns}:") <= WIDTH:
        return f"({arguments}) -> {returns}"
    listed = [f"(\n        {arguments}\n    )"]
    if len(arguments) + 8 > WIDTH:
        listed = ["(\n", *[f"        {one},\n" for one in arguments.split(", ")], "    )"]
    if len(f"    ) -> {returns}:") > WIDTH:
        items = returns.removeprefix("tuple[").removesuffix("]").split(", ")
        returns = "tuple[\n" + "".join(f"        {item},\n" for item in items) + "    ]"
    return f"{''.join(listed)} -> {returns}"


def _title(scope: Scope) -> str:
    if scope.kind == "scope":
        return f"The steps under `{scope.title}`." if scope.title else "Steps in a row."
    return f"The {scope.kind} `{scope.title}({', '.join(name for name, _ in scope.args)})`."


def _result(scope: Scope, name: str) -> ResultText | None:
    if not name:
        return None
    types = ["torch.Tensor | None" if o.training else "torch.Tensor" for o in scope.outputs]
    return ResultText(name, [f"{o.name}: {kind}" for o, kind in zip(scope.outputs, types)])


def _module_doc(network: network.Network) -> list[str]:
    origin = f"Generated by archdsl from `{network.name}` in {file_name(network.source)}."
    return docstring("\n\n".join(filter(None, [network.doc.strip(), origin])), 0)


def docstring(text: str, indent: int) -> list[str]:
    """Return a text as the lines of a docstring: the one place where texts of a file reach generated code."""
    plain = "".join(c for c in text if c.isprintable() or c == "\n").strip()
    if "\n" not in plain and len(_quoted(plain)) + indent + 6 <= WIDTH:
        return [f'"""{_quoted(plain)}{" " if plain.endswith(chr(34)) else ""}"""']
    width = WIDTH - 3 - indent - (3 if "\n" not in plain else 0)  # a single line has the quotes at its end
    lines = [piece for line in plain.split("\n") for piece in wrap(line, width) or [""]]
    first, *rest = map(_quoted, lines)
    return [f'"""{first}', *rest, '"""']


def _quoted(line: str) -> str:
    """Return one line as it stands in a docstring: the last thing that is done to it, so that nothing undoes it."""
    return line.replace("\\", "\\\\").replace('"""', "'''")


def _imports(body: str, brought: dict[str, str]) -> list[str]:
    lines = []
    if "OrderedDict" in body:
        lines.append("from collections import OrderedDict")
    if "Callable[" in body:
        lines.append("from collections.abc import Callable")
    if re.search(r"(?<![\w.`])partial\((nn\.|[A-Z])\w+, ", body):
        lines.append("from functools import partial")
    if "(NamedTuple)" in body:
        lines.append("from typing import NamedTuple")
    if "math." in body:
        lines.insert(0, "import math")
    if lines:
        lines.append("")
    lines.append("import torch")
    if re.search(r"\bF\.", body):
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import nn")
    if "odeint_adjoint" in body:
        lines.append("from torchdiffeq import odeint, odeint_adjoint")
    kernels = [one.code for one in LOWERINGS if re.search(rf"\b{one.code}\(", body)]
    ours = [f"from archdsl.kernels import {', '.join(kernels)}"] if kernels else []
    ours += ["from archdsl import optimize"] if re.search(r"\boptimize\(", body) else []
    for home in dict.fromkeys(brought.values()):
        ours.append(f"from {home} import {', '.join(sorted(name for name, one in brought.items() if one == home))}")
    lines += ["", *sorted(ours)] if ours else []
    return lines
