"""The generated sections of the docs: operators, functions, initializers, limits, the grammar and diagnostics.

`make manual`, or `python -m archdsl.report.manual`, rewrites them, and a test holds them current, so the reference
cannot say what the compiler does not do.
"""

from __future__ import annotations

import os
import re
from importlib import import_module
from inspect import getdoc

from archdsl.core.source import folder_of
from archdsl.diagnostics.errors import CATALOGUE
from archdsl.elaborate.builtins import FUNCTIONS
from archdsl.elaborate.values import show
from archdsl.ops import OPS
from archdsl.ops.base import REQUIRED
from archdsl.ops.initializers import ROWS
from archdsl.ops.wrap import WRAPPERS
from archdsl.syntax.grammar import GRAMMAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archdsl.ops.base import Arg, Op

# Operators that combinators stand for, or that only they use.
WITHIN_COMBINATORS = {"add", "mul", "maximum", "minimum", "cat", "chunk", "matmul", "attention", "pad_same"}
LIMITS = (
    ("archdsl.project", "MAX_BYTES", "bytes in a file"),
    ("archdsl.project", "MAX_IMPORTS", "files that import one another in a row"),
    ("archdsl.syntax.lexer", "MAX_BRACKETS", "brackets open at once"),
    ("archdsl.syntax.parser", "MAX_DEPTH", "expressions or statements inside one another"),
    ("archdsl.syntax.parser", "MAX_TOKENS", "words, numbers and signs in a file"),
    (
        "archdsl.elaborate.context",
        "MAX_WORK",
        "expressions evaluated and pipelines applied, for each net and for all of a file",
    ),
    ("archdsl.elaborate.weight", "MAX_PARTS", "parts of one value, each counted as often as it occurs"),
    ("archdsl.elaborate.weight", "MAX_NESTED", "values inside one another"),
    ("archdsl.elaborate.context", "MAX_CALLS", "blocks, nets and functions inside one another"),
    ("archdsl.elaborate.arithmetic", "MAX_BITS", "bits of an integer, its sign aside"),
    ("archdsl.syntax.parser", "MAX_DIGITS", "digits of an integer"),
    ("archdsl.elaborate.builtins", "MAX_ITEMS", "items of a list, passes of a loop, repetitions"),
    ("archdsl.elaborate.operators", "MAX_NODES", "steps of a network, in distinct instances of blocks"),
    (
        "archdsl.diagnose.survey",
        "MAX_NODES",
        "steps of all networks of a file that are checked together, each network 20 more",
    ),
    ("archdsl.codegen.plans", "MAX_STEPS", "steps in distinct instances of blocks, where it is compiled or loaded"),
    ("archdsl.codegen.module", "MAX_LAYERS", "layers of a network that is compiled or loaded"),
    ("archdsl.report.check", "MAX_ROWS", "rows of a table of layers"),
    ("archdsl.elaborate.nets", "MAX_SIZE", "height or width of an input"),
    ("archdsl.core.sizes", "MAX_PERIOD", "the product of strides on one path"),
    ("archdsl.analysis.legal", "MAX_PIECES", "ranges of legal sizes, and residues of their pattern"),
    ("archdsl.elaborate.requirements", "MAX_RELATIONS", "comparisons of sizes in one requirement, multiplied out"),
    ("archdsl.ops.base", "MAX_INT", "an integer argument of an operator"),
    ("archdsl.ops.base", "MAX_REAL", "a number that an operator takes"),
)
# An example of which the shapes of the weights are read off: its numbers can be told apart, and have names.
EXAMPLE = {"out": 178, "kernel": (5, 7), "groups": 2, "multiplier": 3, "learned": True, "per_channel": True}
EXAMPLE |= {"relative_bias.heads": 11, "relative_bias.size": (5, 7)}
CHANNELS = 194
NUMBERS = {
    178: "out", 89: "out / groups", 194: "C", 97: "C / groups", 582: "multiplier * C", 5: "kernel height",
    7: "kernel width", 11: "heads", 117: "(2 * height - 1) * (2 * width - 1)",
}  # fmt: skip


def sections() -> dict[str, dict[str, str]]:
    """Return the generated sections of each page by name."""
    return {"language.md": _language(), "diagnostics.md": {"codes": "\n".join(map(_code, CATALOGUE))}}


