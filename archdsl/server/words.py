"""What the words of the language and the definitions of a file say of themselves, as Markdown."""

from __future__ import annotations

from functools import cache

from archdsl.elaborate.builtins import FUNCTIONS
from archdsl.elaborate.expressions import INNER
from archdsl.elaborate.values import show
from archdsl.ops import OPS
from archdsl.ops.base import REQUIRED
from archdsl.ops.initializers import ROWS
from archdsl.ops.wrap import WRAPPERS
from archdsl.report.manual import WITHIN_COMBINATORS, operator
from archdsl.syntax import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archdsl.ops.base import Arg, Op

OPERATORS: dict[str, type[Op]] = {
    name: cls for name, cls in {**OPS, **WRAPPERS}.items() if name not in WITHIN_COMBINATORS and name not in INNER
}
COMBINED = {
    "cat": "joins the results of its branches along the channels, or along `axis`",
    "add": "adds the results of its branches",
    "mul": "multiplies the results of its branches",
    "maximum": "takes the largest of the results of its branches, element by element",
    "minimum": "takes the smallest of the results of its branches, element by element",
    "matmul": "multiplies the results of its two branches as matrices: tokens [N, L, K] by [N, K, M]",
    "attention": "lets queries look at keys and take the mean of values: its branches, or thirds of the channels",
    "split": "divides the channels among its branches, evenly or by `sizes`, and joins their results",
}
INITIAL = {
    "init": "how the weights start: an initializer, such as `kaiming`",
    "bias_init": "how the bias starts: an initializer, such as `zeros`",
}


@cache
def of_word(name: str) -> str | None:
    """Return the entry of a word of the language."""
    if name in OPERATORS:
        step = operator(OPERATORS[name]).replace("### ", "", 1)
        return f"{step}\n\n{_function(name)}" if name in FUNCTIONS else step
    if name in COMBINED:
        return f"`{name}(branches…)`\n\n{name} {COMBINED[name]}."
    if name in FUNCTIONS:
        return _function(name)
    if name in ROWS:
        params = ", ".join(f"{param}={show(default)}" for param, default in ROWS[name].params)
        return f"`{name}({params})`, an initializer\n\n{ROWS[name].doc}"
    return "`x`: the tensor that reaches this step" if name == "x" else None


def _function(name: str) -> str:
    return f"`{name}(…)`\n\n{' '.join((FUNCTIONS[name].call.__doc__ or '').split())}"


def of_definition(item: Any) -> str:
    """Return the head of a definition as it is written, and its docstring."""
    doc = item.doc if isinstance(item, (tree.Block, tree.Net)) else ""
    return f"```arch\n{written(item)}\n```" + (f"\n\n{doc}" if doc else "")


def written(item: Any) -> str:
    """Return a definition as it is written; of one with a body, what stands before that."""
    text: str = item.span.text
    if not isinstance(item, (tree.Block, tree.Net)):
        return text
    before = text[: item.body[0].span.start - item.span.start].partition('"""')[0]
    lines = [line.partition("#")[0].rstrip() for line in before.split("\n")]
    return "\n".join(line for line in lines if line).removesuffix(":")


def arguments(callee: Any) -> dict[str, str]:
    """Return the arguments of a definition or a word of the language, each with what is said of it."""
    if isinstance(callee, (tree.Block, tree.Net, tree.Fn)):
        return {param.name: f"`{' '.join(param.span.text.split())}`" for param in callee.params}
    if callee not in OPERATORS:
        return {}
    cls = OPERATORS[callee]
    found = {name: _argument(name, spec) for name, spec in cls.args.items()}
    return found | INITIAL if cls.stateful else found


def _argument(name: str, spec: Arg) -> str:
    default = "" if spec.default is REQUIRED or spec.default is None else f"={show(spec.default)}"
    return f"`{name}{default}`: {spec.doc}; {spec.kind.text}"