def _language() -> dict[str, str]:
    signs = [cls for cls in OPS.values() if "sign" in cls.traits]
    return {
        "operators": "\n\n".join(
            operator(cls)
            for name, cls in {**OPS, **WRAPPERS}.items()
            if name not in WITHIN_COMBINATORS and cls not in signs
        ),
        "functions": "\n".join(["| function | |", "| --- | --- |", *map(_function, FUNCTIONS)]),
        "signs": "\n".join(
            ["| sign | |", "| --- | --- |", *(_sign(cls) for cls in OPS.values() if "sign" in cls.traits)]
        ),
        "initializers": "\n".join(["| initializer | |", "| --- | --- |", *map(_initializer, ROWS)]),
        "limits": "\n".join(["| limit | |", "| --- | --- |", *(_limit(*row) for row in LIMITS)]),
        "grammar": f"```lark\n{_grammar()}```",
    }


def updated(name: str, page: str) -> str:
    """Return the text of a page with its generated sections rewritten."""
    for section, text in sections()[name].items():
        pattern = rf"(<!-- generated: {section} -->\n).*?(<!-- end -->)"
        page, count = re.subn(pattern, lambda m, t=text: f"{m[1]}{t}\n{m[2]}", page, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page must have one section `{section}`")
    return page


def operator(cls: type[Op]) -> str:
    """Return the entry of one operator: signature, what it does, its arguments, its weights."""
    params = ", ".join(_parameter(name, spec) for name, spec in cls.args.items())
    lines = [f"### `{cls.name}({params})`" if params else f"### `{cls.name}`", "", _paragraphs(cls.__doc__ or "")]
    if cls.args:
        lines += ["", *(f"- `{name}`: {spec.doc}; {spec.kind.text}." for name, spec in cls.args.items())]
    if cls.stateful:
        lines += ["", f"Weights: {_weights(cls)}."]
    return "\n".join(lines)


def _sign(cls: type[Op]) -> str:
    """Return the row of a sign: as it is written, which its docstring has in parentheses, and what it is."""
    first = (cls.__doc__ or "").split("\n")[0]
    before, _, rest = first.partition(" (`")
    written, _, behind = rest.partition("`)")
    return f"| `{written}` | {before}{behind} |"


def _parameter(name: str, spec: Arg) -> str:
    if spec.default is REQUIRED:
        return name
    return f"{name}=…" if spec.default is None else f"{name}={show(spec.default)}"


def _weights(cls: type[Op]) -> str:
    values = {n: EXAMPLE.get(f"{cls.name}.{n}", EXAMPLE.get(n, spec.default)) for n, spec in cls.args.items()}
    for name, spec in cls.args.items():
        if values[name] is REQUIRED:
            values[name] = spec.kind.examples[0]
    made = cls.build(values)
    of_features, of_maps = [_shapes(made.weights(shape)) for shape in ((1, CHANNELS), (1, CHANNELS, 8, 8))]
    return of_features if of_maps == of_features else f"{of_features}; on maps {of_maps}"


def _shapes(weights: dict[str, tuple[int, ...]]) -> str:
    texts = {name: ", ".join(NUMBERS.get(size, str(size)) for size in shape) for name, shape in weights.items()}
    return ", ".join(f"`{name}` [{text}]" for name, text in texts.items())


def _paragraphs(doc: str) -> str:
    paragraphs = [" ".join(part.split()) for part in doc.strip().split("\n\n")]
    return "\n\n".join(paragraphs)


def _function(name: str) -> str:
    return f"| `{name}` | {' '.join((FUNCTIONS[name].call.__doc__ or '').split()).removeprefix('Return ')} |"


def _initializer(name: str) -> str:
    row = ROWS[name]
    params = ", ".join(f"{param}={show(default)}" for param, default in row.params)
    return f"| `{name}({params})` | {row.doc} |" if params else f"| `{name}` | {row.doc} |"


def _limit(module: str, constant: str, what: str) -> str:
    value = getattr(import_module(module), constant)
    return f"| {what} | {value:,} |" if isinstance(value, int) else f"| {what} | {value:g} |"


def _grammar() -> str:
    with open(GRAMMAR, encoding="utf-8") as file:
        return file.read()


def _code(code: str) -> str:
    """Return one line of the list of codes: the first sentence of what `archdsl explain` says."""
    first = " ".join((getdoc(CATALOGUE[code]) or "").split("\n\n")[0].split())
    return f"- **{code}** {first}"


def write(folder: str) -> None:
    """Rewrite the generated sections of the pages in a folder."""
    for name in sections():
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as file:
            page = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(updated(name, page))


if __name__ == "__main__":
    write(os.path.join(os.path.dirname(folder_of("archdsl.grammars")), "docs"))
